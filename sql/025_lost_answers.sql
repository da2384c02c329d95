-- A call can commit and its answer be lost, with the connection. Nobody died of that, and nobody need wait for the lease.

-- A worker names the claims whose answers it never got. By their numbers: one that the server was slow to begin may run
-- while the worker goes on with others.
CREATE OR REPLACE FUNCTION @extschema@._rule_claims_unanswered(p_consumer text, p_calls bigint[])
RETURNS void LANGUAGE plpgsql
AS $$
BEGIN
    PERFORM @extschema@._rule_event_release(mine.queue_id, 'queue', mine.webhook_id, mine.message_id, mine.redelivery, NULL)
    FROM (SELECT q.queue_id, q.webhook_id, q.message_id, q.redelivery FROM @extschema@.rule_webhook_queue q
          WHERE q.status = 'processing' AND q.lease_until IS NOT NULL AND q.leased_by = p_consumer AND q.lease_call = ANY (p_calls)
          ORDER BY q.webhook_id, q.message_id, q.redelivery FOR UPDATE SKIP LOCKED) mine;
END
$$;
COMMENT ON FUNCTION @extschema@._rule_claims_unanswered(text, bigint[]) IS
    'Internal: gives back, untried, what a worker was leased and never told of.';

-- A lease names the message that it was given for, and a worker has a message in hand once: so the answer can be given again.
-- The event's lock keeps the row's copy from being claimed when the lease has run out meanwhile. Who has it may be that very
-- call, and what it does is not seen yet: such a message (try NULL) is not judged now. What is held or disabled by now is
-- judged as any other.
CREATE OR REPLACE FUNCTION @extschema@._rule_admitted_before(p_consumer text, p_messages jsonb, p_room integer)
RETURNS TABLE (n integer, try integer) LANGUAGE plpgsql
AS $$
#variable_conflict use_column
DECLARE
    v_now timestamptz := clock_timestamp();
    v record;
BEGIN
    FOR v IN
        SELECT m.n, m.webhook_id, m.message_id, m.stream, m.sequence, @extschema@._rule_lease(w.timeout_ms) AS lease
        FROM @extschema@._rule_worker_messages(p_messages) m
        JOIN @extschema@.rule_webhooks w ON w.webhook_id = m.webhook_id
        WHERE m.n <= p_room AND p_messages -> (m.n - 1) -> 'repeated' = 'true' AND m.problem IS NULL
          AND w.enabled AND w.held_since IS NULL
    LOOP
        n := v.n;
        try := NULL;
        IF NOT @extschema@._rule_event_lock(v.webhook_id, v.message_id, 0) THEN
            RETURN NEXT;
            CONTINUE;
        END IF;
        WITH mine AS (
            SELECT r.ctid AS place FROM @extschema@.rule_webhook_receipts r
            WHERE r.webhook_id = v.webhook_id AND r.message_id = v.message_id AND r.redelivery = 0 AND r.state = 'leased'
              AND r.leased_by = p_consumer AND r.stream = v.stream AND r.sequence = v.sequence
            FOR UPDATE SKIP LOCKED)
        UPDATE @extschema@.rule_webhook_receipts r SET lease_until = v_now + v.lease
        FROM mine WHERE r.ctid = mine.place RETURNING r.retry_count + 1 INTO try;
        IF try IS NULL THEN
            WITH mine AS (
                SELECT q.ctid AS place FROM @extschema@.rule_webhook_queue q
                WHERE q.webhook_id = v.webhook_id AND q.message_id = v.message_id AND q.redelivery = 0 AND q.status = 'processing'
                  AND q.leased_by = p_consumer AND q.lease_call = -v.sequence
                FOR UPDATE SKIP LOCKED)
            UPDATE @extschema@.rule_webhook_queue q SET lease_until = v_now + v.lease
            FROM mine WHERE q.ctid = mine.place RETURNING q.retry_count + 1 INTO try;
        END IF;
        IF try IS NOT NULL THEN
            RETURN NEXT;
        END IF;
    END LOOP;
END
$$;
COMMENT ON FUNCTION @extschema@._rule_admitted_before(text, jsonb, integer) IS
    'Internal: of the first so many messages those that a worker asks about again and that it was to deliver and was never told so, leased anew, and, without a try, those whose event is being taken.';
