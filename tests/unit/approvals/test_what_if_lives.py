"""Reviews live random lives; what-if must come to what is recorded, and to what a life under the other policy comes to."""

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import product
from math import ceil

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.approvals.lives import CASE, MILLION, PLAN, POLICY, Life, condition, panel, seat
from tests.unit.approvals.people import COUNCIL, account, person

from approvals.application.what_if import Case, Changes, Compared, End, compare
from approvals.domain.gate_policy import PublishPolicy
from approvals.domain.review import (
    Concluded,
    Escalated,
    Open,
    ReachTimeLimit,
    RecuseVoter,
    ReferReview,
    Withdrawn,
    WithdrawReview,
)
from govevents.approvals import AtTimeLimit, Choice, Elector, Outcome, Quorum, Rule, TimeLimit, VoteCast
from govkernel.domain import Money, Refusal

SEATS = (seat("ana", "al"), seat("bo"), seat("cy"))
ABOVE = panel(seat("ede"), seat("eli"), body=COUNCIL)
VOICES = ("ana", "al", "bo", "cy", "dee", "ede", "eli")
APPROVALS = (Choice.APPROVE, Choice.APPROVE_WITH_CONDITIONS)
OBJECTIONS = (Choice.REJECT, Choice.RETURN)

SHARES = st.sampled_from(["0", "0.34", "0.5", "0.67", "1"]).map(Decimal)
QUORUMS = st.builds(Quorum, st.integers(1, 4), SHARES)
RULES = st.tuples(st.sampled_from(Rule), SHARES.filter(bool))
FAILURES = st.sampled_from([Outcome.HOLD, Outcome.RECYCLE, Outcome.KILL])
LIMITS = st.none() | st.builds(TimeLimit, st.just(14), st.sampled_from(AtTimeLimit))
POLICIES = st.builds(
    lambda quorum, rule, failed, limit, above: replace(
        POLICY,
        quorum=quorum,
        rule=rule[0],
        threshold=rule[1] if rule[0] is Rule.THRESHOLD else None,
        failed_outcome=failed,
        time_limit=limit,
        escalate_to=COUNCIL if above else None,
    ),
    QUORUMS,
    RULES,
    FAILURES,
    LIMITS,
    st.booleans(),
)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("vote"), st.sampled_from(VOICES), st.sampled_from(Choice)),
        st.tuples(st.just("vote"), st.sampled_from(VOICES), st.sampled_from(Choice)),
        st.tuples(st.just("recuse"), st.sampled_from(VOICES), st.none()),
        st.tuples(st.sampled_from(["evidence", "revoke", "refer", "withdraw", "wait", "time"]), st.none(), st.none()),
    ),
    max_size=14,
)
Step = tuple[str, str | None, Choice | None]


def submitted(policy: PublishPolicy, seats: Sequence[Elector] = SEATS) -> Life:
    life = Life(policy).drafted(CASE)
    life.submitted(*seats, escalation=ABOVE if policy.escalate_to else None)
    life.granted("bo", "dee", limit=Money(Decimal(2_000_000), "AUD"))
    return life


def play(life: Life, step: Step) -> None:
    """Take one step, an hour later, if it is allowed at all."""
    kind, name, choice = step
    at = life.now + timedelta(hours=1)
    match kind, name, choice:
        case "vote", str(), Choice():
            conditions = (condition(),) if choice is Choice.APPROVE_WITH_CONDITIONS else ()
            life.vote(name, choice, *conditions)
        case "recuse", str(), None:
            life.send(RecuseVoter(person(name), account(name), "I own the land.", at))
        case "evidence", None, None:
            ballot = life.state.ballot if isinstance(life.state, Open) else None
            life.evidence(*((CASE, PLAN) if ballot and ballot.evidence == (CASE,) else (CASE,)))
        case "revoke", None, None:
            life.revoked("dee")
        case "refer", None, None:
            life.send(ReferReview(account("pia"), ABOVE, "The council decides.", at))
        case "withdraw", None, None:
            life.send(WithdrawReview("not needed"))
        case "time", None, None:
            life.later(days=14)
            life.send(ReachTimeLimit(life.now + timedelta(hours=1)))
        case _:
            life.later(days=5)


def lived(life: Life, steps: Sequence[Step]) -> list[tuple[datetime, Step]]:
    """Take the steps; which of them led to anything, and when."""
    taken = []
    for step in steps:
        began, before = life.now, len(life.review.recorded)
        with suppress(Refusal):
            play(life, step)
        if len(life.review.recorded) > before:
            taken.append((began, step))
    return taken


def case_of(life: Life) -> Case:
    return Case(life.review.recorded, life.edition, {each.stream: each.recorded for each in life.delegations.values()})


def end_of(life: Life) -> tuple[End, Outcome | None]:
    match life.state:
        case Concluded(concluded=concluded):
            return End.CONCLUDED, concluded.outcome
        case Escalated():
            return End.ESCALATED, None
        case Withdrawn():
            return End.WITHDRAWN, None
        case _:
            return End.UNDECIDED, None


