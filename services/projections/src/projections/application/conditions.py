"""The conditions of Conditional Gos: what must still be done, by whom, until when."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import date, datetime
from enum import Enum
from typing import Any, Final, assert_never

from govevents.approvals import (
    ConditionClosed,
    ConditionLapsed,
    ConditionReminded,
    ConditionWaived,
    Evidence,
    OnLapse,
    ReviewConcluded,
    ReviewKind,
)
from govevents.document import Recorded
from govevents.values import value
from govkernel.domain import BodyId, Code, PortfolioId, ProjectId, ReviewId, SubjectId, Text
from govkernel.readmodels import ReadModel


class Standing(Enum):
    """What has become of a condition: one that has lapsed is still open."""

    OPEN = "open"
    CLOSED = "closed"
    WAIVED = "waived"


@value
class Condition:
    """A condition that a review set, counted from 1 within it; it is open until `ended_at`, when it is met or waived.

    `lapsed_at` is when its day was over without that, and `on_lapse` followed; `escalated_to` is the body that is to
    see to it then. `waived_by` is the review that decided that it need not be met.
    """

    project: ProjectId
    portfolio: PortfolioId
    review: ReviewId
    kind: ReviewKind
    gate: Code | None
    number: int
    text: Text
    owner: SubjectId
    due: date
    shown_by: Text
    on_lapse: OnLapse
    set_at: datetime
    state: Standing = Standing.OPEN
    reminders: int = 0
    reminded_at: datetime | None = None
    lapsed_at: datetime | None = None
    escalated_to: BodyId | None = None
    ended_at: datetime | None = None
    evidence: tuple[Evidence, ...] = ()
    waived_by: Code | None = None
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
                    kind=concluded.kind,
                    gate=concluded.gate,
                    number=number,
                    text=condition.text,
                    owner=condition.owner,
                    due=condition.due,
                    shown_by=condition.shown_by,
                    on_lapse=condition.on_lapse,
                    set_at=envelope.time,
                )
                for number, condition in enumerate(concluded.conditions, start=1)
            }
        case (
            ConditionClosed(condition=number)
            | ConditionWaived(condition=number)
            | ConditionReminded(condition=number)
            | ConditionLapsed(condition=number)
        ):
            key = str(number)
            return {**rows, key: _changed(rows[key], recorded.event, envelope.time)}
        case _:
            return rows


def _changed(
    known: Condition, event: ConditionClosed | ConditionWaived | ConditionReminded | ConditionLapsed, time: datetime
) -> Condition:
    match event:
        case ConditionClosed(evidence=evidence, remark=remark):
            return replace(known, state=Standing.CLOSED, ended_at=time, evidence=evidence, remark=remark)
        case ConditionWaived(decision=decision, remark=remark):
            return replace(known, state=Standing.WAIVED, ended_at=time, waived_by=decision.stream, remark=remark)
        case ConditionReminded():
            return replace(known, reminders=known.reminders + 1, reminded_at=time)
        case ConditionLapsed(escalated_to=body):
            return replace(known, lapsed_at=time, escalated_to=body)
        case _:
            assert_never(event)


CONDITIONS: Final = ReadModel(
    name="conditions",
    service="approvals",
    version=2,
    row=Condition,
    events=(ReviewConcluded, ConditionClosed, ConditionWaived, ConditionReminded, ConditionLapsed),
    evolve=evolve,
    indexes=(("project",), ("portfolio", "due"), ("review",)),
)
