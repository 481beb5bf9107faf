from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from tests.unit.approvals.people import PORTFOLIO_NODE, PROJECT_NODE, account, person

from approvals.domain.body import TermEndsBeforeItBegins
from approvals.domain.delegation import (
    DELEGATED_BY,
    DELEGATED_TO,
    DELEGATION,
    DELEGATION_AT,
    DelegatesToOneself,
    Delegation,
    DelegationAlreadyGranted,
    DelegationLimitExceeded,
    DelegationLimitNotComparable,
    DelegationNotInForce,
    DelegationNotKnown,
    DelegationOutOfScope,
    DelegationTermOver,
    DelegationWasRevoked,
    GrantDelegation,
    LimitBelowZero,
    NotTheDelegate,
    RevokeDelegation,
    check_covers,
)
from govevents.approvals import DelegationGranted, DelegationRevoked, ReviewKind
from govkernel.domain import Link, Money, Refusal, Specification

delegation = Specification(DELEGATION)

DAY_BEFORE, FIRST, LAST, DAY_AFTER = date(2026, 6, 30), date(2026, 7, 1), date(2026, 7, 14), date(2026, 7, 15)
MILLION = Money(Decimal(1_000_000), "AUD")
GRANT = GrantDelegation(
    delegator=account("ana"),
    delegator_person=person("ana"),
    delegate=account("dee"),
    delegate_person=person("dee"),
    node=PORTFOLIO_NODE,
    kinds=(ReviewKind.GATE, ReviewKind.CHANGE),
    limit=MILLION,
    first_day=FIRST,
    last_day=LAST,
    reason="Annual leave.",
    today=DAY_BEFORE,
)
GRANTED = DelegationGranted(
    delegator=account("ana"),
    delegator_person=person("ana"),
    delegate=account("dee"),
    delegate_person=person("dee"),
    node=PORTFOLIO_NODE,
    kinds=(ReviewKind.GATE, ReviewKind.CHANGE),
    limit=MILLION,
    first_day=FIRST,
    last_day=LAST,
    reason="Annual leave.",
)
REVOKED = DelegationRevoked(account("ana"), account("dee"), PORTFOLIO_NODE, account("pia"), "Back early.")


def aud(amount: str) -> Money:
    return Money(Decimal(amount), "AUD")


def covers(state: Delegation, **changed: Any) -> DelegationGranted:
    asked: dict[str, Any] = {
        "delegate": account("dee"),
        "node_and_above": {PROJECT_NODE, PORTFOLIO_NODE},
        "kind": ReviewKind.GATE,
        "value": MILLION,
        "day": FIRST,
    }
    return check_covers(state, **{**asked, **changed})


def refused(state: Delegation, expected: type[Refusal], **changed: Any) -> Refusal:
    with pytest.raises(expected) as raised:
        covers(state, **changed)
    return raised.value


def test_a_delegation_is_granted_once() -> None:
    delegation.given().when(GRANT).then(GRANTED)
    delegation.given(GRANTED).when(GRANT).then_nothing()


def test_granting_it_again_once_it_is_revoked_or_over_adds_nothing() -> None:
    delegation.given(GRANTED, REVOKED).when(GRANT).then_nothing()
    delegation.given(GRANTED).when(replace(GRANT, today=DAY_AFTER)).then_nothing()


def test_one_delegation_is_not_turned_into_another() -> None:
    refusal = delegation.given(GRANTED).when(replace(GRANT, last_day=FIRST)).then_refused(DelegationAlreadyGranted)
    assert refusal.facts == {"last_day": "2026-07-14 on record, 2026-07-01 given"}


def test_kinds_are_kept_once_each_and_in_one_order() -> None:
    kinds = (ReviewKind.CHANGE, ReviewKind.GATE, ReviewKind.CHANGE)
    delegation.given().when(replace(GRANT, kinds=kinds)).then(GRANTED)


def test_nobody_delegates_to_themselves_not_even_through_another_account() -> None:
    second = replace(GRANT, delegate=account("ana.second"), delegate_person=person("ana"))
    refusal = delegation.given().when(second).then_refused(DelegatesToOneself)
    assert refusal.facts == {"delegator": str(account("ana")), "delegate": str(account("ana.second"))}


def test_a_term_has_at_least_one_day() -> None:
    delegation.given().when(replace(GRANT, last_day=DAY_BEFORE)).then_refused(TermEndsBeforeItBegins)
    delegation.given().when(replace(GRANT, last_day=FIRST)).then(replace(GRANTED, last_day=FIRST))


def test_a_term_that_is_over_is_not_granted() -> None:
    refusal = delegation.given().when(replace(GRANT, today=DAY_AFTER)).then_refused(DelegationTermOver)
    assert refusal.facts == {"last_day": "2026-07-14", "today": "2026-07-15"}
    delegation.given().when(replace(GRANT, today=LAST)).then(GRANTED)


