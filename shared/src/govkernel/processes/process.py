"""A service's processes: `api | relay | consumer | migrate | adopt | all | openapi`, wired here and nowhere else."""

import argparse
import asyncio
import contextlib
import json
import signal
import socket
import sys
from collections.abc import Awaitable, Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote, urlsplit
from uuid import UUID, uuid4

import asyncpg
import httpx2
import uvicorn
from pydantic import ValidationError
from sqlalchemy.ext.asyncio import AsyncEngine
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from govevents.catalogue import Catalogue, topic_of
from govevents.event import event_type
from govevents.registry import CATALOGUE
from govkernel import logging as logs
from govkernel.access import ACCESS_MODELS, Access, Policy, PolicyRefused
from govkernel.consumer import Consumer, Handler, OffsetGone, Parked, Reader, TopicMadeAnew
from govkernel.consumer.traced import TracedHandler
from govkernel.domain.aggregate import Aggregate
from govkernel.http.api import ServiceApi
from govkernel.http.auth import IssuerKeys, TokenVerifier
from govkernel.http.health import Finding, Health
from govkernel.http.operations import operations_api
from govkernel.http.runtime import LocalVersions, Operations, Runtime
from govkernel.kafka import (
    EventProducer,
    KafkaAddress,
    KafkaTopics,
    KafkaUnavailable,
    PartitionReader,
    TopicLog,
    bulk_reader,
)
from govkernel.ledger import Ledger, Timers
from govkernel.ledger.restoration import Restoration
from govkernel.metrics import Metrics
from govkernel.pause import pause
from govkernel.postgres import UNAVAILABLE, create_engine, create_pool, migrate_in_thread
from govkernel.processes.collector import settle_collector
from govkernel.processes.connection import Connection
from govkernel.processes.figures import Figures
from govkernel.processes.tasks import Tasks, Work
from govkernel.reactions import Needs, React, ReactionHandler
from govkernel.readmodels import Progress, ReadModel, ReadModels, Watermarks
from govkernel.relay import Producer, Reconciled, Reconciliation, Relay, Stage, adopt, checkpoint
from govkernel.settings import Settings
from govkernel.tracing import Tracing, exporting_provider

ROLES: Final = ("api", "relay", "consumer", "migrate", "adopt", "all", "openapi")
LARGEST_POOL: Final = 20
DRAIN_HTTP_S: Final = 4.0
DRAIN_CONSUMERS_S: Final = 2.5
DRAIN_RELAY_S: Final = 2.0
CLOSED_WITHIN_S: Final = 0.5
LOOKS_AGAIN_S: Final = 5.0
WATCH_KAFKA_S: Final = 5.0
LONGEST_WAIT_S: Final = 10.0

IS_VERIFIED: Final = f"SELECT {checkpoint.IS_VERIFIED} FROM relay_checkpoint"  # noqa: S608

log = logs.logger(__name__)


def _needs_nothing(_recorded: Any) -> tuple[()]:
    return ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Reacts:
    """The service's reactions to the events of one service; `service` is whose topic is read."""

    service: str
    events: tuple[type[Any], ...]
    react: React
    needs: Needs = _needs_nothing

    def name(self, of: str) -> str:
        """The consumer's name. It is part of every reaction's command id, so it never changes."""
        return f"{of}.reactions.{self.service}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What a process is made of, for the few things that a service wires itself."""

    settings: Settings
    kafka: KafkaAddress
    pool: "asyncpg.Pool[Any]"
    engine: AsyncEngine
    ledger: Ledger
    read_models: ReadModels
    clock: Callable[[], datetime]


def _no_handlers(_parts: Parts) -> tuple[Handler, ...]:
    return ()


