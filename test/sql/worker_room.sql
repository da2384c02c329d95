-- What a worker has room for: at most so many rows of a webhook, and the stream's events that are too many move to the queue.
SET search_path = re;
\pset null -
SELECT rule_webhook_register('behind', 'https://example.com') AS id \gset
SELECT rule_webhook_register('well', 'https://example.com') AS other \gset
SELECT rule_webhook_register('quiet', 'https://example.com') AS third \gset
CREATE FUNCTION pg_temp.claimed(p_room jsonb, p_limit integer DEFAULT 100) RETURNS text LANGUAGE sql AS $$
    SELECT coalesce(string_agg(c.n || ' of ' || w.webhook_name, ', ' ORDER BY w.webhook_name), 'nothing')
    FROM (SELECT webhook_id, count(*) AS n FROM re.rule_worker_claim('w', p_limit, '{}', p_room) GROUP BY 1) c JOIN re.rule_webhooks w USING (webhook_id) $$;
CREATE FUNCTION pg_temp.again() RETURNS bigint LANGUAGE sql AS $$
    WITH u AS (UPDATE re.rule_webhook_queue SET status = 'pending', leased_by = NULL, lease_until = NULL WHERE status = 'processing' RETURNING 1)
    SELECT count(*) FROM u $$;
SELECT count(rule_webhook_enqueue(:id, '{}')) FROM generate_series(1, 100);
SELECT count(rule_webhook_enqueue(:other, '{}')) FROM generate_series(1, 10);
SELECT count(rule_webhook_enqueue(:third, '{}')) FROM generate_series(1, 10);

-- Round over the webhooks, whichever came first and has most.
SELECT pg_temp.claimed(NULL, 15), pg_temp.again();
-- In several rounds it is not more.
SELECT pg_temp.claimed(jsonb_build_object(:id, 7, :other, 0, '', 3)), pg_temp.again();
-- What one webhook leaves others take.
SELECT pg_temp.claimed(jsonb_build_object(:id, 0, :third, 5, '', 1000), 15), pg_temp.again();
SELECT pg_temp.claimed(jsonb_build_object(:id, 0, '', 0)), pg_temp.again();
-- Without a number there is no limit; what is none is none.
SELECT pg_temp.claimed(jsonb_build_object(:id, 2)), pg_temp.again();
SELECT pg_temp.claimed(NULL, 120), pg_temp.again();
SELECT r.room, pg_temp.claimed(r.room, 120), pg_temp.again() FROM (VALUES ('[]'::jsonb), ('{}'), ('5'), ('{"": "many"}'), ('{"": -1}'), ('{"": null}')) r (room);
SELECT count(*) FROM rule_worker_claim('w', 120, '{}');
DELETE FROM rule_webhook_queue;

-- The overflow of the stream moves to the queue, many at once; what cannot goes its own way.
SELECT verdict, reason FROM t.admit('w', t.message('behind', 'told first') || '{"overflow": true}', t.message('behind', 'not told'));
INSERT INTO rule_webhook_queue (webhook_id, message_id, payload, route, next_retry_at) VALUES (:id, 'both ways', '"b"', 'stream', now() + interval '30 s');
INSERT INTO rule_webhook_receipts (webhook_id, message_id, state, retry_count, refusals) VALUES (:id, 'tried', 'waiting', 2, 1);
INSERT INTO rule_webhook_receipts (webhook_id, message_id, state, done_at) VALUES (:id, 'done', 'done', now());
SELECT m.id, a.verdict, a.reason, a.wait_ms
FROM (VALUES (1, 'one'), (2, 'two'), (3, 'no json'), (4, 'both ways'), (5, 'tried'), (6, 'done'), (7, 'one')) m (n, id)
JOIN t.admit('w', VARIADIC (
    SELECT array_agg(t.message('behind', v.id) || jsonb_build_object('overflow', true, 'payload', v.payload) ORDER BY v.n)
    FROM (VALUES (1, 'one', 'MQ=='), (2, 'two', 'eyJiIjogMX0='), (3, 'no json', 'eA=='), (4, 'both ways', 'ImIi'), (5, 'tried', 'NQ=='),
                 (6, 'done', 'Ng=='), (7, 'one', 'MQ==')) v (n, id, payload))) a ON a.ordinal = m.n ORDER BY m.n;
SELECT message_id, payload, status, route, retry_count, refusals, next_retry_at <= clock_timestamp() AS due FROM rule_webhook_queue ORDER BY message_id COLLATE "C";
SELECT message_id, state FROM rule_webhook_receipts WHERE webhook_id = :id ORDER BY message_id COLLATE "C";
-- Told anything but true it is none, and the copy that comes back is known.
SELECT verdict, reason FROM t.admit('w', t.message('well', 'a') || '{"overflow": "true"}', t.message('well', 'b') || '{"overflow": false}', t.message('well', 'c') || '{"overflow": {}}');
SELECT verdict, reason FROM t.admit('w', t.message('behind', 'one') || '{"overflow": true}');
SELECT pg_temp.claimed('{"": 2}');
DELETE FROM rule_webhook_queue;
DELETE FROM rule_webhook_receipts;
DELETE FROM rule_webhook_drops;
SELECT rule_webhook_delete(:id), rule_webhook_delete(:other), rule_webhook_delete(:third);
