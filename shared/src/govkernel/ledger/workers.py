"""Tasks that empty a queue, a few at a time."""

import asyncio
from collections.abc import Awaitable, Callable


class Workers:
    """At most so many tasks that each do the same work until nothing is left of it."""

    def __init__(self, most: int, work: Callable[[], Awaitable[None]]) -> None:
        self._most = most
        self._work = work
        self._busy = 0
        self._tasks: set[asyncio.Task[None]] = set()

    def start_one(self) -> None:
        """Let one more begin, where one is free."""
        if self._busy < self._most:
            self._busy += 1
            task = asyncio.create_task(self._run())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _run(self) -> None:
        try:
            await self._work()
        finally:
            # At once, and not when the loop tells that it is done: for work that comes before that, none would be free.
            self._busy -= 1
