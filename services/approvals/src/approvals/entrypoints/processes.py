"""What the service consists of; the kernel runs it."""

from pathlib import Path
from typing import Final

from approvals.application.reactions import needs, react
from approvals.domain.body import BODY
from approvals.domain.decision import DECISION
from approvals.domain.delegation import DELEGATION
from approvals.domain.gate_policy import GATE_POLICY
from approvals.domain.meeting import MEETING
from approvals.domain.project_reviews import PROJECT_REVIEWS
from approvals.domain.review import REVIEW
from approvals.domain.review_request import REVIEW_REQUEST
from approvals.domain.role_assignment import ROLE_ASSIGNMENT
from approvals.domain.value_bands import VALUE_BANDS
from approvals.entrypoints.api import api
from govevents.approvals import DelegationRevoked, ReviewConcluded, ReviewDrafted, ReviewSubmitted
from govevents.projections import KpiMeasured
from govevents.projects import GateBreached, ProjectTerminated
from govkernel.processes import Reacts, ServiceDefinition

APPROVALS: Final = ServiceDefinition(
    name="approvals",
    api=api,
    policy=Path(__file__).with_name("policy.toml"),
    aggregates=(
        BODY,
        ROLE_ASSIGNMENT,
        VALUE_BANDS,
        GATE_POLICY,
        REVIEW,
        DECISION,
        PROJECT_REVIEWS,
        MEETING,
        DELEGATION,
        REVIEW_REQUEST,
    ),
    reactions=(
        Reacts(service="projects", events=(ProjectTerminated, GateBreached), react=react, needs=needs),
        Reacts(
            service="approvals",
            events=(ReviewDrafted, ReviewSubmitted, DelegationRevoked, ReviewConcluded),
            react=react,
            needs=needs,
        ),
        Reacts(service="projections", events=(KpiMeasured,), react=react, needs=needs),
    ),
    migrations=Path(__file__).parents[3] / "migrations",
)
