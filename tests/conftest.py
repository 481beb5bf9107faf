"""Fixtures of every tier: a real PostgreSQL and a real Kafka for those that ask, and skips that CI does not accept."""

import contextlib
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import pytest
from hypothesis import settings
from tests.support import databases
from tests.support.infrastructure import Infrastructure, InfrastructureUnavailable, SessionInfrastructure
from tests.support.topics import create_topic, delete_topics
from xdist.scheduler import LoadScopeScheduling

from govevents.catalogue import topic_of

# A busy machine is no finding: what takes too long is found by pytest's own limit.
settings.register_profile("gatehouse", deadline=None)
settings.load_profile("gatehouse")

SESSION = pytest.StashKey[SessionInfrastructure]()
NOT_TO_BE_HAD = "not to be had on this platform: "
"""How the reason of a skip begins that CI accepts."""
TOGETHER: Final = (
    "tests/e2e/test_readme.py",
    "tests/e2e/",
    "tests/integration/gov/test_command.py",
    "tests/integration/kernel/test_restore_drills.py",
    "tests/integration/kernel/test_back_pressure.py",
    "tests/integration/runtime/test_infrastructure.py",
)
"""How the ids of tests begin that share servers: each worker that ran some of them would start those servers again."""


class Together(LoadScopeScheduling):
    """Gives a worker one test after the other, and those of TOGETHER, which come first, as one."""

    def _split_scope(self, nodeid: str) -> str:
        return next((each for each in TOGETHER if nodeid.startswith(each)), nodeid)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Together:
    # Marks of xdist's own kind, xdist_group, do nothing under today's pytest, and say nothing of it.
    return Together(config, log)


def pytest_configure(config: pytest.Config) -> None:
    shared: dict[str, Any] | None = getattr(config, "workerinput", None)
    if shared is None:
        folder, owner_pid = Path(tempfile.mkdtemp(prefix="gatehouse-session-")), os.getpid()
    else:
        folder, owner_pid = Path(shared["session_folder"]), int(shared["session_owner_pid"])
    config.stash[SESSION] = SessionInfrastructure(folder, owner_pid)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    session = node.config.stash[SESSION]
    node.workerinput["session_folder"] = str(session.folder)
    node.workerinput["session_owner_pid"] = session.owner_pid


def pytest_unconfigure(config: pytest.Config) -> None:
    session = config.stash.get(SESSION, None)
    if session is not None and session.owner_pid == os.getpid():
        session.stop()
        shutil.rmtree(session.folder, ignore_errors=True)


@pytest.hookimpl(wrapper=True)
def pytest_runtestloop(session: pytest.Session) -> Generator[None, object, object]:
    # Before the first test, whose time limit must not pay for downloads on a fresh machine.
    if any("infrastructure" in getattr(item, "fixturenames", ()) for item in session.items):
        with contextlib.suppress(InfrastructureUnavailable):
            session.config.stash[SESSION].get()
    return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.skipped and os.environ.get("CI") and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        if NOT_TO_BE_HAD not in reason:
            report.outcome = "failed"
            report.longrepr = f"{item.nodeid}: skipped in CI, where its part is to be had: {reason}"
    return report


@pytest.fixture(scope="session")
def infrastructure(pytestconfig: pytest.Config) -> Infrastructure:
    """A PostgreSQL and a Kafka, the same for all tests of the session."""
    try:
        return pytestconfig.stash[SESSION].get()
    except InfrastructureUnavailable as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def session_infrastructure(pytestconfig: pytest.Config) -> SessionInfrastructure:
    """What all workers of the session share."""
    return pytestconfig.stash[SESSION]


@pytest.fixture(scope="session")
async def database_template(infrastructure: Infrastructure, session_infrastructure: SessionInfrastructure) -> str:
    """The name of the database, with the kernel's tables, that `database` copies."""
    return await databases.template(session_infrastructure, infrastructure, "kernel", None)


@pytest.fixture
async def database(infrastructure: Infrastructure, database_template: str) -> AsyncIterator[str]:
    """A superuser's address of a fresh database with the kernel's tables, for this test alone."""
    url = await databases.create_database(infrastructure.postgres_url, database_template)
    yield url
    await databases.drop_database(infrastructure.postgres_url, url)


@pytest.fixture
async def empty_database(infrastructure: Infrastructure) -> AsyncIterator[str]:
    """A superuser's address of a fresh database without any table, for this test alone."""
    url = await databases.create_database(infrastructure.postgres_url, None)
    yield url
    await databases.drop_database(infrastructure.postgres_url, url)


@pytest.fixture(scope="session")
def kafka(infrastructure: Infrastructure) -> str:
    """Kafka's bootstrap servers."""
    return infrastructure.kafka_bootstrap


@pytest.fixture
def topic(kafka: str) -> Iterator[Callable[..., str]]:
    """Make topics for this test alone: `topic(partitions=12, compacted=False)` returns a name.

    A test that runs a whole service under a name of its own gives that: `topic(service="t1a2b")`.
    """
    made: list[str] = []

    def make(*, partitions: int = 12, compacted: bool = False, service: str | None = None) -> str:
        name = topic_of(service or f"test-{uuid4().hex[:12]}")
        create_topic(kafka, name, partitions=partitions, compacted=compacted)
        made.append(name)
        return name

    yield make
    delete_topics(kafka, *made)
