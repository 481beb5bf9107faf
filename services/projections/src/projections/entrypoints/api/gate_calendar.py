"""The calendar of the gates: meetings, time limits of reviews, due days of conditions, and gates that are planned."""

from collections.abc import Mapping
from datetime import date, datetime, timedelta
from enum import Enum
from typing import Annotated, Any, Final
from uuid import UUID
from zoneinfo import ZoneInfo

from fastapi import Query
from pydantic import BaseModel
from sqlalchemy import Select

from govkernel.access import NodeRow
from govkernel.domain import Code, Name, PortfolioId, ProjectId, Text
from govkernel.http import Ask, InputError, invalid
from govkernel.http.calendar import CalendarDocument, Entry, Method, calendar
from govkernel.http.problems import HEADER_INVALID
from projections.adapters.gate_calendar import CALENDAR_MODELS, calendar_entries
from projections.adapters.queries import labels
from projections.domain.kpis import local_day
from projections.entrypoints.api.edge import Answer, Day, Look, Node, api, looking, name_of, reference_of

LARGEST_FEED: Final = 2000
"""How many entries a calendar program is given at most."""

ORDER: Final = ("day", "begins", "kind", "stream", "key")

FirstDay = Annotated[
    Day | None,
    Query(alias="from", description="the first day, in the portfolio's days; without it today"),
]
Days = Annotated[int, Query(ge=1, le=366, description="how many days, the first one included")]


class CalendarKind(Enum):
    """What a day of the calendar holds."""

    MEETING = "meeting"
    TIME_LIMIT = "time_limit"
    CONDITION = "condition"
    PLANNED_GATE = "planned_gate"


class CalendarEntryView(BaseModel):
    """An entry: a gate meeting, the end of an open review's time, the day of an open condition, or a planned gate.

    `day` is in the portfolio's time zone; `at` is None for what is due on a day as a whole. `stream` is the meeting,
    the review, the review that set the condition, or the project. `number` is the condition's within its review.
    """

    kind: CalendarKind
    day: date
    at: datetime | None
    ends_at: datetime | None
    time_zone: Code
    title: Text
    place: Text | None
    portfolio: PortfolioId
    project: ProjectId | None
    reference: Code | None
    name: Name | None
    gate: Code | None
    stream: UUID
    number: int | None


@api.query(
    "/gate-calendar",
    operation="listGateCalendar",
    response=Answer[CalendarEntryView],
    history=True,
    paged=True,
)
async def list_gate_calendar(
    ask: Ask, node: Node = None, first_day: FirstDay = None, days: Days = 90
) -> Answer[CalendarEntryView]:
    """List what is to come at the gates, day by day."""
    async with looking(ask, node, *CALENDAR_MODELS) as look:
        query = _asked_for(look, first_day, days)
        columns = query.selected_columns
        order = [columns[name] for name in ORDER]
        rows = (await look.connection.execute(ask.keyset(query, *order))).all()
        known = await labels(look.connection, {row.project for row in rows if row.project is not None})
        page = ask.page(rows, lambda row: _view(row, known), lambda row: tuple(getattr(row, name) for name in ORDER))
        return look.answer(page)


@api.query("/gate-calendar.ics", operation="getGateCalendar", response=CalendarDocument)
async def get_gate_calendar(
    ask: Ask, node: Node = None, first_day: FirstDay = None, days: Days = 90
) -> CalendarDocument:
    """Read the calendar of the gates as iCalendar, for calendar programs to follow."""
    async with looking(ask, node, *CALENDAR_MODELS) as look:
        query = _asked_for(look, first_day, days).limit(LARGEST_FEED + 1)
        rows = (await look.connection.execute(query.order_by(*ORDER))).all()
        if len(rows) > LARGEST_FEED:
            raise _fault(
                "days", str(days), f"more than {LARGEST_FEED} entries", "ask for fewer days, or a node further down"
            )
        known = await labels(look.connection, {row.project for row in rows if row.project is not None})
        entries = [_entry(_view(row, known)) for row in rows]
        name = f"Gates of {look.scope.node.name}" if look.scope.node is not None else "Gates"
        return calendar(f"gates/{node or 'all'}", entries, method=Method.PUBLISH, name=name, at=ask.now)


def _asked_for(look: Look, first_day: date | None, days: int) -> Select[Any]:
    begins = first_day or local_day(look.now, look.zone)
    try:
        last_day = begins + timedelta(days=days - 1)
    except OverflowError:
        raise _fault("from", str(begins), "the days go beyond the last year", "give an earlier day") from None
    return calendar_entries(look.scope, look.zones, begins, last_day)


def _fault(parameter: str, value: str, detail: str, remedy: str) -> Exception:
    return invalid([InputError(parameter=parameter, detail=detail, value=value, remedy=remedy)], HEADER_INVALID)


def _view(row: Any, known: Mapping[ProjectId, NodeRow]) -> CalendarEntryView:
    kind = CalendarKind(row.kind)
    return CalendarEntryView(
        kind=kind,
        day=row.day,
        at=None if row.all_day else row.begins,
        ends_at=row.ends,
        time_zone=row.zone,
        title=row.title,
        place=row.place or None,
        portfolio=row.portfolio,
        project=row.project,
        reference=reference_of(known, row.project) if row.project else None,
        name=name_of(known, row.project) if row.project else None,
        gate=row.gate,
        stream=row.stream,
        number=int(row.key) if kind is CalendarKind.CONDITION else None,
    )


TITLES: Final[Mapping[CalendarKind, str]] = {
    CalendarKind.MEETING: "Gate meeting",
    CalendarKind.TIME_LIMIT: "Votes until",
    CalendarKind.CONDITION: "Condition due",
    CalendarKind.PLANNED_GATE: "Planned gate",
}


def _entry(view: CalendarEntryView) -> Entry:
    """The entry for a calendar program; a meeting is the same as in its invitation."""
    zone = ZoneInfo(view.time_zone)
    of_project = " ".join(each for each in (view.reference, view.name, view.gate) if each)
    meeting = view.kind is CalendarKind.MEETING
    of_what = view.title if meeting else of_project
    return Entry(
        uid=str(view.stream) if meeting else f"{view.stream}/{view.kind.value}/{view.number or view.gate or ''}",
        title=f"{TITLES[view.kind]}: {of_what}",
        starts=view.at.astimezone(zone) if view.at else view.day,
        ends=view.ends_at.astimezone(zone) if view.ends_at else None,
        place=view.place or "",
        text="" if meeting else view.title,
    )
