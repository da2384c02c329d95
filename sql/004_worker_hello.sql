-- A worker says who it is, and learns how it is to go about its work.

CREATE OR REPLACE FUNCTION @extschema@.rule_worker_hello(
    p_consumer text, p_group text, p_version text, p_capabilities text[], p_streams text[])
RETURNS TABLE (source_id uuid, lease_ms integer, settings jsonb)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    v_source_id uuid;
    v_rows integer[];
    v_wanted jsonb := '{}';
BEGIN
    PERFORM @extschema@._rule_worker_begin(p_consumer, false);
    PERFORM @extschema@._rule_check_name(p_group, 'queue group');
    v_source_id := (@extschema@._rule_source()).source_id;
    v_rows := @extschema@._rule_worker_rows(p_consumer, p_streams);
    UPDATE @extschema@.rule_nats_consumer_stats s
    SET queue_group = p_group, last_active_at = clock_timestamp(), active = true, updated_at = now()
    WHERE s.consumer_id = ANY (v_rows);
    IF cardinality(p_streams) > 0 THEN
        v_wanted := @extschema@._rule_stream_definitions(p_streams, v_source_id);
    END IF;
    RETURN QUERY SELECT v_source_id, 60000,
        '{"heartbeat_ms": 5000, "poll_ms": 250, "endpoints_ms": 1000}'::jsonb
            -- After an update until roles are made again, workers may only what they could.
            || jsonb_build_object('claim_room', has_function_privilege(
                   CASE current_setting('role') WHEN 'none' THEN session_user ELSE current_setting('role') END,
                   '@extschema@.rule_worker_claim(text, integer, text[], jsonb, bigint)', 'EXECUTE'))
            || jsonb_build_object('places', @extschema@._rule_worker_places(p_consumer))
            || CASE WHEN v_wanted <> '{}' THEN jsonb_build_object('streams', v_wanted) ELSE '{}' END;
END
$$;
COMMENT ON FUNCTION @extschema@.rule_worker_hello(text, text, text, text[], text[]) IS
    'For workers: registers a process and says whose events it may deliver, how long it may hold one, and how often to ask.';
