"""A review: what was asked, who may vote on it, what each said having seen what, and what came of it."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import Enum
from fractions import Fraction
from typing import Final, TypeAlias, assert_never

from approvals.domain.gate_policy import check_gate, votes_needed
from govevents.approvals import (
    AtTimeLimit,
    Choice,
    Condition,
    ConditionClosed,
    Duty,
    Elector,
    Ending,
    Evidence,
    Exclusion,
    GatePolicyPublished,
    Outcome,
    ReviewConcluded,
    ReviewDrafted,
    ReviewEscalated,
    ReviewKind,
    ReviewSubmitted,
    ReviewWithdrawn,
    Rule,
    Seen,
    Tally,
    VoteCast,
)
from govkernel.domain import (
    Aggregate,
    BodyId,
    Code,
    Deadline,
    Link,
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

TIME_LIMIT: Final = "time_limit"
"""The name of the deadline that a submission sets where its policy has a time limit."""

APPROVING: Final = frozenset({Choice.APPROVE, Choice.APPROVE_WITH_CONDITIONS})
OPPOSING: Final = frozenset({Choice.REJECT, Choice.RETURN})


@dataclass(frozen=True, slots=True)
class NotDrafted:
    """Nothing is known under this id."""


@dataclass(frozen=True, slots=True)
class Draft:
    """The review is being prepared."""

    drafted: ReviewDrafted


@dataclass(frozen=True, slots=True)
class Open:
    """The electorate votes; each person's vote stands in the order in which it was last cast."""

    drafted: ReviewDrafted
    submitted: ReviewSubmitted
    votes: Mapping[PersonId, VoteCast]


@dataclass(frozen=True, slots=True)
class Concluded:
    """The review has its outcome; `closed` are the conditions that are met, by number."""

    drafted: ReviewDrafted
    submitted: ReviewSubmitted
    votes: Mapping[PersonId, VoteCast]
    concluded: ReviewConcluded
    closed: Mapping[int, ConditionClosed]


@dataclass(frozen=True, slots=True)
class Escalated:
    """The electorate could not decide, and someone above it must."""

    drafted: ReviewDrafted
    submitted: ReviewSubmitted
    votes: Mapping[PersonId, VoteCast]


@dataclass(frozen=True, slots=True)
class Withdrawn:
    """The review has ended without an outcome."""

    drafted: ReviewDrafted
    withdrawn: ReviewWithdrawn


Review: TypeAlias = NotDrafted | Draft | Open | Concluded | Escalated | Withdrawn


@dataclass(frozen=True, slots=True)
class DraftReview:
    """Prepare a review of a project."""

    project: ProjectId
    portfolio: PortfolioId
    kind: ReviewKind
    gate: Code | None
    question: Text
    evidence: tuple[Evidence, ...]


@dataclass(frozen=True, slots=True)
class SubmitReview:
    """Propose an outcome to an electorate, under the edition of the policy that lies before the submitter.

    `policy_seen` is where that edition stands. `evidence` is all there is and replaces the draft's.
    """

    submitter: SubjectId
    proposed: Outcome
    policy: GatePolicyPublished
    policy_seen: Seen
    electorate: tuple[Elector, ...]
    excluded: tuple[Exclusion, ...]
    body: BodyId | None
    evidence: tuple[Evidence, ...]
    at: datetime


@dataclass(frozen=True, slots=True)
class CastVote:
    """Vote, or replace one's vote, in an open review.

    `submission` is where the ledger has the review's submission, by stream, version and hash: `seen` must name it. One
    hash pins all that lay before the voter, for that document lists the proposal, the policy's edition and each piece
    of evidence with its digest, and chains to the question.
    """

    voter: SubjectId
    person: PersonId
    choice: Choice
    conditions: tuple[Condition, ...]
    submission: Seen
    seen: tuple[Seen, ...]
    reason: Text
    at: datetime


@dataclass(frozen=True, slots=True)
class WithdrawReview:
    """End a review without an outcome."""

    reason: Text


