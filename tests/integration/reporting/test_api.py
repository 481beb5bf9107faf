from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import pytest
from tests.support.services import Service, done, problem, subject
from tests.support.streams import Stream

from govevents.approvals import Role
from govevents.document import Origin, Recorded
from govevents.projections import KpiMeasured
from govevents.projects import Charter, CharterAmended, PortfolioRegistered, ProjectRegistered
from govkernel.domain import NodeId, PortfolioId, ProjectId

CHARTER = Charter("Replace the main.", subject("sol"), subject("max"), None)
REPORT: dict[str, Any] = {
    "period_start": "2026-01-01",
    "period_end": "2026-01-31",
    "scale": "five_point",
    "confidences": [
        {"dimension": "overall", "rating": "amber_green", "reason": "One pump is late."},
        {"dimension": "cost", "rating": "green", "reason": "As planned."},
    ],
    "narrative": "The trench is open.",
    "decisions_wanted": ["A second crew."],
}
AS_MANAGER = {"signatory": "manager", "remark": "So it is."}
AS_SPONSOR = {"signatory": "sponsor", "remark": "I have read it."}
IMPORTED = {"Gov-Time": "2014-05-01T00:00:00Z"}


def seen(version: int) -> dict[str, str]:
    return {"If-Match": f'"{version}"'}


async def a_portfolio(service: Service, name: str = "Water") -> str:
    """What projects would have said of a portfolio."""
    stream = Stream("projects")
    await service.hear(stream.event(PortfolioRegistered(name, "AUD", "Australia/Melbourne")))
    return str(stream.stream)


async def a_project(service: Service, portfolio: str, charter: Charter = CHARTER) -> Stream:
    """What projects would have said of a project; its stream, to say more of it."""
    stream, own = Stream("projects"), PortfolioId(UUID(portfolio))
    await service.hear(stream.event(ProjectRegistered(own, NodeId(own), "P-1", "Main 12", charter, None, (), None)))
    return stream


async def everyone(service: Service, node: str) -> None:
    """Give the people of these tests their roles."""
    for name, role in (
        ("pia", Role.PMO),
        ("max", Role.PROJECT_MANAGER),
        ("mia", Role.PROJECT_MANAGER),
        ("sol", Role.SPONSOR),
        ("vic", Role.VIEWER),
    ):
        await service.assign(name, role, node)


async def a_staffed_project(service: Service) -> tuple[str, str]:
    """A portfolio where everyone has their role, and a project of it."""
    portfolio = await a_portfolio(service)
    await everyone(service, portfolio)
    return portfolio, str((await a_project(service, portfolio)).stream)


async def a_report(service: Service, project: str, **changed: Any) -> str:
    manager = await service.client("max")
    answer = await manager.post("/status-reports", json={"project": project, **REPORT, **changed})
    return str(done(answer, 201)["stream"])


def measured(project: str, cause: str, kpi: str = "conditions_overdue", value: str | None = "2") -> Recorded[Any]:
    """What projections would have measured because of an event."""
    return Stream("projections").event(
        KpiMeasured(
            project=ProjectId(UUID(project)),
            cause=cause,
            kpi=kpi,
            kpi_version=1,
            data_date=date(2026, 1, 31),
            value=None if value is None else Decimal(value),
            unit="conditions",
            undefined_because="Nothing was decided yet." if value is None else None,
            offsets=(),
            fold_versions=(),
        )
    )


async def test_a_report_is_drafted_and_read_back(service: Service) -> None:
    portfolio, project = await a_staffed_project(service)
    manager = await service.client("max")
    drafted = done(await manager.post("/status-reports", json={"project": project, **REPORT}), 201)
    report = drafted["stream"]
    assert drafted["events"] == [{"id": f"{report}@1", "type": "reporting.StatusReportDrafted"}]
    shown = await manager.get(f"/status-reports/{report}")
    assert shown.headers["etag"] == '"1"'
    assert done(shown) == {
        "report": report,
        "project": project,
        "portfolio": portfolio,
        "edition": 1,
        **REPORT,
        "author": str(subject("max")),
        "figures": [],
        "state": "drafted",
        "signed_by_manager": None,
        "signed_by_sponsor": None,
    }


