"""Queries: who asks, as of when, having seen what, and page by page."""

import base64
import json
import re
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from decimal import Decimal
from typing import Any, Final, Generic, TypeVar
from uuid import UUID

from pydantic import BaseModel, Field
from sqlalchemy import ColumnElement, Select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection
from starlette.requests import Request

from govkernel.access import Visible
from govkernel.domain import NodeId, SubjectId
from govkernel.http.auth import Caller
from govkernel.http.bodies import MOMENT
from govkernel.http.problems import HEADER_INVALID, InputError, Refused, invalid, not_found, shortened
from govkernel.http.runtime import Runtime
from govkernel.http.versions import entity_tag

Item = TypeVar("Item")

DEFAULT_PAGE: Final = 50
LARGEST_PAGE: Final = 200
HISTORY: Final = frozenset({"as_of", "recorded_by"})
PAGING: Final = frozenset({"limit", "cursor"})
DAY: Final = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)


class Page(BaseModel, Generic[Item]):
    """A part of a list; `next` is the cursor of the part that follows, null at the end."""

    items: list[Item]
    next: str | None = Field(default=None, description="send it as `cursor`; the Link header holds the whole address")


@dataclass(frozen=True, slots=True)
class Window:
    """Which part of a list is asked for: at most `limit` items behind the one with these sort values."""

    limit: int
    after: tuple[Any, ...] | None


@dataclass(frozen=True, slots=True)
class Bounds:
    """Up to when facts count, both included: by when they were known, and by when they were recorded; None: all."""

    as_of: datetime | None = None
    recorded_by: datetime | None = None


class Ask:
    """One query's request, as a service's code sees it.

    `as_of` bounds by when the organisation knew, `recorded_by` by when it was written; None is without bound. Where one
    is a date, only `bounds` knows what it means.
    """

    def __init__(
        self,
        *,
        request: Request,
        runtime: Runtime,
        caller: Caller,
        now: datetime,
        as_of: date | None = None,
        recorded_by: date | None = None,
        window: Window | None = None,
    ) -> None:
        self.request = request
        self.runtime = runtime
        self.caller = caller
        self.now = now
        self.as_of = as_of
        self.recorded_by = recorded_by
        self.window = window or Window(DEFAULT_PAGE, None)
        self.headers: dict[str, str] = {}
        self.decided = False

    @property
    def subject(self) -> SubjectId:
        """The account that asks."""
        return self.caller.subject

    def bounds(self, zone: tzinfo = UTC) -> Bounds:
        """Up to when facts count; a date counts through the end of that day in this time zone."""
        return Bounds(
            _end_of("as_of", self.as_of, zone) if self.as_of is not None else None,
            _end_of("recorded_by", self.recorded_by, zone) if self.recorded_by is not None else None,
        )

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[AsyncConnection]:
        """A connection for SQLAlchemy Core, in one read-only snapshot, given back however the request ends."""
        async with self.runtime.engine.connect() as connection:
            await connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
            yield connection

    async def require(self, action: str, node: NodeId | None) -> None:
        """Raises Refused (403) where the caller may not do the action at the node."""
        self.decided = True
        await self.runtime.require(self.caller, node, self.now, action)

    async def visible_nodes(self, action: str) -> Visible:
        """The nodes in whose subtrees the caller may do the action; `covers(column)` makes a condition of it."""
        self.decided = True
        return await self.runtime.authority.visible_nodes(
            subject=self.subject, action=action, administrator=self.caller.administrator, now=self.now
        )

    def open_to_every_caller(self) -> None:
        """Say that whoever has a valid token may have this answer."""
        self.decided = True

    def tag(self, stream: UUID, version: int) -> None:
        """The answer shows a stream at this version: it gets its ETag, to be sent back as If-Match."""
        self.headers["ETag"] = entity_tag(version)
        self.headers["Gov-Version"] = f"{stream}@{version}"

    def rests_on(self, offsets: Mapping[str, Mapping[int, int]], *, provisional: bool) -> None:
        """State the offsets, by read model and partition, that the answer was read at, and whether more may come."""
        self.headers["Gov-Offsets"] = ";".join(
            f"{name}=" + ",".join(f"{partition}:{offset}" for partition, offset in sorted(each.items()))
            for name, each in sorted(offsets.items())
        )
        if provisional:
            self.headers["Gov-Provisional"] = "true"

    def missing(self, what: str, identifier: object) -> Refused:
        """What to raise where there is nothing under an id; it says the same to those who may not see it."""
        self.decided = True
        return not_found(what, identifier)

    def keyset(self, select: Select[Any], *columns: ColumnElement[Any]) -> Select[Any]:
        """The rows of this page, in the order of these columns, which together are unique, and one row more.

        Raises Refused (400) for a cursor that does not belong to this order.
        """
        if self.window.after is not None:
            if len(self.window.after) != len(columns):
                raise bad_cursor(self.request.query_params.get("cursor", ""))
            try:
                values = [_typed(column, value) for column, value in zip(columns, self.window.after, strict=True)]
            except (ValueError, TypeError, ArithmeticError):
                raise bad_cursor(self.request.query_params.get("cursor", "")) from None
            select = select.where(tuple_(*columns) > tuple_(*values))
        return select.order_by(*columns).limit(self.window.limit + 1)

    def page(
        self,
        rows: Sequence[Any],
        item: Callable[[Any], Item],
        key: Callable[[Any], tuple[Any, ...]],
    ) -> Page[Item]:
        """A page of the rows that `keyset` gave; `key` gives a row's values of the same columns."""
        shown = rows[: self.window.limit]
        following = None
        if len(rows) > self.window.limit:
            following = write_cursor(key(shown[-1]))
            url = self.request.url.include_query_params(cursor=following)
            self.headers["Link"] = f'<{url.path}?{url.query}>; rel="next"'
        return Page(items=[item(row) for row in shown], next=following)


