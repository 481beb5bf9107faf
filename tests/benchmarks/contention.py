"""Commands that get in each other's way: many callers on one stream, and two replicas on the same streams."""

import asyncio
import sys
from random import Random
from typing import Final
from uuid import UUID, uuid4

import msgspec
from tests.benchmarks.append import Appender
from tests.benchmarks.bench import Bench, Benchmark
from tests.benchmarks.callers import Answered, callers
from tests.benchmarks.deciding import drawn
from tests.benchmarks.ledgers import check, fill, ledger_at
from tests.benchmarks.processes import answer_of
from tests.benchmarks.row import Row, interleaved

CALLERS: Final = 32
CALLERS_OF_A_REPLICA: Final = 64
REPLICAS: Final = 2
SHARED_STREAMS: Final = 1000


class Errand(msgspec.Struct):
    """What a replica is to do: draw from these funds by turns, or append to new ones of its own where there are none."""

    url: str
    seconds: float
    streams: list[UUID]
    seed: int


class Done(msgspec.Struct):
    """What a replica has done: answers a second, and what was answered in all."""

    per_second: float
    answered: list[tuple[UUID, int]]


async def one_stream(bench: Bench) -> list[Row]:
    """Each caller is answered before the next command of its own; a race that is lost is run again."""
    scale = bench.scale
    stream = uuid4()
    async with bench.database() as url, ledger_at(url) as ledger:
        await fill(url, [stream], 1)
        answered: list[tuple[UUID, int]] = []
        alone = await Appender.of(ledger, CALLERS)

        async def draw(_caller: int) -> None:
            answered.append(await drawn(ledger, stream))

        for each in (draw, alone.draw):
            await callers(CALLERS, 0.2, each)
        of_ours, of_floor = await interleaved(
            scale.repeats,
            lambda: callers(CALLERS, scale.seconds, draw),
            lambda: callers(CALLERS, scale.seconds, alone.draw),
        )
        await check(url, [*answered, *alone.answered], filled=1)
    return [
        Row(
            name="contended-one-stream",
            unit="commands/s",
            ours=tuple(each.per_second for each in of_ours),
            floor=tuple(each.per_second for each in of_floor),
            against=f"append alone, {CALLERS} callers",
            at_least=0.25,
        ),
        Row(
            name="contended-starvation",
            unit="answers",
            ours=tuple(float(min(each.by_caller)) for each in of_ours),
            floor=tuple(sum(each.by_caller) / len(each.by_caller) for each in of_ours),
            against="what a caller got on average; ours is what the last of them got",
            at_least=0.5,
        ),
    ]


async def two_replicas(bench: Bench) -> list[Row]:
    """Two processes on the same streams, against the same two that append to streams of their own."""
    scale = bench.scale
    streams = [uuid4() for _ in range(SHARED_STREAMS)]
    async with bench.database() as url, ledger_at(url):
        await fill(url, streams, 1)
        answered: list[tuple[UUID, int]] = []

        async def replicas(shared: list[UUID]) -> float:
            seed = len(answered)
            errands = [Errand(url, scale.seconds, shared, seed + number) for number in range(REPLICAS)]
            answers = await asyncio.gather(
                *(answer_of("tests.benchmarks.contention", given=msgspec.json.encode(each)) for each in errands)
            )
            done = [msgspec.json.decode(each, type=Done) for each in answers]
            answered.extend((stream, version) for each in done for stream, version in each.answered)
            return sum(each.per_second for each in done)

        of_ours, of_floor = await interleaved(scale.repeats, lambda: replicas(streams), lambda: replicas([]))
        await check(url, answered, filled=SHARED_STREAMS)
    return [
        Row(
            name="contended-two-replicas",
            unit="commands/s",
            ours=tuple(of_ours),
            floor=tuple(of_floor),
            against=f"append alone, {REPLICAS} replicas of {CALLERS_OF_A_REPLICA} callers",
            at_least=0.5,
            note=f"{CALLERS_OF_A_REPLICA} callers each on the same {SHARED_STREAMS:,} streams",
        )
    ]


async def run(errand: Errand) -> Done:
    """What one replica does."""
    some = Random(errand.seed)
    answered: list[tuple[UUID, int]] = []
    async with ledger_at(errand.url) as ledger:

        async def draw(_caller: int) -> None:
            answered.append(await drawn(ledger, some.choice(errand.streams)))

        if errand.streams:
            await callers(CALLERS_OF_A_REPLICA, 0.5, draw)
            done: Answered = await callers(CALLERS_OF_A_REPLICA, errand.seconds, draw)
            return Done(done.per_second, answered)
        alone = await Appender.of(ledger, CALLERS_OF_A_REPLICA)
        await callers(CALLERS_OF_A_REPLICA, 0.5, alone.draw)
        done = await callers(CALLERS_OF_A_REPLICA, errand.seconds, alone.draw)
        return Done(done.per_second, alone.answered)


BENCHMARKS: Final = (
    Benchmark(("contended-one-stream", "contended-starvation"), one_stream),
    Benchmark(("contended-two-replicas",), two_replicas),
)

if __name__ == "__main__":
    given = msgspec.json.decode(sys.stdin.buffer.read(), type=Errand)
    sys.stdout.buffer.write(msgspec.json.encode(asyncio.run(run(given))))
