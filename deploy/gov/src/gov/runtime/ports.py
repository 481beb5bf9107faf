"""Ports on the loopback address."""

import random
import socket
from collections.abc import Collection

LOOPBACK = "127.0.0.1"

# Below the ports that the kernel gives to outgoing connections: a server that is down for a moment keeps its own.
FREE_PORTS = range(15_000, 32_000)


def is_free(port: int) -> bool:
    """Say whether a server could listen on this port of the loopback address now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # Connections of a server that has just stopped don't count as taken.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
            probe.listen(1)
        except OSError:
            return False
        return True


def choose_port(preferred: int | None = None, taken: Collection[int] = ()) -> int:
    """Return the preferred port, or a random free one where it is in use or already taken.

    Raises OSError if no port is free.
    """
    if preferred is not None and preferred not in taken and is_free(preferred):
        return preferred
    for _ in range(1000):
        port = random.choice(FREE_PORTS)
        if port not in taken and is_free(port):
            return port
    raise OSError(
        f"None of a thousand ports tried between {FREE_PORTS.start} and {FREE_PORTS.stop} is free on {LOOPBACK}; "
        "stop what listens there."
    )


def choose_ports(count: int) -> tuple[int, ...]:
    """Return so many different free ports."""
    ports: list[int] = []
    for _ in range(count):
        ports.append(choose_port(taken=ports))
    return tuple(ports)
