"""What projects do because of what others did: they follow the outcome of reviews of their gates and their closure."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from govkernel.reactions import Reaction

from govevents.approvals import ReviewConcluded, ReviewKind
from govevents.document import Recorded
from govkernel.domain import Link, ReviewId
from projects.domain.project import PROJECT, HeedClosure, HeedGate, Verdict


def needs(_recorded: Recorded[Any]) -> tuple[Link, ...]:
    """The links that `react` must be given: none, for a review names its project."""
    return ()


def react(recorded: Recorded[Any], _find: Mapping[Link, tuple[UUID, ...]]) -> tuple[Reaction, ...]:
    """The commands that follow from an event of approvals."""
    match recorded.event:
        case ReviewConcluded(kind=ReviewKind.GATE, gate=str(gate), project=project, outcome=outcome):
            review = ReviewId(recorded.envelope.stream)
            return (Reaction(PROJECT, project, HeedGate(gate, review, Verdict(outcome.value))),)
        case ReviewConcluded(kind=ReviewKind.CLOSURE, project=project, outcome=outcome):
            review = ReviewId(recorded.envelope.stream)
            return (Reaction(PROJECT, project, HeedClosure(review, Verdict(outcome.value))),)
        case _:
            return ()
