"""Rows of the read models as they were known at a time, below a node, with what an answer from them rests on."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, date, datetime, tzinfo
from typing import Any, Final, TypeVar
from uuid import UUID
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from sqlalchemy import (
    ColumnElement,
    Date,
    DateTime,
    Numeric,
    RowMapping,
    Select,
    Subquery,
    Text,
    Uuid,
    and_,
    case,
    cast,
    exists,
    false,
    func,
    literal,
    not_,
    null,
    or_,
    select,
    true,
)
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.ext.asyncio import AsyncConnection

from govevents.approvals import Authority, Role
from govkernel.access import NODES, ROLES, NodeKind, NodeRow, NodeStatus, Visible
from govkernel.domain import BodyId, Name, NodeId, PortfolioId, ProjectId, SubjectId
from govkernel.http import Bounds
from govkernel.readmodels import ReadModel, as_of, decode_row, events_behind, views_of
from govkernel.tables import consumer_partitions, read_model_builds, watermarks
from projections.application.bodies import BODIES
from projections.application.body_seats import BODY_SEATS
from projections.application.breaches import BREACHES
from projections.application.conditions import CONDITIONS
from projections.application.decision_register import DECISION_REGISTER
from projections.application.delegations import DELEGATIONS, Delegation
from projections.application.figures import (
    ConditionDates,
    DecisionTimes,
    Found,
    GateDecision,
    OfProject,
    PolicyOfReview,
    ProjectAttributes,
    ProjectState,
    ReviewTimes,
    Zones,
)
from projections.application.gate_progress import GATE_PROGRESS
from projections.application.inbox import INBOX, Wanted
from projections.application.issues import ISSUES
from projections.application.latest_reports import LATEST_REPORTS
from projections.application.meetings import MEETINGS, MeetingState
from projections.application.milestones import MILESTONES
from projections.application.project_overview import PROJECT_OVERVIEW
from projections.application.reviews import REVIEWS, ReviewState
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
    INBOX,
    BODY_SEATS,
    DELEGATIONS,
    BREACHES,
    MEETINGS,
    BODIES,
    RISK_REGISTER,
    ISSUES,
    LATEST_REPORTS,
)
"""Every read model of this service, besides those that every service follows."""

PARTS: Final[Mapping[type[Any], ReadModel[Any]]] = {
    GateDecision: DECISION_REGISTER,
    DecisionTimes: DECISION_REGISTER,
    PolicyOfReview: REVIEWS,
    ReviewTimes: REVIEWS,
    ConditionDates: CONDITIONS,
    ProjectState: PROJECT_OVERVIEW,
    ProjectAttributes: PROJECT_OVERVIEW,
}
"""The read model that each part of a row is taken from; a part's fields are some of its row's."""

END_OF_DAYS: Final = datetime(9999, 12, 31, tzinfo=UTC)
"""Where what has no end stands in the order of what ends."""

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
        return project.in_(nodes_below([self.node.node], self.bounds))


@dataclass(frozen=True, slots=True)
class Asker:
    """Whose inbox it is, and where they may do what waits for whoever may: refer reviews, and prepare them."""

    subject: SubjectId
    refers: Visible
    prepares: Visible


@dataclass(frozen=True, slots=True)
class Reading:
    """Where a read model stands: its fold's version, its topic, and up to where that had been read, by partition."""

    fold_version: int
    topic: str
    offsets: Mapping[int, int]


def nodes_below(nodes: Collection[NodeId], bounds: Bounds, name: str = "below") -> Select[Any]:
    """The nodes below these, as they stood then; `name` tells several trees of one query apart."""
    known = as_of(NODES, as_of=bounds.as_of, recorded_by=bounds.recorded_by).subquery(f"{name}_known")
    tree = select(known.c.node).where(known.c.parent.in_(sorted(nodes))).cte(name, recursive=True)
    # UNION and not UNION ALL: two moves that crossed could make a circle, which must not hang whoever asks.
    tree = tree.union(select(known.c.node).join(tree, known.c.parent == tree.c.node))
    return select(tree.c.node)


def _within(visible: Visible, project: ColumnElement[Any], bounds: Bounds, name: str) -> ColumnElement[bool]:
    if visible.everything:
        return true()
    if not visible.nodes:
        return false()
    return or_(project.in_(sorted(visible.nodes)), project.in_(nodes_below(visible.nodes, bounds, name)))


def rows_of(model: ReadModel[Any], scope: Scope) -> Select[Any]:
    """The rows of a model that the scope covers."""
    rows = as_of(model, as_of=scope.bounds.as_of, recorded_by=scope.bounds.recorded_by).subquery(model.name)
    return select(rows).where(scope.covers(rows.c.project, rows.c.get("portfolio")))


