"""Producing with every acknowledgement awaited."""

import asyncio
import contextlib
from collections.abc import Coroutine, Sequence
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
            self._partitions[topic] = await count_partitions(producer.client, topic)
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
