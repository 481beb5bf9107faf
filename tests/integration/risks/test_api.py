import asyncio
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import httpx2
import pytest
from tests.support.services import Service, done, problem, subject
from tests.support.streams import Stream

from govevents.approvals import Role
from govevents.document import Origin
from govevents.projects import Charter, PortfolioRegistered, ProgrammeRegistered, ProjectRegistered
from govevents.risks import MatrixPublished, RiskAssessed
from govkernel.domain import NodeId, PortfolioId

CHARTER = Charter("Replace the main.", None, None, None)
RISK = {
    "kind": "threat",
    "title": "Main bursts",
    "cause": "The main is old.",
    "event": "It bursts.",
    "effect": "The street floods.",
    "category": "technical",
    "owner": str(subject("max")),
    "proximity": "2030-06-30",
}
ASSESSMENT = {
    "basis": "current",
    "probability": 3,
    "impacts": [{"dimension": "cost", "level": 4}, {"dimension": "time", "level": 2}],
    "money_at_stake": {"amount": "100000.50", "currency": "AUD"},
    "reason": "As the pipes were seen.",
}
RESPONSE = {
    "strategy": "reduce",
    "action": "Line the pipe.",
    "owner": str(subject("max")),
    "due": "2030-03-01",
    "cost": {"amount": "9000", "currency": "AUD"},
}
OCCURRENCE = {
    "title": "Main 12 burst",
    "description": "It burst at night.",
    "severity": "high",
    "owner": str(subject("max")),
}
ISSUE = {
    "kind": "problem",
    "title": "The pump is late",
    "description": "It is still at sea.",
    "severity": "medium",
    "owner": str(subject("max")),
}
IMPORTED = {"Gov-Time": "2014-05-01T00:00:00Z"}


async def a_portfolio(service: Service, name: str = "Water") -> str:
    """What projects would have said of a portfolio."""
    stream = Stream("projects")
    await service.hear(stream.event(PortfolioRegistered(name, "AUD", "Australia/Melbourne")))
    return str(stream.stream)


async def a_project(service: Service, portfolio: str, reference: str = "P-1") -> str:
    """What projects would have said of a project."""
    stream, own = Stream("projects"), PortfolioId(UUID(portfolio))
    registered = ProjectRegistered(own, NodeId(own), reference, "Main 12", CHARTER, None, (), None)
    await service.hear(stream.event(registered))
    return str(stream.stream)


async def everyone(service: Service, node: str) -> None:
    """Give the people of these tests their roles."""
    for name, role in (
        ("pia", Role.PMO),
        ("max", Role.PROJECT_MANAGER),
        ("sol", Role.SPONSOR),
        ("con", Role.CONTRIBUTOR),
        ("vic", Role.VIEWER),
    ):
        await service.assign(name, role, node)


async def a_matrix(service: Service, portfolio: str, **fields: Any) -> dict[str, Any]:
    return dict(done(await service.root.post("/matrices", json={"portfolio": portfolio, **fields}), 201))


async def a_risk(service: Service, project: str, **changed: Any) -> str:
    answer = await service.root.post("/risks", json={"project": project, **RISK, **changed})
    return str(done(answer, 201)["stream"])


async def test_the_usual_matrix_is_published_by_naming_the_portfolio(service: Service) -> None:
    portfolio = await a_portfolio(service)
    problem(await service.root.get(f"/matrices/{portfolio}"), 404, "not-found")
    published = await a_matrix(service, portfolio)
    shown = await service.root.get(f"/matrices/{portfolio}")
    assert done(shown) == {
        "number": 1,
        "portfolio": portfolio,
        "probabilities": ["0.1", "0.3", "0.5", "0.7", "0.9"],
        "impacts": ["0.05", "0.1", "0.2", "0.4", "0.8"],
        "dimensions": ["cost", "time", "quality"],
        "method": "highest",
    }
    assert shown.headers["etag"] == '"1"'
    assert shown.headers["gov-version"] == f"{published['stream']}@1"


async def test_a_matrix_gets_a_new_edition_only_where_it_differs(service: Service) -> None:
    portfolio = await a_portfolio(service)
    await a_matrix(service, portfolio)
    assert done(await service.root.post("/matrices", json={"portfolio": portfolio}))["events"] == []
    averaged = {"portfolio": portfolio, "method": "average_of_impacts"}
    assert done(await service.root.post("/matrices", json=averaged))["version"] == 2
    shown = done(await service.root.get(f"/matrices/{portfolio}"))
    assert (shown["number"], shown["method"]) == (2, "average_of_impacts")


