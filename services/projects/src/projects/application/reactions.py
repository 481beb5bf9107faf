"""What projects do because of what others did: they follow reviews of gates and closures, and their conditions."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from govevents.approvals import (
    ConditionClosed,
    ConditionLapsed,
    ConditionWaived,
    OnLapse,
    ReviewConcluded,
    ReviewKind,
)
from govevents.document import Recorded
from govkernel.domain import Link, ReviewId
from govkernel.domain.reaction import Reaction
from projects.domain.project import (
    PROJECT,
    HeedClosure,
    HeedGate,
    HeedLapse,
    SetConditions,
    SettleCondition,
    Verdict,
)


def react(recorded: Recorded[Any], _find: Mapping[Link, tuple[UUID, ...]]) -> tuple[Reaction, ...]:
    """The commands that follow from an event of approvals."""
    review, at = ReviewId(recorded.envelope.stream), recorded.envelope.time
    match recorded.event:
        case ReviewConcluded(kind=ReviewKind.GATE, gate=str(gate), project=project, outcome=outcome) as concluded:
            heed = HeedGate(gate, review, Verdict(outcome.value), at, len(concluded.conditions))
            return (Reaction(PROJECT, project, heed),)
        case ReviewConcluded(kind=ReviewKind.CLOSURE, project=project, outcome=outcome):
            return (Reaction(PROJECT, project, HeedClosure(review, Verdict(outcome.value), at)),)
        case ReviewConcluded(project=project, conditions=conditions) if conditions:
            return (Reaction(PROJECT, project, SetConditions(review, len(conditions))),)
        case (
            ConditionClosed(project=project, condition=condition)
            | ConditionWaived(project=project, condition=condition)
        ):
            return (Reaction(PROJECT, project, SettleCondition(review, condition)),)
        case ConditionLapsed(project=project, condition=condition, due=due, then=OnLapse.HOLD):
            return (Reaction(PROJECT, project, HeedLapse(review, condition, due)),)
        case _:
            return ()
