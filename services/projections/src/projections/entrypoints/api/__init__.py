"""What people and programs can ask of projections over HTTP, one module for each thing that is asked about."""

from projections.entrypoints.api import (
    conditions,
    decisions,
    gate_calendar,
    inbox,
    kpis,
    milestones,
    portfolio,
    risks,
    status_reports,
)
from projections.entrypoints.api.edge import api

__all__ = [
    "api",
    "conditions",
    "decisions",
    "gate_calendar",
    "inbox",
    "kpis",
    "milestones",
    "portfolio",
    "risks",
    "status_reports",
]
