-- Counting rows of history and attempts into their roll-ups. Whoever does holds the lock of _rule_roll_up_lock().

CREATE OR REPLACE FUNCTION @extschema@._rule_roll_up_lock(p_wait boolean)
RETURNS boolean LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- Not an advisory lock, which every login may take. This one needs rights to the table, gets in no writer's way, takes no
    -- transaction id, and autovacuum, which takes the same of the days, never takes it of the table that they are part of.
    IF p_wait THEN
        LOCK TABLE ONLY @extschema@.rule_nats_publish_history IN SHARE UPDATE EXCLUSIVE MODE;
    ELSE
        LOCK TABLE ONLY @extschema@.rule_nats_publish_history IN SHARE UPDATE EXCLUSIVE MODE NOWAIT;
    END IF;
    RETURN true;
EXCEPTION WHEN lock_not_available THEN
    IF p_wait THEN
        RAISE;
    END IF;
    RETURN false;
END
$$;
COMMENT ON FUNCTION @extschema@._rule_roll_up_lock(boolean) IS
    'Internal: makes the transaction the only one that maintains or removes history and attempts. What a person calls waits for it.';

CREATE OR REPLACE FUNCTION @extschema@._rule_roll_up(p_table text, p_condition text, p_slot integer DEFAULT NULL)
RETURNS bigint LANGUAGE plpgsql SET jit = off SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_slot text := coalesce(p_slot || '::smallint', 'r.slot');
    v_rows bigint;
BEGIN
    IF p_table = 'rule_nats_publish_history' THEN
        EXECUTE format($sql$
            WITH b AS MATERIALIZED (
                SELECT r.webhook_id, %1$s AS slot, r.hour, r.success, r.subject, r.bucket, count(*) AS publishes,
                       count(*) FILTER (WHERE r.duplicate) AS duplicates, count(r.latency_ms) AS latencies,
                       sum(r.latency_ms) AS latency_sum_ms, min(r.latency_ms) AS latency_min_ms,
                       max(r.latency_ms) AS latency_max_ms, min(r.published_at) AS first_published_at,
                       max(r.published_at) AS last_published_at
                FROM %3$s._rule_publish_rows r WHERE %2$s
                GROUP BY 1, 2, 3, 4, 5, 6),
            merged AS (
                INSERT INTO %3$s.rule_nats_publish_hours AS t
                    (webhook_id, slot, hour, success, subject, publishes, duplicates, latencies, latency_sum_ms, latency_min_ms,
                     latency_max_ms, first_published_at, last_published_at, buckets, bucket_counts)
                SELECT b.webhook_id, b.slot, b.hour, b.success, b.subject, sum(b.publishes), sum(b.duplicates), sum(b.latencies),
                       sum(b.latency_sum_ms), min(b.latency_min_ms), max(b.latency_max_ms), min(b.first_published_at),
                       max(b.last_published_at), array_agg(b.bucket ORDER BY b.bucket) FILTER (WHERE b.bucket IS NOT NULL),
                       array_agg(b.latencies ORDER BY b.bucket) FILTER (WHERE b.bucket IS NOT NULL)
                FROM b
                GROUP BY b.webhook_id, b.slot, b.hour, b.success, b.subject
                ON CONFLICT ON CONSTRAINT rule_nats_publish_hours_pkey DO UPDATE
                SET publishes = t.publishes + excluded.publishes, duplicates = t.duplicates + excluded.duplicates,
                    latencies = t.latencies + excluded.latencies,
                    latency_sum_ms = coalesce(t.latency_sum_ms + excluded.latency_sum_ms, t.latency_sum_ms, excluded.latency_sum_ms),
                    latency_min_ms = least(t.latency_min_ms, excluded.latency_min_ms),
                    latency_max_ms = greatest(t.latency_max_ms, excluded.latency_max_ms),
                    first_published_at = least(t.first_published_at, excluded.first_published_at),
                    last_published_at = greatest(t.last_published_at, excluded.last_published_at),
                    (buckets, bucket_counts) = (
                        SELECT array_agg(m.bucket ORDER BY m.bucket), array_agg(m.n ORDER BY m.bucket)
                        FROM (SELECT u.bucket, sum(u.n)::bigint AS n
                              FROM unnest(t.buckets || excluded.buckets, t.bucket_counts || excluded.bucket_counts) AS u (bucket, n)
                              GROUP BY u.bucket) m))
            SELECT coalesce(sum(b.publishes), 0) FROM b$sql$, v_slot, p_condition, '@extschema@')
        INTO v_rows;
    ELSE
        EXECUTE format($sql$
            WITH b AS MATERIALIZED (
                SELECT r.webhook_id, %1$s AS slot, r.bucket, count(*) AS attempts,
                       count(*) FILTER (WHERE r.outcome = 'delivered') AS delivered, count(r.duration_ms) AS durations,
                       sum(r.duration_ms::double precision) AS duration_sum_ms, min(r.duration_ms) AS duration_min_ms,
                       max(r.duration_ms) AS duration_max_ms, max(r.started_at) AS last_started_at
                FROM %3$s._rule_attempt_rows r WHERE %2$s
                GROUP BY 1, 2, 3),
            merged AS (
                INSERT INTO %3$s.rule_webhook_attempt_days AS t
                    (webhook_id, slot, attempts, delivered, durations, duration_sum_ms, duration_min_ms, duration_max_ms,
                     last_started_at, buckets, bucket_counts)
                SELECT b.webhook_id, b.slot, sum(b.attempts), sum(b.delivered), sum(b.durations), sum(b.duration_sum_ms),
                       min(b.duration_min_ms), max(b.duration_max_ms), max(b.last_started_at),
                       array_agg(b.bucket ORDER BY b.bucket) FILTER (WHERE b.bucket IS NOT NULL),
                       array_agg(b.durations ORDER BY b.bucket) FILTER (WHERE b.bucket IS NOT NULL)
                FROM b
                GROUP BY b.webhook_id, b.slot
                ON CONFLICT ON CONSTRAINT rule_webhook_attempt_days_pkey DO UPDATE
                SET attempts = t.attempts + excluded.attempts, delivered = t.delivered + excluded.delivered,
                    durations = t.durations + excluded.durations,
                    duration_sum_ms = coalesce(t.duration_sum_ms + excluded.duration_sum_ms, t.duration_sum_ms, excluded.duration_sum_ms),
                    duration_min_ms = least(t.duration_min_ms, excluded.duration_min_ms),
                    duration_max_ms = greatest(t.duration_max_ms, excluded.duration_max_ms),
                    last_started_at = greatest(t.last_started_at, excluded.last_started_at),
                    (buckets, bucket_counts) = (
                        SELECT array_agg(m.bucket ORDER BY m.bucket), array_agg(m.n ORDER BY m.bucket)
                        FROM (SELECT u.bucket, sum(u.n)::bigint AS n
                              FROM unnest(t.buckets || excluded.buckets, t.bucket_counts || excluded.bucket_counts) AS u (bucket, n)
                              GROUP BY u.bucket) m))
            SELECT coalesce(sum(b.attempts), 0) FROM b$sql$, v_slot, p_condition, '@extschema@')
        INTO v_rows;
    END IF;
    RETURN v_rows;
