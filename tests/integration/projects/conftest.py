from collections.abc import AsyncIterator

import pytest
from tests.support.services import Service, service_over

from projects.entrypoints.processes import PROJECTS


@pytest.fixture
async def service(database: str) -> AsyncIterator[Service]:
    async with service_over(PROJECTS, database) as service:
        yield service
