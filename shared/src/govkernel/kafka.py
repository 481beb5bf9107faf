"""The thin edge to Kafka: producing with every acknowledgement awaited, reading assigned partitions, topics' ids.

Nothing here joins a consumer group, resets an offset or decodes a value.
"""

import asyncio
import contextlib
import logging
import ssl
from base64 import urlsafe_b64encode
from collections.abc import AsyncIterator, Coroutine, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from io import BytesIO
from typing import Any, Final, NamedTuple, Protocol, TypeVar
from uuid import UUID

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.client import AIOKafkaClient, CoordinationType
from aiokafka.errors import KafkaError, OffsetOutOfRangeError, UnknownTopicOrPartitionError, for_code
from aiokafka.partitioner import murmur2
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.commit import OffsetCommitRequest
from aiokafka.protocol.types import Boolean, CompactArray, CompactString, Int16, Int32, Schema, TaggedFields

T = TypeVar("T")

CONTENT_TYPE: Final = ("content-type", b"application/cloudevents+json")
LARGEST_BATCH_BYTES: Final = 512 * 1024
"""A batch of records stays below the broker's default `max.message.bytes`, also with one document of 256 KiB more."""
LARGEST_FETCH_BYTES: Final = 1024 * 1024
"""What one fetch of one partition may bring, so that twelve of them fit into a small container."""
NEW_TOPIC_KNOWN_AFTER_S: Final = 2.0
"""How long a broker may take to hear of a topic that was just created."""

log = logging.getLogger(__name__)


class KafkaUnavailable(Exception):
    """Kafka is away, or did not answer in time: worth trying again later."""


class SendFailed(KafkaUnavailable):
    """Not every record of a batch was acknowledged; those that were not may still arrive."""


class TopicMissing(Exception):
    """There is no such topic: create it, for nothing here creates topics on the way."""


class OffsetGone(Exception):
    """The topic no longer, or not yet, has the offset that was to be read. Nothing is reset: records would be lost."""

    def __init__(self, topic: str, partition: int, offset: int) -> None:
        super().__init__(
            f"{topic}/{partition} has no offset {offset}: its log was cut or made anew. Compare the topic with the "
            "ledger before anything is read from elsewhere"
        )
        self.topic = topic
        self.partition = partition
        self.offset = offset


@dataclass(frozen=True, slots=True)
class KafkaAddress:
    """Where Kafka is, and as whom to speak to it. `security_protocol` and `sasl_mechanism` are named as Kafka does."""

    bootstrap_servers: str
    security_protocol: str = "PLAINTEXT"
    sasl_mechanism: str | None = None
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    ca_file: str | None = None

    def for_aiokafka(self) -> dict[str, Any]:
        """The address as aiokafka's keyword arguments."""
        settings: dict[str, Any] = {
            "bootstrap_servers": self.bootstrap_servers,
            "security_protocol": self.security_protocol,
        }
        if self.security_protocol.endswith("SSL"):
            settings["ssl_context"] = ssl.create_default_context(cafile=self.ca_file)
        if self.sasl_mechanism is not None:
            settings["sasl_mechanism"] = self.sasl_mechanism
            settings["sasl_plain_username"] = self.username
            settings["sasl_plain_password"] = self.password
        return settings


@lru_cache(maxsize=65_536)
def _hash_of_key(stream: UUID) -> int:
    hashed: int = murmur2(str(stream).encode())
    return hashed & 0x7FFFFFFF


def partition_of(stream: UUID, partitions: int) -> int:
    """The partition that carries a stream, the same as Java's default partitioner finds for its id as text."""
    return _hash_of_key(stream) % partitions


class Outgoing(NamedTuple):
    """A record to be sent: the stream it is of, the event's type, and the stored bytes."""

    stream: UUID
    type: str
    body: bytes


