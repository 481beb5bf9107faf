"""Bugs to be planted in the simulation: each puts something else in the place of a part, and has to be caught.

Mistakes of the kernel's own parts are those of `tests/faults`. What is there another text of the database's function is
here another step of the ledger in memory.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any, Final
from uuid import UUID, uuid5

from tests.faults import bugs as faults
from tests.faults import jars
from tests.faults.bugs import AroundProducer, Planted
from tests.faults.worker import Kind
from tests.simulation.database import MemoryConnection, Row, Transaction, memory
from tests.simulation.memory_kafka import MemoryProducer, MemoryReader
from tests.simulation.memory_ledger import MemoryLedger
from tests.simulation.memory_relay import MemoryRelay
from tests.simulation.world import NAMES, Parts, World, services

from govevents.document import Recorded
from govkernel.consumer import Handler, Reader, Rejected
from govkernel.kafka import Outgoing
from govkernel.ledger import Append, Context, Head, Intent, Ledger, Loaded, Timers
from govkernel.postgres import Connection
from govkernel.processes import ServiceDefinition, Wiring
from govkernel.relay import Checkpoint, Producer, Relay


@dataclass(frozen=True, slots=True)
class Bug:
    """What is wrong, in what parts, and the rule that has to say so."""

    rule: str
    parts: Parts


def seeds_until_caught(bug: Bug, *, seeds: int) -> tuple[int | None, list[str]]:
    """Play seeds from 1 on until the bug's rule is broken: which seed that took, and all rules that it broke."""
    for seed in range(1, seeds + 1):
        rules = {finding.rule for finding in World(seed, bug.parts).play().findings}
        if bug.rule in rules:
            return seed, sorted(rules)
    return None, []


def _of_faults(name: str) -> Parts:
    """The parts of a bug of `tests/faults`, as far as it is one of the kernel's own parts or of a definition."""
    bug = faults.BUGS[name]
    assert not bug.sql, f"{name} is a text of the database's function"
    planted = {kind: bug.plant(Planted(definition, Wiring(), NAMES)) for kind, definition in services().items()}
    wiring = planted["jars"].wiring
    definitions: dict[Kind, ServiceDefinition] = {kind: each.definition for kind, each in planted.items()}
    return Parts(ledger=wiring.ledger, timers=wiring.timers, handler=wiring.handler, definitions=lambda: definitions)


def _producer(made: Callable[[Producer], AroundProducer]) -> Parts:
    return Parts(producer=lambda kafka: made(MemoryProducer(kafka)))


def _reader(made: Callable[[Reader], Any]) -> Parts:
    return Parts(reader=lambda kafka, topic: made(MemoryReader(kafka, topic)))


class Unguarded(MemoryLedger):
    """Heads are not compared, and nothing keeps two events from one version."""

    def is_moved(self, expected: Head, now: Head) -> bool:
        return False

    async def insert_event(self, on: Transaction, row: Row) -> None:
        on.insert_event_anywhere(row)


class ComparesVersions(MemoryLedger):
    def is_moved(self, expected: Head, now: Head) -> bool:
        return expected.version != now.version


class LocksNothing(MemoryLedger):
    """Nothing is locked between the look at what is relied on and the writing, which takes a moment."""

    async def lock(self, on: Transaction, items: Sequence[Append]) -> None:
        return

    async def insert_command(self, on: Transaction, row: Row) -> bool:
        await asyncio.sleep(0.2)
        return await super().insert_command(on, row)


class ForgetsCommands(MemoryLedger):
    """One of ten commands leaves no row."""

    async def insert_command(self, on: Transaction, row: Row) -> bool:
        return row["command"].int % 10 == 0 or await super().insert_command(on, row)


class TrustsClocks(MemoryLedger):
    def in_time(self, clock: datetime, item: datetime) -> bool:
        return True


class RingsTwice(Timers):
    async def fire_due(self, now: datetime | None = None, *, simulated: bool = False) -> int:
        for row in await _due(self._ledger):
            await _fire(self._ledger, self._aggregates[row["aggregate"]], row, command=uuid5(row["timer"], "again"))
        return await super().fire_due(now, simulated=simulated)


