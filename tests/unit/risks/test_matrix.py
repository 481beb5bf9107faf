from dataclasses import replace
from decimal import Decimal
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from govevents.risks import Impact, MatrixPublished, ScoringMethod
from govkernel.domain import PortfolioId, Refusal, Specification
from risks.domain.matrix import (
    MATRIX,
    DimensionNotInMatrix,
    DimensionScoredTwice,
    DimensionsUnclear,
    LevelOutsideMatrix,
    LevelsOutOfOrder,
    NoImpactGiven,
    PublishMatrix,
    score,
    stream_of,
)

matrix = Specification(MATRIX)

PORTFOLIO = PortfolioId(UUID(int=1))
DEFAULT = MatrixPublished(
    PORTFOLIO,
    1,
    (Decimal("0.1"), Decimal("0.3"), Decimal("0.5"), Decimal("0.7"), Decimal("0.9")),
    (Decimal("0.05"), Decimal("0.1"), Decimal("0.2"), Decimal("0.4"), Decimal("0.8")),
    ("cost", "time", "quality"),
    ScoringMethod.HIGHEST,
)


def test_a_portfolio_starts_with_the_five_by_five_matrix_unless_said_otherwise() -> None:
    matrix.given().when(PublishMatrix(PORTFOLIO)).then(DEFAULT)


def test_another_matrix_is_the_next_edition() -> None:
    average = PublishMatrix(PORTFOLIO, method=ScoringMethod.AVERAGE_OF_IMPACTS)
    matrix.given(DEFAULT).when(average).then(replace(DEFAULT, number=2, method=ScoringMethod.AVERAGE_OF_IMPACTS))


def test_publishing_the_newest_edition_again_adds_nothing() -> None:
    matrix.given(DEFAULT).when(PublishMatrix(PORTFOLIO)).then_nothing()


def test_an_older_edition_comes_back_as_a_new_one() -> None:
    average = replace(DEFAULT, number=2, method=ScoringMethod.AVERAGE_OF_IMPACTS)
    matrix.given(DEFAULT, average).when(PublishMatrix(PORTFOLIO)).then(replace(DEFAULT, number=3))


@pytest.mark.parametrize("levels", [(), ("0.3", "0.1"), ("0.3", "0.3"), ("0", "0.5"), ("0.5", "1.1"), ("0.1234",)])
def test_levels_rise_between_0_and_1_with_three_decimals_at_most(levels: tuple[str, ...]) -> None:
    values = tuple(map(Decimal, levels))
    refusal = matrix.given().when(PublishMatrix(PORTFOLIO, probabilities=values)).then_refused(LevelsOutOfOrder)
    assert refusal.facts["field"] == "probabilities"
    refusal = matrix.given().when(PublishMatrix(PORTFOLIO, impacts=values)).then_refused(LevelsOutOfOrder)
    assert refusal.facts["field"] == "impacts"


@pytest.mark.parametrize("dimensions", [(), ("cost", "cost")])
def test_dimensions_are_named_once(dimensions: tuple[str, ...]) -> None:
    matrix.given().when(PublishMatrix(PORTFOLIO, dimensions=dimensions)).then_refused(DimensionsUnclear)


@pytest.mark.parametrize(
    ("method", "expected"),
    [
        # Probability .7; impacts .8 on cost and .1 on time.
        (ScoringMethod.HIGHEST, "0.56"),
        (ScoringMethod.AVERAGE_OF_IMPACTS, "0.315"),
        (ScoringMethod.AVERAGE_OF_SCORES, "0.315"),
    ],
)
def test_a_score_is_probability_times_impact_by_the_method_of_the_matrix(method: ScoringMethod, expected: str) -> None:
    impacts = (Impact("cost", 5), Impact("time", 2))
    assert score(replace(DEFAULT, method=method), 4, impacts) == Decimal(expected)


@pytest.mark.parametrize(
    ("probability", "impacts", "refused"),
    [
        (0, (Impact("cost", 1),), LevelOutsideMatrix),
        (6, (Impact("cost", 1),), LevelOutsideMatrix),
        (1, (Impact("cost", 0),), LevelOutsideMatrix),
        (1, (Impact("cost", 6),), LevelOutsideMatrix),
        (1, (Impact("reputation", 1),), DimensionNotInMatrix),
        (1, (Impact("cost", 1), Impact("cost", 2)), DimensionScoredTwice),
        (1, (), NoImpactGiven),
    ],
)
def test_what_the_matrix_does_not_have_is_not_scored(
    probability: int, impacts: tuple[Impact, ...], refused: type[Refusal]
) -> None:
    with pytest.raises(refused):
        score(DEFAULT, probability, impacts)


def test_a_level_outside_the_matrix_is_named() -> None:
    with pytest.raises(LevelOutsideMatrix, match=r"^cost: the matrix has levels 1 to 5, not 6"):
        score(DEFAULT, 1, (Impact("time", 1), Impact("cost", 6)))


@given(
    st.sampled_from(ScoringMethod),
    st.integers(1, 5),
    st.lists(st.integers(1, 5), min_size=1, max_size=3),
)
def test_a_score_lies_between_those_of_its_least_and_its_greatest_impact(
    method: ScoringMethod, probability: int, levels: list[int]
) -> None:
    impacts = [Impact(dimension, level) for dimension, level in zip(DEFAULT.dimensions, levels, strict=False)]
    chance = DEFAULT.probabilities[probability - 1]
    found = score(replace(DEFAULT, method=method), probability, impacts)
    tolerance = Decimal("1e-25")
    assert chance * DEFAULT.impacts[min(levels) - 1] - tolerance <= found
    assert found <= chance * DEFAULT.impacts[max(levels) - 1] + tolerance


def test_a_portfolio_has_one_matrix() -> None:
    assert stream_of(PORTFOLIO) == stream_of(PORTFOLIO)
    assert stream_of(PORTFOLIO) != stream_of(PortfolioId(UUID(int=2)))
