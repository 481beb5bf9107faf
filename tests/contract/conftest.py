"""Contract tests know no infrastructure."""

from collections.abc import Iterator

import pytest
from tests.support import network


@pytest.fixture(autouse=True)
def _no_network() -> Iterator[None]:
    with network.closed():
        yield
