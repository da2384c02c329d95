SET search_path = re;
\pset null -
-- What was published, not answered, and put into the queue: whether the stream has it is to be looked up before it is
-- published again, once half of the duplicate window is over.
SELECT rule_webhook_register('unanswered', 'https://example.com') AS id \gset
SELECT rule_webhook_enable_nats(:id, p_publish_mode => 'nats');
UPDATE rule_nats_streams SET duplicate_window_seconds = 100 WHERE stream_name = 'WEBHOOKS';
INSERT INTO rule_webhook_queue (webhook_id, message_id, payload, route, created_at)
SELECT :id, v.message_id, '{}', 'publish', now() - v.age
FROM (VALUES ('refused', interval '90 s'), ('unknown, old', '90 s'), ('unknown, young', '40 s'), ('delivered', '90 s'))
    AS v (message_id, age);
INSERT INTO rule_nats_publish_history (webhook_id, subject, message_id, success, unknown)
SELECT :id, 'webhooks.unanswered', v.message_id, false, v.message_id <> 'refused'
FROM (VALUES ('refused'), ('unknown, old'), ('unknown, young'), ('delivered')) AS v (message_id);
-- An earlier publish under the same id.
INSERT INTO rule_webhook_receipts (webhook_id, message_id, state, done_at) VALUES (:id, 'delivered', 'done', now());
CREATE VIEW pg_temp.claim AS
SELECT message_id, action, (headers ->> 'Rule-Engine-Unanswered-Ms')::bigint BETWEEN 90000 AND 150000 AS look,
       headers ? 'Rule-Engine-Unanswered-Ms' AS told
FROM rule_worker_claim('w', 100, '{WEBHOOKS}');
SELECT * FROM pg_temp.claim;
SELECT status, completed_at IS NOT NULL AS ended FROM rule_webhook_queue WHERE webhook_id = :id AND message_id = 'delivered';

-- A worker that had it before may have sent it.
UPDATE rule_webhook_queue SET status = 'pending', leased_by = NULL, lease_until = NULL WHERE webhook_id = :id AND status = 'processing';
SELECT * FROM pg_temp.claim;

DROP VIEW pg_temp.claim;
SELECT rule_webhook_delete(:id);
UPDATE rule_nats_streams SET duplicate_window_seconds = 120 WHERE stream_name = 'WEBHOOKS';

-- A worker that finds no stream is told how to make it, when rows wait for it and it can only be one server's.
SELECT rule_webhook_register('waits', 'https://example.com') AS id \gset
SELECT rule_webhook_enable_nats(:id, p_publish_mode => 'nats');
CREATE VIEW pg_temp.told AS
SELECT jsonb_pretty(settings #- '{streams,WEBHOOKS,metadata}' -> 'streams') AS streams,
       settings #>> '{streams,WEBHOOKS,metadata,rule_engine_source}' = source_id::text AS ours
FROM rule_worker_hello('w', 'g', '1', '{}', '{WEBHOOKS,OTHER}');
SELECT * FROM pg_temp.told;
INSERT INTO rule_webhook_queue (webhook_id, message_id, payload, route) VALUES (:id, 'waits', '{}', 'publish');
SELECT * FROM pg_temp.told;
SELECT settings ? 'streams' AS unasked FROM rule_worker_hello('w', 'g', '1', '{}', '{}');
-- A namesake on another server: in use, it makes both mistakable, and what waits for either goes to the endpoints.
SELECT rule_nats_configure('namesake', 'nats://elsewhere:4222');
SELECT streams IS NOT NULL AS told FROM pg_temp.told;
SELECT rule_webhook_register('namesake', 'https://example.com') AS other \gset
SELECT rule_webhook_enable_nats(:other, p_publish_mode => 'nats', p_config_name => 'namesake');
INSERT INTO rule_webhook_queue (webhook_id, message_id, payload, route) VALUES (:other, 'waits too', '{}', 'publish');
SELECT streams IS NOT NULL AS told FROM pg_temp.told;
CREATE FUNCTION pg_temp.claimed() RETURNS TABLE (message_id text, action text) LANGUAGE plpgsql AS $$
BEGIN
    RETURN QUERY SELECT c.message_id, c.action FROM rule_worker_claim('w', 100, '{WEBHOOKS}') c;
    UPDATE rule_webhook_queue SET status = 'pending', route = 'publish', leased_by = NULL, lease_until = NULL WHERE status = 'processing';
END
$$;
SELECT * FROM pg_temp.claimed();
-- Not where it is the same server, off, or without a stream.
UPDATE rule_nats_config SET nats_url = (SELECT c.nats_url FROM rule_nats_config c WHERE c.config_name = 'default') WHERE config_name = 'namesake';
SELECT * FROM pg_temp.claimed();
-- Another login may be another account.
UPDATE rule_nats_config SET auth_type = 'token', auth_token = 'secret' WHERE config_name = 'namesake';
SELECT * FROM pg_temp.claimed();
UPDATE rule_nats_config SET enabled = false WHERE config_name = 'namesake';
SELECT * FROM pg_temp.claimed();
UPDATE rule_nats_config SET enabled = true, jetstream_enabled = false WHERE config_name = 'namesake';
SELECT * FROM pg_temp.claimed();
UPDATE rule_nats_config SET jetstream_enabled = true, stream_name = 'OTHER' WHERE config_name = 'namesake';
SELECT * FROM pg_temp.claimed();
DROP FUNCTION pg_temp.claimed();
DROP VIEW pg_temp.told;
SELECT rule_webhook_delete(:other);
SELECT rule_webhook_delete(:id);
DELETE FROM rule_nats_config WHERE config_name = 'namesake';
DELETE FROM rule_nats_consumer_stats WHERE consumer_name = 'w';

-- After an outage much waits for NATS. A claim reads none of it but what it takes.
SELECT rule_webhook_register('long outage', 'https://example.com') AS id \gset
SELECT rule_webhook_enable_nats(:id, p_publish_mode => 'nats');
BEGIN;
INSERT INTO rule_webhook_queue (webhook_id, message_id, payload, route) SELECT :id, n::text, '{}', 'publish' FROM generate_series(1, 3000) n;
INSERT INTO rule_webhook_queue (webhook_id, message_id, payload, next_retry_at) VALUES (:id, 'for the endpoint', '{}', now());
SELECT pg_stat_get_xact_tuples_fetched('rule_webhook_queue'::regclass) AS before \gset
SELECT action, count(*), min(message_id) FROM rule_worker_claim('w', 20, '{WEBHOOKS}') GROUP BY action ORDER BY action;
SELECT action, count(*) FROM rule_worker_claim('other', 20, '{WEBHOOKS}') GROUP BY action;
SELECT pg_stat_get_xact_tuples_fetched('rule_webhook_queue'::regclass) - :before < 1000 AS few_rows_read;
-- While no worker reaches NATS, the endpoint gets what has waited for a minute, oldest first with what is its own.
UPDATE rule_nats_consumer_stats SET reached_at = NULL;
UPDATE rule_webhook_queue SET status = 'pending', leased_by = NULL, lease_until = NULL WHERE status = 'processing';
UPDATE rule_webhook_queue SET created_at = now() - interval '2 minutes', next_retry_at = now() - interval '1 second' WHERE message_id IN ('7', '8');
UPDATE rule_webhook_queue SET route = 'post' WHERE message_id = '9';
SELECT action, message_id FROM rule_worker_claim('w', 4, '{}') ORDER BY queue_id;
ROLLBACK;
SELECT rule_webhook_delete(:id);
