"""Read models: one that follows its topic, and one that is built anew, with history and provenance, against only reading."""

import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from time import perf_counter
from typing import Any, Final
from uuid import uuid4

import asyncpg
from aiokafka import AIOKafkaConsumer, TopicPartition
from tests.benchmarks.bench import PARTITIONS, Bench, Benchmark
from tests.benchmarks.fund import CATALOGUE, funds
from tests.benchmarks.ledgers import utc_now
from tests.benchmarks.logs import Log, log_of
from tests.benchmarks.row import Row, interleaved

from govkernel.consumer import Consumer, Handler
from govkernel.kafka import KafkaAddress, KafkaTopics, PartitionReader, TopicLog, bulk_reader
from govkernel.kafka.reader import LARGEST_FETCH_BYTES
from govkernel.postgres import create_pool
from govkernel.readmodels import ReadModelHandler, ReadModels
from govkernel.readmodels.builds import live_build

SERVICE: Final = "benchmarks-projections"
KEYS_OF_A_BATCH: Final = 2000

FOLDED: Final = """
SELECT (SELECT count(*) FROM read.funds) AS rows, (SELECT count(*) FROM read.funds_history) AS past,
  (SELECT sum(draws) FROM read.funds)::bigint AS draws, (SELECT count(*) FROM parked) AS parked"""

READ_ALL: Final = """
INSERT INTO consumer_partitions (consumer, topic, partition, next_offset, cluster_id, topic_id)
SELECT $1, $2, partition, next_offset, $5, $6 FROM unnest($3::int[], $4::bigint[]) AS read (partition, next_offset)"""


class Follower:
    """The funds of a log as a service keeps them. `version` is the fold's: a release with a newer one builds anew."""

    def __init__(self, bench: Bench, pool: "asyncpg.Pool[Any]", log: Log, version: int = 1) -> None:
        self._pool = pool
        self._log = log
        self._address = KafkaAddress(bench.kafka_bootstrap)
        self.topics = KafkaTopics(self._address)
        self.model = replace(funds(log.service), version=version)
        self.read_models = self._read_models()

    def _read_models(self) -> ReadModels:
        return ReadModels(
            self._pool,
            [self.model],
            catalogue=CATALOGUE,
            log=TopicLog(self._address, reader=bulk_reader),
            follower_of=self.consumer_of,
            clock=utc_now,
        )

    def consumer_of(self, handler: Handler, on_applied: Callable[[], None] | None = None) -> Consumer:
        """What feeds a build, as in a service's process."""
        return Consumer(
            self._pool,
            handler,
            CATALOGUE,
            reader=PartitionReader(self._address, self._log.topic),
            topics=self.topics,
            replica=uuid4(),
            most_records=KEYS_OF_A_BATCH,
            on_applied=on_applied,
        )

    async def handler(self) -> ReadModelHandler[Any]:
        """The handler of the live build."""
        async with self._pool.acquire() as connection:
            live = await live_build(connection, "funds")
        assert live is not None
        return ReadModelHandler(self.model, live)

    async def follow(self) -> float:
        """Apply the whole log to the live build; how many seconds that took, with what the first read needs."""
        consumer = self.consumer_of(await self.handler())
        try:
            began = perf_counter()
            applied = 0
            while applied < self._log.events:
                applied += await consumer.one_pass()
            return perf_counter() - began
        finally:
            await consumer.close()

    async def take_over(self) -> None:
        """Come level with the whole log by a rebuild, which takes less time than to follow.

        The live build, which has no rows, is said to have read everything; then comes a release with a newer fold.
        """
        identity = await self.topics.identity(self._log.topic)
        ends = (await TopicLog(self._address).extent(self._log.topic)).ends
        await self._pool.execute(
            READ_ALL,
            (await self.handler()).name,
            self._log.topic,
            list(ends),
            list(ends.values()),
            identity.cluster_id,
            identity.topic_id,
        )
        self.model = replace(self.model, version=self.model.version + 1)
        self.read_models = self._read_models()
        rebuilt = await self.read_models.rebuild("funds", accept_difference=True)
        assert rebuilt.records == self._log.events, f"{rebuilt.records} records, {self._log.events} expected"

    async def check(self, events: int) -> None:
        """Of so many events each fund has its row, and each but the first of a fund one of history."""
        found: Any = await self._pool.fetchrow(FOLDED, timeout=600)
        drawn = events - self._log.streams
        wanted = {"rows": self._log.streams, "past": drawn, "draws": drawn, "parked": 0}
        assert dict(found) == wanted, f"{dict(found)}, {wanted} expected"


