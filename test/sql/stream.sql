-- The stream path: receipts, retries, the move into the queue, dead letters.
SET search_path = re;
\pset null -
SELECT rule_webhook_register('streamed', 'https://example.com', p_max_retries => 2) AS id \gset
UPDATE rule_webhooks SET retry_delay_ms = 1000, give_up_after = '0' WHERE webhook_id = :id;

-- Who takes the receipt delivers. The second copy of one batch waits for the first.
SELECT * FROM t.admit('w1', t.message('streamed', 'a'), t.message('streamed', 'a'));
SELECT verdict, reason, wait_ms BETWEEN 50 AND 5000 AS soon FROM t.admit('w2', t.message('streamed', 'a'));
SELECT verdict, reason FROM t.admit('w1', t.message('streamed', 'a'));
SELECT state, leased_by, lease_until - taken_at AS lease, retry_count, stream, sequence FROM rule_webhook_receipts WHERE message_id = 'a';
-- Only that worker reports it, once.
SELECT * FROM t.report('w2', t.tried('streamed', 'a', 200));
SELECT * FROM t.report('w1', t.tried('streamed', 'a', 200), t.tried('streamed', 'a', 200));
SELECT * FROM t.report('w1', t.tried('streamed', 'a', 200));
SELECT verdict, reason FROM t.admit('w2', t.message('streamed', 'a'));
SELECT state, leased_by, lease_until, done_at IS NOT NULL AS done FROM rule_webhook_receipts WHERE message_id = 'a';

-- The same message id to another webhook is another event.
SELECT rule_webhook_register('streamed too', 'https://example.com') AS other \gset
SELECT verdict, try FROM t.admit('w1', t.message('streamed too', 'a'));
SELECT * FROM t.report('w1', t.tried('streamed too', 'a', 201));

-- A dead worker's event comes back; its late report is lost, also when it bears the same name.
SELECT verdict, try FROM t.admit('w1', t.message('streamed', 'b'));
SELECT t.lease_ends('b');
SELECT verdict, try FROM t.admit('w2', t.message('streamed', 'b'));
SELECT * FROM t.report('w1', t.tried('streamed', 'b', 200));
SELECT * FROM t.report('w2', t.tried('streamed', 'b', 500, 1));
SELECT verdict, try FROM t.admit('w2', t.message('streamed', 'b'));
SELECT * FROM t.report('w2', t.tried('streamed', 'b', 500, 1));
SELECT * FROM t.report('w2', t.tried('streamed', 'b', 500, 2));
-- The third try is the last. Its death needs the payload; asking for it changes nothing.
SELECT verdict, try FROM t.admit('w2', t.message('streamed', 'b'));
SELECT * FROM t.report('w2', t.tried('streamed', 'b', NULL, 3));
SELECT state, leased_by, retry_count FROM rule_webhook_receipts WHERE message_id = 'b';
SELECT count(*) AS attempts FROM rule_webhook_attempts WHERE message_id = 'b';
SELECT * FROM t.report('w2', t.tried('streamed', 'b', NULL, 3, '{"n": 12345678901234567890.50}'));
SELECT webhook_name, message_id, payload, payload_bytes, retry_count, response_status, error_message, last_answer
FROM rule_webhook_dead_letters WHERE message_id = 'b';
SELECT count(*) AS receipts FROM rule_webhook_receipts WHERE message_id = 'b';
SELECT try, path, worker, status, outcome, error_message, answer FROM rule_webhook_attempts WHERE message_id = 'b' ORDER BY attempt_id;
SELECT verdict, reason FROM t.admit('w1', t.message('streamed', 'b'));

-- A payload that is no JSON is kept as it came.
UPDATE rule_webhooks SET retry_enabled = false WHERE webhook_id = :id;
SELECT verdict FROM t.admit('w1', t.message('streamed', 'c'));
SELECT * FROM t.report('w1', t.tried('streamed', 'c', 400, 1, 'not json'));
SELECT message_id, payload, convert_from(payload_bytes, 'UTF8') AS bytes, error_message FROM rule_webhook_dead_letters WHERE message_id = 'c';
-- So is one that is not even base64, and the letters of a long answer.
SELECT verdict FROM t.admit('w1', t.message('streamed', 'd'));
SELECT * FROM t.report('w1', t.tried('streamed', 'd', 400, 1) || jsonb_build_object('payload', '!', 'answer', repeat('é', 2000)));
SELECT convert_from(payload_bytes, 'UTF8') AS bytes, octet_length(last_answer) <= 1024 AS bounded FROM rule_webhook_dead_letters WHERE message_id = 'd';

