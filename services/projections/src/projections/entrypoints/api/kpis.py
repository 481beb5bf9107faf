"""Figures, their definitions, and what each of them rests on."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Any, Final, TypeVar

from fastapi import Query
from pydantic import BaseModel

from govkernel.domain import (
    Code,
    Currency,
    Name,
    NodeId,
    ProjectId,
    Text,
)
from govkernel.http import Ask, InputError, Page, invalid
from govkernel.http.problems import HEADER_INVALID
from govkernel.readmodels import ReadModel
from projections.adapters.queries import (
    body_names,
    find_parts,
    labels,
    rows_of,
)
from projections.application.bodies import BODIES
from projections.application.conditions import CONDITIONS
from projections.application.decision_register import DECISION_REGISTER
from projections.application.figures import (
    Attributes,
    Basis,
    ConditionDates,
    ConditionFigures,
    DurationFigures,
    GateAges,
    GateDecision,
    OverviewFigures,
    Period,
    ProjectAttributes,
    ProjectState,
    ReviewTimes,
    ShareFigures,
    approval_time,
    conditions,
    decisions_overturned,
    first_pass_yield,
    gate_ages,
    gate_duration,
    portfolio,
)
from projections.application.project_overview import PROJECT_OVERVIEW
from projections.application.reviews import REVIEWS
from projections.domain import kpis
from projections.domain.kpis import (
    Defined,
    Direction,
    Durations,
    Family,
    Kpi,
    PortfolioFigures,
    Share,
    Threshold,
    Undefined,
    local_day,
)
from projections.entrypoints.api.edge import (
    FirstDay,
    LastDay,
    Look,
    Node,
    api,
    looking,
    period_of,
    reference_of,
)

Item = TypeVar("Item")


From = Annotated[Code | None, Query(alias="from", description="the gate at which the stretch begins", max_length=100)]
To = Annotated[Code | None, Query(alias="to", description="the gate at which the stretch ends", max_length=100)]
By = Annotated[Code | None, Query(description="an attribute of projects to group by", max_length=100)]


class KpiView(BaseModel):
    """The definition of a KPI. It is asked for under its own name, or with its family's others under the family's."""

    name: Code
    family: Code
    version: int
    title: Name
    unit: Code
    formula: Text
    direction: Direction
    thresholds: tuple[Threshold, ...]


@api.query("/kpis", operation="listKpis", response=Page[KpiView], found=False)
async def list_kpis(ask: Ask) -> Page[KpiView]:
    """List the definitions of the KPIs."""
    ask.open_to_every_caller()
    return Page(
        items=[
            KpiView(
                name=kpi.name,
                family=family.name,
                version=kpi.version,
                title=kpi.title,
                unit=kpi.unit,
                formula=kpi.formula,
                direction=kpi.direction,
                thresholds=kpi.thresholds,
            )
            for family in kpis.FAMILIES
            for kpi in family.kpis
        ]
    )


class DurationRow(BaseModel):
    """Durations of a group in days, exact: `count` have both dates, `left_out` not; `negative` end before they begin.

    Group None is without that attribute, or all of them where no grouping was asked for.
    """

    group: Name | None
    count: int
    median: Decimal | None
    p80: Decimal | None
    p90: Decimal | None
    left_out: int
    negative: tuple[ProjectId, ...]
    undefined_because: Text | None


class ConditionsRow(BaseModel):
    """The open conditions of a group, and how many of them are overdue."""

    group: Name | None
    open: int
    overdue: int


class SumView(BaseModel):
    """A sum in one currency, and over how many projects."""

    amount: Decimal
    currency: Currency
    count: int


class PortfolioRow(BaseModel):
    """The projects of a group, and the sums of their newest budget forecasts; `without_forecast` are in no sum."""

    group: Name | None
    count: int
    budget_forecast: list[SumView]
    without_forecast: int


class GateAgeRow(BaseModel):
    """How long ago a project was last let through a gate."""

    group: Name | None
    project: ProjectId
    gate: Code | None
    decided_on: date | None
    days: Decimal | None
    undefined_because: Text | None


class ShareRow(BaseModel):
    """How many of a group's are so, `part` of `whole`, and the share, exact; of `left_out` that isn't known."""

    group: Name | None
    part: int
    whole: int
    share: Decimal | None
    left_out: int
    undefined_because: Text | None


FigureRow = DurationRow | ShareRow | ConditionsRow | PortfolioRow | GateAgeRow


class KpiHead(BaseModel):
    """Which KPI was asked for, how it is computed, and what the answer rests on."""

    kpi: Code
    version: int
    unit: Text
    formula: Text
    node: NodeId | None
    from_gate: Code | None
    to_gate: Code | None
    by: Code | None
    first_day: date | None
    last_day: date | None
    data_date: date
    as_of: datetime | None
    recorded_by: datetime | None
    offsets: dict[str, dict[int, int]]
    fold_versions: dict[str, int]
    provisional: bool


class KpiAnswer(KpiHead):
    """A KPI's figures by group; `total` is over all of them together, None where that would mean nothing."""

    rows: list[FigureRow]
    total: FigureRow | None
    undefined_because: Text | None


