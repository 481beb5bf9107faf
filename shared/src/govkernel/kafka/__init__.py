"""The thin edge to Kafka. Nothing here joins a consumer group, resets an offset or decodes a value."""

from govkernel.kafka.address import KafkaAddress, partition_of
from govkernel.kafka.errors import KafkaUnavailable, OffsetGone, SendFailed, TopicMissing
from govkernel.kafka.log import Extent, LogReader, TopicLog, bulk_reader
from govkernel.kafka.producer import EventProducer, Outgoing
from govkernel.kafka.reader import Fetched, PartitionReader, Record
from govkernel.kafka.topics import KafkaTopics, TopicIdentity

__all__ = [
    "EventProducer",
    "Extent",
    "Fetched",
    "KafkaAddress",
    "KafkaTopics",
    "KafkaUnavailable",
    "LogReader",
    "OffsetGone",
    "Outgoing",
    "PartitionReader",
    "Record",
    "SendFailed",
    "TopicIdentity",
    "TopicLog",
    "TopicMissing",
    "bulk_reader",
    "partition_of",
]
