"""The command: one document on stdout for programs, one clear line for people, and exit codes that scripts can use."""

import json
from pathlib import Path
from typing import Any

import pytest

from gov.cli import main
from gov.cli.doctor import examine
from gov.cli.events import broken_link
from gov.cli.output import Exit, plain
from gov.client import Fault, Misconfigured, Problem, find_addresses
from gov.client.addresses import SERVICES
from govevents.document import canonical, hash_of

MAPPING = """
kind: projects
portfolio: { name: Works, currency: AUD, time_zone: Australia/Melbourne }
reference: ID
name: "{ID}"
value: Cost
"""


@pytest.fixture(autouse=True)
def _nothing_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOV_HOME", str(tmp_path / "state"))


@pytest.fixture
def files(tmp_path: Path) -> tuple[str, str]:
    file, mapping = tmp_path / "projects.csv", tmp_path / "projects.yaml"
    file.write_text("ID,Cost\nQ1,5\nQ2,dear\n", encoding="utf-8")
    mapping.write_text(MAPPING, encoding="utf-8")
    return str(file), str(mapping)


def document(capsys: pytest.CaptureFixture[str]) -> Any:
    return json.loads(capsys.readouterr().out)


def test_a_dry_run_says_what_would_be_sent_and_what_cannot_be(
    files: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = tmp_path / "out.json"
    arguments = ["import", "projects", files[0], "--mapping", files[1], "--dry-run", "--json", "--report", str(report)]
    assert main(arguments) == Exit.PROBLEMS
    told = document(capsys)
    assert told["planned"]["projects"] == 2
    assert told["problems"] == [
        {
            "row": 3,
            "column": "Cost",
            "value": "dear",
            "reason": "not a number",
            "remedy": "write digits with a decimal point, such as 1234.50",
        }
    ]
    assert json.loads(report.read_text("utf-8")) == told


def test_people_see_row_column_value_reason_and_remedy(
    files: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["import", "projects", files[0], "--mapping", files[1], "--dry-run"]) == Exit.PROBLEMS
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "dear" in line]
    cells = ["3", "Cost", "dear", "not a number", "write digits with a decimal point, such as 1234.50"]
    assert " ".join(line.split()) == " ".join(cells)


def test_a_clean_dry_run_ends_with_0(files: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    Path(files[0]).write_text("ID,Cost\nQ1,5\n", encoding="utf-8")
    assert main(["import", "projects", files[0], "--mapping", files[1], "--dry-run"]) == Exit.OK
    assert "projects" in capsys.readouterr().out


def test_a_dry_run_of_bands_tells_each_fault_and_one_without_faults_ends_with_0(
    files: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["bands", "publish", files[0], "--portfolio", "Works", "--dry-run"]
    Path(files[0]).write_text("body,upper,currency,inclusive\nBoard,5,AUD,often\n", encoding="utf-8")
    assert main([*arguments, "--json"]) == Exit.PROBLEMS
    (fault,) = document(capsys)["problems"]
    assert (fault["row"], fault["column"], fault["value"], fault["remedy"]) == (
        2,
        "inclusive",
        "often",
        "write yes or no",
    )
    assert main(arguments) == Exit.PROBLEMS
    assert "often" in capsys.readouterr().out
    Path(files[0]).write_text("body,upper,currency,inclusive\nBoard,5,AUD,no\nCabinet,,,\n", encoding="utf-8")
    assert main(arguments) == Exit.OK
    shown = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert {"Would be published", "Board 5 AUD no", "Cabinet without limit"} <= set(shown)


def test_a_dry_run_of_policies_names_them(files: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    Path(files[1]).write_text(
        "policies: [{kind: gate, gate: G1, electorate: {roles: [approver]}, "
        "quorum: {minimum: 1, share: 0.5}, rule: majority}]",
        encoding="utf-8",
    )
    arguments = ["policies", "publish", files[1], "--portfolio", "Works", "--dry-run"]
    assert main([*arguments, "--json"]) == Exit.OK
    assert document(capsys)["policies"] == ["gate G1"]
    assert main(arguments) == Exit.OK
    assert "gate G1" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["import", "gates", "{file}", "--mapping", "{mapping}"], "`gov import projects`"),
        (["import", "projects", "{mapping}", "--mapping", "{file}"], "projects.csv"),
        (["import", "projects", "none.csv", "--mapping", "{mapping}"], "none.csv"),
        (["import", "projects", "{file}"], "--mapping"),
        (["import", "projects", "{file}", "--mapping", "{mapping}", "--dry-run", "--report", "no/where.json"], "no"),
        (["projections", "rebuild"], "--all"),
        (["projections", "rebuild", "decisions", "--all"], "--all"),
        (["parked", "skip", "approvals", "3"], "--reason"),
        (["parked", "skip", "approvals", "3", "--reason", " "], "why"),
        (["parked", "show", "approvals", "0"], "'record'"),
        (["log", "recover"], "'service'"),
        (["log", "recover", "projects", "--reason", " "], "why"),
        (["log", "verify", "--findings", "0"], "--findings"),
        (["relay", "republish", "projects"], "--reason"),
        (["relay", "republish", "projects", "--reason", " "], "why"),
        (["relay", "vouch", "projects"], "--reason"),
        (["projections", "rollback", "nodes"], "--reason"),
        (["projections", "rollback", "nodes", "--reason", " "], "why"),
        (["projections", "diff"], "'name'"),
        (["bands", "publish", "{file}", "--dry-run"], "--portfolio"),
        (["policies", "publish", "{file}", "--portfolio", "Works"], "projects.csv"),
        (["policies", "publish", "{mapping}", "--portfolio", "Works"], "policies"),
        (["policies", "show", "--portfolio", "Works", "--gate", "G1"], "--kind"),
        (["policies", "show", "--portfolio", "Works", "--editions"], "--kind"),
        (["policies", "show", "--portfolio", "Works", "--kind", "coffee"], "coffee"),
        (["meetings", "list"], "--portfolio"),
        (["meetings", "show", "not-an-id"], "'meeting'"),
        (["meetings", "calendar", "--days", "0"], "--days"),
        (["meetings", "calendar", "--ics", "--json"], "--ics"),
        (["dossier", "not-an-id"], "'review'"),
        (["what-if", "{mapping}"], "--portfolio"),
        (["what-if", "{mapping}", "--portfolio", "Works"], "changes"),
        (["events", "tail", "--service", "payroll"], "payroll"),
        (["events", "show", "not-an-id"], "'stream'"),
        (["up", "--json"], "--detach"),
        (["latency", "--by", "mood"], "mood"),
        (["fly"], "fly"),
    ],
)
def test_wrong_use_ends_with_2_and_says_what_is_wrong(
    files: tuple[str, str], arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([each.format(file=files[0], mapping=files[1]) for each in arguments]) == Exit.WRONG_USE
    captured = capsys.readouterr()
    assert said in captured.err
    assert captured.out == ""


@pytest.mark.parametrize(
    "arguments",
    [
        ["status"],
        ["events", "tail"],
        ["kpi", "list"],
        ["projections", "status"],
        ["token", "ana"],
        ["bands", "show", "--portfolio", "Works"],
        ["policies", "show", "--portfolio", "Works"],
        ["meetings", "list", "--portfolio", "Works"],
        ["meetings", "calendar"],
        ["inbox"],
        ["decisions", "--gate", "G1"],
        ["latency", "--by", "policy"],
        ["dossier", "11111111-1111-4111-8111-111111111111"],
    ],
)
def test_a_system_that_is_away_ends_with_3_and_one_document(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*arguments, "--json"]) == Exit.AWAY
    told = document(capsys)
    assert told.get("state") == "stopped" or "`gov up`" in told["error"]["detail"]


