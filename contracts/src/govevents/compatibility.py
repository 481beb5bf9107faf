"""Whether today's readers can read everything that was ever released."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec

from govevents.catalogue import Catalogue
from govevents.document import DocumentRefused, Envelope, Origin, canonical, read_envelope
from govevents.event import event_type
from govevents.examples import NAMESPACE, examples_of
from govevents.schemas import Schema, schema_of
from govevents.values import ValueRefused

Released = Mapping[tuple[str, int], Schema]
"""Released schemas by type name and version."""


def problems(released: Released, catalogue: Catalogue) -> list[str]:
    """What would break a reader of anything that was released, each with its remedy; none is as it should be.

    The newest version's schema may not have changed at all, every older one must still be there, and whatever satisfies
    a released schema must be read by today's classes, through the upcasters, without loss.
    """
    found: list[str] = []
    for name, cls in sorted(catalogue.events.items()):
        newest = event_type(cls).version
        found.extend(
            f"{name} version {version}: its released schema is missing; "
            + ("run `python -m govevents generate`" if version == newest else "bring it back from the release")
            for version in range(1, newest + 1)
            if (name, version) not in released
        )
    for (name, version), schema in sorted(released.items()):
        if name not in catalogue.events:
            found.append(f"{name} version {version}: released, but no class reads it; ledgers keep events for ever")
            continue
        newest = event_type(catalogue.events[name]).version
        if version > newest:
            found.append(f"{name} version {version}: released, but the newest class is version {newest}")
            continue
        if version == newest:
            changes = differences(schema, schema_of(catalogue.events[name]))
            found.extend(
                f"{name} version {version}: {change}; restore it, or declare version {version + 1} with an upcaster"
                for change in changes
            )
        found.extend(_unreadable(name, version, schema, catalogue))
    return found


def differences(released: Any, current: Any, pointer: str = "") -> list[str]:
    """How a schema differs from the released one, each with a JSON pointer."""
    if isinstance(released, dict) and isinstance(current, dict):
        return [
            difference
            for key in [*released, *(key for key in current if key not in released)]
            for difference in (
                [f"{pointer}/{key} was removed"]
                if key not in current
                else [f"{pointer}/{key} was added"]
                if key not in released
                else differences(released[key], current[key], f"{pointer}/{key}")
            )
        ]
    if released == current:
        return []
    return [f"{pointer} was {json.dumps(released)} and is {json.dumps(current)}"]


def _unreadable(name: str, version: int, schema: Schema, catalogue: Catalogue) -> list[str]:
    for example in examples_of(schema):
        try:
            envelope = read_envelope(_document(name, version, example))
            event = catalogue.decode_data(envelope, b"").event
        except (DocumentRefused, ValueRefused, ValueError, LookupError, TypeError) as error:
            return [f"{name} version {version}: today's reader refuses {canonical(example)[:200]!r}: {error}"]
        expected = example
        for step in range(version, event_type(event).version):
            expected = catalogue.upcasters[name, step](dict(expected))
        read = msgspec.json.decode(canonical(event))
        # msgspec passes over fields that a class doesn't have, which would be a silent loss.
        if read != msgspec.json.decode(canonical(expected)):
            changes = "; ".join(differences(expected, read)[:3])
            return [f"{name} version {version}: today's reader does not keep what was written: {changes}"]
    return []


def _document(name: str, version: int, data: Any) -> bytes:
    return canonical(
        Envelope(
            specversion="1.0",
            id=f"{NAMESPACE}@1",
            source="urn:gatehouse:compatibility",
            type=name,
            time=datetime(2026, 1, 1, tzinfo=UTC),
            subject=f"sample/{NAMESPACE}",
            dataschema=f"urn:gatehouse:schema:{name}:{version}",
            stream=NAMESPACE,
            version=1,
            actor="service:compatibility",
            command=NAMESPACE,
            correlationid="compatibility",
            recordedtime=datetime(2026, 1, 1, tzinfo=UTC),
            origin=Origin.SIMULATED,
            data=data,
        )
    )
