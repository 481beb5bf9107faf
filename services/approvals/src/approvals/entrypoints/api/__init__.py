"""What people and programs can ask of approvals over HTTP, one module for each thing that is asked about."""

from approvals.entrypoints.api import (
    bodies,
    decisions,
    delegations,
    directory,
    dossiers,
    gate_policies,
    meetings,
    project_reviews,
    review_requests,
    reviews,
    roles,
    value_bands,
    what_ifs,
)
from approvals.entrypoints.api.edge import api

__all__ = [
    "api",
    "bodies",
    "decisions",
    "delegations",
    "directory",
    "dossiers",
    "gate_policies",
    "meetings",
    "project_reviews",
    "review_requests",
    "reviews",
    "roles",
    "value_bands",
    "what_ifs",
]
