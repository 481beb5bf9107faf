"""Tables of value bands live random lives beside a plain model, and say of any value what counting says."""

from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from tests.unit.approvals.people import PORTFOLIO

from approvals.domain.value_bands import (
    VALUE_BANDS,
    BandsNotPublished,
    CurrencyMismatch,
    NoBandForValue,
    PublishBands,
    ValueBands,
    body_for,
)
from govevents.approvals import ValueBand, ValueBandsPublished
from govkernel.domain import BodyId, Money, Refusal, Source

AMOUNTS = st.sampled_from([Decimal(text) for text in ("-1", "0", "0.01", "1", "1.0", "1.01", "2", "3", "3.000")])
CURRENCIES = st.sampled_from(["AUD", "AUD", "AUD", "USD"])
BANDS = st.builds(
    ValueBand,
    body=st.integers(1, 9).map(lambda number: BodyId(UUID(int=number))),
    upper=st.none() | st.builds(Money, AMOUNTS, CURRENCIES),
    inclusive=st.booleans(),
)
TABLES = st.lists(BANDS, max_size=4).map(tuple)
SOURCES = st.none() | st.integers(1, 3).map(lambda row: Source("bands.csv", "a" * 64, row))


@st.composite
def rising(draw: st.DrawFn) -> tuple[ValueBand, ...]:
    """A table that rises, in one currency; its last band may be without limit."""
    reaches = draw(st.lists(st.tuples(AMOUNTS, st.booleans()), min_size=1, max_size=5, unique=True).map(sorted))
    bands = [
        ValueBand(BodyId(UUID(int=number)), Money(amount, "AUD"), inclusive)
        for number, (amount, inclusive) in enumerate(reaches, start=1)
    ]
    if draw(st.booleans()):
        bands.append(ValueBand(BodyId(UUID(int=9)), None, inclusive=draw(st.booleans())))
    return tuple(bands)


def makes_sense(table: tuple[ValueBand, ...]) -> bool:
    """Whether each band leaves something to decide on, and all speak of one currency."""
    reaches = [
        (band.upper is None, Fraction(band.upper.amount) if band.upper else Fraction(0), band.inclusive)
        for band in table
    ]
    currencies = {band.upper.currency for band in table if band.upper is not None}
    rises = all(lower < higher for lower, higher in pairwise(reaches))
    return bool(table) and len(currencies) <= 1 and rises and all(band.upper for band in table[:-1])


class BandsLife(RuleBasedStateMachine):
    events: list[ValueBandsPublished]
    state: ValueBands

    @initialize()
    def nothing_is_published(self) -> None:
        self.events, self.state = [], VALUE_BANDS.initial

    @rule(table=TABLES | rising(), source=SOURCES)
    def publish(self, table: tuple[ValueBand, ...], source: Source | None) -> None:
        try:
            events = VALUE_BANDS.decide(PublishBands(PORTFOLIO, table, source), self.state)
        except Refusal:
            assert not makes_sense(table), table
            return
        assert makes_sense(table), table
        held = self.events[-1].bands if self.events else ()
        assert [event.bands for event in events] == ([] if held == table else [table])
        for event in events:
            self.events.append(event)
            self.state = VALUE_BANDS.evolve(self.state, event)

    @rule()
    def publish_the_same_again(self) -> None:
        if self.events:
            command = PublishBands(PORTFOLIO, self.events[-1].bands, None)
            assert VALUE_BANDS.decide(command, self.state) == ()

    @invariant()
    def only_the_newest_table_decides(self) -> None:
        if not self.events:
            with pytest.raises(BandsNotPublished):
                body_for(self.state, Money(Decimal(1), "AUD"))
            return
        assert self.state == VALUE_BANDS.evolve(VALUE_BANDS.initial, self.events[-1])


TestBandsLife = BandsLife.TestCase
TestBandsLife.settings = settings(max_examples=60, stateful_step_count=20, deadline=None)


@given(rising(), AMOUNTS | st.decimals(-5, 5, places=4))
def test_a_value_is_the_decision_of_the_band_above_as_many_bands_as_end_below_it(
    table: tuple[ValueBand, ...], amount: Decimal
) -> None:
    state = VALUE_BANDS.evolve(VALUE_BANDS.initial, ValueBandsPublished(PORTFOLIO, table, None))
    value = Fraction(amount)
    bounds = [(Fraction(band.upper.amount), band.inclusive) for band in table if band.upper is not None]
    exceeded = sum(value > bound if inclusive else value >= bound for bound, inclusive in bounds)
    if exceeded == len(table):
        with pytest.raises(NoBandForValue):
            body_for(state, Money(amount, "AUD"))
    else:
        assert body_for(state, Money(amount, "AUD")) == table[exceeded].body


@given(rising(), AMOUNTS)
def test_a_value_of_another_currency_is_compared_with_no_bound(table: tuple[ValueBand, ...], amount: Decimal) -> None:
    state = VALUE_BANDS.evolve(VALUE_BANDS.initial, ValueBandsPublished(PORTFOLIO, table, None))
    with pytest.raises(CurrencyMismatch):
        body_for(state, Money(amount, "USD"))
