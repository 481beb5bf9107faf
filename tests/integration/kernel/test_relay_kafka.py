"""The edge to a real Kafka: what the relay sends with, and what consumers read with."""

from base64 import b64decode, urlsafe_b64decode
from collections.abc import AsyncIterator, Callable
from uuid import uuid4

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from confluent_kafka import TopicCollection
from confluent_kafka.admin import AdminClient
from tests.integration.kernel.carrying import until
from tests.integration.kernel.wires import read, stream_in
from tests.support.topics import create_topic, delete_topics

from govkernel.kafka import (
    EventProducer,
    KafkaAddress,
    KafkaTopics,
    KafkaUnavailable,
    LogReader,
    OffsetGone,
    Outgoing,
    PartitionReader,
    SendFailed,
    TopicLog,
    TopicMissing,
    bulk_reader,
)

MakeReader = Callable[[KafkaAddress, str], LogReader]
NOWHERE = KafkaAddress("127.0.0.1:1")


@pytest.fixture
def address(kafka: str) -> KafkaAddress:
    return KafkaAddress(kafka)


@pytest.fixture
async def producer(address: KafkaAddress) -> AsyncIterator[EventProducer]:
    made = EventProducer(address)
    yield made
    await made.close()


@pytest.fixture
async def topics(address: KafkaAddress) -> AsyncIterator[KafkaTopics]:
    made = KafkaTopics(address)
    yield made
    await made.close()


@pytest.fixture
async def reader(address: KafkaAddress, topic: Callable[..., str]) -> AsyncIterator[PartitionReader]:
    made = PartitionReader(address, topic(partitions=2))
    await made.start()
    yield made
    await made.close()


async def test_documents_of_the_largest_size_go_out_in_order(producer: EventProducer, reader: PartitionReader) -> None:
    stream = stream_in(0, 2)
    bodies = [bytes([number]) * 262_144 for number in range(9)]
    assert await producer.send(reader.topic, [Outgoing(stream, "t", body) for body in bodies]) == {0: 8}
    reader.assign({0: 0})
    assert await read(reader, 9) == bodies


async def test_sending_to_nowhere_fails_in_time_and_another_try_begins_anew() -> None:
    producer = EventProducer(NOWHERE, delivery_timeout_s=3)
    for _ in range(2):
        with pytest.raises(SendFailed):
            await producer.send("topic", [Outgoing(uuid4(), "t", b"a")])


async def test_a_record_that_the_broker_refuses_fails_and_the_producer_begins_anew(
    producer: EventProducer, topic: Callable[..., str]
) -> None:
    name, stream = topic(partitions=1), uuid4()
    with pytest.raises(SendFailed):
        await producer.send(name, [Outgoing(stream, "t", bytes(2_000_000))])
    assert await producer.send(name, [Outgoing(stream, "t", b"small")]) == {0: 0}


async def test_reading_from_nowhere_fails() -> None:
    with pytest.raises(KafkaUnavailable):
        await PartitionReader(NOWHERE, "topic").start(timeout_s=3)
    with pytest.raises(KafkaUnavailable):
        await KafkaTopics(NOWHERE, timeout_s=1).identity("topic")


both_readers = pytest.mark.parametrize("of_log", [PartitionReader, bulk_reader], ids=["aiokafka", "librdkafka"])


@both_readers
async def test_a_range_is_read_to_its_end_and_no_further(
    producer: EventProducer, address: KafkaAddress, topic: Callable[..., str], of_log: MakeReader
) -> None:
    name = topic(partitions=2)
    even, odd = stream_in(0, 2), stream_in(1, 2)
    await producer.send(name, [Outgoing(stream, "t", bytes([at])) for at in range(5) for stream in (even, odd)])
    log = TopicLog(address, reader=of_log)
    found = [
        (fetched.partition, record.offset, record.key, record.value, record.headers[-1][1], record.timestamp > 0)
        async for fetched in log.read(name, {0: 1, 1: 4}, {0: 3, 1: 5})
        for record in fetched.records
    ]
    assert sorted(found) == [
        (partition, at, str(stream).encode(), bytes([at]), b"t", True)
        for partition, at, stream in ((0, 1, even), (0, 2, even), (1, 4, odd))
    ]
    assert [each async for each in log.read(name, {0: 3}, {0: 3})] == []
    with pytest.raises(TopicMissing):
        await log.extent(f"{name}.missing")


