"""The folds of gate meetings: the meeting itself, and what it wants of whom."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from uuid import uuid4

import pytest
from tests.support.telling import ANA, BO, MAX, Teller, day

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
)
from govevents.values import PersonId, PortfolioId, ProjectId, ReviewId
from projections.application.inbox import INBOX, InboxItem, Wanted
from projections.application.meetings import MEETINGS, Meeting, MeetingState

PORTFOLIO = PortfolioId(uuid4())
MAIN, PUMP = ProjectId(uuid4()), ProjectId(uuid4())
FIRST, SECOND, THIRD = (ReviewId(uuid4()) for _ in range(3))
HOUR = timedelta(hours=1)
SCHEDULED = MeetingScheduled(
    PORTFOLIO, None, "Gates of March", day(10), day(10) + HOUR, "Australia/Melbourne", "Room 4", ANA, (BO,)
)
AGENDA = AgendaSet(PORTFOLIO, (AgendaItem(FIRST, MAIN, 20), AgendaItem(SECOND, PUMP, 20), AgendaItem(THIRD, MAIN, 20)))
OPENED = MeetingOpened(PORTFOLIO, ANA)


def folded(*events: object) -> Meeting:
    teller = Teller()
    stream = teller.stream("approvals")
    rows: Mapping[str, Meeting] = {}
    for number, event in enumerate(events):
        rows = MEETINGS.evolve(rows, teller.at(stream, day(number), event))
    (row,) = rows.values()
    return row


def test_a_meeting_is_a_row_with_its_agenda_and_each_project_once() -> None:
    row = folded(SCHEDULED, AGENDA)
    assert (row.title, row.starts_at, row.ends_at, row.state) == (
        "Gates of March",
        day(10),
        day(10) + HOUR,
        MeetingState.SCHEDULED,
    )
    assert (row.reviews, row.projects) == ((FIRST, SECOND, THIRD), (MAIN, PUMP))


def test_a_meeting_that_is_moved_stands_where_it_was_moved_to() -> None:
    moved = MeetingRescheduled(PORTFOLIO, day(12), day(12) + HOUR, "Room 5", "The room is taken.")
    row = folded(SCHEDULED, AGENDA, moved)
    assert (row.starts_at, row.ends_at, row.place, row.revision) == (day(12), day(12) + HOUR, "Room 5", 1)
    assert row.reviews == (FIRST, SECOND, THIRD)


@pytest.mark.parametrize(
    ("events", "state"),
    [
        ((OPENED,), MeetingState.IN_SESSION),
        ((OPENED, MeetingClosed(PORTFOLIO, ANA)), MeetingState.CLOSED),
        ((MeetingCancelled(PORTFOLIO, "Nobody has time."),), MeetingState.CANCELLED),
    ],
)
def test_a_meeting_shows_whether_it_is_still_to_come(events: tuple[object, ...], state: MeetingState) -> None:
    assert folded(SCHEDULED, AGENDA, *events).state is state


def test_what_does_not_concern_the_calendar_changes_nothing() -> None:
    assert folded(SCHEDULED, InviteesChanged(PORTFOLIO, (ANA,))) == folded(SCHEDULED)


def wanted(*events: object) -> list[InboxItem]:
    """What a meeting wants of whom, each thing said a day after the other."""
    teller = Teller()
    stream = teller.stream("approvals")
    rows: Mapping[str, InboxItem] = {}
    for number, event in enumerate(events):
        rows = INBOX.evolve(rows, teller.at(stream, day(number), event))
    return [each for each in rows.values() if each.waiting_since is not None]


def attending(*events: object) -> list[tuple[object, datetime | None, str | None]]:
    found = [each for each in wanted(*events) if each.wanted is Wanted.ATTENDANCE]
    return [(each.subject, each.waiting_since, each.again) for each in found]


def to_dispose(*events: object) -> list[tuple[ReviewId | None, datetime | None]]:
    found = [each for each in wanted(*events) if each.wanted is Wanted.DISPOSITION]
    assert {each.subject for each in found} <= {ANA}, "the chair's to say"
    return [(each.review, each.waiting_since) for each in found]


def test_a_meeting_wants_its_chair_and_those_invited_until_it_begins() -> None:
    chair, invited = wanted(SCHEDULED)
    assert (chair.subject, chair.because, chair.text, chair.closes_at) == (
        ANA,
        "chair of the meeting",
        "Gates of March",
        day(10),
    )
    assert (invited.subject, invited.because, invited.portfolio, invited.project) == (
        BO,
        "invited to the meeting",
        PORTFOLIO,
        None,
    )


def test_whoever_is_invited_later_is_wanted_since_then_and_whoever_is_invited_no_longer_is_not() -> None:
    assert attending(SCHEDULED, InviteesChanged(PORTFOLIO, (MAX, ANA))) == [(ANA, day(0), None), (MAX, day(1), None)]
    assert attending(SCHEDULED, InviteesChanged(PORTFOLIO, (BO, MAX)))[1:] == [(BO, day(0), None), (MAX, day(1), None)]


def test_a_meeting_that_is_moved_wants_everyone_again_and_says_why() -> None:
    moved = MeetingRescheduled(PORTFOLIO, day(12), day(12) + HOUR, "Room 5", "The room is taken.")
    assert attending(SCHEDULED, moved) == [(ANA, day(1), "The room is taken."), (BO, day(1), "The room is taken.")]
    assert {each.closes_at for each in wanted(SCHEDULED, moved)} == {day(12)}


def test_who_has_come_or_sent_apologies_is_wanted_no_longer_and_the_chair_until_the_end() -> None:
    came = [AttendanceRecorded(PORTFOLIO, each, PersonId(each), Attendance.APOLOGIES) for each in (ANA, BO)]
    assert attending(SCHEDULED, AGENDA, OPENED, *came) == [(ANA, day(0), None)]
    assert wanted(SCHEDULED, AGENDA, OPENED, MeetingClosed(PORTFOLIO, ANA)) == []
    assert wanted(SCHEDULED, AGENDA, MeetingCancelled(PORTFOLIO, "Nobody has time.")) == []


def test_the_chair_is_to_dispose_of_each_item_since_the_meeting_has_begun() -> None:
    assert to_dispose(SCHEDULED, AGENDA, OPENED) == [(FIRST, day(2)), (SECOND, day(2)), (THIRD, day(2))]
    left = ItemDisposed(PORTFOLIO, FIRST, Disposition.LEFT_TO_VOTE, None, "Two are away.")
    shorter = AgendaSet(PORTFOLIO, (AgendaItem(FIRST, MAIN, 20), AgendaItem(THIRD, MAIN, 30)))
    assert to_dispose(SCHEDULED, AGENDA, OPENED, left, shorter) == [(THIRD, day(2))], "what is disposed of stays so"
