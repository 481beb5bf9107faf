"""Meetings live random lives beside a plain model of what a secretary would have on paper."""

from datetime import timedelta
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from tests.unit.approvals.people import account, person
from tests.unit.approvals.plain import PlainMeeting, on_paper
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
    Cancelled,
    CancelMeeting,
    ChangeInvitees,
    Closed,
    CloseMeeting,
    Command,
    DisposeItem,
    InSession,
    OpenMeeting,
    RecordAttendance,
    RescheduleMeeting,
    Scheduled,
    SetAgenda,
    TakeMinute,
)
from approvals.domain.review import Concluded, Open, Review
from govevents.approvals import Attendance, Disposition, MeetingCancelled, MeetingClosed
from govkernel.domain import Refusal, ReviewId

REVIEWS = (MAIN, PUMP, VALVE)
NAMES = ("ana", "bo", "gus")
LATER: dict[str, Review] = {"draft": DRAFT, "open": OPEN, "concluded": DECIDED}


class MeetingLives(RuleBasedStateMachine):
    """One meeting of an hour, from its scheduling on, and three reviews that go on meanwhile."""

    @initialize(begun=st.booleans())
    def schedule(self, begun: bool) -> None:
        self.paper = PlainMeeting()
        self.reviews = dict.fromkeys(REVIEWS, "draft")
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

    def expect(self, command: Command, refusal: type[Refusal] | None) -> None:
        """Let the command be taken or refused as the model says that it is."""
        before = len(self.history)
        try:
            self.send(command)
        except Refusal as refused:
            assert type(refused) is refusal, f"{command}: {refused!r}"
            assert len(self.history) == before
        else:
            assert refusal is None, f"{command} was taken"

    @rule(review=st.sampled_from(REVIEWS), state=st.sampled_from(["open", "concluded"]))
    def a_review_goes_on(self, review: ReviewId, state: str) -> None:
        if self.reviews[review] != "concluded":
            self.reviews[review] = state

    @rule(items=st.lists(st.tuples(st.sampled_from(REVIEWS), st.sampled_from([10, 25, 40])), max_size=3))
    def set_agenda(self, items: list[tuple[ReviewId, int]]) -> None:
        agenda = tuple(item(review, minutes) for review, minutes in items)
        self.expect(SetAgenda(agenda), self.paper.set_agenda(items))

    @rule(length=st.sampled_from([30, 60, 90]), place=st.sampled_from(["Room 4", "Room 5"]))
    def reschedule(self, length: int, place: str) -> None:
        start = TEN + HOUR
        command = RescheduleMeeting(start, start + timedelta(minutes=length), place, "so that all can come")
        assert isinstance(self.state, Scheduled | InSession | Closed | Cancelled)
        plan = self.state.plan
        same = (plan.starts_at, plan.ends_at, plan.place) == (command.starts_at, command.ends_at, place)
        self.expect(command, None if same else self.paper.move(length))

    @rule(names=st.lists(st.sampled_from(NAMES), unique=True))
    def invite(self, names: list[str]) -> None:
        invitees = tuple(map(account, names))
        assert isinstance(self.state, Scheduled | InSession | Closed | Cancelled)
        same = invitees == self.state.plan.invitees
        self.expect(ChangeInvitees(invitees), None if same else self.paper.not_ahead())

    @rule()
    def open_meeting(self) -> None:
        self.expect(OpenMeeting(account("ana")), self.paper.open())

    @rule(name=st.sampled_from(NAMES), attendance=st.sampled_from(Attendance))
    def attend(self, name: str, attendance: Attendance) -> None:
        command = RecordAttendance(account(name), person(name), attendance)
        self.expect(command, self.paper.attend(person(name), account(name), attendance))

    @rule(
        review=st.none() | st.sampled_from(REVIEWS),
        text=st.sampled_from(["It holds.", "It is doubted."]),
        corrects=st.none() | st.integers(0, 4),
    )
    def minute(self, review: ReviewId | None, text: str, corrects: int | None) -> None:
        self.expect(TakeMinute(review, text, corrects), self.paper.minute(review, text, corrects))

    @rule(
        review=st.sampled_from(REVIEWS),
        disposition=st.sampled_from(Disposition),
        remark=st.sampled_from(["", "Later."]),
    )
    def dispose(self, review: ReviewId, disposition: Disposition, remark: str) -> None:
        standing = self.reviews[review]
        conclusion = CONCLUSION if standing == "concluded" else None
        command = DisposeItem(review, LATER[standing], conclusion, disposition, remark)
        self.expect(command, self.paper.dispose(review, standing, conclusion, disposition, remark))

    @rule()
    def close(self) -> None:
        self.expect(CloseMeeting(account("ana")), self.paper.close())

    @rule(seldom=st.integers(0, 9))
    def cancel(self, seldom: int) -> None:
        if self.paper.phase == "scheduled" and seldom:
            return
        self.expect(CancelMeeting("Nobody has time."), self.paper.cancel())

    @invariant()
    def it_is_as_it_is_on_paper(self) -> None:
        assert on_paper(self.state) == self.paper

    @invariant()
    def a_closed_meeting_has_disposed_of_every_item_and_nothing_follows(self) -> None:
        if isinstance(self.state, Closed):
            assert {item.review for item in self.state.plan.agenda} <= self.state.proceedings.dispositions.keys()
            assert self.state.proceedings.minutes
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
