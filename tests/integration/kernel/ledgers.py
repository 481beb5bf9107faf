"""Whatever can stand behind a ledger, and what a test looks at or changes behind its back."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Protocol
from uuid import UUID

import asyncpg
from tests.integration.kernel.jar import CATALOGUE
from tests.simulation.database import MemoryDatabase
from tests.simulation.memory_ledger import MemoryLedger
from tests.support.databases import OPEN_LEDGER

from govkernel.ledger import Ledger


class Kept(Protocol):
    """A service's database, past its ledger."""

    def ledger(self) -> Ledger:
        """The ledger as a process of the service has it."""
        ...

    async def rows(self, table: str) -> Sequence[Mapping[str, Any]]:
        """The committed rows of a table, in no order that a test may rely on."""
        ...

    async def verified(self) -> None:
        """Let it be as if the relay had verified the database."""
        ...

    async def unverified(self) -> None:
        """Let it be as if the relay had verified the database before its last restart."""
        ...

    async def lose(self, stream: UUID, version: int) -> None:
        """Lose an event, as a database that was set back has."""
        ...

    async def tamper(self, was: str, becomes: str) -> None:
        """Put another text into every document."""
        ...


class InPostgres:
    """A ledger in PostgreSQL."""

    def __init__(self, pool: "asyncpg.Pool[Any]") -> None:
        self._pool = pool

    def ledger(self) -> Ledger:
        return ledger_on(self._pool)

    async def rows(self, table: str) -> Sequence[Mapping[str, Any]]:
        return [dict(row) for row in await self._pool.fetch(f"SELECT * FROM {table}")]

    async def verified(self) -> None:
        await self._pool.execute(OPEN_LEDGER)

    async def unverified(self) -> None:
        await self._pool.execute("UPDATE relay_checkpoint SET started_at = started_at - interval '1 day'")

    async def lose(self, stream: UUID, version: int) -> None:
        await self._pool.execute("DELETE FROM events WHERE stream = $1 AND version = $2", stream, version)

    async def tamper(self, was: str, becomes: str) -> None:
        await self._pool.execute(
            "UPDATE events SET document = convert_to(replace(convert_from(document, 'UTF8'), $1, $2), 'UTF8')",
            was,
            becomes,
        )


class InMemory:
    """A ledger in memory, as the simulation has it."""

    def __init__(self, database: MemoryDatabase) -> None:
        self._database = database

    def ledger(self) -> Ledger:
        return Ledger(
            self._database.pool().lent(),
            service="testing",
            catalogue=CATALOGUE,
            clock=lambda: datetime.now(UTC),
            refusal_status=lambda _: 409,
            store=MemoryLedger(),
        )

    async def rows(self, table: str) -> Sequence[Mapping[str, Any]]:
        return self._database.table(table)

    async def verified(self) -> None:
        self._database.verify()

    async def unverified(self) -> None:
        self._database.restart()

    async def lose(self, stream: UUID, version: int) -> None:
        self._database.replace_events(
            [row for row in self._database.log if (row["stream"], row["version"]) != (stream, version)]
        )

    async def tamper(self, was: str, becomes: str) -> None:
        self._database.replace_events(
            [{**row, "document": row["document"].replace(was.encode(), becomes.encode())} for row in self._database.log]
        )


def ledger_on(pool: "asyncpg.Pool[Any]") -> Ledger:
    return Ledger(
        pool, service="testing", catalogue=CATALOGUE, clock=lambda: datetime.now(UTC), refusal_status=lambda _: 409
    )
