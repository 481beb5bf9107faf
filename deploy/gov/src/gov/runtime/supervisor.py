"""Runs child processes in the order of their dependencies, restarts those that end, and stops all of them cleanly."""

import asyncio
import collections
import contextlib
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TextIO

from gov.runtime.process import Identity, bound_to_parent, identity_of, kill_family

FIRST_DELAY_S = 0.5
LONGEST_DELAY_S = 30.0
HEALTHY_AFTER_S = 60.0
FIRST_TRIES = 4
READY_POLL_S = 0.1

LOG_LIMIT_BYTES = 10 * 1024 * 1024
LOGS_KEPT = 3
LINES_REMEMBERED = 20

COLOURS = ("36", "33", "35", "32", "34", "96", "93", "95", "92", "94")


class ChildState(StrEnum):
    """Where a child stands."""

    WAITING = "waiting"  # for what it depends on
    STARTING = "starting"
    READY = "ready"
    BACKING_OFF = "backing off"  # ended, and is started again after a delay
    FAILED = "failed"
    STOPPED = "stopped"


@dataclass(frozen=True)
class Child:
    """What to run: `argv[0]` is looked up on PATH, `env` is the whole environment.

    `ready` is asked again and again; the child counts as ready, and those that depend on it start, when it returns
    true, after `prepare` has run once. `stop_signal` asks it to stop, and reaches it too when the supervisor dies.
    """

    name: str
    argv: Sequence[str]
    env: Mapping[str, str]
    cwd: Path
    ready: Callable[[], Awaitable[bool]]
    depends_on: tuple[str, ...] = ()
    user: str | None = None
    prepare: Callable[[], Awaitable[None]] | None = None
    ready_timeout_s: float = 60.0
    stop_signal: signal.Signals = signal.SIGTERM
    stop_grace_s: float = 20.0


@dataclass(frozen=True, slots=True)
class ChildStatus:
    """A child as it stands: the process while there is one, restarts so far, since when (seconds since the epoch)."""

    name: str
    state: ChildState
    process: Identity | None
    restarts: int
    since: float
    stop_signal: signal.Signals


class StartFailed(Exception):
    """A child could not be brought up; it has the child's name, the reason and the last lines it printed."""

    def __init__(self, child: str, reason: str, lines: Sequence[str]) -> None:
        self.child = child
        self.reason = reason
        self.lines = tuple(lines)
        super().__init__("\n".join([f"{child} {reason}", *(f"    {line}" for line in lines)]))


class RotatingLog:
    """A log file that is renamed to .1, .2, ... when it grows beyond a limit."""

    def __init__(self, path: Path, limit_bytes: int = LOG_LIMIT_BYTES, kept: int = LOGS_KEPT) -> None:
        self.path = path
        self._limit_bytes = limit_bytes
        self._kept = kept
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("ab")

    def write(self, line: bytes) -> None:
        """Append a line, which has no end of line yet."""
        if self._file.tell() + len(line) >= self._limit_bytes:
            self._rotate()
        self._file.write(line + b"\n")
        self._file.flush()

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _rotate(self) -> None:
        self._file.close()
        for number in range(self._kept - 1, 0, -1):
            older = self.path.with_name(f"{self.path.name}.{number}")
            if older.exists():
                older.rename(self.path.with_name(f"{self.path.name}.{number + 1}"))
        self.path.rename(self.path.with_name(f"{self.path.name}.1"))
        self._file = self.path.open("ab")


@dataclass
class _Run:
    """What the supervisor knows of one child."""

    child: Child
    log: RotatingLog
    colour: str
    up: asyncio.Event = field(default_factory=asyncio.Event)
    state: ChildState = ChildState.WAITING
    since: float = field(default_factory=time.time)
    restarts: int = 0
    prepared: bool = False
    process: asyncio.subprocess.Process | None = None
    identity: Identity | None = None
    reader: asyncio.Task[None] | None = None
    lines: collections.deque[str] = field(default_factory=lambda: collections.deque(maxlen=LINES_REMEMBERED))


