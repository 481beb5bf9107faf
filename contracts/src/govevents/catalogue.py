"""The catalogue: which events exist, in which version, on which topic, and how older versions are read."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import msgspec

from govevents.document import DocumentRefused, Envelope, Recorded, hash_of, read_envelope
from govevents.event import EventType, event_type

Upcaster = Callable[[dict[str, Any]], dict[str, Any]]
"""A pure function from an event's data in version n to its data in version n+1."""

WATERMARK_TOPIC = "gov.watermarks.v1"


def topic_of(service: str) -> str:
    """The Kafka topic that carries a service's events."""
    return f"gov.{service}.events.v1"


class NewerThanReader(DocumentRefused):
    """An event's version is newer than this process knows: a newer replica has to read it."""


class UnknownType(DocumentRefused):
    """An event's type is not in the catalogue."""


@dataclass(frozen=True, slots=True)
class Catalogue:
    """Every event's newest class by type name, and the upcasters by (type name, version they read)."""

    events: Mapping[str, type[object]]
    upcasters: Mapping[tuple[str, int], Upcaster]
    _decoders: dict[str, msgspec.json.Decoder[object]] = field(default_factory=dict, compare=False, repr=False)

    @classmethod
    def of(
        cls, events: Iterable[type[object]], upcasters: Mapping[tuple[str, int], Upcaster] | None = None
    ) -> "Catalogue":
        """A catalogue of these events.

        Raises ValueError where two events share a name, or where the upcasters of an event leave a gap.
        """
        by_name: dict[str, type[object]] = {}
        for each in events:
            name = event_type(each).full_name
            if name in by_name:
                raise ValueError(f"{name}: declared twice")
            by_name[name] = each
        steps = dict(upcasters or {})
        for name, each in by_name.items():
            needed = set(range(1, event_type(each).version))
            given = {version for (of, version) in steps if of == name}
            if needed != given:
                raise ValueError(f"{name}: upcasters for versions {sorted(given)}, but {sorted(needed)} are needed")
        return cls(by_name, steps)

    @classmethod
    def of_modules(cls, *modules: ModuleType) -> "Catalogue":
        """A catalogue of every event that these modules declare, with each module's `UPCASTERS`."""
        events: list[type[object]] = []
        upcasters: dict[tuple[str, int], Upcaster] = {}
        for module in modules:
            events.extend(
                each
                for each in vars(module).values()
                if isinstance(each, type) and hasattr(each, "__event_type__") and each.__module__ == module.__name__
            )
            upcasters.update(getattr(module, "UPCASTERS", {}))
        return cls.of(events, upcasters)

    def type_of(self, full_name: str) -> EventType:
        """The newest declared type of that name. Raises UnknownType."""
        if full_name not in self.events:
            raise UnknownType(f"{full_name}: not in the catalogue")
        return event_type(self.events[full_name])

    def decode(self, body: bytes) -> Recorded[Any]:
        """The event in a document, brought up to its newest version.

        Raises DocumentRefused for bytes that no reader can read, UnknownType, or NewerThanReader.
        """
        return self.decode_data(read_envelope(body), hash_of(body))

    def decode_data(self, envelope: Envelope, document_hash: bytes) -> Recorded[Any]:
        """As `decode`, for an envelope that was already read."""
        decoder = self._decoders.get(envelope.dataschema)
        if decoder is None:
            return Recorded(self._decoded(envelope), envelope, document_hash)
        try:
            return Recorded(decoder.decode(envelope.data), envelope, document_hash)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise DocumentRefused(f"{envelope.id}: {envelope.type}: {error}") from None

    def _decoded(self, envelope: Envelope) -> object:
        newest = self.type_of(envelope.type)
        version = envelope.schema_version
        if version > newest.version:
            raise NewerThanReader(
                f"{envelope.id}: {envelope.type} version {version} is newer than this reader ({newest.version})"
            )
        cls = self.events[envelope.type]
        try:
            if version == newest.version:
                # Under the schema's name, which says type and version both.
                decoder = self._decoders[envelope.dataschema] = msgspec.json.Decoder(cls)
                return decoder.decode(envelope.data)
            data = msgspec.json.decode(envelope.data, type=dict[str, Any])
            for step in range(version, newest.version):
                data = self.upcasters[envelope.type, step](data)
            return msgspec.convert(data, cls)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise DocumentRefused(f"{envelope.id}: {envelope.type}: {error}") from None
