"""Delegations live random lives beside a plain model, which says what each covers by walking up the tree of nodes."""

from collections.abc import Collection
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from uuid import UUID

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from tests.unit.approvals.people import account, person

from approvals.domain.delegation import DELEGATION, Delegation, GrantDelegation, RevokeDelegation, check_covers
from govevents.approvals import DelegationGranted, DelegationRevoked, ReviewKind
from govkernel.domain import Money, NodeId, Refusal, SubjectId

PORTFOLIO, PROGRAMME, WITHIN, BESIDE = (NodeId(UUID(int=number)) for number in range(1, 5))
ABOVE = {WITHIN: PROGRAMME, PROGRAMME: PORTFOLIO, BESIDE: PORTFOLIO}
ACCOUNTS = {account(f"{name}{which}"): person(name) for name in ("ana", "bo") for which in ("", ".second")}
DAYS = [date(2026, 1, 1) + timedelta(days=number) for number in range(7)]
VALUES = st.none() | st.builds(
    Money,
    st.sampled_from([Decimal(text) for text in ("-1", "0", "1", "1.00", "1.01", "2")]),
    st.sampled_from(["AUD", "NZD"]),
)
KINDS = st.lists(st.sampled_from(list(ReviewKind)[:3]), max_size=3).map(tuple)
GRANTS = st.builds(
    lambda delegator, delegate, node, kinds, limit, first_day, last_day, today: GrantDelegation(
        delegator=delegator,
        delegator_person=ACCOUNTS[delegator],
        delegate=delegate,
        delegate_person=ACCOUNTS[delegate],
        node=node,
        kinds=kinds,
        limit=limit,
        first_day=first_day,
        last_day=last_day,
        reason="Annual leave.",
        today=today,
    ),
    st.sampled_from(sorted(ACCOUNTS)),
    st.sampled_from(sorted(ACCOUNTS)),
    st.sampled_from([PORTFOLIO, PROGRAMME, WITHIN]),
    KINDS,
    VALUES,
    st.sampled_from(DAYS[:5]),
    st.sampled_from(DAYS[2:]),
    st.sampled_from(DAYS[:4]),
)


def upwards(node: NodeId) -> set[NodeId]:
    """A node and all nodes above it."""
    return {node} | (upwards(ABOVE[node]) if node in ABOVE else set())


def makes_sense(asked: GrantDelegation) -> bool:
    """Whether there is a day, from now on, on which another person could decide on something."""
    days = [day for day in DAYS if asked.first_day <= day <= asked.last_day and day >= asked.today]
    others = ACCOUNTS[asked.delegate] != ACCOUNTS[asked.delegator]
    return others and bool(days) and (asked.limit is None or asked.limit.amount >= 0)


class DelegationLives(RuleBasedStateMachine):
    """One delegation after another, each at its end once it was tried in all directions."""

    state: Delegation
    asked: GrantDelegation | None
    revoked: bool

    @initialize()
    def nothing_is_granted(self) -> None:
        self.state, self.asked, self.revoked = DELEGATION.initial, None, False

    @precondition(lambda self: self.asked is None)
    @rule(asked=GRANTS)
    def grant(self, asked: GrantDelegation) -> None:
        try:
            (event,) = DELEGATION.decide(asked, self.state)
        except Refusal:
            assert not makes_sense(asked), asked
            return
        assert makes_sense(asked), asked
        assert isinstance(event, DelegationGranted)
        self.asked = asked
        self.state = DELEGATION.evolve(self.state, event)

    @precondition(lambda self: self.asked is not None)
    @rule(today=st.sampled_from(DAYS), turned=st.booleans())
    def grant_it_again(self, today: date, turned: bool) -> None:
        assert self.asked is not None
        kinds = tuple(reversed(self.asked.kinds)) if turned else self.asked.kinds
        assert DELEGATION.decide(replace(self.asked, today=today, kinds=kinds), self.state) == ()

    @precondition(lambda self: self.asked is not None)
    @rule(other=GRANTS)
    def turn_it_into_another(self, other: GrantDelegation) -> None:
        assert self.asked is not None
        same = replace(other, today=self.asked.today, kinds=()) == replace(self.asked, kinds=())
        if same and set(other.kinds) == set(self.asked.kinds):
            return
        try:
            DELEGATION.decide(other, self.state)
        except Refusal:
            return
        raise AssertionError(f"{self.asked} was turned into {other}")

    @rule(by=st.sampled_from(sorted(ACCOUNTS)))
    def revoke(self, by: SubjectId) -> None:
        command = RevokeDelegation(by, "Back early.")
        if self.asked is None:
            try:
                DELEGATION.decide(command, self.state)
            except Refusal:
                return
            raise AssertionError("what was never granted was revoked")
        events = DELEGATION.decide(command, self.state)
        if self.revoked:
            assert events == ()
            return
        (event,) = events
        assert event == DelegationRevoked(self.asked.delegator, self.asked.delegate, self.asked.node, by, "Back early.")
        self.state, self.revoked = DELEGATION.evolve(self.state, event), True

    def covers(self, who: SubjectId, node: NodeId, kind: ReviewKind, value: Money | None, day: date) -> bool:
        """Whether a plain reading of what was asked lets somebody decide."""
        asked = self.asked
        if asked is None or self.revoked or who != asked.delegate:
            return False
        if day not in [each for each in DAYS if asked.first_day <= each <= asked.last_day]:
            return False
        if asked.node not in upwards(node) or (asked.kinds and kind not in asked.kinds):
            return False
        if asked.limit is None:
            return True
        return value is not None and value.currency == asked.limit.currency and value.amount <= asked.limit.amount

    def check(self, who: SubjectId, node: NodeId, kind: ReviewKind, value: Money | None, day: date) -> None:
        above: Collection[NodeId] = upwards(node)
        expected = self.covers(who, node, kind, value, day)
        try:
            granted = check_covers(self.state, delegate=who, node_and_above=above, kind=kind, value=value, day=day)
        except Refusal as refusal:
            assert not expected, f"{refusal!r} for {self.asked}"
            return
        assert expected, f"{self.asked} let {who} decide on a {kind} of {value} on {day}"
        assert granted.delegator_person != ACCOUNTS[who]

    @rule(
        who=st.sampled_from(sorted(ACCOUNTS)),
        node=st.sampled_from([WITHIN, BESIDE]),
        kind=st.sampled_from(ReviewKind),
        value=VALUES,
        day=st.sampled_from(DAYS),
    )
    def use(self, who: SubjectId, node: NodeId, kind: ReviewKind, value: Money | None, day: date) -> None:
        self.check(who, node, kind, value, day)

    @precondition(lambda self: self.asked is not None)
    @invariant()
    def the_delegate_may_on_each_day_what_the_model_says(self) -> None:
        assert self.asked is not None
        for node in (WITHIN, BESIDE):
            for day in DAYS:
                for kind in list(ReviewKind)[:4]:
                    self.check(self.asked.delegate, node, kind, self.asked.limit, day)


TestDelegationLives = DelegationLives.TestCase
TestDelegationLives.settings = settings(max_examples=150, stateful_step_count=12, deadline=None)
