"""One run of the simulation: two services in two replicas each, under load and faults, until everything is healed.

The services are those of `tests/faults`, and so is the checker. Their ledgers, relays, consumers, reactions and timers
are the kernel's own; databases and Kafka are in memory. Whatever happens is drawn from one seed.
"""

import asyncio
import hashlib
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any, Final
from uuid import UUID, uuid5

import asyncpg
from tests.faults import jars, mint
from tests.faults.checker import ALWAYS, Case, Finding, check
from tests.faults.consumed import Record
from tests.faults.evidence import CommandRow, ConsumerRows, EventRow, Evidence, LedgerRows, definitions, watermark_of
from tests.faults.history import AGAIN, Answered, Asked, Began, Entry, Injected, Invoked, What
from tests.faults.services import CATALOGUE, Names
from tests.faults.worker import Kind
from tests.simulation import database as databases
from tests.simulation import memory_kafka
from tests.simulation.database import MemoryDatabase
from tests.simulation.loop import Process, SimulatedLoop, Stuck, process
from tests.simulation.memory_boards import MemoryBoard, board_rows
from tests.simulation.memory_consumer import MemoryConsumer
from tests.simulation.memory_kafka import MemoryKafka, MemoryProducer, MemoryReader
from tests.simulation.memory_ledger import MemoryLedger
from tests.simulation.memory_relay import MemoryRelay

from govevents.catalogue import WATERMARK_TOPIC, topic_of
from govevents.document import Document, Origin, encode, hash_of
from govevents.event import event_type
from govkernel.consumer import Consumer, Handler
from govkernel.domain import NotKnownYet, Refusal
from govkernel.kafka.address import partition_of
from govkernel.ledger import Context, Intent, KeyReused, Ledger, LedgerUnavailable, StaleVersion, Timers
from govkernel.processes import ServiceDefinition
from govkernel.reactions import ReactionHandler
from govkernel.relay import Relay

START: Final = datetime(2026, 3, 2, 9, tzinfo=UTC)
SUBJECT: Final = UUID("00000000-0000-4000-8000-00000000000a")
NAMES: Final = Names("jars", "tallies", "mint")
SEATS: Final[tuple[tuple[str, Kind], ...]] = (
    ("jars-1", "jars"),
    ("jars-2", "jars"),
    ("tallies-1", "tallies"),
    ("tallies-2", "tallies"),
)
PARTITIONS: Final = 12
CLIENTS: Final = 4
QUESTIONS: Final = 9
TIMEOUT_S: Final = 3.0
LEASE_S: Final = 6.0
POLL_S: Final = 1.0
SETTLE_S: Final = 300.0


def services() -> dict[Kind, ServiceDefinition]:
    """The services of `tests/faults`."""
    return definitions(NAMES)


async def _newest(ledger: Ledger, stream: UUID) -> Any:
    return await ledger.load(jars.JAR, stream)


@dataclass(frozen=True)
class Parts:
    """What a replica is made of; a planted bug puts something else in the place of one."""

    ledger: Callable[..., Ledger] = Ledger
    timers: Callable[..., Timers] = Timers
    relay: Callable[..., Relay] = Relay
    events: Callable[[], MemoryLedger] = MemoryLedger
    outbox: Callable[[], MemoryRelay] = MemoryRelay
    producer: Callable[[MemoryKafka], Any] = MemoryProducer
    reader: Callable[[MemoryKafka, str], Any] = MemoryReader
    handler: Callable[[Handler], Handler] = lambda handler: handler
    definitions: Callable[[], Mapping[Kind, ServiceDefinition]] = services
    load: Callable[[Ledger, UUID], Awaitable[Any]] = _newest


@dataclass
class Weather:
    """How often what goes wrong, for one await of a port each; drawn anew for each seed, so that some are calm."""

    chance: Random
    bad: bool = True
    crash: float = 0.0
    stop: float = 0.0
    cut: float = 0.0
    hang: float = 0.0
    slow: float = 0.0
    server_slow: float = 0.0

    @classmethod
    def of(cls, chance: Random) -> "Weather":
        """The weather of a seed."""

        def rate(most: float) -> float:
            return most * chance.random() ** 2 if chance.random() < 0.6 else 0.0

        return cls(chance, True, rate(0.004), rate(0.004), rate(0.03), rate(0.004), rate(0.05), rate(0.1))

    def delay_s(self) -> float:
        """How long one way takes."""
        if self.bad and self.slow and self.chance.random() < self.slow:
            return self.chance.uniform(0.05, 1.5)
        drawn = self.chance.random()
        return 0.0 if drawn < 0.5 else drawn * 0.003


