"""An issue: something that has happened and that a project must deal with."""

from dataclasses import dataclass
from typing import Final, TypeAlias, assert_never
from uuid import uuid5

from govevents.risks import IssueKind, IssueRaised, IssueResolved, Severity
from govkernel.domain import (
    Aggregate,
    IssueId,
    Name,
    NotKnownYet,
    PortfolioId,
    ProjectId,
    Refusal,
    RiskId,
    SubjectId,
    Text,
    differences,
)


@dataclass(frozen=True, slots=True)
class NotRaised:
    """Nothing is known under this id."""


@dataclass(frozen=True, slots=True)
class Open:
    """The issue waits to be dealt with."""

    raised: IssueRaised


@dataclass(frozen=True, slots=True)
class Resolved:
    """The issue is dealt with."""

    raised: IssueRaised


Issue: TypeAlias = NotRaised | Open | Resolved


@dataclass(frozen=True, slots=True)
class RaiseIssue:
    """Put an issue on record; `risk` is the risk it came from, None for none."""

    project: ProjectId
    portfolio: PortfolioId
    kind: IssueKind
    title: Name
    description: Text
    severity: Severity
    owner: SubjectId
    risk: RiskId | None


@dataclass(frozen=True, slots=True)
class ResolveIssue:
    """Declare an issue dealt with."""

    resolution: Text


Command: TypeAlias = RaiseIssue | ResolveIssue
Event: TypeAlias = IssueRaised | IssueResolved


class IssueNotKnown(NotKnownYet):
    """No issue is known under this id."""


class IssueAlreadyRaised(Refusal):
    """The issue is already on record, with other particulars."""


def decide(command: Command, issue: Issue) -> tuple[Event, ...]:
    """What follows from a command. Raises IssueNotKnown or IssueAlreadyRaised."""
    match command:
        case RaiseIssue():
            raised = IssueRaised(
                command.project,
                command.portfolio,
                command.kind,
                command.title,
                command.description,
                command.severity,
                command.owner,
                command.risk,
            )
            match issue:
                case NotRaised():
                    return (raised,)
                case Open(raised=before) | Resolved(raised=before) if before == raised:
                    return ()
                case Open(raised=before) | Resolved(raised=before):
                    raise IssueAlreadyRaised(**differences(before, raised))
                case _:
                    assert_never(issue)
        case ResolveIssue(resolution=resolution):
            match issue:
                case NotRaised():
                    raise IssueNotKnown
                case Open(raised=before):
                    return (IssueResolved(before.project, resolution),)
                case Resolved():
                    return ()
                case _:
                    assert_never(issue)
        case _:
            assert_never(command)


def evolve(issue: Issue, event: Event) -> Issue:
    """The issue after an event."""
    match event:
        case IssueRaised():
            return Open(event)
        case IssueResolved():
            assert isinstance(issue, Open)
            return Resolved(issue.raised)
        case _:
            assert_never(event)


ISSUE: Final[Aggregate[Issue, Command, Event]] = Aggregate("issue", NotRaised(), decide, evolve)


def stream_of(risk: RiskId) -> IssueId:
    """The id of the issue that a risk's occurrence raises: a risk occurs once."""
    return IssueId(uuid5(risk, "issue"))
