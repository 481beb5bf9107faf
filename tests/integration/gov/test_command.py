"""The command against a real service on a real PostgreSQL and Kafka, through a kill in the middle of an import."""

import asyncio
import json
import os
import signal
from collections.abc import Iterator
from typing import Any

import asyncpg
import pytest

from gov.cli import main
from gov.cli.output import Exit
from gov.runtime.ports import choose_ports
from gov.runtime.state import State
from gov.runtime.system import LocalSystem, Service

PROJECTS = 60

MAPPING = """
kind: projects
portfolio: { name: Works, currency: AUD, time_zone: Australia/Melbourne }
reference: ID
name: "{Name}"
programme: Team
value: Cost
registered: { column: Raised, formats: ["%d/%m/%Y"] }
milestones: { Built: { column: Built, formats: ["%d/%m/%Y"] } }
"""


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalSystem]:
    folder = tmp_path_factory.mktemp("system")
    (port,) = choose_ports(1)
    running = LocalSystem(State(folder / "state"), [Service("projects", port)])
    before = os.environ.get("GOV_HOME")
    os.environ["GOV_HOME"] = str(running.state.folder)
    try:
        running.up(detach=True)
        yield running
    finally:
        running.forget()
        os.environ.pop("GOV_HOME")
        if before is not None:
            os.environ["GOV_HOME"] = before


