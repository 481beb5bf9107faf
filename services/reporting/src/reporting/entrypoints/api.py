"""What people and programs can ask of reporting over HTTP."""

from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from typing import Any, Final, TypeAlias
from uuid import UUID

from pydantic import BaseModel, Field

from govevents.reporting import Confidence, Scale, Signatory
from govkernel.access import NodeKind, NodeRow, node_of
from govkernel.domain import Code, NodeId, NotKnownYet, PortfolioId, ProjectId, ReportId, SubjectId, Text
from govkernel.http import Ask, Body, Call, Page, ServiceApi
from govkernel.ledger import Intent
from reporting.adapters.queries import newest_first, reports_of
from reporting.domain.status_report import (
    STATUS_REPORT,
    AlreadySigned,
    DimensionRatedTwice,
    Drafted,
    DraftReport,
    EditionSigned,
    EditionSuperseded,
    FigureAlreadyTaken,
    Known,
    ManagerSignsFirst,
    NotDrafted,
    NotTheManager,
    NotTheSponsor,
    PeriodReversed,
    RatingNotOnScale,
    ReportNotKnown,
    SignedByManager,
    SignedOff,
    SignOff,
    StatusReport,
    stream_of,
)

AnyIntent: TypeAlias = Intent[Any, Any, Any]

READ: Final = "node.read"
STATES: Final[Mapping[type[StatusReport], str]] = {
    Drafted: "drafted",
    SignedByManager: "signed_by_manager",
    SignedOff: "signed_off",
}


class ProjectNotKnown(NotKnownYet):
    """No project is known under this id; one that was just registered may not have arrived here yet."""


api = ServiceApi(
    "reporting",
    title="Gatehouse: reporting",
    refusals={
        NotTheManager: 403,
        NotTheSponsor: 403,
        # Only measurements meet these two, which nobody sends over HTTP; they are recorded with this status.
        EditionSigned: 409,
        FigureAlreadyTaken: 409,
    },
)


class ReportRequest(Body):
    """How a project stands; the same period again is a new edition, which corrects the one before."""

    project: ProjectId
    period_start: date
    period_end: date
    scale: Scale
    confidences: tuple[Confidence, ...]
    narrative: Text
    decisions_wanted: tuple[Text, ...] = ()


class SignOffRequest(Body):
    """Which edition is signed, and in which capacity; left out, it is the one that If-Match shows was read."""

    edition: int | None = None
    signatory: Signatory
    remark: Text = ""


class FigureView(BaseModel):
    """A figure that the report rests on; null is undefined, for the reason given."""

    kpi: Code
    kpi_version: int
    value: Decimal | None
    unit: Code
    undefined_because: str | None
    measurement: Code = Field(description="the identity of the event that measured it")


class ReportView(BaseModel):
    """The newest edition of a report, its figures, and who stands by it."""

    report: ReportId
    project: ProjectId
    portfolio: PortfolioId
    edition: int
    period_start: date
    period_end: date
    scale: Scale
    confidences: tuple[Confidence, ...]
    narrative: str
    decisions_wanted: tuple[str, ...]
    author: SubjectId
    state: str = Field(description="drafted, signed_by_manager or signed_off")
    figures: list[FigureView]
    signed_by_manager: SubjectId | None
    signed_by_sponsor: SubjectId | None


@api.command(
    "/status-reports",
    operation="draftReport",
    action="report.draft",
    body=ReportRequest,
    refusals=(ProjectNotKnown, PeriodReversed, DimensionRatedTwice, RatingNotOnScale),
)
async def draft_report(call: Call[ReportRequest]) -> AnyIntent:
    """Write the status report of a project for a period, or correct it by a new edition."""
    body = call.body
    project = await _project(call, body.project)
    return Intent(
        STATUS_REPORT,
        stream_of(body.project, body.period_start, body.period_end),
        DraftReport(
            project=body.project,
            portfolio=project.portfolio,
            period_start=body.period_start,
            period_end=body.period_end,
            scale=body.scale,
            confidences=body.confidences,
            narrative=body.narrative,
            decisions_wanted=body.decisions_wanted,
            author=call.subject,
        ),
        node=NodeId(body.project),
    )


