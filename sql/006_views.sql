-- What fails in delivery, for people. Each arm reads the index of its rows alone.

CREATE OR REPLACE VIEW @extschema@.webhook_recent_failures AS
SELECT f.call_id, w.webhook_name,
       lower(pg_catalog.substring(w.webhook_url, '^[^:/?#]+://'))
           || pg_catalog.regexp_replace(pg_catalog.substring(w.webhook_url, '^[^:/?#]+://([^/?#]*)'), '^.*@', '') AS url,
       f.status, f.retry_count, f.error_message, f.response_status, f.payload, f.created_at, f.completed_at
FROM (
    SELECT q.queue_id AS call_id, q.webhook_id, q.status, q.retry_count, q.error_message, q.response_status, q.payload, q.created_at,
           q.completed_at, coalesce(q.completed_at, q.started_at, q.created_at) AS tried_at
    FROM @extschema@.rule_webhook_queue q
    WHERE q.status = 'failed'
    UNION ALL
    SELECT q.queue_id, q.webhook_id, q.status, q.retry_count, q.error_message, q.response_status, q.payload, q.created_at,
           q.completed_at, coalesce(q.completed_at, q.started_at, q.created_at)
    FROM @extschema@.rule_webhook_queue q
    WHERE q.status = 'pending' AND q.retry_count > 0
    UNION ALL
    SELECT q.queue_id, q.webhook_id, q.status, q.retry_count, q.error_message, q.response_status, q.payload, q.created_at,
           q.completed_at, coalesce(q.completed_at, q.started_at, q.created_at)
    FROM @extschema@.rule_webhook_queue q
    WHERE q.status = 'processing' AND q.lease_until IS NOT NULL AND q.retry_count > 0
) f
JOIN @extschema@.rule_webhooks w ON w.webhook_id = f.webhook_id
WHERE f.tried_at > pg_catalog.now() - interval '24 hours'
ORDER BY f.tried_at DESC, f.call_id DESC;
COMMENT ON VIEW @extschema@.webhook_recent_failures IS
    'Queued events whose last try of the last 24 hours failed, newest first: dead letters, and those that are tried again. A URL shows scheme and host.';
