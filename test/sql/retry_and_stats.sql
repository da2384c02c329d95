-- Helpers that ask, call and try again.
SET search_path = re;
\pset null -
SELECT rule_nats_configure('helpers', 'nats://user:secret@127.0.0.1:1,token@127.0.0.1:2');
UPDATE rule_nats_config SET connection_timeout_ms = 300, auth_type = 'token', auth_token = 'secret', auth_password = 'secret', auth_user = 'u',
    auth_nkey_seed = 'secret', nats_cluster_urls = '{nats://a:secret@127.0.0.1:3,127.0.0.1:4}' WHERE config_name = 'helpers';
SELECT rule_nats_stream_create('HELPERS', '{helpers.>}', 'helpers') IS NOT NULL AS made;
SELECT rule_webhook_register('helped', 'https://example.com') AS id \gset
SELECT rule_webhook_enable_nats(:id, 'helpers.helped', 'nats', 'helpers');

-- A configuration without its secrets.
SELECT info ->> 'nats_url' AS nats_url, info ->> 'nats_cluster_urls' AS cluster, info ->> 'auth_type' AS auth_type, info ->> 'auth_user' AS auth_user,
       info ->> 'auth_token' AS token, info ->> 'auth_password' AS password, info ->> 'auth_nkey_seed' AS seed, info ->> 'webhooks' AS webhooks,
       info #>> '{streams,0,stream_name}' AS stream, info::text LIKE '%secret%' AS shows_a_secret
FROM rule_nats_config_info('helpers') info;
SELECT info ->> 'config_name' AS config_name, info ->> 'auth_token' AS token, info -> 'nats_cluster_urls' AS cluster FROM rule_nats_config_info() info;

-- A connection that cannot be had.
SELECT r ->> 'success' AS success, r ->> 'connected' AS connected, r ->> 'config' AS config, r ->> 'message' = r ->> 'error' AS says_why, r::text LIKE '%secret%' AS shows_a_secret
FROM rule_nats_test_connection('helpers') r;

-- How publishing goes.
INSERT INTO rule_nats_publish_history (webhook_id, subject, message_id, success, duplicate, latency_ms, published_at)
SELECT :id, 's', g::text, g <> 4, g = 2, g, now() - interval '1 minute' FROM generate_series(1, 4) g
UNION ALL SELECT :id, 's', 'yesterday', true, false, 9, now() - interval '25 hours'
UNION ALL SELECT 0, 's', 'of a deleted webhook', true, false, 9, now();
SELECT jsonb_pretty(rule_nats_stats(:id)::jsonb - 'webhook_id' - 'first_published_at' - 'last_published_at'
                    - '{p50_latency_ms,p95_latency_ms,p99_latency_ms}'::text[]);
SELECT abs((s ->> 'p50_latency_ms')::float8 / 2.5 - 1) < 0.05 AS p50, abs((s ->> 'p95_latency_ms')::float8 / 3.85 - 1) < 0.05 AS p95,
       abs((s ->> 'p99_latency_ms')::float8 / 3.97 - 1) < 0.05 AS p99
FROM rule_nats_stats(:id) s;
SELECT s ->> 'total_published' AS two_days, s -> 'webhook_id' AS webhook FROM rule_nats_stats(p_hours => 48) s;
SELECT webhook_name, nats_subject, publish_mode, config_name, total_published, success_rate FROM rule_nats_webhooks_list();

-- A call, by the webhook's mode.
SELECT r #>> '{nats,success}' AS published, r #>> '{nats,fallback}' AS fallback FROM rule_webhook_call(:id, '{"n": 1}') r;
SELECT triggered_by = current_user AS by_the_caller FROM rule_nats_publish_history WHERE payload = '{"n": 1}';

-- Again: a dead letter, one that waits, one that a worker has.
DELETE FROM rule_webhook_queue;
INSERT INTO rule_webhook_queue (webhook_id, message_id, payload, status, route, retry_count, next_retry_at, error_message, completed_at)
VALUES (:id, 'dead', '{}', 'failed', 'stream', 3, now(), 'HTTP 500', now()), (:id, 'waits', '{}', 'pending', 'post', 2, now() + interval '1 hour', 'HTTP 500', NULL),
       (:id, 'to be published', '{}', 'pending', 'publish', 0, now() + interval '1 hour', NULL, NULL), (:id, 'delivered', '{}', 'success', 'post', 0, now(), NULL, now());
INSERT INTO rule_webhook_queue (webhook_id, message_id, payload, status, leased_by, lease_until) VALUES (:id, 'being tried', '{}', 'processing', 'w', now());
INSERT INTO rule_webhook_queue (webhook_id, message_id, payload_bytes, status) VALUES (NULL, 'stranger', '\x00', 'failed');
SELECT message_id, rule_webhook_retry(queue_id) FROM rule_webhook_queue WHERE message_id NOT IN ('delivered', 'stranger') ORDER BY queue_id;
SELECT message_id, status, route, retry_count, next_retry_at <= clock_timestamp() AS due, error_message, completed_at FROM rule_webhook_queue
WHERE message_id IN ('dead', 'waits', 'to be published') ORDER BY queue_id;

\a \t
SELECT c.call || E'\n    ' || regexp_replace(t.error(c.call), '(call) \d{1,9}', '\1 n')
FROM (VALUES
    ($$SELECT rule_nats_stats(0)$$),
    ($$SELECT rule_nats_stats(p_hours => 0)$$),
    ($$SELECT rule_nats_stats(p_hours => NULL)$$),
    ($$SELECT rule_nats_config_info('no such')$$),
    ($$SELECT rule_nats_config_info(NULL)$$),
    ($$SELECT rule_nats_test_connection('no such')$$),
    ($$SELECT rule_webhook_call(0, '{}')$$),
    ($$SELECT rule_webhook_call(t.id('helped'), NULL)$$),
    ($$SELECT rule_webhook_retry(0)$$),
    ($$SELECT rule_webhook_retry(NULL)$$),
    ($$SELECT rule_webhook_retry(queue_id) FROM rule_webhook_queue WHERE message_id = 'delivered'$$),
    ($$SELECT rule_webhook_retry(queue_id) FROM rule_webhook_queue WHERE message_id = 'stranger'$$)
) AS c (call);
\a \t
-- An application may call, and nothing else of these.
SELECT count(*) > -1 AS made FROM rule_engine_create_roles();
GRANT USAGE ON SCHEMA t TO rule_engine_publisher;
SET ROLE rule_engine_publisher;
SELECT r #>> '{nats,success}' AS published FROM re.rule_webhook_call((SELECT webhook_id FROM re.rule_webhooks WHERE webhook_name = 'helped'), '{"n": 2}') r;
SELECT t.error('SELECT re.rule_nats_config_info()');
SELECT t.error('SELECT re.rule_webhook_retry(1)');
RESET ROLE;
REVOKE USAGE ON SCHEMA t FROM rule_engine_publisher;
SELECT triggered_by FROM rule_nats_publish_history WHERE payload = '{"n": 2}';

SELECT rule_webhook_delete(:id);
DELETE FROM rule_nats_config WHERE config_name = 'helpers';
DELETE FROM rule_nats_publish_history;
DELETE FROM rule_webhook_queue;
