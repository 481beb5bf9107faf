"""What people and programs can ask of approvals over HTTP."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Final, TypeAlias, assert_never
from uuid import UUID

from pydantic import BaseModel, Field

from approvals.adapters import queries
from approvals.adapters.queries import AccountErased, AccountOfOtherPerson, Entry, ProjectFacts, roles
from approvals.adapters.tables import directory
from approvals.application.electorate import (
    DecidingBodyMissing,
    ElectorateTooSmall,
    PersonNotKnown,
    PolicyMissing,
    Project,
    ProjectValueMissing,
    deciding_body,
    edition_of,
    elect,
)
from approvals.domain import body as bodies
from approvals.domain import decision as decisions
from approvals.domain import gate_policy as policies
from approvals.domain import project_reviews, role_assignment, value_bands
from approvals.domain.body import (
    BODY,
    BODY_OF,
    AppointMember,
    BodyAlreadyFormed,
    BodyNotKnown,
    ChairTaken,
    FormBody,
    NotAMember,
    PersonAlreadySits,
    ReleaseMember,
    TermEndsBeforeItBegins,
)
from approvals.domain.decision import DECISION, DecisionAlreadyRecorded, DecisionNotYetMade, RecordDecision
from approvals.domain.gate_policy import (
    GATE_POLICY,
    ElectorateEmpty,
    ElectorateNamesTwoBodies,
    FailureMayNotPass,
    GateDoesNotFitKind,
    PublishPolicy,
    QuorumOutOfRange,
    ThresholdDoesNotFitRule,
    ThresholdOutOfRange,
    TimeLimitOutOfRange,
)
from approvals.domain.project_reviews import PROJECT_REVIEWS, ProjectHasEnded
from approvals.domain.review import (
    REVIEW,
    REVIEW_OF,
    CastVote,
    CloseCondition,
    Concluded,
    ConditionAlreadyClosed,
    ConditionNotKnown,
    ConditionsDoNotFitChoice,
    ConditionsDoNotFitProposal,
    Draft,
    DraftReview,
    Escalated,
    EvidenceListedTwice,
    EvidenceMissing,
    NotAnElector,
    NotDrafted,
    Open,
    OutcomeNotProposable,
    ProjectManagerMayNotVote,
    ProposalSameAsFailure,
    ReasonMissing,
    Review,
    ReviewAlreadyConcluded,
    ReviewAlreadyDrafted,
    ReviewAlreadySubmitted,
    ReviewNotConcluded,
    ReviewNotKnown,
    ReviewNotOpen,
    SecondAccount,
    SeenIncomplete,
    SponsorMayNotVote,
    SubmitReview,
    SubmitterMayNotVote,
    Withdrawn,
    WithdrawReview,
    tally,
)
from approvals.domain.role_assignment import (
    ROLE_ASSIGNMENT,
    ROLE_AT,
    AccountOfAnotherPerson,
    AssignRole,
    RevokeRole,
    RoleNotAssigned,
)
from approvals.domain.value_bands import (
    VALUE_BANDS,
    BandsNotPublished,
    BandsNotRising,
    BandsOfSeveralCurrencies,
    CurrencyMismatch,
    NoBandForValue,
    NoBands,
    PublishBands,
    body_for,
)
from govevents.approvals import (
    AtTimeLimit,
    Choice,
    Condition,
    Duty,
    Electorate,
    Ending,
    Evidence,
    GatePolicyPublished,
    Outcome,
    Quorum,
    ReviewKind,
    ReviewSubmitted,
    Role,
    Rule,
    Seen,
    Tally,
    TimeLimit,
    ValueBand,
    VoteCast,
)
from govevents.document import Origin
from govkernel.access import day_in
from govkernel.domain import (
    BodyId,
    Code,
    Money,
    Name,
    NodeId,
    NotKnownYet,
    PersonId,
    PortfolioId,
    ProjectId,
    Refusal,
    ReviewId,
    Source,
    SubjectId,
    Text,
    ValueRefused,
)
from govkernel.http import Ask, Body, Call, InputError, Page, ServiceApi, invalid, not_found
from govkernel.ledger import Head, Intent
from govkernel.logging import logger
from govkernel.tables import events

AnyIntent: TypeAlias = Intent[Any, Any, Any]

READ: Final = "node.read"
KEEP_ADMINISTRATORS: Final = "administrator.keep"
STATES: Final[Mapping[type[Review], str]] = {
    Draft: "draft",
    Open: "open",
    Concluded: "concluded",
    Escalated: "escalated",
    Withdrawn: "withdrawn",
}


log = logger(__name__)


class PortfolioNotKnown(NotKnownYet):
    """No portfolio is known under this id; one that was just registered may not have arrived here yet."""


class ProjectNotKnown(NotKnownYet):
    """No project is known under this id; one that was just registered may not have arrived here yet."""


class NodeNotKnown(NotKnownYet):
    """No node of a portfolio is known under this id; one that was just registered may not have arrived here yet."""


class NotImportable(Refusal):
    """Nobody asks or votes here in the past; a decision that was made elsewhere is recorded with POST /decisions."""


api = ServiceApi(
    "approvals",
    title="Gatehouse: approvals",
    refusals={
        PersonNotKnown: 409,
        SubmitterMayNotVote: 403,
        ProjectManagerMayNotVote: 403,
        SponsorMayNotVote: 403,
        NotAnElector: 403,
        SecondAccount: 403,
    },
)
api.actions.add(KEEP_ADMINISTRATORS)


class EntryRequest(Body):
    """An account and its person's name and address; a second account of one person names that person.

    Without a person an account that is known keeps its own, and a new one is its person's first.
    """

    subject: SubjectId
    person: PersonId | None = None
    name: Name
    email: Text


class EntryView(BaseModel):
    """An account in the directory; name and address are null once the person is erased."""

    subject: SubjectId
    person: PersonId
    name: str | None
    email: str | None
    erased_at: datetime | None


class ErasureRequest(Body):
    """Why a person's name and addresses are to be forgotten."""

    reason: Text


