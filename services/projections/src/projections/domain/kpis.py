"""The KPIs: their definitions, and the formulas that compute them from facts.

Undefined is undefined, with the reason, and never 0. Values are exact; `shown` rounds, where a person reads them.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, tzinfo
from decimal import ROUND_HALF_UP, Context, Decimal
from enum import Enum
from itertools import groupby
from typing import Final, TypeAlias, TypeVar

from govkernel.domain import Code, Currency, Money, Name, ProjectId, Text, ValueRefused

T = TypeVar("T")

EXACT: Final = Context(prec=80)
"""Wide enough for sums and interpolations of any amounts that events carry."""

MEDIAN: Final = Decimal("0.5")
P80: Final = Decimal("0.8")
P90: Final = Decimal("0.9")


class Direction(Enum):
    """Which way is better; none where a figure only describes."""

    LOWER_IS_BETTER = "lower_is_better"
    HIGHER_IS_BETTER = "higher_is_better"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Threshold:
    """Beyond `bound`, in the direction that is worse, the figure is at this level; `source` says who set it."""

    level: Name
    bound: Decimal
    source: Text


@dataclass(frozen=True, slots=True)
class Kpi:
    """A named, versioned definition; another formula is another version. No thresholds: nobody has set any."""

    name: Code
    version: int
    title: Name
    unit: Code
    formula: Text
    direction: Direction
    thresholds: tuple[Threshold, ...] = ()


@dataclass(frozen=True, slots=True)
class Defined:
    """A figure that has a value."""

    value: Decimal


@dataclass(frozen=True, slots=True)
class Undefined:
    """A figure that has no value, and why."""

    because: Text


Figure: TypeAlias = Defined | Undefined


GATE_DURATION_MEDIAN: Final = Kpi(
    "gate_duration_median",
    1,
    "Time between two gates, median",
    "days",
    "median of (day the later gate was decided - day the earlier gate was decided), in calendar days of the "
    "portfolio's time zone, over projects with both dates; a gate's day is that of its first decision that let the "
    "project through or whose outcome isn't known; percentiles interpolate linearly (type 7)",
    Direction.LOWER_IS_BETTER,
)
GATE_DURATION_P80: Final = Kpi(
    "gate_duration_p80",
    1,
    "Time between two gates, 80th percentile",
    "days",
    "80th percentile of (day the later gate was decided - day the earlier gate was decided), in calendar days of the "
    "portfolio's time zone, over projects with both dates; a gate's day is that of its first decision that let the "
    "project through or whose outcome isn't known; percentiles interpolate linearly (type 7)",
    Direction.LOWER_IS_BETTER,
)
APPROVAL_TIME_MEDIAN: Final = Kpi(
    "approval_time_median",
    1,
    "Approval time by body, median",
    "days",
    "median of (day concluded - day submitted) of reviews, those withdrawn left aside, in calendar days of the "
    "portfolio's time zone; percentiles interpolate linearly (type 7)",
    Direction.LOWER_IS_BETTER,
)
APPROVAL_TIME_P80: Final = Kpi(
    "approval_time_p80",
    1,
    "Approval time by body, 80th percentile",
    "days",
    "80th percentile of (day concluded - day submitted) of reviews, those withdrawn left aside, in calendar days of "
    "the portfolio's time zone; percentiles interpolate linearly (type 7)",
    Direction.LOWER_IS_BETTER,
)
APPROVAL_TIME_P90: Final = Kpi(
    "approval_time_p90",
    1,
    "Approval time by body, 90th percentile",
    "days",
    "90th percentile of (day concluded - day submitted) of reviews, those withdrawn left aside, in calendar days of "
    "the portfolio's time zone; percentiles interpolate linearly (type 7)",
    Direction.LOWER_IS_BETTER,
)
CONDITIONS_OPEN: Final = Kpi(
    "conditions_open",
    2,
    "Open conditions",
    "conditions",
    "number of conditions of Conditional Gos that were set on or before the day and neither met nor waived by then",
    Direction.LOWER_IS_BETTER,
)
CONDITIONS_OVERDUE: Final = Kpi(
    "conditions_overdue",
    2,
    "Overdue conditions",
    "conditions",
    "number of open conditions whose due date lies before the day",
    Direction.LOWER_IS_BETTER,
)
FIRST_PASS_YIELD: Final = Kpi(
    "first_pass_yield",
    1,
    "First-pass yield",
    "share",
    "gates whose first decision was Go / gates first decided in the period, a gate counted once for each project; a "
    "Conditional Go is not a Go; gates whose first outcome isn't known are left out of both, and counted beside it",
    Direction.HIGHER_IS_BETTER,
)
DECISIONS_OVERTURNED: Final = Kpi(
    "decisions_overturned",
    1,
    "Decisions overturned",
    "share",
    "gate decisions of the period that the next decision at the same gate of the same project went against / gate "
    "decisions of the period with a known outcome; after a Go or Conditional Go that is a Hold, Recycle or Kill, after "
    "a Kill anything else; a Go after a Hold or Recycle only goes on",
    Direction.LOWER_IS_BETTER,
)
PROJECTS_KNOWN: Final = Kpi(
    "projects_known",
    1,
    "Projects known",
    "projects",
    "number of projects, in all and by the phase last seen; without a phase they are counted as such",
    Direction.NONE,
)
BUDGET_FORECAST: Final = Kpi(
    "budget_forecast",
    1,
    "Budget forecast",
    "money",
    "sum of the newest budget forecasts of the projects that have one, per currency; the others are counted beside it",
    Direction.NONE,
)

DAYS_SINCE_LAST_GATE: Final = Kpi(
    "days_since_last_gate",
    1,
    "Days since the last gate",
    "days",
    "day - day of the newest decision that let the project through a gate or whose outcome isn't known, in calendar "
    "days of the portfolio's time zone",
    Direction.NONE,
)


@dataclass(frozen=True, slots=True)
class Family:
    """KPIs that are asked for together, under one name, because they rest on the same rows."""

    name: Code
    kpis: tuple[Kpi, ...]


GATE_DURATION: Final = Family("gate_duration", (GATE_DURATION_MEDIAN, GATE_DURATION_P80))
APPROVAL_TIME: Final = Family("approval_time", (APPROVAL_TIME_MEDIAN, APPROVAL_TIME_P80, APPROVAL_TIME_P90))
CONDITIONS: Final = Family("conditions", (CONDITIONS_OPEN, CONDITIONS_OVERDUE))
PORTFOLIO: Final = Family("portfolio", (PROJECTS_KNOWN, BUDGET_FORECAST))
GATE_AGE: Final = Family("gate_age", (DAYS_SINCE_LAST_GATE,))
YIELD: Final = Family("gate_yield", (FIRST_PASS_YIELD,))
OVERTURNED: Final = Family("gate_reversals", (DECISIONS_OVERTURNED,))

FAMILIES: Final = (GATE_DURATION, APPROVAL_TIME, CONDITIONS, PORTFOLIO, GATE_AGE, YIELD, OVERTURNED)
OF_A_PERIOD: Final = (YIELD, OVERTURNED)
"""The families that may be asked for what was decided from one day to another."""
KPIS: Final = tuple(kpi for family in FAMILIES for kpi in family.kpis)


def find(name: str) -> tuple[Family, tuple[Kpi, ...]] | None:
    """The KPIs of a family's name, or the one of its own name with its family; None for no known name."""
    for family in FAMILIES:
        if family.name == name:
            return family, family.kpis
        for kpi in family.kpis:
            if kpi.name == name:
                return family, (kpi,)
    return None


