"""Projects at a glance, and where they stand between their gates."""

from collections.abc import Iterable, Sequence
from datetime import date, datetime, tzinfo
from typing import Final

from pydantic import BaseModel

from govevents.approvals import Outcome, ReviewKind
from govevents.projects import Attribute
from govevents.reporting import Dimension, Rating, Scale
from govkernel.access import NodeStatus
from govkernel.domain import (
    BodyId,
    Code,
    Money,
    Name,
    NodeId,
    PortfolioId,
    ProjectId,
    ReviewId,
    SubjectId,
    Text,
)
from govkernel.http import Ask
from projections.adapters.queries import (
    body_names,
    find,
    rows_of,
)
from projections.application.bodies import BODIES
from projections.application.breaches import BREACHES, Breach
from projections.application.conditions import CONDITIONS
from projections.application.decision_register import DECISION_REGISTER
from projections.application.figures import (
    ConditionDates,
    Found,
    GateDecision,
    last_gate,
)
from projections.application.gate_progress import GATE_PROGRESS, PhaseProgress, Progress
from projections.application.issues import ISSUES
from projections.application.latest_reports import LATEST_REPORTS, Report
from projections.application.project_overview import PROJECT_OVERVIEW, ProjectOverview
from projections.application.reviews import REVIEWS, Review, ReviewState
from projections.application.risk_register import RISK_REGISTER, RiskState
from projections.domain.kpis import (
    count_conditions,
    local_day,
)
from projections.entrypoints.api.edge import (
    Answer,
    Node,
    api,
    by_project,
    looking,
)

ONGOING: Final = (NodeStatus.ACTIVE.value, NodeStatus.ON_HOLD.value)
UNDECIDED: Final = (ReviewState.SUBMITTED, ReviewState.OPEN, ReviewState.ESCALATED)


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
    breaches: int
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
    rests_on = (PROJECT_OVERVIEW, DECISION_REGISTER, CONDITIONS, BREACHES, RISK_REGISTER, ISSUES, LATEST_REPORTS)
    async with looking(ask, node, *rests_on) as look:
        query = rows_of(PROJECT_OVERVIEW, look.scope)
        columns = query.selected_columns
        found = await find(
            look.connection, PROJECT_OVERVIEW, ask.keyset(query, columns["reference"], columns["project"])
        )
        shown = [each.row.project for each in found]
        decisions = by_project(await look.parts_of_projects(GateDecision, shown))
        set_conditions = by_project(await look.parts_of_projects(ConditionDates, shown))
        breaches = by_project(await look.of_projects(BREACHES, shown))
        risks = by_project(await look.of_projects(RISK_REGISTER, shown))
        issues = by_project(await look.of_projects(ISSUES, shown))
        reports = by_project(await look.of_projects(LATEST_REPORTS, shown))

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
                breaches=len(breaches.get(known.project, ())),
                risks_open=sum(risk.row.state is RiskState.OPEN for risk in risks.get(known.project, ())),
                issues_open=sum(issue.row.resolved_at is None for issue in issues.get(known.project, ())),
                confidence=_overall(report) if report is not None else None,
                scale=report.scale if report is not None else None,
                since=each.since,
            )

        return look.answer(ask.page(found, view, lambda each: (each.row.reference, each.row.project)))


class OpenReviewView(BaseModel):
    """A review that waits for its decision, and for how many days; an escalated one waits for someone above.

    `ready` says whether what it rests on was found to be there; None is not known yet.
    """

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
    ready: bool | None
    questions_open: int
    asked_again: int
    recused: int


class BreachView(BaseModel):
    """Work in a phase had begun on a day when its gate had not said so."""

    phase: Code
    gate: Code
    began_on: date
    reported_at: datetime
    reported_by: SubjectId
    remark: Text


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
    breaches: list[BreachView]


@api.query("/gate-pipeline", operation="listGatePipeline", response=Answer[PipelineView], history=True, paged=True)
async def list_gate_pipeline(ask: Ask, node: Node = None) -> Answer[PipelineView]:
    """List the projects that have not ended, with their phase, gates and open reviews, and since when, by reference."""
    async with looking(
        ask, node, PROJECT_OVERVIEW, GATE_PROGRESS, DECISION_REGISTER, REVIEWS, BREACHES, BODIES
    ) as look:
        query = rows_of(PROJECT_OVERVIEW, look.scope)
        columns = query.selected_columns
        found = await find(
            look.connection,
            PROJECT_OVERVIEW,
            ask.keyset(query.where(columns["status"].in_(ONGOING)), columns["reference"], columns["project"]),
        )
        shown = [each.row.project for each in found]
        phases = by_project(await look.of_projects(GATE_PROGRESS, shown))
        decisions = by_project(await look.parts_of_projects(GateDecision, shown))
        reviews = by_project(await look.of_projects(REVIEWS, shown))
        breaches = by_project(await look.of_projects(BREACHES, shown))
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
                votes=review.votes,
                ready=review.ready,
                questions_open=len(review.questions),
                asked_again=review.asked_again,
                recused=len(review.recused),
            )

        def view(each: Found[ProjectOverview]) -> PipelineView:
            known = each.row
            zone = look.zone_of(known.portfolio)
            today = local_day(look.now, zone)
            in_order = sorted((phase.row for phase in phases.get(known.project, ())), key=lambda phase: phase.position)
            current = _current(in_order)
            passed = last_gate(decisions.get(known.project, ()), look.zones)
            waiting = [phase.gate for phase in in_order if phase.gate and phase.progress is Progress.WAITING]
            open_reviews = [review for review in reviews.get(known.project, ()) if review.row.state in UNDECIDED]
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
                    for review in sorted(
                        open_reviews, key=lambda review: (review.row.submitted_at or review.since, review.stream)
                    )
                ],
                breaches=[
                    _breach_view(each.row)
                    for each in sorted(breaches.get(known.project, ()), key=lambda each: (each.row.began_on, each.key))
                ],
            )

        return look.answer(ask.page(found, view, lambda each: (each.row.reference, each.row.project)))


def _breach_view(breach: Breach) -> BreachView:
    return BreachView(
        phase=breach.phase,
        gate=breach.gate,
        began_on=breach.began_on,
        reported_at=breach.reported_at,
        reported_by=breach.reported_by,
        remark=breach.remark,
    )


def _latest(reports: Iterable[Found[Report]]) -> Report | None:
    rows = [each.row for each in reports]
    return max(rows, key=lambda report: (report.period_end, report.drafted_at, report.report), default=None)


def _overall(report: Report) -> Rating | None:
    return next((each.rating for each in report.confidences if each.dimension is Dimension.OVERALL), None)


def _current(phases: Sequence[PhaseProgress]) -> PhaseProgress | None:
    begun = [phase for phase in phases if phase.progress in (Progress.IN_PROGRESS, Progress.COMPLETE)]
    return begun[-1] if begun else None
