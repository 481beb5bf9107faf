"""The public data sets: what is planned is what an independent reader counts."""

from datetime import date
from pathlib import Path

import pandas as pd
from tests.support.portfolios import MELBOURNE, NEW_YORK, needs_portfolios

from gov.imports.mapping import GatesMapping, ProjectsMapping, load_mapping
from gov.imports.plan import Plan, plan_gates, plan_projects
from gov.imports.table import read_table

MAPPINGS = Path(__file__).parents[3] / "deploy" / "mappings"
TODAY = date(2025, 6, 30)

pytestmark = needs_portfolios


def planned(file: Path, mapping: str) -> Plan:
    read = load_mapping(MAPPINGS / mapping)
    match read:
        case ProjectsMapping():
            return plan_projects(read, read_table(file), today=TODAY)
        case GatesMapping():
            return plan_gates(read, read_table(file), today=TODAY)


def count(plan: Plan, kind: str) -> int:
    return sum(request.path.endswith(f"/{kind}") for project in plan.projects for request in project.requests)


def days(column: "pd.Series[str]", *formats: str) -> "pd.Series[pd.Timestamp]":
    found = pd.to_datetime(column, format=formats[0], errors="coerce")
    for other in formats[1:]:
        found = found.fillna(pd.to_datetime(column, format=other, errors="coerce"))
    return found


def test_melbournes_projects_values_and_milestones() -> None:
    frame = pd.read_csv(MELBOURNE, dtype=str, encoding="utf-8-sig")
    plan = planned(MELBOURNE, "melbourne-water-projects.yaml")
    assert plan.problems == ()
    assert [project.reference for project in plan.projects] == list(frame["ID"])
    assert plan.programmes == tuple(sorted(frame["Delivery Program"].unique()))
    values = [
        project.registration.body["charter"]["value"]["amount"] for project in plan.projects if project.registration
    ]
    assert values == list(frame["FFC"])
    dated = frame[["Tender Closed", "Stage1", "Stage2", "Stage3"]].notna().sum().sum()
    assert count(plan, "milestones") == dated == 1744


def test_melbournes_decisions_are_the_dates_up_to_today_and_the_rest_are_plans() -> None:
    frame = pd.read_csv(MELBOURNE, dtype=str, encoding="utf-8-sig")
    columns = {
        "BNI": days(frame["BNI"], "%d/%m/%Y %I:%M:%S %p", "%d/%m/%Y"),
        "PBC": days(frame["PBC"], "%d/%m/%Y %I:%M:%S %p", "%d/%m/%Y"),
        "BCA": days(frame["BCA"], "%Y-%m-%d %H:%M:%S"),
    }
    plan = planned(MELBOURNE, "melbourne-water-gates.yaml")
    assert plan.problems == ()
    for gate, dates in columns.items():
        decided = {
            project.reference: request.body["decided_on"]
            for project in plan.projects
            for request in project.requests
            if request.body.get("gate") == gate
        }
        past = dates[dates.dt.date <= TODAY]
        references = frame.loc[past.index, "ID"]
        assert decided == dict(zip(references, past.dt.strftime("%Y-%m-%d"), strict=True))
    every = sum(int(dates.notna().sum()) for dates in columns.values())
    assert count(plan, "decisions") + count(plan, "milestones") == every == 1101


def test_new_yorks_reports_each_in_its_order() -> None:
    frame = pd.read_csv(NEW_YORK, dtype=str)
    plan = planned(NEW_YORK, "new-york-projects.yaml")
    assert plan.problems == ()
    assert {project.reference for project in plan.projects} == set(frame["PID"])
    assert count(plan, "observations") == len(frame) == 2259
    observed = [
        (project.reference, request.body)
        for project in plan.projects
        for request in project.requests
        if request.path.endswith("/observations")
    ]
    assert sum(body["phase"] is None for _, body in observed) == int(frame["Current Phase"].isna().sum())
    assert sum(body["budget_forecast"] is not None for _, body in observed) == int(
        frame["Budget Forecast"].notna().sum()
    )
    for project in plan.projects:
        told = [request.time for request in project.requests if request.time is not None]
        assert told == sorted(told)
