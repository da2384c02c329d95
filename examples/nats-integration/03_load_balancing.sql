-- Load balancing: many workers share one stream. Each message goes to one of the workers of a QUEUE_GROUP, whichever asks
-- next, so another process is all it takes to deliver more, and one that dies leaves its messages to the rest.
--
-- Run it with psql as a member of rule_engine_admin that may create objects in this schema, as often as you like. Workers
-- are started outside of the database (README.md); without any, the events wait.

\set ON_ERROR_STOP on

\echo
-- Connects, and says so; while NATS is away the events wait in the queue and nothing fails.
SELECT rule_nats_init() ->> 'message' AS nats;

\echo '1. Events to share'
SELECT rule_webhook_register('example_orders', 'https://example.com/hooks/orders',
                             p_description => 'Example 03: orders') AS registered
WHERE NOT EXISTS (SELECT FROM rule_webhooks WHERE webhook_name = 'example_orders');

SELECT rule_webhook_enable_nats(webhook_id, p_nats_subject => 'webhooks.orders.created', p_publish_mode => 'nats') AS enabled
FROM rule_webhooks WHERE webhook_name = 'example_orders';

CREATE TABLE IF NOT EXISTS example_orders (
    order_id bigint  GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    batch    uuid    NOT NULL,
    total    numeric NOT NULL
);

-- A statement's rows leave as one batch: one wait for NATS, and not one a row.
CREATE OR REPLACE TRIGGER publish AFTER INSERT ON example_orders REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION rule_webhook_trigger('example_orders');

CREATE OR REPLACE FUNCTION generate_order_events(p_count integer DEFAULT 100, p_batch_size integer DEFAULT 10)
RETURNS jsonb LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
    v_started timestamptz := clock_timestamp();
    v_batch uuid := gen_random_uuid();
    v_seconds numeric;
    v_published bigint;
    v_failed bigint;
BEGIN
    IF p_count IS NULL OR p_count < 1 OR p_batch_size IS NULL OR p_batch_size < 1 THEN
        RAISE EXCEPTION USING ERRCODE = '22023', MESSAGE = 'p_count and p_batch_size must be 1 or more';
    END IF;
    FOR v_first IN 1 .. p_count BY p_batch_size LOOP
        INSERT INTO example_orders (batch, total)
        SELECT v_batch, 10 + n % 90 FROM generate_series(v_first, least(v_first + p_batch_size - 1, p_count)) AS n;
    END LOOP;
    v_seconds := greatest(extract(epoch FROM clock_timestamp() - v_started), 0.000001);

    SELECT count(*) FILTER (WHERE h.success), count(*) FILTER (WHERE NOT h.success) INTO v_published, v_failed
    FROM rule_nats_publish_history h
    JOIN rule_webhooks w ON w.webhook_id = h.webhook_id
    WHERE w.webhook_name = 'example_orders' AND h.published_at >= v_started
      AND h.payload -> 'new' ->> 'batch' = v_batch::text;
    RETURN jsonb_build_object('published', v_published, 'failed', v_failed, 'duration_seconds', round(v_seconds, 3),
                              'messages_per_second', round(v_published / v_seconds, 1));
END
$$;
COMMENT ON FUNCTION generate_order_events(integer, integer) IS
    'Inserts so many orders, so many a statement, and says how many of their events NATS acknowledged, how many wait in the queue, and how fast that went.';

-- Larger batches, fewer waits.
SELECT size AS batch_size, e -> 'published' AS published, e -> 'failed' AS failed,
       e -> 'messages_per_second' AS messages_per_second
FROM unnest('{1, 10, 100}'::integer[]) AS size CROSS JOIN LATERAL generate_order_events(100, size) AS e;

\echo '2. What the workers carry'
CREATE OR REPLACE VIEW worker_throughput AS
SELECT s.consumer_name, s.messages_acknowledged, round(s.avg_processing_time_ms, 2) AS avg_processing_time_ms,
       round(1000 / nullif(s.avg_processing_time_ms, 0), 1) AS max_msg_per_second, s.last_active_at,
       round(extract(epoch FROM clock_timestamp() - s.last_active_at), 1) AS seconds_since_active
FROM rule_nats_consumer_stats s
WHERE s.active;
COMMENT ON VIEW worker_throughput IS
    'Workers that have not said goodbye, and what they have done since they started. max_msg_per_second is of one request at a time; a worker has up to BATCH_SIZE of them under way.';

SELECT * FROM worker_throughput ORDER BY consumer_name;

\echo '3. How they are'
-- A worker writes its totals every five seconds, whether it has work or not. One that is stopped properly says so
-- (active is false); one that was killed, or has lost the database, just falls silent.
CREATE OR REPLACE FUNCTION monitor_worker_health()
RETURNS TABLE (consumer_name text, status text, messages_processed bigint, avg_latency_ms numeric, health_score numeric,
               recommendation text)
