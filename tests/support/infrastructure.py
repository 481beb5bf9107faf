"""Where tests get a real PostgreSQL and a real Kafka: from addresses given, containers, or packages, in this order.

One process per test session holds what was started, for all workers of pytest-xdist, and ends with the session, also
when that is killed.
"""

import contextlib
import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from types import FrameType

POSTGRES_VARIABLE = "GOV_TEST_POSTGRES_URL"
KAFKA_VARIABLE = "GOV_TEST_KAFKA_BOOTSTRAP"
POSTGRES_IMAGE = "postgres:18"
KAFKA_IMAGE = "apache/kafka:4.3.1"
CHECKOUT = Path(__file__).resolve().parents[2]
START_TIMEOUT_S = 900


@dataclass(frozen=True, slots=True)
class Infrastructure:
    """A superuser's address of a PostgreSQL, Kafka's bootstrap servers, and where they came from."""

    postgres_url: str
    kafka_bootstrap: str
    origin: str


class InfrastructureUnavailable(Exception):
    """There is no infrastructure to be had; the message says what was tried."""


def given_by_environment(environment: Mapping[str, str]) -> Infrastructure | None:
    """The infrastructure whose addresses the environment names, or None. Raises InfrastructureUnavailable for one of two."""
    postgres, kafka = environment.get(POSTGRES_VARIABLE), environment.get(KAFKA_VARIABLE)
    if postgres and kafka:
        return Infrastructure(postgres, kafka, "environment")
    if postgres or kafka:
        missing = KAFKA_VARIABLE if postgres else POSTGRES_VARIABLE
        raise InfrastructureUnavailable(f"{missing} is not set, but its companion is; set both or neither")
    return None


def container_engine_answers() -> bool:
    """Say whether a container engine takes commands here."""
    import docker
    from docker.errors import DockerException

    try:
        client = docker.from_env(timeout=5)
    except DockerException:
        return False
    try:
        return bool(client.ping())
    except (DockerException, OSError):
        return False
    finally:
        client.close()


@contextlib.contextmanager
def in_containers() -> Iterator[Infrastructure]:
    """Both servers in containers, for as long as the context lasts."""
    from testcontainers.core.container import DockerContainer
    from testcontainers.core.wait_strategies import LogMessageWaitStrategy

    from gov.runtime.ports import choose_ports

    # Kafka tells clients its address, so the port has to be known before it starts.
    postgres_port, kafka_port = choose_ports(2)
    postgres = (
        DockerContainer(POSTGRES_IMAGE)
        .with_env("POSTGRES_PASSWORD", "test")
        .with_bind_ports(5432, postgres_port)
        .with_command("postgres -c max_connections=200")
        .waiting_for(LogMessageWaitStrategy("listening on IPv4 address"))
    )
    kafka_settings = {
        "KAFKA_NODE_ID": "1",
        "KAFKA_PROCESS_ROLES": "broker,controller",
        "KAFKA_LISTENERS": "CLIENTS://:9092,BROKERS://:9094,CONTROLLER://:9093",
        "KAFKA_ADVERTISED_LISTENERS": f"CLIENTS://127.0.0.1:{kafka_port},BROKERS://localhost:9094",
        "KAFKA_LISTENER_SECURITY_PROTOCOL_MAP": "CLIENTS:PLAINTEXT,BROKERS:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "KAFKA_INTER_BROKER_LISTENER_NAME": "BROKERS",
        "KAFKA_CONTROLLER_LISTENER_NAMES": "CONTROLLER",
        "KAFKA_CONTROLLER_QUORUM_VOTERS": "1@localhost:9093",
        "KAFKA_AUTO_CREATE_TOPICS_ENABLE": "false",
        "KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR": "1",
        "KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR": "1",
        "KAFKA_TRANSACTION_STATE_LOG_MIN_ISR": "1",
        "KAFKA_SHARE_COORDINATOR_STATE_TOPIC_REPLICATION_FACTOR": "1",
        "KAFKA_SHARE_COORDINATOR_STATE_TOPIC_MIN_ISR": "1",
        "KAFKA_GROUP_INITIAL_REBALANCE_DELAY_MS": "0",
    }
    kafka = (
        DockerContainer(KAFKA_IMAGE)
        .with_envs(**kafka_settings)
        .with_bind_ports(9092, kafka_port)
        .waiting_for(LogMessageWaitStrategy("Kafka Server started"))
    )
    with postgres, kafka:
        yield Infrastructure(
            f"postgresql://postgres:test@127.0.0.1:{postgres_port}/postgres", f"127.0.0.1:{kafka_port}", "containers"
        )


