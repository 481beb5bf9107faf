"""A gate meeting: when, who and what is planned, who took part, what was minuted, and what was done with each item."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final, TypeAlias, assert_never

from approvals.domain.review import (
    Concluded,
    Draft,
    Escalated,
    NotDrafted,
    Open,
    Review,
    ReviewNotConcluded,
    ReviewNotKnown,
    ReviewNotOpen,
    Submitted,
    Withdrawn,
)
from govevents.approvals import (
    AgendaItem,
    AgendaSet,
    Attendance,
    AttendanceRecorded,
    Disposition,
    InviteesChanged,
    ItemDisposed,
    MeetingCancelled,
    MeetingClosed,
    MeetingOpened,
    MeetingRescheduled,
    MeetingScheduled,
    MinuteTaken,
    Seen,
)
from govkernel.domain import (
    Aggregate,
    BodyId,
    Code,
    Link,
    Name,
    NotKnownYet,
    PersonId,
    PortfolioId,
    Refusal,
    ReviewId,
    SubjectId,
    Text,
    differences,
)

MEETING_OF: Final = "meeting_of"
"""The link from a portfolio to its gate meetings."""

TAKES_PART: Final = frozenset({Attendance.PRESENT, Attendance.REMOTE})


@dataclass(frozen=True, slots=True)
class Plan:
    """When and where a meeting takes place as it is planned now, with whom, and what it looks at, in this order.

    `revision` counts how often it was rescheduled.
    """

    scheduled: MeetingScheduled
    starts_at: datetime
    ends_at: datetime
    place: Text
    invitees: tuple[SubjectId, ...]
    agenda: tuple[AgendaItem, ...]
    revision: int


@dataclass(frozen=True, slots=True)
class Proceedings:
    """What went on: attendance by person as recorded last, minutes from number 1 on, and what was done with items."""

    opened: MeetingOpened
    attendance: Mapping[PersonId, AttendanceRecorded]
    minutes: tuple[MinuteTaken, ...]
    dispositions: Mapping[ReviewId, ItemDisposed]


@dataclass(frozen=True, slots=True)
class NotScheduled:
    """Nothing is known under this id."""


@dataclass(frozen=True, slots=True)
class Scheduled:
    """The meeting is to take place."""

    plan: Plan


@dataclass(frozen=True, slots=True)
class InSession:
    """The meeting is under way."""

    plan: Plan
    proceedings: Proceedings


@dataclass(frozen=True, slots=True)
class Closed:
    """The meeting is over, and its minutes stand."""

    plan: Plan
    proceedings: Proceedings
    closed: MeetingClosed


@dataclass(frozen=True, slots=True)
class Cancelled:
    """The meeting does not take place."""

    plan: Plan
    cancelled: MeetingCancelled


Meeting: TypeAlias = NotScheduled | Scheduled | InSession | Closed | Cancelled


@dataclass(frozen=True, slots=True)
class ScheduleMeeting:
    """Plan a meeting; the fields are those of MeetingScheduled."""

    portfolio: PortfolioId
    body: BodyId | None
    title: Name
    starts_at: datetime
    ends_at: datetime
    time_zone: Code
    place: Text
    chair: SubjectId
    invitees: tuple[SubjectId, ...]


@dataclass(frozen=True, slots=True)
class RescheduleMeeting:
    """Let the meeting take place at another time or place."""

    starts_at: datetime
    ends_at: datetime
    place: Text
    reason: Text


@dataclass(frozen=True, slots=True)
class ChangeInvitees:
    """Let these be all who are invited, besides the chair."""

    invitees: tuple[SubjectId, ...]


@dataclass(frozen=True, slots=True)
class SetAgenda:
    """Let the meeting look at these reviews, in this order."""

    items: tuple[AgendaItem, ...]


@dataclass(frozen=True, slots=True)
class OpenMeeting:
    """Begin."""

    opened_by: SubjectId


@dataclass(frozen=True, slots=True)
class RecordAttendance:
    """Record whether someone takes part, invited or a guest."""

    attendee: SubjectId
    person: PersonId
    attendance: Attendance


@dataclass(frozen=True, slots=True)
class TakeMinute:
    """Put something into the minutes, about an item or none, in place of the minute that it `corrects`, if any."""

    review: ReviewId | None
    text: Text
    corrects: int | None


@dataclass(frozen=True, slots=True)
class DisposeItem:
    """Say what became of an item. `state` is its review as it stands, and `conclusion` where its outcome stands."""

    review: ReviewId
    state: Review
    conclusion: Seen | None
    disposition: Disposition
    remark: Text


@dataclass(frozen=True, slots=True)
class CloseMeeting:
    """End the meeting, for good."""

    closed_by: SubjectId


@dataclass(frozen=True, slots=True)
class CancelMeeting:
    """Let the meeting not take place."""

    reason: Text


Command: TypeAlias = (
    ScheduleMeeting
    | RescheduleMeeting
    | ChangeInvitees
    | SetAgenda
    | OpenMeeting
    | RecordAttendance
    | TakeMinute
    | DisposeItem
    | CloseMeeting
    | CancelMeeting
)
Event: TypeAlias = (
    MeetingScheduled
    | MeetingRescheduled
    | InviteesChanged
    | AgendaSet
    | MeetingOpened
    | AttendanceRecorded
    | MinuteTaken
    | ItemDisposed
    | MeetingClosed
    | MeetingCancelled
)


class MeetingNotKnown(NotKnownYet):
    """No meeting is known under this id."""


class MeetingAlreadyScheduled(Refusal):
    """The meeting is planned already, with other particulars."""


class MeetingEndsBeforeItBegins(Refusal):
    """A meeting ends after it has begun."""


class InviteeListedTwice(Refusal):
    """Everybody is invited once."""


class MeetingAlreadyOpened(Refusal):
    """Once a meeting has begun, it is neither moved nor cancelled, and who comes besides is a guest."""


class MeetingNotOpened(Refusal):
    """Attendance, minutes and what becomes of items are recorded once a meeting has begun."""


class MeetingIsClosed(Refusal):
    """After a meeting is closed nothing of it changes; a later meeting's minutes can say what was wrong."""


