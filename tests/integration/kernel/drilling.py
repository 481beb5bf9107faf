"""A service over servers of its own that are lost, held up and filled, and what is looked at behind its back."""

import asyncio
import os
import pwd
import shutil
import subprocess
import tempfile
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import asyncpg
import httpx2
from tests.faults.proxy import Link
from tests.integration.kernel.serving import MODULE, answered, client_of, environment_of, process, readiness, until
from tests.support.topics import create_topic

from gov.runtime.ports import Ports
from gov.runtime.postgres import PostgresServer
from gov.runtime.process import running_as_root
from govevents.catalogue import WATERMARK_TOPIC, topic_of
from govkernel.kafka import KafkaAddress, TopicLog
from govkernel.postgres import create_pool

PASSWORD: Final = "for-tests-only"
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

    def server(self, folder: Path | None = None) -> PostgresServer:
        made = PostgresServer(folder or self.folder / str(len(self._servers)), self.port(), PASSWORD)
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

    def keep_log(self, server: PostgresServer) -> None:
        """Let a server archive its write-ahead log; it takes effect when it starts."""
        # Under another name until it is whole, for a server that is killed leaves half of what it was copying.
        folder = self.archive(server)
        self.configure(
            server,
            archive_mode="on",
            archive_command=f"cp %p {folder}/copying-%f && mv {folder}/copying-%f {folder}/%f",
        )

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


@dataclass
class Site:
    """A service by its processes, one a role, whose database can be exchanged or cut off behind its address."""

    service: str
    client: httpx2.AsyncClient
    port: int
    server: PostgresServer
    link: Link
    processes: dict[str, asyncio.subprocess.Process]
    kafka: str

    def move_to(self, server: PostgresServer) -> None:
        """Let the service find another server where the one before was."""
        self.server, self.link.target = server, server.port

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
async def site_at(
    place: Place,
    origin: PostgresServer,
    kafka: str,
    issuer: str,
    *,
    roles: Sequence[str] = ("api", "relay"),
    **environment: str,
) -> AsyncIterator[Site]:
    """A service over a fresh database of a server; the first of its processes is the one that answers."""
    service = f"drill-{uuid4().hex[:8]}"
    await ask(origin, f'CREATE DATABASE "{service}" TEMPLATE {TEMPLATE}')
    create_topic(kafka, topic_of("approvals"))
    create_topic(kafka, topic_of("projects"))
    create_topic(kafka, WATERMARK_TOPIC, partitions=1, compacted=True)
    create_topic(kafka, topic_of(service))
    link, port = Link(service, place.port(), origin.port), place.port()
    await link.start()
    database = origin.url(service).replace(f":{origin.port}/", f":{link.port}/")
    known = {**environment_of(service, database, kafka, issuer, port), **environment}
    log = place.folder / f"{service}.log"
    async with AsyncExitStack() as stack:
        stack.push_async_callback(link.close)
        processes = {}
        for role in roles:
            its_own = {} if role == roles[0] else {"GOV_HTTP_PORT": "0"}
            began = process("-m", MODULE, role, environment={**known, **its_own}, log=log)
            processes[role] = await stack.enter_async_context(began)
        client = await stack.enter_async_context(client_of(port, issuer))
        try:
            await until(lambda: answered(readiness(client), 200))
        except AssertionError as error:
            error.add_note(log.read_text("utf-8")[-3000:])
            raise
        yield Site(service, client, port, origin, link, processes, kafka)


async def taken(asked: Awaitable[httpx2.Response]) -> bool:
    return (await asked).is_success
