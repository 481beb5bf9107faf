"""Processes of their own for what must not share one with the load: started, waited for, and gone afterwards."""

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from typing import Final

from gov.runtime.process import bound_to_parent, last_lines

CHECKOUT: Final = Path(__file__).resolve().parents[2]
STARTS_WITHIN_S: Final = 60.0


class ProcessFailed(Exception):
    """A process of a benchmark has ended, or did not get ready; the message has its last lines."""


@contextlib.asynccontextmanager
async def running(
    log: Path, module: str, *arguments: str, python: Path | None = None, environment: Mapping[str, str] | None = None
) -> AsyncIterator[asyncio.subprocess.Process]:
    """A Python module in a process that ends with this one, what it prints going to a file."""
    with log.open("ab") as output:
        process = await asyncio.create_subprocess_exec(
            *bound_to_parent([python or sys.executable, "-m", module, *arguments]),
            cwd=CHECKOUT,
            env={**os.environ, **(environment or {})},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.terminate()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(15):
                    await process.wait()
        if process.returncode is None:
            process.kill()
            await process.wait()


async def answer_of(
    module: str,
    *arguments: str,
    given: bytes = b"",
    python: Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> bytes:
    """What a Python module prints that runs in a process of its own and is given something. Raises ProcessFailed."""
    process = await asyncio.create_subprocess_exec(
        *bound_to_parent([python or sys.executable, "-m", module, *arguments]),
        cwd=CHECKOUT,
        env={**os.environ, **(environment or {})},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        answer, complaints = await process.communicate(given)
    finally:
        if process.returncode is None:
            process.kill()
    if process.returncode != 0:
        raise ProcessFailed(f"{module} ended with {process.returncode}:\n{complaints.decode()[-4000:]}")
    return answer


async def until_ready(process: asyncio.subprocess.Process, log: Path, ready: Callable[[], Awaitable[bool]]) -> None:
    """Wait until a process says that it is ready. Raises ProcessFailed."""
    deadline = asyncio.get_running_loop().time() + STARTS_WITHIN_S
    while not await ready():
        if process.returncode is not None or asyncio.get_running_loop().time() > deadline:
            state = "ended" if process.returncode is not None else f"was not ready after {STARTS_WITHIN_S:.0f} s"
            raise ProcessFailed("\n".join([f"{log.stem} {state}:", *last_lines(log)]))
        await asyncio.sleep(0.05)
