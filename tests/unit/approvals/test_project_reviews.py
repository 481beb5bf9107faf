from datetime import date

import pytest
from tests.unit.approvals.people import PORTFOLIO, PROJECT

from approvals.domain.project_reviews import (
    PROJECT_REVIEWS,
    REVIEWS_ENDED_OF,
    EndReviews,
    NoteBreach,
    ProjectHasEnded,
    breaches,
    check_admitted,
    stream_of,
)
from govevents.approvals import Breach, BreachNoted, ReviewsEnded
from govkernel.domain import Link, ProjectId, Specification

reviews = Specification(PROJECT_REVIEWS)

BREACH = Breach("build", "G2", date(2026, 3, 2))
NOTED = BreachNoted(PROJECT, BREACH, "project@7")
NOTE = NoteBreach(PROJECT, BREACH, "project@7")


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


def test_a_breach_is_noted_once_however_often_it_is_reported() -> None:
    reviews.given().when(NOTE).then(NOTED)
    reviews.given(NOTED).when(NOTE).then_nothing()
    reviews.given(NOTED).when(NoteBreach(PROJECT, BREACH, "project@8")).then_nothing()


def test_work_by_stealth_on_another_day_is_another_breach() -> None:
    later = Breach("build", "G2", date(2026, 3, 3))
    reviews.given(NOTED).when(NoteBreach(PROJECT, later, "project@8")).then(BreachNoted(PROJECT, later, "project@8"))


def test_each_breach_stays_noted_when_another_comes() -> None:
    later = BreachNoted(PROJECT, Breach("build", "G2", date(2026, 3, 3)), "project@8")
    reviews.given(NOTED, later).when(NOTE).then_nothing()
    assert breaches(PROJECT_REVIEWS.fold([NOTED, later]), "G2") == (BREACH, later.breach)


def test_a_breach_is_noted_also_of_a_project_that_has_ended() -> None:
    reviews.given(ReviewsEnded(PROJECT)).when(NOTE).then(NOTED)
    reviews.given(ReviewsEnded(PROJECT)).when(NOTE, EndReviews(PROJECT)).then_nothing()


def test_a_review_of_a_gate_finds_what_began_before_that_gate_had_said_so() -> None:
    earlier = Breach("design", "G1", date(2026, 1, 5))
    state = PROJECT_REVIEWS.fold([BreachNoted(PROJECT, earlier, "project@3"), NOTED])
    assert breaches(state, "G2") == (BREACH,)
    assert breaches(state, "G3") == ()
    assert breaches(state, None) == ()


def test_breaches_outlast_the_projects_end() -> None:
    assert breaches(PROJECT_REVIEWS.fold([NOTED, ReviewsEnded(PROJECT)]), "G2") == (BREACH,)
