-- give_up_after counts the time in which an event could be tried: not that in which its webhook was held or disabled.
SET search_path = re;
\pset null -
-- Days of 24 hours.
SET timezone = 'UTC';
SELECT rule_webhook_register('paused', 'https://example.com') AS id \gset
UPDATE rule_webhooks SET give_up_after = '3 days' WHERE webhook_id = :id;
-- A try of an event of the queue and one of an event of the stream, which fail. The breaker is another test's.
CREATE FUNCTION pg_temp.try(p_name text, OUT of_the_queue text, OUT of_the_stream text) LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM re.rule_webhook_endpoints;
    INSERT INTO re.rule_webhook_queue (webhook_id, message_id, payload) VALUES (t.id('paused'), p_name || ' of the queue', '{}') ON CONFLICT DO NOTHING;
    UPDATE re.rule_webhook_queue SET next_retry_at = now() WHERE message_id = p_name || ' of the queue' AND status = 'pending';
    SELECT r.verdict INTO of_the_queue
    FROM re.rule_worker_claim('w', 10, '{}') c, LATERAL re.rule_worker_report('w', jsonb_build_array(jsonb_build_object(
        'path', 'queue', 'queue_id', c.queue_id, 'result', 'answered', 'status', 503, 'started_ms_ago', 20))) r
    WHERE c.message_id = p_name || ' of the queue';
    PERFORM FROM t.admit('w', t.message('paused', p_name || ' of the stream'));
    SELECT r.verdict INTO of_the_stream FROM t.report('w', t.tried('paused', p_name || ' of the stream', 503, NULL, '{}')) r;
END $$;
CREATE FUNCTION pg_temp.pass(p_time interval) RETURNS void LANGUAGE sql AS $$
    UPDATE re.rule_webhook_queue SET first_tried_at = first_tried_at - p_time;
    UPDATE re.rule_webhook_receipts SET first_tried_at = first_tried_at - p_time;
    UPDATE re.rule_webhooks SET paused_since = paused_since - p_time WHERE paused_since IS NOT NULL $$;

-- The time of an outage counts.
SELECT * FROM pg_temp.try('away');
SELECT pg_temp.pass('71 hours');
SELECT * FROM pg_temp.try('away');
SELECT pg_temp.pass('2 hours');
SELECT * FROM pg_temp.try('away');
-- Held.
SELECT * FROM pg_temp.try('held');
SELECT pg_temp.pass('1 day'), rule_webhook_hold(:id, 'why'), pg_temp.pass('10 days'), rule_webhook_resume(:id);
SELECT * FROM pg_temp.try('held');
SELECT pg_temp.pass('47 hours');
SELECT * FROM pg_temp.try('held');
SELECT pg_temp.pass('2 hours');
SELECT * FROM pg_temp.try('held');
-- Disabled, by an event that was first tried after an earlier pause.
SELECT * FROM pg_temp.try('disabled');
UPDATE rule_webhooks SET enabled = false WHERE webhook_id = :id;
SELECT pg_temp.pass('10 days');
UPDATE rule_webhooks SET description = 'changed meanwhile' WHERE webhook_id = :id;
UPDATE rule_webhooks SET enabled = true WHERE webhook_id = :id;
SELECT pg_temp.pass('71 hours');
SELECT * FROM pg_temp.try('disabled');
SELECT pg_temp.pass('2 hours');
SELECT * FROM pg_temp.try('disabled');
-- Both, one beginning and one ending in the other: it is one pause.
SELECT * FROM pg_temp.try('both');
SELECT rule_webhook_hold(:id, 'why'), pg_temp.pass('5 days');
UPDATE rule_webhooks SET enabled = false WHERE webhook_id = :id;
SELECT pg_temp.pass('5 days'), rule_webhook_resume(:id), pg_temp.pass('5 days');
UPDATE rule_webhooks SET enabled = true WHERE webhook_id = :id;
SELECT pg_temp.pass('71 hours');
SELECT * FROM pg_temp.try('both');
SELECT pg_temp.pass('2 hours');
SELECT * FROM pg_temp.try('both');
SELECT paused_since, round(paused_ms / 3600000.0, 2) AS hours FROM rule_webhooks WHERE webhook_id = :id;
-- The first try was under way when the hold began.
SELECT verdict FROM t.admit('w', t.message('paused', 'under way'));
SELECT rule_webhook_hold(:id, 'why'), pg_temp.pass('1 hour');
SELECT verdict FROM t.report('w', t.tried('paused', 'under way', 503) || '{"started_ms_ago": 3610000}');
SELECT round(extract(epoch FROM now() - first_tried_at) - (SELECT paused_ms / 1000.0 + 3600 FROM rule_webhooks WHERE webhook_id = :id), -1) AS seconds_before
FROM rule_webhook_receipts WHERE message_id = 'under way';

-- What a hand writes stops nothing.
\a \t
SELECT c.call || E'\n    ' || t.error(c.call)
FROM (VALUES
    ($$UPDATE re.rule_webhooks SET paused_ms = -1$$),
    ($$UPDATE re.rule_webhooks SET paused_ms = 31557600000001$$),
    ($$UPDATE re.rule_webhooks SET paused_ms = NULL$$)
) AS c (call);
\a \t
UPDATE rule_webhooks SET paused_ms = 31557600000000, paused_since = '-infinity' WHERE webhook_id = :id;
SELECT paused_since > now() - interval '1 minute' AS paused_now FROM rule_webhooks WHERE webhook_id = :id;
UPDATE rule_webhooks SET paused_since = now() - interval '999 years' WHERE webhook_id = :id;
SELECT rule_webhook_resume(:id) >= 0 AS resumed;
UPDATE rule_webhooks SET paused_since = 'infinity' WHERE webhook_id = :id;
SELECT paused_since, paused_ms FROM rule_webhooks WHERE webhook_id = :id;
SELECT * FROM pg_temp.try('long after');
SELECT rule_webhook_delete(:id);
DELETE FROM rule_webhook_drops;
DELETE FROM rule_webhook_attempts;
