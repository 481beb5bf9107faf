"""A small aggregate that the kernel's tests decide on: a jar that takes coins up to a limit."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Final, assert_never
from uuid import UUID, uuid4

from govevents.catalogue import Catalogue
from govevents.event import event
from govevents.values import Code
from govkernel.domain import Aggregate, Deadline, Link, Refusal
from govkernel.ledger import Context


@event("testing", version=1)
class JarOpened:
    """A jar exists and takes coins up to a limit."""

    limit: int
    shelf: Code


@event("testing", version=1)
class CoinAdded:
    """A coin lies in the jar."""

    by: Code


@event("testing", version=1)
class JarClosed:
    """The jar takes no more."""

    reason: Code


Event = JarOpened | CoinAdded | JarClosed


@dataclass(frozen=True)
class Jar:
    limit: int = 0
    shelf: str = ""
    coins: tuple[str, ...] = ()
    closed: bool = False


@dataclass(frozen=True)
class OpenJar:
    limit: int
    shelf: str = "a"


@dataclass(frozen=True)
class AddCoin:
    by: str


@dataclass(frozen=True)
class CloseJar:
    reason: str


Command = OpenJar | AddCoin | CloseJar


class JarIsFull(Refusal):
    """The jar takes no more coins."""


class JarUnknown(Refusal):
    """There is no such jar."""


def decide(command: Command, jar: Jar) -> tuple[Event, ...]:
    match command:
        case OpenJar(limit=limit, shelf=shelf):
            return () if jar.limit else (JarOpened(limit, shelf),)
        case AddCoin(by=by):
            if not jar.limit:
                raise JarUnknown
            if by in jar.coins:
                return ()
            if len(jar.coins) >= jar.limit or jar.closed:
                raise JarIsFull(limit=str(jar.limit))
            return (CoinAdded(by),)
        case CloseJar(reason=reason):
            return () if jar.closed else (JarClosed(reason),)
        case _:
            assert_never(command)


def evolve(jar: Jar, happened: Event) -> Jar:
    match happened:
        case JarOpened(limit=limit, shelf=shelf):
            return replace(jar, limit=limit, shelf=shelf)
        case CoinAdded(by=by):
            return replace(jar, coins=(*jar.coins, by))
        case JarClosed():
            return replace(jar, closed=True)
        case _:
            assert_never(happened)


def links(jar: Jar) -> frozenset[Link]:
    return frozenset() if jar.closed or not jar.limit else frozenset({Link("open_on", UUID(int=ord(jar.shelf)))})


def deadlines(happened: Event) -> tuple[Deadline, ...]:
    match happened:
        case JarOpened(shelf="timed"):
            return (Deadline("close", datetime.now(UTC) - timedelta(seconds=1)),)
        case JarOpened(shelf=shelf) if shelf.startswith("until "):
            return (Deadline("close", datetime.fromisoformat(shelf.removeprefix("until "))),)
        case _:
            return ()


JAR: Final = Aggregate(
    "jar",
    Jar(),
    decide,
    evolve,
    deadlines=deadlines,
    on_deadline=lambda name, _now: CloseJar(name),
    links=lambda jar: frozenset() if len(jar.shelf) != 1 else links(jar),
    relied_on=True,
)

CATALOGUE: Final = Catalogue.of([JarOpened, CoinAdded, JarClosed])


def context(command: UUID | None = None, *, of: str = "", now: datetime | None = None) -> Context:
    now = now or datetime.now(UTC)
    return Context(
        command=command or uuid4(),
        digest=sha256(of.encode()).digest(),
        actor="service:testing",
        now=now,
        time=now,
        correlation="test",
    )
