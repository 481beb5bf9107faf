"""Two replicas of approvals as processes of their own, over one database and Kafka: asked over sockets, killed, restarted."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import asyncpg
import httpx2
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from tests.integration.kernel.serving import process, readiness, until
from tests.support.databases import create_template, url_of
from tests.support.services import ISSUER, KEY, token
from tests.support.serving import serving
from tests.support.topics import create_topic

from approvals.entrypoints.processes import APPROVALS
from gov.runtime.ports import choose_ports
from gov.runtime.testing import PackagedInfrastructure
from govevents.catalogue import WATERMARK_TOPIC, topic_of
from govevents.document import Recorded, canonical, hash_of
from govevents.registry import CATALOGUE, SERVICES
from govkernel.kafka import EventProducer, KafkaAddress, Outgoing, TopicLog

ANSWERS_WITHIN_S: Final = 60.0
LEVEL_WITHIN_S: Final = 90.0
POOL: Final = httpx2.Limits(max_connections=200, max_keepalive_connections=200)
READ: Final = "SELECT topic, sum(next_offset) AS read FROM consumer_partitions GROUP BY consumer, topic"


@dataclass
class Replica:
    """A process `python -m approvals all`, and a client of it. `up` is whether it was asked to run and is ready."""

    environment: dict[str, str]
    log: Path
    client: httpx2.AsyncClient
    lives: AsyncExitStack
    running: asyncio.subprocess.Process | None = None
    up: bool = False

    async def start(self) -> None:
        """Start it, and wait until it is ready."""
        life = process("-m", "approvals", "all", environment=self.environment, log=self.log)
        self.running = await self.lives.enter_async_context(life)

        async def ready() -> bool:
            assert self.running is not None
            assert self.running.returncode is None, f"it has ended by itself:\n{self.log.read_text('utf-8')[-3000:]}"
            return (await readiness(self.client))[0] == httpx2.codes.OK

        await until(ready)
        self.up = True

    async def kill(self) -> None:
        """End it by SIGKILL, whatever it is doing."""
        assert self.running is not None, "only what runs is killed"
        self.up = False
        self.running.kill()
        await self.running.wait()


@dataclass
class Replicas:
    """Two replicas, and what they share. `moved` counts the requests that had to be sent to the other one."""

    both: tuple[Replica, Replica]
    database: "asyncpg.Pool[Any]"
    kafka: str
    producer: EventProducer
    clients: AsyncExitStack
    root: httpx2.AsyncClient
    tokens: dict[str, str] = field(default_factory=dict)
    moved: int = 0
    kills: int = 0

    async def client(self, name: str) -> httpx2.AsyncClient:
        """A person's client of the first replica."""
        return await self.clients.enter_async_context(_client(self.both[0].environment, token(name, demo=True)))

    async def hear(self, *heard: Recorded[Any]) -> None:
        """Put what other services have said on their topics, from which a replica reads it when it comes to it."""
        for recorded in heard:
            envelope = recorded.envelope
            body = canonical(envelope)
            assert hash_of(body) == recorded.hash, "the very document is sent"
            said = Outgoing(envelope.stream, envelope.type, body)
            await self.producer.send(topic_of(envelope.source.rpartition(":")[2]), [said])

    async def follow_itself(self) -> None:
        """Wait until all that is in the ledger or on a topic by now has been read."""
        await self.level()

    async def level(self) -> None:
        """Wait until the relay has sent all that the ledger has by now, and consumers have read all topics that far."""

        async def sent() -> bool:
            relay = (await self.root.get("/operations/relay")).json()
            return bool(relay["lag_rows"] == 0 and relay["verified"])

        await until(sent, within_s=LEVEL_WITHIN_S)
        log = TopicLog(KafkaAddress(self.kafka))
        ends = {topic_of(name): sum((await log.extent(topic_of(name))).ends.values()) for name in SERVICES}

        async def read() -> bool:
            rows = await self.database.fetch(READ)
            # A topic of which nothing was read yet has no row, and is no topic of which all was read.
            begun = {row["topic"] for row in rows} >= {topic for topic, end in ends.items() if end}
            return begun and all(row["read"] >= ends[row["topic"]] for row in rows)

        await until(read, within_s=LEVEL_WITHIN_S)

    async def post(
        self, who: str, replica: int, path: str, body: dict[str, Any], headers: dict[str, str]
    ) -> httpx2.Response:
        """Ask a replica; where it does not answer, the other one is asked under the same key."""
        return await self.send("POST", who, replica, path, json=body, headers=headers)

    async def send(self, method: str, who: str, replica: int, path: str, **sent: Any) -> httpx2.Response:
        """Ask a replica, and the other one where that is gone or can't answer at the moment."""
        authorization = {"Authorization": self.tokens.setdefault(who, token(who, demo=True))}
        headers = {**sent.pop("headers", {}), **authorization}
        loop = asyncio.get_running_loop()
        deadline = loop.time() + ANSWERS_WITHIN_S
        while loop.time() < deadline:
            asked = self.both[replica] if self.both[replica].up else self.both[1 - replica]
            try:
                answer = await asked.client.request(method, path, headers=headers, **sent)
            except httpx2.TransportError:
                self.moved += 1
                replica = 1 - replica
                await asyncio.sleep(0.02)
                continue
            if answer.status_code != httpx2.codes.SERVICE_UNAVAILABLE:
                return answer
            await asyncio.sleep(0.02)
        raise AssertionError(f"{path} is never answered")

    async def events(self, stream: UUID) -> list[Recorded[Any]]:
        """The history of a stream, as the ledger has it."""
        rows = await self.database.fetch("SELECT document FROM events WHERE stream = $1 ORDER BY version", stream)
        return [CATALOGUE.decode(bytes(row["document"])) for row in rows]

    async def kill_and_restart(self, replica: int, after_s: float) -> None:
        """Kill a replica while it is asked, and let it come back."""
        await asyncio.sleep(after_s)
        self.kills += 1
        await self.both[replica].kill()
        await self.both[replica].start()


