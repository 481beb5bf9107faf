from dataclasses import replace
from datetime import date
from decimal import Decimal
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from govevents.risks import (
    Basis,
    Impact,
    MatrixPublished,
    ResponsePlanned,
    RiskAssessed,
    RiskClosed,
    RiskKind,
    RiskOccurred,
    RiskRaised,
    ScoringMethod,
    Severity,
    Strategy,
)
from govkernel.domain import Money, PortfolioId, ProjectId, RiskId, Specification, SubjectId
from risks.domain import issue
from risks.domain.matrix import (
    DEFAULT_DIMENSIONS,
    DEFAULT_IMPACTS,
    DEFAULT_PROBABILITIES,
    DimensionNotInMatrix,
    LevelOutsideMatrix,
    MatrixNotPublished,
)
from risks.domain.risk import (
    RISK,
    STRATEGIES,
    AssessRisk,
    CloseRisk,
    Command,
    CurrencyDiffers,
    MatrixOfAnotherPortfolio,
    MoneyOutOfRange,
    Occurred,
    PlanResponse,
    RaiseRisk,
    RecordOccurrence,
    RiskAlreadyOccurred,
    RiskAlreadyRaised,
    RiskNotKnown,
    RiskNotOpen,
    StrategyDoesNotFit,
)

risk = Specification(RISK)

PROJECT, PORTFOLIO = ProjectId(UUID(int=1)), PortfolioId(UUID(int=2))
ANA = SubjectId(UUID(int=3))
ITSELF = RiskId(UUID(int=4))

RAISE = RaiseRisk(
    PROJECT,
    PORTFOLIO,
    RiskKind.THREAT,
    "Main bursts",
    "The main is old.",
    "It bursts.",
    "The street floods.",
    "technical",
    ANA,
    None,
)
RAISED = RiskRaised(
    PROJECT,
    PORTFOLIO,
    RiskKind.THREAT,
    "Main bursts",
    "The main is old.",
    "It bursts.",
    "The street floods.",
    "technical",
    ANA,
    None,
)
EDITION = MatrixPublished(
    PORTFOLIO, 3, DEFAULT_PROBABILITIES, DEFAULT_IMPACTS, DEFAULT_DIMENSIONS, ScoringMethod.HIGHEST
)
HASH = "a" * 64
ASSESS = AssessRisk(
    Basis.INHERENT,
    EDITION,
    HASH,
    4,
    (Impact("cost", 5), Impact("time", 2)),
    Money(Decimal("100000.50"), "AUD"),
    "As the pipes were seen.",
)
ASSESSED = RiskAssessed(
    PROJECT,
    Basis.INHERENT,
    3,
    HASH,
    4,
    (Impact("cost", 5), Impact("time", 2)),
    Decimal("0.56"),
    Money(Decimal("100000.50"), "AUD"),
    Money(Decimal("70000.3500"), "AUD"),
    "As the pipes were seen.",
)
PLAN = PlanResponse(Strategy.REDUCE, "Line the pipe.", ANA, date(2026, 3, 1), Money(Decimal(9000), "AUD"))
PLANNED = ResponsePlanned(
    PROJECT, Strategy.REDUCE, "Line the pipe.", ANA, date(2026, 3, 1), Money(Decimal(9000), "AUD")
)
OCCUR = RecordOccurrence(ITSELF, "It burst.", Severity.HIGH, ANA)
OCCURRED = RiskOccurred(
    PROJECT,
    PORTFOLIO,
    RiskKind.THREAT,
    issue.stream_of(ITSELF),
    "Main bursts",
    "It burst.",
    Severity.HIGH,
    ANA,
)
CLOSED = RiskClosed(PROJECT, "The pipe is replaced.")


def test_a_risk_is_raised_with_cause_event_and_effect() -> None:
    risk.given().when(RAISE).then(RAISED)


def test_raising_the_same_risk_again_adds_nothing_whatever_happened_since() -> None:
    risk.given(RAISED).when(RAISE).then_nothing()
    risk.given(RAISED, OCCURRED, CLOSED).when(RAISE).then_nothing()


