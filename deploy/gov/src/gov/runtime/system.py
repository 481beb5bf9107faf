"""The whole local system: PostgreSQL, Kafka, the demo issuer and every service, in one state folder."""

import asyncio
import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, TextIO

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from gov.runtime import kafka, postgres, process
from gov.runtime.jars import JarCache, read_lock
from gov.runtime.kafka import KafkaBroker
from gov.runtime.ports import LOOPBACK, Ports
from gov.runtime.postgres import PostgresServer
from gov.runtime.process import Identity
from gov.runtime.state import AlreadyRunning, State
from gov.runtime.supervisor import Child, ChildState, ChildStatus, StartFailed, Supervisor

AUDIENCE = "gatehouse"
# The demo issuer's name, not its address: people keep their ids when it gets another port.
ISSUER = "http://demo.gatehouse.localhost"
WATERMARKS_TOPIC = "gov.watermarks.v1"
PARTITIONS = 12

ISSUER_PORT = 8100
POSTGRES_PORT = 5433
KAFKA_PORT = 9192
KAFKA_CONTROLLER_PORT = 9193

# A full start on a slow machine, with databases and topics to create.
UP_TIMEOUT_S = 300.0
DOWN_TIMEOUT_S = 120.0
LEFTOVER_GRACE_S = 15.0


@dataclass(frozen=True, slots=True)
class Service:
    """A service by its module, which is also the name of its database, and the port that it prefers."""

    name: str
    port: int


SERVICES = (
    Service("projects", 8101),
    Service("approvals", 8102),
    Service("risks", 8103),
    Service("reporting", 8104),
    Service("projections", 8105),
)


class SystemState(StrEnum):
    """Where the system as a whole stands."""

    STARTING = "starting"
    READY = "ready"
    STOPPED = "stopped"
    FAILED = "failed"  # a child did not come up; the rest has been stopped
    DIED = "died"  # the supervisor has gone without stopping anything


@dataclass(frozen=True, slots=True)
class Failure:
    """Which child did not come up, why, and the last lines that it printed."""

    child: str
    reason: str
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SystemStatus:
    """The system as another process sees it: its supervisor's number, addresses by name, children and failure."""

    state: SystemState
    supervisor_pid: int | None
    addresses: Mapping[str, str]
    children: tuple[ChildStatus, ...]
    failure: Failure | None


class SystemDied(Exception):
    """The detached supervisor ended without saying which child failed; the message has its last lines."""


