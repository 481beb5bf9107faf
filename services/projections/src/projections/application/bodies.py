"""The bodies that decide, by name."""

from collections.abc import Mapping
from typing import Any, Final

from govevents.approvals import BodyFormed
from govevents.document import Recorded
from govevents.values import value
from govkernel.domain import BodyId, Name, PortfolioId
from govkernel.readmodels import ReadModel


@value
class Body:
    """A body that decides for a portfolio."""

    body: BodyId
    portfolio: PortfolioId
    name: Name


def evolve(rows: Mapping[str, Body], recorded: Recorded[Any]) -> Mapping[str, Body]:
    """One stream is one body."""
    match recorded.event:
        case BodyFormed(portfolio=portfolio, name=name):
            stream = recorded.envelope.stream
            return {str(stream): Body(BodyId(stream), portfolio, name)}
        case _:
            return rows


BODIES: Final = ReadModel(
    name="bodies",
    service="approvals",
    version=1,
    row=Body,
    events=(BodyFormed,),
    evolve=evolve,
    indexes=(("body",),),
)