-- A long delay moves the event into the queue; the copy in the stream is then left out.
UPDATE rule_webhooks SET retry_enabled = true, retry_delay_ms = 600000 WHERE webhook_id = :id;
SELECT verdict FROM t.admit('w1', t.message('streamed', 'e'));
SELECT * FROM t.report('w1', t.tried('streamed', 'e', 503, 1));
SELECT * FROM t.report('w1', t.tried('streamed', 'e', 503, 1, '{"e": 1}'));
SELECT status, route, payload, retry_count, response_status, last_answer, next_retry_at > now() + interval '5 minutes' AS later, leased_by
FROM rule_webhook_queue WHERE message_id = 'e';
SELECT count(*) AS receipts FROM rule_webhook_receipts WHERE message_id = 'e';
SELECT verdict, reason FROM t.admit('w2', t.message('streamed', 'e'));
UPDATE rule_webhook_queue SET next_retry_at = now() WHERE message_id = 'e';
SELECT message_id, action, try, payload FROM rule_worker_claim('w1', 10, '{}');
SELECT verdict, reason FROM t.admit('w2', t.message('streamed', 'e'));
SELECT * FROM re.rule_worker_report('w1', (SELECT jsonb_build_array(jsonb_build_object('path', 'queue', 'queue_id', queue_id,
    'result', 'answered', 'status', 200)) FROM rule_webhook_queue WHERE message_id = 'e'));
SELECT verdict, reason FROM t.admit('w2', t.message('streamed', 'e'));
SELECT try, path, outcome FROM rule_webhook_attempts WHERE message_id = 'e' ORDER BY attempt_id;
-- What the queue could not send as JSON does not go there.
SELECT verdict FROM t.admit('w1', t.message('streamed', 'f'));
SELECT * FROM t.report('w1', t.tried('streamed', 'f', 503, 1, 'not json'));

-- Given back untried, and with a request that the worker's end cut off: an attempt, and no try counted.
SELECT verdict, try FROM t.admit('w1', t.message('streamed', 'g'));
SELECT * FROM t.report('w1', t.tried('streamed', 'g', NULL) || '{"result": "released", "duration_ms": 0}');
SELECT verdict, try FROM t.admit('w1', t.message('streamed', 'g'));
SELECT * FROM t.report('w1', t.tried('streamed', 'g', NULL) || '{"result": "released", "error": null}');
SELECT state, retry_count FROM rule_webhook_receipts WHERE message_id = 'g';
SELECT try, path, outcome, status, duration_ms, error_message FROM rule_webhook_attempts WHERE message_id = 'g';
SELECT verdict, try FROM t.admit('w2', t.message('streamed', 'g'));

-- A batch beyond what one call takes waits for the next.
SELECT verdict, reason, count(*) FROM re.rule_worker_admit('w3', (SELECT jsonb_agg(t.message('streamed too', 'many ' || n)) FROM generate_series(1, 600) n))
GROUP BY 1, 2 ORDER BY 1;

-- A disabled webhook's events wait in the queue, but what is done or rolled back needs no waiting.
SELECT rule_webhook_update(:id, p_enabled => false);
SELECT verdict, reason, wait_ms FROM t.admit('w1', t.message('streamed', 'h'), t.message('streamed', 'a'), t.message('streamed', 'i', '3'));
SELECT count(*) AS receipts FROM rule_webhook_receipts WHERE message_id = 'h';
SELECT rule_webhook_update(:id, p_enabled => true);
SELECT verdict FROM t.admit('w1', t.message('streamed', 'h'));
SELECT rule_webhook_delete(webhook_id) FROM rule_webhooks;
SELECT * FROM t.report('w1', jsonb_build_object('path', 'stream', 'webhook_id', :id, 'message_id', 'h', 'result', 'answered', 'status', 200));
DELETE FROM rule_webhook_drops;
