"""The append also looks where the server keeps the events, which tells of a dump that was restored beside it."""

from alembic import op

revision = "k0006"
down_revision = "k0005"
branch_labels = None
depends_on = None

# The rest of the function stays as it is.
LOOK_AT_THE_FILE_TOO = """
DO $$
DECLARE
  before text := pg_get_functiondef('append_batch'::regproc);
  after text := replace(before, 'started_at = pg_postmaster_start_time()',
    'started_at = pg_postmaster_start_time() AND events_file = pg_relation_filepath(''events'')');
BEGIN
  ASSERT after <> before, 'append_batch compares the start of the server';
  EXECUTE after;
END
$$"""

# A relay of the release before, which knows no file, may go on leading while the new release is rolled out.
LET_WHO_LEADS_GO_ON = """
UPDATE relay_checkpoint SET events_file = pg_relation_filepath('events') WHERE lease_until > clock_timestamp()"""


def upgrade() -> None:
    """Add the file to the checkpoint, and to what an append compares."""
    op.execute("ALTER TABLE relay_checkpoint ADD COLUMN IF NOT EXISTS events_file text")
    op.execute(LOOK_AT_THE_FILE_TOO)
    op.execute(LET_WHO_LEADS_GO_ON)
