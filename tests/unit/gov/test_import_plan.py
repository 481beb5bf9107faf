"""From rows to requests: what is sent, what is reported, and what is never claimed."""

from datetime import date, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from gov.imports.mapping import GatesMapping, ProjectsMapping
from gov.imports.plan import IdOf, Plan, Request, plan_gates, plan_projects
from gov.imports.table import read_table

TODAY = date(2025, 6, 30)
ZONE = ZoneInfo("Australia/Melbourne")
PORTFOLIO = {"name": "Works", "currency": "AUD", "time_zone": "Australia/Melbourne"}
DAY = ["%d/%m/%Y %I:%M:%S %p", "%d/%m/%Y"]


def projects(folder: Path, text: str, **mapping: Any) -> Plan:
    path = folder / "projects.csv"
    path.write_text(text, encoding="utf-8")
    read = ProjectsMapping.model_validate(
        {"kind": "projects", "portfolio": PORTFOLIO, "reference": "ID", "name": "{ID}", **mapping}
    )
    return plan_projects(read, read_table(path), today=TODAY)


def gates(folder: Path, text: str, **mapping: Any) -> Plan:
    path = folder / "gates.csv"
    path.write_text(text, encoding="utf-8")
    read = GatesMapping.model_validate({"kind": "gates", "portfolio": PORTFOLIO, "reference": "ID", **mapping})
    return plan_gates(read, read_table(path), today=TODAY)


def registration(plan: Plan, number: int = 0) -> Request:
    found = plan.projects[number].registration
    assert found is not None
    return found


def places(plan: Plan) -> list[tuple[int, str, str]]:
    return [(problem.row, problem.column, problem.value) for problem in plan.problems]


def test_a_project_is_registered_with_what_its_row_says_and_where_that_stands(tmp_path: Path) -> None:
    plan = projects(
        tmp_path,
        "ID,Team,Cost,Raised\nQ1,North,2066075.5899999999,5/02/2016 5:00:00 PM\n",
        programme="Team",
        value="Cost",
        attributes={"Owner": "Team"},
        registered={"column": "Raised", "formats": DAY},
    )
    sent = registration(plan)
    assert plan.problems == ()
    assert plan.programmes == ("North",)
    assert sent.time == datetime(2016, 2, 5, 17, tzinfo=ZONE)
    assert sent.body["parent"] == IdOf("programme:North")
    assert sent.body["charter"]["value"] == {"amount": "2066075.5899999999", "currency": "AUD"}
    assert sent.body["attributes"] == [{"name": "Owner", "value": "North"}]
    assert (sent.body["source"]["file"], sent.body["source"]["row"]) == ("projects.csv", 2)


def test_nothing_is_claimed_that_the_row_does_not_say(tmp_path: Path) -> None:
    plan = projects(
        tmp_path,
        "ID,Cost,Raised\nQ1,,\n",
        value="Cost",
        registered={"column": "Raised", "formats": DAY},
    )
    sent = registration(plan)
    assert sent.time is None
    assert sent.body["parent"] == IdOf("portfolio")
    assert sent.body["methodology"] is None
    assert sent.body["charter"] == {"purpose": "", "sponsor": None, "manager": None, "value": None}


def test_a_day_to_come_is_a_plan_and_says_nothing_of_since_when_a_project_is_known(tmp_path: Path) -> None:
    plan = projects(
        tmp_path,
        "ID,Raised,Built\nQ1,01/07/2025,01/07/2025\nQ2,30/06/2025,30/06/2025\n",
        registered={"column": "Raised", "formats": DAY},
        milestones={"Built": {"column": "Built", "formats": DAY}},
    )
    assert [registration(plan, number).time for number in (0, 1)] == [None, datetime(2025, 6, 30, tzinfo=ZONE)]
    assert [project.requests[0].body["basis"] for project in plan.projects] == ["planned", "actual"]


@pytest.mark.parametrize(
    "cell", ["1,234", "12 000", "1_000", "$5", "NaN", "Infinity", "1e999999999", "1e60", "٣", "0x10", "--5", "1" * 39]
)
def test_a_number_that_is_none_is_reported_and_the_rest_of_the_row_is_taken(tmp_path: Path, cell: str) -> None:
    plan = projects(tmp_path, f'ID,Cost\nQ1,"{cell}"\n', value="Cost")
    assert places(plan) == [(2, "Cost", cell)]
    assert registration(plan).body["charter"]["value"] is None


