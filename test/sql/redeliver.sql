-- What has not arrived and why, and delivering again what has ended.
SET search_path = re;
\pset null -
SELECT rule_webhook_register('again', 'https://example.com') AS id \gset
SELECT rule_webhook_register('other', 'https://example.com') AS other \gset
UPDATE rule_webhooks SET nats_enabled = true, nats_subject = 'webhooks.again' WHERE webhook_id = :id;
CREATE FUNCTION pg_temp.put(p_message_id text, p_status text, p_error text DEFAULT NULL, p_age interval DEFAULT '0') RETURNS void LANGUAGE sql AS
$$ INSERT INTO re.rule_webhook_queue (webhook_id, message_id, payload, status, rule_name, error_message, created_at, completed_at, retry_count)
   VALUES (t.id('again'), p_message_id, to_jsonb(p_message_id), p_status, 'a rule', p_error, now() - p_age, now(), 2) $$;
CREATE TEMP VIEW redelivered AS
SELECT message_id, redelivery, payload, status, route, rule_name, retry_count, refusals, first_tried_at, created_at > now() - interval '1 minute' AS new
FROM rule_webhook_queue WHERE redelivery > 0 AND webhook_id = t.id('again') ORDER BY message_id COLLATE "C", redelivery;

-- One row, by its number, once. The next time it is the new row's turn.
SELECT pg_temp.put('dead', 'failed', 'HTTP 500', '3 days'), pg_temp.put('sent', 'success', NULL, '2 days');
SELECT queue_id AS dead FROM rule_webhook_queue WHERE message_id = 'dead' \gset
SELECT rule_webhook_redeliver(:dead), rule_webhook_redeliver(:dead) AS again;
SELECT rule_webhook_redeliver(queue_id) FROM rule_webhook_queue WHERE message_id = 'sent';
SELECT * FROM redelivered;
SELECT count(*) AS dead_letters FROM rule_webhook_dead_letters;
-- The same id goes out, whatever the first delivery left: its receipt, or a copy in the stream.
SELECT message_id, redelivery, try, payload FROM rule_worker_claim('w', 10, '{}') ORDER BY 1;
SELECT r.verdict FROM rule_webhook_queue q, LATERAL rule_worker_report('w', jsonb_build_array(jsonb_build_object('path', 'queue', 'queue_id', q.queue_id,
    'result', 'answered', 'status', CASE q.message_id WHEN 'sent' THEN 200 ELSE 404 END))) r WHERE q.status = 'processing' ORDER BY q.message_id;
UPDATE rule_webhook_queue SET status = 'failed' WHERE message_id = 'dead' AND redelivery = 1;
SELECT message_id, redelivery FROM rule_webhook_dead_letters;
SELECT rule_webhook_redeliver(queue_id) FROM rule_webhook_queue WHERE message_id = 'dead' AND redelivery = 1;
SELECT message_id, redelivery, status FROM redelivered;
SELECT verdict, reason FROM t.admit('w', t.message('again', 'sent'));
-- A dead letter that was tried again by hand is one again when it fails.
SELECT rule_webhook_retry(:dead);
SELECT redelivered_at, refusals, first_tried_at FROM rule_webhook_queue WHERE queue_id = :dead;
DELETE FROM rule_webhook_queue;

-- All dead letters of a webhook, in their order, and no second row for the same.
SELECT pg_temp.put('dead ' || n, 'failed') FROM generate_series(1, 5) n;
SELECT pg_temp.put('waits', 'pending'), pg_temp.put('sent', 'success');
SELECT rule_webhook_redeliver(p_webhook_id => :id), rule_webhook_redeliver(p_webhook_id => :id) AS again;
SELECT pg_temp.put('dead ' || n, 'failed') FROM generate_series(6, 7) n;
SELECT rule_webhook_redeliver(p_webhook_id => :id) AS further;
SELECT message_id, paced, next_retry_at <= now() AS due FROM rule_webhook_queue WHERE redelivery > 0 ORDER BY next_retry_at, queue_id;
DELETE FROM rule_webhook_queue;

-- All of a time: what ended, and what was published and needed no row; not what is on its way.
SELECT pg_temp.put('dead', 'failed', NULL, '3 hours'), pg_temp.put('sent', 'success', NULL, '2 hours'), pg_temp.put('waits', 'pending', NULL, '2 hours'),
       pg_temp.put('older', 'success', NULL, '5 hours'), pg_temp.put('newer', 'success', NULL, '1 minute');