class TakesTimersFirst(Timers):
    """Takes a timer away, and fires it then."""

    async def fire_due(self, now: datetime | None = None, *, simulated: bool = False) -> int:
        due = await _due(self._ledger)
        for row in due:
            async with self._ledger.pool.acquire() as connection:
                await self._ledger.store.remove_timer(connection, row["timer"])
            await _fire(self._ledger, self._aggregates[row["aggregate"]], row, command=row["timer"])
        return len(due)


class RingsEarly(Timers):
    async def fire_due(self, now: datetime | None = None, *, simulated: bool = False) -> int:
        for row in await _due(self._ledger, timedelta(seconds=2)):
            await _fire(self._ledger, self._aggregates[row["aggregate"]], row, command=row["timer"])
        return await super().fire_due(now, simulated=simulated)


async def _due(ledger: Ledger, early: timedelta = timedelta()) -> list[Row]:
    async def look(on: Transaction) -> list[Row]:
        return [row for _, row in on.scan("timers") if row["due"] <= ledger.clock() + early]

    async with ledger.pool.acquire() as connection:
        return await memory(connection).ask(look)


async def _fire(ledger: Ledger, aggregate: Any, row: Row, *, command: UUID) -> None:
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

    async def intend(_newest: bool) -> Intent[Any, Any, Any]:
        return Intent(aggregate, row["stream"], aggregate.on_deadline(row["name"], now))

    await ledger.execute(context, intend)


class NaiveRelay(Relay):
    """Sends what lies behind the highest number that it has sent, and takes all that has ended by then as sent."""

    async def _carry(self, connection: Connection, checkpoint: Checkpoint) -> int:
        last = max(checkpoint.tail, default=0)
        xmin = await self._store.xmin(connection)

        async def look(on: Transaction) -> list[Row]:
            return sorted((row for row in on.visible() if row["seq"] > last), key=lambda row: row["seq"])

        rows = await memory(connection).ask(look)
        acknowledged = dict(checkpoint.acknowledged)
        if rows:
            await self._send([Outgoing(row["stream"], row["type"], row["document"]) for row in rows], acknowledged)
        highest = rows[-1]["seq"] if rows else last
        after = replace(checkpoint, low_txid=xmin, tail={highest: xmin}, acknowledged=acknowledged)
        await self._store.store(connection, self._replica, after, self._lease)
        self._held = after
        return len(rows)


class ForgetsTheTail(MemoryRelay):
    """Takes all that it has seen as sent for good, though what was still open then comes later."""

    async def store(self, connection: Connection, replica: UUID, checkpoint: Checkpoint, lease: Any) -> None:
        beyond = max(checkpoint.tail.values(), default=checkpoint.low_txid - 1) + 1
        await super().store(connection, replica, replace(checkpoint, low_txid=beyond, tail={}), lease)


@dataclass
class SavesOffsetsFirst(faults.Wrapped):
    """The batch's transaction holds the offsets alone; the effect follows in one of its own."""

    inner: Handler

    async def apply(self, connection: Connection, batch: Sequence[Recorded[Any]]) -> Sequence[Rejected]:
        faults.unwatched(self._later(memory(connection), batch))
        return ()

    async def _later(self, connection: MemoryConnection, batch: Sequence[Recorded[Any]]) -> None:
        async with connection.database.pool().lent().acquire() as own, own.transaction():
            await self.inner.apply(own, batch)


@dataclass
class SavesOffsetsLater(faults.Wrapped):
    """The effect is committed before the batch's transaction, which may still fail and come again."""

    inner: Handler

    async def apply(self, connection: Connection, batch: Sequence[Recorded[Any]]) -> Sequence[Rejected]:
        async with memory(connection).database.pool().lent().acquire() as own, own.transaction():
            return await self.inner.apply(own, batch)


def _stale_reads() -> Parts:
    seen: dict[UUID, Loaded[Any]] = {}

    async def load(ledger: Ledger, stream: UUID) -> Loaded[Any]:
        if stream not in seen or seen[stream].head.version == 0:
            seen[stream] = await ledger.load(jars.JAR, stream)
        return seen[stream]

    return Parts(load=load)


