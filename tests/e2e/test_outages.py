"""PostgreSQL or Kafka stand still for a while: commands are refused for now or taken, and nothing is lost."""

import asyncio
import time

from tests.e2e.conftest import Office
from tests.support.system import RunningSystem, eventually, problem

OUTAGE_S = 8.0
PATIENCE_S = 20.0


async def test_while_postgresql_stands_still_commands_are_put_off_and_the_same_key_takes_them_later_once(
    system: RunningSystem, office: Office
) -> None:
    project = office.project("OUT-1")
    before = await system.event_count("projects")
    path, body = f"/projects/{project}/milestones", {"milestone": "Built", "basis": "planned", "date": "2033-01-01"}
    with system.frozen("postgres"):
        started = time.monotonic()
        answered = system.say("ana", "projects", path, body, key="while-postgresql-stands-still")
        took_s = time.monotonic() - started
        assert answered.status_code == 503, answered.text
        assert problem(answered)["type"] == "urn:gatehouse:problem:unavailable"
        assert int(answered.headers["retry-after"]) >= 1
        assert took_s < PATIENCE_S
        assert system.ask(None, "projects", "/livez").status_code == 200
        assert system.ask(None, "projects", "/readyz").status_code == 503

    async def taken() -> bool:
        return system.say("ana", "projects", path, body, key="while-postgresql-stands-still").is_success

    await eventually("the command is taken once PostgreSQL moves again", taken)
    assert await system.event_count("projects") == before + 1
    await system.wait_ready()


async def test_while_kafka_stands_still_commands_are_taken_and_others_hear_of_them_afterwards(
    system: RunningSystem, office: Office
) -> None:
    with system.frozen("kafka"):
        projects = [office.project(f"OUT-K{number}") for number in range(5)]
        await asyncio.sleep(OUTAGE_S)
        assert await system.node_status("approvals", projects[0]) is None
    for project in projects:

        async def heard(project: str = project) -> bool:
            return await system.node_status("approvals", project) == "active"

        await eventually(f"approvals has heard of {project}", heard, within_s=60)
    await system.wait_carried("projects")
    await system.wait_ready()
