"""Loading, deciding, appending: how a command becomes events, exactly once."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Generic, TypeVar
from uuid import UUID

import asyncpg

from govevents.catalogue import Catalogue
from govevents.document import Document, Origin, Recorded, encode
from govkernel.domain import NodeId, NotKnownYet, Refusal
from govkernel.domain.aggregate import Aggregate
from govkernel.ledger.append import (
    ANSWERED,
    HEADS,
    AnsweredBefore,
    Append,
    Appended,
    Conflict,
    Head,
    Outcome,
    RefusalRecord,
    answered_before,
    append,
)
from govkernel.ledger.errors import KeyReused, LedgerCorrupt, LedgerUnavailable, OfAnotherKind, StaleVersion
from govkernel.postgres import UNAVAILABLE, Connection

State = TypeVar("State")
Command = TypeVar("Command")
Event = TypeVar("Event")

MOST_ATTEMPTS: Final = 50
LOOKUP_TIMEOUT_S: Final = 5.0
CREATED: Final = 201
DONE: Final = 200


@dataclass(frozen=True, slots=True)
class Loaded(Generic[State]):
    """A stream's state, its head, and the two times of its newest event (None where there is none)."""

    state: State
    head: Head
    time: datetime | None
    recorded_at: datetime | None


@dataclass(frozen=True, slots=True)
class Context:
    """Who, when and why: what an edge knows of a command.

    `command` is the idempotency key, scoped by its caller, or the id of a reaction or timer. `digest` tells apart two
    requests that came under one key. `time` is when the organisation knew the fact: `now`, but for an import.
    `cause_time` is the time of the event that caused the command, None for none.
    """

    command: UUID
    digest: bytes
    actor: str
    now: datetime
    time: datetime
    correlation: str
    causation: str | None = None
    origin: Origin = Origin.LIVE
    traceparent: str | None = None
    cause_time: datetime | None = None


@dataclass(frozen=True, slots=True)
class Intent(Generic[State, Command, Event]):
    """A command on a stream, the heads of the other streams that it relies on, and what has to be allowed for it.

    `action` at `node` is what the caller must be allowed to do; node None is allowed to the first administrator only.
    `loaded` is the stream where whoever intends has loaded it already: what it saw is then what is decided on.
    """

    aggregate: Aggregate[State, Command, Event]
    stream: UUID
    command: Command
    relies_on: tuple[Head, ...] = ()
    node: NodeId | None = None
    action: str = ""
    loaded: Loaded[State] | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """How a command was answered; the events appended are (from_version, to_version] of the stream, of these types.

    `answered_at` is when that was, where it was `repeated` and so before now.
    """

    status: int
    stream: UUID | None
    from_version: int
    to_version: int
    types: tuple[str, ...]
    refusal: RefusalRecord | None
    repeated: bool
    answered_at: datetime | None = field(default=None, compare=False)


