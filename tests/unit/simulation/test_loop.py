"""The loop of the simulation: time that is counted, an order that is drawn, processes that die and stop."""

import asyncio
from collections.abc import Iterator
from random import Random

import pytest
from tests.simulation.loop import Process, SimulatedLoop, Stuck, process


@pytest.fixture
def loop() -> Iterator[SimulatedLoop]:
    made = SimulatedLoop(Random(1), most_steps=10_000)  # type: ignore[abstract]  # sockets and threads are not its
    yield made
    made.close()


def test_a_day_takes_no_time(loop: SimulatedLoop) -> None:
    loop.run_until_complete(asyncio.sleep(86_400))
    assert loop.time() == 86_400


def test_within_a_process_callbacks_come_in_their_order(loop: SimulatedLoop) -> None:
    said: list[int] = []

    async def say(number: int) -> None:
        said.append(number)

    async def all_of_them() -> None:
        await asyncio.gather(*(say(number) for number in range(20)))

    loop.run_until_complete(loop.spawn(Process("one"), all_of_them()))
    assert said == list(range(20))


def said_by_two(seed: int) -> str:
    loop = SimulatedLoop(Random(seed))  # type: ignore[abstract]  # sockets and threads are not its
    said: list[str] = []

    async def say() -> None:
        for _ in range(10):
            said.append(str(process()))
            await asyncio.sleep(0)

    async def both() -> None:
        await asyncio.gather(*(loop.spawn(Process(name), say()) for name in "ab"))

    loop.run_until_complete(both())
    loop.close()
    return "".join(said)


def test_which_of_two_processes_goes_on_is_drawn_by_the_seed() -> None:
    assert len({said_by_two(seed) for seed in range(10)}) == 10
    assert said_by_two(3) == said_by_two(3)


def test_what_a_process_begins_is_of_that_process(loop: SimulatedLoop) -> None:
    one = Process("one")
    found: list[object] = []

    async def later() -> None:
        asyncio.get_running_loop().call_later(1, lambda: found.append(process()))
        await asyncio.create_task(asyncio.sleep(2))
        found.append(process())

    loop.run_until_complete(loop.spawn(one, later()))
    assert found == [one, one]
    assert process() is None


def test_a_killed_process_goes_on_no_more_and_cleans_nothing_up(loop: SimulatedLoop) -> None:
    one = Process("one")
    cleaned: list[bool] = []

    async def work() -> None:
        try:
            await asyncio.sleep(10)
        finally:
            cleaned.append(True)

    async def kill() -> None:
        loop.spawn(one, work())
        await asyncio.sleep(5)
        loop.kill(one)
        loop.go_on(one)
        await asyncio.sleep(20)

    loop.run_until_complete(kill())
    assert cleaned == []


def test_a_stopped_process_wakes_too_late(loop: SimulatedLoop) -> None:
    one = Process("one")

    async def work() -> float:
        await asyncio.sleep(1)
        return loop.time()

    async def stop() -> float:
        working = loop.spawn(one, work())
        await asyncio.sleep(0)
        loop.stop_process(one)
        loop.call_later(30, loop.go_on, one)
        return await working

    assert loop.run_until_complete(stop()) == 30


def test_waiting_for_nothing_is_noticed(loop: SimulatedLoop) -> None:
    with pytest.raises(Stuck, match="nothing is left"):
        loop.run_until_complete(asyncio.Event().wait())


def test_going_round_in_circles_is_noticed(loop: SimulatedLoop) -> None:
    async def circles() -> None:
        while True:
            await asyncio.sleep(0)

    with pytest.raises(Stuck, match="no end"):
        loop.run_until_complete(circles())
