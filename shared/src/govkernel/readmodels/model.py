"""What a read model is: a row class, the events of one topic, and a pure fold from the one to the other."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from operator import attrgetter
from types import NoneType, UnionType
from typing import Annotated, Any, Final, Generic, NewType, TypeVar, Union, get_args, get_origin, get_type_hints
from uuid import UUID

import msgspec

from govevents.catalogue import topic_of
from govevents.document import Recorded, canonical
from govevents.event import event_type
from govevents.values import Check, check_for

Row = TypeVar("Row")
Values = tuple[Any, ...]
"""What a row holds, field by field in their order."""

KERNEL_COLUMNS: Final = (
    "stream",
    "key",
    "version",
    "since",
    "recorded",
    "provenance",
    "until",
    "until_recorded",
    "removed",
)
"""What the kernel keeps of every row beside its own fields."""

LONGEST_NAME: Final = 40


class ReadModelRefused(ValueError):
    """A read model is declared in a way that cannot be kept; the message names the field and the remedy."""


@dataclass(frozen=True, slots=True)
class Field:
    """A field of a row class: its column's type in PostgreSQL, and how values are checked, go there and come back."""

    name: str
    column: str
    nullable: bool
    check: Check
    to_database: Callable[[Any], Any]
    from_database: Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class ReadModel(Generic[Row]):
    """A read model: `evolve(rows of the event's stream by key, event)` gives the rows of that stream afterwards.

    The fold is pure and sees the rows of one stream only, so that every replay gives the same rows. `version` is the
    fold's: raise it whenever `row`, `events` or what `evolve` does changes. `indexes` are tuples of field names.
    `counted` is for what others remember of its rows: each batch that changes them is counted with it.
    Raises ReadModelRefused for a name, field or index that cannot be a table's.
    """

    name: str
    service: str
    version: int
    row: type[Row]
    events: tuple[type[Any], ...]
    evolve: Callable[[Mapping[str, Row], Recorded[Any]], Mapping[str, Row]]
    indexes: tuple[tuple[str, ...], ...] = ()
    counted: bool = False
    fields: tuple[Field, ...] = field(init=False, repr=False, compare=False)
    values: Callable[[Row], Values] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "fields", fields_of(self.row))
        object.__setattr__(self, "values", _values_of(self.fields))
        if not re.fullmatch("[a-z][a-z0-9_]*", self.name) or len(self.name) > LONGEST_NAME:
            raise ReadModelRefused(
                f"name: {self.name!r} is refused; give at most {LONGEST_NAME} of a-z, 0-9 and _, a letter first"
            )
        if self.version < 1:
            raise ReadModelRefused(f"{self.name}: version {self.version} is refused; count from 1")
        names = {each.name for each in self.fields}
        for index in self.indexes:
            for name in index:
                if name not in names and name not in KERNEL_COLUMNS:
                    raise ReadModelRefused(f"{self.name}: index on {name!r}, which is no field of {self.row.__name__}")

    @property
    def topic(self) -> str:
        """The topic whose events it is computed from."""
        return topic_of(self.service)

    @property
    def subscribes(self) -> frozenset[str]:
        """The full names of the events it is computed from."""
        return frozenset(event_type(event).full_name for event in self.events)


_FIELDS: dict[type[Any], tuple[Field, ...]] = {}


def fields_of(row: type[Any]) -> tuple[Field, ...]:
    """The fields of a row class, in order. Raises ReadModelRefused for a field that cannot be a column."""
    known = _FIELDS.get(row)
    if known is not None:
        return known
    if not is_dataclass(row) or not row.__dataclass_params__.frozen:  # type: ignore[attr-defined]
        raise ReadModelRefused(f"{row.__name__}: a row is a frozen dataclass")
    hints = get_type_hints(row, include_extras=True)
    made = []
    for each in fields(row):
        if each.name in KERNEL_COLUMNS:
            raise ReadModelRefused(
                f"{row.__name__}.{each.name}: the kernel keeps a column of this name; call the field otherwise"
            )
        made.append(_field(f"{row.__name__}.{each.name}", each.name, hints[each.name]))
    return _FIELDS.setdefault(row, tuple(made))


def _values_of(fields: tuple[Field, ...]) -> Callable[[Any], Values]:
    names = [each.name for each in fields]
    if len(names) < 2:
        # A getter of one attribute gives it bare.
        return lambda each: tuple(getattr(each, name) for name in names)
    return attrgetter(*names)


def to_database(model: ReadModel[Row]) -> Callable[[Row], Values]:
    """What gives the values of a model's rows as their columns take them."""
    values = model.values
    converted = [(place, each.to_database) for place, each in enumerate(model.fields) if each.to_database is not _same]
    if not converted:
        return values

    def in_columns(each: Row) -> Values:
        held = list(values(each))
        for place, convert in converted:
            held[place] = convert(held[place])
        return tuple(held)

    return in_columns


def from_database(model: ReadModel[Row]) -> Callable[[Sequence[Any]], Row]:
    """What makes a model's row of its columns' values, in the order of its fields."""
    converted = [
        (place, each.from_database) for place, each in enumerate(model.fields) if each.from_database is not _same
    ]

    def row(values: Sequence[Any]) -> Row:
        held = list(values)
        for place, convert in converted:
            held[place] = convert(held[place])
        return model.row(*held)

    return row


def _same(value: Any) -> Any:
    return value


_PLAIN: Final[dict[object, str]] = {
    str: "text",
    UUID: "uuid",
    int: "bigint",
    bool: "boolean",
    Decimal: "numeric",
    date: "date",
    datetime: "timestamptz",
}


def _field(place: str, name: str, hint: Any) -> Field:
    try:
        check = check_for(hint)
    except TypeError:
        raise ReadModelRefused(
            f"{place}: {hint} is refused; give str, UUID, int, bool, Decimal, date, datetime, an Enum of texts, "
            "a value, a tuple[X, ...], or one of these or None"
        ) from None
    nullable = False
    while True:
        origin = get_origin(hint)
        if isinstance(hint, NewType):
            hint = hint.__supertype__
        elif origin is Annotated:
            hint = get_args(hint)[0]
        elif origin in (Union, UnionType):
            nullable = True
            hint = next(argument for argument in get_args(hint) if argument is not NoneType)
        else:
            break
    if hint in _PLAIN:
        return Field(name, _PLAIN[hint], nullable, check, _same, _same)
    if isinstance(hint, type) and issubclass(hint, Enum):
        if not all(type(member.value) is str for member in hint):
            raise ReadModelRefused(f"{place}: {hint.__name__} is refused; give an Enum of texts")
        return Field(name, "text", nullable, check, _optional(lambda value: value.value), _optional(hint))
    decoder = msgspec.json.Decoder(hint)

    def from_json(value: Any) -> Any:
        # asyncpg gives JSON as text; SQLAlchemy has decoded it to lists and mappings, for no such column holds a text.
        return decoder.decode(value) if isinstance(value, str) else msgspec.convert(value, hint)

    return Field(
        name, "jsonb", nullable, check, _optional(lambda value: canonical(value).decode()), _optional(from_json)
    )


def _optional(convert: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda value: None if value is None else convert(value)
