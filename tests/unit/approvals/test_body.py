from datetime import date

from tests.unit.approvals.people import PORTFOLIO, account, person

from approvals.domain.body import (
    BODY,
    AlternateMayNotChair,
    AppointMember,
    BodyAlreadyFormed,
    BodyNotKnown,
    ChairTaken,
    Event,
    FormBody,
    MemberNotSeatedThroughout,
    NotAMember,
    PersonAlreadySits,
    ReleaseMember,
    TermEndsBeforeItBegins,
    alternates_of,
    seated,
)
from govevents.approvals import BodyFormed, MemberAppointed, MemberReleased
from govkernel.domain import Specification

body = Specification(BODY)

JANUARY, JUNE, JULY, DECEMBER = date(2026, 1, 1), date(2026, 6, 30), date(2026, 7, 1), date(2026, 12, 31)
FORMED = BodyFormed(PORTFOLIO, "Executive Board")


def appoint(
    name: str,
    *,
    of: str = "",
    chair: bool = False,
    alternate_for: str | None = None,
    first_day: date = JANUARY,
    last_day: date | None = None,
) -> AppointMember:
    member = account(alternate_for) if alternate_for else None
    return AppointMember(account(name), person(of or name), chair, member, first_day, last_day)


def appointed(
    name: str,
    *,
    chair: bool = False,
    alternate_for: str | None = None,
    first_day: date = JANUARY,
    last_day: date | None = None,
) -> MemberAppointed:
    member = account(alternate_for) if alternate_for else None
    return MemberAppointed(account(name), person(name), chair, member, first_day, last_day)


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


def test_a_member_has_an_alternate_for_a_term_within_their_own() -> None:
    member = appointed("ana", chair=True, last_day=DECEMBER)
    body.given(FORMED, member).when(appoint("bo", alternate_for="ana", first_day=JULY, last_day=DECEMBER)).then(
        appointed("bo", alternate_for="ana", first_day=JULY, last_day=DECEMBER)
    )


def test_the_same_alternate_again_adds_nothing() -> None:
    alternate = appointed("bo", alternate_for="ana")
    body.given(FORMED, appointed("ana"), alternate).when(appoint("bo", alternate_for="ana")).then_nothing()


def test_an_alternate_does_not_sit_longer_than_the_member() -> None:
    member = appointed("ana", first_day=JUNE, last_day=DECEMBER)
    given = body.given(FORMED, member)
    for first_day, last_day in ((JANUARY, DECEMBER), (JUNE, None), (JANUARY, JANUARY)):
        longer = appoint("bo", alternate_for="ana", first_day=first_day, last_day=last_day)
        refusal = given.when(longer).then_refused(MemberNotSeatedThroughout)
        assert refusal.facts == {
            "member": str(account("ana")),
            "first_day": str(first_day),
            "last_day": str(last_day or "open"),
        }


def test_terms_that_follow_each_other_are_one_to_an_alternate_and_a_gap_ends_it() -> None:
    second, first = appointed("ana", first_day=JULY), appointed("ana", last_day=JUNE)
    alternate = appoint("bo", alternate_for="ana")
    body.given(FORMED, second, first).when(alternate).then(appointed("bo", alternate_for="ana"))
    shorter = appointed("ana", last_day=date(2026, 6, 29))
    body.given(FORMED, second, shorter).when(alternate).then_refused(MemberNotSeatedThroughout)


def test_an_alternate_is_of_a_member_and_not_of_a_stranger_or_another_alternate() -> None:
    given = body.given(FORMED, appointed("ana"), appointed("bo", alternate_for="ana"))
    given.when(appoint("cy", alternate_for="dee")).then_refused(MemberNotSeatedThroughout)
    given.when(appoint("cy", alternate_for="bo")).then_refused(MemberNotSeatedThroughout)


def test_an_alternate_never_has_the_chair() -> None:
    refusal = (
        body.given(FORMED, appointed("ana"))
        .when(appoint("bo", chair=True, alternate_for="ana"))
        .then_refused(AlternateMayNotChair)
    )
    assert refusal.facts == {"alternate_for": str(account("ana"))}


def test_a_person_sits_once_as_a_member_or_as_an_alternate() -> None:
    given = body.given(FORMED, appointed("ana"), appointed("bo"), appointed("cy", alternate_for="ana"))
    given.when(appoint("bo", alternate_for="ana")).then_refused(PersonAlreadySits)
    given.when(appoint("cy")).then_refused(PersonAlreadySits)
    given.when(appoint("cy", alternate_for="bo")).then_refused(PersonAlreadySits)
    given.when(appoint("ana", alternate_for="ana")).then_refused(PersonAlreadySits)
    given.when(appoint("ana.second", of="ana", alternate_for="ana")).then_refused(PersonAlreadySits)


def test_an_alternate_is_seated_for_their_member_only_in_the_order_of_appointment() -> None:
    members = (appointed("ana", chair=True), appointed("bo"))
    cy, dee = appointed("cy", alternate_for="ana"), appointed("dee", alternate_for="ana", last_day=JUNE)
    state = BODY.fold([FORMED, *members, dee, cy])
    assert seated(state, JUNE) == members
    assert alternates_of(state, account("ana"), JUNE) == (dee, cy)
    assert alternates_of(state, account("ana"), JULY) == (cy,)
    assert alternates_of(state, account("bo"), JUNE) == ()
    assert alternates_of(BODY.initial, account("ana"), JUNE) == ()


def test_alternates_leave_with_their_member_and_do_not_come_back_by_themselves() -> None:
    alternate = appointed("bo", alternate_for="ana")
    told: list[Event] = [FORMED, appointed("ana"), alternate, MemberReleased(account("ana"), "moved on")]
    body.given(*told).when(ReleaseMember(account("bo"), "moved on")).then_nothing()
    back = BODY.fold([*told, appointed("ana")])
    assert alternates_of(back, account("ana"), JUNE) == ()
    body.given(*told, appointed("ana")).when(appoint("bo", alternate_for="ana")).then(alternate)


def test_a_released_alternate_leaves_the_member_seated() -> None:
    told: list[Event] = [FORMED, appointed("ana"), appointed("bo", alternate_for="ana")]
    released = MemberReleased(account("bo"), "moved on")
    body.given(*told).when(ReleaseMember(account("bo"), "moved on")).then(released)
    state = BODY.fold([*told, released])
    assert seated(state, JUNE) == (appointed("ana"),)
    assert alternates_of(state, account("ana"), JUNE) == ()


def test_nobody_sits_on_a_body_that_is_not_known() -> None:
    assert seated(BODY.initial, DECEMBER) == ()


def test_an_account_has_one_seat_also_where_it_is_said_to_be_somebody_elses() -> None:
    body.given(FORMED, appointed("ana")).when(appoint("ana", of="bo")).then_refused(PersonAlreadySits)
