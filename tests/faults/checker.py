"""Judges a run: what clients were told, what the ledgers and topics hold, and what consumers made of it. Pure.

Each rule is a function from the case to what contradicts it. A finding names the rule and says what was found.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any, Final
from uuid import UUID, uuid5

from tests.faults import jars, tallies
from tests.faults.consumed import Outcome, Record, consume
from tests.faults.evidence import BoardRows, CommandRow, EventRow, Evidence, replayed
from tests.faults.history import Answered, Asked, Began, Entry, Injected, Operation, operations
from tests.faults.services import CATALOGUE, purse_of
from tests.faults.worker import Kind

from govevents.document import DocumentRefused, Recorded, hash_of
from govevents.event import event_type
from govkernel.domain import Aggregate, Refusal
from govkernel.kafka.address import partition_of
from govkernel.ledger.append import timer_id
from govkernel.reactions import command_of

CLOCK_TOLERANCE: Final = timedelta(seconds=5)
PARTITIONS: Final = 12
DONE: Final = (200, 201)
PROBLEM: Final = "urn:gatehouse:problem:"


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that must not be: the rule's name, and what was found."""

    rule: str
    text: str


@dataclass(frozen=True, slots=True)
class Step:
    """What one command appended to a stream: its events, in order; `before` is the version that it was decided on."""

    command: UUID
    before: int
    events: tuple[Recorded[Any], ...]
    rows: tuple[EventRow, ...]

    @property
    def after(self) -> int:
        """The stream's version afterwards."""
        return self.before + len(self.events)


@dataclass
class Window:
    """What is known of when each version of a stream came to be.

    `earliest[v]` is a time before which version v can't have been there; `told` are times at which somebody was told
    that a version was there.
    """

    earliest: list[float] = field(default_factory=lambda: [float("-inf")])
    told: list[tuple[float, int]] = field(default_factory=list)

    def lowest(self, at: float) -> int:
        """The newest version that was certainly there at this time."""
        return max((version for when, version in self.told if when < at), default=0)

    def highest(self, at: float) -> int:
        """The newest version that can have been there at this time."""
        return max(version for version, when in enumerate(self.earliest) if when <= at)


