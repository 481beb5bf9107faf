"""What a service does because of an event that it has read."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from govkernel.domain.aggregate import Aggregate


@dataclass(frozen=True, slots=True)
class Reaction:
    """A command on a stream of one's own, because of an event.

    `ordinal` tells apart several reactions of one event on one stream.
    """

    aggregate: Aggregate[Any, Any, Any]
    stream: UUID
    command: Any
    ordinal: int = 0
