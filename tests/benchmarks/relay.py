"""The relay: a backlog carried to Kafka, against aiokafka producing the same records and nothing else."""

import asyncio
from collections.abc import Mapping, Sequence
from itertools import count
from time import perf_counter
from typing import Final
from uuid import uuid4

import asyncpg
from aiokafka import AIOKafkaProducer
from tests.benchmarks.bench import PARTITIONS, Bench, Benchmark
from tests.benchmarks.ledgers import fill
from tests.benchmarks.logs import check_carried, relay_of
from tests.benchmarks.row import Row, interleaved

from govkernel.kafka import partition_of
from govkernel.kafka.producer import CONTENT_TYPE, LARGEST_BATCH_BYTES
from govkernel.relay import send_everything_again

SERVICE: Final = "benchmarks-relay"
NUMBERS: Final = count(1)

Sent = tuple[bytes, bytes, list[tuple[str, bytes]]]


async def measure(bench: Bench) -> list[Row]:
    """Each repeat sends everything to a topic of its own."""
    scale = bench.scale
    events = scale.streams * scale.length
    async with bench.database() as url:
        await fill(url, [uuid4() for _ in range(scale.streams)], scale.length, service=SERVICE)

        async def ours() -> float:
            await _send_again(url)
            async with bench.topic(f"{SERVICE}-{next(NUMBERS)}") as topic:
                async with relay_of(bench, url, service=SERVICE, topic=topic) as relay:
                    began = perf_counter()
                    sent = await relay.one_pass()
                    seconds = perf_counter() - began
                assert sent == events, f"{sent} events were sent, there are {events}"
                await check_carried(bench, url, topic)
            return events / seconds

        async def floor() -> float:
            records = await _records(url)
            async with bench.topic(f"{SERVICE}-{next(NUMBERS)}") as topic:
                seconds = await produce(bench, topic, records)
                await check_carried(bench, url, topic)
            return events / seconds

        of_ours, of_floor = await interleaved(scale.repeats, ours, floor)
    return [
        Row(
            name="relay-backlog",
            unit="events/s",
            ours=tuple(of_ours),
            floor=tuple(of_floor),
            against="aiokafka's create_batch and send_batch of the same records, acks=all",
            at_least=0.65,
            note=f"{events:,} events",
        )
    ]


async def produce(bench: Bench, topic: str, records: Mapping[int, Sequence[Sent]]) -> float:
    """How many seconds aiokafka takes to have each partition's records acknowledged, with nothing else to do."""
    producer = AIOKafkaProducer(
        bootstrap_servers=bench.kafka_bootstrap,
        acks="all",
        enable_idempotence=False,
        max_batch_size=LARGEST_BATCH_BYTES,
    )
    await producer.start()
    try:
        await producer.partitions_for(topic)
        began = perf_counter()
        under_way = []
        at = dict.fromkeys(records, 0)
        while at:
            for partition in list(at):
                of_partition, index = records[partition], at[partition]
                batch = producer.create_batch()
                while index < len(of_partition):
                    key, value, headers = of_partition[index]
                    if batch.append(timestamp=None, key=key, value=value, headers=headers) is None:
                        break
                    index += 1
                under_way.append(await producer.send_batch(batch, topic, partition=partition))
                # Lets what is ready be sent while the next one is made.
                await asyncio.sleep(0)
                if index < len(of_partition):
                    at[partition] = index
                else:
                    del at[partition]
        await asyncio.gather(*under_way)
        return perf_counter() - began
    finally:
        await producer.stop()


async def _records(url: str) -> dict[int, list[Sent]]:
    """What the relay would send of a ledger, ready to be sent, by partition."""
    connection = await asyncpg.connect(url)
    try:
        rows = await connection.fetch("SELECT stream, type, document FROM events ORDER BY seq", timeout=600)
    finally:
        await connection.close()
    records: dict[int, list[Sent]] = {}
    for row in rows:
        records.setdefault(partition_of(row["stream"], PARTITIONS), []).append(
            (str(row["stream"]).encode(), row["document"], [CONTENT_TYPE, ("type", row["type"].encode())])
        )
    return records


async def _send_again(url: str) -> None:
    async with asyncpg.create_pool(url, min_size=1, max_size=1) as pool:
        await send_everything_again(pool)


BENCHMARKS: Final = (Benchmark(("relay-backlog",), measure),)
