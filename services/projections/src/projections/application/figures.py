"""From the rows of read models to the KPIs, and back from each figure to the events that it rests on."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, tzinfo
from decimal import Decimal
from typing import Final, Generic, TypeAlias, TypeVar, assert_never
from uuid import UUID

from govevents.approvals import Outcome, ReviewKind
from govevents.projects import Attribute
from govkernel.domain import BodyId, Code, Currency, Money, Name, PortfolioId, ProjectId
from projections.application.decision_register import Made
from projections.application.reviews import ReviewState
from projections.domain.kpis import (
    BUDGET_FORECAST,
    CONDITIONS_OPEN,
    CONDITIONS_OVERDUE,
    DAYS_SINCE_LAST_GATE,
    ConditionCounts,
    ConditionFact,
    Defined,
    Durations,
    Figure,
    Interval,
    Kpi,
    PortfolioFigures,
    ProjectFact,
    Share,
    approval_interval,
    count_conditions,
    days_since,
    durations,
    durations_by_group,
    local_day,
    portfolio_figures,
    share_of,
)

Row = TypeVar("Row", covariant=True)
Item = TypeVar("Item")
Zones: TypeAlias = Mapping[PortfolioId, tzinfo]

LETTING_THROUGH: Final = frozenset({Outcome.GO, Outcome.CONDITIONAL_GO, None})
"""The outcomes that let a project through a gate; of a decision made elsewhere the outcome may not be known."""


@dataclass(frozen=True, slots=True)
class GateDecision:
    """The part of a decision that figures rest on; one voted here has its moment, one brought in its date."""

    project: ProjectId
    portfolio: PortfolioId
    gate: Code | None
    outcome: Outcome | None
    decided_at: datetime | None
    decided_on: date | None


@dataclass(frozen=True, slots=True)
class DecisionTimes:
    """The part of a decision that says who took how long for it."""

    project: ProjectId
    portfolio: PortfolioId
    gate: Code | None
    made: Made
    body: BodyId | None
    body_name: Name | None
    submitted_at: datetime | None
    decided_at: datetime | None
    decided_on: date | None


@dataclass(frozen=True, slots=True)
class PolicyOfReview:
    """The part of a review that says under which edition of which policy it was opened."""

    project: ProjectId
    kind: ReviewKind
    gate: Code | None
    policy_number: int | None


@dataclass(frozen=True, slots=True)
class ReviewTimes:
    """The part of a review that figures rest on."""

    project: ProjectId
    portfolio: PortfolioId
    state: ReviewState
    body: BodyId | None
    submitted_at: datetime | None
    ended_at: datetime | None


@dataclass(frozen=True, slots=True)
class ConditionDates:
    """The part of a condition that figures rest on."""

    project: ProjectId
    portfolio: PortfolioId
    number: int
    due: date
    set_at: datetime
    ended_at: datetime | None

    def fact(self, zones: Zones) -> ConditionFact:
        """The condition in local days."""
        return condition_fact(self.set_at, self.due, self.ended_at, zones.get(self.portfolio, UTC))


@dataclass(frozen=True, slots=True)
class ProjectState:
    """The part of a project that figures rest on."""

    project: ProjectId
    portfolio: PortfolioId
    reference: Code
    phase: Name | None
    budget_forecast: Money | None


@dataclass(frozen=True, slots=True)
class ProjectAttributes:
    """The part of a project by which it is grouped."""

    project: ProjectId
    attributes: tuple[Attribute, ...]


@dataclass(frozen=True, slots=True)
class Found(Generic[Row]):
    """A row as it was found, or a part of it: its place in its read model, and for each field what last set it."""

    row: Row
    stream: UUID
    key: str
    since: datetime
    provenance: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Basis:
    """What one project, review or condition brought into a figure, and the event behind each of these facts."""

    project: ProjectId
    group: Name | None
    facts: Mapping[str, str]
    events: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class DurationFigures:
    """Durations by group, all of them together, and what they rest on."""

    groups: tuple[Durations, ...]
    total: Durations
    basis: tuple[Basis, ...]


@dataclass(frozen=True, slots=True)
class ConditionFigures:
    """Conditions by group, all of them together, and what they rest on: the open ones."""

    groups: tuple[tuple[Name | None, ConditionCounts], ...]
    total: ConditionCounts
    basis: tuple[Basis, ...]


@dataclass(frozen=True, slots=True)
class ShareFigures:
    """Shares by group, the share of all of them together, and what they rest on."""

    groups: tuple[tuple[Name | None, Share], ...]
    total: Share
    basis: tuple[Basis, ...]


@dataclass(frozen=True, slots=True)
class Period:
    """From the first day to the last, both included; None is without bound."""

    first_day: date | None = None
    last_day: date | None = None

    def covers(self, day: date) -> bool:
        """Whether a day lies within the period."""
        return (self.first_day is None or self.first_day <= day) and (self.last_day is None or day <= self.last_day)


@dataclass(frozen=True, slots=True)
class Latency:
    """How long decisions took: those made here from their submission, others from the gate before them."""

    made: Made
    durations: Durations


@dataclass(frozen=True, slots=True)
class OverviewFigures:
    """Projects by group, all of them together, and what they rest on."""

    groups: tuple[tuple[Name | None, PortfolioFigures], ...]
    total: PortfolioFigures
    basis: tuple[Basis, ...]


@dataclass(frozen=True, slots=True)
class GateAge:
    """How long ago a project was last let through a gate; gate and day are None where that never happened."""

    project: ProjectId
    gate: Code | None
    decided_on: date | None
    age: Figure


@dataclass(frozen=True, slots=True)
class GateAges:
    """The ages of projects, and what they rest on."""

    projects: tuple[GateAge, ...]
    basis: tuple[Basis, ...]


class Attributes:
    """The groups that projects belong to, by an attribute of theirs; without one asked for there is one group."""

    def __init__(self, projects: Iterable[Found[ProjectAttributes]], by: Code | None) -> None:
        self._by = by
        self._groups: dict[ProjectId, tuple[Name, str]] = {}
        if by is None:
            return
        for found in projects:
            for attribute in found.row.attributes:
                if attribute.name == by:
                    self._groups[found.row.project] = attribute.value, found.provenance["attributes"]

    def group(self, project: ProjectId) -> Name | None:
        """The project's group; None where it has no such attribute."""
        found = self._groups.get(project)
        return found[0] if found else None

    def events(self, project: ProjectId) -> dict[str, str]:
        """The event that set the attribute, under its name."""
        found = self._groups.get(project)
        return {self._by: found[1]} if found and self._by is not None else {}


