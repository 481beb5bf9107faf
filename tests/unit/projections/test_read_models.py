"""The folds of the read models, over histories with corrections and removals in them."""

from collections.abc import Iterable, Mapping
from datetime import date
from decimal import Decimal
from typing import Any, TypeVar
from uuid import UUID, uuid4

import pytest
from tests.support.streams import Stream
from tests.support.telling import BEGINS, MAX, SOURCE, Teller, aud, day

from govevents import projects, reporting, risks
from govevents.approvals import Outcome, ReviewWithdrawn
from govevents.document import Recorded
from govevents.projects import MilestoneBasis, MilestoneSet
from govevents.values import NodeId, PortfolioId, ProjectId, ReviewId
from govkernel.access import NodeStatus
from govkernel.readmodels import ReadModel
from projections.adapters.queries import PARTS, READ_MODELS
from projections.application.conditions import CONDITIONS, Standing
from projections.application.decision_register import DECISION_REGISTER, Made
from projections.application.gate_progress import GATE_PROGRESS, Progress
from projections.application.issues import ISSUES
from projections.application.latest_reports import LATEST_REPORTS
from projections.application.milestones import MILESTONES
from projections.application.project_overview import PROJECT_OVERVIEW, ProjectOverview
from projections.application.reviews import REVIEWS, ReviewState
from projections.application.risk_register import RISK_REGISTER, RiskState

Row = TypeVar("Row")

PORTFOLIO = uuid4()
REVIEW = ReviewId(uuid4())
teller = Teller()


def fold(model: ReadModel[Row], events: Iterable[Recorded[Any]]) -> Mapping[str, Row]:
    """The rows after these events of one stream, those passed over that the model doesn't subscribe to."""
    rows: Mapping[str, Row] = {}
    for recorded in events:
        if recorded.envelope.type in model.subscribes:
            rows = model.evolve(rows, recorded)
    return rows


def one(model: ReadModel[Row], events: Iterable[Recorded[Any]]) -> Row:
    (row,) = fold(model, events).values()
    return row


class Life:
    """A project and what happens to it."""

    def __init__(self, **registered: Any) -> None:
        self.stream, first = teller.project(PORTFOLIO, **registered)
        self.events = [first]

    def then(self, *events: object) -> "Life":
        """Let these happen, a day after each other."""
        for event in events:
            self.events.append(teller.at(self.stream, day(len(self.events)), event))
        return self

    @property
    def overview(self) -> ProjectOverview:
        return one(PROJECT_OVERVIEW, self.events)

    @property
    def progress(self) -> list[Progress]:
        return [each.progress for each in fold(GATE_PROGRESS, self.events).values()]


def seen(on: date, phase: str | None = None, forecast: str | None = None) -> projects.ProjectObserved:
    return projects.ProjectObserved(on, phase, aud(forecast) if forecast else None, None, None, None, SOURCE)


def test_a_silent_report_leaves_what_was_known_and_a_late_one_only_fills_in() -> None:
    life = Life(methodology=None).then(
        seen(date(2016, 2, 1), forecast="100"),
        seen(date(2016, 6, 1), "Design"),
        seen(date(2016, 4, 1), "Procurement", "90"),
    )
    known = life.overview
    assert (known.reported_on, known.phase, known.budget_forecast) == (date(2016, 6, 1), "Design", aud("100"))


def test_a_phase_is_shown_by_its_name_and_goes_back_where_it_is_returned() -> None:
    life = Life().then(projects.PhaseStarted("initiation"), projects.PhaseStarted("planning"))
    assert life.overview.phase == "Planning"
    assert life.then(projects.PhaseReturned("initiation", "G2", REVIEW)).overview.phase == "Initiation"


