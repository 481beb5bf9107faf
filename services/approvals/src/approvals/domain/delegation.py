"""A delegation of authority: one person lets another speak for their seats, within a scope, a limit and a term."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import date
from typing import Final, TypeAlias, assert_never

from approvals.domain.body import check_term
from govevents.approvals import DelegationGranted, DelegationRevoked, ReviewKind
from govkernel.domain import (
    Aggregate,
    Link,
    Money,
    NodeId,
    NotKnownYet,
    PersonId,
    Refusal,
    SubjectId,
    Text,
    differences,
)

DELEGATED_BY: Final = "delegated_by"
"""The link from an account to the delegations that it has granted."""
DELEGATED_TO: Final = "delegated_to"
"""The link from an account to the delegations that were granted to it."""
DELEGATION_AT: Final = "delegation_at"
"""The link from a node to the delegations that speak of it."""


@dataclass(frozen=True, slots=True)
class NotGranted:
    """Nothing is known under this id."""


@dataclass(frozen=True, slots=True)
class Granted:
    """The delegation holds during its term."""

    granted: DelegationGranted


@dataclass(frozen=True, slots=True)
class Revoked:
    """The delegation holds no longer."""

    granted: DelegationGranted
    revoked: DelegationRevoked


Delegation: TypeAlias = NotGranted | Granted | Revoked


@dataclass(frozen=True, slots=True)
class GrantDelegation:
    """Let another person speak for one's seats at a node and all below it, from the first day to the last.

    `kinds` are the kinds of review that it covers, all where there are none. It covers values up to `limit`, inclusive;
    None is without limit. `today` is the day where the node's portfolio is.
    """

    delegator: SubjectId
    delegator_person: PersonId
    delegate: SubjectId
    delegate_person: PersonId
    node: NodeId
    kinds: tuple[ReviewKind, ...]
    limit: Money | None
    first_day: date
    last_day: date
    reason: Text
    today: date


@dataclass(frozen=True, slots=True)
class RevokeDelegation:
    """Take a delegation back, at once."""

    revoked_by: SubjectId
    reason: Text


Command: TypeAlias = GrantDelegation | RevokeDelegation
Event: TypeAlias = DelegationGranted | DelegationRevoked


class DelegationNotKnown(NotKnownYet):
    """No delegation is known under this id."""


class DelegationAlreadyGranted(Refusal):
    """The delegation is granted already, with other particulars; revoke it and grant another."""


class DelegatesToOneself(Refusal):
    """Both accounts are one natural person's, who needs no delegation from themselves."""


class DelegationTermOver(Refusal):
    """The last day of the term is past, so the delegation would never hold."""


class LimitBelowZero(Refusal):
    """A limit is not below zero, for it would cover nothing."""


class DelegationWasRevoked(Refusal):
    """The delegation was revoked and covers nothing any more."""


class DelegationNotInForce(Refusal):
    """The day lies outside the delegation's term."""


class NotTheDelegate(Refusal):
    """The delegation is another account's."""


class DelegationOutOfScope(Refusal):
    """The delegation covers neither this project nor a node above it, or another kind of review."""


class DelegationLimitExceeded(Refusal):
    """The value lies above the delegation's limit."""


class DelegationLimitNotComparable(Refusal):
    """The delegation has a limit, and the value is unknown or in another currency."""


def decide(command: Command, delegation: Delegation) -> tuple[Event, ...]:
    """What follows from a command; the refusals are those above and `check_term`'s."""
    match command:
        case GrantDelegation():
            granted = _granted(command)
            match delegation:
                case NotGranted():
                    _check(command)
                    return (granted,)
                case Granted(granted=before) | Revoked(granted=before) if before == granted:
                    return ()
                case Granted(granted=before) | Revoked(granted=before):
                    raise DelegationAlreadyGranted(**differences(before, granted))
                case _:
                    assert_never(delegation)
        case RevokeDelegation(revoked_by=revoked_by, reason=reason):
            match delegation:
                case NotGranted():
                    raise DelegationNotKnown
                case Granted(granted=before):
                    return (DelegationRevoked(before.delegator, before.delegate, before.node, revoked_by, reason),)
                case Revoked():
                    return ()
                case _:
                    assert_never(delegation)
        case _:
            assert_never(command)


