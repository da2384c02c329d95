-- An event on which three leases ran out is run alone, and a fourth ends it.
SET search_path = re;
\pset null -
SELECT rule_webhook_register('poisoned', 'https://example.com') AS id \gset
UPDATE rule_webhooks SET retry_delay_ms = 0;
INSERT INTO rule_webhook_queue (webhook_id, message_id, payload) SELECT :id, m, '{}' FROM unnest('{a,b,c}'::text[]) m;
-- A worker that dies with all that it holds.
CREATE FUNCTION pg_temp.dies() RETURNS void LANGUAGE sql AS
$$ UPDATE re.rule_webhook_queue SET lease_until = now() - interval '1 second' WHERE status = 'processing';
   UPDATE re.rule_webhook_receipts SET lease_until = now() - interval '1 second' WHERE state = 'leased' $$;
CREATE FUNCTION pg_temp.claimed(p_consumer text) RETURNS text LANGUAGE sql AS
$$ SELECT coalesce(string_agg(message_id || ' try ' || try, ', ' ORDER BY message_id), 'nothing') FROM re.rule_worker_claim(p_consumer, 10, '{}') $$;
CREATE FUNCTION pg_temp.said(p_consumer text, p_message_id text, p_status integer) RETURNS text LANGUAGE sql AS
$$ SELECT r.verdict FROM re.rule_webhook_queue q, LATERAL re.rule_worker_report(p_consumer, jsonb_build_array(jsonb_build_object(
       'path', 'queue', 'queue_id', q.queue_id, 'result', CASE WHEN p_status IS NULL THEN 'released' ELSE 'answered' END, 'status', p_status))) r
   WHERE q.message_id = p_message_id $$;
SELECT pg_temp.claimed('w1'), pg_temp.dies();
SELECT pg_temp.claimed('w1'), pg_temp.dies();
-- What is given back, or reported, is no loss.
INSERT INTO rule_webhook_queue (webhook_id, message_id, payload) VALUES (:id, 'd', '{}');
SELECT pg_temp.claimed('w1');
SELECT pg_temp.said('w1', 'b', NULL), pg_temp.said('w1', 'c', 503), t.lease_ends('a');
-- w1 still holds d, so it gets nothing. A worker that is free runs a, alone, and w1 goes on.
SELECT pg_temp.claimed('w1');
SELECT message_id, status, lease_losses, retry_count FROM rule_webhook_queue ORDER BY 1;
SELECT pg_temp.claimed('w2');
SELECT pg_temp.claimed('w2');
SELECT verdict, reason, wait_ms FROM t.admit('w2', t.message('poisoned', 'neighbour'));
SELECT pg_temp.claimed('w1');
SELECT verdict FROM t.admit('w1', t.message('poisoned', 'neighbour'));
SELECT * FROM t.report('w1', t.tried('poisoned', 'neighbour', 200));
-- It was not that one: a neighbour of what is.
SELECT pg_temp.said('w2', 'a', 503);
SELECT message_id, lease_losses, retry_count FROM rule_webhook_queue WHERE message_id = 'a';
SELECT pg_temp.claimed('w2');
SELECT pg_temp.said('w2', 'a', 200);

-- On the stream's way: the third loss moves it to the queue.
UPDATE rule_webhook_queue SET status = 'success', leased_by = NULL, lease_until = NULL, completed_at = now();
SELECT pg_temp.dies();
SELECT verdict, pg_temp.dies() FROM t.admit('w1', t.message('poisoned', 's'));
SELECT verdict, pg_temp.dies() FROM t.admit('w1', t.message('poisoned', 's'));
SELECT lease_losses FROM rule_webhook_receipts WHERE message_id = 's';
SELECT verdict, reason FROM t.admit('w1', t.message('poisoned', 's'));
SELECT verdict, reason FROM t.admit('w1', t.message('poisoned', 's') || '{"payload": "e30="}');
SELECT status, route, lease_losses, retry_count FROM rule_webhook_queue WHERE message_id = 's';
-- Nothing keeps others waiting while it cannot be run.
INSERT INTO rule_webhook_queue (webhook_id, message_id, payload) VALUES (:id, 'e', '{}');
UPDATE rule_webhook_queue SET next_retry_at = now() + interval '1 hour' WHERE message_id = 's';
SELECT pg_temp.claimed('w1');
SELECT pg_temp.said('w1', 'e', 200);
UPDATE rule_webhook_queue SET next_retry_at = now() WHERE message_id = 's';
-- The fourth ends it.
SELECT pg_temp.claimed('w1'), pg_temp.dies();
SELECT pg_temp.claimed('w1');
SELECT message_id, error_message, retry_count, completed_at IS NOT NULL AS ended FROM rule_webhook_dead_letters;
SELECT reason, error_message FROM rule_webhook_undelivered(:id);
SELECT verdict, reason FROM t.admit('w1', t.message('poisoned', 's'));
-- By hand it gets all its chances again.
SELECT rule_webhook_retry(queue_id), lease_losses FROM rule_webhook_dead_letters JOIN rule_webhook_queue USING (queue_id);
SELECT lease_losses, error_message FROM rule_webhook_queue WHERE message_id = 's';

-- In both ways: the stream's third loss leaves it to the queue.
INSERT INTO rule_webhook_queue (webhook_id, message_id, payload, route, next_retry_at) VALUES (:id, 'both', '{}', 'stream', now() + interval '30 seconds');
SELECT verdict, pg_temp.dies() FROM t.admit('w1', t.message('poisoned', 'both'));
SELECT verdict, pg_temp.dies() FROM t.admit('w1', t.message('poisoned', 'both'));
SELECT verdict, pg_temp.dies() FROM t.admit('w1', t.message('poisoned', 'both'));
SELECT verdict, reason FROM t.admit('w1', t.message('poisoned', 'both'));
SELECT pg_temp.claimed('w3');
SELECT message_id, route, lease_losses FROM rule_webhook_queue WHERE message_id = 'both';

-- Of many one is run, then the others have their turn, for as long as it took.
UPDATE rule_webhook_queue SET status = 'success', leased_by = NULL, lease_until = NULL, completed_at = now();
SELECT pg_temp.dies();
INSERT INTO rule_webhook_queue (webhook_id, message_id, payload, lease_losses) SELECT :id, 'left ' || n, '{}', 3 FROM generate_series(1, 3) n;
INSERT INTO rule_webhook_queue (webhook_id, message_id, payload) VALUES (:id, 'innocent', '{}');
SELECT pg_temp.claimed('w1');
UPDATE rule_webhook_queue SET started_at = started_at - interval '10 seconds' WHERE message_id = 'left 1';
SELECT pg_temp.said('w1', 'left 1', 200);
SELECT pg_temp.claimed('w1'), pg_temp.said('w1', 'innocent', 200);
SELECT verdict FROM t.admit('w1', t.message('poisoned', 'innocent, too'));
SELECT verdict FROM t.report('w1', t.tried('poisoned', 'innocent, too', 200));
SELECT message_id, next_retry_at - clock_timestamp() BETWEEN interval '5 seconds' AND interval '15 seconds' AS waits
FROM rule_webhook_queue WHERE status = 'pending' ORDER BY queue_id;
SELECT pg_temp.claimed('w1');
UPDATE rule_webhook_queue SET next_retry_at = now() WHERE status = 'pending';
SELECT pg_temp.claimed('w1');
DELETE FROM rule_webhook_attempts WHERE webhook_id = :id;
SELECT rule_webhook_delete(:id);
DELETE FROM rule_webhook_drops;
