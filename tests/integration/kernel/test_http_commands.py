"""Commands and queries over HTTP, down to a real PostgreSQL."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import httpx2
import pytest
from joserfc import jwt
from joserfc.jwk import ECKey
from pydantic import BaseModel
from sqlalchemy import select
from starlette.responses import Response
from tests.integration.kernel.jar import CATALOGUE, JAR, AddCoin, CloseJar, Jar, JarIsFull, JarUnknown, OpenJar
from tests.support.databases import OPEN_LEDGER

from govevents.approvals import Role
from govkernel import tables
from govkernel.access import Decision, Recalled, Visible
from govkernel.domain import NodeId, Refusal, SubjectId
from govkernel.http import Ask, Body, Call, LocalVersions, NoBody, Page, Runtime, ServiceApi
from govkernel.http.auth import IssuerKeys, TokenVerifier, subject_of
from govkernel.http.health import Finding, Health
from govkernel.ledger import Intent, Ledger, Timers
from govkernel.metrics import Metrics
from govkernel.postgres import create_engine, create_pool

ISSUER = "https://issuer.example"
KEY = ECKey.generate_key("P-256", {"kid": "one"})
SHELF = NodeId(UUID("00000000-0000-4000-8000-000000000001"))

jars = ServiceApi("testing", title="Jars", refusals={JarIsFull: 409, JarUnknown: 404})


class OpenRequest(Body):
    limit: int
    shelf: str = "a"
    note: str = ""


class CoinRequest(Body):
    by: str


class JarView(BaseModel):
    """A jar."""

    limit: int
    coins: tuple[str, ...]


class Label(Response):
    """What is written on a jar."""

    media_type = "text/plain"


class StreamView(BaseModel):
    """A stream's first event."""

    stream: UUID
    type: str


@jars.command("/jars", operation="openJar", body=OpenRequest, action="jar.open")
async def open_jar(call: Call[OpenRequest]) -> Intent[Any, Any, Any]:
    """Open a jar."""
    return Intent(JAR, call.command, OpenJar(call.body.limit, call.body.shelf), node=SHELF)


@jars.command("/jars/{jar}/coins", operation="addCoin", body=CoinRequest, action="jar.add", refusals=(JarIsFull,))
async def add_coin(call: Call[CoinRequest]) -> Intent[Any, Any, Any]:
    """Add a coin."""
    return Intent(JAR, call.path_id("jar"), AddCoin(call.body.by), node=SHELF)


@jars.command("/jars/{jar}/closing", operation="closeJar", body=NoBody, if_match=True, action="jar.close")
async def close_jar(call: Call[NoBody]) -> Intent[Any, Any, Any]:
    """Close a jar.

    Nothing fits into it afterwards.
    """
    jar: Any = (await call.load(JAR, call.path_id("jar"))).state
    assert isinstance(jar, Jar)
    return Intent(JAR, call.path_id("jar"), CloseJar("full"), node=SHELF)


@jars.command("/faults", operation="fail", action="jar.open")
async def fail(call: Call[NoBody]) -> Intent[Any, Any, Any]:
    """Fail in an unexpected way."""
    raise RuntimeError(f"a secret inside of {call.command}")


@jars.query("/jars/{jar}", operation="getJar", response=JarView, history=True)
async def get_jar(ask: Ask, jar: UUID) -> JarView:
    """Read a jar."""
    await ask.require("jar.read", SHELF)
    ask.bounds()
    loaded = await ask.runtime.ledger.load(JAR, jar)
    if loaded.head.version == 0:
        raise ask.missing("jar", jar)
    ask.tag(jar, loaded.head.version)
    return JarView(limit=loaded.state.limit, coins=loaded.state.coins)


@jars.query("/jars/{jar}/label", operation="getJarLabel", response=Label)
async def get_jar_label(ask: Ask, jar: UUID) -> Label:
    """Read what is written on a jar."""
    await ask.require("jar.read", SHELF)
    loaded = await ask.runtime.ledger.load(JAR, jar)
    if loaded.head.version == 0:
        raise ask.missing("jar", jar)
    ask.tag(jar, loaded.head.version)
    return Label(f"a jar for {loaded.state.limit}")


