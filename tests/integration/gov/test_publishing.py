"""Bands and policies from files against the real services, and shown as the services have them."""

import asyncio
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gov.cli import main
from gov.cli.output import Exit, Output
from gov.cli.session import client_of, wait_for
from gov.runtime.ports import choose_ports
from gov.runtime.state import State
from gov.runtime.system import LocalSystem, Service

BANDS = "body,upper,currency,inclusive\nCouncil,2500000,AUD,no\nBoard,125000000.00,AUD,yes\nTreasury,,,\n"
POLICIES = """
policies:
  - kind: gate
    gate: G1
    electorate: { by_value_band: true }
    quorum: { minimum: 2, share: 0.50 }
    rule: majority
    time_limit: { days: 14, then: escalate, reminder_days: [7, 1] }
    escalate_to: Treasury
    deliverables: [{ code: plan, name: Project plan, evidence_kind: plan }]
    criteria: [{ code: asked, text: Users were asked., need: should, evidence_kinds: [survey] }]
    conditions: { most: 3, longest_days: 90, lapses: [hold], reminder_days: [14] }
  - kind: closure
    electorate: { roles: [approver], body: Board }
    quorum: { minimum: 1, share: 0 }
    rule: consensus
"""
WORKS = ("--portfolio", "Works")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with both files, beside a system that has a portfolio called Works."""
    folder = tmp_path_factory.mktemp("publishing")
    (folder / "bands.csv").write_text(BANDS, encoding="utf-8")
    (folder / "policies.yaml").write_text(POLICIES, encoding="utf-8")
    projects, approvals = choose_ports(2)
    running = LocalSystem(State(folder / "state"), [Service("projects", projects), Service("approvals", approvals)])
    before = os.environ.get("GOV_HOME")
    os.environ["GOV_HOME"] = str(running.state.folder)
    try:
        running.up(detach=True)
        wait_for(register())
        yield folder
    finally:
        running.forget()
        os.environ.pop("GOV_HOME")
        if before is not None:
            os.environ["GOV_HOME"] = before


async def register() -> None:
    """Register the portfolio, and wait until approvals knows of it."""
    async with client_of(Output(json=True), "ana", patience_s=30) as client:
        named = {"name": "Works", "currency": "AUD", "time_zone": "Australia/Melbourne"}
        answer = await client.command("projects", "/portfolios", named)
        formed = {"portfolio": str(answer.stream), "name": "Council"}
        await client.command("approvals", "/bodies", formed, seen=[answer.seen])


async def gov(*arguments: str) -> int:
    # The command has an event loop of its own.
    return await asyncio.to_thread(main, arguments)


async def said(capsys: pytest.CaptureFixture[str], *arguments: str, code: Exit = Exit.OK) -> Any:
    assert await gov(*arguments, "--json") == code
    return json.loads(capsys.readouterr().out)


async def test_a_table_is_published_once_its_bodies_are_there_and_shown_with_its_source(
    files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    publish = ("bands", "publish", str(files / "bands.csv"), *WORKS)
    refused = await said(capsys, *publish, code=Exit.PROBLEMS)
    assert [(each["row"], each["column"], each["value"]) for each in refused["problems"]] == [
        (3, "body", "Board"),
        (4, "body", "Treasury"),
    ]
    first = await said(capsys, *publish, "--form-bodies")
    assert (first["published"], first["bodies_formed"]) == (True, ["Board", "Treasury"])
    again = await said(capsys, *publish)
    assert (again["published"], again["bodies_formed"]) == (False, [])
    shown = await said(capsys, "bands", "show", *WORKS)
    assert [(band["name"], band["upper"], band["inclusive"]) for band in shown["bands"]] == [
        ("Council", {"amount": "2500000", "currency": "AUD"}, False),
        ("Board", {"amount": "125000000.00", "currency": "AUD"}, True),
        ("Treasury", None, False),
    ]
    assert shown["source"] == {"file": "bands.csv", "sha256": first["sha256"], "row": 1}
    assert await gov("bands", "show", "--portfolio", shown["portfolio"]) == Exit.OK
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert "Board 125000000.00 AUD yes" in lines
    assert f"From bands.csv, SHA-256 {first['sha256']}." in lines


async def test_policies_are_published_as_editions_and_shown_with_all_they_say(
    files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    await said(capsys, "bands", "publish", str(files / "bands.csv"), *WORKS, "--form-bodies")
    publish = ("policies", "publish", str(files / "policies.yaml"), *WORKS)
    first = await said(capsys, *publish)
    assert [(each["kind"], each["number"], each["published"]) for each in first["editions"]] == [
        ("gate", 1, True),
        ("closure", 1, True),
    ]
    again = await said(capsys, *publish)
    assert [each["published"] for each in again["editions"]] == [False, False]
    (files / "second.yaml").write_text(POLICIES.replace("consensus", "majority"), encoding="utf-8")
    second = await said(capsys, "policies", "publish", str(files / "second.yaml"), *WORKS)
    assert [(each["number"], each["published"]) for each in second["editions"]] == [(1, False), (2, True)]
    back = await said(capsys, *publish)
    assert [(each["number"], each["published"]) for each in back["editions"]] == [(1, False), (3, True)]

    gate, closure = (await said(capsys, "policies", "show", *WORKS))["items"]
    assert (gate["quorum"]["share"], gate["conditions"]["lapses"]) == ("0.50", ["hold"])
    table = await said(capsys, "bands", "show", *WORKS)
    assert [band["name"] for band in table["bands"] if band["body"] == gate["escalate_to"]] == ["Treasury"]
    assert (closure["number"], closure["rule"]) == (3, "consensus")
    (only,) = (await said(capsys, "policies", "show", *WORKS, "--kind", "gate", "--gate", "G1"))["items"]
    assert only == gate
    history = (await said(capsys, "policies", "show", *WORKS, "--kind", "closure", "--editions"))["items"]
    assert [each["edition"]["rule"] for each in history] == ["consensus", "majority", "consensus"]
    assert all(each["published_by"] and each["published_at"] for each in history)

    assert await gov("policies", "show", *WORKS) == Exit.OK
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert (
        "G1 1 the body of the value's band 2, or 0.50 of all majority 14 days, then escalate plan asked at most 3"
        in lines
    )
    assert await gov("policies", "show", *WORKS, "--kind", "closure", "--editions") == Exit.OK
    assert "Editions" in capsys.readouterr().out


async def test_a_policy_that_the_service_refuses_is_told_by_name_and_the_others_are_taken(
    files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    await said(capsys, "bands", "publish", str(files / "bands.csv"), *WORKS, "--form-bodies")
    bad = POLICIES.replace("minimum: 2, share: 0.50", "minimum: 0, share: 1.5").replace("kind: closure", "kind: budget")
    (files / "bad.yaml").write_text(bad, encoding="utf-8")
    told = await said(capsys, "policies", "publish", str(files / "bad.yaml"), *WORKS, code=Exit.PROBLEMS)
    assert [(each["kind"], each["number"]) for each in told["editions"]] == [("budget", 1)]
    (fault,) = told["faults"]
    assert (fault["policy"], fault["field"], fault["value"]) == ("gate G1", "minimum, share", "0, 1.5")


async def test_whoever_may_not_publish_and_a_portfolio_that_is_none_are_told_apart(
    files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    publish = ("policies", "publish", str(files / "policies.yaml"))
    assert await gov(*publish, "--portfolio", "Nowhere") == Exit.WRONG_USE
    assert "--portfolio: there is no portfolio 'Nowhere'" in capsys.readouterr().err
    assert await gov(*publish, *WORKS, "--as", "vic") == Exit.WRONG_USE, "she sees no portfolio of this name"
    capsys.readouterr()
    await said(capsys, "bands", "publish", str(files / "bands.csv"), *WORKS, "--form-bodies")
    works = (await said(capsys, "bands", "show", *WORKS))["portfolio"]
    refused = await said(capsys, *publish, "--portfolio", works, "--as", "vic", code=Exit.PROBLEMS)
    assert refused["error"]["problem"] == "not-allowed"
    absent = await said(capsys, "policies", "show", *WORKS, "--kind", "gate", "--gate", "G9", code=Exit.PROBLEMS)
    assert absent["error"]["problem"] == "not-found"
