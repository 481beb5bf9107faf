"""A project: why it exists, which phase it is in by whose word, and what reports from elsewhere said of it."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from typing import Final, TypeAlias, assert_never
from uuid import uuid5

from govevents.projects import (
    Attribute,
    Charter,
    CharterAmended,
    ConditionSettled,
    ConditionsSet,
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
from govkernel.domain import (
    Aggregate,
    Code,
    Money,
    Name,
    NodeId,
    NotKnownYet,
    PortfolioId,
    ProjectId,
    Refusal,
    ReviewId,
    Source,
    SubjectId,
    Text,
    differences,
)
from projects.domain.portfolio import check_parent


class Progress(Enum):
    """How far a phase has come; waiting is for its gate, or for the phase before it where it has no gate."""

    WAITING = "waiting"
    AUTHORISED = "authorised"
    IN_PROGRESS = "in_progress"
    COMPLETE = "complete"


@dataclass(frozen=True, slots=True)
class Authority:
    """From when until when a phase's gate had said that it may begin; `until` None where it still does.

    `since` None is longer ago than anybody can tell.
    """

    since: datetime | None
    until: datetime | None


@dataclass(frozen=True, slots=True, order=True)
class OpenCondition:
    """A condition of a review's outcome, counted from 1, that is neither met nor waived."""

    review: ReviewId
    condition: int


@dataclass(frozen=True, slots=True)
class Record:
    """What is known of a registered project in any state; `heeded` are the reviews whose outcome it has followed.

    `authority` has by phase the times in which its gate had said so, the latest last; `breaches` are by phase and day.
    `lapsed` are the conditions whose lapse held the project, also those that were settled since.
    """

    registered: ProjectRegistered
    parent: NodeId
    charter: Charter
    progress: Mapping[Code, Progress]
    heeded: frozenset[ReviewId]
    observations: Mapping[tuple[date, int], ProjectObserved]
    milestones: Mapping[tuple[Code, MilestoneBasis], MilestoneSet]
    authority: Mapping[Code, tuple[Authority, ...]] = field(default_factory=dict)
    breaches: Mapping[tuple[Code, date], GateBreached] = field(default_factory=dict)
    open_conditions: frozenset[OpenCondition] = frozenset()
    lapsed: frozenset[OpenCondition] = frozenset()

    @property
    def phases(self) -> tuple[Phase, ...]:
        """The phases of the methodology in order; none where an import didn't see any."""
        return self.registered.methodology.phases if self.registered.methodology else ()


@dataclass(frozen=True, slots=True)
class Unregistered:
    """Nothing is known under this id."""


@dataclass(frozen=True, slots=True)
class Active:
    """Work may go on."""

    record: Record


@dataclass(frozen=True, slots=True)
class OnHold:
    """The project rests until someone resumes it."""

    record: Record


@dataclass(frozen=True, slots=True)
class Terminated:
    """The project has ended before its aim."""

    record: Record


@dataclass(frozen=True, slots=True)
class Completed:
    """The project has reached its end."""

    record: Record


Known: TypeAlias = Active | OnHold | Terminated | Completed
Project: TypeAlias = Unregistered | Known


class Verdict(Enum):
    """What the outcome of a review asks of its project."""

    GO = "go"
    CONDITIONAL_GO = "conditional_go"
    HOLD = "hold"
    RECYCLE = "recycle"
    KILL = "kill"


@dataclass(frozen=True, slots=True)
class RegisterProject:
    """Register a project below a node; `parent_portfolio` is that node's portfolio, None where it isn't known."""

    portfolio: PortfolioId
    parent: NodeId
    parent_portfolio: PortfolioId | None
    reference: Code
    name: Name
    charter: Charter
    methodology: Methodology | None
    attributes: tuple[Attribute, ...]
    source: Source | None


@dataclass(frozen=True, slots=True)
class AmendCharter:
    """Let the charter read differently."""

    charter: Charter
    reason: Text


@dataclass(frozen=True, slots=True)
class MoveProject:
    """Put the project below another node; `parent_portfolio` is that node's portfolio, None where it isn't known."""

    parent: NodeId
    parent_portfolio: PortfolioId | None


@dataclass(frozen=True, slots=True)
class StartPhase:
    """Begin work in a phase."""

    phase: Code


