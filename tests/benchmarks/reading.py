"""What it costs to read: a stream of 10, 100 and 1,000 events, and a read model of a large log as of an earlier time.

Nothing is asked of these rows; they tell how cost grows.
"""

import contextlib
import itertools
from collections.abc import AsyncIterator, Sequence
from functools import partial
from typing import Any, Final
from uuid import UUID, uuid4

from sqlalchemy.ext.asyncio import AsyncEngine
from tests.benchmarks.bench import Bench, Benchmark
from tests.benchmarks.callers import Answered, callers
from tests.benchmarks.fund import FUND
from tests.benchmarks.growth import large_log
from tests.benchmarks.ledgers import fill, ledger_at
from tests.benchmarks.row import Row, interleaved

from govkernel.ledger import Ledger
from govkernel.postgres import create_engine
from govkernel.readmodels import as_of

LENGTHS: Final = (10, 100, 1000)
STREAMS: Final = 20
PAGE: Final = 50

ROWS_OF: Final = "SELECT version, document, hash FROM events WHERE stream = $1 ORDER BY version"


async def load(bench: Bench, length: int) -> list[Row]:
    """Streams that are read, decoded, checked and folded from their beginning, against the bare rows."""
    async with long_streams(bench, length) as (ledger, streams):
        turns = itertools.cycle(streams)

        async def fetched(_caller: int) -> None:
            async with ledger.pool.acquire() as connection:
                assert len(await connection.fetch(ROWS_OF, next(turns))) == length

        of_ours, of_floor = await interleaved(
            bench.scale.repeats,
            lambda: callers(1, bench.scale.seconds, lambda _caller: fold_all(ledger, next(turns), length)),
            lambda: callers(1, bench.scale.seconds, fetched),
        )
    return [_load_row(f"load-{length}", of_ours, of_floor, "asyncpg fetching the same rows, and nothing else")]


async def load_with_snapshot(bench: Bench) -> list[Row]:
    """The longest streams, from their snapshots and nothing that is remembered, against folding all of each."""
    length = LENGTHS[-1]
    async with long_streams(bench, length) as (ledger, streams):
        turns = itertools.cycle(streams)

        async def loaded(_caller: int) -> None:
            # What is loaded on somebody's own connection is neither remembered nor taken from what is.
            async with ledger.pool.acquire() as connection:
                found = await ledger.load(FUND, next(turns), connection=connection)
            assert found.head.version == length
            assert found.state.drawn_minor == sum(range(2, length + 1))

        # The first to load a long stream keeps its snapshot.
        for stream in streams:
            await ledger.load(FUND, stream)
        of_ours, of_floor = await interleaved(
            bench.scale.repeats,
            lambda: callers(1, bench.scale.seconds, loaded),
            lambda: callers(1, bench.scale.seconds, lambda _caller: fold_all(ledger, next(turns), length)),
        )
    return [_load_row(f"load-snapshot-{length}", of_ours, of_floor, "the same without a snapshot")]


async def fold_all(ledger: Ledger, stream: UUID, length: int) -> None:
    """Load a stream from its beginning, whatever is known of it."""
    state = FUND.fold(one.event for one in await ledger.events(stream))
    assert state.drawn_minor == sum(range(2, length + 1))


@contextlib.asynccontextmanager
async def long_streams(bench: Bench, length: int) -> AsyncIterator[tuple[Ledger, list[UUID]]]:
    """A ledger with some streams of a length."""
    streams = [uuid4() for _ in range(STREAMS)]
    async with bench.database() as url, ledger_at(url) as ledger:
        await fill(url, streams, length)
        yield ledger, streams


def _load_row(name: str, ours: Sequence[Answered], floor: Sequence[Answered], against: str) -> Row:
    return Row(
        name=name,
        unit="ms",
        ours=tuple(1000 / each.per_second for each in ours),
        floor=tuple(1000 / each.per_second for each in floor),
        against=against,
        less_is_better=True,
    )


async def as_of_then(bench: Bench) -> list[Row]:
    """One fund, and a page of funds, as of the middle of the log's time, against the same as of now."""
    log, follower = await large_log(bench)
    engine = create_engine(log.url)
    try:
        async with engine.connect() as connection:
            found: Any = (
                await connection.exec_driver_sql(
                    "SELECT events.time, stream FROM events JOIN read.funds USING (stream) WHERE events.version = 5 LIMIT 1"
                )
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
    Benchmark((f"load-snapshot-{LENGTHS[-1]}",), load_with_snapshot),
    Benchmark(("as-of-one", "as-of-page"), as_of_then),
)
