-- The breaker of an endpoint, which holds for all workers, and the holds that come by themselves.
SET search_path = re;
\pset null -
SELECT rule_webhook_register('away', 'https://example.com') AS id \gset
SELECT rule_webhook_register('well', 'https://example.com') AS other \gset
UPDATE rule_webhooks SET retry_delay_ms = 0;
CREATE TEMP VIEW breaker AS
SELECT e.breaker_state, s.breaker_state AS shown, e.outages, e.failing_since IS NOT NULL AS failing, e.open_ms,
       CASE WHEN e.open_until > clock_timestamp() THEN 'shut' WHEN e.open_until IS NOT NULL THEN 'due' END AS gate
FROM rule_webhook_endpoints e JOIN webhook_status_summary s USING (webhook_id);
CREATE FUNCTION pg_temp.waited() RETURNS void LANGUAGE sql AS $$ UPDATE re.rule_webhook_endpoints SET open_until = clock_timestamp() WHERE open_until IS NOT NULL $$;
-- A try on the stream's way: admitted and reported.
CREATE FUNCTION pg_temp.try(p_message_id text, p_status integer, p_name text DEFAULT 'away') RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    v_verdict text;
BEGIN
    SELECT concat_ws(', ', verdict, reason) INTO v_verdict FROM t.admit('w', t.message(p_name, p_message_id));
    IF v_verdict <> 'deliver' THEN
        RETURN v_verdict;
    END IF;
    RETURN (SELECT verdict FROM t.report('w', t.tried(p_name, p_message_id, p_status) || '{"started_ms_ago": 0}'));
END $$;

-- An endpoint that does well has no row.
SELECT pg_temp.try('first', 200);
SELECT * FROM breaker;
-- Refusals are answers. Outages count on end: a success, or a refusal, begins anew.
SELECT pg_temp.try('refused ' || n, 404) FROM generate_series(1, 6) n;
SELECT * FROM breaker;
SELECT pg_temp.try('a' || n, 503) FROM generate_series(1, 4) n;
SELECT * FROM breaker;
SELECT pg_temp.try('second', 200);
SELECT * FROM breaker;
SELECT pg_temp.try('b' || n, NULL) FROM generate_series(1, 4) n;
SELECT pg_temp.try('refused', 422);
SELECT pg_temp.try('c' || n, NULL) FROM generate_series(1, 4) n;
SELECT * FROM breaker;
-- The fifth opens it: its events wait on both ways, and use no try. Others' go on. Workers are told, to give back what they took.
SELECT mark AS mark FROM rule_worker_endpoints() LIMIT 1 \gset
SELECT pg_temp.try('c5', 500);
SELECT * FROM breaker;
SELECT webhook_name, enabled FROM rule_worker_endpoints(:'mark');
SELECT mark AS mark FROM rule_worker_endpoints() LIMIT 1 \gset
SELECT verdict, reason, wait_ms BETWEEN 50 AND 1000 AS soon, try FROM t.admit('w2', t.message('away', 'c5'), t.message('well', 'm'));
SELECT rule_webhook_enqueue(:id, '"queued"') > 0 AS queued, rule_webhook_enqueue(:id, '"queued too"') > 0 AS too, rule_webhook_enqueue(:other, '"other"') > 0 AS other;
SELECT payload FROM rule_worker_claim('w2', 10, '{}');
SELECT retry_count FROM rule_webhook_receipts WHERE message_id = 'c5';
-- What was sent before it opened changes nothing.
UPDATE rule_webhook_receipts SET state = 'leased', leased_by = 'w', lease_until = now() + interval '1 minute' WHERE message_id = 'c4';
SELECT verdict FROM t.report('w', t.tried('away', 'c4', 503) || '{"started_ms_ago": 60000}');
SELECT * FROM breaker;

-- After a second one event is let through, whoever asks first.
SELECT pg_temp.waited();
SELECT * FROM breaker;
SELECT payload FROM rule_worker_claim('w2', 10, '{}');
SELECT * FROM breaker;
SELECT payload FROM rule_worker_claim('w3', 10, '{}');
SELECT verdict, reason FROM t.admit('w', t.message('away', 'c5'));
-- What comes back of before it opened changes nothing. Where the one that was let through comes back untried, the next one goes.
UPDATE rule_webhook_receipts SET state = 'leased', leased_by = 'w', lease_until = now() + interval '1 minute', taken_at = now() - interval '1 minute' WHERE message_id = 'c4';
SELECT verdict, waits FROM t.report('w', t.tried('away', 'c4', NULL) || '{"result": "released"}');
SELECT * FROM breaker;
SELECT verdict FROM rule_worker_report('w2', (SELECT jsonb_build_array(jsonb_build_object('path', 'queue', 'queue_id', queue_id, 'result', 'released'))
    FROM rule_webhook_queue WHERE leased_by = 'w2' AND webhook_id = :id));
