"""Group load: streams that are asked for while others are read are read together in the next query.

As with commits there is no timer, and a query never serves somebody who asked after it had begun: what was committed
before is seen.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Final, Protocol
from uuid import UUID

from govkernel.ledger.errors import LedgerUnavailable
from govkernel.ledger.workers import Workers
from govkernel.postgres import Connection, Row

READERS: Final = 2
MOST_STREAMS: Final = 32


@dataclass(frozen=True, slots=True)
class Wanted:
    """A stream to be read: what follows version `known`, or, where that is 0, this fold's snapshot and what follows."""

    stream: UUID
    fold: str
    known: int


Read = Callable[[Sequence[Wanted]], Awaitable[Sequence[list[Row]]]]
"""Reads streams with one query; the rows of each, oldest first. Raises LedgerUnavailable."""


class Streams(Protocol):
    """What streams are read with."""

    async def read(
        self, connection: Connection, wanted: Sequence[Wanted], *, timeout_s: float | None = None
    ) -> Sequence[Row]:
        """What is wanted of each stream, by its `number` from 1, in any order.

        Each row has `version` and `hash`. A snapshot is `folded`, its `document` a state, with `time` and
        `recorded_at`; an event has its `document`, but for the version that is known.
        """
        ...


async def read(
    store: Streams, connection: Connection, wanted: Sequence[Wanted], *, timeout_s: float | None = None
) -> list[list[Row]]:
    """Read streams with one query; the rows of each, oldest first, the known version without its document."""
    found: list[list[Row]] = [[] for _ in wanted]
    for row in await store.read(connection, wanted, timeout_s=timeout_s):
        found[row["number"] - 1].append(row)
    for each in found:
        each.sort(key=itemgetter("version"))
    return found


class GroupLoad:
    """A queue of streams that are wanted, and the readers that empty it."""

    def __init__(self, read: Read) -> None:
        self._read = read
        self._waiting: deque[tuple[Wanted, asyncio.Future[list[Row]]]] = deque()
        self._readers = Workers(READERS, self._read_all)

    async def load(self, wanted: Wanted) -> list[Row]:
        """The rows of a stream, oldest first. Raises LedgerUnavailable."""
        rows: asyncio.Future[list[Row]] = asyncio.get_running_loop().create_future()
        self._waiting.append((wanted, rows))
        self._readers.start_one()
        return await rows

    async def _read_all(self) -> None:
        while self._waiting:
            batch = [self._waiting.popleft() for _ in range(min(len(self._waiting), MOST_STREAMS))]
            if self._waiting:
                self._readers.start_one()
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
