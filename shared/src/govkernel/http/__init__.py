"""HTTP, the same in every service: commands, queries, problems, tokens, health and operation."""

from govkernel.http.api import ServiceApi
from govkernel.http.bodies import Body, NoBody
from govkernel.http.commands import AppendedEvent, Call, CommandAnswer
from govkernel.http.problems import InputError, Problem, ProblemType, Refused, invalid, not_found
from govkernel.http.queries import Ask, Bounds, Page
from govkernel.http.runtime import Authority, LocalVersions, Operations, Runtime, Versions

__all__ = [
    "AppendedEvent",
    "Ask",
    "Authority",
    "Body",
    "Bounds",
    "Call",
    "CommandAnswer",
    "InputError",
    "LocalVersions",
    "NoBody",
    "Operations",
    "Page",
    "Problem",
    "ProblemType",
    "Refused",
    "Runtime",
    "ServiceApi",
    "Versions",
    "invalid",
    "not_found",
]
