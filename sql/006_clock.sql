-- The server's clock may have been ahead for a while, until NTP or a failover put it right. What was stored meanwhile lies in
-- the future, and would be waited for until that comes again.

CREATE OR REPLACE FUNCTION @extschema@._rule_clock_mend()
RETURNS boolean LANGUAGE plpgsql
-- Whatever the queue was like when it was analyzed.
SET enable_seqscan = off SET jit = off
AS $$
DECLARE
    c_longest CONSTANT interval := @extschema@._rule_lease(300000);
    v_now timestamptz := clock_timestamp();
    -- Another session's now may be some milliseconds later.
    v_soon timestamptz := v_now + interval '1 minute';
    v_behind boolean;
    v_webhooks integer[];
BEGIN
    WITH ahead AS (
        SELECT e.ctid AS place FROM @extschema@.rule_webhook_endpoints e
        WHERE greatest(e.breaker_since, e.failing_since, e.open_until - c_longest) > v_soon
        FOR UPDATE SKIP LOCKED)
    UPDATE @extschema@.rule_webhook_endpoints e
    SET breaker_since = least(e.breaker_since, v_now),
        failing_since = CASE WHEN e.failing_since > v_now THEN v_now ELSE e.failing_since END,
        open_until = CASE WHEN e.open_until > v_now THEN v_now ELSE e.open_until END
    FROM ahead WHERE e.ctid = ahead.place;
    v_behind := FOUND;

    -- As long as if they were given now: who lives renews them, every few seconds. What is leased was due.
    WITH ahead AS (
        SELECT q.ctid AS place, w.timeout_ms
        FROM @extschema@.rule_webhook_queue q JOIN @extschema@.rule_webhooks w ON w.webhook_id = q.webhook_id
        WHERE q.lease_until > v_soon + c_longest
        FOR UPDATE OF q SKIP LOCKED)
    UPDATE @extschema@.rule_webhook_queue q
    SET lease_until = v_now + @extschema@._rule_lease(ahead.timeout_ms), next_retry_at = least(q.next_retry_at, v_now),
        created_at = least(q.created_at, v_now), started_at = least(q.started_at, v_now)
    FROM ahead WHERE q.ctid = ahead.place;
    v_behind := v_behind OR FOUND;

    -- A dead worker would count as one that lives, and as one that reaches NATS.
    WITH ahead AS (
        SELECT s.ctid AS place FROM @extschema@.rule_nats_consumer_stats s
        WHERE greatest(s.last_active_at, s.reached_at) > v_soon
        FOR UPDATE SKIP LOCKED)
    UPDATE @extschema@.rule_nats_consumer_stats s
    SET last_active_at = CASE WHEN s.last_active_at > v_now THEN v_now ELSE s.last_active_at END,
        reached_at = CASE WHEN s.reached_at > v_now THEN v_now ELSE s.reached_at END,
        instance_at = CASE WHEN s.instance_at > v_now THEN v_now ELSE s.instance_at END
    FROM ahead WHERE s.ctid = ahead.place;
    v_behind := v_behind OR FOUND;

    -- An UPDATE, if only of none, makes all sessions read the webhooks again. It mends paused_since, too, by a trigger.
    v_webhooks := ARRAY(
        SELECT w.webhook_id FROM @extschema@.rule_webhooks w
        WHERE greatest(w.held_since, w.paused_since, w.resumed_at) > v_soon
        FOR NO KEY UPDATE SKIP LOCKED);
    IF v_webhooks <> '{}' THEN
        v_behind := true;
        UPDATE @extschema@.rule_webhooks w
        SET held_since = CASE WHEN w.held_since > v_now THEN v_now ELSE w.held_since END,
            resumed_at = CASE WHEN w.resumed_at > v_now THEN v_now ELSE w.resumed_at END
        WHERE w.webhook_id = ANY (v_webhooks);
    END IF;

    -- What rolled back later than that would be delivered. Whatever history is gone was of a time before now. As for webhooks,
    -- no UPDATE of none.
    PERFORM FROM @extschema@.rule_engine_source s
    WHERE greatest(s.history_kept_since, s.adopted_at) > v_soon FOR NO KEY UPDATE SKIP LOCKED;
    IF FOUND THEN
        v_behind := true;
        UPDATE @extschema@.rule_engine_source s
        SET history_kept_since = least(s.history_kept_since, v_now), adopted_at = least(s.adopted_at, v_now);
    END IF;
    RETURN v_behind;
