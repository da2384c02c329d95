-- An event whose workers died three times may be what kills them. It is run alone, so that its neighbours are not taken for
-- it, and so that it takes none of them along.

CREATE OR REPLACE FUNCTION @extschema@._rule_claim_suspect(p_consumer text, p_now timestamptz, OUT alone boolean, OUT rows bigint[])
LANGUAGE plpgsql
AS $$
DECLARE
    v_id bigint;
BEGIN
    alone := false;
    rows := '{}';
    IF NOT EXISTS (SELECT FROM @extschema@.rule_webhook_queue q
                   WHERE q.lease_losses >= 3 AND q.status IN ('pending', 'processing')) THEN
        RETURN;
    END IF;
    alone := EXISTS (SELECT FROM @extschema@.rule_webhook_queue q
                     WHERE q.lease_losses >= 3 AND q.status = 'processing' AND q.leased_by = p_consumer);
    IF alone THEN
        RETURN;
    END IF;
    SELECT q.queue_id INTO v_id
    FROM @extschema@.rule_webhook_queue q JOIN @extschema@.rule_webhooks w ON w.webhook_id = q.webhook_id
    WHERE q.lease_losses >= 3 AND q.status = 'pending' AND q.route <> 'publish' AND q.next_retry_at <= p_now
      AND w.enabled AND w.held_since IS NULL
      AND NOT EXISTS (SELECT FROM @extschema@.rule_webhook_endpoints e WHERE e.webhook_id = w.webhook_id AND e.open_until > p_now)
    ORDER BY q.queue_id LIMIT 1 FOR UPDATE OF q SKIP LOCKED;
    IF v_id IS NULL THEN
        RETURN;
    END IF;
    alone := true;
    -- Until what it has of the queue is reported, the worker gets nothing.
    IF NOT EXISTS (SELECT FROM @extschema@.rule_webhook_queue q
                   WHERE q.status = 'processing' AND q.leased_by = p_consumer AND q.route <> 'publish') THEN
        rows := @extschema@._rule_due_rows_take(p_consumer, @extschema@._rule_due_rows_pass(ARRAY[v_id]), p_now);
    END IF;
END
$$;
COMMENT ON FUNCTION @extschema@._rule_claim_suspect(text, timestamptz) IS
    'Internal: leases an event that is to be run alone, and says whether the worker gets nothing else now.';
