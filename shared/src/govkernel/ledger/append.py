"""The append: locks, heads, command rows, events, in that order, in one short READ COMMITTED transaction.

Locks are taken only where aggregates declare that others rely on them. Heads are checked in a later statement than the
locks, by version and hash. A command row that already stands was answered before, and keeps that answer. The database's
function `append_batch` (the kernel's migrations) does all of it in one round trip, or nothing where something is off.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

import asyncpg

from govevents.document import Document
from govkernel.domain import Deadline, Link, Refusal
from govkernel.ledger.errors import KeyReused, LedgerUnavailable
from govkernel.postgres import Connection

LARGEST_CLOCK_DIFFERENCE: Final = timedelta(seconds=5)


@dataclass(frozen=True, slots=True)
class Head:
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


@dataclass(frozen=True, slots=True)
class Append:
    """One answered command, encoded and ready to be written.

    `expected` is the head that was decided on; `documents` continue it. `clock` is when it was encoded. `exclusive`
    says that other decisions may rely on this stream. `links` is None where they did not change.
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
    correlation: str = ""
    origin: str = "live"

    @property
    def head(self) -> Head:
        """The stream's head once this is written."""
        if not self.documents:
            return self.expected
        last = self.documents[-1]
        return Head(last.stream, last.version, last.hash)


@dataclass(frozen=True, slots=True)
class Appended:
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


Outcome = Appended | AnsweredBefore | Conflict | KeyReused | LedgerUnavailable

HEADS: Final = """
SELECT wanted.stream, coalesce(head.version, 0) AS version, head.hash
FROM unnest($1::uuid[]) AS wanted (stream)
LEFT JOIN LATERAL (
  SELECT version, hash FROM events WHERE events.stream = wanted.stream ORDER BY version DESC LIMIT 1) AS head ON true"""

APPEND_BATCH: Final = f"SELECT * FROM append_batch({', '.join(f'${number}' for number in range(1, 36))})"  # noqa: S608

INSERT_TIMERS: Final = """
INSERT INTO timers (timer, aggregate, stream, name, due, cause, correlation, origin)
SELECT * FROM unnest($1::uuid[], $2::text[], $3::uuid[], $4::text[], $5::timestamptz[], $6::text[], $7::text[],
                     $8::text[])
ON CONFLICT DO NOTHING"""

ANSWERED: Final = """
SELECT commands.*, ARRAY(
  SELECT events.type FROM events
  WHERE events.stream = commands.stream
    AND events.version > commands.from_version AND events.version <= commands.to_version
  ORDER BY events.version) AS types
FROM commands WHERE command = ANY($1::uuid[])"""


def lock_number(stream: UUID) -> int:
    """The advisory lock of a stream: its id's first 64 bits as a signed integer."""
    return int.from_bytes(stream.bytes[:8], "big", signed=True)


async def append(connection: Connection, batch: Sequence[Append]) -> list[Outcome]:
    """Write a batch within the caller's transaction, or in one of its own; the outcomes are in the batch's order.

    No two items are of one command. Commands on one stream may be chained: each expects the head that the one before it
    leaves. What can't be written is taken out and the rest is written: what conflicts, was answered before, or, as
    LedgerUnavailable, was encoded more than 5 s away from the database's clock.

    Raises LedgerUnavailable where the relay has not verified this database, and asyncpg.UniqueViolationError where a
    rival won a race after the heads were read: roll back then, and append again.
    """
    settled: dict[int, Outcome] = {}
    known: dict[UUID, Head] = {}
    while True:
        outcomes = _fit(batch, known, settled)
        fitting = [index for index, outcome in enumerate(outcomes) if isinstance(outcome, Appended)]
        if not fitting:
            return outcomes
        reply = await connection.fetchrow(APPEND_BATCH, *_arguments([batch[index] for index in fitting]))
        assert reply is not None, "a function without a set of rows returns one"
        if reply["written"]:
            return outcomes
        if not reply["verified"]:
            raise LedgerUnavailable("the ledger waits for the relay to verify that this database has lost nothing")
        for index in fitting:
            if abs(reply["clock"] - batch[index].clock) > LARGEST_CLOCK_DIFFERENCE:
                settled[index] = _out_of_time(batch[index].clock, reply["clock"])
        if reply["moved_streams"]:
            moved = zip(reply["moved_streams"], reply["moved_versions"], reply["moved_hashes"], strict=True)
            known.update((stream, Head(stream, version, digest)) for stream, version, digest in moved)
        if reply["answered"]:
            rows = {row["command"]: row for row in await connection.fetch(ANSWERED, reply["answered"])}
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
        stream = item.expected.stream
        moved = next(
            (
                heads[head.stream]
                for head in item.relies_on
                if heads.setdefault(head.stream, head) != head or head.stream in written
            ),
            None,
        )
        if heads.setdefault(stream, item.expected) != item.expected:
            outcomes.append(Conflict(heads[stream]))
        elif moved is not None:
            outcomes.append(Conflict(moved))
        else:
            outcomes.append(Appended(item.head))
            if item.documents:
                heads[stream] = item.head
                written.add(stream)
    return outcomes


def _arguments(items: Sequence[Append]) -> Sequence[object]:
    """What the database's function takes: columns, sorted alike by every writer so that no two wait for each other."""
    locks: dict[int, bool] = {}
    expected: dict[UUID, Head] = {}
    links: dict[UUID, frozenset[Link]] = {}
    for item in items:
        expected.setdefault(item.expected.stream, item.expected)
        for head in item.relies_on:
            expected.setdefault(head.stream, head)
            locks.setdefault(lock_number(head.stream), False)
        if item.exclusive:
            locks[lock_number(item.expected.stream)] = True
        if item.links is not None:
            links[item.expected.stream] = item.links
    commands = sorted(items, key=lambda item: item.command.int)
    documents = sorted(
        (document for item in items for document in item.documents), key=lambda each: (each.stream.int, each.version)
    )
    timers = [
        (timer_id(cause, deadline.name), item, cause, deadline) for item in items for cause, deadline in item.deadlines
    ]
    linked = [(link, stream) for stream, some in links.items() for link in some]
    numbers = sorted(locks)
    clocks = [item.clock for item in commands]
    return (
        numbers,
        [locks[number] for number in numbers],
        list(expected),
        [head.version for head in expected.values()],
        [head.hash for head in expected.values()],
        min(clocks),
        max(clocks),
        LARGEST_CLOCK_DIFFERENCE,
        [item.command for item in commands],
        [item.digest for item in commands],
        [item.expected.stream for item in commands],
        [item.expected.version for item in commands],
        [item.head.version for item in commands],
        [item.status for item in commands],
        [refusal_json(item.refusal) for item in commands],
        clocks,
        [document.stream for document in documents],
        [document.version for document in documents],
        [document.type for document in documents],
        [document.time for document in documents],
        [document.recorded_at for document in documents],
        [document.body for document in documents],
        [document.hash for document in documents],
        [timer for timer, _, _, _ in timers],
        [item.aggregate for _, item, _, _ in timers],
        [item.expected.stream for _, item, _, _ in timers],
        [deadline.name for _, _, _, deadline in timers],
        [deadline.due for _, _, _, deadline in timers],
        [cause for _, _, cause, _ in timers],
        [item.correlation for _, item, _, _ in timers],
        [item.origin for _, item, _, _ in timers],
        list(links),
        [link.kind for link, _ in linked],
        [link.target for link, _ in linked],
        [stream for _, stream in linked],
    )


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


def answered_before(row: "asyncpg.Record", digest: bytes) -> AnsweredBefore | KeyReused:
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
