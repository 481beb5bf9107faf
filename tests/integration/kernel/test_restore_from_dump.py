"""A ledger that is restored from a dump on another server is adopted there, and gets back what the dump lacks."""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Final
from uuid import uuid4

import pytest
from tests.integration.kernel.carrying import World, chain, insert

from gov.runtime.ports import choose_ports
from gov.runtime.postgres import PostgresServer
from govkernel.kafka import KafkaAddress, TopicLog
from govkernel.postgres import create_pool
from govkernel.relay import ForeignTransactions, Reconciliation

CHECKOUT: Final = Path(__file__).parents[3]
COMMANDS: Final = """
INSERT INTO commands (command, digest, stream, from_version, to_version, status, recorded_at)
SELECT (convert_from(document, 'UTF8')::json ->> 'command')::uuid, '', stream, version - 1, version,
       CASE version WHEN 1 THEN 201 ELSE 200 END, recorded_at
FROM events ON CONFLICT DO NOTHING"""

# Each insert in a block of its own takes the next transaction id.
GROW_OLD: Final = """
CREATE TEMP TABLE aged (); DO $$ BEGIN FOR each IN 1..5000 LOOP
BEGIN INSERT INTO aged DEFAULT VALUES; EXCEPTION WHEN division_by_zero THEN END; END LOOP; END $$"""


@pytest.fixture
def other_server(tmp_path: Path) -> Iterator[PostgresServer]:
    """A server whose transactions have only just begun to be counted."""
    server = PostgresServer(tmp_path / "postgres", choose_ports(1)[0], "test")
    server.initialise()
    server.start()
    yield server
    server.kill()
    server.forget()


def run(*command: str | Path, **environment: str) -> None:
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, cwd=CHECKOUT, env={**os.environ, **environment}
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture
async def worlds(kafka: str, topic: Callable[..., str]) -> AsyncIterator[Callable[[str], Awaitable[World]]]:
    """Make worlds with databases of their own and the same topic."""
    topics = topic(), topic(partitions=1, compacted=True)
    made: list[World] = []

    async def make(url: str) -> World:
        made.append(World(await create_pool(url), KafkaAddress(kafka), *topics))
        return made[-1]

    yield make
    for world in made:
        await world.close()


async def carry(world: World, *, events: int) -> None:
    await insert(world.pool, *(each for _ in range(events // 5) for each in chain(uuid4(), 5)))
    await world.pool.execute(COMMANDS)
    relay = world.relay()
    await relay.one_pass()
    await relay.close()


async def test_a_dump_is_restored_on_another_server_adopted_and_made_whole(
    database: str,
    kafka: str,
    worlds: Callable[[str], Awaitable[World]],
    other_server: PostgresServer,
    tmp_path: Path,
) -> None:
    before = await worlds(database)
    await before.pool.execute(GROW_OLD)
    await carry(before, events=50)
    programs, dump = Path(other_server.command()[0]).parent, tmp_path / "ledger.sql"
    await asyncio.to_thread(run, programs / "pg_dump", "--no-owner", "--file", dump, database)
    await carry(before, events=30)
    whole = await before.pool.fetch("SELECT stream, version, document FROM events ORDER BY 1, 2")

    restored = other_server.url()
    await asyncio.to_thread(run, programs / "psql", "--quiet", "--set", "ON_ERROR_STOP=1", "--file", dump, restored)
    world = await worlds(restored)
    with pytest.raises(ForeignTransactions):
        await world.relay().one_pass()
    await asyncio.to_thread(
        run,
        *(sys.executable, "-m", "tests.integration.kernel.jar_service", "adopt"),
        PYTHONPATH=str(CHECKOUT),
        GOV_DATABASE_URL=restored,
        GOV_MIGRATION_DATABASE_URL=restored,
        GOV_KAFKA_BOOTSTRAP_SERVERS=kafka,
        GOV_OIDC_ISSUER="http://demo.gatehouse.localhost",
    )
    relay = world.relay()
    assert await relay.one_pass() == 80
    assert (await relay.status()).brought_back == 30
    assert await world.pool.fetch("SELECT stream, version, document FROM events ORDER BY 1, 2") == whole
    await world.assert_carried()
    found = await Reconciliation(world.pool, TopicLog(world.address), "testing", world.topic).run()
    assert (found.events, found.commands, found.repeats, found.counts) == (80, 80, 80, {})
