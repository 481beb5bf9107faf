"""Whether a project is reviewed at all: once it has ended, nothing of it is.

What opens a review relies on this stream, so that a review and the project's end can't slip past each other.
"""

from dataclasses import dataclass
from typing import Final, TypeAlias, assert_never
from uuid import UUID, uuid5

from govevents.approvals import ReviewsEnded
from govkernel.domain import Aggregate, Link, ProjectId, Refusal

REVIEWS_ENDED_OF: Final = "reviews_ended_of"
"""The link from a project that has ended to this stream."""


@dataclass(frozen=True, slots=True)
class Admitted:
    """Reviews of the project may be opened."""


@dataclass(frozen=True, slots=True)
class Ended:
    """No review of the project opens any more."""

    ended: ReviewsEnded


ProjectReviews: TypeAlias = Admitted | Ended


@dataclass(frozen=True, slots=True)
class EndReviews:
    """Open no more reviews of a project."""

    project: ProjectId


Command: TypeAlias = EndReviews
Event: TypeAlias = ReviewsEnded


class ProjectHasEnded(Refusal):
    """The project has ended, and nothing of it is reviewed any more."""


def decide(command: Command, reviews: ProjectReviews) -> tuple[Event, ...]:
    """What follows from a command; nothing is refused."""
    match reviews:
        case Admitted():
            return (ReviewsEnded(command.project),)
        case Ended():
            return ()
        case _:
            assert_never(reviews)


def evolve(_reviews: ProjectReviews, event: Event) -> ProjectReviews:
    """The state after an event."""
    return Ended(event)


def check_admitted(reviews: ProjectReviews) -> None:
    """Raise ProjectHasEnded unless reviews of the project may be opened."""
    match reviews:
        case Admitted():
            return
        case Ended():
            raise ProjectHasEnded
        case _:
            assert_never(reviews)


def _links(reviews: ProjectReviews) -> frozenset[Link]:
    match reviews:
        case Admitted():
            return frozenset()
        case Ended(ended=ended):
            return frozenset({Link(REVIEWS_ENDED_OF, ended.project)})
        case _:
            assert_never(reviews)


PROJECT_REVIEWS: Final[Aggregate[ProjectReviews, Command, Event]] = Aggregate(
    "project_reviews", Admitted(), decide, evolve, links=_links, relied_on=True
)


def stream_of(project: ProjectId) -> UUID:
    """The stream's id: a project has one."""
    return uuid5(project, "reviews")
