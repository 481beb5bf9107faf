"""Operating system processes: started so that they die with their parent, recognised, and ended."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

LAUNCHER = Path(__file__).with_name("launch.py")

UNPRIVILEGED_USER = "nobody"

# The kernel counts a start time in ticks and in the clock of the boot, which may be corrected a little.
SAME_START_WITHIN_S = 2.0


@dataclass(frozen=True, slots=True)
class Identity:
    """A process, told from a later one with the same number by when it started (seconds since the epoch)."""

    pid: int
    started_at: float


def identity_of(pid: int) -> Identity | None:
    """Return the identity of a running process, or None where there is none with this number."""
    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return None
        return Identity(pid, process.create_time())
    except psutil.NoSuchProcess:
        return None


def is_alive(identity: Identity) -> bool:
    """Say whether this very process still runs."""
    current = identity_of(identity.pid)
    return current is not None and abs(current.started_at - identity.started_at) < SAME_START_WITHIN_S


def end(identity: Identity, stop_signal: signal.Signals, grace_s: float) -> None:
    """Ask a process that isn't a child of this one to stop; kill it and its descendants after the grace."""
    if not is_alive(identity):
        return
    try:
        family = [psutil.Process(identity.pid), *psutil.Process(identity.pid).children(recursive=True)]
        os.kill(identity.pid, stop_signal)
    except (psutil.NoSuchProcess, ProcessLookupError):
        return
    deadline = time.monotonic() + grace_s
    while is_alive(identity) and time.monotonic() < deadline:
        time.sleep(0.05)
    kill_all(family)


def kill_family(pid: int) -> None:
    """Kill a process and all its descendants at once, as a loss of power would."""
    try:
        process = psutil.Process(pid)
        family = [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return
    kill_all(family)


def kill_all(processes: Sequence[psutil.Process]) -> None:
    """Kill those of the processes that still run, and wait until they are gone."""
    for process in processes:
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue
    for process in processes:
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            try:
                if process.status() == psutil.STATUS_ZOMBIE or not process.is_running():
                    break
            except psutil.NoSuchProcess:
                break
            time.sleep(0.01)


def bound_to_parent(
    argv: Sequence[str | Path],
    *,
    stop_signal: signal.Signals = signal.SIGTERM,
    user: str | None = None,
) -> list[str]:
    """Wrap a command so that it gets the signal when the *thread* that starts it ends, and runs as `user`.

    On systems without such a signal only the user changes. Raises FileNotFoundError for an unknown command.
    """
    program = shutil.which(str(argv[0]))
    if program is None:
        raise FileNotFoundError(f"The program {argv[0]} does not exist or may not be run.")
    rest = [str(argument) for argument in argv[1:]]
    launcher = [sys.executable, "-I", "-S", str(LAUNCHER)]
    return [*launcher, str(os.getpid()), str(int(stop_signal)), user or "-", program, *rest]


def spawn(
    argv: Sequence[str | Path],
    *,
    log: Path,
    env: Mapping[str, str],
    cwd: Path,
    stop_signal: signal.Signals = signal.SIGTERM,
    user: str | None = None,
) -> subprocess.Popen[bytes]:
    """Start a command in a session of its own, appending what it prints to `log`; it dies with this thread."""
    with log.open("ab") as output:
        return subprocess.Popen(
            bound_to_parent(argv, stop_signal=stop_signal, user=user),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=dict(env),
            cwd=cwd,
            start_new_session=True,
        )


def stop(process: subprocess.Popen[bytes], stop_signal: signal.Signals, grace_s: float) -> None:
    """Ask a child to stop, kill it and its descendants after the grace, and reap it."""
    if process.poll() is None:
        process.send_signal(stop_signal)
        try:
            process.wait(grace_s)
        except subprocess.TimeoutExpired:
            kill_family(process.pid)
    process.wait()


def last_lines(log: Path, count: int = 20) -> list[str]:
    """Return the last lines of a log file, or none where it does not exist."""
    try:
        return log.read_text("utf-8", errors="replace").splitlines()[-count:]
    except FileNotFoundError:
        return []


def running_as_root() -> bool:
    """Say whether this process is root's, so that a server refusing root needs another user."""
    return os.geteuid() == 0
