"""A service that gets more than it can take, or is stopped: it refuses early, keeps to its size, and leaves nothing half done."""

import asyncio
import contextlib
import json
import shutil
import signal
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import asyncpg
import psutil
import pytest
from tests.faults.proxy import LinkState
from tests.integration.kernel.drilling import TEMPLATE, Place, Site, ask, site_at, taken
from tests.integration.kernel.serving import count_on, issuer_in, until
from tests.support import databases

from gov.runtime.postgres import PostgresServer
from govevents.catalogue import topic_of
from govkernel.postgres import UNAVAILABLE

SMALL_DISK_MIB: Final = 160
STOPS_WITHIN_S: Final = 10.0
REFUSED_WITHIN_S: Final = 15.0
MIB: Final = 1024 * 1024


@pytest.fixture(scope="module")
def place() -> Iterator[Place]:
    made = Place()
    yield made
    made.close()


@pytest.fixture(scope="module")
async def issuer(place: Place) -> AsyncIterator[str]:
    async with issuer_in(place.folder) as address:
        yield address


@pytest.fixture(scope="module")
async def server(place: Place) -> PostgresServer:
    made = place.server()
    made.initialise()
    made.start()
    await databases.create_template(made.url(), TEMPLATE)
    return made


@pytest.fixture
def small_disk(place: Place) -> Iterator[Path]:
    """A file system of its own, which can be filled."""
    folder = place.folder / "small"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={SMALL_DISK_MIB}m,mode=0711", "gatehouse", folder],
        capture_output=True,
        text=True,
        check=False,
    )
    if mounted.returncode != 0:
        pytest.skip(f"not to be had on this platform: a small file system ({mounted.stderr.strip()})")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


@pytest.fixture
async def site(place: Place, server: PostgresServer, kafka: str, issuer: str) -> AsyncIterator[Site]:
    """A service whose only process does everything."""
    async with site_at(place, server, kafka, issuer, roles=("all",)) as made:
        yield made


@dataclass
class Answers:
    """What clients were told, by the key of each command; None where the connection ended without a whole answer."""

    site: Site
    told: dict[str, tuple[int, dict[str, str], float] | None] = field(default_factory=dict)

    def statuses(self) -> set[int]:
        return {told[0] for told in self.told.values() if told is not None}

    async def open_jar(self, key: str) -> bool:
        """Ask for a jar on a connection of its own; whether anybody listened."""
        body = json.dumps({"limit": 9}).encode()
        head = (
            f"POST /jars HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\nIdempotency-Key: {key}\r\n"
            f"Authorization: {self.site.client.headers['authorization']}\r\n\r\n"
        )
        began = time.monotonic()
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", self.site.port)
        except ConnectionError:
            return False
        self.told[key] = None
        try:
            writer.write(head.encode() + body)
            answer = await reader.read()
            self.told[key] = whole(answer, time.monotonic() - began)
        except ConnectionError:
            pass
        finally:
            writer.close()
        return True

    async def until_nobody_listens(self) -> None:
        while await self.open_jar(uuid4().hex):
            pass


def whole(answer: bytes, took_s: float) -> tuple[int, dict[str, str], float] | None:
    """Status and headers of an answer, and how long it took; None where its end is missing."""
    head, found, body = answer.partition(b"\r\n\r\n")
    if not found:
        return None
    status, *lines = head.decode().split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    return (int(status.split()[1]), headers, took_s) if len(body) == int(headers["content-length"]) else None


async def rows(server: PostgresServer, site: Site, query: str) -> Any:
    return await ask(server, query, site.service)


async def test_a_stop_under_load_ends_in_time_and_whatever_was_begun_is_answered_and_sent(
    site: Site, server: PostgresServer
) -> None:
    answers = Answers(site)
    callers = [asyncio.create_task(answers.until_nobody_listens()) for _ in range(24)]

    async def under_way() -> bool:
        return sum(told is not None for told in answers.told.values()) > 200

    await until(under_way)
    running = site.processes["all"]
    began = time.monotonic()
    running.send_signal(signal.SIGTERM)
    assert await running.wait() == 0
    assert time.monotonic() - began < STOPS_WITHIN_S
    await asyncio.gather(*callers)
    taken = [key for key, told in answers.told.items() if told is not None and told[0] == 201]
    assert answers.statuses() <= {201, 503}
    assert await rows(server, site, "SELECT count(*) FROM commands") == len(taken), "an answer for each, and no other"
    assert await count_on(site.kafka, topic_of(site.service)) == len(taken)


