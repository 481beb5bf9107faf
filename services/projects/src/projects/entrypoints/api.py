"""What people and programs can ask of projects over HTTP."""

from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from typing import Any, Final, TypeAlias
from uuid import UUID
from zoneinfo import available_timezones

from pydantic import BaseModel

from govevents.projects import (
    Attribute,
    Charter,
    GateBreached,
    Methodology,
    MilestoneBasis,
    MilestoneSet,
    ProjectObserved,
)
from govkernel.access import NODES, NodeKind, NodeRow, NodeStatus, day_in
from govkernel.domain import Code, Currency, Money, Name, NodeId, PortfolioId, ProgrammeId, ProjectId, Source, Text
from govkernel.http import Ask, Body, Call, InputError, Page, ServiceApi, invalid, not_found
from govkernel.ledger import Intent
from govkernel.readmodels import decode_row
from projects.adapters import methodologies
from projects.adapters.queries import listed, nodes
from projects.adapters.tree import moments_of, portfolio_of, programmes_from, time_zone_of, today_at
from projects.domain import portfolio as portfolios
from projects.domain import programme as programmes
from projects.domain import project as projects
from projects.domain.portfolio import (
    PORTFOLIO,
    ParentNotKnown,
    ParentOfAnotherPortfolio,
    PortfolioAlreadyRegistered,
    RegisterPortfolio,
)
from projects.domain.programme import (
    PROGRAMME,
    MoveProgramme,
    ProgrammeAlreadyRegistered,
    ProgrammeBelowItself,
    ProgrammeNotKnown,
    RegisterProgramme,
)
from projects.domain.project import (
    PROJECT,
    Active,
    AmendCharter,
    BudgetInOtherCurrency,
    ClosureWithOpenConditions,
    Completed,
    CompletePhase,
    CompleteProject,
    GateNotOfProject,
    HoldProject,
    LapsedConditionOpen,
    MethodologyUnclear,
    MilestoneNotYetReached,
    MoveProject,
    ObservationDiffers,
    OnHold,
    OpenCondition,
    PhaseAlreadyComplete,
    PhaseBeforeNotComplete,
    PhaseNotAuthorised,
    PhaseNotOfProject,
    PhaseNotStarted,
    PhasesNotComplete,
    Progress,
    Project,
    ProjectAlreadyRegistered,
    ProjectEnded,
    ProjectNotKnown,
    ProjectOnHold,
    RecordObservation,
    RegisterProject,
    ReportWork,
    ResumeProject,
    SetMilestone,
    StartPhase,
    Terminated,
    TerminateProject,
    WorkNotYetBegun,
)

AnyIntent: TypeAlias = Intent[Any, Any, Any]

METHODOLOGIES: Final = methodologies.load()
TIME_ZONES: Final = available_timezones() - {"localtime", "Factory"}
STATUS: Final[Mapping[type[Project], NodeStatus]] = {
    Active: NodeStatus.ACTIVE,
    OnHold: NodeStatus.ON_HOLD,
    Completed: NodeStatus.COMPLETED,
    Terminated: NodeStatus.TERMINATED,
}

api = ServiceApi(
    "projects",
    title="Gatehouse: projects",
    # Only reactions meet it; whoever looks a command of theirs up finds it recorded with this status.
    refusals={GateNotOfProject: 409},
)


class PortfolioRequest(Body):
    """A portfolio; its name is its own in the installation."""

    name: Name
    currency: Currency
    time_zone: Code


class PortfolioView(BaseModel):
    """A portfolio."""

    portfolio: PortfolioId
    name: Name
    currency: Currency
    time_zone: Code


@api.command(
    "/portfolios",
    operation="registerPortfolio",
    body=PortfolioRequest,
    action="portfolio.register",
    refusals=(PortfolioAlreadyRegistered,),
)
async def register_portfolio(call: Call[PortfolioRequest]) -> AnyIntent:
    """Register a portfolio: the top of a tree of programmes and projects."""
    body = call.body
    if body.time_zone not in TIME_ZONES:
        raise _fault("/time_zone", body.time_zone, "no IANA time zone", "give one such as Australia/Melbourne")
    return Intent(
        PORTFOLIO, portfolios.stream_of(body.name), RegisterPortfolio(body.name, body.currency, body.time_zone)
    )


