-- From the stream into the queue, to wait longer than a stream should hold it or for good: row, attempt and the end of
-- the receipt in one transaction, before the worker acks.

CREATE OR REPLACE FUNCTION @extschema@._rule_events_published_at(p_webhook_ids integer[], p_message_ids text[])
RETURNS timestamptz[] LANGUAGE plpgsql
AS $$
DECLARE
    -- A row lies with the day of its publish, and most messages are not old: ten look-ups each would cost more than the move.
    v_today smallint := @extschema@._rule_slot(0);
    v_yesterday smallint := @extschema@._rule_slot(86400000);
    v_published timestamptz[];
BEGIN
    SELECT array_agg((SELECT min(h.published_at) FROM @extschema@.rule_nats_publish_history h
                      WHERE h.slot IN (v_today, v_yesterday) AND h.webhook_id = e.webhook_id AND h.message_id = e.message_id
                        AND (h.success OR h.unknown)) ORDER BY e.n)
    INTO v_published FROM unnest(p_webhook_ids, p_message_ids) WITH ORDINALITY AS e (webhook_id, message_id, n);
    IF array_position(v_published, NULL) IS NULL THEN
        RETURN v_published;
    END IF;
    SELECT array_agg(CASE WHEN e.published_at IS NOT NULL THEN e.published_at ELSE (
                         SELECT min(h.published_at) FROM @extschema@.rule_nats_publish_history h
                         WHERE h.webhook_id = e.webhook_id AND h.message_id = e.message_id AND (h.success OR h.unknown)) END ORDER BY e.n)
    INTO v_published
    FROM unnest(p_webhook_ids, p_message_ids, v_published) WITH ORDINALITY AS e (webhook_id, message_id, published_at, n);
    RETURN v_published;
END
$$;
COMMENT ON FUNCTION @extschema@._rule_events_published_at(integer[], text[]) IS
    'Internal: when events of a stream were published, NULL where the history does not know.';

CREATE OR REPLACE FUNCTION @extschema@._rule_event_store(
    p_webhook_id integer, p_message_id text, p_redelivery integer, p_tries integer, p_refusals integer,
    p_first_tried_at timestamptz, p_bytes bytea, p_json jsonb,
    p_dead boolean, p_delay_ms integer, p_status integer, p_error text, p_answer text)
RETURNS boolean LANGUAGE plpgsql
-- An application that publishes the same message id again, and has not ended, is not waited for: a batch may hold hundreds
-- of its ids, and a worker waits 15 s for a call.
SET lock_timeout = '20ms'
AS $$
DECLARE
    v_now timestamptz := clock_timestamp();
BEGIN
    INSERT INTO @extschema@.rule_webhook_queue AS q
        (webhook_id, message_id, redelivery, payload, payload_bytes, status, retry_count, refusals, first_tried_at, next_retry_at,
         response_status, error_message, last_answer, started_at, completed_at, created_at, lease_losses)
    SELECT p_webhook_id, p_message_id, p_redelivery, p_json, CASE WHEN p_json IS NULL THEN p_bytes END,
           CASE WHEN p_dead THEN 'failed' ELSE 'pending' END, p_tries, p_refusals, p_first_tried_at,
           v_now + make_interval(secs => p_delay_ms / 1000.0),
           p_status, p_error, p_answer, v_now, CASE WHEN p_dead THEN v_now END,
           -- When it was accepted, as in every row: a redelivery of that time has to find it.
           coalesce((@extschema@._rule_events_published_at(ARRAY[p_webhook_id], ARRAY[p_message_id]))[1], r.taken_at),
           -- A try that was reported let its worker live.
           CASE WHEN p_tries > r.retry_count THEN 0 ELSE r.lease_losses END
    FROM @extschema@.rule_webhook_receipts r
    WHERE r.webhook_id = p_webhook_id AND r.message_id = p_message_id AND r.redelivery = p_redelivery
    -- The same event was published again and has a row of its own by now, which goes on from here.
    ON CONFLICT (webhook_id, message_id, redelivery) DO UPDATE
    SET status = excluded.status, retry_count = excluded.retry_count, refusals = excluded.refusals,
        first_tried_at = excluded.first_tried_at, lease_losses = excluded.lease_losses, route = 'post',
        next_retry_at = excluded.next_retry_at, response_status = excluded.response_status,
        error_message = excluded.error_message, last_answer = excluded.last_answer, completed_at = excluded.completed_at,
        started_at = excluded.started_at
    WHERE q.status = 'pending';
    DELETE FROM @extschema@.rule_webhook_receipts r
    WHERE r.webhook_id = p_webhook_id AND r.message_id = p_message_id AND r.redelivery = p_redelivery;
    RETURN true;
