"""The jar service and the demo's issuer as processes of their own, and how they are asked."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import httpx2

from gov.issuer.key import load_or_make
from gov.runtime.ports import choose_ports
from govkernel.kafka import KafkaAddress, TopicLog

MODULE: Final = "tests.integration.kernel.jar_service"
CHECKOUT: Final = Path(__file__).parents[3]
STARTS_WITHIN_S: Final = 40.0


async def until(answers: Callable[[], Any], *, within_s: float = STARTS_WITHIN_S) -> Any:
    """Ask until there is a true answer."""
    deadline = asyncio.get_running_loop().time() + within_s
    while True:
        found = await answers()
        if found:
            return found
        assert asyncio.get_running_loop().time() < deadline, "not in time"
        await asyncio.sleep(0.05)


@asynccontextmanager
async def process(
    *command: str, environment: Mapping[str, str], log: Path | None = None
) -> AsyncIterator[asyncio.subprocess.Process]:
    """A Python process that is gone afterwards, whatever happens. What it says goes to `log`, or can be asked of it."""
    output = log.open("ab") if log is not None else asyncio.subprocess.PIPE
    started = await asyncio.create_subprocess_exec(
        sys.executable,
        *command,
        cwd=CHECKOUT,
        env={**os.environ, "PYTHONPATH": str(CHECKOUT), **environment},
        stdout=output,
        stderr=output,
    )
    try:
        yield started
    finally:
        if started.returncode is None:
            started.kill()
        await started.communicate()
        if not isinstance(output, int):
            output.close()


@asynccontextmanager
async def issuer_in(folder: Path) -> AsyncIterator[str]:
    """The address of an issuer that keeps its key in a folder."""
    (port,) = choose_ports(1)
    environment = {
        "GOV_DEMO": "1",
        "GOV_ISSUER_PORT": str(port),
        "GOV_ISSUER_KEY_FILE": str(folder / "issuer.pem"),
        "GOV_OIDC_ISSUER": "http://demo.gatehouse.localhost",
    }
    load_or_make(folder / "issuer.pem")
    async with process("-m", "gov.issuer", environment=environment), httpx2.AsyncClient() as client:

        async def answers() -> bool:
            try:
                return (await client.get(f"http://127.0.0.1:{port}/jwks")).status_code == 200
            except httpx2.TransportError:
                return False

        await until(answers)
        yield f"http://127.0.0.1:{port}"


def environment_of(service: str, database: str, kafka: str, issuer: str, port: int) -> dict[str, str]:
    """What a process of the jar service needs to know."""
    return {
        "JAR_SERVICE": service,
        "GOV_DATABASE_URL": database,
        "GOV_MIGRATION_DATABASE_URL": database,
        "GOV_KAFKA_BOOTSTRAP_SERVERS": kafka,
        "GOV_HTTP_PORT": str(port),
        "GOV_OIDC_ISSUER": "http://demo.gatehouse.localhost",
        "GOV_OIDC_JWKS_URL": f"{issuer}/jwks",
        "GOV_DEMO": "1",
        "GOV_LOG_FORMAT": "json",
    }


async def token(issuer: str, username: str) -> str:
    """What a person of the demo shows to services."""
    async with httpx2.AsyncClient() as client:
        answer = await client.post(f"{issuer}/token", data={"username": username})
    return f"Bearer {answer.json()['access_token']}"


@asynccontextmanager
async def client_of(port: int, issuer: str) -> AsyncIterator[httpx2.AsyncClient]:
    """An operator's client of a process."""
    headers = {"Authorization": await token(issuer, "olu")}
    async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}", headers=headers, timeout=20) as client:
        yield client


async def readiness(client: httpx2.AsyncClient) -> tuple[int, Any]:
    """The status and the report of a process, 0 where it does not answer yet."""
    try:
        answer = await client.get("/readyz")
    except httpx2.TransportError:
        return 0, {}
    return answer.status_code, answer.json()


async def answered(asked: Any, status: int) -> Any:
    """A report where it came with this status."""
    found, report = await asked
    return report if found == status else None


async def count_on(kafka: str, topic: str) -> int:
    """How many records a topic has."""
    log = TopicLog(KafkaAddress(kafka))
    extent = await log.extent(topic)
    found = 0
    async for fetched in log.read(topic, extent.beginnings, extent.ends):
        found += len(fetched.records)
    return found
