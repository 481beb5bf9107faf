from datetime import UTC, datetime
from uuid import UUID

import pytest

from govevents.document import Origin, Recorded, encode
from govevents.registry import CATALOGUE
from govevents.risks import IssueKind, RiskClosed, RiskKind, RiskOccurred, Severity
from govkernel.domain import PortfolioId, ProjectId, RiskId, SubjectId
from govkernel.domain.reaction import Reaction
from risks.application.reactions import react
from risks.domain import issue
from risks.domain.issue import ISSUE, RaiseIssue

PROJECT, PORTFOLIO = ProjectId(UUID(int=1)), PortfolioId(UUID(int=2))
ANA = SubjectId(UUID(int=3))
RISK = RiskId(UUID(int=4))
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def recorded(event: object) -> Recorded[object]:
    return CATALOGUE.decode(
        encode(
            event,
            service="risks",
            aggregate="risk",
            stream=RISK,
            version=1,
            previous_hash=None,
            time=NOON,
            recorded_at=NOON,
            actor="service:risks",
            command=UUID(int=5),
            correlation="c",
            causation=None,
            origin=Origin.LIVE,
        ).body
    )


@pytest.mark.parametrize(
    ("kind", "issue_kind"),
    [(RiskKind.THREAT, IssueKind.PROBLEM), (RiskKind.OPPORTUNITY, IssueKind.OPPORTUNITY)],
)
def test_a_risk_that_occurs_raises_the_issue_that_it_names(kind: RiskKind, issue_kind: IssueKind) -> None:
    occurred = RiskOccurred(
        PROJECT, PORTFOLIO, kind, issue.stream_of(RISK), "Main bursts", "It burst.", Severity.HIGH, ANA
    )
    raise_issue = RaiseIssue(PROJECT, PORTFOLIO, issue_kind, "Main bursts", "It burst.", Severity.HIGH, ANA, RISK)
    assert react(recorded(occurred), {}) == (Reaction(ISSUE, issue.stream_of(RISK), raise_issue),)


def test_nothing_follows_from_anything_else() -> None:
    assert react(recorded(RiskClosed(PROJECT, "Gone.")), {}) == ()
