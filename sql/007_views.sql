-- What was published, for people. Rows of deleted webhooks are left out until their day of the ring is emptied.

CREATE OR REPLACE VIEW @extschema@.nats_publish_summary AS
SELECT w.webhook_id, w.webhook_name, w.nats_subject AS subject, w.publish_mode,
       pg_catalog.count(h.publish_id) AS total_published,
       pg_catalog.count(h.publish_id) FILTER (WHERE h.success) AS successful,
       pg_catalog.count(h.publish_id) FILTER (WHERE NOT h.success) AS failed,
       pg_catalog.round(100.0 * pg_catalog.count(h.publish_id) FILTER (WHERE h.success)
                        / nullif(pg_catalog.count(h.publish_id), 0), 2) AS success_rate_pct,
       pg_catalog.round(pg_catalog.avg(h.latency_ms), 2) AS avg_latency_ms,
       pg_catalog.min(h.latency_ms) AS min_latency_ms, pg_catalog.max(h.latency_ms) AS max_latency_ms,
       pg_catalog.max(h.published_at) AS last_published_at
FROM @extschema@.rule_webhooks w
LEFT JOIN @extschema@.rule_nats_publish_history h ON h.webhook_id = w.webhook_id
WHERE w.nats_enabled
GROUP BY w.webhook_id;
COMMENT ON VIEW @extschema@.nats_publish_summary IS
    'Publishes to NATS per webhook that may publish there, over the history that is kept. Latencies in milliseconds.';

CREATE OR REPLACE VIEW @extschema@.nats_performance_stats AS
SELECT w.webhook_name, h.subject, pg_catalog.count(*) AS message_count,
       pg_catalog.round(pg_catalog.avg(h.latency_ms), 2) AS avg_latency_ms,
       pg_catalog.min(h.latency_ms) AS min_latency_ms, pg_catalog.max(h.latency_ms) AS max_latency_ms,
       pg_catalog.percentile_cont(0.5) WITHIN GROUP (ORDER BY h.latency_ms) AS p50_latency_ms,
       pg_catalog.percentile_cont(0.95) WITHIN GROUP (ORDER BY h.latency_ms) AS p95_latency_ms,
       pg_catalog.percentile_cont(0.99) WITHIN GROUP (ORDER BY h.latency_ms) AS p99_latency_ms
FROM @extschema@.rule_nats_publish_history h
JOIN @extschema@.rule_webhooks w ON w.webhook_id = h.webhook_id
WHERE h.success AND h.published_at > pg_catalog.now() - interval '24 hours'
GROUP BY w.webhook_name, h.subject;
COMMENT ON VIEW @extschema@.nats_performance_stats IS
    'How long acknowledged publishes of the last 24 hours took, in milliseconds, per webhook and subject.';

CREATE OR REPLACE VIEW @extschema@.nats_recent_failures AS
SELECT h.publish_id, w.webhook_name, h.subject, h.error_message, h.payload, h.published_at, h.latency_ms
FROM @extschema@.rule_nats_publish_history h
JOIN @extschema@.rule_webhooks w ON w.webhook_id = h.webhook_id
WHERE NOT h.success AND h.published_at > pg_catalog.now() - interval '24 hours'
ORDER BY h.published_at DESC, h.publish_id DESC;
COMMENT ON VIEW @extschema@.nats_recent_failures IS
    'Publishes that NATS did not acknowledge in the last 24 hours, newest first.';
