"""Builds of read models: their schemas, which one is live, and the switch from one to the next."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Any, Final

import asyncpg
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import CreateIndex, CreateTable

from govkernel.postgres import Connection
from govkernel.readmodels.model import ReadModel
from govkernel.readmodels.tables import (
    HISTORY,
    KEYS,
    PAST_COLUMNS,
    ROWS,
    VIEWS,
    build_tables,
    columns_of,
    schema_of,
)

BUILDS_LOCK: Final = 7_291_003
DIALECT: Final = postgresql.dialect()  # type: ignore[no-untyped-call]
SWITCH_LOCK_TIMEOUT: Final = "200ms"
"""Less than PostgreSQL takes to look for deadlocks: where readers and a switch meet, the switch gives way."""


class State(Enum):
    """What a build is. Of each read model at most one is live, one previous and one building or tailing."""

    BUILDING = "building"
    TAILING = "tailing"
    LIVE = "live"
    PREVIOUS = "previous"
    FAILED = "failed"
    DROPPED = "dropped"


@dataclass(frozen=True, slots=True)
class Build:
    """One build of a read model, as it is registered."""

    name: str
    number: int
    schema: str
    fold_version: int
    state: State

    @property
    def consumer(self) -> str:
        """The name under which its offsets, guards and parked records are kept."""
        return f"{self.name}/{self.number}"


class ReadModelChanged(Exception):
    """A read model's columns are not those of its live build, although its version is the same."""


def _build(row: "asyncpg.Record") -> Build:
    return Build(row["name"], row["build"], row["schema"], row["fold_version"], State(row["state"]))


async def builds_of(connection: Connection, names: Sequence[str], *states: State) -> list[Build]:
    """The registered builds of these read models in these states, by name and number."""
    rows = await connection.fetch(
        "SELECT * FROM read_model_builds WHERE name = ANY($1::text[]) AND state = ANY($2::text[]) ORDER BY name, build",
        list(names),
        [state.value for state in states],
    )
    return [_build(row) for row in rows]


async def live_build(connection: Connection, name: str) -> Build | None:
    """The build that readers see, or None before the first."""
    found = await builds_of(connection, [name], State.LIVE)
    assert len(found) <= 1, f"{name} has {len(found)} live builds"
    return found[0] if found else None


async def ensure(connection: Connection, models: Sequence[ReadModel[Any]], now: datetime) -> list[ReadModel[Any]]:
    """Create what is missing for these read models, and give those whose live build has an older fold version.

    Replicas that start together do so one after the other. Raises ReadModelChanged.
    """
    outdated = []
    async with connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock($1)", BUILDS_LOCK)
        await connection.execute(f'CREATE SCHEMA IF NOT EXISTS "{VIEWS}"')
        for model in models:
            live = await live_build(connection, model.name)
            if live is None:
                live = await create_build(connection, model, State.LIVE, now)
                await add_indexes(connection, model, live)
                await point_views(connection, model, live)
            elif live.fold_version < model.version:
                outdated.append(model)
            elif live.fold_version == model.version:
                await _check_columns(connection, model, live)
    return outdated


async def create_build(connection: Connection, model: ReadModel[Any], state: State, now: datetime) -> Build:
    """Register the next build of a read model and create its tables, without indexes."""
    row = await connection.fetchrow(
        "INSERT INTO read_model_builds (name, build, schema, fold_version, state, started_at) "
        "SELECT $1, number, 'rm_' || $1 || '_' || number, $2, $3, $4 "
        "FROM (SELECT coalesce(max(build), 0) + 1 AS number FROM read_model_builds WHERE name = $1) AS next "
        "RETURNING *",
        model.name,
        model.version,
        state.value,
        now,
    )
    assert row is not None, "an INSERT ... SELECT of one row returns it"
    build = _build(row)
    assert build.schema == schema_of(model.name, build.number)
    await connection.execute(f'CREATE SCHEMA "{build.schema}"')
    for table in build_tables(model, build.number):
        await connection.execute(str(CreateTable(table).compile(dialect=DIALECT)))
    return build


