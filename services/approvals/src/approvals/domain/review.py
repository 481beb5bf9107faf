"""A review: what was asked, who may vote on it, what each said having seen what, and what came of it."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from enum import Enum
from fractions import Fraction
from typing import Final, TypeAlias, assert_never
from uuid import UUID

from approvals.domain.delegation import Delegation, check_covers
from approvals.domain.gate_policy import check_gate, votes_needed
from approvals.domain.readiness import deciding_failures, findings, is_ready
from govevents.approvals import (
    AtTimeLimit,
    Authority,
    Breach,
    Choice,
    Condition,
    ConditionClosed,
    ConditionLapsed,
    ConditionOf,
    ConditionReminded,
    ConditionWaived,
    Criterion,
    Deliverable,
    Duty,
    Elector,
    Ending,
    Evidence,
    EvidenceChanged,
    Exclusion,
    Finding,
    GatePolicyPublished,
    Measure,
    MeasureNoted,
    OnLapse,
    Outcome,
    Panel,
    QuestionAnswered,
    QuestionAsked,
    ReviewConcluded,
    ReviewDrafted,
    ReviewEscalated,
    ReviewKind,
    ReviewOpened,
    ReviewReferred,
    ReviewReminded,
    ReviewSubmitted,
    ReviewWithdrawn,
    Rule,
    Seen,
    Tally,
    VoteCast,
    VoteMarked,
    VoterRecused,
)
from govkernel.domain import (
    Aggregate,
    Code,
    Deadline,
    Link,
    Money,
    NodeId,
    NotKnownYet,
    PersonId,
    PortfolioId,
    ProjectId,
    Refusal,
    SubjectId,
    Text,
    differences,
)

REVIEW_OF: Final = "review_of"
"""The link from a project to all of its reviews."""

OPEN_REVIEW_OF: Final = "open_review_of"
"""The link from a project to its reviews that have neither an outcome nor been withdrawn."""

REVIEW_IN: Final = "review_in"
"""The link from a portfolio to all reviews of its projects."""

OPEN_CONDITIONS_OF: Final = "open_conditions_of"
"""The link from a project to its reviews whose conditions are not all met or waived."""

AWAITS_MEASURES: Final = "awaits_measures"
"""The link from a project to its reviews that await KPIs."""

VOTED_UNDER: Final = "voted_under"
"""The link from a delegation to the reviews in which a vote under it stands."""

TIME_LIMIT: Final = "time_limit"
REMINDER: Final = "reminder"
MEASURED_BY: Final = "measured_by"
CONDITION_LAPSE: Final = "condition_lapse"
CONDITION_REMINDER: Final = "condition_reminder"

LONGEST_MEASURING: Final = timedelta(seconds=60)
"""What is not measured by then counts as undefined."""

OF_THE_WHOLE_PROJECT: Final = frozenset({ReviewKind.GATE, ReviewKind.CLOSURE})
"""What a project has one of at a time, at the value of the project."""

APPROVING: Final = frozenset({Choice.APPROVE, Choice.APPROVE_WITH_CONDITIONS})
OPPOSING: Final = frozenset({Choice.REJECT, Choice.RETURN})

BASIS: Final = (ReviewSubmitted, ReviewOpened, EvidenceChanged, QuestionAnswered, ReviewEscalated, ReviewReferred)
"""The events that change what lies before a voter; the last of them is what a vote must name as seen."""


@dataclass(frozen=True, slots=True)
class Question:
    """What a voter has asked, and the answer, None while there is none."""

    asked: QuestionAsked
    answer: QuestionAnswered | None


@dataclass(frozen=True, slots=True)
class Ballot:
    """What was asked of whom, and what they have said; the votes are those that count now, by seat, the newest last.

    `put` is what brought the question before its panel; `set_aside` are the votes of panels before that one.
    `evidence`, `measures` and `findings` are what lies before the panel now.
    """

    submitted: ReviewSubmitted
    put: ReviewSubmitted | ReviewEscalated | ReviewReferred
    evidence: tuple[Evidence, ...]
    measures: tuple[Measure, ...]
    findings: tuple[Finding, ...]
    ready: bool
    votes: Mapping[PersonId, VoteCast]
    set_aside: tuple[VoteCast, ...]
    recused: Mapping[PersonId, VoterRecused]
    questions: tuple[Question, ...]
    marks: tuple[VoteMarked, ...]

    @property
    def panel(self) -> Panel:
        """Who votes."""
        match self.put:
            case ReviewSubmitted():
                return Panel(self.put.body, self.put.electorate, self.put.excluded)
            case ReviewEscalated(to=above):
                assert above is not None, "what waits to be referred is put before nobody else"
                return above
            case ReviewReferred(to=body):
                return body
            case _:
                assert_never(self.put)

    @property
    def closes_at(self) -> datetime | None:
        """Until when the panel votes, None without a limit."""
        return self.put.closes_at


@dataclass(frozen=True, slots=True)
class NotDrafted:
    """Nothing is known under this id."""


@dataclass(frozen=True, slots=True)
class Draft:
    """The review is being prepared."""

    drafted: ReviewDrafted


@dataclass(frozen=True, slots=True)
class Submitted:
    """The question is put, and opens to its voters once what it rests on is measured."""

    drafted: ReviewDrafted
    ballot: Ballot


@dataclass(frozen=True, slots=True)
class Open:
    """The electorate votes."""

    drafted: ReviewDrafted
    ballot: Ballot


@dataclass(frozen=True, slots=True)
class Concluded:
    """The review has its outcome; `ended` are the conditions that are met or waived, `lapsed` those whose day went."""

    drafted: ReviewDrafted
    ballot: Ballot
    concluded: ReviewConcluded
    ended: Mapping[int, ConditionClosed | ConditionWaived]
    lapsed: Mapping[int, ConditionLapsed] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Escalated:
    """The electorate could not decide, and nobody above it is named: it waits to be referred to a body."""

    drafted: ReviewDrafted
    ballot: Ballot


@dataclass(frozen=True, slots=True)
class Withdrawn:
    """The review has ended without an outcome; `ballot` is None where it had not been submitted."""

    drafted: ReviewDrafted
    ballot: Ballot | None
    withdrawn: ReviewWithdrawn


Review: TypeAlias = NotDrafted | Draft | Submitted | Open | Concluded | Escalated | Withdrawn


@dataclass(frozen=True, slots=True)
class DraftReview:
    """Prepare a review of a project; the fields are those of ReviewDrafted."""

    project: ProjectId
    portfolio: PortfolioId
    kind: ReviewKind
    gate: Code | None
    question: Text
    evidence: tuple[Evidence, ...]
    about: Seen | None = None
    waives: ConditionOf | None = None
    value: Money | None = None
    requested: UUID | None = None


@dataclass(frozen=True, slots=True)
class SubmitReview:
    """Propose an outcome to an electorate, under the edition of the policy that lies before the submitter.

    `policy_seen` is where that edition stands. `evidence` is all there is and replaces the draft's. `tied` are all who
    have a duty towards the project. `deliverables` and `criteria` are those that the policy asks for at this `value`.
    """

    submitter: SubjectId
    proposed: Outcome
    policy: GatePolicyPublished
    policy_seen: Seen
    panel: Panel
    tied: tuple[Exclusion, ...]
    escalation: Panel | None
    evidence: tuple[Evidence, ...]
    value: Money | None
    deliverables: tuple[Deliverable, ...]
    criteria: tuple[Criterion, ...]
    open_conditions: tuple[ConditionOf, ...]
    breaches: tuple[Breach, ...]
    time_zone: Code
    at: datetime


@dataclass(frozen=True, slots=True)
class NoteMeasure:
    """A KPI that the review awaits was measured for it."""

    measure: Measure
    at: datetime


@dataclass(frozen=True, slots=True)
class StopMeasuring:
    """Open without the figures that have not come, if their time is over."""

    at: datetime


@dataclass(frozen=True, slots=True)
class ChangeEvidence:
    """Let this be all the evidence, while voters are asked."""

    changed_by: SubjectId
    evidence: tuple[Evidence, ...]
    remark: Text
    at: datetime


@dataclass(frozen=True, slots=True)
class Ties:
    """Who has a duty towards the project as it is now, beside those who had one when the review was submitted.

    `tied` are all of them, `excluded` those whom their duty keeps from voting.
    """

    tied: tuple[Exclusion, ...] = ()
    excluded: tuple[Exclusion, ...] = ()


@dataclass(frozen=True, slots=True)
class Acting:
    """The delegation that somebody acts under, at the very version `seen`; `nodes` are the project and all above it.

    `delegator_may_vote` says whether whoever granted it has, today, a role here that lets them vote.
    """

    delegation: Delegation
    seen: Seen
    nodes: frozenset[NodeId]
    delegator_may_vote: bool = True


@dataclass(frozen=True, slots=True)
class CastVote:
    """Vote, or replace one's vote, in an open review: for one's own seat, as its alternate, or under a delegation.

    `basis` is where the ledger has what lies before voters now, by stream, version and hash: `seen` must name it. One
    hash pins it all, for that document lists the proposal, the policy's edition and each piece of evidence with its
    digest, or chains to what does. `today` is the day where the portfolio is.
    """

    voter: SubjectId
    person: PersonId
    acting: Acting | None
    choice: Choice
    conditions: tuple[Condition, ...]
    basis: Seen
    seen: tuple[Seen, ...]
    reason: Text
    today: date
    at: datetime
    ties: Ties = Ties()


@dataclass(frozen=True, slots=True)
class RecuseVoter:
    """Let a person keep out of a review, also where only a delegation or another panel would give them a voice.

    `by` is who recuses another, None where somebody recuses themselves.
    """

    person: PersonId
    recused_by: SubjectId
    reason: Text
    at: datetime
    by: PersonId | None = None
    ties: Ties = Ties()


@dataclass(frozen=True, slots=True)
class MarkVotes:
    """Mark the votes that stand under a delegation which has been revoked."""

    delegation: UUID
    reason: Text


@dataclass(frozen=True, slots=True)
class AskQuestion:
    """Ask the submitter, as someone who may vote."""

    asker: SubjectId
    person: PersonId
    acting: Acting | None
    text: Text
    today: date
    ties: Ties = Ties()


@dataclass(frozen=True, slots=True)
class AnswerQuestion:
    """Answer a question, counted from 1."""

    number: int
    answerer: SubjectId
    text: Text


@dataclass(frozen=True, slots=True)
class ReferReview:
    """Put a review that its electorate could not decide before a body."""

    referred_by: SubjectId
    to: Panel
    reason: Text
    at: datetime


@dataclass(frozen=True, slots=True)
class WithdrawReview:
    """End a review without an outcome; `at` is None where it ends with its project, be its own time over or not."""

    reason: Text
    at: datetime | None = None


@dataclass(frozen=True, slots=True)
class ReachTimeLimit:
    """Let the voters' time be over, if it is."""

    at: datetime


