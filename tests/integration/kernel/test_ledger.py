"""The ledger on PostgreSQL, and on what the simulation puts in its place: once, in order, under races."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import msgspec
import pytest
from tests.integration.kernel.jar import (
    JAR,
    AddCoin,
    CloseJar,
    CoinAdded,
    Command,
    Jar,
    JarOpened,
    OpenJar,
    context,
)
from tests.integration.kernel.ledgers import InMemory, InPostgres, Kept, ledger_on
from tests.simulation.database import MemoryDatabase
from tests.support.databases import LEDGER_IS_OPEN, OPEN_LEDGER, as_application
from tests.support.infrastructure import Infrastructure

from govevents.document import hash_of, read_envelope
from govkernel.domain import Aggregate, NotKnownYet
from govkernel.ledger import (
    Answer,
    AnsweredBefore,
    Appended,
    Conflict,
    Head,
    Intent,
    KeyReused,
    Ledger,
    LedgerCorrupt,
    LedgerUnavailable,
    OfAnotherKind,
    StaleVersion,
    Timers,
)
from govkernel.ledger.append import AllowanceMoved
from govkernel.postgres import create_pool, migrate_in_thread


@pytest.fixture(params=["memory", "postgresql"])
def address(request: pytest.FixtureRequest) -> str | None:
    """Where a fresh database is; None for one in memory."""
    if request.param == "memory":
        return None
    url: str = request.getfixturevalue("database")
    return url


@pytest.fixture
async def kept(address: str | None) -> AsyncIterator[Kept]:
    """The same suite for whatever can stand behind a ledger."""
    if address is None:
        memory = InMemory(MemoryDatabase())
        await memory.verified()
        yield memory
        return
    pool = await create_pool(address, largest=20)
    postgres = InPostgres(pool)
    await postgres.verified()
    yield postgres
    await pool.close()


@pytest.fixture
async def ledger(kept: Kept) -> Ledger:
    return kept.ledger()


@pytest.fixture
async def replica(kept: Kept) -> Ledger:
    """The same service's ledger as another process has it."""
    return kept.ledger()


async def do(
    ledger: Ledger,
    stream: UUID,
    command: Command,
    *,
    key: UUID | None = None,
    expected_version: int | None = None,
    relies_on: tuple[Head, ...] = (),
    aggregate: Aggregate[Any, Any, Any] = JAR,
) -> Answer:
    async def intend(_newest: bool) -> Intent[Any, Any, Any]:
        return Intent(aggregate, stream, command, relies_on)

    return await ledger.execute(context(key, of=repr(command)), intend, expected_version=expected_version)


async def test_the_applications_rights_are_enough_to_append_and_not_to_change(
    infrastructure: Infrastructure, empty_database: str, kept: Kept
) -> None:
    async with as_application(infrastructure.postgres_url, empty_database) as url:
        pool = await create_pool(url)
        await pool.execute(OPEN_LEDGER)
        ledger, jar = ledger_on(pool), uuid4()
        assert (await do(ledger, jar, OpenJar(3, shelf="timed"))).to_version == 1
        for statement in ("UPDATE events SET version = 2", "DELETE FROM events", "DELETE FROM commands"):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await pool.execute(statement)
        await pool.close()


async def count(kept: Kept, table: str) -> int:
    return len(await kept.rows(table))


async def transactions(kept: Kept, *, after_version: int = 0) -> int:
    return len({row["txid"] for row in await kept.rows("events") if row["version"] > after_version})


async def test_a_command_becomes_an_event_that_continues_its_stream(ledger: Ledger) -> None:
    jar = uuid4()
    created = await do(ledger, jar, OpenJar(3))
    added = await do(ledger, jar, AddCoin("ana"))
    assert (created.status, created.from_version, created.to_version) == (201, 0, 1)
    assert (added.status, added.from_version, added.to_version) == (200, 1, 2)
    first, second = await ledger.events(jar)
    assert (first.event, second.event) == (JarOpened(3, "a"), CoinAdded("ana"))
    assert second.envelope.prevhash == first.hash.hex()
    assert (await ledger.load(JAR, jar)).state.coins == ("ana",)


