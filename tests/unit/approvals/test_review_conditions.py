"""Conditions of a Conditional Go: on which terms they are set, and how each ends: met, waived, or past its day."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest
from tests.unit.approvals.people import COUNCIL, PORTFOLIO, PROJECT, REVIEW_STREAM, account
from tests.unit.approvals.reviews import (
    ANY_CONDITIONS,
    APPROVE,
    CONDITIONAL,
    CONDITIONALLY,
    DECIDED,
    DRAFT,
    DRAFTED,
    ESCALATED,
    EXCLUDED,
    OPENED,
    PERMIT,
    PLAN,
    SUBMITTED,
    TODAY,
    TRIAL,
    WITHDRAWN,
    cast,
    concluded,
    condition,
    elector,
    review,
    vote,
)

from approvals.domain.gate_policy import GateDoesNotFitKind
from approvals.domain.review import (
    OPEN_CONDITIONS_OF,
    REVIEW,
    CloseCondition,
    ConditionAlreadyClosed,
    ConditionDueOutOfRange,
    ConditionNotKnown,
    ConditionsNotAllowed,
    LapseCondition,
    LapseNotAllowed,
    RemindOfCondition,
    ReviewNotConcluded,
    ReviewNotKnown,
    TooManyConditions,
    WaiveCondition,
    WaiverIsADeviation,
)
from govevents.approvals import (
    ConditionClosed,
    ConditionLapsed,
    ConditionOf,
    ConditionReminded,
    ConditionTerms,
    ConditionWaived,
    OnLapse,
    Outcome,
    Panel,
    ReviewKind,
    Seen,
)
from govkernel.domain import Deadline, Link, ReviewId

OVER = datetime(2026, 7, 1, tzinfo=UTC)
"""The moment at which the trial's day is over."""
CLOSED = ConditionClosed(PROJECT, 1, (PLAN,), "done")
DECISION = Seen("the waiver's review", 5, "9" * 64)
WAIVE = WaiveCondition(1, DECISION, "The trial is not needed any more.")
WAIVED = ConditionWaived(PROJECT, 1, DECISION, "The trial is not needed any more.")


def lapsed(then: OnLapse = OnLapse.REMINDER) -> ConditionLapsed:
    return ConditionLapsed(PROJECT, PORTFOLIO, 1, account("mia"), date(2026, 6, 30), then, None)


def under(terms: ConditionTerms | None) -> tuple[object, ...]:
    return (DRAFTED, replace(SUBMITTED, conditions=terms))


def test_where_the_policy_lets_nobody_set_conditions_nobody_does() -> None:
    review.given(*under(None)).when(cast("ana", CONDITIONALLY, TRIAL)).then_refused(ConditionsNotAllowed)
    review.given(*under(None)).when(cast("ana", APPROVE)).then(vote("ana", APPROVE))


def test_a_review_ends_with_no_more_conditions_than_the_policy_allows() -> None:
    history = (*under(replace(ANY_CONDITIONS, most=2)), vote("bo", CONDITIONALLY, TRIAL))
    third = condition("Ask the neighbours", "mia", TODAY)
    refusal = review.given(*history).when(cast("ana", CONDITIONALLY, PERMIT, third)).then_refused(TooManyConditions)
    assert refusal.facts == {"conditions": "3", "most": "2"}
    review.given(*history).when(cast("ana", CONDITIONALLY, TRIAL, PERMIT)).then(
        vote("ana", CONDITIONALLY, TRIAL, PERMIT),
        concluded(Outcome.CONDITIONAL_GO, TRIAL, PERMIT, conditionally=2),
    )
    review.given(*history).when(cast("bo", CONDITIONALLY, PERMIT, third)).then(vote("bo", CONDITIONALLY, PERMIT, third))


def test_a_conditions_day_lies_ahead_and_not_too_far() -> None:
    history = under(replace(ANY_CONDITIONS, longest_days=30))
    for due, fits in [
        (TODAY - timedelta(days=1), False),
        (TODAY, True),
        (TODAY + timedelta(days=30), True),
        (TODAY + timedelta(days=31), False),
    ]:
        wanted = condition("Finish the trial", "mia", due)
        asked = review.given(*history).when(cast("ana", CONDITIONALLY, wanted))
        if fits:
            asked.then(vote("ana", CONDITIONALLY, wanted))
        else:
            assert asked.then_refused(ConditionDueOutOfRange).facts == {
                "due": str(due),
                "earliest": "2026-03-02",
                "latest": "2026-04-01",
            }


