"""What people and programs can ask of risks over HTTP."""

from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from typing import Any, Final, TypeAlias
from uuid import UUID

from pydantic import BaseModel, Field

from govevents.risks import (
    Basis,
    Impact,
    IssueKind,
    IssueResolved,
    ResponsePlanned,
    RiskAssessed,
    RiskClosed,
    RiskKind,
    RiskOccurred,
    ScoringMethod,
    Severity,
    Strategy,
)
from govkernel.domain import (
    Code,
    IssueId,
    Money,
    Name,
    NodeId,
    NotKnownYet,
    PortfolioId,
    ProjectId,
    RiskId,
    SubjectId,
    Text,
)
from govkernel.http import Ask, Body, Call, ServiceApi
from govkernel.ledger import Intent
from risks.adapters.queries import is_portfolio, portfolio_of
from risks.domain import issue as issues
from risks.domain import matrix as matrices
from risks.domain import risk as risks
from risks.domain.issue import ISSUE, Issue, IssueAlreadyRaised, IssueNotKnown, RaiseIssue, ResolveIssue
from risks.domain.matrix import (
    DEFAULT_DIMENSIONS,
    DEFAULT_IMPACTS,
    DEFAULT_PROBABILITIES,
    MATRIX,
    DimensionNotInMatrix,
    DimensionScoredTwice,
    DimensionsUnclear,
    LevelOutsideMatrix,
    LevelsOutOfOrder,
    MatrixNotPublished,
    NoImpactGiven,
    PublishMatrix,
)
from risks.domain.risk import (
    RISK,
    AssessRisk,
    CloseRisk,
    CurrencyDiffers,
    MatrixOfAnotherPortfolio,
    MoneyOutOfRange,
    PlanResponse,
    RaiseRisk,
    RecordOccurrence,
    Risk,
    RiskAlreadyOccurred,
    RiskAlreadyRaised,
    RiskNotKnown,
    RiskNotOpen,
    StrategyDoesNotFit,
)

AnyIntent: TypeAlias = Intent[Any, Any, Any]

READ: Final = "node.read"
RISK_STATES: Final[Mapping[type[Risk], str]] = {
    risks.Open: "open",
    risks.Occurred: "occurred",
    risks.Closed: "closed",
}
ISSUE_STATES: Final[Mapping[type[Issue], str]] = {issues.Open: "open", issues.Resolved: "resolved"}


class PortfolioNotKnown(NotKnownYet):
    """No portfolio is known under this id; one that was just registered may not have arrived here yet."""


class ProjectNotKnown(NotKnownYet):
    """No project is known under this id; one that was just registered may not have arrived here yet."""


api = ServiceApi(
    "risks",
    title="Gatehouse: risks",
    # A risk or an issue has the id of the command that raised it, and the matrix is that of the risk's own portfolio:
    # over HTTP these can't come up, but whoever meets one finds it recorded with this status.
    refusals={RiskAlreadyRaised: 409, IssueAlreadyRaised: 409, MatrixOfAnotherPortfolio: 409},
)


class MatrixRequest(Body):
    """How risks of a portfolio are scored from now on; what is left out is as in the usual matrix of five by five.

    `probabilities` and `impacts` are the values of the levels 1, 2, ... in rising order, above 0 and at most 1.
    """

    portfolio: PortfolioId
    probabilities: tuple[Decimal, ...] = DEFAULT_PROBABILITIES
    impacts: tuple[Decimal, ...] = DEFAULT_IMPACTS
    dimensions: tuple[Code, ...] = DEFAULT_DIMENSIONS
    method: ScoringMethod = ScoringMethod.HIGHEST


class MatrixView(BaseModel):
    """The edition under which risks of a portfolio are scored now."""

    number: int
    portfolio: PortfolioId
    probabilities: tuple[Decimal, ...]
    impacts: tuple[Decimal, ...]
    dimensions: tuple[Code, ...]
    method: ScoringMethod


@api.command(
    "/matrices",
    operation="publishMatrix",
    action="matrix.publish",
    body=MatrixRequest,
    refusals=(PortfolioNotKnown, LevelsOutOfOrder, DimensionsUnclear),
)
async def publish_matrix(call: Call[MatrixRequest]) -> AnyIntent:
    """Publish the next edition of a portfolio's scoring matrix; scores keep the edition that they were given under."""
    body = call.body
    if not await is_portfolio(call.runtime.engine, body.portfolio):
        raise PortfolioNotKnown(portfolio=str(body.portfolio))
    return Intent(
        MATRIX,
        matrices.stream_of(body.portfolio),
        PublishMatrix(body.portfolio, body.probabilities, body.impacts, body.dimensions, body.method),
        node=NodeId(body.portfolio),
    )


@api.query("/matrices/{portfolio}", operation="getMatrix", response=MatrixView)
async def get_matrix(ask: Ask, portfolio: UUID) -> MatrixView:
    """Read the edition under which risks of a portfolio are scored now."""
    await ask.require(READ, NodeId(portfolio))
    stream = matrices.stream_of(PortfolioId(portfolio))
    loaded = await ask.runtime.ledger.load(MATRIX, stream)
    if isinstance(loaded.state, matrices.Unpublished):
        raise ask.missing("matrix", portfolio)
    ask.tag(stream, loaded.head.version)
    edition = loaded.state.edition
    return MatrixView(**{field: getattr(edition, field) for field in MatrixView.model_fields})


