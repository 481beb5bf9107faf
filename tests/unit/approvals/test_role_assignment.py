from dataclasses import replace
from datetime import date

from tests.unit.approvals.people import PORTFOLIO_NODE, PROJECT_NODE, account, person

from approvals.domain.body import TermEndsBeforeItBegins
from approvals.domain.role_assignment import (
    ROLE_ASSIGNMENT,
    ROLE_AT,
    AccountOfAnotherPerson,
    AssignRole,
    RevokeRole,
    RoleNotAssigned,
    held,
    stream_of,
)
from govevents.approvals import Role, RoleAssigned, RoleRevoked
from govkernel.domain import Link, Specification

assignment = Specification(ROLE_ASSIGNMENT)

FIRST, LAST = date(2026, 1, 1), date(2026, 6, 30)
ASSIGN = AssignRole(account("bo"), person("bo"), Role.APPROVER, PORTFOLIO_NODE, FIRST, LAST)
ASSIGNED = RoleAssigned(account("bo"), person("bo"), Role.APPROVER, PORTFOLIO_NODE, FIRST, LAST)
REVOKED = RoleRevoked(account("bo"), Role.APPROVER, PORTFOLIO_NODE, "moved on")


def test_a_role_is_assigned_once() -> None:
    assignment.given().when(ASSIGN).then(ASSIGNED)
    assignment.given(ASSIGNED).when(ASSIGN).then_nothing()


def test_a_new_term_replaces_the_old_one() -> None:
    prolonged = replace(ASSIGNED, last_day=None)
    assignment.given(ASSIGNED).when(replace(ASSIGN, last_day=None)).then(prolonged)
    assert held(ROLE_ASSIGNMENT.fold([ASSIGNED, prolonged]), date(2030, 1, 1)) == prolonged


def test_a_term_has_at_least_one_day() -> None:
    assignment.given().when(replace(ASSIGN, last_day=date(2025, 12, 31))).then_refused(TermEndsBeforeItBegins)


def test_an_account_never_changes_hands() -> None:
    refusal = assignment.given(ASSIGNED).when(replace(ASSIGN, person=person("cy"))).then_refused(AccountOfAnotherPerson)
    assert refusal.facts == {"person": str(person("bo"))}
    assignment.given(ASSIGNED, REVOKED).when(replace(ASSIGN, person=person("cy"))).then_refused(AccountOfAnotherPerson)


def test_a_role_is_revoked_once_and_can_be_given_back() -> None:
    assignment.given(ASSIGNED).when(RevokeRole("moved on")).then(REVOKED)
    assignment.given(ASSIGNED, REVOKED).when(RevokeRole("moved on")).then_nothing()
    assignment.given(ASSIGNED, REVOKED).when(ASSIGN).then(ASSIGNED)


def test_a_role_that_was_never_assigned_is_not_revoked() -> None:
    assignment.given().when(RevokeRole("moved on")).then_refused(RoleNotAssigned)


def test_a_role_is_held_from_the_first_day_to_the_last_and_not_after_it_was_revoked() -> None:
    state = ROLE_ASSIGNMENT.fold([ASSIGNED])
    assert [held(state, day) for day in (FIRST, LAST)] == [ASSIGNED, ASSIGNED]
    assert [held(state, day) for day in (date(2025, 12, 31), date(2026, 7, 1))] == [None, None]
    assert held(ROLE_ASSIGNMENT.fold([ASSIGNED, REVOKED]), FIRST) is None
    assert held(ROLE_ASSIGNMENT.initial, FIRST) is None


def test_an_assignment_is_found_from_its_node_while_it_holds() -> None:
    assert ROLE_ASSIGNMENT.links(ROLE_ASSIGNMENT.fold([ASSIGNED])) == {Link(ROLE_AT, PORTFOLIO_NODE)}
    assert ROLE_ASSIGNMENT.links(ROLE_ASSIGNMENT.fold([ASSIGNED, REVOKED])) == frozenset()
    assert ROLE_ASSIGNMENT.links(ROLE_ASSIGNMENT.initial) == frozenset()


def test_each_role_of_each_account_at_each_node_is_an_assignment_of_its_own() -> None:
    own = stream_of(PORTFOLIO_NODE, Role.APPROVER, account("bo"))
    others = {
        stream_of(PROJECT_NODE, Role.APPROVER, account("bo")),
        stream_of(PORTFOLIO_NODE, Role.SPONSOR, account("bo")),
        stream_of(PORTFOLIO_NODE, Role.APPROVER, account("cy")),
    }
    assert len({own, *others}) == 4
