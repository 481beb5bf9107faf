"""The register of decisions, how long they took, and how they turned out, from rows in a real PostgreSQL."""

from datetime import date
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import pytest
from tests.support.services import Service, done
from tests.support.telling import BO, MAX, Teller, condition, day

from govevents.approvals import Authority, Breach, OnLapse, Outcome, VoteMarked
from govevents.projects import GateBreached
from govevents.values import PersonId, PortfolioId, ProjectId


@pytest.fixture
async def told(service: Service) -> tuple[Teller, UUID, UUID]:
    """A portfolio in Melbourne with a project."""
    teller = Teller()
    portfolio, heard = teller.portfolio()
    project, registered = teller.project(portfolio.stream, EPT="North")
    await service.hear(heard, registered)
    return teller, portfolio.stream, project.stream


async def ask(service: Service, path: str, **parameters: Any) -> Any:
    asked = {name: str(value) for name, value in parameters.items()}
    return done(await service.root.get(path, params=asked))


async def test_a_decision_says_by_which_policy_how_long_it_took_and_what_became_of_its_conditions(
    service: Service, told: tuple[Teller, UUID, UUID]
) -> None:
    teller, portfolio, project = told
    due = date(2026, 3, 20)
    breach = Breach("planning", "G1", date(2026, 3, 1))
    conditions = (condition(due), condition(due, "Fence it."), condition(due, "Tell them."))
    review, opened = teller.submitted(portfolio, project, day(1), policy_number=4)
    events = [
        *opened,
        teller.evidence_changed(review, project, day(2)),
        *teller.concluded(review, portfolio, project, day(8), conditions=conditions, breaches=(breach,)),
        teller.condition_met(review, project, day(9), 2),
        teller.condition_lapsed(review, portfolio, project, day(20), due, then=OnLapse.HOLD),
        teller.condition_waived(review, project, day(25), uuid4()),
    ]
    await service.hear(*events)
    (row,) = (await ask(service, "/decisions", project=project))["rows"]
    assert (row["policy_number"], row["asked_again"], row["escalations"], row["latency_days"]) == (4, 1, 0, 7)
    assert (row["after_breach"], row["breaches"][0]["phase"]) == (True, "planning")
    assert row["because"].startswith("1 approves")
    counts = ("conditions", "conditions_open", "conditions_closed", "conditions_waived", "conditions_lapsed")
    assert [row[name] for name in counts] == [3, 1, 1, 1, 1]
    then = (await ask(service, "/decisions", project=project, as_of=day(10).isoformat()))["rows"][0]
    assert [then[name] for name in counts] == [3, 2, 1, 0, 0]
    (waived,) = (await ask(service, "/conditions", state="waived"))["rows"]
    assert (waived["waived_on"], waived["closed_on"], waived["on_lapse"], waived["shown_by"]) == (
        "2026-03-27",
        None,
        "reminder",
        "The deed.",
    )
    assert [each["text"] for each in (await ask(service, "/conditions", state="overdue"))["rows"]] == ["Tell them."]
    assert len((await ask(service, "/conditions", owner=MAX))["rows"]) == 3
    assert (await ask(service, "/conditions", owner=uuid4()))["rows"] == []
    assert (await ask(service, "/kpis/conditions", node=portfolio))["total"]["open"] == 1, "a waived one is not open"


async def test_a_vote_under_a_delegation_that_was_revoked_is_marked_in_the_register(
    service: Service, told: tuple[Teller, UUID, UUID]
) -> None:
    teller, portfolio, project = told
    review, opened = teller.submitted(portfolio, project, day(1))
    delegation = uuid4()
    cast = teller.voted(
        review, project, day(2), voter=MAX, for_seat=BO, authority=Authority.DELEGATE, delegation=delegation
    )
    ended = teller.ended(review, portfolio, project, day(3))
    mark = teller.at(review, day(4), VoteMarked(ProjectId(project), PersonId(BO), MAX, delegation, "Back early."))
    await service.hear(*opened, cast, ended, mark)
    (row,) = (await ask(service, "/decisions", project=project))["rows"]
    assert (row["votes_marked"], row["after_breach"]) == (1, False)
    (before,) = (await ask(service, "/decisions", project=project, as_of=day(3).isoformat()))["rows"]
    assert before["votes_marked"] == 0


