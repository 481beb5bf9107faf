"""Rows of the read models as they were known at a time, below a node, with what an answer from them rests on."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, date, datetime, tzinfo
from typing import Any, Final, TypeVar
from uuid import UUID
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from sqlalchemy import ColumnElement, Date, RowMapping, Select, and_, case, func, literal, select
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.ext.asyncio import AsyncConnection

from govkernel.access import NODES, NodeKind, NodeRow, Visible
from govkernel.domain import BodyId, Name, NodeId, PortfolioId, ProjectId
from govkernel.http import Bounds
from govkernel.readmodels import ReadModel, as_of, decode_row, events_behind, views_of
from govkernel.tables import consumer_partitions, read_model_builds, watermarks
from projections.application.bodies import BODIES
from projections.application.conditions import CONDITIONS
from projections.application.decision_register import DECISION_REGISTER
from projections.application.figures import (
    ConditionDates,
    Found,
    GateDecision,
    OfProject,
    ProjectAttributes,
    ProjectState,
    ReviewTimes,
    Zones,
)
from projections.application.gate_progress import GATE_PROGRESS
from projections.application.issues import ISSUES
from projections.application.latest_reports import LATEST_REPORTS
from projections.application.milestones import MILESTONES
from projections.application.project_overview import PROJECT_OVERVIEW
from projections.application.reviews import REVIEWS
from projections.application.risk_register import RISK_REGISTER
from projections.domain.kpis import local_day

Row = TypeVar("Row")

READ_MODELS: Final[tuple[ReadModel[Any], ...]] = (
    PROJECT_OVERVIEW,
    MILESTONES,
    GATE_PROGRESS,
    DECISION_REGISTER,
    REVIEWS,
    CONDITIONS,
    BODIES,
    RISK_REGISTER,
    ISSUES,
    LATEST_REPORTS,
)
"""Every read model of this service, besides those that every service follows."""

PARTS: Final[Mapping[type[Any], ReadModel[Any]]] = {
    GateDecision: DECISION_REGISTER,
    ReviewTimes: REVIEWS,
    ConditionDates: CONDITIONS,
    ProjectState: PROJECT_OVERVIEW,
    ProjectAttributes: PROJECT_OVERVIEW,
}
"""The read model that each part of a row is taken from; a part's fields are some of its row's."""

nodes: Final = views_of(NODES)[0]
bodies: Final = views_of(BODIES)[0]


@dataclass(frozen=True, slots=True)
class Scope:
    """Which part of the portfolios is asked for, as it was known when: `node` and all below it, or what may be seen."""

    node: NodeRow | None
    visible: Visible
    bounds: Bounds

    def covers(self, project: ColumnElement[Any], portfolio: ColumnElement[Any] | None = None) -> ColumnElement[bool]:
        """The condition that a row of this project, and of this portfolio where the row has one, is asked for."""
        if self.node is None:
            return self.visible.covers(project)
        if self.node.kind is NodeKind.PROJECT:
            return project == self.node.node
        if self.node.kind is NodeKind.PORTFOLIO and portfolio is not None:
            return portfolio == self.node.node
        return project.in_(self._below(self.node.node))

    def _below(self, node: NodeId) -> Select[Any]:
        known = as_of(NODES, as_of=self.bounds.as_of, recorded_by=self.bounds.recorded_by).subquery("known")
        tree = select(known.c.node).where(known.c.parent == node).cte("below", recursive=True)
        # UNION and not UNION ALL: two moves that crossed could make a circle, which must not hang whoever asks.
        tree = tree.union(select(known.c.node).join(tree, known.c.parent == tree.c.node))
        return select(tree.c.node)


@dataclass(frozen=True, slots=True)
class Reading:
    """Where a read model stands: its fold's version, its topic, and up to where that had been read, by partition."""

    fold_version: int
    topic: str
    offsets: Mapping[int, int]


def rows_of(model: ReadModel[Any], scope: Scope) -> Select[Any]:
    """The rows of a model that the scope covers."""
    rows = as_of(model, as_of=scope.bounds.as_of, recorded_by=scope.bounds.recorded_by).subquery(model.name)
    return select(rows).where(scope.covers(rows.c.project, rows.c.get("portfolio")))


def rows_of_projects(model: ReadModel[Any], bounds: Bounds, projects: Collection[UUID]) -> Select[Any]:
    """The rows of a model that belong to these projects."""
    rows = as_of(model, as_of=bounds.as_of, recorded_by=bounds.recorded_by).subquery(model.name)
    return select(rows).where(rows.c.project.in_(sorted(set(projects))))


def latest_reports(scope: Scope) -> Select[Any]:
    """The report of each project for its latest period; of two for the same end, the one drafted later."""
    rows = as_of(LATEST_REPORTS, as_of=scope.bounds.as_of, recorded_by=scope.bounds.recorded_by).subquery("reports")
    newest = (
        select(rows)
        .where(scope.covers(rows.c.project, rows.c.portfolio))
        .ext(distinct_on(rows.c.project))
        .order_by(rows.c.project, rows.c.period_end.desc(), rows.c.drafted_at.desc(), rows.c.stream)
        .subquery("latest_reports")
    )
    return select(newest)


def local_date(portfolio: ColumnElement[Any], zones: Zones, moment: datetime) -> ColumnElement[date]:
    """The day of a moment in the time zone of the portfolio in this column."""
    days = {each: local_day(moment, zone) for each, zone in zones.items()}
    universal = local_day(moment, UTC)
    apart: dict[date, list[PortfolioId]] = {}
    for each, day in days.items():
        if day != universal:
            apart.setdefault(day, []).append(each)
    if not apart:
        return literal(universal, Date)
    return case(
        *((portfolio.in_(of_day), literal(day, Date)) for day, of_day in sorted(apart.items())),
        else_=literal(universal, Date),
    )


