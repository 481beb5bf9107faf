"""Arrays go to PostgreSQL and come back as what they are, encoded by the kernel."""

from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from govkernel.postgres import Connection, Uuid, create_pool

VALUES: dict[str, list[Any]] = {
    "boolean": [True, False],
    "bytea": [b"", b"\x00\xff", b"{" * 3000],
    "bigint": [0, -1, 2**63 - 1, -(2**63)],
    "smallint": [0, -1, 2**15 - 1, -(2**15)],
    "int": [0, -1, 2**31 - 1, -(2**31)],
    "text": ["", "NULL", '{"a, b"}', "𝄞 und ß", "x" * 3000],
    "date": [date(1, 1, 1), date(1999, 12, 31), date(2000, 1, 1), date(9999, 12, 31)],
    "timestamptz": [
        datetime(1, 1, 1, tzinfo=UTC),
        datetime(1999, 12, 31, 23, 59, 59, 999_999, UTC),
        datetime(2026, 3, 29, 3, 30, tzinfo=timezone(timedelta(hours=2))),
        datetime(9999, 12, 31, 23, 59, 59, 999_999, UTC),
    ],
    "uuid": [UUID(int=0), uuid4(), Uuid(str(uuid4()))],
    "jsonb": ["null", '{"a": [1, "𝄞"]}', '"text"'],
    "numeric": [Decimal(0), Decimal("-12345678901234567890.123456789")],
}


@pytest.fixture
async def connection(database: str) -> AsyncIterator[Connection]:
    pool = await create_pool(database)
    async with pool.acquire() as lent:
        yield lent
    await pool.close()


@pytest.fixture
async def plain(database: str) -> AsyncIterator[Connection]:
    """A connection that nobody has told anything of arrays."""
    connection = await asyncpg.connect(database)
    yield connection
    await connection.close()


@pytest.mark.parametrize("name", VALUES)
@pytest.mark.parametrize("nulls", [[], [None]])
async def test_an_array_comes_back_as_it_went(connection: Connection, name: str, nulls: list[None]) -> None:
    values = [*VALUES[name], *nulls, *VALUES[name]]
    assert await connection.fetchval(f"SELECT $1::{name}[]", values) == values
    assert await connection.fetchval(f"SELECT $1::{name}[]", tuple(values)) == values
    assert await connection.fetchval(f"SELECT $1::{name}[]", [None]) == [None]
    assert await connection.fetchval(f"SELECT $1::{name}[]", []) == []
    assert await connection.fetchval(f"SELECT $1::{name}[]", None) is None


@pytest.mark.parametrize("name", VALUES)
async def test_postgresql_takes_an_array_for_what_asyncpg_would_send(
    connection: Connection, plain: Connection, name: str
) -> None:
    query = f"SELECT array_dims($1::{name}[]), $1::{name}[]::text, $1::{name}[] = $2::text::{name}[]"
    for values in (VALUES[name], [*VALUES[name], None], []):
        text = await plain.fetchval(f"SELECT $1::{name}[]::text", values)
        assert list(await connection.fetchrow(query, values, text) or ()) == list(
            await plain.fetchrow(query, values, text) or ()
        )


async def test_an_array_of_integers_may_be_a_value_of_a_copied_row(connection: Connection) -> None:
    await connection.execute("CREATE TEMPORARY TABLE kept (versions int[], names text[])")
    await connection.copy_records_to_table("kept", records=[((1, 2, 3), ["a", None]), ((), [])])
    assert [tuple(row) for row in await connection.fetch("TABLE kept")] == [([1, 2, 3], ["a", None]), ([], [])]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("int", "1"),
        ("int", 2**31),
        ("uuid", str(UUID(int=1))),
        ("text", 1),
        ("timestamptz", datetime(2026, 1, 1)),  # noqa: DTZ001
        ("bigint", [1, 2]),
    ],
)
async def test_what_is_no_element_is_refused_and_said_which_argument_it_was(
    connection: Connection, name: str, value: Any
) -> None:
    with pytest.raises(asyncpg.DataError, match=r"invalid input for query argument \$1"):
        await connection.fetchval(f"SELECT $1::{name}[]", [value])
    assert await connection.fetchval("SELECT 1") == 1


@pytest.mark.parametrize(("name", "value"), [("text", "abc"), ("int", b"abc"), ("bytea", b"")])
async def test_a_text_is_not_taken_for_an_array_of_its_letters(
    connection: Connection, name: str, value: str | bytes
) -> None:
    with pytest.raises(asyncpg.DataError, match="is no array"):
        await connection.fetchval(f"SELECT $1::{name}[]", value)


async def test_an_array_of_several_dimensions_is_not_read_as_one(connection: Connection) -> None:
    with pytest.raises(ValueError, match="2 dimensions"):
        await connection.fetchval("SELECT ARRAY[[1, 2], [3, 4]]")
