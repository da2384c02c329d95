CREATE OR REPLACE FUNCTION @extschema@._rule_events_delivered(
    p_consumer text, p_receipts tid[], p_queue_ids bigint[],
    p_webhook_ids integer[], p_message_ids text[], p_redeliveries integer[], p_tries integer[], p_paths text[],
    p_started_ms_ago double precision[], p_durations_ms double precision[], p_statuses integer[])
RETURNS void LANGUAGE plpgsql
AS $$
DECLARE
    v_now timestamptz := clock_timestamp();
BEGIN
    -- Members of arrays cost a fifth of what rows of unnest() do.
    INSERT INTO @extschema@.rule_webhook_attempts
        (webhook_id, message_id, redelivery, try, path, worker, started_at, duration_ms, status, outcome)
    SELECT p_webhook_ids[i], p_message_ids[i], p_redeliveries[i], p_tries[i], p_paths[i], p_consumer,
           v_now - make_interval(secs => p_started_ms_ago[i] / 1000), p_durations_ms[i], p_statuses[i], 'delivered'
    FROM generate_subscripts(p_webhook_ids, 1) i;
    UPDATE @extschema@.rule_webhook_queue q
    SET status = 'success', leased_by = NULL, lease_until = NULL,
        response_status = p_statuses[array_position(p_queue_ids, q.queue_id)], error_message = NULL,
        last_answer = NULL, completed_at = v_now
    WHERE q.queue_id = ANY (p_queue_ids);
    -- They are locked, so they are where they were found.
    UPDATE @extschema@.rule_webhook_receipts r
    SET state = 'done', leased_by = NULL, lease_until = NULL, retry_count = 0, done_at = v_now
    WHERE r.ctid = ANY (p_receipts);
END
$$;
COMMENT ON FUNCTION @extschema@._rule_events_delivered(text, tid[], bigint[], integer[], text[], integer[], integer[], text[], double precision[], double precision[], integer[]) IS
    'Internal: records deliveries, whose receipts are locked. The places of those outside the queue, and what there is to say of each delivery.';
