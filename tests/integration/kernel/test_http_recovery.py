"""A recovery is ordered over the API: what can't end well is refused before anything is closed."""

import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import asyncpg
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
from govevents.document import canonical
from govkernel.kafka import EventProducer, KafkaAddress, Outgoing

ORDERS = "SELECT count(*) FROM events WHERE type = 'operations.LedgerRecovered'"


@pytest.fixture
def service(kafka: str, topic: Callable[..., str]) -> str:
    name = f"jar-{uuid4().hex[:8]}"
    topic(service=name)
    create_topic(kafka, topic_of("approvals"))
    create_topic(kafka, topic_of("projects"))
    create_topic(kafka, WATERMARK_TOPIC, partitions=1, compacted=True)
    return name


@pytest.fixture
async def client(service: str, database: str, kafka: str, tmp_path: Path) -> AsyncIterator[httpx2.AsyncClient]:
    (port,) = choose_ports(1)
    async with issuer_in(tmp_path) as issuer:
        environment = environment_of(service, database, kafka, issuer, port)
        async with (
            process("-m", MODULE, "all", environment=environment, log=tmp_path / "log"),
            client_of(port, issuer) as made,
        ):
            await until(lambda: answered(readiness(made), 200))
            yield made


async def test_over_a_fork_nothing_is_closed_and_without_one_what_was_lost_comes_back(
    client: httpx2.AsyncClient, service: str, database: str, kafka: str
) -> None:
    jar = (await client.post("/jars", json={"limit": 9})).json()["stream"]
    other = (await client.post("/jars", json={"limit": 9})).json()["stream"]

    async def carried() -> bool:
        relay = (await client.get("/operations/relay")).json()
        return bool(relay["lag_rows"] == 0 and relay["verified"])

    await until(carried)
    connection = await asyncpg.connect(database)
    await connection.execute("DELETE FROM events WHERE stream = $1", UUID(other))
    order = {"reason": "Rows were lost with the disk."}
    recovered = await client.post("/operations/ledger/recoveries", json=order)
    assert recovered.status_code == 202, recovered.text
    await until(carried)
    assert await connection.fetchval("SELECT count(*) FROM events WHERE stream = $1", UUID(other)) == 1
    assert await connection.fetchval(ORDERS) == 1

    written = await connection.fetchrow("SELECT type, document FROM events WHERE stream = $1", UUID(jar))
    assert written is not None
    forged: dict[str, Any] = json.loads(written["document"])
    forged["data"]["limit"] = 1000
    producer = EventProducer(KafkaAddress(kafka))
    await producer.send(topic_of(service), [Outgoing(UUID(jar), written["type"], canonical(forged))])
    await producer.close()
    refused = await client.post("/operations/ledger/recoveries", json=order)
    assert (refused.status_code, refused.json()["type"]) == (409, "urn:gatehouse:problem:ledger-contradicted")
    assert f"{jar}@1" in refused.json()["detail"]
    assert (await client.get("/operations/relay")).json()["verified"]
    assert (await client.post(f"/jars/{jar}/coins", json={"by": "bo"})).status_code == 200
    assert await connection.fetchval(ORDERS) == 1
    await connection.close()
