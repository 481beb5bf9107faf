"""Bugs to be planted: each is a mistake that somebody could make, switched on in the tests' own code alone.

A bug is other parts given to a replica's process, another definition of its service, or another text of the database's
function. The checker has to catch each.
"""

import asyncio
import contextlib
import json
import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any, Final
from uuid import UUID, uuid4, uuid5

import asyncpg
import msgspec
from tests.faults import boards, jars
from tests.faults.services import Names, jars_api

from govevents.document import DocumentRefused, Recorded, read_envelope
from govkernel.consumer import Handler, Reader, Rejected
from govkernel.kafka import EventProducer, Fetched, KafkaAddress, KafkaUnavailable, Outgoing
from govkernel.ledger import (
    Answer,
    Append,
    Appended,
    Conflict,
    Context,
    Intent,
    Ledger,
    LedgerUnavailable,
    Loaded,
    Timers,
)
from govkernel.postgres import Connection
from govkernel.processes import Reacts, ServiceDefinition, Wiring
from govkernel.relay import Checkpoint, Producer, Relay
from govkernel.relay.checkpoint import store

Intend = Callable[..., Awaitable[Intent[Any, Any, Any]]]


@dataclass(frozen=True, slots=True)
class Planted:
    """A replica that something is wrong with."""

    definition: ServiceDefinition
    wiring: Wiring
    names: Names


def _sound(planted: Planted) -> Planted:
    return planted


@dataclass(frozen=True, slots=True, kw_only=True)
class Bug:
    """What is wrong, in a sentence.

    `plant` changes a replica. `sql` are texts of the database's function and what stands there instead; `statements`
    are run in each database. `helped_by` names kinds of faults that bring it out, and are drawn more often; `seconds` is
    how long they need.
    """

    what: str
    plant: Callable[[Planted], Planted] = _sound
    sql: Mapping[str, str] = field(default_factory=dict)
    statements: tuple[str, ...] = ()
    helped_by: tuple[str, ...] = ()
    seconds: float = 15.0


def _ledger(made: type[Ledger]) -> Callable[[Planted], Planted]:
    return lambda planted: replace(planted, wiring=replace(planted.wiring, ledger=made))


def _timers(made: type[Timers]) -> Callable[[Planted], Planted]:
    return lambda planted: replace(planted, wiring=replace(planted.wiring, timers=made))


def _producer(made: "Callable[[Producer], AroundProducer]") -> Callable[[Planted], Planted]:
    def plant(planted: Planted) -> Planted:
        return replace(planted, wiring=replace(planted.wiring, producer=lambda address: made(EventProducer(address))))

    return plant


def _impatient_producer(made: "Callable[[Producer], AroundProducer]") -> Callable[[Planted], Planted]:
    def plant(planted: Planted) -> Planted:
        def producer(address: KafkaAddress) -> Producer:
            return made(EventProducer(address, delivery_timeout_s=1.0))

        return replace(planted, wiring=replace(planted.wiring, producer=producer))

    return plant


def _handler(made: Callable[[Handler], Handler]) -> Callable[[Planted], Planted]:
    return lambda planted: replace(planted, wiring=replace(planted.wiring, handler=made))


class AnswersBeforeCommit(Ledger):
    async def submit(self, item: Append, after: Loaded[Any] | None = None) -> Any:
        unwatched(super().submit(item, after))
        return Appended(item.head)


_under_way: set["asyncio.Task[Any]"] = set()


def unwatched(work: Any) -> None:
    """Do something of which nobody hears whether it was done."""

    async def quietly() -> None:
        with contextlib.suppress(Exception):
            await work

    task = asyncio.create_task(quietly())
    _under_way.add(task)
    task.add_done_callback(_under_way.discard)


