"""Logs to measure on: a ledger that was filled, and a topic to which the relay has carried it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import asyncpg
from tests.benchmarks.bench import Bench
from tests.benchmarks.ledgers import fill
from tests.support.topics import create_topic

from govevents.catalogue import WATERMARK_TOPIC
from govevents.document import hash_of
from govkernel.kafka import EventProducer, KafkaAddress, KafkaTopics, TopicLog
from govkernel.postgres import create_pool
from govkernel.relay import Relay


@dataclass(frozen=True, slots=True)
class Log:
    """A service's events in the ledger at `url`, and on `topic`."""

    service: str
    url: str
    topic: str
    streams: int
    events: int


@contextlib.asynccontextmanager
async def log_of(bench: Bench, service: str, *, streams: int, length: int) -> AsyncIterator[Log]:
    """A ledger with so many funds of so many events each, carried to a topic of its own."""
    async with bench.database() as url, bench.topic(service) as topic:
        await fill(url, [uuid4() for _ in range(streams)], length, service=service)
        async with relay_of(bench, url, service=service, topic=topic) as relay:
            while await relay.one_pass():
                pass
        yield Log(service, url, topic, streams, streams * length)


@contextlib.asynccontextmanager
async def relay_of(bench: Bench, url: str, *, service: str, topic: str, **others: Any) -> AsyncIterator[Relay]:
    """A relay as a service's process has it."""
    address = KafkaAddress(bench.kafka_bootstrap)
    create_topic(bench.kafka_bootstrap, WATERMARK_TOPIC, partitions=1, compacted=True)
    topics = KafkaTopics(address)
    pool = await create_pool(url)
    relay = Relay(
        pool,
        service=service,
        replica=uuid4(),
        producer=others.pop("producer", None) or (lambda: EventProducer(address)),
        topics=topics,
        topic_log=TopicLog(address),
        wake=others.pop("wake", None) or asyncio.Event(),
        topic=topic,
        **others,
    )
    try:
        yield relay
    finally:
        await relay.close()
        await topics.close()
        await pool.close()


async def check_carried(bench: Bench, url: str, topic: str) -> None:
    """The topic has the ledger's documents, each once, the same bytes, and each stream's in its order."""
    connection = await asyncpg.connect(url)
    try:
        rows = await connection.fetch("SELECT stream, hash FROM events ORDER BY stream, version", timeout=600)
    finally:
        await connection.close()
    ledger: dict[UUID, list[bytes]] = {}
    for row in rows:
        ledger.setdefault(row["stream"], []).append(row["hash"])
    log = TopicLog(KafkaAddress(bench.kafka_bootstrap))
    extent = await log.extent(topic)
    carried: dict[UUID, list[bytes]] = {}
    async for fetched in log.read(topic, extent.beginnings, extent.ends):
        for record in fetched.records:
            assert record.key is not None and record.value is not None
            carried.setdefault(UUID(record.key.decode()), []).append(hash_of(record.value))
    assert carried == ledger, f"{topic} has other events than the ledger"
