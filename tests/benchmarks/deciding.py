"""Load, decide, append, as one command does: on streams that are remembered, and on streams that are not."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from random import Random
from typing import Any, Final
from uuid import UUID, uuid4

from tests.benchmarks.append import Appender
from tests.benchmarks.bench import Bench, Benchmark
from tests.benchmarks.callers import Answered, NothingLeft, callers
from tests.benchmarks.fund import FUND, PURPOSE, Draw
from tests.benchmarks.ledgers import check, context, fill, ledger_at
from tests.benchmarks.row import Row, interleaved

from govkernel.ledger import Answer, Intent, Ledger, LedgerUnavailable
from govkernel.processes.process import LARGEST_POOL

CALLERS: Final = 128
MOST_TRIES: Final = 100


async def drawn(ledger: Ledger, stream: UUID) -> tuple[UUID, int]:
    """Draw from a fund, whatever state it is in; the event that was answered.

    What the ledger can't take at the moment is sent again, as a client does.
    """

    async def intend(_newest: bool) -> Intent[Any, Any, Any]:
        return Intent(FUND, stream, Draw(1, PURPOSE))

    command = context()
    for _ in range(MOST_TRIES):
        with contextlib.suppress(LedgerUnavailable):
            return _event(await ledger.execute(command, intend))
        await asyncio.sleep(0.01)
    return _event(await ledger.execute(command, intend))


def _event(answer: Answer) -> tuple[UUID, int]:
    assert answer.refusal is None, answer
    assert answer.stream is not None, answer
    assert answer.to_version == answer.from_version + 1, answer
    return answer.stream, answer.to_version


async def remembered(bench: Bench) -> list[Row]:
    """The ledger has loaded every stream before, in the same process."""
    scale = bench.scale
    async with filled(bench) as (url, streams), ledger_at(url) as ledger:
        alone = await Appender.of(ledger, CALLERS)
        await callers(CALLERS, 0.2, alone.draw)
        answered: list[tuple[UUID, int]] = []
        some = Random(1)
        left = iter(streams)

        async def load(_caller: int) -> None:
            await ledger.load(FUND, _next(left))

        await callers(LARGEST_POOL, 600, load)

        async def draw(_caller: int) -> None:
            answered.append(await drawn(ledger, some.choice(streams)))

        of_ours, of_floor = await interleaved(
            scale.repeats,
            lambda: callers(CALLERS, scale.seconds, draw),
            lambda: callers(CALLERS, scale.seconds, alone.draw),
        )
        await check(url, [*answered, *alone.answered], filled=len(streams) * scale.length)
    return [_row("decide-cached-128", of_ours, of_floor, 0.8, bench)]


async def not_remembered(bench: Bench) -> list[Row]:
    """Each repeat has a ledger of its own, which meets each stream once."""
    scale = bench.scale
    async with filled(bench) as (url, streams), ledger_at(url) as with_alone:
        alone = await Appender.of(with_alone, CALLERS)
        await callers(CALLERS, 0.2, alone.draw)
        answered: list[tuple[UUID, int]] = []
        some = Random(1)

        async def ours() -> Answered:
            async with ledger_at(url) as ledger:
                left = iter(some.sample(streams, len(streams)))

                async def draw(_caller: int) -> None:
                    answered.append(await drawn(ledger, _next(left)))

                # Opens the connections.
                await callers(CALLERS, 0.05, draw)
                return await callers(CALLERS, scale.seconds, draw)

        of_ours, of_floor = await interleaved(scale.repeats, ours, lambda: callers(CALLERS, scale.seconds, alone.draw))
        await check(url, [*answered, *alone.answered], filled=len(streams) * scale.length)
    return [_row("decide-loaded-128", of_ours, of_floor, 0.22, bench)]


@contextlib.asynccontextmanager
async def filled(bench: Bench) -> AsyncIterator[tuple[str, list[UUID]]]:
    """A ledger of its own with funds that were drawn from, and the funds."""
    scale = bench.scale

    @contextlib.asynccontextmanager
    async def template() -> AsyncIterator[tuple[str, list[UUID]]]:
        streams = [uuid4() for _ in range(scale.streams)]
        async with bench.database() as url:
            await fill(url, streams, scale.length)
            yield url, streams

    source, streams = await bench.kept("filled", template)
    async with bench.database(source) as url:
        yield url, streams


def _next(left: Iterator[UUID]) -> UUID:
    for stream in left:
        return stream
    raise NothingLeft


def _row(name: str, ours: list[Answered], floor: list[Answered], at_least: float, bench: Bench) -> Row:
    return Row(
        name=name,
        unit="commands/s",
        ours=tuple(each.per_second for each in ours),
        floor=tuple(each.per_second for each in floor),
        against=f"append alone, {CALLERS} callers",
        at_least=at_least,
        note=f"{bench.scale.streams:,} streams of {bench.scale.length} events",
    )


BENCHMARKS: Final = (
    Benchmark(("decide-cached-128",), remembered),
    Benchmark(("decide-loaded-128",), not_remembered),
)