@dataclass(frozen=True, slots=True)
class CompletePhase:
    """Declare the work in a phase finished."""

    phase: Code


@dataclass(frozen=True, slots=True)
class ReportWork:
    """Say that work in a phase began on a day, which lasted from `day_begins` until before `day_ends`.

    Days are the portfolio's, and so is `today`.
    """

    phase: Code
    began_on: date
    day_begins: datetime
    day_ends: datetime
    today: date
    reported_by: SubjectId
    remark: Text


@dataclass(frozen=True, slots=True)
class HoldProject:
    """Let the project rest."""

    reason: Text


@dataclass(frozen=True, slots=True)
class ResumeProject:
    """Let a resting project go on."""

    reason: Text


@dataclass(frozen=True, slots=True)
class TerminateProject:
    """End the project before its aim."""

    reason: Text


@dataclass(frozen=True, slots=True)
class CompleteProject:
    """Declare that the project has reached its end."""

    summary: Text


@dataclass(frozen=True, slots=True)
class HeedGate:
    """Follow the outcome of the review of a gate, and keep how many conditions it set."""

    gate: Code
    review: ReviewId
    verdict: Verdict
    decided_at: datetime
    conditions: int


@dataclass(frozen=True, slots=True)
class HeedClosure:
    """Follow the outcome of the review of the project's closure, and keep how many conditions it set."""

    review: ReviewId
    verdict: Verdict
    decided_at: datetime
    conditions: int


@dataclass(frozen=True, slots=True)
class HeedReview:
    """Follow the outcome of the review of something else, and keep how many conditions it set.

    `about` says of what, with its article: `a change`.
    """

    about: Text
    review: ReviewId
    verdict: Verdict
    conditions: int


@dataclass(frozen=True, slots=True)
class SettleCondition:
    """Keep that a condition, counted from 1, is met or waived."""

    review: ReviewId
    condition: int


@dataclass(frozen=True, slots=True)
class HeedLapse:
    """Let the project rest, for a condition of a review that was not met by its day asks for that."""

    review: ReviewId
    condition: int
    due: date


@dataclass(frozen=True, slots=True)
class RecordObservation:
    """Keep what an imported report said of the project; None where the report was silent."""

    reported_on: date
    phase: Name | None
    budget_forecast: Money | None
    budget_change: Money | None
    forecast_completion: date | None
    schedule_change_days: Decimal | None
    source: Source


@dataclass(frozen=True, slots=True)
class SetMilestone:
    """Say when a milestone happened, or when it is planned; `today` is the portfolio's."""

    milestone: Code
    basis: MilestoneBasis
    on: date
    source: Source | None
    today: date


Command: TypeAlias = (
    RegisterProject
    | AmendCharter
    | MoveProject
    | StartPhase
    | CompletePhase
    | ReportWork
    | HoldProject
    | ResumeProject
    | TerminateProject
    | CompleteProject
    | HeedGate
    | HeedClosure
    | HeedReview
    | SettleCondition
    | HeedLapse
    | RecordObservation
    | SetMilestone
)
Event: TypeAlias = (
    ProjectRegistered
    | CharterAmended
    | ProjectMoved
    | PhaseAuthorised
    | PhaseStarted
    | PhaseCompleted
    | PhaseReturned
    | GateBreached
    | ConditionsSet
    | ConditionSettled
    | ProjectHeld
    | ProjectResumed
    | ProjectTerminated
    | ProjectCompleted
    | ProjectObserved
    | MilestoneSet
)


class ProjectNotKnown(NotKnownYet):
    """No project is known under this id."""


class ProjectAlreadyRegistered(Refusal):
    """A project with this reference is already registered in the portfolio, with other particulars."""


class MethodologyUnclear(Refusal):
    """A methodology has at least one phase, and no phase and no gate occurs in it twice."""


class ProjectEnded(Refusal):
    """The project has ended; nothing further can be done in it."""


class ProjectOnHold(Refusal):
    """The project is on hold; resume it first."""


class PhaseNotOfProject(Refusal):
    """The project's methodology has no such phase."""


class GateNotOfProject(Refusal):
    """The project's methodology has no such gate."""


class PhaseNotAuthorised(Refusal):
    """The phase's gate has not said that it may begin."""


class PhaseBeforeNotComplete(Refusal):
    """A phase without a gate begins when the phase before it is complete."""


