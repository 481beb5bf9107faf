"""Figures that have to be looked at every few seconds, because nothing happens in this process when they change."""

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final, Protocol

import asyncpg

from govkernel.consumer import ConsumerStatus
from govkernel.metrics import Metrics
from govkernel.pause import pause
from govkernel.postgres import UNAVAILABLE
from govkernel.readmodels import ReadModels
from govkernel.relay import Relay

SAMPLE_S: Final = 2.0

PARKED_STREAMS: Final = """
SELECT consumer, count(DISTINCT stream) AS streams FROM parked WHERE consumer = ANY ($1::text[]) GROUP BY consumer"""


class Following(Protocol):
    """What follows a topic, and says how it is doing; `govkernel.consumer.Consumer` is one."""

    def status(self) -> ConsumerStatus: ...


class Figures:
    """Samples what consumers, the relay and read models say of themselves.

    `consumers` are those that run at the moment. `behind_since` is kept here for others too: since when, on the event
    loop's clock, each consumer has not been level.
    """

    def __init__(
        self,
        metrics: Metrics,
        pool: "asyncpg.Pool[Any]",
        *,
        relay: Relay,
        read_models: ReadModels,
        consumers: Mapping[str, Following],
        behind_since: dict[str, float],
        clock: Callable[[], datetime],
    ) -> None:
        self._metrics = metrics
        self._pool = pool
        self._relay = relay
        self._read_models = read_models
        self._consumers = consumers
        self._behind_since = behind_since
        self._clock = clock
        self._shown: set[str] = set()
        metrics.pool_connections.labels("in_use").set_function(lambda: pool.get_size() - pool.get_idle_size())
        metrics.pool_connections.labels("size").set(pool.get_max_size())

    async def run(self, stop: asyncio.Event) -> None:
        """Sample until told to stop; a database that is away leaves its figures as they were."""
        while not stop.is_set():
            await self.sample()
            await pause(stop, SAMPLE_S)

    async def sample(self) -> None:
        """Sample once."""
        statuses = {name: consumer.status() for name, consumer in self._consumers.items()}
        self._sample_consumers(statuses)
        for each in self._read_models.status():
            self._metrics.read_model_trouble.labels(each.name).set(each.trouble is not None)
        with contextlib.suppress(*UNAVAILABLE, asyncpg.PostgresError):
            await self._sample_relay()
            async with self._pool.acquire(timeout=1) as connection:
                parked = await connection.fetch(PARKED_STREAMS, list(statuses))
            streams = {row["consumer"]: row["streams"] for row in parked}
            for name in statuses:
                self._metrics.parked_streams.labels(name).set(streams.get(name, 0))

    def _sample_consumers(self, statuses: Mapping[str, ConsumerStatus]) -> None:
        now = asyncio.get_running_loop().time()
        for name in self._behind_since.keys() - statuses.keys():
            del self._behind_since[name]
        for name in self._shown - statuses.keys():
            # What no longer runs here has no figures here, or its last ones would stand for ever.
            for gauge in self._of_consumers():
                with contextlib.suppress(KeyError):
                    gauge.remove(name)
        self._shown = set(statuses)
        for name, status in statuses.items():
            if status.lag or status.trouble:
                self._behind_since.setdefault(name, now)
            else:
                self._behind_since.pop(name, None)
            behind_s = now - self._behind_since.get(name, now)
            self._metrics.lag.labels(name).set(status.lag)
            self._metrics.lag_seconds.labels(name).set(lag_s(status, behind_s, self._clock()))
            self._metrics.consumer_alarm.labels(name).set(status.alarm is not None)
            self._metrics.parked.labels(name).set(sum(status.parked.values()))

    def _of_consumers(self) -> tuple[Any, ...]:
        metrics = self._metrics
        return metrics.lag, metrics.lag_seconds, metrics.consumer_alarm, metrics.parked, metrics.parked_streams

    async def _sample_relay(self) -> None:
        status = await self._relay.status()
        age_s = (self._clock() - status.oldest).total_seconds() if status.oldest else 0.0
        self._metrics.outbox_rows.set(status.lag_rows)
        self._metrics.outbox_age.set(max(0.0, age_s))
        self._metrics.relay_tail.set(status.tail_length)
        self._metrics.relay_leader.set(status.leader is not None)
        self._metrics.relay_verified.set(status.verified)
        self._metrics.relay_alarm.set(status.alarm is not None)


def lag_s(status: ConsumerStatus, behind_s: float, now: datetime) -> float:
    """For how long at most what a consumer has not applied has been there, in seconds.

    Under load there is always something to apply, but what is there is no older than the newest that was taken; after
    a rest that one is old, but nothing has been there for longer than the consumer has been behind.
    """
    if not status.lag or status.taken_until is None:
        return behind_s
    return min(behind_s, max(0.0, (now - status.taken_until).total_seconds()))
