"""How far each project has come through its methodology's phases, and which gates have let it through."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from enum import Enum
from typing import Any, Final

from govevents import projects
from govevents.document import Recorded
from govevents.values import value
from govkernel.domain import Code, Name, PortfolioId, ProjectId, ReviewId
from govkernel.readmodels import ReadModel


class Progress(Enum):
    """What has become of a phase."""

    WAITING = "waiting"
    AUTHORISED = "authorised"
    IN_PROGRESS = "in_progress"
    COMPLETE = "complete"


@value
class PhaseProgress:
    """A phase of a project, counted from 1; `reached` is since when it is so, `review` what authorised it.

    `gate` is the gate before the phase, None for none.
    """

    project: ProjectId
    portfolio: PortfolioId
    position: int
    phase: Code
    name: Name
    gate: Code | None
    progress: Progress
    reached: datetime
    review: ReviewId | None = None


def evolve(rows: Mapping[str, PhaseProgress], recorded: Recorded[Any]) -> Mapping[str, PhaseProgress]:
    """One row for each phase of the project's methodology; a project without one has none."""
    time = recorded.envelope.time
    match recorded.event:
        case projects.ProjectRegistered(portfolio=portfolio, methodology=projects.Methodology(phases=phases)):
            project = ProjectId(recorded.envelope.stream)
            return {
                phase.code: PhaseProgress(
                    project, portfolio, position, phase.code, phase.name, phase.gate, Progress.WAITING, time
                )
                for position, phase in enumerate(phases, start=1)
            }
        case projects.ProjectMoved(portfolio=portfolio):
            return {code: replace(each, portfolio=portfolio) for code, each in rows.items()}
        case projects.PhaseAuthorised(phase=code, review=review) if code in rows:
            return {**rows, code: replace(rows[code], progress=Progress.AUTHORISED, reached=time, review=review)}
        case projects.PhaseStarted(phase=code) if code in rows:
            return {**rows, code: replace(rows[code], progress=Progress.IN_PROGRESS, reached=time)}
        case projects.PhaseCompleted(phase=code) if code in rows:
            return {**rows, code: replace(rows[code], progress=Progress.COMPLETE, reached=time)}
        case projects.PhaseReturned(phase=code) if code in rows:
            return dict(_returned(rows, rows[code].position, time))
        case _:
            return rows


def _returned(rows: Mapping[str, PhaseProgress], position: int, time: datetime) -> Iterator[tuple[str, PhaseProgress]]:
    """The phase's work is open again where it was complete, and whatever follows it needs its gates anew."""
    for code, each in rows.items():
        if each.position == position and each.progress is Progress.COMPLETE:
            yield code, replace(each, progress=Progress.IN_PROGRESS, reached=time)
        elif each.position > position and each.progress is not Progress.WAITING:
            yield code, replace(each, progress=Progress.WAITING, reached=time, review=None)
        else:
            yield code, each


GATE_PROGRESS: Final = ReadModel(
    name="gate_progress",
    service="projects",
    version=1,
    row=PhaseProgress,
    events=(
        projects.ProjectRegistered,
        projects.ProjectMoved,
        projects.PhaseAuthorised,
        projects.PhaseStarted,
        projects.PhaseCompleted,
        projects.PhaseReturned,
    ),
    evolve=evolve,
    indexes=(("project",),),
)
