"""A database in memory that behaves as PostgreSQL does where the kernel relies on it.

Numbers are handed out when a row is inserted, so they become visible in another order. A statement of a READ COMMITTED
transaction sees what was committed when it began, one of a REPEATABLE READ transaction what was committed when the
transaction's first began. Who inserts a key that another open transaction has inserted waits for that one's end; who
wants a locked row does too; who would wait in a circle is told of a deadlock. A statement that has reached the server
goes on whatever becomes of its client, and a commit whose answer is lost is a commit.
"""

import asyncio
import contextlib
import contextvars
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Final, Generic, Literal, TypeVar, cast
from uuid import UUID

import asyncpg
from tests.simulation.loop import Process, process

from govkernel.postgres import Connection
from govkernel.relay import Checkpoint, DatabaseIdentity

T = TypeVar("T")

Row = Mapping[str, Any]
Key = tuple[Any, ...]
"""A table's name, and what is unique in it."""

Point = Literal["connect", "ask", "work", "commit", "answer"]
"""Where something may happen to a statement: on its way, between its steps, before its commit, on the answer's way."""

Reached = Callable[[Point], Awaitable[None]]
"""Told of each point; takes the time that it takes, and raises asyncpg.PostgresConnectionError where a link breaks."""

LARGEST_DOCUMENT: Final = 262_144
FIRST_XID: Final = 700


async def at_once(_point: Point) -> None:
    """Let everybody else go on for a moment."""
    await asyncio.sleep(0)


def utc_now() -> datetime:
    """The machine's clock."""
    return datetime.now(UTC)


class Transaction:
    """One transaction: what it has written so far, and what it holds. Rows are never changed in place."""

    def __init__(self, database: "MemoryDatabase", *, repeatable_read: bool = False) -> None:
        self.database = database
        self.began = database.clock()
        self.xid: int | None = None
        self.failed = False
        self.idle_timeout_s: float | None = None
        self.waits_for: frozenset[Transaction] = frozenset()
        self._repeatable_read = repeatable_read
        self._snapshot: tuple[int, int] | None = None
        self.written: dict[Key, Row | None] = {}
        self.events: list[Row] = []
        database.open[self] = None

    async def step(self) -> None:
        """Let others go on between two statements of a function."""
        await self.database.reached("work")

    def writes(self) -> int:
        """The transaction's id, which it has from its first write on."""
        if self.xid is None:
            self.xid = self.database.next_xid
            self.database.next_xid += 1
        return self.xid

    def get(self, key: Key) -> Row | None:
        """A row as this transaction sees it."""
        return self.written[key] if key in self.written else self.database.tables[key[0]].get(key)

    def scan(self, table: str) -> Iterator[tuple[Key, Row]]:
        """The rows of a table as this transaction sees them."""
        for key, row in list(self.database.tables[table].items()):
            if key not in self.written:
                yield key, row
        for key, own in list(self.written.items()):
            if key[0] == table and own is not None:
                yield key, own

    def put(self, key: Key, row: Row | None) -> None:
        """Write a row that is locked, or, with None, remove it."""
        self.writes()
        self.written[key] = row

    async def lock(self, *key: Any, shared: bool = False) -> None:
        """Wait for a lock until it is this transaction's. Raises asyncpg.DeadlockDetectedError."""
        await self.database.locks.take(self, key, shared=shared)
        self._check()

    def _check(self) -> None:
        if self not in self.database.open:
            # Whoever it was for is gone, but what the server was doing went on until here.
            self.database.locks.release(self)
            raise asyncpg.AdminShutdownError("terminating connection due to administrator command")

    async def insert(self, key: Key, row: Row) -> bool:
        """Insert a row; False where one is there, once whoever had inserted it has ended."""
        await self.lock(*key)
        if self.get(key) is not None:
            return False
        self.put(key, row)
        return True

    def stream(self, stream: UUID) -> list[Row]:
        """The events of a stream, oldest first."""
        own = [row for row in self.events if row["stream"] == stream]
        return [*self.database.streams.get(stream, ()), *own]

    async def insert_event(self, row: Row) -> None:
        """Insert an event under the next number. Raises what PostgreSQL raises for a place that is taken."""
        if len(row["document"]) > LARGEST_DOCUMENT:
            raise asyncpg.CheckViolationError("the document is too large")
        numbered = self._numbered(row)
        await self.lock("events", row["stream"], row["version"])
        if any(each["version"] == row["version"] for each in self.stream(row["stream"])):
            raise asyncpg.UniqueViolationError(f"{row['stream']}@{row['version']} is there already")
        self.events.append(numbered)

    def insert_event_anywhere(self, row: Row) -> None:
        """Insert an event as a table does that has lost its unique constraint."""
        self.events.append(self._numbered(row))

    def _numbered(self, row: Row) -> Row:
        seq = self.database.next_seq
        self.database.next_seq += 1
        return {**row, "seq": seq, "txid": self.writes()}

    def snapshot(self) -> tuple[int, int]:
        """How many events were committed, and the lowest id of those transactions that had not ended."""
        if self._snapshot is not None:
            return self._snapshot
        running = [each.xid for each in self.database.open if each.xid is not None and each is not self]
        taken = len(self.database.log), min(running, default=self.database.next_xid)
        if self._repeatable_read:
            self._snapshot = taken
        return taken

    def visible(self) -> list[Row]:
        """The events of the snapshot, in the order of their commits."""
        return self.database.log[: self.snapshot()[0]]

    def savepoint(self) -> tuple[dict[Key, Row | None], list[Row]]:
        """What there is to go back to."""
        return dict(self.written), list(self.events)

    def back_to(self, saved: tuple[dict[Key, Row | None], list[Row]]) -> None:
        """Undo what was written since."""
        self.written, self.events = dict(saved[0]), list(saved[1])
        self.failed = False

    async def commit(self) -> None:
        """Let everybody see what was written."""
        if self.xid is not None:
            await self.database.reached("commit")
        self._check()
        self.database.commit(self)
        self._end()

    def holds(self) -> bool:
        """Whether anybody may wait for its end."""
        return self.database.locks.held_by(self)

    def rollback(self) -> None:
        """Undo everything."""
        if self in self.database.open:
            self._end()

    def _end(self) -> None:
        self.database.open.pop(self, None)
        self.database.locks.release(self)