class BasisView(BaseModel):
    """What one project brought into the figures, and the identity of the event behind each fact."""

    project: ProjectId
    reference: Code | None
    group: Name | None
    facts: dict[str, str]
    events: dict[str, str]


class KpiExplanation(KpiHead):
    """A KPI's figures, and the rows that they were computed from."""

    figures: list[FigureRow]
    total: FigureRow | None
    undefined_because: Text | None
    rows: list[BasisView]


@dataclass(frozen=True, slots=True)
class KpiQuestion:
    """Which KPI is asked for, and how: `start` and `end` are gates, `by` is an attribute of projects.

    `period` is when what counts was decided.
    """

    family: Family
    asked: tuple[Kpi, ...]
    name: str
    start: Code | None
    end: Code | None
    by: Code | None
    period: Period

    @property
    def rests_on(self) -> tuple[ReadModel[Any], ...]:
        """The read models that the KPI is computed from."""
        own = RESTS_ON[self.family.name]
        return own if self.by is None or PROJECT_OVERVIEW in own else (*own, PROJECT_OVERVIEW)


RESTS_ON: Final[Mapping[str, tuple[ReadModel[Any], ...]]] = {
    kpis.GATE_DURATION.name: (DECISION_REGISTER,),
    kpis.APPROVAL_TIME.name: (REVIEWS, BODIES),
    kpis.CONDITIONS.name: (CONDITIONS,),
    kpis.PORTFOLIO.name: (PROJECT_OVERVIEW,),
    kpis.GATE_AGE.name: (PROJECT_OVERVIEW, DECISION_REGISTER),
    kpis.YIELD.name: (DECISION_REGISTER,),
    kpis.OVERTURNED.name: (DECISION_REGISTER,),
}


@dataclass(frozen=True, slots=True)
class Computed:
    """Figures by group, over all, and what they rest on."""

    rows: list[FigureRow]
    total: FigureRow | None
    basis: tuple[Basis, ...]
    undefined_because: Text | None


@api.query("/kpis/{kpi}", operation="getKpi", response=KpiAnswer, history=True)
async def get_kpi(
    ask: Ask,
    kpi: Code,
    node: Node = None,
    start: From = None,
    end: To = None,
    by: By = None,
    first_day: FirstDay = None,
    last_day: LastDay = None,
) -> KpiAnswer:
    """Compute a KPI."""
    question = _question(ask, kpi, start, end, by, period_of(first_day, last_day))
    async with looking(ask, node, *question.rests_on) as look:
        computed = await _compute(look, question)
        return KpiAnswer(
            **_head(look, question),
            rows=computed.rows,
            total=computed.total,
            undefined_because=computed.undefined_because,
        )


