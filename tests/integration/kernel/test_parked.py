"""What a consumer can't apply is kept, holds back nothing but its own stream, and is put right by hand or by itself."""

from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest
from tests.integration.kernel.consuming import (
    Place,
    Rejection,
    World,
    document,
    place_of,
    until,
    world,
    world_at,
)

from govevents.operations import RecordSkipped
from govevents.registry import CATALOGUE
from govevents.values import ValueRefused
from govkernel.consumer import NotParked, Parked
from govkernel.ledger import Context, Ledger
from govkernel.postgres import create_pool


@pytest.fixture
async def here(database: str, kafka: str, topic: Callable[..., str]) -> AsyncIterator[World]:
    async with world(database, kafka, topic) as made:
        await made.open_ledger()
        yield made


@pytest.fixture(params=["memory", "postgresql and kafka"])
def place(request: pytest.FixtureRequest) -> Place | None:
    return place_of(request)


@pytest.fixture
async def anywhere(place: Place | None) -> AsyncIterator[World]:
    """A world without an operator, whose steps are PostgreSQL's alone."""
    async with world_at(place) as made:
        yield made


def ledger(here: World) -> Ledger:
    return Ledger(
        here.pool,
        service=here.service,
        catalogue=CATALOGUE,
        clock=lambda: datetime.now(UTC),
        refusal_status=lambda _refusal: 409,
    )


def parked(here: World, handler: Any) -> Parked:
    return Parked(here.pool, [handler], CATALOGUE, ledger(here))


def context(command: UUID | None = None) -> Context:
    now = datetime.now(UTC)
    return Context(command or uuid4(), b"digest", str(uuid4()), now, now, "correlation")


async def test_a_poisonous_event_holds_back_its_stream_alone_and_a_retry_applies_it_and_what_follows(
    here: World,
) -> None:
    handler = here.handler()
    sick, sane = here.chain(5), here.chain(5)
    handler.fails[f"{sick[1].stream}@2"] = KeyError("no such thing")
    await here.send(*(each for pair in zip(sick, sane, strict=True) for each in pair))
    consumer = here.consumer(handler)
    await here.read_to_the_end(consumer)
    assert await here.effects() == {sick[0].stream: [1], sane[0].stream: [1, 2, 4, 5]}
    assert await here.parked() == [("refused", 2), ("behind", 3), ("behind", 4), ("behind", 5)]

    operator = parked(here, handler)
    first, *_, last = await operator.list(consumer="effects")
    assert first.reason == "KeyError: 'no such thing'"
    shown = await operator.show(first.id)
    assert (shown.key, shown.value) == (str(sick[1].stream).encode(), sick[1].body)
    still = await operator.retry(last.id)
    assert still.applied == 0 and still.remains is not None

    handler.fails.clear()
    put_right = await operator.retry(first.id)
    assert (put_right.applied, put_right.remains) == (4, None)
    assert (await here.effects())[sick[0].stream] == [1, 2, 4, 5]
    with pytest.raises(NotParked, match="applied or skipped meanwhile"):
        await operator.show(first.id)
    await here.send(*here.chain(1, after=sick[-1]))
    await here.read_to_the_end(consumer)
    assert await here.parked() == []


async def test_what_an_event_breaks_in_the_database_undoes_nothing_of_the_others(anywhere: World) -> None:
    handler = anywhere.handler()
    sick, sane = anywhere.chain(2), anywhere.chain(2)
    handler.fails_in_database.add(f"{sick[0].stream}@1")
    await anywhere.send(sane[0], *sick, sane[1])
    await anywhere.read_to_the_end(anywhere.consumer(handler))
    assert await anywhere.effects() == {sane[0].stream: [1, 2]}
    assert await anywhere.parked() == [("refused", 1), ("behind", 2)]


