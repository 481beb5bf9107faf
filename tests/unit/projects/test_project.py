from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from uuid import UUID

import pytest

from govevents.projects import (
    Attribute,
    Charter,
    CharterAmended,
    ConditionSettled,
    ConditionsSet,
    Delivery,
    GateBreached,
    Methodology,
    MilestoneBasis,
    MilestoneSet,
    Phase,
    PhaseAuthorised,
    PhaseCompleted,
    PhaseReturned,
    PhaseStarted,
    ProjectCompleted,
    ProjectHeld,
    ProjectMoved,
    ProjectObserved,
    ProjectRegistered,
    ProjectResumed,
    ProjectTerminated,
)
from govkernel.domain import Money, NodeId, PortfolioId, ReviewId, Source, Specification, SubjectId
from projects.domain.portfolio import ParentNotKnown, ParentOfAnotherPortfolio
from projects.domain.project import (
    PROJECT,
    Active,
    AmendCharter,
    BudgetInOtherCurrency,
    ClosureWithOpenConditions,
    Command,
    Completed,
    CompletePhase,
    CompleteProject,
    GateNotOfProject,
    HeedClosure,
    HeedGate,
    HeedLapse,
    HeedReview,
    HoldProject,
    LapsedConditionOpen,
    MethodologyUnclear,
    MilestoneNotYetReached,
    MoveProject,
    ObservationDiffers,
    OnHold,
    PhaseAlreadyComplete,
    PhaseBeforeNotComplete,
    PhaseNotAuthorised,
    PhaseNotOfProject,
    PhaseNotStarted,
    PhasesNotComplete,
    ProjectAlreadyRegistered,
    ProjectEnded,
    ProjectNotKnown,
    ProjectOnHold,
    RecordObservation,
    RegisterProject,
    ReportWork,
    ResumeProject,
    SetMilestone,
    SettleCondition,
    StartPhase,
    TerminateProject,
    Verdict,
    WorkNotYetBegun,
    stream_of,
)

project = Specification(PROJECT)

PORTFOLIO = PortfolioId(UUID(int=1))
TOP = NodeId(PORTFOLIO)
OTHER = NodeId(UUID(int=2))
ANA = SubjectId(UUID(int=3))
REVIEW, LATER_REVIEW = ReviewId(UUID(int=4)), ReviewId(UUID(int=5))
TODAY = date(2026, 1, 1)
NOON, EARLIER = datetime(2026, 1, 1, 12, tzinfo=UTC), datetime(2025, 6, 2, 9, tzinfo=UTC)
SOURCE = Source("report.csv", "a" * 64, 7)
LATER_SOURCE = Source("newer report.csv", "b" * 64, 7)

CHARTER = Charter("Replace the main before it bursts.", ANA, None, Money(Decimal(2_500_000), "AUD"))
# Wrap-up has no gate of its own: it follows the phase before it.
WATERFALL = Methodology(
    "waterfall",
    1,
    Delivery.WATERFALL,
    (
        Phase("initiation", "Initiation", None),
        Phase("design", "Design", "G1"),
        Phase("build", "Build", "G2"),
        Phase("wrap-up", "Wrap-up", None),
    ),
)

REGISTER = RegisterProject(
    PORTFOLIO, TOP, PORTFOLIO, "Q1", "Main 12", CHARTER, WATERFALL, (Attribute("owner", "Ops"),), SOURCE
)
REGISTERED = ProjectRegistered(
    PORTFOLIO, TOP, "Q1", "Main 12", CHARTER, WATERFALL, (Attribute("owner", "Ops"),), SOURCE
)
IMPORTED = replace(REGISTERED, methodology=None)

AT_DESIGN = (
    REGISTERED,
    PhaseStarted("initiation"),
    PhaseCompleted("initiation"),
    PhaseAuthorised("design", "G1", ReviewId(UUID(int=11)), EARLIER),
    PhaseStarted("design"),
)
AT_BUILD = (
    *AT_DESIGN,
    PhaseCompleted("design"),
    PhaseAuthorised("build", "G2", ReviewId(UUID(int=12)), EARLIER),
    PhaseStarted("build"),
)
FINISHED = (*AT_BUILD, PhaseCompleted("build"), PhaseStarted("wrap-up"), PhaseCompleted("wrap-up"))

HELD = ProjectHeld("No money.", None)
TERMINATED = ProjectTerminated("No need.", None)
COMPLETED = ProjectCompleted("Done.", None)


def heed(gate: str, review: ReviewId, verdict: Verdict, *, conditions: int = 0) -> HeedGate:
    return HeedGate(gate, review, verdict, NOON, conditions)


def heed_closure(review: ReviewId, verdict: Verdict, *, conditions: int = 0) -> HeedClosure:
    return HeedClosure(review, verdict, NOON, conditions)


def heed_change(review: ReviewId, verdict: Verdict, *, conditions: int = 0) -> HeedReview:
    return HeedReview("a change", review, verdict, conditions)


