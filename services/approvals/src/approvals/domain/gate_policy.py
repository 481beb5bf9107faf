"""A gate policy: who decides a kind of review in a portfolio, by which rule, in which time. It comes in editions."""

from collections import Counter
from dataclasses import dataclass, fields, replace
from decimal import Decimal
from fractions import Fraction
from math import ceil
from typing import Final, TypeAlias, assert_never
from uuid import UUID, uuid5

from govevents.approvals import (
    ConditionTerms,
    Criterion,
    Deliverable,
    Electorate,
    GatePolicyPublished,
    Need,
    OnLapse,
    Outcome,
    Quorum,
    ReviewKind,
    Rule,
    TimeLimit,
)
from govkernel.domain import Aggregate, BodyId, Code, Link, Money, PortfolioId, Refusal, SubjectId

LONGEST_TIME_LIMIT_DAYS: Final = 3650
MOST_ASKED_FOR: Final = 100
"""How many deliverables a policy may ask for, and how many criteria it may have."""
MOST_EVIDENCE_KINDS: Final = 20

POLICY_OF: Final = "policy_of"
"""The link from a portfolio to its policies."""

ANY_CONDITIONS: Final = ConditionTerms(most=None, longest_days=None, lapses=tuple(OnLapse), reminder_days=())
"""The terms of a policy that says nothing of conditions: as many, for as long, with whatever follows."""


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
    escalate_to: BodyId | None = None
    deliverables: tuple[Deliverable, ...] = ()
    criteria: tuple[Criterion, ...] = ()
    conditions: ConditionTerms | None = ANY_CONDITIONS


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


class ReminderOutOfRange(Refusal):
    """Voters are reminded 1 day before a time limit at the latest, and no earlier than a day after it began to run."""


class EscalatesToItself(Refusal):
    """A body that could not decide is not the one that decides in its place."""


class CodeListedTwice(Refusal):
    """Each criterion of a policy has a code of its own, and so has each deliverable."""


class AsksForTooMuch(Refusal):
    """A policy has at most 100 criteria, each with at most 20 kinds of evidence, and at most 100 deliverables."""


class CriterionUnmeasurable(Refusal):
    """A criterion names kinds of evidence, a KPI, or both: what nothing can show nobody can meet."""


class AdvisoryCriterionDecides(Refusal):
    """Only what must be met can fail a review by itself; what should be met advises."""


class FromValueNotPositive(Refusal):
    """What is asked for from a value on names one above zero; what is always asked for names none."""


class FromValuesOfSeveralCurrencies(Refusal):
    """All values from which on a policy asks for something are in one currency."""


class NothingFollowsALapse(Refusal):
    """Terms on conditions name at least one thing that may follow when a condition lapses."""


class ConditionTermsOutOfRange(Refusal):
    """Terms allow at least one condition, of 1 to 3650 days, with reminders that come on one of these days."""


def decide(command: Command, policy: GatePolicy) -> tuple[Event, ...]:
    """What follows from a command; the refusals are those above."""
    check_gate(command.kind, command.gate)
    _check_electorate(command)
    _check_rule(command)
    _check_time_limit(command.time_limit)
    _check_asked_for(command)
    if command.conditions is not None:
        _check_conditions(command.conditions)
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
    if command.escalate_to is not None and command.escalate_to == electorate.body:
        raise EscalatesToItself(body=str(electorate.body))


def _check_rule(command: PublishPolicy) -> None:
    quorum, threshold = command.quorum, command.threshold
    if quorum.minimum < 0 or not 0 <= quorum.share <= 1 or not (quorum.minimum or quorum.share):
        raise QuorumOutOfRange(minimum=str(quorum.minimum), share=str(quorum.share))
    if (command.rule is Rule.THRESHOLD) != (threshold is not None):
        raise ThresholdDoesNotFitRule(rule=command.rule.value, threshold=str(threshold))
    if threshold is not None and not 0 < threshold <= 1:
        raise ThresholdOutOfRange(threshold=str(threshold))
    if command.failed_outcome in {Outcome.GO, Outcome.CONDITIONAL_GO}:
        raise FailureMayNotPass(failed_outcome=command.failed_outcome.value)


def _check_time_limit(limit: TimeLimit | None) -> None:
    if limit is None:
        return
    if not 1 <= limit.days <= LONGEST_TIME_LIMIT_DAYS:
        raise TimeLimitOutOfRange(days=str(limit.days))
    for days in limit.reminder_days:
        if not 1 <= days < limit.days:
            raise ReminderOutOfRange(reminder_days=str(days), days=str(limit.days))


