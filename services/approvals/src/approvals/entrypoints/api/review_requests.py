"""Requests for a review, by whoever has a role at a project, whether or not they may prepare or decide one."""

from collections.abc import Mapping
from itertools import count
from typing import Final
from uuid import UUID

from pydantic import BaseModel, Field

from approvals.adapters import queries
from approvals.adapters.queries import Entry
from approvals.domain import project_reviews
from approvals.domain import review_request as requests
from approvals.domain.gate_policy import GateDoesNotFitKind
from approvals.domain.project_reviews import PROJECT_REVIEWS, ProjectHasEnded
from approvals.domain.review import ReasonMissing
from approvals.domain.review_request import (
    REQUEST_OF,
    REVIEW_REQUEST,
    DeclineRequest,
    RequestAlreadyAccepted,
    RequestAlreadyDeclined,
    RequestReview,
    ReviewAlreadyRequested,
    ReviewRequest,
    ReviewRequestNotKnown,
)
from approvals.entrypoints.api.edge import (
    READ,
    AnyIntent,
    NotImportable,
    ProjectNotKnown,
    api,
    check_happens_now,
    facts_of,
    linked,
    may,
    name_in,
)
from govevents.approvals import ReviewKind
from govkernel.domain import Code, NodeId, PortfolioId, ProjectId, ReviewId, SubjectId, Text
from govkernel.http import Ask, Body, Call, Page
from govkernel.ledger import Intent

STATES: Final[Mapping[type[ReviewRequest], str]] = {
    requests.Open: "open",
    requests.Accepted: "accepted",
    requests.Declined: "declined",
}


class ReviewRequestRequest(Body):
    """Which review is asked for, and why."""

    project: ProjectId
    kind: ReviewKind
    gate: Code | None = None
    reason: Text


class DeclineRequestRequest(Body):
    """Why a request leads to no review."""

    reason: Text


class ReviewRequestView(BaseModel):
    """A request for a review; what it has not come to is null, and so are the names of those who have been erased."""

    request: UUID
    project: ProjectId
    portfolio: PortfolioId
    kind: ReviewKind
    gate: Code | None
    requester: SubjectId
    requester_name: str | None
    reason: str
    state: str = Field(description="open, accepted or declined")
    review: ReviewId | None
    declined_by: SubjectId | None
    declined_by_name: str | None
    declined_because: str | None


@api.command(
    "/review-requests",
    operation="requestReview",
    action="review.request",
    body=ReviewRequestRequest,
    refusals=(
        ProjectNotKnown,
        NotImportable,
        ProjectHasEnded,
        GateDoesNotFitKind,
        ReasonMissing,
        ReviewAlreadyRequested,
    ),
)
async def request_review(call: Call[ReviewRequestRequest]) -> AnyIntent:
    """Ask that a project be reviewed; the same again, while nobody has answered, adds nothing."""
    body = call.body
    await may(call, "review.request", NodeId(body.project))
    check_happens_now(call)
    facts = await facts_of(call, body.project)
    ended = await call.ledger.load(PROJECT_REVIEWS, project_reviews.stream_of(body.project))
    project_reviews.check_admitted(ended.state)
    return Intent(
        REVIEW_REQUEST,
        await _unanswered(call),
        RequestReview(body.project, facts.portfolio, body.kind, body.gate, call.subject, body.reason),
        relies_on=(ended.head,),
        node=NodeId(body.project),
    )


@api.command(
    "/review-requests/{review_request}/declines",
    operation="declineReviewRequest",
    action="review.draft",
    body=DeclineRequestRequest,
    refusals=(ReviewRequestNotKnown, NotImportable, ReasonMissing, RequestAlreadyAccepted, RequestAlreadyDeclined),
)
async def decline_review_request(call: Call[DeclineRequestRequest]) -> AnyIntent:
    """Say why a request leads to no review; whoever prepares a review that names it takes it up instead."""
    stream = call.path_id("review_request")
    state = (await call.load(REVIEW_REQUEST, stream)).state
    assert not isinstance(state, requests.NotRequested), "a stream that exists was requested"
    node = NodeId(state.requested.project)
    await may(call, "review.draft", node)
    check_happens_now(call)
    return Intent(REVIEW_REQUEST, stream, DeclineRequest(call.subject, call.body.reason), node=node)


@api.query("/review-requests/{review_request}", operation="getReviewRequest", response=ReviewRequestView)
async def get_review_request(ask: Ask, review_request: UUID) -> ReviewRequestView:
    """Read a request for a review, and what came of it."""
    loaded = await ask.runtime.ledger.load(REVIEW_REQUEST, review_request)
    if isinstance(loaded.state, requests.NotRequested):
        raise ask.missing("review request", review_request)
    await ask.require(READ, NodeId(loaded.state.requested.project))
    ask.tag(review_request, loaded.head.version)
    return _view(review_request, loaded.state, await _names(ask, loaded.state))


@api.query("/review-requests", operation="listReviewRequests", response=Page[ReviewRequestView], paged=True)
async def list_review_requests(ask: Ask, project: UUID) -> Page[ReviewRequestView]:
    """List the requests for reviews of a project, in the order in which they were made."""
    await ask.require(READ, NodeId(project))
    rows = await linked(ask, REQUEST_OF, project)
    states = {row.stream: (await ask.runtime.ledger.load(REVIEW_REQUEST, row.stream)).state for row in rows}
    known = await _names(ask, *states.values())
    return ask.page(rows, lambda row: _view(row.stream, states[row.stream], known), lambda row: (row.seq,))


async def _unanswered(call: Call[ReviewRequestRequest]) -> UUID:
    """The caller's request for this review that awaits an answer, or else the id of a new one."""
    body = call.body
    for number in count(1):
        stream = requests.stream_of(body.project, body.kind, body.gate, call.subject, number)
        state = (await call.ledger.load(REVIEW_REQUEST, stream)).state
        if isinstance(state, requests.NotRequested | requests.Open):
            return stream
    raise AssertionError("counting does not end")


async def _names(ask: Ask, *states: ReviewRequest) -> Mapping[SubjectId, Entry]:
    asking = {state.requested.requester for state in states if not isinstance(state, requests.NotRequested)}
    declining = {state.declined.declined_by for state in states if isinstance(state, requests.Declined)}
    return await queries.entries(ask.runtime.engine, asking | declining)


def _view(request: UUID, state: ReviewRequest, known: Mapping[SubjectId, Entry]) -> ReviewRequestView:
    assert not isinstance(state, requests.NotRequested), "only a request that was made has this link"
    requested = state.requested
    declined = state.declined if isinstance(state, requests.Declined) else None
    return ReviewRequestView(
        request=request,
        project=requested.project,
        portfolio=requested.portfolio,
        kind=requested.kind,
        gate=requested.gate,
        requester=requested.requester,
        requester_name=name_in(known, requested.requester),
        reason=requested.reason,
        state=STATES[type(state)],
        review=state.accepted.review if isinstance(state, requests.Accepted) else None,
        declined_by=declined.declined_by if declined else None,
        declined_by_name=name_in(known, declined.declined_by) if declined else None,
        declined_because=declined.reason if declined else None,
    )
