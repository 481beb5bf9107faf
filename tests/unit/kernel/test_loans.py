"""Loans over a pool that the test plays: who uses which connection, and when the pool has it back."""

import asyncio
from types import TracebackType
from typing import Any, Self, cast

import pytest

from govkernel.ledger.loans import LOAN_S, Loans
from govkernel.postgres import Connection

SOON_S = 20 * LOAN_S


class Lent:
    """A connection of the pool's, for one loan."""

    def __init__(self, pool: "Pool") -> None:
        self.pool = pool
        self.closed = False

    def is_closed(self) -> bool:
        """Whether the connection has ended."""
        return self.closed

    async def __aenter__(self) -> Self:
        self.pool.lent.append(self)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.pool.returned.append(self)
        self.pool.changed.set()


class Pool:
    """Lends as many connections as are wanted."""

    def __init__(self) -> None:
        self.lent: list[Lent] = []
        self.returned: list[Lent] = []
        self.changed = asyncio.Event()

    def acquire(self, *, timeout: float) -> Lent:
        """A connection, once it is entered."""
        return Lent(self)

    async def wait_for_returned(self, count: int) -> None:
        """Wait until so many connections are back."""
        async with asyncio.timeout(SOON_S):
            while len(self.returned) < count:
                self.changed.clear()
                await self.changed.wait()


@pytest.fixture
def pool() -> Pool:
    return Pool()


@pytest.fixture
def loans(pool: Pool) -> Loans:
    return Loans(cast(Any, pool), timeout_s=1)


async def itself(connection: Connection) -> Connection:
    return connection


async def test_what_comes_right_afterwards_uses_the_same_connection(pool: Pool, loans: Loans) -> None:
    assert await loans.use(itself) is await loans.use(itself)
    assert len(pool.lent) == 1


async def test_nobody_uses_a_connection_that_is_used(pool: Pool, loans: Loans) -> None:
    async def while_used(first: Connection) -> None:
        assert await loans.use(itself) is not first

    await loans.use(while_used)
    assert len(pool.lent) == 2


async def test_an_unused_connection_is_back_after_a_moment(pool: Pool, loans: Loans) -> None:
    await loans.use(itself)
    await pool.wait_for_returned(1)
    await loans.use(itself)
    assert len(pool.lent) == 2


async def test_a_used_connection_is_back_as_soon_as_its_statement_has_ended(pool: Pool, loans: Loans) -> None:
    async def outlast(_connection: Connection) -> None:
        await loans.use(itself)
        await pool.wait_for_returned(1)

    await loans.use(outlast)
    assert len(pool.returned) == 2


async def test_a_connection_whose_statement_failed_is_back_before_anybody_hears_of_it(pool: Pool, loans: Loans) -> None:
    async def fail(_connection: Connection) -> None:
        raise OSError

    with pytest.raises(OSError, match=r"^$"):
        await loans.use(fail)
    assert pool.returned == pool.lent


async def test_a_connection_is_back_where_its_user_was_cancelled(pool: Pool, loans: Loans) -> None:
    used = asyncio.Event()

    async def stand_still(_connection: Connection) -> None:
        used.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(loans.use(stand_still))
    await used.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert pool.returned == pool.lent


async def test_a_connection_that_was_lost_meanwhile_is_replaced(pool: Pool, loans: Loans) -> None:
    await loans.use(itself)
    (lost,) = pool.lent
    lost.closed = True
    assert cast(object, await loans.use(itself)) is pool.lent[1]
    assert pool.returned == [lost]
