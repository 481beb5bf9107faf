"""A role assignment: that an account has a role at a node of the portfolio, and so at all below it, for a term."""

from dataclasses import dataclass
from datetime import date
from typing import Final, TypeAlias, assert_never
from uuid import UUID, uuid5

from approvals.domain.body import check_term
from govevents.approvals import Role, RoleAssigned, RoleRevoked
from govkernel.domain import Aggregate, Link, NodeId, NotKnownYet, PersonId, Refusal, SubjectId, Text

ROLE_AT: Final = "role_at"
"""The link from a node to the assignments that hold there."""


@dataclass(frozen=True, slots=True)
class Unassigned:
    """Nothing is known under this id."""


@dataclass(frozen=True, slots=True)
class Assigned:
    """The account has the role during the term."""

    assigned: RoleAssigned


@dataclass(frozen=True, slots=True)
class Revoked:
    """The account has the role no longer; `assigned` is how it last had it."""

    assigned: RoleAssigned


RoleAssignment: TypeAlias = Unassigned | Assigned | Revoked


@dataclass(frozen=True, slots=True)
class AssignRole:
    """Give an account a role at a node, from the first day to the last, both included; a new term replaces the old."""

    holder: SubjectId
    person: PersonId
    role: Role
    node: NodeId
    first_day: date
    last_day: date | None


@dataclass(frozen=True, slots=True)
class RevokeRole:
    """Take the role back, at once."""

    reason: Text


Command: TypeAlias = AssignRole | RevokeRole
Event: TypeAlias = RoleAssigned | RoleRevoked


class RoleNotAssigned(NotKnownYet):
    """The account has never had this role at this node."""


class AccountOfAnotherPerson(Refusal):
    """The account belongs to another natural person, and an account never changes hands."""


def decide(command: Command, assignment: RoleAssignment) -> tuple[Event, ...]:
    """What follows from a command; the refusals are those above and `check_term`'s."""
    match command:
        case AssignRole():
            check_term(command.first_day, command.last_day)
            assigned = RoleAssigned(
                command.holder, command.person, command.role, command.node, command.first_day, command.last_day
            )
            match assignment:
                case Unassigned():
                    return (assigned,)
                case Assigned(assigned=before) if before == assigned:
                    return ()
                case Assigned(assigned=before) | Revoked(assigned=before):
                    if before.person != assigned.person:
                        raise AccountOfAnotherPerson(person=str(before.person))
                    return (assigned,)
                case _:
                    assert_never(assignment)
        case RevokeRole(reason=reason):
            match assignment:
                case Unassigned():
                    raise RoleNotAssigned
                case Assigned(assigned=held):
                    return (RoleRevoked(held.holder, held.role, held.node, reason),)
                case Revoked():
                    return ()
                case _:
                    assert_never(assignment)
        case _:
            assert_never(command)


def evolve(assignment: RoleAssignment, event: Event) -> RoleAssignment:
    """The assignment after an event."""
    match event:
        case RoleAssigned():
            return Assigned(event)
        case RoleRevoked():
            assert isinstance(assignment, Assigned)
            return Revoked(assignment.assigned)
        case _:
            assert_never(event)


def held(assignment: RoleAssignment, day: date) -> RoleAssigned | None:
    """What the account holds by this assignment on a day, None for nothing."""
    match assignment:
        case Assigned(assigned=assigned) if assigned.first_day <= day <= (assigned.last_day or date.max):
            return assigned
        case Unassigned() | Assigned() | Revoked():
            return None
        case _:
            assert_never(assignment)


def _links(assignment: RoleAssignment) -> frozenset[Link]:
    match assignment:
        case Assigned(assigned=assigned):
            return frozenset({Link(ROLE_AT, assigned.node)})
        case Unassigned() | Revoked():
            return frozenset()
        case _:
            assert_never(assignment)


ROLE_ASSIGNMENT: Final[Aggregate[RoleAssignment, Command, Event]] = Aggregate(
    "role_assignment", Unassigned(), decide, evolve, links=_links, relied_on=True
)


def stream_of(node: NodeId, role: Role, holder: SubjectId) -> UUID:
    """The assignment's id: an account has a role at a node once."""
    return uuid5(node, f"role/{role.value}/{holder}")
