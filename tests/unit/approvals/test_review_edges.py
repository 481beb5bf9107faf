"""What random lives of reviews have found, told one by one."""

from dataclasses import replace
from datetime import date, timedelta

from tests.unit.approvals.people import BOARD, account, person
from tests.unit.approvals.reviews import (
    ABSTAIN,
    ANY_CONDITIONS,
    APPROVE,
    CLOSING,
    CONDITIONALLY,
    DRAFTED,
    EXCLUDED,
    NOON,
    OPENED,
    PERMIT,
    SUBMIT,
    TRIAL,
    cast,
    elector,
    review,
    submit,
    submitted,
    vote,
)

from approvals.domain.review import (
    Escalated,
    Open,
    ReachTimeLimit,
    RecuseVoter,
    RemindVoters,
    TooManyConditions,
    Withdrawn,
)
from govevents.approvals import (
    Alternate,
    AtTimeLimit,
    Comparison,
    Criterion,
    KpiThreshold,
    Need,
    Panel,
    Quorum,
    ReviewEscalated,
    ReviewReminded,
    TimeLimit,
    VoterRecused,
)

ALF = Alternate(account("alf"), person("alf"))
ONE_CONDITION = replace(ANY_CONDITIONS, most=1, reminder_days=(7,))
SPI = Criterion(
    "C-1", "On time", Need.MUST, (), KpiThreshold("spi", Comparison.AT_LEAST, SUBMIT.policy.quorum.share, False)
)


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
