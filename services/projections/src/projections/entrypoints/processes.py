"""What the service consists of; the kernel runs it."""

from pathlib import Path
from typing import Final

from govkernel.consumer import Handler
from govkernel.processes import Parts, ServiceDefinition
from projections.adapters.measuring import Measuring
from projections.adapters.queries import READ_MODELS
from projections.domain.measurement import MEASUREMENT
from projections.entrypoints.api import api


def handlers(parts: Parts) -> tuple[Handler, ...]:
    """The consumers that measure. They look things up before they react, which plain reactions don't."""
    return tuple(Measuring(service, parts.ledger, parts.engine) for service in ("approvals", "reporting"))


PROJECTIONS: Final = ServiceDefinition(
    name="projections",
    api=api,
    policy=Path(__file__).with_name("policy.toml"),
    aggregates=(MEASUREMENT,),
    read_models=READ_MODELS,
    handlers=handlers,
)
