"""Loading, deciding, appending: how a command becomes events, exactly once."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import reduce
from typing import Any, Final, Generic, TypeVar
from uuid import UUID

import asyncpg
import msgspec

from govevents.catalogue import Catalogue
from govevents.document import Document, Origin, Recorded, encode
from govkernel.domain import Deadline, Link, NodeId, NotKnownYet, Refusal
from govkernel.domain.aggregate import Aggregate
from govkernel.ledger.append import (
    AllowanceMoved,
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
from govkernel.ledger.group_commit import GroupCommit
from govkernel.ledger.group_load import GroupLoad, Wanted, read
from govkernel.ledger.loans import Loans
from govkernel.ledger.ports import LedgerStore, Snapshot
from govkernel.ledger.postgres import POSTGRES
from govkernel.ledger.snapshots import EVERY_EVENTS, SnapshotCodec
from govkernel.ledger.states import Loaded, States
from govkernel.postgres import UNAVAILABLE, Connection, Row

State = TypeVar("State")
Command = TypeVar("Command")
Event = TypeVar("Event")
T = TypeVar("T")

MOST_ATTEMPTS: Final = 50
LOOKUP_TIMEOUT_S: Final = 5.0
MOST_RIVALS: Final = 10
CREATED: Final = 201
DONE: Final = 200


class Context(msgspec.Struct, frozen=True):
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


class Intent(msgspec.Struct, Generic[State, Command, Event], frozen=True):
    """A command on a stream, the heads of the other streams that it relies on, and what has to be allowed for it.

    `action` at `node` is what the caller must be allowed to do; node None is allowed to the first administrator only.
    `loaded` is the stream where whoever intends has loaded it already: what it saw is then what is decided on.
    `allowed_under` is the generation of roles and nodes by which the caller was allowed from memory; the append finds
    out where it is another by now.
    """

    aggregate: Aggregate[State, Command, Event]
    stream: UUID
    command: Command
    relies_on: tuple[Head, ...] = ()
    node: NodeId | None = None
    action: str = ""
    loaded: Loaded[State] | None = None
    allowed_under: str | None = None


Intend = Callable[[bool], Awaitable[Intent[Any, Any, Any]]]
"""Makes a command's intent. True asks for what the database says now; False lets the written stream be as it is known,
and the command be allowed from memory."""


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

    `clock` gives the time in UTC. `refusal_status` is the edge's: it gives a refusal its HTTP status. `on_batch` is
    told how many commands were appended together. `store` knows the rows that the pool's connections lead to.
    """

    def __init__(
        self,
        pool: "asyncpg.Pool[Any]",
        *,
        service: str,
        catalogue: Catalogue,
        clock: Callable[[], datetime],
        refusal_status: Callable[[Refusal], int],
        on_batch: Callable[[int], None] = lambda _commands: None,
        store: LedgerStore = POSTGRES,
    ) -> None:
        self.pool = pool
        self.store = store
        self.service = service
        self.catalogue = catalogue
        self.clock = clock
        self.refusal_status = refusal_status
        self._on_batch = on_batch
        self._subscribers: list[asyncio.Event] = []
        self._states = States()
        self._codecs: dict[int, tuple[Aggregate[Any, Any, Any], SnapshotCodec[Any]]] = {}
        self._loans = Loans(pool, timeout_s=LOOKUP_TIMEOUT_S)
        self._commits = GroupCommit(self._write, self._settled)
        self._loads = GroupLoad(self._read)

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
        rows = await self._events(stream, after, until, connection)
        return self._recorded(stream, after, None, rows)

    async def load(
        self, aggregate: Aggregate[State, Command, Event], stream: UUID, *, connection: Connection | None = None
    ) -> Loaded[State]:
        """The stream as the database has it now; the initial state at version 0 where it does not exist.

        What is remembered of it, or was kept as a snapshot, is not read and folded again. Raises OfAnotherKind where
        the stream is another aggregate's, LedgerCorrupt, LedgerUnavailable.
        """
        codec = self._codec(aggregate)
        if connection is None and (known := self._states.get(aggregate, stream)) is not None:
            newest, *later = await self._loads.load(Wanted(stream, codec.fold, known.head.version)) or (None,)
            if newest is not None and newest["version"] == known.head.version and newest["hash"] == known.head.hash:
                return self._continued(known, later)
            self._states.forget(stream)
        wanted = Wanted(stream, codec.fold, 0)
        rows = (
            await self._loads.load(wanted) if connection is None else (await read(self.store, connection, [wanted]))[0]
        )
        start = Loaded(aggregate, aggregate.initial, Head(stream, 0, None), None, None)
        if rows and rows[0]["folded"]:
            snapshot, *rows = rows
            state = codec.decode(snapshot["document"])
            if state is None:
                rows = list(await self._events(stream, 0, None, connection))
            else:
                head = Head(stream, snapshot["version"], snapshot["hash"])
                start = Loaded(aggregate, state, head, snapshot["time"], snapshot["recorded_at"])
        loaded = self._continued(start, rows, remember=connection is None)
        if connection is None and len(rows) >= EVERY_EVENTS:
            await self._keep(codec, loaded)
        return loaded

    async def _read(self, wanted: Sequence[Wanted]) -> Sequence[list[Row]]:
        return await self._ask(lambda on, timeout_s: read(self.store, on, wanted, timeout_s=timeout_s))

    def _codec(self, aggregate: Aggregate[State, Any, Any]) -> SnapshotCodec[State]:
        known = self._codecs.get(id(aggregate))
        if known is None:
            # The aggregate is kept beside its codec, so that its id stays its own.
            known = self._codecs[id(aggregate)] = (aggregate, SnapshotCodec(aggregate))
        return known[1]

    async def _keep(self, codec: SnapshotCodec[State], loaded: Loaded[State]) -> None:
        """Keep a snapshot, if that can be done: nothing depends on it."""
        encoded = codec.encode(loaded.state)
        if encoded is None:
            return
        snapshot = Snapshot(codec.fold, loaded.head, encoded, loaded.time, loaded.recorded_at)
        with contextlib.suppress(LedgerUnavailable):
            await self._ask(lambda on, timeout_s: self.store.keep_snapshot(on, snapshot, timeout_s=timeout_s))

    async def load_known(self, aggregate: Aggregate[State, Command, Event], stream: UUID) -> Loaded[State]:
        """The stream as it will be once everything under way is committed; the database is asked where it is not known.

        It may be stale, and may never come to be. So it is for commands that write this very stream: their append finds
        that out. Raises as `load`.
        """
        return self._known(aggregate, stream) or await self.load(aggregate, stream)

    def _known(self, aggregate: Aggregate[State, Command, Event], stream: UUID) -> Loaded[State] | None:
        return self._commits.newest(aggregate, stream) or self._states.undoubted(aggregate, stream)

    async def _events(
        self, stream: UUID, after: int, until: int | None, connection: Connection | None
    ) -> Sequence[Row]:
        return await self._ask(
            lambda on, timeout_s: self.store.events(on, stream, after, until, timeout_s=timeout_s), connection
        )

    async def _ask(
        self, question: Callable[[Connection, float | None], Awaitable[T]], connection: Connection | None = None
    ) -> T:
        """Ask on this connection, or on one of its own and for no longer than seconds."""
        try:
            if connection is not None:
                return await question(connection, None)
            # A database that stands still is found out where nothing has been sent that might be done later.
            return await self._loans.use(lambda own: question(own, LOOKUP_TIMEOUT_S))
        except UNAVAILABLE as error:
            raise unavailable(error) from error

    def _recorded(self, stream: UUID, after: int, previous: bytes | None, rows: Sequence[Row]) -> list[Recorded[Any]]:
        """The events of rows that follow version `after`, whose hash is `previous` where that is known."""
        recorded: list[Recorded[Any]] = []
        for expected_version, row in enumerate(rows, start=after + 1):
            one: Recorded[Any] = self.catalogue.decode(bytes(row["document"]))
            if (
                one.hash != row["hash"]
                or one.envelope.stream != stream
                or not one.envelope.version == row["version"] == expected_version
                or (previous is not None and one.envelope.prevhash != previous.hex())
            ):
                raise LedgerCorrupt(f"{stream}@{row['version']} is not the document that was appended there")
            recorded.append(one)
            previous = one.hash
        return recorded

    def _continued(self, loaded: Loaded[State], rows: Sequence[Row], *, remember: bool = True) -> Loaded[State]:
        """A stream with what follows folded onto it."""
        if rows:
            aggregate, stream = loaded.aggregate, loaded.head.stream
            recorded = self._recorded(stream, loaded.head.version, loaded.head.hash, rows)
            last = recorded[-1]
            kind = last.envelope.subject.partition("/")[0]
            if kind != aggregate.name:
                raise OfAnotherKind(f"There is no {aggregate.name} {stream}: it is a {kind}.", stream=str(stream))
            loaded = Loaded(
                aggregate,
                reduce(aggregate.evolve, (one.event for one in recorded), loaded.state),
                Head(stream, last.envelope.version, last.hash),
                last.envelope.time,
                last.envelope.recordedtime,
            )
        if remember and loaded.head.version:
            self._states.keep(loaded)
        return loaded

    async def head(self, stream: UUID) -> Head:
        """The newest version of a stream, and its hash."""
        (head,) = await self._ask(lambda on, timeout_s: self.store.heads(on, [stream], timeout_s=timeout_s))
        return head

    async def find(self, kind: str, target: UUID, *, connection: Connection | None = None) -> tuple[UUID, ...]:
        """The streams whose state says that they are `kind` to `target`, in the order of their ids."""
        link = Link(kind, target)
        rows = await self._ask(lambda on, timeout_s: self.store.find(on, [link], timeout_s=timeout_s), connection)
        return tuple(row["stream"] for row in rows)

    async def answered(self, context: Context) -> Answer | None:
        """The answer that this key got before, or None. Raises KeyReused where it came with another request."""
        rows = await self._ask(lambda on, timeout_s: self.store.answered(on, [context.command], timeout_s=timeout_s))
        return _answer(answered_before(rows[0], context.digest)) if rows else None

    def prepare(
        self, context: Context, intent: Intent[State, Command, Event], loaded: Loaded[State]
    ) -> tuple[Append, Loaded[State]]:
        """Decide and encode: the append to be tried, and the stream as it will then be. Pure but for the clock.

        Raises NotKnownYet, which is no answer to be kept: the same command may be decided otherwise in a moment.
        """
        aggregate, head = intent.aggregate, loaded.head
        clock = self.clock()
        try:
            events = aggregate.decide(intent.command, loaded.state)
        except NotKnownYet:
            raise
        except Refusal as refusal:
            return self.refused(context, refusal, head, intent.relies_on, intent.allowed_under), loaded
        recorded_at = _latest(clock, loaded.recorded_at)
        time = _latest(context.time, loaded.time, context.cause_time)
        documents: list[Document] = []
        deadlines: list[tuple[str, Deadline]] = []
        state = loaded.state
        previous = head
        for event in events:
            document = encode(
                event,
                service=self.service,
                aggregate=aggregate.name,
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
            if due := aggregate.deadlines(event):
                cause = f"{document.stream}@{document.version}"
                deadlines.extend((cause, deadline) for deadline in due)
            previous = Head(intent.stream, document.version, document.hash)
            state = aggregate.evolve(state, event)
        links = aggregate.links(state)
        item = Append(
            command=context.command,
            digest=context.digest,
            status=CREATED if documents and head.version == 0 else DONE,
            refusal=None,
            expected=head,
            documents=tuple(documents),
            clock=clock,
            relies_on=intent.relies_on,
            exclusive=aggregate.relied_on and bool(documents),
            aggregate=aggregate.name,
            deadlines=tuple(deadlines),
            links=links if links != aggregate.links(loaded.state) else None,
            allowed_under=intent.allowed_under,
            correlation=context.correlation,
            origin=context.origin.value,
        )
        if not documents:
            return item, loaded
        return item, Loaded(aggregate, state, previous, time, recorded_at)

    def refused(
        self,
        context: Context,
        refusal: Refusal,
        head: Head,
        relies_on: tuple[Head, ...] = (),
        allowed_under: str | None = None,
    ) -> Append:
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
            allowed_under=allowed_under,
        )

    async def append(self, connection: Connection, batch: list[Append]) -> list[Outcome]:
        """Write a batch within the caller's transaction; see `govkernel.ledger.append`.

        Raises LedgerUnavailable also where only some of it can't be taken now: the caller's transaction holds together.
        """
        outcomes = await append(self.store, connection, batch)
        for outcome in outcomes:
            if isinstance(outcome, LedgerUnavailable):
                raise outcome
        return outcomes

    async def submit(self, item: Append, after: Loaded[Any] | None = None) -> Outcome:
        """Append together with what else waits; see `GroupCommit.submit`. The outcome is never LedgerUnavailable."""
        return await self._commits.submit(item, after)

    async def execute(
        self,
        context: Context,
        intend: Intend,
        *,
        expected_version: int | None = None,
    ) -> Answer:
        """Answer a command once, whatever races it meets.

        `intend` is asked again after each lost race, for what it read may have moved, and before anything is said that
        no append has confirmed. With `expected_version` a lost race is the caller's to know.

        Raises StaleVersion, KeyReused, LedgerUnavailable, DocumentRefused, and what `intend` raises, but for a command
        that was answered before: that gets its answer, whatever would be said today. A Refusal of `intend` is an answer
        like one of the decider. NotKnownYet is answered too, but leaves no row: what was not known may be known when
        the same key comes again.
        """
        if context.origin is Origin.IMPORTED and (earlier := await self.answered(context)) is not None:
            # Imports are run again as a matter of course. Elsewhere a repeated command is rare, and decided in vain.
            return earlier
        newest = False
        for _ in range(MOST_ATTEMPTS):
            try:
                item, after = await self._decide(context, intend, expected_version, newest=newest)
            except LedgerUnavailable:
                raise
            except Exception as error:
                if not newest:
                    # Only an append finds out whether a state was the newest; what is said without one is said again.
                    newest = True
                    continue
                if (earlier := await self.answered(context)) is not None:
                    return earlier
                if isinstance(error, NotKnownYet):
                    record = RefusalRecord.of(error)
                    return Answer(self.refusal_status(error), None, 0, 0, (), record, repeated=False)
                raise
            newest = False
            outcome = await self.submit(item, after)
            if isinstance(outcome, Appended):
                return Answer(
                    item.status,
                    item.expected.stream,
                    item.expected.version,
                    item.head.version,
                    tuple(document.type for document in item.documents),
                    item.refusal,
                    repeated=False,
                )
            if isinstance(outcome, AnsweredBefore | KeyReused):
                return _answer(outcome)
            # What allows a command is asked for anew together with the state that it is decided on.
            newest = isinstance(outcome, AllowanceMoved)
            assert newest or isinstance(outcome, Conflict), "submit raises LedgerUnavailable"
        raise LedgerUnavailable(f"lost {MOST_ATTEMPTS} races in a row", retry_after_s=1)

    async def _decide(
        self, context: Context, intend: Intend, expected_version: int | None, *, newest: bool
    ) -> tuple[Append, Loaded[Any] | None]:
        """What is to be appended, decided on what is known, or on what the database says where `newest`."""
        try:
            intent = await intend(newest)
            loaded = intent.loaded
            if loaded is None and newest:
                await self._settle(intent.stream)
                loaded = await self.load(intent.aggregate, intent.stream)
            elif loaded is None:
                # Not by `load_known`: most streams are known, and a coroutine is felt here.
                known = self._known(intent.aggregate, intent.stream)
                loaded = known or await self.load(intent.aggregate, intent.stream)
        except NotKnownYet:
            raise
        except Refusal as refusal:
            if not newest:
                raise
            # No stream was decided on: the refusal is kept under the command's own id, where nothing races with it.
            return self.refused(context, refusal, Head(context.command, 0, None)), None
        except TimeoutError as error:
            raise unavailable(error) from error
        if expected_version is not None and loaded.head.version != expected_version:
            if not newest:
                await self._settle(intent.stream)
            raise StaleVersion(intent.stream, expected_version, loaded.head.version)
        return self.prepare(context, intent, loaded)

    async def _settle(self, stream: UUID) -> None:
        try:
            async with asyncio.timeout(LOOKUP_TIMEOUT_S):
                await self._commits.settle(stream)
        except TimeoutError as error:
            raise unavailable(error) from error

    async def _write(self, batch: Sequence[Append]) -> Sequence[Outcome]:
        """Write a batch in a transaction of its own, whatever rivals of other processes do meanwhile."""
        try:
            for _ in range(MOST_RIVALS):
                with contextlib.suppress(asyncpg.UniqueViolationError, asyncpg.DeadlockDetectedError):
                    outcomes = await self._loans.use(lambda on: append(self.store, on, batch))
                    self._on_batch(len(batch))
                    self.wake()
                    return outcomes
        except UNAVAILABLE as error:
            raise unavailable(error) from error
        raise LedgerUnavailable(f"lost {MOST_RIVALS} races in a row against other processes", retry_after_s=1)

    def _settled(self, item: Append, after: Loaded[Any] | None, outcome: Outcome) -> None:
        """Remember what was committed, and nothing of what was not, or of which nobody knows."""
        match outcome:
            case Appended():
                if after is not None and item.documents:
                    self._states.keep(after)
            case AllowanceMoved():
                pass
            case Conflict(current=current):
                self._states.doubt(item.expected.stream)
                self._states.doubt(current.stream)
            case AnsweredBefore() | KeyReused() | LedgerUnavailable():
                self._states.doubt(item.expected.stream)


def _latest(moment: datetime, *others: datetime | None) -> datetime:
    for other in others:
        if other is not None and other > moment:
            moment = other
    return moment


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
