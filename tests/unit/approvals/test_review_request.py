from dataclasses import replace

import pytest
from tests.unit.approvals.people import COUNCIL as OTHER_STREAM
from tests.unit.approvals.people import PORTFOLIO, PROJECT, REVIEW_STREAM, account

from approvals.domain.gate_policy import GateDoesNotFitKind
from approvals.domain.review import ReasonMissing
from approvals.domain.review_request import (
    REQUEST_OF,
    REVIEW_REQUEST,
    AcceptRequest,
    DeclineRequest,
    Event,
    RequestAlreadyAccepted,
    RequestAlreadyDeclined,
    RequestOfAnotherProject,
    RequestReview,
    ReviewAlreadyRequested,
    ReviewRequestNotKnown,
    stream_of,
)
from govevents.approvals import ReviewKind, ReviewRequestAccepted, ReviewRequestDeclined, ReviewRequested
from govkernel.domain import Link, ProjectId, ReviewId, Specification

request = Specification(REVIEW_REQUEST)

REVIEW, OTHER_REVIEW, OTHER_PROJECT = ReviewId(REVIEW_STREAM), ReviewId(OTHER_STREAM), ProjectId(OTHER_STREAM)
REQUEST = RequestReview(PROJECT, PORTFOLIO, ReviewKind.GATE, "G2", account("con"), "The ground is not what was said.")
REQUESTED = ReviewRequested(PROJECT, PORTFOLIO, ReviewKind.GATE, "G2", account("con"), REQUEST.reason)
ACCEPTED = ReviewRequestAccepted(PROJECT, REVIEW)
DECLINED = ReviewRequestDeclined(PROJECT, account("max"), "The survey is under way.")
DECLINE = DeclineRequest(account("max"), DECLINED.reason)


def test_a_review_is_requested_once() -> None:
    request.given().when(REQUEST).then(REQUESTED)
    request.given(REQUESTED).when(REQUEST).then_nothing()


@pytest.mark.parametrize("answer", [ACCEPTED, DECLINED])
def test_a_request_that_was_answered_is_not_made_again_by_its_repetition(answer: Event) -> None:
    request.given(REQUESTED, answer).when(REQUEST).then_nothing()


def test_asking_again_for_another_reason_is_refused_and_names_both() -> None:
    other = replace(REQUEST, reason="Costs rise.")
    refusal = request.given(REQUESTED).when(other).then_refused(ReviewAlreadyRequested)
    assert refusal.facts == {"reason": "The ground is not what was said. on record, Costs rise. given"}


def test_a_request_names_a_gate_where_it_is_about_one_and_only_there() -> None:
    request.given().when(replace(REQUEST, gate=None)).then_refused(GateDoesNotFitKind)
    request.given().when(replace(REQUEST, kind=ReviewKind.CHANGE)).then_refused(GateDoesNotFitKind)


def test_who_asks_and_who_declines_say_why() -> None:
    request.given().when(replace(REQUEST, reason=" ")).then_refused(ReasonMissing)
    request.given(REQUESTED).when(replace(DECLINE, reason="")).then_refused(ReasonMissing)


def test_a_review_takes_a_request_up_once() -> None:
    request.given(REQUESTED).when(AcceptRequest(PROJECT, REVIEW)).then(ACCEPTED)
    request.given(REQUESTED, ACCEPTED).when(AcceptRequest(PROJECT, REVIEW)).then_nothing()


def test_a_second_review_does_not_take_it_up_again() -> None:
    second = AcceptRequest(PROJECT, OTHER_REVIEW)
    refusal = request.given(REQUESTED, ACCEPTED).when(second).then_refused(RequestAlreadyAccepted)
    assert refusal.facts == {"review": str(REVIEW)}


@pytest.mark.parametrize("answers", [(), (ACCEPTED,), (DECLINED,)])
def test_a_review_of_another_project_does_not_take_it_up(answers: tuple[Event, ...]) -> None:
    elsewhere = AcceptRequest(OTHER_PROJECT, OTHER_REVIEW)
    refusal = request.given(REQUESTED, *answers).when(elsewhere).then_refused(RequestOfAnotherProject)
    assert refusal.facts == {"requested": str(PROJECT), "given": str(OTHER_PROJECT)}


def test_a_request_is_declined_once() -> None:
    request.given(REQUESTED).when(DECLINE).then(DECLINED)
    request.given(REQUESTED, DECLINED).when(DECLINE).then_nothing()
    other = replace(DECLINE, reason="No time.")
    refusal = request.given(REQUESTED, DECLINED).when(other).then_refused(RequestAlreadyDeclined)
    assert refusal.facts == {"declined_by": str(account("max")), "reason": "The survey is under way."}


def test_what_was_taken_up_is_not_declined_and_what_was_declined_may_be_taken_up_after_all() -> None:
    refusal = request.given(REQUESTED, ACCEPTED).when(DECLINE).then_refused(RequestAlreadyAccepted)
    assert refusal.facts == {"review": str(REVIEW)}
    request.given(REQUESTED, DECLINED).when(AcceptRequest(PROJECT, REVIEW)).then(ACCEPTED)
    request.given(REQUESTED, DECLINED, ACCEPTED).when(DECLINE).then_refused(RequestAlreadyAccepted)


def test_what_nobody_asked_for_is_neither_taken_up_nor_declined() -> None:
    request.given().when(AcceptRequest(PROJECT, REVIEW)).then_refused(ReviewRequestNotKnown)
    request.given().when(DECLINE).then_refused(ReviewRequestNotKnown)


@pytest.mark.parametrize("answers", [(), (ACCEPTED,), (DECLINED,)])
def test_a_request_is_found_from_its_project_whatever_came_of_it(answers: tuple[Event, ...]) -> None:
    assert REVIEW_REQUEST.links(REVIEW_REQUEST.fold([REQUESTED, *answers])) == {Link(REQUEST_OF, PROJECT)}
    assert REVIEW_REQUEST.links(REVIEW_REQUEST.initial) == frozenset()


def test_each_person_asks_for_each_review_apart_and_again_after_an_answer() -> None:
    ids = {
        stream_of(PROJECT, ReviewKind.GATE, "G2", account("con"), 1),
        stream_of(PROJECT, ReviewKind.GATE, "G2", account("con"), 2),
        stream_of(PROJECT, ReviewKind.GATE, "G2", account("vic"), 1),
        stream_of(PROJECT, ReviewKind.GATE, "G3", account("con"), 1),
        stream_of(PROJECT, ReviewKind.CHANGE, None, account("con"), 1),
        stream_of(OTHER_PROJECT, ReviewKind.GATE, "G2", account("con"), 1),
    }
    assert len(ids) == 6


@pytest.mark.parametrize("answer", [ACCEPTED, DECLINED])
def test_a_request_that_was_answered_is_not_made_again_for_another_reason(answer: Event) -> None:
    request.given(REQUESTED, answer).when(replace(REQUEST, reason="Costs rise.")).then_refused(ReviewAlreadyRequested)
