"""Comparing two builds of a read model stream by stream, for rows rest on one stream each and on its order alone.

Two builds are at the same place of a stream where their guards are. So both can go on being fed: what is at different
places in the snapshot that is looked at is counted as moving, and looked at again.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

import msgspec

from govkernel.postgres import Connection
from govkernel.readmodels.builds import Build, columns_in_database
from govkernel.readmodels.digests import LONGEST_QUERY_S, Part, differing, stream_digests
from govkernel.readmodels.tables import HISTORY, PAST_COLUMNS, ROWS

MOST_ROWS_OF_A_STREAM: Final = 1000

PLACES: Final = """
SELECT coalesce(one.version = other.version, false) AS level, stream
FROM (SELECT stream, version FROM consumer_guards WHERE consumer = $1) AS one
FULL JOIN (SELECT stream, version FROM consumer_guards WHERE consumer = $2) AS other USING (stream)"""

OFFSETS: Final = """
SELECT partition, next_offset FROM consumer_partitions WHERE consumer = $1 AND topic = $2 ORDER BY partition"""


@dataclass(frozen=True, slots=True)
class RowDifference:
    """A row that differs, or that one build alone has: by field, what the live build has and what the other has."""

    part: str
    stream: UUID
    key: str
    version: int | None
    fields: Mapping[str, tuple[Any, Any]]
    only_in: int | None


@dataclass(frozen=True, slots=True)
class Compared:
    """How another build differs from the live one.

    `streams` were compared, `moving` ones were at different places all the while. `differing` has the number of streams
    that differ by part, `rows` the first rows that do. `offsets` are the live build's next ones.
    """

    name: str
    live: int
    other: int
    live_fold_version: int
    other_fold_version: int
    offsets: Mapping[int, int]
    streams: int
    moving: int
    differing: Mapping[str, int]
    columns_added: tuple[str, ...]
    columns_removed: tuple[str, ...]
    rows: tuple[RowDifference, ...]

    @property
    def same(self) -> bool:
        """Whether nothing that was compared differs."""
        return not (self.differing or self.columns_added or self.columns_removed)


@dataclass(frozen=True, slots=True)
class SharedColumns:
    """Which columns two builds can be compared by, and which the other one has more or less than the live one."""

    both: tuple[str, ...]
    added: tuple[str, ...]
    removed: tuple[str, ...]


async def shared_columns(connection: Connection, live: Build, other: Build) -> SharedColumns:
    """The columns that two builds share: provenance names every field, so it counts only where all are shared."""
    old = await columns_in_database(connection, live.schema, ROWS)
    now = await columns_in_database(connection, other.schema, ROWS)
    added = tuple(name for name, kind in now if (name, kind) not in old)
    removed = tuple(name for name, kind in old if (name, kind) not in now)
    both = {name for name, kind in now if (name, kind) in old} | {name for name, _ in PAST_COLUMNS}
    if added or removed:
        both.discard("provenance")
    return SharedColumns(tuple(sorted(both)), added, removed)


async def compare(connection: Connection, topic: str, live: Build, other: Build, *, most_rows: int) -> Compared:
    """Compare two builds in one snapshot of the database."""
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        shared = await shared_columns(connection, live, other)
        by = shared.both if shared.added or shared.removed else None
        found = differing(
            await stream_digests(connection, live, columns=by), await stream_digests(connection, other, columns=by)
        )
        places = await connection.fetch(PLACES, live.consumer, other.consumer, timeout=LONGEST_QUERY_S)
        offsets, others = [
            {row["partition"]: row["next_offset"] for row in await connection.fetch(OFFSETS, each.consumer, topic)}
            for each in (live, other)
        ]
        moving = {row["stream"] for row in places if not row["level"]}
        if offsets != others:
            # What is parked follows from how far a build has read, and not from where its streams are.
            moving.update(found.pop(Part.PARKED, []))
        settled = {part: [each for each in streams if each not in moving] for part, streams in found.items()}
        found = {part: streams for part, streams in settled.items() if streams}
        rows: list[RowDifference] = []
        for part, table in ((Part.ROWS, ROWS), (Part.HISTORY, HISTORY)):
            for stream in found.get(part, []):
                if len(rows) >= most_rows:
                    break
                of_live, of_other = [await rows_of(connection, each, table, stream, by) for each in (live, other)]
                rows.extend(row_differences(part, stream, (live.number, of_live), (other.number, of_other)))
    return Compared(
        live.name,
        live.number,
        other.number,
        live.fold_version,
        other.fold_version,
        offsets,
        len({row["stream"] for row in places} - moving),
        len(moving),
        {part.value: len(streams) for part, streams in found.items()},
        shared.added,
        shared.removed,
        tuple(rows[:most_rows]),
    )


RowsByKey = Mapping[tuple[str, int], Mapping[str, Any]]


async def rows_of(
    connection: Connection, build: Build, table: str, stream: UUID, columns: Iterable[str] | None = None
) -> RowsByKey:
    """A stream's rows in a build, or their history, by key and version; version 0 where it does not tell rows apart."""
    rows = await connection.fetch(
        f'SELECT key, version, to_jsonb(each) AS row FROM "{build.schema}"."{table}" AS each '  # noqa: S608
        "WHERE stream = $1 ORDER BY key, version LIMIT $2",
        stream,
        MOST_ROWS_OF_A_STREAM,
    )
    chosen = None if columns is None else frozenset(columns)
    return {
        (row["key"], row["version"] if table == HISTORY else 0): {
            name: value
            for name, value in msgspec.json.decode(row["row"], type=dict[str, Any]).items()
            if chosen is None or name in chosen
        }
        for row in rows
    }


def row_differences(
    part: Part, stream: UUID, one: tuple[int, RowsByKey], other: tuple[int, RowsByKey]
) -> list[RowDifference]:
    """The rows in which two builds, given by number, differ in a stream; those that are the same are left out."""
    (first, old), (second, new) = one, other
    found = []
    for key, version in sorted(old.keys() | new.keys()):
        before, after = old.get((key, version)), new.get((key, version))
        names = sorted((before or {}).keys() | (after or {}).keys())
        fields = {
            name: ((before or {}).get(name), (after or {}).get(name))
            for name in names
            if before is None or after is None or before.get(name) != after.get(name)
        }
        if fields:
            only_in = second if before is None else first if after is None else None
            found.append(RowDifference(part.value, stream, key, version or None, fields, only_in))
    return found