class RefusesFromStaleState(Ledger):
    """Decides on a state that it loaded some time ago, and has a refusal stand wherever the stream is by now."""

    def __init__(self, *arguments: Any, **others: Any) -> None:
        super().__init__(*arguments, **others)
        self._seen: dict[UUID, tuple[datetime, Loaded[Any]]] = {}

    async def submit(self, item: Append, after: Loaded[Any] | None = None) -> Any:
        if item.refusal is not None:
            item = msgspec.structs.replace(item, expected=await self.head(item.expected.stream), relies_on=())
        return await super().submit(item, after)

    async def execute(self, context: Context, intend: Intend, *, expected_version: int | None = None) -> Answer:
        first = True

        async def from_memory(*how: Any) -> Intent[Any, Any, Any]:
            nonlocal first
            intent = await intend(*how)
            remembered = self._seen.get(intent.stream)
            if first and remembered is not None and self.clock() - remembered[0] < timedelta(seconds=5):
                first = False
                return msgspec.structs.replace(intent, loaded=remembered[1])
            first = False
            self._seen[intent.stream] = self.clock(), intent.loaded or await self.load(intent.aggregate, intent.stream)
            return intent

        return await super().execute(context, from_memory, expected_version=expected_version)


class IgnoresKeys(Ledger):
    async def execute(self, context: Context, intend: Intend, *, expected_version: int | None = None) -> Answer:
        other = msgspec.structs.replace(context, command=uuid4())
        return await super().execute(other, intend, expected_version=expected_version)


class ForgetsRefusals(Ledger):
    """A refusal leaves no row, so the same key may be answered otherwise later."""

    async def submit(self, item: Append, after: Loaded[Any] | None = None) -> Any:
        if item.refusal is None:
            return await super().submit(item, after)
        outcome = await super().submit(msgspec.structs.replace(item, command=uuid4()), after)
        return msgspec.structs.replace(outcome, head=item.head) if isinstance(outcome, Appended) else outcome


class AnswersAnew(Ledger):
    """A key that comes again is told where the stream is by now."""

    async def execute(self, context: Context, intend: Intend, *, expected_version: int | None = None) -> Answer:
        answer = await super().execute(context, intend, expected_version=expected_version)
        if not answer.repeated or answer.stream is None or answer.refusal is not None:
            return answer
        return replace(answer, to_version=(await self.head(answer.stream)).version)


class IgnoresDigests(Ledger):
    async def execute(self, context: Context, intend: Intend, *, expected_version: int | None = None) -> Answer:
        same = msgspec.structs.replace(context, digest=sha256(b"").digest())
        return await super().execute(same, intend, expected_version=expected_version)


class IgnoresIfMatch(Ledger):
    async def execute(self, context: Context, intend: Intend, *, expected_version: int | None = None) -> Answer:
        return await super().execute(context, intend)


class ReliesOnNothing(Ledger):
    async def execute(self, context: Context, intend: Intend, *, expected_version: int | None = None) -> Answer:
        async def without(*how: Any) -> Intent[Any, Any, Any]:
            return msgspec.structs.replace(await intend(*how), relies_on=())

        return await super().execute(context, without, expected_version=expected_version)


class DecidesOnce(Ledger):
    """After a lost race it appends what it decided before the race."""

    async def execute(self, context: Context, intend: Intend, *, expected_version: int | None = None) -> Answer:
        decided: list[tuple[Any, ...]] = []

        async def remembering(*how: Any) -> Intent[Any, Any, Any]:
            intent = await intend(*how)

            def decide(command: Any, state: Any) -> tuple[Any, ...]:
                if not decided:
                    decided.append(intent.aggregate.decide(command, state))
                return decided[0]

            return msgspec.structs.replace(intent, aggregate=replace(intent.aggregate, decide=decide))

        return await super().execute(context, remembering, expected_version=expected_version)


class TrustsItsClock(Ledger):
    """Each event has the clock's time, whatever the one before it says."""

    def prepare(
        self, context: Context, intent: Intent[Any, Any, Any], loaded: Loaded[Any]
    ) -> tuple[Append, Loaded[Any]]:
        return super().prepare(context, intent, msgspec.structs.replace(loaded, time=None, recorded_at=None))


