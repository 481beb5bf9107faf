"""JSON Schemas (2020-12) of every event's data and of the envelope, generated from the classes themselves."""

import types
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any, Final, NewType, Union, get_args, get_origin, get_type_hints
from uuid import UUID

from govevents.document import Origin
from govevents.event import event_type
from govevents.values import LARGEST_INTEGER, LONGEST_TEXT, Length, Pattern

Schema = dict[str, Any]

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"

UUID_PATTERN: Final = "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
DECIMAL_PATTERN: Final = r"-?(0|[1-9][0-9]*)(\.[0-9]+)?"
DATE_PATTERN: Final = "[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])"
MOMENT_PATTERN: Final = DATE_PATTERN + r"T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]{6})?Z"
# Spelled with the escape, because a schema is JSON and must not hold the character itself.
WITHOUT_NUL: Final = r"[^\u0000]*"
LONGEST_DECIMAL: Final = 40
TYPE_PATTERN: Final = "[a-z]+\\.[A-Z][A-Za-z]*"

PLAIN: Final[Mapping[object, Schema]] = {
    bool: {"type": "boolean"},
    int: {"type": "integer", "minimum": -LARGEST_INTEGER, "maximum": LARGEST_INTEGER},
    Decimal: {"type": "string", "pattern": f"^{DECIMAL_PATTERN}$", "maxLength": LONGEST_DECIMAL},
    date: {"type": "string", "format": "date", "pattern": f"^{DATE_PATTERN}$"},
    datetime: {"type": "string", "format": "date-time", "pattern": f"^{MOMENT_PATTERN}$"},
    UUID: {"type": "string", "format": "uuid", "pattern": f"^{UUID_PATTERN}$"},
}


def schema_of(event: type[object]) -> Schema:
    """The schema of an event's `data`.

    Every field is required, an unset one as null; nothing else is allowed. Raises TypeError for a type that events may
    not have.
    """
    declared = event_type(event)
    definitions: dict[str, Schema] = {}
    body = _object(event, definitions)
    return {
        "$schema": DIALECT,
        "$id": declared.dataschema,
        "title": declared.full_name,
        **body,
        **({"$defs": dict(sorted(definitions.items()))} if definitions else {}),
    }


def schema_of_envelope() -> Schema:
    """The schema of a whole document, whose `data` is described by the schema that `dataschema` names."""
    text = {"type": "string", "minLength": 1}
    properties: dict[str, Schema] = {
        "specversion": {"const": "1.0"},
        "id": {
            "type": "string",
            "pattern": f"^{UUID_PATTERN}@[1-9][0-9]*$",
            "description": "The event's identity: <stream>@<version>.",
        },
        "source": {"type": "string", "pattern": "^urn:gatehouse:[a-z]+$", "description": "Whose ledger it is in."},
        "type": {"type": "string", "pattern": f"^{TYPE_PATTERN}$"},
        "time": {**PLAIN[datetime], "description": "When the organisation knew the fact."},
        "subject": {
            "type": "string",
            "pattern": f"^[a-z_]+/{UUID_PATTERN}$",
            "description": "<aggregate>/<stream>.",
        },
        "dataschema": {"type": "string", "pattern": rf"^urn:gatehouse:schema:{TYPE_PATTERN}:[1-9][0-9]*$"},
        "stream": PLAIN[UUID],
        "version": {"type": "integer", "minimum": 1, "description": "The place in the stream, from 1 without gaps."},
        "prevhash": {
            "type": "string",
            "pattern": "^[0-9a-f]{64}$",
            "description": "SHA-256 of the stream's previous document; the first has none.",
        },
        "actor": {**text, "description": "A subject id, or service:<name>."},
        "command": {**PLAIN[UUID], "description": "The command, or the reaction or timer, that it answers."},
        "correlationid": text,
        "causationid": {**text, "description": "The event or command that it follows from."},
        "recordedtime": {**PLAIN[datetime], "description": "When it was written."},
        "origin": {"enum": [origin.value for origin in Origin]},
        "traceparent": {**text, "description": "W3C trace context of the request."},
        "data": {"type": "object"},
    }
    optional = {"prevhash", "causationid", "traceparent"}
    return {
        "$schema": DIALECT,
        "$id": "urn:gatehouse:schema:envelope:1",
        "title": "envelope",
        "description": "A CloudEvent 1.0 in structured mode, in the bytes of RFC 8785.",
        "type": "object",
        "properties": properties,
        "required": [name for name in properties if name not in optional],
        "additionalProperties": False,
        "if": {"properties": {"version": {"const": 1}}},
        "then": {"properties": {"prevhash": False}},
        "else": {"required": ["prevhash"]},
    }


def _object(cls: type[object], definitions: dict[str, Schema]) -> Schema:
    assert is_dataclass(cls)
    hints = get_type_hints(cls, include_extras=True)
    properties = {field.name: _field(hints[field.name], definitions) for field in fields(cls)}
    return {
        "description": " ".join((cls.__doc__ or "").split()),
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _define(name: str, made: Schema, definitions: dict[str, Schema]) -> Schema:
    if definitions.setdefault(name, made) != made:
        raise TypeError(f"{name}: two different types of this name meet in one event; rename one")
    return {"$ref": f"#/$defs/{name}"}


def _field(hint: Any, definitions: dict[str, Schema]) -> Schema:
    if isinstance(hint, NewType):
        return _define(hint.__name__, _field(hint.__supertype__, definitions), definitions)
    origin = get_origin(hint)
    if origin is Annotated:
        base, *notes = get_args(hint)
        return _text(notes) if base is str else _field(base, definitions)
    if origin in (Union, types.UnionType):
        present = [argument for argument in get_args(hint) if argument is not types.NoneType]
        if len(present) != 1:
            raise TypeError(f"{hint}: a field is of one type, or of one type or None")
        return {"anyOf": [_field(present[0], definitions), {"type": "null"}]}
    if origin is tuple:
        return {"type": "array", "items": _field(get_args(hint)[0], definitions)}
    if hint is str:
        return _text(())
    if hint in PLAIN:
        return dict(PLAIN[hint])
    if isinstance(hint, type) and issubclass(hint, Enum):
        values = {"description": (hint.__doc__ or "").strip(), "enum": [member.value for member in hint]}
        return _define(hint.__name__, values, definitions)
    if isinstance(hint, type) and is_dataclass(hint):
        return _define(hint.__name__, _object(hint, definitions), definitions)
    raise TypeError(f"{hint}: not a type that a field of an event may have")


def _text(notes: Any) -> Schema:
    length = next((note for note in notes if isinstance(note, Length)), Length(0, LONGEST_TEXT))
    pattern = next((note for note in notes if isinstance(note, Pattern)), None)
    expression = pattern.expression if pattern else WITHOUT_NUL
    described = {"description": pattern.meaning} if pattern else {}
    if "|" in expression:
        raise TypeError(f"{expression}: write the pattern of a text without |, which ^ and $ would not hold together")
    return {
        "type": "string",
        "minLength": length.minimum,
        "maxLength": length.maximum,
        "pattern": f"^{expression}$",
        **described,
    }
