"""The relay's checkpoint says when the database was last verified, and what keeps the relay from going on."""

from alembic import op

revision = "k0002"
down_revision = "k0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add what any replica may be asked about the one that leads."""
    op.execute(
        "ALTER TABLE relay_checkpoint ADD COLUMN IF NOT EXISTS verified_at timestamptz, "
        "ADD COLUMN IF NOT EXISTS brought_back bigint, ADD COLUMN IF NOT EXISTS alarm text, "
        "ADD COLUMN IF NOT EXISTS trouble text"
    )
