"""Reviews live random lives beside a plain model, which tries out every way in which the votes still out could go."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any, Final, TypeVar
from uuid import NAMESPACE_DNS, UUID, uuid5

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from tests.unit.approvals.people import PORTFOLIO, PORTFOLIO_NODE, PROJECT, account, person
from tests.unit.approvals.plain import (
    BODIES,
    Delegated,
    PlainReview,
    Refusals,
    Said,
    Seat,
    Sitting,
    Step,
    Terms,
    step,
)
from tests.unit.approvals.reviews import ANY_CONDITIONS, NOON, POLICY

from approvals.domain import review as reviews
from approvals.domain.delegation import DELEGATION, GrantDelegation, RevokeDelegation
from approvals.domain.review import REVIEW
from govevents import approvals as events
from govevents.approvals import (
    AtTimeLimit,
    Choice,
    Comparison,
    Condition,
    ConditionTerms,
    Criterion,
    Duty,
    Evidence,
    KpiThreshold,
    Measure,
    Need,
    OnLapse,
    Outcome,
    Panel,
    Quorum,
    ReviewKind,
    Rule,
    Seen,
    TimeLimit,
)
from govkernel.domain import Money, NodeId, Refusal

Something = TypeVar("Something")

HOLDERS: Final = ("ana", "bo", "cy", "sol")
ABOVE: Final = ("eve", "fay", "ana")
ALTERNATES: Final = ("alf", "alma")
DELEGATES: Final = ("dot", "dan")
TIED: Final = {"sam": Duty.SUBMITTER, "max": Duty.PROJECT_MANAGER, "sol": Duty.SPONSOR}
EVERYONE: Final = (*dict.fromkeys((*HOLDERS, *ABOVE, *ALTERNATES, *DELEGATES, *TIED)), "zoe")
NODES: Final = frozenset({NodeId(PROJECT), PORTFOLIO_NODE})
ELSEWHERE: Final = NodeId(uuid5(NAMESPACE_DNS, "elsewhere.example"))
PIECES: Final = [Evidence(name, f"https://files.example/{name}", name[0] * 64) for name in ("alpha", "beta", "case")]
KPIS: Final = {"spi": Decimal("0.9"), "cpi": Decimal("0.8")}
SHARES: Final = st.sampled_from(["0", "0.25", "0.34", "0.5", "0.67", "0.75", "1"]).map(Decimal)
BASIS: Final = (
    events.ReviewSubmitted,
    events.ReviewOpened,
    events.EvidenceChanged,
    events.QuestionAnswered,
    events.ReviewEscalated,
    events.ReviewReferred,
)
AFTER_THE_END: Final = (
    events.VoteMarked,
    events.ConditionClosed,
    events.ConditionWaived,
    events.ConditionLapsed,
    events.ConditionReminded,
)


Drawn = tuple[int, int, OnLapse]


def panel(sitting: Sitting, excluded: Sequence[str]) -> Panel:
    """The same people, by their ids."""
    electorate = tuple(
        events.Elector(
            account(seat.holder),
            person(seat.holder),
            "member",
            seat.veto,
            tuple(events.Alternate(account(name), person(name)) for name in seat.alternates),
        )
        for seat in sitting.seats
    )
    return Panel(BODIES[sitting.body], electorate, tuple(events.Exclusion(person(n), TIED[n]) for n in excluded))


def condition(asked_on: date, number: int, days: int, then: OnLapse) -> Condition:
    """A condition that voters might set, as a vote is sent with it; it is due so many days after the review was put."""
    due = asked_on + timedelta(days)
    lapses_at = datetime.combine(due, time(), NOON.tzinfo) + timedelta(1)
    return Condition(f"Condition {number}", account("max"), due, "a report", then, lapses_at)


QUESTION: Final[dict[str, Any]] = {
    "holders": st.tuples(st.permutations(HOLDERS), st.sampled_from([3, 4, 2, 1, 0])).map(
        lambda drawn: drawn[0][: drawn[1]]
    ),
    "above": st.none() | st.lists(st.sampled_from(ABOVE), max_size=3, unique=True) | st.just(["the same"]),
    "alternates": st.lists(st.integers(0, 4), min_size=2, max_size=2),
    "veto": st.integers(0, 7),
    "quorum": st.builds(Quorum, st.sampled_from([1, 1, 1, 2, 3, 0]), SHARES),
    "decided_by": st.sampled_from(Rule),
    "threshold": SHARES.filter(bool),
    "proposed": st.sampled_from([Outcome.GO, Outcome.GO, Outcome.KILL]),
    "failed": st.sampled_from([Outcome.HOLD, Outcome.RECYCLE]),
    "limit": st.none() | st.builds(TimeLimit, st.just(14), st.sampled_from(AtTimeLimit), st.sampled_from([(), (2,)])),
    "conditions": st.sampled_from(
        [
            ANY_CONDITIONS,
            ANY_CONDITIONS,
            None,
            ConditionTerms(1, 60, (OnLapse.HOLD, OnLapse.REMINDER), (7, 1)),
            ConditionTerms(2, None, tuple(OnLapse), (7,)),
        ]
    ),
    "value": st.sampled_from([None, Money(Decimal(100), "AUD"), Money(Decimal(100), "EUR")]),
    "kpis": st.sampled_from([(), (), (), ("spi",), ("spi", "cpi")]),
    "deciding": st.booleans(),
}
"""How a review can be put."""


class ReviewLives(RuleBasedStateMachine):
    """One review, from its submission on, and the delegations that people act under in it."""

    def __init__(self) -> None:
        super().__init__()
        self.delegations: dict[str, Delegated] = {}
        self.streams: dict[str, Any] = {}
        self.now = NOON

    @initialize(**QUESTION)
    def put_a_question(
        self,
        holders: list[str],
        above: list[str] | None,
        alternates: list[int],
        veto: int,
        quorum: Quorum,
        decided_by: Rule,
        threshold: Decimal,
        proposed: Outcome,
        failed: Outcome,
        limit: TimeLimit | None,
        conditions: ConditionTerms | None,
        value: Money | None,
        kpis: tuple[str, ...],
        deciding: bool,
    ) -> None:
        sponsor_may_vote = "sol" in holders
        excluded = [name for name in TIED if name != "sol" or not sponsor_may_vote]
        first = Sitting("board", self.seats(holders, alternates, veto))
        upper = None if above is None else Sitting("council", self.seats(above, [9, 0], 9))
        if above == ["the same"]:
            upper = first
        self.plain = PlainReview(
            Terms(
                decided_by,
                Fraction(threshold) if decided_by is Rule.THRESHOLD else None,
                quorum.minimum,
                Fraction(quorum.share),
                proposed,
                failed,
                timedelta(14) if limit else None,
                limit.then if limit else None,
                conditions,
                value,
            ),
            first,
            upper,
            {name: {TIED[name]} for name in excluded},
            set(TIED),
            self.now,
            awaits=list(kpis),
            deciding=set(kpis) if deciding else set(),
        )
        self.policy = replace(
            POLICY,
            quorum=quorum,
            rule=decided_by,
            threshold=threshold if decided_by is Rule.THRESHOLD else None,
            time_limit=limit,
            failed_outcome=failed,
            conditions=conditions,
        )
        self.history: list[Any] = []
        self.state = REVIEW.initial
        self.pieces: tuple[Evidence, ...] = (PIECES[0],)
        self.send(reviews.DraftReview(PROJECT, PORTFOLIO, ReviewKind.GATE, "G2", "May we build?", ()))
        self.put = reviews.SubmitReview(
            submitter=account("sam"),
            proposed=proposed,
            policy=self.policy,
            policy_seen=Seen("policy", 1, "c" * 64),
            panel=panel(first, excluded),
            tied=tuple(events.Exclusion(person(name), duty) for name, duty in TIED.items()),
            escalation=panel(upper, excluded) if upper else None,
            evidence=self.pieces,
            value=value,
            deliverables=(),
            criteria=tuple(
                Criterion(
                    f"C-{kpi}",
                    kpi,
                    Need.MUST,
                    (),
                    KpiThreshold(kpi, Comparison.AT_LEAST, KPIS[kpi], decides=deciding),
                )
                for kpi in kpis
            ),
            open_conditions=(),
            breaches=(),
            time_zone="UTC",
            at=self.now,
        )
        self.agree(self.send(self.put), self.plain.submit())

    @precondition(lambda self: self.plain.state in ("concluded", "withdrawn"))
    @rule(**QUESTION)
    def put_another_question(self, **drawn: Any) -> None:
        self.put_a_question(**drawn)

    def seats(self, holders: Sequence[str], alternates: Sequence[int], veto: int) -> tuple[Seat, ...]:
        """Seats with alternates at these places, beyond the last seat for none."""
        standing_in = dict.fromkeys(range(len(holders)), ())
        seated: dict[int, list[str]] = {place: [] for place in standing_in}
        for name, place in zip(ALTERNATES, alternates, strict=True):
            if place in seated:
                seated[place].append(name)
        return tuple(Seat(name, tuple(seated[place]), place == veto) for place, name in enumerate(holders))

    def send(self, command: Any) -> tuple[Any, ...]:
        """Let it be decided, and keep what happens."""
        decided = REVIEW.decide(command, self.state)
        for event in decided:
            self.state = REVIEW.evolve(self.state, event)
        self.history.extend(decided)
        self.last = command
        return decided

    def told(self, command: Any, against: Refusals) -> tuple[Any, ...] | None:
        """What it came to: refused for one of these reasons if there are any, and else not at all."""
        try:
            decided = self.send(command)
        except Refusal as refusal:
            assert type(refusal) in against, f"{refusal!r}, though against it are {against}"
            return None
        assert not against, f"{command} was taken, though against it are {against}"
        return decided

    def agree(self, decided: Sequence[Any], expected: list[Step]) -> None:
        """Compare how the review went on with how it should have."""
        assert [found for event in decided if (found := step(event)) is not None] == expected

    def basis(self) -> Seen:
        """Where what lies before voters stands."""
        place = max(number for number, event in enumerate(self.history, start=1) if isinstance(event, BASIS))
        return Seen("review", place, f"{place:064x}")

    def acting(self, under: str | None) -> reviews.Acting | None:
        """What somebody acts under, at its newest version."""
        if under is None:
            return None
        version = 2 if self.delegations[under].revoked else 1
        seen = Seen(under, version, f"{version:064x}")
        return reviews.Acting(self.streams[under], seen, NODES)

    def some(self, among: Sequence[Something], number: int) -> Something | None:
        """One of them, or nothing where there are none."""
        return among[number % len(among)] if among else None

    @rule(
        by=st.sampled_from([*HOLDERS, *ABOVE, "sam", "alf"]),
        to=st.sampled_from([*DELEGATES, "ana", "max", "alf", "sol"]),
        here=st.sampled_from([True, True, True, False]),
        kinds=st.sampled_from([(), (), (ReviewKind.GATE, ReviewKind.BUDGET), (ReviewKind.BUDGET,)]),
        limit=st.sampled_from([None, None, Decimal(100), Decimal(99)]),
        begins=st.sampled_from([0, 0, 0, 3]),
        days=st.sampled_from([30, 30, 2]),
    )
    def delegate(
        self,
        by: str,
        to: str,
        here: bool,
        kinds: tuple[ReviewKind, ...],
        limit: Decimal | None,
        begins: int,
        days: int,
    ) -> None:
        if by == to or len(self.delegations) == 6:
            return
        first = self.now.date() + timedelta(begins)
        name = str(uuid5(NAMESPACE_DNS, f"delegation.{len(self.delegations)}"))
        self.delegations[name] = Delegated(by, to, here, kinds, limit, first, first + timedelta(days))
        command = GrantDelegation(
            account(by),
            person(by),
            account(to),
            person(to),
            PORTFOLIO_NODE if here else ELSEWHERE,
            kinds,
            None if limit is None else Money(limit, "AUD"),
            first,
            first + timedelta(days),
            "on leave",
            self.now.date(),
        )
        self.streams[name] = DELEGATION.fold(DELEGATION.decide(command, DELEGATION.initial))

    @precondition(lambda self: self.plain.state == "open" and self.plain.sitting.seats)
    @rule(place=st.integers(0, 3), to=st.sampled_from([*DELEGATES, "max"]), choice=st.sampled_from(Choice))
    def delegate_and_let_vote(self, place: int, to: str, choice: Choice) -> None:
        seat = self.some(self.plain.sitting.seats, place)
        assert seat is not None
        if choice is not Choice.APPROVE_WITH_CONDITIONS and len(self.delegations) < 6:
            self.delegate(seat.holder, to, True, (), None, 0, 30)
            self.vote(to, choice, under=list(self.delegations)[-1])

    @precondition(lambda self: self.delegations)
    @rule(number=st.integers(0, 5), told=st.booleans())
    def revoke(self, number: int, told: bool) -> None:
        name = self.some(list(self.delegations), number)
        if name is None:
            return
        self.delegations[name].revoked = True
        for event in DELEGATION.decide(RevokeDelegation(account("pia"), "back"), self.streams[name]):
            self.streams[name] = DELEGATION.evolve(self.streams[name], event)
        if told:
            self.mark(number)

    @precondition(lambda self: self.delegations)
    @rule(number=st.integers(0, 5))
    def mark(self, number: int) -> None:
        name = self.some(list(self.delegations), number)
        if name is None or not self.delegations[name].revoked:
            return
        expected = self.plain.under(name) if self.plain.state in ("open", "concluded", "escalated") else []
        marked = self.send(reviews.MarkVotes(UUID(name), "back"))
        assert [(mark.seat, str(mark.delegation)) for mark in marked] == [(person(held), name) for held in expected]
        self.plain.marked |= {(held, name) for held in expected}

    def vote(
        self,
        speaker: str,
        choice: Choice,
        *,
        second: bool = False,
        under: str | None = None,
        set_: Sequence[Drawn] = (),
        stale: bool = False,
        words: str = "yes",
    ) -> None:
        """Somebody votes, or tries to."""
        basis = self.basis()
        acting = self.acting(under)
        conditions = tuple(condition(self.put.at.date(), *each) for each in set_)
        named = f"{speaker}.second" if second else speaker
        command = reviews.CastVote(
            voter=account(named),
            person=person(speaker),
            acting=acting,
            choice=choice,
            conditions=conditions,
            basis=basis,
            seen=(replace(basis, hash="0" * 64),) if stale else (basis,),
            reason=words,
            today=self.now.date(),
            at=self.now,
        )
        said = Said(
            speaker,
            named,
            choice,
            tuple(self.reminding(each) for each in conditions),
            command.seen,
            words,
            (under, acting.seen.version) if under and acting else None,
        )
        taken = (*self.plain.votes.values(), *self.plain.set_aside)
        if said in taken and self.plain.state in ("open", "concluded", "escalated"):
            assert self.send(command) == ()
            return
        delegated = self.delegations[under] if under else None
        seat, against = self.plain.against_vote(said, delegated, basis, self.now)
        decided = self.told(command, against)
        if decided is None:
            return
        assert seat is not None
        cast, *ending = decided
        assert isinstance(cast, events.VoteCast)
        assert (cast.voter, cast.person, cast.seat) == (account(named), person(speaker), person(seat.holder))
        assert cast.authority.value == ("delegate" if under else "own" if speaker == seat.holder else "alternate")
        assert (cast.choice, cast.conditions, cast.seen, cast.reason) == (choice, said.conditions, said.seen, words)
        assert cast.delegation == (acting.seen if acting else None)
        self.agree(ending, self.plain.vote(said, seat, self.now))

    def reminding(self, each: Condition) -> Condition:
        """A condition with the reminders that the policy asks for."""
        terms = self.plain.terms.conditions
        assert each.lapses_at is not None
        return replace(
            each, reminders=tuple(each.lapses_at - timedelta(n) for n in (terms.reminder_days if terms else ()))
        )

    @precondition(lambda self: self.plain.state == "open")
    @rule(
        place=st.integers(0, 7),
        choice=st.sampled_from(Choice),
        words=st.sampled_from(["yes", "no"]),
        set_=st.lists(st.tuples(st.integers(1, 2), st.just(30), st.just(OnLapse.HOLD)), min_size=1, max_size=2),
    )
    def vote_with_a_voice(self, place: int, choice: Choice, words: str, set_: list[Drawn]) -> None:
        voices = [name for seat in self.plain.sitting.seats for name in (seat.holder, *seat.alternates)]
        speaker = self.some(voices, place)
        if speaker is None:
            return
        conditional = choice is Choice.APPROVE_WITH_CONDITIONS
        self.vote(speaker, choice, set_=set_ if conditional else (), words=words)

    @precondition(lambda self: self.plain.state == "open")
    @rule(choices=st.lists(st.sampled_from(Choice), min_size=1, max_size=4), words=st.sampled_from(["yes", "no"]))
    def several_vote(self, choices: list[Choice], words: str) -> None:
        for seat, choice in zip(self.plain.sitting.seats, choices, strict=False):
            conditional = choice is Choice.APPROVE_WITH_CONDITIONS
            self.vote(seat.holder, choice, set_=[(3, 30, OnLapse.HOLD)] if conditional else (), words=words)

    @precondition(lambda self: self.plain.state == "open" and self.delegations)
    @rule(place=st.integers(0, 5), choice=st.sampled_from(Choice), number=st.integers(0, 5))
    def vote_for_another(self, place: int, choice: Choice, number: int) -> None:
        under = self.some(list(self.delegations), number)
        if under is None or choice is Choice.APPROVE_WITH_CONDITIONS:
            return
        self.vote(self.delegations[under].to, choice, under=under)

    @precondition(lambda self: self.plain.state == "open")
    @rule(
        speaker=st.sampled_from(EVERYONE),
        choice=st.sampled_from(Choice),
        second=st.sampled_from([False, False, True]),
        number=st.none() | st.integers(0, 5),
        set_=st.lists(st.tuples(st.integers(1, 3), st.integers(-1, 61), st.sampled_from(OnLapse)), max_size=2),
        stale=st.sampled_from([False, False, True]),
        words=st.sampled_from(["yes", "no", ""]),
    )
    def vote_somehow(
        self,
        speaker: str,
        choice: Choice,
        second: bool,
        number: int | None,
        set_: list[Drawn],
        stale: bool,
        words: str,
    ) -> None:
        under = None if number is None else self.some(list(self.delegations), number)
        self.vote(speaker, choice, second=second, under=under, set_=set_, stale=stale, words=words)

    @precondition(lambda self: self.plain.state == "open")
    @rule(name=st.sampled_from(EVERYONE), words=st.sampled_from(["a stake", "a stake", ""]))
    def recuse(self, name: str, words: str) -> None:
        against: Refusals = set()
        if words == "":
            against.add(reviews.ReasonMissing)
        if self.plain.state != "open" or self.plain.is_over(self.now):
            against.add(reviews.ReviewNotOpen)
        repeated = name in self.plain.recused
        if repeated and self.plain.state in ("open", "concluded", "escalated"):
            against = set()
        decided = self.told(reviews.RecuseVoter(person(name), account(name), words, self.now), against)
        if decided is None:
            return
        if repeated:
            assert decided == ()
            return
        recused, *ending = decided
        assert isinstance(recused, events.VoterRecused)
        self.agree(ending, self.plain.recuse(name, self.now))

    @precondition(lambda self: self.plain.state == "open")
    @rule(pieces=st.lists(st.sampled_from(PIECES), max_size=3))
    def change_evidence(self, pieces: list[Evidence]) -> None:
        against: Refusals = set()
        if self.plain.state != "open" or self.plain.is_over(self.now):
            against.add(reviews.ReviewNotOpen)
        if len(set(pieces)) < len(pieces):
            against.add(reviews.EvidenceListedTwice)
        if self.plain.state == "open" and sorted(pieces, key=lambda piece: piece.uri) == sorted(
            self.pieces, key=lambda piece: piece.uri
        ):
            against = set()
        decided = self.told(reviews.ChangeEvidence(account("sam"), tuple(pieces), "newer", self.now), against)
        if decided is None:
            return
        if sorted(pieces, key=lambda piece: piece.uri) == sorted(self.pieces, key=lambda piece: piece.uri):
            assert decided == ()
            return
        (changed,) = decided
        assert isinstance(changed, events.EvidenceChanged)
        self.pieces = tuple(pieces)
        self.plain.votes.clear()

    @precondition(lambda self: self.plain.state == "open")
    @rule(
        speaker=st.sampled_from(EVERYONE),
        number=st.none() | st.integers(0, 5),
        words=st.sampled_from(["Why?", "How?", ""]),
    )
    def ask(self, speaker: str, number: int | None, words: str) -> None:
        under = None if number is None else self.some(list(self.delegations), number)
        delegated = self.delegations[under] if under else None
        _, against = self.plain.against_speaking(speaker, speaker, delegated, self.now.date())
        if words == "":
            against.add(reviews.TextMissing)
        if self.plain.state != "open":
            against = {reviews.ReviewNotOpen}
        decided = self.told(
            reviews.AskQuestion(account(speaker), person(speaker), self.acting(under), words, self.now.date()), against
        )
        if decided is None:
            return
        asked = [(question[0], question[1]) for question in self.plain.questions]
        if (speaker, words) in asked:
            assert decided == ()
            return
        self.plain.questions.append([speaker, words, None])
        (question,) = decided
        assert (question.number, question.asker, question.text) == (len(asked) + 1, account(speaker), words)

    @precondition(lambda self: self.plain.questions)
    @rule(number=st.integers(0, 3), words=st.sampled_from(["So.", "Else.", ""]))
    def answer(self, number: int, words: str) -> None:
        against: Refusals = set()
        known = 1 <= number <= len(self.plain.questions)
        before = self.plain.questions[number - 1][2] if known else None
        if not known:
            against.add(reviews.QuestionNotKnown)
        if words == "":
            against.add(reviews.TextMissing)
        if before not in (None, words):
            against.add(reviews.QuestionAlreadyAnswered)
        if self.plain.state != "open":
            against = {reviews.ReviewNotOpen}
        decided = self.told(reviews.AnswerQuestion(number, account("sam"), words), against)
        if decided is not None:
            assert len(decided) == (0 if before == words else 1)
            self.plain.questions[number - 1][2] = words

    @precondition(lambda self: self.plain.state == "submitted")
    @rule(kpi=st.sampled_from(["spi", "cpi", "other"]), figure=st.sampled_from([None, "0.5", "0.8", "0.9", "1.1"]))
    def measure(self, kpi: str, figure: str | None) -> None:
        why = None if figure else "nothing is due yet"
        decided = self.send(
            reviews.NoteMeasure(Measure(kpi, Decimal(figure) if figure else None, None, why, None), self.now)
        )
        if self.plain.state != "submitted" or kpi not in self.plain.awaits:
            assert decided == ()
            return
        self.plain.awaits.remove(kpi)
        if figure is not None and Decimal(figure) < KPIS[kpi]:
            self.plain.missed.add(kpi)
        assert isinstance(decided[0], events.MeasureNoted)
        assert (len(decided) > 1) == (not self.plain.awaits)
        if not self.plain.awaits:
            assert isinstance(decided[1], events.ReviewOpened)
            self.agree(decided, self.plain.open(self.now))

    @precondition(lambda self: self.plain.state == "submitted")
    @rule()
    def stop_measuring(self) -> None:
        decided = self.send(reviews.StopMeasuring(self.now))
        if self.plain.state != "submitted" or self.now < self.put.at + timedelta(seconds=60):
            assert decided == ()
            return
        assert isinstance(decided[0], events.ReviewOpened)
        assert [each.kpi for each in decided[0].measures if each.value is None][-len(self.plain.awaits) :] == [
            *self.plain.awaits
        ]
        self.agree(decided, self.plain.open(self.now))

    @rule(days=st.sampled_from([1, 1, 2, 5, 14]), hours=st.sampled_from([0, 0, 12]))
    def wait(self, days: int, hours: int) -> None:
        self.now += timedelta(days, hours=hours)

    @precondition(lambda self: self.plain.terms.duration)
    @rule()
    def reach_time_limit(self) -> None:
        self.agree(self.send(reviews.ReachTimeLimit(self.now)), self.plain.time_is_over(self.now))

    @precondition(lambda self: self.plain.state in ("open", "submitted") and self.plain.closes_at)
    @rule()
    def let_the_time_run_out(self) -> None:
        assert self.plain.closes_at is not None
        self.now = max(self.now, self.plain.closes_at)
        self.reach_time_limit()

    @precondition(lambda self: self.plain.conditions)
    @rule(number=st.integers(1, 2))
    def let_a_condition_lapse(self, number: int) -> None:
        self.now += timedelta(31)
        self.lapse_condition(number)

    @precondition(lambda self: self.plain.terms.duration)
    @rule()
    def remind(self) -> None:
        plain = self.plain
        assert self.send(reviews.RemindVoters(self.now, self.now - timedelta(500))) == ()
        if plain.put_by != "submission":
            assert self.send(reviews.RemindVoters(self.now)) == (), "the first panel is asked no more"
        until = None if plain.put_by == "submission" else plain.closes_at
        decided = self.send(reviews.RemindVoters(self.now, until))
        if plain.state != "open" or plain.closes_at is None or self.now >= plain.closes_at:
            assert decided == ()
            return
        silent = [
            name
            for seat in plain.seats()
            if seat.holder not in plain.votes
            for name in ((seat.holder,) if seat.holder not in plain.recused else seat.alternates)
            if name not in plain.recused
        ]
        assert [name for event in decided for name in event.recipients] == [account(name) for name in silent]
        self.last = None

    @precondition(lambda self: self.plain.state in ("open", "escalated"))
    @rule(body=st.sampled_from(["board", "council"]), people=st.lists(st.sampled_from(ABOVE + HOLDERS), unique=True))
    def refer(self, body: str, people: list[str]) -> None:
        kept_out = list(self.plain.excluded)
        sitting = Sitting(body, tuple(Seat(name) for name in people if name not in kept_out))
        against: Refusals = set() if self.plain.state == "escalated" else {reviews.ReviewNotEscalated}
        again = sitting == self.plain.sitting and self.plain.put_by == "referral"
        if again:
            against = set()
        in_vain = again and len(self.plain.seats()) < max(1, self.plain.needed())
        command = reviews.ReferReview(account("pia"), panel(sitting, kept_out), "nobody else can", self.now)
        decided = self.told(command, against)
        if self.plain.state != "escalated" or in_vain:
            assert not decided
            return
        assert decided is not None
        assert isinstance(decided[0], events.ReviewReferred)
        self.plain.sit(sitting, self.now, "referral")
        self.agree(decided, self.plain.settle(self.now))

    @precondition(lambda self: len(self.history) > 6)
    @rule()
    def withdraw(self) -> None:
        over = self.plain.state == "withdrawn"
        against: Refusals = {reviews.ReviewAlreadyConcluded} if self.plain.state == "concluded" else set()
        decided = self.told(reviews.WithdrawReview("not needed"), against)
        if decided is not None:
            assert len(decided) == (0 if over else 1)
            self.plain.state = "withdrawn"

    def against_condition(self, number: int) -> Refusals:
        """Why there is no such condition."""
        if self.plain.state != "concluded":
            return {reviews.ReviewNotConcluded}
        return set() if 1 <= number <= len(self.plain.conditions) else {reviews.ConditionNotKnown}

    @precondition(lambda self: self.plain.conditions)
    @rule(number=st.integers(0, 2), pieces=st.lists(st.sampled_from(PIECES), max_size=1), words=st.sampled_from("ab"))
    def close_condition(self, number: int, pieces: list[Evidence], words: str) -> None:
        against = self.against_condition(number)
        ended = self.plain.ended.get(number)
        how = f"closed {pieces} {words}"
        if not against and not pieces:
            against.add(reviews.EvidenceMissing)
        if not against and ended not in (None, how):
            against.add(reviews.ConditionAlreadyClosed)
        decided = self.told(reviews.CloseCondition(number, tuple(pieces), words), against)
        if decided is not None:
            assert len(decided) == (0 if ended else 1)
            self.plain.ended[number] = how

    @precondition(lambda self: self.plain.conditions)
    @rule(number=st.integers(0, 2))
    def waive_condition(self, number: int) -> None:
        command = reviews.WaiveCondition(number, Seen("other", 5, "e" * 64), "needed no more")
        decided = self.told(command, self.against_condition(number))
        if decided is not None:
            assert len(decided) == (0 if number in self.plain.ended else 1)
            self.plain.ended.setdefault(number, "waived")

    @precondition(lambda self: self.plain.conditions)
    @rule(number=st.integers(0, 2))
    def lapse_condition(self, number: int) -> None:
        decided = self.told(reviews.LapseCondition(number, self.now), self.against_condition(number))
        if decided is None:
            return
        set_ = self.plain.conditions[number - 1]
        over = self.now.date() > set_.due and number not in self.plain.ended and number not in self.plain.lapsed
        assert len(decided) == (1 if over else 0)
        for lapsed in decided:
            assert (lapsed.condition, lapsed.owner, lapsed.then) == (number, set_.owner, set_.on_lapse)
            assert lapsed.escalated_to == (BODIES[self.plain.above.body] if self.plain.above else None)
            self.plain.lapsed.add(number)

    @precondition(lambda self: self.plain.conditions)
    @rule(number=st.integers(0, 2))
    def remind_of_condition(self, number: int) -> None:
        decided = self.told(reviews.RemindOfCondition(number), self.against_condition(number))
        if decided is not None:
            assert len(decided) == (0 if number in self.plain.ended else 1)
            self.last = None

    @precondition(lambda self: len(self.history) > 6)
    @rule()
    def submit_again(self) -> None:
        against: Refusals = {reviews.ReviewNotOpen} if self.plain.state == "withdrawn" else set()
        assert not self.told(replace(self.put, at=self.now), against)
        if not against:
            changed = replace(self.policy, number=self.policy.number + 1)
            assert self.told(replace(self.put, policy=changed), {reviews.ReviewAlreadySubmitted}) is None

    @rule()
    def what_comes_too_early_or_too_late_changes_nothing(self) -> None:
        if self.plain.state != "submitted":
            assert self.send(reviews.StopMeasuring(self.now)) == ()
            assert self.send(reviews.NoteMeasure(Measure("spi", Decimal(0), None, None, None), self.now)) == ()
        if self.plain.state != "open":
            self.vote("ana", Choice.APPROVE)
            self.recuse("bo", "a stake")
            self.change_evidence([PIECES[1]])
            self.ask("cy", None, "Why?")
        if self.plain.state != "concluded":
            evidence = (PIECES[0],)
            for command in (
                reviews.CloseCondition(1, evidence, "met"),
                reviews.WaiveCondition(1, Seen("other", 5, "e" * 64), "needed no more"),
                reviews.RemindOfCondition(1),
                reviews.LapseCondition(1, self.now),
            ):
                self.told(command, {reviews.ReviewNotConcluded})
        self.last = None

    @rule()
    def repeat_what_was_taken_last(self) -> None:
        if self.last is not None:
            assert self.send(self.last) == ()

    @invariant()
    def it_stands_where_the_plain_model_stands(self) -> None:
        assert type(self.state).__name__.lower() == self.plain.state
        if isinstance(self.state, reviews.Open | reviews.Concluded | reviews.Escalated):
            ballot = self.state.ballot
            assert {held: (vote.person, vote.choice) for held, vote in ballot.votes.items()} == {
                person(held): (person(vote.speaker), vote.choice) for held, vote in self.plain.votes.items()
            }
            assert ballot.recused.keys() == {person(name) for name in self.plain.recused}
            assert ballot.panel == panel(self.plain.sitting, list(self.plain.excluded))
            assert ballot.closes_at == self.plain.closes_at
            assert ballot.evidence == self.pieces

    @invariant()
    def it_concludes_once_with_its_votes_as_they_were(self) -> None:
        endings = [place for place, event in enumerate(self.history) if isinstance(event, events.ReviewConcluded)]
        assert len(endings) <= 1
        for place in endings:
            assert all(isinstance(event, AFTER_THE_END) for event in self.history[place + 1 :])
            said = [vote.choice for vote in self.plain.votes.values()]
            tally = self.history[place].tally
            assert [
                tally.approve,
                tally.approve_with_conditions,
                tally.reject,
                tally.returned,
                tally.abstain,
            ] == [said.count(choice) for choice in Choice]
            assert (tally.electorate, tally.votes_needed) == (len(self.plain.seats()), self.plain.needed())
            assert tally.electorate + tally.recused == len(self.plain.sitting.seats)
            assert self.history[place].body == BODIES[self.plain.sitting.body]

    @invariant()
    def nobody_speaks_twice_and_nobody_kept_out_speaks(self) -> None:
        recused: set[Any] = set()
        standing: dict[Any, Any] = {}
        for event in self.history:
            match event:
                case events.VoterRecused(person=gone):
                    recused.add(gone)
                    standing = {
                        seat: (who, delegated)
                        for seat, (who, delegated) in standing.items()
                        if who != gone and not (delegated and seat == gone)
                    }
                case events.EvidenceChanged() | events.ReviewEscalated() | events.ReviewReferred():
                    standing = {}
                case events.VoteCast(person=speaker, seat=seat, delegation=delegation):
                    standing[seat] = speaker, delegation is not None
                    assert len({who for who, _ in standing.values()}) == len(standing), "one person is one voice"
                    assert speaker not in recused
                    for name in self.plain.excluded:
                        assert person(name) not in (speaker, seat)
                    if delegation is not None:
                        assert speaker not in {person(name) for name in TIED}
                        assert seat not in recused
                case _:
                    pass

    @invariant()
    def nothing_passes_by_default(self) -> None:
        for event in self.history:
            if isinstance(event, events.ReviewConcluded) and event.outcome is not self.policy.failed_outcome:
                tally = event.tally
                assert tally.approve + tally.approve_with_conditions >= 1
                assert len(self.plain.votes) >= tally.votes_needed

    @invariant()
    def no_condition_is_forgotten(self) -> None:
        match self.state:
            case reviews.Concluded(concluded=concluded, ended=ended, lapsed=lapsed):
                assert concluded.conditions == self.plain.conditions
                assert ended.keys() == self.plain.ended.keys()
                assert lapsed.keys() == self.plain.lapsed
                open_ = any(link.kind == reviews.OPEN_CONDITIONS_OF for link in REVIEW.links(self.state))
                assert open_ == (len(self.plain.ended) < len(self.plain.conditions))
                set_ = [each for each in REVIEW.deadlines(concluded) if each.name.startswith("condition_lapse/")]
                assert [each.due for each in set_] == [each.lapses_at for each in self.plain.conditions]
            case _:
                pass

    @invariant()
    def the_policy_of_a_review_never_changes(self) -> None:
        put = [event for event in self.history if isinstance(event, events.ReviewSubmitted)]
        assert len(put) == 1
        (submitted,) = put
        assert (submitted.quorum, submitted.rule, submitted.threshold, submitted.failed_outcome) == (
            self.policy.quorum,
            self.policy.rule,
            self.policy.threshold,
            self.policy.failed_outcome,
        )
        ballot = getattr(self.state, "ballot", None)
        assert ballot is None or ballot.submitted == submitted


TestReviewLives = ReviewLives.TestCase
TestReviewLives.settings = settings(max_examples=300, stateful_step_count=40, deadline=None)
