from collections.abc import AsyncIterator

import pytest
from tests.support.services import Service, service_over

from projections.adapters.measuring import Measuring
from projections.entrypoints.processes import PROJECTIONS


@pytest.fixture
async def service(database: str) -> AsyncIterator[Service]:
    async with service_over(PROJECTIONS, database) as service:
        measuring = (
            Measuring(source, service.runtime.ledger, service.runtime.engine) for source in ("approvals", "reporting")
        )
        service.handlers = (*service.handlers, *measuring)
        yield service
