"""A status report: what is said of a project for a period, in editions, on which figures, and who stands by it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Final, TypeAlias, assert_never
from uuid import uuid5

from govevents.reporting import (
    Confidence,
    FigureTaken,
    Rating,
    Scale,
    Signatory,
    StatusReportDrafted,
    StatusReportSignedOff,
)
from govkernel.domain import (
    Aggregate,
    Code,
    Link,
    NotKnownYet,
    PortfolioId,
    ProjectId,
    Refusal,
    ReportId,
    SubjectId,
    Text,
)


@dataclass(frozen=True, slots=True)
class NotDrafted:
    """Nothing is known under this id."""


@dataclass(frozen=True, slots=True)
class Edition:
    """The newest edition, the version of the stream that drafted it, the newest version, and its figures by KPI."""

    drafted: StatusReportDrafted
    drafted_version: int
    version: int
    figures: Mapping[Code, FigureTaken]


@dataclass(frozen=True, slots=True)
class Drafted:
    """Nobody has signed the newest edition; its figures are still coming in."""

    edition: Edition


@dataclass(frozen=True, slots=True)
class SignedByManager:
    """The manager stands by the newest edition."""

    edition: Edition
    manager: SubjectId


@dataclass(frozen=True, slots=True)
class SignedOff:
    """The manager and the sponsor stand by the newest edition."""

    edition: Edition
    manager: SubjectId
    sponsor: SubjectId


Known: TypeAlias = Drafted | SignedByManager | SignedOff
StatusReport: TypeAlias = NotDrafted | Known


@dataclass(frozen=True, slots=True)
class DraftReport:
    """Write the report, or correct it by a new edition; the fields are those of StatusReportDrafted."""

    project: ProjectId
    portfolio: PortfolioId
    period_start: date
    period_end: date
    scale: Scale
    confidences: tuple[Confidence, ...]
    narrative: Text
    decisions_wanted: tuple[Text, ...]
    author: SubjectId


@dataclass(frozen=True, slots=True)
class TakeFigure:
    """Rest an edition on a figure that was measured for it.

    `drafted_version` is the version of the event that asked for it, `measurement` the identity of the measurement.
    """

    drafted_version: int
    measurement: Code
    kpi: Code
    kpi_version: int
    value: Decimal | None
    unit: Code
    undefined_because: Text | None


@dataclass(frozen=True, slots=True)
class SignOff:
    """Stand by an edition; `manager` and `sponsor` are the project's, None where it has none."""

    edition: int
    signatory: Signatory
    signer: SubjectId
    manager: SubjectId | None
    sponsor: SubjectId | None
    remark: Text


Command: TypeAlias = DraftReport | TakeFigure | SignOff
Event: TypeAlias = StatusReportDrafted | FigureTaken | StatusReportSignedOff


class ReportNotKnown(NotKnownYet):
    """No status report is known under this id."""


class PeriodReversed(Refusal):
    """A period ends on the day it starts, or later."""


class DimensionRatedTwice(Refusal):
    """A report rates each dimension once."""


class RatingNotOnScale(Refusal):
    """The rating doesn't exist on the report's scale."""


class EditionSuperseded(Refusal):
    """The edition is not the newest one of the report."""


class EditionSigned(Refusal):
    """The edition is signed, so its figures stand; correct it by a new edition."""


class FigureAlreadyTaken(Refusal):
    """The edition already rests on another measurement of this KPI."""


class NotTheManager(Refusal):
    """Only the project's manager signs as the manager."""


class NotTheSponsor(Refusal):
    """Only the project's sponsor signs as the sponsor."""


class ManagerSignsFirst(Refusal):
    """The sponsor signs what the manager has signed."""


class AlreadySigned(Refusal):
    """Someone else has already signed this edition in this capacity."""


RATINGS: Final[Mapping[Scale, frozenset[Rating]]] = {
    Scale.FIVE_POINT: frozenset(Rating),
    Scale.THREE_POINT: frozenset(Rating) - {Rating.AMBER_GREEN, Rating.AMBER_RED},
}


def decide(command: Command, report: StatusReport) -> tuple[Event, ...]:
    """What follows from a command, or one of the refusals above."""
    match command:
        case DraftReport():
            return _draft(command, report)
        case TakeFigure():
            return _take(command, _known(report))
        case SignOff():
            return _sign_off(command, _known(report))
        case _:
            assert_never(command)


def _known(report: StatusReport) -> Known:
    if isinstance(report, NotDrafted):
        raise ReportNotKnown
    return report


