"""The tables of a build, generated from the row class, and the stable views that readers query."""

from datetime import datetime
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    ColumnElement,
    Date,
    DateTime,
    Index,
    Integer,
    MetaData,
    Numeric,
    Select,
    Table,
    Text,
    Uuid,
    and_,
    literal,
    not_,
    select,
    union_all,
)
from sqlalchemy import Column as SqlColumn
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.types import TypeEngine

from govkernel.readmodels.model import ReadModel, Row

VIEWS: Final = "read"
"""The schema of the stable views."""

ROWS: Final = "rows"
HISTORY: Final = "history"

_TYPES: Final[dict[str, TypeEngine[Any]]] = {
    "text": Text(),
    "uuid": Uuid(),
    "integer": Integer(),
    "integer[]": ARRAY(Integer()),
    "bigint": BigInteger(),
    "boolean": Boolean(),
    "numeric": Numeric(),
    "date": Date(),
    "timestamptz": DateTime(timezone=True),
    "jsonb": JSONB(none_as_null=True),
}

KEPT_COLUMNS: Final = (
    ("stream", "uuid"),
    ("key", "text"),
    ("version", "integer"),
    ("since", "timestamptz"),
    ("recorded", "timestamptz"),
)
PAST_COLUMNS: Final = (("until", "timestamptz"), ("until_recorded", "timestamptz"), ("removed", "boolean"))


def schema_of(name: str, build: int) -> str:
    """The schema of one build of a read model."""
    return f"rm_{name}_{build}"


def columns_of(model: ReadModel[Any]) -> tuple[tuple[str, str], ...]:
    """The columns of a model's rows, in order, with their types; history has `PAST_COLUMNS` after them."""
    return (
        *KEPT_COLUMNS,
        *((field.name, field.column) for field in model.fields),
        ("provenance", "integer[]"),
    )


def _columns(model: ReadModel[Any], *, history: bool) -> list[SqlColumn[Any]]:
    nullable = {field.name for field in model.fields if field.nullable}
    pairs = columns_of(model) + (PAST_COLUMNS if history else ())
    return [
        SqlColumn(
            name,
            _TYPES[kind],
            nullable=name in nullable,
        )
        for name, kind in pairs
    ]


KEYS: Final = {ROWS: ("stream", "key"), HISTORY: ("stream", "key", "version")}
"""What is unique in each table."""


def build_tables(model: ReadModel[Any], build: int) -> tuple[Table, Table]:
    """The tables of one build: its rows as they are now, and the rows that were replaced or removed."""
    metadata = MetaData(schema=schema_of(model.name, build))
    rows = Table(ROWS, metadata, *_columns(model, history=False))
    history = Table(HISTORY, metadata, *_columns(model, history=True))
    for number, names in enumerate(model.indexes, start=1):
        for table in (rows, history):
            Index(f"{table.name}_{number}", *(table.c[name] for name in names))
    # History lies in order of `until`, which is what makes so small an index enough for a look at the past.
    Index(f"{HISTORY}_until", history.c.until, history.c.since, postgresql_using="brin")
    return rows, history


def views_of(model: ReadModel[Any]) -> tuple[Table, Table]:
    """The stable views `read.<name>` and `read.<name>_history`, for queries that need no `as_of`."""
    metadata = MetaData(schema=VIEWS)
    return (
        Table(model.name, metadata, *_columns(model, history=False)),
        Table(f"{model.name}_history", metadata, *_columns(model, history=True)),
    )


def as_of(
    model: ReadModel[Any], *, as_of: datetime | None = None, recorded_by: datetime | None = None
) -> Select[tuple[Any, ...]]:
    """The rows as they were known at `as_of`, from what was recorded by `recorded_by`; None is without bound.

    A row is wanted if it was known and recorded by then, unless the event that ended it was too. Both times only go
    forward within a stream, so that is one row for a key, or none. Columns: those of the row, `stream`, `key`,
    `version`, `since`, `recorded` and `provenance`.
    """
    current, history = views_of(model)
    names = [name for name, _ in columns_of(model)]
    if as_of is None and recorded_by is None:
        return select(*(current.c[name] for name in names))

    def known(table: Table, since: str, recorded: str) -> ColumnElement[bool]:
        # A bound is sent once as a parameter for each use; the planner folds both alike.
        bounds: list[ColumnElement[bool]] = []
        if as_of is not None:
            bounds.append(table.c[since] <= literal(as_of, DateTime(timezone=True)))
        if recorded_by is not None:
            bounds.append(table.c[recorded] <= literal(recorded_by, DateTime(timezone=True)))
        return and_(*bounds)

    then = union_all(
        select(*(current.c[name] for name in names)).where(known(current, "since", "recorded")),
        select(*(history.c[name] for name in names)).where(
            known(history, "since", "recorded"), not_(known(history, "until", "until_recorded"))
        ),
    ).subquery(model.name)
    return select(*(then.c[name] for name in names))


def decode_row(model: ReadModel[Row], values: Any) -> Row:
    """A row of the model from a database row's mapping, of asyncpg or SQLAlchemy, which may have more columns."""
    return model.row(**{field.name: field.from_database(values[field.name]) for field in model.fields})
