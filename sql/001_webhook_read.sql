-- Reading webhooks without their secrets: user info, header values and signing secrets never leave.

CREATE OR REPLACE FUNCTION @extschema@._rule_url_shown(p_url text)
RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$ SELECT regexp_replace(p_url, '^([^:/?#]+://)[^/?#]*@', '\1') $$;
COMMENT ON FUNCTION @extschema@._rule_url_shown(text) IS
    'Internal: a URL without its user info.';

CREATE OR REPLACE FUNCTION @extschema@.rule_webhook_get(p_identifier text)
RETURNS json LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_webhook @extschema@.rule_webhooks;
BEGIN
    IF p_identifier IS NULL THEN
        PERFORM @extschema@._rule_refuse('webhook identifier must not be NULL', 'Give a webhook''s id or name.', '22004');
    END IF;
    -- A name that looks like a number stays reachable where no webhook has that id.
    SELECT w.* INTO v_webhook FROM @extschema@.rule_webhooks w
    WHERE w.webhook_name = p_identifier OR w.webhook_id::text = p_identifier
    ORDER BY (w.webhook_id::text = p_identifier) DESC LIMIT 1;
    IF NOT FOUND THEN
        PERFORM @extschema@._rule_refuse(format('webhook "%s" does not exist', left(p_identifier, 255)),
            'Give a webhook''s id or name; see rule_webhook_list().', '42704');
    END IF;
    RETURN json_build_object(
        'webhook_id', v_webhook.webhook_id, 'webhook_name', v_webhook.webhook_name,
        'description', v_webhook.description, 'url', @extschema@._rule_url_shown(v_webhook.webhook_url),
        'method', v_webhook.http_method,
        'headers', (SELECT coalesce(json_object_agg(h, '***' ORDER BY h), '{}') FROM jsonb_object_keys(v_webhook.headers) h),
        'timeout_ms', v_webhook.timeout_ms, 'retry_enabled', v_webhook.retry_enabled,
        'max_retries', v_webhook.max_retries, 'retry_delay_ms', v_webhook.retry_delay_ms,
        'retry_backoff_multiplier', v_webhook.retry_backoff_multiplier, 'enabled', v_webhook.enabled,
        'give_up_after', v_webhook.give_up_after, 'hold_for', v_webhook.hold_for,
        'max_concurrent', v_webhook.max_concurrent, 'max_per_second', v_webhook.max_per_second,
        'resume_per_second', v_webhook.resume_per_second, 'redeliver_per_second', v_webhook.redeliver_per_second,
        'held_reason', v_webhook.held_reason, 'held_since', v_webhook.held_since,
        'order_key', v_webhook.order_key, 'on_dead', v_webhook.on_dead,
        'publish_mode', v_webhook.publish_mode, 'nats_enabled', v_webhook.nats_enabled,
        'nats_subject', v_webhook.nats_subject,
        'nats_config', (SELECT c.config_name FROM @extschema@.rule_nats_config c
                        WHERE c.config_id = v_webhook.nats_config_id),
        'nats_fallback', v_webhook.nats_fallback, 'store_payload', v_webhook.store_payload,
        'queue_max_events', v_webhook.queue_max_events, 'queue_max_bytes', v_webhook.queue_max_bytes,
        'secret_names', (SELECT coalesce(json_agg(s.secret_name ORDER BY s.secret_name), '[]')
                         FROM @extschema@.rule_webhook_secrets s WHERE s.webhook_id = v_webhook.webhook_id),
        'tags', v_webhook.tags, 'created_at', v_webhook.created_at, 'created_by', v_webhook.created_by,
        'updated_at', v_webhook.updated_at);
END
$$;
COMMENT ON FUNCTION @extschema@.rule_webhook_get(text) IS
    'A webhook by its id or name, with the names of its headers and secrets and none of their values.';

CREATE OR REPLACE FUNCTION @extschema@.rule_webhook_list(p_enabled_only boolean DEFAULT false)
RETURNS TABLE (webhook_id integer, webhook_name text, url text, method text, enabled boolean,
               total_calls bigint, success_rate numeric, created_at timestamptz)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    SELECT w.webhook_id, w.webhook_name, @extschema@._rule_url_shown(w.webhook_url), w.http_method, w.enabled,
           s.total_calls, s.success_rate_pct, w.created_at
    FROM @extschema@.rule_webhooks w JOIN @extschema@.webhook_status_summary s ON s.webhook_id = w.webhook_id
    WHERE w.enabled OR p_enabled_only IS NOT TRUE
    ORDER BY w.webhook_id
$$;
COMMENT ON FUNCTION @extschema@.rule_webhook_list(boolean) IS
    'The webhooks with how many events each had and which share, in per cent, of those that ended was delivered.';
