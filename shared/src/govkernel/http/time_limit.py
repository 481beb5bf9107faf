"""A time limit that costs nothing where nothing is waited for."""

import asyncio
from collections.abc import Coroutine, Generator
from typing import Any, Generic, TypeVar

Result = TypeVar("Result")


async def within(seconds: float, coroutine: Coroutine[Any, Any, Result]) -> Result:
    """What a coroutine gives, begun at once, with the limit set when it first waits. Raises TimeoutError.

    Most have all they need at hand, and setting a limit takes longer than what they do.
    """
    try:
        waits_for = coroutine.send(None)
    except StopIteration as ended:
        result: Result = ended.value
        return result
    async with asyncio.timeout(seconds):
        return await _Continued(coroutine, waits_for)


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
