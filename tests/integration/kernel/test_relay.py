"""The relay: everything arrives, each stream in its order, from whatever stands behind it to whatever carries it."""

import asyncio
import json
import random
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID, uuid4

import pytest
from tests.integration.kernel.carrying import World, WorldInMemory, chain, document, until

from govevents.document import Document, read_envelope
from govkernel.kafka import KafkaAddress, Outgoing, SendFailed
from govkernel.postgres import create_pool
from govkernel.relay import LeadershipLost, Step
from govkernel.relay.postgres import LARGEST_CHUNK_BYTES


class Crash(Exception):
    """The process has ended here."""


@dataclass(frozen=True)
class Place:
    """Where a world is to be: a database's address, Kafka's, and what makes topics."""

    database: str
    kafka: str
    topic: Callable[..., str]


@pytest.fixture(params=["memory", "postgresql and kafka"])
def place(request: pytest.FixtureRequest) -> Place | None:
    """The same suite for whatever can stand behind a relay; None for what is in memory."""
    if request.param == "memory":
        return None
    return Place(*(request.getfixturevalue(name) for name in ("database", "kafka", "topic")))


@pytest.fixture
async def world(place: Place | None) -> AsyncIterator[World]:
    made = WorldInMemory() if place is None else await on_servers(place)
    yield made
    await made.close()


@pytest.fixture
async def servers(database: str, kafka: str, topic: Callable[..., str]) -> AsyncIterator[World]:
    """A world on real servers, for what is true of those alone."""
    made = await on_servers(Place(database, kafka, topic))
    yield made
    await made.close()


async def on_servers(place: Place) -> World:
    pool = await create_pool(place.database, largest=30)
    return World(pool, KafkaAddress(place.kafka), place.topic(), place.topic(partitions=1, compacted=True))


async def append_one(world: World, stream: UUID, *, hold_s: float = 0.0, oldest_allowed: bool = False) -> Document:
    async with world.writing() as writing:
        version, previous = await writing.head(stream)
        # An append is refused if its clock lies further from the database's.
        oldest = await writing.now() - timedelta(seconds=5) if oldest_allowed else None
        made = document(stream, version + 1, previous, recorded_at=oldest)
        await writing.insert(made)
        await asyncio.sleep(hold_s)
    return made


async def test_what_is_committed_arrives_as_the_very_bytes_with_key_and_headers(world: World) -> None:
    stream = uuid4()
    events = chain(stream, 3)
    await world.insert(*events)
    assert await world.relay().one_pass() == 3
    records = (await world.read())[stream]
    assert [record.value for record in records] == [event.body for event in events]
    assert records[0].key == str(stream).encode()
    assert dict(records[0].headers) == {
        "content-type": b"application/cloudevents+json",
        "type": b"operations.RecordSkipped",
    }


async def test_nothing_is_sent_twice_without_need(world: World) -> None:
    relay = world.relay()
    for _ in range(8):
        await world.insert(*chain(uuid4(), 2))
        assert await relay.one_pass() == 2
        assert await relay.one_pass() == 0


async def test_a_large_backlog_goes_out_in_chunks(world: World) -> None:
    streams = [uuid4() for _ in range(20)]
    await world.insert(*(event for stream in streams for event in chain(stream, 10)))
    assert await world.relay(chunk_rows=30).one_pass() == 200
    assert [len(batch) for batch in world.producers[0].batches] == [30] * 6 + [20]
    await world.assert_carried()


async def test_large_documents_go_out_in_chunks_that_memory_can_hold(servers: World) -> None:
    events = [document(uuid4(), saying="𝄞" * 8000) for _ in range(400)]
    await servers.insert(*events)
    assert await servers.relay().one_pass() == 400
    sizes = [sum(len(each.body) for each in batch) for batch in servers.producers[0].batches]
    assert len(sizes) == 2
    assert max(sizes) <= LARGEST_CHUNK_BYTES + max(len(each.body) for each in events)
    await servers.assert_carried()


