"""What projects do because of what others did: they follow the outcome of reviews of their gates and their closure."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from govevents.approvals import ReviewConcluded, ReviewKind
from govevents.document import Recorded
from govkernel.domain import Link, ReviewId
from govkernel.domain.reaction import Reaction
from projects.domain.project import PROJECT, HeedClosure, HeedGate, Verdict


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
