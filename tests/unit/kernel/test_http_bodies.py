"""What a request body may hold, and how each fault of it is named."""

import json
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field

from govevents.approvals import Evidence
from govevents.values import Money
from govkernel.http.bodies import Body, check_content_type, read_closely, read_json, validate
from govkernel.http.problems import Refused, shortened


class Colour(Enum):
    RED = "red"
    GREEN = "green"


class Order(Body):
    name: str
    price: Decimal | None = None
    budget: Money | None = None
    colour: Colour = Colour.RED
    count: int = 0
    due: date | None = None
    at: datetime | None = None
    owner: UUID | None = None
    parts: tuple[Money, ...] = ()


def refused(body: bytes | str) -> Refused:
    with pytest.raises(Refused) as caught:
        validate(Order, body.encode() if isinstance(body, str) else body)
    return caught.value


def fault(body: bytes | str) -> tuple[int, str | None, str | None, str]:
    error = refused(body)
    assert len(error.errors) == 1, error.errors
    only = error.errors[0]
    return error.problem.status, only.pointer, only.value, only.remedy


def test_a_good_body_becomes_its_model_and_keeps_what_was_given() -> None:
    text = (
        '{"name": "Bridge", "price": "12.50", "budget": {"amount": "3", "currency": "AUD"}, "colour": "green",'
        ' "count": 3, "due": "2030-06-30", "at": "2030-06-30T09:00:00Z",'
        ' "owner": "6f1c1c5e-3f0b-4c0e-9a51-0d1d8e9b7a01", "parts": [{"amount": "-0.10", "currency": "EUR"}]}'
    )
    made, given_json = validate(Order, text.encode())
    assert made == Order(
        name="Bridge",
        price=Decimal("12.50"),
        budget=Money(Decimal(3), "AUD"),
        colour=Colour.GREEN,
        count=3,
        due=date(2030, 6, 30),
        at=datetime(2030, 6, 30, 9, tzinfo=UTC),
        owner=UUID("6f1c1c5e-3f0b-4c0e-9a51-0d1d8e9b7a01"),
        parts=(Money(Decimal("-0.10"), "EUR"),),
    )
    assert given_json == json.loads(text)


def test_markup_is_just_text() -> None:
    made, _ = validate(Order, b'{"name": "<script>alert(1)</script>"}')
    assert made.name == "<script>alert(1)</script>"


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ('{"name": "a", "name": "b"}', "/name"),
        ('{"name": "a", "budget": {"amount": "1", "currency": "AUD", "amount": "2"}}', "/budget/amount"),
        ('{"name": "a", "count": NaN}', "/count"),
        ('{"name": "a", "count": -Infinity}', "/count"),
        ('{"name": "a", "count": 1.5}', "/count"),
        ('{"name": "a", "count": 1e3}', "/count"),
        ('{"name": "a", "price": 12.5}', "/price"),
        ('{"name": "a", "count": 100000000000000000000}', "/count"),
        ('{"name": "a", "count": -9007199254740992}', "/count"),
        ('{"name": "a\\u0000b"}', "/name"),
        ('{"name": "\\ud800"}', "/name"),
        ('{"parts": [{"currency": "\\udfff"}]}', "/parts/0/currency"),
        ('{"na\\u0000me": "a"}', ""),
        ("[" * 2000 + "]" * 2000, ""),
        ('{"name": ' + "[" * 40 + "]" * 40 + "}", ""),
        ('{"name": "a"', ""),
        ('{"name": "a"} {}', ""),
        ('{"name": "a\x00b"}', ""),
        ("", ""),
        ("\ufeff{}", ""),
    ],
)
def test_what_is_not_exact_json_is_refused_at_its_place(body: str, pointer: str) -> None:
    error = refused(body)
    assert error.problem.slug == "malformed-json"
    assert error.problem.status == 400
    assert [each.pointer for each in error.errors] == [pointer]
    assert all(each.remedy for each in error.errors)


def test_an_escaped_backslash_before_u0000_is_harmless() -> None:
    made, _ = validate(Order, b'{"name": "\\\\u0000"}')
    assert made.name == "\\u0000"


def test_bytes_that_are_not_utf8_are_refused() -> None:
    assert refused(b'{"name": "\xff"}').problem.slug == "malformed-json"