def found_in(model: ReadModel[Row], rows: Iterable[RowMapping]) -> list[Found[Row]]:
    """Rows as they came from the database, decoded."""
    return [
        Found(
            decode_row(model, row),
            row["stream"],
            row["key"],
            row["since"],
            events_behind(model, row["stream"], row["provenance"]),
        )
        for row in rows
    ]


async def find(connection: AsyncConnection, model: ReadModel[Row], query: Select[Any]) -> list[Found[Row]]:
    """The rows of a model that a query gives."""
    return found_in(model, (await connection.execute(query)).mappings())


async def find_parts(connection: AsyncConnection, part: type[Row], query: Select[Any]) -> list[Found[Row]]:
    """As `find`, but only a part of each row: over a whole portfolio, decoding what nobody reads takes longest."""
    wanted = {field.name for field in fields(part)}  # type: ignore[arg-type]  # every key of PARTS is a dataclass
    places = [(place, field) for place, field in enumerate(PARTS[part].fields) if field.name in wanted]
    decoded = [field for _, field in places]
    columns = query.selected_columns
    lean = query.with_only_columns(
        columns["stream"],
        columns["key"],
        columns["since"],
        *(columns[field.name] for field in decoded),
        # PostgreSQL counts from 1.
        *(columns["provenance"][place + 1] for place, _ in places),
    )
    names = [field.name for field in decoded]
    end = 3 + len(names)
    return [
        Found(
            part(**{field.name: field.from_database(value) for field, value in zip(decoded, row[3:end], strict=True)}),
            row[0],
            row[1],
            row[2],
            {name: f"{row[0]}@{version}" for name, version in zip(names, row[end:], strict=True)},
        )
        for row in await connection.execute(lean)
    ]


async def node_row(connection: AsyncConnection, node: UUID) -> NodeRow | None:
    """What is known here of a node, whenever it became known."""
    row = (await connection.execute(select(nodes).where(nodes.c.node == node))).mappings().one_or_none()
    return decode_row(NODES, row) if row is not None else None


async def labels(connection: AsyncConnection, projects: Collection[UUID]) -> Mapping[ProjectId, NodeRow]:
    """The projects behind these ids, for their references and names, which never change."""
    rows = await connection.execute(select(nodes).where(nodes.c.node.in_(sorted(set(projects)))))
    found = (decode_row(NODES, row) for row in rows.mappings())
    return {ProjectId(each.node): each for each in found}


async def body_names(connection: AsyncConnection) -> Mapping[BodyId, Name]:
    """The bodies by name, which never changes."""
    rows = await connection.execute(select(bodies.c.body, bodies.c.name))
    return {BodyId(row.body): row.name for row in rows}


async def time_zones(connection: AsyncConnection) -> Zones:
    """The time zone of every portfolio, which never changes; one that isn't known on this machine is left out."""
    rows = await connection.execute(
        select(nodes.c.node, nodes.c.time_zone).where(nodes.c.kind == NodeKind.PORTFOLIO.value)
    )
    zones: dict[PortfolioId, tzinfo] = {}
    for row in rows:
        try:
            zones[PortfolioId(row.node)] = ZoneInfo(row.time_zone)
        except (ZoneInfoNotFoundError, ValueError):
            continue
    return zones


async def readings(connection: AsyncConnection, models: Sequence[ReadModel[Any]]) -> Mapping[str, Reading]:
    """Where the live builds of these models stand, in the snapshot that the connection reads."""
    builds, read = read_model_builds, consumer_partitions
    by_name = {model.name: model for model in models}
    rows = await connection.execute(
        select(builds.c.name, builds.c.fold_version, read.c.topic, read.c.partition, read.c.next_offset)
        .select_from(
            builds.outerjoin(read, read.c.consumer == func.concat(builds.c.name, "/", builds.c.build)),
        )
        .where(builds.c.state == "live", builds.c.name.in_(sorted(by_name)))
        .order_by(builds.c.name, read.c.partition)
    )
    found: dict[str, Reading] = {}
    offsets: dict[str, dict[int, int]] = {}
    for row in rows:
        model = by_name[row.name]
        at = offsets.setdefault(row.name, {})
        found.setdefault(row.name, Reading(row.fold_version, model.topic, at))
        if row.topic == model.topic:
            at[row.partition] = row.next_offset
    return found


async def is_provisional(connection: AsyncConnection, models: Sequence[ReadModel[Any]], bounds: Bounds) -> bool:
    """Whether a source may hold facts from before `as_of` that aren't known here yet; without it nothing is claimed."""
    if bounds.as_of is None:
        return False
    services = {model.service for model in models}
    reached = await connection.execute(
        select(watermarks.c.service).where(
            and_(watermarks.c.service.in_(sorted(services)), watermarks.c.recorded_until >= bounds.as_of)
        )
    )
    return bool(services - {row.service for row in reached})


async def of_project(connection: AsyncConnection, project: ProjectId) -> OfProject | None:
    """Everything that is known now of one project and that figures are measured from; None where it isn't known."""
    now = Bounds()
    states = await find_parts(connection, ProjectState, rows_of_projects(PROJECT_OVERVIEW, now, [project]))
    if not states:
        return None
    portfolio = await node_row(connection, states[0].row.portfolio)
    if portfolio is None or portfolio.currency is None:
        return None
    return OfProject(
        states[0],
        await find_parts(connection, GateDecision, rows_of_projects(DECISION_REGISTER, now, [project])),
        await find_parts(connection, ConditionDates, rows_of_projects(CONDITIONS, now, [project])),
        await time_zones(connection),
        portfolio.currency,
    )
