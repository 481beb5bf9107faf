"""Who speaks for a seat: its holder, an alternate, a delegate; each natural person once, and nobody who may not."""

from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from uuid import UUID

import pytest
from tests.unit.approvals.people import BOARD, PORTFOLIO_NODE, PROJECT, PROJECT_NODE, account, person
from tests.unit.approvals.reviews import (
    APPROVE,
    CONDITIONALLY,
    DECIDED,
    DRAFTED,
    EXCLUDED,
    LATER,
    NOON,
    OPENED,
    PERMIT,
    REJECT,
    SUBMITTED,
    TODAY,
    TRIAL,
    cast,
    concluded,
    elector,
    escalated,
    review,
    submitted,
    vote,
)

from approvals.domain.delegation import (
    Delegation,
    DelegationLimitExceeded,
    DelegationNotInForce,
    DelegationOutOfScope,
    DelegationWasRevoked,
    Granted,
    NotTheDelegate,
    Revoked,
)
from approvals.domain.review import (
    REVIEW,
    VOTED_UNDER,
    Acting,
    AskQuestion,
    CastVote,
    ConditionsDoNotFitClosure,
    DecidesForOwnBenefit,
    DelegatorMayNotVote,
    MarkVotes,
    NotAnElector,
    OneVoiceOnly,
    ProjectManagerMayNotVote,
    RecuseVoter,
    RemindVoters,
    SeatHasVoted,
    SecondAccount,
    SponsorMayNotVote,
    SubmitterMayNotVote,
    TiedMayNotRecuse,
    Ties,
    VoterIsRecused,
)
from govevents.approvals import (
    Alternate,
    Authority,
    Choice,
    DelegationGranted,
    DelegationRevoked,
    Duty,
    Elector,
    Exclusion,
    Outcome,
    Panel,
    QuestionAsked,
    Quorum,
    ReviewConcluded,
    ReviewEscalated,
    ReviewKind,
    ReviewReminded,
    ReviewSubmitted,
    Rule,
    Seen,
    VoteCast,
    VoteMarked,
    VoterRecused,
)
from govkernel.domain import Link, Money, Refusal, SubjectId

DELEGATION = UUID(int=77)
GRANTED = DelegationGranted(
    delegator=account("ana"),
    delegator_person=person("ana"),
    delegate=account("dee"),
    delegate_person=person("dee"),
    node=PORTFOLIO_NODE,
    kinds=(),
    limit=None,
    first_day=TODAY,
    last_day=TODAY + timedelta(days=10),
    reason="on leave",
)
UNDER = Seen(str(DELEGATION), 1, "7" * 64)
NODES = frozenset({PROJECT_NODE, PORTFOLIO_NODE})


def acting(granted: DelegationGranted = GRANTED) -> Acting:
    return Acting(Granted(granted), UNDER, NODES)


def cast_for_ana(name: str, choice: Choice = APPROVE, under: Acting | None = None) -> CastVote:
    granted = replace(GRANTED, delegate=account(name), delegate_person=person(name))
    return replace(cast(name, choice), acting=under or acting(granted))


def delegated(name: str, choice: Choice = APPROVE) -> VoteCast:
    return replace(vote(name, choice), seat=person("ana"), authority=Authority.DELEGATE, delegation=UNDER)


def recused(name: str) -> VoterRecused:
    return VoterRecused(PROJECT, person(name), account(name), "a conflict")


def recuse(name: str) -> RecuseVoter:
    return RecuseVoter(person(name), account(name), "a conflict", NOON)


def with_alternates(*names: str) -> Elector:
    alternates = tuple(Alternate(account(name), person(name)) for name in names)
    return replace(elector("ana"), alternates=alternates)


def standing_in(name: str, choice: Choice = APPROVE) -> VoteCast:
    return replace(vote(name, choice), seat=person("ana"), authority=Authority.ALTERNATE)


ALTERNATED: ReviewSubmitted = replace(
    SUBMITTED, electorate=(with_alternates("alf", "eve"), elector("bo"), elector("cy"))
)
WITH_ALTERNATES = (DRAFTED, ALTERNATED)


