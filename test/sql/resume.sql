-- What waits at a resume goes at its rate, over all workers and both paths, whatever happens meanwhile; new events of a stream
-- are not held up by it.
SET search_path = re;
\pset null -
SELECT rule_webhook_register('resumed', 'https://example.com') AS id \gset
SELECT rule_webhook_register('other', 'https://example.com') AS other \gset
UPDATE rule_webhooks SET retry_delay_ms = 30000;
CREATE FUNCTION pg_temp.put(p_name text, VARIADIC p_ids text[]) RETURNS void LANGUAGE sql AS $$
    INSERT INTO re.rule_webhook_queue (webhook_id, message_id, payload, next_retry_at) SELECT t.id(p_name), i, '{}', clock_timestamp() FROM unnest(p_ids) i $$;
CREATE FUNCTION pg_temp.claim(p_consumer text, p_limit integer DEFAULT 100) RETURNS text LANGUAGE sql AS $$
    SELECT string_agg(format('%s try %s', c.message_id, c.try), ', ' ORDER BY c.queue_id) FROM re.rule_worker_claim(p_consumer, p_limit, '{}') c $$;
CREATE FUNCTION pg_temp.say(p_consumer text, p_message_id text, p_status integer) RETURNS text LANGUAGE sql AS $$
    SELECT r.verdict FROM re.rule_webhook_queue q, LATERAL re.rule_worker_report(p_consumer, jsonb_build_array(jsonb_build_object(
        'path', 'queue', 'result', 'answered', 'status', p_status, 'started_ms_ago', 0, 'queue_id', q.queue_id))) r
    WHERE q.message_id = p_message_id AND q.status = 'processing' $$;
CREATE FUNCTION pg_temp.message(p_name text, p_message_id text, p_age_ms integer, p_payload text DEFAULT NULL) RETURNS jsonb LANGUAGE sql AS $$
    SELECT t.message(p_name, p_message_id) || jsonb_strip_nulls(jsonb_build_object('age_ms', p_age_ms, 'payload', p_payload)) $$;
-- What waits has done so for a minute, and was resumed half a minute ago.
CREATE FUNCTION pg_temp.resume(p_per_second integer) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    v_events integer;
BEGIN
    UPDATE re.rule_webhook_queue SET next_retry_at = next_retry_at - interval '1 minute', created_at = created_at - interval '1 minute'
    WHERE webhook_id = t.id('resumed');
    SELECT re.rule_webhook_resume(t.id('resumed'), p_per_second) INTO v_events;
    UPDATE re.rule_webhooks SET resumed_at = resumed_at - interval '30 seconds' WHERE webhook_id = t.id('resumed');
    RETURN v_events;
END $$;
-- No more tokens by themselves, however slow the machine is.
CREATE FUNCTION pg_temp.still() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.resume_refilled_at > now() - interval '1 hour' THEN
        NEW.resume_refilled_at := now() + interval '9 seconds';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER still BEFORE INSERT OR UPDATE ON rule_webhook_buckets FOR EACH ROW EXECUTE FUNCTION pg_temp.still();
CREATE FUNCTION pg_temp.tokens(p_tokens double precision) RETURNS void LANGUAGE sql AS $$
    UPDATE re.rule_webhook_buckets SET resume_tokens = p_tokens, resume_refilled_at = now() $$;