@jars.query("/jars", operation="listJars", response=Page[StreamView], paged=True)
async def list_jars(ask: Ask, kind: str | None = None) -> Page[StreamView]:
    """List jars."""
    await ask.visible_nodes("jar.read")
    events = tables.events
    query = select(events.c.recorded_at, events.c.stream, events.c.type).where(events.c.version == 1)
    if kind is not None:
        query = query.where(events.c.type == kind)
    async with ask.connection() as connection:
        rows = (await connection.execute(ask.keyset(query, events.c.recorded_at, events.c.stream))).all()
    return ask.page(
        rows, lambda row: StreamView(stream=row.stream, type=row.type), lambda row: (row.recorded_at, row.stream)
    )


@jars.query("/undecided", operation="undecided", response=JarView, found=False)
async def undecided(_ask: Ask) -> JarView:
    """Forget to ask who may see this."""
    return JarView(limit=1, coins=())


@dataclass
class Grants:
    """An authority by a plain table: action -> subjects."""

    allowed: dict[str, set[SubjectId]] = field(default_factory=dict)

    async def decide(
        self, *, subject: SubjectId, actions: Sequence[str], node: NodeId | None, administrator: bool, now: datetime
    ) -> Sequence[Decision]:
        return [
            Decision(
                administrator or subject in self.allowed.get(action, set()),
                ("table",),
                "0" * 64,
                f"{action} is for others",
            )
            for action in actions
        ]

    def recall(
        self, *, subject: SubjectId, actions: Sequence[str], node: NodeId | None, administrator: bool, now: datetime
    ) -> Recalled | None:
        return None

    def roles_for(self, action: str) -> frozenset[Role]:
        return frozenset()

    async def visible_nodes(self, *, subject: SubjectId, action: str, administrator: bool, now: datetime) -> Visible:
        return Visible(administrator, frozenset())


def token(sub: str = "ana", *, administrator: bool = True, demo: bool = False) -> str:
    now = int(datetime.now(UTC).timestamp())
    claims: dict[str, Any] = {"iss": ISSUER, "aud": "gatehouse", "sub": sub, "exp": now + 600}
    claims |= {"gatehouse_administrator": administrator, "gatehouse_demo": demo}
    return "Bearer " + jwt.encode({"alg": "ES256", "kid": "one"}, claims, KEY, algorithms=["ES256"])


async def keys(_request: httpx2.Request) -> httpx2.Response:
    return httpx2.Response(200, json={"keys": [{**KEY.as_dict(private=False), "kid": "one"}]})


def started() -> Health:
    health = Health()
    health.starting = None
    return health


def ledger_over(pool: Any) -> Ledger:
    return Ledger(
        pool,
        service="testing",
        catalogue=CATALOGUE,
        clock=lambda: datetime.now(UTC),
        refusal_status=jars.refusal_status,
    )


@pytest.fixture
async def runtime(database: str) -> AsyncIterator[Runtime]:
    pool = await create_pool(database, largest=10)
    await pool.execute(OPEN_LEDGER)
    engine = create_engine(database)
    ledger = ledger_over(pool)
    async with httpx2.AsyncClient(transport=httpx2.MockTransport(keys)) as issuer:
        yield Runtime(
            service="testing",
            ledger=ledger,
            engine=engine,
            verifier=TokenVerifier(
                IssuerKeys(ISSUER, client=issuer, jwks_url=f"{ISSUER}/jwks"), issuer=ISSUER, audience="gatehouse"
            ),
            authority=Grants(),
            versions=LocalVersions(
                pool, service="testing", models={"roles": "elsewhere"}, others={"reacts": "elsewhere"}
            ),
            metrics=Metrics("testing"),
            health=started(),
            clock=lambda: datetime.now(UTC),
            timers=Timers(ledger, [JAR]),
        )
    await engine.dispose()
    await pool.close()


@asynccontextmanager
async def client_of(runtime: Runtime) -> AsyncIterator[httpx2.AsyncClient]:
    transport = httpx2.ASGITransport(jars.application(runtime), raise_app_exceptions=False)
    async with httpx2.AsyncClient(
        transport=transport, base_url="http://testing", headers={"Authorization": token()}
    ) as client:
        yield client


@pytest.fixture
async def client(runtime: Runtime) -> AsyncIterator[httpx2.AsyncClient]:
    async with client_of(runtime) as client:
        yield client


async def opened(client: httpx2.AsyncClient, limit: int = 2) -> str:
    answer = await client.post("/jars", json={"limit": limit})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["stream"])


