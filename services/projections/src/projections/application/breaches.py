"""Gates that were passed by stealth: work that had begun when the gate before it had not said so."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import date, datetime
from typing import Any, Final

from govevents.document import Recorded
from govevents.projects import GateBreached, ProjectMoved
from govevents.values import value
from govkernel.domain import Code, PortfolioId, ProjectId, SubjectId, Text
from govkernel.readmodels import ReadModel


@value
class Breach:
    """Work in a phase had begun on a day when its gate had not said so; a later Go does not undo that."""

    project: ProjectId
    portfolio: PortfolioId
    phase: Code
    gate: Code
    began_on: date
    reported_at: datetime
    reported_by: SubjectId
    remark: Text


def evolve(rows: Mapping[str, Breach], recorded: Recorded[Any]) -> Mapping[str, Breach]:
    """One row for each phase and day that was reported of a project; none is ever taken away."""
    envelope = recorded.envelope
    match recorded.event:
        case GateBreached() as breached:
            row = Breach(
                project=ProjectId(envelope.stream),
                portfolio=breached.portfolio,
                phase=breached.phase,
                gate=breached.gate,
                began_on=breached.began_on,
                reported_at=envelope.time,
                reported_by=breached.reported_by,
                remark=breached.remark,
            )
            return {**rows, f"{breached.began_on}/{breached.phase}": row}
        case ProjectMoved(portfolio=portfolio):
            return {key: replace(each, portfolio=portfolio) for key, each in rows.items()}
        case _:
            return rows


BREACHES: Final = ReadModel(
    name="breaches",
    service="projects",
    version=1,
    row=Breach,
    events=(GateBreached, ProjectMoved),
    evolve=evolve,
    indexes=(("project",),),
)
