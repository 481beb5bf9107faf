"""A service, Kafka and PostgreSQL are killed in the middle of an import: afterwards everything is there, once."""

import json
from collections import Counter
from pathlib import Path

import pytest
from tests.support.system import (
    RunningSystem,
    broken_chains,
    eventually,
    foreign_to,
    misordered_in,
    missing_from,
)

PROJECTS = 150
MILESTONES = 3
NAME = "Portfolio of deaths"
MAPPING = f"""
kind: projects
portfolio: {{ name: {NAME}, currency: AUD, time_zone: Australia/Melbourne }}
reference: ID
name: "{{Name}}"
programme: Team
value: Cost
registered: {{ column: Raised, formats: ["%d/%m/%Y"] }}
milestones:
  Begun: {{ column: Begun, formats: ["%d/%m/%Y"] }}
  Built: {{ column: Built, formats: ["%d/%m/%Y"] }}
  Used: {{ column: Used, formats: ["%d/%m/%Y"] }}
"""
VICTIMS = ("projects", "kafka", "postgres")

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def arguments(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("files")
    rows = [f"D{n},Dam {n},Team {n % 3},{n}.50,01/02/2001,01/03/2002,01/04/2003,01/05/2004" for n in range(PROJECTS)]
    (folder / "dams.csv").write_text("\n".join(["ID,Name,Team,Cost,Raised,Begun,Built,Used", *rows]), encoding="utf-8")
    (folder / "dams.yaml").write_text(MAPPING, encoding="utf-8")
    return ["import", "projects", str(folder / "dams.csv"), "--mapping", str(folder / "dams.yaml"), "--json"]


async def test_an_import_outlives_the_death_of_a_service_of_kafka_and_of_postgresql(
    system: RunningSystem, arguments: list[str]
) -> None:
    before = await system.event_count("projects")
    with system.begin(*arguments) as began:
        log = system.local.state.logs / "projects.log"
        for number, victim in enumerate(VICTIMS, start=1):
            answered = commands_in(log)

            async def took_more(answered: int = answered) -> bool:
                return commands_in(log) > answered + 60

            await eventually("the import goes on", took_more, within_s=60)
            assert began.poll() is None, f"the import had ended before death {number}, of {victim}"
            restarts = system.kill(victim)
            await system.wait_restarted(victim, restarts)
        out, err = began.communicate(timeout=300)
    assert began.returncode == 0, f"{out[-3000:]} {err}"
    told = json.loads(out)
    assert (told["stopped"], told["problems"]) == (None, [])
    assert told["rows"]["read"] == PROJECTS
    assert told["rows"]["taken"] + told["rows"]["already_there"] == PROJECTS
    appended = (await system.ledger("projects"))[before:]
    assert Counter(entry.type for entry in appended) == {
        "projects.PortfolioRegistered": 1,
        "projects.ProgrammeRegistered": 3,
        "projects.ProjectRegistered": PROJECTS,
        "projects.MilestoneSet": PROJECTS * MILESTONES,
    }
    second = system.gov(*arguments)
    again = second.document
    assert (again["events"], again["rows"]["already_there"]) == (0, PROJECTS), second.err


async def test_every_ledger_chains_and_kafka_has_the_same_documents(system: RunningSystem) -> None:
    for service in system.names:
        await system.wait_carried(service)
        entries, records = await system.ledger(service), await system.topic(service)
        assert broken_chains(entries) == []
        assert missing_from(entries, records) == 0
        assert foreign_to(entries, records) == []
        assert misordered_in(entries, records) == []


async def test_the_services_that_follow_have_heard_of_every_project_once(system: RunningSystem) -> None:
    query = "SELECT count(*) FROM read.nodes WHERE kind = 'project' AND name LIKE 'Dam %'"
    for service in system.names:

        async def knows_all(service: str = service) -> bool:
            return bool((await system.fetch(service, query))[0][0] == PROJECTS)

        await eventually(f"{service} knows {PROJECTS} projects", knows_all, within_s=60)
    assert system.gov("parked", "list", "--json").document == {"items": [], "away": []}


def commands_in(log: Path) -> int:
    return log.read_bytes().count(b"method=POST")
