-- Limits of an endpoint: how many events of it are leased at a time, and how many are taken a second, by all workers and on
-- both paths together.
SET search_path = re;
\pset null -
SELECT rule_webhook_register('slow', 'https://example.com') AS id \gset
SELECT rule_webhook_register('other', 'https://example.com') AS other \gset
UPDATE rule_webhooks SET retry_delay_ms = 30000;
SELECT t.error($$UPDATE rule_webhooks SET max_concurrent = 0$$);
SELECT t.error($$UPDATE rule_webhooks SET max_concurrent = 1001$$);
SELECT t.error($$UPDATE rule_webhooks SET max_per_second = -1$$);
SELECT t.error($$UPDATE rule_webhooks SET max_per_second = 1000001$$);
UPDATE rule_webhooks SET max_concurrent = 3 WHERE webhook_id = :id;

CREATE FUNCTION pg_temp.put(p_name text, VARIADIC p_ids text[]) RETURNS void LANGUAGE sql AS $$
    INSERT INTO re.rule_webhook_queue (webhook_id, message_id, payload) SELECT t.id(p_name), i, '{}' FROM unnest(p_ids) i $$;
CREATE FUNCTION pg_temp.claim(p_consumer text, p_limit integer DEFAULT 100) RETURNS text LANGUAGE sql AS $$
    SELECT string_agg(format('%s try %s', c.message_id, c.try), ', ' ORDER BY c.queue_id) FROM re.rule_worker_claim(p_consumer, p_limit, '{}') c $$;
CREATE FUNCTION pg_temp.say(p_consumer text, p_message_id text, p_said jsonb) RETURNS text LANGUAGE sql AS $$
    SELECT r.verdict FROM re.rule_webhook_queue q, LATERAL re.rule_worker_report(p_consumer, jsonb_build_array(
        '{"path": "queue", "started_ms_ago": 0}' || p_said || jsonb_build_object('queue_id', q.queue_id, 'try', q.retry_count + 1))) r
    WHERE q.message_id = p_message_id AND q.status = 'processing' $$;
CREATE TEMP VIEW leased AS
SELECT w.webhook_name, count(*) FROM rule_webhooks w
JOIN (SELECT webhook_id FROM rule_webhook_queue WHERE status = 'processing'
      UNION ALL SELECT webhook_id FROM rule_webhook_receipts WHERE state = 'leased') l USING (webhook_id) GROUP BY 1;
-- As many tokens as that, and none more by itself.
CREATE FUNCTION pg_temp.tokens(p_tokens double precision) RETURNS void LANGUAGE sql AS $$
    UPDATE re.rule_webhook_buckets SET tokens = p_tokens, refilled_at = now() + interval '9 seconds' $$;

-- The first three, whoever claims; others' events go on.
SELECT pg_temp.put('slow', VARIADIC ARRAY(SELECT 's' || n FROM generate_series(1, 12) n));
SELECT pg_temp.put('other', 'o1', 'o2');
SELECT pg_temp.claim('w1', 4);
SELECT pg_temp.claim('w1');
SELECT pg_temp.claim('w2');
SELECT * FROM leased ORDER BY 1;
SELECT webhook_name, reason, count(*), sum(tries) AS tries FROM rule_webhook_undelivered() GROUP BY 1, 2 ORDER BY 1, 2;
-- What ends gives its place to the next: a delivery, a failure, what was given back. Who waited was not tried.
SELECT pg_temp.say('w1', 's1', '{"result": "answered", "status": 200}');
SELECT pg_temp.claim('w2');
SELECT pg_temp.say('w1', 's2', '{"result": "answered", "status": 503}');
SELECT pg_temp.say('w1', 's3', '{"result": "released"}');
SELECT pg_temp.claim('w2');
SELECT pg_temp.claim('w1');
-- Fewer: no more until fewer are under way.
UPDATE rule_webhooks SET max_concurrent = 2 WHERE webhook_id = :id;
SELECT pg_temp.say('w2', 's4', '{"result": "answered", "status": 200}');
SELECT pg_temp.claim('w1');
SELECT pg_temp.say('w2', 's3', '{"result": "answered", "status": 200}');
SELECT pg_temp.claim('w1');
-- Renewed, it counts; run out, it comes back, and another has its place.
SELECT * FROM leased WHERE webhook_name = 'slow';
SELECT t.lease_ends('s5');
SELECT verdict FROM rule_worker_heartbeat('w2', '[]', jsonb_build_object('queue', (SELECT jsonb_agg(queue_id) FROM rule_webhook_queue WHERE leased_by = 'w2')));
SELECT pg_temp.claim('w1');
SELECT t.lease_ends('s5');
SELECT pg_temp.claim('w1', 1);
SELECT * FROM leased WHERE webhook_name = 'slow';
SELECT count(*) FROM rule_webhook_slots;

