"""No network for tests that need none: what reaches out by mistake fails at once and says so."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class NetworkRefused(Exception):
    """A test of a tier without infrastructure has used the network."""


@contextmanager
def closed() -> Iterator[None]:
    """Refuse every socket but those of the local machine's own files, which event loops use to wake up."""
    real_connect, real_connect_ex, real_bind = socket.socket.connect, socket.socket.connect_ex, socket.socket.bind

    def guarded(real: Any) -> Any:
        def refuse(self: socket.socket, address: Any) -> Any:
            if self.family == socket.AF_UNIX:
                return real(self, address)
            raise NetworkRefused(f"{address}: unit and contract tests use no network; move this test to integration")

        return refuse

    socket.socket.connect = guarded(real_connect)  # type: ignore[method-assign]
    socket.socket.connect_ex = guarded(real_connect_ex)  # type: ignore[method-assign]
    socket.socket.bind = guarded(real_bind)  # type: ignore[method-assign]
    try:
        yield
    finally:
        socket.socket.connect = real_connect  # type: ignore[method-assign]
        socket.socket.connect_ex = real_connect_ex  # type: ignore[method-assign]
        socket.socket.bind = real_bind  # type: ignore[method-assign]
