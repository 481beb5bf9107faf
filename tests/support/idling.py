"""Letting everybody who can go on do so, in a test whose event loop has nothing to wait for."""

import asyncio


async def idle() -> None:
    """Let each task go on until it waits for what only the test can bring about."""
    for _ in range(10):
        await asyncio.sleep(0)
