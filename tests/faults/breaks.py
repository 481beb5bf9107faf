"""Breaks what the schedule says, and heals it."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

import httpx2
from tests.faults.crash import POINTS, Crash
from tests.faults.history import Broke, Healed, History, now
from tests.faults.inject import Injector
from tests.faults.proxy import Link, LinkState
from tests.faults.schedule import Fault
from tests.faults.servers import Servers, go_on, stand_still

from gov.runtime.ports import LOOPBACK

LEAVES_WITHIN_S: Final = 15.0
STATES: Final = {
    "cut": LinkState.CUT,
    "half-open": LinkState.HALF_OPEN,
    "hold": LinkState.HELD,
    "slow": LinkState.SLOW,
}

Heal = Callable[[], Awaitable[None]]
"""Undoes what was broken."""


@dataclass(slots=True)
class Breaks:
    """What can be done to the servers. `bug` is what is wrong with every replica that is started."""

    servers: Servers
    injector: Injector
    history: History
    bug: str | None = None
    may_end: set[str] = field(default_factory=set)
    counted: Counter[str] = field(default_factory=Counter)
    besides: Counter[str] = field(default_factory=Counter)

    async def run(self, fault: Fault, began: float) -> None:
        """Wait for the fault's time, break, wait, and heal."""
        await asyncio.sleep(began + fault.at - now())
        self.history.add(Broke(fault.number, now(), fault.kind, fault.target))
        if fault.kind == "inject":
            self.counted[f"inject {await self.injector.inject(fault.target, fault.amount)}"] += 1
            heal: Heal = _nothing
        else:
            heal = await self._break(fault)
            self.counted[fault.kind] += fault.kind != "crash replica"
        await asyncio.sleep(began + fault.until - now())
        await heal()
        self.history.add(Healed(fault.number, now()))

    async def _break(self, fault: Fault) -> Heal:
        match fault.kind.split(" ", 1):
            case ["kill", "replica"]:
                return self._kill_replica(fault.target)
            case ["stop", "replica"]:
                return self._stand_still(self.servers.seats[fault.target].pid)
            case ["kill", "broker"]:
                broker = self.servers.brokers[int(fault.target) - 1]
                broker.kill()
                return _later(broker.launch)
            case ["stop", "broker"]:
                return self._stand_still(self.servers.brokers[int(fault.target) - 1].pid)
            case ["kill", "postgres"]:
                self.servers.postgres.kill()
                return _later(self.servers.postgres.launch)
            case ["stop", "postgres"]:
                return self._stand_still(self.servers.postgres.pid)
            case ["reset", "link"]:
                for link in self._links(fault):
                    link.reset()
                return _nothing
            case [how, "link" | "peer"]:
                links = self._links(fault)
                for link in links:
                    await link.set(STATES[how])
                return lambda: _heal(links)
            case ["member", "joins"]:
                self.start(fault.target)
                return lambda: self._leave(fault.target)
            case ["crash", "replica"]:
                point = POINTS[int(fault.amount * len(POINTS))]
                self.servers.seats[fault.target].kill()
                self.start(fault.target, crash=Crash(point, 1 + int(fault.amount * 1000) % 6))
                self.may_end.add(fault.target)
                return lambda: self._after_crash(fault.target, point)
            case ["clock", _]:
                self.servers.seats[fault.target].kill()
                self.start(fault.target, clock_offset_s=fault.amount)
                return lambda: self._restart(fault.target)
            case ["rebuild"]:
                await self._rebuild(fault.target)
                return _nothing
            case _:
                raise AssertionError(f"{fault.kind} is no kind of fault")

    def _links(self, fault: Fault) -> tuple[Link, ...]:
        if fault.kind.endswith("peer"):
            return tuple(link for link in self.servers.peers if link.name == fault.target)
        name, _, what = fault.target.partition("/")
        seat = self.servers.seats[name]
        match what:
            case "api":
                return (seat.api,)
            case "postgres":
                return (seat.postgres,)
            case _:
                # Every broker at once, or one.
                return (
                    seat.brokers if fault.amount < 0.5 else (seat.brokers[int(fault.amount * 100) % len(seat.brokers)],)
                )

    def start(self, name: str, *, clock_offset_s: float = 0.0, crash: Crash | None = None) -> None:
        """Start a replica, with what is wrong with all of them."""
        self.may_end.discard(name)
        self.servers.start_replica(name, clock_offset_s=clock_offset_s, bug=self.bug, crash=crash)

    def _kill_replica(self, name: str) -> Heal:
        self.servers.seats[name].kill()
        return _later(lambda: self.start(name))

    async def _restart(self, name: str) -> None:
        self.servers.seats[name].kill()
        self.start(name)

    async def _after_crash(self, name: str, point: str) -> None:
        died = self.servers.seats[name].pid is None
        self.counted[f"crash {point}"] += died
        self.counted["crash that did not come about"] += not died
        await self._restart(name)

    async def _leave(self, name: str) -> None:
        seat = self.servers.seats[name]
        self.may_end.add(name)
        seat.leave()
        deadline = now() + LEAVES_WITHIN_S
        while seat.pid is not None and now() < deadline:
            await asyncio.sleep(0.1)
        self.besides["member left late"] += seat.pid is not None
        seat.kill()

    def _stand_still(self, pid: int | None) -> Heal:
        if pid is None:
            return _nothing
        stand_still(pid)
        return _later(lambda: go_on(pid))

    async def _rebuild(self, model: str) -> None:
        kind = "tallies" if model.startswith("tally") else "jars"
        for seat in self.servers.seats.values():
            if seat.kind == kind and seat.pid is not None:
                url = f"http://{LOOPBACK}:{seat.port}/operations/read-models/{model}/rebuilds"
                headers = {"Authorization": f"Bearer {self.servers.token}"}
                try:
                    async with httpx2.AsyncClient(headers=headers, timeout=5, trust_env=False) as client:
                        answer = await client.post(url, json={})
                except httpx2.HTTPError as error:
                    self.besides[f"rebuild: {type(error).__name__}"] += 1
                else:
                    self.besides[f"rebuild: {answer.status_code}"] += 1
                return


async def _nothing() -> None:
    return


def _later(do: Callable[[], object]) -> Heal:
    async def heal() -> None:
        do()

    return heal


async def _heal(links: tuple[Link, ...]) -> None:
    for link in links:
        await link.heal()
