-- As for the queue: history holds payloads, and attempts hold what endpoints answered.

CREATE OR REPLACE FUNCTION @extschema@._rule_nats_publish_history_check()
RETURNS trigger LANGUAGE plpgsql SECURITY INVOKER
AS $$
DECLARE
    v_missing pg_catalog.text;
BEGIN
    IF NEW.publish_id IS NOT NULL AND NEW.webhook_id IS NOT NULL AND NEW.subject IS NOT NULL
       AND NEW.published_at IS NOT NULL AND NEW.message_id IS NOT NULL AND NEW.success IS NOT NULL
       AND NEW.unknown IS NOT NULL AND NEW.duplicate IS NOT NULL
       AND NEW.slot::pg_catalog.text OPERATOR(pg_catalog.=) pg_catalog.right(TG_TABLE_NAME, 1)
    THEN
        RETURN NEW;
    END IF;
    v_missing := CASE WHEN NEW.publish_id IS NULL THEN 'publish_id' WHEN NEW.webhook_id IS NULL THEN 'webhook_id'
                      WHEN NEW.subject IS NULL THEN 'subject' WHEN NEW.published_at IS NULL THEN 'published_at'
                      WHEN NEW.message_id IS NULL THEN 'message_id' WHEN NEW.success IS NULL THEN 'success'
                      WHEN NEW.unknown IS NULL THEN 'unknown' WHEN NEW.duplicate IS NULL THEN 'duplicate'
                      WHEN NEW.slot IS NULL THEN 'slot' END;
    IF v_missing IS NOT NULL THEN
        RAISE EXCEPTION USING ERRCODE = '22004', MESSAGE = pg_catalog.format('%s must not be NULL', v_missing),
            HINT = 'Give a value, or leave it out where it has a default.';
    END IF;
    RAISE EXCEPTION USING ERRCODE = '22023',
        MESSAGE = pg_catalog.format('a row of slot %s cannot be in %s', NEW.slot, TG_TABLE_NAME),
        HINT = 'Write to rule_nats_publish_history itself, and leave slot as it is.';
END
$$;
COMMENT ON FUNCTION @extschema@._rule_nats_publish_history_check() IS
    'Internal trigger: validates a row of the history before a constraint can print it.';

CREATE OR REPLACE TRIGGER rule_nats_publish_history_check
    BEFORE INSERT OR UPDATE ON @extschema@.rule_nats_publish_history
    FOR EACH ROW EXECUTE FUNCTION @extschema@._rule_nats_publish_history_check();

CREATE OR REPLACE FUNCTION @extschema@._rule_webhook_attempts_check()
RETURNS trigger LANGUAGE plpgsql SECURITY INVOKER
AS $$
DECLARE
    v_missing pg_catalog.text;
    v_what pg_catalog.text;
    v_hint pg_catalog.text;
BEGIN
    IF NEW.attempt_id IS NOT NULL AND NEW.webhook_id IS NOT NULL AND NEW.message_id IS NOT NULL
       AND NEW.redelivery IS NOT NULL AND NEW.try IS NOT NULL AND NEW.worker IS NOT NULL AND NEW.started_at IS NOT NULL
       AND NEW.path OPERATOR(pg_catalog.=) ANY ('{stream,queue}')
       AND NEW.outcome OPERATOR(pg_catalog.=) ANY ('{delivered,again,dead}')
       AND NEW.slot::pg_catalog.text OPERATOR(pg_catalog.=) pg_catalog.right(TG_TABLE_NAME, 1)
    THEN
        RETURN NEW;
    END IF;
    v_missing := CASE WHEN NEW.attempt_id IS NULL THEN 'attempt_id' WHEN NEW.webhook_id IS NULL THEN 'webhook_id'
                      WHEN NEW.message_id IS NULL THEN 'message_id' WHEN NEW.redelivery IS NULL THEN 'redelivery'
                      WHEN NEW.try IS NULL THEN 'try' WHEN NEW.worker IS NULL THEN 'worker'
                      WHEN NEW.started_at IS NULL THEN 'started_at' WHEN NEW.path IS NULL THEN 'path'
                      WHEN NEW.outcome IS NULL THEN 'outcome' WHEN NEW.slot IS NULL THEN 'slot' END;
    IF v_missing IS NOT NULL THEN
        RAISE EXCEPTION USING ERRCODE = '22004', MESSAGE = pg_catalog.format('%s must not be NULL', v_missing),
            HINT = 'Give a value, or leave it out where it has a default.';
    ELSIF NEW.path OPERATOR(pg_catalog.<>) ALL ('{stream,queue}') THEN
        v_what := pg_catalog.format('path cannot be "%s"', pg_catalog.left(NEW.path, 64));
        v_hint := 'Give one of stream, queue.';
    ELSIF NEW.outcome OPERATOR(pg_catalog.<>) ALL ('{delivered,again,dead}') THEN
        v_what := pg_catalog.format('outcome cannot be "%s"', pg_catalog.left(NEW.outcome, 64));
        v_hint := 'Give one of delivered, again, dead.';
    ELSE
        v_what := pg_catalog.format('a row of slot %s cannot be in %s', NEW.slot, TG_TABLE_NAME);
        v_hint := 'Write to rule_webhook_attempts itself, and leave slot as it is.';
    END IF;
    RAISE EXCEPTION USING ERRCODE = '22023', MESSAGE = v_what, HINT = v_hint;
END
$$;
COMMENT ON FUNCTION @extschema@._rule_webhook_attempts_check() IS
    'Internal trigger: validates an attempt before a constraint can print it.';

CREATE OR REPLACE TRIGGER rule_webhook_attempts_check
    BEFORE INSERT OR UPDATE ON @extschema@.rule_webhook_attempts
    FOR EACH ROW EXECUTE FUNCTION @extschema@._rule_webhook_attempts_check();
