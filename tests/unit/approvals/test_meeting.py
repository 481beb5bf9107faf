from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import NAMESPACE_DNS, uuid5

import pytest
from tests.unit.approvals.people import BOARD, PORTFOLIO, PROJECT, account, person

from approvals.domain import review as reviews
from approvals.domain.meeting import (
    MEETING,
    MEETING_OF,
    AgendaMissing,
    AgendaTooLong,
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
    OpenMeeting,
    RecordAttendance,
    RescheduleMeeting,
    ReviewListedTwice,
    Scheduled,
    ScheduleMeeting,
    SetAgenda,
    TakeMinute,
    present,
)
from approvals.domain.review import ReviewNotConcluded, ReviewNotKnown, ReviewNotOpen
from govevents.approvals import (
    AgendaItem,
    AgendaSet,
    Attendance,
    AttendanceRecorded,
    Disposition,
    Ending,
    InviteesChanged,
    ItemDisposed,
    MeetingCancelled,
    MeetingClosed,
    MeetingOpened,
    MeetingRescheduled,
    MeetingScheduled,
    MinuteTaken,
    Outcome,
    Quorum,
    ReviewConcluded,
    ReviewDrafted,
    ReviewKind,
    ReviewSubmitted,
    ReviewWithdrawn,
    Rule,
    Seen,
    Tally,
)
from govkernel.domain import Link, Refusal, ReviewId, Specification

meeting = Specification(MEETING)

TEN = datetime(2026, 3, 2, 10, tzinfo=UTC)
HOUR = timedelta(hours=1)
MAIN, PUMP, VALVE = (ReviewId(uuid5(NAMESPACE_DNS, f"{name}.example")) for name in ("main", "pump", "valve"))
CONCLUSION = Seen(str(MAIN), 5, "c" * 64)


def scheduled(**changed: Any) -> MeetingScheduled:
    usual = MeetingScheduled(
        portfolio=PORTFOLIO,
        body=BOARD,
        title="Gates of March",
        starts_at=TEN,
        ends_at=TEN + HOUR,
        time_zone="Australia/Melbourne",
        place="Room 4",
        chair=account("ana"),
        invitees=(account("bo"), account("cy")),
    )
    return replace(usual, **changed)


def schedule(**changed: Any) -> ScheduleMeeting:
    planned = scheduled(**changed)
    return ScheduleMeeting(
        planned.portfolio,
        planned.body,
        planned.title,
        planned.starts_at,
        planned.ends_at,
        planned.time_zone,
        planned.place,
        planned.chair,
        planned.invitees,
    )


def item(review: ReviewId, minutes: int = 20) -> AgendaItem:
    return AgendaItem(review, PROJECT, minutes)


SCHEDULED = scheduled()
AGENDA = AgendaSet(PORTFOLIO, (item(MAIN), item(PUMP)))
OPENED = MeetingOpened(PORTFOLIO, account("ana"))
SESSION = (SCHEDULED, AGENDA, OPENED)
MINUTE = MinuteTaken(PORTFOLIO, 1, MAIN, "The board heard the case.", None)
CLOSED = MeetingClosed(PORTFOLIO, account("ana"))
CANCELLED = MeetingCancelled(PORTFOLIO, "The chair is ill.")
MOVED = RescheduleMeeting(TEN + HOUR, TEN + 2 * HOUR, "Room 5", "The room is taken.")
RESCHEDULED = MeetingRescheduled(PORTFOLIO, TEN + HOUR, TEN + 2 * HOUR, "Room 5", "The room is taken.")

