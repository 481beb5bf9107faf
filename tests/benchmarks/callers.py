"""Callers that ask again as soon as they are answered: a closed loop, in this process."""

import asyncio
import contextlib
import gc
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from time import perf_counter


@dataclass(frozen=True, slots=True)
class Answered:
    """How many answers each caller got within how many seconds."""

    by_caller: tuple[int, ...]
    seconds: float

    @property
    def per_second(self) -> float:
        """Answers a second, of all callers together."""
        return sum(self.by_caller) / self.seconds


class NothingLeft(Exception):
    """There is nothing to ask for any more: the caller has ended."""


async def callers(count: int, seconds: float, ask: Callable[[int], Awaitable[None]]) -> Answered:
    """Let so many callers ask for so long, or until NothingLeft, `ask` being given the caller's number."""
    counts = [0] * count

    async def caller(number: int) -> None:
        with contextlib.suppress(NothingLeft):
            while perf_counter() < until:
                await ask(number)
                counts[number] += 1

    gc.collect()
    gc.freeze()
    began = perf_counter()
    until = began + seconds
    async with asyncio.TaskGroup() as group:
        for number in range(count):
            group.create_task(caller(number))
    ended = perf_counter()
    gc.unfreeze()
    return Answered(tuple(counts), ended - began)
