-- Every way to change a webhook passes here, the helpers and plain DML alike.

CREATE OR REPLACE FUNCTION @extschema@._rule_webhooks_check()
RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    -- A row of a dump says when it was made. What 0.1.0 took has to be restorable, and to be left as it is.
    v_is_new boolean := TG_OP = 'INSERT' AND NEW.created_at = now();
BEGIN
    PERFORM @extschema@._rule_check_present(NEW.webhook_id IS NOT NULL, 'webhook_id');
    PERFORM @extschema@._rule_check_name(NEW.webhook_name, 'webhook_name');
    PERFORM @extschema@._rule_check_url(NEW.webhook_url);
    IF v_is_new OR NEW.webhook_url <> OLD.webhook_url THEN
        PERFORM @extschema@._rule_check_new_url(NEW.webhook_url);
    END IF;
    PERFORM @extschema@._rule_check_choice(NEW.http_method, '{GET,POST,PUT,PATCH,DELETE}', 'http_method');
    PERFORM @extschema@._rule_check_headers(NEW.headers);
    IF v_is_new OR NEW.headers <> OLD.headers THEN
        PERFORM @extschema@._rule_check_new_headers(NEW.headers);
    END IF;
    PERFORM @extschema@._rule_check_range(NEW.timeout_ms, 1, 300000, 'timeout_ms');
    PERFORM @extschema@._rule_check_range(NEW.max_retries, 0, 1000, 'max_retries');
    PERFORM @extschema@._rule_check_range(NEW.retry_delay_ms, 0, 3600000, 'retry_delay_ms');
    PERFORM @extschema@._rule_check_range(NEW.retry_backoff_multiplier, 1, 100, 'retry_backoff_multiplier');
    PERFORM @extschema@._rule_check_choice(NEW.publish_mode, '{queue,nats,both}', 'publish_mode');
    PERFORM @extschema@._rule_check_choice(NEW.nats_fallback, '{queue,record,error}', 'nats_fallback');
    IF NEW.nats_subject IS NOT NULL THEN
        PERFORM @extschema@._rule_check_subject(NEW.nats_subject, 'nats_subject');
    END IF;
    PERFORM @extschema@._rule_check_range(coalesce(NEW.queue_max_events, 1), 1, 9223372036854775807, 'queue_max_events');
    PERFORM @extschema@._rule_check_range(coalesce(NEW.queue_max_bytes, 1), 1, 9223372036854775807, 'queue_max_bytes');
    PERFORM @extschema@._rule_check_range(coalesce(NEW.max_concurrent, 1), 1, 1000, 'max_concurrent');
    PERFORM @extschema@._rule_check_range(coalesce(NEW.max_per_second, 1), 1, 1000000, 'max_per_second');
    PERFORM @extschema@._rule_check_range(coalesce(NEW.resume_per_second, 1), 1, 1000000, 'resume_per_second');
    PERFORM @extschema@._rule_check_range(coalesce(NEW.redeliver_per_second, 1), 1, 1000000, 'redeliver_per_second');
    PERFORM @extschema@._rule_check_present(NEW.retry_enabled IS NOT NULL, 'retry_enabled');
    PERFORM @extschema@._rule_check_present(NEW.enabled IS NOT NULL, 'enabled');
    PERFORM @extschema@._rule_check_present(NEW.nats_enabled IS NOT NULL, 'nats_enabled');
    PERFORM @extschema@._rule_check_present(NEW.store_payload IS NOT NULL, 'store_payload');
    PERFORM @extschema@._rule_check_present(NEW.tags IS NOT NULL, 'tags');
    PERFORM @extschema@._rule_check_present(NEW.created_at IS NOT NULL, 'created_at');
    PERFORM @extschema@._rule_check_present(NEW.created_by IS NOT NULL, 'created_by');
    IF TG_OP = 'UPDATE' THEN
        IF NEW.webhook_id <> OLD.webhook_id THEN
            PERFORM @extschema@._rule_refuse('webhook_id cannot be changed',
                'Its events, receipts and secrets hang on it. Register another webhook.', '0A000');
        END IF;
        NEW.updated_at := now();
    -- A dump of 0.1.0 may have one.
    ELSIF NEW.webhook_id < 1 THEN
        RAISE WARNING USING MESSAGE = format('no stream can deliver the events of a webhook with the id %s', NEW.webhook_id),
            HINT = 'Messages name webhooks by numbers from 1 on. Register it without an id.';
    END IF;
    PERFORM @extschema@._rule_check_present(NEW.updated_at IS NOT NULL, 'updated_at');
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION @extschema@._rule_webhooks_check() IS
    'Internal trigger: validates a webhook and keeps updated_at.';