class ErasureView(BaseModel):
    """Whose names are gone, and from how many accounts."""

    person: PersonId
    accounts: int


@api.operate(
    "/directory",
    operation="registerAccount",
    action="directory.keep",
    body=EntryRequest,
    response=EntryView,
    status=200,
)
async def register_account(call: Call[EntryRequest]) -> EntryView:
    """Put an account into the directory, or correct its name and address."""
    body = call.body
    try:
        entry = await queries.register(
            call.runtime.engine, subject=body.subject, person=body.person, name=body.name, email=body.email
        )
    except AccountOfOtherPerson as refusal:
        remedy = f"leave the person out, or give {refusal.facts['person']}, whom the account belongs to"
        raise _fault("/person", body.person, refusal.detail, remedy) from None
    except AccountErased as refusal:
        raise _fault("/subject", body.subject, refusal.detail, "give another account") from None
    return _entry_view(entry)


@api.query("/directory/{subject}", operation="getAccount", response=EntryView)
async def get_account(ask: Ask, subject: UUID) -> EntryView:
    """Read an account's entry in the directory."""
    await ask.require("directory.keep", None)
    entry = (await queries.entries(ask.runtime.engine, [subject])).get(SubjectId(subject))
    if entry is None:
        raise ask.missing("account", subject)
    return _entry_view(entry)


@api.query("/directory", operation="listAccounts", response=Page[EntryView], paged=True, found=False)
async def list_accounts(ask: Ask, person: UUID) -> Page[EntryView]:
    """List the accounts of a person."""
    await ask.require("directory.keep", None)
    query = ask.keyset(queries.accounts_of(PersonId(person)), directory.c.subject)
    async with ask.connection() as connection:
        rows = (await connection.execute(query)).all()
    return ask.page(rows, lambda row: _entry_view(queries.entry_of(row)), lambda row: (row.subject,))


@api.operate(
    "/directory/{person}/erasures",
    operation="erasePerson",
    action="directory.erase",
    body=ErasureRequest,
    response=ErasureView,
    texts=("person",),
)
async def erase_person(call: Call[ErasureRequest]) -> ErasureView:
    """Forget a person's name and addresses; the log keeps its opaque ids and stays valid.

    The reason and who gave it are kept in the service's own log, for the ledger is not to know of the person.
    """
    person = PersonId(call.path_id("person"))
    accounts = await queries.erase(call.runtime.engine, person=person, at=call.context.now)
    if accounts == 0:
        raise not_found("person", person)
    log.info("person erased", person=str(person), accounts=accounts, reason=call.body.reason)
    return ErasureView(person=person, accounts=accounts)


class BodyRequest(Body):
    """A body that decides for a portfolio; its name is its own there."""

    portfolio: PortfolioId
    name: Name


class MemberRequest(Body):
    """A seat, from the first day to the last, both included; no last day is until released."""

    member: SubjectId
    chair: bool = False
    first_day: date
    last_day: date | None = None


class ReleaseRequest(Body):
    """Whose seats are taken back, and why."""

    member: SubjectId
    reason: Text


class SeatView(BaseModel):
    """A seat on a body; the name is null for whoever has been erased."""

    member: SubjectId
    name: str | None
    chair: bool
    first_day: date
    last_day: date | None


class BodyView(BaseModel):
    """A body with its seats, past and to come."""

    body: BodyId
    portfolio: PortfolioId
    name: Name
    seats: list[SeatView]


@api.command(
    "/bodies",
    operation="formBody",
    action="body.keep",
    body=BodyRequest,
    refusals=(PortfolioNotKnown, BodyAlreadyFormed),
)
async def form_body(call: Call[BodyRequest]) -> AnyIntent:
    """Form a body that decides for a portfolio."""
    body = call.body
    await _check_portfolio(call, "body.keep", body.portfolio)
    return Intent(
        BODY,
        bodies.stream_of(body.portfolio, body.name),
        FormBody(body.portfolio, body.name),
        node=NodeId(body.portfolio),
    )


@api.command(
    "/bodies/{body}/members",
    operation="appointMember",
    action="body.keep",
    body=MemberRequest,
    refusals=(BodyNotKnown, PersonNotKnown, TermEndsBeforeItBegins, PersonAlreadySits, ChairTaken),
)
async def appoint_member(call: Call[MemberRequest]) -> AnyIntent:
    """Give a person a seat on a body."""
    body = call.body
    node = await _node_of_body(call)
    await _may(call, "body.keep", node)
    person = await _person(call, body.member)
    command = AppointMember(body.member, person, body.chair, body.first_day, body.last_day)
    return Intent(BODY, call.path_id("body"), command, node=node)


