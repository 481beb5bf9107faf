"""Meetings live random lives beside a plain model of what a secretary would have on paper."""

from datetime import timedelta
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from tests.unit.approvals.people import account, person
from tests.unit.approvals.test_meeting import (
    CONCLUSION,
    DECIDED,
    DRAFT,
    HOUR,
    MAIN,
    OPEN,
    PUMP,
    TEN,
    VALVE,
    item,
    schedule,
)

from approvals.domain.meeting import (
    MEETING,
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
    ItemAlreadyDecided,
    ItemAlreadyTreated,
    ItemNotOnAgenda,
    ItemsNotDisposed,
    MeetingAlreadyOpened,
    MeetingIsCancelled,
    MeetingIsClosed,
    MeetingNotOpened,
    MinuteAlreadyCorrected,
    MinuteNotKnown,
    NothingMinuted,
    OpenMeeting,
    RecordAttendance,
    RescheduleMeeting,
    ReviewListedTwice,
    Scheduled,
    SetAgenda,
    TakeMinute,
    present,
)
from approvals.domain.review import Concluded, Open, Review, ReviewNotConcluded, ReviewNotOpen
from govevents.approvals import Attendance, Disposition, MeetingCancelled, MeetingClosed
from govkernel.domain import Refusal, ReviewId

REVIEWS = (MAIN, PUMP, VALVE)
NAMES = ("ana", "bo", "gus")
LATER: dict[str, Review] = {"draft": DRAFT, "open": OPEN, "decided": DECIDED}
CLOSED_TO = {
    "scheduled": MeetingNotOpened,
    "closed": MeetingIsClosed,
    "cancelled": MeetingIsCancelled,
}
"""What somebody hears who would minute something while the meeting is not under way."""
FIXED = {"session": MeetingAlreadyOpened, "closed": MeetingIsClosed, "cancelled": MeetingIsCancelled}
"""What somebody hears who would move a meeting that isn't ahead any more."""


