-- What is redelivered of a webhook goes at the rate of the latest call, over all workers, whatever happens meanwhile. Nothing else
-- of the webhook waits for it.
SET search_path = re;
\pset null -
SELECT rule_webhook_register('again', 'https://example.com') AS id \gset
SELECT rule_webhook_register('other', 'https://example.com') AS other \gset
UPDATE rule_webhooks SET retry_delay_ms = 30000;
CREATE FUNCTION pg_temp.dead(p_name text, VARIADIC p_ids text[]) RETURNS void LANGUAGE sql AS $$
    INSERT INTO re.rule_webhook_queue (webhook_id, message_id, payload, status, completed_at) SELECT t.id(p_name), i, '{}', 'failed', now() FROM unnest(p_ids) i $$;
CREATE FUNCTION pg_temp.put(p_name text, VARIADIC p_ids text[]) RETURNS void LANGUAGE sql AS $$
    INSERT INTO re.rule_webhook_queue (webhook_id, message_id, payload, next_retry_at) SELECT t.id(p_name), i, '{}', clock_timestamp() FROM unnest(p_ids) i $$;
CREATE FUNCTION pg_temp.claim(p_consumer text, p_limit integer DEFAULT 100, p_room jsonb DEFAULT NULL) RETURNS text LANGUAGE sql AS $$
    SELECT string_agg(format('%s try %s', c.message_id, c.try), ', ' ORDER BY c.queue_id) FROM re.rule_worker_claim(p_consumer, p_limit, '{}', p_room) c $$;
CREATE FUNCTION pg_temp.say(p_consumer text, p_message_id text, p_status integer) RETURNS text LANGUAGE sql AS $$
    SELECT r.verdict FROM re.rule_webhook_queue q, LATERAL re.rule_worker_report(p_consumer, jsonb_build_array(jsonb_build_object(
        'path', 'queue', 'result', 'answered', 'status', p_status, 'started_ms_ago', 0, 'queue_id', q.queue_id))) r
    WHERE q.message_id = p_message_id AND q.status = 'processing' $$;
CREATE FUNCTION pg_temp.redeliver(p_per_second integer) RETURNS integer LANGUAGE sql AS $$ SELECT re.rule_webhook_redeliver(p_webhook_id => t.id('again'), p_per_second => p_per_second) $$;
-- No more tokens by themselves, however slow the machine is.
CREATE FUNCTION pg_temp.still() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.redeliver_refilled_at > now() - interval '1 hour' THEN
        NEW.redeliver_refilled_at := now() + interval '9 seconds';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER still BEFORE INSERT OR UPDATE ON rule_webhook_buckets FOR EACH ROW EXECUTE FUNCTION pg_temp.still();
CREATE FUNCTION pg_temp.tokens(p_tokens double precision) RETURNS void LANGUAGE sql AS $$
    UPDATE re.rule_webhook_buckets SET redeliver_tokens = p_tokens, redeliver_refilled_at = now() $$;