async def add_indexes(
    connection: Connection, model: ReadModel[Any], build: Build, *, timeout_s: float | None = None
) -> None:
    """Give a build's tables their keys and indexes; each may take up to `timeout_s`, None is the connection's own."""
    for table in build_tables(model, build.number):
        # Made as an index first, for which nobody who reads has to wait.
        keys = ", ".join(KEYS[table.name])
        name = f"{table.name}_pkey"
        await connection.execute(
            f'CREATE UNIQUE INDEX {name} ON "{build.schema}"."{table.name}" ({keys})', timeout=timeout_s
        )
        for index in sorted(table.indexes, key=lambda each: str(each.name)):
            await connection.execute(str(CreateIndex(index).compile(dialect=DIALECT)), timeout=timeout_s)
        await connection.execute(
            f'ALTER TABLE "{build.schema}"."{table.name}" ADD PRIMARY KEY USING INDEX {name}', timeout=timeout_s
        )


async def point_views(connection: Connection, model: ReadModel[Any], build: Build) -> None:
    """Let the stable views show a build. Readers see the old rows or the new, never neither."""
    for table, view, more in ((ROWS, model.name, ()), (HISTORY, f"{model.name}_history", PAST_COLUMNS)):
        wanted = columns_of(model) + more
        columns = ", ".join(f'"{name}"' for name, _ in wanted)
        query = f'SELECT {columns} FROM "{build.schema}"."{table}"'  # noqa: S608
        if await columns_in_database(connection, VIEWS, view) not in ([], list(wanted)):
            # A view can be given new contents, but not other columns.
            await connection.execute(f'DROP VIEW "{VIEWS}"."{view}"')
        await connection.execute(f'CREATE OR REPLACE VIEW "{VIEWS}"."{view}" AS {query}')


async def columns_in_database(connection: Connection, schema: str, table: str) -> list[tuple[str, str]]:
    """The columns of a table or view, in order, with their types; none where it does not exist."""
    rows = await connection.fetch(
        "SELECT attname, CASE WHEN atttypid = 'timestamptz'::regtype THEN 'timestamptz' "
        "ELSE format_type(atttypid, NULL) END AS kind FROM pg_attribute "
        "WHERE attrelid = to_regclass(format('%I.%I', $1::text, $2::text)) AND attnum > 0 AND NOT attisdropped "
        "ORDER BY attnum",
        schema,
        table,
    )
    return [(row["attname"], row["kind"]) for row in rows]


async def _check_columns(connection: Connection, model: ReadModel[Any], live: Build) -> None:
    stored = await columns_in_database(connection, live.schema, ROWS)
    declared = list(columns_of(model))
    if stored != declared:
        differing = sorted({name for name, _ in set(stored) ^ set(declared)}) or ["their order"]
        raise ReadModelChanged(
            f"{model.name}: its live build, of fold version {live.fold_version}, has other columns "
            f"({', '.join(differing)}); raise the read model's version above {live.fold_version}"
        )


async def mark(connection: Connection, build: Build, state: State, *, finished_at: datetime | None = None) -> None:
    """Register that a build is in another state."""
    await connection.execute(
        "UPDATE read_model_builds SET state = $3, finished_at = coalesce($4, finished_at) "
        "WHERE name = $1 AND build = $2",
        build.name,
        build.number,
        state.value,
        finished_at,
    )


async def drop_build(connection: Connection, build: Build, state: State = State.DROPPED) -> None:
    """Remove a build's tables and what its consumer kept; the registration stays and says what became of it."""
    async with connection.transaction():
        await connection.execute(f'DROP SCHEMA IF EXISTS "{build.schema}" CASCADE')
        for table in ("consumer_guards", "parked", "consumer_partitions"):
            await connection.execute(f"DELETE FROM {table} WHERE consumer = $1", build.consumer)  # noqa: S608
        await mark(connection, build, state)


async def switch(connection: Connection, model: ReadModel[Any], new: Build, now: datetime) -> list[Build]:
    """Make a build live, within the caller's transaction; the one before it becomes `previous`.

    Gives the builds that are of no use any more and may be dropped. Raises asyncpg.LockNotAvailableError where
    readers were in the way: roll back and try again.
    """
    await connection.execute(f"SET LOCAL lock_timeout = '{SWITCH_LOCK_TIMEOUT}'")
    await connection.execute("SELECT pg_advisory_xact_lock($1)", BUILDS_LOCK)
    await point_views(connection, model, new)
    superseded = [each for each in await builds_of(connection, [model.name], State.PREVIOUS) if each != new]
    live = await live_build(connection, model.name)
    if live is not None:
        await mark(connection, live, State.PREVIOUS)
    await mark(connection, new, State.LIVE, finished_at=now)
    return superseded
