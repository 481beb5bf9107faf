"""What the service consists of; the kernel runs it."""

from pathlib import Path
from typing import Final

from govevents.approvals import ConditionClosed, ConditionLapsed, ConditionWaived, ReviewConcluded
from govkernel.processes import Reacts, ServiceDefinition
from projects.application.reactions import react
from projects.domain.portfolio import PORTFOLIO
from projects.domain.programme import PROGRAMME
from projects.domain.project import PROJECT
from projects.entrypoints.api import api

PROJECTS: Final = ServiceDefinition(
    name="projects",
    api=api,
    policy=Path(__file__).with_name("policy.toml"),
    aggregates=(PORTFOLIO, PROGRAMME, PROJECT),
    reactions=(
        Reacts(
            service="approvals",
            events=(ReviewConcluded, ConditionClosed, ConditionWaived, ConditionLapsed),
            react=react,
        ),
    ),
)
