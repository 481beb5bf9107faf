"""Each event of a topic is applied once, in its stream's order, by however many replicas, wherever they stop."""

import asyncio
import contextlib
import itertools
import random
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any
from uuid import uuid4

import pytest
from confluent_kafka import ConsumerGroupTopicPartitions, KafkaException
from confluent_kafka.admin import AdminClient
from tests.integration.kernel.consuming import (
    CrashAfter,
    Place,
    PowerCut,
    Rejection,
    World,
    document,
    place_of,
    until,
    world,
    world_at,
)

from govevents.catalogue import Catalogue
from govevents.event import event
from govevents.values import Text
from govkernel.consumer import Consumer, OffsetGone, Reader, TopicMadeAnew
from govkernel.consumer.consumer import IDENTITY_KNOWN_S
from govkernel.kafka import Fetched, KafkaUnavailable, TopicIdentity
from govkernel.postgres import create_pool


@pytest.fixture(params=["memory", "postgresql and kafka"])
def place(request: pytest.FixtureRequest) -> Place | None:
    """The same suite for whatever can stand behind a consumer."""
    return place_of(request)


@pytest.fixture
async def here(place: Place | None) -> AsyncIterator[World]:
    async with world_at(place) as made:
        yield made


@pytest.fixture
async def servers(database: str, kafka: str, topic: Callable[..., str]) -> AsyncIterator[World]:
    """A world on real servers, for what is true of those alone."""
    async with world(database, kafka, topic) as made:
        yield made


def subscribed(length: int) -> list[int]:
    return [version for version in range(1, length + 1) if version % 3]


async def test_events_repeated_and_interleaved_are_applied_once_each_in_their_streams_order(here: World) -> None:
    chosen = random.Random(20261123)
    chains = [here.chain(chosen.randint(1, 9)) for _ in range(12)]
    waiting = [list(chain) for chain in chains]
    while any(waiting):
        chain = chosen.choice([each for each in waiting if each])
        await here.send(chain.pop(0))
        if chosen.random() < 0.3:
            # A relay that lost its acknowledgement sends the last few once more.
            again = chosen.choice(chains)
            await here.send(*again[: max(0, len(again) - len(waiting[chains.index(again)]))][-3:])
    consumer = here.consumer(here.handler(), most_records=7)
    await here.read_to_the_end(consumer)

    effects = await here.effects()
    assert {chain[0].stream: subscribed(len(chain)) for chain in chains} == effects
    assert await here.parked() == []
    guards = await here.table("consumer_guards")
    assert {(row["stream"], row["version"], row["hash"]) for row in guards} == {
        (chain[-1].stream, chain[-1].version, chain[-1].hash) for chain in chains
    }, "a type that is not subscribed moves the guard too"


async def test_two_replicas_share_the_partitions_and_one_takes_all_when_the_other_dies(
    place: Place | None,
) -> None:
    async with world_at(place, partitions=12) as here:
        chains = [here.chain(4) for _ in range(20)]
        first, second = here.consumer(here.handler(), lease_s=3), here.consumer(here.handler(), lease_s=3)
        await here.send(*(chain[0] for chain in chains))
        await first.one_pass()
        assert len(first.status().partitions) == 12
        await second.one_pass()
        assert len(second.status().partitions) == 6
        await here.send(*(chain[1] for chain in chains))
        await here.read_to_the_end(first, second)
        await until(lambda: _after(first.one_pass(), lambda: len(first.status().partitions) == 6))

        await here.send(*(each for chain in chains for each in chain[2:]))
        # The first is never heard of again; its leases run out.
        await here.read_to_the_end(second)
        assert len(second.status().partitions) == 12
        assert await here.effects() == {chain[0].stream: [1, 2, 4] for chain in chains}


async def test_a_replica_that_stops_gives_its_partitions_up_at_once(here: World) -> None:
    stop = asyncio.Event()
    first, second = here.consumer(here.handler(), lease_s=60), here.consumer(here.handler(), lease_s=60)
    running = asyncio.create_task(first.run(stop))
    await until(lambda: _true(first.status().ready and len(first.status().partitions) == 3))
    stop.set()
    await running
    await second.one_pass()
    assert len(second.status().partitions) == 3


class Held:
    """A reader that keeps back what it has fetched until it is told to go on."""

    def __init__(self, inner: Reader) -> None:
        self._inner = inner
        self.go_on = asyncio.Event()
        self.fetched = asyncio.Event()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def fetch(self, *, timeout_s: float, most_records: int | None) -> list[Fetched]:
        found = await self._inner.fetch(timeout_s=timeout_s, most_records=most_records)
        if found:
            self.fetched.set()
            await self.go_on.wait()
        return found