class MeetingIsCancelled(Refusal):
    """The meeting does not take place."""


class MeetingReasonMissing(Refusal):
    """Whoever moves or cancels a meeting says why."""


class AgendaMissing(Refusal):
    """A gate meeting has an agenda of at least one review."""


class ReviewListedTwice(Refusal):
    """A review is on an agenda once."""


class MinutesNotPositive(Refusal):
    """At least one minute is set aside for each item."""


class AgendaTooLong(Refusal):
    """The items of an agenda take no longer together than the meeting does."""


class ItemAlreadyTreated(Refusal):
    """An item that has been minuted, or whose disposition is recorded, stays on the agenda."""


class ItemNotOnAgenda(Refusal):
    """The review is not on the meeting's agenda."""


class MinuteEmpty(Refusal):
    """A minute says something."""


class MinuteNotKnown(Refusal):
    """The meeting has no minute of this number."""


class MinuteAlreadyCorrected(Refusal):
    """The minute was corrected before; correct the one that stands in its place."""


class ItemAlreadyDecided(Refusal):
    """The review has its outcome, so that it is neither left to vote nor deferred."""


class ItemsNotDisposed(Refusal):
    """Before a meeting closes, it says of each item whether it was decided, left to vote, or deferred."""


class NothingMinuted(Refusal):
    """A meeting closes with minutes."""


