"""What the tests of reviews are made of: a draft, a submission, votes, outcomes, and the command that makes each."""

from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal

from tests.unit.approvals.people import BOARD, PORTFOLIO, PROJECT, REVIEW_STREAM, account, person

from approvals.domain.review import (
    REVIEW,
    CastVote,
    DraftReview,
    Event,
    SubmitReview,
    decide,
)
from govevents.approvals import (
    AtTimeLimit,
    Authority,
    Choice,
    Condition,
    ConditionTerms,
    Duty,
    Elector,
    Electorate,
    Ending,
    Evidence,
    Exclusion,
    GatePolicyPublished,
    OnLapse,
    Outcome,
    Panel,
    Quorum,
    ReviewConcluded,
    ReviewDrafted,
    ReviewEscalated,
    ReviewKind,
    ReviewSubmitted,
    ReviewWithdrawn,
    Rule,
    Seen,
    Tally,
    TimeLimit,
    VoteCast,
)
from govkernel.domain import Specification


def unexplained(event: Event) -> Event:
    return replace(event, because="") if isinstance(event, ReviewConcluded) else event


review = Specification(replace(REVIEW, decide=lambda command, state: tuple(map(unexplained, decide(command, state)))))
"""Decides as reviews do, but leaves out why in words, which has tests of its own."""

APPROVE, CONDITIONALLY, REJECT, RETURN, ABSTAIN = Choice
NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
CLOSING = NOON + timedelta(days=14)
BUSINESS_CASE = Evidence("Business case", "https://files.example/case", "a" * 64)
PLAN = Evidence("Plan", "https://files.example/plan", "b" * 64)
POLICY_SEEN = Seen("policy", 4, "c" * 64)
SUBMISSION = Seen(str(REVIEW_STREAM), 2, "d" * 64)
TODAY = date(2026, 3, 2)


def condition(text: str, owner: str, due: date, then: OnLapse = OnLapse.REMINDER) -> Condition:
    return Condition(text, account(owner), due, "a report", then, datetime.combine(due, time(), UTC) + timedelta(1))


TRIAL = condition("Finish the trial", "mia", date(2026, 6, 30))
LATER = condition("Finish the trial", "mia", date(2026, 7, 1))
PERMIT = condition("Obtain the permit", "max", date(2026, 5, 31))

EXCLUDED = (
    Exclusion(person("sam"), Duty.SUBMITTER),
    Exclusion(person("max"), Duty.PROJECT_MANAGER),
    Exclusion(person("sol"), Duty.SPONSOR),
)
ANY_CONDITIONS = ConditionTerms(None, None, tuple(OnLapse))
POLICY = GatePolicyPublished(
    portfolio=PORTFOLIO,
    kind=ReviewKind.GATE,
    gate="G2",
    number=3,
    electorate=Electorate((), (), BOARD, by_value_band=False),
    quorum=Quorum(1, Decimal("0.5")),
    rule=Rule.MAJORITY,
    threshold=None,
    veto=(),
    sponsor_may_vote=False,
    time_limit=TimeLimit(14, AtTimeLimit.LAPSE),
    failed_outcome=Outcome.RECYCLE,
    escalate_to=None,
    deliverables=(),
    criteria=(),
    conditions=ANY_CONDITIONS,
)
DRAFT = DraftReview(PROJECT, PORTFOLIO, ReviewKind.GATE, "G2", "May we build?", (BUSINESS_CASE,))
DRAFTED = ReviewDrafted(
    project=PROJECT,
    portfolio=PORTFOLIO,
    kind=ReviewKind.GATE,
    gate="G2",
    question="May we build?",
    evidence=(BUSINESS_CASE,),
    about=None,
    waives=None,
    value=None,
    requested=None,
)


def elector(name: str, *, veto: bool = False) -> Elector:
    return Elector(account(name), person(name), "member of Executive Board", veto)


SUBMIT = SubmitReview(
    submitter=account("sam"),
    proposed=Outcome.GO,
    policy=POLICY,
    policy_seen=POLICY_SEEN,
    panel=Panel(BOARD, (elector("ana"), elector("bo"), elector("cy")), EXCLUDED),
    tied=EXCLUDED,
    escalation=None,
    evidence=(BUSINESS_CASE, PLAN),
    value=None,
    deliverables=(),
    criteria=(),
    open_conditions=(),
    breaches=(),
    time_zone="Europe/Berlin",
    at=NOON,
)


