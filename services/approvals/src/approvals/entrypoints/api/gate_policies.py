"""How each kind of review is decided."""

from datetime import datetime
from decimal import Decimal
from uuid import UUID

from pydantic import BaseModel, Field

from approvals.adapters import queries
from approvals.application.electorate import (
    PersonNotKnown,
)
from approvals.domain import gate_policy as policies
from approvals.domain.body import (
    BodyNotKnown,
)
from approvals.domain.gate_policy import (
    ANY_CONDITIONS,
    GATE_POLICY,
    POLICY_OF,
    AdvisoryCriterionDecides,
    AsksForTooMuch,
    CodeListedTwice,
    ConditionTermsOutOfRange,
    CriterionUnmeasurable,
    ElectorateEmpty,
    ElectorateNamesTwoBodies,
    EscalatesToItself,
    FailureMayNotPass,
    FromValueNotPositive,
    FromValuesOfSeveralCurrencies,
    GateDoesNotFitKind,
    NothingFollowsALapse,
    PublishPolicy,
    QuorumOutOfRange,
    ReminderOutOfRange,
    ThresholdDoesNotFitRule,
    ThresholdOutOfRange,
    TimeLimitOutOfRange,
)
from approvals.entrypoints.api.edge import (
    READ,
    AnyIntent,
    PortfolioNotKnown,
    api,
    check_accounts,
    check_portfolio,
    each_once,
    head_of_body,
    linked,
    name_in,
)
from govevents.approvals import (
    ConditionTerms,
    Criterion,
    Deliverable,
    Electorate,
    GatePolicyPublished,
    Outcome,
    Quorum,
    ReviewKind,
    Rule,
    TimeLimit,
)
from govkernel.domain import (
    BodyId,
    Code,
    NodeId,
    PortfolioId,
    SubjectId,
)
from govkernel.http import Ask, Body, Call, Page
from govkernel.ledger import Intent


class PolicyRequest(Body):
    """How a kind of review is decided from now on; see GatePolicyPublished for what the fields mean.

    `kpi` of a criterion is the name of a KPI as `GET /kpis` of projections lists them; one that nobody knows there is
    undefined when a review is submitted, which leaves its criterion unknown. `from_value` null asks always. Without
    `conditions`, voters may set any; with null, none. Without `escalate_to`, a review that its electorate can't decide
    waits until it is referred to a body.
    """

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
    escalate_to: BodyId | None = None
    deliverables: tuple[Deliverable, ...] = ()
    criteria: tuple[Criterion, ...] = ()
    conditions: ConditionTerms | None = ANY_CONDITIONS


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
    escalate_to: BodyId | None
    deliverables: tuple[Deliverable, ...]
    criteria: tuple[Criterion, ...]
    conditions: ConditionTerms | None


class EditionView(BaseModel):
    """An edition of a policy, and who published it when; the name is null for whoever has been erased."""

    edition: PolicyView
    published_at: datetime
    published_by: SubjectId | None = Field(description="null where no person did, but a program of Gatehouse")
    publisher: str | None


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
        ReminderOutOfRange,
        EscalatesToItself,
        CodeListedTwice,
        AsksForTooMuch,
        CriterionUnmeasurable,
        AdvisoryCriterionDecides,
        FromValueNotPositive,
        FromValuesOfSeveralCurrencies,
        NothingFollowsALapse,
        ConditionTermsOutOfRange,
    ),
)
async def publish_policy(call: Call[PolicyRequest]) -> AnyIntent:
    """Publish the next edition of a policy; reviews that are open keep theirs."""
    body = call.body
    await check_portfolio(call, "policy.publish", body.portfolio)
    await check_accounts(call, (*body.electorate.people, *body.veto))
    named = [deciding for deciding in (body.electorate.body, body.escalate_to) if deciding is not None]
    relied_on = [await head_of_body(call, body.portfolio, deciding) for deciding in named]
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
            escalate_to=body.escalate_to,
            deliverables=body.deliverables,
            criteria=body.criteria,
            conditions=body.conditions,
        ),
        relies_on=each_once(relied_on),
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
    return _view(loaded.state.edition)


@api.query("/gate-policies/current", operation="listPolicies", response=Page[PolicyView], paged=True)
async def list_policies(ask: Ask, portfolio: UUID) -> Page[PolicyView]:
    """List a portfolio's policies, each in the edition that holds now, in the order in which they were first made."""
    await ask.require(READ, NodeId(portfolio))
    rows = await linked(ask, POLICY_OF, portfolio)
    views = {}
    for row in rows[: ask.window.limit]:
        state = (await ask.runtime.ledger.load(GATE_POLICY, row.stream)).state
        assert isinstance(state, policies.Published), "only a policy that was published has this link"
        views[row.stream] = _view(state.edition)
    return ask.page(rows, lambda row: views[row.stream], lambda row: (row.seq,))


@api.query("/gate-policies/editions", operation="listEditions", response=Page[EditionView])
async def list_editions(ask: Ask, portfolio: UUID, kind: ReviewKind, gate: str | None = None) -> Page[EditionView]:
    """Read all editions of a policy as the log has them, the first one first."""
    await ask.require(READ, NodeId(portfolio))
    stream = policies.stream_of(PortfolioId(portfolio), kind, gate)
    recorded = await ask.runtime.ledger.events(stream)
    if not recorded:
        raise ask.missing("gate policy", gate or kind.value)
    ask.tag(stream, recorded[-1].envelope.version)
    publishers = [_publisher(each.envelope.actor) for each in recorded]
    known = await queries.entries(ask.runtime.engine, [each for each in publishers if each is not None])
    return Page(
        items=[
            EditionView(
                edition=_view(each.event),
                published_at=each.envelope.time,
                published_by=publisher,
                publisher=name_in(known, publisher) if publisher else None,
            )
            for each, publisher in zip(recorded, publishers, strict=True)
        ]
    )


def _view(edition: GatePolicyPublished) -> PolicyView:
    return PolicyView(**{field: getattr(edition, field) for field in PolicyView.model_fields})


def _publisher(actor: str) -> SubjectId | None:
    """The account of a document's actor, None for a service."""
    return None if actor.startswith("service:") else SubjectId(UUID(actor))
