"""What the service consists of; the kernel runs it."""

from pathlib import Path
from typing import Final

from govevents.projections import KpiMeasured
from govkernel.processes import Reacts, ServiceDefinition
from reporting.application.reactions import needs, react
from reporting.domain.status_report import STATUS_REPORT
from reporting.entrypoints.api import api

REPORTING: Final = ServiceDefinition(
    name="reporting",
    api=api,
    policy=Path(__file__).with_name("policy.toml"),
    aggregates=(STATUS_REPORT,),
    reactions=(Reacts(service="projections", events=(KpiMeasured,), react=react, needs=needs),),
)