def local_day(moment: datetime, zone: tzinfo) -> date:
    """The calendar day of a moment in a time zone. Raises ValueRefused for a moment without time zone."""
    if moment.tzinfo is None:
        raise ValueRefused("moment", moment, "give a moment with time zone")
    return moment.astimezone(zone).date()


def percentile(values: Iterable[Decimal], share: Decimal) -> Decimal:
    """The value below which that share (0 to 1) of the values lies, interpolated linearly (type 7).

    Raises ValueError where there are no values, or for a share outside 0 to 1.
    """
    ordered = sorted(values)
    if not ordered:
        raise ValueError("values: none; a percentile needs at least one")
    if not 0 <= share <= 1:
        raise ValueError(f"share: {share} is outside 0 to 1; give 0.5 for the median")
    position = (len(ordered) - 1) * share
    below = int(position)
    if below == len(ordered) - 1:
        return ordered[below]
    step = EXACT.subtract(ordered[below + 1], ordered[below])
    return EXACT.fma(step, position - below, ordered[below])


def shown(value: Decimal, decimals: int) -> Decimal:
    """The value as a person reads it: rounded half up."""
    return value.quantize(Decimal(1).scaleb(-decimals), ROUND_HALF_UP, EXACT)


@dataclass(frozen=True, slots=True)
class Interval:
    """From a start to an end, as local days; None where the day isn't known. `group` None is without that attribute."""

    project: ProjectId
    group: Name | None
    start: date | None
    end: date | None


@dataclass(frozen=True, slots=True)
class Durations:
    """How long the intervals of a group took, in calendar days.

    `count` are those with both days, `left_out` those without. `negative` ended before they started: they are in the
    figures, for leaving out what looks wrong would flatter, and are named so that someone can look.
    """

    group: Name | None
    count: int
    median: Figure
    p80: Figure
    p90: Figure
    left_out: int
    negative: tuple[ProjectId, ...]


def durations(group: Name | None, intervals: Iterable[Interval]) -> Durations:
    """The durations of these intervals together, whatever their own groups."""
    days: list[Decimal] = []
    negative: list[ProjectId] = []
    left_out = 0
    for interval in intervals:
        if interval.start is None or interval.end is None:
            left_out += 1
            continue
        took = (interval.end - interval.start).days
        days.append(Decimal(took))
        if took < 0:
            negative.append(interval.project)
    if not days:
        nothing = Undefined(f"none of {left_out} has both dates")
        return Durations(group, 0, nothing, nothing, nothing, left_out, ())
    median, p80, p90 = (Defined(percentile(days, share)) for share in (MEDIAN, P80, P90))
    return Durations(group, len(days), median, p80, p90, left_out, tuple(negative))