@pytest.fixture(scope="module")
def arguments(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("files")
    rows = ["ID,Name,Team,Cost,Raised,Built"]
    rows += [f"Q{n},<b>Dam {n}</b>,Team {n % 3},{n}.50,01/02/{2000 + n % 20},01/03/2021" for n in range(PROJECTS)]
    rows += ["Q0,again,,1,,", "Q900,odd,,dear,,soon"]
    (folder / "projects.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    (folder / "projects.yaml").write_text(MAPPING, encoding="utf-8")
    return ["import", "projects", str(folder / "projects.csv"), "--mapping", str(folder / "projects.yaml"), "--json"]


def said(capsys: pytest.CaptureFixture[str]) -> Any:
    return json.loads(capsys.readouterr().out)


async def gov(*arguments: str) -> int:
    # The command has an event loop of its own.
    return await asyncio.to_thread(main, arguments)


async def kill_while_it_takes_commands(system: LocalSystem) -> None:
    """Kill the service once the import's first events are in its log."""
    log = system.state.logs / "projects.log"
    async with asyncio.timeout(60):
        while log.read_text(encoding="utf-8", errors="replace").count("registerProject") < 5:
            await asyncio.sleep(0.01)
    (child,) = [child for child in system.status().children if child.name == "projects"]
    assert child.process is not None
    os.kill(child.process.pid, signal.SIGKILL)


async def test_an_import_survives_the_death_of_its_service_and_a_second_run_takes_nothing_twice(
    system: LocalSystem, arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    code, _ = await asyncio.gather(gov(*arguments), kill_while_it_takes_commands(system))
    first = said(capsys)
    assert code == Exit.PROBLEMS
    assert [(each["row"], each["column"], each["value"]) for each in first["problems"]] == [
        (PROJECTS + 2, "ID", "Q0"),
        (PROJECTS + 3, "Cost", "dear"),
        (PROJECTS + 3, "Built", "soon"),
    ]
    assert first["stopped"] is None
    assert first["rows"] == {"read": 62, "taken": 61, "already_there": 0, "silent": 0, "with_problems": 2}
    # A portfolio, three programmes, the good rows with their milestones, and the row without its bad cells.
    assert first["events"] == 1 + 3 + 2 * PROJECTS + 1
    assert await gov(*arguments) == Exit.PROBLEMS
    again = said(capsys)
    assert (again["events"], again["rows"]["already_there"]) == (0, PROJECTS)
    assert again["problems"] == first["problems"]


async def test_what_was_taken_is_in_the_log_as_the_file_says_it_and_chains(
    system: LocalSystem, arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    await gov(*arguments)
    capsys.readouterr()
    assert await gov("events", "tail", "--service", "projects", "--last", "1000", "--json") == Exit.OK
    # The relay that was killed may have sent some for the second time.
    documents = list({each["id"]: each for each in said(capsys)}.values())
    assert len(documents) == 1 + 3 + 2 * PROJECTS + 1
    assert {each["origin"] for each in documents} == {"imported"}
    (registered,) = [
        each for each in documents if each["type"] == "projects.ProjectRegistered" and each["data"]["reference"] == "Q7"
    ]
    assert registered["data"]["name"] == "<b>Dam 7</b>"
    assert registered["data"]["charter"]["value"] == {"amount": "7.50", "currency": "AUD"}
    assert registered["time"] == "2007-01-31T13:00:00Z"
    assert await gov("events", "show", registered["stream"], "--json") == Exit.OK
    shown = said(capsys)
    assert shown["broken_at"] is None
    assert shown["events"] == [each for each in documents if each["stream"] == registered["stream"]]


async def test_a_rebuild_from_the_log_gives_the_same_rows(
    system: LocalSystem, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await gov("projections", "rebuild", "nodes", "--service", "projects", "--json") == Exit.OK
    (rebuilt,) = said(capsys)["items"]
    assert (rebuilt["name"], rebuilt["state"], rebuilt["outcome"]) == ("nodes", "live", "the same rows")
    assert await gov("projections", "list", "--service", "projects", "--json") == Exit.OK
    assert rebuilt["build"] in [each["build"] for each in said(capsys)["items"] if each["name"] == "nodes"]


async def test_nobody_without_the_right_brings_anything_in_and_the_refusal_is_one_clear_line(
    system: LocalSystem, arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert await gov(*arguments, "--as", "eve") == Exit.PROBLEMS
    refused = said(capsys)
    assert refused["events"] == 0
    assert "not-allowed" in refused["stopped"]
    assert await gov("parked", "list", "--service", "projects", "--as", "eve") == Exit.PROBLEMS
    (line,) = capsys.readouterr().err.splitlines()
    assert "not-allowed" in line
    assert await gov("token", "nobody") == Exit.WRONG_USE
    assert "ana" in capsys.readouterr().err
    assert await gov("projections", "rebuild", "none", "--service", "projects") == Exit.WRONG_USE
    assert "nodes" in capsys.readouterr().err


async def test_nothing_is_parked(system: LocalSystem, capsys: pytest.CaptureFixture[str]) -> None:
    assert await gov("parked", "list", "--service", "projects", "--json") == Exit.OK
    assert said(capsys) == {"items": [], "away": []}
    assert await gov("parked", "show", "projects", "1") == Exit.PROBLEMS
    assert "not-found" in capsys.readouterr().err


async def test_the_status_shows_every_process(system: LocalSystem, capsys: pytest.CaptureFixture[str]) -> None:
    assert await gov("status", "--json") == Exit.OK
    told = said(capsys)
    assert {child["name"] for child in told["children"]} == {"postgres", "kafka", "issuer", "projects"}
    assert told["addresses"]["projects"] == system.status().addresses["projects"]


async def sent(capsys: pytest.CaptureFixture[str]) -> Any:
    """What `gov relay status` says once everything has been sent."""
    async with asyncio.timeout(30):
        while True:
            assert await gov("relay", "status", "projects", "--json") == Exit.OK
            (relay,) = said(capsys)["items"]
            if relay["lag_rows"] == 0 and relay["acknowledged"]:
                return relay
            await asyncio.sleep(0.1)


async def recorded(system: LocalSystem) -> list[tuple[str, str]]:
    """What operators have ordered, with the reasons, as the ledger keeps it."""
    connection = await asyncpg.connect(system.environment("projects")["GOV_MIGRATION_DATABASE_URL"])
    rows = await connection.fetch("SELECT document FROM events WHERE type LIKE 'operations.%' ORDER BY seq")
    await connection.close()
    documents = [json.loads(row["document"]) for row in rows]
    return [(each["type"].partition(".")[2], each["data"]["reason"]) for each in documents]


async def test_the_relay_is_shown_and_sends_everything_once_more_when_told(
    system: LocalSystem, capsys: pytest.CaptureFixture[str]
) -> None:
    relay = await sent(capsys)
    assert relay["verified"]
    assert relay["leader"]
    assert relay["topic_id"]
    assert await gov("relay", "republish", "projects", "--reason", "to see it", "--json") == Exit.OK
    assert said(capsys)["repeated"] is False
    relay = await sent(capsys)
    assert await gov("log", "verify", "projects", "--json") == Exit.OK
    (found,) = said(capsys)["items"]
    assert found["counts"] == {}
    assert found["repeats"] >= found["events"] - 1
    assert await recorded(system) == [("LedgerRepublished", "to see it")]


async def test_what_a_ledger_lost_is_named_first_and_brought_back_when_told(
    system: LocalSystem, capsys: pytest.CaptureFixture[str]
) -> None:
    await sent(capsys)
    connection = await asyncpg.connect(system.environment("projects")["GOV_MIGRATION_DATABASE_URL"])
    streams = await connection.fetch("SELECT stream FROM events WHERE version = 2 ORDER BY stream LIMIT 5")
    lost = [row["stream"] for row in streams]
    before = await connection.fetch("SELECT stream, version, document FROM events ORDER BY 1, 2")
    await connection.execute("DELETE FROM events WHERE stream = ANY($1) AND version > 1", lost)
    await connection.execute("DELETE FROM commands WHERE stream = ANY($1) AND to_version > 1", lost)

    assert await gov("log", "recover", "projects", "--json") == Exit.PROBLEMS
    shown = said(capsys)
    assert shown["lost"] == len(shown["findings"]) >= 5
    assert shown["brought_back"] is None
    assert await connection.fetchval("SELECT count(*) FROM events") == len(before) - shown["lost"]

    assert await gov("log", "recover", "projects", "--reason", "rows were deleted by hand", "--json") == Exit.OK
    assert said(capsys)["brought_back"] == shown["lost"]
    after = await connection.fetch("SELECT stream, version, document FROM events ORDER BY 1, 2")
    await connection.close()
    assert {tuple(row) for row in before} <= {tuple(row) for row in after}
    assert ("LedgerRecovered", "rows were deleted by hand") in await recorded(system)
    assert await gov("log", "recover", "projects") == Exit.OK
    assert "lacks nothing" in capsys.readouterr().out
    assert await gov("log", "verify", "projects", "--json") == Exit.OK


async def test_two_documents_at_one_place_are_named_and_nothing_is_touched(
    system: LocalSystem, capsys: pytest.CaptureFixture[str]
) -> None:
    await sent(capsys)
    connection = await asyncpg.connect(system.environment("projects")["GOV_MIGRATION_DATABASE_URL"])
    row = await connection.fetchrow("SELECT stream, hash FROM events WHERE version = 1 ORDER BY stream LIMIT 1")
    assert row is not None
    await connection.execute("UPDATE events SET hash = 'x' WHERE stream = $1 AND version = 1", row["stream"])
    assert await gov("log", "recover", "projects", "--reason", "try it", "--json") == Exit.PROBLEMS
    found = said(capsys)
    await connection.execute("UPDATE events SET hash = $2 WHERE stream = $1 AND version = 1", *row)
    await connection.close()
    assert found["in_the_way"] >= 1
    assert found["findings"][0]["place"] == f"{row['stream']}@1"
    assert row["hash"].hex() in found["findings"][0]["what"]
    assert ("LedgerRecovered", "try it") not in await recorded(system)
    assert await gov("log", "verify", "projects") == Exit.OK
    assert "Ledgers" in capsys.readouterr().out


async def test_a_build_is_compared_with_the_live_one_and_rolled_back_to(
    system: LocalSystem, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await gov("projections", "rebuild", "nodes", "--service", "projects", "--json") == Exit.OK
    (rebuilt,) = said(capsys)["items"]
    for arguments in ([], ["--log"]):
        assert await gov("projections", "diff", "nodes", "--service", "projects", "--json", *arguments) == Exit.OK
        found = said(capsys)
        assert found["same"] is True
        assert found["live"] == rebuilt["build"]
        assert found["streams"] > PROJECTS
    reason = ["--reason", "the board asked for it"]
    assert await gov("projections", "rollback", "nodes", "--service", "projects", *reason, "--json") == Exit.OK
    back = said(capsys)
    assert (back["state"], back["build"]) == ("live", rebuilt["build"] - 1)
    assert ("ReadModelRolledBack", "the board asked for it") in await recorded(system)
    assert await gov("projections", "rollback", "nodes", "--service", "projects", *reason) == Exit.OK
    assert f"build {rebuilt['build']}" in capsys.readouterr().out
    assert await gov("projections", "diff", "none", "--service", "projects") == Exit.PROBLEMS
    assert "not-found" in capsys.readouterr().err
