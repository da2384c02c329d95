-- Whether an event still has room in the queue. Only for new events: retries, and what comes out of a stream, were accepted.

CREATE OR REPLACE FUNCTION @extschema@._rule_queue_limits()
RETURNS TABLE (webhook_id integer, name text, max_events bigint, max_bytes bigint)
LANGUAGE sql STABLE
AS $$
    SELECT 0, 'the queue', s.queue_max_events, s.queue_max_bytes
    FROM @extschema@.rule_engine_settings s
    WHERE s.queue_max_events IS NOT NULL OR s.queue_max_bytes IS NOT NULL
    UNION ALL
    SELECT w.webhook_id, pg_catalog.format('the queue of webhook "%s"', w.webhook_name), w.queue_max_events, w.queue_max_bytes
    FROM @extschema@.rule_webhooks w
    WHERE w.queue_max_events IS NOT NULL OR w.queue_max_bytes IS NOT NULL
$$;
COMMENT ON FUNCTION @extschema@._rule_queue_limits() IS
    'Internal: the limits that are set. webhook_id 0 is that of all webhooks together.';

-- Twice what is enough, since one half of it can lie behind the row. Beyond that nothing is counted: the answer is known.
CREATE OR REPLACE FUNCTION @extschema@._rule_queue_waiting(
    p_webhook_id integer, p_up_to bigint, p_enough_events bigint,
    OUT events bigint, OUT bytes bigint, OUT later_events bigint, OUT later_bytes bigint)
LANGUAGE plpgsql
AS $$
DECLARE
    -- A range, so that one plan serves one webhook and all of them through the same index.
    v_first integer := CASE p_webhook_id WHEN 0 THEN -2147483648 ELSE p_webhook_id END;
    v_last integer := CASE p_webhook_id WHEN 0 THEN 2147483647 ELSE p_webhook_id END;
BEGIN
    SELECT count(*) FILTER (WHERE r.settled), coalesce(sum(r.size) FILTER (WHERE r.settled), 0),
           count(*) FILTER (WHERE NOT r.settled), coalesce(sum(r.size) FILTER (WHERE NOT r.settled), 0)
    INTO events, bytes, later_events, later_bytes
    FROM (SELECT q.queue_id <= p_up_to AS settled, pg_column_size(q.payload) AS size FROM @extschema@.rule_webhook_queue q
          WHERE q.status = 'processing' AND q.lease_until IS NOT NULL AND q.webhook_id BETWEEN v_first AND v_last
          UNION ALL
          SELECT q.queue_id <= p_up_to, pg_column_size(q.payload) FROM @extschema@.rule_webhook_queue q
          WHERE q.status = 'pending' AND q.webhook_id + 0 BETWEEN v_first AND v_last
          LIMIT 2 * least(p_enough_events, 1000000000)) r;
END
$$;
COMMENT ON FUNCTION @extschema@._rule_queue_waiting(integer, bigint, bigint) IS
    'Internal: what waits of a webhook, 0 for all, up to a row and behind it; counted until there is enough, NULL for all of it.';

CREATE OR REPLACE FUNCTION @extschema@._rule_queue_waiting_since(
    p_webhook_id integer, p_after bigint, p_enough_events bigint, OUT events bigint, OUT bytes bigint)
LANGUAGE plpgsql
AS $$
BEGIN
    SELECT count(*), coalesce(sum(r.size), 0) INTO events, bytes
    -- The rows behind it and no others, however many the webhook has.
    FROM (SELECT pg_column_size(q.payload) AS size
          FROM (SELECT b.webhook_id, b.status, b.payload FROM @extschema@.rule_webhook_queue b
                WHERE b.queue_id > p_after ORDER BY b.queue_id OFFSET 0) q
          WHERE q.status IN ('pending', 'processing') AND p_webhook_id IN (0, q.webhook_id)
          LIMIT CASE WHEN p_enough_events < 0 THEN 0 ELSE p_enough_events END) r;
END
$$;
COMMENT ON FUNCTION @extschema@._rule_queue_waiting_since(integer, bigint, bigint) IS
    'Internal: what waits behind a row alone, counted until there is enough.';

-- The last number that was drawn says without a look at any row how many can have come since a measure.
CREATE OR REPLACE FUNCTION @extschema@._rule_queue_last()
RETURNS bigint LANGUAGE sql VOLATILE
AS $$ SELECT coalesce(pg_catalog.pg_sequence_last_value('@extschema@.rule_webhook_queue_queue_id_seq'), 0) $$;
COMMENT ON FUNCTION @extschema@._rule_queue_last() IS
    'Internal: the highest queue_id that there can be.';