class LocalSystem:
    """What `gov up` runs. One state folder has one system; its data outlives it.

    Ports are the preferred ones where they are free, else the last ones used, else others.
    """

    def __init__(self, state: State, services: Sequence[Service] = SERVICES, issuer_module: str = "gov.issuer") -> None:
        self.state = state
        self.services = tuple(services)
        self.issuer_module = issuer_module

    def up(self, *, detach: bool = False, on_ready: Callable[[SystemStatus], None] = lambda _: None) -> None:
        """Start everything, call `on_ready` (which must not block), and run until SIGINT, SIGTERM or `down`.

        Detached, a supervisor in the background does it, logging to files only, and this returns once all is ready.
        Raises AlreadyRunning, StartFailed, PostgresError, KafkaError, JavaNotFound or (detached) SystemDied.
        """
        if not detach:
            self._run(sys.stdout, on_ready)
            return
        with self.state.lock():
            JarCache().class_path(read_lock())  # Here, where somebody sees the progress.
        self._up_detached()
        on_ready(self.status())

    def down(self) -> bool:
        """Stop the system, whoever runs it, and what a killed one has left. Says whether it was running."""
        record = self.state.read_runtime() or {}
        supervisor = _identity(record.get("supervisor"))
        running = supervisor is not None and process.is_alive(supervisor)
        if supervisor is not None and running:
            process.end(supervisor, signal.SIGTERM, DOWN_TIMEOUT_S)
        with self.state.lock():
            self._end_leftovers()
            if record.get("state") != SystemState.FAILED:
                self._amend(state=SystemState.STOPPED, children=[])
        return running

    def status(self) -> SystemStatus:
        """Return how the system stands now, from what its supervisor wrote and from what is really alive."""
        record = self.state.read_runtime() or {}
        state = SystemState(record.get("state", SystemState.STOPPED))
        supervisor = _identity(record.get("supervisor"))
        alive = supervisor is not None and process.is_alive(supervisor)
        if not alive and state in (SystemState.STARTING, SystemState.READY):
            state = SystemState.DIED
        failure = record.get("failure")
        return SystemStatus(
            state=state,
            supervisor_pid=supervisor.pid if supervisor is not None and alive else None,
            addresses=record.get("addresses", {}),
            children=tuple(_child_status(child) for child in record.get("children", [])),
            failure=Failure(failure["child"], failure["reason"], tuple(failure["lines"])) if failure else None,
        )

    def forget(self) -> None:
        """Stop the system and delete its state folder with all data."""
        self.down()
        self._postgres({"postgres": POSTGRES_PORT}).forget()
        self.state.forget()

    def environment(self, service: str) -> dict[str, str]:
        """Return the environment in which a service's commands run, by the ports of the last start.

        Raises KeyError for a service that the last start did not know.
        """
        ports: dict[str, int] = (self.state.read_runtime() or {}).get("ports", {})
        return self._service_environment(service, ports)

    def _run(self, output: TextIO | None, on_ready: Callable[[SystemStatus], None]) -> None:
        with self.state.lock(), Ports() as chooser:
            self._end_leftovers()
            ports = self._choose_ports(chooser)
            identity = process.identity_of(os.getpid())
            assert identity is not None
            self.state.write_runtime(
                {
                    "state": SystemState.STARTING,
                    "supervisor": {"pid": identity.pid, "started_at": identity.started_at},
                    "ports": ports,
                    "addresses": self._addresses(ports),
                    "children": [],
                    "failure": None,
                }
            )
            try:
                database, broker = self._postgres(ports), self._kafka(ports)
                with ThreadPoolExecutor(2) as pool:
                    preparations = [pool.submit(database.initialise), pool.submit(broker.initialise)]
                for preparation in preparations:
                    preparation.result()
                supervisor = Supervisor(
                    self._children(ports, database, broker),
                    self.state.logs,
                    output=output,
                    on_change=lambda statuses: self._amend(children=[_child_record(status) for status in statuses]),
                )

                with contextlib.ExitStack() as beside:

                    def announce() -> None:
                        self._amend(state=SystemState.READY)
                        on_ready(self.status())
                        beside.enter_context(kafka.archiving(broker, self.state.logs / "archive.log"))

                    asyncio.run(supervisor.run(announce))
            except StartFailed as error:
                failure = {"child": error.child, "reason": error.reason, "lines": error.lines}
                self._amend(state=SystemState.FAILED, failure=failure)
                raise
            except Exception as error:
                failure = {"child": "gov", "reason": f"could not prepare the start: {error}", "lines": []}
                self._amend(state=SystemState.FAILED, failure=failure)
                raise
            else:
                self._amend(state=SystemState.STOPPED)

    def _up_detached(self) -> None:
        log = self.state.logs / "supervisor.log"
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
        program = [sys.executable, "-P", "-m", "gov.runtime.system", str(self.state.folder), self.issuer_module]
        program += [f"{service.name}:{service.port}" for service in self.services]
        pid = os.posix_spawn(
            sys.executable,
            program,
            os.environ,
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_OPEN, 1, log, flags, 0o600),
                (os.POSIX_SPAWN_DUP2, 1, 2),
            ],
            setsid=True,
        )
        deadline = time.monotonic() + UP_TIMEOUT_S
        while process.identity_of(pid) is not None and time.monotonic() < deadline:
            status = self.status()
            if status.supervisor_pid == pid and status.state is SystemState.READY:
                return
            time.sleep(0.1)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)
        record = self.state.read_runtime() or {}
        failure = self.status().failure
        if failure is not None and (record.get("supervisor") or {}).get("pid") == pid:
            raise StartFailed(failure.child, failure.reason, failure.lines)
        raise SystemDied("\n".join(["The system did not start:", *process.last_lines(log)]))

    def _end_leftovers(self) -> None:
        """End what a supervisor that was killed could not take along."""
        record = self.state.read_runtime() or {}
        for child in record.get("children", []):
            identity = _identity(child.get("process"))
            if identity is not None:
                process.end(identity, signal.Signals(child["stop_signal"]), LEFTOVER_GRACE_S)

    def _choose_ports(self, chooser: Ports) -> dict[str, int]:
        preferred = {
            "postgres": POSTGRES_PORT,
            "kafka": KAFKA_PORT,
            "kafka-controller": KAFKA_CONTROLLER_PORT,
            "issuer": ISSUER_PORT,
            **{service.name: service.port for service in self.services},
        }
        last: dict[str, int] = (self.state.read_runtime() or {}).get("ports", {})
        return {name: chooser.choose(port, *([last[name]] if name in last else [])) for name, port in preferred.items()}

    def _addresses(self, ports: Mapping[str, int]) -> dict[str, str]:
        web = {name: f"http://{LOOPBACK}:{ports[name]}" for name in ("issuer", *(s.name for s in self.services))}
        return {**web, "postgres": f"{LOOPBACK}:{ports['postgres']}", "kafka": f"{LOOPBACK}:{ports['kafka']}"}

    def _postgres(self, ports: Mapping[str, int]) -> PostgresServer:
        password = self.state.secret("postgres")
        return PostgresServer(self.state.folder / "postgres", ports["postgres"], password)

    def _kafka(self, ports: Mapping[str, int]) -> KafkaBroker:
        return KafkaBroker(self.state.folder / "kafka", ports["kafka"], ports["kafka-controller"])

    def _service_environment(self, service: str, ports: Mapping[str, int]) -> dict[str, str]:
        server = f"{LOOPBACK}:{ports['postgres']}/{service}"
        application, owner = (f"{service}_{role}" for role in ("app", "owner"))
        return {
            **_environment_without_settings(),
            "GOV_DATABASE_URL": f"postgresql://{application}:{self.state.secret(application)}@{server}",
            "GOV_MIGRATION_DATABASE_URL": f"postgresql://{owner}:{self.state.secret(owner)}@{server}",
            "GOV_KAFKA_BOOTSTRAP_SERVERS": f"{LOOPBACK}:{ports['kafka']}",
            "GOV_HTTP_HOST": LOOPBACK,
            "GOV_HTTP_PORT": str(ports[service]),
            "GOV_OIDC_ISSUER": ISSUER,
            "GOV_OIDC_JWKS_URL": f"http://{LOOPBACK}:{ports['issuer']}/jwks",
            "GOV_OIDC_AUDIENCE": AUDIENCE,
            "GOV_DEMO": "1",
            "GOV_LOG_FORMAT": "text",
        }

    def _issuer_environment(self, ports: Mapping[str, int]) -> dict[str, str]:
        return {
            **_environment_without_settings(),
            "GOV_DEMO": "1",
            "GOV_ISSUER_HOST": LOOPBACK,
            "GOV_ISSUER_PORT": str(ports["issuer"]),
            "GOV_ISSUER_KEY_FILE": str(self.state.folder / "issuer.key"),
            "GOV_OIDC_ISSUER": ISSUER,
            "GOV_OIDC_AUDIENCE": AUDIENCE,
        }

    def _children(self, ports: Mapping[str, int], database: PostgresServer, broker: KafkaBroker) -> list[Child]:
        children = [
            Child(
                "postgres",
                database.command(),
                postgres.SERVER_ENVIRONMENT,
                Path("/"),
                lambda: asyncio.to_thread(database.ready),
                prepare=lambda: asyncio.to_thread(self._ensure_databases, database),
                user=database.user,
                stop_signal=postgres.STOP_SIGNAL,
            ),
            Child(
                "kafka",
                broker.command(),
                {},
                broker.folder,
                lambda: asyncio.to_thread(broker.ready),
                prepare=lambda: asyncio.to_thread(self._ensure_topics, broker),
                ready_timeout_s=120,
                stop_signal=kafka.STOP_SIGNAL,
            ),
            Child(
                "issuer",
                [sys.executable, "-P", "-m", self.issuer_module],
                self._issuer_environment(ports),
                self.state.folder,
                lambda: answers_ok(ports["issuer"], "/.well-known/openid-configuration"),
            ),
        ]
        return [*children, *(self._service(service, ports) for service in self.services)]

    def _service(self, service: Service, ports: Mapping[str, int]) -> Child:
        return Child(
            service.name,
            [sys.executable, "-P", "-m", service.name, "all"],
            self._service_environment(service.name, ports),
            self.state.folder,
            lambda: answers_ok(ports[service.name], "/readyz"),
            depends_on=("postgres", "kafka", "issuer"),
            ready_timeout_s=90,
        )

    def _ensure_databases(self, database: PostgresServer) -> None:
        # One after the other: databases that are created at the same time stand in each other's way.
        for service in self.services:
            owner, application, reader = (f"{service.name}_{role}" for role in ("owner", "app", "reader"))
            database.ensure_database(
                service.name,
                owner=owner,
                owner_password=self.state.secret(owner),
                application=application,
                application_password=self.state.secret(application),
                reader=reader,
                reader_password=self.state.secret(reader),
            )

    def _ensure_topics(self, broker: KafkaBroker) -> None:
        ensure_topics(broker.address, [service.name for service in self.services])

    def _amend(self, **changes: Any) -> None:
        self.state.write_runtime({**(self.state.read_runtime() or {}), **changes})