def decide(command: Command, meeting: Meeting) -> tuple[Event, ...]:
    """What follows from a command; the refusals are those above, and of reviews those that DisposeItem can meet."""
    match command:
        case ScheduleMeeting():
            return _schedule(command, meeting)
        case RescheduleMeeting():
            return _reschedule(command, meeting)
        case ChangeInvitees(invitees=invitees):
            _check_invitees(invitees)
            plan = _plan(meeting)
            if invitees == plan.invitees:
                return ()
            _check_not_begun(meeting)
            return (InviteesChanged(plan.scheduled.portfolio, invitees),)
        case SetAgenda():
            return _set_agenda(command, meeting)
        case OpenMeeting(opened_by=opened_by):
            match meeting:
                case InSession() | Closed():
                    return ()
                case NotScheduled() | Scheduled() | Cancelled():
                    plan = _check_not_begun(meeting)
                    if not plan.agenda:
                        raise AgendaMissing
                    return (MeetingOpened(plan.scheduled.portfolio, opened_by),)
                case _:
                    assert_never(meeting)
        case RecordAttendance(attendee=attendee, person=person, attendance=attendance):
            portfolio, proceedings = _portfolio(meeting), _proceedings(meeting)
            recorded = AttendanceRecorded(portfolio, attendee, person, attendance)
            if proceedings.attendance.get(person) == recorded:
                return ()
            _check_in_session(meeting)
            return (recorded,)
        case TakeMinute():
            return _take_minute(command, meeting)
        case DisposeItem():
            return _dispose(command, meeting)
        case CloseMeeting(closed_by=closed_by):
            match meeting:
                case Closed():
                    return ()
                case NotScheduled() | Scheduled() | InSession() | Cancelled():
                    in_session = _check_in_session(meeting)
                    _check_complete(in_session)
                    return (MeetingClosed(_portfolio(in_session), closed_by),)
                case _:
                    assert_never(meeting)
        case CancelMeeting(reason=reason):
            match meeting:
                case Cancelled():
                    return ()
                case NotScheduled() | Scheduled() | InSession() | Closed():
                    plan = _check_not_begun(meeting)
                    _check_reason(reason)
                    return (MeetingCancelled(plan.scheduled.portfolio, reason),)
                case _:
                    assert_never(meeting)
        case _:
            assert_never(command)


def _schedule(command: ScheduleMeeting, meeting: Meeting) -> tuple[Event, ...]:
    _check_times(command.starts_at, command.ends_at)
    _check_invitees(command.invitees)
    scheduled = MeetingScheduled(
        portfolio=command.portfolio,
        body=command.body,
        title=command.title,
        starts_at=command.starts_at,
        ends_at=command.ends_at,
        time_zone=command.time_zone,
        place=command.place,
        chair=command.chair,
        invitees=command.invitees,
    )
    match meeting:
        case NotScheduled():
            return (scheduled,)
        case Scheduled(plan=plan) | InSession(plan=plan) | Closed(plan=plan) | Cancelled(plan=plan):
            if plan.scheduled != scheduled:
                raise MeetingAlreadyScheduled(**differences(plan.scheduled, scheduled))
            return ()
        case _:
            assert_never(meeting)


def _reschedule(command: RescheduleMeeting, meeting: Meeting) -> tuple[Event, ...]:
    plan = _plan(meeting)
    if (command.starts_at, command.ends_at, command.place) == (plan.starts_at, plan.ends_at, plan.place):
        return ()
    _check_not_begun(meeting)
    _check_reason(command.reason)
    _check_times(command.starts_at, command.ends_at)
    _check_fits(plan.agenda, command.starts_at, command.ends_at)
    portfolio = plan.scheduled.portfolio
    return (MeetingRescheduled(portfolio, command.starts_at, command.ends_at, command.place, command.reason),)


def _set_agenda(command: SetAgenda, meeting: Meeting) -> tuple[Event, ...]:
    plan, items = _plan(meeting), command.items
    if not items:
        raise AgendaMissing
    if items == plan.agenda:
        return ()
    reviews = [item.review for item in items]
    for item in items:
        if reviews.count(item.review) > 1:
            raise ReviewListedTwice(review=str(item.review))
        if item.minutes < 1:
            raise MinutesNotPositive(review=str(item.review), minutes=str(item.minutes))
    match meeting:
        case Scheduled():
            pass
        case InSession(proceedings=proceedings):
            treated = proceedings.dispositions.keys() | {minute.review for minute in proceedings.minutes}
            for item in plan.agenda:
                if item.review in treated and item.review not in reviews:
                    raise ItemAlreadyTreated(review=str(item.review))
        case NotScheduled() | Closed() | Cancelled():
            _check_in_session(meeting)
        case _:
            assert_never(meeting)
    _check_fits(items, plan.starts_at, plan.ends_at)
    return (AgendaSet(plan.scheduled.portfolio, items),)


