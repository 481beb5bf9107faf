"""What recorded votes would have come to under another policy, which of them would not have counted, and why.

The review's own decider goes through the recorded life again: each command that led to what is recorded is put to a
review that was submitted under the other policy. Nothing is decided by other rules than those that votes are cast by.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from functools import reduce
from itertools import groupby
from typing import Any, Final, TypeAlias, TypeVar, assert_never
from uuid import UUID

from approvals.application.electorate import Elected, Persons, Project, Rolls, elect_without
from approvals.domain import gate_policy, value_bands
from approvals.domain.body import BODY
from approvals.domain.delegation import DELEGATION, Delegation, Granted, NotGranted, Revoked
from approvals.domain.gate_policy import PublishPolicy
from approvals.domain.review import (
    REVIEW,
    Acting,
    Ballot,
    CastVote,
    ChangeEvidence,
    Command,
    Concluded,
    Draft,
    Escalated,
    Event,
    NotDrafted,
    NoteMeasure,
    Open,
    ReachTimeLimit,
    RecuseVoter,
    ReferReview,
    Review,
    StopMeasuring,
    SubmitReview,
    Submitted,
    Withdrawn,
    WithdrawReview,
    needed,
    seats,
)
from approvals.domain.role_assignment import ROLE_ASSIGNMENT
from approvals.domain.value_bands import VALUE_BANDS, PublishBands, ValueBands
from govevents.approvals import (
    Choice,
    ConditionClosed,
    ConditionLapsed,
    ConditionReminded,
    ConditionWaived,
    Electorate,
    Ending,
    EvidenceChanged,
    GatePolicyPublished,
    MeasureNoted,
    Outcome,
    Panel,
    QuestionAnswered,
    QuestionAsked,
    Quorum,
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
    ValueBand,
    VoteCast,
    VoteMarked,
    VoterRecused,
)
from govevents.document import Recorded as RecordedEvent
from govkernel.access import day_in
from govkernel.domain import (
    Aggregate,
    BodyId,
    Code,
    Money,
    NodeId,
    PersonId,
    PortfolioId,
    ProjectId,
    Refusal,
    ReviewId,
    SubjectId,
)

Recorded: TypeAlias = RecordedEvent[Any]
State = TypeVar("State")

MOMENT: Final = timedelta(microseconds=1)
MOST_DECISIONS: Final = 500


class TooManyDecisions(Refusal):
    """At most 500 decisions are tried at once; a kind, a gate or a shorter time means fewer."""


@dataclass(frozen=True, slots=True)
class Changes:
    """How the other policy differs; None leaves a field as each decision's own policy has it.

    `threshold` by itself changes those that have one. `bands` replace the value bands, and count where a policy asks
    them. No delegation speaks for more than `delegation_limit`.
    """

    rule: Rule | None = None
    threshold: Decimal | None = None
    quorum: Quorum | None = None
    veto: tuple[SubjectId, ...] | None = None
    failed_outcome: Outcome | None = None
    electorate: Electorate | None = None
    bands: tuple[ValueBand, ...] | None = None
    delegation_limit: Money | None = None
    sponsor_may_vote: bool | None = None

    @property
    def elects_anew(self) -> bool:
        """Whether who votes may be others than those who voted."""
        return any(each is not None for each in (self.veto, self.electorate, self.bands, self.sponsor_may_vote))


@dataclass(frozen=True, slots=True)
class Registers:
    """The streams that say who may vote on a project: all that there is of each, oldest first.

    `roles` are those of assignments at the project and at all nodes above it; `persons` is the directory.
    """

    bodies: Mapping[BodyId, Sequence[Recorded]]
    roles: Sequence[Sequence[Recorded]]
    bands: Sequence[Recorded]
    persons: Persons


@dataclass(frozen=True, slots=True)
class Case:
    """A review that was submitted, with what it was decided by.

    `policy` is the edition that it was opened under; `delegations` are the streams that its votes relied on;
    `registers` are None where nobody is to be elected anew.
    """

    review: Sequence[Recorded]
    policy: GatePolicyPublished
    delegations: Mapping[UUID, Sequence[Recorded]]
    registers: Registers | None = None


class End(Enum):
    """How a review ends, or stands where it has not ended."""

    CONCLUDED = "concluded"
    ESCALATED = "escalated"
    WITHDRAWN = "withdrawn"
    UNDECIDED = "undecided"
    NOT_PUT = "not_put"


@dataclass(frozen=True, slots=True)
class Result:
    """What a review comes to; `outcome` is None unless it is concluded. `because` says why, in words and figures."""

    end: End
    outcome: Outcome | None
    because: str


@dataclass(frozen=True, slots=True)
class Uncounted:
    """A recorded vote that would not have counted: `refusal` names why, `because` says it."""

    vote: str
    voter: SubjectId
    seat: PersonId
    choice: Choice
    refusal: str
    because: str


@dataclass(frozen=True, slots=True)
class Compared:
    """A decision, and what it would have been.

    `reproduced` says whether the recorded votes, decided again under the recorded policy, come to what is recorded.
    `unheard` are those whose vote would have been wanted and is not recorded; `reasons` say the rest in words.
    """

    review: ReviewId
    project: ProjectId
    kind: ReviewKind
    gate: Code | None
    submitted_at: datetime
    recorded: Result
    supposed: Result
    changed: bool
    reproduced: bool
    uncounted: tuple[Uncounted, ...]
    unheard: tuple[SubjectId, ...]
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Turn:
    """How many decisions would have come to another outcome than they did; None is none."""

    recorded: Outcome | None
    supposed: Outcome | None
    decisions: int


@dataclass(frozen=True, slots=True)
class Totals:
    """What it comes to over all decisions."""

    decisions: int
    changed: int
    undecided: int
    not_reproduced: int
    turns: tuple[Turn, ...]


def other_policy(policy: GatePolicyPublished, changes: Changes) -> GatePolicyPublished:
    """The policy with the changes in it, held to what any policy is held to. Raises what `gate_policy.decide` does."""
    rule = changes.rule or policy.rule
    threshold = policy.threshold if changes.threshold is None else changes.threshold
    (edition,) = gate_policy.decide(
        PublishPolicy(
            portfolio=policy.portfolio,
            kind=policy.kind,
            gate=policy.gate,
            electorate=changes.electorate or policy.electorate,
            quorum=changes.quorum or policy.quorum,
            rule=rule,
            threshold=threshold if rule is Rule.THRESHOLD else None,
            veto=policy.veto if changes.veto is None else changes.veto,
            sponsor_may_vote=policy.sponsor_may_vote if changes.sponsor_may_vote is None else changes.sponsor_may_vote,
            time_limit=policy.time_limit,
            failed_outcome=changes.failed_outcome or policy.failed_outcome,
            escalate_to=policy.escalate_to,
            deliverables=policy.deliverables,
            criteria=policy.criteria,
            conditions=policy.conditions,
        ),
        gate_policy.Unpublished(),
    )
    return replace(edition, number=policy.number)


def other_bands(portfolio: PortfolioId, bands: tuple[ValueBand, ...]) -> ValueBands:
    """The table of these bands, held to what any is held to. Raises what `value_bands.decide` does."""
    (published,) = value_bands.decide(PublishBands(portfolio, bands, None), value_bands.Unpublished())
    return value_bands.Published(published)


def bodies_asked(policy: GatePolicyPublished, bands: ValueBands) -> frozenset[BodyId]:
    """The bodies that might vote under a policy with this table."""
    named = {policy.electorate.body, policy.escalate_to}
    if policy.electorate.by_value_band and isinstance(bands, value_bands.Published):
        named |= {band.body for band in bands.table.bands}
    return frozenset(body for body in named if body is not None)


def submission_of(review: Sequence[Recorded]) -> Recorded | None:
    """The event by which a review was submitted; None where it was not."""
    return next((one for one in review if isinstance(one.event, ReviewSubmitted)), None)


def chosen(
    reviews: Iterable[Sequence[Recorded]],
    *,
    kind: ReviewKind | None = None,
    gate: Code | None = None,
    first_day: date | None = None,
    last_day: date | None = None,
) -> frozenset[UUID]:
    """The reviews of this kind and gate that were submitted on these days, both included, of the portfolio's time zone.

    Of each the events until its submission are enough. None is any. Raises TooManyDecisions.
    """
    found = set()
    for review in reviews:
        drafted: ReviewDrafted = review[0].event
        submission = submission_of(review)
        if submission is None or kind not in (None, drafted.kind) or gate not in (None, drafted.gate):
            continue
        submitted: ReviewSubmitted = submission.event
        day = day_in(submitted.time_zone, submitted.submitted_at)
        if (first_day or date.min) <= day <= (last_day or date.max):
            found.add(submission.envelope.stream)
    if len(found) > MOST_DECISIONS:
        raise TooManyDecisions(decisions=str(len(found)), most=str(MOST_DECISIONS))
    return frozenset(found)


def as_it_stood(aggregate: Aggregate[State, Any, Any], stream: Iterable[Recorded], when: Recorded) -> State:
    """What a stream said when an event was recorded: neither later facts count nor what was brought in later."""
    known = (
        one.event
        for one in stream
        if one.envelope.time <= when.envelope.time and one.envelope.recordedtime <= when.envelope.recordedtime
    )
    return reduce(aggregate.evolve, known, aggregate.initial)


def compare(case: Case, changes: Changes) -> Compared:
    """A decision beside what it would have been with these changes. Raises what `other_policy` does."""
    submission = submission_of(case.review)
    assert submission is not None, "only what was submitted was put to a vote"
    submitted: ReviewSubmitted = submission.event
    drafted: ReviewDrafted = case.review[0].event
    recorded = _result(reduce(REVIEW.evolve, (one.event for one in case.review), REVIEW.initial), case.review)
    again = _Replay(case, case.policy, None, None).run()
    policy = other_policy(case.policy, changes)
    supposed = again
    others_vote = _others_vote(case.policy, policy, changes)
    if policy != case.policy or changes.delegation_limit is not None or others_vote:
        try:
            elected = _elected(case, policy, changes, submission) if others_vote else None
        except Refusal as refusal:
            supposed = _Replay(case, policy, None, None).refused(refusal)
        else:
            supposed = _Replay(case, policy, elected, changes.delegation_limit).run()
    return Compared(
        review=ReviewId(submission.envelope.stream),
        project=drafted.project,
        kind=drafted.kind,
        gate=drafted.gate,
        submitted_at=submitted.submitted_at,
        recorded=recorded,
        supposed=supposed.result,
        changed=supposed.result.outcome is not recorded.outcome,
        reproduced=(again.result.end, again.result.outcome) == (recorded.end, recorded.outcome),
        uncounted=tuple(supposed.uncounted),
        unheard=supposed.unheard,
        reasons=tuple(supposed.reasons),
    )


def totals(compared: Sequence[Compared]) -> Totals:
    """What comparisons come to together."""
    turned = sorted(
        ((each.recorded.outcome, each.supposed.outcome) for each in compared if each.changed),
        key=lambda turn: [outcome.value if outcome else "" for outcome in turn],
    )
    return Totals(
        decisions=len(compared),
        changed=len(turned),
        undecided=sum(each.supposed.outcome is None for each in compared),
        not_reproduced=sum(not each.reproduced for each in compared),
        turns=tuple(Turn(*turn, len(list(same))) for turn, same in groupby(turned)),
    )


def _others_vote(recorded: GatePolicyPublished, other: GatePolicyPublished, changes: Changes) -> bool:
    """Whether who votes has to be worked out anew; else those whom the submission lists are those who vote."""
    electing = (other.electorate, other.veto, other.sponsor_may_vote)
    if electing != (recorded.electorate, recorded.veto, recorded.sponsor_may_vote):
        return True
    return changes.bands is not None and other.electorate.by_value_band


def _elected(case: Case, policy: GatePolicyPublished, changes: Changes, submission: Recorded) -> Elected:
    """Who would have voted, by what the registers said at the submission. Raises what `elect_without` does."""
    registers = case.registers
    assert registers is not None, "who would vote is worked out from the registers"
    submitted: ReviewSubmitted = submission.event
    bands = (
        as_it_stood(VALUE_BANDS, registers.bands, submission)
        if changes.bands is None
        else other_bands(policy.portfolio, changes.bands)
    )
    rolls = Rolls(
        bodies={body: as_it_stood(BODY, stream, submission) for body, stream in registers.bodies.items()},
        roles=tuple(as_it_stood(ROLE_ASSIGNMENT, stream, submission) for stream in registers.roles),
        persons=registers.persons,
        day=day_in(submitted.time_zone, submitted.submitted_at),
    )
    project = Project(submitted.project, submitted.value, None, None)
    return elect_without(submitted.tied, policy=policy, bands=bands, rolls=rolls, project=project)


@dataclass
class _Outcome:
    """What a replay comes to."""

    result: Result
    uncounted: list[Uncounted] = field(default_factory=list)
    unheard: tuple[SubjectId, ...] = ()
    reasons: list[str] = field(default_factory=list)


class _Replay:
    """Puts the commands of a recorded life to a review under another policy.

    `actual` is the review as it was at each step, `supposed` as it would have been.
    """

    def __init__(
        self, case: Case, policy: GatePolicyPublished, elected: Elected | None, delegation_limit: Money | None
    ) -> None:
        self.case = case
        self.policy = policy
        self.elected = elected
        self.delegation_limit = delegation_limit
        self.actual: Review = REVIEW.initial
        self.supposed: Review = REVIEW.initial
        self.events: list[Event] = []
        self.outcome = _Outcome(Result(End.UNDECIDED, None, ""))
        self.too_late = 0

    def run(self) -> _Outcome:
        try:
            self._live()
        except Refusal as refusal:
            return self.refused(refusal)
        outcome = self.outcome
        outcome.result = _result_of(self.supposed, self.events)
        if self.too_late:
            outcome.reasons.append(f"{self.too_late} recorded votes came after it would have been over.")
        if isinstance(self.supposed, Open):
            ballot = self.supposed.ballot
            outcome.unheard = tuple(seat.subject for seat in seats(ballot) if seat.person not in ballot.votes)
            outcome.reasons.extend(self._at_time_limit(ballot))
        return outcome

    def refused(self, refusal: Refusal) -> _Outcome:
        """The review could not even have been submitted."""
        result = Result(End.NOT_PUT, None, f"It could not have been put to a vote: {refusal.detail}")
        return _Outcome(result, reasons=[f"{refusal.slug()}: {refusal.detail}"])

    def _live(self) -> None:
        for _, same in groupby(self.case.review, key=lambda one: one.envelope.command):
            step = list(same)
            self._reach_time_limit_before(step[0].envelope.time)
            for command in self._commands(step):
                self._send(command, step[0])
            self.actual = reduce(REVIEW.evolve, (one.event for one in step), self.actual)

    def _send(self, command: Command, cause: Recorded) -> None:
        try:
            events = REVIEW.decide(command, self.supposed)
        except Refusal as refusal:
            if isinstance(command, SubmitReview):
                raise
            if isinstance(command, CastVote):
                self._not_counted(cause, refusal)
            return
        for event in events:
            self.supposed = REVIEW.evolve(self.supposed, event)
        self.events.extend(events)

    def _not_counted(self, cause: Recorded, refusal: Refusal) -> None:
        if not isinstance(self.supposed, Open):
            self.too_late += 1
            return
        cast: VoteCast = cause.event
        self.outcome.uncounted.append(
            Uncounted(cause.id, cast.voter, cast.seat, cast.choice, refusal.slug(), refusal.detail)
        )

    def _reach_time_limit_before(self, moment: datetime) -> None:
        """Let the time limit be reached where the recorded life can't say so, for it had no such limit then."""
        if isinstance(self.supposed, Open):
            closes_at = self.supposed.ballot.closes_at
            own = isinstance(self.actual, Open) and self.actual.ballot.closes_at == closes_at
            if closes_at is not None and closes_at <= moment and not own:
                for event in REVIEW.decide(ReachTimeLimit(closes_at), self.supposed):
                    self.supposed = REVIEW.evolve(self.supposed, event)
                    self.events.append(event)

    def _at_time_limit(self, ballot: Ballot) -> Iterator[str]:
        """What the votes that are recorded would have come to if nobody else had voted until the end."""
        if ballot.closes_at is None:
            return
        events = REVIEW.decide(ReachTimeLimit(ballot.closes_at), self.supposed)
        result = _result_of(reduce(REVIEW.evolve, events, self.supposed), events)
        what = result.outcome.value if result.outcome else result.end.value
        yield f"If nobody else had voted until its time limit, it would have come to {what}: {result.because}"

    def _commands(self, step: Sequence[Recorded]) -> Iterator[Command]:
        """The command that led to these events, which were recorded together, as the other policy would have had it."""
        first = step[0]
        at = self._at(step)
        match first.event:
            case ReviewDrafted():
                self.supposed = REVIEW.evolve(self.supposed, first.event)
            case ReviewSubmitted() as submitted:
                yield self._submission(submitted)
            case MeasureNoted(measure=measure):
                yield NoteMeasure(measure, at)
            case ReviewOpened():
                yield StopMeasuring(at)
            case EvidenceChanged(changed_by=changed_by, evidence=evidence, remark=remark):
                yield ChangeEvidence(changed_by, evidence, remark, at)
            case VoteCast() as cast:
                yield self._vote(cast, at)
            case VoterRecused(person=person, recused_by=recused_by, reason=reason):
                yield RecuseVoter(person, recused_by, reason, at)
            case ReviewReferred(referred_by=referred_by, to=to, reason=reason):
                yield ReferReview(referred_by, to, reason, at)
            case ReviewConcluded(ending=Ending.TIME_LIMIT) | ReviewEscalated():
                yield ReachTimeLimit(at)
            case ReviewWithdrawn(reason=reason):
                lapsed = REVIEW.decide(ReachTimeLimit(at), self.actual)
                yield ReachTimeLimit(at) if first.event in lapsed else WithdrawReview(reason)
            case (
                VoteMarked()
                | ReviewReminded()
                | QuestionAsked()
                | QuestionAnswered()
                | ConditionClosed()
                | ConditionWaived()
                | ConditionReminded()
                | ConditionLapsed()
            ):
                # They change nothing about what votes come to.
                return
            case _:
                raise AssertionError(f"{first.id}: no command leads to this")

    def _at(self, step: Sequence[Recorded]) -> datetime:
        """When the command was decided: exactly, where an event states a time that was reckoned from it."""
        if isinstance(self.actual, NotDrafted | Draft):
            return step[0].envelope.time
        ballot = self.actual.ballot
        assert ballot is not None, "a review that was submitted has a ballot"
        submitted = ballot.submitted
        for one in step:
            if isinstance(one.event, ReviewEscalated | ReviewReferred) and one.event.closes_at and submitted.closes_at:
                return submitted.submitted_at + (one.event.closes_at - submitted.closes_at)
        at = step[0].envelope.time
        if isinstance(step[0].event, VoteCast | VoterRecused | EvidenceChanged) and ballot.closes_at is not None:
            # What was taken was in time, however long writing it down took.
            return min(at, ballot.closes_at - MOMENT)
        return at

    def _submission(self, submitted: ReviewSubmitted) -> SubmitReview:
        elected = self.elected or Elected(
            Panel(submitted.body, submitted.electorate, submitted.excluded), submitted.escalation, submitted.tied
        )
        return SubmitReview(
            submitter=submitted.submitter,
            proposed=submitted.proposed,
            policy=self.policy,
            policy_seen=submitted.policy,
            panel=elected.panel,
            tied=submitted.tied,
            escalation=elected.escalation,
            evidence=submitted.evidence,
            value=submitted.value,
            deliverables=submitted.deliverables,
            criteria=submitted.criteria,
            open_conditions=submitted.open_conditions,
            breaches=submitted.breaches,
            time_zone=submitted.time_zone,
            at=submitted.submitted_at,
        )

    def _vote(self, cast: VoteCast, at: datetime) -> CastVote:
        assert not isinstance(self.actual, NotDrafted | Draft), "votes are cast on what was submitted"
        assert self.actual.ballot is not None
        return CastVote(
            voter=cast.voter,
            person=cast.person,
            acting=self._acting(cast),
            choice=cast.choice,
            conditions=cast.conditions,
            # That the vote named what lay before the voter was seen to when it was cast.
            basis=cast.seen[0],
            seen=cast.seen,
            reason=cast.reason,
            today=day_in(self.actual.ballot.submitted.time_zone, at),
            at=at,
        )

    def _acting(self, cast: VoteCast) -> Acting | None:
        """The delegation at the very version relied on, speaking for no more than the other policy lets it."""
        if cast.delegation is None:
            return None
        stream = self.case.delegations[UUID(cast.delegation.stream)][: cast.delegation.version]
        delegation: Delegation = reduce(DELEGATION.evolve, (one.event for one in stream), DELEGATION.initial)
        match delegation:
            case Granted(granted=granted):
                # A vote that was taken was within its delegation's own limit, so that only another one can stop it; and
                # its scope was looked at when it was cast, when the project may have lain elsewhere.
                limit = self.delegation_limit or granted.limit
                nodes: frozenset[NodeId] = frozenset({granted.node})
                return Acting(Granted(replace(granted, limit=limit)), cast.delegation, nodes)
            case NotGranted() | Revoked():
                raise AssertionError(f"{cast.delegation.stream}@{cast.delegation.version}: not what a vote rests on")
            case _:
                assert_never(delegation)


