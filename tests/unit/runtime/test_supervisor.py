"""The supervisor, with small Python programs as children."""

import asyncio
import contextlib
import io
import itertools
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import psutil
import pytest

from gov.runtime.process import identity_of, is_alive
from gov.runtime.supervisor import Child, ChildState, ChildStatus, RotatingLog, StartFailed, Supervisor

FOREVER = "import time; print('up', flush=True); time.sleep(600)"


def when_exists(path: Path) -> Callable[[], Awaitable[bool]]:
    async def ready() -> bool:
        return os.access(path, os.F_OK)

    return ready


async def at_once() -> bool:
    return True


async def never() -> bool:
    return False


def python(name: str, code: str, folder: Path, ready: Callable[[], Awaitable[bool]] = at_once, **more) -> Child:
    return Child(name, (sys.executable, "-c", code), dict(os.environ), folder, ready, **more)


async def until(condition: Callable[[], bool], timeout_s: float = 20) -> None:
    async with asyncio.timeout(timeout_s):
        while not condition():
            await asyncio.sleep(0.02)


@contextlib.asynccontextmanager
async def running(supervisor: Supervisor):
    ready = asyncio.Event()
    task = asyncio.create_task(supervisor.run(ready.set))
    try:
        await asyncio.wait([task, asyncio.create_task(ready.wait())], return_when=asyncio.FIRST_COMPLETED)
        yield task
    finally:
        supervisor.request_stop()
        await task


def by_name(supervisor: Supervisor) -> dict[str, ChildStatus]:
    return {status.name: status for status in supervisor.status()}


