"""Drills: a ledger is set back in each of the ways in which storage and standbys do that, and gets back what Kafka has.

Each time a service goes on while its database is replaced by an earlier one. It must notice before it appends or sends
anything, and go on by itself with everything that the world had seen.
"""

import asyncio
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import asyncpg
import httpx2
import pytest
from tests.faults.proxy import Link
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
from tests.support import databases
from tests.support.topics import create_topic

from gov.runtime.ports import Ports
from gov.runtime.postgres import PostgresServer
from gov.runtime.process import running_as_root
from govevents.catalogue import WATERMARK_TOPIC, topic_of
from govkernel.kafka import KafkaAddress, TopicLog
from govkernel.postgres import create_pool

PASSWORD: Final = "for-tests-only"
RESTORE_POINT: Final = "the_last_good_moment"
LATER: Final = "until 2040-01-01T00:00:00+00:00"
TEMPLATE: Final = "drill_template"

TABLES: Final = {
    "events": "SELECT stream, version, type, time, recorded_at, document, hash FROM events ORDER BY stream, version",
    "commands": "SELECT command, stream, from_version, to_version, status FROM commands ORDER BY command",
    "timers": "SELECT timer, aggregate, stream, name, due, cause, correlation, origin FROM timers ORDER BY timer",
    "links": "SELECT kind, target, stream FROM stream_links ORDER BY kind, target, stream",
}


class Place:
    """A folder in which servers and their copies lie, and what PostgreSQL's own programs do there."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="gatehouse-drills-"))
        if running_as_root():
            self.folder.chmod(0o711)
        self._ports = Ports()
        self._servers: list[PostgresServer] = []

    def port(self) -> int:
        return self._ports.choose()

    def server(self) -> PostgresServer:
        made = PostgresServer(self.folder / str(len(self._servers)), self.port(), PASSWORD)
        made.folder.mkdir()
        self.give(made, made.folder)
        self._servers.append(made)
        return made

    def archive(self, server: PostgresServer) -> Path:
        folder = server.folder / "archive"
        if not folder.exists():
            folder.mkdir()
            self.give(server, folder)
        return folder

    def give(self, server: PostgresServer, path: Path) -> None:
        if server.user is not None:
            account = pwd.getpwnam(server.user)
            os.chown(path, account.pw_uid, account.pw_gid)

    def base_backup(self, source: PostgresServer, target: PostgresServer, *options: str) -> None:
        program = Path(source.command()[0]).with_name("pg_basebackup")
        done = subprocess.run(
            [program, "-d", source.url(), "-D", target.folder / "data", "--checkpoint=fast", *options],
            capture_output=True,
            text=True,
            check=False,
            cwd="/",
            env={"LC_ALL": "C", "PGPASSWORD": PASSWORD},
            user=target.user,
            group=pwd.getpwnam(target.user).pw_gid if target.user else None,
            extra_groups=[] if target.user else None,
        )
        assert done.returncode == 0, done.stdout + done.stderr

    def configure(self, server: PostgresServer, **settings: str) -> None:
        with (server.data / "postgresql.conf").open("a", encoding="utf-8") as file:
            file.writelines(f"{name} = '{value}'\n" for name, value in settings.items())

    def close(self) -> None:
        for server in self._servers:
            server.kill()
        self._ports.close()
        shutil.rmtree(self.folder, ignore_errors=True)


def copy(source: PostgresServer, target: PostgresServer) -> None:
    """Copy a stopped server's data, owners and modes included."""
    subprocess.run(["cp", "-a", source.data, target.folder / "data"], check=True)


async def ask(server: PostgresServer, statement: str, database: str = "postgres") -> Any:
    connection = await asyncpg.connect(server.url(database))
    try:
        return await connection.fetchval(statement)
    finally:
        await connection.close()


ComeBack = Callable[[], Awaitable[None]]
Way = Callable[[Place, PostgresServer, PostgresServer], Awaitable[ComeBack]]
"""Keep what an origin has at this moment; what is returned kills the origin and sets another server going with that."""


async def storage_snapshot(_place: Place, origin: PostgresServer, other: PostgresServer) -> ComeBack:
    """The disk of a server that was cut off from power, as the storage keeps it."""
    origin.kill()
    await asyncio.to_thread(copy, origin, other)
    origin.start()

    async def come_back() -> None:
        origin.kill()
        other.initialise()
        other.start()

    return come_back