class RiskRequest(Body):
    """Something uncertain that would hurt or help a project: by what cause, which event, to what effect."""

    project: ProjectId
    kind: RiskKind
    title: Name
    cause: Text
    event: Text
    effect: Text
    category: Code
    owner: SubjectId
    proximity: date | None = None


class AssessmentRequest(Body):
    """How likely and how grave, in levels of the matrix counted from 1; a dimension left out is unknown."""

    basis: Basis
    probability: int
    impacts: tuple[Impact, ...]
    money_at_stake: Money | None = None
    reason: Text


class ResponseRequest(Body):
    """Who will do what about a risk, until when, at what cost."""

    strategy: Strategy
    action: Text
    owner: SubjectId
    due: date | None = None
    cost: Money | None = None


class OccurrenceRequest(Body):
    """What has happened, and the issue that it makes; a title left out is the risk's own."""

    title: Name | None = None
    description: Text
    severity: Severity
    owner: SubjectId


class RiskClosureRequest(Body):
    """Why a risk needs no more attention."""

    reason: Text


class RiskView(BaseModel):
    """A risk as it stands, with the newest assessment of each basis; what it has not come to is null."""

    risk: RiskId
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
    state: str = Field(description="open, occurred or closed")
    assessments: tuple[RiskAssessed, ...]
    responses: tuple[ResponsePlanned, ...]
    occurred: RiskOccurred | None
    closed_because: Text | None


@api.command("/risks", operation="raiseRisk", action="risk.raise", body=RiskRequest, refusals=(ProjectNotKnown,))
async def raise_risk(call: Call[RiskRequest]) -> AnyIntent:
    """Put a risk of a project on record."""
    body = call.body
    return Intent(
        RISK,
        call.command,
        RaiseRisk(
            project=body.project,
            portfolio=await _portfolio_of(call, body.project),
            kind=body.kind,
            title=body.title,
            cause=body.cause,
            event=body.event,
            effect=body.effect,
            category=body.category,
            owner=body.owner,
            proximity=body.proximity,
        ),
        node=NodeId(body.project),
    )


@api.command(
    "/risks/{risk}/assessments",
    operation="assessRisk",
    action="risk.assess",
    body=AssessmentRequest,
    refusals=(
        RiskNotKnown,
        RiskNotOpen,
        MatrixNotPublished,
        LevelOutsideMatrix,
        DimensionNotInMatrix,
        DimensionScoredTwice,
        NoImpactGiven,
        MoneyOutOfRange,
        CurrencyDiffers,
    ),
)
async def assess_risk(call: Call[AssessmentRequest]) -> AnyIntent:
    """Score a risk under the newest edition of its portfolio's matrix."""
    body = call.body
    risk, state = await _risk(call)
    matrix = await call.ledger.load(MATRIX, matrices.stream_of(state.raised.portfolio))
    edition = None if isinstance(matrix.state, matrices.Unpublished) else matrix.state.edition
    return Intent(
        RISK,
        risk,
        AssessRisk(
            basis=body.basis,
            edition=edition,
            matrix_hash=matrix.head.hash.hex() if matrix.head.hash is not None else None,
            probability=body.probability,
            impacts=body.impacts,
            money_at_stake=body.money_at_stake,
            reason=body.reason,
        ),
        relies_on=(matrix.head,),
        node=NodeId(state.raised.project),
    )


@api.command(
    "/risks/{risk}/responses",
    operation="planResponse",
    action="response.plan",
    body=ResponseRequest,
    refusals=(RiskNotKnown, RiskNotOpen, StrategyDoesNotFit, MoneyOutOfRange, CurrencyDiffers),
)
async def plan_response(call: Call[ResponseRequest]) -> AnyIntent:
    """Say who will do what about a risk."""
    body = call.body
    return await _to_risk(call, PlanResponse(body.strategy, body.action, body.owner, body.due, body.cost))


@api.command(
    "/risks/{risk}/occurrences",
    operation="recordOccurrence",
    action="occurrence.record",
    body=OccurrenceRequest,
    refusals=(RiskNotKnown, RiskNotOpen, RiskAlreadyOccurred),
)
async def record_occurrence(call: Call[OccurrenceRequest]) -> AnyIntent:
    """Say that a risk has happened; the issue that it makes is raised from it by itself."""
    body = call.body
    risk = RiskId(call.path_id("risk"))
    return await _to_risk(call, RecordOccurrence(risk, body.description, body.severity, body.owner, body.title))


@api.command(
    "/risks/{risk}/closures",
    operation="closeRisk",
    action="risk.close",
    body=RiskClosureRequest,
    refusals=(RiskNotKnown,),
)
async def close_risk(call: Call[RiskClosureRequest]) -> AnyIntent:
    """Say that a risk needs no more attention."""
    return await _to_risk(call, CloseRisk(call.body.reason))


