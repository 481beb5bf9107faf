"""A body lives random lives beside a plain model: a page of the calendar for each day, with who sits on it."""

from datetime import date, timedelta

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from tests.unit.approvals.people import PORTFOLIO, account, person

from approvals.domain.body import (
    BODY,
    AlternateMayNotChair,
    AppointMember,
    Body,
    ChairTaken,
    FormBody,
    MemberNotSeatedThroughout,
    NotAMember,
    PersonAlreadySits,
    ReleaseMember,
    TermEndsBeforeItBegins,
    alternates_of,
    seated,
)
from govevents.approvals import MemberAppointed, MemberReleased
from govkernel.domain import Refusal, SubjectId

ACCOUNTS = {account(f"{name}{which}"): person(name) for name in ("ana", "bo", "cy", "dee") for which in ("", ".second")}
CALENDAR = [date(2026, 1, 1) + timedelta(days=number) for number in range(12)]
TERMS = CALENDAR[1:9]
"""Terms begin and end within these days; one without an end holds on the last page too, and no other does."""


class BodyLives(RuleBasedStateMachine):
    state: Body
    standing: list[AppointMember]
    known: set[SubjectId]

    @initialize()
    def form(self) -> None:
        self.standing, self.known = [], set()
        self.state = BODY.fold(BODY.decide(FormBody(PORTFOLIO, "Board"), BODY.initial))

    def sitting(self, day: date) -> list[AppointMember]:
        return [each for each in self.standing if each.first_day <= day <= (each.last_day or CALENDAR[-1])]

    def faults(self, asked: AppointMember) -> set[type[Refusal]]:
        """All that speaks against an appointment, found by turning the pages of its term."""
        found: set[type[Refusal]] = set()
        if asked.last_day is not None and asked.last_day < asked.first_day:
            found.add(TermEndsBeforeItBegins)
        if asked.chair and asked.alternate_for:
            found.add(AlternateMayNotChair)
        for day in CALENDAR:
            if not asked.first_day <= day <= (asked.last_day or CALENDAR[-1]):
                continue
            others = self.sitting(day)
            if any(each.person == asked.person for each in others):
                found.add(PersonAlreadySits)
            if asked.chair and any(each.chair for each in others):
                found.add(ChairTaken)
            if asked.alternate_for and not any(
                each.member == asked.alternate_for and each.alternate_for is None for each in others
            ):
                found.add(MemberNotSeatedThroughout)
        return found

    @rule(
        member=st.sampled_from(sorted(ACCOUNTS)),
        chair=st.booleans(),
        alternate_for=st.none() | st.sampled_from(sorted(ACCOUNTS)),
        first_day=st.sampled_from(TERMS),
        last_day=st.none() | st.sampled_from(TERMS),
    )
    def appoint(
        self,
        member: SubjectId,
        chair: bool,
        alternate_for: SubjectId | None,
        first_day: date,
        last_day: date | None,
    ) -> None:
        self.ask(AppointMember(member, ACCOUNTS[member], chair, alternate_for, first_day, last_day))

    @rule(data=st.data(), shorter=st.booleans())
    def appoint_an_alternate_of_somebody_who_sits(self, data: st.DataObject, shorter: bool) -> None:
        members = [each for each in self.standing if each.alternate_for is None]
        if members:
            of = data.draw(st.sampled_from(members))
            member = data.draw(st.sampled_from(sorted(ACCOUNTS)))
            last_day = of.first_day if shorter else of.last_day
            self.ask(AppointMember(member, ACCOUNTS[member], False, of.member, of.first_day, last_day))

    def ask(self, asked: AppointMember) -> None:
        if asked in self.standing:
            assert BODY.decide(asked, self.state) == ()
            return
        faults = self.faults(asked)
        try:
            (event,) = BODY.decide(asked, self.state)
        except Refusal as refusal:
            assert type(refusal) in faults, f"{refusal!r}, but {faults} speak against {asked}"
            return
        assert not faults, f"{asked} was allowed, and {faults} speak against it"
        assert isinstance(event, MemberAppointed)
        self.standing.append(asked)
        self.known.add(asked.member)
        self.state = BODY.evolve(self.state, event)

    @rule(member=st.sampled_from(sorted(ACCOUNTS)))
    def release(self, member: SubjectId) -> None:
        command = ReleaseMember(member, "moved on")
        sits = any(each.member == member for each in self.standing)
        if member not in self.known:
            try:
                BODY.decide(command, self.state)
            except NotAMember:
                return
            raise AssertionError(f"{member} has never sat, and was released")
        events = BODY.decide(command, self.state)
        assert events == ((MemberReleased(member, "moved on"),) if sits else ())
        for event in events:
            self.state = BODY.evolve(self.state, event)
        self.standing = [each for each in self.standing if member not in (each.member, each.alternate_for)]
        assert BODY.decide(command, self.state) == ()

    @invariant()
    def a_natural_person_has_one_seat_and_the_body_one_chair(self) -> None:
        for day in CALENDAR:
            members = seated(self.state, day)
            alternates = [each for one in members for each in alternates_of(self.state, one.member, day)]
            persons = [each.person for each in (*members, *alternates)]
            assert len(persons) == len(set(persons))
            assert [each.chair for each in members] == sorted((each.chair for each in members), reverse=True)
            assert sum(each.chair for each in (*members, *alternates)) <= 1

    @invariant()
    def who_sits_on_a_day_is_what_the_calendar_says(self) -> None:
        for day in CALENDAR:
            sitting = self.sitting(day)
            members = {each.member for each in sitting if each.alternate_for is None}
            assert {each.member for each in seated(self.state, day)} == members
            for member in ACCOUNTS:
                expected = [each.member for each in sitting if each.alternate_for == member]
                assert [each.member for each in alternates_of(self.state, member, day)] == expected
                assert not expected or member in members


TestBodyLives = BodyLives.TestCase
TestBodyLives.settings = settings(max_examples=150, stateful_step_count=16, deadline=None)
