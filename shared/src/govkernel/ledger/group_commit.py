"""Group commit: what arrives while a commit is under way is appended together in the next one.

No timer: a command that comes alone is written at once. One that conflicts, or that the database can't take, never
fails another. Commands on one stream may be chained, each decided on the state that the one before it will leave; they
stay in their order, so a chained one is answered after its predecessor, and conflicts where that was not written.
"""

import asyncio
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, TypeVar
from uuid import UUID

from govkernel.domain.aggregate import Aggregate
from govkernel.ledger.append import Append, Appended, Outcome
from govkernel.ledger.errors import LedgerUnavailable
from govkernel.ledger.states import Loaded
from govkernel.ledger.workers import Workers

State = TypeVar("State")

Write = Callable[[Sequence[Append]], Awaitable[Sequence[Outcome]]]
"""Writes a batch in one transaction; raises LedgerUnavailable where whether it was written may be unknown."""

Settled = Callable[[Append, Loaded[Any] | None, Outcome], None]
"""Told of each outcome before its caller is."""

WRITERS: Final = 2
SMALLEST_BATCH: Final = 14
LARGEST_BATCH: Final = 100
LARGEST_BATCH_BYTES: Final = 4 * 1024 * 1024
MOST_WAITING: Final = 2_000
LONGEST_WAIT_S: Final = 5.0


class _Waiting:
    """An item, the state that it will leave (None where it leaves what was there), and who waits for its outcome.

    Ids are kept as numbers, for those are compared ten times as fast as UUIDs. `settled` is there once somebody waits
    for the item without having sent it.
    """

    __slots__ = ("after", "changes", "command", "item", "outcome", "relied_on", "settled", "since", "stream")

    def __init__(
        self, item: Append, after: Loaded[Any] | None, outcome: "asyncio.Future[Outcome]", since: float
    ) -> None:
        self.item = item
        self.after = after
        self.outcome = outcome
        self.since = since
        self.stream = item.expected.stream.int
        self.command = item.command.int
        self.changes = bool(item.documents)
        self.relied_on = [head.stream.int for head in item.relies_on] if item.relies_on else ()
        self.settled: asyncio.Event | None = None