@dataclass
class Case:
    """A run as the rules look at it. `subject` is the account that has asked."""

    entries: Sequence[Entry]
    evidence: Evidence
    subject: UUID

    @cached_property
    def operations(self) -> dict[int, Operation]:
        return operations(self.entries)

    @cached_property
    def by_command(self) -> dict[UUID, Operation]:
        """The operations that commands came from, by the commands' ids; one that reused a key is not its owner."""
        return {
            self.command_of(each): each
            for each in self.operations.values()
            if each.asked.key is not None and each.asked.reuses is None
        }

    @cached_property
    def wall_offset_s(self) -> float:
        """What to add to the history's times to get seconds since 1970."""
        began = next(entry for entry in self.entries if isinstance(entry, Began))
        return began.wall - began.at

    @cached_property
    def commands(self) -> dict[Kind, dict[UUID, CommandRow]]:
        return {kind: {row.command: row for row in rows.commands} for kind, rows in self.evidence.ledgers.items()}

    @cached_property
    def decoded(self) -> dict[Kind, list[tuple[EventRow, Recorded[Any]]]]:
        """Every event of a ledger that can be read; a rule of its own says which can't."""
        found: dict[Kind, list[tuple[EventRow, Recorded[Any]]]] = {}
        for kind, rows in self.evidence.ledgers.items():
            found[kind] = []
            for row in rows.events:
                try:
                    found[kind].append((row, CATALOGUE.decode(row.document)))
                except DocumentRefused:
                    continue
        return found

    @cached_property
    def steps(self) -> dict[Kind, dict[UUID, list[Step]]]:
        """Each stream as the commands that made it, in its order."""
        found: dict[Kind, dict[UUID, list[Step]]] = {}
        for kind, decoded in self.decoded.items():
            streams: dict[UUID, list[Step]] = defaultdict(list)
            for row, recorded in sorted(decoded, key=lambda each: (each[0].stream, each[0].version)):
                steps = streams[row.stream]
                command = recorded.envelope.command
                if steps and steps[-1].command == command:
                    last = steps.pop()
                    steps.append(Step(command, last.before, (*last.events, recorded), (*last.rows, row)))
                else:
                    steps.append(Step(command, row.version - 1, (recorded,), (row,)))
            found[kind] = dict(streams)
        return found

    @cached_property
    def windows(self) -> dict[UUID, Window]:
        """When the versions of each stream of jars came to be, as far as answers tell."""
        windows: dict[UUID, Window] = defaultdict(Window)
        for stream, steps in self.steps["jars"].items():
            window = windows[stream]
            for step in steps:
                asked = self.by_command.get(step.command)
                earliest = asked.began if asked is not None else window.earliest[-1]
                for _ in step.events:
                    window.earliest.append(max(window.earliest[-1], earliest))
        for operation in self.operations.values():
            for answer in operation.definite:
                spoken_of, version = told(operation, answer)
                if spoken_of is not None and version:
                    windows[spoken_of].told.append((answer.at, version))
        return windows

    @cached_property
    def outcomes(self) -> dict[Kind, dict[str, Outcome]]:
        """What each consumer must have made of its topic."""
        found: dict[Kind, dict[str, Outcome]] = {}
        for kind, definition in self.evidence.definitions().items():
            found[kind] = {}
            for reacts in definition.reactions:
                found[kind][reacts.name(definition.name)] = self._outcome(
                    reacts.service, frozenset(event_type(each).full_name for each in reacts.events)
                )
            for model in definition.read_models:
                found[kind][model.name] = self._outcome(model.service, model.subscribes)
        return found

    def _outcome(self, service: str, subscribes: frozenset[str]) -> Outcome:
        return consume(
            self.evidence.topics[service],
            service=service,
            subscribes=subscribes,
            catalogue=CATALOGUE,
            takes=lambda recorded: getattr(recorded.event, "worth", 0) >= 0,
        )

    def command_of(self, operation: Operation) -> UUID:
        """The id of the command that a request's key makes."""
        return uuid5(self.subject, f"{self.evidence.names.jars}/{operation.asked.key}")

    def state(self, aggregate: Aggregate[Any, Any, Any], stream: UUID, version: int) -> Any:
        """A stream of jars as of a version."""
        events = [recorded.event for step in self.steps["jars"].get(stream, []) for recorded in step.events]
        return aggregate.fold(events[:version])

    def time_of(self, at: float) -> datetime:
        """A time of the history by the wall clock."""
        return datetime.fromtimestamp(at + self.wall_offset_s, UTC)


def told(operation: Operation, answer: Answered) -> tuple[UUID | None, int]:
    """Which stream an answer speaks of, and at which version it says that it is."""
    if answer.status in DONE:
        if operation.asked.key is None:
            return operation.asked.stream, answer.version or 0
        return UUID(answer.body["stream"]), answer.body["version"]
    if answer.status == 412:
        return operation.asked.stream, int(answer.body["facts"]["current_version"])
    return None, 0


def slug_of(answer: Answered) -> str:
    """The name of the problem that an answer is."""
    return str(answer.body.get("type", "")).removeprefix(PROBLEM) if isinstance(answer.body, dict) else ""


Rule = Callable[[Case], Iterator[str]]


def streams_are_chained(case: Case) -> Iterator[str]:
    """Versions count from one without a hole, each document says what its row says, and chains to the one before."""
    for rows in case.evidence.ledgers.values():
        heads: dict[UUID, EventRow] = {}
        for row in sorted(rows.events, key=lambda each: (each.stream, each.version)):
            before = heads.get(row.stream)
            heads[row.stream] = row
            place = f"{rows.service}: {row.stream}@{row.version}"
            expected = before.version + 1 if before else 1
            if row.version != expected:
                yield f"{place} follows version {expected - 1}"
            try:
                recorded = CATALOGUE.decode(row.document)
            except DocumentRefused as refused:
                yield f"{place} can't be read: {refused}"
                continue
            envelope = recorded.envelope
            if row.hash != hash_of(row.document):
                yield f"{place} has not the hash of its document"
            said = (envelope.stream, envelope.version, envelope.type, envelope.time, envelope.recordedtime)
            if said != (row.stream, row.version, row.type, row.time, row.recorded_at):
                yield f"{place} is a document of {envelope.id}, {envelope.type}, {envelope.recordedtime}"
            if envelope.prevhash != (before.hash.hex() if before else None):
                yield f"{place} does not chain to the version before"
            if before and (row.time < before.time or row.recorded_at < before.recorded_at):
                yield f"{place} is earlier than the version before"