class ForgetsCauses(Ledger):
    """A reaction has its own clock's time, though its cause may be of a later one."""

    def prepare(
        self, context: Context, intent: Intent[Any, Any, Any], loaded: Loaded[Any]
    ) -> tuple[Append, Loaded[Any]]:
        return super().prepare(msgspec.structs.replace(context, cause_time=None), intent, loaded)


class KeepsWhatMayNotBe(Ledger):
    """A state whose commit nobody knows the outcome of is remembered."""

    async def submit(self, item: Append, after: Loaded[Any] | None = None) -> Any:
        try:
            return await super().submit(item, after)
        except LedgerUnavailable:
            if after is not None and item.documents:
                self._states.keep(after)
            raise


class RingsTwice(Timers):
    async def fire_due(self, now: datetime | None = None, *, simulated: bool = False) -> int:
        for row in await _due(self._ledger, now):
            await _fire(self._ledger, self._aggregates[row["aggregate"]], row, command=uuid4())
        return await super().fire_due(now, simulated=simulated)


class TakesTimersFirst(Timers):
    """Takes a timer away, and fires it then."""

    async def fire_due(self, now: datetime | None = None, *, simulated: bool = False) -> int:
        due = await _due(self._ledger, now)
        await self._ledger.pool.execute("DELETE FROM timers WHERE timer = ANY($1)", [row["timer"] for row in due])
        for row in due:
            await _fire(self._ledger, self._aggregates[row["aggregate"]], row, command=row["timer"])
        return len(due)


class RingsEarly(Timers):
    async def fire_due(self, now: datetime | None = None, *, simulated: bool = False) -> int:
        for row in await _due(self._ledger, (now or self._ledger.clock()) + timedelta(seconds=2)):
            await _fire(self._ledger, self._aggregates[row["aggregate"]], row, command=row["timer"])
        return await super().fire_due(now, simulated=simulated)


async def _due(ledger: Ledger, now: datetime | None) -> Sequence[Any]:
    found: Sequence[Any] = await ledger.pool.fetch("SELECT * FROM timers WHERE due <= $1", now or ledger.clock())
    return found


async def _fire(ledger: Ledger, aggregate: Any, row: Any, *, command: UUID) -> None:
    now = ledger.clock()
    context = Context(
        command=command,
        digest=sha256(row["cause"].encode()).digest(),
        actor=f"service:{ledger.service}",
        now=now,
        time=now,
        correlation=row["correlation"],
        causation=row["cause"],
    )

    async def intend(*_how: Any) -> Intent[Any, Any, Any]:
        return Intent(aggregate, row["stream"], aggregate.on_deadline(row["name"], now))

    await ledger.execute(context, intend)


class AroundProducer:
    """A producer around another one."""

    def __init__(self, inner: Producer) -> None:
        self.inner = inner

    async def send(self, topic: str, batch: Sequence[Outgoing]) -> Mapping[int, int]:
        return await self.inner.send(topic, batch)

    async def put(self, topic: str, key: bytes, value: bytes) -> None:
        await self.inner.put(topic, key, value)

    async def abort(self) -> None:
        await self.inner.abort()


class IgnoresAcknowledgements(AroundProducer):
    async def send(self, topic: str, batch: Sequence[Outgoing]) -> Mapping[int, int]:
        unwatched(super().send(topic, batch))
        return {}


class SwallowsFailures(AroundProducer):
    """Gives Kafka a second, and takes what it has not acknowledged by then as sent."""

    async def send(self, topic: str, batch: Sequence[Outgoing]) -> Mapping[int, int]:
        try:
            return await super().send(topic, batch)
        except KafkaUnavailable:
            return {}


class DropsTheLast(AroundProducer):
    async def send(self, topic: str, batch: Sequence[Outgoing]) -> Mapping[int, int]:
        return await super().send(topic, batch[:-1] if len(batch) > 3 else batch)


class SendsBackwards(AroundProducer):
    async def send(self, topic: str, batch: Sequence[Outgoing]) -> Mapping[int, int]:
        return await super().send(topic, batch[::-1])


