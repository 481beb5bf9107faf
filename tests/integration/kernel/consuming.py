"""A topic of its own, events written to it by hand, and a handler whose effects can be counted."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest
from aiokafka import AIOKafkaProducer
from tests.simulation.database import MemoryDatabase, Transaction, memory
from tests.simulation.memory_consumer import MemoryConsumer
from tests.simulation.memory_kafka import MemoryKafka, MemoryReader
from tests.simulation.memory_ledger import MemoryLedger
from tests.support.databases import OPEN_LEDGER

from govevents.approvals import ReviewEscalated, ReviewWithdrawn
from govevents.catalogue import Catalogue, topic_of
from govevents.document import Document, Origin, Recorded, encode
from govevents.registry import CATALOGUE
from govevents.values import ProjectId
from govkernel.consumer import Consumer, Reader, Rejected, Topics
from govkernel.consumer.ports import ConsumerStore
from govkernel.consumer.postgres import POSTGRES as POSTGRES_CONSUMERS
from govkernel.kafka import KafkaAddress, KafkaTopics, PartitionReader, partition_of
from govkernel.ledger import Ledger
from govkernel.ledger.ports import LedgerStore
from govkernel.ledger.postgres import POSTGRES as POSTGRES_EVENTS
from govkernel.postgres import Connection, create_pool

SUBSCRIBES = frozenset({"approvals.ReviewWithdrawn"})
POLL_S = 0.05


def document(
    service: str,
    stream: UUID,
    version: int = 1,
    previous: bytes | None = None,
    *,
    event: object | None = None,
    reason: str = "",
    origin: Origin = Origin.LIVE,
) -> Document:
    now = datetime.now(UTC)
    return encode(
        event or ReviewWithdrawn(ProjectId(stream), reason),
        service=service,
        aggregate="review",
        stream=stream,
        version=version,
        previous_hash=previous,
        time=now,
        recorded_at=now,
        actor=f"service:{service}",
        command=uuid4(),
        correlation="c",
        causation=None,
        origin=origin,
    )


@dataclass(frozen=True)
class Rejection:
    reason: str
    retry: bool = False


@dataclass
class Effects:
    """A handler that writes down which events it was given, and rejects or fails as a test wants it to."""

    name: str
    service: str
    subscribes: frozenset[str] = SUBSCRIBES
    rejects: dict[str, Rejection] = field(default_factory=dict)
    fails: dict[str, Exception] = field(default_factory=dict)
    fails_in_database: set[str] = field(default_factory=set)

    async def apply(self, connection: Connection, batch: Sequence[Recorded[Any]]) -> Sequence[Rejected]:
        rejected: list[Rejected] = []
        cut: set[UUID] = set()
        for recorded in batch:
            if recorded.envelope.stream in cut:
                continue
            if recorded.id in self.rejects:
                rejected.append(Rejected(recorded, self.rejects[recorded.id].reason, self.rejects[recorded.id].retry))
                cut.add(recorded.envelope.stream)
                continue
            if recorded.id in self.fails:
                raise self.fails[recorded.id]
            if recorded.id in self.fails_in_database:
                await self.fail(connection)
            await self.write(connection, recorded)
        return rejected

    async def write(self, connection: Connection, recorded: Recorded[Any]) -> None:
        await connection.execute(
            "INSERT INTO effects (consumer, stream, version) VALUES ($1, $2, $3)",
            self.name,
            recorded.envelope.stream,
            recorded.envelope.version,
        )

    async def fail(self, connection: Connection) -> None:
        await connection.execute("SELECT 1 / 0")


class EffectsInMemory(Effects):
    """The same on what the simulation puts in PostgreSQL's place."""

    async def write(self, connection: Connection, recorded: Recorded[Any]) -> None:
        async def insert(on: Transaction) -> None:
            envelope = recorded.envelope
            number = on.database.next_id
            on.database.next_id += 1
            row = {"id": number, "consumer": self.name, "stream": envelope.stream, "version": envelope.version}
            await on.insert(("effects", number), row)

        await memory(connection).ask(insert)

    async def fail(self, connection: Connection) -> None:
        async def divide(_on: Transaction) -> None:
            raise asyncpg.DivisionByZeroError("division by zero")

        await memory(connection).ask(divide)


