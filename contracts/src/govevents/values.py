"""The few, exact types that a field of an event may have, and the check that holds them to it.

Text (bounded, without U+0000), bool, int within +-(2^53-1), date, UTC datetime, UUID, finite Decimal, enum, tuple,
another value, or one of these or None. There is no float: a ledger that rounds is no ledger.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from types import NoneType, UnionType
from typing import (
    Annotated,
    Any,
    NewType,
    TypeVar,
    Union,
    dataclass_transform,
    get_args,
    get_origin,
    get_type_hints,
)
from uuid import UUID

T = TypeVar("T")

LARGEST_INTEGER = 2**53 - 1
LONGEST_TEXT = 8000


@dataclass(frozen=True, slots=True)
class Length:
    """How many characters a text may have, both bounds included."""

    minimum: int
    maximum: int


@dataclass(frozen=True, slots=True)
class Pattern:
    """A regular expression that the whole text matches; `meaning` says it in words for error messages."""

    expression: str
    meaning: str


Text = Annotated[str, Length(0, LONGEST_TEXT)]
Name = Annotated[str, Length(1, 200)]
Code = Annotated[str, Length(1, 100)]
"""A short identifier that people read and type: a gate, a phase, a reference."""
Sha256 = Annotated[str, Length(64, 64), Pattern("[0-9a-f]{64}", "64 lower-case hexadecimal digits")]
Currency = Annotated[str, Length(3, 3), Pattern("[A-Z]{3}", "an ISO 4217 code such as AUD")]

NodeId = NewType("NodeId", UUID)
"""A portfolio, programme or project, where either may stand."""
PortfolioId = NewType("PortfolioId", UUID)
ProgrammeId = NewType("ProgrammeId", UUID)
ProjectId = NewType("ProjectId", UUID)
BodyId = NewType("BodyId", UUID)
ReviewId = NewType("ReviewId", UUID)
RiskId = NewType("RiskId", UUID)
IssueId = NewType("IssueId", UUID)
ReportId = NewType("ReportId", UUID)
SubjectId = NewType("SubjectId", UUID)
"""An account that acts: opaque, derived from the token's issuer and subject."""
PersonId = NewType("PersonId", UUID)
"""A natural person, who may have several accounts and still is one voice."""


class ValueRefused(ValueError):
    """A field holds what an event may not carry.

    `field` is its name, `value` what was given, `remedy` what would be taken.
    """

    def __init__(self, field: str, value: object, remedy: str) -> None:
        shown = repr(value)
        super().__init__(f"{field}: {shown[:80]} is refused; {remedy}")
        self.field = field
        self.value = value
        self.remedy = remedy


Check = Callable[[str, object], None]


def _check_text(length: Length, pattern: Pattern | None) -> Check:
    import re

    compiled = re.compile(pattern.expression) if pattern else None

    def check(field: str, value: object) -> None:
        if type(value) is not str:
            raise ValueRefused(field, value, "give a text")
        if not length.minimum <= len(value) <= length.maximum:
            raise ValueRefused(
                field,
                value,
                f"give a text of {length.minimum} to {length.maximum} characters, not {len(value)}",
            )
        if "\x00" in value:
            raise ValueRefused(field, value, "remove the character U+0000")
        if not value.isascii():
            try:
                value.encode()
            except UnicodeEncodeError:
                raise ValueRefused(field, ascii(value), "remove the half of a surrogate pair") from None
        if compiled is not None and pattern is not None and not compiled.fullmatch(value):
            raise ValueRefused(field, value, f"give {pattern.meaning}")

    return check


def _check_bool(field: str, value: object) -> None:
    if type(value) is not bool:
        raise ValueRefused(field, value, "give true or false")


def _check_int(field: str, value: object) -> None:
    if type(value) is not int or abs(value) > LARGEST_INTEGER:
        raise ValueRefused(field, value, f"give a whole number within +-{LARGEST_INTEGER}")


def _check_decimal(field: str, value: object) -> None:
    if not isinstance(value, Decimal) or not value.is_finite() or "E" in str(value) or len(str(value)) > 40:
        raise ValueRefused(field, value, "give a finite decimal of at most 38 digits, written without an exponent")


