"""A handler whose work is seen in traces."""

import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from govevents.document import Recorded
from govkernel.consumer.guard import Rejected
from govkernel.consumer.ports import Handler
from govkernel.postgres import Connection
from govkernel.tracing import Tracing

OLDEST: Final = timedelta(minutes=1)
"""What is applied later than this after it was recorded is part of a rebuild, or of catching up, and of no trace."""


def _now() -> datetime:
    return datetime.now(UTC)


class TracedHandler:
    """Does what another handler does, and tells of each event that was applied in its own trace."""

    def __init__(self, handler: Handler, tracing: Tracing, clock: Callable[[], datetime] = _now) -> None:
        self.name = handler.name
        self.service = handler.service
        self.subscribes = handler.subscribes
        self._handler = handler
        self._tracing = tracing
        self._clock = clock

    async def apply(self, connection: Connection, batch: Sequence[Recorded[Any]]) -> Sequence[Rejected]:
        """See `Handler`. What is raised concerns the batch, which comes again, and is in no trace."""
        began_ns = time.time_ns()
        rejected = await self._handler.apply(connection, batch)
        ended_ns, recent = time.time_ns(), self._clock() - OLDEST
        reasons = {each.recorded.id: each.reason for each in rejected}
        cut = {each.recorded.envelope.stream: each.recorded.envelope.version for each in rejected}
        for recorded in batch:
            envelope = recorded.envelope
            later = envelope.version > cut.get(envelope.stream, envelope.version)
            if envelope.traceparent is not None and envelope.recordedtime >= recent and not later:
                reason = reasons.get(recorded.id)
                self._tracing.applied(self.name, envelope, began_ns, ended_ns, rejected=reason)
        return rejected