def test_a_delegate_speaks_for_the_delegators_seat_and_names_the_version_relied_on() -> None:
    review.given(*OPENED).when(cast_for_ana("dee")).then(delegated("dee"))
    review.given(*OPENED, delegated("dee")).when(cast_for_ana("dee")).then_nothing()
    review.given(*OPENED, delegated("dee")).when(cast("bo", APPROVE)).then(
        vote("bo", APPROVE), concluded(Outcome.GO, approve=2)
    )


def test_the_delegator_may_still_vote_and_replaces_what_the_delegate_said() -> None:
    history = (*OPENED, delegated("dee"))
    review.given(*history).when(cast("ana", REJECT)).then(vote("ana", REJECT))
    review.given(*history, vote("ana", REJECT)).when(cast("bo", REJECT)).then(
        vote("bo", REJECT), concluded(Outcome.RECYCLE, reject=2)
    )
    refusal = review.given(*history, vote("ana", REJECT)).when(cast_for_ana("dee")).then_refused(SeatHasVoted)
    assert refusal.facts == {"voter": str(account("ana"))}


def test_a_delegate_may_change_what_they_said() -> None:
    review.given(*OPENED, delegated("dee")).when(cast_for_ana("dee", REJECT)).then(delegated("dee", REJECT))


@pytest.mark.parametrize(
    ("delegation", "refusal"),
    [
        (Granted(replace(GRANTED, delegate=account("eve"))), NotTheDelegate),
        (
            Granted(replace(GRANTED, last_day=TODAY - timedelta(days=1), first_day=date(2026, 1, 1))),
            DelegationNotInForce,
        ),
        (Granted(replace(GRANTED, kinds=(ReviewKind.BUDGET,))), DelegationOutOfScope),
        (
            Revoked(GRANTED, DelegationRevoked(account("ana"), account("dee"), PORTFOLIO_NODE, account("ana"), "back")),
            DelegationWasRevoked,
        ),
    ],
)
def test_a_delegation_covers_the_vote_when_it_is_cast_or_there_is_none(
    delegation: Delegation, refusal: type[Refusal]
) -> None:
    under = Acting(delegation, UNDER, NODES)
    review.given(*OPENED).when(cast_for_ana("dee", under=under)).then_refused(refusal)


def test_a_delegation_reaches_up_to_its_limit() -> None:
    limited = acting(replace(GRANTED, limit=Money(Decimal(100), "AUD")))
    at_the_limit = (DRAFTED, replace(SUBMITTED, value=Money(Decimal(100), "AUD")))
    above = (DRAFTED, replace(SUBMITTED, value=Money(Decimal("100.01"), "AUD")))
    review.given(*at_the_limit).when(cast_for_ana("dee", under=limited)).then(delegated("dee"))
    review.given(*above).when(cast_for_ana("dee", under=limited)).then_refused(DelegationLimitExceeded)


def test_a_delegate_never_carries_the_vote_of_someone_who_may_not_vote() -> None:
    of_manager = replace(GRANTED, delegator=account("max"), delegator_person=person("max"))
    review.given(*OPENED).when(cast_for_ana("dee", under=acting(of_manager))).then_refused(DelegatorMayNotVote)
    review.given(*OPENED, recused("ana")).when(cast_for_ana("dee")).then_refused(DelegatorMayNotVote)


def test_a_delegation_is_not_passed_on() -> None:
    by_delegate = replace(GRANTED, delegator=account("eve"), delegator_person=person("eve"))
    refusal = (
        review.given(*OPENED).when(cast_for_ana("dee", under=acting(by_delegate))).then_refused(DelegatorMayNotVote)
    )
    assert "not passed on" in refusal.detail


