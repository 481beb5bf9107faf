from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest
from tests.unit.approvals.people import PROJECT, REVIEW_STREAM, account, person
from tests.unit.approvals.reviews import (
    ABSTAIN,
    APPROVE,
    BUSINESS_CASE,
    CLOSING,
    CONDITIONAL,
    CONDITIONALLY,
    DECIDED,
    DRAFT,
    DRAFTED,
    ESCALATED,
    EXCLUDED,
    GO,
    LATER,
    NOON,
    OPENED,
    PERMIT,
    PLAN,
    POLICY_SEEN,
    REJECT,
    RETURN,
    SUBMISSION,
    SUBMIT,
    SUBMITTED,
    TRIAL,
    WITHDRAWN,
    cast,
    concluded,
    escalated,
    review,
    submit,
    submitted,
    vote,
)

from approvals.domain.gate_policy import GateDoesNotFitKind
from approvals.domain.review import (
    OPEN_REVIEW_OF,
    REVIEW,
    CloseCondition,
    ConditionAlreadyClosed,
    ConditionNotKnown,
    ConditionsDoNotFitChoice,
    ConditionsDoNotFitProposal,
    EvidenceListedTwice,
    EvidenceMissing,
    NotAnElector,
    OutcomeNotProposable,
    ProjectManagerMayNotVote,
    ProposalSameAsFailure,
    ReachTimeLimit,
    ReasonMissing,
    ReviewAlreadyConcluded,
    ReviewAlreadyDrafted,
    ReviewAlreadySubmitted,
    ReviewNotConcluded,
    ReviewNotKnown,
    ReviewNotOpen,
    SecondAccount,
    SeenIncomplete,
    SponsorMayNotVote,
    SubmitterMayNotVote,
    TextMissing,
    ValueIsTheProjects,
    WithdrawReview,
)
from govevents.approvals import (
    AtTimeLimit,
    Choice,
    ConditionClosed,
    Ending,
    Outcome,
    Quorum,
    ReviewKind,
    ReviewWithdrawn,
    Rule,
    Seen,
)
from govkernel.domain import Deadline, Link, Money, Specification


def test_a_review_is_drafted_once() -> None:
    review.given().when(DRAFT).then(DRAFTED)
    review.given(DRAFTED).when(DRAFT).then_nothing()
    review.given(*DECIDED).when(DRAFT).then_nothing()


def test_drafting_it_with_another_question_is_refused_and_names_both() -> None:
    refusal = review.given(DRAFTED).when(replace(DRAFT, question="May we?")).then_refused(ReviewAlreadyDrafted)
    assert refusal.facts == {"question": "May we build? on record, May we? given"}


def test_a_review_asks_something() -> None:
    review.given().when(replace(DRAFT, question=" ")).then_refused(TextMissing)


def test_only_a_review_of_a_gate_names_one() -> None:
    review.given().when(replace(DRAFT, gate=None)).then_refused(GateDoesNotFitKind)
    review.given().when(replace(DRAFT, kind=ReviewKind.CLOSURE)).then_refused(GateDoesNotFitKind)


def test_a_gate_and_a_closure_are_worth_what_the_project_is_worth() -> None:
    small = Money(Decimal(1), "AUD")
    refusal = review.given().when(replace(DRAFT, value=small)).then_refused(ValueIsTheProjects)
    assert refusal.facts == {"kind": "gate", "value": "1 AUD"}
    closure = replace(DRAFT, kind=ReviewKind.CLOSURE, gate=None)
    review.given().when(replace(closure, value=small)).then_refused(ValueIsTheProjects)
    change = replace(closure, kind=ReviewKind.CHANGE, value=small)
    review.given().when(change).then(replace(DRAFTED, kind=ReviewKind.CHANGE, gate=None, value=small))


def test_evidence_is_listed_once() -> None:
    again = replace(BUSINESS_CASE, sha256="e" * 64)
    refusal = (
        review.given().when(replace(DRAFT, evidence=(BUSINESS_CASE, PLAN, again))).then_refused(EvidenceListedTwice)
    )
    assert refusal.facts == {"uri": BUSINESS_CASE.uri}
    review.given(DRAFTED).when(replace(SUBMIT, evidence=(PLAN, PLAN))).then_refused(EvidenceListedTwice)
    review.given().when(replace(DRAFT, evidence=())).then(replace(DRAFTED, evidence=()))


