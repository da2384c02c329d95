-- Limits on what waits in the queue: per webhook and for all, in events and in bytes.
SET search_path = re;
\pset null -
SELECT rule_webhook_register('limited', 'https://example.com') AS id \gset
SELECT rule_webhook_register('other', 'https://example.com') AS other \gset
\a \t
SELECT c.call || E'\n    ' || t.error(c.call)
FROM (VALUES
    ($$UPDATE re.rule_webhooks SET queue_max_events = 0, headers = '{"Authorization": "Bearer secret"}'$$),
    ($$UPDATE re.rule_webhooks SET queue_max_bytes = -1$$)
) AS c (call);
\a \t
SELECT webhook_id, webhook_name, waiting_events, max_events, waiting_bytes, max_bytes, fill_pct, alarm, counted_at = now() AS counted_now
FROM webhook_queue_fill;

-- Per webhook: the third of two is refused, and another webhook's events are not.
UPDATE rule_webhooks SET queue_max_events = 2 WHERE webhook_id = :id;
SELECT rule_webhook_enqueue(:id, '{"n": 1}') IS NOT NULL AS queued;
SELECT r -> 'queue' -> 'success' AS queued FROM rule_webhook_call_unified(:id, '{"n": 2}', 'second') r;
SELECT t.error($$SELECT re.rule_webhook_enqueue(t.id('limited'), '{"n": 3}')$$);
SELECT r -> 'queue' ->> 'success' AS success, r -> 'queue' ->> 'status' AS status, r -> 'queue' -> 'queue_id' AS queue_id,
       r -> 'queue' ->> 'message_id' AS message_id, r -> 'queue' ->> 'error' AS error
FROM rule_webhook_call_unified(:id, '{"n": 3}', 'third') r;
SELECT rule_webhook_call(:id, '{"n": 3}') -> 'queue' ->> 'status' AS status;
SELECT rule_webhook_enqueue(:other, '{"n": 1}') IS NOT NULL AS queued;
SELECT webhook_name, waiting_events, max_events, waiting_bytes > 0 AS bytes, max_bytes, fill_pct, alarm FROM webhook_queue_fill ORDER BY webhook_id;
-- What the queue has is no new event.
SELECT r -> 'queue' -> 'success' AS queued, r -> 'queue' -> 'duplicate' AS duplicate FROM rule_webhook_call_unified(:id, '{"n": 2}', 'second') r;
-- A trigger's rows do not commit without their events.
CREATE TABLE t.made (n integer);
CREATE TRIGGER publish AFTER INSERT ON t.made FOR EACH ROW EXECUTE FUNCTION rule_webhook_trigger('limited');
SELECT t.error('INSERT INTO t.made VALUES (4)');
SELECT count(*) FROM t.made;
-- Nothing is refused of what was accepted: a worker gives back, moves from the stream, tries a dead letter again.
SELECT queue_id, message_id FROM rule_worker_claim('w', 1, '{}') \gset
SELECT t.error($$SELECT re.rule_webhook_enqueue(t.id('limited'), '{"n": 3}')$$);
SELECT * FROM t.report('w', jsonb_build_object('path', 'queue', 'queue_id', :queue_id, 'result', 'released'));
SELECT verdict FROM t.admit('w', t.message('limited', 'moved'));
UPDATE rule_webhooks SET retry_delay_ms = 600000 WHERE webhook_id = :id;
SELECT * FROM t.report('w', t.tried('limited', 'moved', 500, NULL, '{"n": 9}'));
SELECT count(*) AS waiting FROM rule_webhook_queue WHERE webhook_id = :id;
UPDATE rule_webhook_queue SET status = 'failed', completed_at = now() WHERE message_id = 'moved';
SELECT rule_webhook_retry(queue_id) FROM rule_webhook_queue WHERE message_id = 'moved';
-- What ended makes room; what one transaction has put there counts in it.
UPDATE rule_webhook_queue SET status = 'success', completed_at = now() WHERE message_id IN ('moved', 'second');
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT rule_webhook_enqueue(:id, '{"n": 3}') IS NOT NULL AS queued;
SELECT t.error($$SELECT re.rule_webhook_enqueue(t.id('limited'), '{"n": 4}')$$);
ROLLBACK;
INSERT INTO t.made VALUES (4);
UPDATE rule_webhooks SET enabled = false WHERE webhook_id = :id;
SELECT rule_webhook_enqueue(:id, '{"n": 5}') AS "of a disabled one";
UPDATE rule_webhooks SET enabled = true, queue_max_events = NULL WHERE webhook_id = :id;
SELECT rule_webhook_enqueue(:id, '{"n": 5}') IS NOT NULL AS queued;

