"""Bodies, roles, policies, delegations, reviews and gate meetings live together, as the ledger lets them: who relies on
what has moved meanwhile decides again. Plain models say at each step who may vote, what it must come to, and what a
meeting may say of it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any, Final
from uuid import NAMESPACE_DNS, UUID, uuid5

from hypothesis import event as occurred
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from tests.unit.approvals.people import BOARD, PORTFOLIO, PORTFOLIO_NODE, PROJECT, PROJECT_NODE, account, person
from tests.unit.approvals.plain import (
    BODIES,
    Delegated,
    PlainMeeting,
    PlainReview,
    Refusals,
    Said,
    Seat,
    Sitting,
    Terms,
    on_paper,
    step,
)
from tests.unit.approvals.reviews import NOON

from approvals.application.electorate import ElectorateTooSmall, PolicyMissing, Project, Rolls, edition_of, elect
from approvals.application.reactions import react
from approvals.domain import gate_policy, project_reviews, role_assignment
from approvals.domain import review as reviews
from approvals.domain.body import BODY, AppointMember, FormBody, ReleaseMember
from approvals.domain.delegation import DELEGATION, GrantDelegation, RevokeDelegation
from approvals.domain.gate_policy import GATE_POLICY, PublishPolicy, asked_for
from approvals.domain.meeting import (
    MEETING,
    CancelMeeting,
    CloseMeeting,
    DisposeItem,
    OpenMeeting,
    RecordAttendance,
    ScheduleMeeting,
    SetAgenda,
    TakeMinute,
)
from approvals.domain.project_reviews import PROJECT_REVIEWS, EndReviews, ProjectHasEnded
from approvals.domain.review import REVIEW
from approvals.domain.role_assignment import ROLE_ASSIGNMENT, AssignRole, RevokeRole
from approvals.domain.value_bands import VALUE_BANDS
from govevents import approvals as events
from govevents.approvals import (
    AgendaItem,
    Attendance,
    AtTimeLimit,
    Choice,
    Disposition,
    Duty,
    Electorate,
    Outcome,
    Quorum,
    ReviewKind,
    Role,
    Rule,
    Seen,
)
from govevents.document import Envelope, Origin, Recorded
from govkernel.domain import Aggregate, Link, Money, NodeId, Reaction, Refusal, ReviewId

PEOPLE: Final = ("ana", "bo", "cy", "dee", "max", "sol", "sam", "eli", "fay")
NODES: Final = frozenset({PROJECT_NODE, PORTFOLIO_NODE})
POLICY: Final = gate_policy.stream_of(PORTFOLIO, ReviewKind.GATE, "G2")
ENDED: Final = project_reviews.stream_of(PROJECT)
BANDS: Final = uuid5(NAMESPACE_DNS, "bands.example")
CHARTER: Final = Project(PROJECT, Money(Decimal(100), "AUD"), account("max"), account("sol"))
PERSONS: Final = {account(f"{name}{which}"): person(name) for name in PEOPLE for which in ("", ".second")}
SHARES: Final = st.sampled_from(["0", "0.34", "0.5", "0.67", "1"]).map(Decimal)


@dataclass(frozen=True)
class Intent:
    """What was decided to be asked of a stream, and the versions of all that this rests on."""

    aggregate: Aggregate[Any, Any, Any]
    stream: UUID
    command: Any
    heads: Mapping[UUID, int]


class Streams:
    """The ledger as a dictionary: what relies on a version that is not the newest is made anew before it is decided."""

    def __init__(self) -> None:
        self.events: dict[UUID, list[Any]] = {}
        self.states: dict[UUID, Any] = {}

    def version(self, stream: UUID) -> int:
        return len(self.events.get(stream, ()))

    def state(self, aggregate: Aggregate[Any, Any, Any], stream: UUID) -> Any:
        return self.states.get(stream, aggregate.initial)

    def seen(self, stream: UUID, version: int | None = None) -> Seen:
        version = self.version(stream) if version is None else version
        return Seen(str(stream), version, f"{version:064x}")

    def append(self, prepared: Intent | Refusal, make: Callable[[], Intent]) -> tuple[Any, ...]:
        """Decide what was prepared, or what would be prepared now. Raises Refusal."""
        moved = isinstance(prepared, Refusal) or any(
            self.version(stream) != version for stream, version in prepared.heads.items()
        )
        intent = make() if moved else prepared
        assert isinstance(intent, Intent)
        decided = intent.aggregate.decide(intent.command, self.state(intent.aggregate, intent.stream))
        for event in decided:
            self.events.setdefault(intent.stream, []).append(event)
            self.states[intent.stream] = intent.aggregate.evolve(self.state(intent.aggregate, intent.stream), event)
        return decided


@dataclass
class Policy:
    """How it is decided from now on, in names."""

    roles: tuple[Role, ...]
    people: tuple[str, ...]
    body: str | None
    veto: tuple[str, ...]
    sponsor_may_vote: bool
    above: str | None
    quorum: Quorum
    rule: Rule
    threshold: Decimal | None
    at_limit: AtTimeLimit | None


class GovernanceLives(RuleBasedStateMachine):
    """A portfolio with its bodies, roles and policy, the reviews of a project in it, one after another, and the gate
    meetings that look at them."""

    @initialize(furnished=st.sampled_from([True, True, True, False]))
    def begin(self, furnished: bool) -> None:
        self.ledger = Streams()
        self.now = NOON
        self.seats: dict[str, dict[str, list[str]]] = {"board": {}, "council": {}}
        self.roles: dict[tuple[str, Role, NodeId], None] = {}
        self.policy: Policy | None = None
        self.delegations: dict[UUID, Delegated] = {}
        self.project_over = False
        self.review = uuid5(NAMESPACE_DNS, "review.0")
        self.reviews = 0
        self.plain: PlainReview | None = None
        self.plains: dict[UUID, PlainReview] = {}
        self.meetings: dict[UUID, PlainMeeting] = {}
        self.put: events.ReviewSubmitted | None = None
        self.pending: list[Callable[[], None]] = []
        for name, body in BODIES.items():
            self.do(BODY, body, FormBody(PORTFOLIO, name))
        for name in ("ana", "bo", "cy"):
            self.appoint("board", name, None)
        self.appoint("board", "dee", "ana")
        self.appoint("board", "eli", "bo")
        self.appoint("council", "dee", None)
        if furnished:
            usual = Policy((), (), "board", (), False, None, Quorum(1, Decimal("0.5")), Rule.MAJORITY, None, None)
            self.publish_this(usual)

    def do(self, aggregate: Aggregate[Any, Any, Any], stream: UUID, command: Any) -> tuple[Any, ...] | None:
        """Ask something that rests on nothing else; None where it was refused."""
        intent = Intent(aggregate, stream, command, {})
        try:
            return self.ledger.append(intent, lambda: intent)
        except Refusal:
            return None

    @rule(
        body=st.sampled_from(["board", "board", "council"]),
        name=st.sampled_from(PEOPLE),
        for_=st.none() | st.sampled_from(PEOPLE),
    )
    def appoint(self, body: str, name: str, for_: str | None) -> None:
        alternate_for = account(for_) if for_ and for_ in self.seats[body] else None
        command = AppointMember(account(name), person(name), False, alternate_for, NOON.date(), None)
        if self.do(BODY, BODIES[body], command):
            if alternate_for is None:
                self.seats[body][name] = []
            else:
                self.seats[body][str(for_)].append(name)

    @precondition(lambda self: any(self.seats.values()))
    @rule(body=st.sampled_from(["board", "council"]), name=st.sampled_from(PEOPLE))
    def release(self, body: str, name: str) -> None:
        if self.do(BODY, BODIES[body], ReleaseMember(account(name), "left")):
            self.seats[body].pop(name, None)
            for alternates in self.seats[body].values():
                if name in alternates:
                    alternates.remove(name)

    @rule(
        name=st.sampled_from([*PEOPLE, "ana.second", "cy.second"]),
        role=st.sampled_from([Role.APPROVER, Role.APPROVER, Role.SPONSOR, Role.PROJECT_MANAGER]),
        node=st.sampled_from([PORTFOLIO_NODE, PROJECT_NODE]),
        taken=st.sampled_from([False, False, True]),
    )
    def change_role(self, name: str, role: Role, node: NodeId, taken: bool) -> None:
        stream = role_assignment.stream_of(node, role, account(name))
        natural = person(name.removesuffix(".second"))
        if taken:
            self.do(ROLE_ASSIGNMENT, stream, RevokeRole("moved on"))
            self.roles.pop((name, role, node), None)
        elif self.do(ROLE_ASSIGNMENT, stream, AssignRole(account(name), natural, role, node, NOON.date(), None)):
            self.roles[name, role, node] = None

    @rule(
        roles=st.sampled_from([(), (Role.APPROVER,), (Role.APPROVER, Role.SPONSOR)]),
        people=st.lists(st.sampled_from(PEOPLE), max_size=2, unique=True),
        body=st.sampled_from(["board", "board", None]),
        veto=st.lists(st.sampled_from(PEOPLE), max_size=1),
        sponsor_may_vote=st.booleans(),
        above=st.sampled_from([None, "council"]),
        quorum=st.builds(Quorum, st.sampled_from([1, 1, 2]), SHARES),
        decided_by=st.sampled_from(Rule),
        threshold=SHARES.filter(bool),
        at_limit=st.none() | st.sampled_from(AtTimeLimit),
    )
    def publish(
        self,
        roles: tuple[Role, ...],
        people: list[str],
        body: str | None,
        veto: list[str],
        sponsor_may_vote: bool,
        above: str | None,
        quorum: Quorum,
        decided_by: Rule,
        threshold: Decimal,
        at_limit: AtTimeLimit | None,
    ) -> None:
        kept = threshold if decided_by is Rule.THRESHOLD else None
        self.publish_this(
            Policy(roles, tuple(people), body, tuple(veto), sponsor_may_vote, above, quorum, decided_by, kept, at_limit)
        )

    def publish_this(self, policy: Policy) -> None:
        """Let it be decided so from now on, if it can be."""
        body = BODIES[policy.body] if policy.body else None
        command = PublishPolicy(
            portfolio=PORTFOLIO,
            kind=ReviewKind.GATE,
            gate="G2",
            electorate=Electorate(policy.roles, tuple(map(account, policy.people)), body, by_value_band=False),
            quorum=policy.quorum,
            rule=policy.rule,
            threshold=policy.threshold,
            veto=tuple(map(account, policy.veto)),
            sponsor_may_vote=policy.sponsor_may_vote,
            time_limit=events.TimeLimit(14, policy.at_limit) if policy.at_limit else None,
            escalate_to=BODIES[policy.above] if policy.above else None,
        )
        if self.do(GATE_POLICY, POLICY, command) is not None:
            self.policy = policy

    def electorate(
        self, policy: Policy, submitter: str
    ) -> tuple[Sitting, Sitting | None, dict[str, set[Duty]], set[str]]:
        """Who must decide now, who above them, who is kept out, and who has a duty towards the project."""
        duties: dict[str, set[Duty]] = {}
        at_project = [(name.removesuffix(".second"), role) for name, role, node in self.roles if node == PROJECT_NODE]
        for name, duty in [
            (submitter, Duty.SUBMITTER),
            ("max", Duty.PROJECT_MANAGER),
            ("sol", Duty.SPONSOR),
            *((name, Duty.PROJECT_MANAGER) for name, role in at_project if role is Role.PROJECT_MANAGER),
            *((name, Duty.SPONSOR) for name, role in at_project if role is Role.SPONSOR),
        ]:
            duties.setdefault(name, set()).add(duty)
        excluded = {
            name: kept
            for name, held in duties.items()
            if (kept := held - ({Duty.SPONSOR} if policy.sponsor_may_vote else set()))
        }
        accounts = [name for name, role, _ in self.roles if role in policy.roles]
        others = [*accounts, *policy.people, *policy.veto]
        first = self.sitting(policy.body, others, excluded, policy.veto)
        above = None if policy.above is None else self.sitting(policy.above, [], excluded, ())
        return first, above, excluded, set(duties)

    def sitting(
        self, body: str | None, others: list[str], excluded: Mapping[str, set[Duty]], veto: tuple[str, ...]
    ) -> Sitting:
        """A body's members and others with a voice, one seat each; a seat of someone kept out is their alternate's."""
        members = self.seats[body] if body else {}
        voices = {*members, *(name.removesuffix(".second") for name in others)} - excluded.keys()
        seats = [
            Seat(
                name,
                tuple(each for each in members.get(name, ()) if each not in voices | excluded.keys()),
                name in veto,
            )
            for name in voices
        ]
        seats = [
            replace(seat, account=f"{seat.holder}.second")
            if seat.holder not in members
            and f"{seat.holder}.second" in others
            and self.second_first(seat.holder, others)
            else seat
            for seat in seats
        ]
        taken = set(voices)
        for name in sorted(members, key=account):
            free = [each for each in members[name] if each not in taken | excluded.keys()] if name in excluded else []
            if free:
                seats.append(Seat(free[0], tuple(free[1:]), False))
                taken.add(free[0])
        return Sitting(body or "nobody", tuple(seats))

    def second_first(self, name: str, others: list[str]) -> bool:
        """Whether a person's other account comes first among those with the same kind of voice."""
        roles = sorted(
            ((role.value, account(each), each) for each, role, _ in self.roles if each in (name, f"{name}.second")),
            key=lambda found: found[:2],
        )
        named = [each for _, _, each in roles if each in others and self.has_role_voice(each)]
        return bool(named) and named[0].endswith(".second")

    def has_role_voice(self, name: str) -> bool:
        """Whether an account votes because of a role."""
        assert self.policy is not None
        return any(each == name and role in self.policy.roles for each, role, _ in self.roles)

    @precondition(lambda self: self.plain is None or self.plain.state in ("concluded", "withdrawn"))
    @rule(submitter=st.sampled_from(["sam", "sam", "max", "ana"]), late=st.sampled_from([False, False, False, True]))
    def submit(self, submitter: str, late: bool) -> None:
        self.reviews += 1
        review = uuid5(NAMESPACE_DNS, f"review.{self.reviews}")
        draft = reviews.DraftReview(PROJECT, PORTFOLIO, ReviewKind.GATE, "G2", "May we build?", ())
        self.do(REVIEW, review, draft)

        def make() -> Intent:
            edition = edition_of(self.ledger.state(GATE_POLICY, POLICY))
            assignments = {
                role_assignment.stream_of(node, role, account(name)): None for name, role, node in self.roles
            }
            bodies = {body: self.ledger.state(BODY, body) for body in BODIES.values()}
            held = tuple(self.ledger.state(ROLE_ASSIGNMENT, stream) for stream in assignments)
            elected = elect(
                policy=edition,
                bands=VALUE_BANDS.initial,
                rolls=Rolls(bodies, held, PERSONS, self.now.date()),
                reviews=self.ledger.state(PROJECT_REVIEWS, ENDED),
                project=CHARTER,
                submitter=account(submitter),
            )
            deliverables, criteria = asked_for(edition, CHARTER.value)
            command = reviews.SubmitReview(
                submitter=account(submitter),
                proposed=Outcome.GO,
                policy=edition,
                policy_seen=self.ledger.seen(POLICY),
                panel=elected.panel,
                tied=elected.tied,
                escalation=elected.escalation,
                evidence=(),
                value=CHARTER.value,
                deliverables=deliverables,
                criteria=criteria,
                open_conditions=(),
                breaches=(),
                time_zone="UTC",
                at=self.now,
            )
            relied_on = (POLICY, ENDED, *BODIES.values(), *assignments)
            return Intent(REVIEW, review, command, {each: self.ledger.version(each) for each in relied_on})

        def commit(prepared: Intent | Refusal, known: frozenset[Any]) -> None:
            if self.plain is not None and self.plain.state not in ("concluded", "withdrawn"):
                return
            # Roles that are new since are streams of their own: their first event comes with what they are found by.
            moved = known != frozenset(self.roles)
            self.submitted(review, submitter, PolicyMissing() if moved else prepared, make)

        prepared, known = self.prepared(make), frozenset(self.roles)
        if late:
            self.pending.append(lambda: commit(prepared, known))
        else:
            commit(prepared, known)

    def prepared(self, make: Callable[[], Intent]) -> Intent | Refusal:
        """What is intended on what is known now."""
        try:
            return make()
        except Refusal as refusal:
            return refusal

    def submitted(self, review: UUID, submitter: str, prepared: Intent | Refusal, make: Callable[[], Intent]) -> None:
        """Write a submission down, and compare whom it asks."""
        against: Refusals = {ProjectHasEnded} if self.project_over else set()
        policy = self.policy
        if policy is None:
            try:
                self.ledger.append(prepared, make)
            except PolicyMissing:
                return
            raise AssertionError("nothing is decided without a policy")
        first, above, excluded, tied = self.electorate(policy, submitter)
        terms = Terms(
            policy.rule,
            Fraction(policy.threshold) if policy.threshold is not None else None,
            policy.quorum.minimum,
            Fraction(policy.quorum.share),
            Outcome.GO,
            Outcome.RECYCLE,
            timedelta(14) if policy.at_limit else None,
            policy.at_limit,
            gate_policy.ANY_CONDITIONS,
            CHARTER.value,
        )
        plain = PlainReview(terms, first, above, excluded, tied, self.now)
        if above is None and len(first.seats) < max(1, plain.needed()):
            against.add(ElectorateTooSmall)
        try:
            decided = self.ledger.append(prepared, make)
        except Refusal as refusal:
            assert type(refusal) in against, f"{refusal!r}, though against it are {against}"
            return
        assert not against, f"submitted, though against it are {against}"
        put = decided[0]
        assert isinstance(put, events.ReviewSubmitted)
        # What waited to be written was submitted when it was decided.
        plain = replace(plain, submitted_at=put.submitted_at)
        self.review, self.plain, self.put = review, plain, put
        self.plains[review] = plain
        expected = {seat.holder: seat for seat in first.seats}
        assert {each.person for each in self.put.electorate} == {person(name) for name in expected}
        assert len(self.put.electorate) == len(expected), "one natural person has one seat"
        assert {each.person for each in self.put.excluded} == {person(name) for name in excluded}
        for elector in self.put.electorate:
            (seat,) = [each for each in first.seats if person(each.holder) == elector.person]
            assert elector.subject == account(seat.account_of(seat.holder))
            assert elector.veto == seat.veto
            assert [each.person for each in elector.alternates] == [person(name) for name in seat.alternates]
        assert [found for event in decided if (found := step(event)) is not None] == plain.submit()

    @rule(
        by=st.sampled_from(PEOPLE),
        to=st.sampled_from(PEOPLE),
        limit=st.sampled_from([None, None, Decimal(99), Decimal(100)]),
    )
    def delegate(self, by: str, to: str, limit: Decimal | None) -> None:
        if len(self.delegations) == 12:
            return
        stream = uuid5(NAMESPACE_DNS, f"delegation.{len(self.delegations)}")
        day, last = self.now.date(), self.now.date() + timedelta(30)
        money = None if limit is None else Money(limit, "AUD")
        command = GrantDelegation(
            account(by), person(by), account(to), person(to), PORTFOLIO_NODE, (), money, day, last, "on leave", day
        )
        if self.do(DELEGATION, stream, command):
            self.delegations[stream] = Delegated(by, to, True, (), limit, day, last)

    @precondition(lambda self: self.delegations)
    @rule(number=st.integers(0, 4))
    def revoke(self, number: int) -> None:
        stream = list(self.delegations)[number % len(self.delegations)]
        decided = self.do(DELEGATION, stream, RevokeDelegation(account("pia"), "back"))
        self.delegations[stream].revoked = True
        if decided:
            (revoked,) = decided
            self.pending.append(lambda: self.react_to(stream, revoked))

    def asked_by(self, stream: UUID, event: Any) -> tuple[Reaction, ...]:
        """What reactions ask for because of a stream's newest event."""
        recorded = Recorded(event=event, envelope=envelope(stream, self.ledger.version(stream), event), hash=b"")
        found = Found()
        for review, state in self.ledger.states.items():
            if isinstance(state, reviews.Review):
                for link in REVIEW.links(state):
                    found[link] = (*found[link], review)
        return tuple(react(recorded, found))

    def react_to(self, stream: UUID, event: Any) -> None:
        """Let reactions have an event: what they ask for is done."""
        for reaction in self.asked_by(stream, event):
            self.done(reaction)

    def done(self, reaction: Reaction) -> None:
        """Do what a reaction asks for, and compare it where it is the review's that is looked at."""
        plain = self.plain
        decided = self.do(reaction.aggregate, reaction.stream, reaction.command)
        assert decided is not None
        if plain is None or reaction.stream != self.review:
            return
        match reaction.command:
            case reviews.MarkVotes(delegation=delegation):
                expected = plain.under(str(delegation))
                assert [event.seat for event in decided] == [person(held) for held in expected]
                plain.marked |= {(held, str(delegation)) for held in expected}
            case reviews.WithdrawReview():
                assert len(decided) == 1
                plain.state = "withdrawn"
            case command:
                raise AssertionError(f"{command} has no reason")

    @precondition(lambda self: self.plain is not None and self.plain.state == "open")
    @rule(
        speaker=st.sampled_from(PEOPLE),
        second=st.sampled_from([False, False, False, True]),
        choice=st.sampled_from([each for each in Choice if each is not Choice.APPROVE_WITH_CONDITIONS]),
        number=st.none() | st.integers(0, 4),
        late=st.sampled_from([False, False, True]),
    )
    def vote(self, speaker: str, second: bool, choice: Choice, number: int | None, late: bool) -> None:
        under = (
            None if number is None or not self.delegations else list(self.delegations)[number % len(self.delegations)]
        )
        if under is not None and number is not None and number % 2:
            speaker = self.delegations[under].to
        named = f"{speaker}.second" if second else speaker
        review, seen_version = self.review, self.ledger.version(self.review)

        def basis() -> Seen:
            recorded = self.ledger.events[review]
            return self.ledger.seen(review, max(n for n, e in enumerate(recorded, 1) if isinstance(e, reviews.BASIS)))

        def make() -> Intent:
            acting = None
            heads = {}
            if under is not None:
                state = self.ledger.state(DELEGATION, under)
                acting = reviews.Acting(state, self.ledger.seen(under), NODES)
                heads[under] = self.ledger.version(under)
            seen = basis()
            command = reviews.CastVote(
                account(named),
                person(speaker),
                acting,
                choice,
                (),
                seen,
                (seen,),
                "the case",
                self.now.date(),
                self.now,
            )
            return Intent(REVIEW, review, command, {**heads, review: seen_version})

        def commit(prepared: Intent | Refusal) -> None:
            if self.ledger.version(review) == seen_version:  # Else the voter is told that it has moved on.
                self.voted(speaker, named, choice, under, basis(), prepared, make)

        prepared = self.prepared(make)
        if late:
            self.pending.append(lambda: commit(prepared))
        else:
            commit(prepared)

    def voted(
        self,
        speaker: str,
        named: str,
        choice: Choice,
        under: UUID | None,
        basis: Seen,
        prepared: Intent | Refusal,
        make: Callable[[], Intent],
    ) -> None:
        """Write a vote down, and compare what follows."""
        plain = self.plain
        assert plain is not None
        relied_on = None if under is None else (str(under), self.ledger.version(under))
        said = Said(speaker, named, choice, (), (basis,), "the case", relied_on)
        if said in plain.votes.values() and plain.state != "withdrawn":
            assert self.ledger.append(prepared, make) == ()
            return
        delegated = None if under is None else self.delegations[under]
        seat, against = plain.against_vote(said, delegated, basis, self.now)
        try:
            cast, *ending = self.ledger.append(prepared, make)
        except Refusal as refusal:
            assert type(refusal) in against, f"{refusal!r}, though against it are {against}"
            return
        assert not against, f"{said} was taken, though against it are {against}"
        assert seat is not None
        assert (cast.person, cast.seat) == (person(speaker), person(seat.holder))
        assert [found for event in ending if (found := step(event)) is not None] == plain.vote(said, seat, self.now)

    @precondition(lambda self: self.plain is not None and self.plain.state == "open" and self.plain.sitting.seats)
    @rule(place=st.integers(0, 3), to=st.sampled_from(PEOPLE), late=st.booleans(), number=st.integers(0, 4))
    def delegate_and_let_vote(self, place: int, to: str, late: bool, number: int) -> None:
        assert self.plain is not None
        seats = self.plain.sitting.seats
        self.delegate(seats[place % len(seats)].holder, to, None)
        if self.delegations:
            self.vote(to, False, Choice.APPROVE, len(self.delegations) - 1, late)
            if late:
                self.revoke(number)

    @precondition(lambda self: self.plain is not None and self.plain.state == "open" and self.plain.sitting.seats)
    @rule(choices=st.lists(st.sampled_from([Choice.APPROVE, Choice.REJECT, Choice.ABSTAIN]), min_size=1, max_size=4))
    def several_vote(self, choices: list[Choice]) -> None:
        assert self.plain is not None
        for seat, choice in zip(self.plain.sitting.seats, choices, strict=False):
            if self.plain.state == "open":
                self.vote(seat.holder, seat.account_of(seat.holder) != seat.holder, choice, None, False)

    @precondition(lambda self: self.plain is not None and self.plain.state == "open" and self.plain.sitting.seats)
    @rule(
        by_alternates=st.booleans(),
        others=st.permutations(["fay", "sam", "dee", "eli"]),
        choices=st.lists(st.sampled_from([Choice.APPROVE, Choice.REJECT, Choice.ABSTAIN]), min_size=1, max_size=4),
    )
    def others_speak_for_them(self, by_alternates: bool, others: list[str], choices: list[Choice]) -> None:
        assert self.plain is not None
        for seat, other, choice in zip(self.plain.sitting.seats, others, choices, strict=False):
            if self.plain.state != "open":
                return
            if by_alternates and seat.alternates:
                self.vote(seat.alternates[0], False, choice, None, False)
                continue
            self.delegate(seat.holder, other, None)
            granted = [(each.by, each.to) for each in self.delegations.values()]
            if (seat.holder, other) in granted:
                self.vote(other, False, choice, granted.index((seat.holder, other)), False)

    @precondition(lambda self: self.plain is not None and self.plain.state == "open")
    @rule(name=st.sampled_from(PEOPLE))
    def recuse(self, name: str) -> None:
        plain = self.plain
        assert plain is not None
        expected = name not in plain.recused and not plain.is_over(self.now)
        decided = self.do(REVIEW, self.review, reviews.RecuseVoter(person(name), account(name), "a stake", self.now))
        assert bool(decided) == expected
        if decided:
            found = [found for event in decided if (found := step(event)) is not None]
            assert found == plain.recuse(name, self.now)

    @precondition(lambda self: self.plain is not None and self.plain.state == "open")
    @rule(number=st.integers(0, 1))
    def change_evidence(self, number: int) -> None:
        assert self.plain is not None
        evidence = (events.Evidence("Case", "https://files.example/case", str(number) * 64),)
        decided = self.do(REVIEW, self.review, reviews.ChangeEvidence(account("sam"), evidence, "newer", self.now))
        if decided:
            self.plain.votes.clear()

    @precondition(lambda self: self.plain is not None and self.plain.closes_at is not None)
    @rule(whole=st.booleans())
    def let_time_pass(self, whole: bool) -> None:
        assert self.plain is not None and self.plain.closes_at is not None
        self.now = max(self.now, self.plain.closes_at) if whole else self.now + timedelta(3)
        decided = self.do(REVIEW, self.review, reviews.ReachTimeLimit(self.now))
        assert decided is not None
        found = [found for event in decided if (found := step(event)) is not None]
        assert found == self.plain.time_is_over(self.now)

    @precondition(lambda self: self.plain is not None and self.plain.state != "concluded")
    @rule(ends=st.sampled_from([False, False, False, True]))
    def withdraw_or_end_the_project(self, ends: bool) -> None:
        assert self.plain is not None
        if ends and self.reviews > 3:
            self.do(PROJECT_REVIEWS, ENDED, EndReviews(PROJECT))
            self.project_over = True
        self.do(REVIEW, self.review, reviews.WithdrawReview("not needed"))
        self.plain.state = "withdrawn"

    def review_of(self, back: int) -> ReviewId:
        """The review that was drafted last, or so many before it."""
        return ReviewId(uuid5(NAMESPACE_DNS, f"review.{self.reviews - back % self.reviews}"))

    def meeting_of(self, back: int) -> UUID:
        """The meeting that was scheduled last, or so many before it."""
        return list(self.meetings)[-1 - back % len(self.meetings)]

    def may_convene(self) -> bool:
        """Whether the meetings before are over."""
        over = all(paper.phase in ("closed", "cancelled") for paper in self.meetings.values())
        return over and self.reviews > 0 and len(self.meetings) < 4

    @precondition(may_convene)
    @rule(begun=st.booleans(), back=st.lists(st.integers(0, 3), min_size=1, max_size=3))
    def convene(self, begun: bool, back: list[int]) -> None:
        meeting = uuid5(NAMESPACE_DNS, f"meeting.{len(self.meetings)}")
        self.meetings[meeting] = PlainMeeting()
        starts_at, chair = self.now + timedelta(1), account("ana")
        ends_at = starts_at + timedelta(hours=1)
        plan = ScheduleMeeting(PORTFOLIO, BOARD, "Gates of March", starts_at, ends_at, "UTC", "Room 4", chair, ())
        self.to_meeting(meeting, plan, None)
        self.set_agenda(0, [(each, 10) for each in back])
        if begun:
            self.open_or_cancel(0, False)

    @precondition(lambda self: self.meetings)
    @rule(
        back=st.sampled_from([0, 0, 0, 1]),
        items=st.lists(st.tuples(st.integers(0, 3), st.sampled_from([10, 25, 40])), max_size=3),
    )
    def set_agenda(self, back: int, items: list[tuple[int, int]]) -> None:
        meeting, agenda = self.meeting_of(back), [(self.review_of(each), minutes) for each, minutes in items]
        command = SetAgenda(tuple(AgendaItem(review, PROJECT, minutes) for review, minutes in agenda))
        self.to_meeting(meeting, command, self.meetings[meeting].set_agenda(agenda))

    @precondition(lambda self: self.meetings)
    @rule(back=st.sampled_from([0, 0, 0, 1]), cancelled=st.sampled_from([False, False, True]))
    def open_or_cancel(self, back: int, cancelled: bool) -> None:
        meeting = self.meeting_of(back)
        paper = self.meetings[meeting]
        if cancelled:
            self.to_meeting(meeting, CancelMeeting("Nobody has time."), paper.cancel())
        else:
            self.to_meeting(meeting, OpenMeeting(account("ana")), paper.open())

    @precondition(lambda self: self.meetings)
    @rule(
        back=st.sampled_from([0, 0, 0, 1]),
        name=st.sampled_from(["ana", "ana.second", "bo", "sam"]),
        how=st.sampled_from(Attendance),
    )
    def attend(self, back: int, name: str, how: Attendance) -> None:
        meeting, natural = self.meeting_of(back), person(name.removesuffix(".second"))
        command = RecordAttendance(account(name), natural, how)
        self.to_meeting(meeting, command, self.meetings[meeting].attend(natural, account(name), how))

    @precondition(lambda self: self.meetings)
    @rule(
        back=st.sampled_from([0, 0, 0, 1]),
        about=st.none() | st.integers(0, 3),
        text=st.sampled_from(["It holds.", "It is doubted."]),
        corrects=st.none() | st.integers(1, 2),
    )
    def minute(self, back: int, about: int | None, text: str, corrects: int | None) -> None:
        meeting, review = self.meeting_of(back), None if about is None else self.review_of(about)
        command = TakeMinute(review, text, corrects)
        self.to_meeting(meeting, command, self.meetings[meeting].minute(review, text, corrects))

    @precondition(lambda self: self.meetings)
    @rule(
        back=st.sampled_from([0, 0, 0, 1]),
        about=st.integers(0, 3),
        disposition=st.sampled_from(Disposition),
        remark=st.sampled_from(["", "Later."]),
        late=st.booleans(),
    )
    def dispose(self, back: int, about: int, disposition: Disposition, remark: str, late: bool) -> None:
        meeting, review = self.meeting_of(back), self.review_of(about)
        seen_version = self.ledger.version(review)

        def conclusion() -> Seen | None:
            recorded = self.ledger.events[review]
            found = [n for n, each in enumerate(recorded, 1) if isinstance(each, events.ReviewConcluded)]
            return self.ledger.seen(review, found[-1]) if found else None

        def make() -> Intent:
            state = self.ledger.state(REVIEW, review)
            command = DisposeItem(review, state, conclusion(), disposition, remark)
            return Intent(MEETING, meeting, command, {review: self.ledger.version(review)})

        def commit(prepared: Intent) -> None:
            paper = self.meetings[meeting]
            refusal = paper.dispose(review, self.standing(review), conclusion(), disposition, remark)
            if self.ledger.version(review) != seen_version:
                occurred(f"said of a review that has moved on: {refusal.__name__ if refusal else 'still true'}")
            found = conclusion()
            if found is not None and found.version < self.ledger.version(review) and refusal is None:
                occurred("decided before the newest that was written of its review")
            self.held(meeting, prepared, make, refusal)

        prepared = make()
        if late:
            self.pending.append(lambda: commit(prepared))
        else:
            commit(prepared)

    @precondition(lambda self: self.meetings)
    @rule(back=st.sampled_from([0, 0, 0, 1]))
    def close(self, back: int) -> None:
        meeting = self.meeting_of(back)
        paper = self.meetings[meeting]
        was = paper.phase
        self.to_meeting(meeting, CloseMeeting(account("ana")), paper.close())
        if (was, paper.phase) == ("session", "closed"):
            decided = any(what is Disposition.DECIDED for what, _, _ in paper.dispositions.values())
            occurred(f"closed {'with' if decided else 'without'} a decided item")

    @rule(
        choices=st.lists(st.sampled_from([Choice.APPROVE, Choice.REJECT, Choice.ABSTAIN]), min_size=1, max_size=4),
        early=st.sampled_from([None, *Disposition]),
        by_delegates=st.booleans(),
        minuted=st.sampled_from([True, True, True, False]),
        disposed=st.sampled_from([True, True, True, False]),
        closes=st.booleans(),
    )
    def vote_in_a_meeting(
        self,
        choices: list[Choice],
        early: Disposition | None,
        by_delegates: bool,
        minuted: bool,
        disposed: bool,
        closes: bool,
    ) -> None:
        if self.plain is None or self.plain.state in ("concluded", "withdrawn"):
            self.submit("sam", False)
        numbers = {self.review_of(number): number for number in range(self.reviews)}
        number = numbers.get(ReviewId(self.review), 0)
        if self.may_convene():
            self.convene(False, [number])
        paper = self.meetings[self.meeting_of(0)]
        if self.review_of(number) not in dict(paper.agenda):
            self.set_agenda(0, [*((numbers[review], 10) for review, _ in paper.agenda), (number, 10)])
        self.open_or_cancel(0, False)
        if early is not None:
            self.dispose(0, number, early, "Said before.", True)
        said_early = self.pending.pop() if early is not None else None
        if self.plain is not None and self.plain.state == "open":
            if by_delegates:
                self.others_speak_for_them(False, ["fay", "dee", "eli", "cy"], choices)
                self.delegators_are_back()
            else:
                self.several_vote(choices)
        if said_early is not None:
            said_early()
        if minuted:
            self.minute(0, None, "It holds.", None)
        usual = {"concluded": Disposition.DECIDED, "open": Disposition.LEFT_TO_VOTE}
        for review, _ in paper.agenda if disposed else []:
            self.dispose(0, numbers[review], usual.get(self.standing(review), Disposition.DEFERRED), "", False)
        if closes:
            self.close(0)

    def delegators_are_back(self) -> None:
        """Revoke what votes of the review that is looked at rest on, and let them be marked."""
        assert self.plain is not None
        for number, stream in enumerate(self.delegations):
            if self.plain.under(str(stream)) and not self.delegations[stream].revoked:
                self.revoke(number)
                self.pending.pop()()

    def standing(self, review: ReviewId) -> str:
        """How a review stands, on paper."""
        return self.plains[review].state if review in self.plains else "draft"

    def to_meeting(self, meeting: UUID, command: Any, refusal: type[Refusal] | None) -> None:
        """Tell a meeting something that rests on nothing else."""
        intent = Intent(MEETING, meeting, command, {})
        self.held(meeting, intent, lambda: intent, refusal)

    def held(self, meeting: UUID, prepared: Intent, make: Callable[[], Intent], refusal: type[Refusal] | None) -> None:
        """Let a meeting take something or refuse it as its secretary does, whereupon reviews are what they were."""
        try:
            decided = self.ledger.append(prepared, make)
        except Refusal as refused:
            assert type(refused) is refusal, f"{refused!r}, though the secretary has {refusal}"
            return
        assert refusal is None, f"{prepared.command} was taken, though the secretary has {refusal}"
        assert self.ledger.append(make(), make) == (), "what was just done is not done twice"
        for event in decided:
            assert self.asked_by(meeting, event) == (), "a meeting asks nothing of anybody"
            if isinstance(event, events.ItemDisposed):
                self.is_so(event)
        for number in range(self.reviews):
            review = self.review_of(number)
            state = REVIEW.initial
            for event in self.ledger.events[review]:
                state = REVIEW.evolve(state, event)
            assert self.ledger.state(REVIEW, review) == state, "a review is what its own events say"

    def is_so(self, disposed: events.ItemDisposed) -> None:
        """Compare what a meeting says of a review with what the review's own events say at that moment."""
        recorded = self.ledger.events[disposed.review]
        steps = [found for event in recorded if (found := step(event)) is not None]
        submitted = any(isinstance(event, events.ReviewSubmitted) for event in recorded)
        concluded, waits = [each for each in steps if each[0] == "concluded"], steps[-1:] == [("escalated", None)]
        match disposed.disposition:
            case Disposition.DECIDED:
                assert disposed.decision is not None and concluded
            case Disposition.LEFT_TO_VOTE:
                assert submitted and not concluded and not waits and ("withdrawn",) not in steps
            case Disposition.DEFERRED:
                assert not concluded

    @precondition(lambda self: self.pending)
    @rule(number=st.integers(0, 9))
    def what_waited_is_written(self, number: int) -> None:
        self.pending.pop(number % len(self.pending))()

    @invariant()
    def every_review_ends_once_and_keeps_its_policy_and_electorate(self) -> None:
        for stream, recorded in self.ledger.events.items():
            if not isinstance(self.ledger.states[stream], reviews.Review):
                continue
            assert sum(isinstance(event, events.ReviewConcluded | events.ReviewWithdrawn) for event in recorded) <= 1
            assert sum(isinstance(event, events.ReviewSubmitted) for event in recorded) <= 1
            for event in recorded:
                if isinstance(event, events.ReviewConcluded) and event.outcome is Outcome.GO:
                    assert event.tally.approve >= 1
        if self.plain is not None:
            state = self.ledger.states[self.review]
            assert type(state).__name__.lower() == self.plain.state
            assert state.ballot.submitted == self.put

    @invariant()
    def nobody_kept_out_has_spoken_and_nobody_has_two_voices(self) -> None:
        if self.plain is None:
            return
        kept_out = {person(name) for name in self.plain.excluded}
        for event in self.ledger.events[self.review]:
            if isinstance(event, events.VoteCast):
                assert not kept_out & {event.person, event.seat}
        voices = [vote.person for vote in self.ledger.states[self.review].ballot.votes.values()]
        assert len(set(voices)) == len(voices)

    @invariant()
    def meetings_are_as_they_are_on_paper_and_end_for_good_once_each_item_is_disposed(self) -> None:
        for meeting, paper in self.meetings.items():
            assert on_paper(self.ledger.state(MEETING, meeting)) == paper
            agenda: set[ReviewId] = set()
            disposed: set[ReviewId] = set()
            ended = False
            for event in self.ledger.events[meeting]:
                assert not ended, "after a meeting's end nothing follows"
                if isinstance(event, events.AgendaSet):
                    agenda = {item.review for item in event.items}
                if isinstance(event, events.ItemDisposed):
                    disposed.add(event.review)
                if isinstance(event, events.MeetingClosed):
                    assert agenda and agenda <= disposed
                ended = isinstance(event, events.MeetingClosed | events.MeetingCancelled)

    @invariant()
    def what_a_meeting_says_was_decided_is_the_conclusion_of_that_review(self) -> None:
        for meeting in self.meetings:
            for event in self.ledger.events[meeting]:
                if not isinstance(event, events.ItemDisposed):
                    continue
                assert (event.decision is not None) == (event.disposition is Disposition.DECIDED)
                if event.decision is not None:
                    there = self.ledger.events[event.review][event.decision.version - 1]
                    assert isinstance(there, events.ReviewConcluded)
                    assert event.decision == self.ledger.seen(event.review, event.decision.version)
                    assert self.ledger.state(REVIEW, event.review).concluded == there


class Found(dict[Link, tuple[UUID, ...]]):
    """What a link finds; nothing where nobody has it."""

    def __missing__(self, link: Link) -> tuple[UUID, ...]:
        return ()


def envelope(stream: UUID, version: int, event: Any) -> Envelope:
    """The attributes that a reaction looks at."""
    return Envelope(
        specversion="1.0",
        id=f"{stream}@{version}",
        source="urn:gatehouse:approvals",
        type=f"approvals.{type(event).__name__}",
        time=NOON,
        subject=f"any/{stream}",
        dataschema="urn:gatehouse:schema:1",
        stream=stream,
        version=version,
        actor="service:approvals",
        command=stream,
        correlationid="lives",
        recordedtime=NOON,
        origin=Origin.LIVE,
        data=None,
    )


TestGovernanceLives = GovernanceLives.TestCase
TestGovernanceLives.settings = settings(max_examples=300, stateful_step_count=60, deadline=None)
