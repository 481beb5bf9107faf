"""One round: replicas, load and faults for some seconds, then everything is healed, and the checker judges."""

import asyncio
import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from random import Random
from time import time
from typing import Any, Final
from uuid import UUID

import asyncpg
import httpx2
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError
from tests.faults.breaks import Breaks
from tests.faults.checker import ALWAYS, Case, Finding, check
from tests.faults.evidence import READING, definitions, gather
from tests.faults.history import Began, History, Measured, now
from tests.faults.inject import Injector
from tests.faults.load import Load
from tests.faults.recovery import LAG, LEADERS
from tests.faults.schedule import CALM_S, Fault, kinds, schedule
from tests.faults.servers import BROKERS, ISSUER, JOINING, USERNAME, Servers, go_on
from tests.faults.worker import Kind

from gov.issuer.people import accounts
from gov.runtime.ports import LOOPBACK
from govevents.catalogue import topic_of
from govkernel.http.auth import subject_of
from govkernel.kafka import KafkaAddress, KafkaUnavailable, TopicLog
from govkernel.postgres import UNAVAILABLE

READY_WITHIN_S: Final = 120.0
SAMPLE_S: Final = 0.5
LEADERS_WITHIN_S: Final = 60.0

OLDEST_UNREAD: Final = """
SELECT greatest(0, coalesce(extract(epoch FROM clock_timestamp() - min(events.recorded_at)), 0))::float8
FROM events LEFT JOIN consumer_guards AS guard ON guard.stream = events.stream AND guard.consumer = (
  SELECT name || '/' || build FROM read_model_builds WHERE name = $1 AND state = 'live')
WHERE events.version > coalesce(guard.version, 0)"""

READ: Final = f"""
SELECT consumer, topic, sum(next_offset)::bigint AS read FROM consumer_partitions WHERE {READING}
GROUP BY consumer, topic"""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a round does.

    `bug` is what is wrong with every replica; then the first look that finds something is enough. `settle_s` is how long
    healing may take at most; `calm_s` how long nothing is broken at first; `more_of` are kinds of faults that come more
    often; `pause_s` is how long a client rests between requests.
    """

    seed: int
    seconds: float
    bug: str | None = None
    settle_s: float = 120.0
    calm_s: float = CALM_S
    more_of: tuple[str, ...] = ()
    pause_s: float = 0.2


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a round. `besides` counts what else was seen; `restless` says what had not come to rest in time."""

    plan: Plan
    case: Case
    findings: tuple[Finding, ...]
    injections: Mapping[str, int]
    besides: Mapping[str, int]
    restless: str


async def play(servers: Servers, plan: Plan, folder: Path, round_: str) -> Result:
    """Play a round on servers that are whole; its history is kept in the folder."""
    round_of = Round(servers, plan, folder)
    try:
        return await round_of.play(round_)
    finally:
        round_of.history.close()