@api.query("/portfolios", operation="listPortfolios", response=Page[PortfolioView], paged=True, found=False)
async def list_portfolios(ask: Ask) -> Page[PortfolioView]:
    """List the portfolios that the caller may see, by name."""
    query = listed(NodeKind.PORTFOLIO, await ask.visible_nodes("node.read"))
    async with ask.connection() as connection:
        rows = (await connection.execute(ask.keyset(query, nodes.c.name, nodes.c.node))).all()
    return ask.page(
        rows,
        lambda row: PortfolioView(portfolio=row.node, name=row.name, currency=row.currency, time_zone=row.time_zone),
        lambda row: (row.name, row.node),
    )


@api.query("/portfolios/{portfolio}", operation="getPortfolio", response=PortfolioView)
async def get_portfolio(ask: Ask, portfolio: UUID) -> PortfolioView:
    """Read a portfolio."""
    await ask.require("node.read", NodeId(portfolio))
    loaded = await ask.runtime.ledger.load(PORTFOLIO, portfolio)
    if isinstance(loaded.state, portfolios.Unregistered):
        raise ask.missing("portfolio", portfolio)
    ask.tag(portfolio, loaded.head.version)
    registered = loaded.state.registered
    return PortfolioView(
        portfolio=PortfolioId(portfolio),
        name=registered.name,
        currency=registered.currency,
        time_zone=registered.time_zone,
    )


class ProgrammeRequest(Body):
    """A programme below a portfolio or another programme; its name is its own in the portfolio."""

    portfolio: PortfolioId
    parent: NodeId
    name: Name


class MoveRequest(Body):
    """Where a node is to stand from now on."""

    parent: NodeId


class ProgrammeView(BaseModel):
    """A programme."""

    programme: ProgrammeId
    portfolio: PortfolioId
    parent: NodeId
    name: Name


@api.command(
    "/programmes",
    operation="registerProgramme",
    body=ProgrammeRequest,
    action="programme.register",
    refusals=(ProgrammeAlreadyRegistered, ParentNotKnown, ParentOfAnotherPortfolio),
)
async def register_programme(call: Call[ProgrammeRequest]) -> AnyIntent:
    """Register a programme below a portfolio or another programme."""
    body = call.body
    return Intent(
        PROGRAMME,
        programmes.stream_of(body.portfolio, body.name),
        RegisterProgramme(body.portfolio, body.parent, await portfolio_of(call.ledger, body.parent), body.name),
        node=body.parent,
    )


@api.command(
    "/programmes/{programme}/moves",
    operation="moveProgramme",
    body=MoveRequest,
    action="programme.move",
    refusals=(ProgrammeNotKnown, ProgrammeBelowItself, ParentNotKnown, ParentOfAnotherPortfolio),
)
async def move_programme(call: Call[MoveRequest]) -> AnyIntent:
    """Put a programme below another node of its portfolio."""
    parent = call.body.parent
    await call.runtime.require(call.caller, parent, call.context.now, "programme.move")
    parent_portfolio = await portfolio_of(call.ledger, parent)
    above = () if parent_portfolio is None else await programmes_from(call.ledger, parent, parent_portfolio)
    moved = ProgrammeId(call.path_id("programme"))
    return Intent(
        PROGRAMME,
        moved,
        MoveProgramme(moved, parent, parent_portfolio, tuple(NodeId(head.stream) for head in above)),
        # Two moves that cross would make a circle: each rests on where the programmes above stand.
        relies_on=tuple(head for head in above if head.stream != moved),
        node=NodeId(moved),
    )


@api.query("/programmes/{programme}", operation="getProgramme", response=ProgrammeView)
async def get_programme(ask: Ask, programme: UUID) -> ProgrammeView:
    """Read a programme."""
    await ask.require("node.read", NodeId(programme))
    loaded = await ask.runtime.ledger.load(PROGRAMME, programme)
    if isinstance(loaded.state, programmes.Unregistered):
        raise ask.missing("programme", programme)
    ask.tag(programme, loaded.head.version)
    registered = loaded.state.registered
    return ProgrammeView(
        programme=ProgrammeId(programme),
        portfolio=registered.portfolio,
        parent=loaded.state.parent,
        name=registered.name,
    )


class MethodologyRequest(Body):
    """A methodology at a version, one of those that the service lists."""

    name: Code
    version: int