class Supervisor:
    """Runs children until it is told to stop.

    `on_change` gets all statuses whenever one has changed. `output` gets every line with the child's name in front,
    coloured where it is a terminal; None keeps them in the files below `logs` only.
    """

    def __init__(
        self,
        children: Sequence[Child],
        logs: Path,
        *,
        output: TextIO | None = sys.stdout,
        on_change: Callable[[tuple[ChildStatus, ...]], None] = lambda _: None,
        first_delay_s: float = FIRST_DELAY_S,
        longest_delay_s: float = LONGEST_DELAY_S,
        healthy_after_s: float = HEALTHY_AFTER_S,
    ) -> None:
        _refuse_disorder(children)
        self._output = output
        self._on_change = on_change
        self._first_delay_s = first_delay_s
        self._longest_delay_s = longest_delay_s
        self._healthy_after_s = healthy_after_s
        self._stopping = asyncio.Event()
        self._width = max((len(child.name) for child in children), default=0)
        self._runs = {
            child.name: _Run(child, RotatingLog(logs / f"{child.name}.log"), COLOURS[number % len(COLOURS)])
            for number, child in enumerate(children)
        }

    def status(self) -> tuple[ChildStatus, ...]:
        """Return every child's status, in the order in which they were given."""
        return tuple(
            ChildStatus(name, run.state, run.identity, run.restarts, run.since, run.child.stop_signal)
            for name, run in self._runs.items()
        )

    def request_stop(self) -> None:
        """Have `run` stop everything and return; asking twice changes nothing."""
        self._stopping.set()

    async def run(self, on_ready: Callable[[], None] = lambda: None) -> None:
        """Bring everything up, call `on_ready`, keep it up, and stop it in reverse order when asked to.

        SIGINT and SIGTERM ask for it too. Raises StartFailed, after stopping the rest, if a child doesn't come up.
        """
        loop = asyncio.get_running_loop()
        handled = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]
        for number in handled:
            loop.add_signal_handler(number, self.request_stop)
        minders: set[asyncio.Task[None]] = {
            loop.create_task(self._mind(run), name=name) for name, run in self._runs.items()
        }
        all_up = loop.create_task(self._all_up())
        stopping = loop.create_task(self._until_stopping())
        failure: BaseException | None = None
        try:
            announced = False
            waiting: set[asyncio.Task[None]] = {*minders, all_up, stopping}
            while not self._stopping.is_set() and failure is None:
                ended, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                failure = next((error for task in ended if (error := task.exception()) is not None), None)
                if all_up.done() and not announced and failure is None:
                    announced = True
                    on_ready()
        finally:
            for task in (*minders, all_up, stopping):
                task.cancel()
            await asyncio.gather(*minders, all_up, stopping, return_exceptions=True)
            await self._stop_all()
            for number in handled:
                loop.remove_signal_handler(number)
            for run in self._runs.values():
                if run.reader is not None:
                    run.reader.cancel()
                run.log.close()
        if failure is not None:
            raise failure

    async def _all_up(self) -> None:
        for run in self._runs.values():
            await run.up.wait()

    async def _until_stopping(self) -> None:
        await self._stopping.wait()

    async def _mind(self, run: _Run) -> None:
        """Start a child when what it depends on is up, and again whenever it ends."""
        for name in run.child.depends_on:
            await self._runs[name].up.wait()
        delay_s = self._first_delay_s
        deadline = time.monotonic() + run.child.ready_timeout_s
        while True:
            self._move(run, ChildState.STARTING)
            await self._start(run)
            assert run.process is not None
            remaining_s = deadline - time.monotonic()
            became_ready = await self._wait_until_ready(
                run, run.child.ready_timeout_s if run.up.is_set() else remaining_s
            )
            if became_ready and await self._came_up(run):
                ready_at = time.monotonic()
                await run.process.wait()
                if time.monotonic() - ready_at >= self._healthy_after_s:
                    delay_s = self._first_delay_s
            elif run.process.returncode is None:
                await self._end(run)
                self._say(run, f"was not ready after {run.child.ready_timeout_s:.0f} s and is stopped")
                if not run.up.is_set():
                    await self._drain(run)
                    raise self._failed(run, f"was not ready after {run.child.ready_timeout_s:.0f} s")
            code = await run.process.wait()
            await self._drain(run)
            tried_enough = run.restarts + 1 >= FIRST_TRIES or time.monotonic() + delay_s > deadline
            if tried_enough and not run.up.is_set():
                raise self._failed(run, f"ended with {_describe(code)}, {run.restarts + 1} times, and never got ready")
            self._say(run, f"ended with {_describe(code)}; started again in {delay_s:g} s")
            self._move(run, ChildState.BACKING_OFF)
            await asyncio.sleep(delay_s)
            delay_s = min(delay_s * 2, self._longest_delay_s)
            run.restarts += 1

    async def _drain(self, run: _Run) -> None:
        """Take what an ended child still had to say."""
        run.identity = None
        if run.reader is not None:
            # A descendant that lives on could keep the pipe open for ever.
            await asyncio.wait([run.reader], timeout=2)

    async def _start(self, run: _Run) -> None:
        child = run.child
        try:
            run.process = await asyncio.create_subprocess_exec(
                *bound_to_parent(child.argv, stop_signal=child.stop_signal, user=child.user),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
                env=dict(child.env),
                cwd=child.cwd,
                start_new_session=True,
            )
        except OSError as error:
            raise self._failed(run, f"could not be started: {error}") from error
        run.identity = identity_of(run.process.pid)
        self._changed()
        assert run.process.stdout is not None
        run.reader = asyncio.get_running_loop().create_task(self._copy_output(run, run.process.stdout))

    async def _copy_output(self, run: _Run, stream: asyncio.StreamReader) -> None:
        rest = b""
        while chunk := await stream.read(65_536):
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                self._write(run, line)
            if len(rest) > LOG_LIMIT_BYTES:
                self._write(run, rest)
                rest = b""
        if rest:
            self._write(run, rest)

    async def _wait_until_ready(self, run: _Run, timeout_s: float) -> bool:
        """Ask until the child is ready; false if it ends before, or the time is over."""
        assert run.process is not None
        ended = asyncio.get_running_loop().create_task(run.process.wait())
        deadline = time.monotonic() + timeout_s
        try:
            while not ended.done() and (remaining_s := deadline - time.monotonic()) > 0:
                try:
                    async with asyncio.timeout(max(remaining_s, READY_POLL_S)):
                        ready = await run.child.ready()
                except TimeoutError:
                    return False
                if ready:
                    # A readiness that another process answers says nothing about a child that has ended.
                    return not ended.done()
                await asyncio.wait([ended], timeout=READY_POLL_S)
            return False
        finally:
            ended.cancel()

    async def _came_up(self, run: _Run) -> bool:
        """Prepare the child if that is still to be done; false if it has ended meanwhile."""
        if run.child.prepare is not None and not run.prepared:
            try:
                await run.child.prepare()
            except Exception as error:
                if self._has_ended(run):
                    self._say(run, f"could not be prepared: {error}")
                    return False
                raise self._failed(run, f"could not be prepared: {error}") from error
            run.prepared = True
        if self._has_ended(run):
            return False
        self._move(run, ChildState.READY)
        run.up.set()
        return True

    @staticmethod
    def _has_ended(run: _Run) -> bool:
        return run.process is None or run.process.returncode is not None

    async def _stop_all(self) -> None:
        """Stop a child once everything that depends on it has stopped."""
        stopped = {name: asyncio.Event() for name in self._runs}
        dependants: dict[str, list[str]] = {name: [] for name in self._runs}
        for name, run in self._runs.items():
            for needed in run.child.depends_on:
                dependants[needed].append(name)

        async def stop(name: str) -> None:
            for dependant in dependants[name]:
                await stopped[dependant].wait()
            run = self._runs[name]
            await self._end(run)
            await self._drain(run)
            if run.state is not ChildState.FAILED:
                self._move(run, ChildState.STOPPED)
            stopped[name].set()

        stops: list[Coroutine[None, None, None]] = [stop(name) for name in self._runs]
        await asyncio.gather(*stops)

    async def _end(self, run: _Run) -> None:
        if run.process is None or run.process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            run.process.send_signal(run.child.stop_signal)
        try:
            async with asyncio.timeout(run.child.stop_grace_s):
                await run.process.wait()
        except TimeoutError:
            self._say(run, f"did not stop within {run.child.stop_grace_s:g} s and is killed")
            await asyncio.to_thread(kill_family, run.process.pid)
            await run.process.wait()

    def _failed(self, run: _Run, reason: str) -> StartFailed:
        self._move(run, ChildState.FAILED)
        return StartFailed(run.child.name, reason, list(run.lines))

    def _move(self, run: _Run, state: ChildState) -> None:
        run.state = state
        run.since = time.time()
        self._changed()

    def _changed(self) -> None:
        self._on_change(self.status())

    def _say(self, run: _Run, message: str) -> None:
        self._write(run, f"gov: {run.child.name} {message}".encode())

    def _write(self, run: _Run, line: bytes) -> None:
        run.log.write(line)
        text = line.decode("utf-8", errors="replace").rstrip("\r")
        run.lines.append(text)
        if self._output is not None:
            name = f"{run.child.name:<{self._width}}"
            if self._output.isatty() and "NO_COLOR" not in os.environ:
                name = f"\x1b[{run.colour}m{name}\x1b[0m"
            print(f"{name} | {text}", file=self._output, flush=True)


def _describe(code: int) -> str:
    return f"exit code {code}" if code >= 0 else f"signal {signal.Signals(-code).name}"


def _refuse_disorder(children: Sequence[Child]) -> None:
    """Raise ValueError unless names are unique and each child depends on children that come before it."""
    seen: set[str] = set()
    for child in children:
        if child.name in seen:
            raise ValueError(f"Two children are named {child.name}; give each a name of its own.")
        for needed in child.depends_on:
            if needed not in seen:
                raise ValueError(f"{child.name} depends on {needed}, which does not come before it; put it first.")
        seen.add(child.name)
