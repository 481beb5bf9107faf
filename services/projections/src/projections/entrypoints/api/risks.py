"""Open risks with their movement, and issues."""

from collections.abc import Iterable
from datetime import date, datetime
from decimal import Decimal

from pydantic import BaseModel

from govevents.risks import Basis as AssessmentBasis
from govevents.risks import IssueKind, RiskKind, Severity
from govkernel.domain import (
    Code,
    IssueId,
    Money,
    Name,
    PortfolioId,
    ProjectId,
    RiskId,
    SubjectId,
    Text,
)
from govkernel.http import Ask
from projections.adapters.queries import (
    find,
    labels,
    rows_of,
)
from projections.application.figures import (
    Found,
)
from projections.application.issues import ISSUES, Issue
from projections.application.risk_register import RISK_REGISTER, Place, Risk, RiskState
from projections.entrypoints.api.edge import (
    Answer,
    Node,
    api,
    looking,
    name_of,
    reference_of,
)


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
                reference=reference_of(known, risk.project),
                name=name_of(known, risk.project),
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
                reference=reference_of(known, issue.project),
                name=name_of(known, issue.project),
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
