"""What can go wrong with Kafka, by what is to be done about it."""

import contextlib
from collections.abc import Iterator

from aiokafka.errors import KafkaError


class KafkaUnavailable(Exception):
    """Kafka is away, or did not answer in time: worth trying again later."""


class SendFailed(KafkaUnavailable):
    """Not every record of a batch was acknowledged; those that were not may still arrive."""


class TopicMissing(Exception):
    """There is no such topic: create it, for nothing here creates topics on the way."""


class OffsetGone(Exception):
    """The topic no longer, or not yet, has the offset that was to be read. Nothing is reset: records would be lost."""

    def __init__(self, topic: str, partition: int, offset: int) -> None:
        super().__init__(
            f"{topic}/{partition} has no offset {offset}: its log was cut or made anew. Compare the topic with the "
            "ledger before anything is read from elsewhere"
        )
        self.topic = topic
        self.partition = partition
        self.offset = offset


@contextlib.contextmanager
def as_unavailable(topic: str) -> Iterator[None]:
    """Say of the driver's errors that Kafka is away."""
    try:
        yield
    except (KafkaError, OSError, TimeoutError) as error:
        raise KafkaUnavailable(f"{topic}: Kafka is away: {error!r}") from error
