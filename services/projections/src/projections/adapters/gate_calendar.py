"""The calendar of the gates: what of four read models falls on the days asked for, as rows of one kind."""

from collections.abc import Mapping
from datetime import UTC, date
from typing import Any, Final

from sqlalchemy import (
    Boolean,
    ColumnElement,
    Date,
    DateTime,
    Select,
    Text,
    Uuid,
    and_,
    cast,
    exists,
    func,
    literal,
    not_,
    null,
    or_,
    select,
    union_all,
)

from govkernel.access import NODES, NodeStatus
from govkernel.readmodels import ReadModel, as_of
from projections.adapters.queries import Scope, zone_of
from projections.application.conditions import CONDITIONS, Standing
from projections.application.decision_register import DECISION_REGISTER
from projections.application.figures import Zones
from projections.application.gate_progress import GATE_PROGRESS, Progress
from projections.application.meetings import MEETINGS, MeetingState
from projections.application.milestones import MILESTONES
from projections.application.project_overview import PROJECT_OVERVIEW
from projections.application.reviews import REVIEWS, ReviewState

CALENDAR_MODELS: Final[tuple[ReadModel[Any], ...]] = (
    MEETINGS,
    REVIEWS,
    CONDITIONS,
    MILESTONES,
    PROJECT_OVERVIEW,
    GATE_PROGRESS,
    DECISION_REGISTER,
)
"""What the calendar is read from."""

MOMENT: Final = DateTime(timezone=True)
LIVING: Final = (NodeStatus.ACTIVE.value, NodeStatus.ON_HOLD.value)


def calendar_entries(scope: Scope, zones: Zones, first_day: date, last_day: date) -> Select[Any]:
    """What falls on these days, both included, in the days of each portfolio.

    A milestone that was not reached yet is a planned gate where it has the name of a gate that the project's
    methodology still waits for, or, for a project without one, of a gate that its portfolio has on record.
    """
    models = {model.name: _known(model, scope) for model in CALENDAR_MODELS}
    nodes = _known(NODES, scope)
    # Once for all four: two conditions on what may be seen would be two trees of one name.
    covered = select(nodes.c.node).where(scope.covers(nodes.c.node, nodes.c.portfolio)).cte("covered")
    asked_for = select(covered.c.node)
    meeting, review = models["meetings"].c, models["reviews"].c
    condition, milestone, overview = models["conditions"].c, models["milestones"].c, models["project_overview"].c
    phase, decision = models["gate_progress"].c, models["decision_register"].c
    agenda = func.jsonb_array_elements_text(meeting.projects).column_valued("on_agenda")
    meetings = select(
        *_columns(
            kind="meeting",
            row=meeting,
            zone=zone_of(meeting.portfolio, zones),
            begins=meeting.starts_at,
            ends=meeting.ends_at,
            title=meeting.title,
            place=meeting.place,
        )
    ).where(
        meeting.state != MeetingState.CANCELLED.value,
        or_(
            meeting.portfolio.in_(asked_for),
            exists(select(literal(1)).where(cast(agenda, Uuid).in_(asked_for)).correlate(models["meetings"])),
        ),
    )
    time_limits = select(
        *_columns(
            kind="time_limit",
            row=review,
            zone=zone_of(review.portfolio, zones),
            begins=review.closes_at,
            title=review.question,
            project=review.project,
            gate=review.gate,
        )
    ).where(
        review.state.in_([ReviewState.SUBMITTED.value, ReviewState.OPEN.value]),
        review.closes_at.is_not(None),
        review.project.in_(asked_for),
    )
    due = select(
        *_columns(
            kind="condition",
            row=condition,
            zone=zone_of(condition.portfolio, zones),
            on=condition.due,
            title=condition.text,
            project=condition.project,
            gate=condition.gate,
        )
    ).where(condition.state == Standing.OPEN.value, condition.project.in_(asked_for))
    waited_for = exists(
        select(literal(1)).where(
            phase.project == milestone.project,
            phase.gate == milestone.milestone,
            phase.progress == Progress.WAITING.value,
        )
    )
    has_phases = exists(select(literal(1)).where(phase.project == milestone.project))
    on_record = exists(
        select(literal(1)).where(decision.portfolio == overview.portfolio, decision.gate == milestone.milestone)
    )
    planned = (
        select(
            *_columns(
                kind="planned_gate",
                row=milestone,
                zone=zone_of(overview.portfolio, zones),
                portfolio=overview.portfolio,
                on=milestone.planned,
                title=milestone.milestone,
                project=milestone.project,
                gate=milestone.milestone,
            )
        )
        .join_from(models["milestones"], models["project_overview"], overview.project == milestone.project)
        .where(
            milestone.planned.is_not(None),
            milestone.actual.is_(None),
            overview.status.in_(LIVING),
            or_(waited_for, and_(not_(has_phases), on_record)),
            milestone.project.in_(asked_for),
        )
    )
    together = union_all(meetings, time_limits, due, planned).subquery("calendar")
    return select(together).where(together.c.day.between(first_day, last_day))


def _known(model: ReadModel[Any], scope: Scope) -> Any:
    return as_of(model, as_of=scope.bounds.as_of, recorded_by=scope.bounds.recorded_by).subquery(model.name)


def _columns(
    *,
    kind: str,
    row: Any,
    zone: ColumnElement[str],
    title: ColumnElement[Any],
    portfolio: ColumnElement[Any] | None = None,
    begins: ColumnElement[Any] | None = None,
    on: ColumnElement[Any] | None = None,
    ends: ColumnElement[Any] | None = None,
    place: ColumnElement[Any] | None = None,
    project: ColumnElement[Any] | None = None,
    gate: ColumnElement[Any] | None = None,
) -> list[ColumnElement[Any]]:
    """An entry's columns, of what begins at a moment or is `on` a day, which stands as if it began in UTC."""
    if on is not None:
        begins, day = func.timezone(str(UTC), cast(on, DateTime)), on
    else:
        assert begins is not None
        day = cast(func.timezone(zone, begins), Date)
    wanted: Mapping[str, tuple[Any, Any]] = {
        "begins": (begins, MOMENT),
        "day": (day, Date),
        "all_day": (literal(on is not None), Boolean),
        "ends": (ends, MOMENT),
        "kind": (literal(kind), Text),
        "stream": (row.stream, Uuid),
        "key": (row.key, Text),
        "portfolio": (row.portfolio if portfolio is None else portfolio, Uuid),
        "project": (project, Uuid),
        "gate": (gate, Text),
        "title": (title, Text),
        "place": (place, Text),
        "zone": (zone, Text),
    }
    return [cast(null() if column is None else column, type_).label(name) for name, (column, type_) in wanted.items()]
