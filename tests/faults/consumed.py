"""What a consumer must have made of a topic, by a model of its own: applied, parked, or dropped as a repeat. Pure.

The kernel's guard is what is checked, so it is not used here.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from govevents.catalogue import Catalogue
from govevents.document import DocumentRefused, Envelope, Recorded, hash_of, read_envelope

Place = tuple[int, int]
"""A record's partition and offset."""


@dataclass(frozen=True, slots=True)
class Record:
    """A record of a topic as it lies there."""

    partition: int
    offset: int
    key: bytes | None
    value: bytes | None


@dataclass(slots=True)
class Outcome:
    """What a consumer made of a topic: subscribed events in the order of their streams, heads, and what is parked."""

    applied: list[Recorded[Any]] = field(default_factory=list)
    heads: dict[UUID, tuple[int, bytes]] = field(default_factory=dict)
    parked: set[Place] = field(default_factory=set)


@dataclass(slots=True)
class _Stream:
    version: int = 0
    hash: bytes | None = None
    blocked: bool = False
    waiting: dict[int, tuple[Record, Envelope]] = field(default_factory=dict)


def consume(
    records: Iterable[Record],
    *,
    service: str,
    subscribes: frozenset[str],
    catalogue: Catalogue,
    takes: Callable[[Recorded[Any]], bool] = lambda _recorded: True,
) -> Outcome:
    """Read a topic from its beginning. `takes` says of an event whether the consumer's handler can apply it."""
    outcome = Outcome()
    streams: dict[UUID, _Stream] = {}
    for record in sorted(records, key=lambda each: (each.partition, each.offset)):
        place = record.partition, record.offset
        stream_id = _stream_of(record.key)
        if stream_id is None:
            outcome.parked.add(place)
            continue
        stream = streams.setdefault(stream_id, _Stream())
        envelope = _envelope_of(record, stream_id, service)
        if envelope is None:
            outcome.parked.add(place)
            stream.blocked = True
            continue
        body_hash = hash_of(record.value or b"")
        if envelope.version < stream.version or (envelope.version == stream.version and body_hash == stream.hash):
            continue
        held = stream.waiting.get(envelope.version)
        if held is not None and held[0].value == record.value:
            continue
        outcome.parked.add(place)
        if envelope.version == stream.version or held is not None or not _fits(envelope, stream):
            stream.blocked = True
            continue
        stream.waiting[envelope.version] = record, envelope
        _follow(stream, subscribes, catalogue, takes, outcome)
    outcome.heads = {each: (stream.version, stream.hash) for each, stream in streams.items() if stream.hash is not None}
    return outcome


def _fits(envelope: Envelope, stream: _Stream) -> bool:
    """Whether a later version may be the truth: what is next must chain, what is further away can't be told yet."""
    if envelope.version > stream.version + 1:
        return True
    return envelope.prevhash == (stream.hash.hex() if stream.hash is not None else None)


def _follow(
    stream: _Stream,
    subscribes: frozenset[str],
    catalogue: Catalogue,
    takes: Callable[[Recorded[Any]], bool],
    outcome: Outcome,
) -> None:
    while not stream.blocked and (following := stream.waiting.get(stream.version + 1)) is not None:
        record, envelope = following
        if not _fits(envelope, stream):
            stream.blocked = True
            return
        body_hash = hash_of(record.value or b"")
        if envelope.type in subscribes:
            try:
                recorded = catalogue.decode_data(envelope, body_hash)
            except DocumentRefused:
                return
            if not takes(recorded):
                return
            outcome.applied.append(recorded)
        del stream.waiting[envelope.version]
        outcome.parked.discard((record.partition, record.offset))
        stream.version, stream.hash = envelope.version, body_hash


def _stream_of(key: bytes | None) -> UUID | None:
    try:
        text = (key or b"").decode("ascii")
        stream = UUID(text)
    except ValueError:
        return None
    return stream if str(stream) == text else None


def _envelope_of(record: Record, stream: UUID, service: str) -> Envelope | None:
    try:
        envelope = read_envelope(record.value or b"")
    except DocumentRefused:
        return None
    return envelope if envelope.stream == stream and envelope.source == f"urn:gatehouse:{service}" else None