-- In bytes: those that wait as they are stored, and the new one.
DELETE FROM rule_webhook_queue;
UPDATE rule_webhooks SET queue_max_bytes = 1004 WHERE webhook_id = :id;
SELECT rule_webhook_enqueue(:id, to_jsonb(repeat('x', 480))) IS NOT NULL AS queued FROM generate_series(1, 2);
SELECT t.error($$SELECT re.rule_webhook_enqueue(t.id('limited'), to_jsonb(repeat('x', 480)))$$);
SELECT r -> 'queue' ->> 'error' AS error FROM rule_webhook_call_unified(:id, to_jsonb(repeat('x', 480))) r;
SELECT rule_webhook_enqueue(:id, '1') IS NOT NULL AS queued;
SELECT waiting_bytes, max_bytes, fill_pct, alarm FROM webhook_queue_fill WHERE webhook_id = :id;
-- A transaction does not count its own again for each: no more rows are read than a few for each event. What a savepoint took
-- back makes room again.
UPDATE rule_webhooks SET queue_max_bytes = 30000, queue_max_events = 502 WHERE webhook_id = :id;
DELETE FROM rule_webhook_queue;
BEGIN;
SELECT idx_tup_fetch AS before FROM pg_stat_xact_user_tables WHERE relid = 're.rule_webhook_queue'::regclass \gset
SELECT count(rule_webhook_enqueue(:id, '{"n": 1}')) FROM generate_series(1, 500);
SELECT idx_tup_fetch - :before < 5 * 500 AS few FROM pg_stat_xact_user_tables WHERE relid = 're.rule_webhook_queue'::regclass;
SAVEPOINT most;
SELECT count(rule_webhook_enqueue(:id, '2')) AS queued FROM generate_series(1, 2);
SELECT t.error($$SELECT re.rule_webhook_enqueue(t.id('limited'), '2')$$);
ROLLBACK TO most;
SELECT count(rule_webhook_enqueue(:id, '2')) AS queued FROM generate_series(1, 2);
SELECT t.error($$SELECT re.rule_webhook_enqueue(t.id('limited'), '2')$$);
ROLLBACK;
UPDATE rule_webhooks SET queue_max_bytes = 100, queue_max_events = NULL WHERE webhook_id = :id;
DELETE FROM rule_webhook_queue;
SELECT t.error($$SELECT re.rule_webhook_enqueue(t.id('limited'), to_jsonb(repeat('x', 480)))$$);
UPDATE rule_webhooks SET queue_max_bytes = NULL WHERE webhook_id = :id;
-- Each payload alone: the same for both ways into the queue.
SELECT t.error($$SELECT re.rule_webhook_call_unified(t.id('limited'), to_jsonb(repeat('x', 8 * 1024 * 1024)))$$);
SELECT r -> 'queue' -> 'success' AS queued FROM rule_webhook_call_unified(:id, to_jsonb(repeat('x', 8 * 1024 * 1024 - 2))) r;
DELETE FROM rule_webhook_queue;

-- For all webhooks together, noticed by a session that has published before.
UPDATE rule_engine_settings SET queue_max_events = 2;
SELECT rule_webhook_enqueue(:id, '{}') IS NOT NULL AS queued;
SELECT r -> 'queue' -> 'success' AS queued FROM rule_webhook_call_unified(:other, '{}') r;
SELECT r -> 'queue' ->> 'error' AS error FROM rule_webhook_call_unified(:other, '{}') r;
SELECT t.error($$SELECT re.rule_webhook_enqueue(t.id('limited'), '{}')$$);
SELECT webhook_id, webhook_name, waiting_events, max_events, max_bytes, fill_pct, alarm FROM webhook_queue_fill;
UPDATE rule_engine_settings SET queue_max_events = NULL;
SELECT r -> 'queue' -> 'success' AS queued FROM rule_webhook_call_unified(:other, '{}') r;

-- NATS is away: the queue is full and takes nothing, so the event is only recorded.
SELECT rule_nats_configure('nowhere', 'nats://127.0.0.1:1');
SELECT rule_webhook_enable_nats(:id, p_publish_mode => 'nats', p_config_name => 'nowhere');
UPDATE rule_webhooks SET queue_max_events = 1 WHERE webhook_id = :id;
SELECT r ->> 'success' AS success, r ->> 'fallback' AS fallback, r ? 'queue_id' AS has_queue_id, r -> 'queue_id' AS queue_id,
       r ->> 'error_code' AS error_code FROM rule_webhook_publish_nats(:id, '{}', 'away') r;
