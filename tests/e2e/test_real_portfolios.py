"""Two real portfolios are brought in, and every figure is what plain pandas finds in their files."""

import csv
import subprocess
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx2
import pandas as pd
import pytest
from tests.support.portfolios import MELBOURNE, NEW_YORK, needs_portfolios
from tests.support.system import MAPPINGS, RunningSystem, Said

IMPORTS = (
    ("projects", MELBOURNE, MAPPINGS / "melbourne-water-projects.yaml"),
    ("gates", MELBOURNE, MAPPINGS / "melbourne-water-gates.yaml"),
    ("projects", NEW_YORK, MAPPINGS / "new-york-projects.yaml"),
)
WATER = "Melbourne Water capital delivery"
CITY = "New York City capital projects"
DAYS = ("2013-08-31", "2013-12-31", "2014-06-30", "2016-01-01", "2017-05-01", "2018-12-31", "2019-12-31")

pytestmark = [pytest.mark.timeout(900), needs_portfolios]


@dataclass(frozen=True)
class Imported:
    """What the imports said, when they began, and the portfolios' ids by name."""

    began: datetime
    results: list[dict[str, Any]]
    portfolios: dict[str, str]


def arguments(kind: str, file: Path, mapping: Path) -> tuple[str, ...]:
    return "import", kind, str(file), "--mapping", str(mapping), "--json"


@pytest.fixture(scope="module")
async def imported(system: RunningSystem) -> Imported:
    began = datetime.now(UTC) - timedelta(seconds=1)
    with system.begin(*arguments(*IMPORTS[2])) as beside:
        results = [taken(system.gov(*arguments(*each), timeout_s=400)) for each in IMPORTS[:2]]
        results.append(taken(ended(beside)))
    await system.wait_read("projections")
    listed = system.ask("ana", "projects", "/portfolios").json()["items"]
    return Imported(began, results, {item["name"]: item["portfolio"] for item in listed})


def ended(command: subprocess.Popen[str]) -> Said:
    out, err = command.communicate(timeout=400)
    return Said(command.returncode, out, err)


def taken(said: Said) -> dict[str, Any]:
    assert said.code == 0, said.err
    document: dict[str, Any] = said.document
    return document


@pytest.fixture(scope="module")
def water() -> pd.DataFrame:
    return pd.read_csv(MELBOURNE, dtype=str, keep_default_na=False, encoding="utf-8-sig")


@pytest.fixture(scope="module")
def city() -> pd.DataFrame:
    table = pd.read_csv(NEW_YORK, dtype=str, keep_default_na=False)
    table["day"] = pd.to_datetime(table["Date Reported As Of"], format="%m/%d/%Y %I:%M:%S %p")
    return table.sort_values("day", kind="stable")


def test_every_row_is_taken(imported: Imported, water: pd.DataFrame, city: pd.DataFrame) -> None:
    for result, table in zip(imported.results, (water, water, city), strict=True):
        assert result["problems"] == []
        assert result["rows"] == {
            "read": len(table),
            "taken": len(table),
            "already_there": 0,
            "silent": 0,
            "with_problems": 0,
        }
    assert imported.results[2]["planned"]["observations"] == len(city)
    assert imported.results[2]["planned"]["projects"] == city["PID"].nunique()


def test_the_time_between_two_gates_by_process(system: RunningSystem, imported: Imported, water: pd.DataFrame) -> None:
    asked = ("--node", WATER, "--from", "PBC", "--to", "BCA", "--by", "EPT", "--json")
    told = taken(system.gov("kpi", "show", "gate_duration", *asked))
    today = pd.Timestamp(told["data_date"])
    first = pd.to_datetime(water["PBC"].str.split(" ").str[0].replace("", None), format="%d/%m/%Y")
    last = pd.to_datetime(water["BCA"].str[:10].replace("", None), format="%Y-%m-%d")
    # What lies ahead is a plan, and no decision.
    days = (last.where(last <= today) - first.where(first <= today)).dt.days
    found = {row["group"]: row for row in told["rows"] if row["count"]}
    expected = days.dropna().groupby(water["EPT"])
    assert {group: row["count"] for group, row in found.items()} == expected.count().to_dict()
    for group, row in {**found, None: told["total"]}.items():
        wanted = days.dropna() if group is None else expected.get_group(group)
        assert float(row["median"]) == pytest.approx(wanted.median())
        assert float(row["p80"]) == pytest.approx(wanted.quantile(0.8))
    assert told["total"]["count"] == days.count() > 100
    undefined = [row for row in told["rows"] if not row["count"]]
    assert all(row["median"] is None and row["undefined_because"] for row in undefined)


