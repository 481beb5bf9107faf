"""Who reads which partition: leases in the consumer's own database, fenced by an epoch. There is no group protocol.

A lease is taken where it is free or has run out, and stolen from who holds at least two more: so replicas come to equal
shares without knowing of each other. Whoever lost a lease notices at its next batch, for the epoch has moved.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

import asyncpg

from govkernel.consumer.ports import ConsumerStore, Lease, Subscription


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
    free = [lease for lease in wanted if not lease.live]
    # What is left over once everybody has a share is what some replica can't read, so one more is taken at a time.
    taken = free[: max(0, share - holders[replica])] or free[:1]
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


class Leases:
    """The leases of one replica of one consumer on the partitions of one topic, as rows; times are the database's."""

    def __init__(
        self, pool: "asyncpg.Pool[Any]", *, of: Subscription, replica: UUID, lease_s: float, store: ConsumerStore
    ) -> None:
        self._pool = pool
        self._of = of
        self._replica = replica
        self._store = store
        self.lease_s = lease_s

    async def claim(self, *, refused: Mapping[int, int] | None = None) -> list[Lease]:
        """Renew what this replica holds, take what it should, and return everything that it holds now."""
        async with self._pool.acquire(timeout=5) as connection, connection.transaction():
            leases = await self._store.leases(connection, self._of)
            mine = [lease for lease in leases if lease.holder == self._replica]
            wanted = [*mine, *to_take(leases, self._replica, refused=refused)]
            claimed = await self._store.claim(connection, self._of, self._replica, wanted, self.lease_s)
        held = {lease.partition: lease for lease in (*mine, *claimed)}
        return sorted(held.values(), key=lambda lease: lease.partition)

    async def release(self, partitions: Sequence[int] | None = None) -> None:
        """Give up these partitions, or all, so that others need not wait for the leases to run out."""
        async with self._pool.acquire(timeout=5) as connection:
            await self._store.release(connection, self._of, self._replica, partitions)
