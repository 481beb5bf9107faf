"""The append alone: callers that decide and encode on what they know, each on a stream of its own, and wait for the commit.

What is measured is `Ledger.prepare` and the append, with the command's row; nothing is loaded.
"""

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, Final
from uuid import UUID, uuid4

import asyncpg
from tests.benchmarks.bench import Bench, Benchmark
from tests.benchmarks.callers import Answered, callers
from tests.benchmarks.fund import FUND, PURPOSE, Draw, Fund
from tests.benchmarks.ledgers import check, context, ledger_at, opened
from tests.benchmarks.pgbench import MOST_CLIENTS, Inserted, insert
from tests.benchmarks.row import Row, interleaved

from govkernel.ledger import Append, Appended, Head, Intent, Ledger, Loaded
from govkernel.ledger.append import LARGEST_CLOCK_DIFFERENCE, Outcome
from govkernel.ledger.group_commit import GroupCommit
from govkernel.ledger.postgres import APPEND_BATCH
from govkernel.postgres import event_columns
from govkernel.tables import commands

AT_LEAST: Final = {1: 0.45, 8: 0.75, 32: 1.5, 128: 2.6, 512: 2.8}
RELIED_ON_STREAMS: Final = 100
COMMAND_COLUMNS: Final = tuple(column.name for column in commands.columns)


class Appender:
    """Callers with a fund each, who draw from it; `answered` is what they were told."""

    def __init__(
        self,
        ledger: Ledger,
        funds: list[Loaded[Fund]],
        relied_on: Sequence[Head] = (),
        submit: Callable[[Append], Awaitable[Outcome]] | None = None,
    ) -> None:
        self.answered: list[tuple[UUID, int]] = [(fund.head.stream, fund.head.version) for fund in funds]
        self.document_bytes = 0
        self._ledger = ledger
        self._funds = funds
        self._relied_on = relied_on
        self._submit = submit or ledger.submit

    @classmethod
    async def of(cls, ledger: Ledger, count: int, **others: Any) -> "Appender":
        """So many callers, with funds that were opened just now."""
        return cls(ledger, [await opened(ledger, uuid4()) for _ in range(count)], **others)

    async def draw(self, caller: int) -> None:
        """Append one event."""
        fund = self._funds[caller]
        relied_on = (self._relied_on[caller % len(self._relied_on)],) if self._relied_on else ()
        intent: Intent[Any, Any, Any] = Intent(FUND, fund.head.stream, Draw(1, PURPOSE), relied_on)
        item, after = self._ledger.prepare(context(), intent, fund)
        outcome = await self._submit(item)
        assert isinstance(outcome, Appended), outcome
        self._funds[caller] = after
        self.answered.append((after.head.stream, after.head.version))
        self.document_bytes = len(item.documents[0].body)


async def against_pgbench(bench: Bench, count: int) -> list[Row]:
    """So many callers, against as many of pgbench's."""
    scale = bench.scale
    async with bench.database() as url, ledger_at(url) as ledger:
        appender = await Appender.of(ledger, count)
        await callers(count, 0.2, appender.draw)

        async def ours() -> Answered:
            return await callers(count, scale.seconds, appender.draw)

        async def floor() -> Inserted:
            return await insert(
                bench,
                url,
                clients=min(count, MOST_CLIENTS),
                document_bytes=appender.document_bytes,
                seconds=scale.seconds,
            )

        of_ours, of_floor = await interleaved(scale.repeats, ours, floor)
        rows = await _inserted(url)
        assert rows == sum(each.rows for each in of_floor), f"pgbench inserted {of_floor}, {rows} rows are there"
        await check(url, appender.answered, filled=0, commands=len(appender.answered))
    return [
        Row(
            name=f"append-{count}",
            unit="events/s",
            ours=tuple(each.per_second for each in of_ours),
            floor=tuple(each.per_second for each in of_floor),
            against=f"pgbench, prepared single-row INSERT, {min(count, MOST_CLIENTS)} clients",
            at_least=AT_LEAST[count],
            note=f"documents of {appender.document_bytes} bytes",
        )
    ]


