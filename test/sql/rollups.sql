-- The views count what is retained, whether it is rolled up or not: each is compared with an aggregate over the rows.
SET search_path = re;
CALL t.begin_on_one_day();
\pset null -
TRUNCATE rule_nats_publish_history, rule_webhook_attempts;
SELECT rule_webhook_register('first', 'https://example.com') AS first, rule_webhook_register('second', 'https://example.com') AS second,
       rule_webhook_register('quiet', 'https://example.com') AS quiet, rule_webhook_register('gone', 'https://example.com') AS gone \gset
UPDATE rule_webhooks SET nats_enabled = true, nats_subject = 'rolled.' || webhook_name;
CREATE TABLE t.hooks AS SELECT row_number() OVER (ORDER BY webhook_id) AS n, webhook_id FROM rule_webhooks WHERE webhook_id <> :quiet;

-- Rows of so many hours ago, in several hours, of each webhook, with latencies from 0 to minutes.
CREATE FUNCTION t.fill(p_from integer, p_to integer, p_rows integer) RETURNS void LANGUAGE sql AS $$
    INSERT INTO re.rule_nats_publish_history (webhook_id, subject, message_id, success, duplicate, latency_ms, published_at, expires_at, slot)
    SELECT h.webhook_id, 's' || g % 2, g::text, g % 7 <> 0, g % 11 = 0,
           CASE g % 13 WHEN 0 THEN NULL WHEN 1 THEN 0 ELSE (hashint4(g) & 1023)::numeric ^ 2 / 100 + 0.002 END, x.at, x.at + interval '7 days',
           ((extract(epoch FROM x.at)::bigint / 86400) % 10)::smallint
    FROM generate_series(1, p_rows) g JOIN t.hooks h ON h.n = 1 + g % 3,
         LATERAL (SELECT now() - make_interval(secs => 3600 * (p_from + (p_to - p_from) * (g / p_rows::float8)))) AS x (at);
    INSERT INTO re.rule_webhook_attempts (webhook_id, message_id, try, path, worker, outcome, started_at, duration_ms, slot)
    SELECT h.webhook_id, g::text, 1, 'queue', 'w', (ARRAY['again', 'delivered', 'dead', 'delivered'])[1 + g % 4], x.at,
           CASE g % 13 WHEN 0 THEN NULL WHEN 1 THEN 0 ELSE (hashint4(-g) & 1023) + 0.25 END, ((extract(epoch FROM x.at)::bigint / 86400) % 10)::smallint
    FROM generate_series(1, p_rows) g JOIN t.hooks h ON h.n = 1 + g % 3,
         LATERAL (SELECT now() - make_interval(secs => 3600 * (p_from + (p_to - p_from) * (g / p_rows::float8)))) AS x (at) $$;
CREATE FUNCTION t.near(p_estimate float8, p_exact float8) RETURNS boolean LANGUAGE sql AS
$$ SELECT p_estimate IS NOT DISTINCT FROM p_exact OR abs(p_estimate - p_exact) <= 0.05 * p_exact $$;

CREATE VIEW t.differs AS
SELECT 'summary' AS of, to_jsonb(v) AS seen, to_jsonb(e) AS exact
FROM (SELECT webhook_id, total_published, successful, failed, success_rate_pct, avg_latency_ms, min_latency_ms, max_latency_ms, last_published_at FROM re.nats_publish_summary) v
FULL JOIN (
    SELECT w.webhook_id, count(h.publish_id) AS total_published, count(h.publish_id) FILTER (WHERE h.success) AS successful,
           count(h.publish_id) FILTER (WHERE NOT h.success) AS failed,
           round(100.0 * count(h.publish_id) FILTER (WHERE h.success) / nullif(count(h.publish_id), 0), 2) AS success_rate_pct,
           round(avg(h.latency_ms), 2) AS avg_latency_ms, min(h.latency_ms) AS min_latency_ms, max(h.latency_ms) AS max_latency_ms, max(h.published_at) AS last_published_at
    FROM re.rule_webhooks w LEFT JOIN re.rule_nats_publish_history h USING (webhook_id) WHERE w.nats_enabled GROUP BY w.webhook_id) e USING (webhook_id)
WHERE v IS DISTINCT FROM e
UNION ALL
SELECT 'performance', to_jsonb(v), to_jsonb(e)
FROM re.nats_performance_stats v
FULL JOIN (
    SELECT w.webhook_name, h.subject, count(*) AS n, round(avg(h.latency_ms), 2) AS avg, min(h.latency_ms), max(h.latency_ms),
           percentile_cont(ARRAY[0.5, 0.95, 0.99]) WITHIN GROUP (ORDER BY h.latency_ms) AS p
    FROM re.rule_nats_publish_history h JOIN re.rule_webhooks w USING (webhook_id)
    WHERE h.success AND h.published_at >= date_trunc('hour', now(), 'UTC') - interval '24 hours' GROUP BY 1, 2) e USING (webhook_name, subject)