async def test_a_decision_brought_in_took_since_the_gate_before_and_has_no_policy(
    service: Service, told: tuple[Teller, UUID, UUID]
) -> None:
    teller, portfolio, project = told
    await service.hear(
        teller.brought_in(portfolio, project, "PBC", date(2025, 1, 1)),
        teller.brought_in(portfolio, project, "BCA", date(2025, 1, 31)),
    )
    rows = (await ask(service, "/decisions", node=portfolio))["rows"]
    assert [(each["gate"], each["latency_days"], each["policy_number"]) for each in rows] == [
        ("PBC", None, None),
        ("BCA", 30, None),
    ]
    assert [each["gate"] for each in (await ask(service, "/decisions", outcome="go"))["rows"]] == []


async def test_the_time_to_decide_is_shown_by_body_and_by_policy_and_how_it_was_made(
    service: Service, told: tuple[Teller, UUID, UUID]
) -> None:
    teller, portfolio, project = told
    body = teller.body(portfolio)
    board = body.envelope.stream
    await service.hear(
        body,
        teller.brought_in(portfolio, project, "PBC", date(2025, 1, 1)),
        teller.brought_in(portfolio, project, "BCA", date(2025, 1, 31)),
    )
    for number, (start, days, edition) in enumerate(((1, 2, 1), (10, 12, 1), (30, 4, 2))):
        review, opened = teller.submitted(
            portfolio, project, day(start), gate=f"G{number}", body=board, policy_number=edition
        )
        decided = teller.concluded(review, portfolio, project, day(start + days), gate=f"G{number}", body=board)
        await service.hear(*opened, *decided)
    _, open_still = teller.submitted(portfolio, project, day(40), body=board)
    await service.hear(*open_still)

    async def latency(**asked: Any) -> list[tuple[Any, ...]]:
        rows = (await ask(service, "/approval-latency", node=portfolio, **asked))["rows"]
        columns = ("group", "made", "count", "median", "p90", "left_out")
        return [tuple(row[name] for name in columns) for row in rows]

    assert await latency() == [
        ("Board", "voted_here", 3, "4.0", "10.4", 0),
        ("MW Board", "brought_in", 1, "30", "30", 1),
    ]
    assert await latency(by="policy") == [
        ("gate G0, edition 1", "voted_here", 1, "2", "2", 0),
        ("gate G1, edition 1", "voted_here", 1, "12", "12", 0),
        ("gate G2, edition 2", "voted_here", 1, "4", "4", 0),
        (None, "brought_in", 1, "30", "30", 1),
    ]
    assert await latency(first_day="2026-04-05") == [("Board", "voted_here", 1, "4", "4", 0)]
    assert await latency(last_day="2025-01-01") == [("MW Board", "brought_in", 0, None, None, 1)]
    assert await latency(as_of=day(5).isoformat()) == [
        ("Board", "voted_here", 1, "2", "2", 0),
        ("MW Board", "brought_in", 1, "30", "30", 1),
    ]


