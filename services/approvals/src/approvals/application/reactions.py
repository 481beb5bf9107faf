"""What approvals does because of what has happened, elsewhere and here."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from approvals.domain.project_reviews import PROJECT_REVIEWS, REVIEWS_ENDED_OF, EndReviews, NoteBreach, stream_of
from approvals.domain.review import (
    AWAITS_MEASURES,
    OPEN_REVIEW_OF,
    REVIEW,
    VOTED_UNDER,
    MarkVotes,
    NoteMeasure,
    WaiveCondition,
    WithdrawReview,
)
from approvals.domain.review_request import REQUEST_OF, REVIEW_REQUEST, AcceptRequest
from govevents.approvals import (
    Breach,
    ConditionOf,
    DelegationRevoked,
    Measure,
    Outcome,
    ReviewConcluded,
    ReviewDrafted,
    ReviewSubmitted,
    Seen,
)
from govevents.document import Recorded
from govevents.projections import KpiMeasured
from govevents.projects import GateBreached, ProjectTerminated
from govkernel.domain import Link, ProjectId, Reaction, ReviewId

REASON = "The project was terminated."


def needs(recorded: Recorded[Any]) -> tuple[Link, ...]:
    """The links that `react` must be given."""
    match recorded.event:
        case ProjectTerminated():
            return (Link(OPEN_REVIEW_OF, recorded.envelope.stream),)
        case ReviewSubmitted(project=project):
            return (Link(REVIEWS_ENDED_OF, project),)
        case ReviewDrafted(project=project, requested=UUID()):
            return (Link(REQUEST_OF, project),)
        case DelegationRevoked():
            return (Link(VOTED_UNDER, recorded.envelope.stream),)
        case KpiMeasured(project=project):
            return (Link(AWAITS_MEASURES, project),)
        case _:
            return ()


def react(recorded: Recorded[Any], find: Mapping[Link, tuple[UUID, ...]]) -> tuple[Reaction, ...]:
    """The commands that follow from an event of projects or projections, or of approvals itself.

    A review that was drafted while its project's end was on the way here is not found by that end; its own submission
    then finds that reviews of the project have ended.
    """
    match recorded.event:
        case ProjectTerminated():
            project = ProjectId(recorded.envelope.stream)
            return (
                Reaction(PROJECT_REVIEWS, stream_of(project), EndReviews(project)),
                *(Reaction(REVIEW, review, WithdrawReview(REASON)) for review in find[Link(OPEN_REVIEW_OF, project)]),
            )
        case GateBreached(phase=phase, gate=gate, began_on=began_on):
            project = ProjectId(recorded.envelope.stream)
            noted = NoteBreach(project, Breach(phase, gate, began_on), recorded.id)
            return (Reaction(PROJECT_REVIEWS, stream_of(project), noted),)
        case ReviewSubmitted(project=project) if find[Link(REVIEWS_ENDED_OF, project)]:
            return (Reaction(REVIEW, recorded.envelope.stream, WithdrawReview(REASON)),)
        case ReviewDrafted(project=project, requested=UUID() as requested) if (
            requested in find[Link(REQUEST_OF, project)]
        ):
            accepting = AcceptRequest(project, ReviewId(recorded.envelope.stream))
            return (Reaction(REVIEW_REQUEST, requested, accepting),)
        case DelegationRevoked(reason=reason):
            delegation = recorded.envelope.stream
            marking = MarkVotes(delegation, reason)
            return tuple(Reaction(REVIEW, review, marking) for review in find[Link(VOTED_UNDER, delegation)])
        case KpiMeasured(project=project, cause=cause):
            # A report's figures name another cause, and are none of a review's business.
            awaiting = {str(review): review for review in find[Link(AWAITS_MEASURES, project)]}
            review = awaiting.get(cause.partition("@")[0])
            noting = NoteMeasure(_measure(recorded.event, recorded), recorded.envelope.time)
            return () if review is None else (Reaction(REVIEW, review, noting),)
        case ReviewConcluded(waives=ConditionOf() as waived, outcome=Outcome.GO, because=because):
            return (Reaction(REVIEW, waived.review, WaiveCondition(waived.condition, _seen(recorded), because)),)
        case _:
            return ()


def _measure(measured: KpiMeasured, recorded: Recorded[Any]) -> Measure:
    return Measure(measured.kpi, measured.value, measured.unit, measured.undefined_because, _seen(recorded))


def _seen(recorded: Recorded[Any]) -> Seen:
    return Seen(str(recorded.envelope.stream), recorded.envelope.version, recorded.hash.hex())
