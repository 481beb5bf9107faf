"""Kafka in memory, as far as the kernel relies on it: topics with an identity, partitions, offsets with holes.

A record that has reached the broker lies there whatever becomes of its producer. A producer whose acknowledgement is
lost sends again; the broker drops the repeat unless its leader has changed meanwhile. Behind a batch that failed nothing
more of the same send goes to that partition. Offsets have holes, as the markers of transactions leave them, and a fetch
brings what it likes.
"""

import asyncio
import contextlib
import contextvars
import random
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Literal

from tests.simulation.database import utc_now

from govkernel.kafka import (
    Extent,
    Fetched,
    KafkaUnavailable,
    OffsetGone,
    Outgoing,
    SendFailed,
    TopicIdentity,
    TopicMissing,
)
from govkernel.kafka.address import partition_of

Point = Literal["connect", "produce", "append", "acknowledge", "fetch"]
"""Where something may happen: on the way to the broker, at the broker, on the way back."""

Reached = Callable[[Point], Awaitable[None]]
"""Told of each point; takes the time that it takes, and raises ConnectionError where a link breaks."""

ATTEMPTS: Final = 3
DELIVERY_TIMEOUT_S: Final = 20.0


async def at_once(_point: Point) -> None:
    """Let everybody else go on for a moment."""
    await asyncio.sleep(0)


@dataclass(frozen=True, slots=True)
class StoredRecord:
    """A record as it lies in a partition."""

    offset: int
    key: bytes | None
    value: bytes | None
    timestamp: int
    headers: tuple[tuple[str, bytes], ...] = ()


Unsent = tuple[bytes | None, bytes | None, tuple[tuple[str, bytes], ...]]


@dataclass
class Partition:
    """A log. `seen` is the newest batch of each producer that the leader remembers, with its last offset."""

    records: list[StoredRecord] = field(default_factory=list)
    end: int = 0
    seen: dict[int, int] = field(default_factory=dict)


@dataclass
class Topic:
    """A topic with its identity."""

    identity: TopicIdentity
    partitions: list[Partition]


class MemoryKafka:
    """A cluster. `chance` decides where offsets have holes and, with `cuts`, how sends and fetches are cut."""

    def __init__(
        self,
        *,
        reached: Reached = at_once,
        clock: Callable[[], datetime] = utc_now,
        chance: random.Random | None = None,
        holes: float = 0.0,
        cuts: bool = False,
    ) -> None:
        self.reached = reached
        self.clock = clock
        self.chance = chance or random.Random(0)
        self.topics: dict[str, Topic] = {}
        self.context = contextvars.Context()
        self.cuts = cuts
        self._holes = holes
        self._made = 0
        self._arrival: asyncio.Future[None] | None = None

    def create(self, topic: str, *, partitions: int = 12) -> None:
        """Make a topic, or make it anew."""
        self._made += 1
        identity = TopicIdentity("memory", f"topic-{self._made}")
        self.topics[topic] = Topic(identity, [Partition() for _ in range(partitions)])

    def topic(self, name: str) -> Topic:
        """A topic. Raises TopicMissing."""
        if name not in self.topics:
            raise TopicMissing(f"{name}: there is no such topic; create it first")
        return self.topics[name]

    def change_leaders(self) -> None:
        """Let other brokers lead, who do not know which batches had come already."""
        for topic in self.topics.values():
            for partition in topic.partitions:
                partition.seen.clear()

    def append(self, topic: str, partition: int, records: Iterable[Unsent]) -> int:
        """Write records to the end of a log; the last offset."""
        log = self.topic(topic).partitions[partition]
        now_ms = int(self.clock().timestamp() * 1000)
        for key, value, headers in records:
            if self._holes and self.chance.random() < self._holes:
                log.end += 1
            log.records.append(StoredRecord(log.end, key, value, now_ms, headers))
            log.end += 1
        arrival, self._arrival = self._arrival, None
        if arrival is not None and not arrival.done():
            arrival.set_result(None)
        return log.end - 1

    async def produce(self, topic: str, partition: int, batch: int, records: Sequence[Unsent]) -> int:
        """Write a batch, once the leader gets to it; -1 where it is known to lie there already."""

        async def write() -> int:
            with contextlib.suppress(ConnectionError):
                await self.reached("append")
            log = self.topic(topic).partitions[partition]
            if batch in log.seen:
                return -1
            log.seen[batch] = self.append(topic, partition, records)
            return log.seen[batch]

        # What has reached the broker is written, whatever becomes of who sent it.
        writing = asyncio.get_running_loop().create_task(write(), context=self.context.copy())
        await asyncio.wait({writing})
        return writing.result()

    async def arrived(self) -> None:
        """Wait for records."""
        if self._arrival is None or self._arrival.done():
            self._arrival = asyncio.get_running_loop().create_future()
        await asyncio.wait({self._arrival})

    def cut(self, most: int) -> int:
        """How many of these are taken at once; at least one."""
        return self.chance.randint(1, most) if self.cuts else most

    def next_batch(self) -> int:
        """A number that no other batch has."""
        self._made += 1
        return self._made

    async def identity(self, topic: str) -> TopicIdentity:
        """Which topic it is. Raises TopicMissing, KafkaUnavailable."""
        await self._reach("connect")
        return self.topic(topic).identity

    async def extent(self, topic: str) -> Extent:
        """Where a topic begins and ends."""
        await self._reach("connect")
        partitions = self.topic(topic).partitions
        return Extent(
            dict.fromkeys(range(len(partitions)), 0), {number: each.end for number, each in enumerate(partitions)}
        )

    async def read(
        self, topic: str, start: Mapping[int, int], end: Mapping[int, int] | None = None
    ) -> AsyncIterator[Fetched]:
        """What lies in [start, end) of each partition."""
        for partition, at in start.items():
            await self._reach("fetch")
            log = self.topic(topic).partitions[partition]
            until = log.end if end is None else end[partition]
            records = [each for each in log.records if at <= each.offset < until]
            if records:
                yield Fetched(partition, at, until, records)

    async def _reach(self, point: Point) -> None:
        try:
            await self.reached(point)
        except ConnectionError as error:
            raise KafkaUnavailable(f"Kafka is away: {error!r}") from error