-- A quarter of a second's at once, one at least, whoever claims; all else goes on.
SELECT pg_temp.dead('again', VARIADIC ARRAY(SELECT 'e' || n FROM generate_series(1, 12) n));
SELECT pg_temp.redeliver(8);
SELECT redeliver_per_second FROM rule_webhooks WHERE webhook_id = :id;
SELECT pg_temp.put('again', 'new 1'), pg_temp.put('other', 'o1');
SELECT pg_temp.claim('w1');
SELECT pg_temp.put('again', 'new 2'), pg_temp.tokens(0.5), pg_temp.claim('w2');
SELECT reason, count(*), sum(tries) AS tries FROM rule_webhook_undelivered(:id) GROUP BY 1 ORDER BY 1;
SELECT pg_temp.put('again', 'new 3'), pg_temp.tokens(1.5);
SELECT reason, count(*) FROM rule_webhook_undelivered(:id) GROUP BY 1 ORDER BY 1;
SELECT pg_temp.claim('w2');
SELECT round(redeliver_tokens::numeric, 2) AS left_over FROM rule_webhook_buckets;
-- However long no worker ran.
UPDATE rule_webhook_buckets SET redeliver_tokens = 0, redeliver_refilled_at = now() - interval '1 day';
UPDATE rule_webhook_queue SET next_retry_at = next_retry_at - interval '1 day', created_at = created_at - interval '1 day';
SELECT pg_temp.claim('w1');
-- A worker's room is for what is new first, then for them.
SELECT pg_temp.put('again', 'new 4', 'new 5'), pg_temp.tokens(2);
SELECT pg_temp.claim('w1', p_room => '{"": 3}');
-- A try that comes later is counted as well, and what a worker gives back.
SELECT pg_temp.say('w1', 'e1', 503), pg_temp.say('w1', 'e2', 200);
UPDATE rule_webhook_queue SET next_retry_at = now() - interval '1 day' WHERE message_id = 'e1' AND status = 'pending';
SELECT pg_temp.tokens(0), pg_temp.claim('w1');
SELECT pg_temp.tokens(1), pg_temp.claim('w1');
-- One row goes at once, and so does what a person tries again.
SELECT pg_temp.dead('again', 'one');
SELECT pg_temp.tokens(0), rule_webhook_redeliver(queue_id) FROM rule_webhook_queue WHERE message_id = 'one';
SELECT pg_temp.claim('w1');
SELECT rule_webhook_retry(queue_id) FROM rule_webhook_queue WHERE message_id = 'e12' AND status = 'pending';
SELECT pg_temp.claim('w1');
-- While the breaker is open nothing is let through, and afterwards no more than that.
UPDATE rule_webhook_endpoints SET failing_since = now(), breaker_state = 'open', open_ms = 1000, open_until = now() + interval '1 hour';
SELECT pg_temp.tokens(5), pg_temp.claim('w1');
DELETE FROM rule_webhook_endpoints;
SELECT pg_temp.tokens(1), pg_temp.claim('w1');
-- The latest call says how many, also of what earlier ones made, and so does an UPDATE.
SELECT pg_temp.dead('again', VARIADIC ARRAY(SELECT 'f' || n FROM generate_series(1, 3) n));
UPDATE rule_webhook_buckets SET redeliver_tokens = 0, redeliver_refilled_at = now() - interval '1 day';
SELECT pg_temp.redeliver(16), pg_temp.claim('w1');
UPDATE rule_webhooks SET redeliver_per_second = 4 WHERE webhook_id = :id;
UPDATE rule_webhook_buckets SET redeliver_tokens = 0, redeliver_refilled_at = now() - interval '1 day';
SELECT pg_temp.claim('w1');
-- Lowered while they are taken, it lets none be taken for a while.
SELECT pg_temp.put('again', 'new 6'), pg_temp.tokens(-100);
SELECT pg_temp.claim('w1');
-- What a worker died with is one of them.
SELECT message_id, pg_temp.tokens(0) FROM rule_webhook_queue WHERE message_id ~ '^f' AND paced AND status = 'processing';
UPDATE rule_webhook_queue SET lease_until = now() WHERE message_id ~ '^f' AND paced AND status = 'processing';
SELECT pg_temp.claim('w1');
-- Without a rate nothing waits.
UPDATE rule_webhooks SET redeliver_per_second = NULL WHERE webhook_id = :id;
SELECT count(*) FILTER (WHERE paced AND status IN ('pending', 'processing')) AS paced FROM rule_webhook_queue;
SELECT pg_temp.claim('w1');
SELECT reason, count(*) FROM rule_webhook_undelivered(:id) GROUP BY 1 ORDER BY 1;

-- Beside other limits they have what is left, and a stream waits for none of them.
DELETE FROM rule_webhook_queue;
DELETE FROM rule_webhook_buckets;
SELECT pg_temp.dead('again', VARIADIC ARRAY(SELECT 'e' || n FROM generate_series(1, 5) n)), pg_temp.redeliver(1000);
UPDATE rule_webhooks SET max_per_second = 8 WHERE webhook_id = :id;
SELECT pg_temp.put('again', 'new 1');
SELECT pg_temp.claim('w1');
UPDATE rule_webhook_buckets SET tokens = 2, refilled_at = now() + interval '9 seconds';
SELECT verdict, reason FROM t.admit('w1', t.message('again', 'm1'));
SELECT pg_temp.claim('w1');
UPDATE rule_webhooks SET max_per_second = NULL, max_concurrent = 1 WHERE webhook_id = :id;
SELECT pg_temp.claim('w1');
SELECT pg_temp.claim('w1');
UPDATE rule_webhooks SET max_concurrent = NULL WHERE webhook_id = :id;
-- What waited at a resume keeps to both rates.
SELECT rule_webhook_hold(:id, 'why'), rule_webhook_resume(:id, 8);
UPDATE rule_webhook_buckets SET resume_tokens = 1, resume_refilled_at = now() + interval '9 seconds';
SELECT pg_temp.claim('w1');
UPDATE rule_webhooks SET resume_per_second = NULL WHERE webhook_id = :id;

