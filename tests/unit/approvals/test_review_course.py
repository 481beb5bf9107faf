"""What comes between a review's submission and its outcome: figures, evidence, questions, recusals, other panels, time."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest
from tests.unit.approvals.people import COUNCIL, PROJECT, REVIEW_STREAM, account, person
from tests.unit.approvals.reviews import (
    ABSTAIN,
    APPROVE,
    BUSINESS_CASE,
    CLOSING,
    DECIDED,
    DRAFTED,
    ESCALATED,
    EXCLUDED,
    NOON,
    OPENED,
    PLAN,
    REJECT,
    SUBMIT,
    SUBMITTED,
    WITHDRAWN,
    cast,
    concluded,
    elector,
    escalated,
    review,
    submit,
    submitted,
    vote,
)

from approvals.domain.review import (
    AWAITS_MEASURES,
    LONGEST_MEASURING,
    REVIEW,
    AnswerQuestion,
    AskQuestion,
    ChangeEvidence,
    EvidenceListedTwice,
    NotAnElector,
    NoteMeasure,
    QuestionAlreadyAnswered,
    QuestionNotKnown,
    ReachTimeLimit,
    ReasonMissing,
    RecuseVoter,
    ReferReview,
    RemindVoters,
    ReviewNotEscalated,
    ReviewNotKnown,
    ReviewNotOpen,
    SeenIncomplete,
    StopMeasuring,
    Submitted,
    SubmitterMayNotVote,
    TextMissing,
    VoterIsRecused,
)
from govevents.approvals import (
    Aspect,
    AtTimeLimit,
    Comparison,
    Criterion,
    Deliverable,
    Ending,
    EvidenceChanged,
    KpiThreshold,
    Measure,
    MeasureNoted,
    Met,
    Need,
    Outcome,
    Panel,
    QuestionAnswered,
    QuestionAsked,
    Quorum,
    ReviewConcluded,
    ReviewEscalated,
    ReviewOpened,
    ReviewReferred,
    ReviewReminded,
    Rule,
    Seen,
    TimeLimit,
    VoterRecused,
)
from govkernel.domain import Deadline, Link

SPI = Criterion(
    code="on_schedule",
    text="The work is on schedule.",
    need=Need.MUST,
    evidence_kinds=(),
    kpi=KpiThreshold("spi", Comparison.AT_LEAST, Decimal("0.9"), decides=False),
)
OPEN_ISSUES = Criterion(
    code="few_issues",
    text="Few issues are open.",
    need=Need.SHOULD,
    evidence_kinds=(),
    kpi=KpiThreshold("issues_open", Comparison.AT_MOST, Decimal(3), decides=False),
)
DECIDING_SPI = replace(SPI, kpi=KpiThreshold("spi", Comparison.AT_LEAST, Decimal("0.9"), decides=True))
MEASURED = Seen("measurement", 1, "e" * 64)
ON_TIME = Measure("spi", Decimal("0.95"), "ratio", None, MEASURED)
BEHIND = Measure("spi", Decimal("0.5"), "ratio", None, MEASURED)
TWO_ISSUES = Measure("issues_open", Decimal(2), "count", None, MEASURED)

COUNCIL_PANEL = Panel(COUNCIL, (elector("kim"), elector("lou")), EXCLUDED)
ABOVE = replace(SUBMITTED, escalation=COUNCIL_PANEL, at_time_limit=AtTimeLimit.ESCALATE)


def awaiting(*criteria: Criterion) -> tuple[object, ...]:
    """A review that awaits the KPIs of these criteria."""
    events = review.given(DRAFTED).when(replace(SUBMIT, criteria=criteria)).events
    assert events is not None
    return (DRAFTED, *events)


def note(measure: Measure) -> NoteMeasure:
    return NoteMeasure(measure, NOON + timedelta(seconds=3))


def test_a_review_that_rests_on_figures_is_open_once_they_are_measured() -> None:
    history = awaiting(SPI, OPEN_ISSUES)
    state = REVIEW.fold(history)  # type: ignore[arg-type]
    assert isinstance(state, Submitted)
    assert state.ballot.submitted.awaits == ("spi", "issues_open")
    refusal = review.given(*history).when(cast("ana", APPROVE)).then_refused(ReviewNotOpen)
    assert refusal.facts == {"state": "submitted"}
    assert "spi, issues_open" in refusal.detail
    review.given(*history).when(note(ON_TIME)).then(MeasureNoted(PROJECT, ON_TIME))
    opened = review.given(*history).when(note(ON_TIME), note(TWO_ISSUES)).events
    assert opened is not None
    noted, opening = opened
    assert noted == MeasureNoted(PROJECT, TWO_ISSUES)
    assert isinstance(opening, ReviewOpened)
    assert (opening.measures, opening.ready) == ((ON_TIME, TWO_ISSUES), True)
    assert [(each.code, each.met) for each in opening.findings] == [("on_schedule", Met.YES), ("few_issues", Met.YES)]


def test_a_figure_is_noted_once_and_only_where_it_is_awaited() -> None:
    history = awaiting(SPI, OPEN_ISSUES)
    review.given(*history).when(note(ON_TIME), note(BEHIND)).then_nothing()
    review.given(*history).when(note(replace(ON_TIME, kpi="cpi"))).then_nothing()
    for other in ((), (DRAFTED,), OPENED, DECIDED, ESCALATED, WITHDRAWN):
        review.given(*other).when(note(ON_TIME)).then_nothing()
        review.given(*other).when(StopMeasuring(NOON + LONGEST_MEASURING)).then_nothing()


def test_what_is_not_measured_in_time_is_undefined_and_holds_nobody_up() -> None:
    history = awaiting(SPI, OPEN_ISSUES)
    submitted = history[1]
    assert REVIEW.deadlines(submitted) == (  # type: ignore[arg-type]
        Deadline("measured_by", NOON + LONGEST_MEASURING),
        Deadline("time_limit", CLOSING),
    )
    assert REVIEW.on_deadline is not None
    assert REVIEW.on_deadline("measured_by", CLOSING) == StopMeasuring(CLOSING)
    early = StopMeasuring(NOON + LONGEST_MEASURING - timedelta(microseconds=1))
    review.given(*history).when(early).then_nothing()
    decided = review.given(*history).when(note(TWO_ISSUES), StopMeasuring(NOON + LONGEST_MEASURING)).events
    assert decided is not None
    (opened,) = decided
    assert isinstance(opened, ReviewOpened)
    measured, missing = opened.measures
    assert measured == TWO_ISSUES
    assert (missing.kpi, missing.value, missing.measured) == ("spi", None, None)
    assert missing.undefined_because == "Nothing was measured within 60 s of the submission."
    assert {each.code: each.met for each in opened.findings} == {"on_schedule": Met.UNKNOWN, "few_issues": Met.YES}
    assert not opened.ready
    review.given(*history, MeasureNoted(PROJECT, ON_TIME), opened).when(StopMeasuring(CLOSING)).then_nothing()


def test_a_criterion_advises_and_voters_decide() -> None:
    history = awaiting(SPI)
    opened = review.given(*history).when(note(BEHIND)).events
    assert opened is not None
    assert [type(event) for event in opened] == [MeasureNoted, ReviewOpened]
    review.given(*history, *opened, vote("ana", APPROVE)).when(cast("bo", APPROVE)).then(
        vote("bo", APPROVE), concluded(Outcome.GO, approve=2)
    )


def test_a_criterion_that_decides_fails_a_review_whose_figure_misses_it() -> None:
    history = awaiting(DECIDING_SPI)
    events = review.given(*history).when(note(BEHIND)).events
    assert events is not None
    assert [type(event) for event in events] == [MeasureNoted, ReviewOpened, ReviewConcluded]
    assert events[2] == concluded(Outcome.RECYCLE, ending=Ending.CRITERION)
    (unmeasured,) = review.given(*history).when(StopMeasuring(NOON + LONGEST_MEASURING)).events or ()
    assert isinstance(unmeasured, ReviewOpened), "an undefined figure decides nothing"


def test_what_a_criterion_stops_is_going_on_and_not_the_question_whether_to_end_or_hold() -> None:
    for proposed in (Outcome.KILL, Outcome.HOLD):
        asked = review.given(DRAFTED).when(replace(SUBMIT, criteria=(DECIDING_SPI,), proposed=proposed)).events
        assert asked is not None
        opened = review.given(DRAFTED, *asked).when(note(BEHIND)).events
        assert opened is not None
        assert [type(event) for event in opened] == [MeasureNoted, ReviewOpened]


def test_a_change_of_evidence_says_why_and_the_same_pieces_in_another_order_are_none() -> None:
    review.given(*OPENED).when(replace(CHANGE, remark=" ")).then_refused(ReasonMissing)
    review.given(*OPENED).when(replace(CHANGE, evidence=SUBMITTED.evidence[::-1], remark="")).then_nothing()


def test_what_awaits_figures_is_found_by_its_project_until_they_are_there() -> None:
    history = awaiting(SPI)
    link = Link(AWAITS_MEASURES, PROJECT)
    assert link in REVIEW.links(REVIEW.fold(history))  # type: ignore[arg-type]
    assert link not in REVIEW.links(review.given(*history).when(note(ON_TIME)).then_state())


def test_a_submission_says_what_was_found() -> None:
    plan = Deliverable("plan", "Project plan", "plan")
    asked = replace(SUBMIT, deliverables=(plan,))
    (missing,) = review.given(DRAFTED).when(asked).events or ()
    (there,) = review.given(DRAFTED).when(replace(asked, evidence=(replace(PLAN, kind="plan"),))).events or ()
    assert [(each.aspect, each.code, each.met) for each in missing.findings] == [  # type: ignore[union-attr]
        (Aspect.DELIVERABLE, "plan", Met.NO)
    ]
    assert not missing.ready  # type: ignore[union-attr]
    assert there.ready  # type: ignore[union-attr]


CHANGE = ChangeEvidence(account("max"), (BUSINESS_CASE,), "the plan was withdrawn", NOON)
CHANGED = EvidenceChanged(PROJECT, account("max"), (BUSINESS_CASE,), (), True, "the plan was withdrawn")


def test_changed_evidence_asks_everyone_again() -> None:
    review.given(*OPENED, vote("ana", APPROVE)).when(CHANGE).then(CHANGED)
    changed = (*OPENED, vote("ana", APPROVE), CHANGED)
    review.given(*changed).when(cast("bo", APPROVE)).then(vote("bo", APPROVE))
    review.given(*changed, vote("bo", APPROVE)).when(cast("ana", APPROVE)).then(
        vote("ana", APPROVE), concluded(Outcome.GO, approve=2)
    )


def test_a_vote_after_a_change_names_the_change_as_seen() -> None:
    after = Seen(str(REVIEW_STREAM), 4, "f" * 64)
    refusal = (
        review.given(*OPENED, vote("ana", APPROVE), CHANGED)
        .when(replace(cast("ana", APPROVE), basis=after))
        .then_refused(SeenIncomplete)
    )
    assert refusal.facts["version"] == "4"


def test_once_the_voters_time_is_over_nothing_changes_what_was_voted_on_or_by_whom() -> None:
    history = (*OPENED, vote("ana", APPROVE))
    for late in (replace(CHANGE, at=CLOSING), replace(recuse("ana"), at=CLOSING)):
        assert review.given(*history).when(late).then_refused(ReviewNotOpen).facts == {"state": "time_limit"}
    review.given(*OPENED, CHANGED).when(replace(CHANGE, at=CLOSING)).then_nothing()
    review.given(*OPENED, recused("ana")).when(replace(recuse("ana"), at=CLOSING)).then_nothing()


def test_the_same_evidence_again_changes_nothing() -> None:
    review.given(*OPENED, CHANGED).when(CHANGE).then_nothing()
    review.given(*OPENED).when(replace(CHANGE, evidence=(PLAN, PLAN))).then_refused(EvidenceListedTwice)


def test_evidence_is_changed_only_while_voters_are_asked() -> None:
    review.given().when(CHANGE).then_refused(ReviewNotKnown)
    for history in ((DRAFTED,), DECIDED, ESCALATED, WITHDRAWN, awaiting(SPI)):
        review.given(*history).when(CHANGE).then_refused(ReviewNotOpen)


def recuse(name: str, reason: str = "My brother bids for it.") -> RecuseVoter:
    return RecuseVoter(person(name), account(name), reason, NOON)


def recused(name: str) -> VoterRecused:
    return VoterRecused(PROJECT, person(name), account(name), "My brother bids for it.")


def test_the_quorum_is_counted_without_the_recused() -> None:
    history = (DRAFTED, submitted("ana", "bo", "cy", "dee", "eve", needed=3), vote("ana", APPROVE))
    review.given(*history, vote("bo", APPROVE)).when(recuse("eve")).then(recused("eve"))
    review.given(*history, recused("eve"), recused("dee")).when(cast("bo", APPROVE)).then(
        vote("bo", APPROVE), concluded(Outcome.GO, approve=2, recused=2)
    )


def test_a_recusal_can_be_what_decides() -> None:
    history = (DRAFTED, submitted("ana", "bo", "cy"), vote("ana", APPROVE))
    thirds = (DRAFTED, submitted("ana", "bo", "cy", rule=Rule.CONSENSUS), vote("ana", APPROVE), vote("bo", APPROVE))
    review.given(*thirds).when(recuse("cy")).then(
        recused("cy"), concluded(Outcome.GO, electorate=2, needed=1, approve=2, recused=1)
    )
    review.given(*history).when(recuse("bo"), recuse("bo")).then_nothing()


def test_who_is_recused_takes_their_vote_back_and_votes_no_more() -> None:
    history = (DRAFTED, submitted("ana", "bo", "cy", "dee"), vote("ana", APPROVE))
    review.given(*history).when(recuse("ana")).then(recused("ana"))
    refusal = review.given(*history, recused("ana")).when(cast("ana", APPROVE)).then_refused(VoterIsRecused)
    assert refusal.facts == {"because": "My brother bids for it."}
    review.given(*history, recused("ana")).when(cast("bo", REJECT)).then(vote("bo", REJECT))


def test_a_recused_holder_of_a_veto_is_waited_for_no_longer_and_vetoes_nothing() -> None:
    history = (DRAFTED, submitted("ana", "bo", "cy", veto="cy"), vote("ana", APPROVE), vote("bo", APPROVE))
    review.given(*history).when(recuse("cy")).then(
        recused("cy"), concluded(Outcome.GO, electorate=2, needed=1, approve=2, recused=1)
    )


def test_an_electorate_made_too_small_by_recusals_escalates() -> None:
    two = submitted("ana", "bo", quorum=Quorum(2, Decimal(0)))
    review.given(DRAFTED, two).when(recuse("ana")).then(
        recused("ana"), escalated("2 votes are needed, and 1 persons may vote.")
    )


def test_a_recusal_has_a_reason_and_comes_while_votes_are_taken() -> None:
    review.given(*OPENED).when(recuse("ana", " ")).then_refused(ReasonMissing)
    review.given(*DECIDED).when(recuse("ana")).then_refused(ReviewNotOpen)
    review.given().when(recuse("ana")).then_refused(ReviewNotKnown)


def test_a_conflict_of_interest_is_on_record_before_anybody_has_a_voice_and_moves_nothing() -> None:
    review.given(*OPENED).when(recuse("eve")).then(recused("eve"))
    review.given(*OPENED, recused("eve")).when(recuse("eve")).then_nothing()
    review.given(*OPENED, recused("eve"), vote("ana", APPROVE)).when(cast("bo", APPROVE)).then(
        vote("bo", APPROVE), concluded(Outcome.GO, approve=2)
    )


def test_who_kept_out_beforehand_has_no_voice_when_it_comes_before_their_body() -> None:
    above = (DRAFTED, ABOVE, recused("kim"), TO_COUNCIL)
    review.given(*above).when(cast("kim", APPROVE)).then_refused(VoterIsRecused)
    only_one = replace(concluded(Outcome.GO, electorate=1, needed=1, approve=1, recused=1), body=COUNCIL)
    review.given(*above).when(cast("lou", APPROVE)).then(vote("lou", APPROVE), only_one)


def ask(name: str, text: str = "Who pays?") -> AskQuestion:
    return AskQuestion(account(name), person(name), None, text, NOON.date())


ASKED = QuestionAsked(PROJECT, 1, account("ana"), "Who pays?")
ANSWER = AnswerQuestion(1, account("sam"), "The city.")
ANSWERED = QuestionAnswered(PROJECT, 1, account("sam"), "The city.")


def test_a_voter_asks_and_the_answer_is_on_record() -> None:
    review.given(*OPENED).when(ask("ana")).then(ASKED)
    review.given(*OPENED, ASKED).when(ask("ana")).then_nothing()
    review.given(*OPENED, ASKED).when(ask("bo")).then(QuestionAsked(PROJECT, 2, account("bo"), "Who pays?"))
    review.given(*OPENED, ASKED).when(ANSWER).then(ANSWERED)
    review.given(*OPENED, ASKED, ANSWERED).when(ANSWER).then_nothing()


def test_only_who_may_vote_asks() -> None:
    review.given(*OPENED).when(ask("eve")).then_refused(NotAnElector)
    review.given(*OPENED).when(ask("sam")).then_refused(SubmitterMayNotVote)
    review.given(*OPENED, recused("ana")).when(ask("ana")).then_refused(VoterIsRecused)
    review.given(*DECIDED).when(ask("ana")).then_refused(ReviewNotOpen)
    review.given(*OPENED).when(ask("ana", " ")).then_refused(TextMissing)


def test_an_answer_fits_a_question_and_is_not_rewritten() -> None:
    refusal = review.given(*OPENED, ASKED).when(replace(ANSWER, number=2)).then_refused(QuestionNotKnown)
    assert refusal.facts == {"question": "2", "questions": "1"}
    review.given(*OPENED, ASKED).when(replace(ANSWER, number=0)).then_refused(QuestionNotKnown)
    review.given(*OPENED, ASKED).when(replace(ANSWER, text="")).then_refused(TextMissing)
    review.given(*OPENED, ASKED, ANSWERED).when(replace(ANSWER, text="We.")).then_refused(QuestionAlreadyAnswered)
    review.given(*DECIDED).when(ANSWER).then_refused(ReviewNotOpen)


def test_a_question_leaves_votes_as_they_are() -> None:
    review.given(*OPENED, vote("ana", APPROVE), ASKED, ANSWERED).when(cast("bo", APPROVE)).then(
        vote("bo", APPROVE), concluded(Outcome.GO, approve=2)
    )


def test_what_an_electorate_can_not_decide_is_decided_by_the_body_that_the_policy_names() -> None:
    history = (DRAFTED, ABOVE, vote("ana", ABSTAIN), vote("bo", ABSTAIN))
    reason = "All of the electorate have abstained."
    to_council = ReviewEscalated(PROJECT, reason, COUNCIL_PANEL, CLOSING, ())
    review.given(*history).when(cast("cy", ABSTAIN)).then(vote("cy", ABSTAIN), to_council)
    above = (*history, vote("cy", ABSTAIN), to_council)
    review.given(*above).when(cast("ana", APPROVE)).then_refused(NotAnElector)
    review.given(*above).when(cast("kim", APPROVE)).then(vote("kim", APPROVE))
    ended = concluded(Outcome.GO, electorate=2, needed=1, approve=2)
    review.given(*above, vote("kim", APPROVE)).when(cast("lou", APPROVE)).then(
        vote("lou", APPROVE), replace(ended, body=COUNCIL)
    )


TO_COUNCIL = ReviewEscalated(PROJECT, "All of the electorate have abstained.", COUNCIL_PANEL, CLOSING, ())


def test_the_vote_that_put_a_review_before_another_panel_sent_again_is_no_error() -> None:
    history = (DRAFTED, ABOVE, *(vote(name, ABSTAIN) for name in ("ana", "bo")))
    review.given(*history).when(cast("cy", ABSTAIN), cast("cy", ABSTAIN)).then_nothing()
    above = (*history, vote("cy", ABSTAIN), TO_COUNCIL)
    review.given(*above).when(cast("ana", ABSTAIN)).then_nothing()
    review.given(*above, vote("kim", APPROVE)).when(cast("cy", ABSTAIN)).then_nothing()
    review.given(*above).when(cast("cy", APPROVE)).then_refused(NotAnElector)


def test_the_vote_that_nobody_above_could_make_up_for_sent_again_is_no_error() -> None:
    nobody = Panel(COUNCIL, (), EXCLUDED)
    history = (DRAFTED, replace(ABOVE, escalation=nobody), *(vote(name, ABSTAIN) for name in ("ana", "bo")))
    events = review.given(*history).when(cast("cy", ABSTAIN)).events
    assert events is not None
    assert [getattr(event, "to", "none") for event in events] == ["none", nobody, None]
    review.given(*history, *events).when(cast("cy", ABSTAIN)).then_nothing()


def test_who_sits_on_both_panels_votes_anew_before_the_second() -> None:
    both = Panel(COUNCIL, (elector("ana"), elector("kim")), EXCLUDED)
    history = (DRAFTED, replace(ABOVE, escalation=both), *(vote(name, ABSTAIN) for name in ("ana", "bo", "cy")))
    up = Seen(str(REVIEW_STREAM), 6, "a" * 64)
    anew = replace(cast("ana", ABSTAIN), basis=up, seen=(up,))
    review.given(*history, replace(TO_COUNCIL, to=both)).when(anew).then(replace(vote("ana", ABSTAIN), seen=(up,)))


def test_what_was_said_before_another_panel_is_not_repeated_by_who_keeps_out_now() -> None:
    above = (DRAFTED, ABOVE, *(vote(name, ABSTAIN) for name in ("ana", "bo", "cy")), TO_COUNCIL)
    review.given(*above, recused("cy")).when(cast("cy", ABSTAIN)).then_refused(VoterIsRecused)


def test_at_the_time_limit_it_goes_to_the_body_above_which_has_as_long_as_the_first() -> None:
    reminder = CLOSING - timedelta(days=2)
    history = (DRAFTED, replace(ABOVE, reminders=(reminder,)))
    (up,) = review.given(*history).when(ReachTimeLimit(CLOSING + timedelta(minutes=5))).events or ()
    assert isinstance(up, ReviewEscalated)
    later = timedelta(days=14, minutes=5)
    assert (up.to, up.closes_at, up.reminders) == (COUNCIL_PANEL, CLOSING + later, (reminder + later,))
    assert [each.due for each in REVIEW.deadlines(up)] == [reminder + later, CLOSING + later]
    review.given(*history, up).when(ReachTimeLimit(CLOSING + timedelta(days=1))).then_nothing()


def test_what_the_body_above_can_not_decide_waits_to_be_referred() -> None:
    up = ReviewEscalated(PROJECT, "nobody", COUNCIL_PANEL, CLOSING, ())
    history = (DRAFTED, ABOVE, up, vote("kim", ABSTAIN))
    review.given(*history).when(cast("lou", ABSTAIN)).then(
        vote("lou", ABSTAIN), escalated("All of the electorate have abstained.")
    )


def test_an_electorate_too_small_from_the_start_is_decided_above_at_once() -> None:
    asked = replace(submit("ana", quorum=Quorum(2, Decimal(0))), escalation=COUNCIL_PANEL)
    events = review.given(DRAFTED).when(asked).events
    assert events is not None
    assert isinstance(events[1], ReviewEscalated)
    assert (events[1].to, len(events)) == (COUNCIL_PANEL, 2)
    nobody = Panel(COUNCIL, (), EXCLUDED)
    below_and_above = review.given(DRAFTED).when(replace(asked, escalation=nobody)).events
    assert below_and_above is not None
    assert [getattr(event, "to", "none") for event in below_and_above[1:]] == [nobody, None]


REFER = ReferReview(account("pia"), COUNCIL_PANEL, "the council knows the field", NOON + timedelta(days=3))


def test_an_escalated_review_is_referred_to_a_body_which_votes_anew() -> None:
    history = (*OPENED, vote("ana", ABSTAIN), escalated("nobody decides"))
    until = CLOSING + timedelta(days=3)
    referred = ReviewReferred(PROJECT, account("pia"), COUNCIL_PANEL, until, (), REFER.reason)
    review.given(*history).when(REFER).then(referred)
    review.given(*history, referred).when(REFER).then_nothing()
    review.given(*history, referred).when(cast("kim", APPROVE)).then(vote("kim", APPROVE))
    review.given(*history, referred).when(cast("bo", APPROVE)).then_refused(NotAnElector)
    review.given(*ESCALATED).when(replace(REFER, reason="")).then_refused(ReasonMissing)


def test_a_referral_back_to_those_who_were_asked_first_is_sent_again_without_error() -> None:
    back = replace(REFER, to=SUBMIT.panel)
    referred = ReviewReferred(PROJECT, account("pia"), SUBMIT.panel, CLOSING + timedelta(days=3), (), REFER.reason)
    review.given(*ESCALATED).when(back).then(referred)
    review.given(*ESCALATED, referred).when(replace(back, at=NOON + timedelta(days=4))).then_nothing()
    decided = (*ESCALATED, referred, vote("ana", APPROVE), vote("bo", APPROVE), concluded(Outcome.GO, approve=2))
    review.given(*decided).when(back).then_nothing()


def test_a_referral_to_too_few_sent_again_changes_nothing() -> None:
    nobody = replace(REFER, to=Panel(COUNCIL, (), EXCLUDED))
    again = replace(nobody, at=NOON + timedelta(days=4))
    referred = review.given(*ESCALATED).when(nobody).events
    assert referred is not None
    assert [type(event) for event in referred] == [ReviewReferred, ReviewEscalated]
    review.given(*ESCALATED, *referred).when(again).then_nothing()
    review.given(*ESCALATED, *referred).when(replace(again, to=COUNCIL_PANEL)).then(
        ReviewReferred(PROJECT, account("pia"), COUNCIL_PANEL, CLOSING + timedelta(days=4), (), REFER.reason)
    )


def test_who_were_silent_may_be_asked_once_more() -> None:
    referred = ReviewReferred(PROJECT, account("pia"), COUNCIL_PANEL, CLOSING, (), REFER.reason)
    silent = (*ESCALATED, referred, escalated("The time limit was reached."))
    review.given(*silent).when(REFER).then(replace(referred, closes_at=CLOSING + timedelta(days=3)))


def test_another_referral_waits_until_nobody_could_decide_again() -> None:
    referred = ReviewReferred(PROJECT, account("pia"), COUNCIL_PANEL, CLOSING, (), REFER.reason)
    review.given(*ESCALATED, referred).when(replace(REFER, reason="they have time")).then_refused(ReviewNotEscalated)


def test_what_was_referred_back_does_not_go_to_the_body_above_a_second_time() -> None:
    undecided = (*(vote(name, ABSTAIN) for name in ("kim", "lou")), escalated("All of the electorate have abstained."))
    back = ReviewReferred(PROJECT, account("pia"), SUBMIT.panel, None, (), "they know the field")
    history = (DRAFTED, ABOVE, TO_COUNCIL, *undecided, back, vote("ana", ABSTAIN), vote("bo", ABSTAIN))
    review.given(*history).when(cast("cy", ABSTAIN)).then(
        vote("cy", ABSTAIN), escalated("All of the electorate have abstained.")
    )


@pytest.mark.parametrize("history", [(DRAFTED,), OPENED, DECIDED, WITHDRAWN])
def test_only_an_escalated_review_is_referred(history: tuple[object, ...]) -> None:
    review.given(*history).when(REFER).then_refused(ReviewNotEscalated)


def test_nothing_is_referred_that_is_not_known() -> None:
    review.given().when(REFER).then_refused(ReviewNotKnown)


def test_who_has_not_spoken_is_reminded() -> None:
    limit = TimeLimit(14, AtTimeLimit.LAPSE, (7, 1))
    (asked,) = review.given(DRAFTED).when(submit("ana", "bo", "cy", time_limit=limit)).events or ()
    assert asked.reminders == (CLOSING - timedelta(days=7), CLOSING - timedelta(days=1))  # type: ignore[union-attr]
    assert [each.name for each in REVIEW.deadlines(asked)] == ["reminder/1", "reminder/2", "time_limit"]
    assert REVIEW.on_deadline is not None
    remind = REVIEW.on_deadline("reminder/2", CLOSING - timedelta(days=1))
    assert remind == RemindVoters(CLOSING - timedelta(days=1))
    review.given(*OPENED, vote("ana", APPROVE)).when(remind).then(
        ReviewReminded(PROJECT, (account("bo"), account("cy")), CLOSING)
    )
    review.given(*OPENED).when(RemindVoters(CLOSING)).then_nothing()
    for history in ((), (DRAFTED,), DECIDED, ESCALATED, WITHDRAWN):
        review.given(*history).when(remind).then_nothing()


def test_a_panel_is_reminded_by_its_own_timers_and_not_by_those_of_the_one_before() -> None:
    assert REVIEW.on_deadline is not None
    first = CLOSING - timedelta(days=7)
    asked = replace(ABOVE, reminders=(first,))
    early, late = CLOSING + timedelta(days=1), CLOSING + timedelta(days=2)
    up = replace(TO_COUNCIL, closes_at=early, reminders=(first + timedelta(days=1),))
    back = ReviewReferred(PROJECT, account("pia"), SUBMIT.panel, late, (first + timedelta(days=2),), "again")
    of_first, of_council, of_referred = (REVIEW.deadlines(each)[0] for each in (asked, up, back))
    before_first = (DRAFTED, asked)
    before_council = (*before_first, up)
    referred = (*before_council, escalated("nobody decides"), back)
    council = ReviewReminded(PROJECT, (account("kim"), account("lou")), early)
    board = (account("ana"), account("bo"), account("cy"))
    for history, due, reminded in (
        (before_first, of_first, (ReviewReminded(PROJECT, board, CLOSING),)),
        (before_council, of_first, ()),
        (before_council, of_council, (council,)),
        (referred, of_first, ()),
        (referred, of_council, ()),
        (referred, of_referred, (ReviewReminded(PROJECT, board, late),)),
    ):
        assert review.given(*history).when(REVIEW.on_deadline(due.name, first + timedelta(days=3))).events == reminded


def test_who_is_asked_as_soon_as_it_is_submitted_is_reminded_once() -> None:
    reminder = CLOSING - timedelta(days=7)
    asked = replace(submitted("ana", needed=2), escalation=COUNCIL_PANEL, reminders=(reminder,))
    up = replace(TO_COUNCIL, reminders=(reminder,))
    assert REVIEW.on_deadline is not None
    given = [
        review.given(DRAFTED, asked, up).when(REVIEW.on_deadline(each.name, reminder)).events
        for event in (asked, up)
        for each in REVIEW.deadlines(event)
        if each.due == reminder
    ]
    assert given == [(), (ReviewReminded(PROJECT, (account("kim"), account("lou")), CLOSING),)]


def test_nobody_is_reminded_of_what_they_have_said() -> None:
    history = (DRAFTED, submitted("ana", "bo", veto="bo", rule=Rule.MAJORITY, needed=3), vote("ana", APPROVE))
    review.given(*history, vote("bo", APPROVE)).when(RemindVoters(NOON)).then_nothing()