def decided_day(decided_on: date | None, decided_at: datetime | None, zone: tzinfo) -> date:
    """The local day of a decision that has a date or a moment."""
    if decided_on is not None:
        return decided_on
    assert decided_at is not None, "a decision has a date or a moment"
    return local_day(decided_at, zone)


def _day_of(decision: GateDecision, zones: Zones) -> date:
    return decided_day(decision.decided_on, decision.decided_at, zones.get(decision.portfolio, UTC))


def gates_passed(
    decisions: Iterable[Found[GateDecision]], zones: Zones
) -> Mapping[ProjectId, Mapping[Code, tuple[date, Found[GateDecision]]]]:
    """For each project the first decision that let it through each gate, with its day."""
    passed: dict[ProjectId, dict[Code, tuple[date, Found[GateDecision]]]] = {}
    for found in decisions:
        decision = found.row
        if decision.gate is None or decision.outcome not in LETTING_THROUGH:
            continue
        day = _day_of(decision, zones)
        of_project = passed.setdefault(decision.project, {})
        first = of_project.get(decision.gate)
        if first is None or (day, found.since, found.stream) < (first[0], first[1].since, first[1].stream):
            of_project[decision.gate] = day, found
    return passed


def _in_order(
    decisions: Iterable[Found[GateDecision]], zones: Zones
) -> Mapping[tuple[ProjectId, Code], list[tuple[date, Found[GateDecision]]]]:
    """The decisions at each gate of each project with their days, in the order in which they were made."""
    by_gate: dict[tuple[ProjectId, Code], list[tuple[date, Found[GateDecision]]]] = {}
    for found in decisions:
        if found.row.gate is not None:
            by_gate.setdefault((found.row.project, found.row.gate), []).append((_day_of(found.row, zones), found))
    for made in by_gate.values():
        made.sort(key=lambda each: (each[0], each[1].since, each[1].stream))
    return dict(sorted(by_gate.items()))


def first_pass_yield(
    decisions: Iterable[Found[GateDecision]], attributes: Attributes, zones: Zones, period: Period
) -> ShareFigures:
    """Of the gates first decided in a period, the share whose first decision was Go."""
    facts = []
    for (project, gate), made in _in_order(decisions, zones).items():
        day, first = made[0]
        if period.covers(day):
            outcome = first.row.outcome
            passed = None if outcome is None else outcome is Outcome.GO
            facts.append((passed, _share_basis(project, gate, day, first, None, attributes)))
    return _shares(facts)


