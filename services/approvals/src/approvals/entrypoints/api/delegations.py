"""Delegations of authority: who lets whom speak for them, where, up to which value and until when."""

from collections.abc import Mapping
from datetime import date
from typing import Annotated, Final
from uuid import UUID

from fastapi import Query
from pydantic import BaseModel

from approvals.adapters import queries
from approvals.adapters.queries import Entry
from approvals.application.electorate import PersonNotKnown
from approvals.domain import delegation as delegations
from approvals.domain.body import TermEndsBeforeItBegins
from approvals.domain.delegation import (
    DELEGATED_BY,
    DELEGATED_TO,
    DELEGATION,
    DELEGATION_AT,
    DelegatesToOneself,
    Delegation,
    DelegationAlreadyGranted,
    DelegationNotKnown,
    DelegationTermOver,
    GrantDelegation,
    LimitBelowZero,
    RevokeDelegation,
)
from approvals.entrypoints.api.edge import (
    READ,
    AnyIntent,
    NodeNotKnown,
    NotImportable,
    api,
    check_accounts,
    check_happens_now,
    may,
    name_in,
)
from govevents.approvals import DelegationGranted, ReviewKind
from govkernel.access import day_in
from govkernel.domain import Link, Money, NodeId, SubjectId, Text
from govkernel.http import Ask, Body, Call, Page
from govkernel.ledger import Intent
from govkernel.tables import events

REVOKE: Final = "delegation.revoke"
REVOKE_OWN: Final = "delegation.revoke_own"


api.actions |= {REVOKE, REVOKE_OWN}

From = Annotated[UUID | None, Query(alias="from", description="the account that delegated")]
To = Annotated[UUID | None, Query(alias="to", description="the account that was delegated to")]
At = Annotated[UUID | None, Query(description="the node of which the delegation speaks, itself")]


class DelegationRequest(Body):
    """Who may speak for the caller at a node and all below it, from the first day to the last, both included.

    No kinds are all kinds of review. It holds for values up to the limit, inclusive; no limit is any value, and one
    that nobody knows. Days are those of the node's portfolio.
    """

    delegate: SubjectId
    node: NodeId
    kinds: tuple[ReviewKind, ...] = ()
    limit: Money | None = None
    first_day: date
    last_day: date
    reason: Text


class DelegationRevocationRequest(Body):
    """Why a delegation is to hold no longer."""

    reason: Text


class DelegationView(BaseModel):
    """A delegation; names are null for whoever has been erased, `revoked_by` while nobody has taken it back."""

    delegation: UUID
    delegator: SubjectId
    delegator_name: str | None
    delegate: SubjectId
    delegate_name: str | None
    node: NodeId
    kinds: tuple[ReviewKind, ...]
    limit: Money | None
    first_day: date
    last_day: date
    reason: str
    revoked_by: SubjectId | None
    revoked_because: str | None


@api.command(
    "/delegations",
    operation="grantDelegation",
    action="delegation.grant",
    body=DelegationRequest,
    refusals=(
        NodeNotKnown,
        NotImportable,
        PersonNotKnown,
        DelegatesToOneself,
        TermEndsBeforeItBegins,
        DelegationTermOver,
        LimitBelowZero,
        DelegationAlreadyGranted,
    ),
)
async def grant_delegation(call: Call[DelegationRequest]) -> AnyIntent:
    """Let another person speak for one's own seats, and for no seat that one speaks for by delegation."""
    body = call.body
    await may(call, "delegation.grant", body.node)
    check_happens_now(call)
    time_zone = await queries.time_zone_of(call.runtime.engine, body.node)
    if time_zone is None:
        raise NodeNotKnown(node=str(body.node))
    persons = await check_accounts(call, [call.subject, body.delegate])
    command = GrantDelegation(
        delegator=call.subject,
        delegator_person=persons[call.subject],
        delegate=body.delegate,
        delegate_person=persons[body.delegate],
        node=body.node,
        kinds=body.kinds,
        limit=body.limit,
        first_day=body.first_day,
        last_day=body.last_day,
        reason=body.reason,
        today=day_in(time_zone, call.now),
    )
    return Intent(DELEGATION, call.command, command, node=body.node)