class PhaseNotStarted(Refusal):
    """Work in the phase has not begun, so it can't be finished."""


class PhaseAlreadyComplete(Refusal):
    """Work in the phase is finished; only a gate can send the project back to it."""


class PhasesNotComplete(Refusal):
    """A project is complete when its last phase is, and no other phase is still in progress."""


class WorkNotYetBegun(Refusal):
    """Work that is reported has begun; its day is not to come."""


class LapsedConditionOpen(Refusal):
    """A project that a lapsed condition holds goes on when that condition is met, or waived by a decision."""


class ClosureWithOpenConditions(Refusal):
    """A project can't be closed with open conditions: nobody would be left to meet them."""


class MilestoneNotYetReached(Refusal):
    """A milestone with a date to come is planned and has not happened."""


class ObservationDiffers(Refusal):
    """The same row of a report on the same date is already on record, and said something else."""


class BudgetInOtherCurrency(Refusal):
    """A project's budget is observed in one currency, or its changes could not be added up."""


def decide(command: Command, project: Project) -> tuple[Event, ...]:
    """What follows from a command; the refusals are those above and `check_parent`'s."""
    match command:
        case RegisterProject():
            return _register(command, project)
        case AmendCharter(charter=charter, reason=reason):
            record = _not_ended(project).record
            return () if charter == record.charter else (CharterAmended(charter, reason),)
        case MoveProject(parent=parent, parent_portfolio=parent_portfolio):
            # An ended project moves too: portfolios are reorganised with their past.
            record = _known(project).record
            if parent == record.parent:
                return ()
            check_parent(record.registered.portfolio, parent, parent_portfolio)
            return (ProjectMoved(record.registered.portfolio, parent),)
        case StartPhase(phase=code):
            return _start(code, _not_ended(project))
        case CompletePhase(phase=code):
            going = _not_ended(project)
            match going.record.progress[_phase(going.record, code).code]:
                case Progress.COMPLETE:
                    return ()
                case Progress.IN_PROGRESS:
                    _not_on_hold(going)
                    return (PhaseCompleted(code),)
                case Progress.WAITING | Progress.AUTHORISED:
                    raise PhaseNotStarted(phase=code)
        case ReportWork():
            return _report(command, _known(project))
        case HoldProject(reason=reason):
            return () if isinstance(_not_ended(project), OnHold) else (ProjectHeld(reason, None),)
        case ResumeProject(reason=reason):
            return _resume(reason, _not_ended(project))
        case TerminateProject(reason=reason):
            if isinstance(project, Terminated):
                return ()
            _not_ended(project)
            return (ProjectTerminated(reason, None),)
        case CompleteProject(summary=summary):
            return _complete(summary, None, project)
        case HeedGate() | HeedClosure():
            return _heed(command, _known(project))
        case HeedReview():
            return _heed_other(command, _known(project))
        case SettleCondition(review=review, condition=condition):
            still_open = OpenCondition(review, condition) in _known(project).record.open_conditions
            return (ConditionSettled(review, condition),) if still_open else ()
        case HeedLapse(review=review, condition=condition, due=due):
            # Also on hold: each condition that asks for it has to be settled before the project goes on.
            if OpenCondition(review, condition) in _not_ended(project).record.lapsed:
                return ()
            return (ProjectHeld(f"Condition {condition} of a Conditional Go was not met by {due}.", review, condition),)
        case RecordObservation():
            record = _known(project).record
            observed = ProjectObserved(
                command.reported_on,
                command.phase,
                command.budget_forecast,
                command.budget_change,
                command.forecast_completion,
                command.schedule_change_days,
                command.source,
            )
            before = record.observations.get((command.reported_on, command.source.row))
            if before is None:
                _check_currency(record, observed)
                return (observed,)
            differing = differences(before, observed, besides=frozenset({"source"}))
            if differing:
                raise ObservationDiffers(row=str(command.source.row), **differing)
            return ()
        case SetMilestone(milestone=milestone, basis=basis):
            record = _known(project).record
            known = record.milestones.get((milestone, basis))
            # Where it was read doesn't make it another date.
            if known is not None and known.date == command.on:
                return ()
            if basis is MilestoneBasis.ACTUAL and command.on > command.today:
                raise MilestoneNotYetReached(
                    f"{milestone}: {command.on} is after {command.today}; set it as planned.", milestone=milestone
                )
            return (MilestoneSet(milestone, basis, command.on, command.source),)
        case _:
            assert_never(command)