DRAFTED = ReviewDrafted(PROJECT, PORTFOLIO, ReviewKind.GATE, "G2", "May we build?", (), None, None, None, None)
SUBMITTED = ReviewSubmitted(
    project=PROJECT,
    submitter=account("sam"),
    proposed=Outcome.GO,
    policy=Seen("policy", 1, "d" * 64),
    policy_number=1,
    electorate=(),
    excluded=(),
    tied=(),
    quorum=Quorum(1, Decimal(0)),
    votes_needed=1,
    rule=Rule.MAJORITY,
    threshold=None,
    failed_outcome=Outcome.RECYCLE,
    body=BOARD,
    escalation=None,
    evidence=(),
    value=None,
    deliverables=(),
    criteria=(),
    conditions=None,
    open_conditions=(),
    breaches=(),
    findings=(),
    ready=True,
    awaits=(),
    measured_by=None,
    submitted_at=TEN,
    closes_at=None,
    at_time_limit=None,
    reminders=(),
    time_zone="UTC",
)
CONCLUDED = ReviewConcluded(
    project=PROJECT,
    portfolio=PORTFOLIO,
    kind=ReviewKind.GATE,
    gate="G2",
    about=None,
    waives=None,
    outcome=Outcome.GO,
    ending=Ending.DECIDED,
    because="",
    tally=Tally(2, 1, 2, 0, 0, 0, 0, 0),
    conditions=(),
    breaches=(),
    body=BOARD,
    submitted_at=TEN,
)
DRAFT = reviews.REVIEW.fold([DRAFTED])
OPEN = reviews.REVIEW.fold([DRAFTED, SUBMITTED])
DECIDED = reviews.REVIEW.fold([DRAFTED, SUBMITTED, CONCLUDED])
WITHDRAWN = reviews.REVIEW.fold([DRAFTED, ReviewWithdrawn(PROJECT, "not needed")])


def dispose(
    review: ReviewId, disposition: Disposition, state: reviews.Review = OPEN, remark: str = "as discussed"
) -> DisposeItem:
    conclusion = CONCLUSION if isinstance(state, reviews.Concluded) else None
    return DisposeItem(review, state, conclusion, disposition, remark)


def disposed(review: ReviewId, disposition: Disposition, decision: Seen | None = None) -> ItemDisposed:
    return ItemDisposed(PORTFOLIO, review, disposition, decision, "as discussed")


ALL_DISPOSED = (disposed(MAIN, Disposition.DECIDED, CONCLUSION), disposed(PUMP, Disposition.LEFT_TO_VOTE))
OVER = (*SESSION, MINUTE, *ALL_DISPOSED, CLOSED)
PRESENT = RecordAttendance(account("bo"), person("bo"), Attendance.PRESENT)
EVERY_COMMAND: tuple[Command, ...] = (
    MOVED,
    ChangeInvitees((account("dee"),)),
    SetAgenda((item(MAIN), item(VALVE))),
    OpenMeeting(account("ana")),
    PRESENT,
    TakeMinute(None, "More was said.", None),
    dispose(PUMP, Disposition.DEFERRED),
    CloseMeeting(account("ana")),
    CancelMeeting("Nobody has time."),
)


def test_a_meeting_is_scheduled_once() -> None:
    meeting.given().when(schedule()).then(SCHEDULED)
    meeting.given(SCHEDULED).when(schedule()).then_nothing()
    refusal = meeting.given(SCHEDULED).when(schedule(place="Room 5")).then_refused(MeetingAlreadyScheduled)
    assert refusal.facts == {"place": "Room 4 on record, Room 5 given"}


def test_a_meeting_that_was_moved_is_still_the_one_that_was_scheduled() -> None:
    meeting.given(SCHEDULED, RESCHEDULED).when(schedule()).then_nothing()


@pytest.mark.parametrize("length", [timedelta(0), -HOUR])
def test_a_meeting_ends_after_it_has_begun(length: timedelta) -> None:
    meeting.given().when(schedule(ends_at=TEN + length)).then_refused(MeetingEndsBeforeItBegins)
    meeting.given(SCHEDULED).when(replace(MOVED, ends_at=MOVED.starts_at + length)).then_refused(
        MeetingEndsBeforeItBegins
    )


def test_everybody_is_invited_once() -> None:
    twice = (account("bo"), account("cy"), account("bo"))
    refusal = meeting.given().when(schedule(invitees=twice)).then_refused(InviteeListedTwice)
    assert refusal.facts == {"invitee": str(account("bo"))}
    meeting.given(SCHEDULED).when(ChangeInvitees(twice)).then_refused(InviteeListedTwice)


