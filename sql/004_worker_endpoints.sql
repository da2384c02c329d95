-- What a worker must know of webhooks to send, and when to leave them alone.

-- A mark is a snapshot that says as well of which run of the server it is: after a restore, a failover or a crash the server
-- gives transaction ids anew, and another run's snapshot is of no use. Its xmin says so, as low as it may be: what is older than
-- the oldest open transaction is visible.
CREATE OR REPLACE FUNCTION @extschema@._rule_mark(p_snapshot pg_snapshot)
RETURNS pg_snapshot LANGUAGE plpgsql STABLE STRICT
AS $$
DECLARE
    v_xmax numeric := pg_snapshot_xmax(p_snapshot)::text;
    v_open text := split_part(p_snapshot::text, ':', 3);
    v_oldest numeric := coalesce(nullif(split_part(v_open, ',', 1), '')::numeric, v_xmax);
    v_began timestamptz;
    v_run bigint;
BEGIN
    -- It begins anew after a crash as well. Who must not see it sees at least when the server started.
    SELECT a.backend_start INTO v_began FROM pg_stat_get_activity(NULL) a WHERE a.backend_type = 'checkpointer';
    v_run := 1000000 * extract(epoch FROM coalesce(v_began, pg_postmaster_start_time()));
    -- A snapshot of a standby says nothing of what is open.
    v_run := v_run + pg_is_in_recovery()::integer;
    RETURN format('%s:%s:%s', 1 + v_run % least(v_oldest, 2147483647), v_xmax, v_open);
END
$$;
COMMENT ON FUNCTION @extschema@._rule_mark(pg_snapshot) IS
    'Internal: a snapshot as rule_worker_endpoints gives it: a mark of this run of the server is what this makes of it.';

CREATE OR REPLACE FUNCTION @extschema@.rule_worker_endpoints(p_mark pg_snapshot DEFAULT NULL)
RETURNS TABLE (mark pg_snapshot, webhook_id integer, webhook_name text, url text, method text, headers jsonb,
               timeout_ms integer, secrets text[], enabled boolean)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    v_now timestamptz := clock_timestamp();
    v_all boolean := (p_mark::text = @extschema@._rule_mark(p_mark)::text) IS NOT TRUE;
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
    SELECT m.mark, e.webhook_id, e.webhook_name, e.webhook_url, e.http_method, e.headers, e.timeout_ms, e.secrets, e.enabled
    FROM (SELECT @extschema@._rule_mark(pg_current_snapshot()) AS mark OFFSET 0) m
    LEFT JOIN LATERAL (
        SELECT w.webhook_id, w.webhook_name, w.webhook_url, w.http_method, w.headers, w.timeout_ms,
               ARRAY(SELECT s.secret FROM @extschema@.rule_webhook_secrets s
                     WHERE s.webhook_id = w.webhook_id
                       AND (s.expires_at IS NULL OR s.expires_at > v_now)
                     ORDER BY s.created_at DESC, s.secret_name) AS secrets,
               w.enabled AND w.held_since IS NULL AND b.webhook_id IS NULL AS enabled, false AS deleted
        FROM @extschema@.rule_webhooks w
        LEFT JOIN @extschema@.rule_webhook_endpoints b
            ON b.webhook_id = w.webhook_id AND b.failing_since IS NOT NULL AND b.breaker_state <> 'closed'
        WHERE v_all OR NOT pg_visible_in_snapshot(w.changed_xid, p_mark)
           -- That it has closed need not be told: what is claimed from then on is sent.
           OR NOT pg_visible_in_snapshot(b.opened_xid, p_mark)
           OR w.webhook_id = ANY (v_expired)
        UNION ALL
        -- Who has no mark has nothing in hand.
        SELECT d.webhook_id, '', '', '', '{}', 0, '{}', false, true
        FROM @extschema@.rule_webhook_deletions d
        WHERE p_mark IS NOT NULL AND (v_all OR NOT pg_visible_in_snapshot(d.deleted_xid, p_mark))
    ) e ON true
    -- One that was made again with its id comes after its deletion.
    ORDER BY e.webhook_id, e.deleted DESC;
END
$$;
COMMENT ON FUNCTION @extschema@.rule_worker_endpoints(pg_snapshot) IS
    'For workers: webhooks that changed since the mark of the last call, all of them without one or with one from before the server started, and a new mark. One row with webhook_id NULL when nothing did. Where enabled is false, a worker gives back what it took before and has not begun to send. A url that is empty says that the webhook is deleted; where there is one with its id again, that comes in a row behind it.';