@dataclass(eq=False)
class Seat:
    """A place for a replica; whoever sits there may die, and another one comes."""

    name: str
    kind: Kind
    replica: "Replica | None" = None
    generation: int = 0


class Replica:
    """One process of a service."""

    def __init__(self, world: "World", seat: Seat) -> None:
        seat.generation += 1
        self.process = Process(f"{seat.name}#{seat.generation}")
        self.off = timedelta()
        self._world = world
        definition = world.definitions[seat.kind]
        parts = world.parts
        pool = world.databases[seat.kind].pool().lent()
        number = uuid5(SUBJECT, self.process.name)
        self.ledger = parts.ledger(
            pool,
            service=definition.name,
            catalogue=CATALOGUE,
            clock=self.clock,
            refusal_status=_status_of,
            store=parts.events(),
        )
        self.relay = parts.relay(
            pool,
            service=definition.name,
            replica=number,
            producer=lambda: parts.producer(world.kafka),
            topics=world.kafka,
            topic_log=world.kafka,
            wake=self.ledger.subscribe(),
            lease=timedelta(seconds=LEASE_S),
            chunk_rows=world.chance.choice((2, 5, 1000)),
            store=parts.outbox(),
        )
        self.timers = parts.timers(self.ledger, definition.aggregates)
        handlers: list[Handler] = [
            ReactionHandler(
                each.name(definition.name),
                each.service,
                self.ledger,
                each.react,
                subscribes=frozenset(event_type(event).full_name for event in each.events),
                needs=each.needs,
            )
            for each in definition.reactions
        ]
        self.consumers = [
            Consumer(
                pool,
                parts.handler(handler),
                CATALOGUE,
                reader=parts.reader(world.kafka, topic_of(handler.service)),
                topics=world.kafka,
                replica=number,
                lease_s=LEASE_S,
                poll_s=POLL_S,
                plenty=world.chance.choice((3, 500)),
                on_applied=self._nudge,
                store=MemoryConsumer(),
            )
            for handler in (*handlers, *(MemoryBoard(model) for model in definition.read_models))
        ]

    def clock(self) -> datetime:
        """What this process takes for the time."""
        return self._world.now() + self.off

    def _nudge(self) -> None:
        self.ledger.wake()
        for consumer in self.consumers:
            consumer.nudge()

    async def run(self) -> None:
        """All that a process does by itself. It never ends, but by an error."""
        stop = asyncio.Event()
        work = [self.relay.run(stop), self.timers.run(stop), *(consumer.run(stop) for consumer in self.consumers)]
        try:
            async with asyncio.TaskGroup() as group:
                for each in work:
                    group.create_task(each)
        except ExceptionGroup as failures:
            first = failures.exceptions[0]
            self._world.ended.append(
                Finding("no_replica_ends_by_itself", f"{self.process}: {type(first).__name__}: {first}")
            )

    async def serve(self, asked: Asked, answered: "asyncio.Future[tuple[int, Any, int | None]]") -> None:
        """Answer a request as the kernel's HTTP layer does."""
        try:
            answer = await (self._show(asked) if asked.key is None else self._do(asked))
        except StaleVersion as stale:
            answer = 412, {"facts": {"current_version": str(stale.current)}}, stale.current
        except KeyReused:
            answer = 422, _problem("idempotency-key-reused"), None
        except LedgerUnavailable:
            answer = 503, _problem("unavailable"), None
        except NotKnownYet as unknown:
            answer = 404, _problem(unknown.slug()), None
        if not answered.done():
            answered.set_result(answer)

    async def _show(self, asked: Asked) -> tuple[int, Any, int | None]:
        assert asked.stream is not None, "a query names its jar"
        loaded = await self._world.parts.load(self.ledger, asked.stream)
        if loaded.head.version == 0:
            raise jars.JarUnknown
        jar = loaded.state
        shown = {
            "coins": list(jar.coins),
            "total": jar.total,
            "closed": jar.closed,
            "rung": jar.rung,
            "rewards": jar.rewards,
        }
        return 200, shown, loaded.head.version

    async def _do(self, asked: Asked) -> tuple[int, Any, int | None]:
        now = self.clock()
        context = Context(
            command=uuid5(SUBJECT, f"{NAMES.jars}/{asked.key}"),
            digest=hash_of(json.dumps([asked.what, asked.path, asked.if_match, asked.fields]).encode()),
            actor=str(SUBJECT),
            now=now,
            time=now,
            correlation=str(asked.operation),
        )

        async def intend(newest: bool) -> Intent[Any, Any, Any]:
            return await self._intent(asked, context, newest=newest)

        answer = await self.ledger.execute(context, intend, expected_version=asked.if_match)
        if answer.refusal is not None:
            return answer.status, _problem(answer.refusal.slug), None
        events = [
            {"id": f"{answer.stream}@{version}", "type": name}
            for version, name in enumerate(answer.types, start=answer.from_version + 1)
        ]
        body = {"stream": str(answer.stream), "version": answer.to_version, "events": events}
        return answer.status, body, answer.to_version

    async def _intent(self, asked: Asked, context: Context, *, newest: bool) -> Intent[Any, Any, Any]:
        """What the routes of `tests.faults.services` make of a request."""
        fields = asked.fields
        stream = asked.stream or context.command
        match asked.what:
            case "open_policy":
                return Intent(jars.POLICY, stream, jars.OpenPolicy(fields["largest"]))
            case "change_policy":
                return Intent(jars.POLICY, stream, jars.ChangePolicy(fields["largest"]))
            case "close_policy":
                return Intent(jars.POLICY, stream, jars.ClosePolicy(fields["reason"]))
            case "open_jar":
                rings_at = context.now + timedelta(milliseconds=fields["rings_in_ms"])
                return Intent(jars.JAR, stream, jars.OpenJar(fields["limit"], UUID(fields["policy"]), rings_at))
            case "close_jar":
                return Intent(jars.JAR, stream, jars.CloseJar(fields["reason"]))
            case _:
                loaded = await (self.ledger.load if newest else self.ledger.load_known)(jars.JAR, stream)
                if loaded.head.version == 0:
                    raise jars.JarUnknown
                assert loaded.state.policy is not None, "a jar that exists has a policy"
                policy = await self.ledger.load(jars.POLICY, loaded.state.policy)
                if policy.head.version == 0:
                    raise jars.PolicyUnknown
                command = jars.AddCoin(
                    fields["by"], fields["amount"], loaded.state.policy, policy.head.version, policy.state
                )
                return Intent(jars.JAR, stream, command, relies_on=(policy.head,), loaded=loaded)