def _check_currency(record: Record, observed: ProjectObserved) -> None:
    seen = dict.fromkeys(
        money.currency
        for each in (*record.observations.values(), observed)
        for money in (each.budget_forecast, each.budget_change)
        if money is not None
    )
    if len(seen) > 1:
        kept, given, *_ = seen
        raise BudgetInOtherCurrency(currency=kept, given=given)


def _known(project: Project) -> Known:
    if isinstance(project, Unregistered):
        raise ProjectNotKnown
    return project


def _not_ended(project: Project) -> Active | OnHold:
    match _known(project):
        case Active() | OnHold() as going:
            return going
        case Terminated():
            raise ProjectEnded("The project was terminated.", state="terminated")
        case Completed():
            raise ProjectEnded("The project was completed.", state="completed")


def _not_on_hold(project: Active | OnHold) -> None:
    if isinstance(project, OnHold):
        raise ProjectOnHold


def _phase(record: Record, code: Code) -> Phase:
    for phase in record.phases:
        if phase.code == code:
            return phase
    raise PhaseNotOfProject(phase=code, phases=", ".join(phase.code for phase in record.phases))


def _register(command: RegisterProject, project: Project) -> tuple[Event, ...]:
    registered = ProjectRegistered(
        command.portfolio,
        command.parent,
        command.reference,
        command.name,
        command.charter,
        command.methodology,
        command.attributes,
        command.source,
    )
    if not isinstance(project, Unregistered):
        differing = differences(project.record.registered, registered, besides=frozenset({"source"}))
        if differing:
            raise ProjectAlreadyRegistered(**differing)
        return ()
    check_parent(command.portfolio, command.parent, command.parent_portfolio)
    if command.methodology is not None:
        phases = [phase.code for phase in command.methodology.phases]
        gates = [phase.gate for phase in command.methodology.phases if phase.gate is not None]
        if not phases or len(set(phases)) < len(phases) or len(set(gates)) < len(gates):
            raise MethodologyUnclear(
                methodology=command.methodology.name, phases=", ".join(phases), gates=", ".join(gates)
            )
    return (registered,)


def _resume(reason: Text, project: Active | OnHold) -> tuple[Event, ...]:
    if isinstance(project, Active):
        return ()
    unmet = sorted(project.record.lapsed & project.record.open_conditions)
    if unmet:
        conditions = _listed(unmet)
        raise LapsedConditionOpen(
            f"The project rests because a condition lapsed that is still open: {conditions}; close it with POST "
            "/reviews/{review}/condition-closures, or have it waived by the Go of a review that names it.",
            conditions=conditions,
        )
    return (ProjectResumed(reason),)


def _listed(conditions: Iterable[OpenCondition]) -> str:
    return ", ".join(f"{each.condition} of review {each.review}" for each in conditions)


def _start(code: Code, project: Active | OnHold) -> tuple[Event, ...]:
    record = project.record
    phase = _phase(record, code)
    match record.progress[code]:
        case Progress.IN_PROGRESS:
            return ()
        case Progress.COMPLETE:
            raise PhaseAlreadyComplete(phase=code)
        case Progress.WAITING if phase.gate is not None:
            raise PhaseNotAuthorised(f"Gate {phase.gate} has not said that phase {code} may begin.", gate=phase.gate)
        case Progress.WAITING:
            earlier = record.phases[: record.phases.index(phase)]
            if earlier and record.progress[earlier[-1].code] is not Progress.COMPLETE:
                raise PhaseBeforeNotComplete(phase=code, before=earlier[-1].code)
        case Progress.AUTHORISED:
            pass
        case never:
            assert_never(never)
    _not_on_hold(project)
    return (PhaseStarted(code),)


