"""A programme: a node between a portfolio and its projects, which may be moved and keeps its history."""

from dataclasses import dataclass, replace
from typing import Final, TypeAlias, assert_never
from uuid import uuid5

from govevents.projects import ProgrammeMoved, ProgrammeRegistered
from govkernel.domain import Aggregate, Name, NodeId, NotKnownYet, PortfolioId, ProgrammeId, Refusal, differences
from projects.domain.portfolio import check_parent


@dataclass(frozen=True, slots=True)
class Unregistered:
    """Nothing is known under this id."""


@dataclass(frozen=True, slots=True)
class Registered:
    """The programme exists and stands below `parent`."""

    registered: ProgrammeRegistered
    parent: NodeId


Programme: TypeAlias = Unregistered | Registered


@dataclass(frozen=True, slots=True)
class RegisterProgramme:
    """Register a programme below a node; `parent_portfolio` is that node's portfolio, None where it isn't known."""

    portfolio: PortfolioId
    parent: NodeId
    parent_portfolio: PortfolioId | None
    name: Name


@dataclass(frozen=True, slots=True)
class MoveProgramme:
    """Put a programme below another node, whose own ancestors, up to the portfolio, are `parent_ancestors`."""

    programme: ProgrammeId
    parent: NodeId
    parent_portfolio: PortfolioId | None
    parent_ancestors: tuple[NodeId, ...]


Command: TypeAlias = RegisterProgramme | MoveProgramme
Event: TypeAlias = ProgrammeRegistered | ProgrammeMoved


class ProgrammeNotKnown(NotKnownYet):
    """No programme is known under this id."""


class ProgrammeAlreadyRegistered(Refusal):
    """The programme is already registered, with other particulars."""


class ProgrammeBelowItself(Refusal):
    """A programme can't stand below itself, nor below anything that stands below it."""


def decide(command: Command, programme: Programme) -> tuple[Event, ...]:
    """What follows from a command; the refusals are those above and `check_parent`'s."""
    match command:
        case RegisterProgramme():
            registered = ProgrammeRegistered(command.portfolio, command.parent, command.name)
            match programme:
                case Unregistered():
                    check_parent(command.portfolio, command.parent, command.parent_portfolio)
                    return (registered,)
                case Registered(registered=before) if before == registered:
                    return ()
                case Registered(registered=before):
                    raise ProgrammeAlreadyRegistered(**differences(before, registered))
                case _:
                    assert_never(programme)
        case MoveProgramme():
            match programme:
                case Unregistered():
                    raise ProgrammeNotKnown
                case Registered(parent=parent) if parent == command.parent:
                    return ()
                case Registered(registered=before):
                    check_parent(before.portfolio, command.parent, command.parent_portfolio)
                    if command.programme in (command.parent, *command.parent_ancestors):
                        raise ProgrammeBelowItself(programme=str(command.programme), parent=str(command.parent))
                    return (ProgrammeMoved(before.portfolio, command.parent),)
                case _:
                    assert_never(programme)
        case _:
            assert_never(command)


def evolve(programme: Programme, event: Event) -> Programme:
    """The programme after an event."""
    match event:
        case ProgrammeRegistered(parent=parent):
            return Registered(event, parent)
        case ProgrammeMoved(parent=parent):
            assert isinstance(programme, Registered)
            return replace(programme, parent=parent)
        case _:
            assert_never(event)


PROGRAMME: Final[Aggregate[Programme, Command, Event]] = Aggregate(
    "programme", Unregistered(), decide, evolve, relied_on=True
)


def stream_of(portfolio: PortfolioId, name: Name) -> ProgrammeId:
    """The programme's id: its name is unique within its portfolio, so the same programme can't be registered twice."""
    # A namespace of its own, for projects' ids are made of their references directly below the portfolio's.
    return ProgrammeId(uuid5(uuid5(portfolio, "programme"), name))
