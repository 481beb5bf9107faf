"""A real Apache Kafka (KRaft) from its Maven jars on the loopback address.

`python -m gov.runtime.kafka` keeps what Java learns of a start, so that later ones take a third of the time.
"""

import base64
import contextlib
import fcntl
import hashlib
import os
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from gov.runtime import process
from gov.runtime.jars import JarCache, read_lock
from gov.runtime.java import Java, find_java
from gov.runtime.ports import LOOPBACK, Ports
from gov.runtime.state import cache_folder

STOP_SIGNAL = signal.SIGTERM

FIRST_JAVA_WITH_ARCHIVES = 25
ARCHIVING_TIMEOUT_S = 300.0
ARCHIVING_GRACE_S = 5.0
POLITENESS = 5
"""How far making an archive stands back behind what people wait for."""

LOG_SETTINGS = """\
status = error
appender.console.type = Console
appender.console.name = console
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = %d{ISO8601} %p %m (%c)%n
rootLogger.level = warn
rootLogger.appenderRef.console.ref = console
logger.server.name = kafka.server.KafkaRaftServer
logger.server.level = info
"""


class KafkaError(Exception):
    """Kafka could not be prepared or started; the message says why and has the last lines of its log."""


@dataclass(frozen=True, slots=True)
class Node:
    """A broker's number and ports; `advertised_port` is where clients are sent, if not to `port`."""

    number: int
    port: int
    controller_port: int
    advertised_port: int | None = None


