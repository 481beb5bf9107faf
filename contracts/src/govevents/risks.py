"""What has happened to risks and issues."""

from datetime import date
from decimal import Decimal
from enum import Enum

from govevents.event import event
from govevents.values import (
    Code,
    IssueId,
    Money,
    Name,
    PortfolioId,
    ProjectId,
    RiskId,
    Sha256,
    SubjectId,
    Text,
    value,
)


class RiskKind(Enum):
    """Whether an uncertain event would hurt or help."""

    THREAT = "threat"
    OPPORTUNITY = "opportunity"


class Basis(Enum):
    """Which state of the risk an assessment speaks of: before any response, as it is now, or as it shall be."""

    INHERENT = "inherent"
    CURRENT = "current"
    TARGET = "target"


class ScoringMethod(Enum):
    """How the impacts on several dimensions make one score with the probability."""

    HIGHEST = "highest"
    AVERAGE_OF_IMPACTS = "average_of_impacts"
    AVERAGE_OF_SCORES = "average_of_scores"


class Strategy(Enum):
    """How a risk is responded to. Escalate, share and accept fit both kinds."""

    AVOID = "avoid"
    REDUCE = "reduce"
    TRANSFER = "transfer"
    SHARE = "share"
    ACCEPT = "accept"
    CONTINGENCY = "contingency"
    EXPLOIT = "exploit"
    ENHANCE = "enhance"
    ESCALATE = "escalate"


class IssueKind(Enum):
    """PRINCE2's kinds of issue."""

    REQUEST_FOR_CHANGE = "request_for_change"
    OFF_SPECIFICATION = "off_specification"
    PROBLEM = "problem"
    EXTERNAL_EVENT = "external_event"
    OPPORTUNITY = "opportunity"


class Severity(Enum):
    """How much an issue hurts."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"


@event("risks", version=1)
class MatrixPublished:
    """How risks of a portfolio are scored from now on; `number` counts its editions from 1.

    `probabilities` and `impacts` are the values (0 to 1) of the levels 1, 2, ... in rising order.
    """

    portfolio: PortfolioId
    number: int
    probabilities: tuple[Decimal, ...]
    impacts: tuple[Decimal, ...]
    dimensions: tuple[Code, ...]
    method: ScoringMethod


@value
class Impact:
    """The level (from 1) that a risk would reach on one dimension."""

    dimension: Code
    level: int


@event("risks", version=1)
class RiskRaised:
    """Someone has seen that something uncertain could hurt or help a project."""

    project: ProjectId
    portfolio: PortfolioId
    kind: RiskKind
    title: Name
    cause: Text
    event: Text
    effect: Text
    category: Code
    owner: SubjectId
    proximity: date | None


@event("risks", version=1)
class RiskAssessed:
    """A risk has been scored, under this edition of the matrix; the score keeps it.

    `score` is probability times impact by the matrix's method; `exposure` is probability times `money_at_stake` (EMV).
    """

    project: ProjectId
    basis: Basis
    matrix_number: int
    matrix_hash: Sha256
    probability: int
    impacts: tuple[Impact, ...]
    score: Decimal
    money_at_stake: Money | None
    exposure: Money | None
    reason: Text


@event("risks", version=1)
class ResponsePlanned:
    """Someone will act on a risk."""

    project: ProjectId
    strategy: Strategy
    action: Text
    owner: SubjectId
    due: date | None
    cost: Money | None


@event("risks", version=1)
class RiskOccurred:
    """What was uncertain has happened; an issue is raised from it, and the risk stays on record."""

    project: ProjectId
    portfolio: PortfolioId
    kind: RiskKind
    issue: IssueId
    title: Name
    description: Text
    severity: Severity
    owner: SubjectId


@event("risks", version=1)
class RiskClosed:
    """A risk needs no more attention."""

    project: ProjectId
    reason: Text


@event("risks", version=1)
class IssueRaised:
    """Something has happened that a project must deal with; `risk` is the risk it came from, None for none."""

    project: ProjectId
    portfolio: PortfolioId
    kind: IssueKind
    title: Name
    description: Text
    severity: Severity
    owner: SubjectId
    risk: RiskId | None


@event("risks", version=1)
class IssueResolved:
    """An issue is dealt with."""

    project: ProjectId
    resolution: Text