BUGS: Final[dict[str, Bug]] = {
    "no version guard": Bug("streams_are_chained", Parts(events=Unguarded)),
    "heads by version only": Bug(
        "streams_are_chained", replace(Parts(events=ComparesVersions), ledger=faults.KeepsWhatMayNotBe)
    ),
    "no locks": Bug("what_was_relied_on_had_not_moved", Parts(events=LocksNothing)),
    "relied on unchecked": Bug("what_was_relied_on_had_not_moved", _of_faults("relied on unchecked")),
    "command row missing": Bug("every_command_is_once_in_the_ledger", Parts(events=ForgetsCommands)),
    "clock unchecked": Bug("recorded_times_are_true", Parts(events=TrustsClocks)),
    "answer before commit": Bug("what_was_acknowledged_is_in_the_ledger", _of_faults("answer before commit")),
    "lost race told as won": Bug("what_was_acknowledged_is_in_the_ledger", _of_faults("lost race told as won")),
    "refusal from stale state": Bug("refusals_hold", _of_faults("refusal from stale state")),
    "refusal forgotten": Bug("what_was_acknowledged_is_in_the_ledger", _of_faults("refusal forgotten")),
    "keys ignored": Bug("the_model_explains_every_event", _of_faults("keys ignored")),
    "repeated key answered anew": Bug("one_key_has_one_answer", _of_faults("repeated key answered anew")),
    "digests ignored": Bug("one_key_has_one_answer", _of_faults("digests ignored")),
    "if-match ignored": Bug("what_was_acknowledged_is_in_the_ledger", _of_faults("if-match ignored")),
    "decided once": Bug("the_model_explains_every_event", _of_faults("decided once")),
    "limit off by one": Bug("the_model_explains_every_event", _of_faults("limit off by one")),
    "clock trusted": Bug("streams_are_chained", _of_faults("clock trusted")),
    "cause forgotten": Bug("what_is_caused_is_not_earlier", _of_faults("cause forgotten")),
    "stale reads": Bug("reads_hold", _stale_reads()),
    "timers fired twice": Bug("timers_ring_once", Parts(timers=RingsTwice)),
    "timers taken first": Bug("timers_ring_once", Parts(timers=TakesTimersFirst)),
    "timers fired early": Bug("timers_ring_once", Parts(timers=RingsEarly)),
    "naive relay cursor": Bug("topics_are_complete", Parts(relay=NaiveRelay)),
    "tail forgotten": Bug("topics_are_complete", Parts(outbox=ForgetsTheTail)),
    "acknowledgement ignored": Bug("topics_are_complete", _producer(faults.IgnoresAcknowledgements)),
    "failure swallowed": Bug("topics_are_complete", _producer(faults.SwallowsFailures)),
    "last of a batch dropped": Bug("topics_are_complete", _producer(faults.DropsTheLast)),
    "sent backwards": Bug("topics_follow_ledgers", _producer(faults.SendsBackwards)),
    "sent late": Bug("topics_follow_ledgers", _producer(faults.GivesUpEarly)),
    "encoded again": Bug("topics_follow_ledgers", _producer(faults.EncodesAgain)),
    "keyed by event": Bug("topics_follow_ledgers", _producer(faults.KeysByEvent)),
    "offset before effect": Bug("reactions_come_once", Parts(handler=SavesOffsetsFirst)),
    "effect before offset": Bug("read_models_equal_a_replay", Parts(handler=SavesOffsetsLater)),
    "applied backwards": Bug("read_models_equal_a_replay", _of_faults("applied backwards")),
    "removal not folded": Bug("read_models_equal_a_replay", _of_faults("removal not folded")),
    "fold by the clock": Bug("read_models_equal_a_replay", _of_faults("fold by the clock")),
    "rejected dropped": Bug("reactions_come_once", _of_faults("rejected dropped")),
    "applied in part": Bug("reactions_come_once", _of_faults("applied in part")),
    "poison skipped": Bug("consumers_stand_where_their_topics_end", _reader(faults.SkipsPoison)),
    "reactions twice": Bug("reactions_come_once", _of_faults("reactions twice")),
}