@settings(max_examples=400, deadline=None)
@given(POLICIES, STEPS)
def test_under_its_own_policy_every_life_comes_to_exactly_what_is_recorded(
    policy: PublishPolicy, steps: list[Step]
) -> None:
    life = submitted(policy)
    lived(life, steps)
    for changes in (Changes(), Changes(rule=policy.rule, quorum=policy.quorum, delegation_limit=MILLION)):
        compared = compare(case_of(life), changes)
        assert compared.supposed == compared.recorded
        assert (compared.recorded.end, compared.recorded.outcome) == end_of(life)
        assert (compared.changed, compared.reproduced, compared.uncounted) == (False, True, ())


@settings(max_examples=400, deadline=None)
@given(POLICIES, STEPS, QUORUMS, RULES, FAILURES)
def test_under_another_policy_it_comes_to_what_the_same_steps_come_to_under_that_policy_from_the_start(
    policy: PublishPolicy, steps: list[Step], quorum: Quorum, rule: tuple[Rule, Decimal], failed: Outcome
) -> None:
    policy = replace(policy, time_limit=None)
    threshold = rule[1] if rule[0] is Rule.THRESHOLD else None
    life = submitted(policy)
    # Without a time limit nothing happens by itself, so that the steps are all there is.
    taken = lived(life, steps)
    other = submitted(replace(policy, quorum=quorum, rule=rule[0], threshold=threshold, failed_outcome=failed))
    for began, step in taken:
        other.now = began
        lived(other, [step])
    changes = Changes(rule=rule[0], threshold=threshold, quorum=quorum, failed_outcome=failed)
    compared = compare(case_of(life), changes)
    assert (compared.supposed.end, compared.supposed.outcome) == end_of(other)
    assert compared.changed == (end_of(life)[1] != end_of(other)[1])


def plainly(
    quorum: Quorum, rule: Rule, threshold: Decimal, votes: Sequence[tuple[str, Choice]], names: Sequence[str]
) -> str:
    """What votes of these people come to in their order: every way in which the rest could vote is tried out."""
    if max(quorum.minimum, ceil(Fraction(quorum.share) * len(names))) > len(names):
        return "escalated"
    said: dict[str, Choice] = {}
    for name, choice in votes:
        said[name] = choice
        if len(said) < max(quorum.minimum, ceil(Fraction(quorum.share) * len(names))):
            continue
        out = [each for each in names if each not in said]
        results = {
            counted(rule, threshold, [*said.values(), *rest], len(names)) for rest in product(Choice, repeat=len(out))
        }
        if len(results) == 1:
            return results.pop()
    return "undecided"


def counted(rule: Rule, threshold: Decimal, choices: Sequence[Choice], electors: int) -> str:
    tally: Mapping[Choice, int] = Counter(choices)
    approvals = sum(tally.get(each, 0) for each in APPROVALS)
    objections = sum(tally.get(each, 0) for each in OBJECTIONS)
    if approvals + objections == 0:
        return "escalated"
    passed = {
        Rule.MAJORITY: approvals > objections,
        Rule.THRESHOLD: Fraction(approvals, electors) >= Fraction(threshold),
        Rule.CONSENSUS: len(choices) == electors and objections == 0,
    }
    return "passed" if passed[rule] else "failed"


def plain_end(compared: Compared) -> str:
    match compared.supposed.end:
        case End.CONCLUDED:
            passed = compared.supposed.outcome in (Outcome.GO, Outcome.CONDITIONAL_GO)
            return "passed" if passed else "failed"
        case End.ESCALATED | End.WITHDRAWN | End.UNDECIDED | End.NOT_PUT as end:
            return str(end.value)


@settings(max_examples=400, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(["ana", "bo", "cy"]), st.sampled_from(Choice)), max_size=8),
    QUORUMS,
    RULES,
)
def test_the_other_rule_and_quorum_decide_as_a_plain_count_does(
    votes: list[tuple[str, Choice]], quorum: Quorum, rule: tuple[Rule, Decimal]
) -> None:
    names = ("ana", "bo", "cy")
    # Consensus of all is decided last, so most of the votes are recorded.
    recorded_under = replace(POLICY, rule=Rule.CONSENSUS, quorum=Quorum(3, Decimal(1)), time_limit=None)
    life = submitted(recorded_under, [seat(name) for name in names])
    lived(life, [("vote", name, choice) for name, choice in votes])
    cast = [(one.event.voter, one.event.choice) for one in life.review.recorded if isinstance(one.event, VoteCast)]
    by_name = {account(name): name for name in names}
    changes = Changes(rule=rule[0], threshold=rule[1] if rule[0] is Rule.THRESHOLD else None, quorum=quorum)
    compared = compare(case_of(life), changes)
    expected = plainly(quorum, rule[0], rule[1], [(by_name[voter], choice) for voter, choice in cast], names)
    assert plain_end(compared) == expected