def test_a_submission_opens_the_review_to_its_electorate_under_its_edition_of_the_policy() -> None:
    review.given(DRAFTED).when(SUBMIT).then(SUBMITTED)


def test_the_votes_needed_are_counted_on_the_electorate() -> None:
    three = Quorum(3, Decimal("0.5"))
    review.given(DRAFTED).when(submit("ana", "bo", "cy", quorum=three)).then(
        submitted("ana", "bo", "cy", needed=3, quorum=three)
    )
    review.given(DRAFTED).when(submit("ana", "bo", "cy", "dee", "eve")).then(
        submitted("ana", "bo", "cy", "dee", "eve", needed=3)
    )


def test_the_time_limit_sets_a_deadline_and_without_one_there_is_none() -> None:
    unlimited = submitted("ana", "bo", "cy", limit=None)
    review.given(DRAFTED).when(submit("ana", "bo", "cy", time_limit=None)).then(unlimited)
    assert REVIEW.deadlines(SUBMITTED) == (Deadline("time_limit", CLOSING),)
    assert REVIEW.deadlines(unlimited) == ()
    assert REVIEW.deadlines(DRAFTED) == ()
    assert REVIEW.on_deadline is not None
    assert REVIEW.on_deadline("time_limit", CLOSING) == ReachTimeLimit(CLOSING)


def test_submitting_again_adds_nothing_also_when_it_comes_later_or_after_the_outcome() -> None:
    later = replace(SUBMIT, at=NOON + timedelta(hours=1))
    review.given(*OPENED).when(SUBMIT).then_nothing()
    review.given(*OPENED).when(later).then_nothing()
    review.given(*DECIDED).when(later).then_nothing()


def test_what_was_submitted_stays_as_it_was() -> None:
    changed = replace(SUBMIT, proposed=Outcome.HOLD)
    refusal = review.given(*OPENED).when(changed).then_refused(ReviewAlreadySubmitted)
    assert list(refusal.facts) == ["proposed"]
    review.given(*DECIDED).when(changed).then_refused(ReviewAlreadySubmitted)
    review.given(*ESCALATED).when(changed).then_refused(ReviewAlreadySubmitted)


def test_nothing_is_submitted_before_it_is_drafted_or_after_it_was_withdrawn() -> None:
    review.given().when(SUBMIT).then_refused(ReviewNotKnown)
    refusal = review.given(*WITHDRAWN).when(SUBMIT).then_refused(ReviewNotOpen)
    assert refusal.detail == "The review was withdrawn: not needed"


def test_a_conditional_go_is_not_proposed_for_it_comes_from_conditions() -> None:
    review.given(DRAFTED).when(replace(SUBMIT, proposed=Outcome.CONDITIONAL_GO)).then_refused(OutcomeNotProposable)


def test_a_vote_that_could_change_nothing_is_not_asked_for() -> None:
    review.given(DRAFTED).when(replace(SUBMIT, proposed=Outcome.RECYCLE)).then_refused(ProposalSameAsFailure)
    review.given(DRAFTED).when(submit("ana", "bo", "cy", proposed=Outcome.RECYCLE, failed_outcome=Outcome.HOLD)).then(
        submitted("ana", "bo", "cy", proposed=Outcome.RECYCLE, failed=Outcome.HOLD)
    )


def test_an_electorate_too_small_to_decide_escalates_at_once() -> None:
    review.given(DRAFTED).when(submit("ana", quorum=Quorum(2, Decimal(0)))).then(
        submitted("ana", needed=2), escalated("2 votes are needed, and 1 persons may vote.")
    )
    review.given(DRAFTED).when(submit(quorum=Quorum(0, Decimal(1)))).then(
        submitted(needed=0, quorum=Quorum(0, Decimal(1))), escalated("0 votes are needed, and 0 persons may vote.")
    )


def test_the_last_vote_that_can_change_the_result_decides() -> None:
    review.given(*OPENED, vote("ana", APPROVE)).when(cast("bo", APPROVE)).then(vote("bo", APPROVE), GO)


def test_a_vote_that_leaves_the_result_open_is_only_counted() -> None:
    review.given(*OPENED).when(cast("ana", APPROVE)).then(vote("ana", APPROVE))
    review.given(*OPENED, vote("ana", APPROVE)).when(cast("bo", REJECT)).then(vote("bo", REJECT))


