"""What has happened in approvals: who may decide what, what was asked, who voted, what came of it."""

from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from typing import Any, Final
from uuid import UUID

from govevents.event import event
from govevents.values import (
    BodyId,
    Code,
    Money,
    Name,
    NodeId,
    PersonId,
    PortfolioId,
    ProjectId,
    ReviewId,
    Sha256,
    Source,
    SubjectId,
    Text,
    value,
)


class Role(Enum):
    """What a subject is to a node of the portfolio."""

    ADMINISTRATOR = "administrator"
    PMO = "pmo"
    PROJECT_MANAGER = "project_manager"
    SPONSOR = "sponsor"
    APPROVER = "approver"
    CONTRIBUTOR = "contributor"
    VIEWER = "viewer"
    AUDITOR = "auditor"


class ReviewKind(Enum):
    """What a review is about."""

    GATE = "gate"
    BASELINE = "baseline"
    CHANGE = "change"
    BUDGET = "budget"
    RISK_ACCEPTANCE = "risk_acceptance"
    METHODOLOGY_DEVIATION = "methodology_deviation"
    CLOSURE = "closure"


class Outcome(Enum):
    """What a review has decided."""

    GO = "go"
    CONDITIONAL_GO = "conditional_go"
    HOLD = "hold"
    RECYCLE = "recycle"
    KILL = "kill"


class Choice(Enum):
    """What a voter says to the proposed outcome."""

    APPROVE = "approve"
    APPROVE_WITH_CONDITIONS = "approve_with_conditions"
    REJECT = "reject"
    RETURN = "return"
    ABSTAIN = "abstain"


class Rule(Enum):
    """How votes make a decision, once the quorum is met."""

    MAJORITY = "majority"
    THRESHOLD = "threshold"
    CONSENSUS = "consensus"


class AtTimeLimit(Enum):
    """What follows when a review's time limit is reached without a decision."""

    LAPSE = "lapse"
    ESCALATE = "escalate"


class OnLapse(Enum):
    """What follows when a condition of a Conditional Go is not met by its day."""

    REMINDER = "reminder"
    ESCALATION = "escalation"
    HOLD = "hold"


class Need(Enum):
    """Whether a criterion must be met, or should be."""

    MUST = "must"
    SHOULD = "should"


class Comparison(Enum):
    """On which side of its threshold a KPI has to lie; the threshold itself is on that side."""

    AT_LEAST = "at_least"
    AT_MOST = "at_most"


class Aspect(Enum):
    """What a finding about a review's readiness is about."""

    DELIVERABLE = "deliverable"
    CRITERION = "criterion"
    CONDITION = "condition"
    BREACH = "breach"


class Met(Enum):
    """Whether what is asked for is there; unknown where a figure is undefined, which is neither."""

    YES = "yes"
    NO = "no"
    UNKNOWN = "unknown"


class Authority(Enum):
    """By what a person speaks for a seat: their own, as its alternate, or because its holder delegated to them."""

    OWN = "own"
    ALTERNATE = "alternate"
    DELEGATE = "delegate"


class Attendance(Enum):
    """Whether someone took part in a meeting."""

    PRESENT = "present"
    REMOTE = "remote"
    APOLOGIES = "apologies"
    ABSENT = "absent"


class Disposition(Enum):
    """What a meeting did with an item of its agenda."""

    DECIDED = "decided"
    LEFT_TO_VOTE = "left_to_vote"
    DEFERRED = "deferred"


class Duty(Enum):
    """What keeps a person from voting on a project."""

    SUBMITTER = "submitter"
    PROJECT_MANAGER = "project_manager"
    SPONSOR = "sponsor"


class Ending(Enum):
    """Why a review concluded when it did."""

    DECIDED = "decided"
    TIME_LIMIT = "time_limit"
    CRITERION = "criterion"


@event("approvals", version=1)
class BodyFormed:
    """A body that decides exists, for a portfolio."""

    portfolio: PortfolioId
    name: Name


@event("approvals", version=2)
class MemberAppointed:
    """A person sits on a body through this account, from the first day to the last, both included.

    `alternate_for` is the member whose seat an alternate takes when that member does not; None for a member. When a
    member is released, their alternates' seats end too.
    """

    member: SubjectId
    person: PersonId
    chair: bool
    alternate_for: SubjectId | None
    first_day: date
    last_day: date | None


