-- How endpoints do, and the breaker that keeps events from one that is away. Both hold for all workers. Written to when an
-- endpoint fails or recovers, never by its deliveries; a row that is locked is left to the next report.

-- What the endpoint answered and would answer again; all else is an outage.
CREATE OR REPLACE FUNCTION @extschema@._rule_status_refuses(p_status integer)
RETURNS boolean LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$ SELECT coalesce(p_status BETWEEN 300 AND 499 AND p_status NOT IN (408, 425, 429), false) $$;
COMMENT ON FUNCTION @extschema@._rule_status_refuses(integer) IS
    'Internal: whether an answer refuses its request, so that max_retries counts it.';

CREATE OR REPLACE FUNCTION @extschema@._rule_endpoints_note(
    p_well integer[], p_ill integer[], p_statuses integer[], p_started_ms_ago double precision[])
RETURNS void LANGUAGE plpgsql
AS $$
DECLARE
    v_now timestamptz := clock_timestamp();
    v_ill record;
BEGIN
    IF p_well <> '{}' AND EXISTS (SELECT FROM @extschema@.rule_webhook_endpoints e WHERE e.failing_since IS NOT NULL) THEN
        WITH recovered AS (
            SELECT e.webhook_id FROM @extschema@.rule_webhook_endpoints e
            WHERE e.webhook_id = ANY (p_well) AND e.failing_since IS NOT NULL
            ORDER BY e.webhook_id FOR UPDATE SKIP LOCKED)
        UPDATE @extschema@.rule_webhook_endpoints e
        SET failing_since = NULL, last_success_at = v_now, outages = 0, breaker_state = 'closed',
            breaker_since = CASE e.breaker_state WHEN 'closed' THEN e.breaker_since ELSE v_now END,
            open_ms = NULL, open_until = NULL
        FROM recovered WHERE e.webhook_id = recovered.webhook_id;
    END IF;
    IF p_ill = '{}' THEN
        RETURN;
    END IF;
    FOR v_ill IN
        SELECT i.webhook_id, bool_or(i.status = 410) AS gone,
               bool_or(@extschema@._rule_status_refuses(i.status)) AS refused,
               array_agg(v_now - make_interval(secs => i.ms_ago / 1000)) AS began,
               i.webhook_id = ANY (p_well) AS well
        FROM unnest(p_ill, p_statuses, p_started_ms_ago) AS i (webhook_id, status, ms_ago)
        GROUP BY i.webhook_id ORDER BY i.webhook_id
    LOOP
        IF v_ill.gone THEN
            PERFORM @extschema@._rule_webhook_hold(v_ill.webhook_id, 'endpoint answered 410 Gone');
        END IF;
        IF NOT v_ill.well THEN
            PERFORM @extschema@._rule_endpoint_failed(v_ill.webhook_id, v_ill.refused, v_ill.began);
        END IF;
    END LOOP;
END
$$;
COMMENT ON FUNCTION @extschema@._rule_endpoints_note(integer[], integer[], integer[], double precision[]) IS
    'Internal: what a batch of reports says of its endpoints: those that delivered, and those that failed, how and how long ago the try began.';

CREATE OR REPLACE FUNCTION @extschema@._rule_endpoint_lock(p_webhook_id integer)
RETURNS boolean LANGUAGE plpgsql
AS $$
BEGIN
    PERFORM FROM @extschema@.rule_webhook_endpoints e WHERE e.webhook_id = p_webhook_id FOR UPDATE SKIP LOCKED;
    IF FOUND THEN
        RETURN true;
    ELSIF EXISTS (SELECT FROM @extschema@.rule_webhook_endpoints e WHERE e.webhook_id = p_webhook_id)
          -- A second INSERT of the row would wait for the first one's transaction.
          OR NOT pg_try_advisory_xact_lock(
              '@extschema@.rule_webhook_endpoints'::regclass::oid::bigint::bit(32)::integer, p_webhook_id) THEN
        RETURN false;
    END IF;
    INSERT INTO @extschema@.rule_webhook_endpoints (webhook_id)
    SELECT w.webhook_id FROM @extschema@.rule_webhooks w WHERE w.webhook_id = p_webhook_id
    ON CONFLICT DO NOTHING;
    RETURN FOUND;
END
$$;
COMMENT ON FUNCTION @extschema@._rule_endpoint_lock(integer) IS
    'Internal: locks what is kept of an endpoint, made where it is missing, or says that it cannot be done now.';

