"""Who of those present may still vote, and for whom."""

from collections.abc import Iterable

import pytest
from tests.unit.approvals.lives import MORNING, POLICY, Life, seat
from tests.unit.approvals.people import account, person

from approvals.application.voices import Voice, most_at_once, silent_seats, voices
from approvals.domain.review import NotDrafted, Open
from govevents.approvals import Authority, Choice
from govkernel.domain import PersonId

TODAY = MORNING.date()


def life(*names: str) -> Life:
    return Life().drafted().submitted(*(seat(name) for name in names))


def of(life: Life, *present: str) -> tuple[Voice, ...]:
    """The voices of those present, given all delegations that there are."""
    acting = [life.acting(delegate) for delegate in life.delegations]
    people = frozenset(map(person, present))
    return voices(life.state, people, acting, today=TODAY, at=life.now)


def own(name: str) -> Voice:
    return Voice(account(name), person(name), person(name), Authority.OWN, None)


def under(life: Life, delegate: str, delegator: str) -> Voice:
    delegation = life.delegations[delegate].stream
    return Voice(account(delegate), person(delegate), person(delegator), Authority.DELEGATE, delegation)


def test_who_is_there_and_has_not_voted_may_vote_for_their_own_seat() -> None:
    assert of(life("ana", "bo", "cy"), "ana", "cy", "gus") == (own("ana"), own("cy"))
    assert of(life("ana", "bo", "cy").vote("ana", Choice.APPROVE), "ana", "cy") == (own("cy"),)


def test_an_alternate_who_is_there_may_vote_for_the_seat_of_one_who_is_not() -> None:
    with_alternate = Life().drafted().submitted(seat("ana", "al"), seat("bo"))
    assert of(with_alternate, "al") == (Voice(account("al"), person("al"), person("ana"), Authority.ALTERNATE, None),)
    assert of(with_alternate.vote("ana", Choice.APPROVE), "al") == ()


def test_a_delegate_who_is_there_may_vote_for_one_who_is_not() -> None:
    delegated = life("ana", "bo", "cy")
    delegated.granted("cy", "dee")
    assert of(delegated, "ana", "dee") == (own("ana"), under(delegated, "dee", "cy"))
    assert of(delegated, "ana") == (own("ana"),), "the delegate is not there"


def test_a_delegate_is_no_voice_where_their_vote_would_be_refused() -> None:
    revoked = life("ana", "bo", "cy")
    revoked.granted("cy", "dee")
    assert of(revoked.revoked("dee"), "dee") == ()
    to_the_submitter = life("ana", "bo", "cy")
    to_the_submitter.granted("cy", "sam")
    assert of(to_the_submitter, "sam") == ()
    to_an_elector = life("ana", "bo", "cy")
    to_an_elector.granted("cy", "ana")
    assert of(to_an_elector, "ana") == (own("ana"),), "one natural person is one voice"
    of_one_recused = life("ana", "bo", "cy")
    of_one_recused.granted("cy", "dee")
    assert of(of_one_recused.recused("cy"), "dee") == ()


@pytest.mark.parametrize("others", [("dee",), ("dee", "cy")])
def test_who_has_spoken_for_a_seat_is_no_voice_for_another(others: tuple[str, ...]) -> None:
    delegated = life("ana", "bo", "cy")
    delegated.granted("bo", "dee")
    delegated.vote("dee", Choice.APPROVE)
    delegated.granted("ana", "dee")
    assert of(delegated, *others) == tuple(own(name) for name in others if name != "dee")


def test_who_acts_for_two_is_a_voice_for_each_but_only_one_of_them_at_once() -> None:
    delegated = life("ana", "bo", "cy")
    first = delegated.granted("ana", "dee")
    acting = [delegated.acting("dee")]
    assert delegated.granted("bo", "dee") != first
    acting.append(delegated.acting("dee"))
    found = voices(delegated.state, {person("dee")}, acting, today=TODAY, at=delegated.now)
    assert [voice.seat for voice in found] == [person("ana"), person("bo")]
    assert most_at_once(found) == 1


def voice(name: str, for_: str) -> Voice:
    return Voice(account(name), person(name), person(for_), Authority.DELEGATE, None)


@pytest.mark.parametrize(
    ("pairs", "most"),
    [
        ((), 0),
        ((("dee", "ana"), ("dee", "bo")), 1),
        ((("dee", "ana"), ("eli", "ana")), 1),
        # Dee, who was counted for Ana first, has to speak for Bo, so that Eli can speak for Ana.
        ((("dee", "ana"), ("eli", "ana"), ("dee", "bo")), 2),
        ((("dee", "ana"), ("eli", "ana"), ("dee", "bo"), ("fay", "bo"), ("dee", "cy")), 3),
        ((("dee", "ana"), ("eli", "ana"), ("dee", "bo"), ("eli", "bo"), ("dee", "cy"), ("eli", "cy")), 2),
    ],
)
def test_as_many_seats_are_counted_as_can_be_spoken_for_together(pairs: Iterable[tuple[str, str]], most: int) -> None:
    assert most_at_once([voice(name, for_) for name, for_ in pairs]) == most


def test_a_review_that_takes_no_votes_has_no_voices() -> None:
    assert of(Life().drafted(), "ana") == ()
    over = life("ana", "bo")
    over.later(days=POLICY.time_limit.days if POLICY.time_limit else 0)
    assert of(over, "ana", "bo") == ()
    decided = life("ana", "bo", "cy").vote("ana", Choice.APPROVE).vote("bo", Choice.APPROVE)
    assert of(decided, "cy") == ()
    nobody: frozenset[PersonId] = frozenset()
    assert voices(NotDrafted(), nobody, (), today=TODAY, at=MORNING) == ()


def test_seats_that_are_silent_are_those_that_count_and_have_no_vote() -> None:
    said = life("ana", "bo", "cy", "dee").vote("ana", Choice.APPROVE).recused("bo").state
    assert isinstance(said, Open)
    assert [each.person for each in silent_seats(said.ballot)] == [person("cy"), person("dee")]
