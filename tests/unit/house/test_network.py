import socket

import pytest
from tests.support.network import NetworkRefused


def test_a_unit_test_cannot_connect() -> None:
    with socket.socket() as connection, pytest.raises(NetworkRefused):
        connection.connect(("127.0.0.1", 9))


def test_a_unit_test_cannot_listen() -> None:
    with socket.socket() as listener, pytest.raises(NetworkRefused):
        listener.bind(("127.0.0.1", 0))


async def test_event_loops_still_wake_up() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.sendall(b"x")
        assert theirs.recv(1) == b"x"
