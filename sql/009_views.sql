-- Numbers over history and attempts, for people. Rows of deleted webhooks are left out until their day of the ring is
-- emptied. A percentile lies between two latencies, and each of them somewhere in its bucket.

CREATE OR REPLACE VIEW @extschema@.nats_publish_summary AS
SELECT w.webhook_id, w.webhook_name, w.nats_subject AS subject, w.publish_mode,
       coalesce(s.publishes, 0)::bigint AS total_published,
       coalesce(s.successes, 0)::bigint AS successful,
       coalesce(s.publishes - s.successes, 0)::bigint AS failed,
       pg_catalog.round(100.0 * s.successes / nullif(s.publishes, 0), 2) AS success_rate_pct,
       pg_catalog.round(s.latency_sum_ms / nullif(s.latencies, 0), 2) AS avg_latency_ms,
       s.latency_min_ms AS min_latency_ms, s.latency_max_ms AS max_latency_ms, s.last_published_at
FROM @extschema@.rule_webhooks w
LEFT JOIN (
    SELECT p.webhook_id, pg_catalog.sum(p.publishes) AS publishes,
           coalesce(pg_catalog.sum(p.publishes) FILTER (WHERE p.success), 0) AS successes,
           pg_catalog.sum(p.latencies) AS latencies, pg_catalog.sum(p.latency_sum_ms) AS latency_sum_ms,
           pg_catalog.min(p.latency_min_ms) AS latency_min_ms, pg_catalog.max(p.latency_max_ms) AS latency_max_ms,
           pg_catalog.max(p.last_published_at) AS last_published_at
    FROM @extschema@._rule_publish_sums p GROUP BY p.webhook_id
) s ON s.webhook_id = w.webhook_id
WHERE w.nats_enabled;
COMMENT ON VIEW @extschema@.nats_publish_summary IS
    'Publishes to NATS per webhook that may publish there, over the history that is kept. Latencies in milliseconds.';

CREATE OR REPLACE VIEW @extschema@.nats_performance_stats AS
WITH recent AS (
    SELECT p.* FROM @extschema@._rule_publish_sums p
    WHERE p.success AND p.hour > pg_catalog.now() - interval '25 hours'
)
SELECT w.webhook_name, s.subject, s.publishes AS message_count,
       pg_catalog.round(s.latency_sum_ms / nullif(s.latencies, 0), 2) AS avg_latency_ms,
       s.latency_min_ms AS min_latency_ms, s.latency_max_ms AS max_latency_ms,
       least(greatest(q.p50, s.latency_min_ms::double precision), s.latency_max_ms::double precision) AS p50_latency_ms,
       least(greatest(q.p95, s.latency_min_ms::double precision), s.latency_max_ms::double precision) AS p95_latency_ms,
       least(greatest(q.p99, s.latency_min_ms::double precision), s.latency_max_ms::double precision) AS p99_latency_ms
FROM (
    SELECT p.webhook_id, p.subject, pg_catalog.sum(p.publishes)::bigint AS publishes, pg_catalog.sum(p.latencies) AS latencies,
           pg_catalog.sum(p.latency_sum_ms) AS latency_sum_ms, pg_catalog.min(p.latency_min_ms) AS latency_min_ms,
           pg_catalog.max(p.latency_max_ms) AS latency_max_ms
    FROM recent p GROUP BY p.webhook_id, p.subject
) s
JOIN @extschema@.rule_webhooks w ON w.webhook_id = s.webhook_id
LEFT JOIN (
    SELECT v.webhook_id, v.subject,
           pg_catalog.max(v.lower + (v.upper - v.lower) * v.part) FILTER (WHERE v.share = 0.50) AS p50,
           pg_catalog.max(v.lower + (v.upper - v.lower) * v.part) FILTER (WHERE v.share = 0.95) AS p95,
           pg_catalog.max(v.lower + (v.upper - v.lower) * v.part) FILTER (WHERE v.share = 0.99) AS p99
    FROM (
        SELECT c.webhook_id, c.subject, x.share, (x.share * c.last % 1)::double precision AS part,
               pg_catalog.min(c.ms) FILTER (WHERE c.upto > pg_catalog.floor(x.share * c.last)) AS lower,
               pg_catalog.min(c.ms) FILTER (WHERE c.upto > pg_catalog.ceil(x.share * c.last)) AS upper
        FROM (
            SELECT b.webhook_id, b.subject,
                   CASE b.bucket WHEN -32768 THEN 0
                                 ELSE pg_catalog.power(1.1::double precision, b.bucket) / 1.05 END AS ms,
                   pg_catalog.sum(b.n) OVER (PARTITION BY b.webhook_id, b.subject ORDER BY b.bucket) AS upto,
                   pg_catalog.sum(b.n) OVER (PARTITION BY b.webhook_id, b.subject) - 1 AS last
            FROM (
                SELECT p.webhook_id, p.subject, u.bucket, pg_catalog.sum(u.n) AS n
                FROM recent p CROSS JOIN LATERAL ROWS FROM (pg_catalog.unnest(p.buckets), pg_catalog.unnest(p.bucket_counts)) AS u (bucket, n)
                WHERE u.bucket IS NOT NULL GROUP BY p.webhook_id, p.subject, u.bucket
            ) b
        ) c
        CROSS JOIN (VALUES (0.50), (0.95), (0.99)) AS x (share)
        GROUP BY c.webhook_id, c.subject, x.share, c.last
    ) v
    GROUP BY v.webhook_id, v.subject
) q ON q.webhook_id = s.webhook_id AND q.subject = s.subject;
COMMENT ON VIEW @extschema@.nats_performance_stats IS
    'How long acknowledged publishes of the last 24 hours took, in milliseconds, per webhook and subject. The hour that was under way 24 hours ago counts as a whole; percentiles are estimated within 5 per cent.';

