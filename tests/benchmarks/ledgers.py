"""Ledgers to measure on: opened, filled beforehand, and checked afterwards."""

import contextlib
from collections.abc import AsyncIterator, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any, Final
from uuid import UUID, uuid4

import asyncpg
from tests.benchmarks.fund import CATALOGUE, FUND, LIMIT_MINOR, PURPOSE, Fund, FundOpened, MoneyDrawn, Open
from tests.support.databases import OPEN_LEDGER

from govevents.document import Document, Origin, encode
from govkernel.ledger import Appended, Context, Intent, Ledger, Loaded
from govkernel.postgres import create_pool
from govkernel.processes.process import LARGEST_POOL

SERVICE: Final = "benchmarks"
COLUMNS: Final = ("stream", "version", "type", "time", "recorded_at", "document", "hash")

CHECK: Final = """
SELECT count(*) AS events,
  count(*) FILTER (WHERE sha256(document) <> hash) AS mishashed,
  count(*) FILTER (WHERE version <> position) AS misplaced,
  count(*) FILTER (WHERE prevhash IS DISTINCT FROM encode(before, 'hex')) AS unchained
FROM (
  SELECT version, document, hash, row_number() OVER stream AS position, lag(hash) OVER stream AS before,
    convert_from(document, 'UTF8')::jsonb ->> 'prevhash' AS prevhash
  FROM events WHERE type LIKE 'benchmarks.%' WINDOW stream AS (PARTITION BY stream ORDER BY version)) AS each"""

THERE: Final = """
SELECT count(*) FROM (SELECT DISTINCT stream, version FROM unnest($1::uuid[], $2::int[]) AS answered (stream, version))
JOIN events USING (stream, version)"""


def utc_now() -> datetime:
    """The clock."""
    return datetime.now(UTC)


@contextlib.asynccontextmanager
async def ledger_at(url: str, *, service: str = SERVICE) -> AsyncIterator[Ledger]:
    """A service's ledger as its process has it, open for appends."""
    pool = await create_pool(url, largest=LARGEST_POOL)
    try:
        await pool.execute(OPEN_LEDGER)
        yield Ledger(pool, service=service, catalogue=CATALOGUE, clock=utc_now, refusal_status=lambda _refusal: 409)
    finally:
        await pool.close()


def context() -> Context:
    """A command that nobody has sent before."""
    now = utc_now()
    command = uuid4()
    return Context(command, sha256(command.bytes).digest(), "service:benchmarks", now, now, str(command))


async def opened(ledger: Ledger, stream: UUID) -> Loaded[Fund]:
    """A fund that was opened just now."""
    nothing: Loaded[Fund] = await ledger.load(FUND, stream)
    item, after = ledger.prepare(context(), Intent(FUND, stream, Open(LIMIT_MINOR, "Mains")), nothing)
    assert isinstance(await ledger.submit(item), Appended)
    return after


def histories(streams: Sequence[UUID], length: int, *, service: str = SERVICE) -> Iterator[Document]:
    """The events of funds that were opened and drawn on by turns: the first of each, then the second of each, ..."""
    began = utc_now() - timedelta(days=1)
    before: list[bytes | None] = [None] * len(streams)
    for version in range(1, length + 1):
        moment = began + timedelta(seconds=version)
        for index, stream in enumerate(streams):
            made = encode(
                FundOpened(LIMIT_MINOR, "Mains") if version == 1 else MoneyDrawn(version, PURPOSE),
                service=service,
                aggregate=FUND.name,
                stream=stream,
                version=version,
                previous_hash=before[index],
                time=moment,
                recorded_at=moment,
                actor="service:benchmarks",
                command=uuid4(),
                correlation=str(stream),
                causation=None,
                origin=Origin.LIVE,
            )
            before[index] = made.hash
            yield made


async def fill(url: str, streams: Sequence[UUID], length: int, *, service: str = SERVICE) -> None:
    """Write the histories of funds into a ledger, all at once."""
    connection = await asyncpg.connect(url)
    try:
        await connection.copy_records_to_table(
            "events",
            columns=COLUMNS,
            records=(
                (each.stream, each.version, each.type, each.time, each.recorded_at, each.body, each.hash)
                for each in histories(streams, length, service=service)
            ),
            timeout=600,
        )
        # Or it would be done while something is measured.
        await connection.execute("VACUUM (ANALYZE) events", timeout=600)
    finally:
        await connection.close()


async def count_events(url: str) -> int:
    """How many events a ledger has."""
    connection = await asyncpg.connect(url)
    try:
        return int(await connection.fetchval("SELECT count(*) FROM events", timeout=600))
    finally:
        await connection.close()


async def check(url: str, answered: Sequence[tuple[UUID, int]], *, filled: int, commands: int | None = None) -> None:
    """Every answered event is there once, nothing else is, streams have no gaps, and hashes are chained.

    `filled` is how many events were there beforehand; `commands` is how many command rows there must be, None for any.
    """
    connection = await asyncpg.connect(url)
    try:
        found: Any = await connection.fetchrow(CHECK, timeout=600)
        there = await connection.fetchval(
            THERE, [stream for stream, _ in answered], [version for _, version in answered], timeout=600
        )
        rows = await connection.fetchval("SELECT count(*) FROM commands")
    finally:
        await connection.close()
    assert found["events"] == filled + len(answered), f"{found['events']} events, {filled} + {len(answered)} expected"
    assert there == len(answered), f"{len(answered)} were answered, {there} of them are there"
    assert (found["mishashed"], found["misplaced"], found["unchained"]) == (0, 0, 0), dict(found)
    assert commands is None or rows == commands, f"{rows} command rows, {commands} expected"