class EncodesAgain(AroundProducer):
    async def send(self, topic: str, batch: Sequence[Outgoing]) -> Mapping[int, int]:
        again = [each._replace(body=json.dumps(json.loads(each.body)).encode()) for each in batch]
        return await super().send(topic, again)


class KeysByEvent(AroundProducer):
    async def send(self, topic: str, batch: Sequence[Outgoing]) -> Mapping[int, int]:
        again = [each._replace(stream=uuid5(each.stream, str(len(each.body)))) for each in batch]
        return await super().send(topic, again)


class GivesUpEarly(AroundProducer):
    """Waits so short a time that what it calls failed arrives as well, behind what was sent after it."""

    def __init__(self, inner: Producer) -> None:
        super().__init__(inner)
        self._before: list[Outgoing] = []

    async def send(self, topic: str, batch: Sequence[Outgoing]) -> Mapping[int, int]:
        late, self._before = self._before, list(batch[:1])
        return await super().send(topic, [*batch[1:], *late])


class NaiveRelay(Relay):
    """Sends what lies behind the highest number that it has sent, and takes all that has ended by then as sent."""

    async def _carry(self, connection: Connection, checkpoint: Checkpoint) -> int:
        last = await connection.fetchval("SELECT last FROM naive_cursor")
        rows = await connection.fetch(
            "SELECT seq, stream, type, document FROM events WHERE seq > $1 ORDER BY seq LIMIT 1000", last
        )
        acknowledged = dict(checkpoint.acknowledged)
        if rows:
            batch = [Outgoing(row["stream"], row["type"], row["document"]) for row in rows]
            await self._send(batch, acknowledged)
            await connection.execute("UPDATE naive_cursor SET last = $1", rows[-1]["seq"])
        xmin = int(await connection.fetchval("SELECT pg_snapshot_xmin(pg_current_snapshot())::text"))
        after = replace(checkpoint, low_txid=xmin, tail={}, acknowledged=acknowledged)
        await store(connection, self._replica, after, self._lease)
        self._held = after
        return len(rows)


class Wrapped:
    """A handler around another one."""

    def __init__(self, inner: Handler) -> None:
        self.inner = inner

    @property
    def name(self) -> str:
        return self.inner.name

    @property
    def service(self) -> str:
        return self.inner.service

    @property
    def subscribes(self) -> frozenset[str]:
        return self.inner.subscribes

    async def apply(self, connection: Connection, batch: Sequence[Recorded[Any]]) -> Sequence[Rejected]:
        return await self.inner.apply(connection, batch)


class SavesOffsetsFirst(Wrapped):
    """The batch's transaction holds the offsets alone; the effect follows in one of its own."""

    async def apply(self, connection: Connection, batch: Sequence[Recorded[Any]]) -> Sequence[Rejected]:
        unwatched(self._later(batch))
        return ()

    async def _later(self, batch: Sequence[Recorded[Any]]) -> None:
        async with _own_transaction() as own:
            await self.inner.apply(own, batch)


class SavesOffsetsLater(Wrapped):
    """The effect is committed before the batch's transaction, which may still fail and come again."""

    async def apply(self, connection: Connection, batch: Sequence[Recorded[Any]]) -> Sequence[Rejected]:
        async with _own_transaction() as own:
            rejected = await self.inner.apply(own, batch)
        await asyncio.sleep(0.2)
        return rejected


@contextlib.asynccontextmanager
async def _own_transaction() -> Any:
    connection = await asyncpg.connect(os.environ["GOV_DATABASE_URL"], timeout=5)
    try:
        async with connection.transaction():
            yield connection
    finally:
        await connection.close(timeout=2)


class DropsRejected(Wrapped):
    async def apply(self, connection: Connection, batch: Sequence[Recorded[Any]]) -> Sequence[Rejected]:
        await self.inner.apply(connection, batch)
        return ()


class AppliesBackwards(Wrapped):
    async def apply(self, connection: Connection, batch: Sequence[Recorded[Any]]) -> Sequence[Rejected]:
        return await self.inner.apply(connection, batch[::-1])


