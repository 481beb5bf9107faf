"""The whole system, started as its users start it, and what a test may do to it: ask, look into it, break parts of it."""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Final
from uuid import NAMESPACE_URL, UUID, uuid5

import asyncpg
import httpx2
import psutil

from gov.client.addresses import WEB
from gov.issuer.people import accounts
from gov.runtime import process
from gov.runtime.ports import choose_ports
from gov.runtime.state import State
from gov.runtime.supervisor import ChildState, ChildStatus
from gov.runtime.system import ISSUER, SERVICES, LocalSystem, Service
from govevents.catalogue import topic_of
from govkernel.kafka import KafkaAddress, KafkaUnavailable, TopicLog

CHECKOUT: Final = Path(__file__).resolve().parents[2]
MAPPINGS: Final = CHECKOUT / "deploy" / "mappings"
GOV: Final = Path(sys.executable).with_name("gov")
NAMES: Final = tuple(service.name for service in SERVICES)
POLL_S: Final = 0.1
ARRIVAL_S: Final = 30.0


def subject(username: str) -> str:
    """The id that the demo issuer's account has in every service."""
    return str(uuid5(NAMESPACE_URL, f"{ISSUER}|{accounts()[username].sub}"))


async def eventually(what: str, found: Callable[[], Awaitable[Any]], *, within_s: float = 30.0) -> Any:
    """What a function returns as soon as that is true. Fails after so many seconds, saying what did not come about."""
    deadline = time.monotonic() + within_s
    while not (answer := await found()):
        assert time.monotonic() < deadline, f"not within {within_s:g} s: {what}; last seen: {answer!r}"
        await asyncio.sleep(POLL_S)
    return answer


