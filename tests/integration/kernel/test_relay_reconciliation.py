"""Ledger, answers and topic are compared while the service goes on, and whatever differs is named."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any
from uuid import UUID, uuid4

import pytest
from tests.integration.kernel.carrying import World, chain, document, insert

from govevents.document import Document
from govkernel.kafka import EventProducer, KafkaAddress, Outgoing, TopicLog
from govkernel.postgres import create_pool
from govkernel.relay import (
    Kind,
    Reconciled,
    Reconciliation,
    ReconciliationRunning,
    Stage,
    send_everything_again,
    verify_everything_again,
)

COMMANDS = """
INSERT INTO commands (command, digest, stream, from_version, to_version, status, recorded_at)
SELECT (convert_from(document, 'UTF8')::json ->> 'command')::uuid, '', stream, version - 1, version, 200, recorded_at
FROM events ON CONFLICT DO NOTHING"""


TAMPERED = [
    (
        "UPDATE events SET document = document || '\\x20'::bytea WHERE version = 2",
        Kind.DOCUMENT,
        "its bytes have hash",
    ),
    ("UPDATE events SET document = 'rubbish' WHERE version = 2", Kind.DOCUMENT, "not a Gatehouse document"),
    ("UPDATE events SET version = 9 WHERE version = 3", Kind.DOCUMENT, "its document is"),
    ("UPDATE events SET type = 'other' WHERE version = 2", Kind.COPY, "its row has type other"),
    ("UPDATE events SET time = time - interval '1 us' WHERE version = 2", Kind.COPY, "its row has time"),
    ("UPDATE events SET recorded_at = now() WHERE version = 2", Kind.COPY, "its row has recorded_at"),
    ("DELETE FROM events WHERE version = 2", Kind.GAP, "version 2 is missing"),
    ("UPDATE events SET hash = 'x' WHERE version = 1", Kind.CHAIN, "but 78 is before it"),
    ("DELETE FROM commands WHERE to_version = 2", Kind.COMMAND, "there is no row of its command"),
    ("UPDATE commands SET to_version = 3 WHERE to_version = 2", Kind.COMMAND, "versions 1 to 3"),
    ("UPDATE commands SET refusal = '{}' WHERE to_version = 2", Kind.COMMAND, "refused"),
    (
        "UPDATE commands SET to_version = 7, from_version = 7 WHERE to_version = 2",
        Kind.COMMAND,
        "which is not there",
    ),
    ("UPDATE commands SET stream = gen_random_uuid() WHERE to_version = 2", Kind.COMMAND, "the row of its command"),
]
PUT_BACK = """
DELETE FROM events; INSERT INTO events OVERRIDING SYSTEM VALUE SELECT * FROM kept_events;
DELETE FROM commands; INSERT INTO commands SELECT * FROM kept_commands"""


@pytest.fixture
async def world(database: str, kafka: str, topic: Callable[..., str]) -> AsyncIterator[World]:
    pool = await create_pool(database, largest=10)
    made = World(pool, KafkaAddress(kafka), topic(), topic(partitions=1, compacted=True))
    yield made
    await made.close()


async def carried(world: World, *events: Document) -> None:
    await insert(world.pool, *events)
    await world.pool.execute(COMMANDS)
    relay = world.relay()
    await relay.one_pass()
    await relay.close()


async def send(world: World, *events: Document) -> None:
    producer = EventProducer(world.address)
    await producer.send(world.topic, [Outgoing(each.stream, each.type, each.body) for each in events])
    await producer.close()


async def reconciled(world: World, **options: Any) -> Reconciled:
    options = {"topic": world.topic, **options}
    return await Reconciliation(world.pool, TopicLog(world.address), "testing", **options).run()


def told(found: Reconciled) -> list[tuple[Kind, str]]:
    return [(finding.kind, finding.place) for finding in found.findings]


async def test_a_whole_ledger_has_nothing_to_tell_however_small_the_chunks(world: World) -> None:
    shown: list[Stage] = []
    await carried(world, *(each for _ in range(20) for each in chain(uuid4(), 5)))
    found = await reconciled(world, chunk_rows=7, show=shown.append)
    assert found == Reconciled(100, 20, 100, 100, 0, 0, {}, ())
    assert {stage.name: stage for stage in shown} == {
        name: Stage(name, 100, 100) for name in ("reading", "comparing", "checking events", "checking commands")
    }


async def test_what_waits_to_be_sent_and_what_was_sent_again_is_no_difference(world: World) -> None:
    await carried(world, *chain(uuid4(), 3))
    await send_everything_again(world.pool)
    relay = world.relay()
    await relay.one_pass()
    await relay.close()
    await insert(world.pool, *chain(uuid4(), 2))
    await world.pool.execute(COMMANDS)
    found = await reconciled(world)
    assert (found.records, found.repeats, found.unsent, found.counts) == (6, 3, 2, {})


async def test_a_command_that_appended_several_versions_is_one_act_across_chunks(world: World) -> None:
    stream, command = uuid4(), uuid4()
    await insert(world.pool, *chain(stream, 9, command=command))
    await world.pool.execute(
        "INSERT INTO commands (command, digest, stream, from_version, to_version, status, recorded_at) "
        "VALUES ($1, '', $2, 0, 9, 201, now())",
        command,
        stream,
    )
    assert (await reconciled(world, chunk_rows=4)).counts == {}


async def test_whatever_is_wrong_within_the_ledger_is_named(world: World) -> None:
    await carried(world, *chain(uuid4(), 3))
    await world.pool.execute("CREATE TABLE kept_events AS TABLE events; CREATE TABLE kept_commands AS TABLE commands")
    for tampering, kind, said in TAMPERED:
        await world.pool.execute(tampering)
        found = await reconciled(world)
        assert any(each.kind is kind and said in each.what for each in found.findings), (tampering, found.findings)
        await world.pool.execute(PUT_BACK)
    assert (await reconciled(world)).counts == {}


async def test_what_the_topic_lacks_although_it_counts_as_sent_is_named(world: World) -> None:
    stream = uuid4()
    await carried(world, *chain(uuid4(), 2))
    await insert(world.pool, *chain(stream, 1))
    await world.pool.execute(COMMANDS)
    await world.pool.execute("UPDATE relay_checkpoint SET low_txid = pg_current_xact_id()")
    assert told(await reconciled(world)) == [(Kind.NOT_SENT, f"{stream}@1")]


async def test_what_the_ledger_lost_and_the_topic_has_can_be_brought_back(world: World) -> None:
    stream = uuid4()
    events = chain(stream, 4)
    await carried(world, *events)
    await world.pool.execute("DELETE FROM events WHERE version > 2")
    await world.pool.execute("DELETE FROM commands WHERE to_version > 2")
    assert told(await reconciled(world)) == [(Kind.LOST, f"{stream}@3"), (Kind.LOST, f"{stream}@4")]
    assert await verify_everything_again(world.pool)
    relay = world.relay()
    await relay.one_pass()
    assert (await relay.status()).brought_back == 2
    await relay.close()
    assert (await reconciled(world)).counts == {}


async def test_two_documents_at_one_place_are_a_fork_and_both_are_named(world: World) -> None:
    stream = uuid4()
    first = document(stream)
    await carried(world, first)
    kept, seen = document(stream, 2, first.hash, saying="kept"), document(stream, 2, first.hash, saying="seen")
    await insert(world.pool, kept)
    await world.pool.execute(COMMANDS)
    await send(world, seen, *chain(stream, 1, after=seen))
    found = await reconciled(world)
    assert told(found) == [(Kind.FORK, f"{stream}@2"), (Kind.CUT_OFF, f"{stream}@3")]
    assert seen.hash.hex() in found.findings[0].what
    assert kept.hash.hex() in found.findings[0].what


async def test_a_fork_of_the_topic_alone_and_one_of_the_past_are_told(world: World) -> None:
    twice, other = uuid4(), uuid4()
    await carried(world, document(other, saying="one past"))
    past = document(other, saying="another past")
    await send(world, document(twice, saying="one"), document(twice, saying="two"), *chain(other, 1, after=past))
    found = await reconciled(world)
    assert sorted(told(found), key=str) == sorted(
        [(Kind.LOST, f"{twice}@1"), (Kind.FORK, f"{twice}@1"), (Kind.FORK, f"{other}@2")], key=str
    )


async def test_what_follows_nothing_is_cut_off(world: World) -> None:
    stream = uuid4()
    await send(world, *chain(stream, 4)[2:])
    found = await reconciled(world)
    assert [each for each in told(found) if each[0] is not Kind.ORDER] == [
        (Kind.CUT_OFF, f"{stream}@3"),
        (Kind.CUT_OFF, f"{stream}@4"),
    ]


async def test_an_event_before_the_one_that_precedes_it_is_out_of_order(world: World) -> None:
    stream = uuid4()
    events = chain(stream, 3)
    await insert(world.pool, *events)
    await world.pool.execute(COMMANDS)
    await send(world, events[0], events[2], events[1], events[0], events[1], events[2])
    assert told(await reconciled(world)) == [(Kind.ORDER, f"{stream}@3")]


async def test_records_that_are_no_events_of_this_ledger_are_named_by_their_place(world: World) -> None:
    producer = EventProducer(world.address)
    misplaced = document(uuid4())
    await producer.send(world.topic, [Outgoing(uuid4(), "rubbish", b"{}"), Outgoing(uuid4(), "test", misplaced.body)])
    await producer.close()
    found = await reconciled(world)
    assert found.counts == {Kind.STRANGER: 2}
    assert all(each.where.startswith(f"{world.topic}/") for each in found.findings)


async def test_only_the_first_differences_are_told_and_all_are_counted(world: World) -> None:
    await carried(world, *(each for _ in range(30) for each in chain(uuid4(), 1)))
    await world.pool.execute("UPDATE events SET type = 'other'")
    found = await reconciled(world, most_findings=5)
    assert found.counts == {Kind.COPY: 30}
    assert len(found.findings) == 5


async def test_the_topic_alone_can_be_compared(world: World) -> None:
    await carried(world, *chain(uuid4(), 3))
    await world.pool.execute("UPDATE events SET type = 'other'")
    found = await reconciled(world, topic_only=True)
    assert (found.events, found.records, found.counts) == (0, 3, {})


async def test_two_at_once_are_refused_and_nothing_is_left_behind(world: World) -> None:
    await carried(world, *chain(uuid4(), 1))
    async with world.pool.acquire() as connection:
        await connection.execute("SELECT pg_advisory_lock(7291005)")
        with pytest.raises(ReconciliationRunning):
            await reconciled(world)
        await connection.execute("SELECT pg_advisory_unlock(7291005)")
    await reconciled(world)
    assert not await world.pool.fetchval("SELECT count(*) FROM pg_namespace WHERE nspname = 'reconciliation'")
    # Locks are those of the whole server, and other tests have databases of their own there.
    assert not await world.pool.fetchval(
        "SELECT count(*) FROM pg_locks JOIN pg_database ON pg_database.oid = pg_locks.database "
        "WHERE locktype = 'advisory' AND datname = current_database()"
    )


async def test_a_ledger_that_grows_meanwhile_is_still_whole(world: World) -> None:
    await carried(world, *(each for _ in range(10) for each in chain(uuid4(), 3)))
    grown: dict[UUID, Document] = {}

    class Growing(TopicLog):
        async def extent(self, topic: str) -> Any:
            found = await super().extent(topic)
            heads = await world.pool.fetch("SELECT DISTINCT ON (stream) * FROM events ORDER BY stream, version DESC")
            for head in heads:
                grown[head["stream"]] = document(head["stream"], head["version"] + 1, bytes(head["hash"]))
            await carried(world, *grown.values())
            return found

    found = await Reconciliation(world.pool, Growing(world.address), "testing", world.topic, chunk_rows=4).run()
    assert (len(grown), found.counts) == (10, {})


async def test_one_that_is_broken_off_leaves_nothing_behind(world: World) -> None:
    await carried(world, *chain(uuid4(), 3))
    reached = asyncio.Event()

    class Stuck(TopicLog):
        async def read(self, *_arguments: Any, **_options: Any) -> AsyncIterator[Any]:
            reached.set()
            await asyncio.Event().wait()
            yield

    running = asyncio.create_task(Reconciliation(world.pool, Stuck(world.address), "testing", world.topic).run())
    async with asyncio.timeout(20):
        await reached.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert not await world.pool.fetchval("SELECT count(*) FROM pg_namespace WHERE nspname = 'reconciliation'")
    assert (await reconciled(world)).counts == {}
