"""Requests that schemathesis makes up from an API's description, right ones and wrong ones, to a service that is served."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

from tests.support.services import Service
from tests.support.serving import serving

CHECKS: Final = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "negative_data_rejection",
    "ignored_auth",
)


@asynccontextmanager
async def served(service: Service) -> AsyncIterator[str]:
    """The service's API at an address of its own."""
    application = service.definition.api.application(service.runtime)
    async with serving(application) as address:
        yield address


async def fuzz(
    service: Service,
    folder: Path,
    *,
    authorization: str,
    examples: int,
    known: Mapping[str, Sequence[str]] | None = None,
) -> str:
    """Make up so many requests for an operation; what schemathesis says at the end. Raises AssertionError.

    `known` are values by the name of a parameter or property, half of those that are tried for it.
    """
    description = folder / "openapi.json"
    described = _with_known(service.definition.api.openapi(), known or {}, "")
    description.write_text(json.dumps(described), encoding="utf-8")
    async with served(service) as address:
        run = await asyncio.create_subprocess_exec(
            Path(sys.executable).with_name("schemathesis"),
            *("--no-color", "run", str(description), "--url", address),
            *("--header", f"Authorization: {authorization}"),
            *("--checks", ",".join(CHECKS), "--phases", "fuzzing", "--max-examples", str(examples)),
            *("--generation-deterministic", "--no-shrink", "--warnings", "off"),
            cwd=folder,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        said, _ = await run.communicate()
    assert run.returncode == 0, said.decode()
    return said.decode()


def _with_known(described: Any, known: Mapping[str, Sequence[str]], name: str) -> Any:
    match described:
        case {"type": "string", **rest} if name in known and "enum" not in rest:
            return {"anyOf": [{"type": "string", "enum": [*known[name]]}, {"type": "string", **rest}]}
        case {"in": str(), "name": str() as parameter}:
            return {key: _with_known(value, known, parameter) for key, value in described.items()}
        case {"properties": dict() as properties}:
            return {
                **described,
                "properties": {key: _with_known(value, known, key) for key, value in properties.items()},
            }
        case dict():
            return {key: _with_known(value, known, name) for key, value in described.items()}
        case list():
            return [_with_known(value, known, name) for value in described]
        case _:
            return described
