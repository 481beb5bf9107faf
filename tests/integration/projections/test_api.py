"""What projections answers over HTTP, from rows in a real PostgreSQL."""

from datetime import date, datetime
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode
from uuid import UUID, uuid4

import pytest
from sqlalchemy import event
from tests.support.services import Service, done, problem
from tests.support.telling import BEGINS, Teller, day

from govevents.approvals import Outcome, Role
from govevents.document import Recorded
from govevents.projects import PhaseAuthorised, PhaseCompleted, PhaseStarted, ProjectMoved
from govevents.reporting import Rating
from govevents.values import NodeId, PortfolioId, ReviewId

teller = Teller()


async def ask(service: Service, path: str, **parameters: Any) -> Any:
    """What the first administrator is answered; `from_` stands for the parameter `from`."""
    asked = {name.rstrip("_"): str(value) for name, value in parameters.items() if value is not None}
    return done(await service.root.get(f"{path}?{urlencode(asked)}"))


async def two_projects(service: Service) -> tuple[UUID, UUID, UUID]:
    """A portfolio in Melbourne and two of its projects, of the groups North and South."""
    portfolio, heard = teller.portfolio()
    one, first = teller.project(portfolio.stream, "P-1", EPT="North")
    two, second = teller.project(portfolio.stream, "P-2", EPT="South")
    await service.hear(heard, first, second)
    return portfolio.stream, one.stream, two.stream


async def test_decisions_voted_here_and_brought_in_are_told_apart(service: Service) -> None:
    portfolio, project, _ = await two_projects(service)
    body = teller.body(portfolio)
    review, opened = teller.submitted(portfolio, project, day(1), body=body.envelope.stream)
    elsewhere = teller.brought_in(portfolio, project, "G0", date(2026, 3, 1))
    voted = teller.concluded(review, portfolio, project, day(3), body=body.envelope.stream)
    await service.hear(body, elsewhere, *opened, *voted)
    answer = await ask(service, "/decisions", node=portfolio)
    assert [(each["gate"], each["made"], each["outcome"], each["decided_on"]) for each in answer["rows"]] == [
        ("G0", "brought_in", None, "2026-03-01"),
        ("G1", "voted_here", "go", "2026-03-05"),
    ]
    assert [each["body_name"] for each in answer["rows"]] == ["MW Board", "Board"]
    assert answer["rows"][0]["source"]["row"] == 7
    assert answer["rows"][1]["reference"] == "P-1"
    assert answer["rows"][1]["tally"]["approve"] == 1
    before = await ask(service, "/decisions", project=project, as_of=day(2).isoformat())
    assert [each["gate"] for each in before["rows"]] == ["G0"]
    assert [each["gate"] for each in (await ask(service, "/decisions", gate="G1"))["rows"]] == ["G1"]


async def test_an_answer_is_that_of_a_node_and_all_below_it(service: Service) -> None:
    portfolio, _heard = teller.portfolio("Roads")
    outer, first = teller.programme(portfolio.stream)
    inner, second = teller.programme(portfolio.stream, outer.stream)
    project, third = teller.project(portfolio.stream, parent=inner.stream)
    moved = teller.at(project, day(5), ProjectMoved(PortfolioId(portfolio.stream), NodeId(portfolio.stream)))
    await service.hear(_heard, first, second, third, moved)
    await service.hear(teller.brought_in(portfolio.stream, project.stream, "G0", date(2026, 3, 3)))
    for node in (portfolio.stream, project.stream):
        assert len((await ask(service, "/decisions", node=node))["rows"]) == 1
    for path in ("/decisions", "/portfolio-overview"):
        assert (await ask(service, path, node=outer.stream))["rows"] == []
        then = await ask(service, path, node=outer.stream, as_of="2026-03-05")
        assert [each["reference"] for each in then["rows"]] == ["P-1"], "it stood below the programme on that day"


