"""What a process remembers of streams: their folded states, bounded, to be decided on without loading them again.

A remembered state may be stale, for another process may have written. Whoever decides on one has its head checked by
the append; whoever reads one asks the database first for what came after it.
"""

from collections import OrderedDict
from datetime import datetime
from typing import Any, Final, Generic, TypeVar
from uuid import UUID

import msgspec

from govkernel.domain.aggregate import Aggregate
from govkernel.ledger.append import Head

State = TypeVar("State")

MOST_STREAMS: Final = 10_000


class Loaded(msgspec.Struct, Generic[State], frozen=True):
    """A stream's state as an aggregate's, its head, and its newest event's two times (None where there is none)."""

    aggregate: Aggregate[State, Any, Any]
    state: State
    head: Head
    time: datetime | None
    recorded_at: datetime | None


class States:
    """The most recently used states of acknowledged commits; the least recently used go first."""

    def __init__(self, most: int = MOST_STREAMS) -> None:
        self._most = most
        self._doubted: set[UUID] = set()
        self._by_stream: OrderedDict[UUID, Loaded[Any]] = OrderedDict()

    def get(self, aggregate: Aggregate[State, Any, Any], stream: UUID) -> Loaded[State] | None:
        """What is remembered of a stream as this aggregate; None for nothing."""
        known = self._by_stream.get(stream)
        if known is None or known.aggregate is not aggregate:
            return None
        self._by_stream.move_to_end(stream)
        return known

    def undoubted(self, aggregate: Aggregate[State, Any, Any], stream: UUID) -> Loaded[State] | None:
        """What is remembered of a stream, where nothing has shown that it has moved since."""
        return None if stream in self._doubted else self.get(aggregate, stream)

    def keep(self, loaded: Loaded[Any]) -> None:
        """Remember a committed state, unless a newer one is remembered already."""
        stream = loaded.head.stream
        known = self._by_stream.get(stream)
        if known is not None:
            if known.head.version > loaded.head.version:
                return
            self._by_stream.move_to_end(stream)
        self._by_stream[stream] = loaded
        self._doubted.discard(stream)
        if len(self._by_stream) > self._most:
            self.forget(next(iter(self._by_stream)))

    def doubt(self, stream: UUID) -> None:
        """Take what is remembered of a stream as what it was at some time: it has moved, or nobody knows."""
        if stream in self._by_stream:
            self._doubted.add(stream)

    def forget(self, stream: UUID) -> None:
        """Remember nothing of a stream."""
        self._by_stream.pop(stream, None)
        self._doubted.discard(stream)
