"""The append: locks, heads, command rows, events, in that order, in one short READ COMMITTED transaction.

Locks are taken only where aggregates declare that others rely on them. Heads are checked in a later statement than the
locks, by version and hash. A command row that already stands was answered before, and keeps that answer. The database's
function `append_batch` (the kernel's migrations) does all of it in one round trip, or nothing where something is off.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, Protocol
from uuid import UUID

import msgspec

from govevents.document import Document
from govkernel.domain import Deadline, Link, Refusal
from govkernel.ledger.errors import KeyReused, LedgerUnavailable
from govkernel.postgres import Connection, Row

LARGEST_CLOCK_DIFFERENCE: Final = timedelta(seconds=5)


class Head(msgspec.Struct, frozen=True):
    """The newest version of a stream and its document's hash; 0 and None where the stream does not exist."""

    stream: UUID
    version: int
    hash: bytes | None


@dataclass(frozen=True, slots=True)
class RefusalRecord:
    """A refusal as it is kept: its stable name, one sentence, the detail, and what helps to put it right."""

    slug: str
    title: str
    detail: str
    facts: dict[str, str]

    @classmethod
    def of(cls, refusal: Refusal) -> "RefusalRecord":
        """What is kept of a refusal."""
        return cls(refusal.slug(), refusal.title(), refusal.detail, dict(refusal.facts))


class Append(msgspec.Struct, frozen=True):
    """One answered command, encoded and ready to be written.

    `expected` is the head that was decided on; `documents` continue it. `clock` is when it was encoded. `exclusive`
    says that other decisions may rely on this stream. `links` is None where they did not change.
    `allowed_under` is the generation of roles and nodes by which the command was allowed from memory, None where the
    database was asked.
    """

    command: UUID
    digest: bytes
    status: int
    refusal: RefusalRecord | None
    expected: Head
    documents: tuple[Document, ...]
    clock: datetime
    relies_on: tuple[Head, ...] = ()
    exclusive: bool = False
    aggregate: str = ""
    deadlines: tuple[tuple[str, Deadline], ...] = ()
    links: frozenset[Link] | None = None
    allowed_under: str | None = None
    correlation: str = ""
    origin: str = "live"

    @property
    def head(self) -> Head:
        """The stream's head once this is written."""
        if not self.documents:
            return self.expected
        last = self.documents[-1]
        return Head(last.stream, last.version, last.hash)


class Appended(msgspec.Struct, frozen=True):
    """The command's row and events are written, and will stand if the transaction commits."""

    head: Head


@dataclass(frozen=True, slots=True)
class AnsweredBefore:
    """The command was answered before, at `answered_at`; that answer stands."""

    answered_at: datetime
    status: int
    stream: UUID | None
    from_version: int
    to_version: int
    types: tuple[str, ...]
    refusal: RefusalRecord | None


@dataclass(frozen=True, slots=True)
class Conflict:
    """A stream that was decided on has moved: `current` is where it is now. Load again and decide again."""

    current: Head


@dataclass(frozen=True, slots=True)
class AllowanceMoved:
    """Roles or nodes have changed since the command was allowed from memory. Ask the database whether it still is."""


Outcome = Appended | AnsweredBefore | Conflict | AllowanceMoved | KeyReused | LedgerUnavailable


class Reply(msgspec.Struct, frozen=True):
    """What the database says of a batch: that it is written, or what stands in the way.

    `verified` says whether the relay has verified this database, `clock` what its clock says. `moved` are expected
    heads that are others by now, as they are; `answered` are commands that were answered before.
    `allowances_moved` says that roles and nodes are others than those under which the batch was allowed.
    """

    written: bool
    verified: bool
    clock: datetime
    moved: tuple[Head, ...] = ()
    answered: tuple[UUID, ...] = ()
    allowances_moved: bool = False


class Batches(Protocol):
    """What batches are written with; each method is one statement on the connection."""

    async def append_batch(self, connection: Connection, items: Sequence[Append]) -> Reply:
        """Write all of these items, or nothing where something stands in the way.

        Those of them that were allowed from memory were so under the same generation.
        Locks what is relied on for the rest of the transaction, and reads the heads when it has the locks. Raises
        asyncpg.UniqueViolationError where a rival wins a race after that.
        """
        ...

    async def answered(
        self, connection: Connection, commands: Sequence[UUID], *, timeout_s: float | None = None
    ) -> Sequence[Row]:
        """The rows of these commands, with the `types` of the events that each appended."""
        ...


