"""What has happened to portfolios, programmes and projects."""

import re
from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from typing import Any, Final

from govevents.event import event
from govevents.values import (
    Code,
    Currency,
    Money,
    Name,
    NodeId,
    PortfolioId,
    ReviewId,
    Source,
    SubjectId,
    Text,
    value,
)


class Delivery(Enum):
    """The family of a methodology."""

    WATERFALL = "waterfall"
    AGILE = "agile"
    HYBRID = "hybrid"


class MilestoneBasis(Enum):
    """Whether a milestone's date has happened or is intended."""

    ACTUAL = "actual"
    PLANNED = "planned"


@value
class Phase:
    """A phase of a methodology; `gate` is the gate that has to say so before the phase begins, None for none."""

    code: Code
    name: Name
    gate: Code | None


@value
class Methodology:
    """The methodology a project follows, with its phases as they stood in that version."""

    name: Code
    version: int
    delivery: Delivery
    phases: tuple[Phase, ...]


@value
class Charter:
    """Why a project exists and who answers for it; what is not known is None."""

    purpose: Text
    sponsor: SubjectId | None
    manager: SubjectId | None
    value: Money | None


@value
class Attribute:
    """A property by which an organisation groups its projects, in its own words."""

    name: Code
    value: Name


@event("projects", version=1)
class PortfolioRegistered:
    """A portfolio exists; its sums are in this currency, its days are those of this time zone (IANA name)."""

    name: Name
    currency: Currency
    time_zone: Code


@event("projects", version=1)
class ProgrammeRegistered:
    """A programme exists below a portfolio or another programme."""

    portfolio: PortfolioId
    parent: NodeId
    name: Name


@event("projects", version=1)
class ProgrammeMoved:
    """A programme stands below another node of its portfolio."""

    portfolio: PortfolioId
    parent: NodeId


@event("projects", version=1)
class ProjectRegistered:
    """A project exists, below a portfolio or a programme; `reference` is unique within its portfolio.

    A project brought in by an import may have no methodology: nothing is claimed of what was not seen.
    """

    portfolio: PortfolioId
    parent: NodeId
    reference: Code
    name: Name
    charter: Charter
    methodology: Methodology | None
    attributes: tuple[Attribute, ...]
    source: Source | None


@event("projects", version=1)
class CharterAmended:
    """A project's charter reads differently from now on."""

    charter: Charter
    reason: Text


@event("projects", version=1)
class ProjectMoved:
    """A project stands below another node of its portfolio."""

    portfolio: PortfolioId
    parent: NodeId


@event("projects", version=2)
class PhaseAuthorised:
    """A gate has said that a phase may begin, at `decided_at`; None where that was not kept yet."""

    phase: Code
    gate: Code
    review: ReviewId
    decided_at: datetime | None = None


@event("projects", version=1)
class PhaseStarted:
    """Work in a phase has begun."""

    phase: Code


@event("projects", version=1)
class GateBreached:
    """Work in a phase has begun on a day when the gate before it had not said so, as somebody has reported."""

    portfolio: PortfolioId
    phase: Code
    gate: Code
    began_on: date
    reported_by: SubjectId
    remark: Text


@event("projects", version=1)
class PhaseCompleted:
    """Work in a phase is finished."""

    phase: Code


@event("projects", version=2)
class PhaseReturned:
    """A review has sent the project back to a phase: its work is open again, and what follows needs its gates anew.

    `gate` is the gate that said so, None where it was the review of the project's closure. It said so at `decided_at`;
    None where that was not kept yet.
    """

    phase: Code
    gate: Code | None
    review: ReviewId
    decided_at: datetime | None = None


@event("projects", version=1)
class ConditionsSet:
    """A review has let the project go on under conditions: so many, counted from 1, and all of them open."""

    review: ReviewId
    conditions: int


@event("projects", version=1)
class ConditionSettled:
    """A condition of a review is open no longer: it is met, or was waived by a decision."""

    review: ReviewId
    condition: int


@event("projects", version=2)
class ProjectHeld:
    """A project rests; `review` is the review whose outcome said so, None where a person did.

    `condition` is the condition of that review, counted from 1, whose lapse said so, None where none did.
    A project that rests can be held once more, for another condition.
    """

    reason: Text
    review: ReviewId | None
    condition: int | None = None


@event("projects", version=1)
class ProjectResumed:
    """A project that rested goes on."""

    reason: Text


@event("projects", version=1)
class ProjectTerminated:
    """A project has ended before its aim; `review` is the review that killed it, None where a person ended it."""

    reason: Text
    review: ReviewId | None


@event("projects", version=1)
class ProjectCompleted:
    """A project has reached its end: its last phase, where it has any, is complete.

    `review` is the closure review that said so, None where a person did.
    """

    summary: Text
    review: ReviewId | None


@event("projects", version=1)
class ProjectObserved:
    """What an imported report said of a project on a date. None means that the report was silent.

    An observation is no decision: a phase seen is not a gate passed. `schedule_change_days` and `budget_change` are
    against the report before.
    """

    reported_on: date
    phase: Name | None
    budget_forecast: Money | None
    budget_change: Money | None
    forecast_completion: date | None
    schedule_change_days: Decimal | None
    source: Source


@event("projects", version=1)
class MilestoneSet:
    """A milestone has happened or is planned on a date."""

    milestone: Code
    basis: MilestoneBasis
    date: date
    source: Source | None


def _decided_at_a_time_not_kept(data: Mapping[str, Any]) -> dict[str, Any]:
    return {**data, "decided_at": None}


def _held(data: Mapping[str, Any]) -> dict[str, Any]:
    """Version 1 named the condition in its reason alone; in these words, and under a review, no person wrote it."""
    lapsed = re.fullmatch(r"Condition (\d+) of a Conditional Go was not met by \d{4}-\d\d-\d\d\.", data["reason"])
    return {**data, "condition": int(lapsed[1]) if lapsed and data["review"] else None}


UPCASTERS: Final = {
    ("projects.PhaseAuthorised", 1): _decided_at_a_time_not_kept,
    ("projects.PhaseReturned", 1): _decided_at_a_time_not_kept,
    ("projects.ProjectHeld", 1): _held,
}
