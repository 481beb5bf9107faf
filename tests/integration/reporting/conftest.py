from collections.abc import AsyncIterator

import pytest
from tests.support.services import Service, service_over

from reporting.entrypoints.processes import REPORTING


@pytest.fixture
async def service(database: str) -> AsyncIterator[Service]:
    async with service_over(REPORTING, database) as service:
        yield service
