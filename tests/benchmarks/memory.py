"""How much memory a service needs that does nothing, and a rebuild of a large log."""

import asyncio
import resource
import sys
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

import msgspec
import psutil
from tests.benchmarks.bench import FULL, Bench, Benchmark
from tests.benchmarks.growth import large_log
from tests.benchmarks.http import fund_service, issuer
from tests.benchmarks.ledgers import SERVICE
from tests.benchmarks.logs import Log
from tests.benchmarks.processes import answer_of
from tests.benchmarks.projections import follower_of
from tests.benchmarks.row import Row
from tests.support.topics import create_topic

from govevents.catalogue import WATERMARK_TOPIC, topic_of
from govkernel.processes.collector import settle_collector

MEGABYTE: Final = 1_000_000
SETTLES_S: Final = 8.0
"""After so long a service has begun everything that it does: it has led, leased and read."""


class Errand(msgspec.Struct):
    """Which log's read model to build anew, with which version of the fold."""

    kafka_bootstrap: str
    log: Log
    version: int


class Built(msgspec.Struct):
    """How many records a rebuild has read, in how many seconds, and how much memory its process had at most."""

    records: int
    seconds: float
    peak_bytes: int


async def idle(bench: Bench) -> list[Row]:
    """API, relay and consumers in one process, started anew in each repeat; nobody asks anything of it."""
    for service in ("approvals", "projects"):
        create_topic(bench.kafka_bootstrap, topic_of(service))
    create_topic(bench.kafka_bootstrap, WATERMARK_TOPIC, partitions=1, compacted=True)
    sizes = []
    for _ in range(bench.scale.repeats):
        async with AsyncExitStack() as stack:
            url = await stack.enter_async_context(bench.database())
            await stack.enter_async_context(bench.topic(SERVICE))
            keys, _ = stack.enter_context(issuer())
            port = await stack.enter_async_context(fund_service(bench, url, keys, role="all"))
            await asyncio.sleep(SETTLES_S)
            sizes.append(_resident_bytes_of_listener(port) / MEGABYTE)
    return [
        Row(
            name="memory-idle",
            unit="MB resident",
            ours=tuple(sizes),
            against="a limit of 120 MB",
            limit=120.0,
            at_least=1.0,
            less_is_better=True,
            note="API, relay and consumers in one process",
        )
    ]


async def rebuild(bench: Bench) -> list[Row]:
    """One rebuild, in a process of its own: what it needs at most doesn't change from one to the next."""
    log, follower = await large_log(bench)
    errand = Errand(bench.kafka_bootstrap, log, follower.model.version)
    answer = await answer_of("tests.benchmarks.memory", given=msgspec.json.encode(errand))
    built = msgspec.json.decode(answer, type=Built)
    assert built.records >= log.events, f"{built.records} records were read, there are {log.events}"
    return [
        Row(
            name="memory-rebuild",
            unit="MB at most",
            ours=(built.peak_bytes / MEGABYTE,),
            against="a limit of 500 MB",
            limit=500.0,
            at_least=1.0,
            less_is_better=True,
            note=f"{log.events:,} events into {log.streams:,} rows in {built.seconds:.0f} s; one rebuild",
        )
    ]


def _resident_bytes_of_listener(port: int) -> int:
    """The resident memory of the process that listens on a port."""
    (process,) = (
        each
        for each in psutil.Process().children(recursive=True)
        if any(connection.laddr.port == port for connection in each.net_connections("tcp"))
    )
    return int(process.memory_info().rss)


async def build(errand: Errand) -> Built:
    """Build anew."""
    log = errand.log
    bench = Bench(log.url, errand.kafka_bootstrap, FULL, Path())
    settle_collector()
    async with follower_of(bench, log, url=log.url, version=errand.version) as follower:
        rebuilt = await follower.read_models.rebuild("funds")
    # Linux counts kibibytes, macOS bytes.
    unit = 1 if sys.platform == "darwin" else 1024
    return Built(rebuilt.records, rebuilt.seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit)


BENCHMARKS: Final = (Benchmark(("memory-idle",), idle), Benchmark(("memory-rebuild",), rebuild))

if __name__ == "__main__":
    given = msgspec.json.decode(sys.stdin.buffer.read(), type=Errand)
    sys.stdout.buffer.write(msgspec.json.encode(asyncio.run(build(given))))