-- BEFORE a CHECK or NOT NULL can print the row.
CREATE OR REPLACE TRIGGER rule_webhooks_check
    BEFORE INSERT OR UPDATE ON @extschema@.rule_webhooks
    FOR EACH ROW EXECUTE FUNCTION @extschema@._rule_webhooks_check();

CREATE OR REPLACE FUNCTION @extschema@._rule_webhooks_mark()
RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    NEW.changed_xid := pg_current_xact_id();
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION @extschema@._rule_webhooks_mark() IS
    'Internal trigger: keeps the mark by which workers see a change.';

-- Always: a replication role changes what workers know, too.
CREATE OR REPLACE TRIGGER rule_webhooks_mark
    BEFORE INSERT OR UPDATE ON @extschema@.rule_webhooks
    FOR EACH ROW EXECUTE FUNCTION @extschema@._rule_webhooks_mark();
ALTER TABLE @extschema@.rule_webhooks ENABLE ALWAYS TRIGGER rule_webhooks_mark;

CREATE OR REPLACE FUNCTION @extschema@._rule_webhooks_gone()
RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- In the order in which workers lock them.
    PERFORM FROM @extschema@.rule_webhook_queue q WHERE q.webhook_id = OLD.webhook_id
        ORDER BY q.message_id, q.redelivery FOR UPDATE;
    PERFORM FROM @extschema@.rule_webhook_receipts r WHERE r.webhook_id = OLD.webhook_id
        ORDER BY r.message_id, r.redelivery FOR UPDATE;
    DELETE FROM @extschema@.rule_webhook_secrets s WHERE s.webhook_id = OLD.webhook_id;
    DELETE FROM @extschema@.rule_webhook_queue q WHERE q.webhook_id = OLD.webhook_id;
    DELETE FROM @extschema@.rule_webhook_receipts r WHERE r.webhook_id = OLD.webhook_id;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION @extschema@._rule_webhooks_gone() IS
    'Internal trigger: a deleted webhook takes its secrets, queue rows and receipts with it.';

CREATE OR REPLACE TRIGGER rule_webhooks_gone
    AFTER DELETE ON @extschema@.rule_webhooks
    FOR EACH ROW EXECUTE FUNCTION @extschema@._rule_webhooks_gone();

CREATE OR REPLACE FUNCTION @extschema@._rule_webhooks_truncate()
RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- With RESTART IDENTITY the next webhook would get the secrets, the events and the history of another.
    PERFORM @extschema@._rule_refuse('webhooks cannot be truncated',
        'DELETE FROM rule_webhooks takes their secrets, queue rows and receipts with them.', '0A000');
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION @extschema@._rule_webhooks_truncate() IS
    'Internal trigger: refuses what would leave secrets and events without their webhook.';

CREATE OR REPLACE TRIGGER rule_webhooks_truncate
    BEFORE TRUNCATE ON @extschema@.rule_webhooks
    FOR EACH STATEMENT EXECUTE FUNCTION @extschema@._rule_webhooks_truncate();
ALTER TABLE @extschema@.rule_webhooks ENABLE ALWAYS TRIGGER rule_webhooks_truncate;
