from datetime import UTC, datetime
from uuid import UUID

import pytest

from govevents.approvals import (
    Condition,
    ConditionClosed,
    ConditionLapsed,
    ConditionWaived,
    Ending,
    OnLapse,
    Outcome,
    ReviewConcluded,
    ReviewKind,
    ReviewWithdrawn,
    Seen,
    Tally,
)
from govevents.document import Origin, Recorded, encode
from govevents.registry import CATALOGUE
from govkernel.domain import PortfolioId, ProjectId, ReviewId, SubjectId
from govkernel.domain.reaction import Reaction
from projects.application.reactions import react
from projects.domain.project import PROJECT, HeedClosure, HeedGate, HeedLapse, HeedReview, SettleCondition, Verdict

THE_PROJECT, PORTFOLIO = ProjectId(UUID(int=1)), PortfolioId(UUID(int=2))
REVIEW, OWNER = ReviewId(UUID(int=3)), SubjectId(UUID(int=5))
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def recorded(event: object) -> Recorded[object]:
    return CATALOGUE.decode(
        encode(
            event,
            service="approvals",
            aggregate="review",
            stream=REVIEW,
            version=1,
            previous_hash=None,
            time=NOON,
            recorded_at=NOON,
            actor="service:approvals",
            command=UUID(int=4),
            correlation="c",
            causation=None,
            origin=Origin.LIVE,
        ).body
    )


def concluded(kind: ReviewKind, gate: str | None, outcome: Outcome, conditions: int = 0) -> Recorded[object]:
    condition = Condition("Settle the easement.", OWNER, NOON.date(), "", OnLapse.HOLD, None)
    return recorded(
        ReviewConcluded(
            project=THE_PROJECT,
            portfolio=PORTFOLIO,
            kind=kind,
            gate=gate,
            about=None,
            waives=None,
            outcome=outcome,
            ending=Ending.DECIDED,
            because="",
            tally=Tally(1, 1, 1, 0, 0, 0, 0, 0),
            conditions=(condition,) * conditions,
            breaches=(),
            body=None,
            submitted_at=NOON,
        )
    )


@pytest.mark.parametrize("outcome", list(Outcome))
def test_a_project_heeds_every_outcome_of_its_gates(outcome: Outcome) -> None:
    assert react(concluded(ReviewKind.GATE, "G1", outcome), {}) == (
        Reaction(PROJECT, THE_PROJECT, HeedGate("G1", REVIEW, Verdict(outcome.value), NOON, 0)),
    )


@pytest.mark.parametrize("outcome", list(Outcome))
def test_a_project_heeds_every_outcome_of_its_closure(outcome: Outcome) -> None:
    assert react(concluded(ReviewKind.CLOSURE, None, outcome), {}) == (
        Reaction(PROJECT, THE_PROJECT, HeedClosure(REVIEW, Verdict(outcome.value), NOON, 0)),
    )


OTHERS = {
    ReviewKind.BASELINE: "a baseline",
    ReviewKind.CHANGE: "a change",
    ReviewKind.BUDGET: "a budget",
    ReviewKind.RISK_ACCEPTANCE: "a risk acceptance",
    ReviewKind.METHODOLOGY_DEVIATION: "a methodology deviation",
}


@pytest.mark.parametrize("outcome", [Outcome.HOLD, Outcome.KILL])
@pytest.mark.parametrize("kind", [kind for kind in ReviewKind if kind not in {ReviewKind.GATE, ReviewKind.CLOSURE}])
def test_a_review_of_any_other_kind_holds_or_kills_its_project_too(kind: ReviewKind, outcome: Outcome) -> None:
    assert react(concluded(kind, None, outcome), {}) == (
        Reaction(PROJECT, THE_PROJECT, HeedReview(OTHERS[kind], REVIEW, Verdict(outcome.value), 0)),
    )


@pytest.mark.parametrize("outcome", [Outcome.GO, Outcome.RECYCLE])
@pytest.mark.parametrize("kind", list(OTHERS))
def test_a_go_or_recycle_of_any_other_kind_changes_nothing_of_its_project(kind: ReviewKind, outcome: Outcome) -> None:
    assert react(concluded(kind, None, outcome), {}) == ()


def test_the_conditions_of_any_review_are_kept() -> None:
    assert react(concluded(ReviewKind.GATE, "G1", Outcome.CONDITIONAL_GO, 2), {}) == (
        Reaction(PROJECT, THE_PROJECT, HeedGate("G1", REVIEW, Verdict.CONDITIONAL_GO, NOON, 2)),
    )
    assert react(concluded(ReviewKind.CLOSURE, None, Outcome.CONDITIONAL_GO, 3), {}) == (
        Reaction(PROJECT, THE_PROJECT, HeedClosure(REVIEW, Verdict.CONDITIONAL_GO, NOON, 3)),
    )
    assert react(concluded(ReviewKind.BUDGET, None, Outcome.CONDITIONAL_GO, 1), {}) == (
        Reaction(PROJECT, THE_PROJECT, HeedReview("a budget", REVIEW, Verdict.CONDITIONAL_GO, 1)),
    )


def test_a_condition_is_settled_when_it_is_met_or_waived() -> None:
    settle = (Reaction(PROJECT, THE_PROJECT, SettleCondition(REVIEW, 1)),)
    assert react(recorded(ConditionClosed(THE_PROJECT, 1, (), "Signed.")), {}) == settle
    assert react(recorded(ConditionWaived(THE_PROJECT, 1, Seen("review", 4, "a" * 64), "")), {}) == settle


@pytest.mark.parametrize("then", list(OnLapse))
def test_a_condition_that_lapses_is_heeded_where_it_asks_for_hold(then: OnLapse) -> None:
    lapsed = recorded(ConditionLapsed(THE_PROJECT, PORTFOLIO, 1, OWNER, NOON.date(), then, None))
    held = (Reaction(PROJECT, THE_PROJECT, HeedLapse(REVIEW, 1, NOON.date())),)
    assert react(lapsed, {}) == (held if then is OnLapse.HOLD else ())


def test_a_review_without_an_outcome_asks_for_nothing() -> None:
    assert react(recorded(ReviewWithdrawn(THE_PROJECT, "Not needed.")), {}) == ()