-- Closed becomes open after 5 outages on end; open lets an event through after 1 s (half-open), and after twice as long each
-- time that this one finds it away, up to 60 s. Any answer, a refusal included, closes it.
CREATE OR REPLACE FUNCTION @extschema@._rule_endpoint_failed(p_webhook_id integer, p_refused boolean, p_began timestamptz[])
RETURNS void LANGUAGE plpgsql
AS $$
DECLARE
    v_now timestamptz := clock_timestamp();
    v_old @extschema@.rule_webhook_endpoints;
    v_new @extschema@.rule_webhook_endpoints;
    v_outages integer;
BEGIN
    IF NOT @extschema@._rule_endpoint_lock(p_webhook_id) THEN
        RETURN;
    END IF;
    SELECT * INTO v_old FROM @extschema@.rule_webhook_endpoints e WHERE e.webhook_id = p_webhook_id;
    v_new := v_old;
    v_new.failing_since := coalesce(v_old.failing_since, v_now);
    SELECT count(*) INTO v_outages FROM unnest(p_began) AS b (began) WHERE b.began >= v_old.breaker_since;
    IF p_refused THEN
        v_new.breaker_state := 'closed';
        v_new.outages := 0;
    ELSIF v_old.breaker_state = 'closed' AND v_old.outages + v_outages >= 5 THEN
        v_new.breaker_state := 'open';
        v_new.open_ms := 1000;
    ELSIF v_old.breaker_state = 'closed' THEN
        v_new.outages := v_old.outages + v_outages;
    ELSIF v_old.breaker_state = 'half-open' AND v_outages > 0 THEN
        v_new.breaker_state := 'open';
        v_new.open_ms := least(60000, 2 * v_old.open_ms);
    END IF;
    IF v_new.breaker_state <> v_old.breaker_state THEN
        v_new.breaker_since := v_now;
        v_new.open_ms := CASE v_new.breaker_state WHEN 'open' THEN v_new.open_ms END;
        v_new.opened_xid := CASE v_new.breaker_state WHEN 'open' THEN pg_current_xact_id() ELSE v_old.opened_xid END;
        v_new.open_until := v_now + make_interval(secs => v_new.open_ms / 1000.0);
        v_new.outages := 0;
    END IF;
    IF v_new IS DISTINCT FROM v_old THEN
        UPDATE @extschema@.rule_webhook_endpoints e
        SET failing_since = v_new.failing_since, outages = v_new.outages, breaker_state = v_new.breaker_state,
            breaker_since = v_new.breaker_since, open_ms = v_new.open_ms, open_until = v_new.open_until,
            opened_xid = v_new.opened_xid
        WHERE e.webhook_id = p_webhook_id;
    END IF;
    -- A failure on each of these days, in UTC as the attempts' slots go: two failures with days between them say little of
    -- an endpoint that is seldom called. Days whose attempts are not kept are not asked for.
    IF v_new.failing_since <= v_now - interval '5 days' AND 5 = (
        SELECT count(*) FROM generate_series(0, 4) AS ago (days)
        WHERE (SELECT true FROM @extschema@.rule_webhook_attempts a
               WHERE a.webhook_id = p_webhook_id AND a.slot = (extract(epoch FROM v_now)::bigint / 86400 - ago.days) % 10 LIMIT 1)
           OR EXISTS (SELECT FROM @extschema@.rule_engine_retention r
                      WHERE r.table_name = 'rule_webhook_attempts' AND r.keep < make_interval(days => ago.days + 1))) THEN
        PERFORM @extschema@._rule_webhook_hold(p_webhook_id, 'only failures for 5 days');
    END IF;
END
$$;
COMMENT ON FUNCTION @extschema@._rule_endpoint_failed(integer, boolean, timestamptz[]) IS
    'Internal: keeps that an endpoint failed, with when the tries began, and moves its breaker.';

CREATE OR REPLACE FUNCTION @extschema@._rule_breaker_pass(p_webhook_id integer)
RETURNS boolean LANGUAGE plpgsql
AS $$
DECLARE
    v_now timestamptz := clock_timestamp();
BEGIN
    WITH due AS (
        SELECT e.webhook_id, w.timeout_ms
        FROM @extschema@.rule_webhook_endpoints e JOIN @extschema@.rule_webhooks w ON w.webhook_id = e.webhook_id
        WHERE e.webhook_id = p_webhook_id AND e.open_until <= v_now
        FOR UPDATE OF e SKIP LOCKED)
    UPDATE @extschema@.rule_webhook_endpoints e
    -- The one that is let through may never be reported: then another is.
    SET breaker_state = 'half-open', breaker_since = v_now,
        open_until = v_now + make_interval(secs => 5 + due.timeout_ms / 1000.0)
    FROM due WHERE e.webhook_id = due.webhook_id;
    RETURN FOUND;
