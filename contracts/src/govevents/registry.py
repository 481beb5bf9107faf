"""Every event of Gatehouse in one catalogue, and who reads which of them."""

from dataclasses import dataclass
from typing import Final

from govevents import approvals, operations, projections, projects, reporting, risks
from govevents.catalogue import Catalogue
from govevents.event import event_type

CATALOGUE: Final = Catalogue.of_modules(projects, approvals, risks, reporting, projections, operations)

SERVICES: Final = ("projects", "approvals", "risks", "reporting", "projections")


@dataclass(frozen=True, slots=True)
class Subscription:
    """A service reads these events, by full type name, from the topic of a service, which may be its own."""

    reader: str
    source: str
    events: frozenset[str]


def _reads(reader: str, source: str, *events: type[object]) -> Subscription:
    return Subscription(reader, source, frozenset(event_type(each).full_name for each in events))


def _all_of(reader: str, source: str, *, besides: tuple[type[object], ...] = ()) -> Subscription:
    every = {name for name, cls in CATALOGUE.events.items() if event_type(cls).service == source}
    return Subscription(reader, source, frozenset(every - {event_type(each).full_name for each in besides}))


_NODES: Final = (
    projects.PortfolioRegistered,
    projects.ProgrammeRegistered,
    projects.ProgrammeMoved,
    projects.ProjectRegistered,
    projects.CharterAmended,
    projects.ProjectMoved,
    projects.ProjectHeld,
    projects.ProjectResumed,
    projects.ProjectTerminated,
    projects.ProjectCompleted,
)
_ROLES: Final = (approvals.RoleAssigned, approvals.RoleRevoked)

CONSUMERS: Final = (
    # Every service decides for itself who may do what where, and on what, so each one follows the roles and the nodes.
    _reads("projects", "projects", *_NODES),
    _reads(
        "projects",
        "approvals",
        *_ROLES,
        approvals.ReviewConcluded,
        approvals.ConditionClosed,
        approvals.ConditionWaived,
        approvals.ConditionLapsed,
    ),
    _reads("approvals", "projects", *_NODES, projects.GateBreached),
    _reads(
        "approvals",
        "approvals",
        *_ROLES,
        approvals.ReviewDrafted,
        approvals.ReviewSubmitted,
        approvals.DelegationRevoked,
        approvals.ReviewConcluded,
    ),
    _reads("approvals", "projections", projections.KpiMeasured),
    _reads("risks", "projects", *_NODES),
    _reads("risks", "approvals", *_ROLES),
    _reads("risks", "risks", risks.RiskOccurred),
    _reads("reporting", "projects", *_NODES),
    _reads("reporting", "approvals", *_ROLES),
    _reads("reporting", "projections", projections.KpiMeasured),
    # Conditions are read from approvals, which says more of them.
    _all_of("projections", "projects", besides=(projects.ConditionsSet, projects.ConditionSettled)),
    _reads(
        "projections",
        "approvals",
        *_ROLES,
        approvals.BodyFormed,
        approvals.MemberAppointed,
        approvals.MemberReleased,
        approvals.ReviewDrafted,
        approvals.ReviewSubmitted,
        approvals.MeasureNoted,
        approvals.ReviewOpened,
        approvals.EvidenceChanged,
        approvals.VoteCast,
        approvals.VoterRecused,
        approvals.VoteMarked,
        approvals.QuestionAsked,
        approvals.QuestionAnswered,
        approvals.ReviewReminded,
        approvals.ReviewConcluded,
        approvals.ReviewEscalated,
        approvals.ReviewReferred,
        approvals.ReviewWithdrawn,
        approvals.ConditionClosed,
        approvals.ConditionWaived,
        approvals.ConditionReminded,
        approvals.ConditionLapsed,
        approvals.MeetingScheduled,
        approvals.MeetingRescheduled,
        approvals.InviteesChanged,
        approvals.AgendaSet,
        approvals.MeetingOpened,
        approvals.AttendanceRecorded,
        approvals.ItemDisposed,
        approvals.MeetingClosed,
        approvals.MeetingCancelled,
        approvals.DelegationGranted,
        approvals.DelegationRevoked,
        approvals.ReviewRequested,
        approvals.ReviewRequestAccepted,
        approvals.ReviewRequestDeclined,
        approvals.DecisionRecorded,
    ),
    _reads(
        "projections",
        "risks",
        risks.RiskRaised,
        risks.RiskAssessed,
        risks.ResponsePlanned,
        risks.RiskOccurred,
        risks.RiskClosed,
        risks.IssueRaised,
        risks.IssueResolved,
    ),
    _all_of("projections", "reporting"),
)
"""What each service reads, declared. A contract test compares it with the subscriptions in the code."""
