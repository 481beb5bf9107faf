"""The history of a run: what was asked, answered, broken, healed and injected, written to a file as it happens.

Times are seconds of the runner's monotonic clock; `Began` says what the wall clock said at one of them.
"""

import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Final, Literal
from uuid import UUID

import msgspec

What = Literal["open_policy", "change_policy", "close_policy", "open_jar", "add_coin", "close_jar", "get_jar"]


class Began(msgspec.Struct, frozen=True, tag=True):
    """A run has begun: its seed, and the wall clock (seconds since 1970) at this moment."""

    at: float
    wall: float
    seed: int
    seconds: float


class Asked(msgspec.Struct, frozen=True, tag=True):
    """A client is about to ask for something. `key` is None for a query; `reuses` names the request that had the key."""

    operation: int
    at: float
    what: What
    key: str | None
    path: str
    stream: UUID | None
    fields: dict[str, Any]
    if_match: int | None = None
    reuses: int | None = None


class Invoked(msgspec.Struct, frozen=True, tag=True):
    """A request is sent to a replica."""

    operation: int
    attempt: int
    at: float
    seat: str


class Answered(msgspec.Struct, frozen=True, tag=True):
    """A request has ended. `status` is None where nobody knows what came of it; `failure` says why."""

    operation: int
    attempt: int
    at: float
    status: int | None
    body: Any = None
    version: int | None = None
    repeated: bool = False
    failure: str = ""


class Broke(msgspec.Struct, frozen=True, tag=True):
    """Something was broken."""

    number: int
    at: float
    kind: str
    target: str


class Healed(msgspec.Struct, frozen=True, tag=True):
    """What was broken under this number has been healed."""

    number: int
    at: float


class Injected(msgspec.Struct, frozen=True, tag=True):
    """A record that no relay sends is about to be put onto a service's topic; `digest` is SHA-256 of its value."""

    at: float
    service: str
    kind: str
    key: bytes | None
    digest: str


class Measured(msgspec.Struct, frozen=True, tag=True):
    """How long something took to come back, or how far something was behind: `what` says which."""

    at: float
    what: str
    seconds: float


Entry = Began | Asked | Invoked | Answered | Broke | Healed | Injected | Measured

_encoder: Final = msgspec.json.Encoder()
_decoder: Final = msgspec.json.Decoder(Entry)


@dataclass(slots=True)
class History:
    """The entries of a run; each is in the file before whoever made it goes on."""

    path: Path
    entries: list[Entry] = field(default_factory=list)
    _file: IO[bytes] = field(init=False)

    def __post_init__(self) -> None:
        self._file = self.path.open("ab", buffering=0)

    def add(self, entry: Entry) -> None:
        """Write an entry down."""
        self.entries.append(entry)
        self._file.write(_encoder.encode(entry) + b"\n")

    def close(self) -> None:
        """Close the file; the entries stay."""
        self._file.close()


def read(path: Path) -> list[Entry]:
    """The entries of a history that was kept."""
    return [_decoder.decode(line) for line in path.read_bytes().splitlines()]


def now() -> float:
    """The clock of histories."""
    return time.monotonic()


@dataclass(slots=True)
class Operation:
    """A request with all its attempts; a key that was sent again is the same operation."""

    asked: Asked
    invoked: dict[int, Invoked] = field(default_factory=dict)
    answered: dict[int, Answered] = field(default_factory=dict)

    @property
    def began(self) -> float:
        """When it was first sent."""
        return min((each.at for each in self.invoked.values()), default=self.asked.at)

    @property
    def definite(self) -> list[Answered]:
        """The answers that say what came of it, the first one first. 503 says that the same may be asked again."""
        known = [each for each in self.answered.values() if each.status is not None and each.status not in AGAIN]
        return sorted(known, key=lambda each: each.at)


AGAIN: Final = (429, 500, 502, 503)
"""What leaves open whether the command was done: a database may have gone while it committed."""


def operations(entries: Iterable[Entry]) -> dict[int, Operation]:
    """The operations of a history, by their numbers."""
    found: dict[int, Operation] = {}
    for entry in entries:
        match entry:
            case Asked(operation=number):
                found[number] = Operation(entry)
            case Invoked(operation=number, attempt=attempt):
                found[number].invoked[attempt] = entry
            case Answered(operation=number, attempt=attempt):
                found[number].answered[attempt] = entry
            case _:
                pass
    return found
