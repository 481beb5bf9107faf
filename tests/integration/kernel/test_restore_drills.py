"""Drills: a ledger is set back in each of the ways in which storage and standbys do that, and gets back what Kafka has.

Each time a service goes on while its database is replaced by an earlier one. It must notice before it appends or sends
anything, and go on by itself with everything that the world had seen.
"""

import asyncio
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Final

import pytest
from tests.integration.kernel.drilling import TEMPLATE, Place, Site, ask, copy, site_at, taken
from tests.integration.kernel.serving import (
    issuer_in,
    until,
)
from tests.support import databases

from gov.runtime.postgres import PostgresServer

RESTORE_POINT: Final = "the_last_good_moment"
LATER: Final = "until 2040-01-01T00:00:00+00:00"

ComeBack = Callable[[], Awaitable[None]]
Way = Callable[[Place, PostgresServer, PostgresServer], Awaitable[ComeBack]]
"""Keep what an origin has at this moment; what is returned kills the origin and sets another server going with that."""


async def storage_snapshot(place: Place, origin: PostgresServer, other: PostgresServer) -> ComeBack:
    """The disk of a server that was cut off from power, as the storage keeps it."""
    origin.kill()
    await asyncio.to_thread(copy, origin, other)
    origin.start()

    async def come_back() -> None:
        origin.kill()
        other.initialise()
        place.keep_log(other)
        other.start()

    return come_back


async def point_in_time(place: Place, origin: PostgresServer, other: PostgresServer) -> ComeBack:
    """A base backup, and the archived log up to a moment: what comes back is on another timeline."""
    await asyncio.to_thread(place.base_backup, origin, other)
    await ask(origin, f"SELECT pg_create_restore_point('{RESTORE_POINT}')")

    async def come_back() -> None:
        last = await ask(origin, "SELECT pg_walfile_name(pg_switch_wal())")

        async def archived() -> bool:
            return (place.archive(origin) / str(last)).exists()

        await until(archived)
        origin.kill()
        other.initialise()
        place.keep_log(other)
        place.configure(
            other,
            restore_command=f"cp {place.archive(origin)}/%f %p",
            recovery_target_name=RESTORE_POINT,
            recovery_target_action="promote",
        )
        (other.data / "recovery.signal").touch()
        place.give(other, other.data / "recovery.signal")
        other.start()

        async def leads() -> bool:
            return not await ask(other, "SELECT pg_is_in_recovery()")

        await until(leads)
        assert await ask(other, "SELECT timeline_id FROM pg_control_checkpoint()") == 2
        # Whoever is copied from it next has nothing to recover to.
        place.configure(other, restore_command="", recovery_target_name="")

    return come_back


async def failover(place: Place, origin: PostgresServer, other: PostgresServer) -> ComeBack:
    """A standby that had lost touch with its primary is promoted when that dies."""
    await asyncio.to_thread(place.base_backup, origin, other, "--write-recovery-conf")
    other.initialise()
    place.keep_log(other)
    other.start()
    here = await ask(origin, "SELECT pg_current_wal_lsn()::text")

    async def level() -> bool:
        return bool(await ask(other, f"SELECT pg_last_wal_replay_lsn() >= '{here}'::pg_lsn"))

    await until(level)
    await ask(other, "ALTER SYSTEM SET primary_conninfo = ''")
    await ask(other, "SELECT pg_reload_conf()")

    async def alone() -> bool:
        return bool(await ask(other, "SELECT NOT EXISTS (SELECT FROM pg_stat_wal_receiver)"))

    await until(alone)

    async def come_back() -> None:
        origin.kill()
        assert await ask(other, "SELECT pg_promote()")

    return come_back


@pytest.fixture(scope="module")
def place() -> Iterator[Place]:
    made = Place()
    yield made
    made.close()


@pytest.fixture(scope="module")
async def issuer(place: Place) -> AsyncIterator[str]:
    async with issuer_in(place.folder) as address:
        yield address


@pytest.fixture(scope="module")
async def site(place: Place, kafka: str, issuer: str) -> AsyncIterator[Site]:
    """A service that goes on through all drills, each time with the database that the one before has left."""
    server = place.server()
    server.initialise()
    place.keep_log(server)
    server.start()
    await databases.create_template(server.url(), TEMPLATE)
    async with site_at(place, server, kafka, issuer) as made:
        yield made


@pytest.mark.parametrize("way", [storage_snapshot, point_in_time, failover])
async def test_a_database_that_was_set_back_takes_nothing_until_kafka_has_given_back_what_it_lost(
    site: Site, place: Place, way: Way
) -> None:
    origin, other = site.server, place.server()
    old = await site.open(f"{way.__name__} old")
    assert (await site.coin(old, "ana")).status_code == 200
    come_back = await way(place, origin, other)
    await until(lambda: taken(site.coin(old, "bo")))
    timed = await site.open(f"{way.__name__} timed", LATER)
    later = [await site.open(f"{way.__name__} later {number}") for number in range(20)]
    for jar in later:
        assert (await site.coin(jar, "cy")).status_code == 200
    await site.carried()
    before, seen = await site.tables(origin), await site.topic()

    # The relay stands still, as on a machine that was suspended: what it remembers is of a past that is gone.
    site.processes["relay"].send_signal(signal.SIGSTOP)
    await come_back()
    site.move_to(other)

    async def back() -> bool:
        return (await site.client.get(f"/jars/{old}")).status_code == 200

    await until(back)
    assert await site.coins(old) == ["ana"], "the database was set back"
    for jar in (old, timed):
        refused = await site.coin(jar, "dee")
        assert refused.status_code == 503, refused.text
        assert int(refused.headers["retry-after"]) >= 1
        assert "verify" in refused.json()["detail"]
    assert await site.topic() == seen

    site.processes["relay"].send_signal(signal.SIGCONT)
    await site.carried()
    lost = 1 + 1 + 2 * len(later)
    assert (await site.client.get("/operations/relay")).json()["brought_back"] == lost
    assert await site.tables(other) == before
    assert await site.topic() == seen
    assert await site.coins(old) == ["ana", "bo"]

    repeated = await site.coin(old, "bo")
    assert (repeated.status_code, repeated.headers["gov-version"]) == (200, f"{old}@3")
    assert await site.open(f"{way.__name__} timed", LATER) == timed
    assert (await site.coin(old, "dee")).headers["gov-version"] == f"{old}@4"
    await site.carried()
    found = await site.verification()
    assert (found["events"], found["unsent"], found["counts"]) == (len(before["events"]) + 1, 0, {})