@dataclass
class World:
    """A consumer's database and its source's topic."""

    url: str
    bootstrap: str
    service: str
    topic: str
    partitions: int
    pool: Any
    producer: Any
    topics: Topics
    events: LedgerStore = POSTGRES_EVENTS
    consumers: ConsumerStore = POSTGRES_CONSUMERS
    opened: list[Any] = field(default_factory=list)

    def chain(self, length: int, *, stream: UUID | None = None, after: Document | None = None) -> list[Document]:
        """A stream's documents; every third is of a type that `Effects` does not subscribe to."""
        stream = stream or (after.stream if after else uuid4())
        made: list[Document] = []
        for _ in range(length):
            last = made[-1] if made else after
            version = last.version + 1 if last else 1
            other = ReviewEscalated(ProjectId(stream), "", None, None, ()) if version % 3 == 0 else None
            made.append(document(self.service, stream, version, last.hash if last else None, event=other))
        return made

    async def send(self, *documents: Document) -> None:
        for each in documents:
            await self.send_raw(each.stream, each.body)

    async def send_raw(self, stream: UUID, value: bytes | None, *, key: bytes | None = None) -> None:
        await self.producer.send_and_wait(
            self.topic, value, key=key or str(stream).encode(), partition=partition_of(stream, self.partitions)
        )

    def handler(self, name: str = "effects") -> Effects:
        return Effects(name, self.service)

    def reader(self) -> Reader:
        return PartitionReader(KafkaAddress(self.bootstrap), self.topic, longest_wait_ms=20)

    def consumer(
        self,
        handler: Any,
        *,
        reader: Any = None,
        catalogue: Catalogue = CATALOGUE,
        lease_s: float = 2.0,
        pool: Any = None,
        topics: Any = None,
        replica: UUID | None = None,
        most_records: int = 2000,
        commit_as: str | None = None,
        on_applied: Callable[[], None] | None = None,
    ) -> Consumer:
        reader = reader or self.reader()
        self.opened.append(reader)
        return Consumer(
            pool or self.pool,
            handler,
            catalogue,
            reader=reader,
            topics=topics or self.topics,
            replica=replica or uuid4(),
            lease_s=lease_s,
            poll_s=POLL_S,
            most_records=most_records,
            commit_as=commit_as,
            on_applied=on_applied,
            store=self.consumers,
        )

    def ledger(self, made: type[Ledger] = Ledger) -> Ledger:
        """The ledger of the service that consumes."""
        return made(
            self.pool,
            service="reporting",
            catalogue=CATALOGUE,
            clock=lambda: datetime.now(UTC),
            refusal_status=lambda _refusal: 409,
            store=self.events,
        )

    async def table(self, name: str) -> Sequence[Mapping[str, Any]]:
        """The committed rows of a table, by their ids where they have some."""
        rows = [dict(row) for row in await self.pool.fetch(f"SELECT * FROM {name}")]
        return sorted(rows, key=lambda row: row.get("id", 0))

    async def end_leases(self) -> None:
        await self.pool.execute("UPDATE consumer_partitions SET lease_until = now() - interval '1 second'")

    async def read_on_from(self, offset: int) -> None:
        await self.pool.execute("UPDATE consumer_partitions SET next_offset = $1", offset)

    async def forget_guards(self) -> None:
        await self.pool.execute("DELETE FROM consumer_guards")

    async def forget_partition(self, partition: int) -> None:
        await self.pool.execute("DELETE FROM consumer_partitions WHERE partition = $1", partition)

    async def drop_connections(self) -> None:
        await execute(
            self.url,
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()",
        )

    async def open_ledger(self) -> None:
        await self.pool.execute(OPEN_LEDGER)

    async def close_ledger(self) -> None:
        await self.pool.execute("UPDATE relay_checkpoint SET started_at = NULL")

    async def effects(self, consumer: str = "effects") -> dict[UUID, list[int]]:
        """Which versions of which stream were applied, in the order in which they were."""
        found: dict[UUID, list[int]] = {}
        for row in await self.table("effects"):
            if row["consumer"] == consumer:
                found.setdefault(row["stream"], []).append(row["version"])
        return found

    async def parked(self) -> list[tuple[str, int | None]]:
        return [(row["kind"], row["version"]) for row in await self.table("parked")]

    async def rows(self, consumer: str = "effects") -> list[Any]:
        rows = [row for row in await self.table("consumer_partitions") if row["consumer"] == consumer]
        return sorted(rows, key=lambda row: row["partition"])

    async def read_to_the_end(self, *consumers: Consumer, deadline_s: float = 30) -> None:
        """Run passes until the rows stand at the topic's end."""
        name = consumers[0].handler.name
        end = asyncio.get_running_loop().time() + deadline_s
        ends = await self._ends()
        while True:
            for consumer in consumers:
                await consumer.one_pass()
            rows = await self.rows(name)
            if rows and all(row["next_offset"] == ends[row["partition"]] for row in rows):
                return
            assert asyncio.get_running_loop().time() < end, f"stopped short of the end: {rows}, {ends}"

    async def _ends(self) -> Mapping[int, int]:
        reader = self.reader()
        await reader.start()
        try:
            return await reader.ends(range(self.partitions))
        finally:
            await reader.close()


