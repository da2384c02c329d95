-- How delivery goes, for people.

CREATE OR REPLACE VIEW @extschema@.webhook_performance_stats AS
SELECT w.webhook_id, w.webhook_name, pg_catalog.count(a.attempt_id) AS total_calls,
       pg_catalog.round(pg_catalog.avg(a.duration_ms)::numeric, 2) AS avg_time_ms,
       pg_catalog.min(a.duration_ms) AS min_time_ms, pg_catalog.max(a.duration_ms) AS max_time_ms,
       pg_catalog.percentile_cont(0.5) WITHIN GROUP (ORDER BY a.duration_ms) AS p50_time_ms,
       pg_catalog.percentile_cont(0.95) WITHIN GROUP (ORDER BY a.duration_ms) AS p95_time_ms,
       pg_catalog.percentile_cont(0.99) WITHIN GROUP (ORDER BY a.duration_ms) AS p99_time_ms
FROM @extschema@.rule_webhooks w
LEFT JOIN @extschema@.rule_webhook_attempts a ON a.webhook_id = w.webhook_id
GROUP BY w.webhook_id;
COMMENT ON VIEW @extschema@.webhook_performance_stats IS
    'Per webhook, how many requests were sent and how long they took, in milliseconds, over the attempts that are kept.';

CREATE OR REPLACE VIEW @extschema@.webhook_recent_failures AS
SELECT q.queue_id AS call_id, w.webhook_name,
       lower(pg_catalog.substring(w.webhook_url, '^[^:/?#]+://'))
           || pg_catalog.regexp_replace(pg_catalog.substring(w.webhook_url, '^[^:/?#]+://([^/?#]*)'), '^.*@', '') AS url,
       q.status, q.retry_count, q.error_message, q.response_status, q.payload, q.created_at, q.completed_at
FROM @extschema@.rule_webhook_queue q
JOIN @extschema@.rule_webhooks w ON w.webhook_id = q.webhook_id
WHERE (q.status = 'failed' OR (q.status <> 'success' AND q.retry_count > 0))
  AND coalesce(q.completed_at, q.started_at, q.created_at) > pg_catalog.now() - interval '24 hours'
ORDER BY coalesce(q.completed_at, q.started_at, q.created_at) DESC, q.queue_id DESC;
COMMENT ON VIEW @extschema@.webhook_recent_failures IS
    'Queued events whose last try of the last 24 hours failed, newest first: dead letters, and those that are tried again. A URL shows scheme and host.';