async def test_a_correction_is_the_next_edition_of_the_same_report(service: Service) -> None:
    _, project = await a_staffed_project(service)
    report = await a_report(service, project)
    manager = await service.client("max")
    again = await manager.post("/status-reports", json={"project": project, **REPORT})
    assert done(again) == {"stream": report, "version": 1, "events": []}
    corrected = {"project": project, **REPORT, "narrative": "The trench is closed."}
    assert done(await manager.post("/status-reports", json=corrected))["version"] == 2
    told = done(await manager.get(f"/status-reports/{report}"))
    assert (told["edition"], told["narrative"]) == (2, "The trench is closed.")
    assert await a_report(service, project, period_start="2026-02-01", period_end="2026-02-28") != report


@pytest.mark.parametrize(
    ("changed", "slug"),
    [
        ({"period_end": "2025-12-31"}, "period-reversed"),
        ({"confidences": [REPORT["confidences"][0]] * 2}, "dimension-rated-twice"),
        ({"scale": "three_point"}, "rating-not-on-scale"),
    ],
)
async def test_a_report_that_contradicts_itself_is_refused(
    service: Service, changed: dict[str, Any], slug: str
) -> None:
    _, project = await a_staffed_project(service)
    manager = await service.client("max")
    problem(await manager.post("/status-reports", json={"project": project, **REPORT, **changed}), 409, slug)
    assert not await service.runtime.ledger.pool.fetch("SELECT FROM events")


async def test_a_report_takes_the_figures_that_were_measured_for_it(service: Service) -> None:
    _, project = await a_staffed_project(service)
    report = await a_report(service, project)
    overdue = measured(project, f"{report}@1")
    waiting = measured(project, f"{report}@1", "days_since_last_gate", None)
    of_a_review = measured(project, f"{uuid4()}@2")
    await service.hear(overdue, waiting, of_a_review, overdue)
    shown = await (await service.client("max")).get(f"/status-reports/{report}")
    assert shown.headers["etag"] == '"3"'
    figures = done(shown)["figures"]
    assert [(each["kpi"], each["value"], each["undefined_because"]) for each in figures] == [
        ("conditions_overdue", "2", None),
        ("days_since_last_gate", None, "Nothing was decided yet."),
    ]
    assert figures[0]["measurement"] == overdue.id
    recorded = await service.runtime.ledger.events(UUID(report))
    assert [one.envelope.causationid for one in recorded[1:]] == [overdue.id, waiting.id]


async def refused(service: Service) -> list[tuple[int, str]]:
    """The refusals that are on record, with their status."""
    rows = await service.runtime.ledger.pool.fetch(
        "SELECT status, refusal::jsonb->>'slug' AS slug FROM commands WHERE refusal IS NOT NULL"
    )
    return [(row["status"], row["slug"]) for row in rows]


async def test_a_figure_of_an_earlier_edition_comes_too_late(service: Service) -> None:
    _, project = await a_staffed_project(service)
    report = await a_report(service, project)
    manager = await service.client("max")
    done(await manager.post("/status-reports", json={"project": project, **REPORT, "narrative": "Corrected."}))
    await service.hear(measured(project, f"{report}@1"))
    assert await refused(service) == [(409, "edition-superseded")]
    await service.hear(measured(project, f"{report}@2"))
    assert len(done(await manager.get(f"/status-reports/{report}"))["figures"]) == 1


async def test_what_the_manager_has_signed_takes_no_more_figures(service: Service) -> None:
    _, project = await a_staffed_project(service)
    report = await a_report(service, project)
    await service.hear(measured(project, f"{report}@1"))
    manager = await service.client("max")
    done(await manager.post(f"/status-reports/{report}/sign-offs", json=AS_MANAGER, headers=seen(2)))
    await service.hear(measured(project, f"{report}@1", "conditions_open"))
    assert await refused(service) == [(409, "edition-signed")]
    await service.hear(measured(project, f"{report}@1"))
    assert await refused(service) == [(409, "edition-signed"), (409, "figure-already-taken")]
    assert len(done(await manager.get(f"/status-reports/{report}"))["figures"]) == 1