class AppliesTheFirst(Wrapped):
    async def apply(self, connection: Connection, batch: Sequence[Recorded[Any]]) -> Sequence[Rejected]:
        return await self.inner.apply(connection, batch[:1])


class SkipsPoison:
    """Never shows what is no document, so that nobody has to look at it."""

    def __init__(self, inner: Reader) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def fetch(self, *, timeout_s: float, most_records: int | None) -> list[Fetched]:
        fetched = await self._inner.fetch(timeout_s=timeout_s, most_records=most_records)
        return [
            replace(each, records=[record for record in each.records if _readable(record.value)]) for each in fetched
        ]


def _readable(value: bytes | None) -> bool:
    try:
        read_envelope(value or b"")
    except DocumentRefused:
        return False
    return True


def _reader(made: Callable[[Reader], Any]) -> Callable[[Planted], Planted]:
    def plant(planted: Planted) -> Planted:
        reader = planted.wiring.reader
        return replace(planted, wiring=replace(planted.wiring, reader=lambda *where: made(reader(*where))))

    return plant


def _reactions_twice(planted: Planted) -> Planted:
    def twice(reacts: Reacts) -> Reacts:
        def react(recorded: Any, find: Any) -> Any:
            once = reacts.react(recorded, find)
            return (*once, *(replace(each, ordinal=1) for each in once))

        return replace(reacts, react=react)

    reactions = tuple(twice(each) for each in planted.definition.reactions)
    return replace(planted, definition=replace(planted.definition, reactions=reactions))


def _fold(evolve: Callable[[Mapping[str, Any], Recorded[Any]], Mapping[str, Any]]) -> Callable[[Planted], Planted]:
    def plant(planted: Planted) -> Planted:
        models = tuple(
            replace(model, evolve=evolve) if model.name == "jar_board" else model
            for model in planted.definition.read_models
        )
        return replace(planted, definition=replace(planted.definition, read_models=models))

    return plant


def _never_closed(rows: Mapping[str, Any], recorded: Recorded[Any]) -> Mapping[str, Any]:
    return rows if isinstance(recorded.event, jars.JarClosed) else boards.fold_jars(rows, recorded)


def _by_the_clock(rows: Mapping[str, Any], recorded: Recorded[Any]) -> Mapping[str, Any]:
    folded = boards.fold_jars(rows, recorded)
    return {
        key: replace(row, last=f"{row.last} at {datetime.now(UTC):%M:%S}") if row != rows.get(key) else row
        for key, row in folded.items()
    }


def _deciding(decide: Callable[[Any, Any], Any]) -> Callable[[Planted], Planted]:
    """Another decider of jars, for commands over HTTP."""

    class Decides(Ledger):
        async def execute(self, context: Context, intend: Intend, *, expected_version: int | None = None) -> Answer:
            async def otherwise(*how: Any) -> Intent[Any, Any, Any]:
                intent = await intend(*how)
                if intent.aggregate.name != "jar":
                    return intent
                return msgspec.structs.replace(intent, aggregate=replace(intent.aggregate, decide=decide))

            return await super().execute(context, otherwise, expected_version=expected_version)

    return _ledger(Decides)


def one_more(command: jars.JarCommand, jar: jars.Jar) -> tuple[jars.JarEvent, ...]:
    return jars.decide_jar(command, replace(jar, limit=jar.limit + 1) if jar.limit else jar)


def _stale_reads(planted: Planted) -> Planted:
    if planted.definition.name != planted.names.jars:
        return planted
    seen: dict[UUID, Loaded[Any]] = {}

    async def load(ledger: Ledger, stream: UUID) -> Loaded[Any]:
        if stream not in seen or seen[stream].head.version == 0:
            seen[stream] = await ledger.load(jars.JAR, stream)
        return seen[stream]

    return replace(planted, definition=replace(planted.definition, api=jars_api(planted.names.jars, load=load)))


class ConflictsAreDone(Ledger):
    """A lost race is told as won."""

    async def submit(self, item: Append, after: Loaded[Any] | None = None) -> Any:
        outcome = await super().submit(item, after)
        return Appended(item.head) if isinstance(outcome, Conflict) else outcome


