"""Load, decide, append, against the package eventsourcing with its PostgreSQL module: the same domain, as durable."""

import json
from functools import partial
from random import Random
from typing import Any, Final
from uuid import UUID, uuid4

import asyncpg
from tests.benchmarks.bench import Bench, Benchmark
from tests.benchmarks.callers import Answered, callers
from tests.benchmarks.deciding import drawn
from tests.benchmarks.fund import LIMIT_MINOR, PURPOSE
from tests.benchmarks.ledgers import check, fill, ledger_at
from tests.benchmarks.processes import answer_of
from tests.benchmarks.row import Row, interleaved

AT_LEAST: Final = {8: 8.0, 128: 25.0}
STREAMS: Final = 1000
LENGTH: Final = 20
THREADS: Final = (8, 16, 32, 64, 128)

EVENTS: Final = """
SELECT count(*) AS events, count(*) FILTER (WHERE originator_version <> position) AS misplaced
FROM (SELECT originator_version, row_number() OVER (PARTITION BY originator_id ORDER BY originator_version) AS position
      FROM funds_events) AS each"""


class PeerMissing(Exception):
    """The environment of the peer is not there."""


class Peer:
    """The same funds as the package eventsourcing keeps them, in a database of its own."""

    def __init__(self, bench: Bench, url: str) -> None:
        self.drawn = 0
        self._python = bench.build / "peers" / "bin" / "python"
        if not self._python.exists():
            raise PeerMissing(f"{self._python} does not exist; `make bench` installs what is to be compared with")
        self._url = url
        self._funds: list[str] = []

    async def open(self) -> None:
        """Open funds that have a history."""
        answer = await self._asked(open=STREAMS, limit_minor=LIMIT_MINOR, draws=LENGTH - 1)
        self._funds = answer["funds"]

    async def draw(self, threads: int, seconds: float) -> float:
        """Draws a second of so many threads."""
        answer = await self._asked(threads=threads, seconds=seconds, funds=self._funds)
        assert not answer["faults"], answer["faults"][:3]
        self.drawn += answer["drawn"]
        return float(answer["per_second"])

    async def check(self) -> None:
        """Every draw is there, and streams have no gaps."""
        connection = await asyncpg.connect(self._url)
        try:
            found: Any = await connection.fetchrow(EVENTS)
        finally:
            await connection.close()
        assert dict(found) == {"events": STREAMS * LENGTH + self.drawn, "misplaced": 0}, dict(found)

    async def _asked(self, **errand: Any) -> Any:
        given = json.dumps({"url": self._url, "purpose": PURPOSE, **errand}).encode()
        return json.loads(await answer_of("tests.benchmarks.eventsourcing_peer", given=given, python=self._python))


async def against_eventsourcing(bench: Bench, count: int) -> list[Row]:
    """So many callers against as many threads, or against as many as are best for it."""
    scale = bench.scale
    streams = [uuid4() for _ in range(STREAMS)]
    async with bench.database() as url, bench.database() as of_peer, ledger_at(url) as ledger:
        await fill(url, streams, LENGTH)
        peer = Peer(bench, of_peer)
        await peer.open()
        threads = count if count == THREADS[0] else await _best(peer)
        answered: list[tuple[UUID, int]] = []
        some = Random(1)

        async def draw(_caller: int) -> None:
            answered.append(await drawn(ledger, some.choice(streams)))

        async def ours() -> Answered:
            await callers(count, 0.5, draw)
            return await callers(count, scale.seconds, draw)

        of_ours, of_floor = await interleaved(scale.repeats, ours, lambda: peer.draw(threads, scale.seconds))
        await check(url, answered, filled=STREAMS * LENGTH)
        await peer.check()
    return [
        Row(
            name=f"peer-eventsourcing-{count}",
            unit="commands/s",
            ours=tuple(each.per_second for each in of_ours),
            floor=tuple(of_floor),
            against=f"eventsourcing with its PostgreSQL module and its cache, {threads} threads",
            at_least=AT_LEAST[count],
            note=f"{count} callers, {STREAMS:,} streams of {LENGTH} events",
        )
    ]


async def _best(peer: Peer) -> int:
    rates = {threads: await peer.draw(threads, 1.0) for threads in THREADS}
    return max(rates, key=lambda threads: rates[threads])


BENCHMARKS: Final = tuple(
    Benchmark((f"peer-eventsourcing-{count}",), partial(against_eventsourcing, count=count)) for count in AT_LEAST
)
