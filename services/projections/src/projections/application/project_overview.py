"""What is known of each project: why it exists, where it stands, and what reports last said of it."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from typing import Any, Final

from govevents import projects
from govevents.document import Recorded
from govevents.projects import Attribute, Methodology
from govevents.values import value
from govkernel.access import NodeStatus
from govkernel.domain import Code, Money, Name, NodeId, PortfolioId, ProjectId, SubjectId, Text
from govkernel.readmodels import ReadModel


@value
class ProjectOverview:
    """A project. `phase` is the phase last seen, by its own work or by a report, and None where none was.

    `reported_on` is the date of the newest report; a report that was silent on something leaves what was known of it.
    """

    project: ProjectId
    portfolio: PortfolioId
    parent: NodeId
    reference: Code
    name: Name
    status: NodeStatus
    purpose: Text
    sponsor: SubjectId | None
    manager: SubjectId | None
    value: Money | None
    methodology: Methodology | None
    attributes: tuple[Attribute, ...]
    phase: Name | None = None
    reported_on: date | None = None
    budget_forecast: Money | None = None
    forecast_completion: date | None = None


def evolve(rows: Mapping[str, ProjectOverview], recorded: Recorded[Any]) -> Mapping[str, ProjectOverview]:
    """One stream is one project; portfolios and programmes have none of these events."""
    stream = recorded.envelope.stream
    key = str(stream)
    match recorded.event:
        case projects.ProjectRegistered() as registered:
            made = ProjectOverview(
                project=ProjectId(stream),
                portfolio=registered.portfolio,
                parent=registered.parent,
                reference=registered.reference,
                name=registered.name,
                status=NodeStatus.ACTIVE,
                purpose=registered.charter.purpose,
                sponsor=registered.charter.sponsor,
                manager=registered.charter.manager,
                value=registered.charter.value,
                methodology=registered.methodology,
                attributes=registered.attributes,
            )
            return {key: made}
        case _:
            return {key: _changed(known, recorded.event) for key, known in rows.items()}


def _changed(known: ProjectOverview, event: Any) -> ProjectOverview:
    match event:
        case projects.CharterAmended(charter=charter):
            return replace(
                known,
                purpose=charter.purpose,
                sponsor=charter.sponsor,
                manager=charter.manager,
                value=charter.value,
            )
        case projects.ProjectMoved(portfolio=portfolio, parent=parent):
            return replace(known, portfolio=portfolio, parent=parent)
        case projects.PhaseStarted(phase=phase) | projects.PhaseReturned(phase=phase):
            return replace(known, phase=_phase_name(known.methodology, phase))
        case projects.ProjectHeld():
            return replace(known, status=NodeStatus.ON_HOLD)
        case projects.ProjectResumed():
            return replace(known, status=NodeStatus.ACTIVE)
        case projects.ProjectTerminated():
            return replace(known, status=NodeStatus.TERMINATED)
        case projects.ProjectCompleted():
            return replace(known, status=NodeStatus.COMPLETED)
        case projects.ProjectObserved() as seen:
            return _observed(known, seen)
        case _:
            return known


def _phase_name(methodology: Methodology | None, code: Code) -> Name:
    phases = methodology.phases if methodology is not None else ()
    return next((phase.name for phase in phases if phase.code == code), code)


def _observed(known: ProjectOverview, seen: projects.ProjectObserved) -> ProjectOverview:
    if known.reported_on is not None and seen.reported_on < known.reported_on:
        # A report that comes late can only fill in what no later one has said.
        return replace(
            known,
            phase=known.phase or seen.phase,
            budget_forecast=known.budget_forecast or seen.budget_forecast,
            forecast_completion=known.forecast_completion or seen.forecast_completion,
        )
    return replace(
        known,
        reported_on=seen.reported_on,
        phase=seen.phase or known.phase,
        budget_forecast=seen.budget_forecast or known.budget_forecast,
        forecast_completion=seen.forecast_completion or known.forecast_completion,
    )


PROJECT_OVERVIEW: Final = ReadModel(
    name="project_overview",
    service="projects",
    version=1,
    row=ProjectOverview,
    events=(
        projects.ProjectRegistered,
        projects.CharterAmended,
        projects.ProjectMoved,
        projects.PhaseStarted,
        projects.PhaseReturned,
        projects.ProjectHeld,
        projects.ProjectResumed,
        projects.ProjectTerminated,
        projects.ProjectCompleted,
        projects.ProjectObserved,
    ),
    evolve=evolve,
    indexes=(("project",), ("portfolio", "reference")),
)
