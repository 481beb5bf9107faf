"""How alembic reaches a service's database; one environment for the kernel's branch and every service's own."""

import asyncio

from alembic import context
from sqlalchemy import Connection, text

from govkernel.postgres import create_engine
from govkernel.tables import metadata

# Two replicas that start together migrate one after the other.
MIGRATION_LOCK = 7_291_002


def run(connection: Connection) -> None:
    """Upgrade over an open connection, in one transaction."""
    context.configure(
        connection=connection, target_metadata=metadata, transactional_ddl=True, transaction_per_migration=False
    )
    with context.begin_transaction():
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": MIGRATION_LOCK})
        context.run_migrations()


async def main() -> None:
    """Open a connection of its own for the upgrade."""
    engine = create_engine(context.config.attributes["url"], largest=1)
    try:
        async with engine.connect() as connection:
            await connection.run_sync(run)
            await connection.commit()
    finally:
        await engine.dispose()


asyncio.run(main())
