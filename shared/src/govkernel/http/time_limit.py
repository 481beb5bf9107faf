"""A time limit that costs nothing where nothing is waited for, and no timer where something is."""

import asyncio
from collections.abc import Coroutine, Generator
from typing import Any, Generic, TypeVar

Result = TypeVar("Result")


class TimeLimit:
    """So many seconds for each of what waits in one event loop.

    All have equally long, so their ends come in the order in which they began: one timer, for the first, is enough.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._ends: dict[asyncio.Timeout, float] = {}
        self._timer: asyncio.TimerHandle | None = None

    async def within(self, coroutine: Coroutine[Any, Any, Result]) -> Result:
        """What a coroutine gives, begun at once, with the limit set when it first waits. Raises TimeoutError.

        Most have all they need at hand, and setting a limit takes longer than what they do.
        """
        try:
            waits_for = coroutine.send(None)
        except StopIteration as ended:
            result: Result = ended.value
            return result
        async with asyncio.timeout(None) as limit:
            self._set(limit)
            try:
                return await _Continued(coroutine, waits_for)
            finally:
                self._ends.pop(limit, None)

    def _set(self, limit: asyncio.Timeout) -> None:
        loop = asyncio.get_running_loop()
        self._ends[limit] = loop.time() + self._seconds
        if self._timer is None:
            self._timer = loop.call_later(self._seconds, self._end)

    def _end(self) -> None:
        """Stop what has had its time, and look again when the next will have had it."""
        loop = asyncio.get_running_loop()
        self._timer = None
        now = loop.time()
        while self._ends:
            limit, ends = next(iter(self._ends.items()))
            if ends > now:
                self._timer = loop.call_at(ends, self._end)
                return
            del self._ends[limit]
            limit.reschedule(now)


class _Continued(Generic[Result]):
    """The rest of a coroutine that was begun, and waits for something."""

    def __init__(self, coroutine: Coroutine[Any, Any, Result], waits_for: Any) -> None:
        self._coroutine = coroutine
        self._waits_for = waits_for

    def __await__(self) -> Generator[Any, Any, Result]:
        waits_for = self._waits_for
        while True:
            told: Any = None
            raised: BaseException | None = None
            try:
                told = yield waits_for
            except BaseException as error:
                raised = error
            try:
                waits_for = self._coroutine.send(told) if raised is None else self._coroutine.throw(raised)
            except StopIteration as ended:
                result: Result = ended.value
                return result
