"""The generation over a database that the test plays: who is told by which look."""

import asyncio
from typing import Any

import pytest
from tests.support.idling import idle

from govkernel.access.generation import Generation


class Database:
    """Holds each look until it is told to answer."""

    def __init__(self) -> None:
        self.looks: list[asyncio.Future[str]] = []

    async def look(self) -> str:
        """The port by which the generation is looked at."""
        self.looks.append(asyncio.get_running_loop().create_future())
        return await self.looks[-1]

    async def answer(self, number: int, generation: str) -> None:
        """Answer a look, and let everybody who waited go on."""
        self.looks[number].set_result(generation)
        await idle()


@pytest.fixture
def database() -> Database:
    return Database()


@pytest.fixture
def generation(database: Database) -> Generation:
    return Generation(database.look)


async def asked(generation: Generation, count: int) -> list["asyncio.Task[Any]"]:
    tasks = [asyncio.create_task(generation.now()) for _ in range(count)]
    await idle()
    return tasks


async def test_who_asks_meanwhile_is_told_by_the_next_look_and_never_by_one_under_way(
    generation: Generation, database: Database
) -> None:
    (first,) = await asked(generation, 1)
    later = await asked(generation, 3)
    await database.answer(0, "one")
    assert first.result() == "one"
    assert not any(task.done() for task in later)
    await database.answer(1, "two")
    assert [task.result() for task in later] == ["two"] * 3
    assert len(database.looks) == 2


async def test_a_database_that_is_away_fails_those_who_asked_and_the_next_are_told(
    generation: Generation, database: Database
) -> None:
    failed = await asked(generation, 2)
    waits = await asked(generation, 1)
    database.looks[0].set_exception(ConnectionError("away"))
    await idle()
    assert [str(task.exception()) for task in failed] == ["away", "away"]
    await database.answer(1, "one")
    assert waits[0].result() == "one"


async def test_who_goes_away_takes_nothing_from_the_others(generation: Generation, database: Database) -> None:
    gone, stays = await asked(generation, 2)
    gone.cancel()
    await idle()
    await database.answer(0, "one")
    assert stays.result() == "one"


async def test_a_look_that_is_stopped_leaves_nobody_waiting(generation: Generation, database: Database) -> None:
    tasks = [*await asked(generation, 2), *await asked(generation, 1)]
    database.looks[0].cancel()
    await idle()
    assert all(task.cancelled() for task in tasks)
