"""The ledger's port in memory: what `append_batch` and its like do, statement by statement, as PostgreSQL does it."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg
from tests.simulation.database import Row, Transaction, memory

from govkernel.domain import Link
from govkernel.ledger.append import LARGEST_CLOCK_DIFFERENCE, Append, Head, Reply, refusal_json, timer_id
from govkernel.ledger.group_load import Wanted
from govkernel.ledger.ports import Snapshot
from govkernel.ledger.postgres import lock_number
from govkernel.postgres import Connection


class MemoryLedger:
    """The rows of a ledger in memory."""

    async def append_batch(self, connection: Connection, items: Sequence[Append]) -> Reply:
        return await memory(connection).ask(lambda on: self._append(on, items))

    async def _append(self, on: Transaction, items: Sequence[Append]) -> Reply:
        await self.lock(on, items)
        await on.step()
        clock = on.database.clock()
        verified = on.database.checkpoint.database == on.database.identity()
        if not verified or not all(self.in_time(clock, item.clock) for item in items):
            return Reply(False, verified, clock)
        if any(item.allowed_under not in (None, on.database.access_generation) for item in items):
            return Reply(False, verified, clock, allowances_moved=True)
        await on.step()
        expected: dict[UUID, Head] = {}
        for item in items:
            for head in (item.expected, *item.relies_on):
                expected.setdefault(head.stream, head)
        heads = {stream: self._head(on, stream) for stream in expected}
        moved = [now for stream, now in heads.items() if self.is_moved(expected[stream], now)]
        answered = [item.command for item in items if on.get(("commands", item.command)) is not None]
        if moved or answered:
            return Reply(False, True, clock, tuple(moved), tuple(answered))
        await self._write(on, items)
        return Reply(True, True, clock)

    # The steps of the database's function.

    def in_time(self, clock: datetime, item: datetime) -> bool:
        return abs(clock - item) <= LARGEST_CLOCK_DIFFERENCE

    def is_moved(self, expected: Head, now: Head) -> bool:
        return expected != now

    async def insert_command(self, on: Transaction, row: Row) -> bool:
        return await on.insert(("commands", row["command"]), row)

    async def insert_event(self, on: Transaction, row: Row) -> None:
        await on.insert_event(row)

    async def lock(self, on: Transaction, items: Sequence[Append]) -> None:
        locks: dict[int, bool] = {}
        for item in items:
            for head in item.relies_on:
                locks.setdefault(lock_number(head.stream), False)
            if item.exclusive:
                locks[lock_number(item.expected.stream)] = True
        for number, alone in sorted(locks.items()):
            await on.lock("advisory", number, shared=not alone)

    async def _write(self, on: Transaction, items: Sequence[Append]) -> None:
        for item in sorted(items, key=lambda each: each.command.int):
            row = {
                "command": item.command,
                "digest": item.digest,
                "stream": item.expected.stream,
                "from_version": item.expected.version,
                "to_version": item.head.version,
                "status": item.status,
                "refusal": refusal_json(item.refusal),
                "recorded_at": item.clock,
            }
            if not await self.insert_command(on, row):
                raise asyncpg.UniqueViolationError("a rival has answered a command of this batch meanwhile")
        await on.step()
        documents = [document for item in items for document in item.documents]
        for document in sorted(documents, key=lambda each: (each.stream.int, each.version)):
            await self.insert_event(
                on,
                {
                    "stream": document.stream,
                    "version": document.version,
                    "type": document.type,
                    "time": document.time,
                    "recorded_at": document.recorded_at,
                    "document": document.body,
                    "hash": document.hash,
                },
            )
        await on.step()
        for item in items:
            for cause, deadline in item.deadlines:
                timer = timer_id(cause, deadline.name)
                row = {
                    "timer": timer,
                    "aggregate": item.aggregate,
                    "stream": item.expected.stream,
                    "name": deadline.name,
                    "due": deadline.due,
                    "cause": cause,
                    "correlation": item.correlation,
                    "origin": item.origin,
                }
                await on.insert(("timers", timer), row)
        links = {item.expected.stream: item.links for item in items if item.links is not None}
        for stream, some in links.items():
            for gone, linked in on.scan("stream_links"):
                if linked["stream"] == stream:
                    await on.lock(*gone)
                    on.put(gone, None)
            for link in some:
                key = ("stream_links", link.kind, link.target, stream)
                await on.insert(key, {"kind": link.kind, "target": link.target, "stream": stream})

    @staticmethod
    def _head(on: Transaction, stream: UUID) -> Head:
        events = on.stream(stream)
        return Head(stream, events[-1]["version"], events[-1]["hash"]) if events else Head(stream, 0, None)

    async def answered(
        self, connection: Connection, commands: Sequence[UUID], *, timeout_s: float | None = None
    ) -> Sequence[Row]:
        async def look(on: Transaction) -> list[Row]:
            found = [row for command in commands if (row := on.get(("commands", command))) is not None]
            return [
                {
                    **row,
                    "types": [
                        event["type"]
                        for event in on.stream(row["stream"])
                        if row["from_version"] < event["version"] <= row["to_version"]
                    ],
                }
                for row in found
            ]

        return await memory(connection).ask(look, timeout_s=timeout_s)

    async def read(
        self, connection: Connection, wanted: Sequence[Wanted], *, timeout_s: float | None = None
    ) -> Sequence[Row]:
        async def look(on: Transaction) -> list[Row]:
            return [row for number, each in enumerate(wanted, start=1) for row in self._found(on, number, each)]

        return await memory(connection).ask(look, timeout_s=timeout_s)

    @staticmethod
    def _found(on: Transaction, number: int, wanted: Wanted) -> list[Row]:
        events = on.stream(wanted.stream)
        first = wanted.known
        found: list[Row] = []
        kept = on.get(("snapshots", wanted.stream)) if wanted.known == 0 else None
        if kept is not None and kept["fold"] == wanted.fold:
            at = next((event for event in events if event["version"] == kept["version"]), None)
            if at is not None and at["hash"] == kept["hash"]:
                first = kept["version"] + 1
                found.append({**kept, "number": number, "document": kept["state"], "folded": True})
        found.extend(
            {
                "number": number,
                "version": event["version"],
                "hash": event["hash"],
                "document": event["document"] if event["version"] > wanted.known else None,
                "time": None,
                "recorded_at": None,
                "folded": False,
            }
            for event in events
            if event["version"] >= max(first, 1)
        )
        return found

    async def heads(
        self, connection: Connection, streams: Sequence[UUID], *, timeout_s: float | None = None
    ) -> list[Head]:
        async def look(on: Transaction) -> list[Head]:
            return [self._head(on, stream) for stream in streams]

        return await memory(connection).ask(look, timeout_s=timeout_s)

    async def events(
        self, connection: Connection, stream: UUID, after: int, until: int | None, *, timeout_s: float | None = None
    ) -> Sequence[Row]:
        async def look(on: Transaction) -> list[Row]:
            return [
                event
                for event in on.stream(stream)
                if after < event["version"] and (until is None or event["version"] <= until)
            ]

        return await memory(connection).ask(look, timeout_s=timeout_s)

    async def keep_snapshot(self, connection: Connection, snapshot: Snapshot, *, timeout_s: float | None) -> None:
        async def keep(on: Transaction) -> None:
            key = ("snapshots", snapshot.head.stream)
            await on.lock(*key)
            row: dict[str, Any] = {
                "stream": snapshot.head.stream,
                "fold": snapshot.fold,
                "version": snapshot.head.version,
                "hash": snapshot.head.hash,
                "state": snapshot.state,
                "time": snapshot.time,
                "recorded_at": snapshot.recorded_at,
            }
            on.put(key, row)

        await memory(connection).ask(keep, timeout_s=timeout_s)

    async def find(
        self, connection: Connection, links: Iterable[Link], *, timeout_s: float | None = None
    ) -> Sequence[Row]:
        wanted = {(link.kind, link.target) for link in links}

        async def look(on: Transaction) -> list[Row]:
            found = [row for _, row in on.scan("stream_links") if (row["kind"], row["target"]) in wanted]
            return sorted(found, key=lambda row: row["stream"].int)

        return await memory(connection).ask(look, timeout_s=timeout_s)

    async def next_timer(self, connection: Connection, now: datetime, *, simulated: bool) -> Row | None:
        async def look(on: Transaction) -> Row | None:
            due = [
                (row["due"], row["timer"].int, key)
                for key, row in on.scan("timers")
                if row["due"] <= now and (row["origin"] == "simulated") == simulated
            ]
            for _, _, key in sorted(due, key=lambda each: each[:2]):
                if not on.database.locks.against(on, key):
                    await on.lock(*key)
                    return on.get(key)
            return None

        return await memory(connection).ask(look)

    async def remove_timer(self, connection: Connection, timer: UUID) -> None:
        async def remove(on: Transaction) -> None:
            await on.lock("timers", timer)
            if on.get(("timers", timer)) is not None:
                on.put(("timers", timer), None)

        await memory(connection).ask(remove)
