"""The append also looks whether roles and nodes are still those under which its commands were allowed from memory."""

from alembic import context, op

from govkernel.migrations.append_batch import replace_append_batch

revision = "k0007"
down_revision = "k0006"
branch_labels = None
depends_on = None

# Volatile, so that it sees what was committed before the statement that calls it.
ACCESS_GENERATION = """
CREATE OR REPLACE FUNCTION access_generation() RETURNS text
LANGUAGE plpgsql VOLATILE SET enable_seqscan = off AS $function$
BEGIN
  RETURN (SELECT coalesce(string_agg(name || '/' || build || ':' || changes, ' ' ORDER BY name), '')
          FROM read_model_builds WHERE state = 'live' AND name IN ('nodes', 'roles'));
END
$function$
"""


def upgrade() -> None:
    """Add the look, for the application to call with its own rights."""
    op.execute(ACCESS_GENERATION)
    replace_append_batch()
    role = context.config.attributes.get("application_role")
    if role is not None:
        quoted = op.get_bind().dialect.identifier_preparer.quote(role)
        op.execute(f"GRANT EXECUTE ON FUNCTION access_generation TO {quoted}")