class ProjectRequest(Body):
    """A project; its reference is its own in the portfolio. Imports may leave the methodology open."""

    portfolio: PortfolioId
    parent: NodeId
    reference: Code
    name: Name
    charter: Charter
    methodology: MethodologyRequest | None = None
    attributes: tuple[Attribute, ...] = ()
    source: Source | None = None


class CharterRequest(Body):
    """The whole charter as it is to read, and why."""

    charter: Charter
    reason: Text


class PhaseRequest(Body):
    """A phase of the project's methodology, by its code."""

    phase: Code


class WorkReportRequest(Body):
    """In which phase work began, on which of the portfolio's days, and how that is known."""

    phase: Code
    began_on: date
    remark: Text = ""


class ReasonRequest(Body):
    """Why."""

    reason: Text


class SummaryRequest(Body):
    """What the project has come to."""

    summary: Text


class ObservationRequest(Body):
    """What an imported report said of a project on a date; what it was silent on is null or left out."""

    reported_on: date
    phase: Name | None = None
    budget_forecast: Money | None = None
    budget_change: Money | None = None
    forecast_completion: date | None = None
    schedule_change_days: Decimal | None = None
    source: Source


class MilestoneRequest(Body):
    """When a milestone happened or is planned."""

    milestone: Code
    basis: MilestoneBasis
    date: date
    source: Source | None = None


class PhaseView(BaseModel):
    """A phase, the gate before it, and how far it has come."""

    code: Code
    name: Name
    gate: Code | None
    progress: Progress


class ProjectSummary(BaseModel):
    """A project as lists show it."""

    project: ProjectId
    portfolio: PortfolioId
    parent: NodeId
    reference: Code
    name: Name
    status: NodeStatus
    sponsor: UUID | None
    manager: UUID | None
    value: Money | None


class ProjectView(BaseModel):
    """A project as it stands, with the newest of its observations.

    `breaches` is the work that began before a gate had said so, `open_conditions` what a project can't be closed with.
    """

    project: ProjectId
    portfolio: PortfolioId
    parent: NodeId
    reference: Code
    name: Name
    status: NodeStatus
    charter: Charter
    methodology: Methodology | None
    phases: tuple[PhaseView, ...]
    breaches: tuple[GateBreached, ...]
    open_conditions: tuple[OpenCondition, ...]
    attributes: tuple[Attribute, ...]
    milestones: tuple[MilestoneSet, ...]
    observations: int
    latest_observation: ProjectObserved | None
    source: Source | None


@api.command(
    "/projects",
    operation="registerProject",
    body=ProjectRequest,
    action="project.register",
    refusals=(ProjectAlreadyRegistered, MethodologyUnclear, ParentNotKnown, ParentOfAnotherPortfolio),
)
async def register_project(call: Call[ProjectRequest]) -> AnyIntent:
    """Register a project below a portfolio or a programme."""
    body = call.body
    command = RegisterProject(
        portfolio=body.portfolio,
        parent=body.parent,
        parent_portfolio=await portfolio_of(call.ledger, body.parent),
        reference=body.reference,
        name=body.name,
        charter=body.charter,
        methodology=_methodology(body.methodology),
        attributes=body.attributes,
        source=body.source,
    )
    return Intent(PROJECT, projects.stream_of(body.portfolio, body.reference), command, node=body.parent)


@api.query("/projects", operation="listProjects", response=Page[ProjectSummary], paged=True, found=False)
async def list_projects(
    ask: Ask, portfolio: PortfolioId | None = None, reference: str | None = None
) -> Page[ProjectSummary]:
    """List the projects that the caller may see, by reference."""
    query = listed(NodeKind.PROJECT, await ask.visible_nodes("node.read"))
    if portfolio is not None:
        query = query.where(nodes.c.portfolio == portfolio)
    if reference is not None:
        query = query.where(nodes.c.reference == reference)
    async with ask.connection() as connection:
        rows = (await connection.execute(ask.keyset(query, nodes.c.reference, nodes.c.node))).mappings().all()
    return ask.page([decode_row(NODES, row) for row in rows], _summary, lambda row: (row.reference, row.node))


