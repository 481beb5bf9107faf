"""What the ledger says of the tree of nodes. It is the truth here; the read model `nodes` follows it a moment later."""

from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from govevents.projects import PortfolioRegistered, ProgrammeRegistered, ProjectRegistered
from govkernel.access.access import day_in
from govkernel.domain import NodeId, PortfolioId, ProjectId
from govkernel.ledger import Head, Ledger
from projects.domain.programme import PROGRAMME, Registered


async def portfolio_of(ledger: Ledger, parent: NodeId) -> PortfolioId | None:
    """The portfolio of a node that others may stand below. None for what is not known, or is a project.

    It never changes: a node is moved within its portfolio only.
    """
    match await _registration(ledger, parent):
        case PortfolioRegistered():
            return PortfolioId(parent)
        case ProgrammeRegistered(portfolio=portfolio):
            return portfolio
        case _:
            return None


async def programmes_from(ledger: Ledger, node: NodeId, portfolio: PortfolioId) -> tuple[Head, ...]:
    """The programmes from a node of the portfolio upwards, the node's first, as they stand now."""
    found: list[Head] = []
    while node != portfolio:
        programme = await ledger.load(PROGRAMME, node)
        assert isinstance(programme.state, Registered), f"{node} stands above another node, so it was registered"
        found.append(programme.head)
        node = programme.state.parent
    return tuple(found)


async def time_zone_of(ledger: Ledger, project: ProjectId) -> str | None:
    """The time zone of the project's portfolio; None where the project is not known."""
    registered = await _registration(ledger, project)
    if not isinstance(registered, ProjectRegistered):
        return None
    portfolio = await _registration(ledger, registered.portfolio)
    assert isinstance(portfolio, PortfolioRegistered), f"{registered.portfolio} was registered before {project}"
    return portfolio.time_zone


async def today_at(ledger: Ledger, project: ProjectId, now: datetime) -> date | None:
    """The day that it is in the project's portfolio; None where the project is not known."""
    time_zone = await time_zone_of(ledger, project)
    return None if time_zone is None else day_in(time_zone, now)


def moments_of(time_zone: str, day: date) -> tuple[datetime, datetime]:
    """When a day begins in a time zone, and when it is over: then the next one begins."""
    return _begin(time_zone, day, 0), _begin(time_zone, day, 1)


def _begin(time_zone: str, day: date, later: int) -> datetime:
    try:
        return datetime.combine(day + timedelta(days=later), time(), ZoneInfo(time_zone)).astimezone(UTC)
    except OverflowError:
        # At either end of the calendar, which no decision's time goes beyond.
        return datetime.max.replace(tzinfo=UTC) if later else datetime.min.replace(tzinfo=UTC)


async def _registration(ledger: Ledger, node: NodeId | PortfolioId | ProjectId) -> Any:
    """The event with which a node began, None for what is not known; nothing in it ever changes."""
    first = await ledger.events(node, until=1)
    return first[0].event if first else None
