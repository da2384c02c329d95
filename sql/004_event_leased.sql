-- Which of the reported events are still the reporter's, and where their lease stands.

-- Waits for nobody: one open transaction, such as one that deletes a webhook, would hold up the reports of all. A row that
-- was locked is the newest one; what could not be locked is looked at as the snapshot shows it. Each look goes by
-- a key and stands for itself (OFFSET 0), so that no plan reads a table or a partial index that was short when it was made.
CREATE OR REPLACE FUNCTION @extschema@._rule_leased(p_consumer text, p_attempts jsonb)
RETURNS TABLE (n integer, path text, webhook_id integer, message_id text, redelivery integer, result text, status integer,
               started_ms_ago double precision, duration_ms double precision, error text, answer text, payload text,
               problem text, held_in text, locked boolean, held_queue_id bigint, held_receipt tid, route text,
               retry_count integer, retry_enabled boolean, max_retries integer, retry_delay_ms integer,
               retry_backoff_multiplier numeric, give_up_after interval, refusals integer, first_tried_at timestamptz,
               retry_after_ms integer, paused_since timestamptz, paused_ms bigint)
LANGUAGE plpgsql
AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    SELECT h.n, h.path, h.webhook_id, h.message_id, h.redelivery, h.result, h.status, h.started_ms_ago, h.duration_ms,
           h.error, h.answer, h.payload, h.problem,
           CASE WHEN h.problem IS NOT NULL OR w.webhook_id IS NULL OR h.try <> h.retry_count + 1
                     -- An event has one lease, so a batch has one report of it.
                     OR row_number() OVER (PARTITION BY h.webhook_id, h.message_id COLLATE "C", h.redelivery ORDER BY h.n) > 1
                     OR (h.result = 'published' AND h.route <> 'publish') THEN NULL
                ELSE h.held_in END,
           h.locked, h.queue_id, h.receipt, h.route, h.retry_count, w.retry_enabled, w.max_retries, w.retry_delay_ms,
           w.retry_backoff_multiplier, w.give_up_after, h.refusals, h.first_tried_at, h.retry_after_ms,
           w.paused_since, w.paused_ms
    FROM (
        SELECT a.n, a.path, coalesce(q.webhook_id, a.webhook_id) AS webhook_id, coalesce(q.message_id, a.message_id) AS message_id,
               coalesce(q.redelivery, a.redelivery) AS redelivery, a.try, a.result, a.status, a.started_ms_ago, a.duration_ms,
               a.error, a.answer, a.payload, a.problem, q.queue_id, coalesce(l.route, q.route) AS route, a.retry_after_ms,
               coalesce(q.retry_count, r.retry_count, s.retry_count) AS retry_count,
               coalesce(q.refusals, r.refusals) AS refusals, coalesce(q.first_tried_at, r.first_tried_at) AS first_tried_at,
               CASE WHEN q.queue_id IS NOT NULL THEN 'queue row'
                    WHEN coalesce(r.retry_count, s.retry_count) IS NOT NULL THEN 'receipt' END AS held_in,
               l.route IS NOT NULL OR r.receipt IS NOT NULL AS locked, r.receipt
        FROM @extschema@._rule_worker_attempts(p_attempts) a
        LEFT JOIN LATERAL (
            SELECT q.queue_id, q.webhook_id, q.message_id, q.redelivery, q.status, q.leased_by, q.route, q.retry_count,
                   q.refusals, q.first_tried_at
            FROM @extschema@.rule_webhook_queue q
            -- A failover to a standby that lagged gives the numbers of rows that it never had to others.
            WHERE a.path = 'queue' AND q.queue_id = a.queue_id
              AND q.webhook_id = coalesce(a.webhook_id, q.webhook_id) AND q.message_id = coalesce(a.message_id, q.message_id)
            UNION ALL
            SELECT q.queue_id, q.webhook_id, q.message_id, q.redelivery, q.status, q.leased_by, q.route, q.retry_count,
                   q.refusals, q.first_tried_at
            FROM @extschema@.rule_webhook_queue q
            WHERE a.path = 'stream' AND q.webhook_id = a.webhook_id AND q.message_id = a.message_id
              AND q.redelivery = a.redelivery
            OFFSET 0) q ON q.status = 'processing' AND q.leased_by = p_consumer
        LEFT JOIN LATERAL (
            SELECT l.status, l.leased_by, l.retry_count, l.route FROM @extschema@.rule_webhook_queue l
            WHERE l.queue_id = q.queue_id
            FOR UPDATE SKIP LOCKED) l
            ON l.status = 'processing' AND l.leased_by = p_consumer AND l.retry_count = q.retry_count
        LEFT JOIN LATERAL (
            SELECT r.ctid AS receipt, r.retry_count, r.refusals, r.first_tried_at
            FROM @extschema@.rule_webhook_receipts r
            WHERE a.path = 'stream' AND q.queue_id IS NULL AND r.webhook_id = a.webhook_id AND r.message_id = a.message_id
              AND r.redelivery = a.redelivery AND r.state = 'leased' AND r.leased_by = p_consumer
            FOR UPDATE SKIP LOCKED) r ON true
        LEFT JOIN LATERAL (
            SELECT s.retry_count FROM @extschema@.rule_webhook_receipts s
            WHERE a.path = 'stream' AND q.queue_id IS NULL AND r.receipt IS NULL
              AND s.webhook_id = a.webhook_id AND s.message_id = a.message_id AND s.redelivery = a.redelivery
              AND s.state = 'leased' AND s.leased_by = p_consumer
            OFFSET 0) s ON true
        OFFSET 0
    ) h
    LEFT JOIN LATERAL (
        SELECT w.webhook_id, w.retry_enabled, w.max_retries, w.retry_delay_ms, w.retry_backoff_multiplier, w.give_up_after,
               w.paused_since, w.paused_ms
        FROM @extschema@.rule_webhooks w WHERE w.webhook_id = h.webhook_id OFFSET 0) w ON true
    ORDER BY h.n;
END
$$;
COMMENT ON FUNCTION @extschema@._rule_leased(text, jsonb) IS
    'Internal: reported events with their lease, where it is still the reporter''s, locked where nobody else has it, and their webhook''s retry policy.';
