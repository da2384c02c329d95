-- What is refused in a configuration. A URL is never repeated: its user info can be a password.

CREATE OR REPLACE FUNCTION @extschema@._rule_check_nats_url(p_urls text, p_what text)
RETURNS void LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_url text;
BEGIN
    IF p_urls IS NULL THEN
        PERFORM @extschema@._rule_refuse(format('%s must not be NULL', p_what), 'Give a URL such as nats://localhost:4222.', '22004');
    END IF;
    FOREACH v_url IN ARRAY string_to_array(p_urls, ',') || CASE WHEN p_urls = '' THEN '{""}'::text[] END LOOP
        v_url := btrim(v_url);
        IF v_url ~ '[[:cntrl:][:space:]]' OR v_url ~ '%(?![0-9A-Fa-f]{2})' OR octet_length(v_url) > 2048
           OR v_url !~* '^((nats|tls|ws|wss)://)?([^/?#@]*@)?(\[[0-9a-f:.]+\]|[^]:/?#@[]+)(:[0-9]{1,5})?/?$' THEN
            PERFORM @extschema@._rule_refuse(format('%s is malformed', p_what),
                'A server is nats://host:4222, or tls, ws or wss instead of nats; several are separated by commas.');
        ELSIF coalesce(substring(v_url FROM ':([0-9]{1,5})/?$')::integer, 4222) NOT BETWEEN 1 AND 65535 THEN
            PERFORM @extschema@._rule_refuse(format('%s has no valid port', p_what), 'A port is a number from 1 to 65535.');
        END IF;
    END LOOP;
END
$$;
COMMENT ON FUNCTION @extschema@._rule_check_nats_url(text, text) IS
    'Internal: refuses addresses that are none of a NATS server.';

CREATE OR REPLACE FUNCTION @extschema@._rule_check_stream_name(p_name text)
RETURNS void LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF p_name IS NULL THEN
        PERFORM @extschema@._rule_refuse('stream_name must not be NULL', 'Give a name such as WEBHOOKS.', '22004');
    ELSIF p_name = '' OR octet_length(p_name) > 255 OR p_name ~ '[[:cntrl:][:space:].*>/\\]' THEN
        PERFORM @extschema@._rule_refuse(format('stream_name "%s" is malformed', left(p_name, 64)),
            'A stream''s name has 1 to 255 bytes and no dots, blanks, slashes, wildcards or control characters.');
    END IF;
END
$$;
COMMENT ON FUNCTION @extschema@._rule_check_stream_name(text) IS
    'Internal: refuses a stream''s name that NATS would refuse.';
