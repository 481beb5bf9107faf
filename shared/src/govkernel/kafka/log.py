"""A topic as a log that is read from one offset to another."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from govkernel.kafka.address import KafkaAddress
from govkernel.kafka.errors import KafkaUnavailable
from govkernel.kafka.reader import Fetched, PartitionReader


class LogReader(Protocol):
    """What reads assigned partitions from given offsets; PartitionReader and BulkReader do."""

    async def start(self) -> None: ...
    async def close(self) -> None: ...
    def assign(self, positions: Mapping[int, int]) -> None: ...
    async def fetch(self) -> Sequence[Fetched]: ...
    async def position(self, partition: int) -> int: ...


R = TypeVar("R", bound=LogReader)


@dataclass(frozen=True, slots=True)
class Extent:
    """Where each partition of a topic begins, and where its next record will go."""

    beginnings: Mapping[int, int]
    ends: Mapping[int, int]


class TopicLog:
    """A topic as a log that can be read from one offset to another, by readers that `reader` makes."""

    def __init__(
        self,
        address: KafkaAddress,
        *,
        reader: Callable[[KafkaAddress, str], LogReader] = PartitionReader,
        longest_stall_s: float = 30.0,
    ) -> None:
        self._address = address
        self._make_reader = reader
        self._longest_stall_s = longest_stall_s

    async def extent(self, topic: str) -> Extent:
        """Where the topic begins and ends now. Raises TopicMissing, KafkaUnavailable."""
        async with _started(PartitionReader(self._address, topic)) as reader:
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
        async with _started(self._make_reader(self._address, topic)) as reader:
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


def bulk_reader(address: KafkaAddress, topic: str) -> LogReader:
    """A reader for whole topics."""
    # Only who reads a whole topic pays for librdkafka's memory.
    from govkernel.kafka.bulk import BulkReader

    return BulkReader(address, topic)


@contextlib.asynccontextmanager
async def _started(reader: R) -> AsyncIterator[R]:
    await reader.start()
    try:
        yield reader
    finally:
        await reader.close()