@pytest.mark.parametrize("day", DAYS)
def test_the_city_as_it_was_known_on_a_day(
    system: RunningSystem, imported: Imported, city: pd.DataFrame, day: str
) -> None:
    told = taken(system.gov("kpi", "show", "portfolio", "--node", CITY, "--as-of", day, "--json"))
    known = city[city["day"] <= day]
    assert told["total"]["count"] == known["PID"].nunique()
    phases = newest(known, "Current Phase").value_counts().to_dict()
    silent = known["PID"].nunique() - sum(phases.values())
    assert {row["group"]: row["count"] for row in told["rows"]} == {**phases, **({None: silent} if silent else {})}
    forecasts = newest(known, "Budget Forecast")
    sums = {each["currency"]: (Decimal(each["amount"]), each["count"]) for each in told["total"]["budget_forecast"]}
    assert sums == ({"USD": (sum(map(Decimal, forecasts)), len(forecasts))} if len(forecasts) else {})
    assert told["total"]["without_forecast"] == known["PID"].nunique() - len(forecasts)


def newest(known: pd.DataFrame, column: str) -> Any:
    """What the newest report that was not silent on it said of each project."""
    return known[known[column].str.strip() != ""].groupby("PID").tail(1)[column]


def test_before_the_import_was_recorded_nothing_was_known(system: RunningSystem, imported: Imported) -> None:
    asked = ("--as-of", "2019-12-31", "--recorded-by", imported.began.isoformat(), "--json")
    told = taken(system.gov("kpi", "show", "portfolio", "--node", imported.portfolios[CITY], *asked))
    assert told["total"]["count"] == 0
    assert told["rows"] == []
    assert told["undefined_because"]


def test_the_table_says_whose_decision_each_value_is(
    system: RunningSystem, imported: Imported, water: pd.DataFrame
) -> None:
    path = f"/value-bands/{imported.portfolios[WATER]}/decisions"
    with httpx2.Client(
        base_url=system.address("approvals"), headers={"Authorization": f"Bearer {system.token('ana')}"}
    ) as client:
        for value, body in zip(water["FFC"], water["Approval body"], strict=True):
            answered = client.get(path, params={"amount": value, "currency": "AUD"})
            assert (value, answered.json().get("name")) == (value, body)


def gate_days(water: pd.DataFrame, until: pd.Timestamp) -> pd.DataFrame:
    """The day of each gate's decision; what lies ahead is a plan, and no decision."""
    days = pd.DataFrame(
        {
            **{
                gate: pd.to_datetime(water[gate].str.split(" ").str[0].replace("", None), format="%d/%m/%Y")
                for gate in ("BNI", "PBC")
            },
            "BCA": pd.to_datetime(water["BCA"].str[:10].replace("", None), format="%Y-%m-%d"),
        }
    )
    return days.where(days <= until)


def test_the_decisions_brought_in_are_in_the_register_with_their_bodies(
    system: RunningSystem, imported: Imported, water: pd.DataFrame
) -> None:
    rows = taken(system.gov("decisions", "--node", WATER, "--json"))["rows"]
    days = gate_days(water, pd.Timestamp(imported.began.date()))
    assert {row["made"] for row in rows} == {"brought_in"}
    told = {(row["reference"], row["gate"]): row for row in rows}
    assert len(told) == len(rows)
    assert {key: row["decided_on"] for key, row in told.items()} == {
        (reference, gate): day.date().isoformat()
        for gate in days
        for reference, day in zip(water["ID"], days[gate], strict=True)
        if not pd.isna(day)
    }
    bodies = dict(zip(water["ID"], water["Approval body"], strict=True))
    for (reference, gate), row in told.items():
        assert row["body_name"] == (bodies[reference] if gate == "BCA" else None)
        assert row["source"]["file"] == MELBOURNE.name


