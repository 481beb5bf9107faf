"""The register of decisions."""

from collections.abc import Callable
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from typing import Annotated, assert_never
from uuid import UUID

from fastapi import Query
from pydantic import BaseModel

from govevents.approvals import Breach, Ending, Outcome, ReviewKind, Tally
from govkernel.domain import (
    BodyId,
    Code,
    Name,
    PortfolioId,
    ProjectId,
    Source,
    Text,
)
from govkernel.http import Ask
from projections.adapters.queries import (
    body_names,
    find,
    labels,
    rows_of,
)
from projections.application.bodies import BODIES
from projections.application.conditions import CONDITIONS, Condition, Standing
from projections.application.decision_register import DECISION_REGISTER, Decision, Made
from projections.application.figures import (
    DecisionTimes,
    Found,
    Latency,
    PolicyOfReview,
    gates_before,
    latencies,
    latency,
    policy_name,
)
from projections.application.reviews import REVIEWS
from projections.domain.kpis import Defined, Undefined
from projections.entrypoints.api.edge import (
    Answer,
    FirstDay,
    LastDay,
    Look,
    Node,
    Project,
    api,
    looking,
    looking_at,
    name_of,
    period_of,
    reference_of,
)

Result = Annotated[Outcome | None, Query(alias="outcome", description="only decisions with this outcome")]
Gate = Annotated[Code | None, Query(description="only decisions at this gate", max_length=100)]


class DecisionView(BaseModel):
    """A decision, and how it was made: voted here, or made elsewhere and brought in from a source.

    `decided_on` is the day in the portfolio's time zone, `known_since` when the organisation knew of it. `latency_days`
    are calendar days, of a decision that was voted here since its submission, of one that was brought in since the
    project's decision at the gate before; None where there is none. `breaches` had begun by stealth before the decision
    was made: `after_breach` marks it as such. What its review can tell is None for a decision that was brought in.
    """

    decision: UUID
    project: ProjectId
    portfolio: PortfolioId
    reference: Code | None
    name: Name | None
    kind: ReviewKind
    gate: Code | None
    made: Made
    outcome: Outcome | None
    because: Text | None
    decided_on: date
    decided_at: datetime | None
    latency_days: int | None
    body: BodyId | None
    body_name: Name | None
    policy: Code | None
    policy_number: int | None
    submitted_at: datetime | None
    ending: Ending | None
    tally: Tally | None
    asked_again: int | None
    escalations: int | None
    votes_marked: int | None
    after_breach: bool
    breaches: tuple[Breach, ...]
    conditions: int
    conditions_open: int
    conditions_closed: int
    conditions_waived: int
    conditions_lapsed: int
    source: Source | None
    known_since: datetime


@api.query("/decisions", operation="listDecisions", response=Answer[DecisionView], history=True, paged=True)
async def list_decisions(
    ask: Ask, node: Node = None, project: Project = None, gate: Gate = None, outcome: Result = None
) -> Answer[DecisionView]:
    """List decisions, in the order in which they became known."""
    async with looking_at(ask, node, project, DECISION_REGISTER, REVIEWS, CONDITIONS, BODIES) as look:
        query = rows_of(DECISION_REGISTER, look.scope)
        columns = query.selected_columns
        for column, wanted in (("project", project), ("gate", gate)):
            if wanted is not None:
                query = query.where(columns[column] == wanted)
        if outcome is not None:
            query = query.where(columns["outcome"] == outcome.value)
        found = await find(look.connection, DECISION_REGISTER, ask.keyset(query, columns["since"], columns["stream"]))
        shown = [each.row.project for each in found]
        known = await labels(look.connection, shown)
        names = await body_names(look.connection)
        before = gates_before(await look.parts_of_projects(DecisionTimes, shown), look.zones)
        reviews = {each.stream: each.row for each in await look.of_projects(REVIEWS, shown)}
        conditions: dict[UUID, list[Condition]] = {}
        for condition in await look.of_projects(CONDITIONS, shown):
            conditions.setdefault(condition.stream, []).append(condition.row)

        def view(each: Found[Decision]) -> DecisionView:
            decision = each.row
            review = reviews.get(each.stream)
            own = conditions.get(each.stream, [])
            states = [condition.state for condition in own]
            start, decided = latency(_times(decision), before.get(each.stream), look.zones)
            return DecisionView(
                decision=each.stream,
                project=decision.project,
                portfolio=decision.portfolio,
                reference=reference_of(known, decision.project),
                name=name_of(known, decision.project),
                kind=decision.kind,
                gate=decision.gate,
                made=decision.made,
                outcome=decision.outcome,
                because=decision.because,
                decided_on=decided,
                decided_at=decision.decided_at,
                latency_days=(decided - start).days if start is not None else None,
                body=decision.body,
                body_name=names.get(decision.body) if decision.body is not None else decision.body_name,
                policy=review.policy if review is not None else None,
                policy_number=review.policy_number if review is not None else None,
                submitted_at=decision.submitted_at,
                ending=decision.ending,
                tally=decision.tally,
                asked_again=review.asked_again if review is not None else None,
                escalations=review.escalations if review is not None else None,
                votes_marked=review.marked if review is not None else None,
                after_breach=bool(decision.breaches),
                breaches=decision.breaches,
                conditions=decision.conditions,
                conditions_open=states.count(Standing.OPEN),
                conditions_closed=states.count(Standing.CLOSED),
                conditions_waived=states.count(Standing.WAIVED),
                conditions_lapsed=sum(condition.lapsed_at is not None for condition in own),
                source=decision.source,
                known_since=each.since,
            )

        return look.answer(ask.page(found, view, lambda each: (each.since, each.stream)))


