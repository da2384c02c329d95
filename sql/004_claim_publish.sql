-- What NATS could not take goes back to it in the order in which it was accepted: per configuration to one worker at a
-- time, and to no second one while the first still has rows.

CREATE OR REPLACE FUNCTION @extschema@._rule_claim_publish(p_consumer text, p_limit integer, p_streams text[])
RETURNS bigint[] LANGUAGE plpgsql
AS $$
DECLARE
    v_now timestamptz := clock_timestamp();
    v_config_id integer;
    v_due bigint[];
    v_ids bigint[] := '{}';
BEGIN
    -- The row lock makes the next worker see the leases that this one takes.
    FOR v_config_id IN
        SELECT c.config_id FROM @extschema@.rule_nats_config c
        WHERE c.enabled AND c.jetstream_enabled AND c.stream_name = ANY (p_streams)
          AND EXISTS (SELECT FROM @extschema@.rule_webhook_queue q WHERE q.route = 'publish' AND q.status = 'pending')
        ORDER BY c.config_id FOR NO KEY UPDATE OF c SKIP LOCKED
    LOOP
        EXIT WHEN cardinality(v_ids) >= p_limit;
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
            ORDER BY q.queue_id LIMIT p_limit - cardinality(v_ids)
            FOR UPDATE OF q SKIP LOCKED),
        prefix AS (
            -- A row that must wait holds up those behind it.
            SELECT o.queue_id, bool_and(o.next_retry_at <= v_now) OVER (ORDER BY o.queue_id) AS due FROM oldest o)
        SELECT coalesce(array_agg(p.queue_id ORDER BY p.queue_id), '{}') INTO v_due FROM prefix p WHERE p.due;
        UPDATE @extschema@.rule_webhook_queue q
        SET status = 'processing', leased_by = p_consumer, lease_until = v_now + interval '60 seconds', started_at = v_now
        WHERE q.queue_id = ANY (v_due);
        v_ids := v_ids || v_due;
    END LOOP;
    RETURN v_ids;
END
$$;
COMMENT ON FUNCTION @extschema@._rule_claim_publish(text, integer, text[]) IS
    'Internal: leases the oldest rows that are to be published to NATS again.';