@event("approvals", version=1)
class MemberReleased:
    """A member sits on a body no longer."""

    member: SubjectId
    reason: Text


@event("approvals", version=1)
class RoleAssigned:
    """A subject has a role at a node and all below it, from the first day to the last, both included."""

    holder: SubjectId
    person: PersonId
    role: Role
    node: NodeId
    first_day: date
    last_day: date | None


@event("approvals", version=1)
class RoleRevoked:
    """A subject has a role at a node no longer."""

    holder: SubjectId
    role: Role
    node: NodeId
    reason: Text


@value
class ValueBand:
    """Up to which project value a body decides; `upper` None is no limit; `inclusive` says if `upper` itself is in."""

    body: BodyId
    upper: Money | None
    inclusive: bool


@event("approvals", version=1)
class ValueBandsPublished:
    """The table that says whose decision a value is, in rising order; it replaces the table before it."""

    portfolio: PortfolioId
    bands: tuple[ValueBand, ...]
    source: Source | None


@value
class Electorate:
    """Who votes: holders of roles at the project, named people, a body's members, the body of the value's band."""

    roles: tuple[Role, ...]
    people: tuple[SubjectId, ...]
    body: BodyId | None
    by_value_band: bool


@value
class Quorum:
    """How many votes are needed: max(minimum, ceil(share * electorate)), abstentions included; share is 0 to 1."""

    minimum: int
    share: Decimal


@value
class TimeLimit:
    """How many days voters have, what follows when they run out, and how many days before that they are reminded."""

    days: int
    then: AtTimeLimit
    reminder_days: tuple[int, ...] = ()


@value
class KpiThreshold:
    """A KPI as a criterion, as measured when the review was submitted.

    It advises; where `decides`, a figure beyond the threshold fails the review by itself. One that is undefined never
    does.
    """

    kpi: Code
    comparison: Comparison
    threshold: Decimal
    decides: bool


@value
class Criterion:
    """What a project must or should meet: evidence of each of these kinds, a KPI within its threshold, or both.

    `from_value` is the value from which on it is asked for, so that small projects are asked for less; None always.
    """

    code: Code
    text: Text
    need: Need
    evidence_kinds: tuple[Code, ...]
    kpi: KpiThreshold | None = None
    from_value: Money | None = None


@value
class Deliverable:
    """What a project has to deliver before the gate, shown by evidence of this kind; `from_value` as of a criterion."""

    code: Code
    name: Name
    evidence_kind: Code
    from_value: Money | None = None


@value
class ConditionTerms:
    """On which terms voters may set conditions.

    `most` is how many a review may end with, `longest_days` how far after the vote their day may lie, None without
    limit; `lapses` is what may follow when one lapses; `reminder_days` is how many days before its day its owner is
    reminded.
    """

    most: int | None
    longest_days: int | None
    lapses: tuple[OnLapse, ...]
    reminder_days: tuple[int, ...] = ()


@event("approvals", version=2)
class GatePolicyPublished:
    """How a kind of review is decided in a portfolio from now on; `number` counts its editions from 1.

    `gate` names the gate for reviews of gates, None for the other kinds. `threshold` is the share of the electorate
    that must approve under rule threshold. `failed_outcome` is what a review that fails comes to. `escalate_to` is the
    body that decides where the electorate can't. `conditions` None means that none may be set.
    """

    portfolio: PortfolioId
    kind: ReviewKind
    gate: Code | None
    number: int
    electorate: Electorate
    quorum: Quorum
    rule: Rule
    threshold: Decimal | None
    veto: tuple[SubjectId, ...]
    sponsor_may_vote: bool
    time_limit: TimeLimit | None
    failed_outcome: Outcome
    escalate_to: BodyId | None
    deliverables: tuple[Deliverable, ...]
    criteria: tuple[Criterion, ...]
    conditions: ConditionTerms | None


@value
class Evidence:
    """Something that supports a review: its title, where it lies, the SHA-256 of its content, and its kind."""

    title: Name
    uri: Text
    sha256: Sha256
    kind: Code | None = None


@value
class Seen:
    """What lay before a person: a stream at a version, with that document's hash."""

    stream: Code
    version: int
    hash: Sha256


