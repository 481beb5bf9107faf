"""Properties of documents: canonical bytes, exact values, and no reader that believes what was tampered with."""

import json
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from enum import Enum
from hashlib import sha256
from typing import Any
from uuid import UUID

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from govevents.catalogue import Catalogue, NewerThanReader, UnknownType
from govevents.document import Document, DocumentRefused, Origin, canonical, encode, read_envelope
from govevents.event import event
from govevents.values import LARGEST_INTEGER, Code, Currency, Money, Text, ValueRefused, utc, value

STREAM = UUID("00000000-0000-4000-8000-000000000001")


class Colour(Enum):
    RED = "red"
    GREEN = "green"


@value
class Part:
    label: Code
    weight: Decimal | None


@event("synthetic", version=1)
class Happened:
    """Something with every kind of field has happened."""

    text: Text
    flag: bool
    count: int
    amount: Decimal
    day: date
    moment: datetime
    who: UUID
    colour: Colour
    parts: tuple[Part, ...]
    money: Money | None


CATALOGUE = Catalogue.of([Happened])

texts = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), max_size=50)
codes = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), min_size=1, max_size=20)
amounts = st.decimals(allow_nan=False, allow_infinity=False, places=4, min_value=-(10**20), max_value=10**20).filter(
    lambda amount: "E" not in str(amount)
)
moments = st.datetimes(timezones=st.just(UTC))
events = st.builds(
    Happened,
    text=texts,
    flag=st.booleans(),
    count=st.integers(-LARGEST_INTEGER, LARGEST_INTEGER),
    amount=amounts,
    day=st.dates(),
    moment=moments,
    who=st.uuids(),
    colour=st.sampled_from(Colour),
    parts=st.lists(st.builds(Part, label=codes, weight=st.none() | amounts), max_size=3).map(tuple),
    money=st.none() | st.builds(Money, amount=amounts, currency=st.sampled_from(["AUD", "EUR"])),
)


def write(happened: object, **changes: Any) -> Document:
    given: dict[str, Any] = {
        "service": "synthetic",
        "aggregate": "thing",
        "stream": STREAM,
        "version": 1,
        "previous_hash": None,
        "time": datetime(2026, 1, 1, tzinfo=UTC),
        "recorded_at": datetime(2026, 1, 1, tzinfo=UTC),
        "actor": "service:synthetic",
        "command": STREAM,
        "correlation": "c",
        "causation": None,
        "origin": Origin.LIVE,
    }
    return encode(happened, **{**given, **changes})


SAMPLE = Happened(
    "text", True, 1, Decimal("1.50"), date(2026, 1, 1), datetime(2026, 1, 1, tzinfo=UTC), STREAM, Colour.RED, (), None
)


@given(events)
def test_a_document_has_the_bytes_of_rfc_8785(happened: Happened) -> None:
    body = write(happened).body
    assert rfc8785.dumps(json.loads(body)) == body


@given(events)
def test_what_was_written_is_read_back_exactly(happened: Happened) -> None:
    document = write(happened)
    recorded = CATALOGUE.decode(document.body)
    assert recorded.event == happened
    # Equal decimals may differ in their digits, and the ledger keeps digits.
    assert canonical(recorded.event) == canonical(happened)
    assert recorded.hash == document.hash == sha256(document.body).digest()


@given(events, moments)
def test_the_copies_beside_a_document_are_what_the_document_says(happened: Happened, moment: datetime) -> None:
    document = write(happened, version=2, previous_hash=b"\x01" * 32, time=moment, recorded_at=moment)
    envelope = read_envelope(document.body)
    assert (envelope.stream, envelope.version, envelope.type) == (document.stream, document.version, document.type)
    assert (envelope.time, envelope.recordedtime) == (document.time, document.recorded_at)
    assert envelope.prevhash == "01" * 32


