"""Producing with every acknowledgement awaited."""

import asyncio
import contextlib
from collections import deque
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, TypeVar
from uuid import UUID

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from govkernel.kafka.address import KafkaAddress, partition_of
from govkernel.kafka.errors import SendFailed
from govkernel.kafka.topics import count_partitions

T = TypeVar("T")

CONTENT_TYPE: Final = ("content-type", b"application/cloudevents+json")
LARGEST_BATCH_BYTES: Final = 512 * 1024
"""A batch of records stays below the broker's default `max.message.bytes`, also with one document of 256 KiB more."""


class Outgoing(NamedTuple):
    """A record to be sent: the stream it is of, the event's type, and the stored bytes."""

    stream: UUID
    type: str
    body: bytes


@dataclass(slots=True)
class _Batch:
    """Records of one partition that are sent together: aiokafka's builder, and how many it has taken."""

    builder: Any
    records: int = 0

    def add(self, key: bytes, value: bytes, headers: Sequence[tuple[str, bytes]]) -> bool:
        """Take one more record; False where it is full."""
        if self.builder.append(timestamp=None, key=key, value=value, headers=headers) is None:
            return False
        self.records += 1
        return True


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

        It is -1 where Kafka says only that it had the last of the records already.

        Raises SendFailed if not every record was acknowledged in time; TopicMissing.
        """
        return await self._or_begin_anew(self._send_events(topic, batch))

    async def put(self, topic: str, key: bytes, value: bytes) -> None:
        """Set the value of a key of a compacted topic with one partition. Raises SendFailed, TopicMissing."""
        await self._or_begin_anew(self._put(topic, key, value))

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

    async def _put(self, topic: str, key: bytes, value: bytes) -> None:
        batch = _Batch((await self._connected()).create_batch())
        batch.add(key, value, [])
        await self._send_to_partition(topic, 0, deque([batch]))

    async def _send_events(self, topic: str, records: Sequence[Outgoing]) -> dict[int, int]:
        producer = await self._connected()
        if topic not in self._partitions:
            self._partitions[topic] = await count_partitions(producer.client, topic)
        partitions = self._partitions[topic]
        # All are built before the first is sent, for those that are ready together travel in one request.
        ready: dict[int, deque[_Batch]] = {}
        for stream, type_name, body in records:
            partition = partition_of(stream, partitions)
            key, headers = str(stream).encode(), [CONTENT_TYPE, ("type", type_name.encode())]
            batches = ready.setdefault(partition, deque())
            if not batches or not batches[-1].add(key, body, headers):
                batches.append(_Batch(producer.create_batch()))
                added = batches[-1].add(key, body, headers)
                assert added, "a batch takes at least one record, however large"
        try:
            async with asyncio.TaskGroup() as group:
                tasks = {
                    partition: group.create_task(self._send_to_partition(topic, partition, batches))
                    for partition, batches in ready.items()
                }
        except ExceptionGroup as failures:
            raise failures.exceptions[0] from None
        return {partition: task.result() for partition, task in tasks.items()}

    async def _send_to_partition(self, topic: str, partition: int, batches: deque[_Batch]) -> int:
        producer = await self._connected()
        highest = -1
        while batches:
            batch = batches.popleft()
            # One batch of a partition at a time: behind one that fails, the next could still arrive.
            acknowledgement = await (await producer.send_batch(batch.builder, topic, partition=partition))
            # Where Kafka knows only that it has the batch already, the offsets of those before it say too little.
            known = acknowledgement.offset >= 0
            highest = acknowledgement.offset + batch.records - 1 if known else -1
        return highest
