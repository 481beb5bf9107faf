"""A replica whose clock is too far off appends nothing, and takes away nothing that another one would append."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from tests.integration.kernel.jar import CATALOGUE, JAR, AddCoin, OpenJar, context
from tests.support.databases import OPEN_LEDGER
from tests.support.streams import Stream

from govevents.projects import ProjectTerminated
from govkernel.consumer import Unavailable
from govkernel.domain import Reaction
from govkernel.ledger import Intent, Ledger, LedgerUnavailable, Timers
from govkernel.postgres import create_pool
from govkernel.reactions import ReactionHandler

OFF = timedelta(seconds=30)


@pytest.fixture
async def ledger(database: str) -> AsyncIterator[Ledger]:
    """A ledger by a clock that is right, until a test puts it wrong."""
    pool = await create_pool(database)
    await pool.execute(OPEN_LEDGER)
    yield Ledger(
        pool, service="testing", catalogue=CATALOGUE, clock=lambda: datetime.now(UTC), refusal_status=lambda _: 409
    )
    await pool.close()


async def open_jar(ledger: Ledger, jar: UUID, shelf: str) -> None:
    item, _ = ledger.prepare(context(), Intent(JAR, jar, OpenJar(3, shelf)), await ledger.load(JAR, jar))
    async with ledger.pool.acquire() as connection:
        await ledger.append(connection, [item])


async def events(ledger: Ledger, jar: UUID) -> list[str]:
    return [type(one.event).__name__ for one in await ledger.events(jar)]


async def test_a_timer_that_can_not_be_recorded_stays(ledger: Ledger) -> None:
    jar = uuid4()
    await open_jar(ledger, jar, "timed")
    right = ledger.clock
    ledger.clock = lambda: datetime.now(UTC) + OFF
    with pytest.raises(LedgerUnavailable, match="clock"):
        await Timers(ledger, [JAR]).fire_due()
    ledger.clock = right
    assert await Timers(ledger, [JAR]).fire_due() == 1
    assert await events(ledger, jar) == ["JarOpened", "JarClosed"]


async def test_a_reaction_that_can_not_be_recorded_lets_its_event_come_again(ledger: Ledger) -> None:
    jar = uuid4()
    await open_jar(ledger, jar, "a")
    handler = ReactionHandler(
        "reactions",
        "projects",
        ledger,
        lambda _recorded, _find: (Reaction(JAR, jar, AddCoin("ana")),),
        subscribes=frozenset({"projects.ProjectTerminated"}),
    )
    cause = Stream("projects").event(ProjectTerminated("It was not needed.", None))
    right = ledger.clock
    for clock, raised in ((lambda: datetime.now(UTC) + OFF, Unavailable), (right, None)):
        ledger.clock = clock
        async with ledger.pool.acquire() as connection:
            if raised is None:
                async with connection.transaction():
                    assert not await handler.apply(connection, [cause])
            else:
                with pytest.raises(raised, match="clock"):
                    async with connection.transaction():
                        await handler.apply(connection, [cause])
    assert await events(ledger, jar) == ["JarOpened", "CoinAdded"]
