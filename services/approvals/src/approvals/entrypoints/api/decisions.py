"""Decisions that were made elsewhere."""

from datetime import date
from uuid import UUID

from pydantic import BaseModel

from approvals.domain import decision as decisions
from approvals.domain.decision import DECISION, DecisionAlreadyRecorded, DecisionNotYetMade, RecordDecision
from approvals.domain.gate_policy import (
    GateDoesNotFitKind,
)
from approvals.entrypoints.api.edge import READ, AnyIntent, ProjectNotKnown, api, facts_of, may
from govevents.approvals import (
    Outcome,
    ReviewKind,
)
from govkernel.access import day_in
from govkernel.domain import (
    Code,
    Name,
    NodeId,
    PortfolioId,
    ProjectId,
    Source,
)
from govkernel.http import Ask, Body, Call
from govkernel.ledger import Intent


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
    await may(call, "decision.record", NodeId(body.project))
    facts = await facts_of(call, body.project)
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