def _no_tasks(_parts: Parts) -> Mapping[str, Work]:
    return {}


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceDefinition:
    """A service, as the kernel runs it.

    `policy` is its file of rules, `migrations` the folder of its own migrations, None where it has no tables of its
    own. `read_models` come besides those that every service follows. `handlers` and `tasks` are what only this service
    has: consumers besides reactions and read models, and work beside them in the consumer's process.
    """

    name: str
    api: ServiceApi
    policy: Path
    aggregates: tuple[Aggregate[Any, Any, Any], ...] = ()
    read_models: tuple[ReadModel[Any], ...] = ()
    reactions: tuple[Reacts, ...] = ()
    migrations: Path | None = None
    catalogue: Catalogue = CATALOGUE
    handlers: Callable[[Parts], tuple[Handler, ...]] = _no_handlers
    tasks: Callable[[Parts], Mapping[str, Work]] = _no_tasks

    def full_api(self) -> ServiceApi:
        """The service's API with the operators' part."""
        api = ServiceApi(self.name, title=self.api.title)
        api.include(self.api)
        api.include(operations_api(self.name))
        return api


def utc_now() -> datetime:
    """The clock."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wiring:
    """What a process makes its parts with; `handler` may wrap what a consumer feeds. Services leave it as it is."""

    clock: Callable[[], datetime] = utc_now
    pool: Callable[..., Awaitable["asyncpg.Pool[Any]"]] = create_pool
    ledger: Callable[..., Ledger] = Ledger
    timers: Callable[..., Timers] = Timers
    relay: Callable[..., Relay] = Relay
    producer: Callable[[KafkaAddress], Producer] = EventProducer
    reader: Callable[[KafkaAddress, str], Reader] = PartitionReader
    handler: Callable[[Handler], Handler] = lambda handler: handler


def run(definition: ServiceDefinition, argv: Sequence[str], *, wiring: Wiring | None = None) -> int:
    """`python -m <service> <role>`: work until told to stop. 0 after a clean end, 2 where it was called wrongly."""
    parser = argparse.ArgumentParser(prog=definition.name, description=f"Gatehouse: the service {definition.name}")
    parser.add_argument(
        "role",
        choices=ROLES,
        help="all: api, relay and consumer in one process, after migrate where the owner's address is given; "
        "adopt makes a database that was restored from a dump this server's own; openapi prints the API's description",
    )
    role = parser.parse_args(argv).role
    if role == "openapi":
        sys.stdout.write(openapi_text(definition))
        return 0
    try:
        settings = Settings()  # type: ignore[call-arg]  # read from the environment
        policy = Policy.read(definition.policy)
    except ValidationError as error:
        for fault in error.errors(include_url=False, include_input=False):
            name = "GOV_" + "_".join(str(part) for part in fault["loc"]).upper()
            sys.stderr.write(f"{name}: {fault['msg']}; set it in the environment.\n")
        return 2
    except (PolicyRefused, OSError) as error:
        sys.stderr.write(f"{definition.policy.name}: {error}\n")
        return 2
    unruled = sorted(definition.full_api().actions - policy.rules.keys())
    if unruled:
        sys.stderr.write(f'{definition.policy.name}: no rule for {", ".join(unruled)}; add [actions."{unruled[0]}"]\n')
        return 2
    logs.configure(service=definition.name, log_format=settings.log_format, level=settings.log_level)
    try:
        if role in ("migrate", "adopt"):
            if settings.migration_database_url is None:
                log.error(
                    "not_begun", reason="GOV_MIGRATION_DATABASE_URL is not set; give the address of the owning role"
                )
                return 2
            asyncio.run(_migrate(definition, settings, asyncio.Event()))
            if role == "adopt":
                asyncio.run(_adopt(settings.migration_database_url.get_secret_value()))
            return 0
        return asyncio.run(Process(definition, settings, policy, role, wiring or Wiring()).run())
    except KeyboardInterrupt:
        return 130


def openapi_text(definition: ServiceDefinition) -> str:
    """The API's description as it is stored and compared: JSON with sorted keys."""
    return json.dumps(definition.full_api().openapi(), sort_keys=True, indent=2, ensure_ascii=False) + "\n"


