"""Lives of reviews as the ledger would have them: commands decided and written down as documents, one after another."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any, Final
from uuid import UUID, uuid5

from tests.unit.approvals.people import (
    BOARD,
    COUNCIL,
    PORTFOLIO,
    PORTFOLIO_NODE,
    PROJECT,
    PROJECT_NODE,
    account,
    person,
)

from approvals.domain.body import BODY
from approvals.domain.delegation import DELEGATION, GrantDelegation, RevokeDelegation
from approvals.domain.gate_policy import GATE_POLICY, PublishPolicy
from approvals.domain.review import (
    BASIS,
    REVIEW,
    Acting,
    AnswerQuestion,
    AskQuestion,
    CastVote,
    ChangeEvidence,
    Command,
    DraftReview,
    MarkVotes,
    Open,
    ReachTimeLimit,
    RecuseVoter,
    Review,
    SubmitReview,
)
from govevents.approvals import (
    Alternate,
    AtTimeLimit,
    BodyFormed,
    Choice,
    Condition,
    ConditionTerms,
    Duty,
    Elector,
    Electorate,
    Evidence,
    Exclusion,
    GatePolicyPublished,
    OnLapse,
    Outcome,
    Panel,
    Quorum,
    ReviewKind,
    Rule,
    Seen,
    TimeLimit,
)
from govevents.document import Document, Origin, Recorded, encode
from govevents.registry import CATALOGUE
from govkernel.domain import Aggregate, BodyId, Money, SubjectId

MORNING: Final = datetime(2026, 3, 2, 8, tzinfo=UTC)
MILLION: Final = Money(Decimal(1_000_000), "AUD")
CASE: Final = Evidence("Business case", "https://files.example/case", "a" * 64, "business_case")
PLAN: Final = Evidence("Plan", "https://files.example/plan", "b" * 64, "plan")
TIED: Final = (
    Exclusion(person("sam"), Duty.SUBMITTER),
    Exclusion(person("max"), Duty.PROJECT_MANAGER),
    Exclusion(person("sol"), Duty.SPONSOR),
)
POLICY: Final = PublishPolicy(
    portfolio=PORTFOLIO,
    kind=ReviewKind.GATE,
    gate="G2",
    electorate=Electorate((), (), BOARD, by_value_band=False),
    quorum=Quorum(2, Decimal("0.5")),
    rule=Rule.MAJORITY,
    threshold=None,
    veto=(),
    sponsor_may_vote=False,
    time_limit=TimeLimit(14, AtTimeLimit.ESCALATE, (3,)),
    failed_outcome=Outcome.RECYCLE,
    escalate_to=None,
    deliverables=(),
    criteria=(),
    conditions=ConditionTerms(None, None, tuple(OnLapse)),
)


def seat(name: str, *alternates: str, veto: bool = False) -> Elector:
    """A seat of the board."""
    others = tuple(Alternate(account(each), person(each)) for each in alternates)
    return Elector(account(name), person(name), "member of Board", veto, others)


def panel(*seats: Elector, body: BodyId = BOARD) -> Panel:
    """Those who vote, without those who have a duty towards the project."""
    return Panel(body, seats, TIED)


def condition(text: str = "Obtain the permit.", *, on_lapse: OnLapse = OnLapse.HOLD) -> Condition:
    """A condition that max is to meet by the end of May."""
    day_over = datetime(2026, 6, 1, tzinfo=UTC)
    return Condition(text, account("max"), date(2026, 5, 31), "The permit.", on_lapse, day_over)


@dataclass
class Written:
    """A stream of documents; what is written is read back."""

    aggregate: Aggregate[Any, Any, Any]
    stream: UUID
    recorded: list[Recorded[Any]] = field(default_factory=list)
    documents: list[Document] = field(default_factory=list)
    state: Any = None
    commands: int = 0

    def __post_init__(self) -> None:
        self.state = self.aggregate.initial

    def send(self, command: Any, at: datetime, actor: str = "service:approvals") -> tuple[Any, ...]:
        """Decide, and write down what follows. Raises what the decider does."""
        events = tuple(self.aggregate.decide(command, self.state))
        self.commands += 1
        for event in events:
            self.write(event, at, actor)
        return events

    def write(self, event: Any, at: datetime, actor: str = "service:approvals") -> None:
        """Write an event down."""
        last = self.documents[-1] if self.documents else None
        moment = max(at, last.time) if last else at
        made = encode(
            event,
            service="approvals",
            aggregate=self.aggregate.name,
            stream=self.stream,
            version=len(self.documents) + 1,
            previous_hash=last.hash if last else None,
            time=moment,
            recorded_at=moment,
            actor=actor,
            command=uuid5(self.stream, f"command {self.commands}"),
            correlation="test",
            causation=None,
            origin=Origin.LIVE,
        )
        self.documents.append(made)
        read = CATALOGUE.decode(made.body)
        self.recorded.append(read)
        self.state = self.aggregate.evolve(self.state, read.event)

    @property
    def head(self) -> Seen:
        """Where the stream stands."""
        return seen(self.recorded[-1])


def seen(recorded: Recorded[Any]) -> Seen:
    """A document as somebody says to have seen it."""
    return Seen(str(recorded.envelope.stream), recorded.envelope.version, recorded.hash.hex())


class Life:
    """A review, its policy and its delegations, from MORNING on; each step comes an hour after the one before."""

    def __init__(self, policy: PublishPolicy = POLICY, *, name: str = "review") -> None:
        self.now = MORNING
        self.policy = Written(GATE_POLICY, uuid5(PORTFOLIO, f"policy of {name}"))
        self.policy.send(policy, self.now, str(account("pia")))
        self.delegations: dict[str, Written] = {}
        self.review = Written(REVIEW, uuid5(PROJECT, name))

    @property
    def edition(self) -> GatePolicyPublished:
        """The edition that the review is opened under."""
        edition = self.policy.recorded[-1].event
        assert isinstance(edition, GatePolicyPublished)
        return edition

    @property
    def state(self) -> Review:
        """The review as it stands."""
        state: Review = self.review.state
        return state

    def later(self, **time: float) -> "Life":
        """Let time go by."""
        self.now += timedelta(**time)
        return self

    def send(self, command: Command, actor: SubjectId | None = None) -> tuple[Any, ...]:
        """Decide a command of the review."""
        self.now += timedelta(hours=1)
        return self.review.send(command, self.now, str(actor) if actor else "service:approvals")

    def drafted(self, *evidence: Evidence, **changed: Any) -> "Life":
        """Max prepares the review."""
        command = DraftReview(PROJECT, PORTFOLIO, self.edition.kind, self.edition.gate, "May we build?", evidence)
        self.send(replace(command, **changed), account("max"))
        return self

    def submitted(self, *seats: Elector, proposed: Outcome = Outcome.GO, **changed: Any) -> "Life":
        """Sam puts the question to these seats."""
        edition = self.edition
        at = self.now + timedelta(hours=1)
        command = SubmitReview(
            submitter=account("sam"),
            proposed=proposed,
            policy=edition,
            policy_seen=self.policy.head,
            panel=panel(*seats),
            tied=TIED,
            escalation=None,
            evidence=(CASE,),
            value=MILLION,
            deliverables=edition.deliverables,
            criteria=edition.criteria,
            open_conditions=(),
            breaches=(),
            time_zone="Australia/Melbourne",
            at=at,
        )
        self.send(replace(command, **changed), account("sam"))
        return self

    def basis(self) -> Seen:
        """What lies before voters now."""
        return seen(next(one for one in reversed(self.review.recorded) if isinstance(one.event, BASIS)))

    def granted(self, delegator: str, delegate: str, *, limit: Money | None = None) -> Written:
        """One lets another speak for them all over the portfolio."""
        delegation = Written(DELEGATION, uuid5(PROJECT, f"{delegator} to {delegate}"))
        grant = GrantDelegation(
            delegator=account(delegator),
            delegator_person=person(delegator),
            delegate=account(delegate),
            delegate_person=person(delegate),
            node=PORTFOLIO_NODE,
            kinds=(),
            limit=limit,
            first_day=date(2026, 1, 1),
            last_day=date(2026, 12, 31),
            reason="Away.",
            today=date(2026, 1, 1),
        )
        delegation.send(grant, MORNING, str(account(delegator)))
        self.delegations[delegate] = delegation
        return delegation

    def acting(self, delegate: str) -> Acting:
        """What a delegate acts under."""
        written = self.delegations[delegate]
        return Acting(written.state, written.head, frozenset({PORTFOLIO_NODE, PROJECT_NODE}))

    def cast(self, name: str, choice: Choice, *conditions: Condition, **changed: Any) -> tuple[Any, ...]:
        """Somebody votes, having seen what lies before voters."""
        basis = self.basis()
        at = self.now + timedelta(hours=1)
        command = CastVote(
            voter=account(name),
            person=person(name),
            acting=self.acting(name) if name in self.delegations else None,
            choice=choice,
            conditions=conditions,
            basis=basis,
            seen=(basis,),
            reason=f"{name} has read the case.",
            today=at.date(),
            at=at,
        )
        return self.send(replace(command, **changed), account(name))

    def vote(self, name: str, choice: Choice, *conditions: Condition, **changed: Any) -> "Life":
        """As `cast`, and go on."""
        self.cast(name, choice, *conditions, **changed)
        return self

    def evidence(self, *evidence: Evidence, remark: str = "The case was revised.") -> "Life":
        """Sam changes the evidence."""
        self.send(ChangeEvidence(account("sam"), evidence, remark, self.now + timedelta(hours=1)), account("sam"))
        return self

    def recused(self, name: str, reason: str = "I own the land.") -> "Life":
        """Somebody keeps out."""
        at = self.now + timedelta(hours=1)
        self.send(RecuseVoter(person(name), account(name), reason, at), account(name))
        return self

    def revoked(self, delegate: str, reason: str = "Back again.") -> "Life":
        """A delegation is taken back, and what stands under it is marked."""
        delegation = self.delegations[delegate]
        self.later(hours=1)
        granted = delegation.recorded[0].event
        delegation.send(RevokeDelegation(granted.delegator, reason), self.now, str(granted.delegator))
        self.send(MarkVotes(delegation.stream, reason))
        return self

    def asked(self, name: str, text: str, answer: str | None = None) -> "Life":
        """A voter asks the submitter, who answers or not."""
        self.send(AskQuestion(account(name), person(name), None, text, self.now.date()), account(name))
        if answer is not None:
            self.send(AnswerQuestion(1, account("sam"), answer), account("sam"))
        return self

    def time_is_over(self) -> "Life":
        """The time limit is reached."""
        assert isinstance(self.state, Open)
        closes_at = self.state.ballot.closes_at
        assert closes_at is not None
        self.now = max(self.now, closes_at)
        self.send(ReachTimeLimit(closes_at))
        return self


def body_formed(body: BodyId, name: str) -> Recorded[Any]:
    """The document that says what a body is called."""
    written = Written(BODY, body)
    written.write(BodyFormed(PORTFOLIO, name), MORNING)
    return written.recorded[0]


BODIES: Final[Sequence[Recorded[Any]]] = (body_formed(BOARD, "Board"), body_formed(COUNCIL, "Council"))
