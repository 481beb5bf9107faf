"""Waiting between two attempts, without keeping a process from stopping."""

import asyncio
import contextlib


async def pause(stop: asyncio.Event, longest_s: float) -> None:
    """Wait until told to stop, or for so long."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(longest_s):
            await stop.wait()
