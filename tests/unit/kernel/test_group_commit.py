"""Group commit over a database that the test plays: what goes together, what waits, and who is told what."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from random import Random
from uuid import UUID, uuid4

import pytest
from tests.simulation.loop import SimulatedLoop
from tests.support.idling import idle

from govevents.document import Document
from govkernel.ledger import Append, Appended, Conflict, Head, LedgerUnavailable
from govkernel.ledger.append import Outcome
from govkernel.ledger.group_commit import LARGEST_BATCH, MOST_WAITING, SMALLEST_BATCH, GroupCommit

NOW = datetime(2026, 1, 1, tzinfo=UTC)


class Database:
    """Holds each batch until it is told to answer; `batches` are those that came, the newest last."""

    def __init__(self) -> None:
        self.batches: list[list[Append]] = []
        self._answers: list[asyncio.Future[Sequence[Outcome]]] = []

    async def write(self, batch: Sequence[Append]) -> Sequence[Outcome]:
        """The port that group commit writes by."""
        self.batches.append(list(batch))
        answer: asyncio.Future[Sequence[Outcome]] = asyncio.get_running_loop().create_future()
        self._answers.append(answer)
        return await answer

    async def commit(self, number: int, *outcomes: Outcome) -> None:
        """Answer a batch, by default that all of it was written, and let everybody who waited go on."""
        self._answers[number].set_result(outcomes or [Appended(item.head) for item in self.batches[number]])
        await idle()

    async def fail(self, number: int, error: Exception) -> None:
        """Answer a batch with an error."""
        self._answers[number].set_exception(error)
        await idle()


def item(
    stream: UUID, version: int = 1, *, relies_on: UUID | None = None, command: UUID | None = None, events: int = 1
) -> Append:
    documents = tuple(
        Document(stream, version + number, "testing.Happened", NOW, NOW, b"{}", bytes([version + number]) * 32)
        for number in range(events)
    )
    return Append(
        command=command or uuid4(),
        digest=b"",
        status=200,
        refusal=None,
        expected=Head(stream, version - 1, None if version == 1 else bytes([version - 1]) * 32),
        documents=documents,
        clock=NOW,
        relies_on=(Head(relies_on, 1, bytes(32)),) if relies_on else (),
    )


@pytest.fixture
def database() -> Database:
    return Database()


@pytest.fixture
def commits(database: Database) -> GroupCommit:
    return GroupCommit(database.write, lambda _item, _after, _outcome: None)


async def sent(commits: GroupCommit, *items: Append) -> list["asyncio.Task[Outcome]"]:
    tasks = [asyncio.create_task(commits.submit(each)) for each in items]
    await idle()
    return tasks


async def test_one_that_comes_alone_is_written_at_once(commits: GroupCommit, database: Database) -> None:
    alone = item(uuid4())
    (task,) = await sent(commits, alone)
    assert database.batches == [[alone]]
    await database.commit(0)
    assert task.result() == Appended(alone.head)


async def test_what_comes_meanwhile_goes_together_in_the_next(commits: GroupCommit, database: Database) -> None:
    busy = await sent(commits, item(uuid4()))
    busy += await sent(commits, item(uuid4()))
    later = [item(uuid4()) for _ in range(5)]
    tasks = await sent(commits, *later)
    assert len(database.batches) == 2
    await database.commit(0)
    assert database.batches[2] == later
    await database.commit(2)
    assert all(task.done() for task in tasks)
    await database.commit(1)


async def test_a_batch_is_half_of_what_waits_within_its_bounds(commits: GroupCommit, database: Database) -> None:
    await sent(commits, item(uuid4()))
    await sent(commits, item(uuid4()))
    await sent(commits, *(item(uuid4()) for _ in range(300)))
    for number in range(10):
        if number < len(database.batches):
            await database.commit(number)
    assert [len(batch) for batch in database.batches[2:9]] == [LARGEST_BATCH, 100, 50, 25, SMALLEST_BATCH, 11]


async def test_commands_on_one_stream_are_chained_in_one_batch(commits: GroupCommit, database: Database) -> None:
    stream = uuid4()
    chain = [item(stream, version) for version in (1, 2, 3)]
    await sent(commits, *chain)
    assert database.batches == [chain]


async def test_a_stream_is_written_by_one_batch_at_a_time(commits: GroupCommit, database: Database) -> None:
    stream = uuid4()
    first, second, other = item(stream, 1), item(stream, 2), item(uuid4())
    await sent(commits, first)
    await sent(commits, second, other)
    assert database.batches == [[first], [other]]
    await database.commit(1)
    assert len(database.batches) == 2
    await database.commit(0)
    assert database.batches[2:] == [[second]]


async def test_a_refusal_that_rests_on_a_pending_state_waits_for_it(commits: GroupCommit, database: Database) -> None:
    stream = uuid4()
    await sent(commits, item(stream, 1))
    (refused,) = await sent(commits, item(stream, 2, events=0))
    assert len(database.batches) == 1
    await database.commit(0)
    assert not refused.done()
    await database.commit(1)
    assert refused.done()


async def test_what_relies_on_a_stream_goes_after_the_batch_that_writes_it(
    commits: GroupCommit, database: Database
) -> None:
    policy = uuid4()
    changes, relies = item(policy), item(uuid4(), relies_on=policy)
    await sent(commits, changes, relies)
    assert database.batches == [[changes]]
    await database.commit(0)
    assert database.batches[1:] == [[relies]]


async def test_what_writes_a_stream_waits_for_those_who_rely_on_it_and_is_not_overtaken_by_more_of_them(
    commits: GroupCommit, database: Database
) -> None:
    policy = uuid4()
    first, changes, second = item(uuid4(), relies_on=policy), item(policy), item(uuid4(), relies_on=policy)
    await sent(commits, first)
    await sent(commits, changes, second)
    assert database.batches == [[first]]
    await database.commit(0)
    assert database.batches[1:] == [[changes]]
    await database.commit(1)
    assert database.batches[2:] == [[second]]


async def test_one_key_sent_twice_at_once_goes_in_two_batches(commits: GroupCommit, database: Database) -> None:
    key = uuid4()
    first, again = item(uuid4(), command=key), item(uuid4(), command=key)
    await sent(commits, first, again)
    assert database.batches == [[first]]
    await database.commit(0)
    assert database.batches[1:] == [[again]]


async def test_one_conflict_fails_no_other(commits: GroupCommit, database: Database) -> None:
    lost, won = item(uuid4()), item(uuid4())
    tasks = await sent(commits, lost, won)
    await database.commit(0, Conflict(Head(lost.expected.stream, 4, bytes(32))), Appended(won.head))
    assert [type(task.result()) for task in tasks] == [Conflict, Appended]


async def test_one_that_nobody_can_write_fails_alone(commits: GroupCommit, database: Database) -> None:
    good, bad, also_good = item(uuid4()), item(uuid4()), item(uuid4())
    tasks = await sent(commits, good, bad, also_good)
    await database.fail(0, ValueError("a batch with it can't be written"))
    await database.commit(1)
    await database.fail(2, ValueError("it can't be written"))
    await database.commit(3)
    assert [type(task.exception()) for task in tasks] == [type(None), ValueError, type(None)]


async def test_a_database_that_is_away_fails_what_was_sent_and_the_rest_goes_on(
    commits: GroupCommit, database: Database
) -> None:
    tasks = await sent(commits, item(uuid4()), item(uuid4()))
    await database.fail(0, LedgerUnavailable("the database is away"))
    assert [type(task.exception()) for task in tasks] == [LedgerUnavailable] * 2
    (later,) = await sent(commits, item(uuid4()))
    await database.commit(1)
    assert isinstance(later.result(), Appended)


async def test_nobody_is_decided_on_what_was_not_written(commits: GroupCommit, database: Database) -> None:
    stream = uuid4()
    (task,) = await sent(commits, item(stream))
    settled = asyncio.create_task(commits.settle(stream))
    await idle()
    assert not settled.done()
    await database.fail(0, LedgerUnavailable("the database is away"))
    assert settled.done()
    assert isinstance(task.exception(), LedgerUnavailable)


async def test_a_caller_who_goes_away_leaves_the_others_their_answers(commits: GroupCommit, database: Database) -> None:
    stream = uuid4()
    gone, stays = await sent(commits, item(stream), item(uuid4()))
    gone.cancel()
    settled = asyncio.create_task(commits.settle(stream))
    await idle()
    assert not settled.done()
    await database.commit(0)
    assert settled.done()
    assert isinstance(stays.result(), Appended)


async def test_more_than_can_wait_is_refused_at_once(commits: GroupCommit, database: Database) -> None:
    await sent(commits, item(uuid4()))
    await sent(commits, item(uuid4()))
    tasks = await sent(commits, *(item(uuid4()) for _ in range(MOST_WAITING)))
    with pytest.raises(LedgerUnavailable, match="wait to be written already"):
        await commits.submit(item(uuid4()))
    for task in tasks:
        task.cancel()
    assert len(database.batches) == 2


async def test_what_was_not_sent_within_its_time_is_refused_and_never_written(database: Database) -> None:
    commits = GroupCommit(database.write, lambda _item, _after, _outcome: None, longest_wait_s=0.05)
    first = await sent(commits, item(uuid4()))
    first += await sent(commits, item(uuid4()))
    (waits,) = await sent(commits, item(uuid4()))
    async with asyncio.timeout(10):
        await asyncio.wait([waits])
    assert isinstance(waits.exception(), LedgerUnavailable)
    await database.commit(0)
    await database.commit(1)
    assert [type(task.result()) for task in first] == [Appended] * 2
    assert len(database.batches) == 2


def test_what_has_waited_its_time_is_refused_at_that_time_however_the_clock_is_rounded() -> None:
    async def refused(after_s: float) -> None:
        await asyncio.sleep(after_s)
        begun: list[int] = []

        async def never(batch: Sequence[Append]) -> Sequence[Outcome]:
            begun.append(len(batch))
            await asyncio.Event().wait()
            raise AssertionError("nobody sets it")

        commits = GroupCommit(never, lambda _item, _after, _outcome: None)
        under_way = []
        for busy in (1, 2):
            under_way.append(asyncio.create_task(commits.submit(item(uuid4()))))
            while len(begun) < busy:
                await asyncio.sleep(0)
        with pytest.raises(LedgerUnavailable, match="not written"):
            await commits.submit(item(uuid4()))
        for task in under_way:
            task.cancel()

    chance = Random(7)
    for _ in range(50):
        loop = SimulatedLoop(chance, most_steps=200)  # type: ignore[abstract]  # sockets and threads are not its
        loop.run_until_complete(refused(chance.uniform(0.0, 100.0)))
        loop.close()


async def test_what_comes_in_the_moment_in_which_the_last_writers_end_is_written() -> None:
    answered = asyncio.Event()

    async def write(batch: Sequence[Append]) -> Sequence[Outcome]:
        await answered.wait()
        return [Appended(each.head) for each in batch]

    commits = GroupCommit(write, lambda _item, _after, _outcome: None)

    async def send(times: int) -> None:
        for _ in range(times):
            await commits.submit(item(uuid4()))

    sending = []
    for times in (2, 1):
        sending.append(asyncio.create_task(send(times)))
        await idle()
    answered.set()
    async with asyncio.timeout(4):
        await asyncio.gather(*sending)
