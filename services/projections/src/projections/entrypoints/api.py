"""What people and programs can ask of projections over HTTP: rows and figures, as they were known at any time."""

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, tzinfo
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any, Final, Generic, TypeVar
from uuid import UUID

from fastapi import Query
from pydantic import BaseModel
from sqlalchemy.ext.asyncio import AsyncConnection

from govevents.approvals import Ending, Evidence, Outcome, ReviewKind, Tally
from govevents.projects import Attribute
from govevents.reporting import Confidence, Dimension, Rating, Scale
from govevents.risks import Basis as AssessmentBasis
from govevents.risks import IssueKind, RiskKind, Severity
from govkernel.access import NODES, NodeRow, NodeStatus, Visible
from govkernel.domain import (
    BodyId,
    Code,
    Currency,
    IssueId,
    Money,
    Name,
    NodeId,
    PortfolioId,
    ProjectId,
    ReportId,
    ReviewId,
    RiskId,
    Source,
    SubjectId,
    Text,
)
from govkernel.http import Ask, Bounds, InputError, Page, ServiceApi, invalid
from govkernel.http.problems import HEADER_INVALID
from govkernel.readmodels import ReadModel
from projections.adapters.queries import (
    PARTS,
    Reading,
    Scope,
    body_names,
    find,
    find_parts,
    is_provisional,
    labels,
    latest_reports,
    local_date,
    node_row,
    readings,
    rows_of,
    rows_of_projects,
    time_zones,
)
from projections.application.bodies import BODIES
from projections.application.conditions import CONDITIONS, Condition
from projections.application.decision_register import DECISION_REGISTER, Decision, Made
from projections.application.figures import (
    Attributes,
    Basis,
    ConditionDates,
    ConditionFigures,
    DurationFigures,
    Found,
    GateAges,
    GateDecision,
    OverviewFigures,
    ProjectAttributes,
    ProjectState,
    ReviewTimes,
    Zones,
    approval_time,
    condition_fact,
    conditions,
    decided_day,
    gate_ages,
    gate_duration,
    last_gate,
    portfolio,
)
from projections.application.gate_progress import GATE_PROGRESS, PhaseProgress, Progress
from projections.application.issues import ISSUES, Issue
from projections.application.latest_reports import LATEST_REPORTS, Figure, Report
from projections.application.milestones import MILESTONES
from projections.application.project_overview import PROJECT_OVERVIEW, ProjectOverview
from projections.application.reactions import ProjectNotKnownYet
from projections.application.reviews import REVIEWS, Review, ReviewState
from projections.application.risk_register import RISK_REGISTER, Place, Risk, RiskState
from projections.domain import kpis
from projections.domain.kpis import (
    Defined,
    Direction,
    Durations,
    Family,
    Kpi,
    PortfolioFigures,
    Threshold,
    Undefined,
    count_conditions,
    local_day,
)

Item = TypeVar("Item")
Row = TypeVar("Row")

ONGOING: Final = (NodeStatus.ACTIVE.value, NodeStatus.ON_HOLD.value)

# Only the measuring consumer meets this one, and waits.
api = ServiceApi("projections", title="Gatehouse: projections", refusals={ProjectNotKnownYet: 404})

Node = Annotated[UUID | None, Query(description="only what is at or below this node; without it all that you may see")]
Project = Annotated[UUID | None, Query(description="only what belongs to this project")]
Gate = Annotated[Code | None, Query(description="only decisions at this gate", max_length=100)]
From = Annotated[Code | None, Query(alias="from", description="the gate at which the stretch begins", max_length=100)]
To = Annotated[Code | None, Query(alias="to", description="the gate at which the stretch ends", max_length=100)]
By = Annotated[Code | None, Query(description="an attribute of projects to group by", max_length=100)]


class Answer(BaseModel, Generic[Item]):
    """Rows, and what they rest on.

    `offsets` say, by read model and partition, up to where (exclusive) its topic had been read; `provisional` that
    facts from before `as_of` may still be on their way here.
    """

    as_of: datetime | None
    recorded_by: datetime | None
    offsets: dict[str, dict[int, int]]
    fold_versions: dict[str, int]
    provisional: bool
    rows: list[Item]
    next: str | None


@dataclass(frozen=True, slots=True)
class Look:
    """One look at the read models, all of it in one snapshot.

    `now` is the moment of which the answer speaks: `as_of`, or the present. `zone` is that of the node asked for.
    """

    connection: AsyncConnection
    scope: Scope
    zones: Zones
    zone: tzinfo
    now: datetime
    readings: Mapping[str, Reading]
    provisional: bool

    @property
    def bounds(self) -> Bounds:
        """Up to when facts count."""
        return self.scope.bounds

    @property
    def offsets(self) -> dict[str, dict[int, int]]:
        """Up to where each read model's topic had been read."""
        return {name: dict(each.offsets) for name, each in sorted(self.readings.items())}

    @property
    def fold_versions(self) -> dict[str, int]:
        """The version of each read model's fold."""
        return {name: each.fold_version for name, each in sorted(self.readings.items())}

    def answer(self, page: Page[Item]) -> Answer[Item]:
        """The page, with what it rests on."""
        return Answer(
            as_of=self.bounds.as_of,
            recorded_by=self.bounds.recorded_by,
            offsets=self.offsets,
            fold_versions=self.fold_versions,
            provisional=self.provisional,
            rows=page.items,
            next=page.next,
        )

    def zone_of(self, portfolio: PortfolioId) -> tzinfo:
        """Where the days of a portfolio are local."""
        return self.zones.get(portfolio, UTC)

    async def of_projects(self, model: ReadModel[Row], projects: Iterable[UUID]) -> list[Found[Row]]:
        """The rows of a model for these projects, as they were known then."""
        return await find(self.connection, model, rows_of_projects(model, self.bounds, set(projects)))

    async def parts_of_projects(self, part: type[Row], projects: Iterable[UUID]) -> list[Found[Row]]:
        """A part of the rows for these projects, as they were known then."""
        return await find_parts(self.connection, part, rows_of_projects(PARTS[part], self.bounds, set(projects)))

    async def parts(self, part: type[Row]) -> list[Found[Row]]:
        """A part of the rows for everything asked for, as they were known then."""
        return await find_parts(self.connection, part, rows_of(PARTS[part], self.scope))


