"""The one folder in which a checkout's local runtime keeps everything: data, logs, secrets, what runs where."""

import contextlib
import fcntl
import json
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from gov.runtime import process


class AlreadyRunning(Exception):
    """Another process runs the same state folder's system."""


def cache_folder(environment: Mapping[str, str] = os.environ) -> Path:
    """Return the folder for downloads that every checkout shares: XDG_CACHE_HOME/gatehouse, or ~/.cache/gatehouse."""
    base = environment.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "gatehouse"


def state_folder(environment: Mapping[str, str] = os.environ, start: Path | None = None) -> Path:
    """Return GOV_HOME, or `.gatehouse` at the root of the checkout around `start` (default: the current folder)."""
    if environment.get("GOV_HOME"):
        return Path(environment["GOV_HOME"]).expanduser().resolve()
    here = (start or Path.cwd()).resolve()
    for folder in (here, *here.parents):
        if (folder / "deploy" / "kafka" / "jars.lock").exists() or (folder / ".git").exists():
            return folder / ".gatehouse"
    return here / ".gatehouse"


def write_atomically(path: Path, text: str, mode: int = 0o644) -> None:
    """Replace a file's content at once: a reader sees the old or the new, never a part."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            os.fchmod(handle, mode)
            file.write(text)
        Path(name).rename(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


class State:
    """A state folder. Creating the object creates the folder, passable by others only where a server needs it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        self.logs = self.folder / "logs"
        self.runtime_file = self.folder / "runtime.json"
        self.secrets_file = self.folder / "secrets.json"
        self.demo_file = self.folder / "demo.json"
        self.lock_file = self.folder / "lock"
        self.folder.mkdir(parents=True, exist_ok=True)
        # PostgreSQL runs as another user under root and has to pass; what is secret has rights of its own.
        self.folder.chmod(0o711 if process.running_as_root() else 0o700)
        self.logs.mkdir(exist_ok=True, mode=0o700)

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the folder for this process, which is released even if it is killed. Raises AlreadyRunning."""
        with self.lock_file.open("a+") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                file.seek(0)
                raise AlreadyRunning(
                    f"The system of {self.folder} is run by process {file.read().strip() or 'unknown'}. "
                    "Stop it with `gov down`, or set GOV_HOME to run a second one."
                ) from None
            file.truncate(0)
            file.write(str(os.getpid()))
            file.flush()
            yield

    def is_locked(self) -> bool:
        """Say whether a process holds the folder now."""
        with self.lock_file.open("a+") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
            return False

    def secret(self, name: str) -> str:
        """Return the secret of this name, random and made when it is first asked for; safe in an address."""
        try:
            known: dict[str, str] = json.loads(self.secrets_file.read_text("utf-8"))
        except FileNotFoundError:
            known = {}
        except ValueError as error:
            raise ValueError(
                f"{self.secrets_file} is not JSON ({error}). Restore it, or forget the whole state folder: the "
                "databases can't be opened without it."
            ) from error
        if name not in known:
            known[name] = secrets.token_hex(24)
            write_atomically(self.secrets_file, json.dumps(known, indent=1, sort_keys=True), mode=0o600)
        return known[name]

    def write_runtime(self, record: Mapping[str, Any]) -> None:
        """Replace what other processes read about the running system. No secret belongs in it."""
        write_atomically(self.runtime_file, json.dumps(record, indent=1))

    def read_runtime(self) -> dict[str, Any] | None:
        """Return what the last system wrote about itself, which may have ended, or None."""
        try:
            record = json.loads(self.runtime_file.read_text("utf-8"))
        except (FileNotFoundError, ValueError):
            return None
        return record if isinstance(record, dict) else None

    def forget(self) -> None:
        """Delete the folder with everything in it. Raises AlreadyRunning."""
        with self.lock():
            shutil.rmtree(self.folder, ignore_errors=True)
