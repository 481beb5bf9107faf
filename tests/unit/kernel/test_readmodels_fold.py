"""What a read model's pure half keeps: rows, history and provenance; and which row classes it takes."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.phases import PHASES, PhaseRow, evolve
from tests.support.streams import Stream

from govevents.projects import PhaseCompleted, PhaseStarted, ProjectHeld, ProjectResumed
from govevents.values import Money, ValueRefused, value
from govkernel.readmodels import ReadModel, ReadModelRefused, decode_row
from govkernel.readmodels.fold import Kept, Past, StreamRows
from govkernel.readmodels.model import fields_of


def test_a_new_row_was_set_by_its_first_event_in_every_field() -> None:
    stream = Stream("projects")
    rows: StreamRows[PhaseRow] = StreamRows(stream.stream)
    started = stream.event(PhaseStarted("design"))

    assert rows.apply(PHASES, started) == []
    assert rows.kept["design"] == Kept(
        PhaseRow("design", finished=False, held=False),
        1,
        started.envelope.time,
        started.envelope.recordedtime,
        (1, 1, 1),
    )


def test_a_field_that_did_not_change_keeps_the_version_that_set_it() -> None:
    stream = Stream("projects")
    rows: StreamRows[PhaseRow] = StreamRows(stream.stream)
    rows.apply(PHASES, stream.event(PhaseStarted("design")))
    rows.apply(PHASES, stream.event(PhaseCompleted("design")))

    assert rows.kept["design"].provenance == (1, 2, 1)


def test_a_replaced_row_ends_with_both_times_of_the_event_that_replaced_it() -> None:
    stream = Stream("projects")
    rows: StreamRows[PhaseRow] = StreamRows(stream.stream)
    rows.apply(PHASES, stream.event(PhaseStarted("design")))
    before = rows.kept["design"]
    completed = stream.event(PhaseCompleted("design"), later=timedelta(days=1), recorded=timedelta(days=9))

    assert rows.apply(PHASES, completed) == [
        Past(
            stream.stream,
            "design",
            before,
            completed.envelope.time,
            completed.envelope.recordedtime,
            removed=False,
        )
    ]


def test_a_removed_row_moves_to_history_and_says_that_it_was_removed() -> None:
    stream = Stream("projects")
    rows: StreamRows[PhaseRow] = StreamRows(stream.stream)
    rows.apply(PHASES, stream.event(PhaseStarted("design")))
    rows.apply(PHASES, stream.event(PhaseStarted("build")))
    past = rows.apply(PHASES, stream.event(ProjectResumed("")))

    assert {(each.key, each.removed) for each in past} == {("design", True), ("build", True)}
    assert rows.kept == {}


def test_an_event_that_changes_nothing_leaves_no_trace() -> None:
    stream = Stream("projects")
    rows: StreamRows[PhaseRow] = StreamRows(stream.stream)
    rows.apply(PHASES, stream.event(PhaseStarted("design")))
    kept = dict(rows.kept)

    assert rows.apply(PHASES, stream.event(PhaseStarted("design"))) == []
    assert rows.kept == kept


def test_a_fold_that_fails_has_changed_nothing() -> None:
    stream = Stream("projects")
    rows: StreamRows[PhaseRow] = StreamRows(stream.stream)
    rows.apply(PHASES, stream.event(PhaseStarted("design")))
    kept = dict(rows.kept)

    with pytest.raises(KeyError):
        rows.apply(PHASES, stream.event(PhaseCompleted("never started")))
    assert rows.kept == kept


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (PhaseRow("a\x00b", finished=False, held=False), "phase"),
        (PhaseRow("half \ud800", finished=False, held=False), "phase"),
        (PhaseRow("design", finished=1, held=False), "finished"),  # type: ignore[arg-type]
    ],
)
def test_a_row_that_no_table_can_hold_is_refused_before_it_gets_there(row: PhaseRow, reason: str) -> None:
    stream = Stream("projects")
    careless = replace(PHASES, evolve=lambda _rows, _recorded: {"design": row})

    with pytest.raises(ValueRefused, match=reason):
        StreamRows[PhaseRow](stream.stream).apply(careless, stream.event(PhaseStarted("design")))


def test_a_fold_that_gives_something_else_than_rows_is_refused() -> None:
    stream = Stream("projects")
    careless = replace(PHASES, evolve=lambda _rows, _recorded: {"design": "no row"})  # type: ignore[dict-item]

    with pytest.raises(TypeError, match="not a row of PhaseRow"):
        StreamRows[PhaseRow](stream.stream).apply(careless, stream.event(PhaseStarted("design")))


PHASE_NAMES = st.sampled_from(["design", "build", "test"])
EVENTS = st.one_of(
    PHASE_NAMES.map(PhaseStarted),
    PHASE_NAMES.map(PhaseCompleted),
    st.just(ProjectHeld("", None)),
    st.just(ProjectResumed("")),
)


@given(st.lists(EVENTS, max_size=20))
def test_history_and_rows_together_are_every_version_that_ever_was(events: list[object]) -> None:
    stream = Stream("projects")
    rows: StreamRows[PhaseRow] = StreamRows(stream.stream)
    past: list[Past[PhaseRow]] = []
    after_version: list[Mapping[str, PhaseRow]] = []
    plain: Mapping[str, PhaseRow] = {}
    for event in events:
        recorded = stream.event(event)
        try:
            plain = evolve(plain, recorded)
        except KeyError:
            with pytest.raises(KeyError):
                rows.apply(PHASES, recorded)
        else:
            past += rows.apply(PHASES, recorded)
        after_version.append(plain)

    for version, expected in enumerate(after_version, start=1):
        moment = stream.documents[version - 1].time
        found = {key: kept.row for key, kept in rows.kept.items() if kept.since <= moment}
        found |= {each.key: each.kept.row for each in past if each.kept.since <= moment < each.until}
        assert found == expected


class Colour(Enum):
    RED = "red"


class Number(Enum):
    ONE = 1


@value
class Part:
    name: str
    price: Money


@dataclass(frozen=True, slots=True)
class EveryKind:
    text: str
    number: int
    yes: bool
    amount: Decimal
    day: date
    moment: datetime
    colour: Colour
    money: Money
    parts: tuple[Part, ...]
    nothing: Decimal | None
    no_colour: Colour | None
    no_money: Money | None


def test_every_type_that_a_field_may_have_comes_back_as_it_went() -> None:
    row = EveryKind(
        "ä'\"{}",
        -(2**53) + 1,
        yes=True,
        amount=Decimal("1.50"),
        day=date(2026, 2, 28),
        moment=datetime(2026, 1, 1, 0, 0, 0, 1, tzinfo=UTC),
        colour=Colour.RED,
        money=Money(Decimal("0.10"), "AUD"),
        parts=(Part("bolt", Money(Decimal(1000), "EUR")),),
        nothing=None,
        no_colour=None,
        no_money=None,
    )
    model = ReadModel("all", "projects", 1, EveryKind, (PhaseStarted,), lambda rows, _recorded: rows)
    stored = {field.name: field.to_database(getattr(row, field.name)) for field in fields_of(EveryKind)}

    assert decode_row(model, stored) == row
    assert {field.name: field.column for field in fields_of(EveryKind)} == {
        "text": "text",
        "number": "bigint",
        "yes": "boolean",
        "amount": "numeric",
        "day": "date",
        "moment": "timestamptz",
        "colour": "text",
        "money": "jsonb",
        "parts": "jsonb",
        "nothing": "numeric",
        "no_colour": "text",
        "no_money": "jsonb",
    }


def test_row_classes_that_cannot_be_tables_are_refused_by_field_and_remedy() -> None:
    @dataclass(frozen=True)
    class WithFloat:
        ratio: float

    @dataclass(frozen=True)
    class WithOurColumn:
        since: date

    @dataclass(frozen=True)
    class WithNumbers:
        number: Number

    @dataclass
    class Mutable:
        text: str

    for row, said in (
        (WithFloat, "WithFloat.ratio"),
        (WithOurColumn, "WithOurColumn.since: the kernel keeps a column of this name"),
        (WithNumbers, "an Enum of texts"),
        (Mutable, "a row is a frozen dataclass"),
    ):
        with pytest.raises(ReadModelRefused, match=said):
            ReadModel("bad", "projects", 1, row, (PhaseStarted,), lambda rows, _recorded: rows)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"name": "Phases"}, "name: 'Phases'"),
        ({"name": 'x"; DROP SCHEMA public'}, "is refused"),
        ({"name": "p" * 41}, "at most 40"),
        ({"version": 0}, "count from 1"),
        ({"indexes": (("colour",),)}, "index on 'colour'"),
    ],
)
def test_declarations_that_cannot_be_kept_are_refused(change: dict[str, Any], said: str) -> None:
    with pytest.raises(ReadModelRefused, match=said):
        replace(PHASES, **change)


def test_a_read_model_knows_its_topic_and_the_events_it_is_computed_from() -> None:
    assert PHASES.topic == "gov.projects.events.v1"
    assert PHASES.subscribes == {
        "projects.PhaseStarted",
        "projects.PhaseCompleted",
        "projects.ProjectHeld",
        "projects.ProjectResumed",
    }