@api.query("/kpis/{kpi}/explanation", operation="explainKpi", response=KpiExplanation, history=True)
async def explain_kpi(
    ask: Ask,
    kpi: Code,
    node: Node = None,
    start: From = None,
    end: To = None,
    by: By = None,
    first_day: FirstDay = None,
    last_day: LastDay = None,
) -> KpiExplanation:
    """Show what a KPI rests on: its formula, the rows that it was computed from, and the events that set them."""
    question = _question(ask, kpi, start, end, by, period_of(first_day, last_day))
    async with looking(ask, node, *question.rests_on) as look:
        computed = await _compute(look, question)
        known = await labels(look.connection, [each.project for each in computed.basis])
        return KpiExplanation(
            **_head(look, question),
            figures=computed.rows,
            total=computed.total,
            undefined_because=computed.undefined_because,
            rows=[
                BasisView(
                    project=each.project,
                    reference=reference_of(known, each.project),
                    group=each.group,
                    facts=dict(each.facts),
                    events=dict(each.events),
                )
                for each in computed.basis
            ],
        )


def _question(
    ask: Ask, name: str, start: Code | None, end: Code | None, by: Code | None, period: Period
) -> KpiQuestion:
    found = kpis.find(name)
    if found is None:
        raise ask.missing("KPI", name)
    family, asked = found
    faults = []
    for parameter, value in (("from", start), ("to", end)):
        if family == kpis.GATE_DURATION and not value:
            faults.append(
                InputError(parameter=parameter, detail="is missing", remedy="give a gate, such as from=PBC&to=BCA")
            )
        elif family != kpis.GATE_DURATION and value is not None:
            faults.append(
                InputError(parameter=parameter, detail=f"means nothing to {name}", value=value, remedy="leave it out")
            )
    if family == kpis.GATE_AGE and by is not None:
        faults.append(InputError(parameter="by", detail=f"means nothing to {name}", value=by, remedy="leave it out"))
    for parameter, day in (("first_day", period.first_day), ("last_day", period.last_day)):
        if day is not None and family not in kpis.OF_A_PERIOD:
            detail = f"means nothing to {name}"
            faults.append(InputError(parameter=parameter, detail=detail, value=str(day), remedy="leave it out"))
    if faults:
        raise invalid(faults, HEADER_INVALID)
    return KpiQuestion(family, asked, name, start, end, by, period)


def _head(look: Look, question: KpiQuestion) -> dict[str, Any]:
    asked = question.asked
    return {
        "kpi": question.name,
        "version": max(kpi.version for kpi in asked),
        "unit": ", ".join(dict.fromkeys(kpi.unit for kpi in asked)),
        "formula": asked[0].formula
        if len(asked) == 1
        else "; ".join(f"{kpi.name} (version {kpi.version}): {kpi.formula}" for kpi in asked),
        "node": look.scope.node.node if look.scope.node is not None else None,
        "from_gate": question.start,
        "to_gate": question.end,
        "by": question.by,
        "first_day": question.period.first_day,
        "last_day": question.period.last_day,
        "data_date": local_day(look.now, look.zone),
        "as_of": look.bounds.as_of,
        "recorded_by": look.bounds.recorded_by,
        "offsets": look.offsets,
        "fold_versions": look.fold_versions,
        "provisional": look.provisional,
    }


async def _compute(look: Look, question: KpiQuestion) -> Computed:
    family, by = question.family, question.by
    attributes = Attributes(await look.parts(ProjectAttributes) if by is not None else (), by)
    apart = attributes if by is not None else None
    if family == kpis.PORTFOLIO:
        return _overview_figures(portfolio(await look.parts(ProjectState), apart))
    if family == kpis.GATE_AGE:
        projects, decisions = await look.parts(ProjectState), await look.parts(GateDecision)
        references = {each.row.project: each.row.reference for each in projects}
        return _gate_ages(gate_ages(projects, decisions, look.zones, look.now), references)
    if family == kpis.CONDITIONS:
        return _condition_figures(conditions(await look.parts(ConditionDates), attributes, look.zones, look.now), by)
    if family == kpis.APPROVAL_TIME:
        names = await body_names(look.connection)
        figures = approval_time(await look.parts(ReviewTimes), names, apart, look.zones)
        return _duration_figures(figures, "no review was submitted here by then", grouped=True)
    if family == kpis.YIELD:
        shares = first_pass_yield(await look.parts(GateDecision), attributes, look.zones, question.period)
        return _share_figures(shares, "no gate was first decided here in the period, with an outcome that is known", by)
    if family == kpis.OVERTURNED:
        shares = decisions_overturned(await look.parts(GateDecision), attributes, look.zones, question.period)
        return _share_figures(shares, "no gate was decided here in the period, with an outcome that is known", by)
    assert question.start is not None, "asked for without a start, this is refused before"
    assert question.end is not None, "asked for without an end, this is refused before"
    query = rows_of(DECISION_REGISTER, look.scope)
    query = query.where(query.selected_columns["gate"].in_([question.start, question.end]))
    decisions = await find_parts(look.connection, GateDecision, query)
    figures = gate_duration(decisions, attributes, look.zones, start=question.start, end=question.end)
    nothing = f"no project here was let through {question.start} or {question.end} by then"
    return _duration_figures(figures, nothing, grouped=by is not None)


