"""Whatever anyone asks of a project, in any order, these hold."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from govevents.projects import (
    Charter,
    ConditionSettled,
    ConditionsSet,
    Delivery,
    GateBreached,
    Methodology,
    Phase,
    PhaseAuthorised,
    PhaseCompleted,
    PhaseReturned,
    PhaseStarted,
    ProjectCompleted,
    ProjectHeld,
    ProjectRegistered,
    ProjectResumed,
    ProjectTerminated,
)
from govkernel.domain import NodeId, PortfolioId, Refusal, ReviewId, SubjectId
from projects.domain.project import (
    PROJECT,
    Command,
    CompletePhase,
    CompleteProject,
    Event,
    HeedClosure,
    HeedGate,
    HeedLapse,
    HeedReview,
    HoldProject,
    Project,
    ReportWork,
    ResumeProject,
    SettleCondition,
    StartPhase,
    TerminateProject,
    Verdict,
)

PORTFOLIO = PortfolioId(UUID(int=1))
REPORTER = SubjectId(UUID(int=2))
NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
PHASES = (
    Phase("a", "A", None),
    Phase("b", "B", "G1"),
    Phase("c", "C", "G2"),
    Phase("d", "D", None),
)
GATES = {phase.code: phase.gate for phase in PHASES}
ORDER = [phase.code for phase in PHASES]
REGISTERED = ProjectRegistered(
    PORTFOLIO,
    NodeId(PORTFOLIO),
    "Q1",
    "Main 12",
    Charter("", None, None, None),
    Methodology("waterfall", 1, Delivery.WATERFALL, PHASES),
    (),
    None,
)


class Life(RuleBasedStateMachine):
    events: list[Event]
    state: Project
    reviews: int

    @initialize()
    def register(self) -> None:
        self.events = [REGISTERED]
        self.state = PROJECT.evolve(PROJECT.initial, REGISTERED)
        self.reviews = 0

    def ask(self, command: Command) -> None:
        try:
            decided = PROJECT.decide(command, self.state)
        except Refusal:
            return
        for event in decided:
            self.state = PROJECT.evolve(self.state, event)
            self.events.append(event)
        assert PROJECT.decide(command, self.state) == (), "a retry adds nothing and is no error"

    @rule(phase=st.sampled_from(ORDER))
    def start(self, phase: str) -> None:
        self.ask(StartPhase(phase))

    @rule(phase=st.sampled_from(ORDER))
    def complete_phase(self, phase: str) -> None:
        self.ask(CompletePhase(phase))

    @rule(gate=st.sampled_from(["G1", "G2"]), verdict=st.sampled_from(Verdict), number=st.integers(1, 2))
    def heed_gate(self, gate: str, verdict: Verdict, number: int) -> None:
        self.reviews += 1
        conditions = number if verdict is Verdict.CONDITIONAL_GO else 0
        self.ask(HeedGate(gate, ReviewId(UUID(int=self.reviews)), verdict, NOON, conditions))

    @rule(verdict=st.sampled_from(Verdict), number=st.integers(1, 2))
    def heed_closure(self, verdict: Verdict, number: int) -> None:
        self.reviews += 1
        conditions = number if verdict is Verdict.CONDITIONAL_GO else 0
        self.ask(HeedClosure(ReviewId(UUID(int=self.reviews)), verdict, NOON, conditions))

    @rule(verdict=st.sampled_from(Verdict), number=st.integers(1, 2))
    def heed_another_review(self, verdict: Verdict, number: int) -> None:
        self.reviews += 1
        conditions = number if verdict is Verdict.CONDITIONAL_GO else 0
        self.ask(HeedReview("a change", ReviewId(UUID(int=self.reviews)), verdict, conditions))

    @rule(review=st.integers(1, 9), condition=st.integers(1, 2))
    def settle_condition(self, review: int, condition: int) -> None:
        self.ask(SettleCondition(ReviewId(UUID(int=review)), condition))

    @rule(review=st.integers(1, 9), condition=st.integers(1, 2))
    def heed_lapse(self, review: int, condition: int) -> None:
        self.ask(HeedLapse(ReviewId(UUID(int=review)), condition, NOON.date()))

    @rule(phase=st.sampled_from(ORDER))
    def report_work(self, phase: str) -> None:
        # All of it happens at one moment, so that only what stands now counts.
        today = NOON.date()
        self.ask(ReportWork(phase, today, NOON, NOON + timedelta(days=1), today, REPORTER, ""))

    @rule()
    def hold(self) -> None:
        self.ask(HoldProject(""))

    @rule()
    def resume(self) -> None:
        self.ask(ResumeProject(""))

    @rule()
    def complete(self) -> None:
        self.ask(CompleteProject(""))

    @rule()
    def terminate(self) -> None:
        self.ask(TerminateProject(""))

    @invariant()
    def no_gated_phase_begins_without_its_gate_saying_so_since_it_was_last_sent_back(self) -> None:
        authorised: set[str] = set()
        for event in self.events:
            match event:
                case PhaseAuthorised(phase=phase):
                    authorised.add(phase)
                case PhaseReturned(phase=phase):
                    authorised -= set(ORDER[ORDER.index(phase) + 1 :])
                case PhaseStarted(phase=phase):
                    assert GATES[phase] is None or phase in authorised
                case _:
                    pass

    @invariant()
    def nothing_begins_or_is_finished_on_hold(self) -> None:
        held = False
        for event in self.events:
            match event:
                case ProjectHeld():
                    held = True
                case ProjectResumed():
                    held = False
                case PhaseStarted() | PhaseCompleted() | ProjectCompleted():
                    assert not held
                case _:
                    pass

    @invariant()
    def nothing_goes_on_while_a_condition_that_held_it_is_open(self) -> None:
        still_open: set[tuple[ReviewId | None, int]] = set()
        holding: set[tuple[ReviewId | None, int]] = set()
        for event in self.events:
            match event:
                case ConditionsSet(review=review, conditions=conditions):
                    still_open |= {(review, number) for number in range(1, conditions + 1)}
                case ConditionSettled(review=review, condition=condition):
                    still_open.remove((review, condition))
                case ProjectHeld(review=held_by, condition=int(lapsed)):
                    holding.add((held_by, lapsed))
                case ProjectResumed():
                    assert not holding & still_open
                case _:
                    pass

    @invariant()
    def no_project_is_completed_with_open_conditions(self) -> None:
        still_open: set[tuple[ReviewId, int]] = set()
        for event in self.events:
            match event:
                case ConditionsSet(review=review, conditions=conditions):
                    still_open |= {(review, number) for number in range(1, conditions + 1)}
                case ConditionSettled(review=review, condition=condition):
                    still_open.remove((review, condition))
                case ProjectCompleted():
                    assert not still_open
                case _:
                    pass

    @invariant()
    def only_work_behind_a_gate_that_has_not_said_so_is_a_breach(self) -> None:
        behind: dict[str, str | None] = {"a": None, "b": "G1", "c": "G2", "d": "G2"}
        gone: set[str] = set()
        for event in self.events:
            match event:
                case PhaseAuthorised(gate=gate):
                    gone.add(gate)
                case PhaseReturned(phase=phase):
                    gone -= {str(GATES[each]) for each in ORDER[ORDER.index(phase) + 1 :]}
                case GateBreached(phase=phase, gate=gate):
                    assert behind[phase] == gate
                    assert gate not in gone
                case _:
                    pass

    @invariant()
    def an_end_is_the_end(self) -> None:
        """Only what was so before is still found out."""
        ended = False
        for event in self.events:
            assert not ended or isinstance(event, GateBreached | ConditionSettled)
            ended = ended or isinstance(event, ProjectTerminated | ProjectCompleted)

    @invariant()
    def the_state_is_the_fold_of_the_events(self) -> None:
        assert PROJECT.fold(self.events) == self.state


TestLife = Life.TestCase
TestLife.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