async def test_a_skipped_event_is_passed_over_and_recorded_and_its_stream_goes_on(here: World) -> None:
    handler = here.handler()
    documents = here.chain(5)
    handler.rejects[f"{documents[0].stream}@2"] = Rejection("never")
    await here.send(*documents)
    await here.read_to_the_end(here.consumer(handler))
    operator = parked(here, handler)
    first, *_ = await operator.list()
    with pytest.raises(ValueRefused, match="reason"):
        await operator.skip(first.id, " ", context=context())

    once = context()
    skipped = await operator.skip(first.id, "sent by mistake", context=once)
    assert (skipped.applied, skipped.remains) == (3, None)
    repeated = await operator.skip(first.id, "sent by mistake", context=once)
    assert (repeated.applied, repeated.remains) == (0, None)
    assert await here.effects() == {documents[0].stream: [1, 4, 5]}
    assert await here.parked() == []
    (row,) = await here.pool.fetch("SELECT document FROM events")
    recorded = CATALOGUE.decode(row["document"])
    identity = await here.topics.identity(here.topic)
    assert recorded.event == RecordSkipped(
        "effects",
        here.topic,
        identity.topic_id,
        first.partition,
        first.offset,
        documents[1].hash.hex(),
        "sent by mistake",
    )
    assert recorded.envelope.actor == once.actor


async def test_garbage_under_a_real_key_is_put_right_by_retry_and_stays_listed_until_it_is_skipped(here: World) -> None:
    handler = here.handler()
    documents = here.chain(5)
    stream = documents[0].stream
    await here.send(documents[0])
    await here.send_raw(stream, b"\x00garbage")
    await here.send(*documents[1:3])
    consumer = here.consumer(handler)
    await here.read_to_the_end(consumer)
    assert await here.parked() == [("unreadable", None), ("behind", 2), ("behind", 3)]

    operator = parked(here, handler)
    garbage = (await operator.list(stream=stream))[0]
    put_right = await operator.retry(garbage.id)
    assert put_right.applied == 2
    assert put_right.remains is not None and put_right.remains.kind == "set_aside"
    await here.send(*documents[3:])
    await here.read_to_the_end(consumer)
    assert await here.effects() == {stream: [1, 2, 4, 5]}
    assert await here.parked() == [("set_aside", None)]
    guard = await here.pool.fetchval("SELECT version FROM consumer_guards")
    await operator.skip(garbage.id, "nobody knows who wrote it", context=context())
    assert await here.parked() == []
    assert await here.pool.fetchval("SELECT version FROM consumer_guards") == guard


async def test_skipping_garbage_lets_what_waits_behind_it_follow(here: World) -> None:
    documents = here.chain(2)
    handler = here.handler()
    await here.send_raw(documents[0].stream, b"garbage")
    await here.send(*documents)
    await here.send_raw(uuid4(), None, key=b"no stream")
    await here.read_to_the_end(here.consumer(handler))
    operator = parked(here, handler)
    for each in await operator.list():
        if each.kind == "unreadable":
            await operator.skip(each.id, "garbage", context=context())
    assert await here.effects() == {documents[0].stream: [1, 2]}
    assert await here.parked() == []


async def test_what_waits_follows_although_poison_comes_in_the_same_batch(anywhere: World) -> None:
    documents = anywhere.chain(5)
    stream = documents[0].stream
    rival = document(anywhere.service, stream, 2, documents[0].hash, reason="rival")
    await anywhere.send(documents[4], documents[1], documents[0], rival, documents[2], documents[3])
    await anywhere.send_raw(stream, b"garbage")
    consumer = anywhere.consumer(anywhere.handler())
    await anywhere.read_to_the_end(consumer)
    await anywhere.read_to_the_end(anywhere.consumer(anywhere.handler("piecemeal"), most_records=1))
    assert await anywhere.effects() == await anywhere.effects("piecemeal")


async def test_what_waits_for_a_missing_event_follows_it_unasked(anywhere: World) -> None:
    documents = anywhere.chain(4)
    consumer = anywhere.consumer(anywhere.handler())
    await anywhere.send(documents[0], documents[3], documents[2])
    await anywhere.read_to_the_end(consumer)
    assert await anywhere.parked() == [("gap", 4), ("behind", 3)]
    await anywhere.send(documents[1])
    await anywhere.read_to_the_end(consumer)
    assert await anywhere.effects() == {documents[0].stream: [1, 2, 4]}
    assert await anywhere.parked() == []


