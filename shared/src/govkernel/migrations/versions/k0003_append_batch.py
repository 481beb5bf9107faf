"""The append of a batch as one function of the database: one round trip, whatever the batch holds."""

from govkernel.migrations.append_batch import replace_append_batch

revision = "k0003"
down_revision = "k0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the function."""
    replace_append_batch()
