"""Tasks that outlive their failures: started again with back-off, and shown while they are down."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from govkernel.logging import logger
from govkernel.metrics import Metrics
from govkernel.pause import pause

SHORTEST_BACKOFF_S: Final = 0.5
LONGEST_BACKOFF_S: Final = 30.0
HEALTHY_S: Final = 60.0
CANCELLED_WITHIN_S: Final = 0.5

Work = Callable[[asyncio.Event], Awaitable[None]]
"""Works until the event is set; what it raises is its failure, and so is to end before that."""

log = logger(__name__)


@dataclass(slots=True)
class _Task:
    work: Work
    stop: asyncio.Event
    running: asyncio.Task[None]


class Tasks:
    """The background tasks of one process."""

    def __init__(self, metrics: Metrics, *, shortest_backoff_s: float = SHORTEST_BACKOFF_S) -> None:
        self._metrics = metrics
        self._shortest_backoff_s = shortest_backoff_s
        self._tasks: dict[str, _Task] = {}
        self._down: dict[str, str] = {}

    def start(self, name: str, work: Work) -> None:
        """Begin a task under a name of its own."""
        assert name not in self._tasks, f"{name} was started already"
        stop = asyncio.Event()
        self._tasks[name] = _Task(work, stop, asyncio.create_task(self._supervise(name, work, stop), name=name))

    def down(self) -> dict[str, str]:
        """The tasks that have failed and wait to be started again, each with the reason."""
        return dict(self._down)

    async def stop(self, *names: str, timeout_s: float) -> None:
        """Tell these tasks to end, all without names, wait for them, and cancel those that don't in time."""
        chosen = [self._tasks.pop(name) for name in (names or tuple(self._tasks)) if name in self._tasks]
        for task in chosen:
            task.stop.set()
        if not chosen:
            return
        _, late = await asyncio.wait([task.running for task in chosen], timeout=timeout_s)
        for running in late:
            log.warning("task_cancelled", task=running.get_name(), waited_s=timeout_s)
            running.cancel()
        if late:
            # What waits for a database that stands still to confirm that it was cancelled ends with its connection.
            await asyncio.wait(late, timeout=CANCELLED_WITHIN_S)

    async def _supervise(self, name: str, work: Work, stop: asyncio.Event) -> None:
        loop = asyncio.get_running_loop()
        backoff_s = self._shortest_backoff_s
        while not stop.is_set():
            began = loop.time()
            error: BaseException | None = None
            try:
                up = asyncio.create_task(self._mark_up(name, backoff_s))
                try:
                    await work(stop)
                finally:
                    up.cancel()
            except Exception as raised:
                error = raised
            except asyncio.CancelledError as raised:
                # Drivers let it out when they are cut off: a failure, unless this very task is to end.
                if _is_to_end():
                    raise
                error = raised
            if stop.is_set():
                if error is not None:
                    log.warning("task_failed_while_stopping", task=name, exc_info=error)
                return
            if loop.time() - began >= HEALTHY_S:
                backoff_s = self._shortest_backoff_s
            self._down[name] = f"{type(error).__name__}: {error}"[:300] if error else "ended without being told to"
            self._metrics.restarts.labels(name).inc()
            log.error("task_failed", task=name, starts_again_in_s=backoff_s, exc_info=error)
            await pause(stop, backoff_s)
            backoff_s = min(backoff_s * 2, LONGEST_BACKOFF_S)
        self._down.pop(name, None)

    async def _mark_up(self, name: str, after_s: float) -> None:
        # A task that fails at once is down all the while, not up for a moment between two failures.
        await asyncio.sleep(after_s)
        self._down.pop(name, None)


def _is_to_end() -> bool:
    current = asyncio.current_task()
    return current is None or current.cancelling() > 0