INSERT INTO rule_nats_publish_history (webhook_id, subject, payload, message_id, success, published_at)
SELECT v.webhook, 's', v.payload::jsonb, v.name, v.success, now() - v.age FROM (VALUES
    (:id, 'published', '{"p": 1}', true, interval '2 hours'), (:id, 'published', '{"p": 1}', true, '90 minutes'), (:id, 'recorded', '{"p": 2}', false, '2 hours'),
    (:id, 'without payload', NULL, true, '2 hours'), (:id, 'published earlier', '{}', true, '5 hours'), (:id, 'being sent', '{}', true, '2 hours'),
    (:id, 'sent', '"sent"', true, '2 hours'), (:other, 'of another', '{}', true, '2 hours'), (:id, 'in the stream', '{}', true, '2 hours'),
    (:id, 'recorded first', '{}', false, '2 hours'), (:id, 'recorded first', '{}', true, '2 hours')) v (webhook, name, payload, success, age);
INSERT INTO rule_nats_publish_history (webhook_id, subject, payload, message_id, success, unknown, published_at) VALUES (:id, 's', '{}', 'unknown', false, true, now() - interval '2 hours');
INSERT INTO rule_webhook_receipts (webhook_id, message_id, state) VALUES (:id, 'published', 'done'), (:id, 'being sent', 'waiting');
SELECT rule_webhook_redeliver(p_webhook_id => :id, p_from => now() - interval '4 hours', p_to => now() - interval '1 hour') AS events;
SELECT message_id, redelivery, payload, paced, next_retry_at <= now() AS due FROM rule_webhook_queue WHERE redelivery > 0 ORDER BY next_retry_at, queue_id;
SELECT rule_webhook_redeliver(p_webhook_id => :id, p_from => now() - interval '4 hours', p_to => now() - interval '1 hour') AS again;
BEGIN;
-- In the stream still, and delivered by then; a receipt that is kept no longer says nothing.
INSERT INTO rule_webhook_receipts (webhook_id, message_id, state) VALUES (:id, 'in the stream', 'done');
UPDATE rule_engine_retention SET keep = interval '3 hours' WHERE table_name = 'rule_webhook_receipts';
SELECT rule_webhook_redeliver(p_webhook_id => :id, p_from => now() - interval '4 hours', p_to => now() - interval '1 hour') AS delivered,
       rule_webhook_redeliver(p_webhook_id => :id, p_from => now() - interval '6 hours', p_to => now() - interval '4 hours') AS old;
SELECT message_id, redelivery FROM rule_webhook_queue WHERE redelivery > 0 ORDER BY queue_id DESC LIMIT 3;
ROLLBACK;
-- From then on, without an end: what it made itself is left out.
UPDATE rule_webhook_queue SET status = 'success' WHERE redelivery > 0;
SELECT rule_webhook_redeliver(p_webhook_id => :id, p_from => now() - interval '4 hours') AS newer, rule_webhook_redeliver(p_webhook_id => :id, p_from => now() - interval '4 hours') AS again;

-- The receiver lost it again: what was redelivered before a time that the caller names goes once more, whatever is left of the
-- publish, and of its time alone. What is on its way, or was made since then, does not.
DELETE FROM rule_webhook_queue;
DELETE FROM rule_webhook_receipts;
DELETE FROM rule_nats_publish_history;
CREATE FUNCTION pg_temp.again(p_redelivered_before timestamptz DEFAULT NULL, p_from interval DEFAULT '4 hours', p_to interval DEFAULT '1 hour') RETURNS integer LANGUAGE sql AS
$$ SELECT re.rule_webhook_redeliver(p_webhook_id => t.id('again'), p_from => now() - p_from, p_to => now() - p_to, p_redelivered_before => p_redelivered_before) $$;
SELECT pg_temp.put('dead', 'failed', NULL, '3 hours'), pg_temp.put('sent', 'success', NULL, '2 hours');
INSERT INTO rule_nats_publish_history (webhook_id, subject, payload, message_id, success, published_at) VALUES (:id, 's', '{"p": 1}', 'published', true, now() - interval '2 hours');
INSERT INTO rule_webhook_receipts (webhook_id, message_id, state) VALUES (:id, 'published', 'done');
SELECT pg_temp.again() AS first, pg_temp.again(clock_timestamp()) AS on_its_way;
DELETE FROM rule_nats_publish_history;
UPDATE rule_webhook_queue SET status = CASE message_id WHEN 'dead' THEN 'failed' ELSE 'success' END, completed_at = now(), created_at = now() - interval '50 minutes' WHERE redelivery = 1;
UPDATE rule_webhook_queue SET redelivered_at = now() - interval '50 minutes' WHERE redelivery = 0;
SELECT message_id, redelivery, status, date_trunc('minutes', now() - first_accepted_at) AS age FROM rule_webhook_queue ORDER BY message_id, redelivery;
SELECT pg_temp.again() AS once, pg_temp.again(now() - interval '55 minutes') AS since, pg_temp.again(now() - interval '5 minutes', '1 hour', '0') AS of_another_time,
       (SELECT count(*) FROM rule_webhook_dead_letters) AS dead_letters;