async def test_sixteen_writers_with_long_transactions_lose_nothing_and_keep_each_streams_order(world: World) -> None:
    chance = random.Random(7)
    streams = [uuid4() for _ in range(24)]
    wake, stop = asyncio.Event(), asyncio.Event()
    carrying = asyncio.create_task(world.relay(wake=wake).run(stop))

    async def write() -> None:
        for _ in range(25):
            hold_s = 0.3 if chance.random() < 0.05 else chance.random() * 0.01
            await append_one(world, chance.choice(streams), hold_s=hold_s)
            wake.set()

    await asyncio.gather(*(write() for _ in range(16)))
    await until(lambda: caught_up(world))
    stop.set()
    await carrying
    assert len(await world.events()) == 400
    await world.assert_carried()
    assert sum(len(records) for records in (await world.read()).values()) == 400


async def caught_up(world: World) -> bool:
    return (await world.relays[0].status()).lag_rows == 0


async def test_an_open_transaction_holds_nothing_back_but_its_own_events(world: World) -> None:
    relay = world.relay()
    late, early = chain(uuid4(), 1), chain(uuid4(), 2)
    async with world.writing() as writing:
        await writing.insert(*late)
        await world.insert(*early)
        assert await relay.one_pass() == 2
        assert await relay.one_pass() == 0
        assert (await relay.status()).tail_length == 2
    assert await relay.one_pass() == 1
    await world.assert_carried()


async def test_another_replica_goes_on_where_the_tail_was_left(world: World) -> None:
    first = world.relay()
    late, early = chain(uuid4(), 1), chain(uuid4(), 2)
    async with world.writing() as writing:
        await writing.insert(*late)
        await world.insert(*early)
        assert await first.one_pass() == 2
        await first.close()
    assert await world.relay().one_pass() == 1
    await world.assert_carried()


async def test_of_two_replicas_one_leads(world: World) -> None:
    first, second = world.relay(), world.relay()
    await world.insert(*chain(uuid4(), 1))
    assert await first.one_pass() == 1
    assert await second.one_pass() is None
    assert (await second.status()).leader is not None


async def test_of_many_replicas_that_start_together_one_leads(world: World) -> None:
    leading = await asyncio.gather(*(world.relay().one_pass() for _ in range(6)))
    assert leading.count(0) == 1
    assert leading.count(None) == 5


async def test_a_replica_that_stops_cleanly_is_followed_at_once(world: World) -> None:
    first, second = world.relay(lease_s=60), world.relay(lease_s=60)
    assert await first.one_pass() == 0
    await first.close()
    assert await second.one_pass() == 0


async def test_a_relay_told_to_stop_still_carries_what_was_committed_before(world: World) -> None:
    stop = asyncio.Event()

    async def told_to_stop(step: Step) -> None:
        if step == "passed" and not stop.is_set():
            await world.insert(*chain(uuid4(), 3))
            stop.set()

    await world.insert(*chain(uuid4(), 1))
    await world.relay(reached=told_to_stop).run(stop)
    assert sum(len(records) for records in (await world.read()).values()) == 4
    await world.assert_carried()


async def test_a_relay_told_to_stop_while_a_send_fails_tries_once_more(world: World) -> None:
    stop = asyncio.Event()

    def fail(_batch: int) -> None:
        if not stop.is_set():
            stop.set()
            raise SendFailed("Kafka is away")

    await world.insert(*chain(uuid4(), 3))
    await world.relay(before=fail).run(stop)
    await world.assert_carried()


async def test_a_replica_that_has_not_led_does_not_begin_to_when_it_is_told_to_stop(world: World) -> None:
    stop = asyncio.Event()
    stop.set()
    await world.insert(*chain(uuid4(), 1))
    await world.relay().run(stop)
    assert await world.read() == {}
    assert await world.relay().one_pass() == 1