async def test_the_stored_document_is_the_very_bytes_that_the_hash_is_of(ledger: Ledger, kept: Kept) -> None:
    jar = uuid4()
    await do(ledger, jar, OpenJar(3))
    (row,) = await kept.rows("events")
    assert hash_of(row["document"]) == row["hash"]
    envelope = read_envelope(row["document"])
    assert (envelope.stream, envelope.version, envelope.type) == (row["stream"], row["version"], row["type"])
    assert (envelope.time, envelope.recordedtime) == (row["time"], row["recorded_at"])


async def test_a_retry_with_the_same_key_gets_the_same_answer_and_adds_nothing(ledger: Ledger, kept: Kept) -> None:
    jar, key = uuid4(), uuid4()
    first = await do(ledger, jar, OpenJar(3), key=key)
    second = await do(ledger, jar, OpenJar(3), key=key)
    assert second == replace(first, repeated=True)
    assert await count(kept, "events") == 1


async def test_the_same_key_for_another_request_is_refused(ledger: Ledger) -> None:
    jar, key = uuid4(), uuid4()
    await do(ledger, jar, OpenJar(3), key=key)
    with pytest.raises(KeyReused):
        await do(ledger, jar, OpenJar(4), key=key)


async def test_what_is_not_known_yet_may_be_known_when_the_same_key_comes_again(ledger: Ledger, kept: Kept) -> None:
    jar, key = uuid4(), uuid4()

    class JarNotKnown(NotKnownYet):
        """No jar is known under this id."""

    def patient(command: Any, state: Jar) -> Any:
        if not state.limit and not isinstance(command, OpenJar):
            raise JarNotKnown
        return JAR.decide(command, state)

    waiting = replace(JAR, decide=patient)
    early = await do(ledger, jar, AddCoin("ana"), key=key, aggregate=waiting)
    assert early.refusal is not None
    assert early.refusal.slug == "jar-not-known"
    assert await count(kept, "commands") == 0
    await do(ledger, jar, OpenJar(1))
    again = await do(ledger, jar, AddCoin("ana"), key=key, aggregate=waiting)
    assert (again.refusal, again.to_version, again.repeated) == (None, 2, False)


async def test_a_stream_is_never_taken_for_one_of_another_kind(ledger: Ledger) -> None:
    jar = uuid4()
    await do(ledger, jar, OpenJar(1))
    other = replace(JAR, name="bottle")
    with pytest.raises(OfAnotherKind):
        await ledger.load(other, jar)
    answer = await do(ledger, jar, AddCoin("ana"), aggregate=other)
    assert answer.refusal is not None
    assert answer.refusal.slug == "of-another-kind"
    assert (await ledger.head(jar)).version == 1


async def test_a_refusal_is_final_for_its_key_and_leaves_no_event(ledger: Ledger, kept: Kept) -> None:
    jar, key = uuid4(), uuid4()
    await do(ledger, jar, OpenJar(1))
    await do(ledger, jar, AddCoin("ana"))
    refused = await do(ledger, jar, AddCoin("bo"), key=key)
    assert refused.refusal is not None
    assert (refused.status, refused.refusal.slug, refused.refusal.facts) == (409, "jar-is-full", {"limit": "1"})
    assert await do(ledger, jar, AddCoin("bo"), key=key) == replace(refused, repeated=True)
    assert await count(kept, "events") == 2


async def test_a_stale_version_is_told_which_version_won(ledger: Ledger, kept: Kept) -> None:
    jar, key = uuid4(), uuid4()
    await do(ledger, jar, OpenJar(3))
    await do(ledger, jar, AddCoin("ana"))
    with pytest.raises(StaleVersion) as stale:
        await do(ledger, jar, AddCoin("bo"), key=key, expected_version=1)
    assert stale.value.current == 2
    assert key not in {row["command"] for row in await kept.rows("commands")}


async def test_the_key_is_looked_at_before_the_version(ledger: Ledger) -> None:
    jar, key = uuid4(), uuid4()
    await do(ledger, jar, OpenJar(3))
    first = await do(ledger, jar, AddCoin("ana"), key=key, expected_version=1)
    assert await do(ledger, jar, AddCoin("ana"), key=key, expected_version=1) == replace(first, repeated=True)


async def test_thirty_two_writers_on_one_stream_all_get_through_once_and_in_order(ledger: Ledger) -> None:
    jar = uuid4()
    await do(ledger, jar, OpenJar(40))
    answers = await asyncio.gather(*(do(ledger, jar, AddCoin(f"p{number}")) for number in range(32)))
    assert sorted(answer.to_version for answer in answers) == list(range(2, 34))
    assert sorted((await ledger.load(JAR, jar)).state.coins) == sorted(f"p{number}" for number in range(32))