def test_an_envelope_has_the_stream_that_was_expected_and_its_own_where_that_is_another() -> None:
    document = write(SAMPLE)
    expected = UUID(int=document.stream.int)
    assert read_envelope(document.body, stream=expected).stream is expected
    assert read_envelope(document.body, stream=UUID(int=7)).stream == document.stream


@given(texts, st.integers(0, 49))
def test_a_text_with_nul_is_refused_wherever_it_stands(text: str, place: int) -> None:
    with pytest.raises(ValueRefused, match=r"U\+0000"):
        replace(SAMPLE, text=text[:place] + "\x00" + text[place:])


@given(st.integers(min_value=LARGEST_INTEGER + 1) | st.integers(max_value=-LARGEST_INTEGER - 1))
def test_an_integer_that_javascript_would_round_is_refused(number: int) -> None:
    with pytest.raises(ValueRefused, match="whole number"):
        replace(SAMPLE, count=number)


@given(st.timezones().map(lambda zone: datetime(2026, 7, 1, 12, tzinfo=zone)))
def test_only_utc_is_taken(moment: datetime) -> None:
    if moment.utcoffset() == timedelta(0):
        assert replace(SAMPLE, moment=moment).moment == moment
    else:
        with pytest.raises(ValueRefused, match="UTC"):
            replace(SAMPLE, moment=moment)
        assert utc(moment) == moment
        assert utc(moment).tzinfo == UTC


@pytest.mark.parametrize(
    ("field", "bad"),
    [
        ("text", b"bytes"),
        ("text", "\ud800"),
        ("text", "x" * 8001),
        ("flag", 1),
        ("count", True),
        ("count", 1.0),
        ("count", "1"),
        ("amount", 1),
        ("amount", 1.5),
        ("amount", Decimal("NaN")),
        ("amount", Decimal("-Infinity")),
        ("amount", Decimal("1E+30")),
        ("amount", Decimal("1E-30")),
        ("amount", Decimal("9" * 41)),
        ("day", datetime(2026, 1, 1, tzinfo=UTC)),
        ("moment", date(2026, 1, 1)),
        ("moment", datetime(2026, 1, 1)),  # noqa: DTZ001
        ("moment", datetime(2026, 1, 1, tzinfo=timezone(timedelta(hours=2)))),
        ("who", str(STREAM)),
        ("colour", "red"),
        ("parts", []),
        ("parts", ("x",)),
        ("money", Decimal(1)),
        ("text", None),
    ],
)
def test_a_value_that_no_event_may_carry_is_refused_with_field_and_remedy(field: str, bad: object) -> None:
    changes: Any = {field: bad}
    with pytest.raises(ValueRefused) as refused:
        replace(SAMPLE, **changes)
    assert refused.value.field.split("/")[0] == field
    assert refused.value.remedy
    assert str(refused.value).startswith(field)


@pytest.mark.parametrize("currency", ["aud", "AU", "AUDX", "A1D", "AUD\n", ""])
def test_what_is_no_currency_code_is_refused(currency: str) -> None:
    with pytest.raises(ValueRefused, match="currency"):
        Money(Decimal(1), currency)


def tampered(**changes: Any) -> bytes:
    document = {**json.loads(write(SAMPLE).body), **changes}
    return rfc8785.dumps({name: given for name, given in document.items() if given is not ...})


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"id": f"{STREAM}@2"}, "id"),
        ({"version": 2, "id": f"{STREAM}@2"}, "prevhash"),
        ({"prevhash": "00" * 32}, "prevhash"),
        ({"version": 0, "id": f"{STREAM}@0"}, "prevhash"),
        ({"type": "synthetic.Other"}, "dataschema"),
        ({"dataschema": "urn:gatehouse:schema:synthetic.Happened:x"}, "dataschema"),
        ({"stream": ...}, "stream"),
        ({"origin": "guessed"}, "origin"),
        ({"time": "yesterday"}, "time"),
        ({"unheard": "of"}, "unheard"),
        ({"data": {}}, "text"),
        ({"data": {**json.loads(canonical(SAMPLE)), "amount": "NaN"}}, "amount"),
        ({"data": {**json.loads(canonical(SAMPLE)), "moment": "2026-01-01T00:00:00+02:00"}}, "moment"),
        ({"data": {**json.loads(canonical(SAMPLE)), "colour": "blue"}}, "colour"),
    ],
)
def test_a_document_that_contradicts_itself_is_refused_by_name(changes: dict[str, Any], complaint: str) -> None:
    with pytest.raises(DocumentRefused, match=complaint):
        CATALOGUE.decode(tampered(**changes))


