"""The dates that projects have reached or intend to reach."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from typing import Any, Final

from govevents.document import Recorded
from govevents.projects import MilestoneBasis, MilestoneSet
from govevents.values import value
from govkernel.domain import Code, ProjectId
from govkernel.readmodels import ReadModel


@value
class Milestone:
    """A milestone of a project: the date it is planned for and the date it was reached, None where nothing said so."""

    project: ProjectId
    milestone: Code
    planned: date | None = None
    actual: date | None = None


def evolve(rows: Mapping[str, Milestone], recorded: Recorded[Any]) -> Mapping[str, Milestone]:
    """One row for each milestone of a project; a plan stays on record when the milestone is reached."""
    match recorded.event:
        case MilestoneSet(milestone=code, basis=basis, date=day):
            known = rows.get(code) or Milestone(ProjectId(recorded.envelope.stream), code)
            match basis:
                case MilestoneBasis.PLANNED:
                    return {**rows, code: replace(known, planned=day)}
                case MilestoneBasis.ACTUAL:
                    return {**rows, code: replace(known, actual=day)}
        case _:
            return rows


MILESTONES: Final = ReadModel(
    name="milestones",
    service="projects",
    version=1,
    row=Milestone,
    events=(MilestoneSet,),
    evolve=evolve,
    indexes=(("project",),),
)