@dataclass(frozen=True)
class Said:
    """What the command `gov` has said: its exit code, what it printed, and that as JSON where it is."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """The document on stdout."""
        try:
            return json.loads(self.out)
        except ValueError:
            raise AssertionError(f"exit code {self.code}, no JSON: {self.out[:2000]!r} {self.err[:2000]!r}") from None


@dataclass(frozen=True)
class Entry:
    """An event as a ledger keeps it."""

    stream: UUID
    version: int
    type: str
    document: bytes
    hash: bytes


class RunningSystem:
    """A system in a state folder of its own, on free ports. `environment` is what a shell needs to speak to it."""

    def __init__(self, home: Path) -> None:
        ports = choose_ports(len(SERVICES))
        services = [Service(each.name, port) for each, port in zip(SERVICES, ports, strict=True)]
        self.local = LocalSystem(State(home), services)
        self.names = tuple(service.name for service in services)
        self.environment = environment_of(home)
        self.killed: Counter[str] = Counter()
        self._tokens: dict[str, str] = {}
        # Services are killed and come back, so no connection is kept.
        self._http = httpx2.Client(limits=httpx2.Limits(max_keepalive_connections=0))

    def address(self, service: str) -> str:
        """Where a service answers."""
        return self.local.status().addresses[service]

    def gov(self, *arguments: str, timeout_s: float = 250) -> Said:
        """Run the command to its end, in a process of its own."""
        done = subprocess.run(
            [GOV, *arguments],
            env=self.environment,
            cwd=CHECKOUT,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )
        return Said(done.returncode, done.stdout, done.stderr)

    def begin(self, *arguments: str) -> subprocess.Popen[str]:
        """Start the command and go on."""
        return subprocess.Popen(
            [GOV, *arguments],
            env=self.environment,
            cwd=CHECKOUT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def token(self, username: str) -> str:
        """A token of a person of the demo issuer."""
        if username not in self._tokens:
            answered = self._http.post(f"{self.address('issuer')}/token", data={"username": username})
            self._tokens[username] = answered.raise_for_status().json()["access_token"]
        return self._tokens[username]

    def ask(self, username: str | None, service: str, path: str, **parameters: str) -> httpx2.Response:
        """GET as a person."""
        return self.send("GET", username, service, path, params=parameters)

    def say(
        self, username: str | None, service: str, path: str, body: Any, *, key: str | None = None, **headers: str
    ) -> httpx2.Response:
        """POST as a person; a header's name is given with underscores."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if key is not None:
            sent["Idempotency-Key"] = key
        return self.send("POST", username, service, path, json=body, headers=sent)

    def send(self, method: str, username: str | None, service: str, path: str, **request: Any) -> httpx2.Response:
        """Any request, as a person or as nobody."""
        headers = {**(request.pop("headers", None) or {})}
        if username is not None:
            headers["Authorization"] = f"Bearer {self.token(username)}"
        timeout_s = request.pop("timeout_s", 30.0)
        return self._http.request(method, self.address(service) + path, headers=headers, timeout=timeout_s, **request)

    def done(self, username: str, service: str, path: str, body: Any, **headers: str) -> Any:
        """POST what must be taken; sent again while something it names has not arrived at that service."""
        deadline = time.monotonic() + ARRIVAL_S
        while True:
            answered = self.say(username, service, path, body, **headers)
            if answered.status_code not in (403, 404, 503) or time.monotonic() > deadline:
                break
            time.sleep(POLL_S)
        assert answered.is_success, f"POST {path}: {answered.status_code} {answered.text}"
        return answered.json()

    def child(self, name: str) -> ChildStatus:
        """A process of the system as it stands now."""
        return next(child for child in self.local.status().children if child.name == name)

    def kill(self, name: str) -> int:
        """Kill a process and all its descendants without warning, and return how often it had been started again."""
        child = self.child(name)
        assert child.process is not None, f"{name} is {child.state.value}"
        process.kill_family(child.process.pid)
        self.killed[name] += 1
        return child.restarts

    def ended_unasked(self) -> dict[str, list[str]]:
        """The processes that have ended more often than they were killed, each with the last lines of its log."""
        return {
            child.name: process.last_lines(self.local.state.logs / f"{child.name}.log", 60)
            for child in self.local.status().children
            if child.restarts > self.killed[child.name]
        }

    async def wait_restarted(self, name: str, restarts: int) -> None:
        """Wait until the supervisor has started a process again, and it is ready."""

        async def back() -> bool:
            child = self.child(name)
            return child.restarts > restarts and child.state is ChildState.READY

        await eventually(f"{name} is ready again", back, within_s=90)

    async def wait_ready(self) -> None:
        """Wait until every service says that it is."""

        async def ready() -> bool:
            with contextlib.suppress(httpx2.TransportError):
                return all(self.ask(None, name, "/readyz").is_success for name in self.names)
            return False

        await eventually("every service is ready", ready, within_s=90)

    @contextlib.contextmanager
    def frozen(self, name: str) -> Iterator[None]:
        """Let a process and all its descendants stand still."""
        child = self.child(name)
        assert child.process is not None, f"{name} is {child.state.value}"
        parent = psutil.Process(child.process.pid)
        family = [parent, *parent.children(recursive=True)]
        try:
            for each in family:
                with contextlib.suppress(psutil.NoSuchProcess):
                    each.send_signal(signal.SIGSTOP)
            yield
        finally:
            for each in family:
                with contextlib.suppress(psutil.NoSuchProcess):
                    each.send_signal(signal.SIGCONT)

    async def fetch(self, service: str, query: str, *parameters: Any) -> list[asyncpg.Record]:
        """Rows from a service's database, read as the service itself."""
        return await fetch(self.local, service, query, *parameters)

    async def event_count(self, service: str) -> int:
        """How many events a service's ledger has."""
        return await event_count(self.local, service)

    async def event_counts(self) -> dict[str, int]:
        """How many events each ledger has."""
        return {name: await self.event_count(name) for name in NAMES}

    async def ledger(self, service: str) -> list[Entry]:
        """Every event of a service, in the order of its ledger."""
        rows = await self.fetch(service, "SELECT stream, version, type, document, hash FROM events ORDER BY seq")
        return [Entry(*row) for row in rows]

    async def topic(self, service: str) -> list[tuple[bytes | None, bytes | None]]:
        """Keys and values of a service's topic, in order within each partition."""
        log = TopicLog(KafkaAddress(self.address("kafka")))
        extent = await log.extent(topic_of(service))
        return [
            (record.key, record.value)
            async for fetched in log.read(topic_of(service), extent.beginnings, extent.ends)
            for record in fetched.records
        ]

    async def wait_carried(self, service: str) -> None:
        """Wait until the relay has carried the whole ledger to Kafka."""

        async def carried() -> bool:
            try:
                return missing_from(await self.ledger(service), await self.topic(service)) == 0
            except KafkaUnavailable:
                return False

        await eventually(f"every event of {service} is on its topic", carried)

    async def wait_read(self, reader: str) -> None:
        """Wait until every consumer of a service has read all that the ledgers had when this was asked."""
        for service in self.names:
            await self.wait_carried(service)
        log = TopicLog(KafkaAddress(self.address("kafka")))
        ends = {topic_of(name): sum((await log.extent(topic_of(name))).ends.values()) for name in self.names}
        query = """
            SELECT consumer, topic, sum(next_offset) AS read FROM consumer_partitions
            WHERE consumer NOT IN (SELECT name || '/' || build FROM read_model_builds WHERE state <> 'live')
            GROUP BY consumer, topic"""

        async def read() -> bool:
            return all(row["read"] >= ends[row["topic"]] for row in await self.fetch(reader, query))

        await eventually(f"{reader} has read every topic", read, within_s=60)

    async def node_status(self, service: str, node: str) -> str | None:
        """A project's status as a service has heard of it, None where it has not heard of it."""
        rows = await self.fetch(service, "SELECT status FROM read.nodes WHERE node = $1", UUID(node))
        return str(rows[0]["status"]) if rows else None


