"""What a log of a million events costs more than one of ten thousand: the relay's idle pass, an append, the live lag."""

import contextlib
from collections.abc import AsyncIterator, Sequence
from typing import Final
from uuid import UUID

from tests.benchmarks.append import Appender
from tests.benchmarks.bench import Bench, Benchmark
from tests.benchmarks.callers import callers
from tests.benchmarks.latency import observed
from tests.benchmarks.ledgers import check, count_events, ledger_at
from tests.benchmarks.logs import Log, log_of, relay_of
from tests.benchmarks.projections import Follower, follower_of
from tests.benchmarks.row import Row, interleaved, percentile

from govkernel.relay import Relay

EVENTS_OF_A_STREAM: Final = 10
APPENDING_CALLERS: Final = 32
COMMANDS_PER_S: Final = 100
AT_LEAST: Final = 0.9


@contextlib.asynccontextmanager
async def followed_log(bench: Bench, service: str, events: int) -> AsyncIterator[tuple[Log, Follower]]:
    """A log of so many events, carried to Kafka, and with a read model that has seen all of it."""
    streams = events // EVENTS_OF_A_STREAM
    async with (
        log_of(bench, service, streams=streams, length=EVENTS_OF_A_STREAM) as log,
        follower_of(bench, log, url=log.url) as follower,
    ):
        await follower.take_over()
        await follower.check(log.events)
        yield log, follower


async def small_log(bench: Bench) -> tuple[Log, Follower]:
    """The log that the large one is compared with."""
    return await bench.kept("small", lambda: followed_log(bench, "benchmarks-small", bench.scale.small))


async def large_log(bench: Bench) -> tuple[Log, Follower]:
    """A log of a million events in a hundred thousand streams."""
    return await bench.kept("large", lambda: followed_log(bench, "benchmarks-large", bench.scale.large))


async def idle_pass(bench: Bench) -> list[Row]:
    """The relay looks, and finds nothing to send."""
    large, _ = await large_log(bench)
    small, _ = await small_log(bench)
    async with (
        relay_of(bench, large.url, service=large.service, topic=large.topic) as with_large,
        relay_of(bench, small.url, service=small.service, topic=small.topic) as with_small,
    ):

        async def idle(relay: Relay) -> float:
            async def one_pass(_caller: int) -> None:
                assert await relay.one_pass() == 0, "everything was sent before"

            return (await callers(1, bench.scale.seconds, one_pass)).per_second

        for each in (with_large, with_small):
            await each.one_pass()
        of_large, of_small = await interleaved(bench.scale.repeats, lambda: idle(with_large), lambda: idle(with_small))
    return [_row(bench, "growth-relay-idle", "passes/s", of_large, of_small)]


async def append_to(bench: Bench) -> list[Row]:
    """Callers append to new streams beside what is there."""
    (large, _), (small, _) = await large_log(bench), await small_log(bench)
    filled = [await count_events(each.url) for each in (large, small)]
    async with (
        ledger_at(large.url, service=large.service) as of_large,
        ledger_at(small.url, service=small.service) as of_small,
    ):
        to_large, to_small = [await Appender.of(ledger, APPENDING_CALLERS) for ledger in (of_large, of_small)]
        for each in (to_large, to_small):
            await callers(APPENDING_CALLERS, 0.2, each.draw)
        with_large, with_small = await interleaved(
            bench.scale.repeats,
            lambda: callers(APPENDING_CALLERS, bench.scale.seconds, to_large.draw),
            lambda: callers(APPENDING_CALLERS, bench.scale.seconds, to_small.draw),
        )
    await check(large.url, to_large.answered, filled=filled[0])
    await check(small.url, to_small.answered, filled=filled[1])
    return [
        _row(
            bench,
            "growth-append",
            "events/s",
            [each.per_second for each in with_large],
            [each.per_second for each in with_small],
            note=f"{APPENDING_CALLERS} callers",
        )
    ]


async def lag(bench: Bench) -> list[Row]:
    """From a commit to the row that can be seen, in an open loop that is far from either's limit."""
    large, small = await large_log(bench), await small_log(bench)

    async def median(log: Log, follower: Follower) -> float:
        filled = await count_events(log.url)
        answered: list[tuple[UUID, int]] = []
        seen = await observed(
            bench, log, follower, per_second=COMMANDS_PER_S, seconds=2 * bench.scale.seconds, answered=answered
        )
        assert await count_events(log.url) == filled + len(answered), "something was written besides what was answered"
        return percentile(seen.milliseconds_to(seen.visible), 50)

    of_large, of_small = await interleaved(bench.scale.repeats, lambda: median(*large), lambda: median(*small))
    return [
        _row(
            bench,
            "growth-lag",
            "ms median",
            of_large,
            of_small,
            less_is_better=True,
            note=f"commit to visible row, {COMMANDS_PER_S} commands/s",
        )
    ]


def _row(
    bench: Bench,
    name: str,
    unit: str,
    large: Sequence[float],
    small: Sequence[float],
    *,
    less_is_better: bool = False,
    note: str = "",
) -> Row:
    return Row(
        name=name,
        unit=unit,
        ours=tuple(large),
        floor=tuple(small),
        against=f"itself with {bench.scale.small:,} events in the log rather than {bench.scale.large:,}",
        at_least=AT_LEAST,
        less_is_better=less_is_better,
        note=note,
    )


BENCHMARKS: Final = (
    Benchmark(("growth-relay-idle",), idle_pass),
    Benchmark(("growth-lag",), lag),
    Benchmark(("growth-append",), append_to),
)
