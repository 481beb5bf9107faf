"""The kernel's tables: ledger, commands, timers, relay, consumers, read model builds; and who may do what with them."""

from alembic import context, op
from sqlalchemy import text

from govkernel.tables import metadata

revision = "k0001"
down_revision = None
branch_labels = ("kernel",)
depends_on = None

INSERT_ONLY = ("events", "commands")
WORKING = (
    "timers",
    "stream_links",
    "relay_checkpoint",
    "consumer_partitions",
    "consumer_guards",
    "parked",
    "watermarks",
    "read_model_builds",
)


def upgrade() -> None:
    """Create the tables and let the application insert and read facts, but neither change nor delete them."""
    metadata.create_all(op.get_bind(), checkfirst=False)
    op.execute("INSERT INTO relay_checkpoint (singleton) VALUES (true)")
    role = context.config.attributes.get("application_role")
    if role is None:
        return
    quoted = op.get_bind().dialect.identifier_preparer.quote(role)
    database = op.get_bind().dialect.identifier_preparer.quote(
        op.get_bind().execute(text("SELECT current_database()")).scalar_one()
    )
    op.execute(f"GRANT USAGE ON SCHEMA public TO {quoted}")
    op.execute(f"GRANT SELECT, INSERT ON {', '.join(INSERT_ONLY)} TO {quoted}")
    op.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON {', '.join(WORKING)} TO {quoted}")
    op.execute(f"GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO {quoted}")
    # Read models are disposable and built anew beside the live ones, so the service owns their schemas.
    op.execute(f"GRANT CREATE ON DATABASE {database} TO {quoted}")