WHERE (v.message_count, v.avg_latency_ms, v.min_latency_ms, v.max_latency_ms) IS DISTINCT FROM (e.n, e.avg, e.min, e.max)
   OR NOT t.near(v.p50_latency_ms, e.p[1]) OR NOT t.near(v.p95_latency_ms, e.p[2]) OR NOT t.near(v.p99_latency_ms, e.p[3])
UNION ALL
SELECT 'stats', to_jsonb(v), to_jsonb(e)
FROM (SELECT h AS hours, re.rule_nats_stats(p_hours => h)::jsonb AS r FROM unnest(ARRAY[1, 5, 1000]) h) v
JOIN LATERAL (
    SELECT count(*) AS n, count(*) FILTER (WHERE h.success) AS successes, count(*) FILTER (WHERE h.duplicate) AS duplicates, round(avg(h.latency_ms), 2) AS avg,
           min(h.published_at) AS first, max(h.published_at) AS last, percentile_cont(ARRAY[0.5, 0.95, 0.99]) WITHIN GROUP (ORDER BY h.latency_ms) AS p
    FROM re.rule_nats_publish_history h JOIN re.rule_webhooks w USING (webhook_id)
    WHERE h.published_at >= date_trunc('hour', now(), 'UTC') - make_interval(hours => v.hours)) e ON true