async def test_the_manager_signs_and_then_the_sponsor(service: Service) -> None:
    _, project = await a_staffed_project(service)
    report = await a_report(service, project)
    manager, sponsor = await service.client("max"), await service.client("sol")
    path = f"/status-reports/{report}/sign-offs"
    problem(await sponsor.post(path, json=AS_SPONSOR, headers=seen(1)), 409, "manager-signs-first")
    done(await manager.post(path, json=AS_MANAGER, headers=seen(1)))
    told = done(await manager.get(f"/status-reports/{report}"))
    assert (told["state"], told["signed_by_manager"]) == ("signed_by_manager", str(subject("max")))
    done(await sponsor.post(path, json=AS_SPONSOR, headers=seen(2)))
    told = done(await sponsor.get(f"/status-reports/{report}"))
    assert (told["state"], told["signed_by_sponsor"]) == ("signed_off", str(subject("sol")))
    assert done(await manager.post(path, json=AS_MANAGER, headers=seen(3)))["events"] == []
    assert done(await sponsor.post(path, json=AS_SPONSOR, headers=seen(3)))["events"] == []
    last = (await service.runtime.ledger.events(UUID(report)))[-1]
    assert (last.event.edition, last.event.remark) == (1, "I have read it.")


async def test_nobody_signs_for_the_project_s_manager_and_sponsor(service: Service) -> None:
    portfolio, project = await a_staffed_project(service)
    report = await a_report(service, project)
    path = f"/status-reports/{report}/sign-offs"
    for name in ("mia", "sol"):
        client = await service.client(name)
        said = problem(await client.post(path, json=AS_MANAGER, headers=seen(1)), 403, "not-the-manager")
        assert said["facts"] == {"manager": str(subject("max"))}
    manager = await service.client("max")
    done(await manager.post(path, json=AS_MANAGER, headers=seen(1)))
    for name in ("max", "mia"):
        client = await service.client(name)
        said = problem(await client.post(path, json=AS_SPONSOR, headers=seen(2)), 403, "not-the-sponsor")
        assert said["facts"] == {"sponsor": str(subject("sol"))}
    nobody = str((await a_project(service, portfolio, replace(CHARTER, manager=None))).stream)
    unmanaged = await a_report(service, nobody)
    said = problem(
        await manager.post(f"/status-reports/{unmanaged}/sign-offs", json=AS_MANAGER, headers=seen(1)),
        403,
        "not-the-manager",
    )
    assert "nobody" in said["facts"]["manager"]


async def test_whoever_the_charter_names_now_is_the_manager(service: Service) -> None:
    portfolio = await a_portfolio(service)
    await everyone(service, portfolio)
    stream = await a_project(service, portfolio)
    report = await a_report(service, str(stream.stream))
    path = f"/status-reports/{report}/sign-offs"
    done(await (await service.client("max")).post(path, json=AS_MANAGER, headers=seen(1)))
    amended = replace(CHARTER, manager=subject("mia"))
    await service.hear(stream.event(CharterAmended(amended, "Mia takes over.")))
    late = await (await service.client("mia")).post(path, json=AS_MANAGER, headers=seen(2))
    said = problem(late, 409, "already-signed")
    assert said["facts"] == {"signatory": "manager", "signer": str(subject("max"))}
    problem(await (await service.client("max")).post(path, json=AS_MANAGER, headers=seen(2)), 403, "not-the-manager")


async def test_what_is_signed_is_what_was_read(service: Service) -> None:
    _, project = await a_staffed_project(service)
    report = await a_report(service, project)
    manager = await service.client("max")
    path = f"/status-reports/{report}/sign-offs"
    problem(await manager.post(path, json=AS_MANAGER), 428, "if-match-required")
    await service.hear(measured(project, f"{report}@1"))
    stale = problem(await manager.post(path, json=AS_MANAGER, headers=seen(1)), 412, "stale-version")
    assert stale["facts"]["current_version"] == "2"
    key = {"Idempotency-Key": "sign-1", **seen(2)}
    signed = done(await manager.post(path, json=AS_MANAGER, headers=key))
    again = await manager.post(path, json=AS_MANAGER, headers=key)
    assert (done(again), again.headers["gov-repeated"]) == (signed, "true")


async def test_an_edition_that_is_named_must_be_the_newest(service: Service) -> None:
    _, project = await a_staffed_project(service)
    report = await a_report(service, project)
    manager = await service.client("max")
    done(await manager.post("/status-reports", json={"project": project, **REPORT, "narrative": "Corrected."}))
    path = f"/status-reports/{report}/sign-offs"
    early = await manager.post(path, json={**AS_MANAGER, "edition": 1}, headers=seen(2))
    assert problem(early, 409, "edition-superseded")["facts"] == {"edition": "2", "given": "1"}
    done(await manager.post(path, json={**AS_MANAGER, "edition": 2}, headers=seen(2)))