@value
class Alternate:
    """Someone who may speak for a seat while its holder does not."""

    subject: SubjectId
    person: PersonId


@value
class Elector:
    """A seat among those who vote: its holder, and why: the authority in words, such as `member of Executive Board`."""

    subject: SubjectId
    person: PersonId
    authority: Text
    veto: bool
    alternates: tuple[Alternate, ...] = ()


@value
class Exclusion:
    """Someone who may not vote whatever their authority, because of what they are to the project."""

    person: PersonId
    duty: Duty


@value
class Panel:
    """Who votes: one seat for each natural person; `body` is the body they form, None where they form none.

    `excluded` may not, whatever their authority.
    """

    body: BodyId | None
    electorate: tuple[Elector, ...]
    excluded: tuple[Exclusion, ...]


@value
class Condition:
    """What must still be done after a Conditional Go: by whom, until when (in the portfolio's days), shown by what.

    `on_lapse` follows when it is not met by then. `lapses_at` is when its day is over, None for conditions that were
    set before conditions lapsed; `reminders` is when its owner is reminded.
    """

    text: Text
    owner: SubjectId
    due: date
    shown_by: Text
    on_lapse: OnLapse
    lapses_at: datetime | None
    reminders: tuple[datetime, ...] = ()


@value
class ConditionOf:
    """A condition of a review's outcome, counted from 1."""

    review: ReviewId
    condition: int


@value
class Breach:
    """Work in a phase had begun on a day when the gate before it had not said so."""

    phase: Code
    gate: Code
    began_on: date


@value
class Measure:
    """A KPI as it was measured for a review: `measured` is the event that says so.

    `value` None is undefined, for the reason given; nothing measured in time is undefined, too, and has no event.
    """

    kpi: Code
    value: Decimal | None
    unit: Code | None
    undefined_because: Text | None
    measured: Seen | None


@value
class Finding:
    """What was found about one thing that a review's readiness rests on, and why."""

    aspect: Aspect
    code: Code
    need: Need
    met: Met
    because: Text


@event("approvals", version=2)
class ReviewDrafted:
    """A review is being prepared.

    `about` is the very version of what is reviewed, where that is a stream of its own: a baseline, a change request, a
    risk. `waives` is the condition that a Go waives. `value` is what is at stake, where that isn't the project's value.
    `requested` is the request that the review answers.
    """

    project: ProjectId
    portfolio: PortfolioId
    kind: ReviewKind
    gate: Code | None
    question: Text
    evidence: tuple[Evidence, ...]
    about: Seen | None
    waives: ConditionOf | None
    value: Money | None
    requested: UUID | None


@event("approvals", version=2)
class ReviewSubmitted:
    """A review is asked: these people may vote on this proposed outcome, under this edition of the policy.

    It is open once the KPIs that it `awaits` are measured, or at `measured_by` whether they are or not; at once where
    it awaits none. `quorum` says how many votes are needed of those who are not recused, `votes_needed` how many that
    is now. `escalation` decides where the electorate can't. `value` is what is at stake. `deliverables` and `criteria`
    are those that the policy asks for at this value, `open_conditions` what earlier reviews left open, `breaches` what
    had begun by stealth; `findings` is what that came to on submission. `tied` are all who have a duty towards the
    project, also those whom the policy lets vote: they speak for nobody else. Days are those of `time_zone`.
    """

    project: ProjectId
    submitter: SubjectId
    proposed: Outcome
    policy: Seen
    policy_number: int
    electorate: tuple[Elector, ...]
    excluded: tuple[Exclusion, ...]
    tied: tuple[Exclusion, ...]
    quorum: Quorum
    votes_needed: int
    rule: Rule
    threshold: Decimal | None
    failed_outcome: Outcome
    body: BodyId | None
    escalation: Panel | None
    evidence: tuple[Evidence, ...]
    value: Money | None
    deliverables: tuple[Deliverable, ...]
    criteria: tuple[Criterion, ...]
    conditions: ConditionTerms | None
    open_conditions: tuple[ConditionOf, ...]
    breaches: tuple[Breach, ...]
    findings: tuple[Finding, ...]
    ready: bool
    awaits: tuple[Code, ...]
    measured_by: datetime | None
    submitted_at: datetime
    closes_at: datetime | None
    at_time_limit: AtTimeLimit | None
    reminders: tuple[datetime, ...]
    time_zone: Code


