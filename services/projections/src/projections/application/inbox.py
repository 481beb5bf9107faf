"""What waits for whom: votes, answers, conditions to meet or to see to, reviews to refer, and requests to take up."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import date, datetime
from enum import Enum
from typing import Any, Final

from govevents import approvals
from govevents.approvals import Authority, Elector, OnLapse, Panel, ReviewKind
from govevents.document import Recorded
from govevents.values import value
from govkernel.domain import BodyId, Code, PersonId, ProjectId, SubjectId, Text
from govkernel.readmodels import ReadModel


class Wanted(Enum):
    """What is wanted of somebody."""

    VOTE = "vote"
    ANSWER = "answer"
    CONDITION = "condition"
    ESCALATION = "escalation"
    REFERRAL = "referral"
    REQUEST = "request"


@value
class InboxItem:
    """Something that is wanted of somebody, since `waiting_since`; None while it isn't wanted, or is done already.

    `subject` is None where it isn't an account that is asked: an answer is the submitter's to give, a review that
    nobody is named for is referred, and a request taken up, by whoever may do that; a condition that lapsed into
    escalation is for the members of a `body` to see to. `because` is why it is theirs.
    A vote is for the `seat` of a person, by `authority`; `spoken_by` and `spoken_as` are of the vote that counts for
    it, and `again` is why everyone was asked again. `closes_at` is the end of the voters' time, or of a condition's
    day. `number` is that of a question or condition, `text` what it says. `kind` and `gate` are those that a request
    names; what a review is about stands in the review.
    """

    project: ProjectId
    wanted: Wanted
    waiting_since: datetime | None
    because: Text
    subject: SubjectId | None = None
    person: PersonId | None = None
    seat: PersonId | None = None
    authority: Authority | None = None
    spoken_by: PersonId | None = None
    spoken_as: Authority | None = None
    again: Text | None = None
    closes_at: datetime | None = None
    due: date | None = None
    number: int | None = None
    text: Text | None = None
    lapsed: OnLapse | None = None
    body: BodyId | None = None
    kind: ReviewKind | None = None
    gate: Code | None = None


Rows = Mapping[str, InboxItem]


def evolve(rows: Rows, recorded: Recorded[Any]) -> Rows:
    """One stream is one review or one request; what has ended leaves nothing waiting but its conditions."""
    time = recorded.envelope.time
    match recorded.event:
        case approvals.ReviewSubmitted() as submitted:
            since = None if submitted.awaits else time
            return dict(_votes(submitted.project, submitted.electorate, since, submitted.closes_at))
        case approvals.ReviewOpened():
            return _asked(rows, time, None)
        case approvals.VoteCast(seat=seat, person=person, authority=authority):
            return {
                key: replace(each, waiting_since=None, spoken_by=person, spoken_as=authority, again=None)
                if each.wanted is Wanted.VOTE and each.seat == seat
                else each
                for key, each in rows.items()
            }
        case approvals.VoterRecused(person=person):
            return {key: _without(each, person, time) for key, each in rows.items()}
        case approvals.EvidenceChanged(remark=remark):
            return _asked(rows, time, remark)
        case approvals.QuestionAsked(project=project, number=number, text=text):
            question = InboxItem(project, Wanted.ANSWER, time, "submitter of the review", number=number, text=text)
            return {**rows, f"question/{number}": question}
        case approvals.QuestionAnswered(number=number):
            return {key: each for key, each in rows.items() if key != f"question/{number}"}
        case approvals.ReviewEscalated(project=project, to=None, reason=reason):
            referral = InboxItem(project, Wanted.REFERRAL, time, "may refer reviews to a body", text=reason)
            return {**_besides_votes(rows), "referral": referral}
        case (
            approvals.ReviewEscalated(project=project, to=Panel() as panel, closes_at=closes_at)
            | approvals.ReviewReferred(project=project, to=panel, closes_at=closes_at)
        ):
            return {**_besides_votes(rows), **dict(_votes(project, panel.electorate, time, closes_at))}
        case approvals.ReviewConcluded() as concluded:
            return dict(_conditions(concluded, time))
        case approvals.ReviewWithdrawn():
            return {}
        case approvals.ConditionClosed(condition=number) | approvals.ConditionWaived(condition=number):
            ended = (f"condition/{number}", f"escalation/{number}")
            return {key: each for key, each in rows.items() if key not in ended}
        case approvals.ConditionLapsed(condition=number, then=then, escalated_to=body):
            key = f"condition/{number}"
            lapsed = replace(rows[key], lapsed=then)
            return {**rows, key: lapsed, **dict(_escalated(lapsed, body, time))}
        case approvals.ReviewRequested() as requested:
            request = InboxItem(
                project=requested.project,
                wanted=Wanted.REQUEST,
                waiting_since=time,
                because="may prepare reviews of the project",
                text=requested.reason,
                kind=requested.kind,
                gate=requested.gate,
            )
            return {"request": request}
        case approvals.ReviewRequestAccepted() | approvals.ReviewRequestDeclined():
            return {}
        case _:
            return rows


def _votes(
    project: ProjectId, electorate: tuple[Elector, ...], since: datetime | None, closes_at: datetime | None
) -> Iterator[tuple[str, InboxItem]]:
    """A row for each seat's holder and for each of their alternates."""
    for seat in electorate:
        voices = [(seat.subject, seat.person, Authority.OWN)]
        voices += [(other.subject, other.person, Authority.ALTERNATE) for other in seat.alternates]
        for subject, person, authority in voices:
            yield (
                f"vote/{seat.person}/{person}",
                InboxItem(
                    project=project,
                    wanted=Wanted.VOTE,
                    waiting_since=since,
                    because=seat.authority,
                    subject=subject,
                    person=person,
                    seat=seat.person,
                    authority=authority,
                    closes_at=closes_at,
                ),
            )