def every_command_is_once_in_the_ledger(case: Case) -> Iterator[str]:
    """What a command appended lies together in one stream, and its row says so."""
    for kind, streams in case.steps.items():
        places: dict[UUID, list[tuple[UUID, Step]]] = defaultdict(list)
        for stream, steps in streams.items():
            for step in steps:
                places[step.command].append((stream, step))
        for command, found in places.items():
            if len(found) > 1:
                yield f"{kind}: command {command} appended {len(found)} times: " + ", ".join(
                    f"{stream}@{step.before + 1}" for stream, step in found
                )
            stream, step = found[0]
            row = case.commands[kind].get(command)
            if row is None:
                yield f"{kind}: {stream}@{step.before + 1} is of command {command}, which has no row"
            elif (row.stream, row.from_version, row.to_version) != (stream, step.before, step.after):
                yield (
                    f"{kind}: command {command} appended ({step.before}, {step.after}] of {stream}, "
                    f"its row says ({row.from_version}, {row.to_version}] of {row.stream}"
                )
        appended = places.keys()
        for row in case.commands[kind].values():
            if row.command not in appended and row.from_version != row.to_version:
                yield f"{kind}: command {row.command} says ({row.from_version}, {row.to_version}], and nothing is there"


def what_was_acknowledged_is_in_the_ledger(case: Case) -> Iterator[str]:
    """Every answer to a command is what its row and its events say; one that had no answer may be there or not."""
    for command, operation in case.by_command.items():
        row = case.commands["jars"].get(command)
        for answer in operation.definite:
            what = f"operation {operation.asked.operation} ({operation.asked.what}) was answered {answer.status}"
            if answer.status in (404, 412):
                continue
            if row is None:
                yield f"{what}, and command {command} has no row"
            elif answer.status in DONE:
                yield from _not_as_told(case, operation, answer, row, what)
            elif row.status != answer.status or row.refusal != slug_of(answer):
                yield f"{what} {slug_of(answer)}, its row says {row.status} {row.refusal}"


def _not_as_told(case: Case, operation: Operation, answer: Answered, row: CommandRow, what: str) -> Iterator[str]:
    stream, version = told(operation, answer)
    added = [(each["id"], each["type"]) for each in answer.body["events"]]
    step = next((each for each in case.steps["jars"].get(stream, []) if each.command == row.command), None)  # type: ignore[arg-type]
    stored = [(each.id, each.envelope.type) for each in step.events] if step else []
    if added != stored:
        yield f"{what} with {added}, the ledger has {stored}"
    if (row.stream, row.to_version, row.status) != (stream, version, answer.status):
        yield f"{what} {stream}@{version}, its row says {row.status} {row.stream}@{row.to_version}"
    if operation.asked.if_match is not None and row.from_version != operation.asked.if_match:
        yield f"{what} on @{row.from_version}, though it asked for If-Match {operation.asked.if_match}"
    if version and answer.version != version:
        yield f"{what} {stream}@{version} under ETag {answer.version}"


def one_key_has_one_answer(case: Case) -> Iterator[str]:
    """However often and wherever a key comes: the same answer; and no other request gets anything under it."""
    for operation in case.operations.values():
        asked = operation.asked
        if asked.key is None:
            continue
        if asked.reuses is not None:
            for answer in operation.definite:
                if (answer.status, slug_of(answer)) != (422, "idempotency-key-reused"):
                    yield f"operation {asked.operation} used the key of {asked.reuses}, and was answered {answer.status}"
            continue
        kept = {_essence(answer) for answer in operation.definite if answer.status not in (404, 412)}
        if len(kept) > 1:
            yield f"operation {asked.operation} ({asked.what}) was answered differently: {sorted(map(str, kept))}"
        stale = [answer for answer in operation.definite if answer.status == 412]
        if stale and any(answer.status in DONE for answer in operation.definite):
            yield f"operation {asked.operation} ({asked.what}) was done, and told to be stale as well"
        done = next((answer for answer in operation.definite if answer.status not in (404, 412)), None)
        for answer in operation.definite:
            if done and answer.status in (404, 412) and operation.invoked[answer.attempt].at > done.at:
                yield f"operation {asked.operation} ({asked.what}) was answered {done.status}, later {answer.status}"