def rows_of_projects(model: ReadModel[Any], bounds: Bounds, projects: Collection[UUID]) -> Select[Any]:
    """The rows of a model that belong to these projects."""
    rows = as_of(model, as_of=bounds.as_of, recorded_by=bounds.recorded_by).subquery(model.name)
    return select(rows).where(rows.c.project.in_(sorted(set(projects))))


def rows_of_streams(model: ReadModel[Any], bounds: Bounds, streams: Collection[UUID]) -> Select[Any]:
    """The rows of a model that these streams feed."""
    rows = as_of(model, as_of=bounds.as_of, recorded_by=bounds.recorded_by).subquery(model.name)
    return select(rows).where(rows.c.stream.in_(sorted(set(streams))))


async def nodes_held(
    connection: AsyncConnection, holder: SubjectId, roles: Collection[Role], bounds: Bounds, zones: Zones, now: datetime
) -> Visible:
    """The nodes at which an account had one of these roles, as was known then, on the day there of this moment."""
    role = as_of(ROLES, as_of=bounds.as_of, recorded_by=bounds.recorded_by).subquery("roles")
    node = as_of(NODES, as_of=bounds.as_of, recorded_by=bounds.recorded_by).subquery("nodes")
    today = local_date(node.c.portfolio, zones, now)
    held = (
        select(role.c.node)
        .select_from(role.outerjoin(node, node.c.node == role.c.node))
        .where(
            role.c.holder == holder,
            role.c.role.in_(sorted(each.value for each in roles)),
            role.c.first_day <= today,
            or_(role.c.last_day.is_(None), today <= role.c.last_day),
        )
    )
    return Visible(False, frozenset(NodeId(each) for each in await connection.scalars(held)))


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


def delegated_to(subject: SubjectId, bounds: Bounds) -> Select[Any]:
    """The delegations to an account, in the order in which they were granted."""
    rows = as_of(DELEGATIONS, as_of=bounds.as_of, recorded_by=bounds.recorded_by).subquery("delegations")
    return select(rows).where(rows.c.delegate == subject).order_by(rows.c.since, rows.c.stream)