@event("approvals", version=1)
class MeasureNoted:
    """A KPI that a review awaits is measured."""

    project: ProjectId
    measure: Measure


@event("approvals", version=1)
class ReviewOpened:
    """A review takes votes from now on: what it awaited is measured, or its time is over; `ready` is what was found."""

    project: ProjectId
    measures: tuple[Measure, ...]
    findings: tuple[Finding, ...]
    ready: bool


@event("approvals", version=1)
class EvidenceChanged:
    """What supports an open review is another now, so everyone is asked again: votes cast before count no longer."""

    project: ProjectId
    changed_by: SubjectId
    evidence: tuple[Evidence, ...]
    findings: tuple[Finding, ...]
    ready: bool
    remark: Text


@event("approvals", version=2)
class VoteCast:
    """A person has spoken for a seat in an open review; a later vote for the same seat replaces this one.

    `seat` is the person whose seat it is, `person` who spoke for it, and `authority` by what; `delegation` is the very
    version of the delegation that a delegate relied on. `seen` is what lay before the voter.
    """

    project: ProjectId
    voter: SubjectId
    person: PersonId
    seat: PersonId
    authority: Authority
    delegation: Seen | None
    choice: Choice
    conditions: tuple[Condition, ...]
    seen: tuple[Seen, ...]
    reason: Text


@event("approvals", version=1)
class VoterRecused:
    """Someone who might have voted in a review does not, for this reason; a vote of theirs counts no longer."""

    project: ProjectId
    person: PersonId
    recused_by: SubjectId
    reason: Text


@event("approvals", version=1)
class VoteMarked:
    """The delegation under which this vote was cast was revoked afterwards; the vote stands, with this beside it."""

    project: ProjectId
    seat: PersonId
    voter: SubjectId
    delegation: UUID
    reason: Text


@event("approvals", version=1)
class QuestionAsked:
    """Someone who may vote asks the submitter, on record; questions of a review are counted from 1."""

    project: ProjectId
    number: int
    asker: SubjectId
    text: Text


@event("approvals", version=1)
class QuestionAnswered:
    """A question has its answer, which voters have before them from now on."""

    project: ProjectId
    number: int
    answerer: SubjectId
    text: Text


@event("approvals", version=1)
class ReviewReminded:
    """Those who have not spoken yet are reminded that a review's time runs out."""

    project: ProjectId
    recipients: tuple[SubjectId, ...]
    closes_at: datetime


@value
class Tally:
    """How many of the electorate said what when a review concluded; the recused are not among the electorate."""

    electorate: int
    votes_needed: int
    approve: int
    approve_with_conditions: int
    reject: int
    returned: int
    abstain: int
    recused: int


@event("approvals", version=2)
class ReviewConcluded:
    """A review has its outcome. It has one only, and it came from votes cast here, or from a criterion that decides.

    `because` says in words why it came out so. `breaches` had begun by stealth before the decision was made.
    """

    project: ProjectId
    portfolio: PortfolioId
    kind: ReviewKind
    gate: Code | None
    about: Seen | None
    waives: ConditionOf | None
    outcome: Outcome
    ending: Ending
    because: Text
    tally: Tally
    conditions: tuple[Condition, ...]
    breaches: tuple[Breach, ...]
    body: BodyId | None
    submitted_at: datetime


@event("approvals", version=2)
class ReviewEscalated:
    """A review could not be decided by its electorate: `to` decides now, until `closes_at`.

    `to` None means that nobody above is named: it waits until it is referred to a body.
    """

    project: ProjectId
    reason: Text
    to: Panel | None
    closes_at: datetime | None
    reminders: tuple[datetime, ...]


@event("approvals", version=1)
class ReviewReferred:
    """A review that its electorate could not decide is before another body, which votes anew, until `closes_at`."""

    project: ProjectId
    referred_by: SubjectId
    to: Panel
    closes_at: datetime | None
    reminders: tuple[datetime, ...]
    reason: Text


@event("approvals", version=1)
class ReviewWithdrawn:
    """A review has ended without an outcome."""

    project: ProjectId
    reason: Text


@event("approvals", version=1)
class ReviewsEnded:
    """Nothing of this project is reviewed any more, for the project has ended before its aim."""

    project: ProjectId