async def _migrate(definition: ServiceDefinition, settings: Settings, stop: asyncio.Event) -> None:
    """Bring the database up to date once it answers; nothing where it is to stop before."""
    assert settings.migration_database_url is not None, "who migrates has the address of the owning role"
    url = settings.migration_database_url.get_secret_value()
    application = urlsplit(settings.database_url.get_secret_value()).username
    pool = await create_pool(url, largest=1)
    await _until_answers(pool, "SELECT 1", stop)
    await pool.close()
    if not stop.is_set():
        role = unquote(application) if application else None
        await migrate_in_thread(definition.migrations, url, application_role=role)
        log.info("migrated")


async def _adopt(url: str) -> None:
    """Make a ledger that was restored from a dump this server's own; the relay verifies it and sends it once more."""
    pool = await create_pool(url, largest=1)
    async with pool.acquire(timeout=5) as connection:
        changed = await adopt(connection)
    await pool.close()
    log.info("adopted", events_of_another_server=changed)


async def _until_answers(pool: "asyncpg.Pool[Any]", query: str, stop: asyncio.Event) -> None:
    """Wait until the database answers a query, saying every time why it does not."""
    wait_s = 0.25
    while not stop.is_set():
        try:
            async with pool.acquire(timeout=5) as connection:
                await connection.fetchval(query)
        except (asyncpg.UndefinedTableError, asyncpg.InsufficientPrivilegeError) as error:
            log.warning("database_not_migrated", reason=str(error), tries_again_in_s=wait_s)
        except (*UNAVAILABLE, asyncpg.InvalidCatalogNameError, asyncpg.InvalidAuthorizationSpecificationError) as error:
            log.warning("database_away", reason=f"{type(error).__name__}: {error}", tries_again_in_s=wait_s)
        else:
            return
        await pause(stop, wait_s)
        wait_s = min(wait_s * 2, LONGEST_WAIT_S)


class _Server(uvicorn.Server):
    """uvicorn's server without its signal handlers: the process's own decide the order in which it stops."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Leave signals alone."""
        yield


@dataclass(slots=True)
class _Followed:
    """A consumer that is known to the process while it runs, and while it waits for a person to put something right."""

    consumer: Consumer
    running: dict[str, Consumer]

    async def run(self, stop: asyncio.Event) -> None:
        name = self.consumer.handler.name
        self.running[name] = self.consumer
        try:
            while not stop.is_set():
                with contextlib.suppress(OffsetGone, TopicMadeAnew):
                    await self.consumer.run(stop)
                    return
                # Its alarm has to be heard meanwhile, and nobody tells it when an operator has done something.
                await pause(stop, LOOKS_AGAIN_S)
        finally:
            if self.running.get(name) is self.consumer:
                del self.running[name]


@dataclass(slots=True)
class _KafkaSeen:
    """Whether Kafka answered when it was last asked; asking takes a thread, so probes don't."""

    trouble: str | None = "not asked yet"
    asked: bool = False
    behind_since: dict[str, float] = field(default_factory=dict)


