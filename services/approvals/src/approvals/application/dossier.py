"""The dossier of a decision: all that the ledger says of it, each statement with the event that says so.

It is made of recorded events alone, and holds no names: the same ledger gives the same dossier, also once a person was
erased.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from hashlib import sha256
from typing import Any, Final, TypeAlias, assert_never
from uuid import UUID

from approvals.domain.review import (
    REVIEW,
    Ballot,
    Concluded,
    Draft,
    Escalated,
    NotDrafted,
    Open,
    Review,
    Submitted,
    Withdrawn,
)
from govevents.approvals import (
    AtTimeLimit,
    Authority,
    BodyFormed,
    Breach,
    Choice,
    Condition,
    ConditionClosed,
    ConditionLapsed,
    ConditionOf,
    ConditionReminded,
    ConditionWaived,
    DecisionRecorded,
    DelegationGranted,
    DelegationRevoked,
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
    Quorum,
    ReviewConcluded,
    ReviewDrafted,
    ReviewEscalated,
    ReviewKind,
    ReviewOpened,
    ReviewReferred,
    ReviewReminded,
    ReviewRequested,
    ReviewSubmitted,
    ReviewWithdrawn,
    Rule,
    Seen,
    Tally,
    VoteCast,
    VoteMarked,
    VoterRecused,
)
from govevents.document import Origin, canonical
from govevents.document import Recorded as RecordedEvent
from govkernel.domain import BodyId, Code, Money, Name, PersonId, PortfolioId, ProjectId, ReviewId, Source, SubjectId

Recorded: TypeAlias = RecordedEvent[Any]

HIGHEST_VERSION: Final = 2**31 - 1
HOW_TO_CHECK: Final = (
    "Each event is one document, kept as the bytes that were written. The SHA-256 of those bytes is its hash, and "
    "every event of a stream but the first names the hash of the one before it: whoever has the bytes computes the "
    "hashes and compares them with this list, first to last, up to the head. `gov events show <stream>` does "
    "so in the ledger, and the topic gov.approvals.events.v1 keeps the same bytes outside of it. What somebody says to "
    "have seen is verified where this ledger has that very hash at that place."
)
NOT_COVERED: Final = (
    "What the project did next is not in this ledger and not said here. Figures are measured by projections, and what "
    "is reviewed may lie in the ledger of projects: their hashes are stated as they were given, and checked there."
)


@dataclass(frozen=True, slots=True)
class Record:
    """The event that a statement rests on: its identity `<stream>@<version>`, and the SHA-256 of its document.

    `time` is when the organisation knew it, `recorded_at` when it was written down; `actor` is an account or
    `service:<name>`; `previous` is the hash that it chains to, None for a stream's first.
    """

    event: str
    type: str
    time: datetime
    recorded_at: datetime
    actor: str
    origin: Origin
    hash: str
    previous: str | None


@dataclass(frozen=True, slots=True)
class Sight:
    """A document that somebody relied on.

    `verified` says whether this ledger has that very hash at that place, None where the stream is not in this ledger;
    `type` is known where it has.
    """

    stream: Code
    version: int
    hash: str
    type: str | None
    verified: bool | None


@dataclass(frozen=True, slots=True)
class Request:
    """Who asked that there be a review, and why."""

    requester: SubjectId
    reason: str
    record: Record


@dataclass(frozen=True, slots=True)
class Asked:
    """What was asked."""

    question: str
    kind: ReviewKind
    gate: Code | None
    project: ProjectId
    portfolio: PortfolioId
    about: Sight | None
    waives: ConditionOf | None
    value: Money | None
    requested: UUID | None
    request: Request | None
    record: Record


@dataclass(frozen=True, slots=True)
class Proposal:
    """What was proposed, by whom and on which terms. `tied` are all who have a duty towards the project."""

    proposed: Outcome
    failed_outcome: Outcome
    submitter: SubjectId
    value: Money | None
    rule: Rule
    threshold: Decimal | None
    quorum: Quorum
    submitted_at: datetime
    closes_at: datetime | None
    at_time_limit: AtTimeLimit | None
    reminders: tuple[datetime, ...]
    time_zone: Code
    tied: tuple[Exclusion, ...]
    open_conditions: tuple[ConditionOf, ...]
    breaches: tuple[Breach, ...]
    record: Record


@dataclass(frozen=True, slots=True)
class EvidenceListed:
    """All the evidence from an event on, and how it differs from what there was before."""

    evidence: tuple[Evidence, ...]
    added: tuple[Evidence, ...]
    removed: tuple[Evidence, ...]
    remark: str | None
    record: Record


@dataclass(frozen=True, slots=True)
class PolicyUsed:
    """The edition of the policy that the review was opened under, None where this ledger lacks that very document."""

    seen: Sight
    number: int
    edition: GatePolicyPublished | None
    record: Record | None


@dataclass(frozen=True, slots=True)
class Readiness:
    """What was found of readiness by an event, and the figures that it rests on."""

    ready: bool
    findings: tuple[Finding, ...]
    measures: tuple[Measure, ...]
    record: Record


@dataclass(frozen=True, slots=True)
class Voters:
    """Who could vote from an event on and by what authority, and who was kept out and why.

    `reason` is why the question came to them, None for the first.
    """

    body: BodyId | None
    body_name: Name | None
    electorate: tuple[Elector, ...]
    excluded: tuple[Exclusion, ...]
    closes_at: datetime | None
    reason: str | None
    record: Record


class Standing(Enum):
    """What became of a vote."""

    STANDS = "stands"
    REPLACED = "replaced"
    SET_ASIDE = "set_aside"


@dataclass(frozen=True, slots=True)
class Mark:
    """That the delegation of a vote was revoked after it was cast."""

    reason: str
    record: Record


@dataclass(frozen=True, slots=True)
class Vote:
    """What somebody said for a seat, having seen what, and what became of it; `ended_by` is the event that ended it."""

    number: int
    voter: SubjectId
    person: PersonId
    seat: PersonId
    authority: Authority
    delegation: Sight | None
    choice: Choice
    conditions: tuple[Condition, ...]
    reason: str
    seen: tuple[Sight, ...]
    standing: Standing
    ended_by: str | None
    mark: Mark | None
    record: Record


@dataclass(frozen=True, slots=True)
class Recusal:
    """That somebody kept out, and why."""

    person: PersonId
    recused_by: SubjectId
    reason: str
    record: Record


@dataclass(frozen=True, slots=True)
class Revocation:
    """That a delegation was taken back."""

    revoked_by: SubjectId
    reason: str
    record: Record


@dataclass(frozen=True, slots=True)
class DelegationUsed:
    """A delegation that votes relied on, at that very version; `revoked` is None while it was not taken back."""

    seen: Sight
    granted: DelegationGranted | None
    granted_record: Record | None
    revoked: Revocation | None
    votes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Answer:
    """What a question was answered."""

    answerer: SubjectId
    text: str
    record: Record


@dataclass(frozen=True, slots=True)
class Question:
    """What a voter asked on record."""

    number: int
    asker: SubjectId
    text: str
    answer: Answer | None
    record: Record


@dataclass(frozen=True, slots=True)
class Reminder:
    """Who was reminded that time ran out."""

    recipients: tuple[SubjectId, ...]
    closes_at: datetime
    record: Record


@dataclass(frozen=True, slots=True)
class Escalation:
    """That the voters could not decide; `to` is the body that the policy names, None where it names none."""

    reason: str
    to: BodyId | None
    record: Record


@dataclass(frozen=True, slots=True)
class Decided:
    """The outcome and why; `after_the_fact` marks a decision on what had begun by stealth."""

    outcome: Outcome
    ending: Ending
    because: str
    tally: Tally
    body: BodyId | None
    body_name: Name | None
    after_the_fact: bool
    breaches: tuple[Breach, ...]
    record: Record


@dataclass(frozen=True, slots=True)
class Ended:
    """That the review ended without an outcome."""

    reason: str
    record: Record


@dataclass(frozen=True, slots=True)
class Met:
    """What showed that a condition is met."""

    evidence: tuple[Evidence, ...]
    remark: str
    record: Record


@dataclass(frozen=True, slots=True)
class Waived:
    """The decision that waived a condition; what it came to and why is None where this ledger lacks it."""

    decision: Sight
    outcome: Outcome | None
    because: str | None
    remark: str
    record: Record


@dataclass(frozen=True, slots=True)
class Lapse:
    """That a condition's day was over, and what followed."""

    then: OnLapse
    escalated_to: BodyId | None
    record: Record


