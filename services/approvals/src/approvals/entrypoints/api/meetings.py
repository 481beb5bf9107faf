"""Gate meetings: planned, invited to, held, minuted and closed, over several projects in one sitting."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final, assert_never
from uuid import UUID
from zoneinfo import ZoneInfo, available_timezones

from pydantic import BaseModel, Field

from approvals.adapters import queries
from approvals.adapters.queries import Entry
from approvals.application.electorate import PersonNotKnown
from approvals.application.voices import Voice, most_at_once, silent_seats, voices
from approvals.domain.body import BodyNotKnown
from approvals.domain.delegation import DELEGATION, Delegation
from approvals.domain.meeting import (
    MEETING,
    MEETING_OF,
    AgendaMissing,
    AgendaTooLong,
    Cancelled,
    CancelMeeting,
    ChangeInvitees,
    Closed,
    CloseMeeting,
    Command,
    DisposeItem,
    InSession,
    InviteeListedTwice,
    ItemAlreadyDecided,
    ItemAlreadyTreated,
    ItemNotOnAgenda,
    ItemsNotDisposed,
    Meeting,
    MeetingAlreadyOpened,
    MeetingAlreadyScheduled,
    MeetingEndsBeforeItBegins,
    MeetingIsCancelled,
    MeetingIsClosed,
    MeetingNotKnown,
    MeetingNotOpened,
    MeetingReasonMissing,
    MinuteAlreadyCorrected,
    MinuteEmpty,
    MinuteNotKnown,
    MinutesNotPositive,
    NothingMinuted,
    NotScheduled,
    OpenMeeting,
    Plan,
    Proceedings,
    RecordAttendance,
    RescheduleMeeting,
    ReviewListedTwice,
    Scheduled,
    ScheduleMeeting,
    SetAgenda,
    TakeMinute,
    present,
)
from approvals.domain.review import (
    REVIEW,
    Acting,
    Ballot,
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
    tally,
)
from approvals.entrypoints.api.edge import (
    READ,
    AnyIntent,
    PortfolioNotKnown,
    api,
    body_fault,
    check_accounts,
    check_portfolio,
    head_of_body,
    linked,
    name_in,
    person_of,
)
from approvals.entrypoints.api.reviews import STATES as REVIEW_STATES
from govevents.approvals import (
    AgendaItem,
    Attendance,
    AttendanceRecorded,
    Authority,
    Breach,
    ConditionOf,
    Disposition,
    Finding,
    Outcome,
    ReviewConcluded,
    ReviewKind,
    Seen,
    Tally,
)
from govkernel.access import NodeKind, day_in, node_of
from govkernel.domain import BodyId, Code, Name, NodeId, PersonId, PortfolioId, ProjectId, ReviewId, SubjectId, Text
from govkernel.http import Ask, Body, Call, NoBody, Page
from govkernel.http.calendar import CalendarDocument, Method, Participant, calendar
from govkernel.http.calendar import Entry as CalendarEntry
from govkernel.ledger import Head, Intent

KEEP: Final = "meeting.keep"
CHAIR: Final = "meeting.chair"
VOTE: Final = "review.vote"
TIME_ZONES: Final = available_timezones() - {"localtime", "Factory"}
FIRST_YEAR: Final = 1900
LAST_YEAR: Final = 9998
"""A calendar looks a year ahead and back, and there is none after 9999."""
OVER: Final = (MeetingNotKnown, MeetingIsClosed, MeetingIsCancelled)
"""What any step of a meeting may hear."""

STATES: Final[Mapping[type[Meeting], str]] = {
    Scheduled: "scheduled",
    InSession: "in_session",
    Closed: "closed",
    Cancelled: "cancelled",
}


class MeetingRequest(Body):
    """When and where which people meet; without a time zone, the portfolio's. The chair is invited in any case."""

    portfolio: PortfolioId
    body: BodyId | None = None
    title: Name
    starts_at: datetime
    ends_at: datetime
    time_zone: Code | None = None
    place: Text = ""
    chair: SubjectId
    invitees: tuple[SubjectId, ...] = ()