@given(st.binary(max_size=200))
def test_bytes_that_are_no_document_are_refused_and_never_break_a_reader(noise: bytes) -> None:
    with pytest.raises(DocumentRefused):
        CATALOGUE.decode(noise)


@given(st.data())
def test_cutting_or_flipping_bytes_changes_the_hash_and_never_breaks_a_reader(data: st.DataObject) -> None:
    document = write(SAMPLE)
    place = data.draw(st.integers(0, len(document.body) - 1))
    byte = data.draw(st.integers(0, 255).filter(lambda drawn: drawn != document.body[place]))
    changed = document.body[:place] + bytes([byte]) + document.body[place + 1 :]
    try:
        recorded = CATALOGUE.decode(changed)
    except DocumentRefused:
        return
    assert recorded.hash != document.hash


def test_a_document_over_256_kib_is_refused_when_it_is_written() -> None:
    part = Part("x" * 100, None)
    with pytest.raises(DocumentRefused, match="262144"):
        write(replace(SAMPLE, parts=(part,) * 2500))


def test_a_type_that_is_not_in_the_catalogue_is_unknown() -> None:
    with pytest.raises(UnknownType, match=r"synthetic\.Happened"):
        Catalogue.of([]).decode(write(SAMPLE).body)


def first_release() -> type[Any]:
    @event("synthetic", version=1)
    class Moved:
        """It moved."""

        to: Text

    return Moved


def second_release() -> type[Any]:
    @event("synthetic", version=2)
    class Moved:
        """It moved."""

        place: Text

    return Moved


def third_release() -> type[Any]:
    @event("synthetic", version=3)
    class Moved:
        """It moved."""

        place: Text
        currency: Currency | None

    return Moved


FIRST_STEP = {("synthetic.Moved", 1): lambda data: {"place": data["to"]}}
BOTH_STEPS = {**FIRST_STEP, ("synthetic.Moved", 2): lambda data: {**data, "currency": None}}


@given(texts)
def test_an_old_document_is_read_through_every_step_to_the_newest_version(text: str) -> None:
    third = third_release()
    catalogue = Catalogue.of([third], BOTH_STEPS)
    assert catalogue.decode(write(first_release()(text)).body).event == third(text, None)
    assert catalogue.decode(write(second_release()(text)).body).event == third(text, None)


def test_reading_an_old_document_leaves_its_hash_and_its_version_as_they_were() -> None:
    document = write(first_release()("there"))
    recorded = Catalogue.of([third_release()], BOTH_STEPS).decode(document.body)
    assert recorded.hash == document.hash
    assert recorded.envelope.schema_version == 1


def test_a_newer_version_than_the_readers_waits_for_a_newer_reader() -> None:
    with pytest.raises(NewerThanReader, match="version 3 is newer"):
        Catalogue.of([second_release()], FIRST_STEP).decode(write(third_release()("there", None)).body)


@pytest.mark.parametrize("given", [{}, {("synthetic.Moved", 2): FIRST_STEP["synthetic.Moved", 1]}, BOTH_STEPS])
def test_upcasters_that_leave_a_gap_or_go_too_far_are_refused(given: Any) -> None:
    with pytest.raises(ValueError, match=r"synthetic\.Moved: upcasters for versions"):
        Catalogue.of([second_release()], given)


def test_a_name_that_is_declared_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="declared twice"):
        Catalogue.of([first_release(), first_release()])
