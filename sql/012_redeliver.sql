-- Sending again what has ended: another row of the same event, with the same message id, whose number no receipt of the
-- first delivery swallows.

CREATE OR REPLACE FUNCTION @extschema@._rule_redeliver_row(p_queue_id bigint)
RETURNS integer LANGUAGE plpgsql
AS $$
DECLARE
    v_row record;
BEGIN
    SELECT q.webhook_id, q.status, q.payload IS NULL AS of_bytes, q.redelivered_at INTO v_row
    FROM @extschema@.rule_webhook_queue q WHERE q.queue_id = p_queue_id FOR UPDATE;
    IF NOT FOUND THEN
        PERFORM @extschema@._rule_refuse(format('call %s does not exist', p_queue_id),
            'Give a queue_id, such as one in rule_webhook_dead_letters.', '42704');
    ELSIF v_row.webhook_id IS NULL OR v_row.of_bytes THEN
        PERFORM @extschema@._rule_refuse(format('call %s cannot be delivered', p_queue_id),
            'It came from the stream, belongs to no webhook or is no JSON, and was never sent.', '55000');
    ELSIF v_row.redelivered_at IS NOT NULL THEN
        RETURN 0;
    ELSIF v_row.status NOT IN ('success', 'failed') THEN
        PERFORM @extschema@._rule_refuse(format('call %s has not ended', p_queue_id),
            'It is still to be delivered; rule_webhook_retry() makes it wait no longer.', '55000');
    END IF;
    RETURN @extschema@._rule_redeliver_rows(ARRAY[p_queue_id], false);
END
$$;
COMMENT ON FUNCTION @extschema@._rule_redeliver_row(bigint) IS
    'Internal: redelivers one row of the queue.';

CREATE OR REPLACE FUNCTION @extschema@._rule_redeliver_rows(
    p_rows bigint[], p_paced boolean, p_redelivered_before timestamptz DEFAULT NULL)
RETURNS integer LANGUAGE plpgsql
AS $$
DECLARE
    v_rows integer;
BEGIN
    WITH old AS (
        UPDATE @extschema@.rule_webhook_queue q SET redelivered_at = clock_timestamp()
        WHERE q.queue_id = ANY (p_rows) AND q.status IN ('success', 'failed')
          AND (q.redelivered_at IS NULL OR q.redelivered_at < p_redelivered_before)
        RETURNING q.queue_id, q.webhook_id, q.message_id, q.payload, q.rule_name, q.traceparent, q.order_key, q.order_place,
                  coalesce(q.first_accepted_at, q.created_at) AS first_accepted_at)
    INSERT INTO @extschema@.rule_webhook_queue
        (webhook_id, message_id, redelivery, payload, rule_name, traceparent, order_key, order_place, first_accepted_at, paced, next_retry_at,
         created_at)
    SELECT o.webhook_id, o.message_id,
           (SELECT max(n.redelivery) + 1 FROM @extschema@.rule_webhook_queue n
            WHERE n.webhook_id = o.webhook_id AND n.message_id = o.message_id),
           o.payload, o.rule_name, o.traceparent, o.order_key,
           CASE WHEN o.order_key IS NOT NULL THEN coalesce(o.order_place, o.queue_id) END,
           o.first_accepted_at, p_paced, statement_timestamp(), clock_timestamp()
    FROM old o ORDER BY o.queue_id
    ON CONFLICT DO NOTHING;
    GET DIAGNOSTICS v_rows = ROW_COUNT;
    RETURN v_rows;
END
$$;
COMMENT ON FUNCTION @extschema@._rule_redeliver_rows(bigint[], boolean, timestamptz) IS
    'Internal: makes the rows of redeliveries, in the order in which they are to go, at the rate of their webhook where p_paced.';

CREATE OR REPLACE FUNCTION @extschema@._rule_redeliver_published(
    p_webhook_id integer, p_from timestamptz, p_to timestamptz, p_limit integer)
RETURNS integer LANGUAGE plpgsql
AS $$
DECLARE
    v_rows integer;
    v_receipts_since timestamptz := clock_timestamp() - (
        SELECT k.keep FROM @extschema@.rule_engine_retention k WHERE k.table_name = 'rule_webhook_receipts');
BEGIN
    INSERT INTO @extschema@.rule_webhook_queue (webhook_id, message_id, redelivery, payload, first_accepted_at, paced, next_retry_at, created_at)
    SELECT p_webhook_id, e.message_id, 1, e.payload, e.published_at, true, statement_timestamp(), clock_timestamp()
    FROM (SELECT DISTINCT ON (h.message_id) h.message_id, h.payload, h.published_at
          FROM @extschema@.rule_nats_publish_history h
          WHERE h.webhook_id = p_webhook_id AND h.published_at >= p_from AND h.published_at < p_to AND h.payload IS NOT NULL
            -- The row is the event's, or one of its redeliveries.
            AND NOT EXISTS (SELECT FROM @extschema@.rule_webhook_queue q
                            WHERE q.webhook_id = h.webhook_id AND q.message_id = h.message_id)
            AND coalesce(
                (SELECT r.state = 'done' FROM @extschema@.rule_webhook_receipts r
                 WHERE r.webhook_id = h.webhook_id AND r.message_id = h.message_id AND r.redelivery = 0),
                -- Without a receipt it is on its way, unless that may be gone, or no stream has the event.
                h.published_at <= v_receipts_since
                OR NOT EXISTS (SELECT FROM @extschema@.rule_nats_publish_history p
                               WHERE p.webhook_id = h.webhook_id AND p.message_id = h.message_id AND (p.success OR p.unknown)))
          ORDER BY h.message_id, h.published_at) e
    ORDER BY e.published_at, e.message_id LIMIT p_limit
    ON CONFLICT DO NOTHING;
    GET DIAGNOSTICS v_rows = ROW_COUNT;
    RETURN v_rows;
