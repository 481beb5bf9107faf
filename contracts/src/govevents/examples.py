"""Values that show a schema's whole width, and golden samples: whole documents, made once and kept for ever."""

from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum
from types import NoneType
from typing import Any, Final, NewType, get_args, get_origin, get_type_hints
from uuid import UUID, uuid5

from govevents.document import Document, Origin, encode
from govevents.event import event_type
from govevents.schemas import DATE_PATTERN, DECIMAL_PATTERN, MOMENT_PATTERN, UUID_PATTERN, WITHOUT_NUL, Schema
from govevents.values import Code, Currency, Name, Sha256, Text

NAMESPACE: Final = UUID("5f0c1a52-9d3e-5b9c-8a34-0c7f6a1f3f10")
"""Under which the ids in samples are made, so that they never collide with real ones."""

# Enough of each kind of text for the border cases of what a reader has to take.
OF_PATTERN: Final[Mapping[str, tuple[str, ...]]] = {
    UUID_PATTERN: ("00000000-0000-0000-0000-000000000000", "ffffffff-ffff-5fff-bfff-ffffffffffff"),
    DECIMAL_PATTERN: ("0", "-0.01", "12345678901234567890123456789012345678", "1.50"),
    DATE_PATTERN: ("2026-02-28", "0001-01-01", "9999-12-31"),
    MOMENT_PATTERN: ("2026-02-28T23:59:59Z", "1970-01-01T00:00:00.000001Z"),
    "[0-9a-f]{64}": ("0123456789abcdef" * 4,),
    "[A-Z]{3}": ("AUD",),
}


def examples_of(schema: Schema) -> Iterator[Any]:
    """Values that satisfy a schema of ours: its ends, each choice and each absence at least once.

    Raises ValueError for a pattern without an example here.
    """
    yield from _examples(schema, schema.get("$defs", {}))


def _examples(schema: Schema, definitions: Mapping[str, Schema]) -> list[Any]:
    if "$ref" in schema:
        return _examples(definitions[schema["$ref"].removeprefix("#/$defs/")], definitions)
    if "anyOf" in schema:
        return [example for choice in schema["anyOf"] for example in _examples(choice, definitions)]
    if "enum" in schema:
        return list(schema["enum"])
    match schema["type"]:
        case "null":
            return [None]
        case "boolean":
            return [True, False]
        case "integer":
            return [schema["minimum"], 0, schema["maximum"]]
        case "array":
            items = _examples(schema["items"], definitions)
            return [items, [], items[:1] * 2]
        case "string":
            return _texts(schema)
        case "object":
            return _objects(schema, definitions)
        case other:
            raise ValueError(f"{other!r}: not a type that our schemas have")


def _texts(schema: Schema) -> list[Any]:
    expression = schema["pattern"].removeprefix("^").removesuffix("$")
    if expression == WITHOUT_NUL:
        shortest, longest = schema["minLength"], schema["maxLength"]
        # The last one has a character of two UTF-16 units and one that RFC 8785 escapes.
        return ["x" * shortest, "é" * longest, ("\U0001f3db\n" * longest)[: max(shortest, min(longest, 8))]]
    if expression not in OF_PATTERN:
        raise ValueError(f"{expression!r}: give an example of this pattern beside the others")
    return list(OF_PATTERN[expression])


def _objects(schema: Schema, definitions: Mapping[str, Schema]) -> list[Any]:
    choices = {name: _examples(each, definitions) for name, each in schema["properties"].items()}
    first = {name: each[0] for name, each in choices.items()}
    others = [{**first, name: other} for name, each in choices.items() for other in each[1:]]
    return [first, *others]


def sample_event(event: type[object]) -> object:
    """An event with every field set, the same each time it is asked for."""
    return _sample(event, event.__name__)


def sample_document(event: type[object]) -> Document:
    """The golden sample of an event's newest version: the second document of a stream, with every attribute."""
    declared = event_type(event)
    identity = f"{declared.full_name}:{declared.version}"
    return encode(
        sample_event(event),
        # What operators do is recorded in the ledger of the service it was done to.
        service="approvals" if declared.service == "operations" else declared.service,
        aggregate="sample",
        stream=uuid5(NAMESPACE, f"{identity}/stream"),
        version=2,
        previous_hash=bytes(range(32)),
        time=datetime(2026, 3, 31, 9, 30, tzinfo=UTC),
        recorded_at=datetime(2026, 3, 31, 9, 30, 0, 125_000, tzinfo=UTC),
        actor=str(uuid5(NAMESPACE, "actor")),
        command=uuid5(NAMESPACE, f"{identity}/command"),
        correlation=str(uuid5(NAMESPACE, "correlation")),
        causation=f"{uuid5(NAMESPACE, 'cause')}@1",
        origin=Origin.LIVE,
        traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    )


def _sample(hint: Any, name: str) -> Any:
    if isinstance(hint, NewType):
        return _sample(hint.__supertype__, name)
    texts = {Sha256: "0123456789abcdef" * 4, Currency: "AUD", Code: f"{name}-1", Name: f"{name} – ein Name"}
    if hint in texts:
        return texts[hint]
    if hint in (Text, str):
        return f'The {name}, "quoted", with ü, \U0001f3db and a\nnew line'
    arguments = [argument for argument in get_args(hint) if argument is not NoneType]
    if get_origin(hint) is tuple:
        return (_sample(arguments[0], name),)
    if arguments:
        return _sample(arguments[0], name)
    plain: dict[object, Any] = {
        bool: True,
        int: 7,
        Decimal: Decimal("1234.50"),
        date: date(2026, 3, 31),
        datetime: datetime(2026, 3, 31, 9, 30, 0, 125_000, tzinfo=UTC),
        UUID: uuid5(NAMESPACE, name),
    }
    if hint in plain:
        return plain[hint]
    if issubclass(hint, Enum):
        return list(hint)[-1]
    assert isinstance(hint, type)
    assert is_dataclass(hint), f"{hint}: not a type that a field of an event may have"
    hints = get_type_hints(hint, include_extras=True)
    return hint(**{field.name: _sample(hints[field.name], field.name) for field in fields(hint)})