async def test_racing_writers_never_overfill_the_jar(ledger: Ledger) -> None:
    jar = uuid4()
    await do(ledger, jar, OpenJar(5))
    answers = await asyncio.gather(*(do(ledger, jar, AddCoin(f"p{number}")) for number in range(20)))
    assert sum(answer.refusal is None for answer in answers) == 5
    assert len((await ledger.load(JAR, jar)).state.coins) == 5


async def test_the_same_key_sent_twenty_times_at_once_is_answered_alike_and_done_once(
    ledger: Ledger, kept: Kept
) -> None:
    jar, key = uuid4(), uuid4()
    answers = await asyncio.gather(*(do(ledger, jar, OpenJar(3), key=key) for _ in range(20)))
    assert {(answer.status, answer.to_version) for answer in answers} == {(201, 1)}
    assert sum(not answer.repeated for answer in answers) == 1
    assert await count(kept, "events") == 1


async def test_what_came_while_a_commit_was_under_way_is_committed_together(ledger: Ledger, kept: Kept) -> None:
    jars = [uuid4() for _ in range(100)]
    await asyncio.gather(*(do(ledger, jar, OpenJar(1)) for jar in jars))
    assert await count(kept, "events") == 100
    assert await transactions(kept) < 50


async def test_commands_that_race_on_one_stream_are_chained_into_few_commits(ledger: Ledger, kept: Kept) -> None:
    jar = uuid4()
    await do(ledger, jar, OpenJar(100))
    answers = await asyncio.gather(*(do(ledger, jar, AddCoin(f"p{number}")) for number in range(60)))
    assert [answer.to_version for answer in answers] == list(range(2, 62))
    assert await transactions(kept, after_version=1) < 30


async def test_replicas_that_race_on_the_same_streams_all_get_through_once(ledger: Ledger, replica: Ledger) -> None:
    jars = [uuid4() for _ in range(5)]
    for jar in jars:
        await do(ledger, jar, OpenJar(40))
    await asyncio.gather(
        *(
            do(one, jar, AddCoin(f"{index}{n}"))
            for index, one in enumerate((ledger, replica))
            for n in range(20)
            for jar in jars
        )
    )
    for jar in jars:
        assert len((await ledger.load(JAR, jar)).state.coins) == 40
        assert len(await ledger.events(jar)) == 41


async def test_a_command_is_not_refused_for_what_another_process_has_changed(
    ledger: Ledger, replica: Ledger, kept: Kept
) -> None:
    jar, key = uuid4(), uuid4()
    await do(ledger, jar, OpenJar(1))
    await do(replica, jar, AddCoin("ana"))
    refused = await do(ledger, jar, AddCoin("bo"), key=key)
    assert refused.refusal is not None
    other = uuid4()
    await do(ledger, other, OpenJar(1))
    await do(replica, other, CloseJar("done"))
    assert (await do(ledger, other, CloseJar("done"))).to_version == 2
    assert await count(kept, "events") == 4


async def test_a_version_that_another_process_has_brought_is_not_called_stale(ledger: Ledger, replica: Ledger) -> None:
    jar = uuid4()
    await do(ledger, jar, OpenJar(3))
    await do(replica, jar, AddCoin("ana"))
    assert (await do(ledger, jar, AddCoin("bo"), expected_version=2)).to_version == 3


async def test_a_version_is_not_called_stale_for_what_was_decided_in_vain_before_it(
    ledger: Ledger, replica: Ledger
) -> None:
    jar = uuid4()
    await do(ledger, jar, OpenJar(3))
    await replica.load(JAR, jar)
    await do(ledger, jar, AddCoin("ana"))
    again, added = await asyncio.gather(
        do(replica, jar, AddCoin("ana")), do(replica, jar, AddCoin("bo"), expected_version=2)
    )
    assert (again.from_version, added.to_version) == (again.to_version, 3)


async def test_a_reader_sees_what_another_process_has_added_to_what_it_remembers(
    ledger: Ledger, replica: Ledger
) -> None:
    jar = uuid4()
    await do(ledger, jar, OpenJar(3))
    await do(replica, jar, AddCoin("ana"))
    assert (await ledger.load(JAR, jar)).state.coins == ("ana",)


