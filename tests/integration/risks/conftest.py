from collections.abc import AsyncIterator

import pytest
from tests.support.services import Service, service_over

from risks.entrypoints.processes import RISKS


@pytest.fixture
async def service(database: str) -> AsyncIterator[Service]:
    async with service_over(RISKS, database) as service:
        yield service