def submit(*names: str, veto: str = "", proposed: Outcome = Outcome.GO, **policy: object) -> SubmitReview:
    electorate = tuple(elector(name, veto=name == veto) for name in names)
    changed: GatePolicyPublished = replace(POLICY, **policy)  # type: ignore[arg-type]
    return replace(SUBMIT, panel=Panel(BOARD, electorate, EXCLUDED), proposed=proposed, policy=changed)


def submitted(
    *names: str,
    veto: str = "",
    needed: int = 2,
    proposed: Outcome = Outcome.GO,
    rule: Rule = Rule.MAJORITY,
    threshold: str | None = None,
    limit: AtTimeLimit | None = AtTimeLimit.LAPSE,
    failed: Outcome = Outcome.RECYCLE,
    quorum: Quorum | None = None,
) -> ReviewSubmitted:
    return ReviewSubmitted(
        project=PROJECT,
        submitter=account("sam"),
        proposed=proposed,
        policy=POLICY_SEEN,
        policy_number=3,
        electorate=tuple(elector(name, veto=name == veto) for name in names),
        excluded=EXCLUDED,
        tied=EXCLUDED,
        quorum=quorum or (POLICY.quorum if needed == (len(names) + 1) // 2 else Quorum(needed, Decimal(0))),
        votes_needed=needed,
        rule=rule,
        threshold=Decimal(threshold) if threshold else None,
        failed_outcome=failed,
        body=BOARD,
        escalation=None,
        evidence=(BUSINESS_CASE, PLAN),
        value=None,
        deliverables=(),
        criteria=(),
        conditions=ANY_CONDITIONS,
        open_conditions=(),
        breaches=(),
        findings=(),
        ready=True,
        awaits=(),
        measured_by=None,
        submitted_at=NOON,
        closes_at=CLOSING if limit else None,
        at_time_limit=limit,
        reminders=(),
        time_zone="Europe/Berlin",
    )


SUBMITTED = submitted("ana", "bo", "cy")
OPENED = (DRAFTED, SUBMITTED)


def cast(name: str, choice: Choice, *conditions: Condition, reason: str = "as the case says") -> CastVote:
    return CastVote(
        voter=account(name),
        person=person(name),
        acting=None,
        choice=choice,
        conditions=conditions,
        basis=SUBMISSION,
        seen=(SUBMISSION,),
        reason=reason,
        today=TODAY,
        at=NOON,
    )


def vote(name: str, choice: Choice, *conditions: Condition, reason: str = "as the case says") -> VoteCast:
    return VoteCast(
        project=PROJECT,
        voter=account(name),
        person=person(name),
        seat=person(name),
        authority=Authority.OWN,
        delegation=None,
        choice=choice,
        conditions=conditions,
        seen=(SUBMISSION,),
        reason=reason,
    )


def concluded(
    outcome: Outcome,
    *conditions: Condition,
    electorate: int = 3,
    needed: int = 2,
    approve: int = 0,
    conditionally: int = 0,
    reject: int = 0,
    returned: int = 0,
    abstain: int = 0,
    recused: int = 0,
    ending: Ending = Ending.DECIDED,
) -> ReviewConcluded:
    return ReviewConcluded(
        project=PROJECT,
        portfolio=PORTFOLIO,
        kind=ReviewKind.GATE,
        gate="G2",
        about=None,
        waives=None,
        outcome=outcome,
        ending=ending,
        because="",
        tally=Tally(electorate, needed, approve, conditionally, reject, returned, abstain, recused),
        conditions=conditions,
        breaches=(),
        body=BOARD,
        submitted_at=NOON,
    )


def escalated(reason: str) -> ReviewEscalated:
    return ReviewEscalated(PROJECT, reason, None, None, ())


GO = concluded(Outcome.GO, approve=2)
DECIDED = (*OPENED, vote("ana", APPROVE), vote("bo", APPROVE), GO)
CONDITIONAL = (
    *OPENED,
    vote("ana", APPROVE),
    vote("bo", CONDITIONALLY, TRIAL),
    concluded(Outcome.CONDITIONAL_GO, TRIAL, approve=1, conditionally=1),
)
WITHDRAWN = (*OPENED, ReviewWithdrawn(PROJECT, "not needed"))
ESCALATED = (*OPENED, escalated("nobody decides"))