def test_the_same_vote_again_is_not_a_second_voice() -> None:
    review.given(*OPENED, vote("ana", APPROVE)).when(cast("ana", APPROVE)).then_nothing()


def test_the_vote_that_decided_sent_again_is_no_error() -> None:
    review.given(*DECIDED).when(cast("bo", APPROVE)).then_nothing()


def test_a_changed_vote_replaces_the_earlier_one() -> None:
    approved_then_rejected = (*OPENED, vote("ana", APPROVE), vote("ana", REJECT))
    review.given(*OPENED, vote("ana", APPROVE)).when(cast("ana", REJECT)).then(vote("ana", REJECT))
    review.given(*approved_then_rejected).when(cast("bo", APPROVE)).then(vote("bo", APPROVE))
    review.given(*approved_then_rejected).when(cast("bo", REJECT)).then(
        vote("bo", REJECT), concluded(Outcome.RECYCLE, reject=2)
    )


def test_a_vote_with_another_reason_replaces_the_earlier_one() -> None:
    review.given(*OPENED, vote("ana", APPROVE)).when(cast("ana", APPROVE, reason="on reflection")).then(
        vote("ana", APPROVE, reason="on reflection")
    )


@pytest.mark.parametrize(
    ("history", "state"),
    [((DRAFTED,), "draft"), (DECIDED, "concluded"), (ESCALATED, "escalated"), (WITHDRAWN, "withdrawn")],
)
def test_votes_are_taken_only_while_a_review_is_open(history: tuple[object, ...], state: str) -> None:
    refusal = review.given(*history).when(cast("cy", REJECT)).then_refused(ReviewNotOpen)
    assert refusal.facts == {"state": state}


def test_nobody_votes_on_a_review_that_is_not_known() -> None:
    review.given().when(cast("ana", APPROVE)).then_refused(ReviewNotKnown)


def test_a_vote_comes_too_late_at_the_time_limit_even_before_the_timer_has_fired() -> None:
    late = replace(cast("ana", APPROVE), at=CLOSING)
    assert review.given(*OPENED).when(late).then_refused(ReviewNotOpen).facts == {"state": "time_limit"}
    review.given(*OPENED).when(replace(late, at=CLOSING - timedelta(microseconds=1))).then(vote("ana", APPROVE))
    review.given(*OPENED, vote("ana", APPROVE)).when(late).then_nothing()


def test_the_submitter_does_not_vote() -> None:
    review.given(*OPENED).when(cast("sam", APPROVE)).then_refused(SubmitterMayNotVote)


def test_the_project_manager_does_not_vote() -> None:
    review.given(*OPENED).when(cast("max", APPROVE)).then_refused(ProjectManagerMayNotVote)


def test_the_sponsor_does_not_vote_where_the_policy_does_not_say_so() -> None:
    review.given(*OPENED).when(cast("sol", APPROVE)).then_refused(SponsorMayNotVote)


@pytest.mark.parametrize(
    ("name", "refusal"),
    [("sam", SubmitterMayNotVote), ("max", ProjectManagerMayNotVote), ("sol", SponsorMayNotVote)],
)
def test_who_is_excluded_is_excluded_with_every_account(name: str, refusal: type[Exception]) -> None:
    second = replace(cast(name, APPROVE), voter=account(f"{name}.second"))
    review.given(*OPENED).when(second).then_refused(refusal)  # type: ignore[arg-type]


def test_the_submitting_account_does_not_vote_whoever_it_is_said_to_be() -> None:
    as_ana = replace(cast("ana", APPROVE), voter=account("sam"))
    review.given(*OPENED).when(as_ana).then_refused(SubmitterMayNotVote)


def test_a_sponsor_whom_the_policy_lets_vote_votes() -> None:
    open_to_sponsor = replace(submitted("ana", "sol"), excluded=EXCLUDED[:2])
    review.given(DRAFTED, open_to_sponsor).when(cast("sol", APPROVE)).then(vote("sol", APPROVE))


def test_who_is_not_in_the_electorate_does_not_vote() -> None:
    refusal = review.given(*OPENED).when(cast("eve", APPROVE)).then_refused(NotAnElector)
    assert refusal.facts == {"voter": str(account("eve"))}