def ensure_topics(bootstrap_servers: str, services: Sequence[str], *, replication: int = 1) -> None:
    """Create each service's events topic and the watermarks topic where they are missing.

    Raises confluent_kafka.KafkaException.
    """
    events = {"cleanup.policy": "delete", "retention.ms": "-1"}
    wanted = [
        NewTopic(f"gov.{name}.events.v1", num_partitions=PARTITIONS, replication_factor=replication, config=events)
        for name in services
    ]
    wanted.append(
        NewTopic(
            WATERMARKS_TOPIC,
            num_partitions=1,
            replication_factor=replication,
            config={"cleanup.policy": "compact"},
        )
    )
    create_missing(AdminClient({"bootstrap.servers": bootstrap_servers}), wanted)


def create_missing(admin: AdminClient, wanted: Sequence[NewTopic]) -> None:
    """Create topics, and leave those that are there as they are. Raises confluent_kafka.KafkaException."""
    for outcome in admin.create_topics(list(wanted), operation_timeout=30).values():
        try:
            outcome.result()
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise


async def answers_ok(port: int, path: str) -> bool:
    """Say whether GET of a path on the loopback address is answered with 200 within five seconds."""
    request = f"GET {path} HTTP/1.1\r\nHost: {LOOPBACK}:{port}\r\nConnection: close\r\n\r\n"
    try:
        async with asyncio.timeout(5):
            reader, writer = await asyncio.open_connection(LOOPBACK, port)
            try:
                writer.write(request.encode())
                status_line = await reader.readline()
            finally:
                writer.close()
    except (OSError, TimeoutError):
        return False
    return status_line.split()[1:2] == [b"200"]


