"""Versions over HTTP: ETag, If-Match, Gov-Version, Gov-Min-Version."""

import re
from typing import Final
from uuid import UUID

from govkernel.http.problems import IF_MATCH_MISSING, Refused, malformed_header

ENTITY_TAG: Final = re.compile(r'"([1-9][0-9]{0,8})"', re.ASCII)
STREAM_VERSION: Final = re.compile(r"([0-9a-f-]{36})@([1-9][0-9]{0,8})", re.ASCII)


def entity_tag(version: int) -> str:
    """The ETag of a stream's version."""
    return f'"{version}"'


def if_match(header: str | None, *, required: bool) -> int | None:
    """The version that the caller has seen.

    Raises Refused: 428 where it is required and missing, 400 where it is not one ETag as this API gives them.
    """
    if header is None:
        if required:
            raise Refused(
                IF_MATCH_MISSING, 'read what you decide on, and send its ETag as If-Match, for example If-Match: "3"'
            )
        return None
    found = ENTITY_TAG.fullmatch(header.strip())
    if found is None:
        raise malformed_header(
            "If-Match", header, "not an ETag of this API", 'send one as it was given, in its quotes, for example "3"'
        )
    return int(found[1])


def minimum_versions(header: str | None) -> tuple[tuple[UUID, int], ...]:
    """The stream versions that the caller wants to have been seen, at most eight. Raises Refused."""
    if header is None:
        return ()
    found = []
    for each in header.split(","):
        match = STREAM_VERSION.fullmatch(each.strip())
        try:
            if match is None:
                raise ValueError(each)
            found.append((UUID(match[1]), int(match[2])))
        except ValueError:
            raise malformed_header(
                "Gov-Min-Version",
                header,
                "not <stream>@<version>",
                "send the Gov-Version that a command answered, several separated by commas",
            ) from None
    if len(found) > 8:
        raise malformed_header("Gov-Min-Version", header, f"{len(found)} versions", "send at most 8")
    return tuple(found)