@api.command(
    "/bodies/{body}/member-releases",
    operation="releaseMember",
    action="body.keep",
    body=ReleaseRequest,
    refusals=(BodyNotKnown, NotAMember),
)
async def release_member(call: Call[ReleaseRequest]) -> AnyIntent:
    """Take a member's seats back, at once."""
    command = ReleaseMember(call.body.member, call.body.reason)
    return Intent(BODY, call.path_id("body"), command, node=await _node_of_body(call))


@api.query("/bodies/{body}", operation="getBody", response=BodyView)
async def get_body(ask: Ask, body: UUID) -> BodyView:
    """Read a body and its seats."""
    loaded = await ask.runtime.ledger.load(BODY, body)
    if not isinstance(loaded.state, bodies.Formed):
        raise ask.missing("body", body)
    await ask.require(READ, NodeId(loaded.state.formed.portfolio))
    ask.tag(body, loaded.head.version)
    return await _body_view(ask, BodyId(body), loaded.state)


@api.query("/bodies", operation="listBodies", response=Page[BodyView], paged=True, found=False)
async def list_bodies(ask: Ask, portfolio: UUID) -> Page[BodyView]:
    """List a portfolio's bodies, in the order in which they were formed."""
    await ask.require(READ, NodeId(portfolio))
    rows = await _linked(ask, BODY_OF, portfolio)
    views = {}
    for row in rows[: ask.window.limit]:
        state = (await ask.runtime.ledger.load(BODY, row.stream)).state
        assert isinstance(state, bodies.Formed), "only a body that was formed has this link"
        views[row.stream] = await _body_view(ask, BodyId(row.stream), state)
    return ask.page(rows, lambda row: views[row.stream], lambda row: (row.seq,))


class RoleRequest(Body):
    """A role at a node and all below it, from the first day to the last, both included."""

    holder: SubjectId
    role: Role
    node: NodeId
    first_day: date
    last_day: date | None = None


class RevocationRequest(Body):
    """Which role is taken back, and why."""

    holder: SubjectId
    role: Role
    node: NodeId
    reason: Text


class RoleView(BaseModel):
    """A role that is assigned at a node."""

    holder: SubjectId
    name: str | None
    role: Role
    node: NodeId
    first_day: date
    last_day: date | None


@api.command(
    "/role-assignments",
    operation="assignRole",
    action="role.keep",
    body=RoleRequest,
    refusals=(NodeNotKnown, PersonNotKnown, TermEndsBeforeItBegins, AccountOfAnotherPerson),
)
async def assign_role(call: Call[RoleRequest]) -> AnyIntent:
    """Give an account a role at a node; only administrators make administrators."""
    body = call.body
    action = _keeping(body.role)
    await _may(call, action, body.node)
    if not await queries.is_node(call.runtime.engine, body.node):
        raise NodeNotKnown(node=str(body.node))
    person = await _person(call, body.holder)
    return Intent(
        ROLE_ASSIGNMENT,
        role_assignment.stream_of(body.node, body.role, body.holder),
        AssignRole(body.holder, person, body.role, body.node, body.first_day, body.last_day),
        node=body.node,
        action=action,
    )


@api.command(
    "/role-revocations",
    operation="revokeRole",
    action="role.keep",
    body=RevocationRequest,
    refusals=(RoleNotAssigned,),
)
async def revoke_role(call: Call[RevocationRequest]) -> AnyIntent:
    """Take a role back, at once."""
    body = call.body
    return Intent(
        ROLE_ASSIGNMENT,
        role_assignment.stream_of(body.node, body.role, body.holder),
        RevokeRole(body.reason),
        node=body.node,
        action=_keeping(body.role),
    )


@api.query("/role-assignments", operation="listRoles", response=Page[RoleView], paged=True, found=False)
async def list_roles(ask: Ask, node: UUID) -> Page[RoleView]:
    """List the roles that are assigned at a node itself."""
    await ask.require(READ, NodeId(node))
    query = ask.keyset(queries.roles_at(NodeId(node)), roles.c.role, roles.c.holder)
    async with ask.connection() as connection:
        rows = (await connection.execute(query)).all()
    known = await queries.entries(ask.runtime.engine, [row.holder for row in rows])
    return ask.page(
        rows,
        lambda row: RoleView(
            holder=row.holder,
            name=_name(known, row.holder),
            role=Role(row.role),
            node=row.node,
            first_day=row.first_day,
            last_day=row.last_day,
        ),
        lambda row: (row.role, row.holder),
    )


class BandsRequest(Body):
    """The table that says whose decision a value is, in rising order; it replaces the one before."""

    portfolio: PortfolioId
    bands: tuple[ValueBand, ...]
    source: Source | None = None


class BandsView(BaseModel):
    """The table that holds now."""

    portfolio: PortfolioId
    bands: tuple[ValueBand, ...]
    source: Source | None


class DecidingBodyView(BaseModel):
    """The body that must decide on a value."""

    body: BodyId
    name: Name


@api.command(
    "/value-bands",
    operation="publishBands",
    action="policy.publish",
    body=BandsRequest,
    refusals=(PortfolioNotKnown, NoBands, BandsNotRising, BandsOfSeveralCurrencies, BodyNotKnown),
)
async def publish_bands(call: Call[BandsRequest]) -> AnyIntent:
    """Publish the table of value bands of a portfolio."""
    body = call.body
    await _check_portfolio(call, "policy.publish", body.portfolio)
    relied_on = [await _head_of_body(call, body.portfolio, band.body) for band in body.bands]
    return Intent(
        VALUE_BANDS,
        value_bands.stream_of(body.portfolio),
        PublishBands(body.portfolio, body.bands, body.source),
        relies_on=_once(relied_on),
        node=NodeId(body.portfolio),
    )