END
$$;
COMMENT ON FUNCTION @extschema@._rule_breaker_pass(integer) IS
    'Internal: whether one event may go to an endpoint whose breaker is not closed. Says so to one caller at a time.';

CREATE OR REPLACE FUNCTION @extschema@._rule_breaker_pass_on(p_webhook_id integer, p_taken_at timestamptz)
RETURNS void LANGUAGE plpgsql
AS $$
BEGIN
    -- What was taken since the breaker opened is the one that it let through.
    WITH half_open AS (
        SELECT e.webhook_id FROM @extschema@.rule_webhook_endpoints e
        WHERE e.webhook_id = p_webhook_id AND e.breaker_state = 'half-open'
          AND p_taken_at > e.breaker_since - make_interval(secs => e.open_ms / 1000.0)
        FOR UPDATE SKIP LOCKED)
    UPDATE @extschema@.rule_webhook_endpoints e SET open_until = clock_timestamp()
    FROM half_open WHERE e.webhook_id = half_open.webhook_id;
END
$$;
COMMENT ON FUNCTION @extschema@._rule_breaker_pass_on(integer, timestamptz) IS
    'Internal: of an event that was given back untried, when it was taken: if its endpoint''s breaker had let it through, the next one may go.';

CREATE OR REPLACE FUNCTION @extschema@._rule_due_rows_pass(p_rows bigint[], p_locks integer, OUT rows bigint[], OUT keys integer)
LANGUAGE plpgsql
AS $$
DECLARE
    v_webhook record;
BEGIN
    SELECT * INTO rows, keys FROM @extschema@._rule_order_heads(p_rows, p_locks);
    IF rows = '{}' OR NOT EXISTS (SELECT FROM @extschema@.rule_webhook_endpoints e WHERE e.failing_since IS NOT NULL) THEN
        RETURN;
    END IF;
    FOR v_webhook IN
        SELECT q.webhook_id, array_agg(q.queue_id ORDER BY q.next_retry_at, q.queue_id) AS all_rows
        FROM unnest(rows) AS u (id)
        CROSS JOIN LATERAL (SELECT q.webhook_id, q.queue_id, q.next_retry_at FROM @extschema@.rule_webhook_queue q
                            WHERE q.queue_id = u.id OFFSET 0) q
        JOIN @extschema@.rule_webhook_endpoints e ON e.webhook_id = q.webhook_id
        WHERE e.failing_since IS NOT NULL AND e.breaker_state <> 'closed'
        GROUP BY q.webhook_id ORDER BY q.webhook_id
    LOOP
        IF @extschema@._rule_breaker_pass(v_webhook.webhook_id) THEN
            v_webhook.all_rows := v_webhook.all_rows[2:];
        END IF;
        rows := ARRAY(SELECT r.id FROM unnest(rows) r (id) WHERE r.id <> ALL (v_webhook.all_rows));
    END LOOP;
END
$$;
COMMENT ON FUNCTION @extschema@._rule_due_rows_pass(bigint[], integer) IS
    'Internal: those of some locked queue rows that are in turn in their key and that the breakers of their endpoints let through, as far as so many locks are enough for them and their keys, and how many keys it has locked.';

CREATE OR REPLACE FUNCTION @extschema@._rule_webhooks_endpoint_new()
RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    DELETE FROM @extschema@.rule_webhook_endpoints e WHERE e.webhook_id = OLD.webhook_id;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION @extschema@._rule_webhooks_endpoint_new() IS
    'Internal trigger: what is known of an endpoint ends with its URL, with a hold and with its webhook.';

CREATE OR REPLACE TRIGGER rule_webhooks_endpoint_new
    AFTER UPDATE ON @extschema@.rule_webhooks FOR EACH ROW
    WHEN (OLD.webhook_url <> NEW.webhook_url OR (OLD.held_since IS NOT NULL AND NEW.held_since IS NULL))
    EXECUTE FUNCTION @extschema@._rule_webhooks_endpoint_new();
CREATE OR REPLACE TRIGGER rule_webhooks_endpoint_gone
    AFTER DELETE ON @extschema@.rule_webhooks
    FOR EACH ROW EXECUTE FUNCTION @extschema@._rule_webhooks_endpoint_new();
