-- An event is a queue row, or the receipt of a stream message that has none.
CREATE OR REPLACE VIEW @extschema@.webhook_status_summary AS
SELECT w.webhook_id, w.webhook_name,
       lower(pg_catalog.substring(w.webhook_url, '^[^:/?#]+://'))
           || pg_catalog.regexp_replace(pg_catalog.substring(w.webhook_url, '^[^:/?#]+://([^/?#]*)'), '^.*@', '') AS url,
       w.enabled,
       e.total_calls, e.successful_calls, e.failed_calls, e.pending_calls, e.retrying_calls,
       pg_catalog.round(a.avg_execution_time_ms::numeric, 2) AS avg_execution_time_ms, a.last_call_at,
       pg_catalog.round(100.0 * e.successful_calls / nullif(e.successful_calls + e.failed_calls, 0), 2) AS success_rate_pct,
       CASE WHEN w.enabled AND w.held_since IS NULL THEN 'active' ELSE 'held' END AS delivery_state,
       coalesce(w.held_reason, CASE WHEN NOT w.enabled THEN 'the webhook is disabled' END) AS held_reason, w.held_since,
       coalesce((SELECT b.breaker_state FROM @extschema@.rule_webhook_endpoints b WHERE b.webhook_id = w.webhook_id), 'closed')
           AS breaker_state
FROM @extschema@.rule_webhooks w
CROSS JOIN LATERAL (
    SELECT pg_catalog.count(*) AS total_calls,
           pg_catalog.count(*) FILTER (WHERE v.state = 'success') AS successful_calls,
           pg_catalog.count(*) FILTER (WHERE v.state = 'failed') AS failed_calls,
           pg_catalog.count(*) FILTER (WHERE v.state = 'open' AND v.retry_count = 0) AS pending_calls,
           pg_catalog.count(*) FILTER (WHERE v.state = 'open' AND v.retry_count > 0) AS retrying_calls
    FROM (
        SELECT CASE WHEN q.status IN ('success', 'failed') THEN q.status ELSE 'open' END AS state, q.retry_count
        FROM @extschema@.rule_webhook_queue q
        WHERE q.webhook_id = w.webhook_id
        UNION ALL
        SELECT CASE r.state WHEN 'done' THEN 'success' ELSE 'open' END, r.retry_count
        FROM @extschema@.rule_webhook_receipts r
        WHERE r.webhook_id = w.webhook_id AND NOT EXISTS (
            SELECT FROM @extschema@.rule_webhook_queue q
            WHERE q.webhook_id = r.webhook_id AND q.message_id = r.message_id AND q.redelivery = r.redelivery)
    ) v
) e
CROSS JOIN LATERAL (
    SELECT pg_catalog.avg(t.duration_ms) AS avg_execution_time_ms, pg_catalog.max(t.started_at) AS last_call_at
    FROM @extschema@.rule_webhook_attempts t WHERE t.webhook_id = w.webhook_id
) a;
COMMENT ON VIEW @extschema@.webhook_status_summary IS
    'Per webhook: events by what became of them, the time of a try, and which share, in per cent, of the events that ended was delivered; then whether its events are delivered now or held, and why, and its endpoint''s breaker: closed, open or half-open. A URL shows scheme and host.';
