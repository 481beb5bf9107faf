"""Restore drills on the whole system: Kafka loses what it had, and what the runbook says brings all of it back."""

import asyncio
import os
import re
import shlex
import shutil
import signal
import subprocess
from collections.abc import Iterator
from typing import Any, Final

import pytest
from tests.e2e.conftest import Office
from tests.support.system import CHECKOUT, GOV, RunningSystem, eventually, foreign_to
from tests.support.topics import create_topic, delete_topics

from gov.runtime.kafka import KafkaBroker
from gov.runtime.system import ensure_topics
from govevents.catalogue import topic_of

RUNBOOK: Final = CHECKOUT / "docs" / "runbook"
VIEWS: Final = "SELECT table_name FROM information_schema.views WHERE table_schema = 'read' ORDER BY 1"
NOTICED_S: Final = 40.0

pytestmark = pytest.mark.timeout(300)


def commands(page: str, *begins: str) -> Iterator[list[str]]:
    """The commands of a runbook's page that begin so, as a shell would split them, without their first word."""
    lines = [
        line
        for block in re.findall(r"```bash\n(.*?)```", (RUNBOOK / page).read_text("utf-8"), re.DOTALL)
        for line in block.splitlines()
    ]
    for begin in begins:
        (line,) = [line for line in lines if line.startswith(begin)]
        yield shlex.split(line)[1:]


async def pictures(system: RunningSystem) -> dict[str, list[str]]:
    """Every row that readers see, of every read model of every service."""
    seen = {}
    for service in system.names:
        for (view,) in await system.fetch(service, VIEWS):
            rows = await system.fetch(service, f'SELECT t::text FROM read."{view}" AS t ORDER BY 1')
            seen[f"{service}.{view}"] = [row[0] for row in rows]
    return seen


def followers(system: RunningSystem, service: str) -> list[dict[str, Any]]:
    """Every consumer of a service that follows a topic; builds that are kept to go back to follow nothing."""
    items = system.ask("olu", service, "/operations/consumers").json()["items"]
    return [each for each in items if each["lag"] is not None]


def consumers(system: RunningSystem, topic: str) -> list[dict[str, Any]]:
    """Every consumer that follows a topic, as its service sees it."""
    return [each for service in system.names for each in followers(system, service) if each["topic"] == topic]


def readers_in(system: RunningSystem) -> set[tuple[str, str]]:
    """Every consumer that follows something, with its service."""
    return {(name, each["consumer"]) for name in system.names for each in followers(system, name)}


async def test_a_topic_that_was_made_anew_is_noticed_before_anything_is_sent_and_the_runbook_fills_it_again(
    system: RunningSystem, office: Office
) -> None:
    office.decide(office.review(office.project("ANEW-1")))
    for reader in system.names:
        await system.wait_read(reader)
    before, readers = await pictures(system), readers_in(system)
    kafka, topic = system.address("kafka"), topic_of("projects")

    delete_topics(kafka, topic)
    create_topic(kafka, topic)
    meanwhile = office.project("ANEW-2")
    assert meanwhile, "what people do is still saved"

    async def relay_noticed() -> bool:
        said = system.gov("relay", "status", "projects", "--json")
        return "TopicReplaced" in (said.document["items"][0]["alarm"] or "")

    async def consumers_noticed() -> bool:
        return all("its offsets mean other records" in (each["alarm"] or "") for each in consumers(system, topic))

    await eventually("the relay has noticed", relay_noticed, within_s=NOTICED_S)
    await eventually("every consumer has noticed", consumers_noticed, within_s=NOTICED_S)
    await eventually("the alarm is raised", lambda: alarmed(system, "projections"))
    assert await system.topic("projects") == []
    assert await pictures(system) == before

    (republish,) = commands("relay-alarm.md", "gov relay republish projects")
    (reread,) = commands("consumer-alarm.md", "gov consumers reread projects")
    for command in (republish, reread):
        said = system.gov(*command, "--json")
        assert said.code == 0, said.err
    await all_is_well(system, readers)
    assert foreign_to(await system.ledger("projects"), await system.topic("projects")) == []
    after = await pictures(system)
    assert {name: [row for row in rows if row in set(after[name])] for name, rows in before.items()} == before
    assert await system.node_status("approvals", meanwhile) == "active"