@pytest.mark.parametrize(
    ("cell", "amount"), [("12.50", "12.50"), ("-3", "-3"), ("1.5E+3", "1500"), ("0.0000001", "0.0000001")]
)
def test_a_number_keeps_its_own_digits(tmp_path: Path, cell: str, amount: str) -> None:
    plan = projects(tmp_path, f"ID,Cost\nQ1,{cell}\n", value="Cost")
    assert registration(plan).body["charter"]["value"]["amount"] == amount
    assert plan.problems == ()


@pytest.mark.parametrize("cell", ["2016-05-25", "25/05/16", "31/02/2016", "25/05/2016 17:00", "n/a"])
def test_a_date_in_another_form_is_reported_with_the_form_that_is_expected(tmp_path: Path, cell: str) -> None:
    plan = projects(tmp_path, f"ID,Built\nQ1,{cell}\n", milestones={"Built": {"column": "Built", "formats": DAY[1:]}})
    (problem,) = plan.problems
    assert (problem.row, problem.column, problem.value, problem.remedy) == (2, "Built", cell, "write %d/%m/%Y")
    assert plan.projects[0].requests == ()


def test_html_and_braces_in_a_name_are_text_and_stand_for_no_id(tmp_path: Path) -> None:
    plan = projects(tmp_path, "ID,Name\nQ1,<script>alert(1)</script>\nQ2,{portfolio}\n", name="{Name}")
    assert [registration(plan, number).body["name"] for number in (0, 1)] == [
        "<script>alert(1)</script>",
        "{portfolio}",
    ]


def test_a_repeated_reference_and_a_missing_one_are_reported_and_the_first_row_stands(tmp_path: Path) -> None:
    plan = projects(tmp_path, "ID,Name\nQ1,a\nQ1,b\n,c\n", name="{Name}")
    assert [registration(plan).body["name"]] == ["a"]
    assert places(plan) == [(3, "ID", "Q1"), (4, "ID", "")]
    assert "row 2" in plan.problems[0].reason


@pytest.mark.parametrize(("name", "length"), [("", 0), ("x" * 201, 201)])
def test_a_project_without_a_usable_name_is_reported(tmp_path: Path, name: str, length: int) -> None:
    plan = projects(tmp_path, f'ID,Name\nQ1,"{name}"\n', name="{Name}")
    assert plan.projects == ()
    assert [problem.reason for problem in plan.problems] == [f"a name of {length} characters"]


def test_texts_that_are_too_long_are_reported_and_never_cut(tmp_path: Path) -> None:
    plan = projects(
        tmp_path,
        f"ID,Team,Why\nQ1,{'t' * 201},{'w' * 8001}\n",
        programme="Team",
        attributes={"Owner": "Team"},
        purpose="{Why}",
    )
    sent = registration(plan)
    assert [problem.reason for problem in plan.problems] == ["201 characters", "201 characters", "8001 characters"]
    assert (sent.body["charter"]["purpose"], sent.body["attributes"], plan.programmes) == ("", [], ())


def test_a_heading_that_the_mapping_does_not_know_stops_everything(tmp_path: Path) -> None:
    plan = projects(tmp_path, "ID,Nmae\nQ1,a\n", name="{Name}")
    assert plan.projects == ()
    assert places(plan) == [(1, "Name", ""), (1, "Nmae", "")]


def test_a_column_is_left_out_only_where_the_mapping_says_why(tmp_path: Path) -> None:
    plan = projects(tmp_path, "ID,Total\nQ1,5\n", ignored={"Total": "known only afterwards"})
    assert plan.problems == ()


HISTORY = {
    "reported_on": {"column": "On", "formats": ["%m/%d/%Y"]},
    "phase": "Phase",
    "budget_forecast": "Budget",
    "schedule_change_days": "Days",
}


