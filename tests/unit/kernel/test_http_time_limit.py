"""A time limit that is set only once something is waited for."""

import asyncio

import pytest

from govkernel.http.time_limit import TimeLimit


async def test_what_waits_for_nothing_is_done_at_once() -> None:
    async def sum_up() -> int:
        return 1 + 2

    began = asyncio.get_running_loop().time()
    assert await TimeLimit(0).within(sum_up()) == 3
    assert asyncio.get_running_loop().time() - began < 1


async def test_what_waits_goes_on_where_it_was_and_each_time_it_waits() -> None:
    steps = []

    async def step() -> int:
        for number in range(3):
            steps.append(number)
            await asyncio.sleep(0)
            assert await asyncio.to_thread(lambda: 5) == 5
        return len(steps)

    assert await TimeLimit(60).within(step()) == 3
    assert steps == [0, 1, 2]


async def test_what_takes_too_long_is_stopped_where_it_waits() -> None:
    stopped = []

    async def wait() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            stopped.append("here")
            raise

    with pytest.raises(TimeoutError):
        await TimeLimit(0.01).within(wait())
    assert stopped == ["here"]


async def test_what_is_raised_is_raised_whether_it_had_waited_or_not() -> None:
    async def fail(pauses: int) -> None:
        for _ in range(pauses):
            await asyncio.sleep(0)
        raise LookupError(str(pauses))

    for pauses in range(3):
        with pytest.raises(LookupError, match=str(pauses)):
            await TimeLimit(60).within(fail(pauses))


async def test_what_awaits_a_failure_may_handle_it() -> None:
    async def fail() -> None:
        await asyncio.sleep(0)
        raise LookupError

    async def handle() -> str:
        try:
            await asyncio.create_task(fail())
        except LookupError:
            return "handled"
        return "nothing was raised"

    assert await TimeLimit(60).within(handle()) == "handled"


async def test_who_is_cancelled_while_it_waits_is_cancelled_inside() -> None:
    cleaned = asyncio.Event()

    async def wait() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cleaned.set()

    task = asyncio.create_task(TimeLimit(60).within(wait()))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert cleaned.is_set()


async def test_each_has_as_long_whoever_began_before() -> None:
    limit = TimeLimit(0.05)
    loop = asyncio.get_running_loop()

    async def took_s(seconds: float) -> tuple[str, float]:
        began = loop.time()
        try:
            await limit.within(asyncio.sleep(seconds))
        except TimeoutError:
            return "stopped", loop.time() - began
        return "done", loop.time() - began

    first, quick = asyncio.create_task(took_s(60)), asyncio.create_task(took_s(0))
    await asyncio.sleep(0.03)
    second = asyncio.create_task(took_s(60))
    assert (await quick)[0] == "done"
    for each in (first, second):
        outcome, seconds = await each
        assert outcome == "stopped"
        assert seconds > 0.049
    assert (await asyncio.create_task(took_s(0)))[0] == "done"
    assert (await asyncio.create_task(took_s(60)))[0] == "stopped"


async def test_who_is_cancelled_under_a_limit_is_not_taken_for_too_late() -> None:
    limit = TimeLimit(0.01)
    cancelled = asyncio.create_task(limit.within(asyncio.Event().wait()))
    await asyncio.sleep(0)
    cancelled.cancel()
    with pytest.raises(asyncio.CancelledError):
        await cancelled
    with pytest.raises(TimeoutError):
        await limit.within(asyncio.Event().wait())
    assert cancelled.cancelled()
