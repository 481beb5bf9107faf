"""Bodies that decide, and who sits on them."""

from datetime import date
from typing import Any
from uuid import UUID

from pydantic import BaseModel

from approvals.adapters import queries
from approvals.application.electorate import (
    PersonNotKnown,
)
from approvals.domain import body as bodies
from approvals.domain.body import (
    BODY,
    BODY_OF,
    AlternateMayNotChair,
    AppointMember,
    BodyAlreadyFormed,
    BodyNotKnown,
    ChairTaken,
    FormBody,
    MemberNotSeatedThroughout,
    NotAMember,
    PersonAlreadySits,
    ReleaseMember,
    TermEndsBeforeItBegins,
)
from approvals.entrypoints.api.edge import (
    READ,
    AnyIntent,
    PortfolioNotKnown,
    api,
    check_portfolio,
    linked,
    may,
    name_in,
    person_of,
)
from govkernel.domain import (
    BodyId,
    Name,
    NodeId,
    PortfolioId,
    SubjectId,
    Text,
)
from govkernel.http import Ask, Body, Call, Page
from govkernel.ledger import Intent


class BodyRequest(Body):
    """A body that decides for a portfolio; its name is its own there."""

    portfolio: PortfolioId
    name: Name


class MemberRequest(Body):
    """A seat, from the first day to the last, both included; no last day is until released.

    An alternate names the member whose seat they take when that member does not, who sits during all of their term.
    """

    member: SubjectId
    chair: bool = False
    alternate_for: SubjectId | None = None
    first_day: date
    last_day: date | None = None


class ReleaseRequest(Body):
    """Whose seats are taken back, and why; a member's alternates lose theirs too."""

    member: SubjectId
    reason: Text


class SeatView(BaseModel):
    """A seat on a body; the name is null for whoever has been erased, `alternate_for` for members."""

    member: SubjectId
    name: str | None
    chair: bool
    alternate_for: SubjectId | None
    first_day: date
    last_day: date | None


class BodyView(BaseModel):
    """A body with its seats, past and to come."""

    body: BodyId
    portfolio: PortfolioId
    name: Name
    seats: list[SeatView]


@api.command(
    "/bodies",
    operation="formBody",
    action="body.keep",
    body=BodyRequest,
    refusals=(PortfolioNotKnown, BodyAlreadyFormed),
)
async def form_body(call: Call[BodyRequest]) -> AnyIntent:
    """Form a body that decides for a portfolio."""
    body = call.body
    await check_portfolio(call, "body.keep", body.portfolio)
    return Intent(
        BODY,
        bodies.stream_of(body.portfolio, body.name),
        FormBody(body.portfolio, body.name),
        node=NodeId(body.portfolio),
    )


@api.command(
    "/bodies/{body}/members",
    operation="appointMember",
    action="body.keep",
    body=MemberRequest,
    refusals=(
        BodyNotKnown,
        PersonNotKnown,
        TermEndsBeforeItBegins,
        PersonAlreadySits,
        ChairTaken,
        AlternateMayNotChair,
        MemberNotSeatedThroughout,
    ),
)
async def appoint_member(call: Call[MemberRequest]) -> AnyIntent:
    """Give a person a seat on a body, as a member or as a member's alternate."""
    body = call.body
    node = await _node_of_body(call)
    await may(call, "body.keep", node)
    person = await person_of(call, body.member)
    command = AppointMember(body.member, person, body.chair, body.alternate_for, body.first_day, body.last_day)
    return Intent(BODY, call.path_id("body"), command, node=node)


@api.command(
    "/bodies/{body}/member-releases",
    operation="releaseMember",
    action="body.keep",
    body=ReleaseRequest,
    refusals=(BodyNotKnown, NotAMember),
)
async def release_member(call: Call[ReleaseRequest]) -> AnyIntent:
    """Take the seats of a member or an alternate back, at once; the alternates of a member leave with them."""
    command = ReleaseMember(call.body.member, call.body.reason)
    return Intent(BODY, call.path_id("body"), command, node=await _node_of_body(call))


@api.query("/bodies/{body}", operation="getBody", response=BodyView)
async def get_body(ask: Ask, body: UUID) -> BodyView:
    """Read a body and its seats."""
    loaded = await ask.runtime.ledger.load(BODY, body)
    if not isinstance(loaded.state, bodies.Formed):
        raise ask.missing("body", body)
    await ask.require(READ, NodeId(loaded.state.formed.portfolio))
    ask.tag(body, loaded.head.version)
    return await _body_view(ask, BodyId(body), loaded.state)


@api.query("/bodies", operation="listBodies", response=Page[BodyView], paged=True)
async def list_bodies(ask: Ask, portfolio: UUID) -> Page[BodyView]:
    """List a portfolio's bodies, in the order in which they were formed."""
    await ask.require(READ, NodeId(portfolio))
    rows = await linked(ask, BODY_OF, portfolio)
    views = {}
    for row in rows[: ask.window.limit]:
        state = (await ask.runtime.ledger.load(BODY, row.stream)).state
        assert isinstance(state, bodies.Formed), "only a body that was formed has this link"
        views[row.stream] = await _body_view(ask, BodyId(row.stream), state)
    return ask.page(rows, lambda row: views[row.stream], lambda row: (row.seq,))


async def _node_of_body(call: Call[Any]) -> NodeId:
    state = (await call.load(BODY, call.path_id("body"))).state
    assert isinstance(state, bodies.Formed), "a stream that exists was formed"
    return NodeId(state.formed.portfolio)


async def _body_view(ask: Ask, body: BodyId, state: bodies.Formed) -> BodyView:
    known = await queries.entries(ask.runtime.engine, [seat.member for seat in state.seats])
    return BodyView(
        body=body,
        portfolio=state.formed.portfolio,
        name=state.formed.name,
        seats=[
            SeatView(
                member=seat.member,
                name=name_in(known, seat.member),
                chair=seat.chair,
                alternate_for=seat.alternate_for,
                first_day=seat.first_day,
                last_day=seat.last_day,
            )
            for seat in state.seats
        ],
    )
