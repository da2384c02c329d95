SET search_path = re;
\pset null -
-- The queue path: enqueue, claim, report.
SELECT rule_webhook_register('queued', 'https://example.com', p_max_retries => 1) AS id \gset
UPDATE rule_webhooks SET retry_delay_ms = 600000, give_up_after = '0' WHERE webhook_id = :id;
SELECT rule_webhook_enqueue(:id, '{"n": 1.0}', 'big orders') AS first \gset
SELECT rule_webhook_enqueue(:id, 'null', p_scheduled_at => now() + interval '1 day') AS later \gset
SELECT status, route, payload, rule_name, message_id ~ '^[0-9a-f-]{36}$' AS uuid, created_by = session_user AS by_the_session_user,
       next_retry_at > now() AS later
FROM rule_webhook_queue WHERE webhook_id = :id ORDER BY queue_id;
\a \t
SELECT c.call || E'\n    ' || t.error(c.call)
FROM (VALUES
    ($$SELECT rule_webhook_enqueue(0, '{}')$$),
    ($$SELECT rule_webhook_enqueue(NULL, '{}')$$),
    ($$SELECT rule_webhook_enqueue(t.id('queued'), NULL)$$),
    ($$SELECT rule_webhook_enqueue(t.id('queued'), '{}', p_scheduled_at => 'infinity')$$),
    ($$SELECT rule_webhook_enqueue(t.id('queued'), '{}', p_scheduled_at => '-infinity')$$),
    ($$SELECT rule_webhook_enqueue(t.id('queued'), '{}', repeat('x', 256))$$),
    ($$SELECT rule_webhook_call_status(0)$$),
    ($$SELECT rule_webhook_call_status(NULL)$$),
    ($$SELECT * FROM rule_worker_claim(NULL, 1, '{}')$$),
    ($$SELECT * FROM rule_worker_claim('', 1, '{}')$$),
    ($$SELECT * FROM rule_worker_claim('w', 0, '{}')$$),
    ($$SELECT * FROM rule_worker_claim('w', NULL, '{}')$$),
    ($$SELECT * FROM rule_worker_report('w', NULL)$$),
    ($$SELECT * FROM rule_worker_report('w', '{}')$$)
) AS c (call);
\a \t

-- What is due is leased to one worker; what is scheduled for later waits.
SELECT queue_id = :first AS first, action, webhook_id = :id AS webhook, redelivery, try, payload, stream, subject, headers
FROM rule_worker_claim('w1', 10, '{}');
SELECT count(*) AS for_another_worker FROM rule_worker_claim('w2', 10, '{}');
SELECT status, leased_by, lease_until - started_at AS lease FROM rule_webhook_queue WHERE queue_id = :first;

-- Only its worker may report it, with the number of the try that it was given.
CREATE FUNCTION pg_temp.tried(p_queue_id bigint, p_result text, p_status integer DEFAULT NULL, p_try integer DEFAULT NULL) RETURNS jsonb
LANGUAGE sql AS $$ SELECT jsonb_build_object('path', 'queue', 'queue_id', p_queue_id, 'try', p_try, 'result', p_result,
    'status', p_status, 'started_ms_ago', 5, 'duration_ms', 4.5, 'error', CASE WHEN p_status IS NULL THEN 'time-out' END,
    'answer', 'body') $$;
SELECT * FROM t.report('w2', pg_temp.tried(:first, 'answered', 200));
SELECT * FROM t.report('w1', pg_temp.tried(:first, 'answered', 200, 2));
-- Nor does a report of another event that had this number, before the database went back to an earlier point.
SELECT * FROM t.report('w1', pg_temp.tried(:first, 'answered', 200) || '{"message_id": "another"}');
SELECT * FROM t.report('w1', pg_temp.tried(:first, 'answered', 200) || jsonb_build_object('webhook_id', :id + 1));
SELECT count(*) AS attempts FROM rule_webhook_attempts WHERE webhook_id = :id;

-- Given back untried: no try counted, no attempt, free at once.
SELECT * FROM t.report('w1', pg_temp.tried(:first, 'released') || '{"duration_ms": 0, "error": null}');
SELECT count(*) AS attempts FROM rule_webhook_attempts WHERE webhook_id = :id;
SELECT queue_id = :first AS first, try FROM rule_worker_claim('w2', 10, '{}');
-- With a request that the worker's end cut off: an attempt, and no try counted.
SELECT * FROM t.report('w2', pg_temp.tried(:first, 'released') || '{"error": null, "answer": null}');
SELECT status, retry_count, lease_losses, first_tried_at, error_message FROM rule_webhook_queue WHERE queue_id = :first;
SELECT queue_id = :first AS first, try FROM rule_worker_claim('w2', 10, '{}');

