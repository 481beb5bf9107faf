"""Rebuilds, blue and green: a new build beside the live one, compared at one snapshot, tailed, and then switched to.

Readers notice nothing. A build that differs from the live one although its fold is the same is thrown away, for then
one of the two is wrong and a person has to look.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any, Final, Protocol, Self, TypeVar
from uuid import UUID

import asyncpg
import msgspec

from govevents.catalogue import Catalogue
from govevents.operations import RecordSkipped
from govkernel.consumer.guard import BLOCKING, Kind
from govkernel.consumer.ports import Handler
from govkernel.kafka import Extent, Fetched
from govkernel.postgres import Connection
from govkernel.readmodels.builds import (
    Build,
    State,
    add_indexes,
    builds_of,
    create_build,
    drop_build,
    live_build,
    mark,
    switch,
)
from govkernel.readmodels.comparison import (
    Compared,
    RowDifference,
    compare,
    row_differences,
    rows_of,
    shared_columns,
)
from govkernel.readmodels.digests import (
    LONGEST_QUERY_S,
    NO_STREAM,
    SORT_MEMORY,
    Part,
    differing,
    part_digests,
    stream_digests,
)
from govkernel.readmodels.fold import Past
from govkernel.readmodels.handler import (
    ORDER_OF_HISTORY,
    ReadModelHandler,
    as_array,
    as_texts,
    from_texts,
    kept_record,
    past_record,
)
from govkernel.readmodels.model import ReadModel
from govkernel.readmodels.replay import Place, Replay
from govkernel.readmodels.tables import HISTORY, PAST_COLUMNS, ROWS, columns_of

T = TypeVar("T")

REBUILD_LOCK: Final = 7_291_004
RECORDS_AT_ONCE: Final = 500
"""How many records are folded before others of this process get their turn."""
LONGEST_HOLD_S: Final = 2.0
"""How long the live build may be held still while the new one comes level with it."""
STAGED: Final = "staged"
STAGED_AT_ONCE: Final = 2000
SHOWN_EVERY_S: Final = 1.0
MOST_EXAMPLES: Final = 10
LONGEST_LOOK_S: Final = 20.0
"""How long builds that are level are looked at again, for streams that were at different places."""
LOOK_AGAIN_S: Final = 0.2
LONGEST_END_S: Final = 0.5
"""How long one that has switched already may take to end, before it counts as one that runs."""

log = logging.getLogger(__name__)


class Log(Protocol):
    """A topic as a log that can be read from offset to offset; `govkernel.kafka.TopicLog` is one."""

    async def extent(self, topic: str) -> Extent: ...
    def read(
        self, topic: str, start: Mapping[int, int], end: Mapping[int, int] | None = None
    ) -> AsyncIterator[Fetched]: ...


class Follower(Protocol):
    """Feeds a handler with its topic's events until told to stop; `govkernel.consumer.Consumer` is one."""

    async def run(self, stop: asyncio.Event) -> None: ...


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a build is: `records` of `total`; seconds_left None: unknown.

    `stage`: reading, writing, comparing, tailing or switched; of an old build that is to be live again, catching up.
    """

    stage: str
    records: int
    total: int
    records_per_s: float
    seconds_left: float | None


@dataclass(frozen=True, slots=True)
class Difference:
    """How a new build differs from the live one at the snapshot: numbers of streams by part, columns, and examples."""

    streams: Mapping[str, int]
    columns_added: tuple[str, ...]
    columns_removed: tuple[str, ...]
    examples: tuple[str, ...]

    def __str__(self) -> str:
        counted = ", ".join(f"{part}: {count} streams" for part, count in self.streams.items())
        columns = [*(f"+{name}" for name in self.columns_added), *(f"-{name}" for name in self.columns_removed)]
        return "; ".join(filter(None, [counted, " ".join(columns), *self.examples]))


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """A rebuild that has become live: its build, the snapshot's offsets, and how it differs; None is not at all."""

    build: Build
    records: int
    seconds: float
    offsets: Mapping[int, int]
    difference: Difference | None


