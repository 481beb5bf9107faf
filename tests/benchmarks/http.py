"""A command over HTTP: one worker of the whole kernel, against a bare FastAPI endpoint with one INSERT, same requests."""

import contextlib
import json
import threading
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final
from uuid import UUID, uuid4

import asyncpg
import httpx2
import msgspec
from joserfc import jwt
from joserfc.jwk import ECKey
from tests.benchmarks.bench import Bench, Benchmark
from tests.benchmarks.fund import PURPOSE
from tests.benchmarks.http_load import Order, Report
from tests.benchmarks.ledgers import SERVICE, check, fill, histories
from tests.benchmarks.processes import answer_of, running, until_ready
from tests.benchmarks.row import Row, interleaved, percentile
from tests.support.databases import OPEN_LEDGER

from gov.runtime.ports import choose_ports

ISSUER: Final = "http://issuer.localhost"
CONNECTIONS: Final = 128
FUNDS_OF_A_CONNECTION: Final = 16
TOKENS: Final = 1000
WARM_UP_S: Final = 1.0
BODY: Final = json.dumps({"amount_minor": 1, "purpose": PURPOSE})


async def measure(bench: Bench) -> list[Row]:
    """Both servers stay up, and are asked by turns."""
    scale = bench.scale
    streams = [uuid4() for _ in range(CONNECTIONS * FUNDS_OF_A_CONNECTION)]
    (document,) = histories(streams[:1], 1)
    async with bench.database() as url:
        await fill(url, streams, 1)
        await _run(url, OPEN_LEDGER)
        funds = [
            [str(stream) for stream in streams[first : first + FUNDS_OF_A_CONNECTION]]
            for first in range(0, len(streams), FUNDS_OF_A_CONNECTION)
        ]
        versions = [[1] * FUNDS_OF_A_CONNECTION for _ in funds]
        answered = 0
        with issuer() as (keys, key):
            tokens = [token(key, f"person-{number}") for number in range(TOKENS)]
            async with (
                bench.topic(SERVICE),
                fund_service(bench, url, keys) as port,
                bare_service(url, len(document.body)) as bare_port,
            ):

                async def ours() -> Report:
                    nonlocal versions, answered
                    report = await loaded(Order(port, BODY, tokens, funds, versions, WARM_UP_S, scale.seconds))
                    versions = report.versions
                    answered += report.answered_in_all
                    return report

                async def floor() -> Report:
                    return await loaded(
                        Order(
                            bare_port,
                            BODY,
                            tokens,
                            funds,
                            [[1] * len(each) for each in funds],
                            WARM_UP_S,
                            scale.seconds,
                        )
                    )

                # Opens the connections, and lets each server meet everybody's token.
                await ours()
                beforehand = await floor()
                of_ours, of_floor = await interleaved(scale.repeats, ours, floor)
        assert all(each.milliseconds for each in (*of_ours, *of_floor)), "nothing was answered in the time that counts"
        inserted = await _run(url, "SELECT count(*) FROM events WHERE type = 'bare.Inserted'")
        expected = sum(each.answered_in_all for each in (beforehand, *of_floor))
        assert inserted == expected, f"{inserted} rows of the floor are there, {expected} expected"
        said = [
            (UUID(stream), version)
            for of_connection, newest in zip(funds, versions, strict=True)
            for stream, last in zip(of_connection, newest, strict=True)
            for version in range(2, last + 1)
        ]
        assert len(said) == answered, f"{answered} answers, but the funds have moved by {len(said)}"
        await check(url, said, filled=len(streams), commands=answered)
    against = f"a bare FastAPI endpoint with a pydantic body and one asyncpg INSERT, {CONNECTIONS} connections"
    return [
        Row(
            name="http-rate",
            unit="commands/s",
            ours=tuple(each.answered / each.seconds for each in of_ours),
            floor=tuple(each.answered / each.seconds for each in of_floor),
            against=against,
            at_least=2.2,
        ),
        Row(
            name="http-p99",
            unit="ms",
            ours=tuple(percentile(each.milliseconds, 99) for each in of_ours),
            floor=tuple(percentile(each.milliseconds, 99) for each in of_floor),
            against=against,
            at_least=1 / 0.6,
            less_is_better=True,
        ),
    ]


async def loaded(order: Order) -> Report:
    """What a load of its own process reports. Every request must have been answered with 200 or 201."""
    report = msgspec.json.decode(
        await answer_of("tests.benchmarks.http_load", given=msgspec.json.encode(order)), type=Report
    )
    assert not report.refused, report.refused
    return report


@contextlib.contextmanager
def issuer() -> Iterator[tuple[str, ECKey]]:
    """An issuer's public keys behind an address, and its private key."""
    key = ECKey.generate_key("P-256", {"kid": "one"})
    published = json.dumps({"keys": [{**key.as_dict(private=False), "kid": "one"}]}).encode()

    class Keys(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(published)))
            self.end_headers()
            self.wfile.write(published)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  (the library's name)
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Keys)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/jwks", key
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def token(key: ECKey, name: str) -> str:
    """What a person sends as Authorization."""
    claims = {
        "iss": ISSUER,
        "aud": "gatehouse",
        "sub": name,
        "exp": int(datetime.now(UTC).timestamp()) + 24 * 3600,
        "gatehouse_administrator": True,
    }
    return "Bearer " + jwt.encode({"alg": "ES256", "kid": "one"}, claims, key, algorithms=["ES256"])


@contextlib.asynccontextmanager
async def fund_service(bench: Bench, url: str, keys: str, *, role: str = "api") -> AsyncIterator[int]:
    """The port of the fund's service, ready, in a process of its own."""
    (port,) = choose_ports(1)
    environment = {
        "GOV_DATABASE_URL": url,
        "GOV_KAFKA_BOOTSTRAP_SERVERS": bench.kafka_bootstrap,
        "GOV_HTTP_PORT": str(port),
        "GOV_OIDC_ISSUER": ISSUER,
        "GOV_OIDC_JWKS_URL": keys,
    }
    with TemporaryDirectory() as folder:
        log = Path(folder) / "fund_service.log"
        async with running(log, "tests.benchmarks.fund_service", role, environment=environment) as process:
            await until_ready(process, log, lambda: _answers(f"http://127.0.0.1:{port}/readyz"))
            yield port


@contextlib.asynccontextmanager
async def bare_service(url: str, document_bytes: int) -> AsyncIterator[int]:
    """The port of the bare endpoint, ready, in a process of its own."""
    (port,) = choose_ports(1)
    with TemporaryDirectory() as folder:
        log = Path(folder) / "bare_service.log"
        arguments = (str(port), url, str(document_bytes))
        async with running(log, "tests.benchmarks.bare_service", *arguments) as process:
            await until_ready(process, log, lambda: _answers(f"http://127.0.0.1:{port}/openapi.json"))
            yield port


async def _answers(address: str) -> bool:
    async with httpx2.AsyncClient() as client:
        try:
            return (await client.get(address)).status_code == 200
        except httpx2.TransportError:
            return False


async def _run(url: str, statement: str) -> Any:
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval(statement)
    finally:
        await connection.close()


BENCHMARKS: Final = (Benchmark(("http-rate", "http-p99"), measure),)
