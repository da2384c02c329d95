-- A worker that has waited with an empty queue meets a long one: what it claims it finds by indexes, although its plans are
-- from before and nobody has analyzed the table since.
SET search_path = re;
SELECT rule_webhook_register('burst', 'https://example.com') AS id \gset
ALTER TABLE rule_webhook_queue SET (autovacuum_enabled = off);
DELETE FROM rule_webhook_queue;
VACUUM ANALYZE rule_webhook_queue;
VACUUM ANALYZE rule_webhook_receipts;
DO $$ BEGIN FOR i IN 1 .. 12 LOOP PERFORM count(*) FROM re.rule_worker_claim('w', 10, '{}'); END LOOP; END $$;
INSERT INTO rule_webhook_queue (webhook_id, message_id, payload) SELECT :id, 'm' || n, '{}' FROM generate_series(1, 20000) n;
SELECT pg_stat_force_next_flush();
SELECT sum(idx_tup_read) AS read FROM pg_stat_user_indexes WHERE schemaname = 're' AND relname = 'rule_webhook_queue' \gset
DO $$ BEGIN FOR i IN 1 .. 3 LOOP PERFORM count(*) FROM re.rule_worker_claim('w', 10, '{}'); END LOOP; END $$;
SELECT pg_stat_force_next_flush();
SELECT sum(idx_tup_read) - :read < 5000 AS few_were_read FROM pg_stat_user_indexes
WHERE schemaname = 're' AND relname = 'rule_webhook_queue';
SELECT count(*) AS claimed FROM rule_webhook_queue WHERE status = 'processing';
-- A webhook at its limit is not searched either.
UPDATE rule_webhooks SET max_concurrent = 32 WHERE webhook_id = :id;
DO $$ BEGIN FOR i IN 1 .. 12 LOOP PERFORM count(*) FROM re.rule_worker_claim('w', 500, '{}'); END LOOP; END $$;
SELECT pg_stat_force_next_flush();
SELECT sum(idx_tup_read) - :read < 10000 AS few_were_read FROM pg_stat_user_indexes
WHERE schemaname = 're' AND relname = 'rule_webhook_queue';
SELECT count(*) AS claimed FROM rule_webhook_queue WHERE status = 'processing';
SELECT rule_webhook_delete(:id);

-- What it reports is found by its key, and not among all that is leased.
SELECT rule_webhook_register('leased', 'https://example.com') AS id \gset
VACUUM ANALYZE rule_webhook_queue;
\c -
SET search_path = re;
DO $$ BEGIN FOR i IN 1 .. 12 LOOP
    PERFORM count(*) FROM re.rule_worker_report('w', '[{"path": "queue", "queue_id": 1, "try": 1, "result": "answered", "status": 200}]');
END LOOP; END $$;
INSERT INTO rule_webhook_queue (webhook_id, message_id, payload) SELECT :id, 'm' || n, '{}' FROM generate_series(1, 4000) n;
SELECT count(*) FROM rule_worker_claim('w', 20, '{}');
DO $$ BEGIN FOR i IN 1 .. 8 LOOP PERFORM count(*) FROM re.rule_worker_claim('other', 500, '{}'); END LOOP; END $$;
SELECT pg_stat_force_next_flush();
SELECT sum(idx_tup_read) AS read FROM pg_stat_user_indexes WHERE schemaname = 're' AND relname = 'rule_webhook_queue' \gset
SELECT r.verdict, count(*)
FROM rule_worker_report('w', (
    SELECT jsonb_agg(jsonb_build_object('path', 'queue', 'queue_id', q.queue_id, 'try', 1, 'result', 'answered', 'status', 200))
    FROM rule_webhook_queue q WHERE q.leased_by = 'w')) r
GROUP BY r.verdict;
SELECT pg_stat_force_next_flush();
SELECT sum(idx_tup_read) - :read < 5000 AS few_were_read FROM pg_stat_user_indexes
WHERE schemaname = 're' AND relname = 'rule_webhook_queue';
SELECT rule_webhook_delete(:id);

-- What goes back to NATS is found past what a disabled webhook has there, the oldest first.
SELECT rule_webhook_register('off', 'https://example.com') AS off \gset
SELECT rule_webhook_register('on', 'https://example.com') AS on \gset
SELECT rule_webhook_enable_nats(:off), rule_webhook_enable_nats(:on), rule_webhook_update(:off, p_enabled => false);
VACUUM ANALYZE rule_webhook_queue;
\c -
SET search_path = re;
DO $$ BEGIN FOR i IN 1 .. 12 LOOP PERFORM count(*) FROM re.rule_worker_claim('w', 10, '{WEBHOOKS}'); END LOOP; END $$;
INSERT INTO rule_webhook_queue (webhook_id, message_id, payload, route) SELECT :off, 'm' || n, '{}', 'publish' FROM generate_series(1, 20000) n;
INSERT INTO rule_webhook_queue (webhook_id, message_id, payload, route) SELECT :on, 'm' || n, '{}', 'publish' FROM generate_series(1, 20) n;
SELECT pg_stat_force_next_flush();
SELECT sum(idx_tup_read) AS read FROM pg_stat_user_indexes WHERE schemaname = 're' AND relname = 'rule_webhook_queue' \gset
SELECT array_agg(message_id ORDER BY queue_id) AS claimed, bool_and(action = 'publish') AS for_nats
FROM rule_worker_claim('w', 10, '{WEBHOOKS}');
SELECT pg_stat_force_next_flush();
SELECT sum(idx_tup_read) - :read < 5000 AS few_were_read FROM pg_stat_user_indexes
WHERE schemaname = 're' AND relname = 'rule_webhook_queue';
ALTER TABLE rule_webhook_queue RESET (autovacuum_enabled);
SELECT rule_webhook_delete(:off), rule_webhook_delete(:on);
DELETE FROM rule_nats_consumer_stats WHERE stream_name = 'WEBHOOKS';
