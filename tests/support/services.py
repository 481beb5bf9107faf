"""A service's API over a real database, without its processes: what its consumers would bring, a test brings itself."""

import importlib
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any, Protocol
from uuid import UUID, uuid5

import httpx2
from joserfc import jwt
from joserfc.jwk import ECKey
from tests.support.databases import OPEN_LEDGER
from tests.support.streams import Stream

from govevents.approvals import Role, RoleAssigned
from govevents.document import Recorded
from govevents.event import event_type
from govevents.values import NodeId, PersonId, SubjectId
from govkernel.access import ACCESS_MODELS, Access, Policy
from govkernel.consumer import Handler
from govkernel.http import Runtime
from govkernel.http.auth import IssuerKeys, TokenVerifier, subject_of
from govkernel.http.health import Health
from govkernel.http.runtime import LocalVersions
from govkernel.ledger import Ledger, Timers
from govkernel.metrics import Metrics
from govkernel.postgres import create_engine, create_pool
from govkernel.processes import ServiceDefinition
from govkernel.reactions import ReactionHandler
from govkernel.readmodels import ReadModel, ReadModelHandler
from govkernel.readmodels.builds import ensure, live_build

ISSUER = "https://issuer.example"
KEY = ECKey.generate_key("P-256", {"kid": "one"})
LONG_AGO = date(2000, 1, 1)


def subject(name: str) -> SubjectId:
    """The account of a person in tests."""
    return subject_of(ISSUER, name)


def person(name: str) -> PersonId:
    """The natural person behind the account of that name."""
    return PersonId(uuid5(subject(name), "person"))


def token(name: str, *, administrator: bool = False, demo: bool = False) -> str:
    """What a person sends as Authorization."""
    now = int(datetime.now(UTC).timestamp())
    claims: dict[str, Any] = {"iss": ISSUER, "aud": "gatehouse", "sub": name, "exp": now + 3600}
    claims |= {"gatehouse_administrator": administrator, "gatehouse_demo": demo}
    return "Bearer " + jwt.encode({"alg": "ES256", "kid": "one"}, claims, KEY, algorithms=["ES256"])


async def _keys(_request: httpx2.Request) -> httpx2.Response:
    return httpx2.Response(200, json={"keys": [{**KEY.as_dict(private=False), "kid": "one"}]})


def definition_of(service: str) -> ServiceDefinition:
    """What the service consists of, by its name."""
    module = importlib.import_module(f"{service}.entrypoints.processes")
    found = [each for each in vars(module).values() if isinstance(each, ServiceDefinition)]
    assert len(found) == 1, f"{module.__name__} wires one service together, as a constant of the module"
    assert found[0].name == service
    return found[0]


class Served(Protocol):
    """A service that answers over HTTP, and can be let hear what others say."""

    @property
    def root(self) -> httpx2.AsyncClient:
        """A client with the first administrator's token."""

    async def client(self, name: str) -> httpx2.AsyncClient:
        """A client with a person's token."""

    async def hear(self, *heard: Recorded[Any]) -> None:
        """Let the service have what other services have said."""

    async def follow_itself(self) -> None:
        """Let the service have what it has said itself."""


