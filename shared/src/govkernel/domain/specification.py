"""Given these events, when this command, then these events or that refusal: how deciders are tested."""

from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from govkernel.domain.aggregate import Aggregate
from govkernel.domain.refusals import Refusal

State = TypeVar("State")
Command = TypeVar("Command")
Event = TypeVar("Event")


@dataclass(frozen=True, slots=True)
class Decided(Generic[State, Command, Event]):
    """What a decider answered, to be compared with what was expected."""

    aggregate: Aggregate[State, Command, Event]
    state: State
    command: Command
    events: tuple[Event, ...] | None
    refusal: Refusal | None

    def then(self, *expected: Event) -> None:
        """Exactly these events, in this order."""
        if self.refusal is not None:
            raise AssertionError(f"{self.command} was refused: {self.refusal!r}") from self.refusal
        assert self.events == expected, f"\n  decided  {self.events}\n  expected {expected}"

    def then_nothing(self) -> None:
        """No event: there was nothing to add."""
        self.then()

    def then_refused(self, expected: type[Refusal]) -> Refusal:
        """Refused with exactly this name; the refusal is given back for a look at its facts."""
        assert self.refusal is not None, f"{self.command} was not refused but gave {self.events}"
        assert type(self.refusal) is expected, f"refused as {self.refusal!r}, not as {expected.__name__}"
        return self.refusal

    def then_state(self) -> State:
        """The state after the decision."""
        assert self.events is not None, f"{self.command} was refused: {self.refusal!r}"
        state = self.state
        for event in self.events:
            state = self.aggregate.evolve(state, event)
        return state


@dataclass(frozen=True, slots=True)
class Given(Generic[State, Command, Event]):
    """A state, made from events."""

    aggregate: Aggregate[State, Command, Event]
    state: State

    def when(self, *commands: Command) -> Decided[State, Command, Event]:
        """The last command's decision; the ones before it must succeed."""
        state = self.state
        for command in commands[:-1]:
            for event in self.aggregate.decide(command, state):
                state = self.aggregate.evolve(state, event)
        try:
            events = tuple(self.aggregate.decide(commands[-1], state))
        except Refusal as refusal:
            return Decided(self.aggregate, state, commands[-1], None, refusal)
        return Decided(self.aggregate, state, commands[-1], events, None)


@dataclass(frozen=True, slots=True)
class Specification(Generic[State, Command, Event]):
    """The tests' way into an aggregate: `review.given(...).when(...).then(...)`."""

    aggregate: Aggregate[State, Command, Event]

    def given(self, *events: Any) -> Given[State, Command, Event]:
        """A stream with these events, oldest first."""
        return Given(self.aggregate, self.aggregate.fold(events))
