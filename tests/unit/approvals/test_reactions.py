from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

from tests.unit.approvals.people import BOARD, PORTFOLIO, PROJECT, REVIEW_STREAM, account

from approvals.application.reactions import needs, react
from approvals.domain.project_reviews import PROJECT_REVIEWS, REVIEWS_ENDED_OF, EndReviews, NoteBreach, stream_of
from approvals.domain.review import OPEN_REVIEW_OF, REVIEW, WithdrawReview
from approvals.domain.review_request import REQUEST_OF, REVIEW_REQUEST, AcceptRequest
from govevents.approvals import (
    Breach,
    Outcome,
    Quorum,
    ReviewDrafted,
    ReviewKind,
    ReviewSubmitted,
    ReviewWithdrawn,
    Rule,
    Seen,
)
from govevents.document import Origin, Recorded, encode
from govevents.projects import GateBreached, ProjectTerminated
from govevents.registry import CATALOGUE
from govkernel.domain import Link, Reaction, ReviewId

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
WITHDRAW = WithdrawReview("The project was terminated.")
OPEN_REVIEWS, ENDED = Link(OPEN_REVIEW_OF, PROJECT), Link(REVIEWS_ENDED_OF, PROJECT)
SUBMITTED = ReviewSubmitted(
    project=PROJECT,
    submitter=account("sam"),
    proposed=Outcome.GO,
    policy=Seen("policy", 1, "c" * 64),
    policy_number=1,
    electorate=(),
    excluded=(),
    tied=(),
    quorum=Quorum(1, Decimal(0)),
    votes_needed=1,
    rule=Rule.MAJORITY,
    threshold=None,
    failed_outcome=Outcome.RECYCLE,
    body=BOARD,
    escalation=None,
    evidence=(),
    value=None,
    deliverables=(),
    criteria=(),
    conditions=None,
    open_conditions=(),
    breaches=(),
    findings=(),
    ready=True,
    awaits=(),
    measured_by=None,
    submitted_at=NOON,
    closes_at=None,
    at_time_limit=None,
    reminders=(),
    time_zone="UTC",
)


DRAFTED = ReviewDrafted(
    project=PROJECT,
    portfolio=PORTFOLIO,
    kind=ReviewKind.GATE,
    gate="G1",
    question="May it begin?",
    evidence=(),
    about=None,
    waives=None,
    value=None,
    requested=None,
)


def recorded(event: object, *, service: str, stream: UUID) -> Recorded[Any]:
    document = encode(
        event,
        service=service,
        aggregate="any",
        stream=stream,
        version=1,
        previous_hash=None,
        time=NOON,
        recorded_at=NOON,
        actor="somebody",
        command=uuid4(),
        correlation="1",
        causation=None,
        origin=Origin.LIVE,
    )
    return CATALOGUE.decode(document.body)


TERMINATED = recorded(ProjectTerminated("no money left", None), service="projects", stream=PROJECT)
OPENED = recorded(SUBMITTED, service="approvals", stream=REVIEW_STREAM)


def found(recorded: Recorded[Any], streams: Mapping[Link, tuple[UUID, ...]]) -> dict[Link, tuple[UUID, ...]]:
    return {link: streams.get(link, ()) for link in needs(recorded)}


def test_a_terminated_project_ends_its_reviews_and_those_under_way_are_withdrawn() -> None:
    other = uuid4()
    assert react(TERMINATED, found(TERMINATED, {OPEN_REVIEWS: (REVIEW_STREAM, other)})) == (
        Reaction(PROJECT_REVIEWS, stream_of(PROJECT), EndReviews(PROJECT)),
        Reaction(REVIEW, REVIEW_STREAM, WITHDRAW),
        Reaction(REVIEW, other, WITHDRAW),
    )


def test_a_terminated_project_without_reviews_gets_none_later() -> None:
    assert react(TERMINATED, found(TERMINATED, {})) == (
        Reaction(PROJECT_REVIEWS, stream_of(PROJECT), EndReviews(PROJECT)),
    )


def test_a_review_submitted_while_its_projects_end_was_on_the_way_is_withdrawn() -> None:
    assert react(OPENED, found(OPENED, {ENDED: (stream_of(PROJECT),)})) == (Reaction(REVIEW, REVIEW_STREAM, WITHDRAW),)


def test_a_review_of_a_project_that_goes_on_is_left_alone() -> None:
    assert react(OPENED, found(OPENED, {})) == ()


def test_work_that_began_by_stealth_is_kept_for_whoever_reviews_the_gate() -> None:
    began = date(2026, 3, 1)
    breached = recorded(
        GateBreached(PORTFOLIO, "build", "G2", began, account("sam"), "Diggers on site."),
        service="projects",
        stream=PROJECT,
    )
    assert react(breached, found(breached, {})) == (
        Reaction(PROJECT_REVIEWS, stream_of(PROJECT), NoteBreach(PROJECT, Breach("build", "G2", began), breached.id)),
    )


def test_a_review_that_answers_a_request_is_noted_with_it() -> None:
    request = uuid4()
    drafted = recorded(replace(DRAFTED, requested=request), service="approvals", stream=REVIEW_STREAM)
    assert react(drafted, found(drafted, {Link(REQUEST_OF, PROJECT): (uuid4(), request)})) == (
        Reaction(REVIEW_REQUEST, request, AcceptRequest(PROJECT, ReviewId(REVIEW_STREAM))),
    )


def test_a_review_that_names_what_is_no_request_of_its_project_answers_none() -> None:
    drafted = recorded(replace(DRAFTED, requested=uuid4()), service="approvals", stream=REVIEW_STREAM)
    assert react(drafted, found(drafted, {Link(REQUEST_OF, PROJECT): (uuid4(),)})) == ()


def test_a_review_that_nobody_asked_for_asks_for_no_requests() -> None:
    drafted = recorded(DRAFTED, service="approvals", stream=REVIEW_STREAM)
    assert needs(drafted) == ()
    assert react(drafted, {}) == ()


def test_nothing_follows_from_other_events() -> None:
    withdrawn = recorded(ReviewWithdrawn(PROJECT, "not needed"), service="approvals", stream=REVIEW_STREAM)
    assert needs(withdrawn) == ()
    assert react(withdrawn, {}) == ()