def _take_minute(command: TakeMinute, meeting: Meeting) -> tuple[Event, ...]:
    portfolio, proceedings = _portfolio(meeting), _proceedings(meeting)
    minutes = proceedings.minutes
    said = (command.review, command.text, command.corrects)
    corrected = {minute.corrects for minute in minutes}
    # What was corrected since is said anew by who says it, and not again.
    standing = [minute for minute in minutes if minute.number not in corrected]
    if any(said == (minute.review, minute.text, minute.corrects) for minute in standing):
        return ()
    in_session = _check_in_session(meeting)
    if not command.text.strip():
        raise MinuteEmpty
    if command.review is not None:
        _check_on_agenda(command.review, in_session.plan)
    if command.corrects is not None:
        if not 1 <= command.corrects <= len(minutes):
            raise MinuteNotKnown(minute=str(command.corrects), minutes=str(len(minutes)))
        for minute in minutes:
            if minute.corrects == command.corrects:
                raise MinuteAlreadyCorrected(minute=str(command.corrects), corrected_by=str(minute.number))
    return (MinuteTaken(portfolio, len(minutes) + 1, *said),)


def _dispose(command: DisposeItem, meeting: Meeting) -> tuple[Event, ...]:
    portfolio, proceedings = _portfolio(meeting), _proceedings(meeting)
    decision = command.conclusion if command.disposition is Disposition.DECIDED else None
    disposed = ItemDisposed(portfolio, command.review, command.disposition, decision, command.remark)
    if proceedings.dispositions.get(command.review) == disposed:
        return ()
    _check_on_agenda(command.review, _check_in_session(meeting).plan)
    _check_fits_state(command)
    return (disposed,)


def _check_fits_state(command: DisposeItem) -> None:
    """Raise unless the disposition says of the review what is so."""
    state = command.state
    match command.disposition:
        case Disposition.DECIDED:
            if not isinstance(state, Concluded):
                raise ReviewNotConcluded("The review has no outcome yet: its votes decide, not the meeting's minutes.")
            assert command.conclusion is not None, "what is concluded has a conclusion"
        case Disposition.LEFT_TO_VOTE | Disposition.DEFERRED as disposition:
            match state:
                case NotDrafted():
                    raise ReviewNotKnown
                case Concluded(concluded=concluded):
                    raise ItemAlreadyDecided(outcome=concluded.outcome.value)
                case Submitted() | Open():
                    return
                case Draft() | Escalated() | Withdrawn():
                    if disposition is Disposition.LEFT_TO_VOTE:
                        raise ReviewNotOpen(state=type(state).__name__.lower())
                case _:
                    assert_never(state)
        case never:
            assert_never(never)


def _plan(meeting: Meeting) -> Plan:
    match meeting:
        case NotScheduled():
            raise MeetingNotKnown
        case Scheduled(plan=plan) | InSession(plan=plan) | Closed(plan=plan) | Cancelled(plan=plan):
            return plan
        case _:
            assert_never(meeting)


def _portfolio(meeting: Meeting) -> PortfolioId:
    return _plan(meeting).scheduled.portfolio


def _proceedings(meeting: Meeting) -> Proceedings:
    match meeting:
        case NotScheduled():
            raise MeetingNotKnown
        case Scheduled():
            raise MeetingNotOpened
        case InSession(proceedings=proceedings) | Closed(proceedings=proceedings):
            return proceedings
        case Cancelled(cancelled=cancelled):
            raise MeetingIsCancelled(because=cancelled.reason)
        case _:
            assert_never(meeting)


def _check_not_begun(meeting: Meeting) -> Plan:
    """Raise MeetingNotKnown, MeetingAlreadyOpened, MeetingIsClosed or MeetingIsCancelled unless it is to take place."""
    match meeting:
        case NotScheduled():
            raise MeetingNotKnown
        case Scheduled(plan=plan):
            return plan
        case InSession():
            raise MeetingAlreadyOpened
        case Closed():
            raise MeetingIsClosed
        case Cancelled(cancelled=cancelled):
            raise MeetingIsCancelled(because=cancelled.reason)
        case _:
            assert_never(meeting)


def _check_in_session(meeting: Meeting) -> InSession:
    """Raise MeetingNotKnown, MeetingNotOpened, MeetingIsClosed or MeetingIsCancelled unless it is under way."""
    match meeting:
        case NotScheduled():
            raise MeetingNotKnown
        case Scheduled():
            raise MeetingNotOpened
        case InSession():
            return meeting
        case Closed():
            raise MeetingIsClosed
        case Cancelled(cancelled=cancelled):
            raise MeetingIsCancelled(because=cancelled.reason)
        case _:
            assert_never(meeting)