@pytest.mark.parametrize(
    ("name", "refusal"),
    [("sam", SubmitterMayNotVote), ("max", ProjectManagerMayNotVote), ("sol", SponsorMayNotVote)],
)
def test_who_is_excluded_speaks_for_nobody_else_either(name: str, refusal: type[Refusal]) -> None:
    review.given(*OPENED).when(cast_for_ana(name)).then_refused(refusal)


def test_a_sponsor_who_may_vote_decides_nothing_by_delegation() -> None:
    tied = replace(SUBMITTED, excluded=EXCLUDED[:2], tied=(*EXCLUDED[:2], Exclusion(person("sol"), Duty.SPONSOR)))
    review.given(DRAFTED, tied).when(cast_for_ana("sol")).then_refused(DecidesForOwnBenefit)


def test_one_natural_person_is_one_voice_also_for_another() -> None:
    review.given(*OPENED).when(cast_for_ana("bo")).then_refused(OneVoiceOnly)
    granted = replace(GRANTED, delegator=account("bo"), delegator_person=person("bo"))
    twice = replace(cast("dee", APPROVE), acting=replace(acting(granted), seen=Seen(str(UUID(int=78)), 1, "8" * 64)))
    assert review.given(*OPENED, delegated("dee")).when(twice).then_refused(OneVoiceOnly).facts == {
        "seat": str(person("ana"))
    }


def test_a_recused_person_carries_nobodys_vote() -> None:
    review.given(*OPENED, delegated("dee")).when(recuse("dee")).then(
        VoterRecused(PROJECT, person("dee"), account("dee"), "a conflict")
    )
    review.given(*OPENED, delegated("dee"), recused("dee")).when(cast_for_ana("dee")).then_refused(VoterIsRecused)
    review.given(*OPENED, delegated("dee"), recused("dee")).when(cast("bo", APPROVE)).then(vote("bo", APPROVE))


def test_a_delegate_who_declared_a_conflict_before_voting_speaks_by_no_path() -> None:
    out = VoterRecused(PROJECT, person("dee"), account("dee"), "a conflict")
    review.given(*OPENED).when(recuse("dee")).then(out)
    review.given(*OPENED, out).when(cast_for_ana("dee")).then_refused(VoterIsRecused)
    review.given(*OPENED, out).when(cast("dee", APPROVE)).then_refused(VoterIsRecused)
    second = replace(cast_for_ana("dee"), voter=account("dee.second"))
    review.given(*OPENED, out).when(second).then_refused(VoterIsRecused)
    review.given(*OPENED, out).when(cast_for_ana("eve")).then(delegated("eve"))


def test_what_a_delegate_said_falls_with_the_delegators_recusal() -> None:
    history = (*OPENED, delegated("dee"), recused("ana"))
    state = REVIEW.fold(history)
    assert state.ballot.votes == {}  # type: ignore[union-attr]


def test_revoking_marks_the_votes_that_stand_under_the_delegation() -> None:
    mark = MarkVotes(DELEGATION, "ana is back")
    marked = VoteMarked(PROJECT, person("ana"), account("dee"), DELEGATION, "ana is back")
    decided = (*OPENED, delegated("dee"), vote("bo", APPROVE), concluded(Outcome.GO, approve=2))
    review.given(*OPENED, delegated("dee")).when(mark).then(marked)
    review.given(*OPENED, delegated("dee"), marked).when(mark).then_nothing()
    review.given(*decided).when(mark).then(marked)
    review.given(*OPENED, delegated("dee"), vote("ana", APPROVE)).when(mark).then_nothing()
    review.given(*DECIDED).when(mark).then_nothing()
    review.given().when(mark).then_nothing()


def test_a_review_is_found_from_the_delegation_that_a_vote_stands_under() -> None:
    link = Link(VOTED_UNDER, DELEGATION)
    assert link in REVIEW.links(REVIEW.fold((*OPENED, delegated("dee"))))
    assert link not in REVIEW.links(REVIEW.fold((*OPENED, delegated("dee"), vote("ana", APPROVE))))
    ended = (*OPENED, delegated("dee"), vote("bo", APPROVE), concluded(Outcome.GO, approve=2))
    assert link in REVIEW.links(REVIEW.fold(ended)), "a vote is marked after the outcome, too"


