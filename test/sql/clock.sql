-- The server's clock was ahead by a day and is right again: nothing waits until that day comes again.
SET search_path = re;
\pset null -
SELECT rule_webhook_register('ahead', 'https://example.com') AS id \gset
SELECT rule_webhook_register('away', 'https://example.com') AS away \gset
SELECT rule_webhook_register('held', 'https://example.com') AS held \gset
SELECT rule_webhook_register('ordered', 'https://example.com') AS ordered \gset
SELECT rule_webhook_register('both', 'https://example.com') AS both \gset
UPDATE rule_webhooks SET order_key = '{k}' WHERE webhook_id = :ordered;
UPDATE rule_webhooks SET nats_enabled = true, nats_subject = 'webhooks.both', publish_mode = 'both' WHERE webhook_id = :both;
DELETE FROM rule_nats_consumer_stats;

-- What a clock ahead by so much would have written.
CREATE PROCEDURE pg_temp.ahead(p_by interval DEFAULT '1 day') LANGUAGE sql AS $$
    UPDATE re.rule_webhook_queue SET created_at = created_at + p_by, started_at = started_at + p_by, next_retry_at = next_retry_at + p_by,
        lease_until = lease_until + p_by, first_tried_at = first_tried_at + p_by WHERE created_at < now() + interval '1 minute';
    UPDATE re.rule_webhook_receipts SET taken_at = taken_at + p_by, lease_until = lease_until + p_by, first_tried_at = first_tried_at + p_by;
    UPDATE re.rule_webhook_endpoints SET failing_since = failing_since + p_by, breaker_since = breaker_since + p_by, open_until = open_until + p_by;
    UPDATE re.rule_nats_consumer_stats SET last_active_at = last_active_at + p_by, reached_at = reached_at + p_by;
    UPDATE re.rule_engine_upkeep SET rolled_up_at = rolled_up_at + p_by, maintained_at = maintained_at + p_by;
$$;
CREATE FUNCTION pg_temp.at(p_at timestamptz) RETURNS text LANGUAGE sql AS $$
    SELECT CASE WHEN p_at IS NULL THEN NULL WHEN p_at = 'infinity' THEN 'parked'
                WHEN p_at <= clock_timestamp() THEN 'now' WHEN p_at <= clock_timestamp() + interval '31 seconds' THEN 'in half a minute'
                WHEN p_at <= clock_timestamp() + interval '61 seconds' THEN 'in a minute'
                WHEN p_at <= clock_timestamp() + interval '23 hours' THEN 'in hours'
                WHEN p_at <= clock_timestamp() + interval '25 hours' THEN 'in a day' ELSE 'later' END $$;
CREATE TEMP VIEW rows AS
SELECT w.webhook_name, q.message_id, q.status, q.route, pg_temp.at(q.next_retry_at) AS due, pg_temp.at(q.lease_until) AS leased,
       pg_temp.at(q.created_at) AS created, pg_temp.at(q.started_at) AS started
FROM rule_webhook_queue q JOIN rule_webhooks w USING (webhook_id) ORDER BY q.queue_id;
CREATE FUNCTION pg_temp.queued(p_name text, p_message_id text, p_at timestamptz DEFAULT now()) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    v_id bigint := re.rule_webhook_enqueue(t.id(p_name), '{}', p_scheduled_at => p_at);
BEGIN
    UPDATE re.rule_webhook_queue SET message_id = p_message_id WHERE queue_id = v_id;
    RETURN v_id;
END $$;
CREATE FUNCTION pg_temp.tried(p_id bigint, p_status integer) RETURNS jsonb LANGUAGE sql AS $$
    SELECT jsonb_build_object('path', 'queue', 'queue_id', p_id, 'result', 'answered', 'status', p_status, 'started_ms_ago', 10, 'duration_ms', 9) $$;
SELECT rule_worker_maintain('w') > 0 AS maintained;
SELECT rule_worker_maintain('w') > 0 AS maintained;

-- The waits of a breaker, and what it counts.
SELECT count(a.verdict) FROM generate_series(1, 5) n CROSS JOIN LATERAL t.admit('w', t.message('away', 'a' || n)) a;
SELECT count(r.verdict) FROM generate_series(1, 5) n CROSS JOIN LATERAL t.report('w', t.tried('away', 'a' || n, 503) || '{"started_ms_ago": 0}') r;
SELECT breaker_state FROM rule_webhook_endpoints;
CALL pg_temp.ahead();
SELECT verdict, reason FROM t.admit('w', t.message('away', 'next'));
SELECT rule_worker_maintain('w') > 0 AS maintained;
SELECT rule_worker_maintain('w') > 0 AS maintained;
SELECT breaker_state, pg_temp.at(open_until) AS open_until, pg_temp.at(breaker_since) AS since, pg_temp.at(failing_since) AS failing_since FROM rule_webhook_endpoints;
SELECT verdict, reason FROM t.admit('w', t.message('away', 'next'));
SELECT breaker_state FROM rule_webhook_endpoints;
DELETE FROM rule_webhook_endpoints;
DELETE FROM rule_webhook_receipts;