async def test_a_long_row_of_parked_events_follows_in_several_transactions(here: World) -> None:
    handler = here.handler()
    documents = here.chain(450)
    handler.rejects[f"{documents[0].stream}@1"] = Rejection("not now")
    await here.send(*documents)
    consumer = here.consumer(handler)
    await here.read_to_the_end(consumer)
    handler.rejects.clear()
    operator = parked(here, handler)
    assert (await operator.retry((await operator.list())[0].id)).applied == 200

    async def drained() -> bool:
        await consumer.one_pass()
        return await here.parked() == []

    await until(drained)
    assert (await here.effects())[documents[0].stream] == [version for version in range(1, 451) if version % 3]


async def test_a_contradiction_is_an_alarm_and_kept(anywhere: World) -> None:
    documents = anywhere.chain(3)
    rival = document(anywhere.service, documents[0].stream, 2, documents[0].hash, reason="rival")
    await anywhere.send(*documents[:2], rival, documents[2])
    consumer = anywhere.consumer(anywhere.handler())
    await anywhere.read_to_the_end(consumer)
    assert await anywhere.effects() == {documents[0].stream: [1, 2]}
    assert await anywhere.parked() == [("fork", 2), ("behind", 3)]
    assert consumer.status().alarm == "1 records contradict what was applied before"
    assert consumer.status().parked == {"fork": 1, "behind": 1}


async def test_of_two_events_that_claim_one_place_a_skip_discards_one_and_the_other_can_be_applied(here: World) -> None:
    handler = here.handler()
    documents = here.chain(2)
    rival = document(here.service, documents[0].stream, 2, documents[0].hash, reason="rival")
    handler.rejects[f"{documents[0].stream}@1"] = Rejection("not now")
    await here.send(documents[0], documents[1], rival)
    await here.read_to_the_end(here.consumer(handler))
    handler.rejects.clear()
    operator = parked(here, handler)
    first, _, claimant = await operator.list()
    await operator.retry(first.id)
    assert await here.effects() == {documents[0].stream: [1]}
    await operator.skip(claimant.id, "the ledger has the other", context=context())
    (other,) = await operator.list()
    await operator.retry(other.id)
    assert await here.effects() == {documents[0].stream: [1, 2]}
    assert await here.pool.fetchval("SELECT hash FROM consumer_guards") == documents[1].hash


async def test_what_rests_on_something_not_known_yet_is_tried_again_by_itself(anywhere: World) -> None:
    handler = anywhere.handler()
    waiting, other = anywhere.chain(2), anywhere.chain(1)
    handler.rejects[f"{waiting[0].stream}@1"] = Rejection("its project is not known yet", retry=True)
    await anywhere.send(*waiting)
    consumer = anywhere.consumer(handler)
    await anywhere.read_to_the_end(consumer)
    await until(lambda: _tries(consumer, anywhere, at_least=3))
    assert await anywhere.parked() == [("not_yet", 1), ("behind", 2)]
    handler.rejects.clear()
    await anywhere.send(*other)

    async def applied() -> bool:
        await consumer.one_pass()
        return await anywhere.effects() == {other[0].stream: [1], waiting[0].stream: [1, 2]}

    await until(applied, deadline_s=5)
    assert await anywhere.parked() == []


async def _tries(consumer: Any, here: World, *, at_least: int) -> bool:
    await consumer.one_pass()
    return any(row["tries"] >= at_least for row in await here.table("parked"))


async def test_a_retry_that_fails_half_way_leaves_everything_as_it_was(here: World) -> None:
    handler = here.handler()
    documents = here.chain(2)
    handler.rejects[f"{documents[0].stream}@1"] = Rejection("not now")
    await here.send(*documents)
    await here.read_to_the_end(here.consumer(handler))
    before = await here.pool.fetch("SELECT * FROM parked ORDER BY id")
    handler.rejects.clear()
    pool = await create_pool(here.url, largest=1)
    handler.fails[f"{documents[0].stream}@2"] = ConnectionResetError("away")
    operator = Parked(pool, [handler], CATALOGUE, ledger(here))
    with pytest.raises(ConnectionResetError):
        await operator.retry(before[0]["id"])
    await pool.close()
    assert await here.pool.fetch("SELECT * FROM parked ORDER BY id") == before
    assert await here.effects() == {}
