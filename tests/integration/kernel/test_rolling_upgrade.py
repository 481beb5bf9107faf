"""Two releases run side by side while one takes the other's place: what only the newer can read stops nobody."""

import asyncio
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx2
import pytest
from tests.integration.kernel.serving import (
    MODULE,
    answered,
    client_of,
    environment_of,
    issuer_in,
    process,
    readiness,
    until,
)
from tests.support.topics import create_topic

from gov.runtime.ports import choose_ports
from govevents.catalogue import WATERMARK_TOPIC, topic_of

Replica = tuple[asyncio.subprocess.Process, httpx2.AsyncClient]


@pytest.fixture
async def replicas(
    database: str, kafka: str, topic: Callable[..., str], tmp_path: Path
) -> AsyncIterator[Callable[..., Any]]:
    """Start a replica of the earlier or of the later release; both read the service's own topic."""
    service = f"jar-{uuid4().hex[:8]}"
    topic(service=service)
    create_topic(kafka, topic_of("approvals"))
    create_topic(kafka, topic_of("projects"))
    create_topic(kafka, WATERMARK_TOPIC, partitions=1, compacted=True)
    ports = iter(choose_ports(2))
    async with AsyncExitStack() as stack:
        issuer = await stack.enter_async_context(issuer_in(tmp_path))

        @asynccontextmanager
        async def started(**release: str) -> AsyncIterator[Replica]:
            port = next(ports)
            known = {**environment_of(service, database, kafka, issuer, port), "JAR_HEARS": service, **release}
            log = tmp_path / f"{port}.log"
            async with (
                process("-m", MODULE, "all", environment=known, log=log) as running,
                client_of(port, issuer) as client,
            ):
                await until(lambda: answered(readiness(client), 200))
                yield running, client

        async def start(**release: str) -> Replica:
            return await stack.enter_async_context(started(**release))

        yield start


async def reading(client: httpx2.AsyncClient) -> dict[str, Any]:
    """The consumer of the service's own topic."""
    found = (await client.get("/operations/consumers")).json()["items"]
    (consumer,) = [each for each in found if ".reactions." in each["consumer"]]
    return dict(consumer)


async def test_a_later_event_passes_to_the_later_release_and_every_command_is_taken_by_one_of_the_two(
    replicas: Callable[..., Any],
) -> None:
    _, earlier = old = await replicas()
    jar = (await earlier.post("/jars", json={"limit": 100})).json()["stream"]
    assert (await earlier.post(f"/jars/{jar}/coins", json={"by": "ana"})).status_code == 200
    _, later = await replicas(JAR_NEXT_RELEASE="1")

    async def add(first: httpx2.AsyncClient, second: httpx2.AsyncClient, by: str) -> list[int]:
        """Ask one replica and, as who spreads the load does, the other one where the first asks for that."""
        key = {"Idempotency-Key": by}
        told = []
        for client in (first, second):
            answer = await client.post(f"/jars/{jar}/coins", json={"by": by}, headers=key)
            told.append(answer.status_code)
            if answer.status_code != 503:
                break
            assert int(answer.headers["retry-after"]) >= 1
        return told

    assert await add(later, earlier, "bo") == [200]
    for number in range(10):
        assert (await add(earlier, later, f"early {number}"))[-1] == 200
        assert await add(later, earlier, f"late {number}") == [200]
    fresh = (await earlier.post("/jars", json={"limit": 1})).json()["stream"]
    assert (await earlier.post(f"/jars/{fresh}/coins", json={"by": "ana"})).status_code == 200

    async def read_by_the_later() -> bool:
        consumer = await reading(later)
        return bool(consumer["records_read"] == 1 + 2 + 20 + 2 and consumer["alarm"] is None)

    await until(read_by_the_later)
    assert (await reading(later))["parked"] == {}
    assert (await earlier.get("/readyz")).status_code == 200, "it goes on with what it can read"

    running, _ = old
    running.send_signal(signal.SIGTERM)
    assert await running.wait() == 0
    assert (await later.get(f"/jars/{jar}")).json()["coins"][:2] == ["ana", "bo"]
    assert (await later.post(f"/jars/{jar}/coins", json={"by": "zoe"})).status_code == 200
