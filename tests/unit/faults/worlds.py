"""A run without faults, made by hand: every request answered at once by the pure model, everything read and applied."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid5

from tests.faults import jars, tallies
from tests.faults.checker import Case, Finding, check
from tests.faults.consumed import Record, consume
from tests.faults.evidence import CommandRow, ConsumerRows, EventRow, Evidence, LedgerRows, definitions, replayed
from tests.faults.history import Answered, Asked, Began, Entry, Invoked, What
from tests.faults.services import CATALOGUE, Names, purse_of
from tests.faults.worker import Kind

from govevents.document import Document, Origin, Recorded, encode
from govevents.event import event_type
from govkernel.domain import Aggregate, Refusal
from govkernel.kafka.address import partition_of
from govkernel.ledger.append import timer_id
from govkernel.reactions import command_of

SUBJECT = UUID("00000000-0000-4000-8000-00000000000a")
START = datetime(2026, 3, 2, 9, tzinfo=UTC)
NAMES = Names.of("t")


@dataclass
class World:
    """What has happened so far. Each step is a tenth of a second later than the one before."""

    entries: list[Entry] = field(default_factory=lambda: [Began(0.0, START.timestamp(), 1, 60.0)])
    documents: dict[Kind, list[Document]] = field(default_factory=lambda: {"jars": [], "tallies": []})
    commands: dict[Kind, list[CommandRow]] = field(default_factory=lambda: {"jars": [], "tallies": []})
    minted: list[Record] = field(default_factory=list)
    at: float = 1.0
    number: int = 0
    followed: set[str] = field(default_factory=set)

    def tick(self) -> float:
        self.at += 0.1
        return self.at

    def stream(self, kind: Kind, stream: UUID) -> list[Recorded[Any]]:
        return [CATALOGUE.decode(each.body) for each in self.documents[kind] if each.stream == stream]

    def append(
        self,
        kind: Kind,
        aggregate: Aggregate[Any, Any, Any],
        stream: UUID,
        command: UUID,
        asked: Any,
        *,
        cause: str | None = None,
    ) -> CommandRow:
        """Decide and append, as a service does."""
        recorded = self.stream(kind, stream)
        state = aggregate.fold(each.event for each in recorded)
        before = len(recorded)
        try:
            events = aggregate.decide(asked, state)
        except Refusal as refusal:
            row = CommandRow(command, stream, before, before, 409, refusal.slug())
            self.commands[kind].append(row)
            return row
        previous = recorded[-1].hash if recorded else None
        moment = START + timedelta(seconds=self.at)
        for version, event in enumerate(events, start=before + 1):
            document = encode(
                event,
                service=NAMES.jars if kind == "jars" else NAMES.tallies,
                aggregate=aggregate.name,
                stream=stream,
                version=version,
                previous_hash=previous,
                time=moment,
                recorded_at=moment,
                actor="service:test",
                command=command,
                correlation="test",
                causation=cause,
                origin=Origin.LIVE,
            )
            self.documents[kind].append(document)
            previous = document.hash
        status = 201 if events and not before else 200
        row = CommandRow(command, stream, before, before + len(events), status, None)
        self.commands[kind].append(row)
        return row

    def ask(
        self,
        what: What,
        stream: UUID | None = None,
        *,
        if_match: int | None = None,
        reuses: int | None = None,
        **fields: Any,
    ) -> Asked:
        """A client begins to ask."""
        self.number += 1
        key = None if what == "get_jar" else f"key-{reuses or self.number}"
        asked = Asked(self.number, self.tick(), what, key, "/", stream, fields, if_match, reuses)
        self.entries.append(asked)
        self.invoke(asked)
        return asked

    def invoke(self, asked: Asked, attempt: int = 1) -> None:
        self.entries.append(Invoked(asked.operation, attempt, self.tick(), "jars-1"))

    def answer(
        self, asked: Asked, status: int | None, body: Any = None, *, version: int | None = None, attempt: int = 1
    ) -> None:
        self.entries.append(Answered(asked.operation, attempt, self.tick(), status, body, version))

    def command_of(self, asked: Asked) -> UUID:
        return uuid5(SUBJECT, f"{NAMES.jars}/{asked.key}")

    def do(self, what: What, stream: UUID | None = None, *, if_match: int | None = None, **fields: Any) -> UUID:
        """Ask, and be answered as the model decides; the stream."""
        asked = self.ask(what, stream, if_match=if_match, **fields)
        row = self.done(asked)
        self.told(asked, row)
        assert row.stream is not None
        return row.stream

    def done(self, asked: Asked) -> CommandRow:
        """What the ledger does with a request."""
        command = self.command_of(asked)
        stream = asked.stream or command
        aggregate: Aggregate[Any, Any, Any] = jars.POLICY if "policy" in asked.what else jars.JAR
        return self.append("jars", aggregate, stream, command, self._command(asked, stream))

    def told(self, asked: Asked, row: CommandRow, *, attempt: int = 1) -> None:
        """Answer a request as its row says."""
        if row.refusal is not None:
            self.answer(asked, row.status, {"type": f"urn:gatehouse:problem:{row.refusal}"}, attempt=attempt)
            return
        assert row.stream is not None
        assert row.from_version is not None
        events = [
            {"id": each.id, "type": each.envelope.type}
            for each in self.stream("jars", row.stream)[row.from_version : row.to_version]
        ]
        body = {"stream": str(row.stream), "version": row.to_version, "events": events}
        self.answer(asked, row.status, body, version=row.to_version, attempt=attempt)

    def _command(self, asked: Asked, stream: UUID) -> Any:
        fields = asked.fields
        match asked.what:
            case "open_policy":
                return jars.OpenPolicy(fields["largest"])
            case "change_policy":
                return jars.ChangePolicy(fields["largest"])
            case "close_policy":
                return jars.ClosePolicy(fields["reason"])
            case "open_jar":
                rings_at = START + timedelta(seconds=self.at, milliseconds=fields["rings_in_ms"])
                return jars.OpenJar(fields["limit"], UUID(fields["policy"]), rings_at)
            case "close_jar":
                return jars.CloseJar(fields["reason"])
            case _:
                policy = jars.JAR.fold(each.event for each in self.stream("jars", stream)).policy
                assert policy is not None
                recorded = self.stream("jars", policy)
                allowed = jars.POLICY.fold(each.event for each in recorded)
                return jars.AddCoin(fields["by"], fields["amount"], policy, len(recorded), allowed)

    def read(self, jar: UUID) -> None:
        """A client reads a jar."""
        asked = self.ask("get_jar", jar)
        recorded = self.stream("jars", jar)
        state = jars.JAR.fold(each.event for each in recorded)
        body = {
            "coins": list(state.coins),
            "total": state.total,
            "closed": state.closed,
            "rung": state.rung,
            "rewards": state.rewards,
        }
        self.answer(asked, 200, body, version=len(recorded))

    def ring(self, jar: UUID) -> None:
        """A jar's timer fires, as late as it may."""
        self.at += 10
        cause = f"{jar}@1"
        self.append("jars", jars.JAR, jar, timer_id(cause, jars.RING), jars.Ring(jars.RING), cause=cause)

    def react(self) -> None:
        """Tallies follow jars, and jars are rewarded, until nothing more follows; what was followed is not again."""
        while True:
            fresh = [
                (kind, recorded)
                for kind in self.documents
                for document in self.documents[kind]
                if (recorded := CATALOGUE.decode(document.body)).id not in self.followed
            ]
            if not fresh:
                return
            for _, recorded in fresh:
                self.followed.add(recorded.id)
                self.tick()
                self._follow(recorded)

    def _follow(self, recorded: Recorded[Any]) -> None:
        stream, cause = recorded.envelope.stream, recorded.id
        mirror = tallies.mirror_of(stream)
        by = f"{NAMES.tallies}.reactions.{NAMES.jars}"
        match recorded.event:
            case jars.PolicyOpened():
                note = tallies.NotePolicy(stream, cause)
                self.append("tallies", tallies.NOTE, mirror, command_of(by, cause, mirror, 0), note, cause=cause)
            case jars.JarOpened():
                opened = tallies.OpenTally(stream, cause)
                self.append("tallies", tallies.TALLY, mirror, command_of(by, cause, mirror, 0), opened, cause=cause)
            case jars.CoinAdded():
                count = tallies.CountCoin(cause)
                self.append("tallies", tallies.TALLY, mirror, command_of(by, cause, mirror, 0), count, cause=cause)
            case tallies.TallyReached(jar=jar):
                by = f"{NAMES.jars}.reactions.{NAMES.tallies}"
                self.append("jars", jars.JAR, jar, command_of(by, cause, jar, 0), jars.RewardJar(cause), cause=cause)
            case _:
                pass

    def mint(self, *bodies: tuple[UUID, bytes]) -> None:
        """Records lie on the mint's topic; those that can be are put into purses."""
        for stream, body in bodies:
            offset = len(self.minted)
            self.minted.append(Record(partition_of(stream, 12), offset, str(stream).encode(), body))
        reacts = definitions(NAMES)["jars"].reactions[1]
        name = reacts.name(NAMES.jars)
        for recorded in self.outcome(NAMES.mint, frozenset({"mint.CoinMinted"}), tuple(self.minted)).applied:
            purse = purse_of(recorded.envelope.stream)
            command = command_of(name, recorded.id, purse, 0)
            if all(row.command != command for row in self.commands["jars"]):
                self.tick()
                self.append("jars", jars.PURSE, purse, command, jars.FillPurse(recorded.id), cause=recorded.id)

    def outcome(self, service: str, subscribes: frozenset[str], records: tuple[Record, ...]) -> Any:
        return consume(
            records,
            service=service,
            subscribes=subscribes,
            catalogue=CATALOGUE,
            takes=lambda recorded: getattr(recorded.event, "worth", 0) >= 0,
        )

    def topic(self, kind: Kind) -> tuple[Record, ...]:
        return tuple(
            Record(partition_of(each.stream, 12), offset, str(each.stream).encode(), each.body)
            for offset, each in enumerate(self.documents[kind])
        )

    def ledger(self, kind: Kind) -> LedgerRows:
        rows = tuple(
            EventRow(seq, each.stream, each.version, each.type, each.time, each.recorded_at, each.body, each.hash)
            for seq, each in enumerate(self.documents[kind], start=1)
        )
        return LedgerRows(NAMES.jars if kind == "jars" else NAMES.tallies, rows, tuple(self.commands[kind]))

    def evidence(self) -> Evidence:
        """What is left of all this, everything read."""
        topics = {NAMES.jars: self.topic("jars"), NAMES.tallies: self.topic("tallies"), NAMES.mint: tuple(self.minted)}
        consumers: dict[Kind, dict[str, ConsumerRows]] = {"jars": {}, "tallies": {}}
        boards = {}
        for kind, definition in definitions(NAMES).items():
            for reacts in definition.reactions:
                subscribes = frozenset(event_type(each).full_name for each in reacts.events)
                outcome = self.outcome(reacts.service, subscribes, topics[reacts.service])
                rows = ConsumerRows(outcome.heads, dict.fromkeys(outcome.parked, "poison"))
                consumers[kind][reacts.name(definition.name)] = rows
            for model in definition.read_models:
                outcome = self.outcome(model.service, model.subscribes, topics[model.service])
                consumers[kind][f"{model.name}/1"] = ConsumerRows(
                    outcome.heads, dict.fromkeys(outcome.parked, "poison")
                )
                boards[model.name] = replayed(model, outcome.applied)
        ledgers: dict[Kind, LedgerRows] = {"jars": self.ledger("jars"), "tallies": self.ledger("tallies")}
        return Evidence(NAMES, ledgers, topics, consumers, boards)

    def findings(self, change: Callable[[Evidence], Evidence] = lambda evidence: evidence) -> list[Finding]:
        """What the checker says of all this, after a change."""
        return check(Case(self.entries, change(self.evidence()), SUBJECT))

    def rules(self, change: Callable[[Evidence], Evidence] = lambda evidence: evidence) -> set[str]:
        """The rules that are broken."""
        return {finding.rule for finding in self.findings(change)}


def in_ledger(kind: Kind, change: Callable[[LedgerRows], LedgerRows]) -> Callable[[Evidence], Evidence]:
    """A change of one ledger's rows."""
    return lambda evidence: replace(evidence, ledgers={**evidence.ledgers, kind: change(evidence.ledgers[kind])})


def on_topic(
    service: str, change: Callable[[tuple[Record, ...]], tuple[Record, ...]]
) -> Callable[[Evidence], Evidence]:
    """A change of what lies on one topic; consumers have read it as it was before."""
    return lambda evidence: replace(evidence, topics={**evidence.topics, service: change(evidence.topics[service])})