SELECT * FROM breaker;
SELECT payload FROM rule_worker_claim('w2', 10, '{}');
SELECT * FROM breaker;
-- Of that workers need not be told.
SELECT webhook_name, enabled FROM rule_worker_endpoints(:'mark');
-- It finds the endpoint away: twice as long.
SELECT verdict FROM rule_worker_report('w2', (SELECT jsonb_build_array(jsonb_build_object('path', 'queue', 'queue_id', queue_id, 'result', 'failed', 'started_ms_ago', 0))
    FROM rule_webhook_queue WHERE leased_by = 'w2' AND webhook_id = :id));
SELECT * FROM breaker;
SELECT pg_temp.waited();
SELECT verdict, count(*) FROM t.admit('w', t.message('away', 'c5'), t.message('away', 'c4'), t.message('away', 'c3')) GROUP BY 1 ORDER BY 1;
SELECT r.verdict FROM rule_webhook_receipts l, LATERAL t.report('w', t.tried('away', l.message_id, 503) || '{"started_ms_ago": 0}') r WHERE l.webhook_id = :id AND l.state = 'leased';
SELECT * FROM breaker;
-- One that is let through and never reported is followed by another.
SELECT pg_temp.waited();
SELECT verdict FROM t.admit('w', t.message('away', 'c3'));
SELECT verdict FROM t.admit('w', t.message('away', 'c4'));
SELECT pg_temp.waited();
SELECT pg_temp.try('c4', 503);
SELECT * FROM breaker;
-- Away for long: the stream's events wait in the queue.
SELECT verdict, reason FROM t.admit('w', t.message('away', 'c5'));
SELECT verdict, reason FROM t.admit('w', t.message('away', 'c5') || '{"payload": "e30="}');
SELECT status, route, retry_count FROM rule_webhook_queue WHERE message_id = 'c5';
-- A minute at most.
CREATE FUNCTION pg_temp.again(p_message_id text) RETURNS integer LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_temp.waited();
    PERFORM pg_temp.try(p_message_id, 503);
    RETURN (SELECT open_ms FROM re.rule_webhook_endpoints);
END $$;
SELECT n, pg_temp.again('d' || n) FROM generate_series(1, 4) n;
-- It is back.
SELECT pg_temp.waited();
SELECT pg_temp.try('third', 200);
SELECT * FROM breaker;
SELECT last_success_at > now() - interval '1 minute' AS just_now FROM rule_webhook_endpoints;
SELECT count(*) AS queued FROM rule_worker_claim('w2', 10, '{}') WHERE webhook_id = :id;

-- Five outages in one batch are five; a delivery among them is none.
SELECT pg_temp.try('e' || n, 200) FROM generate_series(1, 1) n;
SELECT count(*) FROM t.admit('w', VARIADIC ARRAY(SELECT t.message('away', 'f' || n) FROM generate_series(1, 6) n)) WHERE verdict = 'deliver';
SELECT verdict FROM t.report('w', VARIADIC ARRAY(SELECT t.tried('away', 'f' || n, CASE WHEN n < 6 THEN 503 ELSE 200 END) || '{"started_ms_ago": 0}' FROM generate_series(1, 6) n));
SELECT * FROM breaker;
SELECT count(*) FROM t.admit('w', VARIADIC ARRAY(SELECT t.message('away', 'g' || n) FROM generate_series(1, 5) n)) WHERE verdict = 'deliver';
SELECT verdict FROM t.report('w', VARIADIC ARRAY(SELECT t.tried('away', 'g' || n, 503) || '{"started_ms_ago": 0}' FROM generate_series(1, 5) n));
SELECT * FROM breaker;
-- Another URL is another endpoint.
SELECT rule_webhook_update(:id, p_url => 'https://example.org');
SELECT * FROM breaker;