def test_what_follows_a_lapse_is_what_the_policy_allows() -> None:
    history = under(replace(ANY_CONDITIONS, lapses=(OnLapse.REMINDER, OnLapse.ESCALATION)))
    held = condition("Finish the trial", "mia", date(2026, 6, 30), OnLapse.HOLD)
    refusal = review.given(*history).when(cast("ana", CONDITIONALLY, held)).then_refused(LapseNotAllowed)
    assert refusal.facts == {"on_lapse": "hold", "allowed": "reminder"}
    above = Panel(COUNCIL, (elector("eve"),), EXCLUDED)
    with_a_body = (DRAFTED, replace(SUBMITTED, conditions=ANY_CONDITIONS, escalation=above))
    escalating = condition("Finish the trial", "mia", date(2026, 6, 30), OnLapse.ESCALATION)
    taken = review.given(*with_a_body).when(cast("ana", CONDITIONALLY, escalating)).events
    assert taken is not None
    to_nobody = review.given(*under(ANY_CONDITIONS)).when(cast("ana", CONDITIONALLY, escalating))
    assert to_nobody.then_refused(LapseNotAllowed).facts == {"on_lapse": "escalation", "allowed": "reminder, hold"}


def test_a_condition_reminds_its_owner_and_lapses_at_the_end_of_its_day() -> None:
    history = under(replace(ANY_CONDITIONS, reminder_days=(14, 1)))
    reminders = (OVER - timedelta(days=14), OVER - timedelta(days=1))
    set_ = replace(TRIAL, reminders=reminders)
    events = review.given(*history, vote("bo", APPROVE)).when(cast("ana", CONDITIONALLY, TRIAL)).events
    assert events == (
        vote("ana", CONDITIONALLY, set_),
        concluded(Outcome.CONDITIONAL_GO, set_, approve=1, conditionally=1),
    )
    assert REVIEW.deadlines(events[1]) == (
        Deadline("condition_reminder/1/1", reminders[0]),
        Deadline("condition_reminder/1/2", reminders[1]),
        Deadline("condition_lapse/1", OVER),
    )
    assert REVIEW.on_deadline is not None
    assert REVIEW.on_deadline("condition_reminder/1/2", OVER) == RemindOfCondition(1)
    assert REVIEW.on_deadline("condition_lapse/12", OVER) == LapseCondition(12, OVER)


def test_nobody_is_reminded_at_once_of_a_condition_that_is_due_soon() -> None:
    soon = condition("Finish the trial", "mia", TODAY + timedelta(days=5))
    assert soon.lapses_at is not None
    history = under(replace(ANY_CONDITIONS, reminder_days=(14, 1)))
    events = review.given(*history, vote("bo", APPROVE)).when(cast("ana", CONDITIONALLY, soon)).events
    assert events is not None
    assert events[1] == concluded(
        Outcome.CONDITIONAL_GO,
        replace(soon, reminders=(soon.lapses_at - timedelta(days=1),)),
        approve=1,
        conditionally=1,
    )


def test_an_owner_is_reminded_while_the_condition_is_open() -> None:
    reminded = ConditionReminded(PROJECT, 1, account("mia"), date(2026, 6, 30))
    review.given(*CONDITIONAL).when(RemindOfCondition(1)).then(reminded)
    review.given(*CONDITIONAL, reminded).when(RemindOfCondition(1)).then(reminded)
    review.given(*CONDITIONAL, CLOSED).when(RemindOfCondition(1)).then_nothing()
    review.given(*CONDITIONAL, WAIVED).when(RemindOfCondition(1)).then_nothing()


def test_each_owner_is_reminded_of_their_own_condition() -> None:
    votes = (vote("ana", APPROVE), vote("bo", CONDITIONALLY, TRIAL, PERMIT))
    decided = concluded(Outcome.CONDITIONAL_GO, TRIAL, PERMIT, approve=1, conditionally=1)
    for number, owner, due in ((1, "mia", date(2026, 6, 30)), (2, "max", date(2026, 5, 31))):
        reminded = ConditionReminded(PROJECT, number, account(owner), due)
        review.given(*OPENED, *votes, decided).when(RemindOfCondition(number)).then(reminded)