class EventProducer:
    """An idempotent producer that waits for every replica's acknowledgement.

    It connects when it is first used. After any failure it gives up its connection and its sequence numbers and begins
    anew, for a producer that has lost count would go on refusing or, worse, reorder.
    """

    def __init__(self, address: KafkaAddress, *, delivery_timeout_s: float = 20.0) -> None:
        self._address = address
        self._delivery_timeout_s = delivery_timeout_s
        self._producer: Any = None
        self._partitions: dict[str, int] = {}

    async def send(self, topic: str, batch: Sequence[Outgoing]) -> dict[int, int]:
        """Send records in their order per stream; the highest acknowledged offset of each partition.

        Raises SendFailed if not every record was acknowledged in time; TopicMissing.
        """
        return await self._or_begin_anew(self._send_events(topic, batch))

    async def put(self, topic: str, key: bytes, value: bytes) -> None:
        """Set the value of a key of a compacted topic with one partition. Raises SendFailed, TopicMissing."""
        await self._or_begin_anew(self._send_to_partition(topic, 0, [(key, value, [])]))

    async def close(self) -> None:
        """Disconnect. Nothing is under way, for sending waits for its acknowledgements."""
        await self.abort()

    async def abort(self) -> None:
        """Disconnect at once and send nothing more of what is under way."""
        producer, self._producer = self._producer, None
        self._partitions.clear()
        if producer is None:
            return
        # An idempotent AIOKafkaProducer retries for ever, and its stop() waits for that: so it is taken apart instead.
        producer._closed = True  # noqa: SLF001
        sender = producer._sender.sender_task  # noqa: SLF001
        if sender is not None:
            sender.cancel()
        with contextlib.suppress(Exception):
            await producer.client.close()
        if sender is not None:
            # Cancelled once it waits for the requests under way, twice it gives up those that wait for metadata.
            await asyncio.wait({sender}, timeout=1)
            sender.cancel()
            await asyncio.wait({sender}, timeout=1)

    async def _or_begin_anew(self, sending: Coroutine[Any, Any, T]) -> T:
        try:
            async with asyncio.timeout(self._delivery_timeout_s):
                return await sending
        except (KafkaError, OSError, TimeoutError) as error:
            await self.abort()
            raise SendFailed(f"Kafka did not acknowledge: {error!r}") from error
        except BaseException:
            await self.abort()
            raise

    async def _connected(self) -> Any:
        if self._producer is None:
            self._producer = AIOKafkaProducer(
                **self._address.for_aiokafka(),
                enable_idempotence=True,
                acks="all",
                max_batch_size=LARGEST_BATCH_BYTES,
                request_timeout_ms=10_000,
            )
            await self._producer.start()
        return self._producer

    async def _send_events(self, topic: str, batch: Sequence[Outgoing]) -> dict[int, int]:
        producer = await self._connected()
        if topic not in self._partitions:
            self._partitions[topic] = await _count_partitions(producer.client, topic)
        partitions = self._partitions[topic]
        by_partition: dict[int, list[tuple[bytes, bytes, list[tuple[str, bytes]]]]] = {}
        for stream, type_name, body in batch:
            by_partition.setdefault(partition_of(stream, partitions), []).append(
                (str(stream).encode(), body, [CONTENT_TYPE, ("type", type_name.encode())])
            )
        try:
            async with asyncio.TaskGroup() as group:
                tasks = {
                    partition: group.create_task(self._send_to_partition(topic, partition, records))
                    for partition, records in by_partition.items()
                }
        except ExceptionGroup as failures:
            raise failures.exceptions[0] from None
        return {partition: task.result() for partition, task in tasks.items()}

    async def _send_to_partition(
        self, topic: str, partition: int, records: Sequence[tuple[bytes, bytes, list[tuple[str, bytes]]]]
    ) -> int:
        producer = await self._connected()
        highest = -1
        at = 0
        while at < len(records):
            builder = producer.create_batch()
            first = at
            while at < len(records):
                key, value, headers = records[at]
                if builder.append(timestamp=None, key=key, value=value, headers=headers) is None:
                    break
                at += 1
            assert at > first, "a batch takes at least one record, however large"
            # One batch of a partition at a time: behind one that fails, the next could still arrive.
            acknowledgement = await (await producer.send_batch(builder, topic, partition=partition))
            if acknowledgement.offset >= 0:
                highest = acknowledgement.offset + (at - first) - 1
        return highest