def test_raising_it_with_other_particulars_is_refused_and_names_them() -> None:
    refusal = risk.given(RAISED).when(replace(RAISE, category="legal")).then_refused(RiskAlreadyRaised)
    assert refusal.facts == {"category": "technical on record, legal given"}


@pytest.mark.parametrize("command", [ASSESS, PLAN, OCCUR, CloseRisk("")], ids=lambda command: type(command).__name__)
def test_nothing_but_raising_is_decided_for_an_unknown_risk(command: Command) -> None:
    risk.given().when(command).then_refused(RiskNotKnown)


def test_a_risk_is_scored_under_an_edition_of_the_matrix_with_its_expected_money() -> None:
    risk.given(RAISED).when(ASSESS).then(ASSESSED)


def test_without_money_at_stake_there_is_no_exposure_rather_than_none_of_it() -> None:
    risk.given(RAISED).when(replace(ASSESS, money_at_stake=None)).then(
        replace(ASSESSED, money_at_stake=None, exposure=None)
    )


def test_the_same_assessment_again_adds_nothing() -> None:
    risk.given(RAISED, ASSESSED).when(ASSESS).then_nothing()
    current = replace(ASSESS, basis=Basis.CURRENT)
    risk.given(RAISED, ASSESSED).when(current, ASSESS).then_nothing()


def test_scoring_again_under_a_newer_matrix_is_a_new_assessment() -> None:
    newer = replace(EDITION, number=4)
    risk.given(RAISED, ASSESSED).when(replace(ASSESS, edition=newer, matrix_hash="b" * 64)).then(
        replace(ASSESSED, matrix_number=4, matrix_hash="b" * 64)
    )


def test_a_risk_is_not_scored_without_a_matrix() -> None:
    risk.given(RAISED).when(replace(ASSESS, edition=None, matrix_hash=None)).then_refused(MatrixNotPublished)


def test_a_risk_is_not_scored_under_the_matrix_of_another_portfolio() -> None:
    elsewhere = replace(EDITION, portfolio=PortfolioId(UUID(int=9)))
    risk.given(RAISED).when(replace(ASSESS, edition=elsewhere)).then_refused(MatrixOfAnotherPortfolio)


def test_a_level_or_dimension_outside_the_matrix_is_refused() -> None:
    risk.given(RAISED).when(replace(ASSESS, probability=6)).then_refused(LevelOutsideMatrix)
    risk.given(RAISED).when(replace(ASSESS, impacts=(Impact("fame", 1),))).then_refused(DimensionNotInMatrix)


def test_all_money_of_a_risk_is_in_one_currency() -> None:
    refusal = (
        risk.given(RAISED, ASSESSED)
        .when(replace(ASSESS, basis=Basis.TARGET, money_at_stake=Money(Decimal(5), "USD")))
        .then_refused(CurrencyDiffers)
    )
    assert refusal.facts == {"currency": "USD", "on_record": "AUD"}
    risk.given(RAISED, ASSESSED).when(replace(PLAN, cost=Money(Decimal(5), "USD"))).then_refused(CurrencyDiffers)
    risk.given(RAISED, PLANNED).when(replace(ASSESS, money_at_stake=Money(Decimal(5), "USD"))).then_refused(
        CurrencyDiffers
    )


@pytest.mark.parametrize("amount", ["-1", "1000000000000000", "0.0001"])
def test_money_that_would_not_multiply_exactly_is_refused(amount: str) -> None:
    money = Money(Decimal(amount), "AUD")
    risk.given(RAISED).when(replace(ASSESS, money_at_stake=money)).then_refused(MoneyOutOfRange)
    risk.given(RAISED).when(replace(PLAN, cost=money)).then_refused(MoneyOutOfRange)


