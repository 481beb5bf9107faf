"""What a consumer stands on, and what it calls: its reader, the topics' identities, and the handler."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from govevents.document import Recorded
from govkernel.consumer.guard import Rejected
from govkernel.kafka import Fetched, TopicIdentity
from govkernel.postgres import Connection


class Handler(Protocol):
    """Applies the events of one topic, exactly once each, in each stream's order.

    `name` is the consumer's: offsets, guards and parked records are kept under it. `service` is whose topic is read.
    `subscribes` are full type names; other types are passed over.
    """

    @property
    def name(self) -> str: ...
    @property
    def service(self) -> str: ...
    @property
    def subscribes(self) -> frozenset[str]: ...

    async def apply(self, connection: Connection, batch: Sequence[Recorded[Any]]) -> Sequence[Rejected]:
        """Write the effects of these events within the batch's transaction, and nowhere else.

        An event that is rejected has had no effect, nor has anything later of its stream. What is raised undoes the
        batch; where the events are at fault it is applied again in parts, until those at fault are known and parked.
        Raises Unavailable where nothing is wrong with the events, and the batch may come again.
        """
        ...


class Reader(Protocol):
    """Reads partitions of one topic from given offsets; `govkernel.kafka.PartitionReader` is one."""

    async def start(self) -> None: ...
    async def close(self) -> None: ...
    def assign(self, positions: Mapping[int, int]) -> None: ...
    def seek(self, partition: int, offset: int) -> None: ...
    async def fetch(self, *, timeout_s: float, most_records: int | None) -> list[Fetched]: ...
    async def partitions(self) -> int: ...
    async def ends(self, partitions: Sequence[int]) -> dict[int, int]: ...
    async def commit(self, group: str, offsets: Mapping[int, int]) -> None: ...


class Topics(Protocol):
    """What is to be asked of the cluster besides records; `govkernel.kafka.KafkaTopics` answers it."""

    async def identity(self, topic: str) -> TopicIdentity: ...


class Unavailable(Exception):
    """Something that a handler needs is away; the same batch may come again later."""


class TopicMadeAnew(Exception):
    """A topic is not the one that was read before: its offsets mean other records, so nothing is read."""