def test_a_project_is_registered_with_its_charter_and_methodology() -> None:
    project.given().when(REGISTER).then(REGISTERED)


def test_its_reference_makes_its_id_so_that_it_cannot_be_registered_twice() -> None:
    assert stream_of(PORTFOLIO, "Q1") == stream_of(PORTFOLIO, "Q1")
    assert stream_of(PORTFOLIO, "Q1") != stream_of(PORTFOLIO, "Q2")
    assert stream_of(PORTFOLIO, "Q1") != stream_of(PortfolioId(UUID(int=9)), "Q1")


def test_registering_the_same_project_again_adds_nothing_whatever_happened_since() -> None:
    amended = CharterAmended(replace(CHARTER, manager=ANA), "A manager was found.")
    project.given(REGISTERED, amended, ProjectMoved(PORTFOLIO, OTHER), TERMINATED).when(REGISTER).then_nothing()


def test_the_same_particulars_from_another_file_are_the_same_project() -> None:
    project.given(REGISTERED).when(replace(REGISTER, source=LATER_SOURCE)).then_nothing()


def test_registering_it_with_other_particulars_is_refused_and_names_them() -> None:
    refusal = (
        project.given(REGISTERED)
        .when(replace(REGISTER, name="Main 13", methodology=None))
        .then_refused(ProjectAlreadyRegistered)
    )
    assert set(refusal.facts) == {"name", "methodology"}
    assert refusal.facts["name"] == "Main 12 on record, Main 13 given"


def test_its_parent_has_to_be_known_and_in_the_same_portfolio() -> None:
    elsewhere = PortfolioId(UUID(int=9))
    project.given().when(replace(REGISTER, parent_portfolio=None)).then_refused(ParentNotKnown)
    project.given().when(replace(REGISTER, parent_portfolio=elsewhere)).then_refused(ParentOfAnotherPortfolio)
    project.given(REGISTERED).when(MoveProject(OTHER, elsewhere)).then_refused(ParentOfAnotherPortfolio)


@pytest.mark.parametrize(
    "phases",
    [
        (),
        (Phase("design", "Design", None), Phase("design", "Design again", "G1")),
        (Phase("design", "Design", "G1"), Phase("build", "Build", "G1")),
    ],
    ids=["no phase", "a phase twice", "a gate twice"],
)
def test_a_methodology_is_unclear_with(phases: tuple[Phase, ...]) -> None:
    unclear = replace(REGISTER, methodology=replace(WATERFALL, phases=phases))
    project.given().when(unclear).then_refused(MethodologyUnclear)


@pytest.mark.parametrize(
    "command",
    [
        AmendCharter(CHARTER, ""),
        MoveProject(OTHER, PORTFOLIO),
        StartPhase("design"),
        CompletePhase("design"),
        HoldProject(""),
        ResumeProject(""),
        TerminateProject(""),
        CompleteProject(""),
        ReportWork("design", TODAY, NOON, NOON + timedelta(days=1), TODAY, ANA, ""),
        heed("G1", REVIEW, Verdict.GO),
        heed_closure(REVIEW, Verdict.GO),
        heed_closure(REVIEW, Verdict.CONDITIONAL_GO, conditions=1),
        heed_change(REVIEW, Verdict.HOLD),
        heed_change(REVIEW, Verdict.CONDITIONAL_GO, conditions=1),
        SettleCondition(REVIEW, 1),
        HeedLapse(REVIEW, 1, TODAY),
        RecordObservation(date(2014, 5, 1), None, None, None, None, None, SOURCE),
        SetMilestone("tender", MilestoneBasis.ACTUAL, date(2014, 5, 1), None, TODAY),
    ],
    ids=lambda command: type(command).__name__,
)
def test_nothing_but_registration_is_decided_for_an_unknown_project(command: Command) -> None:
    project.given().when(command).then_refused(ProjectNotKnown)


def test_a_charter_is_amended_with_a_reason() -> None:
    better = replace(CHARTER, manager=ANA)
    project.given(REGISTERED).when(AmendCharter(better, "A manager was found.")).then(
        CharterAmended(better, "A manager was found.")
    )


def test_amending_a_charter_to_what_it_says_adds_nothing() -> None:
    project.given(REGISTERED).when(AmendCharter(CHARTER, "Again.")).then_nothing()


def test_a_project_moves_also_after_its_end() -> None:
    project.given(REGISTERED).when(MoveProject(OTHER, PORTFOLIO)).then(ProjectMoved(PORTFOLIO, OTHER))
    project.given(*FINISHED, COMPLETED).when(MoveProject(OTHER, PORTFOLIO)).then(ProjectMoved(PORTFOLIO, OTHER))


def test_moving_a_project_to_where_it_stands_adds_nothing() -> None:
    project.given(REGISTERED, ProjectMoved(PORTFOLIO, OTHER)).when(MoveProject(OTHER, PORTFOLIO)).then_nothing()


def test_a_first_phase_without_a_gate_may_begin_at_once() -> None:
    project.given(REGISTERED).when(StartPhase("initiation")).then(PhaseStarted("initiation"))