-- A failure waits for its next try. Two reports of one lease in a batch count once.
SELECT * FROM t.report('w2', pg_temp.tried(:first, 'failed'), pg_temp.tried(:first, 'answered', 500));
SELECT status, retry_count, response_status, error_message, last_answer, leased_by,
       next_retry_at BETWEEN now() + interval '470 seconds' AND now() + interval '730 seconds' AS within_jitter
FROM rule_webhook_queue WHERE queue_id = :first;
SELECT count(*) AS due FROM rule_worker_claim('w1', 10, '{}');
SELECT key, value FROM json_each_text(rule_webhook_call_status(:first))
WHERE key IN ('status', 'retry_count', 'error_message', 'webhook_name', 'rule_name') ORDER BY key;

-- The last try is followed by a dead letter.
UPDATE rule_webhook_queue SET next_retry_at = now() WHERE queue_id = :first;
SELECT queue_id = :first AS first, try FROM rule_worker_claim('w1', 10, '{}');
SELECT * FROM t.report('w1', pg_temp.tried(:first, 'answered', 503));
SELECT webhook_name, payload, payload_bytes, retry_count, response_status, error_message, last_answer, completed_at IS NOT NULL AS ended
FROM rule_webhook_dead_letters WHERE queue_id = :first;
SELECT try, path, worker, status, outcome, duration_ms, error_message, answer, started_at < clock_timestamp() AS started
FROM rule_webhook_attempts WHERE webhook_id = :id ORDER BY attempt_id;

-- A worker that dies loses its lease to the next one, and can report no more. No try is counted.
UPDATE rule_webhook_queue SET next_retry_at = now() WHERE queue_id = :later;
SELECT queue_id = :later AS later, try, payload FROM rule_worker_claim('w1', 10, '{}');
SELECT t.lease_ends((SELECT message_id FROM rule_webhook_queue WHERE queue_id = :later));
SELECT queue_id = :later AS later, try FROM rule_worker_claim('w2', 10, '{}');
SELECT * FROM t.report('w1', pg_temp.tried(:later, 'answered', 200));
SELECT * FROM t.report('w2', pg_temp.tried(:later, 'answered', 204));
SELECT * FROM t.report('w2', pg_temp.tried(:later, 'answered', 204));
SELECT status, retry_count, response_status, error_message, last_answer, completed_at IS NOT NULL AS ended
FROM rule_webhook_queue WHERE queue_id = :later;

-- Members that make no sense fail alone.
SELECT * FROM t.report('w1', '5', '{}', '{"path": "queue", "result": "answered", "status": 200}',
    '{"path": "queue", "queue_id": "x", "result": "failed"}', '{"path": "stream", "result": "failed"}',
    '{"path": "queue", "queue_id": 1, "result": "answered", "status": 20}',
    '{"path": "stream", "webhook_id": 1, "message_id": "m", "result": "published"}',
    '{"path": "queue", "queue_id": 999999999999, "result": "failed"}');
SELECT count(*) AS of_nothing FROM rule_worker_report('w1', '[]');

-- A disabled webhook accepts nothing new, and what it has waits.
SELECT rule_webhook_enqueue(:id, '{"n": 2}') AS second \gset
SELECT rule_webhook_update(:id, p_enabled => false);
SELECT rule_webhook_enqueue(:id, '{}') AS not_accepted;
SELECT count(*) AS claimed FROM rule_worker_claim('w1', 10, '{}');
SELECT rule_webhook_update(:id, p_enabled => true);
SELECT queue_id = :second AS second FROM rule_worker_claim('w1', 10, '{}');
SELECT * FROM t.report('w1', pg_temp.tried(:second, 'answered', 200));

-- Without retries the first failure is the last.
UPDATE rule_webhooks SET retry_enabled = false WHERE webhook_id = :id;
SELECT rule_webhook_enqueue(:id, '{"n": 3}') AS third \gset
SELECT queue_id = :third AS third FROM rule_worker_claim('w1', 10, '{}');
SELECT * FROM t.report('w1', pg_temp.tried(:third, 'answered', 302));