async def alarmed(system: RunningSystem, service: str) -> bool:
    shown = system.ask(None, service, "/metrics").text
    return re.search(r"^gov_consumer_alarm\{.*\} 1.0$", shown, re.MULTILINE) is not None


async def test_when_kafkas_disk_is_lost_the_ledgers_fill_a_new_one(system: RunningSystem, office: Office) -> None:
    office.review(office.project("DISK-1"))
    for reader in system.names:
        await system.wait_read(reader)
    before, readers, counts = await pictures(system), readers_in(system), await system.event_counts()

    await lose_the_disk(system)
    meanwhile = office.project("DISK-2")

    async def noticed() -> bool:
        relays = [system.ask("olu", name, "/operations/relay").json() for name in system.names]
        reading = [each for name in system.names for each in consumers(system, topic_of(name))]
        return all("TopicReplaced" in (each["alarm"] or "") for each in relays if each["lag_rows"]) and all(
            "its offsets mean other records" in (each["alarm"] or "") for each in reading
        )

    await eventually("relays that have something to send and all consumers have noticed", noticed, within_s=NOTICED_S)
    for name in system.names:
        assert await system.topic(name) == []
    assert await pictures(system) == before

    done = await asyncio.to_thread(type_in, system, "kafka-away.md")
    assert done.returncode == 0, done.stdout + done.stderr
    await all_is_well(system, readers)
    after = await pictures(system)
    assert {name: [row for row in rows if row in set(after[name])] for name, rows in before.items()} == before
    assert await system.node_status("approvals", meanwhile) == "active"
    recorded = await system.event_counts()
    assert all(recorded[name] > count for name, count in counts.items()), "each order is recorded"


async def lose_the_disk(system: RunningSystem) -> None:
    """Let the broker die, and start on an empty disk, as another cluster, with the topics that `gov up` makes."""
    supervisor = system.local.status().supervisor_pid
    assert supervisor is not None
    # Held, so that it doesn't start the broker before the disk is exchanged.
    os.kill(supervisor, signal.SIGSTOP)
    try:
        restarts = system.kill("kafka")
        folder = system.local.state.folder / "kafka"
        shutil.rmtree(folder / "data")
        ports = (system.local.state.read_runtime() or {})["ports"]
        broker = KafkaBroker(folder, ports["kafka"], ports["kafka-controller"])
        await asyncio.to_thread(broker.initialise)
    finally:
        os.kill(supervisor, signal.SIGCONT)
    await system.wait_restarted("kafka", restarts)
    await asyncio.to_thread(ensure_topics, system.address("kafka"), system.names)


def type_in(system: RunningSystem, page: str) -> "subprocess.CompletedProcess[str]":
    """Give a shell everything that a runbook's page tells to type."""
    script = "\n".join(re.findall(r"```bash\n(.*?)```", (RUNBOOK / page).read_text("utf-8"), re.DOTALL))
    path = f"{GOV.parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        ["bash", "-eu", "-c", script],
        env={**system.environment, "PATH": path},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


async def all_is_well(system: RunningSystem, readers: set[tuple[str, str]]) -> None:
    """Wait until every topic has its ledger, all readers have read everything, and nobody has anything to complain of."""

    async def all_have_begun() -> bool:
        return readers_in(system) == readers

    await eventually("all who had read before have begun again", all_have_begun, within_s=60)
    for reader in system.names:
        await system.wait_read(reader)
    verified = system.gov("log", "verify", "--json")
    assert (verified.code, [each["counts"] for each in verified.document["items"]]) == (0, [{}] * len(system.names))
    for name in system.names:
        assert system.ask("olu", name, "/operations/relay").json()["alarm"] is None
        assert [each for each in consumers(system, topic_of(name)) if each["alarm"] or each["parked"]] == []
