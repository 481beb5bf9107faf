"""Who has which role at which node."""

from datetime import date
from typing import Final
from uuid import UUID

from pydantic import BaseModel

from approvals.adapters import queries
from approvals.adapters.queries import roles
from approvals.application.electorate import (
    PersonNotKnown,
)
from approvals.domain import role_assignment
from approvals.domain.body import (
    TermEndsBeforeItBegins,
)
from approvals.domain.role_assignment import (
    ROLE_ASSIGNMENT,
    AccountOfAnotherPerson,
    AssignRole,
    RevokeRole,
    RoleNotAssigned,
)
from approvals.entrypoints.api.edge import READ, AnyIntent, NodeNotKnown, api, may, name_in, person_of
from govevents.approvals import (
    Role,
)
from govkernel.domain import (
    NodeId,
    SubjectId,
    Text,
)
from govkernel.http import Ask, Body, Call, Page
from govkernel.ledger import Intent

KEEP_ADMINISTRATORS: Final = "administrator.keep"


api.actions.add(KEEP_ADMINISTRATORS)


class RoleRequest(Body):
    """A role at a node and all below it, from the first day to the last, both included."""

    holder: SubjectId
    role: Role
    node: NodeId
    first_day: date
    last_day: date | None = None


class RevocationRequest(Body):
    """Which role is taken back, and why."""

    holder: SubjectId
    role: Role
    node: NodeId
    reason: Text


class RoleView(BaseModel):
    """A role that is assigned at a node."""

    holder: SubjectId
    name: str | None
    role: Role
    node: NodeId
    first_day: date
    last_day: date | None


@api.command(
    "/role-assignments",
    operation="assignRole",
    action="role.keep",
    body=RoleRequest,
    refusals=(NodeNotKnown, PersonNotKnown, TermEndsBeforeItBegins, AccountOfAnotherPerson),
)
async def assign_role(call: Call[RoleRequest]) -> AnyIntent:
    """Give an account a role at a node; only administrators make administrators."""
    body = call.body
    action = _keeping(body.role)
    await may(call, action, body.node)
    if not await queries.is_node(call.runtime.engine, body.node):
        raise NodeNotKnown(node=str(body.node))
    person = await person_of(call, body.holder)
    return Intent(
        ROLE_ASSIGNMENT,
        role_assignment.stream_of(body.node, body.role, body.holder),
        AssignRole(body.holder, person, body.role, body.node, body.first_day, body.last_day),
        node=body.node,
        action=action,
    )


@api.command(
    "/role-revocations",
    operation="revokeRole",
    action="role.keep",
    body=RevocationRequest,
    refusals=(RoleNotAssigned,),
)
async def revoke_role(call: Call[RevocationRequest]) -> AnyIntent:
    """Take a role back, at once."""
    body = call.body
    return Intent(
        ROLE_ASSIGNMENT,
        role_assignment.stream_of(body.node, body.role, body.holder),
        RevokeRole(body.reason),
        node=body.node,
        action=_keeping(body.role),
    )


@api.query("/role-assignments", operation="listRoles", response=Page[RoleView], paged=True)
async def list_roles(ask: Ask, node: UUID) -> Page[RoleView]:
    """List the roles that are assigned at a node itself."""
    await ask.require(READ, NodeId(node))
    query = ask.keyset(queries.roles_at(NodeId(node)), roles.c.role, roles.c.holder)
    async with ask.connection() as connection:
        rows = (await connection.execute(query)).all()
    known = await queries.entries(ask.runtime.engine, [row.holder for row in rows])
    return ask.page(
        rows,
        lambda row: RoleView(
            holder=row.holder,
            name=name_in(known, row.holder),
            role=Role(row.role),
            node=row.node,
            first_day=row.first_day,
            last_day=row.last_day,
        ),
        lambda row: (row.role, row.holder),
    )


def _keeping(role: Role) -> str:
    return KEEP_ADMINISTRATORS if role is Role.ADMINISTRATOR else "role.keep"
