"""What reporting does because of what others did: a report takes the figures that were measured for it."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from govevents.document import Recorded
from govevents.projections import KpiMeasured
from govkernel.domain import Link
from govkernel.domain.reaction import Reaction
from reporting.domain.status_report import LINK, STATUS_REPORT, TakeFigure


def needs(recorded: Recorded[Any]) -> tuple[Link, ...]:
    """The link that tells whether a measurement's cause was a report; it may have been a review."""
    match recorded.event:
        case KpiMeasured(cause=cause):
            stream, _, _ = cause.partition("@")
            return (Link(LINK, UUID(stream)),)
        case _:
            return ()


def react(recorded: Recorded[Any], find: Mapping[Link, tuple[UUID, ...]]) -> tuple[Reaction, ...]:
    """The commands that follow from an event of projections; `find` has the streams behind the links of `needs`."""
    match recorded.event:
        case KpiMeasured() as measured:
            _, _, version = measured.cause.partition("@")
            command = TakeFigure(
                int(version),
                recorded.id,
                measured.kpi,
                measured.kpi_version,
                measured.value,
                measured.unit,
                measured.undefined_because,
            )
            reports = [report for link in needs(recorded) for report in find.get(link, ())]
            return tuple(Reaction(STATUS_REPORT, report, command) for report in reports)
        case _:
            return ()
