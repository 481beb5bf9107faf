"""A scoring matrix: how probability and impact make a score in a portfolio, in numbered editions."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import pairwise
from typing import Final, TypeAlias, assert_never
from uuid import UUID, uuid5

from govevents.risks import Impact, MatrixPublished, ScoringMethod
from govkernel.domain import Aggregate, Code, NotKnownYet, PortfolioId, Refusal

DEFAULT_PROBABILITIES: Final = tuple(map(Decimal, ("0.1", "0.3", "0.5", "0.7", "0.9")))
DEFAULT_IMPACTS: Final = tuple(map(Decimal, ("0.05", "0.1", "0.2", "0.4", "0.8")))
DEFAULT_DIMENSIONS: Final = ("cost", "time", "quality")


@dataclass(frozen=True, slots=True)
class Unpublished:
    """The portfolio has no matrix yet."""


@dataclass(frozen=True, slots=True)
class Published:
    """The newest edition, under which new assessments are made."""

    edition: MatrixPublished


Matrix: TypeAlias = Unpublished | Published


@dataclass(frozen=True, slots=True)
class PublishMatrix:
    """Let risks of a portfolio be scored so from now on; the fields are those of MatrixPublished."""

    portfolio: PortfolioId
    probabilities: tuple[Decimal, ...] = DEFAULT_PROBABILITIES
    impacts: tuple[Decimal, ...] = DEFAULT_IMPACTS
    dimensions: tuple[Code, ...] = DEFAULT_DIMENSIONS
    method: ScoringMethod = ScoringMethod.HIGHEST


Command: TypeAlias = PublishMatrix
Event: TypeAlias = MatrixPublished


class MatrixNotPublished(NotKnownYet):
    """The portfolio has no scoring matrix yet; publish one first."""


class LevelsOutOfOrder(Refusal):
    """The values of levels rise, and are above 0 and at most 1 with at most three decimals."""


class DimensionsUnclear(Refusal):
    """A matrix has at least one dimension, and none twice."""


class LevelOutsideMatrix(Refusal):
    """The matrix has no such level."""


class DimensionNotInMatrix(Refusal):
    """The matrix has no such dimension."""


class DimensionScoredTwice(Refusal):
    """A dimension has one impact in an assessment."""


class NoImpactGiven(Refusal):
    """An assessment says on at least one dimension what the impact would be."""


def decide(command: Command, matrix: Matrix) -> tuple[Event, ...]:
    """What follows from a command. Raises LevelsOutOfOrder or DimensionsUnclear."""
    for field, levels in (("probabilities", command.probabilities), ("impacts", command.impacts)):
        rising = all(lower < upper for lower, upper in pairwise(levels))
        # Finer values would make scores with more decimals than an event may carry.
        if not levels or not rising or any(not _is_level(level) for level in levels):
            raise LevelsOutOfOrder(field=field, levels=", ".join(map(str, levels)))
    if not command.dimensions or len(set(command.dimensions)) < len(command.dimensions):
        raise DimensionsUnclear(dimensions=", ".join(command.dimensions))
    number = 1 if isinstance(matrix, Unpublished) else matrix.edition.number + 1

    def edition(number: int) -> MatrixPublished:
        return MatrixPublished(
            command.portfolio, number, command.probabilities, command.impacts, command.dimensions, command.method
        )

    match matrix:
        case Published(edition=current) if current == edition(current.number):
            return ()
        case Unpublished() | Published():
            return (edition(number),)
        case _:
            assert_never(matrix)


def _is_level(value: Decimal) -> bool:
    return value.is_finite() and 0 < value <= 1 and int(value.as_tuple().exponent) >= -3


def score(edition: MatrixPublished, probability: int, impacts: Sequence[Impact]) -> Decimal:
    """Probability times impact, by the edition's method; levels count from 1.

    Averages are over the dimensions that were given, for a dimension left out is unknown and not without impact. Raises
    LevelOutsideMatrix, DimensionNotInMatrix, DimensionScoredTwice or NoImpactGiven.
    """
    chance = value_of("probability", edition.probabilities, probability)
    given = [impact.dimension for impact in impacts]
    if not given:
        raise NoImpactGiven(dimensions=", ".join(edition.dimensions))
    for dimension in given:
        if dimension not in edition.dimensions:
            raise DimensionNotInMatrix(dimension=dimension, dimensions=", ".join(edition.dimensions))
        if given.count(dimension) > 1:
            raise DimensionScoredTwice(dimension=dimension)
    values = [value_of(impact.dimension, edition.impacts, impact.level) for impact in impacts]
    match edition.method:
        case ScoringMethod.HIGHEST:
            return chance * max(values)
        case ScoringMethod.AVERAGE_OF_IMPACTS:
            return chance * (sum(values, Decimal(0)) / len(values))
        case ScoringMethod.AVERAGE_OF_SCORES:
            return sum((chance * value for value in values), Decimal(0)) / len(values)
        case _:
            assert_never(edition.method)


def value_of(field: str, levels: Sequence[Decimal], level: int) -> Decimal:
    """The value of a level, counted from 1. Raises LevelOutsideMatrix, naming `field`."""
    if not 1 <= level <= len(levels):
        raise LevelOutsideMatrix(
            f"{field}: the matrix has levels 1 to {len(levels)}, not {level}.", field=field, level=str(level)
        )
    return levels[level - 1]


def evolve(_matrix: Matrix, event: Event) -> Matrix:
    """The matrix after an event."""
    return Published(event)


MATRIX: Final[Aggregate[Matrix, Command, Event]] = Aggregate("matrix", Unpublished(), decide, evolve, relied_on=True)


def stream_of(portfolio: PortfolioId) -> UUID:
    """The stream of a portfolio's matrix: it has one."""
    return uuid5(portfolio, "matrix")
