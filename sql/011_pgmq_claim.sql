-- Due rows by their messages, as many of each webhook as its share is, in rounds as with the native queue.

CREATE OR REPLACE FUNCTION @extschema@._rule_pgmq_claim(
    p_consumer text, p_limit integer, p_locks integer, p_now timestamptz, p_room jsonb, p_webhook_ids integer[], p_firsts jsonb,
    p_call bigint, OUT ids bigint[], OUT events integer, OUT locks integer)
LANGUAGE plpgsql
AS $$
DECLARE
    v_webhooks integer[];
    v_resumed integer[];
    v_room jsonb := p_room;
    v_most bigint;
    v_webhook_id integer;
    v_round integer := 0;
    v_left integer;
    v_before integer;
    v_read record;
    v_due bigint[];
    v_some bigint[];
    v_passed record;
    -- Parallel arrays: each message that was read.
    v_of integer[] := '{}';
    v_msg_ids bigint[] := '{}';
    v_queue_ids bigint[] := '{}';
BEGIN
    ids := '{}';
    events := 0;
    locks := 0;
    SELECT coalesce(array_agg(d.webhook_id ORDER BY random()), '{}'), coalesce(array_agg(d.webhook_id) FILTER (WHERE d.resumed), '{}')
    INTO v_webhooks, v_resumed
    FROM @extschema@._rule_due_webhooks(p_webhook_ids, p_firsts, p_now, p_room) d
    WHERE NOT d.paced AND @extschema@._rule_pgmq_queue(d.webhook_id) IS NOT NULL;
    WHILE events < p_limit AND locks < p_locks AND v_round < 8 LOOP
        v_some := '{}';
        v_left := least(p_limit - events, p_locks - locks);
        v_before := cardinality(v_msg_ids);
        FOREACH v_webhook_id IN ARRAY v_webhooks LOOP
            EXIT WHEN cardinality(v_some) >= v_left;
            v_most := least(@extschema@._rule_room(v_room, v_webhook_id),
                            @extschema@._rule_limit_room(v_webhook_id, p_now, p_now, v_webhook_id = ANY (v_resumed), false));
            CONTINUE WHEN v_most = 0;
            SELECT coalesce(array_agg(r.msg_id), '{}') AS msg_ids,
                   coalesce(array_agg(@extschema@._rule_json_count(r.message -> 'queue_id')), '{}') AS queue_ids
            INTO v_read
            FROM pgmq.read(@extschema@._rule_pgmq_queue(v_webhook_id), 60,
                           least(ceil(v_left::numeric / cardinality(v_webhooks))::integer << v_round, v_most)::integer, '{}'::jsonb) r;
            SELECT coalesce(array_agg(l.queue_id), '{}') INTO v_due
            FROM (SELECT q.queue_id
                  FROM unnest(v_read.msg_ids, v_read.queue_ids) AS m (msg_id, queue_id)
                  JOIN @extschema@.rule_webhook_queue q ON q.queue_id = m.queue_id AND q.pgmq_msg_id = m.msg_id
                  WHERE q.webhook_id = v_webhook_id AND q.status = 'pending' AND q.route <> 'publish' AND q.next_retry_at <= p_now
                    AND q.lease_losses < 3
                  ORDER BY q.next_retry_at, q.queue_id
                  LIMIT least(v_left - cardinality(v_some), v_most)
                  FOR UPDATE OF q SKIP LOCKED) l;
            v_some := v_some || v_due;
            v_of := v_of || array_fill(v_webhook_id, ARRAY[cardinality(v_read.msg_ids)]);
            v_msg_ids := v_msg_ids || v_read.msg_ids;
            v_queue_ids := v_queue_ids || v_read.queue_ids;
        END LOOP;
        EXIT WHEN cardinality(v_msg_ids) = v_before;
        SELECT * INTO v_passed FROM @extschema@._rule_due_rows_pass(v_some, p_locks - locks);
        events := events + cardinality(v_passed.rows);
        locks := locks + v_passed.keys + cardinality(v_passed.rows);
        v_some := @extschema@._rule_due_rows_take(p_consumer, v_passed.rows, p_now, p_call);
        ids := ids || v_some;
        v_room := @extschema@._rule_room_left(v_room, v_some);
        v_round := v_round + 1;
    END LOOP;
    PERFORM @extschema@._rule_pgmq_give_back(v_of, v_msg_ids, v_queue_ids, ids);
END
$$;
COMMENT ON FUNCTION @extschema@._rule_pgmq_claim(text, integer, integer, timestamptz, jsonb, integer[], jsonb, bigint) IS
    'Internal: leases due rows for the endpoints whose messages in pgmq are visible, and says how many events it has locked for that, and how many locks that are with their keys.';

CREATE OR REPLACE FUNCTION @extschema@._rule_pgmq_give_back(
    p_webhook_ids integer[], p_msg_ids bigint[], p_queue_ids bigint[], p_taken bigint[])
RETURNS void LANGUAGE plpgsql
AS $$
DECLARE
    v record;
BEGIN
    FOR v IN
        SELECT @extschema@._rule_pgmq_queue(m.webhook_id) AS queue, m.msg_id, coalesce(q.lease_until, q.next_retry_at) AS due
        FROM unnest(p_webhook_ids, p_msg_ids, p_queue_ids) AS m (webhook_id, msg_id, queue_id)
        LEFT JOIN @extschema@.rule_webhook_queue q
            ON q.queue_id = m.queue_id AND q.webhook_id = m.webhook_id AND q.pgmq_msg_id = m.msg_id
               AND q.status IN ('pending', 'processing') AND q.route <> 'publish'
        WHERE q.queue_id IS NULL OR q.queue_id <> ALL (p_taken)
    LOOP
        IF v.due IS NULL THEN
            PERFORM pgmq.delete(v.queue, v.msg_id);
        ELSE
            PERFORM pgmq.set_vt(v.queue, v.msg_id, v.due);
        END IF;
    END LOOP;
END
$$;
COMMENT ON FUNCTION @extschema@._rule_pgmq_give_back(integer[], bigint[], bigint[], bigint[]) IS
    'Internal: makes messages that were read in vain visible when their rows are due, and deletes those without one.';