END
$$;
COMMENT ON FUNCTION @extschema@._rule_roll_up(text, text, integer) IS
    'Internal: adds the rows that meet a condition to the roll-ups of their slots, or of the slot that they move to, and tells how many.';

CREATE OR REPLACE FUNCTION @extschema@._rule_rolled_up_to(p_table text)
RETURNS bigint LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$ SELECT u.rolled_up_to FROM @extschema@.rule_engine_upkeep u WHERE u.table_name = p_table $$;
COMMENT ON FUNCTION @extschema@._rule_rolled_up_to(text) IS
    'Internal: the id up to which the rows of a ring are rolled up.';

CREATE OR REPLACE FUNCTION @extschema@._rule_roll_up_forget(p_table text, p_slots integer[])
RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF p_table = 'rule_nats_publish_history' THEN
        DELETE FROM @extschema@.rule_nats_publish_hours t WHERE t.slot = ANY (p_slots);
    ELSE
        DELETE FROM @extschema@.rule_webhook_attempt_days t WHERE t.slot = ANY (p_slots);
    END IF;
END
$$;
COMMENT ON FUNCTION @extschema@._rule_roll_up_forget(text, integer[]) IS
    'Internal: drops the roll-ups of slots that are empty.';

CREATE OR REPLACE FUNCTION @extschema@._rule_roll_up_again(p_table text, p_slot integer, p_oldest timestamptz, p_newest timestamptz)
RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_condition text := CASE p_table WHEN 'rule_nats_publish_history' THEN 'r.publish_id' ELSE 'r.attempt_id' END
                        || format(' <= %s AND r.slot = %s', @extschema@._rule_rolled_up_to(p_table), p_slot);
    v_from timestamptz := date_bin('1 hour', p_oldest, '1970-01-01 00:00:00+00');
    v_to timestamptz := date_bin('1 hour', p_newest, '1970-01-01 00:00:00+00');