def _environment_without_settings() -> dict[str, str]:
    # A setting left in the caller's shell must not reach one service and miss another.
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GOV_")}
    # Services start from compiled code where there is some, and leave some for the next start.
    kept.pop("PYTHONDONTWRITEBYTECODE", None)
    return {**kept, "PYTHONUNBUFFERED": "1"}


def _identity(record: Mapping[str, Any] | None) -> Identity | None:
    return Identity(record["pid"], record["started_at"]) if record else None


def _child_record(status: ChildStatus) -> dict[str, Any]:
    identity = status.process
    return {
        "name": status.name,
        "state": status.state,
        "process": {"pid": identity.pid, "started_at": identity.started_at} if identity else None,
        "restarts": status.restarts,
        "since": status.since,
        "stop_signal": int(status.stop_signal),
    }


def _child_status(record: Mapping[str, Any]) -> ChildStatus:
    identity = _identity(record["process"])
    alive = identity is not None and process.is_alive(identity)
    state = ChildState(record["state"])
    if not alive and state in (ChildState.STARTING, ChildState.READY):
        state = ChildState.STOPPED
    return ChildStatus(
        name=record["name"],
        state=state,
        process=identity if alive else None,
        restarts=record["restarts"],
        since=record["since"],
        stop_signal=signal.Signals(record["stop_signal"]),
    )


def main(arguments: Sequence[str]) -> int:
    """Run the system in the background: STATE_FOLDER ISSUER_MODULE SERVICE:PORT..."""
    folder, issuer_module, *described = arguments
    services = [Service(name, int(port)) for name, _, port in (text.partition(":") for text in described)]
    try:
        LocalSystem(State(Path(folder)), services, issuer_module)._run(None, lambda _: None)  # noqa: SLF001
    except (StartFailed, AlreadyRunning) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
