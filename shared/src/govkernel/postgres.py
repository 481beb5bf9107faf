"""The thin edge to PostgreSQL: pools, engines, migrations, and which errors mean that it is away."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeAlias

import asyncpg
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from govevents.document import Document
from govkernel.arrays import CODECS

Uuid: Final = asyncpg.pgproto.pgproto.UUID
"""A UUID like the standard library's, read, written and compared in a fifth of the time."""

UNAVAILABLE: Final = (
    OSError,
    TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.InternalClientError,
)
"""What is raised when the database is away, starting, stopping, full or read-only: worth trying again later."""

if TYPE_CHECKING:
    Connection: TypeAlias = asyncpg.Connection[Any] | asyncpg.pool.PoolConnectionProxy[Any]
else:
    # asyncpg's classes take type arguments in its stubs only.
    Connection = asyncpg.Connection | asyncpg.pool.PoolConnectionProxy
"""A connection of one's own, or one lent by a pool."""


class Row(Protocol):
    """A row of an answer, its columns by their names."""

    def __getitem__(self, column: str, /) -> Any: ...


async def _keep_session(_connection: Any) -> None:
    """Leave a lent connection's session as it is: what we set is set for a transaction, and that has been rolled back.

    asyncpg's own reset asks the database four questions for each loan, which was half of what a command asked of it.
    """


async def _take_arrays(connection: Any) -> None:
    """Let arrays on a connection be encoded and decoded by the kernel.

    asyncpg offers that for elements alone, so its own register is asked. It also looks up each type of arrays when it
    first meets it, for each connection, by a query that PostgreSQL plans for 20 ms; those that it has are left alone.
    """
    register = connection._protocol.get_settings()  # noqa: SLF001
    for elements, encode, decode in CODECS:
        register.add_python_codec(
            elements.array_oid, elements.array_name, "pg_catalog", [], "scalar", encode, decode, "binary"
        )


async def create_pool(url: str, *, largest: int = 10, command_timeout_s: float = 30.0) -> "asyncpg.Pool[Any]":
    """A pool that opens connections when they are first wanted, so that a process may start before its database."""
    pool = await asyncpg.create_pool(
        url,
        min_size=0,
        max_size=largest,
        command_timeout=command_timeout_s,
        timeout=5.0,
        max_inactive_connection_lifetime=300.0,
        init=_take_arrays,
        reset=_keep_session,
        server_settings={"application_name": "gatehouse", "timezone": "UTC"},
    )
    assert pool is not None
    return pool


def event_columns(documents: Sequence[Document]) -> tuple[Sequence[object], ...]:
    """Documents as arrays in the order of their columns: stream, version, type, time, recorded_at, document, hash."""
    return (
        [document.stream for document in documents],
        [document.version for document in documents],
        [document.type for document in documents],
        [document.time for document in documents],
        [document.recorded_at for document in documents],
        [document.body for document in documents],
        [document.hash for document in documents],
    )


def create_engine(url: str, *, largest: int = 5) -> AsyncEngine:
    """A SQLAlchemy engine for queries, on the same driver."""
    return create_async_engine(
        url.replace("postgresql://", "postgresql+asyncpg://", 1),
        pool_size=largest,
        max_overflow=0,
        pool_pre_ping=True,
        connect_args={
            "timeout": 5.0,
            "command_timeout": 30.0,
            "server_settings": {"application_name": "gatehouse-queries", "timezone": "UTC"},
        },
    )


def migrate(service_migrations: Path | None, url: str, *, application_role: str | None) -> None:
    """Bring a service's database up to date: the kernel's tables, then the service's own.

    `application_role` gets the rights that a running service needs, and no more; None grants nothing.
    """
    from alembic import command
    from alembic.config import Config

    kernel = Path(__file__).parent / "migrations"
    config = Config()
    config.set_main_option("script_location", str(kernel))
    locations = [kernel / "versions", *([service_migrations / "versions"] if service_migrations else [])]
    config.set_main_option("version_locations", "\n".join(str(location) for location in locations))
    config.set_main_option("path_separator", "newline")
    config.attributes["url"] = url
    config.attributes["application_role"] = application_role
    command.upgrade(config, "heads")


async def migrate_in_thread(service_migrations: Path | None, url: str, *, application_role: str | None) -> None:
    """As `migrate`, from within an event loop."""
    await asyncio.to_thread(migrate, service_migrations, url, application_role=application_role)