def test_a_phase_begins_when_its_gate_has_said_so_even_before_the_one_before_is_complete() -> None:
    authorised = PhaseAuthorised("build", "G2", REVIEW, NOON)
    project.given(*AT_DESIGN, authorised).when(StartPhase("build")).then(PhaseStarted("build"))


def test_a_phase_does_not_begin_before_its_gate_has_said_so() -> None:
    refusal = (
        project.given(*AT_DESIGN, PhaseCompleted("design")).when(StartPhase("build")).then_refused(PhaseNotAuthorised)
    )
    assert refusal.facts == {"gate": "G2"}


def test_a_phase_without_a_gate_begins_when_the_one_before_it_is_complete() -> None:
    project.given(*AT_BUILD).when(StartPhase("wrap-up")).then_refused(PhaseBeforeNotComplete)
    project.given(*AT_BUILD, PhaseCompleted("build")).when(StartPhase("wrap-up")).then(PhaseStarted("wrap-up"))


def test_starting_a_phase_in_progress_adds_nothing() -> None:
    project.given(*AT_DESIGN).when(StartPhase("design")).then_nothing()
    project.given(*AT_DESIGN, HELD).when(StartPhase("design")).then_nothing()


def test_a_complete_phase_is_not_started_again() -> None:
    project.given(*AT_BUILD).when(StartPhase("design")).then_refused(PhaseAlreadyComplete)


def test_a_phase_that_the_methodology_does_not_have_is_refused_by_name() -> None:
    refusal = project.given(REGISTERED).when(StartPhase("paint")).then_refused(PhaseNotOfProject)
    assert refusal.facts == {"phase": "paint", "phases": "initiation, design, build, wrap-up"}
    project.given(REGISTERED).when(CompletePhase("paint")).then_refused(PhaseNotOfProject)
    project.given(IMPORTED).when(StartPhase("design")).then_refused(PhaseNotOfProject)


def test_a_phase_in_progress_is_completed_once() -> None:
    project.given(*AT_DESIGN).when(CompletePhase("design")).then(PhaseCompleted("design"))
    project.given(*AT_DESIGN).when(CompletePhase("design"), CompletePhase("design")).then_nothing()


def test_a_phase_that_has_not_begun_is_not_completed() -> None:
    project.given(REGISTERED).when(CompletePhase("design")).then_refused(PhaseNotStarted)
    project.given(REGISTERED, PhaseAuthorised("design", "G1", REVIEW, NOON)).when(CompletePhase("design")).then_refused(
        PhaseNotStarted
    )


def test_a_project_on_hold_starts_completes_and_ends_nothing_until_it_is_resumed() -> None:
    project.given(*AT_DESIGN, HELD).when(CompletePhase("design")).then_refused(ProjectOnHold)
    project.given(REGISTERED, HELD).when(StartPhase("initiation")).then_refused(ProjectOnHold)
    project.given(*FINISHED, HELD).when(CompleteProject("Done.")).then_refused(ProjectOnHold)
    project.given(*AT_DESIGN, HELD, ProjectResumed("Money.")).when(CompletePhase("design")).then(
        PhaseCompleted("design")
    )


def test_a_project_is_held_and_resumed_once() -> None:
    project.given(REGISTERED).when(HoldProject("No money.")).then(HELD)
    project.given(REGISTERED, HELD).when(HoldProject("Still none.")).then_nothing()
    project.given(REGISTERED, HELD).when(ResumeProject("Money.")).then(ProjectResumed("Money."))
    project.given(REGISTERED).when(ResumeProject("Money.")).then_nothing()


def test_a_project_is_terminated_once_also_from_hold() -> None:
    project.given(REGISTERED, HELD).when(TerminateProject("No need.")).then(TERMINATED)
    project.given(REGISTERED, TERMINATED).when(TerminateProject("Again.")).then_nothing()


def test_a_project_is_complete_when_its_last_phase_is() -> None:
    project.given(*FINISHED).when(CompleteProject("Done.")).then(COMPLETED)
    project.given(*FINISHED, COMPLETED).when(CompleteProject("Done.")).then_nothing()


def test_a_project_with_work_left_is_not_complete() -> None:
    refusal = project.given(*AT_BUILD).when(CompleteProject("Done.")).then_refused(PhasesNotComplete)
    assert refusal.facts == {"phases": "build, wrap-up"}


def test_an_imported_project_without_known_phases_has_none_that_could_be_unfinished() -> None:
    project.given(IMPORTED).when(CompleteProject("Done.")).then(COMPLETED)