class KafkaBroker:
    """One broker that is also a controller, alone or with the other nodes of a cluster.

    `heap_mb` is Java's largest heap in mebibytes. `settings` go into server.properties last, and win. With
    `quick_start` Java compiles less: it is ready sooner and lighter on a small machine, and slower at its peak; it
    also uses the archive of an earlier start. `archive_to` is where Java leaves one when the broker has ended.
    """

    def __init__(
        self,
        folder: Path,
        port: int,
        controller_port: int,
        *,
        advertised_port: int | None = None,
        number: int = 1,
        nodes: Sequence[Node] = (),
        cluster_id: str | None = None,
        heap_mb: int = 512,
        quick_start: bool = True,
        settings: dict[str, str] | None = None,
        cache: JarCache | None = None,
        java: Java | None = None,
        archive_to: Path | None = None,
    ) -> None:
        self.folder = folder.resolve()
        self.node = Node(number, port, controller_port, advertised_port)
        self.nodes = tuple(nodes) or (self.node,)
        self.cluster_id = cluster_id
        self.heap_mb = heap_mb
        self.quick_start = quick_start
        self.settings = settings or {}
        self.cache = cache or JarCache()
        self.java = java or find_java()
        self.archive_to = archive_to
        self.data = self.folder / "data"
        self.log = self.folder / "kafka.log"
        self.class_path: tuple[Path, ...] = ()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        """Where clients connect, as host:port."""
        return f"{LOOPBACK}:{self.node.advertised_port or self.node.port}"

    @property
    def pid(self) -> int | None:
        """The process number while the broker that `start` started runs."""
        return self._process.pid if self._process is not None and self._process.poll() is None else None

    def initialise(self) -> None:
        """Get the jars, write the settings, and format the data folder once. Raises JarRefused, KafkaError."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.class_path = self.cache.class_path(read_lock())
        (self.folder / "log4j2.properties").write_text(LOG_SETTINGS, encoding="utf-8")
        properties = self.folder / "server.properties"
        properties.write_text("".join(f"{key}={value}\n" for key, value in self._properties().items()), "utf-8")
        if (self.data / "meta.properties").exists():
            return
        cluster_id = self.cluster_id or new_cluster_id()
        done = subprocess.run(
            [
                *self._java_command(heap_mb=128, quick_start=True),
                *("kafka.tools.StorageTool", "format", "--ignore-formatted"),
                *("--cluster-id", cluster_id, "--config", str(properties)),
            ],
            capture_output=True,
            text=True,
            check=False,
            cwd=self.folder,
        )
        if done.returncode != 0:
            raise KafkaError(f"Kafka's storage could not be formatted:\n{done.stdout}{done.stderr}".strip())

    def command(self) -> list[str]:
        """Return the command that runs the broker in the foreground; `initialise` came before."""
        # Java watches the broker alone: whatever else it runs here would only leave an archive of its own.
        watched = [] if self.archive_to is None else [f"-XX:AOTCacheOutput={self.archive_to}"]
        return [
            *self._java_command(self.heap_mb, quick_start=self.quick_start),
            *watched,
            "kafka.Kafka",
            str(self.folder / "server.properties"),
        ]

    def start(self, timeout_s: float = 90) -> None:
        """Start the broker as a child of this thread and wait until it is ready. Raises KafkaError."""
        self.launch()
        self.wait_until_ready(timeout_s)

    def launch(self) -> None:
        """Start the broker as a child of this thread without waiting for it; `initialise` came before."""
        if self.pid is not None:
            return
        self._process = process.spawn(self.command(), log=self.log, env={}, cwd=self.folder, stop_signal=STOP_SIGNAL)

    def wait_until_ready(self, timeout_s: float = 90) -> None:
        """Wait until the launched broker answers. Raises KafkaError if it ends or takes longer."""
        deadline = time.monotonic() + timeout_s
        while not self.ready():
            if self.pid is None:
                raise KafkaError("\n".join(["Kafka ended while starting:", *process.last_lines(self.log)]))
            if time.monotonic() > deadline:
                self.stop()
                lines = process.last_lines(self.log)
                raise KafkaError("\n".join([f"Kafka was not ready after {timeout_s:.0f} s:", *lines]))
            time.sleep(0.1)

    def stop(self, grace_s: float = 30) -> None:
        """Hand over leadership, write everything and stop; kill after the grace."""
        if self._process is not None:
            process.stop(self._process, STOP_SIGNAL, grace_s)
            self._process = None

    def kill(self) -> None:
        """Kill the broker without warning."""
        if self._process is not None:
            process.kill_family(self._process.pid)
            self._process.wait()
            self._process = None

    def ready(self) -> bool:
        """Say whether the broker answers a client now, which it does once the controller has let it in."""
        api_versions_request = struct.pack(">ihhih", 10, 18, 0, 1, -1)
        try:
            with socket.create_connection((LOOPBACK, self.node.port), timeout=1) as connection:
                connection.sendall(api_versions_request)
                return len(connection.recv(8)) == 8
        except OSError:
            return False

    def _java_command(self, heap_mb: int, *, quick_start: bool) -> list[str]:
        pace = []
        if quick_start:
            pace = ["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"]
            archive = archive_of(self.java, self.class_path)
            if archive is not None and archive.exists():
                # Java leaves an archive that does not fit aside, and would say so in many lines.
                pace += [f"-XX:AOTCache={archive}", "-Xlog:aot*=off"]
        quiet = []
        if self.java.version >= 24:
            # Kafka's compression libraries load native code and use what later Javas will take away.
            quiet = ["--enable-native-access=ALL-UNNAMED", "--sun-misc-unsafe-memory-access=allow"]
        return [
            str(self.java.path),
            f"-Xmx{heap_mb}m",
            "-XX:+ExitOnOutOfMemoryError",
            "-Djava.awt.headless=true",
            f"-Dlog4j2.configurationFile={self.folder / 'log4j2.properties'}",
            *pace,
            *quiet,
            "-cp",
            ":".join(str(path) for path in self.class_path),
        ]

    def _properties(self) -> dict[str, str]:
        replicas = min(3, len(self.nodes))
        in_sync = max(1, replicas - 1)
        return {
            "process.roles": "broker,controller",
            "node.id": str(self.node.number),
            "controller.quorum.voters": ",".join(
                f"{node.number}@{LOOPBACK}:{node.controller_port}" for node in self.nodes
            ),
            "controller.listener.names": "CONTROLLER",
            "listeners": (
                f"PLAINTEXT://{LOOPBACK}:{self.node.port},CONTROLLER://{LOOPBACK}:{self.node.controller_port}"
            ),
            "advertised.listeners": f"PLAINTEXT://{self.address}",
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
            "log.dirs": str(self.data),
            "auto.create.topics.enable": "false",
            "default.replication.factor": str(replicas),
            "min.insync.replicas": str(in_sync),
            "log.retention.ms": "-1",
            "offsets.topic.num.partitions": "1",
            "offsets.topic.replication.factor": str(replicas),
            "transaction.state.log.num.partitions": "1",
            "transaction.state.log.replication.factor": str(replicas),
            "transaction.state.log.min.isr": str(in_sync),
            "share.coordinator.state.topic.num.partitions": "1",
            "share.coordinator.state.topic.replication.factor": str(replicas),
            "share.coordinator.state.topic.min.isr": str(in_sync),
            "group.initial.rebalance.delay.ms": "0",
            # A broker that was killed may not come back before its session has ended; the default is 9 s.
            "broker.session.timeout.ms": "4000",
            "broker.heartbeat.interval.ms": "500",
            "num.network.threads": "2",
            "num.io.threads": "4",
            "log.cleaner.dedupe.buffer.size": str(16 * 1024 * 1024),
            **self.settings,
        }


class KafkaCluster:
    """Brokers that are started, stopped and asked together; each can also be killed and started alone."""

    def __init__(self, brokers: Sequence[KafkaBroker]) -> None:
        self.brokers = tuple(brokers)

    @property
    def bootstrap_servers(self) -> str:
        """Where clients connect, as host:port,host:port."""
        return ",".join(broker.address for broker in self.brokers)

    def initialise(self) -> None:
        """Get the jars and prepare every broker. Raises JarRefused, KafkaError."""
        self.brokers[0].initialise()  # Alone, for it may have to download.
        with ThreadPoolExecutor(2) as pool:
            for _ in pool.map(KafkaBroker.initialise, self.brokers[1:]):
                pass

    def start(self, timeout_s: float = 120) -> None:
        """Start every broker as a child of this thread and wait until all are ready. Raises KafkaError."""
        for broker in self.brokers:
            broker.launch()
        for broker in self.brokers:
            broker.wait_until_ready(timeout_s)

    def stop(self, grace_s: float = 30) -> None:
        """Stop every broker at the same time."""
        # One after the other, the last would wait for a quorum that is gone.
        with ThreadPoolExecutor(len(self.brokers)) as pool:
            for _ in pool.map(lambda broker: broker.stop(grace_s), self.brokers):
                pass

    def ready(self) -> bool:
        """Say whether every broker answers now."""
        return all(broker.ready() for broker in self.brokers)


def kafka_cluster(
    folder: Path,
    ports: Sequence[tuple[int, int]],
    *,
    advertised_ports: Sequence[int | None] | None = None,
    heap_mb: int = 384,
    quick_start: bool = True,
    settings: dict[str, str] | None = None,
) -> KafkaCluster:
    """Describe a cluster of one broker for each pair (port, controller port), in `folder/1`, `folder/2`, ...

    Three brokers mean replication 3 with at least 2 in sync.
    """
    advertised = advertised_ports or [None] * len(ports)
    nodes = tuple(
        Node(number, port, controller_port, advertised_port)
        for number, ((port, controller_port), advertised_port) in enumerate(
            zip(ports, advertised, strict=True), start=1
        )
    )
    cluster_id, cache, java = new_cluster_id(), JarCache(), find_java()
    return KafkaCluster(
        [
            KafkaBroker(
                folder / str(node.number),
                node.port,
                node.controller_port,
                advertised_port=node.advertised_port,
                number=node.number,
                nodes=nodes,
                cluster_id=cluster_id,
                heap_mb=heap_mb,
                quick_start=quick_start,
                settings=settings,
                cache=cache,
                java=java,
            )
            for node in nodes
        ]
    )


def archive_of(java: Java, class_path: Sequence[Path]) -> Path | None:
    """Where the archive of what a Java learns of these jars has its place; None for a Java that makes none.

    Its place names what it was made of. Java checks that, too, and starts without an archive that does not fit.
    """
    machine = java.path.resolve().parent.parent / "lib" / "server" / "libjvm.so"
    if java.version < FIRST_JAVA_WITH_ARCHIVES or not machine.exists():
        return None
    made_of = [java.text, str(machine.stat().st_size), *map(str, class_path)]
    return cache_folder() / "java" / f"kafka-{hashlib.sha256(chr(0).join(made_of).encode()).hexdigest()[:16]}.aot"


def make_archive(*, cache: JarCache | None = None, java: Java | None = None) -> Path | None:
    """Let Java watch a broker start and stop, and keep its archive (JEP 514) where `archive_of` says.

    Takes some ten seconds of one processor; nothing where it is there, or another process is at it.
    Raises JarRefused, KafkaError.
    """
    cache, java = cache or JarCache(), java or find_java()
    archive = archive_of(java, cache.class_path(read_lock()))
    if archive is None or archive.exists():
        return archive
    archive.parent.mkdir(parents=True, exist_ok=True)
    with (archive.parent / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return None
        if archive.exists():
            # Whoever held the lock until now has made it.
            return archive
        with tempfile.TemporaryDirectory(prefix="unfinished-", dir=archive.parent) as folder, Ports() as ports:
            made = Path(folder) / archive.name
            broker = KafkaBroker(Path(folder), ports.choose(), ports.choose(), cache=cache, java=java, archive_to=made)
            broker.initialise()
            try:
                broker.start()
                broker.stop(ARCHIVING_TIMEOUT_S)
            finally:
                broker.kill()
            if not made.exists():
                raise KafkaError("\n".join(["Java left no archive:", *process.last_lines(broker.log)]))
            made.rename(archive)
    return archive


@contextlib.contextmanager
def archiving(broker: KafkaBroker, log: Path) -> Iterator[None]:
    """Make the archive that a broker would have used, if there is none, beside what else is done here."""
    archive = archive_of(broker.java, broker.class_path)
    if archive is None or archive.exists():
        yield
        return
    program = [sys.executable, "-P", "-m", "gov.runtime.kafka"]
    working = process.spawn(program, log=log, env=os.environ, cwd=Path("/"))
    try:
        yield
    finally:
        process.stop(working, signal.SIGTERM, ARCHIVING_GRACE_S)


def new_cluster_id() -> str:
    """Return a random cluster id in the form that Kafka takes."""
    # One that starts with a dash would be read as an option.
    while (text := base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")).startswith("-"):
        pass
    return text


def main() -> int:
    """Run `python -m gov.runtime.kafka`."""
    signal.signal(signal.SIGTERM, lambda _number, _frame: sys.exit(128 + signal.SIGTERM))
    os.nice(POLITENESS)
    print(make_archive() or "No archive: Java is too old for it, or another process is making it.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
