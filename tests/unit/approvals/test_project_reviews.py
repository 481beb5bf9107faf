import pytest
from tests.unit.approvals.people import PORTFOLIO, PROJECT

from approvals.domain.project_reviews import (
    PROJECT_REVIEWS,
    REVIEWS_ENDED_OF,
    EndReviews,
    ProjectHasEnded,
    check_admitted,
    stream_of,
)
from govevents.approvals import ReviewsEnded
from govkernel.domain import Link, ProjectId, Specification

reviews = Specification(PROJECT_REVIEWS)


def test_reviews_of_a_project_end_once() -> None:
    reviews.given().when(EndReviews(PROJECT)).then(ReviewsEnded(PROJECT))
    reviews.given(ReviewsEnded(PROJECT)).when(EndReviews(PROJECT)).then_nothing()


def test_reviews_are_admitted_until_then() -> None:
    check_admitted(PROJECT_REVIEWS.initial)
    with pytest.raises(ProjectHasEnded):
        check_admitted(PROJECT_REVIEWS.fold([ReviewsEnded(PROJECT)]))


def test_the_end_is_found_from_the_project() -> None:
    assert PROJECT_REVIEWS.links(PROJECT_REVIEWS.initial) == frozenset()
    assert PROJECT_REVIEWS.links(PROJECT_REVIEWS.fold([ReviewsEnded(PROJECT)])) == {Link(REVIEWS_ENDED_OF, PROJECT)}


def test_submissions_rely_on_it_so_its_writer_locks_against_them() -> None:
    assert PROJECT_REVIEWS.relied_on


def test_each_project_has_its_own() -> None:
    assert stream_of(PROJECT) != stream_of(ProjectId(PORTFOLIO))