LANGUAGE sql STABLE
AS $$
    SELECT s.consumer_name, c.status, s.messages_acknowledged, round(s.avg_processing_time_ms, 2),
           CASE WHEN c.status = 'active' THEN 100 - c.repeated_pct ELSE 0 END,
           CASE
               WHEN c.status = 'stopped' THEN 'none: it was stopped, and gave back what it had'
               WHEN c.status = 'silent' THEN 'see whether the process runs and reaches the database; others take over what it had'
               WHEN s.messages_pending > 1000 THEN format('%s messages wait: start more workers of this group', s.messages_pending)
               WHEN c.repeated_pct > 10 THEN 'many messages come again: see webhook_recent_failures'
               WHEN s.avg_processing_time_ms > 1000 THEN 'endpoints are slow: see webhook_performance_stats'
               ELSE 'none'
           END
    FROM rule_nats_consumer_stats s
    CROSS JOIN LATERAL (
        SELECT CASE WHEN NOT s.active THEN 'stopped'
                    WHEN s.last_active_at > clock_timestamp() - interval '1 minute' THEN 'active'
                    ELSE 'silent' END AS status,
               round(least(100.0 * s.messages_redelivered / greatest(s.messages_delivered, 1), 100), 1) AS repeated_pct) AS c
    ORDER BY s.consumer_name
$$;
COMMENT ON FUNCTION monitor_worker_health() IS
    'Workers and how they are: active (heard of within a minute), silent or stopped. health_score is 0 for one that is not active, else 100 less the share, in per cent, of its messages that had been delivered before.';

SELECT * FROM monitor_worker_health();

\echo '4. NATS or queue'
SELECT rule_webhook_register('example_mode_' || mode, 'https://example.com/hooks/mode',
                             p_description => 'Example 03: publish mode ' || mode) AS registered
FROM unnest('{queue, nats, both}'::text[]) AS mode
WHERE NOT EXISTS (SELECT FROM rule_webhooks WHERE webhook_name = 'example_mode_' || mode);

SELECT rule_webhook_enable_nats(w.webhook_id, p_nats_subject => 'webhooks.example.mode', p_publish_mode => mode) AS enabled
FROM unnest('{nats, both}'::text[]) AS mode JOIN rule_webhooks w ON w.webhook_name = 'example_mode_' || mode;

-- What a publisher waits for, and nothing else: the same event, the same function, one event a call, the modes in turns.
-- It does not measure the delivery, which an endpoint decides, nor the COMMIT, which mode 'queue' needs as well.
CREATE OR REPLACE FUNCTION compare_publish_modes()
RETURNS TABLE (mode text, messages bigint, duration_seconds numeric, messages_per_second numeric)
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
    c_rounds CONSTANT integer := 5;
    c_calls CONSTANT integer := 20;
    v_webhook record;
    v_started timestamptz;
    v_taken integer;
    v_seconds numeric;
    v_results jsonb := '[]';
BEGIN
    -- Round 0 is not counted: it connects, and fills the caches.
    FOR v_round IN 0 .. c_rounds LOOP
        FOR v_webhook IN
            SELECT w.webhook_id, w.publish_mode FROM rule_webhooks w
            WHERE w.webhook_name IN ('example_mode_queue', 'example_mode_nats', 'example_mode_both')
            ORDER BY w.webhook_id
        LOOP
            v_started := clock_timestamp();
            -- Each part of an answer must be a success: an event that fell back to the queue was not taken by NATS.
            SELECT count(*) FILTER (WHERE NOT jsonb_path_exists(a.answer, '$.* ? (@.success == false)')) INTO v_taken
            FROM (SELECT rule_webhook_call_unified(v_webhook.webhook_id, jsonb_build_object('round', v_round, 'call', n)) AS answer
                  FROM generate_series(1, c_calls) AS n) AS a;
            v_seconds := extract(epoch FROM clock_timestamp() - v_started);
            CONTINUE WHEN v_round = 0;
            v_results := v_results || jsonb_build_object('mode', v_webhook.publish_mode, 'taken', v_taken, 'seconds', v_seconds);
        END LOOP;
    END LOOP;
    RETURN QUERY
        SELECT r.mode, sum(r.taken), round(sum(r.seconds), 4), round(sum(r.taken) / greatest(sum(r.seconds), 0.000001), 1)
        FROM jsonb_to_recordset(v_results) AS r (mode text, taken integer, seconds numeric)
        GROUP BY r.mode ORDER BY r.mode;
END
$$;
COMMENT ON FUNCTION compare_publish_modes() IS
    'Publishes 100 events in each mode, and says how many were taken by all that the mode names, and how fast. With NATS away that is none in the modes nats and both: their events wait in the queue.';

SELECT * FROM compare_publish_modes();
