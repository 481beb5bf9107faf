from collections.abc import AsyncIterator

import pytest
from tests.integration.approvals.room import Room, furnished
from tests.support import databases
from tests.support.infrastructure import Infrastructure, SessionInfrastructure
from tests.support.services import Service, service_over

from approvals.entrypoints.processes import APPROVALS


@pytest.fixture(scope="session")
async def database_template(infrastructure: Infrastructure, session_infrastructure: SessionInfrastructure) -> str:
    """The name of the database, with the directory besides the kernel's tables, that `database` copies."""
    return await databases.template(session_infrastructure, infrastructure, APPROVALS.name, APPROVALS.migrations)


@pytest.fixture
async def service(database: str) -> AsyncIterator[Service]:
    async with service_over(APPROVALS, database) as service:
        yield service


@pytest.fixture
async def room(service: Service) -> Room:
    """Everything that a gate review needs, brought in over the API by the administrator and the PMO."""
    return await furnished(service)
