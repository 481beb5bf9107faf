"""Reviews, from the draft to the outcome and its conditions."""

from collections.abc import Iterable, Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Final, TypeAlias, assert_never
from uuid import UUID

from pydantic import BaseModel, Field

from approvals.adapters import queries
from approvals.adapters.queries import Entry, ProjectFacts
from approvals.application.electorate import (
    DecidingBodyMissing,
    ElectorateTooSmall,
    PersonNotKnown,
    PolicyMissing,
    Project,
    ProjectValueMissing,
    Rolls,
    check_panel,
    deciding_body,
    edition_of,
    elect,
    panel_of,
    ties_now,
)
from approvals.domain import gate_policy as policies
from approvals.domain import project_reviews, value_bands
from approvals.domain.body import BODY, BodyNotKnown
from approvals.domain.delegation import (
    DELEGATION,
    Delegation,
    DelegationLimitExceeded,
    DelegationLimitNotComparable,
    DelegationNotInForce,
    DelegationNotKnown,
    DelegationOutOfScope,
    DelegationWasRevoked,
    Granted,
    NotGranted,
    NotTheDelegate,
    Revoked,
)
from approvals.domain.gate_policy import GATE_POLICY, GateDoesNotFitKind, asked_for
from approvals.domain.project_reviews import PROJECT_REVIEWS, ProjectHasEnded
from approvals.domain.review import (
    BASIS,
    OF_THE_WHOLE_PROJECT,
    OPEN_CONDITIONS_OF,
    REVIEW,
    REVIEW_OF,
    Acting,
    AnswerQuestion,
    AskQuestion,
    Ballot,
    CastVote,
    ChangeEvidence,
    CloseCondition,
    Concluded,
    ConditionAlreadyClosed,
    ConditionDueOutOfRange,
    ConditionNotKnown,
    ConditionsDoNotFitChoice,
    ConditionsDoNotFitClosure,
    ConditionsDoNotFitProposal,
    ConditionsNotAllowed,
    DecidesForOwnBenefit,
    DelegatorMayNotVote,
    Draft,
    DraftReview,
    Escalated,
    EvidenceListedTwice,
    EvidenceMissing,
    LapseNotAllowed,
    NotAnElector,
    NotDrafted,
    OneVoiceOnly,
    Open,
    OutcomeNotProposable,
    ProjectManagerMayNotVote,
    ProposalSameAsFailure,
    QuestionAlreadyAnswered,
    QuestionNotKnown,
    ReasonMissing,
    RecuseVoter,
    ReferReview,
    Review,
    ReviewAlreadyConcluded,
    ReviewAlreadyDrafted,
    ReviewAlreadySubmitted,
    ReviewNotConcluded,
    ReviewNotEscalated,
    ReviewNotKnown,
    ReviewNotOpen,
    SeatHasVoted,
    SecondAccount,
    SeenIncomplete,
    SponsorMayNotVote,
    SubmitReview,
    Submitted,
    SubmitterMayNotVote,
    TextMissing,
    TiedMayNotRecuse,
    Ties,
    TooManyConditions,
    ValueIsTheProjects,
    VoterIsRecused,
    WaiverIsADeviation,
    Withdrawn,
    WithdrawReview,
    tally,
)
from approvals.domain.review import Command as ReviewCommand
from approvals.domain.review_request import (
    REVIEW_REQUEST,
    RequestAlreadyAccepted,
    RequestOfAnotherProject,
    ReviewRequestNotKnown,
    check_answerable,
)
from approvals.domain.role_assignment import ROLE_ASSIGNMENT, ROLE_AT, RoleAssignment
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
    person_of,
    persons_of,
)
from govevents.approvals import (
    AtTimeLimit,
    Authority,
    Breach,
    Choice,
    Condition,
    ConditionClosed,
    ConditionOf,
    ConditionWaived,
    Duty,
    Ending,
    Evidence,
    Finding,
    GatePolicyPublished,
    Measure,
    OnLapse,
    Outcome,
    ReviewKind,
    Rule,
    Seen,
    Tally,
)
from govkernel.access import day_in, end_of_day
from govkernel.domain import (
    BodyId,
    Code,
    Money,
    Name,
    NodeId,
    PersonId,
    PortfolioId,
    ProjectId,
    ReviewId,
    SubjectId,
    Text,
)
from govkernel.http import Ask, Body, Call, Page
from govkernel.ledger import Head, Intent

