"""How a live build follows its topic: a batch is folded in memory and written in one statement."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, Generic
from uuid import UUID

import msgspec

from govevents.document import Recorded, canonical
from govkernel.consumer.guard import Rejected
from govkernel.postgres import Connection
from govkernel.readmodels.builds import Build
from govkernel.readmodels.fold import Kept, Past, StreamRows
from govkernel.readmodels.model import ReadModel, Row, fields_of
from govkernel.readmodels.tables import HISTORY, PAST_COLUMNS, ROWS, columns_of, decode_row

COUNT: Final = "UPDATE read_model_builds SET changes = changes + 1 WHERE name = $1 AND build = $2"

_provenance = msgspec.json.Decoder(dict[str, str])


class ReadModelHandler(Generic[Row]):
    """The consumer's handler of one build. What it writes stands or falls with the batch's offsets."""

    def __init__(self, model: ReadModel[Row], build: Build) -> None:
        self.name = build.consumer
        self.service = model.service
        self.subscribes = model.subscribes
        self._model = model
        rows, history = f'"{build.schema}"."{ROWS}"', f'"{build.schema}"."{HISTORY}"'
        columns = columns_of(model)
        self._load = f"SELECT {_names(columns)} FROM {rows} WHERE stream = ANY($1::uuid[])"  # noqa: S608
        replaced = ", ".join(f'"{name}" = excluded."{name}"' for name, _ in columns)
        first_past = 3 + len(columns)
        self._build = build
        self._write = f"""
            WITH removed AS (
              DELETE FROM {rows} AS gone USING unnest($1::uuid[], $2::text[]) AS away (stream, key)
              WHERE gone.stream = away.stream AND gone.key = away.key),
            kept AS (
              INSERT INTO {rows} ({_names(columns)}) SELECT * FROM unnest({_arrays(columns, 3)})
              ON CONFLICT (stream, key) DO UPDATE SET {replaced})
            INSERT INTO {history} ({_names(columns + PAST_COLUMNS)})
            SELECT * FROM unnest({_arrays(columns + PAST_COLUMNS, first_past)})"""  # noqa: S608

    async def apply(self, connection: Connection, batch: Sequence[Recorded[Any]]) -> Sequence[Rejected]:
        """Fold a batch and write what changed; where the fold of an event fails, its stream goes no further."""
        before = await self._load_streams(connection, {recorded.envelope.stream for recorded in batch})
        stored = {stream: dict(rows.kept) for stream, rows in before.items()}
        past: list[Past[Row]] = []
        rejected: dict[UUID, Rejected] = {}
        for recorded in batch:
            stream = recorded.envelope.stream
            if stream in rejected:
                continue
            try:
                past.extend(before[stream].apply(self._model, recorded))
            except Exception as error:
                # Whatever a fold raises concerns this stream alone, so the others go on.
                rejected[stream] = Rejected(recorded, f"{type(error).__name__}: {error}", retry=False)
        await self._save(connection, before, stored, past)
        return tuple(rejected.values())

    async def _load_streams(self, connection: Connection, streams: set[UUID]) -> dict[UUID, StreamRows[Row]]:
        loaded: dict[UUID, StreamRows[Row]] = {stream: StreamRows(stream) for stream in streams}
        fields = fields_of(self._model.row)
        for row in await connection.fetch(self._load, sorted(streams)):
            set_by = _provenance.decode(row["provenance"])
            loaded[row["stream"]].put(
                row["key"],
                Kept(
                    decode_row(self._model, row),
                    row["version"],
                    row["since"],
                    row["recorded"],
                    tuple(set_by[field.name] for field in fields),
                ),
            )
        return loaded

    async def _save(
        self,
        connection: Connection,
        streams: Mapping[UUID, StreamRows[Row]],
        stored: Mapping[UUID, Mapping[str, Kept[Row]]],
        past: list[Past[Row]],
    ) -> None:
        removed: list[tuple[UUID, str]] = []
        kept: list[tuple[UUID, str, Kept[Row]]] = []
        for stream, rows in streams.items():
            old = stored[stream]
            removed.extend((stream, key) for key in old if key not in rows.kept)
            kept.extend((stream, key, each) for key, each in rows.kept.items() if old.get(key) is not each)
        if not (removed or kept or past):
            return
        await connection.execute(
            self._write,
            [stream for stream, _ in removed],
            [key for _, key in removed],
            *_transposed(kept_records(self._model, kept), len(columns_of(self._model))),
            *_transposed(past_records(self._model, past), len(columns_of(self._model)) + len(PAST_COLUMNS)),
        )
        if self._model.counted:
            await connection.execute(COUNT, self._build.name, self._build.number)


def kept_records(model: ReadModel[Row], kept: Iterable[tuple[UUID, str, Kept[Row]]]) -> list[tuple[Any, ...]]:
    """Rows as their table takes them, ordered by stream and key so that writers lock in the same order."""
    fields = fields_of(model.row)
    names = [field.name for field in fields]
    return sorted(
        (
            (
                stream,
                key,
                each.version,
                each.since,
                each.recorded,
                *[field.to_database(getattr(each.row, field.name)) for field in fields],
                canonical(dict(zip(names, each.provenance, strict=True))).decode(),
            )
            for stream, key, each in kept
        ),
        key=lambda record: (record[0], record[1]),
    )


def past_records(model: ReadModel[Row], past: Iterable[Past[Row]]) -> list[tuple[Any, ...]]:
    """Rows of history as their table takes them, in order of `until`."""
    return [past_record(model, each) for each in sorted(past, key=order_of_history)]


def past_record(model: ReadModel[Row], past: Past[Row]) -> tuple[Any, ...]:
    """A row of history as its table takes it."""
    (record,) = kept_records(model, [(past.stream, past.key, past.kept)])
    return *record, past.until, past.until_recorded, past.removed


def order_of_history(past: Past[Any]) -> tuple[datetime, UUID, int, str]:
    """By when the rows ended, for that is how history is searched."""
    return past.until, past.stream, past.kept.version, past.key


def _transposed(records: list[tuple[Any, ...]], width: int) -> list[list[Any]]:
    return [[record[index] for record in records] for index in range(width)]


def _names(columns: Iterable[tuple[str, str]]) -> str:
    return ", ".join(f'"{name}"' for name, _ in columns)


def _arrays(columns: Iterable[tuple[str, str]], first: int) -> str:
    return ", ".join(f"${number}::{kind}[]" for number, (_, kind) in enumerate(columns, start=first))
