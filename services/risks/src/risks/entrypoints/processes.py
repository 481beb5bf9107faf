"""What the service consists of; the kernel runs it."""

from pathlib import Path
from typing import Final

from govevents.risks import RiskOccurred
from govkernel.processes import Reacts, ServiceDefinition
from risks.application.reactions import react
from risks.domain.issue import ISSUE
from risks.domain.matrix import MATRIX
from risks.domain.risk import RISK
from risks.entrypoints.api import api

RISKS: Final = ServiceDefinition(
    name="risks",
    api=api,
    policy=Path(__file__).with_name("policy.toml"),
    aggregates=(MATRIX, RISK, ISSUE),
    reactions=(Reacts(service="risks", events=(RiskOccurred,), react=react),),
)