SELECT t.error('INSERT INTO t.made VALUES (5)');
UPDATE rule_webhooks SET publish_mode = 'both' WHERE webhook_id = :id;
SELECT r -> 'queue' ->> 'status' AS queue, r -> 'nats' ->> 'fallback' AS nats FROM rule_webhook_call_unified(:id, '{}', 'both away') r;
SELECT message_id, success FROM rule_nats_publish_history ORDER BY publish_id;
DELETE FROM rule_nats_publish_history;
DELETE FROM rule_webhook_queue;

-- The measure: maintenance, a worker's too, counts what waits, at most every 5 s, and warns once.
UPDATE rule_webhooks SET publish_mode = 'queue', queue_max_events = 10 WHERE webhook_id = :id;
DELETE FROM rule_webhook_queue_fill;
CREATE FUNCTION t.later() RETURNS void LANGUAGE sql AS $$ UPDATE re.rule_webhook_queue_fill SET measured_at = measured_at - interval '10 seconds' $$;
CREATE VIEW t.measured AS SELECT w.webhook_name, f.waiting_events, f.waiting_bytes > 0 AS bytes, f.alarm,
    f.up_to_queue_id = (SELECT max(queue_id) FROM re.rule_webhook_queue) AS up_to_the_last
FROM re.rule_webhook_queue_fill f JOIN re.rule_webhooks w USING (webhook_id);
-- A row's number counts as passed once all transactions have ended that were open when it was the last: those of
-- another database, too.
CREATE PROCEDURE t.measure() LANGUAGE plpgsql AS $$
BEGIN
    FOR i IN 1 .. 600 LOOP
        PERFORM t.later();
        COMMIT;
        PERFORM re.rule_worker_maintain('w');
        COMMIT;
        EXIT WHEN (SELECT up_to_the_last FROM t.measured);
        PERFORM pg_sleep(0.05);
    END LOOP;
