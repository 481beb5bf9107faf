"""What a row of the benchmarks' table says of its samples."""

import json
from pathlib import Path

import pytest
from tests.benchmarks.row import Row, figure, interleaved, percentile, table, write


def rate(
    *ours: float, floor: tuple[float, ...] | None = None, at_least: float | None = None, name: str = "rate"
) -> Row:
    return Row(name=name, unit="events/s", ours=ours, floor=floor, against="the floor", at_least=at_least)


async def test_ours_and_the_floor_are_measured_by_turns() -> None:
    turns: list[str] = []

    async def one(name: str) -> int:
        turns.append(name)
        return len(turns)

    assert await interleaved(2, lambda: one("ours"), lambda: one("floor")) == ([1, 3], [2, 4])
    assert turns == ["ours", "floor", "ours", "floor"]


def test_value_and_floor_are_medians() -> None:
    row = rate(100, 300, 1000, floor=(200, 100, 400))
    assert (row.value, row.floor_value) == (300, 200)


def test_the_ratio_is_the_median_of_each_repeats_own() -> None:
    described = rate(100, 300, 1000, floor=(200, 100, 400)).as_json()
    assert (described["ratio"], described["ratio_min"], described["ratio_max"]) == (2.5, 0.5, 3)


def test_of_what_should_be_small_the_ratio_says_how_many_times_smaller_it_is() -> None:
    row = Row(name="p99", unit="ms", ours=(10,), floor=(40,), against="the floor", less_is_better=True)
    assert row.ratios == (4,)


def test_a_limit_is_met_up_to_itself() -> None:
    def memory(megabytes: float) -> Row:
        return Row(name="memory", unit="MB", ours=(megabytes,), limit=120, against="", at_least=1, less_is_better=True)

    assert memory(120).met is True
    assert memory(121).met is False


@pytest.mark.parametrize(("at_least", "met"), [(0.5, True), (0.51, False), (None, None)])
def test_a_row_is_met_short_or_only_stated(at_least: float | None, met: bool | None) -> None:
    assert rate(1, floor=(2,), at_least=at_least).met is met


def test_what_stands_against_nothing_is_only_stated() -> None:
    row = rate(5)
    assert (row.ratios, row.met, row.as_json()["ratio"]) == ((), None, None)


def test_repeats_come_in_pairs() -> None:
    with pytest.raises(AssertionError, match="pairs"):
        rate(1, 2, floor=(1,))


@pytest.mark.parametrize(("percent", "expected"), [(50, 50), (99, 99), (100, 100), (0.5, 1)])
def test_a_percentile_is_one_of_the_values(percent: float, expected: int) -> None:
    assert percentile(list(range(100, 0, -1)), percent) == expected


@pytest.mark.parametrize(("value", "shown"), [(12345.6, "12,346"), (99.94, "99.9"), (0.1234, "0.123")])
def test_a_figure_has_the_digits_that_count(value: float, shown: str) -> None:
    assert figure(value) == shown


def test_the_table_says_of_each_row_what_became_of_it() -> None:
    shown = table(
        [
            rate(150, floor=(100,), at_least=1, name="good"),
            rate(50, floor=(100,), at_least=1, name="bad"),
            rate(50, name="neither"),
        ]
    ).splitlines()
    assert [line.split()[-1] for line in shown[2:5]] == ["met", "short", "stated"]
    assert shown[6] == "good: against the floor"


def test_a_run_is_written_as_a_list_of_rows_with_the_circumstances_beside_it(tmp_path: Path) -> None:
    write(tmp_path / "build", [rate(3, floor=(2,), at_least=1)], {"cpus": 2})
    (row,) = json.loads((tmp_path / "build/bench.json").read_text("utf-8"))
    assert {
        key: row[key] for key in ("name", "value", "unit", "floor", "ratio", "ratio_min", "ratio_max", "at_least")
    } == {
        "name": "rate",
        "value": 3,
        "unit": "events/s",
        "floor": 2,
        "ratio": 1.5,
        "ratio_min": 1.5,
        "ratio_max": 1.5,
        "at_least": 1,
    }
    assert json.loads((tmp_path / "build/bench-circumstances.json").read_text("utf-8")) == {"cpus": 2}
