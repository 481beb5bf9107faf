"""What-if: the recorded votes of a portfolio under another policy. It changes nothing, and is not recorded."""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from itertools import groupby
from typing import Any
from uuid import UUID

from pydantic import BaseModel

from approvals.adapters import queries
from approvals.application.electorate import PersonNotKnown
from approvals.application.what_if import (
    Case,
    Changes,
    Compared,
    Recorded,
    Registers,
    TooManyDecisions,
    Totals,
    bodies_asked,
    chosen,
    compare,
    other_bands,
    other_policy,
    submission_of,
    totals,
)
from approvals.domain import value_bands
from approvals.domain.body import BodyNotKnown
from approvals.domain.gate_policy import (
    ElectorateEmpty,
    ElectorateNamesTwoBodies,
    FailureMayNotPass,
    QuorumOutOfRange,
    ThresholdDoesNotFitRule,
    ThresholdOutOfRange,
)
from approvals.domain.review import REVIEW_IN
from approvals.domain.value_bands import BandsNotRising, BandsOfSeveralCurrencies, NoBands, ValueBands
from approvals.entrypoints.api.edge import (
    PortfolioNotKnown,
    api,
    body_fault,
    check_accounts,
    head_of_body,
    name_in,
)
from govevents.approvals import (
    Electorate,
    Outcome,
    Quorum,
    ReviewKind,
    ReviewSubmitted,
    Rule,
    ValueBand,
    VoteCast,
)
from govkernel.domain import BodyId, Code, Money, NodeId, PersonId, PortfolioId, ProjectId, SubjectId
from govkernel.http import Body, Call


class ChangesRequest(Body):
    """How the other policy differs; what is left out stays as each decision's own policy had it.

    `threshold` without `rule` changes the policies that have one. `bands` replace the portfolio's value bands. No
    delegation speaks for more than `delegation_limit`.
    """

    rule: Rule | None = None
    threshold: Decimal | None = None
    quorum: Quorum | None = None
    veto: tuple[SubjectId, ...] | None = None
    failed_outcome: Outcome | None = None
    electorate: Electorate | None = None
    bands: tuple[ValueBand, ...] | None = None
    delegation_limit: Money | None = None
    sponsor_may_vote: bool | None = None


class WhatIfRequest(Body):
    """Which decisions to try again: those of a portfolio, perhaps of one kind or gate, that were submitted in a time.

    Both days are included, and are the portfolio's; at most 500 decisions are tried at once.
    """

    portfolio: PortfolioId
    kind: ReviewKind | None = None
    gate: Code | None = None
    submitted_from: date | None = None
    submitted_until: date | None = None
    changes: ChangesRequest


class WhatIfView(BaseModel):
    """Each decision as recorded and as it would have been, in the order of their submission; names from the directory.

    Who would have had a seat is worked out by bodies, roles and bands as they stood at each submission, at the nodes
    that the project lies below today.
    """

    totals: Totals
    decisions: list[Compared]
    names: dict[SubjectId, str | None]


@api.operate(
    "/what-ifs",
    operation="tryOtherPolicy",
    action="review.what_if",
    body=WhatIfRequest,
    response=WhatIfView,
    node=lambda body: NodeId(body.portfolio),
    refusals=(
        PortfolioNotKnown,
        BodyNotKnown,
        PersonNotKnown,
        TooManyDecisions,
        ElectorateEmpty,
        ElectorateNamesTwoBodies,
        QuorumOutOfRange,
        ThresholdDoesNotFitRule,
        ThresholdOutOfRange,
        FailureMayNotPass,
        NoBands,
        BandsNotRising,
        BandsOfSeveralCurrencies,
    ),
)
async def try_other_policy(call: Call[WhatIfRequest]) -> WhatIfView:
    """Say which recorded decisions another policy would have made otherwise, and why; nothing is written."""
    body = call.body
    if not await queries.is_portfolio(call.runtime.engine, body.portfolio):
        raise PortfolioNotKnown(portfolio=str(body.portfolio))
    changes = Changes(**{field: getattr(body.changes, field) for field in ChangesRequest.model_fields})
    await _check(call, changes)
    cases = await _cases(call, changes)
    compared = []
    for case in cases:
        compared.append(compare(case, changes))
        # Others are answered meanwhile.
        await asyncio.sleep(0)
    compared.sort(key=lambda each: (each.submitted_at, each.review))
    speakers = {uncounted.voter for each in compared for uncounted in each.uncounted}
    unheard = {subject for each in compared for subject in each.unheard}
    known = await queries.entries(call.runtime.engine, speakers | unheard)
    return WhatIfView(
        totals=totals(compared),
        decisions=compared,
        names={subject: name_in(known, subject) for subject in sorted(speakers | unheard)},
    )


