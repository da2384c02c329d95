-- What a worker must know of webhooks to send, and when to leave them alone.

CREATE OR REPLACE FUNCTION @extschema@.rule_worker_endpoints(p_mark pg_snapshot DEFAULT NULL)
RETURNS TABLE (mark pg_snapshot, webhook_id integer, webhook_name text, url text, method text, headers jsonb,
               timeout_ms integer, secrets text[], enabled boolean)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    v_now timestamptz := clock_timestamp();
    v_expired integer[] := '{}';
BEGIN
    -- An expiry changes nothing by itself, so no mark would show it: what expired is deleted, which does. Where somebody has it
    -- locked, its webhook is told each time until it is gone.
    IF EXISTS (SELECT FROM @extschema@.rule_webhook_secrets s WHERE s.expires_at <= v_now) THEN
        WITH gone AS (
            SELECT s.webhook_id, s.secret_name
            FROM @extschema@.rule_webhook_secrets s JOIN @extschema@.rule_webhooks w ON w.webhook_id = s.webhook_id
            WHERE s.expires_at <= v_now
            ORDER BY s.webhook_id, s.secret_name FOR UPDATE SKIP LOCKED)
        DELETE FROM @extschema@.rule_webhook_secrets s USING gone
        WHERE s.webhook_id = gone.webhook_id AND s.secret_name = gone.secret_name;
        v_expired := ARRAY(SELECT s.webhook_id FROM @extschema@.rule_webhook_secrets s WHERE s.expires_at <= v_now);
    END IF;
    RETURN QUERY
    SELECT m.mark, e.webhook_id, e.webhook_name, e.webhook_url, e.http_method, e.headers, e.timeout_ms, e.secrets,
           e.enabled AND e.held_since IS NULL AND NOT e.broken
    FROM (SELECT pg_current_snapshot() AS mark) m
    LEFT JOIN LATERAL (
        SELECT w.*, ARRAY(SELECT s.secret FROM @extschema@.rule_webhook_secrets s
                          WHERE s.webhook_id = w.webhook_id
                            AND (s.expires_at IS NULL OR s.expires_at > v_now)
                          ORDER BY s.created_at DESC, s.secret_name) AS secrets,
               b.webhook_id IS NOT NULL AS broken
        FROM @extschema@.rule_webhooks w
        LEFT JOIN @extschema@.rule_webhook_endpoints b
            ON b.webhook_id = w.webhook_id AND b.failing_since IS NOT NULL AND b.breaker_state <> 'closed'
        -- A mark from beyond our own time was given before the database went back to an earlier point.
        WHERE p_mark IS NULL OR pg_snapshot_xmax(p_mark) > pg_snapshot_xmax(m.mark)
           OR NOT pg_visible_in_snapshot(w.changed_xid, p_mark)
           -- That it has closed need not be told: what is claimed from then on is sent.
           OR NOT pg_visible_in_snapshot(b.opened_xid, p_mark)
           OR w.webhook_id = ANY (v_expired)
    ) e ON true
    ORDER BY e.webhook_id;
END
$$;
COMMENT ON FUNCTION @extschema@.rule_worker_endpoints(pg_snapshot) IS
    'For workers: webhooks that changed since the mark of the last call, all of them without one, and a new mark. One row with webhook_id NULL when nothing did. Where enabled is false, a worker gives back what it took before and has not begun to send.';