class MemoryProducer:
    """A producer that waits for every acknowledgement, as `govkernel.kafka.EventProducer` does."""

    def __init__(self, kafka: MemoryKafka) -> None:
        self._kafka = kafka

    async def send(self, topic: str, batch: Sequence[Outgoing]) -> dict[int, int]:
        partitions = len(self._kafka.topic(topic).partitions)
        by_partition: defaultdict[int, list[Unsent]] = defaultdict(list)
        for stream, type_name, body in batch:
            headers = ("content-type", b"application/cloudevents+json"), ("type", type_name.encode())
            by_partition[partition_of(stream, partitions)].append((str(stream).encode(), body, headers))
        return await self._delivered({partition: (topic, records) for partition, records in by_partition.items()})

    async def put(self, topic: str, key: bytes, value: bytes) -> None:
        self._kafka.topic(topic)
        await self._delivered({0: (topic, [(key, value, ())])})

    async def abort(self) -> None:
        """Nothing is under way once a send has ended, for whatever reason."""

    async def _delivered(self, records: Mapping[int, tuple[str, Sequence[Unsent]]]) -> dict[int, int]:
        try:
            async with asyncio.timeout(DELIVERY_TIMEOUT_S):
                await self._kafka.reached("connect")
                async with asyncio.TaskGroup() as group:
                    tasks = {
                        partition: group.create_task(self._to_partition(topic, partition, some))
                        for partition, (topic, some) in records.items()
                    }
        except (ExceptionGroup, ConnectionError, TimeoutError) as failure:
            raise SendFailed(f"Kafka did not acknowledge: {failure!r}") from failure
        return {partition: task.result() for partition, task in tasks.items()}

    async def _to_partition(self, topic: str, partition: int, records: Sequence[Unsent]) -> int:
        highest, at = -1, 0
        while at < len(records):
            some = records[at : at + self._kafka.cut(len(records))]
            number = self._kafka.next_batch()
            highest = await self._batch(topic, partition, number, some)
            at += len(some)
        return highest

    async def _batch(self, topic: str, partition: int, number: int, records: Sequence[Unsent]) -> int:
        for attempt in range(ATTEMPTS):
            try:
                await self._kafka.reached("produce")
                offset = await self._kafka.produce(topic, partition, number, records)
                await self._kafka.reached("acknowledge")
                return offset
            except ConnectionError:
                if attempt == ATTEMPTS - 1:
                    raise
        raise AssertionError("the last attempt returns or raises")


class MemoryReader:
    """Reads partitions of one topic from given offsets, as `govkernel.kafka.PartitionReader` does."""

    def __init__(self, kafka: MemoryKafka, topic: str) -> None:
        self._kafka = kafka
        self.topic = topic
        self._positions: dict[int, int] = {}
        self._started = False

    async def start(self) -> None:
        await self._kafka._reach("connect")
        self._started = True
        self._positions = {}

    async def close(self) -> None:
        self._started = False
        self._positions = {}

    def assign(self, positions: Mapping[int, int]) -> None:
        self._positions = dict(positions)

    def seek(self, partition: int, offset: int) -> None:
        self._positions[partition] = offset

    @property
    def assigned(self) -> frozenset[int]:
        return frozenset(self._positions)

    async def position(self, partition: int) -> int:
        return self._positions[partition]

    async def fetch(self, *, timeout_s: float = 0.5, most_records: int | None = None) -> list[Fetched]:
        if not self._started:
            raise KafkaUnavailable(f"{self.topic}: not connected")
        if not self._positions:
            await asyncio.sleep(timeout_s)
            return []
        if not self._waiting():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(timeout_s):
                    while not self._waiting():
                        await self._kafka.arrived()
        await self._kafka._reach("fetch")
        return self._taken(most_records)

    def _waiting(self) -> bool:
        partitions = self._kafka.topic(self.topic).partitions
        return any(at != partitions[partition].end for partition, at in self._positions.items())

    def _taken(self, most_records: int | None) -> list[Fetched]:
        """Some of what there is: where a fetch is cut, the rest comes with the next."""
        found = []
        left = most_records if most_records is not None else 1_000_000
        for partition, start in sorted(self._positions.items()):
            log = self._kafka.topic(self.topic).partitions[partition]
            if start > log.end:
                raise OffsetGone(self.topic, partition, start)
            records = (
                [each for each in log.records[-(log.end - start) :] if each.offset >= start] if log.end > start else []
            )
            records = records[: min(left, self._kafka.cut(len(records)))] if records else []
            if not records:
                continue
            left -= len(records)
            end = records[-1].offset + 1
            self._positions[partition] = end
            found.append(Fetched(partition, start, end, records))
        return found

    async def partitions(self) -> int:
        await self._kafka._reach("connect")
        return len(self._kafka.topic(self.topic).partitions)

    async def beginnings(self, partitions: Iterable[int]) -> dict[int, int]:
        await self._kafka._reach("connect")
        return dict.fromkeys(partitions, 0)

    async def ends(self, partitions: Iterable[int]) -> dict[int, int]:
        await self._kafka._reach("connect")
        logs = self._kafka.topic(self.topic).partitions
        return {each: logs[each].end for each in partitions}

    async def commit(self, group: str, offsets: Mapping[int, int]) -> None:
        await self._kafka._reach("connect")
