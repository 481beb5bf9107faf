"""The container deployment says the same as the code: variables, ports, topics, versions."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from gov.runtime.jars import read_lock
from gov.runtime.system import ISSUER, ISSUER_PORT, KAFKA_PORT, PARTITIONS, POSTGRES_PORT, SERVICES, WATERMARKS_TOPIC
from govevents.catalogue import WATERMARK_TOPIC, topic_of
from govevents.registry import SERVICES as CATALOGUED
from govkernel.settings import Settings

ROOT = Path(__file__).parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SETTINGS = {f"GOV_{name.upper()}" for name in Settings.model_fields}
ISSUER_SOURCE = "".join(path.read_text() for path in (ROOT / "deploy/gov/src/gov/issuer").glob("*.py"))


def environment(container: str) -> dict[str, str]:
    return dict(COMPOSE["services"][container]["environment"])


def test_every_service_of_the_catalogue_is_deployed_with_its_migration() -> None:
    for service in CATALOGUED:
        for container in (service, f"{service}-migrate"):
            assert COMPOSE["services"][container]["build"]["args"] == {"SERVICE": service}
        assert COMPOSE["services"][f"{service}-migrate"]["command"] == ["migrate"]
        assert f"{service}-migrate" in COMPOSE["services"][service]["depends_on"]


def test_every_variable_of_a_service_is_a_setting_that_the_code_reads() -> None:
    for service in CATALOGUED:
        for container in (service, f"{service}-migrate"):
            assert set(environment(container)) <= SETTINGS, container


def test_every_required_setting_is_given() -> None:
    required = {f"GOV_{name.upper()}" for name, field in Settings.model_fields.items() if field.is_required()}
    for service in CATALOGUED:
        assert required <= set(environment(service))
        assert "GOV_MIGRATION_DATABASE_URL" in environment(f"{service}-migrate")
        assert "GOV_MIGRATION_DATABASE_URL" not in environment(service), "a running service must not own its tables"


def test_each_service_has_its_own_database_and_role() -> None:
    for service in CATALOGUED:
        assert re.fullmatch(
            rf"postgresql://{service}_app:.*@postgres:5432/{service}", environment(service)["GOV_DATABASE_URL"]
        )


def test_the_issuer_reads_every_variable_it_is_given() -> None:
    assert environment("issuer")["GOV_OIDC_ISSUER"] == environment("projects")["GOV_OIDC_ISSUER"] == ISSUER
    for variable in environment("issuer"):
        assert f'"{variable}"' in ISSUER_SOURCE, variable


def test_ports_are_those_of_the_local_system_and_listen_on_loopback_only() -> None:
    wanted = {service.name: service.port for service in SERVICES} | {
        "issuer": ISSUER_PORT,
        "postgres": POSTGRES_PORT,
        "kafka": KAFKA_PORT,
    }
    published = {name: container["ports"] for name, container in COMPOSE["services"].items() if "ports" in container}
    assert set(published) == set(wanted)
    for name, (mapping,) in published.items():
        host, port, _inside = mapping.split(":")
        assert (host, int(port)) == ("127.0.0.1", wanted[name])


def test_the_images_are_the_versions_that_run_without_containers() -> None:
    (broker,) = (jar.coordinates for jar in read_lock() if ":kafka_2.13:" in jar.coordinates)
    assert COMPOSE["services"]["kafka"]["image"] == f"apache/kafka:{broker.split(':')[2]}"
    assert COMPOSE["services"]["topics"]["image"] == COMPOSE["services"]["kafka"]["image"]


def test_the_topics_are_those_of_the_catalogue() -> None:
    script = (ROOT / "deploy/kafka/create-topics.sh").read_text()
    (names,) = re.findall(r"^for service in (.*); do$", script, re.MULTILINE)
    assert set(names.split()) == set(CATALOGUED)
    assert topic_of("$service") in script
    assert f"--topic {WATERMARK_TOPIC} --partitions 1" in script
    assert WATERMARK_TOPIC == WATERMARKS_TOPIC
    assert f"--partitions {PARTITIONS} " in script


def test_the_databases_are_those_of_the_catalogue() -> None:
    script = (ROOT / "deploy/postgres/create-databases.sh").read_text()
    (names,) = re.findall(r"^for service in (.*); do$", script, re.MULTILINE)
    assert set(names.split()) == set(CATALOGUED)
    for variable in re.findall(r"\$(GOV_[A-Z_]+)", script):
        assert variable in environment("postgres"), variable


def test_the_compose_file_is_what_compose_can_read() -> None:
    checked = subprocess.run(
        [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", "docker-compose.yml"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout
