-- Hybrid mode: an event goes into the stream and has a row in the queue of this database. It is delivered once, by the
-- stream as a rule; where the stream's copy is late, the queue steps in. For payments, refunds, legal notices: what must
-- arrive even if the NATS cluster is lost with all that it holds.
--
-- Run it with psql as a member of rule_engine_admin that may create objects in this schema, as often as you like.

\set ON_ERROR_STOP on

\echo
-- Connects, and says so; while NATS is away the events wait in the queue and nothing fails.
SELECT rule_nats_init() ->> 'message' AS nats;

\echo '1. A webhook in mode both'
SELECT rule_webhook_register('example_payments', 'https://example.com/hooks/payments', p_max_retries => 10,
                             p_description => 'Example 04: payments') AS registered
WHERE NOT EXISTS (SELECT FROM rule_webhooks WHERE webhook_name = 'example_payments');

SELECT webhook_id AS id FROM rule_webhooks WHERE webhook_name = 'example_payments' \gset

SELECT rule_webhook_enable_nats(:id, p_nats_subject => 'webhooks.payments', p_publish_mode => 'both') AS enabled;

-- Two answers of one event. Where NATS did not take it, the queue has it all the same.
SELECT part.key AS sent_to, part.value ->> 'success' AS success, part.value ->> 'error' AS error
FROM jsonb_each(rule_webhook_call_unified(:id, '{"payment": 1, "amount": 250.00, "currency": "EUR"}')) AS part
ORDER BY part.key;

\echo '2. Both for what is critical, NATS alone for the rest'
CREATE OR REPLACE FUNCTION smart_webhook_publish(p_webhook_id integer, p_payload jsonb, p_is_critical boolean DEFAULT false)
RETURNS jsonb LANGUAGE sql VOLATILE
AS $$
    SELECT CASE
        WHEN p_is_critical
             OR (SELECT w.publish_mode FROM rule_webhooks w WHERE w.webhook_id = p_webhook_id) = 'queue'
        THEN rule_webhook_call_unified(p_webhook_id, p_payload)
        ELSE jsonb_build_object('nats', rule_webhook_publish_nats(p_webhook_id, p_payload))
    END
$$;
COMMENT ON FUNCTION smart_webhook_publish(integer, jsonb, boolean) IS
    'Sends a critical event to all that the webhook''s publish_mode names, any other to NATS alone (to the queue where the mode is queue). Answers as rule_webhook_call_unified().';

SELECT e.amount, e.amount > 1000 AS critical, array_agg(part.key ORDER BY part.key) AS sent_to
FROM (VALUES (12.50), (9900.00)) AS e (amount)
CROSS JOIN LATERAL jsonb_each(smart_webhook_publish(
    :id, jsonb_build_object('amount', e.amount), p_is_critical => e.amount > 1000)) AS part
GROUP BY e.amount ORDER BY e.amount;

\echo '3. How the two are'
CREATE OR REPLACE VIEW webhook_system_health AS
SELECT 'nats' AS system, c.config_name,
       (SELECT count(*) FROM rule_nats_consumer_stats s
        WHERE s.active AND s.last_active_at > clock_timestamp() - interval '1 minute'
          AND s.stream_name IN (SELECT t.stream_name FROM rule_nats_streams t WHERE t.config_id = c.config_id)) AS workers_active,
       (rule_nats_health_check(c.config_name) -> 'pool_stats' ->> 'health_percentage')::numeric AS health_percentage
FROM rule_nats_config c
UNION ALL
SELECT 'queue', (SELECT s.queue_backend FROM rule_engine_settings s),
       (SELECT count(*) FROM (SELECT q.leased_by FROM rule_webhook_queue q WHERE q.status = 'processing'
                              UNION
                              SELECT a.worker FROM rule_webhook_attempts a
                              WHERE a.path = 'queue' AND a.started_at > clock_timestamp() - interval '1 minute') AS w),
       (SELECT coalesce(round(100.0 * count(*) FILTER (
                   WHERE q.status <> 'failed' AND (q.status <> 'pending' OR q.next_retry_at > clock_timestamp() - interval '1 minute'))
               / nullif(count(*), 0), 1), 100)
        FROM rule_webhook_queue q WHERE q.created_at > clock_timestamp() - interval '24 hours');
COMMENT ON VIEW webhook_system_health IS
    'NATS, a row per configuration: workers heard of within a minute, and the share, in per cent, of this session''s connections that stand (it connects to look). The queue: workers that have delivered from it within a minute, and the share of the last 24 hours'' events that are neither dead letters nor overdue by more than a minute.';

SELECT * FROM webhook_system_health ORDER BY system, config_name;

\echo '4. What they cost'
CREATE OR REPLACE VIEW hybrid_mode_costs AS
SELECT w.webhook_name, n.messages AS nats_messages, q.messages AS queue_messages,
       n.bytes AS nats_storage, q.bytes AS queue_storage, n.latency AS nats_avg_latency, q.latency AS queue_avg_latency
FROM rule_webhooks w
CROSS JOIN LATERAL (
    SELECT count(*) FILTER (WHERE h.success) AS messages, coalesce(sum(pg_column_size(h.*)), 0) AS bytes,
           round(avg(h.latency_ms) FILTER (WHERE h.success), 2) AS latency
    FROM rule_nats_publish_history h WHERE h.webhook_id = w.webhook_id) AS n
CROSS JOIN LATERAL (
    SELECT count(*) AS messages, coalesce(sum(pg_column_size(r.*)), 0) AS bytes,
           round(1000 * avg(extract(epoch FROM r.completed_at - r.created_at)) FILTER (WHERE r.status = 'success'), 2) AS latency
    FROM rule_webhook_queue r WHERE r.webhook_id = w.webhook_id) AS q;
COMMENT ON VIEW hybrid_mode_costs IS
    'Per webhook, over the rows that are kept: events that NATS acknowledged and events with a queue row; the bytes of the rows that either leaves in this database (publish history, queue); and two times in milliseconds that are not the same thing: what a publisher waits for NATS, and what passes from an event''s queueing to its delivery.';

SELECT * FROM hybrid_mode_costs WHERE webhook_name LIKE 'example%' ORDER BY webhook_name;

\echo '5. From the queue to NATS, one webhook at a time'
SELECT rule_webhook_register('example_legacy', 'https://example.com/hooks/legacy',
                             p_description => 'Example 04: moves from the queue to NATS') AS registered
WHERE NOT EXISTS (SELECT FROM rule_webhooks WHERE webhook_name = 'example_legacy');

SELECT webhook_id AS legacy FROM rule_webhooks WHERE webhook_name = 'example_legacy' \gset

-- Where it begins, for a second run of this file too.
SELECT rule_webhook_disable_nats(:legacy) AS queue_only;
SELECT array_agg(part.key ORDER BY part.key) AS sent_to FROM jsonb_each(rule_webhook_call_unified(:legacy, '{"step": 1}')) AS part;

-- The change holds from each session's next event on. Look at the two views above for a day or two before the next step.
SELECT rule_webhook_enable_nats(:legacy, p_nats_subject => 'webhooks.legacy', p_publish_mode => 'both') AS hybrid;
SELECT array_agg(part.key ORDER BY part.key) AS sent_to FROM jsonb_each(rule_webhook_call_unified(:legacy, '{"step": 2}')) AS part;

SELECT rule_webhook_enable_nats(:legacy, p_nats_subject => 'webhooks.legacy', p_publish_mode => 'nats') AS nats_only;
SELECT array_agg(part.key ORDER BY part.key) AS sent_to FROM jsonb_each(rule_webhook_call_unified(:legacy, '{"step": 3}')) AS part;
