"""What it costs to read: a stream of 10, 100 and 1,000 events, and a read model of a large log as of an earlier time.

Nothing is asked of these rows; they tell how cost grows.
"""

from functools import partial
from typing import Any, Final
from uuid import uuid4

from sqlalchemy.ext.asyncio import AsyncEngine
from tests.benchmarks.bench import Bench, Benchmark
from tests.benchmarks.callers import callers
from tests.benchmarks.fund import CATALOGUE, FUND
from tests.benchmarks.growth import large_log
from tests.benchmarks.ledgers import fill, ledger_at, utc_now
from tests.benchmarks.row import Row, interleaved

from govkernel.ledger import Ledger
from govkernel.postgres import create_engine
from govkernel.readmodels import as_of

LENGTHS: Final = (10, 100, 1000)
STREAMS: Final = 20
PAGE: Final = 50

ROWS_OF: Final = "SELECT version, document, hash FROM events WHERE stream = $1 ORDER BY version"


async def load(bench: Bench, length: int) -> list[Row]:
    """Streams of which nothing is remembered, read, decoded, checked and folded, against the bare rows."""
    streams = [uuid4() for _ in range(STREAMS)]
    async with bench.database() as url, ledger_at(url) as opened:
        await fill(url, streams, length)
        turn = 0

        async def loaded(_caller: int) -> None:
            nonlocal turn
            turn += 1
            # A ledger that was never asked remembers nothing.
            ledger = Ledger(
                opened.pool,
                service=opened.service,
                catalogue=CATALOGUE,
                clock=utc_now,
                refusal_status=opened.refusal_status,
            )
            found = await ledger.load(FUND, streams[turn % STREAMS])
            assert found.head.version == length
            assert found.state.drawn_minor == sum(range(2, length + 1))

        async def fetched(_caller: int) -> None:
            nonlocal turn
            turn += 1
            async with opened.pool.acquire() as connection:
                assert len(await connection.fetch(ROWS_OF, streams[turn % STREAMS])) == length

        of_ours, of_floor = await interleaved(
            bench.scale.repeats,
            lambda: callers(1, bench.scale.seconds, loaded),
            lambda: callers(1, bench.scale.seconds, fetched),
        )
    return [
        Row(
            name=f"load-{length}",
            unit="ms",
            ours=tuple(1000 / each.per_second for each in of_ours),
            floor=tuple(1000 / each.per_second for each in of_floor),
            against="asyncpg fetching the same rows, and nothing else",
            less_is_better=True,
        )
    ]


async def as_of_then(bench: Bench) -> list[Row]:
    """One fund, and a page of funds, as of the middle of the log's time, against the same as of now."""
    log, follower = await large_log(bench)
    engine = create_engine(log.url)
    try:
        async with engine.connect() as connection:
            found: Any = (
                await connection.exec_driver_sql("SELECT time, stream FROM events WHERE version = 5 LIMIT 1")
            ).one()
        then, now = as_of(follower.model, as_of=found.time), as_of(follower.model)

        async def one(query: Any) -> float:
            return await _milliseconds(
                bench, engine, query.where(query.selected_columns.stream == found.stream), rows=1
            )

        async def page(query: Any) -> float:
            ordered = query.order_by(query.selected_columns.stream).limit(PAGE)
            return await _milliseconds(bench, engine, ordered, rows=min(PAGE, log.streams))

        measured = [
            ("as-of-one", *await interleaved(bench.scale.repeats, partial(one, then), partial(one, now))),
            ("as-of-page", *await interleaved(bench.scale.repeats, partial(page, then), partial(page, now))),
        ]
    finally:
        await engine.dispose()
    return [
        Row(
            name=name,
            unit="ms",
            ours=tuple(of_then),
            floor=tuple(of_now),
            against="the same without as_of",
            less_is_better=True,
            note=f"{log.streams:,} funds, {log.events - log.streams:,} rows of history",
        )
        for name, of_then, of_now in measured
    ]


async def _milliseconds(bench: Bench, engine: AsyncEngine, query: Any, *, rows: int) -> float:
    async with engine.connect() as connection:

        async def ask(_caller: int) -> None:
            assert len((await connection.execute(query)).all()) == rows

        return 1000 / (await callers(1, bench.scale.seconds, ask)).per_second


BENCHMARKS: Final = (
    *(Benchmark((f"load-{length}",), partial(load, length=length)) for length in LENGTHS),
    Benchmark(("as-of-one", "as-of-page"), as_of_then),
)
