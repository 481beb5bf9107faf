"""The real parts of a run: PostgreSQL, three brokers, the issuer, and a seat with links of its own for each replica."""

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Self

import httpx2
import msgspec
import psutil
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from tests.faults.bugs import plant_in_database
from tests.faults.crash import Crash
from tests.faults.proxy import Link
from tests.faults.services import Names
from tests.faults.worker import VARIABLE, Kind, Told
from tests.support import databases

from gov.issuer.key import load_or_make
from gov.runtime import process
from gov.runtime.jars import JarCache
from gov.runtime.java import find_java
from gov.runtime.kafka import KafkaBroker, Node, new_cluster_id
from gov.runtime.ports import LOOPBACK, Ports
from gov.runtime.postgres import PostgresServer
from govevents.catalogue import WATERMARK_TOPIC, topic_of

CHECKOUT: Final = Path(__file__).resolve().parents[2]
BROKERS: Final = 3
HEAP_MB: Final = 384
PARTITIONS: Final = 12
ISSUER: Final = "http://faults.gatehouse.localhost"
USERNAME: Final = "olu"
SEATS: Final[tuple[tuple[str, Kind], ...]] = (
    ("jars-1", "jars"),
    ("jars-2", "jars"),
    ("jars-3", "jars"),
    ("tallies-1", "tallies"),
    ("tallies-2", "tallies"),
)
JOINING: Final = "jars-3"
"""The seat of a member that joins and leaves; the others are there from the beginning."""
PASSWORD: Final = "for-tests-only"
TEMPLATE: Final = "faults_template"


def _family(pid: int) -> Iterator[psutil.Process]:
    with contextlib.suppress(psutil.NoSuchProcess):
        parent = psutil.Process(pid)
        yield parent
        yield from parent.children(recursive=True)


def stand_still(pid: int) -> None:
    """SIGSTOP a process and all its descendants."""
    for each in _family(pid):
        with contextlib.suppress(psutil.NoSuchProcess):
            each.suspend()


def go_on(pid: int) -> None:
    """SIGCONT a process and all its descendants."""
    for each in _family(pid):
        with contextlib.suppress(psutil.NoSuchProcess):
            each.resume()


@dataclass(slots=True)
class Seat:
    """Where a replica sits: its port, its links to everything it needs, and its process while it runs."""

    name: str
    kind: Kind
    port: int
    api: Link
    postgres: Link
    brokers: tuple[Link, ...]
    log: Path
    running: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """The process number while it runs."""
        return self.running.pid if self.running is not None and self.running.poll() is None else None

    @property
    def links(self) -> tuple[Link, ...]:
        """All links of this replica."""
        return (self.api, self.postgres, *self.brokers)

    def kill(self) -> None:
        """Kill it without warning."""
        if self.running is not None:
            process.kill_family(self.running.pid)
            self.running.wait()
            self.running = None

    def leave(self) -> None:
        """Ask it to stop, which lets it drain."""
        if self.running is not None and self.running.poll() is None:
            self.running.send_signal(signal.SIGTERM)


