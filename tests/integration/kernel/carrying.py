"""A ledger with a topic of its own, for the relay's tests: rows are written by hand, in whatever transaction a test needs."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import asyncpg
from tests.simulation.database import MemoryDatabase, Transaction, utc_now
from tests.simulation.memory_kafka import MemoryKafka, MemoryProducer
from tests.simulation.memory_relay import MemoryRelay, event_of

from govevents.document import Document, Origin, encode
from govevents.operations import RecordSkipped
from govkernel.kafka import EventProducer, KafkaAddress, KafkaTopics, Outgoing, Record, TopicLog
from govkernel.relay import Producer, Relay

INSERT = """
INSERT INTO events (stream, version, type, time, recorded_at, document, hash) VALUES ($1, $2, $3, $4, $5, $6, $7)"""


def document(
    stream: UUID,
    version: int = 1,
    previous: bytes | None = None,
    *,
    recorded_at: datetime | None = None,
    command: UUID | None = None,
    saying: str = "",
) -> Document:
    now = recorded_at or datetime.now(UTC)
    return encode(
        RecordSkipped("tests", "topic", None, 0, 0, None, saying),
        service="testing",
        aggregate="test",
        stream=stream,
        version=version,
        previous_hash=previous,
        time=now,
        recorded_at=now,
        actor="service:testing",
        command=command or uuid4(),
        correlation="test",
        causation=None,
        origin=Origin.LIVE,
    )


def chain(stream: UUID, length: int, *, after: Document | None = None, command: UUID | None = None) -> list[Document]:
    made: list[Document] = []
    for _ in range(length):
        last = made[-1] if made else after
        made.append(document(stream, last.version + 1 if last else 1, last.hash if last else None, command=command))
    return made


async def insert(connection: Any, *documents: Document) -> None:
    await connection.executemany(
        INSERT,
        [
            (each.stream, each.version, each.type, each.time, each.recorded_at, each.body, each.hash)
            for each in documents
        ],
    )


HEAD = "SELECT version, hash FROM events WHERE stream = $1 ORDER BY version DESC LIMIT 1"


@dataclass
class Writing:
    """An open transaction that writes events."""

    connection: Any

    async def insert(self, *documents: Document) -> None:
        await insert(self.connection, *documents)

    async def began(self) -> datetime:
        began: datetime = await self.connection.fetchval("SELECT now()")
        return began

    async def now(self) -> datetime:
        now: datetime = await self.connection.fetchval("SELECT clock_timestamp()")
        return now

    async def head(self, stream: UUID) -> tuple[int, bytes | None]:
        """A stream's version and hash, once nobody else writes it."""
        await self.connection.execute("SELECT pg_advisory_xact_lock($1)", stream.int & 0x7FFFFFFF)
        head = await self.connection.fetchrow(HEAD, stream)
        return (head["version"], head["hash"]) if head else (0, None)


class WritingInMemory(Writing):
    """The same on what the simulation puts in PostgreSQL's place."""

    async def insert(self, *documents: Document) -> None:
        async def insert(on: Transaction) -> None:
            for each in documents:
                await on.insert_event(event_of(each))

        await self.connection.ask(insert)

    async def began(self) -> datetime:
        async def look(on: Transaction) -> datetime:
            return on.began

        began: datetime = await self.connection.ask(look)
        return began

    async def now(self) -> datetime:
        return utc_now()

    async def head(self, stream: UUID) -> tuple[int, bytes | None]:
        async def lock(on: Transaction) -> None:
            await on.lock("advisory", stream)

        async def look(on: Transaction) -> tuple[int, bytes | None]:
            events = on.stream(stream)
            return (events[-1]["version"], events[-1]["hash"]) if events else (0, None)

        await self.connection.ask(lock)
        head: tuple[int, bytes | None] = await self.connection.ask(look)
        return head


class Recording:
    """A producer that remembers what it was given, and fails when a test says so."""

    def __init__(self, inner: Producer, before: Callable[[int], None], after: Callable[[int], None]) -> None:
        self._real = inner
        self._before = before
        self._after = after
        self.batches: list[list[Outgoing]] = []

    async def send(self, topic: str, batch: Sequence[Outgoing]) -> Mapping[int, int]:
        self._before(len(self.batches))
        acknowledged = await self._real.send(topic, batch)
        self.batches.append(list(batch))
        self._after(len(self.batches) - 1)
        return acknowledged

    async def put(self, topic: str, key: bytes, value: bytes) -> None:
        await self._real.put(topic, key, value)

    async def abort(self) -> None:
        await self._real.abort()


