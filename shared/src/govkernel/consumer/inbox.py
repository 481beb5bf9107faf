"""A consumer's batch as one transaction: lock the offsets, judge, apply, save. Repeats of it have no effect."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

import asyncpg

from govevents.catalogue import Catalogue
from govevents.document import Recorded
from govkernel.consumer.guard import (
    BLOCKING,
    START,
    Arrival,
    Guard,
    Intake,
    Rejected,
    Settlement,
    Stopped,
    Stream,
    look_at,
)
from govkernel.consumer.ports import Handler, Unavailable
from govkernel.kafka import Fetched
from govkernel.postgres import UNAVAILABLE, Connection

MOST_DRAINED: Final = 200
"""How many parked records of one stream follow within one transaction; the others follow in the next."""

SHORTEST_IDLE_S: Final = 5.0
"""How long a batch may at least spend between two statements before the database ends it."""

AT_FAULT: Final = ("22", "23", "54", "P0")
"""Classes of PostgreSQL's errors that data cause; other classes speak of the database or of the code."""

# A process that was stopped in the middle of its batch must not hold these rows for much longer than its lease.
LOCK: Final = """
SELECT partition, next_offset, holder, epoch, set_config('idle_in_transaction_session_timeout', $4, true)
FROM consumer_partitions WHERE consumer = $1 AND topic = $2 AND partition = ANY($3::int[])
ORDER BY partition FOR UPDATE"""

STREAMS: Final = """
SELECT wanted.stream, guard.version, guard.hash,
  EXISTS (SELECT FROM parked
          WHERE consumer = $1 AND parked.stream = wanted.stream AND kind <> 'set_aside') AS parked,
  EXISTS (SELECT FROM parked
          WHERE consumer = $1 AND parked.stream = wanted.stream AND kind = ANY($3::text[])) AS blocked
FROM unnest($2::uuid[]) AS wanted (stream)
LEFT JOIN consumer_guards AS guard ON guard.consumer = $1 AND guard.stream = wanted.stream"""

HELD: Final = """
SELECT stream, version, sha256(record_value) AS hash FROM parked
WHERE consumer = $1 AND stream = ANY($2::uuid[]) AND version = ANY($3::int[]) AND kind <> 'set_aside'"""

WAITING: Final = """
SELECT id, partition, record_offset, record_key, record_value FROM parked
WHERE consumer = $1 AND stream = $2 AND version > $3 AND kind <> 'set_aside'
ORDER BY version, record_offset LIMIT $4"""

SAVE: Final = """
WITH begun AS (
  INSERT INTO consumer_guards (consumer, stream, version, hash)
  SELECT $1, * FROM unnest($3::uuid[], $4::int[], $5::bytea[]) ON CONFLICT DO NOTHING RETURNING 1),
continued AS (
  UPDATE consumer_guards AS guard SET version = moved.version, hash = moved.hash
  FROM unnest($6::uuid[], $7::int[], $8::int[], $9::bytea[]) AS moved (stream, before, version, hash)
  WHERE guard.consumer = $1 AND guard.stream = moved.stream AND guard.version = moved.before RETURNING 1),
read AS (
  UPDATE consumer_partitions AS row
  SET next_offset = read_to.next_offset,
    lease_until = greatest(lease_until, clock_timestamp() + $12 * interval '1 second')
  FROM unnest($10::int[], $11::bigint[]) AS read_to (partition, next_offset)
  WHERE row.consumer = $1 AND row.topic = $2 AND row.partition = read_to.partition RETURNING 1)
SELECT (SELECT count(*) FROM begun) + (SELECT count(*) FROM continued) AS guards, (SELECT count(*) FROM read) AS read"""

PARK: Final = """
INSERT INTO parked (
  consumer, topic, partition, record_offset, stream, version, kind, reason, record_key, record_value, parked_at)
SELECT $1, $2, new.*, clock_timestamp()
FROM unnest($3::int[], $4::bigint[], $5::uuid[], $6::int[], $7::text[], $8::text[], $9::bytea[], $10::bytea[]) AS new
ON CONFLICT DO NOTHING"""