async def test_what_is_remembered_is_not_shown_where_the_database_was_set_back(ledger: Ledger, kept: Kept) -> None:
    jar = uuid4()
    await do(ledger, jar, OpenJar(3))
    await do(ledger, jar, AddCoin("ana"))
    await kept.lose(jar, 2)
    assert (await ledger.load(JAR, jar)).head.version == 1


async def test_commands_that_read_their_stream_before_they_decide_are_chained_too(ledger: Ledger) -> None:
    jar = uuid4()
    await do(ledger, jar, OpenJar(100))

    async def add(number: int) -> Answer:
        async def intend(newest: bool) -> Intent[Any, Any, Any]:
            loaded = await (ledger.load if newest else ledger.load_known)(JAR, jar)
            return Intent(JAR, jar, AddCoin(f"{len(loaded.state.coins)} before {number}"), loaded=loaded)

        return await ledger.execute(context(), intend)

    await asyncio.gather(*(add(number) for number in range(20)))
    coins = (await ledger.load(JAR, jar)).state.coins
    assert [coin.partition(" ")[0] for coin in coins] == [str(number) for number in range(20)]


async def test_what_is_known_is_asked_of_the_database_before_anything_is_said_without_an_append(
    ledger: Ledger, replica: Ledger
) -> None:
    jar = uuid4()
    await do(ledger, jar, OpenJar(1))
    await do(replica, jar, AddCoin("ana"))
    asked: list[bool] = []

    async def intend(newest: bool) -> Intent[Any, Any, Any]:
        asked.append(newest)
        loaded = await (ledger.load if newest else ledger.load_known)(JAR, jar)
        if not loaded.state.coins:
            raise LookupError("the jar is empty")
        return Intent(JAR, jar, CloseJar("done"), loaded=loaded)

    assert (await ledger.execute(context(), intend)).to_version == 3
    assert asked == [False, True]


async def test_a_document_that_the_database_refuses_fails_its_own_command_alone(ledger: Ledger) -> None:
    jars = [uuid4() for _ in range(10)]
    bad, _ = ledger.prepare(context(), Intent(JAR, jars[0], OpenJar(1)), await ledger.load(JAR, jars[0]))
    (document,) = bad.documents
    bad = msgspec.structs.replace(bad, documents=(msgspec.structs.replace(document, body=bytes(262_145)),))
    outcomes = await asyncio.gather(
        *(do(ledger, jar, OpenJar(1)) for jar in jars[1:5]),
        ledger.submit(bad),
        *(do(ledger, jar, OpenJar(1)) for jar in jars[5:]),
        return_exceptions=True,
    )
    assert isinstance(outcomes.pop(4), asyncpg.CheckViolationError)
    assert [outcome.to_version for outcome in outcomes if isinstance(outcome, Answer)] == [1] * 9


async def test_two_writers_relying_on_each_others_streams_cannot_slip_past_each_other(ledger: Ledger) -> None:
    for _ in range(30):
        left, right = uuid4(), uuid4()
        await do(ledger, left, OpenJar(3))
        await do(ledger, right, OpenJar(3))
        heads = {jar: await ledger.head(jar) for jar in (left, right)}

        async def once(written: UUID, relied_on: UUID, heads: dict[UUID, Head] = heads) -> bool:
            loaded = await ledger.load(JAR, written)
            item, _ = ledger.prepare(context(), Intent(JAR, written, AddCoin("ana"), (heads[relied_on],)), loaded)
            async with ledger.pool.acquire() as connection:
                try:
                    async with connection.transaction():
                        (outcome,) = await ledger.append(connection, [item])
                except asyncpg.DeadlockDetectedError:
                    return False
            return isinstance(outcome, Appended)

        won = await asyncio.gather(once(left, right), once(right, left))
        assert sum(won) <= 1


async def test_a_relied_on_stream_that_moved_is_a_conflict(ledger: Ledger) -> None:
    jar, policy = uuid4(), uuid4()
    await do(ledger, jar, OpenJar(3))
    await do(ledger, policy, OpenJar(3))
    stale = await ledger.head(policy)
    await do(ledger, policy, AddCoin("ana"))
    item, _ = ledger.prepare(context(), Intent(JAR, jar, AddCoin("bo"), (stale,)), await ledger.load(JAR, jar))
    async with ledger.pool.acquire() as connection, connection.transaction():
        assert await ledger.append(connection, [item]) == [Conflict(await ledger.head(policy))]