@asynccontextmanager
async def looking(ask: Ask, node: UUID | None, *models: ReadModel[Any]) -> AsyncIterator[Look]:
    """Look at these read models, at or below a node that the caller may read. Raises Refused (403, 404, 400)."""
    visible = Visible(everything=True, nodes=frozenset())
    if node is None:
        visible = await ask.visible_nodes("node.read")
    else:
        await ask.require("node.read", NodeId(node))
    async with ask.connection() as connection:
        row = None
        if node is not None:
            row = await node_row(connection, node)
            if row is None:
                raise ask.missing("node", node)
        zones = await time_zones(connection)
        zone = zones.get(row.portfolio, UTC) if row is not None else UTC
        bounds = ask.bounds(zone)
        rests_on = (*models, NODES)
        look = Look(
            connection,
            Scope(row, visible, bounds),
            zones,
            zone,
            bounds.as_of or ask.now,
            await readings(connection, rests_on),
            await is_provisional(connection, rests_on, bounds),
        )
        ask.rests_on(look.offsets, provisional=look.provisional)
        yield look


def looking_at(
    ask: Ask, node: UUID | None, project: UUID | None, *models: ReadModel[Any]
) -> AbstractAsyncContextManager[Look]:
    """As `looking`; a project alone stands for its node."""
    return looking(ask, node if node is not None else project, *models)


class MethodologyView(BaseModel):
    """Which methodology a project follows."""

    name: Code
    version: int


class OverviewView(BaseModel):
    """A project at a glance. `confidence` is the overall rating of its latest report, on that report's scale."""

    project: ProjectId
    portfolio: PortfolioId
    parent: NodeId
    reference: Code
    name: Name
    status: NodeStatus
    phase: Name | None
    purpose: Text
    sponsor: SubjectId | None
    manager: SubjectId | None
    value: Money | None
    methodology: MethodologyView | None
    attributes: tuple[Attribute, ...]
    reported_on: date | None
    budget_forecast: Money | None
    forecast_completion: date | None
    last_gate: Code | None
    last_gate_decided_on: date | None
    conditions_open: int
    conditions_overdue: int
    risks_open: int
    issues_open: int
    confidence: Rating | None
    scale: Scale | None
    since: datetime


@api.query(
    "/portfolio-overview",
    operation="listPortfolioOverview",
    response=Answer[OverviewView],
    history=True,
    paged=True,
)
async def list_portfolio_overview(ask: Ask, node: Node = None) -> Answer[OverviewView]:
    """List projects at a glance, by reference."""
    rests_on = (PROJECT_OVERVIEW, DECISION_REGISTER, CONDITIONS, RISK_REGISTER, ISSUES, LATEST_REPORTS)
    async with looking(ask, node, *rests_on) as look:
        query = rows_of(PROJECT_OVERVIEW, look.scope)
        columns = query.selected_columns
        found = await find(
            look.connection, PROJECT_OVERVIEW, ask.keyset(query, columns["reference"], columns["project"])
        )
        shown = [each.row.project for each in found]
        decisions = _by_project(await look.parts_of_projects(GateDecision, shown))
        set_conditions = _by_project(await look.parts_of_projects(ConditionDates, shown))
        risks = _by_project(await look.of_projects(RISK_REGISTER, shown))
        issues = _by_project(await look.of_projects(ISSUES, shown))
        reports = _by_project(await look.of_projects(LATEST_REPORTS, shown))

        def view(each: Found[ProjectOverview]) -> OverviewView:
            known = each.row
            passed = last_gate(decisions.get(known.project, ()), look.zones)
            today = local_day(look.now, look.zone_of(known.portfolio))
            counts = count_conditions(
                [condition.row.fact(look.zones) for condition in set_conditions.get(known.project, ())], today
            )
            report = _latest(reports.get(known.project, ()))
            return OverviewView(
                project=known.project,
                portfolio=known.portfolio,
                parent=known.parent,
                reference=known.reference,
                name=known.name,
                status=known.status,
                phase=known.phase,
                purpose=known.purpose,
                sponsor=known.sponsor,
                manager=known.manager,
                value=known.value,
                methodology=MethodologyView(name=known.methodology.name, version=known.methodology.version)
                if known.methodology is not None
                else None,
                attributes=known.attributes,
                reported_on=known.reported_on,
                budget_forecast=known.budget_forecast,
                forecast_completion=known.forecast_completion,
                last_gate=passed[1].row.gate if passed else None,
                last_gate_decided_on=passed[0] if passed else None,
                conditions_open=counts.open,
                conditions_overdue=counts.overdue,
                risks_open=sum(risk.row.state is RiskState.OPEN for risk in risks.get(known.project, ())),
                issues_open=sum(issue.row.resolved_at is None for issue in issues.get(known.project, ())),
                confidence=_overall(report) if report is not None else None,
                scale=report.scale if report is not None else None,
                since=each.since,
            )

        return look.answer(ask.page(found, view, lambda each: (each.row.reference, each.row.project)))