@pytest.mark.parametrize("command", EVERY_COMMAND, ids=lambda each: type(each).__name__)
def test_nothing_is_done_in_a_meeting_that_is_not_known(command: Command) -> None:
    meeting.given().when(command).then_refused(MeetingNotKnown)


def test_a_meeting_is_moved_for_a_reason() -> None:
    meeting.given(SCHEDULED).when(MOVED).then(RESCHEDULED)
    meeting.given(SCHEDULED, RESCHEDULED).when(MOVED).then_nothing()
    meeting.given(SCHEDULED).when(replace(MOVED, reason=" ")).then_refused(MeetingReasonMissing)


def test_each_move_is_a_revision_of_the_invitation() -> None:
    state = meeting.given(SCHEDULED, RESCHEDULED).when(replace(MOVED, place="Room 6")).then_state()
    assert isinstance(state, Scheduled)
    assert (state.plan.revision, state.plan.place, state.plan.starts_at) == (2, "Room 6", TEN + HOUR)


def test_a_meeting_is_not_moved_to_where_its_agenda_does_not_fit() -> None:
    shorter = replace(MOVED, ends_at=MOVED.starts_at + timedelta(minutes=39))
    refusal = meeting.given(SCHEDULED, AGENDA).when(shorter).then_refused(AgendaTooLong)
    assert refusal.facts == {"items_minutes": "40", "meeting_minutes": "39"}


def test_others_can_be_invited() -> None:
    others = (account("cy"), account("dee"))
    meeting.given(SCHEDULED).when(ChangeInvitees(others)).then(InviteesChanged(PORTFOLIO, others))
    meeting.given(SCHEDULED, InviteesChanged(PORTFOLIO, others)).when(ChangeInvitees(others)).then_nothing()


def test_the_agenda_names_reviews_in_their_order() -> None:
    meeting.given(SCHEDULED).when(SetAgenda(AGENDA.items)).then(AGENDA)
    meeting.given(SCHEDULED, AGENDA).when(SetAgenda(AGENDA.items)).then_nothing()
    turned = (item(PUMP), item(MAIN))
    meeting.given(SCHEDULED, AGENDA).when(SetAgenda(turned)).then(AgendaSet(PORTFOLIO, turned))


def test_an_agenda_has_each_review_once_and_time_for_it() -> None:
    at = meeting.given(SCHEDULED)
    at.when(SetAgenda(())).then_refused(AgendaMissing)
    refusal = at.when(SetAgenda((item(MAIN, 5), item(PUMP, 5), item(MAIN, 6)))).then_refused(ReviewListedTwice)
    assert refusal.facts == {"review": str(MAIN)}
    for minutes in (0, -5):
        refusal = at.when(SetAgenda((item(MAIN, minutes),))).then_refused(MinutesNotPositive)
        assert refusal.facts == {"review": str(MAIN), "minutes": str(minutes)}


def test_an_agenda_takes_as_long_as_the_meeting_at_most() -> None:
    full = (item(MAIN, 59), item(PUMP, 1))
    meeting.given(SCHEDULED).when(SetAgenda(full)).then(AgendaSet(PORTFOLIO, full))
    meeting.given(SCHEDULED).when(SetAgenda((item(MAIN, 60), item(PUMP, 1)))).then_refused(AgendaTooLong)


def test_a_meeting_begins_with_an_agenda() -> None:
    meeting.given(SCHEDULED).when(OpenMeeting(account("ana"))).then_refused(AgendaMissing)
    meeting.given(SCHEDULED, AGENDA).when(OpenMeeting(account("ana"))).then(OPENED)
    meeting.given(*SESSION).when(OpenMeeting(account("pia"))).then_nothing()


def test_a_meeting_that_has_begun_is_neither_moved_nor_cancelled_nor_are_others_invited() -> None:
    for command in (MOVED, ChangeInvitees(()), CancelMeeting("Nobody came.")):
        meeting.given(*SESSION).when(command).then_refused(MeetingAlreadyOpened)


