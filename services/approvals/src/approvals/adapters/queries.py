"""What approvals reads besides its ledger: the directory, and the nodes and roles that it follows."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Final, cast
from uuid import UUID, uuid5

from sqlalchemy import ARRAY, ColumnElement, Integer, Select, Uuid, any_, func, literal, select, true, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncEngine

from approvals.adapters.tables import directory
from approvals.domain.delegation import DELEGATED_BY, DELEGATED_TO, DELEGATION_AT
from govevents.values import value
from govkernel.access import NODES, ROLES, NodeKind, Visible, node_of
from govkernel.domain import Link, Money, Name, NodeId, PersonId, PortfolioId, Refusal, SubjectId, Text
from govkernel.readmodels import decode_row, views_of
from govkernel.tables import events, stream_links

nodes: Final = views_of(NODES)[0]
roles: Final = views_of(ROLES)[0]


class AccountOfOtherPerson(Refusal):
    """The directory has this account as another natural person's, and an account never changes hands."""


class AccountErased(Refusal):
    """The account's person was erased, which is not undone; whoever comes back does so with a new account."""


@value
class Entry:
    """An account in the directory; name and address are None once the person is erased."""

    subject: SubjectId
    person: PersonId
    name: Name | None
    email: Text | None
    erased_at: datetime | None


@dataclass(frozen=True, slots=True)
class ProjectFacts:
    """What approvals knows of a project, as it has followed it."""

    portfolio: PortfolioId
    name: str
    reference: str | None
    value: Money | None
    manager: SubjectId | None
    sponsor: SubjectId | None
    nodes_above: tuple[NodeId, ...]
    time_zone: str


async def register(
    engine: AsyncEngine, *, subject: SubjectId, person: PersonId | None, name: Name, email: Text
) -> Entry:
    """Put an account into the directory, or correct its name and address.

    Without a person an account that is there keeps its own, and a new one is its person's first; that person's id then
    follows from the account's, so that the same request again means the same person. Raises AccountOfOtherPerson,
    AccountErased, and ValueRefused for a name or address that no record may hold.
    """
    entry = Entry(subject, person or PersonId(uuid5(subject, "person")), name, email, None)
    statement = (
        insert(directory)
        .values(asdict(entry))
        .on_conflict_do_update(
            index_elements=["subject"],
            set_={"name": name, "email": email},
            where=directory.c.erased_at.is_(None) & (directory.c.person == person if person else true()),
        )
        .returning(directory)
    )
    async with engine.begin() as connection:
        row = (await connection.execute(statement)).one_or_none()
        if row is None:
            kept = (await connection.execute(select(directory).where(directory.c.subject == subject))).one()
            if kept.erased_at is not None:
                raise AccountErased(account=str(subject))
            raise AccountOfOtherPerson(account=str(subject), person=str(kept.person))
    return entry_of(row)


async def erase(engine: AsyncEngine, *, person: PersonId, at: datetime) -> int:
    """Forget a person's names and addresses, on every account; how many accounts there were."""
    statement = (
        update(directory)
        .where(directory.c.person == person)
        .values(name=None, email=None, erased_at=func.coalesce(directory.c.erased_at, at))
    )
    async with engine.begin() as connection:
        return (await connection.execute(statement)).rowcount


async def entries(engine: AsyncEngine, subjects: Collection[UUID]) -> Mapping[SubjectId, Entry]:
    """The directory's entries of these accounts; who isn't in it is missing."""
    async with engine.connect() as connection:
        found = await connection.execute(select(directory).where(directory.c.subject.in_(set(subjects))))
        return {SubjectId(row.subject): entry_of(row) for row in found}


async def names_of(engine: AsyncEngine, persons: Collection[PersonId]) -> Mapping[PersonId, Name]:
    """The names of these persons; who has been erased or was never in the directory is missing."""
    async with engine.connect() as connection:
        found = await connection.execute(
            select(directory.c.person, func.min(directory.c.name).label("name"))
            .where(directory.c.person.in_(set(persons)), directory.c.name.is_not(None))
            .group_by(directory.c.person)
        )
        return {PersonId(row.person): row.name for row in found}


def accounts_of(person: PersonId) -> Select[Any]:
    """Every account of a person."""
    return select(directory).where(directory.c.person == person)


def linked(kind: str, target: UUID) -> Select[Any]:
    """The streams that have this link, each with the place of its beginning in the log, `events.c.seq`."""
    beginning = (events.c.stream == stream_links.c.stream) & (events.c.version == 1)
    return (
        select(stream_links.c.stream, events.c.seq)
        .join(events, beginning)
        .where(stream_links.c.kind == kind, stream_links.c.target == target)
    )


def delegations(wanted: Iterable[Link], visible: Visible, caller: SubjectId) -> Select[Any]:
    """The delegations with all of these links that the caller is party to, or whose node is among those visible."""
    place = stream_links.alias("place")
    query = (
        select(place.c.stream, events.c.seq)
        .join(events, (events.c.stream == place.c.stream) & (events.c.version == 1))
        .where(place.c.kind == DELEGATION_AT)
        .where(
            visible.covers(place.c.target)
            | place.c.stream.in_(_with_link(DELEGATED_BY, caller))
            | place.c.stream.in_(_with_link(DELEGATED_TO, caller))
        )
    )
    for link in wanted:
        query = query.where(place.c.stream.in_(_with_link(link.kind, link.target)))
    return query


