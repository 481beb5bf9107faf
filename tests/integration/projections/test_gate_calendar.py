"""What is to come at the gates, from rows in a real PostgreSQL, as JSON and for calendar programs."""

from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

import icalendar
import pytest
from tests.support.services import Service, done, problem
from tests.support.streams import Stream
from tests.support.telling import ANA, BO, Teller, condition, day

from govevents.approvals import (
    AgendaItem,
    AgendaSet,
    MeetingCancelled,
    MeetingRescheduled,
    MeetingScheduled,
    Role,
)
from govevents.document import Recorded
from govevents.projects import MilestoneBasis, MilestoneSet, ProjectTerminated
from govevents.values import PortfolioId, ProjectId, ReviewId

HOUR = timedelta(hours=1)
FROM = {"from": "2026-03-02"}


@dataclass
class Told:
    """A portfolio in Melbourne with two projects, which have three phases and two gates each."""

    service: Service
    teller: Teller = field(default_factory=Teller)

    async def begin(self) -> None:
        self.portfolio_stream, heard = self.teller.portfolio()
        self.main, first = self.teller.project(self.portfolio_stream.stream, "P-1")
        self.pump, second = self.teller.project(self.portfolio_stream.stream, "P-2")
        await self.service.hear(heard, first, second)

    @property
    def portfolio(self) -> UUID:
        return self.portfolio_stream.stream

    def meeting(self, starts: datetime, *reviewed: tuple[Stream, Stream]) -> tuple[Stream, list[Recorded[Any]]]:
        """A meeting over reviews, each given with its project."""
        stream, portfolio = self.teller.stream("approvals"), PortfolioId(self.portfolio)
        items = tuple(AgendaItem(ReviewId(one.stream), ProjectId(of.stream), 20) for one, of in reviewed)
        scheduled = MeetingScheduled(
            portfolio, None, "Gates of March", starts, starts + HOUR, "Australia/Melbourne", "Room 4", ANA, (BO,)
        )
        events = [self.teller.at(stream, day(1), scheduled)]
        if items:
            events.append(self.teller.at(stream, day(1), AgendaSet(portfolio, items)))
        return stream, events

    def planned(self, project: Stream, milestone: str, on: date, *, basis: str = "planned") -> Recorded[Any]:
        return self.teller.at(project, day(1), MilestoneSet(milestone, MilestoneBasis(basis), on, None))

    async def calendar(self, who: str | None = None, **asked: Any) -> list[dict[str, Any]]:
        client = self.service.root if who is None else await self.service.client(who)
        parameters = {**FROM, **{name: str(value) for name, value in asked.items()}}
        return list(done(await client.get("/gate-calendar", params=parameters))["rows"])

    async def feed(self, **asked: Any) -> list[Any]:
        parameters = {**FROM, **{name: str(value) for name, value in asked.items()}}
        answer = await self.service.root.get("/gate-calendar.ics", params=parameters)
        assert answer.status_code == 200, answer.text
        assert answer.headers["content-type"] == "text/calendar; charset=utf-8"
        whole = icalendar.Calendar.from_ical(answer.content)
        assert isinstance(whole, icalendar.Calendar)
        assert whole["METHOD"] == "PUBLISH"
        return list(whole.events)


@pytest.fixture
async def told(service: Service) -> Told:
    told = Told(service)
    await told.begin()
    return told


