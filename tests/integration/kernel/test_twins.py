"""Commands that meet rivals of another replica while they are written in one batch, by way of what both remember."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest
from tests.integration.kernel.jar import CATALOGUE, JAR, AddCoin, Command, OpenJar, context
from tests.support.databases import OPEN_LEDGER

from govkernel.ledger import Answer, Intent, Ledger, StaleVersion
from govkernel.postgres import create_pool


@pytest.fixture
async def ledgers(database: str) -> AsyncIterator[tuple[Ledger, Ledger]]:
    """The ledger of one service as two of its replicas have it."""
    pool = await create_pool(database)
    await pool.execute(OPEN_LEDGER)
    here, there = (
        Ledger(
            pool, service="testing", catalogue=CATALOGUE, clock=lambda: datetime.now(UTC), refusal_status=lambda _: 409
        )
        for _ in range(2)
    )
    yield here, there
    await pool.close()


async def do(
    ledger: Ledger,
    jar: UUID,
    command: Command,
    *,
    key: UUID | None = None,
    expected_version: int | None = None,
    after: asyncio.Barrier | None = None,
) -> Answer:
    """Have a command answered; with `after` its stream is read, and what is read waits for the others to have read."""
    first = after

    async def intend(newest: bool) -> Intent[Any, Any, Any]:
        nonlocal first
        if first is None:
            return Intent(JAR, jar, command)
        loaded = await ledger.load(JAR, jar) if newest else await ledger.load_known(JAR, jar)
        barrier, first = first, None
        await barrier.wait()
        return Intent(JAR, jar, command, loaded=loaded)

    return await ledger.execute(context(key, of=repr(command)), intend, expected_version=expected_version)


async def test_a_key_that_was_answered_elsewhere_is_not_told_to_be_stale(ledgers: tuple[Ledger, Ledger]) -> None:
    here, there = ledgers
    jar, key = uuid4(), uuid4()
    await do(here, jar, OpenJar(3))
    answered = await do(there, jar, AddCoin("bo"), key=key, expected_version=1)
    both = asyncio.Barrier(2)
    again, rival = await asyncio.gather(
        do(here, jar, AddCoin("bo"), key=key, expected_version=1, after=both),
        do(here, jar, AddCoin("ana"), expected_version=1, after=both),
        return_exceptions=True,
    )
    assert isinstance(rival, StaleVersion)
    assert isinstance(again, Answer), f"this key was answered before: {again}"
    assert (again.to_version, again.repeated) == (answered.to_version, True)


async def test_a_version_that_was_seen_is_not_told_to_be_stale_for_a_rivals_sake(
    ledgers: tuple[Ledger, Ledger],
) -> None:
    here, there = ledgers
    jar = uuid4()
    await do(here, jar, OpenJar(3))
    seen = (await do(there, jar, AddCoin("ana"))).to_version
    # Here version 1 is remembered still, so the first of these would make a version 2 of its own, and the second is
    # decided on that; the first then finds its coin in the jar and has nothing to add.
    nothing, added = await asyncio.gather(
        do(here, jar, AddCoin("ana")), do(here, jar, AddCoin("bo"), expected_version=seen), return_exceptions=True
    )
    assert isinstance(nothing, Answer)
    assert isinstance(added, Answer), str(added)
    assert (added.from_version, added.to_version) == (2, 3)