END
$$;
COMMENT ON FUNCTION @extschema@._rule_redeliver_published(integer, timestamptz, timestamptz, integer) IS
    'Internal: redelivers events that have no row in the queue, from the history of publishes.';

CREATE OR REPLACE FUNCTION @extschema@.rule_webhook_redeliver(
    p_queue_id bigint DEFAULT NULL, p_webhook_id integer DEFAULT NULL, p_from timestamptz DEFAULT NULL,
    p_to timestamptz DEFAULT NULL, p_per_second integer DEFAULT 100, p_redelivered_before timestamptz DEFAULT NULL)
RETURNS integer LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    -- More would make the transaction long. The next call goes on.
    c_most CONSTANT integer := 10000;
    v_range boolean := p_from IS NOT NULL OR p_to IS NOT NULL;
    v_from timestamptz := coalesce(p_from, '-infinity');
    v_to timestamptz := coalesce(p_to, 'infinity');
    v_rows bigint[];
    v_made integer;
BEGIN
    IF (p_queue_id IS NULL) = (p_webhook_id IS NULL) OR (p_queue_id IS NOT NULL AND v_range) THEN
        PERFORM @extschema@._rule_refuse('say one row, or one webhook',
            'Give p_queue_id alone; or p_webhook_id for its dead letters, with p_from, p_to or both for all events of that time.');
    ELSIF p_from >= p_to THEN
        PERFORM @extschema@._rule_refuse('p_from must be before p_to', 'Give the time from which on and up to which events are to go again.');
    ELSIF p_redelivered_before IS NOT NULL AND NOT v_range THEN
        PERFORM @extschema@._rule_refuse('p_redelivered_before goes with a time', 'Give p_from, p_to or both beside it; a dead letter can go again whenever it is one.');
    ELSIF p_redelivered_before > clock_timestamp() THEN
        PERFORM @extschema@._rule_refuse('p_redelivered_before lies in the future',
            'Give when this redelivery began, the same in each call: what was redelivered since then does not go again.');
    END IF;
    PERFORM @extschema@._rule_check_range(p_per_second, 1, 1000000, 'p_per_second');
    IF p_queue_id IS NOT NULL THEN
        RETURN @extschema@._rule_redeliver_row(p_queue_id);
    END IF;
    -- Until the commit, so that nobody takes the rate for one that has nothing left.
    PERFORM FROM @extschema@.rule_webhooks w WHERE w.webhook_id = p_webhook_id FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        PERFORM @extschema@._rule_no_such_webhook(p_webhook_id);
    END IF;
    UPDATE @extschema@.rule_webhooks w SET redeliver_per_second = p_per_second
    WHERE w.webhook_id = p_webhook_id AND w.redeliver_per_second IS DISTINCT FROM p_per_second;
    v_rows := ARRAY(
        SELECT q.queue_id FROM @extschema@.rule_webhook_queue q
        WHERE q.webhook_id = p_webhook_id AND q.payload IS NOT NULL
          AND (q.status = 'failed' OR (v_range AND q.status = 'success'))
          AND (v_range OR q.redelivered_at IS NULL)
          AND (NOT v_range OR (
              coalesce(q.first_accepted_at, q.created_at) >= v_from AND coalesce(q.first_accepted_at, q.created_at) < v_to
              -- The events themselves, once, or what ended as their last redelivery and was made before the time that was named:
              -- what this function makes is younger, and would go round for ever.
              AND ((q.redelivery = 0 AND q.redelivered_at IS NULL)
                   OR (greatest(q.redelivered_at, CASE WHEN q.redelivery > 0 THEN q.created_at END) < p_redelivered_before
                       AND NOT EXISTS (SELECT FROM @extschema@.rule_webhook_queue n
                                       WHERE n.webhook_id = q.webhook_id AND n.message_id = q.message_id AND n.redelivery > q.redelivery)))))
        ORDER BY q.queue_id LIMIT c_most FOR UPDATE OF q SKIP LOCKED);
    v_made := @extschema@._rule_redeliver_rows(v_rows, true, p_redelivered_before);
    IF v_range AND v_made < c_most THEN
        v_made := v_made + @extschema@._rule_redeliver_published(p_webhook_id, v_from, v_to, c_most - v_made);
    END IF;
    RETURN v_made;
END
$$;
COMMENT ON FUNCTION @extschema@.rule_webhook_redeliver(bigint, integer, timestamptz, timestamptz, integer, timestamptz) IS
    'Delivers again, under the same message id: one row of the queue that has ended; the dead letters of a webhook; or all its events that were accepted in a time and were delivered, are dead letters or reached no stream, whose payload was kept, and not what is still on its way. Workers take them at so many a second, by the latest call for the webhook, but for the one row, which goes at once. Returns how many events that sets going, at most 10000: call it until that is 0. None is sent twice by calling it again; p_redelivered_before makes what was redelivered of that time before then go once more.';
