"""What every service follows to know who may do what where: the roles that were assigned, and the tree of nodes."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from enum import Enum
from typing import Any, Final

from govevents import approvals, projects
from govevents.approvals import Role
from govevents.document import Recorded
from govevents.values import Code, Currency, Money, Name, NodeId, PersonId, PortfolioId, SubjectId, value
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


class NodeStatus(Enum):
    """Where a node stands in its life; portfolios and programmes are always active."""

    ACTIVE = "active"
    ON_HOLD = "on_hold"
    COMPLETED = "completed"
    TERMINATED = "terminated"


@value
class NodeRow:
    """A node of the tree, with the facts of it that other services decide on.

    A portfolio has no parent, is its own portfolio, and says in which time zone its days are and in which currency its
    sums. A project has a reference that is unique in its portfolio, and what its charter says; None is not known.
    """

    node: NodeId
    parent: NodeId | None
    kind: NodeKind
    portfolio: PortfolioId
    name: Name
    status: NodeStatus = NodeStatus.ACTIVE
    time_zone: Code | None = None
    currency: Currency | None = None
    reference: Code | None = None
    manager: SubjectId | None = None
    sponsor: SubjectId | None = None
    value: Money | None = None


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
    """One stream is one node: registered once, then moved, amended and ended."""
    stream = recorded.envelope.stream
    key = str(stream)
    node = NodeId(stream)
    match recorded.event:
        case projects.PortfolioRegistered(name=name, time_zone=zone, currency=currency):
            own = PortfolioId(stream)
            return {key: NodeRow(node, None, NodeKind.PORTFOLIO, own, name, time_zone=zone, currency=currency)}
        case projects.ProgrammeRegistered(portfolio=portfolio, parent=parent, name=name):
            return {key: NodeRow(node, parent, NodeKind.PROGRAMME, portfolio, name)}
        case projects.ProjectRegistered() as registered:
            row = NodeRow(
                node,
                registered.parent,
                NodeKind.PROJECT,
                registered.portfolio,
                registered.name,
                reference=registered.reference,
            )
            return {key: _chartered(row, registered.charter)}
        case projects.CharterAmended(charter=charter):
            return {key: _chartered(rows[key], charter)}
        case (
            projects.ProgrammeMoved(portfolio=portfolio, parent=parent)
            | projects.ProjectMoved(portfolio=portfolio, parent=parent)
        ):
            return {key: replace(rows[key], portfolio=portfolio, parent=parent)}
        case projects.ProjectHeld():
            return {key: replace(rows[key], status=NodeStatus.ON_HOLD)}
        case projects.ProjectResumed():
            return {key: replace(rows[key], status=NodeStatus.ACTIVE)}
        case projects.ProjectTerminated():
            return {key: replace(rows[key], status=NodeStatus.TERMINATED)}
        case projects.ProjectCompleted():
            return {key: replace(rows[key], status=NodeStatus.COMPLETED)}
        case _:
            return rows


def _chartered(row: NodeRow, charter: projects.Charter) -> NodeRow:
    return replace(row, manager=charter.manager, sponsor=charter.sponsor, value=charter.value)


ROLES: Final = ReadModel(
    name="roles",
    service="approvals",
    version=1,
    row=RoleRow,
    events=(approvals.RoleAssigned, approvals.RoleRevoked),
    evolve=fold_roles,
    indexes=(("node",), ("holder",)),
    counted=True,
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
        projects.CharterAmended,
        projects.ProjectMoved,
        projects.ProjectHeld,
        projects.ProjectResumed,
        projects.ProjectTerminated,
        projects.ProjectCompleted,
    ),
    evolve=fold_nodes,
    indexes=(("node",), ("parent",), ("portfolio", "reference")),
    counted=True,
)

ACCESS_MODELS: Final = (ROLES, NODES)
"""The read models that every service keeps for itself."""
