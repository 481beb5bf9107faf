"""The pure half of a read model: events in, rows, history and provenance out. Live work and rebuilds share it."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import Any, Generic
from uuid import UUID

import msgspec

from govevents.document import Recorded
from govkernel.readmodels.model import ReadModel, Row, Values


class Kept(msgspec.Struct, Generic[Row], frozen=True, gc=False):
    """A row as it is kept: since which version, time and recorded time.

    `provenance` has, for each field of the row class in order, the version of the stream's event that last set it.
    """

    row: Row
    version: int
    since: datetime
    recorded: datetime
    provenance: tuple[int, ...]


class Past(msgspec.Struct, Generic[Row], frozen=True, gc=False):
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
        version, time, recorded_at = envelope.version, envelope.time, envelope.recordedtime
        before = self._rows
        after = model.evolve(MappingProxyType(before), recorded)
        changed: list[tuple[str, Kept[Row]]] = []
        past: list[Past[Row]] = []
        added = 0
        for key, row in after.items():
            if before.get(key) is row:
                continue
            if type(row) is not model.row or type(key) is not str:
                raise TypeError(f"{model.name}: the fold gave {key!r}: {row!r}, not a row of {model.row.__name__}")
            kept = self.kept.get(key)
            if kept is None:
                added += 1
                for each, value in zip(model.fields, model.values(row), strict=True):
                    each.check(each.name, value)
                provenance = (version,) * len(model.fields)
            else:
                old, new = model.values(kept.row), model.values(row)
                if old == new:
                    continue
                provenance = _provenance(model, kept.provenance, old, new, version)
                past.append(Past(self.stream, key, kept, time, recorded_at, False))
            changed.append((key, Kept(row, version, time, recorded_at, provenance)))
        if len(after) - added != len(before):
            removed = [key for key in before if key not in after]
            past.extend(Past(self.stream, key, self.kept[key], time, recorded_at, True) for key in removed)
            for key in removed:
                del self.kept[key], before[key]
        for key, kept in changed:
            self.kept[key] = kept
            before[key] = kept.row
        return past


def _provenance(
    model: ReadModel[Any], before: tuple[int, ...], old: Values, new: Values, version: int
) -> tuple[int, ...]:
    """Which version set each field of a row, where what is new is checked and set by `version`."""
    set_by = list(before)
    for place, value in enumerate(new):
        if value is not old[place] and value != old[place]:
            each = model.fields[place]
            each.check(each.name, value)
            set_by[place] = version
    return tuple(set_by)


def events_behind(model: ReadModel[Any], stream: UUID, provenance: Iterable[int]) -> dict[str, str]:
    """For each field of a row that `stream` feeds, the id of the event that last set it."""
    return {each.name: f"{stream}@{version}" for each, version in zip(model.fields, provenance, strict=True)}