class Record(Protocol):
    """A record as it was read."""

    @property
    def offset(self) -> int:
        """The record's place in its partition."""

    @property
    def key(self) -> bytes | None:
        """The stream's id as text, in topics of events."""

    @property
    def value(self) -> bytes | None:
        """The bytes that were sent."""

    @property
    def timestamp(self) -> int:
        """When it was sent, in milliseconds since 1970."""

    @property
    def headers(self) -> Sequence[tuple[str, bytes]]:
        """What was sent beside the value."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """Records of one partition, read from offset `start`; the next fetch starts at `end`.

    Offsets may have holes, so where a fetch began is told by `start` and not by its first record.
    """

    partition: int
    start: int
    end: int
    records: Sequence[Record]


class PartitionReader:
    """Reads partitions of one topic from given offsets, without a group. For use by one task."""

    def __init__(
        self,
        address: KafkaAddress,
        topic: str,
        *,
        largest_fetch_bytes: int = LARGEST_FETCH_BYTES,
        longest_wait_ms: int = 2000,
    ) -> None:
        self.topic = topic
        self._address = address
        self._largest_fetch_bytes = largest_fetch_bytes
        self._longest_wait_ms = longest_wait_ms
        self._consumer: Any = None
        self._assigned: frozenset[int] = frozenset()

    async def start(self, *, timeout_s: float = 20.0) -> None:
        """Connect. Raises KafkaUnavailable."""
        consumer = AIOKafkaConsumer(
            **self._address.for_aiokafka(),
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="none",
            max_partition_fetch_bytes=self._largest_fetch_bytes,
            fetch_max_wait_ms=self._longest_wait_ms,
            request_timeout_ms=10_000,
        )
        try:
            async with asyncio.timeout(timeout_s):
                await consumer.start()
        except (KafkaError, OSError, TimeoutError) as error:
            await consumer.stop()
            raise KafkaUnavailable(f"{self.topic}: Kafka is away: {error!r}") from error
        except BaseException:
            await consumer.stop()
            raise
        self._consumer = consumer
        self._assigned = frozenset()

    async def close(self) -> None:
        """Disconnect."""
        consumer, self._consumer = self._consumer, None
        self._assigned = frozenset()
        if consumer is not None:
            await consumer.stop()

    @property
    def assigned(self) -> frozenset[int]:
        """The partitions that are being read."""
        return self._assigned

    def assign(self, positions: Mapping[int, int]) -> None:
        """Read these partitions, each from its offset, and no others."""
        self._assigned = frozenset(positions)
        if positions:
            self._consumer.assign([TopicPartition(self.topic, partition) for partition in positions])
        # In the same step of the event loop: an assigned partition without a position would be reset, or fail.
        for partition, offset in positions.items():
            self.seek(partition, offset)

    def seek(self, partition: int, offset: int) -> None:
        """Read an assigned partition from another offset; what was fetched ahead is dropped."""
        self._consumer.seek(TopicPartition(self.topic, partition), offset)

    async def position(self, partition: int) -> int:
        """The offset at which the next fetch of an assigned partition starts."""
        position: int = await self._consumer.position(TopicPartition(self.topic, partition))
        return position

    async def fetch(self, *, timeout_s: float = 0.5, most_records: int | None = None) -> list[Fetched]:
        """What has arrived, waiting for it up to `timeout_s`; `most_records` bounds all partitions together.

        Raises OffsetGone, KafkaUnavailable. After an error the reader may be used again, or be sought.
        """
        if not self._assigned:
            await asyncio.sleep(timeout_s)
            return []
        consumer = self._consumer
        fetcher = consumer._fetcher.error_future  # noqa: SLF001
        if fetcher.done():
            # aiokafka would from now on wait quietly for records that nobody fetches.
            raise KafkaUnavailable(f"{self.topic}: reading has ended; start anew")
        starts = {partition: await self.position(partition) for partition in self._assigned}
        try:
            drained = await consumer.getmany(timeout_ms=int(timeout_s * 1000), max_records=most_records)
        except OffsetOutOfRangeError as error:
            ((partition, offset),) = error.args[0].items()
            raise OffsetGone(self.topic, partition.partition, offset) from None
        except (KafkaError, OSError) as error:
            raise KafkaUnavailable(f"{self.topic}: reading failed: {error!r}") from error
        return [
            Fetched(each.partition, starts[each.partition], await self.position(each.partition), records)
            for each, records in drained.items()
        ]

    async def partitions(self) -> int:
        """How many partitions the topic has. Raises TopicMissing, KafkaUnavailable."""
        with _as_unavailable(self.topic):
            return await _count_partitions(self._consumer._client, self.topic)  # noqa: SLF001

    async def beginnings(self, partitions: Iterable[int]) -> dict[int, int]:
        """The first offset that each partition still has. Raises KafkaUnavailable."""
        with _as_unavailable(self.topic):
            found = await self._consumer.beginning_offsets([TopicPartition(self.topic, each) for each in partitions])
        return {each.partition: offset for each, offset in found.items()}

    async def ends(self, partitions: Iterable[int]) -> dict[int, int]:
        """The offset that each partition's next record will get. Raises KafkaUnavailable."""
        with _as_unavailable(self.topic):
            found = await self._consumer.end_offsets([TopicPartition(self.topic, each) for each in partitions])
        return {each.partition: offset for each, offset in found.items()}

    async def commit(self, group: str, offsets: Mapping[int, int]) -> None:
        """Show tools how far a consumer has come; nobody reads its offsets from there. Raises KafkaUnavailable.

        librdkafka could do it too, but ends the whole process where the group's coordinator dies meanwhile.
        """
        if self._consumer is None:
            raise KafkaUnavailable(f"{self.topic}: not connected")
        client = self._consumer._client  # noqa: SLF001
        request = OffsetCommitRequest(
            group,
            OffsetCommitRequest.DEFAULT_GENERATION_ID,
            "",
            OffsetCommitRequest.DEFAULT_RETENTION_TIME,
            [(self.topic, [(partition, offset, "") for partition, offset in sorted(offsets.items())])],
        )
        with _as_unavailable(self.topic):
            coordinator = await client.coordinator_lookup(CoordinationType.GROUP, group)
            answer = await client.send(coordinator, request)
            for _, partitions in answer.topics:
                for _, code in partitions:
                    if code:
                        raise for_code(code)