def test_the_time_from_the_gate_before_by_the_body_that_decided(
    system: RunningSystem, imported: Imported, water: pd.DataFrame
) -> None:
    told = taken(system.gov("latency", "--node", WATER, "--by", "body", "--json"))
    days = gate_days(water, pd.Timestamp(imported.began.date()))
    earlier = days[["BNI", "PBC"]]
    before = earlier.where(earlier.lt(days["BCA"], axis=0)).max(axis=1)
    took = (days["BCA"] - before).dt.days
    expected = took.dropna().groupby(water["Approval body"])
    found = {row["group"]: row for row in told["rows"] if row["count"] and row["group"] is not None}
    assert {group: row["count"] for group, row in found.items()} == expected.count().to_dict()
    assert {row["made"] for row in told["rows"]} == {"brought_in"}
    for group, row in found.items():
        assert float(row["median"]) == pytest.approx(expected.get_group(group).median())
        assert float(row["p90"]) == pytest.approx(expected.get_group(group).quantile(0.9))
    assert sum(row["count"] for row in found.values()) == took.count() > 400
    assert sum(row["left_out"] for row in told["rows"] if row["group"] is not None) == (
        days["BCA"].notna().sum() - took.count()
    )


def test_a_figure_leads_to_the_events_that_it_rests_on(
    system: RunningSystem, imported: Imported, water: pd.DataFrame
) -> None:
    asked = ("--node", WATER, "--from", "PBC", "--to", "BCA", "--by", "EPT", "--json")
    explained = taken(system.gov("kpi", "explain", "gate_duration", *asked))
    row = next(each for each in explained["rows"] if {"PBC", "BCA"} <= each["facts"].keys())
    assert row["reference"] in set(water["ID"])
    for gate in ("PBC", "BCA"):
        stream, _, version = row["events"][gate].partition("@")
        shown = taken(system.gov("events", "show", stream, "--json"))
        assert shown["broken_at"] is None
        (event,) = [each for each in shown["events"] if each["version"] == int(version)]
        assert event["type"] == "approvals.DecisionRecorded"
        assert event["origin"] == "imported"
        assert (event["data"]["gate"], event["data"]["decided_on"]) == (gate, row["facts"][gate])
        assert event["data"]["source"]["file"] == MELBOURNE.name


async def test_a_second_import_changes_nothing(system: RunningSystem, imported: Imported) -> None:
    before = await system.event_counts()
    with ExitStack() as started:
        commands = [started.enter_context(system.begin(*arguments(*each))) for each in IMPORTS]
        results = [taken(ended(command)) for command in commands]
    for again in results:
        assert (again["events"], again["rows"]["taken"]) == (0, 0)
        assert again["rows"]["already_there"] == again["rows"]["read"]
    assert await system.event_counts() == before


def test_what_can_t_be_taken_is_reported_with_row_column_and_reason(system: RunningSystem, tmp_path: Path) -> None:
    with MELBOURNE.open(encoding="utf-8-sig", newline="") as file:
        heading, *rows = list(csv.reader(file))[:5]
    at = {name: number for number, name in enumerate(heading)}
    rows[1][at["BNI"]] = "some day in May"
    rows[2][at["FFC"]] = "12,5"
    rows.append([*rows[3], "one cell too many"])
    rows.append(rows[0])
    planted = tmp_path / "planted.csv"
    with planted.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([heading, *rows])
    mapping = tmp_path / "planted.yaml"
    text = (MAPPINGS / "melbourne-water-projects.yaml").read_text(encoding="utf-8")
    mapping.write_text(text.replace(WATER, "Planted faults"), encoding="utf-8")
    said = system.gov(*arguments("projects", planted, mapping))
    assert said.code == 1
    told = said.document
    assert [(each["row"], each["column"]) for each in told["problems"]] == [(3, "BNI"), (4, "FFC"), (6, ""), (7, "ID")]
    wrong = ("some day in May", "12,5", rows[3][at["ID"]], rows[0][at["ID"]])
    assert all(each["value"].startswith(value) for each, value in zip(told["problems"], wrong, strict=True))
    assert all(each["reason"] and each["remedy"] for each in told["problems"])
    assert (told["rows"]["taken"], told["rows"]["with_problems"], told["stopped"]) == (4, 4, None)
