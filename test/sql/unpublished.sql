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

-- What NATS refuses waits a second, and keeps no other webhook's waiting, however much of it there is.
SELECT rule_webhook_register('refused', 'https://example.com') AS refused \gset
SELECT rule_webhook_register('taken', 'https://example.com') AS taken \gset
SELECT rule_webhook_enable_nats(:refused, p_publish_mode => 'nats'), rule_webhook_enable_nats(:taken, p_publish_mode => 'nats');
INSERT INTO rule_webhook_queue (webhook_id, message_id, payload, route)
SELECT :refused, 'refused-' || n, '{}', 'publish' FROM generate_series(1, 50) n;
INSERT INTO rule_webhook_queue (webhook_id, message_id, payload, route) SELECT :taken, 'taken-' || n, '{}', 'publish' FROM generate_series(1, 2) n;
CREATE VIEW pg_temp.waits AS
SELECT route, status, error_message, count(*) FROM rule_webhook_queue WHERE webhook_id = :refused GROUP BY 1, 2, 3 ORDER BY 4;
SELECT queue_id AS first FROM rule_webhook_queue WHERE message_id = 'refused-1' \gset
SELECT action, min(message_id), count(*) FROM rule_worker_claim('w', 4, '{WEBHOOKS}') GROUP BY action;
SELECT verdict FROM rule_worker_report('w', (
    SELECT jsonb_agg(jsonb_build_object('path', 'queue', 'queue_id', queue_id, 'webhook_id', webhook_id, 'message_id', message_id,
        'result', 'released', 'error', CASE WHEN queue_id = :first THEN 'no permission' END)) FROM rule_webhook_queue WHERE leased_by = 'w'));
SELECT message_id FROM rule_worker_claim('w', 100, '{WEBHOOKS}');
SELECT * FROM pg_temp.waits;
-- After a minute all that has waited for so long goes to the endpoint.
UPDATE rule_webhook_queue SET status = 'pending', leased_by = NULL, lease_until = NULL WHERE status = 'processing';
UPDATE rule_webhook_queue SET created_at = now() - interval '61 s', next_retry_at = now() WHERE webhook_id = :refused AND message_id <> 'refused-50';
SELECT action, min(message_id), count(*) FROM rule_worker_claim('w', 2, '{WEBHOOKS}') GROUP BY action;
SELECT verdict FROM rule_worker_report('w', (
    SELECT jsonb_agg(jsonb_build_object('path', 'queue', 'queue_id', queue_id, 'webhook_id', webhook_id, 'message_id', message_id,
        'result', 'released', 'error', 'no permission')) FROM rule_webhook_queue WHERE leased_by = 'w'));
SELECT * FROM pg_temp.waits;
DROP VIEW pg_temp.waits;
SELECT rule_webhook_delete(:refused), rule_webhook_delete(:taken);

-- A webhook's events go to the stream that takes its subject.
SELECT rule_webhook_register('of metrics', 'https://example.com') AS id \gset
SELECT rule_webhook_enable_nats(:id, 'metrics.eu.cpu', p_publish_mode => 'nats');
INSERT INTO rule_webhook_queue (webhook_id, message_id, payload, route) VALUES (:id, 'cpu', '{}', 'publish');
CREATE FUNCTION pg_temp.goes_to(p_subjects text[]) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    v_stream text;
BEGIN
    PERFORM rule_nats_stream_create('METRICS', p_subjects);
    SELECT c.stream INTO v_stream FROM rule_worker_claim('w', 2, '{WEBHOOKS}') c;
    UPDATE rule_webhook_queue SET status = 'pending', leased_by = NULL, lease_until = NULL WHERE status = 'processing';
    RETURN v_stream;
END
$$;
SELECT s AS subjects, pg_temp.goes_to(s::text[]) FROM (VALUES
    ('{metrics.>}'), ('{metrics.*.cpu}'), ('{metrics.eu.cpu}'), ('{other,>}'), ('{*.*.*}'),
    ('{metrics.eu.cpu.>}'), ('{metrics.*}'), ('{metrics.us.cpu}'), ('{metrics}'), ('{*.*.*.*}')) AS v (s);
DROP FUNCTION pg_temp.goes_to(text[]);
DELETE FROM rule_nats_streams WHERE stream_name = 'METRICS';
SELECT rule_webhook_delete(:id);
DELETE FROM rule_nats_consumer_stats WHERE consumer_name = 'w';
