"""What becomes of a record: applied, passed over, dropped as a repeat, or parked. Pure; the inbox does the I/O.

A stream's guard is the last version that a consumer has applied, with its hash. Only what continues the guard is taken;
whatever else could be the truth is kept in `parked`, and nothing is dropped but what was applied before.
"""

from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from enum import Enum
from functools import lru_cache
from operator import attrgetter
from types import MappingProxyType
from typing import Any, Final
from uuid import UUID

import msgspec

from govevents.catalogue import Catalogue, NewerThanReader
from govevents.document import DocumentRefused, Envelope, Recorded, hash_of, read_envelope
from govkernel.postgres import Uuid

NUMBER: Final = attrgetter("int")
"""The order of UUIDs, in a fraction of the time that they take to compare themselves."""

EARLIER_PARKED: Final = "an earlier event of its stream is parked"


class Kind(Enum):
    """Why a record is parked.

    `unreadable` and `fork` block their stream until somebody has looked: `skip` discards such a record, and where a
    `retry` shows that the stream goes on without it, it becomes `set_aside`, stays listed and blocks no longer. `gap`:
    its predecessor has not come. `behind`: an earlier one is parked. `refused`: it could not be decoded or applied.
    `not_yet`: it rests on something that is not known yet, and is tried again by itself.
    """

    UNREADABLE = "unreadable"
    FORK = "fork"
    GAP = "gap"
    BEHIND = "behind"
    REFUSED = "refused"
    NOT_YET = "not_yet"
    SET_ASIDE = "set_aside"


BLOCKING: Final = (Kind.UNREADABLE.value, Kind.FORK.value)


class Guard(msgspec.Struct, frozen=True, gc=False):
    """The last version of a stream that was applied or passed over, and its hash; 0 and None before the first."""

    version: int
    hash: bytes | None


START: Final = Guard(0, None)


class Verdict(Enum):
    """How a document stands to its stream's guard."""

    REPEAT = "repeat"
    NEXT = "next"
    FORK = "fork"
    GAP = "gap"


def judge(guard: Guard, envelope: Envelope, document_hash: bytes) -> Verdict:
    """Whether a document repeats, continues, contradicts or runs ahead of what was applied."""
    if envelope.version < guard.version:
        return Verdict.REPEAT
    if envelope.version == guard.version:
        return Verdict.REPEAT if document_hash == guard.hash else Verdict.FORK
    if envelope.version > guard.version + 1:
        return Verdict.GAP
    chains = envelope.prevhash == (guard.hash.hex() if guard.hash else None)
    return Verdict.NEXT if chains else Verdict.FORK


class Arrival(msgspec.Struct, frozen=True, gc=False):
    """A record that was looked at: its stream (None where the key names none), and its envelope or why it has none.

    `parked` is its row where it comes from there.
    """

    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    stream: UUID | None
    envelope: Envelope | None
    hash: bytes
    unreadable: str
    parked: int | None = None


def look_at(
    partition: int, offset: int, key: bytes | None, value: bytes | None, *, service: str, parked: int | None = None
) -> Arrival:
    """Read a record's key and envelope, and hold them against each other and against the topic's service."""
    stream: UUID | None = None
    envelope: Envelope | None = None
    unreadable = ""
    try:
        stream = _stream_of(key)
        envelope = read_envelope(value or b"", stream=stream)
        if envelope.stream is not stream:
            unreadable = f"the document is of stream {envelope.stream}, its key names {stream}"
        elif envelope.source != f"urn:gatehouse:{service}":
            unreadable = f"the document comes from {envelope.source!r}, its topic is that of {service}"
    except DocumentRefused as error:
        unreadable = str(error)
    if unreadable:
        envelope = None
    return Arrival(partition, offset, key, value, stream, envelope, hash_of(value or b""), unreadable, parked)


@lru_cache(maxsize=65_536)
def _stream_of(key: bytes | None) -> UUID:
    try:
        text = (key or b"").decode("ascii")
        stream: UUID = Uuid(text)
    except ValueError:
        raise DocumentRefused(f"the record's key {key!r} is no stream id") from None
    if str(stream) != text:
        raise DocumentRefused(f"the record's key {key!r} is not written as {stream}")
    return stream


@dataclass(slots=True)
class Stream:
    """A stream as the inbox knows it before a batch.

    `parked` says that records of it are parked, `blocked` that one of them blocks, `held` which hashes are parked for
    the versions that the batch brings.
    """

    guard: Guard = START
    parked: bool = False
    blocked: bool = False
    held: dict[int, set[bytes]] = field(default_factory=dict)

    def copy(self) -> "Stream":
        """The same, on its own from now on."""
        held = {version: set(hashes) for version, hashes in self.held.items()} if self.held else {}
        return Stream(self.guard, self.parked, self.blocked, held)