STATES: Final[Mapping[type[Review], str]] = {
    Draft: "draft",
    Submitted: "submitted",
    Open: "open",
    Concluded: "concluded",
    Escalated: "escalated",
    Withdrawn: "withdrawn",
}

RECUSE_OTHERS: Final = "review.recuse"
CLOSE_OWN: Final = "condition.close_own"
api.actions |= {RECUSE_OTHERS, CLOSE_OWN}

MAY_NOT_SPEAK: Final = (
    ReviewNotOpen,
    PersonNotKnown,
    SubmitterMayNotVote,
    ProjectManagerMayNotVote,
    SponsorMayNotVote,
    NotAnElector,
    SecondAccount,
    VoterIsRecused,
    OneVoiceOnly,
    DelegationNotKnown,
    DelegationWasRevoked,
    DelegationNotInForce,
    NotTheDelegate,
    DelegationOutOfScope,
    DelegationLimitExceeded,
    DelegationLimitNotComparable,
    DelegatorMayNotVote,
    DecidesForOwnBenefit,
)
"""What keeps somebody from speaking for a seat."""

Drafted: TypeAlias = Draft | Submitted | Open | Concluded | Escalated | Withdrawn


class DraftRequest(Body):
    """What is to be reviewed, the question, and what supports the answer.

    `about` is the very version of what is reviewed, where it is not the project itself; `waives` the condition that a
    Go waives (only for a methodology_deviation); `value` what is at stake where that isn't the project's value, as of
    a change (a gate and a closure have the project's); `requested` the request that the review answers.
    """

    project: ProjectId
    kind: ReviewKind
    gate: Code | None = None
    question: Text
    evidence: tuple[Evidence, ...] = ()
    about: Seen | None = None
    waives: ConditionOf | None = None
    value: Money | None = None
    requested: UUID | None = None


class SubmissionRequest(Body):
    """The outcome that is proposed; evidence, where it is given, is all there is and replaces the draft's."""

    proposed: Outcome
    evidence: tuple[Evidence, ...] | None = None


class EvidenceRequest(Body):
    """All the evidence from now on, and what has changed. Everyone is asked again."""

    evidence: tuple[Evidence, ...]
    remark: Text


class ConditionRequest(Body):
    """What must still be done after a Go: by whom, until which day, shown by what, and what follows if it isn't."""

    text: Name
    owner: SubjectId
    due: date
    shown_by: Text = ""
    on_lapse: OnLapse = OnLapse.REMINDER


class VoteRequest(Body):
    """A vote and its reason. `seen` left out means what lies before voters now, which If-Match shows was read.

    `delegation` is what somebody acts under who votes for another; an alternate needs none.
    """

    choice: Choice
    reason: Text
    conditions: tuple[ConditionRequest, ...] = ()
    seen: tuple[Seen, ...] | None = None
    delegation: UUID | None = None


class RecusalRequest(Body):
    """Why somebody keeps out of the review: the caller, where no account is named."""

    account: SubjectId | None = None
    reason: Text


class QuestionRequest(Body):
    """What a voter wants to know from the submitter; `delegation` as of a vote."""

    text: Text
    delegation: UUID | None = None


class AnswerRequest(Body):
    """The answer to a question, counted from 1."""

    question: int
    text: Text


class ReferralRequest(Body):
    """The body that is to decide what the electorate could not, and why it."""

    body: BodyId
    reason: Text


class WithdrawalRequest(Body):
    """Why the question is taken back."""

    reason: Text


class ClosureRequest(Body):
    """Which condition (counted from 1) is met, and what shows it."""

    condition: int
    evidence: tuple[Evidence, ...] = ()
    remark: Text


class AlternateView(BaseModel):
    """Someone who may speak for a seat while its holder does not."""

    subject: SubjectId
    name: str | None


class ElectorView(BaseModel):
    """A seat, by what authority its holder has it, what was said for it so far, by whom, and what lay before them.

    `recused_because` is why its holder keeps out; `marked_because` is why the delegation of the vote was revoked since.
    """

    subject: SubjectId
    name: str | None
    authority: str
    veto: bool
    alternates: list[AlternateView]
    recused_because: str | None
    choice: Choice | None
    reason: str | None
    conditions: tuple[Condition, ...]
    seen: tuple[Seen, ...]
    spoken_by: SubjectId | None
    spoken_by_name: str | None
    spoken_as: Authority | None
    delegation: Seen | None
    marked_because: str | None


