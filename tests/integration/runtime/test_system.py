"""The whole local system with a small service and issuer in place of Gatehouse's own."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import asyncpg
import psutil
import pytest
from confluent_kafka.admin import AdminClient

from gov.runtime.ports import choose_ports
from gov.runtime.state import AlreadyRunning, State
from gov.runtime.supervisor import ChildState, StartFailed
from gov.runtime.system import LocalSystem, Service, SystemState

WEB = """
import http.server, os

def serve(port):
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            known = self.path in ("/readyz", "/.well-known/openid-configuration")
            self.send_response(200 if known else 404)
            self.end_headers()
        def log_message(self, *_):
            pass
    http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()
"""

ISSUER = """
import os
from sample_web import serve
assert os.environ["GOV_DEMO"] == "1" and "GOV_DATABASE_URL" not in os.environ
open(os.environ["GOV_ISSUER_KEY_FILE"], "a").close()
serve(int(os.environ["GOV_ISSUER_PORT"]))
"""

SERVICE = """
import asyncio, os, sys
import asyncpg
from sample_web import serve

async def migrate():
    connection = await asyncpg.connect(os.environ["GOV_MIGRATION_DATABASE_URL"])
    await connection.execute("CREATE TABLE IF NOT EXISTS events (seq int)")
    await connection.execute("GRANT INSERT, SELECT ON events TO sample_service_app")
    await connection.close()

async def check():
    connection = await asyncpg.connect(os.environ["GOV_DATABASE_URL"])
    await connection.execute("INSERT INTO events VALUES (1)")
    await connection.close()

assert "GOV_STRAY" not in os.environ
assert sys.argv[1] == "all"
if os.path.exists(os.path.join(os.path.dirname(__file__), "broken")):
    sys.exit("the migration is broken")
asyncio.run(migrate())
asyncio.run(check())
print("sample_service listens", flush=True)
serve(int(os.environ["GOV_HTTP_PORT"]))
"""


@pytest.fixture
def system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalSystem]:
    modules = tmp_path / "modules"
    (modules / "sample_service").mkdir(parents=True)
    (modules / "sample_web.py").write_text(WEB)
    (modules / "sample_issuer.py").write_text(ISSUER)
    (modules / "sample_service" / "__main__.py").write_text(SERVICE)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, (str(modules), os.environ.get("PYTHONPATH")))))
    monkeypatch.setenv("GOV_STRAY", "set in the caller's shell")
    (port,) = choose_ports(1)
    local = LocalSystem(State(tmp_path / "state"), [Service("sample_service", port)], issuer_module="sample_issuer")
    try:
        yield local
    finally:
        local.forget()


def until(condition: Callable[[], bool], timeout_s: float = 60) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "not within the time"
        time.sleep(0.05)


def answers(address: str) -> bool:
    with contextlib.suppress(OSError), urllib.request.urlopen(f"{address}/readyz", timeout=5) as response:
        return bool(response.status == 200)
    return False


async def test_the_system_starts_in_the_background_survives_a_kill_and_is_taken_down(system: LocalSystem) -> None:
    system.up(detach=True)
    status = system.status()
    assert status.state is SystemState.READY
    assert {child.name: child.state for child in status.children} == {
        "postgres": ChildState.READY,
        "kafka": ChildState.READY,
        "issuer": ChildState.READY,
        "sample_service": ChildState.READY,
    }
    assert answers(status.addresses["sample_service"])
    topics = AdminClient({"bootstrap.servers": status.addresses["kafka"]}).list_topics(timeout=10).topics
    assert {"gov.sample_service.events.v1", "gov.watermarks.v1"} <= set(topics)
    assert "sample_service listens" in (system.state.logs / "sample_service.log").read_text()
    secrets = json.loads(system.state.secrets_file.read_text())
    for public in (system.state.runtime_file, *system.state.logs.iterdir()):
        assert not any(secret in public.read_text() for secret in secrets.values()), public

    with pytest.raises(AlreadyRunning, match="gov down"):
        system.up(detach=True)

    # The supervisor dies without a chance to stop anything: nothing is left behind, and nothing is lost.
    assert status.supervisor_pid is not None
    os.kill(status.supervisor_pid, signal.SIGKILL)
    until(lambda: system.status().state is SystemState.DIED)
    until(lambda: not any(child.process for child in system.status().children))
    system.up(detach=True)
    again = system.status()
    assert answers(again.addresses["sample_service"])
    connection = await asyncpg.connect(system.environment("sample_service")["GOV_DATABASE_URL"])
    assert await connection.fetchval("SELECT count(*) FROM events") == 2
    await connection.close()

    processes = [child.process for child in again.children if child.process is not None]
    assert system.down()
    assert system.status().state is SystemState.STOPPED
    assert not any(psutil.pid_exists(process.pid) for process in processes)
    assert not system.down()


def test_a_start_that_fails_names_the_child_and_shows_its_last_lines(system: LocalSystem, tmp_path: Path) -> None:
    (tmp_path / "modules" / "sample_service" / "broken").touch()
    with pytest.raises(StartFailed) as failed:
        system.up(detach=True)
    assert failed.value.child == "sample_service"
    assert "the migration is broken" in failed.value.lines
    status = system.status()
    assert status.state is SystemState.FAILED
    assert status.failure is not None
    assert not any(child.process for child in status.children)


FOREGROUND = """
import pathlib, sys
from gov.runtime.state import State
from gov.runtime.system import LocalSystem, Service
LocalSystem(State(pathlib.Path(sys.argv[1])), [Service("sample_service", int(sys.argv[2]))], "sample_issuer").up(
    on_ready=lambda status: print("READY", status.state, flush=True)
)
"""


def test_ctrl_c_stops_a_foreground_system_cleanly(system: LocalSystem) -> None:
    port = str(system.services[0].port)
    with subprocess.Popen(
        [sys.executable, "-c", FOREGROUND, str(system.state.folder), port], stdout=subprocess.PIPE, text=True
    ) as foreground:
        assert foreground.stdout is not None
        lines: list[str] = []
        while not (lines and lines[-1].startswith("READY")):
            lines.append(next(foreground.stdout))
        assert any(line.startswith("postgres") and "| " in line for line in lines)
        foreground.send_signal(signal.SIGINT)
        foreground.send_signal(signal.SIGINT)
        rest = foreground.stdout.read()
        assert foreground.wait(60) == 0
    assert "database system is shut down" in rest
    assert system.status().state is SystemState.STOPPED
    assert not any(child.process for child in system.status().children)
