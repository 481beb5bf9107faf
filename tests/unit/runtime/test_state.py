"""The state folder, and the jars' lock and cache."""

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from gov.runtime.process import Identity, identity_of, is_alive
from gov.runtime.state import AlreadyRunning, State, cache_folder, state_folder

HOLDER = """
import pathlib, sys
from gov.runtime.state import State
with State(pathlib.Path(sys.argv[1])).lock():
    print("held", flush=True)
    sys.stdin.read()
"""


def test_the_environment_names_the_state_folder(tmp_path: Path) -> None:
    assert state_folder({"GOV_HOME": str(tmp_path / "elsewhere")}) == tmp_path / "elsewhere"


def test_the_state_folder_stands_at_the_root_of_the_checkout(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    inside = tmp_path / "services" / "projects"
    inside.mkdir(parents=True)
    assert state_folder({}, start=inside) == tmp_path / ".gatehouse"


def test_downloads_are_shared_by_all_checkouts(tmp_path: Path) -> None:
    assert cache_folder({"XDG_CACHE_HOME": str(tmp_path)}) == tmp_path / "gatehouse"
    assert cache_folder({}) == Path.home() / ".cache" / "gatehouse"


def test_a_second_process_may_not_run_the_same_state_folder(tmp_path: Path) -> None:
    state = State(tmp_path / "state")
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(state.folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(AlreadyRunning, match=f"process {holder.pid}.*gov down"), state.lock():
            pass
        assert state.is_locked()
        holder.kill()
    with state.lock():
        assert state.lock_file.read_text() == str(os.getpid())


def test_a_secret_is_made_once_and_only_its_owner_may_read_it(tmp_path: Path) -> None:
    first = State(tmp_path / "state").secret("postgres")
    again = State(tmp_path / "state")
    assert again.secret("postgres") == first
    assert again.secret("projects_app") != first
    assert len(first) >= 32
    assert stat.S_IMODE(again.secrets_file.stat().st_mode) == 0o600


def test_broken_secrets_are_not_replaced(tmp_path: Path) -> None:
    state = State(tmp_path / "state")
    state.secrets_file.write_text("{")
    with pytest.raises(ValueError, match=r"secrets\.json is not JSON"):
        state.secret("postgres")
    assert state.secrets_file.read_text() == "{"


def test_what_runs_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    state = State(tmp_path / "state")
    assert state.read_runtime() is None
    state.write_runtime({"state": "ready"})
    assert state.read_runtime() == {"state": "ready"}
    with pytest.raises(TypeError):
        state.write_runtime({"state": object()})
    assert json.loads(state.runtime_file.read_text()) == {"state": "ready"}
    assert [path.name for path in state.folder.iterdir() if path.name.startswith(".")] == []


def test_a_process_is_not_mistaken_for_an_earlier_one_with_its_number() -> None:
    current = identity_of(os.getpid())
    assert current is not None
    assert is_alive(current)
    assert not is_alive(Identity(current.pid, current.started_at - 3600))


def test_a_process_that_has_ended_is_not_alive() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        identity = identity_of(child.pid)
        assert identity is not None
        assert is_alive(identity)
    assert not is_alive(identity)
