"""Read models count the batches that changed them, so that a process can tell whether what it remembers still holds."""

from alembic import op

revision = "k0005"
down_revision = "k0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the count where the first migration has not done so."""
    op.execute("ALTER TABLE read_model_builds ADD COLUMN IF NOT EXISTS changes bigint NOT NULL DEFAULT 0")