@pytest.mark.parametrize(
    ("fields", "slug"),
    [
        ({"probabilities": ["0.5", "0.3"]}, "levels-out-of-order"),
        ({"impacts": ["0.5", "1.1"]}, "levels-out-of-order"),
        ({"impacts": []}, "levels-out-of-order"),
        ({"dimensions": []}, "dimensions-unclear"),
        ({"dimensions": ["cost", "cost"]}, "dimensions-unclear"),
    ],
)
async def test_a_matrix_that_cannot_score_is_refused(service: Service, fields: dict[str, Any], slug: str) -> None:
    portfolio = await a_portfolio(service)
    problem(await service.root.post("/matrices", json={"portfolio": portfolio, **fields}), 409, slug)


async def test_a_risk_is_raised_assessed_and_answered(service: Service) -> None:
    portfolio = await a_portfolio(service)
    project = await a_project(service, portfolio)
    await everyone(service, portfolio)
    await a_matrix(service, portfolio)
    manager = await service.client("max")
    raised = done(await manager.post("/risks", json={"project": project, **RISK}), 201)
    risk = raised["stream"]
    assert raised["events"] == [{"id": f"{risk}@1", "type": "risks.RiskRaised"}]
    done(await manager.post(f"/risks/{risk}/assessments", json=ASSESSMENT))
    done(await manager.post(f"/risks/{risk}/responses", json=RESPONSE))
    shown = await manager.get(f"/risks/{risk}")
    assert shown.headers["etag"] == '"3"'
    told = done(shown)
    assert {name: told[name] for name in RISK} == RISK
    assert (told["portfolio"], told["project"], told["state"]) == (portfolio, project, "open")
    assert (told["occurred"], told["closed_because"]) == (None, None)
    (assessed,) = told["assessments"]
    # Probability level 3 is 0.5; of the impacts 0.4 and 0.1 the highest counts.
    assert assessed["score"] == "0.20"
    assert assessed["exposure"] == {"amount": "50000.2500", "currency": "AUD"}
    assert assessed["matrix_number"] == 1
    (planned,) = told["responses"]
    assert {name: planned[name] for name in RESPONSE} == RESPONSE


async def test_the_same_said_again_adds_nothing(service: Service) -> None:
    portfolio = await a_portfolio(service)
    project = await a_project(service, portfolio)
    await a_matrix(service, portfolio)
    key = {"Idempotency-Key": "risk-1"}
    body = {"project": project, **RISK}
    risk = done(await service.root.post("/risks", json=body, headers=key), 201)["stream"]
    again = await service.root.post("/risks", json=body, headers=key)
    assert done(again, 201)["stream"] == risk
    assert again.headers["gov-repeated"] == "true"
    for path, said in (
        ("assessments", ASSESSMENT),
        ("responses", RESPONSE),
        ("occurrences", OCCURRENCE),
        ("closures", {"reason": "It is mended."}),
    ):
        assert len(done(await service.root.post(f"/risks/{risk}/{path}", json=said))["events"]) == 1
        if path in {"assessments", "responses"}:
            assert done(await service.root.post(f"/risks/{risk}/{path}", json=said))["events"] == []
    assert done(await service.root.post(f"/risks/{risk}/closures", json={"reason": "Again."}))["events"] == []


async def test_a_score_keeps_the_edition_it_was_given_under(service: Service) -> None:
    portfolio = await a_portfolio(service)
    project = await a_project(service, portfolio)
    await a_matrix(service, portfolio)
    risk = await a_risk(service, project)
    done(await service.root.post(f"/risks/{risk}/assessments", json=ASSESSMENT))
    finer = {"portfolio": portfolio, "impacts": ["0.1", "0.2", "0.3", "0.5"], "method": "average_of_impacts"}
    done(await service.root.post("/matrices", json=finer))
    target = {**ASSESSMENT, "basis": "target", "probability": 1, "impacts": [{"dimension": "cost", "level": 4}]}
    done(await service.root.post(f"/risks/{risk}/assessments", json=target))
    inherent = {**ASSESSMENT, "basis": "inherent"}
    done(await service.root.post(f"/risks/{risk}/assessments", json=inherent))
    told = done(await service.root.get(f"/risks/{risk}"))
    assert [(each["basis"], each["matrix_number"], each["score"]) for each in told["assessments"]] == [
        ("inherent", 2, "0.175"),
        ("current", 1, "0.20"),
        ("target", 2, "0.05"),
    ]


