"""One document: an event and its envelope as CloudEvents 1.0 JSON, encoded once and canonically (RFC 8785).

These bytes are stored, sent, hashed, replayed and proved. Nothing encodes an event a second time.
"""

from datetime import datetime
from enum import Enum
from functools import lru_cache
from hashlib import sha256
from typing import Any, Final, Generic, TypeVar
from uuid import UUID

import msgspec

from govevents.event import event_type

E = TypeVar("E", covariant=True)

LARGEST_DOCUMENT_BYTES: Final = 262_144


class Origin(Enum):
    """How an event came to be: as it happened, brought in by an import, or under the demo clock."""

    LIVE = "live"
    IMPORTED = "imported"
    SIMULATED = "simulated"


class Envelope(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True, gc=False):
    """The attributes of a CloudEvent, and Gatehouse's extensions.

    `time` is when the organisation knew the fact, `recordedtime` when it was written; `prevhash` is the SHA-256 of the
    stream's previous document; `subject` is `<aggregate>/<stream>`; `actor` is a subject id or `service:<name>`.
    """

    specversion: str
    id: str
    source: str
    type: str
    time: datetime
    subject: str
    dataschema: str
    stream: UUID
    version: int
    actor: str
    command: UUID
    correlationid: str
    recordedtime: datetime
    origin: Origin
    data: Any
    prevhash: str | None = None
    causationid: str | None = None
    traceparent: str | None = None

    @property
    def schema_version(self) -> int:
        """The version of the event's meaning, as its `dataschema` states it."""
        return int(self.dataschema.rpartition(":")[2])


class _RawEnvelope(Envelope, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True, gc=False):
    data: msgspec.Raw


class Document(msgspec.Struct, frozen=True):
    """An encoded event, ready to be stored and sent, with copies of what queries need."""

    stream: UUID
    version: int
    type: str
    time: datetime
    recorded_at: datetime
    body: bytes
    hash: bytes


class Recorded(msgspec.Struct, Generic[E], frozen=True, gc=False):
    """An event as it was read back: the event in its newest version, its envelope, and its document's hash."""

    event: E
    envelope: Envelope
    hash: bytes

    @property
    def id(self) -> str:
        """The event's identity, `<stream>@<version>`."""
        return self.envelope.id


class DocumentRefused(ValueError):
    """Bytes are not a document that Gatehouse can have written, or not one that this reader can read."""


_encoder = msgspec.json.Encoder(order="sorted", decimal_format="string")
_decoder = msgspec.json.Decoder(_RawEnvelope)


def canonical(value: object) -> bytes:
    """RFC 8785 bytes of a value made of the types that events may have."""
    return _encoder.encode(value)


def hash_of(body: bytes) -> bytes:
    """SHA-256 of a document's bytes."""
    return sha256(body).digest()


def encode(
    event: object,
    *,
    service: str,
    aggregate: str,
    stream: UUID,
    version: int,
    previous_hash: bytes | None,
    time: datetime,
    recorded_at: datetime,
    actor: str,
    command: UUID,
    correlation: str,
    causation: str | None,
    origin: Origin,
    traceparent: str | None = None,
) -> Document:
    """Write an event of a service's ledger down. Raises DocumentRefused for a document over 256 KiB."""
    declared = event_type(event)
    stream_text = str(stream)
    envelope = Envelope(
        specversion="1.0",
        id=f"{stream_text}@{version}",
        source=f"urn:gatehouse:{service}",
        type=declared.full_name,
        time=time,
        subject=f"{aggregate}/{stream_text}",
        dataschema=declared.dataschema,
        stream=stream,
        version=version,
        actor=actor,
        command=command,
        correlationid=correlation,
        recordedtime=recorded_at,
        origin=origin,
        data=event,
        prevhash=previous_hash.hex() if previous_hash else None,
        causationid=causation,
        traceparent=traceparent,
    )
    body = _encoder.encode(envelope)
    if len(body) > LARGEST_DOCUMENT_BYTES:
        raise DocumentRefused(
            f"{envelope.type}: the document has {len(body)} bytes; at most {LARGEST_DOCUMENT_BYTES} can be recorded"
        )
    return Document(stream, version, envelope.type, time, recorded_at, body, hash_of(body))


@lru_cache(maxsize=1024)
def _belongs(dataschema: str, type_name: str) -> bool:
    prefix, _, version = dataschema.rpartition(":")
    return prefix == f"urn:gatehouse:schema:{type_name}" and version.isdecimal()


def read_envelope(body: bytes, *, stream: UUID | None = None) -> Envelope:
    """The envelope of a document, its `data` left as raw bytes.

    `stream` is the one that it is expected to be of: where it is, the envelope has this very object, so that whoever
    remembers streams has their texts and hashes made once.

    Raises DocumentRefused where the bytes are not a Gatehouse document, or where its attributes contradict each other.
    """
    try:
        envelope: Envelope = _decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise DocumentRefused(f"not a Gatehouse document: {error}") from None
    if stream is not None and envelope.stream.int == stream.int:
        msgspec.structs.force_setattr(envelope, "stream", stream)
    if envelope.id != f"{envelope.stream}@{envelope.version}":
        raise DocumentRefused(f"id {envelope.id!r} is not {envelope.stream}@{envelope.version}")
    if not _belongs(envelope.dataschema, envelope.type):
        raise DocumentRefused(f"dataschema {envelope.dataschema!r} does not belong to type {envelope.type!r}")
    if envelope.version < 1 or (envelope.prevhash is None) != (envelope.version == 1):
        raise DocumentRefused("the first version of a stream has no prevhash, every later one has")
    return envelope