class WorldInMemory(World):
    """The same on what the simulation puts in the place of PostgreSQL and Kafka."""

    def __init__(self, *, partitions: int = 3) -> None:
        self.kafka = MemoryKafka(holes=0.2)
        self.database = MemoryDatabase()
        service = "test-memory"
        self.kafka.create(topic_of(service), partitions=partitions)
        super().__init__(
            "",
            "",
            service,
            topic_of(service),
            partitions,
            self.database.pool(),
            None,
            self.kafka,
            MemoryLedger(),
            MemoryConsumer(),
        )

    async def send_raw(self, stream: UUID, value: bytes | None, *, key: bytes | None = None) -> None:
        record = key or str(stream).encode(), value, ()
        self.kafka.append(self.topic, partition_of(stream, self.partitions), [record])

    def handler(self, name: str = "effects") -> Effects:
        return EffectsInMemory(name, self.service)

    def reader(self) -> Reader:
        return MemoryReader(self.kafka, self.topic)

    async def table(self, name: str) -> Sequence[Mapping[str, Any]]:
        return sorted(self.database.table(name), key=lambda row: row.get("id", 0))

    async def end_leases(self) -> None:
        self.database.change("consumer_partitions", lease_until=self.database.clock() - timedelta(seconds=1))

    async def read_on_from(self, offset: int) -> None:
        self.database.change("consumer_partitions", next_offset=offset)

    async def forget_guards(self) -> None:
        self.database.tables.pop("consumer_guards")

    async def forget_partition(self, partition: int) -> None:
        rows = self.database.tables["consumer_partitions"]
        for key in [key for key in rows if key[-1] == partition]:
            del rows[key]

    async def drop_connections(self) -> None:
        self.database.drop_connections()

    async def open_ledger(self) -> None:
        self.database.verify()

    async def close_ledger(self) -> None:
        self.database.verify(verified=False)


@dataclass(frozen=True)
class Place:
    """Where a world is to be: a database's address, Kafka's, and what makes topics."""

    database: str
    kafka: str
    topic: Callable[..., str]


def place_of(request: pytest.FixtureRequest) -> Place | None:
    """The place that a fixture's parameter names; None for a world in memory."""
    if request.param == "memory":
        return None
    return Place(*(request.getfixturevalue(name) for name in ("database", "kafka", "topic")))


@asynccontextmanager
async def world_at(place: Place | None, *, partitions: int = 3) -> AsyncIterator[World]:
    """A world whose ledger is open."""
    if place is None:
        made = WorldInMemory(partitions=partitions)
        await made.open_ledger()
        yield made
        return
    async with world(place.database, place.kafka, place.topic, partitions=partitions) as real:
        await real.open_ledger()
        yield real


@asynccontextmanager
async def world(database: str, kafka: str, topic: Callable[..., str], *, partitions: int = 3) -> AsyncIterator[World]:
    service = f"test-{uuid4().hex[:12]}"
    name = topic(service=service, partitions=partitions)
    pool = await create_pool(database, largest=10)
    producer = AIOKafkaProducer(bootstrap_servers=kafka, linger_ms=0)
    await producer.start()
    topics = KafkaTopics(KafkaAddress(kafka))
    made = World(database, kafka, service, name, partitions, pool, producer, topics)
    try:
        await pool.execute(
            "CREATE TABLE effects (id bigint GENERATED ALWAYS AS IDENTITY, consumer text, stream uuid, version int)"
        )
        yield made
    finally:
        await producer.stop()
        for reader in made.opened:
            await reader.close()
        await topics.close()
        async with asyncio.timeout(20):
            await pool.close()


async def until(condition: Callable[[], Any], *, deadline_s: float = 30) -> None:
    """Wait for an awaitable condition to hold."""
    end = asyncio.get_running_loop().time() + deadline_s
    while not await condition():
        assert asyncio.get_running_loop().time() < end, "it did not come to hold"
        await asyncio.sleep(0.02)


async def execute(url: str, statement: str, *arguments: Any) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(statement, *arguments)
    finally:
        await connection.close()


class CrashAfter:
    """Runs a coroutine and ends it at its n-th suspension, as a power cut between two steps would.

    `cut` severs its connections, so that what it still does to clean up reaches nobody. Raises PowerCut then.
    """

    def __init__(self, coroutine: Any, suspensions: int, cut: Callable[[], None]) -> None:
        self._coroutine = coroutine
        self._left = suspensions
        self._cut = cut

    def __await__(self) -> Any:
        inner = self._coroutine.__await__()
        step: Callable[[], Any] = partial(inner.send, None)
        while True:
            try:
                waited = step()
            except StopIteration as done:
                return done.value
            except Exception:
                if self._left < 0:
                    raise PowerCut from None
                raise
            if self._left == 0:
                self._cut()
                step = partial(inner.throw, PowerCut())
                self._left = -1
                continue
            self._left -= 1 if self._left > 0 else 0
            try:
                value = yield waited
            except BaseException as error:
                step = partial(inner.throw, error)
            else:
                step = partial(inner.send, value)


class PowerCut(BaseException):
    """The process is gone."""
