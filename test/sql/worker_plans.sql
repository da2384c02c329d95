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
ALTER TABLE rule_webhook_queue RESET (autovacuum_enabled);
SELECT rule_webhook_delete(:id);
