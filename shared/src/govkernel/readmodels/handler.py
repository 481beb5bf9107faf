"""How a live build follows its topic: a batch is folded in memory and written in one statement."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, Generic
from uuid import UUID

from govevents.document import Recorded
from govkernel.consumer.guard import NUMBER, Rejected
from govkernel.postgres import Connection
from govkernel.readmodels.builds import Build
from govkernel.readmodels.fold import Kept, Past, StreamRows
from govkernel.readmodels.model import ReadModel, Row, from_database, to_database
from govkernel.readmodels.tables import HISTORY, PAST_COLUMNS, ROWS, columns_of

COPIED_FROM: Final = 100
"""From how many rows of history on a second round trip costs less than to put them into arrays."""

MOVED_COLUMNS: Final = (("stream", "uuid"), ("key", "text"), *PAST_COLUMNS)
"""What is said of a stored row that ended: the database has the rest, and moves it."""

COUNT: Final = "UPDATE read_model_builds SET changes = changes + 1 WHERE name = $1 AND build = $2"


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
        first_moved = 3 + len(columns)
        first_past = first_moved + len(MOVED_COLUMNS)
        self._build = build
        self._write = f"""
            WITH removed AS (
              DELETE FROM {rows} AS gone USING unnest($1::uuid[], $2::text[]) AS away (stream, key)
              WHERE gone.stream = away.stream AND gone.key = away.key),
            kept AS (
              INSERT INTO {rows} ({_names(columns)})
              SELECT {from_texts(columns)} FROM unnest({_arrays(columns, 3)}) AS new ({_names(columns)})
              ON CONFLICT (stream, key) DO UPDATE SET {replaced}),
            moved AS (
              INSERT INTO {history} ({_names(columns + PAST_COLUMNS)})
              SELECT {_names(columns + PAST_COLUMNS)}
              FROM unnest({_arrays(MOVED_COLUMNS, first_moved)}) AS ended ({_names(MOVED_COLUMNS)})
              JOIN {rows} USING (stream, key)
              ORDER BY {ORDER_OF_HISTORY})
            INSERT INTO {history} ({_names(columns + PAST_COLUMNS)})
            SELECT {from_texts(columns + PAST_COLUMNS)}
            FROM unnest({_arrays(columns + PAST_COLUMNS, first_past)}) AS ended ({_names(columns + PAST_COLUMNS)})"""  # noqa: S608

    async def apply(self, connection: Connection, batch: Sequence[Recorded[Any]]) -> Sequence[Rejected]:
        """Fold a batch and write what changed; where the fold of an event fails, its stream goes no further."""
        before = await self._load_streams(connection, {recorded.envelope.stream for recorded in batch})
        stored = {stream: dict(rows.kept) for stream, rows in before.items()}
        past, rejected = fold_batch(self._model, before, batch)
        await self._save(connection, before, stored, past)
        return rejected

    async def _load_streams(self, connection: Connection, streams: set[UUID]) -> dict[UUID, StreamRows[Row]]:
        loaded: dict[UUID, StreamRows[Row]] = {stream: StreamRows(stream) for stream in streams}
        row_of = from_database(self._model)
        for row in await connection.fetch(self._load, sorted(streams, key=NUMBER)):
            stream, key, version, since, recorded, *values, provenance = row
            loaded[stream].put(key, Kept(row_of(values), version, since, recorded, tuple(provenance)))
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
            old, new = stored[stream], rows.kept
            kept += [(stream, key, each) for key, each in new.items() if old.get(key) is not each]
            removed += [(stream, key) for key in old if key not in new]
        if not (removed or kept or past):
            return
        # In one order, so that writers lock in the same order.
        kept.sort(key=lambda each: (each[0].int, each[1]))
        moved: list[Past[Row]] = []
        brought: list[Past[Row]] = []
        for ended in past:
            (moved if stored[ended.stream].get(ended.key) is ended.kept else brought).append(ended)
        brought.sort(key=order_of_history)
        if len(brought) >= COPIED_FROM:
            await self._copy(connection, brought)
            brought = []
        columns = columns_of(self._model)
        of_rows, of_past = kept_record(self._model), past_record(self._model)
        await connection.execute(
            self._write,
            [stream for stream, _ in removed],
            [key for _, key in removed],
            *_in_columns(columns, [of_rows(*each) for each in kept]),
            *_in_columns(MOVED_COLUMNS, [_moved_record(each) for each in moved]),
            *_in_columns(columns + PAST_COLUMNS, [of_past(each) for each in brought]),
        )
        if self._model.counted:
            await connection.execute(COUNT, self._build.name, self._build.number)

    async def _copy(self, connection: Connection, past: Iterable[Past[Row]]) -> None:
        record = past_record(self._model, as_array)
        await connection.copy_records_to_table(
            HISTORY,
            schema_name=self._build.schema,
            columns=[name for name, _ in columns_of(self._model) + PAST_COLUMNS],
            records=[record(each) for each in past],
        )


def fold_batch(
    model: ReadModel[Row], streams: Mapping[UUID, StreamRows[Row]], batch: Sequence[Recorded[Any]]
) -> tuple[list[Past[Row]], tuple[Rejected, ...]]:
    """Take a batch in; the rows that ended, and the events at which a stream goes no further, for their fold fails."""
    past: list[Past[Row]] = []
    rejected: dict[UUID, Rejected] = {}
    for recorded in batch:
        stream = recorded.envelope.stream
        if rejected and stream in rejected:
            continue
        try:
            past.extend(streams[stream].apply(model, recorded))
        except Exception as error:
            # Whatever a fold raises concerns this stream alone, so the others go on.
            rejected[stream] = Rejected(recorded, f"{type(error).__name__}: {error}", retry=False)
    return past, tuple(rejected.values())


def as_text(provenance: tuple[int, ...]) -> str:
    """An array as PostgreSQL reads it: unnest() would take an array of arrays apart, and asyncpg takes longer to."""
    return f"{{{str([*provenance])[1:-1]}}}"


def as_array(provenance: tuple[int, ...]) -> tuple[int, ...]:
    """An array as asyncpg takes it for a column of arrays."""
    return provenance


def kept_record(
    model: ReadModel[Row], provenance: Callable[[tuple[int, ...]], Any] = as_text
) -> Callable[[UUID, str, Kept[Row]], tuple[Any, ...]]:
    """What makes of a stream, a key and a row the record that the table of rows takes."""
    values = to_database(model)

    def record(stream: UUID, key: str, kept: Kept[Row]) -> tuple[Any, ...]:
        set_by = provenance(kept.provenance)
        return stream, key, kept.version, kept.since, kept.recorded, *values(kept.row), set_by

    return record


def past_record(
    model: ReadModel[Row], provenance: Callable[[tuple[int, ...]], Any] = as_text
) -> Callable[[Past[Row]], tuple[Any, ...]]:
    """What makes of a row that ended the record that the table of history takes."""
    values = to_database(model)

    def record(past: Past[Row]) -> tuple[Any, ...]:
        kept = past.kept
        return (
            past.stream,
            past.key,
            kept.version,
            kept.since,
            kept.recorded,
            *values(kept.row),
            provenance(kept.provenance),
            past.until,
            past.until_recorded,
            past.removed,
        )

    return record


def _moved_record(past: Past[Any]) -> tuple[Any, ...]:
    return past.stream, past.key, past.until, past.until_recorded, past.removed


ORDER_OF_HISTORY: Final = 'until, stream, version, key COLLATE "C"'
"""The order of `order_of_history`, as the database takes it."""


def order_of_history(past: Past[Any]) -> tuple[datetime, int, int, str]:
    """By when the rows ended, for that is how history is searched."""
    return past.until, past.stream.int, past.kept.version, past.key


def _in_columns(columns: Sequence[tuple[str, str]], records: list[tuple[Any, ...]]) -> list[Sequence[Any]]:
    return list(zip(*records, strict=True)) if records else [()] * len(columns)


def _names(columns: Iterable[tuple[str, str]]) -> str:
    return ", ".join(f'"{name}"' for name, _ in columns)


def from_texts(columns: Iterable[tuple[str, str]]) -> str:
    """The columns, of a relation that has arrays as texts."""
    return ", ".join(f'"{name}"::{kind}' if kind.endswith("[]") else f'"{name}"' for name, kind in columns)


def as_texts(columns: Iterable[tuple[str, str]]) -> str:
    """The columns, with arrays made texts."""
    return ", ".join(f'"{name}"::text AS "{name}"' if kind.endswith("[]") else f'"{name}"' for name, kind in columns)


def _arrays(columns: Iterable[tuple[str, str]], first: int) -> str:
    return ", ".join(
        f"${number}::{'text' if kind.endswith('[]') else kind}[]"
        for number, (_, kind) in enumerate(columns, start=first)
    )