@contextlib.contextmanager
def from_packages() -> Iterator[Infrastructure]:
    """Both servers from packages, for as long as the context lasts; their data is gone afterwards."""
    from gov.runtime.jars import JarRefused
    from gov.runtime.kafka import KafkaError
    from gov.runtime.postgres import PostgresError
    from gov.runtime.testing import PackagedInfrastructure

    try:
        infrastructure = PackagedInfrastructure()
        infrastructure.start()
    except (PostgresError, KafkaError, JarRefused) as error:
        raise InfrastructureUnavailable(str(error)) from error
    try:
        yield Infrastructure(infrastructure.postgres_url(), infrastructure.kafka_bootstrap, "packages")
    finally:
        infrastructure.stop()


class SessionInfrastructure:
    """The one infrastructure of a test session, started by whichever worker asks first.

    `folder` is known to all workers; `owner_pid` is the process with which the infrastructure ends.
    """

    def __init__(self, folder: Path, owner_pid: int) -> None:
        self.folder = folder
        self.owner_pid = owner_pid
        self._answer = folder / "infrastructure.json"

    def get(self) -> Infrastructure:
        """The infrastructure, started if nobody has yet. Raises InfrastructureUnavailable."""
        given = given_by_environment(os.environ)
        if given is not None:
            return given
        with self.once():
            if not self._answer.exists():
                self._start_holder()
        answer = json.loads(self._answer.read_text("utf-8"))
        if "unavailable" in answer:
            raise InfrastructureUnavailable(answer["unavailable"])
        return Infrastructure(**answer["infrastructure"])

    @contextlib.contextmanager
    def once(self) -> Iterator[None]:
        """Hold the session's lock over all workers."""
        with (self.folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def stop(self) -> None:
        """End what was started, if anything was; the owner calls this once."""
        if not self._answer.exists():
            return
        holder = json.loads(self._answer.read_text("utf-8"))["holder"]
        with contextlib.suppress(ProcessLookupError):
            os.kill(holder, signal.SIGTERM)
        deadline = time.monotonic() + 30
        while not (self.folder / "ended").exists() and time.monotonic() < deadline:
            time.sleep(0.02)

    def _start_holder(self) -> None:
        log = self.folder / "holder.log"
        with log.open("wb") as output:
            holder = subprocess.Popen(
                [sys.executable, "-m", "tests.support.infrastructure", str(self.folder), str(self.owner_pid)],
                cwd=CHECKOUT,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        deadline = time.monotonic() + START_TIMEOUT_S
        while not self._answer.exists():
            if holder.poll() is not None or time.monotonic() > deadline:
                holder.kill()
                holder.wait()
                said = log.read_text("utf-8", errors="replace")
                self.answer({"unavailable": f"the infrastructure did not start:\n{said}", "holder": holder.pid})
                (self.folder / "ended").touch()
                return
            time.sleep(0.02)
        # The owner ends it by signal, so this process must neither wait for it nor warn that it still runs.
        holder.returncode = 0

    def answer(self, content: Mapping[str, object]) -> None:
        """Tell every worker, at once and once for all."""
        unfinished = self._answer.with_suffix(".unfinished")
        unfinished.write_text(json.dumps(content), encoding="utf-8")
        unfinished.rename(self._answer)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def hold(session: SessionInfrastructure, owner_is_alive: Callable[[], bool]) -> None:
    """Start an infrastructure, say where it is, and hold it until told to stop or the owner is gone."""
    stopping = False

    def stop(_signal: int, _frame: FrameType | None) -> None:
        nonlocal stopping
        stopping = True

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with in_containers() if container_engine_answers() else from_packages() as infrastructure:
            session.answer({"infrastructure": asdict(infrastructure), "holder": os.getpid()})
            while not stopping and owner_is_alive():
                time.sleep(0.05)
    except InfrastructureUnavailable as error:
        session.answer({"unavailable": str(error), "holder": os.getpid()})
    finally:
        if owner_is_alive():
            (session.folder / "ended").touch()
        else:
            shutil.rmtree(session.folder, ignore_errors=True)


if __name__ == "__main__":
    owner_pid = int(sys.argv[2])
    hold(SessionInfrastructure(Path(sys.argv[1]), owner_pid), lambda: _is_alive(owner_pid))
