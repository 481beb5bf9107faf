from datetime import date

from tests.unit.approvals.people import PORTFOLIO, account, person

from approvals.domain.body import (
    BODY,
    AppointMember,
    BodyAlreadyFormed,
    BodyNotKnown,
    ChairTaken,
    FormBody,
    NotAMember,
    PersonAlreadySits,
    ReleaseMember,
    TermEndsBeforeItBegins,
    seated,
)
from govevents.approvals import BodyFormed, MemberAppointed, MemberReleased
from govkernel.domain import Specification

body = Specification(BODY)

JANUARY, JUNE, JULY, DECEMBER = date(2026, 1, 1), date(2026, 6, 30), date(2026, 7, 1), date(2026, 12, 31)
FORMED = BodyFormed(PORTFOLIO, "Executive Board")


def appoint(
    name: str, *, of: str = "", chair: bool = False, first_day: date = JANUARY, last_day: date | None = None
) -> AppointMember:
    return AppointMember(account(name), person(of or name), chair, first_day, last_day)


def appointed(
    name: str, *, of: str = "", chair: bool = False, first_day: date = JANUARY, last_day: date | None = None
) -> MemberAppointed:
    return MemberAppointed(account(name), person(of or name), chair, first_day, last_day)


def test_a_body_is_formed_once() -> None:
    body.given().when(FormBody(PORTFOLIO, "Executive Board")).then(FORMED)
    body.given(FORMED).when(FormBody(PORTFOLIO, "Executive Board")).then_nothing()


def test_forming_it_with_another_name_is_refused_and_names_both() -> None:
    refusal = body.given(FORMED).when(FormBody(PORTFOLIO, "Board")).then_refused(BodyAlreadyFormed)
    assert refusal.facts == {"name": "Executive Board on record, Board given"}


def test_nobody_is_appointed_to_or_released_from_a_body_that_is_not_known() -> None:
    body.given().when(appoint("ana")).then_refused(BodyNotKnown)
    body.given().when(ReleaseMember(account("ana"), "moved on")).then_refused(BodyNotKnown)


def test_a_member_is_appointed_for_a_term() -> None:
    body.given(FORMED).when(appoint("ana", chair=True, last_day=JUNE)).then(appointed("ana", chair=True, last_day=JUNE))


def test_the_same_appointment_again_adds_nothing() -> None:
    body.given(FORMED, appointed("ana")).when(appoint("ana")).then_nothing()


def test_a_term_has_at_least_one_day() -> None:
    body.given(FORMED).when(appoint("ana", first_day=JULY, last_day=JUNE)).then_refused(TermEndsBeforeItBegins)
    body.given(FORMED).when(appoint("ana", first_day=JUNE, last_day=JUNE)).then(
        appointed("ana", first_day=JUNE, last_day=JUNE)
    )


def test_a_second_account_of_a_member_gets_no_second_seat() -> None:
    refusal = body.given(FORMED, appointed("bo")).when(appoint("bo.second", of="bo")).then_refused(PersonAlreadySits)
    assert refusal.facts == {"member": str(account("bo")), "first_day": "2026-01-01", "last_day": "open"}


def test_a_member_may_be_appointed_again_for_a_term_that_begins_when_the_first_is_over() -> None:
    first = appointed("ana", last_day=JUNE)
    body.given(FORMED, first).when(appoint("ana", first_day=JUNE)).then_refused(PersonAlreadySits)
    body.given(FORMED, first).when(appoint("ana", first_day=JULY)).then(appointed("ana", first_day=JULY))


def test_an_appointment_before_a_later_term_may_not_reach_into_it() -> None:
    later = appointed("ana", first_day=JULY)
    body.given(FORMED, later).when(appoint("ana", last_day=JULY)).then_refused(PersonAlreadySits)
    body.given(FORMED, later).when(appoint("ana", last_day=JUNE)).then(appointed("ana", last_day=JUNE))


def test_a_body_has_one_chair_at_a_time() -> None:
    chair = appointed("ana", chair=True, last_day=JUNE)
    body.given(FORMED, chair).when(appoint("bo", chair=True)).then_refused(ChairTaken)
    body.given(FORMED, chair).when(appoint("bo", chair=True, first_day=JULY)).then(
        appointed("bo", chair=True, first_day=JULY)
    )
    body.given(FORMED, chair).when(appoint("bo")).then(appointed("bo"))


def test_a_released_member_sits_no_longer_and_may_come_back() -> None:
    released = MemberReleased(account("ana"), "moved on")
    body.given(FORMED, appointed("ana")).when(ReleaseMember(account("ana"), "moved on")).then(released)
    body.given(FORMED, appointed("ana"), released).when(ReleaseMember(account("ana"), "moved on")).then_nothing()
    body.given(FORMED, appointed("ana"), released).when(appoint("ana")).then(appointed("ana"))
    assert seated(BODY.fold([FORMED, appointed("ana"), released]), JUNE) == ()


def test_who_came_back_can_be_released_again() -> None:
    released = MemberReleased(account("ana"), "moved on")
    body.given(FORMED, appointed("ana"), released, appointed("ana")).when(
        ReleaseMember(account("ana"), "moved on")
    ).then(released)


def test_a_release_of_one_leaves_the_others_seated() -> None:
    state = BODY.fold([FORMED, appointed("ana"), appointed("bo"), MemberReleased(account("ana"), "moved on")])
    assert seated(state, JUNE) == (appointed("bo"),)


def test_who_never_sat_cannot_be_released() -> None:
    body.given(FORMED, appointed("ana")).when(ReleaseMember(account("bo"), "moved on")).then_refused(NotAMember)


def test_both_ends_of_a_term_are_in_it() -> None:
    state = BODY.fold([FORMED, appointed("ana", last_day=JUNE), appointed("bo", chair=True, first_day=JUNE)])
    assert seated(state, JANUARY) == (appointed("ana", last_day=JUNE),)
    assert seated(state, JUNE) == (appointed("bo", chair=True, first_day=JUNE), appointed("ana", last_day=JUNE))
    assert seated(state, JULY) == (appointed("bo", chair=True, first_day=JUNE),)
    assert seated(state, date(2025, 12, 31)) == ()


def test_nobody_sits_on_a_body_that_is_not_known() -> None:
    assert seated(BODY.initial, DECEMBER) == ()
