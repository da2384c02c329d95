-- What waits is counted where nobody waits for it, so that a publisher need only add what has come since.

CREATE OR REPLACE FUNCTION @extschema@._rule_queue_measure_due()
RETURNS TABLE (webhook_id integer, name text, max_events bigint, max_bytes bigint,
               up_to_queue_id bigint, next_queue_id bigint, next_xid xid8, alarm boolean)
LANGUAGE sql STABLE
AS $$
    SELECT l.webhook_id, l.name, l.max_events, l.max_bytes, f.up_to_queue_id, f.next_queue_id, f.next_xid, f.alarm
    FROM (SELECT q.*, interval '5 seconds' AS often FROM @extschema@._rule_queue_limits() q
          UNION ALL
          -- For the view alone.
          SELECT 0, 'the queue', NULL, NULL, interval '4 minutes'
          WHERE NOT EXISTS (SELECT FROM @extschema@._rule_queue_limits() q WHERE q.webhook_id = 0)) l
    LEFT JOIN @extschema@.rule_webhook_queue_fill f ON f.webhook_id = l.webhook_id
    -- Not for long after the clock was set back.
    WHERE (f.measured_at BETWEEN pg_catalog.clock_timestamp() - greatest(l.often, 20 * f.measuring_time)
                         AND pg_catalog.clock_timestamp() + interval '1 minute') IS NOT TRUE
    ORDER BY f.measured_at NULLS FIRST
$$;
COMMENT ON FUNCTION @extschema@._rule_queue_measure_due() IS
    'Internal: the limits, and all of the queue in any case, whose measure is old, and what it was. Measuring takes a twentieth of the time at most.';

CREATE OR REPLACE FUNCTION @extschema@._rule_queue_measure_ms()
RETURNS integer LANGUAGE sql STABLE
AS $$ SELECT 5000 WHERE EXISTS (SELECT FROM @extschema@._rule_queue_limits()) $$;
COMMENT ON FUNCTION @extschema@._rule_queue_measure_ms() IS
    'Internal: how often a worker is to measure, in ms; NULL where there is no limit.';

CREATE OR REPLACE FUNCTION @extschema@._rule_queue_measure()
RETURNS void LANGUAGE plpgsql
AS $$
DECLARE
    v_start timestamptz := clock_timestamp();
    v_limit record;
    v_began timestamptz;
    v_last bigint;
    v_snapshot pg_snapshot;
    v_settled boolean;
    v_up_to bigint;
    v_found record;
    v_counted boolean;
    v_fill numeric;
BEGIN
    IF NOT EXISTS (SELECT FROM @extschema@._rule_queue_measure_due()) THEN
        RETURN;
    END IF;
    -- Not an advisory lock, which every login may take.
    BEGIN
        LOCK TABLE ONLY @extschema@.rule_webhook_queue_fill IN SHARE UPDATE EXCLUSIVE MODE NOWAIT;
    EXCEPTION WHEN lock_not_available THEN
        RETURN;
    END;
    DELETE FROM @extschema@.rule_webhook_queue_fill f
    WHERE f.webhook_id <> 0 AND NOT EXISTS (SELECT FROM @extschema@._rule_queue_limits() l WHERE l.webhook_id = f.webhook_id);
    FOR v_limit IN SELECT * FROM @extschema@._rule_queue_measure_due() LOOP
        v_began := clock_timestamp();
        -- The number first: whoever drew it or a lower one is in the snapshot.
        v_last := @extschema@._rule_queue_last();
        v_snapshot := pg_current_snapshot();
        v_settled := coalesce(v_limit.next_xid <= pg_snapshot_xmin(v_snapshot), true);
        v_up_to := least(v_last, coalesce(CASE WHEN v_settled THEN v_limit.next_queue_id ELSE v_limit.up_to_queue_id END, 0));
        SELECT * INTO v_found
        FROM @extschema@._rule_queue_waiting(v_limit.webhook_id, v_up_to, v_limit.max_events);
        v_counted := (v_found.events + v_found.later_events < 2 * v_limit.max_events::numeric) IS NOT FALSE;
        -- Until the first number is passed each publisher would count a long queue. Then rather let a transaction off that is
        -- open in this moment.
        IF v_up_to = 0 AND v_found.later_events > 10000 THEN
            v_up_to := v_last;
            v_found.events := v_found.later_events;
            v_found.bytes := v_found.later_bytes;
            v_found.later_events := 0;
            v_found.later_bytes := 0;
        END IF;
        v_fill := 100 * greatest((v_found.events + v_found.later_events)::numeric / v_limit.max_events,
                                 (v_found.bytes + v_found.later_bytes)::numeric / v_limit.max_bytes);
        INSERT INTO @extschema@.rule_webhook_queue_fill AS f
            (webhook_id, waiting_events, waiting_bytes, up_to_queue_id, next_queue_id, next_xid, alarm, measured_at, measuring_time,
             found_events, found_bytes)
        VALUES (v_limit.webhook_id, v_found.events, v_found.bytes, v_up_to,
                CASE WHEN v_settled THEN v_last ELSE v_limit.next_queue_id END,
                CASE WHEN v_settled THEN pg_snapshot_xmax(v_snapshot) ELSE v_limit.next_xid END,
                coalesce(v_fill >= 80, false), v_began, clock_timestamp() - v_began,
                CASE WHEN v_counted THEN v_found.events + v_found.later_events END,
                CASE WHEN v_counted THEN v_found.bytes + v_found.later_bytes END)
        ON CONFLICT (webhook_id) DO UPDATE
        SET waiting_events = excluded.waiting_events, waiting_bytes = excluded.waiting_bytes,
            up_to_queue_id = excluded.up_to_queue_id, next_queue_id = excluded.next_queue_id, next_xid = excluded.next_xid,
            alarm = excluded.alarm, measured_at = excluded.measured_at, measuring_time = excluded.measuring_time,
            found_events = excluded.found_events, found_bytes = excluded.found_bytes;
        IF v_fill >= 80 AND v_limit.alarm IS NOT TRUE THEN
            RAISE WARNING USING MESSAGE = format('%s is %s %% full', v_limit.name, trunc(least(100, v_fill))),
                HINT = 'At its limit new events are refused. Let workers deliver what waits, or raise the limit; see webhook_queue_fill.';
        END IF;
        -- A roll-up waits meanwhile. The next one goes on with the oldest.
        EXIT WHEN clock_timestamp() > v_start + interval '100 milliseconds';
    END LOOP;
END
$$;
COMMENT ON FUNCTION @extschema@._rule_queue_measure() IS
    'Internal: counts what waits, where there is a limit and the last count is old, and warns once when 80 % are reached.';
