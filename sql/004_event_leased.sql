-- Which of the reported events are still the reporter's, and where their lease stands.

-- Waits for nobody: one open transaction, such as one that deletes a webhook, would hold up the reports of all.
CREATE OR REPLACE FUNCTION @extschema@._rule_leased_lock(
    p_consumer text, p_attempts jsonb, OUT locked_rows bigint[], OUT locked_receipts integer[])
LANGUAGE plpgsql
AS $$
BEGIN
    SELECT coalesce(array_agg(l.queue_id), '{}') INTO locked_rows
    FROM (
        SELECT q.queue_id FROM @extschema@.rule_webhook_queue q
        WHERE q.leased_by = p_consumer
          AND q.queue_id IN (SELECT coalesce(a.queue_id, k.queue_id)
                             FROM @extschema@._rule_worker_attempts(p_attempts) a
                             LEFT JOIN @extschema@.rule_webhook_queue k
                                 ON a.path = 'stream' AND k.webhook_id = a.webhook_id AND k.message_id = a.message_id
                                    AND k.redelivery = a.redelivery)
        ORDER BY q.webhook_id, q.message_id, q.redelivery FOR UPDATE SKIP LOCKED) l;
    SELECT coalesce(array_agg(l.n), '{}') INTO locked_receipts
    FROM (
        SELECT a.n FROM @extschema@._rule_worker_attempts(p_attempts) a
        JOIN @extschema@.rule_webhook_receipts r
            ON r.webhook_id = a.webhook_id AND r.message_id = a.message_id AND r.redelivery = a.redelivery
        WHERE a.path = 'stream' AND r.leased_by = p_consumer
        ORDER BY r.webhook_id, r.message_id, r.redelivery FOR UPDATE OF r SKIP LOCKED) l;
END
$$;
COMMENT ON FUNCTION @extschema@._rule_leased_lock(text, jsonb) IS
    'Internal: locks the receipts of reported events, and says which of them it got: queue ids, and numbers of attempts.';

CREATE OR REPLACE FUNCTION @extschema@._rule_leased(p_consumer text, p_attempts jsonb)
RETURNS TABLE (n integer, path text, webhook_id integer, message_id text, redelivery integer, result text, status integer,
               started_ms_ago double precision, duration_ms double precision, error text, answer text, payload text,
               problem text, held_in text, held_queue_id bigint, route text, retry_count integer,
               retry_enabled boolean, max_retries integer, retry_delay_ms integer, retry_backoff_multiplier numeric,
               give_up_after interval, refusals integer, first_tried_at timestamptz, retry_after_ms integer)
LANGUAGE sql STABLE ROWS 64
AS $$
    SELECT h.n, h.path, h.webhook_id, h.message_id, h.redelivery, h.result, h.status, h.started_ms_ago, h.duration_ms,
           h.error, h.answer, h.payload, h.problem,
           CASE WHEN h.problem IS NOT NULL OR w.webhook_id IS NULL OR h.try <> h.retry_count + 1
                     -- An event has one lease, so a batch has one report of it.
                     OR pg_catalog.row_number() OVER (PARTITION BY h.webhook_id, h.message_id, h.redelivery ORDER BY h.n) > 1
                     OR (h.result = 'published' AND h.route <> 'publish') THEN NULL
                ELSE h.held_in END,
           h.queue_id, h.route, h.retry_count, w.retry_enabled, w.max_retries, w.retry_delay_ms, w.retry_backoff_multiplier,
           w.give_up_after, h.refusals, h.first_tried_at, h.retry_after_ms
    FROM (
        SELECT a.n, a.path, coalesce(i.webhook_id, a.webhook_id) AS webhook_id, coalesce(i.message_id, a.message_id) AS message_id,
               coalesce(i.redelivery, a.redelivery) AS redelivery, a.try, a.result, a.status, a.started_ms_ago, a.duration_ms,
               a.error, a.answer, a.payload, a.problem, coalesce(i.queue_id, k.queue_id) AS queue_id,
               coalesce(i.route, k.route) AS route, coalesce(i.retry_count, k.retry_count, r.retry_count) AS retry_count,
               coalesce(i.refusals, k.refusals, r.refusals) AS refusals,
               coalesce(i.first_tried_at, k.first_tried_at, r.first_tried_at) AS first_tried_at, a.retry_after_ms,
               CASE WHEN i.queue_id IS NOT NULL OR k.queue_id IS NOT NULL THEN 'queue row'
                    WHEN r.webhook_id IS NOT NULL THEN 'receipt' END AS held_in
        FROM @extschema@._rule_worker_attempts(p_attempts) a
        LEFT JOIN @extschema@.rule_webhook_queue i
            ON a.path = 'queue' AND i.queue_id = a.queue_id AND i.status = 'processing' AND i.leased_by = p_consumer
        LEFT JOIN @extschema@.rule_webhook_queue k
            ON a.path = 'stream' AND k.webhook_id = a.webhook_id AND k.message_id = a.message_id
               AND k.redelivery = a.redelivery AND k.status = 'processing' AND k.leased_by = p_consumer
        LEFT JOIN @extschema@.rule_webhook_receipts r
            ON a.path = 'stream' AND r.webhook_id = a.webhook_id AND r.message_id = a.message_id
               AND r.redelivery = a.redelivery AND r.state = 'leased' AND r.leased_by = p_consumer
    ) h
    LEFT JOIN @extschema@.rule_webhooks w ON w.webhook_id = h.webhook_id
    ORDER BY h.n
$$;
COMMENT ON FUNCTION @extschema@._rule_leased(text, jsonb) IS
    'Internal: reported events with their lease, where it is still the reporter''s, and their webhook''s retry policy.';