class ReschedulingRequest(Body):
    """Where and when the meeting takes place instead, and why."""

    starts_at: datetime
    ends_at: datetime
    place: Text = ""
    reason: Text


class InvitationsRequest(Body):
    """All who are invited besides the chair."""

    invitees: tuple[SubjectId, ...]


class AgendaItemRequest(Body):
    """A review to look at, and how many minutes are set aside for it."""

    review: ReviewId
    minutes: int


class AgendaRequest(Body):
    """The whole agenda, in order; it replaces the one before."""

    items: tuple[AgendaItemRequest, ...]


class AttendanceRequest(Body):
    """Who takes part, or doesn't; guests are recorded like those who were invited."""

    attendee: SubjectId
    attendance: Attendance


class MinuteRequest(Body):
    """What goes into the minutes, about which item, if any, and the number of the minute that it corrects, if any."""

    review: ReviewId | None = None
    text: Text
    corrects: int | None = None


class DispositionRequest(Body):
    """What became of an item: decided (its votes have given the review its outcome), left to vote, or deferred."""

    review: ReviewId
    disposition: Disposition
    remark: Text = ""


class CancellationRequest(Body):
    """Why the meeting does not take place."""

    reason: Text


class PersonView(BaseModel):
    """Somebody's account; the name is null for whoever has been erased."""

    subject: SubjectId
    name: str | None


class VoiceView(PersonView):
    """Somebody at the meeting who may vote for a seat now, with this account, and by what authority.

    `delegation` is the one to vote under, null for whoever is no delegate.
    """

    authority: Authority
    delegation: UUID | None


class SilentSeatView(PersonView):
    """A seat that has not spoken: whose it is, whether they take part, and who of the meeting may vote for it now.

    `attendance` is null where none is recorded.
    """

    veto: bool
    attendance: Attendance | None
    voices: list[VoiceView]


class AgendaItemView(BaseModel):
    """A review on the agenda: how it stands, what is the matter with it, and what the meeting did with it.

    `quorum_met` says that enough votes are cast, `quorum_in_reach` that they are together with those that people at
    the meeting could cast now. `still_to_vote` counts the seats that have not spoken, which are `silent`, and
    `still_to_vote_present` for how many of them people at the meeting could vote together, each for one. What a review
    that is only drafted has not come to yet is null.
    """

    number: int
    review: ReviewId
    minutes: int
    project: ProjectId
    project_name: str | None
    project_reference: str | None
    kind: ReviewKind
    gate: Code | None
    question: str
    state: str = Field(description="draft, submitted, open, concluded, escalated or withdrawn")
    proposed: Outcome | None = None
    ready: bool | None = None
    findings: tuple[Finding, ...] = ()
    breaches: tuple[Breach, ...] = ()
    open_conditions: tuple[ConditionOf, ...] = ()
    closes_at: datetime | None = None
    tally: Tally | None = None
    votes_needed: int | None = None
    votes_cast: int | None = None
    quorum_met: bool | None = None
    still_to_vote: int | None = None
    still_to_vote_present: int | None = None
    quorum_in_reach: bool | None = None
    silent: list[SilentSeatView] = []
    outcome: Outcome | None = None
    disposition: Disposition | None = None
    decision: Seen | None = None
    remark: str | None = None


class AttendanceView(PersonView):
    """Whether somebody took part, and whether they had been invited."""

    attendance: Attendance
    invited: bool


class MinuteView(BaseModel):
    """A minute; one that `corrected_by` names another stands corrected."""

    number: int
    review: ReviewId | None
    text: str
    corrects: int | None
    corrected_by: int | None


class MeetingSummary(BaseModel):
    """A meeting in a list."""

    meeting: UUID
    portfolio: PortfolioId
    body: BodyId | None
    title: str
    starts_at: datetime
    ends_at: datetime
    time_zone: Code
    place: str
    chair: PersonView
    state: str = Field(description="scheduled, in_session, closed or cancelled")
    revision: int = Field(description="how often it was rescheduled")
    reviews: list[ReviewId]
    cancelled_because: str | None


class MeetingView(MeetingSummary):
    """A meeting with its agenda in order, who came, what was minuted, and what became of each item."""

    invitees: list[PersonView]
    agenda: list[AgendaItemView]
    attendance: list[AttendanceView]
    minutes: list[MinuteView]