async def relying(bench: Bench, count: int) -> list[Row]:
    """So many callers whose every command relies on a second stream, against the same without."""
    scale = bench.scale
    async with bench.database() as url, ledger_at(url) as ledger:
        relied_on = [(await opened(ledger, uuid4())).head for _ in range(RELIED_ON_STREAMS)]
        with_it, without = await Appender.of(ledger, count, relied_on=relied_on), await Appender.of(ledger, count)
        for each in (with_it, without):
            await callers(count, 0.2, each.draw)
        of_ours, of_floor = await interleaved(
            scale.repeats,
            lambda: callers(count, scale.seconds, with_it.draw),
            lambda: callers(count, scale.seconds, without.draw),
        )
        answered = [*((head.stream, head.version) for head in relied_on), *with_it.answered, *without.answered]
        await check(url, answered, filled=0, commands=len(answered))
    return [
        Row(
            name=f"append-relying-{count}",
            unit="events/s",
            ours=tuple(each.per_second for each in of_ours),
            floor=tuple(each.per_second for each in of_floor),
            against=f"the same without relying on a second stream, {count} callers",
            at_least=0.7,
        )
    ]


class Keyless:
    """Appends as the ledger does, in the same batches, but commands that have neither key nor row."""

    def __init__(self, ledger: Ledger) -> None:
        self._pool = ledger.pool
        self._commits = GroupCommit(self._write, lambda _item, _after, _outcome: None)

    async def submit(self, item: Append) -> Outcome:
        """Append together with what else waits."""
        return await self._commits.submit(item)

    async def _write(self, batch: Sequence[Append]) -> Sequence[Outcome]:
        documents = sorted(
            (document for item in batch for document in item.documents), key=lambda each: each.stream.int
        )
        clocks = [item.clock for item in batch]
        async with self._pool.acquire(timeout=5) as connection:
            reply = await connection.fetchrow(
                APPEND_BATCH,
                *([], []),
                [item.expected.stream for item in batch],
                [item.expected.version for item in batch],
                [item.expected.hash for item in batch],
                *(min(clocks), max(clocks), LARGEST_CLOCK_DIFFERENCE),
                *([] for _ in COMMAND_COLUMNS),
                *event_columns(documents),
                *([] for _ in range(APPEND_BATCH.count("$") - 8 - len(COMMAND_COLUMNS) - 7 - 1)),
                None,
            )
        assert reply is not None
        assert reply["written"], dict(reply)
        return [Appended(item.head) for item in batch]


async def keyed(bench: Bench, count: int) -> list[Row]:
    """So many callers, against the same with neither key nor command row."""
    scale = bench.scale
    async with bench.database() as url, ledger_at(url) as ledger:
        with_it = await Appender.of(ledger, count)
        without = await Appender.of(ledger, count, submit=Keyless(ledger).submit)
        for each in (with_it, without):
            await callers(count, 0.2, each.draw)
        of_ours, of_floor = await interleaved(
            scale.repeats,
            lambda: callers(count, scale.seconds, with_it.draw),
            lambda: callers(count, scale.seconds, without.draw),
        )
        # The funds of the keyless were opened with a key each.
        await check(url, [*with_it.answered, *without.answered], filled=0, commands=len(with_it.answered) + count)
    return [
        Row(
            name=f"append-keyed-{count}",
            unit="events/s",
            ours=tuple(each.per_second for each in of_ours),
            floor=tuple(each.per_second for each in of_floor),
            against=f"the same with neither key nor command row, {count} callers",
            at_least=0.75,
        )
    ]


async def _inserted(url: str) -> int:
    connection = await asyncpg.connect(url)
    try:
        return int(await connection.fetchval("SELECT count(*) FROM events WHERE type = 'pgbench.Inserted'"))
    finally:
        await connection.close()


BENCHMARKS: Final = (
    *(Benchmark((f"append-{count}",), partial(against_pgbench, count=count)) for count in AT_LEAST),
    *(Benchmark((f"append-keyed-{count}",), partial(keyed, count=count)) for count in AT_LEAST),
    *(Benchmark((f"append-relying-{count}",), partial(relying, count=count)) for count in AT_LEAST if count <= 128),
)