class Locks:
    """Who holds which lock, shared or alone, and who waits for it."""

    def __init__(self) -> None:
        self._holders: dict[Key, dict[Transaction, bool]] = {}
        self._waiting: defaultdict[Key, list[asyncio.Future[None]]] = defaultdict(list)
        self._held: defaultdict[Transaction, dict[Key, None]] = defaultdict(dict)

    def against(self, transaction: Transaction, key: Key, *, shared: bool = False) -> frozenset[Transaction]:
        """Who keeps a transaction from this lock."""
        holders = self._holders.get(key, {})
        return frozenset(
            holder for holder, alone in holders.items() if holder is not transaction and (alone or not shared)
        )

    async def take(self, transaction: Transaction, key: Key, *, shared: bool) -> None:
        while others := self.against(transaction, key, shared=shared):
            transaction.waits_for = others
            if self._circle(transaction):
                transaction.waits_for = frozenset()
                raise asyncpg.DeadlockDetectedError("deadlock detected")
            released: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting[key].append(released)
            try:
                await released
            finally:
                transaction.waits_for = frozenset()
        holders = self._holders.setdefault(key, {})
        holders[transaction] = holders.get(transaction, False) or not shared
        self._held[transaction][key] = None

    def held_by(self, transaction: Transaction) -> bool:
        """Whether a transaction holds anything."""
        return transaction in self._held

    def _circle(self, start: Transaction) -> bool:
        seen: set[Transaction] = set()
        ahead = list(start.waits_for)
        while ahead:
            each = ahead.pop()
            if each is start:
                return True
            if each not in seen:
                seen.add(each)
                ahead.extend(each.waits_for)
        return False

    def release(self, transaction: Transaction) -> None:
        """Give up everything that a transaction holds."""
        for key in self._held.pop(transaction, ()):
            del self._holders[key][transaction]
            for released in self._waiting.pop(key, ()):
                if not released.done():
                    released.set_result(None)