@dataclass(frozen=True, slots=True)
class ConditionSet:
    """A condition of the outcome, counted from 1, and how it turned out; it is open while neither met nor waived."""

    number: int
    condition: Condition
    met: Met | None
    waived: Waived | None
    lapsed: Lapse | None
    reminded: tuple[Record, ...]


@dataclass(frozen=True, slots=True)
class Dossier:
    """All that the ledger says of a review; `decided` is false where it has no outcome (yet), and parts are missing.

    `events` are all events of the review, and `head` is the hash of the last.
    """

    review: ReviewId
    state: str
    decided: bool
    asked: Asked
    proposal: Proposal | None
    evidence: tuple[EvidenceListed, ...]
    policy: PolicyUsed | None
    readiness: tuple[Readiness, ...]
    voters: tuple[Voters, ...]
    recusals: tuple[Recusal, ...]
    votes: tuple[Vote, ...]
    delegations: tuple[DelegationUsed, ...]
    questions: tuple[Question, ...]
    reminders: tuple[Reminder, ...]
    escalations: tuple[Escalation, ...]
    outcome: Decided | None
    withdrawn: Ended | None
    conditions: tuple[ConditionSet, ...]
    events: tuple[Record, ...]
    head: str
    how_to_check: str
    not_covered: str


@dataclass(frozen=True, slots=True)
class ImportedDossier:
    """All that the ledger says of a decision that was made elsewhere: what its source says. Nobody voted on it here."""

    decision: UUID
    project: ProjectId
    portfolio: PortfolioId
    kind: ReviewKind
    gate: Code | None
    decided_on: date
    body_name: Name | None
    outcome: Outcome | None
    source: Source
    record: Record
    events: tuple[Record, ...]
    head: str
    how_to_check: str
    not_covered: str