-- The stream's events count as well. What there is no room for moves to the queue, untried, behind what waits there.
UPDATE rule_webhook_queue SET status = 'success', leased_by = NULL, lease_until = NULL;
SELECT verdict, reason, try FROM t.admit('w1', t.message('slow', 'm1'), t.message('slow', 'm2'), t.message('slow', 'm3'), t.message('other', 'm1'));
SELECT verdict, reason, try FROM t.admit('w2', t.message('slow', 'm3') || '{"payload": "e30="}', t.message('slow', 'm4') || '{"payload": "e30="}');
SELECT message_id, status, route, retry_count, next_retry_at <= clock_timestamp() AS due FROM rule_webhook_queue WHERE message_id LIKE 'm%' ORDER BY queue_id;
SELECT pg_temp.claim('w1');
SELECT verdict FROM t.report('w1', t.tried('slow', 'm1', 200));
SELECT verdict, reason FROM t.admit('w2', t.message('slow', 'm5'));
SELECT pg_temp.claim('w2');
-- The payload is not JSON: it waits in the stream.
SELECT verdict, reason, wait_ms FROM t.admit('w2', t.message('slow', 'm5') || '{"payload": "/w=="}');
-- A lease of the stream's that ran out gives its place to another, and cannot be renewed then.
SELECT t.lease_ends('m2');
SELECT pg_temp.claim('w2');
SELECT state, lease_losses FROM rule_webhook_receipts WHERE message_id = 'm2' AND webhook_id = :id;
SELECT lost -> 'receipts' = jsonb_build_array(jsonb_build_array(:id, 'm2', 0)) AS lost
FROM rule_worker_heartbeat('w1', '[]', jsonb_build_object('receipts', jsonb_build_array(jsonb_build_array(:id, 'm2', 0))));
SELECT * FROM leased WHERE webhook_name = 'slow';
-- The same where no worker claims.
SELECT t.lease_ends('m3');
SELECT t.lease_ends('m4');
UPDATE rule_webhooks SET max_concurrent = 1 WHERE webhook_id = :id;
SELECT verdict, try FROM t.admit('w2', t.message('slow', 'm2'));
SELECT message_id, status, lease_losses, next_retry_at > clock_timestamp() AS later FROM rule_webhook_queue WHERE message_id IN ('m3', 'm4') ORDER BY 1;
-- In mode 'both' the row that waits is there.
UPDATE rule_webhook_queue SET route = 'stream' WHERE message_id = 'm3';
SELECT verdict, reason FROM t.admit('w1', t.message('slow', 'm3'));
SELECT route, retry_count FROM rule_webhook_queue WHERE message_id = 'm3';
SELECT verdict FROM t.report('w2', t.tried('slow', 'm2', 200));
SELECT pg_temp.claim('w1');

