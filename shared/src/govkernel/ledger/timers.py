"""Timers: a deadline set by an event fires as a command, once, whatever restarts, replicas and clocks do."""

import asyncio
import contextlib
from collections.abc import Iterable
from datetime import datetime
from hashlib import sha256
from typing import Any, Final

import asyncpg

from govevents.document import Origin
from govkernel.domain.aggregate import Aggregate
from govkernel.ledger.append import Conflict
from govkernel.ledger.errors import LedgerUnavailable
from govkernel.ledger.ledger import Context, Intent, Ledger
from govkernel.pause import pause
from govkernel.postgres import UNAVAILABLE

POLL_S: Final = 1.0


class Timers:
    """Fires due timers as commands on the aggregates that set them.

    Timers of simulated events run on the demo clock: they fire when a simulated command says that it is so late.
    """

    def __init__(self, ledger: Ledger, aggregates: Iterable[Aggregate[Any, Any, Any]]) -> None:
        self._ledger = ledger
        self._aggregates = {aggregate.name: aggregate for aggregate in aggregates}

    async def fire_due(self, now: datetime | None = None, *, simulated: bool = False) -> int:
        """Fire everything that is due, at `now` or by the clock; how many fired. Raises LedgerUnavailable."""
        fired = 0
        while await self._fire_next(now, simulated=simulated):
            fired += 1
        if fired:
            self._ledger.wake()
        return fired

    async def _fire_next(self, given: datetime | None, *, simulated: bool) -> bool:
        now = given or self._ledger.clock()
        async with self._ledger.pool.acquire(timeout=5) as connection:
            try:
                async with connection.transaction():
                    row = await self._ledger.store.next_timer(connection, now, simulated=simulated)
                    if row is None:
                        return False
                    aggregate = self._aggregates[row["aggregate"]]
                    assert aggregate.on_deadline is not None, f"{aggregate.name} sets deadlines and must answer them"
                    at = row["due"] if simulated else now
                    context = Context(
                        command=row["timer"],
                        digest=sha256(f"{row['cause']}:{row['name']}".encode()).digest(),
                        actor=f"service:{self._ledger.service}",
                        now=at,
                        time=at,
                        correlation=row["correlation"],
                        causation=row["cause"],
                        origin=Origin(row["origin"]),
                    )
                    loaded = await self._ledger.load(aggregate, row["stream"], connection=connection)
                    intent = Intent(aggregate, row["stream"], aggregate.on_deadline(row["name"], at))
                    item, _after = self._ledger.prepare(context, intent, loaded)
                    if given is None and item.clock < row["due"]:
                        # The clock was set back meanwhile: what is about to be recorded would be earlier than its due.
                        return False
                    (outcome,) = await self._ledger.append(connection, [item])
                    if isinstance(outcome, Conflict):
                        raise _LostRace
                    await self._ledger.store.remove_timer(connection, row["timer"])
            except (_LostRace, asyncpg.UniqueViolationError, asyncpg.DeadlockDetectedError):
                return True
            return True

    async def run(self, stop: asyncio.Event) -> None:
        """Fire timers as they fall due, until told to stop; a database that is away is waited for."""
        while not stop.is_set():
            with contextlib.suppress(LedgerUnavailable, *UNAVAILABLE):
                await self.fire_due()
            await pause(stop, POLL_S)


class _LostRace(Exception):
    """The stream moved while its timer fired: the timer stays, and fires again on the new state."""