async def test_the_time_between_gates_is_counted_in_days_by_group(service: Service) -> None:
    portfolio, one, two = await two_projects(service)
    three, heard = teller.project(portfolio, "P-3", EPT="North")
    await service.hear(
        heard,
        teller.brought_in(portfolio, one, "PBC", date(2025, 1, 1)),
        teller.brought_in(portfolio, one, "BCA", date(2025, 1, 31)),
        teller.brought_in(portfolio, three.stream, "PBC", date(2025, 1, 1)),
        teller.brought_in(portfolio, three.stream, "BCA", date(2025, 3, 2)),
        teller.brought_in(portfolio, two, "PBC", date(2025, 1, 1)),
    )
    answer = await ask(service, "/kpis/gate_duration", node=portfolio, from_="PBC", to="BCA", by="EPT")
    assert [(each["group"], each["count"], each["left_out"]) for each in answer["rows"]] == [
        ("North", 2, 0),
        ("South", 0, 1),
    ]
    north, south = answer["rows"]
    assert (Decimal(north["median"]), Decimal(north["p80"])) == (Decimal(45), Decimal(54))
    assert (south["median"], south["undefined_because"]) == (None, "none of 1 has both dates")
    assert (answer["total"]["count"], answer["total"]["left_out"]) == (2, 1)
    assert (answer["unit"], answer["version"]) == ("days", 1)
    then = await ask(service, "/kpis/gate_duration", from_="PBC", to="BCA", as_of="2025-02-01")
    assert [(each["group"], each["count"], each["left_out"]) for each in then["rows"]] == [(None, 1, 2)]
    unknown = await ask(service, "/kpis/gate_duration", node=portfolio, from_="X", to="Y")
    assert unknown["undefined_because"] == "no project here was let through X or Y by then"


async def test_a_gate_that_sent_a_project_back_did_not_let_it_through(service: Service) -> None:
    portfolio, project, _ = await two_projects(service)
    for start, outcome in ((1, Outcome.RECYCLE), (10, Outcome.GO), (20, Outcome.GO)):
        review, opened = teller.submitted(portfolio, project, day(start))
        ended = teller.concluded(review, portfolio, project, day(start + 1), outcome=outcome)
        await service.hear(*opened, *ended)
    await service.hear(teller.brought_in(portfolio, project, "G0", date(2026, 3, 3)))
    answer = await ask(service, "/kpis/gate_duration", from_="G0", to="G1")
    assert Decimal(answer["rows"][0]["median"]) == 10, "from March 3 to the first Go, eleven days after March 2"


async def test_an_explanation_leads_from_a_figure_to_its_events(service: Service) -> None:
    portfolio, project, _ = await two_projects(service)
    first = teller.brought_in(portfolio, project, "PBC", date(2025, 1, 1))
    second = teller.brought_in(portfolio, project, "BCA", date(2025, 1, 31))
    await service.hear(first, second)
    asked = {"node": portfolio, "from_": "PBC", "to": "BCA", "by": "EPT"}
    answer = await ask(service, "/kpis/gate_duration/explanation", **asked)
    assert answer["figures"] == (await ask(service, "/kpis/gate_duration", **asked))["rows"]
    assert answer["rows"] == [
        {
            "project": str(project),
            "reference": "P-1",
            "group": "North",
            "facts": {"PBC": "2025-01-01", "BCA": "2025-01-31", "days": "30"},
            "events": {"PBC": first.id, "BCA": second.id, "EPT": f"{project}@1"},
        }
    ]
    assert "median" in answer["formula"]
    assert set(answer["fold_versions"]) == {"decision_register", "project_overview", "nodes"}


async def test_approval_time_is_measured_by_body_in_local_days(service: Service) -> None:
    portfolio, project, other = await two_projects(service)
    body = teller.body(portfolio, "Board")
    # Between these two it is midnight in Melbourne.
    start, end = datetime.fromisoformat("2026-03-02T12:30:00Z"), datetime.fromisoformat("2026-03-02T13:30:00Z")
    review, opened = teller.submitted(portfolio, project, start, body=body.envelope.stream)
    ended = teller.concluded(review, portfolio, project, end, body=body.envelope.stream)
    _, waiting = teller.submitted(portfolio, other, day(1))
    await service.hear(body, *opened, *ended, *waiting)
    answer = await ask(service, "/kpis/approval_time", node=portfolio)
    assert [(each["group"], each["count"], each["left_out"]) for each in answer["rows"]] == [
        ("Board", 1, 0),
        (None, 0, 1),
    ]
    assert Decimal(answer["rows"][0]["median"]) == 1
    explained = await ask(service, "/kpis/approval_time/explanation", node=portfolio)
    assert explained["rows"][0]["events"] == {"submitted": opened[-1].id, "concluded": ended[-1].id}