-- A quarter of a second's at once, one at least, whoever claims; others' events go on.
SELECT rule_webhook_hold(:id, 'why');
SELECT pg_temp.put('resumed', VARIADIC ARRAY(SELECT 'e' || n FROM generate_series(1, 12) n));
SELECT pg_temp.resume(8);
SELECT pg_temp.put('other', 'o1');
SELECT pg_temp.claim('w1');
SELECT pg_temp.tokens(0.5), pg_temp.claim('w2');
SELECT reason, count(*), sum(tries) AS tries FROM rule_webhook_undelivered(:id) GROUP BY 1 ORDER BY 1;
SELECT pg_temp.tokens(1.5), pg_temp.claim('w2');
SELECT round(resume_tokens::numeric, 2) AS left_over FROM rule_webhook_buckets;
-- However long no worker ran.
UPDATE rule_webhook_buckets SET resume_tokens = 0, resume_refilled_at = now() - interval '1 day';
SELECT pg_temp.claim('w1');
-- What is new waits behind.
SELECT pg_temp.say('w1', 'e1', 503), pg_temp.say('w1', 'e2', 200);
SELECT pg_temp.put('resumed', 'new 1');
SELECT pg_temp.tokens(0), pg_temp.claim('w1');
SELECT pg_temp.tokens(2), pg_temp.claim('w1');
-- One that is tried again is still one of them, others are not.
BEGIN;
UPDATE rule_webhook_queue SET next_retry_at = now() + interval '1 hour'
WHERE webhook_id = :id AND status = 'pending' AND retry_count = 0 AND message_id ~ '^e';
UPDATE rule_webhook_queue q SET next_retry_at = w.resumed_at + interval '1 second' FROM rule_webhooks w WHERE w.webhook_id = q.webhook_id AND q.message_id = 'e1';
SELECT pg_temp.tokens(0), pg_temp.claim('w1');
SELECT pg_temp.tokens(1), concat_ws(', ', pg_temp.claim('w1'), pg_temp.claim('w1')) AS claims;
ROLLBACK;
-- While the breaker is open nothing is let through, and afterwards no more than that.
UPDATE rule_webhook_endpoints SET failing_since = now(), breaker_state = 'open', open_ms = 1000, open_until = now() + interval '1 hour';
SELECT pg_temp.claim('w1');
UPDATE rule_webhook_endpoints SET open_until = now();
SELECT pg_temp.claim('w1'); -- none is left to be taken
SELECT pg_temp.tokens(2), pg_temp.claim('w1');
SELECT pg_temp.say('w1', 'e8', 200);
SELECT breaker_state FROM rule_webhook_endpoints;
SELECT pg_temp.claim('w1');

