"""A link that can be broken: a TCP proxy which cuts, swallows, holds, delays or resets what passes, and is healed."""

import asyncio
import contextlib
import socket
import struct
from enum import Enum
from typing import Final

CHUNK_BYTES: Final = 65_536
NO_LINGER: Final = struct.pack("ii", 1, 0)


class LinkState(Enum):
    """What a link does to the bytes that come to it.

    `cut` refuses new connections and has ended the old ones. `half_open` takes connections and bytes, and they are
    gone. `held` takes them, too, and passes them on once it is healed, as TCP does after packets were lost. `slow`
    passes each piece on later.
    """

    WHOLE = "whole"
    CUT = "cut"
    HALF_OPEN = "half_open"
    HELD = "held"
    SLOW = "slow"


class Link:
    """A proxy on the loopback address from `port` to `target`, both ports. It begins whole.

    `delay_s` is how much later a slow link passes each piece on, in each direction.
    """

    def __init__(self, name: str, port: int, target: int, *, delay_s: float = 0.1) -> None:
        self.name = name
        self.port = port
        self.target = target
        self.delay_s = delay_s
        self.state = LinkState.WHOLE
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._changed = asyncio.Event()

    async def start(self) -> None:
        """Listen. Raises OSError where the port is taken."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)

    async def close(self) -> None:
        """End every connection and listen no more."""
        if self._server is not None:
            self._server.close()
            self._server = None
        self._end_all(reset=True)
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def set(self, state: LinkState) -> None:
        """Be in another state from now on."""
        self.state = state
        if state is LinkState.CUT:
            if self._server is not None:
                self._server.close()
                self._server = None
            self._end_all(reset=False)
        elif self._server is None:
            await self.start()
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    def reset(self) -> None:
        """End every connection with a reset, and go on."""
        self._end_all(reset=True)

    async def heal(self) -> None:
        """Be whole again. What a half-open link swallowed is gone, so its connections end."""
        if self.state is LinkState.HALF_OPEN:
            self._end_all(reset=True)
        await self.set(LinkState.WHOLE)

    def _end_all(self, *, reset: bool) -> None:
        for writer in tuple(self._open):
            if reset:
                sock: socket.socket = writer.get_extra_info("socket")
                with contextlib.suppress(OSError):
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, NO_LINGER)
                writer.transport.abort()
            else:
                writer.close()
        self._open.clear()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        task = asyncio.create_task(self._carry(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self._passable(writer)
            if writer not in self._open:
                return
            there_reader, there_writer = await asyncio.open_connection("127.0.0.1", self.target)
            self._open.add(there_writer)
            try:
                async with asyncio.TaskGroup() as both:
                    both.create_task(self._pump(reader, there_writer))
                    both.create_task(self._pump(there_reader, writer))
            finally:
                self._open.discard(there_writer)
                there_writer.close()
        except (OSError, ExceptionGroup):
            pass
        finally:
            self._open.discard(writer)
            writer.close()

    async def _passable(self, writer: asyncio.StreamWriter) -> None:
        while self.state in (LinkState.HALF_OPEN, LinkState.HELD) and writer in self._open:
            await self._changed.wait()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while piece := await reader.read(CHUNK_BYTES):
            if self.state is LinkState.HALF_OPEN:
                continue
            await self._passable(writer)
            if self.state is LinkState.SLOW:
                await asyncio.sleep(self.delay_s)
            writer.write(piece)
            await writer.drain()
        # One side has said all it has to say; the other may still answer.
        with contextlib.suppress(OSError, RuntimeError):
            writer.write_eof()