HEADS_MOVED: Final = "WHERE coalesce(head.version, 0) <> expected.version OR head.hash IS DISTINCT FROM expected.hash;"
COMMANDS_WRITTEN: Final = "  GET DIAGNOSTICS inserted = ROW_COUNT;"
SECONDS_OFF: Final = "OR earliest < clock - most_difference OR latest > clock + most_difference"

BACKLOG: Final = ("hold link", "stop replica", "stop postgres")
"""What lets a consumer fall behind, so that its next batches are large."""

BUGS: Final[Mapping[str, Bug]] = {
    "no version guard": Bug(
        what="heads are not compared, and nothing keeps two events from one version",
        sql={HEADS_MOVED: "WHERE false;"},
        statements=("ALTER TABLE events DROP CONSTRAINT events_stream_version",),
    ),
    "heads by version only": Bug(
        what="heads are compared by version and not by hash, and a state is remembered that was perhaps never committed",
        plant=_ledger(KeepsWhatMayNotBe),
        sql={
            HEADS_MOVED: "WHERE coalesce(head.version, 0) <> expected.version;",
            COMMANDS_WRITTEN: COMMANDS_WRITTEN + " PERFORM pg_sleep(0.05);",
        },
        helped_by=("kill postgres",),
        seconds=40.0,
    ),
    "no locks": Bug(
        what="nothing is locked between the look at what is relied on and the writing, which takes a moment",
        sql={
            "IF cardinality(lock_numbers) > 0 THEN": "IF false THEN",
            COMMANDS_WRITTEN: COMMANDS_WRITTEN + " PERFORM pg_sleep(0.2);",
        },
    ),
    "relied on unchecked": Bug(what="what a decision relied on is not looked at again", plant=_ledger(ReliesOnNothing)),
    "command row missing": Bug(
        what="one of ten commands leaves no row",
        sql={
            "  written := true;": "  DELETE FROM commands WHERE command = ANY (command_ids) AND random() < 0.1;\n"
            "  written := true;"
        },
    ),
    "clock unchecked": Bug(
        what="a clock that is off by more than 5 s is not refused",
        sql={SECONDS_OFF: ""},
        helped_by=("clock off", "clock off by days"),
        seconds=30.0,
    ),
    "answer before commit": Bug(
        what="a command is answered while it is still being written", plant=_ledger(AnswersBeforeCommit)
    ),
    "lost race told as won": Bug(what="who has lost a race is told to have won", plant=_ledger(ConflictsAreDone)),
    "refusal from stale state": Bug(
        what="a refusal stands although the state it was decided on is gone", plant=_ledger(RefusesFromStaleState)
    ),
    "refusal forgotten": Bug(what="a refusal leaves no row", plant=_ledger(ForgetsRefusals)),
    "keys ignored": Bug(what="a key that comes again is another command", plant=_ledger(IgnoresKeys)),
    "repeated key answered anew": Bug(what="a key that comes again gets a new answer", plant=_ledger(AnswersAnew)),
    "digests ignored": Bug(
        what="another request under the same key gets the first one's answer", plant=_ledger(IgnoresDigests)
    ),
    "if-match ignored": Bug(what="a version that the caller has not seen is decided on", plant=_ledger(IgnoresIfMatch)),
    "decided once": Bug(what="after a lost race what was decided before it is appended", plant=_ledger(DecidesOnce)),
    "limit off by one": Bug(what="a jar takes one coin more than its limit", plant=_deciding(one_more)),
    "clock trusted": Bug(
        what="an event may be of an earlier time than the one before it",
        plant=_ledger(TrustsItsClock),
        helped_by=("clock off",),
        seconds=30.0,
    ),
    "cause forgotten": Bug(
        what="a reaction may be of an earlier time than its cause",
        plant=_ledger(ForgetsCauses),
        helped_by=("clock off",),
        seconds=30.0,
    ),
    "stale reads": Bug(what="a query shows what was once true", plant=_stale_reads),
    "timers fired twice": Bug(what="a timer fires twice, as two commands", plant=_timers(RingsTwice)),
    "timers taken first": Bug(
        what="a timer is taken away before it has fired",
        plant=_timers(TakesTimersFirst),
        helped_by=("kill replica", "kill postgres", "cut link"),
    ),
    "timers fired early": Bug(what="a timer fires 2 s before its time", plant=_timers(RingsEarly)),
    "naive relay cursor": Bug(
        what="the relay sends what lies behind the highest number that it has sent",
        plant=lambda planted: replace(planted, wiring=replace(planted.wiring, relay=NaiveRelay)),
        sql={"  written := true;": "  PERFORM pg_sleep(random() * 0.1);\n  written := true;"},
        statements=("CREATE TABLE naive_cursor (last bigint)", "INSERT INTO naive_cursor VALUES (0)"),
    ),
    "acknowledgement ignored": Bug(
        what="the relay goes on before anything was acknowledged",
        plant=_producer(IgnoresAcknowledgements),
        helped_by=("kill replica", "kill broker", "stop broker"),
    ),
    "failure swallowed": Bug(
        what="what could not be sent is taken as sent",
        plant=_impatient_producer(SwallowsFailures),
        helped_by=("kill broker", "stop broker", "hold link"),
    ),
    "last of a batch dropped": Bug(what="the last event of a larger batch is not sent", plant=_producer(DropsTheLast)),
    "sent backwards": Bug(what="a batch is sent in the reverse order", plant=_producer(SendsBackwards)),
    "sent late": Bug(what="the first event of a batch is sent behind the next batch", plant=_producer(GivesUpEarly)),
    "encoded again": Bug(what="documents are encoded again before they are sent", plant=_producer(EncodesAgain)),
    "keyed by event": Bug(what="the record's key is not the stream's", plant=_producer(KeysByEvent)),
    "offset before effect": Bug(
        what="offsets are saved before the effect",
        plant=_handler(SavesOffsetsFirst),
        helped_by=("kill replica", "kill postgres", "cut link"),
    ),
    "effect before offset": Bug(
        what="the effect is committed before the offsets",
        plant=_handler(SavesOffsetsLater),
        helped_by=("kill replica", "kill postgres", "cut link", "reset link"),
    ),
    "rejected dropped": Bug(what="what a handler can't apply is passed over", plant=_handler(DropsRejected)),
    "applied backwards": Bug(
        what="a batch is applied in the reverse order", plant=_handler(AppliesBackwards), helped_by=BACKLOG
    ),
    "applied in part": Bug(
        what="of a batch only the first event is applied", plant=_handler(AppliesTheFirst), helped_by=BACKLOG
    ),
    "poison skipped": Bug(
        what="what can't be read is passed over and not parked", plant=_reader(SkipsPoison), helped_by=("inject",)
    ),
    "reactions twice": Bug(what="each event causes two reactions", plant=_reactions_twice),
    "removal not folded": Bug(what="a read model keeps a row that was removed", plant=_fold(_never_closed)),
    "fold by the clock": Bug(what="a read model says when it was computed", plant=_fold(_by_the_clock)),
}


def planted(name: str | None, sound: Planted) -> Planted:
    """A replica with the bug of that name, or a sound one without."""
    return sound if name is None else BUGS[name].plant(sound)


async def plant_in_database(name: str | None, url: str) -> None:
    """Change a database as the bug of that name says. Fails where the text that it changes is not there."""
    if name is None:
        return
    bug = BUGS[name]
    connection = await asyncpg.connect(url)
    try:
        for statement in bug.statements:
            await connection.execute(statement)
        if bug.sql:
            text = await connection.fetchval("SELECT pg_get_functiondef('append_batch'::regproc)")
            for right, wrong in bug.sql.items():
                assert right in text, f"{name}: the database's function has no {right!r} any more"
                text = text.replace(right, wrong)
            await connection.execute(text)
    finally:
        await connection.close()