@api.command(
    "/meetings",
    operation="scheduleMeeting",
    action=KEEP,
    body=MeetingRequest,
    refusals=(
        PortfolioNotKnown,
        BodyNotKnown,
        PersonNotKnown,
        MeetingAlreadyScheduled,
        MeetingEndsBeforeItBegins,
        InviteeListedTwice,
    ),
)
async def schedule_meeting(call: Call[MeetingRequest]) -> AnyIntent:
    """Plan a gate meeting of a portfolio."""
    body = call.body
    await check_portfolio(call, KEEP, body.portfolio)
    relied_on = () if body.body is None else (await head_of_body(call, body.portfolio, body.body),)
    await check_accounts(call, (body.chair, *body.invitees))
    if body.time_zone is not None and body.time_zone not in TIME_ZONES:
        raise body_fault("/time_zone", body.time_zone, "no IANA time zone", "give one such as Australia/Melbourne")
    _check_years(body)
    portfolio = await node_of(call.runtime.engine, NodeId(body.portfolio), NodeKind.PORTFOLIO)
    own_zone = portfolio.time_zone if portfolio else None
    return Intent(
        MEETING,
        call.command,
        ScheduleMeeting(
            portfolio=body.portfolio,
            body=body.body,
            title=body.title,
            starts_at=body.starts_at,
            ends_at=body.ends_at,
            time_zone=body.time_zone or own_zone or "UTC",
            place=body.place,
            chair=body.chair,
            invitees=body.invitees,
        ),
        relies_on=relied_on,
        node=NodeId(body.portfolio),
    )


@api.command(
    "/meetings/{meeting}/reschedulings",
    operation="rescheduleMeeting",
    action=KEEP,
    body=ReschedulingRequest,
    if_match=True,
    refusals=(*OVER, MeetingAlreadyOpened, MeetingReasonMissing, MeetingEndsBeforeItBegins, AgendaTooLong),
)
async def reschedule_meeting(call: Call[ReschedulingRequest]) -> AnyIntent:
    """Move a meeting that has not begun to another time or place."""
    body = call.body
    _check_years(body)
    return await _to_meeting(call, RescheduleMeeting(body.starts_at, body.ends_at, body.place, body.reason))


@api.command(
    "/meetings/{meeting}/invitations",
    operation="inviteToMeeting",
    action=KEEP,
    body=InvitationsRequest,
    if_match=True,
    refusals=(*OVER, MeetingAlreadyOpened, InviteeListedTwice, PersonNotKnown),
)
async def invite_to_meeting(call: Call[InvitationsRequest]) -> AnyIntent:
    """Say who is invited; whoever comes without is a guest, whose attendance is recorded all the same."""
    intent = await _to_meeting(call, ChangeInvitees(call.body.invitees))
    await check_accounts(call, call.body.invitees)
    return intent


@api.command(
    "/meetings/{meeting}/agendas",
    operation="setAgenda",
    action=KEEP,
    body=AgendaRequest,
    if_match=True,
    refusals=(
        *OVER,
        AgendaMissing,
        ReviewNotKnown,
        ReviewListedTwice,
        MinutesNotPositive,
        AgendaTooLong,
        ItemAlreadyTreated,
    ),
)
async def set_agenda(call: Call[AgendaRequest]) -> AnyIntent:
    """Say which reviews the meeting looks at, in which order; during the meeting, what was treated stays."""
    portfolio = await _portfolio_of(call)
    items = []
    for item in call.body.items:
        state = (await call.ledger.load(REVIEW, item.review)).state
        if isinstance(state, NotDrafted) or state.drafted.portfolio != portfolio:
            raise ReviewNotKnown(
                "The portfolio has no such review; draft it with POST /reviews.", review=str(item.review)
            )
        items.append(AgendaItem(item.review, state.drafted.project, item.minutes))
    return await _to_meeting(call, SetAgenda(tuple(items)))


