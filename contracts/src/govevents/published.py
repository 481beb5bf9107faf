"""The files that are published beside this package: schemas, golden samples, and the AsyncAPI document."""

import json
import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from govevents import asyncapi
from govevents.catalogue import Catalogue
from govevents.compatibility import differences, problems
from govevents.event import event_type
from govevents.examples import sample_document
from govevents.registry import CATALOGUE, CONSUMERS, SERVICES
from govevents.schemas import Schema, schema_of, schema_of_envelope

FOLDER: Final = Path(__file__).resolve().parents[2]
FILE_NAME: Final = re.compile(r"(?P<type>[a-z]+\.[A-Z][A-Za-z]*)\.v(?P<version>[1-9][0-9]*)\.json")


@dataclass(frozen=True, slots=True)
class Published:
    """What is published in a folder, against what the catalogue says today."""

    folder: Path = FOLDER
    catalogue: Catalogue = CATALOGUE

    @property
    def schemas(self) -> Path:
        """Where the released schemas lie."""
        return self.folder / "schemas"

    @property
    def samples(self) -> Path:
        """Where the golden samples lie."""
        return self.folder / "samples"

    def released(self) -> dict[tuple[str, int], Schema]:
        """Every released schema of an event, by type name and version. Raises ValueError for a file that is none."""
        return {key: json.loads(path.read_text("utf-8")) for key, path in _by_version(self.schemas).items()}

    def golden(self) -> dict[tuple[str, int], bytes]:
        """Every golden sample, by type name and version. Raises ValueError for a file that is none."""
        return {key: path.read_bytes() for key, path in _by_version(self.samples).items()}

    def generate(self, unreleased: Collection[str] = ()) -> list[str]:
        """Write what is missing, and say what was written.

        Nothing that was released is overwritten, except the newest versions of the types named `unreleased`: events
        that no ledger has yet. Raises ValueError for an unknown type.
        """
        unknown = set(unreleased) - set(self.catalogue.events)
        if unknown:
            raise ValueError(
                f"{', '.join(sorted(unknown))}: not in the catalogue; give names such as approvals.VoteCast"
            )
        self.schemas.mkdir(exist_ok=True)
        self.samples.mkdir(exist_ok=True)
        written: list[str] = []

        def write(path: Path, content: bytes, *, replace: bool) -> None:
            if (replace or not path.exists()) and not (path.exists() and path.read_bytes() == content):
                path.write_bytes(content)
                written.append(str(path.relative_to(self.folder)))

        for name, cls in sorted(self.catalogue.events.items()):
            file = f"{name}.v{event_type(cls).version}.json"
            replace = name in unreleased
            write(self.schemas / file, _json(schema_of(cls)), replace=replace)
            write(self.samples / file, sample_document(cls).body, replace=replace)
        write(self.schemas / "envelope.v1.json", _json(schema_of_envelope()), replace=False)
        write(self.folder / "asyncapi.yaml", self._asyncapi(), replace=True)
        return written

    def check(self) -> list[str]:
        """What is not as it should be, each with its remedy."""
        found = problems(self.released(), self.catalogue)
        golden, released = self.golden(), self.released()
        found.extend(
            f"{name} version {version}: no golden sample; run `python -m govevents generate`"
            for name, version in sorted(released.keys() - golden.keys())
        )
        found.extend(
            f"{name} version {version}: a golden sample of a version that has no schema"
            for name, version in sorted(golden.keys() - released.keys())
        )
        envelope = self.schemas / "envelope.v1.json"
        changes = differences(json.loads(envelope.read_text("utf-8")), schema_of_envelope())
        found.extend(f"envelope: {change}; a document's attributes never change" for change in changes)
        if (self.folder / "asyncapi.yaml").read_bytes() != self._asyncapi():
            found.append("asyncapi.yaml is not what the catalogue says; run `python -m govevents generate`")
        return found

    def _asyncapi(self) -> bytes:
        return asyncapi.text(asyncapi.document(self.catalogue, SERVICES, CONSUMERS)).encode()


def _by_version(folder: Path) -> dict[tuple[str, int], Path]:
    found: dict[tuple[str, int], Path] = {}
    for path in sorted(folder.iterdir()):
        match = FILE_NAME.fullmatch(path.name)
        if match:
            found[match["type"], int(match["version"])] = path
        elif path.name != "envelope.v1.json":
            raise ValueError(f"{path}: not <service>.<Event>.v<version>.json")
    return found


def _json(content: Any) -> bytes:
    return (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode()