def _client(environment: dict[str, str], authorization: str) -> httpx2.AsyncClient:
    address = f"http://127.0.0.1:{environment['GOV_HTTP_PORT']}"
    return httpx2.AsyncClient(base_url=address, headers={"Authorization": authorization}, timeout=30, limits=POOL)


@asynccontextmanager
async def _issuer() -> AsyncIterator[str]:
    """Where the keys are to be had that the tests' tokens are signed with."""

    async def keys(_request: Request) -> JSONResponse:
        return JSONResponse({"keys": [{**KEY.as_dict(private=False), "kid": "one"}]})

    application = Starlette(routes=[Route("/jwks", keys)])
    async with serving(application) as address:
        yield f"{address}/jwks"


@asynccontextmanager
async def replicas_over(servers: PackagedInfrastructure, folder: Path) -> AsyncIterator[Replicas]:
    """Two replicas over a fresh database and the topics of all services."""
    await create_template(servers.postgres_url(), "approvals", APPROVALS.migrations)
    url, kafka = url_of(servers.postgres_url(), "approvals"), servers.kafka_bootstrap
    for name in SERVICES:
        create_topic(kafka, topic_of(name))
    create_topic(kafka, WATERMARK_TOPIC, partitions=1, compacted=True)
    async with AsyncExitStack() as stack:
        issuer = await stack.enter_async_context(_issuer())
        both = []
        for number, port in enumerate(choose_ports(2), start=1):
            environment = {
                "GOV_DATABASE_URL": url,
                "GOV_KAFKA_BOOTSTRAP_SERVERS": kafka,
                "GOV_HTTP_PORT": str(port),
                "GOV_OIDC_ISSUER": ISSUER,
                "GOV_OIDC_JWKS_URL": issuer,
                "GOV_DEMO": "1",
            }
            client = await stack.enter_async_context(_client(environment, token("root", administrator=True)))
            both.append(Replica(environment, folder / f"{number}.log", client, stack))
        await asyncio.gather(*(each.start() for each in both))
        pool = await stack.enter_async_context(asyncpg.create_pool(url, min_size=1, max_size=2))
        producer = EventProducer(KafkaAddress(kafka))
        stack.push_async_callback(producer.close)
        yield Replicas((both[0], both[1]), pool, kafka, producer, stack, both[0].client)