class OpenReviewView(BaseModel):
    """A review that waits for its decision, and for how many days; an escalated one waits for someone above."""

    review: ReviewId
    kind: ReviewKind
    gate: Code | None
    state: ReviewState
    proposed: Outcome | None
    submitted_at: datetime | None
    closes_at: datetime | None
    age_days: int | None
    body: BodyId | None
    body_name: Name | None
    electorate: int | None
    votes_needed: int | None
    votes: int


class PipelineView(BaseModel):
    """Where a project stands between its gates.

    `next_gate` is the first gate that hasn't let it through; without a methodology that isn't known.
    """

    project: ProjectId
    portfolio: PortfolioId
    reference: Code
    name: Name
    status: NodeStatus
    phase: Name | None
    phase_progress: Progress | None
    phase_since: datetime | None
    phase_age_days: int | None
    last_gate: Code | None
    last_gate_decided_on: date | None
    days_since_last_gate: int | None
    next_gate: Code | None
    reviews: list[OpenReviewView]


@api.query("/gate-pipeline", operation="listGatePipeline", response=Answer[PipelineView], history=True, paged=True)
async def list_gate_pipeline(ask: Ask, node: Node = None) -> Answer[PipelineView]:
    """List the projects that have not ended, with their phase, gates and open reviews, and since when, by reference."""
    async with looking(ask, node, PROJECT_OVERVIEW, GATE_PROGRESS, DECISION_REGISTER, REVIEWS, BODIES) as look:
        query = rows_of(PROJECT_OVERVIEW, look.scope)
        columns = query.selected_columns
        found = await find(
            look.connection,
            PROJECT_OVERVIEW,
            ask.keyset(query.where(columns["status"].in_(ONGOING)), columns["reference"], columns["project"]),
        )
        shown = [each.row.project for each in found]
        phases = _by_project(await look.of_projects(GATE_PROGRESS, shown))
        decisions = _by_project(await look.parts_of_projects(GateDecision, shown))
        reviews = _by_project(await look.of_projects(REVIEWS, shown))
        names = await body_names(look.connection)

        def review_view(each: Found[Review], today: date, zone: tzinfo) -> OpenReviewView:
            review = each.row
            submitted_on = local_day(review.submitted_at, zone) if review.submitted_at is not None else None
            return OpenReviewView(
                review=ReviewId(each.stream),
                kind=review.kind,
                gate=review.gate,
                state=review.state,
                proposed=review.proposed,
                submitted_at=review.submitted_at,
                closes_at=review.closes_at,
                age_days=(today - submitted_on).days if submitted_on is not None else None,
                body=review.body,
                body_name=names.get(review.body) if review.body is not None else None,
                electorate=review.electorate,
                votes_needed=review.votes_needed,
                votes=len(review.voted),
            )

        def view(each: Found[ProjectOverview]) -> PipelineView:
            known = each.row
            zone = look.zone_of(known.portfolio)
            today = local_day(look.now, zone)
            in_order = sorted((phase.row for phase in phases.get(known.project, ())), key=lambda phase: phase.position)
            current = _current(in_order)
            passed = last_gate(decisions.get(known.project, ()), look.zones)
            waiting = [phase.gate for phase in in_order if phase.gate and phase.progress is Progress.WAITING]
            open_reviews = [
                review
                for review in reviews.get(known.project, ())
                if review.row.state in (ReviewState.OPEN, ReviewState.ESCALATED)
            ]
            return PipelineView(
                project=known.project,
                portfolio=known.portfolio,
                reference=known.reference,
                name=known.name,
                status=known.status,
                phase=current.name if current is not None else known.phase,
                phase_progress=current.progress if current is not None else None,
                phase_since=current.reached if current is not None else None,
                phase_age_days=(today - local_day(current.reached, zone)).days if current is not None else None,
                last_gate=passed[1].row.gate if passed else None,
                last_gate_decided_on=passed[0] if passed else None,
                days_since_last_gate=(today - passed[0]).days if passed else None,
                next_gate=waiting[0] if waiting else None,
                reviews=[
                    review_view(review, today, zone)
                    for review in sorted(open_reviews, key=lambda review: (review.since, review.stream))
                ],
            )

        return look.answer(ask.page(found, view, lambda each: (each.row.reference, each.row.project)))


class DecisionView(BaseModel):
    """A decision, and how it was made: voted here, or made elsewhere and brought in from a source.

    `decided_on` is the day in the portfolio's time zone, `known_since` when the organisation knew of it.
    """

    decision: UUID
    project: ProjectId
    portfolio: PortfolioId
    reference: Code | None
    name: Name | None
    kind: ReviewKind
    gate: Code | None
    made: Made
    outcome: Outcome | None
    decided_on: date
    decided_at: datetime | None
    body: BodyId | None
    body_name: Name | None
    submitted_at: datetime | None
    ending: Ending | None
    tally: Tally | None
    conditions: int
    source: Source | None
    known_since: datetime