class MeetingLives(RuleBasedStateMachine):
    """One meeting of an hour, from its scheduling on, and three reviews that go on meanwhile."""

    @initialize(begun=st.booleans())
    def schedule(self, begun: bool) -> None:
        self.phase = "scheduled"
        self.agenda: list[tuple[ReviewId, int]] = []
        self.attendance: dict[str, Attendance] = {}
        self.minutes: list[tuple[ReviewId | None, str, int | None]] = []
        self.dispositions: dict[ReviewId, tuple[Disposition, str]] = {}
        self.reviews = dict.fromkeys(REVIEWS, "draft")
        self.minutes_long = 60
        self.revision = 0
        self.history: list[Any] = []
        self.state = MEETING.initial
        self.send(schedule())
        if begun:
            self.set_agenda([(MAIN, 10), (PUMP, 25)])
            self.open_meeting()

    def send(self, command: Command) -> tuple[Any, ...]:
        events = MEETING.decide(command, self.state)
        for event in events:
            self.state = MEETING.evolve(self.state, event)
        self.history.extend(events)
        assert MEETING.decide(command, self.state) == (), "what was just done is not done twice"
        return events

    def expect(self, command: Command, refusal: type[Refusal] | None) -> bool:
        """Whether the command was taken, as the model says that it is."""
        before = len(self.history)
        try:
            self.send(command)
        except Refusal as refused:
            assert type(refused) is refusal, f"{command}: {refused!r}"
            assert len(self.history) == before
            return False
        assert refusal is None, f"{command} was taken"
        return True

    @rule(review=st.sampled_from(REVIEWS), state=st.sampled_from(["open", "decided"]))
    def a_review_goes_on(self, review: ReviewId, state: str) -> None:
        if self.reviews[review] != "decided":
            self.reviews[review] = state

    @rule(items=st.lists(st.tuples(st.sampled_from(REVIEWS), st.sampled_from([10, 25, 40])), max_size=3))
    def set_agenda(self, items: list[tuple[ReviewId, int]]) -> None:
        named = [review for review, _ in items]
        treated = self.dispositions.keys() | {review for review, _, _ in self.minutes}
        refusal: type[Refusal] | None = None
        if not items:
            refusal = AgendaMissing
        elif items == self.agenda:
            refusal = None
        elif len(set(named)) < len(named):
            refusal = ReviewListedTwice
        elif self.phase in ("closed", "cancelled"):
            refusal = CLOSED_TO[self.phase]
        elif any(review in treated and review not in named for review, _ in self.agenda):
            refusal = ItemAlreadyTreated
        elif sum(minutes for _, minutes in items) > self.minutes_long:
            refusal = AgendaTooLong
        if self.expect(SetAgenda(tuple(item(review, minutes) for review, minutes in items)), refusal):
            self.agenda = items

    @rule(length=st.sampled_from([30, 60, 90]), place=st.sampled_from(["Room 4", "Room 5"]))
    def reschedule(self, length: int, place: str) -> None:
        start = TEN + HOUR
        command = RescheduleMeeting(start, start + timedelta(minutes=length), place, "so that all can come")
        assert isinstance(self.state, Scheduled | InSession | Closed | Cancelled)
        plan = self.state.plan
        refusal: type[Refusal] | None = FIXED.get(self.phase)
        if refusal is None and sum(minutes for _, minutes in self.agenda) > length:
            refusal = AgendaTooLong
        if (plan.starts_at, plan.ends_at, plan.place) == (command.starts_at, command.ends_at, place):
            refusal = None
            self.revision -= 1
        if self.expect(command, refusal):
            self.revision += 1
            self.minutes_long = length

    @rule(names=st.lists(st.sampled_from(NAMES), unique=True))
    def invite(self, names: list[str]) -> None:
        invitees = tuple(map(account, names))
        assert isinstance(self.state, Scheduled | InSession | Closed | Cancelled)
        same = invitees == self.state.plan.invitees
        self.expect(ChangeInvitees(invitees), None if same else FIXED.get(self.phase))

    @rule()
    def open_meeting(self) -> None:
        refusal: type[Refusal] | None = None
        if self.phase == "cancelled":
            refusal = MeetingIsCancelled
        elif self.phase == "scheduled" and not self.agenda:
            refusal = AgendaMissing
        if self.expect(OpenMeeting(account("ana")), refusal) and self.phase == "scheduled":
            self.phase = "session"

    @rule(name=st.sampled_from(NAMES), attendance=st.sampled_from(Attendance))
    def attend(self, name: str, attendance: Attendance) -> None:
        known = self.phase == "closed" and self.attendance.get(name) is attendance
        refusal = None if known else CLOSED_TO.get(self.phase)
        if self.expect(RecordAttendance(account(name), person(name), attendance), refusal):
            self.attendance[name] = attendance

    @rule(
        review=st.none() | st.sampled_from(REVIEWS),
        text=st.sampled_from(["It holds.", "It is doubted."]),
        corrects=st.none() | st.integers(0, 4),
    )
    def minute(self, review: ReviewId | None, text: str, corrects: int | None) -> None:
        said = (review, text, corrects)
        refusal: type[Refusal] | None = None
        if self.phase in ("scheduled", "cancelled"):
            refusal = CLOSED_TO[self.phase]
        elif said in self.minutes:
            refusal = None
        elif self.phase == "closed":
            refusal = MeetingIsClosed
        elif review is not None and review not in dict(self.agenda):
            refusal = ItemNotOnAgenda
        elif corrects is not None and not 1 <= corrects <= len(self.minutes):
            refusal = MinuteNotKnown
        elif corrects is not None and corrects in [number for _, _, number in self.minutes]:
            refusal = MinuteAlreadyCorrected
        if self.expect(TakeMinute(*said), refusal) and said not in self.minutes:
            self.minutes.append(said)

    @rule(
        review=st.sampled_from(REVIEWS),
        disposition=st.sampled_from(Disposition),
        remark=st.sampled_from(["", "Later."]),
    )
    def dispose(self, review: ReviewId, disposition: Disposition, remark: str) -> None:
        standing = self.reviews[review]
        refusal: type[Refusal] | None = None
        if self.phase in ("scheduled", "cancelled"):
            refusal = CLOSED_TO[self.phase]
        elif self.dispositions.get(review) == (disposition, remark):
            refusal = None
        elif self.phase == "closed":
            refusal = MeetingIsClosed
        elif review not in dict(self.agenda):
            refusal = ItemNotOnAgenda
        elif disposition is Disposition.DECIDED:
            refusal = None if standing == "decided" else ReviewNotConcluded
        elif standing == "decided":
            refusal = ItemAlreadyDecided
        elif disposition is Disposition.LEFT_TO_VOTE and standing == "draft":
            refusal = ReviewNotOpen
        conclusion = CONCLUSION if standing == "decided" else None
        if self.expect(DisposeItem(review, LATER[standing], conclusion, disposition, remark), refusal):
            self.dispositions[review] = (disposition, remark)

    @rule()
    def close(self) -> None:
        refusal: type[Refusal] | None = None
        if self.phase in ("scheduled", "cancelled"):
            refusal = CLOSED_TO[self.phase]
        elif any(review not in self.dispositions for review, _ in self.agenda):
            refusal = ItemsNotDisposed
        elif not self.minutes:
            refusal = NothingMinuted
        if self.expect(CloseMeeting(account("ana")), refusal):
            self.phase = "closed"

    @rule(seldom=st.integers(0, 9))
    def cancel(self, seldom: int) -> None:
        if self.phase == "scheduled" and seldom:
            return
        refusal = None if self.phase == "cancelled" else FIXED.get(self.phase)
        if self.expect(CancelMeeting("Nobody has time."), refusal):
            self.phase = "cancelled"

    @invariant()
    def it_is_as_it_is_on_paper(self) -> None:
        states = {"scheduled": Scheduled, "session": InSession, "closed": Closed, "cancelled": Cancelled}
        state = self.state
        assert type(state) is states[self.phase]
        assert isinstance(state, Scheduled | InSession | Closed | Cancelled)
        assert [(each.review, each.minutes) for each in state.plan.agenda] == self.agenda
        assert state.plan.revision == self.revision
        if not isinstance(state, InSession | Closed):
            return
        taken = state.proceedings.minutes
        assert [(each.review, each.text, each.corrects) for each in taken] == self.minutes
        assert [each.number for each in taken] == list(range(1, len(taken) + 1))
        recorded = state.proceedings.dispositions
        assert {review: (each.disposition, each.remark) for review, each in recorded.items()} == self.dispositions
        takes_part = (Attendance.PRESENT, Attendance.REMOTE)
        assert present(state.proceedings) == {
            person(name) for name, how in self.attendance.items() if how in takes_part
        }

    @invariant()
    def a_closed_meeting_has_disposed_of_every_item_and_nothing_follows(self) -> None:
        if isinstance(self.state, Closed):
            assert {review for review, _ in self.agenda} <= self.dispositions.keys()
            assert self.minutes
        for number, event in enumerate(self.history):
            if isinstance(event, MeetingClosed | MeetingCancelled):
                assert number == len(self.history) - 1

    @invariant()
    def what_was_decided_there_has_its_outcome(self) -> None:
        if not isinstance(self.state, InSession | Closed):
            return
        for review, disposed in self.state.proceedings.dispositions.items():
            assert (disposed.disposition is Disposition.DECIDED) == (disposed.decision is not None)
            if disposed.decision is not None:
                assert isinstance(LATER[self.reviews[review]], Concluded)
            if disposed.disposition is Disposition.LEFT_TO_VOTE:
                assert isinstance(LATER[self.reviews[review]], Open | Concluded)


TestMeetingLives = MeetingLives.TestCase
TestMeetingLives.settings = settings(max_examples=300, stateful_step_count=30, deadline=None)