def test_an_elector_who_is_now_said_to_be_someone_else_has_no_authority() -> None:
    review.given(*OPENED).when(replace(cast("ana", APPROVE), person=person("eve"))).then_refused(NotAnElector)


def test_a_second_account_of_an_elector_is_no_second_voice() -> None:
    second = replace(cast("bo", REJECT), voter=account("bo.second"))
    refusal = review.given(*OPENED).when(second).then_refused(SecondAccount)
    assert refusal.facts == {"account": str(account("bo"))}
    review.given(*OPENED, vote("bo", APPROVE)).when(second).then_refused(SecondAccount)


def test_the_same_words_from_a_second_account_are_refused_like_others() -> None:
    second = replace(cast("bo", APPROVE), voter=account("bo.second"))
    review.given(*OPENED, vote("bo", APPROVE)).when(second).then_refused(SecondAccount)
    review.given(*DECIDED).when(second).then_refused(ReviewNotOpen)


def test_a_vote_states_its_reason() -> None:
    review.given(*OPENED).when(cast("ana", APPROVE, reason=" \n")).then_refused(ReasonMissing)


@pytest.mark.parametrize(
    "seen",
    [(), (POLICY_SEEN,), (replace(SUBMISSION, version=1),), (replace(SUBMISSION, hash="0" * 64),)],
)
def test_a_vote_names_the_submission_that_lay_before_the_voter(seen: tuple[Seen, ...]) -> None:
    refusal = review.given(*OPENED).when(replace(cast("ana", APPROVE), seen=seen)).then_refused(SeenIncomplete)
    assert refusal.facts == {"stream": str(REVIEW_STREAM), "version": "2", "hash": "d" * 64}


def test_a_vote_may_name_more_that_was_seen() -> None:
    seen = (POLICY_SEEN, SUBMISSION)
    review.given(*OPENED).when(replace(cast("ana", APPROVE), seen=seen)).then(replace(vote("ana", APPROVE), seen=seen))


def test_conditions_come_with_an_approval_under_conditions_and_with_nothing_else() -> None:
    review.given(*OPENED).when(cast("ana", CONDITIONALLY)).then_refused(ConditionsDoNotFitChoice)
    for choice in (APPROVE, REJECT, RETURN, ABSTAIN):
        refusal = review.given(*OPENED).when(cast("ana", choice, TRIAL)).then_refused(ConditionsDoNotFitChoice)
        assert refusal.facts == {"choice": choice.value, "conditions": "1"}
    review.given(*OPENED).when(cast("ana", CONDITIONALLY, TRIAL)).then(vote("ana", CONDITIONALLY, TRIAL))


@pytest.mark.parametrize("proposed", [Outcome.HOLD, Outcome.KILL])
def test_conditions_are_set_on_a_go_only(proposed: Outcome) -> None:
    opened = (DRAFTED, submitted("ana", "bo", proposed=proposed))
    review.given(*opened).when(cast("ana", CONDITIONALLY, TRIAL)).then_refused(ConditionsDoNotFitProposal)


@pytest.mark.parametrize("proposed", [Outcome.GO, Outcome.HOLD, Outcome.KILL])
def test_a_review_that_passes_comes_to_what_was_proposed(proposed: Outcome) -> None:
    opened = (DRAFTED, submitted("ana", "bo", "cy", proposed=proposed))
    review.given(*opened, vote("ana", APPROVE)).when(cast("bo", APPROVE)).then(
        vote("bo", APPROVE), concluded(proposed, approve=2)
    )


@pytest.mark.parametrize("failed", [Outcome.HOLD, Outcome.RECYCLE, Outcome.KILL])
def test_a_review_that_fails_comes_to_what_the_policy_says(failed: Outcome) -> None:
    opened = (DRAFTED, submitted("ana", "bo", "cy", failed=failed))
    review.given(*opened, vote("ana", RETURN)).when(cast("bo", REJECT)).then(
        vote("bo", REJECT), concluded(failed, returned=1, reject=1)
    )


def test_an_approval_with_conditions_makes_a_go_conditional() -> None:
    review.given(*OPENED, vote("ana", CONDITIONALLY, TRIAL)).when(cast("bo", APPROVE)).then(
        vote("bo", APPROVE), concluded(Outcome.CONDITIONAL_GO, TRIAL, approve=1, conditionally=1)
    )


