"""Figures that became facts because a decision or a report rests on them."""

from datetime import date
from decimal import Decimal

from govevents.event import event
from govevents.values import Code, ProjectId, Text, value


@value
class InputOffset:
    """Up to where (exclusive) a partition of a topic had been read."""

    topic: Code
    partition: int
    offset: int


@event("projections", version=1)
class KpiMeasured:
    """A KPI of a project was measured because a review was submitted or a report drafted.

    `cause` is the identity of the event that asked for it. `value` None is undefined, for the reason given; it is never
    0 instead. `offsets` and the read models' `fold_versions` say on which data it rests.
    """

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
