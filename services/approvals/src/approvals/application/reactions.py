"""What approvals does because of what has happened: reviews end with their project, and a gate's hear of breaches."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from approvals.domain.project_reviews import PROJECT_REVIEWS, REVIEWS_ENDED_OF, EndReviews, NoteBreach, stream_of
from approvals.domain.review import OPEN_REVIEW_OF, REVIEW, WithdrawReview
from govevents.approvals import Breach, ReviewSubmitted
from govevents.document import Recorded
from govevents.projects import GateBreached, ProjectTerminated
from govkernel.domain import Link, ProjectId, Reaction

REASON = "The project was terminated."


def needs(recorded: Recorded[Any]) -> tuple[Link, ...]:
    """The links that `react` must be given."""
    match recorded.event:
        case ProjectTerminated():
            return (Link(OPEN_REVIEW_OF, recorded.envelope.stream),)
        case ReviewSubmitted(project=project):
            return (Link(REVIEWS_ENDED_OF, project),)
        case _:
            return ()


def react(recorded: Recorded[Any], find: Mapping[Link, tuple[UUID, ...]]) -> tuple[Reaction, ...]:
    """The commands that follow from an event of projects, or of approvals itself.

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
        case _:
            return ()
