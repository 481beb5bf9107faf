"""Ports on the loopback address."""

import contextlib
import fcntl
import itertools
import os
import random
import socket
import tempfile
from pathlib import Path
from typing import Self

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


class Ports:
    """Chooses ports and keeps this user's other systems from choosing the same ones, until it is closed.

    Between the choice and the moment when a server listens, seconds may pass in which the port still looks free.
    """

    def __init__(self) -> None:
        self._reserved = contextlib.ExitStack()
        self._folder = Path(tempfile.gettempdir()) / f"gatehouse-ports-{os.getuid()}"
        self._folder.mkdir(mode=0o700, exist_ok=True)

    def choose(self, *preferred: int) -> int:
        """Return the first preferred port that is free, else a random free one. Raises OSError if none is."""
        for port in itertools.chain(preferred, (random.choice(FREE_PORTS) for _ in range(1000))):
            if is_free(port) and self._reserve(port):
                return port
        raise OSError(
            f"None of a thousand ports tried between {FREE_PORTS.start} and {FREE_PORTS.stop} is free on {LOOPBACK}; "
            "stop what listens there."
        )

    def close(self) -> None:
        """Let others choose the ports again."""
        self._reserved.close()

    def _reserve(self, port: int) -> bool:
        file = (self._folder / str(port)).open("w")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            return False
        self._reserved.callback(file.close)
        return True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def choose_ports(count: int) -> tuple[int, ...]:
    """Return so many different free ports, without keeping others from choosing them later."""
    with Ports() as ports:
        return tuple(ports.choose() for _ in range(count))