def test_the_conditions_of_all_approvals_stand_in_the_order_of_their_votes_and_each_once() -> None:
    review.given(*OPENED, vote("bo", CONDITIONALLY, TRIAL, PERMIT)).when(
        cast("ana", CONDITIONALLY, PERMIT, LATER)
    ).then(
        vote("ana", CONDITIONALLY, PERMIT, LATER),
        concluded(Outcome.CONDITIONAL_GO, TRIAL, PERMIT, LATER, conditionally=2),
    )


def test_conditions_of_a_replaced_vote_and_of_a_failed_review_are_gone() -> None:
    review.given(*OPENED, vote("ana", CONDITIONALLY, TRIAL), vote("ana", APPROVE)).when(cast("bo", APPROVE)).then(
        vote("bo", APPROVE), GO
    )
    review.given(*OPENED, vote("ana", CONDITIONALLY, TRIAL), vote("bo", REJECT)).when(cast("cy", REJECT)).then(
        vote("cy", REJECT), concluded(Outcome.RECYCLE, conditionally=1, reject=2)
    )


def test_a_tie_fails() -> None:
    opened = (DRAFTED, submitted("ana", "bo"))
    review.given(*opened, vote("ana", APPROVE)).when(cast("bo", REJECT)).then(
        vote("bo", REJECT), concluded(Outcome.RECYCLE, electorate=2, approve=1, reject=1)
    )


def test_a_return_weighs_as_much_as_a_rejection() -> None:
    opened = (*OPENED, vote("ana", APPROVE), vote("bo", RETURN))
    review.given(*opened).when(cast("cy", RETURN)).then(
        vote("cy", RETURN), concluded(Outcome.RECYCLE, approve=1, returned=2)
    )


def test_a_majority_waits_for_the_quorum_in_which_abstentions_count() -> None:
    opened = (DRAFTED, submitted("ana", "bo", "cy", needed=3), vote("ana", APPROVE))
    review.given(*opened).when(cast("bo", APPROVE)).then(vote("bo", APPROVE))
    review.given(*opened, vote("bo", APPROVE)).when(cast("cy", ABSTAIN)).then(
        vote("cy", ABSTAIN), concluded(Outcome.GO, needed=3, approve=2, abstain=1)
    )


def test_a_threshold_is_a_share_of_the_whole_electorate() -> None:
    opened = (DRAFTED, submitted("ana", "bo", "cy", rule=Rule.THRESHOLD, threshold="0.6"), vote("ana", APPROVE))
    review.given(*opened).when(cast("bo", ABSTAIN)).then(vote("bo", ABSTAIN))
    review.given(*opened).when(cast("bo", APPROVE)).then(vote("bo", APPROVE), GO)
    review.given(*opened, vote("bo", ABSTAIN)).when(cast("cy", ABSTAIN)).then(
        vote("cy", ABSTAIN), concluded(Outcome.RECYCLE, approve=1, abstain=2)
    )


def test_a_threshold_is_reached_exactly() -> None:
    opened = (DRAFTED, submitted("ana", "bo", rule=Rule.THRESHOLD, threshold="0.5"), vote("ana", APPROVE))
    review.given(*opened).when(cast("bo", REJECT)).then(
        vote("bo", REJECT), concluded(Outcome.GO, electorate=2, approve=1, reject=1)
    )


def test_two_of_three_are_less_than_a_threshold_just_above_two_thirds() -> None:
    threshold = "0." + "6" * 36 + "7"
    opened = (DRAFTED, submitted("ana", "bo", "cy", rule=Rule.THRESHOLD, threshold=threshold), vote("ana", APPROVE))
    review.given(*opened, vote("bo", APPROVE)).when(cast("cy", ABSTAIN)).then(
        vote("cy", ABSTAIN), concluded(Outcome.RECYCLE, approve=2, abstain=1)
    )


def test_a_consensus_waits_for_everyone_and_takes_abstentions() -> None:
    opened = (DRAFTED, submitted("ana", "bo", "cy", rule=Rule.CONSENSUS), vote("ana", APPROVE))
    review.given(*opened).when(cast("bo", APPROVE)).then(vote("bo", APPROVE))
    review.given(*opened, vote("bo", APPROVE)).when(cast("cy", ABSTAIN)).then(
        vote("cy", ABSTAIN), concluded(Outcome.GO, approve=2, abstain=1)
    )