async def test_an_assessment_rests_on_the_newest_edition_whatever_is_published_meanwhile(service: Service) -> None:
    portfolio = await a_portfolio(service)
    project = await a_project(service, portfolio)
    await a_matrix(service, portfolio)
    risks = [await a_risk(service, project, title=f"Main {number} bursts") for number in range(8)]

    async def publish() -> None:
        for number in range(8):
            impacts = ["0.05", "0.1", "0.2", "0.4", f"0.8{number + 1}"]
            done(await service.root.post("/matrices", json={"portfolio": portfolio, "impacts": impacts}))

    async def assess(risk: str) -> None:
        done(await service.root.post(f"/risks/{risk}/assessments", json=ASSESSMENT))

    await asyncio.gather(publish(), *(assess(risk) for risk in risks))
    rows = await service.runtime.ledger.pool.fetch("SELECT document FROM events ORDER BY seq")
    newest: tuple[int, str] | None = None
    scored = 0
    for row in rows:
        recorded = service.runtime.ledger.catalogue.decode(bytes(row["document"]))
        match recorded.event:
            case MatrixPublished(number=number):
                newest = number, recorded.hash.hex()
            case RiskAssessed(matrix_number=number, matrix_hash=matrix_hash):
                scored += 1
                assert (number, matrix_hash) == newest
            case _:
                pass
    assert scored == len(risks)


@pytest.mark.parametrize(
    ("changed", "slug"),
    [
        ({"probability": 6}, "level-outside-matrix"),
        ({"probability": 0}, "level-outside-matrix"),
        ({"impacts": [{"dimension": "cost", "level": 6}]}, "level-outside-matrix"),
        ({"impacts": [{"dimension": "taste", "level": 1}]}, "dimension-not-in-matrix"),
        ({"impacts": [{"dimension": "cost", "level": 1}] * 2}, "dimension-scored-twice"),
        ({"impacts": []}, "no-impact-given"),
        ({"money_at_stake": {"amount": "-1", "currency": "AUD"}}, "money-out-of-range"),
    ],
)
async def test_an_assessment_that_its_matrix_does_not_know_is_refused(
    service: Service, changed: dict[str, Any], slug: str
) -> None:
    portfolio = await a_portfolio(service)
    project = await a_project(service, portfolio)
    await a_matrix(service, portfolio)
    risk = await a_risk(service, project)
    problem(await service.root.post(f"/risks/{risk}/assessments", json={**ASSESSMENT, **changed}), 409, slug)


async def test_nothing_is_scored_before_the_portfolio_has_a_matrix(service: Service) -> None:
    portfolio = await a_portfolio(service)
    project = await a_project(service, portfolio)
    risk = await a_risk(service, project)
    key = {"Idempotency-Key": "assess-1"}
    path = f"/risks/{risk}/assessments"
    problem(await service.root.post(path, json=ASSESSMENT, headers=key), 404, "matrix-not-published")
    await a_matrix(service, portfolio)
    assert len(done(await service.root.post(path, json=ASSESSMENT, headers=key))["events"]) == 1


async def test_a_response_fits_the_kind_of_risk_and_the_risk_s_currency(service: Service) -> None:
    portfolio = await a_portfolio(service)
    project = await a_project(service, portfolio)
    await a_matrix(service, portfolio)
    threat, chance = await a_risk(service, project), await a_risk(service, project, kind="opportunity")
    exploited = {**RESPONSE, "strategy": "exploit"}
    said = problem(await service.root.post(f"/risks/{threat}/responses", json=exploited), 409, "strategy-does-not-fit")
    assert said["facts"]["strategy"] == "exploit"
    assert "reduce" in said["facts"]["strategies"]
    done(await service.root.post(f"/risks/{chance}/responses", json=exploited))
    done(await service.root.post(f"/risks/{threat}/responses", json=RESPONSE))
    euros = {**ASSESSMENT, "money_at_stake": {"amount": "1", "currency": "EUR"}}
    problem(await service.root.post(f"/risks/{threat}/assessments", json=euros), 409, "currency-differs")


