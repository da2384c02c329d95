-- What NATS did not take, for people.

CREATE OR REPLACE VIEW @extschema@.nats_recent_failures AS
SELECT h.publish_id, w.webhook_name, h.subject, h.error_message, h.payload, h.published_at, h.latency_ms
FROM @extschema@.rule_nats_publish_history h
JOIN @extschema@.rule_webhooks w ON w.webhook_id = h.webhook_id
WHERE NOT h.success AND h.published_at > pg_catalog.now() - interval '24 hours'
ORDER BY h.published_at DESC, h.publish_id DESC;
COMMENT ON VIEW @extschema@.nats_recent_failures IS
    'Publishes that NATS did not acknowledge in the last 24 hours, newest first.';
