"""What projects do because of what others did: they follow the outcomes of reviews, and their conditions."""

from collections.abc import Mapping
from typing import Any, Final
from uuid import UUID

from govevents.approvals import (
    ConditionClosed,
    ConditionLapsed,
    ConditionWaived,
    OnLapse,
    Outcome,
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
    HeedReview,
    SettleCondition,
    Verdict,
)

ABOUT: Final = {
    ReviewKind.BASELINE: "a baseline",
    ReviewKind.CHANGE: "a change",
    ReviewKind.BUDGET: "a budget",
    ReviewKind.RISK_ACCEPTANCE: "a risk acceptance",
    ReviewKind.METHODOLOGY_DEVIATION: "a methodology deviation",
}
"""The kinds of review of which a Go or a Recycle says nothing of the project's phases, in words."""


def react(recorded: Recorded[Any], _find: Mapping[Link, tuple[UUID, ...]]) -> tuple[Reaction, ...]:
    """The commands that follow from an event of approvals."""
    review, at = ReviewId(recorded.envelope.stream), recorded.envelope.time
    match recorded.event:
        case ReviewConcluded(kind=ReviewKind.GATE, gate=str(gate), project=project, outcome=outcome) as concluded:
            heed = HeedGate(gate, review, Verdict(outcome.value), at, len(concluded.conditions))
            return (Reaction(PROJECT, project, heed),)
        case ReviewConcluded(kind=ReviewKind.CLOSURE, project=project, outcome=outcome) as concluded:
            closure = HeedClosure(review, Verdict(outcome.value), at, len(concluded.conditions))
            return (Reaction(PROJECT, project, closure),)
        case ReviewConcluded(kind=kind, outcome=Outcome.HOLD | Outcome.KILL | Outcome.CONDITIONAL_GO) as concluded:
            verdict, conditions = Verdict(concluded.outcome.value), len(concluded.conditions)
            return (Reaction(PROJECT, concluded.project, HeedReview(ABOUT[kind], review, verdict, conditions)),)
        case (
            ConditionClosed(project=project, condition=condition)
            | ConditionWaived(project=project, condition=condition)
        ):
            return (Reaction(PROJECT, project, SettleCondition(review, condition)),)
        case ConditionLapsed(project=project, condition=condition, due=due, then=OnLapse.HOLD):
            return (Reaction(PROJECT, project, HeedLapse(review, condition, due)),)
        case _:
            return ()
