"""The append also looks where the server keeps the events, which tells of a dump that was restored beside it."""

from alembic import op

from govkernel.migrations.append_batch import replace_append_batch

revision = "k0006"
down_revision = "k0005"
branch_labels = None
depends_on = None

# A relay of the release before, which knows no file, may go on leading while the new release is rolled out.
LET_WHO_LEADS_GO_ON = """
UPDATE relay_checkpoint SET events_file = pg_relation_filepath('events') WHERE lease_until > clock_timestamp()"""


def upgrade() -> None:
    """Add the file to the checkpoint, and to what an append compares."""
    op.execute("ALTER TABLE relay_checkpoint ADD COLUMN IF NOT EXISTS events_file text")
    replace_append_batch()
    op.execute(LET_WHO_LEADS_GO_ON)