@pytest.mark.parametrize(
    ("body", "pointer", "value"),
    [
        ("{}", "/name", None),
        ('{"name": 1}', "/name", "1"),
        ('{"name": "a", "nmae": "b"}', "/nmae", "b"),
        ('{"name": "a", "count": "3"}', "/count", "3"),
        ('{"name": "a", "count": true}', "/count", "True"),
        ('{"name": "a", "price": 12}', "/price", "12"),
        ('{"name": "a", "price": "NaN"}', "/price", "NaN"),
        ('{"name": "a", "price": "Infinity"}', "/price", "Infinity"),
        ('{"name": "a", "price": "1e5"}', "/price", "1e5"),
        ('{"name": "a", "price": "1_000"}', "/price", "1_000"),
        ('{"name": "a", "price": " 1"}', "/price", " 1"),
        ('{"name": "a", "price": "\\u0661"}', "/price", "\u0661"),
        ('{"name": "a", "budget": {"amount": 5, "currency": "AUD"}}', "/budget/amount", "5"),
        ('{"name": "a", "budget": {"amount": "5", "currency": "dollars"}}', "/budget/currency", "dollars"),
        (
            '{"name": "a", "parts": [{"amount": "1", "currency": "AUD"}, {"amount": 2, "currency": "AUD"}]}',
            "/parts/1/amount",
            "2",
        ),
        ('{"name": "a", "colour": "blue"}', "/colour", "blue"),
        ('{"name": "a", "due": "30.6.2030"}', "/due", "30.6.2030"),
        ('{"name": "a", "at": "2030-06-30T09:00:00"}', "/at", "2030-06-30T09:00:00"),
        ('{"name": "a", "at": "2030-06-30T09:00:00+02:00"}', "/at", "2030-06-30T09:00:00+02:00"),
        ('{"name": "a", "at": "1700000000"}', "/at", "1700000000"),
        ('{"name": "a", "owner": "me"}', "/owner", "me"),
    ],
)
def test_a_wrong_field_is_named_with_value_and_remedy(body: str, pointer: str, value: str | None) -> None:
    status, found_pointer, found_value, remedy = fault(body)
    assert (status, found_pointer, found_value) == (422, pointer, value)
    assert remedy


def test_every_fault_is_listed_at_once() -> None:
    error = refused('{"colour": "blue", "count": "x", "unknown": 1}')
    assert {each.pointer for each in error.errors} == {"/name", "/colour", "/count", "/unknown"}


def test_the_detail_names_the_field_the_value_and_the_remedy() -> None:
    detail = refused('{"name": "a", "colour": "blue"}').detail
    assert "/colour" in detail
    assert "blue" in detail
    assert "'red', 'green'" in detail


@pytest.mark.parametrize("value", [None, "", "text/plain", "application/xml", "application/json; charset=latin-1"])
def test_only_json_in_utf8_is_read(value: str | None) -> None:
    with pytest.raises(Refused) as caught:
        check_content_type(value)
    assert caught.value.problem.status == 415


@pytest.mark.parametrize(
    "value", ["application/json", "Application/JSON; charset=UTF-8", 'application/json;charset="utf-8"']
)
def test_json_may_say_that_it_is_utf8(value: str) -> None:
    check_content_type(value)


exact_json: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=8), inner, max_size=4
        )
    ),
    max_leaves=20,
)


@given(exact_json, st.booleans())
def test_exact_json_is_read_as_it_was_written(value: Any, ascii_only: bool) -> None:
    assert read_json(json.dumps(value, ensure_ascii=ascii_only).encode()) == value


def written(value: Any) -> str:
    """JSON of what may name a key twice: objects are lists of pairs."""
    match value:
        case ("object", pairs):
            return "{" + " ,".join(f"{json.dumps(key)} :{written(inner)}" for key, inner in pairs) + "}"
        case list():
            return "[" + ",".join(map(written, value)) + "]"
        case _:
            return json.dumps(value, ensure_ascii=False)


loose_json: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.sampled_from([True, -0.0, 1.5, 1e400, 2**53, -(2**53), 2**63, 2**64, 0, 7])
    | st.text(st.sampled_from('ab:",{}\\u0'), max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.tuples(st.just("object"), st.lists(st.tuples(st.sampled_from(["a", "b", ":", '"']), inner), max_size=3))
    ),
    max_leaves=12,
)


