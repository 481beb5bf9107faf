"""Unit tests know no infrastructure."""

from collections.abc import Iterator

import pytest
from tests.support import network


@pytest.fixture(autouse=True)
def _no_network(request: pytest.FixtureRequest) -> Iterator[None]:
    # The runtime chooses ports and probes its own servers on the loopback address: that is what its units do.
    if "tests/unit/runtime/" in request.node.nodeid:
        yield
        return
    with network.closed():
        yield