@dataclass(frozen=True, slots=True)
class RemindVoters:
    """Remind those who have not spoken, if the panel that this was set for still votes.

    `until` is when the time of that panel ends, None of the first one, whose reminders have always been without.
    """

    at: datetime
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class CloseCondition:
    """Show that a condition of a Conditional Go, counted from 1, is met."""

    condition: int
    evidence: tuple[Evidence, ...]
    remark: Text


@dataclass(frozen=True, slots=True)
class WaiveCondition:
    """Let a condition be waived, as a review has decided."""

    condition: int
    decision: Seen
    remark: Text


@dataclass(frozen=True, slots=True)
class RemindOfCondition:
    """Remind the owner of a condition."""

    condition: int


@dataclass(frozen=True, slots=True)
class LapseCondition:
    """Let a condition's day be over, if it is."""

    condition: int
    at: datetime


Command: TypeAlias = (
    DraftReview
    | SubmitReview
    | NoteMeasure
    | StopMeasuring
    | ChangeEvidence
    | CastVote
    | RecuseVoter
    | MarkVotes
    | AskQuestion
    | AnswerQuestion
    | ReferReview
    | WithdrawReview
    | ReachTimeLimit
    | RemindVoters
    | CloseCondition
    | WaiveCondition
    | RemindOfCondition
    | LapseCondition
)
Event: TypeAlias = (
    ReviewDrafted
    | ReviewSubmitted
    | MeasureNoted
    | ReviewOpened
    | EvidenceChanged
    | VoteCast
    | VoterRecused
    | VoteMarked
    | QuestionAsked
    | QuestionAnswered
    | ReviewReminded
    | ReviewConcluded
    | ReviewEscalated
    | ReviewReferred
    | ReviewWithdrawn
    | ConditionClosed
    | ConditionWaived
    | ConditionReminded
    | ConditionLapsed
)


class ReviewNotKnown(NotKnownYet):
    """No review is known under this id."""


class ReviewAlreadyDrafted(Refusal):
    """The review exists already, with other particulars."""


class WaiverIsADeviation(Refusal):
    """A condition is waived by a review of a deviation from the methodology, and of no other kind."""


class ReviewAlreadySubmitted(Refusal):
    """The review was submitted before, and what was submitted stays as it was."""


class ValueIsTheProjects(Refusal):
    """A gate and a closure are about the whole project, so its charter says what they are worth, and not who asks."""


class ReviewAlreadyConcluded(Refusal):
    """The review has its outcome, and an outcome is not taken back."""


class EvidenceListedTwice(Refusal):
    """Each piece of evidence is listed once."""


class OutcomeNotProposable(Refusal):
    """A Conditional Go comes from conditions that voters set, so Go is proposed for it."""


class ProposalSameAsFailure(Refusal):
    """Passed or failed, the review would come to the same: there is nothing to vote on."""


class ReviewNotOpen(Refusal):
    """Votes are taken only while a review is open."""


class SubmitterMayNotVote(Refusal):
    """Whoever submitted a review doesn't vote in it."""


class ProjectManagerMayNotVote(Refusal):
    """A project's manager doesn't vote on the project."""


class SponsorMayNotVote(Refusal):
    """A project's sponsor votes on it only where the policy says so."""


class NotAnElector(Refusal):
    """The account is not in the electorate that the review is before."""


class SecondAccount(Refusal):
    """One natural person is one voice, and this person's is with another account."""


class TiedMayNotRecuse(Refusal):
    """Whoever submits, runs or sponsors doesn't choose who votes on it, so they recuse nobody but themselves."""


class VoterIsRecused(Refusal):
    """Whoever is recused has no voice in the review, neither their own nor another's."""


class OneVoiceOnly(Refusal):
    """One natural person is one voice, also when acting for another: this person has a seat, or speaks for one."""


class SeatHasVoted(Refusal):
    """Someone has spoken for the seat already; they may change that vote, and so may its holder."""


class DelegatorMayNotVote(Refusal):
    """A delegate never carries the vote of someone who may not vote."""


class DecidesForOwnBenefit(Refusal):
    """Nobody decides by delegation on a project that they run, sponsor or ask a decision for."""