def problem(answer: httpx2.Response, status: int, slug: str) -> Any:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    said = answer.json()
    assert said["type"] == f"urn:gatehouse:problem:{slug}"
    assert said["status"] == status
    assert said["title"]
    assert said["detail"]
    assert said["correlation"] == answer.headers["gov-correlation"]
    return said


async def test_a_command_answers_with_the_identities_of_its_events(client: httpx2.AsyncClient) -> None:
    answer = await client.post("/jars", json={"limit": 2})
    assert answer.status_code == 201
    stream = answer.json()["stream"]
    assert answer.json() == {
        "stream": stream,
        "version": 1,
        "events": [{"id": f"{stream}@1", "type": "testing.JarOpened"}],
    }
    assert answer.headers["etag"] == '"1"'
    assert answer.headers["gov-version"] == f"{stream}@1"
    second = await client.post(f"/jars/{stream}/coins", json={"by": "bo"})
    assert (second.status_code, second.headers["etag"]) == (200, '"2"')


async def test_the_event_says_who_asked_and_under_which_trace(client: httpx2.AsyncClient, runtime: Runtime) -> None:
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    answer = await client.post("/jars", json={"limit": 2}, headers={"traceparent": f"00-{trace}-00f067aa0ba902b7-01"})
    (recorded,) = await runtime.ledger.events(UUID(answer.json()["stream"]))
    assert recorded.envelope.actor == str(subject_of(ISSUER, "ana"))
    assert recorded.envelope.correlationid == str(UUID(trace)) == answer.headers["gov-correlation"]
    assert recorded.envelope.traceparent is not None
    assert trace in recorded.envelope.traceparent
    assert answer.headers["traceparent"].startswith(f"00-{trace}-")


async def test_a_retry_under_the_same_key_gets_the_same_answer_and_adds_nothing(
    client: httpx2.AsyncClient, runtime: Runtime
) -> None:
    first = await client.post("/jars", json={"limit": 2}, headers={"Idempotency-Key": "k1"})
    again = await client.post(
        "/jars", content=b'{ "limit" : 2 }', headers={"Idempotency-Key": "k1", "Content-Type": "application/json"}
    )
    assert (again.status_code, again.json()) == (201, first.json())
    assert again.headers["gov-repeated"] == "true"
    assert len(await runtime.ledger.events(UUID(first.json()["stream"]))) == 1


async def test_a_key_with_another_request_is_refused(client: httpx2.AsyncClient) -> None:
    await client.post("/jars", json={"limit": 2}, headers={"Idempotency-Key": "k2"})
    answer = await client.post("/jars", json={"limit": 3}, headers={"Idempotency-Key": "k2"})
    problem(answer, 422, "idempotency-key-reused")


async def test_two_callers_may_choose_the_same_key(client: httpx2.AsyncClient) -> None:
    one = await client.post("/jars", json={"limit": 2}, headers={"Idempotency-Key": "k"})
    other = await client.post(
        "/jars", json={"limit": 2}, headers={"Idempotency-Key": "k", "Authorization": token("bo")}
    )
    assert other.status_code == 201
    assert one.json()["stream"] != other.json()["stream"]


@pytest.mark.parametrize("key", ["", "a" * 201, "a\tb", "\u00e9"])
async def test_a_malformed_key_is_refused(client: httpx2.AsyncClient, key: str) -> None:
    answer = await client.post("/jars", json={"limit": 2}, headers={b"Idempotency-Key": key.encode()})
    assert problem(answer, 400, "malformed-header")["errors"][0]["parameter"] == "Idempotency-Key"


async def test_the_key_is_looked_at_before_the_version(client: httpx2.AsyncClient) -> None:
    jar = await opened(client)
    headers = {"If-Match": '"1"', "Idempotency-Key": "close"}
    closed = await client.post(f"/jars/{jar}/closing", headers=headers)
    again = await client.post(f"/jars/{jar}/closing", headers=headers)
    assert (closed.status_code, again.status_code) == (200, 200)
    assert again.json() == closed.json()


async def test_a_stale_version_is_told_the_current_one(client: httpx2.AsyncClient) -> None:
    jar = await opened(client)
    await client.post(f"/jars/{jar}/coins", json={"by": "bo"})
    answer = await client.post(f"/jars/{jar}/closing", headers={"If-Match": '"1"'})
    said = problem(answer, 412, "stale-version")
    assert said["facts"]["current_version"] == "2"
    assert answer.headers["etag"] == '"2"'


