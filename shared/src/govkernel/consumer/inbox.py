"""A consumer's batch as one transaction: lock the offsets, judge, apply, save. Repeats of it have no effect."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

import asyncpg

from govevents.catalogue import Catalogue
from govevents.document import Recorded
from govkernel.consumer.guard import (
    NUMBER,
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
from govkernel.consumer.ports import ConsumerStore, Handler, Subscription, Unavailable
from govkernel.consumer.postgres import POSTGRES
from govkernel.kafka import Fetched
from govkernel.postgres import UNAVAILABLE, Connection, Row

MOST_DRAINED: Final = 200
"""How many parked records of one stream follow within one transaction; the others follow in the next."""

SHORTEST_IDLE_S: Final = 5.0
"""How long a batch may at least spend between two statements before the database ends it."""

AT_FAULT: Final = ("22", "23", "54", "P0")
"""Classes of PostgreSQL's errors that data cause; other classes speak of the database or of the code."""


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

    @classmethod
    def together(cls, parts: Sequence["Taken"]) -> "Taken":
        """What became of batches of different partitions."""
        return cls(
            sum(each.applied for each in parts),
            sum(each.parked for each in parts),
            {partition: at for each in parts for partition, at in each.positions.items()},
            frozenset(partition for each in parts for partition in each.lost),
            {partition: at for each in parts for partition, at in each.misplaced.items()},
            {partition: stopped for each in parts for partition, stopped in each.stopped.items()},
        )


class Inbox:
    """The transactions of one consumer.

    Raises what the database raises, Unavailable and GuardMoved: nothing has happened then, and it may come again.
    """

    def __init__(
        self,
        pool: "asyncpg.Pool[Any]",
        handler: Handler,
        catalogue: Catalogue,
        *,
        topic: str,
        lease_s: float,
        store: ConsumerStore = POSTGRES,
    ) -> None:
        self._pool = pool
        self._handler = handler
        self._catalogue = catalogue
        self._of = Subscription(handler.name, topic)
        self._store = store
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
            due = await self._store.due(connection, self._of, list(epochs), besides, most_streams)
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
        states = await self._streams(connection, streams)
        waiting = {stream: await self._waiting(connection, stream, states[stream].guard) for stream in streams}
        intake = Intake(self._catalogue, self._handler.subscribes, states, waiting)
        for stream in streams:
            intake.drain(stream, blocked_too=blocked_too)
        settlement = await self._apply(connection, intake, in_parts=in_parts)
        await self._save(connection, settlement, {})
        if blocked_too:
            for stream, (_, after) in settlement.guards.items():
                await self._store.set_aside(connection, self._of.consumer, stream, after.version)
        return len(settlement.drained)

    async def lock(self, connection: Connection, partitions: Sequence[int]) -> dict[int, Row]:
        """Lock partitions' rows against every other batch, in their order."""
        # A process that was stopped in the middle of its batch must not hold these rows for much longer than its lease.
        idle_timeout_s = max(self._lease_s, SHORTEST_IDLE_S)
        rows = await self._store.lock(connection, self._of, sorted(partitions), idle_timeout_s)
        return {row["partition"]: row for row in rows}

    async def move_guard(self, connection: Connection, stream: UUID, before: Guard, after: Guard) -> None:
        """Pass over one version of a stream."""
        await self._save(connection, Settlement({stream: (before, after)}, (), (), ()), {})

    async def guard(self, connection: Connection, stream: UUID) -> Guard:
        """Where a stream stands."""
        return (await self._streams(connection, [stream]))[stream].guard

    async def _intake(self, connection: Connection, batch: Sequence[Arrival]) -> Intake:
        streams = sorted({arrival.stream for arrival in batch if arrival.stream is not None}, key=NUMBER)
        states = await self._streams(connection, streams)
        parked = [stream for stream, state in states.items() if state.parked]
        if not parked:
            return Intake(self._catalogue, self._handler.subscribes, states)
        versions = {arrival.envelope.version for arrival in batch if arrival.envelope is not None}
        for row in await self._store.held(connection, self._of.consumer, parked, sorted(versions)):
            states[row["stream"]].held.setdefault(row["version"], set()).add(row["hash"])
        # What waits can only follow where the batch brings what it waits for.
        going_on = {
            arrival.stream
            for arrival in batch
            if arrival.stream is not None
            and arrival.envelope is not None
            and (state := states[arrival.stream]).parked
            and not state.blocked
            and arrival.envelope.version == state.guard.version + 1
        }
        waiting = {stream: await self._waiting(connection, stream, states[stream].guard) for stream in sorted(going_on)}
        return Intake(self._catalogue, self._handler.subscribes, states, waiting)

    async def _streams(self, connection: Connection, streams: Sequence[UUID]) -> dict[UUID, Stream]:
        rows = await self._store.streams(connection, self._of.consumer, streams)
        return {
            row["stream"]: Stream(
                START if row["version"] is None else Guard(row["version"], row["hash"]), row["parked"], row["blocked"]
            )
            for row in rows
        }

    async def _waiting(self, connection: Connection, stream: UUID, guard: Guard) -> list[Arrival]:
        rows = await self._store.waiting(connection, self._of.consumer, stream, guard.version, MOST_DRAINED)
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
            moves = sorted(settlement.guards.items(), key=lambda move: move[0].int)
            begun = [(stream, after) for stream, (before, after) in moves if before.version == 0]
            continued = [(stream, before, after) for stream, (before, after) in moves if before.version > 0]
            guards, read = await self._store.save(connection, self._of, begun, continued, positions, self._lease_s)
            if guards != len(moves):
                raise GuardMoved(f"{self._handler.name}: another transaction has applied events of the same streams")
            assert read == len(positions), "the rows are locked, so they are there"
        if settlement.drained:
            await self._store.forget(connection, settlement.drained)
        if settlement.kept:
            await self._store.keep(connection, settlement.kept)
        if settlement.park:
            await self._store.park(connection, self._of, settlement.park)


def is_at_fault(error: Exception) -> bool:
    """Whether an error speaks of the events that were applied, and not of a database or a code that is not fit."""
    if isinstance(error, asyncpg.PostgresError):
        return str(error.sqlstate)[:2] in AT_FAULT
    # asyncpg's refusal to encode an argument is an InterfaceError and a ValueError.
    return isinstance(error, ValueError) or not isinstance(error, (Unavailable, *UNAVAILABLE))
