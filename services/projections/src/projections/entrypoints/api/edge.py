"""What the modules of this API share: one look at the read models, in one snapshot, and what an answer rests on."""

from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, tzinfo
from typing import Annotated, Any, Generic, TypeVar
from uuid import UUID

from fastapi import Query
from pydantic import BaseModel, BeforeValidator
from sqlalchemy.ext.asyncio import AsyncConnection

from govkernel.access import NODES, NodeRow, Visible
from govkernel.domain import (
    Code,
    Name,
    NodeId,
    PortfolioId,
    ProjectId,
)
from govkernel.http import Ask, Bounds, InputError, Page, ServiceApi, invalid
from govkernel.http.problems import HEADER_INVALID
from govkernel.http.queries import DAY
from govkernel.readmodels import ReadModel
from projections.adapters.queries import (
    PARTS,
    Reading,
    Scope,
    find,
    find_parts,
    is_provisional,
    node_row,
    readings,
    rows_of,
    rows_of_projects,
    time_zones,
)
from projections.application.figures import (
    Found,
    Period,
    Zones,
)
from projections.application.reactions import ProjectNotKnownYet

Item = TypeVar("Item")
Row = TypeVar("Row")


# Only the measuring consumer meets this one, and waits.
api = ServiceApi("projections", title="Gatehouse: projections", refusals={ProjectNotKnownYet: 404})


Node = Annotated[UUID | None, Query(description="only what is at or below this node; without it all that you may see")]
Project = Annotated[UUID | None, Query(description="only what belongs to this project")]


def _written_as_a_day(value: object) -> object:
    if isinstance(value, str) and not DAY.fullmatch(value):
        raise ValueError("not a day such as 2030-06-30")
    return value


Day = Annotated[date, BeforeValidator(_written_as_a_day)]
FirstDay = Annotated[Day | None, Query(description="only what was decided on this day or later, in local days")]
LastDay = Annotated[Day | None, Query(description="only what was decided on this day or earlier, in local days")]


class Answer(BaseModel, Generic[Item]):
    """Rows, and what they rest on.

    `offsets` say, by read model and partition, up to where (exclusive) its topic had been read; `provisional` that
    facts from before `as_of` may still be on their way here.
    """

    as_of: datetime | None
    recorded_by: datetime | None
    offsets: dict[str, dict[int, int]]
    fold_versions: dict[str, int]
    provisional: bool
    rows: list[Item]
    next: str | None


@dataclass(frozen=True, slots=True)
class Look:
    """One look at the read models, all of it in one snapshot.

    `now` is the moment of which the answer speaks: `as_of`, or the present. `zone` is that of the node asked for.
    """

    connection: AsyncConnection
    scope: Scope
    zones: Zones
    zone: tzinfo
    now: datetime
    readings: Mapping[str, Reading]
    provisional: bool

    @property
    def bounds(self) -> Bounds:
        """Up to when facts count."""
        return self.scope.bounds

    @property
    def offsets(self) -> dict[str, dict[int, int]]:
        """Up to where each read model's topic had been read."""
        return {name: dict(each.offsets) for name, each in sorted(self.readings.items())}

    @property
    def fold_versions(self) -> dict[str, int]:
        """The version of each read model's fold."""
        return {name: each.fold_version for name, each in sorted(self.readings.items())}

    def answer(self, page: Page[Item]) -> Answer[Item]:
        """The page, with what it rests on."""
        return Answer(
            as_of=self.bounds.as_of,
            recorded_by=self.bounds.recorded_by,
            offsets=self.offsets,
            fold_versions=self.fold_versions,
            provisional=self.provisional,
            rows=page.items,
            next=page.next,
        )

    def zone_of(self, portfolio: PortfolioId) -> tzinfo:
        """Where the days of a portfolio are local."""
        return self.zones.get(portfolio, UTC)

    async def of_projects(self, model: ReadModel[Row], projects: Iterable[UUID]) -> list[Found[Row]]:
        """The rows of a model for these projects, as they were known then."""
        return await find(self.connection, model, rows_of_projects(model, self.bounds, set(projects)))

    async def parts_of_projects(self, part: type[Row], projects: Iterable[UUID]) -> list[Found[Row]]:
        """A part of the rows for these projects, as they were known then."""
        return await find_parts(self.connection, part, rows_of_projects(PARTS[part], self.bounds, set(projects)))

    async def parts(self, part: type[Row]) -> list[Found[Row]]:
        """A part of the rows for everything asked for, as they were known then."""
        return await find_parts(self.connection, part, rows_of(PARTS[part], self.scope))


@asynccontextmanager
async def looking(
    ask: Ask, node: UUID | None, *models: ReadModel[Any], among: Visible | None = None
) -> AsyncIterator[Look]:
    """Look at these read models, at or below a node that the caller may read. Raises Refused (403, 404, 400).

    `among` is where to look without a node, and instead of all that the caller may read.
    """
    if node is not None:
        await ask.require("node.read", NodeId(node))
    visible = among if among is not None else Visible(everything=True, nodes=frozenset())
    if node is None and among is None:
        visible = await ask.visible_nodes("node.read")
    async with ask.connection() as connection:
        row = None
        if node is not None:
            row = await node_row(connection, node)
            if row is None:
                raise ask.missing("node", node)
        zones = await time_zones(connection)
        zone = zones.get(row.portfolio, UTC) if row is not None else UTC
        bounds = ask.bounds(zone)
        rests_on = (*models, NODES)
        look = Look(
            connection,
            Scope(row, visible, bounds),
            zones,
            zone,
            bounds.as_of or ask.now,
            await readings(connection, rests_on),
            await is_provisional(connection, rests_on, bounds),
        )
        ask.rests_on(look.offsets, provisional=look.provisional)
        yield look


def looking_at(
    ask: Ask, node: UUID | None, project: UUID | None, *models: ReadModel[Any]
) -> AbstractAsyncContextManager[Look]:
    """As `looking`; a project alone stands for its node."""
    return looking(ask, node if node is not None else project, *models)


def period_of(first_day: date | None, last_day: date | None) -> Period:
    """The period asked for. Raises Refused (400) for one that ends before it begins."""
    if first_day is not None and last_day is not None and last_day < first_day:
        detail = f"lies before first_day={first_day}"
        raise invalid(
            [
                InputError(
                    parameter="last_day", detail=detail, value=str(last_day), remedy="give that day or a later one"
                )
            ],
            HEADER_INVALID,
        )
    return Period(first_day, last_day)


def by_project(found: Iterable[Found[Any]]) -> Mapping[ProjectId, list[Found[Any]]]:
    """Rows by the project that they belong to, in the order in which they came."""
    by_project: dict[ProjectId, list[Found[Any]]] = {}
    for each in found:
        by_project.setdefault(each.row.project, []).append(each)
    return by_project


def reference_of(known: Mapping[ProjectId, NodeRow], project: ProjectId) -> Code | None:
    """The reference of a project; None where it isn't known here."""
    found = known.get(project)
    return found.reference if found is not None else None


def name_of(known: Mapping[ProjectId, NodeRow], project: ProjectId) -> Name | None:
    """The name of a project; None where it isn't known here."""
    found = known.get(project)
    return found.name if found is not None else None