class ExclusionView(BaseModel):
    """Someone who may not vote, and what they are to the project that keeps them from it."""

    person: PersonId
    name: str | None
    duty: Duty


class RecusalView(BaseModel):
    """Someone who keeps out of the review, with a seat or without, and why."""

    person: PersonId
    name: str | None
    recused_by: SubjectId
    reason: str


class QuestionView(BaseModel):
    """A question on record; answer and who gave it are null while there is none."""

    number: int
    asker: SubjectId
    asker_name: str | None
    text: str
    answer: str | None
    answerer: SubjectId | None
    answerer_name: str | None


class ConditionView(BaseModel):
    """A condition of a Conditional Go; `closed` says that it is met, as the evidence shows, or waived by a decision."""

    number: int
    text: str
    owner: SubjectId
    owner_name: str | None
    due: date
    shown_by: str
    on_lapse: OnLapse
    lapsed: bool
    closed: bool
    waived_by: Seen | None
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
    about: Seen | None
    waives: ConditionOf | None
    requested: UUID | None
    question: str
    state: str = Field(description="draft, submitted, open, concluded, escalated or withdrawn")
    evidence: tuple[Evidence, ...]
    value: Money | None = None
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
    awaits: tuple[Code, ...] = ()
    measures: tuple[Measure, ...] = ()
    findings: tuple[Finding, ...] = ()
    ready: bool | None = None
    open_conditions: tuple[ConditionOf, ...] = ()
    breaches: tuple[Breach, ...] = ()
    electorate: list[ElectorView] = []
    excluded: list[ExclusionView] = []
    recusals: list[RecusalView] = []
    questions: list[QuestionView] = []
    tally: Tally | None = None
    outcome: Outcome | None = None
    ending: Ending | None = None
    because: str | None = None
    conditions: list[ConditionView] = []
    withdrawn_because: str | None = None


