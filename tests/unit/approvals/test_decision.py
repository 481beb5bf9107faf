from dataclasses import replace
from datetime import date

from tests.unit.approvals.people import PORTFOLIO, PROJECT

from approvals.domain.decision import (
    DECISION,
    DecisionAlreadyRecorded,
    DecisionNotYetMade,
    RecordDecision,
    stream_of,
)
from approvals.domain.gate_policy import GateDoesNotFitKind
from govevents.approvals import DecisionRecorded, Outcome, ReviewKind
from govkernel.domain import Source, Specification

decision = Specification(DECISION)

DAY = date(2016, 5, 25)
SOURCE = Source("gates.csv", "0" * 64, 2)
RECORD = RecordDecision(
    PROJECT, PORTFOLIO, ReviewKind.GATE, "BCA", DAY, "People Leadership Group", None, SOURCE, date(2026, 1, 1)
)
RECORDED = DecisionRecorded(PROJECT, PORTFOLIO, ReviewKind.GATE, "BCA", DAY, "People Leadership Group", None, SOURCE)


def test_a_decision_made_elsewhere_is_recorded_with_its_own_date_body_and_source() -> None:
    decision.given().when(RECORD).then(RECORDED)


def test_importing_it_again_adds_nothing_whatever_file_and_row_it_is_read_from() -> None:
    decision.given(RECORDED).when(RECORD).then_nothing()
    decision.given(RECORDED).when(replace(RECORD, source=Source("gates-2.csv", "1" * 64, 9))).then_nothing()


def test_an_import_that_says_something_else_is_refused_and_names_the_difference() -> None:
    refusal = (
        decision.given(RECORDED)
        .when(replace(RECORD, body_name=None, outcome=Outcome.GO))
        .then_refused(DecisionAlreadyRecorded)
    )
    assert refusal.facts == {
        "body_name": "People Leadership Group on record, None given",
        "outcome": "None on record, Outcome.GO given",
    }


def test_a_decision_of_today_is_recorded_and_one_of_tomorrow_is_a_plan() -> None:
    decision.given().when(replace(RECORD, today=DAY)).then(RECORDED)
    refusal = decision.given().when(replace(RECORD, today=date(2016, 5, 24))).then_refused(DecisionNotYetMade)
    assert refusal.facts == {"decided_on": "2016-05-25", "today": "2016-05-24"}


def test_only_a_decision_about_a_gate_names_one() -> None:
    decision.given().when(replace(RECORD, gate=None)).then_refused(GateDoesNotFitKind)
    decision.given().when(replace(RECORD, kind=ReviewKind.CLOSURE)).then_refused(GateDoesNotFitKind)


def test_decisions_on_other_gates_or_days_are_other_decisions() -> None:
    own = stream_of(PROJECT, ReviewKind.GATE, "BCA", DAY)
    assert own != stream_of(PROJECT, ReviewKind.GATE, "PBC", DAY)
    assert own != stream_of(PROJECT, ReviewKind.GATE, "BCA", date(2016, 5, 26))
