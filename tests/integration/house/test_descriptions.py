"""What an API's description says holds for every request: schemathesis makes them up from it, right ones and wrong ones."""

import os
from pathlib import Path
from typing import Final

import pytest
from tests.support.fuzzing import fuzz
from tests.support.services import definition_of, service_over, token

from govevents.registry import SERVICES
from govkernel.postgres import migrate_in_thread

EXAMPLES: Final = int(os.environ.get("GOV_TEST_EXAMPLES", "4"))
"""How many requests are made up for an operation; GOV_TEST_EXAMPLES=200 and --timeout 0 make a long run."""


@pytest.mark.parametrize("name", SERVICES)
async def test_every_request_is_answered_as_the_description_says(name: str, database: str, tmp_path: Path) -> None:
    definition = definition_of(name)
    await migrate_in_thread(definition.migrations, database, application_role=None)
    async with service_over(definition, database) as service:
        await fuzz(service, tmp_path, authorization=token("root", administrator=True), examples=EXAMPLES)
