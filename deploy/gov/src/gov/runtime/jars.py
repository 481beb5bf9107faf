"""Kafka's jars: kept on this machine, and each checked against a lock before it is used.

`python -m gov.runtime.jars` resolves them anew and writes the lock.
"""

import contextlib
import dataclasses
import fcntl
import hashlib
import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from gov.runtime.state import cache_folder, write_atomically

ROOTS = (
    "org.apache.kafka:kafka_2.13:4.3.1",
    # Kafka logs through slf4j and brings no binding of its own.
    "org.apache.logging.log4j:log4j-slf4j-impl:2.25.4",
)

LOCK_FILE = Path(__file__).resolve().parents[4] / "kafka" / "jars.lock"

DOWNLOAD_TRIES = 3


class JarRefused(Exception):
    """A jar does not have the content that the lock names, or could not be had; or the lock itself is malformed."""


@dataclass(frozen=True, slots=True)
class Jar:
    """A jar by its Maven coordinates and the SHA-256 of its content, in lower-case hexadecimal."""

    group: str
    artifact: str
    version: str
    classifier: str
    sha256: str

    @property
    def coordinates(self) -> str:
        """`group:artifact:version[:classifier]`."""
        return ":".join(filter(None, (self.group, self.artifact, self.version, self.classifier)))

    @property
    def path(self) -> Path:
        """Its place below the root of a Maven repository."""
        suffix = f"-{self.classifier}" if self.classifier else ""
        name = f"{self.artifact}-{self.version}{suffix}.jar"
        return Path(*self.group.split("."), self.artifact, self.version, name)