-- So many a second: a quarter of them at once, and what comes back by time.
UPDATE rule_webhook_queue SET status = 'success', leased_by = NULL, lease_until = NULL WHERE status <> 'success';
UPDATE rule_webhooks SET max_concurrent = NULL, max_per_second = 8 WHERE webhook_id = :id;
SELECT pg_temp.put('slow', VARIADIC ARRAY(SELECT 'r' || n FROM generate_series(1, 12) n));
SELECT pg_temp.put('other', 'o3', 'o4', 'o5', 'o6', 'o7');
SELECT pg_temp.claim('w1');
SELECT pg_temp.tokens(0);
SELECT pg_temp.claim('w1');
SELECT pg_temp.tokens(1.1);
SELECT pg_temp.claim('w2');
SELECT round(tokens::numeric, 3) AS left_over FROM rule_webhook_buckets;
-- No more than a quarter comes back, after however long, or by a clock that was set back.
UPDATE rule_webhook_buckets SET tokens = 0, refilled_at = now() - interval '1 day';
SELECT pg_temp.claim('w1');
UPDATE rule_webhook_buckets SET tokens = 0, refilled_at = now() + interval '1 hour';
SELECT pg_temp.claim('w1');
SELECT max(retry_count) AS tries FROM rule_webhook_queue WHERE webhook_id = :id AND status = 'pending';
-- One at least.
UPDATE rule_webhooks SET max_per_second = 1 WHERE webhook_id = :id;
UPDATE rule_webhook_buckets SET tokens = 0, refilled_at = now() - interval '1 day';
SELECT pg_temp.claim('w1');
-- The stream, too. Both limits: the narrower one.
UPDATE rule_webhook_queue SET status = 'success', leased_by = NULL, lease_until = NULL WHERE status <> 'success';
UPDATE rule_webhooks SET max_per_second = 100, max_concurrent = 5 WHERE webhook_id = :id;
SELECT pg_temp.tokens(2);
SELECT verdict, reason FROM t.admit('w1', t.message('slow', 't1'), t.message('slow', 't2'), t.message('slow', 't3'));
SELECT pg_temp.tokens(25);
SELECT verdict, count(*) FROM t.admit('w1', VARIADIC ARRAY(SELECT t.message('slow', 'u' || n) FROM generate_series(1, 9) n)) GROUP BY 1 ORDER BY 1;
SELECT verdict FROM t.report('w1', VARIADIC ARRAY(SELECT t.tried('slow', message_id, 200) FROM rule_webhook_receipts WHERE state = 'leased' AND webhook_id = :id));

-- The breaker's first event has a place of its own; one that runs alone waits for one.
UPDATE rule_webhooks SET max_concurrent = 1, max_per_second = NULL WHERE webhook_id = :id;
SELECT verdict FROM t.admit('w1', t.message('slow', 'v1'));
SELECT pg_temp.put('slow', 'v2', 'v3');
UPDATE rule_webhook_endpoints SET failing_since = now(), breaker_state = 'open', open_ms = 1000, open_until = now();
SELECT pg_temp.claim('w2');
SELECT breaker_state FROM rule_webhook_endpoints; -- nothing was let through
SELECT verdict FROM t.report('w1', t.tried('slow', 'v1', 503) || '{"started_ms_ago": 0}');
SELECT pg_temp.claim('w2');
SELECT breaker_state FROM rule_webhook_endpoints;
UPDATE rule_webhook_queue SET lease_losses = 3 WHERE message_id = 'v3';
SELECT pg_temp.put('other', 'o8');
SELECT pg_temp.claim('w1');
SELECT pg_temp.say('w2', 'v2', '{"result": "answered", "status": 200}');
SELECT pg_temp.say('w1', 'o8', '{"result": "answered", "status": 200}');
SELECT pg_temp.claim('w1');
SELECT retry_count, lease_losses FROM rule_webhook_queue WHERE message_id = 'v3';

-- A webhook takes what was counted along.
SELECT rule_webhook_delete(:id) AS deleted;
SELECT (SELECT count(*) FROM rule_webhook_buckets) AS buckets, (SELECT count(*) FROM rule_webhook_slots) AS slots;
SELECT rule_webhook_delete(:other) AS deleted;
DELETE FROM rule_webhook_queue;
DELETE FROM rule_webhook_attempts;
DELETE FROM rule_webhook_drops;
