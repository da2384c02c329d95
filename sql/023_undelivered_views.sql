-- What has not arrived: a view for each place where an event can be, so that all of them and a page of them are told alike.

CREATE OR REPLACE VIEW @extschema@._rule_undelivered_queue AS
SELECT q.webhook_id, w.webhook_name, q.message_id, q.redelivery, q.queue_id,
       CASE WHEN q.status = 'failed' AND q.error_message LIKE 'expired: %' THEN 'expired'
            WHEN q.status = 'failed' THEN 'dead letter'
            WHEN q.status = 'processing' THEN 'leased'
            WHEN q.route = 'publish' THEN 'waiting for NATS'
            WHEN q.route = 'stream' AND q.retry_count = 0 AND w.enabled AND w.held_since IS NULL THEN 'in the stream'
            WHEN NOT w.enabled OR w.held_since IS NOT NULL
            THEN @extschema@._rule_waits_for(w.enabled, w.held_since, e.breaker_state, q.retry_count)
            ELSE coalesce(
                CASE WHEN q.order_key IS NOT NULL
                     THEN @extschema@._rule_order_waits(q.webhook_id, q.order_key, coalesce(q.order_place, q.queue_id), q.queue_id, w.on_dead) END,
                CASE WHEN CASE WHEN q.paced
                               THEN q.webhook_id = ANY ((SELECT @extschema@._rule_limits_reached(pg_catalog.clock_timestamp(), true))::integer[])
                               ELSE q.webhook_id = ANY ((SELECT @extschema@._rule_limits_reached(pg_catalog.clock_timestamp(), false))::integer[]) END
                          AND q.next_retry_at <= pg_catalog.clock_timestamp()
                          AND coalesce(e.breaker_state, 'closed') = 'closed' THEN 'at its limit' END,
                @extschema@._rule_waits_for(w.enabled, w.held_since, e.breaker_state, q.retry_count)) END AS reason,
       q.error_message, q.retry_count AS tries, q.created_at AS accepted_at,
       CASE WHEN q.status = 'pending' AND pg_catalog.isfinite(q.next_retry_at) THEN q.next_retry_at END AS next_try_at
FROM @extschema@.rule_webhook_queue q
LEFT JOIN @extschema@.rule_webhooks w ON w.webhook_id = q.webhook_id
LEFT JOIN @extschema@.rule_webhook_endpoints e ON e.webhook_id = q.webhook_id
WHERE q.status IN ('pending', 'processing') OR (q.status = 'failed' AND q.redelivered_at IS NULL);
COMMENT ON VIEW @extschema@._rule_undelivered_queue IS
    'Internal: what the queue has that has not arrived, and why.';

CREATE OR REPLACE VIEW @extschema@._rule_undelivered_receipts AS
SELECT r.webhook_id, w.webhook_name, r.message_id, r.redelivery, NULL::bigint AS queue_id,
       CASE WHEN r.lease_until > pg_catalog.clock_timestamp() THEN 'leased'
            ELSE @extschema@._rule_waits_for(w.enabled, w.held_since, e.breaker_state, r.retry_count) END AS reason,
       (SELECT a.error_message FROM @extschema@.rule_webhook_attempts a
        WHERE a.webhook_id = r.webhook_id AND a.message_id = r.message_id AND a.redelivery = r.redelivery
        ORDER BY a.attempt_id DESC LIMIT 1) AS error_message,
       r.retry_count AS tries, r.taken_at AS accepted_at, NULL::timestamptz AS next_try_at
FROM @extschema@.rule_webhook_receipts r
JOIN @extschema@.rule_webhooks w ON w.webhook_id = r.webhook_id
LEFT JOIN @extschema@.rule_webhook_endpoints e ON e.webhook_id = r.webhook_id
WHERE r.state <> 'done'
  AND NOT EXISTS (SELECT FROM @extschema@.rule_webhook_queue q
                  WHERE q.webhook_id = r.webhook_id AND q.message_id = r.message_id AND q.redelivery = r.redelivery);
COMMENT ON VIEW @extschema@._rule_undelivered_receipts IS
    'Internal: what workers have, or had, of a stream that has not arrived, and why.';

-- No worker has taken it yet, or nothing kept it when NATS was away.
CREATE OR REPLACE VIEW @extschema@._rule_undelivered_published AS
SELECT h.webhook_id, w.webhook_name, h.message_id, 0 AS redelivery, NULL::bigint AS queue_id,
       CASE WHEN EXISTS (SELECT FROM @extschema@.rule_webhook_open_events o
                         WHERE o.webhook_id = h.webhook_id AND o.message_id = h.message_id) THEN 'waiting'
            WHEN h.success OR h.unknown THEN 'in the stream'
            ELSE 'not published' END AS reason,
       h.error_message, 0 AS tries, h.published_at AS accepted_at, NULL::timestamptz AS next_try_at
FROM (SELECT DISTINCT ON (p.webhook_id, p.message_id) p.*
      FROM @extschema@.rule_nats_publish_history p
      -- In here, so that the many that have arrived are not sorted.
      WHERE NOT EXISTS (SELECT FROM @extschema@.rule_webhook_queue q
                        WHERE q.webhook_id = p.webhook_id AND q.message_id = p.message_id)
        AND NOT EXISTS (SELECT FROM @extschema@.rule_webhook_receipts r
                        WHERE r.webhook_id = p.webhook_id AND r.message_id = p.message_id)
      ORDER BY p.webhook_id, p.message_id, p.success OR p.unknown DESC, p.published_at) h
JOIN @extschema@.rule_webhooks w ON w.webhook_id = h.webhook_id
-- The receipt of what is older may be gone.
WHERE h.published_at > pg_catalog.clock_timestamp() - (SELECT k.keep FROM @extschema@.rule_engine_retention k
                                                       WHERE k.table_name = 'rule_webhook_receipts');
COMMENT ON VIEW @extschema@._rule_undelivered_published IS
    'Internal: what was published, or was to be, and is neither in the queue nor taken by a worker; a transaction that was open for long may have left it for the next claim.';
