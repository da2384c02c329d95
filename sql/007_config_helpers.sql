CREATE OR REPLACE FUNCTION @extschema@._rule_config_id(p_config_name text)
RETURNS integer LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_config_id integer;
BEGIN
    SELECT c.config_id INTO v_config_id FROM @extschema@.rule_nats_config c WHERE c.config_name = p_config_name;
    IF p_config_name IS NULL THEN
        PERFORM @extschema@._rule_refuse('configuration name must not be NULL',
            'Give the name of a row of rule_nats_config, such as default.', '22004');
    ELSIF v_config_id IS NULL THEN
        PERFORM @extschema@._rule_refuse(format('configuration "%s" does not exist', left(p_config_name, 255)),
            'Make it with rule_nats_configure(), or give the name of a row of rule_nats_config.', '42704');
    END IF;
    RETURN v_config_id;
END
$$;
COMMENT ON FUNCTION @extschema@._rule_config_id(text) IS
    'Internal: a configuration by its name.';

CREATE OR REPLACE FUNCTION @extschema@.rule_nats_configure(
    p_config_name text DEFAULT 'default', p_nats_url text DEFAULT 'nats://localhost:4222', p_auth_type text DEFAULT 'none',
    p_jetstream_enabled boolean DEFAULT true, p_stream_name text DEFAULT 'WEBHOOKS', p_subject_prefix text DEFAULT 'webhooks')
RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- Not an upsert: a row that is to be inserted pushes a pristine one aside, which webhooks may refer to.
    UPDATE @extschema@.rule_nats_config c
    SET nats_url = p_nats_url, auth_type = p_auth_type, jetstream_enabled = p_jetstream_enabled,
        stream_name = p_stream_name, subject_prefix = p_subject_prefix
    WHERE c.config_name = p_config_name;
    IF NOT FOUND THEN
        INSERT INTO @extschema@.rule_nats_config (config_name, nats_url, auth_type, jetstream_enabled, stream_name, subject_prefix)
        VALUES (p_config_name, p_nats_url, p_auth_type, p_jetstream_enabled, p_stream_name, p_subject_prefix);
    END IF;
    RETURN true;
END
$$;
COMMENT ON FUNCTION @extschema@.rule_nats_configure(text, text, text, boolean, text, text) IS
    'Makes or changes a NATS configuration. Every backend uses it from its next publish on.';

CREATE OR REPLACE FUNCTION @extschema@.rule_webhook_enable_nats(
    p_webhook_id integer, p_nats_subject text DEFAULT NULL, p_publish_mode text DEFAULT 'both', p_config_name text DEFAULT 'default')
RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_config_id integer := @extschema@._rule_config_id(p_config_name);
    v_subject text;
BEGIN
    SELECT coalesce(p_nats_subject, c.subject_prefix || '.' || lower(regexp_replace(w.webhook_name, '[.*>$[:space:]]+', '_', 'g')))
    INTO v_subject
    FROM @extschema@.rule_webhooks w, @extschema@.rule_nats_config c
    WHERE w.webhook_id = p_webhook_id AND c.config_id = v_config_id;
    IF NOT FOUND THEN
        PERFORM @extschema@._rule_no_such_webhook(p_webhook_id);
    END IF;
    UPDATE @extschema@.rule_webhooks w
    SET nats_enabled = true, nats_subject = v_subject, publish_mode = p_publish_mode, nats_config_id = v_config_id
    WHERE w.webhook_id = p_webhook_id;
    RETURN true;
END
$$;
COMMENT ON FUNCTION @extschema@.rule_webhook_enable_nats(integer, text, text, text) IS
    'Lets a webhook publish to NATS. Without a subject it is the configuration''s prefix and the webhook''s name.';

CREATE OR REPLACE FUNCTION @extschema@.rule_webhook_disable_nats(p_webhook_id integer)
RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    UPDATE @extschema@.rule_webhooks w SET nats_enabled = false, publish_mode = 'queue' WHERE w.webhook_id = p_webhook_id;
    IF NOT FOUND THEN
        PERFORM @extschema@._rule_no_such_webhook(p_webhook_id);
    END IF;
    RETURN true;
END
$$;
COMMENT ON FUNCTION @extschema@.rule_webhook_disable_nats(integer) IS
    'Takes a webhook off NATS: its events go into the queue, and rule_webhook_publish_nats() raises an error for it.';
