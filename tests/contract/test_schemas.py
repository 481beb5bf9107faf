"""What a released schema takes and refuses is what the event's class takes and refuses."""

import copy
import json
from datetime import datetime
from decimal import Decimal
from enum import Enum
from typing import Any

import jsonschema
import pytest

from govevents.document import read_envelope
from govevents.event import event
from govevents.examples import examples_of, sample_document
from govevents.published import Published
from govevents.registry import CATALOGUE
from govevents.schemas import schema_of, schema_of_envelope
from govevents.values import Code, Currency, Money, Sha256, SubjectId, Text, value

EVENTS = sorted(CATALOGUE.events.items())


class Colour(Enum):
    """A choice."""

    RED = "red"


@value
class Part:
    """A part."""

    label: Code


@event("synthetic", version=1)
class EverythingHappened:
    """Every type that a field may have."""

    text: Text
    code: Code
    digest: Sha256
    currency: Currency
    flag: bool
    count: int
    amount: Decimal
    moment: datetime
    who: SubjectId
    colour: Colour
    money: Money | None
    parts: tuple[Part, ...]


GOOD: dict[str, Any] = {
    "text": "",
    "code": "G1",
    "digest": "a" * 64,
    "currency": "AUD",
    "flag": True,
    "count": 1,
    "amount": "1.50",
    "moment": "2026-01-01T00:00:00Z",
    "who": "00000000-0000-0000-0000-000000000001",
    "colour": "red",
    "money": None,
    "parts": [{"label": "x"}],
}


def is_valid(data: Any, schema: dict[str, Any]) -> bool:
    return bool(jsonschema.Draft202012Validator(schema).is_valid(data))


def test_a_good_event_is_valid() -> None:
    assert is_valid(GOOD, schema_of(EverythingHappened))


@pytest.mark.parametrize(
    ("field", "bad"),
    [
        ("text", "a\x00b"),
        ("text", "x" * 8001),
        ("text", None),
        ("code", ""),
        ("digest", "A" * 64),
        ("digest", "a" * 63),
        ("currency", "aud"),
        ("currency", "AUDX"),
        ("flag", 1),
        ("count", 2**53),
        ("count", -(2**53)),
        ("count", 1.5),
        ("count", True),
        ("amount", 1.5),
        ("amount", "NaN"),
        ("amount", "1E5"),
        ("amount", "01"),
        ("amount", "1."),
        ("amount", ".5"),
        ("amount", "1" * 41),
        ("moment", "2026-01-01T00:00:00+02:00"),
        ("moment", "2026-01-01T00:00:00"),
        ("moment", "2026-13-01T00:00:00Z"),
        ("who", "0000000000000000000000000000000A"),
        ("who", "AAAAAAAA-0000-0000-0000-000000000001"),
        ("colour", "blue"),
        ("money", {"amount": "1"}),
        ("money", {"amount": "1", "currency": "AUD", "rate": "1"}),
        ("parts", {}),
        ("parts", [None]),
    ],
)
def test_a_bad_value_is_refused(field: str, bad: object) -> None:
    assert not is_valid({**GOOD, field: bad}, schema_of(EverythingHappened))


@pytest.mark.parametrize("field", list(GOOD))
def test_every_field_is_required_also_one_that_may_be_null(field: str) -> None:
    without = {name: given for name, given in GOOD.items() if name != field}
    assert not is_valid(without, schema_of(EverythingHappened))


def test_an_unknown_field_is_refused() -> None:
    assert not is_valid({**GOOD, "colours": "red"}, schema_of(EverythingHappened))


def test_a_float_gets_no_schema() -> None:
    with pytest.raises(TypeError, match="float"):
        schema_of(event("synthetic", version=1)(type("Floated", (), {"__doc__": "x", "__annotations__": {"x": float}})))


@pytest.mark.parametrize(("name", "cls"), EVENTS)
def test_every_schema_is_a_schema_and_every_example_satisfies_it(name: str, cls: type[object]) -> None:
    schema = schema_of(cls)
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    examples = list(examples_of(schema))
    assert len(examples) > 1
    for example in examples:
        validator.validate(example)


@pytest.mark.parametrize(("name", "cls"), EVENTS)
def test_every_object_in_a_schema_is_closed_and_names_all_its_fields_as_required(name: str, cls: type[object]) -> None:
    schema = schema_of(cls)
    for each in [schema, *(each for each in schema.get("$defs", {}).values() if each.get("type") == "object")]:
        assert each["additionalProperties"] is False
        assert each["required"] == list(each["properties"])
        assert each["description"]


def document() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(sample_document(EverythingHappened).body)
    return found


def test_a_document_satisfies_the_envelopes_schema() -> None:
    jsonschema.Draft202012Validator(schema_of_envelope()).validate(document())


@pytest.mark.parametrize(
    "change",
    [
        {"specversion": "0.3"},
        {"id": "x@1"},
        {"id": "00000000-0000-0000-0000-000000000001@0"},
        {"time": "2026-01-01"},
        {"version": 0},
        {"prevhash": "xyz"},
        {"origin": "guessed"},
        {"data": []},
        {"partitionkey": "1"},
    ],
)
def test_a_document_that_is_none_is_refused_by_the_schema(change: dict[str, Any]) -> None:
    assert not is_valid({**document(), **change}, schema_of_envelope())


def test_only_the_first_document_of_a_stream_has_no_prevhash() -> None:
    first = copy.deepcopy(document())
    first["version"] = 1
    assert not is_valid(first, schema_of_envelope())
    del first["prevhash"]
    assert is_valid(first, schema_of_envelope())
    first["version"] = 2
    assert not is_valid(first, schema_of_envelope())


def test_the_envelopes_schema_names_every_attribute_that_the_reader_knows() -> None:
    envelope = read_envelope(sample_document(EverythingHappened).body)
    assert set(schema_of_envelope()["properties"]) == set(envelope.__struct_fields__)


def test_what_is_published_is_what_the_code_says() -> None:
    assert Published().check() == []
