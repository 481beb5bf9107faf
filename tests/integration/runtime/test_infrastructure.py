"""PostgreSQL and Kafka from packages: started, stopped, killed and started again, for real."""

import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from tests.conftest import NOT_TO_BE_HAD

from gov.runtime.jars import JarCache, read_lock
from gov.runtime.java import find_java
from gov.runtime.kafka import (
    FIRST_JAVA_WITH_ARCHIVES,
    KafkaBroker,
    archive_of,
    make_archive,
)
from gov.runtime.ports import Ports, choose_ports, is_free
from gov.runtime.postgres import PostgresError, PostgresServer
from gov.runtime.system import ensure_topics
from gov.runtime.testing import PackagedInfrastructure

ARCHIVED_WITHIN_S = 500
PROJECTS = "gov.projects.events.v1"
ROLES = {
    "owner": "projects_owner",
    "owner_password": 'it\'s \\ a "secret"',
    "application": "projects_app",
    "application_password": "application-secret",
    "reader": "projects_reader",
    "reader_password": "reader-secret",
}


@pytest.fixture(scope="module")
def infrastructure() -> Iterator[PackagedInfrastructure]:
    with PackagedInfrastructure() as running:
        yield running


async def connect(server: PostgresServer, role: str, database: str = "projects") -> asyncpg.Connection:
    return await asyncpg.connect(
        host="127.0.0.1", port=server.port, user=ROLES[role], password=ROLES[f"{role}_password"], database=database
    )


async def test_postgres_is_durable_and_lets_nobody_in_without_a_password(infrastructure) -> None:
    connection = await asyncpg.connect(infrastructure.postgres_url())
    try:
        assert await connection.fetchval("SHOW server_version_num") >= "180000"
        for setting, value in {
            "fsync": "on",
            "synchronous_commit": "on",
            "listen_addresses": "127.0.0.1",
            "timezone": "UTC",
            "data_checksums": "on",
            "unix_socket_directories": "",
        }.items():
            assert await connection.fetchval("SELECT current_setting($1)", setting) == value, setting
        methods = await connection.fetch("SELECT DISTINCT auth_method FROM pg_hba_file_rules")
        assert [row["auth_method"] for row in methods] == ["scram-sha-256"]
    finally:
        await connection.close()
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(infrastructure.postgres.url(password="guess"))


async def test_a_service_has_an_owner_an_application_and_a_reader_and_the_public_has_nothing(infrastructure) -> None:
    server = infrastructure.postgres
    server.ensure_database("projects", **ROLES)
    server.ensure_database("projects", **ROLES)
    owner = await connect(server, "owner")
    try:
        await owner.execute("CREATE TABLE IF NOT EXISTS events (seq bigint)")
        await owner.execute("CREATE TABLE IF NOT EXISTS private (word text)")
        await owner.execute("GRANT INSERT, SELECT ON events TO projects_app")
    finally:
        await owner.close()
    application = await connect(server, "application")
    try:
        await application.execute("INSERT INTO events VALUES (1)")
        for forbidden in (
            "CREATE TABLE other (a int)",
            "CREATE SCHEMA other",
            "CREATE TEMPORARY TABLE other (a int)",
            "SELECT * FROM private",
            "DROP TABLE events",
        ):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await application.execute(forbidden)
    finally:
        await application.close()
    reader = await connect(server, "reader")
    try:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await reader.execute("SELECT * FROM public.events")
    finally:
        await reader.close()
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await connect(server, "application", database="postgres")
    assert "secret" not in server.log.read_text()


async def test_what_postgres_has_committed_survives_a_kill(infrastructure) -> None:
    connection = await asyncpg.connect(infrastructure.postgres_url())
    try:
        await connection.execute("CREATE TABLE kept (word text)")
        await connection.execute("INSERT INTO kept VALUES ('yes')")
        infrastructure.kill_postgres()
        with pytest.raises((OSError, asyncpg.PostgresError, asyncpg.InterfaceError)):
            await connection.fetch("SELECT 1")
    finally:
        connection.terminate()
    assert not infrastructure.postgres.ready()
    infrastructure.start_postgres()
    connection = await asyncpg.connect(infrastructure.postgres_url())
    try:
        assert await connection.fetchval("SELECT word FROM kept") == "yes"
    finally:
        await connection.close()


def test_topics_are_made_once_and_never_by_accident(infrastructure) -> None:
    for _ in range(2):
        ensure_topics(infrastructure.kafka_bootstrap, ["projects", "risks"])
    admin = AdminClient({"bootstrap.servers": infrastructure.kafka_bootstrap})
    admin.list_topics("gov.misspelt.events.v1", timeout=10)
    topics = admin.list_topics(timeout=10).topics
    assert {name: len(topic.partitions) for name, topic in topics.items() if not name.startswith("__")} == {
        PROJECTS: 12,
        "gov.risks.events.v1": 12,
        "gov.watermarks.v1": 1,
    }