class RebuildRunning(Exception):
    """The read model is being rebuilt already, here or in another replica."""


class RebuildFailed(Exception):
    """A rebuild could not be finished; the live build is as it was."""


class RebuildDiffers(RebuildFailed):
    """The new build differs from the live one and nobody has accepted that; the live build is as it was."""

    def __init__(self, message: str, difference: Difference) -> None:
        super().__init__(message)
        self.difference = difference


@dataclass(frozen=True, slots=True)
class _Snapshot:
    """The live build at one moment: where it had read to, and what operators had done by then."""

    partitions: list["asyncpg.Record"]
    skipped: frozenset[Place]
    skipped_elsewhere: frozenset[bytes]
    set_aside: frozenset[Place]
    blocked: frozenset[UUID]

    @property
    def offsets(self) -> dict[int, int]:
        return {row["partition"]: row["next_offset"] for row in self.partitions}


async def _unrecorded(_connection: Connection, _live: Build, _back: Build) -> None:
    return


@dataclass(slots=True)
class Rebuild:
    """One rebuild, comparison or rollback of one read model. `show` is told of its progress about once a second."""

    pool: "asyncpg.Pool[Any]"
    model: ReadModel[Any]
    catalogue: Catalogue
    log: Log
    follower_of: Callable[[Handler], Follower]
    clock: Callable[[], datetime]
    show: Callable[[Progress], None] = lambda _progress: None
    _began: float = 0.0
    _shown: float = field(default=-1.0)

    async def run(self, *, accept_difference: bool = False) -> Rebuilt:
        """Build anew, compare, tail and switch.

        Raises RebuildRunning, RebuildDiffers, RebuildFailed, NeedsNewerReader, and what Kafka and the database raise.
        """
        self._began = asyncio.get_running_loop().time()
        async with self._locked() as connection:
            for left in await builds_of(connection, [self.model.name], State.BUILDING, State.TAILING):
                await drop_build(connection, left, State.FAILED)
            live = await live_build(connection, self.model.name)
            assert live is not None, "a service ensures its read models before it rebuilds one"
            async with connection.transaction():
                new = await create_build(connection, self.model, State.BUILDING, self.clock())
            try:
                return await self._run(connection, live, new, accept_difference=accept_difference)
            except BaseException as error:
                # Where even this fails, the next rebuild clears what this one leaves.
                with contextlib.suppress(Exception):
                    await drop_build(connection, new, State.FAILED)
                    await self._note(connection, new, {"failed": f"{type(error).__name__}: {error}"[:2000]})
                raise

    async def compare_with_log(self, *, most_rows: int) -> Compared:
        """Build anew as a rebuild does, compare with the live build, and throw the new one away.

        Raises RebuildRunning, NeedsNewerReader, and what Kafka and the database raise.
        """
        self._began = asyncio.get_running_loop().time()
        async with self._locked() as connection:
            live = await live_build(connection, self.model.name)
            assert live is not None, "a service ensures its read models before it compares one"
            async with connection.transaction():
                new = await create_build(connection, self.model, State.BUILDING, self.clock())
            try:
                async with connection.transaction(isolation="repeatable_read", readonly=True):
                    snapshot = await self._snapshot(connection, live)
                replay, records = await self._read(connection, new, snapshot)
                await self._tell(connection, new, "writing", records, records)
                await self._order_history(connection, new)
                await self._write(connection, new, snapshot, replay)
                await add_indexes(connection, self.model, new, timeout_s=LONGEST_QUERY_S)
                return await self._compared(connection, live, new, most_rows)
            finally:
                # Where even this fails, the next rebuild clears what this one leaves.
                with contextlib.suppress(asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
                    await drop_build(connection, new)

    async def compare_with_previous(self, *, most_rows: int) -> Compared:
        """Compare the previous build, fed as far as the live one where its fold is this process's, with the live one.

        Raises RebuildRunning, RebuildFailed.
        """
        self._began = asyncio.get_running_loop().time()
        async with self._locked() as connection:
            return await self._compared(connection, *await self._with_previous(connection), most_rows)

    async def roll_back(self, record: Callable[[Connection, Build, Build], Awaitable[None]] = _unrecorded) -> Build:
        """Let the previous build, where its fold is this process's, come level with the live one and switch back to it.

        `record` writes down who wanted it, in the transaction that switches. The build that is live then. Raises
        RebuildRunning, RebuildFailed, and what `record` raises.
        """
        self._began = asyncio.get_running_loop().time()
        async with self._locked() as connection:
            live, back = await self._with_previous(connection)
            if back.fold_version != self.model.version:
                raise RebuildFailed(
                    f"{self.model.name}: the previous build has fold version {back.fold_version}, this process "
                    f"{self.model.version}; roll back with the release that has {back.fold_version}"
                )
            await self._note(connection, back, {"stage": "catching up", "failed": None})
            try:
                async with self._fed(back) as check:
                    await self._catch_up(connection, live, back, check)
                    await self._switch_when_level(connection, live, back, check, record)
            except BaseException as error:
                with contextlib.suppress(Exception):
                    await self._note(connection, back, {"failed": f"{type(error).__name__}: {error}"[:2000]})
                raise
            await self._note(connection, back, {"stage": "switched"})
            return back

    async def _with_previous(self, connection: Connection) -> tuple[Build, Build]:
        previous = await builds_of(connection, [self.model.name], State.PREVIOUS)
        live = await live_build(connection, self.model.name)
        if live is None or not previous:
            raise RebuildFailed(f"{self.model.name} has no previous build; rebuild it instead")
        return live, previous[-1]

    async def _compared(self, connection: Connection, live: Build, other: Build, most_rows: int) -> Compared:
        """Compare while the other build is fed, where this process can, until no stream is at different places."""
        clock = asyncio.get_running_loop().time
        if other.fold_version != self.model.version:
            return await compare(connection, self.model.topic, live, other, most_rows=most_rows)
        async with self._fed(other) as check:
            await self._catch_up(connection, live, other, check)
            deadline = clock() + LONGEST_LOOK_S
            while True:
                compared = await compare(connection, self.model.topic, live, other, most_rows=most_rows)
                if not compared.moving or clock() > deadline:
                    return compared
                check()
                await asyncio.sleep(LOOK_AGAIN_S)

    @contextlib.asynccontextmanager
    async def _locked(self) -> AsyncIterator[Connection]:
        # The lock is the connection's: whoever loses the one has lost the other, and can't switch any more.
        async with self.pool.acquire(timeout=5) as connection:
            deadline = asyncio.get_running_loop().time() + LONGEST_END_S
            while not await connection.fetchval(
                "SELECT pg_try_advisory_lock($1, hashtext($2))", REBUILD_LOCK, self.model.name
            ):
                if asyncio.get_running_loop().time() > deadline:
                    raise RebuildRunning(f"{self.model.name} is being rebuilt already; wait until that has ended")
                await asyncio.sleep(0.05)
            try:
                yield connection
            finally:
                with contextlib.suppress(asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
                    await connection.execute(
                        "SELECT pg_advisory_unlock($1, hashtext($2))", REBUILD_LOCK, self.model.name
                    )

    async def _run(self, connection: Connection, live: Build, new: Build, *, accept_difference: bool) -> Rebuilt:
        same_fold = live.fold_version == self.model.version
        shared = await shared_columns(connection, live, new)
        compared_by = None if same_fold else shared.both
        snapshot, found, records = await self._built(connection, live, new, compared_by)
        difference = None
        if found or shared.added or shared.removed:
            difference = Difference(
                {part.value: len(streams) for part, streams in found.items()},
                shared.added,
                shared.removed,
                tuple(await self._examples(connection, live, new, found)),
            )
            await self._note(connection, new, {"difference": asdict(difference)})
        if difference is not None and same_fold:
            raise RebuildDiffers(
                f"{self.model.name}: build {new.number} differs from the live build {live.number} although both have "
                f"fold version {self.model.version}: {difference}",
                difference,
            )
        if difference is not None and not accept_difference:
            raise RebuildDiffers(
                f"{self.model.name}: fold version {self.model.version} differs from the live {live.fold_version}; "
                f"accept the difference to switch: {difference}",
                difference,
            )
        await self._tell(connection, new, "tailing", records, records)
        await mark(connection, new, State.TAILING)
        async with self._fed(new) as check:
            await self._switch_when_level(connection, live, new, check)
        await self._tell(connection, new, "switched", records, records)
        seconds = asyncio.get_running_loop().time() - self._began
        return Rebuilt(new, records, seconds, snapshot.offsets, difference)

    async def _built(
        self, connection: Connection, live: Build, new: Build, compared_by: Iterable[str] | None
    ) -> tuple[_Snapshot, dict[Part, list[UUID]], int]:
        """Build from the log's beginning to a snapshot of the live build; where they differ, and how many records.

        What PostgreSQL has to do goes on beside the reading and folding, on connections of their own.
        """
        async with (
            self.pool.acquire(timeout=5) as of_snapshot,
            self.pool.acquire(timeout=5) as beside,
            of_snapshot.transaction(isolation="repeatable_read", readonly=True),
        ):
            snapshot = await self._snapshot(of_snapshot, live)
            async with _at_once(part_digests(of_snapshot, live, columns=compared_by)) as of_live:
                replay, records = await self._read(connection, new, snapshot)
                await self._tell(connection, new, "writing", records, records)
                async with _at_once(self._order_history(connection, new)) as ordered:
                    live_parts = await of_live
                    await ordered
            await self._write(connection, new, snapshot, replay)
            await self._tell(connection, new, "comparing", records, records)
            async with _at_once(_part_digests(beside, new, compared_by)) as of_new:
                await add_indexes(connection, self.model, new, timeout_s=LONGEST_QUERY_S)
                new_parts = await of_new
            found: dict[Part, list[UUID]] = {}
            if live_parts != new_parts:
                # Which streams differ is only asked where any does, for it takes memory for each.
                streams_of_live = await stream_digests(of_snapshot, live, columns=compared_by)
                async with beside.transaction():
                    found = differing(streams_of_live, await stream_digests(beside, new, columns=compared_by))
        for table in (ROWS, HISTORY):
            await connection.execute(f'ANALYZE "{new.schema}"."{table}"', timeout=LONGEST_QUERY_S)
        return snapshot, found, records

    async def _snapshot(self, connection: Connection, live: Build) -> _Snapshot:
        partitions = await connection.fetch(
            "SELECT * FROM consumer_partitions WHERE consumer = $1 AND topic = $2 ORDER BY partition",
            live.consumer,
            self.model.topic,
        )
        parked = await connection.fetch(
            "SELECT partition, record_offset, stream, kind FROM parked WHERE consumer = $1", live.consumer
        )
        documents = await connection.fetch(
            "SELECT document FROM events WHERE type = 'operations.RecordSkipped'", timeout=LONGEST_QUERY_S
        )
        decoded = (self.catalogue.decode(bytes(row["document"])).event for row in documents)
        skips = [
            skip
            for skip in decoded
            if isinstance(skip, RecordSkipped)
            and skip.consumer.rpartition("/")[0] == self.model.name
            and skip.topic == self.model.topic
        ]
        here = {None, *(row["topic_id"] for row in partitions)}
        return _Snapshot(
            partitions,
            frozenset((skip.partition, skip.offset) for skip in skips if skip.topic_id in here),
            frozenset(bytes.fromhex(skip.hash) for skip in skips if skip.topic_id not in here and skip.hash),
            frozenset(
                (row["partition"], row["record_offset"]) for row in parked if row["kind"] == Kind.SET_ASIDE.value
            ),
            frozenset(row["stream"] for row in parked if row["kind"] in BLOCKING and row["stream"] is not None),
        )

    async def _read(self, connection: Connection, new: Build, snapshot: _Snapshot) -> tuple[Replay[Any], int]:
        replay = Replay(
            self.model,
            self.catalogue,
            skipped=snapshot.skipped,
            skipped_elsewhere=snapshot.skipped_elsewhere,
            set_aside=snapshot.set_aside,
        )
        ends = snapshot.offsets
        total = sum(ends.values())
        read = 0
        async with _Staged(connection, self.model, new) as staged:
            async for fetched in self.log.read(self.model.topic, dict.fromkeys(ends, 0), ends):
                for first in range(0, len(fetched.records), RECORDS_AT_ONCE):
                    records = fetched.records[first : first + RECORDS_AT_ONCE]
                    await staged.add(replay.take(fetched.partition, records))
                    read += len(records)
                    if self._tells():
                        await staged.settle()
                        await self._tell(connection, new, "reading", read, total)
                    await asyncio.sleep(0)
            await staged.add(replay.finish(snapshot.blocked))
            await staged.finish()
        return replay, read

    async def _order_history(self, connection: Connection, new: Build) -> None:
        # An index on ranges of blocks is worth something only if a block's rows ended together.
        async with connection.transaction():
            await connection.execute(f"SET LOCAL work_mem = '{SORT_MEMORY}'")
            columns = columns_of(self.model) + PAST_COLUMNS
            await connection.execute(
                f'INSERT INTO "{new.schema}"."{HISTORY}" SELECT {from_texts(columns)} '  # noqa: S608
                f'FROM "{new.schema}"."{STAGED}" ORDER BY {ORDER_OF_HISTORY}',
                timeout=LONGEST_QUERY_S,
            )
            await connection.execute(f'DROP TABLE "{new.schema}"."{STAGED}"')

    async def _write(self, connection: Connection, new: Build, snapshot: _Snapshot, replay: Replay[Any]) -> None:
        record = kept_record(self.model, as_array)
        await connection.copy_records_to_table(
            ROWS,
            schema_name=new.schema,
            columns=[name for name, _ in columns_of(self.model)],
            records=_in_turns(
                record(stream, key, kept)
                for stream, _, rows in replay.streams()
                for key, kept in sorted(rows.kept.items())
            ),
            timeout=LONGEST_QUERY_S,
        )
        await connection.copy_records_to_table(
            "consumer_guards",
            columns=["consumer", "stream", "version", "hash"],
            records=_in_turns(
                (new.consumer, stream, guard.version, guard.hash) for stream, guard, _ in replay.streams()
            ),
            timeout=LONGEST_QUERY_S,
        )
        now = self.clock()
        await connection.copy_records_to_table(
            "parked",
            columns=[
                "consumer",
                "topic",
                "partition",
                "record_offset",
                "stream",
                "version",
                "kind",
                "reason",
                "record_key",
                "record_value",
                "parked_at",
            ],
            records=[
                (
                    new.consumer,
                    self.model.topic,
                    parking.arrival.partition,
                    parking.arrival.offset,
                    parking.arrival.stream,
                    parking.arrival.envelope.version if parking.arrival.envelope else None,
                    parking.kind.value,
                    # A reason may quote what a stranger sent, and PostgreSQL takes neither U+0000 nor half a pair.
                    parking.reason.encode(errors="backslashreplace").decode().replace("\x00", "\\x00")[:2000],
                    parking.arrival.key,
                    parking.arrival.value,
                    now,
                )
                for parking in replay.parked.values()
            ],
        )
        await connection.executemany(
            "INSERT INTO consumer_partitions (consumer, topic, partition, next_offset, cluster_id, topic_id) "
            "VALUES ($1, $2, $3, $4, $5, $6)",
            [
                (
                    new.consumer,
                    self.model.topic,
                    row["partition"],
                    row["next_offset"],
                    row["cluster_id"],
                    row["topic_id"],
                )
                for row in snapshot.partitions
            ],
        )

    @contextlib.asynccontextmanager
    async def _fed(self, build: Build) -> AsyncIterator[Callable[[], None]]:
        """Let a build follow its topic; what is given raises RebuildFailed once it no longer does."""
        stop = asyncio.Event()
        follower = asyncio.create_task(self.follower_of(ReadModelHandler(self.model, build)).run(stop))

        def check() -> None:
            if follower.done():
                raise RebuildFailed(f"{build.consumer} no longer follows its topic: {follower.exception()!r}")

        try:
            yield check
        finally:
            stop.set()
            with contextlib.suppress(Exception):
                await follower

    async def _catch_up(self, connection: Connection, live: Build, old: Build, check: Callable[[], None]) -> None:
        most = 0
        while behind := await self._behind(connection, live, old):
            check()
            most = max(most, behind)
            await self._tell(connection, old, "catching up", most - behind, most)
            await asyncio.sleep(0.02)

    async def _switch_when_level(
        self,
        connection: Connection,
        live: Build,
        new: Build,
        check: Callable[[], None],
        record: Callable[[Connection, Build, Build], Awaitable[None]] = _unrecorded,
    ) -> None:
        while not await self._switched(connection, live, new, record):
            check()
            await asyncio.sleep(0.02)

    async def _switched(
        self,
        connection: Connection,
        live: Build,
        new: Build,
        record: Callable[[Connection, Build, Build], Awaitable[None]],
    ) -> bool:
        if await self._behind(connection, live, new):
            return False
        clock = asyncio.get_running_loop().time
        deadline = clock() + LONGEST_HOLD_S
        try:
            async with connection.transaction():
                # With its rows locked the live build stands still, so that the new one can't be overtaken meanwhile.
                await connection.execute(f"SET LOCAL lock_timeout = '{int(LONGEST_HOLD_S * 1000)}ms'")
                await connection.execute(
                    "SELECT FROM consumer_partitions WHERE consumer = $1 ORDER BY partition FOR UPDATE", live.consumer
                )
                while await self._behind(connection, live, new):
                    if clock() > deadline:
                        raise _NotLevel
                    await asyncio.sleep(0.01)
                superseded = await switch(connection, self.model, new, self.clock())
                await record(connection, live, new)
        except (_NotLevel, asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError):
            return False
        for each in superseded:
            # A reader that still holds on to it is in the way: the next switch tries again.
            with contextlib.suppress(asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError):
                await drop_build(connection, each)
        log.info("%s: build %d is live, of fold version %d", self.model.name, new.number, new.fold_version)
        return True

    async def _behind(self, connection: Connection, live: Build, new: Build) -> int:
        """How many records of the topic the live build has read, and the new one has not."""
        behind: int = await connection.fetchval(
            "SELECT coalesce(sum(greatest(0, old.next_offset - coalesce(new.next_offset, 0))), 0)::bigint "
            "FROM consumer_partitions AS old LEFT JOIN consumer_partitions AS new "
            "ON new.consumer = $2 AND new.topic = old.topic AND new.partition = old.partition "
            "WHERE old.consumer = $1",
            live.consumer,
            new.consumer,
        )
        return behind

    async def _examples(
        self, connection: Connection, live: Build, new: Build, found: Mapping[Part, list[UUID]]
    ) -> list[str]:
        examples = []
        for part, streams in found.items():
            for stream in streams[: max(1, MOST_EXAMPLES // len(found))]:
                what = "records that name no stream" if stream == NO_STREAM else f"stream {stream}"
                if part in (Part.ROWS, Part.HISTORY):
                    table = ROWS if part is Part.ROWS else HISTORY
                    of_live, of_new = [await rows_of(connection, each, table, stream) for each in (live, new)]
                    found_there = row_differences(part, stream, (live.number, of_live), (new.number, of_new))
                    examples.append(f"{part.value} of {what}: {_explained(found_there, live)}")
                else:
                    examples.append(f"{part.value} of {what}")
        return examples

    def _tells(self) -> bool:
        return asyncio.get_running_loop().time() - self._shown >= SHOWN_EVERY_S

    async def _tell(self, connection: Connection, new: Build, stage: str, records: int, total: int) -> None:
        if stage in ("reading", "catching up") and not self._tells():
            return
        now = self._shown = asyncio.get_running_loop().time()
        seconds = max(now - self._began, 1e-6)
        rate = records / seconds
        progress = Progress(stage, records, total, round(rate, 1), round((total - records) / rate, 1) if rate else None)
        self.show(progress)
        await self._note(connection, new, asdict(progress))

    async def _note(self, connection: Connection, build: Build, progress: Mapping[str, Any]) -> None:
        await connection.execute(
            "UPDATE read_model_builds SET progress = progress || $3::jsonb WHERE name = $1 AND build = $2",
            build.name,
            build.number,
            msgspec.json.encode(progress).decode(),
        )


class _NotLevel(Exception):
    """The new build did not come level while the live one was held still."""


def _explained(differences: Sequence[RowDifference], live: Build) -> str:
    """The first row that differs, and its fields; the live build may have moved on since it was compared."""
    if not differences:
        return "no longer differs, for the live build has moved on"
    first = differences[0]
    if first.only_in is not None:
        return f"{first.key!r} is in the {'live' if first.only_in == live.number else 'new'} build only"
    fields = [f"{name}: {before!r} became {after!r}" for name, (before, after) in first.fields.items()]
    return f"{first.key!r}: {', '.join(fields)[:500]}"


class _Staged:
    """Rows that ended, written as they end beside the reading, for they would need more memory than all others."""

    def __init__(self, connection: Connection, model: ReadModel[Any], new: Build) -> None:
        self._connection = connection
        self._schema = new.schema
        self._columns = columns_of(model) + PAST_COLUMNS
        self._record = past_record(model)
        self._waiting: list[tuple[Any, ...]] = []
        self._writing: asyncio.Task[Any] | None = None

    async def __aenter__(self) -> Self:
        await self._connection.execute(
            f'CREATE UNLOGGED TABLE "{self._schema}"."{STAGED}" AS SELECT {as_texts(self._columns)} '  # noqa: S608
            f'FROM "{self._schema}"."{HISTORY}" WITH NO DATA'
        )
        return self

    async def __aexit__(self, *error: object) -> None:
        if self._writing is not None:
            self._writing.cancel()
            await asyncio.wait({self._writing})

    async def add(self, past: Iterable[Past[Any]]) -> None:
        """Write these rows down, sooner or later."""
        self._waiting.extend(map(self._record, past))
        if len(self._waiting) >= STAGED_AT_ONCE:
            await self._write()

    async def settle(self) -> None:
        """Leave the connection to others."""
        writing, self._writing = self._writing, None
        if writing is not None:
            await writing

    async def finish(self) -> None:
        """Have everything written."""
        await self._write()
        await self.settle()

    async def _write(self) -> None:
        await self.settle()
        records, self._waiting = self._waiting, []
        copied = self._connection.copy_records_to_table(
            STAGED,
            schema_name=self._schema,
            columns=[name for name, _ in self._columns],
            records=records,
            timeout=LONGEST_QUERY_S,
        )
        self._writing = asyncio.create_task(copied)


async def _part_digests(connection: Connection, build: Build, columns: Iterable[str] | None) -> dict[Part, bytes]:
    async with connection.transaction():
        return await part_digests(connection, build, columns=columns)


@contextlib.asynccontextmanager
async def _at_once(work: Coroutine[Any, Any, T]) -> AsyncIterator["asyncio.Task[T]"]:
    """Something that goes on meanwhile; nothing of it is left afterwards."""
    task = asyncio.create_task(work)
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.wait({task})


async def _in_turns(records: Iterable[tuple[Any, ...]]) -> AsyncIterator[tuple[Any, ...]]:
    """The same records, letting others of this process have their turn now and then."""
    each: Iterator[tuple[Any, ...]] = iter(records)
    for number, record in enumerate(each):
        if number % RECORDS_AT_ONCE == 0:
            await asyncio.sleep(0)
        yield record
