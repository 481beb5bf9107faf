"""The relay's rows in PostgreSQL: its statements, and what they take."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

from govevents.document import Document
from govkernel.kafka import Outgoing
from govkernel.postgres import Connection, event_columns
from govkernel.relay import checkpoint as rows
from govkernel.relay.checkpoint import Checkpoint
from govkernel.relay.ports import Chunk, RelayStatus

LONGEST_STATEMENT_S: Final = 600.0
LARGEST_CHUNK_BYTES: Final = 8 * 1024 * 1024
"""How large the documents of a chunk are together, but for the last; one is sent while the next one is read."""


# Only the application's role appends, and a role may see when its own transactions began.
LOOK: Final = """
SELECT least(statement_timestamp(), min(xact_start)) AS oldest, current_setting('track_activities')::boolean AS complete
FROM pg_stat_activity
WHERE datname = current_database() AND usename = current_user AND pid <> pg_backend_pid() AND xact_start IS NOT NULL"""

XMIN: Final = "SELECT pg_snapshot_xmin(pg_current_snapshot())::text"

# `seq + 0` keeps the planner from walking the whole primary key for the sake of the order.
CHUNKS: Final = """
SELECT count(*) FROM (
  SELECT sum(greatest(octet_length(document), $3::bigint / $4)) OVER (ORDER BY seq + 0)::bigint / $3 AS chunk
  FROM events
  WHERE txid >= $1::text::xid8 AND seq <> ALL ($2::bigint[])) AS pending
GROUP BY chunk ORDER BY chunk"""

# Only the keys are sorted; each row is then fetched by its own.
PENDING: Final = """
SELECT stream, type, document, CASE WHEN txid >= $3::text::xid8 THEN seq END, txid::text::bigint FROM (
  SELECT seq + 0 AS place FROM events
  WHERE txid >= $1::text::xid8 AND seq <> ALL ($2::bigint[]) ORDER BY seq + 0) AS pending
CROSS JOIN LATERAL (SELECT * FROM events WHERE events.seq = pending.place LIMIT 1) AS event ORDER BY place"""

LAG: Final = """
SELECT count(*) AS rows, min(recorded_at) AS oldest FROM events
WHERE txid >= $1::text::xid8 AND seq <> ALL ($2::bigint[])"""

STATUS: Final = f"""
SELECT *, coalesce(lease_until > clock_timestamp(), false) AS led, low_txid::text AS low, {rows.IS_VERIFIED} AS verified
FROM relay_checkpoint"""  # noqa: S608

KNOWN: Final = """
SELECT stream, version, hash FROM events
JOIN unnest($1::uuid[], $2::int[]) AS wanted (stream, version) USING (stream, version)"""

INSERT: Final = """
INSERT INTO events (stream, version, type, time, recorded_at, document, hash)
SELECT * FROM unnest($1::uuid[], $2::int[], $3::text[], $4::timestamptz[], $5::timestamptz[], $6::bytea[],
                     $7::bytea[])"""

# What a command appended is told by the documents themselves; what was asked for is not, so its digest stays unknown.
INSERT_COMMANDS: Final = """
INSERT INTO commands (command, digest, stream, from_version, to_version, status, recorded_at)
SELECT command, ''::bytea, stream, min(version) - 1, max(version), CASE min(version) WHEN 1 THEN 201 ELSE 200 END,
       max(recorded_at)
FROM (SELECT (convert_from(document, 'UTF8')::json ->> 'command')::uuid AS command, stream, version, recorded_at
      FROM events WHERE txid = pg_current_xact_id()) AS brought_back
GROUP BY command, stream ON CONFLICT DO NOTHING"""


class PostgresRelay:
    """The rows of a relay as the kernel's tables keep them."""

    identity_of = staticmethod(rows.identity_of)
    take = staticmethod(rows.take)
    renew = staticmethod(rows.renew)
    resign = staticmethod(rows.resign)
    store = staticmethod(rows.store)
    note_verified = staticmethod(rows.note_verified)
    note_held_up = staticmethod(rows.note_held_up)

    async def status(self, connection: Connection) -> RelayStatus:
        """How far the relay is."""
        await connection.execute("SET LOCAL plan_cache_mode = force_custom_plan")
        row = await connection.fetchrow(STATUS)
        assert row is not None, "the migration that makes the table also makes its row"
        lag = await connection.fetchrow(LAG, row["low"], row["tail_seq"])
        assert lag is not None
        known = rows.checkpoint_of(row)
        return RelayStatus(
            leader=row["holder"] if row["led"] else None,
            epoch=known.epoch,
            led_until=row["lease_until"] if row["led"] else None,
            verified=row["verified"],
            verified_at=row["verified_at"],
            brought_back=row["brought_back"],
            database=known.database,
            topic=known.topic,
            lag_rows=lag["rows"],
            oldest=lag["oldest"],
            low_txid=known.low_txid,
            tail_length=len(known.tail),
            acknowledged=known.acknowledged,
            watermark=known.watermark,
            alarm=row["alarm"],
            trouble=row["trouble"],
        )

    async def oldest(self, connection: Connection) -> datetime | None:
        """When the oldest open transaction began."""
        look = await connection.fetchrow(LOOK)
        assert look is not None, "a minimum is always a row"
        oldest: datetime = look["oldest"]
        return oldest if look["complete"] else None

    async def xmin(self, connection: Connection) -> int:
        """The lowest id of a transaction that has not ended."""
        return int(await connection.fetchval(XMIN))

    async def snapshot(self, connection: Connection) -> int:
        """Take the snapshot that the transaction goes on to see."""
        # A generic plan, which the sixth pass would get, walks the primary key and compares the tail row by row.
        await connection.execute("SET LOCAL plan_cache_mode = force_custom_plan")
        return await self.xmin(connection)

    async def pending(
        self, connection: Connection, checkpoint: Checkpoint, xmin: int, chunk_rows: int
    ) -> AsyncGenerator[Chunk, None]:
        """What the snapshot holds that the checkpoint has not sent."""
        pending = str(checkpoint.low_txid), list(checkpoint.tail)
        chunks = await connection.fetch(CHUNKS, *pending, LARGEST_CHUNK_BYTES, chunk_rows, timeout=LONGEST_STATEMENT_S)
        if not chunks:
            return
        cursor = await connection.cursor(PENDING, *pending, str(xmin))
        for (count,) in chunks:
            found = await cursor.fetch(count, timeout=LONGEST_STATEMENT_S)
            assert len(found) == count, "a snapshot does not change"
            yield Chunk(
                [Outgoing(stream, name, document) for stream, name, document, _, _ in found],
                {seq: txid for _, _, _, seq, txid in found if seq is not None},
            )

    async def known(
        self, connection: Connection, places: Sequence[tuple[UUID, int]]
    ) -> Mapping[tuple[UUID, int], bytes]:
        """The hashes of the events at these places."""
        found = await connection.fetch(KNOWN, [stream for stream, _ in places], [version for _, version in places])
        return {(row["stream"], row["version"]): bytes(row["hash"]) for row in found}

    async def bring_back(self, connection: Connection, documents: Sequence[Document]) -> None:
        """Insert events."""
        await connection.execute(
            INSERT,
            *event_columns(documents),
        )

    async def bring_back_commands(self, connection: Connection) -> None:
        """Insert the commands of what was brought back."""
        await connection.execute(INSERT_COMMANDS, timeout=LONGEST_STATEMENT_S)


POSTGRES: Final = PostgresRelay()