def test_an_amended_charter_a_move_and_the_end_of_a_project_are_seen() -> None:
    charter = projects.Charter("Otherwise.", MAX, None, aud("9"))
    programme = NodeId(uuid4())
    life = Life().then(
        projects.CharterAmended(charter, "Cheaper"), projects.ProjectMoved(PortfolioId(PORTFOLIO), programme)
    )
    known = life.overview
    assert (known.purpose, known.sponsor, known.manager, known.value, known.parent) == (
        "Otherwise.",
        MAX,
        None,
        aud("9"),
        programme,
    )
    turns = (
        projects.ProjectHeld("Money", None),
        projects.ProjectResumed("Found"),
        projects.ProjectTerminated("Lost", None),
    )
    statuses = [life.then(event).overview.status for event in turns]
    assert statuses == [NodeStatus.ON_HOLD, NodeStatus.ACTIVE, NodeStatus.TERMINATED]
    assert Life().then(projects.ProjectCompleted("Done", None)).overview.status is NodeStatus.COMPLETED


def test_a_plan_stays_on_record_when_its_milestone_is_reached_and_can_be_corrected() -> None:
    life = Life().then(
        MilestoneSet("Wharf", MilestoneBasis.PLANNED, date(2026, 9, 1), None),
        MilestoneSet("Wharf", MilestoneBasis.ACTUAL, date(2026, 10, 1), None),
        MilestoneSet("Wharf", MilestoneBasis.PLANNED, date(2026, 9, 2), None),
    )
    row = one(MILESTONES, life.events)
    assert (row.planned, row.actual) == (date(2026, 9, 2), date(2026, 10, 1))


def test_phases_come_forward_by_their_gates_and_fall_back_when_returned() -> None:
    life = Life()
    waiting, begun, complete = Progress.WAITING, Progress.IN_PROGRESS, Progress.COMPLETE
    assert life.progress == [waiting, waiting, waiting]
    life.then(projects.PhaseStarted("initiation"), projects.PhaseCompleted("initiation"))
    life.then(projects.PhaseAuthorised("planning", "G1", REVIEW))
    assert life.progress == [complete, Progress.AUTHORISED, waiting]
    assert fold(GATE_PROGRESS, life.events)["planning"].review == REVIEW
    life.then(projects.PhaseStarted("planning"), projects.PhaseReturned("initiation", "G2", ReviewId(uuid4())))
    rows = fold(GATE_PROGRESS, life.events)
    assert life.progress == [begun, waiting, waiting]
    assert (rows["planning"].review, rows["planning"].reached) == (None, day(5))
    assert rows["delivery"].reached == BEGINS, "it waited before, and waits on"


def test_a_project_without_methodology_has_no_phases() -> None:
    assert fold(GATE_PROGRESS, Life(methodology=None).events) == {}


def a_review(project: UUID, **concluded: Any) -> tuple[Stream, list[Recorded[Any]]]:
    stream, opened = teller.submitted(PORTFOLIO, project, day(1))
    return stream, [*opened, *teller.concluded(stream, PORTFOLIO, project, day(3), **concluded)]


def test_a_decision_says_whether_it_was_voted_here_or_brought_in() -> None:
    project = uuid4()
    _, events = a_review(project, outcome=Outcome.HOLD)
    voted = one(DECISION_REGISTER, events)
    assert (voted.made, voted.outcome, voted.decided_at, voted.decided_on) == (
        Made.VOTED_HERE,
        Outcome.HOLD,
        day(3),
        None,
    )
    brought = one(DECISION_REGISTER, [teller.brought_in(PORTFOLIO, project, "BCA", date(2020, 5, 1))])
    assert (brought.made, brought.outcome, brought.decided_at, brought.decided_on) == (
        Made.BROUGHT_IN,
        None,
        None,
        date(2020, 5, 1),
    )
    assert (brought.body_name, brought.tally) == ("MW Board", None)


def test_a_person_who_votes_again_is_counted_once() -> None:
    project = uuid4()
    stream, events = a_review(project)
    row = one(REVIEWS, [*events[:3], events[2]])
    assert (row.state, row.votes, row.votes_needed) == (ReviewState.OPEN, 1, 1)
    ended = one(REVIEWS, events)
    assert (ended.state, ended.outcome, ended.submitted_at, ended.ended_at) == (
        ReviewState.CONCLUDED,
        Outcome.GO,
        day(1),
        day(3),
    )
    withdrawn = teller.at(stream, day(4), ReviewWithdrawn(ProjectId(project), "Too early."))
    assert one(REVIEWS, [*events[:2], withdrawn]).state is ReviewState.WITHDRAWN


