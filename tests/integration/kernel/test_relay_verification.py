"""A database that came back is compared with what the world has seen before anything is appended to it again."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any
from uuid import UUID, uuid4

import pytest
from tests.integration.kernel.carrying import World, chain, document, insert
from tests.support.databases import LEDGER_IS_OPEN, as_application
from tests.support.infrastructure import Infrastructure
from tests.support.topics import create_topic, delete_topics

from govevents.document import Document
from govevents.operations import DatabaseVouchedFor
from govkernel.kafka import EventProducer, Extent, KafkaAddress, KafkaUnavailable, Outgoing, TopicLog
from govkernel.postgres import Connection, create_pool
from govkernel.relay import (
    DatabaseIdentity,
    ForeignTransactions,
    Fork,
    TopicCut,
    TopicReplaced,
    adopt,
    send_everything_again,
    verify_everything_again,
    vouch,
)
from govkernel.relay.relay import TOPIC_KNOWN_S

RESTARTED = "UPDATE relay_checkpoint SET started_at = started_at - interval '1 hour'"
ALL = "SELECT stream, version, type, time, recorded_at, document, hash FROM events ORDER BY stream, version"


@pytest.fixture
async def world(database: str, kafka: str, topic: Callable[..., str]) -> AsyncIterator[World]:
    pool = await create_pool(database, largest=10)
    made = World(pool, KafkaAddress(kafka), topic(), topic(partitions=1, compacted=True))
    yield made
    await made.close()


async def carried(world: World, *events: Document) -> str:
    """Carry these, by a replica that then stops; the checkpoint that it leaves."""
    await insert(world.pool, *events)
    relay = world.relay()
    await relay.one_pass()
    await relay.close()
    return await world.checkpoint()


async def ends(world: World) -> Mapping[int, int]:
    return (await TopicLog(world.address).extent(world.topic)).ends


async def test_a_fresh_ledger_opens_at_the_first_pass(world: World) -> None:
    assert not await world.pool.fetchval(LEDGER_IS_OPEN)
    assert await world.relay().one_pass() == 0
    assert await world.pool.fetchval(LEDGER_IS_OPEN)


async def test_after_a_restart_a_complete_ledger_opens_again_and_sends_nothing_twice(world: World) -> None:
    await carried(world, *chain(uuid4(), 5))
    await world.pool.execute(RESTARTED)
    assert await world.relay().one_pass() == 0
    assert await world.pool.fetchval(LEDGER_IS_OPEN)
    assert sum((await ends(world)).values()) == 5


async def test_a_restart_is_noticed_by_a_leader_that_goes_on(world: World) -> None:
    relay = world.relay()
    await relay.one_pass()
    await world.pool.execute(RESTARTED)
    await insert(world.pool, *chain(uuid4(), 1))
    other = world.relay()
    await relay.close()
    assert await other.one_pass() == 1
    assert await world.pool.fetchval(LEDGER_IS_OPEN)


async def lose(world: World, events: Sequence[Document], checkpoint: str) -> None:
    """Set the ledger back to where it did not have these events, and had this checkpoint."""
    await world.pool.execute("DELETE FROM events WHERE hash = ANY($1)", [event.hash for event in events])
    await world.set_back(checkpoint)


async def test_a_ledger_that_was_set_back_gets_its_rows_back_byte_for_byte(world: World) -> None:
    stream, command = uuid4(), uuid4()
    kept = chain(stream, 3)
    checkpoint = await carried(world, *kept)
    lost = [
        *chain(stream, 2, after=kept[-1], command=command),
        *(event for _ in range(30) for event in chain(uuid4(), 4)),
    ]
    await carried(world, *lost)
    before = await world.pool.fetch(ALL)
    await lose(world, lost, checkpoint)
    brought: list[Document] = []

    async def hook(_connection: Connection, documents: Sequence[Document]) -> None:
        brought.extend(documents)

    await world.relay(brought_back=hook).one_pass()
    assert await world.pool.fetch(ALL) == before
    assert {each.body for each in brought} == {each.body for each in lost}
    assert await world.pool.fetchval(LEDGER_IS_OPEN)
    await world.assert_carried()


async def test_the_commands_of_what_was_brought_back_are_known_again(world: World) -> None:
    stream, created, continued = uuid4(), uuid4(), uuid4()
    checkpoint = await carried(world)
    first = chain(stream, 2, command=created)
    lost = [*first, *chain(stream, 3, after=first[-1], command=continued)]
    await carried(world, *lost)
    await lose(world, lost, checkpoint)
    await world.relay().one_pass()
    rows = await world.pool.fetch(
        "SELECT command, digest, stream, from_version, to_version, status, refusal, recorded_at FROM commands "
        "ORDER BY from_version"
    )
    assert [tuple(row) for row in rows] == [
        (created, b"", stream, 0, 2, 201, None, lost[1].recorded_at),
        (continued, b"", stream, 2, 5, 200, None, lost[4].recorded_at),
    ]


async def test_a_ledger_that_lost_everything_gets_it_all_back(world: World) -> None:
    checkpoint = await world.checkpoint()
    lost = [event for _ in range(20) for event in chain(uuid4(), 5)]
    await carried(world, *lost)
    before = await world.pool.fetch(ALL)
    await world.pool.execute("DELETE FROM events")
    await world.set_back(checkpoint)
    await world.relay().one_pass()
    assert await world.pool.fetch(ALL) == before


async def test_where_more_is_missing_than_the_checkpoint_knows_the_whole_topic_is_compared(world: World) -> None:
    stream = uuid4()
    early = chain(stream, 2)
    checkpoint = await carried(world, *early)
    late = chain(stream, 2, after=early[-1])
    await carried(world, *late)
    before = await world.pool.fetch(ALL)
    await lose(world, [*early, *late], checkpoint)
    await world.relay().one_pass()
    assert await world.pool.fetch(ALL) == before


async def test_repeats_in_the_topic_are_brought_back_once(world: World) -> None:
    checkpoint = await carried(world)
    lost = chain(uuid4(), 3)
    await carried(world, *lost)
    producer = EventProducer(world.address)
    await producer.send(world.topic, [Outgoing(each.stream, each.type, each.body) for each in lost])
    await producer.close()
    await lose(world, lost, checkpoint)
    await world.relay().one_pass()
    assert await world.pool.fetchval("SELECT count(*) FROM events") == 3


async def test_a_fork_is_refused_nothing_is_sent_and_the_ledger_stays_closed(world: World) -> None:
    stream = uuid4()
    kept = chain(stream, 1)
    checkpoint = await carried(world, *kept)
    seen = document(stream, 2, kept[0].hash, saying="what the world has seen")
    await carried(world, seen)
    await lose(world, [seen], checkpoint)
    await insert(world.pool, document(stream, 2, kept[0].hash, saying="what was written over it"), *chain(uuid4(), 3))
    held = await ends(world)
    with pytest.raises(Fork, match=f"{stream}@2"):
        await world.relay().one_pass()
    assert await ends(world) == held
    assert not await world.pool.fetchval(LEDGER_IS_OPEN)


async def test_a_fork_found_late_leaves_nothing_half_brought_back(world: World) -> None:
    checkpoint = await carried(world)
    stream = uuid4()
    seen, lost = document(stream, saying="seen"), chain(uuid4(), 50)
    await carried(world, *lost, seen)
    await lose(world, [seen, *lost], checkpoint)
    await insert(world.pool, document(stream, saying="written over it"))
    with pytest.raises(Fork):
        await world.relay().one_pass()
    assert await world.pool.fetchval("SELECT count(*) FROM events") == 1
    assert await world.pool.fetchval("SELECT count(*) FROM commands") == 0


async def test_a_record_that_follows_another_past_is_a_fork(world: World) -> None:
    stream = uuid4()
    checkpoint = await carried(world)
    seen = chain(stream, 2)
    await carried(world, *seen)
    await lose(world, seen, checkpoint)
    await insert(world.pool, document(stream, saying="another past"))
    with pytest.raises(Fork):
        await world.relay().one_pass()


async def test_what_is_no_event_of_this_ledger_is_passed_over(world: World) -> None:
    await carried(world, *chain(uuid4(), 1))
    producer = EventProducer(world.address)
    await producer.send(world.topic, [Outgoing(uuid4(), "testing.Rubbish", b"{not a document")])
    await producer.close()
    await world.pool.execute(RESTARTED)
    assert await world.relay().one_pass() == 0
    assert await world.pool.fetchval(LEDGER_IS_OPEN)


async def test_appends_stay_closed_until_whoever_led_before_must_have_stopped(world: World) -> None:
    loop = asyncio.get_running_loop()
    await world.relay().one_pass()
    await world.let_the_lease_end()
    await world.pool.execute(RESTARTED)
    looked: list[float] = []

    class Watched(TopicLog):
        async def extent(self, topic: str) -> Extent:
            looked.append(loop.time())
            return await super().extent(topic)

    began = loop.time()
    await world.relay(lease_s=2.0, topic_log=Watched(world.address)).one_pass()
    assert looked[0] - began >= 2.0


async def test_a_topic_made_anew_is_an_alarm_until_everything_may_be_sent_again(world: World) -> None:
    await carried(world, *chain(uuid4(), 4))
    await world.pool.execute("UPDATE relay_checkpoint SET topic_id = 'another'")
    with pytest.raises(TopicReplaced):
        await world.relay().one_pass()
    await world.let_the_lease_end()
    await send_everything_again(world.pool)
    assert await world.relay().one_pass() == 4
    await world.assert_carried()


async def test_a_leader_that_goes_on_sends_nothing_to_a_topic_that_took_the_place_of_its_own(
    world: World, kafka: str
) -> None:
    relay = world.relay()
    await insert(world.pool, *chain(uuid4(), 4))
    assert await relay.one_pass() == 4
    delete_topics(kafka, world.topic)
    create_topic(kafka, world.topic)
    await asyncio.sleep(TOPIC_KNOWN_S)
    await insert(world.pool, *chain(uuid4(), 4))
    with pytest.raises(TopicReplaced):
        await relay.one_pass()
    assert sum((await ends(world)).values()) == 0
    await send_everything_again(world.pool)
    assert await relay.one_pass() == 8
    await world.assert_carried()


async def test_a_topic_that_lost_acknowledged_records_is_an_alarm(world: World) -> None:
    await carried(world, *chain(uuid4(), 4))
    await world.pool.execute("""UPDATE relay_checkpoint SET acknowledged = '{"0": 100}'""")
    await world.pool.execute(RESTARTED)
    with pytest.raises(TopicCut, match="send everything again"):
        await world.relay().one_pass()
    assert not await world.pool.fetchval(LEDGER_IS_OPEN)


async def test_a_new_record_below_an_acknowledged_offset_is_an_alarm(world: World) -> None:
    await carried(world, *chain(uuid4(), 1))
    everywhere = "{" + ",".join(f'"{partition}": 100' for partition in range(12)) + "}"
    await world.pool.execute("UPDATE relay_checkpoint SET acknowledged = $1::text::jsonb", everywhere)
    await insert(world.pool, *chain(uuid4(), 1))
    with pytest.raises(TopicCut):
        await world.relay().one_pass()


async def test_what_was_ordered_before_is_not_done_again(world: World) -> None:
    await carried(world, *chain(uuid4(), 2))

    async def known(_connection: Connection) -> bool:
        return False

    before = await world.checkpoint()
    assert not await send_everything_again(world.pool, record=known)
    assert not await verify_everything_again(world.pool, record=known)
    assert await world.checkpoint() == before


async def test_an_order_is_recorded_while_the_ledger_is_closed_and_leaves_it_closed(world: World) -> None:
    await carried(world, *chain(uuid4(), 2))
    await world.pool.execute(RESTARTED)
    seen: list[bool] = []

    async def record(connection: Connection) -> bool:
        seen.append(await connection.fetchval(LEDGER_IS_OPEN))
        return True

    assert await send_everything_again(world.pool, record=record)
    assert seen == [True]
    assert not await world.pool.fetchval(LEDGER_IS_OPEN)
    assert await world.relay().one_pass() == 2


async def test_a_leader_that_goes_on_verifies_everything_when_an_operator_says_so(world: World) -> None:
    lost = chain(uuid4(), 3)
    await carried(world, *lost)
    relay = world.relay()
    await relay.one_pass()
    await world.pool.execute("DELETE FROM events WHERE version > 1")
    await verify_everything_again(world.pool)
    assert not await world.pool.fetchval(LEDGER_IS_OPEN)

    stop = asyncio.Event()
    running = asyncio.create_task(relay.run(stop))
    async with asyncio.timeout(30):
        while not await world.pool.fetchval(LEDGER_IS_OPEN):
            await asyncio.sleep(0.02)
    stop.set()
    await running
    assert (await relay.status()).brought_back == 2
    assert await world.pool.fetchval("SELECT count(*) FROM events") == 3


async def test_what_holds_the_leader_up_is_told_by_every_replica_until_it_goes_on(world: World) -> None:
    await carried(world, *chain(uuid4(), 1))
    await world.pool.execute("UPDATE relay_checkpoint SET topic_id = 'another'")
    relay, other = world.relay(), world.relay()
    stop = asyncio.Event()
    running = asyncio.create_task(relay.run(stop))
    async with asyncio.timeout(30):
        while (alarm := (await other.status()).alarm) is None:
            await asyncio.sleep(0.02)
    stop.set()
    await running
    assert alarm.startswith("TopicReplaced: ")
    await send_everything_again(world.pool)
    await relay.one_pass()
    assert (await other.status()).alarm is None


async def test_a_leader_that_an_alarm_holds_up_stops_quietly_when_it_is_told_to(world: World) -> None:
    await carried(world, *chain(uuid4(), 1))
    await world.pool.execute("UPDATE relay_checkpoint SET topic_id = 'another'")
    relay, stop = world.relay(lease_s=60), asyncio.Event()
    running = asyncio.create_task(relay.run(stop))
    async with asyncio.timeout(30):
        while (await relay.status()).alarm is None:
            await asyncio.sleep(0.02)
    stop.set()
    await running
    assert (await relay.status()).leader is None


async def restored_from_a_dump(world: World, *, transactions: int) -> None:
    """Let the rows and the checkpoint speak of another server's transactions, as they do after a dump was restored."""
    await world.pool.execute("UPDATE events SET txid = (txid::text::bigint + $1)::text::xid8", transactions)
    await world.pool.execute(
        "UPDATE relay_checkpoint SET low_txid = (low_txid::text::bigint + $1)::text::xid8", transactions
    )
    await world.pool.execute(RESTARTED)


