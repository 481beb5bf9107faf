"""A ledger that is restored from a dump, on whatever server, is closed until it has got back what the dump lacks."""

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
from tests.support.databases import LEDGER_IS_OPEN

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

WHOLE: Final = "SELECT stream, version, document FROM events ORDER BY 1, 2"

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


@pytest.fixture
def programs() -> Path:
    """The folder of PostgreSQL's own programs, which needs no server."""
    return Path(PostgresServer(Path("unused"), 0, "").command()[0]).parent


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


async def adopt(database: str, kafka: str) -> None:
    await asyncio.to_thread(
        run,
        *(sys.executable, "-m", "tests.integration.kernel.jar_service", "adopt"),
        PYTHONPATH=str(CHECKOUT),
        GOV_DATABASE_URL=database,
        GOV_MIGRATION_DATABASE_URL=database,
        GOV_KAFKA_BOOTSTRAP_SERVERS=kafka,
        GOV_OIDC_ISSUER="http://demo.gatehouse.localhost",
    )


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
    programs: Path,
    tmp_path: Path,
) -> None:
    before = await worlds(database)
    await before.pool.execute(GROW_OLD)
    await carry(before, events=50)
    dump = tmp_path / "ledger.sql"
    await asyncio.to_thread(run, programs / "pg_dump", "--no-owner", "--file", dump, database)
    await carry(before, events=30)
    whole = await before.pool.fetch(WHOLE)

    restored = other_server.url()
    await asyncio.to_thread(run, programs / "psql", "--quiet", "--set", "ON_ERROR_STOP=1", "--file", dump, restored)
    world = await worlds(restored)
    with pytest.raises(ForeignTransactions):
        await world.relay().one_pass()
    await adopt(restored, kafka)
    relay = world.relay()
    assert await relay.one_pass() == 80
    assert (await relay.status()).brought_back == 30
    assert await world.pool.fetch(WHOLE) == whole
    await world.assert_carried()
    found = await Reconciliation(world.pool, TopicLog(world.address), "testing", world.topic).run()
    assert (found.events, found.commands, found.repeats, found.counts) == (80, 80, 80, {})


@pytest.mark.parametrize("over_itself", [False, True], ids=["as another database", "over the database itself"])
async def test_a_dump_restored_on_the_server_that_went_on_is_noticed_before_anything_is_appended_or_sent(
    database: str,
    empty_database: str,
    kafka: str,
    worlds: Callable[[str], Awaitable[World]],
    programs: Path,
    tmp_path: Path,
    *,
    over_itself: bool,
) -> None:
    before = await worlds(database)
    await carry(before, events=50)
    dump = tmp_path / "ledger.sql"
    await asyncio.to_thread(run, programs / "pg_dump", "--clean", "--if-exists", "--file", dump, database)
    await carry(before, events=30)
    whole = await before.pool.fetch(WHOLE)

    restored = database if over_itself else empty_database
    await asyncio.to_thread(run, programs / "psql", "--quiet", "--set", "ON_ERROR_STOP=1", "--file", dump, restored)
    world = await worlds(restored)
    assert not await world.pool.fetchval(LEDGER_IS_OPEN)
    assert await world.pool.fetchval("SELECT started_at = pg_postmaster_start_time() FROM relay_checkpoint")
    await adopt(restored, kafka)
    relay = world.relay()
    assert await relay.one_pass() == 80
    assert (await relay.status()).brought_back == 30
    assert await world.pool.fetchval(LEDGER_IS_OPEN)
    assert await world.pool.fetch(WHOLE) == whole
    await world.assert_carried()