@dataclass(frozen=True, slots=True)
class ReachTimeLimit:
    """Let the voters' time be over, if it is."""

    at: datetime


@dataclass(frozen=True, slots=True)
class CloseCondition:
    """Show that a condition of a Conditional Go, counted from 1, is met."""

    condition: int
    evidence: tuple[Evidence, ...]
    remark: Text


Command: TypeAlias = DraftReview | SubmitReview | CastVote | WithdrawReview | ReachTimeLimit | CloseCondition
Event: TypeAlias = (
    ReviewDrafted | ReviewSubmitted | VoteCast | ReviewConcluded | ReviewEscalated | ReviewWithdrawn | ConditionClosed
)


class ReviewNotKnown(NotKnownYet):
    """No review is known under this id."""


class ReviewAlreadyDrafted(Refusal):
    """The review exists already, with other particulars."""


class ReviewAlreadySubmitted(Refusal):
    """The review was submitted before, and what was submitted stays as it was."""


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
    """The account is not in the electorate that the review was submitted to."""


class SecondAccount(Refusal):
    """One natural person is one voice, and this person's is with another account."""


class ReasonMissing(Refusal):
    """A vote states its reason."""


class SeenIncomplete(Refusal):
    """A vote says what lay before the voter: the review's submission, by stream, version and hash."""


class ConditionsDoNotFitChoice(Refusal):
    """An approval with conditions states at least one condition, and no other vote states any."""


class ConditionsDoNotFitProposal(Refusal):
    """Conditions are set on a Go, and something else is proposed."""


class ReviewNotConcluded(Refusal):
    """Conditions are there to be met once the review has its outcome."""


class ConditionNotKnown(Refusal):
    """The review's outcome has no condition of this number."""


class ConditionAlreadyClosed(Refusal):
    """The condition was shown to be met before, and that record says something else."""


class EvidenceMissing(Refusal):
    """That a condition is met is shown by evidence."""


class _Verdict(Enum):
    PASSED = "passed"
    FAILED = "failed"
    UNSPOKEN = "unspoken"


def decide(command: Command, review: Review) -> tuple[Event, ...]:
    """What follows from a command; the refusals are those above and `check_gate`'s."""
    match command:
        case DraftReview():
            return _draft(command, review)
        case SubmitReview():
            return _submit(command, review)
        case CastVote():
            return _vote(command, review)
        case WithdrawReview(reason=reason):
            match review:
                case NotDrafted():
                    raise ReviewNotKnown
                case Draft(drafted=drafted) | Open(drafted=drafted) | Escalated(drafted=drafted):
                    return (ReviewWithdrawn(drafted.project, reason),)
                case Concluded(concluded=concluded):
                    raise ReviewAlreadyConcluded(outcome=concluded.outcome.value)
                case Withdrawn():
                    return ()
                case _:
                    assert_never(review)
        case ReachTimeLimit(at=at):
            match review:
                case Open(submitted=submitted) if _time_is_over(submitted, at):
                    return _conclude_at_time_limit(review)
                case NotDrafted() | Draft() | Open() | Concluded() | Escalated() | Withdrawn():
                    return ()
                case _:
                    assert_never(review)
        case CloseCondition():
            return _close_condition(command, review)
        case _:
            assert_never(command)


def _draft(command: DraftReview, review: Review) -> tuple[Event, ...]:
    check_gate(command.kind, command.gate)
    _check_evidence(command.evidence)
    drafted = ReviewDrafted(
        command.project, command.portfolio, command.kind, command.gate, command.question, command.evidence
    )
    match review:
        case NotDrafted():
            return (drafted,)
        case Draft() | Open() | Concluded() | Escalated() | Withdrawn():
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
            return submitted, *_conclude(Open(drafted, submitted, {}))
        case Open() | Concluded() | Escalated():
            submitted = _submission(command, review.drafted)
            differing = differences(review.submitted, submitted, besides=frozenset({"submitted_at", "closes_at"}))
            if differing:
                raise ReviewAlreadySubmitted(**differing)
            return ()
        case Withdrawn(withdrawn=withdrawn):
            raise ReviewNotOpen(f"The review was withdrawn: {withdrawn.reason}")
        case _:
            assert_never(review)


