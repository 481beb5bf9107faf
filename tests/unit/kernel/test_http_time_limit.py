"""A time limit that is set only once something is waited for."""

import asyncio

import pytest

from govkernel.http.time_limit import within


async def test_what_waits_for_nothing_is_done_at_once() -> None:
    async def sum_up() -> int:
        return 1 + 2

    began = asyncio.get_running_loop().time()
    assert await within(0, sum_up()) == 3
    assert asyncio.get_running_loop().time() - began < 1


async def test_what_waits_goes_on_where_it_was_and_each_time_it_waits() -> None:
    steps = []

    async def step() -> int:
        for number in range(3):
            steps.append(number)
            await asyncio.sleep(0)
            assert await asyncio.to_thread(lambda: 5) == 5
        return len(steps)

    assert await within(60, step()) == 3
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
        await within(0.01, wait())
    assert stopped == ["here"]


async def test_what_is_raised_is_raised_whether_it_had_waited_or_not() -> None:
    async def fail(pauses: int) -> None:
        for _ in range(pauses):
            await asyncio.sleep(0)
        raise LookupError(str(pauses))

    for pauses in range(3):
        with pytest.raises(LookupError, match=str(pauses)):
            await within(60, fail(pauses))


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

    assert await within(60, handle()) == "handled"


async def test_who_is_cancelled_while_it_waits_is_cancelled_inside() -> None:
    cleaned = asyncio.Event()

    async def wait() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cleaned.set()

    task = asyncio.create_task(within(60, wait()))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert cleaned.is_set()