def _draft(command: DraftReport, report: StatusReport) -> tuple[Event, ...]:
    if command.period_end < command.period_start:
        raise PeriodReversed(period_start=str(command.period_start), period_end=str(command.period_end))
    dimensions = [confidence.dimension for confidence in command.confidences]
    for confidence in command.confidences:
        dimension, rating = confidence.dimension, confidence.rating
        if dimensions.count(dimension) > 1:
            raise DimensionRatedTwice(dimension=dimension.value)
        if rating not in RATINGS[command.scale]:
            raise RatingNotOnScale(
                f"{dimension.value}: {rating.value} doesn't exist on the {command.scale.value} scale.",
                dimension=dimension.value,
                rating=rating.value,
                scale=command.scale.value,
            )

    def edition(number: int) -> StatusReportDrafted:
        return StatusReportDrafted(
            command.project,
            command.portfolio,
            number,
            command.period_start,
            command.period_end,
            command.scale,
            command.confidences,
            command.narrative,
            command.decisions_wanted,
            command.author,
        )

    if isinstance(report, NotDrafted):
        return (edition(1),)
    current = report.edition.drafted
    return () if edition(current.edition) == current else (edition(current.edition + 1),)


def _take(command: TakeFigure, report: Known) -> tuple[Event, ...]:
    edition = report.edition
    if command.drafted_version != edition.drafted_version:
        raise EditionSuperseded(edition=str(edition.drafted.edition))
    taken = FigureTaken(
        edition.drafted.project,
        edition.drafted.edition,
        command.measurement,
        command.kpi,
        command.kpi_version,
        command.value,
        command.unit,
        command.undefined_because,
    )
    before = edition.figures.get(command.kpi)
    if before == taken:
        return ()
    if before is not None:
        raise FigureAlreadyTaken(kpi=command.kpi, measurement=before.measurement)
    match report:
        case Drafted():
            return (taken,)
        case SignedByManager() | SignedOff():
            raise EditionSigned(edition=str(edition.drafted.edition), kpi=command.kpi)
        case _:
            assert_never(report)


def _sign_off(command: SignOff, report: Known) -> tuple[Event, ...]:
    newest = report.edition.drafted.edition
    if command.edition != newest:
        raise EditionSuperseded(
            f"The newest edition is {newest}, not {command.edition}.", edition=str(newest), given=str(command.edition)
        )
    signed = StatusReportSignedOff(
        report.edition.drafted.project, newest, command.signatory, command.signer, command.remark
    )
    match command.signatory:
        case Signatory.MANAGER:
            if command.signer != command.manager:
                raise NotTheManager(manager=str(command.manager or "named by the charter: nobody"))
            match report:
                case Drafted():
                    return (signed,)
                case SignedByManager(manager=manager) | SignedOff(manager=manager):
                    return _signed_before(manager, command)
                case _:
                    assert_never(report)
        case Signatory.SPONSOR:
            if command.signer != command.sponsor:
                raise NotTheSponsor(sponsor=str(command.sponsor or "named by the charter: nobody"))
            match report:
                case Drafted():
                    raise ManagerSignsFirst(edition=str(newest))
                case SignedByManager():
                    return (signed,)
                case SignedOff(sponsor=sponsor):
                    return _signed_before(sponsor, command)
                case _:
                    assert_never(report)
        case _:
            assert_never(command.signatory)


def _signed_before(signer: SubjectId, command: SignOff) -> tuple[Event, ...]:
    if signer != command.signer:
        raise AlreadySigned(signatory=command.signatory.value, signer=str(signer))
    return ()


def evolve(report: StatusReport, event: Event) -> StatusReport:
    """The report after an event."""
    if isinstance(event, StatusReportDrafted):
        version = 1 if isinstance(report, NotDrafted) else report.edition.version + 1
        return Drafted(Edition(event, version, version, {}))
    assert not isinstance(report, NotDrafted)
    before = report.edition
    match event:
        case FigureTaken(kpi=kpi):
            assert isinstance(report, Drafted)
            figures = {**before.figures, kpi: event}
            return Drafted(Edition(before.drafted, before.drafted_version, before.version + 1, figures))
        case StatusReportSignedOff(signer=signer):
            edition = Edition(before.drafted, before.drafted_version, before.version + 1, before.figures)
            match report:
                case Drafted():
                    return SignedByManager(edition, signer)
                case SignedByManager(manager=manager) | SignedOff(manager=manager):
                    return SignedOff(edition, manager, signer)
                case _:
                    assert_never(report)
        case _:
            assert_never(event)


LINK: Final = "status_report"
"""A report is found by its own id: so a reaction learns that the id in a measurement's cause is a report's."""
REPORT_OF: Final = "report_of"
"""A report is found by its project's id."""


def links(report: StatusReport) -> frozenset[Link]:
    """The report's links, to itself and to its project."""
    if isinstance(report, NotDrafted):
        return frozenset()
    drafted = report.edition.drafted
    own = stream_of(drafted.project, drafted.period_start, drafted.period_end)
    return frozenset({Link(LINK, own), Link(REPORT_OF, drafted.project)})


def stream_of(project: ProjectId, period_start: date, period_end: date) -> ReportId:
    """The report's id: a project has one for a period, in as many editions as it takes."""
    return ReportId(uuid5(project, f"report/{period_start.isoformat()}/{period_end.isoformat()}"))


STATUS_REPORT: Final[Aggregate[StatusReport, Command, Event]] = Aggregate(
    "status_report", NotDrafted(), decide, evolve, links=links
)
