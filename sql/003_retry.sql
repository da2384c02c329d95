CREATE OR REPLACE FUNCTION @extschema@.rule_webhook_retry(p_call_id bigint)
RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_call record;
BEGIN
    SELECT q.webhook_id, q.status, q.payload IS NULL AS of_bytes,
           -- Longer than any is: the clock was set back, and who has it renews no lease any more.
           q.lease_until > clock_timestamp() + @extschema@._rule_lease(300000) + interval '1 minute' AS abandoned
    INTO v_call
    FROM @extschema@.rule_webhook_queue q WHERE q.queue_id = p_call_id FOR UPDATE;
    IF NOT FOUND THEN
        PERFORM @extschema@._rule_refuse(
            CASE WHEN p_call_id IS NULL THEN 'call id must not be NULL' ELSE format('call %s does not exist', p_call_id) END,
            'Give a queue_id, such as call_id in webhook_recent_failures.',
            CASE WHEN p_call_id IS NULL THEN '22004' ELSE '42704' END);
    ELSIF v_call.webhook_id IS NULL OR v_call.of_bytes THEN
        PERFORM @extschema@._rule_refuse(format('call %s cannot be tried', p_call_id),
            'It came from the stream, belongs to no webhook or is no JSON, and was never sent.', '55000');
    ELSIF v_call.status = 'success' THEN
        PERFORM @extschema@._rule_refuse(format('call %s was delivered', p_call_id),
            'Send its payload again with rule_webhook_call(), as an event of its own.', '55000');
    ELSIF v_call.status = 'processing' AND NOT v_call.abandoned THEN
        RETURN false;
    END IF;
    -- A dead letter gets all its tries again; one that waits only waits no longer.
    UPDATE @extschema@.rule_webhook_queue q
    SET status = 'pending', completed_at = NULL, next_retry_at = clock_timestamp(), leased_by = NULL, lease_until = NULL,
        retry_count = CASE q.status WHEN 'failed' THEN 0 ELSE q.retry_count END,
        refusals = CASE q.status WHEN 'failed' THEN 0 ELSE q.refusals END,
        first_tried_at = CASE WHEN q.status <> 'failed' THEN q.first_tried_at END,
        lease_losses = CASE q.status WHEN 'failed' THEN 0
                                     ELSE q.lease_losses + (q.status = 'processing' AND q.route <> 'publish')::integer END,
        redelivered_at = NULL, paced = false,
        route = CASE WHEN q.status = 'failed' OR q.route = 'stream' THEN 'post' ELSE q.route END
    WHERE q.queue_id = p_call_id;
    PERFORM @extschema@._rule_queue_wake();
    RETURN true;
END
$$;
COMMENT ON FUNCTION @extschema@.rule_webhook_retry(bigint) IS
    'Tries a queued event again now: a dead letter from its first try on, one that waits without waiting longer. false where a worker has it at this moment.';
