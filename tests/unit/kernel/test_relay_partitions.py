"""Where a stream's records go is the same for every client of Kafka."""

from uuid import UUID, uuid5

from aiokafka.partitioner import DefaultPartitioner

from govkernel.kafka import KafkaAddress, partition_of

STREAMS = [uuid5(UUID(int=0), str(number)) for number in range(500)]


def test_a_stream_goes_where_the_default_partitioner_sends_its_id_as_text() -> None:
    default = DefaultPartitioner()
    for stream in STREAMS:
        assert partition_of(stream, 12) == default(str(stream).encode(), list(range(12)), list(range(12)))


def test_streams_spread_over_all_partitions() -> None:
    assert {partition_of(stream, 12) for stream in STREAMS} == set(range(12))


def test_a_password_is_not_shown() -> None:
    address = KafkaAddress("kafka:9092", "SASL_PLAINTEXT", "SCRAM-SHA-512", "gatehouse", "a secret")
    assert "a secret" not in repr(address)
    assert address.for_aiokafka()["sasl_plain_password"] == "a secret"