async def test_what_has_to_be_seen_first_asks_for_if_match(client: httpx2.AsyncClient) -> None:
    jar = await opened(client)
    problem(await client.post(f"/jars/{jar}/closing"), 428, "if-match-required")
    for header in ("1", 'W/"1"', "*", '"1", "2"', '"0"', '""', '"x"'):
        answer = await client.post(f"/jars/{jar}/closing", headers={"If-Match": header})
        problem(answer, 400, "malformed-header")


async def test_racing_callers_without_if_match_all_get_in_and_with_it_one_does(client: httpx2.AsyncClient) -> None:
    jar = await opened(client, limit=100)
    answers = await asyncio.gather(*(client.post(f"/jars/{jar}/coins", json={"by": f"p{n}"}) for n in range(8)))
    assert {answer.status_code for answer in answers} == {200}
    seen = (await client.get(f"/jars/{jar}")).headers["etag"]
    raced = await asyncio.gather(
        *(client.post(f"/jars/{jar}/coins", json={"by": f"q{n}"}, headers={"If-Match": seen}) for n in range(5))
    )
    assert sorted(answer.status_code for answer in raced) == [200, 412, 412, 412, 412]


async def test_a_refusal_is_a_problem_of_its_own_type_with_its_facts_and_is_final(client: httpx2.AsyncClient) -> None:
    jar = await opened(client, limit=1)
    await client.post(f"/jars/{jar}/coins", json={"by": "bo"})
    for _ in range(2):
        answer = await client.post(f"/jars/{jar}/coins", json={"by": "cy"}, headers={"Idempotency-Key": "cy"})
        said = problem(answer, 409, "jar-is-full")
        assert said["facts"] == {"limit": "1"}
        assert said["title"] == "The jar takes no more coins."


UNHEARD_OF = "6f1f1a7e-5b0a-4c5e-9d3b-2f8f6a1d9b10"


@pytest.mark.parametrize("jar", [UNHEARD_OF, "not-an-id", "00000000000040008000000000000001"])
async def test_an_unknown_stream_is_not_found(client: httpx2.AsyncClient, jar: str) -> None:
    problem(await client.post(f"/jars/{jar}/coins", json={"by": "bo"}), 404, "not-found")
    problem(await client.post(f"/jars/{jar}/closing", headers={"If-Match": '"1"'}), 404, "not-found")


async def test_nobody_may_do_anything_that_no_rule_allows(client: httpx2.AsyncClient, runtime: Runtime) -> None:
    jar = await opened(client)
    bo = {"Authorization": token("bo", administrator=False), "Idempotency-Key": "once"}
    said = problem(await client.post(f"/jars/{jar}/coins", json={"by": "bo"}, headers=bo), 403, "not-allowed")
    assert said["facts"]["action"] == "jar.add"
    problem(await client.get(f"/jars/{jar}", headers=bo), 403, "not-allowed")
    assert isinstance(runtime.authority, Grants)
    runtime.authority.allowed["jar.add"] = {subject_of(ISSUER, "bo")}
    answer = await client.post(f"/jars/{jar}/coins", json={"by": "bo"}, headers=bo)
    assert answer.status_code == 200, "a denial leaves no row: the same key may come again"


async def test_without_a_token_everything_is_closed_but_health(client: httpx2.AsyncClient) -> None:
    for path in ("/jars", f"/jars/{uuid4()}"):
        problem(await client.get(path, headers={"Authorization": ""}), 401, "not-authenticated")
    answer = await client.post("/jars", json={"limit": 1}, headers={"Authorization": "Bearer a.b.c"})
    problem(answer, 401, "not-authenticated")
    assert answer.headers["www-authenticate"].startswith("Bearer")
    assert (await client.get("/livez", headers={"Authorization": ""})).status_code == 200


async def test_bad_input_names_field_value_and_remedy(client: httpx2.AsyncClient) -> None:
    answer = await client.post("/jars", json={"limit": "2", "colour": "red"})
    errors = {each["pointer"]: each for each in problem(answer, 422, "invalid-input")["errors"]}
    assert errors["/limit"] == {
        "pointer": "/limit",
        "detail": "Input should be a valid integer",
        "value": "2",
        "remedy": "give a whole number",
    }
    assert errors["/colour"]["remedy"] == "remove it, or correct its name"