async def test_a_ledger_with_another_servers_transactions_is_refused_until_it_is_adopted(world: World) -> None:
    await carried(world, *chain(uuid4(), 3))
    await restored_from_a_dump(world, transactions=1_000_000_000)
    relay = world.relay()
    with pytest.raises(ForeignTransactions, match="adopt"):
        await relay.one_pass()
    assert not await world.pool.fetchval(LEDGER_IS_OPEN)
    await insert(world.pool, *chain(uuid4(), 2))
    async with world.pool.acquire() as connection:
        assert await adopt(connection) == 5
        assert await adopt(connection) == 0
    assert await relay.one_pass() == 5
    await world.assert_carried()


async def test_adopting_brings_back_what_the_dump_lacks(world: World) -> None:
    kept = chain(uuid4(), 3)
    checkpoint = await carried(world, *kept)
    lost = chain(kept[0].stream, 2, after=kept[-1])
    await carried(world, *lost)
    await lose(world, lost, checkpoint)
    await restored_from_a_dump(world, transactions=1_000_000_000)
    async with world.pool.acquire() as connection:
        await adopt(connection)
    relay = world.relay()
    await relay.one_pass()
    assert (await relay.status()).brought_back == 2
    await world.assert_carried()


async def test_a_live_ledger_that_is_adopted_by_mistake_only_sends_everything_once_more(world: World) -> None:
    await carried(world, *chain(uuid4(), 3))
    async with world.pool.acquire() as connection:
        await adopt(connection)
    assert not await world.pool.fetchval(LEDGER_IS_OPEN)
    assert await world.relay().one_pass() == 3
    assert await world.pool.fetchval(LEDGER_IS_OPEN)
    await world.assert_carried()