async def test_a_correction_is_signed_anew(service: Service) -> None:
    _, project = await a_staffed_project(service)
    report = await a_report(service, project)
    manager, sponsor = await service.client("max"), await service.client("sol")
    path = f"/status-reports/{report}/sign-offs"
    done(await manager.post(path, json=AS_MANAGER, headers=seen(1)))
    done(await sponsor.post(path, json=AS_SPONSOR, headers=seen(2)))
    done(await manager.post("/status-reports", json={"project": project, **REPORT, "narrative": "Corrected."}))
    told = done(await manager.get(f"/status-reports/{report}"))
    assert (told["edition"], told["state"], told["signed_by_manager"]) == (2, "drafted", None)
    problem(await sponsor.post(path, json=AS_SPONSOR, headers=seen(4)), 409, "manager-signs-first")
    done(await manager.post(path, json=AS_MANAGER, headers=seen(4)))


async def test_a_project_s_reports_are_listed_last_first_and_page_by_page(service: Service) -> None:
    portfolio, project = await a_staffed_project(service)
    other = str((await a_project(service, portfolio)).stream)
    first = date(2026, 1, 1)
    periods = [(str(first + timedelta(days=week * 7)), str(first + timedelta(days=week * 7 + 6))) for week in range(5)]
    for start, end in periods:
        await a_report(service, project, period_start=start, period_end=end)
    await a_report(service, other)
    viewer = await service.client("vic")
    found: list[str] = []
    cursor: dict[str, str] = {}
    sizes = []
    while True:
        answer = await viewer.get("/status-reports", params={"project": project, "limit": 2, **cursor})
        page = done(answer)
        found += [item["period_start"] for item in page["items"]]
        sizes.append(len(page["items"]))
        assert ('rel="next"' in answer.headers.get("link", "")) == (page["next"] is not None)
        if page["next"] is None:
            break
        cursor = {"cursor": page["next"]}
    assert found == [start for start, _ in reversed(periods)]
    assert sizes == [2, 2, 1]
    (item,) = done(await viewer.get("/status-reports", params={"project": other}))["items"]
    assert item == done(await viewer.get(f"/status-reports/{item['report']}"))
    problem(await viewer.get("/status-reports", params={"project": other, "cursor": "x"}), 400, "malformed-header")
    problem(await viewer.get("/status-reports"), 422, "invalid-input")
    problem(await viewer.get("/status-reports", params={"project": "x"}), 422, "invalid-input")


async def test_a_project_that_has_not_arrived_yet_is_not_known(service: Service) -> None:
    portfolio, _ = await a_staffed_project(service)
    late = Stream("projects")
    own = PortfolioId(UUID(portfolio))
    manager = await service.client("max")
    key = {"Idempotency-Key": "report-1"}
    body = {"project": str(late.stream), **REPORT}
    said = problem(await manager.post("/status-reports", json=body, headers=key), 404, "project-not-known")
    assert said["facts"] == {"project": str(late.stream)}
    assert "may not have arrived" in said["detail"]
    problem(await manager.post("/status-reports", json={**body, "project": portfolio}), 404, "project-not-known")
    unknown = problem(await manager.get("/status-reports", params={"project": str(late.stream)}), 404, "not-found")
    assert str(late.stream) in unknown["detail"]
    await service.hear(late.event(ProjectRegistered(own, NodeId(own), "P-9", "Late", CHARTER, None, (), None)))
    done(await manager.post("/status-reports", json=body, headers=key), 201)


async def test_what_is_not_there_is_not_found(service: Service) -> None:
    _, project = await a_staffed_project(service)
    manager = await service.client("max")
    for unknown in (str(uuid4()), project, "nonsense"):
        answer = await manager.post(f"/status-reports/{unknown}/sign-offs", json=AS_MANAGER, headers=seen(1))
        problem(answer, 404, "not-found")
    problem(await service.root.get(f"/status-reports/{uuid4()}"), 404, "not-found")