@pytest.mark.parametrize("choice", [REJECT, RETURN])
def test_a_consensus_fails_by_one_voice_once_the_quorum_is_met(choice: Choice) -> None:
    opened = (DRAFTED, submitted("ana", "bo", "cy", rule=Rule.CONSENSUS))
    review.given(*opened).when(cast("ana", choice)).then(vote("ana", choice))
    review.given(*opened, vote("ana", choice)).when(cast("bo", APPROVE)).then(
        vote("bo", APPROVE),
        concluded(Outcome.RECYCLE, approve=1, reject=int(choice is REJECT), returned=int(choice is RETURN)),
    )


@pytest.mark.parametrize(
    ("rule", "threshold"), [(Rule.MAJORITY, None), (Rule.THRESHOLD, "0.5"), (Rule.CONSENSUS, None)]
)
def test_a_veto_holders_reject_fails_a_review_under_any_rule(rule: Rule, threshold: str | None) -> None:
    opened = (DRAFTED, submitted("ana", "bo", "cy", veto="cy", rule=rule, threshold=threshold))
    review.given(*opened, vote("ana", APPROVE), vote("bo", APPROVE)).when(cast("cy", REJECT)).then(
        vote("cy", REJECT), concluded(Outcome.RECYCLE, approve=2, reject=1)
    )


def test_a_majority_waits_for_the_holder_of_a_veto() -> None:
    opened = (DRAFTED, submitted("ana", "bo", "cy", veto="cy"), vote("ana", APPROVE))
    review.given(*opened).when(cast("bo", APPROVE)).then(vote("bo", APPROVE))
    review.given(*opened, vote("bo", APPROVE)).when(cast("cy", RETURN)).then(
        vote("cy", RETURN), concluded(Outcome.GO, approve=2, returned=1)
    )


def test_when_all_abstain_nothing_passes_and_nothing_fails_but_it_escalates() -> None:
    opened = (*OPENED, vote("ana", ABSTAIN))
    review.given(*opened).when(cast("bo", ABSTAIN)).then(vote("bo", ABSTAIN))
    review.given(*opened, vote("bo", ABSTAIN)).when(cast("cy", ABSTAIN)).then(
        vote("cy", ABSTAIN), escalated("All of the electorate have abstained.")
    )


def test_abstentions_alone_settle_nothing_while_a_vote_is_out() -> None:
    opened = (DRAFTED, submitted("ana", "bo", "cy", rule=Rule.THRESHOLD, threshold="1"), vote("ana", ABSTAIN))
    review.given(*opened).when(cast("bo", ABSTAIN)).then(vote("bo", ABSTAIN))
    review.given(*opened, vote("bo", ABSTAIN)).when(cast("cy", APPROVE)).then(
        vote("cy", APPROVE), concluded(Outcome.RECYCLE, approve=1, abstain=2)
    )


def test_before_its_time_and_without_a_limit_a_review_stays_open() -> None:
    review.given(*OPENED).when(ReachTimeLimit(CLOSING - timedelta(microseconds=1))).then_nothing()
    review.given(DRAFTED, submitted("ana", "bo", "cy", limit=None)).when(ReachTimeLimit(CLOSING)).then_nothing()


@pytest.mark.parametrize("history", [(), (DRAFTED,), DECIDED, ESCALATED, WITHDRAWN])
def test_a_time_limit_means_nothing_to_a_review_that_is_not_open(history: tuple[object, ...]) -> None:
    review.given(*history).when(ReachTimeLimit(CLOSING)).then_nothing()


def test_at_the_time_limit_the_votes_of_a_quorum_decide_for_no_other_vote_is_out() -> None:
    opened = (DRAFTED, submitted("ana", "bo", "cy", "dee", "eve", needed=3))
    votes = (vote("ana", APPROVE), vote("bo", APPROVE), vote("cy", REJECT))
    review.given(*opened, *votes).when(ReachTimeLimit(CLOSING)).then(
        concluded(Outcome.GO, electorate=5, needed=3, approve=2, reject=1, ending=Ending.TIME_LIMIT)
    )
    tied = (vote("ana", APPROVE), vote("bo", ABSTAIN), vote("cy", REJECT))
    review.given(*opened, *tied).when(ReachTimeLimit(CLOSING)).then(
        concluded(Outcome.RECYCLE, electorate=5, needed=3, approve=1, abstain=1, reject=1, ending=Ending.TIME_LIMIT)
    )


