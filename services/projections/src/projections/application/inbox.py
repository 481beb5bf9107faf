"""What waits for whom: to vote, answer, meet or see to conditions, refer, take up, bring again, attend and dispose."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import date, datetime
from enum import Enum
from typing import Any, Final

from govevents import approvals
from govevents.approvals import Authority, Elector, OnLapse, Outcome, Panel, ReviewKind
from govevents.document import Recorded
from govevents.values import value
from govkernel.domain import BodyId, Code, PersonId, PortfolioId, ProjectId, ReviewId, SubjectId, Text
from govkernel.readmodels import ReadModel


class Wanted(Enum):
    """What is wanted of somebody."""

    VOTE = "vote"
    ANSWER = "answer"
    CONDITION = "condition"
    ESCALATION = "escalation"
    REFERRAL = "referral"
    REQUEST = "request"
    RESUBMISSION = "resubmission"
    ATTENDANCE = "attendance"
    DISPOSITION = "disposition"


@value
class InboxItem:
    """Something that is wanted of somebody, since `waiting_since`; None while it isn't wanted, or is done already.

    `subject` is None where it isn't an account that is asked: an answer is the submitter's to give, and so is a gate
    that was recycled to be brought again; a review that nobody is named for is referred, and a request taken up, by
    whoever may do that; a condition that lapsed into escalation is for the members of a `body` to see to, or, where
    none is named, for whoever may refer reviews. `because` is why it is theirs.
    A vote is for the `seat` of a person, by `authority`; `spoken_by` and `spoken_as` are of the vote that counts for
    it, and `again` is why everyone was asked again, or a meeting moved. `closes_at` is the end of the voters' time or
    of a condition's day, or when a meeting begins. `number` is that of a question or condition, `text` what it says,
    what a meeting is called, or why something is wanted. `review` is the item of an agenda whose disposition is wanted.
    `portfolio`, `kind` and `gate` are those of a request or a meeting; what a review is about stands in the review.
    """

    project: ProjectId | None
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
    review: ReviewId | None = None
    portfolio: PortfolioId | None = None
    kind: ReviewKind | None = None
    gate: Code | None = None


Rows = Mapping[str, InboxItem]

CHAIR: Final = "chair"
"""The key of what a meeting wants of its chair, until it is closed."""


def evolve(rows: Rows, recorded: Recorded[Any]) -> Rows:
    """One stream is one review, request or meeting; what has ended leaves waiting only what it asks for."""
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
            approvals.ReviewEscalated(project=project, to=Panel() as panel, closes_at=closes_at, reason=reason)
            | approvals.ReviewReferred(project=project, to=panel, closes_at=closes_at, reason=reason)
        ):
            return {**_besides_votes(rows), **dict(_votes(project, panel.electorate, time, closes_at, reason))}
        case approvals.ReviewConcluded() as concluded:
            return {**dict(_conditions(concluded, time)), **dict(_resubmission(concluded, time))}
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
                portfolio=requested.portfolio,
                kind=requested.kind,
                gate=requested.gate,
            )
            return {"request": request}
        case approvals.ReviewRequestAccepted() | approvals.ReviewRequestDeclined():
            return {}
        case approvals.MeetingScheduled(chair=chair, invitees=invitees) as scheduled:
            of_chair = InboxItem(
                project=None,
                wanted=Wanted.ATTENDANCE,
                waiting_since=time,
                because="chair of the meeting",
                subject=chair,
                closes_at=scheduled.starts_at,
                text=scheduled.title,
                portfolio=scheduled.portfolio,
            )
            return _invited({CHAIR: of_chair}, invitees, time)
        case approvals.InviteesChanged(invitees=invitees):
            return _invited(rows, invitees, time)
        case approvals.MeetingRescheduled(starts_at=starts_at, reason=reason):
            return {
                key: replace(each, waiting_since=time, closes_at=starts_at, again=reason)
                if each.wanted is Wanted.ATTENDANCE
                else each
                for key, each in rows.items()
            }
        case approvals.AgendaSet(items=items):
            return {**_besides(rows, Wanted.DISPOSITION), **dict(_dispositions(rows, items, time))}
        case approvals.MeetingOpened():
            return {
                key: replace(each, waiting_since=time) if each.wanted is Wanted.DISPOSITION else each
                for key, each in rows.items()
            }
        case approvals.AttendanceRecorded(attendee=attendee):
            return {key: each for key, each in rows.items() if key != f"attendance/{attendee}"}
        case approvals.ItemDisposed(review=review):
            key = f"disposition/{review}"
            return {**rows, key: replace(rows[key], waiting_since=None)}
        case approvals.MeetingClosed() | approvals.MeetingCancelled():
            return {}
        case _:
            return rows


def _votes(
    project: ProjectId,
    electorate: tuple[Elector, ...],
    since: datetime | None,
    closes_at: datetime | None,
    reason: Text | None = None,
) -> Iterator[tuple[str, InboxItem]]:
    """A row for each seat's holder and for each of their alternates; `reason` is why another panel is asked."""
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
                    text=reason,
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
    return _besides(rows, Wanted.VOTE, Wanted.REFERRAL)


