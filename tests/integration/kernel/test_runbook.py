"""What the runbook tells operators to type into a database does what it says there."""

import re
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from tests.integration.kernel.consuming import World, document, execute, world
from tests.support.topics import create_topic, delete_topics

from govkernel.consumer import TopicMadeAnew

RUNBOOK = Path(__file__).parents[3] / "docs/runbook"


@pytest.fixture
async def here(database: str, kafka: str, topic: Callable[..., str]) -> AsyncIterator[World]:
    async with world(database, kafka, topic) as made:
        yield made


def statements(page: str) -> str:
    """The SQL of a page."""
    (found,) = re.findall(r"```sql\n(.*?)```", (RUNBOOK / page).read_text("utf-8"), re.DOTALL)
    return str(found)


async def test_consumers_of_a_topic_that_was_made_anew_begin_anew_and_apply_nothing_twice(
    here: World, kafka: str
) -> None:
    whole, waiting = here.chain(2), here.chain(2)
    await here.send(*whole, waiting[1])
    await here.read_to_the_end(here.consumer(here.handler()))
    assert await here.parked() == [("gap", 2)]
    before = await here.effects()

    delete_topics(kafka, here.topic)
    create_topic(kafka, here.topic, partitions=here.partitions)
    follows = document(here.service, whole[-1].stream, 3, whole[-1].hash)
    late = here.chain(2)
    # At the places of the old topic lie other records now, one of which has to be parked again.
    await here.send(late[1], *whole, *waiting, follows, late[0])
    with pytest.raises(TopicMadeAnew):
        await here.consumer(here.handler()).one_pass()

    await execute(here.url, statements("consumer-alarm.md").replace("gov.projects.events.v1", here.topic))
    await here.read_to_the_end(here.consumer(here.handler()))
    assert await here.effects() == {
        **before,
        whole[0].stream: [1, 2, 3],
        waiting[0].stream: [1, 2],
        late[0].stream: [1, 2],
    }
    assert await here.parked() == []