async def test_a_child_starts_only_when_what_it_depends_on_is_ready(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    slow = f"import pathlib, time; time.sleep(0.4); pathlib.Path({str(gate)!r}).touch(); time.sleep(600)"
    eager = f"import pathlib; print(pathlib.Path({str(gate)!r}).exists(), flush=True); import time; time.sleep(600)"
    output = io.StringIO()
    supervisor = Supervisor(
        [
            python("slow", slow, tmp_path, when_exists(gate)),
            python("eager", eager, tmp_path, depends_on=("slow",)),
        ],
        tmp_path / "logs",
        output=output,
    )
    async with running(supervisor):
        await until(lambda: "eager" in output.getvalue())
    assert "eager | True" in output.getvalue()


async def test_what_is_to_be_prepared_is_prepared_once_and_before_others_start(tmp_path: Path) -> None:
    prepared = []

    async def prepare() -> None:
        prepared.append(time.monotonic())

    supervisor = Supervisor(
        [
            python("database", FOREVER, tmp_path, prepare=prepare),
            python("service", FOREVER, tmp_path, depends_on=("database",)),
        ],
        tmp_path / "logs",
        output=None,
        first_delay_s=0.05,
    )
    async with running(supervisor):
        first = by_name(supervisor)["database"]
        assert first.process is not None
        os.kill(first.process.pid, signal.SIGKILL)
        await until(lambda: by_name(supervisor)["database"].restarts == 1)
        await until(lambda: by_name(supervisor)["database"].state is ChildState.READY)
    assert len(prepared) == 1


async def test_a_child_that_ends_is_started_again_after_ever_longer_delays(tmp_path: Path) -> None:
    starts = tmp_path / "starts"
    code = f"import time; open({str(starts)!r}, 'a').write(f'{{time.time()}}\\n'); time.sleep(0.1)"
    supervisor = Supervisor(
        [python("weak", code, tmp_path)], tmp_path / "logs", output=None, first_delay_s=0.2, longest_delay_s=0.8
    )
    async with running(supervisor):
        await until(lambda: starts.exists() and len(starts.read_text().splitlines()) >= 5)
    at = [float(line) for line in starts.read_text().splitlines()]
    gaps = [later - earlier for earlier, later in itertools.pairwise(at[:5])]
    assert all(gap >= least for gap, least in zip(gaps, (0.3, 0.5, 0.9, 0.9), strict=True)), gaps


async def test_the_delay_is_short_again_after_a_healthy_time(tmp_path: Path) -> None:
    supervisor = Supervisor(
        [python("weak", "import time; time.sleep(0.3)", tmp_path)],
        tmp_path / "logs",
        output=None,
        first_delay_s=0.05,
        longest_delay_s=600,
        healthy_after_s=0.1,
    )
    async with running(supervisor):
        # With delays that double, the tenth restart would come after half a minute.
        await until(lambda: by_name(supervisor)["weak"].restarts >= 10, timeout_s=15)


async def test_a_child_that_never_gets_ready_is_named_with_its_last_lines(tmp_path: Path) -> None:
    supervisor = Supervisor(
        [
            python("sound", FOREVER, tmp_path),
            python(
                "stuck", "print('cannot reach the moon', flush=True); " + FOREVER, tmp_path, never, ready_timeout_s=1
            ),
        ],
        tmp_path / "logs",
        output=None,
    )
    with pytest.raises(StartFailed) as failed:
        await supervisor.run()
    assert failed.value.child == "stuck"
    assert "not ready after 1 s" in failed.value.reason
    assert "cannot reach the moon" in failed.value.lines
    assert by_name(supervisor)["sound"].state is ChildState.STOPPED
    assert by_name(supervisor)["stuck"].state is ChildState.FAILED


async def test_a_child_that_keeps_ending_before_it_is_ready_fails_the_start(tmp_path: Path) -> None:
    supervisor = Supervisor(
        [python("broken", "import sys; print('no such table'); sys.exit(3)", tmp_path, never)],
        tmp_path / "logs",
        output=None,
        first_delay_s=0.01,
    )
    with pytest.raises(StartFailed, match="exit code 3, 4 times") as failed:
        await supervisor.run()
    assert "no such table" in failed.value.lines


async def test_a_program_that_does_not_exist_is_a_failed_start(tmp_path: Path) -> None:
    missing = Child("ghost", ("/nowhere/ghost",), {}, tmp_path, at_once)
    with pytest.raises(StartFailed, match="/nowhere/ghost does not exist"):
        await Supervisor([missing], tmp_path / "logs", output=None).run()


async def test_children_stop_in_reverse_order(tmp_path: Path) -> None:
    code = (
        "import signal, sys, time\n"
        "def leave(*_):\n"
        "    time.sleep(0.2); print('left at', time.time(), flush=True); sys.exit(0)\n"
        "signal.signal(signal.SIGTERM, leave)\n"
        "print('up', flush=True)\n"
        "time.sleep(600)\n"
    )
    output = io.StringIO()
    supervisor = Supervisor(
        [
            python("first", code, tmp_path),
            python("second", code, tmp_path, depends_on=("first",)),
            python("third", code, tmp_path, depends_on=("second",)),
        ],
        tmp_path / "logs",
        output=output,
    )
    async with running(supervisor):
        await until(lambda: output.getvalue().count("| up") == 3)
    left = [line.split("|")[0].strip() for line in output.getvalue().splitlines() if "left at" in line]
    assert left == ["third", "second", "first"]


async def test_a_child_that_ignores_the_signal_is_killed_after_the_grace(tmp_path: Path) -> None:
    deaf = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(600)"
    )
    output = io.StringIO()
    supervisor = Supervisor([python("deaf", deaf, tmp_path, stop_grace_s=0.3)], tmp_path / "logs", output=output)
    async with running(supervisor):
        await until(lambda: "up" in output.getvalue())
        status = by_name(supervisor)["deaf"].process
        assert status is not None
    assert not is_alive(status)
    assert "did not stop within 0.3 s and is killed" in output.getvalue()


@pytest.mark.parametrize("turns", range(6))
async def test_a_child_that_gets_ready_just_as_all_is_to_stop_is_stopped_too(tmp_path: Path, turns: int) -> None:
    async def ready() -> bool:
        supervisor.request_stop()
        for _ in range(turns):
            await asyncio.sleep(0)
        return True

    supervisor = Supervisor([python("late", FOREVER, tmp_path, ready)], tmp_path / "logs", output=None)
    async with asyncio.timeout(10):
        await supervisor.run()
    assert by_name(supervisor)["late"].state is ChildState.STOPPED