@api.command(
    "/reviews",
    operation="draftReview",
    action="review.draft",
    body=DraftRequest,
    refusals=(
        ProjectNotKnown,
        GateDoesNotFitKind,
        TextMissing,
        EvidenceListedTwice,
        ProjectHasEnded,
        ReviewAlreadyDrafted,
        ValueIsTheProjects,
        WaiverIsADeviation,
        ReviewNotKnown,
        ReviewNotConcluded,
        ConditionNotKnown,
        ReviewRequestNotKnown,
        RequestOfAnotherProject,
        RequestAlreadyAccepted,
    ),
)
async def draft_review(call: Call[DraftRequest]) -> AnyIntent:
    """Prepare a review of a project."""
    body = call.body
    await may(call, "review.draft", NodeId(body.project))
    facts = await facts_of(call, body.project)
    ended = await call.ledger.load(PROJECT_REVIEWS, project_reviews.stream_of(body.project))
    project_reviews.check_admitted(ended.state)
    relied_on = [ended.head]
    if body.waives is not None:
        relied_on.append(await _head_of_condition(call, body.project, body.waives))
    if body.requested is not None:
        request = await call.ledger.load(REVIEW_REQUEST, body.requested)
        check_answerable(request.state, body.project)
        relied_on.append(request.head)
    return Intent(
        REVIEW,
        call.context.command,
        DraftReview(
            project=body.project,
            portfolio=facts.portfolio,
            kind=body.kind,
            gate=body.gate,
            question=body.question,
            evidence=body.evidence,
            about=body.about,
            waives=body.waives,
            value=body.value,
            requested=body.requested,
        ),
        relies_on=each_once(relied_on),
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
    """Put the question: its electorate may vote on the proposed outcome, once what it rests on is measured."""
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
    value = facts.value if drafted.kind in OF_THE_WHOLE_PROJECT else drafted.value or facts.value
    project = Project(drafted.project, value, facts.manager, facts.sponsor)
    wanted = (deciding_body(edition, bands.state, project), edition.escalate_to)
    accounts = [call.subject, facts.manager, facts.sponsor, *_named(edition)]
    rolls, relied_on = await _rolls(call, facts, wanted, accounts)
    elected = elect(
        policy=edition,
        bands=bands.state,
        rolls=rolls,
        reviews=ended.state,
        project=project,
        submitter=call.subject,
    )
    deliverables, criteria = asked_for(edition, value)
    assert policy.head.hash is not None, "an edition was published"
    return Intent(
        REVIEW,
        call.path_id("review"),
        SubmitReview(
            submitter=call.subject,
            proposed=call.body.proposed,
            policy=edition,
            policy_seen=Seen(str(policy_stream), policy.head.version, policy.head.hash.hex()),
            panel=elected.panel,
            tied=elected.tied,
            escalation=elected.escalation,
            evidence=drafted.evidence if call.body.evidence is None else call.body.evidence,
            value=value,
            deliverables=deliverables,
            criteria=criteria,
            open_conditions=await _open_conditions(call, drafted.project),
            breaches=project_reviews.breaches(ended.state, drafted.gate),
            time_zone=facts.time_zone,
            at=call.now,
        ),
        relies_on=each_once([policy.head, bands.head, ended.head, *relied_on]),
        node=NodeId(drafted.project),
    )


@api.command(
    "/reviews/{review}/evidence",
    operation="changeEvidence",
    action="review.submit",
    body=EvidenceRequest,
    if_match=True,
    refusals=(ReviewNotKnown, NotImportable, ReviewNotOpen, ReasonMissing, EvidenceListedTwice),
)
async def change_evidence(call: Call[EvidenceRequest]) -> AnyIntent:
    """Change what supports an open review; votes cast before count no longer, and everyone is asked again."""
    check_happens_now(call)
    return await _to_review(call, ChangeEvidence(call.subject, call.body.evidence, call.body.remark, call.now))


@api.command(
    "/reviews/{review}/votes",
    operation="castVote",
    action="review.vote",
    body=VoteRequest,
    if_match=True,
    refusals=(
        ReviewNotKnown,
        NotImportable,
        *MAY_NOT_SPEAK,
        SeatHasVoted,
        ReasonMissing,
        SeenIncomplete,
        ConditionsDoNotFitChoice,
        ConditionsDoNotFitProposal,
        ConditionsDoNotFitClosure,
        ConditionsNotAllowed,
        TooManyConditions,
        ConditionDueOutOfRange,
        LapseNotAllowed,
    ),
)
async def cast_vote(call: Call[VoteRequest]) -> AnyIntent:
    """Vote in an open review, or replace one's vote; as an alternate or under a delegation, for another's seat."""
    review = call.path_id("review")
    project = await _project_of(call, review)
    await may(call, "review.vote", NodeId(project))
    check_happens_now(call)
    body = call.body
    persons = await check_accounts(call, (call.subject, *(condition.owner for condition in body.conditions)))
    facts = await facts_of(call, project)
    basis = await _basis(call, review)
    acting, relied_on = await _acting(call, body.delegation, facts)
    ties, duties = await _ties(call, review, facts)
    return Intent(
        REVIEW,
        review,
        CastVote(
            voter=call.subject,
            person=persons[call.subject],
            acting=acting,
            choice=body.choice,
            conditions=tuple(
                Condition(
                    text=each.text,
                    owner=each.owner,
                    due=each.due,
                    shown_by=each.shown_by,
                    on_lapse=each.on_lapse,
                    lapses_at=end_of_day(facts.time_zone, each.due),
                )
                for each in body.conditions
            ),
            basis=basis,
            seen=(basis,) if body.seen is None else body.seen,
            reason=body.reason,
            today=day_in(facts.time_zone, call.now),
            at=call.now,
            ties=ties,
        ),
        relies_on=each_once([*relied_on, *duties]),
        node=NodeId(project),
    )


@api.command(
    "/reviews/{review}/recusals",
    operation="recuseVoter",
    action="review.vote",
    body=RecusalRequest,
    refusals=(ReviewNotKnown, NotImportable, ReviewNotOpen, ReasonMissing, PersonNotKnown, TiedMayNotRecuse),
)
async def recuse_voter(call: Call[RecusalRequest]) -> AnyIntent:
    """Keep out of a review for a conflict of interest, by every path on which one could vote, now or later.

    Whoever may recuse others names the account.
    """
    review = call.path_id("review")
    node = NodeId(await _project_of(call, review))
    account = call.body.account or call.subject
    action = "review.vote" if account == call.subject else RECUSE_OTHERS
    await may(call, action, node)
    check_happens_now(call)
    person = await person_of(call, account)
    if account == call.subject:
        command = RecuseVoter(person, call.subject, call.body.reason, call.now)
        return Intent(REVIEW, review, command, node=node, action=action)
    by = await person_of(call, call.subject)
    ties, relied_on = await _ties(call, review, await facts_of(call, ProjectId(node)))
    command = RecuseVoter(person, call.subject, call.body.reason, call.now, by, ties)
    return Intent(REVIEW, review, command, relies_on=each_once(relied_on), node=node, action=action)


@api.command(
    "/reviews/{review}/questions",
    operation="askQuestion",
    action="review.vote",
    body=QuestionRequest,
    refusals=(ReviewNotKnown, NotImportable, *MAY_NOT_SPEAK, TextMissing),
)
async def ask_question(call: Call[QuestionRequest]) -> AnyIntent:
    """Ask the submitter, on record, as someone who may vote."""
    review = call.path_id("review")
    project = await _project_of(call, review)
    await may(call, "review.vote", NodeId(project))
    check_happens_now(call)
    facts = await facts_of(call, project)
    acting, relied_on = await _acting(call, call.body.delegation, facts)
    person, today = await person_of(call, call.subject), day_in(facts.time_zone, call.now)
    ties, duties = await _ties(call, review, facts)
    command = AskQuestion(call.subject, person, acting, call.body.text, today, ties)
    return Intent(REVIEW, review, command, relies_on=each_once([*relied_on, *duties]), node=NodeId(project))


@api.command(
    "/reviews/{review}/answers",
    operation="answerQuestion",
    action="review.submit",
    body=AnswerRequest,
    refusals=(
        ReviewNotKnown,
        NotImportable,
        ReviewNotOpen,
        TextMissing,
        QuestionNotKnown,
        QuestionAlreadyAnswered,
    ),
)
async def answer_question(call: Call[AnswerRequest]) -> AnyIntent:
    """Answer a voter's question, on record; whoever votes after that has it before them."""
    check_happens_now(call)
    return await _to_review(call, AnswerQuestion(call.body.question, call.subject, call.body.text))


@api.command(
    "/reviews/{review}/referrals",
    operation="referReview",
    action="review.refer",
    body=ReferralRequest,
    if_match=True,
    refusals=(
        ReviewNotKnown,
        NotImportable,
        ReviewNotEscalated,
        ReasonMissing,
        BodyNotKnown,
        DecidingBodyMissing,
        PersonNotKnown,
        ElectorateTooSmall,
    ),
)
async def refer_review(call: Call[ReferralRequest]) -> AnyIntent:
    """Put a review that its electorate could not decide before a body, which votes anew."""
    review = call.path_id("review")
    state = (await call.load(REVIEW, review)).state
    assert not isinstance(state, NotDrafted), "a stream that exists was drafted"
    project = state.drafted.project
    await may(call, "review.refer", NodeId(project))
    check_happens_now(call)
    if isinstance(state, Draft | Withdrawn):
        raise ReviewNotEscalated(state=STATES[type(state)])
    facts = await facts_of(call, project)
    rolls, relied_on = await _rolls(call, facts, (call.body.body,), ())
    panel = panel_of(call.body.body, state.ballot.panel.excluded, rolls)
    check_panel(panel, state.ballot.submitted.quorum)
    return Intent(
        REVIEW,
        review,
        ReferReview(call.subject, panel, call.body.reason, call.now),
        relies_on=each_once(relied_on),
        node=NodeId(project),
    )


@api.command(
    "/reviews/{review}/withdrawals",
    operation="withdrawReview",
    action="review.withdraw",
    body=WithdrawalRequest,
    refusals=(ReviewNotKnown, ReviewNotOpen, ReviewAlreadyConcluded, ReasonMissing),
)
async def withdraw_review(call: Call[WithdrawalRequest]) -> AnyIntent:
    """End a review without an outcome, while its voters still have time."""
    return await _to_review(call, WithdrawReview(call.body.reason, call.now))


@api.command(
    "/reviews/{review}/condition-closures",
    operation="closeCondition",
    action="condition.close",
    body=ClosureRequest,
    refusals=(
        ReviewNotKnown,
        ReviewNotConcluded,
        ConditionNotKnown,
        ConditionAlreadyClosed,
        EvidenceMissing,
        TextMissing,
        EvidenceListedTwice,
    ),
)
async def close_condition(call: Call[ClosureRequest]) -> AnyIntent:
    """Show that a condition of a Conditional Go is met, as its owner or as one of those who run the project."""
    body, review = call.body, call.path_id("review")
    state = (await call.load(REVIEW, review)).state
    assert not isinstance(state, NotDrafted), "a stream that exists was drafted"
    conditions = state.concluded.conditions if isinstance(state, Concluded) else ()
    owners = {number: condition.owner for number, condition in enumerate(conditions, start=1)}
    action = CLOSE_OWN if owners.get(body.condition) == call.subject else "condition.close"
    command = CloseCondition(body.condition, body.evidence, body.remark)
    return Intent(REVIEW, review, command, node=NodeId(state.drafted.project), action=action)


@api.query("/reviews/{review}", operation="getReview", response=ReviewView)
async def get_review(ask: Ask, review: UUID) -> ReviewView:
    """Read a review as it stands; its ETag is what a vote or submission sends back as If-Match."""
    loaded = await ask.runtime.ledger.load(REVIEW, review)
    if isinstance(loaded.state, NotDrafted):
        raise ask.missing("review", review)
    await ask.require(READ, NodeId(loaded.state.drafted.project))
    ask.tag(review, loaded.head.version)
    return await review_view(ask, ReviewId(review), loaded.state)


@api.query("/reviews", operation="listReviews", response=Page[ReviewView], paged=True)
async def list_reviews(ask: Ask, project: UUID) -> Page[ReviewView]:
    """List all reviews of a project, in the order in which they were drafted."""
    await ask.require(READ, NodeId(project))
    rows = await linked(ask, REVIEW_OF, project)
    views = {}
    for row in rows[: ask.window.limit]:
        state = (await ask.runtime.ledger.load(REVIEW, row.stream)).state
        assert not isinstance(state, NotDrafted), "only a review that was drafted has this link"
        views[row.stream] = await review_view(ask, ReviewId(row.stream), state)
    return ask.page(rows, lambda row: views[row.stream], lambda row: (row.seq,))


def _named(policy: GatePolicyPublished) -> tuple[SubjectId, ...]:
    return (*policy.electorate.people, *policy.veto)


async def _rolls(
    call: Call[Any], facts: ProjectFacts, wanted: Iterable[BodyId | None], accounts: Iterable[SubjectId | None]
) -> tuple[Rolls, list[Head]]:
    """What says who may vote on a project today, and the heads of all that it was read from."""
    relied_on = []
    bodies = {}
    for body in wanted:
        if body is not None:
            formed = await call.ledger.load(BODY, body)
            bodies[body] = formed.state
            relied_on.append(formed.head)
    roles, assigned = await _roles_at(call, facts.nodes_above)
    rolls = Rolls(bodies, roles, await persons_of(call, accounts), day_in(facts.time_zone, call.now))
    return rolls, [*relied_on, *assigned]


async def _roles_at(call: Call[Any], nodes: Iterable[NodeId]) -> tuple[tuple[RoleAssignment, ...], list[Head]]:
    """The roles assigned at these nodes, and their heads."""
    loaded = [
        await call.ledger.load(ROLE_ASSIGNMENT, stream)
        for node in nodes
        for stream in await call.ledger.find(ROLE_AT, node)
    ]
    return tuple(each.state for each in loaded), [each.head for each in loaded]


async def _ties(call: Call[Any], review: UUID, facts: ProjectFacts) -> tuple[Ties, list[Head]]:
    """Who has a duty towards the project now, for whom the sponsor's is judged as the review's edition says.

    With the heads of the roles that it was read from; nobody has one where the question was not put.
    """
    state = (await call.ledger.load(REVIEW, review)).state
    if isinstance(state, NotDrafted | Draft) or state.ballot is None:
        return Ties(), []
    submitted, project = state.ballot.submitted, state.drafted.project
    editions = await call.ledger.events(UUID(submitted.policy.stream))
    edition = next(each.event for each in editions if each.envelope.version == submitted.policy.version)
    assert isinstance(edition, GatePolicyPublished), "a review was submitted under an edition"
    roles, relied_on = await _roles_at(call, [NodeId(project)])
    accounts = [submitted.submitter, facts.manager, facts.sponsor]
    rolls = Rolls({}, roles, await persons_of(call, accounts), day_in(facts.time_zone, call.now))
    ties = ties_now(
        rolls,
        Project(project, facts.value, facts.manager, facts.sponsor),
        submitted.submitter,
        sponsor_may_vote=edition.sponsor_may_vote,
    )
    return ties, relied_on


async def _acting(
    call: Call[Any], delegation: UUID | None, facts: ProjectFacts
) -> tuple[Acting | None, tuple[Head, ...]]:
    """What a caller acts under who speaks for another, and its head, to rely on. Raises DelegationNotKnown."""
    if delegation is None:
        return None, ()
    loaded = await call.ledger.load(DELEGATION, delegation)
    if loaded.head.hash is None:
        raise DelegationNotKnown(delegation=str(delegation))
    seen = Seen(str(delegation), loaded.head.version, loaded.head.hash.hex())
    nodes = frozenset(facts.nodes_above)
    return Acting(loaded.state, seen, nodes, await _may_vote(call, loaded.state, facts)), (loaded.head,)


async def _may_vote(call: Call[Any], delegation: Delegation, facts: ProjectFacts) -> bool:
    """Whether whoever granted a delegation has a role that lets them vote on the project themselves."""
    match delegation:
        case NotGranted():
            return False
        case Granted(granted=granted) | Revoked(granted=granted):
            (decision,) = await call.runtime.authority.decide(
                subject=granted.delegator,
                actions=("review.vote",),
                node=facts.nodes_above[0],
                administrator=False,
                now=call.context.now,
            )
            return decision.allowed
        case _:
            assert_never(delegation)


async def _open_conditions(call: Call[Any], project: ProjectId) -> tuple[ConditionOf, ...]:
    """The conditions of the project's reviews that are neither met nor waived."""
    unmet: list[ConditionOf] = []
    for stream in await call.ledger.find(OPEN_CONDITIONS_OF, project):
        state = (await call.ledger.load(REVIEW, stream)).state
        if isinstance(state, Concluded):
            numbers = range(1, len(state.concluded.conditions) + 1)
            unmet.extend(ConditionOf(ReviewId(stream), number) for number in numbers if number not in state.ended)
    return tuple(unmet)


async def _head_of_condition(call: Call[Any], project: ProjectId, waives: ConditionOf) -> Head:
    """The head of the review whose condition is to be waived, to rely on.

    Raises ReviewNotKnown, ReviewNotConcluded or ConditionNotKnown.
    """
    loaded = await call.ledger.load(REVIEW, waives.review)
    state = loaded.state
    if isinstance(state, NotDrafted) or state.drafted.project != project:
        raise ReviewNotKnown("The project has no such review.", review=str(waives.review))
    if not isinstance(state, Concluded):
        raise ReviewNotConcluded(review=str(waives.review))
    if not 1 <= waives.condition <= len(state.concluded.conditions):
        raise ConditionNotKnown(condition=str(waives.condition), conditions=str(len(state.concluded.conditions)))
    return loaded.head


async def _project_of(call: Call[Any], review: UUID) -> ProjectId:
    state = (await call.load(REVIEW, review)).state
    assert not isinstance(state, NotDrafted), "a stream that exists was drafted"
    return state.drafted.project


async def _basis(call: Call[Any], review: UUID) -> Seen:
    """Where what lies before voters stands, or the draft where it was not submitted yet and can't be voted on."""
    recorded = await call.ledger.events(review)
    last = next((one for one in reversed(recorded) if isinstance(one.event, BASIS)), recorded[-1])
    return Seen(str(review), last.envelope.version, last.hash.hex())


async def _to_review(call: Call[Any], command: ReviewCommand) -> AnyIntent:
    review = call.path_id("review")
    return Intent(REVIEW, review, command, node=NodeId(await _project_of(call, review)))


async def review_view(ask: Ask, review: ReviewId, state: Drafted) -> ReviewView:
    """A review as it stands, with the names of its people."""
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
        about=drafted.about,
        waives=drafted.waives,
        requested=drafted.requested,
        question=drafted.question,
        state=STATES[type(state)],
        evidence=drafted.evidence,
        value=drafted.value,
    )
    match state:
        case Draft():
            return view
        case Withdrawn(ballot=ballot, withdrawn=withdrawn):
            shown = view if ballot is None else await _with_ballot(ask, view, ballot)
            return shown.model_copy(update={"withdrawn_because": withdrawn.reason})
        case Submitted(ballot=ballot) | Open(ballot=ballot) | Escalated(ballot=ballot):
            return await _with_ballot(ask, view, ballot)
        case Concluded(ballot=ballot, concluded=concluded):
            shown = await _with_ballot(ask, view, ballot)
            owners = await queries.entries(ask.runtime.engine, [each.owner for each in concluded.conditions])
            conditions = [
                _condition_view(state, number, condition, owners)
                for number, condition in enumerate(concluded.conditions, start=1)
            ]
            return shown.model_copy(
                update={
                    "outcome": concluded.outcome,
                    "ending": concluded.ending,
                    "because": concluded.because,
                    "conditions": conditions,
                }
            )
        case _:
            assert_never(state)


