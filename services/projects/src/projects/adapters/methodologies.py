"""The methodologies that come with Gatehouse, read from the files beside this module."""

import tomllib
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

from govevents.projects import Delivery, Methodology, Phase
from govkernel.domain import Code


class MethodologyRefused(ValueError):
    """A file doesn't describe a methodology; the message names the file, the field and the remedy."""


def parse(file: str, content: str) -> Methodology:
    """The methodology that a TOML text describes. Raises MethodologyRefused."""
    try:
        read: dict[str, Any] = tomllib.loads(content)
        unknown = read.keys() - {"name", "version", "delivery", "phases"}
        if unknown:
            raise ValueError(f"{', '.join(sorted(unknown))}: no such field; take it out")
        return Methodology(
            read["name"],
            read["version"],
            Delivery(read["delivery"]),
            tuple(Phase(phase["code"], phase["name"], phase.get("gate")) for phase in read["phases"]),
        )
    except KeyError as error:
        raise MethodologyRefused(f"{file}: {error.args[0]}: missing; give it a value") from None
    except (TypeError, ValueError) as error:
        raise MethodologyRefused(f"{file}: {error}") from None


def load() -> Mapping[tuple[Code, int], Methodology]:
    """Every methodology by name and version. Raises MethodologyRefused for a bad file, or two of one version."""
    found: dict[tuple[Code, int], Methodology] = {}
    for entry in sorted(files("projects.adapters").joinpath("methodologies").iterdir(), key=lambda entry: entry.name):
        if not entry.name.endswith(".toml"):
            continue
        methodology = parse(entry.name, entry.read_text(encoding="utf-8"))
        key = (methodology.name, methodology.version)
        if key in found:
            raise MethodologyRefused(
                f"{entry.name}: {key[0]} version {key[1]} stands in another file too; raise version"
            )
        found[key] = methodology
    return found
