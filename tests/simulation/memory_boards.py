"""Read models in memory: a consumer's effects that are rows and no commands, so that doing them twice shows."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from tests.faults.evidence import BoardRows, shown
from tests.simulation.database import MemoryDatabase, Transaction, memory

from govevents.document import Recorded
from govkernel.consumer import Rejected
from govkernel.postgres import Connection
from govkernel.readmodels import ReadModel
from govkernel.readmodels.fold import Past, StreamRows
from govkernel.readmodels.handler import fold_batch


class MemoryBoard:
    """Folds the events of a read model into rows of the consumer's database, within the batch's transaction."""

    def __init__(self, model: ReadModel[Any]) -> None:
        self.name = f"{model.name}/1"
        self.service = model.service
        self.subscribes = model.subscribes
        self._model = model

    async def apply(self, connection: Connection, batch: Sequence[Recorded[Any]]) -> Sequence[Rejected]:
        """Fold a batch and write what changed; where the fold of an event fails, its stream goes no further."""
        streams = dict.fromkeys(recorded.envelope.stream for recorded in batch)
        rows = await memory(connection).ask(lambda on: self._load(on, list(streams)))
        past, rejected = fold_batch(self._model, rows, batch)
        await memory(connection).ask(lambda on: self._save(on, rows, past))
        return rejected

    async def _load(self, on: Transaction, streams: Sequence[UUID]) -> dict[UUID, StreamRows[Any]]:
        loaded = {}
        for stream in streams:
            rows: StreamRows[Any] = StreamRows(stream)
            kept = on.get(("boards", self._model.name, stream))
            for key, each in (kept["kept"] if kept is not None else {}).items():
                rows.put(key, each)
            loaded[stream] = rows
        return loaded

    async def _save(self, on: Transaction, rows: dict[UUID, StreamRows[Any]], past: Sequence[Past[Any]]) -> None:
        for stream, each in rows.items():
            key = ("boards", self._model.name, stream)
            await on.lock(*key)
            on.put(key, {"model": self._model.name, "stream": stream, "kept": dict(each.kept)})
        for ended in past:
            number = on.database.next_id
            on.database.next_id += 1
            await on.insert(("boards_past", number), {"model": self._model.name, "past": ended})


def board_rows(database: MemoryDatabase, model: ReadModel[Any]) -> BoardRows:
    """A read model as it stands."""
    kept = {row["stream"]: row["kept"] for row in database.table("boards") if row["model"] == model.name}
    return shown(kept, [row["past"] for row in database.table("boards_past") if row["model"] == model.name])
