"""Reading assigned partitions from given offsets: no group, no reset, no decoding."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.client import CoordinationType
from aiokafka.errors import KafkaError, OffsetOutOfRangeError, for_code
from aiokafka.protocol.commit import OffsetCommitRequest

from govkernel.kafka.address import KafkaAddress
from govkernel.kafka.errors import KafkaUnavailable, OffsetGone, as_unavailable
from govkernel.kafka.topics import count_partitions

LARGEST_FETCH_BYTES: Final = 1024 * 1024
"""What one fetch of one partition may bring, so that twelve of them fit into a small container."""


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
        with as_unavailable(self.topic):
            return await count_partitions(self._consumer._client, self.topic)  # noqa: SLF001

    async def beginnings(self, partitions: Iterable[int]) -> dict[int, int]:
        """The first offset that each partition still has. Raises KafkaUnavailable."""
        with as_unavailable(self.topic):
            found = await self._consumer.beginning_offsets([TopicPartition(self.topic, each) for each in partitions])
        return {each.partition: offset for each, offset in found.items()}

    async def ends(self, partitions: Iterable[int]) -> dict[int, int]:
        """The offset that each partition's next record will get. Raises KafkaUnavailable."""
        with as_unavailable(self.topic):
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
        with as_unavailable(self.topic):
            coordinator = await client.coordinator_lookup(CoordinationType.GROUP, group)
            answer = await client.send(coordinator, request)
            for _, partitions in answer.topics:
                for _, code in partitions:
                    if code:
                        raise for_code(code)