class Process:
    """One process of a service, in one of its roles."""

    def __init__(
        self, definition: ServiceDefinition, settings: Settings, policy: Policy, role: str, wiring: Wiring
    ) -> None:
        self._wiring = wiring
        self._definition = definition
        self._settings = settings
        self._policy = policy
        self._serves = role in ("api", "all")
        self._relays = role in ("relay", "all")
        self._consumes = role in ("consumer", "all")
        self._migrates = role == "all" and settings.migration_database_url is not None
        self._replica: UUID = uuid4()
        self._metrics = Metrics(definition.name)
        self._provider = exporting_provider(definition.name) if settings.otlp_endpoint else None
        self._tracing = Tracing(self._provider) if self._provider is not None else None
        self._running: dict[str, Consumer] = {}
        self._seen = _KafkaSeen()
        self._address = KafkaAddress(settings.kafka_bootstrap_servers)
        self._topics = KafkaTopics(self._address)
        self._stop = asyncio.Event()
        self._started: tuple[str, ...] = ()
        self._wake_relay: Callable[[], None] = lambda: None

    async def run(self) -> int:
        """Work until SIGTERM or SIGINT, then drain. 1 where the port is taken."""
        loop = asyncio.get_running_loop()
        for each in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(each, self._stop.set)
        listener = self._listen()
        if listener is None:
            return 1
        url = self._settings.database_url.get_secret_value()
        pool = await self._wiring.pool(url, largest=LARGEST_POOL)
        engine = create_engine(url)
        tasks = Tasks(self._metrics)
        async with httpx2.AsyncClient() as client:
            runtime, parts, relay, handlers = self._wire(pool, engine, client)
            self._watch(runtime.health, tasks, parts)
            app = self._definition.full_api().application(runtime, serves=self._serves)
            config = uvicorn.Config(
                app,
                http=Connection,
                log_config=None,
                access_log=False,
                lifespan="off",
                ws="none",
                proxy_headers=False,
                server_header=False,
                timeout_graceful_shutdown=int(DRAIN_HTTP_S),
            )
            # Behind the commands, to which it is all one by what address a client has come.
            app.add_middleware(ProxyHeadersMiddleware, trusted_hosts=config.forwarded_allow_ips)
            server = _Server(config)
            serving = asyncio.create_task(server.serve(sockets=[listener]))
            await self._start(runtime, parts, relay, handlers, tasks)
            await self._stop.wait()
            log.info("stopping")
            runtime.health.starting = "stopping"
            server.should_exit = True
            others = [name for name in self._started if name != "relay"]
            await asyncio.gather(
                asyncio.wait([serving], timeout=DRAIN_HTTP_S + 0.5), tasks.stop(*others, timeout_s=DRAIN_CONSUMERS_S)
            )
            # The relay ends last, so that what was appended while draining is on its way too.
            await tasks.stop("relay", timeout_s=DRAIN_RELAY_S)
            await self._topics.close()
        if self._provider is not None:
            await asyncio.to_thread(self._provider.shutdown)
        # Where the database stands still, connections are cut: whatever waits for an answer ends with them.
        for close in (pool.close, engine.dispose):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(CLOSED_WITHIN_S):
                    await close()
        log.info("stopped")
        return 0

    def _listen(self) -> socket.socket | None:
        host, port = self._settings.http_host, self._settings.http_port
        try:
            listener = socket.create_server(
                (host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET, backlog=1024
            )
        except OSError as error:
            log.error(
                "can_not_listen", host=host, port=port, reason=str(error), remedy="set GOV_HTTP_PORT to a free one"
            )
            return None
        # Connections inherit it. asyncio sets it only on a socket that names its protocol, which one made this way does
        # not: the body of an answer would wait up to 40 ms for the client to acknowledge its head.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        log.info("listening", host=host, port=listener.getsockname()[1])
        return listener

    def _wire(
        self, pool: "asyncpg.Pool[Any]", engine: AsyncEngine, client: httpx2.AsyncClient
    ) -> tuple[Runtime, Parts, Relay, tuple[Handler, ...]]:
        definition, settings, wiring = self._definition, self._settings, self._wiring
        ledger = wiring.ledger(
            pool,
            service=definition.name,
            catalogue=definition.catalogue,
            clock=wiring.clock,
            refusal_status=definition.api.refusal_status,
            on_batch=self._metrics.append_batch.observe,
        )
        self._wake_relay = ledger.wake
        read_models = ReadModels(
            pool,
            (*ACCESS_MODELS, *definition.read_models),
            catalogue=definition.catalogue,
            log=TopicLog(self._address, reader=bulk_reader),
            follower_of=lambda handler: self._follower(pool, handler),
            clock=wiring.clock,
            on_progress=self._rebuilding,
        )
        parts = Parts(
            settings=settings,
            kafka=self._address,
            pool=pool,
            engine=engine,
            ledger=ledger,
            read_models=read_models,
            clock=wiring.clock,
        )
        relay = wiring.relay(
            pool,
            service=definition.name,
            replica=self._replica,
            producer=lambda: wiring.producer(self._address),
            topics=self._topics,
            topic_log=TopicLog(self._address),
            wake=ledger.subscribe(),
            brought_back=Restoration(ledger, definition.aggregates),
        )
        handlers = self._handlers(parts)

        async def reconcile(show: Callable[[Stage], None], topic_only: bool, most_findings: int) -> Reconciled:
            return await Reconciliation(
                pool,
                TopicLog(self._address),
                definition.name,
                topic_only=topic_only,
                most_findings=most_findings,
                show=show,
            ).run()

        def parked() -> Parked:
            return Parked(pool, (*handlers, *read_models.handlers()), definition.catalogue, ledger)

        runtime = Runtime(
            service=definition.name,
            ledger=ledger,
            engine=engine,
            verifier=TokenVerifier(
                IssuerKeys(
                    settings.issuer,
                    client=client,
                    jwks_url=str(settings.oidc_jwks_url) if settings.oidc_jwks_url else None,
                ),
                issuer=settings.issuer,
                audience=settings.oidc_audience,
            ),
            authority=Access(pool, self._policy),
            versions=LocalVersions(
                pool,
                service=definition.name,
                models={model.name: model.service for model in read_models.models},
                others={handler.name: handler.service for handler in handlers},
            ),
            metrics=self._metrics,
            health=Health(),
            clock=wiring.clock,
            demo=settings.demo,
            timers=wiring.timers(ledger, definition.aggregates),
            operations=Operations(
                parked=parked,
                relay=relay,
                reconcile=reconcile,
                consumers=lambda: tuple(self._running.values()),
                read_models=read_models,
            ),
            tracing=self._tracing,
        )
        return runtime, parts, relay, handlers

    def _handlers(self, parts: Parts) -> tuple[Handler, ...]:
        reactions = tuple(
            ReactionHandler(
                each.name(self._definition.name),
                each.service,
                parts.ledger,
                each.react,
                subscribes=frozenset(event_type(event).full_name for event in each.events),
                needs=each.needs,
            )
            for each in self._definition.reactions
        )
        return (*reactions, *self._definition.handlers(parts))

    def _follower(self, pool: "asyncpg.Pool[Any]", handler: Handler) -> _Followed:
        consumer = Consumer(
            pool,
            self._traced(self._wiring.handler(handler)),
            self._definition.catalogue,
            reader=self._wiring.reader(self._address, topic_of(handler.service)),
            topics=self._topics,
            replica=self._replica,
            commit_as=f"{self._definition.name}.{handler.name}",
            on_applied=self._nudge_all,
        )
        return _Followed(consumer, self._running)

    def _traced(self, handler: Handler) -> Handler:
        return handler if self._tracing is None else TracedHandler(handler, self._tracing)

    def _nudge_all(self) -> None:
        # What one consumer has learnt may be what another one's rejected events wait for, and what it has appended
        # is to be carried on.
        self._wake_relay()
        for consumer in self._running.values():
            consumer.nudge()

    async def _start(
        self, runtime: Runtime, parts: Parts, relay: Relay, handlers: tuple[Handler, ...], tasks: Tasks
    ) -> None:
        """Start what this role does, once the database has its tables; to be told to stop ends the wait."""
        work: dict[str, Work] = {"kafka": self._ask_kafka, "figures": self._figures(parts, relay).run}
        if self._relays:
            work["relay"] = relay.run
        # Every process looks which builds are live; only the consumers' follows them.
        work["read models"] = lambda stop: parts.read_models.run(stop, follow=self._consumes)
        if self._consumes:
            work["watermarks"] = Watermarks(
                parts.pool,
                parts.read_models.models,
                log=TopicLog(self._address),
                reader_of=lambda topic: PartitionReader(self._address, topic),
            ).run
            if runtime.timers is not None:
                work["timers"] = runtime.timers.run
            for handler in handlers:
                work[handler.name] = self._following(parts.pool, handler)
            work.update(self._definition.tasks(parts))
        self._started = tuple(work)
        runtime.health.starting = "waiting for the database"
        if self._migrates:
            await _migrate(self._definition, self._settings, self._stop)
        await _until_answers(parts.pool, "SELECT low_txid FROM relay_checkpoint", self._stop)
        if self._stop.is_set():
            return
        await self._ensured(parts.read_models)
        for name, each in work.items():
            tasks.start(name, each)
        settle_collector()
        runtime.health.starting = None
        log.info("started", roles=[name for name in work if name not in ("kafka", "figures")])

    def _rebuilding(self, name: str, progress: Progress | None) -> None:
        self._metrics.rebuild_rate.labels(name).set(progress.records_per_s if progress is not None else 0.0)

    def _figures(self, parts: Parts, relay: Relay) -> Figures:
        return Figures(
            self._metrics,
            parts.pool,
            relay=relay,
            read_models=parts.read_models,
            consumers=self._running,
            behind_since=self._seen.behind_since,
            clock=parts.clock,
        )

    async def _ensured(self, read_models: ReadModels) -> None:
        # The API reads the views that decide about access, so they have to be there whichever process starts first.
        while not self._stop.is_set():
            try:
                await read_models.ensure()
            except (*UNAVAILABLE, asyncpg.PostgresError) as error:
                log.warning("read_models_not_ensured", reason=f"{type(error).__name__}: {error}")
                await pause(self._stop, 1.0)
            else:
                return

    def _following(self, pool: "asyncpg.Pool[Any]", handler: Handler) -> Work:
        async def follow(stop: asyncio.Event) -> None:
            await self._follower(pool, handler).run(stop)

        return follow

    async def _ask_kafka(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            try:
                await self._topics.identity(topic_of(self._definition.name))
            except KafkaUnavailable as error:
                self._seen.trouble = str(error)
            except Exception as error:
                self._seen.trouble = f"{type(error).__name__}: {error}"
            else:
                self._seen.trouble = None
            self._metrics.kafka_up.set(self._seen.trouble is None)
            self._seen.asked = True
            await pause(stop, WATCH_KAFKA_S)

    def _watch(self, health: Health, tasks: Tasks, parts: Parts) -> None:
        async def database() -> Finding:
            async with parts.pool.acquire(timeout=1) as connection:
                verified = await connection.fetchval(IS_VERIFIED)
            return Finding(None, {"verified": bool(verified)})

        async def ledger() -> Finding:
            found = await database()
            # While Kafka is away nothing can be verified, and queries are still to be answered.
            if found.facts["verified"] or (self._seen.asked and self._seen.trouble):
                return Finding(None, {})
            return Finding("commands wait until the relay has verified the database against Kafka", {})

        async def kafka() -> Finding:
            return Finding(self._seen.trouble, {})

        async def running() -> Finding:
            down = tasks.down()
            reason = "; ".join(f"{name}: {why}" for name, why in down.items()) or None
            return Finding(None if self._seen.trouble else reason, {"down": down})

        async def consumers() -> Finding:
            now = asyncio.get_running_loop().time()
            reasons = []
            for name, consumer in self._running.items():
                status = consumer.status()
                behind_s = now - self._seen.behind_since.get(name, now)
                too_long = behind_s > self._settings.longest_lag_s
                if status.ready:
                    if too_long:
                        reasons.append(f"{name}: {status.lag} records behind, for {behind_s:.0f} s")
                elif status.alarm:
                    reasons.append(f"{name}: {status.alarm}")
                elif status.trouble is None:
                    reasons.append(f"{name}: has not begun to read")
                elif too_long and self._seen.trouble is None:
                    # Kafka is there, and still this one can't read: that is no outage to be sat out.
                    reasons.append(f"{name}: {status.trouble}, for {behind_s:.0f} s")
            lag = {name: consumer.status().lag for name, consumer in self._running.items()}
            return Finding("; ".join(reasons) or None, {"lag": lag})

        async def trouble() -> Finding:
            reasons = [
                f"{name}: {status.trouble or status.alarm or status.parked}"
                for name, consumer in self._running.items()
                if (status := consumer.status()).trouble or status.alarm or status.parked
            ]
            reasons += [f"{each.name}: {each.trouble}" for each in parts.read_models.status() if each.trouble]
            return Finding("; ".join(reasons) or None, {})

        health.add("database", database)
        health.add("ledger", ledger)
        health.add("kafka", kafka, required=False)
        health.add("tasks", running)
        if self._consumes:
            health.add("consumers", consumers)
            health.add("trouble", trouble, required=False)