async def test_a_risk_that_occurs_raises_its_issue_by_itself(service: Service) -> None:
    portfolio = await a_portfolio(service)
    project = await a_project(service, portfolio)
    risk = await a_risk(service, project)
    done(await service.root.post(f"/risks/{risk}/occurrences", json=OCCURRENCE))
    told = done(await service.root.get(f"/risks/{risk}"))
    issue = told["occurred"]["issue"]
    assert told["state"] == "occurred"
    problem(await service.root.get(f"/issues/{issue}"), 404, "not-found")
    await service.follow_itself()
    shown = await service.root.get(f"/issues/{issue}")
    assert done(shown) == {
        "issue": issue,
        "project": project,
        "portfolio": portfolio,
        "kind": "problem",
        **OCCURRENCE,
        "risk": risk,
        "state": "open",
        "resolution": None,
    }
    assert shown.headers["etag"] == '"1"'
    (raised,) = await service.runtime.ledger.events(UUID(issue))
    assert raised.envelope.causationid == f"{risk}@2"
    assert raised.envelope.actor == "service:risks"


async def test_an_occurrence_without_a_title_takes_the_risk_s(service: Service) -> None:
    project = await a_project(service, await a_portfolio(service))
    risk = await a_risk(service, project)
    untitled = {name: value for name, value in OCCURRENCE.items() if name != "title"}
    done(await service.root.post(f"/risks/{risk}/occurrences", json=untitled))
    occurred = done(await service.root.get(f"/risks/{risk}"))["occurred"]
    assert occurred["title"] == RISK["title"]
    assert done(await service.root.post(f"/risks/{risk}/occurrences", json=untitled))["events"] == []
    other = {**untitled, "severity": "low"}
    said = problem(await service.root.post(f"/risks/{risk}/occurrences", json=other), 409, "risk-already-occurred")
    assert list(said["facts"]) == ["severity"]


async def test_what_was_imported_raises_nothing_by_itself(service: Service) -> None:
    project = await a_project(service, await a_portfolio(service))
    risk = done(await service.root.post("/risks", json={"project": project, **RISK}, headers=IMPORTED), 201)["stream"]
    done(await service.root.post(f"/risks/{risk}/occurrences", json=OCCURRENCE, headers=IMPORTED))
    await service.follow_itself()
    issue = done(await service.root.get(f"/risks/{risk}"))["occurred"]["issue"]
    problem(await service.root.get(f"/issues/{issue}"), 404, "not-found")
    recorded = await service.runtime.ledger.events(UUID(risk))
    assert [one.envelope.origin for one in recorded] == [Origin.IMPORTED] * 2
    assert {one.envelope.time for one in recorded} == {datetime(2014, 5, 1, tzinfo=UTC)}


async def test_only_an_open_risk_is_worked_on_and_a_closed_one_still_shows_all(service: Service) -> None:
    portfolio = await a_portfolio(service)
    project = await a_project(service, portfolio)
    await a_matrix(service, portfolio)
    risk = await a_risk(service, project)
    done(await service.root.post(f"/risks/{risk}/assessments", json=ASSESSMENT))
    done(await service.root.post(f"/risks/{risk}/responses", json=RESPONSE))
    done(await service.root.post(f"/risks/{risk}/closures", json={"reason": "The main is new."}))
    for path, body in (("assessments", ASSESSMENT), ("responses", RESPONSE), ("occurrences", OCCURRENCE)):
        said = problem(await service.root.post(f"/risks/{risk}/{path}", json=body), 409, "risk-not-open")
        assert said["facts"] == {"state": "closed"}
    told = done(await service.root.get(f"/risks/{risk}"))
    assert (told["state"], told["closed_because"]) == ("closed", "The main is new.")
    assert (len(told["assessments"]), len(told["responses"])) == (1, 1)


async def test_an_issue_is_raised_and_resolved(service: Service) -> None:
    portfolio = await a_portfolio(service)
    project = await a_project(service, portfolio)
    await everyone(service, portfolio)
    contributor, sponsor = await service.client("con"), await service.client("sol")
    issue = done(await contributor.post("/issues", json={"project": project, **ISSUE}), 201)["stream"]
    path = f"/issues/{issue}/resolutions"
    problem(await contributor.post(path, json={"resolution": "It came."}), 403, "not-allowed")
    done(await sponsor.post(path, json={"resolution": "It came."}))
    assert done(await sponsor.post(path, json={"resolution": "It came again."}))["events"] == []
    told = done(await contributor.get(f"/issues/{issue}"))
    assert {name: told[name] for name in ISSUE} == ISSUE
    assert (told["risk"], told["state"], told["resolution"]) == (None, "resolved", "It came.")