class ReasonMissing(Refusal):
    """A vote, a recusal, a referral, a withdrawal, a change of evidence or a request states its reason."""


class TextMissing(Refusal):
    """A question says what is asked, an answer says something, and so does whoever reports a condition met."""


class SeenIncomplete(Refusal):
    """A vote says what lay before the voter, by stream, version and hash."""


class ConditionsDoNotFitChoice(Refusal):
    """An approval with conditions states at least one condition, and no other vote states any."""


class ConditionsDoNotFitProposal(Refusal):
    """Conditions are set on a Go, and something else is proposed."""


class ConditionsDoNotFitClosure(Refusal):
    """What must still be done keeps a project open, so that it be closed is approved without conditions."""


class ConditionsNotAllowed(Refusal):
    """The policy lets nobody set conditions on this review."""


class TooManyConditions(Refusal):
    """The policy limits how many conditions a review may end with."""


class ConditionDueOutOfRange(Refusal):
    """A condition's day lies ahead, and not further than the policy allows."""


class LapseNotAllowed(Refusal):
    """The policy does not let this follow from a condition that lapses, or names no body to escalate it to."""


class QuestionNotKnown(Refusal):
    """The review has no question of this number."""


class QuestionAlreadyAnswered(Refusal):
    """The question has its answer, and that answer says something else."""


class ReviewNotEscalated(Refusal):
    """Only a review that its electorate could not decide is referred to another body."""


class ReviewNotConcluded(Refusal):
    """Conditions are there to be met once the review has its outcome."""


class ConditionNotKnown(Refusal):
    """The review's outcome has no condition of this number."""


class ConditionAlreadyClosed(Refusal):
    """The condition was shown to be met before, or waived, and that record says something else."""


class EvidenceMissing(Refusal):
    """That a condition is met is shown by evidence."""


class _Verdict(Enum):
    PASSED = "passed"
    FAILED = "failed"
    UNSPOKEN = "unspoken"


def decide(command: Command, review: Review) -> tuple[Event, ...]:
    """What follows from a command; the refusals are those above, `check_gate`'s and `check_covers`'s."""
    match command:
        case DraftReview():
            return _draft(command, review)
        case SubmitReview():
            return _submit(command, review)
        case NoteMeasure():
            return _note_measure(command, review)
        case StopMeasuring(at=at):
            match review:
                case Submitted(ballot=ballot) if _is_over(ballot.submitted.measured_by, at):
                    return _open(review, at)
                case NotDrafted() | Draft() | Submitted() | Open() | Concluded() | Escalated() | Withdrawn():
                    return ()
                case _:
                    assert_never(review)
        case ChangeEvidence():
            return _change_evidence(command, review)
        case CastVote():
            return _vote(command, review)
        case RecuseVoter():
            return _recuse(command, review)
        case MarkVotes():
            return _mark_votes(command, review)
        case AskQuestion():
            return _ask(command, review)
        case AnswerQuestion():
            return _answer(command, review)
        case ReferReview():
            return _refer(command, review)
        case WithdrawReview():
            return _withdraw(command, review)
        case ReachTimeLimit(at=at):
            match review:
                case Open(ballot=ballot) if _is_over(ballot.closes_at, at):
                    return _conclude_at_time_limit(review, at)
                case Submitted(ballot=ballot) if _is_over(ballot.closes_at, at):
                    # A clock that jumps can make both times end at once, in either order.
                    opened = _open(review, at)
                    after: Review = review
                    for event in opened:
                        after = evolve(after, event)
                    return *opened, *decide(command, after)
                case NotDrafted() | Draft() | Submitted() | Open() | Concluded() | Escalated() | Withdrawn():
                    return ()
                case _:
                    assert_never(review)
        case RemindVoters(at=at, until=until):
            match review:
                case Open(ballot=Ballot(closes_at=datetime() as closes_at) as ballot) if (
                    at < closes_at and until == _told_apart_by(ballot.put)
                ):
                    silent = _silent(ballot)
                    return (ReviewReminded(review.drafted.project, silent, closes_at),) if silent else ()
                case NotDrafted() | Draft() | Submitted() | Open() | Concluded() | Escalated() | Withdrawn():
                    return ()
                case _:
                    assert_never(review)
        case CloseCondition():
            return _close_condition(command, review)
        case WaiveCondition(condition=number, decision=decision, remark=remark):
            decided = _with_condition(review, number)
            waived = ConditionWaived(decided.drafted.project, number, decision, remark)
            # A waiver that comes after the condition has ended otherwise changes nothing.
            return () if number in decided.ended else (waived,)
        case RemindOfCondition(condition=number):
            decided = _with_condition(review, number)
            condition = decided.concluded.conditions[number - 1]
            reminded = ConditionReminded(decided.drafted.project, number, condition.owner, condition.due)
            return () if number in decided.ended else (reminded,)
        case LapseCondition(condition=number, at=at):
            return _lapse(_with_condition(review, number), number, at)
        case _:
            assert_never(command)


def _draft(command: DraftReview, review: Review) -> tuple[Event, ...]:
    check_gate(command.kind, command.gate)
    if not command.question.strip():
        raise TextMissing
    if command.value is not None and command.kind in OF_THE_WHOLE_PROJECT:
        raise ValueIsTheProjects(kind=command.kind.value, value=f"{command.value.amount} {command.value.currency}")
    _check_evidence(command.evidence)
    if command.waives is not None and command.kind is not ReviewKind.METHODOLOGY_DEVIATION:
        raise WaiverIsADeviation(kind=command.kind.value)
    drafted = ReviewDrafted(
        project=command.project,
        portfolio=command.portfolio,
        kind=command.kind,
        gate=command.gate,
        question=command.question,
        evidence=command.evidence,
        about=command.about,
        waives=command.waives,
        value=command.value,
        requested=command.requested,
    )
    match review:
        case NotDrafted():
            return (drafted,)
        case Draft() | Submitted() | Open() | Concluded() | Escalated() | Withdrawn():
            if review.drafted != drafted:
                raise ReviewAlreadyDrafted(**differences(review.drafted, drafted))
            return ()
        case _:
            assert_never(review)


def _submit(command: SubmitReview, review: Review) -> tuple[Event, ...]:
    match review:
        case NotDrafted():
            raise ReviewNotKnown
        case Draft(drafted=drafted):
            _check_evidence(command.evidence)
            if command.proposed is Outcome.CONDITIONAL_GO:
                raise OutcomeNotProposable
            if command.proposed is command.policy.failed_outcome:
                raise ProposalSameAsFailure(outcome=command.proposed.value, policy=str(command.policy.number))
            submitted = _submission(command, drafted)
            after = _put(drafted, submitted)
            return (submitted,) if isinstance(after, Submitted) else (submitted, *_settle(after, command.at))
        case Submitted(ballot=ballot) | Open(ballot=ballot) | Concluded(ballot=ballot) | Escalated(ballot=ballot):
            submitted = _submission(command, review.drafted)
            later = frozenset({"submitted_at", "closes_at", "measured_by", "reminders"})
            differing = differences(ballot.submitted, submitted, besides=later)
            if differing:
                raise ReviewAlreadySubmitted(**differing)
            return ()
        case Withdrawn(withdrawn=withdrawn):
            raise ReviewNotOpen(f"The review was withdrawn: {withdrawn.reason}")
        case _:
            assert_never(review)