SELECT pg_temp.again(now() - interval '45 minutes') AS again, pg_temp.again(now() - interval '45 minutes') AS on_its_way;
UPDATE rule_webhook_queue SET status = 'success' WHERE redelivery = 2;
SELECT pg_temp.again(now() - interval '45 minutes') AS same_call, (SELECT count(*) FROM rule_webhook_dead_letters) AS dead_letters;
SELECT message_id, redelivery, status, payload, date_trunc('minutes', now() - first_accepted_at) AS age FROM rule_webhook_queue ORDER BY message_id, redelivery;
-- Where the row of a redelivery is gone, the one before says when that was.
DELETE FROM rule_webhook_queue WHERE redelivery > 0 AND message_id <> 'published';
SELECT pg_temp.again(now() - interval '55 minutes') AS since, pg_temp.again(now() - interval '45 minutes') AS again;

-- A transaction that began before the time and redelivers after it.
UPDATE rule_webhook_queue SET status = 'success' WHERE status = 'pending';
BEGIN;
SELECT clock_timestamp() AS in_between \gset
SELECT pg_temp.again(:'in_between') AS events;
COMMIT;
UPDATE rule_webhook_queue SET status = 'success' WHERE status = 'pending';
SELECT pg_temp.again(:'in_between') AS same_call;

-- What waited in the queue, once the stream gave it up, belongs to the time at which it was published.
DELETE FROM rule_webhook_queue;
DELETE FROM rule_webhook_receipts;
UPDATE rule_webhooks SET retry_delay_ms = 120000 WHERE webhook_id = :id;
SELECT t.publish('again', m) IS NOT NULL AS published FROM unnest('{set aside,tried,dead,no stream had it}'::text[]) m;
UPDATE rule_nats_publish_history SET published_at = now() - interval '2 hours';
INSERT INTO rule_nats_publish_history (webhook_id, subject, message_id, success, published_at) VALUES (:id, 's', 'tried', false, now() - interval '8 hours'), (:id, 's', 'tried', true, now() - interval '1 minute');
UPDATE rule_nats_publish_history SET success = false WHERE message_id = 'no stream had it';
INSERT INTO rule_nats_publish_history (webhook_id, subject, message_id, success, published_at, slot) VALUES (:id, 's', 'long ago', true, now() - interval '5 days', _rule_slot(5 * 86400000));
SELECT m.n, a.verdict FROM unnest('{tried,dead,no stream had it}'::text[]) WITH ORDINALITY m (id, n), t.admit('w', t.message('again', m.id)) a ORDER BY 1;
SELECT verdict FROM t.report('w', t.tried('again', 'tried', 503, 1, '{}'));
UPDATE rule_webhooks SET retry_enabled = false WHERE webhook_id = :id;
SELECT verdict FROM t.report('w', t.tried('again', 'dead', 400, 1, '{}'), t.tried('again', 'no stream had it', 400, 1, '{}')) ORDER BY ordinal;
SELECT verdict FROM t.admit('w', t.message('again', 'set aside') || '{"overflow": true, "payload": "e30="}', t.message('again', 'long ago') || '{"overflow": true, "payload": "e30="}', t.message('again', 'of nobody') || '{"overflow": true, "payload": "e30="}') ORDER BY ordinal;
SELECT message_id, status, CASE WHEN created_at >= now() - interval '1 minute' THEN 'now' ELSE date_trunc('minutes', now() - created_at)::text END AS accepted FROM rule_webhook_queue ORDER BY message_id;
UPDATE rule_webhook_queue SET status = 'success' WHERE status = 'pending';
SELECT pg_temp.again() AS events;
UPDATE rule_webhooks SET retry_enabled = DEFAULT, retry_delay_ms = DEFAULT WHERE webhook_id = :id;

-- What has not arrived.
DELETE FROM rule_webhook_queue;
DELETE FROM rule_webhook_receipts;
DELETE FROM rule_nats_publish_history;
SELECT pg_temp.put('dead', 'failed', 'HTTP 500'), pg_temp.put('expired', 'failed', 'expired: held for longer than 7 days'), pg_temp.put('sent', 'success'), pg_temp.put('retried', 'pending', 'HTTP 503');
INSERT INTO rule_webhook_queue (webhook_id, message_id, payload, route, next_retry_at) VALUES (:id, 'new', '{}', 'post', now()), (:id, 'for NATS', '{}', 'publish', now()),
    (:id, 'in the stream, too', '{}', 'stream', now() + interval '30 seconds');