async def test_what_is_said_of_an_unknown_node_is_not_found_until_it_has_arrived(service: Service) -> None:
    portfolio = await a_portfolio(service)
    programme = Stream("projects")
    own = PortfolioId(UUID(portfolio))
    await service.hear(programme.event(ProgrammeRegistered(own, NodeId(own), "Mains")))
    for unknown in (str(uuid4()), portfolio, str(programme.stream)):
        for path, body in (("/risks", RISK), ("/issues", ISSUE)):
            said = problem(await service.root.post(path, json={"project": unknown, **body}), 404, "project-not-known")
            assert said["facts"] == {"project": unknown}
            assert "may not have arrived" in said["detail"]
    for unknown in (str(uuid4()), str(programme.stream)):
        said = problem(await service.root.post("/matrices", json={"portfolio": unknown}), 404, "portfolio-not-known")
        assert said["facts"] == {"portfolio": unknown}
    late = Stream("projects")
    key = {"Idempotency-Key": "late"}
    body = {"project": str(late.stream), **RISK}
    problem(await service.root.post("/risks", json=body, headers=key), 404, "project-not-known")
    await service.hear(late.event(ProjectRegistered(own, NodeId(own), "P-9", "Late", CHARTER, None, (), None)))
    done(await service.root.post("/risks", json=body, headers=key), 201)


async def test_what_is_not_there_or_is_something_else_is_not_found(service: Service) -> None:
    portfolio = await a_portfolio(service)
    project = await a_project(service, portfolio)
    matrix = (await a_matrix(service, portfolio))["stream"]
    risk = await a_risk(service, project)
    issue = done(await service.root.post("/issues", json={"project": project, **ISSUE}), 201)["stream"]
    commands: dict[str, dict[str, dict[str, Any]]] = {
        "risks": {
            "assessments": ASSESSMENT,
            "responses": RESPONSE,
            "occurrences": OCCURRENCE,
            "closures": {"reason": "Done."},
        },
        "issues": {"resolutions": {"resolution": "Done."}},
    }
    others = {"risks": (issue, matrix), "issues": (risk, matrix)}
    for kind, posts in commands.items():
        problem(await service.root.get(f"/{kind}/{uuid4()}"), 404, "not-found")
        for path, body in posts.items():
            problem(await service.root.post(f"/{kind}/{uuid4()}/{path}", json=body), 404, "not-found")
            problem(await service.root.post(f"/{kind}/nonsense/{path}", json=body), 404, "not-found")
        for other in others[kind]:
            problem(await service.root.get(f"/{kind}/{other}"), 404, "of-another-kind")
            for path, body in posts.items():
                problem(await service.root.post(f"/{kind}/{other}/{path}", json=body), 404, "of-another-kind")


async def test_roles_reach_down_the_tree_and_no_further(service: Service) -> None:
    mine, other = await a_portfolio(service), await a_portfolio(service, "Roads")
    project, foreign = await a_project(service, mine), await a_project(service, other)
    await everyone(service, mine)
    await a_matrix(service, mine)
    risk, theirs = await a_risk(service, project), await a_risk(service, foreign)
    issue = done(await service.root.post("/issues", json={"project": foreign, **ISSUE}), 201)["stream"]
    pmo, contributor, viewer = await service.client("pia"), await service.client("con"), await service.client("vic")
    manager, stranger = await service.client("max"), await service.client("eve")
    done(await viewer.get(f"/risks/{risk}"))
    done(await viewer.get(f"/matrices/{mine}"))
    done(await contributor.post(f"/risks/{risk}/assessments", json=ASSESSMENT))
    denied: tuple[Any, ...] = (
        viewer.post("/risks", json={"project": project, **RISK}),
        viewer.post("/issues", json={"project": project, **ISSUE}),
        viewer.post(f"/risks/{risk}/assessments", json=ASSESSMENT),
        contributor.post(f"/risks/{risk}/responses", json=RESPONSE),
        contributor.post(f"/risks/{risk}/closures", json={"reason": "Done."}),
        viewer.post(f"/risks/{risk}/occurrences", json=OCCURRENCE),
        manager.post("/matrices", json={"portfolio": mine}),
        pmo.post("/matrices", json={"portfolio": other}),
        pmo.post("/risks", json={"project": foreign, **RISK}),
        pmo.post(f"/risks/{theirs}/closures", json={"reason": "Done."}),
        pmo.post(f"/issues/{issue}/resolutions", json={"resolution": "Done."}),
        pmo.get(f"/risks/{theirs}"),
        pmo.get(f"/issues/{issue}"),
        stranger.get(f"/risks/{risk}"),
        stranger.get(f"/matrices/{mine}"),
        manager.post("/risks", json={"project": project, **RISK}, headers=IMPORTED),
    )
    for request in denied:
        problem(await request, 403, "not-allowed")
    done(await pmo.post("/risks", json={"project": project, **RISK}, headers=IMPORTED), 201)
    done(await pmo.post("/matrices", json={"portfolio": mine}))