def read_bound(name: str, text: str) -> date:
    """A moment with time zone, or a date. Raises Refused (400), naming the parameter, for anything else."""
    try:
        if DAY.fullmatch(text):
            return date.fromisoformat(text)
        if MOMENT.fullmatch(text):
            return datetime.fromisoformat(text.upper())
    except ValueError:
        pass
    raise _bad_bound(name, text)


def _end_of(name: str, bound: date, zone: tzinfo) -> datetime:
    try:
        if isinstance(bound, datetime):
            return bound.astimezone(UTC)
        following = datetime.combine(bound + timedelta(days=1), time(), zone)
        return following.astimezone(UTC) - timedelta(microseconds=1)
    except OverflowError:
        raise _bad_bound(name, str(bound)) from None


def _bad_bound(name: str, text: str) -> Refused:
    fault = InputError(
        parameter=name,
        detail="neither a moment with time zone nor a date",
        value=shortened(text),
        remedy="give one such as 2030-06-30T09:00:00Z or 2030-06-30, a + written as %2B",
    )
    return invalid([fault], HEADER_INVALID)


def _typed(column: ColumnElement[Any], value: Any) -> Any:
    wanted = column.type.python_type
    if value is None or wanted in (str, int, bool):
        if value is not None and type(value) is not wanted:
            raise ValueError(value)
        return value
    if wanted is datetime:
        moment = datetime.fromisoformat(value)
        if moment.tzinfo is None:
            raise ValueError(value)
        # The database's driver fails where a moment lies beyond the last day of the calendar in UTC.
        return moment.astimezone(UTC)
    if wanted is date:
        return date.fromisoformat(value)
    if wanted in (UUID, Decimal):
        return wanted(value)
    raise TypeError(f"{column}: a list can't be paged by a {wanted.__name__}")


def write_cursor(key: tuple[Any, ...]) -> str:
    """The place behind a row, opaque to clients."""
    plain = [value if value is None or isinstance(value, str | int) else _text(value) for value in key]
    return base64.urlsafe_b64encode(json.dumps(plain, separators=(",", ":")).encode()).decode().rstrip("=")


def _text(value: Any) -> str:
    return str(value.isoformat()) if isinstance(value, datetime | date) else str(value)


def read_cursor(cursor: str) -> tuple[Any, ...]:
    """The sort values in a cursor. Raises Refused (400) for one that this API did not give."""
    try:
        if len(cursor) > 2000:
            raise ValueError(cursor)
        plain = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except (ValueError, RecursionError):
        raise bad_cursor(cursor) from None
    if not isinstance(plain, list) or not all(value is None or isinstance(value, str | int) for value in plain):
        raise bad_cursor(cursor)
    if any(isinstance(value, str) and ("\x00" in value or not _encodable(value)) for value in plain):
        raise bad_cursor(cursor)
    return tuple(plain)


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def bad_cursor(cursor: str) -> Refused:
    """A cursor that was not given by this list."""
    fault = InputError(
        parameter="cursor",
        detail="not a cursor of this list",
        value=shortened(cursor),
        remedy="send one as it was given, or none to begin at the start",
    )
    return invalid([fault], HEADER_INVALID)