async def test_a_value_that_an_event_may_not_hold_is_bad_input_too(client: httpx2.AsyncClient) -> None:
    answer = await client.post("/jars", json={"limit": 2, "shelf": ""})
    said = problem(answer, 422, "invalid-input")
    assert said["errors"][0]["pointer"] == "/shelf"


async def test_bodies_are_json_and_bounded(client: httpx2.AsyncClient) -> None:
    large = json.dumps({"limit": 1, "note": "a" * 300_000}).encode()
    plain = {"Content-Type": "application/json"}
    problem(await client.post("/jars", content=large, headers=plain), 413, "body-too-large")

    async def chunks() -> AsyncIterator[bytes]:
        for start in range(0, len(large), 1000):
            yield large[start : start + 1000]

    problem(await client.post("/jars", content=chunks(), headers=plain), 413, "body-too-large")
    problem(await client.post("/jars", content=b"limit=1"), 415, "unsupported-media-type")
    problem(await client.post("/jars", content=b"", headers=plain), 400, "malformed-json")


async def test_markup_comes_back_as_text_in_json(client: httpx2.AsyncClient) -> None:
    jar = await opened(client)
    await client.post(f"/jars/{jar}/coins", json={"by": "<script>alert(1)</script>"})
    answer = await client.get(f"/jars/{jar}")
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert answer.json()["coins"] == ["<script>alert(1)</script>"]


async def test_the_framework_says_no_in_the_same_words(client: httpx2.AsyncClient) -> None:
    problem(await client.get("/nowhere"), 404, "not-found")
    answer = await client.put("/jars")
    problem(answer, 405, "method-not-allowed")
    assert answer.headers["allow"]


async def test_a_fault_tells_its_correlation_and_nothing_else(client: httpx2.AsyncClient) -> None:
    answer = await client.post("/faults")
    said = problem(answer, 500, "unexpected")
    assert "secret" not in answer.text
    assert said["correlation"] in said["detail"]


async def test_a_query_that_decided_nothing_about_its_caller_gives_nothing(client: httpx2.AsyncClient) -> None:
    problem(await client.get("/undecided"), 500, "unexpected")


async def test_a_query_gives_the_etag_and_honours_it(client: httpx2.AsyncClient) -> None:
    jar = await opened(client)
    first = await client.get(f"/jars/{jar}")
    assert (first.json(), first.headers["etag"]) == ({"limit": 2, "coins": []}, '"1"')
    same = await client.get(f"/jars/{jar}", headers={"If-None-Match": first.headers["etag"]})
    assert (same.status_code, same.content) == (304, b"")


async def test_a_query_may_answer_with_a_document_of_another_kind(client: httpx2.AsyncClient) -> None:
    jar = await opened(client)
    label = await client.get(f"/jars/{jar}/label")
    assert (label.status_code, label.text, label.headers["etag"]) == (200, "a jar for 2", '"1"')
    assert label.headers["content-type"] == "text/plain; charset=utf-8"
    problem(await client.get(f"/jars/{uuid4()}/label"), 404, "not-found")
    described = jars.openapi()["paths"]["/jars/{jar}/label"]["get"]["responses"]["200"]
    assert described["content"] == {"text/plain": {"schema": {"type": "string"}}}


@pytest.mark.parametrize(
    ("query", "parameter"),
    [
        ("as-of=2030-01-01", "as-of"),
        ("as_of=yesterday", "as_of"),
        ("as_of=2030-01-01T00:00:00", "as_of"),
        ("as_of=2030", "as_of"),
        ("as_of=2030-02-30", "as_of"),
        ("recorded_by=9999-12-31", "recorded_by"),
        ("as_of=0001-01-01T00:00:00%2B14:00", "as_of"),
        ("as_of=%00", "as_of"),
        ("as_of=2030-01-01&as_of=2030-01-02", "as_of"),
    ],
)
async def test_a_query_parameter_that_is_wrong_unknown_or_given_twice_is_named(
    client: httpx2.AsyncClient, query: str, parameter: str
) -> None:
    jar = await opened(client)
    answer = await client.get(f"/jars/{jar}?{query}")
    assert answer.status_code in (400, 422)
    assert answer.json()["errors"][0]["parameter"] == parameter


