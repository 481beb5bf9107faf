"""A service's read models: kept up with their topics, asked where they stand, rebuilt and switched."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import asyncpg
import msgspec

from govevents.catalogue import Catalogue
from govkernel.consumer.ports import Handler
from govkernel.kafka import KafkaUnavailable, TopicMissing
from govkernel.pause import pause
from govkernel.postgres import UNAVAILABLE, Connection
from govkernel.readmodels.builds import Build, State, builds_of, ensure, live_build
from govkernel.readmodels.comparison import Compared
from govkernel.readmodels.digests import Digests, Part, part_digests
from govkernel.readmodels.handler import ReadModelHandler
from govkernel.readmodels.model import ReadModel
from govkernel.readmodels.rebuild import Follower, Log, Progress, Rebuild, RebuildRunning, Rebuilt

SHORTEST_WAIT_S: Final = 0.005
LONGEST_WAIT_S: Final = 0.1
SHORTEST_RESTART_S: Final = 1.0
LONGEST_RESTART_S: Final = 60.0

SEEN: Final = """
SELECT build.name FROM read_model_builds AS build
JOIN consumer_guards AS guard ON guard.consumer = build.name || '/' || build.build
WHERE build.state = 'live' AND build.name = ANY($1::text[]) AND guard.stream = $2 AND guard.version >= $3"""

log = logging.getLogger(__name__)


class UnknownReadModel(LookupError):
    """There is no read model of this name in this service."""


@dataclass(frozen=True, slots=True)
class Position:
    """What an answer rests on: the build, its fold's version, and up to where (exclusive) its topic had been read."""

    name: str
    build: int
    fold_version: int
    topic: str
    offsets: Mapping[int, int]


@dataclass(frozen=True, slots=True)
class BuildStatus:
    """A registered build, with what is known of its progress."""

    name: str
    build: int
    fold_version: int
    state: str
    started_at: datetime
    finished_at: datetime | None
    progress: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class FollowStatus:
    """Whether this process follows a read model's live build; `trouble` is why not, None where it does."""

    name: str
    following: str | None
    trouble: str | None


@dataclass(slots=True)
class _Following:
    handler: ReadModelHandler[Any]
    follower: Follower
    stop: asyncio.Event
    task: asyncio.Task[None]
    since: float