INSERT INTO rule_webhook_queue (webhook_id, message_id, payload, status, leased_by, lease_until) VALUES (:id, 'being tried', '{}', 'processing', 'w', now() + interval '1 minute');
INSERT INTO rule_webhook_queue (webhook_id, message_id, payload_bytes, status, error_message) VALUES (NULL, 'stranger', 'x', 'failed', 'no webhook id');
INSERT INTO rule_webhook_receipts (webhook_id, message_id, state, leased_by, lease_until, retry_count) VALUES (:id, 'r done', 'done', NULL, NULL, 0),
    (:id, 'r leased', 'leased', 'w', now() + interval '1 minute', 0), (:id, 'r lost', 'leased', 'w', now() - interval '1 minute', 0), (:id, 'r retried', 'waiting', NULL, NULL, 1);
INSERT INTO rule_webhook_attempts (webhook_id, message_id, try, path, worker, started_at, outcome, error_message) VALUES (:id, 'r retried', 1, 'stream', 'w', now(), 'again', 'time-out');
INSERT INTO rule_nats_publish_history (webhook_id, subject, message_id, success, unknown, error_message) VALUES (:id, 's', 'r done', true, false, NULL), (:id, 's', 'published', true, false, NULL),
    (:id, 's', 'unknown', false, true, 'time-out'), (:id, 's', 'recorded', false, false, 'no servers'), (:id, 's', 'recorded first', false, false, 'no servers'), (:id, 's', 'recorded first', true, false, NULL);
SELECT rule_webhook_enqueue(:other, '{}') > 0 AS of_another;
SELECT webhook_name, CASE WHEN webhook_name = 'other' THEN 'of another' ELSE message_id END AS message_id, reason, error_message, tries, queue_id IS NOT NULL AS queued, next_try_at IS NOT NULL AS next
FROM rule_webhook_undelivered() ORDER BY 2;
SELECT count(*) FROM rule_webhook_undelivered(:other);
UPDATE rule_webhook_endpoints SET failing_since = now(), breaker_state = 'open', open_ms = 1000, open_until = now() WHERE webhook_id = :id;
SELECT reason, count(*) FROM rule_webhook_undelivered(:id) GROUP BY 1 ORDER BY 1;
SELECT rule_webhook_hold(:id, 'why');
SELECT reason, count(*) FROM rule_webhook_undelivered(:id) GROUP BY 1 ORDER BY 1;
SELECT rule_webhook_update(:id, p_enabled => false);
SELECT reason, count(*) FROM rule_webhook_undelivered(:id) GROUP BY 1 ORDER BY 1;

\a \t
SELECT c.call || E'\n    ' || regexp_replace(t.error(c.call), 'call \d{1,9}', 'call n')
FROM (VALUES
    ($$SELECT rule_webhook_redeliver()$$),
    ($$SELECT rule_webhook_redeliver(1, 1)$$),
    ($$SELECT rule_webhook_redeliver(1, p_from => now())$$),
    ($$SELECT rule_webhook_redeliver(p_webhook_id => t.id('again'), p_from => '2026-02-02', p_to => '2026-02-01')$$),
    ($$SELECT rule_webhook_redeliver(p_webhook_id => t.id('again'), p_redelivered_before => now())$$),
    ($$SELECT rule_webhook_redeliver(p_webhook_id => t.id('again'), p_from => '2026-02-01', p_redelivered_before => 'infinity')$$),
    ($$SELECT rule_webhook_redeliver(0)$$),
    ($$SELECT rule_webhook_redeliver(p_webhook_id => 0)$$),
    ($$SELECT rule_webhook_redeliver(p_webhook_id => t.id('again'), p_per_second => 0)$$),
    ($$SELECT rule_webhook_redeliver(queue_id) FROM rule_webhook_queue WHERE message_id = 'retried'$$),
    ($$SELECT rule_webhook_redeliver(queue_id) FROM rule_webhook_queue WHERE message_id = 'being tried'$$),
    ($$SELECT rule_webhook_redeliver(queue_id) FROM rule_webhook_queue WHERE message_id = 'stranger'$$),
    ($$SELECT count(*) FROM rule_webhook_undelivered(0)$$)
) AS c (call);
\a \t
SELECT rule_webhook_delete(:id), rule_webhook_delete(:other);
DELETE FROM rule_nats_publish_history;
DELETE FROM rule_webhook_drops;
DELETE FROM rule_webhook_queue;
DELETE FROM rule_webhook_attempts WHERE webhook_id = :id;
