"""A real PostgreSQL and a real Kafka for a test session, which a test may also kill and start again."""

import shutil
import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from gov.runtime import process
from gov.runtime.kafka import KafkaBroker, archiving, kafka_cluster
from gov.runtime.ports import Ports
from gov.runtime.postgres import PostgresServer

SUPERUSER_PASSWORD = "for-tests-only"  # noqa: S105  (the server listens on the loopback address for a test session)


class PackagedInfrastructure:
    """One PostgreSQL and one or more Kafka brokers in a temporary folder, on free ports, deleted at the end.

    With `brokers=3` topics are replicated 3 times with at least 2 in sync. What is killed and started again keeps
    its folder and port. Benchmarks take `quick_start=False`, which lets Java compile fully. Start it in a thread
    that lives as long as the servers are needed: they end with that thread.
    """

    def __init__(
        self, brokers: int = 1, *, quick_start: bool = True, kafka_settings: dict[str, str] | None = None
    ) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="gatehouse-test-"))
        if process.running_as_root():
            self.folder.chmod(0o711)
        self._ports = Ports()
        self._beside = ExitStack()
        postgres_port, *kafka_ports = (self._ports.choose() for _ in range(1 + 2 * brokers))
        self.postgres = PostgresServer(self.folder / "postgres", postgres_port, SUPERUSER_PASSWORD)
        self.kafka = kafka_cluster(
            self.folder / "kafka",
            list(zip(kafka_ports[::2], kafka_ports[1::2], strict=True)),
            quick_start=quick_start,
            settings=kafka_settings,
        )

    def start(self) -> None:
        """Start everything and wait until it is ready. Raises PostgresError or KafkaError."""
        # Prepared side by side, but started by this thread, for what a thread starts ends with it.
        with ThreadPoolExecutor(2) as pool:
            preparations = [pool.submit(self.postgres.initialise), pool.submit(self.kafka.initialise)]
        for preparation in preparations:
            preparation.result()
        self.postgres.launch()
        self.kafka.start()
        self.postgres.wait_until_ready()
        self._beside.enter_context(archiving(self.kafka.brokers[0], self.folder / "archive.log"))

    def stop(self) -> None:
        """Kill everything and delete its data."""
        self._beside.close()
        for broker in self.kafka.brokers:
            broker.kill()
        self.postgres.kill()
        self.postgres.forget()
        self._ports.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def postgres_url(self, database: str = "postgres") -> str:
        """Return the superuser's address of a database."""
        return self.postgres.url(database)

    @property
    def kafka_bootstrap(self) -> str:
        """Where Kafka's clients connect."""
        return self.kafka.bootstrap_servers

    def kill_postgres(self) -> None:
        """Kill PostgreSQL without warning."""
        self.postgres.kill()

    def start_postgres(self) -> None:
        """Start a killed PostgreSQL on its data and port, and wait until it is ready."""
        self.postgres.start()

    def kill_kafka(self, number: int = 1) -> None:
        """Kill a broker, counted from 1, without warning."""
        self._broker(number).kill()

    def start_kafka(self, number: int = 1) -> None:
        """Start a killed broker on its data and port, and wait until it is ready."""
        self._broker(number).start()

    def _broker(self, number: int) -> KafkaBroker:
        return self.kafka.brokers[number - 1]

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
