"""The decorator that makes a class a domain event."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar, dataclass_transform

from govevents.values import checked

T = TypeVar("T")


@dataclass(frozen=True)
class EventType:
    """A domain event's name, `<service>.<Event>`, and the version of its meaning, from 1."""

    service: str
    name: str
    version: int

    @cached_property
    def full_name(self) -> str:
        """The type as CloudEvents carries it, for example `approvals.VoteCast`."""
        return f"{self.service}.{self.name}"

    @cached_property
    def dataschema(self) -> str:
        """The URI of the released schema; it ends in type and version."""
        return f"urn:gatehouse:schema:{self.full_name}:{self.version}"


@dataclass_transform(frozen_default=True)
def event(service: str, *, version: int) -> Callable[[type[T]], type[T]]:
    """Declare a domain event of a service.

    The class becomes a frozen, slotted dataclass that refuses bad values when it is made, and knows its `event_type`.
    """

    def declare(cls: type[T]) -> type[T]:
        if not (cls.__doc__ or "").strip():
            raise TypeError(f"{cls.__name__}: an event says in its docstring what has happened")
        made = checked(cls)
        made.__event_type__ = EventType(service, cls.__name__, version)  # type: ignore[attr-defined]
        return made

    return declare


def event_type(event_or_class: object) -> EventType:
    """The declared type of an event or of its class. Raises TypeError for anything else."""
    declared = getattr(event_or_class, "__event_type__", None)
    if not isinstance(declared, EventType):
        raise TypeError(f"{event_or_class!r} is no domain event: declare it with @event")
    return declared
