CREATE OR REPLACE FUNCTION @extschema@._rule_waits_for(
    p_enabled boolean, p_held_since timestamptz, p_breaker_state text, p_retry_count integer)
RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT CASE WHEN NOT p_enabled THEN 'disabled'
                WHEN p_held_since IS NOT NULL THEN 'held'
                WHEN p_breaker_state <> 'closed' THEN 'breaker open'
                WHEN p_retry_count > 0 THEN 'retrying'
                ELSE 'waiting' END
$$;
COMMENT ON FUNCTION @extschema@._rule_waits_for(boolean, timestamptz, text, integer) IS
    'Internal: why an event that can be taken is not delivered, in a word or two.';

CREATE OR REPLACE FUNCTION @extschema@.rule_webhook_undelivered(p_webhook_id integer DEFAULT NULL)
RETURNS TABLE (webhook_id integer, webhook_name text, message_id text, redelivery integer, queue_id bigint, reason text,
               error_message text, tries integer, accepted_at timestamptz, next_try_at timestamptz)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    v_at_limit integer[] := @extschema@._rule_limits_reached(clock_timestamp());
BEGIN
    IF p_webhook_id IS NOT NULL AND NOT EXISTS (SELECT FROM @extschema@.rule_webhooks w WHERE w.webhook_id = p_webhook_id) THEN
        PERFORM @extschema@._rule_no_such_webhook(p_webhook_id);
    END IF;
    RETURN QUERY
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
                    CASE WHEN q.webhook_id = ANY (v_at_limit) AND q.next_retry_at <= clock_timestamp()
                              AND coalesce(e.breaker_state, 'closed') = 'closed' THEN 'at its limit' END,
                    @extschema@._rule_waits_for(w.enabled, w.held_since, e.breaker_state, q.retry_count)) END,
           q.error_message, q.retry_count, q.created_at,
           CASE WHEN q.status = 'pending' AND isfinite(q.next_retry_at) THEN q.next_retry_at END
    FROM @extschema@.rule_webhook_queue q
    LEFT JOIN @extschema@.rule_webhooks w ON w.webhook_id = q.webhook_id
    LEFT JOIN @extschema@.rule_webhook_endpoints e ON e.webhook_id = q.webhook_id
    WHERE (q.webhook_id = p_webhook_id OR p_webhook_id IS NULL)
      AND (q.status IN ('pending', 'processing') OR (q.status = 'failed' AND q.redelivered_at IS NULL))
    UNION ALL
    SELECT r.webhook_id, w.webhook_name, r.message_id, r.redelivery, NULL,
           CASE WHEN r.lease_until > clock_timestamp() THEN 'leased'
                ELSE @extschema@._rule_waits_for(w.enabled, w.held_since, e.breaker_state, r.retry_count) END,
           (SELECT a.error_message FROM @extschema@.rule_webhook_attempts a
            WHERE a.webhook_id = r.webhook_id AND a.message_id = r.message_id AND a.redelivery = r.redelivery
            ORDER BY a.attempt_id DESC LIMIT 1),
           r.retry_count, r.taken_at, NULL
    FROM @extschema@.rule_webhook_receipts r
    JOIN @extschema@.rule_webhooks w ON w.webhook_id = r.webhook_id
    LEFT JOIN @extschema@.rule_webhook_endpoints e ON e.webhook_id = r.webhook_id
    WHERE (r.webhook_id = p_webhook_id OR p_webhook_id IS NULL) AND r.state <> 'done'
      AND NOT EXISTS (SELECT FROM @extschema@.rule_webhook_queue q
                      WHERE q.webhook_id = r.webhook_id AND q.message_id = r.message_id AND q.redelivery = r.redelivery)
    UNION ALL
    -- No worker has taken it yet, or nothing kept it when NATS was away.
    SELECT h.webhook_id, w.webhook_name, h.message_id, 0, NULL,
           CASE WHEN h.success OR h.unknown THEN 'in the stream' ELSE 'not published' END,
           h.error_message, 0, h.published_at, NULL
    FROM (SELECT DISTINCT ON (p.webhook_id, p.message_id) p.*
          FROM @extschema@.rule_nats_publish_history p
          WHERE p.webhook_id = p_webhook_id OR p_webhook_id IS NULL
          ORDER BY p.webhook_id, p.message_id, p.success OR p.unknown DESC, p.published_at) h
    JOIN @extschema@.rule_webhooks w ON w.webhook_id = h.webhook_id
    -- The receipt of what is older may be gone.
    WHERE h.published_at > clock_timestamp() - (SELECT k.keep FROM @extschema@.rule_engine_retention k
                                                WHERE k.table_name = 'rule_webhook_receipts')
      AND NOT EXISTS (SELECT FROM @extschema@.rule_webhook_queue q
                      WHERE q.webhook_id = h.webhook_id AND q.message_id = h.message_id)
      AND NOT EXISTS (SELECT FROM @extschema@.rule_webhook_receipts r
                      WHERE r.webhook_id = h.webhook_id AND r.message_id = h.message_id)
    ORDER BY 9, 3, 4;
END
$$;
COMMENT ON FUNCTION @extschema@.rule_webhook_undelivered(integer) IS
    'What has been accepted and has not arrived, oldest first, and why: waiting, retrying, leased, held, disabled, breaker open, at its limit, behind another event of its key, blocked by a dead letter, waiting for NATS, in the stream, not published, expired or dead letter, with the last error.';