-- Leases of a worker that died. One that lives has renewed its lease before it ends.
SELECT pg_temp.queued('ahead', 'leased') AS leased, pg_temp.queued('ahead', 'leased, by hand') AS by_hand \gset
SELECT count(*) FROM rule_worker_claim('dead', 10, '{}');
SELECT verdict FROM t.admit('dead', t.message('ahead', 'receipt'));
CALL pg_temp.ahead();
SELECT * FROM rows;
SELECT verdict FROM t.admit('w', t.message('ahead', 'receipt'));
SELECT rule_webhook_retry(:by_hand) AS by_hand;
SELECT rule_worker_maintain('w') > 0 AS maintained;
SELECT rule_worker_maintain('w') > 0 AS maintained;
SELECT * FROM rows;
SELECT state, pg_temp.at(lease_until) AS leased FROM rule_webhook_receipts;
SELECT rule_webhook_retry(:leased) AS by_hand;
SELECT t.lease_ends('leased'), t.lease_ends('receipt');
SELECT q.message_id, q.lease_losses FROM rule_worker_claim('w', 10, '{}') c JOIN rule_webhook_queue q USING (queue_id) ORDER BY q.queue_id;
SELECT verdict FROM t.admit('w', t.message('ahead', 'receipt'));
SELECT verdict FROM t.report('w', pg_temp.tried(:leased, 200), pg_temp.tried(:by_hand, 200));
DELETE FROM rule_webhook_queue;
DELETE FROM rule_webhook_receipts;

-- What waited for a retry or was accepted then is due, what is scheduled stays, and so does what an endpoint asked for.
SELECT pg_temp.queued('ahead', 'again') AS again, pg_temp.queued('ahead', 'again later') AS later, pg_temp.queued('ahead', 'begun before') AS before \gset
SELECT count(*) FROM rule_worker_claim('w', 10, '{}');
SELECT verdict FROM t.report('w', pg_temp.tried(:again, 503), pg_temp.tried(:later, 503) || '{"retry_after_ms": 72000000}',
    pg_temp.tried(:before, 503));
UPDATE rule_webhook_queue SET created_at = created_at - interval '1 day', started_at = started_at - interval '1 day' WHERE queue_id IN (:later, :before);
UPDATE rule_webhook_queue SET next_retry_at = next_retry_at + interval '1 day' WHERE queue_id = :before;
UPDATE rule_webhook_queue SET next_retry_at = next_retry_at - interval '1 day' WHERE queue_id = :later;
SELECT pg_temp.queued('ahead', 'queued') AS queued, pg_temp.queued('ahead', 'scheduled then', now() + interval '300 days') AS then,
       pg_temp.queued('ordered', 'behind') AS behind \gset
UPDATE rule_webhook_queue SET next_retry_at = 'infinity' WHERE queue_id = :behind;
INSERT INTO rule_webhook_queue (webhook_id, message_id, payload, route, next_retry_at) VALUES
    (:both, 'in the stream', '{}', 'stream', now() + interval '30 seconds'), (:both, 'for NATS', '{}', 'publish', now());
CALL pg_temp.ahead();
UPDATE rule_webhook_queue SET created_at = created_at - interval '2 days', started_at = started_at - interval '2 days' WHERE queue_id = :before;
UPDATE rule_webhook_queue SET created_at = created_at - interval '2 days', started_at = started_at - interval '2 days' WHERE queue_id = :later;
SELECT pg_temp.queued('ahead', 'scheduled', now() + interval '300 days') AS scheduled,
       pg_temp.queued('held', 'scheduled for tomorrow', now() + interval '1 day') AS tomorrow \gset
SELECT * FROM rows;
SELECT count(*) AS claimed FROM rule_worker_claim('w', 10, '{}');
SELECT rule_worker_maintain('w') > 0 AS maintained;
SELECT rule_worker_maintain('w') > 0 AS maintained;
SELECT * FROM rows;
SELECT rule_engine_maintain() -> 'clock' AS clock;
-- A first try that was then counts as no later than the next one.
SELECT first_tried_at > now() AS ahead FROM rule_webhook_queue WHERE queue_id = :again;
SELECT message_id FROM rule_worker_claim('w', 10, '{}') ORDER BY queue_id;
SELECT verdict FROM t.report('w', pg_temp.tried(:again, 503));
SELECT first_tried_at > now() AS ahead FROM rule_webhook_queue WHERE queue_id = :again;
DELETE FROM rule_webhook_queue;
DELETE FROM rule_webhook_receipts;