@api.query("/decisions", operation="listDecisions", response=Answer[DecisionView], history=True, paged=True)
async def list_decisions(
    ask: Ask, node: Node = None, project: Project = None, gate: Gate = None
) -> Answer[DecisionView]:
    """List decisions, in the order in which they became known."""
    async with looking_at(ask, node, project, DECISION_REGISTER, BODIES) as look:
        query = rows_of(DECISION_REGISTER, look.scope)
        columns = query.selected_columns
        if project is not None:
            query = query.where(columns["project"] == project)
        if gate is not None:
            query = query.where(columns["gate"] == gate)
        found = await find(look.connection, DECISION_REGISTER, ask.keyset(query, columns["since"], columns["stream"]))
        known = await labels(look.connection, [each.row.project for each in found])
        names = await body_names(look.connection)

        def view(each: Found[Decision]) -> DecisionView:
            decision = each.row
            return DecisionView(
                decision=each.stream,
                project=decision.project,
                portfolio=decision.portfolio,
                reference=_reference(known, decision.project),
                name=_name(known, decision.project),
                kind=decision.kind,
                gate=decision.gate,
                made=decision.made,
                outcome=decision.outcome,
                decided_on=decided_day(decision.decided_on, decision.decided_at, look.zone_of(decision.portfolio)),
                decided_at=decision.decided_at,
                body=decision.body,
                body_name=names.get(decision.body) if decision.body is not None else decision.body_name,
                submitted_at=decision.submitted_at,
                ending=decision.ending,
                tally=decision.tally,
                conditions=decision.conditions,
                source=decision.source,
                known_since=each.since,
            )

        return look.answer(ask.page(found, view, lambda each: (each.since, each.stream)))


class ConditionState(Enum):
    """Whether a condition is met: open includes overdue where it is asked for."""

    OPEN = "open"
    OVERDUE = "overdue"
    CLOSED = "closed"


State = Annotated[ConditionState | None, Query(description="only conditions that stand so; open includes overdue")]


class ConditionView(BaseModel):
    """A condition of a Conditional Go; its days are in the portfolio's time zone."""

    review: ReviewId
    number: int
    project: ProjectId
    portfolio: PortfolioId
    reference: Code | None
    name: Name | None
    gate: Code | None
    text: Text
    owner: SubjectId
    state: ConditionState
    set_on: date
    due: date
    closed_on: date | None
    evidence: tuple[Evidence, ...]
    remark: Text | None


@api.query("/conditions", operation="listConditions", response=Answer[ConditionView], history=True, paged=True)
async def list_conditions(
    ask: Ask, node: Node = None, project: Project = None, state: State = None
) -> Answer[ConditionView]:
    """List the conditions of Conditional Gos, those due first in front."""
    async with looking_at(ask, node, project, CONDITIONS) as look:
        query = rows_of(CONDITIONS, look.scope)
        columns = query.selected_columns
        if project is not None:
            query = query.where(columns["project"] == project)
        match state:
            case ConditionState.OPEN:
                query = query.where(columns["closed_at"].is_(None))
            case ConditionState.OVERDUE:
                today = local_date(columns["portfolio"], look.zones, look.now)
                query = query.where(columns["closed_at"].is_(None), columns["due"] < today)
            case ConditionState.CLOSED:
                query = query.where(columns["closed_at"].is_not(None))
            case None:
                pass
        found = await find(
            look.connection, CONDITIONS, ask.keyset(query, columns["due"], columns["stream"], columns["number"])
        )
        known = await labels(look.connection, [each.row.project for each in found])

        def view(each: Found[Condition]) -> ConditionView:
            condition = each.row
            zone = look.zone_of(condition.portfolio)
            fact = condition_fact(condition.set_at, condition.due, condition.closed_at, zone)
            counts = count_conditions([fact], local_day(look.now, zone))
            stands = ConditionState.OVERDUE if counts.overdue else ConditionState.OPEN
            return ConditionView(
                review=condition.review,
                number=condition.number,
                project=condition.project,
                portfolio=condition.portfolio,
                reference=_reference(known, condition.project),
                name=_name(known, condition.project),
                gate=condition.gate,
                text=condition.text,
                owner=condition.owner,
                state=ConditionState.CLOSED if condition.closed_at is not None else stands,
                set_on=fact.set_on,
                due=condition.due,
                closed_on=fact.closed_on,
                evidence=condition.evidence,
                remark=condition.remark,
            )

        return look.answer(ask.page(found, view, lambda each: (each.row.due, each.stream, each.row.number)))


class PlaceView(BaseModel):
    """Where a risk lies on the map, and where it lay before; `moved` is by how much its score has changed."""

    probability: int
    impact: int
    score: Decimal
    exposure: Money | None
    matrix_number: int
    assessed_at: datetime
    probability_before: int | None
    impact_before: int | None
    moved: Decimal | None


