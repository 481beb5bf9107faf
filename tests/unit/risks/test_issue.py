from dataclasses import replace
from uuid import UUID

from govevents.risks import IssueKind, IssueRaised, IssueResolved, Severity
from govkernel.domain import PortfolioId, ProjectId, RiskId, Specification, SubjectId
from risks.domain.issue import (
    ISSUE,
    IssueAlreadyRaised,
    IssueNotKnown,
    RaiseIssue,
    ResolveIssue,
    stream_of,
)

issue = Specification(ISSUE)

PROJECT, PORTFOLIO = ProjectId(UUID(int=1)), PortfolioId(UUID(int=2))
ANA = SubjectId(UUID(int=3))
RISK = RiskId(UUID(int=4))

RAISE = RaiseIssue(PROJECT, PORTFOLIO, IssueKind.PROBLEM, "Burst", "Main 12 burst.", Severity.HIGH, ANA, RISK)
RAISED = IssueRaised(PROJECT, PORTFOLIO, IssueKind.PROBLEM, "Burst", "Main 12 burst.", Severity.HIGH, ANA, RISK)
RESOLVED = IssueResolved(PROJECT, "Repaired.")


def test_an_issue_is_raised_from_a_risk_or_from_none() -> None:
    issue.given().when(RAISE).then(RAISED)
    issue.given().when(replace(RAISE, risk=None)).then(replace(RAISED, risk=None))


def test_raising_the_same_issue_again_adds_nothing_also_when_it_is_resolved() -> None:
    issue.given(RAISED).when(RAISE).then_nothing()
    issue.given(RAISED, RESOLVED).when(RAISE).then_nothing()


def test_raising_it_with_other_particulars_is_refused_and_names_them() -> None:
    refusal = issue.given(RAISED).when(replace(RAISE, title="Leak")).then_refused(IssueAlreadyRaised)
    assert refusal.facts == {"title": "Burst on record, Leak given"}
    issue.given(RAISED, RESOLVED).when(replace(RAISE, title="Leak")).then_refused(IssueAlreadyRaised)


def test_an_issue_is_resolved_once() -> None:
    issue.given(RAISED).when(ResolveIssue("Repaired.")).then(RESOLVED)
    issue.given(RAISED, RESOLVED).when(ResolveIssue("Repaired again.")).then_nothing()


def test_an_unknown_issue_is_not_resolved() -> None:
    issue.given().when(ResolveIssue("Repaired.")).then_refused(IssueNotKnown)


def test_a_risk_raises_one_issue() -> None:
    assert stream_of(RISK) == stream_of(RISK)
    assert stream_of(RISK) != stream_of(RiskId(UUID(int=5)))
