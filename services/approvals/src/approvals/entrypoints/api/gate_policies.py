"""How each kind of review is decided."""

from decimal import Decimal
from uuid import UUID

from pydantic import BaseModel

from approvals.application.electorate import (
    PersonNotKnown,
)
from approvals.domain import gate_policy as policies
from approvals.domain.body import (
    BodyNotKnown,
)
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
from approvals.entrypoints.api.edge import (
    READ,
    AnyIntent,
    PortfolioNotKnown,
    api,
    check_accounts,
    check_portfolio,
    each_once,
    head_of_body,
)
from govevents.approvals import (
    Electorate,
    Outcome,
    Quorum,
    ReviewKind,
    Rule,
    TimeLimit,
)
from govkernel.domain import (
    Code,
    NodeId,
    PortfolioId,
    SubjectId,
)
from govkernel.http import Ask, Body, Call
from govkernel.ledger import Intent


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
    await check_portfolio(call, "policy.publish", body.portfolio)
    await check_accounts(call, (*body.electorate.people, *body.veto))
    relied_on = []
    if body.electorate.body is not None:
        relied_on.append(await head_of_body(call, body.portfolio, body.electorate.body))
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
    edition = loaded.state.edition
    return PolicyView(**{field: getattr(edition, field) for field in PolicyView.model_fields})
