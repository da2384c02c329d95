-- What nearly all stream messages are: well formed, ours, committed, of a webhook that nothing holds up, and new. They are
-- judged and taken by two statements for all of them. What is anything else is left to the judgement one by one, which
-- finds it as it was.

-- Sound for the same reasons as the long way. The lock of each event comes first, and all that decides is read by one
-- statement that begins later: so what another worker had taken until then is visible, and nobody takes it from then on.
-- One snapshot for queue and receipts, so that an event on its way from one to the other is in either. The row of history
-- is in that snapshot, and with it what its transaction did to the webhook. That no row is there says nothing here.
CREATE OR REPLACE FUNCTION @extschema@._rule_admit_plain(p_consumer text, p_messages jsonb, p_room integer)
RETURNS integer[] LANGUAGE plpgsql
AS $$
DECLARE
    -- Parallel arrays, one member per message that is well formed and whose event is locked.
    v_ns integer[]; v_webhook_ids integer[]; v_message_ids text[]; v_transactions text[]; v_streams text[]; v_sequences bigint[];
    v_ages bigint[];
    v_first smallint;
    v_last smallint;
    v_now timestamptz;
    v_taken integer[];
BEGIN
    -- Each member is read once, and what is of another kind than it should be raises an error (a text that is a number is for
    -- the long way to read).
    SELECT array_agg(m.n), array_agg(m.webhook_id), array_agg(m.message_id), array_agg(m.transaction), array_agg(m.stream),
           array_agg(m.sequence), array_agg(m.age_ms), @extschema@._rule_slot(max(m.age_ms) + 600000), @extschema@._rule_slot(min(m.age_ms) - 600000)
    INTO v_ns, v_webhook_ids, v_message_ids, v_transactions, v_streams, v_sequences, v_ages, v_first, v_last
    FROM (
        SELECT e.n::integer AS n, nullif(e.m -> 'webhook_id', 'null')::integer AS webhook_id, e.m ->> 'message_id' AS message_id,
               e.m ->> 'source_id' AS source_id, e.m ->> 'transaction' AS transaction, e.m ->> 'stream' AS stream,
               (e.m -> 'sequence')::bigint AS sequence, (e.m -> 'age_ms')::bigint AS age_ms, e.m -> 'overflow' AS overflow
        FROM jsonb_array_elements(p_messages) WITH ORDINALITY AS e (m, n)
        WHERE e.n <= p_room
        OFFSET 0) m
    WHERE CASE WHEN m.webhook_id >= 1 AND m.sequence BETWEEN 0 AND 999999999999999 AND m.age_ms BETWEEN 0 AND 999999999999
                    AND m.source_id = (SELECT s.source_id::text FROM @extschema@.rule_engine_source s)
                    AND m.overflow IS DISTINCT FROM 'true'
                    -- What has a row of history has a message id that is well formed.
                    AND m.message_id IS NOT NULL
                    AND (m.transaction IS NOT NULL OR @extschema@._rule_message_id_fits(m.message_id))
          THEN @extschema@._rule_event_lock(m.webhook_id, m.message_id, 0) END;

    v_now := clock_timestamp();
    -- Each look goes by a key and stands for itself, as in _rule_events_take.
    WITH plain AS MATERIALIZED (
        SELECT u.n, u.webhook_id, u.message_id, u.stream, u.sequence, w.timeout_ms
        -- Members of arrays cost a fifth of what rows of unnest() do.
        FROM (SELECT v_ns[i] AS n, v_webhook_ids[i] AS webhook_id, v_message_ids[i] AS message_id,
                     v_transactions[i] AS transaction, v_streams[i] AS stream, v_sequences[i] AS sequence, v_ages[i] AS age_ms
              FROM generate_subscripts(v_ns, 1) i OFFSET 0) u
        CROSS JOIN LATERAL (
            SELECT w.timeout_ms FROM @extschema@.rule_webhooks w
            WHERE w.webhook_id = u.webhook_id AND w.enabled AND w.held_reason IS NULL
              AND w.max_concurrent IS NULL AND w.max_per_second IS NULL
              AND @extschema@._rule_message_waited(u.age_ms, w.resumed_at, v_now) IS NOT TRUE OFFSET 0) w
        WHERE (u.transaction IS NULL OR (
                  SELECT true FROM @extschema@.rule_nats_publish_history h
                  WHERE h.slot IN (v_first, v_last) AND h.webhook_id = u.webhook_id AND h.message_id = u.message_id
                    AND h.transaction::text = u.transaction LIMIT 1))
          AND (SELECT true FROM @extschema@.rule_webhook_queue q
               WHERE q.webhook_id = u.webhook_id AND q.message_id = u.message_id AND q.redelivery = 0) IS NULL
          AND (SELECT true FROM @extschema@.rule_webhook_receipts r
               WHERE r.webhook_id = u.webhook_id AND r.message_id = u.message_id AND r.redelivery = 0) IS NULL
          -- No look for each where no endpoint fails.
          AND (NOT EXISTS (SELECT FROM @extschema@.rule_webhook_endpoints b WHERE b.failing_since IS NOT NULL)
               OR (SELECT true FROM @extschema@.rule_webhook_endpoints b
                   WHERE b.webhook_id = u.webhook_id AND b.failing_since IS NOT NULL AND b.breaker_state <> 'closed') IS NULL)
          AND NOT EXISTS (SELECT FROM @extschema@.rule_webhook_queue q
                          WHERE q.lease_losses >= 3 AND q.status = 'processing' AND q.leased_by = p_consumer AND q.lease_until > v_now)),
    made AS (
        INSERT INTO @extschema@.rule_webhook_receipts
            (webhook_id, message_id, state, leased_by, lease_until, stream, sequence, taken_at)
        SELECT p.webhook_id, p.message_id, 'leased', p_consumer, v_now + @extschema@._rule_lease(p.timeout_ms), p.stream, p.sequence, v_now
        FROM plain p
        ORDER BY p.webhook_id, p.message_id COLLATE "C")
    SELECT array_agg(p.n) INTO v_taken FROM plain p;
    RETURN coalesce(v_taken, '{}');
EXCEPTION
    WHEN unique_violation THEN
        -- Two copies in one batch, or a receipt that another worker makes in this moment.
        RETURN '{}';
    WHEN invalid_parameter_value OR numeric_value_out_of_range THEN
        -- A member that is not well formed.
        RETURN '{}';
END
$$;
COMMENT ON FUNCTION @extschema@._rule_admit_plain(text, jsonb, integer) IS
    'Internal: takes those of the first so many of a batch of stream messages that are plainly to be delivered for the first time, and says which.';
