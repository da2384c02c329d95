-- The four functions in Go, without NATS: what is refused, and what an outage does.
SET search_path = re;
\pset null -
-- A port where nothing listens, whatever else runs on this machine.
SELECT rule_nats_configure('nowhere', 'nats://127.0.0.1:1');
UPDATE rule_nats_config SET connection_timeout_ms = 500, publish_timeout_ms = 500 WHERE config_name = 'nowhere';
SELECT rule_webhook_register('published', 'https://example.com') AS id \gset
SELECT rule_webhook_register('no subject', 'https://example.com') AS no_subject \gset
SELECT rule_webhook_register('not enabled', 'https://example.com') AS not_enabled \gset
SELECT rule_webhook_register('disabled', 'https://example.com') AS disabled \gset
SELECT rule_webhook_enable_nats(webhook_id, p_publish_mode => 'nats', p_config_name => 'nowhere')
FROM rule_webhooks WHERE webhook_id <> :not_enabled;
UPDATE rule_webhooks SET nats_subject = NULL WHERE webhook_id = :no_subject;
SELECT rule_webhook_update(:disabled, p_enabled => false);

\a \t
SELECT c.call || E'\n    ' || t.error(c.call)
FROM (VALUES
    ($$SELECT rule_webhook_publish_nats(0, '{}')$$),
    ($$SELECT rule_webhook_publish_nats(NULL, '{}')$$),
    ($$SELECT rule_webhook_publish_nats(t.id('published'), NULL)$$),
    ($$SELECT rule_webhook_publish_nats(t.id('not enabled'), '{}')$$),
    ($$SELECT rule_webhook_publish_nats(t.id('no subject'), '{}')$$),
    ($$SELECT rule_webhook_publish_nats(t.id('published'), '{}', '')$$),
    ($$SELECT rule_webhook_publish_nats(t.id('published'), '{}', repeat('m', 256))$$),
    ($$SELECT rule_webhook_publish_nats(t.id('published'), '{}', E'a\nb')$$),
    ($$SELECT rule_webhook_call_unified(0, '{}')$$),
    ($$SELECT rule_webhook_call_unified(NULL, '{}')$$),
    ($$SELECT rule_webhook_call_unified(t.id('published'), NULL)$$),
    ($$SELECT rule_nats_init('no such')$$),
    ($$SELECT rule_nats_init(NULL)$$),
    ($$SELECT rule_nats_health_check('no such')$$),
    ($$SELECT rule_nats_health_check(NULL)$$)
) AS c (call);
\a \t
-- Nothing was recorded or queued for any of them.
SELECT (SELECT count(*) FROM rule_nats_publish_history) AS history, (SELECT count(*) FROM rule_webhook_queue) AS queue;

-- READ ONLY: refused before anything is sent; the health check works there.
BEGIN READ ONLY;
\a \t
SELECT c.call || E'\n    ' || t.error(c.call)
FROM (VALUES
    ($$SELECT re.rule_webhook_publish_nats(t.id('published'), '{}')$$),
    ($$SELECT re.rule_webhook_call_unified(t.id('published'), '{}')$$)
) AS c (call);
\a \t
SELECT rule_nats_health_check('nowhere') -> 'connected' AS connected;
ROLLBACK;

-- A disabled webhook answers and does nothing.
SELECT r -> 'success' AS success, r -> 'skipped' AS skipped, r ? 'reason' OR r ? 'error' AS said_why FROM rule_webhook_publish_nats(:disabled, '{}') r;

-- An outage: recorded as a failure, and the event waits in the queue.
SELECT rule_webhook_publish_nats(:id, '{"n": 1}', 'outage') AS r \gset
SELECT :'r'::jsonb -> 'success' AS success, :'r'::jsonb ? 'error' AS error, :'r'::jsonb ->> 'fallback' AS fallback;
SELECT queue_id = (:'r'::jsonb ->> 'queue_id')::bigint AS its_queue_id, message_id, payload, route, status, created_by = session_user AS by_the_session_user FROM rule_webhook_queue;
SELECT subject, payload, message_id, success, unknown, error_message IS NOT NULL AS said_why, triggered_by = session_user AS by_the_caller,
       transaction IS NOT NULL AS transaction
FROM rule_nats_publish_history;
-- It rolls back with its transaction.
BEGIN;
SELECT r -> 'success' AS success FROM rule_webhook_publish_nats(:id, '{"n": 2}', 'rolled back') r;
ROLLBACK;
SELECT count(*) FROM rule_webhook_queue;
-- Other ways to take an outage.
UPDATE rule_webhooks SET nats_fallback = 'record' WHERE webhook_id = :id;
SELECT r -> 'success' AS success, r ->> 'fallback' AS fallback, r -> 'queue_id' AS queue_id FROM rule_webhook_publish_nats(:id, '{"n": 3}', 'recorded') r;
UPDATE rule_webhooks SET nats_fallback = 'error' WHERE webhook_id = :id;
SELECT t.error($$SELECT rule_webhook_publish_nats(t.id('published'), '{"n": 4}', 'raised')$$) ~ '^[0-9A-Z]{5} .* - .+' AS raised_with_a_hint;
SELECT message_id, success FROM rule_nats_publish_history ORDER BY publish_id;
SELECT message_id FROM rule_webhook_queue ORDER BY queue_id;

-- By the webhook's mode.
SELECT r -> 'queue' -> 'success' AS queued, r -> 'queue' ->> 'status' AS status, r ? 'nats' AS nats FROM rule_webhook_call_unified(:not_enabled, '{"n": 5}') r;
UPDATE rule_webhooks SET nats_fallback = 'queue', publish_mode = 'both' WHERE webhook_id = :id;
SELECT r -> 'queue' -> 'success' AS queued, r -> 'nats' -> 'success' AS published FROM rule_webhook_call_unified(:id, '{"n": 6}', 'both') r;
SELECT message_id, route FROM rule_webhook_queue WHERE message_id = 'both';

SELECT r -> 'success' AS success, r ->> 'config' AS config FROM rule_nats_init('nowhere') r;
SELECT r -> 'success' AS success, r ->> 'config' AS config, r -> 'connected' AS connected FROM rule_nats_health_check('nowhere') r;

SELECT rule_webhook_delete(webhook_id) FROM rule_webhooks;
DELETE FROM rule_nats_config WHERE config_name = 'nowhere';
DELETE FROM rule_nats_publish_history;