def test_reports_are_told_in_the_order_of_their_dates_each_as_known_then(tmp_path: Path) -> None:
    plan = projects(
        tmp_path,
        "ID,On,Phase,Budget,Days\nP1,02/01/2015,Design,90,-1.5\nP1,05/01/2014,Construction,100,\n",
        history=HISTORY,
    )
    (project,) = plan.projects
    assert registration(plan).time == datetime(2014, 5, 1, tzinfo=ZONE)
    assert registration(plan).row == 3
    assert [
        (each.row, each.time, each.body["phase"], each.body["schedule_change_days"]) for each in project.requests
    ] == [
        (3, datetime(2014, 5, 1, tzinfo=ZONE), "Construction", None),
        (2, datetime(2015, 2, 1, tzinfo=ZONE), "Design", "-1.5"),
    ]


def test_a_milestone_in_a_history_is_told_when_it_changes_as_the_report_knew_it(tmp_path: Path) -> None:
    plan = projects(
        tmp_path,
        "ID,On,Phase,Budget,Days,Start\n"
        "P1,01/01/2014,,,,06/01/2014\nP1,02/01/2014,,,,06/01/2014\nP1,09/01/2014,,,,07/01/2014\n",
        history=HISTORY,
        milestones={"Start": {"column": "Start", "formats": ["%m/%d/%Y"]}},
    )
    milestones = [each for each in plan.projects[0].requests if each.path.endswith("/milestones")]
    assert [(each.row, each.body["date"], each.body["basis"]) for each in milestones] == [
        (2, "2014-06-01", "planned"),
        (4, "2014-07-01", "actual"),
    ]
    assert [each.time for each in milestones] == [datetime(2014, month, 1, tzinfo=ZONE) for month in (1, 9)]


def test_two_reports_of_a_project_on_one_date_are_reported_and_so_is_one_without_a_date(tmp_path: Path) -> None:
    plan = projects(
        tmp_path,
        "ID,On,Phase,Budget,Days\nP1,01/01/2014,a,,\nP1,01/01/2014,b,,\nP1,,c,,\n",
        history=HISTORY,
    )
    assert [each.body["phase"] for each in plan.projects[0].requests] == ["a"]
    assert places(plan) == [(3, "On", "01/01/2014"), (4, "On", "")]


def test_a_gate_date_that_has_passed_is_a_decision_and_one_to_come_a_plan(tmp_path: Path) -> None:
    plan = gates(
        tmp_path,
        "ID,BCA,Body\nQ1,30/06/2025,MD\nQ2,01/07/2025,MD\nQ3,,\n",
        gates={"BCA": {"column": "BCA", "formats": DAY, "body": "Body"}},
    )
    decided, planned, silent = plan.projects
    assert decided.registration is None
    assert decided.requests[0].path == "/decisions"
    assert decided.requests[0].time == datetime(2025, 6, 30, tzinfo=ZONE)
    assert decided.requests[0].body["body_name"] == "MD"
    assert decided.requests[0].body["outcome"] is None
    assert planned.requests[0].path == "/projects/{project}/milestones"
    assert (planned.requests[0].body["basis"], planned.requests[0].time) == ("planned", None)
    assert silent.requests == ()


def test_bands_go_in_the_portfolios_currency(tmp_path: Path) -> None:
    plan = gates(tmp_path, "ID\nQ1\n", gates={}, bands=[{"body": "MD", "upper": "2500000"}, {"body": "Board"}])
    assert plan.bodies == ("MD", "Board")
    assert plan.bands == (
        {"body": IdOf("body:MD"), "upper": {"amount": "2500000", "currency": "AUD"}, "inclusive": False},
        {"body": IdOf("body:Board"), "upper": None, "inclusive": False},
    )


def test_the_same_row_of_the_same_file_has_the_same_key_in_every_run(tmp_path: Path) -> None:
    text = "ID,Built\nQ1,01/02/2020\nQ2,01/02/2020\n"
    first, again = (
        [
            request.key
            for project in projects(tmp_path, text, milestones={"Built": {"column": "Built", "formats": DAY}}).projects
            for request in (project.registration, *project.requests)
            if request is not None
        ]
        for _ in range(2)
    )
    assert first == again
    assert len(set(first)) == 4
