-- The ways out of a lease, other than a delivery.

CREATE OR REPLACE FUNCTION @extschema@._rule_event_fail(
    p_queue_id bigint, p_path text, p_webhook_id integer, p_message_id text, p_redelivery integer,
    p_tries integer, p_refusals integer, p_first_tried_at timestamptz, p_verdict text, p_delay_ms integer, p_status integer,
    p_error text, p_answer text)
RETURNS void LANGUAGE plpgsql
AS $$
DECLARE
    v_now timestamptz := clock_timestamp();
    v_delay interval := make_interval(secs => p_delay_ms / 1000.0);
BEGIN
    IF p_queue_id IS NULL THEN
        UPDATE @extschema@.rule_webhook_receipts r
        SET state = 'waiting', leased_by = NULL, lease_until = NULL, retry_count = p_tries, refusals = p_refusals,
            first_tried_at = p_first_tried_at, lease_losses = 0
        WHERE r.webhook_id = p_webhook_id AND r.message_id = p_message_id AND r.redelivery = p_redelivery;
    ELSE
        UPDATE @extschema@.rule_webhook_queue q
        SET status = CASE p_verdict WHEN 'dead' THEN 'failed' ELSE 'pending' END,
            leased_by = NULL, lease_until = NULL, retry_count = p_tries, refusals = p_refusals,
            first_tried_at = p_first_tried_at, lease_losses = 0,
            response_status = p_status, error_message = p_error, last_answer = p_answer,
            completed_at = CASE p_verdict WHEN 'dead' THEN v_now END,
            -- On the stream's way the stream tries again, and the queue only when nothing came of that.
            route = CASE p_verdict WHEN 'queued' THEN 'post' ELSE q.route END,
            next_retry_at = CASE WHEN p_verdict = 'dead' THEN q.next_retry_at
                                 WHEN p_verdict = 'again' AND p_path = 'stream' AND q.route = 'stream'
                                 THEN v_now + v_delay + interval '30 seconds'
                                 ELSE v_now + v_delay END
        WHERE q.queue_id = p_queue_id;
    END IF;
END
$$;
COMMENT ON FUNCTION @extschema@._rule_event_fail(bigint, text, integer, text, integer, integer, integer, timestamptz, text, integer, integer, text, text) IS
    'Internal: ends a lease with a try that failed.';

CREATE OR REPLACE FUNCTION @extschema@._rule_event_release(
    p_queue_id bigint, p_path text, p_webhook_id integer, p_message_id text, p_redelivery integer, p_error text)
RETURNS void LANGUAGE plpgsql
AS $$
DECLARE
    v_now timestamptz := clock_timestamp();
    v_taken_at timestamptz;
    v_refused boolean;
BEGIN
    IF p_queue_id IS NULL THEN
        UPDATE @extschema@.rule_webhook_receipts r SET state = 'waiting', leased_by = NULL, lease_until = NULL
        WHERE r.webhook_id = p_webhook_id AND r.message_id = p_message_id AND r.redelivery = p_redelivery
        RETURNING r.taken_at INTO v_taken_at;
    ELSE
        -- NATS answers and refuses it.
        SELECT q.route = 'publish' AND p_error IS NOT NULL AND q.created_at <= v_now - interval '60 seconds' INTO v_refused
        FROM @extschema@.rule_webhook_queue q WHERE q.queue_id = p_queue_id;
        UPDATE @extschema@.rule_webhook_queue q
        SET status = 'pending', leased_by = NULL, lease_until = NULL,
            route = CASE WHEN v_refused THEN 'post' ELSE q.route END,
            error_message = coalesce(p_error, q.error_message),
            next_retry_at = CASE WHEN p_path = 'stream' AND q.route = 'stream' THEN v_now + interval '30 seconds'
                                 WHEN q.route = 'publish' AND p_error IS NOT NULL AND NOT v_refused THEN v_now + interval '1 second'
                                 ELSE q.next_retry_at END
        WHERE q.queue_id = p_queue_id
        RETURNING CASE WHEN q.route <> 'publish' THEN q.started_at END INTO v_taken_at;
        IF v_refused THEN
            -- It refuses those of its subject, and one by one they would hold up the other webhooks' for long.
            UPDATE @extschema@.rule_webhook_queue q SET route = 'post', error_message = p_error
            WHERE q.ctid = ANY (ARRAY(
                -- A range, which the webhook's own index alone has in this order.
                SELECT r.ctid FROM @extschema@.rule_webhook_queue r
                WHERE r.webhook_id BETWEEN p_webhook_id AND p_webhook_id AND r.route = 'publish' AND r.status = 'pending'
                  AND r.created_at <= v_now - interval '60 seconds'
                ORDER BY r.webhook_id, r.queue_id LIMIT 1000 FOR UPDATE SKIP LOCKED));
        END IF;
    END IF;
    PERFORM @extschema@._rule_breaker_pass_on(p_webhook_id, v_taken_at);
END
$$;
COMMENT ON FUNCTION @extschema@._rule_event_release(bigint, text, integer, text, integer, text) IS
    'Internal: gives back an event without counting a try.';

CREATE OR REPLACE FUNCTION @extschema@._rule_queue_row_published(p_queue_id bigint)
RETURNS void LANGUAGE plpgsql
AS $$
BEGIN
    -- The row stays as the receipt. The stream may have taken it for a double of a publish that rolled back: then the
    -- queue steps in.
    UPDATE @extschema@.rule_webhook_queue q
    SET status = 'pending', route = 'stream', leased_by = NULL, lease_until = NULL, error_message = NULL,
        next_retry_at = clock_timestamp() + interval '30 seconds'
    WHERE q.queue_id = p_queue_id;
END
$$;
COMMENT ON FUNCTION @extschema@._rule_queue_row_published(bigint) IS
    'Internal: leaves an event to the stream, which has it now.';

CREATE OR REPLACE FUNCTION @extschema@._rule_queue_row_post(p_queue_id bigint, p_error text)
RETURNS void LANGUAGE plpgsql
AS $$
BEGIN
    UPDATE @extschema@.rule_webhook_queue q
    SET status = 'pending', route = 'post', leased_by = NULL, lease_until = NULL, error_message = p_error,
        next_retry_at = clock_timestamp()
    WHERE q.queue_id = p_queue_id;
END
$$;
COMMENT ON FUNCTION @extschema@._rule_queue_row_post(bigint, text) IS
    'Internal: leaves to its endpoint an event that NATS can never take.';