async def test_conditions_are_open_then_overdue_then_closed(service: Service) -> None:
    portfolio, project, _ = await two_projects(service)
    review, opened = teller.submitted(portfolio, project, day(1))
    ended = teller.concluded(review, portfolio, project, day(2), due=date(2026, 3, 10))
    met = teller.condition_met(review, project, day(20))
    await service.hear(*opened, *ended, met)

    async def states(as_of: str) -> tuple[list[str], list[str], list[int]]:
        rows = (await ask(service, "/conditions", node=portfolio, as_of=as_of))["rows"]
        overdue = (await ask(service, "/conditions", node=portfolio, as_of=as_of, state="overdue"))["rows"]
        figures = (await ask(service, "/kpis/conditions", node=portfolio, as_of=as_of))["rows"][0]
        return (
            [each["state"] for each in rows],
            [each["text"] for each in overdue],
            [figures["open"], figures["overdue"]],
        )

    assert await states("2026-03-03") == ([], [], [0, 0])
    assert await states("2026-03-10") == (["open"], [], [1, 0])
    assert await states("2026-03-11") == (["overdue"], ["Settle the easement."], [1, 1])
    assert await states("2026-03-22") == (["closed"], [], [0, 0])
    # 13:30 UTC of the 10th is the 11th in Melbourne.
    assert (await states("2026-03-10T13:30:00Z"))[0] == ["overdue"]
    assert (await states("2026-03-10T12:30:00Z"))[0] == ["open"]
    closed = (await ask(service, "/conditions", state="closed"))["rows"][0]
    assert (closed["closed_on"], closed["remark"]) == ("2026-03-22", "Signed.")
    assert (await ask(service, "/conditions", state="open"))["rows"] == []


async def test_a_portfolio_is_shown_as_it_was_known_then(service: Service) -> None:
    portfolio, heard = teller.portfolio()
    imported = day(100)
    one, first = teller.project(
        portfolio.stream, "A", methodology=None, moment=datetime(2014, 1, 1, tzinfo=BEGINS.tzinfo), recorded=imported
    )
    _, second = teller.project(
        portfolio.stream, "B", methodology=None, moment=datetime(2016, 1, 1, tzinfo=BEGINS.tzinfo), recorded=imported
    )
    await service.hear(
        heard,
        first,
        second,
        teller.observed(one, date(2014, 2, 1), phase="Design", forecast="100.50", recorded=imported),
        teller.observed(one, date(2015, 2, 1), phase=None, forecast="120", recorded=imported),
        teller.observed(one, date(2016, 2, 1), phase="Construction", recorded=imported),
    )

    async def shown(as_of: str) -> Any:
        answer = await ask(service, "/kpis/portfolio", node=portfolio.stream, as_of=as_of)
        total = answer["total"]
        sums = [(each["amount"], each["currency"], each["count"]) for each in total["budget_forecast"]]
        return [(each["group"], each["count"]) for each in answer["rows"]], sums, total["without_forecast"]

    assert await shown("2013-12-31") == ([], [], 0)
    assert await shown("2014-12-31") == ([("Design", 1)], [("100.50", "AUD", 1)], 0)
    assert await shown("2015-02-01") == ([("Design", 1)], [("120", "AUD", 1)], 0)
    assert await shown("2016-02-01") == ([("Construction", 1), (None, 1)], [("120", "AUD", 1)], 1)
    earlier = await ask(
        service, "/kpis/portfolio", node=portfolio.stream, as_of="2015-02-01", recorded_by=day(99).isoformat()
    )
    assert (earlier["rows"], earlier["undefined_because"]) == ([], "no project was known here by then")
    explained = await ask(service, "/kpis/budget_forecast/explanation", node=portfolio.stream)
    assert explained["rows"][0]["events"] == {
        "project": f"{one.stream}@1",
        "phase": f"{one.stream}@4",
        "budget_forecast": f"{one.stream}@3",
    }


async def test_the_pipeline_shows_phase_gate_and_how_long_a_review_waits(service: Service) -> None:
    portfolio, heard = teller.portfolio()
    project, registered = teller.project(portfolio.stream)
    started = teller.at(project, day(1), PhaseStarted("initiation"))
    finished = teller.at(project, day(4), PhaseCompleted("initiation"))
    review, opened = teller.submitted(portfolio.stream, project.stream, day(5))
    await service.hear(heard, registered, started, finished, *opened)
    (row,) = (await ask(service, "/gate-pipeline", node=portfolio.stream, as_of=day(9).isoformat()))["rows"]
    assert (row["phase"], row["phase_progress"], row["phase_age_days"]) == ("Initiation", "complete", 5)
    assert (row["next_gate"], row["last_gate"], row["days_since_last_gate"]) == ("G1", None, None)
    assert [(each["review"], each["age_days"], each["votes"]) for each in row["reviews"]] == [
        (str(review.stream), 4, 0)
    ]
    authorised = teller.at(project, day(10), PhaseAuthorised("planning", "G1", ReviewId(review.stream)))
    await service.hear(*teller.concluded(review, portfolio.stream, project.stream, day(10)), authorised)
    (row,) = (await ask(service, "/gate-pipeline", as_of=day(12).isoformat()))["rows"]
    assert (row["next_gate"], row["last_gate"], row["days_since_last_gate"], row["reviews"]) == ("G2", "G1", 2, [])
    ages = await ask(service, "/kpis/gate_age", node=portfolio.stream, as_of=day(12).isoformat())
    assert [(each["group"], each["gate"], each["days"]) for each in ages["rows"]] == [("P-1", "G1", "2")]


