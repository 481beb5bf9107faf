"""Risks as they stand, and where each lay before it was last assessed."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from typing import Any, Final

from govevents import risks
from govevents.document import Recorded
from govevents.risks import Basis, RiskKind
from govevents.values import value
from govkernel.domain import Code, Money, Name, PortfolioId, ProjectId, RiskId, SubjectId
from govkernel.readmodels import ReadModel


class RiskState(Enum):
    """Where a risk stands."""

    OPEN = "open"
    OCCURRED = "occurred"
    CLOSED = "closed"


@value
class Place:
    """Where an assessment put a risk: the level of its probability, the highest level of its impacts, its score.

    The score is that of the matrix's edition and method, which need not be the cell's.
    """

    probability: int
    impact: int
    score: Decimal
    exposure: Money | None
    matrix_number: int
    assessed_at: datetime


@value
class Risk:
    """A risk with its newest assessment on each basis; the `_before` are those that these replaced."""

    risk: RiskId
    project: ProjectId
    portfolio: PortfolioId
    kind: RiskKind
    title: Name
    category: Code
    owner: SubjectId
    proximity: date | None
    state: RiskState
    raised_at: datetime
    inherent: Place | None = None
    inherent_before: Place | None = None
    current: Place | None = None
    current_before: Place | None = None
    target: Place | None = None
    target_before: Place | None = None
    responses: int = 0


def evolve(rows: Mapping[str, Risk], recorded: Recorded[Any]) -> Mapping[str, Risk]:
    """One stream is one risk; of other streams there is nothing here."""
    stream, time = recorded.envelope.stream, recorded.envelope.time
    match recorded.event:
        case risks.RiskRaised() as raised:
            made = Risk(
                risk=RiskId(stream),
                project=raised.project,
                portfolio=raised.portfolio,
                kind=raised.kind,
                title=raised.title,
                category=raised.category,
                owner=raised.owner,
                proximity=raised.proximity,
                state=RiskState.OPEN,
                raised_at=time,
            )
            return {str(stream): made}
        case event:
            return {key: _changed(known, event, time) for key, known in rows.items()}


def _changed(known: Risk, event: Any, time: datetime) -> Risk:
    match event:
        case risks.RiskAssessed() as assessed:
            impact = max((each.level for each in assessed.impacts), default=0)
            place = Place(assessed.probability, impact, assessed.score, assessed.exposure, assessed.matrix_number, time)
            match assessed.basis:
                case Basis.INHERENT:
                    return replace(known, inherent=place, inherent_before=known.inherent)
                case Basis.CURRENT:
                    return replace(known, current=place, current_before=known.current)
                case Basis.TARGET:
                    return replace(known, target=place, target_before=known.target)
        case risks.ResponsePlanned():
            return replace(known, responses=known.responses + 1)
        case risks.RiskOccurred():
            return replace(known, state=RiskState.OCCURRED)
        case risks.RiskClosed():
            return replace(known, state=RiskState.CLOSED)
        case _:
            return known


RISK_REGISTER: Final = ReadModel(
    name="risk_register",
    service="risks",
    version=1,
    row=Risk,
    events=(risks.RiskRaised, risks.RiskAssessed, risks.ResponsePlanned, risks.RiskOccurred, risks.RiskClosed),
    evolve=evolve,
    indexes=(("project",), ("portfolio",)),
)
