"""The latest status report of each project."""

from datetime import date, datetime

from pydantic import BaseModel

from govevents.reporting import Confidence, Scale
from govkernel.domain import (
    Code,
    Name,
    PortfolioId,
    ProjectId,
    ReportId,
    SubjectId,
    Text,
)
from govkernel.http import Ask
from projections.adapters.queries import (
    find,
    labels,
    latest_reports,
)
from projections.application.figures import (
    Found,
)
from projections.application.latest_reports import LATEST_REPORTS, Figure, Report
from projections.entrypoints.api.edge import (
    Answer,
    Node,
    api,
    looking,
    name_of,
    reference_of,
)


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
                reference=reference_of(known, report.project),
                name=name_of(known, report.project),
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