async def test_pages_follow_each_other_without_gap_or_repeat(client: httpx2.AsyncClient) -> None:
    made = {await opened(client) for _ in range(7)}
    seen: list[str] = []
    url: str | None = "/jars?limit=3&kind=testing.JarOpened"
    sizes = []
    while url is not None:
        answer = await client.get(url)
        assert answer.status_code == 200, answer.text
        sizes.append(len(answer.json()["items"]))
        seen += [item["stream"] for item in answer.json()["items"]]
        url = answer.links["next"]["url"] if "next" in answer.links else None
        assert (url is None) == (answer.json()["next"] is None)
    assert sizes == [3, 3, 1]
    assert len(seen) == len(set(seen))
    assert set(seen) == made


@pytest.mark.parametrize("cursor", ["x", "bm90anNvbg", "WzEsMl0", "WyJhIl0", "eyJhIjoxfQ", "a" * 3000])
async def test_a_cursor_of_another_list_is_refused(client: httpx2.AsyncClient, cursor: str) -> None:
    problem(await client.get("/jars", params={"cursor": cursor}), 400, "malformed-header")


@pytest.mark.parametrize("limit", ["0", "201", "x", "-1"])
async def test_a_page_has_bounds(client: httpx2.AsyncClient, limit: str) -> None:
    said = problem(await client.get(f"/jars?limit={limit}"), 422, "invalid-input")
    assert said["errors"][0]["parameter"] == "limit"


async def test_a_query_waits_until_what_the_caller_wrote_is_visible(
    client: httpx2.AsyncClient, runtime: Runtime
) -> None:
    jar = await opened(client)
    heard = uuid4()

    async def hear(consumer: str) -> None:
        await runtime.ledger.pool.execute(
            "INSERT INTO consumer_guards (consumer, stream, version, hash) VALUES ($1, $2, 3, '')", consumer, heard
        )

    await runtime.ledger.pool.execute(
        "INSERT INTO read_model_builds (name, build, schema, fold_version, state, started_at) "
        "VALUES ('roles', 1, 'old', 1, 'previous', now()), ('roles', 2, 'new', 1, 'live', now())"
    )
    waiting = asyncio.create_task(client.get(f"/jars/{jar}", headers={"Gov-Min-Version": f"{jar}@1,{heard}@3"}))
    await asyncio.sleep(0.02)
    for consumer in ("roles/2", "reacts"):
        await asyncio.sleep(0.02)
        assert not waiting.done()
        await hear(consumer)
    assert (await waiting).status_code == 200


async def test_a_wait_for_a_version_that_never_comes_is_bounded(runtime: Runtime) -> None:
    from govkernel.http import Refused

    with pytest.raises(Refused) as caught:
        await runtime.wait_until_seen(((uuid4(), 1),), timeout_s=0.05)
    assert caught.value.problem.status == 503


@pytest.mark.parametrize("header", ["x", "1@1", f"{UNHEARD_OF}@0", ",".join([f"{UNHEARD_OF}@1"] * 9)])
async def test_a_malformed_minimum_version_is_refused(client: httpx2.AsyncClient, header: str) -> None:
    problem(await client.get("/jars", headers={"Gov-Min-Version": header}), 400, "malformed-header")


async def test_an_import_sets_the_time_and_needs_its_own_right(client: httpx2.AsyncClient, runtime: Runtime) -> None:
    told = {"Gov-Time": "2020-01-31T09:00:00+02:00"}
    answer = await client.post("/jars", json={"limit": 2}, headers=told)
    (recorded,) = await runtime.ledger.events(UUID(answer.json()["stream"]))
    assert recorded.envelope.time == datetime(2020, 1, 31, 7, tzinfo=UTC)
    assert recorded.envelope.origin.value == "imported"
    assert isinstance(runtime.authority, Grants)
    runtime.authority.allowed["jar.open"] = {subject_of(ISSUER, "bo")}
    bo = {**told, "Authorization": token("bo", administrator=False)}
    problem(await client.post("/jars", json={"limit": 2}, headers=bo), 403, "not-allowed")


