"""A consumer's port in memory: its partitions, guards and parked records, as PostgreSQL keeps them."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from datetime import timedelta
from hashlib import sha256
from typing import Any
from uuid import UUID

from tests.simulation.database import Key, Row, Transaction, memory

from govkernel.consumer.guard import BLOCKING, Guard, Kind, Parking
from govkernel.consumer.ports import Lease, Subscription
from govkernel.kafka import TopicIdentity
from govkernel.postgres import Connection

SET_ASIDE = Kind.SET_ASIDE.value


class MemoryConsumer:
    """The rows of consumers in memory."""

    async def known(self, connection: Connection, of: Subscription) -> Sequence[Row]:
        async def look(on: Transaction) -> list[Row]:
            rows = [row for _, row in _partitions(on, of)]
            identities = dict.fromkeys((row["cluster_id"], row["topic_id"]) for row in rows)
            return [
                {"cluster_id": cluster, "topic_id": topic, "partitions": len(rows)} for cluster, topic in identities
            ]

        return await memory(connection).ask(look)

    async def begin(self, connection: Connection, of: Subscription, partitions: int) -> None:
        async def begin(on: Transaction) -> None:
            for partition in range(partitions):
                row: dict[str, Any] = {
                    "consumer": of.consumer,
                    "topic": of.topic,
                    "partition": partition,
                    "next_offset": 0,
                    "epoch": 0,
                    "holder": None,
                    "lease_until": None,
                    "cluster_id": None,
                    "topic_id": None,
                }
                await on.insert(_partition(of, partition), row)

        await memory(connection).ask(begin)

    async def identify(self, connection: Connection, of: Subscription, identity: TopicIdentity) -> None:
        async def identify(on: Transaction) -> None:
            for key, row in _partitions(on, of):
                if row["topic_id"] is None:
                    await _update(on, key, cluster_id=identity.cluster_id, topic_id=identity.topic_id)

        await memory(connection).ask(identify)

    async def leases(self, connection: Connection, of: Subscription) -> list[Lease]:
        async def look(on: Transaction) -> list[Lease]:
            now = on.database.clock()
            return [
                _lease(row, live=row["holder"] is not None and row["lease_until"] > now)
                for _, row in _partitions(on, of)
            ]

        return await memory(connection).ask(look)

    async def claim(
        self, connection: Connection, of: Subscription, replica: UUID, wanted: Sequence[Lease], lease_s: float
    ) -> list[Lease]:
        async def claim(on: Transaction) -> list[Lease]:
            claimed = []
            for lease in sorted(wanted, key=lambda each: each.partition):
                key = _partition(of, lease.partition)
                if on.database.locks.against(on, key):
                    continue
                await on.lock(*key)
                row = on.get(key)
                if row is None or row["epoch"] != lease.epoch:
                    continue
                until = on.database.clock() + timedelta(seconds=lease_s)
                epoch = row["epoch"] + (row["holder"] != replica)
                claimed.append(
                    _lease(await _update(on, key, holder=replica, epoch=epoch, lease_until=until), live=True)
                )
            return claimed

        return await memory(connection).ask(claim)

    async def release(
        self, connection: Connection, of: Subscription, replica: UUID, partitions: Sequence[int] | None
    ) -> None:
        async def release(on: Transaction) -> None:
            for key, row in _partitions(on, of):
                if row["holder"] == replica and (partitions is None or row["partition"] in partitions):
                    await on.lock(*key)
                    now = on.get(key)
                    if now is not None and now["holder"] == replica:
                        await _update(on, key, holder=None, lease_until=None)

        await memory(connection).ask(release)

    async def lock(
        self, connection: Connection, of: Subscription, partitions: Sequence[int], idle_timeout_s: float
    ) -> Sequence[Row]:
        async def lock(on: Transaction) -> list[Row]:
            on.idle_timeout_s = idle_timeout_s
            locked = []
            for partition in sorted(partitions):
                await on.lock(*_partition(of, partition))
                row = on.get(_partition(of, partition))
                if row is not None:
                    locked.append(row)
            return locked

        return await memory(connection).ask(lock)

    async def streams(self, connection: Connection, consumer: str, streams: Sequence[UUID]) -> Sequence[Row]:
        async def look(on: Transaction) -> list[Row]:
            kinds = defaultdict(set)
            for row in _parked(on, consumer):
                kinds[row["stream"]].add(row["kind"])
            found: list[Row] = []
            for stream in streams:
                guard = on.get(_guard(consumer, stream))
                found.append(
                    {
                        "stream": stream,
                        "version": guard["version"] if guard else None,
                        "hash": guard["hash"] if guard else None,
                        "parked": bool(kinds[stream] - {SET_ASIDE}),
                        "blocked": bool(kinds[stream] & {*BLOCKING}),
                    }
                )
            return found

        return await memory(connection).ask(look)

    async def held(
        self, connection: Connection, consumer: str, streams: Sequence[UUID], versions: Sequence[int]
    ) -> Sequence[Row]:
        async def look(on: Transaction) -> list[Row]:
            return [
                {**row, "hash": sha256(row["record_value"] or b"").digest()}
                for row in _parked(on, consumer)
                if row["stream"] in streams and row["version"] in versions and row["kind"] != SET_ASIDE
            ]

        return await memory(connection).ask(look)

    async def waiting(
        self, connection: Connection, consumer: str, stream: UUID, after: int, most: int
    ) -> Sequence[Row]:
        async def look(on: Transaction) -> list[Row]:
            found = [
                row
                for row in _parked(on, consumer)
                if row["stream"] == stream
                and row["version"] is not None
                and row["version"] > after
                and row["kind"] != SET_ASIDE
            ]
            return sorted(found, key=lambda row: (row["version"], row["record_offset"]))[:most]

        return await memory(connection).ask(look)

    async def save(
        self,
        connection: Connection,
        of: Subscription,
        begun: Sequence[tuple[UUID, Guard]],
        continued: Sequence[tuple[UUID, Guard, Guard]],
        positions: Mapping[int, int],
        lease_s: float,
    ) -> tuple[int, int]:
        async def save(on: Transaction) -> tuple[int, int]:
            guards = 0
            for stream, after in begun:
                row = {"stream": stream, "consumer": of.consumer, "version": after.version, "hash": after.hash}
                guards += await on.insert(_guard(of.consumer, stream), row)
            for stream, before, after in continued:
                key = _guard(of.consumer, stream)
                await on.lock(*key)
                stands = on.get(key)
                if stands is not None and stands["version"] == before.version:
                    await _update(on, key, version=after.version, hash=after.hash)
                    guards += 1
            for partition, offset in positions.items():
                key = _partition(of, partition)
                await on.lock(*key)
                row_ = on.get(key)
                assert row_ is not None, "its partitions are there"
                until = on.database.clock() + timedelta(seconds=lease_s)
                await _update(on, key, next_offset=offset, lease_until=max(row_["lease_until"] or until, until))
            return guards, len(positions)

        return await memory(connection).ask(save)

    async def park(self, connection: Connection, of: Subscription, parkings: Sequence[Parking]) -> None:
        async def park(on: Transaction) -> None:
            for each in parkings:
                arrival = each.arrival
                place = (of.topic, arrival.partition, arrival.offset)
                await on.lock("parked_record", of.consumer, *place)
                if any(
                    (row["topic"], row["partition"], row["record_offset"]) == place for row in _parked(on, of.consumer)
                ):
                    continue
                number = on.database.next_id
                on.database.next_id += 1
                row = {
                    "id": number,
                    "consumer": of.consumer,
                    "topic": of.topic,
                    "partition": arrival.partition,
                    "record_offset": arrival.offset,
                    "stream": arrival.stream,
                    "version": arrival.envelope.version if arrival.envelope else None,
                    "kind": each.kind.value,
                    "reason": each.reason,
                    "record_key": arrival.key,
                    "record_value": arrival.value,
                    "parked_at": on.database.clock(),
                    "tries": 1,
                }
                await on.insert(("parked", number), row)

        await memory(connection).ask(park)

    async def keep(self, connection: Connection, kept: Sequence[Parking]) -> None:
        async def keep(on: Transaction) -> None:
            for each in kept:
                key = ("parked", each.arrival.parked)
                await on.lock(*key)
                if (row := on.get(key)) is not None:
                    await _update(on, key, kind=each.kind.value, reason=each.reason, tries=row["tries"] + 1)

        await memory(connection).ask(keep)

    async def forget(self, connection: Connection, records: Sequence[int]) -> None:
        async def forget(on: Transaction) -> None:
            for record in records:
                await on.lock("parked", record)
                if on.get(("parked", record)) is not None:
                    on.put(("parked", record), None)

        await memory(connection).ask(forget)

    async def set_aside(self, connection: Connection, consumer: str, stream: UUID, version: int) -> None:
        async def set_aside(on: Transaction) -> None:
            for row in _parked(on, consumer):
                blocks = row["stream"] == stream and row["kind"] in BLOCKING
                if blocks and (row["version"] is None or row["version"] <= version):
                    await _update(on, ("parked", row["id"]), kind=SET_ASIDE)

        await memory(connection).ask(set_aside)

    async def due(
        self, connection: Connection, of: Subscription, partitions: Sequence[int], besides: Sequence[UUID], most: int
    ) -> Sequence[Row]:
        async def look(on: Transaction) -> list[Row]:
            parked = _parked(on, of.consumer)
            blocked = {row["stream"] for row in parked if row["kind"] in BLOCKING}
            may: defaultdict[UUID, list[Row]] = defaultdict(list)
            for row in parked:
                stream = row["stream"]
                if row["topic"] != of.topic or row["partition"] not in partitions or stream is None:
                    continue
                if stream not in besides and stream not in blocked and self._may_follow(on, of, row):
                    may[stream].append(row)
            order = sorted(
                may, key=lambda each: (min(row["tries"] for row in may[each]), min(row["id"] for row in may[each]))
            )
            return [
                {"stream": stream, "partitions": sorted({row["partition"] for row in may[stream]})}
                for stream in order[:most]
            ]

        return await memory(connection).ask(look)

    @staticmethod
    def _may_follow(on: Transaction, of: Subscription, row: Row) -> bool:
        if row["kind"] == Kind.NOT_YET.value:
            return True
        guard = on.get(_guard(of.consumer, row["stream"]))
        follows = guard is not None and row["version"] == guard["version"] + 1
        return follows and row["kind"] in (Kind.GAP.value, Kind.BEHIND.value)

    async def count_parked(self, connection: Connection, consumer: str) -> dict[str, int]:
        async def look(on: Transaction) -> dict[str, int]:
            return dict(Counter(row["kind"] for row in _parked(on, consumer)))

        return await memory(connection).ask(look)


def _partition(of: Subscription, partition: int) -> Key:
    return "consumer_partitions", of.consumer, of.topic, partition


def _guard(consumer: str, stream: UUID) -> Key:
    return "consumer_guards", consumer, stream


def _partitions(on: Transaction, of: Subscription) -> list[tuple[Key, Row]]:
    found = [(key, row) for key, row in on.scan("consumer_partitions") if key[1:3] == (of.consumer, of.topic)]
    return sorted(found, key=lambda each: each[1]["partition"])


def _parked(on: Transaction, consumer: str) -> list[Row]:
    return [row for _, row in on.scan("parked") if row["consumer"] == consumer]


def _lease(row: Row, *, live: bool) -> Lease:
    return Lease(row["partition"], row["holder"], row["epoch"], live, row["next_offset"])


async def _update(on: Transaction, key: Key, **columns: Any) -> Row:
    """Change a row once it is locked, as it then is."""
    await on.lock(*key)
    row = on.get(key)
    assert row is not None, "it was there a moment ago"
    changed = {**row, **columns}
    on.put(key, changed)
    return changed