@dataclass(slots=True)
class Servers:
    """Everything but the load and the breaks. Use it as an asynchronous context from the main thread."""

    folder: Path = field(default_factory=lambda: Path(tempfile.mkdtemp(prefix="gatehouse-faults-")))
    brokers: tuple[KafkaBroker, ...] = ()
    peers: tuple[Link, ...] = ()
    seats: dict[str, Seat] = field(default_factory=dict)
    token: str = ""
    _ports: Ports = field(default_factory=Ports)
    _postgres: PostgresServer | None = None
    _admin_ports: tuple[int, ...] = ()
    _issuer: subprocess.Popen[bytes] | None = None
    _issuer_port: int = 0
    _urls: dict[Kind, str] = field(default_factory=dict)
    _names: Names = field(default_factory=lambda: Names.of(""))
    _round: str = ""

    @property
    def postgres(self) -> PostgresServer:
        """The database server."""
        assert self._postgres is not None, "the servers were started"
        return self._postgres

    @property
    def kafka(self) -> str:
        """The brokers' own addresses, past every link."""
        return ",".join(f"{LOOPBACK}:{port}" for port in self._admin_ports)

    @property
    def links(self) -> tuple[Link, ...]:
        """Every link there is."""
        return (*self.peers, *(link for seat in self.seats.values() for link in seat.links))

    def database(self, kind: Kind) -> str:
        """The address of a service's database in this round, past every link."""
        return self._urls[kind]

    @property
    def names(self) -> Names:
        """What the services of this round are called."""
        return self._names

    async def __aenter__(self) -> Self:
        if process.running_as_root():
            self.folder.chmod(0o711)
        try:
            self._lay_out()
            for link in self.links:
                await link.start()
            await self._start_servers()
            await self._start_issuer()
        except BaseException:
            await self.close()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Kill everything."""
        for seat in self.seats.values():
            seat.kill()
        for broker in self.brokers:
            broker.kill()
        if self._postgres is not None:
            self._postgres.kill()
        if self._issuer is not None:
            process.kill_family(self._issuer.pid)
            self._issuer.wait()
            self._issuer = None
        for link in self.links:
            await link.close()
        self._ports.close()

    def forget(self) -> None:
        """Delete every file."""
        if self._postgres is not None:
            self._postgres.forget()
        shutil.rmtree(self.folder, ignore_errors=True)

    async def begin_round(self, round_: str, bug: str | None = None) -> None:
        """Fresh databases and topics, under names of this round's own, with what is wrong with the databases."""
        self._round, self._names = round_, Names.of(round_)
        admin = self.postgres.url()
        self._urls = {
            "jars": await databases.create_database(admin, TEMPLATE),
            "tallies": await databases.create_database(admin, TEMPLATE),
        }
        for url in self._urls.values():
            await plant_in_database(bug, url)
        names = (self._names.jars, self._names.tallies, self._names.mint)
        await self._create_topics([topic_of(name) for name in names])

    async def end_round(self, *, forget: bool = True) -> None:
        """End every replica of the round, and forget what it had, unless somebody is to look at it."""
        for seat in self.seats.values():
            seat.kill()
        if not forget:
            return
        for url in self._urls.values():
            await databases.drop_database(self.postgres.url(), url)
        names = (self._names.jars, self._names.tallies, self._names.mint)
        admin = AIOKafkaAdminClient(bootstrap_servers=self.kafka)
        await admin.start()
        try:
            await admin.delete_topics([topic_of(name) for name in names])
        finally:
            await admin.close()

    def start_replica(
        self, name: str, *, clock_offset_s: float = 0.0, bug: str | None = None, crash: Crash | None = None
    ) -> None:
        """Start a replica without waiting for it."""
        seat = self.seats[name]
        assert seat.pid is None, f"{name} runs already"
        told = Told(seat.kind, self._round, clock_offset_s, bug, crash)
        url = self._urls[seat.kind].replace(f":{self.postgres.port}/", f":{seat.postgres.port}/")
        environment = {name: value for name, value in os.environ.items() if not name.startswith("GOV_")} | {
            VARIABLE: msgspec.json.encode(told).decode(),
            "PYTHONPATH": os.pathsep.join(filter(None, [str(CHECKOUT), os.environ.get("PYTHONPATH")])),
            "GOV_DATABASE_URL": url,
            "GOV_KAFKA_BOOTSTRAP_SERVERS": ",".join(f"{LOOPBACK}:{link.port}" for link in seat.brokers),
            "GOV_HTTP_PORT": str(seat.port),
            "GOV_OIDC_ISSUER": ISSUER,
            "GOV_OIDC_JWKS_URL": f"http://{LOOPBACK}:{self._issuer_port}/jwks",
        }
        command = [sys.executable, "-m", "tests.faults.worker", "all"]
        seat.running = process.spawn(command, log=seat.log, env=environment, cwd=CHECKOUT)

    async def ready(self, name: str) -> bool:
        """Whether a replica says, past its link, that it is ready."""
        try:
            async with httpx2.AsyncClient(timeout=5) as client:
                return (await client.get(f"http://{LOOPBACK}:{self.seats[name].port}/readyz")).status_code == 200
        except httpx2.TransportError:
            return False

    def _lay_out(self) -> None:
        choose = self._ports.choose
        self._postgres = PostgresServer(self.folder / "postgres", choose(), PASSWORD)
        ports = [(choose(), choose(), choose()) for _ in range(BROKERS)]
        self._admin_ports = tuple(admin for _, _, admin in ports)
        # What brokers say to each other goes through these, by whom it is said to.
        data = [Link(f"broker-{n}", choose(), port) for n, (port, _, _) in enumerate(ports, start=1)]
        control = [Link(f"controller-{n}", choose(), port) for n, (_, port, _) in enumerate(ports, start=1)]
        self.peers = (*data, *control)
        for name, kind in SEATS:
            port = choose()
            self.seats[name] = Seat(
                name,
                kind,
                port,
                Link(f"{name}/api", choose(), port),
                Link(f"{name}/postgres", choose(), self.postgres.port),
                tuple(Link(f"{name}/broker-{n}", choose(), choose()) for n in range(1, BROKERS + 1)),
                self.folder / f"{name}.log",
            )
        cluster, cache, java = new_cluster_id(), JarCache(), find_java()
        nodes = tuple(Node(n, data[n - 1].port, control[n - 1].port, data[n - 1].port) for n in range(1, BROKERS + 1))
        self.brokers = tuple(
            KafkaBroker(
                self.folder / "kafka" / str(n),
                port,
                controller,
                advertised_port=data[n - 1].port,
                number=n,
                nodes=nodes,
                cluster_id=cluster,
                heap_mb=HEAP_MB,
                settings=self._listeners(n, port, controller, admin, data[n - 1].port),
                cache=cache,
                java=java,
            )
            for n, (port, controller, admin) in enumerate(ports, start=1)
        )

    def _listeners(self, number: int, port: int, controller: int, admin: int, advertised: int) -> dict[str, str]:
        """A listener for each seat, so that each replica's link to each broker can be broken by itself."""
        seats = {f"SEAT{place}": seat.brokers[number - 1] for place, seat in enumerate(self.seats.values())}
        at = f"://{LOOPBACK}:"
        mine = [
            f"PLAINTEXT{at}{port}",
            f"ADMIN{at}{admin}",
            *(f"{name}{at}{link.target}" for name, link in seats.items()),
        ]
        told = [
            f"PLAINTEXT{at}{advertised}",
            f"ADMIN{at}{admin}",
            *(f"{name}{at}{link.port}" for name, link in seats.items()),
        ]
        return {
            "listeners": ",".join([*mine, f"CONTROLLER{at}{controller}"]),
            "advertised.listeners": ",".join(told),
            "listener.security.protocol.map": ",".join(
                f"{name}:PLAINTEXT" for name in ("PLAINTEXT", "ADMIN", "CONTROLLER", *seats)
            ),
            "num.network.threads": "1",
            # So that a broker that stands still is noticed within a fault run, and not by its clients alone.
            "replica.lag.time.max.ms": "5000",
            "controller.quorum.fetch.timeout.ms": "3000",
            "controller.quorum.election.timeout.ms": "1500",
        }

    async def _start_servers(self) -> None:
        # Both wait for other programs; what they start must be started by this thread, with which it ends.
        with ThreadPoolExecutor(3) as pool:
            loop = asyncio.get_running_loop()
            await loop.run_in_executor(pool, self.brokers[0].initialise)
            await asyncio.gather(
                loop.run_in_executor(pool, self.postgres.initialise),
                *(loop.run_in_executor(pool, broker.initialise) for broker in self.brokers[1:]),
            )
        self.postgres.launch()
        for broker in self.brokers:
            broker.launch()
        await asyncio.to_thread(self.postgres.wait_until_ready)
        await databases.create_template(self.postgres.url(), TEMPLATE)
        for broker in self.brokers:
            await asyncio.to_thread(broker.wait_until_ready)
        await self._create_topics([topic_of("approvals"), topic_of("projects")])
        await self._create_topics([WATERMARK_TOPIC], partitions=1, policy="compact")

    async def _create_topics(self, topics: list[str], *, partitions: int = PARTITIONS, policy: str = "delete") -> None:
        admin = AIOKafkaAdminClient(bootstrap_servers=self.kafka)
        await admin.start()
        try:
            settings = {"cleanup.policy": policy, "retention.ms": "-1"}
            wanted = [NewTopic(topic, partitions, BROKERS, topic_configs=settings) for topic in topics]
            answer: Any = await admin.create_topics(wanted)
            refused = [each for each in answer.topic_errors if each[1]]
            assert not refused, f"Kafka refused to create topics: {refused}"
        finally:
            await admin.close()

    async def _start_issuer(self) -> None:
        self._issuer_port = self._ports.choose()
        key = self.folder / "issuer.pem"
        load_or_make(key)
        environment = {name: value for name, value in os.environ.items() if not name.startswith("GOV_")} | {
            "GOV_DEMO": "1",
            "GOV_ISSUER_PORT": str(self._issuer_port),
            "GOV_ISSUER_KEY_FILE": str(key),
            "GOV_OIDC_ISSUER": ISSUER,
        }
        command = [sys.executable, "-m", "gov.issuer"]
        self._issuer = process.spawn(command, log=self.folder / "issuer.log", env=environment, cwd=CHECKOUT)
        async with httpx2.AsyncClient() as client, asyncio.timeout(60):
            while not self.token:
                try:
                    answer = await client.post(
                        f"http://{LOOPBACK}:{self._issuer_port}/token", data={"username": USERNAME}
                    )
                    self.token = answer.json()["access_token"]
                except httpx2.TransportError:
                    await asyncio.sleep(0.05)