-- A number that is no status of HTTP is a failed try.
SELECT rule_webhook_enqueue(:id, '{"n": 4}') AS fourth \gset
SELECT queue_id = :fourth AS fourth FROM rule_worker_claim('w1', 10, '{}');
SELECT * FROM t.report('w1', pg_temp.tried(:fourth, 'answered', 99));
SELECT status, outcome, error_message FROM rule_webhook_attempts WHERE webhook_id = :id ORDER BY attempt_id DESC LIMIT 1;

-- A payload of few bytes can be long as text. It is refused, or ends as a dead letter where it came by another way.
CREATE FUNCTION pg_temp.numbers(p_count integer) RETURNS jsonb LANGUAGE sql AS
$$ SELECT ('[' || rtrim(repeat('1e131071,', p_count), ',') || ']')::jsonb $$;
SELECT t.error('SELECT rule_webhook_enqueue(t.id(''queued''), pg_temp.numbers(64))');
BEGIN READ ONLY;
SELECT t.error('SELECT rule_webhook_enqueue(t.id(''queued''), ''{}'')');
COMMIT;
-- Of the second one Postgres cannot make a text at all: it would have 1.2 GB.
INSERT INTO rule_webhook_queue (webhook_id, message_id, payload)
VALUES (:id, 'huge', pg_temp.numbers(600)), (:id, 'huger', pg_temp.numbers(9000)), (:id, 'after them', '{}');
SELECT message_id FROM rule_worker_claim('w1', 10, '{}');
SELECT message_id FROM rule_worker_claim('w1', 10, '{}');
SELECT message_id FROM rule_worker_claim('w1', 10, '{}');
SELECT * FROM t.report('w1', pg_temp.tried((SELECT queue_id FROM rule_webhook_queue WHERE message_id = 'after them'), 'answered', 200));
SELECT message_id, retry_count, error_message, completed_at IS NOT NULL AS ended FROM rule_webhook_dead_letters WHERE message_id LIKE 'huge%' ORDER BY 1;
-- No more is given at once than a worker should hold, and what is left stays due.
INSERT INTO rule_webhook_queue (webhook_id, message_id, payload)
SELECT :id, 'large ' || n, pg_temp.numbers(25) FROM generate_series(1, 3) n;
SELECT message_id, octet_length(payload) > 3000000 AS large FROM rule_worker_claim('w1', 10, '{}');
SELECT message_id, status, leased_by, lease_until FROM rule_webhook_queue WHERE message_id LIKE 'large%' AND status = 'pending';
SELECT message_id FROM rule_worker_claim('w1', 10, '{}');
DELETE FROM rule_webhook_queue WHERE message_id LIKE 'large%';

-- Each webhook with due rows has its turn, however long another's backlog is.
SELECT rule_webhook_register('long', 'https://example.com') AS long \gset
SELECT rule_webhook_register('short', 'https://example.com') AS short \gset
SELECT count(rule_webhook_enqueue(:long, '{}')) FROM generate_series(1, 200);
SELECT count(rule_webhook_enqueue(:short, '{}')) FROM generate_series(1, 3);
SELECT w.webhook_name, count(*) FROM rule_worker_claim('w1', 10, '{}') c JOIN rule_webhooks w USING (webhook_id) GROUP BY 1 ORDER BY 1;
SELECT w.webhook_name, count(*) FROM rule_worker_claim('w1', 10, '{}') c JOIN rule_webhooks w USING (webhook_id) GROUP BY 1 ORDER BY 1;

-- The delay grows by the multiplier to an hour at most, whatever the numbers are.
SELECT r.tries, min(d) >= 0.8 * r.expected AND max(d) <= least(3600000, 1.2 * r.expected) AS within_jitter
FROM (VALUES (1, 1000), (2, 2000), (5, 16000), (1000, 3600000)) r (tries, expected),
     LATERAL (SELECT _rule_retry_delay_ms(1000, 2.0, r.tries) AS d FROM generate_series(1, 100)) v
GROUP BY r.tries, r.expected ORDER BY r.tries;
SELECT _rule_retry_delay_ms(0, 100, 1000) AS none, _rule_retry_delay_ms(86400000, 100, 1000) AS most;

SELECT rule_webhook_delete(webhook_id) FROM rule_webhooks;