def _check_asked_for(command: PublishPolicy) -> None:
    codes = {
        "deliverables": [each.code for each in command.deliverables],
        "criteria": [each.code for each in command.criteria],
    }
    for what, listed in codes.items():
        if len(listed) > MOST_ASKED_FOR:
            raise AsksForTooMuch(**{what: str(len(listed))})
        twice = sorted(code for code, times in Counter(listed).items() if times > 1)
        if twice:
            raise CodeListedTwice(**{what: ", ".join(twice)})
    for criterion in command.criteria:
        _check_criterion(criterion)
    from_values = [each.from_value for each in command.deliverables] + [each.from_value for each in command.criteria]
    values = [value for value in from_values if value is not None]
    for value in values:
        if value.amount <= 0:
            raise FromValueNotPositive(from_value=f"{value.amount} {value.currency}")
    currencies = sorted({value.currency for value in values})
    if len(currencies) > 1:
        raise FromValuesOfSeveralCurrencies(currencies=", ".join(currencies))


def _check_criterion(criterion: Criterion) -> None:
    kinds = set(criterion.evidence_kinds)
    if len(kinds) > MOST_EVIDENCE_KINDS:
        raise AsksForTooMuch(criterion=criterion.code, evidence_kinds=str(len(kinds)))
    if not kinds and criterion.kpi is None:
        raise CriterionUnmeasurable(criterion=criterion.code)
    if criterion.need is Need.SHOULD and criterion.kpi is not None and criterion.kpi.decides:
        raise AdvisoryCriterionDecides(criterion=criterion.code, kpi=criterion.kpi.kpi)


def _check_conditions(terms: ConditionTerms) -> None:
    if not terms.lapses:
        raise NothingFollowsALapse
    if terms.most is not None and terms.most < 1:
        raise ConditionTermsOutOfRange(most=str(terms.most))
    longest_days = LONGEST_TIME_LIMIT_DAYS if terms.longest_days is None else terms.longest_days
    if not 1 <= longest_days <= LONGEST_TIME_LIMIT_DAYS:
        raise ConditionTermsOutOfRange(longest_days=str(longest_days))
    for days in terms.reminder_days:
        if not 1 <= days <= longest_days:
            raise ConditionTermsOutOfRange(reminder_days=str(days), longest_days=str(longest_days))


def _edition(command: PublishPolicy, number: int) -> GatePolicyPublished:
    """The edition in one order and without repeats, so that the same policy written differently is no new edition."""
    electorate = Electorate(
        roles=tuple(sorted(set(command.electorate.roles), key=lambda role: role.value)),
        people=tuple(sorted(set(command.electorate.people))),
        body=command.electorate.body,
        by_value_band=command.electorate.by_value_band,
    )
    ordered = {
        "number": number,
        "electorate": electorate,
        "veto": tuple(sorted(set(command.veto))),
        "deliverables": tuple(sorted(command.deliverables, key=lambda each: each.code)),
        "criteria": tuple(
            replace(each, evidence_kinds=tuple(sorted(set(each.evidence_kinds))))
            for each in sorted(command.criteria, key=lambda each: each.code)
        ),
    }
    if command.time_limit is not None:
        ordered["time_limit"] = replace(
            command.time_limit, reminder_days=_earliest_first(command.time_limit.reminder_days)
        )
    if command.conditions is not None:
        ordered["conditions"] = replace(
            command.conditions,
            lapses=tuple(each for each in OnLapse if each in command.conditions.lapses),
            reminder_days=_earliest_first(command.conditions.reminder_days),
        )
    return GatePolicyPublished(**{field.name: getattr(command, field.name) for field in fields(command)} | ordered)


def _earliest_first(reminder_days: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(sorted(set(reminder_days), reverse=True))


def evolve(_policy: GatePolicy, event: Event) -> GatePolicy:
    """The policy after an event."""
    return Published(event)


def votes_needed(quorum: Quorum, electors: int) -> int:
    """How many votes an electorate of this size must cast, abstentions included; the share is rounded up, exactly."""
    return max(quorum.minimum, ceil(Fraction(quorum.share) * electors))


def asked_for(
    edition: GatePolicyPublished, value: Money | None
) -> tuple[tuple[Deliverable, ...], tuple[Criterion, ...]]:
    """The deliverables and criteria that an edition asks for at this value. Policies scale: a small project has fewer.

    What is asked for from a value on is asked for at that value itself, and also where the project's value is unknown
    or of another currency, for nothing then says that the project is small.
    """

    def asks(from_value: Money | None) -> bool:
        if from_value is None or value is None or value.currency != from_value.currency:
            return True
        return from_value.amount <= value.amount

    return (
        tuple(each for each in edition.deliverables if asks(each.from_value)),
        tuple(each for each in edition.criteria if asks(each.from_value)),
    )


def _links(policy: GatePolicy) -> frozenset[Link]:
    match policy:
        case Unpublished():
            return frozenset()
        case Published(edition=edition):
            return frozenset({Link(POLICY_OF, edition.portfolio)})
        case _:
            assert_never(policy)


GATE_POLICY: Final[Aggregate[GatePolicy, Command, Event]] = Aggregate(
    "gate_policy", Unpublished(), decide, evolve, links=_links, relied_on=True
)


def stream_of(portfolio: PortfolioId, kind: ReviewKind, gate: Code | None) -> UUID:
    """The policy's id: a portfolio has one for each kind of review and each gate."""
    return uuid5(portfolio, f"policy/{kind.value}/{gate or ''}")
