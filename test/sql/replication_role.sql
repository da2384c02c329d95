SET search_path = re;
\pset null -
-- Bulk loaders and replication tools set session_replication_role to replica. What they delete is kept account of all the same.
SELECT rule_webhook_register('ordered', 'https://example.com', p_max_retries => 0) AS id \gset
UPDATE rule_webhooks SET order_key = '{customer}', retry_delay_ms = 600000 WHERE webhook_id = :id;
CREATE FUNCTION pg_temp.put(p_name text) RETURNS void LANGUAGE sql AS
$$ SELECT re.rule_webhook_call_unified(t.id('ordered'), '{"customer": 1}', p_name) $$;
CREATE FUNCTION pg_temp.take() RETURNS text LANGUAGE sql AS
$$ SELECT string_agg(message_id, ', ' ORDER BY message_id) FROM re.rule_worker_claim('w', 10, '{}') $$;
CREATE FUNCTION pg_temp.tell(p_name text, p_status integer) RETURNS text LANGUAGE sql AS
$$ SELECT r.verdict FROM re.rule_webhook_queue q, LATERAL re.rule_worker_report('w', jsonb_build_array(jsonb_build_object(
       'path', 'queue', 'queue_id', q.queue_id, 'result', 'answered', 'status', p_status))) r
   WHERE q.message_id = p_name AND q.status = 'processing' $$;

-- A dead letter that is deleted, or ended, blocks its key no longer.
SELECT pg_temp.put('a' || n) FROM generate_series(1, 3) n;
SELECT pg_temp.take(), pg_temp.tell('a1', 400), pg_temp.take() AS blocked;
SET session_replication_role = replica;
DELETE FROM rule_webhook_queue WHERE message_id = 'a1';
RESET session_replication_role;
SELECT pg_temp.take(), pg_temp.tell('a2', 400), pg_temp.take() AS blocked;
SET session_replication_role = replica;
UPDATE rule_webhook_queue SET status = 'success' WHERE message_id = 'a2';
RESET session_replication_role;
SELECT pg_temp.take(), pg_temp.tell('a3', 200);
-- Nor does any, once it is to be skipped.
SELECT pg_temp.put('b' || n) FROM generate_series(1, 2) n;
SELECT pg_temp.take(), pg_temp.tell('b1', 400), pg_temp.take() AS blocked;
SET session_replication_role = replica;
UPDATE rule_webhooks SET on_dead = 'skip' WHERE webhook_id = :id;
RESET session_replication_role;
SELECT pg_temp.take() AS all_of_its_keys, pg_temp.take();
SELECT pg_temp.tell('b2', 200);
SELECT count(*) AS turns FROM rule_webhook_turns;

-- Logical replication's apply brings along what its origin has kept: rows of the same numbers would stop it.
UPDATE rule_webhooks SET on_dead = 'block' WHERE webhook_id = :id;
SELECT pg_replication_origin_create('re_origin') IS NOT NULL AS created;
SELECT pg_replication_origin_session_setup('re_origin');
SET session_replication_role = replica;
UPDATE rule_webhooks SET on_dead = 'skip' WHERE webhook_id = :id;
DELETE FROM rule_webhook_queue WHERE message_id = 'b1';
RESET session_replication_role;
SELECT pg_replication_origin_session_reset();
SELECT pg_replication_origin_drop('re_origin');
SELECT count(*) AS turns FROM rule_webhook_turns;

-- What has lost its history is not taken for what rolled back.
UPDATE rule_engine_source SET history_kept_since = '-infinity';
SELECT t.publish('ordered', 'deleted') AS deleted \gset
SET session_replication_role = replica;
DELETE FROM rule_nats_publish_history;
RESET session_replication_role;
SELECT verdict FROM t.admit('w', t.message('ordered', 'deleted', :'deleted') || '{"age_ms": 60000}');
UPDATE rule_engine_source SET history_kept_since = '-infinity';
SELECT t.publish('ordered', 'truncated') AS truncated \gset
SET session_replication_role = replica;
TRUNCATE rule_nats_publish_history;
RESET session_replication_role;
SELECT verdict FROM t.admit('w', t.message('ordered', 'truncated', :'truncated') || '{"age_ms": 60000}');
UPDATE rule_engine_source SET history_kept_since = '-infinity';
-- Nor is it counted.
INSERT INTO rule_webhook_attempts (webhook_id, message_id, try, path, worker, started_at, outcome) VALUES (:id, 'm', 1, 'queue', 'w', now(), 'delivered');
SELECT rule_engine_maintain() -> 'success' AS maintained;
SELECT successful_calls FROM webhook_status_summary WHERE webhook_id = :id;
SET session_replication_role = replica;
TRUNCATE rule_webhook_attempts;
-- The next webhook would get the secrets and the events of another, and no worker would hear that it is gone.
\a \t
SELECT t.error('TRUNCATE re.rule_webhooks RESTART IDENTITY');
\a \t
RESET session_replication_role;
SELECT successful_calls FROM webhook_status_summary WHERE webhook_id = :id;

SELECT rule_webhook_delete(:id);
DELETE FROM rule_webhook_deletions;
DELETE FROM rule_webhook_receipts;
DELETE FROM rule_webhook_drops;
