-- What follows a failed try, by what kind it was.
SET search_path = re;
\pset null -
SELECT rule_webhook_register('failing', 'https://example.com', p_max_retries => 2) AS id \gset
UPDATE rule_webhooks SET retry_delay_ms = 2000, retry_backoff_multiplier = 3 WHERE webhook_id = :id;

-- One try from the queue that ends so, as often as said. The breaker is another test's.
CREATE FUNCTION pg_temp.try(p_message_id text, p_status integer, p_times integer DEFAULT 1, p_more jsonb DEFAULT '{}')
RETURNS TABLE (verdict text, waits integer) LANGUAGE plpgsql AS $$
DECLARE
    v_id bigint;
BEGIN
    INSERT INTO re.rule_webhook_queue (webhook_id, message_id, payload) VALUES (t.id('failing'), p_message_id, '{}') ON CONFLICT DO NOTHING;
    FOR i IN 1 .. p_times LOOP
        DELETE FROM re.rule_webhook_endpoints;
        UPDATE re.rule_webhook_queue q SET next_retry_at = clock_timestamp() WHERE q.message_id = p_message_id AND q.status = 'pending';
        SELECT c.queue_id INTO v_id FROM re.rule_worker_claim('w', 100, '{}') c WHERE c.message_id = p_message_id;
        SELECT r.verdict, r.wait_ms INTO verdict, waits
        FROM re.rule_worker_report('w', jsonb_build_array(jsonb_build_object('path', 'queue', 'queue_id', v_id,
            'result', CASE WHEN p_status IS NULL THEN 'failed' ELSE 'answered' END, 'status', p_status, 'started_ms_ago', 20,
            'error', CASE WHEN p_status IS NULL THEN 'connection refused' END) || p_more)) r;
    END LOOP;
    RETURN NEXT;
END $$;

-- max_retries counts answers that refuse: the third one here is the last.
SELECT s AS status, (pg_temp.try('s' || s, s, 3)).verdict AS third
FROM unnest('{100, 300, 304, 399, 400, 404, 408, 409, 413, 422, 425, 429, 451, 499, 500, 503, 599, 999}'::integer[]) s ORDER BY s;
SELECT (pg_temp.try('no answer', NULL, 20)).verdict AS twentieth;
SELECT status, retry_count, refusals FROM rule_webhook_queue WHERE message_id = 'no answer';
-- Outages before and between take none of them away.
SELECT (pg_temp.try('mixed', 503, 10)).verdict AS outages;
SELECT verdict FROM pg_temp.try('mixed', 404);
SELECT verdict FROM pg_temp.try('mixed', NULL, 3);
SELECT verdict FROM pg_temp.try('mixed', 404);
SELECT verdict FROM pg_temp.try('mixed', 404);
SELECT status, retry_count, refusals, first_tried_at BETWEEN clock_timestamp() - interval '1 minute' AND clock_timestamp() AS first_tried
FROM rule_webhook_queue WHERE message_id = 'mixed';
-- Without retries there is none, after an outage neither.
UPDATE rule_webhooks SET retry_enabled = false WHERE webhook_id = :id;
SELECT (pg_temp.try('once', 503)).verdict;
UPDATE rule_webhooks SET retry_enabled = true, max_retries = 0 WHERE webhook_id = :id;
SELECT (pg_temp.try('refused once', 404)).verdict, (pg_temp.try('away', 503, 4)).verdict;
UPDATE rule_webhooks SET max_retries = 2 WHERE webhook_id = :id;

-- The schedule: delay, multiplied each time, 20 per cent either way, an hour at most.
SELECT n AS try, verdict, CASE WHEN waits BETWEEN least(3600000, 2000 * 3 ^ (n - 1)) * 0.799 AND least(3600000, 2000 * 3 ^ (n - 1) * 1.201)
                               THEN 'as planned' ELSE waits::text END AS waits
FROM generate_series(1, 9) n, LATERAL pg_temp.try('planned' || left(n::text, 0), 503) ORDER BY n;

-- Given up when the next try would come too late, counted from the first one's beginning.
SELECT (pg_temp.try('old', 503)).verdict;
UPDATE rule_webhook_queue SET first_tried_at = now() - interval '2 days 23 hours' WHERE message_id = 'old';
SELECT (pg_temp.try('old', 503)).verdict;
UPDATE rule_webhook_queue SET first_tried_at = now() - interval '3 days' WHERE message_id = 'old';
SELECT (pg_temp.try('old', 503)).verdict;
UPDATE rule_webhooks SET give_up_after = '1 second' WHERE webhook_id = :id;
SELECT (pg_temp.try('soon given up', 503)).verdict;
-- 0: max_retries is the limit of both.
UPDATE rule_webhooks SET give_up_after = '0' WHERE webhook_id = :id;
SELECT (pg_temp.try('counted', 503, 2)).verdict, (pg_temp.try('counted', NULL)).verdict;
UPDATE rule_webhooks SET give_up_after = '3 days' WHERE webhook_id = :id;

