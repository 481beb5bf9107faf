"""What risks reads besides its ledger: the nodes that it follows."""

from typing import Final

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncEngine

from govkernel.access import NODES, NodeKind, NodeRow
from govkernel.domain import NodeId
from govkernel.readmodels import decode_row, views_of

nodes: Final = views_of(NODES)[0]


async def node_of(engine: AsyncEngine, node: NodeId, kind: NodeKind) -> NodeRow | None:
    """What is known here of a node of this kind; None where nothing is, or where the node is of another kind."""
    async with engine.connect() as connection:
        found = await connection.execute(select(nodes).where(nodes.c.node == node, nodes.c.kind == kind.value))
        row = found.mappings().one_or_none()
    return decode_row(NODES, row) if row is not None else None
