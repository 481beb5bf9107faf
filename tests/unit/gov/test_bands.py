"""A table of value bands from a file: taken whole, or not at all with each fault in its place."""

from decimal import Decimal
from pathlib import Path

import pytest
from openpyxl import Workbook
from tests.unit.gov.gatehouse import Gatehouse

from gov.imports.bands import Band, BandPlan, plan_bands, publish_bands, rehearse_bands
from gov.imports.table import Table, read_table

PORTFOLIO = "11111111-1111-4111-8111-111111111111"
GOOD = """body,upper,currency,inclusive
Leadership Group,2500000,AUD,no
Board,125000000.00,AUD,yes
Treasury,,,
"""


def table(folder: Path, content: str = GOOD) -> Table:
    path = folder / "bands.csv"
    path.write_text(content, encoding="utf-8")
    return read_table(path)


def told(plan: BandPlan) -> list[tuple[int, str, str]]:
    return [(each.row, each.column, each.value) for each in plan.problems]


def test_each_row_is_a_band_and_one_without_a_bound_is_without_limit(tmp_path: Path) -> None:
    assert plan_bands(table(tmp_path)) == BandPlan(
        (
            Band(2, "Leadership Group", Decimal(2500000), "AUD", inclusive=False),
            Band(3, "Board", Decimal("125000000.00"), "AUD", inclusive=True),
            Band(4, "Treasury", None, None, inclusive=False),
        ),
        (),
    )


def test_a_workbook_says_the_same_as_a_csv_whatever_the_order_of_its_columns(tmp_path: Path) -> None:
    workbook = Workbook()
    sheet = workbook.active
    assert sheet is not None
    sheet.append(["inclusive", "body", "currency", "upper"])
    sheet.append(["No", "Leadership Group", "AUD", 2500000])
    sheet.append(["YES", "Board", "AUD", 125000000.0])
    sheet.append([None, "Treasury", None, None])
    path = tmp_path / "bands.xlsx"
    workbook.save(path)
    assert plan_bands(read_table(path)) == plan_bands(table(tmp_path))


@pytest.mark.parametrize(
    ("rows", "problems"),
    [
        ("Board,dear,AUD,no", [(2, "upper", "dear")]),
        ("Board,5,aud,no", [(2, "currency", "aud")]),
        ("Board,5,,no", [(2, "currency", "")]),
        ("Board,5,AUD,", [(2, "inclusive", "")]),
        ("Board,5,AUD,perhaps", [(2, "inclusive", "perhaps")]),
        (",5,AUD,no", [(2, "body", "")]),
        (f"{'x' * 201},5,AUD,no", [(2, "body", "x" * 80)]),
        ("Board,,AUD,", [(2, "currency", "AUD")]),
        ("Board,,,yes", [(2, "inclusive", "yes")]),
        ("Board,x,y,z\nCabinet,5,AUD,no", [(2, "upper", "x"), (2, "currency", "y"), (2, "inclusive", "z")]),
        ("Board,5,AUD,no\nCabinet,5,AUD,no", [(3, "upper", "5")]),
        ("Board,5,AUD,no\nCabinet,4.99,AUD,no", [(3, "upper", "4.99")]),
        ("Board,5,AUD,yes\nCabinet,5,AUD,no", [(3, "upper", "5")]),
        ("Board,,,\nCabinet,5,AUD,no", [(3, "body", "Cabinet")]),
        ("Board,,,\nCabinet,,,", [(3, "body", "Cabinet")]),
        ("Board,5,AUD,no\nCabinet,6,USD,no", [(3, "currency", "USD")]),
        ("Board,5", [(2, "", "Board,5")]),
        ("", [(1, "", "")]),
    ],
)
def test_what_is_wrong_is_told_with_row_column_value_reason_and_remedy(
    tmp_path: Path, rows: str, problems: list[tuple[int, str, str]]
) -> None:
    plan = plan_bands(table(tmp_path, f"body,upper,currency,inclusive\n{rows}\n"))
    assert told(plan) == problems
    assert all(each.reason and each.remedy for each in plan.problems)


def test_an_inclusive_bound_reaches_further_than_an_exclusive_one_at_the_same_value(tmp_path: Path) -> None:
    rows = "body,upper,currency,inclusive\nBoard,5,AUD,no\nCabinet,5.0,AUD,yes\n"
    assert plan_bands(table(tmp_path, rows)).problems == ()


def test_a_column_that_is_missing_or_means_nothing_is_named_and_no_row_is_read(tmp_path: Path) -> None:
    plan = plan_bands(table(tmp_path, "body,upper,inclusive,colour\nBoard,x,no,red\n"))
    assert (told(plan), plan.bands) == ([(1, "currency", ""), (1, "colour", "")], ())


async def test_a_table_is_published_with_the_ids_of_its_bodies_and_the_file_it_came_from(tmp_path: Path) -> None:
    gatehouse = Gatehouse(bodies={"Leadership Group": "b1", "Board": "b2", "Treasury": "b3"})
    read = table(tmp_path)
    async with gatehouse.client() as client:
        result = await publish_bands(client, plan_bands(read), read, PORTFOLIO, form_bodies=False)
    assert (result.published, result.formed, result.problems) == (True, (), ())
    ((path, body),) = gatehouse.taken
    assert (path, body["portfolio"]) == ("/value-bands", PORTFOLIO)
    assert body["bands"] == [
        {"body": "b1", "upper": {"amount": "2500000", "currency": "AUD"}, "inclusive": False},
        {"body": "b2", "upper": {"amount": "125000000.00", "currency": "AUD"}, "inclusive": True},
        {"body": "b3", "upper": None, "inclusive": False},
    ]
    assert body["source"] == {"file": "bands.csv", "sha256": read.sha256, "row": 1}


async def test_a_body_that_nobody_formed_is_told_by_its_row_unless_it_is_to_be_formed(tmp_path: Path) -> None:
    gatehouse = Gatehouse(bodies={"Board": "b2"})
    read = table(tmp_path)
    plan = plan_bands(read)
    async with gatehouse.client() as client:
        refused = await publish_bands(client, plan, read, PORTFOLIO, form_bodies=False)
        assert [(each.row, each.value) for each in refused.problems] == [(2, "Leadership Group"), (4, "Treasury")]
        assert "--form-bodies" in refused.problems[0].remedy
        assert gatehouse.taken == []
        formed = await publish_bands(client, plan, read, PORTFOLIO, form_bodies=True)
    assert (formed.formed, formed.published) == (("Leadership Group", "Treasury"), True)
    assert gatehouse.paths() == ["/bodies", "/bodies", "/value-bands"]
    assert "Leadership Group" not in {band["body"] for band in gatehouse.taken[-1][1]["bands"]}


async def test_nothing_is_formed_or_published_of_a_table_with_a_fault(tmp_path: Path) -> None:
    gatehouse = Gatehouse()
    read = table(tmp_path, GOOD.replace("yes", "maybe"))
    async with gatehouse.client() as client:
        result = await publish_bands(client, plan_bands(read), read, PORTFOLIO, form_bodies=True)
    assert [(each.row, each.column) for each in result.problems] == [(3, "inclusive")]
    assert gatehouse.taken == []


def test_a_rehearsal_tells_what_would_be_published(tmp_path: Path) -> None:
    read = table(tmp_path)
    said = rehearse_bands(plan_bands(read), read).as_json()
    assert (said["dry_run"], said["published"], said["problems"]) == (True, False, [])
    assert said["bands"][0] == {
        "body": "Leadership Group",
        "upper": {"amount": "2500000", "currency": "AUD"},
        "inclusive": False,
    }