def _report(command: ReportWork, project: Known) -> tuple[Event, ...]:
    """A breach where no gate at or before the phase had said so on any part of that day; else there is nothing to add.

    A phase without a gate of its own stands behind the last gate before it. Work may be reported in any state: that it
    began by stealth is no less true on hold, or after the end.
    """
    record = project.record
    phase = _phase(record, command.phase)
    if command.began_on > command.today:
        raise WorkNotYetBegun(
            f"{command.began_on} is after {command.today}; report work once it has begun.",
            began_on=str(command.began_on),
            today=str(command.today),
        )
    gated = [each for each in record.phases[: record.phases.index(phase) + 1] if each.gate is not None]
    if not gated or (command.phase, command.began_on) in record.breaches:
        return ()
    behind = gated[-1]
    assert behind.gate is not None
    if any(
        (each.since is None or each.since < command.day_ends)
        and (each.until is None or each.until > command.day_begins)
        for each in record.authority.get(behind.code, ())
    ):
        return ()
    portfolio = record.registered.portfolio
    return (GateBreached(portfolio, command.phase, behind.gate, command.began_on, command.reported_by, command.remark),)


def _complete(summary: Text, review: ReviewId | None, project: Project) -> tuple[Event, ...]:
    if isinstance(project, Completed):
        return ()
    going = _not_ended(project)
    _not_on_hold(going)
    progress = going.record.progress
    unfinished = [code for code, state in progress.items() if state is Progress.IN_PROGRESS]
    last = going.record.phases[-1:]
    unfinished.extend(phase.code for phase in last if progress[phase.code] in {Progress.WAITING, Progress.AUTHORISED})
    if unfinished:
        raise PhasesNotComplete(phases=", ".join(unfinished))
    still_open = sorted(going.record.open_conditions)
    if still_open:
        raise ClosureWithOpenConditions(conditions=_listed(still_open))
    return (ProjectCompleted(summary, review),)


def _heed(command: HeedGate | HeedClosure, project: Known) -> tuple[Event, ...]:
    record, review = project.record, command.review
    if review in record.heeded:
        return ()
    gate = command.gate if isinstance(command, HeedGate) else None
    said = "The review of the closure" if gate is None else f"The review of gate {gate}"
    behind = record.phases[-1:]
    if gate is not None:
        gates = [phase.gate for phase in record.phases]
        if gate not in gates:
            known = ", ".join(each for each in gates if each is not None)
            raise GateNotOfProject(f"The project has no gate {gate}.", gate=gate, gates=known)
        behind = record.phases[: gates.index(gate)][-1:]
    match command.verdict:
        case Verdict.KILL:
            return _kill(said, review, project)
        case Verdict.HOLD:
            return _hold(said, review, project)
        case Verdict.RECYCLE:
            _not_ended(project)
            # Before the first gate there is no work to go back to: its phase just stays without authority.
            return tuple(PhaseReturned(phase.code, gate, review, command.decided_at) for phase in behind)
        case Verdict.GO | Verdict.CONDITIONAL_GO if isinstance(command, HeedGate):
            _not_ended(project)
            ahead = next(phase.code for phase in record.phases if phase.gate == command.gate)
            waits = record.progress[ahead] is Progress.WAITING
            authorised = PhaseAuthorised(ahead, command.gate, review, command.decided_at)
            conditions = _set(review, command.conditions)
            return (authorised, *conditions) if waits else conditions
        case Verdict.CONDITIONAL_GO:
            # Nobody would be left to meet them, so the project stays, and another review closes it.
            _not_ended(project)
            return _set(review, command.conditions)
        case Verdict.GO:
            return _complete(f"{said} came to Go.", review, project)
        case never:
            assert_never(never)


def _heed_other(command: HeedReview, project: Known) -> tuple[Event, ...]:
    said, review = f"The review of {command.about}", command.review
    if review in project.record.heeded:
        return ()
    match command.verdict:
        case Verdict.KILL:
            return _kill(said, review, project)
        case Verdict.HOLD:
            return _hold(said, review, project)
        case Verdict.CONDITIONAL_GO:
            _not_ended(project)
            return _set(review, command.conditions)
        case Verdict.GO | Verdict.RECYCLE:
            return ()
        case never:
            assert_never(never)


def _kill(said: str, review: ReviewId, project: Known) -> tuple[Event, ...]:
    if isinstance(project, Terminated):
        return ()
    _not_ended(project)
    return (ProjectTerminated(f"{said} came to Kill.", review),)


def _hold(said: str, review: ReviewId, project: Known) -> tuple[Event, ...]:
    return () if isinstance(_not_ended(project), OnHold) else (ProjectHeld(f"{said} came to Hold.", review),)


def _set(review: ReviewId, conditions: int) -> tuple[ConditionsSet, ...]:
    return (ConditionsSet(review, conditions),) if conditions else ()


