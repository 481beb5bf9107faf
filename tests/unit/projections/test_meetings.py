"""The fold of gate meetings."""

from collections.abc import Mapping
from datetime import timedelta
from uuid import uuid4

import pytest
from tests.support.telling import ANA, BO, Teller, day

from govevents.approvals import (
    AgendaItem,
    AgendaSet,
    InviteesChanged,
    MeetingCancelled,
    MeetingClosed,
    MeetingOpened,
    MeetingRescheduled,
    MeetingScheduled,
)
from govevents.values import PortfolioId, ProjectId, ReviewId
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