async def test_what_was_allowed_by_roles_that_are_others_by_now_is_not_written(ledger: Ledger) -> None:
    async def append(allowed_under: str | None) -> object:
        jar = uuid4()
        intent: Intent[Any, Any, Any] = Intent(JAR, jar, OpenJar(1), allowed_under=allowed_under)
        item, _ = ledger.prepare(context(), intent, await ledger.load(JAR, jar))
        async with ledger.pool.acquire() as connection:
            (outcome,) = await ledger.append(connection, [item])
        return outcome

    # Where no read models of roles and nodes are there, their generation is an empty text.
    assert [type(await append(under)) for under in (None, "", "others")] == [Appended, Appended, AllowanceMoved]


async def test_a_refusal_decided_on_a_stale_state_is_not_answered(ledger: Ledger) -> None:
    jar, key = uuid4(), uuid4()
    stale = await ledger.load(JAR, jar)
    refused, _ = ledger.prepare(context(key), Intent(JAR, jar, AddCoin("bo")), stale)
    assert refused.refusal is not None
    await do(ledger, jar, OpenJar(3))
    async with ledger.pool.acquire() as connection, connection.transaction():
        assert await ledger.append(connection, [refused]) == [Conflict(await ledger.head(jar))]
    assert (await do(ledger, jar, AddCoin("bo"), key=key)).refusal is None


async def test_a_batch_chains_commands_on_one_stream_and_takes_out_what_conflicts(ledger: Ledger) -> None:
    jar, other = uuid4(), uuid4()
    batch = []
    loaded = await ledger.load(JAR, jar)
    for command in (OpenJar(3), AddCoin("ana"), AddCoin("bo")):
        item, loaded = ledger.prepare(context(), Intent(JAR, jar, command), loaded)
        batch.append(item)
    lost, _ = ledger.prepare(context(), Intent(JAR, other, OpenJar(1)), await ledger.load(JAR, other))
    await do(ledger, other, OpenJar(2))
    async with ledger.pool.acquire() as connection, connection.transaction():
        outcomes = await ledger.append(connection, [batch[0], lost, *batch[1:]])
    assert [type(outcome) for outcome in outcomes] == [Appended, Conflict, Appended, Appended]
    assert (await ledger.load(JAR, jar)).state.coins == ("ana", "bo")


async def test_what_was_chained_on_a_command_that_was_answered_before_is_decided_again(
    ledger: Ledger, kept: Kept
) -> None:
    jar, key = uuid4(), uuid4()
    first = await do(ledger, uuid4(), OpenJar(1), key=key)
    opened, after = ledger.prepare(
        msgspec.structs.replace(context(key), digest=context(of=repr(OpenJar(1))).digest),
        Intent(JAR, jar, OpenJar(1)),
        await ledger.load(JAR, jar),
    )
    added, _ = ledger.prepare(context(), Intent(JAR, jar, AddCoin("ana")), after)
    alone, _ = ledger.prepare(context(), Intent(JAR, uuid4(), OpenJar(1)), await ledger.load(JAR, uuid4()))
    alone = msgspec.structs.replace(alone, expected=Head(alone.documents[0].stream, 0, None))
    async with ledger.pool.acquire() as connection, connection.transaction():
        outcomes = await ledger.append(connection, [opened, added, alone])
    assert first.stream is not None
    assert [type(outcome) for outcome in outcomes] == [AnsweredBefore, Conflict, Appended]
    assert await ledger.events(jar) == []
    assert added.command not in {row["command"] for row in await kept.rows("commands")}


async def test_times_of_a_stream_only_go_forward(ledger: Ledger) -> None:
    jar = uuid4()
    await do(ledger, jar, OpenJar(3))
    (first,) = await ledger.events(jar)

    async def intend(_newest: bool) -> Intent[Any, Any, Any]:
        return Intent(JAR, jar, AddCoin("ana"))

    past = datetime(2020, 1, 1, tzinfo=UTC)
    await ledger.execute(msgspec.structs.replace(context(), time=past), intend)
    second = (await ledger.events(jar))[1]
    assert second.envelope.time == first.envelope.time
    assert second.envelope.recordedtime >= first.envelope.recordedtime