@api.command(
    "/meetings/{meeting}/openings",
    operation="openMeeting",
    action=KEEP,
    body=NoBody,
    refusals=(*OVER, AgendaMissing),
)
async def open_meeting(call: Call[NoBody]) -> AnyIntent:
    """Begin; the chair and the PMO may."""
    return await _to_meeting(call, OpenMeeting(call.subject))


@api.command(
    "/meetings/{meeting}/attendances",
    operation="recordAttendance",
    action=KEEP,
    body=AttendanceRequest,
    refusals=(*OVER, MeetingNotOpened, PersonNotKnown),
)
async def record_attendance(call: Call[AttendanceRequest]) -> AnyIntent:
    """Record whether somebody takes part; what is recorded last holds."""
    body = call.body
    await _portfolio_of(call)
    person = await person_of(call, body.attendee)
    return await _to_meeting(call, RecordAttendance(body.attendee, person, body.attendance))


@api.command(
    "/meetings/{meeting}/minutes",
    operation="takeMinute",
    action=KEEP,
    body=MinuteRequest,
    refusals=(*OVER, MeetingNotOpened, MinuteEmpty, ItemNotOnAgenda, MinuteNotKnown, MinuteAlreadyCorrected),
)
async def take_minute(call: Call[MinuteRequest]) -> AnyIntent:
    """Put something into the minutes, or correct a minute by one that takes its place."""
    body = call.body
    return await _to_meeting(call, TakeMinute(body.review, body.text, body.corrects))


@api.command(
    "/meetings/{meeting}/dispositions",
    operation="disposeItem",
    action=KEEP,
    body=DispositionRequest,
    refusals=(
        *OVER,
        MeetingNotOpened,
        ItemNotOnAgenda,
        ItemAlreadyDecided,
        ReviewNotKnown,
        ReviewNotConcluded,
        ReviewNotOpen,
    ),
)
async def dispose_item(call: Call[DispositionRequest]) -> AnyIntent:
    """Say what became of an item: its review was decided there, is left to vote, or is deferred."""
    body = call.body
    loaded = await call.ledger.load(REVIEW, body.review)
    conclusion = await _conclusion(call, body.review) if isinstance(loaded.state, Concluded) else None
    command = DisposeItem(body.review, loaded.state, conclusion, body.disposition, body.remark)
    return await _to_meeting(call, command, loaded.head)


@api.command(
    "/meetings/{meeting}/closures",
    operation="closeMeeting",
    action=KEEP,
    body=NoBody,
    if_match=True,
    refusals=(*OVER, MeetingNotOpened, ItemsNotDisposed, NothingMinuted),
)
async def close_meeting(call: Call[NoBody]) -> AnyIntent:
    """End a meeting for good, with its minutes as they stand."""
    return await _to_meeting(call, CloseMeeting(call.subject))


@api.command(
    "/meetings/{meeting}/cancellations",
    operation="cancelMeeting",
    action=KEEP,
    body=CancellationRequest,
    if_match=True,
    refusals=(*OVER, MeetingAlreadyOpened, MeetingReasonMissing),
)
async def cancel_meeting(call: Call[CancellationRequest]) -> AnyIntent:
    """Let a meeting that has not begun not take place."""
    return await _to_meeting(call, CancelMeeting(call.body.reason))


@api.query("/meetings/{meeting}", operation="getMeeting", response=MeetingView)
async def get_meeting(ask: Ask, meeting: UUID) -> MeetingView:
    """Read a meeting: its agenda with the readiness, votes and quorum of each review, who came, and the minutes."""
    loaded = await ask.runtime.ledger.load(MEETING, meeting)
    if isinstance(loaded.state, NotScheduled):
        raise ask.missing("meeting", meeting)
    await ask.require(READ, NodeId(loaded.state.plan.scheduled.portfolio))
    ask.tag(meeting, loaded.head.version)
    return await _meeting_view(ask, meeting, loaded.state)