@pytest.mark.parametrize("ended", [TERMINATED, COMPLETED], ids=["terminated", "completed"])
@pytest.mark.parametrize(
    "command",
    [
        AmendCharter(replace(CHARTER, manager=ANA), ""),
        StartPhase("initiation"),
        CompletePhase("initiation"),
        HoldProject(""),
        ResumeProject(""),
        heed("G1", REVIEW, Verdict.GO),
        heed("G1", REVIEW, Verdict.HOLD),
        heed("G1", REVIEW, Verdict.RECYCLE),
        heed_closure(REVIEW, Verdict.CONDITIONAL_GO, conditions=1),
        heed_change(REVIEW, Verdict.HOLD),
        heed_change(REVIEW, Verdict.CONDITIONAL_GO, conditions=1),
        HeedLapse(REVIEW, 1, TODAY),
    ],
    ids=lambda command: f"{type(command).__name__}",
)
def test_an_ended_project_stays_ended(command: Command, ended: ProjectTerminated | ProjectCompleted) -> None:
    project.given(*FINISHED, ended).when(command).then_refused(ProjectEnded)


def test_a_project_ends_in_one_way_only() -> None:
    project.given(*FINISHED, TERMINATED).when(CompleteProject("Done.")).then_refused(ProjectEnded)
    project.given(*FINISHED, COMPLETED).when(TerminateProject("No need.")).then_refused(ProjectEnded)
    project.given(*FINISHED, COMPLETED).when(heed("G1", REVIEW, Verdict.KILL)).then_refused(ProjectEnded)


@pytest.mark.parametrize("verdict", [Verdict.GO, Verdict.CONDITIONAL_GO])
def test_a_gate_that_goes_authorises_the_phase_behind_it(verdict: Verdict) -> None:
    project.given(*AT_DESIGN).when(heed("G2", REVIEW, verdict)).then(PhaseAuthorised("build", "G2", REVIEW, NOON))


def test_a_gate_that_goes_again_adds_nothing() -> None:
    go = heed("G2", REVIEW, Verdict.GO)
    project.given(*AT_DESIGN).when(go, go).then_nothing()
    project.given(*AT_DESIGN).when(go, heed("G2", LATER_REVIEW, Verdict.GO)).then_nothing()


def test_a_go_while_on_hold_authorises_but_does_not_resume() -> None:
    decided = project.given(*AT_DESIGN, HELD).when(heed("G2", REVIEW, Verdict.GO))
    decided.then(PhaseAuthorised("build", "G2", REVIEW, NOON))
    assert isinstance(decided.then_state(), OnHold)


def test_a_gate_that_holds_holds_the_project() -> None:
    hold = heed("G2", REVIEW, Verdict.HOLD)
    project.given(*AT_DESIGN).when(hold).then(ProjectHeld("The review of gate G2 came to Hold.", REVIEW))
    project.given(*AT_DESIGN).when(hold, heed("G2", LATER_REVIEW, Verdict.HOLD)).then_nothing()


def test_an_outcome_that_was_followed_is_not_followed_again_after_the_project_was_resumed() -> None:
    hold = heed("G2", REVIEW, Verdict.HOLD)
    project.given(*AT_DESIGN).when(hold, ResumeProject("Money."), hold).then_nothing()


def test_a_gate_that_recycles_returns_the_project_to_the_phase_before_it() -> None:
    recycle = heed("G2", REVIEW, Verdict.RECYCLE)
    returned = PhaseReturned("design", "G2", REVIEW, NOON)
    project.given(*AT_DESIGN, PhaseCompleted("design")).when(recycle).then(returned)
    project.given(*AT_DESIGN, PhaseCompleted("design"), returned).when(CompletePhase("design")).then(
        PhaseCompleted("design")
    )


def test_after_a_recycle_the_phases_behind_the_gate_need_their_gates_anew() -> None:
    returned = PhaseReturned("design", "G2", REVIEW, NOON)
    project.given(*AT_BUILD, returned).when(StartPhase("build")).then_refused(PhaseNotAuthorised)
    project.given(*AT_BUILD, returned).when(heed("G2", LATER_REVIEW, Verdict.GO)).then(
        PhaseAuthorised("build", "G2", LATER_REVIEW, NOON)
    )


def test_a_recycle_to_a_phase_that_never_began_gives_it_no_authority() -> None:
    project.given(REGISTERED).when(heed("G2", REVIEW, Verdict.RECYCLE), StartPhase("design")).then_refused(
        PhaseNotAuthorised
    )


def test_a_recycle_at_a_first_gate_has_no_phase_to_return_to() -> None:
    gated = replace(WATERFALL, phases=WATERFALL.phases[1:])
    project.given(replace(REGISTERED, methodology=gated)).when(heed("G1", REVIEW, Verdict.RECYCLE)).then_nothing()


def test_a_gate_that_kills_terminates_the_project() -> None:
    kill = heed("G2", REVIEW, Verdict.KILL)
    killed = ProjectTerminated("The review of gate G2 came to Kill.", REVIEW)
    project.given(*AT_DESIGN).when(kill).then(killed)
    project.given(*AT_DESIGN, HELD).when(kill).then(killed)
    project.given(*AT_DESIGN, TERMINATED).when(kill).then_nothing()