@api.query("/projects/{project}", operation="getProject", response=ProjectView)
async def get_project(ask: Ask, project: UUID) -> ProjectView:
    """Read a project."""
    await ask.require("node.read", NodeId(project))
    loaded = await ask.runtime.ledger.load(PROJECT, project)
    if isinstance(loaded.state, projects.Unregistered):
        raise ask.missing("project", project)
    ask.tag(project, loaded.head.version)
    record = loaded.state.record
    registered = record.registered
    return ProjectView(
        project=ProjectId(project),
        portfolio=registered.portfolio,
        parent=record.parent,
        reference=registered.reference,
        name=registered.name,
        status=STATUS[type(loaded.state)],
        charter=record.charter,
        methodology=registered.methodology,
        phases=tuple(
            PhaseView(code=phase.code, name=phase.name, gate=phase.gate, progress=record.progress[phase.code])
            for phase in record.phases
        ),
        breaches=tuple(record.breaches.values()),
        open_conditions=tuple(sorted(record.open_conditions)),
        attributes=registered.attributes,
        milestones=tuple(record.milestones.values()),
        observations=len(record.observations),
        latest_observation=record.observations[max(record.observations)] if record.observations else None,
        source=registered.source,
    )


@api.command(
    "/projects/{project}/charter-amendments",
    operation="amendCharter",
    body=CharterRequest,
    action="charter.amend",
    refusals=(ProjectNotKnown, ProjectEnded),
)
async def amend_charter(call: Call[CharterRequest]) -> AnyIntent:
    """Let a project's charter read differently."""
    return _to_project(call, AmendCharter(call.body.charter, call.body.reason))


@api.command(
    "/projects/{project}/moves",
    operation="moveProject",
    body=MoveRequest,
    action="project.move",
    refusals=(ProjectNotKnown, ParentNotKnown, ParentOfAnotherPortfolio),
)
async def move_project(call: Call[MoveRequest]) -> AnyIntent:
    """Put a project below another node of its portfolio."""
    parent = call.body.parent
    await call.runtime.require(call.caller, parent, call.context.now, "project.move")
    return _to_project(call, MoveProject(parent, await portfolio_of(call.ledger, parent)))


@api.command(
    "/projects/{project}/phase-starts",
    operation="startPhase",
    body=PhaseRequest,
    action="phase.start",
    refusals=(
        ProjectNotKnown,
        ProjectEnded,
        ProjectOnHold,
        PhaseNotOfProject,
        PhaseNotAuthorised,
        PhaseBeforeNotComplete,
        PhaseAlreadyComplete,
    ),
)
async def start_phase(call: Call[PhaseRequest]) -> AnyIntent:
    """Begin work in a phase."""
    return _to_project(call, StartPhase(call.body.phase))


@api.command(
    "/projects/{project}/phase-completions",
    operation="completePhase",
    body=PhaseRequest,
    action="phase.complete",
    refusals=(ProjectNotKnown, ProjectEnded, ProjectOnHold, PhaseNotOfProject, PhaseNotStarted),
)
async def complete_phase(call: Call[PhaseRequest]) -> AnyIntent:
    """Declare the work in a phase finished."""
    return _to_project(call, CompletePhase(call.body.phase))


@api.command(
    "/projects/{project}/work-reports",
    operation="reportWork",
    body=WorkReportRequest,
    action="work.report",
    refusals=(ProjectNotKnown, PhaseNotOfProject, WorkNotYetBegun),
)
async def report_work(call: Call[WorkReportRequest]) -> AnyIntent:
    """Report that work in a phase has begun; where no gate had said so on that day, this is a breach of the gate.

    The gate is the phase's own, else the last one before it. Where it had said so, or there is none, nothing is
    recorded. A breach begins no phase, and is recorded once for each phase and day.
    """
    body = call.body
    project = ProjectId(call.path_id("project"))
    time_zone = await time_zone_of(call.ledger, project)
    if time_zone is None:
        raise not_found("project", project)
    day_begins, day_ends = moments_of(time_zone, body.began_on)
    return _to_project(
        call,
        ReportWork(
            phase=body.phase,
            began_on=body.began_on,
            day_begins=day_begins,
            day_ends=day_ends,
            today=day_in(time_zone, call.now),
            reported_by=call.subject,
            remark=body.remark,
        ),
    )