def _granted(command: GrantDelegation) -> DelegationGranted:
    return DelegationGranted(
        delegator=command.delegator,
        delegator_person=command.delegator_person,
        delegate=command.delegate,
        delegate_person=command.delegate_person,
        node=command.node,
        kinds=tuple(kind for kind in ReviewKind if kind in command.kinds),
        limit=command.limit,
        first_day=command.first_day,
        last_day=command.last_day,
        reason=command.reason,
    )


def _check(command: GrantDelegation) -> None:
    if command.delegator_person == command.delegate_person:
        raise DelegatesToOneself(delegator=str(command.delegator), delegate=str(command.delegate))
    check_term(command.first_day, command.last_day)
    if command.last_day < command.today:
        raise DelegationTermOver(last_day=str(command.last_day), today=str(command.today))
    if command.limit is not None and command.limit.amount < 0:
        raise LimitBelowZero(limit=_money(command.limit))


def evolve(delegation: Delegation, event: Event) -> Delegation:
    """The delegation after an event."""
    match event:
        case DelegationGranted():
            return Granted(event)
        case DelegationRevoked():
            assert isinstance(delegation, Granted)
            return Revoked(delegation.granted, event)
        case _:
            assert_never(event)


def check_covers(
    delegation: Delegation,
    *,
    delegate: SubjectId,
    node_and_above: Collection[NodeId],
    kind: ReviewKind,
    value: Money | None,
    day: date,
) -> DelegationGranted:
    """The grant by which an account speaks for its delegator's own seat, and for no other, in a review on a day.

    `node_and_above` are the review's project and all nodes above it, `value` is what is at stake, None where that is
    unknown; `day` is the portfolio's. Raises DelegationNotKnown, DelegationWasRevoked, NotTheDelegate,
    DelegationNotInForce, DelegationOutOfScope, DelegationLimitNotComparable or DelegationLimitExceeded.
    """
    match delegation:
        case NotGranted():
            raise DelegationNotKnown
        case Revoked(revoked=revoked):
            raise DelegationWasRevoked(revoked_by=str(revoked.revoked_by), reason=revoked.reason)
        case Granted(granted=granted):
            if granted.delegate != delegate:
                raise NotTheDelegate(delegate=str(granted.delegate), account=str(delegate))
            if not granted.first_day <= day <= granted.last_day:
                raise DelegationNotInForce(
                    day=str(day), first_day=str(granted.first_day), last_day=str(granted.last_day)
                )
            if granted.node not in node_and_above:
                raise DelegationOutOfScope(
                    "The delegation covers neither this project nor a node above it.", node=str(granted.node)
                )
            if granted.kinds and kind not in granted.kinds:
                raise DelegationOutOfScope(
                    f"The delegation does not cover reviews of kind {kind.value}.",
                    kind=kind.value,
                    kinds=", ".join(each.value for each in granted.kinds),
                )
            if granted.limit is not None:
                _check_limit(value, granted.limit)
            return granted
        case _:
            assert_never(delegation)


def _check_limit(value: Money | None, limit: Money) -> None:
    if value is None or value.currency != limit.currency:
        raise DelegationLimitNotComparable(value=_money(value) if value else "unknown", limit=_money(limit))
    if value.amount > limit.amount:
        raise DelegationLimitExceeded(value=_money(value), limit=_money(limit))


def _money(money: Money) -> str:
    return f"{money.amount} {money.currency}"


def _links(delegation: Delegation) -> frozenset[Link]:
    match delegation:
        case NotGranted():
            return frozenset()
        case Granted(granted=granted) | Revoked(granted=granted):
            # A revoked one stays in the register, beside the votes that were cast under it.
            return frozenset(
                {
                    Link(DELEGATED_BY, granted.delegator),
                    Link(DELEGATED_TO, granted.delegate),
                    Link(DELEGATION_AT, granted.node),
                }
            )
        case _:
            assert_never(delegation)


DELEGATION: Final[Aggregate[Delegation, Command, Event]] = Aggregate(
    "delegation", NotGranted(), decide, evolve, links=_links, relied_on=True
)
