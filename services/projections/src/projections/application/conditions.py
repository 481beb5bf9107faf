"""The conditions of Conditional Gos: what must still be done, by whom, until when."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import date, datetime
from typing import Any, Final

from govevents.approvals import ConditionClosed, Evidence, ReviewConcluded
from govevents.document import Recorded
from govevents.values import value
from govkernel.domain import Code, PortfolioId, ProjectId, ReviewId, SubjectId, Text
from govkernel.readmodels import ReadModel


@value
class Condition:
    """A condition that a review set, counted from 1 within it; it is open until `closed_at`."""

    project: ProjectId
    portfolio: PortfolioId
    review: ReviewId
    gate: Code | None
    number: int
    text: Text
    owner: SubjectId
    due: date
    set_at: datetime
    closed_at: datetime | None = None
    evidence: tuple[Evidence, ...] = ()
    remark: Text | None = None


def evolve(rows: Mapping[str, Condition], recorded: Recorded[Any]) -> Mapping[str, Condition]:
    """A review's conclusion sets its conditions, each a row under its number; none is ever taken away."""
    envelope = recorded.envelope
    match recorded.event:
        case ReviewConcluded() as concluded:
            return {
                str(number): Condition(
                    project=concluded.project,
                    portfolio=concluded.portfolio,
                    review=ReviewId(envelope.stream),
                    gate=concluded.gate,
                    number=number,
                    text=condition.text,
                    owner=condition.owner,
                    due=condition.due,
                    set_at=envelope.time,
                )
                for number, condition in enumerate(concluded.conditions, start=1)
            }
        case ConditionClosed(condition=number, evidence=evidence, remark=remark):
            met = replace(rows[str(number)], closed_at=envelope.time, evidence=evidence, remark=remark)
            return {**rows, str(number): met}
        case _:
            return rows


CONDITIONS: Final = ReadModel(
    name="conditions",
    service="approvals",
    version=1,
    row=Condition,
    events=(ReviewConcluded, ConditionClosed),
    evolve=evolve,
    indexes=(("project",), ("portfolio", "due")),
)
