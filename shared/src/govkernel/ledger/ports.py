"""What the ledger asks of its database: each method is one statement on the connection that it is given.

All of it is one transaction where the connection is in one, and else a transaction of each statement's own. What is
raised is what the driver raises.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID

from govkernel.domain import Link
from govkernel.ledger.append import Batches, Head
from govkernel.ledger.group_load import Streams
from govkernel.postgres import Connection, Row


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A folded state as it is kept: of which fold, at which head, and its newest event's two times."""

    fold: str
    head: Head
    state: bytes
    time: datetime | None
    recorded_at: datetime | None


class LedgerStore(Batches, Streams, Protocol):
    """A service's events, command rows, timers and links; `govkernel.ledger.postgres` keeps them in PostgreSQL."""

    async def heads(
        self, connection: Connection, streams: Sequence[UUID], *, timeout_s: float | None = None
    ) -> list[Head]:
        """The newest version of each stream, 0 where it does not exist."""
        ...

    async def events(
        self, connection: Connection, stream: UUID, after: int, until: int | None, *, timeout_s: float | None = None
    ) -> Sequence[Row]:
        """`version`, `document` and `hash` of a stream's events in (after, until], oldest first."""
        ...

    async def keep_snapshot(self, connection: Connection, snapshot: Snapshot, *, timeout_s: float | None) -> None:
        """Keep a stream's snapshot in place of the one before."""
        ...

    async def find(
        self, connection: Connection, links: Iterable[Link], *, timeout_s: float | None = None
    ) -> Sequence[Row]:
        """`kind`, `target` and `stream` of the streams that have one of these links, in the order of their ids."""
        ...

    async def next_timer(self, connection: Connection, now: datetime, *, simulated: bool) -> Row | None:
        """Lock and return the first due timer that nobody else has locked."""
        ...

    async def remove_timer(self, connection: Connection, timer: UUID) -> None:
        """Take a timer away; it has fired."""
        ...