async def test_a_stop_while_the_database_stands_still_ends_in_time_and_every_caller_is_told(
    site: Site, server: PostgresServer
) -> None:
    answers = Answers(site)
    await site.link.set(LinkState.HELD)
    callers = [asyncio.create_task(answers.open_jar(f"held {number}")) for number in range(50)]

    async def all_wait() -> bool:
        return len(answers.told) == len(callers)

    await until(all_wait)
    running = site.processes["all"]
    began = time.monotonic()
    running.send_signal(signal.SIGTERM)
    assert await running.wait() == 0
    assert time.monotonic() - began < STOPS_WITHIN_S
    await asyncio.gather(*callers)
    assert {key: told and told[0] for key, told in answers.told.items()} == dict.fromkeys(answers.told, 503)


async def test_while_the_database_stands_still_commands_are_refused_early_in_bounded_memory_and_then_all_goes_on(
    site: Site, server: PostgresServer
) -> None:
    running = psutil.Process(site.processes["all"].pid)
    assert (await site.client.post("/jars", json={"limit": 1})).status_code == 201
    await site.link.set(LinkState.HELD)
    answers, sizes = Answers(site), []
    for wave in range(2):
        await asyncio.gather(*(answers.open_jar(f"{wave} {number}") for number in range(300)))
        sizes.append(running.memory_info().rss)
    assert answers.statuses() == {503}
    for told in answers.told.values():
        assert told is not None
        _, headers, took_s = told
        assert int(headers["retry-after"]) >= 1
        assert took_s < REFUSED_WITHIN_S
    assert sizes[-1] - sizes[0] < 16 * MIB, f"it grows: {sizes}"
    assert (await site.client.get("/livez")).status_code == 200

    await site.link.heal()
    again = Answers(site)

    async def taken() -> bool:
        left = [key for key in answers.told if key.startswith("0 ") and (again.told.get(key) or (0,))[0] != 201]
        await asyncio.gather(*(again.open_jar(key) for key in left))
        return not left

    await until(taken)
    written = "SELECT count(*) - count(DISTINCT stream) FROM events"
    assert await rows(server, site, written) == 0, "each once, whatever was on its way while nothing moved"

    async def carried() -> bool:
        relay = (await site.client.get("/operations/relay")).json()
        return bool(relay["lag_rows"] == 0)

    await until(carried)


async def test_while_the_databases_disk_is_full_commands_are_refused_and_what_was_taken_is_there_once_there_is_room(
    place: Place, small_disk: Path, kafka: str, issuer: str
) -> None:
    server = place.server(small_disk / "postgres")
    server.initialise()
    server.start()
    await databases.create_template(server.url(), TEMPLATE)
    async with site_at(place, server, kafka, issuer, roles=("all",)) as site:
        answers, filler = Answers(site), small_disk / "filler"
        free = shutil.disk_usage(small_disk).free
        await asyncio.to_thread(filler.write_bytes, bytes(free - MIB // 4))

        async def load_until_refused() -> None:
            number = 0
            while {told and told[0] for told in list(answers.told.values())[-8:]} != {503}:
                await asyncio.gather(*(answers.open_jar(f"{number + each} {uuid4().hex}") for each in range(8)))
                number += 8

        async with asyncio.timeout(60):
            await load_until_refused()
        # Then not even the log has room, which no server outlives.
        with contextlib.suppress(*UNAVAILABLE, asyncpg.PostgresError):
            await ask(server, "SELECT pg_switch_wal()")
        await asyncio.gather(*(answers.open_jar(f"log {number}") for number in range(8)))
        assert answers.statuses() == {201, 503}
        assert all(int(told[1]["retry-after"]) >= 1 for told in answers.told.values() if told and told[0] == 503)

        filler.unlink()
        if not server.ready():
            server.stop()
            server.start()
        await until(lambda: taken(site.client.post("/jars", json={"limit": 1}, headers={"Idempotency-Key": "room"})))
        acknowledged = {told[1]["gov-version"] for told in answers.told.values() if told and told[0] == 201}
        events = await rows(server, site, "SELECT array_agg(stream || '@' || version) FROM events")
        assert acknowledged < set(events)
        await site.carried()
        server.kill()
