"""Sending a plan: in order, once, through outages, and with a reason for whatever was not taken."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx2
import pytest
from tests.unit.gov.gatehouse import Fault, Gatehouse, problem

from gov.imports import run
from gov.imports.mapping import GatesMapping, ProjectsMapping
from gov.imports.plan import Plan, plan_gates, plan_projects
from gov.imports.run import Result
from gov.imports.table import Table, read_table

STARTED = datetime(2025, 7, 1, 9, tzinfo=UTC)
PORTFOLIO = {"name": "Works", "currency": "AUD", "time_zone": "Australia/Melbourne"}
ROWS = "ID,Team,Raised,Built\nQ1,North,01/02/2016,01/03/2017\nQ2,North,01/02/2015,\nQ3,,,01/03/2018\n"
DAY = ["%d/%m/%Y"]


@pytest.fixture
def gatehouse() -> Gatehouse:
    return Gatehouse()


@pytest.fixture
def projects(tmp_path: Path) -> tuple[Plan, Table]:
    path = tmp_path / "projects.csv"
    path.write_text(ROWS, encoding="utf-8")
    mapping = ProjectsMapping.model_validate(
        {
            "kind": "projects",
            "portfolio": PORTFOLIO,
            "reference": "ID",
            "name": "{ID}",
            "programme": "Team",
            "registered": {"column": "Raised", "formats": DAY},
            "milestones": {"Built": {"column": "Built", "formats": DAY}},
        }
    )
    table = read_table(path)
    return plan_projects(mapping, table, today=STARTED.date()), table


@pytest.fixture
def gates(tmp_path: Path) -> tuple[Plan, Table]:
    path = tmp_path / "gates.csv"
    path.write_text("ID,BCA\nQ1,01/02/2016\nQ2,\n", encoding="utf-8")
    mapping = GatesMapping.model_validate(
        {
            "kind": "gates",
            "portfolio": PORTFOLIO,
            "reference": "ID",
            "gates": {"BCA": {"column": "BCA", "formats": DAY}},
            "bands": [{"body": "MD", "upper": 5}, {"body": "Board"}],
        }
    )
    table = read_table(path)
    return plan_gates(mapping, table, today=STARTED.date()), table


async def bring(gatehouse: Gatehouse, planned: tuple[Plan, Table], *, patience_s: float = 10.0) -> Result:
    async with gatehouse.client(patience_s=patience_s) as client:
        return await run.run(client, *planned, started=STARTED)


def once(failure: Callable[[], httpx2.Response | Exception], path: str) -> Fault:
    """The first request to a path fails."""
    failed: list[httpx2.Request] = []

    def fault(request: httpx2.Request) -> httpx2.Response | Exception | None:
        if request.url.path.endswith(path) and request.method == "POST" and not failed:
            failed.append(request)
            return failure()
        return None

    return fault


async def test_what_projects_stand_on_is_sent_first_and_each_projects_facts_in_their_order(
    gatehouse: Gatehouse, projects: tuple[Plan, Table]
) -> None:
    result = await bring(gatehouse, projects)
    assert gatehouse.paths()[:2] == ["/portfolios", "/programmes"]
    first = gatehouse.projects["Q1"]
    mine = [(path, body) for path, body in gatehouse.taken if first in path or body.get("reference") == "Q1"]
    assert [path for path, _ in mine] == ["/projects", f"/projects/{first}/milestones"]
    assert mine[0][1]["portfolio"] == gatehouse.portfolios["Works"]
    assert result.complete
    assert result.events == 7
    assert result.as_json()["rows"] == {"read": 3, "taken": 3, "already_there": 0, "silent": 0, "with_problems": 0}


async def test_what_was_before_the_first_project_is_known_since_then_and_what_has_no_time_since_the_run(
    gatehouse: Gatehouse, projects: tuple[Plan, Table]
) -> None:
    await bring(gatehouse, projects)
    times = {
        (path, body.get("reference") or body.get("name")): headers["Gov-Time"]
        for (path, body), headers in zip(gatehouse.taken, gatehouse.headers, strict=True)
    }
    assert times["/portfolios", "Works"] == times["/programmes", "North"] == "2015-02-01T00:00:00+11:00"
    assert times["/projects", "Q1"] == "2016-02-01T00:00:00+11:00"
    assert times["/projects", "Q3"] == STARTED.isoformat()


async def test_a_project_is_registered_only_where_its_parent_can_be_seen(
    gatehouse: Gatehouse, projects: tuple[Plan, Table]
) -> None:
    await bring(gatehouse, projects)
    for (path, body), headers in zip(gatehouse.taken, gatehouse.headers, strict=True):
        if path == "/projects":
            assert headers["Gov-Min-Version"] == f"{body['parent']}@1"


async def test_a_second_run_takes_nothing_twice(gatehouse: Gatehouse, projects: tuple[Plan, Table]) -> None:
    await bring(gatehouse, projects)
    taken = list(gatehouse.taken)
    again = await bring(gatehouse, projects)
    assert gatehouse.taken == taken
    assert (again.complete, again.events) == (True, 0)
    assert again.as_json()["rows"] == {"read": 3, "taken": 0, "already_there": 3, "silent": 0, "with_problems": 0}


@pytest.mark.parametrize("failure", [lambda: problem(503, "unavailable"), lambda: httpx2.ReadTimeout("no answer")])
async def test_a_second_run_takes_nothing_twice_although_a_service_is_away_meanwhile(
    gatehouse: Gatehouse, projects: tuple[Plan, Table], failure: Callable[[], httpx2.Response | Exception]
) -> None:
    await bring(gatehouse, projects)
    gatehouse.before = once(failure, "/milestones")
    again = await bring(gatehouse, projects)
    assert (again.complete, again.events, again.taken) == (True, 0, set())


async def test_the_same_file_in_another_portfolio_is_another_import(
    gatehouse: Gatehouse, projects: tuple[Plan, Table]
) -> None:
    plan, table = projects
    await bring(gatehouse, projects)
    elsewhere = Plan(plan.portfolio.model_copy(update={"name": "Elsewhere"}), plan.programmes, plan.projects)
    assert (await bring(gatehouse, (elsewhere, table))).events == 7


@pytest.mark.parametrize(
    "failure",
    [lambda: problem(503, "unavailable"), lambda: httpx2.ConnectError("refused"), lambda: httpx2.Response(502)],
)
async def test_a_service_that_comes_back_is_waited_for(
    gatehouse: Gatehouse, projects: tuple[Plan, Table], failure: Callable[[], httpx2.Response | Exception]
) -> None:
    gatehouse.before = once(failure, "/programmes")
    result = await bring(gatehouse, projects)
    assert (result.complete, result.events) == (True, 7)


async def test_an_answer_that_was_lost_is_asked_for_again_and_counts_as_taken_once(
    gatehouse: Gatehouse, projects: tuple[Plan, Table]
) -> None:
    gatehouse.after = once(lambda: httpx2.ReadError("connection reset"), "/milestones")
    result = await bring(gatehouse, projects)
    assert (len(gatehouse.taken), result.events) == (7, 7)


async def test_a_service_that_stays_away_stops_the_run_and_what_was_taken_stays(
    gatehouse: Gatehouse, projects: tuple[Plan, Table]
) -> None:
    gatehouse.before = lambda request: (
        httpx2.ConnectError("refused") if request.url.path.endswith("/milestones") else None
    )
    result = await bring(gatehouse, projects, patience_s=0.1)
    assert result.away
    assert result.stopped is not None
    assert "projects is away" in result.stopped
    assert not result.complete
    gatehouse.before = lambda _: None
    assert (await bring(gatehouse, projects)).complete
    assert len(gatehouse.taken) == 7


async def test_a_refused_project_is_reported_with_its_row_and_the_others_are_taken(
    gatehouse: Gatehouse, projects: tuple[Plan, Table]
) -> None:
    errors = [{"pointer": "/name", "value": "Q1", "detail": "the value is refused", "remedy": "give another"}]
    gatehouse.before = lambda request: (
        problem(422, "invalid-input", errors=errors) if b'"reference":"Q1"' in request.content else None
    )
    result = await bring(gatehouse, projects)
    (refused,) = result.problems
    assert (refused.row, refused.column, refused.value, refused.remedy) == (2, "/name", "Q1", "give another")
    assert refused.reason.endswith("1 more facts of this project were not sent")
    assert set(gatehouse.projects) == {"Q2", "Q3"}
    assert result.as_json()["rows"] == {"read": 3, "taken": 2, "already_there": 0, "silent": 0, "with_problems": 1}


async def test_a_refusal_of_an_earlier_run_is_asked_anew_because_its_cause_may_be_gone(
    gatehouse: Gatehouse, projects: tuple[Plan, Table]
) -> None:
    asked: list[str] = []

    def refuse_as_before(request: httpx2.Request) -> httpx2.Response | None:
        if b'"reference":"Q1"' not in request.content:
            return None
        asked.append(request.headers["Idempotency-Key"])
        if len(asked) > 1:
            return None
        refused = problem(409, "parent-not-known")
        refused.headers["Gov-Repeated"] = "true"
        return refused

    gatehouse.before = refuse_as_before
    assert (await bring(gatehouse, projects)).complete
    assert len(set(asked)) == 2


async def test_a_refusal_that_stands_is_asked_for_twice_at_most(
    gatehouse: Gatehouse, projects: tuple[Plan, Table]
) -> None:
    asked = 0

    def refuse(request: httpx2.Request) -> httpx2.Response | None:
        nonlocal asked
        if b'"reference":"Q1"' not in request.content:
            return None
        asked += 1
        refused = problem(409, "project-already-registered", "It is registered.", facts={"name": "a, not b"})
        refused.headers["Gov-Repeated"] = "true"
        return refused

    gatehouse.before = refuse
    (refused,) = (await bring(gatehouse, projects)).problems
    assert asked == 2
    assert (refused.row, refused.value, refused.remedy) == (2, "Q1", "correct name: a, not b")


async def test_without_a_portfolio_nothing_else_is_sent(gatehouse: Gatehouse, projects: tuple[Plan, Table]) -> None:
    gatehouse.before = lambda request: (
        problem(403, "not-allowed", "No role of the caller allows this.") if request.method == "POST" else None
    )
    result = await bring(gatehouse, projects)
    assert gatehouse.taken == []
    assert result.stopped is not None
    assert "not-allowed" in result.stopped
    assert (result.away, [each.row for each in result.problems]) == (False, [run.THE_MAPPING])


async def test_an_expired_sign_in_stops_the_run_at_once(gatehouse: Gatehouse, projects: tuple[Plan, Table]) -> None:
    gatehouse.before = lambda request: problem(401, "not-authenticated") if request.url.path == "/projects" else None
    result = await bring(gatehouse, projects)
    assert result.stopped is not None
    assert "not-authenticated" in result.stopped
    assert result.problems == []


async def test_gates_find_their_projects_by_reference_and_bands_their_bodies(
    gatehouse: Gatehouse, projects: tuple[Plan, Table], gates: tuple[Plan, Table]
) -> None:
    await bring(gatehouse, projects)
    before = len(gatehouse.taken)
    result = await bring(gatehouse, gates)
    sent = gatehouse.taken[before:]
    assert [path for path, _ in sent] == ["/bodies", "/bodies", "/value-bands", "/decisions"]
    bodies: Any = [str(gatehouse.stream_of(path, body)) for path, body in sent[:2]]
    assert [band["body"] for band in sent[2][1]["bands"]] == bodies
    assert sent[3][1]["project"] == gatehouse.projects["Q1"]
    assert result.as_json()["rows"] == {"read": 2, "taken": 1, "already_there": 0, "silent": 1, "with_problems": 0}


async def test_a_decision_on_a_project_that_was_never_brought_in_is_reported(
    gatehouse: Gatehouse, gates: tuple[Plan, Table]
) -> None:
    (missing,) = (await bring(gatehouse, gates)).problems
    assert (missing.row, missing.value, missing.remedy) == (2, "Q1", "bring the projects in first")


async def test_a_project_that_has_not_arrived_yet_is_waited_for(
    gatehouse: Gatehouse, projects: tuple[Plan, Table], gates: tuple[Plan, Table]
) -> None:
    await bring(gatehouse, projects)
    gatehouse.before = once(lambda: problem(404, "not-found"), "/decisions")
    assert (await bring(gatehouse, gates)).complete


def test_a_rehearsal_counts_what_a_run_would_send(projects: tuple[Plan, Table], gates: tuple[Plan, Table]) -> None:
    assert run.rehearse(*projects).planned == {
        "programmes": 1,
        "bodies": 0,
        "value_bands": 0,
        "projects": 3,
        "observations": 0,
        "milestones": 2,
        "decisions": 0,
    }
    assert run.size(projects[0]) == 7
    assert run.rehearse(*gates).as_json()["rows"]["taken"] == 0