def test_an_alternate_speaks_for_the_seat_while_its_holder_does_not() -> None:
    review.given(*WITH_ALTERNATES).when(cast("alf", APPROVE)).then(standing_in("alf"))
    review.given(*WITH_ALTERNATES, standing_in("alf")).when(cast("ana", REJECT)).then(vote("ana", REJECT))
    review.given(*WITH_ALTERNATES, vote("ana", REJECT)).when(cast("alf", APPROVE)).then_refused(SeatHasVoted)
    review.given(*WITH_ALTERNATES, standing_in("alf")).when(cast("eve", REJECT)).then_refused(SeatHasVoted)
    review.given(*WITH_ALTERNATES, standing_in("alf")).when(cast("alf", REJECT)).then(standing_in("alf", REJECT))


def test_an_alternate_takes_the_seat_of_a_recused_holder_and_the_quorum_stays() -> None:
    history = (*WITH_ALTERNATES, recused("ana"))
    review.given(*history).when(cast("alf", APPROVE)).then(standing_in("alf"))
    review.given(*history, standing_in("alf")).when(cast("bo", APPROVE)).then(
        vote("bo", APPROVE), concluded(Outcome.GO, approve=2)
    )


def test_a_seat_whose_alternates_are_recused_too_is_empty() -> None:
    history = (DRAFTED, replace(ALTERNATED, quorum=Quorum(3, Decimal(0)), votes_needed=3))
    alternates_out = (recused("ana"), recused("alf"))
    review.given(*history, *alternates_out).when(recuse("eve")).then(
        recused("eve"), escalated("3 votes are needed, and 2 persons may vote.")
    )


def test_what_an_alternate_said_stands_when_the_holder_is_recused_but_not_when_they_are() -> None:
    state = REVIEW.fold((*WITH_ALTERNATES, standing_in("alf"), recused("ana")))
    assert list(state.ballot.votes) == [person("ana")]  # type: ignore[union-attr]
    state = REVIEW.fold((*WITH_ALTERNATES, standing_in("alf"), recused("alf")))
    assert state.ballot.votes == {}  # type: ignore[union-attr]


def test_a_second_account_of_an_alternate_is_refused() -> None:
    second = replace(cast("alf", APPROVE), voter=SubjectId(UUID(int=5)))
    assert review.given(*WITH_ALTERNATES).when(second).then_refused(SecondAccount).facts == {
        "account": str(account("alf"))
    }


def test_a_delegate_and_an_alternate_do_not_speak_over_each_other() -> None:
    review.given(*WITH_ALTERNATES, standing_in("alf")).when(cast_for_ana("dee", REJECT)).then_refused(SeatHasVoted)
    review.given(*WITH_ALTERNATES, delegated("dee")).when(cast("alf", REJECT)).then_refused(SeatHasVoted)


def test_votes_of_a_panel_that_could_not_decide_do_not_count_before_the_next() -> None:
    panel = Panel(BOARD, (elector("bo"), elector("kim")), EXCLUDED)
    up = ReviewEscalated(PROJECT, "nobody", panel, None, ())
    history = (DRAFTED, replace(submitted("ana", "bo", "cy"), escalation=panel), vote("bo", APPROVE), up)
    state = REVIEW.fold(history)
    assert state.ballot.votes == {}  # type: ignore[union-attr]
    review.given(*history).when(cast("ana", APPROVE)).then_refused(NotAnElector)


def test_an_alternate_asks_and_so_does_a_delegate() -> None:
    as_alternate = AskQuestion(account("alf"), person("alf"), None, "Why now?", TODAY)
    review.given(*WITH_ALTERNATES).when(as_alternate).then(QuestionAsked(PROJECT, 1, account("alf"), "Why now?"))
    as_delegate = AskQuestion(account("dee"), person("dee"), acting(), "Why now?", TODAY)
    review.given(*OPENED).when(as_delegate).then(QuestionAsked(PROJECT, 1, account("dee"), "Why now?"))
    review.given(*OPENED).when(replace(as_delegate, acting=None)).then_refused(NotAnElector)


