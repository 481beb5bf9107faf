"""Status reports in their newest edition, with the figures they rest on and who stands by them."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Final

from govevents.document import Recorded
from govevents.reporting import (
    Confidence,
    FigureTaken,
    Scale,
    Signatory,
    StatusReportDrafted,
    StatusReportSignedOff,
)
from govevents.values import value
from govkernel.domain import Code, PortfolioId, ProjectId, ReportId, SubjectId, Text
from govkernel.readmodels import ReadModel


@value
class Figure:
    """A figure that the report rests on; `value` None is undefined, for the reason given."""

    kpi: Code
    kpi_version: int
    value: Decimal | None
    unit: Code
    undefined_because: Text | None
    measurement: Code


@value
class Report:
    """A project's report for a period, in its newest edition; a signature is None until it is given."""

    report: ReportId
    project: ProjectId
    portfolio: PortfolioId
    edition: int
    period_start: date
    period_end: date
    scale: Scale
    confidences: tuple[Confidence, ...]
    narrative: Text
    decisions_wanted: tuple[Text, ...]
    author: SubjectId
    drafted_at: datetime
    figures: tuple[Figure, ...] = ()
    manager_signed_at: datetime | None = None
    sponsor_signed_at: datetime | None = None


def evolve(rows: Mapping[str, Report], recorded: Recorded[Any]) -> Mapping[str, Report]:
    """One stream is one report; a new edition begins without figures and signatures."""
    stream, time = recorded.envelope.stream, recorded.envelope.time
    match recorded.event:
        case StatusReportDrafted() as drafted:
            made = Report(
                report=ReportId(stream),
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
                drafted_at=time,
            )
            return {str(stream): made}
        case event:
            return {key: _changed(known, event, time) for key, known in rows.items()}


def _changed(known: Report, event: Any, time: datetime) -> Report:
    match event:
        case FigureTaken() as taken if taken.edition == known.edition:
            figure = Figure(
                taken.kpi, taken.kpi_version, taken.value, taken.unit, taken.undefined_because, taken.measurement
            )
            return replace(known, figures=(*known.figures, figure))
        case StatusReportSignedOff(edition=edition, signatory=Signatory.MANAGER) if edition == known.edition:
            return replace(known, manager_signed_at=time)
        case StatusReportSignedOff(edition=edition, signatory=Signatory.SPONSOR) if edition == known.edition:
            return replace(known, sponsor_signed_at=time)
        case _:
            return known


LATEST_REPORTS: Final = ReadModel(
    name="latest_reports",
    service="reporting",
    version=1,
    row=Report,
    events=(StatusReportDrafted, FigureTaken, StatusReportSignedOff),
    evolve=evolve,
    indexes=(("project", "period_end"), ("portfolio",)),
)