class RiskView(BaseModel):
    """An open risk and its places on the map; None where it wasn't assessed on that basis."""

    risk: RiskId
    project: ProjectId
    portfolio: PortfolioId
    reference: Code | None
    name: Name | None
    kind: RiskKind
    title: Name
    category: Code
    owner: SubjectId
    proximity: date | None
    raised_at: datetime
    responses: int
    inherent: PlaceView | None
    current: PlaceView | None
    target: PlaceView | None


class CellView(BaseModel):
    """How many open risks lie in a cell of the map, and how many of these came from another cell when last assessed."""

    kind: RiskKind
    basis: AssessmentBasis
    probability: int
    impact: int
    count: int
    moved_in: int


class HeatMap(Answer[RiskView]):
    """The open risks page by page, and the cells of all of them."""

    cells: list[CellView]


@api.query("/risk-heat-map", operation="getRiskHeatMap", response=HeatMap, history=True, paged=True)
async def get_risk_heat_map(ask: Ask, node: Node = None) -> HeatMap:
    """Show the open risks by probability and impact, before responses, as they are and as they shall be."""
    async with looking(ask, node, RISK_REGISTER) as look:
        query = rows_of(RISK_REGISTER, look.scope)
        columns = query.selected_columns
        query = query.where(columns["state"] == RiskState.OPEN.value)
        every = await find(look.connection, RISK_REGISTER, query)
        found = await find(look.connection, RISK_REGISTER, ask.keyset(query, columns["raised_at"], columns["stream"]))
        known = await labels(look.connection, [each.row.project for each in found])

        def view(each: Found[Risk]) -> RiskView:
            risk = each.row
            return RiskView(
                risk=risk.risk,
                project=risk.project,
                portfolio=risk.portfolio,
                reference=_reference(known, risk.project),
                name=_name(known, risk.project),
                kind=risk.kind,
                title=risk.title,
                category=risk.category,
                owner=risk.owner,
                proximity=risk.proximity,
                raised_at=risk.raised_at,
                responses=risk.responses,
                inherent=_place(risk.inherent, risk.inherent_before),
                current=_place(risk.current, risk.current_before),
                target=_place(risk.target, risk.target_before),
            )

        answer = look.answer(ask.page(found, view, lambda each: (each.row.raised_at, each.stream)))
        return HeatMap(**dict(answer), cells=_cells(each.row for each in every))


class IssueView(BaseModel):
    """An issue; it is open until it is resolved."""

    issue: IssueId
    project: ProjectId
    portfolio: PortfolioId
    reference: Code | None
    name: Name | None
    kind: IssueKind
    title: Name
    severity: Severity
    owner: SubjectId
    risk: RiskId | None
    raised_at: datetime
    resolved_at: datetime | None
    resolution: Text | None


@api.query("/issues", operation="listIssueRegister", response=Answer[IssueView], history=True, paged=True)
async def list_issue_register(ask: Ask, node: Node = None) -> Answer[IssueView]:
    """List issues, in the order in which they were raised."""
    async with looking(ask, node, ISSUES) as look:
        query = rows_of(ISSUES, look.scope)
        columns = query.selected_columns
        found = await find(look.connection, ISSUES, ask.keyset(query, columns["raised_at"], columns["stream"]))
        known = await labels(look.connection, [each.row.project for each in found])

        def view(each: Found[Issue]) -> IssueView:
            issue = each.row
            return IssueView(
                issue=issue.issue,
                project=issue.project,
                portfolio=issue.portfolio,
                reference=_reference(known, issue.project),
                name=_name(known, issue.project),
                kind=issue.kind,
                title=issue.title,
                severity=issue.severity,
                owner=issue.owner,
                risk=issue.risk,
                raised_at=issue.raised_at,
                resolved_at=issue.resolved_at,
                resolution=issue.resolution,
            )

        return look.answer(ask.page(found, view, lambda each: (each.row.raised_at, each.stream)))


class MilestoneView(BaseModel):
    """A milestone: the date it is planned for and the date it was reached."""

    project: ProjectId
    reference: Code | None
    name: Name | None
    milestone: Code
    planned: date | None
    actual: date | None


@api.query("/milestones", operation="listMilestones", response=Answer[MilestoneView], history=True, paged=True)
async def list_milestones(ask: Ask, node: Node = None) -> Answer[MilestoneView]:
    """List milestones, project by project."""
    async with looking(ask, node, MILESTONES) as look:
        query = rows_of(MILESTONES, look.scope)
        columns = query.selected_columns
        found = await find(look.connection, MILESTONES, ask.keyset(query, columns["project"], columns["milestone"]))
        known = await labels(look.connection, [each.row.project for each in found])
        page = ask.page(
            found,
            lambda each: MilestoneView(
                project=each.row.project,
                reference=_reference(known, each.row.project),
                name=_name(known, each.row.project),
                milestone=each.row.milestone,
                planned=each.row.planned,
                actual=each.row.actual,
            ),
            lambda each: (each.row.project, each.row.milestone),
        )
        return look.answer(page)


class ReportView(BaseModel):
    """The newest edition of a project's latest status report, the figures it rests on, and who stands by it."""

    report: ReportId
    project: ProjectId
    portfolio: PortfolioId
    reference: Code | None
    name: Name | None
    edition: int
    period_start: date
    period_end: date
    scale: Scale
    confidences: tuple[Confidence, ...]
    narrative: Text
    decisions_wanted: tuple[Text, ...]
    author: SubjectId
    drafted_at: datetime
    figures: tuple[Figure, ...]
    manager_signed_at: datetime | None
    sponsor_signed_at: datetime | None


