"""Whose decision each of 445 real projects is, against the body that their file names."""

import csv
from collections import Counter
from decimal import Decimal
from typing import Final
from uuid import NAMESPACE_DNS, uuid5

import pytest
from tests.support.portfolios import MELBOURNE, needs_portfolios
from tests.unit.approvals.people import PORTFOLIO

from approvals.domain.value_bands import VALUE_BANDS, PublishBands, body_for
from govevents.approvals import ValueBand
from govkernel.domain import BodyId, Money, Specification

pytestmark = needs_portfolios

BOUNDS: Final = (
    ("People Leadership Group", "2500000"),
    ("Senior Leadership Group", "5000000"),
    ("Executive Leadership Group", "8000000"),
    ("MD", "40000000"),
    ("Finance, Audit and Compliance", "75000000"),
    ("MW Board", "125000000"),
    ("DTF", None),
)
"""The water company's bodies, each with the value (AUD) below which it decides; the last decides on everything else."""
BODIES: Final = {BodyId(uuid5(NAMESPACE_DNS, name)): name for name, _ in BOUNDS}


def aud(amount: str) -> Money:
    return Money(Decimal(amount), "AUD")


@pytest.fixture(scope="module")
def decided() -> list[tuple[str, str]]:
    """The value and the approval body of each project, as the file spells them."""
    with MELBOURNE.open(encoding="utf-8-sig", newline="") as file:
        return [(row["FFC"], row["Approval body"]) for row in csv.DictReader(file)]


def disagreements(decided: list[tuple[str, str]], *, inclusive: bool = False, factor: int = 1) -> list[tuple[str, str]]:
    """The projects that a table with these bounds, each times the factor, gives to another body than the file does."""
    table = tuple(
        ValueBand(body, None if upper is None else Money(Decimal(upper) * factor, "AUD"), inclusive)
        for body, (_, upper) in zip(BODIES, BOUNDS, strict=True)
    )
    bands = Specification(VALUE_BANDS).given().when(PublishBands(PORTFOLIO, table, None)).then_state()
    return [(value, named) for value, named in decided if BODIES[body_for(bands, aud(value))] != named]


def test_every_project_is_routed_to_the_body_that_its_file_names(decided: list[tuple[str, str]]) -> None:
    assert disagreements(decided) == []
    assert Counter(named for _, named in decided) == {
        "People Leadership Group": 243,
        "Senior Leadership Group": 68,
        "Executive Leadership Group": 34,
        "MD": 70,
        "Finance, Audit and Compliance": 18,
        "MW Board": 5,
        "DTF": 7,
    }


def test_no_project_lies_on_a_bound_so_the_file_can_not_tell_whether_bounds_are_included(
    decided: list[tuple[str, str]],
) -> None:
    assert {Decimal(value) for value, _ in decided}.isdisjoint(Decimal(upper) for _, upper in BOUNDS if upper)
    assert disagreements(decided, inclusive=True) == []


def test_a_table_of_other_bounds_routes_projects_elsewhere(decided: list[tuple[str, str]]) -> None:
    assert len(disagreements(decided, factor=2)) > 100