def _status_of(refusal: Refusal) -> int:
    return 404 if isinstance(refusal, NotKnownYet) else 409


def _problem(slug: str) -> dict[str, str]:
    return {"type": f"urn:gatehouse:problem:{slug}"}


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a seed: what contradicts the rules, and a digest of everything that happened in its order."""

    seed: int
    findings: tuple[Finding, ...]
    trace: str
    seconds: float
    steps: int
    case: Case
    counted: dict[str, int] = field(default_factory=dict)


class World:
    """Everything of one seed."""

    def __init__(self, seed: int, parts: Parts | None = None) -> None:
        self.seed = seed
        self.parts = parts or Parts()
        self.chance = Random(seed)
        self.loop = SimulatedLoop(Random(self.chance.random()))  # type: ignore[abstract]  # sockets and threads are not its
        self.weather = Weather.of(Random(self.chance.random()))
        # Half of the seeds do without read models, and so leave more of their time to the rest.
        self.boards = self.chance.random() < 0.5
        self.definitions: dict[Kind, ServiceDefinition] = {
            kind: definition if self.boards else replace(definition, read_models=())
            for kind, definition in self.parts.definitions().items()
        }
        self.kafka = MemoryKafka(
            reached=self._at_kafka,
            clock=self.now,
            chance=Random(self.chance.random()),
            holes=self.chance.random() * 0.2,
            cuts=True,
        )
        for service in (NAMES.jars, NAMES.tallies, NAMES.mint):
            self.kafka.create(topic_of(service), partitions=PARTITIONS)
        self.kafka.create(WATERMARK_TOPIC, partitions=1)
        self.databases: dict[Kind, MemoryDatabase] = {
            "jars": MemoryDatabase(clock=self.now, reached=self._at_database),
            "tallies": MemoryDatabase(clock=self.now, reached=self._at_database),
        }
        self.seats = [Seat(name, kind) for name, kind in SEATS]
        self.entries: list[Entry] = [Began(0.0, START.timestamp(), seed, 0.0)]
        self.ended: list[Finding] = []
        self.counted: dict[str, int] = {}
        self._trace = hashlib.sha256()
        self._number = 0
        self._open: dict[int, Asked] = {}
        self._attempts: dict[int, int] = {}
        self._policies: dict[UUID, int] = {}
        self._jars: dict[UUID, int] = {}
        self._answered: list[Asked] = []
        self._minted: dict[UUID, list[Document]] = {}

    def now(self) -> datetime:
        """The true time."""
        return START + timedelta(seconds=self.loop.time())

    def note(self, what: str) -> None:
        """Let something be part of what happened."""
        self._trace.update(f"{self.loop.time():.6f} {process()} {what}\n".encode())

    def count(self, what: str) -> None:
        """Count something that was done to the system."""
        self.counted[what] = self.counted.get(what, 0) + 1

    # What can go wrong at a port.

    async def _at_database(self, point: databases.Point) -> None:
        self.note(point)
        if point in ("work", "commit"):
            await self._at_server()
            return
        await self._on_the_way(asyncpg.ConnectionDoesNotExistError, f"database {point}")

    async def _at_kafka(self, point: memory_kafka.Point) -> None:
        self.note(point)
        if point == "append":
            await self._at_server()
            return
        await self._on_the_way(ConnectionResetError, f"kafka {point}")

    async def _at_server(self) -> None:
        weather = self.weather
        if weather.bad and weather.server_slow and weather.chance.random() < weather.server_slow:
            await asyncio.sleep(weather.chance.uniform(0.01, 1.0))
        elif weather.chance.random() < 0.5:
            await asyncio.sleep(weather.chance.uniform(0.0001, 0.002))

    async def _on_the_way(self, error: type[Exception], where: str) -> None:
        weather = self.weather
        if delay_s := weather.delay_s():
            await asyncio.sleep(delay_s)
        owner = process()
        if not weather.bad or owner is None:
            return
        drawn = weather.chance.random()
        if (drawn := drawn - weather.crash) < 0:
            self.count(f"crash at {where}")
            self.crash(owner)
            await asyncio.Event().wait()
        if (drawn := drawn - weather.stop) < 0:
            self.count(f"stop at {where}")
            self._stop(owner)
            await asyncio.sleep(0)
        elif (drawn := drawn - weather.cut) < 0:
            self.count(f"cut at {where}")
            raise error("connection was closed in the middle of operation")
        elif drawn - weather.hang < 0:
            self.count(f"hang at {where}")
            await asyncio.sleep(weather.chance.uniform(4.0, 40.0))

    def crash(self, owner: Process) -> None:
        """End a process where it is; the servers notice, and after a while another one takes its seat."""
        self.note("crash")
        self.loop.kill(owner)
        for each in self.databases.values():
            each.drop_connections_of(owner)
        seat = next(seat for seat in self.seats if seat.replica is not None and seat.replica.process is owner)
        self.databases[seat.kind].later(self.weather.chance.uniform(0.1, 4.0), self._start, seat)

    def _stop(self, owner: Process) -> None:
        """Stop a process, often for longer than its leases last."""
        self.note("stop")
        self.loop.stop_process(owner)
        self.databases["jars"].later(self.weather.chance.uniform(0.5, 3 * LEASE_S), self.loop.go_on, owner)

    def _start(self, seat: Seat) -> None:
        if seat.replica is not None and seat.replica.process.alive:
            return
        seat.replica = Replica(self, seat)
        self.loop.spawn(seat.replica.process, seat.replica.run())

    # The run.

    def play(self) -> Result:
        """From empty databases to the findings."""
        try:
            restless = self.loop.run_until_complete(self._play())
        except Stuck as stuck:
            restless = str(stuck)
        case = Case(self.entries, self.evidence(), SUBJECT)
        found = check(case, ALWAYS) if restless else check(case)
        if restless:
            found.append(Finding("everything_comes_to_rest", restless))
        seconds, steps = self.loop.time(), self.loop.steps
        self.weather.bad = False
        self.loop.close()
        return Result(
            self.seed, (*self.ended, *found), self._trace.hexdigest(), seconds, steps, case, dict(self.counted)
        )

    async def _play(self) -> str:
        for seat in self.seats:
            self._start(seat)
        stop = asyncio.Event()
        trouble = asyncio.create_task(self._trouble(stop))
        async with asyncio.TaskGroup() as group:
            group.create_task(self._feed())
            for number in range(CLIENTS):
                group.create_task(self._client(Random(self.chance.random() + number)))
        stop.set()
        await trouble
        return await self._settle()

    async def _trouble(self, stop: asyncio.Event) -> None:
        """What goes wrong at no port: servers that restart, leaders that change, clocks that are off."""
        chance = Random(self.chance.random())
        kinds = [
            kind
            for kind in ("restart database", "change leaders", "clock off", "clock off by days", "end idle")
            if chance.random() < 0.5
        ]
        while kinds and not stop.is_set():
            await asyncio.sleep(chance.uniform(0.3, 5.0))
            kind = chance.choice(kinds)
            self.count(kind)
            self.note(kind)
            replicas = [seat.replica for seat in self.seats if seat.replica is not None]
            match kind:
                case "restart database":
                    self.databases[chance.choice(("jars", "tallies"))].restart()
                case "change leaders":
                    self.kafka.change_leaders()
                case "clock off":
                    chance.choice(replicas).off = timedelta(seconds=chance.uniform(-8.0, 8.0))
                case "clock off by days":
                    chance.choice(replicas).off = timedelta(seconds=chance.uniform(-300_000.0, 300_000.0))
                case _:
                    for replica in replicas:
                        replica.off = timedelta()

    async def _settle(self) -> str:
        """Heal all, ask again what is open, and wait until nothing moves; what does not come to rest in time."""
        self.weather.bad = False
        for seat in self.seats:
            assert seat.replica is not None, "each seat was taken at the beginning"
            seat.replica.off = timedelta()
            self.loop.go_on(seat.replica.process)
            self._start(seat)
        deadline = self.loop.time() + SETTLE_S
        quiet, reason = 0, ""
        while quiet < 2:
            for asked in list(self._open.values()):
                await self._attempt(asked, self.chance)
            reason = f"{len(self._open)} requests have no answer" if self._open else self._moving()
            quiet = 0 if reason else quiet + 1
            if self.loop.time() > deadline:
                return reason
            await asyncio.sleep(0.7)
        return ""

    def _moving(self) -> str:
        """What is still under way, if anything."""
        for kind, each in self.databases.items():
            checkpoint = each.checkpoint
            if checkpoint.database != each.identity():
                return f"{kind}: the database is not verified"
            if any(row["txid"] >= checkpoint.low_txid and row["seq"] not in checkpoint.tail for row in each.log):
                return f"{kind}: the relay is behind"
            if waiting := len(each.table("timers")):
                return f"{kind}: {waiting} timers wait"
            if any(row["kind"] == "not_yet" for row in each.table("parked")):
                return f"{kind}: parked records wait for what they need"
            rows = {(row["consumer"], row["topic"], row["partition"]): row for row in each.table("consumer_partitions")}
            replica = next(seat.replica for seat in self.seats if seat.kind == kind)
            assert replica is not None, "each seat is taken"
            for consumer in replica.consumers:
                for partition, log in enumerate(self.kafka.topic(consumer.topic).partitions):
                    read = rows.get((consumer.handler.name, consumer.topic, partition))
                    if read is None or read["next_offset"] != log.end:
                        return f"{kind}: {consumer.handler.name} has not read {partition} to its end"
        return ""

    # Clients.

    async def _client(self, chance: Random) -> None:
        for _ in range(QUESTIONS):
            asked = self._next(chance)
            if asked.key is not None and chance.random() < 0.15:
                # The same key at once, to whoever is there.
                await asyncio.gather(*(self._attempt(asked, chance) for _ in range(2)))
            else:
                await self._attempt(asked, chance)
            while asked.operation in self._open and self._attempts[asked.operation] < 3:
                await asyncio.sleep(chance.uniform(0.05, 0.8))
                await self._attempt(asked, chance)
            await asyncio.sleep(chance.choice((0.0, 0.0, 0.05, 0.4)))

    def _next(self, chance: Random) -> Asked:
        policies, known = list(self._policies)[-2:], list(self._jars)[-4:]
        drawn = chance.random()
        if not policies or drawn < 0.02:
            return self._ask("open_policy", None, largest=chance.randint(5, 12))
        policy = chance.choice(policies)
        if not known or drawn < 0.16:
            rings_in_ms = chance.choice((0, 200, 1500, 4000))
            return self._ask("open_jar", None, limit=chance.randint(2, 9), policy=str(policy), rings_in_ms=rings_in_ms)
        if drawn < 0.30:
            seen = max(1, self._policies[policy] - (chance.random() < 0.15))
            return self._ask("change_policy", policy, if_match=seen, largest=chance.randint(5, 12))
        if drawn < 0.31 and len(policies) > 1:
            return self._ask("close_policy", policy, reason="enough")
        jar = chance.choice(known)
        if drawn < 0.36:
            if_match = self._jars[jar] if chance.random() < 0.5 else None
            return self._ask("close_jar", jar, if_match=if_match, reason="enough")
        if drawn < 0.45:
            return self._ask("get_jar", jar)
        if drawn < 0.48 and self._answered:
            return self._reusing(chance.choice(self._answered))
        return self._ask("add_coin", jar, by=f"coin-{self._number}", amount=chance.randint(1, 12))

    def _ask(self, what: What, stream: UUID | None, *, if_match: int | None = None, **fields: Any) -> Asked:
        self._number += 1
        key = None if what == "get_jar" else f"key-{self._number}"
        return self._new(Asked(self._number, self.loop.time(), what, key, f"/{stream}", stream, fields, if_match))

    def _reusing(self, before: Asked) -> Asked:
        self._number += 1
        other = {"by": f"other-{self._number}"} if "by" in before.fields else {"reason": str(self._number)}
        return self._new(
            Asked(
                self._number,
                self.loop.time(),
                before.what,
                before.key,
                before.path,
                before.stream,
                {**before.fields, **other},
                before.if_match,
                before.operation,
            )
        )

    def _new(self, asked: Asked) -> Asked:
        self.entries.append(asked)
        self._attempts[asked.operation] = 0
        if asked.key is not None:
            self._open[asked.operation] = asked
        return asked

    async def _attempt(self, asked: Asked, chance: Random) -> None:
        self._attempts[asked.operation] += 1
        attempt = self._attempts[asked.operation]
        seat = chance.choice([seat for seat in self.seats if seat.kind == "jars"])
        self.entries.append(Invoked(asked.operation, attempt, self.loop.time(), seat.name))
        answer = await self._answer(asked, seat)
        if answer is None:
            self.entries.append(Answered(asked.operation, attempt, self.loop.time(), None, failure="no answer"))
            return
        status, body, version = answer
        self.note(f"answer {asked.operation} {status} {version}")
        self.entries.append(Answered(asked.operation, attempt, self.loop.time(), status, body, version))
        if status not in AGAIN:
            self._open.pop(asked.operation, None)
            self._learn(asked, status, body, version)

    async def _answer(self, asked: Asked, seat: Seat) -> tuple[int, Any, int | None] | None:
        replica = seat.replica
        await asyncio.sleep(self.weather.delay_s())
        if replica is None or not replica.process.alive:
            return None
        answered: asyncio.Future[tuple[int, Any, int | None]] = self.loop.create_future()
        self.loop.spawn(replica.process, replica.serve(asked, answered))
        try:
            async with asyncio.timeout(TIMEOUT_S):
                answer = await answered
        except TimeoutError:
            return None
        await asyncio.sleep(self.weather.delay_s())
        lost = self.weather.bad and self.weather.cut and self.weather.chance.random() < self.weather.cut
        return None if lost else answer

    def _learn(self, asked: Asked, status: int, body: Any, version: int | None) -> None:
        if status in (200, 201, 412) and version is not None:
            stream = asked.stream or UUID(body["stream"])
            known = self._policies if "policy" in asked.what else self._jars
            known[stream] = max(version, known.get(stream, 0))
        mine = asked.key is not None and asked.reuses is None and status in (200, 201, 409)
        if mine and asked.what in ("add_coin", "close_jar", "close_policy"):
            self._answered.append(asked)

    # The mint, onto whose topic anybody may write anything.

    async def _feed(self) -> None:
        chance = Random(self.chance.random())
        for _ in range(chance.randint(0, 12)):
            await asyncio.sleep(chance.uniform(0.0, 0.8))
            drawn = chance.random()
            stream = uuid5(SUBJECT, f"mint-{chance.randint(1, 3)}")
            made = self._minted.setdefault(stream, [])
            coins = [self._coin(stream, chance, worth=-1 if chance.random() < 0.04 else 1) for _ in range(3)]
            records: list[bytes] = [coin.body for coin in coins]
            if drawn < 0.2:
                records.reverse()
            elif drawn < 0.4:
                records = [*records, *(coin.body for coin in made[-5:])]
            elif drawn < 0.45:
                records.append(b'{"not": "an event"}')
            for body in records:
                self._put(stream, body)
                if chance.random() < 0.3:
                    await asyncio.sleep(chance.uniform(0.0, 0.3))

    def _coin(self, stream: UUID, chance: Random, *, worth: int) -> Document:
        made = self._minted[stream]
        last = made[-1] if made else None
        document = encode(
            mint.CoinMinted(f"serial-{chance.randint(1, 10**9)}", worth),
            service=NAMES.mint,
            aggregate="coin",
            stream=stream,
            version=last.version + 1 if last else 1,
            previous_hash=last.hash if last else None,
            time=self.now(),
            recorded_at=self.now(),
            actor=f"service:{NAMES.mint}",
            command=uuid5(stream, str(len(made))),
            correlation="mint",
            causation=None,
            origin=Origin.LIVE,
        )
        made.append(document)
        return document

    def _put(self, stream: UUID, body: bytes) -> None:
        key = str(stream).encode()
        self.entries.append(Injected(self.loop.time(), NAMES.mint, "coin", key, hash_of(body).hex()))
        self.kafka.append(topic_of(NAMES.mint), partition_of(stream, PARTITIONS), [(key, body, ())])

    # What is left.

    def evidence(self) -> Evidence:
        """Everything that the run has left, as plain rows; what took part is told as it would be without a bug."""
        sound = {
            kind: definition if self.boards else replace(definition, read_models=())
            for kind, definition in services().items()
        }
        return Evidence(
            NAMES,
            {kind: self._ledger_rows(kind, each) for kind, each in self.databases.items()},
            {name: self._records(topic_of(name)) for name in (NAMES.jars, NAMES.tallies, NAMES.mint)},
            {kind: _consumer_rows(each) for kind, each in self.databases.items()},
            {
                model.name: board_rows(self.databases[kind], model)
                for kind, definition in sound.items()
                for model in definition.read_models
            },
            watermarks=tuple(watermark_of(each.value or b"") for each in self._records(WATERMARK_TOPIC)),
            services=sound,
        )

    def _ledger_rows(self, kind: Kind, each: MemoryDatabase) -> LedgerRows:
        return LedgerRows(
            self.definitions[kind].name,
            tuple(
                EventRow(
                    row["seq"],
                    row["stream"],
                    row["version"],
                    row["type"],
                    row["time"],
                    row["recorded_at"],
                    row["document"],
                    row["hash"],
                )
                for row in sorted(each.log, key=lambda row: row["seq"])
            ),
            tuple(
                CommandRow(
                    row["command"],
                    row["stream"],
                    row["from_version"],
                    row["to_version"],
                    row["status"],
                    json.loads(row["refusal"])["slug"] if row["refusal"] else None,
                )
                for row in each.table("commands")
            ),
            len(each.table("timers")),
        )

    def _records(self, topic: str) -> tuple[Record, ...]:
        return tuple(
            Record(partition, record.offset, record.key, record.value)
            for partition, log in enumerate(self.kafka.topic(topic).partitions)
            for record in log.records
        )


def _consumer_rows(each: MemoryDatabase) -> dict[str, ConsumerRows]:
    names = dict.fromkeys(row["consumer"] for row in each.table("consumer_partitions"))
    return {
        name: ConsumerRows(
            {
                row["stream"]: (row["version"], row["hash"])
                for row in each.table("consumer_guards")
                if row["consumer"] == name
            },
            {
                (row["partition"], row["record_offset"]): f"{row['kind']}: {row['reason']}"
                for row in each.table("parked")
                if row["consumer"] == name
            },
        )
        for name in names
    }


def simulate(seed: int, parts: Parts | None = None) -> Result:
    """Play one seed."""
    return World(seed, parts).play()