async def point_in_time(place: Place, origin: PostgresServer, other: PostgresServer) -> ComeBack:
    """A base backup, and the archived log up to a moment: what comes back is on another timeline."""
    await asyncio.to_thread(place.base_backup, origin, other)
    await ask(origin, f"SELECT pg_create_restore_point('{RESTORE_POINT}')")

    async def come_back() -> None:
        last = await ask(origin, "SELECT pg_walfile_name(pg_switch_wal())")

        async def archived() -> bool:
            return (place.archive(origin) / str(last)).exists()

        await until(archived)
        origin.kill()
        other.initialise()
        place.configure(
            other,
            restore_command=f"cp {place.archive(origin)}/%f %p",
            recovery_target_name=RESTORE_POINT,
            recovery_target_action="promote",
            archive_mode="off",
        )
        (other.data / "recovery.signal").touch()
        place.give(other, other.data / "recovery.signal")
        other.start()

        async def leads() -> bool:
            return not await ask(other, "SELECT pg_is_in_recovery()")

        await until(leads)
        assert await ask(other, "SELECT timeline_id FROM pg_control_checkpoint()") == 2

    return come_back


async def failover(place: Place, origin: PostgresServer, other: PostgresServer) -> ComeBack:
    """A standby that had lost touch with its primary is promoted when that dies."""
    await asyncio.to_thread(place.base_backup, origin, other, "--write-recovery-conf")
    other.initialise()
    other.start()
    here = await ask(origin, "SELECT pg_current_wal_lsn()::text")

    async def level() -> bool:
        return bool(await ask(other, f"SELECT pg_last_wal_replay_lsn() >= '{here}'::pg_lsn"))

    await until(level)
    await ask(other, "ALTER SYSTEM SET primary_conninfo = ''")
    await ask(other, "SELECT pg_reload_conf()")

    async def alone() -> bool:
        return bool(await ask(other, "SELECT NOT EXISTS (SELECT FROM pg_stat_wal_receiver)"))

    await until(alone)

    async def come_back() -> None:
        origin.kill()
        assert await ask(other, "SELECT pg_promote()")

    return come_back


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
async def prepared(place: Place) -> PostgresServer:
    """A server that was stopped, with a database that has the kernel's tables, to be copied."""
    server = place.server()
    server.initialise()
    server.start()
    await databases.create_template(server.url(), TEMPLATE)
    server.stop()
    return server


@pytest.fixture
async def origin(place: Place, prepared: PostgresServer) -> PostgresServer:
    """The server that will be lost."""
    server = place.server()
    await asyncio.to_thread(copy, prepared, server)
    server.initialise()
    place.configure(server, archive_mode="on", archive_command=f"cp %p {place.archive(server)}/%f")
    server.start()
    return server


@dataclass
class Site:
    """A service whose API and relay are processes of their own, and whose database can be exchanged behind its address."""

    service: str
    client: httpx2.AsyncClient
    link: Link
    relay: asyncio.subprocess.Process
    kafka: str

    async def open(self, key: str, shelf: str = "a") -> str:
        answer = await self.client.post("/jars", json={"limit": 9, "shelf": shelf}, headers={"Idempotency-Key": key})
        assert answer.status_code == 201, answer.text
        return str(answer.json()["stream"])

    async def coin(self, jar: str, by: str) -> httpx2.Response:
        headers = {"Idempotency-Key": f"{jar} {by}"}
        return await self.client.post(f"/jars/{jar}/coins", json={"by": by}, headers=headers)

    async def coins(self, jar: str) -> list[str]:
        answer = await self.client.get(f"/jars/{jar}")
        assert answer.status_code == 200, answer.text
        return list(answer.json()["coins"])

    async def carried(self) -> None:
        async def all_of_it() -> bool:
            relay = (await self.client.get("/operations/relay")).json()
            return bool(relay["lag_rows"] == 0 and relay["verified"])

        await until(all_of_it)

    async def verification(self) -> Any:
        answer = await self.client.get("/operations/ledger/verification")
        assert answer.status_code == 200, answer.text
        *_, last = [line for line in answer.text.splitlines() if line]
        return httpx2.Response(200, text=last).json()["result"]

    async def tables(self, server: PostgresServer) -> dict[str, list[Any]]:
        pool = await create_pool(server.url(self.service), largest=1)
        found = {name: [tuple(row) for row in await pool.fetch(query)] for name, query in TABLES.items()}
        await pool.close()
        return found

    async def topic(self) -> dict[bytes | None, list[bytes]]:
        """What the topic holds of each stream, in order; what came again is left out."""
        log = TopicLog(KafkaAddress(self.kafka))
        extent = await log.extent(topic_of(self.service))
        found: dict[bytes | None, dict[bytes, None]] = defaultdict(dict)
        async for fetched in log.read(topic_of(self.service), extent.beginnings, extent.ends):
            for record in fetched.records:
                found[record.key][record.value or b""] = None
        return {key: list(values) for key, values in found.items()}