@dataclass(frozen=True, slots=True)
class References:
    """What else of this ledger a dossier needs: documents at places, as (stream, version), and whole streams."""

    places: frozenset[tuple[UUID, int]]
    streams: frozenset[UUID]


@dataclass(frozen=True, slots=True)
class Referred:
    """What was found of it: the documents by `<stream>@<version>`, and which of the streams there are at all."""

    documents: Mapping[str, Recorded]
    streams: frozenset[UUID]


def references(review: Sequence[Recorded]) -> References:
    """What the dossier of a review refers to."""
    places: list[Seen] = []
    streams: set[UUID] = set()
    bodies: set[UUID] = set()
    for one in review:
        match one.event:
            case ReviewDrafted(about=about, requested=requested):
                places += [about] if about else []
                streams |= {requested} if requested else set()
            case ReviewSubmitted(policy=policy, body=body, escalation=escalation):
                places.append(policy)
                bodies |= {each for each in (body, escalation.body if escalation else None) if each}
            case VoteCast(seen=seen, delegation=delegation):
                places += seen
                if delegation:
                    places.append(delegation)
                    streams |= {stream for stream in (_id(delegation.stream),) if stream}
            case ReviewReferred(to=Panel(body=body)) | ReviewEscalated(to=Panel(body=body)):
                bodies |= {body} if body else set()
            case ConditionWaived(decision=decision):
                places.append(decision)
            case _:
                pass
    named = {
        (stream, seen.version)
        for seen in places
        # What somebody claims to have seen can be any number, and a stream's versions are counted from 1.
        if (stream := _id(seen.stream)) and 0 < seen.version <= HIGHEST_VERSION
    }
    return References(frozenset({*named, *((body, 1) for body in bodies)}), frozenset(streams))


def dossier_of(review: Sequence[Recorded], referred: Referred) -> Dossier:
    """The dossier of a review that was drafted, from its events and what they refer to."""
    return _Composer(review, referred).dossier()


