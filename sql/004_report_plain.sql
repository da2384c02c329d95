-- What nearly all reports are: a stream message that was delivered, under a receipt that is the reporter's and that nobody
-- has locked. They are recorded at once, by the rules of _rule_leased. What is anything else is left to it.

CREATE OR REPLACE FUNCTION @extschema@._rule_report_plain(
    p_consumer text, p_attempts jsonb, OUT ns integer[], OUT webhook_ids integer[])
LANGUAGE plpgsql
AS $$
DECLARE
    v record;
BEGIN
    -- Each member is read once, and what is of another kind than it should be raises an error. The queue row of an event comes
    -- before its receipt.
    WITH mine AS (
        SELECT s.n, s.webhook_id, s.message_id, s.redelivery, s.status, s.started_ms_ago, s.duration_ms, r.place, r.retry_count
        FROM (
            SELECT e.n::integer AS n, e.m ->> 'message_id' AS message_id,
                   (e.m -> 'webhook_id')::integer AS webhook_id, (e.m -> 'redelivery')::integer AS redelivery,
                   nullif(e.m -> 'try', 'null')::integer AS try, (e.m -> 'status')::integer AS status,
                   -- Rounded as numbers: one that is too small for the type is an error.
                   round((e.m -> 'started_ms_ago')::numeric, 3)::double precision AS started_ms_ago,
                   round((e.m -> 'duration_ms')::numeric, 3)::double precision AS duration_ms
            FROM jsonb_array_elements(p_attempts) WITH ORDINALITY AS e (m, n)
            WHERE e.m ->> 'path' = 'stream' AND e.m ->> 'result' = 'answered'
            OFFSET 0) s
        CROSS JOIN LATERAL (
            SELECT r.ctid AS place, r.retry_count FROM @extschema@.rule_webhook_receipts r
            WHERE r.webhook_id = s.webhook_id AND r.message_id = s.message_id AND r.redelivery = s.redelivery
              AND r.state = 'leased' AND r.leased_by = p_consumer AND (r.retry_count + 1 = s.try OR s.try IS NULL)
            FOR UPDATE SKIP LOCKED) r
        WHERE s.status BETWEEN 200 AND 299 AND s.webhook_id >= 1 AND s.redelivery >= 0 AND (s.try >= 1) IS NOT FALSE
          AND s.started_ms_ago BETWEEN 0 AND 999999999999 AND s.duration_ms BETWEEN 0 AND 999999999999
          AND (SELECT true FROM @extschema@.rule_webhooks w WHERE w.webhook_id = s.webhook_id)
          AND (SELECT q.status = 'processing' AND q.leased_by = p_consumer FROM @extschema@.rule_webhook_queue q
               WHERE q.webhook_id = s.webhook_id AND q.message_id = s.message_id AND q.redelivery = s.redelivery) IS NOT TRUE)
    SELECT array_agg(m.n) AS ns, array_agg(m.place) AS places, array_agg(m.webhook_id) AS webhook_ids,
           array_agg(m.message_id) AS message_ids, array_agg(m.redelivery) AS redeliveries, array_agg(m.retry_count + 1) AS tries,
           array_agg('stream'::text) AS paths, array_agg(m.started_ms_ago) AS ms_ago, array_agg(m.duration_ms) AS durations,
           array_agg(m.status) AS statuses, count(*) - count(DISTINCT m.place) AS doubles
    INTO v FROM mine m;
    IF v.ns IS NULL OR v.doubles > 0 THEN
        -- Two deliveries of one event are not plain.
        ns := '{}';
        webhook_ids := '{}';
        RETURN;
    END IF;
    ns := v.ns;
    webhook_ids := v.webhook_ids;
    -- By a statement of its own: of a lease that a heartbeat renewed in this moment the one above has locked the new row, and
    -- would not see it in order to write to it.
    PERFORM @extschema@._rule_events_delivered(p_consumer, v.places, '{}', v.webhook_ids, v.message_ids, v.redeliveries,
                                               v.tries, v.paths, v.ms_ago, v.durations, v.statuses);
EXCEPTION WHEN invalid_parameter_value OR numeric_value_out_of_range THEN
    -- A member that is not well formed.
    ns := '{}';
    webhook_ids := '{}';
END
$$;
COMMENT ON FUNCTION @extschema@._rule_report_plain(text, jsonb) IS
    'Internal: records those of a batch of reports that are plain deliveries of stream messages, and says which and of which webhooks.';