-- Messages that were there: within the rate, behind the queue, and then into it. What came later goes on.
SELECT verdict, reason, try FROM t.admit('w1', pg_temp.message('resumed', 'm1', 3600000), pg_temp.message('resumed', 'new 2', 0), pg_temp.message('other', 'm1', 3600000));
SELECT verdict, reason FROM t.admit('w1', pg_temp.message('resumed', 'm1', 3600000, 'e30='), pg_temp.message('resumed', 'm2', 3500000, 'e30='));
SELECT message_id, status, route, retry_count, next_retry_at = resumed_at AS due_then, q.created_at = resumed_at AS accepted_then
FROM rule_webhook_queue q JOIN rule_webhooks USING (webhook_id) WHERE message_id ~ '^m' ORDER BY queue_id;
SELECT verdict FROM t.report('w1', t.tried('resumed', 'new 2', 200));
DELETE FROM rule_webhook_queue WHERE webhook_id = :id AND status = 'pending' AND message_id ~ '^e';
SELECT pg_temp.tokens(2), pg_temp.claim('w1');
-- Nothing is left that waited then.
SELECT pg_temp.tokens(0), pg_temp.claim('w1');
SELECT pg_temp.put('resumed', 'new 3', 'new 4');
SELECT pg_temp.claim('w1');
SELECT verdict, reason, try FROM t.admit('w1', pg_temp.message('resumed', 'm3', 3600000), pg_temp.message('resumed', 'new 5', 0));
SELECT pg_temp.tokens(1);
SELECT verdict, reason, try FROM t.admit('w1', pg_temp.message('resumed', 'm3', 3600000), pg_temp.message('resumed', 'm4', 3600000), pg_temp.message('resumed', 'new 6', 0));
SELECT round(resume_tokens::numeric, 2) AS left_over FROM rule_webhook_buckets;
-- Tried on the stream's way, it is still one of them.
SELECT verdict FROM t.report('w1', t.tried('resumed', 'm3', 503));
DELETE FROM rule_webhook_endpoints;
SELECT verdict, reason FROM t.admit('w1', pg_temp.message('resumed', 'm3', 3600000));
SELECT verdict, reason FROM t.admit('w1', pg_temp.message('resumed', 'm3', 3600000, 'e30='));
SELECT retry_count, next_retry_at = resumed_at AS due_then, q.created_at = resumed_at AS accepted_then
FROM rule_webhook_queue q JOIN rule_webhooks USING (webhook_id) WHERE message_id = 'm3';
-- In mode 'both' the row that waits is there.
INSERT INTO rule_webhook_queue (webhook_id, message_id, payload, route, next_retry_at) VALUES (:id, 'both ways', '{}', 'stream', now() + interval '20 seconds');
SELECT verdict, reason FROM t.admit('w1', pg_temp.message('resumed', 'both ways', 10000000));
SELECT route, next_retry_at <= (SELECT resumed_at FROM rule_webhooks WHERE webhook_id = :id) AS waited FROM rule_webhook_queue WHERE message_id = 'both ways';
SELECT pg_temp.claim('w1');
SELECT pg_temp.tokens(1), pg_temp.claim('w1');
-- No age fails a batch.
SELECT verdict FROM rule_worker_admit('w1', jsonb_build_array(t.message('resumed', 'm5') || '{"age_ms": 999999999999999}', t.message('other', 'm5') || '{"age_ms": 999999999999999}'));
-- Quicker, and no more of it.
UPDATE rule_webhooks SET resume_per_second = 1000 WHERE webhook_id = :id;
UPDATE rule_webhook_buckets SET resume_tokens = 0, resume_refilled_at = now() - interval '1 day';
SELECT pg_temp.claim('w1');
SELECT verdict, count(*) FROM t.admit('w1', VARIADIC ARRAY(SELECT pg_temp.message('resumed', 'n' || n, 3600000) FROM generate_series(1, 260) n)) GROUP BY 1 ORDER BY 1;
UPDATE rule_webhooks SET resume_per_second = NULL WHERE webhook_id = :id RETURNING resumed_at;
SELECT verdict, count(*) FROM t.admit('w1', VARIADIC ARRAY(SELECT pg_temp.message('resumed', 'n' || n, 3600000) FROM generate_series(251, 300) n)) GROUP BY 1 ORDER BY 1;

-- Beside other limits the narrower one holds, and what is new has its own.
DELETE FROM rule_webhook_queue WHERE webhook_id = :id;
DELETE FROM rule_webhook_receipts WHERE webhook_id = :id;
DELETE FROM rule_webhook_buckets;
UPDATE rule_webhooks SET max_per_second = 40 WHERE webhook_id = :id;
SELECT rule_webhook_hold(:id, 'why'), pg_temp.put('resumed', VARIADIC ARRAY(SELECT 'p' || n FROM generate_series(1, 6) n)), pg_temp.resume(8);
SELECT pg_temp.claim('w1');
SELECT round(tokens::numeric) AS tokens, round(resume_tokens::numeric) AS of_the_resume FROM rule_webhook_buckets;
UPDATE rule_webhook_buckets SET tokens = 1, refilled_at = now() + interval '9 seconds', resume_tokens = 2, resume_refilled_at = now() + interval '9 seconds';
SELECT pg_temp.claim('w1');
DELETE FROM rule_webhook_queue WHERE webhook_id = :id AND status = 'pending';
UPDATE rule_webhook_buckets SET tokens = 2, refilled_at = now() + interval '9 seconds', resume_tokens = 0, resume_refilled_at = now() + interval '9 seconds';
SELECT verdict, reason, try FROM t.admit('w1', pg_temp.message('resumed', 'new 7', 0), pg_temp.message('resumed', 'new 8', 0), pg_temp.message('resumed', 'new 9', 0));
UPDATE rule_webhooks SET max_per_second = NULL WHERE webhook_id = :id;

