import statistics
from datetime import UTC, date, datetime
from decimal import Decimal
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from govkernel.domain import Money, ProjectId, ValueRefused
from projections.domain.kpis import (
    EXACT,
    KPIS,
    MEDIAN,
    P80,
    BudgetSum,
    ConditionCounts,
    ConditionFact,
    Defined,
    Durations,
    Interval,
    PhaseCount,
    PortfolioFigures,
    ProjectFact,
    Share,
    Undefined,
    approval_interval,
    count_conditions,
    durations,
    durations_by_group,
    local_day,
    percentile,
    portfolio_figures,
    share_of,
    shown,
)

MELBOURNE = ZoneInfo("Australia/Melbourne")
ONE, TWO, THREE = (ProjectId(UUID(int=number)) for number in (1, 2, 3))


def took(days: int, project: ProjectId = ONE, group: str | None = None) -> Interval:
    return Interval(project, group, date(2020, 6, 15), date.fromordinal(date(2020, 6, 15).toordinal() + days))


amounts = st.decimals(-(10**12), 10**12, places=3)


@given(st.lists(amounts, min_size=2), st.integers(2, 20), st.data())
def test_percentiles_are_those_of_type_7(values: list[Decimal], parts: int, data: st.DataObject) -> None:
    part = data.draw(st.integers(1, parts - 1))
    expected = statistics.quantiles(values, n=parts, method="inclusive")[part - 1]
    assert abs(percentile(values, Decimal(part) / parts) - expected) < Decimal("1e-10")


@given(st.lists(amounts, min_size=1))
def test_the_median_is_the_median(values: list[Decimal]) -> None:
    assert percentile(values, MEDIAN) == statistics.median(values)


@given(st.lists(amounts, min_size=1), st.sampled_from([Decimal(0), MEDIAN, P80, Decimal(1)]))
def test_a_percentile_does_not_depend_on_the_order_and_lies_within_the_values(
    values: list[Decimal], share: Decimal
) -> None:
    found = percentile(values, share)
    assert found == percentile(values[::-1], share)
    assert min(values) <= found <= max(values)


def test_the_ends_are_the_least_and_the_greatest_value() -> None:
    values = [Decimal(3), Decimal(1), Decimal(2)]
    assert (percentile(values, Decimal(0)), percentile(values, Decimal(1))) == (Decimal(1), Decimal(3))


def test_eighty_percent_of_four_values_lies_between_the_third_and_the_fourth() -> None:
    assert percentile([Decimal(each) for each in (10, 20, 30, 50)], P80) == Decimal(38)


def test_no_values_have_no_percentile() -> None:
    with pytest.raises(ValueError, match="needs at least one"):
        percentile([], MEDIAN)
    with pytest.raises(ValueError, match="outside 0 to 1"):
        percentile([Decimal(1)], Decimal(80))


@pytest.mark.parametrize(
    ("value", "decimals", "expected"),
    [("2.5", 0, "3"), ("-2.5", 0, "-3"), ("0.125", 2, "0.13"), ("0.124", 2, "0.12"), ("7", 1, "7.0")],
)
def test_figures_are_rounded_half_up_where_they_are_shown(value: str, decimals: int, expected: str) -> None:
    assert str(shown(Decimal(value), decimals)) == expected


def test_a_day_is_the_day_where_the_portfolio_is() -> None:
    evening = datetime(2016, 5, 25, 17, 0, tzinfo=UTC)
    assert local_day(evening, UTC) == date(2016, 5, 25)
    assert local_day(evening, MELBOURNE) == date(2016, 5, 26)
    with pytest.raises(ValueRefused):
        local_day(datetime(2016, 5, 25, 17, 0), MELBOURNE)  # noqa: DTZ001


def test_durations_have_count_median_p80_and_p90() -> None:
    found = durations("all", [took(10), took(30), took(20), took(50)])
    assert found == Durations("all", 4, Defined(Decimal(25)), Defined(Decimal(38)), Defined(Decimal(44)), 0, ())


def test_what_lacks_a_date_is_left_out_and_counted() -> None:
    lacking = [Interval(TWO, None, None, date(2020, 6, 1)), Interval(THREE, None, date(2020, 6, 1), None)]
    found = durations(None, [took(10), *lacking])
    assert (found.count, found.left_out, found.median) == (1, 2, Defined(Decimal(10)))


def test_a_negative_duration_stays_in_the_figures_and_is_named() -> None:
    found = durations(None, [took(10), took(-6, TWO)])
    assert (found.count, found.median, found.negative) == (2, Defined(Decimal(2)), (TWO,))


def test_a_duration_of_no_days_is_zero_and_not_negative() -> None:
    found = durations(None, [took(0)])
    assert (found.median, found.negative) == (Defined(Decimal(0)), ())