def inbox_of(
    asker: Asker, delegations: Sequence[Found[Delegation]], scope: Scope, zones: Zones, now: datetime
) -> tuple[Select[Any], ColumnElement[datetime]]:
    """What waits for somebody, and the column of until when; what has no end waits until the end of all days.

    `under` is the place among the delegations of the one under which a vote would be cast, NULL for none.
    """
    bounds = scope.bounds
    item = as_of(INBOX, as_of=bounds.as_of, recorded_by=bounds.recorded_by).subquery("inbox")
    review = as_of(REVIEWS, as_of=bounds.as_of, recorded_by=bounds.recorded_by).subquery("reviews")
    meeting = as_of(MEETINGS, as_of=bounds.as_of, recorded_by=bounds.recorded_by).subquery("meetings")

    def holds(person: ColumnElement[Any], field: str) -> ColumnElement[bool]:
        return review.c.seats.contains(func.jsonb_build_array(func.jsonb_build_object(cast(field, Text), person)))

    def keeps_out(person: ColumnElement[Any]) -> ColumnElement[bool]:
        return review.c.recused.contains(func.jsonb_build_array(person))

    seat = as_of(BODY_SEATS, as_of=bounds.as_of, recorded_by=bounds.recorded_by).subquery("body_seats")
    today = local_date(review.c.portfolio, zones, now)
    sits = select(seat.c.body).where(
        seat.c.body == item.c.body,
        seat.c.member == asker.subject,
        seat.c.alternate_for.is_(None),
        seat.c.first_day <= today,
        or_(seat.c.last_day.is_(None), today <= seat.c.last_day),
    )
    vote = and_(item.c.wanted == Wanted.VOTE.value, review.c.state == ReviewState.OPEN.value)
    mine = and_(
        vote,
        item.c.subject == asker.subject,
        not_(keeps_out(item.c.person)),
        # One natural person is one voice: who has a seat, or speaks for one, is no alternate for another.
        not_(holds(item.c.person, "spoken_by")),
        or_(item.c.authority == Authority.OWN.value, not_(holds(item.c.person, "holder"))),
    )
    under = []
    for place, found in enumerate(delegations):
        delegation = found.row
        delegate = cast(delegation.delegate_person, Uuid)
        conditions = [
            vote,
            item.c.authority == Authority.OWN.value,
            item.c.seat == delegation.delegator_person,
            not_(keeps_out(item.c.person)),
            today.between(delegation.first_day, delegation.last_day),
            or_(
                review.c.project == delegation.node,
                review.c.project.in_(nodes_below([delegation.node], bounds, f"below_{place}")),
            ),
            # Nor does a delegate speak for two, or in a review that they are tied to.
            not_(keeps_out(delegate)),
            not_(review.c.tied.contains(func.jsonb_build_array(delegate))),
            not_(holds(delegate, "holder")),
            not_(holds(delegate, "spoken_by")),
            review.c.submitter != asker.subject,
        ]
        if delegation.kinds:
            conditions.append(review.c.kind.in_([kind.value for kind in delegation.kinds]))
        if delegation.limit is not None:
            conditions.append(review.c.value["currency"].astext == delegation.limit.currency)
            conditions.append(cast(review.c.value["amount"].astext, Numeric) <= delegation.limit.amount)
        under.append((and_(*conditions), place))
    covering: ColumnElement[Any] = case(*((covers, literal(place)) for covers, place in under)) if under else null()
    # An answer is taken as long as votes are, and a day of which nobody has said when it is over is over at midnight.
    limit = case((item.c.wanted == Wanted.ANSWER.value, review.c.closes_at))
    midnight = func.timezone(zone_of(review.c.portfolio, zones), cast(item.c.due + 1, DateTime))
    ends = func.coalesce(item.c.closes_at, limit, midnight, literal(END_OF_DAYS, DateTime(timezone=True)))
    refers = _within(asker.refers, item.c.project, bounds, "refers")
    wanted = or_(
        mine,
        and_(item.c.wanted == Wanted.CONDITION.value, item.c.subject == asker.subject),
        and_(
            item.c.wanted == Wanted.ANSWER.value,
            review.c.state == ReviewState.OPEN.value,
            review.c.submitter == asker.subject,
        ),
        and_(item.c.wanted == Wanted.ESCALATION.value, or_(sits.exists(), and_(item.c.body.is_(None), refers))),
        and_(item.c.wanted == Wanted.REFERRAL.value, refers),
        and_(
            item.c.wanted == Wanted.RESUBMISSION.value,
            review.c.submitter == asker.subject,
            not_(_brought_again(review, bounds)),
            not_(_is_over(item.c.project, bounds)),
        ),
        and_(item.c.wanted == Wanted.ATTENDANCE.value, item.c.subject == asker.subject),
        and_(
            item.c.wanted == Wanted.DISPOSITION.value,
            item.c.subject == asker.subject,
            exists(
                select(literal(1)).where(
                    meeting.c.stream == item.c.stream, meeting.c.state == MeetingState.IN_SESSION.value
                )
            ),
        ),
        and_(item.c.wanted == Wanted.REQUEST.value, _within(asker.prepares, item.c.project, bounds, "prepares")),
        *(covers for covers, _ in under),
    )
    query = (
        select(*item.c, ends.label("ends"), covering.label("under"))
        .select_from(item.outerjoin(review, review.c.stream == func.coalesce(item.c.review, item.c.stream)))
        .where(item.c.waiting_since.is_not(None), wanted, _asked_for(scope, item))
    )
    return query, ends


def _asked_for(scope: Scope, item: Subquery) -> ColumnElement[bool]:
    """What belongs to a project is asked for with it; what belongs to none, with its portfolio."""
    if scope.node is None:
        return scope.visible.covers(func.coalesce(item.c.project, item.c.portfolio))
    return or_(scope.covers(item.c.project), and_(item.c.project.is_(None), item.c.portfolio == scope.node.node))


def _brought_again(review: Subquery, bounds: Bounds) -> ColumnElement[bool]:
    """Whether the gate of a review was put to voters once more after its end."""
    later = as_of(REVIEWS, as_of=bounds.as_of, recorded_by=bounds.recorded_by).subquery("later_reviews")
    return exists(
        select(literal(1)).where(
            later.c.project == review.c.project,
            later.c.gate == review.c.gate,
            later.c.submitted_at >= review.c.ended_at,
            later.c.state != ReviewState.WITHDRAWN.value,
        )
    )


def _is_over(project: ColumnElement[Any], bounds: Bounds) -> ColumnElement[bool]:
    node = as_of(NODES, as_of=bounds.as_of, recorded_by=bounds.recorded_by).subquery("ended_nodes")
    over = (NodeStatus.TERMINATED.value, NodeStatus.COMPLETED.value)
    return exists(select(literal(1)).where(node.c.node == project, node.c.status.in_(over)))


def zone_of(portfolio: ColumnElement[Any], zones: Zones) -> ColumnElement[str]:
    """The name of the time zone of the portfolio in this column."""
    by_name: dict[str, list[Any]] = {}
    for each, zone in zones.items():
        by_name.setdefault(str(zone), []).append(each)
    universal = literal(str(UTC), Text)
    if not by_name:
        return universal
    named = ((portfolio.in_(of_zone), literal(name, Text)) for name, of_zone in sorted(by_name.items()))
    return case(*named, else_=universal)


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