def imported_dossier_of(decision: Sequence[Recorded]) -> ImportedDossier:
    """The dossier of a decision that was made elsewhere, from its event."""
    (recorded,) = decision
    said: DecisionRecorded = recorded.event
    record = record_of(recorded)
    return ImportedDossier(
        decision=recorded.envelope.stream,
        project=said.project,
        portfolio=said.portfolio,
        kind=said.kind,
        gate=said.gate,
        decided_on=said.decided_on,
        body_name=said.body_name,
        outcome=said.outcome,
        source=said.source,
        record=record,
        events=(record,),
        head=record.hash,
        how_to_check=HOW_TO_CHECK,
        not_covered=NOT_COVERED,
    )


def digest_of(dossier: Dossier | ImportedDossier) -> str:
    """The SHA-256 of a dossier's canonical JSON (RFC 8785): two are the same where this is."""
    return sha256(canonical(dossier)).hexdigest()


def record_of(recorded: Recorded) -> Record:
    """An event as what a statement rests on."""
    envelope = recorded.envelope
    return Record(
        event=recorded.id,
        type=envelope.type,
        time=envelope.time,
        recorded_at=envelope.recordedtime,
        actor=envelope.actor,
        origin=envelope.origin,
        hash=recorded.hash.hex(),
        previous=envelope.prevhash,
    )


def others_in(dossier: Dossier) -> tuple[Record, ...]:
    """The events of other streams that a dossier's statements rest on."""
    found = [
        dossier.asked.request.record if dossier.asked.request else None,
        dossier.policy.record if dossier.policy else None,
        *(used.granted_record for used in dossier.delegations),
        *(used.revoked.record if used.revoked else None for used in dossier.delegations),
    ]
    return tuple({record.event: record for record in found if record is not None}.values())


def accounts_in(dossier: Dossier | ImportedDossier) -> frozenset[SubjectId]:
    """Every account that a dossier speaks of."""
    found = [_id(record.actor) for record in dossier.events]
    if isinstance(dossier, Dossier):
        found += [_id(record.actor) for record in others_in(dossier)]
        seats = [seat for voters in dossier.voters for seat in voters.electorate]
        conditions = [each.condition for each in dossier.conditions]
        conditions += [each for vote in dossier.votes for each in vote.conditions]
        edition = dossier.policy.edition if dossier.policy else None
        found += [
            *([dossier.proposal.submitter] if dossier.proposal else []),
            *([dossier.asked.request.requester] if dossier.asked.request else []),
            *(seat.subject for seat in seats),
            *(alternate.subject for seat in seats for alternate in seat.alternates),
            *(vote.voter for vote in dossier.votes),
            *(condition.owner for condition in conditions),
            *(recusal.recused_by for recusal in dossier.recusals),
            *(question.asker for question in dossier.questions),
            *(question.answer.answerer for question in dossier.questions if question.answer),
            *(recipient for reminder in dossier.reminders for recipient in reminder.recipients),
            *(used.granted.delegator for used in dossier.delegations if used.granted),
            *(used.granted.delegate for used in dossier.delegations if used.granted),
            *(used.revoked.revoked_by for used in dossier.delegations if used.revoked),
            *((*edition.electorate.people, *edition.veto) if edition else ()),
        ]
    return frozenset(SubjectId(each) for each in found if each is not None)


def persons_in(dossier: Dossier) -> frozenset[PersonId]:
    """Every natural person that a dossier speaks of."""
    seats = [seat for voters in dossier.voters for seat in voters.electorate]
    return frozenset(
        [
            *(seat.person for seat in seats),
            *(alternate.person for seat in seats for alternate in seat.alternates),
            *(exclusion.person for voters in dossier.voters for exclusion in voters.excluded),
            *((tie.person for tie in dossier.proposal.tied) if dossier.proposal else ()),
            *(person for vote in dossier.votes for person in (vote.person, vote.seat)),
            *(recusal.person for recusal in dossier.recusals),
        ]
    )


def _id(text: str) -> UUID | None:
    """The id that a text is, None where it is none."""
    try:
        return UUID(text)
    except ValueError:
        return None


