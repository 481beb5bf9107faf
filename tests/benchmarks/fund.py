"""A small aggregate to measure with: a fund from which money is drawn up to a limit, and its read model."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, assert_never

from govevents.catalogue import Catalogue
from govevents.document import Recorded
from govevents.event import event
from govevents.registry import CATALOGUE as EVERYTHING
from govevents.values import Text
from govkernel.domain import Aggregate, Refusal
from govkernel.readmodels import ReadModel

PURPOSE: Final = "Pipes for the second section, as the board decided."
LIMIT_MINOR: Final = 2**50


@event("benchmarks", version=1)
class FundOpened:
    """A fund exists, and money can be drawn from it up to a limit."""

    limit_minor: int
    name: Text


@event("benchmarks", version=1)
class MoneyDrawn:
    """Money was taken out of the fund."""

    amount_minor: int
    purpose: Text


Event = FundOpened | MoneyDrawn


@dataclass(frozen=True, slots=True)
class Fund:
    limit_minor: int = 0
    drawn_minor: int = 0


@dataclass(frozen=True, slots=True)
class Open:
    limit_minor: int
    name: str


@dataclass(frozen=True, slots=True)
class Draw:
    amount_minor: int
    purpose: str


Command = Open | Draw


class FundUnknown(Refusal):
    """There is no such fund."""


class FundExhausted(Refusal):
    """The fund does not hold as much."""


def decide(command: Command, fund: Fund) -> tuple[Event, ...]:
    match command:
        case Open(limit_minor=limit_minor, name=name):
            return () if fund.limit_minor else (FundOpened(limit_minor, name),)
        case Draw(amount_minor=amount_minor, purpose=purpose):
            if not fund.limit_minor:
                raise FundUnknown
            if fund.drawn_minor + amount_minor > fund.limit_minor:
                raise FundExhausted(left=str(fund.limit_minor - fund.drawn_minor))
            return (MoneyDrawn(amount_minor, purpose),)
        case _:
            assert_never(command)


def evolve(fund: Fund, happened: Event) -> Fund:
    match happened:
        case FundOpened(limit_minor=limit_minor):
            return Fund(limit_minor, 0)
        case MoneyDrawn(amount_minor=amount_minor):
            return Fund(fund.limit_minor, fund.drawn_minor + amount_minor)
        case _:
            assert_never(happened)


FUND: Final = Aggregate("fund", Fund(), decide, evolve)

CATALOGUE: Final = Catalogue.of([*EVERYTHING.events.values(), FundOpened, MoneyDrawn], EVERYTHING.upcasters)


@dataclass(frozen=True, slots=True)
class FundRow:
    name: str
    limit_minor: int
    drawn_minor: int
    draws: int
    last_purpose: str | None


def fold(rows: Mapping[str, FundRow], recorded: Recorded[Any]) -> Mapping[str, FundRow]:
    """One row a fund, replaced by each event."""
    match recorded.event:
        case FundOpened(limit_minor=limit_minor, name=name):
            return {"": FundRow(name, limit_minor, 0, 0, None)}
        case MoneyDrawn(amount_minor=amount_minor, purpose=purpose):
            row = rows[""]
            drawn = replace(row, drawn_minor=row.drawn_minor + amount_minor, draws=row.draws + 1, last_purpose=purpose)
            return {"": drawn}
        case _:
            return rows


def funds(service: str) -> ReadModel[FundRow]:
    """The funds of that service's topic, as rows."""
    return ReadModel("funds", service, 1, FundRow, (FundOpened, MoneyDrawn), fold, indexes=(("drawn_minor",),))