def test_conditions_are_set_by_a_conclusion_and_closed_one_by_one() -> None:
    project = uuid4()
    stream, events = a_review(project, due=date(2026, 4, 1))
    assert one(CONDITIONS, events).state is Standing.OPEN
    met = teller.condition_met(stream, project, day(9))
    row = one(CONDITIONS, [*events, met])
    assert (row.review, row.number, row.set_at, row.ended_at, row.remark) == (
        stream.stream,
        1,
        day(3),
        day(9),
        "Signed.",
    )
    assert fold(CONDITIONS, a_review(project)[1]) == {}


def test_a_risk_remembers_where_it_lay_before_its_last_assessment() -> None:
    project = uuid4()
    stream, raised = teller.risk(PORTFOLIO, project, day(1))
    events = [raised, teller.assessed(stream, project, day(2), 2, 3), teller.assessed(stream, project, day(3), 5, 4)]
    row = one(RISK_REGISTER, events)
    assert row.current is not None
    assert row.current_before is not None
    assert (row.current.probability, row.current.impact, row.current.score) == (5, 4, Decimal("0.8"))
    assert (row.current_before.probability, row.current_before.impact) == (2, 3)
    assert (row.inherent, row.target) == (None, None)
    closed = teller.at(stream, day(4), risks.RiskClosed(ProjectId(project), "Gone."))
    assert one(RISK_REGISTER, [*events, closed]).state is RiskState.CLOSED


def test_an_issue_is_open_until_it_is_resolved() -> None:
    project = ProjectId(uuid4())
    stream = teller.stream("risks", day(1))
    raised = risks.IssueRaised(
        project, PortfolioId(PORTFOLIO), risks.IssueKind.PROBLEM, "Leak", "Wet.", risks.Severity.HIGH, MAX, None
    )
    events = [teller.at(stream, day(1), raised)]
    assert one(ISSUES, events).resolved_at is None
    events.append(teller.at(stream, day(2), risks.IssueResolved(project, "Dry.")))
    assert (one(ISSUES, events).resolved_at, one(ISSUES, events).resolution) == (day(2), "Dry.")


def test_a_new_edition_of_a_report_has_neither_the_figures_nor_the_signatures_of_the_old() -> None:
    project = ProjectId(uuid4())
    stream, drafted = teller.report(PORTFOLIO, project, day(1), month=3, rating=reporting.Rating.GREEN)
    events = [
        drafted,
        teller.at(
            stream,
            day(2),
            reporting.FigureTaken(project, 1, f"{uuid4()}@1", "conditions_open", 1, Decimal(2), "conditions", None),
        ),
        teller.at(
            stream, day(3), reporting.StatusReportSignedOff(project, 1, reporting.Signatory.MANAGER, MAX, "Mine.")
        ),
    ]
    row = one(LATEST_REPORTS, events)
    assert ([each.value for each in row.figures], row.manager_signed_at, row.sponsor_signed_at) == (
        [Decimal(2)],
        day(3),
        None,
    )
    corrected = reporting.StatusReportDrafted(
        **{name: getattr(drafted.event, name) for name in type(drafted.event).__dataclass_fields__} | {"edition": 2}
    )
    late = reporting.FigureTaken(project, 1, f"{uuid4()}@1", "budget_forecast", 1, None, "AUD", "none")
    again = one(LATEST_REPORTS, [*events, teller.at(stream, day(4), corrected), teller.at(stream, day(5), late)])
    assert (again.edition, again.figures, again.manager_signed_at) == (2, (), None)


@pytest.mark.parametrize("model", READ_MODELS, ids=lambda model: model.name)
def test_what_another_kind_of_stream_says_makes_no_row(model: ReadModel[Any]) -> None:
    _, heard = teller.portfolio()
    assert model.evolve({}, heard) == {}


def test_a_part_has_fields_of_its_row_only() -> None:
    for part, model in PARTS.items():
        assert set(part.__dataclass_fields__) <= set(model.row.__dataclass_fields__)
