"""From parts of rows to figures, and back to the events behind them."""

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, TypeVar
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

import pytest
from tests.support.telling import Teller, day

from govevents.approvals import Outcome
from govevents.projects import Attribute
from govevents.values import Money, PortfolioId, ProjectId
from projections.application.figures import (
    MEASURED_FROM,
    Attributes,
    ConditionDates,
    Found,
    GateDecision,
    OfProject,
    ProjectAttributes,
    ProjectState,
    conditions,
    figures_of,
    gate_ages,
    gate_duration,
    gates_passed,
    portfolio,
)
from projections.application.reactions import ProjectNotKnownYet, Reading, Situation, react
from projections.domain.kpis import ConditionCounts, Defined, Undefined
from projections.domain.measurement import stream_of

Row = TypeVar("Row")

MELBOURNE, NEW_YORK = PortfolioId(UUID(int=1)), PortfolioId(UUID(int=2))
ZONES = {MELBOURNE: ZoneInfo("Australia/Melbourne"), NEW_YORK: ZoneInfo("America/New_York")}
ONE, TWO = ProjectId(UUID(int=11)), ProjectId(UUID(int=12))


def found(row: Row, **provenance: str) -> Found[Row]:
    return Found(row, uuid4(), "key", day(0), provenance)


def decided(
    gate: str | None,
    on: date | datetime,
    outcome: Outcome | None = None,
    project: ProjectId = ONE,
    portfolio: PortfolioId = MELBOURNE,
) -> Found[GateDecision]:
    moment, plain = (on, None) if isinstance(on, datetime) else (None, on)
    row = GateDecision(project, portfolio, gate, outcome, moment, plain)
    return found(row, decided_at=f"moment of {gate}", decided_on=f"date of {gate}")


def state(project: ProjectId, reference: str, **known: Any) -> Found[ProjectState]:
    row = ProjectState(project, MELBOURNE, reference, known.get("phase"), known.get("forecast"))
    return found(row, project=f"{reference}@1", phase=f"{reference}@2", budget_forecast=f"{reference}@3")


NO_GROUPS = Attributes((), None)
EPT = Attributes([found(ProjectAttributes(ONE, (Attribute("EPT", "North"),)), attributes="one@1")], "EPT")


@pytest.mark.parametrize("outcome", [Outcome.HOLD, Outcome.RECYCLE, Outcome.KILL])
def test_only_what_lets_a_project_through_passes_a_gate(outcome: Outcome) -> None:
    first = decided("G1", date(2026, 1, 1), outcome)
    second = decided("G1", date(2026, 2, 1), Outcome.CONDITIONAL_GO)
    third = decided("G1", date(2026, 3, 1), Outcome.GO)
    other = decided(None, date(2026, 1, 1), Outcome.GO)
    passed = gates_passed([third, first, other, second], ZONES)
    assert passed == {ONE: {"G1": (date(2026, 2, 1), second)}}


def test_a_moment_is_counted_by_the_calendar_of_its_portfolio() -> None:
    midnight = datetime(2026, 1, 31, 20, tzinfo=UTC)
    days = []
    for where in (MELBOURNE, NEW_YORK):
        decisions = [
            decided("A", date(2026, 1, 1), portfolio=where),
            decided("B", midnight, Outcome.GO, portfolio=where),
        ]
        figures = gate_duration(decisions, NO_GROUPS, ZONES, start="A", end="B")
        days.append(figures.total.median)
        assert figures.basis[0].events == {"A": "date of A", "B": "moment of B"}
    assert days == [Defined(Decimal(31)), Defined(Decimal(30))]


def test_projects_that_met_neither_gate_are_not_spoken_of() -> None:
    decisions = [decided("A", date(2026, 1, 1)), decided("C", date(2026, 1, 1), project=TWO)]
    figures = gate_duration(decisions, EPT, ZONES, start="A", end="B")
    assert [(each.group, each.count, each.left_out) for each in figures.groups] == [("North", 0, 1)]
    assert figures.basis[0].facts == {"A": "2026-01-01"}
    assert figures.basis[0].events == {"A": "date of A", "EPT": "one@1"}


