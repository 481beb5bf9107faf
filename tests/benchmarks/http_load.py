"""The load on an API: connections that each send the next command as soon as the last is answered.

`python -m tests.benchmarks.http_load` reads an `Order` from its standard input and prints a `Report`, both as JSON. It
is a process of its own, and speaks HTTP/1.1 over bare sockets: a client library would need more of the processor than
the API does.
"""

import asyncio
import gc
import re
import sys
from time import perf_counter
from typing import Final
from uuid import uuid4

import msgspec

LENGTH: Final = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
END: Final = b"\r\n\r\n"


class Order(msgspec.Struct):
    """What to send: a command on each connection's funds by turns, and with everybody's token by turns.

    `funds` are each connection's streams, `versions` the ones that these are at. Answers within the first `warm_up_s`
    seconds are not counted.
    """

    port: int
    body: str
    tokens: list[str]
    funds: list[list[str]]
    versions: list[list[int]]
    warm_up_s: float
    seconds: float


class Report(msgspec.Struct):
    """What was answered: how often in the time that counts, how fast (milliseconds), and all in all.

    `versions` are those that the funds are at afterwards, `refused` the first answers that were none of 200 and 201.
    """

    answered: int
    seconds: float
    milliseconds: list[float]
    answered_in_all: int
    versions: list[list[int]]
    refused: list[str]


class Connection(asyncio.Protocol):
    """One connection, one command at a time."""

    def __init__(self, order: Order, number: int, begins: float) -> None:
        self.ended = asyncio.get_running_loop().create_future()
        self.milliseconds: list[float] = []
        self.answered_in_all = 0
        self.refused: list[str] = []
        self.versions = order.versions[number]
        self._order = order
        self._number = number
        self._sent = 0
        self._fund = 0
        self._sent_at = 0.0
        self._received = b""
        self._counts_from = begins + order.warm_up_s
        self._ends_at = self._counts_from + order.seconds

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._send()

    def data_received(self, data: bytes) -> None:
        received = self._received + data if self._received else data
        head = received.find(END)
        if head >= 0:
            length = LENGTH.search(received, 0, head)
            if length is not None and len(received) >= head + len(END) + int(length[1]):
                self._received = b""
                self._answered(received)
                return
        self._received = received

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.ended.done():
            self.refused.append(f"the connection was closed: {exc}")
            self.ended.set_result(None)

    def _send(self) -> None:
        order = self._order
        self._fund = self._sent % len(self.versions)
        connections = len(order.funds)
        token = order.tokens[(self._number + self._sent * connections) % len(order.tokens)]
        self._sent += 1
        self._transport.write(
            f"POST /funds/{order.funds[self._number][self._fund]}/drawings HTTP/1.1\r\nHost: 127.0.0.1\r\n"
            f'Authorization: {token}\r\nIdempotency-Key: {uuid4()}\r\nIf-Match: "{self.versions[self._fund]}"\r\n'
            f"Content-Type: application/json\r\nContent-Length: {len(order.body)}\r\n\r\n{order.body}".encode()
        )
        self._sent_at = perf_counter()

    def _answered(self, answer: bytes) -> None:
        now = perf_counter()
        if answer[9:12] in {b"200", b"201"}:
            self.answered_in_all += 1
            self.versions[self._fund] += 1
            if self._counts_from <= self._sent_at and now <= self._ends_at:
                self.milliseconds.append((now - self._sent_at) * 1000)
        else:
            self.refused.append(answer.decode(errors="replace"))
        if now < self._ends_at and not self.refused:
            self._send()
        else:
            self.ended.set_result(None)
            self._transport.close()


async def load(order: Order) -> Report:
    """Send until the time is over, and wait for the last answers."""
    loop = asyncio.get_running_loop()
    begins = perf_counter()
    connections = [Connection(order, number, begins) for number in range(len(order.funds))]
    for each in connections:
        await loop.create_connection(lambda each=each: each, "127.0.0.1", order.port)  # type: ignore[misc]
    gc.collect()
    gc.disable()
    await asyncio.gather(*(each.ended for each in connections))
    milliseconds = [each for connection in connections for each in connection.milliseconds]
    return Report(
        answered=len(milliseconds),
        seconds=order.seconds,
        milliseconds=milliseconds,
        answered_in_all=sum(each.answered_in_all for each in connections),
        versions=[each.versions for each in connections],
        refused=[text for each in connections for text in each.refused][:3],
    )


if __name__ == "__main__":
    given = msgspec.json.decode(sys.stdin.buffer.read(), type=Order)
    sys.stdout.buffer.write(msgspec.json.encode(asyncio.run(load(given))))
