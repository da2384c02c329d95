-- A worker says who it is, and learns what it must know of webhooks to send.

CREATE OR REPLACE FUNCTION @extschema@.rule_worker_hello(
    p_consumer text, p_group text, p_version text, p_capabilities text[], p_streams text[])
RETURNS TABLE (source_id uuid, lease_ms integer, settings jsonb)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    v_source_id uuid;
    v_wanted jsonb := '{}';
BEGIN
    PERFORM @extschema@._rule_worker_begin(p_consumer, false);
    PERFORM @extschema@._rule_check_name(p_group, 'queue group');
    v_source_id := (@extschema@._rule_source()).source_id;
    INSERT INTO @extschema@.rule_nats_consumer_stats AS s (stream_name, consumer_name, queue_group, last_active_at)
    SELECT t.name, p_consumer, p_group, clock_timestamp()
    FROM (SELECT DISTINCT u.name FROM unnest(p_streams) AS u (name) WHERE u.name <> '') t ORDER BY t.name
    ON CONFLICT (stream_name, consumer_name)
    DO UPDATE SET queue_group = excluded.queue_group, last_active_at = excluded.last_active_at, active = true, updated_at = now();
    IF cardinality(p_streams) > 0 THEN
        v_wanted := @extschema@._rule_stream_definitions(p_streams, v_source_id);
    END IF;
    RETURN QUERY SELECT v_source_id, 60000,
        '{"heartbeat_ms": 5000, "poll_ms": 250, "endpoints_ms": 1000, "stranger_ms": 60000}'::jsonb
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

CREATE OR REPLACE FUNCTION @extschema@.rule_worker_endpoints(p_mark pg_snapshot DEFAULT NULL)
RETURNS TABLE (mark pg_snapshot, webhook_id integer, webhook_name text, url text, method text, headers jsonb,
               timeout_ms integer, secrets text[], enabled boolean)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
    -- An expiry changes nothing by itself, so no mark would show it: what expired is deleted, which does.
    IF EXISTS (SELECT FROM @extschema@.rule_webhook_secrets s WHERE s.expires_at <= clock_timestamp()) THEN
        WITH w AS (
            SELECT w.webhook_id FROM @extschema@.rule_webhooks w
            WHERE w.webhook_id IN (SELECT s.webhook_id FROM @extschema@.rule_webhook_secrets s
                                   WHERE s.expires_at <= clock_timestamp())
            ORDER BY w.webhook_id FOR UPDATE SKIP LOCKED)
        DELETE FROM @extschema@.rule_webhook_secrets s USING w
        WHERE s.webhook_id = w.webhook_id AND s.expires_at <= clock_timestamp();
    END IF;
    RETURN QUERY
    SELECT m.mark, e.webhook_id, e.webhook_name, e.webhook_url, e.http_method, e.headers, e.timeout_ms, e.secrets, e.enabled
    FROM (SELECT pg_current_snapshot() AS mark) m
    LEFT JOIN LATERAL (
        SELECT w.*, ARRAY(SELECT s.secret FROM @extschema@.rule_webhook_secrets s
                          WHERE s.webhook_id = w.webhook_id
                            AND (s.expires_at IS NULL OR s.expires_at > clock_timestamp())
                          ORDER BY s.created_at DESC, s.secret_name) AS secrets
        FROM @extschema@.rule_webhooks w
        -- A mark from beyond our own time was given before the database went back to an earlier point.
        WHERE p_mark IS NULL OR pg_snapshot_xmax(p_mark) > pg_snapshot_xmax(m.mark)
           OR NOT pg_visible_in_snapshot(w.changed_xid, p_mark)
    ) e ON true
    ORDER BY e.webhook_id;
END
$$;
COMMENT ON FUNCTION @extschema@.rule_worker_endpoints(pg_snapshot) IS
    'For workers: webhooks that changed since the mark of the last call, all of them without one, and a new mark. One row with webhook_id NULL when nothing did.';