@dataclass
class Service:
    """A service under test. `root` is a client with the first administrator's token."""

    definition: ServiceDefinition
    runtime: Runtime
    handlers: tuple[Handler, ...]
    clients: AsyncExitStack
    root: httpx2.AsyncClient = field(init=False)
    followed: int = 0
    roles: dict[tuple[str, Role, UUID], Stream] = field(default_factory=dict)

    async def client(self, name: str, **claims: bool) -> httpx2.AsyncClient:
        """A client with a person's token."""
        transport = httpx2.ASGITransport(self.definition.api.application(self.runtime), raise_app_exceptions=False)
        return await self.clients.enter_async_context(
            httpx2.AsyncClient(
                transport=transport,
                base_url=f"http://{self.definition.name}",
                headers={"Authorization": token(name, **claims)},
            )
        )

    async def hear(self, *heard: Recorded[Any]) -> None:
        """Let the service's read models and reactions have events, each of which must be taken."""
        for recorded in heard:
            service = recorded.envelope.source.rpartition(":")[2]
            for handler in self.handlers:
                if handler.service == service and recorded.envelope.type in handler.subscribes:
                    async with self.runtime.ledger.pool.acquire() as connection, connection.transaction():
                        assert not await handler.apply(connection, [recorded])

    async def follow_itself(self) -> None:
        """Let the service's read models have what it has appended since the last time."""
        rows = await self.runtime.ledger.pool.fetch(
            "SELECT seq, document FROM events WHERE seq > $1 ORDER BY seq", self.followed
        )
        for row in rows:
            await self.hear(self.runtime.ledger.catalogue.decode(bytes(row["document"])))
            self.followed = row["seq"]

    async def assign(self, name: str, role: Role, node: UUID | str) -> None:
        """Give a person a role at a node, for good."""
        node = UUID(str(node))
        stream = self.roles.setdefault((name, role, node), Stream("approvals"))
        await self.hear(stream.event(RoleAssigned(subject(name), person(name), role, NodeId(node), LONG_AGO, None)))


@asynccontextmanager
async def service_over(definition: ServiceDefinition, database: str) -> AsyncIterator[Service]:
    """The service over a database that has its tables."""
    pool = await create_pool(database, largest=10)
    engine = create_engine(database)
    await pool.execute(OPEN_LEDGER)
    models: tuple[ReadModel[Any], ...] = (*ACCESS_MODELS, *definition.read_models)
    handlers: list[Handler] = []
    ledger = Ledger(
        pool,
        service=definition.name,
        catalogue=definition.catalogue,
        clock=lambda: datetime.now(UTC),
        refusal_status=definition.api.refusal_status,
    )
    async with pool.acquire() as connection:
        await ensure(connection, models, datetime.now(UTC))
        for model in models:
            build = await live_build(connection, model.name)
            assert build is not None
            handlers.append(ReadModelHandler(model, build))
    handlers.extend(
        ReactionHandler(
            each.name(definition.name),
            each.service,
            ledger,
            each.react,
            subscribes=frozenset(event_type(event).full_name for event in each.events),
            needs=each.needs,
        )
        for each in definition.reactions
    )
    async with AsyncExitStack() as clients:
        issuer = await clients.enter_async_context(httpx2.AsyncClient(transport=httpx2.MockTransport(_keys)))
        health = Health()
        health.starting = None
        runtime = Runtime(
            service=definition.name,
            ledger=ledger,
            engine=engine,
            verifier=TokenVerifier(
                IssuerKeys(ISSUER, client=issuer, jwks_url=f"{ISSUER}/jwks"), issuer=ISSUER, audience="gatehouse"
            ),
            authority=Access(pool, Policy.read(definition.policy)),
            versions=LocalVersions(
                pool,
                service=definition.name,
                models={model.name: model.service for model in models},
                others={},
            ),
            metrics=Metrics(definition.name),
            health=health,
            clock=lambda: datetime.now(UTC),
            demo=True,
            timers=Timers(ledger, definition.aggregates),
        )
        service = Service(definition, runtime, tuple(handlers), clients)
        service.root = await service.client("root", administrator=True)
        yield service
    await engine.dispose()
    await pool.close()


def problem(answer: httpx2.Response, status: int, slug: str) -> Any:
    """The problem document of an answer that must have this status and type."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    said = answer.json()
    assert said["type"] == f"urn:gatehouse:problem:{slug}", said
    return said


def done(answer: httpx2.Response, status: int = 200) -> Any:
    """The body of an answer that must have succeeded."""
    assert answer.status_code == status, answer.text
    return answer.json()