class _Composer:
    """Goes through a review's events once and writes down what each says."""

    def __init__(self, review: Sequence[Recorded], referred: Referred) -> None:
        self.recorded = review
        self.own = {one.id: one for one in review}
        self.referred = referred
        self.asked: Asked | None = None
        self.proposal: Proposal | None = None
        self.policy: PolicyUsed | None = None
        self.evidence: list[EvidenceListed] = []
        self.readiness: list[Readiness] = []
        self.measures: tuple[Measure, ...] = ()
        self.voters: list[Voters] = []
        self.recusals: list[Recusal] = []
        self.votes: dict[str, Vote] = {}
        self.questions: list[Question] = []
        self.reminders: list[Reminder] = []
        self.escalations: list[Escalation] = []
        self.outcome: Decided | None = None
        self.withdrawn: Ended | None = None
        self.conditions: list[ConditionSet] = []

    def dossier(self) -> Dossier:
        state: Review = REVIEW.initial
        standing: dict[PersonId, str] = {}
        for one in self.recorded:
            state = REVIEW.evolve(state, one.event)
            self._note(one, record_of(one))
            standing = self._follow(one, standing, _ballot(state))
        assert self.asked is not None, "a stream that exists was drafted"
        return Dossier(
            review=ReviewId(self.recorded[0].envelope.stream),
            state=type(state).__name__.lower(),
            decided=self.outcome is not None,
            asked=self.asked,
            proposal=self.proposal,
            evidence=tuple(self.evidence),
            policy=self.policy,
            readiness=tuple(self.readiness),
            voters=tuple(self.voters),
            recusals=tuple(self.recusals),
            votes=tuple(self.votes.values()),
            delegations=tuple(self._delegations()),
            questions=tuple(self.questions),
            reminders=tuple(self.reminders),
            escalations=tuple(self.escalations),
            outcome=self.outcome,
            withdrawn=self.withdrawn,
            conditions=tuple(self.conditions),
            events=tuple(record_of(one) for one in self.recorded),
            head=self.recorded[-1].hash.hex(),
            how_to_check=HOW_TO_CHECK,
            not_covered=NOT_COVERED,
        )

    def _follow(self, one: Recorded, standing: dict[PersonId, str], ballot: Ballot | None) -> dict[PersonId, str]:
        """Which vote stands for each seat after an event, as the review itself counts; those that ended say by what."""
        cast = {one.event.seat: one.id} if isinstance(one.event, VoteCast) else {}
        now = {seat: cast.get(seat) or standing[seat] for seat in (ballot.votes if ballot else ())}
        for seat, vote in standing.items():
            if now.get(seat) != vote:
                ended = Standing.REPLACED if seat in cast else Standing.SET_ASIDE
                self.votes[vote] = replace(self.votes[vote], standing=ended, ended_by=one.id)
        return now

    def _note(self, one: Recorded, record: Record) -> None:
        match one.event:
            case ReviewDrafted() as drafted:
                self.asked = self._asked(drafted, record)
                self._list(drafted.evidence, None, record)
            case ReviewSubmitted() as submitted:
                self._submitted(submitted, record)
            case MeasureNoted(measure=measure):
                self.measures = (*self.measures, measure)
            case ReviewOpened(measures=measures, findings=findings, ready=ready):
                self.measures = measures
                self.readiness.append(Readiness(ready, findings, measures, record))
            case EvidenceChanged(evidence=evidence, findings=findings, ready=ready, remark=remark):
                self._list(evidence, remark, record)
                self.readiness.append(Readiness(ready, findings, self.measures, record))
            case VoteCast() as cast:
                self.votes[one.id] = self._vote(cast, record)
            case VoterRecused(person=person, recused_by=recused_by, reason=reason):
                self.recusals.append(Recusal(person, recused_by, reason, record))
            case VoteMarked(seat=seat, voter=voter, delegation=delegation, reason=reason):
                self._mark(seat, voter, delegation, Mark(reason, record))
            case QuestionAsked(number=number, asker=asker, text=text):
                self.questions.append(Question(number, asker, text, None, record))
            case QuestionAnswered(number=number, answerer=answerer, text=text):
                answer = Answer(answerer, text, record)
                self.questions[number - 1] = replace(self.questions[number - 1], answer=answer)
            case ReviewReminded(recipients=recipients, closes_at=closes_at):
                self.reminders.append(Reminder(recipients, closes_at, record))
            case ReviewConcluded() as concluded:
                self.outcome = self._decided(concluded, record)
                for number, condition in enumerate(concluded.conditions, start=1):
                    self.conditions.append(ConditionSet(number, condition, None, None, None, ()))
            case ReviewEscalated(reason=reason, to=to, closes_at=closes_at):
                self.escalations.append(Escalation(reason, to.body if to else None, record))
                if to is not None:
                    self._before(to, closes_at, reason, record)
            case ReviewReferred(to=to, closes_at=closes_at, reason=reason):
                self._before(to, closes_at, reason, record)
            case ReviewWithdrawn(reason=reason):
                self.withdrawn = Ended(reason, record)
            case ConditionClosed(condition=number, evidence=evidence, remark=remark):
                self._of_condition(number, met=Met(evidence, remark, record))
            case ConditionWaived(condition=number, decision=decision, remark=remark):
                self._of_condition(number, waived=self._waived(decision, remark, record))
            case ConditionReminded(condition=number):
                self._of_condition(number, reminded=(*self.conditions[number - 1].reminded, record))
            case ConditionLapsed(condition=number, then=then, escalated_to=escalated_to):
                self._of_condition(number, lapsed=Lapse(then, escalated_to, record))
            case _:
                raise AssertionError(f"{one.id}: not an event of a review")

    def _asked(self, drafted: ReviewDrafted, record: Record) -> Asked:
        found = self.referred.documents.get(f"{drafted.requested}@1")
        request = None
        if found is not None and isinstance(found.event, ReviewRequested):
            request = Request(found.event.requester, found.event.reason, record_of(found))
        return Asked(
            question=drafted.question,
            kind=drafted.kind,
            gate=drafted.gate,
            project=drafted.project,
            portfolio=drafted.portfolio,
            about=self._sight(drafted.about) if drafted.about else None,
            waives=drafted.waives,
            value=drafted.value,
            requested=drafted.requested,
            request=request,
            record=record,
        )

    def _submitted(self, submitted: ReviewSubmitted, record: Record) -> None:
        self.proposal = Proposal(
            proposed=submitted.proposed,
            failed_outcome=submitted.failed_outcome,
            submitter=submitted.submitter,
            value=submitted.value,
            rule=submitted.rule,
            threshold=submitted.threshold,
            quorum=submitted.quorum,
            submitted_at=submitted.submitted_at,
            closes_at=submitted.closes_at,
            at_time_limit=submitted.at_time_limit,
            reminders=submitted.reminders,
            time_zone=submitted.time_zone,
            tied=submitted.tied,
            open_conditions=submitted.open_conditions,
            breaches=submitted.breaches,
            record=record,
        )
        seen = self._sight(submitted.policy)
        policy = self._found(submitted.policy) if seen.verified else None
        edition = policy.event if policy and isinstance(policy.event, GatePolicyPublished) else None
        self.policy = PolicyUsed(seen, submitted.policy_number, edition, record_of(policy) if policy else None)
        self._list(submitted.evidence, None, record)
        self.readiness.append(Readiness(submitted.ready, submitted.findings, (), record))
        first = Panel(submitted.body, submitted.electorate, submitted.excluded)
        self._before(first, submitted.closes_at, None, record)

    def _list(self, evidence: tuple[Evidence, ...], remark: str | None, record: Record) -> None:
        before = self.evidence[-1].evidence if self.evidence else ()
        added = tuple(each for each in evidence if each not in before)
        removed = tuple(each for each in before if each not in evidence)
        self.evidence.append(EvidenceListed(evidence, added, removed, remark, record))

    def _before(self, panel: Panel, closes_at: datetime | None, reason: str | None, record: Record) -> None:
        name = self._name_of(panel.body)
        self.voters.append(Voters(panel.body, name, panel.electorate, panel.excluded, closes_at, reason, record))

    def _name_of(self, body: BodyId | None) -> Name | None:
        formed = self.referred.documents.get(f"{body}@1")
        return formed.event.name if formed is not None and isinstance(formed.event, BodyFormed) else None

    def _vote(self, cast: VoteCast, record: Record) -> Vote:
        return Vote(
            number=len(self.votes) + 1,
            voter=cast.voter,
            person=cast.person,
            seat=cast.seat,
            authority=cast.authority,
            delegation=self._sight(cast.delegation) if cast.delegation else None,
            choice=cast.choice,
            conditions=cast.conditions,
            reason=cast.reason,
            seen=tuple(self._sight(each) for each in cast.seen),
            standing=Standing.STANDS,
            ended_by=None,
            mark=None,
            record=record,
        )

    def _mark(self, seat: PersonId, voter: SubjectId, delegation: UUID, mark: Mark) -> None:
        """Mark the vote that stands for a seat under this delegation."""
        for event, vote in self.votes.items():
            under = _id(vote.delegation.stream) if vote.delegation else None
            if (vote.seat, vote.voter, under, vote.standing) == (seat, voter, delegation, Standing.STANDS):
                self.votes[event] = replace(vote, mark=mark)

    def _decided(self, concluded: ReviewConcluded, record: Record) -> Decided:
        return Decided(
            outcome=concluded.outcome,
            ending=concluded.ending,
            because=concluded.because,
            tally=concluded.tally,
            body=concluded.body,
            body_name=self._name_of(concluded.body),
            after_the_fact=bool(concluded.breaches),
            breaches=concluded.breaches,
            record=record,
        )

    def _of_condition(self, number: int, **turned_out: Any) -> None:
        self.conditions[number - 1] = replace(self.conditions[number - 1], **turned_out)

    def _waived(self, decision: Seen, remark: str, record: Record) -> Waived:
        sight = self._sight(decision)
        found = self._found(decision) if sight.verified else None
        decided = found.event if found and isinstance(found.event, ReviewConcluded) else None
        return Waived(
            decision=sight,
            outcome=decided.outcome if decided else None,
            because=decided.because if decided else None,
            remark=remark,
            record=record,
        )

    def _delegations(self) -> Iterable[DelegationUsed]:
        relied_on: dict[Sight, list[str]] = {}
        for event, vote in self.votes.items():
            if vote.delegation is not None:
                relied_on.setdefault(vote.delegation, []).append(event)
        for sight, votes in relied_on.items():
            granted = self.referred.documents.get(f"{sight.stream}@1")
            of_stream = [one for one in self.referred.documents.values() if str(one.envelope.stream) == sight.stream]
            revoked = next((one for one in of_stream if isinstance(one.event, DelegationRevoked)), None)
            yield DelegationUsed(
                seen=sight,
                granted=granted.event if granted and isinstance(granted.event, DelegationGranted) else None,
                granted_record=record_of(granted) if granted else None,
                revoked=Revocation(revoked.event.revoked_by, revoked.event.reason, record_of(revoked))
                if revoked
                else None,
                votes=tuple(votes),
            )

    def _found(self, seen: Seen) -> Recorded | None:
        place = f"{seen.stream}@{seen.version}"
        return self.own.get(place) or self.referred.documents.get(place)

    def _sight(self, seen: Seen) -> Sight:
        found = self._found(seen)
        if found is not None:
            # What lies elsewhere is told only to those who knew it: a hash can't be guessed.
            verified = found.hash.hex() == seen.hash
            return Sight(seen.stream, seen.version, seen.hash, found.envelope.type if verified else None, verified)
        stream = _id(seen.stream)
        here = stream is not None and (stream in self.referred.streams or stream == self.recorded[0].envelope.stream)
        return Sight(seen.stream, seen.version, seen.hash, None, False if here else None)


def _ballot(state: Review) -> Ballot | None:
    match state:
        case NotDrafted() | Draft():
            return None
        case Submitted(ballot=ballot) | Open(ballot=ballot) | Concluded(ballot=ballot) | Escalated(ballot=ballot):
            return ballot
        case Withdrawn(ballot=withdrawn):
            return withdrawn
        case _:
            assert_never(state)