-- Together they keep to the limit.
UPDATE rule_webhooks SET max_concurrent = 4 WHERE webhook_id = :id;
UPDATE rule_webhook_queue SET status = 'success', leased_by = NULL, lease_until = NULL WHERE status = 'processing';
SELECT pg_temp.dead('again', VARIADIC ARRAY(SELECT 'f' || n FROM generate_series(1, 9) n)), pg_temp.redeliver(1000);
SELECT pg_temp.put('again', 'new 2', 'new 3'), pg_temp.tokens(1), pg_temp.claim('w1');
SELECT pg_temp.put('again', 'new 4'), pg_temp.tokens(9), pg_temp.claim('w1');
SELECT pg_temp.claim('w1');
SELECT count(*) FROM rule_webhook_slots;
UPDATE rule_webhook_queue SET status = 'success', leased_by = NULL, lease_until = NULL WHERE status = 'processing' AND message_id LIKE 'new%';
SELECT pg_temp.put('again', 'new 5'), pg_temp.claim('w1');
UPDATE rule_webhooks SET max_concurrent = NULL WHERE webhook_id = :id;

-- A dead letter that was one, and goes again by hand when there is no rate any more.
UPDATE rule_webhooks SET redeliver_per_second = NULL WHERE webhook_id = :id;
DELETE FROM rule_webhook_queue;
INSERT INTO rule_webhook_queue (webhook_id, message_id, payload, redelivery, paced) VALUES (:id, 'by hand', '{}', 1, true);
SELECT pg_temp.claim('w1');
DO $$ BEGIN PERFORM re.rule_worker_maintain('w1'); END $$;
SELECT pg_temp.claim('w1');

-- The turn of an event in its key comes within the rate.
DELETE FROM rule_webhook_queue;
UPDATE rule_webhooks SET order_key = '{k}' WHERE webhook_id = :id;
SELECT count(rule_webhook_call_unified(:id, '{"k": 1}', 'k' || n)) AS accepted FROM generate_series(1, 3) n;
UPDATE rule_webhook_queue SET status = 'failed', completed_at = now();
SELECT count(rule_webhook_call_unified(:id, '{"k": 1}', 'k' || n)) AS accepted FROM generate_series(4, 4) n;
SELECT pg_temp.redeliver(4), pg_temp.tokens(1);
SELECT pg_temp.claim('w1');
SELECT pg_temp.say('w1', 'k1', 200), pg_temp.claim('w1');
SELECT pg_temp.tokens(1), pg_temp.claim('w1');
SELECT pg_temp.say('w1', 'k2', 200), pg_temp.tokens(1);
SELECT pg_temp.claim('w1');
SELECT pg_temp.say('w1', 'k3', 200), pg_temp.tokens(0);
SELECT pg_temp.claim('w1');
UPDATE rule_webhooks SET order_key = NULL WHERE webhook_id = :id;

-- Run alone, one waits for the rate without keeping others from their turn.
DELETE FROM rule_webhook_queue;
SELECT pg_temp.dead('again', 'poison'), pg_temp.redeliver(4), pg_temp.tokens(0), pg_temp.put('other', 'o2');
UPDATE rule_webhook_queue SET lease_losses = 3 WHERE message_id = 'poison' AND redelivery > 0;
SELECT pg_temp.claim('w1');
SELECT pg_temp.say('w1', 'o2', 200), pg_temp.tokens(1);
SELECT pg_temp.claim('w1');

-- The rate ends with the last of them.
CREATE FUNCTION pg_temp.rate() RETURNS integer LANGUAGE plpgsql AS $$
BEGIN
    PERFORM re.rule_worker_maintain('w1');
    RETURN (SELECT redeliver_per_second FROM re.rule_webhooks WHERE webhook_id = t.id('again'));
END $$;
SELECT pg_temp.rate() AS while_one_is_sent;
UPDATE rule_webhook_queue SET status = 'pending', leased_by = NULL, lease_until = NULL, next_retry_at = now() + interval '1 hour' WHERE message_id = 'poison' AND redelivery > 0;
SELECT pg_temp.rate() AS while_one_waits;
UPDATE rule_webhook_queue SET status = 'success' WHERE message_id = 'poison' AND redelivery > 0;
SELECT pg_temp.rate() AS then;

\a \t
SELECT c.call || E'\n    ' || t.error(c.call)
FROM (VALUES
    ($$UPDATE re.rule_webhooks SET redeliver_per_second = 0$$),
    ($$UPDATE re.rule_webhooks SET redeliver_per_second = 1000001$$),
    ($$UPDATE re.rule_webhook_queue SET paced = NULL$$)
) AS c (call);
\a \t
DROP TRIGGER still ON rule_webhook_buckets;
SELECT rule_webhook_delete(:id), rule_webhook_delete(:other);
DELETE FROM rule_webhook_queue;
DELETE FROM rule_webhook_attempts;
DELETE FROM rule_webhook_drops;