def _essence(answer: Answered) -> tuple[Any, ...]:
    if answer.status in DONE:
        events = tuple(each["id"] for each in answer.body["events"])
        return answer.status, answer.body["stream"], answer.body["version"], events
    return answer.status, slug_of(answer)


def answers_respect_real_time(case: Case) -> Iterator[str]:
    """Whoever asks after an answer was given is answered on a state at least as new, and on none from the future."""
    for command, operation in case.by_command.items():
        row = case.commands["jars"].get(command)
        if row is None or row.stream is None or not operation.invoked:
            continue
        window = case.windows[row.stream]
        assert row.from_version is not None
        assert row.to_version is not None
        if row.from_version < (lowest := window.lowest(operation.began)):
            yield (
                f"operation {operation.asked.operation} ({operation.asked.what}) was decided on "
                f"{row.stream}@{row.from_version}, when @{lowest} had been told before it was asked"
            )
        for answer in operation.definite[:1]:
            if row.to_version > (highest := window.highest(answer.at)):
                yield (
                    f"operation {operation.asked.operation} was answered {row.stream}@{row.to_version}, when nobody "
                    f"had asked for what came after @{highest}"
                )


def reads_hold(case: Case) -> Iterator[str]:
    """A query shows a version that was there between question and answer, as the events up to it make it."""
    for operation in case.operations.values():
        if operation.asked.what != "get_jar" or operation.asked.stream is None:
            continue
        for answer in operation.definite:
            window = case.windows[operation.asked.stream]
            lowest, highest = window.lowest(operation.invoked[answer.attempt].at), window.highest(answer.at)
            version = 0 if answer.status == 404 else answer.version or 0
            where = f"operation {operation.asked.operation} was shown {operation.asked.stream}@{version}"
            if answer.status not in (200, 404) or not lowest <= version <= highest:
                yield f"{where} ({answer.status}), when it was at {lowest} to {highest}"
                continue
            if answer.status == 200:
                jar: jars.Jar = case.state(jars.JAR, operation.asked.stream, version)
                shown = {
                    "coins": list(jar.coins),
                    "total": jar.total,
                    "closed": jar.closed,
                    "rung": jar.rung,
                    "rewards": jar.rewards,
                }
                if answer.body != shown:
                    yield f"{where} as {answer.body}, which was {shown}"


def refusals_hold(case: Case) -> Iterator[str]:
    """What was refused could not have been done on the state that it was refused on."""
    for command, operation in case.by_command.items():
        row = case.commands["jars"].get(command)
        for answer in operation.definite[:1]:
            asked = operation.asked
            what = f"operation {asked.operation} ({asked.what})"
            if answer.status == 409 and row is not None and row.stream is not None:
                reasons = _decisions(case, operation, answer, row.stream, row.from_version or 0)
                if slug_of(answer) not in reasons:
                    yield f"{what} was refused {slug_of(answer)} on {row.stream}@{row.from_version}: {sorted(reasons)}"
            elif answer.status == 412 and asked.stream is not None:
                window = case.windows[asked.stream]
                _, current = told(operation, answer)
                lowest, highest = window.lowest(operation.began), window.highest(answer.at)
                if current == asked.if_match or not lowest <= current <= highest:
                    yield f"{what}, If-Match {asked.if_match}, was told @{current}, when it was at {lowest} to {highest}"
            elif answer.status == 404 and asked.stream is not None:
                if case.windows[asked.stream].lowest(operation.began):
                    yield f"{what} was told that {asked.stream} is not there, though it had been told to be"
            elif answer.status not in (*DONE, 404, 409, 412):
                yield f"{what} was answered {answer.status} {slug_of(answer)}"


