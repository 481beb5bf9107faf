"""The append also looks whether roles and nodes are still those under which its commands were allowed from memory."""

from alembic import context, op

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

# The parameter has a default, for a process of the release before calls without it; the rest of the function stays.
LOOK_AT_ALLOWANCES_TOO = """
DO $do$
DECLARE
  before text := pg_get_functiondef('append_batch'::regproc);
  after text := before;
BEGIN
  IF before LIKE '%allowed_under%' THEN
    RETURN;
  END IF;
  after := replace(after, 'link_streams uuid[], OUT written',
    'link_streams uuid[], allowed_under text DEFAULT NULL, OUT written');
  after := replace(after, 'OUT answered uuid[])', 'OUT answered uuid[], OUT allowances_moved boolean)');
  after := replace(after, '  SELECT array_agg(stream), array_agg(coalesce(head.version, 0))',
    '  allowances_moved := allowed_under IS NOT NULL AND allowed_under <> access_generation();
  IF allowances_moved THEN
    RETURN;
  END IF;

  SELECT array_agg(stream), array_agg(coalesce(head.version, 0))');
  ASSERT array_length(string_to_array(after, 'allowed_under'), 1) = 4, 'append_batch takes links and reads heads';
  ASSERT array_length(string_to_array(after, 'allowances_moved'), 1) = 4, 'append_batch says what was answered before';
  DROP FUNCTION append_batch;
  EXECUTE after;
END
$do$"""


def upgrade() -> None:
    """Add the look, for the application to call with its own rights."""
    op.execute(ACCESS_GENERATION)
    op.execute(LOOK_AT_ALLOWANCES_TOO)
    role = context.config.attributes.get("application_role")
    if role is not None:
        quoted = op.get_bind().dialect.identifier_preparer.quote(role)
        op.execute(f"GRANT EXECUTE ON FUNCTION access_generation, append_batch TO {quoted}")