@api.command(
    "/delegations/{delegation}/revocations",
    operation="revokeDelegation",
    action=REVOKE,
    body=DelegationRevocationRequest,
    refusals=(DelegationNotKnown, NotImportable),
)
async def revoke_delegation(call: Call[DelegationRevocationRequest]) -> AnyIntent:
    """Take a delegation back, or hand it back: it covers no vote from now on, and those cast under it are marked."""
    stream = call.path_id("delegation")
    granted = _granted((await call.load(DELEGATION, stream)).state)
    action = REVOKE_OWN if call.subject in (granted.delegator, granted.delegate) else REVOKE
    await may(call, action, granted.node)
    check_happens_now(call)
    command = RevokeDelegation(call.subject, call.body.reason)
    return Intent(DELEGATION, stream, command, node=granted.node, action=action)


@api.query("/delegations/{delegation}", operation="getDelegation", response=DelegationView)
async def get_delegation(ask: Ask, delegation: UUID) -> DelegationView:
    """Read a delegation; both its parties may, and whoever sees what is decided at its node."""
    loaded = await ask.runtime.ledger.load(DELEGATION, delegation)
    if isinstance(loaded.state, delegations.NotGranted):
        raise ask.missing("delegation", delegation)
    granted = _granted(loaded.state)
    if ask.subject in (granted.delegator, granted.delegate):
        ask.open_to_every_caller()
    else:
        await ask.require(READ, granted.node)
    ask.tag(delegation, loaded.head.version)
    return _view(delegation, loaded.state, await _names(ask, loaded.state))


@api.query("/delegations", operation="listDelegations", response=Page[DelegationView], paged=True, found=False)
async def list_delegations(
    ask: Ask, from_account: From = None, to_account: To = None, node: At = None
) -> Page[DelegationView]:
    """List delegations that the caller is party to or may see, in the order in which they were granted."""
    wanted = [
        Link(kind, target)
        for kind, target in ((DELEGATED_BY, from_account), (DELEGATED_TO, to_account), (DELEGATION_AT, node))
        if target is not None
    ]
    query = queries.delegations(wanted, await ask.visible_nodes(READ), ask.subject)
    async with ask.connection() as connection:
        rows = (await connection.execute(ask.keyset(query, events.c.seq))).all()
    states = {row.stream: (await ask.runtime.ledger.load(DELEGATION, row.stream)).state for row in rows}
    known = await _names(ask, *states.values())
    return ask.page(rows, lambda row: _view(row.stream, states[row.stream], known), lambda row: (row.seq,))


def _granted(state: Delegation) -> DelegationGranted:
    assert not isinstance(state, delegations.NotGranted), "a stream that exists was granted"
    return state.granted


async def _names(ask: Ask, *states: Delegation) -> Mapping[SubjectId, Entry]:
    parties = {party for granted in map(_granted, states) for party in (granted.delegator, granted.delegate)}
    return await queries.entries(ask.runtime.engine, parties)


def _view(delegation: UUID, state: Delegation, known: Mapping[SubjectId, Entry]) -> DelegationView:
    granted = _granted(state)
    revoked = state.revoked if isinstance(state, delegations.Revoked) else None
    return DelegationView(
        delegation=delegation,
        delegator=granted.delegator,
        delegator_name=name_in(known, granted.delegator),
        delegate=granted.delegate,
        delegate_name=name_in(known, granted.delegate),
        node=granted.node,
        kinds=granted.kinds,
        limit=granted.limit,
        first_day=granted.first_day,
        last_day=granted.last_day,
        reason=granted.reason,
        revoked_by=revoked.revoked_by if revoked else None,
        revoked_because=revoked.reason if revoked else None,
    )
