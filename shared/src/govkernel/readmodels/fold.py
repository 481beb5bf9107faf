"""The pure half of a read model: events in, rows, history and provenance out. Live work and rebuilds share it."""

from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import Any, Generic
from uuid import UUID

from govevents.document import Recorded
from govkernel.readmodels.model import ReadModel, Row, fields_of


@dataclass(frozen=True, slots=True)
class Kept(Generic[Row]):
    """A row as it is kept: since which version, time and recorded time.

    `provenance` has, for each field of the row class in order, the id of the event that last set it.
    """

    row: Row
    version: int
    since: datetime
    recorded: datetime
    provenance: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Past(Generic[Row]):
    """A row that was replaced or removed, with the times of the event that did it."""

    stream: UUID
    key: str
    kept: Kept[Row]
    until: datetime
    until_recorded: datetime
    removed: bool


@dataclass(slots=True)
class StreamRows(Generic[Row]):
    """The rows that one stream feeds, by key."""

    stream: UUID
    kept: dict[str, Kept[Row]] = field(default_factory=dict)
    _rows: dict[str, Row] = field(default_factory=dict)

    def put(self, key: str, kept: Kept[Row]) -> None:
        """Take a row over as it was stored."""
        self.kept[key] = kept
        self._rows[key] = kept.row

    def apply(self, model: ReadModel[Row], recorded: Recorded[Any]) -> list[Past[Row]]:
        """Take the stream's next event in, and give the rows that it replaced or removed.

        Nothing has changed where the fold raises. Raises what the fold raises, and TypeError where it gives something
        else than rows by key, and ValueRefused for a row with a value that no table can hold.
        """
        envelope = recorded.envelope
        before = self._rows
        after = model.evolve(MappingProxyType(before), recorded)
        changed: dict[str, Kept[Row]] = {}
        past: list[Past[Row]] = []
        for key, row in after.items():
            old = before.get(key)
            if old is row or (old is not None and old == row):
                continue
            if type(row) is not model.row or type(key) is not str:
                raise TypeError(f"{model.name}: the fold gave {key!r}: {row!r}, not a row of {model.row.__name__}")
            for each in fields_of(model.row):
                each.check(each.name, getattr(row, each.name))
            kept = self.kept.get(key)
            if kept is not None:
                past.append(self._past(key, kept, recorded, removed=False))
            changed[key] = Kept(
                row,
                envelope.version,
                envelope.time,
                envelope.recordedtime,
                _provenance(model, kept, row, recorded.id),
            )
        removed = [key for key in before if key not in after]
        past.extend(self._past(key, self.kept[key], recorded, removed=True) for key in removed)
        for key, kept in changed.items():
            self.put(key, kept)
        for key in removed:
            del self.kept[key], self._rows[key]
        return past

    def _past(self, key: str, kept: Kept[Row], recorded: Recorded[Any], *, removed: bool) -> Past[Row]:
        envelope = recorded.envelope
        return Past(self.stream, key, kept, envelope.time, envelope.recordedtime, removed)


def _provenance(model: ReadModel[Row], before: Kept[Row] | None, row: Row, event_id: str) -> tuple[str, ...]:
    fields = fields_of(model.row)
    if before is None:
        return (event_id,) * len(fields)
    return tuple(
        set_by if getattr(before.row, each.name) == getattr(row, each.name) else event_id
        for each, set_by in zip(fields, before.provenance, strict=True)
    )