BEGIN
    -- What is left says what the least and the largest are; the rows that went do not.
    IF p_table = 'rule_nats_publish_history' THEN
        DELETE FROM @extschema@.rule_nats_publish_hours t WHERE t.slot = p_slot AND t.hour BETWEEN v_from AND v_to;
        v_condition := v_condition || format(' AND r.hour BETWEEN %L AND %L', v_from, v_to);
    ELSE
        PERFORM @extschema@._rule_roll_up_forget(p_table, ARRAY[p_slot]);
    END IF;
    PERFORM @extschema@._rule_roll_up(p_table, v_condition);
END
$$;
COMMENT ON FUNCTION @extschema@._rule_roll_up_again(text, integer, timestamptz, timestamptz) IS
    'Internal: counts a slot again, of history the hours of these times, after rows of it were deleted.';


CREATE OR REPLACE FUNCTION @extschema@._rule_roll_up_closed(p_max_rows bigint, OUT report jsonb)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_alone boolean := pg_current_xact_id_if_assigned() IS NULL;
    v_ended xid8 := pg_snapshot_xmin(pg_current_snapshot());
    -- Counting is cheaper than deleting.
    v_most bigint := 10 * p_max_rows;
    v_ring record;
    v_first bigint;
    v_to bigint;
    v_rows bigint;
    v_more boolean;
BEGIN
    report := '{}';
    -- Whoever records a publish or an attempt has a transaction's id before it draws a row's. The ids that are drawn now thus
    -- belong to transactions older than an id given after this look; where this one has had its own before, it proves nothing.
    FOR v_ring IN
        SELECT u.table_name, u.rolled_up_to, u.noted_id, u.noted_xid, r.key, coalesce(pg_sequence_last_value(r.sequence), 0) AS drawn
        FROM (VALUES ('rule_nats_publish_history', 'publish_id', '@extschema@.rule_nats_publish_history_publish_id_seq'::regclass),
                     ('rule_webhook_attempts', 'attempt_id', '@extschema@.rule_webhook_attempts_attempt_id_seq'::regclass))
             AS r (name, key, sequence)
        JOIN @extschema@.rule_engine_upkeep u ON u.table_name = r.name
        ORDER BY u.table_name
    LOOP
        -- Ids that are long gone are not counted through.
        EXECUTE format('SELECT r.%1$I FROM %4$s.%2$I r WHERE r.%1$I > %3$s ORDER BY r.%1$I LIMIT 1',
                       v_ring.key, v_ring.table_name, v_ring.rolled_up_to, '@extschema@') INTO v_first;
        v_to := CASE WHEN v_ring.noted_xid <= v_ended THEN v_ring.noted_id ELSE v_ring.rolled_up_to END;
        IF v_alone AND (v_ring.noted_xid IS NULL OR v_ring.noted_xid <= v_ended)
           AND (v_first IS NULL OR v_to < v_first + v_most) THEN
            UPDATE @extschema@.rule_engine_upkeep u SET noted_id = v_ring.drawn, noted_xid = pg_current_xact_id()
            WHERE u.table_name = v_ring.table_name;
            IF pg_current_xact_id() <= pg_snapshot_xmin(pg_current_snapshot()) THEN
                v_to := v_ring.drawn;
            END IF;
        END IF;
        v_more := coalesce(v_to >= v_first + v_most, false);
        IF v_more THEN
            v_to := v_first + v_most - 1;
        END IF;
        v_rows := 0;
        IF v_to > v_ring.rolled_up_to THEN
            v_rows := @extschema@._rule_roll_up(v_ring.table_name,
                format('r.%1$I > %2$s AND r.%1$I <= %3$s', v_ring.key, v_ring.rolled_up_to, v_to));
        END IF;
        UPDATE @extschema@.rule_engine_upkeep u
        SET rolled_up_to = v_to, rolled_up_at = clock_timestamp(), more = v_more WHERE u.table_name = v_ring.table_name;
        report := report || jsonb_build_object(v_ring.table_name, jsonb_build_object('rows', v_rows, 'more', v_more));
    END LOOP;
END
$$;
COMMENT ON FUNCTION @extschema@._rule_roll_up_closed(bigint) IS
    'Internal: rolls up the rows of all transactions that have ended since they were last looked at, so many at most, and looks again.';