@api.query("/meetings", operation="listMeetings", response=Page[MeetingSummary], paged=True)
async def list_meetings(ask: Ask, portfolio: UUID) -> Page[MeetingSummary]:
    """List a portfolio's meetings, in the order in which they were planned."""
    await ask.require(READ, NodeId(portfolio))
    rows = await linked(ask, MEETING_OF, portfolio)
    summaries = {}
    for row in rows[: ask.window.limit]:
        state = (await ask.runtime.ledger.load(MEETING, row.stream)).state
        assert not isinstance(state, NotScheduled), "only a meeting that was scheduled has this link"
        known = await queries.entries(ask.runtime.engine, [state.plan.scheduled.chair])
        summaries[row.stream] = _summary(row.stream, state, known)
    return ask.page(rows, lambda row: summaries[row.stream], lambda row: (row.seq,))


@api.query("/meetings/{meeting}/invitation.ics", operation="getInvitation", response=CalendarDocument)
async def get_invitation(ask: Ask, meeting: UUID) -> CalendarDocument:
    """Read the invitation to a meeting as iCalendar, or that it is cancelled.

    It holds addresses, so that it is for those who are invited and for those who keep meetings. A person who was
    erased is not in it.
    """
    loaded = await ask.runtime.ledger.load(MEETING, meeting)
    state = loaded.state
    if isinstance(state, NotScheduled):
        raise ask.missing("meeting", meeting)
    invited = _invited(state.plan)
    if ask.subject in invited:
        ask.open_to_every_caller()
    else:
        await ask.require(KEEP, NodeId(state.plan.scheduled.portfolio))
    ask.tag(meeting, loaded.head.version)
    known = await queries.entries(ask.runtime.engine, invited)
    items = [
        (await _agenda_item(ask, number, item, state))[0] for number, item in enumerate(state.plan.agenda, start=1)
    ]
    plan, cancelled = state.plan, isinstance(state, Cancelled)
    zone = ZoneInfo(plan.scheduled.time_zone)
    attendees = [_participant(known, each) for each in invited]
    entry = CalendarEntry(
        uid=str(meeting),
        title=plan.scheduled.title,
        starts=plan.starts_at.astimezone(zone),
        ends=plan.ends_at.astimezone(zone),
        place=plan.place,
        text="\n".join(map(_line, items)),
        # Taking an invitation back is a revision of it, too.
        revision=plan.revision + cancelled,
        cancelled=cancelled,
        organizer=attendees[0],
        attendees=tuple(each for each in attendees if each.name is not None),
    )
    method = Method.CANCEL if cancelled else Method.REQUEST
    return calendar(str(meeting), [entry], method=method, name=plan.scheduled.title, at=ask.now)


def _line(item: AgendaItemView) -> str:
    project = item.project_name or str(item.project)
    gate = f", {item.gate}" if item.gate else ""
    return f"{item.number}. {project}{gate}: {item.question} ({item.minutes} min)"


def _participant(known: Mapping[SubjectId, Entry], subject: SubjectId) -> Participant:
    entry = known.get(subject)
    return Participant(subject, entry.name, entry.email) if entry else Participant(subject, None, None)


def _invited(plan: Plan) -> tuple[SubjectId, ...]:
    """Who is invited, each once, the chair first."""
    return tuple(dict.fromkeys((plan.scheduled.chair, *plan.invitees)))


async def _portfolio_of(call: Call[Any]) -> PortfolioId:
    """Whose meeting the address names, once the caller may keep it. Raises Refused (403, 404)."""
    state = (await call.load(MEETING, call.path_id("meeting"))).state
    assert not isinstance(state, NotScheduled), "a stream that exists was scheduled"
    portfolio = state.plan.scheduled.portfolio
    await call.runtime.require(call.caller, NodeId(portfolio), call.context.now, _action(call, state.plan))
    return portfolio


def _check_years(body: MeetingRequest | ReschedulingRequest) -> None:
    for name, moment in (("starts_at", body.starts_at), ("ends_at", body.ends_at)):
        if not FIRST_YEAR <= moment.year <= LAST_YEAR:
            remedy = f"give one from {FIRST_YEAR} to {LAST_YEAR}"
            raise body_fault(f"/{name}", moment.isoformat(), "a year in which nobody meets", remedy)


def _action(call: Call[Any], plan: Plan) -> str:
    return CHAIR if call.subject == plan.scheduled.chair else KEEP


