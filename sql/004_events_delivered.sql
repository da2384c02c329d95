CREATE OR REPLACE FUNCTION @extschema@._rule_events_delivered(
    p_consumer text, p_attempts jsonb, p_delivered integer[], p_rows bigint[], p_receipts integer[])
RETURNS void LANGUAGE plpgsql
AS $$
DECLARE
    v_now timestamptz := clock_timestamp();
BEGIN
    -- The attempts first: they number themselves by the tries that failed before.
    INSERT INTO @extschema@.rule_webhook_attempts
        (webhook_id, message_id, redelivery, try, path, worker, started_at, duration_ms, status, outcome)
    SELECT l.webhook_id, l.message_id, l.redelivery, l.retry_count + 1, l.path, p_consumer,
           v_now - make_interval(secs => l.started_ms_ago / 1000), l.duration_ms, l.status, 'delivered'
    FROM @extschema@._rule_leased(p_consumer, p_attempts) l
    WHERE l.n = ANY (p_delivered) ORDER BY l.n;
    UPDATE @extschema@.rule_webhook_queue q
    SET status = 'success', leased_by = NULL, lease_until = NULL, response_status = l.status, error_message = NULL,
        last_answer = NULL, completed_at = v_now
    FROM @extschema@._rule_leased(p_consumer, p_attempts) l
    WHERE q.queue_id = ANY (p_rows) AND q.queue_id = l.held_queue_id AND l.n = ANY (p_delivered);
    UPDATE @extschema@.rule_webhook_receipts r
    SET state = 'done', leased_by = NULL, lease_until = NULL, retry_count = 0, done_at = v_now
    FROM @extschema@._rule_worker_attempts(p_attempts) a
    WHERE a.n = ANY (p_receipts)
      AND r.webhook_id = a.webhook_id AND r.message_id = a.message_id AND r.redelivery = a.redelivery;
END
$$;
COMMENT ON FUNCTION @extschema@._rule_events_delivered(text, jsonb, integer[], bigint[], integer[]) IS
    'Internal: records deliveries, whose receipts are locked.';
