"""What things are measured on: the servers, how much is measured, and databases and topics that are gone afterwards."""

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Final, Self, TypeVar
from urllib.parse import urlsplit
from uuid import uuid4

from tests.benchmarks.row import Row
from tests.support import databases
from tests.support.topics import create_topic, delete_topics

from gov.runtime.postgres import PostgresServer
from govevents.catalogue import topic_of
from govkernel.kafka import KafkaAddress, TopicLog

T = TypeVar("T")

PARTITIONS: Final = 12


@dataclass(frozen=True, slots=True)
class Scale:
    """How much is measured. `seconds` is the length of what is measured by time.

    A log of `streams` x `length` events is what most things are done on; how cost grows is told by `small` and `large`
    numbers of events.
    """

    repeats: int = 5
    seconds: int = 2
    streams: int = 10_000
    length: int = 20
    small: int = 10_000
    large: int = 1_000_000


FULL: Final = Scale()
QUICK: Final = Scale(repeats=1, seconds=1, streams=200, length=5, small=200, large=1_000)
"""Just enough to show that a row works; its figures say nothing."""


@dataclass(frozen=True)
class Bench:
    """A PostgreSQL and a Kafka, how much is to be measured on them, and the folder for what a run leaves.

    As a context, it ends what was kept.
    """

    postgres_url: str
    kafka_bootstrap: str
    scale: Scale
    build: Path
    _kept: dict[str, Any] = field(default_factory=dict)
    _ends: contextlib.AsyncExitStack = field(default_factory=contextlib.AsyncExitStack)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._ends.aclose()

    async def kept(self, name: str, made: Callable[[], AbstractAsyncContextManager[T]]) -> T:
        """What several benchmarks use and only the first makes; `name` says what it is."""
        if name not in self._kept:
            self._kept[name] = await self._ends.enter_async_context(made())
        found: T = self._kept[name]
        return found

    @cached_property
    def postgres_programs(self) -> Path:
        """The folder of PostgreSQL's own programs, pgbench among them."""
        return Path(PostgresServer(self.build, 1, "").command()[0]).parent

    @contextlib.asynccontextmanager
    async def database(self, template: str | None = None) -> AsyncIterator[str]:
        """A superuser's address of a fresh database: a copy of the one at an address, or one with empty tables."""
        if template is not None:
            url = await databases.create_database(self.postgres_url, urlsplit(template).path[1:])
        else:
            name = f"bench_{uuid4().hex}"
            url = databases.url_of(self.postgres_url, name)
            await databases.create_template(self.postgres_url, name)
        try:
            yield url
        finally:
            await databases.drop_database(self.postgres_url, url)

    @contextlib.asynccontextmanager
    async def topic(self, service: str) -> AsyncIterator[str]:
        """A fresh topic for a service's events, each of its partitions led."""
        name = topic_of(service)
        create_topic(self.kafka_bootstrap, name, partitions=PARTITIONS)
        try:
            await TopicLog(KafkaAddress(self.kafka_bootstrap)).extent(name)
            yield name
        finally:
            delete_topics(self.kafka_bootstrap, name)


@dataclass(frozen=True, slots=True)
class Benchmark:
    """Rows that are measured together, by the names by which they can be asked for."""

    names: tuple[str, ...]
    measure: Callable[[Bench], Awaitable[list[Row]]]
