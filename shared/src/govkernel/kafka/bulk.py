"""Reading a topic with librdkafka, several times as fast as in Python: for who reads whole topics."""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, TypeVar

import msgspec
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from govkernel.kafka.address import KafkaAddress
from govkernel.kafka.errors import KafkaUnavailable, OffsetGone
from govkernel.kafka.reader import LARGEST_FETCH_BYTES, Fetched

T = TypeVar("T")

MOST_RECORDS: Final = 5000
QUEUE_KILOBYTES: Final = 32 * 1024
"""How much is fetched ahead."""

log = logging.getLogger(__name__)


class _Message(msgspec.Struct, gc=False):
    """A message of librdkafka as a record."""

    offset: int
    key: bytes | None
    value: bytes | None
    message: Any

    @property
    def timestamp(self) -> int:
        moment: int = self.message.timestamp()[1]
        return moment

    @property
    def headers(self) -> list[tuple[str, bytes]]:
        return self.message.headers() or []


class BulkReader:
    """Reads partitions of one topic from given offsets, as PartitionReader does. For use by one task."""

    def __init__(self, address: KafkaAddress, topic: str) -> None:
        self.topic = topic
        self._address = address
        self._consumer: Any = None
        self._thread: ThreadPoolExecutor | None = None
        self._positions: dict[int, int] = {}
        self._away: str | None = None

    async def start(self) -> None:
        """Begin; it connects when it is first assigned something."""
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=f"reads {self.topic}")
        self._away = None
        settings = {
            **self._address.for_librdkafka(),
            # It reads what it is assigned, without a group; librdkafka wants a name all the same.
            "group.id": "gatehouse",
            "enable.auto.commit": False,
            "auto.offset.reset": "error",
            "enable.partition.eof": True,
            "check.crcs": True,
            "fetch.queue.backoff.ms": 5,
            "queued.max.messages.kbytes": QUEUE_KILOBYTES,
            "max.partition.fetch.bytes": LARGEST_FETCH_BYTES,
            "error_cb": self._note,
        }
        self._consumer = await self._elsewhere(lambda: Consumer(settings, logger=log))

    async def close(self) -> None:
        """Disconnect."""
        consumer, self._consumer = self._consumer, None
        thread, self._thread = self._thread, None
        if consumer is not None and thread is not None:
            with contextlib.suppress(KafkaException):
                await asyncio.get_running_loop().run_in_executor(thread, consumer.close)
            thread.shutdown(wait=False)

    def assign(self, positions: Mapping[int, int]) -> None:
        """Read these partitions, each from its offset, and no others."""
        self._positions = dict(positions)
        self._consumer.assign([TopicPartition(self.topic, each, offset) for each, offset in positions.items()])

    async def position(self, partition: int) -> int:
        """The offset at which the next fetch of an assigned partition starts."""
        return self._positions[partition]

    async def fetch(self, *, timeout_s: float = 0.5) -> list[Fetched]:
        """What has arrived, waiting for it up to `timeout_s`. Raises OffsetGone, KafkaUnavailable."""
        if self._away is not None:
            raise KafkaUnavailable(f"{self.topic}: reading failed: {self._away}")
        try:
            messages = await self._elsewhere(lambda: self._consumer.consume(MOST_RECORDS, timeout_s))
        except KafkaException as error:
            raise KafkaUnavailable(f"{self.topic}: reading failed: {error!r}") from error
        starts = dict(self._positions)
        records: dict[int, list[_Message]] = {}
        for message in messages:
            trouble, partition = message.error(), message.partition()
            if trouble is None:
                records.setdefault(partition, []).append(
                    _Message(message.offset(), message.key(), message.value(), message)
                )
            elif trouble.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001
                # Behind the last record there may be offsets that carry none.
                self._positions[partition] = max(self._positions[partition], message.offset())
            elif trouble.code() in (KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE):  # noqa: SLF001
                raise OffsetGone(self.topic, partition, self._positions[partition])
            else:
                raise KafkaUnavailable(f"{self.topic}: reading failed: {trouble}")
        for partition, read in records.items():
            self._positions[partition] = max(self._positions[partition], read[-1].offset + 1)
        return [
            Fetched(partition, starts[partition], self._positions[partition], read)
            for partition, read in records.items()
        ]

    def _note(self, error: Any) -> None:
        if error.code() == KafkaError._ALL_BROKERS_DOWN or error.fatal():  # noqa: SLF001
            self._away = str(error)

    async def _elsewhere(self, work: Callable[[], T]) -> T:
        assert self._thread is not None, "start() comes first"
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)