async def test_what_a_replica_applies_after_it_lost_its_lease_has_no_effect(here: World) -> None:
    documents = here.chain(5)
    await here.send(*documents)
    held = Held(here.reader())
    zombie = here.consumer(here.handler(), reader=held, lease_s=60)

    async def until_it_wakes() -> None:
        while not held.go_on.is_set():
            await zombie.one_pass()

    sleeping = asyncio.create_task(until_it_wakes())
    async with asyncio.timeout(20):
        await held.fetched.wait()
    await here.end_leases()
    heir = here.consumer(here.handler(), lease_s=60)
    await here.read_to_the_end(heir)
    before = await here.rows()

    held.go_on.set()
    await sleeping
    assert await here.effects() == {documents[0].stream: [1, 2, 4, 5]}
    assert await here.rows() == before
    assert zombie.status().partitions == () or all(row["holder"] != zombie._replica for row in before)


async def test_a_power_cut_between_any_two_steps_neither_loses_nor_repeats_an_effect(servers: World) -> None:
    """Every suspension of passes that claim, read, apply, park and save is a place where the power fails once."""
    handler = servers.handler()
    poisoned = servers.chain(2)
    handler.rejects[f"{poisoned[0].stream}@1"] = Rejection("no")
    await servers.send(*poisoned)
    reader = Shared(servers.reader(), await servers.topics.identity(servers.topic))
    await reader.inner.start()
    servers.opened.append(reader.inner)
    sent: dict[Any, list[int]] = {}
    cuts = 0
    for suspension in itertools.count():
        if await servers.effects() == sent:
            whole, late = servers.chain(2), servers.chain(3)
            await servers.send(*whole, late[1], late[2], late[0])
            sent |= {whole[0].stream: [1, 2], late[0].stream: [1, 2]}
        pool = await create_pool(servers.url, largest=1)
        await pool.fetchval("SELECT 1")
        doomed = servers.consumer(handler, pool=pool, reader=reader, topics=reader, lease_s=0.05)
        survived = False
        with contextlib.suppress(PowerCut):
            await CrashAfter(_until_something_is_applied(doomed), suspension, pool.terminate)
            survived = True
        pool.terminate()
        if survived:
            break
        cuts += 1
    await reader.inner.close()
    assert 20 < cuts < 300
    await servers.read_to_the_end(servers.consumer(handler, lease_s=0.05))
    assert await servers.effects() == sent
    assert await servers.parked() == [("refused", 1), ("behind", 2)]


class Shared:
    """A reader that is connected already, and stays so for the next consumer, and knows its topic."""

    def __init__(self, inner: Reader, known: TopicIdentity) -> None:
        self.inner = inner
        self.known = known

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    async def start(self) -> None:
        return

    async def close(self) -> None:
        return

    async def partitions(self) -> int:
        return 3

    async def ends(self, partitions: Sequence[int]) -> dict[int, int]:
        return dict.fromkeys(partitions, 0)

    async def identity(self, topic: str) -> TopicIdentity:
        return self.known


async def _until_something_is_applied(consumer: Consumer) -> int:
    while True:
        if applied := await consumer.one_pass():
            return applied


async def test_a_fetch_that_did_not_start_at_the_rows_offset_is_dropped_and_sought_again(here: World) -> None:
    documents = here.chain(5)
    await here.send(*documents[:2])
    consumer = here.consumer(here.handler())
    await here.read_to_the_end(consumer)
    await here.read_on_from(0)
    await here.send(*documents[2:])
    await here.read_to_the_end(consumer)
    assert await here.effects() == {documents[0].stream: [1, 2, 4, 5]}


async def test_an_offset_that_is_gone_stops_the_consumer_and_is_never_reset(here: World) -> None:
    await here.send(*here.chain(2))
    consumer = here.consumer(here.handler())
    await here.read_to_the_end(consumer)
    await here.read_on_from(1000)
    stopped = here.consumer(here.handler())
    with pytest.raises(OffsetGone, match="no offset 1000"):
        async with asyncio.timeout(30):
            await stopped.run(asyncio.Event())
    status = stopped.status()
    assert not status.ready
    assert status.alarm is not None and "no offset 1000" in status.alarm
    assert {row["next_offset"] for row in await here.rows()} == {1000}


async def test_a_topic_made_anew_or_with_other_partitions_fails_loudly(here: World) -> None:
    await here.send(*here.chain(2))
    await here.read_to_the_end(here.consumer(here.handler()))
    before = await here.rows()
    identity = await here.topics.identity(here.topic)
    assert {(row["cluster_id"], row["topic_id"]) for row in before} == {(identity.cluster_id, identity.topic_id)}

    class Anew:
        async def identity(self, topic: str) -> TopicIdentity:
            return TopicIdentity(identity.cluster_id, "another")

        async def commit(self, group: str, topic: str, offsets: Mapping[int, int]) -> None:
            raise AssertionError("nothing is committed")

    stopped = here.consumer(here.handler(), topics=Anew())
    with pytest.raises(TopicMadeAnew, match="topic another"):
        async with asyncio.timeout(30):
            await stopped.run(asyncio.Event())
    assert not stopped.status().ready
    await here.forget_partition(2)
    with pytest.raises(TopicMadeAnew, match="has 3 partitions, but effects has read 2"):
        async with asyncio.timeout(30):
            await here.consumer(here.handler()).run(asyncio.Event())