def test_what_kafka_has_acknowledged_survives_a_kill_on_the_same_address(infrastructure) -> None:
    address = infrastructure.kafka_bootstrap
    ensure_topics(address, ["projects"])
    acknowledged = []
    producer = Producer({"bootstrap.servers": address, "acks": "all", "log_level": 0})
    producer.produce(PROJECTS, b"kept", partition=0, on_delivery=lambda error, _: acknowledged.append(error))
    producer.flush(20)
    assert acknowledged == [None]
    infrastructure.kill_kafka()
    assert not infrastructure.kafka.ready()
    infrastructure.start_kafka()
    assert infrastructure.kafka_bootstrap == address
    consumer = Consumer({"bootstrap.servers": address, "group.id": "unused", "enable.auto.commit": False})
    try:
        consumer.assign([TopicPartition(PROJECTS, 0, 0)])
        deadline = time.monotonic() + 20
        message = None
        while message is None and time.monotonic() < deadline:
            message = consumer.poll(0.5)
        assert message is not None
        assert message.value() == b"kept"
    finally:
        consumer.close()


def test_a_clean_stop_and_start_keeps_folder_and_identity(tmp_path: Path) -> None:
    port, controller_port = choose_ports(2)
    broker = KafkaBroker(tmp_path / "kafka", port, controller_port)
    broker.initialise()
    formatted = (broker.data / "meta.properties").read_text()
    broker.start()
    broker.stop()
    assert broker.pid is None
    KafkaBroker(tmp_path / "kafka", port, controller_port).initialise()
    assert (broker.data / "meta.properties").read_text() == formatted


def test_a_server_that_cannot_start_says_why(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", choose_ports(1)[0]))
        other.listen()
        server = PostgresServer(tmp_path / "postgres", other.getsockname()[1], "password")
        try:
            server.initialise()
            with pytest.raises(PostgresError, match="Address already in use"):
                server.start()
        finally:
            server.stop()
            server.forget()


@pytest.mark.timeout(600)
def test_java_keeps_what_it_learnt_of_a_start_and_the_next_start_uses_it(tmp_path: Path) -> None:
    deadline = time.monotonic() + ARCHIVED_WITHIN_S
    # The session's own servers may be at it; whoever is not lets the other go on.
    while (archive := make_archive()) is None:
        if find_java().version < FIRST_JAVA_WITH_ARCHIVES:
            pytest.skip(f"{NOT_TO_BE_HAD}Java writes archives of this kind from version 25 on")
        assert time.monotonic() < deadline, "another process has been at it for too long"
        time.sleep(0.5)
    broker = KafkaBroker(tmp_path / "kafka", *choose_ports(2))
    broker.initialise()
    java, *options = broker.command()[:-2]
    assert f"-XX:AOTCache={archive}" in options
    # With this mode Java ends where the archive does not fit; without it, it goes on and says nothing.
    tool = [java, "-XX:AOTMode=on", *options, "kafka.tools.StorageTool", "version-mapping"]
    done = subprocess.run(tool, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_an_archive_that_is_broken_keeps_no_broker_from_starting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    jars = JarCache()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    broker = KafkaBroker(tmp_path / "kafka", *choose_ports(2), cache=jars)
    archive = archive_of(broker.java, jars.class_path(read_lock()))
    if archive is None:
        pytest.skip(f"{NOT_TO_BE_HAD}Java writes archives of this kind from version 25 on")
    archive.parent.mkdir(parents=True)
    archive.write_bytes(b"no archive" * 100_000)
    broker.initialise()
    assert f"-XX:AOTCache={archive}" in broker.command()
    try:
        broker.start()
    finally:
        broker.stop()


def test_three_brokers_replicate_and_survive_the_loss_of_one() -> None:
    with PackagedInfrastructure(brokers=3) as infrastructure:
        ensure_topics(infrastructure.kafka_bootstrap, ["projects"], replication=3)
        admin = AdminClient({"bootstrap.servers": infrastructure.kafka_bootstrap, "log_level": 0})
        deadline = time.monotonic() + 20
        # Each broker hears of a new topic by itself, and this may be one that has not yet.
        while not (partitions := admin.list_topics(PROJECTS, timeout=10).topics[PROJECTS].partitions):
            assert time.monotonic() < deadline, "the broker has not heard of the topic"
            time.sleep(0.05)
        partition = partitions[0]
        assert len(partition.replicas) == 3
        infrastructure.kill_kafka(partition.leader)
        acknowledged = []
        producer = Producer({"bootstrap.servers": infrastructure.kafka_bootstrap, "acks": "all", "log_level": 0})
        producer.produce(PROJECTS, b"kept", partition=0, on_delivery=lambda error, _: acknowledged.append(error))
        producer.flush(30)
        assert acknowledged == [None]


def test_the_first_preferred_port_that_is_free_is_taken() -> None:
    with Ports() as ports, Ports() as others, socket.socket() as listener:
        used, free = ports.choose(), ports.choose()
        listener.bind(("127.0.0.1", used))
        listener.listen()
        ports.close()
        assert not is_free(used)
        assert others.choose(used, free) == free


def test_a_port_that_another_system_has_chosen_is_not_chosen_until_that_system_has_gone() -> None:
    with Ports() as ports, Ports() as others:
        chosen = ports.choose()
        assert is_free(chosen)
        assert others.choose(chosen) != chosen
        assert ports.choose(chosen) != chosen
        ports.close()
        assert others.choose(chosen) == chosen


def test_ports_chosen_together_differ() -> None:
    assert len(set(choose_ports(50))) == 50