KEEP: Final = """
UPDATE parked SET kind = kept.kind, reason = kept.reason, tries = tries + 1
FROM unnest($1::bigint[], $2::text[], $3::text[]) AS kept (id, kind, reason) WHERE parked.id = kept.id"""

FORGET: Final = "DELETE FROM parked WHERE id = ANY($1::bigint[])"

SET_ASIDE: Final = """
UPDATE parked SET kind = 'set_aside'
WHERE consumer = $1 AND stream = $2 AND kind = ANY($4::text[]) AND (version IS NULL OR version <= $3)"""

DUE: Final = """
SELECT stream, min(tries) AS tries, min(id) AS first, array_agg(DISTINCT partition) AS partitions FROM parked AS waiting
WHERE consumer = $1 AND topic = $2 AND partition = ANY($3::int[]) AND stream <> ALL($4::uuid[])
  AND (kind = 'not_yet' OR kind IN ('gap', 'behind') AND version = 1 + (
    SELECT version FROM consumer_guards AS guard WHERE guard.consumer = $1 AND guard.stream = waiting.stream))
  AND NOT EXISTS (
    SELECT FROM parked AS blocking
    WHERE blocking.consumer = $1 AND blocking.stream = waiting.stream AND blocking.kind = ANY($5::text[]))
GROUP BY stream ORDER BY 2, 3 LIMIT $6"""


class GuardMoved(Exception):
    """Another transaction has moved a stream's guard meanwhile; this one is undone and may come again."""