def test_a_share_is_of_what_is_known_and_undefined_where_nothing_is() -> None:
    share = share_of([True, None, False, False])
    assert (share, share.figure("none")) == (Share(1, 3, 1), Defined(EXACT.divide(Decimal(1), Decimal(3))))
    assert share_of([None]).figure("none is known") == Undefined("none is known")


def test_without_any_pair_of_dates_the_duration_is_undefined_and_never_zero() -> None:
    found = durations(None, [Interval(ONE, None, None, None)])
    assert found.median == found.p80 == Undefined("none of 1 has both dates")
    assert (found.count, found.left_out) == (0, 1)


def test_durations_are_grouped_by_an_attribute_with_those_that_lack_it_last() -> None:
    found = durations_by_group([took(1), took(2, TWO, "Roads"), took(4, THREE, "Mains"), took(6, ONE, "Mains")])
    assert [(each.group, each.count, each.median) for each in found] == [
        ("Mains", 2, Defined(Decimal(5))),
        ("Roads", 1, Defined(Decimal(2))),
        (None, 1, Defined(Decimal(1))),
    ]


def test_no_project_at_all_makes_no_group() -> None:
    assert durations_by_group([]) == ()


def test_approval_time_counts_local_calendar_days() -> None:
    submitted = datetime(2026, 1, 10, 12, 59, tzinfo=UTC)  # still the 10th in Melbourne
    concluded = datetime(2026, 1, 10, 13, 1, tzinfo=UTC)  # already the 11th
    interval = approval_interval(ONE, "Board", submitted, concluded, MELBOURNE)
    assert interval == Interval(ONE, "Board", date(2026, 1, 10), date(2026, 1, 11))


def test_a_review_that_has_not_concluded_is_left_out_of_approval_time() -> None:
    interval = approval_interval(ONE, "Board", datetime(2026, 1, 10, tzinfo=UTC), None, MELBOURNE)
    assert durations("Board", [interval]).left_out == 1


TODAY = date(2026, 3, 1)


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        (ConditionFact(date(2026, 1, 1), date(2026, 2, 28), None), ConditionCounts(1, 1)),
        (ConditionFact(date(2026, 1, 1), TODAY, None), ConditionCounts(1, 0)),
        (ConditionFact(date(2026, 1, 1), date(2026, 2, 28), TODAY), ConditionCounts(0, 0)),
        (ConditionFact(date(2026, 1, 1), date(2026, 2, 28), date(2026, 3, 2)), ConditionCounts(1, 1)),
        (ConditionFact(date(2026, 3, 2), date(2026, 2, 28), None), ConditionCounts(0, 0)),
    ],
    ids=["overdue", "due today", "closed today", "closed tomorrow", "set tomorrow"],
)
def test_conditions_are_counted_as_they_stood_at_the_end_of_the_day(
    condition: ConditionFact, expected: ConditionCounts
) -> None:
    assert count_conditions([condition], TODAY) == expected


def test_no_conditions_are_truly_none() -> None:
    assert count_conditions([], TODAY) == ConditionCounts(0, 0)


def aud(amount: str) -> Money:
    return Money(Decimal(amount), "AUD")


def test_a_portfolio_is_counted_by_phase_and_summed_by_currency_with_its_blanks() -> None:
    found = portfolio_figures(
        [
            ProjectFact("Design", aud("10.50")),
            ProjectFact("Build", aud("0.25")),
            ProjectFact("Build", Money(Decimal(7), "USD")),
            ProjectFact(None, None),
        ]
    )
    assert found == PortfolioFigures(
        4,
        (PhaseCount("Build", 2), PhaseCount("Design", 1), PhaseCount(None, 1)),
        (BudgetSum("AUD", Decimal("10.75"), 2), BudgetSum("USD", Decimal(7), 1)),
        1,
    )
    assert found.budget_forecast("AUD") == Defined(Decimal("10.75"))


def test_a_sum_over_blanks_only_is_undefined_and_never_zero() -> None:
    found = portfolio_figures([ProjectFact("Design", None)])
    assert found.without_forecast == 1
    assert found.budget_forecast("AUD") == Undefined("none of 1 projects has a budget forecast in AUD")


def test_forecasts_that_cancel_out_sum_to_a_zero_that_is_defined() -> None:
    found = portfolio_figures([ProjectFact(None, aud("-5")), ProjectFact(None, aud("5"))])
    assert found.budget_forecast("AUD") == Defined(Decimal(0))


@given(st.lists(st.integers(-(10**37), 10**37), min_size=1))
def test_sums_of_the_largest_amounts_are_exact(cents: list[int]) -> None:
    found = portfolio_figures(ProjectFact(None, Money(Decimal(f"{each}"), "AUD")) for each in cents)
    assert int(found.budget_forecasts[0].amount) == sum(cents)


def test_every_kpi_has_its_own_name_and_says_its_formula_and_unit() -> None:
    assert len({kpi.name for kpi in KPIS}) == len(KPIS)
    for kpi in KPIS:
        assert kpi.version >= 1
        assert kpi.formula
        assert kpi.unit