-- The turn of an event in its key comes within the rate.
DELETE FROM rule_webhook_queue WHERE webhook_id = :id;
UPDATE rule_webhooks SET order_key = '{k}' WHERE webhook_id = :id;
SELECT count(rule_webhook_call_unified(:id, '{"k": 1}', 'k' || n)) AS accepted FROM generate_series(1, 3) n;
UPDATE rule_webhooks SET resumed_at = NULL WHERE webhook_id = :id;
SELECT pg_temp.claim('w1');
SELECT pg_temp.say('w1', 'k1', 200), pg_temp.claim('w1');
SELECT rule_webhook_hold(:id, 'why'), pg_temp.resume(4);
SELECT pg_temp.tokens(0);
SELECT pg_temp.say('w1', 'k2', 200), pg_temp.claim('w1');
SELECT pg_temp.tokens(1), pg_temp.claim('w1');

-- The rate ends when nothing can be left that waited: not while it is in the queue, whatever became of it, and not before a
-- stream has given up what it had.
DELETE FROM rule_webhook_queue;
UPDATE rule_webhooks SET order_key = NULL, resumed_at = now() - interval '8 days', resume_per_second = 4 WHERE webhook_id = :id;
UPDATE rule_nats_streams SET max_age_seconds = 7 * 86400;
CREATE FUNCTION pg_temp.rate(p_what text DEFAULT NULL, p_age interval DEFAULT '9 days') RETURNS integer LANGUAGE plpgsql AS $$
BEGIN
    UPDATE re.rule_webhook_queue SET created_at = now() - p_age;
    EXECUTE coalesce('UPDATE re.rule_webhook_queue SET ' || p_what, 'SELECT 1');
    PERFORM re._rule_rates_end();
    RETURN (SELECT resume_per_second FROM re.rule_webhooks WHERE webhook_id = t.id('resumed'));
END $$;
INSERT INTO rule_webhook_queue (webhook_id, message_id, payload) VALUES (:id, 'left', '{}');
SELECT pg_temp.rate('next_retry_at = created_at') AS due, pg_temp.rate($$next_retry_at = now() + interval '1 hour', retry_count = 1$$) AS tried_again,
       pg_temp.rate($$next_retry_at = 'infinity', retry_count = 0$$) AS behind_another,
       pg_temp.rate($$next_retry_at = now(), status = 'processing', leased_by = 'w1', lease_until = now() + interval '1 hour'$$) AS leased;
BEGIN;
SELECT pg_temp.rate($$status = 'success', leased_by = NULL, lease_until = NULL$$) AS ended;
SELECT resumed_at FROM rule_webhooks WHERE webhook_id = :id;
ROLLBACK;
BEGIN;
SELECT pg_temp.rate($$status = 'pending', leased_by = NULL, lease_until = NULL, next_retry_at = now(), retry_count = 1$$, '7 days') AS newer;
ROLLBACK;
UPDATE rule_webhook_queue SET status = 'success', leased_by = NULL, lease_until = NULL;
UPDATE rule_webhooks SET resumed_at = now() - interval '6 days' WHERE webhook_id = :id;
SELECT pg_temp.rate() AS in_the_stream;
UPDATE rule_nats_streams SET max_age_seconds = 0;
UPDATE rule_webhooks SET resumed_at = now() - interval '29 days' WHERE webhook_id = :id;
SELECT pg_temp.rate() AS for_ever;
UPDATE rule_webhooks SET resumed_at = now() - interval '31 days' WHERE webhook_id = :id;
SELECT pg_temp.rate() AS past_receipts;

\a \t
SELECT c.call || E'\n    ' || t.error(c.call)
FROM (VALUES
    ($$UPDATE re.rule_webhooks SET resume_per_second = 0$$),
    ($$UPDATE re.rule_webhooks SET resume_per_second = 1000001$$)
) AS c (call);
\a \t
DROP TRIGGER still ON rule_webhook_buckets;
SELECT rule_webhook_delete(:id), rule_webhook_delete(:other);
DELETE FROM rule_webhook_queue;
DELETE FROM rule_webhook_attempts;
DELETE FROM rule_webhook_drops;
