"""Read models against a real PostgreSQL: tables from row classes, batches, history, and looks at the past."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy.ext.asyncio import AsyncEngine
from tests.support.phases import PHASES, PhaseRow, evolve
from tests.support.streams import START, Stream

from govevents.document import Recorded
from govevents.projects import PhaseCompleted, PhaseStarted, ProjectHeld, ProjectResumed
from govevents.values import Money
from govkernel.postgres import create_engine, create_pool
from govkernel.readmodels import (
    ReadModel,
    ReadModelChanged,
    ReadModelHandler,
    State,
    as_of,
    decode_row,
    events_behind,
    views_of,
)
from govkernel.readmodels.builds import Build, ensure, live_build
from govkernel.readmodels.handler import COPIED_FROM


@pytest.fixture
async def pool(database: str) -> AsyncIterator[Any]:
    made = await create_pool(database, largest=5)
    yield made
    await made.close()


@pytest.fixture
async def engine(database: str) -> AsyncIterator[AsyncEngine]:
    made = create_engine(database, largest=2)
    yield made
    await made.dispose()


async def ensured(pool: Any, model: ReadModel[Any]) -> ReadModelHandler[Any]:
    async with pool.acquire() as connection:
        await ensure(connection, [model], datetime.now(UTC))
        live = await live_build(connection, model.name)
    assert live is not None
    return ReadModelHandler(model, live)


async def apply(pool: Any, handler: ReadModelHandler[Any], *batch: Recorded[Any]) -> Sequence[Any]:
    async with pool.acquire() as connection, connection.transaction():
        return await handler.apply(connection, batch)


class Colour(Enum):
    RED = "red"


@dataclass(frozen=True, slots=True)
class EveryKind:
    text: str
    number: int
    yes: bool
    amount: Decimal
    day: date
    moment: datetime
    colour: Colour
    money: Money | None
    prices: tuple[Money, ...]
    nothing: Decimal | None
    end: str
    order: int


EVERY_KIND = EveryKind(
    "ä'\"{}\n",
    -(2**53) + 1,
    yes=True,
    amount=Decimal("1.50"),
    day=date(2026, 2, 28),
    moment=datetime(2026, 1, 1, 0, 0, 0, 1, tzinfo=UTC),
    colour=Colour.RED,
    money=None,
    prices=(Money(Decimal("0.10"), "AUD"), Money(Decimal(-3), "EUR")),
    nothing=None,
    end="",
    order=0,
)


async def test_rows_of_every_type_come_back_as_they_were_also_with_names_that_sql_reserves(
    pool: Any, engine: AsyncEngine
) -> None:
    def fold(rows: Any, recorded: Recorded[Any]) -> Any:
        return {**rows, "a": replace(EVERY_KIND, order=recorded.envelope.version)}

    model = ReadModel("all_kinds", "projects", 1, EveryKind, (PhaseStarted,), fold, (("order", "end"), ("since",)))
    handler = await ensured(pool, model)
    stream = Stream("projects")
    await apply(pool, handler, stream.event(PhaseStarted("a")))
    await apply(pool, handler, stream.event(PhaseStarted("a")))

    (plain,) = await pool.fetch("SELECT * FROM read.all_kinds")
    assert decode_row(model, plain) == replace(EVERY_KIND, order=2)
    assert plain["amount"].as_tuple() == EVERY_KIND.amount.as_tuple()
    async with engine.connect() as connection:
        (now,) = (await connection.execute(as_of(model))).mappings().all()
        (then,) = (await connection.execute(as_of(model, as_of=stream.documents[0].time))).mappings().all()
    assert decode_row(model, now) == replace(EVERY_KIND, order=2)
    assert decode_row(model, then) == replace(EVERY_KIND, order=1)


async def test_one_batch_and_many_leave_the_same_rows_and_history(pool: Any) -> None:
    stream = Stream("projects")
    events = [
        stream.event(event)
        for event in (
            PhaseStarted("design"),
            PhaseStarted("build"),
            PhaseCompleted("design"),
            ProjectHeld("", None),
            ProjectResumed(""),
            PhaseStarted("design"),
            ProjectResumed(""),
            PhaseStarted("test"),
        )
    ]
    at_once = await ensured(pool, PHASES)
    one_by_one = await ensured(pool, replace(PHASES, name="slow_phases"))
    await apply(pool, at_once, *events)
    for event in events:
        await apply(pool, one_by_one, event)

    for suffix in ("", "_history"):
        order = "ORDER BY key, version"
        left = await pool.fetch(f"SELECT * FROM read.phases{suffix} {order}")
        right = await pool.fetch(f"SELECT * FROM read.slow_phases{suffix} {order}")
        assert left
        assert left == right
    assert [
        row["removed"] for row in await pool.fetch("SELECT removed FROM read.phases_history WHERE version = 4")
    ] == [
        True,
        True,
    ]


async def test_rows_that_were_stored_and_rows_of_the_batch_itself_end_alike_however_many_they_are(pool: Any) -> None:
    happened = (PhaseStarted("design"), PhaseCompleted("design"), PhaseStarted("design"), ProjectResumed(""))
    streams = [Stream("projects") for _ in range(COPIED_FROM)]
    first, *others = [[stream.event(event) for stream in streams] for event in happened]
    at_once = await ensured(pool, PHASES)
    step_by_step = await ensured(pool, replace(PHASES, name="slow_phases"))
    await apply(pool, at_once, *first)
    await apply(pool, at_once, *(event for step in others for event in step))
    for step in (first, *others):
        await apply(pool, step_by_step, *step)

    order = "ORDER BY stream, key, version"
    left = await pool.fetch(f"SELECT * FROM read.phases_history {order}")
    assert left == await pool.fetch(f"SELECT * FROM read.slow_phases_history {order}")
    assert [(row["version"], row["removed"]) for row in left if row["stream"] == streams[0].stream] == [
        (1, False),
        (2, False),
        (3, True),
    ]
    assert len(left) == 3 * len(streams)


async def test_an_event_whose_fold_fails_ends_its_stream_in_the_batch_and_no_other(pool: Any) -> None:
    handler = await ensured(pool, PHASES)
    bad, good = Stream("projects"), Stream("projects")
    batch = [
        bad.event(PhaseStarted("design")),
        bad.event(PhaseCompleted("never started")),
        bad.event(PhaseStarted("build")),
        good.event(PhaseStarted("design")),
    ]
    (rejected,) = await apply(pool, handler, *batch)

    assert rejected.recorded is batch[1]
    assert "never started" in rejected.reason
    assert not rejected.retry
    rows = await pool.fetch("SELECT stream, phase FROM read.phases")
    assert {tuple(row) for row in rows} == {(bad.stream, "design"), (good.stream, "design")}


EVENTS = st.one_of(
    st.sampled_from(["design", "build"]).map(PhaseStarted),
    st.sampled_from(["design", "build"]).map(PhaseCompleted),
    st.just(ProjectHeld("", None)),
    st.just(ProjectResumed("")),
)
MINUTES = st.integers(0, 3).map(lambda minutes: timedelta(minutes=minutes))
MOMENTS = st.none() | st.integers(-1, 25).map(lambda minutes: START + timedelta(minutes=minutes))


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(
    events=st.lists(st.tuples(EVENTS, MINUTES, MINUTES), max_size=10),
    cuts=st.sets(st.integers(1, 9)),
    looks=st.lists(st.tuples(MOMENTS, MOMENTS), min_size=1, max_size=12),
)
async def test_a_look_at_the_past_sees_what_a_model_that_forgets_nothing_sees(
    pool: Any, engine: AsyncEngine, events: list[Any], cuts: set[int], looks: list[Any]
) -> None:
    handler = await ensured(pool, PHASES)
    stream = Stream("projects")
    remembered: list[tuple[datetime, datetime, dict[str, PhaseRow]]] = []
    batch: list[Recorded[Any]] = []
    rows: Any = {}
    for number, (event, later, recorded_later) in enumerate(events, start=1):
        if isinstance(event, PhaseCompleted) and event.phase not in rows:
            continue
        recorded = stream.event(event, later=later, recorded=recorded_later)
        rows = evolve(rows, recorded)
        remembered.append((stream.time, stream.recorded_at, dict(rows)))
        batch.append(recorded)
        if number in cuts:
            await apply(pool, handler, *batch)
            batch = []
    await apply(pool, handler, *batch)

    for moment, recorded_by in looks:
        expected: dict[str, PhaseRow] = {}
        for time, recorded_at, then in remembered:
            if (moment is None or time <= moment) and (recorded_by is None or recorded_at <= recorded_by):
                expected = then
        query = as_of(PHASES, as_of=moment, recorded_by=recorded_by)
        async with engine.connect() as connection:
            found = (await connection.execute(query.where(query.selected_columns.stream == stream.stream))).mappings()
            assert {row["key"]: decode_row(PHASES, row) for row in found} == expected


async def test_history_imported_later_can_be_asked_away(pool: Any, engine: AsyncEngine) -> None:
    handler = await ensured(pool, PHASES)
    stream = Stream("projects")
    years_ago = START - timedelta(days=1000)
    stream.time = years_ago
    await apply(pool, handler, stream.event(PhaseStarted("design"), recorded=timedelta(days=1)))

    async def phases(**times: datetime) -> list[str]:
        async with engine.connect() as connection:
            return [row.phase for row in await connection.execute(as_of(PHASES, **times))]

    asked_for = years_ago + timedelta(days=1)
    assert await phases(as_of=asked_for) == ["design"]
    assert await phases(as_of=asked_for, recorded_by=START) == []


async def test_every_field_says_which_event_set_it(pool: Any) -> None:
    handler = await ensured(pool, PHASES)
    stream = Stream("projects")
    await apply(pool, handler, stream.event(PhaseStarted("design")))
    await apply(pool, handler, stream.event(ProjectHeld("", None)))
    await apply(pool, handler, stream.event(PhaseCompleted("design")))

    provenance = await pool.fetchval("SELECT provenance FROM read.phases")
    assert events_behind(PHASES, stream.stream, provenance) == {
        "phase": f"{stream.stream}@1",
        "finished": f"{stream.stream}@3",
        "held": f"{stream.stream}@2",
    }


async def test_ensuring_twice_and_at_once_makes_one_build(pool: Any) -> None:
    async def ensure_once() -> None:
        async with pool.acquire() as connection:
            assert await ensure(connection, [PHASES], datetime.now(UTC)) == []

    await asyncio.gather(*[ensure_once() for _ in range(4)])
    rows = await pool.fetch("SELECT name, build, schema, fold_version, state FROM read_model_builds")
    assert [tuple(row) for row in rows] == [("phases", 1, "rm_phases_1", 1, "live")]


async def test_a_row_class_that_changed_without_its_version_is_refused(pool: Any) -> None:
    @dataclass(frozen=True, slots=True)
    class Changed:
        phase: str
        finished: bool
        reason: str

    await ensured(pool, PHASES)
    with pytest.raises(ReadModelChanged, match=r"held, reason.*raise the read model's version above 1"):
        await ensured(pool, replace(PHASES, row=Changed))  # type: ignore[arg-type]


async def test_an_older_live_build_is_named_for_a_rebuild_and_left_alone(pool: Any) -> None:
    await ensured(pool, PHASES)
    newer = replace(PHASES, version=2)
    async with pool.acquire() as connection:
        assert await ensure(connection, [newer], datetime.now(UTC)) == [newer]
        assert await ensure(connection, [PHASES], datetime.now(UTC)) == []
        assert await live_build(connection, "phases") == Build("phases", 1, "rm_phases_1", 1, State.LIVE)


async def test_the_application_role_owns_its_read_models_without_other_rights(database: str, pool: Any) -> None:
    name = database.rpartition("/")[2]
    role = f"app_{name}"
    await pool.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'x'; GRANT CREATE ON DATABASE {name} TO {role}")
    await pool.execute(f"GRANT SELECT, INSERT, UPDATE ON read_model_builds TO {role}")
    try:
        address = database.split("@")[1]
        connection = await asyncpg.connect(f"postgresql://{role}:x@{address}")
        try:
            await ensure(connection, [PHASES], datetime.now(UTC))
            assert await connection.fetchval("SELECT count(*) FROM read.phases") == 0
        finally:
            await connection.close()
    finally:
        await pool.execute(f"DROP OWNED BY {role}; DROP ROLE {role}")


async def test_the_past_is_searched_by_an_index_on_ranges_of_blocks(pool: Any) -> None:
    await ensured(pool, PHASES)
    found = await pool.fetchval("SELECT indexdef FROM pg_indexes WHERE indexname = 'history_until'")
    assert "USING brin" in found
    current, history = views_of(PHASES)
    assert [column.name for column in history.c] == [
        *(column.name for column in current.c),
        "until",
        "until_recorded",
        "removed",
    ]
