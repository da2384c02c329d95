CREATE OR REPLACE VIEW @extschema@.webhook_queue_fill AS
SELECT f.webhook_id, f.webhook_name, f.waiting_events, f.max_events, f.waiting_bytes, f.max_bytes, f.fill_pct,
       coalesce(f.fill_pct >= 80, false) AS alarm
FROM (
    SELECT l.webhook_id, l.webhook_name, q.waiting_events, l.max_events, q.waiting_bytes, l.max_bytes,
           pg_catalog.round(100.0 * greatest(q.waiting_events::numeric / l.max_events, q.waiting_bytes::numeric / l.max_bytes), 2) AS fill_pct
    FROM (
        SELECT NULL::integer AS webhook_id, NULL::text AS webhook_name, s.queue_max_events AS max_events, s.queue_max_bytes AS max_bytes,
               -2147483648 AS first, 2147483647 AS last
        FROM @extschema@.rule_engine_settings s
        UNION ALL
        SELECT w.webhook_id, w.webhook_name, w.queue_max_events, w.queue_max_bytes, w.webhook_id, w.webhook_id
        FROM @extschema@.rule_webhooks w
        WHERE w.queue_max_events IS NOT NULL OR w.queue_max_bytes IS NOT NULL
    ) l
    CROSS JOIN LATERAL (
        SELECT pg_catalog.count(*) AS waiting_events, coalesce(pg_catalog.sum(r.size), 0)::bigint AS waiting_bytes
        FROM (SELECT pg_catalog.pg_column_size(p.payload) AS size FROM @extschema@.rule_webhook_queue p
              WHERE p.status = 'pending' AND p.webhook_id + 0 BETWEEN l.first AND l.last
              UNION ALL
              SELECT pg_catalog.pg_column_size(p.payload) FROM @extschema@.rule_webhook_queue p
              WHERE p.status = 'processing' AND p.lease_until IS NOT NULL AND p.webhook_id BETWEEN l.first AND l.last) r
    ) q
) f;
COMMENT ON VIEW @extschema@.webhook_queue_fill IS
    'What waits in the queue, in all (webhook_id NULL) and for each webhook that has a limit, and how much of the limit that is; alarm from 80 % on. Bytes are those of payloads as they are stored.';
