"""A gate policy: who decides a kind of review in a portfolio, by which rule, in which time. It comes in editions."""

from dataclasses import dataclass, fields
from decimal import Decimal
from fractions import Fraction
from math import ceil
from typing import Final, TypeAlias, assert_never
from uuid import UUID, uuid5

from govevents.approvals import (
    Electorate,
    GatePolicyPublished,
    Outcome,
    Quorum,
    ReviewKind,
    Rule,
    TimeLimit,
)
from govkernel.domain import Aggregate, Code, PortfolioId, Refusal, SubjectId

LONGEST_TIME_LIMIT_DAYS: Final = 3650


@dataclass(frozen=True, slots=True)
class Unpublished:
    """The portfolio has no policy for this kind of review."""


@dataclass(frozen=True, slots=True)
class Published:
    """The edition that reviews are opened under now."""

    edition: GatePolicyPublished


GatePolicy: TypeAlias = Unpublished | Published


@dataclass(frozen=True, slots=True)
class PublishPolicy:
    """Let this be the next edition; the fields are those of GatePolicyPublished."""

    portfolio: PortfolioId
    kind: ReviewKind
    gate: Code | None
    electorate: Electorate
    quorum: Quorum
    rule: Rule
    threshold: Decimal | None
    veto: tuple[SubjectId, ...]
    sponsor_may_vote: bool
    time_limit: TimeLimit | None
    failed_outcome: Outcome = Outcome.RECYCLE


Command: TypeAlias = PublishPolicy
Event: TypeAlias = GatePolicyPublished


class GateDoesNotFitKind(Refusal):
    """What is about a gate names the gate, and what is about anything else names none."""


class ElectorateEmpty(Refusal):
    """A policy says who votes: by role, by name, by a body or by value bands."""


class ElectorateNamesTwoBodies(Refusal):
    """One body decides: the one that is named, or the one that the value bands name."""


class QuorumOutOfRange(Refusal):
    """A quorum asks for at least one vote, and for a share of 0 to 1 of the electorate."""


class ThresholdDoesNotFitRule(Refusal):
    """The rule threshold comes with the share that must approve, and no other rule does."""


class ThresholdOutOfRange(Refusal):
    """A threshold is a share of the electorate above 0 and up to 1."""


class TimeLimitOutOfRange(Refusal):
    """A time limit has 1 to 3650 days."""


class FailureMayNotPass(Refusal):
    """A review that fails comes to Hold, Recycle or Kill: nothing passes by default."""


def decide(command: Command, policy: GatePolicy) -> tuple[Event, ...]:
    """What follows from a command; the refusals are those above."""
    check_gate(command.kind, command.gate)
    _check_electorate(command)
    _check_rule(command)
    match policy:
        case Unpublished():
            return (_edition(command, 1),)
        case Published(edition=edition) if _edition(command, edition.number) == edition:
            return ()
        case Published(edition=edition):
            return (_edition(command, edition.number + 1),)
        case _:
            assert_never(policy)


def check_gate(kind: ReviewKind, gate: Code | None) -> None:
    """Raise GateDoesNotFitKind unless exactly what is about a gate names one."""
    if (kind is ReviewKind.GATE) != (gate is not None):
        raise GateDoesNotFitKind(kind=kind.value, gate=gate or "none")


def _check_electorate(command: PublishPolicy) -> None:
    electorate = command.electorate
    if electorate.body is not None and electorate.by_value_band:
        raise ElectorateNamesTwoBodies(body=str(electorate.body))
    if not (electorate.roles or electorate.people or electorate.body or electorate.by_value_band):
        raise ElectorateEmpty


def _check_rule(command: PublishPolicy) -> None:
    quorum, threshold, time_limit = command.quorum, command.threshold, command.time_limit
    if quorum.minimum < 0 or not 0 <= quorum.share <= 1 or not (quorum.minimum or quorum.share):
        raise QuorumOutOfRange(minimum=str(quorum.minimum), share=str(quorum.share))
    if (command.rule is Rule.THRESHOLD) != (threshold is not None):
        raise ThresholdDoesNotFitRule(rule=command.rule.value, threshold=str(threshold))
    if threshold is not None and not 0 < threshold <= 1:
        raise ThresholdOutOfRange(threshold=str(threshold))
    if time_limit is not None and not 1 <= time_limit.days <= LONGEST_TIME_LIMIT_DAYS:
        raise TimeLimitOutOfRange(days=str(time_limit.days))
    if command.failed_outcome in {Outcome.GO, Outcome.CONDITIONAL_GO}:
        raise FailureMayNotPass(failed_outcome=command.failed_outcome.value)


def _edition(command: PublishPolicy, number: int) -> GatePolicyPublished:
    # One order and no repeats, so that the same policy written differently is no new edition.
    electorate = Electorate(
        roles=tuple(sorted(set(command.electorate.roles), key=lambda role: role.value)),
        people=tuple(sorted(set(command.electorate.people))),
        body=command.electorate.body,
        by_value_band=command.electorate.by_value_band,
    )
    given = {field.name: getattr(command, field.name) for field in fields(command)}
    return GatePolicyPublished(
        **given | {"number": number, "electorate": electorate, "veto": tuple(sorted(set(command.veto)))}
    )


def evolve(_policy: GatePolicy, event: Event) -> GatePolicy:
    """The policy after an event."""
    return Published(event)


def votes_needed(quorum: Quorum, electors: int) -> int:
    """How many votes an electorate of this size must cast, abstentions included; the share is rounded up, exactly."""
    return max(quorum.minimum, ceil(Fraction(quorum.share) * electors))


GATE_POLICY: Final[Aggregate[GatePolicy, Command, Event]] = Aggregate(
    "gate_policy", Unpublished(), decide, evolve, relied_on=True
)


def stream_of(portfolio: PortfolioId, kind: ReviewKind, gate: Code | None) -> UUID:
    """The policy's id: a portfolio has one for each kind of review and each gate."""
    return uuid5(portfolio, f"policy/{kind.value}/{gate or ''}")