CREATE OR REPLACE VIEW @extschema@.webhook_performance_stats AS
WITH kept AS (SELECT a.* FROM @extschema@._rule_attempt_sums a)
SELECT w.webhook_id, w.webhook_name, coalesce(s.attempts, 0)::bigint AS total_calls,
       pg_catalog.round((s.duration_sum_ms / nullif(s.durations, 0)::double precision)::numeric, 2) AS avg_time_ms,
       s.duration_min_ms AS min_time_ms, s.duration_max_ms AS max_time_ms,
       least(greatest(q.p50, s.duration_min_ms), s.duration_max_ms) AS p50_time_ms,
       least(greatest(q.p95, s.duration_min_ms), s.duration_max_ms) AS p95_time_ms,
       least(greatest(q.p99, s.duration_min_ms), s.duration_max_ms) AS p99_time_ms
FROM @extschema@.rule_webhooks w
LEFT JOIN (
    SELECT a.webhook_id, pg_catalog.sum(a.attempts) AS attempts, pg_catalog.sum(a.durations) AS durations,
           pg_catalog.sum(a.duration_sum_ms) AS duration_sum_ms, pg_catalog.min(a.duration_min_ms) AS duration_min_ms,
           pg_catalog.max(a.duration_max_ms) AS duration_max_ms
    FROM kept a GROUP BY a.webhook_id
) s ON s.webhook_id = w.webhook_id
LEFT JOIN (
    SELECT v.webhook_id,
           pg_catalog.max(v.lower + (v.upper - v.lower) * v.part) FILTER (WHERE v.share = 0.50) AS p50,
           pg_catalog.max(v.lower + (v.upper - v.lower) * v.part) FILTER (WHERE v.share = 0.95) AS p95,
           pg_catalog.max(v.lower + (v.upper - v.lower) * v.part) FILTER (WHERE v.share = 0.99) AS p99
    FROM (
        SELECT c.webhook_id, x.share, (x.share * c.last % 1)::double precision AS part,
               pg_catalog.min(c.ms) FILTER (WHERE c.upto > pg_catalog.floor(x.share * c.last)) AS lower,
               pg_catalog.min(c.ms) FILTER (WHERE c.upto > pg_catalog.ceil(x.share * c.last)) AS upper
        FROM (
            SELECT b.webhook_id,
                   CASE b.bucket WHEN -32768 THEN 0
                                 ELSE pg_catalog.power(1.1::double precision, b.bucket) / 1.05 END AS ms,
                   pg_catalog.sum(b.n) OVER (PARTITION BY b.webhook_id ORDER BY b.bucket) AS upto,
                   pg_catalog.sum(b.n) OVER (PARTITION BY b.webhook_id) - 1 AS last
            FROM (
                SELECT a.webhook_id, u.bucket, pg_catalog.sum(u.n) AS n
                FROM kept a
                CROSS JOIN LATERAL ROWS FROM (pg_catalog.unnest(a.buckets), pg_catalog.unnest(a.bucket_counts)) AS u (bucket, n)
                WHERE u.bucket IS NOT NULL GROUP BY a.webhook_id, u.bucket
            ) b
        ) c
        CROSS JOIN (VALUES (0.50), (0.95), (0.99)) AS x (share)
        GROUP BY c.webhook_id, x.share, c.last
    ) v
    GROUP BY v.webhook_id
) q ON q.webhook_id = w.webhook_id;
COMMENT ON VIEW @extschema@.webhook_performance_stats IS
    'Per webhook, how many requests were sent and how long they took, in milliseconds, over the attempts that are kept. Percentiles are estimated within 5 per cent.';