class ReadModels:
    """The read models of one service.

    `follower_of` makes what feeds a handler with its topic: a `Consumer`. `poll_s` is how long it may take this process
    to notice that another one has switched builds. `on_progress` is told how far a rebuild of this process is, and
    None when it has ended.
    """

    def __init__(
        self,
        pool: "asyncpg.Pool[Any]",
        models: Sequence[ReadModel[Any]],
        *,
        catalogue: Catalogue,
        log: Log,
        follower_of: Callable[[Handler], Follower],
        clock: Callable[[], datetime],
        poll_s: float = 1.0,
        on_progress: Callable[[str, Progress | None], None] = lambda _name, _progress: None,
    ) -> None:
        self._pool = pool
        self._models = {model.name: model for model in models}
        if len(self._models) != len(models):
            raise ValueError(f"read models share a name: {sorted(model.name for model in models)}")
        self._catalogue = catalogue
        self._log = log
        self._follower_of = follower_of
        self._clock = clock
        self._poll_s = poll_s
        self._on_progress = on_progress
        self._live: dict[str, Build] = {}
        self._following: dict[str, _Following] = {}
        self._rebuilds: dict[str, asyncio.Task[Rebuilt]] = {}
        self._trouble: dict[str, str] = {}
        self._delays: dict[str, float] = {}
        self._not_before: dict[str, float] = {}

    @property
    def models(self) -> tuple[ReadModel[Any], ...]:
        """The declared read models."""
        return tuple(self._models.values())

    async def ensure(self) -> None:
        """Create what is missing. Raises ReadModelChanged, and what the database raises."""
        async with self._pool.acquire(timeout=5) as connection:
            await ensure(connection, self.models, self._clock())

    def handlers(self) -> tuple[ReadModelHandler[Any], ...]:
        """The handlers of the live builds whose fold this process has, as of the last look."""
        return tuple(
            ReadModelHandler(self._models[build.name], build)
            for build in self._live.values()
            if build.fold_version == self._models[build.name].version
        )

    def readers(self) -> dict[str, str]:
        """The live builds' consumers, as of the last look, and the service whose topic each reads."""
        return {build.consumer: self._models[build.name].service for build in self._live.values()}

    def followers(self) -> tuple[Follower, ...]:
        """What feeds the live builds in this process at the moment."""
        return tuple(following.follower for following in self._following.values())

    async def run(self, stop: asyncio.Event, *, follow: bool = True) -> None:
        """Follow the live builds until told to stop, and build anew where this process brings a newer fold.

        Whatever ends one read model's following is logged, shown in `status`, and tried again; the others go on. With
        `follow` False only look which builds are live, for processes that answer and leave the following to others.
        """
        ensured = False
        try:
            while not stop.is_set():
                try:
                    if not ensured:
                        await self.ensure()
                        ensured = True
                    await self._one_look(follow=follow)
                except (*UNAVAILABLE, asyncpg.PostgresError) as error:
                    log.warning("read models: the database is away: %s: %s", type(error).__name__, error)
                await pause(stop, self._poll_s)
        finally:
            for task in self._rebuilds.values():
                task.cancel()
            await asyncio.gather(*self._rebuilds.values(), return_exceptions=True)
            self._rebuilds.clear()
            await asyncio.gather(*[self._let_go(name) for name in list(self._following)])

    def status(self) -> tuple[FollowStatus, ...]:
        """Whether each read model is followed here."""
        return tuple(
            FollowStatus(
                name,
                following.handler.name if (following := self._following.get(name)) else None,
                self._trouble.get(name),
            )
            for name in self._models
        )

    async def builds(self) -> list[BuildStatus]:
        """Every registered build of these read models, the newest of each first."""
        rows = await self._pool.fetch(
            "SELECT * FROM read_model_builds WHERE name = ANY($1::text[]) ORDER BY name, build DESC", list(self._models)
        )
        return [
            BuildStatus(
                row["name"],
                row["build"],
                row["fold_version"],
                row["state"],
                row["started_at"],
                row["finished_at"],
                msgspec.json.decode(row["progress"], type=dict[str, Any]),
            )
            for row in rows
        ]

    async def position(self, name: str) -> Position:
        """Where the live build stands. Raises UnknownReadModel."""
        model = self._model(name)
        async with self._pool.acquire(timeout=5) as connection:
            rows = await connection.fetch(
                "SELECT build.build, build.fold_version, read.partition, read.next_offset "
                "FROM read_model_builds AS build LEFT JOIN consumer_partitions AS read "
                "ON read.consumer = build.name || '/' || build.build AND read.topic = $2 "
                "WHERE build.name = $1 AND build.state = 'live' ORDER BY read.partition",
                name,
                model.topic,
            )
        if not rows:
            raise UnknownReadModel(f"{name} has no live build yet; it is created when the service's consumers start")
        return Position(
            name,
            rows[0]["build"],
            rows[0]["fold_version"],
            model.topic,
            {row["partition"]: row["next_offset"] for row in rows if row["partition"] is not None},
        )

    async def wait_for(
        self, stream: UUID, version: int, names: Iterable[str] | None = None, *, timeout_s: float = 5.0
    ) -> bool:
        """Wait until the live builds have seen a stream's version; whether they have, within the time.

        Without `names`, all read models of whichever service the stream belongs to. That service is known by the topic
        on which the stream came, so a stream that nobody has seen is waited for. Raises UnknownReadModel.
        """
        wanted: dict[str, set[str]] = {}
        for name in names if names is not None else self._models:
            wanted.setdefault(self._model(name).service, set()).add(name)
        asked = [name for of_service in wanted.values() for name in of_service]
        if not asked:
            return True
        clock = asyncio.get_running_loop().time
        deadline = clock() + timeout_s
        pause_s = SHORTEST_WAIT_S
        while True:
            seen = {row["name"] for row in await self._pool.fetch(SEEN, asked, stream, version)}
            if any(of_service <= seen for of_service in wanted.values()):
                return True
            left_s = deadline - clock()
            if left_s <= 0:
                return False
            await asyncio.sleep(min(pause_s, left_s))
            pause_s = min(LONGEST_WAIT_S, pause_s * 2)

    async def provisional(self, as_of: datetime | None, names: Iterable[str] | None = None) -> tuple[str, ...]:
        """The services whose facts up to `as_of` may not all be known here yet, so that an answer is provisional.

        None is no bound: such an answer claims nothing of a time. Raises UnknownReadModel.
        """
        if as_of is None:
            return ()
        services = {self._model(name).service for name in (names if names is not None else self._models)}
        rows = await self._pool.fetch("SELECT service FROM watermarks WHERE recorded_until >= $1", as_of)
        return tuple(sorted(services - {row["service"] for row in rows}))

    async def digests(self, name: str) -> Digests:
        """The digests of the live build, all of one snapshot. Raises UnknownReadModel."""
        model = self._model(name)
        async with (
            self._pool.acquire(timeout=5) as connection,
            connection.transaction(isolation="repeatable_read", readonly=True),
        ):
            live = await live_build(connection, name)
            if live is None:
                raise UnknownReadModel(f"{name} has no live build yet")
            parts = await part_digests(connection, live)
            offsets = await connection.fetch(
                "SELECT partition, next_offset FROM consumer_partitions WHERE consumer = $1 AND topic = $2",
                live.consumer,
                model.topic,
            )
        return Digests(
            live.number,
            live.fold_version,
            parts[Part.ROWS].hex(),
            parts[Part.HISTORY].hex(),
            parts[Part.PARKED].hex(),
            {row["partition"]: row["next_offset"] for row in offsets},
        )

    async def rebuild(
        self, name: str, progress: Callable[[Progress], None] | None = None, *, accept_difference: bool = False
    ) -> Rebuilt:
        """Build a read model anew beside the live one and switch to it; see `govkernel.readmodels.rebuild`.

        Where this process follows the live build it follows the new one from its next look on. Raises UnknownReadModel,
        RebuildRunning, RebuildDiffers, RebuildFailed, NeedsNewerReader, and what Kafka and the database raise.
        """
        show = progress or (lambda _progress: None)
        try:
            return await self._rebuild(name, show).run(accept_difference=accept_difference)
        finally:
            self._on_progress(name, None)

    async def compare(
        self,
        name: str,
        progress: Callable[[Progress], None] | None = None,
        *,
        with_log: bool = False,
        most_rows: int = 20,
    ) -> Compared:
        """How the previous build differs from the live one, or a new one from the log, which is thrown away then.

        Raises as `rebuild` does.
        """
        rebuild = self._rebuild(name, progress or (lambda _progress: None))
        if with_log:
            return await rebuild.compare_with_log(most_rows=most_rows)
        return await rebuild.compare_with_previous(most_rows=most_rows)

    async def roll_back(
        self, name: str, record: Callable[[Connection, Build, Build], Awaitable[None]] | None = None
    ) -> Build:
        """Switch back to the previous build, once it has come level; the build that is live then.

        `record` writes down who wanted it, in the transaction that switches. Raises UnknownReadModel, RebuildRunning,
        RebuildFailed, and what `record` raises.
        """
        rebuild = self._rebuild(name, lambda _progress: None)
        return await (rebuild.roll_back(record) if record is not None else rebuild.roll_back())

    def _rebuild(self, name: str, show: Callable[[Progress], None]) -> Rebuild:
        def tell(progress: Progress) -> None:
            self._on_progress(name, progress)
            show(progress)

        return Rebuild(self._pool, self._model(name), self._catalogue, self._log, self._follower_of, self._clock, tell)

    def _model(self, name: str) -> ReadModel[Any]:
        model = self._models.get(name)
        if model is None:
            raise UnknownReadModel(f"{name!r} is no read model here; there are {', '.join(self._models) or 'none'}")
        return model

    async def _one_look(self, *, follow: bool) -> None:
        async with self._pool.acquire(timeout=5) as connection:
            found = await builds_of(connection, list(self._models), State.LIVE)
        self._live = {build.name: build for build in found}
        if not follow:
            return
        now = asyncio.get_running_loop().time()
        for name, model in self._models.items():
            build = self._live.get(name)
            following = self._following.get(name)
            if following is not None and following.task.done():
                self._ended(name, following.task, now)
                del self._following[name]
                following = None
            if following is not None and (build is None or following.handler.name != build.consumer):
                await self._let_go(name)
                following = None
            if following is not None:
                self._trouble.pop(name, None)
                if now - following.since > LONGEST_RESTART_S:
                    self._delays.pop(name, None)
            if build is None:
                continue
            if build.fold_version == model.version:
                if following is None and now >= self._not_before.get(name, 0.0):
                    self._follow(ReadModelHandler(model, build), now)
            elif build.fold_version < model.version:
                self._renew(name, now)
            else:
                self._trouble[name] = (
                    f"the live build has fold version {build.fold_version}, newer than this process's {model.version}: "
                    "start a newer release, or roll the read model back"
                )

    def _follow(self, handler: ReadModelHandler[Any], now: float) -> None:
        name = handler.name.rpartition("/")[0]
        stop = asyncio.Event()
        follower = self._follower_of(handler)
        task = asyncio.create_task(follower.run(stop), name=handler.name)
        self._following[name] = _Following(handler, follower, stop, task, now)

    async def _let_go(self, name: str) -> None:
        following = self._following.pop(name)
        following.stop.set()
        await asyncio.gather(following.task, return_exceptions=True)

    def _renew(self, name: str, now: float) -> None:
        running = self._rebuilds.get(name)
        if running is not None and running.done():
            del self._rebuilds[name]
            if not running.cancelled() and isinstance(running.exception(), RebuildRunning):
                # Another replica builds; it is looked for again soon.
                self._not_before[name] = now + self._poll_s
            elif running.cancelled() or running.exception() is not None:
                self._ended(name, running, now)
            running = None
        if running is None and now >= self._not_before.get(name, 0.0):
            # To release a new fold is to accept what it changes; the difference is kept with the build.
            self._rebuilds[name] = asyncio.create_task(self.rebuild(name, accept_difference=True), name=f"build {name}")

    def _ended(self, name: str, task: "asyncio.Task[Any]", now: float) -> None:
        error = None if task.cancelled() else task.exception()
        delay_s = min(LONGEST_RESTART_S, self._delays.get(name, SHORTEST_RESTART_S / 2) * 2)
        self._delays[name] = delay_s
        self._not_before[name] = now + delay_s
        self._trouble[name] = f"{type(error).__name__}: {error}" if error else "ended without being told to"
        quiet = isinstance(error, (*UNAVAILABLE, KafkaUnavailable, TopicMissing))
        log.log(
            logging.WARNING if quiet else logging.ERROR,
            "%s: tries again in %.0f s: %s",
            name,
            delay_s,
            self._trouble[name],
        )
