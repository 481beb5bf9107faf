"""Policies live random lives beside a plain model of what a policy says, and their figures beside plain arithmetic."""

from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from typing import Any

from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from tests.unit.approvals.people import BOARD, COUNCIL, PORTFOLIO, account

from approvals.domain.gate_policy import GATE_POLICY, GatePolicy, PublishPolicy, asked_for, votes_needed
from govevents.approvals import (
    AtTimeLimit,
    Comparison,
    ConditionTerms,
    Criterion,
    Deliverable,
    Electorate,
    GatePolicyPublished,
    KpiThreshold,
    Need,
    OnLapse,
    Outcome,
    Quorum,
    ReviewKind,
    Role,
    Rule,
    TimeLimit,
)
from govkernel.domain import Money, Refusal

CODES = st.sampled_from(["a", "b", "c"])
DAYS = st.integers(-1, 8)
SHARES = st.sampled_from([Decimal(text) for text in ("-0.1", "0", "0.5", "0.50", "0.66", "1", "1.1")])
VALUES = st.none() | st.builds(
    Money, st.sampled_from([Decimal(text) for text in ("-1", "0", "10", "10.0", "20")]), st.sampled_from(["AUD", "USD"])
)
PEOPLE = st.lists(st.sampled_from([account(name) for name in ("ana", "bo", "cy")]), max_size=3).map(tuple)
KPIS = st.none() | st.builds(
    KpiThreshold, kpi=CODES, comparison=st.sampled_from(Comparison), threshold=SHARES, decides=st.booleans()
)
CRITERIA = st.builds(
    Criterion,
    code=CODES,
    text=st.sampled_from(["", "It is met."]),
    need=st.sampled_from(Need),
    evidence_kinds=st.lists(CODES, max_size=3).map(tuple),
    kpi=KPIS,
    from_value=VALUES,
)
DELIVERABLES = st.builds(Deliverable, code=CODES, name=st.just("Plan"), evidence_kind=CODES, from_value=VALUES)
TERMS = st.none() | st.builds(
    ConditionTerms,
    most=st.none() | DAYS,
    longest_days=st.none() | DAYS,
    lapses=st.lists(st.sampled_from(OnLapse), max_size=3).map(tuple),
    reminder_days=st.lists(DAYS, max_size=2).map(tuple),
)
LIMITS = st.none() | st.builds(
    TimeLimit, days=DAYS, then=st.sampled_from(AtTimeLimit), reminder_days=st.lists(DAYS, max_size=2).map(tuple)
)
BODIES = st.none() | st.sampled_from([BOARD, COUNCIL])
SENSIBLE = PublishPolicy(
    portfolio=PORTFOLIO,
    kind=ReviewKind.GATE,
    gate="G1",
    electorate=Electorate((Role.APPROVER,), (), None, by_value_band=False),
    quorum=Quorum(1, Decimal("0.5")),
    rule=Rule.MAJORITY,
    threshold=None,
    veto=(),
    sponsor_may_vote=False,
    time_limit=None,
)
PARTS: dict[str, st.SearchStrategy[Any]] = {
    "electorate": st.builds(
        Electorate,
        roles=st.lists(st.sampled_from([Role.APPROVER, Role.SPONSOR]), max_size=2).map(tuple),
        people=PEOPLE,
        body=BODIES,
        by_value_band=st.booleans(),
    ),
    "quorum": st.builds(Quorum, minimum=st.integers(-1, 2), share=SHARES),
    "rule": st.sampled_from(Rule),
    "threshold": st.none() | SHARES,
    "veto": PEOPLE,
    "sponsor_may_vote": st.booleans(),
    "time_limit": LIMITS,
    "failed_outcome": st.sampled_from(Outcome),
    "escalate_to": BODIES,
    "deliverables": st.lists(DELIVERABLES, max_size=2).map(tuple),
    "criteria": st.lists(CRITERIA, max_size=2).map(tuple),
    "conditions": TERMS,
}


