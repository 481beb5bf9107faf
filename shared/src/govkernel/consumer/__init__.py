"""Consuming: each event of a topic applied once, in its stream's order, whatever processes and networks do."""

from govkernel.consumer.consumer import Consumer, ConsumerStatus, PartitionStatus
from govkernel.consumer.guard import Arrival, Guard, Intake, Kind, Parking, Rejected, Settlement, Stream, judge, look_at
from govkernel.consumer.parked import NotParked, Parked, ParkedRecord, Resolved
from govkernel.consumer.ports import Handler, Reader, TopicMadeAnew, Topics, Unavailable
from govkernel.consumer.rereading import read_again
from govkernel.kafka import OffsetGone

__all__ = [
    "Arrival",
    "Consumer",
    "ConsumerStatus",
    "Guard",
    "Handler",
    "Intake",
    "Kind",
    "NotParked",
    "OffsetGone",
    "Parked",
    "ParkedRecord",
    "Parking",
    "PartitionStatus",
    "Reader",
    "Rejected",
    "Resolved",
    "Settlement",
    "Stream",
    "TopicMadeAnew",
    "Topics",
    "Unavailable",
    "judge",
    "look_at",
    "read_again",
]
