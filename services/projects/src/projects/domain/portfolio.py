"""A portfolio: the top of a tree of programmes and projects, with the currency and the days that its figures are in."""

from dataclasses import dataclass
from typing import Final, TypeAlias, assert_never
from uuid import NAMESPACE_URL, uuid5

from govevents.projects import PortfolioRegistered
from govkernel.domain import Aggregate, Code, Currency, Name, NodeId, NotKnownYet, PortfolioId, Refusal, differences


@dataclass(frozen=True, slots=True)
class Unregistered:
    """Nothing is known under this id."""


@dataclass(frozen=True, slots=True)
class Registered:
    """The portfolio exists."""

    registered: PortfolioRegistered


Portfolio: TypeAlias = Unregistered | Registered


@dataclass(frozen=True, slots=True)
class RegisterPortfolio:
    """Register a portfolio; whether `time_zone` is an IANA name is for the edge to know, which has the zones' files."""

    name: Name
    currency: Currency
    time_zone: Code


Command: TypeAlias = RegisterPortfolio
Event: TypeAlias = PortfolioRegistered


class PortfolioAlreadyRegistered(Refusal):
    """The portfolio is already registered, with other particulars."""


class ParentNotKnown(NotKnownYet):
    """The node that was to be the parent is not known."""


class ParentOfAnotherPortfolio(Refusal):
    """The node that was to be the parent belongs to another portfolio."""


def check_parent(portfolio: PortfolioId, parent: NodeId, parent_portfolio: PortfolioId | None) -> None:
    """Raise ParentNotKnown or ParentOfAnotherPortfolio unless the parent stands in the child's own portfolio."""
    if parent_portfolio is None:
        raise ParentNotKnown(f"There is no portfolio and no programme {parent}.", parent=str(parent))
    if parent_portfolio != portfolio:
        raise ParentOfAnotherPortfolio(portfolio=str(portfolio), parent_portfolio=str(parent_portfolio))


def decide(command: Command, portfolio: Portfolio) -> tuple[Event, ...]:
    """What follows from a command. Raises PortfolioAlreadyRegistered."""
    registered = PortfolioRegistered(command.name, command.currency, command.time_zone)
    match portfolio:
        case Unregistered():
            return (registered,)
        case Registered(registered=before) if before == registered:
            return ()
        case Registered(registered=before):
            raise PortfolioAlreadyRegistered(**differences(before, registered))
        case _:
            assert_never(portfolio)


def evolve(_portfolio: Portfolio, event: Event) -> Portfolio:
    """The portfolio after an event."""
    return Registered(event)


PORTFOLIO: Final[Aggregate[Portfolio, Command, Event]] = Aggregate("portfolio", Unregistered(), decide, evolve)


def stream_of(name: Name) -> PortfolioId:
    """The portfolio's id: its name is unique, so the same portfolio can't be registered twice."""
    return PortfolioId(uuid5(NAMESPACE_URL, f"urn:gatehouse:portfolio:{name}"))
