"""What risks reads besides its ledger: the portfolios and projects that it follows."""

from sqlalchemy.ext.asyncio import AsyncEngine

from govkernel.access import NodeKind, node_of
from govkernel.domain import NodeId, PortfolioId, ProjectId


async def is_portfolio(engine: AsyncEngine, portfolio: PortfolioId) -> bool:
    """Whether a portfolio is known here under this id."""
    return await node_of(engine, NodeId(portfolio), NodeKind.PORTFOLIO) is not None


async def portfolio_of(engine: AsyncEngine, project: ProjectId) -> PortfolioId | None:
    """The portfolio of a project; None where no project is known here under this id."""
    node = await node_of(engine, NodeId(project), NodeKind.PROJECT)
    return node.portfolio if node is not None else None