def _submission(command: SubmitReview, drafted: ReviewDrafted) -> ReviewSubmitted:
    policy, panel = command.policy, command.panel
    persons = [elector.person for elector in panel.electorate]
    kept_out = {exclusion.person for exclusion in panel.excluded}
    assert (policy.portfolio, policy.kind, policy.gate) == (drafted.portfolio, drafted.kind, drafted.gate)
    assert len(set(persons)) == len(persons), "one natural person is one elector"
    assert kept_out.isdisjoint(persons), "who is excluded is no elector"
    limit = policy.time_limit
    closes_at = command.at + timedelta(days=limit.days) if limit else None
    awaits = tuple(dict.fromkeys(each.kpi.kpi for each in command.criteria if each.kpi is not None))
    found = findings(
        deliverables=command.deliverables,
        criteria=command.criteria,
        evidence=command.evidence,
        measures=(),
        open_conditions=command.open_conditions,
        breaches=command.breaches,
    )
    return ReviewSubmitted(
        project=drafted.project,
        submitter=command.submitter,
        proposed=command.proposed,
        policy=command.policy_seen,
        policy_number=policy.number,
        electorate=panel.electorate,
        excluded=panel.excluded,
        tied=command.tied,
        quorum=policy.quorum,
        votes_needed=votes_needed(policy.quorum, len(persons)),
        rule=policy.rule,
        threshold=policy.threshold,
        failed_outcome=policy.failed_outcome,
        body=panel.body,
        escalation=command.escalation,
        evidence=command.evidence,
        value=command.value,
        deliverables=command.deliverables,
        criteria=command.criteria,
        conditions=policy.conditions,
        open_conditions=command.open_conditions,
        breaches=command.breaches,
        findings=found,
        ready=is_ready(found),
        awaits=awaits,
        measured_by=command.at + LONGEST_MEASURING if awaits else None,
        submitted_at=command.at,
        closes_at=closes_at,
        at_time_limit=limit.then if limit else None,
        reminders=tuple(closes_at - timedelta(days=days) for days in limit.reminder_days)
        if limit and closes_at
        else (),
        time_zone=command.time_zone,
    )


def _check_evidence(evidence: tuple[Evidence, ...]) -> None:
    twice = [uri for uri, times in Counter(each.uri for each in evidence).items() if times > 1]
    if twice:
        raise EvidenceListedTwice(uri=", ".join(twice))


def _note_measure(command: NoteMeasure, review: Review) -> tuple[Event, ...]:
    match review:
        case Submitted(drafted=drafted, ballot=ballot):
            kpi = command.measure.kpi
            if kpi not in ballot.submitted.awaits or any(each.kpi == kpi for each in ballot.measures):
                return ()
            noted = MeasureNoted(drafted.project, command.measure)
            after = Submitted(drafted, replace(ballot, measures=(*ballot.measures, command.measure)))
            return noted, *(_open(after, command.at) if not _awaited(after.ballot) else ())
        case NotDrafted() | Draft() | Open() | Concluded() | Escalated() | Withdrawn():
            return ()
        case _:
            assert_never(review)


def _awaited(ballot: Ballot) -> list[Code]:
    measured = {each.kpi for each in ballot.measures}
    return [kpi for kpi in ballot.submitted.awaits if kpi not in measured]


def _open(review: Submitted, at: datetime) -> tuple[Event, ...]:
    """Let voters vote, unless a criterion that decides by itself has been missed."""
    ballot = review.ballot
    late = f"Nothing was measured within {LONGEST_MEASURING.seconds} s of the submission."
    missing = tuple(Measure(kpi, None, None, late, None) for kpi in _awaited(ballot))
    measures = (*ballot.measures, *missing)
    found = _found(replace(ballot, measures=measures))
    opened = ReviewOpened(review.drafted.project, measures, found, is_ready(found))
    after = Open(review.drafted, replace(ballot, measures=measures))
    missed = deciding_failures(ballot.submitted.criteria, measures)
    # What is missed stands in the way of going on. That the project be held or ended is still asked of its voters.
    if missed and ballot.submitted.proposed is Outcome.GO:
        because = f"Criterion {', '.join(missed)} decides by itself and is not met."
        return opened, _conclusion(after, _Verdict.FAILED, Ending.CRITERION, because, at)
    return opened, *_settle(after, at)


def _found(ballot: Ballot) -> tuple[Finding, ...]:
    submitted = ballot.submitted
    return findings(
        deliverables=submitted.deliverables,
        criteria=submitted.criteria,
        evidence=ballot.evidence,
        measures=ballot.measures,
        open_conditions=submitted.open_conditions,
        breaches=submitted.breaches,
    )


def _change_evidence(command: ChangeEvidence, review: Review) -> tuple[Event, ...]:
    if isinstance(review, Open) and Counter(command.evidence) == Counter(review.ballot.evidence):
        return ()
    ballot = _taking_votes(review, command.at).ballot
    if not command.remark.strip():
        raise ReasonMissing
    _check_evidence(command.evidence)
    found = _found(replace(ballot, evidence=command.evidence))
    return (
        EvidenceChanged(
            ballot.submitted.project, command.changed_by, command.evidence, found, is_ready(found), command.remark
        ),
    )


def _withdraw(command: WithdrawReview, review: Review) -> tuple[Event, ...]:
    match review:
        case NotDrafted():
            raise ReviewNotKnown
        case Concluded(concluded=concluded):
            raise ReviewAlreadyConcluded(outcome=concluded.outcome.value)
        case Withdrawn():
            return ()
        case Open():
            _taking_votes(review, command.at)
        case Draft() | Submitted() | Escalated():
            pass
        case _:
            assert_never(review)
    if not command.reason.strip():
        raise ReasonMissing
    return (ReviewWithdrawn(review.drafted.project, command.reason),)


def _taking_votes(review: Review, at: datetime | None = None) -> Open:
    """The review, if it is open, also at this moment. Raises ReviewNotKnown or ReviewNotOpen."""
    match review:
        case NotDrafted():
            raise ReviewNotKnown
        case Open(ballot=Ballot(closes_at=datetime() as closes_at)) if at is not None and at >= closes_at:
            # The timer that ends it may be late, and nothing that counts may come in between.
            raise ReviewNotOpen(f"The voters' time was over at {closes_at}.", state="time_limit")
        case Open():
            return review
        case Submitted(ballot=ballot):
            awaited = ", ".join(_awaited(ballot))
            raise ReviewNotOpen(
                f"It opens once {awaited} is measured, at {ballot.submitted.measured_by} at the latest.",
                state="submitted",
            )
        case Draft() | Concluded() | Escalated() | Withdrawn():
            raise ReviewNotOpen(state=type(review).__name__.lower())
        case _:
            assert_never(review)


def _vote(command: CastVote, review: Review) -> tuple[Event, ...]:
    match review:
        case Open(ballot=ballot) | Concluded(ballot=ballot) | Escalated(ballot=ballot) if _stands(command, ballot):
            return ()  # Sent again; it may be the very vote that ended the review.
        case NotDrafted() | Draft() | Submitted() | Open() | Concluded() | Escalated() | Withdrawn():
            open_ = _taking_votes(review, command.at)
            ballot = open_.ballot
        case _:
            assert_never(review)
    seat, authority = _seat_of(command, ballot, open_.drafted)
    _check_seat_is_free(command, seat, ballot)
    _check_vote(command, ballot, open_.drafted, seat)
    cast = VoteCast(
        project=ballot.submitted.project,
        voter=command.voter,
        person=command.person,
        seat=seat.person,
        authority=authority,
        delegation=command.acting.seen if command.acting else None,
        choice=command.choice,
        conditions=_reminding(command.conditions, ballot.submitted),
        seen=command.seen,
        reason=command.reason,
    )
    after = Open(open_.drafted, _with_vote(ballot, cast))
    return cast, *_settle(after, command.at)


