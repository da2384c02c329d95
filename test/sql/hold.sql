-- A held webhook: events are accepted and wait.
SET search_path = re;
\pset null -
SELECT rule_webhook_register('held', 'https://example.com') AS id \gset
SELECT rule_webhook_register('other', 'https://example.com') AS other \gset
SELECT rule_webhook_hold(:id, 'maintenance at the receiver');
SELECT held_since AS since FROM rule_webhooks WHERE webhook_id = :id \gset
SELECT rule_webhook_hold(:id, 'longer than they said');
SELECT webhook_name, delivery_state, held_reason, held_since = :'since' AS since_the_first FROM webhook_status_summary ORDER BY webhook_id;
SELECT count(rule_webhook_enqueue(:id, to_jsonb(n))) AS accepted FROM generate_series(1, 5) n;
SELECT rule_webhook_enqueue(:id, '"later"', p_scheduled_at => now() + interval '1 hour') IS NOT NULL AS accepted;
SELECT rule_webhook_enqueue(:other, '{}') IS NOT NULL AS accepted;
SELECT webhook_id = :other AS the_others FROM rule_worker_claim('w', 10, '{}');
-- The stream's events wait in the queue as well, so that they hold no place in the stream.
SELECT t.publish('held', 'streamed') AS x \gset
SELECT verdict, reason, wait_ms FROM t.admit('w', t.message('held', 'streamed', :'x'));
SELECT verdict, reason, wait_ms FROM t.admit('w', t.message('held', 'streamed', :'x') || jsonb_build_object('payload', 'InMi'));
SELECT verdict, reason FROM t.admit('w', t.message('held', 'streamed', :'x'));
SELECT payload, status, route, retry_count, next_retry_at <= clock_timestamp() AS due FROM rule_webhook_queue WHERE message_id = 'streamed';
SELECT count(*) AS receipts FROM rule_webhook_receipts;
-- One that is no JSON, which the queue cannot send, stays; one that has a row already leaves it to the queue.
SELECT verdict, reason, wait_ms FROM t.admit('w', t.message('held', 'no json') || jsonb_build_object('payload', 'eA=='));
INSERT INTO rule_webhook_queue (webhook_id, message_id, payload, route, next_retry_at) VALUES (:id, 'both ways', '"b"', 'stream', now() + interval '30 s');
SELECT verdict, reason FROM t.admit('w', t.message('held', 'both ways'));
SELECT route, next_retry_at <= clock_timestamp() AS due FROM rule_webhook_queue WHERE message_id = 'both ways';
-- Set going again. How quickly is another test's.
SELECT rule_webhook_resume(:id, 2) AS events, rule_webhook_resume(:id) AS not_held_any_more;
SELECT resumed_at > now() - interval '1 minute' AS just_now, resume_per_second FROM rule_webhooks WHERE webhook_id = :id;
SELECT verdict, reason FROM t.admit('w', t.message('held', 'streamed', :'x'));
UPDATE rule_webhooks SET resume_per_second = NULL WHERE webhook_id = :id;
SELECT verdict, try FROM t.admit('w', t.message('held', 'no json'));
SELECT verdict FROM t.report('w', t.tried('held', 'no json', 200));
-- A hundred a second, where nothing else is said.
SELECT rule_webhook_hold(:id, 'a moment');
SELECT rule_webhook_resume(:id) AS events;
SELECT resume_per_second FROM rule_webhooks WHERE webhook_id = :id;
-- All at once, nearly.
SELECT rule_webhook_hold(:id, 'again');
SELECT rule_webhook_resume(:id, 1000000) AS events;
SELECT count(*) FROM rule_worker_claim('w', 10, '{}');
-- A disabled one is held, too.
SELECT rule_webhook_update(:other, p_enabled => false);
SELECT delivery_state, held_reason, held_since FROM webhook_status_summary WHERE webhook_id = :other;
\a \t
SELECT c.call || E'\n    ' || t.error(c.call)
FROM (VALUES
    ($$SELECT rule_webhook_hold(0, 'why')$$),
    ($$SELECT rule_webhook_hold(NULL, 'why')$$),
    ($$SELECT rule_webhook_hold(t.id('held'), ' ')$$),
    ($$SELECT rule_webhook_hold(t.id('held'), NULL)$$),
    ($$SELECT rule_webhook_resume(0)$$),
    ($$SELECT rule_webhook_resume(t.id('held'), 0)$$),
    ($$UPDATE rule_webhooks SET held_reason = 'by hand'$$)
) AS c (call);
\a \t
-- What goes to NATS again is not counted.
SELECT rule_webhook_hold(:id, 'once more');
DELETE FROM rule_webhook_queue;
INSERT INTO rule_webhook_queue (webhook_id, message_id, payload, route)
SELECT :id, 'to NATS ' || n, '{}', 'publish' FROM generate_series(1, 3) n;
SELECT rule_webhook_resume(:id, 1) AS events;

SELECT rule_webhook_delete(:id), rule_webhook_delete(:other);
DELETE FROM rule_nats_publish_history;
DELETE FROM rule_webhook_drops;