@pytest.mark.parametrize("verdict", list(Verdict))
def test_a_gate_that_the_project_does_not_have_is_refused_by_name(verdict: Verdict) -> None:
    refusal = project.given(REGISTERED).when(heed("G7", REVIEW, verdict)).then_refused(GateNotOfProject)
    assert refusal.facts == {"gate": "G7", "gates": "G1, G2"}
    project.given(IMPORTED).when(heed("G1", REVIEW, verdict)).then_refused(GateNotOfProject)


def test_a_closure_that_goes_completes_the_project() -> None:
    completed = ProjectCompleted("The review of the closure came to Go.", REVIEW)
    project.given(*FINISHED).when(heed_closure(REVIEW, Verdict.GO)).then(completed)
    project.given(*FINISHED, completed).when(heed_closure(REVIEW, Verdict.GO)).then_nothing()


def test_a_closure_completes_no_project_with_work_left_or_on_hold() -> None:
    project.given(*AT_BUILD).when(heed_closure(REVIEW, Verdict.GO)).then_refused(PhasesNotComplete)
    project.given(*FINISHED, HELD).when(heed_closure(REVIEW, Verdict.GO)).then_refused(ProjectOnHold)


def test_a_closure_with_conditions_keeps_them_and_closes_nothing_until_a_later_review_goes() -> None:
    conditional, later = (
        heed_closure(REVIEW, Verdict.CONDITIONAL_GO, conditions=2),
        heed_closure(LATER_REVIEW, Verdict.GO),
    )
    both, met = ConditionsSet(REVIEW, 2), (ConditionSettled(REVIEW, 1), ConditionSettled(REVIEW, 2))
    project.given(*FINISHED).when(conditional).then(both)
    project.given(*FINISHED, both).when(conditional).then_nothing()
    project.given(*FINISHED, both, *met).when(conditional).then_nothing()
    assert isinstance(project.given(*FINISHED, both, *met).when(conditional).then_state(), Active)
    project.given(*FINISHED, both).when(later).then_refused(ClosureWithOpenConditions)
    project.given(*FINISHED, both, *met).when(later).then(
        ProjectCompleted("The review of the closure came to Go.", LATER_REVIEW)
    )


def test_a_closure_that_does_not_go_holds_returns_or_terminates() -> None:
    given = project.given(*FINISHED)
    given.when(heed_closure(REVIEW, Verdict.HOLD)).then(ProjectHeld("The review of the closure came to Hold.", REVIEW))
    given.when(heed_closure(REVIEW, Verdict.RECYCLE)).then(PhaseReturned("wrap-up", None, REVIEW, NOON))
    given.when(heed_closure(REVIEW, Verdict.KILL)).then(
        ProjectTerminated("The review of the closure came to Kill.", REVIEW)
    )


def test_a_conditional_go_keeps_its_conditions_open_until_each_is_met_or_waived() -> None:
    go = heed("G2", REVIEW, Verdict.CONDITIONAL_GO, conditions=2)
    both = ConditionsSet(REVIEW, 2)
    project.given(*AT_DESIGN).when(go).then(PhaseAuthorised("build", "G2", REVIEW, NOON), both)
    project.given(*AT_DESIGN, both).when(go).then_nothing()
    met = ConditionSettled(REVIEW, 1)
    project.given(*AT_DESIGN, both).when(SettleCondition(REVIEW, 1)).then(met)
    project.given(*AT_DESIGN, both, met).when(SettleCondition(REVIEW, 1)).then_nothing()
    project.given(*AT_DESIGN, both).when(SettleCondition(LATER_REVIEW, 1)).then_nothing()


def test_conditions_count_also_where_the_gate_had_gone_before() -> None:
    go = heed("G2", LATER_REVIEW, Verdict.CONDITIONAL_GO, conditions=1)
    project.given(*AT_BUILD).when(go).then(ConditionsSet(LATER_REVIEW, 1))
    project.given(*AT_BUILD).when(go, go).then_nothing()


def test_conditions_of_any_other_review_are_kept_too() -> None:
    kept = heed_change(REVIEW, Verdict.CONDITIONAL_GO, conditions=3)
    project.given(*AT_BUILD).when(kept).then(ConditionsSet(REVIEW, 3))
    project.given(*AT_BUILD).when(kept, SettleCondition(REVIEW, 3), kept).then_nothing()


def test_a_review_of_any_other_kind_that_kills_terminates_the_project() -> None:
    kill, killed = heed_change(REVIEW, Verdict.KILL), ProjectTerminated("The review of a change came to Kill.", REVIEW)
    project.given(*AT_BUILD).when(kill).then(killed)
    project.given(*AT_BUILD, HELD).when(kill).then(killed)
    project.given(*AT_BUILD, killed).when(kill).then_nothing()
    project.given(*FINISHED, COMPLETED).when(kill).then_refused(ProjectEnded)


def test_a_review_of_any_other_kind_that_holds_holds_the_project_once() -> None:
    hold, held = heed_change(REVIEW, Verdict.HOLD), ProjectHeld("The review of a change came to Hold.", REVIEW)
    project.given(IMPORTED).when(hold).then(held)
    project.given(*AT_BUILD, HELD).when(hold).then_nothing()
    project.given(*AT_BUILD).when(hold, ResumeProject("Money."), hold).then_nothing()