@dataclass(frozen=True, slots=True)
class Parking:
    """A record that goes to `parked`, or stays there for another reason than before."""

    arrival: Arrival
    kind: Kind
    reason: str


@dataclass(frozen=True, slots=True)
class Rejected:
    """A handler could not apply an event: it and everything later of its stream are parked.

    With `retry` it is tried again by itself, for what it rests on is expected to become known.
    """

    recorded: Recorded[Any]
    reason: str
    retry: bool


@dataclass(frozen=True, slots=True)
class Stopped:
    """A partition can't be read further here: at this offset an event is newer than this process."""

    offset: int
    reason: str


@dataclass(frozen=True, slots=True)
class Settlement:
    """What a batch leaves behind: guards (before, after), rows to park, to delete, and to keep for another reason."""

    guards: dict[UUID, tuple[Guard, Guard]]
    park: tuple[Parking, ...]
    drained: tuple[int, ...]
    kept: tuple[Parking, ...]


NO_HASHES: Final[frozenset[bytes]] = frozenset()
NOTHING: Final[Mapping[UUID, Sequence[Arrival]]] = MappingProxyType({})


class Intake:
    """Takes one batch's records in order and says what becomes of each.

    `offer` every record, hand `accepted` to the handler, and `settle` with what it rejected. `waiting` are the parked
    records of streams that may go on: as soon as what they wait for is taken they are, too, for what becomes of a
    record must not depend on which others happen to be in its batch.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        subscribes: frozenset[str],
        streams: dict[UUID, Stream],
        waiting: Mapping[UUID, Sequence[Arrival]] = NOTHING,
    ) -> None:
        self._catalogue = catalogue
        self._subscribes = subscribes
        self._streams = streams
        self._waiting = waiting
        for stream, arrivals in waiting.items():
            for arrival in arrivals:
                if arrival.envelope is not None:
                    streams[stream].held.setdefault(arrival.envelope.version, set()).add(arrival.hash)
        self._before = {stream: state.guard for stream, state in streams.items()}
        self._marked = {stream: state.copy() for stream, state in streams.items() if state.parked or state.held}
        self._offered: list[Arrival] = []
        self._drained: dict[UUID, bool] = {}
        self._rejected: dict[str, Rejected] = {}
        self._taken: list[tuple[Arrival, Recorded[Any] | None]] = []
        self._parked: dict[tuple[int, int], Parking] = {}
        self._kept: dict[int, Parking] = {}
        self.stopped: dict[int, Stopped] = {}

    @property
    def accepted(self) -> list[Recorded[Any]]:
        """The subscribed events that continue their streams, in order."""
        return [recorded for _, recorded in self._taken if recorded is not None]

    def offer(self, arrival: Arrival) -> None:
        """Take, park or drop one record that was read from Kafka."""
        if arrival.partition in self.stopped:
            return
        self._offered.append(arrival)
        self._offer(arrival)

    def _offer(self, arrival: Arrival) -> None:
        if arrival.stream is None:
            self._keep(Parking(arrival, Kind.UNREADABLE, arrival.unreadable))
            return
        state = self._streams[arrival.stream]
        if arrival.envelope is None:
            self._block(state, Parking(arrival, Kind.UNREADABLE, arrival.unreadable))
            return
        verdict = judge(state.guard, arrival.envelope, arrival.hash)
        held = state.held.get(arrival.envelope.version, NO_HASHES) if state.held else NO_HASHES
        if verdict is Verdict.REPEAT or arrival.hash in held:
            return
        if verdict is Verdict.FORK or held:
            self._block(state, Parking(arrival, Kind.FORK, _contradiction(arrival.envelope, state.guard)))
        elif state.blocked:
            self._keep(Parking(arrival, Kind.BEHIND, EARLIER_PARKED))
        elif verdict is Verdict.GAP:
            version = state.guard.version + 1
            kind, reason = (
                (Kind.BEHIND, EARLIER_PARKED) if state.parked else (Kind.GAP, f"version {version} has not come")
            )
            self._keep(Parking(arrival, kind, reason))
        else:
            self._take(arrival, arrival.envelope, state)
            if state.held and state.guard.version + 1 in state.held:
                self._drain(arrival.stream, blocked_too=False)

    def drain(self, stream: UUID, *, blocked_too: bool = False) -> None:
        """Take the stream's parked records, by version, as far as they continue it.

        `blocked_too` is an operator's retry: it goes past records that block, if the stream goes on without them.
        """
        self._drained[stream] = blocked_too
        self._drain(stream, blocked_too=blocked_too)

    def _drain(self, stream: UUID, *, blocked_too: bool) -> None:
        state = self._streams[stream]
        if state.blocked and not blocked_too:
            return
        waiting: dict[int, list[tuple[Arrival, Envelope]]] = {}
        fresh = [parking.arrival for parking in self._parked.values() if parking.arrival.stream == stream]
        for arrival in [*self._waiting.get(stream, ()), *fresh]:
            if arrival.envelope is not None:
                waiting.setdefault(arrival.envelope.version, []).append((arrival, arrival.envelope))
        while claimants := waiting.get(state.guard.version + 1):
            guard = state.guard
            chaining = [pair for pair in claimants if judge(guard, pair[1], pair[0].hash) is Verdict.NEXT]
            if len(chaining) == 1:
                self._take(*chaining[0], state)
                if state.guard is guard:
                    return
            for arrival, envelope in claimants:
                if state.guard.hash != arrival.hash:
                    self._block(state, Parking(arrival, Kind.FORK, _contradiction(envelope, guard)))
            if state.guard is guard or (state.blocked and not blocked_too):
                return

    def settle(self, rejected: Iterable[Rejected]) -> Settlement:
        """What the batch leaves, once the handler has applied all that was accepted but these and what follows them."""
        self._rejected = {each.recorded.id: each for each in rejected}
        self._begin_again({each.recorded.envelope.stream for each in self._rejected.values()})
        guards: dict[UUID, tuple[Guard, Guard]] = {}
        drained: list[int] = []
        for arrival, _ in self._taken:
            assert arrival.stream is not None
            guards[arrival.stream] = self._before[arrival.stream], self._streams[arrival.stream].guard
            if arrival.parked is not None:
                drained.append(arrival.parked)
        park = sorted(self._parked.values(), key=lambda each: (each.arrival.partition, each.arrival.offset))
        return Settlement(guards, tuple(park), tuple(drained), tuple(self._kept.values()))

    def _begin_again(self, streams: AbstractSet[UUID]) -> None:
        """Judge the records of streams once more, now that it is known what the handler rejects of them."""
        if not streams:
            return
        for stream in streams:
            marked = self._marked.get(stream)
            self._streams[stream] = Stream(self._before[stream]) if marked is None else marked.copy()
        self._taken = [each for each in self._taken if each[0].stream not in streams]
        self._parked = {at: each for at, each in self._parked.items() if each.arrival.stream not in streams}
        self._kept = {row: each for row, each in self._kept.items() if each.arrival.stream not in streams}
        for arrival in self._offered:
            stopped = self.stopped.get(arrival.partition)
            if arrival.stream in streams and (stopped is None or arrival.offset < stopped.offset):
                self._offer(arrival)
        for stream, blocked_too in self._drained.items():
            if stream in streams:
                self._drain(stream, blocked_too=blocked_too)

    def _take(self, arrival: Arrival, envelope: Envelope, state: Stream) -> None:
        recorded: Recorded[Any] | None = None
        if envelope.type in self._subscribes:
            try:
                recorded = self._catalogue.decode_data(envelope, arrival.hash)
            except NewerThanReader as error:
                if arrival.parked is None and (arrival.partition, arrival.offset) not in self._parked:
                    self.stopped[arrival.partition] = Stopped(arrival.offset, str(error))
                else:
                    self._keep(Parking(arrival, Kind.NOT_YET, str(error)))
                return
            except Exception as error:
                # An upcaster may fail in any way on data that it was not written for.
                self._keep(Parking(arrival, Kind.REFUSED, f"{type(error).__name__}: {error}"))
                return
            rejection = self._rejected.get(recorded.id) if self._rejected else None
            if rejection is not None:
                self._keep(Parking(arrival, Kind.NOT_YET if rejection.retry else Kind.REFUSED, rejection.reason))
                return
        if self._parked:
            self._parked.pop((arrival.partition, arrival.offset), None)
        self._taken.append((arrival, recorded))
        state.guard = Guard(envelope.version, arrival.hash)

    def _block(self, state: Stream, parking: Parking) -> None:
        self._keep(parking)
        state.blocked = True

    def _keep(self, parking: Parking) -> None:
        arrival = parking.arrival
        if arrival.parked is not None:
            self._kept[arrival.parked] = parking
            return
        self._parked[arrival.partition, arrival.offset] = parking
        if arrival.stream is not None:
            state = self._streams[arrival.stream]
            state.parked = True
            if arrival.envelope is not None:
                state.held.setdefault(arrival.envelope.version, set()).add(arrival.hash)


def _contradiction(envelope: Envelope, guard: Guard) -> str:
    return (
        f"{envelope.id} contradicts what was applied here or waits here: the stream stands at version {guard.version}, "
        f"hash {guard.hash.hex() if guard.hash else 'none'}; this document's prevhash is {envelope.prevhash}"
    )