def read_lock(path: Path = LOCK_FILE) -> tuple[Jar, ...]:
    """Return the jars of a lock file. Raises JarRefused for a missing file or a malformed line."""
    if not path.exists():
        raise JarRefused(f"There is no lock of Kafka's jars at {path}; Gatehouse's local runtime needs a checkout.")
    jars = []
    for number, line in enumerate(path.read_text("utf-8").splitlines(), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        coordinates, _, checksum = line.strip().partition(" sha256:")
        parts = coordinates.split(":")
        if len(parts) not in (3, 4) or len(checksum) != 64 or set(checksum) - set("0123456789abcdef"):
            raise JarRefused(
                f"{path}, line {number}: {line!r} is not `group:artifact:version[:classifier] sha256:<hex>`. "
                "Write the file anew with `python -m gov.runtime.jars`."
            )
        jars.append(Jar(parts[0], parts[1], parts[2], parts[3] if len(parts) == 4 else "", checksum))
    return tuple(jars)


class JarCache:
    """The jars kept on this machine, shared by every checkout and only ever handed out when verified."""

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder or cache_folder() / "jars"

    def class_path(self, jars: Sequence[Jar]) -> tuple[Path, ...]:
        """Return the paths of the jars, downloading what is missing and verifying what is new or has changed.

        Uses no network when everything is there. Raises JarRefused.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            missing = [jar for jar in jars if not (self.folder / jar.path).exists()]
            if missing:
                self._download(missing)
            self._verify(jars)
        return tuple(self.folder / jar.path for jar in jars)

    def _verify(self, jars: Sequence[Jar]) -> None:
        # Hashing 100 MB at each start costs a second, so a file is hashed anew only when its size or time changes.
        marker = self.folder / "verified.json"
        try:
            known: dict[str, list[object]] = json.loads(marker.read_text("utf-8"))
        except (FileNotFoundError, ValueError):
            known = {}
        before = dict(known)
        for jar in jars:
            path = self.folder / jar.path
            facts = path.stat()
            seen = [facts.st_size, facts.st_mtime_ns, jar.sha256]
            if known.get(str(jar.path)) != seen:
                _check(jar, path)
                known[str(jar.path)] = seen
        if known != before:
            write_atomically(marker, json.dumps(known, indent=1))

    def _download(self, jars: Sequence[Jar]) -> None:
        with _progress(f"Apache Kafka ({len(jars)} jars)") as progress, ThreadPoolExecutor(4) as pool:
            for _ in pool.map(lambda jar: self._download_one(jar, progress), jars):
                pass

    def _download_one(self, jar: Jar, progress: "DownloadProgress") -> None:
        # Fetched beside the cache and moved in once verified, so that an interrupted download is never taken for a jar.
        fetched = fetch(jar, self.folder / "unfinished", progress)
        _check(jar, fetched)
        target = self.folder / jar.path
        target.parent.mkdir(parents=True, exist_ok=True)
        fetched.rename(target)


def _check(jar: Jar, path: Path) -> None:
    found = _sha256(path)
    if found != jar.sha256:
        raise JarRefused(
            f"{jar.coordinates} is not what {LOCK_FILE.name} names: expected sha256 {jar.sha256}, found {found} in "
            f"{path}. Remove that file to have it downloaded again; if it is refused again, do not use it."
        )


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class DownloadProgress:
    """Shows the downloads under way as one bar with rate and time left."""

    def __init__(self, progress: Progress, title: str) -> None:
        self._progress = progress
        self._task = progress.add_task(title, total=0)
        self._total = 0

    @contextlib.contextmanager
    def __call__(self, _name: str, size: int) -> Iterator[Callable[[int], None]]:
        """Announce a file of so many bytes; the function yielded is told of each part that has arrived."""
        self._total += size
        self._progress.update(self._task, total=self._total)
        yield lambda count: self._progress.update(self._task, advance=count)


@contextlib.contextmanager
def _progress(title: str) -> Iterator[DownloadProgress]:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    console = Console(stderr=True)
    if not console.is_terminal:
        console.print(f"Downloading {title} ...")
    with Progress(*columns, console=console, transient=not console.is_terminal) as progress:
        yield DownloadProgress(progress, title)


def fetch(jar: Jar, repository: Path, progress: DownloadProgress | None = None) -> Path:
    """Download one jar anew into a local repository, trying three times. The content is not checked here.

    Raises JarRefused.
    """
    # Only here and below: it takes as long to load as all of a command's other parts, and is hardly ever needed.
    import jgo.maven

    context = jgo.maven.MavenContext(
        resolver=jgo.maven.PythonResolver(progress_callback=progress), repo_cache=repository, timeout=60
    )
    artifact = context.project(jar.group, jar.artifact).at_version(jar.version).artifact(jar.classifier)
    target = repository / jar.path
    for attempt in range(1, DOWNLOAD_TRIES + 1):
        target.unlink(missing_ok=True)
        try:
            return Path(artifact.resolve())
        except (OSError, RuntimeError) as error:
            target.unlink(missing_ok=True)
            if attempt == DOWNLOAD_TRIES:
                raise JarRefused(
                    f"{jar.coordinates} could not be downloaded ({error}). What has arrived is kept: check the "
                    "connection to the Maven repository and start again."
                ) from error
            time.sleep(attempt)
    raise AssertionError


def resolve(roots: Sequence[str] = ROOTS) -> tuple[Jar, ...]:
    """Resolve the roots' dependencies from their POMs, download every jar and return them all with their SHA-256."""
    import jgo.maven

    repository = cache_folder() / "resolution"
    resolver = jgo.maven.PythonResolver()
    context = jgo.maven.MavenContext(resolver=resolver, repo_cache=repository, timeout=60)
    found: dict[str, Jar] = {}
    for root in roots:
        # One root at a time: together, the versions that one root manages would be forced upon the other.
        dependency = context.create_dependency(root)
        _, nodes = resolver.get_dependency_list([dependency])
        for wanted in [dependency, *(node.dep for node in nodes)]:
            name = f"{wanted.groupId}:{wanted.artifactId}:{wanted.classifier}"
            if name not in found:
                jar = Jar(wanted.groupId, wanted.artifactId, wanted.version, wanted.classifier, sha256="")
                found[name] = dataclasses.replace(jar, sha256=_sha256(fetch(jar, repository)))
    return tuple(sorted(found.values(), key=lambda jar: jar.coordinates))


def write_lock(jars: Sequence[Jar], path: Path = LOCK_FILE) -> None:
    """Write a lock file, one jar a line."""
    lines = [
        "# The jars of Apache Kafka and what it needs, by Maven coordinates and content.",
        "# Written by `python -m gov.runtime.jars`; every jar is checked against it before it is used.",
        *(f"{jar.coordinates} sha256:{jar.sha256}" for jar in jars),
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def main() -> int:
    """Run `python -m gov.runtime.jars`."""
    jars = resolve()
    write_lock(jars)
    print(f"{len(jars)} jars written to {LOCK_FILE}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
