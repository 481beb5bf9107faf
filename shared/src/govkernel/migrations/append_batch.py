"""The append of a batch as a function of the database: what it is now, whichever migration brings it."""

from typing import Final

from alembic import context, op

# Volatile, so each statement sees what was committed before it, and the heads are read after the locks are held.
# Nothing is written unless everything can be: what stands in the way is returned, and the caller leaves it out.
# Without sequential scans, for a plan that was made while the tables were small is kept while they grow; and with that
# one plan, for planning anew for each batch's number of elements takes as long as a fifth to a half of what it writes.
APPEND_BATCH: Final = """
CREATE FUNCTION append_batch(
  lock_numbers bigint[], lock_exclusive boolean[],
  expected_streams uuid[], expected_versions int[], expected_hashes bytea[],
  earliest timestamptz, latest timestamptz, most_difference interval,
  command_ids uuid[], command_digests bytea[], command_streams uuid[], command_from int[], command_to int[],
  command_statuses smallint[], command_refusals jsonb[], command_recorded timestamptz[],
  event_streams uuid[], event_versions int[], event_types text[], event_times timestamptz[],
  event_recorded timestamptz[], event_documents bytea[], event_hashes bytea[],
  timer_ids uuid[], timer_aggregates text[], timer_streams uuid[], timer_names text[], timer_dues timestamptz[],
  timer_causes text[], timer_correlations text[], timer_origins text[],
  relinked uuid[], link_kinds text[], link_targets uuid[], link_streams uuid[],
  allowed_under text DEFAULT NULL,
  OUT written boolean, OUT verified boolean, OUT clock timestamptz,
  OUT moved_streams uuid[], OUT moved_versions int[], OUT moved_hashes bytea[], OUT answered uuid[],
  OUT allowances_moved boolean)
LANGUAGE plpgsql VOLATILE SET enable_seqscan = off SET plan_cache_mode = force_generic_plan AS $function$
DECLARE
  inserted int;
BEGIN
  written := false;
  IF cardinality(lock_numbers) > 0 THEN
    PERFORM CASE WHEN exclusive THEN pg_advisory_xact_lock(number)::text
                 ELSE pg_advisory_xact_lock_shared(number)::text END
    FROM unnest(lock_numbers, lock_exclusive) AS wanted (number, exclusive);
  END IF;

  clock := clock_timestamp();
  verified := coalesce((
    SELECT started_at = pg_postmaster_start_time() AND events_file = pg_relation_filepath('events')
    FROM relay_checkpoint), false);
  IF NOT verified OR earliest < clock - most_difference OR latest > clock + most_difference THEN
    RETURN;
  END IF;

  allowances_moved := allowed_under IS NOT NULL AND allowed_under <> access_generation();
  IF allowances_moved THEN
    RETURN;
  END IF;

  SELECT array_agg(stream), array_agg(coalesce(head.version, 0)), array_agg(head.hash)
  INTO moved_streams, moved_versions, moved_hashes
  FROM unnest(expected_streams, expected_versions, expected_hashes) AS expected (stream, version, hash)
  LEFT JOIN LATERAL (
    SELECT events.version, events.hash FROM events
    WHERE events.stream = expected.stream ORDER BY events.version DESC LIMIT 1) AS head ON true
  WHERE coalesce(head.version, 0) <> expected.version OR head.hash IS DISTINCT FROM expected.hash;

  SELECT array_agg(command) INTO answered FROM commands WHERE command = ANY (command_ids);
  IF moved_streams IS NOT NULL OR answered IS NOT NULL THEN
    RETURN;
  END IF;

  INSERT INTO commands (command, digest, stream, from_version, to_version, status, refusal, recorded_at)
  SELECT * FROM unnest(command_ids, command_digests, command_streams, command_from, command_to, command_statuses,
                       command_refusals, command_recorded)
  ON CONFLICT DO NOTHING;
  GET DIAGNOSTICS inserted = ROW_COUNT;
  IF inserted <> cardinality(command_ids) THEN
    RAISE unique_violation USING MESSAGE = 'a rival has answered a command of this batch meanwhile';
  END IF;

  IF cardinality(event_streams) > 0 THEN
    INSERT INTO events (stream, version, type, time, recorded_at, document, hash)
    SELECT * FROM unnest(event_streams, event_versions, event_types, event_times, event_recorded, event_documents,
                         event_hashes);
  END IF;
  IF cardinality(timer_ids) > 0 THEN
    INSERT INTO timers (timer, aggregate, stream, name, due, cause, correlation, origin)
    SELECT * FROM unnest(timer_ids, timer_aggregates, timer_streams, timer_names, timer_dues, timer_causes,
                         timer_correlations, timer_origins)
    ON CONFLICT DO NOTHING;
  END IF;
  IF cardinality(relinked) > 0 THEN
    DELETE FROM stream_links WHERE stream = ANY (relinked);
    INSERT INTO stream_links (kind, target, stream) SELECT * FROM unnest(link_kinds, link_targets, link_streams);
  END IF;
  written := true;
END
$function$
"""


def replace_append_batch() -> None:
    """Create the function, or what replaces an earlier one, for the application to call with its own rights.

    A parameter that is new has a default, for processes of the release before go on calling without it.
    """
    op.execute("DROP FUNCTION IF EXISTS append_batch")
    op.execute(APPEND_BATCH)
    role = context.config.attributes.get("application_role")
    if role is not None:
        quoted = op.get_bind().dialect.identifier_preparer.quote(role)
        op.execute(f"GRANT EXECUTE ON FUNCTION append_batch TO {quoted}")