@event("approvals", version=1)
class BreachNoted:
    """Work in a phase has begun whose gate had not said so; `reported` is the event of projects that says so."""

    project: ProjectId
    breach: Breach
    reported: Code


@event("approvals", version=2)
class ConditionClosed:
    """A condition of a Conditional Go (counted from 1) is met, as this evidence shows."""

    project: ProjectId
    condition: int
    evidence: tuple[Evidence, ...]
    remark: Text


@event("approvals", version=1)
class ConditionWaived:
    """A condition need not be met any more: `decision` is the conclusion of the review that decided so."""

    project: ProjectId
    condition: int
    decision: Seen
    remark: Text


@event("approvals", version=1)
class ConditionReminded:
    """The owner of an open condition is reminded of its day."""

    project: ProjectId
    condition: int
    owner: SubjectId
    due: date


@event("approvals", version=1)
class ConditionLapsed:
    """The day of an open condition is over, and `then` follows; it stays open until it is met or waived.

    `escalated_to` is the body that is to see to it, where the policy names one.
    """

    project: ProjectId
    portfolio: PortfolioId
    condition: int
    owner: SubjectId
    due: date
    then: OnLapse
    escalated_to: BodyId | None


@event("approvals", version=1)
class DelegationGranted:
    """A person lets another speak for their seats at a node and all below it, from the first day to the last.

    `kinds` are the kinds of review it covers, all where there are none; `limit` is the value up to which it holds,
    inclusive, None without limit. It can't be passed on.
    """

    delegator: SubjectId
    delegator_person: PersonId
    delegate: SubjectId
    delegate_person: PersonId
    node: NodeId
    kinds: tuple[ReviewKind, ...]
    limit: Money | None
    first_day: date
    last_day: date
    reason: Text


@event("approvals", version=1)
class DelegationRevoked:
    """A delegation holds no longer; votes cast under it are marked."""

    delegator: SubjectId
    delegate: SubjectId
    node: NodeId
    revoked_by: SubjectId
    reason: Text


@event("approvals", version=1)
class ReviewRequested:
    """Someone asks that a project be reviewed; whoever prepares its reviews takes that up or says why not."""

    project: ProjectId
    portfolio: PortfolioId
    kind: ReviewKind
    gate: Code | None
    requester: SubjectId
    reason: Text


@event("approvals", version=1)
class ReviewRequestAccepted:
    """A request has led to a review."""

    project: ProjectId
    review: ReviewId


@event("approvals", version=1)
class ReviewRequestDeclined:
    """A request does not lead to a review, for this reason."""

    project: ProjectId
    declined_by: SubjectId
    reason: Text


@value
class AgendaItem:
    """A review that a meeting is to look at, and how many minutes are set aside for it."""

    review: ReviewId
    project: ProjectId
    minutes: int


@event("approvals", version=1)
class MeetingScheduled:
    """A gate meeting is to take place; its days are those of `time_zone`."""

    portfolio: PortfolioId
    body: BodyId | None
    title: Name
    starts_at: datetime
    ends_at: datetime
    time_zone: Code
    place: Text
    chair: SubjectId
    invitees: tuple[SubjectId, ...]


@event("approvals", version=1)
class MeetingRescheduled:
    """A gate meeting is to take place at another time or place."""

    portfolio: PortfolioId
    starts_at: datetime
    ends_at: datetime
    place: Text
    reason: Text


@event("approvals", version=1)
class InviteesChanged:
    """Others than before are invited to a gate meeting; these are all."""

    portfolio: PortfolioId
    invitees: tuple[SubjectId, ...]


@event("approvals", version=1)
class AgendaSet:
    """A gate meeting looks at these reviews, in this order."""

    portfolio: PortfolioId
    items: tuple[AgendaItem, ...]


@event("approvals", version=1)
class MeetingOpened:
    """A gate meeting has begun."""

    portfolio: PortfolioId
    opened_by: SubjectId


@event("approvals", version=1)
class AttendanceRecorded:
    """Whether someone takes part in a gate meeting; what is recorded later holds."""

    portfolio: PortfolioId
    attendee: SubjectId
    person: PersonId
    attendance: Attendance


