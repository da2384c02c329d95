-- Registering, changing and deleting webhooks. The rules are the trigger's; the helpers say what is missing.

CREATE OR REPLACE FUNCTION @extschema@._rule_no_such_webhook(p_webhook_id integer)
RETURNS void LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF p_webhook_id IS NULL THEN
        PERFORM @extschema@._rule_refuse('webhook id must not be NULL',
            'See rule_webhook_list() for the webhooks there are.', '22004');
    END IF;
    PERFORM @extschema@._rule_refuse(format('webhook %s does not exist', p_webhook_id),
        'See rule_webhook_list() for the webhooks there are.', '42704');
END
$$;
COMMENT ON FUNCTION @extschema@._rule_no_such_webhook(integer) IS
    'Internal: raises the error for a webhook that is not there.';

CREATE OR REPLACE FUNCTION @extschema@.rule_webhook_register(
    p_name text, p_url text, p_method text DEFAULT 'POST', p_headers jsonb DEFAULT '{}',
    p_description text DEFAULT NULL, p_timeout_ms integer DEFAULT 5000, p_max_retries integer DEFAULT 3)
RETURNS integer LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_id integer;
BEGIN
    INSERT INTO @extschema@.rule_webhooks (webhook_name, webhook_url, http_method, headers, description, timeout_ms, max_retries)
    VALUES (p_name, p_url, upper(p_method), p_headers, p_description, p_timeout_ms, p_max_retries)
    ON CONFLICT (webhook_name) DO NOTHING
    RETURNING webhook_id INTO v_id;
    IF v_id IS NULL THEN
        PERFORM @extschema@._rule_refuse(format('webhook name "%s" is taken', p_name),
            'Choose another name, or change the webhook that has it with rule_webhook_update().', '23505');
    END IF;
    RETURN v_id;
END
$$;
COMMENT ON FUNCTION @extschema@.rule_webhook_register(text, text, text, jsonb, text, integer, integer) IS
    'Registers a webhook, delivered from the queue until rule_webhook_enable_nats() is called. Returns its id.';

CREATE OR REPLACE FUNCTION @extschema@.rule_webhook_update(
    p_webhook_id integer, p_url text DEFAULT NULL, p_method text DEFAULT NULL, p_headers jsonb DEFAULT NULL,
    p_timeout_ms integer DEFAULT NULL, p_enabled boolean DEFAULT NULL)
RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    UPDATE @extschema@.rule_webhooks w
    SET webhook_url = coalesce(p_url, w.webhook_url), http_method = coalesce(upper(p_method), w.http_method),
        headers = coalesce(p_headers, w.headers), timeout_ms = coalesce(p_timeout_ms, w.timeout_ms),
        enabled = coalesce(p_enabled, w.enabled)
    WHERE w.webhook_id = p_webhook_id;
    IF NOT FOUND THEN
        PERFORM @extschema@._rule_no_such_webhook(p_webhook_id);
    END IF;
    RETURN true;
END
$$;
COMMENT ON FUNCTION @extschema@.rule_webhook_update(integer, text, text, jsonb, integer, boolean) IS
    'Changes what is given and keeps what is NULL. With p_enabled => false nothing new is accepted and what was accepted waits.';

CREATE OR REPLACE FUNCTION @extschema@.rule_webhook_delete(p_webhook_id integer)
RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    DELETE FROM @extschema@.rule_webhooks w WHERE w.webhook_id = p_webhook_id;
    IF NOT FOUND THEN
        PERFORM @extschema@._rule_no_such_webhook(p_webhook_id);
    END IF;
    RETURN true;
END
$$;
COMMENT ON FUNCTION @extschema@.rule_webhook_delete(integer) IS
    'Deletes a webhook with its secrets, queue rows and receipts. Publishing to it raises an error from then on; to stop it without one use rule_webhook_update(p_enabled => false).';
