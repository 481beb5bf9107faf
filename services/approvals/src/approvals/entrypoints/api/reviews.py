"""Reviews, from the draft to the outcome and its conditions."""

from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Final, assert_never
from uuid import UUID

from pydantic import BaseModel, Field

from approvals.adapters import queries
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
from approvals.domain import gate_policy as policies
from approvals.domain import project_reviews, value_bands
from approvals.domain.body import (
    BODY,
)
from approvals.domain.gate_policy import (
    GATE_POLICY,
    GateDoesNotFitKind,
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
)
from approvals.domain.value_bands import (
    VALUE_BANDS,
    BandsNotPublished,
    CurrencyMismatch,
    NoBandForValue,
)
from approvals.entrypoints.api.edge import (
    READ,
    AnyIntent,
    NotImportable,
    ProjectNotKnown,
    api,
    check_accounts,
    check_happens_now,
    each_once,
    facts_of,
    linked,
    may,
    name_in,
    persons_of,
)
from govevents.approvals import (
    AtTimeLimit,
    Choice,
    Condition,
    Duty,
    Ending,
    Evidence,
    GatePolicyPublished,
    Outcome,
    ReviewKind,
    ReviewSubmitted,
    Rule,
    Seen,
    Tally,
    VoteCast,
)
from govkernel.access import day_in
from govkernel.domain import (
    BodyId,
    Code,
    NodeId,
    PersonId,
    PortfolioId,
    ProjectId,
    ReviewId,
    SubjectId,
    Text,
)
from govkernel.http import Ask, Body, Call, Page
from govkernel.ledger import Intent

STATES: Final[Mapping[type[Review], str]] = {
    Draft: "draft",
    Open: "open",
    Concluded: "concluded",
    Escalated: "escalated",
    Withdrawn: "withdrawn",
}


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
    await may(call, "review.draft", NodeId(body.project))
    facts = await facts_of(call, body.project)
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
    await may(call, "review.submit", NodeId(drafted.project))
    check_happens_now(call)
    facts = await facts_of(call, drafted.project)
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
        persons=await persons_of(call, [call.subject, facts.manager, facts.sponsor, *_named(edition)]),
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
        relies_on=each_once(relied_on),
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
    await may(call, "review.vote", NodeId(project))
    check_happens_now(call)
    body = call.body
    persons = await check_accounts(call, (call.subject, *(condition.owner for condition in body.conditions)))
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
    rows = await linked(ask, REVIEW_OF, project)
    views = {}
    for row in rows[: ask.window.limit]:
        state = (await ask.runtime.ledger.load(REVIEW, row.stream)).state
        assert not isinstance(state, NotDrafted), "only a review that was drafted has this link"
        views[row.stream] = await _review_view(ask, ReviewId(row.stream), state)
    return ask.page(rows, lambda row: views[row.stream], lambda row: (row.seq,))


def _named(policy: GatePolicyPublished) -> tuple[SubjectId, ...]:
    return (*policy.electorate.people, *policy.veto)


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
                            owner_name=name_in(owners, condition.owner),
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
                name=name_in(known, elector.subject),
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
            "submitter_name": name_in(known, submitted.submitter),
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
