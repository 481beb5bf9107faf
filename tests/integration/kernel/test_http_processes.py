"""A service as a process of its own: started before its infrastructure, asked, operated, and stopped."""

import asyncio
import json
import os
import re
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import uuid4

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from tests.integration.kernel import jar_service
from tests.integration.kernel.serving import (
    MODULE,
    answered,
    client_of,
    count_on,
    environment_of,
    issuer_in,
    process,
    readiness,
    token,
    until,
)
from tests.support.serving import serving
from tests.support.topics import create_topic

from gov.runtime.ports import choose_ports
from govevents.catalogue import WATERMARK_TOPIC, topic_of
from govkernel.metrics import Metrics
from govkernel.processes import Tasks, openapi_text


@pytest.fixture
async def issuer(tmp_path: Path) -> AsyncIterator[str]:
    async with issuer_in(tmp_path) as address:
        yield address


@pytest.fixture
async def service(kafka: str, topic: Callable[..., str]) -> str:
    name = f"jar-{uuid4().hex[:8]}"
    topic(service=name)
    create_topic(kafka, topic_of("approvals"))
    create_topic(kafka, topic_of("projects"))
    create_topic(kafka, WATERMARK_TOPIC, partitions=1, compacted=True)
    return name


async def test_a_whole_service_starts_before_its_tables_answers_operates_and_drains(
    empty_database: str, kafka: str, service: str, issuer: str
) -> None:
    (port,) = choose_ports(1)
    environment = environment_of(service, empty_database, kafka, issuer, port)
    async with process("-m", MODULE, "all", environment=environment) as running, client_of(port, issuer) as client:
        waiting = await until(lambda: answered(readiness(client), 503))
        assert waiting["reason"] == "waiting for the database"
        refused = await client.post("/jars", json={"limit": 1})
        assert refused.status_code == 503
        assert (await client.get("/livez")).status_code == 200

        async with process("-m", MODULE, "migrate", environment=environment) as migrating:
            _, said = await migrating.communicate()
            assert migrating.returncode == 0, said.decode()
        report = await until(lambda: answered(readiness(client), 200))
        assert report["status"] in ("ready", "degraded")

        opened = await client.post("/jars", json={"limit": 3})
        assert opened.status_code == 201, "who is ready takes commands"
        jar = opened.json()["stream"]
        added = await client.post(f"/jars/{jar}/coins", json={"by": "bo"})
        assert added.status_code == 200, added.text
        assert (await client.get(f"/jars/{jar}")).json() == {"coins": ["bo"]}
        eve = {"Authorization": await token(issuer, "eve")}
        assert (await client.get(f"/jars/{jar}", headers=eve)).status_code == 404, "nobody registered the shelf"
        assert (await client.get("/operations/relay", headers=eve)).status_code == 403

        async def carried() -> bool:
            relay = (await client.get("/operations/relay")).json()
            return relay["lag_rows"] == 0 and relay["verified"] and relay["watermark"] is not None

        await until(carried)
        assert await count_on(kafka, topic_of(service)) == 2

        for _ in range(2):
            vouched = await client.post("/operations/relay/vouch", json={"reason": "Compared by hand."})
            assert vouched.status_code == 200, vouched.text
        assert (await client.post("/operations/relay/vouch", json={"reason": " "})).status_code == 422
        await until(carried)
        assert await count_on(kafka, topic_of(service)) == 3

        consumers = (await client.get("/operations/consumers")).json()["items"]
        assert {each["consumer"] for each in consumers} == {"roles/1", "nodes/1"}
        builds = (await client.get("/operations/read-models")).json()["items"]
        assert {(each["name"], each["state"]) for each in builds} == {("roles", "live"), ("nodes", "live")}
        started = await client.post("/operations/read-models/roles/rebuilds", json={})
        assert started.status_code == 202, started.text

        async def rebuilt() -> bool:
            found = (await client.get("/operations/read-models/roles")).json()["items"]
            return [(each["build"], each["state"]) for each in found] == [(2, "live"), (1, "previous")]

        await until(rebuilt)
        assert (await client.post("/operations/read-models/none/rebuilds", json={})).status_code == 404
        assert (await client.get("/operations/parked")).json() == {"items": [], "next": None}
        assert (await client.get("/operations/parked/1")).status_code == 404
        assert (await client.post("/operations/parked/1/skip", json={"reason": "x"})).status_code == 404

        async def measured() -> bool:
            shown = (await client.get("/metrics")).text
            return "gov_outbox_rows 0.0" in shown and 'gov_consumer_lag_records{consumer="nodes/1"}' in shown

        await until(measured)
        commands = re.search(r"^gov_append_batch_commands_sum (\S+)", (await client.get("/metrics")).text, re.MULTILINE)
        assert commands is not None and float(commands[1]) >= 1

        running.send_signal(signal.SIGTERM)
        async with asyncio.timeout(15):
            _, said = await running.communicate()
        assert running.returncode == 0, said.decode()
        lines = [json.loads(line) for line in said.decode().splitlines()]
        assert lines[-1]["event"] == "stopped"
        assert any(line.get("stream") == jar and line.get("correlation") for line in lines)
        assert "postgres:" not in said.decode().replace("[withheld]", "")
        assert not [line for line in lines if line["level"] in ("error", "critical")], lines


