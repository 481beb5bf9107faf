"""What projections does because of what others did: a decision or a report gets the figures that it rests on."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC
from typing import Any, Final

from govevents.approvals import ReviewSubmitted
from govevents.document import Recorded
from govevents.projections import InputOffset
from govevents.reporting import StatusReportDrafted
from govkernel.domain import Code, NotKnownYet, ProjectId, Reaction
from projections.application.figures import MEASURED_FROM, OfProject, figures_of
from projections.domain.kpis import Defined, Undefined, local_day
from projections.domain.measurement import MEASUREMENT, Measure, stream_of

CAUSES: Final[tuple[type[Any], ...]] = (ReviewSubmitted, StatusReportDrafted)
"""The events that rest on figures."""


class ProjectNotKnownYet(NotKnownYet):
    """The project has not become known here yet, so nothing can be measured of it."""


@dataclass(frozen=True, slots=True)
class Reading:
    """Where a read model stood when it was read: its fold's version, and up to where its topic had been read."""

    fold: Code
    offsets: tuple[InputOffset, ...]


@dataclass(frozen=True, slots=True)
class Situation:
    """What was found for a cause: the project, None where it isn't known here, and where each read model stood."""

    known: OfProject | None
    readings: Mapping[str, Reading]


def project_of(recorded: Recorded[Any]) -> ProjectId | None:
    """The project whose figures an event rests on; None for events that rest on none."""
    match recorded.event:
        case ReviewSubmitted(project=project) | StatusReportDrafted(project=project):
            return project
        case _:
            return None


def react(recorded: Recorded[Any], found: Mapping[str, Situation]) -> tuple[Reaction, ...]:
    """The figures to be kept because of an event; `found` has, by the event's identity, what they are measured from.

    Raises ProjectNotKnownYet.
    """
    project = project_of(recorded)
    if project is None:
        return ()
    situation = found[recorded.id]
    known = situation.known
    if known is None:
        raise ProjectNotKnownYet(project=str(project))
    on = local_day(recorded.envelope.time, known.zones.get(known.overview.row.portfolio, UTC))
    reactions = []
    for kpi, unit, figure in figures_of(known, on):
        reading = situation.readings[MEASURED_FROM[kpi.name]]
        command = Measure(
            project=project,
            cause=recorded.id,
            kpi=kpi.name,
            kpi_version=kpi.version,
            data_date=on,
            value=figure.value if isinstance(figure, Defined) else None,
            unit=unit,
            undefined_because=figure.because if isinstance(figure, Undefined) else None,
            offsets=reading.offsets,
            fold_versions=(reading.fold,),
        )
        reactions.append(Reaction(MEASUREMENT, stream_of(recorded.id, kpi.name), command))
    return tuple(reactions)