def test_what_a_threshold_or_a_consensus_lacks_for_want_of_votes_the_time_limit_does_not_decide() -> None:
    consensus = (DRAFTED, submitted("ana", "bo", "cy", rule=Rule.CONSENSUS, failed=Outcome.KILL))
    review.given(*consensus, vote("ana", APPROVE), vote("bo", APPROVE)).when(ReachTimeLimit(CLOSING)).then(
        ReviewWithdrawn(PROJECT, reason(2, 2, 0))
    )
    names = ("ana", "bo", "cy", "dee", "eve")
    share = submitted(*names, rule=Rule.THRESHOLD, threshold="0.6", needed=2, limit=AtTimeLimit.ESCALATE)
    review.given(DRAFTED, share, vote("ana", APPROVE), vote("bo", APPROVE)).when(ReachTimeLimit(CLOSING)).then(
        escalated(reason(2, 2, 0))
    )


def test_at_the_time_limit_a_majority_is_one_of_the_votes_that_were_cast() -> None:
    split = (*OPENED, vote("ana", APPROVE), vote("bo", REJECT))
    review.given(*split).when(ReachTimeLimit(CLOSING)).then(
        concluded(Outcome.RECYCLE, approve=1, reject=1, ending=Ending.TIME_LIMIT)
    )


def reason(cast: int, needed: int, silent: int) -> str:
    return (
        f"The time limit was reached without a result: {cast} votes were cast, {needed} are needed, "
        f"and {silent} holders of a veto were silent."
    )


def test_without_a_quorum_a_review_lapses_or_escalates_as_the_policy_says_and_never_passes() -> None:
    lapsing = (*OPENED, vote("ana", APPROVE))
    review.given(*lapsing).when(ReachTimeLimit(CLOSING)).then(ReviewWithdrawn(PROJECT, reason(1, 2, 0)))
    escalating = (DRAFTED, submitted("ana", "bo", "cy", limit=AtTimeLimit.ESCALATE), vote("ana", APPROVE))
    review.given(*escalating).when(ReachTimeLimit(CLOSING)).then(escalated(reason(1, 2, 0)))


def test_without_a_word_from_the_holder_of_a_veto_nothing_is_decided_at_the_time_limit() -> None:
    opened = (DRAFTED, submitted("ana", "bo", "cy", veto="cy"), vote("ana", APPROVE), vote("bo", APPROVE))
    review.given(*opened).when(ReachTimeLimit(CLOSING)).then(ReviewWithdrawn(PROJECT, reason(2, 2, 1)))


def test_abstentions_decide_nothing_at_the_time_limit() -> None:
    opened = (*OPENED, vote("ana", ABSTAIN), vote("bo", ABSTAIN))
    review.given(*opened).when(ReachTimeLimit(CLOSING)).then(ReviewWithdrawn(PROJECT, reason(2, 2, 0)))


@pytest.mark.parametrize("history", [(DRAFTED,), OPENED, ESCALATED])
def test_a_review_without_an_outcome_can_be_withdrawn_once(history: tuple[object, ...]) -> None:
    withdrawn = ReviewWithdrawn(PROJECT, "not needed")
    review.given(*history).when(WithdrawReview("not needed")).then(withdrawn)
    review.given(*history, withdrawn).when(WithdrawReview("not needed")).then_nothing()


def test_a_question_is_taken_back_with_a_reason_and_while_its_voters_have_time() -> None:
    review.given(*OPENED).when(WithdrawReview(" ", NOON)).then_refused(ReasonMissing)
    refusal = review.given(*OPENED).when(WithdrawReview("not needed", CLOSING)).then_refused(ReviewNotOpen)
    assert refusal.facts == {"state": "time_limit"}
    ends_with_its_project = ReviewWithdrawn(PROJECT, "The project was terminated.")
    review.given(*OPENED).when(WithdrawReview("The project was terminated.")).then(ends_with_its_project)


def test_an_outcome_is_not_taken_back() -> None:
    refusal = review.given(*DECIDED).when(WithdrawReview("not needed")).then_refused(ReviewAlreadyConcluded)
    assert refusal.facts == {"outcome": "go"}


