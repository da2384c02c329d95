-- An event is a queue row, or the receipt of a stream message that has none; one that was delivered has an attempt that says
-- so. Each kind is read by the index that holds it alone.
CREATE OR REPLACE VIEW @extschema@.webhook_status_summary AS
SELECT w.webhook_id, w.webhook_name,
       lower(pg_catalog.substring(w.webhook_url, '^[^:/?#]+://'))
           || pg_catalog.regexp_replace(pg_catalog.substring(w.webhook_url, '^[^:/?#]+://([^/?#]*)'), '^.*@', '') AS url,
       w.enabled,
       (coalesce(a.delivered, 0) + coalesce(e.failed, 0) + coalesce(e.pending, 0) + coalesce(e.retrying, 0))::bigint AS total_calls,
       coalesce(a.delivered, 0)::bigint AS successful_calls, coalesce(e.failed, 0)::bigint AS failed_calls,
       coalesce(e.pending, 0)::bigint AS pending_calls, coalesce(e.retrying, 0)::bigint AS retrying_calls,
       pg_catalog.round((a.duration_sum_ms / nullif(a.durations, 0)::double precision)::numeric, 2) AS avg_execution_time_ms,
       a.last_started_at AS last_call_at,
       pg_catalog.round(100.0 * coalesce(a.delivered, 0) / nullif(coalesce(a.delivered, 0) + coalesce(e.failed, 0), 0), 2)
           AS success_rate_pct,
       CASE WHEN w.enabled AND w.held_since IS NULL THEN 'active' ELSE 'held' END AS delivery_state,
       coalesce(w.held_reason, CASE WHEN NOT w.enabled THEN 'the webhook is disabled' END) AS held_reason, w.held_since,
       coalesce((SELECT b.breaker_state FROM @extschema@.rule_webhook_endpoints b WHERE b.webhook_id = w.webhook_id), 'closed')
           AS breaker_state
FROM @extschema@.rule_webhooks w
LEFT JOIN (
    SELECT t.webhook_id, pg_catalog.sum(t.delivered) AS delivered, pg_catalog.sum(t.durations) AS durations,
           pg_catalog.sum(t.duration_sum_ms) AS duration_sum_ms, pg_catalog.max(t.last_started_at) AS last_started_at
    FROM @extschema@._rule_attempt_sums t GROUP BY t.webhook_id
) a ON a.webhook_id = w.webhook_id
LEFT JOIN (
    SELECT v.webhook_id, pg_catalog.sum(v.failed) AS failed, pg_catalog.sum(v.pending) AS pending,
           pg_catalog.sum(v.retrying) AS retrying
    FROM (
        SELECT q.webhook_id, pg_catalog.count(*) AS failed, 0 AS pending, 0 AS retrying
        FROM @extschema@.rule_webhook_queue q WHERE q.status = 'failed' AND q.redelivered_at IS NULL GROUP BY q.webhook_id
        UNION ALL
        SELECT q.webhook_id, 0, pg_catalog.count(*) FILTER (WHERE q.retry_count = 0),
               pg_catalog.count(*) FILTER (WHERE q.retry_count > 0)
        FROM @extschema@.rule_webhook_queue q WHERE q.status = 'pending' GROUP BY q.webhook_id
        UNION ALL
        SELECT q.webhook_id, 0, pg_catalog.count(*) FILTER (WHERE q.retry_count = 0),
               pg_catalog.count(*) FILTER (WHERE q.retry_count > 0)
        FROM @extschema@.rule_webhook_queue q WHERE q.status = 'processing' AND q.lease_until IS NOT NULL GROUP BY q.webhook_id
        UNION ALL
        SELECT r.webhook_id, 0, 0, pg_catalog.count(*)
        FROM @extschema@.rule_webhook_receipts r
        WHERE r.retry_count > 0 AND r.state <> 'done' AND NOT EXISTS (
            SELECT FROM @extschema@.rule_webhook_queue q
            WHERE q.webhook_id = r.webhook_id AND q.message_id = r.message_id AND q.redelivery = r.redelivery)
        GROUP BY r.webhook_id
    ) v
    GROUP BY v.webhook_id
) e ON e.webhook_id = w.webhook_id;
COMMENT ON VIEW @extschema@.webhook_status_summary IS
    'Per webhook: events by what became of them, the time of a try, and which share, in per cent, of the events that ended was delivered; then whether its events are delivered now or held, and why, and its endpoint''s breaker: closed, open or half-open. Deliveries and times over the attempts that are kept; an event that only the stream has counts from its first failed try on. A URL shows scheme and host.';
