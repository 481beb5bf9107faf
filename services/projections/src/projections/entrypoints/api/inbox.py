"""What waits for a person: whatever approvals wants of them, since when, until when, and why of them."""

from datetime import date, datetime
from typing import Annotated, Final
from uuid import UUID

from fastapi import Query
from pydantic import BaseModel

from govevents.approvals import Authority, OnLapse, Outcome, ReviewKind, Role
from govkernel.access import ROLES, Visible
from govkernel.domain import (
    BodyId,
    Code,
    Money,
    Name,
    NodeId,
    PersonId,
    PortfolioId,
    ProjectId,
    ReviewId,
    SubjectId,
    Text,
)
from govkernel.http import Ask
from projections.adapters.queries import (
    END_OF_DAYS,
    Asker,
    delegated_to,
    find,
    found_in,
    inbox_of,
    labels,
    nodes_held,
    rows_of_streams,
)
from projections.application.body_seats import BODY_SEATS
from projections.application.delegations import DELEGATIONS, Delegation
from projections.application.figures import Found
from projections.application.inbox import INBOX, InboxItem, Wanted
from projections.application.meetings import MEETINGS
from projections.application.reviews import REVIEWS
from projections.domain.kpis import local_day
from projections.entrypoints.api.edge import Answer, Look, Node, api, looking, name_of, reference_of

REFER = "review.refer"
PREPARE = "review.draft"
OF_MEETINGS: Final = frozenset({Wanted.ATTENDANCE, Wanted.DISPOSITION})

Subject = Annotated[UUID | None, Query(description="whose inbox, where you may read it; without it your own")]


class InboxView(BaseModel):
    """Something that is wanted of a person since a moment, until another where there is an end.

    `because` is why it is theirs. A vote is for a `seat`: one's own, as its alternate, or under a `delegation` of its
    holder. `review_version` is what a command on the review names in If-Match. `question` is what the review asks,
    `text` what a question or condition of that `number` says, what a `meeting` is called, or the reason why another
    panel is asked, a review is to be referred, a request taken up, or a gate brought again. `again` says why everyone
    is asked again, or a meeting was moved, and `lapsed` what followed when a condition's day was over; `body` sees to
    one that escalated, or, where there is none, whoever may refer reviews. A disposition is of the `review`, at the
    `meeting`; a meeting belongs to a portfolio, and to no project.
    """

    wanted: Wanted
    review: ReviewId | None
    review_version: int | None
    request: UUID | None
    meeting: UUID | None
    project: ProjectId | None
    portfolio: PortfolioId | None
    reference: Code | None
    name: Name | None
    kind: ReviewKind | None
    gate: Code | None
    question: Text | None
    proposed: Outcome | None
    ready: bool | None
    value: Money | None
    because: Text
    authority: Authority | None
    seat: PersonId | None
    delegation: UUID | None
    delegator: SubjectId | None
    number: int | None
    text: Text | None
    again: Text | None
    lapsed: OnLapse | None
    body: BodyId | None
    since: datetime
    until: datetime | None
    due: date | None
    overdue: bool


@api.query("/inbox", operation="listInbox", response=Answer[InboxView], history=True, paged=True)
async def list_inbox(ask: Ask, node: Node = None, subject: Subject = None) -> Answer[InboxView]:
    """List what waits for you, or for somebody else where you keep the reviews, what ends first in front.

    What somebody might do is looked at as it was known then where `as_of` is given; whether you may read it, as it is
    now.
    """
    own = subject is None or subject == ask.subject
    whose = ask.subject if subject is None else SubjectId(subject)
    if node is not None and not own:
        await ask.require("inbox.read", NodeId(node))
    if own:
        ask.open_to_every_caller()
    among = Visible(everything=True, nodes=frozenset()) if own else await ask.visible_nodes("inbox.read")
    async with looking(ask, node, INBOX, REVIEWS, DELEGATIONS, BODY_SEATS, MEETINGS, ROLES, among=among) as look:
        asker = await _asker(ask, whose, look)
        delegations = await find(look.connection, DELEGATIONS, delegated_to(asker.subject, look.bounds))
        query, ends = inbox_of(asker, delegations, look.scope, look.zones, look.now)
        columns = query.selected_columns
        page = ask.keyset(query, ends, columns["waiting_since"], columns["stream"], columns["key"])
        waiting = list((await look.connection.execute(page)).mappings())
        shown = list(zip(found_in(INBOX, waiting), waiting, strict=True))
        asked = rows_of_streams(REVIEWS, look.bounds, [each.row.review or each.stream for each, _ in shown])
        reviews = {each.stream: each.row for each in await find(look.connection, REVIEWS, asked)}
        known = await labels(look.connection, [each.row.project for each, _ in shown if each.row.project is not None])

        def view(each: Found[InboxItem], ends: datetime, under: Found[Delegation] | None) -> InboxView:
            item = each.row
            review = reviews.get(item.review or each.stream)
            portfolio = review.portfolio if review is not None else item.portfolio
            today = local_day(look.now, look.zone_of(portfolio) if portfolio is not None else look.zone)
            assert item.waiting_since is not None, "what is wanted waits since a moment"
            return InboxView(
                wanted=item.wanted,
                review=ReviewId(item.review or each.stream) if review is not None else None,
                review_version=review.head if review is not None else None,
                request=each.stream if item.wanted is Wanted.REQUEST else None,
                meeting=each.stream if item.wanted in OF_MEETINGS else None,
                project=item.project,
                portfolio=portfolio,
                reference=reference_of(known, item.project) if item.project is not None else None,
                name=name_of(known, item.project) if item.project is not None else None,
                kind=review.kind if review is not None else item.kind,
                gate=review.gate if review is not None else item.gate,
                question=review.question if review is not None else None,
                proposed=review.proposed if review is not None else None,
                ready=review.ready if review is not None else None,
                value=review.value if review is not None else None,
                because=item.because,
                authority=Authority.DELEGATE if under is not None else item.authority,
                seat=item.seat,
                delegation=under.stream if under is not None else None,
                delegator=under.row.delegator if under is not None else None,
                number=item.number,
                text=item.text,
                again=item.again,
                lapsed=item.lapsed,
                body=item.body,
                since=item.waiting_since,
                until=ends if ends < END_OF_DAYS else None,
                due=item.due,
                overdue=item.due < today if item.due is not None else ends <= look.now,
            )

        return look.answer(
            ask.page(
                shown,
                lambda each: view(
                    each[0],
                    each[1]["ends"],
                    delegations[each[1]["under"]] if each[1]["under"] is not None else None,
                ),
                lambda each: (each[1]["ends"], each[1]["waiting_since"], each[0].stream, each[0].key),
            )
        )


async def _asker(ask: Ask, subject: SubjectId, look: Look) -> Asker:
    """Whose inbox it is, and where they might do what waits for whoever may, as was known then."""
    refers, prepares = [await _where(ask, subject, look, action) for action in (REFER, PREPARE)]
    return Asker(subject, refers, prepares)


async def _where(ask: Ask, subject: SubjectId, look: Look, action: str) -> Visible:
    roles = ask.runtime.authority.roles_for(action)
    # Who administers the installation stands in their token alone, which says nothing of other days or of others.
    if subject == ask.subject and ask.caller.administrator and Role.ADMINISTRATOR in roles:
        return Visible(everything=True, nodes=frozenset())
    return await nodes_held(look.connection, subject, roles, look.bounds, look.zones, look.now)
