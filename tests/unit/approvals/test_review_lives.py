"""Reviews live random lives beside a plain model, which tries out every way in which the votes still out could go."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import product
from math import ceil
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from tests.unit.approvals.people import BOARD, PORTFOLIO, PROJECT, account, person

from approvals.domain.review import (
    REVIEW,
    CastVote,
    Command,
    Concluded,
    DraftReview,
    Escalated,
    NotAnElector,
    Open,
    ProjectManagerMayNotVote,
    ReachTimeLimit,
    ReviewAlreadyConcluded,
    ReviewNotOpen,
    SecondAccount,
    SponsorMayNotVote,
    SubmitReview,
    SubmitterMayNotVote,
    Withdrawn,
    WithdrawReview,
)
from govevents.approvals import (
    AtTimeLimit,
    Choice,
    Condition,
    Duty,
    Elector,
    Electorate,
    Ending,
    Exclusion,
    GatePolicyPublished,
    Outcome,
    Quorum,
    ReviewConcluded,
    ReviewEscalated,
    ReviewKind,
    ReviewWithdrawn,
    Rule,
    Seen,
    TimeLimit,
    VoteCast,
)
from govkernel.domain import Refusal

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
CLOSING = NOON + timedelta(days=14)
SUBMISSION = Seen("review", 2, "d" * 64)
ELECTORS = ("ana", "bo", "cy", "dee")
DUTIES = {"sam": Duty.SUBMITTER, "max": Duty.PROJECT_MANAGER, "sol": Duty.SPONSOR}
REFUSALS: Mapping[str, type[Refusal]] = {
    "sam": SubmitterMayNotVote,
    "max": ProjectManagerMayNotVote,
    "sol": SponsorMayNotVote,
}
APPROVALS = {Choice.APPROVE, Choice.APPROVE_WITH_CONDITIONS}
SHARES = st.sampled_from(["0", "0.25", "0.34", "0.5", "0.67", "0.75", "1"]).map(Decimal)


def result(policy: GatePolicyPublished, veto: set[str], electors: int, votes: Mapping[str, Choice]) -> str:
    """What these votes come to by the rule, counted the plain way."""
    said = list(votes.values())
    if all(choice is Choice.ABSTAIN for choice in said):
        return "nothing"
    for_it = len([choice for choice in said if choice in APPROVALS])
    against = len([choice for choice in said if choice in (Choice.REJECT, Choice.RETURN)])
    if any(votes.get(name) is Choice.REJECT for name in veto):
        return "failed"
    if policy.rule is Rule.MAJORITY:
        return "passed" if for_it > against else "failed"
    if policy.rule is Rule.THRESHOLD:
        assert policy.threshold is not None
        return "passed" if Fraction(for_it, electors) >= Fraction(policy.threshold) else "failed"
    return "passed" if len(said) == electors and for_it >= 1 and against == 0 else "failed"


def completions(policy: GatePolicyPublished, veto: set[str], names: list[str], votes: Mapping[str, Choice]) -> set[str]:
    """What a review could still come to: every choice of everyone who has not voted is tried."""
    out = [name for name in names if name not in votes]
    return {
        result(policy, veto, len(names), {**votes, **dict(zip(out, choices, strict=True))})
        for choices in product(Choice, repeat=len(out))
    }


class ReviewLives(RuleBasedStateMachine):
    """One review, from its submission on."""

    @initialize(
        electors=st.lists(st.sampled_from(ELECTORS), min_size=1, max_size=4, unique=True),
        veto=st.sets(st.sampled_from(ELECTORS), max_size=1),
        minimum=st.integers(1, 5),
        share=SHARES,
        decided_by=st.sampled_from(Rule),
        threshold=SHARES.filter(bool),
        proposed=st.sampled_from([Outcome.GO, Outcome.KILL]),
        failed=st.sampled_from([Outcome.HOLD, Outcome.RECYCLE]),
        at_limit=st.none() | st.sampled_from(AtTimeLimit),
    )
    def submit(
        self,
        electors: list[str],
        veto: set[str],
        minimum: int,
        share: Decimal,
        decided_by: Rule,
        threshold: Decimal,
        proposed: Outcome,
        failed: Outcome,
        at_limit: AtTimeLimit | None,
    ) -> None:
        self.names = electors
        self.veto = veto & set(electors)
        self.proposed = proposed
        self.needed = max(minimum, ceil(Fraction(share) * len(electors)))
        self.policy = GatePolicyPublished(
            portfolio=PORTFOLIO,
            kind=ReviewKind.GATE,
            gate="G2",
            number=1,
            electorate=Electorate((), (), BOARD, by_value_band=False),
            quorum=Quorum(minimum, share),
            rule=decided_by,
            threshold=threshold if decided_by is Rule.THRESHOLD else None,
            veto=(),
            sponsor_may_vote=False,
            time_limit=TimeLimit(14, at_limit) if at_limit else None,
            failed_outcome=failed,
        )
        self.votes: dict[str, Choice] = {}
        self.standing: dict[str, CastVote] = {}
        self.ended: str | None = None
        self.commands: list[Command] = []
        self.history: list[Any] = []
        self.state = REVIEW.initial
        self.send(DraftReview(PROJECT, PORTFOLIO, ReviewKind.GATE, "G2", "May we build?", ()))
        events = self.send(
            SubmitReview(
                submitter=account("sam"),
                proposed=proposed,
                policy=self.policy,
                policy_seen=Seen("policy", 1, "c" * 64),
                electorate=tuple(
                    Elector(account(name), person(name), "member of Board", name in self.veto) for name in electors
                ),
                excluded=tuple(Exclusion(person(name), duty) for name, duty in DUTIES.items()),
                body=BOARD,
                evidence=(),
                at=NOON,
            )
        )
        if self.needed > len(electors):
            assert isinstance(events[-1], ReviewEscalated)
            self.ended = "nothing"
        else:
            assert len(events) == 1

    def send(self, command: Command) -> tuple[Any, ...]:
        self.commands.append(command)
        events = REVIEW.decide(command, self.state)
        for event in events:
            self.state = REVIEW.evolve(self.state, event)
        if isinstance(self.state, Withdrawn):
            self.standing.clear()
        self.history.extend(events)
        return events

    def refused(self, command: Command) -> type[Refusal] | None:
        try:
            self.send(command)
        except Refusal as refusal:
            self.commands.pop()
            return type(refusal)
        return None

    @rule(
        name=st.sampled_from([*ELECTORS, *DUTIES]),
        second=st.booleans(),
        choice=st.sampled_from(Choice),
        words=st.sampled_from(["yes", "no"]),
        late=st.booleans(),
    )
    def vote(self, name: str, second: bool, choice: Choice, words: str, late: bool) -> None:
        if choice is Choice.APPROVE_WITH_CONDITIONS and self.proposed is not Outcome.GO:
            choice = Choice.APPROVE
        condition = Condition(f"{name} wants this", account(name), date(2026, 6, 30))
        command = CastVote(
            voter=account(f"{name}.second" if second else name),
            person=person(name),
            choice=choice,
            conditions=(condition,) if choice is Choice.APPROVE_WITH_CONDITIONS else (),
            submission=SUBMISSION,
            seen=(SUBMISSION,),
            reason=words,
            at=NOON,
        )
        if late and self.policy.time_limit is not None:
            command = replace(command, at=CLOSING)
        if self.standing.get(name) == replace(command, at=NOON):
            assert self.send(command) == ()
            return
        expected = self.expected_refusal(name, second=second, late=command.at == CLOSING)
        if expected is not None:
            assert self.refused(command) is expected
            return
        cast, *ending = self.send(command)
        assert isinstance(cast, VoteCast)
        self.votes[name] = choice
        self.standing[name] = command
        self.judge(ending)

    def expected_refusal(self, name: str, *, second: bool, late: bool) -> type[Refusal] | None:
        if self.ended is not None or late:
            return ReviewNotOpen
        if name in REFUSALS:
            return REFUSALS[name]
        if name not in self.names:
            return NotAnElector
        return SecondAccount if second else None

    def judge(self, ending: list[Any]) -> None:
        """Compare what a vote led to with every completion of the votes still out."""
        possible = completions(self.policy, self.veto, self.names, self.votes)
        decided = len(self.votes) >= self.needed and self.veto <= self.votes.keys() and len(possible) == 1
        if not decided:
            assert ending == [], f"concluded while it could still come to {possible}"
            return
        (self.ended,) = possible
        (event,) = ending
        self.check_ending(event, Ending.DECIDED)

    def check_ending(self, event: Any, ending: Ending) -> None:
        if self.ended == "nothing":
            assert isinstance(event, ReviewEscalated)
            return
        assert isinstance(event, ReviewConcluded)
        assert event.ending is ending
        if self.ended == "failed":
            assert (event.outcome, event.conditions) == (self.policy.failed_outcome, ())
            return
        conditional = {name for name, choice in self.votes.items() if choice is Choice.APPROVE_WITH_CONDITIONS}
        assert event.outcome is (Outcome.CONDITIONAL_GO if conditional else self.proposed)
        assert {each.owner for each in event.conditions} == {account(name) for name in conditional}

    @rule(early=st.booleans())
    def reach_time_limit(self, early: bool) -> None:
        events = self.send(ReachTimeLimit(NOON if early else CLOSING))
        limit = self.policy.time_limit
        if self.ended is not None or limit is None or early:
            assert events == ()
            return
        (event,) = events
        heard = len(self.votes) >= self.needed and self.veto <= self.votes.keys()
        self.ended = result(self.policy, self.veto, len(self.names), self.votes) if heard else "nothing"
        if self.ended == "nothing":
            assert isinstance(event, ReviewWithdrawn if limit.then is AtTimeLimit.LAPSE else ReviewEscalated)
            return
        self.check_ending(event, Ending.TIME_LIMIT)

    @precondition(lambda self: len(self.votes) >= 2)
    @rule()
    def withdraw(self) -> None:
        if isinstance(self.state, Concluded):
            assert self.refused(WithdrawReview("not needed")) is ReviewAlreadyConcluded
            return
        self.send(WithdrawReview("not needed"))
        self.ended = "nothing"

    @rule()
    def repeat_the_last_command(self) -> None:
        assert self.send(self.commands[-1]) == ()

    @invariant()
    def it_ends_once_with_its_votes_as_they_were(self) -> None:
        endings = [event for event in self.history if isinstance(event, ReviewConcluded)]
        assert len(endings) <= 1
        if not endings:
            return
        tally = endings[0].tally
        counted = {
            Choice.APPROVE: tally.approve,
            Choice.APPROVE_WITH_CONDITIONS: tally.approve_with_conditions,
            Choice.REJECT: tally.reject,
            Choice.RETURN: tally.returned,
            Choice.ABSTAIN: tally.abstain,
        }
        assert counted == {choice: list(self.votes.values()).count(choice) for choice in Choice}
        assert not any(isinstance(event, VoteCast) for event in self.history[self.history.index(endings[0]) :])

    @invariant()
    def nobody_votes_twice_and_nobody_excluded_votes(self) -> None:
        voters = {person(name): account(name) for name in self.names}
        for event in self.history:
            if isinstance(event, VoteCast):
                assert voters.get(event.person) == event.voter
        if isinstance(self.state, Open | Concluded | Escalated):
            assert {vote.person: vote.choice for vote in self.state.votes.values()} == {
                person(name): choice for name, choice in self.votes.items()
            }

    @invariant()
    def nothing_passes_by_default(self) -> None:
        for event in self.history:
            if isinstance(event, ReviewConcluded) and event.outcome in (self.proposed, Outcome.CONDITIONAL_GO):
                tally = event.tally
                assert tally.approve + tally.approve_with_conditions >= 1
                assert sum(
                    [tally.approve, tally.approve_with_conditions, tally.reject, tally.returned, tally.abstain]
                ) >= (tally.votes_needed)


TestReviewLives = ReviewLives.TestCase
TestReviewLives.settings = settings(max_examples=300, stateful_step_count=14, deadline=None)