class GroupCommit:
    """A queue of appends and the writers that empty it.

    Two writers, so that one batch is encoded while the other is committed. A batch is half of what waits, 14 to 100
    commands: the other writer finds work when it is done, and few callers wait for none.
    """

    def __init__(self, write: Write, settled: Settled, *, longest_wait_s: float = LONGEST_WAIT_S) -> None:
        self._write = write
        self._settled = settled
        self._longest_wait_s = longest_wait_s
        self._waiting: deque[_Waiting] = deque()
        self._newest: dict[int, _Waiting] = {}
        self._writing: set[int] = set()
        self._relying: Counter[int] = Counter()
        self._answering: set[int] = set()
        self._writers = Workers(WRITERS, self._write_all)
        self._expiry: asyncio.TimerHandle | None = None

    def newest(self, aggregate: Aggregate[State, Any, Any], stream: UUID) -> Loaded[State] | None:
        """The state that a stream will have once everything that waits or is under way is written; None for nothing."""
        newest = self._newest.get(stream.int)
        if newest is None or newest.after is None or newest.after.aggregate is not aggregate:
            return None
        return newest.after

    async def settle(self, stream: UUID) -> None:
        """Wait until nothing that changes a stream waits or is under way, or has failed."""
        while (newest := self._newest.get(stream.int)) is not None:
            newest.settled = newest.settled or asyncio.Event()
            await newest.settled.wait()

    async def submit(self, item: Append, after: Loaded[Any] | None = None) -> Outcome:
        """Append an item with what else waits. `after` is the state that it leaves, for others to be decided on.

        A caller that is cancelled meanwhile leaves its item behind: it may be under way. Raises LedgerUnavailable where
        too much waits, or the item has waited for 5 s: nothing was written then. Where it is raised later, whether
        something was written may be unknown; the same command will find out.
        """
        if len(self._waiting) >= MOST_WAITING:
            raise LedgerUnavailable(f"{MOST_WAITING} commands wait to be written already", retry_after_s=1)
        loop = asyncio.get_running_loop()
        waiting = _Waiting(item, after, loop.create_future(), loop.time())
        self._waiting.append(waiting)
        if waiting.changes:
            self._newest[waiting.stream] = waiting
        self._writers.start_one()
        if self._expiry is None:
            self._expiry = loop.call_later(self._longest_wait_s, self._expire)
        outcome = await waiting.outcome
        if isinstance(outcome, LedgerUnavailable):
            raise LedgerUnavailable(outcome.reason, retry_after_s=outcome.retry_after_s)
        return outcome

    async def _write_all(self) -> None:
        while True:
            batch, streams, relied_on, commands = self._choose()
            if not batch:
                return
            if self._waiting:
                self._writers.start_one()
            self._writing |= streams
            self._relying.update(relied_on)
            self._answering |= commands
            try:
                await self._commit(batch)
            finally:
                for waiting in batch:
                    # Only a writer that was itself stopped has left somebody without an answer.
                    waiting.outcome.cancel()
                self._writing -= streams
                self._relying -= relied_on
                self._answering -= commands

    def _choose(self) -> tuple[list[_Waiting], set[int], Counter[int], set[int]]:
        """The next batch in the order of arrival, the streams that it writes, those it relies on, and its commands.

        What has to wait for a batch that is under way, or for this one, is kept.

        A stream is written by one batch at a time. A command that relies on a stream waits while that is written, and a
        command that writes one while others rely on it: left to the database, they would stop the whole batch.
        """
        most = max(SMALLEST_BATCH, min(LARGEST_BATCH, len(self._waiting) // 2))
        batch: list[_Waiting] = []
        kept: list[_Waiting] = []
        held: set[int] = set()
        written: set[int] = set()
        relied_on: Counter[int] = Counter()
        commands: set[int] = set()
        writing, relying, answering = self._writing, self._relying, self._answering
        size = 0
        while self._waiting and len(batch) < most and size < LARGEST_BATCH_BYTES:
            waiting = self._waiting.popleft()
            stream, others = waiting.stream, waiting.relied_on
            if (
                stream in writing
                or stream in held
                or waiting.command in commands
                or waiting.command in answering
                or (waiting.changes and (stream in relied_on or stream in relying))
                or (others and any(other in held or other in written or other in writing for other in others))
            ):
                kept.append(waiting)
                if waiting.changes:
                    held.add(stream)
                continue
            batch.append(waiting)
            commands.add(waiting.command)
            if others:
                relied_on.update(others)
            if waiting.changes:
                written.add(stream)
                for document in waiting.item.documents:
                    size += len(document.body)
        self._waiting.extendleft(reversed(kept))
        return batch, written, relied_on, commands

    async def _commit(self, batch: Sequence[_Waiting]) -> None:
        """Write a batch and tell its callers; what nobody expected fails the item that it is about, and no other."""
        try:
            outcomes = await self._write([waiting.item for waiting in batch])
        except LedgerUnavailable as error:
            for waiting in batch:
                self._answer(waiting, error)
        except Exception as error:
            if len(batch) > 1:
                for waiting in batch:
                    await self._commit([waiting])
            else:
                self._forget(batch[0])
                if not batch[0].outcome.done():
                    batch[0].outcome.set_exception(error)
        else:
            for waiting, outcome in zip(batch, outcomes, strict=True):
                self._answer(waiting, outcome)

    def _answer(self, waiting: _Waiting, outcome: Outcome) -> None:
        if not isinstance(outcome, Appended) or self._newest.get(waiting.stream) is waiting:
            self._forget(waiting)
        self._settled(waiting.item, waiting.after, outcome)
        if not waiting.outcome.done():
            waiting.outcome.set_result(outcome)

    def _forget(self, waiting: _Waiting) -> None:
        """Let nothing more be decided on what a stream would have become."""
        newest = self._newest.pop(waiting.stream, None) if waiting.changes else None
        if newest is not None and newest.settled is not None:
            newest.settled.set()

    def _expire(self) -> None:
        """Refuse what has waited too long without being sent: the database stands still."""
        loop = asyncio.get_running_loop()
        self._expiry = None
        now = loop.time()
        # By the very sum that it was called for: a difference may be rounded to less, and would call it again at once.
        while self._waiting and self._waiting[0].since + self._longest_wait_s <= now:
            self._answer(
                self._waiting.popleft(),
                LedgerUnavailable(f"not written: the database has taken nothing for {self._longest_wait_s:g} s"),
            )
        if self._waiting:
            self._expiry = loop.call_at(self._waiting[0].since + self._longest_wait_s, self._expire)
