"""Jars that take coins up to a limit, under policies that say how large a coin may be: what the load decides on.

What a domain should not do is done here on purpose: the commands of timers and reactions add an event however often
they come, so that doing them twice shows.
"""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final, assert_never
from uuid import UUID

from govevents.event import event
from govevents.values import Code
from govkernel.domain import Aggregate, Deadline, NotKnownYet, Refusal

RING: Final = "ring"


@event("jars", version=1)
class PolicyOpened:
    """A policy says how large a coin may be."""

    largest: int


@event("jars", version=1)
class PolicyChanged:
    """From now on coins may be as large as this."""

    largest: int


@event("jars", version=1)
class PolicyClosed:
    """Under this policy no more coins are taken."""

    reason: Code


PolicyEvent = PolicyOpened | PolicyChanged | PolicyClosed


@dataclass(frozen=True)
class Policy:
    largest: int = 0
    closed: bool = False


@dataclass(frozen=True)
class OpenPolicy:
    largest: int


@dataclass(frozen=True)
class ChangePolicy:
    largest: int


@dataclass(frozen=True)
class ClosePolicy:
    reason: str


PolicyCommand = OpenPolicy | ChangePolicy | ClosePolicy


class PolicyUnknown(NotKnownYet):
    """There is no such policy."""


class PolicyShut(Refusal):
    """The policy takes no more coins."""


def decide_policy(command: PolicyCommand, policy: Policy) -> tuple[PolicyEvent, ...]:
    match command:
        case OpenPolicy(largest=largest):
            return () if policy.largest else (PolicyOpened(largest),)
        case ChangePolicy(largest=largest):
            if not policy.largest:
                raise PolicyUnknown
            if policy.closed:
                raise PolicyShut
            return () if policy.largest == largest else (PolicyChanged(largest),)
        case ClosePolicy(reason=reason):
            if not policy.largest:
                raise PolicyUnknown
            return () if policy.closed else (PolicyClosed(reason),)
        case _:
            assert_never(command)


def evolve_policy(policy: Policy, happened: PolicyEvent) -> Policy:
    match happened:
        case PolicyOpened(largest=largest) | PolicyChanged(largest=largest):
            return replace(policy, largest=largest)
        case PolicyClosed():
            return replace(policy, closed=True)
        case _:
            assert_never(happened)


POLICY: Final = Aggregate("policy", Policy(), decide_policy, evolve_policy, relied_on=True)


@event("jars", version=1)
class JarOpened:
    """A jar exists, takes so many coins under a policy, and rings once."""

    limit: int
    policy: UUID
    rings_at: datetime


@event("jars", version=1)
class CoinAdded:
    """A coin lies in the jar: its policy, at that version, allowed it."""

    by: Code
    amount: int
    policy: UUID
    policy_version: int


@event("jars", version=1)
class JarClosed:
    """The jar takes no more."""

    reason: Code


@event("jars", version=1)
class JarRang:
    """The jar's time came."""

    name: Code


@event("jars", version=1)
class JarRewarded:
    """The tally of this jar has reached what is rewarded."""

    cause: Code


JarEvent = JarOpened | CoinAdded | JarClosed | JarRang | JarRewarded


@dataclass(frozen=True)
class Jar:
    limit: int = 0
    policy: UUID | None = None
    coins: tuple[str, ...] = ()
    total: int = 0
    closed: bool = False
    rung: int = 0
    rewards: int = 0


@dataclass(frozen=True)
class OpenJar:
    limit: int
    policy: UUID
    rings_at: datetime


@dataclass(frozen=True)
class AddCoin:
    """A coin, and what its policy says at the version that the decision relies on."""

    by: str
    amount: int
    policy: UUID
    policy_version: int
    allowed: Policy


@dataclass(frozen=True)
class CloseJar:
    reason: str


@dataclass(frozen=True)
class Ring:
    name: str


@dataclass(frozen=True)
class RewardJar:
    cause: str


JarCommand = OpenJar | AddCoin | CloseJar | Ring | RewardJar


class JarUnknown(NotKnownYet):
    """There is no such jar."""


class JarFull(Refusal):
    """The jar takes no more coins than its limit."""


class JarShut(Refusal):
    """The jar is closed."""


class CoinTooLarge(Refusal):
    """The policy does not allow a coin of this size."""


def decide_jar(command: JarCommand, jar: Jar) -> tuple[JarEvent, ...]:
    match command:
        case OpenJar(limit=limit, policy=policy, rings_at=rings_at):
            return () if jar.limit else (JarOpened(limit, policy, rings_at),)
        case AddCoin(by=by, amount=amount, policy=policy, policy_version=version, allowed=allowed):
            if not jar.limit:
                raise JarUnknown
            if jar.closed:
                raise JarShut
            if by in jar.coins:
                return ()
            if len(jar.coins) >= jar.limit:
                raise JarFull(limit=str(jar.limit))
            if allowed.closed:
                raise PolicyShut
            if amount > allowed.largest:
                raise CoinTooLarge(largest=str(allowed.largest))
            return (CoinAdded(by, amount, policy, version),)
        case CloseJar(reason=reason):
            if not jar.limit:
                raise JarUnknown
            return () if jar.closed else (JarClosed(reason),)
        case Ring(name=name):
            return (JarRang(name),)
        case RewardJar(cause=cause):
            return (JarRewarded(cause),)
        case _:
            assert_never(command)


def evolve_jar(jar: Jar, happened: JarEvent) -> Jar:
    match happened:
        case JarOpened(limit=limit, policy=policy):
            return replace(jar, limit=limit, policy=policy)
        case CoinAdded(by=by, amount=amount):
            return replace(jar, coins=(*jar.coins, by), total=jar.total + amount)
        case JarClosed():
            return replace(jar, closed=True)
        case JarRang():
            return replace(jar, rung=jar.rung + 1)
        case JarRewarded():
            return replace(jar, rewards=jar.rewards + 1)
        case _:
            assert_never(happened)


def deadlines(happened: JarEvent) -> tuple[Deadline, ...]:
    return (Deadline(RING, happened.rings_at),) if isinstance(happened, JarOpened) else ()


JAR: Final = Aggregate(
    "jar", Jar(), decide_jar, evolve_jar, deadlines=deadlines, on_deadline=lambda name, _now: Ring(name)
)


@event("jars", version=1)
class PurseFilled:
    """A coin of the mint has come into this purse."""

    cause: Code
    number: int


@dataclass(frozen=True)
class FillPurse:
    cause: str


def decide_purse(command: FillPurse, filled: int) -> tuple[PurseFilled, ...]:
    return (PurseFilled(command.cause, filled + 1),)


def evolve_purse(filled: int, _happened: PurseFilled) -> int:
    return filled + 1


PURSE: Final = Aggregate("purse", 0, decide_purse, evolve_purse)

EVENTS: Final = (
    PolicyOpened,
    PolicyChanged,
    PolicyClosed,
    JarOpened,
    CoinAdded,
    JarClosed,
    JarRang,
    JarRewarded,
    PurseFilled,
)
