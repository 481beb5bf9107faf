"""Request bodies: JSON read strictly, once, and each fault of it named with its place and remedy."""

import json
import re
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final, TypeVar

import msgspec
from pydantic import BaseModel, ConfigDict, ValidationError
from starlette.types import Receive

from govevents.values import LARGEST_INTEGER, LONGEST_TEXT, ValueRefused
from govkernel.http.problems import JSON_INVALID, MEDIA, TOO_LARGE, InputError, Refused, invalid, shortened

LARGEST_BODY_BYTES: Final = 262_144
DEEPEST: Final = 32
LONGEST_LIST: Final = 10_000
DECIMAL: Final = re.compile(r"-?[0-9]{1,38}(\.[0-9]{1,37})?", re.ASCII)
MOMENT: Final = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d(:\d\d(\.\d{1,6})?)?([Zz]|[+-]\d\d:\d\d)", re.ASCII)

TURNING: Final = re.compile("[\u202a-\u202e\u2066-\u2069]")
"""Embeddings, overrides and isolates of Unicode's bidirectional algorithm (UAX #9): they reorder what is shown."""

SCHEMES: Final = ("http", "https", "file", "smb", "ftp", "sftp", "urn", "doi", "pw", "trim", "notes")
"""What the address of a document may begin with: the web, shared drives (file, smb, ftp, sftp), registered names (urn,
doi), and the registers of ProjectWise (pw), Content Manager (trim) and Notes. None of them runs what it names."""
SCHEME: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):")


