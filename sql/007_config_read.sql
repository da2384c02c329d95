-- Reading a configuration without its secrets.

CREATE OR REPLACE FUNCTION @extschema@._rule_nats_url_shown(p_urls text)
RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$ SELECT regexp_replace(p_urls, '[^/,@[:space:]]*@', '***@', 'g') $$;
COMMENT ON FUNCTION @extschema@._rule_nats_url_shown(text) IS
    'Internal: addresses of NATS servers without user names and passwords.';

CREATE OR REPLACE FUNCTION @extschema@.rule_nats_config_info(p_config_name text DEFAULT 'default')
RETURNS json LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_config_id integer := @extschema@._rule_config_id(p_config_name);
BEGIN
    RETURN (
        SELECT json_build_object(
            'config_id', c.config_id, 'config_name', c.config_name, 'enabled', c.enabled,
            'nats_url', @extschema@._rule_nats_url_shown(c.nats_url),
            'nats_cluster_urls', (SELECT json_agg(@extschema@._rule_nats_url_shown(u.url) ORDER BY u.n)
                                  FROM unnest(c.nats_cluster_urls) WITH ORDINALITY AS u (url, n)),
            'auth_type', c.auth_type, 'auth_user', c.auth_user,
            'auth_token', CASE WHEN c.auth_token IS NOT NULL THEN '***' END,
            'auth_password', CASE WHEN c.auth_password IS NOT NULL THEN '***' END,
            'auth_nkey_seed', CASE WHEN c.auth_nkey_seed IS NOT NULL THEN '***' END,
            'auth_credentials_file', c.auth_credentials_file,
            'tls_enabled', c.tls_enabled, 'tls_cert_file', c.tls_cert_file, 'tls_key_file', c.tls_key_file, 'tls_ca_file', c.tls_ca_file,
            'max_connections', c.max_connections, 'connection_timeout_ms', c.connection_timeout_ms,
            'publish_timeout_ms', c.publish_timeout_ms, 'reconnect_delay_ms', c.reconnect_delay_ms,
            'max_reconnect_attempts', c.max_reconnect_attempts, 'idle_timeout_seconds', c.idle_timeout_seconds, 'jetstream_enabled', c.jetstream_enabled,
            'stream_name', c.stream_name, 'subject_prefix', c.subject_prefix,
            'streams', (SELECT coalesce(json_agg(json_build_object(
                                   'stream_name', s.stream_name, 'subjects', s.subjects, 'retention_policy', s.retention_policy,
                                   'discard_policy', s.discard_policy, 'max_age_seconds', s.max_age_seconds,
                                   'max_bytes', s.max_bytes, 'enabled', s.enabled) ORDER BY s.stream_id), '[]')
                        FROM @extschema@.rule_nats_streams s WHERE s.config_id = c.config_id),
            'webhooks', (SELECT count(*) FROM @extschema@.rule_webhooks w
                         WHERE w.nats_enabled AND @extschema@._rule_config_of(w.nats_config_id) = c.config_id),
            'created_at', c.created_at, 'updated_at', c.updated_at)
        FROM @extschema@.rule_nats_config c WHERE c.config_id = v_config_id);
END
$$;
COMMENT ON FUNCTION @extschema@.rule_nats_config_info(text) IS
    'A NATS configuration with its streams; secrets show as ***.';

CREATE OR REPLACE FUNCTION @extschema@.rule_nats_test_connection(p_config_name text DEFAULT 'default')
RETURNS json LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_health jsonb := @extschema@.rule_nats_health_check(p_config_name);
BEGIN
    RETURN v_health || jsonb_build_object('success', v_health -> 'connected',
        'message', CASE WHEN (v_health -> 'connected')::boolean THEN 'connected' ELSE v_health ->> 'error' END);
END
$$;
COMMENT ON FUNCTION @extschema@.rule_nats_test_connection(text) IS
    'Connects to NATS and says how that went; success = false, with the reason, where it is not reached.';
