"""Lists, from the read model `nodes`."""

from typing import Any, Final

from sqlalchemy import Select, select

from govkernel.access import NODES, NodeKind, Visible
from govkernel.readmodels import views_of

nodes: Final = views_of(NODES)[0]


def listed(kind: NodeKind, visible: Visible) -> Select[Any]:
    """The nodes of a kind that the caller may see."""
    return select(nodes).where(nodes.c.kind == kind.value, visible.covers(nodes.c.node))