@dataclass(eq=False)
class MemoryDatabase:
    """The server: what is committed, and what is under way. `tables` are all but the events."""

    clock: Callable[[], datetime] = utc_now
    reached: Reached = at_once
    tables: defaultdict[str, dict[Key, Row]] = field(default_factory=lambda: defaultdict(dict))
    log: list[Row] = field(default_factory=list)
    streams: dict[UUID, list[Row]] = field(default_factory=dict)
    open: dict[Transaction, None] = field(default_factory=dict)
    connections: "dict[MemoryConnection, None]" = field(default_factory=dict)
    access_generation: str = ""
    next_xid: int = FIRST_XID
    next_seq: int = 1
    next_id: int = 1

    def __post_init__(self) -> None:
        self.locks = Locks()
        self.started_at = self.clock()
        self.context = contextvars.Context()
        self.tables["relay_checkpoint"]["relay_checkpoint",] = {
            "holder": None,
            "lease_until": None,
            "checkpoint": Checkpoint(0, 3, {}, {}, None, None, None),
            "verified_at": None,
            "brought_back": None,
            "alarm": None,
            "trouble": None,
        }

    def identity(self) -> DatabaseIdentity:
        """Which database this is."""
        return DatabaseIdentity("memory", self.started_at, "events")

    @property
    def checkpoint(self) -> Checkpoint:
        """The relay's checkpoint as it is committed."""
        found: Checkpoint = self.tables["relay_checkpoint"]["relay_checkpoint",]["checkpoint"]
        return found

    def commit(self, transaction: Transaction) -> None:
        """Make a transaction's rows everybody's."""
        for key, row in transaction.written.items():
            if row is None:
                self.tables[key[0]].pop(key, None)
            else:
                self.tables[key[0]][key] = row
        for event in transaction.events:
            self.log.append(event)
            self.streams.setdefault(event["stream"], []).append(event)

    def table(self, name: str) -> list[Row]:
        """The committed rows of a table."""
        return list(self.log) if name == "events" else list(self.tables[name].values())

    def verify(self, *, verified: bool = True) -> None:
        """Let it be as if the relay had verified this database, or had not."""
        database = self.identity() if verified else None
        self.change("relay_checkpoint", checkpoint=replace(self.checkpoint, database=database))

    def replace_events(self, events: Iterable[Row]) -> None:
        """Have other events than those that were committed."""
        self.log, self.streams = [], {}
        for event in events:
            self.log.append(event)
            self.streams.setdefault(event["stream"], []).append(event)

    def change(self, table: str, **columns: Any) -> None:
        """Change all rows of a table, past every lock."""
        for key, row in self.tables[table].items():
            self.tables[table][key] = {**row, **columns}

    def drop_connections(self) -> None:
        """Lose every connection and all that was not committed."""
        for connection in list(self.connections):
            connection.lose(stopping=True)

    def drop_connections_of(self, owner: Process) -> None:
        """Notice that a process is gone: what it has asked for is done to its end, what it has begun is undone."""
        for connection in list(self.connections):
            if connection.owner is owner:
                connection.lose()

    def restart(self) -> None:
        """Lose every connection and all that was not committed, and come back as a server that started now."""
        self.drop_connections()
        for transaction in list(self.open):
            transaction.rollback()
        self.started_at = self.clock()

    def later(self, delay_s: float, callback: Callable[..., object], *arguments: Any) -> None:
        """Have something happen after a while that belongs to no client."""
        asyncio.get_running_loop().call_later(delay_s, callback, *arguments, context=self.context.copy())

    def pool(self, *, largest: int = 10) -> "MemoryPool":
        """What lends connections to one process."""
        return MemoryPool(self, largest)


class MemoryPool:
    """Lends connections, so many at once."""

    def __init__(self, database: MemoryDatabase, largest: int) -> None:
        self.database = database
        self._free = asyncio.Semaphore(largest)

    @contextlib.asynccontextmanager
    async def acquire(self, *, timeout: float | None = None) -> "AsyncIterator[MemoryConnection]":
        async with asyncio.timeout(timeout):
            await self._free.acquire()
        connection = None
        try:
            async with asyncio.timeout(timeout):
                await self.database.reached("connect")
            connection = MemoryConnection(self.database)
            yield connection
        finally:
            if connection is not None:
                connection.lose()
            self._free.release()

    def lent(self) -> "asyncpg.Pool[Any]":
        """The pool as the kernel's own parts name it: of a pool and its connections they use what is here."""
        return cast("asyncpg.Pool[Any]", self)

    async def close(self) -> None:
        """Nothing is kept open between two loans."""


class _Said(Generic[T]):
    """What the server answers: a result or an error; it has neither where the connection was lost."""

    __slots__ = ("error", "result")
    result: T

    def __init__(self) -> None:
        self.error: Exception | None = None