class Round:
    """The parts of one round, while it is played."""

    def __init__(self, servers: Servers, plan: Plan, folder: Path) -> None:
        self.servers = servers
        self.plan = plan
        self.history = History(folder / "history.jsonl")
        self.ended: list[Finding] = []
        self.subject: UUID = subject_of(ISSUER, accounts()[USERNAME].sub)

    async def play(self, round_: str) -> Result:
        """From fresh databases to the findings."""
        servers, plan = self.servers, self.plan
        await servers.begin_round(round_, plan.bug)
        databases: dict[Kind, str] = {"jars": servers.database("jars"), "tallies": servers.database("tallies")}
        injector = Injector(self.history, servers.kafka, servers.names, databases, Random(plan.seed))
        breaks = Breaks(servers, injector, self.history, plan.bug)
        first = [name for name in servers.seats if name != JOINING]
        for name in first:
            breaks.start(name)
        await self._until_ready(first)
        self.history.add(Began(now(), time(), plan.seed, plan.seconds))
        load = Load(
            self.history,
            seed=plan.seed,
            token=servers.token,
            seats=self._seats,
            address=lambda name: f"http://{LOOPBACK}:{servers.seats[name].api.port}",
        )
        try:
            await self._under_faults(load, injector, breaks)
            if plan.bug is not None and (early := await self._first_look(databases)) is not None:
                return Result(
                    plan, early, tuple(check(early, ALWAYS)), _seen(breaks.counted), _seen(breaks.besides), ""
                )
            restless = await self._settle(load, breaks)
        finally:
            await load.close()
        case = Case(self.history.entries, await gather(databases, servers.kafka, servers.names), self.subject)
        found = check(case, ALWAYS) if restless else check(case)
        if restless:
            found.append(Finding("everything_comes_to_rest", restless))
        return Result(plan, case, (*self.ended, *found), _seen(breaks.counted), _seen(breaks.besides), restless)

    async def _under_faults(self, load: Load, injector: Injector, breaks: Breaks) -> None:
        plan, began = self.plan, now()
        choice = kinds(self._first(), JOINING, BROKERS)
        faults = schedule(plan.seed, plan.seconds, choice, calm_s=plan.calm_s, more_of=plan.more_of)
        stop, watched = asyncio.Event(), asyncio.Event()
        async with asyncio.TaskGroup() as around:
            around.create_task(self._watch(breaks, watched))
            around.create_task(self._sample(watched))
            async with asyncio.TaskGroup() as group:
                group.create_task(load.run(stop, pause_s=plan.pause_s))
                group.create_task(injector.feed(stop))
                broken = [group.create_task(breaks.run(fault, began)) for fault in faults]
                for fault in faults:
                    if fault.kind in ("kill broker", "stop broker"):
                        group.create_task(self._leaders(fault, began))
                await asyncio.sleep(began + plan.seconds - now())
                await asyncio.gather(*broken)
                stop.set()
            watched.set()

    def _first(self) -> list[str]:
        return [name for name in self.servers.seats if name != JOINING]

    def _seats(self) -> list[str]:
        """The replicas that clients may choose from; those that are dead are among them, as clients can't know."""
        names = [name for name, seat in self.servers.seats.items() if seat.kind == "jars"]
        return [name for name in names if name != JOINING or self.servers.seats[name].pid is not None]

    async def _until_ready(self, names: list[str]) -> None:
        deadline = now() + READY_WITHIN_S
        while not all([await self.servers.ready(name) for name in names]):
            assert now() < deadline, f"the replicas were not ready in {READY_WITHIN_S:.0f} s; see their logs"
            await asyncio.sleep(0.2)

    async def _watch(self, breaks: Breaks, stop: asyncio.Event) -> None:
        """Start again what has ended by itself, and say so: nothing that is done here should end a replica."""
        while not stop.is_set():
            for name, seat in self.servers.seats.items():
                if seat.running is None or seat.pid is not None or name in breaks.may_end:
                    continue
                self.ended.append(Finding("no_replica_ends_by_itself", f"{name} ended with {seat.running.poll()}"))
                seat.kill()
                breaks.start(name)
            await asyncio.sleep(0.5)

    async def _sample(self, stop: asyncio.Event) -> None:
        """How far readers are behind, as the database says it."""
        while not stop.is_set():
            for kind, board in (("jars", "jar_board"), ("tallies", "tally_board")):
                with contextlib.suppress(*UNAVAILABLE, asyncpg.PostgresError):
                    connection = await asyncpg.connect(self.servers.database(kind), timeout=2)  # type: ignore[arg-type]
                    try:
                        behind_s = await connection.fetchval(OLDEST_UNREAD, board, timeout=2)
                    finally:
                        await connection.close(timeout=2)
                    self.history.add(Measured(now(), LAG, behind_s))
            await asyncio.sleep(SAMPLE_S)

    async def _leaders(self, fault: Fault, began: float) -> None:
        """How long it takes until partitions that a broker led are led by others."""
        await asyncio.sleep(began + fault.at - now())
        broke, number = now(), int(fault.target)
        others = [port for at, port in enumerate(self.servers.kafka.split(","), start=1) if at != number]
        while now() < broke + LEADERS_WITHIN_S:
            with contextlib.suppress(KafkaError, OSError, TimeoutError):
                if number not in await self._led_by(",".join(others)):
                    self.history.add(Measured(now(), LEADERS, now() - broke))
                    return
            await asyncio.sleep(0.25)
            if now() > began + fault.until:
                # It came back before the others had to do without it.
                return

    async def _led_by(self, bootstrap: str) -> set[int]:
        """The brokers that lead partitions; -1 is nobody."""
        async with asyncio.timeout(5):
            admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap, request_timeout_ms=2000)
            try:
                await admin.start()
                topics: list[dict[str, Any]] = await admin.describe_topics([topic_of(self.servers.names.jars)])
            finally:
                await admin.close()
        return {partition["leader"] for topic in topics for partition in topic["partitions"]}

    async def _settle(self, load: Load, breaks: Breaks) -> str:
        """Heal all, ask again what is open, and wait until nothing moves; what does not come to rest in time."""
        for link in self.servers.links:
            await link.heal()
        for name in self._first():
            seat = self.servers.seats[name]
            if seat.pid is not None:
                go_on(seat.pid)
            else:
                seat.kill()
                breaks.start(name)
        deadline = now() + self.plan.settle_s
        unasked = await load.settle(within_s=self.plan.settle_s / 2)
        reason, quiet = "", 0
        while quiet < 2:
            reason = f"{unasked} requests have no answer" if unasked else await self._moving()
            quiet = 0 if reason else quiet + 1
            if now() > deadline:
                return reason
            await asyncio.sleep(0.5)
        return ""

    async def _moving(self) -> str:
        """What is still under way, if anything."""
        log = TopicLog(KafkaAddress(self.servers.kafka))
        try:
            for name in self._first():
                seat = self.servers.seats[name]
                url = f"http://{LOOPBACK}:{seat.port}/operations/relay"
                headers = {"Authorization": f"Bearer {self.servers.token}"}
                async with httpx2.AsyncClient(headers=headers, timeout=5, trust_env=False) as client:
                    relay = (await client.get(url)).json()
                if relay.get("lag_rows") != 0 or not relay.get("verified"):
                    return f"{name}: the relay is behind: {relay}"
            services: tuple[Kind, ...] = ("jars", "tallies")
            for kind in services:
                connection = await asyncpg.connect(self.servers.database(kind), timeout=5)
                try:
                    if waiting := await connection.fetchval("SELECT count(*) FROM timers"):
                        return f"{kind}: {waiting} timers wait"
                    if waiting := await connection.fetchval("SELECT count(*) FROM parked WHERE kind = 'not_yet'"):
                        return f"{kind}: {waiting} parked records wait for what they need"
                    rows = await connection.fetch(READ)
                finally:
                    await connection.close(timeout=5)
                definition = definitions(self.servers.names)[kind]
                wanted = {reacts.name(definition.name) for reacts in definition.reactions}
                wanted |= {model.name for model in definition.read_models}
                if missing := wanted - {row["consumer"].partition("/")[0] for row in rows}:
                    return f"{kind}: {', '.join(sorted(missing))} have not begun to read"
                for row in rows:
                    ends = sum((await log.extent(row["topic"])).ends.values())
                    if row["read"] != ends:
                        return f"{kind}: {row['consumer']} has read {row['read']} of {ends} records"
        except (*UNAVAILABLE, asyncpg.PostgresError, httpx2.HTTPError, ValueError, KafkaUnavailable) as error:
            return f"something is away: {error!r}"
        return ""

    async def _first_look(self, databases: Mapping[Kind, str]) -> Case | None:
        """The case as it is before anything has come to rest, if it holds a contradiction already."""
        try:
            evidence = await gather(databases, self.servers.kafka, self.servers.names)
        except (*UNAVAILABLE, asyncpg.PostgresError, KafkaUnavailable):
            return None
        case = Case(self.history.entries, evidence, self.subject)
        return case if check(case, ALWAYS) else None


def _seen(counts: Mapping[str, int]) -> dict[str, int]:
    return {name: count for name, count in counts.items() if count}
