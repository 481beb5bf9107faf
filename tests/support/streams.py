"""Streams of real documents, written by hand, at times that a test chooses."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from govevents.document import Document, Origin, Recorded, encode
from govevents.registry import CATALOGUE

START = datetime(2026, 3, 2, 9, tzinfo=UTC)


@dataclass
class Stream:
    """One stream of a service's topic; each event is a minute later than the one before, unless told otherwise."""

    service: str
    stream: UUID = field(default_factory=uuid4)
    documents: list[Document] = field(default_factory=list)
    time: datetime = START
    recorded_at: datetime = START

    def add(
        self,
        event: object,
        *,
        later: timedelta = timedelta(minutes=1),
        recorded: timedelta | None = None,
        origin: Origin = Origin.LIVE,
    ) -> Document:
        """Write the next event: `later` than the one before, and recorded as much later, or `recorded` later."""
        self.time += later
        self.recorded_at += later if recorded is None else recorded
        last = self.documents[-1] if self.documents else None
        made = encode(
            event,
            service=self.service,
            aggregate="thing",
            stream=self.stream,
            version=last.version + 1 if last else 1,
            previous_hash=last.hash if last else None,
            time=self.time,
            recorded_at=self.recorded_at,
            actor=f"service:{self.service}",
            command=uuid4(),
            correlation="test",
            causation=None,
            origin=origin,
        )
        self.documents.append(made)
        return made

    def event(self, event: object, **said: Any) -> Recorded[Any]:
        """As `add`, read back."""
        return CATALOGUE.decode(self.add(event, **said).body)
