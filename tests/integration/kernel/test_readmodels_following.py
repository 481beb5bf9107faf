"""Read models that follow their topics: what they have seen, how far they are, and what keeps them going."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from tests.integration.kernel.consuming import until, world
from tests.integration.kernel.following import Site
from tests.support.phases import PHASES
from tests.support.streams import START, Stream

from govevents.projects import PhaseStarted, ProjectTerminated
from govkernel.consumer import Handler
from govkernel.kafka import KafkaAddress, PartitionReader, TopicLog
from govkernel.readmodels import Follower, ReadModels, UnknownReadModel, Watermarks


@pytest.fixture
async def site(database: str, kafka: str, topic: Callable[..., str]) -> AsyncIterator[Site]:
    async with world(database, kafka, topic) as made:
        yield Site(made)


async def test_a_writer_can_wait_until_its_write_is_seen(site: Site) -> None:
    stream = Stream(site.world.service)
    async with site.running(site.read_models()) as read_models:
        await site.level(read_models)
        waiting = asyncio.create_task(read_models.wait_for(stream.stream, 2, timeout_s=20))
        await site.send([stream.add(PhaseStarted("design")), stream.add(PhaseStarted("build"))])
        assert await waiting
        assert await site.world.pool.fetchval("SELECT count(*) FROM read.phases") == 2


async def test_waiting_ends_in_time_for_what_has_not_come(site: Site) -> None:
    stream = Stream(site.world.service)
    async with site.running(site.read_models()) as read_models:
        await site.send([stream.add(PhaseStarted("design"))])
        assert await read_models.wait_for(stream.stream, 1)
        assert not await read_models.wait_for(stream.stream, 2, timeout_s=0.05)
        assert not await read_models.wait_for(uuid4(), 1, timeout_s=0.05)


async def test_a_version_is_seen_too_where_its_event_is_of_no_interest(site: Site) -> None:
    stream = Stream(site.world.service)
    async with site.running(site.read_models()) as read_models:
        await site.send([stream.add(ProjectTerminated("", None))])
        assert await read_models.wait_for(stream.stream, 1)


async def test_waiting_asks_for_every_read_model_of_the_streams_service_and_for_no_other(site: Site) -> None:
    other = replace(PHASES, name="elsewhere", service="nowhere")
    second = replace(site.phases, name="more_phases")
    stream = Stream(site.world.service)
    all_three = site.read_models(site.phases, second, other)
    await all_three.ensure()
    async with site.running(site.read_models()):
        await site.send([stream.add(PhaseStarted("design"))])
        assert await all_three.wait_for(stream.stream, 1, ["phases"])
        assert not await all_three.wait_for(stream.stream, 1, timeout_s=0.05)
    async with site.running(site.read_models(second)):
        assert await all_three.wait_for(stream.stream, 1)


async def test_unknown_read_models_are_named(site: Site) -> None:
    read_models = site.read_models()
    with pytest.raises(UnknownReadModel, match="'phrases' is no read model here; there are phases"):
        await read_models.position("phrases")
    with pytest.raises(UnknownReadModel, match="no live build yet"):
        await read_models.position("phases")


async def test_a_position_says_on_what_an_answer_rests(site: Site) -> None:
    streams = [Stream(site.world.service) for _ in range(9)]
    async with site.running(site.read_models()) as read_models:
        await site.send([stream.add(PhaseStarted("design")) for stream in streams])
        await site.level(read_models)
        position = await read_models.position("phases")
        assert (position.name, position.build, position.fold_version) == ("phases", 1, 1)
        assert position.topic == site.world.topic
        assert sum(position.offsets.values()) == len(streams)
        assert read_models.readers() == {"phases/1": site.world.service}
        assert [handler.name for handler in read_models.handlers()] == ["phases/1"]
        assert len(read_models.followers()) == 1


async def test_two_replicas_share_the_work_and_notice_each_others_switch(site: Site) -> None:
    one, other = site.read_models(), site.read_models()
    async with site.running(one), site.running(other):
        await site.level(one)
        await one.rebuild("phases")

        async def both_follow_the_new_build() -> bool:
            return all(status.following == "phases/2" for each in (one, other) for status in each.status())

        await until(both_follow_the_new_build)
        stream = Stream(site.world.service)
        await site.send([stream.add(PhaseStarted("design"))])
        assert await other.wait_for(stream.stream, 1, timeout_s=20)


async def test_whatever_ends_one_following_is_shown_and_tried_again_while_the_others_go_on(site: Site) -> None:
    failures = 0

    class Fails:
        async def run(self, _stop: asyncio.Event) -> None:
            raise RuntimeError("no luck")

    def follower_of(handler: Handler) -> Follower:
        nonlocal failures
        if handler.name.startswith("unlucky") and failures < 1:
            failures += 1
            return Fails()
        return site.world.consumer(handler)

    unlucky = replace(site.phases, name="unlucky")
    stream = Stream(site.world.service)
    async with site.running(site.read_models(site.phases, unlucky, follower_of=follower_of)) as read_models:

        async def shown() -> bool:
            return {status.name: status.trouble for status in read_models.status()}[
                "unlucky"
            ] == "RuntimeError: no luck"

        await until(shown)
        await site.send([stream.add(PhaseStarted("design"))])
        assert await read_models.wait_for(stream.stream, 1, ["phases"], timeout_s=20)
        assert await read_models.wait_for(stream.stream, 1, ["unlucky"], timeout_s=20)

        async def recovered() -> bool:
            return all(status.trouble is None for status in read_models.status())

        await until(recovered)


class Marks:
    """The topic of watermarks, and the service that follows it."""

    def __init__(self, site: Site, topic: str, bootstrap: str) -> None:
        self.site = site
        self.topic = topic
        self.address = KafkaAddress(bootstrap)

    async def say(self, moment: datetime, *, service: str | None = None) -> None:
        said = {"service": service or self.site.world.service, "recorded_until": moment.isoformat()}
        await self.site.world.producer.send_and_wait(
            self.topic, json.dumps(said).encode(), key=said["service"].encode()
        )

    def followed(self, read_models: ReadModels) -> Watermarks:
        return Watermarks(
            self.site.world.pool,
            read_models.models,
            log=TopicLog(self.address),
            reader_of=lambda topic: PartitionReader(self.address, topic),
            topic=self.topic,
        )


@pytest.fixture
def marks(site: Site, kafka: str, topic: Callable[..., str]) -> Marks:
    return Marks(site, topic(partitions=1, compacted=True), kafka)


async def test_an_answer_is_provisional_until_everything_before_the_watermark_is_applied_here(
    site: Site, marks: Marks
) -> None:
    stream = Stream(site.world.service)
    read_models = site.read_models()
    await read_models.ensure()
    await site.send([stream.add(PhaseStarted("design"))])
    await marks.say(START + timedelta(hours=1))
    stop = asyncio.Event()
    task = asyncio.create_task(marks.followed(read_models).run(stop))
    here = (site.world.service,)

    async def settled() -> bool:
        return await read_models.provisional(START) == ()

    try:
        # The relay has sent everything, but nothing of it was applied here: its word is heard and not taken.
        await marks.say(START, service="somebody else")
        with pytest.raises(AssertionError, match="did not come to hold"):
            await until(settled, deadline_s=1.5)
        assert await read_models.provisional(START) == here

        async with site.running(read_models):
            await until(settled)
            assert await read_models.provisional(START + timedelta(hours=1)) == ()
            assert await read_models.provisional(START + timedelta(hours=2)) == here
            assert await read_models.provisional(None) == ()

            await marks.say(START + timedelta(hours=3))

            async def moved_on() -> bool:
                return await read_models.provisional(START + timedelta(hours=2)) == ()

            await until(moved_on)
    finally:
        stop.set()
        async with asyncio.timeout(20):
            await task


async def test_a_watermark_that_is_none_is_passed_over_and_none_goes_back(site: Site, marks: Marks) -> None:
    read_models = site.read_models()
    send: Any = site.world.producer.send_and_wait
    await send(marks.topic, b"not json", key=b"x")
    await marks.say(START + timedelta(hours=2))
    await marks.say(START)
    stop = asyncio.Event()
    task = asyncio.create_task(marks.followed(read_models).run(stop))
    try:
        async with site.running(read_models):

            async def settled() -> bool:
                return await read_models.provisional(START + timedelta(hours=2)) == ()

            await until(settled)
    finally:
        stop.set()
        async with asyncio.timeout(20):
            await task