def test_a_limit_may_be_zero_and_not_below() -> None:
    delegation.given().when(replace(GRANT, limit=aud("0"))).then(replace(GRANTED, limit=aud("0")))
    refusal = delegation.given().when(replace(GRANT, limit=aud("-0.01"))).then_refused(LimitBelowZero)
    assert refusal.facts == {"limit": "-0.01 AUD"}


def test_a_delegation_is_revoked_once_whatever_the_reason() -> None:
    delegation.given(GRANTED).when(RevokeDelegation(account("pia"), "Back early.")).then(REVOKED)
    delegation.given(GRANTED, REVOKED).when(RevokeDelegation(account("ana"), "Another reason.")).then_nothing()


def test_what_was_never_granted_is_not_revoked() -> None:
    delegation.given().when(RevokeDelegation(account("pia"), "Back early.")).then_refused(DelegationNotKnown)


def test_it_covers_the_scope_up_to_the_limit_from_the_first_day_to_the_last() -> None:
    state = DELEGATION.fold([GRANTED])
    assert covers(state) == GRANTED
    assert covers(state, day=LAST, kind=ReviewKind.CHANGE, value=aud("0")) == GRANTED


def test_it_covers_nothing_before_its_first_day_and_after_its_last() -> None:
    state = DELEGATION.fold([GRANTED])
    for day in (DAY_BEFORE, DAY_AFTER):
        refusal = refused(state, DelegationNotInForce, day=day)
        assert refusal.facts == {"day": str(day), "first_day": "2026-07-01", "last_day": "2026-07-14"}


def test_it_covers_a_node_and_what_is_below_it_and_nothing_else() -> None:
    state = DELEGATION.fold([replace(GRANTED, node=PROJECT_NODE)])
    assert covers(state).node == PROJECT_NODE
    refusal = refused(state, DelegationOutOfScope, node_and_above={PORTFOLIO_NODE})
    assert refusal.facts == {"node": str(PROJECT_NODE)}


def test_it_covers_the_kinds_that_it_names_and_all_where_it_names_none() -> None:
    refusal = refused(DELEGATION.fold([GRANTED]), DelegationOutOfScope, kind=ReviewKind.BUDGET)
    assert refusal.facts == {"kind": "budget", "kinds": "gate, change"}
    any_kind = DELEGATION.fold([replace(GRANTED, kinds=())])
    assert {covers(any_kind, kind=kind).kinds for kind in ReviewKind} == {()}


def test_it_covers_no_value_above_its_limit() -> None:
    refusal = refused(DELEGATION.fold([GRANTED]), DelegationLimitExceeded, value=aud("1000000.01"))
    assert refusal.facts == {"value": "1000000.01 AUD", "limit": "1000000 AUD"}


def test_with_a_limit_it_covers_no_value_that_is_unknown_or_in_another_currency() -> None:
    state = DELEGATION.fold([GRANTED])
    unknown = refused(state, DelegationLimitNotComparable, value=None)
    assert unknown.facts == {"value": "unknown", "limit": "1000000 AUD"}
    foreign = refused(state, DelegationLimitNotComparable, value=Money(Decimal(1), "NZD"))
    assert foreign.facts == {"value": "1 NZD", "limit": "1000000 AUD"}


def test_without_a_limit_it_covers_every_value_and_one_that_is_unknown() -> None:
    granted = replace(GRANTED, limit=None)
    state = DELEGATION.fold([granted])
    for value in (None, aud("99999999999"), Money(Decimal(1), "NZD")):
        assert covers(state, value=value) == granted


def test_nobody_but_the_delegate_acts_under_it() -> None:
    refusal = refused(DELEGATION.fold([GRANTED]), NotTheDelegate, delegate=account("eve"))
    assert refusal.facts == {"delegate": str(account("dee")), "account": str(account("eve"))}


def test_a_revoked_one_covers_nothing() -> None:
    refusal = refused(DELEGATION.fold([GRANTED, REVOKED]), DelegationWasRevoked)
    assert refusal.facts == {"revoked_by": str(account("pia")), "reason": "Back early."}


def test_one_that_was_never_granted_covers_nothing() -> None:
    refused(DELEGATION.initial, DelegationNotKnown)


def test_it_is_found_from_both_accounts_and_its_node_also_when_it_is_revoked() -> None:
    links = {
        Link(DELEGATED_BY, account("ana")),
        Link(DELEGATED_TO, account("dee")),
        Link(DELEGATION_AT, PORTFOLIO_NODE),
    }
    assert DELEGATION.links(DELEGATION.initial) == frozenset()
    assert DELEGATION.links(DELEGATION.fold([GRANTED])) == links
    assert DELEGATION.links(DELEGATION.fold([GRANTED, REVOKED])) == links
