"""Gate meetings as they are planned now: when, where, and over which projects' reviews."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from enum import Enum
from typing import Any, Final

from govevents import approvals
from govevents.document import Recorded
from govevents.values import value
from govkernel.domain import BodyId, Code, Name, PortfolioId, ProjectId, ReviewId, SubjectId, Text
from govkernel.readmodels import ReadModel


class MeetingState(Enum):
    """Whether a meeting is still to come."""

    SCHEDULED = "scheduled"
    IN_SESSION = "in_session"
    CLOSED = "closed"
    CANCELLED = "cancelled"


@value
class Meeting:
    """A gate meeting; `reviews` is its agenda in order, and `projects` those that it looks at, each once."""

    portfolio: PortfolioId
    body: BodyId | None
    title: Name
    starts_at: datetime
    ends_at: datetime
    time_zone: Code
    place: Text
    chair: SubjectId
    state: MeetingState = MeetingState.SCHEDULED
    revision: int = 0
    reviews: tuple[ReviewId, ...] = ()
    projects: tuple[ProjectId, ...] = ()


def evolve(rows: Mapping[str, Meeting], recorded: Recorded[Any]) -> Mapping[str, Meeting]:
    """One stream is one meeting; of other streams there is nothing here."""
    key = str(recorded.envelope.stream)
    match recorded.event:
        case approvals.MeetingScheduled() as scheduled:
            made = Meeting(
                portfolio=scheduled.portfolio,
                body=scheduled.body,
                title=scheduled.title,
                starts_at=scheduled.starts_at,
                ends_at=scheduled.ends_at,
                time_zone=scheduled.time_zone,
                place=scheduled.place,
                chair=scheduled.chair,
            )
            return {key: made}
        case event:
            return {key: _changed(known, event) for key, known in rows.items()}


def _changed(known: Meeting, event: Any) -> Meeting:
    match event:
        case approvals.MeetingRescheduled(starts_at=starts_at, ends_at=ends_at, place=place):
            revision = known.revision + 1
            return replace(known, starts_at=starts_at, ends_at=ends_at, place=place, revision=revision)
        case approvals.AgendaSet(items=items):
            projects = tuple(dict.fromkeys(item.project for item in items))
            return replace(known, reviews=tuple(item.review for item in items), projects=projects)
        case approvals.MeetingOpened():
            return replace(known, state=MeetingState.IN_SESSION)
        case approvals.MeetingClosed():
            return replace(known, state=MeetingState.CLOSED)
        case approvals.MeetingCancelled():
            return replace(known, state=MeetingState.CANCELLED)
        case _:
            return known


MEETINGS: Final = ReadModel(
    name="meetings",
    service="approvals",
    version=1,
    row=Meeting,
    events=(
        approvals.MeetingScheduled,
        approvals.MeetingRescheduled,
        approvals.AgendaSet,
        approvals.MeetingOpened,
        approvals.MeetingClosed,
        approvals.MeetingCancelled,
    ),
    evolve=evolve,
    indexes=(("portfolio", "starts_at"),),
)
