from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import icalendar
import pytest

from govkernel.http.calendar import Entry, Method, Participant, calendar

ANA = Participant(UUID(int=1), "Ana Lind", "ana@example.org")
ERASED = Participant(UUID(int=2), None, None)
NOW = datetime(2026, 2, 1, 8, tzinfo=UTC)
MELBOURNE = ZoneInfo("Australia/Melbourne")
MEETING = Entry(
    uid="one",
    title="Gates of March",
    starts=datetime(2026, 3, 2, 10, tzinfo=MELBOURNE),
    ends=datetime(2026, 3, 2, 11, tzinfo=MELBOURNE),
    organizer=ANA,
    attendees=(ANA,),
)


def read(*entries: Entry, method: Method = Method.REQUEST) -> icalendar.Calendar:
    body = bytes(calendar("all", entries, method=method, name="Gates", at=NOW).body)
    whole = icalendar.Calendar.from_ical(body)
    assert isinstance(whole, icalendar.Calendar)
    return whole


def event(**changed: Any) -> Any:
    (found,) = read(Entry(**{"uid": "one", "title": "Gates", "starts": date(2026, 3, 2), **changed})).events
    return found


def test_a_calendar_says_what_it_is_for_and_is_the_same_for_the_same_entries() -> None:
    whole = read(MEETING)
    assert (whole["VERSION"], whole["METHOD"], whole["UID"]) == ("2.0", "REQUEST", "all")
    again = calendar("all", (MEETING,), method=Method.REQUEST, name="Gates", at=NOW)
    assert again.body == calendar("all", (MEETING,), method=Method.REQUEST, name="Gates", at=NOW).body
    assert again.headers["content-type"] == "text/calendar; charset=utf-8"


def test_an_entry_at_a_moment_keeps_its_zone_which_the_calendar_defines() -> None:
    whole = read(MEETING)
    (found,) = whole.events
    assert found["DTSTART"].to_ical() == b"20260302T100000"
    assert found["DTSTART"].params["TZID"] == "Australia/Melbourne"
    assert found.start == MEETING.starts
    assert [zone.tz_name for zone in whole.timezones] == ["Australia/Melbourne"]


def test_an_entry_on_a_day_takes_the_day_and_one_at_a_moment_without_an_end_no_time() -> None:
    assert event()["DTSTART"].to_ical() == b"20260302"
    at = event(starts=datetime(2026, 3, 2, 17, tzinfo=UTC))
    assert (at["DTSTART"].to_ical(), "DTEND" in at) == (b"20260302T170000Z", False)


@pytest.mark.parametrize("far", [date(1, 1, 1), date(9999, 12, 31)])
def test_no_day_is_too_far(far: date) -> None:
    assert event(starts=far)["DTSTART"].dt == far


@pytest.mark.parametrize("year", [1, 1900, 9998, 9999])
def test_no_moment_is_too_far(year: int) -> None:
    for zone in (UTC, MELBOURNE):
        starts = datetime(year, 6, 30, 23, tzinfo=zone)
        (found,) = read(Entry("one", "Gates", starts, datetime(9999, 12, 31, 9, tzinfo=zone))).events
        assert found.start == starts


def test_a_calendar_may_be_empty() -> None:
    assert read(method=Method.PUBLISH).events == []


def test_the_organizer_and_who_is_invited_have_names_and_addresses() -> None:
    (found,) = read(MEETING).events
    assert (found["ORGANIZER"], found["ORGANIZER"].params["CN"]) == ("mailto:ana@example.org", "Ana Lind")
    assert dict(found["ATTENDEE"].params) == {
        "CN": "Ana Lind",
        "ROLE": "CHAIR",
        "PARTSTAT": "NEEDS-ACTION",
        "RSVP": "TRUE",
    }


def test_somebody_without_a_name_or_address_is_known_by_their_account_only() -> None:
    found = event(organizer=ERASED)
    assert (found["ORGANIZER"], dict(found["ORGANIZER"].params)) == (f"urn:uuid:{ERASED.account}", {})


def test_a_cancelled_entry_says_so() -> None:
    found = event(cancelled=True, revision=3)
    assert (found["STATUS"], found["SEQUENCE"]) == ("CANCELLED", 3)


@pytest.mark.parametrize(
    "evil", ["a\r\nATTACH:http://evil.example/", 'a"b', "a;b,c:d\\e", "a\nb", "ä 漢 🚰", "a\x85b\u2028c"]
)
def test_no_text_gets_out_of_its_place(evil: str) -> None:
    somebody = Participant(UUID(int=3), evil, f"{evil}@example.org")
    found = event(title=evil, place=evil, text=evil, organizer=somebody, attendees=(somebody,))
    assert "ATTACH" not in found
    for name in ("SUMMARY", "LOCATION", "DESCRIPTION"):
        assert found[name] == evil.replace("\r\n", "\n")
    named = calendar("all", (), method=Method.PUBLISH, name=evil, at=NOW).body
    assert "ATTACH" not in icalendar.Calendar.from_ical(bytes(named))
    for name in ("ORGANIZER", "ATTENDEE"):
        assert found[name].params["CN"] == evil.replace("\r\n", "\n")
        assert found[name].endswith("@example.org")