def _submission(command: SubmitReview, drafted: ReviewDrafted) -> ReviewSubmitted:
    policy = command.policy
    persons = [elector.person for elector in command.electorate]
    kept_out = {exclusion.person for exclusion in command.excluded}
    assert (policy.portfolio, policy.kind, policy.gate) == (drafted.portfolio, drafted.kind, drafted.gate)
    assert len(set(persons)) == len(persons), "one natural person is one elector"
    assert kept_out.isdisjoint(persons), "who is excluded is no elector"
    limit = policy.time_limit
    return ReviewSubmitted(
        project=drafted.project,
        submitter=command.submitter,
        proposed=command.proposed,
        policy=command.policy_seen,
        policy_number=policy.number,
        electorate=command.electorate,
        excluded=command.excluded,
        votes_needed=votes_needed(policy.quorum, len(persons)),
        rule=policy.rule,
        threshold=policy.threshold,
        failed_outcome=policy.failed_outcome,
        body=command.body,
        evidence=command.evidence,
        submitted_at=command.at,
        closes_at=command.at + timedelta(days=limit.days) if limit else None,
        at_time_limit=limit.then if limit else None,
    )


def _check_evidence(evidence: tuple[Evidence, ...]) -> None:
    twice = [uri for uri, times in Counter(each.uri for each in evidence).items() if times > 1]
    if twice:
        raise EvidenceListedTwice(uri=", ".join(twice))


def _vote(command: CastVote, review: Review) -> tuple[Event, ...]:
    match review:
        case NotDrafted():
            raise ReviewNotKnown
        case Open(submitted=submitted, votes=votes):
            cast = _vote_of(command, submitted)
            if votes.get(command.person) == cast:
                return ()
            if _time_is_over(submitted, command.at):
                raise ReviewNotOpen(f"The voters' time was over at {submitted.closes_at}.", state="time_limit")
            _check_voter(command, submitted)
            _check_vote(command, submitted)
            return cast, *_conclude(_with_vote(review, cast))
        case Concluded(submitted=submitted, votes=votes) | Escalated(submitted=submitted, votes=votes) if votes.get(
            command.person
        ) == _vote_of(command, submitted):
            return ()  # The very vote that ended the review, sent again.
        case Draft() | Concluded() | Escalated() | Withdrawn():
            raise ReviewNotOpen(state=type(review).__name__.lower())
        case _:
            assert_never(review)


def _vote_of(command: CastVote, submitted: ReviewSubmitted) -> VoteCast:
    return VoteCast(
        submitted.project,
        command.voter,
        command.person,
        command.choice,
        command.conditions,
        command.seen,
        command.reason,
    )


def _time_is_over(submitted: ReviewSubmitted, at: datetime) -> bool:
    return submitted.closes_at is not None and at >= submitted.closes_at


def _check_voter(command: CastVote, submitted: ReviewSubmitted) -> None:
    duties = {exclusion.duty for exclusion in submitted.excluded if exclusion.person == command.person}
    if command.voter == submitted.submitter or Duty.SUBMITTER in duties:
        raise SubmitterMayNotVote
    if Duty.PROJECT_MANAGER in duties:
        raise ProjectManagerMayNotVote
    if Duty.SPONSOR in duties:
        raise SponsorMayNotVote
    for elector in submitted.electorate:
        if elector.person == command.person:
            if elector.subject != command.voter:
                raise SecondAccount(account=str(elector.subject))
            return
    raise NotAnElector(voter=str(command.voter))


def _check_vote(command: CastVote, submitted: ReviewSubmitted) -> None:
    if not command.reason.strip():
        raise ReasonMissing
    if command.submission not in command.seen:
        submission = command.submission
        raise SeenIncomplete(stream=submission.stream, version=str(submission.version), hash=submission.hash)
    if (command.choice is Choice.APPROVE_WITH_CONDITIONS) != bool(command.conditions):
        raise ConditionsDoNotFitChoice(choice=command.choice.value, conditions=str(len(command.conditions)))
    if command.conditions and submitted.proposed is not Outcome.GO:
        raise ConditionsDoNotFitProposal(proposed=submitted.proposed.value)