def what_adds_nothing_had_been_done(case: Case) -> Iterator[str]:
    """An acknowledged command that appended nothing had nothing to append on the version that it was decided on."""
    for command, operation in case.by_command.items():
        row = case.commands["jars"].get(command)
        if row is None or row.stream is None or row.from_version is None or row.from_version != row.to_version:
            continue
        for answer in operation.definite[:1]:
            if answer.status in DONE:
                ways = _decisions(case, operation, answer, row.stream, row.from_version)
                if "nothing to do" not in ways:
                    asked = operation.asked
                    yield (
                        f"operation {asked.operation} ({asked.what}) had nothing to add to {row.stream}"
                        f"@{row.from_version}, where it would have been: {', '.join(sorted(ways))}"
                    )


def _decisions(case: Case, operation: Operation, answer: Answered, stream: UUID, version: int) -> set[str]:
    """How the request can have been decided on this version of its stream: done, nothing to do, or a refusal's name."""
    asked = operation.asked
    if asked.what in ("change_policy", "close_policy", "open_policy"):
        return {_decided(jars.POLICY, _policy_command(asked), case.state(jars.POLICY, stream, version))}
    state: jars.Jar = case.state(jars.JAR, stream, version)
    if asked.what == "close_jar":
        return {_decided(jars.JAR, jars.CloseJar(asked.fields["reason"]), state)}
    if asked.what == "open_jar":
        return {"nothing to do" if state.limit else "done"}
    if state.policy is None:
        return {"jar-unknown"}
    window = case.windows[state.policy]
    possible = range(window.lowest(operation.began), window.highest(answer.at) + 1)
    return {_decided(jars.JAR, _coin(case, asked, state.policy, each), state) for each in possible}


def _policy_command(asked: Asked) -> jars.PolicyCommand:
    if asked.what == "close_policy":
        return jars.ClosePolicy(asked.fields["reason"])
    largest = asked.fields["largest"]
    return jars.OpenPolicy(largest) if asked.what == "open_policy" else jars.ChangePolicy(largest)


def _coin(case: Case, asked: Asked, policy: UUID, version: int) -> jars.AddCoin:
    allowed = case.state(jars.POLICY, policy, version)
    return jars.AddCoin(asked.fields["by"], asked.fields["amount"], policy, version, allowed)


def _decided(aggregate: Aggregate[Any, Any, Any], command: Any, state: Any) -> str:
    try:
        return "done" if aggregate.decide(command, state) else "nothing to do"
    except Refusal as refusal:
        return refusal.slug()


def the_model_explains_every_event(case: Case) -> Iterator[str]:
    """Replayed through the pure model, each command gives the very events that were appended, and somebody asked."""
    for kind, definition in case.evidence.definitions().items():
        aggregates = {aggregate.name: aggregate for aggregate in definition.aggregates}
        for stream, steps in case.steps[kind].items():
            aggregate = aggregates[steps[0].events[0].envelope.subject.partition("/")[0]]
            state: Any = aggregate.initial
            for step in steps:
                command = _jars_command(case, step) if kind == "jars" else _tallies_command(step)
                yield from _unexplained(kind, stream, step, aggregate, state, command)
                for recorded in step.events:
                    state = aggregate.evolve(state, recorded.event)


def _unexplained(
    kind: Kind, stream: UUID, step: Step, aggregate: Aggregate[Any, Any, Any], state: Any, command: Any
) -> Iterator[str]:
    place = f"{kind}: {stream}@{step.before + 1}"
    happened = tuple(recorded.event for recorded in step.events)
    if command is None:
        yield f"{place}: nobody asked for {happened}"
        return
    try:
        wanted = tuple(aggregate.decide(command, state))
    except Refusal as refusal:
        yield f"{place}: {command} would have been refused {refusal.slug()}, and made {happened}"
        return
    if wanted != happened:
        yield f"{place}: {command} makes {wanted}, not {happened}"


