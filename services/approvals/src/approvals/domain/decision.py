"""A decision that was made elsewhere, as an import found it: on record, and never a vote cast here."""

from dataclasses import dataclass
from datetime import date
from typing import Final, TypeAlias, assert_never
from uuid import UUID, uuid5

from approvals.domain.gate_policy import check_gate
from govevents.approvals import DecisionRecorded, Outcome, ReviewKind
from govkernel.domain import Aggregate, Code, Name, PortfolioId, ProjectId, Refusal, Source, differences


@dataclass(frozen=True, slots=True)
class Unrecorded:
    """Nothing is known under this id."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """The decision is on record."""

    decision: DecisionRecorded


Decision: TypeAlias = Unrecorded | Recorded


@dataclass(frozen=True, slots=True)
class RecordDecision:
    """Record what a source says was decided; what it doesn't say is None. `today` is the day of the recording."""

    project: ProjectId
    portfolio: PortfolioId
    kind: ReviewKind
    gate: Code | None
    decided_on: date
    body_name: Name | None
    outcome: Outcome | None
    source: Source
    today: date


Command: TypeAlias = RecordDecision
Event: TypeAlias = DecisionRecorded


class DecisionNotYetMade(Refusal):
    """A decision with a date to come is a plan, and plans are not recorded as decisions."""


class DecisionAlreadyRecorded(Refusal):
    """The decision is on record already, and that record says something else."""


def decide(command: Command, decision: Decision) -> tuple[Event, ...]:
    """What follows from a command; the refusals are those above and `check_gate`'s."""
    check_gate(command.kind, command.gate)
    recorded = DecisionRecorded(
        command.project,
        command.portfolio,
        command.kind,
        command.gate,
        command.decided_on,
        command.body_name,
        command.outcome,
        command.source,
    )
    match decision:
        case Unrecorded():
            if command.decided_on > command.today:
                raise DecisionNotYetMade(decided_on=str(command.decided_on), today=str(command.today))
            return (recorded,)
        case Recorded(decision=before):
            # The same fact read from another file, or from another row of it, is still the same fact.
            differing = differences(before, recorded, besides=frozenset({"source"}))
            if differing:
                raise DecisionAlreadyRecorded(**differing)
            return ()
        case _:
            assert_never(decision)


def evolve(_decision: Decision, event: Event) -> Decision:
    """The decision after an event."""
    return Recorded(event)


DECISION: Final[Aggregate[Decision, Command, Event]] = Aggregate("decision", Unrecorded(), decide, evolve)


def stream_of(project: ProjectId, kind: ReviewKind, gate: Code | None, decided_on: date) -> UUID:
    """The decision's id: one import after another finds the same decision under the same id."""
    return uuid5(project, f"decision/{kind.value}/{gate or ''}/{decided_on}")
