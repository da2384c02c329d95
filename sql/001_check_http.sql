-- What a webhook may ask of HTTP. A URL is never repeated in an error: its path or query can be the secret.

CREATE OR REPLACE FUNCTION @extschema@._rule_check_url(p_url text)
RETURNS void LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_authority text;
    v_host text[];
BEGIN
    IF p_url IS NULL THEN
        PERFORM @extschema@._rule_refuse('webhook_url must not be NULL',
            'Give a URL such as https://example.com/hook.', '22004');
    END IF;
    -- Blanks, backslashes and control characters are where two URL parsers see two hosts.
    IF octet_length(p_url) > 2048 OR p_url ~ '[[:cntrl:][:space:]\\]' OR p_url !~* '^https?://' THEN
        PERFORM @extschema@._rule_refuse('webhook_url is malformed',
            'A URL starts with http:// or https://, has at most 2048 bytes, no blanks, backslashes or control characters.');
    END IF;
    v_authority := regexp_replace(substring(p_url FROM '(?i)^https?://([^/?#]*)'), '^.*@', '');
    v_host := regexp_match(v_authority, '^(\[[0-9A-Fa-f:.]+\]|[^:\[\]]+)(?::([0-9]{1,5}))?$');
    IF v_host IS NULL THEN
        PERFORM @extschema@._rule_refuse('webhook_url has no valid host',
            'Give a URL such as https://example.com/hook or https://example.com:8443/hook.');
    ELSIF v_host[2] IS NOT NULL AND v_host[2]::integer NOT BETWEEN 1 AND 65535 THEN
        PERFORM @extschema@._rule_refuse('webhook_url has no valid port', 'A port is a number from 1 to 65535.');
    END IF;
END
$$;
COMMENT ON FUNCTION @extschema@._rule_check_url(text) IS
    'Internal: refuses a URL that no worker could call.';

CREATE OR REPLACE FUNCTION @extschema@._rule_check_new_url(p_url text)
RETURNS void LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_authority text[] := regexp_match(p_url, '^https?://(?:([^/?#]*)@)?(?:\[([^/?#]*)\]|([^][/?#:@]*))', 'i');
    v_is_ip6 boolean := true;
BEGIN
    -- Behind the ? workers leave a % as it is.
    IF p_url ~ '^[^?#]*%(?![0-9A-Fa-f]{2})' OR p_url ~ '#.*%(?![0-9A-Fa-f]{2})' THEN
        PERFORM @extschema@._rule_refuse('webhook_url has a % that escapes no byte',
            'Write %25 for a % of its own. Behind the ? it may stand as it is.');
    ELSIF v_authority[1] ~ '[^A-Za-z0-9._~!$&''()*+,;=:@%-]' THEN
        PERFORM @extschema@._rule_refuse('webhook_url has a malformed user name or password',
            'Before the @ all but letters of ASCII, digits and . _ ~ - is to be escaped, as %23 for #.');
    END IF;
    BEGIN
        v_is_ip6 := family(v_authority[2]::inet) = 6;
    EXCEPTION WHEN invalid_text_representation THEN
        v_is_ip6 := false;
    END;
    IF NOT v_is_ip6 OR v_authority[3] ~ '[!"$%&''()*+,;<=>^`{|}~]' THEN
        PERFORM @extschema@._rule_refuse('webhook_url has no valid host',
            'A host is a name of letters, digits, -, _ and dots, without escapes, or an address such as 192.0.2.1 or [2001:db8::1].');
    END IF;
END
$$;
COMMENT ON FUNCTION @extschema@._rule_check_new_url(text) IS
    'Internal: refuses further URLs that no worker could call. 0.1.0 took them.';

CREATE OR REPLACE FUNCTION @extschema@._rule_check_headers(p_headers jsonb)
RETURNS void LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_name text;
    v_value jsonb;
BEGIN
    IF p_headers IS NULL OR jsonb_typeof(p_headers) <> 'object' THEN
        PERFORM @extschema@._rule_refuse('headers must be a JSON object',
            'Give names and texts, such as {"Authorization": "Bearer ..."}, or {}.');
    END IF;
    FOR v_name, v_value IN SELECT key, value FROM jsonb_each(p_headers) LOOP
        IF v_name !~ '^[A-Za-z0-9!#$%&''*+.^_`|~-]{1,255}$' THEN
            PERFORM @extschema@._rule_refuse('a name in headers is malformed',
                'A header''s name has letters, digits and -, no blanks and no line breaks.');
        ELSIF lower(v_name) IN ('host', 'content-length', 'transfer-encoding', 'connection')
              OR lower(v_name) LIKE 'webhook-%' THEN
            PERFORM @extschema@._rule_refuse(format('header "%s" may not be set', v_name),
                'Host, Content-Length, Transfer-Encoding, Connection and webhook-* are set by the worker.');
        ELSIF jsonb_typeof(v_value) <> 'string' OR v_value #>> '{}' ~ '[\u0001-\u0008\u000a-\u001f\u007f]'
              OR octet_length(v_value #>> '{}') > 8192 THEN
            PERFORM @extschema@._rule_refuse(format('the value of header "%s" is malformed', v_name),
                'A header''s value is a JSON text of at most 8192 bytes without line breaks and control characters.');
        END IF;
    END LOOP;
END
$$;
COMMENT ON FUNCTION @extschema@._rule_check_headers(jsonb) IS
    'Internal: refuses headers that the worker sets itself or that would break a request.';

CREATE OR REPLACE FUNCTION @extschema@._rule_check_new_headers(p_headers jsonb)
RETURNS void LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_name text := (SELECT min(h.name) FROM jsonb_object_keys(p_headers) AS h (name)
                    GROUP BY lower(h.name) HAVING count(*) > 1 ORDER BY 1 LIMIT 1);
BEGIN
    IF v_name IS NOT NULL THEN
        PERFORM @extschema@._rule_refuse(format('header "%s" is there twice', v_name),
            'In a header''s name upper and lower case are the same. Leave one of them.');
    END IF;
END
$$;
COMMENT ON FUNCTION @extschema@._rule_check_new_headers(jsonb) IS
    'Internal: refuses a header that is there twice: one worker would send both, another one of them. 0.1.0 took it.';
