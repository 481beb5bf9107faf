"""What the suites of the ports don't say of the database in memory: what becomes of a statement without its client."""

import asyncio
from collections.abc import Iterator
from random import Random

import asyncpg
import pytest
from tests.simulation.database import MemoryConnection, MemoryDatabase, Point, Transaction
from tests.simulation.loop import Process, SimulatedLoop

STEP_S = 1.0


@pytest.fixture
def loop() -> Iterator[SimulatedLoop]:
    made = SimulatedLoop(Random(1), most_steps=10_000)  # type: ignore[abstract]  # sockets and threads are not its
    yield made
    made.close()


class Slow:
    """A second for each point, and an error where a test wants one."""

    def __init__(self) -> None:
        self.fails: Point | None = None

    async def __call__(self, point: Point) -> None:
        await asyncio.sleep(STEP_S)
        if point == self.fails:
            raise asyncpg.ConnectionDoesNotExistError("the link is broken")


@pytest.fixture
def link() -> Slow:
    return Slow()


@pytest.fixture
def database(link: Slow, loop: SimulatedLoop) -> MemoryDatabase:
    return MemoryDatabase(reached=link)


async def write(on: Transaction, name: str) -> None:
    await on.insert(("names", name), {"name": name})
    await on.step()


async def write_alone(database: MemoryDatabase, name: str) -> None:
    async with database.pool().acquire() as connection:
        await connection.ask(lambda on: write(on, name))


async def write_in_transaction(database: MemoryDatabase, *names: str) -> None:
    async with database.pool().acquire() as connection, connection.transaction():
        for name in names:
            await connection.ask(lambda on, name=name: write(on, name))  # type: ignore[misc]


def names(database: MemoryDatabase) -> list[str]:
    return [row["name"] for row in database.table("names")]


def test_a_commit_whose_answer_is_lost_is_a_commit(loop: SimulatedLoop, database: MemoryDatabase, link: Slow) -> None:
    link.fails = "answer"
    with pytest.raises(asyncpg.ConnectionDoesNotExistError):
        loop.run_until_complete(write_alone(database, "a"))
    assert names(database) == ["a"]


def test_what_did_not_reach_the_server_was_not_done(loop: SimulatedLoop, database: MemoryDatabase, link: Slow) -> None:
    link.fails = "ask"
    with pytest.raises(asyncpg.ConnectionDoesNotExistError):
        loop.run_until_complete(write_alone(database, "a"))
    assert names(database) == []


def killed_after(
    seconds: float, loop: SimulatedLoop, database: MemoryDatabase, *written: str, alone: bool
) -> list[str]:
    """What is there when a process was killed so long after it had begun, and its connections were noticed to be gone."""
    process = Process("client")

    async def kill() -> None:
        loop.spawn(process, write_alone(database, *written) if alone else write_in_transaction(database, *written))
        await asyncio.sleep(seconds)
        loop.kill(process)
        database.drop_connections_of(process)
        await asyncio.sleep(60)

    loop.run_until_complete(kill())
    assert not database.open, "nothing is held for who is gone"
    return names(database)


@pytest.mark.parametrize("seconds", [2.5, 3.5, 4.5])
def test_a_statement_that_runs_is_done_to_its_end_although_its_client_is_killed(
    loop: SimulatedLoop, database: MemoryDatabase, seconds: float
) -> None:
    assert killed_after(seconds, loop, database, "a", alone=True) == ["a"]


@pytest.mark.parametrize("seconds", [1.5, 2.5, 3.5, 4.5, 5.5, 6.5])
def test_a_transaction_whose_client_is_killed_is_undone(
    loop: SimulatedLoop, database: MemoryDatabase, seconds: float
) -> None:
    assert killed_after(seconds, loop, database, "a", "b", alone=False) == []


def test_numbers_are_visible_in_the_order_of_commits(loop: SimulatedLoop, database: MemoryDatabase) -> None:
    async def insert(connection: MemoryConnection, version: int) -> None:
        row = {"stream": version, "version": 1, "document": b""}
        await connection.ask(lambda on: on.insert_event(row))

    async def both() -> None:
        pool = database.pool()
        async with pool.acquire() as first, pool.acquire() as second, first.transaction():
            await insert(first, 1)
            async with second.transaction():
                await insert(second, 2)
            assert [row["seq"] for row in database.log] == [2]

    loop.run_until_complete(both())
    assert [row["seq"] for row in database.log] == [2, 1]


def test_a_transaction_that_is_idle_for_too_long_is_ended(loop: SimulatedLoop, database: MemoryDatabase) -> None:
    async def idle() -> None:
        async with database.pool().acquire() as connection, connection.transaction():

            async def begin(on: Transaction) -> None:
                on.idle_timeout_s = 5.0
                await write(on, "a")

            await connection.ask(begin)
            await asyncio.sleep(6)
            await connection.ask(lambda on: write(on, "b"))

    with pytest.raises(asyncpg.ConnectionDoesNotExistError):
        loop.run_until_complete(idle())
    assert names(database) == []


def test_a_restart_ends_what_runs_and_frees_what_was_locked(loop: SimulatedLoop, database: MemoryDatabase) -> None:
    async def restart() -> None:
        writing = asyncio.create_task(write_in_transaction(database, "a", "b"))
        await asyncio.sleep(4.5)
        database.restart()
        with pytest.raises(asyncpg.ConnectionDoesNotExistError):
            await writing
        await write_alone(database, "a")

    loop.run_until_complete(restart())
    assert names(database) == ["a"]
