"""Every event of Gatehouse in one catalogue."""

from typing import Final

from govevents import approvals, operations, projections, projects, reporting, risks
from govevents.catalogue import Catalogue

CATALOGUE: Final = Catalogue.of_modules(projects, approvals, risks, reporting, projections, operations)

SERVICES: Final = ("projects", "approvals", "risks", "reporting", "projections")
