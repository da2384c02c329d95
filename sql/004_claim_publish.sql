-- What NATS could not take goes back to it in the order in which it was accepted: per configuration to one worker at a
-- time, and to no second one while the first still has rows.

CREATE OR REPLACE FUNCTION @extschema@._rule_claim_publish(
    p_consumer text, p_limit integer, p_streams text[], OUT ids bigint[], OUT unanswered_ms bigint[])
LANGUAGE plpgsql
AS $$
DECLARE
    v_now timestamptz := clock_timestamp();
    v_config_id integer;
    v_half_window interval;
    v_due bigint[];
    v_unanswered bigint[];
BEGIN
    ids := '{}';
    unanswered_ms := '{}';
    -- The row lock makes the next worker see the leases that this one takes.
    FOR v_config_id, v_half_window IN
        SELECT c.config_id,
               (SELECT make_interval(secs => coalesce(min(s.duplicate_window_seconds), 120) / 2.0)
                FROM @extschema@.rule_nats_streams s WHERE s.config_id = c.config_id AND s.stream_name = c.stream_name)
        FROM @extschema@.rule_nats_config c
        WHERE c.enabled AND c.jetstream_enabled AND c.stream_name = ANY (p_streams)
          AND EXISTS (SELECT FROM @extschema@.rule_webhook_queue q WHERE q.route = 'publish' AND q.status = 'pending')
        ORDER BY c.config_id FOR NO KEY UPDATE OF c SKIP LOCKED
    LOOP
        EXIT WHEN cardinality(ids) >= p_limit;
        -- Whoever has them, a worker of this name that was killed included. What is still leased after its time is locked by
        -- a transaction that changes it, which nobody else waits for.
        CONTINUE WHEN EXISTS (
            SELECT FROM @extschema@.rule_webhook_queue q
            JOIN @extschema@.rule_webhooks w ON w.webhook_id = q.webhook_id
            WHERE q.route = 'publish' AND q.status = 'processing' AND q.lease_until > v_now
              AND @extschema@._rule_config_of(w.nats_config_id) = v_config_id);
        WITH oldest AS (
            SELECT q.queue_id, q.next_retry_at
            FROM @extschema@.rule_webhook_queue q
            JOIN @extschema@.rule_webhooks w ON w.webhook_id = q.webhook_id
            WHERE q.route = 'publish' AND q.status = 'pending' AND w.enabled
              AND w.nats_enabled AND w.nats_subject IS NOT NULL AND w.publish_mode <> 'queue'
              AND @extschema@._rule_config_of(w.nats_config_id) = v_config_id
            ORDER BY q.queue_id LIMIT p_limit - cardinality(ids)
            FOR UPDATE OF q SKIP LOCKED),
        prefix AS (
            -- A row that must wait holds up those behind it.
            SELECT o.queue_id, bool_and(o.next_retry_at <= v_now) OVER (ORDER BY o.queue_id) AS due FROM oldest o)
        SELECT coalesce(array_agg(p.queue_id ORDER BY p.queue_id), '{}') INTO v_due FROM prefix p WHERE p.due;
        -- An earlier publish of the event can have been delivered before this row was there.
        UPDATE @extschema@.rule_webhook_queue q SET status = 'success', completed_at = r.done_at
        FROM @extschema@.rule_webhook_receipts r
        WHERE q.queue_id = ANY (v_due) AND r.state = 'done'
          AND r.webhook_id = q.webhook_id AND r.message_id = q.message_id AND r.redelivery = q.redelivery;
        WITH before AS (
            -- What was sent and not answered may be in the stream, which soon does not know its id any more.
            SELECT q.queue_id,
                   CASE WHEN q.created_at <= v_now - v_half_window
                             AND (q.started_at IS NOT NULL OR EXISTS (
                                 SELECT FROM @extschema@.rule_nats_publish_history h
                                 WHERE h.webhook_id = q.webhook_id AND h.message_id = q.message_id AND h.unknown))
                        THEN ceil(extract(epoch FROM v_now - q.created_at) * 1000)::bigint END AS unanswered_ms
            FROM @extschema@.rule_webhook_queue q WHERE q.queue_id = ANY (v_due)),
        taken AS (
            UPDATE @extschema@.rule_webhook_queue q
            SET status = 'processing', leased_by = p_consumer, lease_until = v_now + interval '60 seconds', started_at = v_now
            FROM before WHERE q.queue_id = before.queue_id AND q.status = 'pending'
            RETURNING q.queue_id, before.unanswered_ms)
        SELECT coalesce(array_agg(t.queue_id), '{}'), coalesce(array_agg(t.unanswered_ms), '{}')
        INTO v_due, v_unanswered FROM taken t;
        ids := ids || v_due;
        unanswered_ms := unanswered_ms || v_unanswered;
    END LOOP;
END
$$;
COMMENT ON FUNCTION @extschema@._rule_claim_publish(text, integer, text[]) IS
    'Internal: leases the oldest rows that are to be published to NATS again, and says since when one may be in the stream all the same.';
