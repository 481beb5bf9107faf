"""Value bands: the table that says, by the value of a project, which body must decide."""

from dataclasses import dataclass
from itertools import pairwise
from typing import Final, TypeAlias, assert_never
from uuid import UUID, uuid5

from govevents.approvals import ValueBand, ValueBandsPublished
from govkernel.domain import Aggregate, BodyId, Money, NotKnownYet, PortfolioId, Refusal, Source


@dataclass(frozen=True, slots=True)
class Unpublished:
    """The portfolio has no table."""


@dataclass(frozen=True, slots=True)
class Published:
    """The table that holds now."""

    table: ValueBandsPublished


ValueBands: TypeAlias = Unpublished | Published


@dataclass(frozen=True, slots=True)
class PublishBands:
    """Let these bands, in rising order, replace the portfolio's table; `source` is the file they were read from."""

    portfolio: PortfolioId
    bands: tuple[ValueBand, ...]
    source: Source | None


Command: TypeAlias = PublishBands
Event: TypeAlias = ValueBandsPublished


class NoBands(Refusal):
    """A table of value bands has at least one band."""


class BandsNotRising(Refusal):
    """Each band reaches higher than the one before it, and only the last is without limit."""


class BandsOfSeveralCurrencies(Refusal):
    """All bands of a table are in one currency."""


class BandsNotPublished(NotKnownYet):
    """The portfolio has no table of value bands."""


class CurrencyMismatch(Refusal):
    """A value can be compared with bands of its own currency only."""


class NoBandForValue(Refusal):
    """The value lies above the last band."""


def decide(command: Command, bands: ValueBands) -> tuple[Event, ...]:
    """What follows from a command; the refusals are NoBands, BandsNotRising and BandsOfSeveralCurrencies."""
    _check(command.bands)
    match bands:
        case Published(table=table) if table.bands == command.bands:
            return ()
        case Unpublished() | Published():
            return (ValueBandsPublished(command.portfolio, command.bands, command.source),)
        case _:
            assert_never(bands)


def _check(bands: tuple[ValueBand, ...]) -> None:
    if not bands:
        raise NoBands
    currencies = sorted({band.upper.currency for band in bands if band.upper is not None})
    if len(currencies) > 1:
        raise BandsOfSeveralCurrencies(currencies=", ".join(currencies))
    for number, (lower, higher) in enumerate(pairwise(bands), start=1):
        if lower.upper is None or (
            # An inclusive bound reaches further than an exclusive one at the same value.
            higher.upper is not None
            and (higher.upper.amount, higher.inclusive) <= (lower.upper.amount, lower.inclusive)
        ):
            raise BandsNotRising(
                f"Band {number + 1} does not reach higher than band {number}.",
                band=str(number + 1),
                before=str(lower.upper.amount if lower.upper else "without limit"),
                upper=str(higher.upper.amount if higher.upper else "without limit"),
            )


def evolve(_bands: ValueBands, event: Event) -> ValueBands:
    """The table after an event."""
    return Published(event)


def body_for(bands: ValueBands, value: Money) -> BodyId:
    """The body that decides on a value. Raises BandsNotPublished, CurrencyMismatch or NoBandForValue."""
    match bands:
        case Unpublished():
            raise BandsNotPublished
        case Published(table=table):
            for band in table.bands:
                if band.upper is None:
                    return band.body
                if band.upper.currency != value.currency:
                    raise CurrencyMismatch(value=value.currency, bands=band.upper.currency)
                if value.amount < band.upper.amount or (band.inclusive and value.amount == band.upper.amount):
                    return band.body
            raise NoBandForValue(value=f"{value.amount} {value.currency}")
        case _:
            assert_never(bands)


VALUE_BANDS: Final[Aggregate[ValueBands, Command, Event]] = Aggregate(
    "value_bands", Unpublished(), decide, evolve, relied_on=True
)


def stream_of(portfolio: PortfolioId) -> UUID:
    """The table's id: a portfolio has one."""
    return uuid5(portfolio, "bands")
