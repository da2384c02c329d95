-- An endpoint that is to be left alone for a while. Events are accepted, to the queue and to NATS, and wait.

CREATE OR REPLACE FUNCTION @extschema@._rule_webhooks_held_check()
RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- 0.1.0 took it from a hand, and its dump has to be restorable.
    IF TG_OP = 'INSERT' AND NOT isfinite(NEW.held_since) THEN
        NEW.held_since := clock_timestamp();
    END IF;
    IF (NEW.held_reason IS NULL) <> (NEW.held_since IS NULL) THEN
        PERFORM @extschema@._rule_refuse('held_reason and held_since belong together',
            'Use rule_webhook_hold() and rule_webhook_resume().');
    ELSIF NOT isfinite(NEW.held_since) THEN
        PERFORM @extschema@._rule_refuse('held_since must be finite', 'Use rule_webhook_hold(), which sets it.');
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION @extschema@._rule_webhooks_held_check() IS
    'Internal trigger: refuses half a hold before a CHECK can print the row, and one of no length.';

CREATE OR REPLACE TRIGGER rule_webhooks_held_check
    BEFORE INSERT OR UPDATE ON @extschema@.rule_webhooks
    FOR EACH ROW EXECUTE FUNCTION @extschema@._rule_webhooks_held_check();

CREATE OR REPLACE FUNCTION @extschema@.rule_webhook_hold(p_webhook_id integer, p_reason text)
RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF p_reason IS NULL OR btrim(p_reason) = '' OR octet_length(p_reason) > 1000 THEN
        PERFORM @extschema@._rule_refuse('a hold needs a reason',
            'Say in at most 1000 bytes why, such as ''maintenance at the receiver''; webhook_status_summary shows it.',
            CASE WHEN p_reason IS NULL THEN '22004' ELSE '22023' END);
    END IF;
    UPDATE @extschema@.rule_webhooks w SET held_reason = p_reason, held_since = coalesce(w.held_since, clock_timestamp())
    WHERE w.webhook_id = p_webhook_id;
    IF NOT FOUND THEN
        PERFORM @extschema@._rule_no_such_webhook(p_webhook_id);
    END IF;
    RETURN true;
END
$$;
COMMENT ON FUNCTION @extschema@.rule_webhook_hold(integer, text) IS
    'Delivers nothing to a webhook until rule_webhook_resume(). Events are accepted and wait; what a worker is sending ends as it does.';

CREATE OR REPLACE FUNCTION @extschema@.rule_webhook_resume(p_webhook_id integer, p_per_second integer DEFAULT 100)
RETURNS integer LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_now timestamptz;
    v_held_since timestamptz;
    v_events integer;
BEGIN
    PERFORM @extschema@._rule_check_range(coalesce(p_per_second, 100), 1, 1000000, 'p_per_second');
    SELECT w.held_since INTO v_held_since FROM @extschema@.rule_webhooks w WHERE w.webhook_id = p_webhook_id FOR UPDATE;
    IF NOT FOUND THEN
        PERFORM @extschema@._rule_no_such_webhook(p_webhook_id);
    ELSIF v_held_since IS NULL THEN
        RETURN 0;
    END IF;
    v_now := clock_timestamp();
    UPDATE @extschema@.rule_webhooks w
    SET held_reason = NULL, held_since = NULL, resumed_at = v_now, resume_per_second = coalesce(p_per_second, 100)
    WHERE w.webhook_id = p_webhook_id;
    SELECT count(*) INTO v_events FROM @extschema@.rule_webhook_queue q
    WHERE q.webhook_id + 0 = p_webhook_id AND q.status = 'pending' AND (q.next_retry_at <= v_now OR q.next_retry_at = 'infinity')
      AND q.route <> 'publish';
    IF v_events > 0 THEN
        PERFORM @extschema@._rule_queue_wake();
    END IF;
    RETURN v_events;
END
$$;
COMMENT ON FUNCTION @extschema@.rule_webhook_resume(integer, integer) IS
    'Delivers to a held webhook again, what waits by now, in the queue or a stream, at so many a second, 100 by default (but for what goes to NATS again). Returns how many queued events that sets going, 0 when it was not held.';