@dataclass
class World:
    pool: "asyncpg.Pool[Any]"
    address: KafkaAddress
    topic: str
    watermark_topic: str
    producers: list[Recording] = field(default_factory=list)
    relays: list[Relay] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.topics = KafkaTopics(self.address)

    async def close(self) -> None:
        for relay in self.relays:
            await relay.close()
        await self.topics.close()
        await self.pool.close()

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[Writing]:
        """A transaction that is open until the end of the block."""
        async with self.pool.acquire() as connection, connection.transaction():
            yield Writing(connection)

    async def insert(self, *documents: Document) -> None:
        """Write events in a transaction of their own."""
        async with self.writing() as writing:
            await writing.insert(*documents)

    async def events(self) -> Sequence[Mapping[str, Any]]:
        """The ledger's committed rows."""
        return [dict(row) for row in await self.pool.fetch("SELECT * FROM events")]

    def producer(self) -> Producer:
        return EventProducer(self.address)

    def parts(self) -> dict[str, Any]:
        """What a relay stands on here."""
        return {"topics": self.topics, "topic_log": TopicLog(self.address)}

    def relay(
        self,
        *,
        lease_s: float = 5.0,
        wake: asyncio.Event | None = None,
        before: Callable[[int], None] = lambda _number: None,
        after: Callable[[int], None] = lambda _number: None,
        **others: Any,
    ) -> Relay:
        def producer() -> Recording:
            self.producers.append(Recording(self.producer(), before, after))
            return self.producers[-1]

        plain = {
            "service": "testing",
            "replica": uuid4(),
            "producer": producer,
            **self.parts(),
            "wake": wake or asyncio.Event(),
            "topic": self.topic,
            "watermark_topic": self.watermark_topic,
            "lease": timedelta(seconds=lease_s),
        }
        made = Relay(self.pool, **{**plain, **others})
        self.relays.append(made)
        return made

    async def read(self, topic: str | None = None) -> dict[UUID | str, list[Record]]:
        """What the topic holds, by key, in its order."""
        log = self.parts()["topic_log"]
        topic = topic or self.topic
        extent = await log.extent(topic)
        found: dict[UUID | str, list[Record]] = defaultdict(list)
        async for fetched in log.read(topic, extent.beginnings, extent.ends):
            for record in fetched.records:
                key = (record.key or b"").decode()
                found[UUID(key) if topic == self.topic else key].append(record)
        return found

    async def assert_carried(self) -> None:
        """Every event of the ledger is in the topic, the same bytes, each stream in its order, whatever is repeated."""
        rows = sorted(await self.events(), key=lambda row: (row["stream"], row["version"]))
        ledger: dict[UUID, list[bytes]] = defaultdict(list)
        for row in rows:
            ledger[row["stream"]].append(bytes(row["document"]))
        topic = {
            stream: list(dict.fromkeys(each.value for each in records))
            for stream, records in (await self.read()).items()
        }
        assert topic == ledger

    async def set_back(self, checkpoint: str) -> None:
        """Put the checkpoint back as a restored database has it: an older one, of a server that started before."""
        await self.pool.execute("DELETE FROM relay_checkpoint")
        await self.pool.execute(
            "INSERT INTO relay_checkpoint SELECT (jsonb_populate_record(NULL::relay_checkpoint, $1::text::jsonb)).*",
            checkpoint,
        )
        await self.pool.execute("UPDATE relay_checkpoint SET started_at = started_at - interval '1 hour'")

    async def let_the_lease_end(self) -> None:
        """Make it the time at which the leader's lease, however long, is over."""
        await self.pool.execute("UPDATE relay_checkpoint SET lease_until = clock_timestamp()")

    async def checkpoint(self) -> str:
        return str(await self.pool.fetchval("SELECT to_jsonb(relay_checkpoint)::text FROM relay_checkpoint"))


class WorldInMemory(World):
    """The same on what the simulation puts in the place of PostgreSQL and Kafka."""

    def __init__(self) -> None:
        self.database = MemoryDatabase()
        self.kafka = MemoryKafka(holes=0.1)
        self.kafka.create("events")
        self.kafka.create("watermarks", partitions=1)
        super().__init__(self.database.pool().lent(), KafkaAddress("nowhere"), "events", "watermarks")

    def __post_init__(self) -> None:
        """There is nothing to connect to."""

    async def close(self) -> None:
        for relay in self.relays:
            await relay.close()

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[Writing]:
        async with self.pool.acquire() as connection, connection.transaction():
            yield WritingInMemory(connection)

    async def events(self) -> Sequence[Mapping[str, Any]]:
        return self.database.table("events")

    def producer(self) -> Producer:
        return MemoryProducer(self.kafka)

    def parts(self) -> dict[str, Any]:
        return {"topics": self.kafka, "topic_log": self.kafka, "store": MemoryRelay()}

    async def let_the_lease_end(self) -> None:
        self.database.change("relay_checkpoint", lease_until=self.database.clock())


async def until(condition: Callable[[], Awaitable[bool]], *, seconds: float = 20) -> None:
    deadline = asyncio.get_running_loop().time() + seconds
    while not await condition():
        assert asyncio.get_running_loop().time() < deadline, "it did not come about in time"
        await asyncio.sleep(0.02)