def _check_times(starts_at: datetime, ends_at: datetime) -> None:
    if ends_at <= starts_at:
        raise MeetingEndsBeforeItBegins(starts_at=starts_at.isoformat(), ends_at=ends_at.isoformat())


def _check_invitees(invitees: tuple[SubjectId, ...]) -> None:
    for invitee in invitees:
        if invitees.count(invitee) > 1:
            raise InviteeListedTwice(invitee=str(invitee))


def _check_reason(reason: Text) -> None:
    if not reason.strip():
        raise MeetingReasonMissing


def _check_fits(agenda: tuple[AgendaItem, ...], starts_at: datetime, ends_at: datetime) -> None:
    together, meeting = sum(item.minutes for item in agenda), (ends_at - starts_at) // timedelta(minutes=1)
    if together > meeting:
        raise AgendaTooLong(items_minutes=str(together), meeting_minutes=str(meeting))


def _check_on_agenda(review: ReviewId, plan: Plan) -> None:
    if all(item.review != review for item in plan.agenda):
        raise ItemNotOnAgenda(review=str(review))


def _check_complete(meeting: InSession) -> None:
    missing = [item for item in meeting.plan.agenda if item.review not in meeting.proceedings.dispositions]
    if missing:
        raise ItemsNotDisposed(reviews=", ".join(str(item.review) for item in missing))
    if not meeting.proceedings.minutes:
        raise NothingMinuted


def evolve(meeting: Meeting, event: Event) -> Meeting:
    """The meeting after an event."""
    match event:
        case MeetingScheduled():
            return Scheduled(Plan(event, event.starts_at, event.ends_at, event.place, event.invitees, (), 0))
        case MeetingRescheduled(starts_at=starts_at, ends_at=ends_at, place=place):
            assert isinstance(meeting, Scheduled)
            plan = meeting.plan
            revision = plan.revision + 1
            return Scheduled(replace(plan, starts_at=starts_at, ends_at=ends_at, place=place, revision=revision))
        case InviteesChanged(invitees=invitees):
            assert isinstance(meeting, Scheduled)
            return Scheduled(replace(meeting.plan, invitees=invitees))
        case AgendaSet(items=items):
            assert isinstance(meeting, Scheduled | InSession)
            return replace(meeting, plan=replace(meeting.plan, agenda=items))
        case MeetingOpened():
            assert isinstance(meeting, Scheduled)
            return InSession(meeting.plan, Proceedings(event, {}, (), {}))
        case AttendanceRecorded(person=person):
            assert isinstance(meeting, InSession)
            attendance = {**meeting.proceedings.attendance, person: event}
            return replace(meeting, proceedings=replace(meeting.proceedings, attendance=attendance))
        case MinuteTaken():
            assert isinstance(meeting, InSession)
            minutes = (*meeting.proceedings.minutes, event)
            return replace(meeting, proceedings=replace(meeting.proceedings, minutes=minutes))
        case ItemDisposed(review=review):
            assert isinstance(meeting, InSession)
            dispositions = {**meeting.proceedings.dispositions, review: event}
            return replace(meeting, proceedings=replace(meeting.proceedings, dispositions=dispositions))
        case MeetingClosed():
            assert isinstance(meeting, InSession)
            return Closed(meeting.plan, meeting.proceedings, event)
        case MeetingCancelled():
            assert isinstance(meeting, Scheduled)
            return Cancelled(meeting.plan, event)
        case _:
            assert_never(event)


def present(proceedings: Proceedings) -> frozenset[PersonId]:
    """Who takes part, in the room or from elsewhere."""
    attendance = proceedings.attendance.items()
    return frozenset(person for person, recorded in attendance if recorded.attendance in TAKES_PART)


def _links(meeting: Meeting) -> frozenset[Link]:
    match meeting:
        case NotScheduled():
            return frozenset()
        case Scheduled(plan=plan) | InSession(plan=plan) | Closed(plan=plan) | Cancelled(plan=plan):
            return frozenset({Link(MEETING_OF, plan.scheduled.portfolio)})
        case _:
            assert_never(meeting)


MEETING: Final[Aggregate[Meeting, Command, Event]] = Aggregate("meeting", NotScheduled(), decide, evolve, links=_links)