@api.query("/value-bands/{portfolio}", operation="getBands", response=BandsView)
async def get_bands(ask: Ask, portfolio: UUID) -> BandsView:
    """Read the table of value bands of a portfolio."""
    await ask.require(READ, NodeId(portfolio))
    stream = value_bands.stream_of(PortfolioId(portfolio))
    loaded = await ask.runtime.ledger.load(VALUE_BANDS, stream)
    if not isinstance(loaded.state, value_bands.Published):
        raise ask.missing("value bands", portfolio)
    ask.tag(stream, loaded.head.version)
    table = loaded.state.table
    return BandsView(portfolio=table.portfolio, bands=table.bands, source=table.source)


@api.query("/value-bands/{portfolio}/decisions", operation="whoDecides", response=DecidingBodyView)
async def who_decides(ask: Ask, portfolio: UUID, amount: str, currency: str) -> DecidingBodyView:
    """Say whose decision a value is."""
    await ask.require(READ, NodeId(portfolio))
    try:
        value = Money(Decimal(amount), currency)
    except ArithmeticError:
        raise _parameter_fault("amount", amount, "give a decimal such as 12.50") from None
    except ValueRefused as refused:
        raise _parameter_fault(refused.field, str(refused.value), refused.remedy) from None
    bands = (await ask.runtime.ledger.load(VALUE_BANDS, value_bands.stream_of(PortfolioId(portfolio)))).state
    try:
        deciding = body_for(bands, value)
    except BandsNotPublished:
        raise ask.missing("value bands", portfolio) from None
    except (CurrencyMismatch, NoBandForValue) as refusal:
        facts = ", ".join(f"{name} {fact}" for name, fact in refusal.facts.items())
        raise _parameter_fault("amount", f"{amount} {currency}", f"{refusal.detail} ({facts})") from None
    state = (await ask.runtime.ledger.load(BODY, deciding)).state
    assert isinstance(state, bodies.Formed), "a table is published with bodies that were formed"
    return DecidingBodyView(body=deciding, name=state.formed.name)


class PolicyRequest(Body):
    """How a kind of review is decided from now on; see GatePolicyPublished for what the fields mean."""

    portfolio: PortfolioId
    kind: ReviewKind
    gate: Code | None = None
    electorate: Electorate
    quorum: Quorum
    rule: Rule
    threshold: Decimal | None = None
    veto: tuple[SubjectId, ...] = ()
    sponsor_may_vote: bool = False
    time_limit: TimeLimit | None = None
    failed_outcome: Outcome = Outcome.RECYCLE


class PolicyView(BaseModel):
    """The edition that reviews are opened under now."""

    number: int
    portfolio: PortfolioId
    kind: ReviewKind
    gate: Code | None
    electorate: Electorate
    quorum: Quorum
    rule: Rule
    threshold: Decimal | None
    veto: tuple[SubjectId, ...]
    sponsor_may_vote: bool
    time_limit: TimeLimit | None
    failed_outcome: Outcome


@api.command(
    "/gate-policies",
    operation="publishPolicy",
    action="policy.publish",
    body=PolicyRequest,
    refusals=(
        PortfolioNotKnown,
        BodyNotKnown,
        PersonNotKnown,
        GateDoesNotFitKind,
        ElectorateEmpty,
        ElectorateNamesTwoBodies,
        QuorumOutOfRange,
        ThresholdDoesNotFitRule,
        ThresholdOutOfRange,
        TimeLimitOutOfRange,
        FailureMayNotPass,
    ),
)
async def publish_policy(call: Call[PolicyRequest]) -> AnyIntent:
    """Publish the next edition of a policy; reviews that are open keep theirs."""
    body = call.body
    await _check_portfolio(call, "policy.publish", body.portfolio)
    await _check_accounts(call, (*body.electorate.people, *body.veto))
    relied_on = []
    if body.electorate.body is not None:
        relied_on.append(await _head_of_body(call, body.portfolio, body.electorate.body))
    return Intent(
        GATE_POLICY,
        policies.stream_of(body.portfolio, body.kind, body.gate),
        PublishPolicy(
            portfolio=body.portfolio,
            kind=body.kind,
            gate=body.gate,
            electorate=body.electorate,
            quorum=body.quorum,
            rule=body.rule,
            threshold=body.threshold,
            veto=body.veto,
            sponsor_may_vote=body.sponsor_may_vote,
            time_limit=body.time_limit,
            failed_outcome=body.failed_outcome,
        ),
        relies_on=_once(relied_on),
        node=NodeId(body.portfolio),
    )


@api.query("/gate-policies", operation="getPolicy", response=PolicyView)
async def get_policy(ask: Ask, portfolio: UUID, kind: ReviewKind, gate: str | None = None) -> PolicyView:
    """Read the edition that a kind of review is opened under now."""
    await ask.require(READ, NodeId(portfolio))
    stream = policies.stream_of(PortfolioId(portfolio), kind, gate)
    loaded = await ask.runtime.ledger.load(GATE_POLICY, stream)
    if not isinstance(loaded.state, policies.Published):
        raise ask.missing("gate policy", gate or kind.value)
    ask.tag(stream, loaded.head.version)
    edition = loaded.state.edition
    return PolicyView(**{field: getattr(edition, field) for field in PolicyView.model_fields})


