"""Snapshots against a real PostgreSQL: a convenience, never a source."""

from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest
from tests.integration.kernel.jar import CATALOGUE, JAR, AddCoin, CloseJar, Command, Event, Jar, OpenJar, context
from tests.support.databases import OPEN_LEDGER

from govkernel.ledger import Intent, Ledger
from govkernel.ledger.snapshots import EVERY_EVENTS, SnapshotCodec
from govkernel.postgres import create_pool

Process = Callable[[], Ledger]


@pytest.fixture
async def process(database: str) -> AsyncIterator[Process]:
    """Makes the ledger of another process, which remembers nothing."""
    pool = await create_pool(database, largest=5)
    await pool.execute(OPEN_LEDGER)

    def made() -> Ledger:
        return Ledger(
            pool, service="testing", catalogue=CATALOGUE, clock=lambda: datetime.now(UTC), refusal_status=lambda _: 409
        )

    yield made
    await pool.close()


async def add(ledger: Ledger, jar: UUID, *commands: Command) -> None:
    loaded = await ledger.load(JAR, jar)
    batch = []
    for command in commands:
        item, loaded = ledger.prepare(context(), Intent(JAR, jar, command), loaded)
        batch.append(item)
    async with ledger.pool.acquire() as connection, connection.transaction():
        await ledger.append(connection, batch)


async def long_stream(process: Process) -> UUID:
    jar = uuid4()
    await add(process(), jar, OpenJar(1_000), *(AddCoin(f"p{number}") for number in range(EVERY_EVENTS)))
    return jar


async def read_without_its_beginning(process: Process, jar: UUID, aggregate: Any = JAR) -> Any:
    """The stream as a process loads it where the events before its snapshot can't be read."""
    ledger = process()
    rows = await ledger.pool.fetch("DELETE FROM events WHERE stream = $1 AND version < 50 RETURNING *", jar)
    try:
        return await ledger.load(aggregate, jar)
    finally:
        await ledger.pool.executemany(
            "INSERT INTO events (stream, version, type, time, recorded_at, document, hash) VALUES ($1,$2,$3,$4,$5,$6,$7)",
            [row[1:8] for row in map(tuple, rows)],
        )


async def test_a_long_stream_is_read_from_its_snapshot_on(process: Process) -> None:
    jar = await long_stream(process)
    folded = await process().load(JAR, jar)
    assert await read_without_its_beginning(process, jar) == folded
    await add(process(), jar, CloseJar("done"))
    later = await read_without_its_beginning(process, jar)
    assert (later.head.version, later.state) == (EVERY_EVENTS + 2, replace(folded.state, closed=True))


async def test_a_short_stream_has_none(process: Process) -> None:
    jar = uuid4()
    await add(process(), jar, OpenJar(3), AddCoin("ana"))
    await process().load(JAR, jar)
    assert await process().pool.fetchval("SELECT count(*) FROM snapshots") == 0


async def test_a_snapshot_of_other_code_does_not_count(process: Process) -> None:
    jar = await long_stream(process)
    folded = await process().load(JAR, jar)
    await process().pool.execute("UPDATE snapshots SET fold = 'of last year', state = '{}'")
    assert await process().load(JAR, jar) == folded
    assert await process().pool.fetchval("SELECT fold FROM snapshots") == SnapshotCodec(JAR).fold


async def test_a_snapshot_of_another_history_does_not_count(process: Process) -> None:
    jar = await long_stream(process)
    folded = await process().load(JAR, jar)
    await process().pool.execute("UPDATE snapshots SET hash = sha256('another'), state = '{}'")
    assert await process().load(JAR, jar) == folded


async def test_a_snapshot_that_can_not_be_read_does_not_count(process: Process) -> None:
    jar = await long_stream(process)
    folded = await process().load(JAR, jar)
    await process().pool.execute("UPDATE snapshots SET state = 'nothing that it would say'")
    assert await process().load(JAR, jar) == folded


async def test_what_comes_after_a_snapshot_is_chained_to_it(process: Process) -> None:
    jar = await long_stream(process)
    await process().load(JAR, jar)
    ledger = process()
    await add(ledger, jar, CloseJar("done"))
    assert [type(one.event).__name__ for one in await ledger.events(jar, after=EVERY_EVENTS + 1)] == ["JarClosed"]
    assert (await process().load(JAR, jar)).state.closed


def evolve_loosely(jar: Jar, happened: Event) -> Jar:
    return replace(jar, coins=(*jar.coins, float("nan")))  # type: ignore[arg-type]


async def test_a_state_that_would_not_be_read_back_as_it_is_is_folded_each_time(process: Process) -> None:
    jar = await long_stream(process)
    await process().load(replace(JAR, evolve=evolve_loosely), jar)
    assert await process().pool.fetchval("SELECT count(*) FROM snapshots") == 0


def test_a_codec_knows_an_aggregate_by_its_code() -> None:
    assert SnapshotCodec(JAR).fold == SnapshotCodec(replace(JAR, decide=lambda _command, _state: ())).fold
    assert SnapshotCodec(JAR).fold != SnapshotCodec(replace(JAR, name="bottle")).fold
    assert SnapshotCodec(JAR).fold != SnapshotCodec(replace(JAR, evolve=evolve_loosely)).fold
