CREATE OR REPLACE FUNCTION @extschema@.rule_event_id(p_source text, p_row jsonb, p_key text[], p_version text DEFAULT NULL)
RETURNS text LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_column text;
BEGIN
    IF p_source IS NULL OR p_key IS NULL OR p_key = '{}' THEN
        RAISE EXCEPTION USING ERRCODE = '22004', MESSAGE = 'an event id needs a source and the columns of a key',
            HINT = 'Name the table and its key, such as rule_event_id(''orders'', to_jsonb(NEW), ''{order_id}'').';
    END IF;
    FOREACH v_column IN ARRAY p_key LOOP
        IF coalesce(p_row -> v_column, 'null') = 'null' THEN
            RAISE EXCEPTION USING ERRCODE = '22004', MESSAGE = format('the row has no value in key column "%s"', v_column),
                HINT = 'Name columns of the row that are never NULL, such as those of its primary key.';
        END IF;
    END LOOP;
    -- The same in every database, whatever its encoding.
    RETURN encode(substr(sha256(convert_to(jsonb_build_array(p_source,
        (SELECT jsonb_agg(p_row -> k.name ORDER BY k.n) FROM unnest(p_key) WITH ORDINALITY AS k (name, n)),
        p_version)::text, 'UTF8')), 1, 16), 'hex');
END
$$;
COMMENT ON FUNCTION @extschema@.rule_event_id(text, jsonb, text[], text) IS
    'A message id that is always the same for a row''s key, so that an event sent twice arrives once. Events of one row must differ in p_version: give a status or a row version there.';