-- Retry-After: no try before it, a day at most, and nothing that makes no sense.
SELECT a.said, verdict, CASE WHEN waits BETWEEN 1600 AND 2400 THEN 'as planned' ELSE waits::text END AS waits
FROM (VALUES (1, '30000'), (2, '86400000'), (3, '86400001'), (4, '99999999999999'), (5, '1e20'), (6, '-5'), (7, '0'), (8, '"7000"'), (9, '"soon"'), (10, 'null'), (11, '[1]')) a (n, said),
     LATERAL pg_temp.try('told ' || a.n, 429, 1, jsonb_build_object('retry_after_ms', a.said::jsonb)) ORDER BY a.n;
SELECT verdict, waits FROM pg_temp.try('told by a refusal', 404, 1, '{"retry_after_ms": 50000}');
-- One that is longer than what give_up_after leaves ends with it, so that there is a last try; a refusal's is not counted by that.
UPDATE rule_webhooks SET give_up_after = '12 hours' WHERE webhook_id = :id;
SELECT a.n, verdict, CASE WHEN waits BETWEEN 43100000 AND 43200000 THEN 'what is left' ELSE waits::text END AS waits
FROM (VALUES (1, 429, 86400000), (2, 503, 43000000), (3, 404, 86400000)) a (n, status, said),
     LATERAL pg_temp.try('all of its time ' || a.n, a.status, 1, jsonb_build_object('retry_after_ms', a.said)) ORDER BY a.n;
UPDATE rule_webhook_queue SET first_tried_at = first_tried_at - interval '12 hours' WHERE message_id = 'all of its time 1';
SELECT verdict, waits FROM pg_temp.try('all of its time 1', 429, 1, '{"retry_after_ms": 86400000}');
-- Where that leaves less than the schedule asks for, the try before was the last; and where months have passed, as well.
SELECT (pg_temp.try('late', 503)).verdict;
UPDATE rule_webhook_queue SET first_tried_at = now() - interval '12 hours' + interval '1 second' WHERE message_id = 'late';
SELECT verdict FROM pg_temp.try('late', 503, 1, '{"retry_after_ms": 86400000}');
SELECT (pg_temp.try('forgotten', 503)).verdict;
UPDATE rule_webhook_queue SET first_tried_at = now() - interval '100 days' WHERE message_id = 'forgotten';
SELECT verdict FROM pg_temp.try('forgotten', 503, 1, '{"retry_after_ms": 86400000}');
UPDATE rule_webhooks SET give_up_after = '3 days' WHERE webhook_id = :id;
-- On the stream's way what waits for long moves to the queue.
SELECT verdict FROM t.admit('w', t.message('failing', 'streamed'));
SELECT verdict, reason FROM t.report('w', t.tried('failing', 'streamed', 503) || '{"retry_after_ms": 61000}');
SELECT verdict, reason FROM t.report('w', t.tried('failing', 'streamed', 503, 1, '{}') || '{"retry_after_ms": 61000}');
SELECT status, retry_count, refusals, first_tried_at IS NOT NULL AS tried, next_retry_at > now() + interval '1 minute' AS later
FROM rule_webhook_queue WHERE message_id = 'streamed';
-- Its counts stay with it in the stream.
SELECT verdict FROM t.admit('w', t.message('failing', 'refused in the stream'));
SELECT verdict FROM t.report('w', t.tried('failing', 'refused in the stream', 404));
SELECT state, retry_count, refusals, first_tried_at IS NOT NULL AS tried FROM rule_webhook_receipts WHERE message_id = 'refused in the stream';
SELECT verdict, try FROM t.admit('w', t.message('failing', 'refused in the stream'));
SELECT verdict FROM t.report('w', t.tried('failing', 'refused in the stream', NULL));
SELECT verdict, try FROM t.admit('w', t.message('failing', 'refused in the stream'));
SELECT verdict FROM t.report('w', t.tried('failing', 'refused in the stream', 404));
SELECT verdict, try FROM t.admit('w', t.message('failing', 'refused in the stream'));
SELECT verdict, reason FROM t.report('w', t.tried('failing', 'refused in the stream', 404));

\a \t
SELECT c.call || E'\n    ' || t.error(c.call)
FROM (VALUES
    ($$UPDATE re.rule_webhooks SET give_up_after = '-1 day'$$),
    ($$UPDATE re.rule_webhooks SET give_up_after = NULL$$),
    ($$UPDATE re.rule_webhooks SET hold_for = '0'$$),
    ($$UPDATE re.rule_webhooks SET hold_for = NULL$$),
    ($$UPDATE re.rule_webhooks SET hold_for = '1001 years'$$),
    ($$UPDATE re.rule_webhooks SET give_up_after = '1001 years'$$)
) AS c (call);
\a \t
-- The longest that is accepted stops no worker.
UPDATE rule_webhooks SET hold_for = '1000 years', give_up_after = '1000 years' WHERE webhook_id = :id;
SELECT rule_webhook_hold(:id, 'for ever');
SELECT count(*) FROM rule_worker_claim('w', 10, '{}');
SELECT rule_webhook_delete(:id);