async def test_roles_reach_down_the_tree_and_no_further(service: Service) -> None:
    portfolio, project = await a_staffed_project(service)
    other = await a_portfolio(service, "Roads")
    foreign = str((await a_project(service, other)).stream)
    report = await a_report(service, project)
    await service.assign("mia", Role.PROJECT_MANAGER, other)
    their_manager = await service.client("mia")
    theirs = done(await their_manager.post("/status-reports", json={"project": foreign, **REPORT}), 201)["stream"]
    manager, pmo = await service.client("max"), await service.client("pia")
    sponsor, viewer, stranger = await service.client("sol"), await service.client("vic"), await service.client("eve")
    done(await viewer.get(f"/status-reports/{report}"))
    denied: tuple[Any, ...] = (
        viewer.post("/status-reports", json={"project": project, **REPORT}),
        sponsor.post("/status-reports", json={"project": project, **REPORT}),
        service.root.post("/status-reports", json={"project": project, **REPORT}),
        pmo.post(f"/status-reports/{report}/sign-offs", json=AS_MANAGER, headers=seen(1)),
        service.root.post(f"/status-reports/{report}/sign-offs", json=AS_MANAGER, headers=seen(1)),
        viewer.post(f"/status-reports/{report}/sign-offs", json=AS_MANAGER, headers=seen(1)),
        stranger.post(f"/status-reports/{report}/sign-offs", json=AS_MANAGER, headers=seen(1)),
        manager.post("/status-reports", json={"project": foreign, **REPORT}),
        # Max is that project's manager too, but has no role there.
        manager.post(f"/status-reports/{theirs}/sign-offs", json=AS_MANAGER, headers=seen(1)),
        pmo.get(f"/status-reports/{theirs}"),
        pmo.get("/status-reports", params={"project": foreign}),
        stranger.get(f"/status-reports/{report}"),
        stranger.get("/status-reports", params={"project": project}),
        manager.post("/status-reports", json={"project": project, **REPORT}, headers=IMPORTED),
    )
    for request in denied:
        problem(await request, 403, "not-allowed")
    assert done(await pmo.get("/status-reports", params={"project": portfolio}))["items"] == []


async def test_the_pmo_brings_in_what_was_reported_elsewhere(service: Service) -> None:
    _, project = await a_staffed_project(service)
    pmo = await service.client("pia")
    body = {"project": project, **REPORT}
    report = done(await pmo.post("/status-reports", json=body, headers=IMPORTED), 201)["stream"]
    (recorded,) = await service.runtime.ledger.events(UUID(report))
    assert recorded.envelope.origin is Origin.IMPORTED
    assert recorded.envelope.time == datetime(2014, 5, 1, tzinfo=UTC)


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "date": ({"period_start": "January"}, "/period_start"),
    "scale": ({"scale": "ten_point"}, "/scale"),
    "rating": (
        {"confidences": [{"dimension": "overall", "rating": "blue", "reason": ""}]},
        "/confidences/0/rating",
    ),
    "confidence in part": ({"confidences": [{"dimension": "overall", "rating": "green"}]}, "/confidences/0/reason"),
    "unknown field": ({"colour": "red"}, "/colour"),
    "project": ({"project": "P-1"}, "/project"),
    "long narrative": ({"narrative": "x" * 8001}, "/narrative"),
}


@pytest.mark.parametrize("case", BAD)
async def test_bad_input_is_refused_with_its_place(service: Service, case: str) -> None:
    changed, pointer = BAD[case]
    _, project = await a_staffed_project(service)
    manager = await service.client("max")
    answer = await manager.post("/status-reports", json={"project": project, **REPORT, **changed})
    said = problem(answer, 422, "invalid-input")
    assert pointer in {error["pointer"] for error in said["errors"]}
    assert all(error["remedy"] and error["detail"] for error in said["errors"])
    assert not await service.runtime.ledger.pool.fetch("SELECT FROM events")


async def test_a_signatory_is_the_manager_or_the_sponsor(service: Service) -> None:
    _, project = await a_staffed_project(service)
    report = await a_report(service, project)
    manager = await service.client("max")
    path = f"/status-reports/{report}/sign-offs"
    said = problem(await manager.post(path, json={"signatory": "board"}, headers=seen(1)), 422, "invalid-input")
    assert [error["pointer"] for error in said["errors"]] == ["/signatory"]
    problem(await manager.post(path, json=AS_MANAGER, headers={"If-Match": "1"}), 400, "malformed-header")