def decisions_overturned(
    decisions: Iterable[Found[GateDecision]], attributes: Attributes, zones: Zones, period: Period
) -> ShareFigures:
    """Of the gate decisions of a period, the share that the next decision at the same gate went against."""
    facts = []
    for (project, gate), made in _in_order(decisions, zones).items():
        for place, (day, decision) in enumerate(made):
            if period.covers(day):
                following = made[place + 1][1] if place + 1 < len(made) else None
                overturned = _overturned(decision.row.outcome, following)
                facts.append((overturned, _share_basis(project, gate, day, decision, following, attributes)))
    return _shares(facts)


def _overturned(outcome: Outcome | None, following: Found[GateDecision] | None) -> bool | None:
    if outcome is None:
        return None
    if following is None:
        return False
    later = following.row.outcome
    if later is None:
        return None
    match outcome:
        case Outcome.GO | Outcome.CONDITIONAL_GO:
            return later in (Outcome.HOLD, Outcome.RECYCLE, Outcome.KILL)
        case Outcome.KILL:
            return later is not Outcome.KILL
        case Outcome.HOLD | Outcome.RECYCLE:
            return False
        case _:
            assert_never(outcome)


def _share_basis(
    project: ProjectId,
    gate: Code,
    day: date,
    decision: Found[GateDecision],
    following: Found[GateDecision] | None,
    attributes: Attributes,
) -> Basis:
    facts = {"gate": gate, "decided": day.isoformat(), "outcome": _outcome(decision)}
    events = {"decided": _decided_by(decision), **attributes.events(project)}
    if following is not None:
        facts["then"] = _outcome(following)
        events["then"] = _decided_by(following)
    return Basis(project, attributes.group(project), facts, events)


def _outcome(found: Found[GateDecision]) -> str:
    return found.row.outcome.value if found.row.outcome is not None else "not known"


def _shares(facts: Sequence[tuple[bool | None, Basis]]) -> ShareFigures:
    groups: dict[Name | None, list[bool | None]] = {}
    for fact, basis in facts:
        groups.setdefault(basis.group, []).append(fact)
    by_group = {group: share_of(members) for group, members in groups.items()}
    return ShareFigures(
        tuple(sorted(by_group.items(), key=_by_name)),
        share_of(fact for fact, _ in facts),
        tuple(basis for _, basis in facts),
    )


def latency(found: DecisionTimes, before: date | None, zones: Zones) -> tuple[date | None, date]:
    """From when to when a decision took, in local days; `before` is the day of the gate before it."""
    zone = zones.get(found.portfolio, UTC)
    day = decided_day(found.decided_on, found.decided_at, zone)
    match found.made:
        case Made.VOTED_HERE:
            return local_day(found.submitted_at, zone) if found.submitted_at is not None else None, day
        case Made.BROUGHT_IN:
            return before, day
        case _:
            assert_never(found.made)


def gates_before(decisions: Iterable[Found[DecisionTimes]], zones: Zones) -> Mapping[UUID, date]:
    """For each decision at a gate, the last earlier day on which the same project was decided on at another gate.

    Of two gates decided on one day neither is before the other, for nothing says so.
    """
    by_project: dict[ProjectId, list[tuple[date, Code, UUID]]] = {}
    for found in decisions:
        if found.row.gate is not None:
            zone = zones.get(found.row.portfolio, UTC)
            day = decided_day(found.row.decided_on, found.row.decided_at, zone)
            by_project.setdefault(found.row.project, []).append((day, found.row.gate, found.stream))
    before: dict[UUID, date] = {}
    for made in by_project.values():
        for day, gate, stream in made:
            earlier = [other for other, at, _ in made if other < day and at != gate]
            if earlier:
                before[stream] = max(earlier)
    return before


def latencies(
    decisions: Sequence[Found[DecisionTimes]],
    group_of: Callable[[Found[DecisionTimes]], Name | None],
    zones: Zones,
    period: Period,
) -> tuple[Latency, ...]:
    """How long the decisions of a period took, by how they were made and by group; the two are never mixed."""
    before = gates_before(decisions, zones)
    intervals: dict[Made, list[Interval]] = {}
    for found in decisions:
        start, end = latency(found.row, before.get(found.stream), zones)
        if period.covers(end):
            interval = Interval(found.row.project, group_of(found), start, end)
            intervals.setdefault(found.row.made, []).append(interval)
    return tuple(Latency(made, each) for made in Made for each in durations_by_group(intervals.get(made, ())))