-- Set aside out of the stream, by a claim behind a receipt, or published again: no publisher's schedule either.
INSERT INTO rule_webhook_queue (webhook_id, message_id, payload, route, next_retry_at)
VALUES (:both, 'set aside', '{}', 'stream', now() + interval '30 seconds'), (:both, 'behind its receipt', '{}', 'post', now());
UPDATE rule_webhooks SET enabled = false WHERE webhook_id = :both;
SELECT verdict, reason FROM t.admit('w', t.message('both', 'set aside'));
UPDATE rule_webhooks SET enabled = true WHERE webhook_id = :both;
UPDATE rule_webhook_queue SET next_retry_at = now() + interval '1 hour' WHERE message_id = 'set aside';
INSERT INTO rule_webhook_receipts (webhook_id, message_id, state, leased_by, lease_until) VALUES (:both, 'behind its receipt', 'leased', 'dead', now() + interval '1 minute');
SELECT count(*) AS claimed FROM rule_worker_claim('w', 10, '{}');
SELECT verdict FROM t.admit('w', t.message('both', 'published again'));
INSERT INTO rule_webhook_queue (webhook_id, message_id, payload, route, next_retry_at) VALUES (:both, 'published again', '{}', 'stream', now() + interval '30 seconds');
SELECT verdict FROM t.report('w', t.tried('both', 'published again', 503, NULL, '{}') || '{"retry_after_ms": 7200000}');
CALL pg_temp.ahead();
SELECT * FROM rows;
-- No more than that many at a time.
SELECT rule_engine_maintain(1) -> 'clock' AS clock;
SELECT bool_or(more) AS more FROM rule_engine_upkeep;
SELECT rule_engine_maintain(1) -> 'clock' AS clock;
SELECT rule_engine_maintain() -> 'clock' AS clock;
SELECT * FROM rows;
DELETE FROM rule_webhook_queue;
DELETE FROM rule_webhook_receipts;

-- Who is dead neither counts as a live worker of its group nor as one that reaches NATS.
INSERT INTO rule_nats_consumer_stats (stream_name, consumer_name, queue_group, active, last_active_at, reached_at)
VALUES ('WEBHOOKS', 'dead', 'g', true, now() + interval '1 day', now() + interval '1 day'), ('WEBHOOKS', 'alive', 'g', true, now(), now());
SELECT rule_worker_maintain('alive') > 0 AS maintained;
SELECT rule_worker_maintain('alive') > 0 AS maintained;
SELECT consumer_name, pg_temp.at(last_active_at) AS last_active, pg_temp.at(reached_at) AS reached FROM rule_nats_consumer_stats ORDER BY 1;
DELETE FROM rule_nats_consumer_stats;

-- What is held expires, and the rate of a resume ends.
SELECT rule_webhook_hold(:held, 'by then');
SELECT rule_webhook_hold(:away, 'by then'), rule_webhook_resume(:away, 5);
UPDATE rule_webhooks SET held_since = now() + interval '1 day' WHERE webhook_id = :held;
UPDATE rule_webhooks SET resumed_at = now() + interval '1 day' WHERE webhook_id = :away;
SELECT rule_worker_maintain('w') > 0 AS maintained;
SELECT rule_worker_maintain('w') > 0 AS maintained;
SELECT webhook_name, pg_temp.at(held_since) AS held, pg_temp.at(paused_since) AS paused, pg_temp.at(resumed_at) AS resumed FROM rule_webhooks WHERE webhook_id IN (:held, :away) ORDER BY 1;

-- What waits is counted, and the limit of a queue does not go by an old count.
SELECT pg_temp.queued('ahead', 'counted') > 0 AS queued;
UPDATE rule_webhooks SET queue_max_events = 2 WHERE webhook_id = :id;
SELECT rule_worker_maintain('w') > 0 AS maintained;
SELECT rule_worker_maintain('w') > 0 AS maintained;
UPDATE rule_webhook_queue_fill SET measured_at = now() + interval '1 day', waiting_events = 2 WHERE webhook_id = :id;
SELECT t.error($$SELECT re.rule_webhook_enqueue(t.id('ahead'), '{}')$$);
UPDATE rule_webhook_queue_fill SET measured_at = now() + interval '1 day', waiting_events = 7 WHERE webhook_id = :id;
SELECT rule_worker_maintain('w') > 0 AS maintained;
SELECT rule_worker_maintain('w') > 0 AS maintained;
SELECT waiting_events, measured_at <= clock_timestamp() AS measured FROM rule_webhook_queue_fill WHERE webhook_id = :id;

-- What rolls back from now on is not taken for something whose history is gone.
UPDATE rule_engine_source SET history_kept_since = now() + interval '1 day', adopted_at = now() + interval '1 day';
SELECT rule_worker_maintain('w') > 0 AS maintained;
SELECT rule_worker_maintain('w') > 0 AS maintained;
SELECT pg_temp.at(history_kept_since) AS kept, pg_temp.at(adopted_at) AS adopted FROM rule_engine_source;

UPDATE rule_engine_source SET history_kept_since = '-infinity', adopted_at = '-infinity';
SELECT count(rule_webhook_delete(webhook_id)) FROM rule_webhooks;
DELETE FROM rule_webhook_attempts;
DELETE FROM rule_webhook_queue_fill;
DELETE FROM rule_nats_consumer_stats;