def _stands(command: CastVote, ballot: Ballot) -> bool:
    """Whether this very vote was taken and not replaced since, be it by a panel before this one."""
    conditions = _reminding(command.conditions, ballot.submitted)
    said = (command.voter, command.person, command.choice, conditions, command.seen, command.reason)
    under = command.acting.seen if command.acting else None
    return any(
        said == (vote.voter, vote.person, vote.choice, vote.conditions, vote.seen, vote.reason)
        and under == vote.delegation
        for vote in (*ballot.votes.values(), *ballot.set_aside)
    )


def _reminding(conditions: tuple[Condition, ...], submitted: ReviewSubmitted) -> tuple[Condition, ...]:
    """The conditions with the moments at which the policy lets their owners be reminded."""
    days = submitted.conditions.reminder_days if submitted.conditions else ()
    return tuple(
        replace(each, reminders=tuple(each.lapses_at - timedelta(days=day) for day in days)) if each.lapses_at else each
        for each in conditions
    )


def _is_over(end: datetime | None, at: datetime) -> bool:
    return end is not None and at >= end


def _seat_of(command: CastVote | AskQuestion, ballot: Ballot, drafted: ReviewDrafted) -> tuple[Elector, Authority]:
    """The seat that somebody speaks for, and by what. Raises the refusals of those who may not."""
    account = command.voter if isinstance(command, CastVote) else command.asker
    person = command.person
    _check_duties(account, person, command.ties, ballot)
    if person in ballot.recused:
        raise VoterIsRecused(because=ballot.recused[person].reason)
    if command.acting is not None:
        return _delegators_seat(command, command.acting, ballot, drafted), Authority.DELEGATE
    for seat in ballot.panel.electorate:
        if seat.person == person:
            if seat.subject != account:
                raise SecondAccount(account=str(seat.subject))
            return seat, Authority.OWN
    for seat in ballot.panel.electorate:
        for alternate in seat.alternates:
            if alternate.person == person:
                if alternate.subject != account:
                    raise SecondAccount(account=str(alternate.subject))
                return seat, Authority.ALTERNATE
    raise NotAnElector(voter=str(account))


def _check_duties(account: SubjectId, person: PersonId, ties: Ties, ballot: Ballot) -> None:
    excluded = (*ballot.panel.excluded, *ties.excluded)
    duties = {exclusion.duty for exclusion in excluded if exclusion.person == person}
    if account == ballot.submitted.submitter or Duty.SUBMITTER in duties:
        raise SubmitterMayNotVote
    if Duty.PROJECT_MANAGER in duties:
        raise ProjectManagerMayNotVote
    if Duty.SPONSOR in duties:
        raise SponsorMayNotVote


def _delegators_seat(
    command: CastVote | AskQuestion, acting: Acting, ballot: Ballot, drafted: ReviewDrafted
) -> Elector:
    person = command.person
    granted = check_covers(
        acting.delegation,
        delegate=command.voter if isinstance(command, CastVote) else command.asker,
        node_and_above=acting.nodes,
        kind=drafted.kind,
        value=ballot.submitted.value,
        day=command.today,
    )
    delegator = granted.delegator_person
    kept_out = {each.person for each in (*ballot.panel.excluded, *command.ties.excluded)} | ballot.recused.keys()
    if delegator in kept_out:
        raise DelegatorMayNotVote(delegator=str(granted.delegator))
    if not acting.delegator_may_vote:
        raise DelegatorMayNotVote(
            "The person who delegated has no role any more that lets them vote here.", delegator=str(granted.delegator)
        )
    if any(each.person == person for each in (*ballot.submitted.tied, *command.ties.tied)):
        raise DecidesForOwnBenefit
    for seat in ballot.panel.electorate:
        if seat.person == person:
            raise OneVoiceOnly(seat=str(seat.subject))
    for seat in ballot.panel.electorate:
        if seat.person == delegator:
            return seat
    raise DelegatorMayNotVote(
        "The person who delegated has no seat in this review, and a delegation is not passed on.",
        delegator=str(granted.delegator),
    )


def _check_seat_is_free(command: CastVote, seat: Elector, ballot: Ballot) -> None:
    for taken, vote in ballot.votes.items():
        if vote.person == command.person and taken != seat.person:
            raise OneVoiceOnly(seat=str(taken))
    before = ballot.votes.get(seat.person)
    if before is not None and command.person not in (before.person, seat.person):
        raise SeatHasVoted(voter=str(before.voter))


def _check_vote(command: CastVote, ballot: Ballot, drafted: ReviewDrafted, seat: Elector) -> None:
    if not command.reason.strip():
        raise ReasonMissing
    if command.basis not in command.seen:
        basis = command.basis
        raise SeenIncomplete(stream=basis.stream, version=str(basis.version), hash=basis.hash)
    if (command.choice is Choice.APPROVE_WITH_CONDITIONS) != bool(command.conditions):
        raise ConditionsDoNotFitChoice(choice=command.choice.value, conditions=str(len(command.conditions)))
    if command.conditions:
        _check_conditions(command, ballot, drafted, seat)


def _check_conditions(command: CastVote, ballot: Ballot, drafted: ReviewDrafted, seat: Elector) -> None:
    submitted = ballot.submitted
    if submitted.proposed is not Outcome.GO:
        raise ConditionsDoNotFitProposal(proposed=submitted.proposed.value)
    if drafted.kind is ReviewKind.CLOSURE:
        raise ConditionsDoNotFitClosure(conditions=str(len(command.conditions)))
    terms = submitted.conditions
    if terms is None:
        raise ConditionsNotAllowed(policy=str(submitted.policy_number))
    others = (vote.conditions for taken, vote in ballot.votes.items() if taken != seat.person)
    own = _reminding(command.conditions, submitted)
    together = dict.fromkeys([*(each for conditions in others for each in conditions), *own])
    if terms.most is not None and len(together) > terms.most:
        raise TooManyConditions(conditions=str(len(together)), most=str(terms.most))
    last = command.today + timedelta(days=terms.longest_days) if terms.longest_days is not None else date.max
    for condition in command.conditions:
        if not command.today <= condition.due <= last:
            raise ConditionDueOutOfRange(due=str(condition.due), earliest=str(command.today), latest=str(last))
        allowed = [each for each in terms.lapses if each is not OnLapse.ESCALATION or submitted.escalation is not None]
        if condition.on_lapse not in allowed:
            names = ", ".join(each.value for each in allowed)
            raise LapseNotAllowed(on_lapse=condition.on_lapse.value, allowed=names)


def _recuse(command: RecuseVoter, review: Review) -> tuple[Event, ...]:
    match review:
        case Open(ballot=ballot) | Concluded(ballot=ballot) | Escalated(ballot=ballot) if (
            command.person in ballot.recused
        ):
            return ()  # Sent again; it may be the very recusal that ended the review.
        case NotDrafted() | Draft() | Submitted() | Open() | Concluded() | Escalated() | Withdrawn():
            open_ = _taking_votes(review, command.at)
            ballot = open_.ballot
        case _:
            assert_never(review)
    if not command.reason.strip():
        raise ReasonMissing
    tied = {each.person for each in (*ballot.submitted.tied, *command.ties.tied)}
    if command.by in tied:
        raise TiedMayNotRecuse(account=str(command.recused_by))
    recused = VoterRecused(ballot.submitted.project, command.person, command.recused_by, command.reason)
    return recused, *_settle(Open(open_.drafted, _without(ballot, recused)), command.at)