def test_an_item_can_come_to_the_agenda_of_a_meeting_under_way_and_one_that_was_not_treated_can_go() -> None:
    new = (item(MAIN), item(VALVE))
    meeting.given(*SESSION, MINUTE).when(SetAgenda(new)).then(AgendaSet(PORTFOLIO, new))


@pytest.mark.parametrize("treated", [MINUTE, disposed(MAIN, Disposition.DEFERRED)])
def test_an_item_that_was_treated_stays_on_the_agenda(treated: Any) -> None:
    refusal = meeting.given(*SESSION, treated).when(SetAgenda((item(PUMP),))).then_refused(ItemAlreadyTreated)
    assert refusal.facts == {"review": str(MAIN)}


def test_attendance_is_recorded_of_invited_people_and_of_guests_and_the_last_record_holds() -> None:
    came = AttendanceRecorded(PORTFOLIO, account("bo"), person("bo"), Attendance.PRESENT)
    meeting.given(*SESSION).when(PRESENT).then(came)
    meeting.given(*SESSION, came).when(PRESENT).then_nothing()
    guest = AttendanceRecorded(PORTFOLIO, account("gus"), person("gus"), Attendance.REMOTE)
    meeting.given(*SESSION).when(RecordAttendance(account("gus"), person("gus"), Attendance.REMOTE)).then(guest)
    left = replace(PRESENT, attendance=Attendance.ABSENT)
    state = meeting.given(*SESSION, came, guest).when(left).then_state()
    assert isinstance(state, InSession)
    assert present(state.proceedings) == {person("gus")}


def test_somebody_with_two_accounts_takes_part_once() -> None:
    again = replace(PRESENT, attendee=account("bo.second"), attendance=Attendance.REMOTE)
    state = meeting.given(*SESSION).when(PRESENT, again).then_state()
    assert isinstance(state, InSession)
    assert [each.attendance for each in state.proceedings.attendance.values()] == [Attendance.REMOTE]


def test_who_excused_themselves_is_not_present() -> None:
    sorry = replace(PRESENT, attendance=Attendance.APOLOGIES)
    state = meeting.given(*SESSION).when(sorry).then_state()
    assert isinstance(state, InSession)
    assert present(state.proceedings) == frozenset()


def test_minutes_are_numbered_and_are_about_an_item_or_none() -> None:
    meeting.given(*SESSION).when(TakeMinute(MAIN, MINUTE.text, None)).then(MINUTE)
    meeting.given(*SESSION, MINUTE).when(TakeMinute(MAIN, MINUTE.text, None)).then_nothing()
    meeting.given(*SESSION, MINUTE).when(TakeMinute(None, "Next time in May.", None)).then(
        MinuteTaken(PORTFOLIO, 2, None, "Next time in May.", None)
    )
    meeting.given(*SESSION).when(TakeMinute(None, " ", None)).then_refused(MinuteEmpty)
    refusal = meeting.given(*SESSION).when(TakeMinute(VALVE, "Stuck.", None)).then_refused(ItemNotOnAgenda)
    assert refusal.facts == {"review": str(VALVE)}


def test_a_minute_is_corrected_by_a_new_one_that_names_it() -> None:
    right = TakeMinute(MAIN, "The board heard the case, and doubts it.", 1)
    corrected = MinuteTaken(PORTFOLIO, 2, MAIN, right.text, 1)
    meeting.given(*SESSION, MINUTE).when(right).then(corrected)
    meeting.given(*SESSION, MINUTE, corrected).when(right).then_nothing()
    other = replace(right, text="The board believes it.")
    refusal = meeting.given(*SESSION, MINUTE, corrected).when(other).then_refused(MinuteAlreadyCorrected)
    assert refusal.facts == {"minute": "1", "corrected_by": "2"}
    meeting.given(*SESSION, MINUTE, corrected).when(replace(other, corrects=2)).then(
        MinuteTaken(PORTFOLIO, 3, MAIN, other.text, 2)
    )


