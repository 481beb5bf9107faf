"""What random lives of reviews and mutants of their decider have found, told one by one."""

from dataclasses import replace
from datetime import date, timedelta
from uuid import UUID

from tests.unit.approvals.people import BOARD, COUNCIL, PORTFOLIO, PORTFOLIO_NODE, PROJECT, account, person
from tests.unit.approvals.reviews import (
    ABSTAIN,
    ANY_CONDITIONS,
    APPROVE,
    CLOSING,
    CONDITIONAL,
    CONDITIONALLY,
    DECIDED,
    DRAFT,
    DRAFTED,
    ESCALATED,
    EXCLUDED,
    NOON,
    OPENED,
    PERMIT,
    SUBMIT,
    SUBMITTED,
    TODAY,
    TRIAL,
    WITHDRAWN,
    cast,
    concluded,
    elector,
    review,
    submit,
    submitted,
    vote,
)

from approvals.domain.delegation import Granted
from approvals.domain.review import (
    REVIEW,
    REVIEW_IN,
    REVIEW_OF,
    Acting,
    Escalated,
    LapseCondition,
    Open,
    ReachTimeLimit,
    RecuseVoter,
    ReferReview,
    RemindVoters,
    ReviewAlreadyDrafted,
    ReviewNotEscalated,
    Submitted,
    TooManyConditions,
    Withdrawn,
)
from govevents.approvals import (
    Alternate,
    AtTimeLimit,
    Comparison,
    ConditionLapsed,
    Criterion,
    DelegationGranted,
    KpiThreshold,
    Need,
    Outcome,
    Panel,
    Quorum,
    ReviewEscalated,
    ReviewReferred,
    ReviewReminded,
    Seen,
    TimeLimit,
    VoterRecused,
)
from govkernel.domain import Link

ALF = Alternate(account("alf"), person("alf"))
ONE_CONDITION = replace(ANY_CONDITIONS, most=1, reminder_days=(7,))
SPI = Criterion(
    "C-1", "On time", Need.MUST, (), KpiThreshold("spi", Comparison.AT_LEAST, SUBMIT.policy.quorum.share, False)
)


GRANTED = Granted(
    DelegationGranted(
        delegator=account("ana"),
        delegator_person=person("ana"),
        delegate=account("dee"),
        delegate_person=person("dee"),
        node=PORTFOLIO_NODE,
        kinds=(),
        limit=None,
        first_day=TODAY,
        last_day=TODAY,
        reason="on leave",
    )
)
UNDER = Acting(GRANTED, Seen(str(UUID(int=7)), 1, "7" * 64), frozenset({PORTFOLIO_NODE}))
FOR_ANA = replace(cast("dee", APPROVE), acting=UNDER)


def recusal(name: str) -> RecuseVoter:
    return RecuseVoter(person(name), account(name), "a stake", NOON)


def test_a_recusal_that_ended_the_review_may_be_sent_again() -> None:
    alone = (DRAFTED, submitted("ana", needed=1))
    review.given(*alone).when(recusal("ana"), recusal("ana")).then_nothing()
    decided = review.given(*OPENED).when(cast("ana", APPROVE), recusal("cy"), cast("bo", ABSTAIN), recusal("cy"))
    decided.then_nothing()


def test_for_a_seat_whose_holder_is_recused_its_alternates_are_reminded() -> None:
    put = submitted("ana", "bo", "cy")
    seat = replace(elector("ana"), alternates=(ALF,))
    opened = (DRAFTED, replace(put, electorate=(seat, *put.electorate[1:])))
    recused = VoterRecused(put.project, person("ana"), account("ana"), "a stake")
    review.given(*opened, recused, vote("bo", ABSTAIN)).when(RemindVoters(NOON)).then(
        ReviewReminded(put.project, (ALF.subject, account("cy")), CLOSING)
    )


def test_what_two_voters_ask_for_in_the_same_words_is_one_condition_also_where_owners_are_reminded() -> None:
    opened = (DRAFTED, replace(submitted("ana", "bo", "cy"), conditions=ONE_CONDITION))
    asked = review.given(*opened).when(cast("ana", CONDITIONALLY, TRIAL), cast("bo", CONDITIONALLY, TRIAL))
    assert asked.refusal is None
    other = review.given(*opened).when(cast("ana", CONDITIONALLY, TRIAL), cast("bo", CONDITIONALLY, PERMIT))
    other.then_refused(TooManyConditions)


def test_a_body_is_not_asked_in_place_of_itself() -> None:
    panel = Panel(BOARD, (elector("ana"),), EXCLUDED)
    put = replace(submit("ana", quorum=Quorum(2, SUBMIT.policy.quorum.share)), panel=panel, escalation=panel)
    decided = review.given(DRAFTED).when(put)
    assert decided.events is not None
    assert [event.to for event in decided.events if isinstance(event, ReviewEscalated)] == [None]
    assert isinstance(decided.then_state(), Escalated)