class DraftRequest(Body):
    """What is to be reviewed, the question, and what supports the answer."""

    project: ProjectId
    kind: ReviewKind
    gate: Code | None = None
    question: Text
    evidence: tuple[Evidence, ...] = ()


class SubmissionRequest(Body):
    """The outcome that is proposed; evidence, where it is given, is all there is and replaces the draft's."""

    proposed: Outcome
    evidence: tuple[Evidence, ...] | None = None


class VoteRequest(Body):
    """A vote and its reason. `seen` left out means the review's submission, which If-Match shows was read."""

    choice: Choice
    reason: Text
    conditions: tuple[Condition, ...] = ()
    seen: tuple[Seen, ...] | None = None


class WithdrawalRequest(Body):
    """Why the question is taken back."""

    reason: Text


class ClosureRequest(Body):
    """Which condition (counted from 1) is met, and what shows it."""

    condition: int
    evidence: tuple[Evidence, ...] = ()
    remark: Text


class ElectorView(BaseModel):
    """Someone who may vote, by what authority, what they have said so far, and what lay before them."""

    subject: SubjectId
    name: str | None
    authority: str
    veto: bool
    choice: Choice | None
    reason: str | None
    conditions: tuple[Condition, ...]
    seen: tuple[Seen, ...]


class ExclusionView(BaseModel):
    """Someone who may not vote, and what they are to the project that keeps them from it."""

    person: PersonId
    name: str | None
    duty: Duty


class ConditionView(BaseModel):
    """A condition of a Conditional Go; `closed` says that it is met, as the evidence shows."""

    number: int
    text: str
    owner: SubjectId
    owner_name: str | None
    due: date
    closed: bool
    evidence: tuple[Evidence, ...]
    remark: str | None


class ReviewView(BaseModel):
    """A review as it stands; what it has not come to yet is null."""

    review: ReviewId
    project: ProjectId
    portfolio: PortfolioId
    kind: ReviewKind
    project_name: str | None
    project_reference: str | None
    gate: Code | None
    question: str
    state: str = Field(description="draft, open, concluded, escalated or withdrawn")
    evidence: tuple[Evidence, ...]
    submitter: SubjectId | None = None
    submitter_name: str | None = None
    submitted_at: datetime | None = None
    proposed: Outcome | None = None
    failed_outcome: Outcome | None = None
    policy: Seen | None = None
    policy_number: int | None = None
    body: BodyId | None = None
    votes_needed: int | None = None
    rule: Rule | None = None
    threshold: Decimal | None = None
    closes_at: datetime | None = None
    at_time_limit: AtTimeLimit | None = None
    electorate: list[ElectorView] = []
    excluded: list[ExclusionView] = []
    tally: Tally | None = None
    outcome: Outcome | None = None
    ending: Ending | None = None
    conditions: list[ConditionView] = []
    withdrawn_because: str | None = None


@api.command(
    "/reviews",
    operation="draftReview",
    action="review.draft",
    body=DraftRequest,
    refusals=(ProjectNotKnown, GateDoesNotFitKind, EvidenceListedTwice, ProjectHasEnded, ReviewAlreadyDrafted),
)
async def draft_review(call: Call[DraftRequest]) -> AnyIntent:
    """Prepare a review of a project."""
    body = call.body
    await _may(call, "review.draft", NodeId(body.project))
    facts = await _facts(call, body.project)
    ended = await call.ledger.load(PROJECT_REVIEWS, project_reviews.stream_of(body.project))
    project_reviews.check_admitted(ended.state)
    return Intent(
        REVIEW,
        call.context.command,
        DraftReview(body.project, facts.portfolio, body.kind, body.gate, body.question, body.evidence),
        relies_on=(ended.head,),
        node=NodeId(body.project),
    )