def _jars_command(case: Case, step: Step) -> Any:
    """The command that a step came from, or None where there was none."""
    first = step.events[0]
    cause = first.envelope.causationid
    operation = case.by_command.get(step.command)
    if operation is not None:
        asked, event = operation.asked, first.event
        if asked.what == "open_jar" and isinstance(event, jars.JarOpened):
            rings_at = first.envelope.time + timedelta(milliseconds=asked.fields["rings_in_ms"])
            return jars.OpenJar(asked.fields["limit"], UUID(asked.fields["policy"]), rings_at)
        if asked.what == "add_coin" and isinstance(event, jars.CoinAdded):
            return _coin(case, asked, event.policy, event.policy_version)
        if asked.what == "close_jar":
            return jars.CloseJar(asked.fields["reason"])
        return _policy_command(asked) if asked.what in ("open_policy", "change_policy", "close_policy") else None
    match first.event:
        case jars.JarRang(name=name) if cause is not None and step.command == timer_id(cause, name):
            return jars.Ring(name)
        case jars.JarRewarded() if cause is not None:
            return jars.RewardJar(cause)
        case jars.PurseFilled() if cause is not None:
            return jars.FillPurse(cause)
        case _:
            return None


def _tallies_command(step: Step) -> Any:
    cause = step.events[0].envelope.causationid
    if cause is None:
        return None
    match step.events[0].event:
        case tallies.PolicyNoted(policy=policy):
            return tallies.NotePolicy(policy, cause)
        case tallies.TallyOpened(jar=jar):
            return tallies.OpenTally(jar, cause)
        case tallies.CoinCounted():
            return tallies.CountCoin(cause)
        case _:
            return None


def what_was_relied_on_had_not_moved(case: Case) -> Iterator[str]:
    """A coin was added while its policy stood at the version that it names.

    Locks are taken before rows are numbered: so the coin's number lies between those of that version and the next.
    """
    numbers = {(row.stream, row.version): row.seq for row in case.evidence.ledgers["jars"].events}
    for row, recorded in case.decoded["jars"]:
        if not isinstance(recorded.event, jars.CoinAdded):
            continue
        policy, version = recorded.event.policy, recorded.event.policy_version
        seen, moved = numbers.get((policy, version)), numbers.get((policy, version + 1))
        if seen is None or seen > row.seq or (moved is not None and moved < row.seq):
            yield f"{recorded.id} (row {row.seq}) relies on {policy}@{version} (row {seen}), which moved in row {moved}"


def recorded_times_are_true(case: Case) -> Iterator[str]:
    """An event was recorded between question and answer, but for the 5 s by which clocks may differ."""
    for steps in case.steps["jars"].values():
        for step in steps:
            operation = case.by_command.get(step.command)
            if operation is None:
                continue
            earliest = case.time_of(operation.began) - CLOCK_TOLERANCE
            answers = operation.definite
            latest = case.time_of(answers[0].at) + CLOCK_TOLERANCE if answers else None
            recorded = step.rows[0].recorded_at
            if recorded < earliest or (latest is not None and recorded > latest):
                yield f"{step.events[0].id} was recorded at {recorded}, asked and answered {earliest} to {latest} (+-5 s)"


def topics_follow_ledgers(case: Case) -> Iterator[str]:
    """What lies on a topic is an event of its ledger, byte for byte, in its partition, each stream in its order."""
    injected = {(each.service, each.key, each.digest) for each in case.entries if isinstance(each, Injected)}
    for rows in case.evidence.ledgers.values():
        records = case.evidence.topics[rows.service]
        wanted = {row.document: row for row in rows.events}
        seen: set[bytes] = set()
        heads: dict[UUID, int] = {}
        for record in sorted(records, key=lambda each: (each.partition, each.offset)):
            place = f"{rows.service}: {record.partition}@{record.offset}"
            row = wanted.get(record.value or b"")
            if row is None:
                if (rows.service, record.key, hash_of(record.value or b"").hex()) not in injected:
                    yield f"{place} is not in the ledger: {(record.value or b'')[:120]!r}"
                continue
            if record.key != str(row.stream).encode() or record.partition != partition_of(row.stream, PARTITIONS):
                yield f"{place}: {row.stream}@{row.version} lies under key {record.key!r}"
            if row.document in seen:
                continue
            seen.add(row.document)
            if row.version != heads.get(row.stream, 0) + 1:
                yield f"{place}: {row.stream}@{row.version} comes behind @{heads.get(row.stream, 0)}"
            heads[row.stream] = row.version