def test_what_is_parked_is_listed_where_services_answer_and_the_others_are_named(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["parked", "list", "--json"]) == Exit.AWAY
    assert document(capsys) == {"items": [], "away": list(SERVICES)}


@pytest.mark.parametrize("arguments", [["log", "verify"], ["relay", "status"]])
def test_ledgers_are_told_of_where_services_answer_and_the_others_are_named(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*arguments, "--json"]) == Exit.AWAY
    assert document(capsys) == {"items": [], "away": list(SERVICES)}


def test_nothing_is_made_by_only_looking(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["status"])
    main(["down"])
    main(["kpi", "list"])
    assert not (tmp_path / "state").exists()
    assert "Nothing was running." in capsys.readouterr().out


def test_the_doctor_looks_at_everything_and_says_what_to_do_where_something_is_missing(tmp_path: Path) -> None:
    findings = {finding.name: finding for finding in examine(tmp_path, lambda port: port != 5433)}
    assert set(findings) == {
        "Python",
        "Java",
        "PostgreSQL",
        "Apache Kafka",
        "Disk",
        "Memory",
        "State folder",
        "Ports",
    }
    assert findings["Ports"].found == "taken, others are chosen for: 5433 (postgres)"
    assert all(finding.ok or finding.remedy for finding in findings.values())


def test_addresses_of_the_environment_come_before_the_local_ones(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    folder.mkdir()
    local = {"projects": "http://127.0.0.1:8101", "risks": "http://127.0.0.1:8103", "kafka": "127.0.0.1:9192"}
    (folder / "runtime.json").write_text(json.dumps({"addresses": local}), encoding="utf-8")
    found = find_addresses({"GOV_PROJECTS_URL": "https://gov.example/projects/"}, folder)
    assert found.of("projects") == "https://gov.example/projects"
    assert found.of("risks") == "http://127.0.0.1:8103"
    assert found.kafka == "127.0.0.1:9192"


@pytest.mark.parametrize("address", ["gov.example", "ftp://gov.example", "https://", "http://x:port", "http://x/?a=1"])
def test_an_address_that_is_none_is_refused_by_the_variable_that_gives_it(tmp_path: Path, address: str) -> None:
    with pytest.raises(Misconfigured, match="GOV_RISKS_URL"):
        find_addresses({"GOV_RISKS_URL": address}, tmp_path)


def test_a_problem_is_one_line_for_each_fault_with_field_value_and_remedy() -> None:
    faults = (
        Fault("/charter/value/amount", "12,5", "not a decimal", "write 12.5"),
        Fault("If-Match", None, "missing", "send the ETag"),
    )
    assert Problem(422, "invalid-input", "2 faults", {}, faults, None).lines() == [
        "invalid-input: /charter/value/amount = '12,5': not a decimal; write 12.5",
        "invalid-input: If-Match: missing; send the ETag",
    ]
    assert Problem(403, "not-allowed", "No role allows it.", {"node": "n"}, (), None).lines() == [
        "not-allowed: No role allows it (node: n)"
    ]


def test_what_comes_from_outside_can_not_move_the_cursor_nor_be_markup() -> None:
    assert plain("\x1b[2J[red]Dam\x07").plain == "\\x1b[2J[red]Dam\\x07"


def test_a_stream_whose_chain_is_broken_names_the_first_version_that_does_not_follow() -> None:
    first = {"version": 1, "data": {"a": 1}}
    second = {"version": 2, "data": {}, "prevhash": hash_of(canonical(first)).hex()}
    assert broken_link([first, second]) is None
    assert broken_link([{**first, "data": {"a": 2}}, second]) == 2
    assert broken_link([second]) == 2
