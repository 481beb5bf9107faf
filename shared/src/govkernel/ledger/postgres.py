"""The ledger's rows in PostgreSQL: its statements, and what they take."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

from govkernel.domain import Link
from govkernel.ledger.append import LARGEST_CLOCK_DIFFERENCE, Append, Head, Reply, refusal_json, timer_id
from govkernel.ledger.group_load import Wanted
from govkernel.ledger.ports import Snapshot
from govkernel.postgres import Connection, Row, event_columns

HEADS: Final = """
SELECT wanted.stream, coalesce(head.version, 0) AS version, head.hash
FROM unnest($1::uuid[]) AS wanted (stream)
LEFT JOIN LATERAL (
  SELECT version, hash FROM events WHERE events.stream = wanted.stream ORDER BY version DESC LIMIT 1) AS head ON true"""

APPEND_BATCH: Final = f"SELECT * FROM append_batch({', '.join(f'${number}' for number in range(1, 37))})"  # noqa: S608

ANSWERED: Final = """
SELECT commands.*, ARRAY(
  SELECT events.type FROM events
  WHERE events.stream = commands.stream
    AND events.version > commands.from_version AND events.version <= commands.to_version
  ORDER BY events.version) AS types
FROM commands WHERE command = ANY($1::uuid[])"""


LOAD: Final = """
SELECT wanted.number, found.*
FROM unnest($1::uuid[], $2::text[], $3::int[]) WITH ORDINALITY AS wanted (stream, fold, known, number)
CROSS JOIN LATERAL (
  WITH kept AS MATERIALIZED (
    SELECT snapshots.* FROM snapshots JOIN events USING (stream, version, hash)
    WHERE snapshots.stream = wanted.stream AND snapshots.fold = wanted.fold AND wanted.known = 0)
  SELECT version, hash, state AS document, time, recorded_at, true AS folded FROM kept
  UNION ALL
  SELECT version, hash, CASE WHEN version > wanted.known THEN document END, NULL, NULL, false FROM events
  WHERE events.stream = wanted.stream
    AND version >= greatest(wanted.known, coalesce((SELECT kept.version + 1 FROM kept), 1))) AS found"""


EVENTS: Final = """
SELECT version, document, hash FROM events
WHERE stream = $1 AND version > $2 AND ($3::int IS NULL OR version <= $3) ORDER BY version"""

KEEP_SNAPSHOT: Final = """
INSERT INTO snapshots (stream, fold, version, hash, state, time, recorded_at) VALUES ($1, $2, $3, $4, $5, $6, $7)
ON CONFLICT (stream) DO UPDATE SET fold = excluded.fold, version = excluded.version, hash = excluded.hash,
  state = excluded.state, time = excluded.time, recorded_at = excluded.recorded_at"""


LINKS: Final = """
SELECT kind, target, stream FROM stream_links
JOIN unnest($1::text[], $2::uuid[]) AS wanted (kind, target) USING (kind, target) ORDER BY stream"""


NEXT: Final = """
SELECT * FROM timers WHERE due <= $1 AND (origin = 'simulated') = $2
ORDER BY due, timer LIMIT 1 FOR UPDATE SKIP LOCKED"""


def lock_number(stream: UUID) -> int:
    """The advisory lock of a stream: its id's first 64 bits as a signed integer."""
    return int.from_bytes(stream.bytes[:8], "big", signed=True)


class PostgresLedger:
    """The rows of a ledger as the kernel's tables keep them."""

    async def append_batch(self, connection: Connection, items: Sequence[Append]) -> Reply:
        """Write all of these items in one round trip, or nothing."""
        reply = await connection.fetchrow(APPEND_BATCH, *_arguments(items))
        assert reply is not None, "a function without a set of rows returns one"
        if reply["written"]:
            return Reply(True, True, reply["clock"])
        moved = zip(
            reply["moved_streams"] or (), reply["moved_versions"] or (), reply["moved_hashes"] or (), strict=True
        )
        return Reply(
            False,
            reply["verified"],
            reply["clock"],
            tuple(Head(stream, version, digest) for stream, version, digest in moved),
            tuple(reply["answered"] or ()),
            bool(reply["allowances_moved"]),
        )

    async def answered(
        self, connection: Connection, commands: Sequence[UUID], *, timeout_s: float | None = None
    ) -> Sequence[Row]:
        """The rows of these commands."""
        return await connection.fetch(ANSWERED, list(commands), timeout=timeout_s)

    async def read(
        self, connection: Connection, wanted: Sequence[Wanted], *, timeout_s: float | None = None
    ) -> Sequence[Row]:
        """What is wanted of each stream."""
        return await connection.fetch(
            LOAD,
            [each.stream for each in wanted],
            [each.fold for each in wanted],
            [each.known for each in wanted],
            timeout=timeout_s,
        )

    async def heads(
        self, connection: Connection, streams: Sequence[UUID], *, timeout_s: float | None = None
    ) -> list[Head]:
        """The newest version of each stream."""
        rows = await connection.fetch(HEADS, list(streams), timeout=timeout_s)
        return [Head(row["stream"], row["version"], row["hash"]) for row in rows]

    async def events(
        self, connection: Connection, stream: UUID, after: int, until: int | None, *, timeout_s: float | None = None
    ) -> Sequence[Row]:
        """A stream's events."""
        return await connection.fetch(EVENTS, stream, after, until, timeout=timeout_s)

    async def keep_snapshot(self, connection: Connection, snapshot: Snapshot, *, timeout_s: float | None) -> None:
        """Keep a snapshot."""
        await connection.execute(
            KEEP_SNAPSHOT,
            snapshot.head.stream,
            snapshot.fold,
            snapshot.head.version,
            snapshot.head.hash,
            snapshot.state,
            snapshot.time,
            snapshot.recorded_at,
            timeout=timeout_s,
        )

    async def find(
        self, connection: Connection, links: Iterable[Link], *, timeout_s: float | None = None
    ) -> Sequence[Row]:
        """The streams that have one of these links."""
        wanted = list(links)
        return await connection.fetch(
            LINKS, [link.kind for link in wanted], [link.target for link in wanted], timeout=timeout_s
        )

    async def next_timer(self, connection: Connection, now: datetime, *, simulated: bool) -> Row | None:
        """The first due timer."""
        return await connection.fetchrow(NEXT, now, simulated)

    async def remove_timer(self, connection: Connection, timer: UUID) -> None:
        """Take a timer away."""
        await connection.execute("DELETE FROM timers WHERE timer = $1", timer)


POSTGRES: Final = PostgresLedger()


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
        [item.expected.version + len(item.documents) for item in commands],
        [item.status for item in commands],
        [refusal_json(item.refusal) for item in commands],
        clocks,
        *event_columns(documents),
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
        next((item.allowed_under for item in items if item.allowed_under is not None), None),
    )