def _mark_votes(command: MarkVotes, review: Review) -> tuple[Event, ...]:
    match review:
        case Open(ballot=ballot) | Concluded(ballot=ballot) | Escalated(ballot=ballot):
            marked = {(mark.seat, mark.delegation) for mark in ballot.marks}
            return tuple(
                VoteMarked(ballot.submitted.project, seat, vote.voter, command.delegation, command.reason)
                for seat, vote in ballot.votes.items()
                if _under(vote) == command.delegation and (seat, command.delegation) not in marked
            )
        case NotDrafted() | Draft() | Submitted() | Withdrawn():
            return ()
        case _:
            assert_never(review)


def _under(vote: VoteCast) -> UUID | None:
    return UUID(vote.delegation.stream) if vote.delegation else None


def _ask(command: AskQuestion, review: Review) -> tuple[Event, ...]:
    open_ = _taking_votes(review)
    ballot = open_.ballot
    if not command.text.strip():
        raise TextMissing
    _seat_of(command, ballot, open_.drafted)
    for question in ballot.questions:
        if (question.asked.asker, question.asked.text) == (command.asker, command.text):
            return ()
    number = len(ballot.questions) + 1
    return (QuestionAsked(ballot.submitted.project, number, command.asker, command.text),)


def _answer(command: AnswerQuestion, review: Review) -> tuple[Event, ...]:
    ballot = _taking_votes(review).ballot
    if not command.text.strip():
        raise TextMissing
    if not 1 <= command.number <= len(ballot.questions):
        raise QuestionNotKnown(question=str(command.number), questions=str(len(ballot.questions)))
    given = QuestionAnswered(ballot.submitted.project, command.number, command.answerer, command.text)
    before = ballot.questions[command.number - 1].answer
    if before is None:
        return (given,)
    if before != given:
        raise QuestionAlreadyAnswered(**differences(before, given))
    return ()


def _refer(command: ReferReview, review: Review) -> tuple[Event, ...]:
    match review:
        case NotDrafted():
            raise ReviewNotKnown
        case Open(ballot=ballot) | Concluded(ballot=ballot) if _is_referral(command, ballot):
            return ()
        case Escalated(ballot=ballot) if _is_referral(command, ballot) and _too_few(ballot):
            return ()  # Sent again; it came back at once, as it would now.
        case Escalated(drafted=drafted, ballot=ballot):
            if not command.reason.strip():
                raise ReasonMissing
            closes_at, reminders = _times_from(ballot.submitted, command.at)
            referred = ReviewReferred(
                drafted.project, command.referred_by, command.to, closes_at, reminders, command.reason
            )
            return referred, *_settle(Open(drafted, _before(ballot, referred)), command.at)
        case Draft() | Submitted() | Open() | Concluded() | Withdrawn():
            raise ReviewNotEscalated(state=type(review).__name__.lower())
        case _:
            assert_never(review)


def _is_referral(command: ReferReview, ballot: Ballot) -> bool:
    """Whether this very referral is what put the question before its panel."""
    match ballot.put:
        case ReviewReferred(referred_by=referred_by, to=to, reason=reason):
            return (referred_by, to, reason) == (command.referred_by, command.to, command.reason)
        case ReviewSubmitted() | ReviewEscalated():
            return False
        case _:
            assert_never(ballot.put)


def _times_from(submitted: ReviewSubmitted, at: datetime) -> tuple[datetime | None, tuple[datetime, ...]]:
    """Until when another panel has time, which is as long as the first had, and when it is reminded."""
    if submitted.closes_at is None:
        return None, ()
    later = at - submitted.submitted_at
    return submitted.closes_at + later, tuple(reminder + later for reminder in submitted.reminders)


def seats(ballot: Ballot) -> tuple[Elector, ...]:
    """The electorate less the recused: a seat stays while its holder or an alternate may speak for it."""
    return tuple(
        seat
        for seat in ballot.panel.electorate
        if seat.person not in ballot.recused
        or any(alternate.person not in ballot.recused for alternate in seat.alternates)
    )


def _silent(ballot: Ballot) -> tuple[SubjectId, ...]:
    """Whose word is awaited, where a seat has not voted: its holder's, or its alternates' if the holder is recused."""
    return tuple(
        each.subject
        for seat in seats(ballot)
        if seat.person not in ballot.votes
        for each in (seat.alternates if seat.person in ballot.recused else (seat,))
        if each.person not in ballot.recused
    )


def needed(ballot: Ballot) -> int:
    """How many votes are needed now, abstentions included."""
    return votes_needed(ballot.submitted.quorum, len(seats(ballot)))


def _too_few(ballot: Ballot) -> bool:
    """Whether the electorate is too small to decide."""
    return len(seats(ballot)) < max(1, needed(ballot))


def _settle(review: Open, at: datetime) -> tuple[Event, ...]:
    """What ends the review now: an outcome, or that its electorate can't give one; nothing while votes are awaited."""
    ballot = review.ballot
    electors = len(seats(ballot))
    if _too_few(ballot):
        return _escalate(review, f"{needed(ballot)} votes are needed, and {electors} persons may vote.", at)
    if not _heard(ballot):
        return ()
    out = electors - len(ballot.votes)
    cast = [vote.choice for vote in ballot.votes.values()]
    # More approvals never make a review fail, nor more rejections make it pass, and only abstentions leave it unspoken:
    # so these three stand for every way in which the votes still out can go.
    verdicts = {
        _verdict(ballot, [*cast, *[choice] * out]) for choice in (Choice.APPROVE, Choice.REJECT, Choice.ABSTAIN)
    }
    match sorted(verdicts, key=lambda verdict: verdict.value):
        case [_Verdict.UNSPOKEN]:
            return _escalate(review, "All of the electorate have abstained.", at)
        case [verdict]:
            return (_conclusion(review, verdict, Ending.DECIDED, _why(ballot), at),)
        case _:
            return ()


def _conclude_at_time_limit(review: Open, at: datetime) -> tuple[Event, ...]:
    """What the time limit makes of the review: the votes cast decide, if they can; silence never does."""
    ballot = review.ballot
    if _heard(ballot):
        verdict = _verdict(ballot, [vote.choice for vote in ballot.votes.values()])
        # A threshold and a consensus are shares of everyone: where they are missed only now, it is for want of votes.
        if verdict is _Verdict.PASSED or (verdict is _Verdict.FAILED and ballot.submitted.rule is Rule.MAJORITY):
            return (_conclusion(review, verdict, Ending.TIME_LIMIT, _why(ballot), at),)
    reason = (
        f"The time limit was reached without a result: {len(ballot.votes)} votes were cast, {needed(ballot)} "
        f"are needed, and {len(_silent_veto_holders(ballot))} holders of a veto were silent."
    )
    match ballot.submitted.at_time_limit:
        case AtTimeLimit.LAPSE:
            return (ReviewWithdrawn(review.drafted.project, reason),)
        case AtTimeLimit.ESCALATE:
            return _escalate(review, reason, at)
        case None:
            raise AssertionError("a review without a time limit has none to reach")
        case never:
            assert_never(never)