async def _to_meeting(call: Call[Any], command: Command, *relied_on: Head) -> AnyIntent:
    """A command on the meeting that the address names, for its chair and for those who keep meetings."""
    meeting = call.path_id("meeting")
    state = (await call.load(MEETING, meeting)).state
    assert not isinstance(state, NotScheduled), "a stream that exists was scheduled"
    return Intent(
        MEETING,
        meeting,
        command,
        relies_on=relied_on,
        node=NodeId(state.plan.scheduled.portfolio),
        action=_action(call, state.plan),
    )


async def _conclusion(call: Call[Any], review: ReviewId) -> Seen:
    """Where the outcome of a review that has one stands."""
    recorded = await call.ledger.events(review)
    last = next(one for one in reversed(recorded) if isinstance(one.event, ReviewConcluded))
    return Seen(str(review), last.envelope.version, last.hash.hex())


def _summary(
    meeting: UUID, state: Scheduled | InSession | Closed | Cancelled, known: Mapping[SubjectId, Entry]
) -> MeetingSummary:
    plan = state.plan
    return MeetingSummary(
        meeting=meeting,
        portfolio=plan.scheduled.portfolio,
        body=plan.scheduled.body,
        title=plan.scheduled.title,
        starts_at=plan.starts_at,
        ends_at=plan.ends_at,
        time_zone=plan.scheduled.time_zone,
        place=plan.place,
        chair=PersonView(subject=plan.scheduled.chair, name=name_in(known, plan.scheduled.chair)),
        state=STATES[type(state)],
        revision=plan.revision,
        reviews=[item.review for item in plan.agenda],
        cancelled_because=state.cancelled.reason if isinstance(state, Cancelled) else None,
    )


async def _meeting_view(ask: Ask, meeting: UUID, state: Scheduled | InSession | Closed | Cancelled) -> MeetingView:
    proceedings = _proceedings(state)
    attendance = tuple(proceedings.attendance.values()) if proceedings else ()
    invited = _invited(state.plan)
    known = await queries.entries(ask.runtime.engine, [*invited, *(each.attendee for each in attendance)])
    minutes = proceedings.minutes if proceedings else ()
    corrected = {minute.corrects: minute.number for minute in minutes if minute.corrects is not None}
    there = present(proceedings) if proceedings else frozenset()
    delegations = await _delegations_to(ask, there)
    agenda = []
    for number, item in enumerate(state.plan.agenda, start=1):
        view, review = await _agenda_item(ask, number, item, state)
        ballot = _ballot(review)
        if ballot is not None:
            found = await _voices_at(ask, item, review, there, delegations)
            view = view.model_copy(update=_standing(ballot, found) | await _silent(ask, ballot, found, attendance))
        agenda.append(view)
    return MeetingView(
        **dict(_summary(meeting, state, known)),
        invitees=[PersonView(subject=each, name=name_in(known, each)) for each in state.plan.invitees],
        agenda=agenda,
        attendance=[
            AttendanceView(
                subject=each.attendee,
                name=name_in(known, each.attendee),
                attendance=each.attendance,
                invited=each.attendee in invited,
            )
            for each in attendance
        ],
        minutes=[
            MinuteView(
                number=minute.number,
                review=minute.review,
                text=minute.text,
                corrects=minute.corrects,
                corrected_by=corrected.get(minute.number),
            )
            for minute in minutes
        ],
    )


def _proceedings(state: Scheduled | InSession | Closed | Cancelled) -> Proceedings | None:
    match state:
        case InSession(proceedings=proceedings) | Closed(proceedings=proceedings):
            return proceedings
        case Scheduled() | Cancelled():
            return None
        case _:
            assert_never(state)