END $$;
SELECT count(rule_webhook_enqueue(:id, '{}', p_scheduled_at => now() + interval '1 hour')) FROM generate_series(1, 7);
-- A claim leaves it to others: it must not take long.
SELECT count(*) FROM rule_worker_claim('w', 1, '{}');
SELECT count(*) AS measured FROM rule_webhook_queue_fill;
SELECT rule_worker_maintain('w') AS again_in_ms;
SELECT * FROM t.measured;
SELECT rule_webhook_enqueue(:id, '{}', p_scheduled_at => now() + interval '1 hour') IS NOT NULL AS queued;
-- Not yet due.
UPDATE rule_webhook_queue_fill SET measured_at = clock_timestamp() + interval '1 minute';
SELECT rule_worker_maintain('w') AS again_in_ms;
SELECT alarm FROM t.measured;
UPDATE rule_webhook_queue_fill SET measured_at = clock_timestamp() - interval '6 seconds';
SELECT rule_worker_maintain('w') AS again_in_ms;
SELECT alarm FROM t.measured;
UPDATE rule_webhook_queue_fill SET alarm = false, measured_at = clock_timestamp() - interval '6 seconds';
SELECT rule_engine_maintain() -> 'success' AS maintained;
CALL t.measure();
SELECT * FROM t.measured;
-- What has come since is added.
SELECT count(rule_webhook_enqueue(:id, '{}', p_scheduled_at => now() + interval '1 hour')) FROM generate_series(1, 2);
SELECT t.error($$SELECT re.rule_webhook_enqueue(t.id('limited'), '{}')$$);
-- What has left since is found to be gone where the measure is older than a second.
CALL t.measure();
UPDATE rule_webhook_queue SET status = 'success', completed_at = now() WHERE webhook_id = :id;
UPDATE rule_webhook_queue_fill SET measured_at = clock_timestamp() + interval '1 minute';
SELECT t.error($$SELECT re.rule_webhook_enqueue(t.id('limited'), '{}')$$);
UPDATE rule_webhook_queue_fill SET measured_at = clock_timestamp() - interval '2 seconds';
SELECT rule_webhook_enqueue(:id, '{}') IS NOT NULL AS queued;
-- Counting is what serializable publishers could not do beside each other: the measure alone decides for them.
UPDATE rule_webhook_queue_fill SET measured_at = clock_timestamp() - interval '1 hour', waiting_events = 10;
BEGIN ISOLATION LEVEL SERIALIZABLE;
SELECT t.error($$SELECT re.rule_webhook_enqueue(t.id('limited'), '{}')$$);
ROLLBACK;
UPDATE rule_webhook_queue_fill SET waiting_events = 9;
BEGIN ISOLATION LEVEL SERIALIZABLE;
SELECT count(rule_webhook_enqueue(:id, '{}')) FROM generate_series(1, 11);
ROLLBACK;
-- A measure that is too old to add to is left aside.
UPDATE rule_webhook_queue_fill SET up_to_queue_id = up_to_queue_id - 20000;
SELECT rule_webhook_enqueue(:id, '{}') IS NOT NULL AS queued;
-- The view shows the last measure of what is long, and counts where that is short, old, or ended before the end.
DELETE FROM rule_webhook_queue;
INSERT INTO rule_webhook_queue (webhook_id, message_id, payload) SELECT :id, 'long ' || n, '{}' FROM generate_series(1, 1500) n;
UPDATE rule_webhooks SET queue_max_events = 1600 WHERE webhook_id = :id;
UPDATE rule_webhook_queue_fill SET measured_at = '-infinity';
SELECT rule_engine_maintain() -> 'success' AS maintained;
DELETE FROM rule_webhook_queue WHERE message_id = 'long 1';
CREATE VIEW t.fill AS SELECT v.webhook_name, v.waiting_events, v.fill_pct, v.alarm, v.counted_at = f.measured_at AS as_measured, v.counted_at = now() AS counted_now
FROM re.webhook_queue_fill v JOIN re.rule_webhook_queue_fill f ON f.webhook_id = coalesce(v.webhook_id, 0);
SELECT * FROM t.fill ORDER BY 1;
UPDATE rule_webhook_queue_fill SET measured_at = now() - interval '11 minutes';
SELECT * FROM t.fill ORDER BY 1;
DELETE FROM rule_webhook_queue WHERE message_id LIKE 'long 1%';
UPDATE rule_webhook_queue_fill SET measured_at = '-infinity';
SELECT rule_engine_maintain() -> 'success' AS maintained;
DELETE FROM rule_webhook_queue WHERE message_id = 'long 2';
SELECT * FROM t.fill ORDER BY 1;
INSERT INTO rule_webhook_queue (webhook_id, message_id, payload) SELECT :id, 'more ' || n, '{}' FROM generate_series(1, 1500) n;
UPDATE rule_webhooks SET queue_max_events = 600 WHERE webhook_id = :id;
UPDATE rule_webhook_queue_fill SET measured_at = '-infinity';
SELECT rule_engine_maintain() -> 'success' AS maintained;
DELETE FROM rule_webhook_queue WHERE message_id = 'more 1';
SELECT * FROM t.fill ORDER BY 1;
DROP VIEW t.fill;
DELETE FROM rule_webhook_queue;
-- A limit that is gone has no measure.
UPDATE rule_webhooks SET queue_max_events = NULL WHERE webhook_id = :id;
UPDATE rule_engine_settings SET queue_max_bytes = 1000000;
UPDATE rule_webhook_queue_fill SET measured_at = '-infinity';
SELECT rule_engine_maintain() -> 'success' AS maintained;
SELECT webhook_id, waiting_events, alarm FROM rule_webhook_queue_fill;
UPDATE rule_engine_settings SET queue_max_bytes = NULL;
-- The largest limits there are.
UPDATE rule_webhooks SET queue_max_events = 9223372036854775807, queue_max_bytes = 9223372036854775807 WHERE webhook_id = :id;
UPDATE rule_engine_settings SET queue_max_events = 9223372036854775807, queue_max_bytes = 9223372036854775807;
SELECT rule_webhook_enqueue(:id, '{}') IS NOT NULL AS queued;
SELECT rule_engine_maintain() -> 'success' AS maintained;
SELECT webhook_id > 0 AS of_webhook, waiting_events, alarm FROM rule_webhook_queue_fill ORDER BY 1;
DELETE FROM rule_webhook_queue;
UPDATE rule_webhooks SET queue_max_events = NULL, queue_max_bytes = NULL WHERE webhook_id = :id;
UPDATE rule_engine_settings SET queue_max_events = NULL, queue_max_bytes = NULL;

SET session_replication_role = replica;
UPDATE rule_engine_settings SET pristine = true;
RESET session_replication_role;
DELETE FROM rule_webhook_queue_fill;
DROP TABLE t.made;
DROP PROCEDURE t.measure;
DROP VIEW t.measured;
SELECT rule_webhook_delete(webhook_id) FROM rule_webhooks;
DELETE FROM rule_nats_config WHERE config_name = 'nowhere';
DELETE FROM rule_webhook_receipts;
DELETE FROM rule_nats_consumer_stats;