def _conclude(review: Open) -> tuple[Event, ...]:
    """What ends the review now: an outcome, or that its electorate can't give one; nothing while votes are awaited."""
    submitted = review.submitted
    if len(submitted.electorate) < max(1, submitted.votes_needed):
        reason = f"{submitted.votes_needed} votes are needed, and {len(submitted.electorate)} persons may vote."
        return (ReviewEscalated(submitted.project, reason),)
    if not _heard(review):
        return ()
    out = len(submitted.electorate) - len(review.votes)
    cast = [vote.choice for vote in review.votes.values()]
    # More approvals never make a review fail, nor more rejections make it pass, and only abstentions leave it unspoken:
    # so these three stand for every way in which the votes still out can go.
    verdicts = {
        _verdict(review, [*cast, *[choice] * out]) for choice in (Choice.APPROVE, Choice.REJECT, Choice.ABSTAIN)
    }
    match sorted(verdicts, key=lambda verdict: verdict.value):
        case [_Verdict.UNSPOKEN]:
            return (ReviewEscalated(submitted.project, "All of the electorate have abstained."),)
        case [verdict]:
            return (_conclusion(review, verdict, Ending.DECIDED),)
        case _:
            return ()


def _conclude_at_time_limit(review: Open) -> tuple[Event, ...]:
    """What the time limit makes of the review: nobody's vote is out any more, so those cast decide, if they can."""
    submitted = review.submitted
    if _heard(review):
        verdict = _verdict(review, [vote.choice for vote in review.votes.values()])
        if verdict is not _Verdict.UNSPOKEN:
            return (_conclusion(review, verdict, Ending.TIME_LIMIT),)
    reason = (
        f"The time limit was reached without a result: {len(review.votes)} votes were cast, {submitted.votes_needed} "
        f"are needed, and {len(_silent_veto_holders(review))} holders of a veto were silent."
    )
    match submitted.at_time_limit:
        case AtTimeLimit.LAPSE:
            return (ReviewWithdrawn(submitted.project, reason),)
        case AtTimeLimit.ESCALATE:
            return (ReviewEscalated(submitted.project, reason),)
        case None:
            raise AssertionError("a review without a time limit has none to reach")
        case never:
            assert_never(never)


def _heard(review: Open) -> bool:
    """Whether the quorum is met and every veto holder has voted."""
    return len(review.votes) >= review.submitted.votes_needed and not _silent_veto_holders(review)


def _silent_veto_holders(review: Open) -> set[PersonId]:
    return {elector.person for elector in review.submitted.electorate if elector.veto} - review.votes.keys()


def _verdict(review: Open, choices: Sequence[Choice]) -> _Verdict:
    submitted = review.submitted
    approve = _count(choices, APPROVING)
    against = _count(choices, OPPOSING)
    if not approve and not against:
        return _Verdict.UNSPOKEN
    electors = len(submitted.electorate)
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
    vetoed = any(
        elector.veto and elector.person in review.votes and review.votes[elector.person].choice is Choice.REJECT
        for elector in submitted.electorate
    )
    return _Verdict.PASSED if passed and not vetoed else _Verdict.FAILED


def _count(choices: Iterable[Choice], counted: frozenset[Choice]) -> int:
    return sum(choice in counted for choice in choices)


def _conclusion(review: Open, verdict: _Verdict, ending: Ending) -> ReviewConcluded:
    drafted, submitted = review.drafted, review.submitted
    conditions: tuple[Condition, ...] = ()
    outcome = submitted.failed_outcome
    if verdict is _Verdict.PASSED:
        # What two voters ask for in the same words is one condition.
        conditions = tuple(dict.fromkeys(each for vote in review.votes.values() for each in vote.conditions))
        outcome = Outcome.CONDITIONAL_GO if conditions else submitted.proposed
    return ReviewConcluded(
        project=drafted.project,
        portfolio=drafted.portfolio,
        kind=drafted.kind,
        gate=drafted.gate,
        outcome=outcome,
        ending=ending,
        tally=tally(submitted, review.votes),
        conditions=conditions,
        body=submitted.body,
        submitted_at=submitted.submitted_at,
    )