async def _count_partitions(client: Any, topic: str) -> int:
    # By the metadata of all topics: asked for one that is missing, aiokafka keeps on asking, and logs each answer.
    deadline = asyncio.get_running_loop().time() + NEW_TOPIC_KNOWN_AFTER_S
    while True:
        known = (await client.fetch_all_metadata()).partitions_for_topic(topic)
        if known:
            return len(known)
        if asyncio.get_running_loop().time() > deadline:
            raise TopicMissing(f"{topic}: there is no such topic; create it first")
        await asyncio.sleep(0.1)


@contextlib.contextmanager
def _as_unavailable(topic: str) -> Iterator[None]:
    try:
        yield
    except (KafkaError, OSError, TimeoutError) as error:
        raise KafkaUnavailable(f"{topic}: Kafka is away: {error!r}") from error


@dataclass(frozen=True, slots=True)
class Extent:
    """Where each partition of a topic begins, and where its next record will go."""

    beginnings: Mapping[int, int]
    ends: Mapping[int, int]


class TopicLog:
    """A topic as a log that can be read from one offset to another."""

    def __init__(self, address: KafkaAddress, *, longest_stall_s: float = 30.0) -> None:
        self._address = address
        self._longest_stall_s = longest_stall_s

    async def extent(self, topic: str) -> Extent:
        """Where the topic begins and ends now. Raises TopicMissing, KafkaUnavailable."""
        async with self._reader(topic) as reader:
            partitions = range(await reader.partitions())
            return Extent(await reader.beginnings(partitions), await reader.ends(partitions))

    async def read(
        self, topic: str, start: Mapping[int, int], end: Mapping[int, int] | None = None
    ) -> AsyncIterator[Fetched]:
        """What lies in [start, end) of each partition, each in its order; without `end`, also what is yet to come.

        Raises OffsetGone, and KafkaUnavailable where nothing more comes although the end is not reached.
        """
        wanted = {each: at for each, at in start.items() if end is None or at < end[each]}
        if not wanted:
            return
        async with self._reader(topic) as reader:
            reader.assign(wanted)
            clock = asyncio.get_running_loop().time
            moved_at, last = clock(), dict(wanted)
            while True:
                for fetched in await reader.fetch():
                    inside = [each for each in fetched.records if end is None or each.offset < end[fetched.partition]]
                    if inside:
                        yield Fetched(fetched.partition, fetched.start, fetched.end, inside)
                positions = {each: await reader.position(each) for each in wanted}
                if end is None:
                    continue
                if all(positions[each] >= end[each] for each in wanted):
                    return
                if positions != last:
                    moved_at, last = clock(), positions
                elif clock() - moved_at > self._longest_stall_s:
                    raise KafkaUnavailable(f"{topic}: nothing was read for {self._longest_stall_s:.0f} s")

    @contextlib.asynccontextmanager
    async def _reader(self, topic: str) -> AsyncIterator[PartitionReader]:
        reader = PartitionReader(self._address, topic)
        await reader.start()
        try:
            yield reader
        finally:
            await reader.close()


@dataclass(frozen=True, slots=True)
class TopicIdentity:
    """Which topic it is: one that was deleted and made anew has the same name and another id."""

    cluster_id: str
    topic_id: str


