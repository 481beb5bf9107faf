"""Whatever carries records: a topic of its own, a producer that sends to it, a reader that reads it, and its log."""

from dataclasses import dataclass
from uuid import UUID, uuid4

from tests.simulation.memory_kafka import MemoryReader

from govkernel.kafka import PartitionReader, partition_of
from govkernel.relay import Log, Producer, Topics

AnyReader = PartitionReader | MemoryReader


@dataclass(frozen=True)
class Wire:
    topic: str
    producer: Producer
    reader: AnyReader
    log: Log
    topics: Topics


def stream_in(partition: int, partitions: int) -> UUID:
    while partition_of(stream := uuid4(), partitions) != partition:
        pass
    return stream


async def read(reader: AnyReader, count: int) -> list[bytes]:
    values: list[bytes] = []
    for _ in range(100):
        values.extend(record.value or b"" for fetched in await reader.fetch() for record in fetched.records)
        if len(values) >= count:
            break
    return values
