"""Portfolios and projects as services other than projects hear of them."""

from uuid import UUID

from tests.support.services import Served
from tests.support.streams import Stream

from govevents.projects import Charter, PortfolioRegistered, ProjectRegistered
from govkernel.domain import NodeId, PortfolioId

SILENT_CHARTER = Charter("Replace the main.", None, None, None)


async def heard_portfolio(service: Served, name: str = "Water", *, time_zone: str = "Australia/Melbourne") -> str:
    """A portfolio in AUD that the service has heard of; its id."""
    stream = Stream("projects")
    await service.hear(stream.event(PortfolioRegistered(name, "AUD", time_zone)))
    return str(stream.stream)


async def heard_project(
    service: Served, portfolio: str, *, reference: str = "P-1", charter: Charter = SILENT_CHARTER
) -> Stream:
    """A project at the top of a portfolio that the service has heard of; its stream, to say more of it."""
    stream, own = Stream("projects"), PortfolioId(UUID(portfolio))
    await service.hear(stream.event(ProjectRegistered(own, NodeId(own), reference, "Main 12", charter, None, (), None)))
    return stream
