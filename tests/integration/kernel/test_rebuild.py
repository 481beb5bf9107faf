"""Rebuilds against real PostgreSQL and Kafka: the same to the byte, or refused; and readers notice nothing."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, replace
from random import Random
from typing import Any
from uuid import uuid4

import asyncpg
import pytest
from tests.integration.kernel.consuming import until, world
from tests.integration.kernel.following import Site, context, now
from tests.support.phases import PhaseRow, evolve
from tests.support.streams import Stream
from tests.support.topics import create_topic, delete_topics

from govevents.document import Recorded
from govevents.projects import PhaseCompleted, PhaseStarted, ProjectHeld, ProjectResumed, ProjectTerminated
from govkernel.consumer import read_again
from govkernel.kafka import Extent, KafkaAddress, TopicLog, partition_of
from govkernel.postgres import Connection
from govkernel.readmodels import (
    Digests,
    Progress,
    ReadModel,
    ReadModels,
    RebuildDiffers,
    RebuildFailed,
    RebuildRunning,
    State,
)
from govkernel.readmodels.builds import create_build


@pytest.fixture
async def site(database: str, kafka: str, topic: Callable[..., str]) -> AsyncIterator[Site]:
    async with world(database, kafka, topic) as made:
        yield Site(made)


def eventful(site: Site, seed: int, *, streams: int = 12, events: int = 12) -> list[Stream]:
    """Streams with rows that come, change, go and come again, and some whose fold fails on the way."""
    random = Random(seed)
    made = [Stream(site.world.service) for _ in range(streams)]
    phases = ["design", "build", "test"]
    for stream in made:
        started: set[str] = set()
        for _ in range(random.randrange(1, events)):
            phase = random.choice(phases)
            kind = random.randrange(10)
            if kind < 4:
                stream.add(PhaseStarted(phase))
                started.add(phase)
            elif kind < 7 and (phase in started or random.random() < 0.1):
                stream.add(PhaseCompleted(phase))
            elif kind == 7:
                stream.add(ProjectHeld("", None))
            elif kind == 8:
                stream.add(ProjectResumed(""))
                started.clear()
            else:
                stream.add(ProjectTerminated("", None))
    return made


async def send(site: Site, streams: list[Stream], *, seed: int = 0) -> None:
    """Send the streams' documents interleaved, each stream's in order."""
    random = Random(seed)
    left = [list(stream.documents) for stream in streams]
    while left := [documents for documents in left if documents]:
        await site.send([random.choice(left).pop(0)])


def same(one: Digests, other: Digests) -> bool:
    return (one.rows, one.history, one.parked, one.offsets) == (other.rows, other.history, other.parked, other.offsets)


async def states(site: Site) -> list[tuple[int, str]]:
    rows = await site.world.pool.fetch("SELECT build, state FROM read_model_builds ORDER BY build")
    return [(row["build"], row["state"]) for row in rows]


async def test_a_rebuild_is_the_same_to_the_byte_and_becomes_live(site: Site) -> None:
    streams = eventful(site, 1)
    await send(site, streams)
    async with site.running(site.read_models()) as read_models:
        await site.level(read_models)
        before = await read_models.digests("phases")
        shown: list[Progress] = []
        rebuilt = await read_models.rebuild("phases", shown.append)
        after = await read_models.digests("phases")

        assert rebuilt.difference is None
        assert rebuilt.records == sum(len(stream.documents) for stream in streams)
        assert after.build == 2
        assert same(before, after)
        assert await states(site) == [(1, "previous"), (2, "live")]
        assert [progress.stage for progress in shown][-4:] == ["writing", "comparing", "tailing", "switched"]
        assert await site.world.pool.fetchval("SELECT count(*) FROM parked") > 0, "some folds fail, on purpose"

        follow_up = Stream(site.world.service)
        await site.world.send(follow_up.add(PhaseStarted("design")))
        assert await read_models.wait_for(follow_up.stream, 1)
        found = await site.world.pool.fetchval("SELECT count(*) FROM read.phases WHERE stream = $1", follow_up.stream)
        assert found == 1


async def test_readers_notice_nothing_of_rebuilds_under_load(site: Site) -> None:
    streams = eventful(site, 2)
    await send(site, streams)
    loading, looking = asyncio.Event(), asyncio.Event()
    sent: list[Stream] = []

    async def load() -> None:
        while not loading.is_set():
            stream = Stream(site.world.service)
            await site.send([stream.add(PhaseStarted("design")), stream.add(PhaseCompleted("design"))])
            sent.append(stream)

    async def look() -> None:
        most = 0
        connection = await asyncpg.connect(site.world.url)
        try:
            while not looking.is_set():
                seen = await connection.fetchval(
                    "SELECT (SELECT count(*) FROM read.phases) + (SELECT count(*) FROM read.phases_history)"
                )
                assert seen >= most, "a reader has seen the past come back"
                most = seen
        finally:
            await connection.close()

    async with site.running(site.read_models()) as read_models:
        await site.level(read_models)
        tasks = [asyncio.create_task(load()), asyncio.create_task(look())]
        for _ in range(2):
            rebuilt = await read_models.rebuild("phases")
            assert rebuilt.difference is None
        loading.set()
        await tasks[0]
        await site.level(read_models)
        looking.set()
        await tasks[1]
        live = await read_models.digests("phases")
        await read_models.rebuild("phases")
        assert same(live, await read_models.digests("phases"))
        assert await states(site) == [(1, "dropped"), (2, "dropped"), (3, "previous"), (4, "live")]
        schemas = await site.world.pool.fetch("SELECT nspname FROM pg_namespace WHERE nspname LIKE 'rm_%' ORDER BY 1")
        assert [row["nspname"] for row in schemas] == ["rm_phases_3", "rm_phases_4"]
        assert sent


@pytest.mark.parametrize(
    ("tampering", "said"),
    [
        ("UPDATE rm_phases_1.rows SET finished = NOT finished", "finished: "),
        ("UPDATE rm_phases_1.rows SET provenance[3] = 99", "provenance: "),
        ("UPDATE rm_phases_1.history SET until = until + interval '1 microsecond'", "until: "),
        ("DELETE FROM rm_phases_1.rows", "is in the new build only"),
        ("UPDATE consumer_guards SET hash = 'x' WHERE consumer = 'phases/1'", "guards of stream "),
        ("DELETE FROM parked", "parked of stream "),
    ],
)
async def test_a_rebuild_that_differs_under_the_same_fold_is_refused_and_says_where(
    site: Site, tampering: str, said: str
) -> None:
    bad, good = Stream(site.world.service), Stream(site.world.service)
    await site.send([good.add(PhaseStarted("design")), good.add(PhaseCompleted("design"))])
    await site.send([bad.add(PhaseCompleted("never started"))])
    async with site.running(site.read_models()) as read_models:
        await site.level(read_models)
    await site.world.pool.execute(tampering)
    tampered = await read_models.digests("phases")

    with pytest.raises(RebuildDiffers) as refused:
        await read_models.rebuild("phases", accept_difference=True)
    assert said in str(refused.value)
    assert str(bad.stream if said.startswith("parked") else good.stream) in str(refused.value)
    assert same(tampered, await read_models.digests("phases"))
    assert await states(site) == [(1, "live"), (2, "failed")]
    left = await site.world.pool.fetchval(
        "SELECT (SELECT count(*) FROM consumer_guards WHERE consumer = 'phases/2') + "
        "(SELECT count(*) FROM parked WHERE consumer = 'phases/2') + "
        "(SELECT count(*) FROM consumer_partitions WHERE consumer = 'phases/2') + "
        "(SELECT count(*) FROM pg_namespace WHERE nspname = 'rm_phases_2')"
    )
    assert left == 0


@dataclass(frozen=True, slots=True)
class RenamedRow:
    phase: str
    done: bool
    held: bool


def renamed(rows: Mapping[str, RenamedRow], recorded: Recorded[Any]) -> Mapping[str, RenamedRow]:
    """The same fold in other words, and a phase counts as done once it is held."""
    old = {key: PhaseRow(row.phase, row.done, row.held) for key, row in rows.items()}
    return {
        key: RenamedRow(row.phase, row.finished or row.held, row.held) for key, row in evolve(old, recorded).items()
    }


def second_version(site: Site) -> ReadModel[Any]:
    return ReadModel(
        "phases", site.world.service, 2, RenamedRow, site.phases.events, renamed, indexes=(("phase",), ("done",))
    )


async def test_another_fold_shows_its_difference_and_switches_once_it_is_accepted(site: Site) -> None:
    stream = Stream(site.world.service)
    await site.send([stream.add(PhaseStarted("design")), stream.add(ProjectHeld("", None))])
    async with site.running(site.read_models()) as old:
        await site.level(old)
    new = site.read_models(second_version(site))

    with pytest.raises(RebuildDiffers, match="accept the difference") as refused:
        await new.rebuild("phases")
    assert refused.value.difference.columns_added == ("done",)
    assert refused.value.difference.columns_removed == ("finished",)
    assert await site.world.pool.fetchval("SELECT finished FROM read.phases") is False

    rebuilt = await new.rebuild("phases", accept_difference=True)
    assert rebuilt.difference is not None
    assert await site.world.pool.fetchval("SELECT done FROM read.phases") is True
    (live,) = [build for build in await new.builds() if build.state == "live"]
    assert live.fold_version == 2
    assert live.progress["difference"]["columns_added"] == ["done"]


async def test_another_fold_that_gives_the_same_rows_needs_no_acceptance(site: Site) -> None:
    await send(site, eventful(site, 3))
    async with site.running(site.read_models()) as old:
        await site.level(old)
    rebuilt = await site.read_models(replace(site.phases, version=2)).rebuild("phases")
    assert rebuilt.difference is None
    assert rebuilt.build.fold_version == 2


async def test_a_release_with_a_newer_fold_builds_and_switches_by_itself_and_the_older_one_steps_aside(
    site: Site,
) -> None:
    streams = eventful(site, 4)
    await send(site, streams)
    async with site.running(site.read_models()) as old:
        await site.level(old)
        async with site.running(site.read_models(second_version(site))) as new:

            async def switched() -> bool:
                return (await new.position("phases")).fold_version == 2

            await until(switched)
            late = Stream(site.world.service)
            await site.world.send(late.add(PhaseStarted("late")))
            assert await new.wait_for(late.stream, 1)
            assert await site.world.pool.fetchval("SELECT done FROM read.phases WHERE phase = 'late'") is False

            async def old_has_stepped_aside() -> bool:
                (status,) = old.status()
                return status.following is None and "start a newer release" in (status.trouble or "")

            await until(old_has_stepped_aside)


async def test_a_mess_of_repeats_gaps_forks_and_garbage_is_parked_alike(site: Site) -> None:
    random = Random(5)
    streams = eventful(site, 5, streams=20)
    for stream in streams:
        deliveries = [*stream.documents]
        for _ in range(random.randrange(3)):
            deliveries.insert(random.randrange(len(deliveries) + 1), random.choice(stream.documents))
        if random.random() < 0.5:
            random.shuffle(deliveries)
        if random.random() < 0.3:
            rival = Stream(site.world.service, stream.stream)
            rival.add(PhaseStarted("rival"))
            deliveries.insert(random.randrange(len(deliveries) + 1), rival.documents[0])
        for document in deliveries:
            await site.world.send(document)
        if random.random() < 0.2:
            await site.world.send_raw(stream.stream, b"garbage")
    await site.world.send_raw(uuid4(), b"garbage", key=b"no stream")
    async with site.running(site.read_models()) as read_models:
        await site.level(read_models)
        before = await read_models.digests("phases")
        kinds = {row["kind"] for row in await site.world.pool.fetch("SELECT kind FROM parked")}
        assert {"fork", "gap", "behind", "unreadable", "refused"} <= kinds

        assert (await read_models.rebuild("phases")).difference is None
        assert same(before, await read_models.digests("phases"))


async def test_a_skipped_record_stays_skipped_in_a_rebuild(site: Site) -> None:
    stream = Stream(site.world.service)
    await site.send(
        [
            stream.add(PhaseStarted("design")),
            stream.add(PhaseCompleted("never started")),
            stream.add(PhaseCompleted("design")),
        ]
    )
    garbage = Stream(site.world.service)
    await site.world.send_raw(garbage.stream, b"garbage")
    await site.send([garbage.add(PhaseStarted("design"))])
    async with site.running(site.read_models()) as read_models:
        await site.level(read_models)
        operator = await site.parked(read_models)
        for record in await operator.list():
            if record.kind in ("refused", "unreadable"):
                await operator.skip(record.id, "it was a test", context=context())
        assert await operator.list() == []
        finished = await site.world.pool.fetch("SELECT stream, finished FROM read.phases ORDER BY finished")
        assert [tuple(row) for row in finished] == [(garbage.stream, False), (stream.stream, True)]

        before = await read_models.digests("phases")
        assert (await read_models.rebuild("phases")).difference is None
        assert same(before, await read_models.digests("phases"))


async def test_a_skipped_record_stays_skipped_in_a_rebuild_over_a_topic_made_anew_and_what_lies_at_its_place_is_not(
    site: Site, kafka: str
) -> None:
    stream, other = Stream(site.world.service), Stream(site.world.service)
    while len({partition_of(each.stream, site.world.partitions) for each in (stream, other)}) > 1:
        other = Stream(site.world.service)
    wrong = [stream.add(PhaseStarted("design")), stream.add(PhaseCompleted("never started"))]
    right = [other.add(PhaseStarted("design")), other.add(PhaseCompleted("design"))]
    last = stream.add(PhaseCompleted("design"))
    await site.send([*wrong, *right, last])
    async with site.running(site.read_models()) as read_models:
        await site.level(read_models)
        operator = await site.parked(read_models)
        (refused,) = [record for record in await operator.list() if record.kind == "refused"]
        await operator.skip(refused.id, "it was a test", context=context())
        before = await read_models.digests("phases")

        delete_topics(kafka, site.world.topic)
        create_topic(kafka, site.world.topic, partitions=site.world.partitions)
        await site.send([*right, *wrong, last])
        await read_again(site.world.pool, site.world.topic, record=recorded)
        await site.level(read_models)
        assert (await read_models.rebuild("phases")).difference is None
        after = await read_models.digests("phases")
        assert (after.rows, after.history, after.parked) == (before.rows, before.history, before.parked)


async def recorded(_connection: Connection) -> bool:
    return True


async def test_what_a_retry_has_set_aside_does_not_block_the_rebuilt_stream(site: Site) -> None:
    stream = Stream(site.world.service)
    await site.send([stream.add(PhaseStarted("design"))])
    await site.world.send_raw(stream.stream, b"garbage")
    await site.send([stream.add(PhaseCompleted("design"))])
    async with site.running(site.read_models()) as read_models:
        await site.level(read_models)
        operator = await site.parked(read_models)
        (first, *_) = await operator.list()
        await operator.retry(first.id)
        assert [record.kind for record in await operator.list()] == ["set_aside"]

        before = await read_models.digests("phases")
        await read_models.rebuild("phases")
        assert same(before, await read_models.digests("phases"))
        await site.world.send(stream.add(ProjectHeld("", None)))
        assert await read_models.wait_for(stream.stream, 3)


class Stuck:
    """A log that never gives anything."""

    def __init__(self) -> None:
        self.reached = asyncio.Event()

    async def extent(self, _topic: str) -> Extent:
        raise AssertionError("where the log ends is not to be asked")

    async def read(self, _topic: str, _start: Any, _end: Any = None) -> AsyncIterator[Any]:
        self.reached.set()
        await asyncio.Event().wait()
        yield None


async def test_a_rebuild_that_is_broken_off_leaves_the_live_build_as_it_was(site: Site) -> None:
    await send(site, eventful(site, 6))
    async with site.running(site.read_models()) as read_models:
        await site.level(read_models)
    before = await read_models.digests("phases")
    stuck = Stuck()
    rebuild = asyncio.create_task(site.read_models(log=stuck).rebuild("phases"))
    async with asyncio.timeout(20):
        await stuck.reached.wait()
    with pytest.raises(RebuildRunning, match="being rebuilt already"):
        await read_models.rebuild("phases")
    rebuild.cancel()
    with pytest.raises(asyncio.CancelledError):
        await rebuild

    assert same(before, await read_models.digests("phases"))
    assert (await states(site))[0] == (1, "live")
    assert (await read_models.rebuild("phases")).difference is None


async def test_what_a_killed_rebuild_left_is_cleared_by_the_next(site: Site) -> None:
    await send(site, eventful(site, 7))
    async with site.running(site.read_models()) as read_models:
        await site.level(read_models)
    async with site.world.pool.acquire() as connection:
        left = await create_build(connection, site.phases, State.BUILDING, now())
    await read_models.rebuild("phases")

    assert await states(site) == [(1, "previous"), (2, "failed"), (3, "live")]
    assert not await site.world.pool.fetchval("SELECT count(*) FROM pg_namespace WHERE nspname = $1", left.schema)


async def test_a_roll_back_brings_the_previous_build_level_before_it_switches(site: Site) -> None:
    await send(site, eventful(site, 8))
    async with site.running(site.read_models()) as read_models:
        await site.level(read_models)
        await read_models.rebuild("phases")
        await send(site, eventful(site, 9), seed=1)
        await site.level(read_models)
        before = await read_models.digests("phases")
        back = await read_models.roll_back("phases")

        assert back.number == 1
        after = await read_models.digests("phases")
        assert after.build == 1
        assert same(before, after)
        assert await states(site) == [(1, "live"), (2, "previous")]


async def test_a_roll_back_to_a_fold_that_this_release_does_not_have_is_refused(site: Site) -> None:
    async with site.running(site.read_models()) as old:
        await site.level(old)
        with pytest.raises(RebuildFailed, match="no previous build"):
            await old.roll_back("phases")
    new = site.read_models(second_version(site))
    await new.rebuild("phases", accept_difference=True)
    with pytest.raises(RebuildFailed, match="roll back with the release that has 1"):
        await new.roll_back("phases")


async def test_a_rebuild_of_nothing_is_nothing(site: Site) -> None:
    read_models = site.read_models()
    await read_models.ensure()
    rebuilt = await read_models.rebuild("phases")
    assert (rebuilt.records, rebuilt.difference) == (0, None)


async def test_a_topic_that_can_not_be_read_fails_the_rebuild_and_says_why(site: Site) -> None:
    await send(site, eventful(site, 10))
    async with site.running(site.read_models()) as read_models:
        await site.level(read_models)
    nowhere = ReadModels(
        site.world.pool,
        [site.phases],
        catalogue=read_models._catalogue,
        log=TopicLog(KafkaAddress("127.0.0.1:1")),
        follower_of=site.world.consumer,
        clock=now,
    )
    with pytest.raises(Exception, match="Kafka is away"):
        await nowhere.rebuild("phases")
    (failed, _live) = await read_models.builds()
    assert failed.state == "failed"
    assert "Kafka is away" in failed.progress["failed"]
