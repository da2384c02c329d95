-- Shaping a payload.

CREATE OR REPLACE FUNCTION @extschema@.rule_payload_pick(p_payload jsonb, p_keys text[])
RETURNS jsonb LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF jsonb_typeof(p_payload) <> 'object' THEN
        RAISE EXCEPTION USING ERRCODE = '22023', MESSAGE = format('cannot pick keys from a JSON %s', jsonb_typeof(p_payload)),
            HINT = 'Give a JSON object, such as to_jsonb(NEW).';
    END IF;
    RETURN CASE WHEN p_payload IS NOT NULL THEN
        (SELECT coalesce(jsonb_object_agg(e.key, e.value), '{}') FROM jsonb_each(p_payload) e WHERE e.key = ANY (p_keys)) END;
END
$$;
COMMENT ON FUNCTION @extschema@.rule_payload_pick(jsonb, text[]) IS
    'An object with the named keys only. A key that is not there is left out.';

CREATE OR REPLACE FUNCTION @extschema@.rule_payload_drop(p_payload jsonb, p_keys text[])
RETURNS jsonb LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF jsonb_typeof(p_payload) <> 'object' THEN
        RAISE EXCEPTION USING ERRCODE = '22023', MESSAGE = format('cannot drop keys from a JSON %s', jsonb_typeof(p_payload)),
            HINT = 'Give a JSON object, such as to_jsonb(NEW).';
    END IF;
    RETURN p_payload - coalesce(p_keys, '{}');
END
$$;
COMMENT ON FUNCTION @extschema@.rule_payload_drop(jsonb, text[]) IS
    'An object without the named keys.';

CREATE OR REPLACE FUNCTION @extschema@.rule_payload_mask(p_payload jsonb, p_keys text[], p_mask text DEFAULT '***')
RETURNS jsonb LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    CASE jsonb_typeof(p_payload)
        WHEN 'object' THEN
            RETURN (SELECT coalesce(jsonb_object_agg(e.key,
                        CASE WHEN e.key = ANY (p_keys) AND e.value <> 'null' THEN coalesce(to_jsonb(p_mask), 'null')
                             WHEN jsonb_typeof(e.value) IN ('object', 'array')
                             THEN @extschema@.rule_payload_mask(e.value, p_keys, p_mask)
                             ELSE e.value END), '{}')
                    FROM jsonb_each(p_payload) e);
        WHEN 'array' THEN
            RETURN (SELECT coalesce(jsonb_agg(@extschema@.rule_payload_mask(e.value, p_keys, p_mask) ORDER BY e.n), '[]')
                    FROM jsonb_array_elements(p_payload) WITH ORDINALITY AS e (value, n));
        ELSE
            RETURN p_payload;
    END CASE;
END
$$;
COMMENT ON FUNCTION @extschema@.rule_payload_mask(jsonb, text[], text) IS
    'A payload in which the values of the named keys, at any depth, are replaced. A null stays null.';