@api.command(
    "/reviews/{review}/submissions",
    operation="submitReview",
    action="review.submit",
    body=SubmissionRequest,
    if_match=True,
    refusals=(
        ReviewNotKnown,
        NotImportable,
        ReviewAlreadySubmitted,
        ReviewAlreadyConcluded,
        OutcomeNotProposable,
        ProposalSameAsFailure,
        EvidenceListedTwice,
        ProjectNotKnown,
        ProjectHasEnded,
        PolicyMissing,
        ProjectValueMissing,
        BandsNotPublished,
        CurrencyMismatch,
        NoBandForValue,
        DecidingBodyMissing,
        PersonNotKnown,
        ElectorateTooSmall,
    ),
)
async def submit_review(call: Call[SubmissionRequest]) -> AnyIntent:
    """Open a review: from now on its electorate may vote on the proposed outcome."""
    loaded = await call.load(REVIEW, call.path_id("review"))
    assert not isinstance(loaded.state, NotDrafted), "a stream that exists was drafted"
    drafted = loaded.state.drafted
    await _may(call, "review.submit", NodeId(drafted.project))
    _check_happens_now(call)
    facts = await _facts(call, drafted.project)
    policy_stream = policies.stream_of(drafted.portfolio, drafted.kind, drafted.gate)
    policy = await call.ledger.load(GATE_POLICY, policy_stream)
    edition = edition_of(policy.state)
    bands = await call.ledger.load(VALUE_BANDS, value_bands.stream_of(drafted.portfolio))
    ended = await call.ledger.load(PROJECT_REVIEWS, project_reviews.stream_of(drafted.project))
    relied_on = [policy.head, bands.head, ended.head]
    project = Project(drafted.project, facts.value, facts.manager, facts.sponsor)
    deciding = deciding_body(edition, bands.state, project)
    sitting = {}
    if deciding is not None:
        body = await call.ledger.load(BODY, deciding)
        sitting[deciding] = body.state
        relied_on.append(body.head)
    assignments = []
    for node in facts.nodes_above:
        for stream in await call.ledger.find(ROLE_AT, node):
            assignment = await call.ledger.load(ROLE_ASSIGNMENT, stream)
            assignments.append(assignment.state)
            relied_on.append(assignment.head)
    elected = elect(
        policy=edition,
        bands=bands.state,
        bodies=sitting,
        roles=assignments,
        reviews=ended.state,
        project=project,
        submitter=call.subject,
        persons=await _persons(call, [call.subject, facts.manager, facts.sponsor, *_named(edition)]),
        day=day_in(facts.time_zone, call.now),
    )
    assert policy.head.hash is not None, "an edition was published"
    return Intent(
        REVIEW,
        call.path_id("review"),
        SubmitReview(
            submitter=call.subject,
            proposed=call.body.proposed,
            policy=edition,
            policy_seen=Seen(str(policy_stream), policy.head.version, policy.head.hash.hex()),
            electorate=elected.electorate,
            excluded=elected.excluded,
            body=elected.body,
            evidence=drafted.evidence if call.body.evidence is None else call.body.evidence,
            at=call.now,
        ),
        relies_on=_once(relied_on),
        node=NodeId(drafted.project),
    )


@api.command(
    "/reviews/{review}/votes",
    operation="castVote",
    action="review.vote",
    body=VoteRequest,
    if_match=True,
    refusals=(
        ReviewNotKnown,
        NotImportable,
        ReviewNotOpen,
        PersonNotKnown,
        SubmitterMayNotVote,
        ProjectManagerMayNotVote,
        SponsorMayNotVote,
        NotAnElector,
        SecondAccount,
        ReasonMissing,
        SeenIncomplete,
        ConditionsDoNotFitChoice,
        ConditionsDoNotFitProposal,
    ),
)
async def cast_vote(call: Call[VoteRequest]) -> AnyIntent:
    """Vote in an open review, or replace one's vote."""
    review = call.path_id("review")
    project = await _project_of(call, review)
    await _may(call, "review.vote", NodeId(project))
    _check_happens_now(call)
    body = call.body
    persons = await _check_accounts(call, (call.subject, *(condition.owner for condition in body.conditions)))
    submission = await _submission(call, review)
    return Intent(
        REVIEW,
        review,
        CastVote(
            voter=call.subject,
            person=persons[call.subject],
            choice=body.choice,
            conditions=body.conditions,
            submission=submission,
            seen=(submission,) if body.seen is None else body.seen,
            reason=body.reason,
            at=call.now,
        ),
        node=NodeId(project),
    )


@api.command(
    "/reviews/{review}/withdrawals",
    operation="withdrawReview",
    action="review.withdraw",
    body=WithdrawalRequest,
    refusals=(ReviewNotKnown, ReviewAlreadyConcluded),
)
async def withdraw_review(call: Call[WithdrawalRequest]) -> AnyIntent:
    """End a review without an outcome."""
    return await _to_review(call, WithdrawReview(call.body.reason))


@api.command(
    "/reviews/{review}/condition-closures",
    operation="closeCondition",
    action="condition.close",
    body=ClosureRequest,
    refusals=(ReviewNotKnown, ReviewNotConcluded, ConditionNotKnown, ConditionAlreadyClosed, EvidenceMissing),
)
async def close_condition(call: Call[ClosureRequest]) -> AnyIntent:
    """Show that a condition of a Conditional Go is met."""
    body = call.body
    return await _to_review(call, CloseCondition(body.condition, body.evidence, body.remark))


@api.query("/reviews/{review}", operation="getReview", response=ReviewView)
async def get_review(ask: Ask, review: UUID) -> ReviewView:
    """Read a review as it stands; its ETag is what a vote or submission sends back as If-Match."""
    loaded = await ask.runtime.ledger.load(REVIEW, review)
    if isinstance(loaded.state, NotDrafted):
        raise ask.missing("review", review)
    await ask.require(READ, NodeId(loaded.state.drafted.project))
    ask.tag(review, loaded.head.version)
    return await _review_view(ask, ReviewId(review), loaded.state)


@api.query("/reviews", operation="listReviews", response=Page[ReviewView], paged=True, found=False)
async def list_reviews(ask: Ask, project: UUID) -> Page[ReviewView]:
    """List all reviews of a project, in the order in which they were drafted."""
    await ask.require(READ, NodeId(project))
    rows = await _linked(ask, REVIEW_OF, project)
    views = {}
    for row in rows[: ask.window.limit]:
        state = (await ask.runtime.ledger.load(REVIEW, row.stream)).state
        assert not isinstance(state, NotDrafted), "only a review that was drafted has this link"
        views[row.stream] = await _review_view(ask, ReviewId(row.stream), state)
    return ask.page(rows, lambda row: views[row.stream], lambda row: (row.seq,))