class _AtFault(Exception):
    """The handler could not apply the batch because of what an event says."""


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of a batch.

    `positions` are the offsets to read on from. `lost` partitions have another holder by now; `misplaced` ones have to
    be sought again; `stopped` ones need a newer process.
    """

    applied: int
    parked: int
    positions: dict[int, int]
    lost: frozenset[int]
    misplaced: dict[int, int]
    stopped: dict[int, Stopped]


class Inbox:
    """The transactions of one consumer.

    Raises what the database raises, Unavailable and GuardMoved: nothing has happened then, and it may come again.
    """

    def __init__(
        self, pool: "asyncpg.Pool[Any]", handler: Handler, catalogue: Catalogue, *, topic: str, lease_s: float
    ) -> None:
        self._pool = pool
        self._handler = handler
        self._catalogue = catalogue
        self._topic = topic
        self._lease_s = lease_s

    async def take(self, fetched: Sequence[Fetched], replica: UUID, epochs: Mapping[int, int]) -> Taken:
        """Apply what was fetched, as far as `replica` still holds the partitions under these epochs."""
        arrivals = {
            each.partition: [
                look_at(each.partition, record.offset, record.key, record.value, service=self._handler.service)
                for record in each.records
            ]
            for each in fetched
        }
        try:
            return await self._take(fetched, arrivals, replica, epochs, in_parts=False)
        except _AtFault:
            return await self._take(fetched, arrivals, replica, epochs, in_parts=True)

    async def _take(
        self,
        fetched: Sequence[Fetched],
        arrivals: Mapping[int, Sequence[Arrival]],
        replica: UUID,
        epochs: Mapping[int, int],
        *,
        in_parts: bool,
    ) -> Taken:
        lost: set[int] = set()
        misplaced: dict[int, int] = {}
        usable: list[Fetched] = []
        async with self._pool.acquire(timeout=5) as connection, connection.transaction():
            rows = await self.lock(connection, [each.partition for each in fetched])
            for each in fetched:
                row = rows.get(each.partition)
                if row is None or row["holder"] != replica or row["epoch"] != epochs[each.partition]:
                    lost.add(each.partition)
                elif each.start != row["next_offset"]:
                    misplaced[each.partition] = row["next_offset"]
                else:
                    usable.append(each)
            if not usable:
                return Taken(0, 0, {}, frozenset(lost), misplaced, {})
            batch = [
                arrival
                for each in usable
                for arrival in arrivals[each.partition]
                if arrival.offset >= rows[each.partition]["next_offset"]
            ]
            intake = await self._intake(connection, batch)
            for arrival in batch:
                intake.offer(arrival)
            for stream in intake.to_drain():
                intake.drain(stream, await self._waiting(connection, stream, intake.guard(stream)))
            settlement = await self._apply(connection, intake, in_parts=in_parts)
            positions = {
                each.partition: intake.stopped[each.partition].offset if each.partition in intake.stopped else each.end
                for each in usable
            }
            await self._save(connection, settlement, positions)
        return Taken(
            len(intake.accepted), len(settlement.park), positions, frozenset(lost), misplaced, dict(intake.stopped)
        )

    async def retry(
        self, replica: UUID, epochs: Mapping[int, int], *, besides: Sequence[UUID], most_streams: int = 100
    ) -> tuple[list[UUID], int]:
        """Try streams again whose parked records may be applied by now: those tried, how many events were applied.

        `besides` are streams whose time has not come.
        """
        async with self._pool.acquire(timeout=5) as connection:
            due = await connection.fetch(
                DUE, self._handler.name, self._topic, list(epochs), list(besides), list(BLOCKING), most_streams
            )
        if not due:
            return [], 0
        streams = [row["stream"] for row in due]
        partitions = sorted({partition for row in due for partition in row["partitions"]})

        async def follow(*, in_parts: bool) -> int:
            async with self._pool.acquire(timeout=5) as connection, connection.transaction():
                rows = await self.lock(connection, partitions)
                if any(
                    row["holder"] != replica or row["epoch"] != epochs.get(partition) for partition, row in rows.items()
                ):
                    return 0
                return await self.follow(connection, streams, in_parts=in_parts)

        try:
            return streams, await follow(in_parts=False)
        except _AtFault:
            return streams, await follow(in_parts=True)

    async def follow(
        self, connection: Connection, streams: Sequence[UUID], *, blocked_too: bool = False, in_parts: bool = True
    ) -> int:
        """Apply what is parked of these streams as far as it continues them; how many events were applied.

        The caller's transaction has locked the partitions. `blocked_too` is an operator's retry: what blocked a stream
        that went on without it is set aside.
        """
        states = await self._streams(connection, streams, ())
        intake = Intake(self._catalogue, self._handler.subscribes, states)
        for stream in streams:
            waiting = await self._waiting(connection, stream, intake.guard(stream))
            intake.drain(stream, waiting, blocked_too=blocked_too)
        settlement = await self._apply(connection, intake, in_parts=in_parts)
        await self._save(connection, settlement, {})
        if blocked_too:
            for stream, (_, after) in settlement.guards.items():
                await connection.execute(SET_ASIDE, self._handler.name, stream, after.version, list(BLOCKING))
        return len(settlement.drained)

    async def lock(self, connection: Connection, partitions: Sequence[int]) -> dict[int, "asyncpg.Record"]:
        """Lock partitions' rows against every other batch, in their order."""
        rows = await connection.fetch(
            LOCK,
            self._handler.name,
            self._topic,
            sorted(partitions),
            str(int(max(self._lease_s, SHORTEST_IDLE_S) * 1000)),
        )
        return {row["partition"]: row for row in rows}

    async def move_guard(self, connection: Connection, stream: UUID, before: Guard, after: Guard) -> None:
        """Pass over one version of a stream."""
        await self._save(connection, Settlement({stream: (before, after)}, (), (), ()), {})

    async def guard(self, connection: Connection, stream: UUID) -> Guard:
        """Where a stream stands."""
        return (await self._streams(connection, [stream], ()))[stream].guard

    async def _intake(self, connection: Connection, batch: Sequence[Arrival]) -> Intake:
        streams = sorted({arrival.stream for arrival in batch if arrival.stream is not None})
        versions = {arrival.envelope.version for arrival in batch if arrival.envelope is not None}
        return Intake(
            self._catalogue, self._handler.subscribes, await self._streams(connection, streams, sorted(versions))
        )

    async def _streams(
        self, connection: Connection, streams: Sequence[UUID], versions: Sequence[int]
    ) -> dict[UUID, Stream]:
        rows = await connection.fetch(STREAMS, self._handler.name, list(streams), list(BLOCKING))
        states = {
            row["stream"]: Stream(
                START if row["version"] is None else Guard(row["version"], row["hash"]), row["parked"], row["blocked"]
            )
            for row in rows
        }
        parked = [stream for stream, state in states.items() if state.parked]
        if parked and versions:
            for row in await connection.fetch(HELD, self._handler.name, parked, list(versions)):
                states[row["stream"]].held.setdefault(row["version"], set()).add(row["hash"])
        return states

    async def _waiting(self, connection: Connection, stream: UUID, guard: Guard) -> list[Arrival]:
        rows = await connection.fetch(WAITING, self._handler.name, stream, guard.version, MOST_DRAINED)
        return [
            look_at(
                row["partition"],
                row["record_offset"],
                row["record_key"],
                row["record_value"],
                service=self._handler.service,
                parked=row["id"],
            )
            for row in rows
        ]

    async def _apply(self, connection: Connection, intake: Intake, *, in_parts: bool) -> Settlement:
        batch = intake.accepted
        if not batch:
            return intake.settle(())
        if in_parts:
            return intake.settle(await self._apply_in_parts(connection, batch))
        try:
            return intake.settle(await self._handler.apply(connection, batch))
        except Exception as error:
            if is_at_fault(error):
                raise _AtFault from error
            raise

    async def _apply_in_parts(self, connection: Connection, batch: Sequence[Recorded[Any]]) -> list[Rejected]:
        try:
            async with connection.transaction():
                return list(await self._handler.apply(connection, batch))
        except Exception as error:
            if not is_at_fault(error):
                raise
            if len(batch) == 1:
                return [Rejected(batch[0], f"{type(error).__name__}: {error}", retry=False)]
        half = len(batch) // 2
        rejected = await self._apply_in_parts(connection, batch[:half])
        cut = {each.recorded.envelope.stream for each in rejected}
        rest = [recorded for recorded in batch[half:] if recorded.envelope.stream not in cut]
        return [*rejected, *(await self._apply_in_parts(connection, rest) if rest else ())]

    async def _save(self, connection: Connection, settlement: Settlement, positions: Mapping[int, int]) -> None:
        if settlement.guards or positions:
            moves = sorted(settlement.guards.items())
            begun = [(stream, after) for stream, (before, after) in moves if before.version == 0]
            continued = [(stream, before, after) for stream, (before, after) in moves if before.version > 0]
            saved = await connection.fetchrow(
                SAVE,
                self._handler.name,
                self._topic,
                [stream for stream, _ in begun],
                [after.version for _, after in begun],
                [after.hash for _, after in begun],
                [stream for stream, _, _ in continued],
                [before.version for _, before, _ in continued],
                [after.version for _, _, after in continued],
                [after.hash for _, _, after in continued],
                list(positions),
                list(positions.values()),
                self._lease_s,
            )
            assert saved is not None
            if saved["guards"] != len(moves):
                raise GuardMoved(f"{self._handler.name}: another transaction has applied events of the same streams")
            assert saved["read"] == len(positions), "the rows are locked, so they are there"
        if settlement.drained:
            await connection.execute(FORGET, list(settlement.drained))
        if settlement.kept:
            await connection.execute(
                KEEP,
                [each.arrival.parked for each in settlement.kept],
                [each.kind.value for each in settlement.kept],
                [_text(each.reason) for each in settlement.kept],
            )
        if settlement.park:
            arrivals = [each.arrival for each in settlement.park]
            await connection.execute(
                PARK,
                self._handler.name,
                self._topic,
                [arrival.partition for arrival in arrivals],
                [arrival.offset for arrival in arrivals],
                [arrival.stream for arrival in arrivals],
                [arrival.envelope.version if arrival.envelope else None for arrival in arrivals],
                [each.kind.value for each in settlement.park],
                [_text(each.reason) for each in settlement.park],
                [arrival.key for arrival in arrivals],
                [arrival.value for arrival in arrivals],
            )


def is_at_fault(error: Exception) -> bool:
    """Whether an error speaks of the events that were applied, and not of a database or a code that is not fit."""
    if isinstance(error, asyncpg.PostgresError):
        return str(error.sqlstate)[:2] in AT_FAULT
    # asyncpg's refusal to encode an argument is an InterfaceError and a ValueError.
    return isinstance(error, ValueError) or not isinstance(error, (Unavailable, *UNAVAILABLE))


def _text(reason: str) -> str:
    """A reason as PostgreSQL takes it, for it may quote what a stranger sent."""
    return reason.encode(errors="backslashreplace").decode().replace("\x00", "\\x00")[:2000]
