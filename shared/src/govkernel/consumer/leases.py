"""Who reads which partition: leases in the consumer's own database, fenced by an epoch. There is no group protocol.

A lease is taken where it is free or has run out, and stolen from who holds at least two more: so replicas come to equal
shares without knowing of each other. Whoever lost a lease notices at its next batch, for the epoch has moved.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

import asyncpg


@dataclass(frozen=True, slots=True)
class Lease:
    """A partition as its row says: who holds it under which epoch, if that is still valid, and where to read on."""

    partition: int
    holder: UUID | None
    epoch: int
    live: bool
    next_offset: int


def to_take(leases: Sequence[Lease], replica: UUID, *, refused: Mapping[int, int] | None = None) -> list[Lease]:
    """The partitions that a replica should take now, besides those that it holds. Pure.

    `refused` are offsets at which this replica can't read on: it leaves such a partition to others until past that.
    """
    too_far = refused or {}
    holders = Counter(lease.holder for lease in leases if lease.live and lease.holder is not None)
    holders[replica] = sum(1 for lease in leases if lease.holder == replica)
    share = -(-len(leases) // len(holders))
    wanted = [
        lease for lease in leases if lease.holder != replica and too_far.get(lease.partition, -1) < lease.next_offset
    ]
    taken = [lease for lease in wanted if not lease.live][: max(0, share - holders[replica])]
    holders[replica] += len(taken)
    for lease in reversed(wanted):
        largest = max((count for holder, count in holders.items() if holder != replica), default=0)
        if largest < holders[replica] + 2:
            break
        if lease.live and lease.holder is not None and holders[lease.holder] == largest:
            taken.append(lease)
            holders[lease.holder] -= 1
            holders[replica] += 1
    return taken


ALL: Final = """
SELECT partition, holder, epoch, next_offset,
  coalesce(holder IS NOT NULL AND lease_until > clock_timestamp(), false) AS live
FROM consumer_partitions WHERE consumer = $1 AND topic = $2 ORDER BY partition"""

# Rows that a batch or another claim holds at this moment are left for the next time, so that claims never wait.
CLAIM: Final = """
WITH chosen AS (
  SELECT held.partition FROM consumer_partitions AS held
  JOIN unnest($4::int[], $5::bigint[]) AS wanted (partition, epoch) USING (partition, epoch)
  WHERE held.consumer = $1 AND held.topic = $2
  ORDER BY held.partition FOR UPDATE OF held SKIP LOCKED)
UPDATE consumer_partitions AS held
SET holder = $3, epoch = epoch + (holder IS DISTINCT FROM $3)::int,
  lease_until = clock_timestamp() + $6 * interval '1 second'
FROM chosen
WHERE held.consumer = $1 AND held.topic = $2 AND held.partition = chosen.partition
RETURNING held.partition, held.holder, held.epoch, true AS live, held.next_offset"""

RELEASE: Final = """
UPDATE consumer_partitions SET holder = NULL, lease_until = NULL
WHERE consumer = $1 AND topic = $2 AND holder = $3 AND ($4::int[] IS NULL OR partition = ANY($4))"""


class Leases:
    """The leases of one replica of one consumer on the partitions of one topic, as rows; times are the database's."""

    def __init__(self, pool: "asyncpg.Pool[Any]", *, consumer: str, topic: str, replica: UUID, lease_s: float) -> None:
        self._pool = pool
        self._place = consumer, topic
        self._replica = replica
        self.lease_s = lease_s

    async def claim(self, *, refused: Mapping[int, int] | None = None) -> list[Lease]:
        """Renew what this replica holds, take what it should, and return everything that it holds now."""
        async with self._pool.acquire(timeout=5) as connection, connection.transaction():
            leases = [Lease(**row) for row in await connection.fetch(ALL, *self._place)]
            mine = [lease for lease in leases if lease.holder == self._replica]
            wanted = [*mine, *to_take(leases, self._replica, refused=refused)]
            rows = await connection.fetch(
                CLAIM,
                *self._place,
                self._replica,
                [lease.partition for lease in wanted],
                [lease.epoch for lease in wanted],
                self.lease_s,
            )
        held = {lease.partition: lease for lease in mine} | {row["partition"]: Lease(**row) for row in rows}
        return sorted(held.values(), key=lambda lease: lease.partition)

    async def release(self, partitions: Sequence[int] | None = None) -> None:
        """Give up these partitions, or all, so that others need not wait for the leases to run out."""
        async with self._pool.acquire(timeout=5) as connection:
            await connection.execute(
                RELEASE, *self._place, self._replica, list(partitions) if partitions is not None else None
            )
