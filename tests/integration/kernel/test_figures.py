"""The figures that Prometheus is shown: each is what its source says at that moment."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from tests.integration.kernel.carrying import World, chain, insert

from govevents.registry import CATALOGUE
from govkernel.consumer import ConsumerStatus, Handler
from govkernel.kafka import KafkaAddress, TopicLog
from govkernel.metrics import Metrics
from govkernel.postgres import create_pool
from govkernel.processes.figures import Figures, Following, lag_s
from govkernel.readmodels import Follower, ReadModels

NOW = datetime(2030, 6, 30, 9, tzinfo=UTC)
LEVEL = ConsumerStatus("roles/1", "topic", True, (), 0, {}, None, None, None, None)


@dataclass
class Told:
    """A consumer that is as it is told to be."""

    told: ConsumerStatus

    def status(self) -> ConsumerStatus:
        return self.told


def ago(seconds: float) -> datetime:
    return NOW - timedelta(seconds=seconds)


@pytest.mark.parametrize(
    ("status", "behind_s", "seconds"),
    [
        (LEVEL, 0.0, 0.0),
        (replace(LEVEL, lag=7, taken_until=ago(0.5)), 3600.0, 0.5),
        (replace(LEVEL, lag=7, taken_until=ago(86_400)), 4.0, 4.0),
        (replace(LEVEL, lag=7), 4.0, 4.0),
        (replace(LEVEL, trouble="Kafka is away", taken_until=ago(1)), 30.0, 30.0),
        (replace(LEVEL, lag=7, taken_until=ago(-2)), 4.0, 0.0),
    ],
    ids=["level", "under load", "after a rest", "nothing taken yet", "can't tell", "Kafka's clock is ahead"],
)
def test_lag_in_seconds_is_how_long_what_is_not_applied_has_been_there(
    status: ConsumerStatus, behind_s: float, seconds: float
) -> None:
    assert lag_s(status, behind_s, NOW) == seconds


@pytest.fixture
async def world(database: str, kafka: str, topic: Callable[..., str]) -> AsyncIterator[World]:
    pool = await create_pool(database, largest=5)
    made = World(pool, KafkaAddress(kafka), topic(), topic(partitions=1, compacted=True))
    yield made
    await made.close()


def nothing_is_followed(_handler: Handler) -> Follower:
    raise AssertionError("no read model is to be followed here")


def figures_of(world: World, metrics: Metrics, consumers: dict[str, Following]) -> Figures:
    read_models = ReadModels(
        world.pool,
        (),
        catalogue=CATALOGUE,
        log=TopicLog(world.address),
        follower_of=nothing_is_followed,
        clock=lambda: NOW,
    )
    return Figures(
        metrics,
        world.pool,
        relay=world.relay(),
        read_models=read_models,
        consumers=consumers,
        behind_since={},
        clock=lambda: datetime.now(UTC),
    )


def shown(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(name, labels)


async def test_the_relays_figures_follow_the_ledger(world: World) -> None:
    metrics = Metrics("testing")
    figures = figures_of(world, metrics, {})
    await insert(world.pool, *chain(uuid4(), 3))
    await figures.sample()
    assert shown(metrics, "gov_outbox_rows") == 3
    assert 0 < (shown(metrics, "gov_outbox_oldest_seconds") or 0) < 60
    assert shown(metrics, "gov_relay_verified") == shown(metrics, "gov_relay_leader") == 0
    await world.relay().one_pass()
    await figures.sample()
    assert shown(metrics, "gov_outbox_rows") == shown(metrics, "gov_outbox_oldest_seconds") == 0
    assert shown(metrics, "gov_relay_verified") == shown(metrics, "gov_relay_leader") == 1
    await world.pool.execute("UPDATE relay_checkpoint SET alarm = 'Fork: ...', tail_seq = '{1,2}', tail_txid = '{9,9}'")
    await figures.sample()
    assert (shown(metrics, "gov_relay_alarm"), shown(metrics, "gov_relay_tail_events")) == (1, 2)


async def test_what_the_pool_lends_is_told_when_it_is_asked(world: World) -> None:
    metrics = Metrics("testing")
    figures_of(world, metrics, {})
    async with world.pool.acquire():
        assert shown(metrics, "gov_pool_connections", state="in_use") == 1
    assert shown(metrics, "gov_pool_connections", state="in_use") == 0
    assert shown(metrics, "gov_pool_connections", state="size") == 5


async def test_a_consumers_figures_go_with_it(world: World) -> None:
    metrics = Metrics("testing")
    alarm = replace(LEVEL, lag=5, parked={"gap": 2, "fork": 1}, alarm="a fork")
    consumers: dict[str, Following] = {"roles/1": Told(alarm)}
    figures = figures_of(world, metrics, consumers)
    await world.pool.executemany(
        "INSERT INTO parked (consumer, topic, partition, record_offset, stream, kind, reason, parked_at) "
        "VALUES ('roles/1', 'topic', 0, $1, $2, 'gap', '', now())",
        [(number, stream) for number, stream in enumerate([uuid4()] * 2 + [uuid4()])],
    )
    await figures.sample()
    names = ("lag_records", "alarm")
    assert [shown(metrics, f"gov_consumer_{name}", consumer="roles/1") for name in names] == [5, 1]
    assert shown(metrics, "gov_parked_records", consumer="roles/1") == 3
    assert shown(metrics, "gov_parked_streams", consumer="roles/1") == 2
    del consumers["roles/1"]
    await figures.sample()
    assert b"roles/1" not in metrics.render()[0]