def _duration_figures(figures: DurationFigures, nothing: Text, *, grouped: bool) -> Computed:
    total = _duration_row(figures.total)
    rows: list[FigureRow] = [_duration_row(each) for each in figures.groups] if grouped else [total]
    because = total.undefined_because
    return Computed(rows, total, figures.basis, because if figures.basis else nothing)


def _duration_row(each: Durations) -> DurationRow:
    median, p80, p90 = each.median, each.p80, each.p90
    return DurationRow(
        group=each.group,
        count=each.count,
        median=median.value if isinstance(median, Defined) else None,
        p80=p80.value if isinstance(p80, Defined) else None,
        p90=p90.value if isinstance(p90, Defined) else None,
        left_out=each.left_out,
        negative=each.negative,
        undefined_because=median.because if isinstance(median, Undefined) else None,
    )


def _share_figures(figures: ShareFigures, nothing: Text, by: Code | None) -> Computed:
    total = _share_row(None, figures.total, nothing)
    rows: list[FigureRow] = [total]
    if by is not None:
        rows = [_share_row(group, each, nothing) for group, each in figures.groups]
    return Computed(rows, total, figures.basis, total.undefined_because)


def _share_row(group: Name | None, each: Share, nothing: Text) -> ShareRow:
    figure = each.figure(nothing)
    return ShareRow(
        group=group,
        part=each.part,
        whole=each.whole,
        share=figure.value if isinstance(figure, Defined) else None,
        left_out=each.left_out,
        undefined_because=figure.because if isinstance(figure, Undefined) else None,
    )


def _condition_figures(figures: ConditionFigures, by: Code | None) -> Computed:
    total = ConditionsRow(group=None, open=figures.total.open, overdue=figures.total.overdue)
    rows: list[FigureRow] = [total]
    if by is not None:
        rows = [ConditionsRow(group=group, open=each.open, overdue=each.overdue) for group, each in figures.groups]
    return Computed(rows, total, figures.basis, None)


def _overview_figures(figures: OverviewFigures) -> Computed:
    rows: list[FigureRow] = [_portfolio_row(group, each) for group, each in figures.groups]
    because = None if figures.total.count else "no project was known here by then"
    return Computed(rows, _portfolio_row(None, figures.total), figures.basis, because)


def _portfolio_row(group: Name | None, figures: PortfolioFigures) -> PortfolioRow:
    return PortfolioRow(
        group=group,
        count=figures.count,
        budget_forecast=[
            SumView(amount=each.amount, currency=each.currency, count=each.count) for each in figures.budget_forecasts
        ],
        without_forecast=figures.without_forecast,
    )


def _gate_ages(ages: GateAges, references: Mapping[ProjectId, Code]) -> Computed:
    rows: list[FigureRow] = [
        GateAgeRow(
            group=references[each.project],
            project=each.project,
            gate=each.gate,
            decided_on=each.decided_on,
            days=each.age.value if isinstance(each.age, Defined) else None,
            undefined_because=each.age.because if isinstance(each.age, Undefined) else None,
        )
        for each in ages.projects
    ]
    return Computed(rows, None, ages.basis, None if rows else "no project was known here by then")
