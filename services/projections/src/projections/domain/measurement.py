"""A measurement: a KPI of one project as it stood when something rested on it, kept as a fact."""

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Final, TypeAlias, assert_never
from uuid import NAMESPACE_URL, UUID, uuid5

from govevents.projections import InputOffset, KpiMeasured
from govkernel.domain import Aggregate, Code, ProjectId, Text


@dataclass(frozen=True, slots=True)
class NotMeasured:
    """Nothing was measured under this id."""


@dataclass(frozen=True, slots=True)
class Measured:
    """The figure is on record."""

    measured: KpiMeasured


Measurement: TypeAlias = NotMeasured | Measured


@dataclass(frozen=True, slots=True)
class Measure:
    """Keep a figure; the fields are those of KpiMeasured."""

    project: ProjectId
    cause: Code
    kpi: Code
    kpi_version: int
    data_date: date
    value: Decimal | None
    unit: Code
    undefined_because: Text | None
    offsets: tuple[InputOffset, ...]
    fold_versions: tuple[Code, ...]


Command: TypeAlias = Measure
Event: TypeAlias = KpiMeasured


def stream_of(cause: Code, kpi: Code) -> UUID:
    """The stream of what was measured for a cause: one for each KPI, so that nothing is measured twice."""
    return uuid5(NAMESPACE_URL, f"urn:gatehouse:measurement:{cause}:{kpi}")


def decide(command: Command, measurement: Measurement) -> tuple[Event, ...]:
    """The event that follows from a command; the first figure stands, whatever a second look would find."""
    match measurement:
        case NotMeasured():
            return (
                KpiMeasured(
                    project=command.project,
                    cause=command.cause,
                    kpi=command.kpi,
                    kpi_version=command.kpi_version,
                    data_date=command.data_date,
                    value=command.value,
                    unit=command.unit,
                    undefined_because=command.undefined_because,
                    offsets=command.offsets,
                    fold_versions=command.fold_versions,
                ),
            )
        case Measured():
            return ()
        case _:
            assert_never(measurement)


def evolve(_measurement: Measurement, event: Event) -> Measurement:
    """The measurement after an event."""
    return Measured(event)


MEASUREMENT: Final[Aggregate[Measurement, Command, Event]] = Aggregate("measurement", NotMeasured(), decide, evolve)