async def delegations_to(engine: AsyncEngine, persons: Collection[PersonId]) -> tuple[UUID, ...]:
    """The delegations that were granted to any account of these people."""
    accounts = select(directory.c.subject).where(directory.c.person.in_(set(persons)))
    query = (
        select(stream_links.c.stream)
        .where(stream_links.c.kind == DELEGATED_TO, stream_links.c.target.in_(accounts))
        .order_by(stream_links.c.stream)
    )
    async with engine.connect() as connection:
        return tuple(await connection.scalars(query))


def _with_link(kind: str, target: UUID) -> Select[Any]:
    return select(stream_links.c.stream).where(stream_links.c.kind == kind, stream_links.c.target == target)


async def is_portfolio(engine: AsyncEngine, portfolio: PortfolioId) -> bool:
    """Whether a portfolio is known here under this id."""
    return await node_of(engine, NodeId(portfolio), NodeKind.PORTFOLIO) is not None


async def is_node(engine: AsyncEngine, node: NodeId) -> bool:
    """Whether a portfolio, programme or project is known here under this id."""
    async with engine.connect() as connection:
        return await connection.scalar(select(nodes.c.node).where(nodes.c.node == node)) is not None


async def time_zone_of(engine: AsyncEngine, node: NodeId) -> str | None:
    """The time zone of a node's portfolio, UTC where that says none; None where no such node is known here."""
    portfolio = nodes.alias("portfolio")
    query = (
        select(func.coalesce(portfolio.c.time_zone, "UTC"))
        .select_from(nodes.outerjoin(portfolio, portfolio.c.node == nodes.c.portfolio))
        .where(nodes.c.node == node)
    )
    async with engine.connect() as connection:
        return cast("str | None", await connection.scalar(query))


async def project_facts(engine: AsyncEngine, project: NodeId) -> ProjectFacts | None:
    """What is known here of a project; None where nothing is, or where the node is no project."""
    above = select(nodes.c.node, nodes.c.parent).where(nodes.c.node == project).cte("above", recursive=True)
    above = above.union(select(nodes.c.node, nodes.c.parent).join(above, nodes.c.node == above.c.parent))
    async with engine.connect() as connection:
        found = await connection.execute(
            select(nodes).where(nodes.c.node == project, nodes.c.kind == NodeKind.PROJECT.value)
        )
        row = found.mappings().one_or_none()
        if row is None:
            return None
        zone = await connection.scalar(select(nodes.c.time_zone).where(nodes.c.node == row["portfolio"]))
        ancestors = (await connection.execute(select(above.c.node))).scalars().all()
    node = decode_row(NODES, row)
    return ProjectFacts(
        portfolio=node.portfolio,
        name=node.name,
        reference=node.reference,
        value=node.value,
        manager=node.manager,
        sponsor=node.sponsor,
        nodes_above=tuple(NodeId(node) for node in sorted(ancestors)),
        time_zone=zone or "UTC",
    )


def roles_at(node: NodeId) -> Select[Any]:
    """The roles that are assigned at a node itself."""
    return select(roles).where(roles.c.node == node)


async def documents_at(
    engine: AsyncEngine, places: Collection[tuple[UUID, int]], streams: Collection[UUID]
) -> tuple[bytes, ...]:
    """The documents at these places, given as stream and version, and all of these streams, each in its order."""
    # As arrays, for a statement takes a limited number of parameters, and a vote may claim to have seen much.
    wanted = select(
        func.unnest(literal([stream for stream, _ in places], ARRAY(Uuid))).label("stream"),
        func.unnest(literal([version for _, version in places], ARRAY(Integer))).label("version"),
    ).subquery()
    single = select(events.c.document, events.c.stream, events.c.version).join(
        wanted, (events.c.stream == wanted.c.stream) & (events.c.version == wanted.c.version)
    )
    whole = select(events.c.document, events.c.stream, events.c.version).where(_among(events.c.stream, streams))
    found = single.union(whole).subquery()
    query = select(found.c.document).order_by(found.c.stream, found.c.version)
    async with engine.connect() as connection:
        return tuple(bytes(document) for document in await connection.scalars(query))


def _among(column: ColumnElement[UUID], wanted: Collection[UUID]) -> ColumnElement[bool]:
    return column == any_(literal(list(wanted), ARRAY(Uuid)))


async def documents_linked(engine: AsyncEngine, kind: str, target: UUID, *, until: int) -> tuple[bytes, ...]:
    """The first documents, until a version, of all streams that have this link, stream by stream."""
    query = (
        select(events.c.document)
        .join(stream_links, stream_links.c.stream == events.c.stream)
        .where(stream_links.c.kind == kind, stream_links.c.target == target, events.c.version <= until)
        .order_by(events.c.stream, events.c.version)
    )
    async with engine.connect() as connection:
        return tuple(bytes(document) for document in await connection.scalars(query))


async def assignments_ever_at(engine: AsyncEngine, places: Collection[NodeId]) -> frozenset[UUID]:
    """The streams of all roles that are or were assigned at these nodes themselves."""
    now, before = (select(table.c.stream).where(_among(table.c.node, places)) for table in views_of(ROLES))
    async with engine.connect() as connection:
        return frozenset(await connection.scalars(now.union(before)))


async def streams_in_ledger(engine: AsyncEngine, streams: Collection[UUID]) -> frozenset[UUID]:
    """Which of these streams there are in this ledger."""
    query = select(events.c.stream).where(_among(events.c.stream, streams), events.c.version == 1)
    async with engine.connect() as connection:
        return frozenset(await connection.scalars(query))


def entry_of(row: Any) -> Entry:
    """A row of the directory as its entry."""
    return Entry(SubjectId(row.subject), PersonId(row.person), row.name, row.email, row.erased_at)