def _check_date(field: str, value: object) -> None:
    if type(value) is not date:
        raise ValueRefused(field, value, "give a date")


def _check_datetime(field: str, value: object) -> None:
    if not isinstance(value, datetime) or value.utcoffset() != timedelta(0):
        raise ValueRefused(field, value, "give a moment with time zone, in UTC")


def _check_instance(expected: type) -> Check:
    def check(field: str, value: object) -> None:
        if not isinstance(value, expected):
            raise ValueRefused(field, value, f"give a value of {expected.__name__}")

    return check


def check_for(hint: Any) -> Check:
    """The check of one field's type; a TypeError names a type that events may not have."""
    if isinstance(hint, NewType):
        return check_for(hint.__supertype__)
    origin = get_origin(hint)
    if origin is Annotated:
        base, *notes = get_args(hint)
        if base is str:
            length = next((note for note in notes if isinstance(note, Length)), Length(0, LONGEST_TEXT))
            return _check_text(length, next((note for note in notes if isinstance(note, Pattern)), None))
        return check_for(base)
    if origin in (Union, UnionType):
        inner = [argument for argument in get_args(hint) if argument is not NoneType]
        if len(inner) != 1 or len(get_args(hint)) != 2:
            raise TypeError(f"{hint}: a field is of one type, or of one type or None")
        present = check_for(inner[0])
        return lambda field, value: None if value is None else present(field, value)
    if origin is tuple:
        element_hint, *rest = get_args(hint)
        if rest != [Ellipsis]:
            raise TypeError(f"{hint}: a tuple in an event is tuple[X, ...]")
        element = check_for(element_hint)

        def check_tuple(field: str, value: object) -> None:
            if type(value) is not tuple:
                raise ValueRefused(field, value, "give a tuple")
            for index, item in enumerate(value):
                element(f"{field}/{index}", item)

        return check_tuple
    plain: dict[object, Check] = {
        str: _check_text(Length(0, LONGEST_TEXT), None),
        bool: _check_bool,
        int: _check_int,
        Decimal: _check_decimal,
        date: _check_date,
        datetime: _check_datetime,
        UUID: _check_instance(UUID),
    }
    if hint in plain:
        return plain[hint]
    if isinstance(hint, type) and (issubclass(hint, Enum) or is_dataclass(hint)):
        return _check_instance(hint)
    raise TypeError(f"{hint}: not a type that a field of an event may have")


def checked(cls: type[T]) -> type[T]:
    """Make a class a frozen, slotted dataclass whose constructor refuses what its fields' types forbid."""
    own_check: Callable[[Any], None] | None = cls.__dict__.get("__post_init__")
    checks: list[tuple[str, Check]] = []

    def __post_init__(self: Any) -> None:
        if not checks:
            # Compiled at first use: at decoration the class does not yet exist for hints that name it.
            hints = get_type_hints(type(self), include_extras=True)
            checks.extend((field.name, check_for(hints[field.name])) for field in fields(self))
        for name, check in checks:
            check(name, getattr(self, name))
        if own_check is not None:
            own_check(self)

    cls.__post_init__ = __post_init__  # type: ignore[attr-defined]
    cls.__pydantic_config__ = {"extra": "forbid"}  # type: ignore[attr-defined]
    return dataclass(frozen=True, slots=True)(cls)


@dataclass_transform(frozen_default=True)
def value(cls: type[T]) -> type[T]:
    """Declare a value: a part of events that has no life of its own."""
    return checked(cls)


@value
class Money:
    """An amount with its currency. Amounts of different currencies never meet in one sum."""

    amount: Decimal
    currency: Currency


@value
class Source:
    """Where an imported fact was read: the file's name and SHA-256, and the row (the heading is row 1)."""

    file: Name
    sha256: Sha256
    row: int


def utc(moment: datetime) -> datetime:
    """The same moment in UTC.

    Raises ValueRefused for a moment without time zone: guessing one would move facts by hours.
    """
    if moment.tzinfo is None:
        raise ValueRefused("moment", moment, "give a moment with time zone")
    return moment.astimezone(UTC)