@pytest.mark.parametrize("verdict", [Verdict.GO, Verdict.RECYCLE])
@pytest.mark.parametrize("ends", [(), (TERMINATED,)])
def test_a_go_or_recycle_of_any_other_kind_moves_no_phase(
    verdict: Verdict, ends: tuple[ProjectTerminated, ...]
) -> None:
    project.given(*AT_BUILD, *ends).when(heed_change(REVIEW, verdict)).then_nothing()


@pytest.mark.parametrize("command", [CompleteProject("Done."), heed_closure(LATER_REVIEW, Verdict.GO)])
def test_a_project_is_not_closed_while_a_condition_is_open(command: Command) -> None:
    both, one_met = ConditionsSet(REVIEW, 2), ConditionSettled(REVIEW, 2)
    refusal = project.given(*FINISHED, both, one_met).when(command).then_refused(ClosureWithOpenConditions)
    assert refusal.facts == {"conditions": f"1 of review {REVIEW}"}
    after = project.given(*FINISHED, both, one_met, ConditionSettled(REVIEW, 1)).when(command)
    assert isinstance(after.then_state(), Completed)


def test_a_project_is_terminated_whatever_conditions_are_open() -> None:
    project.given(*AT_BUILD, ConditionsSet(REVIEW, 1)).when(TerminateProject("No need.")).then(TERMINATED)
    project.given(*AT_BUILD, ConditionsSet(REVIEW, 1), TERMINATED).when(SettleCondition(REVIEW, 1)).then(
        ConditionSettled(REVIEW, 1)
    )


UNDER_CONDITIONS = (*AT_DESIGN, PhaseAuthorised("build", "G2", REVIEW, NOON), ConditionsSet(REVIEW, 2))
RESUME = ResumeProject("We go on.")


def lapse_holds(condition: int) -> ProjectHeld:
    return ProjectHeld(f"Condition {condition} of a Conditional Go was not met by 2026-01-01.", REVIEW, condition)


def test_a_condition_that_lapses_into_hold_holds_the_project_once() -> None:
    lapse = HeedLapse(REVIEW, 1, TODAY)
    project.given(*UNDER_CONDITIONS).when(lapse).then(lapse_holds(1))
    project.given(*UNDER_CONDITIONS, lapse_holds(1)).when(lapse).then_nothing()
    settled = (lapse_holds(1), ConditionSettled(REVIEW, 1), ProjectResumed("We go on."))
    project.given(*UNDER_CONDITIONS, *settled).when(lapse).then_nothing()


def test_a_project_that_a_lapsed_condition_holds_is_not_resumed_while_that_is_open() -> None:
    refusal = project.given(*UNDER_CONDITIONS, lapse_holds(1)).when(RESUME).then_refused(LapsedConditionOpen)
    assert refusal.facts == {"conditions": f"1 of review {REVIEW}"}
    assert "close it" in refusal.detail
    assert "waived" in refusal.detail


def test_settling_the_lapsed_condition_resumes_nothing_by_itself_but_lets_the_project_be_resumed() -> None:
    settled = project.given(*UNDER_CONDITIONS, lapse_holds(1)).when(SettleCondition(REVIEW, 1))
    settled.then(ConditionSettled(REVIEW, 1))
    assert isinstance(settled.then_state(), OnHold)
    project.given(*UNDER_CONDITIONS, lapse_holds(1), ConditionSettled(REVIEW, 1)).when(RESUME).then(
        ProjectResumed("We go on.")
    )


def test_a_project_is_not_resumed_while_any_of_several_lapsed_conditions_is_open() -> None:
    both = (*UNDER_CONDITIONS, lapse_holds(1), lapse_holds(2))
    project.given(*UNDER_CONDITIONS, lapse_holds(1)).when(HeedLapse(REVIEW, 2, TODAY)).then(lapse_holds(2))
    refusal = project.given(*both).when(RESUME).then_refused(LapsedConditionOpen)
    assert refusal.facts == {"conditions": f"1 of review {REVIEW}, 2 of review {REVIEW}"}
    refusal = project.given(*both, ConditionSettled(REVIEW, 1)).when(RESUME).then_refused(LapsedConditionOpen)
    assert refusal.facts == {"conditions": f"2 of review {REVIEW}"}


def test_a_condition_that_lapses_while_the_project_rests_for_another_reason_keeps_it_on_hold_too() -> None:
    project.given(*UNDER_CONDITIONS, HELD).when(HeedLapse(REVIEW, 1, TODAY)).then(lapse_holds(1))
    project.given(*UNDER_CONDITIONS, HELD, lapse_holds(1)).when(RESUME).then_refused(LapsedConditionOpen)


def test_a_condition_that_is_open_and_has_not_lapsed_keeps_nobody_from_resuming() -> None:
    project.given(*UNDER_CONDITIONS, HELD).when(RESUME).then(ProjectResumed("We go on."))


