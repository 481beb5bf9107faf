"""Calendars for people's own calendar programs: iCalendar, RFC 5545, invitations as in RFC 5546."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import Enum
from typing import Final
from urllib.parse import quote
from uuid import UUID

import icalendar
from starlette.responses import Response

PRODUCT: Final = "-//Gatehouse//Gatehouse//EN"
TRANSITIONS_AROUND: Final = timedelta(days=366)
"""How far around the beginnings of its entries a calendar states when clocks are changed."""


class Method(Enum):
    """What a calendar is for: to be looked at, to invite, or to take an invitation back."""

    PUBLISH = "PUBLISH"
    REQUEST = "REQUEST"
    CANCEL = "CANCEL"


@dataclass(frozen=True, slots=True)
class Participant:
    """Somebody who takes part; one without a name or address is known by the account only."""

    account: UUID
    name: str | None
    email: str | None


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry of a calendar: at a moment with a zone, or on a day; without an end it takes no time, or the day.

    `uid` stays the same whatever changes, and `revision` rises with what invited people have to hear.
    """

    uid: str
    title: str
    starts: date
    ends: date | None = None
    place: str = ""
    text: str = ""
    revision: int = 0
    cancelled: bool = False
    organizer: Participant | None = None
    attendees: tuple[Participant, ...] = ()


class CalendarDocument(Response):
    """An answer in iCalendar."""

    media_type = "text/calendar"


def calendar(uid: str, entries: Sequence[Entry], *, method: Method, name: str, at: datetime) -> CalendarDocument:
    """The entries as a document, made at `at` (UTC); `uid` is the same for the same calendar."""
    # One of the two properties that the name goes into takes no line breaks, not even escaped ones.
    in_one_line = " ".join(name.split())
    whole = icalendar.Calendar.new(prodid=PRODUCT, method=method.value, uid=uid, name=in_one_line)
    for entry in entries:
        whole.add_component(_event(entry, at))
    days = [entry.starts.date() for entry in entries if isinstance(entry.starts, datetime)]
    if days:
        # Twice, for icalendar itself looks some days beyond what it is asked for.
        earliest, latest = date.min + 2 * TRANSITIONS_AROUND, date.max - 2 * TRANSITIONS_AROUND
        first, last = max(min(days), earliest) - TRANSITIONS_AROUND, min(max(days), latest) + TRANSITIONS_AROUND
        whole.add_missing_timezones(first, last)
    return CalendarDocument(whole.to_ical())


def _event(entry: Entry, at: datetime) -> icalendar.Event:
    return icalendar.Event.new(
        uid=entry.uid,
        stamp=at,
        summary=entry.title,
        start=entry.starts,
        end=entry.ends,
        location=entry.place or None,
        description=entry.text or None,
        sequence=entry.revision,
        status=icalendar.STATUS.CANCELLED if entry.cancelled else icalendar.STATUS.CONFIRMED,
        organizer=_address(entry.organizer) if entry.organizer else None,
        attendees=[
            _address(each, "CHAIR" if each == entry.organizer else "REQ-PARTICIPANT") for each in entry.attendees
        ],
    )


def _address(participant: Participant, role: str | None = None) -> icalendar.vCalAddress:
    email = participant.email
    address = icalendar.vCalAddress(f"mailto:{quote(email, safe='@')}" if email else participant.account.urn)
    if participant.name:
        address.params["CN"] = participant.name
    if role is not None:
        address.params |= {"ROLE": role, "PARTSTAT": "NEEDS-ACTION", "RSVP": "TRUE" if email else "FALSE"}
    return address