def tally(submitted: ReviewSubmitted, votes: Mapping[PersonId, VoteCast]) -> Tally:
    """How many of the electorate have said what."""
    choices = Counter(vote.choice for vote in votes.values())
    return Tally(
        electorate=len(submitted.electorate),
        votes_needed=submitted.votes_needed,
        approve=choices[Choice.APPROVE],
        approve_with_conditions=choices[Choice.APPROVE_WITH_CONDITIONS],
        reject=choices[Choice.REJECT],
        returned=choices[Choice.RETURN],
        abstain=choices[Choice.ABSTAIN],
    )


def _close_condition(command: CloseCondition, review: Review) -> tuple[Event, ...]:
    match review:
        case NotDrafted():
            raise ReviewNotKnown
        case Draft() | Open() | Escalated() | Withdrawn():
            raise ReviewNotConcluded
        case Concluded(concluded=concluded, closed=closed):
            if not 1 <= command.condition <= len(concluded.conditions):
                raise ConditionNotKnown(condition=str(command.condition), conditions=str(len(concluded.conditions)))
            if not command.evidence:
                raise EvidenceMissing
            _check_evidence(command.evidence)
            met = ConditionClosed(concluded.project, command.condition, command.evidence, command.remark)
            before = closed.get(command.condition)
            if before is None:
                return (met,)
            if before != met:
                raise ConditionAlreadyClosed(**differences(before, met))
            return ()
        case _:
            assert_never(review)


def evolve(review: Review, event: Event) -> Review:
    """The review after an event."""
    match event:
        case ReviewDrafted():
            return Draft(event)
        case ReviewSubmitted():
            assert isinstance(review, Draft)
            return Open(review.drafted, event, {})
        case VoteCast():
            assert isinstance(review, Open)
            return _with_vote(review, event)
        case ReviewConcluded():
            assert isinstance(review, Open)
            return Concluded(review.drafted, review.submitted, review.votes, event, {})
        case ReviewEscalated():
            assert isinstance(review, Open)
            return Escalated(review.drafted, review.submitted, review.votes)
        case ReviewWithdrawn():
            assert isinstance(review, Draft | Open | Escalated)
            return Withdrawn(review.drafted, event)
        case ConditionClosed(condition=condition):
            assert isinstance(review, Concluded)
            return replace(review, closed={**review.closed, condition: event})
        case _:
            assert_never(event)


def _with_vote(review: Open, cast: VoteCast) -> Open:
    """The open review after a vote, which stands last, in place of an earlier one of the same person."""
    others = {person: vote for person, vote in review.votes.items() if person != cast.person}
    return replace(review, votes={**others, cast.person: cast})


def _deadlines(event: Event) -> tuple[Deadline, ...]:
    match event:
        case ReviewSubmitted(closes_at=datetime() as closes_at):
            return (Deadline(TIME_LIMIT, closes_at),)
        case _:
            return ()


def _on_deadline(name: str, now: datetime) -> Command:
    assert name == TIME_LIMIT
    return ReachTimeLimit(now)


def _links(review: Review) -> frozenset[Link]:
    match review:
        case Draft(drafted=drafted) | Open(drafted=drafted) | Escalated(drafted=drafted):
            return frozenset({Link(REVIEW_OF, drafted.project), Link(OPEN_REVIEW_OF, drafted.project)})
        case Concluded(drafted=drafted) | Withdrawn(drafted=drafted):
            return frozenset({Link(REVIEW_OF, drafted.project)})
        case NotDrafted():
            return frozenset()
        case _:
            assert_never(review)


REVIEW: Final[Aggregate[Review, Command, Event]] = Aggregate(
    "review", NotDrafted(), decide, evolve, deadlines=_deadlines, on_deadline=_on_deadline, links=_links
)