-- 410: the endpoint is held, and the event waits with the others. It was tried, and refused nothing.
SELECT verdict FROM t.admit('w', t.message('away', 'gone'));
SELECT verdict, reason FROM t.report('w', t.tried('away', 'gone', 410));
SELECT held_since FROM rule_webhooks WHERE webhook_id = :id; -- the payload was asked for, and no more
SELECT verdict, waits, reason FROM t.report('w', t.tried('away', 'gone', 410, 1, '{"g": 1}'));
SELECT delivery_state, held_reason, held_since > now() - interval '1 minute' AS now FROM webhook_status_summary WHERE webhook_id = :id;
SELECT status, retry_count, refusals, response_status, payload FROM rule_webhook_queue WHERE message_id = 'gone';
SELECT try, status, outcome FROM rule_webhook_attempts WHERE message_id = 'gone';
SELECT verdict FROM t.admit('w', t.message('away', 'while held'));
SELECT rule_webhook_resume(:id) >= 1 AS resumed;
UPDATE rule_webhooks SET resume_per_second = NULL WHERE webhook_id = :id;
-- Without retries its event ends as it always does; the endpoint is held all the same.
UPDATE rule_webhooks SET retry_enabled = false WHERE webhook_id = :id;
SELECT verdict FROM t.admit('w', t.message('away', 'gone once'));
SELECT verdict FROM t.report('w', t.tried('away', 'gone once', 410, 1, '{}'));
SELECT held_reason FROM rule_webhooks WHERE webhook_id = :id;
SELECT rule_webhook_resume(:id) >= 0 AS resumed;
UPDATE rule_webhooks SET resume_per_second = NULL WHERE webhook_id = :id;
UPDATE rule_webhooks SET retry_enabled = true WHERE webhook_id = :id;

-- Only failures for five days, and some on each of them.
CALL t.begin_on_one_day();
SELECT pg_temp.try('h1', 503);
UPDATE rule_webhook_endpoints SET failing_since = now() - interval '5 days';
SELECT pg_temp.try('h2', 503);
SELECT held_reason FROM rule_webhooks WHERE webhook_id = :id;
CREATE FUNCTION pg_temp.failed(p_days_ago integer) RETURNS void LANGUAGE sql AS $$
    INSERT INTO re.rule_webhook_attempts (webhook_id, message_id, try, path, worker, started_at, status, outcome, slot)
    SELECT w.webhook_id, 'earlier', 1, 'stream', 'w', clock_timestamp() - make_interval(days => p_days_ago), 503, 'again',
           (extract(epoch FROM clock_timestamp())::bigint / 86400 - p_days_ago) % 10
    FROM re.rule_webhooks w WHERE w.webhook_name = 'away' $$;
-- What is not kept cannot be asked for.
BEGIN;
UPDATE rule_engine_retention SET keep = '1 day' WHERE table_name = 'rule_webhook_attempts';
SELECT pg_temp.try('h2 again', 503);
SELECT held_reason FROM rule_webhooks WHERE webhook_id = :id;
ROLLBACK;
SELECT pg_temp.failed(days) FROM generate_series(2, 9) days;
SELECT pg_temp.try('h3', 503);
SELECT held_reason FROM rule_webhooks WHERE webhook_id = :id;
SELECT pg_temp.failed(1);
UPDATE rule_webhook_endpoints SET failing_since = now() - interval '4 days 23 hours';
SELECT pg_temp.try('h4', 503);
SELECT held_reason FROM rule_webhooks WHERE webhook_id = :id;
UPDATE rule_webhook_endpoints SET failing_since = now() - interval '5 days';
SELECT pg_temp.try('h5', 404);
SELECT held_reason FROM rule_webhooks WHERE webhook_id = :id;
DELETE FROM rule_webhook_attempts WHERE message_id = 'earlier';
-- Resumed, it has five days again.
SELECT rule_webhook_resume(:id) >= 1 AS resumed;
SELECT * FROM breaker;

-- What waits for a held webhook for longer than hold_for expires, and is counted.
SELECT rule_webhook_hold(:id, 'for long');
UPDATE rule_webhooks SET hold_for = '2 days' WHERE webhook_id = :id;
DELETE FROM rule_webhook_queue;
INSERT INTO rule_webhook_queue (webhook_id, message_id, payload, created_at, next_retry_at)
SELECT :id, v.name, '{}', now() - v.made, now() - v.due
FROM (VALUES ('waits for long', interval '4 days', interval '4 days'), ('due yesterday', '4 days', '1 day'), ('new', '0', '0')) v (name, made, due);
-- Not yet held for so long.
SELECT count(*) FROM rule_worker_claim('w', 10, '{}');
SELECT message_id FROM rule_webhook_dead_letters;
UPDATE rule_webhooks SET held_since = now() - interval '3 days' WHERE webhook_id = :id;
SELECT count(*) FROM rule_worker_claim('w', 10, '{}');
SELECT message_id, error_message, completed_at IS NOT NULL AS ended FROM rule_webhook_dead_letters;
SELECT failed_calls >= 1 AS counted FROM webhook_status_summary WHERE webhook_id = :id;
-- By maintenance as well, where no worker runs.
UPDATE rule_webhook_queue SET next_retry_at = now() - interval '4 days' WHERE message_id = 'due yesterday';
SELECT rule_engine_maintain() -> 'expired' AS expired;
SELECT rule_webhook_delete(:id), rule_webhook_delete(:other);
SELECT count(*) FROM rule_webhook_endpoints;
DELETE FROM rule_webhook_drops;