def _asked(rows: Rows, time: datetime, again: Text | None) -> Rows:
    return {
        key: replace(each, waiting_since=time, spoken_by=None, spoken_as=None, again=again)
        if each.wanted is Wanted.VOTE
        else each
        for key, each in rows.items()
    }


def _without(item: InboxItem, person: PersonId, time: datetime) -> InboxItem:
    """A seat waits again where it was the recused who spoke for it, or a delegate of theirs."""
    void = item.spoken_by == person or (item.seat == person and item.spoken_as is Authority.DELEGATE)
    if item.spoken_by is None or not void:
        return item
    return replace(item, waiting_since=time, spoken_by=None, spoken_as=None)


def _besides_votes(rows: Rows) -> Rows:
    return {key: each for key, each in rows.items() if each.wanted not in (Wanted.VOTE, Wanted.REFERRAL)}


def _conditions(concluded: approvals.ReviewConcluded, time: datetime) -> Iterator[tuple[str, InboxItem]]:
    for number, condition in enumerate(concluded.conditions, start=1):
        yield (
            f"condition/{number}",
            InboxItem(
                project=concluded.project,
                wanted=Wanted.CONDITION,
                waiting_since=time,
                because="owner of the condition",
                subject=condition.owner,
                closes_at=condition.lapses_at,
                due=condition.due,
                number=number,
                text=condition.text,
            ),
        )


def _escalated(lapsed: InboxItem, body: BodyId | None, time: datetime) -> Iterator[tuple[str, InboxItem]]:
    if lapsed.lapsed is OnLapse.ESCALATION and body is not None:
        because = "member of the body that sees to a condition which was not met"
        yield (
            f"escalation/{lapsed.number}",
            replace(lapsed, wanted=Wanted.ESCALATION, waiting_since=time, because=because, subject=None, body=body),
        )


INBOX: Final = ReadModel(
    name="inbox",
    service="approvals",
    version=1,
    row=InboxItem,
    events=(
        approvals.ReviewSubmitted,
        approvals.ReviewOpened,
        approvals.EvidenceChanged,
        approvals.VoteCast,
        approvals.VoterRecused,
        approvals.QuestionAsked,
        approvals.QuestionAnswered,
        approvals.ReviewConcluded,
        approvals.ReviewEscalated,
        approvals.ReviewReferred,
        approvals.ReviewWithdrawn,
        approvals.ConditionClosed,
        approvals.ConditionWaived,
        approvals.ConditionLapsed,
        approvals.ReviewRequested,
        approvals.ReviewRequestAccepted,
        approvals.ReviewRequestDeclined,
    ),
    evolve=evolve,
    indexes=(("subject",), ("seat",), ("wanted",)),
)
