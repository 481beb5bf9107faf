"""What approvals reads besides its ledger: the directory, and the nodes and roles that it follows."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID, uuid5

from sqlalchemy import Select, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from approvals.adapters.tables import directory
from govkernel.access import NODES, ROLES, NodeKind, NodeStatus
from govkernel.domain import Money, Name, NodeId, PersonId, PortfolioId, Refusal, SubjectId, Text
from govkernel.readmodels import decode_row, views_of

nodes: Final = views_of(NODES)[0]
roles: Final = views_of(ROLES)[0]


class AccountOfOtherPerson(Refusal):
    """The directory has this account as another natural person's, and an account never changes hands."""


@dataclass(frozen=True, slots=True)
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
    status: NodeStatus
    value: Money | None
    manager: SubjectId | None
    sponsor: SubjectId | None
    nodes_above: tuple[NodeId, ...]
    time_zone: str


async def register(
    engine: AsyncEngine, *, subject: SubjectId, person: PersonId | None, name: Name, email: Text
) -> Entry:
    """Put an account into the directory, or correct its name and address. Raises AccountOfOtherPerson.

    Without a person the account is a person's first; the person's id then follows from the account's, so that the
    same request again means the same person.
    """
    whose = person or PersonId(uuid5(subject, "person"))
    statement = (
        insert(directory)
        .values(subject=subject, person=whose, name=name, email=email)
        .on_conflict_do_update(
            index_elements=["subject"],
            set_={"name": name, "email": email, "erased_at": None},
            where=directory.c.person == whose,
        )
        .returning(directory)
    )
    async with engine.begin() as connection:
        row = (await connection.execute(statement)).one_or_none()
    if row is None:
        raise AccountOfOtherPerson(account=str(subject))
    return _entry(row)


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
        return {SubjectId(row.subject): _entry(row) for row in found}


async def accounts_of(connection: AsyncConnection, person: PersonId) -> list[Entry]:
    """Every account of a person."""
    found = await connection.execute(
        select(directory).where(directory.c.person == person).order_by(directory.c.subject)
    )
    return [_entry(row) for row in found]


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
        status=node.status,
        value=node.value,
        manager=node.manager,
        sponsor=node.sponsor,
        nodes_above=tuple(NodeId(node) for node in sorted(ancestors)),
        time_zone=zone or "UTC",
    )


def roles_at(node: NodeId) -> Select[Any]:
    """The roles that are assigned at a node itself."""
    return select(roles).where(roles.c.node == node)


def _entry(row: Any) -> Entry:
    return Entry(SubjectId(row.subject), PersonId(row.person), row.name, row.email, row.erased_at)
