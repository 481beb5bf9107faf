"""Up to when a service's facts are known here: the relays' watermarks, once everything before them was applied."""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import asyncpg
import msgspec

from govevents.catalogue import WATERMARK_TOPIC, topic_of
from govkernel.consumer.ports import Reader
from govkernel.kafka import KafkaUnavailable, OffsetGone, TopicMissing
from govkernel.pause import pause
from govkernel.postgres import UNAVAILABLE
from govkernel.readmodels.model import ReadModel
from govkernel.readmodels.rebuild import Log

RETRY_S: Final = 2.0
CHECK_S: Final = 0.2

POSITIONS: Final = """
SELECT build.name, read.partition, read.next_offset FROM read_model_builds AS build
LEFT JOIN consumer_partitions AS read ON read.consumer = build.name || '/' || build.build AND read.topic = $2
WHERE build.state = 'live' AND build.name = ANY($1::text[])"""

SAVE: Final = """
INSERT INTO watermarks (service, recorded_until) VALUES ($1, $2)
ON CONFLICT (service) DO UPDATE SET recorded_until = greatest(watermarks.recorded_until, excluded.recorded_until)"""

log = logging.getLogger(__name__)


class _Watermark(msgspec.Struct, frozen=True):
    service: str
    recorded_until: datetime


@dataclass(frozen=True, slots=True)
class _Claim:
    """What a relay has said: everything recorded before a time lies before these offsets."""

    recorded_until: datetime
    ends: Mapping[int, int]


class Watermarks:
    """Reads the relays' watermarks and keeps in `watermarks` those that the read models have reached.

    What a relay had sent when it spoke lies before the topic's end as it is seen afterwards. Once every read model of
    that service has applied everything up to there, the watermark holds for what is asked here too.
    """

    def __init__(
        self,
        pool: "asyncpg.Pool[Any]",
        models: Sequence[ReadModel[Any]],
        *,
        log: Log,
        reader_of: Callable[[str], Reader],
        topic: str = WATERMARK_TOPIC,
    ) -> None:
        self._pool = pool
        self._names: dict[str, list[str]] = {}
        for model in models:
            self._names.setdefault(model.service, []).append(model.name)
        self._log = log
        self._reader_of = reader_of
        self._topic = topic
        self._heard: dict[str, datetime] = {}
        self._claims: dict[str, _Claim] = {}
        self._readers: dict[str, tuple[Reader, int]] = {}

    async def run(self, stop: asyncio.Event) -> None:
        """Follow the watermarks until told to stop; a database or Kafka that is away is waited for."""
        while not stop.is_set():
            tasks = [asyncio.create_task(step) for step in (self._listen(), self._settle_often(), _until(stop))]
            try:
                done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    task.result()
            except (KafkaUnavailable, TopicMissing, OffsetGone, *UNAVAILABLE, asyncpg.PostgresError) as error:
                log.warning("watermarks: tries again in %.0f s: %s: %s", RETRY_S, type(error).__name__, error)
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
                await self._disconnect()
            await pause(stop, RETRY_S)

    async def _listen(self) -> None:
        extent = await self._log.extent(self._topic)
        async for fetched in self._log.read(self._topic, extent.beginnings):
            for record in fetched.records:
                try:
                    said = msgspec.json.decode(record.value or b"", type=_Watermark)
                except (msgspec.DecodeError, UnicodeDecodeError) as error:
                    log.error("%s/%d@%d: no watermark: %s", self._topic, fetched.partition, record.offset, error)
                    continue
                if said.service in self._names and said.recorded_until.tzinfo is not None:
                    earlier = self._heard.get(said.service, said.recorded_until)
                    self._heard[said.service] = max(earlier, said.recorded_until)

    async def _settle_often(self) -> None:
        while True:
            await self._settle()
            await asyncio.sleep(CHECK_S)

    async def _settle(self) -> None:
        for service, recorded_until in list(self._heard.items()):
            claim = self._claims.get(service)
            if claim is None:
                # One claim at a time: were it replaced by every newer one, a busy topic would never reach any.
                claim = self._claims[service] = _Claim(recorded_until, await self._ends(service))
            if await self._reached(service, claim.ends):
                await self._pool.execute(SAVE, service, claim.recorded_until)
                del self._claims[service]
                if self._heard[service] <= claim.recorded_until:
                    del self._heard[service]

    async def _reached(self, service: str, ends: Mapping[int, int]) -> bool:
        rows = await self._pool.fetch(POSITIONS, self._names[service], topic_of(service))
        read = {(row["name"], row["partition"]): row["next_offset"] for row in rows}
        return all(
            (read.get((name, partition)) or 0) >= end
            for name in self._names[service]
            for partition, end in ends.items()
        )

    async def _ends(self, service: str) -> dict[int, int]:
        if service not in self._readers:
            reader = self._reader_of(topic_of(service))
            await reader.start()
            # Counted once, for their number is fixed at installation, and the answer tells of every topic.
            self._readers[service] = reader, await reader.partitions()
        reader, partitions = self._readers[service]
        return await reader.ends(range(partitions))

    async def _disconnect(self) -> None:
        readers, self._readers = self._readers, {}
        for reader, _ in readers.values():
            with contextlib.suppress(KafkaUnavailable):
                await reader.close()


async def _until(stop: asyncio.Event) -> None:
    await stop.wait()