class Away:
    async def identity(self, topic: str) -> Any:
        raise KafkaUnavailable("Kafka is away")


async def test_where_kafka_is_away_an_operator_can_vouch_and_that_is_recorded(world: World) -> None:
    await carried(world, *chain(uuid4(), 1))
    await world.pool.execute(RESTARTED)
    relay = world.relay(topics=Away())
    with pytest.raises(KafkaUnavailable):
        await relay.one_pass()
    assert not await world.pool.fetchval(LEDGER_IS_OPEN)
    recorded: list[tuple[DatabaseVouchedFor, str]] = []

    async def record(
        connection: Connection, vouched: DatabaseVouchedFor, _identity: DatabaseIdentity, actor: str
    ) -> None:
        assert await connection.fetchval(LEDGER_IS_OPEN), "the ledger takes the record of its own opening"
        recorded.append((vouched, actor))

    await vouch(world.pool, reason="compared by hand", actor=str(UUID(int=1)), record=record)
    assert await world.pool.fetchval(LEDGER_IS_OPEN)
    ((vouched, actor),) = recorded
    assert (vouched.reason, actor) == ("compared by hand", str(UUID(int=1)))
    await insert(world.pool, *chain(uuid4(), 1))
    await relay.close()
    assert await world.relay().one_pass() == 1


async def test_the_applications_rights_are_enough(
    infrastructure: Infrastructure, empty_database: str, kafka: str, topic: Callable[..., str]
) -> None:
    async with as_application(infrastructure.postgres_url, empty_database) as url:
        pool = await create_pool(url)
        world = World(pool, KafkaAddress(kafka), topic(), topic(partitions=1, compacted=True))
        lost = chain(uuid4(), 3)
        producer = EventProducer(world.address)
        await producer.send(world.topic, [Outgoing(each.stream, each.type, each.body) for each in lost])
        await producer.close()
        relay = world.relay()
        assert await relay.one_pass() == 3
        assert (await relay.status()).watermark is not None
        assert await pool.fetchval("SELECT count(*) FROM commands") == 3
        await relay.close()
        await pool.close()