class DecisionRequest(Body):
    """What a source says was decided elsewhere; what it doesn't say is null."""

    project: ProjectId
    kind: ReviewKind
    gate: Code | None = None
    decided_on: date
    body_name: Name | None = None
    outcome: Outcome | None = None
    source: Source


class DecisionView(BaseModel):
    """A decision that was made elsewhere, as its source says; what that doesn't say is null."""

    decision: UUID
    project: ProjectId
    portfolio: PortfolioId
    kind: ReviewKind
    gate: Code | None
    decided_on: date
    body_name: Name | None
    outcome: Outcome | None
    source: Source


@api.command(
    "/decisions",
    operation="recordDecision",
    action="decision.record",
    body=DecisionRequest,
    refusals=(ProjectNotKnown, GateDoesNotFitKind, DecisionNotYetMade, DecisionAlreadyRecorded),
)
async def record_decision(call: Call[DecisionRequest]) -> AnyIntent:
    """Record a decision that was made elsewhere; it never counts as voted here."""
    body = call.body
    await _may(call, "decision.record", NodeId(body.project))
    facts = await _facts(call, body.project)
    return Intent(
        DECISION,
        decisions.stream_of(body.project, body.kind, body.gate, body.decided_on),
        RecordDecision(
            project=body.project,
            portfolio=facts.portfolio,
            kind=body.kind,
            gate=body.gate,
            decided_on=body.decided_on,
            body_name=body.body_name,
            outcome=body.outcome,
            source=body.source,
            today=day_in(facts.time_zone, call.now),
        ),
        node=NodeId(body.project),
    )


@api.query("/decisions/{decision}", operation="getDecision", response=DecisionView)
async def get_decision(ask: Ask, decision: UUID) -> DecisionView:
    """Read a decision that was made elsewhere."""
    loaded = await ask.runtime.ledger.load(DECISION, decision)
    if not isinstance(loaded.state, decisions.Recorded):
        raise ask.missing("decision", decision)
    recorded = loaded.state.decision
    await ask.require(READ, NodeId(recorded.project))
    ask.tag(decision, loaded.head.version)
    known = {field: getattr(recorded, field) for field in DecisionView.model_fields if field != "decision"}
    return DecisionView(decision=decision, **known)


async def _may(call: Call[Any], action: str, node: NodeId) -> None:
    """Ask for the right before anything is said that only those who have it may know."""
    await call.runtime.require(call.caller, node, call.context.now, action)


def _keeping(role: Role) -> str:
    return KEEP_ADMINISTRATORS if role is Role.ADMINISTRATOR else "role.keep"


def _check_happens_now(call: Call[Any]) -> None:
    if call.origin is Origin.IMPORTED:
        raise NotImportable


async def _check_portfolio(call: Call[Any], action: str, portfolio: PortfolioId) -> None:
    await _may(call, action, NodeId(portfolio))
    if not await queries.is_portfolio(call.runtime.engine, portfolio):
        raise PortfolioNotKnown(portfolio=str(portfolio))


async def _head_of_body(call: Call[Any], portfolio: PortfolioId, body: BodyId) -> Head:
    loaded = await call.ledger.load(BODY, body)
    if not isinstance(loaded.state, bodies.Formed) or loaded.state.formed.portfolio != portfolio:
        raise BodyNotKnown("The portfolio has no such body; form it with POST /bodies.", body=str(body))
    return loaded.head


async def _facts(call: Call[Any], project: ProjectId) -> ProjectFacts:
    facts = await queries.project_facts(call.runtime.engine, NodeId(project))
    if facts is None:
        raise ProjectNotKnown(project=str(project))
    return facts


async def _person(call: Call[Any], subject: SubjectId) -> PersonId:
    return (await _check_accounts(call, [subject]))[subject]


async def _check_accounts(call: Call[Any], subjects: Iterable[SubjectId]) -> dict[SubjectId, PersonId]:
    """Whose accounts these are. Raises PersonNotKnown for the first that is not in the directory."""
    wanted = tuple(subjects)
    persons = await _persons(call, wanted)
    for subject in wanted:
        if subject not in persons:
            raise PersonNotKnown(subject)
    return persons


async def _persons(call: Call[Any], subjects: Iterable[SubjectId | None]) -> dict[SubjectId, PersonId]:
    wanted = [subject for subject in subjects if subject is not None]
    found = await queries.entries(call.runtime.engine, wanted)
    return {subject: entry.person for subject, entry in found.items()}


def _named(policy: GatePolicyPublished) -> tuple[SubjectId, ...]:
    return (*policy.electorate.people, *policy.veto)


def _once(heads: Iterable[Head]) -> tuple[Head, ...]:
    return tuple({head.stream: head for head in heads}.values())


async def _project_of(call: Call[Any], review: UUID) -> ProjectId:
    state = (await call.load(REVIEW, review)).state
    assert not isinstance(state, NotDrafted), "a stream that exists was drafted"
    return state.drafted.project


async def _submission(call: Call[Any], review: UUID) -> Seen:
    """Where the review's submission stands, or the draft where it was not submitted yet and can't be voted on."""
    recorded = await call.ledger.events(review)
    last = next((one for one in reversed(recorded) if isinstance(one.event, ReviewSubmitted)), recorded[-1])
    return Seen(str(review), last.envelope.version, last.hash.hex())


