"""From parts of rows to figures, and back to the events behind them."""

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, TypeVar
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

import pytest
from tests.support.telling import Teller, day

from govevents.approvals import Outcome, ReviewKind
from govevents.projects import Attribute
from govevents.values import Money, PortfolioId, ProjectId
from projections.application.decision_register import Made
from projections.application.figures import (
    MEASURED_FROM,
    Attributes,
    ConditionDates,
    DecisionTimes,
    Found,
    GateDecision,
    OfProject,
    Period,
    PolicyOfReview,
    ProjectAttributes,
    ProjectState,
    conditions,
    decisions_overturned,
    figures_of,
    first_pass_yield,
    gate_ages,
    gate_duration,
    gates_passed,
    latencies,
    policy_name,
    portfolio,
)
from projections.application.reactions import ProjectNotKnownYet, Reading, Situation, react
from projections.domain.kpis import ConditionCounts, Defined, Share, Undefined, share_of
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


def test_the_first_pass_yield_is_the_share_of_gates_whose_first_decision_was_go() -> None:
    decisions = [
        decided("G1", date(2026, 1, 5), Outcome.RECYCLE),
        decided("G1", date(2026, 2, 5), Outcome.GO),
        decided("G2", date(2026, 3, 1), Outcome.GO),
        decided("G1", date(2026, 3, 2), Outcome.CONDITIONAL_GO, TWO),
        decided("G2", date(2026, 3, 3), None, TWO),
        decided(None, date(2026, 3, 4), Outcome.GO, TWO),
    ]
    every = first_pass_yield(decisions, EPT, ZONES, Period())
    assert every.total == Share(1, 3, 1), "a Conditional Go is no Go, and what isn't known is left out"
    assert every.groups == (("North", Share(1, 2, 0)), (None, Share(0, 1, 1)))
    march = first_pass_yield(decisions, EPT, ZONES, Period(date(2026, 3, 1), date(2026, 3, 2)))
    assert march.total == Share(1, 2, 0), "G1 of the first project was first decided in January"
    assert march.basis[0].facts == {"gate": "G2", "decided": "2026-03-01", "outcome": "go"}
    assert march.basis[0].events == {"decided": "date of G2", "EPT": "one@1"}


@pytest.mark.parametrize(
    ("first", "then", "overturned"),
    [
        (Outcome.GO, Outcome.HOLD, True),
        (Outcome.GO, Outcome.CONDITIONAL_GO, False),
        (Outcome.CONDITIONAL_GO, Outcome.KILL, True),
        (Outcome.KILL, Outcome.GO, True),
        (Outcome.KILL, Outcome.KILL, False),
        (Outcome.RECYCLE, Outcome.GO, False),
        (Outcome.HOLD, Outcome.RECYCLE, False),
        (Outcome.GO, None, None),
        (None, Outcome.KILL, None),
    ],
)
def test_a_decision_is_overturned_where_the_next_one_at_the_gate_goes_against_it(
    first: Outcome | None, then: Outcome | None, overturned: bool | None
) -> None:
    decisions = [decided("G1", date(2026, 2, 1), then), decided("G1", date(2026, 1, 1), first)]
    figures = decisions_overturned(decisions, NO_GROUPS, ZONES, Period(last_day=date(2026, 1, 31)))
    assert figures.total == share_of([overturned])
    assert figures.basis[0].events == {"decided": "date of G1", "then": "date of G1"}


def test_the_last_decision_at_a_gate_has_not_been_overturned() -> None:
    figures = decisions_overturned([decided("G1", date(2026, 1, 1), Outcome.GO)], NO_GROUPS, ZONES, Period())
    assert figures.total == Share(0, 1, 0)


def timed(
    on: date | datetime, gate: str | None = "G1", submitted: datetime | None = None, body: str | None = "Board"
) -> Found[DecisionTimes]:
    moment, plain = (on, None) if isinstance(on, datetime) else (None, on)
    made = Made.BROUGHT_IN if plain is not None else Made.VOTED_HERE
    return found(DecisionTimes(ONE, MELBOURNE, gate, made, None, body, submitted, moment, plain))


def test_a_decision_made_here_took_from_its_submission_in_local_days() -> None:
    # 20:00 UTC is the next day in Melbourne.
    voted = timed(datetime(2026, 3, 9, 20, tzinfo=UTC), submitted=datetime(2026, 3, 4, 1, tzinfo=UTC))
    (board,) = latencies([voted], lambda each: each.row.body_name, ZONES, Period())
    assert (board.made, board.durations.group, board.durations.median) == (
        Made.VOTED_HERE,
        "Board",
        Defined(Decimal(6)),
    )


def test_a_decision_brought_in_took_from_the_gate_before_and_the_first_is_left_out() -> None:
    decisions = [
        timed(date(2020, 3, 1), "G2"),
        timed(date(2020, 1, 1), "G1", body=None),
        timed(date(2020, 3, 11), "G3"),
        timed(date(2020, 3, 15), "G3"),
    ]
    board, nobody = latencies(decisions, lambda each: each.row.body_name, ZONES, Period())
    assert (board.made, board.durations.count, board.durations.median) == (Made.BROUGHT_IN, 3, Defined(Decimal(14)))
    assert (nobody.durations.count, nobody.durations.left_out) == (0, 1)
    (march,) = latencies(decisions, lambda each: each.row.body_name, ZONES, Period(date(2020, 3, 10)))
    assert march.durations.median == Defined(Decimal(12)), "decided again, from the gate before: 10 and 14 days"


def test_decisions_made_here_and_those_brought_in_are_never_mixed() -> None:
    voted = timed(datetime(2026, 3, 9, 1, tzinfo=UTC), submitted=datetime(2026, 3, 4, 1, tzinfo=UTC))
    rows = latencies([timed(date(2020, 1, 1)), voted], lambda each: each.row.body_name, ZONES, Period())
    assert [(each.made, each.durations.group) for each in rows] == [
        (Made.VOTED_HERE, "Board"),
        (Made.BROUGHT_IN, "Board"),
    ]


def test_an_edition_of_a_policy_is_called_by_kind_gate_and_number() -> None:
    gate = PolicyOfReview(ONE, ReviewKind.GATE, "G1", 3)
    assert policy_name(gate) == "gate G1, edition 3"
    assert policy_name(PolicyOfReview(ONE, ReviewKind.BUDGET, None, 1)) == "budget, edition 1"
    assert policy_name(PolicyOfReview(ONE, ReviewKind.GATE, "G1", None)) is None


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
