"""What has happened in approvals: who may decide what, what was asked, who voted, what came of it."""

from datetime import date, datetime
from decimal import Decimal
from enum import Enum

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


class Duty(Enum):
    """What keeps a person from voting on a project."""

    SUBMITTER = "submitter"
    PROJECT_MANAGER = "project_manager"
    SPONSOR = "sponsor"


class Ending(Enum):
    """Why a review concluded when it did."""

    DECIDED = "decided"
    TIME_LIMIT = "time_limit"


@event("approvals", version=1)
class BodyFormed:
    """A body that decides exists, for a portfolio."""

    portfolio: PortfolioId
    name: Name


@event("approvals", version=1)
class MemberAppointed:
    """A person sits on a body through this account, from the first day to the last, both included."""

    member: SubjectId
    person: PersonId
    chair: bool
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
    """How many days voters have, and what follows when they run out."""

    days: int
    then: AtTimeLimit


@event("approvals", version=1)
class GatePolicyPublished:
    """How a kind of review is decided in a portfolio from now on; `number` counts its editions from 1.

    `gate` names the gate for reviews of gates, None for the other kinds. `threshold` is the share of the electorate
    that must approve under rule threshold. `failed_outcome` is what a review that fails comes to.
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


@value
class Evidence:
    """Something that supports a review: its title, where it lies, and the SHA-256 of its content."""

    title: Name
    uri: Text
    sha256: Sha256


@value
class Seen:
    """What lay before a person: a stream at a version, with that document's hash."""

    stream: Code
    version: int
    hash: Sha256


@value
class Elector:
    """Someone who may vote, and why: the authority in words, such as `member of Executive Board`."""

    subject: SubjectId
    person: PersonId
    authority: Text
    veto: bool


@value
class Exclusion:
    """Someone who may not vote whatever their authority, because of what they are to the project."""

    person: PersonId
    duty: Duty


@value
class Condition:
    """What must still be done after a Conditional Go, by whom and until when."""

    text: Text
    owner: SubjectId
    due: date


@event("approvals", version=1)
class ReviewDrafted:
    """A review is being prepared."""

    project: ProjectId
    portfolio: PortfolioId
    kind: ReviewKind
    gate: Code | None
    question: Text
    evidence: tuple[Evidence, ...]


@event("approvals", version=1)
class ReviewSubmitted:
    """A review is open: these people may vote on this proposed outcome, under this edition of the policy."""

    project: ProjectId
    submitter: SubjectId
    proposed: Outcome
    policy: Seen
    policy_number: int
    electorate: tuple[Elector, ...]
    excluded: tuple[Exclusion, ...]
    votes_needed: int
    rule: Rule
    threshold: Decimal | None
    failed_outcome: Outcome
    body: BodyId | None
    evidence: tuple[Evidence, ...]
    submitted_at: datetime
    closes_at: datetime | None
    at_time_limit: AtTimeLimit | None


@event("approvals", version=1)
class VoteCast:
    """A person with authority has voted in an open review; a later vote of the same person replaces this one."""

    project: ProjectId
    voter: SubjectId
    person: PersonId
    choice: Choice
    conditions: tuple[Condition, ...]
    seen: tuple[Seen, ...]
    reason: Text


@value
class Tally:
    """How many of the electorate said what when a review concluded."""

    electorate: int
    votes_needed: int
    approve: int
    approve_with_conditions: int
    reject: int
    returned: int
    abstain: int


@event("approvals", version=1)
class ReviewConcluded:
    """A review has its outcome. It has one only, and it came from votes cast here."""

    project: ProjectId
    portfolio: PortfolioId
    kind: ReviewKind
    gate: Code | None
    outcome: Outcome
    ending: Ending
    tally: Tally
    conditions: tuple[Condition, ...]
    body: BodyId | None
    submitted_at: datetime


@event("approvals", version=1)
class ReviewEscalated:
    """A review could not be decided by its electorate and needs someone above it."""

    project: ProjectId
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
class ConditionClosed:
    """A condition of a Conditional Go (counted from 1) is met, as this evidence shows."""

    project: ProjectId
    condition: int
    evidence: tuple[Evidence, ...]
    remark: Text


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
