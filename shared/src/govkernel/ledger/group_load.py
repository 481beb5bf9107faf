"""Group load: streams that are asked for while others are read are read together in the next query.

As with commits there is no timer, and a query never serves somebody who asked after it had begun: what was committed
before is seen.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Final
from uuid import UUID

import asyncpg

from govkernel.ledger.errors import LedgerUnavailable
from govkernel.postgres import Connection

READERS: Final = 2
MOST_STREAMS: Final = 32


@dataclass(frozen=True, slots=True)
class Wanted:
    """A stream to be read: what follows version `known`, or, where that is 0, this fold's snapshot and what follows."""

    stream: UUID
    fold: str
    known: int


Read = Callable[[Sequence[Wanted]], Awaitable[Sequence[list[asyncpg.Record]]]]
"""Reads streams with one query; the rows of each, oldest first. Raises LedgerUnavailable."""


LOAD: Final = """
SELECT wanted.number, found.*
FROM unnest($1::uuid[], $2::text[], $3::int[]) WITH ORDINALITY AS wanted (stream, fold, known, number)
CROSS JOIN LATERAL (
  WITH kept AS MATERIALIZED (
    SELECT snapshots.* FROM snapshots JOIN events USING (stream, version, hash)
    WHERE snapshots.stream = wanted.stream AND snapshots.fold = wanted.fold AND wanted.known = 0)
  SELECT version, hash, state AS document, time, recorded_at, true AS folded FROM kept
  UNION ALL
  SELECT version, hash, CASE WHEN version > wanted.known THEN document END, NULL, NULL, false FROM events
  WHERE events.stream = wanted.stream
    AND version >= greatest(wanted.known, coalesce((SELECT kept.version + 1 FROM kept), 1))) AS found"""


async def read(
    connection: Connection, wanted: Sequence[Wanted], *, timeout_s: float | None = None
) -> list[list[asyncpg.Record]]:
    """Read streams with one query; the rows of each, oldest first, the known version without its document."""
    rows = await connection.fetch(
        LOAD,
        [each.stream for each in wanted],
        [each.fold for each in wanted],
        [each.known for each in wanted],
        timeout=timeout_s,
    )
    found: list[list[asyncpg.Record]] = [[] for _ in wanted]
    for row in rows:
        found[row["number"] - 1].append(row)
    for each in found:
        each.sort(key=itemgetter("version"))
    return found


class GroupLoad:
    """A queue of streams that are wanted, and the readers that empty it."""

    def __init__(self, read: Read) -> None:
        self._read = read
        self._waiting: deque[tuple[Wanted, asyncio.Future[list[asyncpg.Record]]]] = deque()
        self._readers: set[asyncio.Task[None]] = set()

    async def load(self, wanted: Wanted) -> list[asyncpg.Record]:
        """The rows of a stream, oldest first. Raises LedgerUnavailable."""
        rows: asyncio.Future[list[asyncpg.Record]] = asyncio.get_running_loop().create_future()
        self._waiting.append((wanted, rows))
        self._start_readers()
        return await rows

    def _start_readers(self) -> None:
        if self._waiting and len(self._readers) < READERS:
            reader = asyncio.create_task(self._run())
            self._readers.add(reader)
            reader.add_done_callback(self._readers.discard)

    async def _run(self) -> None:
        while self._waiting:
            batch = [self._waiting.popleft() for _ in range(min(len(self._waiting), MOST_STREAMS))]
            self._start_readers()
            try:
                found = await self._read([wanted for wanted, _ in batch])
            except LedgerUnavailable as error:
                for _, rows in batch:
                    if not rows.done():
                        rows.set_exception(LedgerUnavailable(error.reason, retry_after_s=error.retry_after_s))
            else:
                for (_, rows), each in zip(batch, found, strict=True):
                    if not rows.done():
                        rows.set_result(each)
            finally:
                for _, rows in batch:
                    # Only a reader that was itself stopped, or has failed, has left somebody without an answer.
                    rows.cancel()