@given(loose_json)
def test_json_that_is_read_fast_is_read_as_by_a_close_look(value: Any) -> None:
    def outcome(read: Callable[[bytes], Any]) -> Any:
        try:
            return read(body)
        except Refused as error:
            return error.detail, error.errors

    body = written(value).encode()
    assert outcome(read_json) == outcome(read_closely)


@pytest.mark.parametrize("depth", [15, 16, 17, 31, 32, 33])
def test_a_body_is_nested_no_more_than_32_deep(depth: int) -> None:
    body = b"[" * depth + b"]" * depth
    if depth > 32:
        assert refused(body).errors[0].remedy == "send a flatter object"
    else:
        assert json.dumps(read_json(body)).encode() == body


@given(st.binary(max_size=200))
def test_no_bytes_do_more_than_be_refused(body: bytes) -> None:
    try:
        validate(Order, body)
    except Refused as error:
        assert error.errors


@pytest.mark.parametrize("code", [*range(0x202A, 0x202F), *range(0x2066, 0x206A)])
@pytest.mark.parametrize("escaped", [False, True])
def test_a_text_that_turns_the_direction_of_what_stands_beside_it_is_refused(code: int, escaped: bool) -> None:
    body = json.dumps({"name": f"Bridge {chr(code)}xaM"}, ensure_ascii=escaped)
    status, pointer, value, remedy = fault(body)
    assert (status, pointer, value) == (422, "/name", f"Bridge [U+{code:04X}]xaM")
    assert f"remove the character U+{code:04X}" in remedy


def test_letters_that_run_from_right_to_left_and_their_plain_marks_are_texts_like_any_other() -> None:
    name = "\u05d2\u05e9\u05e8 \u0627\u0644\u0646\u0647\u0631 12\u200f\u200e"
    made, _ = validate(Order, json.dumps({"name": name}).encode())
    assert made.name == name


class Several(Body):
    tags: tuple[str, ...] = ()
    kinds: frozenset[str] = frozenset()
    notes: dict[str, str] = Field(default_factory=dict)


@pytest.mark.parametrize(
    ("given_json", "pointer"),
    [
        ({"tags": ["a", "b\u202e"]}, "/tags/1"),
        ({"kinds": ["a", "b\u202e"]}, "/kinds/1"),
        ({"notes": {"x": "\u2066"}}, "/notes/x"),
    ],
)
def test_such_a_text_is_found_wherever_it_stands(given_json: dict[str, Any], pointer: str) -> None:
    with pytest.raises(Refused) as caught:
        validate(Several, json.dumps(given_json).encode())
    assert [each.pointer for each in caught.value.errors] == [pointer]


class Listed(Body):
    evidence: tuple[Evidence, ...] = ()


def listed(uri: str) -> bytes:
    return json.dumps({"evidence": [{"title": "Case", "uri": uri, "sha256": "a" * 64}]}).encode()


@pytest.mark.parametrize(
    "uri",
    [
        "javascript:alert(1)",
        "JavaScript:alert(1)",
        " \x01java\nscript:alert(1)",
        "data:text/html,<script>alert(1)</script>",
        "vbscript:msgbox",
        "ms-msdt:/id",
        "blob:https://example.org/1",
    ],
)
def test_an_address_that_could_run_code_is_not_that_of_a_document(uri: str) -> None:
    with pytest.raises(Refused) as caught:
        validate(Listed, listed(uri))
    (only,) = caught.value.errors
    assert (caught.value.problem.status, only.pointer, only.value) == (422, "/evidence/0/uri", shortened(uri))
    assert "https" in only.remedy


@pytest.mark.parametrize(
    "uri",
    [
        "https://documents.example/case",
        "HTTP://documents.example/case",
        "file://server/share/case.pdf",
        "\\\\server\\share\\case.pdf",
        "urn:isbn:9780000000002",
        "pw://server/vault/case",
        "Register 7/case 12: final",
        "",
    ],
)
def test_an_address_is_where_organisations_keep_documents(uri: str) -> None:
    made, _ = validate(Listed, listed(uri))
    assert made.evidence[0].uri == uri


class Linked(Body):
    uri: str


def test_an_address_at_the_top_of_a_body_is_looked_at_too() -> None:
    with pytest.raises(Refused) as caught:
        validate(Linked, b'{"uri": "javascript:alert(1)"}')
    assert [each.pointer for each in caught.value.errors] == ["/uri"]
