"""Tallies of what lies in jars: another service's streams, moved by nothing but the events of jars."""

from dataclasses import dataclass, replace
from typing import Final, assert_never
from uuid import NAMESPACE_URL, UUID, uuid5

from govevents.event import event
from govevents.values import Code
from govkernel.domain import Aggregate, Link, NotKnownYet

NOTED: Final = "policy_noted"
REWARDED_EVERY: Final = 3


@event("tallies", version=1)
class PolicyNoted:
    """A policy of jars is known here."""

    policy: UUID
    cause: Code


@dataclass(frozen=True)
class NotePolicy:
    policy: UUID
    cause: str


@dataclass(frozen=True)
class Note:
    policies: tuple[UUID, ...] = ()


def decide_note(command: NotePolicy, _note: Note) -> tuple[PolicyNoted, ...]:
    return (PolicyNoted(command.policy, command.cause),)


def evolve_note(note: Note, happened: PolicyNoted) -> Note:
    return replace(note, policies=(*note.policies, happened.policy))


NOTE: Final = Aggregate(
    "note",
    Note(),
    decide_note,
    evolve_note,
    links=lambda note: frozenset(Link(NOTED, policy) for policy in note.policies),
)


@event("tallies", version=1)
class TallyOpened:
    """A jar's coins are counted here."""

    jar: UUID
    cause: Code


@event("tallies", version=1)
class CoinCounted:
    """A coin was counted; `number` is how many there are now."""

    cause: Code
    number: int


@event("tallies", version=1)
class TallyReached:
    """So many coins are rewarded."""

    jar: UUID
    number: int


TallyEvent = TallyOpened | CoinCounted | TallyReached


@dataclass(frozen=True)
class Tally:
    jar: UUID | None = None
    number: int = 0


@dataclass(frozen=True)
class OpenTally:
    jar: UUID
    cause: str


@dataclass(frozen=True)
class CountCoin:
    cause: str


TallyCommand = OpenTally | CountCoin


class TallyUnknown(NotKnownYet):
    """There is no tally of this jar."""


def decide_tally(command: TallyCommand, tally: Tally) -> tuple[TallyEvent, ...]:
    match command:
        case OpenTally(jar=jar, cause=cause):
            return (TallyOpened(jar, cause),)
        case CountCoin(cause=cause):
            if tally.jar is None:
                raise TallyUnknown
            number = tally.number + 1
            counted = CoinCounted(cause, number)
            return (counted, TallyReached(tally.jar, number)) if number % REWARDED_EVERY == 0 else (counted,)
        case _:
            assert_never(command)


def evolve_tally(tally: Tally, happened: TallyEvent) -> Tally:
    match happened:
        case TallyOpened(jar=jar):
            return replace(tally, jar=jar)
        case CoinCounted(number=number):
            return replace(tally, number=number)
        case TallyReached():
            return tally
        case _:
            assert_never(happened)


TALLY: Final = Aggregate("tally", Tally(), decide_tally, evolve_tally)


def mirror_of(stream: UUID) -> UUID:
    """The stream here that follows a stream of jars."""
    return uuid5(NAMESPACE_URL, f"urn:gatehouse:faults:mirror:{stream}")


EVENTS: Final = (PolicyNoted, TallyOpened, CoinCounted, TallyReached)