async def _agenda_item(
    ask: Ask, number: int, item: AgendaItem, meeting: Scheduled | InSession | Closed | Cancelled
) -> tuple[AgendaItemView, Review]:
    """What the agenda says of an item besides its votes, and the item's review."""
    state = (await ask.runtime.ledger.load(REVIEW, item.review)).state
    assert not isinstance(state, NotDrafted), "only a review that was drafted is on an agenda"
    facts = await queries.project_facts(ask.runtime.engine, NodeId(item.project))
    proceedings = _proceedings(meeting)
    disposed = proceedings.dispositions.get(item.review) if proceedings else None
    view = AgendaItemView(
        number=number,
        review=item.review,
        minutes=item.minutes,
        project=item.project,
        project_name=facts.name if facts else None,
        project_reference=facts.reference if facts else None,
        kind=state.drafted.kind,
        gate=state.drafted.gate,
        question=state.drafted.question,
        state=REVIEW_STATES[type(state)],
        outcome=state.concluded.outcome if isinstance(state, Concluded) else None,
        disposition=disposed.disposition if disposed else None,
        decision=disposed.decision if disposed else None,
        remark=disposed.remark if disposed else None,
    )
    return view, state


def _ballot(state: Review) -> Ballot | None:
    match state:
        case NotDrafted() | Draft():
            return None
        case Submitted() | Open() | Concluded() | Escalated() | Withdrawn():
            return state.ballot
        case _:
            assert_never(state)


def _standing(ballot: Ballot, found: Sequence[Voice]) -> dict[str, Any]:
    """What lies before the voters, and how far they have come."""
    counted, cast, at_hand = tally(ballot), len(ballot.votes), most_at_once(found)
    return {
        "proposed": ballot.submitted.proposed,
        "ready": ballot.ready,
        "findings": ballot.findings,
        "breaches": ballot.submitted.breaches,
        "open_conditions": ballot.submitted.open_conditions,
        "closes_at": ballot.closes_at,
        "tally": counted,
        "votes_needed": counted.votes_needed,
        "votes_cast": cast,
        "quorum_met": cast >= counted.votes_needed,
        "quorum_in_reach": cast + at_hand >= counted.votes_needed,
        "still_to_vote": len(silent_seats(ballot)),
        "still_to_vote_present": at_hand,
    }


async def _delegations_to(ask: Ask, people: frozenset[PersonId]) -> Sequence[tuple[Delegation, Seen]]:
    """Every delegation that was granted to one of these people, on any of their accounts."""
    found = []
    for stream in await queries.delegations_to(ask.runtime.engine, people):
        loaded = await ask.runtime.ledger.load(DELEGATION, stream)
        assert loaded.head.hash is not None, "a stream that is linked to exists"
        found.append((loaded.state, Seen(str(stream), loaded.head.version, loaded.head.hash.hex())))
    return found


async def _voices_at(
    ask: Ask,
    item: AgendaItem,
    review: Review,
    there: frozenset[PersonId],
    delegations: Sequence[tuple[Delegation, Seen]],
) -> tuple[Voice, ...]:
    """The votes that people at the meeting could cast now, and have the right to."""
    project = NodeId(item.project)
    facts = await queries.project_facts(ask.runtime.engine, project)
    if facts is None:
        return ()
    nodes, today = frozenset(facts.nodes_above), day_in(facts.time_zone, ask.now)
    acting = [Acting(state, seen, nodes) for state, seen in delegations]
    found = []
    for voice in voices(review, there, acting, today=today, at=ask.now):
        (decision,) = await ask.runtime.authority.decide(
            subject=voice.voter, actions=(VOTE,), node=project, administrator=False, now=ask.now
        )
        if decision.allowed:
            found.append(voice)
    return tuple(found)


async def _silent(
    ask: Ask, ballot: Ballot, found: Sequence[Voice], attendance: Sequence[AttendanceRecorded]
) -> dict[str, Any]:
    """Whose votes are missing, and who could cast them."""
    seats_out = silent_seats(ballot)
    accounts = [*(seat.subject for seat in seats_out), *(voice.voter for voice in found)]
    known = await queries.entries(ask.runtime.engine, accounts)
    recorded = {each.person: each.attendance for each in attendance}
    return {
        "silent": [
            SilentSeatView(
                subject=seat.subject,
                name=name_in(known, seat.subject),
                veto=seat.veto,
                attendance=recorded.get(seat.person),
                voices=[
                    VoiceView(
                        subject=voice.voter,
                        name=name_in(known, voice.voter),
                        authority=voice.authority,
                        delegation=voice.delegation,
                    )
                    for voice in found
                    if voice.seat == seat.person
                ],
            )
            for seat in seats_out
        ]
    }
