-- What nearly all reports are: a stream message that was delivered, under a receipt that is the reporter's and that nobody
-- has locked. They are recorded at once, by the rules of _rule_leased. What is anything else is left to it.

CREATE OR REPLACE FUNCTION @extschema@._rule_report_plain(
    p_consumer text, p_attempts jsonb, OUT ns integer[], OUT webhook_ids integer[])
LANGUAGE plpgsql
AS $$
DECLARE
    v record;
BEGIN
    -- Two deliveries of one event are not plain. The queue row of an event comes before its receipt.
    WITH said AS MATERIALIZED (
        SELECT min(e.n)::integer AS n, (e.m -> 'webhook_id')::integer AS webhook_id, e.m ->> 'message_id' AS message_id,
               (e.m -> 'redelivery')::integer AS redelivery, min((e.m -> 'try')::integer) AS try, min((e.m -> 'status')::integer) AS status,
               min(round((e.m -> 'started_ms_ago')::numeric, 3))::double precision AS started_ms_ago,
               -- Rounded, since a number that is too small for the type is an error.
               min(round((e.m -> 'duration_ms')::numeric, 3))::double precision AS duration_ms
        FROM jsonb_array_elements(p_attempts) WITH ORDINALITY AS e (m, n)
        WHERE CASE WHEN e.m -> 'path' = '"stream"' AND e.m -> 'result' = '"answered"' AND e.m -> 'status' BETWEEN '200' AND '299'
              THEN e.m -> 'webhook_id' BETWEEN '1' AND '2147483647' AND e.m -> 'redelivery' BETWEEN '0' AND '2147483647'
                   AND (e.m -> 'try' BETWEEN '1' AND '2147483647') IS NOT FALSE AND e.m -> 'started_ms_ago' BETWEEN '0' AND '999999999999'
                   AND e.m -> 'duration_ms' BETWEEN '0' AND '999999999999' END
        GROUP BY (e.m -> 'webhook_id')::integer, e.m ->> 'message_id', (e.m -> 'redelivery')::integer
        HAVING count(*) = 1),
    mine AS (
        SELECT s.n, s.webhook_id, s.message_id, s.redelivery, s.status, s.started_ms_ago, s.duration_ms, r.place, r.retry_count
        FROM said s
        CROSS JOIN LATERAL (
            SELECT r.ctid AS place, r.retry_count FROM @extschema@.rule_webhook_receipts r
            WHERE r.webhook_id = s.webhook_id AND r.message_id = s.message_id AND r.redelivery = s.redelivery
              AND r.state = 'leased' AND r.leased_by = p_consumer AND (r.retry_count + 1 = s.try OR s.try IS NULL)
            FOR UPDATE SKIP LOCKED) r
        WHERE (SELECT true FROM @extschema@.rule_webhooks w WHERE w.webhook_id = s.webhook_id)
          AND (SELECT q.status = 'processing' AND q.leased_by = p_consumer FROM @extschema@.rule_webhook_queue q
               WHERE q.webhook_id = s.webhook_id AND q.message_id = s.message_id AND q.redelivery = s.redelivery) IS NOT TRUE)
    SELECT array_agg(m.n) AS ns, array_agg(m.place) AS places, array_agg(m.webhook_id) AS webhook_ids,
           array_agg(m.message_id) AS message_ids, array_agg(m.redelivery) AS redeliveries, array_agg(m.retry_count + 1) AS tries,
           array_agg('stream'::text) AS paths, array_agg(m.started_ms_ago) AS ms_ago, array_agg(m.duration_ms) AS durations,
           array_agg(m.status) AS statuses
    INTO v FROM mine m;
    ns := coalesce(v.ns, '{}');
    webhook_ids := coalesce(v.webhook_ids, '{}');
    IF ns <> '{}' THEN
        -- By a statement of its own: of a lease that a heartbeat renewed in this moment the one above has locked the new row, and
        -- would not see it in order to write to it.
        PERFORM @extschema@._rule_events_delivered(p_consumer, v.places, '{}', v.webhook_ids, v.message_ids, v.redeliveries,
                                                   v.tries, v.paths, v.ms_ago, v.durations, v.statuses);
    END IF;
END
$$;
COMMENT ON FUNCTION @extschema@._rule_report_plain(text, jsonb) IS
    'Internal: records those of a batch of reports that are plain deliveries of stream messages, and says which and of which webhooks.';
