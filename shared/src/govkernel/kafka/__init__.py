"""The thin edge to Kafka. Nothing here joins a consumer group, resets an offset or decodes a value."""

from govkernel.kafka.address import KafkaAddress, partition_of
from govkernel.kafka.errors import KafkaUnavailable, OffsetGone, SendFailed, TopicMissing
from govkernel.kafka.log import Extent, TopicLog
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
    "OffsetGone",
    "Outgoing",
    "PartitionReader",
    "Record",
    "SendFailed",
    "TopicIdentity",
    "TopicLog",
    "TopicMissing",
    "partition_of",
]