def durations_by_group(intervals: Iterable[Interval]) -> tuple[Durations, ...]:
    """The durations of each group, in order of name, those without a group last."""
    return tuple(durations(group, members) for group, members in _grouped(intervals, lambda each: each.group))


def approval_interval(
    project: ProjectId, body: Name | None, submitted: datetime, concluded: datetime | None, zone: tzinfo
) -> Interval:
    """The time that a body took for a review; None where it hasn't concluded."""
    end = None if concluded is None else local_day(concluded, zone)
    return Interval(project, body, local_day(submitted, zone), end)


def days_since(last: date | None, on: date) -> Figure:
    """How many calendar days lie between a day and a later one; undefined where the earlier isn't known."""
    if last is None:
        return Undefined("no gate has let the project through yet")
    return Defined(Decimal((on - last).days))


@dataclass(frozen=True, slots=True)
class ConditionFact:
    """A condition of a Conditional Go, and when it was met or waived; the days are local."""

    set_on: date
    due: date
    ended_on: date | None


@dataclass(frozen=True, slots=True)
class ConditionCounts:
    """How many conditions were open on a day, and how many of these overdue."""

    open: int
    overdue: int


def count_conditions(conditions: Iterable[ConditionFact], on: date) -> ConditionCounts:
    """The conditions as they stood at the end of a day; one that is due on that very day isn't overdue."""
    still_open = [each for each in conditions if each.set_on <= on and (each.ended_on is None or each.ended_on > on)]
    return ConditionCounts(len(still_open), sum(each.due < on for each in still_open))


@dataclass(frozen=True, slots=True)
class Share:
    """How many of those that count are so; `left_out` are those of which that isn't known."""

    part: int
    whole: int
    left_out: int

    def figure(self, nothing: Text) -> Figure:
        """The part of the whole, 0 to 1, undefined for this reason where nothing counts."""
        return Defined(EXACT.divide(Decimal(self.part), Decimal(self.whole))) if self.whole else Undefined(nothing)


def share_of(facts: Iterable[bool | None]) -> Share:
    """How many are so, of those of which it is known; None is not known."""
    known = tuple(facts)
    return Share(known.count(True), len(known) - known.count(None), known.count(None))


@dataclass(frozen=True, slots=True)
class ProjectFact:
    """What is known of a project: the phase last seen and the newest budget forecast, None where nothing said so."""

    phase: Name | None
    budget_forecast: Money | None


@dataclass(frozen=True, slots=True)
class PhaseCount:
    """How many projects were last seen in a phase; None is no phase."""

    phase: Name | None
    count: int


@dataclass(frozen=True, slots=True)
class BudgetSum:
    """The sum of the budget forecasts in one currency, and of how many projects."""

    currency: Currency
    amount: Decimal
    count: int


@dataclass(frozen=True, slots=True)
class PortfolioFigures:
    """A portfolio at a glance; `without_forecast` projects are in no sum."""

    count: int
    by_phase: tuple[PhaseCount, ...]
    budget_forecasts: tuple[BudgetSum, ...]
    without_forecast: int

    def budget_forecast(self, currency: Currency) -> Figure:
        """The sum in one currency, undefined where no project has a forecast in it."""
        for each in self.budget_forecasts:
            if each.currency == currency:
                return Defined(each.amount)
        return Undefined(f"none of {self.count} projects has a budget forecast in {currency}")


def portfolio_figures(projects: Iterable[ProjectFact]) -> PortfolioFigures:
    """The figures of these projects: phases in order of name with None last, sums in order of currency."""
    known = tuple(projects)
    forecasts = [each.budget_forecast for each in known if each.budget_forecast is not None]
    sums: dict[Currency, Decimal] = {}
    for forecast in forecasts:
        sums[forecast.currency] = EXACT.add(sums.get(forecast.currency, Decimal(0)), forecast.amount)
    counts = Counter(forecast.currency for forecast in forecasts)
    return PortfolioFigures(
        len(known),
        tuple(PhaseCount(phase, len(members)) for phase, members in _grouped(known, lambda each: each.phase)),
        tuple(BudgetSum(currency, sums[currency], counts[currency]) for currency in sorted(sums)),
        len(known) - len(forecasts),
    )


def _grouped(items: Iterable[T], name_of: Callable[[T], Name | None]) -> Sequence[tuple[Name | None, tuple[T, ...]]]:
    def order(item: T) -> tuple[bool, str]:
        name = name_of(item)
        return name is None, name or ""

    groups = groupby(sorted(items, key=order), key=name_of)
    return [(name, tuple(members)) for name, members in groups]
