"""The generation of what decisions rest on: as long as it is the same, so is what was decided on it."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

import asyncpg

LONGEST_LOOK_S: Final = 5.0


async def read_generation(pool: "asyncpg.Pool[asyncpg.Record]") -> str:
    """The live builds of roles and nodes, and how often each was changed by what is committed."""
    async with pool.acquire(timeout=LONGEST_LOOK_S) as connection:
        found: str = await connection.fetchval("SELECT access_generation()", timeout=LONGEST_LOOK_S)
    return found


class Generation:
    """Tells everybody who asks what the generation was after they asked, with one look for all who wait.

    A look never serves somebody who asked after it had begun: what was committed before is seen.
    """

    def __init__(self, look: Callable[[], Awaitable[str]]) -> None:
        self._look = look
        self._waiting: list[asyncio.Future[str]] = []
        self._looking: asyncio.Task[None] | None = None

    async def now(self) -> str:
        """The generation of what is committed. Raises what the look raises."""
        told: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._waiting.append(told)
        if self._looking is None:
            self._looking = asyncio.create_task(self._run())
        return await told

    async def _run(self) -> None:
        waiting: list[asyncio.Future[str]] = []
        try:
            while self._waiting:
                waiting, self._waiting = self._waiting, []
                try:
                    found = await self._look()
                except Exception as error:
                    for each in waiting:
                        if not each.done():
                            each.set_exception(error)
                else:
                    for each in waiting:
                        if not each.done():
                            each.set_result(found)
        finally:
            self._looking = None
            # Only a look that was itself stopped has left somebody without an answer.
            for each in (*waiting, *self._waiting):
                each.cancel()
            self._waiting = []