def kinds(rows: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return [(row["kind"], row["day"]) for row in rows]


async def everything(told: Told) -> Stream:
    """One entry of each kind; the meeting."""
    teller, portfolio = told.teller, told.portfolio
    review, opened = teller.submitted(
        portfolio, told.main.stream, day(1), closes_at=datetime(2026, 3, 20, 14, tzinfo=UTC)
    )
    other, _ = teller.submitted(portfolio, told.pump.stream, day(1))
    past, asked = teller.submitted(portfolio, told.pump.stream, day(1))
    set_ = teller.concluded(past, portfolio, told.pump.stream, day(2), conditions=(condition(date(2026, 4, 1)),))
    meeting, planned = told.meeting(datetime(2026, 3, 9, 22, tzinfo=UTC), (review, told.main), (other, told.pump))
    gate = told.planned(told.main, "G2", date(2026, 5, 4))
    await told.service.hear(*opened, *asked, *set_, *planned, gate)
    return meeting


async def test_meetings_time_limits_due_days_and_planned_gates_stand_in_order(told: Told) -> None:
    meeting = await everything(told)
    rows = await told.calendar()
    # 22:00 and 14:00 in UTC are the next day in Melbourne.
    assert kinds(rows) == [
        ("meeting", "2026-03-10"),
        ("time_limit", "2026-03-21"),
        ("condition", "2026-04-01"),
        ("planned_gate", "2026-05-04"),
    ]
    first, limit, due, gate = rows
    assert (first["stream"], first["title"], first["place"], first["ends_at"]) == (
        str(meeting.stream),
        "Gates of March",
        "Room 4",
        "2026-03-09T23:00:00Z",
    )
    assert (limit["at"], limit["reference"], limit["gate"]) == ("2026-03-20T14:00:00Z", "P-1", "G1")
    assert (due["at"], due["reference"], due["number"], due["title"]) == (None, "P-2", 1, "Settle the easement.")
    assert (gate["at"], gate["reference"], gate["gate"], gate["stream"]) == (None, "P-1", "G2", str(told.main.stream))
    assert {row["time_zone"] for row in rows} == {"Australia/Melbourne"}


async def test_the_calendar_has_the_days_that_are_asked_for_both_ends_included(told: Told) -> None:
    await everything(told)
    asked: dict[str, Any] = {"from": "2026-03-21", "days": 12}
    assert kinds(await told.calendar(**asked)) == [("time_limit", "2026-03-21"), ("condition", "2026-04-01")]
    assert kinds(await told.calendar(**{**asked, "days": 11})) == [("time_limit", "2026-03-21")]
    assert await told.calendar(**{**asked, "from": "2026-03-22", "days": 1}) == []


async def test_the_next_ninety_days_begin_today_where_nothing_is_said(told: Told) -> None:
    today = datetime.now(UTC).date()
    for project, far in ((told.main, 30), (told.pump, 200)):
        await told.service.hear(told.planned(project, "G1", today + timedelta(days=far)))
    rows = done(await told.service.root.get("/gate-calendar"))["rows"]
    assert [row["reference"] for row in rows] == ["P-1"]


@pytest.mark.parametrize("far", [date(1, 1, 1), date(9999, 12, 31)])
async def test_the_first_and_the_last_of_all_days_can_be_shown(told: Told, far: date) -> None:
    await told.service.hear(told.planned(told.main, "G1", far))
    asked: dict[str, Any] = {"from": far, "days": 1}
    assert kinds(await told.calendar(**asked)) == [("planned_gate", str(far))]
    assert len(await told.feed(**asked)) == 1


async def test_pages_follow_each_other(told: Told) -> None:
    await everything(told)
    parameters: dict[str, Any] = {**FROM, "limit": 3}
    first = done(await told.service.root.get("/gate-calendar", params=parameters))
    rest = done(await told.service.root.get("/gate-calendar", params={**parameters, "cursor": first["next"]}))
    assert kinds(first["rows"] + rest["rows"]) == kinds(await told.calendar())
    assert (len(first["rows"]), rest["next"]) == (3, None)


async def test_what_is_over_is_not_to_come(told: Told) -> None:
    teller, portfolio = told.teller, told.portfolio
    closes = datetime(2026, 3, 20, 14, tzinfo=UTC)
    review, opened = teller.submitted(portfolio, told.main.stream, day(1), closes_at=closes)
    ended = teller.concluded(review, portfolio, told.main.stream, day(2), conditions=(condition(date(2026, 4, 1)),))
    met = teller.condition_met(review, told.main.stream, day(3))
    meeting, scheduled = told.meeting(closes)
    cancelled = teller.at(meeting, day(2), MeetingCancelled(PortfolioId(portfolio), "Nothing is ready."))
    await told.service.hear(*opened, *ended, met, *scheduled, cancelled)
    await told.service.hear(told.planned(told.main, "G1", date(2026, 4, 1)))
    assert kinds(await told.calendar()) == [("planned_gate", "2026-04-01")]
    await told.service.hear(told.planned(told.main, "G1", date(2026, 4, 2), basis="actual"))
    assert await told.calendar() == []
    before = await told.calendar(as_of=day(1.5).isoformat().replace("+00:00", "Z"))
    assert kinds(before) == [("meeting", "2026-03-21"), ("time_limit", "2026-03-21")]


async def test_a_meeting_that_was_moved_is_where_it_was_moved_to(told: Told) -> None:
    meeting, scheduled = told.meeting(day(8))
    later = MeetingRescheduled(PortfolioId(told.portfolio), day(9), day(9) + HOUR, "Room 5", "The room is taken.")
    await told.service.hear(*scheduled, told.teller.at(meeting, day(2), later))
    (row,) = await told.calendar()
    assert (row["at"], row["place"]) == ("2026-03-11T09:00:00Z", "Room 5")


async def test_only_what_a_gate_waits_for_is_a_planned_gate(told: Told) -> None:
    teller = told.teller
    plain, registered = teller.project(told.portfolio, "P-3", methodology=None)
    on = date(2026, 4, 1)
    await told.service.hear(registered, told.planned(told.main, "Tender Closed", on), told.planned(plain, "PBC", on))
    assert await told.calendar() == []
    # A project without a methodology has the gates that its portfolio has on record.
    await told.service.hear(teller.brought_in(told.portfolio, told.pump.stream, "PBC", date(2026, 1, 5)))
    assert [(row["reference"], row["gate"]) for row in await told.calendar()] == [("P-3", "PBC")]
    await told.service.hear(teller.at(plain, day(5), ProjectTerminated("No money.", None)))
    assert await told.calendar() == []


async def test_a_project_shows_its_own_gates_and_the_meetings_that_look_at_it(told: Told) -> None:
    await everything(told)
    both = [("meeting", "2026-03-10"), ("time_limit", "2026-03-21"), ("planned_gate", "2026-05-04")]
    assert kinds(await told.calendar(node=told.main.stream)) == both
    assert len(await told.calendar(node=told.portfolio)) == 4
    await told.service.assign("max", Role.PROJECT_MANAGER, told.main.stream)
    assert kinds(await told.calendar("max")) == both
    assert await told.calendar("eve") == []
    eve = await told.service.client("eve")
    problem(await eve.get("/gate-calendar", params={"node": str(told.portfolio)}), 403, "not-allowed")
    problem(await eve.get("/gate-calendar.ics", params={"node": str(told.portfolio)}), 403, "not-allowed")


async def test_a_programme_shows_the_gates_below_it(told: Told) -> None:
    await everything(told)
    programme, heard = told.teller.programme(told.portfolio)
    below, registered = told.teller.project(told.portfolio, "P-4", parent=programme.stream)
    await told.service.hear(heard, registered, told.planned(below, "G1", date(2026, 4, 1)))
    assert [row["reference"] for row in await told.calendar(node=programme.stream)] == ["P-4"]
    await told.service.assign("max", Role.PROJECT_MANAGER, programme.stream)
    assert [row["reference"] for row in await told.calendar("max")] == ["P-4"]


async def test_calendar_programs_can_follow_it(told: Told) -> None:
    meeting = await everything(told)
    first, limit, due, gate = await told.feed(node=told.portfolio)
    assert (first["UID"], first["SUMMARY"]) == (str(meeting.stream), "Gate meeting: Gates of March")
    assert (first.start.isoformat(), first["DTSTART"].params["TZID"]) == (
        "2026-03-10T09:00:00+11:00",
        "Australia/Melbourne",
    )
    assert (limit["SUMMARY"], limit.start.isoformat()) == (
        "Votes until: P-1 Main P-1 G1",
        "2026-03-21T01:00:00+11:00",
    )
    assert (due["SUMMARY"], due["DTSTART"].to_ical(), due["DESCRIPTION"]) == (
        "Condition due: P-2 Main P-2 G1",
        b"20260401",
        "Settle the easement.",
    )
    assert (gate["SUMMARY"], gate["DTSTART"].to_ical()) == ("Planned gate: P-1 Main P-1 G2", b"20260504")
    assert len({event["UID"] for event in (first, limit, due, gate)}) == 4
    assert [event["UID"] for event in await told.feed()] == [event["UID"] for event in (first, limit, due, gate)]
    assert await told.feed(days=1) == []


@pytest.mark.parametrize(
    ("asked", "parameter"),
    [({"days": "0"}, "days"), ({"days": "367"}, "days"), ({"from": "today"}, "from"), ({"from": "9999-12-31"}, "from")],
)
async def test_days_that_cannot_be_are_named(told: Told, asked: dict[str, str], parameter: str) -> None:
    for path in ("/gate-calendar", "/gate-calendar.ics"):
        answer = await told.service.root.get(path, params=asked)
        assert answer.status_code in (400, 422), answer.text
        assert answer.json()["errors"][0]["parameter"] == parameter