@asynccontextmanager
async def site_at(place: Place, origin: PostgresServer, kafka: str, issuer: str) -> AsyncIterator[Site]:
    service = f"drill-{uuid4().hex[:8]}"
    await ask(origin, f'CREATE DATABASE "{service}" TEMPLATE {TEMPLATE}')
    create_topic(kafka, topic_of("approvals"))
    create_topic(kafka, topic_of("projects"))
    create_topic(kafka, WATERMARK_TOPIC, partitions=1, compacted=True)
    create_topic(kafka, topic_of(service))
    link, port = Link(service, place.port(), origin.port), place.port()
    await link.start()
    database = origin.url(service).replace(f":{origin.port}/", f":{link.port}/")
    environment = environment_of(service, database, kafka, issuer, port)
    log = place.folder / f"{service}.log"
    async with (
        process("-m", MODULE, "api", environment=environment, log=log),
        process("-m", MODULE, "relay", environment={**environment, "GOV_HTTP_PORT": "0"}, log=log) as relay,
        client_of(port, issuer) as client,
    ):
        await until(lambda: answered(readiness(client), 200))
        yield Site(service, client, link, relay, kafka)
    await link.close()


@pytest.fixture
async def site(place: Place, origin: PostgresServer, kafka: str, issuer: str) -> AsyncIterator[Site]:
    async with AsyncExitStack() as stack:
        yield await stack.enter_async_context(site_at(place, origin, kafka, issuer))


@pytest.mark.parametrize("way", [storage_snapshot, point_in_time, failover])
async def test_a_database_that_was_set_back_takes_nothing_until_kafka_has_given_back_what_it_lost(
    site: Site, place: Place, origin: PostgresServer, way: Way
) -> None:
    other = place.server()
    old = await site.open("old")
    assert (await site.coin(old, "ana")).status_code == 200
    come_back = await way(place, origin, other)
    await until(lambda: taken(site.coin(old, "bo")))
    timed = await site.open("timed", LATER)
    later = [await site.open(f"later {number}") for number in range(20)]
    for jar in later:
        assert (await site.coin(jar, "cy")).status_code == 200
    await site.carried()
    before, seen = await site.tables(origin), await site.topic()

    # The relay stands still, as on a machine that was suspended: what it remembers is of a past that is gone.
    site.relay.send_signal(signal.SIGSTOP)
    await come_back()
    site.link.target = other.port

    async def back() -> bool:
        return (await site.client.get(f"/jars/{old}")).status_code == 200

    await until(back)
    assert await site.coins(old) == ["ana"], "the database was set back"
    for jar in (old, timed):
        refused = await site.coin(jar, "dee")
        assert refused.status_code == 503, refused.text
        assert int(refused.headers["retry-after"]) >= 1
        assert "verify" in refused.json()["detail"]
    assert await site.topic() == seen

    site.relay.send_signal(signal.SIGCONT)
    await site.carried()
    lost = 1 + 1 + 2 * len(later)
    assert (await site.client.get("/operations/relay")).json()["brought_back"] == lost
    assert await site.tables(other) == before
    assert await site.topic() == seen
    assert await site.coins(old) == ["ana", "bo"]

    repeated = await site.coin(old, "bo")
    assert (repeated.status_code, repeated.headers["gov-version"]) == (200, f"{old}@3")
    assert await site.open("timed", LATER) == timed
    assert (await site.coin(old, "dee")).headers["gov-version"] == f"{old}@4"
    await site.carried()
    found = await site.verification()
    assert (found["events"], found["unsent"], found["counts"]) == (len(before["events"]) + 1, 0, {})
    assert found["repeats"] <= len(before["events"]), (
        "what an older checkpoint does not count as sent is sent once more"
    )


async def taken(asked: Awaitable[httpx2.Response]) -> bool:
    return (await asked).is_success
