"""An event loop whose time is counted, not waited for, and whose order is drawn by a seed.

It runs several processes of one program. What belongs to a process is known by its context, which tasks and callbacks
inherit. Within a process callbacks come in their order, as asyncio promises; which process goes on next is drawn. A
process that was killed goes on no more, and nothing of it is cleaned up; one that was stopped goes on when it is told.
Nothing here waits: no socket, no thread, no clock of the machine.
"""

import asyncio
import contextvars
import heapq
import itertools
from collections import deque
from collections.abc import Callable, Coroutine, Generator, Iterator
from contextlib import contextmanager, suppress
from random import Random
from typing import Any, TypeVar

T = TypeVar("T")

_process: contextvars.ContextVar["Process | None"] = contextvars.ContextVar("process", default=None)


class Process:
    """Something that runs by itself, and can be stopped or killed by itself."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.running = True
        self.alive = True
        self.waiting: deque[asyncio.Handle] = deque()

    def __repr__(self) -> str:
        return self.name


def process() -> "Process | None":
    """The process that is running; None for what belongs to none, as servers and clients do."""
    return _process.get()


class _Task(asyncio.Task[Any]):
    """A task that sets hold in the order of their making, whatever its address."""

    def __init__(self, work: Any, *, number: int, **others: Any) -> None:
        self._number = number
        super().__init__(work, **others)

    def __hash__(self) -> int:
        return self._number


class _Future(asyncio.Future[Any]):
    """A future that sets hold in the order of their making."""

    def __init__(self, *, number: int, **others: Any) -> None:
        self._number = number
        super().__init__(**others)

    def __hash__(self) -> int:
        return self._number


class Stuck(Exception):
    """Nothing is left that could happen, or the end does not come."""


class SimulatedLoop(asyncio.AbstractEventLoop):
    """The loop of one run. `chance` draws the order."""

    def __init__(self, chance: Random, *, longest_s: float = 100_000.0, most_steps: int = 1_000_000) -> None:
        self.steps = 0
        self.unheard: list[dict[str, Any]] = []
        self._chance = chance
        self._now = 0.0
        self._longest_s = longest_s
        self._most_steps = most_steps
        self._numbers = itertools.count(1)
        self._timers: list[tuple[float, int, asyncio.TimerHandle]] = []
        self._outside = Process("outside")
        self._ready: list[Process] = []
        self._tasks: dict[_Task, Process | None] = {}
        self._closed = False

    def time(self) -> float:
        return self._now

    def call_soon(  # type: ignore[override]
        self, callback: Callable[..., object], *args: Any, context: contextvars.Context | None = None
    ) -> asyncio.Handle:
        handle = asyncio.Handle(callback, args, self, context)
        self._enqueue(handle)
        return handle

    def call_later(  # type: ignore[override]
        self, delay: float, callback: Callable[..., object], *args: Any, context: contextvars.Context | None = None
    ) -> asyncio.TimerHandle:
        return self.call_at(self._now + delay, callback, *args, context=context)

    def call_at(  # type: ignore[override]
        self, when: float, callback: Callable[..., object], *args: Any, context: contextvars.Context | None = None
    ) -> asyncio.TimerHandle:
        handle = asyncio.TimerHandle(when, callback, args, self, context)
        heapq.heappush(self._timers, (when, next(self._numbers), handle))
        return handle

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """It stays where it is, and is passed over."""

    def _enqueue(self, handle: asyncio.Handle) -> None:
        owner = handle._context.get(_process) or self._outside  # type: ignore[attr-defined]
        if not owner.waiting and owner.running:
            self._ready.append(owner)
        owner.waiting.append(handle)

    def create_future(self) -> "asyncio.Future[Any]":
        return _Future(number=next(self._numbers), loop=self)

    def create_task(
        self,
        coro: Coroutine[Any, Any, T] | Generator[Any, None, T],
        *,
        name: str | None = None,
        context: contextvars.Context | None = None,
    ) -> "asyncio.Task[T]":
        number = next(self._numbers)
        task = _Task(coro, number=number, loop=self, name=name or f"task-{number}", context=context)
        self._tasks[task] = process() if context is None else context.get(_process)
        return task

    def spawn(self, owner: Process, work: Coroutine[Any, Any, T]) -> "asyncio.Task[T]":
        """Run something within a process."""
        context = contextvars.copy_context()
        context.run(_process.set, owner)
        return self.create_task(work, context=context)

    def stop_process(self, owner: Process) -> None:
        """Let a process go on no more until it is told to."""
        owner.running = False
        if owner in self._ready:
            self._ready.remove(owner)

    def go_on(self, owner: Process) -> None:
        """Let a process go on where it stopped."""
        if owner.running or not owner.alive:
            return
        owner.running = True
        if owner.waiting:
            self._ready.append(owner)

    def kill(self, owner: Process) -> None:
        """Let a process go on never more."""
        self.stop_process(owner)
        owner.alive = False

    def run_until_complete(self, future: Any) -> Any:
        """Run until something is done. Raises Stuck."""
        with self._as_running():
            task = asyncio.ensure_future(future, loop=self)
            while not task.done():
                self._step()
        return task.result()

    def _step(self) -> None:
        while not self._ready:
            self._advance()
        self.steps += 1
        if self.steps > self._most_steps:
            raise Stuck(f"no end after {self.steps} steps and {self._now:.1f} s")
        ready = self._ready
        at = int(self._chance.random() * len(ready)) if len(ready) > 1 else 0
        owner = ready[at]
        handle = owner.waiting.popleft()
        if not owner.waiting:
            del ready[at]
        if not handle._cancelled:
            handle._run()

    def _advance(self) -> None:
        """Let the next moment come at which something is to happen."""
        if not self._timers:
            raise Stuck(f"nothing is left to happen after {self._now:.1f} s")
        self._now = max(self._now, self._timers[0][0])
        if self._now > self._longest_s:
            raise Stuck(f"no end after {self._now:.1f} s")
        while self._timers and self._timers[0][0] <= self._now:
            _, _, handle = heapq.heappop(self._timers)
            if not handle._cancelled:
                self._enqueue(handle)

    @contextmanager
    def _as_running(self) -> Iterator[None]:
        before = asyncio._get_running_loop()
        asyncio._set_running_loop(self)
        try:
            yield
        finally:
            asyncio._set_running_loop(before)

    def close(self) -> None:
        """End every task, those of dead processes too, so that none is left for the collector to end."""
        if self._closed:
            return
        self._closed = True
        with self._as_running():
            self.steps = 0
            with suppress(Stuck):
                while pending := [task for task in self._tasks if not task.done()]:
                    for task in pending:
                        task.cancel()
                    self._drain()
        _never_ended.extend(task for task in self._tasks if not task.done())
        self._tasks.clear()
        self._timers.clear()

    def _drain(self) -> None:
        owners = dict.fromkeys([self._outside, *(owner for owner in self._tasks.values() if owner is not None)])
        for owner in owners:
            owner.alive = owner.running = True
        self._ready = [owner for owner in owners if owner.waiting]
        while self._ready:
            self._step()

    def is_running(self) -> bool:
        return asyncio._get_running_loop() is self

    def is_closed(self) -> bool:
        return self._closed

    def get_debug(self) -> bool:
        return False

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Keep what nobody was there to hear."""
        if not self._closed:
            self.unheard.append(context)


_never_ended: list["asyncio.Task[Any]"] = []
"""Tasks that can't be ended; the collector would end them in the middle of something else."""