EXCEPTION WHEN lock_not_available THEN
    RETURN false;
END
$$;
COMMENT ON FUNCTION @extschema@._rule_event_store(integer, text, integer, integer, integer, timestamptz, bytea, jsonb, boolean, integer, integer, text, text) IS
    'Internal: turns a receipt into a queue row, or says that it cannot be done now.';

CREATE OR REPLACE FUNCTION @extschema@._rule_event_move(
    p_webhook_id integer, p_message_id text, p_redelivery integer, p_tries integer, p_refusals integer,
    p_first_tried_at timestamptz, p_base64 text, p_verdict text, p_delay_ms integer, p_status integer, p_error text, p_answer text,
    OUT verdict text, OUT wait_ms integer, OUT reason text)
LANGUAGE plpgsql
AS $$
DECLARE
    v_bytes bytea := @extschema@._rule_payload_bytes(p_base64);
    v_json jsonb := @extschema@._rule_payload_json(v_bytes);
BEGIN
    -- Put aside, an event has not failed: what the queue cannot send waits in the stream, for as long as it lasts.
    IF v_json IS NULL AND p_verdict = 'aside' THEN
        verdict := 'again';
        wait_ms := 5000;
        reason := 'it waits in the stream, since the payload is not JSON';
        RETURN;
    END IF;
    verdict := CASE p_verdict WHEN 'aside' THEN 'queued' ELSE p_verdict END;
    IF v_json IS NULL AND verdict = 'queued' THEN
        -- The queue sends JSON. What is none did not come from SQL.
        verdict := 'dead';
        reason := 'the payload is not JSON';
    END IF;
    IF NOT @extschema@._rule_event_store(p_webhook_id, p_message_id, p_redelivery, p_tries, p_refusals, p_first_tried_at, v_bytes, v_json,
                                         verdict = 'dead', p_delay_ms, p_status, coalesce(reason, p_error), p_answer) THEN
        verdict := 'again';
        wait_ms := 5000;
        reason := 'its message id is in use by an open transaction';
        PERFORM @extschema@._rule_event_fail(NULL, 'stream', p_webhook_id, p_message_id, p_redelivery, p_tries, p_refusals,
                                               p_first_tried_at, verdict, wait_ms, p_status, p_error, p_answer);
    END IF;
END
$$;
COMMENT ON FUNCTION @extschema@._rule_event_move(integer, text, integer, integer, integer, timestamptz, text, text, integer, integer, text, text) IS
    'Internal: moves an event from the stream into the queue.';

CREATE OR REPLACE FUNCTION @extschema@._rule_event_trace(p_webhook_id integer, p_message_id text, p_redelivery integer, p_traceparent text)
RETURNS void LANGUAGE plpgsql
AS $$
BEGIN
    -- As the publisher's setting takes it: workers make a header of it.
    IF p_traceparent ~ '^00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$' AND p_traceparent !~ '^00-(0{32}|.{32}-0{16})-' THEN
        WITH moved AS (
            SELECT q.queue_id FROM @extschema@.rule_webhook_queue q
            WHERE q.webhook_id = p_webhook_id AND q.message_id = p_message_id AND q.redelivery = p_redelivery AND q.traceparent IS NULL
            FOR UPDATE SKIP LOCKED)
        UPDATE @extschema@.rule_webhook_queue q SET traceparent = p_traceparent FROM moved WHERE q.queue_id = moved.queue_id;
    END IF;
END
$$;
COMMENT ON FUNCTION @extschema@._rule_event_trace(integer, text, integer, text) IS
    'Internal: an event that has moved from the stream into the queue goes on with its trace.';