async def test_lines_carry_the_childs_name_and_go_to_its_log(tmp_path: Path) -> None:
    output = io.StringIO()
    supervisor = Supervisor(
        [
            python("a", "print('one\\ntwo', flush=True); " + FOREVER, tmp_path),
            python("longer", "import sys; print('three', file=sys.stderr, flush=True); " + FOREVER, tmp_path),
        ],
        tmp_path / "logs",
        output=output,
    )
    async with running(supervisor):
        await until(lambda: output.getvalue().count("| up") == 2)
    lines = output.getvalue().splitlines()
    assert {"a      | one", "a      | two", "longer | three"} <= set(lines)
    assert (tmp_path / "logs" / "a.log").read_text().splitlines()[:2] == ["one", "two"]


async def test_a_terminal_gets_colour(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.delenv("NO_COLOR", raising=False)
    output = Terminal()
    supervisor = Supervisor([python("a", FOREVER, tmp_path)], tmp_path / "logs", output=output)
    async with running(supervisor):
        await until(lambda: "up" in output.getvalue())
    assert "\x1b[36ma\x1b[0m | up" in output.getvalue()


async def test_every_change_is_told(tmp_path: Path) -> None:
    seen: list[ChildState] = []
    supervisor = Supervisor(
        [python("a", FOREVER, tmp_path)],
        tmp_path / "logs",
        output=None,
        on_change=lambda statuses: seen.append(statuses[0].state),
    )
    async with running(supervisor):
        pass
    assert list(dict.fromkeys(seen)) == [ChildState.STARTING, ChildState.READY, ChildState.STOPPED]


def test_a_dependency_must_come_first(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="a depends on b"):
        Supervisor(
            [python("a", FOREVER, tmp_path, depends_on=("b",)), python("b", FOREVER, tmp_path)], tmp_path, output=None
        )


def test_a_log_is_rotated_by_size_and_old_ones_go(tmp_path: Path) -> None:
    log = RotatingLog(tmp_path / "a.log", limit_bytes=20, kept=2)
    for number in range(8):
        log.write(f"line {number}".encode())
    log.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.log", "a.log.1", "a.log.2"]
    assert (tmp_path / "a.log").read_text() == "line 6\nline 7\n"
    assert (tmp_path / "a.log.1").read_text() == "line 4\nline 5\n"


SUPERVISOR_PROGRAM = """
import asyncio, os, pathlib, sys
from gov.runtime.supervisor import Child, Supervisor

async def ready():
    return True

folder = pathlib.Path(sys.argv[1])
child = Child("child", (sys.executable, "-c", "import time; time.sleep(600)"), dict(os.environ), folder, ready)

def announce(statuses):
    if statuses[0].process is not None:
        (folder / "pid.new").write_text(str(statuses[0].process.pid))
        (folder / "pid.new").replace(folder / "pid")

asyncio.run(Supervisor([child], folder / "logs", output=None, on_change=announce).run())
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
@pytest.mark.skipif(
    sys.platform != "linux", reason="not to be had on this platform: only Linux tells a child that its parent died"
)
async def test_no_child_outlives_its_supervisor(tmp_path: Path, number: signal.Signals) -> None:
    supervisor = await asyncio.create_subprocess_exec(sys.executable, "-c", SUPERVISOR_PROGRAM, str(tmp_path))
    pid_file = tmp_path / "pid"
    await until(pid_file.exists)
    child = identity_of(int(pid_file.read_text()))
    assert child is not None
    await until(lambda: "time.sleep" in " ".join(psutil.Process(child.pid).cmdline()[:3]))
    supervisor.send_signal(number)
    code = await supervisor.wait()
    assert code == (0 if number is not signal.SIGKILL else -signal.SIGKILL)
    await until(lambda: not is_alive(child))