class MemoryConnection:
    """A client's connection to the server."""

    def __init__(self, database: MemoryDatabase) -> None:
        self.database = database
        self._transaction: Transaction | None = None
        self._serving: asyncio.Task[Any] | None = None
        self._idle: asyncio.TimerHandle | None = None
        self._lost = False
        self.owner = process()
        database.connections[self] = None

    def is_closed(self) -> bool:
        """Whether the client knows that the connection has ended."""
        return self._lost

    async def ask(self, work: Callable[[Transaction], Awaitable[T]], *, timeout_s: float | None = None) -> T:
        """Have the server do something, in the transaction that is open or in one of its own."""
        self._check()
        if self._idle is not None:
            self._idle.cancel()
            self._idle = None
        try:
            if timeout_s is None:
                said = await self._said(work)
            else:
                async with asyncio.timeout(timeout_s):
                    said = await self._said(work)
        except BaseException:
            # What the server makes of it goes on without this client.
            self.lose(stopping=True)
            raise
        self._note_idle()
        if said.error is not None:
            raise said.error
        return said.result

    async def _said(self, work: Callable[[Transaction], Awaitable[T]]) -> "_Said[T]":
        await self.database.reached("ask")
        self._check()
        answer: asyncio.Future[_Said[T]] = asyncio.get_running_loop().create_future()
        self._serving = asyncio.get_running_loop().create_task(
            self._serve(work, answer), context=self.database.context.copy()
        )
        said = await answer
        await self.database.reached("answer")
        self._check()
        return said

    def _check(self) -> None:
        if self._lost:
            raise asyncpg.ConnectionDoesNotExistError("connection was closed in the middle of operation")

    async def _serve(self, work: Callable[[Transaction], Awaitable[T]], answer: "asyncio.Future[_Said[T]]") -> None:
        said: _Said[T] = _Said()
        try:
            said.result = await self._do(work)
        except Exception as error:
            said.error = error
        finally:
            if not answer.done():
                answer.set_result(said)

    async def _do(self, work: Callable[[Transaction], Awaitable[T]]) -> T:
        alone = self._transaction is None
        transaction = self._transaction or Transaction(self.database)
        if transaction.failed:
            raise asyncpg.InFailedSQLTransactionError("current transaction is aborted")
        try:
            result = await work(transaction)
            if alone:
                await transaction.commit()
        except BaseException:
            transaction.failed = True
            if alone:
                transaction.rollback()
            raise
        return result

    def _note_idle(self) -> None:
        if not self._lost and self._transaction is not None and self._transaction.idle_timeout_s is not None:
            self._idle = asyncio.get_running_loop().call_later(
                self._transaction.idle_timeout_s, self.lose, context=self.database.context
            )

    @contextlib.asynccontextmanager
    async def transaction(self, *, isolation: str = "read_committed", readonly: bool = False) -> AsyncIterator[None]:
        """A transaction, or within one a savepoint."""
        outer = self._transaction
        self._check()
        # Neither a beginning nor the end of what has written and locked nothing is worth a statement of its own here.
        if outer is None:
            own = self._transaction = Transaction(self.database, repeatable_read=isolation == "repeatable_read")
            saved = None
        else:
            own, saved = outer, outer.savepoint()
        try:
            yield
        except BaseException:
            with contextlib.suppress(asyncpg.PostgresConnectionError, TimeoutError):
                await self._undo(own, saved)
            raise
        if saved is not None:
            return
        if own.xid is not None or own.holds():
            await self.ask(_commit)
        else:
            own.rollback()
        self._transaction = None

    async def _undo(self, own: Transaction, saved: Any) -> None:
        own.failed = False
        if saved is not None:
            await self.ask(_nothing)
            own.back_to(saved)
            return
        await self.ask(_rollback)
        self._transaction = None

    def lose(self, *, stopping: bool = False) -> None:
        """End the connection: what was not committed is undone once the statement that runs has ended.

        `stopping` ends that too, unless it is past the point at which it can be.
        """
        if self._lost:
            return
        self._lost = True
        self.database.connections.pop(self, None)
        transaction, self._transaction = self._transaction, None
        serving = self._serving
        if self._idle is not None:
            self._idle.cancel()
        if serving is not None and not serving.done():
            if stopping:
                serving.cancel()
            if transaction is not None:
                serving.add_done_callback(lambda _done: transaction.rollback(), context=self.database.context)
        elif transaction is not None:
            transaction.rollback()


async def _nothing(_transaction: Transaction) -> None:
    return


async def _commit(transaction: Transaction) -> None:
    if transaction.failed:
        transaction.rollback()
        return
    await transaction.commit()


async def _rollback(transaction: Transaction) -> None:
    transaction.rollback()


def memory(connection: Connection) -> MemoryConnection:
    """The connection that a store in memory was given: the kernel hands it through without looking at it."""
    lent: Any = connection
    assert isinstance(lent, MemoryConnection)
    return lent