WHERE (v.r ->> 'total_published', v.r ->> 'successful', v.r ->> 'duplicates', v.r ->> 'avg_latency_ms', v.r ->> 'first_published_at', v.r ->> 'last_published_at')
      IS DISTINCT FROM (e.n::text, e.successes::text, e.duplicates::text, e.avg::text, to_jsonb(e.first) #>> '{}', to_jsonb(e.last) #>> '{}')
   OR NOT t.near((v.r ->> 'p50_latency_ms')::float8, e.p[1]) OR NOT t.near((v.r ->> 'p95_latency_ms')::float8, e.p[2])
   OR NOT t.near((v.r ->> 'p99_latency_ms')::float8, e.p[3])
UNION ALL
SELECT 'attempts', to_jsonb(v), to_jsonb(e)
FROM re.webhook_performance_stats v
FULL JOIN (
    SELECT w.webhook_id, count(a.attempt_id) AS n, round(avg(a.duration_ms)::numeric, 2) AS avg, min(a.duration_ms), max(a.duration_ms),
           percentile_cont(ARRAY[0.5, 0.95, 0.99]) WITHIN GROUP (ORDER BY a.duration_ms) AS p
    FROM re.rule_webhooks w LEFT JOIN re.rule_webhook_attempts a USING (webhook_id) GROUP BY 1) e USING (webhook_id)
WHERE (v.total_calls, v.avg_time_ms, v.min_time_ms, v.max_time_ms) IS DISTINCT FROM (e.n, e.avg, e.min, e.max)
   OR NOT t.near(v.p50_time_ms, e.p[1]) OR NOT t.near(v.p95_time_ms, e.p[2]) OR NOT t.near(v.p99_time_ms, e.p[3])
UNION ALL
SELECT 'status', to_jsonb(v), to_jsonb(e)
FROM re.webhook_status_summary v
FULL JOIN (
    SELECT w.webhook_id, count(*) FILTER (WHERE a.outcome = 'delivered') AS delivered, round(avg(a.duration_ms)::numeric, 2) AS avg, max(a.started_at) AS last
    FROM re.rule_webhooks w LEFT JOIN re.rule_webhook_attempts a USING (webhook_id) GROUP BY 1) e USING (webhook_id)
WHERE (v.total_calls, v.successful_calls, v.avg_execution_time_ms, v.last_call_at) IS DISTINCT FROM (e.delivered, e.delivered, e.avg, e.last);

-- Maintains until all that is there is rolled up: transactions elsewhere in this server can hold it up.
CREATE PROCEDURE t.maintain() LANGUAGE plpgsql AS $$
BEGIN
    FOR v_try IN 1 .. 500 LOOP
        PERFORM re.rule_engine_maintain();
        COMMIT;
        EXIT WHEN (SELECT max(rolled_up_to) FROM re.rule_engine_upkeep WHERE table_name = 'rule_nats_publish_history')
                  >= (SELECT coalesce(max(publish_id), 0) FROM re.rule_nats_publish_history)
              AND (SELECT max(rolled_up_to) FROM re.rule_engine_upkeep WHERE table_name = 'rule_webhook_attempts')
                  >= (SELECT coalesce(max(attempt_id), 0) FROM re.rule_webhook_attempts);
        PERFORM pg_sleep(0.02);
    END LOOP;
END $$;
-- What the roll-ups themselves hold is what there is of rows up to the mark.
CREATE VIEW t.roll_ups AS
SELECT (SELECT coalesce(sum(publishes), 0) FROM re.rule_nats_publish_hours) AS publishes,
       (SELECT coalesce(sum(publishes), 0) FROM re.rule_nats_publish_hours) = (SELECT count(*) FROM re.rule_nats_publish_history
            WHERE publish_id <= (SELECT rolled_up_to FROM re.rule_engine_upkeep WHERE table_name = 'rule_nats_publish_history')) AS all_publishes,
       (SELECT coalesce(sum(attempts), 0) FROM re.rule_webhook_attempt_days) AS attempts,
       (SELECT coalesce(sum(attempts), 0) FROM re.rule_webhook_attempt_days) = (SELECT count(*) FROM re.rule_webhook_attempts
            WHERE attempt_id <= (SELECT rolled_up_to FROM re.rule_engine_upkeep WHERE table_name = 'rule_webhook_attempts')) AS all_attempts;

-- Nothing there; then rows that nobody has rolled up; then all of them.
SELECT * FROM t.differs;
CALL t.maintain();
SELECT t.fill(0, 30, 3000);
SELECT count(*) AS differs FROM t.differs;
SELECT * FROM t.roll_ups;
CALL t.maintain();
SELECT * FROM t.roll_ups;
SELECT count(*) AS differs FROM t.differs;
-- More of hours that are rolled up already, and attempts that a worker reports long after it made them.
SELECT t.fill(0, 30, 1000);
SELECT count(*) AS differs FROM t.differs;
CALL t.maintain();
SELECT count(*) AS differs FROM t.differs;
SELECT * FROM t.roll_ups;
-- Little by little.
SELECT t.fill(1, 3, 100);
SELECT r #> '{rolled_up,rule_webhook_attempts,rows}' <@ '[0, 10]' AS ten_at_most FROM rule_engine_maintain(1) r;
SELECT count(*) AS differs FROM t.differs;
CALL t.maintain();
SELECT count(*) AS differs FROM t.differs;

-- A lap of the ring: a day is emptied, failures move, and count where they are now.
SELECT t.fill(8 * 24 + 1, 10 * 24 - 20, 700);
CALL t.maintain();
SELECT * FROM t.roll_ups;
SELECT count(*) AS differs FROM t.differs;
-- Once more, before most of the rows are rolled up: one that moves counts once, then and later.
SELECT t.fill(8 * 24 + 1, 10 * 24 - 20, 700);
SELECT r #> '{rolled_up,rule_nats_publish_history,rows}' <@ '[0, 10]' AS ten_at_most,
       (r #>> '{rule_nats_publish_history,rows_kept_longer}')::integer > 0 AS moved FROM rule_engine_maintain(1) r;
SELECT count(*) AS differs FROM t.differs;
SELECT all_publishes, all_attempts FROM t.roll_ups;
CALL t.maintain();
SELECT * FROM t.roll_ups;
SELECT count(*) AS differs FROM t.differs;

-- Cleaning by hand, by function and without.
SELECT rule_nats_cleanup_old_history('20 hours') > 0 AS removed;
SELECT count(*) AS differs FROM t.differs;
SELECT all_publishes FROM t.roll_ups;
UPDATE rule_nats_publish_history SET expires_at = now() - interval '1 second' WHERE message_id::integer % 5 = 0;
SELECT rule_nats_cleanup_expired() > 0 AS removed;
SELECT count(*) AS differs FROM t.differs;
DELETE FROM rule_nats_publish_history WHERE latency_ms > 5000;
DELETE FROM rule_webhook_attempts WHERE duration_ms > 700 OR duration_ms < 100;
SELECT count(*) AS differs FROM t.differs;
SELECT all_publishes, all_attempts FROM t.roll_ups;

-- A deleted webhook is seen no more.
SELECT rule_webhook_delete(:gone);
SELECT count(*) AS differs FROM t.differs;
SELECT count(*) AS seen FROM webhook_performance_stats WHERE webhook_id = :gone;
CALL t.maintain();
SELECT count(*) AS differs FROM t.differs;

-- An extension that is updated with its rows begins without a roll-up.
BEGIN;
DELETE FROM rule_nats_publish_hours;
DELETE FROM rule_webhook_attempt_days;
UPDATE rule_engine_upkeep SET rolled_up_to = 0, noted_id = NULL, noted_xid = NULL;
SELECT count(*) AS differs FROM t.differs;
COMMIT;
CALL t.maintain();
SELECT count(*) AS differs FROM t.differs;
SELECT all_publishes, all_attempts FROM t.roll_ups;

-- What is asked of a view reads few rows of the tables: those above the mark, by the key.
ANALYZE rule_nats_publish_history, rule_webhook_attempts;
CREATE FUNCTION t.goes_by_the_key(p_view text) RETURNS boolean LANGUAGE plpgsql SET enable_seqscan = off SET enable_bitmapscan = off AS $$
DECLARE
    v_plan json;
BEGIN
    EXECUTE format('EXPLAIN (FORMAT JSON) SELECT * FROM re.%I', p_view) INTO v_plan;
    RETURN v_plan::text ~ 'Index Cond": "\(\([a-z0-9_.]+_id > ';
END $$;
SELECT v, t.goes_by_the_key(v) FROM unnest('{nats_publish_summary,nats_performance_stats,webhook_status_summary,webhook_performance_stats}'::text[]) v;

-- Workers roll up every five minutes and maintain every hour.
CREATE VIEW t.upkeep AS SELECT bool_and(rolled_up_at BETWEEN now() - interval '1 minute' AND clock_timestamp()) AS rolled_up,
    bool_and(maintained_at BETWEEN now() - interval '1 minute' AND clock_timestamp()) AS maintained, bool_or(more) AS more FROM rule_engine_upkeep;
UPDATE rule_engine_upkeep SET rolled_up_at = now() - interval '4 minutes', maintained_at = now() - interval '50 minutes', more = false;
SELECT rule_worker_maintain('w') BETWEEN 1000 AND 60000 AS in_a_minute;
SELECT * FROM t.upkeep;
UPDATE rule_engine_upkeep SET rolled_up_at = now() - interval '6 minutes';
SELECT rule_worker_maintain('w') > 200000 AS later;
SELECT * FROM t.upkeep;
UPDATE rule_engine_upkeep SET rolled_up_at = now() - interval '6 minutes', maintained_at = now() - interval '61 minutes';
SELECT rule_worker_maintain('w') > 200000 AS later;
SELECT * FROM t.upkeep;
UPDATE rule_engine_upkeep SET maintained_at = now() - interval '50 minutes', more = true WHERE table_name = 'rule_webhook_attempts';
SELECT rule_worker_maintain('w') > 200000 AS later;
SELECT * FROM t.upkeep;
UPDATE rule_engine_upkeep SET rolled_up_at = now() + interval '1 day', maintained_at = now() + interval '1 day';
SELECT rule_worker_maintain('w') > 200000 AS later;
SELECT * FROM t.upkeep;
SELECT t.error('SELECT re.rule_worker_maintain(NULL)');
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT t.error('SELECT re.rule_worker_maintain(''w'')');
ROLLBACK;

TRUNCATE rule_nats_publish_history, rule_webhook_attempts;
SELECT * FROM t.roll_ups;
-- What is restored into the emptied tables has ids that were counted once.
INSERT INTO rule_nats_publish_history (publish_id, webhook_id, subject, message_id, success, latency_ms) VALUES (1, :first, 's', 'restored', true, 5);
INSERT INTO rule_webhook_attempts (attempt_id, webhook_id, message_id, try, path, worker, outcome, started_at, duration_ms)
VALUES (1, :first, 'restored', 1, 'queue', 'w', 'delivered', now(), 5);
SELECT * FROM t.differs;
CALL t.maintain();
SELECT * FROM t.differs;
TRUNCATE rule_nats_publish_history, rule_webhook_attempts;
SELECT rule_webhook_delete(:first), rule_webhook_delete(:second), rule_webhook_delete(:quiet);
UPDATE rule_engine_source SET history_kept_since = '-infinity';
DROP VIEW t.differs, t.roll_ups, t.upkeep;
DROP TABLE t.hooks;
DROP PROCEDURE t.maintain;
DROP FUNCTION t.fill, t.near, t.goes_by_the_key;

-- What an open transaction kept from being counted is tried again in ten seconds, else in five minutes.
BEGIN;
UPDATE rule_engine_upkeep SET more = false, rolled_up_at = clock_timestamp(), noted_id = rolled_up_to, noted_xid = '3';
SELECT _rule_roll_up_due_ms() BETWEEN 200000 AND 300000 AS in_five_minutes;
UPDATE rule_engine_upkeep SET noted_id = rolled_up_to + 1 WHERE table_name = 'rule_webhook_attempts';
SELECT _rule_roll_up_due_ms() BETWEEN 1 AND 10000 AS in_ten_seconds;
ROLLBACK;