def _escalate(review: Open, reason: str, at: datetime) -> tuple[Event, ...]:
    """Put the review before the body that the policy names for that, once; else let it wait to be referred."""
    ballot, project = review.ballot, review.drafted.project
    above = ballot.submitted.escalation
    if above is None or ballot.panel == above or not isinstance(ballot.put, ReviewSubmitted):
        return (ReviewEscalated(project, reason, None, None, ()),)
    closes_at, reminders = _times_from(ballot.submitted, at)
    escalated = ReviewEscalated(project, reason, above, closes_at, reminders)
    return escalated, *_settle(Open(review.drafted, _before(ballot, escalated)), at)


def _heard(ballot: Ballot) -> bool:
    """Whether the quorum is met and every veto holder has voted."""
    return len(ballot.votes) >= needed(ballot) and not _silent_veto_holders(ballot)


def _veto_holders(ballot: Ballot) -> set[PersonId]:
    return {seat.person for seat in ballot.panel.electorate if seat.veto and seat.person not in ballot.recused}


def _silent_veto_holders(ballot: Ballot) -> set[PersonId]:
    return _veto_holders(ballot) - ballot.votes.keys()


def _verdict(ballot: Ballot, choices: Sequence[Choice]) -> _Verdict:
    submitted = ballot.submitted
    approve = _count(choices, APPROVING)
    against = _count(choices, OPPOSING)
    if not approve and not against:
        return _Verdict.UNSPOKEN
    electors = len(seats(ballot))
    match submitted.rule:
        case Rule.MAJORITY:
            passed = approve > against
        case Rule.THRESHOLD:
            assert submitted.threshold is not None
            passed = Fraction(approve, electors) >= Fraction(submitted.threshold)
        case Rule.CONSENSUS:
            passed = len(choices) == electors and not against
        case _:
            assert_never(submitted.rule)
    return _Verdict.PASSED if passed and not _vetoes(ballot) else _Verdict.FAILED


def _vetoes(ballot: Ballot) -> list[VoteCast]:
    holders = _veto_holders(ballot)
    return [vote for seat, vote in ballot.votes.items() if seat in holders and vote.choice is Choice.REJECT]


def _count(choices: Iterable[Choice], counted: frozenset[Choice]) -> int:
    return sum(choice in counted for choice in choices)


def _why(ballot: Ballot) -> str:
    """Why it came out so, in words and figures."""
    choices = [vote.choice for vote in ballot.votes.values()]
    approve, against = _count(choices, APPROVING), _count(choices, OPPOSING)
    abstain, electors = len(choices) - approve - against, len(seats(ballot))
    said = f"{approve} of {electors} approve, {against} reject or return, {abstain} abstain."
    if _vetoes(ballot):
        return f"{said} A holder of a veto rejects."
    match ballot.submitted.rule:
        case Rule.MAJORITY:
            return f"{said} A majority needs more who approve than reject or return."
        case Rule.THRESHOLD:
            return f"{said} The threshold needs {ballot.submitted.threshold} of the electorate to approve."
        case Rule.CONSENSUS:
            return f"{said} A consensus needs everyone's vote, and none that rejects or returns."
        case _:
            assert_never(ballot.submitted.rule)


def _conclusion(review: Open, verdict: _Verdict, ending: Ending, because: str, at: datetime) -> ReviewConcluded:
    drafted, ballot = review.drafted, review.ballot
    submitted = ballot.submitted
    conditions: tuple[Condition, ...] = ()
    outcome = submitted.failed_outcome
    if verdict is _Verdict.PASSED:
        # What two voters ask for in the same words is one condition.
        wanted = dict.fromkeys(each for vote in ballot.votes.values() for each in vote.conditions)
        # Of a condition that is due soon nobody is reminded at once, as if that were early.
        conditions = tuple(
            replace(each, reminders=tuple(reminder for reminder in each.reminders if reminder > at)) for each in wanted
        )
        outcome = Outcome.CONDITIONAL_GO if conditions else submitted.proposed
    return ReviewConcluded(
        project=drafted.project,
        portfolio=drafted.portfolio,
        kind=drafted.kind,
        gate=drafted.gate,
        about=drafted.about,
        waives=drafted.waives,
        outcome=outcome,
        ending=ending,
        because=because,
        tally=tally(ballot),
        conditions=conditions,
        breaches=submitted.breaches,
        body=ballot.panel.body,
        submitted_at=submitted.submitted_at,
    )


def tally(ballot: Ballot) -> Tally:
    """How many of the electorate have said what."""
    choices = Counter(vote.choice for vote in ballot.votes.values())
    electors = len(seats(ballot))
    return Tally(
        electorate=electors,
        votes_needed=needed(ballot),
        approve=choices[Choice.APPROVE],
        approve_with_conditions=choices[Choice.APPROVE_WITH_CONDITIONS],
        reject=choices[Choice.REJECT],
        returned=choices[Choice.RETURN],
        abstain=choices[Choice.ABSTAIN],
        recused=len(ballot.panel.electorate) - electors,
    )


def _with_condition(review: Review, number: int) -> Concluded:
    """The review, if its outcome has this condition. Raises ReviewNotKnown, ReviewNotConcluded or ConditionNotKnown."""
    match review:
        case NotDrafted():
            raise ReviewNotKnown
        case Draft() | Submitted() | Open() | Escalated() | Withdrawn():
            raise ReviewNotConcluded
        case Concluded(concluded=concluded):
            if not 1 <= number <= len(concluded.conditions):
                raise ConditionNotKnown(condition=str(number), conditions=str(len(concluded.conditions)))
            return review
        case _:
            assert_never(review)


def _close_condition(command: CloseCondition, review: Review) -> tuple[Event, ...]:
    concluded = _with_condition(review, command.condition)
    if not command.evidence:
        raise EvidenceMissing
    if not command.remark.strip():
        raise TextMissing
    _check_evidence(command.evidence)
    met = ConditionClosed(concluded.drafted.project, command.condition, command.evidence, command.remark)
    match concluded.ended.get(command.condition):
        case None:
            return (met,)
        case ConditionClosed() as before if before == met:
            return ()
        case ConditionClosed() as before:
            raise ConditionAlreadyClosed(**differences(before, met))
        case ConditionWaived(decision=decision):
            raise ConditionAlreadyClosed(waived_by=decision.stream)
        case never:
            assert_never(never)


def _lapse(review: Concluded, number: int, at: datetime) -> tuple[Event, ...]:
    condition = review.concluded.conditions[number - 1]
    if number in review.ended or number in review.lapsed or not _is_over(condition.lapses_at, at):
        return ()
    escalation = review.ballot.submitted.escalation
    return (
        ConditionLapsed(
            project=review.drafted.project,
            portfolio=review.drafted.portfolio,
            condition=number,
            owner=condition.owner,
            due=condition.due,
            then=condition.on_lapse,
            escalated_to=escalation.body if escalation else None,
        ),
    )


