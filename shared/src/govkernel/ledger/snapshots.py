"""Snapshots of long streams: a folded state, kept so that a stream is not read from its beginning again.

A snapshot is a convenience, never a source. It belongs to the code that folded it and to the hash of the event that it
was taken at; where either is another, where it can't be read, or where it would not be read back as it was, the stream
is folded from its events.
"""

import inspect
import sys
from functools import cache, cached_property
from hashlib import sha256
from typing import Any, Final, Generic, TypeVar, get_args, get_type_hints

from pydantic import TypeAdapter, ValidationError
from pydantic_core import PydanticSerializationError

from govkernel.domain.aggregate import Aggregate

State = TypeVar("State")

EVERY_EVENTS: Final = 100
"""So many events read at once are worth a snapshot."""


class SnapshotCodec(Generic[State]):
    """Writes the states of one aggregate down and reads them back.

    `fold` is the SHA-256 of the source of its module and of its events' modules: whatever changes there, old snapshots
    no longer count, and nobody has to remember to say so.
    """

    def __init__(self, aggregate: Aggregate[State, Any, Any]) -> None:
        hints = get_type_hints(aggregate.evolve)
        self._state = hints.pop("return")
        modules = {aggregate.evolve.__module__}
        for hint in hints.values():
            modules |= {each.__module__ for each in get_args(hint) or (hint,)}
        # A state may be a plain bool or tuple, whose module has no source.
        sources = [_source(name) for name in sorted(modules - {"builtins"})]
        self.fold = sha256("\n".join((aggregate.name, *sources)).encode()).hexdigest()

    @cached_property
    def _states(self) -> TypeAdapter[State]:
        # Some take a third of a second to be made, and most aggregates never have a stream that is long enough.
        return TypeAdapter(self._state)

    def encode(self, state: State) -> bytes | None:
        """A state's bytes; None for one that would not be read back as it is."""
        try:
            encoded = self._states.dump_json(state, warnings="error")
        except PydanticSerializationError:
            return None
        return encoded if self.decode(encoded) == state else None

    def decode(self, encoded: bytes) -> State | None:
        """The state of these bytes; None where they are not one."""
        try:
            return self._states.validate_json(encoded)
        except ValidationError:
            return None


@cache
def _source(module: str) -> str:
    return inspect.getsource(sys.modules[module])
