-- Holds that nobody asked for, and what a hold does to the events that wait.

CREATE OR REPLACE FUNCTION @extschema@._rule_webhook_hold(p_webhook_id integer, p_reason text)
RETURNS void LANGUAGE plpgsql
AS $$
BEGIN
    WITH mine AS (
        -- Who changes the webhook in this moment is not waited for: the next report finds the same.
        SELECT w.webhook_id FROM @extschema@.rule_webhooks w
        WHERE w.webhook_id = p_webhook_id AND w.held_since IS NULL FOR UPDATE SKIP LOCKED)
    UPDATE @extschema@.rule_webhooks w SET held_reason = p_reason, held_since = clock_timestamp()
    FROM mine WHERE w.webhook_id = mine.webhook_id;
END
$$;
COMMENT ON FUNCTION @extschema@._rule_webhook_hold(integer, text) IS
    'Internal: holds a webhook by what its endpoint answers.';

CREATE OR REPLACE FUNCTION @extschema@._rule_webhooks_held()
RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- NOTIFY fails when nobody reads the server's queue of them, and with it the report that brought the hold.
    IF pg_notification_queue_usage() < 0.5 THEN
        PERFORM pg_notify('rule_engine_held', NEW.webhook_id::text);
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION @extschema@._rule_webhooks_held() IS
    'Internal trigger: tells who listens on rule_engine_held which webhook is held from now on.';

CREATE OR REPLACE TRIGGER rule_webhooks_held
    AFTER UPDATE ON @extschema@.rule_webhooks FOR EACH ROW
    WHEN (OLD.held_since IS NULL AND NEW.held_since IS NOT NULL)
    EXECUTE FUNCTION @extschema@._rule_webhooks_held();

CREATE OR REPLACE FUNCTION @extschema@._rule_holds_expire(p_limit integer)
RETURNS integer LANGUAGE plpgsql
AS $$
DECLARE
    v_now timestamptz := clock_timestamp();
    v_held record;
    v_ended integer := 0;
    v_rows integer;
BEGIN
    FOR v_held IN
        SELECT w.webhook_id, w.hold_for, d.first, d.last
        FROM @extschema@.rule_webhooks w
        -- When it was due, it began to wait for the endpoint; what is parked for its turn in its key, when it came.
        CROSS JOIN LATERAL (VALUES ('-infinity'::timestamptz, v_now - w.hold_for), ('infinity', 'infinity')) AS d (first, last)
        WHERE w.held_since IS NOT NULL AND w.held_since <= v_now - w.hold_for
    LOOP
        WITH old AS (
            SELECT q.queue_id FROM @extschema@.rule_webhook_queue q
            WHERE q.webhook_id + 0 = v_held.webhook_id AND q.status = 'pending'
              AND q.next_retry_at BETWEEN v_held.first AND v_held.last AND q.created_at <= v_now - v_held.hold_for
            ORDER BY q.next_retry_at LIMIT p_limit - v_ended FOR UPDATE SKIP LOCKED)
        UPDATE @extschema@.rule_webhook_queue q
        SET status = 'failed', completed_at = v_now, error_message = format('expired: held for longer than %s', v_held.hold_for)
        FROM old WHERE q.queue_id = old.queue_id;
        GET DIAGNOSTICS v_rows = ROW_COUNT;
        v_ended := v_ended + v_rows;
        EXIT WHEN v_ended >= p_limit;
    END LOOP;
    RETURN v_ended;
END
$$;
COMMENT ON FUNCTION @extschema@._rule_holds_expire(integer) IS
    'Internal: ends events that waited for a held webhook for longer than its hold_for, at most so many, and says how many.';

CREATE OR REPLACE FUNCTION @extschema@._rule_event_set_aside(
    p_webhook_id integer, p_message_id text, p_base64 text, p_due timestamptz,
    OUT verdict text, OUT wait_ms integer, OUT reason text)
LANGUAGE plpgsql
AS $$
DECLARE
    v_receipt @extschema@.rule_webhook_receipts;
BEGIN
    -- Nobody else makes it: the event's lock is ours.
    INSERT INTO @extschema@.rule_webhook_receipts (webhook_id, message_id, state, taken_at)
    VALUES (p_webhook_id, p_message_id, 'waiting', clock_timestamp()) ON CONFLICT DO NOTHING;
    SELECT r.* INTO v_receipt FROM @extschema@.rule_webhook_receipts r
    WHERE r.webhook_id = p_webhook_id AND r.message_id = p_message_id AND r.redelivery = 0
    FOR UPDATE SKIP LOCKED;
    IF NOT FOUND THEN
        verdict := 'wait';
        wait_ms := 1000;
        reason := 'another worker is taking it';
        RETURN;
    END IF;
    -- A lease that is still there has run out.
    UPDATE @extschema@.rule_webhook_receipts r
    SET state = 'waiting', leased_by = NULL, lease_until = NULL, lease_losses = r.lease_losses + 1
    WHERE r.webhook_id = p_webhook_id AND r.message_id = p_message_id AND r.redelivery = 0 AND r.state = 'leased';
    SELECT m.verdict, m.wait_ms, m.reason INTO verdict, wait_ms, reason
    FROM @extschema@._rule_event_move(p_webhook_id, p_message_id, 0, v_receipt.retry_count, v_receipt.refusals,
        v_receipt.first_tried_at, p_base64,
        -- What kills its workers must not stay in the stream.
        CASE WHEN v_receipt.lease_losses + (v_receipt.state = 'leased')::integer >= 3 THEN 'queued' ELSE 'aside' END,
        0, NULL, NULL, NULL) m;
    IF verdict = 'queued' AND p_due IS NOT NULL THEN
        UPDATE @extschema@.rule_webhook_queue q SET next_retry_at = p_due, created_at = least(q.created_at, p_due)
        WHERE q.webhook_id = p_webhook_id AND q.message_id = p_message_id AND q.redelivery = 0 AND q.status = 'pending';
    END IF;
    IF verdict = 'dead' THEN
        verdict := 'drop';
        reason := 'dead letter: ' || reason;
    ELSIF verdict = 'again' THEN
        verdict := 'wait';
    END IF;
END
$$;
COMMENT ON FUNCTION @extschema@._rule_event_set_aside(integer, text, text, timestamptz) IS
    'Internal: moves an event of the stream that cannot be sent for long into the queue, untried. It has been due since then, NULL is now.';