async def test_the_heat_map_counts_open_risks_and_shows_how_they_moved(service: Service) -> None:
    portfolio, project, _ = await two_projects(service)
    risk, raised = teller.risk(portfolio, project, day(1))
    await service.hear(
        raised,
        teller.assessed(risk, project, day(1), 2, 3),
        teller.assessed(risk, project, day(5), 4, 3),
    )
    answer = await ask(service, "/risk-heat-map", node=portfolio)
    assert answer["cells"] == [
        {"kind": "threat", "basis": "current", "probability": 4, "impact": 3, "count": 1, "moved_in": 1}
    ]
    place = answer["rows"][0]["current"]
    assert (place["probability_before"], place["impact_before"], place["moved"]) == (2, 3, "0.24")
    then = await ask(service, "/risk-heat-map", node=portfolio, as_of=day(3).isoformat())
    assert [(each["probability"], each["moved_in"]) for each in then["cells"]] == [(2, 0)]


async def test_the_latest_report_of_each_project_is_shown(service: Service) -> None:
    portfolio, project, _ = await two_projects(service)
    for month, rating in ((3, Rating.GREEN), (4, Rating.AMBER_RED)):
        _, drafted = teller.report(portfolio, project, day(30 * month), month=month, rating=rating)
        await service.hear(drafted)
    (report,) = (await ask(service, "/status-reports", node=portfolio))["rows"]
    assert (report["period_end"], report["confidences"][0]["rating"]) == ("2026-04-28", "amber_red")
    overview = (await ask(service, "/portfolio-overview", node=portfolio))["rows"]
    assert [(each["reference"], each["confidence"]) for each in overview] == [("P-1", "amber_red"), ("P-2", None)]


async def test_pages_follow_each_other_without_gap_or_repeat(service: Service) -> None:
    portfolio, heard = teller.portfolio()
    await service.hear(heard, *[teller.project(portfolio.stream, f"P-{number}")[1] for number in range(7)])
    seen: list[str] = []
    url: str | None = f"/portfolio-overview?node={portfolio.stream}&limit=3&as_of=2026-12-31"
    while url is not None:
        answer = await service.root.get(url)
        seen += [each["reference"] for each in done(answer)["rows"]]
        url = answer.links["next"]["url"] if "next" in answer.links else None
    assert seen == [f"P-{number}" for number in range(7)]


async def test_people_see_what_is_at_or_below_the_nodes_of_their_roles(service: Service) -> None:
    portfolio, project, other = await two_projects(service)
    for each in (project, other):
        await service.hear(teller.brought_in(portfolio, each, "G0", date(2026, 3, 3)))
    await service.assign("vic", Role.VIEWER, project)
    vic = await service.client("vic")
    for path in ("/decisions", "/portfolio-overview", "/gate-pipeline"):
        assert {each["project"] for each in done(await vic.get(path))["rows"]} == {str(project)}
        problem(await vic.get(f"{path}?node={portfolio}"), 403, "not-allowed")
        problem(await vic.get(f"{path}?node={other}"), 403, "not-allowed")
        problem(await vic.get(f"{path}?node={uuid4()}"), 404, "not-found")
    assert done(await vic.get("/kpis/portfolio"))["total"]["count"] == 1
    nobody = await service.client("nobody")
    assert done(await nobody.get("/decisions"))["rows"] == []
    problem(await nobody.get(f"/kpis/conditions?node={portfolio}"), 403, "not-allowed")
    problem(await service.root.get("/decisions", headers={"Authorization": ""}), 401, "not-authenticated")