@given(
    st.sampled_from(ScoringMethod),
    st.lists(st.integers(1, 1000), min_size=1, max_size=6, unique=True).map(sorted),
    st.lists(st.integers(1, 5), min_size=1, max_size=3),
    st.integers(0, 10**18 - 1),
    st.integers(0, 3),
    st.data(),
)
def test_any_score_under_any_matrix_fits_into_an_event_and_the_exposure_is_exact(
    method: ScoringMethod, thousandths: list[int], levels: list[int], stake: int, zeros: int, data: st.DataObject
) -> None:
    edition = replace(EDITION, method=method, probabilities=tuple(Decimal(each).scaleb(-3) for each in thousandths))
    probability = data.draw(st.integers(1, len(thousandths)))
    impacts = tuple(Impact(dimension, level) for dimension, level in zip(DEFAULT_DIMENSIONS, levels, strict=False))
    money = Money(Decimal(f"{stake // 1000}.{stake % 1000:03}{'0' * zeros}"), "AUD")
    (assessed,) = RISK.decide(
        replace(ASSESS, edition=edition, probability=probability, impacts=impacts, money_at_stake=money),
        RISK.fold((RAISED,)),
    )
    assert isinstance(assessed, RiskAssessed)
    assert assessed.exposure is not None
    assert assessed.exposure.amount.scaleb(6) == thousandths[probability - 1] * stake


@pytest.mark.parametrize("kind", list(RiskKind))
@pytest.mark.parametrize("strategy", list(Strategy))
def test_a_strategy_fits_the_kind_of_risk(kind: RiskKind, strategy: Strategy) -> None:
    threat_only = {Strategy.AVOID, Strategy.REDUCE, Strategy.TRANSFER, Strategy.CONTINGENCY}
    opportunity_only = {Strategy.EXPLOIT, Strategy.ENHANCE}
    decided = risk.given(replace(RAISED, kind=kind)).when(replace(PLAN, strategy=strategy))
    if strategy in (opportunity_only if kind is RiskKind.THREAT else threat_only):
        refusal = decided.then_refused(StrategyDoesNotFit)
        assert refusal.facts["strategies"] == ", ".join(each.value for each in STRATEGIES[kind])
    else:
        decided.then(replace(PLANNED, strategy=strategy))


def test_planning_the_same_response_again_adds_nothing() -> None:
    risk.given(RAISED, PLANNED).when(PLAN).then_nothing()


def test_a_risk_may_have_several_responses() -> None:
    other = replace(PLAN, strategy=Strategy.TRANSFER, action="Insure.")
    risk.given(RAISED, PLANNED).when(other).then(replace(PLANNED, strategy=Strategy.TRANSFER, action="Insure."))


def test_a_risk_that_occurs_names_its_issue_and_stays_on_record() -> None:
    decided = risk.given(RAISED, ASSESSED).when(OCCUR)
    decided.then(OCCURRED)
    assert decided.then_state() == Occurred(RAISED, OCCURRED)


def test_an_occurrence_may_give_its_issue_a_title_of_its_own() -> None:
    named = replace(OCCUR, title="Main 12 burst")
    risk.given(RAISED).when(named).then(replace(OCCURRED, title="Main 12 burst"))
    refusal = risk.given(RAISED, OCCURRED).when(named).then_refused(RiskAlreadyOccurred)
    assert set(refusal.facts) == {"title"}


def test_a_risk_occurs_once() -> None:
    risk.given(RAISED, OCCURRED).when(OCCUR).then_nothing()
    refusal = risk.given(RAISED, OCCURRED).when(replace(OCCUR, severity=Severity.LOW)).then_refused(RiskAlreadyOccurred)
    assert set(refusal.facts) == {"severity"}


def test_a_closed_risk_does_not_occur() -> None:
    risk.given(RAISED, CLOSED).when(OCCUR).then_refused(RiskNotOpen)


@pytest.mark.parametrize("end", [OCCURRED, CLOSED], ids=["occurred", "closed"])
@pytest.mark.parametrize("command", [ASSESS, PLAN], ids=["assess", "plan"])
def test_a_risk_that_is_no_longer_open_is_neither_scored_nor_responded_to(
    command: Command, end: RiskOccurred | RiskClosed
) -> None:
    risk.given(RAISED, end).when(command).then_refused(RiskNotOpen)


def test_a_risk_is_closed_once_also_after_it_occurred() -> None:
    close = CloseRisk("The pipe is replaced.")
    risk.given(RAISED).when(close).then(CLOSED)
    risk.given(RAISED, OCCURRED).when(close).then(CLOSED)
    risk.given(RAISED, CLOSED).when(close).then_nothing()