def report(phase: str, on: date, *, remark: str = "Diggers on site.") -> ReportWork:
    begins = datetime(on.year, on.month, on.day, tzinfo=UTC)
    return ReportWork(phase, on, begins, begins + timedelta(days=1), TODAY, ANA, remark)


def breached(phase: str, gate: str, on: date) -> GateBreached:
    return GateBreached(PORTFOLIO, phase, gate, on, ANA, "Diggers on site.")


def test_work_in_a_phase_whose_gate_has_not_said_so_is_a_breach_and_begins_no_phase() -> None:
    decided = project.given(*AT_DESIGN).when(report("build", TODAY))
    decided.then(breached("build", "G2", TODAY))
    project.given(*AT_DESIGN, breached("build", "G2", TODAY)).when(StartPhase("build")).then_refused(PhaseNotAuthorised)


def test_a_breach_is_recorded_once_for_a_phase_and_day() -> None:
    before = breached("build", "G2", TODAY)
    project.given(*AT_DESIGN, before).when(report("build", TODAY)).then_nothing()
    project.given(*AT_DESIGN, before).when(report("build", TODAY, remark="Seen again.")).then_nothing()
    yesterday = TODAY - timedelta(days=1)
    project.given(*AT_DESIGN, before).when(report("build", yesterday)).then(breached("build", "G2", yesterday))


def test_work_that_the_gate_had_said_may_begin_is_no_breach_also_when_it_said_so_on_that_day() -> None:
    project.given(*AT_BUILD).when(report("build", TODAY)).then_nothing()
    project.given(*AT_BUILD).when(report("build", EARLIER.date())).then_nothing()


def test_a_gate_that_goes_afterwards_does_not_heal_a_breach_that_is_found_out_later() -> None:
    too_early = EARLIER.date() - timedelta(days=1)
    project.given(*AT_BUILD).when(report("build", too_early)).then(breached("build", "G2", too_early))


def test_what_was_authorised_before_its_time_was_kept_is_given_the_benefit_of_the_doubt() -> None:
    unknown = PhaseAuthorised("build", "G2", REVIEW, None)
    project.given(*AT_DESIGN, unknown).when(report("build", date(2025, 1, 1))).then_nothing()


def test_a_recycle_takes_the_authority_away_from_its_day_on_and_not_from_before() -> None:
    sent_back = EARLIER + timedelta(days=9)
    recycled = (*AT_BUILD, PhaseReturned("design", "G2", REVIEW, sent_back))
    project.given(*recycled).when(report("build", sent_back.date())).then_nothing()
    day_after = sent_back.date() + timedelta(days=1)
    project.given(*recycled).when(report("build", day_after)).then(breached("build", "G2", day_after))
    again = PhaseAuthorised("build", "G2", LATER_REVIEW, NOON)
    project.given(*recycled, again).when(report("build", TODAY)).then_nothing()
    project.given(*recycled, again).when(report("build", day_after)).then(breached("build", "G2", day_after))
    project.given(*recycled, again).when(report("design", day_after)).then_nothing()


def test_a_recycle_of_which_nobody_kept_the_time_leaves_no_authority() -> None:
    recycled = PhaseReturned("design", "G2", REVIEW, None)
    project.given(*AT_BUILD, recycled).when(report("build", TODAY)).then(breached("build", "G2", TODAY))


def test_a_phase_without_a_gate_stands_behind_the_last_gate_before_it() -> None:
    project.given(*AT_DESIGN).when(report("wrap-up", TODAY)).then(breached("wrap-up", "G2", TODAY))
    project.given(*AT_BUILD).when(report("wrap-up", TODAY)).then_nothing()
    project.given(REGISTERED).when(report("initiation", TODAY)).then_nothing()


@pytest.mark.parametrize("ended", [HELD, TERMINATED, COMPLETED], ids=["held", "terminated", "completed"])
def test_a_breach_is_as_true_of_a_project_that_rests_or_has_ended(
    ended: ProjectHeld | ProjectTerminated | ProjectCompleted,
) -> None:
    project.given(*AT_DESIGN, ended).when(report("build", TODAY)).then(breached("build", "G2", TODAY))


def test_work_to_come_is_not_reported() -> None:
    tomorrow = TODAY + timedelta(days=1)
    refusal = project.given(*AT_DESIGN).when(report("build", tomorrow)).then_refused(WorkNotYetBegun)
    assert refusal.facts == {"began_on": "2026-01-02", "today": "2026-01-01"}


def test_work_is_reported_in_phases_of_the_methodology_only() -> None:
    project.given(*AT_DESIGN).when(report("paint", TODAY)).then_refused(PhaseNotOfProject)
    project.given(IMPORTED).when(report("design", TODAY)).then_refused(PhaseNotOfProject)


def test_an_observation_is_never_a_breach() -> None:
    seen = project.given(REGISTERED).when(observe(date(2014, 5, 1), "build"))
    seen.then(observed(observe(date(2014, 5, 1), "build")))