@pytest.mark.parametrize("told", ["yesterday", "2020-01-31T09:00:00", "2999-01-01T00:00:00Z"])
async def test_an_import_knows_when_it_was_told(client: httpx2.AsyncClient, told: str) -> None:
    problem(await client.post("/jars", json={"limit": 2}, headers={"Gov-Time": told}), 400, "malformed-header")


async def test_the_demo_clock_exists_in_demonstrations_only(runtime: Runtime) -> None:
    told = {"Gov-Demo-Time": "2031-01-01T00:00:00Z"}
    demo = {**told, "Authorization": token(demo=True)}
    async with client_of(runtime) as client:
        problem(await client.post("/jars", json={"limit": 2}, headers=demo), 403, "not-allowed")
        runtime.demo = True
        problem(await client.post("/jars", json={"limit": 2}, headers=told), 403, "not-allowed")
        answer = await client.post("/jars", json={"limit": 2}, headers=demo)
    (recorded,) = await runtime.ledger.events(UUID(answer.json()["stream"]))
    assert recorded.envelope.time == datetime(2031, 1, 1, tzinfo=UTC)
    assert recorded.envelope.origin.value == "simulated"


async def test_a_deadline_that_the_demo_clock_has_passed_comes_first(runtime: Runtime) -> None:
    runtime.demo = True
    async with client_of(runtime) as client:
        demo = {"Authorization": token(demo=True)}
        answer = await client.post(
            "/jars", json={"limit": 2, "shelf": "timed"}, headers={**demo, "Gov-Demo-Time": "2031-01-01T00:00:00Z"}
        )
        jar = answer.json()["stream"]
        late = await client.post(
            f"/jars/{jar}/coins", json={"by": "bo"}, headers={**demo, "Gov-Demo-Time": "2031-02-01T00:00:00Z"}
        )
    problem(late, 409, "jar-is-full")


async def test_a_database_that_is_away_is_a_503_that_may_be_tried_again(runtime: Runtime, unused_port: int) -> None:
    away = await create_pool(f"postgresql://nobody:nothing@127.0.0.1:{unused_port}/none")
    runtime.ledger = ledger_over(away)
    runtime.engine = create_engine(f"postgresql://nobody:nothing@127.0.0.1:{unused_port}/none")
    async with client_of(runtime) as client:
        for answer in (await client.post("/jars", json={"limit": 2}), await client.get("/jars")):
            problem(answer, 503, "unavailable")
            assert int(answer.headers["retry-after"]) > 0
    await runtime.engine.dispose()
    await away.close()


async def test_while_all_connections_are_in_use_a_command_is_put_off_and_then_taken(runtime: Runtime) -> None:
    pool = runtime.ledger.pool
    async with AsyncExitStack() as stack, client_of(runtime) as client:
        for _ in range(pool.get_max_size()):
            await stack.enter_async_context(pool.acquire(timeout=5))
        body, key = {"limit": 2}, {"Idempotency-Key": "while the pool is full"}
        began = time.monotonic()
        refused = await client.post("/jars", json=body, headers=key)
        problem(refused, 503, "unavailable")
        assert int(refused.headers["retry-after"]) >= 1
        assert time.monotonic() - began < 12
        await stack.aclose()
        assert (await client.post("/jars", json=body, headers=key)).status_code == 201


@pytest.fixture
def unused_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def test_a_cancelled_request_gives_its_connection_back(runtime: Runtime) -> None:
    async with client_of(runtime) as client:
        for after_ms in (1, 2, 4, 8, 16):
            asking = asyncio.create_task(client.post("/jars", json={"limit": 2}))
            await asyncio.sleep(after_ms / 1000)
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)
        assert (await client.post("/jars", json={"limit": 2})).status_code == 201
    deadline = asyncio.get_running_loop().time() + 5
    while runtime.ledger.pool.get_idle_size() != runtime.ledger.pool.get_size():
        assert asyncio.get_running_loop().time() < deadline, "a connection was not given back"
        await asyncio.sleep(0.01)


async def test_readiness_tells_ready_degraded_and_not_ready_apart(runtime: Runtime) -> None:
    state: dict[str, str | None] = {"database": None, "kafka": None}

    async def look(name: str) -> Finding:
        return Finding(state[name], {})

    runtime.health.add("database", lambda: look("database"))
    runtime.health.add("kafka", lambda: look("kafka"), required=False)
    async with client_of(runtime) as client:

        async def status() -> tuple[int, str]:
            answer = await client.get("/readyz")
            return answer.status_code, answer.json()["status"]

        runtime.health.starting = "waiting"
        assert await status() == (503, "not ready")
        problem(await client.get("/jars"), 503, "unavailable")
        runtime.health.starting = None
        assert await status() == (200, "ready")
        state["kafka"] = "no broker answers"
        assert await status() == (200, "degraded")
        state["database"] = "away"
        assert await status() == (503, "not ready")


