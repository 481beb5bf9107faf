"""The relay goes on by itself when PostgreSQL or Kafka is killed and comes back."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime
from uuid import UUID, uuid4

import pytest
from tests.integration.kernel.carrying import World, document, insert, until
from tests.support.databases import LEDGER_IS_OPEN, create_template, url_of
from tests.support.topics import create_topic

from gov.runtime.testing import PackagedInfrastructure
from govkernel.kafka import KafkaAddress
from govkernel.postgres import UNAVAILABLE, create_pool


@pytest.fixture(scope="module")
def servers() -> Iterator[PackagedInfrastructure]:
    with PackagedInfrastructure() as started:
        yield started


class Writer:
    """Appends to a few streams as the ledger would: only where the database is verified, each event once."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._stop = asyncio.Event()
        self.acknowledged: set[tuple[UUID, int]] = set()

    async def run(self) -> None:
        streams = [uuid4() for _ in range(5)]
        number = 0
        while not self._stop.is_set():
            number += 1
            try:
                await self._append(streams[number % len(streams)])
            except UNAVAILABLE:
                await asyncio.sleep(0.05)
            await asyncio.sleep(0.005)

    async def _append(self, stream: UUID) -> None:
        async with self._world.pool.acquire(timeout=2) as connection, connection.transaction():
            if not await connection.fetchval(LEDGER_IS_OPEN):
                return
            head = await connection.fetchrow(
                "SELECT version, hash FROM events WHERE stream = $1 ORDER BY version DESC LIMIT 1", stream
            )
            version, previous = (head["version"], head["hash"]) if head else (0, None)
            await insert(connection, document(stream, version + 1, previous, recorded_at=datetime.now(UTC)))
        self.acknowledged.add((stream, version + 1))

    def stop(self) -> None:
        self._stop.set()


async def test_what_was_acknowledged_arrives_although_both_servers_are_killed_in_turn(
    servers: PackagedInfrastructure,
) -> None:
    await create_template(servers.postgres_url(), "testing")
    address = KafkaAddress(servers.kafka_bootstrap)
    create_topic(servers.kafka_bootstrap, "gov.testing.events.v1")
    create_topic(servers.kafka_bootstrap, "marks", partitions=1, compacted=True)
    pool = await create_pool(url_of(servers.postgres_url(), "testing"), largest=8)
    world = World(pool, address, "gov.testing.events.v1", "marks")
    stop = asyncio.Event()
    relays = [world.relay(lease_s=2.0), world.relay(lease_s=2.0)]
    carrying = [asyncio.create_task(relay.run(stop)) for relay in relays]
    writer = Writer(world)
    writing = asyncio.create_task(writer.run())

    async def more(than: int) -> None:
        async def written() -> bool:
            return len(writer.acknowledged) > than

        await until(written, seconds=30)

    try:
        await more(20)
        await asyncio.to_thread(servers.kill_postgres)
        so_far = len(writer.acknowledged)
        servers.start_postgres()
        await more(so_far + 20)
        await asyncio.to_thread(servers.kill_kafka)
        so_far = len(writer.acknowledged)
        await more(so_far + 20)
        servers.start_kafka()

        async def caught_up() -> bool:
            return (await relays[0].status()).lag_rows < 5

        await until(caught_up, seconds=30)
        writer.stop()
        await writing

        async def everything() -> bool:
            return (await relays[0].status()).lag_rows == 0

        await until(everything, seconds=30)
        await world.assert_carried()
        rows = await pool.fetch("SELECT stream, version FROM events")
        assert writer.acknowledged <= {(row["stream"], row["version"]) for row in rows}
    finally:
        writer.stop()
        stop.set()
        ended = await asyncio.gather(writing, *carrying, return_exceptions=True)
        await world.close()
    assert ended == [None, None, None]
