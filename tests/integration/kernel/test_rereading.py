"""Consumers of a topic that was made anew read it from its beginning when an operator says so, and lose nothing."""

from collections.abc import AsyncIterator, Callable

import pytest
from tests.integration.kernel.consuming import World, document, until, world
from tests.support.topics import create_topic, delete_topics

from govkernel.consumer import TopicMadeAnew, read_again
from govkernel.postgres import Connection


@pytest.fixture
async def here(database: str, kafka: str, topic: Callable[..., str]) -> AsyncIterator[World]:
    async with world(database, kafka, topic) as made:
        yield made


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

    assert await read_again(here.pool, here.topic, record=ordered)
    await here.read_to_the_end(here.consumer(here.handler()))
    assert await here.effects() == {
        **before,
        whole[0].stream: [1, 2, 3],
        waiting[0].stream: [1, 2],
        late[0].stream: [1, 2],
    }
    assert await here.parked() == []


async def test_a_consumer_that_goes_on_begins_anew_although_the_topic_is_the_same(here: World) -> None:
    documents = here.chain(2)
    await here.send(*documents)
    consumer = here.consumer(here.handler(), lease_s=0.3)
    await here.read_to_the_end(consumer)
    before = await here.effects()
    assert await read_again(here.pool, here.topic, record=ordered)

    async def read_once_more() -> bool:
        await consumer.one_pass()
        rows = await here.rows()
        return len(rows) == here.partitions and sum(row["next_offset"] for row in rows) == len(documents)

    await until(read_once_more)
    assert await here.effects() == before


async def test_what_was_ordered_before_is_not_done_again(here: World) -> None:
    await here.send(*here.chain(2))
    await here.read_to_the_end(here.consumer(here.handler()))
    before = await here.rows()
    assert not await read_again(here.pool, here.topic, record=known)
    assert await here.rows() == before


async def ordered(_connection: Connection) -> bool:
    return True


async def known(_connection: Connection) -> bool:
    return False
