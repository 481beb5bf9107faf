"""What an API's description says holds for every request: schemathesis makes them up from it, right ones and wrong ones."""

import asyncio
import json
import os
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import pytest
import uvicorn
from tests.support.services import Service, definition_of, service_over, token

from govevents.registry import SERVICES
from govkernel.postgres import migrate_in_thread

EXAMPLES: Final = int(os.environ.get("GOV_TEST_EXAMPLES", "4"))
"""How many requests are made up for an operation; GOV_TEST_EXAMPLES=200 and --timeout 0 make a long run."""

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
    server = uvicorn.Server(uvicorn.Config(application, log_config=None, access_log=False, lifespan="off", ws="none"))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            await serving


@pytest.mark.parametrize("name", SERVICES)
async def test_every_request_is_answered_as_the_description_says(name: str, database: str, tmp_path: Path) -> None:
    definition = definition_of(name)
    description = tmp_path / "openapi.json"
    description.write_text(json.dumps(definition.api.openapi()), encoding="utf-8")
    await migrate_in_thread(definition.migrations, database, application_role=None)
    async with service_over(definition, database) as service, served(service) as address:
        run = await asyncio.create_subprocess_exec(
            Path(sys.executable).with_name("schemathesis"),
            *("--no-color", "run", str(description), "--url", address),
            *("--header", f"Authorization: {token('root', administrator=True)}"),
            *("--checks", ",".join(CHECKS), "--phases", "fuzzing", "--max-examples", str(EXAMPLES)),
            *("--generation-deterministic", "--no-shrink", "--warnings", "off"),
            cwd=tmp_path,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        said, _ = await run.communicate()
    assert run.returncode == 0, said.decode()