class Ledger:
    """A service's events in its own database.

    `clock` gives the time in UTC. `refusal_status` is the edge's: it gives a refusal its HTTP status.
    """

    def __init__(
        self,
        pool: "asyncpg.Pool[Any]",
        *,
        service: str,
        catalogue: Catalogue,
        clock: Callable[[], datetime],
        refusal_status: Callable[[Refusal], int],
    ) -> None:
        self.pool = pool
        self.service = service
        self.catalogue = catalogue
        self.clock = clock
        self.refusal_status = refusal_status
        self._subscribers: list[asyncio.Event] = []

    def subscribe(self) -> asyncio.Event:
        """An event that is set after every append of this process; whoever waits clears it."""
        wake = asyncio.Event()
        self._subscribers.append(wake)
        return wake

    def wake(self) -> None:
        """Tell the subscribers that something was committed."""
        for subscriber in self._subscribers:
            subscriber.set()

    async def events(
        self, stream: UUID, *, after: int = 0, until: int | None = None, connection: Connection | None = None
    ) -> list[Recorded[Any]]:
        """The stream's events in (after, until], oldest first, their hashes and chain checked.

        Raises LedgerCorrupt where a document is not what its row or its predecessor says, LedgerUnavailable.
        """
        query = (
            "SELECT version, document, hash FROM events WHERE stream = $1 AND version > $2 "
            "AND ($3::int IS NULL OR version <= $3) ORDER BY version"
        )
        try:
            if connection is None:
                async with self.pool.acquire(timeout=5) as own:
                    rows = await own.fetch(query, stream, after, until)
            else:
                rows = await connection.fetch(query, stream, after, until)
        except UNAVAILABLE as error:
            raise unavailable(error) from error
        recorded: list[Recorded[Any]] = []
        for expected_version, row in enumerate(rows, start=after + 1):
            one: Recorded[Any] = self.catalogue.decode(bytes(row["document"]))
            if (
                one.hash != row["hash"]
                or one.envelope.stream != stream
                or not one.envelope.version == row["version"] == expected_version
                or (recorded and one.envelope.prevhash != recorded[-1].hash.hex())
            ):
                raise LedgerCorrupt(f"{stream}@{row['version']} is not the document that was appended there")
            recorded.append(one)
        return recorded

    async def load(
        self, aggregate: Aggregate[State, Command, Event], stream: UUID, *, connection: Connection | None = None
    ) -> Loaded[State]:
        """The stream folded from its beginning; the initial state at version 0 where it does not exist.

        Raises OfAnotherKind where the stream is another aggregate's.
        """
        recorded = await self.events(stream, connection=connection)
        if not recorded:
            return Loaded(aggregate.initial, Head(stream, 0, None), None, None)
        last = recorded[-1]
        kind = last.envelope.subject.partition("/")[0]
        if kind != aggregate.name:
            raise OfAnotherKind(f"There is no {aggregate.name} {stream}: it is a {kind}.", stream=str(stream))
        state = aggregate.fold(one.event for one in recorded)
        return Loaded(
            state, Head(stream, last.envelope.version, last.hash), last.envelope.time, last.envelope.recordedtime
        )

    async def head(self, stream: UUID) -> Head:
        """The newest version of a stream, and its hash."""
        try:
            async with self.pool.acquire(timeout=5) as connection:
                row = await connection.fetchrow(HEADS, [stream])
        except UNAVAILABLE as error:
            raise unavailable(error) from error
        assert row is not None
        return Head(stream, row["version"], row["hash"])

    async def find(self, kind: str, target: UUID, *, connection: Connection | None = None) -> tuple[UUID, ...]:
        """The streams whose state says that they are `kind` to `target`, in the order of their ids."""
        query = "SELECT stream FROM stream_links WHERE kind = $1 AND target = $2 ORDER BY stream"
        try:
            if connection is not None:
                rows = await connection.fetch(query, kind, target)
            else:
                async with self.pool.acquire(timeout=5) as own:
                    rows = await own.fetch(query, kind, target)
        except UNAVAILABLE as error:
            raise unavailable(error) from error
        return tuple(row["stream"] for row in rows)

    async def answered(self, context: Context) -> Answer | None:
        """The answer that this key got before, or None. Raises KeyReused where it came with another request."""
        try:
            async with self.pool.acquire(timeout=5) as connection:
                # A database that stands still is found out here, where nothing has been sent that might be done later.
                rows = await connection.fetch(ANSWERED, [context.command], timeout=LOOKUP_TIMEOUT_S)
        except UNAVAILABLE as error:
            raise unavailable(error) from error
        return _answer(answered_before(rows[0], context.digest)) if rows else None

    def prepare(
        self, context: Context, intent: Intent[State, Command, Event], loaded: Loaded[State]
    ) -> tuple[Append, Loaded[State]]:
        """Decide and encode: the append to be tried, and the stream as it will then be. Pure but for the clock.

        Raises NotKnownYet, which is no answer to be kept: the same command may be decided otherwise in a moment.
        """
        clock = self.clock()
        try:
            events = tuple(intent.aggregate.decide(intent.command, loaded.state))
        except NotKnownYet:
            raise
        except Refusal as refusal:
            return self.refused(context, refusal, loaded.head, intent.relies_on), loaded
        recorded_at = max(clock, loaded.recorded_at) if loaded.recorded_at else clock
        time = max(moment for moment in (context.time, loaded.time, context.cause_time) if moment is not None)
        documents: list[Document] = []
        state = loaded.state
        previous = loaded.head
        for event in events:
            document = encode(
                event,
                service=self.service,
                aggregate=intent.aggregate.name,
                stream=intent.stream,
                version=previous.version + 1,
                previous_hash=previous.hash,
                time=time,
                recorded_at=recorded_at,
                actor=context.actor,
                command=context.command,
                correlation=context.correlation,
                causation=context.causation,
                origin=context.origin,
                traceparent=context.traceparent,
            )
            documents.append(document)
            previous = Head(intent.stream, document.version, document.hash)
            state = intent.aggregate.evolve(state, event)
        links = intent.aggregate.links(state)
        item = Append(
            command=context.command,
            digest=context.digest,
            status=CREATED if documents and loaded.head.version == 0 else DONE,
            refusal=None,
            expected=loaded.head,
            documents=tuple(documents),
            clock=clock,
            relies_on=intent.relies_on,
            exclusive=intent.aggregate.relied_on and bool(documents),
            aggregate=intent.aggregate.name,
            deadlines=tuple(
                (f"{document.stream}@{document.version}", deadline)
                for document, event in zip(documents, events, strict=True)
                for deadline in intent.aggregate.deadlines(event)
            ),
            links=links if links != intent.aggregate.links(loaded.state) else None,
            correlation=context.correlation,
            origin=context.origin.value,
        )
        if not documents:
            return item, loaded
        return item, Loaded(state, previous, time, recorded_at)

    def refused(self, context: Context, refusal: Refusal, head: Head, relies_on: tuple[Head, ...] = ()) -> Append:
        """The append of a command that was refused: a command row and no event."""
        return Append(
            command=context.command,
            digest=context.digest,
            status=self.refusal_status(refusal),
            refusal=RefusalRecord.of(refusal),
            expected=head,
            documents=(),
            clock=self.clock(),
            relies_on=relies_on,
        )

    async def append(self, connection: Connection, batch: list[Append]) -> list[Outcome]:
        """Write a batch within the caller's transaction; see `govkernel.ledger.append`."""
        return await append(connection, batch)

    async def execute(
        self,
        context: Context,
        intend: Callable[[], Awaitable[Intent[Any, Any, Any]]],
        *,
        expected_version: int | None = None,
    ) -> Answer:
        """Answer a command once, whatever races it meets.

        `intend` is asked again after each lost race, for what it read may have moved. With `expected_version` a lost
        race is the caller's to know. Raises StaleVersion, KeyReused, LedgerUnavailable, DocumentRefused, and what
        `intend` raises; a Refusal of `intend` is an answer like one of the decider. NotKnownYet is answered too, but
        leaves no row: what was not known may have become known when the same key comes again.
        """
        for _ in range(MOST_ATTEMPTS):
            earlier = await self.answered(context)
            if earlier is not None:
                return earlier
            try:
                item = await self._decided(context, intend, expected_version)
            except NotKnownYet as refusal:
                return Answer(self.refusal_status(refusal), None, 0, 0, (), RefusalRecord.of(refusal), repeated=False)
            outcome = await self._append_alone(item)
            match outcome:
                case Appended(head=head):
                    self.wake()
                    return Answer(
                        item.status,
                        head.stream,
                        item.expected.version,
                        head.version,
                        tuple(document.type for document in item.documents),
                        item.refusal,
                        repeated=False,
                    )
                case AnsweredBefore() | KeyReused():
                    return _answer(outcome)
                case Conflict(current=current):
                    if expected_version is not None and current.stream == item.expected.stream:
                        raise StaleVersion(current.stream, expected_version, current.version)
        raise LedgerUnavailable(f"lost {MOST_ATTEMPTS} races in a row", retry_after_s=1)

    async def _decided(
        self, context: Context, intend: Callable[[], Awaitable[Intent[Any, Any, Any]]], expected_version: int | None
    ) -> Append:
        try:
            intent = await intend()
        except NotKnownYet:
            raise
        except Refusal as refusal:
            # No stream was decided on: the refusal is kept under the command's own id, where nothing races with it.
            return self.refused(context, refusal, await self.head(context.command))
        loaded = intent.loaded or await self.load(intent.aggregate, intent.stream)
        if expected_version is not None and loaded.head.version != expected_version:
            raise StaleVersion(intent.stream, expected_version, loaded.head.version)
        item, _after = self.prepare(context, intent, loaded)
        return item

    async def _append_alone(self, item: Append) -> Outcome:
        try:
            async with self.pool.acquire(timeout=5) as connection:
                try:
                    async with connection.transaction():
                        return (await append(connection, [item]))[0]
                except (asyncpg.UniqueViolationError, asyncpg.DeadlockDetectedError):
                    row = await connection.fetchrow(HEADS, [item.expected.stream])
                    assert row is not None
                    return Conflict(Head(item.expected.stream, row["version"], row["hash"]))
        except UNAVAILABLE as error:
            raise unavailable(error) from error


def unavailable(error: BaseException) -> LedgerUnavailable:
    """Say of the database's error what a caller needs: that it may come again."""
    return LedgerUnavailable(f"the database is away: {type(error).__name__}")


def _answer(earlier: AnsweredBefore | KeyReused) -> Answer:
    if isinstance(earlier, KeyReused):
        raise earlier
    return Answer(
        earlier.status,
        earlier.stream,
        earlier.from_version,
        earlier.to_version,
        earlier.types,
        earlier.refusal,
        repeated=True,
        answered_at=earlier.answered_at,
    )