async def test_what_was_fetched_is_not_applied_where_another_topic_has_taken_the_place_of_the_one_that_was_read(
    here: World,
) -> None:
    identity = await here.topics.identity(here.topic)

    class Changing:
        def __init__(self, now: TopicIdentity) -> None:
            self.now = now

        async def identity(self, topic: str) -> TopicIdentity:
            return self.now

        async def commit(self, group: str, topic: str, offsets: Mapping[int, int]) -> None:
            raise AssertionError("nothing is committed")

    first, second = here.chain(2)
    topics = Changing(identity)
    consumer = here.consumer(here.handler(), topics=topics)
    await here.send(first)
    await here.read_to_the_end(consumer)
    topics.now = TopicIdentity(identity.cluster_id, "another")
    await asyncio.sleep(IDENTITY_KNOWN_S)
    await here.send(second)

    async def read_on() -> None:
        while True:
            await consumer.one_pass()

    with pytest.raises(TopicMadeAnew, match="topic another"):
        async with asyncio.timeout(20):
            await read_on()
    assert await here.effects() == {first.stream: [1]}


async def test_an_event_newer_than_the_reader_is_left_to_a_newer_replica(here: World) -> None:
    @event("approvals", version=1)
    class Noted:
        """Something was noted."""

        text: Text

    first_version = Noted

    @event("approvals", version=2)
    class Noted:  # type: ignore[no-redef]
        """Something was noted, in more detail."""

        text: Text
        detail: Text

    older = Catalogue.of([first_version])
    newer = Catalogue.of([Noted], {("approvals.Noted", 1): lambda data: {**data, "detail": ""}})
    stream, bystander = uuid4(), uuid4()
    one = document(here.service, stream, event=first_version("a"))
    two = document(here.service, stream, 2, one.hash, event=Noted(text="b", detail="c"))  # type: ignore[call-arg]
    three = document(here.service, stream, 3, two.hash, event=first_version("d"))
    await here.send(one, two, three, document(here.service, bystander, event=first_version("a")))

    def handler() -> Any:
        made = here.handler()
        made.subscribes = frozenset({"approvals.Noted"})
        return made

    old = here.consumer(handler(), catalogue=older, lease_s=60)
    await until(lambda: _after(old.one_pass(), lambda: len(old.status().partitions) == 2))
    assert (await here.effects())[stream] == [1]
    alarm = old.status().alarm
    assert alarm is not None and "newer than this reader" in alarm
    free = [row for row in await here.rows() if row["holder"] is None]
    assert [row["next_offset"] for row in free] == [1]
    old._claim_at = 0.0
    await old.one_pass()
    assert len(old.status().partitions) == 2, "it does not take back what it can't read"

    await here.read_to_the_end(here.consumer(handler(), catalogue=newer, lease_s=60), old)
    assert await here.effects() == {stream: [1, 2, 3], bystander: [1]}
    assert await here.parked() == []


async def _after(step: Any, condition: Callable[[], bool]) -> bool:
    await step
    return condition()


async def _true(condition: bool) -> bool:
    return condition


async def test_a_reader_or_database_that_fails_is_waited_for(here: World) -> None:
    documents = here.chain(2)
    await here.send(*documents)

    class Flaky(Held):
        failures = 2

        async def fetch(self, *, timeout_s: float, most_records: int | None) -> list[Fetched]:
            if self.failures:
                self.failures -= 1
                raise KafkaUnavailable("away")
            return await self._inner.fetch(timeout_s=timeout_s, most_records=most_records)

    stop = asyncio.Event()
    consumer = here.consumer(here.handler(), reader=Flaky(here.reader()))
    running = asyncio.create_task(consumer.run(stop))

    async def applied() -> bool:
        return await here.effects() == {documents[0].stream: [1, 2]}

    await until(applied)
    await here.drop_connections()
    more = here.chain(2, after=documents[-1])
    await here.send(*more)

    async def all_applied() -> bool:
        return await here.effects() == {documents[0].stream: [1, 2, 4]}

    await until(all_applied)
    stop.set()
    await running


async def test_status_says_how_far_behind_it_is_and_kafkas_tools_see_the_offsets(servers: World) -> None:
    woken: list[None] = []
    consumer = servers.consumer(
        servers.handler(), lease_s=0.3, commit_as=f"{servers.service}.effects", on_applied=lambda: woken.append(None)
    )
    await servers.send(*servers.chain(4))
    await servers.read_to_the_end(consumer)
    await until(lambda: _after(consumer.one_pass(), lambda: consumer.status().lag == 0))
    status = consumer.status()
    assert status.ready and status.alarm is None
    assert sum(each.end_offset for each in status.partitions) == 4
    assert status.last_applied_at is not None
    assert woken
    group = f"{servers.service}.effects"
    admin = AdminClient({"bootstrap.servers": servers.bootstrap})

    async def shown() -> bool:
        await consumer.one_pass()
        found = admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(group)])[group]
        try:
            offsets = (await asyncio.to_thread(found.result, 20)).topic_partitions
        except KafkaException:
            # A new cluster makes the topic that it keeps offsets in at the first commit, and then has to load it.
            return False
        return bool(sum(each.offset for each in offsets) == 4)

    await until(shown)