def test_a_review_that_is_not_known_is_not_withdrawn() -> None:
    review.given().when(WithdrawReview("not needed")).then_refused(ReviewNotKnown)


@pytest.mark.parametrize(
    ("history", "found"),
    [
        ((), False),
        ((DRAFTED,), True),
        (OPENED, True),
        ((*OPENED, vote("ana", APPROVE)), True),
        (ESCALATED, True),
        (DECIDED, False),
        (WITHDRAWN, False),
    ],
)
def test_a_review_is_found_from_its_project_until_it_has_ended(history: tuple[object, ...], found: bool) -> None:
    assert (Link(OPEN_REVIEW_OF, PROJECT) in REVIEW.links(REVIEW.fold(history))) is found  # type: ignore[arg-type]


CLOSE = CloseCondition(1, (PLAN,), "the trial is finished")
CLOSED = ConditionClosed(PROJECT, 1, (PLAN,), "the trial is finished")


def test_a_condition_is_closed_once_by_its_evidence() -> None:
    review.given(*CONDITIONAL).when(CLOSE).then(CLOSED)
    review.given(*CONDITIONAL, CLOSED).when(CLOSE).then_nothing()


def test_how_a_condition_was_met_is_not_rewritten() -> None:
    refusal = (
        review.given(*CONDITIONAL, CLOSED).when(replace(CLOSE, remark="done")).then_refused(ConditionAlreadyClosed)
    )
    assert refusal.facts == {"remark": "the trial is finished on record, done given"}


@pytest.mark.parametrize("number", [0, 2, -1])
def test_only_a_condition_of_the_outcome_is_closed(number: int) -> None:
    refusal = review.given(*CONDITIONAL).when(replace(CLOSE, condition=number)).then_refused(ConditionNotKnown)
    assert refusal.facts == {"condition": str(number), "conditions": "1"}
    review.given(*DECIDED).when(CLOSE).then_refused(ConditionNotKnown)


def test_a_condition_is_not_closed_without_evidence() -> None:
    review.given(*CONDITIONAL).when(replace(CLOSE, evidence=())).then_refused(EvidenceMissing)
    review.given(*CONDITIONAL).when(replace(CLOSE, remark=" ")).then_refused(TextMissing)
    review.given(*CONDITIONAL).when(replace(CLOSE, evidence=(PLAN, PLAN))).then_refused(EvidenceListedTwice)


@pytest.mark.parametrize("history", [(DRAFTED,), OPENED, ESCALATED, WITHDRAWN])
def test_conditions_are_there_once_the_review_has_its_outcome(history: tuple[object, ...]) -> None:
    review.given(*history).when(CLOSE).then_refused(ReviewNotConcluded)


def test_a_review_that_is_not_known_has_no_conditions() -> None:
    review.given().when(CLOSE).then_refused(ReviewNotKnown)


@pytest.mark.parametrize(
    ("rule", "threshold", "why"),
    [
        (Rule.MAJORITY, None, "A majority needs more who approve than reject or return."),
        (Rule.THRESHOLD, "0.5", "The threshold needs 0.5 of the electorate to approve."),
        (Rule.CONSENSUS, None, "A consensus needs everyone's vote, and none that rejects or returns."),
    ],
)
def test_an_outcome_says_why_in_words_and_figures(rule: Rule, threshold: str | None, why: str) -> None:
    history = (DRAFTED, submitted("ana", "bo", "cy", rule=rule, threshold=threshold), vote("ana", APPROVE))
    explained = Specification(REVIEW).given(*history, vote("bo", RETURN)).when(cast("cy", ABSTAIN)).events
    assert explained is not None
    assert explained[-1].because == f"1 of 3 approve, 1 reject or return, 1 abstain. {why}"  # type: ignore[union-attr]


def test_an_outcome_says_that_a_veto_made_it() -> None:
    history = (DRAFTED, submitted("ana", "bo", "cy", veto="cy"), vote("ana", APPROVE), vote("bo", APPROVE))
    explained = Specification(REVIEW).given(*history).when(cast("cy", REJECT)).events
    assert explained is not None
    assert explained[-1].because == (  # type: ignore[union-attr]
        "2 of 3 approve, 1 reject or return, 0 abstain. A holder of a veto rejects."
    )
