from dataclasses import replace
from decimal import Decimal

import pytest
from tests.unit.approvals.people import BOARD, COUNCIL, PORTFOLIO

from approvals.domain.value_bands import (
    VALUE_BANDS,
    BandsNotPublished,
    BandsNotRising,
    BandsOfSeveralCurrencies,
    CurrencyMismatch,
    NoBandForValue,
    NoBands,
    PublishBands,
    body_for,
    stream_of,
)
from govevents.approvals import ValueBand, ValueBandsPublished
from govkernel.domain import Money, PortfolioId, Source, Specification

bands = Specification(VALUE_BANDS)


def aud(amount: str) -> Money:
    return Money(Decimal(amount), "AUD")


UP_TO_FIVE = ValueBand(COUNCIL, aud("5"), inclusive=False)
UNLIMITED = ValueBand(BOARD, None, inclusive=False)
SOURCE = Source("bands.csv", "0" * 64, 1)
PUBLISHED = ValueBandsPublished(PORTFOLIO, (UP_TO_FIVE, UNLIMITED), SOURCE)


def publish(*table: ValueBand) -> PublishBands:
    return PublishBands(PORTFOLIO, table, SOURCE)


def test_a_table_is_published_once_wherever_it_is_read_again() -> None:
    bands.given().when(publish(UP_TO_FIVE, UNLIMITED)).then(PUBLISHED)
    bands.given(PUBLISHED).when(publish(UP_TO_FIVE, UNLIMITED)).then_nothing()
    bands.given(PUBLISHED).when(replace(publish(UP_TO_FIVE, UNLIMITED), source=None)).then_nothing()


def test_another_table_replaces_it() -> None:
    bands.given(PUBLISHED).when(publish(UNLIMITED)).then(ValueBandsPublished(PORTFOLIO, (UNLIMITED,), SOURCE))


def test_a_table_without_bands_is_refused() -> None:
    bands.given().when(publish()).then_refused(NoBands)


@pytest.mark.parametrize(
    "table",
    [
        (UNLIMITED, UP_TO_FIVE),
        (UNLIMITED, UNLIMITED),
        (UP_TO_FIVE, UP_TO_FIVE),
        (UP_TO_FIVE, ValueBand(BOARD, aud("4.99"), inclusive=True)),
        (ValueBand(BOARD, aud("5"), inclusive=True), UP_TO_FIVE),
    ],
)
def test_bands_that_do_not_rise_are_refused(table: tuple[ValueBand, ...]) -> None:
    assert bands.given().when(publish(*table)).then_refused(BandsNotRising).facts["band"] == "2"


def test_an_inclusive_bound_reaches_higher_than_an_exclusive_one_at_the_same_value() -> None:
    exactly_five = ValueBand(BOARD, aud("5"), inclusive=True)
    state = bands.given().when(publish(UP_TO_FIVE, exactly_five)).then_state()
    assert body_for(state, aud("4.99")) == COUNCIL
    assert body_for(state, aud("5.00")) == BOARD


def test_bands_of_several_currencies_are_refused() -> None:
    dollars = ValueBand(BOARD, Money(Decimal(9), "USD"), inclusive=False)
    refusal = bands.given().when(publish(UP_TO_FIVE, dollars)).then_refused(BandsOfSeveralCurrencies)
    assert refusal.facts == {"currencies": "AUD, USD"}


@pytest.mark.parametrize(
    ("inclusive", "value", "body"),
    [(False, "4.99", COUNCIL), (False, "5", BOARD), (True, "5", COUNCIL), (True, "5.01", BOARD), (False, "0", COUNCIL)],
)
def test_a_bound_is_in_its_band_only_where_it_says_so(inclusive: bool, value: str, body: object) -> None:
    state = bands.given().when(publish(replace(UP_TO_FIVE, inclusive=inclusive), UNLIMITED)).then_state()
    assert body_for(state, aud(value)) == body


def test_a_value_above_the_last_band_has_no_body() -> None:
    state = bands.given().when(publish(UP_TO_FIVE)).then_state()
    with pytest.raises(NoBandForValue) as refused:
        body_for(state, aud("5"))
    assert refused.value.facts == {"value": "5 AUD"}


def test_a_value_of_another_currency_is_not_compared() -> None:
    with pytest.raises(CurrencyMismatch) as refused:
        body_for(VALUE_BANDS.fold([PUBLISHED]), Money(Decimal(1), "USD"))
    assert refused.value.facts == {"value": "USD", "bands": "AUD"}


def test_without_a_table_no_body_is_named() -> None:
    with pytest.raises(BandsNotPublished):
        body_for(VALUE_BANDS.initial, aud("1"))


def test_each_portfolio_has_its_own_table() -> None:
    assert stream_of(PORTFOLIO) != stream_of(PortfolioId(BOARD))
