"""A link is whole, cut, half open, held, slow or reset, and whole again once it is healed."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from tests.faults.proxy import Link, LinkState

from gov.runtime.ports import choose_ports

SOON_S = 5.0
NOT_S = 0.2


@pytest.fixture
async def link() -> AsyncIterator[Link]:
    """A link to somebody who says everything back."""
    port, target = choose_ports(2)

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while said := await reader.read(1000):
                writer.write(said)
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(echo, "127.0.0.1", target)
    made = Link("echo", port, target, delay_s=NOT_S)
    await made.start()
    yield made
    await made.close()
    server.close()


class Ends:
    """One connection through the link."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def say(self, text: bytes) -> None:
        self.writer.write(text)
        await self.writer.drain()

    async def hear(self, within_s: float = SOON_S) -> bytes | None:
        """What comes back; empty at the connection's end, None where nothing comes in time."""
        try:
            async with asyncio.timeout(within_s):
                return await self.reader.read(1000)
        except TimeoutError:
            return None


Connect = Callable[[], Awaitable[Ends]]


@pytest.fixture
async def connect(link: Link) -> AsyncIterator[Connect]:
    """Opens connections through the link, which are closed afterwards."""
    made: list[Ends] = []

    async def one_more() -> Ends:
        made.append(Ends(*await asyncio.open_connection("127.0.0.1", link.port)))
        return made[-1]

    yield one_more
    for ends in made:
        ends.writer.close()
        with contextlib.suppress(OSError):
            await ends.writer.wait_closed()


async def test_a_whole_link_passes_both_ways(connect: Connect) -> None:
    ends = await connect()
    await ends.say(b"hello")
    assert await ends.hear() == b"hello"


async def test_who_has_said_everything_still_hears_the_answer(connect: Connect) -> None:
    ends = await connect()
    await ends.say(b"last words")
    ends.writer.write_eof()
    assert await ends.hear() == b"last words"
    assert await ends.hear() == b""


async def test_a_cut_link_ends_connections_and_takes_none_until_it_is_healed(link: Link, connect: Connect) -> None:
    ends = await connect()
    await ends.say(b"hello")
    assert await ends.hear() == b"hello"
    await link.set(LinkState.CUT)
    assert await ends.hear() == b""
    with pytest.raises(ConnectionRefusedError):
        await connect()
    await link.heal()
    again = await connect()
    await again.say(b"again")
    assert await again.hear() == b"again"


async def test_what_a_half_open_link_has_swallowed_never_comes(link: Link, connect: Connect) -> None:
    ends = await connect()
    await link.set(LinkState.HALF_OPEN)
    await ends.say(b"swallowed")
    assert await ends.hear(NOT_S) is None
    late = await connect()
    await link.heal()
    with pytest.raises(ConnectionResetError):
        await ends.hear()
    with pytest.raises(ConnectionResetError):
        await late.hear()


async def test_what_a_held_link_holds_comes_once_it_is_healed(link: Link, connect: Connect) -> None:
    ends = await connect()
    await link.set(LinkState.HELD)
    await ends.say(b"held")
    late = await connect()
    await late.say(b"too")
    assert await ends.hear(NOT_S) is None
    await link.heal()
    assert await ends.hear() == b"held"
    assert await late.hear() == b"too"


async def test_a_slow_link_passes_things_on_later(link: Link, connect: Connect) -> None:
    ends = await connect()
    await link.set(LinkState.SLOW)
    clock = asyncio.get_running_loop().time
    began = clock()
    await ends.say(b"slow")
    assert await ends.hear() == b"slow"
    assert clock() - began >= 2 * NOT_S * 0.9, "there and back"


async def test_a_reset_ends_connections_and_nothing_else(link: Link, connect: Connect) -> None:
    ends = await connect()
    await ends.say(b"hello")
    assert await ends.hear() == b"hello"
    link.reset()
    with pytest.raises(ConnectionResetError):
        await ends.hear()
    again = await connect()
    await again.say(b"again")
    assert await again.hear() == b"again"
