-- The name of this database in messages, so that two databases on one NATS never take each other's events.

CREATE OR REPLACE FUNCTION @extschema@.rule_engine_source_renew(p_source_id uuid DEFAULT NULL)
RETURNS uuid LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_source_id uuid;
BEGIN
    -- Messages under an adopted id were published by transactions whose ids say nothing here; a new id has none. The history
    -- that a dump brought is whole for as long as it is kept.
    UPDATE @extschema@.rule_engine_source s
    SET source_id = coalesce(p_source_id, gen_random_uuid()),
        database_oid = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database()),
        history_kept_since = CASE
            WHEN p_source_id IS NULL THEN '-infinity'
            WHEN p_source_id = s.source_id THEN s.history_kept_since
            -- A dump does not say what was cleaned away: nothing that is younger than the oldest publish that is left.
            ELSE greatest(s.history_kept_since, coalesce(
                (SELECT greatest(min(h.published_at) FILTER (WHERE h.success), max(h.published_at) - r.keep + interval '1 minute')
                 FROM @extschema@.rule_nats_publish_history h, @extschema@.rule_engine_retention r
                 WHERE r.table_name = 'rule_nats_publish_history' GROUP BY r.keep), clock_timestamp())) END,
        adopted_at = CASE WHEN p_source_id IS NULL THEN '-infinity'
                          WHEN p_source_id = s.source_id THEN s.adopted_at
                          ELSE clock_timestamp() END
    RETURNING s.source_id INTO v_source_id;
    RETURN v_source_id;
END
$$;
COMMENT ON FUNCTION @extschema@.rule_engine_source_renew(uuid) IS
    'Gives this database a new source id, or the one given: for a physical clone that goes its own way, or a copy that takes its origin''s place. Of the messages under an adopted id that are older than the call those are delivered that the restored history knows, or is too short to know.';

CREATE OR REPLACE FUNCTION @extschema@._rule_source()
RETURNS @extschema@.rule_engine_source LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_source @extschema@.rule_engine_source;
    v_oid oid;
BEGIN
    SELECT d.oid INTO v_oid FROM pg_database d WHERE d.datname = current_database();
    SELECT * INTO v_source FROM @extschema@.rule_engine_source;
    IF v_source.database_oid IS DISTINCT FROM v_oid THEN
        -- Made from a template. The second of two sessions finds the row right and leaves it.
        UPDATE @extschema@.rule_engine_source s
        SET source_id = gen_random_uuid(), database_oid = v_oid, history_kept_since = '-infinity', adopted_at = '-infinity'
        WHERE s.database_oid <> v_oid;
        SELECT * INTO v_source FROM @extschema@.rule_engine_source;
    END IF;
    RETURN v_source;
END
$$;
COMMENT ON FUNCTION @extschema@._rule_source() IS
    'Internal: the source id of this database; one made from a template gets its own here.';