@api.command(
    "/status-reports/{report}/sign-offs",
    operation="signReport",
    action="report.sign",
    body=SignOffRequest,
    if_match=True,
    refusals=(
        ReportNotKnown,
        ProjectNotKnown,
        EditionSuperseded,
        NotTheManager,
        NotTheSponsor,
        ManagerSignsFirst,
        AlreadySigned,
    ),
)
async def sign_report(call: Call[SignOffRequest]) -> AnyIntent:
    """Stand by the newest edition of a report and its figures: the manager first, then the sponsor."""
    report = call.path_id("report")
    state = (await call.load(STATUS_REPORT, report)).state
    assert not isinstance(state, NotDrafted), "a stream that exists was drafted"
    drafted = state.edition.drafted
    await call.runtime.require(call.caller, NodeId(drafted.project), call.context.now, "report.sign")
    project = await _project(call, drafted.project)
    body = call.body
    return Intent(
        STATUS_REPORT,
        report,
        SignOff(
            edition=drafted.edition if body.edition is None else body.edition,
            signatory=body.signatory,
            signer=call.subject,
            manager=project.manager,
            sponsor=project.sponsor,
            remark=body.remark,
        ),
        node=NodeId(drafted.project),
    )


@api.query("/status-reports/{report}", operation="getReport", response=ReportView)
async def get_report(ask: Ask, report: UUID) -> ReportView:
    """Read the newest edition of a report; its ETag is what a signature sends back as If-Match."""
    loaded = await ask.runtime.ledger.load(STATUS_REPORT, report)
    if isinstance(loaded.state, NotDrafted):
        raise ask.missing("status report", report)
    await ask.require(READ, NodeId(loaded.state.edition.drafted.project))
    ask.tag(report, loaded.head.version)
    return _view(ReportId(report), loaded.state)


@api.query("/status-reports", operation="listReports", response=Page[ReportView], paged=True)
async def list_reports(ask: Ask, project: UUID) -> Page[ReportView]:
    """List a project's reports, the one whose first edition was drafted last first."""
    await ask.require(READ, NodeId(project))
    async with ask.connection() as connection:
        rows = (await connection.execute(ask.keyset(reports_of(ProjectId(project)), newest_first))).all()
    views = {}
    for row in rows[: ask.window.limit]:
        state = (await ask.runtime.ledger.load(STATUS_REPORT, row.stream)).state
        assert not isinstance(state, NotDrafted), "only a report that was drafted has this link"
        views[row.stream] = _view(ReportId(row.stream), state)
    return ask.page(rows, lambda row: views[row.stream], lambda row: (row.place,))


async def _project(call: Call[Any], project: ProjectId) -> NodeRow:
    known = await node_of(call.runtime.engine, NodeId(project), NodeKind.PROJECT)
    if known is None:
        raise ProjectNotKnown(project=str(project))
    return known


def _view(report: ReportId, state: Known) -> ReportView:
    drafted = state.edition.drafted
    return ReportView(
        report=report,
        project=drafted.project,
        portfolio=drafted.portfolio,
        edition=drafted.edition,
        period_start=drafted.period_start,
        period_end=drafted.period_end,
        scale=drafted.scale,
        confidences=drafted.confidences,
        narrative=drafted.narrative,
        decisions_wanted=drafted.decisions_wanted,
        author=drafted.author,
        state=STATES[type(state)],
        figures=[
            FigureView(
                kpi=figure.kpi,
                kpi_version=figure.kpi_version,
                value=figure.value,
                unit=figure.unit,
                undefined_because=figure.undefined_because,
                measurement=figure.measurement,
            )
            for figure in sorted(state.edition.figures.values(), key=lambda figure: figure.kpi)
        ],
        signed_by_manager=None if isinstance(state, Drafted) else state.manager,
        signed_by_sponsor=state.sponsor if isinstance(state, SignedOff) else None,
    )