@st.composite
def changes(draw: st.DrawFn) -> dict[str, Any]:
    """A few parts of a policy, said anew."""
    names = draw(st.lists(st.sampled_from(sorted(PARTS)), min_size=1, max_size=3, unique=True))
    return {name: draw(PARTS[name]) for name in names}


def makes_sense(said: PublishPolicy) -> bool:
    """Whether a policy can be decided by, in plain words; kind and gate fit each other here."""
    voters, terms, limit = said.electorate, said.conditions, said.time_limit
    values = [each.from_value for each in said.deliverables] + [each.from_value for each in said.criteria]
    stated = [value for value in values if value is not None]
    rules = [
        bool(voters.roles or voters.people or voters.body or voters.by_value_band),
        not (voters.body and voters.by_value_band),
        said.escalate_to is None or said.escalate_to != voters.body,
        said.quorum.minimum >= 0 and 0 <= said.quorum.share <= 1,
        said.quorum.minimum > 0 or said.quorum.share > 0,
        (said.threshold is None) != (said.rule is Rule.THRESHOLD),
        said.threshold is None or 0 < said.threshold <= 1,
        said.failed_outcome in {Outcome.HOLD, Outcome.RECYCLE, Outcome.KILL},
        limit is None or limit.days > 0,
        limit is None or all(0 < days < limit.days for days in limit.reminder_days),
        len({each.code for each in said.criteria}) == len(said.criteria),
        len({each.code for each in said.deliverables}) == len(said.deliverables),
        all(each.kpi or each.evidence_kinds for each in said.criteria),
        not any(each.kpi and each.kpi.decides and each.need is Need.SHOULD for each in said.criteria),
        all(value.amount > 0 for value in stated),
        len({value.currency for value in stated}) <= 1,
        terms is None or bool(terms.lapses),
        terms is None or terms.most is None or terms.most > 0,
        terms is None or terms.longest_days is None or terms.longest_days > 0,
        terms is None or all(0 < days <= (terms.longest_days or 3650) for days in terms.reminder_days),
    ]
    return all(rules)


def meaning(said: PublishPolicy | GatePolicyPublished) -> tuple[Any, ...]:
    """What a policy says, whatever the order and however often it says so."""
    voters, limit, terms = said.electorate, said.time_limit, said.conditions
    return (
        (frozenset(voters.roles), frozenset(voters.people), voters.body, voters.by_value_band),
        (said.quorum, said.rule, said.threshold, frozenset(said.veto), said.sponsor_may_vote),
        limit and (limit.days, limit.then, frozenset(limit.reminder_days)),
        (said.failed_outcome, said.escalate_to, frozenset(said.deliverables)),
        frozenset(
            (each.code, each.text, each.need, frozenset(each.evidence_kinds), each.kpi, each.from_value)
            for each in said.criteria
        ),
        terms and (terms.most, terms.longest_days, frozenset(terms.lapses), frozenset(terms.reminder_days)),
    )


