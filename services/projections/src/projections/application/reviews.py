"""Reviews as they stand: what is asked, since when, and how many of the electorate have spoken."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from enum import Enum
from typing import Any, Final

from govevents import approvals
from govevents.approvals import Outcome, ReviewKind
from govevents.document import Recorded
from govevents.values import value
from govkernel.domain import BodyId, Code, PersonId, PortfolioId, ProjectId, SubjectId, Text
from govkernel.readmodels import ReadModel


class ReviewState(Enum):
    """Where a review stands."""

    DRAFT = "draft"
    OPEN = "open"
    CONCLUDED = "concluded"
    ESCALATED = "escalated"
    WITHDRAWN = "withdrawn"


@value
class Review:
    """A review. What belongs to its submission is None before, what belongs to its end is None until then.

    `voted` are the persons whose vote stands, in the order of their first votes.
    """

    project: ProjectId
    portfolio: PortfolioId
    kind: ReviewKind
    gate: Code | None
    question: Text
    state: ReviewState
    submitter: SubjectId | None = None
    proposed: Outcome | None = None
    body: BodyId | None = None
    electorate: int | None = None
    votes_needed: int | None = None
    submitted_at: datetime | None = None
    closes_at: datetime | None = None
    voted: tuple[PersonId, ...] = ()
    outcome: Outcome | None = None
    ended_at: datetime | None = None


def evolve(rows: Mapping[str, Review], recorded: Recorded[Any]) -> Mapping[str, Review]:
    """One stream is one review; of other streams there is nothing here."""
    key = str(recorded.envelope.stream)
    match recorded.event:
        case approvals.ReviewDrafted() as drafted:
            made = Review(
                drafted.project, drafted.portfolio, drafted.kind, drafted.gate, drafted.question, ReviewState.DRAFT
            )
            return {key: made}
        case event:
            return {key: _changed(known, event, recorded.envelope.time) for key, known in rows.items()}


def _changed(known: Review, event: Any, time: datetime) -> Review:
    match event:
        case approvals.ReviewSubmitted() as submitted:
            return replace(
                known,
                state=ReviewState.OPEN,
                submitter=submitted.submitter,
                proposed=submitted.proposed,
                body=submitted.body,
                electorate=len(submitted.electorate),
                votes_needed=submitted.votes_needed,
                submitted_at=submitted.submitted_at,
                closes_at=submitted.closes_at,
            )
        case approvals.VoteCast(person=person) if person not in known.voted:
            return replace(known, voted=(*known.voted, person))
        case approvals.ReviewConcluded(outcome=outcome):
            return replace(known, state=ReviewState.CONCLUDED, outcome=outcome, ended_at=time)
        case approvals.ReviewEscalated():
            return replace(known, state=ReviewState.ESCALATED)
        case approvals.ReviewWithdrawn():
            return replace(known, state=ReviewState.WITHDRAWN, ended_at=time)
        case _:
            return known


REVIEWS: Final = ReadModel(
    name="reviews",
    service="approvals",
    version=1,
    row=Review,
    events=(
        approvals.ReviewDrafted,
        approvals.ReviewSubmitted,
        approvals.VoteCast,
        approvals.ReviewConcluded,
        approvals.ReviewEscalated,
        approvals.ReviewWithdrawn,
    ),
    evolve=evolve,
    indexes=(("project",), ("portfolio",)),
)