@pytest.mark.parametrize(
    ("path", "status", "parameter"),
    [
        ("/decisions?node=water", 422, "node"),
        ("/decisions?as_of=2016", 400, "as_of"),
        ("/decisions?as_of=2016-01-01T00:00:00", 400, "as_of"),
        ("/decisions?recorded_by=9999-12-31", 400, "recorded_by"),
        ("/decisions?gate=%00", 400, "gate"),
        ("/decisions?cursor=x", 400, "cursor"),
        ("/decisions?limit=1000", 422, "limit"),
        ("/conditions?state=late", 422, "state"),
        ("/kpis/gate_duration?to=G1", 400, "from"),
        ("/kpis/gate_duration?from=G0", 400, "to"),
        ("/kpis/portfolio?from=G0", 400, "from"),
        ("/kpis/gate_age?by=EPT", 400, "by"),
        ("/kpis/portfolio?group=EPT", 400, "group"),
    ],
)
async def test_bad_input_is_named_with_its_remedy(service: Service, path: str, status: int, parameter: str) -> None:
    answer = await service.root.get(path)
    assert answer.status_code == status, answer.text
    (error,) = answer.json()["errors"]
    assert error["parameter"] == parameter
    assert error["remedy"]


async def test_what_is_not_there_is_said_so(service: Service) -> None:
    problem(await service.root.get("/kpis/happiness"), 404, "not-found")
    problem(await service.root.get(f"/decisions?node={uuid4()}"), 404, "not-found")


async def test_kpis_are_listed_with_unit_formula_and_version(service: Service) -> None:
    listed = (await ask(service, "/kpis"))["items"]
    assert {"gate_duration", "approval_time", "conditions", "portfolio"} <= {each["family"] for each in listed}
    for each in listed:
        assert each["unit"]
        assert each["formula"]
        parameters = {"from_": "A", "to": "B"} if each["family"] == "gate_duration" else {}
        for name in (each["name"], each["family"]):
            assert (await ask(service, f"/kpis/{name}", **parameters))["kpi"] == name


async def test_an_answer_says_what_it_rests_on_and_whether_more_may_come(service: Service) -> None:
    pool = service.runtime.ledger.pool
    await pool.execute(
        "INSERT INTO consumer_partitions (consumer, topic, partition, next_offset) "
        "VALUES ('decision_register/1', 'gov.approvals.events.v1', 3, 17)"
    )
    answer = await service.root.get("/decisions?as_of=2026-03-05T00:00:00Z")
    assert done(answer)["offsets"]["decision_register"] == {"3": 17}
    assert (done(answer)["provisional"], answer.headers["gov-provisional"]) == (True, "true")
    assert "decision_register=3:17" in answer.headers["gov-offsets"]
    for source in ("projects", "approvals"):
        await pool.execute("INSERT INTO watermarks VALUES ($1, $2)", source, day(30))
    assert done(await service.root.get("/decisions?as_of=2026-03-05T00:00:00Z"))["provisional"] is False
    assert done(await service.root.get("/decisions?as_of=2027-03-05T00:00:00Z"))["provisional"] is True
    assert done(await service.root.get("/decisions"))["provisional"] is False


async def test_an_answer_about_many_projects_asks_the_database_as_often_as_about_one(service: Service) -> None:
    portfolio, heard = teller.portfolio()
    await hear_together(service, heard)
    asked: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        asked.append(statement)

    event.listen(service.runtime.engine.sync_engine, "before_cursor_execute", note)
    counts = []
    for numbers in (range(1), range(1, 60)):
        for number in numbers:
            project, registered = teller.project(portfolio.stream, f"Q{number:05}", EPT=f"Group {number % 4}")
            gates = [
                teller.brought_in(portfolio.stream, project.stream, gate, date(2020, 1, day))
                for gate, day in (("BNI", 1), ("PBC", 2), ("BCA", 3 + number % 20))
            ]
            await hear_together(service, registered, *gates)
        for path in (
            f"/kpis/gate_duration?node={portfolio.stream}&from=PBC&to=BCA&by=EPT&as_of=2026-06-01",
            f"/portfolio-overview?node={portfolio.stream}&limit=200",
            f"/decisions?node={portfolio.stream}&as_of=2026-06-01",
        ):
            asked.clear()
            done(await service.root.get(path))
            counts.append(len(asked))
    assert counts[:3] == counts[3:]
    assert min(counts) > 0


async def hear_together(service: Service, *heard: Recorded[Any]) -> None:
    """Let the read models have events; measuring reactions would state figures, which nobody asks for here."""
    for handler in service.handlers:
        batch = [
            each
            for each in heard
            if each.envelope.source.endswith(handler.service) and each.envelope.type in handler.subscribes
        ]
        if batch and not handler.name.startswith("projections.measuring"):
            async with service.runtime.ledger.pool.acquire() as connection, connection.transaction():
                assert not await handler.apply(connection, batch)
