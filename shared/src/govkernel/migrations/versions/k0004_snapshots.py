"""Snapshots of long streams, which the application may write anew."""

from alembic import context, op

from govkernel.tables import snapshots

revision = "k0004"
down_revision = "k0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table where the first migration has not done so."""
    snapshots.create(op.get_bind(), checkfirst=True)
    role = context.config.attributes.get("application_role")
    if role is not None:
        quoted = op.get_bind().dialect.identifier_preparer.quote(role)
        op.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON snapshots TO {quoted}")
