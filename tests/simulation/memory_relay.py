"""The relay's port in memory: the outbox under one snapshot, and the checkpoint with its lease."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from tests.simulation.database import Row, Transaction, memory

from govevents.document import Document, read_envelope
from govkernel.kafka import Outgoing
from govkernel.postgres import Connection
from govkernel.relay import Checkpoint, DatabaseIdentity, LeadershipLost, RelayStatus
from govkernel.relay.ports import Chunk

CHECKPOINT: Final = ("relay_checkpoint",)


class MemoryRelay:
    """The rows of a relay in memory."""

    async def identity_of(self, connection: Connection) -> DatabaseIdentity:
        async def look(on: Transaction) -> DatabaseIdentity:
            return on.database.identity()

        return await memory(connection).ask(look)

    async def take(self, connection: Connection, replica: UUID, lease: timedelta) -> tuple[Checkpoint, bool] | None:
        async def take(on: Transaction) -> tuple[Checkpoint, bool] | None:
            row = await _locked(on)
            now = on.database.clock()
            if row["holder"] not in (None, replica) and row["lease_until"] > now:
                return None
            checkpoint = replace(row["checkpoint"], epoch=row["checkpoint"].epoch + 1)
            on.put(CHECKPOINT, {**row, "holder": replica, "lease_until": now + lease, "checkpoint": checkpoint})
            return checkpoint, row["holder"] is not None

        return await memory(connection).ask(take)

    async def renew(self, connection: Connection, replica: UUID, epoch: int, lease: timedelta) -> None:
        async def renew(on: Transaction) -> None:
            row = await _led(on, replica, epoch)
            on.put(CHECKPOINT, {**row, "lease_until": on.database.clock() + lease})

        await memory(connection).ask(renew)

    async def resign(self, connection: Connection, replica: UUID) -> None:
        async def resign(on: Transaction) -> None:
            row = await _locked(on)
            if row["holder"] == replica:
                on.put(CHECKPOINT, {**row, "holder": None, "lease_until": None})

        await memory(connection).ask(resign)

    async def store(self, connection: Connection, replica: UUID, checkpoint: Checkpoint, lease: timedelta) -> None:
        async def store(on: Transaction) -> None:
            row = await _led(on, replica, checkpoint.epoch)
            until = on.database.clock() + lease
            on.put(CHECKPOINT, {**row, "checkpoint": checkpoint, "lease_until": until, "alarm": None, "trouble": None})

        await memory(connection).ask(store)

    async def note_verified(self, connection: Connection, epoch: int, brought_back: int) -> None:
        async def note(on: Transaction) -> None:
            row = await _locked(on)
            if row["checkpoint"].epoch == epoch:
                on.put(CHECKPOINT, {**row, "verified_at": on.database.clock(), "brought_back": brought_back})

        await memory(connection).ask(note)

    async def note_held_up(
        self, connection: Connection, replica: UUID, *, alarm: str | None, trouble: str | None
    ) -> None:
        async def note(on: Transaction) -> None:
            row = await _locked(on)
            if row["holder"] == replica:
                on.put(CHECKPOINT, {**row, "alarm": alarm, "trouble": trouble})

        await memory(connection).ask(note)

    async def status(self, connection: Connection) -> RelayStatus:
        async def look(on: Transaction) -> RelayStatus:
            row = on.get(CHECKPOINT)
            assert row is not None, "it is there from the beginning"
            known: Checkpoint = row["checkpoint"]
            led = row["lease_until"] is not None and row["lease_until"] > on.database.clock()
            waiting = _pending(on, known)
            return RelayStatus(
                leader=row["holder"] if led else None,
                epoch=known.epoch,
                led_until=row["lease_until"] if led else None,
                verified=known.database == on.database.identity(),
                verified_at=row["verified_at"],
                brought_back=row["brought_back"],
                database=known.database,
                topic=known.topic,
                lag_rows=len(waiting),
                oldest=min((each["recorded_at"] for each in waiting), default=None),
                low_txid=known.low_txid,
                tail_length=len(known.tail),
                acknowledged=known.acknowledged,
                watermark=known.watermark,
                alarm=row["alarm"],
                trouble=row["trouble"],
            )

        return await memory(connection).ask(look)

    async def oldest(self, connection: Connection) -> datetime | None:
        async def look(on: Transaction) -> datetime:
            return min(each.began for each in (on, *on.database.open))

        return await memory(connection).ask(look)

    async def xmin(self, connection: Connection) -> int:
        async def look(on: Transaction) -> int:
            return on.snapshot()[1]

        return await memory(connection).ask(look)

    async def snapshot(self, connection: Connection) -> int:
        return await self.xmin(connection)

    async def pending(
        self, connection: Connection, checkpoint: Checkpoint, xmin: int, chunk_rows: int
    ) -> AsyncGenerator[Chunk, None]:
        async def look(on: Transaction) -> list[Row]:
            return sorted(_pending(on, checkpoint), key=lambda event: event["seq"])

        async def next_ones(_on: Transaction) -> None:
            return

        waiting = await memory(connection).ask(look)
        for first in range(0, len(waiting), chunk_rows):
            await memory(connection).ask(next_ones)
            chunk = waiting[first : first + chunk_rows]
            yield Chunk(
                [Outgoing(each["stream"], each["type"], each["document"]) for each in chunk],
                {each["seq"]: each["txid"] for each in chunk if each["txid"] >= xmin},
            )

    async def known(
        self, connection: Connection, places: Sequence[tuple[UUID, int]]
    ) -> Mapping[tuple[UUID, int], bytes]:
        async def look(on: Transaction) -> dict[tuple[UUID, int], bytes]:
            hashes = {
                (stream, event["version"]): event["hash"]
                for stream in {stream for stream, _ in places}
                for event in on.stream(stream)
            }
            return {place: hashes[place] for place in places if place in hashes}

        return await memory(connection).ask(look)

    async def bring_back(self, connection: Connection, documents: Sequence[Document]) -> None:
        async def insert(on: Transaction) -> None:
            for document in documents:
                await on.insert_event(event_of(document))

        await memory(connection).ask(insert)

    async def bring_back_commands(self, connection: Connection) -> None:
        async def insert(on: Transaction) -> None:
            commands: dict[UUID, list[Row]] = {}
            for event in on.events:
                commands.setdefault(read_envelope(event["document"]).command, []).append(event)
            for command, events in commands.items():
                versions = [event["version"] for event in events]
                row: dict[str, Any] = {
                    "command": command,
                    "digest": b"",
                    "stream": events[0]["stream"],
                    "from_version": min(versions) - 1,
                    "to_version": max(versions),
                    "status": 201 if min(versions) == 1 else 200,
                    "refusal": None,
                    "recorded_at": max(event["recorded_at"] for event in events),
                }
                await on.insert(("commands", command), row)

        await memory(connection).ask(insert)


def event_of(document: Document) -> Row:
    """A document's row but for its number."""
    return {
        "stream": document.stream,
        "version": document.version,
        "type": document.type,
        "time": document.time,
        "recorded_at": document.recorded_at,
        "document": document.body,
        "hash": document.hash,
    }


def _pending(on: Transaction, checkpoint: Checkpoint) -> list[Row]:
    return [
        event for event in on.visible() if event["txid"] >= checkpoint.low_txid and event["seq"] not in checkpoint.tail
    ]


async def _locked(on: Transaction) -> Row:
    await on.lock(*CHECKPOINT)
    row = on.get(CHECKPOINT)
    assert row is not None, "it is there from the beginning"
    return row


async def _led(on: Transaction, replica: UUID, epoch: int) -> Row:
    row = await _locked(on)
    if row["holder"] != replica or row["checkpoint"].epoch != epoch:
        raise LeadershipLost(f"epoch {epoch} is over")
    return row