def test_conditions_of_several_portfolios_are_each_counted_by_their_own_calendar() -> None:
    due = date(2026, 3, 10)
    rows = [found(ConditionDates(ONE, where, 1, due, day(0), None), set_at="set@1") for where in (MELBOURNE, NEW_YORK)]
    figures = conditions(rows, NO_GROUPS, ZONES, datetime(2026, 3, 10, 20, tzinfo=UTC))
    assert figures.total == ConditionCounts(2, 1)
    assert sorted(each.facts["state"] for each in figures.basis) == ["open", "overdue"]


def test_a_portfolio_is_grouped_by_phase_or_by_an_attribute() -> None:
    rows = [state(ONE, "A", phase="Design", forecast=Money(Decimal(5), "AUD")), state(TWO, "B")]
    assert [(group, each.count) for group, each in portfolio(rows, None).groups] == [("Design", 1), (None, 1)]
    assert [(group, each.count) for group, each in portfolio(rows, EPT).groups] == [("North", 1), (None, 1)]
    events = [each.events for each in portfolio(rows, None).basis]
    assert events == [{"project": "A@1", "phase": "A@2", "budget_forecast": "A@3"}, {"project": "B@1"}]


def test_the_age_of_a_gate_is_that_of_the_newest_passed() -> None:
    decisions = [
        decided("G1", date(2026, 1, 1)),
        decided("G2", date(2026, 2, 1)),
        decided("G3", date(2026, 3, 1), Outcome.HOLD),
    ]
    ages = gate_ages([state(ONE, "A"), state(TWO, "B")], decisions, ZONES, datetime(2026, 2, 11, 1, tzinfo=UTC))
    first, second = ages.projects
    assert (first.gate, first.age) == ("G2", Defined(Decimal(10)))
    assert (second.gate, second.age) == (None, Undefined("no gate has let the project through yet"))


def of_project(**known: Any) -> OfProject:
    return OfProject(state(ONE, "A", **known), (), (), ZONES, "AUD")


def test_a_forecast_in_another_currency_than_the_portfolio_s_is_no_figure_of_it() -> None:
    for forecast, expected in ((Money(Decimal(5), "AUD"), Defined), (Money(Decimal(5), "USD"), Undefined)):
        figures = {
            kpi.name: (unit, figure) for kpi, unit, figure in figures_of(of_project(forecast=forecast), day(0).date())
        }
        unit, figure = figures["budget_forecast"]
        assert unit == "AUD"
        assert isinstance(figure, expected)


def test_every_figure_of_a_project_says_what_it_is_measured_from() -> None:
    names = {kpi.name for kpi, _, _ in figures_of(of_project(), day(0).date())}
    assert names == MEASURED_FROM.keys()


def test_a_submission_is_answered_with_a_figure_for_each_kpi_of_the_project() -> None:
    _, (_, submitted) = Teller().submitted(MELBOURNE, ONE, datetime(2026, 3, 9, 20, tzinfo=UTC))
    readings = {name: Reading(f"{name}@1", ()) for name in MEASURED_FROM.values()}
    reactions = react(submitted, {submitted.id: Situation(of_project(), readings)})
    assert [each.stream for each in reactions] == [stream_of(submitted.id, name) for name in MEASURED_FROM]
    assert {each.command.data_date for each in reactions} == {date(2026, 3, 10)}, "the day in Melbourne"
    undefined = {each.command.kpi for each in reactions if each.command.value is None}
    assert undefined == {"days_since_last_gate", "budget_forecast"}
    assert all(each.command.undefined_because for each in reactions if each.command.value is None)


def test_of_a_project_that_is_not_known_nothing_is_measured_yet() -> None:
    _, (drafted, submitted) = Teller().submitted(MELBOURNE, ONE, day(1))
    with pytest.raises(ProjectNotKnownYet):
        react(submitted, {submitted.id: Situation(None, {})})
    assert react(drafted, {}) == ()
