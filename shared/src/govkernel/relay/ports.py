"""What the relay stands on: its rows, its producer, and the topics' identities."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol
from uuid import UUID

from govkernel.kafka import Outgoing, TopicIdentity
from govkernel.postgres import Connection
from govkernel.relay.checkpoint import Checkpoint, DatabaseIdentity
from govkernel.relay.verification import Rows


class Producer(Protocol):
    """What the relay sends with."""

    async def send(self, topic: str, batch: Sequence[Outgoing]) -> Mapping[int, int]:
        """Send in order per stream and await every acknowledgement; the highest offset of each partition.

        It is -1 where Kafka says only that it had the last of the records already.
        """

    async def put(self, topic: str, key: bytes, value: bytes) -> None:
        """Set the value of a key of a compacted topic."""

    async def abort(self) -> None:
        """Send nothing more of what is under way."""


class Topics(Protocol):
    """What the relay has to know of its topic; `govkernel.kafka.KafkaTopics` says it."""

    async def identity(self, topic: str) -> TopicIdentity:
        """The topic's identity."""


@dataclass(frozen=True, slots=True)
class RelayStatus:
    """How far the relay is: `lag_rows` events are committed and not sent, the oldest of them recorded at `oldest`.

    `leader` leads until `led_until`. `database` is the one that was verified last; `verified` says whether that is the
    one that answers. `brought_back` events came from Kafka then. `alarm` needs a person, `trouble` is tried again.
    """

    leader: UUID | None
    epoch: int
    led_until: datetime | None
    verified: bool
    verified_at: datetime | None
    brought_back: int | None
    database: DatabaseIdentity | None
    topic: TopicIdentity | None
    lag_rows: int
    oldest: datetime | None
    low_txid: int
    tail_length: int
    acknowledged: Mapping[int, int]
    watermark: datetime | None
    alarm: str | None
    trouble: str | None


@dataclass(frozen=True, slots=True)
class Chunk:
    """What is sent before acknowledgements are awaited, and the (seq, txid) of those that a later pass sees again."""

    batch: Sequence[Outgoing]
    above_xmin: Mapping[int, int]


class RelayStore(Rows, Protocol):
    """A ledger's outbox and the relay's checkpoint; `govkernel.relay.postgres` keeps them in PostgreSQL.

    What is raised is what the driver raises.
    """

    async def identity_of(self, connection: Connection) -> DatabaseIdentity:
        """The identity of the database at the other end."""
        ...

    async def take(self, connection: Connection, replica: UUID, lease: timedelta) -> tuple[Checkpoint, bool] | None:
        """Become the leader, under a new epoch, where nobody is or the lease has run out, by the database's clock.

        The checkpoint, and whether somebody was before and didn't resign; None while another's lease runs.
        """
        ...

    async def renew(self, connection: Connection, replica: UUID, epoch: int, lease: timedelta) -> None:
        """Stay the leader. Raises LeadershipLost."""
        ...

    async def resign(self, connection: Connection, replica: UUID) -> None:
        """Let another replica lead at once."""
        ...

    async def store(self, connection: Connection, replica: UUID, checkpoint: Checkpoint, lease: timedelta) -> None:
        """Write the checkpoint and renew the lease. Raises LeadershipLost."""
        ...

    async def note_verified(self, connection: Connection, epoch: int, brought_back: int) -> None:
        """Say when the database was verified, and how many events Kafka gave back."""
        ...

    async def note_held_up(
        self, connection: Connection, replica: UUID, *, alarm: str | None, trouble: str | None
    ) -> None:
        """Say what keeps this leader from going on."""
        ...

    async def status(self, connection: Connection) -> RelayStatus:
        """How far the relay is."""
        ...

    async def oldest(self, connection: Connection) -> datetime | None:
        """When the oldest transaction began that is open, or now, where none is; None where that can't be told."""
        ...

    async def xmin(self, connection: Connection) -> int:
        """The lowest id of a transaction that has not ended; later ones may have, and are not told apart."""
        ...

    async def snapshot(self, connection: Connection) -> int:
        """Take the snapshot that a REPEATABLE READ transaction goes on to see; its xmin."""
        ...

    def pending(
        self, connection: Connection, checkpoint: Checkpoint, xmin: int, chunk_rows: int
    ) -> AsyncGenerator[Chunk, None]:
        """What the snapshot holds that the checkpoint has not sent, in the order of its numbers, in chunks."""
        ...