def topics_are_complete(case: Case) -> Iterator[str]:
    """Each event of a ledger is on its topic."""
    for rows in case.evidence.ledgers.values():
        sent = {record.value for record in case.evidence.topics[rows.service]}
        for row in rows.events:
            if row.document not in sent:
                yield f"{rows.service}: {row.stream}@{row.version} is not on the topic"


def watermarks_tell_the_truth(case: Case) -> Iterator[str]:
    """What was recorded before a watermark lies on the topic, at or before the offsets that it names."""
    for rows in case.evidence.ledgers.values():
        first: dict[bytes, Record] = {}
        for record in sorted(case.evidence.topics[rows.service], key=lambda each: (each.partition, each.offset)):
            first.setdefault(record.value or b"", record)
        for mark in case.evidence.watermarks:
            if mark.service != rows.service:
                continue
            for row in rows.events:
                record_of = first.get(row.document)
                if row.recorded_at < mark.recorded_until and (
                    record_of is None or record_of.offset > mark.offsets.get(record_of.partition, -1)
                ):
                    yield f"{rows.service}: {row.stream}@{row.version} was not sent before {mark.recorded_until}"


def reactions_come_once(case: Case) -> Iterator[str]:
    """Each event that a service reacts to has had its reaction, once, and no reaction has another cause."""
    for kind, definition in case.evidence.definitions().items():
        done: Counter[tuple[str, UUID]] = Counter()
        for steps in case.steps[kind].values():
            for step in steps:
                cause = step.events[0].envelope.causationid
                if cause is not None and not isinstance(step.events[0].event, jars.JarRang):
                    done[cause, step.events[0].envelope.stream] += 1
        for reacts in definition.reactions:
            for recorded in case.outcomes[kind][reacts.name(definition.name)].applied:
                target = _target(recorded)
                if target is None:
                    continue
                times = done.pop((recorded.id, target), 0)
                command = command_of(reacts.name(definition.name), recorded.id, target, 0)
                if times != 1:
                    yield f"{kind}: {recorded.id} ({recorded.envelope.type}) has caused {times} reactions"
                elif command not in case.commands[kind]:
                    yield f"{kind}: the reaction to {recorded.id} is not command {command}"
        for cause, stream in done:
            yield f"{kind}: {stream} has reacted to {cause}, which nobody was to react to"


def _target(recorded: Recorded[Any]) -> UUID | None:
    """The stream that reacts to an event."""
    stream = recorded.envelope.stream
    match recorded.event:
        case tallies.TallyReached(jar=jar):
            return jar
        case jars.PolicyOpened() | jars.JarOpened() | jars.CoinAdded():
            return tallies.mirror_of(stream)
        case _:
            return purse_of(stream)


def what_is_caused_is_not_earlier(case: Case) -> Iterator[str]:
    """A reaction is not known earlier than its cause."""
    times = {recorded.id: row.time for decoded in case.decoded.values() for row, recorded in decoded}
    for decoded in case.decoded.values():
        for row, recorded in decoded:
            cause = recorded.envelope.causationid
            if cause in times and row.time < times[cause]:
                yield f"{recorded.id} is of {row.time}, its cause {cause} of {times[cause]}"


def timers_ring_once(case: Case) -> Iterator[str]:
    """Each jar has rung once, not before its time, whoever was dead then."""
    for stream, steps in case.steps["jars"].items():
        events = [recorded for step in steps for recorded in step.events]
        opened = next((each for each in events if isinstance(each.event, jars.JarOpened)), None)
        rings = [each for each in events if isinstance(each.event, jars.JarRang)]
        if opened is None:
            continue
        if len(rings) != 1:
            yield f"jar {stream} has rung {len(rings)} times"
        yield from (
            f"jar {stream} was due at {opened.event.rings_at} and rang at {ring.envelope.recordedtime}"
            for ring in rings
            if ring.envelope.recordedtime < opened.event.rings_at
        )
    waiting = case.evidence.ledgers["jars"].timers
    if waiting:
        yield f"{waiting} timers have not fired"


