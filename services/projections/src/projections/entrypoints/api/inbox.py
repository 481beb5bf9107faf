"""What waits for a person: votes, answers, conditions to meet or to see to, reviews to refer, and requests."""

from datetime import date, datetime
from typing import Annotated
from uuid import UUID

from fastapi import Query
from pydantic import BaseModel

from govevents.approvals import Authority, OnLapse, Outcome, ReviewKind
from govkernel.access import Visible
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
    rows_of_streams,
)
from projections.application.body_seats import BODY_SEATS
from projections.application.delegations import DELEGATIONS, Delegation
from projections.application.figures import Found
from projections.application.inbox import INBOX, InboxItem, Wanted
from projections.application.reviews import REVIEWS
from projections.domain.kpis import local_day
from projections.entrypoints.api.edge import Answer, Node, api, looking, name_of, reference_of

REFER = "review.refer"
PREPARE = "review.draft"

Subject = Annotated[UUID | None, Query(description="whose inbox, where you may read it; without it your own")]


class InboxView(BaseModel):
    """Something that is wanted of a person since a moment, until another where there is an end.

    `because` is why it is theirs. A vote is for a `seat`: one's own, as its alternate, or under a `delegation` of its
    holder. `review_version` is what a command on the review names in If-Match. `question` is what the review asks,
    `text` what a question or condition of that `number` says, or the reason of a request or referral. `again` says why
    everyone is asked again, and `lapsed` what followed when a condition's day was over; `body` sees to one that
    escalated.
    """

    wanted: Wanted
    review: ReviewId | None
    review_version: int | None
    request: UUID | None
    project: ProjectId
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

    What somebody may do is looked at as it is now, also where `as_of` is given.
    """
    own = subject is None or subject == ask.subject
    asker = await _asker(ask, ask.subject if subject is None else SubjectId(subject))
    if node is not None and not own:
        await ask.require("inbox.read", NodeId(node))
    among = Visible(everything=True, nodes=frozenset()) if own else await ask.visible_nodes("inbox.read")
    async with looking(ask, node, INBOX, REVIEWS, DELEGATIONS, BODY_SEATS, among=among) as look:
        delegations = await find(look.connection, DELEGATIONS, delegated_to(asker.subject, look.bounds))
        query, ends = inbox_of(asker, delegations, look.scope, look.zones, look.now)
        columns = query.selected_columns
        page = ask.keyset(query, ends, columns["waiting_since"], columns["stream"], columns["key"])
        waiting = list((await look.connection.execute(page)).mappings())
        shown = list(zip(found_in(INBOX, waiting), waiting, strict=True))
        asked = rows_of_streams(REVIEWS, look.bounds, [each.stream for each, _ in shown])
        reviews = {each.stream: each.row for each in await find(look.connection, REVIEWS, asked)}
        known = await labels(look.connection, [each.row.project for each, _ in shown])

        def view(each: Found[InboxItem], under: Found[Delegation] | None) -> InboxView:
            item = each.row
            review = reviews.get(each.stream)
            project = known.get(item.project)
            today = local_day(look.now, look.zone_of(project.portfolio) if project is not None else look.zone)
            assert item.waiting_since is not None, "what is wanted waits since a moment"
            return InboxView(
                wanted=item.wanted,
                review=ReviewId(each.stream) if review is not None else None,
                review_version=review.head if review is not None else None,
                request=each.stream if item.wanted is Wanted.REQUEST else None,
                project=item.project,
                portfolio=project.portfolio if project is not None else None,
                reference=reference_of(known, item.project),
                name=name_of(known, item.project),
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
                until=item.closes_at,
                due=item.due,
                overdue=item.due < today if item.due is not None else (item.closes_at or END_OF_DAYS) <= look.now,
            )

        return look.answer(
            ask.page(
                shown,
                lambda each: view(each[0], delegations[each[1]["under"]] if each[1]["under"] is not None else None),
                lambda each: (each[1]["ends"], each[1]["waiting_since"], each[0].stream, each[0].key),
            )
        )


async def _asker(ask: Ask, subject: SubjectId) -> Asker:
    """Whose inbox it is, and where they may do what waits for whoever may."""
    if subject == ask.subject:
        return Asker(subject, await ask.visible_nodes(REFER), await ask.visible_nodes(PREPARE))
    authority = ask.runtime.authority
    refers, prepares = [
        await authority.visible_nodes(subject=subject, action=action, administrator=False, now=ask.now)
        for action in (REFER, PREPARE)
    ]
    return Asker(subject, refers, prepares)