ASKED = (("ana", TRIAL), ("bo", PERMIT), ("ana", LATER))


def tied_now(name: str, duty: Duty, *, excluded: bool = True) -> Ties:
    tied = (Exclusion(person(name), duty),)
    return Ties(tied, tied if excluded else ())


def test_whoever_has_become_manager_or_sponsor_since_the_submission_does_not_vote() -> None:
    manager, sponsor = (tied_now("bo", duty) for duty in (Duty.PROJECT_MANAGER, Duty.SPONSOR))
    review.given(*OPENED).when(replace(cast("bo", APPROVE), ties=manager)).then_refused(ProjectManagerMayNotVote)
    review.given(*OPENED).when(replace(cast("bo", APPROVE), ties=sponsor)).then_refused(SponsorMayNotVote)
    allowed = tied_now("bo", Duty.SPONSOR, excluded=False)
    review.given(*OPENED).when(replace(cast("bo", APPROVE), ties=allowed)).then(vote("bo", APPROVE))


def test_a_duty_that_came_later_binds_delegator_and_delegate_too() -> None:
    of_ana = tied_now("ana", Duty.PROJECT_MANAGER)
    review.given(*OPENED).when(replace(cast_for_ana("dee"), ties=of_ana)).then_refused(DelegatorMayNotVote)
    of_dee = tied_now("dee", Duty.SPONSOR, excluded=False)
    review.given(*OPENED).when(replace(cast_for_ana("dee"), ties=of_dee)).then_refused(DecidesForOwnBenefit)


def test_nobody_carries_the_vote_of_someone_who_has_no_role_any_more() -> None:
    powerless = replace(acting(), delegator_may_vote=False)
    review.given(*OPENED).when(cast_for_ana("dee", under=powerless)).then_refused(DelegatorMayNotVote)


def test_whoever_asks_does_not_choose_who_answers() -> None:
    by_submitter = replace(recuse("bo"), by=EXCLUDED[0].person, recused_by=account("max"))
    refusal = review.given(*OPENED).when(by_submitter).then_refused(TiedMayNotRecuse)
    assert refusal.facts == {"account": str(account("max"))}
    became_manager = replace(recuse("bo"), by=person("pia"), ties=tied_now("pia", Duty.PROJECT_MANAGER))
    review.given(*OPENED).when(became_manager).then_refused(TiedMayNotRecuse)
    review.given(*OPENED).when(replace(recuse("bo"), by=person("pia"))).then(recused("bo"))


def test_a_closure_is_approved_without_conditions() -> None:
    drafted = replace(DRAFTED, kind=ReviewKind.CLOSURE, gate=None)
    conditional = cast("ana", CONDITIONALLY, TRIAL)
    refusal = review.given(drafted, SUBMITTED).when(conditional).then_refused(ConditionsDoNotFitClosure)
    assert refusal.facts == {"conditions": "1"}


def test_of_a_recused_member_s_alternates_those_are_reminded_who_are_not_recused_themselves() -> None:
    history = (*WITH_ALTERNATES, recused("ana"), recused("alf"))
    (reminded,) = review.given(*history).when(RemindVoters(NOON)).events or ()
    assert isinstance(reminded, ReviewReminded)
    assert reminded.recipients == (account("eve"), account("bo"), account("cy"))


def test_conditions_stand_in_the_order_of_the_votes_that_count() -> None:
    first, other, changed = (vote(name, CONDITIONALLY, asked) for name, asked in ASKED)
    history = (DRAFTED, submitted("ana", "bo", "cy", rule=Rule.CONSENSUS), first, other, changed)
    events = review.given(*history).when(cast("cy", APPROVE)).events
    assert events is not None
    assert isinstance(events[1], ReviewConcluded)
    assert [each.due for each in events[1].conditions] == [PERMIT.due, LATER.due]
