-- Due rows for the endpoints. Each webhook that has some gets its turn, in an order drawn anew each time.

CREATE OR REPLACE FUNCTION @extschema@._rule_claim_post(
    p_consumer text, p_limit integer, p_locks integer, p_room jsonb, p_call bigint)
RETURNS bigint[] LANGUAGE plpgsql
AS $$
DECLARE
    v_now timestamptz := clock_timestamp();
    v_pgmq boolean := EXISTS (SELECT FROM @extschema@.rule_engine_settings s WHERE s.queue_backend = 'pgmq');
    v_round integer := 0;
    v_webhooks integer[];
    v_firsts jsonb;
    v_some bigint[];
    v_ids bigint[] := '{}';
    v_seen bigint[] := '{}';
    -- What is not taken in the end is locked all the same: so many events, and with their keys so many locks.
    v_events integer := 0;
    v_locks integer := 0;
    v_passed record;
    v_room jsonb := p_room;
    v_suspect record;
BEGIN
    SELECT * INTO v_suspect FROM @extschema@._rule_claim_suspect(p_consumer, v_now, p_call);
    IF v_suspect.alone THEN
        RETURN v_suspect.rows;
    END IF;
    SELECT p.webhook_ids, p.firsts INTO v_webhooks, v_firsts FROM @extschema@._rule_claim_places(v_now) p;
    IF v_pgmq THEN
        -- What has no message there is left to the loop below.
        SELECT c.ids, c.events, c.locks INTO v_ids, v_events, v_locks
        FROM @extschema@._rule_pgmq_claim(p_consumer, p_limit, p_locks, v_now, v_room, v_webhooks, v_firsts, p_call) c;
        v_room := @extschema@._rule_room_left(v_room, v_ids);
    END IF;
    -- Rounds with twice the share each time: what some webhooks leave others take.
    WHILE v_events < p_limit AND v_locks < p_locks AND v_round < 8 LOOP
        v_some := @extschema@._rule_due_rows(
            least(p_limit - v_events, p_locks - v_locks), v_round, v_now, v_seen, v_pgmq, v_room, v_webhooks, v_firsts);
        EXIT WHEN v_some = '{}';
        v_seen := v_seen || v_some;
        SELECT * INTO v_passed FROM @extschema@._rule_due_rows_pass(v_some, p_locks - v_locks);
        v_events := v_events + cardinality(v_passed.rows);
        v_locks := v_locks + v_passed.keys + cardinality(v_passed.rows);
        v_some := @extschema@._rule_due_rows_take(p_consumer, v_passed.rows, v_now, p_call);
        v_ids := v_ids || v_some;
        v_room := @extschema@._rule_room_left(v_room, v_some);
        v_round := v_round + 1;
    END LOOP;
    RETURN v_ids;
END
$$;
COMMENT ON FUNCTION @extschema@._rule_claim_post(text, integer, integer, jsonb, bigint) IS
    'Internal: leases due rows for the endpoints, of each webhook at most what there is room for, under so many locks at most.';

CREATE OR REPLACE FUNCTION @extschema@._rule_due_webhooks(
    p_webhook_ids integer[], p_firsts jsonb, p_now timestamptz, p_room jsonb)
RETURNS TABLE (webhook_id integer, paced boolean, accepted_until timestamptz, free bigint, room integer, first_at timestamptz, first_id bigint,
               resumed boolean)
