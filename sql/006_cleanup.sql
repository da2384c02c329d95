-- Cleaning by hand. A call removes at most 100000 rows, so that no transaction grows without bound.

CREATE OR REPLACE FUNCTION @extschema@.rule_nats_cleanup_old_history(
    p_older_than interval DEFAULT '30 days', p_keep_failed boolean DEFAULT true)
RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v record;
BEGIN
    PERFORM @extschema@._rule_check_older_than(p_older_than);
    PERFORM @extschema@._rule_roll_up_lock(p_wait => true);
    SELECT * INTO v FROM @extschema@._rule_rows_delete('rule_nats_publish_history', 'r.published_at',
        format('r.published_at < %L::timestamptz AND (r.success OR %L)', clock_timestamp() - p_older_than, p_keep_failed IS FALSE), 100000);
    PERFORM @extschema@._rule_history_left(v.newest);
    RETURN v.removed;
END
$$;
COMMENT ON FUNCTION @extschema@.rule_nats_cleanup_old_history(interval, boolean) IS
    'Deletes publishes older than this from the history, failures only with p_keep_failed => false; at most 100000 rows a call. A message in a stream that is older than what is left is delivered unless its transaction rolled back or is open.';

CREATE OR REPLACE FUNCTION @extschema@.rule_nats_cleanup_expired()
RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v record;
BEGIN
    PERFORM @extschema@._rule_roll_up_lock(p_wait => true);
    SELECT * INTO v FROM @extschema@._rule_rows_delete('rule_nats_publish_history', 'r.published_at',
        format('r.expires_at <= %L::timestamptz', clock_timestamp()), 100000);
    PERFORM @extschema@._rule_history_left(v.newest);
    RETURN v.removed;
END
$$;
COMMENT ON FUNCTION @extschema@.rule_nats_cleanup_expired() IS
    'Deletes publishes whose expires_at has passed from the history, failures as well; at most 100000 rows a call.';

CREATE OR REPLACE FUNCTION @extschema@.rule_webhook_cleanup_old_calls(
    p_older_than interval DEFAULT '30 days', p_keep_failed boolean DEFAULT true)
RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM @extschema@._rule_check_older_than(p_older_than);
    RETURN (SELECT d.removed FROM @extschema@._rule_rows_delete('rule_webhook_queue', 'coalesce(r.completed_at, r.created_at)',
        format('(r.status = ''success'' OR (r.status = ''failed'' AND %L)) AND coalesce(r.completed_at, r.created_at) < %L::timestamptz
                AND NOT %s._rule_queue_row_needed(r.webhook_id, coalesce(r.completed_at, r.created_at))',
               p_keep_failed IS FALSE, clock_timestamp() - p_older_than, '@extschema@'), 100000) d);
END
$$;
COMMENT ON FUNCTION @extschema@.rule_webhook_cleanup_old_calls(interval, boolean) IS
    'Deletes delivered events that ended longer ago than this from the queue, dead letters only with p_keep_failed => false, and never one that is still to be delivered, nor, of a webhook with NATS, one younger than rule_engine_retention keeps receipts: it keeps a copy in the stream from being delivered again; at most 100000 rows a call.';
