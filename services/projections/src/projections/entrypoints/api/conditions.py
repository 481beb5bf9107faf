"""The conditions of Conditional Gos."""

from datetime import date, datetime
from enum import Enum
from typing import Annotated, assert_never
from uuid import UUID

from fastapi import Query
from pydantic import BaseModel

from govevents.approvals import Evidence, OnLapse, ReviewKind
from govkernel.domain import (
    BodyId,
    Code,
    Name,
    PortfolioId,
    ProjectId,
    ReviewId,
    SubjectId,
    Text,
)
from govkernel.http import Ask
from projections.adapters.queries import (
    find,
    labels,
    local_date,
    rows_of,
)
from projections.application.conditions import CONDITIONS, Condition, Standing
from projections.application.figures import (
    Found,
    condition_fact,
)
from projections.domain.kpis import (
    local_day,
)
from projections.entrypoints.api.edge import (
    Answer,
    Node,
    Project,
    api,
    looking_at,
    name_of,
    reference_of,
)


class ConditionState(Enum):
    """What has become of a condition: open includes overdue where it is asked for."""

    OPEN = "open"
    OVERDUE = "overdue"
    CLOSED = "closed"
    WAIVED = "waived"


State = Annotated[ConditionState | None, Query(description="only conditions that stand so; open includes overdue")]


Owner = Annotated[UUID | None, Query(description="only conditions that this account is to meet")]


class ConditionView(BaseModel):
    """A condition of a Conditional Go; its days are in the portfolio's time zone.

    It is overdue once its day there is over. `on_lapse` is what follows then, `lapsed_at` when it did, and
    `escalated_to` the body that is to see to it. `waived_by` is the review that decided that it need not be met.
    """

    review: ReviewId
    number: int
    project: ProjectId
    portfolio: PortfolioId
    reference: Code | None
    name: Name | None
    kind: ReviewKind
    gate: Code | None
    text: Text
    owner: SubjectId
    state: ConditionState
    set_on: date
    due: date
    shown_by: Text
    on_lapse: OnLapse
    reminders: int
    reminded_at: datetime | None
    lapsed_at: datetime | None
    escalated_to: BodyId | None
    closed_on: date | None
    waived_on: date | None
    waived_by: ReviewId | None
    evidence: tuple[Evidence, ...]
    remark: Text | None


@api.query("/conditions", operation="listConditions", response=Answer[ConditionView], history=True, paged=True)
async def list_conditions(
    ask: Ask, node: Node = None, project: Project = None, state: State = None, owner: Owner = None
) -> Answer[ConditionView]:
    """List the conditions of Conditional Gos, those due first in front."""
    async with looking_at(ask, node, project, CONDITIONS) as look:
        query = rows_of(CONDITIONS, look.scope)
        columns = query.selected_columns
        if project is not None:
            query = query.where(columns["project"] == project)
        if owner is not None:
            query = query.where(columns["owner"] == owner)
        match state:
            case ConditionState.OPEN | ConditionState.CLOSED | ConditionState.WAIVED:
                query = query.where(columns["state"] == state.value)
            case ConditionState.OVERDUE:
                today = local_date(columns["portfolio"], look.zones, look.now)
                query = query.where(columns["state"] == Standing.OPEN.value, columns["due"] < today)
            case None:
                pass
            case _:
                assert_never(state)
        found = await find(
            look.connection, CONDITIONS, ask.keyset(query, columns["due"], columns["stream"], columns["number"])
        )
        known = await labels(look.connection, [each.row.project for each in found])

        def view(each: Found[Condition]) -> ConditionView:
            condition = each.row
            zone = look.zone_of(condition.portfolio)
            fact = condition_fact(condition.set_at, condition.due, condition.ended_at, zone)
            state = _state(condition.state, overdue=condition.due < local_day(look.now, zone))
            return ConditionView(
                review=condition.review,
                number=condition.number,
                project=condition.project,
                portfolio=condition.portfolio,
                reference=reference_of(known, condition.project),
                name=name_of(known, condition.project),
                kind=condition.kind,
                gate=condition.gate,
                text=condition.text,
                owner=condition.owner,
                state=state,
                set_on=fact.set_on,
                due=condition.due,
                shown_by=condition.shown_by,
                on_lapse=condition.on_lapse,
                reminders=condition.reminders,
                reminded_at=condition.reminded_at,
                lapsed_at=condition.lapsed_at,
                escalated_to=condition.escalated_to,
                closed_on=fact.ended_on if state is ConditionState.CLOSED else None,
                waived_on=fact.ended_on if state is ConditionState.WAIVED else None,
                waived_by=ReviewId(UUID(condition.waived_by)) if condition.waived_by is not None else None,
                evidence=condition.evidence,
                remark=condition.remark,
            )

        return look.answer(ask.page(found, view, lambda each: (each.row.due, each.stream, each.row.number)))


def _state(standing: Standing, *, overdue: bool) -> ConditionState:
    match standing:
        case Standing.OPEN:
            return ConditionState.OVERDUE if overdue else ConditionState.OPEN
        case Standing.CLOSED:
            return ConditionState.CLOSED
        case Standing.WAIVED:
            return ConditionState.WAIVED
        case _:
            assert_never(standing)
