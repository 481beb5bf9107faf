"""What belongs to documents that came back from Kafka is restored with them."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest
from tests.integration.kernel.jar import CATALOGUE, JAR, AddCoin, CloseJar, OpenJar, context
from tests.support.databases import OPEN_LEDGER

from govevents.document import Document, hash_of, read_envelope
from govkernel.ledger import Intent, Ledger, Timers
from govkernel.ledger.restoration import Restoration
from govkernel.postgres import create_pool


@pytest.fixture
async def ledger(database: str) -> AsyncIterator[Ledger]:
    pool = await create_pool(database)
    await pool.execute(OPEN_LEDGER)
    yield Ledger(
        pool, service="testing", catalogue=CATALOGUE, clock=lambda: datetime.now(UTC), refusal_status=lambda _: 409
    )
    await pool.close()


async def do(ledger: Ledger, jar: UUID, *commands: Any) -> None:
    for command in commands:

        async def intend(_newest: bool, command: Any = command) -> Intent[Any, Any, Any]:
            return Intent(JAR, jar, command)

        await ledger.execute(context(of=repr(command)), intend)


async def documents(ledger: Ledger) -> list[Document]:
    found = []
    for row in await ledger.pool.fetch("SELECT document FROM events ORDER BY seq"):
        body = bytes(row["document"])
        envelope = read_envelope(body)
        found.append(
            Document(
                envelope.stream,
                envelope.version,
                envelope.type,
                envelope.time,
                envelope.recordedtime,
                body,
                hash_of(body),
            )
        )
    return found


async def kept(ledger: Ledger, table: str) -> list[dict[str, Any]]:
    # The jar counts its deadline from the clock, so each look at its event gives another one.
    rows = await ledger.pool.fetch(f"SELECT * FROM {table} ORDER BY 1, 2, 3")
    return [{name: value for name, value in row.items() if name != "due"} for row in rows]


async def test_timers_and_links_are_as_they_were(ledger: Ledger) -> None:
    timed, linked, closed = uuid4(), uuid4(), uuid4()
    await do(ledger, timed, OpenJar(3, "timed"))
    await do(ledger, linked, OpenJar(3, "b"), AddCoin("bo"))
    await do(ledger, closed, OpenJar(3, "c"), CloseJar("enough"))
    before = await kept(ledger, "timers"), await kept(ledger, "stream_links")
    assert [len(rows) for rows in before] == [1, 1]
    # As it is after a restore to an earlier point: the timer is gone, and a jar still counts as open.
    await ledger.pool.execute("DELETE FROM timers")
    await ledger.pool.execute("UPDATE stream_links SET stream = $1, target = $2", closed, UUID(int=ord("c")))
    async with ledger.pool.acquire() as connection, connection.transaction():
        await Restoration(ledger, [JAR])(connection, await documents(ledger))
    assert (await kept(ledger, "timers"), await kept(ledger, "stream_links")) == before


async def test_a_timer_that_has_fired_does_not_come_back(ledger: Ledger) -> None:
    await do(ledger, uuid4(), OpenJar(3, "timed"))
    assert await Timers(ledger, [JAR]).fire_due() == 1
    async with ledger.pool.acquire() as connection, connection.transaction():
        await Restoration(ledger, [JAR])(connection, await documents(ledger))
    assert await kept(ledger, "timers") == []


async def test_documents_of_no_aggregate_need_nothing(ledger: Ledger) -> None:
    await do(ledger, uuid4(), OpenJar(3, "timed"))
    await ledger.pool.execute("DELETE FROM timers")
    async with ledger.pool.acquire() as connection, connection.transaction():
        await Restoration(ledger, [])(connection, await documents(ledger))
    assert await kept(ledger, "timers") == []