async def test_an_answers_body_does_not_wait_for_the_client_to_acknowledge_its_head(
    empty_database: str, kafka: str, service: str, issuer: str
) -> None:
    (port,) = choose_ports(1)
    environment = environment_of(service, empty_database, kafka, issuer, port)
    async with process("-m", MODULE, "api", environment=environment), client_of(port, issuer) as client:
        assert await until(lambda: answered(readiness(client), 503))
        loop = asyncio.get_running_loop()
        seconds = []
        for _ in range(101):
            asked = loop.time()
            assert (await client.get("/livez")).status_code == 200
            seconds.append(loop.time() - asked)
    # A kernel that puts an acknowledgement off does so for 40 ms, each time.
    assert sorted(seconds)[50] < 0.03


async def test_a_service_that_cannot_read_what_it_reacts_to_is_not_ready_until_it_can(
    database: str, kafka: str, service: str, issuer: str, topic: Callable[..., str]
) -> None:
    (port,) = choose_ports(1)
    unheard = f"unheard-{uuid4().hex[:8]}"
    environment = {
        **environment_of(service, database, kafka, issuer, port),
        "JAR_HEARS": unheard,
        "GOV_LONGEST_LAG_S": "0.5",
    }
    async with (
        process("-m", MODULE, "all", environment=environment),
        client_of(port, issuer) as client,
    ):

        async def says_so() -> bool:
            status, report = await readiness(client)
            reading = report.get("checks", {}).get("consumers", {})
            return status == 503 and topic_of(unheard) in reading.get("reason", "")

        await until(says_so)
        topic(service=unheard)
        await until(lambda: answered(readiness(client), 200))


@asynccontextmanager
async def collector(spans: list[tuple[str, str]]) -> AsyncIterator[str]:
    """Takes traces as OTLP over HTTP has them, and keeps of each span its name and its trace."""

    async def take(request: Request) -> Response:
        sent = ExportTraceServiceRequest.FromString(await request.body())
        spans.extend(
            (span.name, span.trace_id.hex())
            for each in sent.resource_spans
            for scope in each.scope_spans
            for span in scope.spans
        )
        return Response(media_type="application/x-protobuf")

    application = Starlette(routes=[Route("/v1/traces", take, methods=["POST"])])
    async with serving(application) as address:
        yield address


async def test_traces_are_sent_where_the_environment_says_and_a_stop_sends_the_last_ones(
    database: str, kafka: str, service: str, issuer: str
) -> None:
    (port,) = choose_ports(1)
    spans: list[tuple[str, str]] = []
    trace = "0af7651916cd43dd8448eb211c80319c"
    async with collector(spans) as endpoint:
        environment = environment_of(service, database, kafka, issuer, port)
        environment["OTEL_EXPORTER_OTLP_ENDPOINT"] = endpoint
        async with (
            process("-m", MODULE, "api", environment=environment) as running,
            process("-m", MODULE, "relay", environment={**environment, "GOV_HTTP_PORT": "0"}),
            client_of(port, issuer) as client,
        ):
            await until(lambda: answered(readiness(client), 200))
            headers = {"traceparent": f"00-{trace}-b7ad6b7169203331-01"}
            opened = await client.post("/jars", json={"limit": 3}, headers=headers)
            assert opened.status_code == 201, opened.text
            assert opened.headers["traceparent"].startswith(f"00-{trace}-")
            running.send_signal(signal.SIGTERM)
            async with asyncio.timeout(20):
                await running.wait()
    assert ("POST openJar", trace) in spans


async def test_a_service_without_settings_says_which_and_ends() -> None:
    bare = {name: "" for name in os.environ if name.startswith("GOV_")}
    async with process("-m", MODULE, "all", environment=bare) as running:
        async with asyncio.timeout(30):
            _, said = await running.communicate()
    assert running.returncode == 2
    assert "GOV_DATABASE_URL" in said.decode()
    assert "GOV_OIDC_ISSUER" in said.decode()


def test_the_description_is_the_same_text_each_time_and_holds_the_operators_part() -> None:
    text = openapi_text(jar_service.DEFINITION)
    assert text == openapi_text(jar_service.DEFINITION)
    described = json.loads(text)
    assert {"/jars", "/operations/relay", "/operations/parked/{record}/skip"} <= described["paths"].keys()
    operations = [each["operationId"] for path in described["paths"].values() for each in path.values()]
    assert len(operations) == len(set(operations))


@pytest.mark.parametrize("failure", [RuntimeError("broken"), asyncio.CancelledError()], ids=["error", "cancellation"])
async def test_a_crashed_task_is_shown_and_started_again(failure: BaseException) -> None:
    tasks = Tasks(Metrics("testing"), shortest_backoff_s=0.01)
    began = 0

    async def work(stop: asyncio.Event) -> None:
        nonlocal began
        began += 1
        if began < 3:
            raise failure
        await stop.wait()

    tasks.start("fragile", work)

    async def recovered() -> bool:
        return began == 3 and not tasks.down()

    await until(recovered)
    await tasks.stop(timeout_s=1)


async def test_a_task_that_does_not_end_when_it_is_cancelled_holds_nobody_up() -> None:
    tasks = Tasks(Metrics("testing"))
    answers = asyncio.Event()

    async def deaf(_stop: asyncio.Event) -> None:
        try:
            await answers.wait()
        finally:
            await answers.wait()

    tasks.start("deaf", deaf)
    await asyncio.sleep(0)
    async with asyncio.timeout(5):
        await tasks.stop(timeout_s=0.05)
    answers.set()


async def test_a_task_that_does_not_end_in_time_is_cancelled() -> None:
    tasks = Tasks(Metrics("testing"))
    cancelled = asyncio.Event()

    async def stubborn(_stop: asyncio.Event) -> None:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            cancelled.set()
            raise

    tasks.start("stubborn", stubborn)
    await asyncio.sleep(0)
    await tasks.stop(timeout_s=0.05)
    assert cancelled.is_set()