END
$$;
COMMENT ON FUNCTION @extschema@._rule_clock_mend() IS
    'Internal: ends what waits for a time that a clock which was set back has left, but for rows of the queue and receipts, and says whether it was.';

CREATE OR REPLACE FUNCTION @extschema@._rule_clock_mend_rows(p_limit bigint)
RETURNS bigint LANGUAGE plpgsql
SET enable_seqscan = off SET jit = off
AS $$
DECLARE
    v_now timestamptz := clock_timestamp();
    v_soon timestamptz := v_now + interval '1 minute';
    v_webhook_id integer;
    v_rows bigint;
    v_mended bigint := 0;
BEGIN
    FOREACH v_webhook_id IN ARRAY @extschema@._rule_pending_webhooks() LOOP
        EXIT WHEN v_mended >= p_limit;
        -- Behind all that is due. What nobody has taken yet waits for the time that its publisher has chosen, unless that was
        -- the time of its publish; what is parked waits for its turn, which makes it due since it came. For anything else an
        -- endpoint may ask for a day at most.
        WITH ahead AS (
            SELECT q.ctid AS place,
                   q.next_retry_at = 'infinity'
                   OR (q.started_at IS NULL AND q.route = 'post' AND q.redelivery = 0 AND q.next_retry_at <> q.created_at) AS stays
            FROM @extschema@.rule_webhook_queue q
            WHERE q.webhook_id + 0 = v_webhook_id AND q.status = 'pending' AND q.next_retry_at > v_soon
              AND (greatest(q.created_at, q.started_at) > v_soon
                   OR (q.next_retry_at > v_now + interval '25 hours' AND q.next_retry_at <> 'infinity'
                       AND (q.started_at IS NOT NULL OR q.route <> 'post' OR q.redelivery > 0)))
            ORDER BY q.next_retry_at LIMIT p_limit - v_mended
            FOR UPDATE SKIP LOCKED)
        UPDATE @extschema@.rule_webhook_queue q
        SET created_at = least(q.created_at, v_now),
            started_at = CASE WHEN q.started_at > v_now THEN v_now ELSE q.started_at END,
            next_retry_at = CASE WHEN ahead.stays THEN q.next_retry_at
                                 -- The stream comes first.
                                 WHEN q.route = 'stream' THEN v_now + interval '30 seconds'
                                 ELSE v_now END
        FROM ahead WHERE q.ctid = ahead.place;
        GET DIAGNOSTICS v_rows = ROW_COUNT;
        v_mended := v_mended + v_rows;
    END LOOP;
    IF v_mended > 0 THEN
        PERFORM @extschema@._rule_queue_wake();
    END IF;
    RETURN v_mended;
END
$$;
COMMENT ON FUNCTION @extschema@._rule_clock_mend_rows(bigint) IS
    'Internal: makes rows of the queue due that wait for a time that a clock which was set back has left, at most so many, and says how many.';

CREATE OR REPLACE FUNCTION @extschema@._rule_clock_mend_receipts(p_limit bigint)
RETURNS bigint LANGUAGE plpgsql
AS $$
DECLARE
    v_now timestamptz := clock_timestamp();
    v_rows bigint;
BEGIN
    WITH ahead AS (
        SELECT r.ctid AS place, w.timeout_ms
        FROM @extschema@.rule_webhook_receipts r JOIN @extschema@.rule_webhooks w ON w.webhook_id = r.webhook_id
        WHERE r.state = 'leased' AND r.lease_until > v_now + interval '1 minute' + @extschema@._rule_lease(300000)
        LIMIT p_limit FOR UPDATE OF r SKIP LOCKED)
    UPDATE @extschema@.rule_webhook_receipts r SET lease_until = v_now + @extschema@._rule_lease(ahead.timeout_ms)
    FROM ahead WHERE r.ctid = ahead.place;
    GET DIAGNOSTICS v_rows = ROW_COUNT;
    RETURN v_rows;
END
$$;
COMMENT ON FUNCTION @extschema@._rule_clock_mend_receipts(bigint) IS
    'Internal: shortens leases of receipts that are longer than any that is given, at most so many, and says how many. Reads all receipts.';
