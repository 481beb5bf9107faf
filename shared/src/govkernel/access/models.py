"""What every service follows to know who may do what where: the roles that were assigned, and the tree of nodes."""

from collections.abc import Mapping
from datetime import date
from enum import Enum
from typing import Any, Final

from govevents import approvals, projects
from govevents.approvals import Role
from govevents.document import Recorded
from govevents.values import Code, NodeId, PersonId, PortfolioId, SubjectId, value
from govkernel.readmodels.model import ReadModel


@value
class RoleRow:
    """A subject has a role at a node and all below it, from the first day to the last, both included."""

    holder: SubjectId
    person: PersonId
    role: Role
    node: NodeId
    first_day: date
    last_day: date | None


class NodeKind(Enum):
    """What a node of the tree is."""

    PORTFOLIO = "portfolio"
    PROGRAMME = "programme"
    PROJECT = "project"


@value
class NodeRow:
    """A node of the tree; a portfolio has no parent, is its own portfolio, and says in which time zone its days are."""

    node: NodeId
    parent: NodeId | None
    kind: NodeKind
    portfolio: PortfolioId
    time_zone: Code | None


def fold_roles(rows: Mapping[str, RoleRow], recorded: Recorded[Any]) -> Mapping[str, RoleRow]:
    """One stream is one role of one subject at one node: assigned, perhaps for other days, or revoked."""
    match recorded.event:
        case approvals.RoleAssigned() as assigned:
            row = RoleRow(
                holder=assigned.holder,
                person=assigned.person,
                role=assigned.role,
                node=assigned.node,
                first_day=assigned.first_day,
                last_day=assigned.last_day,
            )
            return {str(recorded.envelope.stream): row}
        case approvals.RoleRevoked():
            return {}
        case _:
            return rows


def fold_nodes(rows: Mapping[str, NodeRow], recorded: Recorded[Any]) -> Mapping[str, NodeRow]:
    """One stream is one node: registered once, moved any number of times."""
    stream = recorded.envelope.stream
    key = str(stream)
    node = NodeId(stream)
    match recorded.event:
        case projects.PortfolioRegistered(time_zone=zone):
            return {key: NodeRow(node, None, NodeKind.PORTFOLIO, PortfolioId(stream), zone)}
        case projects.ProgrammeRegistered(portfolio=portfolio, parent=parent):
            return {key: NodeRow(node, parent, NodeKind.PROGRAMME, portfolio, None)}
        case projects.ProjectRegistered(portfolio=portfolio, parent=parent):
            return {key: NodeRow(node, parent, NodeKind.PROJECT, portfolio, None)}
        case (
            projects.ProgrammeMoved(portfolio=portfolio, parent=parent)
            | projects.ProjectMoved(portfolio=portfolio, parent=parent)
        ):
            return {key: NodeRow(node, parent, rows[key].kind, portfolio, None)}
        case _:
            return rows


ROLES: Final = ReadModel(
    name="roles",
    service="approvals",
    version=1,
    row=RoleRow,
    events=(approvals.RoleAssigned, approvals.RoleRevoked),
    evolve=fold_roles,
    indexes=(("node",), ("holder",)),
)

NODES: Final = ReadModel(
    name="nodes",
    service="projects",
    version=1,
    row=NodeRow,
    events=(
        projects.PortfolioRegistered,
        projects.ProgrammeRegistered,
        projects.ProgrammeMoved,
        projects.ProjectRegistered,
        projects.ProjectMoved,
    ),
    evolve=fold_nodes,
    indexes=(("node",), ("parent",)),
)

ACCESS_MODELS: Final = (ROLES, NODES)
"""The read models that every service keeps for itself."""
