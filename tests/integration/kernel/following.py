"""Read models that follow a topic of their own, for tests of following and of rebuilding."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from tests.integration.kernel.consuming import World, until
from tests.support.databases import OPEN_LEDGER
from tests.support.phases import PHASES

from govevents.document import Document, Origin
from govevents.registry import CATALOGUE
from govkernel.consumer import Handler, Parked
from govkernel.kafka import KafkaAddress, TopicLog
from govkernel.ledger import Context, Ledger
from govkernel.readmodels import Follower, Log, ReadModel, ReadModels


def now() -> datetime:
    return datetime.now(UTC)


class Site:
    """A service that keeps read models of the world's topic."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.phases = replace(PHASES, service=world.service)

    def read_models(
        self,
        *models: ReadModel[Any],
        log: Log | None = None,
        follower_of: Callable[[Handler], Follower] | None = None,
    ) -> ReadModels:
        return ReadModels(
            self.world.pool,
            models or (self.phases,),
            catalogue=CATALOGUE,
            log=log or TopicLog(KafkaAddress(self.world.bootstrap)),
            follower_of=follower_of or self.world.consumer,
            clock=now,
            poll_s=0.05,
        )

    @asynccontextmanager
    async def running(self, read_models: ReadModels) -> AsyncIterator[ReadModels]:
        """Follow for as long as the context lasts."""
        stop = asyncio.Event()
        task = asyncio.create_task(read_models.run(stop))
        try:
            yield read_models
        finally:
            stop.set()
            async with asyncio.timeout(30):
                await task

    async def level(self, read_models: ReadModels, name: str = "phases") -> None:
        """Wait until the live build has read everything that is in the topic now."""
        reader = self.world.reader()
        await reader.start()
        try:
            ends = await reader.ends(range(self.world.partitions))
        finally:
            await reader.close()

        async def is_level() -> bool:
            found = await self.world.pool.fetchval(
                "SELECT count(*) FROM read_model_builds WHERE name = $1 AND state = 'live'", name
            )
            return found == 1 and dict((await read_models.position(name)).offsets) == ends

        await until(is_level)

    async def send(self, documents: Sequence[Document]) -> None:
        for document in documents:
            await self.world.send(document)

    async def parked(self, read_models: ReadModels) -> Parked:
        """The operator's way to parked records, with a ledger of the service's own that takes appends."""
        await self.world.pool.execute(OPEN_LEDGER)
        ledger = Ledger(
            self.world.pool,
            service=self.world.service,
            catalogue=CATALOGUE,
            clock=now,
            refusal_status=lambda _refusal: 409,
        )
        return Parked(self.world.pool, read_models.handlers(), CATALOGUE, ledger)


def context() -> Context:
    return Context(
        command=uuid4(), digest=b"x", actor="service:test", now=now(), time=now(), correlation="c", origin=Origin.LIVE
    )
