"""A request for a review, by someone who needs no right to prepare one; it is taken up, or declined with a reason."""

from dataclasses import dataclass
from typing import Final, TypeAlias, assert_never
from uuid import UUID, uuid5

from approvals.domain.gate_policy import check_gate
from approvals.domain.review import ReasonMissing
from govevents.approvals import ReviewKind, ReviewRequestAccepted, ReviewRequestDeclined, ReviewRequested
from govkernel.domain import (
    Aggregate,
    Code,
    Link,
    PortfolioId,
    ProjectId,
    Refusal,
    ReviewId,
    SubjectId,
    Text,
    differences,
)

REQUEST_OF: Final = "review_request_of"
"""The link from a project to the requests for its reviews."""


@dataclass(frozen=True, slots=True)
class NotRequested:
    """Nothing is known under this id."""


@dataclass(frozen=True, slots=True)
class Open:
    """The request awaits an answer."""

    requested: ReviewRequested


@dataclass(frozen=True, slots=True)
class Accepted:
    """The request has led to a review."""

    requested: ReviewRequested
    accepted: ReviewRequestAccepted


@dataclass(frozen=True, slots=True)
class Declined:
    """The request has led to no review; it may still be taken up."""

    requested: ReviewRequested
    declined: ReviewRequestDeclined


ReviewRequest: TypeAlias = NotRequested | Open | Accepted | Declined


@dataclass(frozen=True, slots=True)
class RequestReview:
    """Ask that a project be reviewed."""

    project: ProjectId
    portfolio: PortfolioId
    kind: ReviewKind
    gate: Code | None
    requester: SubjectId
    reason: Text


@dataclass(frozen=True, slots=True)
class AcceptRequest:
    """Note the review of a project that answers the request."""

    project: ProjectId
    review: ReviewId


@dataclass(frozen=True, slots=True)
class DeclineRequest:
    """Say why the request leads to no review."""

    declined_by: SubjectId
    reason: Text


Command: TypeAlias = RequestReview | AcceptRequest | DeclineRequest
Event: TypeAlias = ReviewRequested | ReviewRequestAccepted | ReviewRequestDeclined


class ReviewRequestNotKnown(Refusal):
    """No request for a review is known under this id."""


class ReviewAlreadyRequested(Refusal):
    """The same person asks for the same review already, for another reason, and awaits an answer."""


class RequestOfAnotherProject(Refusal):
    """The request asks for a review of another project."""


class RequestAlreadyAccepted(Refusal):
    """The request has led to a review already."""


class RequestAlreadyDeclined(Refusal):
    """The request was declined already, for another reason."""


def decide(command: Command, request: ReviewRequest) -> tuple[Event, ...]:
    """What follows from a command; the refusals are those above, `check_gate`'s, and ReasonMissing."""
    match command:
        case RequestReview():
            return _request(command, request)
        case AcceptRequest(project=project, review=review):
            match request:
                case Accepted(accepted=accepted) if accepted == ReviewRequestAccepted(project, review):
                    return ()
                case NotRequested() | Open() | Accepted() | Declined():
                    check_answerable(request, project)
                    return (ReviewRequestAccepted(project, review),)
                case _:
                    assert_never(request)
        case DeclineRequest(declined_by=declined_by, reason=reason):
            match request:
                case NotRequested():
                    raise ReviewRequestNotKnown
                case Open(requested=requested):
                    _check_reason(reason)
                    return (ReviewRequestDeclined(requested.project, declined_by, reason),)
                case Declined(declined=declined) if declined.reason == reason:
                    return ()
                case Declined(declined=declined):
                    raise RequestAlreadyDeclined(declined_by=str(declined.declined_by), reason=declined.reason)
                case Accepted(accepted=accepted):
                    raise RequestAlreadyAccepted(review=str(accepted.review))
                case _:
                    assert_never(request)
        case _:
            assert_never(command)


def _request(command: RequestReview, request: ReviewRequest) -> tuple[Event, ...]:
    requested = ReviewRequested(
        command.project, command.portfolio, command.kind, command.gate, command.requester, command.reason
    )
    match request:
        case NotRequested():
            check_gate(command.kind, command.gate)
            _check_reason(command.reason)
            return (requested,)
        case Open(requested=before) | Accepted(requested=before) | Declined(requested=before) if before == requested:
            return ()
        case Open(requested=before) | Accepted(requested=before) | Declined(requested=before):
            raise ReviewAlreadyRequested(**differences(before, requested))
        case _:
            assert_never(request)


def _check_reason(reason: Text) -> None:
    if not reason.strip():
        raise ReasonMissing("Whoever asks for a review says why, and so does whoever declines.")


def evolve(request: ReviewRequest, event: Event) -> ReviewRequest:
    """The request after an event."""
    match event:
        case ReviewRequested():
            return Open(event)
        case ReviewRequestAccepted():
            assert isinstance(request, Open | Declined)
            return Accepted(request.requested, event)
        case ReviewRequestDeclined():
            assert isinstance(request, Open)
            return Declined(request.requested, event)
        case _:
            assert_never(event)


def check_answerable(request: ReviewRequest, project: ProjectId) -> None:
    """Refuse unless a review of the project may answer the request; one that was declined may be taken up after all.

    Raises ReviewRequestNotKnown, RequestOfAnotherProject or RequestAlreadyAccepted.
    """
    match request:
        case NotRequested():
            raise ReviewRequestNotKnown
        case Open(requested=requested) | Declined(requested=requested) | Accepted(requested=requested) if (
            requested.project != project
        ):
            raise RequestOfAnotherProject(requested=str(requested.project), given=str(project))
        case Accepted(accepted=accepted):
            raise RequestAlreadyAccepted(review=str(accepted.review))
        case Open() | Declined():
            return
        case _:
            assert_never(request)


def _links(request: ReviewRequest) -> frozenset[Link]:
    match request:
        case NotRequested():
            return frozenset()
        case Open(requested=requested) | Accepted(requested=requested) | Declined(requested=requested):
            return frozenset({Link(REQUEST_OF, requested.project)})
        case _:
            assert_never(request)


REVIEW_REQUEST: Final[Aggregate[ReviewRequest, Command, Event]] = Aggregate(
    "review_request", NotRequested(), decide, evolve, links=_links, relied_on=True
)


def stream_of(project: ProjectId, kind: ReviewKind, gate: Code | None, requester: SubjectId, number: int) -> UUID:
    """A request's id: a person has one open for the same review; they are counted from 1, the next after an answer."""
    return uuid5(project, f"request/{kind.value}/{gate or ''}/{requester}/{number}")
