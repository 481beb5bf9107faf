"""What risks do because of what happened: a risk that occurs raises the issue that it names."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from govevents.document import Recorded
from govevents.risks import IssueKind, RiskKind, RiskOccurred
from govkernel.domain import Link, RiskId
from govkernel.domain.reaction import Reaction
from risks.domain.issue import ISSUE, RaiseIssue

KINDS: Mapping[RiskKind, IssueKind] = {
    RiskKind.THREAT: IssueKind.PROBLEM,
    RiskKind.OPPORTUNITY: IssueKind.OPPORTUNITY,
}


def react(recorded: Recorded[Any], _find: Mapping[Link, tuple[UUID, ...]]) -> tuple[Reaction, ...]:
    """The commands that follow from an event of risks itself."""
    match recorded.event:
        case RiskOccurred() as occurred:
            command = RaiseIssue(
                occurred.project,
                occurred.portfolio,
                KINDS[occurred.kind],
                occurred.title,
                occurred.description,
                occurred.severity,
                occurred.owner,
                RiskId(recorded.envelope.stream),
            )
            return (Reaction(ISSUE, occurred.issue, command),)
        case _:
            return ()