def policy_name(policy: PolicyOfReview) -> Name | None:
    """The edition of a policy as people call it; None for a review that was not submitted."""
    if policy.policy_number is None:
        return None
    gate = f" {policy.gate}" if policy.gate is not None else ""
    return f"{policy.kind.value}{gate}, edition {policy.policy_number}"


def last_gate(decisions: Iterable[Found[GateDecision]], zones: Zones) -> tuple[date, Found[GateDecision]] | None:
    """The newest decision that let a project through a gate, with its day; the decisions are those of one project."""
    passed = [
        (_day_of(found.row, zones), found)
        for found in decisions
        if found.row.gate is not None and found.row.outcome in LETTING_THROUGH
    ]
    return max(passed, key=lambda each: (each[0], each[1].since, each[1].stream), default=None)


def gate_duration(
    decisions: Iterable[Found[GateDecision]], attributes: Attributes, zones: Zones, *, start: Code, end: Code
) -> DurationFigures:
    """The time from one gate to another, of the projects that have been let through either."""
    intervals = []
    basis = []
    for project, gates in sorted(gates_passed(decisions, zones).items()):
        found = {gate: gates[gate] for gate in dict.fromkeys((start, end)) if gate in gates}
        if not found:
            continue
        days = {gate: day for gate, (day, _) in found.items()}
        interval = Interval(project, attributes.group(project), days.get(start), days.get(end))
        intervals.append(interval)
        basis.append(
            Basis(
                project,
                interval.group,
                {**{gate: day.isoformat() for gate, day in days.items()}, **_days(interval)},
                {
                    **{gate: _decided_by(decision) for gate, (_, decision) in found.items()},
                    **attributes.events(project),
                },
            )
        )
    return DurationFigures(durations_by_group(intervals), durations(None, intervals), tuple(basis))


def approval_time(
    reviews: Iterable[Found[ReviewTimes]],
    bodies: Mapping[BodyId, Name],
    attributes: Attributes | None,
    zones: Zones,
) -> DurationFigures:
    """The time from submission to conclusion, by body, or by an attribute of the project where one is given."""
    intervals = []
    basis = []
    for found in sorted(reviews, key=lambda each: (each.since, each.stream)):
        review = found.row
        if review.submitted_at is None or review.state is ReviewState.WITHDRAWN:
            continue
        body = bodies.get(review.body) if review.body is not None else None
        group = attributes.group(review.project) if attributes is not None else body
        zone = zones.get(review.portfolio, UTC)
        interval = approval_interval(review.project, group, review.submitted_at, review.ended_at, zone)
        intervals.append(interval)
        facts = {"review": str(found.stream), "submitted": str(interval.start)}
        events = {"submitted": found.provenance["submitted_at"]}
        if interval.end is not None:
            facts["concluded"] = interval.end.isoformat()
            events["concluded"] = found.provenance["ended_at"]
        if attributes is not None:
            events |= attributes.events(review.project)
        basis.append(Basis(review.project, group, {**facts, **_days(interval)}, events))
    return DurationFigures(durations_by_group(intervals), durations(None, intervals), tuple(basis))


def condition_fact(set_at: datetime, due: date, ended_at: datetime | None, zone: tzinfo) -> ConditionFact:
    """A condition in local days."""
    return ConditionFact(local_day(set_at, zone), due, local_day(ended_at, zone) if ended_at is not None else None)


def conditions(
    rows: Iterable[Found[ConditionDates]], attributes: Attributes, zones: Zones, now: datetime
) -> ConditionFigures:
    """The conditions that are open and overdue at a moment, each by the calendar of its own portfolio."""
    counts: dict[Name | None, ConditionCounts] = {}
    basis = []
    for found in sorted(rows, key=lambda each: (each.row.due, each.stream, each.row.number)):
        condition = found.row
        group = attributes.group(condition.project)
        on = local_day(now, zones.get(condition.portfolio, UTC))
        count = count_conditions([condition.fact(zones)], on)
        known = counts.get(group, ConditionCounts(0, 0))
        counts[group] = ConditionCounts(known.open + count.open, known.overdue + count.overdue)
        if count.open:
            basis.append(
                Basis(
                    condition.project,
                    group,
                    {
                        "condition": f"{found.stream}/{condition.number}",
                        "due": condition.due.isoformat(),
                        "state": "overdue" if count.overdue else "open",
                    },
                    {"set": found.provenance["set_at"], **attributes.events(condition.project)},
                )
            )
    total = ConditionCounts(sum(each.open for each in counts.values()), sum(each.overdue for each in counts.values()))
    return ConditionFigures(tuple(sorted(counts.items(), key=_by_name)), total, tuple(basis))