def evolve(review: Review, event: Event) -> Review:
    """The review after an event."""
    match event:
        case ReviewDrafted():
            return Draft(event)
        case ReviewSubmitted():
            assert isinstance(review, Draft)
            return _put(review.drafted, event)
        case MeasureNoted(measure=measure):
            assert isinstance(review, Submitted)
            return replace(review, ballot=replace(review.ballot, measures=(*review.ballot.measures, measure)))
        case ReviewOpened(measures=measures, findings=found, ready=ready):
            assert isinstance(review, Submitted)
            return Open(review.drafted, replace(review.ballot, measures=measures, findings=found, ready=ready))
        case EvidenceChanged(evidence=evidence, findings=found, ready=ready):
            assert isinstance(review, Open)
            changed = replace(review.ballot, evidence=evidence, findings=found, ready=ready, votes={})
            return replace(review, ballot=changed)
        case VoteCast():
            assert isinstance(review, Open)
            return replace(review, ballot=_with_vote(review.ballot, event))
        case VoterRecused():
            assert isinstance(review, Open)
            return replace(review, ballot=_without(review.ballot, event))
        case VoteMarked():
            assert isinstance(review, Open | Concluded | Escalated)
            return replace(review, ballot=replace(review.ballot, marks=(*review.ballot.marks, event)))
        case QuestionAsked():
            assert isinstance(review, Open)
            questions = (*review.ballot.questions, Question(event, None))
            return replace(review, ballot=replace(review.ballot, questions=questions))
        case QuestionAnswered(number=number):
            assert isinstance(review, Open)
            answered = list(review.ballot.questions)
            answered[number - 1] = replace(answered[number - 1], answer=event)
            return replace(review, ballot=replace(review.ballot, questions=tuple(answered)))
        case ReviewReminded() | ConditionReminded():
            return review
        case ReviewConcluded():
            assert isinstance(review, Open)
            return Concluded(review.drafted, review.ballot, event, {})
        case ReviewEscalated(to=None):
            assert isinstance(review, Open)
            return Escalated(review.drafted, review.ballot)
        case ReviewEscalated():
            assert isinstance(review, Open)
            return Open(review.drafted, _before(review.ballot, event))
        case ReviewReferred():
            assert isinstance(review, Escalated)
            return Open(review.drafted, _before(review.ballot, event))
        case ReviewWithdrawn():
            assert isinstance(review, Draft | Submitted | Open | Escalated)
            return Withdrawn(review.drafted, None if isinstance(review, Draft) else review.ballot, event)
        case ConditionClosed(condition=condition) | ConditionWaived(condition=condition):
            assert isinstance(review, Concluded)
            return replace(review, ended={**review.ended, condition: event})
        case ConditionLapsed(condition=condition):
            assert isinstance(review, Concluded)
            return replace(review, lapsed={**review.lapsed, condition: event})
        case _:
            assert_never(event)


def _put(drafted: ReviewDrafted, submitted: ReviewSubmitted) -> Submitted | Open:
    """The review when its question is put: it is open at once where it awaits no figures."""
    ballot = Ballot(
        submitted=submitted,
        put=submitted,
        evidence=submitted.evidence,
        measures=(),
        findings=submitted.findings,
        ready=submitted.ready,
        votes={},
        set_aside=(),
        recused={},
        questions=(),
        marks=(),
    )
    return Submitted(drafted, ballot) if submitted.awaits else Open(drafted, ballot)


def _with_vote(ballot: Ballot, cast: VoteCast) -> Ballot:
    """The ballot after a vote, which stands last, in place of an earlier one for the same seat."""
    others = {seat: vote for seat, vote in ballot.votes.items() if seat != cast.seat}
    return replace(ballot, votes={**others, cast.seat: cast})


def _without(ballot: Ballot, recused: VoterRecused) -> Ballot:
    """The ballot after a recusal: neither a vote that the person cast counts, nor one that a delegate cast for them."""

    def stays(vote: VoteCast) -> bool:
        delegated = vote.seat == recused.person and vote.authority is Authority.DELEGATE
        return vote.person != recused.person and not delegated

    return replace(
        ballot,
        votes={seat: vote for seat, vote in ballot.votes.items() if stays(vote)},
        set_aside=tuple(filter(stays, ballot.set_aside)),
        recused={**ballot.recused, recused.person: recused},
    )


def _before(ballot: Ballot, put: ReviewEscalated | ReviewReferred) -> Ballot:
    """The ballot before another panel, which votes anew."""
    return replace(ballot, put=put, votes={}, set_aside=(*ballot.set_aside, *ballot.votes.values()))


def _deadlines(event: Event) -> tuple[Deadline, ...]:
    match event:
        case ReviewSubmitted(measured_by=measured_by):
            measuring = (Deadline(MEASURED_BY, measured_by),) if measured_by else ()
            return (*measuring, *_voting_deadlines(event))
        case ReviewEscalated() | ReviewReferred():
            return _voting_deadlines(event)
        case ReviewConcluded(conditions=conditions):
            return tuple(
                deadline
                for number, condition in enumerate(conditions, start=1)
                for deadline in _deadlines_of(number, condition)
            )
        case _:
            return ()


def _deadlines_of(number: int, condition: Condition) -> Iterable[Deadline]:
    for reminder, due in enumerate(condition.reminders, start=1):
        yield Deadline(f"{CONDITION_REMINDER}/{number}/{reminder}", due)
    if condition.lapses_at is not None:
        yield Deadline(f"{CONDITION_LAPSE}/{number}", condition.lapses_at)


def _voting_deadlines(event: ReviewSubmitted | ReviewEscalated | ReviewReferred) -> tuple[Deadline, ...]:
    if event.closes_at is None:
        return ()
    until = _told_apart_by(event)
    panel = f"/{until.isoformat()}" if until else ""
    reminders = (Deadline(f"{REMINDER}/{number}{panel}", due) for number, due in enumerate(event.reminders, start=1))
    return (*reminders, Deadline(TIME_LIMIT, event.closes_at))


def _told_apart_by(put: ReviewSubmitted | ReviewEscalated | ReviewReferred) -> datetime | None:
    """What the reminders of one panel are told from another's by: the end of its time, nothing for the first."""
    return None if isinstance(put, ReviewSubmitted) else put.closes_at


def _on_deadline(name: str, now: datetime) -> Command:
    kind, _, which = name.partition("/")
    number, _, of = which.partition("/")
    match kind:
        case "time_limit":
            return ReachTimeLimit(now)
        case "reminder":
            return RemindVoters(now, datetime.fromisoformat(of) if of else None)
        case "measured_by":
            return StopMeasuring(now)
        case "condition_reminder":
            return RemindOfCondition(int(number))
        case _:
            assert kind == CONDITION_LAPSE, f"{name}: not a deadline of a review"
            return LapseCondition(int(number), now)


def _links(review: Review) -> frozenset[Link]:
    match review:
        case NotDrafted():
            return frozenset()
        case Draft() | Submitted() | Open() | Concluded() | Escalated() | Withdrawn():
            project = review.drafted.project
            always = {Link(REVIEW_OF, project), Link(REVIEW_IN, review.drafted.portfolio)}
        case _:
            assert_never(review)
    match review:
        case Draft():
            return frozenset({*always, Link(OPEN_REVIEW_OF, project)})
        case Submitted():
            return frozenset({*always, Link(OPEN_REVIEW_OF, project), Link(AWAITS_MEASURES, project)})
        case Open(ballot=ballot) | Escalated(ballot=ballot):
            return frozenset({*always, Link(OPEN_REVIEW_OF, project), *_voted_under(ballot)})
        case Concluded(ballot=ballot, concluded=concluded, ended=ended):
            unmet = {Link(OPEN_CONDITIONS_OF, project)} if len(ended) < len(concluded.conditions) else set()
            return frozenset({*always, *unmet, *_voted_under(ballot)})
        case Withdrawn():
            return frozenset(always)
        case _:
            assert_never(review)


def _voted_under(ballot: Ballot) -> Iterable[Link]:
    return (Link(VOTED_UNDER, under) for vote in ballot.votes.values() if (under := _under(vote)) is not None)


REVIEW: Final[Aggregate[Review, Command, Event]] = Aggregate(
    "review",
    NotDrafted(),
    decide,
    evolve,
    deadlines=_deadlines,
    on_deadline=_on_deadline,
    links=_links,
    relied_on=True,
)