LANGUAGE plpgsql
AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    SELECT d.webhook_id, d.paced, d.accepted_until, d.free, l.room, d.first_at, d.first_id, f.resumed
    FROM (
        SELECT w.webhook_id, lane.paced, @extschema@._rule_room(p_room, w.webhook_id) AS free,
               w.max_concurrent IS NOT NULL OR w.max_per_second IS NOT NULL AS limited, w.resumed_at,
               coalesce((p_firsts #>> ARRAY[@extschema@._rule_lane(w.webhook_id, lane.paced), 'at'])::timestamptz, '-infinity') AS first_at,
               coalesce((p_firsts #> ARRAY[@extschema@._rule_lane(w.webhook_id, lane.paced), 'id'])::bigint, 0) AS first_id,
               CASE WHEN lane.paced THEN '-infinity'
                    WHEN NOT (w.nats_enabled AND w.nats_subject IS NOT NULL AND w.publish_mode <> 'queue')
                         OR NOT c.jetstream_enabled OR (c.enabled AND @extschema@._rule_mistakable(c)) THEN 'infinity'
                    -- A worker that reaches NATS publishes them, in order.
                    WHEN c.enabled AND EXISTS (
                        SELECT FROM @extschema@.rule_nats_consumer_stats s
                        WHERE s.stream_name = c.stream_name AND s.reached_at > p_now - interval '60 seconds') THEN '-infinity'
                    ELSE p_now - interval '60 seconds' END AS accepted_until
        FROM @extschema@.rule_webhooks w
        LEFT JOIN @extschema@.rule_nats_config c ON c.config_id = @extschema@._rule_config_of(w.nats_config_id)
        JOIN (VALUES (false), (true)) AS lane (paced) ON NOT lane.paced OR w.redeliver_per_second IS NOT NULL
        WHERE w.webhook_id = ANY (p_webhook_ids) AND w.enabled AND w.held_since IS NULL
          AND @extschema@._rule_room(p_room, w.webhook_id) IS DISTINCT FROM 0 AND NOT EXISTS (
            SELECT FROM @extschema@.rule_webhook_endpoints e
            WHERE e.webhook_id = w.webhook_id AND e.failing_since IS NOT NULL AND e.open_until > p_now)
    ) d
    -- In the order of claims, so that it is looked for in their index.
    LEFT JOIN LATERAL (
        SELECT q.next_retry_at, @extschema@._rule_row_waited(q, d.resumed_at) IS TRUE AS resumed
        FROM @extschema@.rule_webhook_queue q
        WHERE q.webhook_id = d.webhook_id AND q.paced = d.paced AND q.status = 'pending' AND q.route <> 'publish'
          AND (q.next_retry_at, q.queue_id) >= (d.first_at, d.first_id)
        ORDER BY q.next_retry_at, q.queue_id LIMIT 1) f ON true
    CROSS JOIN LATERAL (
        -- What waited at a resume comes first, and what came later waits behind it.
        SELECT CASE WHEN d.limited OR f.resumed OR d.paced
                    THEN @extschema@._rule_limit_room(d.webhook_id, p_now, p_now, f.resumed, d.paced) END AS room OFFSET 0) l
    WHERE l.room IS DISTINCT FROM 0 AND (f.next_retry_at <= p_now
       OR (d.accepted_until > '-infinity' AND EXISTS (
        SELECT FROM @extschema@.rule_webhook_queue q
        WHERE q.webhook_id = d.webhook_id AND q.status = 'pending' AND q.route = 'publish' AND q.next_retry_at <= p_now
          AND q.created_at <= d.accepted_until)));
END
$$;
COMMENT ON FUNCTION @extschema@._rule_due_webhooks(integer[], jsonb, timestamptz, jsonb) IS
    'Internal: those of some webhooks with rows that are due for their endpoint, those for NATS only where accepted before the time given, and how many there is room for, by the worker (free) and by their limits (room). Looks from the places given on. What is redelivered at a rate has a row of its own.';

CREATE OR REPLACE FUNCTION @extschema@._rule_due_rows(
    p_limit integer, p_round integer, p_now timestamptz, p_seen bigint[], p_pgmq boolean, p_room jsonb,
    p_webhook_ids integer[], p_firsts jsonb)
RETURNS bigint[] LANGUAGE plpgsql
AS $$
DECLARE
    v_due record;
    v_most bigint;
    v_some bigint[];
    v_rows bigint[] := '{}';
    v_of integer;
    v_others integer;
BEGIN
    FOR v_due IN
        SELECT d.*, count(*) OVER () AS webhooks,
               CASE WHEN p_pgmq THEN @extschema@._rule_pgmq_queue(d.webhook_id) IS NOT NULL ELSE false END AS in_pgmq
        FROM @extschema@._rule_due_webhooks(p_webhook_ids, p_firsts, p_now, p_room) d
        -- Redeliveries have what the others of their webhook leave of its room.
        ORDER BY max(random()) OVER (PARTITION BY d.webhook_id), d.paced
    LOOP
        v_others := CASE WHEN v_due.webhook_id = v_of THEN cardinality(v_some) ELSE 0 END;
        v_most := least(ceil(p_limit::numeric / v_due.webhooks)::bigint << p_round, v_due.room, v_due.free - v_others,
                        p_limit - cardinality(v_rows));
        -- Each by an index of its own: what waits for NATS can be millions of rows.
        SELECT coalesce(array_agg(picked.queue_id), '{}') INTO v_some
        FROM (SELECT e.queue_id
              FROM (SELECT * FROM (
                        SELECT q.queue_id, q.next_retry_at FROM @extschema@.rule_webhook_queue q
                        WHERE q.webhook_id = v_due.webhook_id AND q.paced = v_due.paced AND q.status = 'pending'
                          AND q.next_retry_at <= p_now AND (q.next_retry_at, q.queue_id) >= (v_due.first_at, v_due.first_id)
                          AND q.route <> 'publish' AND q.queue_id <> ALL (p_seen) AND q.lease_losses < 3
                          AND (NOT v_due.in_pgmq OR q.pgmq_msg_id IS NULL)
                        ORDER BY q.next_retry_at, q.queue_id LIMIT v_most
                        FOR UPDATE OF q SKIP LOCKED) post
                    UNION ALL
                    SELECT * FROM (
                        SELECT q.queue_id, q.next_retry_at FROM @extschema@.rule_webhook_queue q
                        WHERE v_due.accepted_until > '-infinity'
                          AND q.webhook_id = v_due.webhook_id AND q.status = 'pending' AND q.next_retry_at <= p_now
                          AND q.route = 'publish' AND q.created_at <= v_due.accepted_until
                          AND q.queue_id <> ALL (p_seen) AND q.lease_losses < 3
                        ORDER BY q.next_retry_at, q.queue_id LIMIT v_most
                        FOR UPDATE OF q SKIP LOCKED) publish) e
              ORDER BY e.next_retry_at, e.queue_id LIMIT v_most) picked;
        v_rows := v_rows || v_some;
        v_of := v_due.webhook_id;
        EXIT WHEN cardinality(v_rows) >= p_limit;
    END LOOP;
    RETURN v_rows;
END
$$;
COMMENT ON FUNCTION @extschema@._rule_due_rows(integer, integer, timestamptz, bigint[], boolean, jsonb, integer[], jsonb) IS
    'Internal: locks rows that are due for an endpoint, a fair share of each webhook''s and at most what there is room for; with p_pgmq those that pgmq does not have.';

-- Looked up by their key and written where they lie, whatever the queue was like when this was planned: no index of what is
-- due has to be searched for them.
CREATE OR REPLACE FUNCTION @extschema@._rule_due_rows_take(p_consumer text, p_rows bigint[], p_now timestamptz, p_call bigint)
RETURNS bigint[] LANGUAGE plpgsql
AS $$
DECLARE
    v_ids bigint[];
    v_ctids tid[];
BEGIN
    SELECT coalesce(array_agg(q.queue_id), '{}') INTO v_ids
    FROM unnest(p_rows) AS u (id)
    CROSS JOIN LATERAL (SELECT q.queue_id, q.webhook_id, q.message_id, q.redelivery FROM @extschema@.rule_webhook_queue q
                        WHERE q.queue_id = u.id OFFSET 0) q
    WHERE @extschema@._rule_event_lock(q.webhook_id, q.message_id, q.redelivery);
    -- A copy of the event in the stream can have been taken before this row was there.
    IF EXISTS (SELECT FROM unnest(v_ids) AS u (id)
               CROSS JOIN LATERAL (SELECT q.webhook_id, q.message_id, q.redelivery FROM @extschema@.rule_webhook_queue q
                                   WHERE q.queue_id = u.id OFFSET 0) q
               CROSS JOIN LATERAL (SELECT FROM @extschema@.rule_webhook_receipts r
                                   WHERE r.webhook_id = q.webhook_id AND r.message_id = q.message_id
                                     AND r.redelivery = q.redelivery OFFSET 0) r) THEN
        PERFORM @extschema@._rule_due_rows_join(v_ids, p_now);
    END IF;

    SELECT coalesce(array_agg(l.ctid), '{}') INTO v_ctids
    FROM unnest(v_ids) AS u (id)
    CROSS JOIN LATERAL (SELECT q.ctid, q.status, q.next_retry_at FROM @extschema@.rule_webhook_queue q
                        WHERE q.queue_id = u.id OFFSET 0) l
    WHERE l.status = 'pending' AND l.next_retry_at <= p_now;
    v_ctids := @extschema@._rule_due_rows_within(v_ctids, p_now);
    WITH taken AS (
        UPDATE @extschema@.rule_webhook_queue q
        SET status = 'processing', leased_by = p_consumer, lease_until = p_now + @extschema@._rule_lease(w.timeout_ms),
            started_at = p_now, route = 'post', lease_call = p_call
        FROM @extschema@.rule_webhooks w
        WHERE q.ctid = ANY (v_ctids) AND w.webhook_id = q.webhook_id
        RETURNING q.queue_id)
    SELECT coalesce(array_agg(t.queue_id), '{}') INTO v_ids FROM taken t;
    RETURN v_ids;
END
$$;
COMMENT ON FUNCTION @extschema@._rule_due_rows_take(text, bigint[], timestamptz, bigint) IS
    'Internal: leases locked rows whose event nobody else has.';

CREATE OR REPLACE FUNCTION @extschema@._rule_due_rows_join(p_rows bigint[], p_now timestamptz)
RETURNS void LANGUAGE plpgsql
-- A plan made while the queue was empty would look through a long one.
SET plan_cache_mode = force_custom_plan
AS $$
BEGIN
    UPDATE @extschema@.rule_webhook_queue q
    SET status = CASE r.state WHEN 'done' THEN 'success' ELSE q.status END,
        completed_at = CASE r.state WHEN 'done' THEN r.done_at END,
        next_retry_at = CASE r.state WHEN 'done' THEN q.next_retry_at ELSE r.lease_until END,
        started_at = coalesce(q.started_at, r.taken_at)
    FROM @extschema@.rule_webhook_receipts r
    WHERE q.queue_id = ANY (p_rows)
      AND r.webhook_id = q.webhook_id AND r.message_id = q.message_id AND r.redelivery = q.redelivery
      AND (r.state = 'done' OR r.lease_until > p_now);
    -- A receipt that a transaction has locked, one that deletes the webhook perhaps, stays: the row comes first anyway.
    WITH old AS (
        SELECT q.queue_id, r.webhook_id, r.message_id, r.redelivery
        FROM @extschema@.rule_webhook_receipts r JOIN @extschema@.rule_webhook_queue q
            ON r.webhook_id = q.webhook_id AND r.message_id = q.message_id AND r.redelivery = q.redelivery
        WHERE q.queue_id = ANY (p_rows) AND (r.state = 'waiting' OR (r.state = 'leased' AND r.lease_until <= p_now))
        FOR UPDATE OF r SKIP LOCKED),
    before AS (
        DELETE FROM @extschema@.rule_webhook_receipts r USING old
        WHERE r.webhook_id = old.webhook_id AND r.message_id = old.message_id AND r.redelivery = old.redelivery
        RETURNING old.queue_id, r.retry_count, r.refusals, r.first_tried_at, r.lease_losses)
    UPDATE @extschema@.rule_webhook_queue q
    SET retry_count = greatest(q.retry_count, before.retry_count), refusals = greatest(q.refusals, before.refusals),
        first_tried_at = least(q.first_tried_at, before.first_tried_at),
        lease_losses = greatest(q.lease_losses, before.lease_losses)
    FROM before WHERE q.queue_id = before.queue_id;
END
$$;
COMMENT ON FUNCTION @extschema@._rule_due_rows_join(bigint[], timestamptz) IS
    'Internal: gives locked rows what the stream''s copies of their events have come to, the receipts of those that nobody has included.';
