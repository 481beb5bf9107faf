from collections.abc import AsyncIterator

import pytest
from tests.integration.approvals.room import Room, furnished
from tests.support.services import Service, service_over

from approvals.entrypoints.processes import APPROVALS


@pytest.fixture
async def service(database: str) -> AsyncIterator[Service]:
    async with service_over(APPROVALS, database) as service:
        yield service


@pytest.fixture
async def room(service: Service) -> Room:
    """Everything that a gate review needs, brought in over the API by the administrator and the PMO."""
    return await furnished(service)
