"""What a consumer stands on, and what it calls: its reader, the topics' identities, its rows, and the handler."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol
from uuid import UUID

from govevents.document import Recorded
from govkernel.consumer.guard import Guard, Parking, Rejected
from govkernel.kafka import Fetched, TopicIdentity
from govkernel.postgres import Connection, Row


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


@dataclass(frozen=True, slots=True)
class Subscription:
    """Which consumer reads which topic."""

    consumer: str
    topic: str


@dataclass(frozen=True, slots=True)
class Lease:
    """A partition as its row says: who holds it under which epoch, if that is still valid, and where to read on."""

    partition: int
    holder: UUID | None
    epoch: int
    live: bool
    next_offset: int


class ConsumerStore(Protocol):
    """A consumer's partitions, guards and parked records; `govkernel.consumer.postgres` keeps them in PostgreSQL.

    Each method is one statement on the connection, within its transaction where it is in one. What is raised is what
    the driver raises.
    """

    async def known(self, connection: Connection, of: Subscription) -> Sequence[Row]:
        """Each `cluster_id` and `topic_id` that its partitions were read from, and how many `partitions` there are."""
        ...

    async def begin(self, connection: Connection, of: Subscription, partitions: int) -> None:
        """Have a row for each partition, from offset 0, where there is none."""
        ...

    async def identify(self, connection: Connection, of: Subscription, identity: TopicIdentity) -> None:
        """Write down which topic it is, where that is not known."""
        ...

    async def leases(self, connection: Connection, of: Subscription) -> list[Lease]:
        """All partitions, in their order; the database's clock says which leases have run out."""
        ...

    async def claim(
        self, connection: Connection, of: Subscription, replica: UUID, wanted: Sequence[Lease], lease_s: float
    ) -> list[Lease]:
        """Take or renew those whose epoch is still this and whose row nobody has locked; those that it holds now.

        A new holder has a new epoch.
        """
        ...

    async def release(
        self, connection: Connection, of: Subscription, replica: UUID, partitions: Sequence[int] | None
    ) -> None:
        """Give up these partitions, or all, where the replica holds them."""
        ...

    async def lock(
        self, connection: Connection, of: Subscription, partitions: Sequence[int], idle_timeout_s: float
    ) -> Sequence[Row]:
        """Lock partitions in their order: `partition`, `next_offset`, `holder` and `epoch` of each.

        The database ends the transaction where it is then idle for so long.
        """
        ...

    async def streams(self, connection: Connection, consumer: str, streams: Sequence[UUID]) -> Sequence[Row]:
        """Of each `stream`: its guard's `version` and `hash`, and whether it has records `parked` or is `blocked`."""
        ...

    async def held(
        self, connection: Connection, consumer: str, streams: Sequence[UUID], versions: Sequence[int]
    ) -> Sequence[Row]:
        """`stream`, `version` and the record's `hash` of what is parked of these, but for what is set aside."""
        ...

    async def waiting(
        self, connection: Connection, consumer: str, stream: UUID, after: int, most: int
    ) -> Sequence[Row]:
        """What is parked of a stream behind a version, by version, but for what is set aside."""
        ...

    async def save(
        self,
        connection: Connection,
        of: Subscription,
        begun: Sequence[tuple[UUID, Guard]],
        continued: Sequence[tuple[UUID, Guard, Guard]],
        positions: Mapping[int, int],
        lease_s: float,
    ) -> tuple[int, int]:
        """Begin guards, move others on from where they stand, and save offsets, renewing the leases.

        Returns how many guards and how many offsets were written: one that stands elsewhere is not.
        """
        ...

    async def park(self, connection: Connection, of: Subscription, parkings: Sequence[Parking]) -> None:
        """Park records, but for those that are."""
        ...

    async def keep(self, connection: Connection, kept: Sequence[Parking]) -> None:
        """Leave records parked after another try."""
        ...

    async def forget(self, connection: Connection, records: Sequence[int]) -> None:
        """Park these no longer."""
        ...

    async def set_aside(self, connection: Connection, consumer: str, stream: UUID, version: int) -> None:
        """Set aside what blocks a stream up to a version."""
        ...

    async def due(
        self, connection: Connection, of: Subscription, partitions: Sequence[int], besides: Sequence[UUID], most: int
    ) -> Sequence[Row]:
        """Each `stream` of parked records that may go on, blocked by nothing, and the `partitions` of those records."""
        ...

    async def count_parked(self, connection: Connection, consumer: str) -> dict[str, int]:
        """How many records are parked, by kind."""
        ...


class Unavailable(Exception):
    """Something that a handler needs is away; the same batch may come again later."""


class TopicMadeAnew(Exception):
    """A topic is not the one that was read before: its offsets mean other records, so nothing is read."""