async def _check(call: Call[WhatIfRequest], changes: Changes) -> None:
    """Raise for what could not be meant, whatever decisions there are."""
    if changes.threshold is not None and changes.rule not in (None, Rule.THRESHOLD):
        remedy = "leave it out, or give the rule threshold"
        raise body_fault("/changes/threshold", changes.threshold, "only the rule threshold has one", remedy)
    limit = changes.delegation_limit
    if limit is not None and limit.amount < 0:
        remedy = "give 0 to let no delegation speak for any value"
        raise body_fault("/changes/delegation_limit/amount", limit.amount, "no limit is below zero", remedy)
    begins, ends = call.body.submitted_from, call.body.submitted_until
    if begins is not None and ends is not None and ends < begins:
        raise body_fault("/submitted_until", ends, f"lies before submitted_from, {begins}", "give a later day, or none")
    if changes.bands is not None:
        other_bands(call.body.portfolio, changes.bands)
    wanted = {band.body for band in changes.bands or ()}
    if changes.electorate is not None and changes.electorate.body is not None:
        wanted.add(changes.electorate.body)
    for body in sorted(wanted):
        await head_of_body(call, call.body.portfolio, body)
    await check_accounts(call, (*(changes.electorate.people if changes.electorate else ()), *(changes.veto or ())))


async def _cases(call: Call[WhatIfRequest], changes: Changes) -> list[Case]:
    """The decisions that are meant, each with what it was decided by."""
    engine = call.runtime.engine
    wanted = await _wanted(call)
    reviews = _streams(_read(call, await queries.documents_at(engine, (), wanted)))
    opened_under = [_submitted(review).policy for review in reviews.values()]
    places = {(UUID(seen.stream), seen.version) for seen in opened_under}
    policies = {one.id: one.event for one in _read(call, await queries.documents_at(engine, places, ()))}
    relied_on = {
        UUID(one.event.delegation.stream)
        for review in reviews.values()
        for one in review
        if isinstance(one.event, VoteCast) and one.event.delegation
    }
    delegations = _streams(_read(call, await queries.documents_at(engine, (), relied_on)))
    cases = [
        Case(review, policies[f"{seen.stream}@{seen.version}"], delegations)
        for review, seen in zip(reviews.values(), opened_under, strict=True)
    ]
    if not changes.elects_anew:
        return cases
    library = await _library(call, changes, cases)
    return [replace(each, registers=library.of(_submitted(each.review))) for each in cases]


async def _wanted(call: Call[WhatIfRequest]) -> frozenset[UUID]:
    """The reviews that are meant: a review is submitted by its second event, if it ever is. Raises TooManyDecisions."""
    body = call.body
    beginnings = await queries.documents_linked(call.runtime.engine, REVIEW_IN, body.portfolio, until=2)
    return chosen(
        _streams(_read(call, beginnings)).values(),
        kind=body.kind,
        gate=body.gate,
        first_day=body.submitted_from,
        last_day=body.submitted_until,
    )


@dataclass(frozen=True, slots=True)
class _Library:
    """The registers of all projects of the cases, read once."""

    bodies: Mapping[BodyId, Sequence[Recorded]]
    bands: Sequence[Recorded]
    roles: Mapping[UUID, Sequence[Recorded]]
    above: Mapping[ProjectId, frozenset[NodeId]]
    persons: Mapping[SubjectId, PersonId]

    def of(self, submitted: ReviewSubmitted) -> Registers:
        """What says who may vote on a review."""
        nodes = self.above[submitted.project]
        roles = tuple(stream for stream in self.roles.values() if stream[0].event.node in nodes)
        return Registers(self.bodies, roles, self.bands, self.persons)


async def _library(call: Call[WhatIfRequest], changes: Changes, cases: Collection[Case]) -> _Library:
    engine, portfolio = call.runtime.engine, call.body.portfolio
    bands = _read(call, await queries.documents_at(engine, (), {value_bands.stream_of(portfolio)}))
    tables: list[ValueBands] = [
        value_bands.Unpublished(),
        *(value_bands.Published(one.event) for one in bands),
        *([other_bands(portfolio, changes.bands)] if changes.bands else []),
    ]
    policies = [other_policy(policy, changes) for policy in {case.policy for case in cases}]
    asked = {body for policy in policies for table in tables for body in bodies_asked(policy, table)}
    bodies = _streams(_read(call, await queries.documents_at(engine, (), asked)))
    above = {}
    for project in sorted({_submitted(case.review).project for case in cases}):
        facts = await queries.project_facts(engine, NodeId(project))
        above[project] = frozenset(facts.nodes_above if facts else (NodeId(project),))
    nodes = frozenset(node for each in above.values() for node in each)
    assignments = await queries.assignments_ever_at(engine, nodes)
    roles = _streams(_read(call, await queries.documents_at(engine, (), assignments)))
    named = {subject for policy in policies for subject in (*policy.electorate.people, *policy.veto)}
    entries = await queries.entries(engine, named)
    return _Library(
        bodies={BodyId(stream): recorded for stream, recorded in bodies.items()},
        bands=bands,
        roles=roles,
        above=above,
        persons={subject: entry.person for subject, entry in entries.items()},
    )


def _submitted(review: Sequence[Recorded]) -> ReviewSubmitted:
    submission = submission_of(review)
    assert submission is not None, "only what was submitted is tried"
    submitted: ReviewSubmitted = submission.event
    return submitted


def _read(call: Call[Any], documents: Sequence[bytes]) -> list[Recorded]:
    return [call.runtime.ledger.catalogue.decode(document) for document in documents]


def _streams(recorded: Sequence[Recorded]) -> dict[UUID, list[Recorded]]:
    """The events by their streams, in which they lie one after another."""
    return {stream: list(same) for stream, same in groupby(recorded, key=lambda one: one.envelope.stream)}