class Body(BaseModel):
    """A request's body: unknown fields are refused, types are exact, decimals are texts."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


AnyBody = TypeVar("AnyBody", bound=Body)


class NoBody(Body):
    """An empty body, `{}` or none at all: the address says everything."""


async def read_bytes(receive: Receive, declared: str | None) -> bytes:
    """The body's bytes; `declared` is its Content-Length.

    Raises Refused where they are more than 256 KiB, before reading further.
    """
    if declared is not None and declared.isdecimal() and int(declared) > LARGEST_BODY_BYTES:
        raise _too_large()
    body = b""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Refused(JSON_INVALID, "the body broke off; send the same request again")
        chunk: bytes = message.get("body", b"")
        if len(body) + len(chunk) > LARGEST_BODY_BYTES:
            raise _too_large()
        body = body + chunk if body else chunk
        if not message.get("more_body", False):
            return body


def _too_large() -> Refused:
    return Refused(TOO_LARGE, f"the body has more than {LARGEST_BODY_BYTES} bytes; send less in one request")


def check_content_type(value: str | None) -> None:
    """Raises Refused for anything but JSON in UTF-8."""
    if value == "application/json":
        return
    media, _, parameters = (value or "").partition(";")
    charset = parameters.strip().lower().removeprefix("charset=").strip('"')
    if media.strip().lower() != "application/json" or charset not in ("", "utf-8"):
        raise Refused(MEDIA, f"Content-Type {shortened(value or '')!r} is refused; send application/json in UTF-8")


class _Fault(str):
    """Stands in the decoded JSON where a token was that no body may hold; the text is the token."""

    __slots__ = ("detail", "remedy")
    detail: str
    remedy: str


class _Repeated(dict[str, Any]):
    """An object that names a key twice."""

    key: str


class _Reader:
    """Decodes one text, and knows whether it met something to be found again by its place."""

    def __init__(self) -> None:
        self.suspicious = False

    def _fault(self, token: str, detail: str, remedy: str) -> _Fault:
        self.suspicious = True
        fault = _Fault(token)
        fault.detail = detail
        fault.remedy = remedy
        return fault

    def _float(self, token: str) -> Any:
        return self._fault(token, "a JSON number with a fraction or exponent loses digits", "write it as a text")

    def _constant(self, token: str) -> Any:
        return self._fault(token, "this is not a JSON number", "leave it out or give null")

    def _int(self, token: str) -> Any:
        if len(token) > 17 or abs(int(token)) > LARGEST_INTEGER:
            return self._fault(token, "the number is too large", f"give a whole number within +-{LARGEST_INTEGER}")
        return int(token)

    def _pairs(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        plain = dict(pairs)
        if len(plain) == len(pairs):
            return plain
        self.suspicious = True
        seen: set[str] = set()
        repeated = _Repeated(plain)
        for key, _ in pairs:
            if key in seen:
                repeated.key = key
            seen.add(key)
        return repeated

    def read(self, text: str) -> Any:
        return json.loads(
            text,
            object_pairs_hook=self._pairs,
            parse_float=self._float,
            parse_int=self._int,
            parse_constant=self._constant,
        )


def read_json(body: bytes) -> Any:
    """The body as plain objects, lists, texts, whole numbers, booleans and None.

    Raises Refused for what is not JSON in UTF-8, for a key that comes twice, for numbers that would lose digits, for
    U+0000 and halves of surrogate pairs, and for JSON nested more than 32 deep.
    """
    if b"\\" not in body:
        try:
            decoded = _decoder.decode(body)
            # Nothing is escaped, so each quote in the body is one end of a text: a key that came twice would lack two.
            if 2 * _count_texts(decoded, 1) == body.count(b'"'):
                return decoded
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, _LookCloser):
            pass
    return read_closely(body)


_decoder = msgspec.json.Decoder()


class _LookCloser(Exception):
    """There may be something in a body that no body may hold."""


def _count_texts(value: Any, depth: int) -> int:
    """How many texts there are, keys included. Raises _LookCloser for what may be nested too deep or lose digits."""
    kind = type(value)
    if kind is str:
        return 1
    if kind is dict or kind is list:
        if depth > DEEPEST // 2:
            raise _LookCloser
        count = 0
        if kind is dict:
            count = len(value)
            value = value.values()
        for inner in value:
            count += _count_texts(inner, depth + 1)
        return count
    if kind is float or (kind is int and not -LARGEST_INTEGER <= value <= LARGEST_INTEGER):
        raise _LookCloser
    return 0


def read_closely(body: bytes) -> Any:
    """As `read_json`, finding the place of each fault."""
    reader = _Reader()
    try:
        text = body.decode()
        decoded = reader.read(text)
    except UnicodeDecodeError as error:
        raise invalid(
            [InputError(pointer="", detail=f"byte {error.start} is not UTF-8", remedy="encode the body as UTF-8")],
            JSON_INVALID,
        ) from None
    except json.JSONDecodeError as error:
        fault = InputError(
            pointer="",
            detail=f"not JSON at line {error.lineno}, column {error.colno}: {error.msg}",
            remedy="send one JSON object",
        )
        raise invalid([fault], JSON_INVALID) from None
    except RecursionError:
        raise _too_deep() from None
    if body.count(b"{") + body.count(b"[") > DEEPEST and _depth(decoded) > DEEPEST:
        raise _too_deep()
    if reader.suspicious or b"\\u" in body:
        faults = list(_faults(decoded, ""))
        if faults:
            raise invalid(faults, JSON_INVALID)
    return decoded


def _too_deep() -> Refused:
    return invalid(
        [InputError(pointer="", detail=f"nested more than {DEEPEST} deep", remedy="send a flatter object")],
        JSON_INVALID,
    )


def _depth(decoded: Any) -> int:
    deepest = 0
    level = [decoded]
    while level:
        deepest += 1
        if deepest > DEEPEST:
            return deepest
        level = [
            inner
            for value in level
            if isinstance(value, dict | list)
            for inner in (value.values() if isinstance(value, dict) else value)
        ]
    return deepest - 1


def _token(name: object) -> str:
    return str(name).replace("~", "~0").replace("/", "~1")


def _faults(value: Any, pointer: str) -> Iterator[InputError]:
    if isinstance(value, _Fault):
        yield InputError(pointer=pointer, detail=value.detail, value=shortened(str(value)), remedy=value.remedy)
    elif isinstance(value, str):
        if "\x00" in value:
            yield InputError(
                pointer=pointer, detail="holds U+0000", value=shortened(value), remedy="remove the character U+0000"
            )
        elif not _encodable(value):
            yield InputError(
                pointer=pointer,
                detail="holds half of a surrogate pair",
                value=shortened(value),
                remedy="give whole characters",
            )
    elif isinstance(value, dict):
        if isinstance(value, _Repeated):
            yield InputError(
                pointer=f"{pointer}/{_token(shortened(value.key))}",
                detail="the key comes twice",
                remedy="give each key once",
            )
        for key, inner in value.items():
            if "\x00" in key or not _encodable(key):
                yield InputError(
                    pointer=pointer,
                    detail="a key holds a forbidden character",
                    value=shortened(key),
                    remedy="remove it",
                )
            else:
                yield from _faults(inner, f"{pointer}/{_token(key)}")
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _faults(inner, f"{pointer}/{index}")


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


REMEDIES: Final = {
    "missing": "give this field",
    "missing_argument": "give this field",
    "extra_forbidden": "remove it, or correct its name",
    "unexpected_keyword_argument": "remove it, or correct its name",
    "string_type": "give a text",
    "int_type": "give a whole number",
    "bool_type": "give true or false",
    "decimal_type": 'give a decimal as a text, for example "12.50"',
    "decimal_parsing": 'give a decimal as a text, for example "12.50"',
    "finite_number": 'give a finite decimal as a text, for example "12.50"',
    "uuid_parsing": "give a UUID",
    "uuid_type": "give a UUID",
    "date_parsing": "give a date such as 2030-06-30",
    "date_type": "give a date such as 2030-06-30",
    "datetime_type": "give a moment such as 2030-06-30T09:00:00Z",
    "datetime_parsing": "give a moment such as 2030-06-30T09:00:00Z",
    "tuple_type": "give a list",
    "list_type": "give a list",
    "model_type": "give an object",
    "model_attributes_type": "give an object",
    "dataclass_type": "give an object",
}


def _input_error(raised: Any) -> InputError:
    pointer = "".join(f"/{_token(part)}" for part in raised["loc"])
    kind = raised["type"]
    context = raised.get("ctx") or {}
    cause = context.get("error")
    if kind == "value_error" and isinstance(cause, ValueRefused):
        return InputError(
            pointer=f"{pointer}/{cause.field}",
            detail="the value is refused",
            value=shortened(cause.value),
            remedy=cause.remedy,
        )
    if kind in ("enum", "literal_error"):
        remedy = f"give one of {context.get('expected', '').replace(' or ', ', ')}"
    else:
        remedy = REMEDIES.get(kind, str(raised["msg"]).removeprefix("Value error, "))
    absent = kind in ("missing", "missing_argument")
    return InputError(
        pointer=pointer,
        detail="is missing" if absent else str(raised["msg"]).removeprefix("Value error, "),
        value=None if absent or isinstance(raised["input"], dict | list) else shortened(raised["input"]),
        remedy=remedy,
    )


def validate(model: type[AnyBody], body: bytes) -> tuple[AnyBody, Any]:
    """A body as its model, and as the plain JSON that it came as. Raises Refused, which lists every fault."""
    decoded = read_json(body)
    try:
        made = model.model_validate_json(body)
    except ValidationError as error:
        raise invalid(_input_error(raised) for raised in error.errors(include_url=False)) from None
    if not _is_plain(made, decoded):
        faults = list(_inexact(made, decoded, ""))
        if faults:
            raise invalid(faults)
    return made, decoded


def _is_plain(made: BaseModel, given: Any) -> bool:
    """Whether a body holds nothing but whole numbers, truths and texts, of which `_inexact` has nothing to say."""
    if type(given) is not dict or "uri" in given:
        return False
    for value in made.__dict__.values():
        kind = type(value)
        if (
            value is not None
            and kind is not int
            and kind is not bool
            and (kind is not str or len(value) > LONGEST_TEXT or not value.isascii())
        ):
            return False
    return True


def _named(turning: re.Match[str]) -> str:
    return f"[U+{ord(turning[0]):04X}]"


def _inexact(made: Any, given: Any, pointer: str) -> Iterator[InputError]:
    """What pydantic takes and a ledger must not: numbers for decimals, other spellings of them, vague moments."""
    if isinstance(made, Decimal):
        if not isinstance(given, str) or not DECIMAL.fullmatch(given) or len(given) > 40:
            yield InputError(
                pointer=pointer,
                detail="a decimal is a text of at most 38 plain digits",
                value=shortened(given),
                remedy='write it in quotes, without exponent, for example "12.50"',
            )
    elif isinstance(made, datetime):
        if not isinstance(given, str) or not MOMENT.fullmatch(given) or made.utcoffset() != timedelta(0):
            yield InputError(
                pointer=pointer,
                detail="a moment is given in UTC",
                value=shortened(given),
                remedy="end it with Z, for example 2030-06-30T09:00:00Z",
            )
    elif isinstance(made, str):
        if len(made) > LONGEST_TEXT:
            yield InputError(
                pointer=pointer,
                detail=f"the text has {len(made)} characters",
                remedy=f"give at most {LONGEST_TEXT}",
            )
        elif turning := TURNING.search(made):
            named = _named(turning)[1:-1]
            yield InputError(
                pointer=pointer,
                detail=f"holds {named}, which turns the direction of what stands beside it",
                value=shortened(TURNING.sub(_named, made)),
                remedy=f"remove the character {named}; letters that run from right to left need none",
            )
    elif isinstance(made, tuple | list | frozenset | set):
        if isinstance(given, list):
            if len(given) > LONGEST_LIST:
                yield InputError(pointer=pointer, detail="the list is too long", remedy=f"give at most {LONGEST_LIST}")
            else:
                # A set has no order: what stands in it is looked at as it was given.
                each = given if isinstance(made, frozenset | set) else made
                for index, (inner, raw) in enumerate(zip(each, given, strict=False)):
                    yield from _inexact(inner, raw, f"{pointer}/{index}")
    elif isinstance(made, dict) and isinstance(given, dict):
        for (key, raw), inner in zip(given.items(), made.values(), strict=False):
            yield from _inexact(inner, raw, f"{pointer}/{_token(key)}")
    elif isinstance(given, dict):
        for name, alias in _fields_of(type(made)):
            if alias in given:
                value, place = getattr(made, name), f"{pointer}/{_token(alias)}"
                yield from _inexact(value, given[alias], place)
                if alias == "uri" and isinstance(value, str):
                    yield from _address(value, place)


def _address(uri: str, pointer: str) -> Iterator[InputError]:
    # Browsers drop blanks and controls before a scheme, and line breaks within it, before they follow it.
    scheme = SCHEME.match("".join(each for each in uri if each > " "))
    if scheme and scheme[1].lower() not in SCHEMES:
        yield InputError(
            pointer=pointer,
            detail=f"an address that begins with {shortened(scheme[0])} is not that of a document",
            value=shortened(uri),
            remedy=f"give one of {', '.join(SCHEMES)}, or a place in your register without a scheme",
        )


_FIELDS: dict[type[Any], tuple[tuple[str, str], ...]] = {}


def _fields_of(model: type[Any]) -> tuple[tuple[str, str], ...]:
    """The fields of a model or dataclass, each with its name in JSON; none of anything else."""
    known = _FIELDS.get(model)
    if known is None:
        known = ()
        if issubclass(model, BaseModel):
            known = tuple((name, field.alias or name) for name, field in model.model_fields.items())
        elif is_dataclass(model):
            known = tuple((field.name, field.name) for field in fields(model))
        _FIELDS[model] = known
    return known