def consumers_stand_where_their_topics_end(case: Case) -> Iterator[str]:
    """Each consumer has applied each stream up to where it goes, and has parked what is poison or behind it, no more."""
    for kind, outcomes in case.outcomes.items():
        for name, outcome in outcomes.items():
            found = [
                (consumer, rows)
                for consumer, rows in case.evidence.consumers.get(kind, {}).items()
                if consumer.partition("/")[0] == name
            ]
            if not found:
                yield f"{kind}: {name} has read nothing"
                continue
            # Of a read model that was built anew, the newest build is what people see.
            consumer, rows = max(found, key=lambda each: int(each[0].partition("/")[2] or 0))
            for stream in sorted(outcome.heads.keys() | rows.guards.keys()):
                if outcome.heads.get(stream) != rows.guards.get(stream):
                    wanted, stands = outcome.heads.get(stream, (0,)), rows.guards.get(stream, (0,))
                    yield f"{kind}: {consumer} stands at {stream}@{stands[0]}, its topic at @{wanted[0]}"
            for place in sorted(rows.parked.keys() - outcome.parked):
                yield f"{kind}: {consumer} has parked {place}, which is no poison: {rows.parked[place]}"
            for place in sorted(outcome.parked - rows.parked.keys()):
                yield f"{kind}: {consumer} has not parked {place}"


def read_models_equal_a_replay(case: Case) -> Iterator[str]:
    """A live read model is, byte for byte, what a fresh replay of its topic gives."""
    for name, (live, replay) in board_pairs(case).items():
        for part, one, other in (("row", live.rows, replay.rows), ("history", live.history, replay.history)):
            here, there = Counter(one), Counter(other)
            yield from (f"{name}: the live {part} {line} is not in the replay" for line in (here - there).elements())
            yield from (f"{name}: {part} {line} is in the replay only" for line in (there - here).elements())


def board_pairs(case: Case) -> Mapping[str, tuple[BoardRows, BoardRows]]:
    """Each read model as it stands and as a replay gives it."""
    return {
        model.name: (
            case.evidence.boards[model.name],
            replayed(model, case.outcomes[kind][model.name].applied),
        )
        for kind, definition in case.evidence.definitions().items()
        for model in definition.read_models
        if model.name in case.evidence.boards
    }


def every_question_has_an_answer(case: Case) -> Iterator[str]:
    """Once everything is healed, each key that was left open gets its answer."""
    for operation in case.operations.values():
        if operation.asked.key is not None and operation.invoked and not operation.definite:
            yield f"operation {operation.asked.operation} ({operation.asked.what}) was never answered"


ALWAYS: Final[tuple[Rule, ...]] = (
    streams_are_chained,
    every_command_is_once_in_the_ledger,
    what_was_acknowledged_is_in_the_ledger,
    one_key_has_one_answer,
    answers_respect_real_time,
    reads_hold,
    refusals_hold,
    what_adds_nothing_had_been_done,
    the_model_explains_every_event,
    what_was_relied_on_had_not_moved,
    recorded_times_are_true,
    what_is_caused_is_not_earlier,
    topics_follow_ledgers,
)
"""The rules that hold at any moment."""

AT_REST: Final[tuple[Rule, ...]] = (
    topics_are_complete,
    watermarks_tell_the_truth,
    reactions_come_once,
    timers_ring_once,
    consumers_stand_where_their_topics_end,
    read_models_equal_a_replay,
    every_question_has_an_answer,
)
"""The rules that hold once nothing is under way any more."""


def check(case: Case, rules: Iterable[Rule] = (*ALWAYS, *AT_REST)) -> list[Finding]:
    """Everything that contradicts a rule."""
    return [Finding(rule.__name__, text) for rule in rules for text in rule(case)]


def lost_doubled_misordered(findings: Iterable[Finding]) -> dict[str, int]:
    """The findings by what they mean for the figures that are reported."""
    meaning = {
        what_was_acknowledged_is_in_the_ledger.__name__: "lost",
        every_command_is_once_in_the_ledger.__name__: "doubled",
        streams_are_chained.__name__: "misordered",
    }
    counts = Counter(meaning.get(finding.rule, "") for finding in findings)
    return {name: counts.get(name, 0) for name in ("lost", "doubled", "misordered")}