@event("approvals", version=1)
class MinuteTaken:
    """Something is in the minutes of a gate meeting, about an item of its agenda or none; they are counted from 1.

    `corrects` is the minute that this one replaces.
    """

    portfolio: PortfolioId
    number: int
    review: ReviewId | None
    text: Text
    corrects: int | None


@event("approvals", version=1)
class ItemDisposed:
    """What a gate meeting did with an item; `decision` is the conclusion of the review where it was decided there."""

    portfolio: PortfolioId
    review: ReviewId
    disposition: Disposition
    decision: Seen | None
    remark: Text


@event("approvals", version=1)
class MeetingClosed:
    """A gate meeting is over, and its minutes stand."""

    portfolio: PortfolioId
    closed_by: SubjectId


@event("approvals", version=1)
class MeetingCancelled:
    """A gate meeting does not take place."""

    portfolio: PortfolioId
    reason: Text


@event("approvals", version=1)
class DecisionRecorded:
    """A decision that was made elsewhere is on record, with its own date, body and source. Nobody voted on it here.

    What the source doesn't say is None.
    """

    project: ProjectId
    portfolio: PortfolioId
    kind: ReviewKind
    gate: Code | None
    decided_on: date
    body_name: Name | None
    outcome: Outcome | None
    source: Source


_ANY_CONDITIONS: Final = {
    "most": None,
    "longest_days": None,
    "lapses": [each.value for each in OnLapse],
    "reminder_days": [],
}


def _evidence_of_no_kind(data: Mapping[str, Any]) -> dict[str, Any]:
    return {**data, "evidence": [{**each, "kind": None} for each in data["evidence"]]}


def _conditions_that_never_lapse(data: Mapping[str, Any]) -> dict[str, Any]:
    added: dict[str, Any] = {"shown_by": "", "on_lapse": OnLapse.REMINDER.value, "lapses_at": None, "reminders": []}
    return {**data, "conditions": [{**each, **added} for each in data["conditions"]]}


def _member(data: Mapping[str, Any]) -> dict[str, Any]:
    return {**data, "alternate_for": None}


def _policy(data: Mapping[str, Any]) -> dict[str, Any]:
    limit = data["time_limit"]
    return {
        **data,
        "time_limit": None if limit is None else {**limit, "reminder_days": []},
        "escalate_to": None,
        "deliverables": [],
        "criteria": [],
        "conditions": _ANY_CONDITIONS,
    }


def _drafted(data: Mapping[str, Any]) -> dict[str, Any]:
    return {**_evidence_of_no_kind(data), "about": None, "waives": None, "value": None, "requested": None}


def _submitted(data: Mapping[str, Any]) -> dict[str, Any]:
    return {
        **_evidence_of_no_kind(data),
        "electorate": [{**each, "alternates": []} for each in data["electorate"]],
        "quorum": {"minimum": data["votes_needed"], "share": "0"},
        "escalation": None,
        "value": None,
        "deliverables": [],
        "criteria": [],
        "conditions": _ANY_CONDITIONS,
        "open_conditions": [],
        "breaches": [],
        "tied": data["excluded"],
        "findings": [],
        "ready": True,
        "awaits": [],
        "measured_by": None,
        "reminders": [],
        "time_zone": "UTC",
    }


def _voted(data: Mapping[str, Any]) -> dict[str, Any]:
    own = {"seat": data["person"], "authority": Authority.OWN.value, "delegation": None}
    return {**_conditions_that_never_lapse(data), **own}


def _concluded(data: Mapping[str, Any]) -> dict[str, Any]:
    return {
        **_conditions_that_never_lapse(data),
        "tally": {**data["tally"], "recused": 0},
        "about": None,
        "waives": None,
        "because": "",
        "breaches": [],
    }


def _escalated(data: Mapping[str, Any]) -> dict[str, Any]:
    return {**data, "to": None, "closes_at": None, "reminders": []}


UPCASTERS: Final = {
    ("approvals.MemberAppointed", 1): _member,
    ("approvals.GatePolicyPublished", 1): _policy,
    ("approvals.ReviewDrafted", 1): _drafted,
    ("approvals.ReviewSubmitted", 1): _submitted,
    ("approvals.VoteCast", 1): _voted,
    ("approvals.ReviewConcluded", 1): _concluded,
    ("approvals.ReviewEscalated", 1): _escalated,
    ("approvals.ConditionClosed", 1): _evidence_of_no_kind,
}
