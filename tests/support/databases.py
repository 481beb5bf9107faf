"""Databases for tests: copied from a template in some tens of milliseconds, and dropped afterwards."""

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import asyncpg
from tests.support.infrastructure import Infrastructure, SessionInfrastructure

from govkernel.postgres import migrate_in_thread
from govkernel.relay.checkpoint import IS_VERIFIED

LEDGER_IS_OPEN: Final = f"SELECT {IS_VERIFIED} FROM relay_checkpoint"
OPEN_LEDGER: Final = """
INSERT INTO relay_checkpoint (singleton, started_at, events_file)
VALUES (true, pg_postmaster_start_time(), pg_relation_filepath('events'))
ON CONFLICT (singleton) DO UPDATE SET started_at = excluded.started_at, events_file = excluded.events_file"""
"""Let a ledger take commands as if a relay had verified its database; without one, that it is the same is known here."""


def url_of(admin_url: str, database: str) -> str:
    """The address of another database of the same server, for the same role."""
    return urlunsplit(urlsplit(admin_url)._replace(path=f"/{database}"))


async def _run(admin_url: str, *statements: str) -> None:
    connection = await asyncpg.connect(admin_url)
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()


async def create_template(admin_url: str, name: str, migrations: Path | None = None) -> None:
    """Create a database with the kernel's tables, and those of `migrations`."""
    await _run(admin_url, f'CREATE DATABASE "{name}"')
    await migrate_in_thread(migrations, url_of(admin_url, name), application_role=None)


async def template(
    session: SessionInfrastructure, infrastructure: Infrastructure, kind: str, migrations: Path | None
) -> str:
    """The name of the session's database of that kind, with the kernel's tables and those of `migrations`, to copy."""
    # Named after the session: where the server was given, another session's template may still be there.
    name = f"template_{kind}_{session.folder.name[-8:].lower()}"
    with session.once():
        made = session.folder / name
        if not made.exists():
            await create_template(infrastructure.postgres_url, name, migrations)
            made.touch()
    return name


async def create_database(admin_url: str, template: str | None) -> str:
    """Create a database, empty or as the template, and return its address."""
    name = f"test_{uuid4().hex}"
    source = f'TEMPLATE "{template}"' if template else ""
    await _run(admin_url, f'CREATE DATABASE "{name}" {source}')
    return url_of(admin_url, name)


@contextlib.asynccontextmanager
async def as_application(admin_url: str, url: str) -> AsyncIterator[str]:
    """The address of an empty database for the role that a service runs as, once that has the rights of one.

    As in production, nobody may call a function that was not granted.
    """
    role = f"app_{uuid4().hex}"
    await _run(admin_url, f"CREATE ROLE {role} LOGIN PASSWORD 'test'")
    try:
        await _run(url, "ALTER DEFAULT PRIVILEGES REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC")
        await migrate_in_thread(None, url, application_role=role)
        parts = urlsplit(url)
        yield urlunsplit(parts._replace(netloc=f"{role}:test@{parts.hostname}:{parts.port}"))
    finally:
        await _run(url, f"DROP OWNED BY {role}")
        await _run(admin_url, f"DROP ROLE {role}")


async def drop_database(admin_url: str, url: str) -> None:
    """Drop a database, whoever is still connected to it."""
    await _run(admin_url, f'DROP DATABASE IF EXISTS "{urlsplit(url).path[1:]}" WITH (FORCE)')
