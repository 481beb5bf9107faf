"""Every decision about a project: those that were voted here, and those that were made elsewhere and brought in."""

from collections.abc import Mapping
from datetime import date, datetime
from enum import Enum
from typing import Any, Final

from govevents.approvals import Breach, DecisionRecorded, Ending, Outcome, ReviewConcluded, ReviewKind, Tally
from govevents.document import Recorded
from govevents.values import value
from govkernel.domain import BodyId, Code, Name, PortfolioId, ProjectId, Source, Text
from govkernel.readmodels import ReadModel


class Made(Enum):
    """How a decision came to be on record; nobody should take the one for the other."""

    VOTED_HERE = "voted_here"
    BROUGHT_IN = "brought_in"


@value
class Decision:
    """A decision.

    One that was voted here has the moment at which it fell, `body` where a body was its electorate, its votes, why it
    came out so, how many conditions it set, and the `breaches` that it came after. One that was brought in has its
    date, the body's name, and where it was read; what its source doesn't say is None.
    """

    project: ProjectId
    portfolio: PortfolioId
    kind: ReviewKind
    gate: Code | None
    made: Made
    outcome: Outcome | None
    decided_at: datetime | None = None
    decided_on: date | None = None
    body: BodyId | None = None
    body_name: Name | None = None
    submitted_at: datetime | None = None
    ending: Ending | None = None
    because: Text | None = None
    tally: Tally | None = None
    conditions: int = 0
    breaches: tuple[Breach, ...] = ()
    source: Source | None = None


def evolve(rows: Mapping[str, Decision], recorded: Recorded[Any]) -> Mapping[str, Decision]:
    """One row for each stream that decides: a review when it concludes, or a decision brought in."""
    key = str(recorded.envelope.stream)
    match recorded.event:
        case ReviewConcluded() as concluded:
            voted = Decision(
                project=concluded.project,
                portfolio=concluded.portfolio,
                kind=concluded.kind,
                gate=concluded.gate,
                made=Made.VOTED_HERE,
                outcome=concluded.outcome,
                decided_at=recorded.envelope.time,
                body=concluded.body,
                submitted_at=concluded.submitted_at,
                ending=concluded.ending,
                because=concluded.because,
                tally=concluded.tally,
                conditions=len(concluded.conditions),
                breaches=concluded.breaches,
            )
            return {**rows, key: voted}
        case DecisionRecorded() as decided:
            brought_in = Decision(
                project=decided.project,
                portfolio=decided.portfolio,
                kind=decided.kind,
                gate=decided.gate,
                made=Made.BROUGHT_IN,
                outcome=decided.outcome,
                decided_on=decided.decided_on,
                body_name=decided.body_name,
                source=decided.source,
            )
            return {**rows, key: brought_in}
        case _:
            return rows


DECISION_REGISTER: Final = ReadModel(
    name="decision_register",
    service="approvals",
    version=2,
    row=Decision,
    events=(ReviewConcluded, DecisionRecorded),
    evolve=evolve,
    indexes=(("project",), ("portfolio", "gate")),
)
