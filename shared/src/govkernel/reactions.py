"""Reactions: an event in, commands of one's own out, once, in the transaction of the offsets."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import NAMESPACE_URL, UUID, uuid5

import asyncpg

from govevents.document import Origin, Recorded
from govkernel.consumer import Rejected, Unavailable
from govkernel.domain.aggregate import Link
from govkernel.domain.reaction import Reaction
from govkernel.domain.refusals import NotKnownYet, Refusal
from govkernel.ledger import (
    AnsweredBefore,
    Append,
    Conflict,
    Context,
    Head,
    Intent,
    KeyReused,
    Ledger,
    LedgerUnavailable,
    Loaded,
)
from govkernel.postgres import Connection

__all__ = ["Needs", "React", "Reaction", "ReactionHandler", "command_of"]

Find = Mapping[Link, tuple[UUID, ...]]
Needs = Callable[[Recorded[Any]], tuple[Link, ...]]
React = Callable[[Recorded[Any], Find], tuple[Reaction, ...]]

MOST_ATTEMPTS: Final = 20


def command_of(consumer: str, cause: str, stream: UUID, ordinal: int) -> UUID:
    """The id of the command that a consumer gives to a stream because of an event: the same however often it reacts."""
    return uuid5(NAMESPACE_URL, f"urn:gatehouse:reaction:{consumer}:{cause}:{stream}:{ordinal}")


def _needs_nothing(_recorded: Recorded[Any]) -> tuple[Link, ...]:
    return ()


class _LostRace(Exception):
    """A stream moved after it was loaded, or a command was answered before: load again and decide again."""


@dataclass(slots=True)
class _Decided:
    """What a batch has decided so far: the appends in order, the streams as they will be, and who links to what."""

    appends: list[Append]
    loaded: dict[UUID, Loaded[Any]]
    links: dict[Link, set[UUID]]


class ReactionHandler:
    """The consumer of a service's reactions to the events of one topic.

    `react` is pure and gets the streams behind the links that `needs` names, as they are after everything before it.
    Imported events cause nothing. A reaction that raises NotKnownYet has its event parked and tried again; any other
    refusal is recorded as the command's answer, and the consumer goes on.
    """

    def __init__(
        self,
        name: str,
        service: str,
        ledger: Ledger,
        react: React,
        *,
        subscribes: frozenset[str],
        needs: Needs = _needs_nothing,
    ) -> None:
        self.name = name
        self.service = service
        self.subscribes = subscribes
        self._ledger = ledger
        self._react = react
        self._needs = needs

    async def apply(self, connection: Connection, batch: Sequence[Recorded[Any]]) -> Sequence[Rejected]:
        """Decide and append what follows from a batch. Raises Unavailable where the ledger takes nothing now."""
        causes = [recorded for recorded in batch if recorded.envelope.origin is not Origin.IMPORTED]
        if not causes:
            return ()
        answered: set[UUID] = set()
        for _ in range(MOST_ATTEMPTS):
            try:
                # Only what this attempt wrote is undone by a lost race; the batch's transaction goes on.
                async with connection.transaction():
                    return await self._attempt(connection, causes, answered)
            except (_LostRace, asyncpg.UniqueViolationError):
                continue
            except LedgerUnavailable as error:
                raise Unavailable(str(error)) from error
        raise Unavailable(f"{self.name}: lost {MOST_ATTEMPTS} races in a row")

    async def _attempt(
        self, connection: Connection, causes: Sequence[Recorded[Any]], answered: set[UUID]
    ) -> list[Rejected]:
        decided = _Decided([], {}, await self._links(connection, causes))
        rejected: list[Rejected] = []
        cut: set[UUID] = set()
        for cause in causes:
            if cause.envelope.stream in cut:
                continue
            try:
                await self._follow(connection, cause, decided, answered)
            except NotKnownYet as refusal:
                rejected.append(Rejected(cause, refusal.detail, retry=True))
                cut.add(cause.envelope.stream)
        outcomes = await self._ledger.append(connection, decided.appends) if decided.appends else []
        for item, outcome in zip(decided.appends, outcomes, strict=True):
            if isinstance(outcome, KeyReused):
                raise outcome
            if isinstance(outcome, AnsweredBefore):
                answered.add(item.command)
        if any(isinstance(outcome, Conflict) for outcome in outcomes):
            raise _LostRace
        return rejected

    async def _links(self, connection: Connection, causes: Sequence[Recorded[Any]]) -> dict[Link, set[UUID]]:
        links: dict[Link, set[UUID]] = {link: set() for cause in causes for link in self._needs(cause)}
        if links:
            for row in await self._ledger.store.find(connection, links):
                links[Link(row["kind"], row["target"])].add(row["stream"])
        return links

    async def _follow(
        self, connection: Connection, cause: Recorded[Any], decided: _Decided, answered: set[UUID]
    ) -> None:
        """Decide everything that follows from one event, or nothing: NotKnownYet leaves `decided` as it was."""
        appends: list[Append] = []
        loaded: dict[UUID, Loaded[Any]] = {}
        moved: list[tuple[UUID, frozenset[Link], frozenset[Link]]] = []
        find = {link: tuple(sorted(decided.links[link])) for link in self._needs(cause)}
        try:
            reactions = self._react(cause, find)
        except NotKnownYet:
            raise
        except Refusal as refusal:
            context = self._context(cause, command_of(self.name, cause.id, cause.envelope.stream, 0))
            # No stream was decided on: the refusal is kept under the command's own id.
            decided.appends.append(self._ledger.refused(context, refusal, Head(context.command, 0, None)))
            return
        for reaction in reactions:
            stream, aggregate = reaction.stream, reaction.aggregate
            context = self._context(cause, command_of(self.name, cause.id, stream, reaction.ordinal))
            if context.command in answered:
                continue
            before = loaded.get(stream) or decided.loaded.get(stream)
            if before is None:
                before = await self._ledger.load(aggregate, stream, connection=connection)
            append, after = self._ledger.prepare(context, Intent(aggregate, stream, reaction.command), before)
            appends.append(append)
            loaded[stream] = after
            moved.append((stream, aggregate.links(before.state), aggregate.links(after.state)))
        decided.appends.extend(appends)
        decided.loaded.update(loaded)
        for stream, was, now in moved:
            for link in (was - now) & decided.links.keys():
                decided.links[link].discard(stream)
            for link in (now - was) & decided.links.keys():
                decided.links[link].add(stream)

    def _context(self, cause: Recorded[Any], command: UUID) -> Context:
        envelope = cause.envelope
        # Under the demo clock it is as late as the cause says.
        now = envelope.time if envelope.origin is Origin.SIMULATED else self._ledger.clock()
        return Context(
            command=command,
            digest=cause.hash,
            actor=f"service:{self._ledger.service}",
            now=now,
            time=now,
            correlation=envelope.correlationid,
            causation=cause.id,
            origin=envelope.origin,
            traceparent=envelope.traceparent,
            cause_time=envelope.time,
        )
