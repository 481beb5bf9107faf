"""An aggregate as the ledger needs it: how it starts, decides, evolves, and what it asks of timers and look-ups."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeVar
from uuid import UUID

State = TypeVar("State")
Command = TypeVar("Command")
Event = TypeVar("Event")


@dataclass(frozen=True, slots=True)
class Deadline:
    """Something is due for a stream: at `due` the aggregate's `on_deadline` gets `name`."""

    name: str
    due: datetime


@dataclass(frozen=True, slots=True)
class Link:
    """A stream is to be found by another's id, for as long as its state says so: `kind` says what it is to it."""

    kind: str
    target: UUID


def _no_deadlines(_event: Any) -> tuple[Deadline, ...]:
    return ()


def _no_links(_state: Any) -> frozenset[Link]:
    return frozenset()


@dataclass(frozen=True, slots=True)
class Aggregate(Generic[State, Command, Event]):
    """One kind of stream.

    `decide(command, state)` returns events, or none where there is nothing to add, or raises a Refusal; who and when
    arrive with the command. `evolve(state, event)` never refuses. `deadlines` names the timers that an event sets;
    `on_deadline(name, now)` makes the command that a due timer fires. `links` says by what a state can be found.
    `relied_on` is declared where decisions on other streams rest on this kind: its writers then lock against them.
    """

    name: str
    initial: State
    decide: Callable[[Command, State], tuple[Event, ...]]
    evolve: Callable[[State, Event], State]
    deadlines: Callable[[Event], tuple[Deadline, ...]] = _no_deadlines
    on_deadline: Callable[[str, datetime], Command] | None = None
    links: Callable[[State], frozenset[Link]] = _no_links
    relied_on: bool = False

    def fold(self, events: Iterable[Event]) -> State:
        """The state that these events make, from the beginning."""
        state = self.initial
        for event in events:
            state = self.evolve(state, event)
        return state
