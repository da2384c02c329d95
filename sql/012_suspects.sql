-- An event whose workers died three times may be what kills them. It is run alone, so that its neighbours are not taken for
-- it, and so that it takes none of them along.

CREATE OR REPLACE FUNCTION @extschema@._rule_claim_suspect(p_consumer text, p_now timestamptz, p_call bigint, OUT alone boolean, OUT rows bigint[])
LANGUAGE plpgsql
AS $$
DECLARE
    v_id bigint;
    v_due boolean;
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
    -- The first one is waited for, if not for long: until then the others have their turn.
    SELECT q.queue_id, q.next_retry_at <= p_now INTO v_id, v_due
    FROM @extschema@.rule_webhook_queue q JOIN @extschema@.rule_webhooks w ON w.webhook_id = q.webhook_id
    WHERE q.lease_losses >= 3 AND q.status = 'pending' AND q.route <> 'publish' AND q.next_retry_at <= p_now + interval '30 seconds'
      AND w.enabled AND w.held_since IS NULL
      AND NOT EXISTS (SELECT FROM @extschema@.rule_webhook_endpoints e WHERE e.webhook_id = w.webhook_id AND e.open_until > p_now)
      AND CASE WHEN q.paced THEN w.webhook_id <> ALL ((SELECT @extschema@._rule_limits_reached(p_now, true))::integer[])
               ELSE w.webhook_id <> ALL ((SELECT @extschema@._rule_limits_reached(p_now, false))::integer[]) END
    ORDER BY q.queue_id LIMIT 1 FOR UPDATE OF q SKIP LOCKED;
    IF v_due IS NOT TRUE THEN
        RETURN;
    END IF;
    alone := true;
    -- Until what it has of the queue is reported, the worker gets nothing.
    IF NOT EXISTS (SELECT FROM @extschema@.rule_webhook_queue q
                   WHERE q.lease_until IS NOT NULL AND q.status = 'processing' AND q.leased_by = p_consumer AND q.route <> 'publish') THEN
        rows := @extschema@._rule_due_rows_take(
            p_consumer, (SELECT p.rows FROM @extschema@._rule_due_rows_pass(ARRAY[v_id], 2) p), p_now, p_call);
    END IF;
END
$$;
COMMENT ON FUNCTION @extschema@._rule_claim_suspect(text, timestamptz, bigint) IS
    'Internal: leases an event that is to be run alone, and says whether the worker gets nothing else now.';

-- A worker that died may leave hundreds of them, and all else would wait until the last one has been run.
CREATE OR REPLACE FUNCTION @extschema@._rule_suspect_ended()
RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_turn timestamptz := clock_timestamp() + least(interval '30 seconds', clock_timestamp() - OLD.started_at);
BEGIN
    WITH next AS (
        SELECT q.queue_id FROM @extschema@.rule_webhook_queue q
        WHERE q.lease_losses >= 3 AND q.status = 'pending' AND q.route <> 'publish' AND q.next_retry_at < v_turn
        ORDER BY q.queue_id LIMIT 1 FOR UPDATE SKIP LOCKED)
    UPDATE @extschema@.rule_webhook_queue q SET next_retry_at = v_turn FROM next WHERE q.queue_id = next.queue_id;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION @extschema@._rule_suspect_ended() IS
    'Internal trigger: after an event that was run alone, lets the next such one wait for as long as that took.';

CREATE OR REPLACE TRIGGER rule_webhook_queue_suspect_ended
    AFTER UPDATE OF status ON @extschema@.rule_webhook_queue
    FOR EACH ROW WHEN (OLD.lease_losses >= 3 AND OLD.status = 'processing' AND NEW.status <> 'processing')
    EXECUTE FUNCTION @extschema@._rule_suspect_ended();