def portfolio(overviews: Iterable[Found[ProjectState]], attributes: Attributes | None) -> OverviewFigures:
    """How many projects are known and their forecast cost, by phase or by an attribute where one is given."""
    facts: list[ProjectFact] = []
    groups: dict[Name | None, list[ProjectFact]] = {}
    basis = []
    for found in sorted(overviews, key=lambda each: (each.row.reference, each.stream)):
        overview = found.row
        fact = ProjectFact(overview.phase, overview.budget_forecast)
        group = attributes.group(overview.project) if attributes is not None else overview.phase
        facts.append(fact)
        groups.setdefault(group, []).append(fact)
        shown: dict[str, str] = {}
        events = {"project": found.provenance["project"]}
        if overview.phase is not None:
            shown["phase"] = overview.phase
            events["phase"] = found.provenance["phase"]
        if overview.budget_forecast is not None:
            shown["budget_forecast"] = f"{overview.budget_forecast.amount} {overview.budget_forecast.currency}"
            events["budget_forecast"] = found.provenance["budget_forecast"]
        if attributes is not None:
            events |= attributes.events(overview.project)
        basis.append(Basis(overview.project, group, shown, events))
    by_group = {group: portfolio_figures(members) for group, members in groups.items()}
    return OverviewFigures(tuple(sorted(by_group.items(), key=_by_name)), portfolio_figures(facts), tuple(basis))


def gate_ages(
    overviews: Iterable[Found[ProjectState]], decisions: Iterable[Found[GateDecision]], zones: Zones, now: datetime
) -> GateAges:
    """How long ago each project was last let through a gate, by the calendar of its own portfolio."""
    by_project: dict[ProjectId, list[Found[GateDecision]]] = {}
    for found in decisions:
        by_project.setdefault(found.row.project, []).append(found)
    ages = []
    basis = []
    for known in sorted(overviews, key=lambda each: (each.row.reference, each.stream)):
        project = known.row.project
        last = last_gate(by_project.get(project, ()), zones)
        on = local_day(now, zones.get(known.row.portfolio, UTC))
        age = days_since(last[0] if last else None, on)
        if last is None:
            ages.append(GateAge(project, None, None, age))
            continue
        day, decision = last
        ages.append(GateAge(project, decision.row.gate, day, age))
        facts = {"gate": str(decision.row.gate), "decided": day.isoformat()}
        basis.append(Basis(project, None, facts, {"decided": _decided_by(decision)}))
    return GateAges(tuple(ages), tuple(basis))


@dataclass(frozen=True, slots=True)
class OfProject:
    """What is known of one project when something about it is measured."""

    overview: Found[ProjectState]
    decisions: Sequence[Found[GateDecision]]
    conditions: Sequence[Found[ConditionDates]]
    zones: Zones
    currency: Currency


MEASURED_FROM: Final[Mapping[str, str]] = {
    CONDITIONS_OPEN.name: "conditions",
    CONDITIONS_OVERDUE.name: "conditions",
    DAYS_SINCE_LAST_GATE.name: "decision_register",
    BUDGET_FORECAST.name: "project_overview",
}
"""The KPIs that mean something for one project, and the read model that each is measured from."""


def figures_of(known: OfProject, on: date) -> tuple[tuple[Kpi, Code, Figure], ...]:
    """The KPIs of one project on a local day, each with its unit: money is in the portfolio's currency."""
    counts = count_conditions([found.row.fact(known.zones) for found in known.conditions], on)
    last = last_gate(known.decisions, known.zones)
    overview = known.overview.row
    forecast = portfolio_figures([ProjectFact(overview.phase, overview.budget_forecast)])
    return (
        (CONDITIONS_OPEN, CONDITIONS_OPEN.unit, _count(counts.open)),
        (CONDITIONS_OVERDUE, CONDITIONS_OVERDUE.unit, _count(counts.overdue)),
        (DAYS_SINCE_LAST_GATE, DAYS_SINCE_LAST_GATE.unit, days_since(last[0] if last else None, on)),
        (BUDGET_FORECAST, known.currency, forecast.budget_forecast(known.currency)),
    )


def _count(number: int) -> Figure:
    return Defined(Decimal(number))


def _decided_by(found: Found[GateDecision]) -> str:
    return found.provenance["decided_on" if found.row.decided_on is not None else "decided_at"]


def _days(interval: Interval) -> dict[str, str]:
    if interval.start is None or interval.end is None:
        return {}
    return {"days": str((interval.end - interval.start).days)}


def _by_name(item: tuple[Name | None, Item]) -> tuple[bool, str]:
    return item[0] is None, item[0] or ""