def _times(decision: Decision) -> DecisionTimes:
    return DecisionTimes(
        decision.project,
        decision.portfolio,
        decision.gate,
        decision.made,
        decision.body,
        decision.body_name,
        decision.submitted_at,
        decision.decided_at,
        decision.decided_on,
    )


class LatencyBy(Enum):
    """What decisions are grouped by."""

    BODY = "body"
    POLICY = "policy"


By = Annotated[LatencyBy, Query(description="whose decisions they are, or under which edition of which policy")]


class LatencyView(BaseModel):
    """How long the decisions of a group took in calendar days, exact; percentiles interpolate linearly (type 7).

    Decisions that were voted here took from their submission, those brought in from the project's decision at the gate
    before: `made` keeps them apart. `left_out` have no such day. Group None is no body, or no policy.
    """

    group: Name | None
    made: Made
    count: int
    median: Decimal | None
    p90: Decimal | None
    left_out: int
    undefined_because: Text | None


class LatencyAnswer(BaseModel):
    """How long decisions took, by group, and what the answer rests on."""

    by: LatencyBy
    first_day: date | None
    last_day: date | None
    as_of: datetime | None
    recorded_by: datetime | None
    offsets: dict[str, dict[int, int]]
    fold_versions: dict[str, int]
    provisional: bool
    rows: list[LatencyView]


@api.query("/approval-latency", operation="getApprovalLatency", response=LatencyAnswer, history=True)
async def get_approval_latency(
    ask: Ask, node: Node = None, first_day: FirstDay = None, last_day: LastDay = None, by: By = LatencyBy.BODY
) -> LatencyAnswer:
    """Show how long decisions took, by the body that made them or by policy."""
    period = period_of(first_day, last_day)
    async with looking(ask, node, DECISION_REGISTER, REVIEWS, BODIES) as look:
        decisions = await look.parts(DecisionTimes)
        group_of = await _groups(look, by)
        return LatencyAnswer(
            by=by,
            first_day=first_day,
            last_day=last_day,
            as_of=look.bounds.as_of,
            recorded_by=look.bounds.recorded_by,
            offsets=look.offsets,
            fold_versions=look.fold_versions,
            provisional=look.provisional,
            rows=[_latency_view(each) for each in latencies(decisions, group_of, look.zones, period)],
        )


async def _groups(look: Look, by: LatencyBy) -> Callable[[Found[DecisionTimes]], Name | None]:
    match by:
        case LatencyBy.BODY:
            names = await body_names(look.connection)

            def body(found: Found[DecisionTimes]) -> Name | None:
                return names.get(found.row.body) if found.row.body is not None else found.row.body_name

            return body
        case LatencyBy.POLICY:
            policies = {each.stream: policy_name(each.row) for each in await look.parts(PolicyOfReview)}
            return lambda found: policies.get(found.stream)
        case _:
            assert_never(by)


def _latency_view(each: Latency) -> LatencyView:
    durations = each.durations
    median, p90 = durations.median, durations.p90
    return LatencyView(
        group=durations.group,
        made=each.made,
        count=durations.count,
        median=median.value if isinstance(median, Defined) else None,
        p90=p90.value if isinstance(p90, Defined) else None,
        left_out=durations.left_out,
        undefined_because=median.because if isinstance(median, Undefined) else None,
    )