@contextlib.asynccontextmanager
async def follower_of(bench: Bench, log: Log, *, url: str | None = None, version: int = 1) -> AsyncIterator[Follower]:
    """A service's read models in a database of their own, or in one at an address."""
    async with contextlib.AsyncExitStack() as stack:
        if url is None:
            url = await stack.enter_async_context(bench.database())
        pool = await create_pool(url)
        follower = Follower(bench, pool, log, version)
        try:
            await follower.read_models.ensure()
            yield follower
        finally:
            await follower.topics.close()
            await pool.close()


async def live(bench: Bench) -> list[Row]:
    """Each repeat follows the log from its beginning, in a database of its own.

    There are more streams than fetched records of a partition, so that each record of a batch has another key.
    """
    scale = bench.scale
    async with log_of(bench, SERVICE, streams=2 * scale.streams, length=max(2, scale.length // 4)) as log:

        async def ours() -> float:
            async with follower_of(bench, log) as follower:
                seconds = await follower.follow()
                await follower.check(log.events)
            return log.events / seconds

        of_ours, of_floor = await interleaved(scale.repeats, ours, lambda: consume(bench, log))
    return [
        Row(
            name="projection-live",
            unit="events/s",
            ours=tuple(of_ours),
            floor=tuple(of_floor),
            against="aiokafka reading the same topic, and nothing else",
            at_least=0.25,
            note=f"{log.events:,} events, {KEYS_OF_A_BATCH} keys a batch",
        )
    ]


async def rebuild(bench: Bench) -> list[Row]:
    """Each repeat builds anew beside the live build, compares the digests, and switches."""
    scale = bench.scale
    async with (
        log_of(bench, SERVICE, streams=scale.streams, length=scale.length) as log,
        follower_of(bench, log) as follower,
    ):
        await follower.follow()

        async def ours() -> tuple[float, float]:
            rebuilt = await follower.read_models.rebuild("funds")
            assert rebuilt.records == log.events, f"{rebuilt.records} records, {log.events} expected"
            assert rebuilt.difference is None
            await follower.check(log.events)
            return log.events / rebuilt.seconds, await consume_with_our_client(bench, log)

        of_ours, of_floor = await interleaved(scale.repeats, ours, lambda: consume(bench, log))
    rates, own = tuple(rate for rate, _ in of_ours), tuple(rate for _, rate in of_ours)
    note = f"{log.events:,} events, one history row for each; reading, folding, COPY, indexes, digests, switch"
    return [
        Row(
            name="rebuild",
            unit="events/s",
            ours=rates,
            floor=tuple(of_floor),
            against="aiokafka reading the same topic, and nothing else",
            at_least=0.6,
            note=note,
        ),
        Row(
            name="rebuild-own-client",
            unit="events/s",
            ours=rates,
            floor=own,
            against="the rebuild's own client reading the same topic, and nothing else",
            note=note,
        ),
    ]


async def consume(bench: Bench, log: Log) -> float:
    """How many records a second aiokafka reads, with fetches as large as a service's."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=bench.kafka_bootstrap,
        group_id=None,
        enable_auto_commit=False,
        auto_offset_reset="none",
        max_partition_fetch_bytes=LARGEST_FETCH_BYTES,
    )
    await consumer.start()
    try:
        partitions = [TopicPartition(log.topic, number) for number in range(PARTITIONS)]
        began = perf_counter()
        consumer.assign(partitions)
        for partition in partitions:
            consumer.seek(partition, 0)
        read = 0
        while read < log.events:
            fetched = await consumer.getmany(timeout_ms=500)
            read += sum(len(records) for records in fetched.values())
        return log.events / (perf_counter() - began)
    finally:
        await consumer.stop()


async def consume_with_our_client(bench: Bench, log: Log) -> float:
    """How many records a second come through what a rebuild reads from."""
    reader = TopicLog(KafkaAddress(bench.kafka_bootstrap), reader=bulk_reader)
    extent = await reader.extent(log.topic)
    began = perf_counter()
    read = 0
    async for fetched in reader.read(log.topic, extent.beginnings, extent.ends):
        read += len(fetched.records)
    assert read == log.events, f"{read} records were read, there are {log.events}"
    return log.events / (perf_counter() - began)


BENCHMARKS: Final = (Benchmark(("projection-live",), live), Benchmark(("rebuild", "rebuild-own-client"), rebuild))
