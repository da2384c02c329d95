CREATE OR REPLACE FUNCTION @extschema@.rule_engine_maintain(p_max_rows bigint DEFAULT 100000)
RETURNS jsonb LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_ring record;
    v_rows record;
    v_rolled jsonb;
    v_mended bigint[];
    v_followed boolean;
    v_report jsonb := '{"success": true}';
BEGIN
    PERFORM @extschema@._rule_check_range(p_max_rows, 1, 10000000, 'p_max_rows');
    -- TRUNCATE knows no snapshot: what an old one does not show would go uncounted, or be lost instead of kept.
    IF current_setting('transaction_isolation') NOT IN ('read committed', 'read uncommitted') THEN
        PERFORM @extschema@._rule_refuse(
            format('maintenance cannot run in a %s transaction', upper(current_setting('transaction_isolation'))),
            'Call it in READ COMMITTED.', '25001');
    END IF;
    -- Two at a time would copy the rows that stay twice.
    IF NOT @extschema@._rule_roll_up_lock(p_wait => false) THEN
        RETURN jsonb_build_object('success', false, 'reason', 'another session maintains this database');
    END IF;

    PERFORM @extschema@._rule_clock_mend();
    v_mended := ARRAY[@extschema@._rule_clock_mend_receipts(p_max_rows), @extschema@._rule_clock_mend_rows(p_max_rows)];
    v_rolled := @extschema@._rule_roll_up_closed(p_max_rows);
    v_report := v_report || jsonb_build_object(
        'clock', jsonb_build_object('rows_mended', v_mended[1] + v_mended[2], 'more', p_max_rows <= ANY (v_mended)),
        'expired', @extschema@._rule_holds_expire(least(p_max_rows, 100000)::integer));
    -- Deletes come before TRUNCATE, whose lock lasts until the end. Rows of a webhook that is gone are of transactions that
    -- were open when it was deleted. A number that was never given is one that a restore is about to bring.
    FOR v_rows IN
        SELECT d.name, d.time, d.condition FROM (VALUES
            ('rule_webhook_queue', 'coalesce(r.completed_at, r.created_at)',
             '(((r.status = ''success'' AND coalesce(r.completed_at, r.created_at) < %1$L::timestamptz)
                OR (r.status = ''failed'' AND coalesce(r.completed_at, r.created_at) < %2$L::timestamptz))
               AND NOT %4$s._rule_queue_row_needed(r.webhook_id, coalesce(r.completed_at, r.created_at)))
              OR (r.webhook_id <= %3$L::bigint AND NOT EXISTS (SELECT FROM %4$s.rule_webhooks w WHERE w.webhook_id = r.webhook_id))'),
            ('rule_webhook_receipts', 'r.done_at',
             '(r.state = ''done'' AND r.done_at < %1$L::timestamptz)
              OR (r.webhook_id <= %3$L::bigint AND NOT EXISTS (SELECT FROM %4$s.rule_webhooks w WHERE w.webhook_id = r.webhook_id))'),
            ('rule_webhook_drops', 'r.dropped_at', 'r.dropped_at < %1$L::timestamptz')) AS d (name, time, condition)
    LOOP
        SELECT v_report || jsonb_build_object(v_rows.name, jsonb_build_object('rows_removed', d.removed, 'more', d.removed >= p_max_rows))
        INTO v_report
        FROM @extschema@.rule_engine_retention k
        CROSS JOIN LATERAL @extschema@._rule_rows_delete(v_rows.name, v_rows.time,
            format(v_rows.condition, clock_timestamp() - k.keep, coalesce(clock_timestamp() - k.keep_failed, '-infinity'),
                   coalesce(pg_sequence_last_value('@extschema@.rule_webhooks_webhook_id_seq'), 0), '@extschema@'), p_max_rows) d
        WHERE k.table_name = v_rows.name;
    END LOOP;
    -- No worker has an event in hand for so long.
    PERFORM @extschema@._rule_rows_delete('rule_webhook_deletions', 'r.deleted_at',
        format('r.deleted_at < %L::timestamptz', clock_timestamp() - interval '1 hour'), p_max_rows);
    -- A process has often a name that never comes again.
    PERFORM @extschema@._rule_rows_delete('rule_nats_consumer_stats', 'r.last_active_at',
        format('r.last_active_at < %L::timestamptz', clock_timestamp() - interval '30 days'), p_max_rows);
    PERFORM @extschema@._rule_queue_measure();
    -- It may wait for others, which nobody else should for the lock of a TRUNCATE.
    PERFORM @extschema@._rule_pgmq_maintain(p_max_rows);
    SELECT * INTO v_ring FROM @extschema@._rule_ring_maintain('rule_webhook_attempts', 'started_at',
        'r.outcome <> ''delivered''', 'false', p_max_rows);
    v_report := v_report || jsonb_build_object('rule_webhook_attempts', v_ring.report);
    SELECT * INTO v_ring FROM @extschema@._rule_ring_maintain('rule_nats_publish_history', 'published_at',
        'NOT r.success', format('r.expires_at IS NULL OR r.expires_at > %L::timestamptz', clock_timestamp()), p_max_rows);
    PERFORM @extschema@._rule_history_left(v_ring.newest);
    -- Last: it holds up publishers until the end. A restore does not bring it along.
    v_followed := @extschema@._rule_pgmq_follows();
    PERFORM @extschema@._rule_pgmq_following(@extschema@._rule_pgmq_carries());
    v_report := v_report || jsonb_build_object('rule_nats_publish_history', v_ring.report, 'rolled_up', v_rolled);
    UPDATE @extschema@.rule_engine_upkeep u
    SET maintained_at = clock_timestamp(),
        -- Rows that changed since messages were looked at, and until they followed, are the next call's.
        more = jsonb_path_exists(v_report, 'strict $.**.more ? (@ == true)')
               OR (NOT v_followed AND @extschema@._rule_pgmq_follows());
    RETURN v_report;
END
$$;
COMMENT ON FUNCTION @extschema@.rule_engine_maintain(bigint) IS
    'Rolls up history and attempts for the views, removes what rule_engine_retention does not keep, ends what a clock that was set back has left to wait, and empties the day of the rings that is written to next. Workers call it every hour; where none runs, have a scheduler do so every few minutes. Says what it did, and with "more" where p_max_rows left something for the next call.';