@api.query(
    "/status-reports", operation="listLatestStatusReports", response=Answer[ReportView], history=True, paged=True
)
async def list_latest_status_reports(ask: Ask, node: Node = None) -> Answer[ReportView]:
    """List the latest status report of each project."""
    async with looking(ask, node, LATEST_REPORTS) as look:
        query = latest_reports(look.scope)
        found = await find(look.connection, LATEST_REPORTS, ask.keyset(query, query.selected_columns["project"]))
        known = await labels(look.connection, [each.row.project for each in found])

        def view(each: Found[Report]) -> ReportView:
            report = each.row
            return ReportView(
                report=report.report,
                project=report.project,
                portfolio=report.portfolio,
                reference=_reference(known, report.project),
                name=_name(known, report.project),
                edition=report.edition,
                period_start=report.period_start,
                period_end=report.period_end,
                scale=report.scale,
                confidences=report.confidences,
                narrative=report.narrative,
                decisions_wanted=report.decisions_wanted,
                author=report.author,
                drafted_at=report.drafted_at,
                figures=report.figures,
                manager_signed_at=report.manager_signed_at,
                sponsor_signed_at=report.sponsor_signed_at,
            )

        return look.answer(ask.page(found, view, lambda each: (each.row.project,)))


class KpiView(BaseModel):
    """The definition of a KPI. It is asked for under its own name, or with its family's others under the family's."""

    name: Code
    family: Code
    version: int
    title: Name
    unit: Code
    formula: Text
    direction: Direction
    thresholds: tuple[Threshold, ...]


@api.query("/kpis", operation="listKpis", response=Page[KpiView], found=False)
async def list_kpis(ask: Ask) -> Page[KpiView]:
    """List the definitions of the KPIs."""
    ask.open_to_every_caller()
    return Page(
        items=[
            KpiView(
                name=kpi.name,
                family=family.name,
                version=kpi.version,
                title=kpi.title,
                unit=kpi.unit,
                formula=kpi.formula,
                direction=kpi.direction,
                thresholds=kpi.thresholds,
            )
            for family in kpis.FAMILIES
            for kpi in family.kpis
        ]
    )


class DurationRow(BaseModel):
    """Durations of a group in days, exact: `count` have both dates, `left_out` not; `negative` end before they begin.

    Group None is without that attribute, or all of them where no grouping was asked for.
    """

    group: Name | None
    count: int
    median: Decimal | None
    p80: Decimal | None
    left_out: int
    negative: tuple[ProjectId, ...]
    undefined_because: Text | None


class ConditionsRow(BaseModel):
    """The open conditions of a group, and how many of them are overdue."""

    group: Name | None
    open: int
    overdue: int


class SumView(BaseModel):
    """A sum in one currency, and over how many projects."""

    amount: Decimal
    currency: Currency
    count: int


class PortfolioRow(BaseModel):
    """The projects of a group, and the sums of their newest budget forecasts; `without_forecast` are in no sum."""

    group: Name | None
    count: int
    budget_forecast: list[SumView]
    without_forecast: int


class GateAgeRow(BaseModel):
    """How long ago a project was last let through a gate."""

    group: Name | None
    project: ProjectId
    gate: Code | None
    decided_on: date | None
    days: Decimal | None
    undefined_because: Text | None


FigureRow = DurationRow | ConditionsRow | PortfolioRow | GateAgeRow


class KpiHead(BaseModel):
    """Which KPI was asked for, how it is computed, and what the answer rests on."""

    kpi: Code
    version: int
    unit: Text
    formula: Text
    node: NodeId | None
    from_gate: Code | None
    to_gate: Code | None
    by: Code | None
    data_date: date
    as_of: datetime | None
    recorded_by: datetime | None
    offsets: dict[str, dict[int, int]]
    fold_versions: dict[str, int]
    provisional: bool


class KpiAnswer(KpiHead):
    """A KPI's figures by group; `total` is over all of them together, None where that would mean nothing."""

    rows: list[FigureRow]
    total: FigureRow | None
    undefined_because: Text | None


class BasisView(BaseModel):
    """What one project brought into the figures, and the identity of the event behind each fact."""

    project: ProjectId
    reference: Code | None
    group: Name | None
    facts: dict[str, str]
    events: dict[str, str]


class KpiExplanation(KpiHead):
    """A KPI's figures, and the rows that they were computed from."""

    figures: list[FigureRow]
    total: FigureRow | None
    undefined_because: Text | None
    rows: list[BasisView]


@dataclass(frozen=True, slots=True)
class KpiQuestion:
    """Which KPI is asked for, and how: `start` and `end` are gates, `by` is an attribute of projects."""

    family: Family
    asked: tuple[Kpi, ...]
    name: str
    start: Code | None
    end: Code | None
    by: Code | None

    @property
    def rests_on(self) -> tuple[ReadModel[Any], ...]:
        """The read models that the KPI is computed from."""
        own = RESTS_ON[self.family.name]
        return own if self.by is None or PROJECT_OVERVIEW in own else (*own, PROJECT_OVERVIEW)