def evolve(project: Project, event: Event) -> Project:
    """The project after an event."""
    if isinstance(event, ProjectRegistered):
        phases = event.methodology.phases if event.methodology else ()
        return Active(
            Record(
                registered=event,
                parent=event.parent,
                charter=event.charter,
                progress={phase.code: Progress.WAITING for phase in phases},
                heeded=frozenset(),
                observations={},
                milestones={},
            )
        )
    assert not isinstance(project, Unregistered)
    record = project.record
    match event:
        case CharterAmended(charter=charter):
            return replace(project, record=replace(record, charter=charter))
        case ProjectMoved(parent=parent):
            return replace(project, record=replace(record, parent=parent))
        case PhaseAuthorised(phase=code, review=review, decided_at=decided_at):
            held = (*record.authority.get(code, ()), Authority(decided_at, None))
            record = replace(_heeding(record, review), authority={**record.authority, code: held})
            return replace(project, record=_at(record, {code: Progress.AUTHORISED}))
        case PhaseStarted(phase=code):
            return replace(project, record=_at(record, {code: Progress.IN_PROGRESS}))
        case PhaseCompleted(phase=code):
            return replace(project, record=_at(record, {code: Progress.COMPLETE}))
        case PhaseReturned(phase=code, review=review, decided_at=decided_at):
            codes = [phase.code for phase in record.phases]
            sent_back = codes[codes.index(code) + 1 :]
            record = replace(record, authority=_ended(record.authority, sent_back, decided_at))
            progress = dict.fromkeys(sent_back, Progress.WAITING)
            # Work that never began has no authority to begin now.
            if record.progress[code] is Progress.COMPLETE:
                progress[code] = Progress.IN_PROGRESS
            return replace(project, record=_at(_heeding(record, review), progress))
        case GateBreached(phase=code, began_on=began_on):
            return replace(project, record=replace(record, breaches={**record.breaches, (code, began_on): event}))
        case ConditionsSet(review=review, conditions=conditions):
            set_now = {OpenCondition(review, number) for number in range(1, conditions + 1)}
            record = replace(_heeding(record, review), open_conditions=record.open_conditions | set_now)
            return replace(project, record=record)
        case ConditionSettled(review=review, condition=condition):
            settled = OpenCondition(review, condition)
            return replace(project, record=replace(record, open_conditions=record.open_conditions - {settled}))
        case ProjectHeld(review=review, condition=condition):
            if review is not None and condition is not None:
                record = replace(record, lapsed=record.lapsed | {OpenCondition(review, condition)})
            return OnHold(_heeding(record, review))
        case ProjectResumed():
            return Active(record)
        case ProjectTerminated(review=review):
            return Terminated(_heeding(record, review))
        case ProjectCompleted(review=review):
            return Completed(_heeding(record, review))
        case ProjectObserved(reported_on=reported_on, source=source):
            observations = {**record.observations, (reported_on, source.row): event}
            return replace(project, record=replace(record, observations=observations))
        case MilestoneSet(milestone=milestone, basis=basis):
            milestones = {**record.milestones, (milestone, basis): event}
            return replace(project, record=replace(record, milestones=milestones))
        case _:
            assert_never(event)


def _at(record: Record, progress: Mapping[Code, Progress]) -> Record:
    return replace(record, progress={**record.progress, **progress})


def _ended(
    authority: Mapping[Code, tuple[Authority, ...]], phases: Collection[Code], at: datetime | None
) -> Mapping[Code, tuple[Authority, ...]]:
    """The authority after these phases have lost theirs; where nobody can tell when, as if they had never had it."""
    return {
        phase: tuple(
            replace(each, until=at) if phase in phases and each.until is None else each
            for each in held
            if at is not None or phase not in phases or each.until is not None
        )
        for phase, held in authority.items()
    }


def _heeding(record: Record, review: ReviewId | None) -> Record:
    return record if review is None else replace(record, heeded=record.heeded | {review})


PROJECT: Final[Aggregate[Project, Command, Event]] = Aggregate("project", Unregistered(), decide, evolve)


def stream_of(portfolio: PortfolioId, reference: Code) -> ProjectId:
    """The project's id: a reference is unique within its portfolio, so the same project can't be registered twice."""
    return ProjectId(uuid5(portfolio, reference))
