"""A session's infrastructure ends with the session, however that ends."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.support.infrastructure import KAFKA_VARIABLE, POSTGRES_VARIABLE, Infrastructure

CHECKOUT = Path(__file__).resolve().parents[3]

OWNER = """
import os, sys, time
from dataclasses import asdict
from json import dumps
from pathlib import Path
from tests.support.infrastructure import SessionInfrastructure
print(dumps(asdict(SessionInfrastructure(Path(sys.argv[1]), os.getpid()).get())), flush=True)
time.sleep(600)
"""


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    # A process that has ended stays until its parent looks.
    return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text("utf-8")


@pytest.mark.skipif(sys.platform != "linux", reason="not to be had on this platform: /proc")
def test_infrastructure_ends_when_its_session_is_killed(infrastructure: Infrastructure, tmp_path: Path) -> None:
    if infrastructure.origin == "environment":
        return  # What was given is not started, so that nothing has to end.
    folder = tmp_path / "session"
    folder.mkdir()
    given = {POSTGRES_VARIABLE, KAFKA_VARIABLE}
    with subprocess.Popen(
        [sys.executable, "-c", OWNER, str(folder)],
        cwd=CHECKOUT,
        env={name: value for name, value in os.environ.items() if name not in given},
        stdout=subprocess.PIPE,
        text=True,
    ) as owner:
        assert owner.stdout is not None
        started = Infrastructure(**json.loads(owner.stdout.readline()))
        assert started.postgres_url != infrastructure.postgres_url
        holder = json.loads((folder / "infrastructure.json").read_text("utf-8"))["holder"]
        assert is_alive(holder)
        owner.kill()
    deadline = time.monotonic() + 30
    while (is_alive(holder) or folder.exists()) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not is_alive(holder)
    assert not folder.exists()