def _result(state: Review, recorded: Iterable[Recorded]) -> Result:
    return _result_of(state, [one.event for one in recorded])


def _result_of(state: Review, events: Sequence[Any]) -> Result:
    match state:
        case Concluded(concluded=concluded):
            return Result(End.CONCLUDED, concluded.outcome, concluded.because)
        case Escalated():
            last = next(event for event in reversed(events) if isinstance(event, ReviewEscalated))
            return Result(End.ESCALATED, None, last.reason)
        case Withdrawn(withdrawn=withdrawn):
            return Result(End.WITHDRAWN, None, withdrawn.reason)
        case Open(ballot=ballot):
            return Result(End.UNDECIDED, None, _awaited(ballot))
        case Submitted():
            return Result(End.UNDECIDED, None, "It awaits figures.")
        case NotDrafted() | Draft():
            return Result(End.UNDECIDED, None, "It was not submitted.")
        case _:
            assert_never(state)


def _awaited(ballot: Ballot) -> str:
    """Why an open review has no outcome yet."""
    silent = [seat for seat in seats(ballot) if seat.person not in ballot.votes]
    if len(ballot.votes) < needed(ballot):
        return f"It is not decided: {needed(ballot)} votes are needed, and {len(ballot.votes)} count."
    if any(seat.veto for seat in silent):
        return "It is not decided: a holder of a veto has not voted."
    return f"It is not decided: the votes that {len(silent)} have not cast could still turn it."