@pytest.mark.parametrize("number", [0, -1, 2])
def test_only_a_minute_that_was_taken_is_corrected(number: int) -> None:
    refusal = meeting.given(*SESSION, MINUTE).when(TakeMinute(None, "No.", number)).then_refused(MinuteNotKnown)
    assert refusal.facts == {"minute": str(number), "minutes": "1"}


def test_an_item_is_decided_on_the_spot_once_its_review_is_and_names_the_conclusion() -> None:
    decided = disposed(MAIN, Disposition.DECIDED, CONCLUSION)
    meeting.given(*SESSION).when(dispose(MAIN, Disposition.DECIDED, DECIDED)).then(decided)
    meeting.given(*SESSION, decided).when(dispose(MAIN, Disposition.DECIDED, DECIDED)).then_nothing()
    for state in (DRAFT, OPEN, WITHDRAWN, reviews.REVIEW.initial):
        meeting.given(*SESSION).when(dispose(MAIN, Disposition.DECIDED, state)).then_refused(ReviewNotConcluded)


def test_an_item_is_left_to_vote_while_its_review_is_open() -> None:
    left = disposed(PUMP, Disposition.LEFT_TO_VOTE)
    meeting.given(*SESSION).when(dispose(PUMP, Disposition.LEFT_TO_VOTE)).then(left)
    for state, name in ((DRAFT, "draft"), (WITHDRAWN, "withdrawn")):
        refusal = meeting.given(*SESSION).when(dispose(PUMP, Disposition.LEFT_TO_VOTE, state))
        assert refusal.then_refused(ReviewNotOpen).facts == {"state": name}


def test_an_item_is_deferred_whatever_its_review_waits_for() -> None:
    for state in (DRAFT, OPEN, WITHDRAWN):
        meeting.given(*SESSION).when(dispose(PUMP, Disposition.DEFERRED, state)).then(
            disposed(PUMP, Disposition.DEFERRED)
        )


def test_what_has_its_outcome_is_neither_left_to_vote_nor_deferred() -> None:
    for disposition in (Disposition.LEFT_TO_VOTE, Disposition.DEFERRED):
        refusal = meeting.given(*SESSION).when(dispose(MAIN, disposition, DECIDED)).then_refused(ItemAlreadyDecided)
        assert refusal.facts == {"outcome": "go"}


def test_an_item_is_disposed_of_only_where_it_is_on_the_agenda_and_known() -> None:
    meeting.given(*SESSION).when(dispose(VALVE, Disposition.DEFERRED)).then_refused(ItemNotOnAgenda)
    for disposition in (Disposition.DEFERRED, Disposition.LEFT_TO_VOTE):
        unknown = dispose(PUMP, disposition, reviews.REVIEW.initial)
        meeting.given(*SESSION).when(unknown).then_refused(ReviewNotKnown)


def test_an_item_that_was_left_to_vote_may_be_decided_before_the_meeting_closes() -> None:
    meeting.given(*SESSION, disposed(MAIN, Disposition.LEFT_TO_VOTE)).when(
        dispose(MAIN, Disposition.DECIDED, DECIDED)
    ).then(disposed(MAIN, Disposition.DECIDED, CONCLUSION))


def test_a_meeting_closes_once_each_item_is_disposed_of_and_something_is_minuted() -> None:
    refusal = meeting.given(*SESSION, MINUTE, ALL_DISPOSED[0]).when(CloseMeeting(account("ana")))
    assert refusal.then_refused(ItemsNotDisposed).facts == {"reviews": str(PUMP)}
    meeting.given(*SESSION, *ALL_DISPOSED).when(CloseMeeting(account("ana"))).then_refused(NothingMinuted)
    meeting.given(*SESSION, MINUTE, *ALL_DISPOSED).when(CloseMeeting(account("ana"))).then(CLOSED)
    meeting.given(*OVER).when(CloseMeeting(account("ana"))).then_nothing()