RESTS_ON: Final[Mapping[str, tuple[ReadModel[Any], ...]]] = {
    kpis.GATE_DURATION.name: (DECISION_REGISTER,),
    kpis.APPROVAL_TIME.name: (REVIEWS, BODIES),
    kpis.CONDITIONS.name: (CONDITIONS,),
    kpis.PORTFOLIO.name: (PROJECT_OVERVIEW,),
    kpis.GATE_AGE.name: (PROJECT_OVERVIEW, DECISION_REGISTER),
}


@dataclass(frozen=True, slots=True)
class Computed:
    """Figures by group, over all, and what they rest on."""

    rows: list[FigureRow]
    total: FigureRow | None
    basis: tuple[Basis, ...]
    undefined_because: Text | None


@api.query("/kpis/{kpi}", operation="getKpi", response=KpiAnswer, history=True)
async def get_kpi(
    ask: Ask, kpi: Code, node: Node = None, start: From = None, end: To = None, by: By = None
) -> KpiAnswer:
    """Compute a KPI."""
    question = _question(ask, kpi, start, end, by)
    async with looking(ask, node, *question.rests_on) as look:
        computed = await _compute(look, question)
        return KpiAnswer(
            **_head(look, question),
            rows=computed.rows,
            total=computed.total,
            undefined_because=computed.undefined_because,
        )


@api.query("/kpis/{kpi}/explanation", operation="explainKpi", response=KpiExplanation, history=True)
async def explain_kpi(
    ask: Ask, kpi: Code, node: Node = None, start: From = None, end: To = None, by: By = None
) -> KpiExplanation:
    """Show what a KPI rests on: its formula, the rows that it was computed from, and the events that set them."""
    question = _question(ask, kpi, start, end, by)
    async with looking(ask, node, *question.rests_on) as look:
        computed = await _compute(look, question)
        known = await labels(look.connection, [each.project for each in computed.basis])
        return KpiExplanation(
            **_head(look, question),
            figures=computed.rows,
            total=computed.total,
            undefined_because=computed.undefined_because,
            rows=[
                BasisView(
                    project=each.project,
                    reference=_reference(known, each.project),
                    group=each.group,
                    facts=dict(each.facts),
                    events=dict(each.events),
                )
                for each in computed.basis
            ],
        )


def _question(ask: Ask, name: str, start: Code | None, end: Code | None, by: Code | None) -> KpiQuestion:
    found = kpis.find(name)
    if found is None:
        raise ask.missing("KPI", name)
    family, asked = found
    faults = []
    for parameter, value in (("from", start), ("to", end)):
        if family == kpis.GATE_DURATION and not value:
            faults.append(
                InputError(parameter=parameter, detail="is missing", remedy="give a gate, such as from=PBC&to=BCA")
            )
        elif family != kpis.GATE_DURATION and value is not None:
            faults.append(
                InputError(parameter=parameter, detail=f"means nothing to {name}", value=value, remedy="leave it out")
            )
    if family == kpis.GATE_AGE and by is not None:
        faults.append(InputError(parameter="by", detail=f"means nothing to {name}", value=by, remedy="leave it out"))
    if faults:
        raise invalid(faults, HEADER_INVALID)
    return KpiQuestion(family, asked, name, start, end, by)


def _head(look: Look, question: KpiQuestion) -> dict[str, Any]:
    asked = question.asked
    return {
        "kpi": question.name,
        "version": max(kpi.version for kpi in asked),
        "unit": ", ".join(dict.fromkeys(kpi.unit for kpi in asked)),
        "formula": asked[0].formula
        if len(asked) == 1
        else "; ".join(f"{kpi.name} (version {kpi.version}): {kpi.formula}" for kpi in asked),
        "node": look.scope.node.node if look.scope.node is not None else None,
        "from_gate": question.start,
        "to_gate": question.end,
        "by": question.by,
        "data_date": local_day(look.now, look.zone),
        "as_of": look.bounds.as_of,
        "recorded_by": look.bounds.recorded_by,
        "offsets": look.offsets,
        "fold_versions": look.fold_versions,
        "provisional": look.provisional,
    }


async def _compute(look: Look, question: KpiQuestion) -> Computed:
    family, by = question.family, question.by
    attributes = Attributes(await look.parts(ProjectAttributes) if by is not None else (), by)
    apart = attributes if by is not None else None
    if family == kpis.PORTFOLIO:
        return _overview_figures(portfolio(await look.parts(ProjectState), apart))
    if family == kpis.GATE_AGE:
        projects, decisions = await look.parts(ProjectState), await look.parts(GateDecision)
        references = {each.row.project: each.row.reference for each in projects}
        return _gate_ages(gate_ages(projects, decisions, look.zones, look.now), references)
    if family == kpis.CONDITIONS:
        return _condition_figures(conditions(await look.parts(ConditionDates), attributes, look.zones, look.now), by)
    if family == kpis.APPROVAL_TIME:
        names = await body_names(look.connection)
        figures = approval_time(await look.parts(ReviewTimes), names, apart, look.zones)
        return _duration_figures(figures, "no review was submitted here by then", grouped=True)
    assert question.start is not None, "asked for without a start, this is refused before"
    assert question.end is not None, "asked for without an end, this is refused before"
    query = rows_of(DECISION_REGISTER, look.scope)
    query = query.where(query.selected_columns["gate"].in_([question.start, question.end]))
    decisions = await find_parts(look.connection, GateDecision, query)
    figures = gate_duration(decisions, attributes, look.zones, start=question.start, end=question.end)
    nothing = f"no project here was let through {question.start} or {question.end} by then"
    return _duration_figures(figures, nothing, grouped=by is not None)


