"""Whatever anyone asks of a project, in any order, these hold."""

from uuid import UUID

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from govevents.projects import (
    Charter,
    Delivery,
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
from govkernel.domain import NodeId, PortfolioId, Refusal, ReviewId
from projects.domain.project import (
    PROJECT,
    Command,
    CompletePhase,
    CompleteProject,
    Event,
    HeedClosure,
    HeedGate,
    HoldProject,
    Project,
    ResumeProject,
    StartPhase,
    TerminateProject,
    Verdict,
)

PORTFOLIO = PortfolioId(UUID(int=1))
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

    @rule(gate=st.sampled_from(["G1", "G2"]), verdict=st.sampled_from(Verdict))
    def heed_gate(self, gate: str, verdict: Verdict) -> None:
        self.reviews += 1
        self.ask(HeedGate(gate, ReviewId(UUID(int=self.reviews)), verdict))

    @rule(verdict=st.sampled_from(Verdict))
    def heed_closure(self, verdict: Verdict) -> None:
        self.reviews += 1
        self.ask(HeedClosure(ReviewId(UUID(int=self.reviews)), verdict))

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
    def an_end_is_the_end(self) -> None:
        assert not any(isinstance(event, ProjectTerminated | ProjectCompleted) for event in self.events[:-1])

    @invariant()
    def the_state_is_the_fold_of_the_events(self) -> None:
        assert PROJECT.fold(self.events) == self.state


TestLife = Life.TestCase
TestLife.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