def test_a_meeting_that_has_not_begun_has_no_proceedings() -> None:
    for command in (PRESENT, TakeMinute(None, "Soon.", None), dispose(MAIN, Disposition.DEFERRED)):
        meeting.given(SCHEDULED, AGENDA).when(command).then_refused(MeetingNotOpened)
    meeting.given(SCHEDULED, AGENDA).when(CloseMeeting(account("ana"))).then_refused(MeetingNotOpened)


def changing(closed: bool) -> list[Command]:
    unchanged = (OpenMeeting, CloseMeeting) if closed else (CancelMeeting,)
    return [command for command in EVERY_COMMAND if not isinstance(command, unchanged)]


@pytest.mark.parametrize("command", changing(closed=True), ids=lambda each: type(each).__name__)
def test_after_closing_nothing_changes(command: Command) -> None:
    meeting.given(*OVER).when(command).then_refused(MeetingIsClosed)


def test_what_was_said_before_the_close_can_be_said_again_and_adds_nothing() -> None:
    for command in (
        SetAgenda(AGENDA.items),
        OpenMeeting(account("ana")),
        TakeMinute(MAIN, MINUTE.text, None),
        dispose(MAIN, Disposition.DECIDED, DECIDED),
    ):
        meeting.given(*OVER).when(command).then_nothing()
    assert isinstance(MEETING.fold(OVER), Closed)


def test_a_meeting_that_has_not_begun_can_be_cancelled_for_a_reason() -> None:
    meeting.given(SCHEDULED, AGENDA).when(CancelMeeting("The chair is ill.")).then(CANCELLED)
    meeting.given(SCHEDULED, AGENDA).when(CancelMeeting("")).then_refused(MeetingReasonMissing)
    meeting.given(SCHEDULED, CANCELLED).when(CancelMeeting("The chair is ill.")).then_nothing()


@pytest.mark.parametrize("command", changing(closed=False), ids=lambda each: type(each).__name__)
def test_a_cancelled_meeting_does_not_take_place(command: Command) -> None:
    refusal: Refusal = meeting.given(SCHEDULED, AGENDA, CANCELLED).when(command).then_refused(MeetingIsCancelled)
    assert refusal.facts == {"because": "The chair is ill."}


@pytest.mark.parametrize("history", [(SCHEDULED,), SESSION, OVER, (SCHEDULED, CANCELLED)])
def test_a_portfolio_finds_all_of_its_meetings(history: tuple[Any, ...]) -> None:
    assert MEETING.links(MEETING.fold(history)) == {Link(MEETING_OF, PORTFOLIO)}
    assert MEETING.links(MEETING.initial) == frozenset()


@pytest.mark.parametrize("history", [SESSION, OVER, (SCHEDULED, CANCELLED)])
def test_what_was_scheduled_may_be_scheduled_again_whatever_has_come_of_it(history: tuple[Any, ...]) -> None:
    meeting.given(*history).when(schedule()).then_nothing()
    meeting.given(*history).when(schedule(place="Room 5")).then_refused(MeetingAlreadyScheduled)


def test_a_review_that_awaits_figures_is_left_to_vote_and_one_that_was_escalated_is_deferred() -> None:
    assert isinstance(OPEN, reviews.Open)
    waiting = reviews.Submitted(OPEN.drafted, OPEN.ballot)
    escalated = reviews.Escalated(OPEN.drafted, OPEN.ballot)
    session = meeting.given(*SESSION)
    session.when(dispose(MAIN, Disposition.LEFT_TO_VOTE, waiting)).then(disposed(MAIN, Disposition.LEFT_TO_VOTE))
    session.when(dispose(MAIN, Disposition.DEFERRED, escalated)).then(disposed(MAIN, Disposition.DEFERRED))
    session.when(dispose(MAIN, Disposition.LEFT_TO_VOTE, escalated)).then_refused(ReviewNotOpen)


def test_only_what_is_decided_names_a_decision() -> None:
    named = replace(dispose(MAIN, Disposition.DEFERRED), conclusion=CONCLUSION)
    meeting.given(*SESSION).when(named).then(disposed(MAIN, Disposition.DEFERRED))
