-- A queue of millions is not counted for each look: what the last measure found is shown, if there is one of these minutes. What
-- is short is counted, and so is everything where nobody measures.
CREATE OR REPLACE VIEW @extschema@.webhook_queue_fill AS
SELECT f.webhook_id, f.webhook_name, f.waiting_events, f.max_events, f.waiting_bytes, f.max_bytes, f.fill_pct,
       coalesce(f.fill_pct >= 80, false) AS alarm, f.counted_at
FROM (
    SELECT l.webhook_id, l.webhook_name, q.waiting_events, l.max_events, q.waiting_bytes, l.max_bytes, q.counted_at,
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
    LEFT JOIN @extschema@.rule_webhook_queue_fill m
        ON m.webhook_id = coalesce(l.webhook_id, 0) AND m.found_events > 1000
           AND m.measured_at > pg_catalog.clock_timestamp() - interval '10 minutes'
    CROSS JOIN LATERAL (
        SELECT m.found_events AS waiting_events, m.found_bytes AS waiting_bytes, m.measured_at AS counted_at
        WHERE m.found_events IS NOT NULL
        UNION ALL
        SELECT pg_catalog.count(*), coalesce(pg_catalog.sum(r.size), 0)::bigint, pg_catalog.now()
        FROM (SELECT pg_catalog.pg_column_size(p.payload) AS size FROM @extschema@.rule_webhook_queue p
              WHERE p.status = 'pending' AND p.webhook_id + 0 BETWEEN l.first AND l.last AND m.found_events IS NULL
              UNION ALL
              SELECT pg_catalog.pg_column_size(p.payload) FROM @extschema@.rule_webhook_queue p
              WHERE p.status = 'processing' AND p.lease_until IS NOT NULL AND p.webhook_id BETWEEN l.first AND l.last
                AND m.found_events IS NULL) r
        HAVING m.found_events IS NULL
    ) q
) f;
COMMENT ON VIEW @extschema@.webhook_queue_fill IS
    'What waits in the queue, in all (webhook_id NULL) and for each webhook that has a limit, and how much of the limit that is; alarm from 80 % on. counted_at: of more than 1000 events, when a worker or maintenance last counted them, seconds ago where there is a limit, some minutes where there is none. Bytes are those of payloads as they are stored.';
