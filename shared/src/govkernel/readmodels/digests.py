"""Digests of a build, by which a live build and a rebuilt one are compared without reading every row out.

A row's digest is SHA-256 of its columns' text, in the database's own unambiguous writing; a stream's is that of its
rows' in order of key and version; a part's is that of its streams' in order of stream.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final
from uuid import UUID

from govkernel.postgres import Connection
from govkernel.readmodels.builds import Build, columns_in_database
from govkernel.readmodels.tables import HISTORY, ROWS

LONGEST_QUERY_S: Final = 3600.0

SORT_MEMORY: Final = "64MB"
"""How much PostgreSQL may take to sort a build's rows before it goes to disk."""

NO_STREAM: Final = UUID(int=0)
"""Stands for records that name no stream."""


class Part(Enum):
    """What of a build is compared."""

    ROWS = "rows"
    HISTORY = "history"
    GUARDS = "guards"
    PARKED = "parked"


StreamDigests = Mapping[Part, Mapping[UUID, bytes]]


@dataclass(frozen=True, slots=True)
class Digests:
    """SHA-256 in hexadecimal of a build's rows, its history (both with provenance) and its parked records.

    `offsets` are the next ones of the snapshot in which all three were read.
    """

    build: int
    fold_version: int
    rows: str
    history: str
    parked: str
    offsets: Mapping[int, int]


async def part_digests(
    connection: Connection, build: Build, *, columns: Iterable[str] | None = None
) -> dict[Part, bytes]:
    """The digest of each part: SHA-256 of its streams and their digests, in order of stream.

    The caller's transaction decides of which snapshot. With `columns`, rows and history are compared by these alone.
    """
    found: dict[Part, bytes] = {}
    for part, (query, *arguments) in (await _queries(connection, build, columns)).items():
        whole = "sha256(coalesce(string_agg(uuid_send(stream) || digest, ''::bytea ORDER BY stream), ''::bytea))"
        found[part] = await connection.fetchval(
            f"SELECT {whole} FROM ({query}) AS streams",  # noqa: S608
            *arguments,
            timeout=LONGEST_QUERY_S,
        )
    return found


async def stream_digests(
    connection: Connection, build: Build, *, columns: Iterable[str] | None = None
) -> dict[Part, dict[UUID, bytes]]:
    """The digests of each stream's rows, history, guard and parked records.

    The caller's transaction decides of which snapshot. With `columns`, rows and history are compared by these alone.
    """
    found: dict[Part, dict[UUID, bytes]] = {}
    for part, (query, *arguments) in (await _queries(connection, build, columns)).items():
        rows = await connection.fetch(query, *arguments, timeout=LONGEST_QUERY_S)
        found[part] = {row["stream"]: row["digest"] for row in rows}
    return found


async def _queries(
    connection: Connection, build: Build, columns: Iterable[str] | None
) -> dict[Part, tuple[str, *tuple[object, ...]]]:
    """For each part what gives its streams and their digests, and its arguments."""
    # How values are written must not depend on who asks.
    await connection.execute(
        "SET LOCAL timezone TO 'UTC'; SET LOCAL datestyle TO 'ISO, YMD'; SET LOCAL bytea_output TO hex; "
        f"SET LOCAL work_mem = '{SORT_MEMORY}'"
    )
    queries: dict[Part, tuple[str, *tuple[object, ...]]] = {}
    for part, table in ((Part.ROWS, ROWS), (Part.HISTORY, HISTORY)):
        names = [name for name, _ in await columns_in_database(connection, build.schema, table)]
        if columns is not None:
            chosen = set(columns)
            names = [name for name in names if name in chosen]
        listed = ", ".join(f'"{name}"' for name in names)
        queries[part] = (
            (
                "SELECT stream, sha256(string_agg(sha256(convert_to(row("  # noqa: S608
                f"{listed})::text, 'UTF8')), ''::bytea ORDER BY key COLLATE \"C\", version)) AS digest "
                f'FROM "{build.schema}"."{table}" GROUP BY stream'
            ),
        )
    queries[Part.GUARDS] = (
        (
            "SELECT stream, sha256(convert_to(row(version, hash)::text, 'UTF8')) AS digest "
            "FROM consumer_guards WHERE consumer = $1"
        ),
        build.consumer,
    )
    # That a record is parked follows from the topic; why and since when also from when somebody looked.
    queries[Part.PARKED] = (
        (
            "SELECT coalesce(stream, $2) AS stream, sha256(string_agg(sha256(convert_to("
            "row(topic, partition, record_offset, version, record_key, record_value)::text, 'UTF8')), "
            "''::bytea ORDER BY topic, partition, record_offset)) AS digest "
            "FROM parked WHERE consumer = $1 GROUP BY 1"
        ),
        build.consumer,
        NO_STREAM,
    )
    return queries


def differing(one: StreamDigests, other: StreamDigests) -> dict[Part, list[UUID]]:
    """The streams in which two builds differ, by part; parts without a difference are left out."""
    found = {}
    for part in Part:
        streams = sorted(
            stream
            for stream in one[part].keys() | other[part].keys()
            if one[part].get(stream) != other[part].get(stream)
        )
        if streams:
            found[part] = streams
    return found
