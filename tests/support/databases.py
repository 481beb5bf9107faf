"""Databases for tests: copied from a template in some tens of milliseconds, and dropped afterwards."""

from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import asyncpg

from govkernel.postgres import migrate_in_thread

TEMPLATE = "gatehouse_test_template"


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


async def create_template(admin_url: str, name: str) -> None:
    """Create the template with the kernel's tables. The caller holds the session's lock."""
    await _run(admin_url, f'CREATE DATABASE "{name}"')
    await migrate_in_thread(None, url_of(admin_url, name), application_role=None)


async def create_database(admin_url: str, template: str | None) -> str:
    """Create a database, empty or as the template, and return its address."""
    name = f"test_{uuid4().hex}"
    source = f'TEMPLATE "{template}"' if template else ""
    await _run(admin_url, f'CREATE DATABASE "{name}" {source}')
    return url_of(admin_url, name)


async def drop_database(admin_url: str, url: str) -> None:
    """Drop a database, whoever is still connected to it."""
    await _run(admin_url, f'DROP DATABASE IF EXISTS "{urlsplit(url).path[1:]}" WITH (FORCE)')