async def test_a_leader_stopped_past_its_lease_only_repeats(world: World) -> None:
    second = world.relay()
    stream = uuid4()
    events = chain(stream, 3)

    async def stopped(step: Step) -> None:
        if step == "sent":
            await world.insert(*events[1:])
            await world.let_the_lease_end()
            await until(lambda: leads(second))

    first = world.relay(reached=stopped)
    await world.insert(events[0])
    with pytest.raises(LeadershipLost):
        await first.one_pass()
    assert await second.one_pass() == 0
    await world.assert_carried()
    sent = [read_envelope(record.value or b"").version for record in (await world.read())[stream]]
    assert sent == [1, 1, 2, 3]


async def leads(relay: object) -> bool:
    return await relay.one_pass() is not None  # type: ignore[attr-defined]


async def test_a_leader_that_waits_for_kafka_keeps_its_lease(world: World) -> None:
    second = world.relay(lease_s=1.5)

    class Slow:
        async def send(self, topic: str, batch: object) -> dict[int, int]:
            for _ in range(5):
                await asyncio.sleep(0.5)
                assert await second.one_pass() is None
            return {0: 0}

        async def put(self, topic: str, key: bytes, value: bytes) -> None: ...

        async def abort(self) -> None: ...

    first = world.relay(lease_s=1.5, producer=Slow)
    await world.insert(*chain(uuid4(), 1))
    assert await first.one_pass() == 1


@pytest.mark.parametrize("step", ["led", "verified", "snapshot", "sent", "passed", "stored"])
async def test_a_crash_between_any_two_steps_only_repeats(world: World, step: Step) -> None:
    async def crash(at: Step) -> None:
        if at == step:
            raise Crash

    await world.insert(*chain(uuid4(), 7), *chain(uuid4(), 5))
    with pytest.raises(Crash):
        await world.relay(chunk_rows=5, reached=crash).one_pass()
    await world.let_the_lease_end()
    await world.insert(*chain(uuid4(), 3))
    relay = world.relay(lease_s=2)
    await until(lambda: leads(relay))
    await world.assert_carried()


@pytest.mark.parametrize("number", [0, 1, 2])
@pytest.mark.parametrize("acknowledged", [False, True])
async def test_a_send_that_fails_ends_the_pass_and_is_repeated(world: World, number: int, acknowledged: bool) -> None:
    failures = [number]

    def fail(batch: int) -> None:
        if failures == [batch]:
            failures.clear()
            raise SendFailed("the acknowledgement did not come")

    relay = world.relay(chunk_rows=5, after=fail) if acknowledged else world.relay(chunk_rows=5, before=fail)
    stream = uuid4()
    await world.insert(*chain(stream, 12))
    with pytest.raises(SendFailed):
        await relay.one_pass()
    assert len((await world.read())[stream]) == 5 * number + (min(5, 12 - 5 * number) if acknowledged else 0)
    assert await relay.one_pass() == 12
    await world.assert_carried()


async def test_what_kafka_has_already_without_saying_where_is_sent_again(world: World) -> None:
    class Forgetful:
        """Kafka has a batch whose acknowledgement was lost, and remembers no more of it."""

        def __init__(self) -> None:
            self.inner = world.producer()
            self.first = not unsure

        async def send(self, topic: str, batch: Sequence[Outgoing]) -> Mapping[int, int]:
            acknowledged = await self.inner.send(topic, batch)
            if self.first:
                unsure.append(self)
            return dict.fromkeys(acknowledged, -1) if self.first else acknowledged

        async def put(self, topic: str, key: bytes, value: bytes) -> None:
            await self.inner.put(topic, key, value)

        async def abort(self) -> None:
            await self.inner.abort()

    unsure: list[Forgetful] = []
    relay = world.relay(producer=Forgetful)
    await world.insert(*chain(uuid4(), 1))
    with pytest.raises(SendFailed, match="doesn't say where"):
        await relay.one_pass()
    assert await relay.one_pass() == 1
    assert max((await relay.status()).acknowledged.values()) >= 1, "the watermark speaks of this offset"
    await world.assert_carried()