def test_a_time_limit_that_comes_before_the_end_of_measuring_opens_and_then_ends_the_review() -> None:
    given = review.given(DRAFTED)
    for then, ended in ((AtTimeLimit.LAPSE, Withdrawn), (AtTimeLimit.ESCALATE, Escalated)):
        policy = replace(SUBMIT.policy, time_limit=TimeLimit(14, then))
        put = replace(SUBMIT, policy=policy, criteria=(SPI,))
        assert isinstance(given.when(put, ReachTimeLimit(CLOSING)).then_state(), ended)
        given.when(put, ReachTimeLimit(CLOSING - timedelta(seconds=1))).then_nothing()


def test_a_condition_due_today_is_still_ahead() -> None:
    today = replace(TRIAL, due=date(2026, 3, 2))
    assert isinstance(review.given(*OPENED).when(cast("ana", CONDITIONALLY, today)).then_state(), Open)


def test_what_was_drafted_may_be_drafted_again_whatever_has_come_of_it() -> None:
    for history in (OPENED, DECIDED, ESCALATED, WITHDRAWN):
        review.given(*history).when(DRAFT).then_nothing()
        review.given(*history).when(replace(DRAFT, question="Else?")).then_refused(ReviewAlreadyDrafted)


def test_an_open_review_is_not_referred_to_those_who_vote_on_it_first() -> None:
    own = Panel(BOARD, SUBMITTED.electorate, EXCLUDED)
    refer = ReferReview(account("pia"), own, "nobody else", NOON)
    review.given(*OPENED).when(refer).then_refused(ReviewNotEscalated)


def test_a_body_whose_members_are_all_recused_is_referred_to_in_vain_and_says_so() -> None:
    recused = VoterRecused(SUBMITTED.project, person("eve"), account("eve"), "a stake")
    history = (*OPENED, recused, *ESCALATED[len(OPENED) :])
    refer = ReferReview(account("pia"), Panel(COUNCIL, (elector("eve"),), EXCLUDED), "nobody else", NOON)
    referred, escalated = review.given(*history).when(refer).events or ()
    assert (type(referred), type(escalated)) == (ReviewReferred, ReviewEscalated)


def test_whoever_is_referred_to_has_as_much_time_as_the_first_had() -> None:
    referred = ReviewReferred(
        SUBMITTED.project, account("pia"), Panel(BOARD, (), ()), CLOSING, (NOON,), "nobody else can"
    )
    assert [each.due for each in REVIEW.deadlines(referred)] == [NOON, CLOSING]


def test_evidence_alone_is_not_waited_for_like_a_figure() -> None:
    shown = Criterion("C-2", "Argued", Need.MUST, ("case",))
    assert isinstance(review.given(DRAFTED).when(replace(SUBMIT, criteria=(shown,))).then_state(), Open)
    waiting = review.given(DRAFTED).when(replace(SUBMIT, criteria=(shown, SPI))).then_state()
    assert isinstance(waiting, Submitted)
    assert waiting.ballot.submitted.awaits == ("spi",)


def test_each_condition_lapses_by_itself() -> None:
    conditional = (*OPENED, concluded(Outcome.CONDITIONAL_GO, TRIAL, PERMIT))
    late = CLOSING + timedelta(days=365)
    for number, condition in enumerate((TRIAL, PERMIT), start=1):
        (lapsed,) = review.given(*conditional).when(LapseCondition(number, late)).events or ()
        assert isinstance(lapsed, ConditionLapsed)
        assert (lapsed.condition, lapsed.owner, lapsed.due) == (number, condition.owner, condition.due)


def test_a_delegate_votes_where_nobody_at_all_is_kept_out() -> None:
    put = replace(SUBMITTED, excluded=(), tied=(), submitter=account("zoe"))
    assert review.given(DRAFTED, put).when(FOR_ANA).refusal is None


def test_a_recusal_sets_aside_what_was_said_for_the_recused_and_nothing_else() -> None:
    given = review.given(*OPENED)
    kept = given.when(FOR_ANA, recusal("bo")).then_state()
    assert isinstance(kept, Open)
    assert kept.ballot.votes.keys() == {person("ana")}
    set_aside = given.when(FOR_ANA, recusal("ana")).then_state()
    assert isinstance(set_aside, Open)
    assert not set_aside.ballot.votes


def test_a_review_is_found_by_its_project_and_portfolio_whatever_has_come_of_it() -> None:
    for history in ((DRAFTED,), OPENED, DECIDED, CONDITIONAL, ESCALATED, WITHDRAWN):
        links = REVIEW.links(REVIEW.fold(history))
        assert {Link(REVIEW_OF, PROJECT), Link(REVIEW_IN, PORTFOLIO)} <= links
