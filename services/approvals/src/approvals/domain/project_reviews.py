"""What all reviews of a project share: whether there are any more, and which gates were passed by stealth.

What opens a review relies on this stream, so that a review can't slip past the project's end or a breach.
"""

from dataclasses import dataclass, replace
from typing import Final, TypeAlias, assert_never
from uuid import UUID, uuid5

from govevents.approvals import Breach, BreachNoted, ReviewsEnded
from govkernel.domain import Aggregate, Code, Link, ProjectId, Refusal

REVIEWS_ENDED_OF: Final = "reviews_ended_of"
"""The link from a project that has ended to this stream."""


@dataclass(frozen=True, slots=True)
class Admitted:
    """Reviews of the project may be opened; `breaches` are in the order in which they became known."""

    breaches: tuple[Breach, ...] = ()


@dataclass(frozen=True, slots=True)
class Ended:
    """No review of the project opens any more."""

    breaches: tuple[Breach, ...]
    ended: ReviewsEnded


ProjectReviews: TypeAlias = Admitted | Ended


@dataclass(frozen=True, slots=True)
class EndReviews:
    """Open no more reviews of a project."""

    project: ProjectId


@dataclass(frozen=True, slots=True)
class NoteBreach:
    """Keep that work in a phase has begun by stealth; `reported` is the event of projects that says so."""

    project: ProjectId
    breach: Breach
    reported: Code


Command: TypeAlias = EndReviews | NoteBreach
Event: TypeAlias = ReviewsEnded | BreachNoted


class ProjectHasEnded(Refusal):
    """The project has ended, and nothing of it is reviewed any more."""


def decide(command: Command, reviews: ProjectReviews) -> tuple[Event, ...]:
    """What follows from a command; nothing is refused, and a breach is kept also of a project that has ended."""
    match command:
        case EndReviews(project=project):
            return () if isinstance(reviews, Ended) else (ReviewsEnded(project),)
        case NoteBreach(breach=breach) if breach in reviews.breaches:
            return ()
        case NoteBreach(project=project, breach=breach, reported=reported):
            return (BreachNoted(project, breach, reported),)
        case _:
            assert_never(command)


def evolve(reviews: ProjectReviews, event: Event) -> ProjectReviews:
    """The state after an event."""
    match event:
        case ReviewsEnded():
            return Ended(reviews.breaches, event)
        case BreachNoted(breach=breach):
            return replace(reviews, breaches=(*reviews.breaches, breach))
        case _:
            assert_never(event)


def breaches(reviews: ProjectReviews, gate: Code | None) -> tuple[Breach, ...]:
    """What began before this gate had said so; nothing for a review that is of no gate."""
    return tuple(each for each in reviews.breaches if each.gate == gate)


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
