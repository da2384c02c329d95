-- Events that this database delivers itself.

CREATE OR REPLACE FUNCTION @extschema@.rule_webhook_enqueue(
    p_webhook_id integer, p_payload jsonb, p_rule_name text DEFAULT NULL, p_scheduled_at timestamptz DEFAULT now())
RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_enabled boolean;
    v_limited boolean;
    v_full text;
    v_order_key text[];
    v_queue_id bigint;
BEGIN
    IF @extschema@._rule_publish_off() THEN
        RETURN NULL;
    END IF;
    SELECT w.enabled, w.queue_max_events IS NOT NULL OR w.queue_max_bytes IS NOT NULL
                      OR s.queue_max_events IS NOT NULL OR s.queue_max_bytes IS NOT NULL, w.order_key
    INTO v_enabled, v_limited, v_order_key
    FROM @extschema@.rule_webhooks w LEFT JOIN @extschema@.rule_engine_settings s ON true
    WHERE w.webhook_id = p_webhook_id;
    IF NOT FOUND THEN
        PERFORM @extschema@._rule_no_such_webhook(p_webhook_id);
    ELSIF p_payload IS NULL THEN
        PERFORM @extschema@._rule_refuse('payload must not be NULL',
            'Give a JSON value; JSON''s own null is ''null''::jsonb.', '22004');
    ELSIF NOT isfinite(p_scheduled_at) THEN
        PERFORM @extschema@._rule_refuse('p_scheduled_at must be finite', 'Give a time at which the event is to be delivered, or leave it out.');
    ELSIF octet_length(p_rule_name) > 255 THEN
        PERFORM @extschema@._rule_refuse('p_rule_name is too long', 'Give a name of at most 255 bytes, or leave it out.');
    ELSIF current_setting('transaction_read_only')::boolean THEN
        PERFORM @extschema@._rule_refuse('cannot publish in a read-only transaction', 'Publish in a transaction that is READ WRITE, on the primary.', '25006');
    ELSIF NOT v_enabled THEN
        RETURN NULL;
    ELSIF @extschema@._rule_payload_text(p_payload, @extschema@._rule_payload_accepted()) IS NULL THEN
        PERFORM @extschema@._rule_refuse(
            format('the payload has more than %s bytes as text', @extschema@._rule_payload_accepted()),
            'Send a reference to what is large, and let the receiver fetch it.', '54000');
    END IF;
    IF v_limited THEN
        v_full := @extschema@._rule_queue_full(p_webhook_id, pg_column_size(p_payload));
        IF v_full IS NOT NULL THEN
            PERFORM @extschema@._rule_refuse(v_full,
                'Let workers deliver what waits, or raise the limit; see webhook_queue_fill.', '53400');
        END IF;
    END IF;
    INSERT INTO @extschema@.rule_webhook_queue (webhook_id, message_id, payload, rule_name, next_retry_at, order_key)
    VALUES (p_webhook_id, gen_random_uuid()::text, p_payload, p_rule_name, coalesce(p_scheduled_at, now()),
            @extschema@._rule_order_value(p_payload #>> v_order_key))
    RETURNING queue_id INTO v_queue_id;
    RETURN v_queue_id;
END
$$;
COMMENT ON FUNCTION @extschema@.rule_webhook_enqueue(integer, jsonb, text, timestamptz) IS
    'Puts an event into the queue, to be delivered at p_scheduled_at or soon after. Returns its queue id, NULL when the webhook is disabled or rule_engine.publish is off. Raises 53400 when the queue is full.';

CREATE OR REPLACE FUNCTION @extschema@.rule_webhook_call_status(p_call_id bigint)
RETURNS json LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_status json;
BEGIN
    SELECT json_build_object(
        'call_id', q.queue_id, 'webhook_id', q.webhook_id, 'webhook_name', w.webhook_name, 'message_id', q.message_id,
        'status', q.status, 'retry_count', q.retry_count,
        'next_retry_at', CASE WHEN q.status = 'pending' AND isfinite(q.next_retry_at) THEN q.next_retry_at END, 'rule_name', q.rule_name,
        'response_status', q.response_status, 'error_message', q.error_message,
        'created_at', q.created_at, 'started_at', q.started_at, 'completed_at', q.completed_at)
    INTO v_status
    FROM @extschema@.rule_webhook_queue q LEFT JOIN @extschema@.rule_webhooks w ON w.webhook_id = q.webhook_id
    WHERE q.queue_id = p_call_id;
    IF v_status IS NULL THEN
        PERFORM @extschema@._rule_refuse(
            CASE WHEN p_call_id IS NULL THEN 'call id must not be NULL' ELSE format('call %s does not exist', p_call_id) END,
            'Give a queue_id that rule_webhook_enqueue() or rule_webhook_call_unified() returned.',
            CASE WHEN p_call_id IS NULL THEN '22004' ELSE '42704' END);
    END IF;
    RETURN v_status;
END
$$;
COMMENT ON FUNCTION @extschema@.rule_webhook_call_status(bigint) IS
    'What became of a queued event.';