async def test_figures_count_requests_conflicts_and_refusals(client: httpx2.AsyncClient) -> None:
    jar = await opened(client, limit=1)
    await client.post(f"/jars/{jar}/coins", json={"by": "bo"})
    await client.post(f"/jars/{jar}/coins", json={"by": "cy"})
    await client.post(f"/jars/{jar}/closing", headers={"If-Match": '"1"'})
    shown = (await client.get("/metrics")).text
    assert 'gov_http_requests_total{method="POST",operation="openJar",status="201"} 1.0' in shown
    assert 'gov_refusals_total{slug="jar-is-full"} 1.0' in shown
    assert "gov_append_conflicts_total 1.0" in shown
    assert "gov_append_seconds_count 3.0" in shown


def test_the_description_lists_every_operation_with_every_problem() -> None:
    described = jars.openapi()
    assert described == jars.openapi()
    closing = described["paths"]["/jars/{jar}/closing"]["post"]
    assert closing["operationId"] == "closeJar"
    assert closing["security"] == [{"bearer": []}]
    assert set(closing["responses"]) == {
        "200",
        "201",
        "400",
        "401",
        "403",
        "404",
        "412",
        "413",
        "415",
        "422",
        "428",
        "500",
        "503",
    }
    adding = described["paths"]["/jars/{jar}/coins"]["post"]
    assert "The jar takes no more coins." in adding["responses"]["409"]["description"]
    kinds = adding["responses"]["409"]["content"]["application/problem+json"]["schema"]["allOf"][1]["properties"][
        "type"
    ]
    assert "urn:gatehouse:problem:jar-is-full" in kinds["enum"]
    assert adding["requestBody"]["content"]["application/json"]["schema"]["$ref"].endswith("/CoinRequest")
    parameters = [stands_for(described, each) for each in closing["parameters"]]
    headers = {each["name"]: each["required"] for each in parameters if each["in"] == "header"}
    assert headers["if-match"]
    assert not headers["idempotency-key"]
    listing = {stands_for(described, each)["name"] for each in described["paths"]["/jars"]["get"]["parameters"]}
    assert {"limit", "cursor", "kind", "gov-min-version"} <= listing


def test_what_several_operations_answer_or_take_is_described_once_and_each_refers_to_it() -> None:
    described = jars.openapi()
    opening, adding = (described["paths"][path]["post"] for path in ("/jars", "/jars/{jar}/coins"))
    assert opening["responses"]["401"] == {"$ref": "#/components/responses/401.not-authenticated"}
    assert adding["responses"]["401"] == opening["responses"]["401"]
    answer = stands_for(described, opening["responses"]["401"])
    assert answer["description"].startswith("- `urn:gatehouse:problem:not-authenticated`: ")
    assert answer["content"]["application/problem+json"]["schema"]["allOf"][0] == {
        "$ref": "#/components/schemas/Problem"
    }
    assert {"$ref": "#/components/parameters/idempotency-key"} in opening["parameters"]
    assert stands_for(described, {"$ref": "#/components/parameters/idempotency-key"})["in"] == "header"


def stands_for(described: dict[str, Any], part: dict[str, Any]) -> dict[str, Any]:
    """A part of a description, or what it refers to."""
    if "$ref" not in part:
        return part
    found: dict[str, Any] = described
    for name in part["$ref"].removeprefix("#/").split("/"):
        found = found[name]
    return found


def test_two_operations_never_share_an_id() -> None:
    api = ServiceApi("testing", title="Twice")
    api.command("/a", operation="same", action="a")(fail)
    with pytest.raises(ValueError, match="same"):
        api.command("/b", operation="same", action="a")


def test_an_undeclared_refusal_is_a_conflict() -> None:
    class SomethingElse(Refusal):
        """Something else stands against it."""

    assert jars.refusal_status(SomethingElse()) == 409
    assert jars.refusal_status(JarUnknown()) == 404
