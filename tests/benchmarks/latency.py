"""How long after its commit an event is acknowledged by Kafka, and its row to be seen, while commands keep coming.

Ledger, relay and consumer are those of a service, in one process as in `<service> all`. Commands come in an open loop:
each at its time, whatever became of those before it.
"""

import asyncio
import gc
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from time import perf_counter
from typing import Any, Final
from uuid import UUID

from tests.benchmarks.bench import Bench, Benchmark
from tests.benchmarks.deciding import drawn
from tests.benchmarks.ledgers import check, ledger_at
from tests.benchmarks.logs import Log, check_carried, log_of, relay_of
from tests.benchmarks.projections import Follower, follower_of
from tests.benchmarks.row import Row, percentile

from govevents.document import Recorded, read_envelope
from govkernel.consumer import Handler, Rejected
from govkernel.kafka import EventProducer, KafkaAddress, Outgoing
from govkernel.postgres import Connection
from govkernel.relay import Producer

SERVICE: Final = "benchmarks-latency"
COMMANDS_PER_S: Final = 500
FUNDS: Final = 2000
LENGTH: Final = 5
"""How many seconds of load there are for each second of other measurements: percentiles need many commands."""
DRAINS_WITHIN_S: Final = 30.0

Place = tuple[UUID, int]


@dataclass
class Seen:
    """When each event was committed, acknowledged and to be seen: (stream, version) -> seconds."""

    committed: dict[Place, float] = field(default_factory=dict)
    acknowledged: dict[Place, float] = field(default_factory=dict)
    visible: dict[Place, float] = field(default_factory=dict)

    def milliseconds_to(self, later: Mapping[Place, float]) -> list[float]:
        """From each commit, as its caller knew of it; what others knew earlier counts as 0."""
        return [max(0.0, later[place] - moment) * 1000 for place, moment in self.committed.items()]


class Acknowledging:
    """A service's producer, which notes when each event was acknowledged."""

    def __init__(self, address: KafkaAddress, acknowledged: dict[Place, float]) -> None:
        self._real: Producer = EventProducer(address)
        self._acknowledged = acknowledged

    async def send(self, topic: str, batch: Sequence[Outgoing]) -> Mapping[int, int]:
        offsets = await self._real.send(topic, batch)
        now = perf_counter()
        for each in batch:
            self._acknowledged.setdefault(_place(each.body), now)
        return offsets

    async def put(self, topic: str, key: bytes, value: bytes) -> None:
        await self._real.put(topic, key, value)

    async def abort(self) -> None:
        await self._real.abort()


class Showing:
    """A read model's handler, which remembers what it has applied until that is committed."""

    def __init__(self, handler: Handler, visible: dict[Place, float]) -> None:
        self.name = handler.name
        self.service = handler.service
        self.subscribes = handler.subscribes
        self._handler = handler
        self._visible = visible
        self._applied: list[Place] = []

    async def apply(self, connection: Connection, batch: Sequence[Recorded[Any]]) -> Sequence[Rejected]:
        rejected = await self._handler.apply(connection, batch)
        self._applied += [(each.envelope.stream, each.envelope.version) for each in batch]
        return rejected

    def committed(self) -> None:
        """What was applied can be seen now."""
        now = perf_counter()
        for place in self._applied:
            self._visible.setdefault(place, now)
        self._applied.clear()


def _place(document: bytes) -> Place:
    envelope = read_envelope(document)
    return envelope.stream, envelope.version


async def observed(
    bench: Bench, log: Log, follower: Follower, *, per_second: int, seconds: float, answered: list[Place]
) -> Seen:
    """Let commands come for so long, and wait until the last of them is to be seen; `answered` gets what was answered."""
    seen = Seen()
    stop = asyncio.Event()
    showing = Showing(await follower.handler(), seen.visible)
    consumer = follower.consumer_of(showing, on_applied=showing.committed)
    async with (
        ledger_at(log.url, service=log.service) as ledger,
        relay_of(
            bench,
            log.url,
            service=log.service,
            topic=log.topic,
            wake=ledger.subscribe(),
            producer=lambda: Acknowledging(KafkaAddress(bench.kafka_bootstrap), seen.acknowledged),
        ) as relay,
        asyncio.TaskGroup() as parts,
    ):
        parts.create_task(relay.run(stop))
        parts.create_task(consumer.run(stop))
        try:
            streams = await ledger.pool.fetch("SELECT stream FROM events WHERE version = 1 LIMIT $1", FUNDS)
            some = Random(len(answered))

            async def draw() -> None:
                place = await drawn(ledger, some.choice(streams)["stream"])
                seen.committed[place] = perf_counter()
                answered.append(place)

            # Opens the connections, and lets each part begin.
            await asyncio.gather(*(draw() for _ in range(50)))
            await _all_seen(seen)
            seen.committed.clear()
            gc.collect()
            gc.freeze()
            await _open_loop(draw, per_second, seconds)
            await _all_seen(seen)
        finally:
            gc.unfreeze()
            stop.set()
    return seen


async def _open_loop(ask: Callable[[], Coroutine[Any, Any, None]], per_second: int, seconds: float) -> None:
    began = perf_counter()
    async with asyncio.TaskGroup() as asked:
        for number in range(int(per_second * seconds)):
            await asyncio.sleep(max(0.0, began + number / per_second - perf_counter()))
            asked.create_task(ask())


async def _all_seen(seen: Seen) -> None:
    deadline = perf_counter() + DRAINS_WITHIN_S
    while not seen.committed.keys() <= seen.acknowledged.keys() & seen.visible.keys():
        assert perf_counter() < deadline, (
            f"of {len(seen.committed)} events {len(seen.acknowledged)} were acknowledged and {len(seen.visible)} shown"
        )
        await asyncio.sleep(0.01)


async def measure(bench: Bench) -> list[Row]:
    """The same service is asked in each repeat."""
    scale = bench.scale
    answered: list[Place] = []
    async with (
        log_of(bench, SERVICE, streams=min(FUNDS, scale.streams), length=2) as log,
        follower_of(bench, log, url=log.url) as follower,
    ):
        await follower.follow()
        runs = [
            await observed(
                bench,
                log,
                follower,
                per_second=COMMANDS_PER_S,
                seconds=LENGTH * scale.seconds,
                answered=answered,
            )
            for _ in range(scale.repeats)
        ]
        await check(log.url, answered, filled=log.events)
        await check_carried(bench, log.url, log.topic)
        await follower.check(log.events + len(answered))
    acknowledged = [run.milliseconds_to(run.acknowledged) for run in runs]
    visible = [run.milliseconds_to(run.visible) for run in runs]
    load = f"open loop, {COMMANDS_PER_S} commands/s for {LENGTH * scale.seconds} s"
    return [
        Row(
            name=name,
            unit="ms p99",
            ours=tuple(percentile(milliseconds, 99) for milliseconds in of_runs),
            against=f"a limit of {limit:.0f} ms; {load}",
            limit=limit,
            at_least=1.0,
            less_is_better=True,
            note=f"median {percentile([each for milliseconds in of_runs for each in milliseconds], 50):.0f} ms",
        )
        for name, limit, of_runs in (
            ("latency-acknowledged", 50.0, acknowledged),
            ("latency-visible", 150.0, visible),
        )
    ]


BENCHMARKS: Final = (Benchmark(("latency-acknowledged", "latency-visible"), measure),)