BAD: dict[str, tuple[str, dict[str, Any], str]] = {
    "level as a text": ("assessments", {"probability": "3"}, "/probability"),
    "money as a number": (
        "assessments",
        {"money_at_stake": {"amount": 5, "currency": "AUD"}},
        "/money_at_stake/amount",
    ),
    "unknown basis": ("assessments", {"basis": "guessed"}, "/basis"),
    "unknown field of an impact": (
        "assessments",
        {"impacts": [{"dimension": "cost", "level": 1, "colour": "red"}]},
        "/impacts/0/colour",
    ),
    "unknown strategy": ("responses", {"strategy": "pray"}, "/strategy"),
    "date": ("responses", {"due": "soon"}, "/due"),
    "empty title": ("occurrences", {"title": ""}, "/title"),
    "unknown severity": ("occurrences", {"severity": "dire"}, "/severity"),
    "unknown field": ("occurrences", {"colour": "red"}, "/colour"),
}


@pytest.mark.parametrize("case", BAD)
async def test_bad_input_is_refused_with_its_place(service: Service, case: str) -> None:
    path, changed, pointer = BAD[case]
    project = await a_project(service, await a_portfolio(service))
    risk = await a_risk(service, project)
    bodies: dict[str, dict[str, Any]] = {
        "assessments": ASSESSMENT,
        "responses": RESPONSE,
        "occurrences": OCCURRENCE,
    }
    good = bodies[path]
    said = problem(await service.root.post(f"/risks/{risk}/{path}", json={**good, **changed}), 422, "invalid-input")
    assert pointer in {error["pointer"] for error in said["errors"]}
    assert all(error["remedy"] and error["detail"] for error in said["errors"])
    assert len(await service.runtime.ledger.events(UUID(risk))) == 1


async def test_bad_input_makes_no_risk_no_issue_and_no_matrix(service: Service) -> None:
    portfolio = await a_portfolio(service)
    project = await a_project(service, portfolio)
    requests: tuple[tuple[str, dict[str, Any], str], ...] = (
        ("/risks", {"project": project, **RISK, "kind": "maybe"}, "/kind"),
        ("/risks", {"project": project, **RISK, "owner": "max"}, "/owner"),
        ("/risks", {"project": project, **RISK, "cause": "x" * 8001}, "/cause"),
        ("/risks", {"project": project, **RISK, "category": ""}, "/category"),
        ("/issues", {"project": project, **ISSUE, "severity": None}, "/severity"),
        ("/issues", {"project": project, **ISSUE, "risk": str(uuid4())}, "/risk"),
        ("/matrices", {"portfolio": portfolio, "probabilities": [5]}, "/probabilities/0"),
        ("/matrices", {"portfolio": portfolio, "method": "guess"}, "/method"),
    )
    for path, body, pointer in requests:
        answer: httpx2.Response = await service.root.post(path, json=body)
        assert pointer in {error["pointer"] for error in problem(answer, 422, "invalid-input")["errors"]}
    assert not await service.runtime.ledger.pool.fetch("SELECT FROM events")


async def test_a_stale_decision_is_told_the_newest_version(service: Service) -> None:
    project = await a_project(service, await a_portfolio(service))
    risk = await a_risk(service, project)
    seen = {"If-Match": '"1"'}
    done(await service.root.post(f"/risks/{risk}/responses", json=RESPONSE, headers=seen))
    stale = await service.root.post(f"/risks/{risk}/closures", json={"reason": "Done."}, headers=seen)
    assert problem(stale, 412, "stale-version")["facts"]["current_version"] == "2"