async def test_the_first_pass_yield_and_decisions_overturned_are_shares_of_a_period(
    service: Service, told: tuple[Teller, UUID, UUID]
) -> None:
    teller, portfolio, project = told
    told_in_order = (
        ("G1", 1, Outcome.RECYCLE),
        ("G1", 10, Outcome.GO),
        ("G2", 20, Outcome.GO),
        ("G2", 30, Outcome.KILL),
    )
    for gate, start, outcome in told_in_order:
        review, opened = teller.submitted(portfolio, project, day(start), gate=gate)
        ended = teller.concluded(review, portfolio, project, day(start + 1), gate=gate, outcome=outcome)
        await service.hear(*opened, *ended)
    await service.hear(teller.brought_in(portfolio, project, "G0", date(2026, 3, 1)))

    async def share(kpi: str, **asked: Any) -> tuple[Any, ...]:
        row = (await ask(service, f"/kpis/{kpi}", node=portfolio, **asked))["rows"][0]
        return row["group"], row["part"], row["whole"], row["left_out"]

    assert await share("first_pass_yield") == (None, 1, 2, 1)
    assert await share("first_pass_yield", by="EPT") == ("North", 1, 2, 1)
    assert await share("first_pass_yield", first_day="2026-03-20") == (None, 1, 1, 0)
    assert await share("decisions_overturned") == (None, 1, 4, 1)
    assert await share("decisions_overturned", last_day="2026-03-15") == (None, 0, 2, 1)
    nothing = await ask(service, "/kpis/first_pass_yield", node=portfolio, first_day="2027-01-01")
    assert nothing["total"]["share"] is None
    assert "no gate was first decided" in nothing["undefined_because"]
    answer = await ask(service, "/kpis/first_pass_yield", node=portfolio, first_day="2026-03-20")
    assert (Decimal(answer["total"]["share"]), answer["first_day"]) == (Decimal(1), "2026-03-20")
    explained = await ask(service, "/kpis/first_pass_yield/explanation", node=portfolio, first_day="2026-03-20")
    assert explained["rows"][0]["facts"] == {"gate": "G2", "decided": "2026-03-23", "outcome": "go"}


async def test_a_gate_passed_by_stealth_shows_in_the_overview_and_between_the_gates(service: Service) -> None:
    teller = Teller()
    portfolio, heard = teller.portfolio()
    project, registered = teller.project(portfolio.stream)
    on = date(2026, 3, 4)
    breached = GateBreached(PortfolioId(portfolio.stream), "planning", "G1", on, MAX, "Diggers on site.")
    await service.hear(heard, registered, teller.at(project, day(3), breached))
    (overview,) = (await ask(service, "/portfolio-overview", node=portfolio.stream))["rows"]
    assert overview["breaches"] == 1
    (pipeline,) = (await ask(service, "/gate-pipeline", node=portfolio.stream))["rows"]
    (shown,) = pipeline["breaches"]
    assert (shown["phase"], shown["gate"], shown["began_on"], shown["remark"]) == (
        "planning",
        "G1",
        "2026-03-04",
        "Diggers on site.",
    )
    before = (await ask(service, "/gate-pipeline", node=portfolio.stream, as_of=day(2).isoformat()))["rows"][0]
    assert before["breaches"] == []


@pytest.mark.parametrize(
    ("path", "status", "parameter"),
    [
        ("/approval-latency?by=mood", 422, "by"),
        ("/approval-latency?first_day=0", 422, "first_day"),
        ("/approval-latency?first_day=2026-13-01", 422, "first_day"),
        ("/approval-latency?first_day=2026-02-02&last_day=2026-02-01", 400, "last_day"),
        ("/kpis/first_pass_yield?first_day=2026-02-02&last_day=2026-02-01", 400, "last_day"),
        ("/kpis/conditions?first_day=2026-02-02", 400, "first_day"),
        ("/kpis/first_pass_yield?from=G1", 400, "from"),
        ("/decisions?outcome=maybe", 422, "outcome"),
        ("/conditions?owner=me", 422, "owner"),
        ("/inbox?subject=me", 422, "subject"),
        ("/inbox?cursor=x", 400, "cursor"),
    ],
)
async def test_bad_input_is_named_with_its_remedy(service: Service, path: str, status: int, parameter: str) -> None:
    answer = await service.root.get(path)
    assert answer.status_code == status, answer.text
    (error,) = answer.json()["errors"]
    assert error["parameter"] == parameter
    assert error["remedy"]