async def append(store: Batches, connection: Connection, batch: Sequence[Append]) -> list[Outcome]:
    """Write a batch within the caller's transaction, or in one of its own; the outcomes are in the batch's order.

    No two items are of one command. Commands on one stream may be chained: each expects the head that the one before it
    leaves. What can't be written is taken out and the rest is written: what conflicts, was answered before, was allowed
    by what is so no longer, or, as LedgerUnavailable, was encoded more than 5 s away from the database's clock.

    Raises LedgerUnavailable where the relay has not verified this database, and asyncpg.UniqueViolationError where a
    rival won a race after the heads were read: roll back then, and append again.
    """
    newest = next((item.allowed_under for item in reversed(batch) if item.allowed_under is not None), None)
    settled: dict[int, Outcome] = {
        index: AllowanceMoved() for index, item in enumerate(batch) if item.allowed_under not in (None, newest)
    }
    known: dict[UUID, Head] = {}
    while True:
        outcomes = _fit(batch, known, settled)
        fitting = [index for index, outcome in enumerate(outcomes) if isinstance(outcome, Appended)]
        if not fitting:
            return outcomes
        reply = await store.append_batch(connection, [batch[index] for index in fitting])
        if reply.written:
            return outcomes
        if not reply.verified:
            raise LedgerUnavailable("the ledger waits for the relay to verify that this database has lost nothing")
        for index in fitting:
            if abs(reply.clock - batch[index].clock) > LARGEST_CLOCK_DIFFERENCE:
                settled[index] = _out_of_time(batch[index].clock, reply.clock)
        if reply.allowances_moved:
            settled.update((index, AllowanceMoved()) for index in fitting if batch[index].allowed_under is not None)
        known.update((head.stream, head) for head in reply.moved)
        if reply.answered:
            rows = {row["command"]: row for row in await store.answered(connection, reply.answered)}
            for index in fitting:
                if (row := rows.get(batch[index].command)) is not None:
                    settled[index] = answered_before(row, batch[index].digest)


def _fit(batch: Sequence[Append], known: Mapping[UUID, Head], settled: Mapping[int, Outcome]) -> list[Outcome]:
    """Which items fit the heads that are known and each other, in the batch's order, but for those that are settled.

    A head that is not known is taken to be what the first item expects of it: the database has the last word on it.
    """
    heads = dict(known)
    written: set[UUID] = set()
    outcomes: list[Outcome] = []
    for index, item in enumerate(batch):
        if index in settled:
            outcomes.append(settled[index])
            continue
        expected = item.expected
        moved = None
        for relied_on in item.relies_on:
            if heads.setdefault(relied_on.stream, relied_on) != relied_on or relied_on.stream in written:
                moved = heads[relied_on.stream]
                break
        now = heads.setdefault(expected.stream, expected)
        if now is not expected and now != expected:
            outcomes.append(Conflict(now))
        elif moved is not None:
            outcomes.append(Conflict(moved))
        else:
            head = item.head
            outcomes.append(Appended(head))
            if item.documents:
                heads[expected.stream] = head
                written.add(expected.stream)
    return outcomes


def _out_of_time(clock: datetime, now: datetime) -> LedgerUnavailable:
    return LedgerUnavailable(
        f"decided when the service's clock said {clock.isoformat()}, and its database's says {now.isoformat()}: "
        "send it again, and where that doesn't help bring the two clocks within 5 s of each other"
    )


def timer_id(cause: str, name: str) -> UUID:
    """A timer's id, which is also its command's: of the event that set it and the deadline's name."""
    from uuid import NAMESPACE_URL, uuid5

    return uuid5(NAMESPACE_URL, f"urn:gatehouse:timer:{cause}:{name}")


def refusal_json(refusal: RefusalRecord | None) -> str | None:
    """A refusal as the commands table keeps it."""
    if refusal is None:
        return None
    return json.dumps(
        {"slug": refusal.slug, "title": refusal.title, "detail": refusal.detail, "facts": refusal.facts}, sort_keys=True
    )


def answered_before(row: Row, digest: bytes) -> AnsweredBefore | KeyReused:
    """The stored answer, or KeyReused where the key came with another request; an empty digest is unknown."""
    if row["digest"] and row["digest"] != digest:
        return KeyReused(row["command"])
    refusal: dict[str, Any] | None = json.loads(row["refusal"]) if row["refusal"] else None
    return AnsweredBefore(
        row["recorded_at"],
        row["status"],
        row["stream"],
        row["from_version"] or 0,
        row["to_version"] or 0,
        tuple(row["types"]),
        RefusalRecord(refusal["slug"], refusal["title"], refusal["detail"], refusal["facts"]) if refusal else None,
    )
