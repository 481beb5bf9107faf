"""A build is compared with the live one at the same places of its streams, and rolled back to once it is level."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest
from tests.integration.kernel.carrying import until
from tests.integration.kernel.consuming import world
from tests.integration.kernel.following import Site
from tests.support.phases import PhaseRow, evolve
from tests.support.streams import Stream

from govevents.document import Recorded
from govevents.projects import PhaseCompleted, PhaseStarted
from govkernel.postgres import Connection
from govkernel.readmodels import Build, Progress, ReadModel, RebuildFailed, RebuildRunning


@pytest.fixture
async def site(database: str, kafka: str, topic: Callable[..., str]) -> AsyncIterator[Site]:
    async with world(database, kafka, topic) as made:
        yield Site(made)


async def started(site: Site, *phases: str) -> Stream:
    """A stream with an event for each of these phases."""
    stream = Stream(site.world.service)
    await site.send([stream.add(PhaseStarted(phase)) for phase in phases])
    return stream


async def states(site: Site) -> list[tuple[int, str]]:
    rows = await site.world.pool.fetch("SELECT build, state FROM read_model_builds ORDER BY build")
    return [(row["build"], row["state"]) for row in rows]


async def nobody_follows(site: Site, consumer: str) -> bool:
    held = "SELECT count(*) FROM consumer_partitions WHERE consumer = $1 AND holder IS NOT NULL"
    return bool(await site.world.pool.fetchval(held, consumer) == 0)


async def test_a_previous_build_is_fed_as_far_as_the_live_one_and_then_differs_in_nothing(site: Site) -> None:
    await started(site, "design", "build")
    async with site.running(site.read_models()) as read_models:
        await site.level(read_models)
        await read_models.rebuild("phases")
        await until(partial(nobody_follows, site, "phases/1"))
        await started(site, "late")
        await site.level(read_models)
        shown: list[Progress] = []
        compared = await read_models.compare("phases", shown.append)
    assert compared.same
    assert (compared.live, compared.other, compared.streams, compared.moving) == (2, 1, 2, 0)
    assert compared.offsets == (await read_models.position("phases")).offsets
    assert {progress.stage for progress in shown} == {"catching up"}
    assert await states(site) == [(1, "previous"), (2, "live")]


async def test_rows_that_differ_are_told_field_by_field_and_only_the_first_of_them(site: Site) -> None:
    one, other = await started(site, "design", "build"), await started(site, "design")
    async with site.running(site.read_models()) as read_models:
        await site.level(read_models)
        await read_models.rebuild("phases")
        await site.world.pool.execute("UPDATE rm_phases_1.rows SET finished = true WHERE stream = $1", one.stream)
        await site.world.pool.execute("DELETE FROM rm_phases_1.rows WHERE stream = $1", other.stream)
        compared = await read_models.compare("phases")
        first = await read_models.compare("phases", most_rows=1)
    assert compared.differing == {"rows": 2}
    found = {(row.stream, row.key): row for row in compared.rows}
    assert found[one.stream, "design"].fields == {"finished": (False, True)}
    assert found[one.stream, "build"].only_in is None
    assert found[other.stream, "design"].only_in == 2
    assert found[other.stream, "design"].fields["phase"] == ("design", None)
    assert (len(first.rows), first.differing) == (1, {"rows": 2})


async def test_builds_under_load_are_compared_stream_by_stream_where_they_are_level(site: Site) -> None:
    busy = await started(site, "design")
    stop = asyncio.Event()

    async def load() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            await site.send([busy.add(PhaseStarted(f"phase {number}"))])

    async with site.running(site.read_models()) as read_models:
        await site.level(read_models)
        await read_models.rebuild("phases")
        loading = asyncio.create_task(load())
        compared = await read_models.compare("phases")
        stop.set()
        await loading
    assert compared.same


async def test_the_live_build_is_compared_with_the_log_and_nothing_of_that_is_left(site: Site) -> None:
    stream = await started(site, "design")
    async with site.running(site.read_models()) as read_models:
        await site.level(read_models)
        assert (await read_models.compare("phases", with_log=True)).same
        await site.world.pool.execute("UPDATE rm_phases_1.rows SET finished = true")
        compared = await read_models.compare("phases", with_log=True)
    assert compared.differing == {"rows": 1}
    assert [(row.stream, row.fields) for row in compared.rows] == [(stream.stream, {"finished": (True, False)})]
    assert await states(site) == [(1, "live"), (2, "dropped"), (3, "dropped")]
    assert not await site.world.pool.fetchval("SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'rm_phases_[23]'")
    assert await site.world.pool.fetchval("SELECT count(DISTINCT consumer) FROM consumer_guards") == 1


@dataclass(frozen=True, slots=True)
class RenamedRow:
    phase: str
    done: bool
    held: bool


def renamed(rows: Mapping[str, RenamedRow], recorded: Recorded[Any]) -> Mapping[str, RenamedRow]:
    old = {key: PhaseRow(row.phase, row.done, row.held) for key, row in rows.items()}
    return {key: RenamedRow(row.phase, row.finished, row.held) for key, row in evolve(old, recorded).items()}


async def test_a_build_of_an_older_fold_is_compared_as_it_stands_by_the_columns_that_both_have(site: Site) -> None:
    stream = await started(site, "design")
    async with site.running(site.read_models()) as old:
        await site.level(old)
    newer = ReadModel("phases", site.world.service, 2, RenamedRow, site.phases.events, renamed)
    async with site.running(site.read_models(newer)) as new:
        async with asyncio.timeout(30):
            while (await states(site))[0] != (1, "previous"):
                await asyncio.sleep(0.05)
        await site.send([stream.add(PhaseCompleted("design"))])
        still = await started(site, "build")
        await site.level(new)
        await site.world.pool.execute("DELETE FROM rm_phases_2.rows WHERE stream = $1", still.stream)
        compared = await new.compare("phases")
    assert (compared.columns_added, compared.columns_removed) == (("finished",), ("done",))
    assert (compared.live_fold_version, compared.other_fold_version) == (2, 1)
    # Both streams have moved on since the older fold was fed for the last time.
    assert (compared.streams, compared.moving, compared.differing) == (0, 2, {})


async def test_where_there_is_no_previous_build_that_is_said(site: Site) -> None:
    read_models = site.read_models()
    await read_models.ensure()
    with pytest.raises(RebuildFailed, match="no previous build"):
        await read_models.compare("phases")


async def test_who_rolled_back_is_recorded_with_the_switch_or_not_at_all(site: Site) -> None:
    await started(site, "design")
    recorded: list[tuple[int, int, bool]] = []

    async def record(connection: Connection, live: Build, back: Build) -> None:
        shown = await connection.fetchval("SELECT state FROM read_model_builds WHERE build = $1", back.number)
        recorded.append((live.number, back.number, shown == "live"))

    async def refuse(_connection: Connection, _live: Build, _back: Build) -> None:
        raise RuntimeError("the ledger is closed")

    async with site.running(site.read_models()) as read_models:
        await site.level(read_models)
        await read_models.rebuild("phases")
        with pytest.raises(RuntimeError):
            await read_models.roll_back("phases", refuse)
        assert await states(site) == [(1, "previous"), (2, "live")]
        (told,) = [each.progress for each in await read_models.builds() if each.build == 1]
        assert "the ledger is closed" in told["failed"]
        back = await read_models.roll_back("phases", record)
    assert back.number == 1
    assert recorded == [(2, 1, True)]
    assert await states(site) == [(1, "live"), (2, "previous")]
    (told,) = [each.progress for each in await read_models.builds() if each.build == 1]
    assert (told["stage"], told["failed"]) == ("switched", None)


async def test_a_roll_back_that_is_broken_off_can_be_tried_again(site: Site) -> None:
    await started(site, "design")
    async with site.running(site.read_models()) as read_models:
        await site.level(read_models)
        await read_models.rebuild("phases")
        await until(partial(nobody_follows, site, "phases/1"))
        await started(site, "late")
        await site.level(read_models)
        reached = asyncio.Event()

        class Stuck:
            async def run(self, stop: asyncio.Event) -> None:
                reached.set()
                await stop.wait()

        stuck = asyncio.create_task(site.read_models(follower_of=lambda _handler: Stuck()).roll_back("phases"))
        async with asyncio.timeout(20):
            await reached.wait()
        with pytest.raises(RebuildRunning):
            await read_models.compare("phases")
        stuck.cancel()
        await asyncio.gather(stuck, return_exceptions=True)
        assert await states(site) == [(1, "previous"), (2, "live")]
        assert (await read_models.roll_back("phases")).number == 1