def observe(reported_on: date, phase: str | None, source: Source = SOURCE) -> RecordObservation:
    return RecordObservation(
        reported_on, phase, Money(Decimal(182980960), "USD"), None, date(2020, 1, 14), Decimal(1), source
    )


def observed(command: RecordObservation) -> ProjectObserved:
    return ProjectObserved(
        command.reported_on,
        command.phase,
        command.budget_forecast,
        command.budget_change,
        command.forecast_completion,
        command.schedule_change_days,
        command.source,
    )


def test_observations_come_in_any_order_and_phases_go_backwards() -> None:
    later, earlier = observe(date(2015, 2, 1), "Construction"), observe(date(2014, 5, 1), "Design")
    project.given(IMPORTED).when(later, earlier).then(observed(earlier))
    project.given(IMPORTED).when(earlier, later).then(observed(later))


def test_a_blank_phase_is_unknown_and_kept_so() -> None:
    blank = observe(date(2014, 5, 1), None)
    project.given(IMPORTED).when(blank).then(observed(blank))


def test_an_observation_passes_no_gate_and_begins_no_phase() -> None:
    project.given(REGISTERED, observed(observe(date(2014, 5, 1), "build"))).when(StartPhase("build")).then_refused(
        PhaseNotAuthorised
    )


def test_the_same_row_of_a_report_adds_nothing_the_second_time_also_from_a_newer_file() -> None:
    design = observe(date(2014, 5, 1), "Design")
    project.given(IMPORTED).when(design, design).then_nothing()
    project.given(IMPORTED).when(design, replace(design, source=LATER_SOURCE)).then_nothing()


def test_the_same_row_saying_something_else_is_refused_and_names_what() -> None:
    design = observe(date(2014, 5, 1), "Design")
    refusal = (
        project.given(IMPORTED).when(design, replace(design, phase="Construction")).then_refused(ObservationDiffers)
    )
    assert refusal.facts == {"row": "7", "phase": "Design on record, Construction given"}


def test_a_budget_is_observed_in_one_currency() -> None:
    dollars = observe(date(2014, 5, 1), "Design")
    euros = replace(observe(date(2014, 6, 1), "Design"), budget_forecast=Money(Decimal(7), "EUR"))
    refusal = project.given(IMPORTED).when(dollars, euros).then_refused(BudgetInOtherCurrency)
    assert refusal.facts == {"currency": "USD", "given": "EUR"}
    mixed = replace(dollars, budget_change=Money(Decimal(7), "EUR"))
    project.given(IMPORTED).when(mixed).then_refused(BudgetInOtherCurrency)


def test_two_rows_on_one_date_are_two_observations() -> None:
    design = observe(date(2014, 5, 1), "Design")
    other_row = replace(design, source=replace(SOURCE, row=8))
    project.given(IMPORTED).when(design, other_row).then(observed(other_row))


def test_an_ended_project_can_still_be_observed() -> None:
    seen = observe(date(2014, 5, 1), "Closed")
    project.given(IMPORTED, TERMINATED).when(seen).then(observed(seen))


def test_a_milestone_is_planned_moved_and_reached() -> None:
    planned = SetMilestone("tender", MilestoneBasis.PLANNED, date(2017, 2, 16), SOURCE, TODAY)
    moved = replace(planned, on=date(2017, 3, 1))
    reached = SetMilestone("tender", MilestoneBasis.ACTUAL, date(2017, 3, 2), None, TODAY)
    project.given(REGISTERED).when(planned, moved).then(
        MilestoneSet("tender", MilestoneBasis.PLANNED, date(2017, 3, 1), SOURCE)
    )
    project.given(REGISTERED).when(planned, moved, reached).then(
        MilestoneSet("tender", MilestoneBasis.ACTUAL, date(2017, 3, 2), None)
    )


def test_setting_the_same_milestone_again_adds_nothing_wherever_it_was_read() -> None:
    planned = SetMilestone("tender", MilestoneBasis.PLANNED, date(2017, 2, 16), SOURCE, TODAY)
    reached = SetMilestone("tender", MilestoneBasis.ACTUAL, date(2017, 3, 2), None, TODAY)
    project.given(REGISTERED).when(planned, reached, replace(planned, source=LATER_SOURCE)).then_nothing()


def test_a_milestone_that_is_still_to_come_is_planned_and_has_not_happened() -> None:
    tomorrow = SetMilestone("tender", MilestoneBasis.ACTUAL, date(2026, 1, 2), SOURCE, TODAY)
    project.given(REGISTERED).when(tomorrow).then_refused(MilestoneNotYetReached)
    project.given(REGISTERED).when(replace(tomorrow, basis=MilestoneBasis.PLANNED)).then(
        MilestoneSet("tender", MilestoneBasis.PLANNED, date(2026, 1, 2), SOURCE)
    )


def test_a_registered_project_is_active() -> None:
    assert isinstance(project.given().when(REGISTER).then_state(), Active)
