"""Group load over a database that the test plays: who is read together, and who is told what."""

import asyncio
from collections.abc import Sequence
from typing import Any
from uuid import UUID, uuid4

import pytest
from tests.support.idling import idle

from govkernel.ledger import LedgerUnavailable
from govkernel.ledger.group_load import MOST_STREAMS, GroupLoad, Wanted


class Database:
    """Holds each query until it is told to answer; `queries` are those that came, the newest last."""

    def __init__(self) -> None:
        self.queries: list[list[Wanted]] = []
        self._answers: list[asyncio.Future[Any]] = []

    async def read(self, wanted: Sequence[Wanted]) -> Any:
        """The port that group load reads by; the rows of a stream are its id."""
        self.queries.append(list(wanted))
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._answers.append(answer)
        return await answer

    async def answer(self, number: int) -> None:
        """Answer a query, and let everybody who waited go on."""
        self._answers[number].set_result([[each.stream] for each in self.queries[number]])
        await idle()

    async def fail(self, number: int, error: Exception) -> None:
        """Answer a query with an error."""
        self._answers[number].set_exception(error)
        await idle()


@pytest.fixture
def database() -> Database:
    return Database()


@pytest.fixture
def loads(database: Database) -> GroupLoad:
    return GroupLoad(database.read)


async def asked(loads: GroupLoad, *streams: UUID) -> list["asyncio.Task[Any]"]:
    tasks = [asyncio.create_task(loads.load(Wanted(stream, "fold", 0))) for stream in streams]
    await idle()
    return tasks


async def test_who_asks_alone_is_read_at_once(loads: GroupLoad, database: Database) -> None:
    stream = uuid4()
    (task,) = await asked(loads, stream)
    await database.answer(0)
    assert task.result() == [stream]


async def test_who_asks_meanwhile_is_read_by_the_next_query_and_never_by_one_under_way(
    loads: GroupLoad, database: Database
) -> None:
    stream = uuid4()
    first = await asked(loads, stream)
    first += await asked(loads, stream)
    later = [stream, uuid4(), uuid4()]
    tasks = await asked(loads, *later)
    assert len(database.queries) == 2
    await database.answer(0)
    assert [each.stream for each in database.queries[2]] == later
    await database.answer(2)
    assert [task.result() for task in tasks] == [[each] for each in later]
    await database.answer(1)
    assert [task.result() for task in first] == [[stream]] * 2


async def test_one_query_reads_no_more_than_fits(loads: GroupLoad, database: Database) -> None:
    await asked(loads, *(uuid4() for _ in range(MOST_STREAMS + 5)))
    assert [len(query) for query in database.queries] == [MOST_STREAMS, 5]


async def test_a_database_that_is_away_fails_those_who_asked_and_the_next_are_read(
    loads: GroupLoad, database: Database
) -> None:
    failed = await asked(loads, uuid4(), uuid4())
    await database.fail(0, LedgerUnavailable("the database is away"))
    assert [str(task.exception()) for task in failed] == ["the database is away"] * 2
    stream = uuid4()
    (task,) = await asked(loads, stream)
    await database.answer(1)
    assert task.result() == [stream]


async def test_who_goes_away_takes_nothing_from_the_others(loads: GroupLoad, database: Database) -> None:
    gone, stays = await asked(loads, uuid4(), uuid4())
    gone.cancel()
    await idle()
    await database.answer(0)
    assert stays.result()


async def test_who_asks_in_the_moment_in_which_the_last_readers_end_is_read() -> None:
    answered = asyncio.Event()

    async def read(wanted: Sequence[Wanted]) -> Any:
        await answered.wait()
        return [[each.stream] for each in wanted]

    loads = GroupLoad(read)

    async def ask(times: int) -> None:
        for _ in range(times):
            await loads.load(Wanted(uuid4(), "fold", 0))

    asking = []
    for times in (2, 1):
        asking.append(asyncio.create_task(ask(times)))
        await idle()
    answered.set()
    async with asyncio.timeout(5):
        await asyncio.gather(*asking)
