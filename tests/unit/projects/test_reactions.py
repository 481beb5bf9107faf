from datetime import UTC, datetime
from uuid import UUID

import pytest

from govevents.approvals import Ending, Outcome, ReviewConcluded, ReviewKind, ReviewWithdrawn, Tally
from govevents.document import Origin, Recorded, encode
from govevents.registry import CATALOGUE
from govkernel.domain import PortfolioId, ProjectId, ReviewId
from govkernel.domain.reaction import Reaction
from projects.application.reactions import react
from projects.domain.project import PROJECT, HeedClosure, HeedGate, Verdict

THE_PROJECT, PORTFOLIO = ProjectId(UUID(int=1)), PortfolioId(UUID(int=2))
REVIEW = ReviewId(UUID(int=3))
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def recorded(event: object) -> Recorded[object]:
    return CATALOGUE.decode(
        encode(
            event,
            service="approvals",
            aggregate="review",
            stream=REVIEW,
            version=1,
            previous_hash=None,
            time=NOON,
            recorded_at=NOON,
            actor="service:approvals",
            command=UUID(int=4),
            correlation="c",
            causation=None,
            origin=Origin.LIVE,
        ).body
    )


def concluded(kind: ReviewKind, gate: str | None, outcome: Outcome) -> Recorded[object]:
    tally = Tally(1, 1, 1, 0, 0, 0, 0)
    return recorded(ReviewConcluded(THE_PROJECT, PORTFOLIO, kind, gate, outcome, Ending.DECIDED, tally, (), None, NOON))


@pytest.mark.parametrize("outcome", list(Outcome))
def test_a_project_heeds_every_outcome_of_its_gates(outcome: Outcome) -> None:
    assert react(concluded(ReviewKind.GATE, "G1", outcome), {}) == (
        Reaction(PROJECT, THE_PROJECT, HeedGate("G1", REVIEW, Verdict(outcome.value))),
    )


@pytest.mark.parametrize("outcome", list(Outcome))
def test_a_project_heeds_every_outcome_of_its_closure(outcome: Outcome) -> None:
    assert react(concluded(ReviewKind.CLOSURE, None, outcome), {}) == (
        Reaction(PROJECT, THE_PROJECT, HeedClosure(REVIEW, Verdict(outcome.value))),
    )


@pytest.mark.parametrize("kind", [kind for kind in ReviewKind if kind not in {ReviewKind.GATE, ReviewKind.CLOSURE}])
def test_other_reviews_are_none_of_its_business(kind: ReviewKind) -> None:
    assert react(concluded(kind, None, Outcome.KILL), {}) == ()


def test_a_review_without_an_outcome_asks_for_nothing() -> None:
    assert react(recorded(ReviewWithdrawn(THE_PROJECT, "Not needed.")), {}) == ()
