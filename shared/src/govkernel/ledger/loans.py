"""Loans: connections that a pool lends for a moment instead of for a statement.

To lend one and to take it back costs as much of a process as all else that it does for a batch of one command.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Any, Final, TypeVar

from govkernel.postgres import Connection

if TYPE_CHECKING:
    import asyncpg

T = TypeVar("T")

LOAN_S: Final = 0.1


class _Loan:
    """A lent connection, and what takes it back; `over` once it is to go back as soon as nobody uses it."""

    __slots__ = ("_lending", "connection", "over")

    def __init__(self, lending: AbstractAsyncContextManager[Connection], connection: Connection) -> None:
        self.connection = connection
        self.over = False
        self._lending = lending

    async def give_back(self) -> None:
        await self._lending.__aexit__(None, None, None)


class Loans:
    """The connections that a pool has lent, each for 0.1 s at most beyond the statement that it is used for.

    So whoever expires or closes the pool's connections, or waits for one where all are lent, waits no longer for it.
    """

    def __init__(self, pool: "asyncpg.Pool[Any]", *, timeout_s: float) -> None:
        self._pool = pool
        self._timeout_s = timeout_s
        self._unused: list[_Loan] = []
        self._returns: set[asyncio.Task[None]] = set()

    async def use(self, ask: Callable[[Connection], Awaitable[T]]) -> T:
        """Ask something on a connection that nobody else uses meanwhile, outside of any transaction.

        Raises what `ask` does, and TimeoutError where none can be lent within `timeout_s`.
        """
        loan = self._unused.pop() if self._unused else None
        if loan is not None and loan.connection.is_closed():
            await loan.give_back()
            loan = None
        if loan is None:
            loan = await self._lend()
        try:
            answer = await ask(loan.connection)
        except BaseException:
            # The pool finds out what has become of it.
            await loan.give_back()
            raise
        if loan.over:
            await loan.give_back()
        else:
            self._unused.append(loan)
        return answer

    async def _lend(self) -> _Loan:
        lending = self._pool.acquire(timeout=self._timeout_s)
        loan = _Loan(lending, await lending.__aenter__())
        asyncio.get_running_loop().call_later(LOAN_S, self._end, loan)
        return loan

    def _end(self, loan: _Loan) -> None:
        loan.over = True
        if loan in self._unused:
            self._unused.remove(loan)
            task = asyncio.create_task(loan.give_back())
            self._returns.add(task)
            task.add_done_callback(self._returns.discard)