async def test_a_database_that_the_relay_has_not_verified_takes_nothing(ledger: Ledger, kept: Kept) -> None:
    await kept.unverified()
    with pytest.raises(LedgerUnavailable, match="verify"):
        await do(ledger, uuid4(), OpenJar(3))
    assert await count(kept, "commands") == 0


async def test_a_database_that_keeps_its_events_elsewhere_than_the_one_that_was_verified_takes_nothing(
    database: str,
) -> None:
    pool = await create_pool(database, largest=2)
    await InPostgres(pool).verified()
    await pool.execute("UPDATE relay_checkpoint SET events_file = 'base/1/2'")
    with pytest.raises(LedgerUnavailable, match="verify"):
        await do(ledger_on(pool), uuid4(), OpenJar(3))
    await pool.close()


@pytest.mark.parametrize("led", [True, False])
async def test_the_migration_that_tells_databases_apart_better_lets_a_relay_that_leads_go_on(
    database: str, *, led: bool
) -> None:
    connection = await asyncpg.connect(database)
    await connection.execute(OPEN_LEDGER)
    # As the release before leaves it.
    lease = timedelta(seconds=60 if led else -60)
    await connection.execute(
        "UPDATE relay_checkpoint SET events_file = NULL, lease_until = clock_timestamp() + $1", lease
    )
    await connection.execute("UPDATE alembic_version SET version_num = 'k0005'")
    await migrate_in_thread(None, database, application_role=None)
    assert await connection.fetchval(LEDGER_IS_OPEN) == led
    await connection.close()


async def test_a_clock_that_is_off_takes_nothing(ledger: Ledger) -> None:
    ledger.clock = lambda: datetime.now(UTC) - timedelta(seconds=30)
    with pytest.raises(LedgerUnavailable, match="clock"):
        await do(ledger, uuid4(), OpenJar(3))


async def test_a_tampered_document_is_noticed_when_it_is_loaded(ledger: Ledger, replica: Ledger, kept: Kept) -> None:
    jar = uuid4()
    await do(ledger, jar, OpenJar(3))
    await kept.tamper('"limit":3', '"limit":9')
    with pytest.raises(LedgerCorrupt):
        await replica.load(JAR, jar)


async def test_a_stream_is_found_by_its_links_for_as_long_as_its_state_says_so(ledger: Ledger) -> None:
    jar = uuid4()
    await do(ledger, jar, OpenJar(3, shelf="b"))
    assert await ledger.find("open_on", UUID(int=ord("b"))) == (jar,)
    await do(ledger, jar, CloseJar("done"))
    assert await ledger.find("open_on", UUID(int=ord("b"))) == ()


async def test_a_due_timer_fires_once_over_two_replicas(ledger: Ledger, kept: Kept) -> None:
    jars = [uuid4() for _ in range(10)]
    for jar in jars:
        await do(ledger, jar, OpenJar(3, shelf="timed"))
    replicas = [Timers(ledger, [JAR]) for _ in range(2)]
    await asyncio.gather(*(replica.fire_due() for replica in replicas))
    for jar in jars:
        assert [type(one.event).__name__ for one in await ledger.events(jar)] == ["JarOpened", "JarClosed"]
    assert await count(kept, "timers") == 0
    assert await replicas[0].fire_due() == 0


async def test_a_timer_waits_where_the_clock_is_set_back_while_it_fires(ledger: Ledger) -> None:
    jar = uuid4()
    await do(ledger, jar, OpenJar(3, shelf="timed"))
    timers = Timers(ledger, [JAR])
    true, looks = ledger.clock, iter([timedelta(), timedelta(seconds=-3)])
    ledger.clock = lambda: true() + next(looks)
    assert await timers.fire_due() == 0
    ledger.clock = true
    assert await timers.fire_due() == 1


async def test_a_timer_of_a_simulated_event_waits_for_the_demo_clock(ledger: Ledger) -> None:
    from govevents.document import Origin

    async def intend(_newest: bool) -> Intent[Any, Any, Any]:
        return Intent(JAR, jar, OpenJar(3, shelf="timed"))

    jar = uuid4()
    await ledger.execute(msgspec.structs.replace(context(), origin=Origin.SIMULATED), intend)
    timers = Timers(ledger, [JAR])
    assert await timers.fire_due() == 0
    assert await timers.fire_due(datetime.now(UTC), simulated=True) == 1