def _besides(rows: Rows, *wanted: Wanted) -> Rows:
    return {key: each for key, each in rows.items() if each.wanted not in wanted}


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
    if lapsed.lapsed is OnLapse.ESCALATION:
        because = "member of the body that sees to a condition which was not met"
        if body is None:
            because = "may refer reviews to a body, where no body is named to see to a condition which was not met"
        yield (
            f"escalation/{lapsed.number}",
            replace(lapsed, wanted=Wanted.ESCALATION, waiting_since=time, because=because, subject=None, body=body),
        )


def _resubmission(concluded: approvals.ReviewConcluded, time: datetime) -> Iterator[tuple[str, InboxItem]]:
    if concluded.kind is ReviewKind.GATE and concluded.outcome is Outcome.RECYCLE:
        because, why = "submitter of the review that recycled the gate", concluded.because
        yield "resubmission", InboxItem(concluded.project, Wanted.RESUBMISSION, time, because, text=why)


def _invited(rows: Rows, invitees: tuple[SubjectId, ...], time: datetime) -> Rows:
    """The chair and those who are invited, each since they first were."""
    chair = rows[CHAIR]
    others = {
        f"attendance/{each}": replace(chair, subject=each, because="invited to the meeting", waiting_since=time)
        for each in invitees
        if each != chair.subject
    }
    known = {key: rows.get(key, each) for key, each in others.items()}
    return {**_besides(rows, Wanted.ATTENDANCE), CHAIR: chair, **known}


def _dispositions(
    rows: Rows, items: tuple[approvals.AgendaItem, ...], time: datetime
) -> Iterator[tuple[str, InboxItem]]:
    """A row for each item of an agenda, which the chair is to dispose of; what was disposed of stays so."""
    chair = rows[CHAIR]
    for item in items:
        key = f"disposition/{item.review}"
        asked = InboxItem(
            project=item.project,
            wanted=Wanted.DISPOSITION,
            waiting_since=time,
            because=chair.because,
            subject=chair.subject,
            text=chair.text,
            review=item.review,
            portfolio=chair.portfolio,
        )
        yield key, rows.get(key, asked)


INBOX: Final = ReadModel(
    name="inbox",
    service="approvals",
    version=2,
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
        approvals.MeetingScheduled,
        approvals.MeetingRescheduled,
        approvals.InviteesChanged,
        approvals.AgendaSet,
        approvals.MeetingOpened,
        approvals.AttendanceRecorded,
        approvals.ItemDisposed,
        approvals.MeetingClosed,
        approvals.MeetingCancelled,
    ),
    evolve=evolve,
    indexes=(("subject",), ("seat",), ("wanted",)),
)
