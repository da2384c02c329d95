-- An answer that a worker never got: its events do not wait for the lease, and nobody died of it.
SET search_path = re;
\pset null -
SELECT rule_webhook_register('lost', 'https://example.com') AS id \gset
CREATE FUNCTION pg_temp.claimed(p_consumer text, p_call bigint, p_limit integer DEFAULT 1) RETURNS text LANGUAGE sql AS $$
    SELECT coalesce(string_agg(message_id, ', ' ORDER BY message_id), 'nothing') FROM re.rule_worker_claim(p_consumer, p_limit, '{}', '{}', p_call) $$;
CREATE FUNCTION pg_temp.beat(p_consumer text, p_holds jsonb) RETURNS jsonb LANGUAGE sql AS $$ SELECT lost - 'now_ms' FROM re.rule_worker_heartbeat(p_consumer, '[]', p_holds) $$;
CREATE TEMP VIEW rows AS
SELECT message_id, status, route, leased_by, lease_call, lease_until > now() AS lease, retry_count, lease_losses, next_retry_at <= now() AS due
FROM rule_webhook_queue ORDER BY message_id COLLATE "C";
INSERT INTO rule_webhook_queue (webhook_id, message_id, payload, next_retry_at) SELECT :id, 'row ' || n, '{}', now() - interval '1 hour' + n * interval '1 s' FROM generate_series(1, 4) n;

-- Claims: those that are named, of the worker that names them, and no row of another one.
SELECT pg_temp.claimed('w', 11), pg_temp.claimed('w', 12), pg_temp.claimed('v', 11), pg_temp.claimed('w', NULL);
SELECT * FROM rows;
SELECT pg_temp.beat('w', '{"queue": [], "receipts": []}'), pg_temp.beat('w', '{"unanswered": []}'), pg_temp.beat('w', '{"unanswered": "11"}'),
       pg_temp.beat('w', '{"unanswered": [null, -11, "x", {}, 1e300, 13]}'), pg_temp.beat('u', '{"unanswered": [11, 12]}');
SELECT message_id FROM rule_webhook_queue WHERE status <> 'processing';
SELECT pg_temp.beat('w', '{"unanswered": [11, 99]}');
SELECT * FROM rows;
-- A row that has another lease by now is no longer that claim's.
SELECT pg_temp.claimed('w', 14);
SELECT pg_temp.beat('w', '{"unanswered": [11]}');
SELECT * FROM rows WHERE message_id = 'row 1';
-- Without a number a claim cannot be named.
SELECT pg_temp.beat('w', '{"unanswered": [null]}');
SELECT count(*) FROM rows WHERE status = 'processing';
DELETE FROM rule_webhook_queue;

-- Messages that are asked about again: the answer is given again, as long as the lease is that message's.
INSERT INTO rule_webhook_queue (webhook_id, message_id, payload, route, next_retry_at) VALUES (:id, 'both', '{}', 'stream', now() + interval '30 s');
INSERT INTO rule_webhook_receipts (webhook_id, message_id, state, retry_count) VALUES (:id, 'tried', 'waiting', 2);
CREATE TEMP VIEW messages AS SELECT n, t.message('lost', id) || jsonb_build_object('sequence', sequence) AS message
FROM (VALUES (1, 'new', 21), (2, 'both', 22), (3, 'tried', 23)) m (n, id, sequence);
CREATE FUNCTION pg_temp.admitted(p_consumer text, p_also jsonb) RETURNS TABLE (n integer, verdict text, reason text, try integer) LANGUAGE sql AS $$
    SELECT a.ordinal, a.verdict, a.reason, a.try
    FROM re.rule_worker_admit(p_consumer, (SELECT jsonb_agg(message || p_also ORDER BY n) FROM pg_temp.messages)) a ORDER BY 1 $$;
SELECT * FROM pg_temp.admitted('w', '{}');
SELECT * FROM pg_temp.admitted('w', '{}');
SELECT * FROM pg_temp.admitted('w', '{"repeated": "true"}');
SELECT * FROM pg_temp.admitted('w', '{"repeated": true, "sequence": 24}');
SELECT * FROM pg_temp.admitted('v', '{"repeated": true}');
SELECT * FROM pg_temp.admitted('w', '{"repeated": true}');
-- Also when the lease has run out meanwhile, which is renewed.
SELECT t.lease_ends(id) FROM unnest('{new, both, tried}'::text[]) id;
SELECT * FROM pg_temp.admitted('w', '{"repeated": true}');
SELECT message_id, state, leased_by, lease_until > now() AS lease, retry_count, lease_losses FROM rule_webhook_receipts ORDER BY 1;
SELECT * FROM rows;
-- A claim is not taken for it, nor it for a claim.
SELECT pg_temp.beat('w', '{"unanswered": [21, 22, 23]}');
SELECT count(*) FROM rows WHERE status = 'processing';
-- What nobody has is taken as ever, what has ended is not sent again.
SELECT verdict, count(*) FROM t.report('w', t.tried('lost', 'new', 200, 1), t.tried('lost', 'both', 200, 1), t.tried('lost', 'tried', 503, 3)) GROUP BY 1 ORDER BY 1;
SELECT * FROM pg_temp.admitted('w', '{"repeated": true}');
-- But not for a webhook that is held by now.
SELECT rule_webhook_hold(:id, 'why');
SELECT * FROM pg_temp.admitted('w', '{"repeated": true}');
SELECT rule_webhook_delete(:id);
DELETE FROM rule_webhook_queue;
DELETE FROM rule_webhook_drops;
