"""The relay's checkpoint: how far the ledger has been carried, and whose turn it is to carry it.

One row of the service's own database. Every write to it is fenced by its epoch, so a leader that was stopped for too
long can repeat what it sent, and store nothing.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

import asyncpg

from govkernel.kafka import TopicIdentity
from govkernel.postgres import Connection


class LeadershipLost(Exception):
    """Another replica carries this ledger now. What this one sent last, the other repeats."""


@dataclass(frozen=True, slots=True)
class DatabaseIdentity:
    """Which server answers, since when, and where it keeps the events.

    One of them changes when the database was restarted, failed over or restored. `events_file` names the database's and
    the table's own number: they alone tell that a dump was restored into a server that went on running.
    """

    system_identifier: str
    started_at: datetime
    events_file: str


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What a leader knows.

    Every event with a transaction below `low_txid` has been sent, and those in `tail` (seq -> txid) at or above it.
    `acknowledged` is the highest offset of each partition. `database` is the one that was verified, `topic` the one
    that was sent to; None before the first time.
    """

    epoch: int
    low_txid: int
    tail: Mapping[int, int]
    acknowledged: Mapping[int, int]
    topic: TopicIdentity | None
    database: DatabaseIdentity | None
    watermark: datetime | None


TAKE: Final = """
WITH before AS (SELECT holder FROM relay_checkpoint FOR UPDATE)
UPDATE relay_checkpoint
SET epoch = epoch + 1, holder = $1, lease_until = clock_timestamp() + $2
FROM before
WHERE before.holder IS NULL OR before.holder = $1 OR lease_until <= clock_timestamp()
RETURNING epoch, low_txid::text AS low_txid, tail_seq, tail_txid, acknowledged, cluster_id, topic_id,
          system_identifier, started_at, events_file, watermark, before.holder IS NOT NULL AS was_held"""

RENEW: Final = """
UPDATE relay_checkpoint SET lease_until = clock_timestamp() + $3
WHERE epoch = $1 AND holder = $2 RETURNING epoch"""

RELEASE: Final = "UPDATE relay_checkpoint SET holder = NULL, lease_until = NULL WHERE holder = $1"

STORE: Final = """
UPDATE relay_checkpoint
SET low_txid = $4::text::xid8, tail_seq = $5, tail_txid = $6, acknowledged = $7::text::jsonb, cluster_id = $8,
    topic_id = $9, system_identifier = $10, started_at = $11, events_file = $12, watermark = $13,
    lease_until = clock_timestamp() + $3, alarm = NULL, trouble = NULL
WHERE epoch = $1 AND holder = $2 RETURNING epoch"""

VERIFIED: Final = "UPDATE relay_checkpoint SET verified_at = clock_timestamp(), brought_back = $2 WHERE epoch = $1"

HELD_UP: Final = "UPDATE relay_checkpoint SET alarm = $2, trouble = $3 WHERE holder = $1"

IDENTITY: Final = """
SELECT (SELECT system_identifier::text FROM pg_control_system()) AS system_identifier,
       pg_postmaster_start_time() AS started_at, pg_relation_filepath('events') AS events_file"""

IS_VERIFIED: Final = """
coalesce(started_at = pg_postmaster_start_time() AND events_file = pg_relation_filepath('events'), false)"""
"""Whether the database that answers is the one that the checkpoint's row says was verified, as the append sees it."""


async def identity_of(connection: Connection) -> DatabaseIdentity:
    """The identity of the database at the other end."""
    row = await connection.fetchrow(IDENTITY)
    assert row is not None
    return DatabaseIdentity(row["system_identifier"], row["started_at"], row["events_file"])


async def take(connection: Connection, replica: UUID, lease: timedelta) -> tuple[Checkpoint, bool] | None:
    """Become the leader if nobody is; the checkpoint, and whether somebody was before and didn't resign.

    None while another's lease runs.
    """
    row = await connection.fetchrow(TAKE, replica, lease)
    return None if row is None else (checkpoint_of(row), row["was_held"])


async def renew(connection: Connection, replica: UUID, epoch: int, lease: timedelta) -> None:
    """Stay the leader. Raises LeadershipLost."""
    if await connection.fetchval(RENEW, epoch, replica, lease) is None:
        raise LeadershipLost(f"epoch {epoch} is over")


async def resign(connection: Connection, replica: UUID) -> None:
    """Let another replica lead at once; nothing of this one is under way."""
    await connection.execute(RELEASE, replica)


async def store(connection: Connection, replica: UUID, checkpoint: Checkpoint, lease: timedelta) -> None:
    """Write the checkpoint and renew the lease. Raises LeadershipLost."""
    stored = await connection.fetchval(
        STORE,
        checkpoint.epoch,
        replica,
        lease,
        str(checkpoint.low_txid),
        list(checkpoint.tail),
        [str(txid) for txid in checkpoint.tail.values()],
        json.dumps({str(partition): offset for partition, offset in sorted(checkpoint.acknowledged.items())}),
        checkpoint.topic.cluster_id if checkpoint.topic else None,
        checkpoint.topic.topic_id if checkpoint.topic else None,
        checkpoint.database.system_identifier if checkpoint.database else None,
        checkpoint.database.started_at if checkpoint.database else None,
        checkpoint.database.events_file if checkpoint.database else None,
        checkpoint.watermark,
    )
    if stored is None:
        raise LeadershipLost(f"epoch {checkpoint.epoch} is over")


async def note_verified(connection: Connection, epoch: int, brought_back: int) -> None:
    """Say when the database was verified, and how many events Kafka gave back."""
    await connection.execute(VERIFIED, epoch, brought_back)


async def note_held_up(connection: Connection, replica: UUID, *, alarm: str | None, trouble: str | None) -> None:
    """Say what keeps this leader from going on, so that any replica can be asked; the next store forgets it."""
    await connection.execute(HELD_UP, replica, alarm, trouble)


def checkpoint_of(row: "asyncpg.Record") -> Checkpoint:
    """The checkpoint in a row that has all of its columns."""
    acknowledged: dict[str, Any] = json.loads(row["acknowledged"])
    return Checkpoint(
        epoch=row["epoch"],
        low_txid=int(row["low_txid"]),
        tail={seq: int(txid) for seq, txid in zip(row["tail_seq"], row["tail_txid"], strict=True)},
        acknowledged={int(partition): offset for partition, offset in acknowledged.items()},
        topic=TopicIdentity(row["cluster_id"], row["topic_id"]) if row["topic_id"] else None,
        database=verified_in(row),
        watermark=row["watermark"],
    )


def verified_in(row: "asyncpg.Record") -> DatabaseIdentity | None:
    """The database that was verified last, in a row that has its columns."""
    if row["started_at"] is None:
        return None
    return DatabaseIdentity(row["system_identifier"] or "", row["started_at"], row["events_file"] or "")