async def fetch(local: LocalSystem, service: str, query: str, *parameters: Any) -> list[asyncpg.Record]:
    """Rows from a service's database, read as the service itself."""
    connection = await asyncpg.connect(local.environment(service)["GOV_DATABASE_URL"], timeout=10)
    try:
        return await connection.fetch(query, *parameters)
    finally:
        await connection.close()


async def event_count(local: LocalSystem, service: str) -> int:
    """How many events a service's ledger has."""
    return int((await fetch(local, service, "SELECT count(*) FROM events"))[0][0])


def environment_of(home: Path) -> dict[str, str]:
    """The environment of a shell that speaks to a state folder's system, and to no other."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("GOV_", "MAKE", "MFLAGS"))}
    for name in WEB:
        kept.pop(name.upper(), None)
    return {**kept, "GOV_HOME": str(home), "COLUMNS": "200", "NO_COLOR": "1"}


def broken_chains(entries: list[Entry]) -> list[str]:
    """Where a ledger's streams have gaps, or an event does not carry the hash of the one before it."""
    heads: dict[UUID, tuple[int, str | None]] = defaultdict(lambda: (0, None))
    broken = []
    for entry in entries:
        version, before = heads[entry.stream]
        document = json.loads(entry.document)
        identity = f"{entry.stream}@{entry.version}"
        if entry.version != version + 1 or document["id"] != identity:
            broken.append(f"{identity} follows version {version}, and says it is {document['id']}")
        if document.get("prevhash") != before:
            broken.append(f"{identity} does not chain")
        if sha256(entry.document).digest() != entry.hash:
            broken.append(f"{identity} has not its document's hash")
        heads[entry.stream] = (entry.version, entry.hash.hex())
    return broken


def missing_from(entries: list[Entry], records: list[tuple[bytes | None, bytes | None]]) -> int:
    """How many events of a ledger a topic has not."""
    carried = {value for _, value in records}
    return sum(entry.document not in carried for entry in entries)


def foreign_to(entries: list[Entry], records: list[tuple[bytes | None, bytes | None]]) -> list[Any]:
    """What a topic has and the ledger has not, or has under another key."""
    keys = {entry.document: str(entry.stream).encode() for entry in entries}
    return [(key, value) for key, value in records if value is None or keys.get(value) != key]


def misordered_in(entries: list[Entry], records: list[tuple[bytes | None, bytes | None]]) -> list[str]:
    """Events that a topic has for the first time after a later one of their stream."""
    places = {entry.document: entry for entry in entries}
    newest: Counter[UUID] = Counter()
    wrong = []
    for _, value in records:
        entry = places.get(value or b"")
        if entry is None or entry.version <= newest[entry.stream]:
            continue
        if entry.version != newest[entry.stream] + 1:
            wrong.append(f"{entry.stream}@{entry.version} came after version {newest[entry.stream]}")
        newest[entry.stream] = entry.version
    return wrong


def problem(answered: httpx2.Response) -> Mapping[str, Any]:
    """The problem document of an answer."""
    assert answered.headers["content-type"] == "application/problem+json", answered.text
    document: Mapping[str, Any] = answered.json()
    return document
