"""Replicas that die by themselves at a named point, the n-th time that they come to it."""

import os
import signal
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final, Literal, NoReturn

from tests.faults.bugs import Wrapped

from govevents.document import Recorded
from govkernel.consumer import Handler, Rejected
from govkernel.kafka import EventProducer, KafkaAddress, Outgoing
from govkernel.ledger import Append, Ledger, Timers
from govkernel.postgres import Connection
from govkernel.processes import Wiring
from govkernel.relay import Relay, Step

Point = Literal[
    "before commit",
    "after commit",
    "before send",
    "after acknowledgement",
    "before store",
    "after store",
    "before effect",
    "before offset",
    "after timer",
]

POINTS: Final[tuple[Point, ...]] = (
    "before commit",
    "after commit",
    "before send",
    "after acknowledgement",
    "before store",
    "after store",
    "before effect",
    "before offset",
    "after timer",
)
STEPS: Final[Mapping[Step, Point]] = {"passed": "before store", "stored": "after store"}


@dataclass(frozen=True, slots=True)
class Crash:
    """Where a replica dies, and at which time of coming there, counted from one."""

    point: Point
    time: int


@dataclass(slots=True)
class Countdown:
    """Counts how often a point is come to, and ends the process there."""

    crash: Crash
    times: int = 0

    def at(self, point: Point) -> None:
        """A point is come to."""
        if point == self.crash.point:
            self.times += 1
            if self.times >= self.crash.time:
                _die()


def _die() -> NoReturn:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("nobody survives SIGKILL")


def crashing(sound: Wiring, crash: Crash) -> Wiring:
    """A wiring whose process dies where it is told to."""
    countdown = Countdown(crash)
    at = countdown.at

    async def reached(step: Step) -> None:
        if step in STEPS:
            at(STEPS[step])

    return replace(
        sound,
        ledger=partial(DyingLedger, at=at),
        timers=partial(DyingTimers, at=at),
        producer=lambda address: DyingProducer(address, at),
        relay=partial(Relay, reached=reached),
        handler=lambda handler: DyingHandler(handler, at),
    )


class DyingLedger(Ledger):
    """Dies before or after it has written a batch of commands."""

    def __init__(self, *arguments: Any, at: Callable[[Point], None], **others: Any) -> None:
        super().__init__(*arguments, **others)
        self._at = at

    async def _write(self, batch: Sequence[Append]) -> Any:
        self._at("before commit")
        outcomes = await super()._write(batch)
        self._at("after commit")
        return outcomes


class DyingTimers(Timers):
    """Dies after it has fired timers."""

    def __init__(self, *arguments: Any, at: Callable[[Point], None]) -> None:
        super().__init__(*arguments)
        self._at = at

    async def fire_due(self, now: Any = None, *, simulated: bool = False) -> int:
        fired = await super().fire_due(now, simulated=simulated)
        if fired:
            self._at("after timer")
        return fired


class DyingProducer(EventProducer):
    """Dies before it sends, or after everything was acknowledged."""

    def __init__(self, address: KafkaAddress, at: Callable[[Point], None]) -> None:
        super().__init__(address)
        self._at = at

    async def send(self, topic: str, batch: Sequence[Outgoing]) -> dict[int, int]:
        self._at("before send")
        acknowledged = await super().send(topic, batch)
        self._at("after acknowledgement")
        return acknowledged


class DyingHandler(Wrapped):
    """Dies before a batch has an effect, or when it has one and the offsets are not saved yet."""

    def __init__(self, inner: Handler, at: Callable[[Point], None]) -> None:
        super().__init__(inner)
        self._at = at

    async def apply(self, connection: Connection, batch: Sequence[Recorded[Any]]) -> Sequence[Rejected]:
        self._at("before effect")
        rejected = await super().apply(connection, batch)
        self._at("before offset")
        return rejected
