"""The append: locks, heads, command rows, events, in that order, in one short READ COMMITTED transaction.

Locks are taken only where aggregates declare that others rely on them. Heads are checked in a later statement than the
locks, by version and hash. A command row that already stands was answered before, and keeps that answer.
"""

import contextlib
import json
from collections.abc import Sequence
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


Outcome = Appended | AnsweredBefore | Conflict | KeyReused


class _ChainBroken(Exception):
    """An item was answered before although a later one of the batch was decided on top of it."""


HEADS: Final = """
SELECT wanted.stream, coalesce(head.version, 0) AS version, head.hash
FROM unnest($1::uuid[]) AS wanted (stream)
LEFT JOIN LATERAL (
  SELECT version, hash FROM events WHERE events.stream = wanted.stream ORDER BY version DESC LIMIT 1) AS head ON true"""

HEADS_AND_GROUND: Final = f"""
SELECT heads.*, clock_timestamp() AS now,
  coalesce(checkpoint.started_at = pg_postmaster_start_time(), false) AS verified
FROM ({HEADS}) AS heads LEFT JOIN relay_checkpoint AS checkpoint ON true"""  # noqa: S608

INSERT_COMMANDS: Final = """
INSERT INTO commands (command, digest, stream, from_version, to_version, status, refusal, recorded_at)
SELECT * FROM unnest($1::uuid[], $2::bytea[], $3::uuid[], $4::int[], $5::int[], $6::smallint[], $7::jsonb[],
                     $8::timestamptz[])
ON CONFLICT DO NOTHING RETURNING command"""

INSERT_EVENTS: Final = """
INSERT INTO events (stream, version, type, time, recorded_at, document, hash)
SELECT * FROM unnest($1::uuid[], $2::int[], $3::text[], $4::timestamptz[], $5::timestamptz[], $6::bytea[],
                     $7::bytea[])"""

INSERT_TIMERS: Final = """
INSERT INTO timers (timer, aggregate, stream, name, due, cause, correlation, origin)
SELECT * FROM unnest($1::uuid[], $2::text[], $3::uuid[], $4::text[], $5::timestamptz[], $6::text[], $7::text[],
                     $8::text[])
ON CONFLICT DO NOTHING"""

LOCKS: Final = """
SELECT CASE WHEN exclusive THEN pg_advisory_xact_lock(number)::text ELSE pg_advisory_xact_lock_shared(number)::text END
FROM unnest($1::bigint[], $2::boolean[]) AS wanted (number, exclusive)"""

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
    """Write a batch within the caller's transaction; the outcomes are in the batch's order.

    Commands on one stream may be chained: each expects the head that the one before it leaves. What conflicts is taken
    out and the rest is written. Raises LedgerUnavailable where clocks differ by over 5 s or the relay has not verified
    this database, and asyncpg.UniqueViolationError where a writer without locks won a race after the heads were read:
    roll back then, and append one by one.
    """
    await _lock(connection, batch)
    heads = await _heads(connection, batch)
    given_up: dict[int, Outcome] = {}
    while True:
        outcomes = _check_heads(batch, heads, given_up)
        accepted = [index for index, outcome in outcomes.items() if isinstance(outcome, Appended)]
        if not accepted:
            break
        try:
            # One command can't be decided on top of another of the batch, so nothing would have to be taken back.
            async with connection.transaction() if len(batch) > 1 else contextlib.nullcontext():
                answered = await _write_commands(connection, [batch[index] for index in accepted])
                for index in accepted:
                    if batch[index].command in answered:
                        outcomes[index] = given_up[index] = answered[batch[index].command]
                written = [batch[index] for index in accepted if batch[index].command not in answered]
                if answered and len(accepted) > 1:
                    # Something may have been decided on top of what is not written: look at the heads again without it.
                    again = _check_heads(batch, heads, given_up)
                    if any(isinstance(again[index], Conflict) for index in accepted):
                        raise _ChainBroken
                await _write_events(connection, written)
        except _ChainBroken:
            continue
        break
    return [outcomes[index] for index in range(len(batch))]


async def _lock(connection: Connection, batch: Sequence[Append]) -> None:
    locks: dict[int, bool] = {}
    for item in batch:
        for head in item.relies_on:
            locks.setdefault(lock_number(head.stream), False)
        if item.exclusive:
            locks[lock_number(item.expected.stream)] = True
    if locks:
        numbers = sorted(locks)
        await connection.execute(LOCKS, numbers, [locks[number] for number in numbers])