class _Uuid:
    """Sixteen bytes, which aiokafka's protocol types do not have."""

    @staticmethod
    def encode(value: bytes) -> bytes:
        return value

    @staticmethod
    def decode(data: BytesIO) -> bytes:
        return data.read(16)


class _DescribeTopicResponse(Response):  # type: ignore[misc]  # aiokafka is read without its types
    """Kafka's Metadata response, version 12; aiokafka's own versions end before topics had ids (KIP-516)."""

    API_KEY = 3
    API_VERSION = 12
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "brokers",
            CompactArray(
                ("node_id", Int32),
                ("host", CompactString()),
                ("port", Int32),
                ("rack", CompactString()),
                ("tags", TaggedFields),
            ),
        ),
        ("cluster_id", CompactString()),
        ("controller_id", Int32),
        (
            "topics",
            CompactArray(
                ("error_code", Int16),
                ("name", CompactString()),
                ("topic_id", _Uuid),
                ("is_internal", Boolean),
                (
                    "partitions",
                    CompactArray(
                        ("error_code", Int16),
                        ("partition", Int32),
                        ("leader", Int32),
                        ("leader_epoch", Int32),
                        ("replicas", CompactArray(Int32)),
                        ("in_sync_replicas", CompactArray(Int32)),
                        ("offline_replicas", CompactArray(Int32)),
                        ("tags", TaggedFields),
                    ),
                ),
                ("authorized_operations", Int32),
                ("tags", TaggedFields),
            ),
        ),
        ("tags", TaggedFields),
    )


class _DescribeTopicStruct(RequestStruct):  # type: ignore[misc]
    """Kafka's Metadata request, version 12."""

    FLEXIBLE_VERSION = True
    API_KEY = 3
    API_VERSION = 12
    RESPONSE_TYPE = _DescribeTopicResponse
    SCHEMA = Schema(
        ("topics", CompactArray(("topic_id", _Uuid), ("name", CompactString()), ("tags", TaggedFields))),
        ("allow_auto_topic_creation", Boolean),
        ("include_authorized_operations", Boolean),
        ("tags", TaggedFields),
    )


class _DescribeTopic(Request[_DescribeTopicStruct]):  # type: ignore[misc]
    """Asks for one topic by its name, and never creates it."""

    API_KEY = 3

    def __init__(self, topic: str) -> None:
        self._topic = topic

    def build(self, request_struct_class: type[_DescribeTopicStruct]) -> _DescribeTopicStruct:
        return request_struct_class([(bytes(16), self._topic, {})], False, False, {})


class KafkaTopics:
    """Says which topics they are. It connects when it is first asked, and anew after any failure.

    librdkafka could say it, too, but ends the whole process where Kafka dies or stands still meanwhile.
    """

    def __init__(self, address: KafkaAddress, *, timeout_s: float = 10.0) -> None:
        self._address = address
        self._timeout_s = timeout_s
        self._client: Any = None
        self._connecting = asyncio.Lock()

    async def identity(self, topic: str) -> TopicIdentity:
        """The identity of a topic. Raises TopicMissing, KafkaUnavailable."""
        client = None
        try:
            async with asyncio.timeout(self._timeout_s):
                client = await self._connected()
                answer = await client.send(client.get_random_node(), _DescribeTopic(topic))
        except (KafkaError, OSError, TimeoutError) as error:
            await self._give_up(client)
            raise KafkaUnavailable(f"{topic}: Kafka is away: {error!r}") from error
        (described,) = answer.topics
        code, _, topic_id, *_ = described
        if code == UnknownTopicOrPartitionError.errno:
            raise TopicMissing(f"{topic}: there is no such topic; create it first")
        if code:
            raise KafkaUnavailable(f"{topic}: Kafka does not say which it is: {for_code(code)!r}")
        return TopicIdentity(answer.cluster_id, urlsafe_b64encode(topic_id).rstrip(b"=").decode())

    async def close(self) -> None:
        """Disconnect."""
        await self._give_up(self._client)

    async def _connected(self) -> Any:
        async with self._connecting:
            if self._client is None:
                client = AIOKafkaClient(**self._address.for_aiokafka(), request_timeout_ms=int(self._timeout_s * 1000))
                try:
                    await client.bootstrap()
                except BaseException:
                    await client.close()
                    raise
                self._client = client
            return self._client

    async def _give_up(self, client: Any) -> None:
        if client is not None and client is self._client:
            self._client = None
            await client.close()
