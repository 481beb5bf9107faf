"""Portfolios, programmes and projects over HTTP, down to a real PostgreSQL."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

import pytest
from tests.support.services import Service, done, problem, subject
from tests.support.streams import Stream

from govevents.approvals import (
    Condition,
    ConditionClosed,
    ConditionLapsed,
    Ending,
    OnLapse,
    Outcome,
    ReviewConcluded,
    ReviewKind,
    Role,
    Tally,
)
from govevents.document import Origin
from govkernel.domain import PortfolioId, ProjectId

CHARTER = {
    "purpose": "Replace the main before it bursts.",
    "sponsor": None,
    "manager": None,
    "value": {"amount": "2500000.00", "currency": "AUD"},
}
WATERFALL = {"name": "waterfall", "version": 1}
SOURCE = {"file": "report.csv", "sha256": "a" * 64, "row": 7}
IMPORTED = {"Gov-Time": "2014-05-01T00:00:00Z"}


async def a_portfolio(service: Service, name: str = "Water", time_zone: str = "Australia/Melbourne") -> str:
    body = {"name": name, "currency": "AUD", "time_zone": time_zone}
    return str(done(await service.root.post("/portfolios", json=body), 201)["stream"])


async def a_programme(service: Service, portfolio: str, parent: str | None = None, name: str = "Mains") -> str:
    body = {"portfolio": portfolio, "parent": parent or portfolio, "name": name}
    return str(done(await service.root.post("/programmes", json=body), 201)["stream"])


def project_body(portfolio: str, **changed: Any) -> dict[str, Any]:
    body = {"portfolio": portfolio, "parent": portfolio, "reference": "P-1", "name": "Main 12", "charter": CHARTER}
    return {**body, "methodology": WATERFALL, "attributes": [], "source": None, **changed}


async def a_project(service: Service, portfolio: str, **changed: Any) -> str:
    return str(done(await service.root.post("/projects", json=project_body(portfolio, **changed)), 201)["stream"])


async def gate_says(
    service: Service,
    portfolio: str,
    project: str,
    gate: str | None,
    outcome: Outcome,
    *,
    kind: ReviewKind = ReviewKind.CLOSURE,
    conditions: int = 0,
) -> Stream:
    """Let a gate, or a review of another kind, decide now; its stream can go on to speak of its conditions."""
    review, now = Stream("approvals", time=datetime.now(UTC)), datetime.now(UTC)
    concluded = ReviewConcluded(
        project=ProjectId(UUID(project)),
        portfolio=PortfolioId(UUID(portfolio)),
        kind=kind if gate is None else ReviewKind.GATE,
        gate=gate,
        about=None,
        waives=None,
        outcome=outcome,
        ending=Ending.DECIDED,
        because="",
        tally=Tally(1, 1, 1, 0, 0, 0, 0, 0),
        conditions=(Condition("Settle the easement.", subject("max"), now.date(), "", OnLapse.HOLD, None),)
        * conditions,
        breaches=(),
        body=None,
        submitted_at=now,
    )
    await service.hear(review.event(concluded, later=timedelta()))
    return review


async def everyone(service: Service, node: str) -> None:
    """Give the people of these tests their roles."""
    await service.follow_itself()
    for name, role in (("pia", Role.PMO), ("max", Role.PROJECT_MANAGER), ("sol", Role.SPONSOR), ("vic", Role.VIEWER)):
        await service.assign(name, role, node)


async def test_a_portfolio_is_registered_once_under_its_name(service: Service) -> None:
    body = {"name": "Water", "currency": "AUD", "time_zone": "Australia/Melbourne"}
    first = await service.root.post("/portfolios", json=body)
    again = await service.root.post("/portfolios", json=body)
    portfolio = done(first, 201)["stream"]
    assert done(again) == {"stream": portfolio, "version": 1, "events": []}
    shown = await service.root.get(f"/portfolios/{portfolio}")
    assert done(shown) == {"portfolio": portfolio, **body}
    assert shown.headers["etag"] == '"1"'
    said = problem(
        await service.root.post("/portfolios", json={**body, "currency": "EUR"}), 409, "portfolio-already-registered"
    )
    assert said["facts"] == {"currency": "AUD on record, EUR given"}


async def test_programmes_and_projects_stand_below_each_other(service: Service) -> None:
    portfolio = await a_portfolio(service)
    programme = await a_programme(service, portfolio)
    inner = await a_programme(service, portfolio, programme, "Inner mains")
    project = await a_project(service, portfolio, parent=inner)
    assert done(await service.root.get(f"/programmes/{inner}")) == {
        "programme": inner,
        "portfolio": portfolio,
        "parent": programme,
        "name": "Inner mains",
    }
    shown = done(await service.root.get(f"/projects/{project}"))
    assert (shown["parent"], shown["status"], shown["charter"]) == (inner, "active", CHARTER)
    assert {phase["progress"] for phase in shown["phases"]} == {"waiting"}
    moved = await service.root.post(f"/projects/{project}/moves", json={"parent": programme})
    assert done(moved)["events"] == [{"id": f"{project}@2", "type": "projects.ProjectMoved"}]
    assert done(await service.root.get(f"/projects/{project}"))["parent"] == programme


async def test_the_same_registration_adds_nothing_and_another_under_its_reference_is_refused(service: Service) -> None:
    portfolio = await a_portfolio(service)
    project = await a_project(service, portfolio)
    again = await service.root.post("/projects", json=project_body(portfolio, source=SOURCE))
    assert done(again) == {"stream": project, "version": 1, "events": []}
    other = await service.root.post("/projects", json=project_body(portfolio, name="Main 13"))
    assert problem(other, 409, "project-already-registered")["facts"] == {"name": "Main 12 on record, Main 13 given"}
    await a_programme(service, portfolio)
    other = await service.root.post("/programmes", json={"portfolio": portfolio, "parent": project, "name": "Mains"})
    assert "parent" in problem(other, 409, "programme-already-registered")["facts"]


async def test_a_parent_is_a_known_portfolio_or_programme_of_the_same_portfolio(service: Service) -> None:
    portfolio, other = await a_portfolio(service), await a_portfolio(service, "Roads")
    project = await a_project(service, portfolio)
    programme = await a_programme(service, portfolio)
    for unknown in (str(uuid4()), project):
        for path, body in (
            ("/projects", project_body(portfolio, reference="P-2", parent=unknown)),
            ("/programmes", {"portfolio": portfolio, "parent": unknown, "name": "Pipes"}),
            (f"/projects/{project}/moves", {"parent": unknown}),
            (f"/programmes/{programme}/moves", {"parent": unknown}),
        ):
            said = problem(await service.root.post(path, json=body), 404, "parent-not-known")
            assert said["facts"] == {"parent": unknown}
    for path, body in (
        ("/projects", project_body(portfolio, reference="P-2", parent=other)),
        ("/programmes", {"portfolio": portfolio, "parent": other, "name": "Pipes"}),
        (f"/projects/{project}/moves", {"parent": other}),
        (f"/programmes/{programme}/moves", {"parent": other}),
    ):
        problem(await service.root.post(path, json=body), 409, "parent-of-another-portfolio")


async def test_a_parent_that_comes_later_can_be_asked_for_again_under_the_same_key(service: Service) -> None:
    portfolio = await a_portfolio(service)
    later = await a_portfolio(service, "Roads")
    programme = await a_programme(service, later)
    body = project_body(portfolio, parent=programme)
    problem(await service.root.post("/projects", json=body), 409, "parent-of-another-portfolio")
    key = {"Idempotency-Key": "import-1"}
    waiting = project_body(portfolio, parent=str(uuid4()))
    problem(await service.root.post("/projects", json=waiting, headers=key), 404, "parent-not-known")
    again = await service.root.post("/projects", json=waiting, headers=key)
    problem(again, 404, "parent-not-known")
    assert "gov-repeated" not in again.headers


async def test_programmes_never_make_a_circle_even_when_their_moves_cross(service: Service) -> None:
    portfolio = await a_portfolio(service)
    one, two = [await a_programme(service, portfolio, name=name) for name in ("One", "Two")]
    answers = await asyncio.gather(
        service.root.post(f"/programmes/{one}/moves", json={"parent": two}),
        service.root.post(f"/programmes/{two}/moves", json={"parent": one}),
    )
    assert sorted(answer.status_code for answer in answers) == [200, 409]
    problem(next(answer for answer in answers if answer.status_code == 409), 409, "programme-below-itself")
    itself = await service.root.post(f"/programmes/{one}/moves", json={"parent": one})
    problem(itself, 409, "programme-below-itself")


async def test_a_project_goes_from_phase_to_phase_as_its_gates_say(service: Service) -> None:
    portfolio = await a_portfolio(service)
    project = await a_project(service, portfolio)
    await everyone(service, portfolio)
    manager, sponsor = await service.client("max"), await service.client("sol")
    phases = done(await manager.get(f"/projects/{project}"))["phases"]
    first, gated = phases[0]["code"], next(phase for phase in phases if phase["gate"])
    start, complete = f"/projects/{project}/phase-starts", f"/projects/{project}/phase-completions"
    problem(await manager.post(complete, json={"phase": first}), 409, "phase-not-started")
    said = problem(await manager.post(start, json={"phase": gated["code"]}), 409, "phase-not-authorised")
    assert said["facts"] == {"gate": gated["gate"]}
    problem(await manager.post(start, json={"phase": "nowhere"}), 409, "phase-not-of-project")
    for phase in phases:
        if phase["gate"] is not None:
            await gate_says(service, portfolio, project, phase["gate"], Outcome.GO)
        done(await manager.post(start, json={"phase": phase["code"]}))
        not_yet = await sponsor.post(f"/projects/{project}/completions", json={"summary": "Done?"})
        problem(not_yet, 409, "phases-not-complete")
        done(await manager.post(complete, json={"phase": phase["code"]}))
    problem(await manager.post(start, json={"phase": first}), 409, "phase-already-complete")
    done(await sponsor.post(f"/projects/{project}/completions", json={"summary": "The main is in the ground."}))
    assert done(await manager.get(f"/projects/{project}"))["status"] == "completed"
    problem(await manager.post(start, json={"phase": first}), 409, "project-ended")


async def test_a_gate_can_hold_and_kill_a_project(service: Service) -> None:
    portfolio = await a_portfolio(service)
    project = await a_project(service, portfolio)
    await everyone(service, portfolio)
    sponsor, manager = await service.client("sol"), await service.client("max")
    first = done(await manager.get(f"/projects/{project}"))["phases"][0]["code"]
    done(await manager.post(f"/projects/{project}/phase-starts", json={"phase": first}))
    await gate_says(service, portfolio, project, "G1", Outcome.HOLD)
    resting = await manager.post(f"/projects/{project}/phase-completions", json={"phase": first})
    problem(resting, 409, "project-on-hold")
    done(await sponsor.post(f"/projects/{project}/resumptions", json={"reason": "The money is back."}))
    await gate_says(service, portfolio, project, "G1", Outcome.KILL)
    assert done(await manager.get(f"/projects/{project}"))["status"] == "terminated"
    amended = await sponsor.post(
        f"/projects/{project}/charter-amendments", json={"charter": {**CHARTER, "purpose": "Later."}, "reason": "No."}
    )
    assert problem(amended, 409, "project-ended")["facts"] == {"state": "terminated"}


async def test_work_that_a_gate_had_not_said_may_begin_is_a_breach_once_for_each_day(service: Service) -> None:
    portfolio = await a_portfolio(service)
    project = await a_project(service, portfolio)
    await everyone(service, portfolio)
    manager = await service.client("max")
    gated = next(each for each in done(await manager.get(f"/projects/{project}"))["phases"] if each["gate"])
    path = f"/projects/{project}/work-reports"
    seen = {"phase": gated["code"], "began_on": "2025-03-03", "remark": "Diggers on site."}
    said = done(await manager.post(path, json=seen))
    assert said["events"] == [{"id": f"{project}@2", "type": "projects.GateBreached"}]
    assert done(await manager.post(path, json={**seen, "remark": "Still there."}))["events"] == []
    done(await manager.post(path, json={**seen, "began_on": "2025-03-04"}))
    shown = done(await manager.get(f"/projects/{project}"))
    assert [(each["gate"], each["began_on"]) for each in shown["breaches"]] == [
        (gated["gate"], "2025-03-03"),
        (gated["gate"], "2025-03-04"),
    ]
    assert shown["breaches"][0]["reported_by"] == str(subject("max"))
    assert {each["code"]: each["progress"] for each in shown["phases"]}[gated["code"]] == "waiting"


async def test_work_is_judged_by_the_day_on_which_the_gate_decided(service: Service) -> None:
    portfolio = await a_portfolio(service)
    project = await a_project(service, portfolio)
    await everyone(service, portfolio)
    manager = await service.client("max")
    gated = next(each for each in done(await manager.get(f"/projects/{project}"))["phases"] if each["gate"])
    await gate_says(service, portfolio, project, gated["gate"], Outcome.GO)
    path, today = f"/projects/{project}/work-reports", datetime.now(ZoneInfo("Australia/Melbourne")).date()
    on_the_day = {"phase": gated["code"], "began_on": str(today)}
    assert done(await manager.post(path, json=on_the_day))["events"] == []
    before = {**on_the_day, "began_on": str(today - timedelta(days=2))}
    assert len(done(await manager.post(path, json=before))["events"]) == 1
    for began_on in ("0001-01-01", "0001-01-02"):
        assert len(done(await manager.post(path, json={**on_the_day, "began_on": began_on}))["events"]) == 1
    for to_come in (str(today + timedelta(days=2)), "9999-12-31"):
        refused = problem(await manager.post(path, json={**on_the_day, "began_on": to_come}), 409, "work-not-yet-begun")
        assert refused["facts"]["began_on"] == to_come
    problem(await manager.post(path, json={**on_the_day, "phase": "nowhere"}), 409, "phase-not-of-project")
    problem(await (await service.client("vic")).post(path, json=on_the_day), 403, "not-allowed")


async def test_a_condition_that_lapses_into_hold_holds_its_project(service: Service) -> None:
    portfolio = await a_portfolio(service)
    project = await a_project(service, portfolio)
    await everyone(service, portfolio)
    sponsor = await service.client("sol")
    review = await gate_says(service, portfolio, project, "G1", Outcome.CONDITIONAL_GO, conditions=1)
    told = (ProjectId(UUID(project)), PortfolioId(UUID(portfolio)), 1, subject("max"), datetime.now(UTC).date())
    await service.hear(review.event(ConditionLapsed(*told, OnLapse.HOLD, None)))
    shown = done(await sponsor.get(f"/projects/{project}"))
    assert shown["status"] == "on_hold"
    assert shown["open_conditions"] == [{"review": str(review.stream), "condition": 1}]
    held = (await service.runtime.ledger.events(UUID(project)))[-1]
    assert held.envelope.causationid == f"{review.stream}@2"
    resuming = f"/projects/{project}/resumptions"
    said = problem(await sponsor.post(resuming, json={"reason": "We go on."}), 409, "lapsed-condition-open")
    assert said["facts"] == {"conditions": f"1 of review {review.stream}"}
    await service.hear(review.event(ConditionClosed(ProjectId(UUID(project)), 1, (), "Signed.")))
    assert done(await sponsor.get(f"/projects/{project}"))["status"] == "on_hold"
    done(await sponsor.post(resuming, json={"reason": "We go on."}))
    assert done(await sponsor.get(f"/projects/{project}"))["status"] == "active"


@pytest.mark.parametrize("kind", [kind for kind in ReviewKind if kind not in {ReviewKind.GATE, ReviewKind.CLOSURE}])
async def test_a_review_of_any_kind_can_hold_and_kill_a_project(service: Service, kind: ReviewKind) -> None:
    portfolio = await a_portfolio(service)
    project = await a_project(service, portfolio)
    await everyone(service, portfolio)
    sponsor = await service.client("sol")
    for outcome, status in (
        (Outcome.RECYCLE, "active"),
        (Outcome.GO, "active"),
        (Outcome.HOLD, "on_hold"),
        (Outcome.KILL, "terminated"),
    ):
        await gate_says(service, portfolio, project, None, outcome, kind=kind)
        assert done(await sponsor.get(f"/projects/{project}"))["status"] == status


async def test_a_closure_that_concluded_with_conditions_leaves_the_project_active_until_a_later_one_goes(
    service: Service,
) -> None:
    portfolio = await a_portfolio(service)
    project = await a_project(service, portfolio, methodology=None)
    await everyone(service, portfolio)
    sponsor = await service.client("sol")
    review = await gate_says(service, portfolio, project, None, Outcome.CONDITIONAL_GO, conditions=1)
    shown = done(await sponsor.get(f"/projects/{project}"))
    assert shown["status"] == "active"
    assert shown["open_conditions"] == [{"review": str(review.stream), "condition": 1}]
    await service.hear(review.event(ConditionClosed(ProjectId(UUID(project)), 1, (), "Signed.")))
    assert done(await sponsor.get(f"/projects/{project}"))["status"] == "active"
    await gate_says(service, portfolio, project, None, Outcome.GO)
    assert done(await sponsor.get(f"/projects/{project}"))["status"] == "completed"


async def test_a_project_with_an_open_condition_is_not_closed(service: Service) -> None:
    portfolio = await a_portfolio(service)
    project = await a_project(service, portfolio, methodology=None)
    await everyone(service, portfolio)
    sponsor = await service.client("sol")
    review = await gate_says(
        service, portfolio, project, None, Outcome.CONDITIONAL_GO, kind=ReviewKind.BUDGET, conditions=1
    )
    closing = f"/projects/{project}/completions"
    said = problem(await sponsor.post(closing, json={"summary": "Done?"}), 409, "closure-with-open-conditions")
    assert said["facts"] == {"conditions": f"1 of review {review.stream}"}
    await gate_says(service, portfolio, project, None, Outcome.GO)
    assert done(await sponsor.get(f"/projects/{project}"))["status"] == "active"
    await service.hear(review.event(ConditionClosed(ProjectId(UUID(project)), 1, (), "Signed.")))
    done(await sponsor.post(closing, json={"summary": "Done."}))
    assert done(await sponsor.get(f"/projects/{project}"))["status"] == "completed"


async def test_people_hold_resume_amend_and_terminate(service: Service) -> None:
    portfolio = await a_portfolio(service)
    project = await a_project(service, portfolio)
    await everyone(service, portfolio)
    sponsor = await service.client("sol")
    charter = {**CHARTER, "manager": str(subject("max"))}
    for path, body in (
        ("holds", {"reason": "No money."}),
        ("resumptions", {"reason": "Money."}),
        ("charter-amendments", {"charter": charter, "reason": "Max takes over."}),
        ("terminations", {"reason": "The main was replaced by others."}),
    ):
        assert len(done(await sponsor.post(f"/projects/{project}/{path}", json=body))["events"]) == 1
        assert done(await sponsor.post(f"/projects/{project}/{path}", json=body))["events"] == []
        if path == "terminations":
            break
    shown = done(await sponsor.get(f"/projects/{project}"))
    assert (shown["status"], shown["charter"]["manager"]) == ("terminated", str(subject("max")))


async def test_an_import_brings_history_with_its_own_times(service: Service) -> None:
    portfolio = await a_portfolio(service)
    project = await a_project(service, portfolio, methodology=None)
    observed = {
        "reported_on": "2014-05-01",
        "phase": "Design",
        "budget_forecast": {"amount": "182980960", "currency": "AUD"},
        "forecast_completion": "2020-01-14",
        "schedule_change_days": "-1.5",
        "source": SOURCE,
    }
    path = f"/projects/{project}/observations"
    done(await service.root.post("/projects", json=project_body(portfolio, reference="P-2"), headers=IMPORTED), 201)
    said = done(await service.root.post(path, json=observed))
    assert said["events"] == [{"id": f"{project}@2", "type": "projects.ProjectObserved"}]
    assert done(await service.root.post(path, json=observed))["events"] == []
    differing = problem(await service.root.post(path, json={**observed, "phase": "Built"}), 409, "observation-differs")
    assert differing["facts"] == {"row": "7", "phase": "Design on record, Built given"}
    euros = {**observed, "reported_on": "2014-06-01", "budget_change": {"amount": "1", "currency": "EUR"}}
    problem(await service.root.post(path, json=euros), 409, "budget-in-other-currency")
    shown = done(await service.root.get(f"/projects/{project}"))
    assert shown["observations"] == 1
    assert shown["latest_observation"]["schedule_change_days"] == "-1.5"


async def test_the_import_s_time_and_origin_stand_in_its_events(service: Service) -> None:
    portfolio = await a_portfolio(service)
    body = project_body(portfolio, methodology=None)
    project = done(await service.root.post("/projects", json=body, headers=IMPORTED), 201)["stream"]
    (recorded,) = await service.runtime.ledger.events(UUID(project))
    assert recorded.envelope.time == datetime(2014, 5, 1, tzinfo=UTC)
    assert recorded.envelope.origin is Origin.IMPORTED


async def test_a_milestone_is_reached_by_the_day_in_the_portfolio_s_time_zone(service: Service) -> None:
    portfolio = await a_portfolio(service, "East", "Pacific/Kiritimati")
    other = await a_portfolio(service, "West", "Pacific/Pago_Pago")
    there, here = await a_project(service, portfolio), await a_project(service, other)
    # At this moment it is the second of May in the east, and still the first in the west.
    noon = {"Gov-Time": "2014-05-01T20:00:00Z"}
    body = {"milestone": "built", "basis": "actual", "date": "2014-05-02", "source": SOURCE}
    assert done(await service.root.post(f"/projects/{there}/milestones", json=body, headers=noon))["version"] == 1 + 1
    early = await service.root.post(f"/projects/{here}/milestones", json=body, headers=noon)
    problem(early, 409, "milestone-not-yet-reached")
    planned = {**body, "basis": "planned"}
    done(await service.root.post(f"/projects/{here}/milestones", json=planned, headers=noon))
    (milestone,) = done(await service.root.get(f"/projects/{there}"))["milestones"]
    assert (milestone["milestone"], milestone["date"]) == ("built", "2014-05-02")


@pytest.mark.parametrize(
    "path",
    [
        "charter-amendments",
        "moves",
        "phase-starts",
        "phase-completions",
        "work-reports",
        "holds",
        "resumptions",
        "terminations",
        "completions",
        "observations",
        "milestones",
    ],
)
async def test_what_is_not_known_or_is_something_else_is_not_found(service: Service, path: str) -> None:
    portfolio = await a_portfolio(service)
    body = {
        "charter-amendments": {"charter": CHARTER, "reason": ""},
        "moves": {"parent": portfolio},
        "phase-starts": {"phase": "initiation"},
        "phase-completions": {"phase": "initiation"},
        "work-reports": {"phase": "initiation", "began_on": "2025-03-03"},
        "completions": {"summary": ""},
        "observations": {"reported_on": "2014-05-01", "source": SOURCE},
        "milestones": {"milestone": "built", "basis": "planned", "date": "2014-05-01"},
    }.get(path, {"reason": ""})
    await everyone(service, portfolio)
    pmo = await service.client("pia")
    for unknown in (uuid4(), "nonsense"):
        problem(await pmo.post(f"/projects/{unknown}/{path}", json=body), 404, "not-found")
    kind = "not-found" if path in {"milestones", "work-reports"} else "of-another-kind"
    problem(await pmo.post(f"/projects/{portfolio}/{path}", json=body), 404, kind)


async def test_reading_what_is_not_there_or_is_something_else_is_not_found(service: Service) -> None:
    portfolio = await a_portfolio(service)
    project = await a_project(service, portfolio)
    for path in ("portfolios", "programmes", "projects"):
        problem(await service.root.get(f"/{path}/{uuid4()}"), 404, "not-found")
    problem(await service.root.get(f"/portfolios/{project}"), 404, "of-another-kind")
    problem(await service.root.get(f"/programmes/{portfolio}"), 404, "of-another-kind")
    problem(await service.root.get(f"/projects/{portfolio}"), 404, "of-another-kind")
    problem(await service.root.post(f"/programmes/{uuid4()}/moves", json={"parent": portfolio}), 404, "not-found")


BAD: dict[str, tuple[str, dict[str, Any], str | None]] = {
    "time zone": ("/portfolios", {"time_zone": "Mars/Olympus"}, "/time_zone"),
    "time zone of the server": ("/portfolios", {"time_zone": "localtime"}, "/time_zone"),
    "currency": ("/portfolios", {"currency": "aud"}, "/currency"),
    "empty name": ("/portfolios", {"name": ""}, "/name"),
    "unknown field": ("/portfolios", {"colour": "red"}, "/colour"),
    "number for a decimal": ("/projects", {"charter": {**CHARTER, "value": {"amount": 5, "currency": "AUD"}}}, None),
    "long reference": ("/projects", {"reference": "x" * 101}, "/reference"),
    "methodology": ("/projects", {"methodology": {"name": "waterfall", "version": 99}}, "/methodology"),
    "charter in part": ("/projects", {"charter": {"purpose": ""}}, "/charter/sponsor"),
    "unknown field of the charter": ("/projects", {"charter": {**CHARTER, "colour": "red"}}, "/charter/colour"),
    "source": ("/projects", {"source": {**SOURCE, "sha256": "x"}}, "/source/sha256"),
}


@pytest.mark.parametrize("case", BAD)
async def test_bad_input_is_refused_with_its_place(service: Service, case: str) -> None:
    path, changed, pointer = BAD[case]
    portfolio = await a_portfolio(service)
    good = (
        {"name": "Roads", "currency": "AUD", "time_zone": "UTC"} if path == "/portfolios" else project_body(portfolio)
    )
    said = problem(await service.root.post(path, json={**good, **changed}), 422, "invalid-input")
    assert all(error["remedy"] and error["detail"] for error in said["errors"])
    if pointer is not None:
        assert pointer in {error["pointer"] for error in said["errors"]}
    assert len(await service.runtime.ledger.pool.fetch("SELECT FROM events")) == 1


async def test_html_in_a_name_is_just_text(service: Service) -> None:
    name = "<script>alert('1')</script> & <b>bold</b>"
    portfolio = await a_portfolio(service, name)
    shown = await service.root.get(f"/portfolios/{portfolio}")
    assert shown.headers["content-type"] == "application/json"
    assert done(shown)["name"] == name


async def test_roles_reach_down_the_tree_and_no_further(service: Service) -> None:
    mine, other = await a_portfolio(service), await a_portfolio(service, "Roads")
    programme = await a_programme(service, mine)
    project = await a_project(service, mine, parent=programme)
    foreign = await a_project(service, other)
    await everyone(service, mine)
    pmo, viewer, stranger = await service.client("pia"), await service.client("vic"), await service.client("eve")
    done(await viewer.get(f"/projects/{project}"))
    done(await pmo.post(f"/projects/{project}/holds", json={"reason": "Wait."}))
    for denied in (
        viewer.post(f"/projects/{project}/holds", json={"reason": "Wait."}),
        viewer.post("/projects", json=project_body(mine, reference="P-2")),
        pmo.post("/portfolios", json={"name": "Rail", "currency": "AUD", "time_zone": "UTC"}),
        pmo.post(f"/projects/{foreign}/holds", json={"reason": "Wait."}),
        pmo.post(f"/projects/{project}/moves", json={"parent": other}),
        pmo.post("/projects", json=project_body(other, reference="P-2")),
        pmo.get(f"/projects/{foreign}"),
        stranger.get(f"/projects/{project}"),
        stranger.get(f"/programmes/{programme}"),
        stranger.get(f"/portfolios/{mine}"),
    ):
        problem(await denied, 403, "not-allowed")
    assert done(await stranger.get("/methodologies"))["items"]


async def test_only_the_pmo_says_that_something_was_known_before_today(service: Service) -> None:
    portfolio = await a_portfolio(service)
    project = await a_project(service, portfolio)
    await everyone(service, portfolio)
    body = {"milestone": "built", "basis": "planned", "date": "2014-05-01"}
    path = f"/projects/{project}/milestones"
    denied = await (await service.client("max")).post(path, json=body, headers=IMPORTED)
    assert problem(denied, 403, "not-allowed")["facts"]["action"] == "import"
    done(await (await service.client("pia")).post(path, json=body, headers=IMPORTED))


async def test_a_node_that_has_not_arrived_at_the_read_models_is_said_to_be_unknown(service: Service) -> None:
    portfolio = await a_portfolio(service)
    await everyone(service, portfolio)
    project = await a_project(service, portfolio)
    pmo = await service.client("pia")
    early = problem(await pmo.post(f"/projects/{project}/holds", json={"reason": "Wait."}), 404, "not-found")
    assert project in early["detail"]
    await service.follow_itself()
    done(await pmo.post(f"/projects/{project}/holds", json={"reason": "Wait."}))


async def test_lists_show_what_the_caller_may_see_page_by_page(service: Service) -> None:
    mine, other = await a_portfolio(service), await a_portfolio(service, "Roads")
    for number in range(3):
        await a_project(service, mine, reference=f"P-{number}")
    await a_project(service, other, reference="P-1")
    await everyone(service, mine)
    viewer = await service.client("vic")
    first = await viewer.get("/projects", params={"limit": 2})
    assert [item["reference"] for item in done(first)["items"]] == ["P-0", "P-1"]
    assert 'rel="next"' in first.headers["link"]
    second = done(await viewer.get("/projects", params={"limit": 2, "cursor": done(first)["next"]}))
    assert ([item["reference"] for item in second["items"]], second["next"]) == (["P-2"], None)
    found = done(await service.root.get("/projects", params={"reference": "P-1"}))["items"]
    assert {item["portfolio"] for item in found} == {mine, other}
    (found,) = done(await service.root.get("/projects", params={"portfolio": mine, "reference": "P-1"}))["items"]
    assert found["value"] == CHARTER["value"]
    assert [item["name"] for item in done(await viewer.get("/portfolios"))["items"]] == ["Water"]
    assert [item["name"] for item in done(await service.root.get("/portfolios"))["items"]] == ["Roads", "Water"]
    assert done(await (await service.client("eve")).get("/projects"))["items"] == []


async def test_a_stale_decision_is_told_the_newest_version(service: Service) -> None:
    portfolio = await a_portfolio(service)
    project = await a_project(service, portfolio)
    await service.follow_itself()
    await service.assign("sol", Role.SPONSOR, portfolio)
    sponsor = await service.client("sol")
    path = f"/projects/{project}/holds"
    done(await sponsor.post(path, json={"reason": "Wait."}, headers={"If-Match": '"1"'}))
    stale = await sponsor.post(f"/projects/{project}/resumptions", json={"reason": "On."}, headers={"If-Match": '"1"'})
    assert problem(stale, 412, "stale-version")["facts"]["current_version"] == "2"
