"""Arrays in PostgreSQL's binary format.

asyncpg looks at the class of each element, through Python, before it encodes it: that took longer than all the rest of
what it does for a batch. Here an array has one dimension and elements of one type, as the kernel's statements want.

The format is that of `array_send` and of each element's own `_send`, in PostgreSQL's sources.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from struct import Struct, unpack_from
from typing import Any, Final
from uuid import UUID

import asyncpg

_NULL: Final = b"\xff\xff\xff\xff"
_EPOCH: Final = datetime(2000, 1, 1, tzinfo=UTC)
_EPOCH_DAY: Final = _EPOCH.toordinal()

_header: Final = Struct(">iiIii")
_empty: Final = Struct(">iiI")
_length: Final = Struct(">i")
_int2: Final = Struct(">h")
_int4: Final = Struct(">i")
_int8: Final = Struct(">q")
_framed_int2: Final = Struct(">ih").pack
_framed_int4: Final = Struct(">ii").pack
_framed_int8: Final = Struct(">iq").pack
_framed_bool: Final = Struct(">i?").pack
_frame: Final = _length.pack


def _uuid(value: UUID) -> bytes:
    return b"\x00\x00\x00\x10" + value.bytes


def _bytea(value: bytes) -> bytes:
    return _frame(len(value)) + value


def _text(value: str) -> bytes:
    return _bytea(value.encode())


def _jsonb(value: str) -> bytes:
    return _bytea(b"\x01" + value.encode())


def _microseconds(value: datetime) -> int:
    since = value - _EPOCH
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


# The ends of Python's calendar stand for PostgreSQL's infinities, as they do with asyncpg outside arrays.
_INFINITE_DAYS: Final = {date.max: 2**31 - 1, date.min: -(2**31)}
_ENDS_IN_DAYS: Final = {days: day for day, days in _INFINITE_DAYS.items()}
_ENDS: Final = {2**63 - 1: datetime.max.replace(tzinfo=UTC), -(2**63): datetime.min.replace(tzinfo=UTC)}
_INFINITE: Final = {_microseconds(end): infinity for infinity, end in _ENDS.items()}


def _timestamptz(value: datetime) -> bytes:
    microseconds = _microseconds(value)
    return _framed_int8(8, _INFINITE.get(microseconds, microseconds))


def _read_timestamptz(data: bytes) -> datetime:
    (microseconds,) = _int8.unpack(data)
    return _ENDS.get(microseconds) or _EPOCH + timedelta(microseconds=microseconds)


def _date(value: date) -> bytes:
    return _framed_int4(4, _INFINITE_DAYS.get(value) or value.toordinal() - _EPOCH_DAY)


def _read_date(data: bytes) -> date:
    (days,) = _int4.unpack(data)
    return _ENDS_IN_DAYS.get(days) or date.fromordinal(days + _EPOCH_DAY)


def _number(of: Struct) -> Callable[[bytes], int]:
    return lambda data: int(of.unpack(data)[0])


_read_int4: Final = _number(_int4)


@dataclass(frozen=True, slots=True)
class Elements:
    """A type of elements, and PostgreSQL's name and number for arrays of it.

    `framed` makes of a value its length and bytes; `read` makes a value of its bytes.
    """

    oid: int
    array_name: str
    array_oid: int
    framed: Callable[[Any], bytes]
    read: Callable[[bytes], Any]


ELEMENTS: Final = (
    Elements(16, "_bool", 1000, lambda value: _framed_bool(1, value), lambda data: data != b"\x00"),
    Elements(17, "_bytea", 1001, _bytea, bytes),
    Elements(20, "_int8", 1016, lambda value: _framed_int8(8, value), _number(_int8)),
    Elements(21, "_int2", 1005, lambda value: _framed_int2(2, value), _number(_int2)),
    Elements(23, "_int4", 1007, lambda value: _framed_int4(4, value), _read_int4),
    Elements(25, "_text", 1009, _text, bytes.decode),
    Elements(1082, "_date", 1182, _date, _read_date),
    Elements(1184, "_timestamptz", 1185, _timestamptz, _read_timestamptz),
    Elements(2950, "_uuid", 2951, _uuid, asyncpg.pgproto.pgproto.UUID),
    Elements(3802, "_jsonb", 3807, _jsonb, lambda data: data[1:].decode()),
)
"""What the kernel's statements take arrays of. Decimals are left to asyncpg: they are few, and have many forms."""


def encoder(elements: Elements) -> Callable[[Collection[Any]], bytes]:
    """What makes of values, None among them, an array. It raises TypeError for a text or bytes: those are no list."""
    framed, oid = elements.framed, elements.oid
    nothing = _empty.pack(0, 0, oid)
    header = _header.pack

    def encode(values: Collection[Any]) -> bytes:
        if isinstance(values, str | bytes):
            raise TypeError(f"{values!r} is no array; give a list of one element")
        if not values:
            return nothing
        each = [_NULL if value is None else framed(value) for value in values]
        return header(1, 0, oid, len(each), 1) + b"".join(each)

    return encode


def decoder(elements: Elements) -> Callable[[bytes], list[Any]]:
    """What makes of an array its values. Raises ValueError for one of several dimensions."""
    read = elements.read

    def decode(data: bytes) -> list[Any]:
        count = _count(data)
        values: list[Any] = []
        at = _header.size
        for _ in range(count):
            (length,) = _length.unpack_from(data, at)
            at += _length.size
            values.append(None if length < 0 else read(data[at : at + length]))
            at += max(length, 0)
        return values

    def decode_integers(data: bytes) -> list[Any]:
        count = _count(data)
        if len(data) != _header.size + 8 * count:
            return decode(data)
        return list(unpack_from(f">{2 * count}i", data, _header.size)[1::2])

    # A read model has an array of integers in each row, so those are taken all at once.
    return decode_integers if read is _read_int4 else decode


def _count(data: bytes) -> int:
    dimensions, _, oid = _empty.unpack_from(data)
    if dimensions > 1:
        raise ValueError(f"an array of type {oid} has {dimensions} dimensions; nobody reads more than one")
    return int(_header.unpack_from(data)[3]) if dimensions else 0


CODECS: Final = tuple((each, encoder(each), decoder(each)) for each in ELEMENTS)
"""Each type of elements, with what encodes and decodes arrays of it."""
