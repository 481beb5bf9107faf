"""Pages for people to read and print: what the answer in JSON says, with names, words, and the portfolio's time."""

from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, tzinfo
from enum import Enum
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any, Final
from uuid import UUID
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from starlette.responses import Response

from approvals.application.dossier import Dossier, ImportedDossier, Record, others_in
from govkernel.domain import Money

TEMPLATES: Final = Path(__file__).with_name("templates")
STYLE: Final = (TEMPLATES / "page.css").read_text("utf-8")
POLICY: Final = "; ".join(
    [
        "default-src 'none'",
        f"style-src 'sha256-{b64encode(sha256(STYLE.encode()).digest()).decode()}'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    ]
)
"""The page runs nothing, loads nothing, and has no other style than its own."""
TURNING: Final = {code: f"[U+{code:04X}]" for code in (*range(0x202A, 0x202F), *range(0x2066, 0x206A))}
"""Controls that turn the direction of text, as they are shown: what was written long ago may hold them."""


class Page(Response):
    """A page that is complete by itself."""

    media_type = "text/html"

    def __init__(self, content: str) -> None:
        super().__init__(content, headers={"content-security-policy": POLICY})


@dataclass(frozen=True, slots=True)
class Names:
    """What the project, accounts and persons are called; None where nobody knows (any more)."""

    project: str | None
    reference: str | None
    people: Mapping[UUID, str | None]


def dossier(content: Dossier, digest: str, names: Names) -> Page:
    """The page of a review's dossier, in the time zone that the review was submitted in."""
    zone = _zone(content.proposal.time_zone if content.proposal else None)
    return Page(_render("dossier.html", content, digest, names, zone, others=others_in(content)))


def imported_dossier(content: ImportedDossier, digest: str, names: Names) -> Page:
    """The page of the dossier of a decision that was made elsewhere."""
    return Page(_render("imported_dossier.html", content, digest, names, UTC, others=()))


def _render(template: str, content: object, digest: str, names: Names, zone: tzinfo, **more: Any) -> str:
    # Neither bytecode nor loader look at the clock: the same dossier and names give the same page.
    return _pages.get_template(template).render(
        dossier=content,
        digest=digest,
        names=names,
        style=STYLE,
        who=partial(_who, names),
        moment=partial(_moment, zone),
        zone=zone,
        **more,
    )


def _zone(name: str | None) -> tzinfo:
    try:
        return ZoneInfo(name) if name else UTC
    except (ZoneInfoNotFoundError, ValueError):
        return UTC


def _moment(zone: tzinfo, moment: datetime | None) -> str:
    """A moment to the minute, with the abbreviation of its time zone or its distance from UTC."""
    if moment is None:
        return "—"
    local = moment.astimezone(zone)
    abbreviation = local.tzname() or ""
    return f"{local:%Y-%m-%d %H:%M} {'' if abbreviation[:1].isalpha() else 'UTC'}{abbreviation}"


def _who(names: Names, identifier: UUID | str) -> Markup:
    """What an account or a person is called; a service by its own name, whoever is not known by their id."""
    try:
        known = names.people.get(UUID(str(identifier)))
    except ValueError:
        return _own(str(identifier).replace("service:", "service "))
    return _own(known or f"(no name) {str(identifier)[:8]}")


def _own(value: object) -> Markup:
    """What somebody wrote, isolated: its direction turns nothing that stands beside it."""
    return Markup("<bdi>{}</bdi>").format(str(value))


def _shown(value: Any) -> Any:
    return value.translate(TURNING) if isinstance(value, str) else value


def _words(value: Any) -> str:
    """A code or figure as words: `approve with conditions` for approve_with_conditions."""
    match value:
        case None:
            return "—"
        case bool():
            return "yes" if value else "no"
        case Enum():
            return str(value.value).replace("_", " ")
        case Money():
            return f"{value.amount:,f} {value.currency}"
        case date():
            return value.isoformat()
        case _:
            return str(value)


def _version(record: Record | str) -> str:
    """The version in an event's identity, as a statement refers to it."""
    return (record if isinstance(record, str) else record.event).rpartition("@")[2]


_pages: Final = Environment(
    loader=FileSystemLoader(TEMPLATES),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    auto_reload=False,
    finalize=_shown,
)
_pages.filters |= {"words": _words, "own": _own, "version": _version}
