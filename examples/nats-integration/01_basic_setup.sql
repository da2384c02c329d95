-- A first webhook: from the configuration to an event in the stream, and where to look afterwards.
--
-- Run it with psql as a member of rule_engine_admin, as often as you like. Another server than the
-- configuration's own: psql -v nats_url=nats://nats.internal:4222 -f 01_basic_setup.sql
--
-- While NATS is away nothing here fails: each step says what it found, and the events wait in the queue.

\set ON_ERROR_STOP on

\echo
\echo '1. Where NATS is'
-- The configuration 'default' and its stream WEBHOOKS are there from the start, for nats://localhost:4222.
\if :{?nats_url}
SELECT rule_nats_configure(p_nats_url => :'nats_url') AS configured;
\endif

-- Publishing needs no init: the first publish of a session connects. It is the way to see at once whether NATS is
-- reached, and to have the streams made before anybody publishes.
SELECT r ->> 'success' AS success, r ->> 'message' AS message, r ->> 'nats_url' AS nats_url,
       r ->> 'stream_name' AS stream_name
FROM rule_nats_init() AS r;

\echo '2. A webhook'
SELECT rule_webhook_register('example_basic', 'https://example.com/hooks/basic',
                             p_description => 'Example 01: a first webhook') AS registered
WHERE NOT EXISTS (SELECT FROM rule_webhooks WHERE webhook_name = 'example_basic');

SELECT webhook_id AS id FROM rule_webhooks WHERE webhook_name = 'example_basic' \gset

-- Its receiver verifies with this secret that an event is ours. It is shown this once.
SELECT rule_webhook_secret_set(:id, 'signing') AS "secret for the receiver"
WHERE NOT EXISTS (SELECT FROM rule_webhook_secrets WHERE webhook_id = :id AND secret_name = 'signing');

SELECT rule_webhook_enable_nats(:id, p_nats_subject => 'webhooks.example.basic', p_publish_mode => 'nats') AS enabled;

\echo '3. Events'
-- An outage is an answer and not an error: success is false, and fallback says where the event waits.
SELECT r ->> 'success' AS success, r ->> 'stream' AS stream, r ->> 'sequence' AS sequence,
       r ->> 'error' AS error, r ->> 'fallback' AS fallback
FROM rule_webhook_publish_nats(:id, '{"greeting": "hello"}') AS r;

-- The usual way: the webhook's publish_mode decides where to, and the application need not know.
SELECT jsonb_pretty(rule_webhook_call_unified(:id, '{"order": 1001, "total": 99.99}')) AS answer;

-- An event with an id of its own is delivered once, however often it is published: safe in a transaction that is
-- tried again. This is order 1002 for good, so a second run of this file delivers nothing more.
SELECT r -> 'nats' ->> 'success' AS success, r -> 'nats' ->> 'message_id' AS message_id
FROM rule_webhook_call_unified(:id, '{"order": 1002, "total": 5.00}', 'order-1002-created') AS r;

-- What rolls back is never delivered, although the stream had it before: workers ask what became of its transaction.
BEGIN;
SELECT r -> 'nats' ->> 'success' AS success FROM rule_webhook_call_unified(:id, '{"order": 1003, "total": 0}') AS r;
ROLLBACK;

\echo '4. What became of them'
SELECT webhook_name, subject, total_published, successful, failed, success_rate_pct, avg_latency_ms
FROM nats_publish_summary WHERE webhook_id = :id;

SELECT webhook_name, message_count, p50_latency_ms, p95_latency_ms, p99_latency_ms
FROM nats_performance_stats WHERE webhook_name = 'example_basic';

SELECT published_at, error_message, payload
FROM nats_recent_failures WHERE webhook_name = 'example_basic' LIMIT 5;

SELECT total_calls, successful_calls, failed_calls, pending_calls
FROM webhook_status_summary WHERE webhook_id = :id;

\echo '5. Health'
SELECT h ->> 'connected' AS connected, h ->> 'error' AS error, h -> 'pool_stats' ->> 'health_percentage' AS pool_health_pct,
       h ->> 'warnings' AS warnings
FROM rule_nats_health_check() AS h;
