-- Conditions over two versions of a row, as to_jsonb(OLD) and to_jsonb(NEW) give them. The functions of this migration
-- run with the caller's rights, also in a trigger's WHEN, and so call none that is internal.

CREATE OR REPLACE FUNCTION @extschema@.rule_row_changed(p_old jsonb, p_new jsonb, p_columns text[] DEFAULT NULL)
RETURNS boolean LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE WHEN p_columns IS NULL THEN p_old IS DISTINCT FROM p_new
           ELSE EXISTS (SELECT FROM unnest(p_columns) AS c (name) WHERE p_old -> c.name IS DISTINCT FROM p_new -> c.name) END
$$;
COMMENT ON FUNCTION @extschema@.rule_row_changed(jsonb, jsonb, text[]) IS
    'Whether one of the named columns, or any without names, differs between two versions of a row: WHEN (rule_row_changed(to_jsonb(OLD), to_jsonb(NEW), ''{status}'')).';

CREATE OR REPLACE FUNCTION @extschema@.rule_row_changes(p_old jsonb, p_new jsonb)
RETURNS jsonb LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF jsonb_typeof(p_old) <> 'object' OR jsonb_typeof(p_new) <> 'object' THEN
        RAISE EXCEPTION USING ERRCODE = '22023', MESSAGE = format('a row is no JSON %s', coalesce(nullif(jsonb_typeof(p_old), 'object'), jsonb_typeof(p_new))),
            HINT = 'Give JSON objects, such as to_jsonb(OLD) and to_jsonb(NEW).';
    END IF;
    RETURN (SELECT coalesce(jsonb_object_agg(c.name, jsonb_build_object('old', p_old -> c.name, 'new', p_new -> c.name)), '{}')
            FROM (SELECT jsonb_object_keys(p_old) UNION SELECT jsonb_object_keys(p_new)) AS c (name)
            WHERE p_old -> c.name IS DISTINCT FROM p_new -> c.name);
END
$$;
COMMENT ON FUNCTION @extschema@.rule_row_changes(jsonb, jsonb) IS
    'The columns that differ between two versions of a row, each with its old and its new value.';