@both_readers
async def test_a_long_range_comes_whole_and_in_order(
    producer: EventProducer, address: KafkaAddress, topic: Callable[..., str], of_log: MakeReader
) -> None:
    name, count = topic(partitions=2), 12_000
    streams = [stream_in(0, 2), stream_in(1, 2)]
    await producer.send(name, [Outgoing(streams[at % 2], "t", at.to_bytes(200, "big")) for at in range(count)])
    found: dict[int, list[int]] = {0: [], 1: []}
    ends = dict.fromkeys(found, 0)
    async for fetched in TopicLog(address, reader=of_log).read(name, {0: 0, 1: 0}, dict.fromkeys(found, count // 2)):
        assert fetched.start == ends[fetched.partition]
        ends[fetched.partition] = fetched.end
        found[fetched.partition] += [int.from_bytes(record.value or b"", "big") for record in fetched.records]
    assert found == {0: list(range(0, count, 2)), 1: list(range(1, count, 2))}


@both_readers
async def test_a_range_that_is_not_there_any_more_is_an_alarm_and_never_a_reset(
    producer: EventProducer, address: KafkaAddress, topic: Callable[..., str], of_log: MakeReader
) -> None:
    name = topic(partitions=2)
    await producer.send(name, [Outgoing(stream_in(0, 2), "t", b"a")])
    with pytest.raises(OffsetGone) as gone:
        async for _ in TopicLog(address, reader=of_log).read(name, {0: 50, 1: 0}, {0: 60, 1: 0}):
            pytest.fail("nothing lies there")
    assert (gone.value.partition, gone.value.offset) == (0, 50)


@both_readers
async def test_a_range_at_nowhere_is_not_waited_for(of_log: MakeReader) -> None:
    with pytest.raises(KafkaUnavailable):
        async for _ in TopicLog(NOWHERE, reader=of_log, longest_stall_s=2.0).read("topic", {0: 0}, {0: 1}):
            pytest.fail("nothing lies there")


async def test_a_topic_made_anew_has_another_identity(topics: KafkaTopics, kafka: str) -> None:
    name = f"gov.test-{uuid4().hex}.events.v1"
    create_topic(kafka, name, partitions=1)
    first = await topics.identity(name)
    assert await topics.identity(name) == first
    delete_topics(kafka, name)

    async def gone() -> bool:
        # The broker hears of it a little later than the controller, which has answered.
        try:
            await topics.identity(name)
        except TopicMissing:
            return True
        return False

    await until(gone)
    create_topic(kafka, name, partitions=1)
    second = await topics.identity(name)
    assert (second.cluster_id, second.topic_id != first.topic_id) == (first.cluster_id, True)
    admin = AdminClient({"bootstrap.servers": kafka})
    described = admin.describe_topics(TopicCollection([name]))[name].result(30)
    assert urlsafe_b64decode(f"{second.topic_id}==") == b64decode(f"{described.topic_id}==")
    assert second.cluster_id == admin.describe_cluster().result(30).cluster_id
    delete_topics(kafka, name)


async def test_committed_offsets_are_there_for_tools(
    producer: EventProducer, address: KafkaAddress, kafka: str, topic: Callable[..., str]
) -> None:
    name, group = topic(partitions=1), f"group-{uuid4().hex}"
    await producer.send(name, [Outgoing(uuid4(), "t", b"a")])
    reader = PartitionReader(address, name)
    with pytest.raises(KafkaUnavailable, match="not connected"):
        await reader.commit(group, {0: 1})
    await reader.start()

    async def taken() -> bool:
        # The first commit of a new cluster makes the broker create the topic that it keeps offsets in.
        try:
            await reader.commit(group, {0: 1})
        except KafkaUnavailable:
            return False
        return True

    await until(taken)
    await reader.close()
    consumer = AIOKafkaConsumer(bootstrap_servers=kafka, group_id=group, enable_auto_commit=False)
    await consumer.start()
    try:
        consumer.assign([TopicPartition(name, 0)])
        assert await consumer.committed(TopicPartition(name, 0)) == 1
    finally:
        await consumer.stop()
