"""What relay and consumers rely on of Kafka holds for Kafka, and for what the simulation puts in its place."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from uuid import uuid4

import pytest
from tests.integration.kernel.wires import Wire, read, stream_in
from tests.simulation.memory_kafka import MemoryKafka, MemoryProducer, MemoryReader

from govkernel.kafka import (
    EventProducer,
    KafkaAddress,
    KafkaTopics,
    OffsetGone,
    Outgoing,
    PartitionReader,
    TopicLog,
    TopicMissing,
)


@dataclass(frozen=True)
class Place:
    """Where Kafka is, and what makes topics there."""

    kafka: str
    topic: Callable[..., str]


@pytest.fixture(params=["memory", "kafka"])
def place(request: pytest.FixtureRequest) -> Place | None:
    """None for what is in memory."""
    if request.param == "memory":
        return None
    return Place(*(request.getfixturevalue(name) for name in ("kafka", "topic")))


@pytest.fixture
async def wire(place: Place | None) -> AsyncIterator[Wire]:
    if place is None:
        memory = MemoryKafka()
        memory.create("records", partitions=2)
        in_memory = MemoryReader(memory, "records")
        await in_memory.start()
        yield Wire("records", MemoryProducer(memory), in_memory, memory, memory)
        return
    address, name = KafkaAddress(place.kafka), place.topic(partitions=2)
    producer, topics, reader = EventProducer(address), KafkaTopics(address), PartitionReader(address, name)
    await reader.start()
    yield Wire(name, producer, reader, TopicLog(address), topics)
    await reader.close()
    await producer.close()
    await topics.close()


async def test_sending_answers_with_the_highest_offset_of_each_partition(wire: Wire) -> None:
    even, odd = stream_in(0, 2), stream_in(1, 2)
    assert await wire.producer.send(wire.topic, [Outgoing(even, "t", b"a"), Outgoing(odd, "t", b"b")]) == {0: 0, 1: 0}
    assert await wire.producer.send(wire.topic, [Outgoing(odd, "t", b"c"), Outgoing(odd, "t", b"d")]) == {1: 2}


async def test_sending_to_a_topic_that_is_not_there_says_so(wire: Wire) -> None:
    with pytest.raises(TopicMissing):
        await wire.producer.send(f"{wire.topic}.missing", [Outgoing(uuid4(), "t", b"a")])


async def test_a_fetch_says_where_it_started(wire: Wire) -> None:
    stream = stream_in(0, 2)
    await wire.producer.send(wire.topic, [Outgoing(stream, "t", bytes([number])) for number in range(10)])
    wire.reader.assign({0: 4})
    (fetched,) = await wire.reader.fetch(timeout_s=10, most_records=3)
    assert (fetched.partition, fetched.start, fetched.end) == (0, 4, 7)
    assert [record.offset for record in fetched.records] == [4, 5, 6]
    wire.reader.seek(0, 9)
    (fetched,) = await wire.reader.fetch(timeout_s=10)
    assert (fetched.start, fetched.end) == (9, 10)


async def test_an_assignment_replaces_the_one_before(wire: Wire) -> None:
    even, odd = stream_in(0, 2), stream_in(1, 2)
    await wire.producer.send(wire.topic, [Outgoing(even, "t", b"a"), Outgoing(odd, "t", b"b")])
    wire.reader.assign({0: 0, 1: 0})
    assert sorted(await read(wire.reader, 2)) == [b"a", b"b"]
    wire.reader.assign({1: 0})
    assert wire.reader.assigned == {1}
    assert await read(wire.reader, 1) == [b"b"]
    wire.reader.assign({})
    assert await wire.reader.fetch(timeout_s=0.01) == []
    wire.reader.assign({0: 0})
    assert await read(wire.reader, 1) == [b"a"]


async def test_an_offset_that_is_gone_is_an_alarm_and_never_a_reset(wire: Wire) -> None:
    stream = stream_in(0, 2)
    await wire.producer.send(wire.topic, [Outgoing(stream, "t", b"a")])
    wire.reader.assign({0: 50})
    with pytest.raises(OffsetGone) as gone:
        for _ in range(100):
            await wire.reader.fetch()
    assert (gone.value.partition, gone.value.offset) == (0, 50)
    wire.reader.seek(0, 0)
    assert await read(wire.reader, 1) == [b"a"]


async def test_a_reader_knows_partitions_beginnings_and_ends(wire: Wire) -> None:
    await wire.producer.send(wire.topic, [Outgoing(stream_in(1, 2), "t", b"a")])
    assert await wire.reader.partitions() == 2
    assert await wire.reader.beginnings([0, 1]) == {0: 0, 1: 0}
    assert await wire.reader.ends([0, 1]) == {0: 0, 1: 1}


async def test_a_range_of_a_log_is_read_to_its_end_and_no_further(wire: Wire) -> None:
    even, odd = stream_in(0, 2), stream_in(1, 2)
    await wire.producer.send(
        wire.topic, [Outgoing(stream, "t", bytes([at])) for at in range(5) for stream in (even, odd)]
    )
    found = [
        (fetched.partition, record.offset, record.key, record.value, record.headers[-1][1], record.timestamp > 0)
        async for fetched in wire.log.read(wire.topic, {0: 1, 1: 4}, {0: 3, 1: 5})
        for record in fetched.records
    ]
    assert sorted(found) == [
        (partition, at, str(stream).encode(), bytes([at]), b"t", True)
        for partition, at, stream in ((0, 1, even), (0, 2, even), (1, 4, odd))
    ]
    assert [each async for each in wire.log.read(wire.topic, {0: 3}, {0: 3})] == []
    extent = await wire.log.extent(wire.topic)
    assert (extent.beginnings, extent.ends) == ({0: 0, 1: 0}, {0: 5, 1: 5})
    with pytest.raises(TopicMissing):
        await wire.log.extent(f"{wire.topic}.missing")


async def test_a_topic_has_an_identity(wire: Wire) -> None:
    identity = await wire.topics.identity(wire.topic)
    assert identity.cluster_id
    assert identity == await wire.topics.identity(wire.topic)
    with pytest.raises(TopicMissing):
        await wire.topics.identity(f"{wire.topic}.missing")