def _condition_view(
    state: Concluded, number: int, condition: Condition, owners: Mapping[SubjectId, Entry]
) -> ConditionView:
    ended = state.ended.get(number)
    return ConditionView(
        number=number,
        text=condition.text,
        owner=condition.owner,
        owner_name=name_in(owners, condition.owner),
        due=condition.due,
        shown_by=condition.shown_by,
        on_lapse=condition.on_lapse,
        lapsed=number in state.lapsed,
        closed=ended is not None,
        waived_by=ended.decision if isinstance(ended, ConditionWaived) else None,
        evidence=ended.evidence if isinstance(ended, ConditionClosed) else (),
        remark=ended.remark if ended else None,
    )


async def _with_ballot(ask: Ask, view: ReviewView, ballot: Ballot) -> ReviewView:
    submitted, panel = ballot.submitted, ballot.panel
    subjects = {
        submitted.submitter,
        *(seat.subject for seat in panel.electorate),
        *(alternate.subject for seat in panel.electorate for alternate in seat.alternates),
        *(vote.voter for vote in ballot.votes.values()),
        *(question.asked.asker for question in ballot.questions),
        *(question.answer.answerer for question in ballot.questions if question.answer),
    }
    known = await queries.entries(ask.runtime.engine, subjects)
    kept_out = [*(exclusion.person for exclusion in panel.excluded), *ballot.recused]
    names = await queries.names_of(ask.runtime.engine, kept_out)
    counted = tally(ballot)
    return view.model_copy(
        update={
            "evidence": ballot.evidence,
            "value": submitted.value,
            "submitter": submitted.submitter,
            "submitter_name": name_in(known, submitted.submitter),
            "submitted_at": submitted.submitted_at,
            "proposed": submitted.proposed,
            "failed_outcome": submitted.failed_outcome,
            "policy": submitted.policy,
            "policy_number": submitted.policy_number,
            "body": panel.body,
            "votes_needed": counted.votes_needed,
            "rule": submitted.rule,
            "threshold": submitted.threshold,
            "closes_at": ballot.closes_at,
            "at_time_limit": submitted.at_time_limit,
            "awaits": submitted.awaits,
            "measures": ballot.measures,
            "findings": ballot.findings,
            "ready": ballot.ready,
            "open_conditions": submitted.open_conditions,
            "breaches": submitted.breaches,
            "electorate": _electorate(ballot, known),
            "excluded": [
                ExclusionView(person=each.person, name=names.get(each.person), duty=each.duty)
                for each in panel.excluded
            ],
            "recusals": [
                RecusalView(person=person, name=names.get(person), recused_by=recused.recused_by, reason=recused.reason)
                for person, recused in ballot.recused.items()
            ],
            "questions": [
                QuestionView(
                    number=question.asked.number,
                    asker=question.asked.asker,
                    asker_name=name_in(known, question.asked.asker),
                    text=question.asked.text,
                    answer=question.answer.text if question.answer else None,
                    answerer=question.answer.answerer if question.answer else None,
                    answerer_name=name_in(known, question.answer.answerer) if question.answer else None,
                )
                for question in ballot.questions
            ],
            "tally": counted,
        }
    )


def _electorate(ballot: Ballot, known: Mapping[SubjectId, Entry]) -> list[ElectorView]:
    marked = {(mark.seat, str(mark.delegation)): mark.reason for mark in ballot.marks}
    shown = []
    for seat in ballot.panel.electorate:
        cast = ballot.votes.get(seat.person)
        recused = ballot.recused.get(seat.person)
        shown.append(
            ElectorView(
                subject=seat.subject,
                name=name_in(known, seat.subject),
                authority=seat.authority,
                veto=seat.veto,
                alternates=[
                    AlternateView(subject=each.subject, name=name_in(known, each.subject)) for each in seat.alternates
                ],
                recused_because=recused.reason if recused else None,
                choice=cast.choice if cast else None,
                reason=cast.reason if cast else None,
                conditions=cast.conditions if cast else (),
                seen=cast.seen if cast else (),
                spoken_by=cast.voter if cast else None,
                spoken_by_name=name_in(known, cast.voter) if cast else None,
                spoken_as=cast.authority if cast else None,
                delegation=cast.delegation if cast else None,
                marked_because=marked.get((seat.person, cast.delegation.stream)) if cast and cast.delegation else None,
            )
        )
    return shown