@pytest.mark.parametrize("then", OnLapse)
def test_a_condition_lapses_once_and_says_what_follows(then: OnLapse) -> None:
    trial = replace(TRIAL, on_lapse=then)
    history = (*OPENED, vote("ana", CONDITIONALLY, trial), vote("bo", APPROVE))
    ended = (*history, concluded(Outcome.CONDITIONAL_GO, trial, approve=1, conditionally=1))
    review.given(*ended).when(LapseCondition(1, OVER - timedelta(microseconds=1))).then_nothing()
    review.given(*ended).when(LapseCondition(1, OVER)).then(lapsed(then))
    review.given(*ended, lapsed(then)).when(LapseCondition(1, OVER)).then_nothing()
    review.given(*ended, CLOSED).when(LapseCondition(1, OVER)).then_nothing()
    review.given(*ended, WAIVED).when(LapseCondition(1, OVER)).then_nothing()


def test_a_lapse_names_the_body_that_the_policy_escalates_to() -> None:
    above = replace(SUBMITTED, escalation=Panel(COUNCIL, (elector("kim"),), EXCLUDED))
    history = (DRAFTED, above, *CONDITIONAL[2:])
    review.given(*history).when(LapseCondition(1, OVER)).then(replace(lapsed(), escalated_to=COUNCIL))


def test_a_condition_set_before_conditions_lapsed_does_not() -> None:
    old = replace(TRIAL, lapses_at=None)
    history = (*OPENED, vote("ana", CONDITIONALLY, old), vote("bo", APPROVE))
    ended = (*history, concluded(Outcome.CONDITIONAL_GO, old, approve=1, conditionally=1))
    review.given(*ended).when(LapseCondition(1, OVER + timedelta(days=999))).then_nothing()
    assert REVIEW.deadlines(ended[-1]) == ()


def test_a_condition_that_has_lapsed_can_still_be_met_or_waived() -> None:
    close = CloseCondition(1, (PLAN,), "done")
    review.given(*CONDITIONAL, lapsed()).when(close).then(CLOSED)
    review.given(*CONDITIONAL, lapsed()).when(WAIVE).then(WAIVED)


def test_a_condition_is_waived_by_a_decision_once() -> None:
    review.given(*CONDITIONAL).when(WAIVE).then(WAIVED)
    review.given(*CONDITIONAL, WAIVED).when(WAIVE).then_nothing()
    review.given(*CONDITIONAL, CLOSED).when(WAIVE).then_nothing()


def test_what_was_waived_is_not_met_afterwards() -> None:
    close = CloseCondition(1, (PLAN,), "done")
    refusal = review.given(*CONDITIONAL, WAIVED).when(close).then_refused(ConditionAlreadyClosed)
    assert refusal.facts == {"waived_by": "the waiver's review"}


def test_a_waiver_is_asked_for_as_a_deviation() -> None:
    waives = ConditionOf(ReviewId(REVIEW_STREAM), 1)
    deviation = replace(DRAFT, kind=ReviewKind.METHODOLOGY_DEVIATION, gate=None, waives=waives)
    review.given().when(deviation).then(
        replace(DRAFTED, kind=ReviewKind.METHODOLOGY_DEVIATION, gate=None, waives=waives)
    )
    review.given().when(replace(DRAFT, waives=waives)).then_refused(WaiverIsADeviation)
    review.given().when(replace(deviation, gate="G2")).then_refused(GateDoesNotFitKind)


@pytest.mark.parametrize("command", [WAIVE, RemindOfCondition(1), LapseCondition(1, OVER)])
def test_conditions_are_those_of_an_outcome(command: WaiveCondition | RemindOfCondition | LapseCondition) -> None:
    review.given().when(command).then_refused(ReviewNotKnown)
    review.given(*DECIDED).when(command).then_refused(ConditionNotKnown)
    for history in ((DRAFTED,), OPENED, ESCALATED, WITHDRAWN):
        review.given(*history).when(command).then_refused(ReviewNotConcluded)


def test_a_project_leads_to_its_open_conditions_until_each_has_ended() -> None:
    link = Link(OPEN_CONDITIONS_OF, PROJECT)
    for history, found in [
        (OPENED, False),
        (DECIDED, False),
        (CONDITIONAL, True),
        ((*CONDITIONAL, lapsed()), True),
        ((*CONDITIONAL, CLOSED), False),
        ((*CONDITIONAL, WAIVED), False),
    ]:
        assert (link in REVIEW.links(REVIEW.fold(history))) is found