async def _heads(connection: Connection, batch: Sequence[Append]) -> dict[UUID, Head]:
    """The heads of all streams of a batch, if the database and the clock are ones to write by."""
    streams = {item.expected.stream for item in batch} | {head.stream for item in batch for head in item.relies_on}
    rows = await connection.fetch(HEADS_AND_GROUND, sorted(streams))
    now, verified = rows[0]["now"], rows[0]["verified"]
    if not verified:
        raise LedgerUnavailable("the ledger waits for the relay to verify that this database has lost nothing")
    for item in batch:
        if abs(now - item.clock) > LARGEST_CLOCK_DIFFERENCE:
            raise LedgerUnavailable(
                f"this service's clock says {item.clock.isoformat()}, its database's {now.isoformat()}: "
                "bring them within 5 s of each other"
            )
    return {row["stream"]: Head(row["stream"], row["version"], row["hash"]) for row in rows}


def _check_heads(batch: Sequence[Append], stored: dict[UUID, Head], given_up: dict[int, Outcome]) -> dict[int, Outcome]:
    """Which items fit the stored heads and each other, in the batch's order."""
    heads = dict(stored)
    written: set[UUID] = set()
    outcomes: dict[int, Outcome] = {}
    for index, item in enumerate(batch):
        stream = item.expected.stream
        if index in given_up:
            outcomes[index] = given_up[index]
            continue
        moved = next((head for head in item.relies_on if heads[head.stream] != head or head.stream in written), None)
        if heads[stream] != item.expected:
            outcomes[index] = Conflict(heads[stream])
        elif moved is not None:
            outcomes[index] = Conflict(heads[moved.stream])
        else:
            outcomes[index] = Appended(item.head)
            if item.documents:
                heads[stream] = item.head
                written.add(stream)
    return outcomes


async def _write_commands(connection: Connection, items: Sequence[Append]) -> dict[UUID, AnsweredBefore | KeyReused]:
    rows = await connection.fetch(
        INSERT_COMMANDS,
        [item.command for item in items],
        [item.digest for item in items],
        [item.expected.stream for item in items],
        [item.expected.version for item in items],
        [item.head.version for item in items],
        [item.status for item in items],
        [refusal_json(item.refusal) for item in items],
        [item.clock for item in items],
    )
    inserted = {row["command"] for row in rows}
    missing = [item for item in items if item.command not in inserted]
    if not missing:
        return {}
    stored = {row["command"]: row for row in await connection.fetch(ANSWERED, [item.command for item in missing])}
    return {item.command: answered_before(stored[item.command], item.digest) for item in missing}


async def _write_events(connection: Connection, items: Sequence[Append]) -> None:
    documents = sorted(
        (document for item in items for document in item.documents), key=lambda each: (each.stream, each.version)
    )
    if documents:
        await connection.execute(
            INSERT_EVENTS,
            [document.stream for document in documents],
            [document.version for document in documents],
            [document.type for document in documents],
            [document.time for document in documents],
            [document.recorded_at for document in documents],
            [document.body for document in documents],
            [document.hash for document in documents],
        )
    timers = [
        (timer_id(cause, deadline.name), item, cause, deadline) for item in items for cause, deadline in item.deadlines
    ]
    if timers:
        await connection.execute(
            INSERT_TIMERS,
            [timer for timer, _, _, _ in timers],
            [item.aggregate for _, item, _, _ in timers],
            [item.expected.stream for _, item, _, _ in timers],
            [deadline.name for _, _, _, deadline in timers],
            [deadline.due for _, _, _, deadline in timers],
            [cause for _, _, cause, _ in timers],
            [item.correlation for _, item, _, _ in timers],
            [item.origin for _, item, _, _ in timers],
        )
    for item in items:
        if item.links is not None:
            await connection.execute("DELETE FROM stream_links WHERE stream = $1", item.expected.stream)
            links = sorted(item.links, key=lambda link: (link.kind, link.target))
            await connection.execute(
                "INSERT INTO stream_links (kind, target, stream) SELECT kind, target, $3 "
                "FROM unnest($1::text[], $2::uuid[]) AS link (kind, target)",
                [link.kind for link in links],
                [link.target for link in links],
                item.expected.stream,
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
