"""Dates that are planned, and those that were kept."""

from datetime import date

from pydantic import BaseModel

from govkernel.domain import (
    Code,
    Name,
    ProjectId,
)
from govkernel.http import Ask
from projections.adapters.queries import (
    find,
    labels,
    rows_of,
)
from projections.application.milestones import MILESTONES
from projections.entrypoints.api.edge import (
    Answer,
    Node,
    api,
    looking,
    name_of,
    reference_of,
)


class MilestoneView(BaseModel):
    """A milestone: the date it is planned for and the date it was reached."""

    project: ProjectId
    reference: Code | None
    name: Name | None
    milestone: Code
    planned: date | None
    actual: date | None


@api.query("/milestones", operation="listMilestones", response=Answer[MilestoneView], history=True, paged=True)
async def list_milestones(ask: Ask, node: Node = None) -> Answer[MilestoneView]:
    """List milestones, project by project."""
    async with looking(ask, node, MILESTONES) as look:
        query = rows_of(MILESTONES, look.scope)
        columns = query.selected_columns
        found = await find(look.connection, MILESTONES, ask.keyset(query, columns["project"], columns["milestone"]))
        known = await labels(look.connection, [each.row.project for each in found])
        page = ask.page(
            found,
            lambda each: MilestoneView(
                project=each.row.project,
                reference=reference_of(known, each.row.project),
                name=name_of(known, each.row.project),
                milestone=each.row.milestone,
                planned=each.row.planned,
                actual=each.row.actual,
            ),
            lambda each: (each.row.project, each.row.milestone),
        )
        return look.answer(page)