class PolicyLife(RuleBasedStateMachine):
    said: PublishPolicy
    editions: list[GatePolicyPublished]
    state: GatePolicy

    @initialize()
    def nothing_is_published(self) -> None:
        self.said, self.editions, self.state = SENSIBLE, [], GATE_POLICY.initial

    def publish(self, command: PublishPolicy) -> None:
        before = self.state
        try:
            events = GATE_POLICY.decide(command, before)
        except Refusal:
            assert not makes_sense(command), command
            return
        assert makes_sense(command), command
        said_already = bool(self.editions) and meaning(self.editions[-1]) == meaning(command)
        assert len(events) == (0 if said_already else 1)
        for event in events:
            assert meaning(event) == meaning(command)
            self.editions.append(event)
            self.state = GATE_POLICY.evolve(self.state, event)
        self.said = command

    @rule(changed=changes())
    def say_something_else(self, changed: dict[str, Any]) -> None:
        self.publish(replace(self.said, **changed))

    @rule()
    def go_back_to_the_first(self) -> None:
        self.publish(SENSIBLE)

    @precondition(lambda self: self.editions)
    @rule(random=st.randoms(use_true_random=False), twice=st.booleans())
    def say_the_same_in_another_order(self, random: Any, twice: bool) -> None:
        def mixed(values: tuple[Any, ...], *, repeat: bool = twice) -> tuple[Any, ...]:
            listed = [*values, *(values if repeat else ())]
            random.shuffle(listed)
            return tuple(listed)

        said = self.said
        voters = replace(said.electorate, roles=mixed(said.electorate.roles), people=mixed(said.electorate.people))
        criteria = [replace(each, evidence_kinds=mixed(each.evidence_kinds)) for each in said.criteria]
        limit = said.time_limit and replace(said.time_limit, reminder_days=mixed(said.time_limit.reminder_days))
        terms = said.conditions and replace(
            said.conditions, lapses=mixed(said.conditions.lapses), reminder_days=mixed(said.conditions.reminder_days)
        )
        before = len(self.editions)
        self.publish(
            replace(
                said,
                electorate=voters,
                veto=mixed(said.veto),
                criteria=mixed(tuple(criteria), repeat=False),
                deliverables=mixed(said.deliverables, repeat=False),
                time_limit=limit,
                conditions=terms,
            )
        )
        assert len(self.editions) == before

    @invariant()
    def editions_count_from_one_and_each_says_something_new(self) -> None:
        assert [each.number for each in self.editions] == list(range(1, len(self.editions) + 1))
        assert all(
            meaning(earlier) != meaning(later) for earlier, later in zip(self.editions, self.editions[1:], strict=False)
        )
        assert self.state == GATE_POLICY.fold(self.editions)


TestPolicyLife = PolicyLife.TestCase
TestPolicyLife.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)


@given(st.integers(0, 12), st.integers(0, 40), st.fractions(0, 1, max_denominator=10**6))
def test_votes_needed_are_the_fewest_that_reach_both_the_minimum_and_the_share(
    minimum: int, electors: int, fraction: Fraction
) -> None:
    share = Decimal(fraction.numerator) / fraction.denominator
    needed = votes_needed(Quorum(minimum, share), electors)
    enough = [votes for votes in range(53) if votes >= minimum and votes >= Fraction(share) * electors]
    assert needed == enough[0]
    # More electors never need fewer votes, and a share alone never needs more than there are.
    assert needed <= votes_needed(Quorum(minimum, share), electors + 1)
    assert votes_needed(Quorum(0, share), electors) <= electors


@given(
    st.lists(st.integers(1, 6), max_size=6),
    st.integers(0, 7),
    st.integers(0, 7),
    st.lists(st.booleans(), min_size=6, max_size=6),
)
def test_a_larger_project_is_asked_for_all_that_a_smaller_one_is_and_one_of_unknown_value_for_everything(
    bounds: list[int], value: int, more: int, deliverables: list[bool]
) -> None:
    def aud(amount: int) -> Money:
        return Money(Decimal(amount), "AUD")

    assume(bounds)
    asked = [
        (f"{number}", aud(bound) if bound > 1 else None, deliverables[number]) for number, bound in enumerate(bounds)
    ]
    command = replace(
        SENSIBLE,
        deliverables=tuple(Deliverable(code, "Plan", "plan", bound) for code, bound, one in asked if one),
        criteria=tuple(
            Criterion(code, "", Need.MUST, ("case",), from_value=bound) for code, bound, one in asked if not one
        ),
    )
    (edition,) = GATE_POLICY.decide(command, GATE_POLICY.initial)

    def codes(value: Money | None) -> set[str]:
        wanted, met = asked_for(edition, value)
        return {each.code for each in wanted} | {each.code for each in met}

    assert codes(aud(value)) == {code for code, bound, _ in asked if bound is None or bound.amount <= value}
    assert codes(aud(value)) <= codes(aud(value + more)) <= codes(None) == {code for code, _, _ in asked}
    assert codes(Money(Decimal(value), "USD")) == codes(None)