async def test_the_running_relay_outlives_what_fails(world: World) -> None:
    failures = [0, 1]

    def fail(_batch: int) -> None:
        if failures:
            failures.pop()
            raise SendFailed("Kafka is away")

    stop = asyncio.Event()
    relay = world.relay(before=fail)
    await world.insert(*chain(uuid4(), 3))
    carrying = asyncio.create_task(relay.run(stop))
    await until(lambda: caught_up(world))
    stop.set()
    await carrying
    assert not failures
    await world.assert_carried()
    assert (await relay.status()).leader is None


async def test_the_status_says_what_waits_and_since_when(world: World) -> None:
    relay = world.relay()
    await relay.one_pass()
    waiting = chain(uuid4(), 4)
    await world.insert(*waiting)
    status = await relay.status()
    assert (status.lag_rows, status.oldest, status.verified) == (4, waiting[0].recorded_at, True)
    await relay.one_pass()
    assert (await relay.status()).lag_rows == 0


async def test_the_watermark_waits_for_every_open_transaction(world: World) -> None:
    relay = world.relay()
    async with world.writing() as writing:
        began = await writing.began()
        # The oldest recorded time that an append may still have which begins now.
        await writing.insert(document(uuid4(), recorded_at=began - timedelta(seconds=5)))
        await world.insert(*chain(uuid4(), 1))
        await relay.one_pass()
        held_back = (await relay.status()).watermark
        assert held_back is not None
        assert held_back <= began - timedelta(seconds=5)
    await relay.one_pass()
    moved = (await relay.status()).watermark
    assert moved is not None
    assert moved > held_back


async def test_the_watermark_never_overtakes_an_append_however_late_it_commits(world: World) -> None:
    chance = random.Random(11)
    relay = world.relay()
    writing = True
    passes = 0

    async def write() -> None:
        for _ in range(12):
            await asyncio.sleep(chance.random() * 0.05)
            await append_one(world, uuid4(), hold_s=chance.random() * 0.3, oldest_allowed=True)

    async def carry() -> None:
        nonlocal passes
        seen = 0
        last = False
        while not last:
            last = not writing
            before = (await relay.status()).watermark
            await relay.one_pass()
            sent = [each for batch in world.producers[0].batches for each in batch]
            for each in sent[seen:]:
                recorded = read_envelope(each.body).recordedtime
                assert before is None or recorded >= before, "the watermark had promised that nothing so old would come"
                passes += 1
            seen = len(sent)

    carrying = asyncio.create_task(carry())
    await asyncio.gather(*(write() for _ in range(8)))
    writing = False
    await carrying
    assert passes >= 90


async def test_the_watermark_is_published_with_the_offsets_that_it_speaks_of(world: World) -> None:
    relay = world.relay()
    await world.insert(*chain(uuid4(), 3))
    await relay.one_pass()
    ((key, records),) = (await world.read(world.watermark_topic)).items()
    said = json.loads(records[-1].value or b"")
    assert key == said["service"] == "testing"
    assert datetime.fromisoformat(said["recorded_until"]) == (await relay.status()).watermark
    assert list(said["offsets"].values()).count(2) == 1


async def test_the_watermark_of_a_quiet_service_moves_on(world: World) -> None:
    relay, stop = world.relay(), asyncio.Event()
    carrying = asyncio.create_task(relay.run(stop))

    async def twice() -> bool:
        return len((await world.read(world.watermark_topic))["testing"]) >= 2

    await until(twice)
    stop.set()
    await carrying
    first, second, *_ = [
        json.loads(each.value or b"")["recorded_until"] for each in (await world.read(world.watermark_topic))["testing"]
    ]
    assert first < second
