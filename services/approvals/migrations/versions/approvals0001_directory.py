"""The directory of names: a table and not a log, so that a person can be erased from it."""

from alembic import context, op

from approvals.adapters.tables import metadata

revision = "approvals0001"
down_revision = None
branch_labels = ("approvals",)
depends_on = "k0001"


def upgrade() -> None:
    """Create the table; the application may add and change entries, and removes none."""
    metadata.create_all(op.get_bind(), checkfirst=False)
    role = context.config.attributes.get("application_role")
    if role is not None:
        quoted = op.get_bind().dialect.identifier_preparer.quote(role)
        op.execute(f"GRANT SELECT, INSERT, UPDATE ON directory TO {quoted}")
