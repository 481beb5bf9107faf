"""The vocabulary that domains are written in. Pure: the standard library and the contracts' values, nothing else."""

from govevents.values import (
    BodyId,
    Code,
    Currency,
    IssueId,
    Money,
    Name,
    NodeId,
    PersonId,
    PortfolioId,
    ProgrammeId,
    ProjectId,
    ReportId,
    ReviewId,
    RiskId,
    Sha256,
    Source,
    SubjectId,
    Text,
    ValueRefused,
)
from govkernel.domain.aggregate import Aggregate, Deadline, Link
from govkernel.domain.reaction import Reaction
from govkernel.domain.refusals import NotKnownYet, Refusal, differences
from govkernel.domain.specification import Specification

__all__ = [
    "Aggregate",
    "BodyId",
    "Code",
    "Currency",
    "Deadline",
    "IssueId",
    "Link",
    "Money",
    "Name",
    "NodeId",
    "NotKnownYet",
    "PersonId",
    "PortfolioId",
    "ProgrammeId",
    "ProjectId",
    "Reaction",
    "Refusal",
    "ReportId",
    "ReviewId",
    "RiskId",
    "Sha256",
    "Source",
    "Specification",
    "SubjectId",
    "Text",
    "ValueRefused",
    "differences",
]