def _duration_figures(figures: DurationFigures, nothing: Text, *, grouped: bool) -> Computed:
    total = _duration_row(figures.total)
    rows: list[FigureRow] = [_duration_row(each) for each in figures.groups] if grouped else [total]
    because = total.undefined_because
    return Computed(rows, total, figures.basis, because if figures.basis else nothing)


def _duration_row(each: Durations) -> DurationRow:
    median, p80 = each.median, each.p80
    return DurationRow(
        group=each.group,
        count=each.count,
        median=median.value if isinstance(median, Defined) else None,
        p80=p80.value if isinstance(p80, Defined) else None,
        left_out=each.left_out,
        negative=each.negative,
        undefined_because=median.because if isinstance(median, Undefined) else None,
    )


def _condition_figures(figures: ConditionFigures, by: Code | None) -> Computed:
    total = ConditionsRow(group=None, open=figures.total.open, overdue=figures.total.overdue)
    rows: list[FigureRow] = [total]
    if by is not None:
        rows = [ConditionsRow(group=group, open=each.open, overdue=each.overdue) for group, each in figures.groups]
    return Computed(rows, total, figures.basis, None)


def _overview_figures(figures: OverviewFigures) -> Computed:
    rows: list[FigureRow] = [_portfolio_row(group, each) for group, each in figures.groups]
    because = None if figures.total.count else "no project was known here by then"
    return Computed(rows, _portfolio_row(None, figures.total), figures.basis, because)


def _portfolio_row(group: Name | None, figures: PortfolioFigures) -> PortfolioRow:
    return PortfolioRow(
        group=group,
        count=figures.count,
        budget_forecast=[
            SumView(amount=each.amount, currency=each.currency, count=each.count) for each in figures.budget_forecasts
        ],
        without_forecast=figures.without_forecast,
    )


def _gate_ages(ages: GateAges, references: Mapping[ProjectId, Code]) -> Computed:
    rows: list[FigureRow] = [
        GateAgeRow(
            group=references[each.project],
            project=each.project,
            gate=each.gate,
            decided_on=each.decided_on,
            days=each.age.value if isinstance(each.age, Defined) else None,
            undefined_because=each.age.because if isinstance(each.age, Undefined) else None,
        )
        for each in ages.projects
    ]
    return Computed(rows, None, ages.basis, None if rows else "no project was known here by then")


def _by_project(found: Iterable[Found[Any]]) -> Mapping[ProjectId, list[Found[Any]]]:
    by_project: dict[ProjectId, list[Found[Any]]] = {}
    for each in found:
        by_project.setdefault(each.row.project, []).append(each)
    return by_project


def _latest(reports: Iterable[Found[Report]]) -> Report | None:
    rows = [each.row for each in reports]
    return max(rows, key=lambda report: (report.period_end, report.drafted_at, report.report), default=None)


def _overall(report: Report) -> Rating | None:
    return next((each.rating for each in report.confidences if each.dimension is Dimension.OVERALL), None)


def _current(phases: Sequence[PhaseProgress]) -> PhaseProgress | None:
    begun = [phase for phase in phases if phase.progress in (Progress.IN_PROGRESS, Progress.COMPLETE)]
    return begun[-1] if begun else None


def _place(now: Place | None, before: Place | None) -> PlaceView | None:
    if now is None:
        return None
    return PlaceView(
        probability=now.probability,
        impact=now.impact,
        score=now.score,
        exposure=now.exposure,
        matrix_number=now.matrix_number,
        assessed_at=now.assessed_at,
        probability_before=before.probability if before is not None else None,
        impact_before=before.impact if before is not None else None,
        # Scores under two editions of the matrix don't compare.
        moved=now.score - before.score if before is not None and before.matrix_number == now.matrix_number else None,
    )


def _cells(risks: Iterable[Risk]) -> list[CellView]:
    cells: dict[tuple[RiskKind, AssessmentBasis, int, int], CellView] = {}
    for risk in risks:
        for basis, now, before in (
            (AssessmentBasis.INHERENT, risk.inherent, risk.inherent_before),
            (AssessmentBasis.CURRENT, risk.current, risk.current_before),
            (AssessmentBasis.TARGET, risk.target, risk.target_before),
        ):
            if now is None:
                continue
            place = (risk.kind, basis, now.probability, now.impact)
            kind, _, probability, impact = place
            cell = cells.setdefault(
                place,
                CellView(kind=kind, basis=basis, probability=probability, impact=impact, count=0, moved_in=0),
            )
            cell.count += 1
            cell.moved_in += before is not None and (before.probability, before.impact) != (probability, impact)
    order = list(AssessmentBasis)
    return [
        cells[place]
        for place in sorted(cells, key=lambda each: (each[0].value, order.index(each[1]), -each[2], -each[3]))
    ]


def _reference(known: Mapping[ProjectId, NodeRow], project: ProjectId) -> Code | None:
    found = known.get(project)
    return found.reference if found is not None else None


def _name(known: Mapping[ProjectId, NodeRow], project: ProjectId) -> Name | None:
    found = known.get(project)
    return found.name if found is not None else None
