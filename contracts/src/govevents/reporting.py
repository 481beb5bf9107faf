"""What was said of projects, by whom, on which figures."""

from datetime import date
from decimal import Decimal
from enum import Enum

from govevents.event import event
from govevents.values import Code, PortfolioId, ProjectId, SubjectId, Text, value


class Scale(Enum):
    """The scale of a confidence. Ratings on different scales are never compared."""

    FIVE_POINT = "five_point"
    THREE_POINT = "three_point"


class Dimension(Enum):
    """What a confidence speaks of."""

    OVERALL = "overall"
    SCHEDULE = "schedule"
    COST = "cost"
    SCOPE = "scope"
    BENEFIT = "benefit"
    RESOURCE = "resource"
    QUALITY = "quality"


class Rating(Enum):
    """Delivery confidence; amber-green and amber-red exist on the five-point scale only."""

    GREEN = "green"
    AMBER_GREEN = "amber_green"
    AMBER = "amber"
    AMBER_RED = "amber_red"
    RED = "red"
    EXEMPT = "exempt"
    RESET = "reset"
    NOT_RATED = "not_rated"


class Signatory(Enum):
    """In which capacity a report is signed."""

    MANAGER = "manager"
    SPONSOR = "sponsor"


@value
class Confidence:
    """How confident the reporter is in one dimension, and why."""

    dimension: Dimension
    rating: Rating
    reason: Text


@event("reporting", version=1)
class StatusReportDrafted:
    """A status report for a project and period reads so; `edition` counts from 1, a later one corrects the last."""

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


@event("reporting", version=1)
class FigureTaken:
    """A report rests on this figure, as it was measured for it; `value` None is undefined, for the reason given."""

    project: ProjectId
    edition: int
    measurement: Code
    kpi: Code
    kpi_version: int
    value: Decimal | None
    unit: Code
    undefined_because: Text | None


@event("reporting", version=1)
class StatusReportSignedOff:
    """Someone stands by a report: the manager first, then the sponsor."""

    project: ProjectId
    edition: int
    signatory: Signatory
    signer: SubjectId
    remark: Text