@api.command(
    "/projects/{project}/holds",
    operation="holdProject",
    body=ReasonRequest,
    action="project.hold",
    refusals=(ProjectNotKnown, ProjectEnded),
)
async def hold_project(call: Call[ReasonRequest]) -> AnyIntent:
    """Let a project rest."""
    return _to_project(call, HoldProject(call.body.reason))


@api.command(
    "/projects/{project}/resumptions",
    operation="resumeProject",
    body=ReasonRequest,
    action="project.resume",
    refusals=(ProjectNotKnown, ProjectEnded, LapsedConditionOpen),
)
async def resume_project(call: Call[ReasonRequest]) -> AnyIntent:
    """Let a resting project go on; one that a lapsed condition holds, once that is met or waived."""
    return _to_project(call, ResumeProject(call.body.reason))


@api.command(
    "/projects/{project}/terminations",
    operation="terminateProject",
    body=ReasonRequest,
    action="project.terminate",
    refusals=(ProjectNotKnown, ProjectEnded),
)
async def terminate_project(call: Call[ReasonRequest]) -> AnyIntent:
    """End a project before its aim."""
    return _to_project(call, TerminateProject(call.body.reason))


@api.command(
    "/projects/{project}/completions",
    operation="completeProject",
    body=SummaryRequest,
    action="project.complete",
    refusals=(ProjectNotKnown, ProjectEnded, ProjectOnHold, PhasesNotComplete, ClosureWithOpenConditions),
)
async def complete_project(call: Call[SummaryRequest]) -> AnyIntent:
    """Declare that a project has reached its end."""
    return _to_project(call, CompleteProject(call.body.summary))


@api.command(
    "/projects/{project}/observations",
    operation="recordObservation",
    body=ObservationRequest,
    action="observation.record",
    refusals=(ProjectNotKnown, ObservationDiffers, BudgetInOtherCurrency),
)
async def record_observation(call: Call[ObservationRequest]) -> AnyIntent:
    """Keep what an imported report said of a project."""
    body = call.body
    return _to_project(
        call,
        RecordObservation(
            body.reported_on,
            body.phase,
            body.budget_forecast,
            body.budget_change,
            body.forecast_completion,
            body.schedule_change_days,
            body.source,
        ),
    )


@api.command(
    "/projects/{project}/milestones",
    operation="setMilestone",
    body=MilestoneRequest,
    action="milestone.set",
    refusals=(ProjectNotKnown, MilestoneNotYetReached),
)
async def set_milestone(call: Call[MilestoneRequest]) -> AnyIntent:
    """Say when a milestone happened, or when it is planned."""
    body = call.body
    project = ProjectId(call.path_id("project"))
    today = await today_at(call.ledger, project, call.now)
    if today is None:
        raise not_found("project", project)
    return _to_project(call, SetMilestone(body.milestone, body.basis, body.date, body.source, today))


@api.query("/methodologies", operation="listMethodologies", response=Page[Methodology], found=False)
async def list_methodologies(ask: Ask) -> Page[Methodology]:
    """List the methodologies that a project can be registered with."""
    ask.open_to_every_caller()
    return Page(items=list(METHODOLOGIES.values()))


def _to_project(call: Call[Any], command: projects.Command) -> AnyIntent:
    stream = call.path_id("project")
    return Intent(PROJECT, stream, command, node=NodeId(stream))


def _methodology(asked: MethodologyRequest | None) -> Methodology | None:
    if asked is None:
        return None
    found = METHODOLOGIES.get((asked.name, asked.version))
    if found is None:
        known = ", ".join(f"{name} version {version}" for name, version in METHODOLOGIES)
        raise _fault("/methodology", f"{asked.name} version {asked.version}", "no such methodology", f"give {known}")
    return found


def _fault(pointer: str, value: str, detail: str, remedy: str) -> Exception:
    return invalid([InputError(pointer=pointer, detail=detail, value=value[:80], remedy=remedy)])


def _summary(row: NodeRow) -> ProjectSummary:
    assert row.parent is not None, "only portfolios have no parent"
    assert row.reference is not None, "every project has a reference"
    return ProjectSummary(
        project=ProjectId(row.node),
        portfolio=row.portfolio,
        parent=row.parent,
        reference=row.reference,
        name=row.name,
        status=row.status,
        sponsor=row.sponsor,
        manager=row.manager,
        value=row.value,
    )