async def _to_review(call: Call[Any], command: WithdrawReview | CloseCondition) -> AnyIntent:
    review = call.path_id("review")
    return Intent(REVIEW, review, command, node=NodeId(await _project_of(call, review)))


async def _node_of_body(call: Call[Any]) -> NodeId:
    state = (await call.load(BODY, call.path_id("body"))).state
    assert isinstance(state, bodies.Formed), "a stream that exists was formed"
    return NodeId(state.formed.portfolio)


async def _linked(ask: Ask, kind: str, target: UUID) -> Sequence[Any]:
    query = ask.keyset(queries.linked(kind, target), events.c.seq)
    async with ask.connection() as connection:
        rows: Sequence[Any] = (await connection.execute(query)).all()
    return rows


async def _body_view(ask: Ask, body: BodyId, state: bodies.Formed) -> BodyView:
    known = await queries.entries(ask.runtime.engine, [seat.member for seat in state.seats])
    return BodyView(
        body=body,
        portfolio=state.formed.portfolio,
        name=state.formed.name,
        seats=[
            SeatView(
                member=seat.member,
                name=_name(known, seat.member),
                chair=seat.chair,
                first_day=seat.first_day,
                last_day=seat.last_day,
            )
            for seat in state.seats
        ],
    )


async def _review_view(
    ask: Ask, review: ReviewId, state: Draft | Open | Concluded | Escalated | Withdrawn
) -> ReviewView:
    drafted = state.drafted
    facts = await queries.project_facts(ask.runtime.engine, NodeId(drafted.project))
    view = ReviewView(
        review=review,
        project=drafted.project,
        portfolio=drafted.portfolio,
        kind=drafted.kind,
        project_name=facts.name if facts else None,
        project_reference=facts.reference if facts else None,
        gate=drafted.gate,
        question=drafted.question,
        state=STATES[type(state)],
        evidence=drafted.evidence,
    )
    match state:
        case Draft():
            return view
        case Withdrawn(withdrawn=withdrawn):
            return view.model_copy(update={"withdrawn_because": withdrawn.reason})
        case Open(submitted=submitted, votes=votes) | Escalated(submitted=submitted, votes=votes):
            return await _submitted_view(ask, view, submitted, votes)
        case Concluded(submitted=submitted, votes=votes, concluded=concluded, closed=closed):
            shown = await _submitted_view(ask, view, submitted, votes)
            owners = await queries.entries(ask.runtime.engine, [each.owner for each in concluded.conditions])
            return shown.model_copy(
                update={
                    "outcome": concluded.outcome,
                    "ending": concluded.ending,
                    "conditions": [
                        ConditionView(
                            number=number,
                            text=condition.text,
                            owner=condition.owner,
                            owner_name=_name(owners, condition.owner),
                            due=condition.due,
                            closed=number in closed,
                            evidence=closed[number].evidence if number in closed else (),
                            remark=closed[number].remark if number in closed else None,
                        )
                        for number, condition in enumerate(concluded.conditions, start=1)
                    ],
                }
            )
        case _:
            assert_never(state)


async def _submitted_view(
    ask: Ask, view: ReviewView, submitted: ReviewSubmitted, votes: Mapping[PersonId, VoteCast]
) -> ReviewView:
    subjects = [submitted.submitter, *(elector.subject for elector in submitted.electorate)]
    known = await queries.entries(ask.runtime.engine, subjects)
    names = await queries.names_of(ask.runtime.engine, [exclusion.person for exclusion in submitted.excluded])
    electorate = []
    for elector in submitted.electorate:
        cast = votes.get(elector.person)
        electorate.append(
            ElectorView(
                subject=elector.subject,
                name=_name(known, elector.subject),
                authority=elector.authority,
                veto=elector.veto,
                choice=cast.choice if cast else None,
                reason=cast.reason if cast else None,
                conditions=cast.conditions if cast else (),
                seen=cast.seen if cast else (),
            )
        )
    return view.model_copy(
        update={
            "evidence": submitted.evidence,
            "submitter": submitted.submitter,
            "submitter_name": _name(known, submitted.submitter),
            "submitted_at": submitted.submitted_at,
            "proposed": submitted.proposed,
            "failed_outcome": submitted.failed_outcome,
            "policy": submitted.policy,
            "policy_number": submitted.policy_number,
            "body": submitted.body,
            "votes_needed": submitted.votes_needed,
            "rule": submitted.rule,
            "threshold": submitted.threshold,
            "closes_at": submitted.closes_at,
            "at_time_limit": submitted.at_time_limit,
            "electorate": electorate,
            "excluded": [
                ExclusionView(person=each.person, name=names.get(each.person), duty=each.duty)
                for each in submitted.excluded
            ],
            "tally": tally(submitted, votes),
        }
    )


def _entry_view(entry: Entry) -> EntryView:
    return EntryView(
        subject=entry.subject, person=entry.person, name=entry.name, email=entry.email, erased_at=entry.erased_at
    )


def _name(known: Mapping[SubjectId, Entry], subject: SubjectId) -> str | None:
    entry = known.get(subject)
    return entry.name if entry else None


def _fault(pointer: str, value: object, detail: str, remedy: str) -> Exception:
    return invalid([InputError(pointer=pointer, detail=detail, value=str(value), remedy=remedy)])


def _parameter_fault(parameter: str, value: str, remedy: str) -> Exception:
    return invalid([InputError(parameter=parameter, detail="can't be decided on", value=value[:80], remedy=remedy)])
