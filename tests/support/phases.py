"""A small read model for tests: the phases of a project, each a row until the project is resumed, which clears them."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from govevents.document import Recorded
from govevents.projects import PhaseCompleted, PhaseStarted, ProjectHeld, ProjectResumed
from govkernel.readmodels import ReadModel


@dataclass(frozen=True, slots=True)
class PhaseRow:
    phase: str
    finished: bool
    held: bool


def evolve(rows: Mapping[str, PhaseRow], recorded: Recorded[Any]) -> Mapping[str, PhaseRow]:
    """Completing a phase that was never started is an error, so that tests have something to reject."""
    match recorded.event:
        case PhaseStarted(phase=phase):
            return {**rows, phase: PhaseRow(phase, finished=False, held=False)}
        case PhaseCompleted(phase=phase):
            return {**rows, phase: replace(rows[phase], finished=True)}
        case ProjectHeld():
            return {key: replace(row, held=True) for key, row in rows.items()}
        case ProjectResumed():
            return {}
        case _:
            return rows


PHASES = ReadModel(
    name="phases",
    service="projects",
    version=1,
    row=PhaseRow,
    events=(PhaseStarted, PhaseCompleted, ProjectHeld, ProjectResumed),
    evolve=evolve,
    indexes=(("phase",),),
)
