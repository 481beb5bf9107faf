"""Issues as they stand."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

from govevents.document import Recorded
from govevents.risks import IssueKind, IssueRaised, IssueResolved, Severity
from govevents.values import value
from govkernel.domain import IssueId, Name, PortfolioId, ProjectId, RiskId, SubjectId, Text
from govkernel.readmodels import ReadModel


@value
class Issue:
    """An issue; it is open until `resolved_at`. `risk` is the risk that it came from, None for none."""

    issue: IssueId
    project: ProjectId
    portfolio: PortfolioId
    kind: IssueKind
    title: Name
    severity: Severity
    owner: SubjectId
    risk: RiskId | None
    raised_at: datetime
    resolved_at: datetime | None = None
    resolution: Text | None = None


def evolve(rows: Mapping[str, Issue], recorded: Recorded[Any]) -> Mapping[str, Issue]:
    """One stream is one issue."""
    stream, time = recorded.envelope.stream, recorded.envelope.time
    key = str(stream)
    match recorded.event:
        case IssueRaised() as raised:
            made = Issue(
                issue=IssueId(stream),
                project=raised.project,
                portfolio=raised.portfolio,
                kind=raised.kind,
                title=raised.title,
                severity=raised.severity,
                owner=raised.owner,
                risk=raised.risk,
                raised_at=time,
            )
            return {key: made}
        case IssueResolved(resolution=resolution):
            return {key: replace(rows[key], resolved_at=time, resolution=resolution)}
        case _:
            return rows


ISSUES: Final = ReadModel(
    name="issues",
    service="risks",
    version=1,
    row=Issue,
    events=(IssueRaised, IssueResolved),
    evolve=evolve,
    indexes=(("project",), ("portfolio",)),
)