@api.query("/risks/{risk}", operation="getRisk", response=RiskView)
async def get_risk(ask: Ask, risk: UUID) -> RiskView:
    """Read a risk as it stands."""
    loaded = await ask.runtime.ledger.load(RISK, risk)
    if isinstance(loaded.state, risks.NotRaised):
        raise ask.missing("risk", risk)
    raised = loaded.state.raised
    await ask.require(READ, NodeId(raised.project))
    ask.tag(risk, loaded.head.version)
    # A state keeps what decisions need of it; people still want to read how a closed risk was scored.
    told = [one.event for one in await ask.runtime.ledger.events(risk, until=loaded.head.version)]
    assessed = {event.basis: event for event in told if isinstance(event, RiskAssessed)}
    return RiskView(
        risk=RiskId(risk),
        project=raised.project,
        portfolio=raised.portfolio,
        kind=raised.kind,
        title=raised.title,
        cause=raised.cause,
        event=raised.event,
        effect=raised.effect,
        category=raised.category,
        owner=raised.owner,
        proximity=raised.proximity,
        state=RISK_STATES[type(loaded.state)],
        assessments=tuple(assessed[basis] for basis in Basis if basis in assessed),
        responses=tuple(event for event in told if isinstance(event, ResponsePlanned)),
        occurred=next((event for event in told if isinstance(event, RiskOccurred)), None),
        closed_because=next((event.reason for event in told if isinstance(event, RiskClosed)), None),
    )


class IssueRequest(Body):
    """Something that has happened and that a project must deal with."""

    project: ProjectId
    kind: IssueKind
    title: Name
    description: Text
    severity: Severity
    owner: SubjectId


class ResolutionRequest(Body):
    """How an issue was dealt with."""

    resolution: Text


class IssueView(BaseModel):
    """An issue as it stands; `risk` is the one it came from, null for none."""

    issue: IssueId
    project: ProjectId
    portfolio: PortfolioId
    kind: IssueKind
    title: Name
    description: Text
    severity: Severity
    owner: SubjectId
    risk: RiskId | None
    state: str = Field(description="open or resolved")
    resolution: Text | None


@api.command("/issues", operation="raiseIssue", action="issue.raise", body=IssueRequest, refusals=(ProjectNotKnown,))
async def raise_issue(call: Call[IssueRequest]) -> AnyIntent:
    """Put an issue of a project on record."""
    body = call.body
    return Intent(
        ISSUE,
        call.command,
        RaiseIssue(
            project=body.project,
            portfolio=await _portfolio_of(call, body.project),
            kind=body.kind,
            title=body.title,
            description=body.description,
            severity=body.severity,
            owner=body.owner,
            risk=None,
        ),
        node=NodeId(body.project),
    )


@api.command(
    "/issues/{issue}/resolutions",
    operation="resolveIssue",
    action="issue.resolve",
    body=ResolutionRequest,
    refusals=(IssueNotKnown,),
)
async def resolve_issue(call: Call[ResolutionRequest]) -> AnyIntent:
    """Say that an issue is dealt with."""
    issue = call.path_id("issue")
    state = (await call.load(ISSUE, issue)).state
    assert not isinstance(state, issues.NotRaised), "a stream that exists was raised"
    return Intent(ISSUE, issue, ResolveIssue(call.body.resolution), node=NodeId(state.raised.project))


@api.query("/issues/{issue}", operation="getIssue", response=IssueView)
async def get_issue(ask: Ask, issue: UUID) -> IssueView:
    """Read an issue as it stands."""
    loaded = await ask.runtime.ledger.load(ISSUE, issue)
    if isinstance(loaded.state, issues.NotRaised):
        raise ask.missing("issue", issue)
    raised = loaded.state.raised
    await ask.require(READ, NodeId(raised.project))
    ask.tag(issue, loaded.head.version)
    told = [one.event for one in await ask.runtime.ledger.events(issue, until=loaded.head.version)]
    return IssueView(
        issue=IssueId(issue),
        project=raised.project,
        portfolio=raised.portfolio,
        kind=raised.kind,
        title=raised.title,
        description=raised.description,
        severity=raised.severity,
        owner=raised.owner,
        risk=raised.risk,
        state=ISSUE_STATES[type(loaded.state)],
        resolution=next((event.resolution for event in told if isinstance(event, IssueResolved)), None),
    )


async def _portfolio_of(call: Call[Any], project: ProjectId) -> PortfolioId:
    portfolio = await portfolio_of(call.runtime.engine, project)
    if portfolio is None:
        raise ProjectNotKnown(project=str(project))
    return portfolio


async def _risk(call: Call[Any]) -> tuple[RiskId, risks.Open | risks.Occurred | risks.Closed]:
    risk = RiskId(call.path_id("risk"))
    state = (await call.load(RISK, risk)).state
    assert not isinstance(state, risks.NotRaised), "a stream that exists was raised"
    return risk, state


async def _to_risk(call: Call[Any], command: risks.Command) -> AnyIntent:
    risk, state = await _risk(call)
    return Intent(RISK, risk, command, node=NodeId(state.raised.project))