CREATE OR REPLACE FUNCTION @extschema@._rule_queue_counted(p_webhook_id integer)
RETURNS bigint[] LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'rule_queue_counted';
COMMENT ON FUNCTION @extschema@._rule_queue_counted(integer) IS
    'Internal: up to which row this transaction has counted what waits of a webhook, 0 for all, with how many events and bytes.';

CREATE OR REPLACE FUNCTION @extschema@._rule_queue_counted_set(p_webhook_id integer, p_up_to bigint, p_events bigint, p_bytes bigint)
RETURNS void LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'rule_queue_counted_set';
COMMENT ON FUNCTION @extschema@._rule_queue_counted_set(integer, bigint, bigint, bigint) IS
    'Internal: keeps for the rest of this transaction what it has counted.';

CREATE OR REPLACE FUNCTION @extschema@._rule_queue_full(p_webhook_id integer, p_bytes bigint)
RETURNS text LANGUAGE plpgsql SET enable_seqscan = off SET jit = off SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_last bigint := @extschema@._rule_queue_last();
    v_limit record;
    v_found record;
    v_counted bigint[];
    v_recent boolean;
BEGIN
    FOR v_limit IN
        SELECT l.*, l.max_bytes - p_bytes + 1 AS full_bytes, coalesce(f.waiting_events, 0) AS events,
               coalesce(f.waiting_bytes, 0) AS bytes, coalesce(f.up_to_queue_id, 0) AS up_to,
               f.measured_at NOT BETWEEN clock_timestamp() - greatest(interval '1 second', 200 * f.measuring_time)
                                     AND clock_timestamp() + interval '1 minute' AS old
        FROM @extschema@._rule_queue_limits() l
        LEFT JOIN @extschema@.rule_webhook_queue_fill f ON f.webhook_id = l.webhook_id
        WHERE l.webhook_id IN (0, p_webhook_id)
        ORDER BY l.webhook_id DESC
    LOOP
        CONTINUE WHEN v_limit.max_bytes IS NULL AND v_limit.events + v_last - v_limit.up_to < v_limit.max_events;
        -- Serializable publishers that look for each other's rows would fail each other. The measure is nobody's of them.
        IF current_setting('transaction_isolation') <> 'serializable' THEN
            v_counted := @extschema@._rule_queue_counted(v_limit.webhook_id);
            IF v_last - v_counted[1] <= 10000 THEN
                SELECT f.events + v_counted[2] AS events, f.bytes + v_counted[3] AS bytes INTO v_found
                FROM @extschema@._rule_queue_waiting_since(v_limit.webhook_id, v_counted[1], v_limit.max_events - v_counted[2]) f;
                IF (v_found.events >= v_limit.max_events OR v_found.bytes >= v_limit.full_bytes) IS NOT TRUE THEN
                    PERFORM @extschema@._rule_queue_counted_set(v_limit.webhook_id, v_last, v_found.events, v_found.bytes);
                    CONTINUE;
                END IF;
            END IF;
            -- Where more has come since than waits, the count of what waits is the shorter way.
            v_recent := v_last - v_limit.up_to <= greatest(10000, v_limit.events);
            IF v_recent THEN
                SELECT * INTO v_found FROM @extschema@._rule_queue_waiting_since(v_limit.webhook_id, v_limit.up_to,
                    v_limit.max_events - v_limit.events);
                v_limit.events := v_limit.events + v_found.events;
                v_limit.bytes := v_limit.bytes + v_found.bytes;
            END IF;
            -- What has left since the measure is still in it. Where counting takes long the next measure is waited for, or
            -- those who are refused would do little else.
            IF NOT v_recent
               OR (v_limit.old AND (v_limit.events >= v_limit.max_events OR v_limit.bytes >= v_limit.full_bytes)) THEN
                SELECT * INTO v_found FROM @extschema@._rule_queue_waiting(v_limit.webhook_id, v_last, v_limit.max_events);
                v_limit.events := v_found.events;
                v_limit.bytes := v_found.bytes;
            END IF;
            IF (v_limit.events >= v_limit.max_events OR v_limit.bytes >= v_limit.full_bytes) IS NOT TRUE THEN
                PERFORM @extschema@._rule_queue_counted_set(v_limit.webhook_id, v_last, v_limit.events, v_limit.bytes);
                CONTINUE;
            END IF;
        END IF;
        IF v_limit.events >= v_limit.max_events THEN
            RETURN format('%s holds %s of at most %s events', v_limit.name, least(v_limit.events, v_limit.max_events), v_limit.max_events);
        ELSIF v_limit.bytes >= v_limit.full_bytes THEN
            RETURN format('%s holds %s of at most %s bytes, and the event has %s', v_limit.name, v_limit.bytes, v_limit.max_bytes, p_bytes);
        END IF;
    END LOOP;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION @extschema@._rule_queue_full(integer, bigint) IS
    'Internal: why a new event of so many bytes has no room in the queue, NULL where it has.';
