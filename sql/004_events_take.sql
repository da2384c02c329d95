-- The receipt of an event is its queue row where there is one, else a row of receipts. Whoever takes it sends.
-- claim and admit both hold the event's lock until they commit, so neither acts on what the other is about to change.

CREATE OR REPLACE FUNCTION @extschema@._rule_events_take(
    p_consumer text, p_webhook_ids integer[], p_message_ids text[], p_streams text[], p_sequences bigint[],
    p_payloads text[], p_overflow boolean[], p_ages_ms bigint[])
RETURNS TABLE (n integer, verdict text, reason text, wait_ms integer, try integer)
LANGUAGE plpgsql
AS $$
#variable_conflict use_column
DECLARE
    v_locked boolean[];
    v_event record;
    v_now timestamptz;
    v_verdicts text[] := array_fill(NULL::text, ARRAY[cardinality(p_webhook_ids)]);
    v_reasons text[] := v_verdicts;
    v_waits integer[] := array_fill(NULL::integer, ARRAY[cardinality(p_webhook_ids)]);
    v_tries integer[] := v_waits;
    v_alone boolean;
    v_aside text;
    v_moved record;
    v_aside_all integer[] := '{}';
    -- Webhooks with limits, and how many of their events may be taken.
    v_limited integer[];
    v_rooms integer[];
    v_room integer;
    -- Since when those count as due that waited at a resume.
    v_due timestamptz[] := array_fill(NULL::timestamptz, ARRAY[cardinality(p_webhook_ids)]);
    v_rows_aside integer[] := '{}';
    v_queue_rows integer[] := '{}';
    v_receipts integer[] := '{}';
    v_new integer[] := '{}';
BEGIN
    -- The second of two copies in one batch waits for what becomes of the first.
    SELECT array_agg(e.first = e.n AND @extschema@._rule_event_lock(e.webhook_id, e.message_id, 0) ORDER BY e.n)
    INTO v_locked
    FROM (SELECT u.*, min(u.n) OVER (PARTITION BY u.webhook_id, u.message_id COLLATE "C") AS first
          FROM unnest(p_webhook_ids, p_message_ids) WITH ORDINALITY AS u (webhook_id, message_id, n)) e;

    v_now := clock_timestamp();
    SELECT l.webhook_ids, l.rooms INTO v_limited, v_rooms FROM @extschema@._rule_limits(p_webhook_ids, p_ages_ms, v_now) l;
    v_alone := EXISTS (SELECT FROM @extschema@.rule_webhook_queue q
                       WHERE q.lease_losses >= 3 AND q.status = 'processing' AND q.leased_by = p_consumer AND q.lease_until > v_now);
    -- One statement, so that an event on its way from the receipts into the queue is seen in one of them. Each look stands
    -- for itself (OFFSET 0), so that no plan reads a table that was short when it was made.
    FOR v_event IN
        SELECT u.n::integer AS n, w.webhook_id, w.enabled, w.held_reason, w.limited, w.resumed_at,
               @extschema@._rule_message_waited(u.age_ms, w.resumed_at, v_now) IS TRUE AS resumed, b.open_until, b.open_ms, b.breaker_state,
               q.queue_id, q.status, q.route, q.lease_until AS q_lease_until, q.next_retry_at, q.order_key IS NOT NULL AS ordered,
               r.state, r.lease_until AS r_lease_until,
               greatest(q.lease_losses + (q.status = 'processing')::integer, r.lease_losses + (r.state = 'leased')::integer) AS losses
        FROM unnest(p_webhook_ids, p_message_ids, p_ages_ms) WITH ORDINALITY AS u (webhook_id, message_id, age_ms, n)
        LEFT JOIN LATERAL (
            SELECT w.webhook_id, w.enabled, w.held_reason, w.resumed_at,
                   w.max_concurrent IS NOT NULL OR w.max_per_second IS NOT NULL AS limited
            FROM @extschema@.rule_webhooks w
            WHERE w.webhook_id = u.webhook_id OFFSET 0) w ON true
        LEFT JOIN LATERAL (
            SELECT q.queue_id, q.status, q.route, q.lease_until, q.next_retry_at, q.lease_losses, q.order_key
            FROM @extschema@.rule_webhook_queue q
            WHERE q.webhook_id = u.webhook_id AND q.message_id = u.message_id AND q.redelivery = 0 OFFSET 0) q ON true
        LEFT JOIN LATERAL (
            SELECT r.state, r.lease_until, r.lease_losses FROM @extschema@.rule_webhook_receipts r
            WHERE r.webhook_id = u.webhook_id AND r.message_id = u.message_id AND r.redelivery = 0 OFFSET 0) r ON true
        LEFT JOIN LATERAL (
            SELECT b.open_until, b.open_ms, b.breaker_state FROM @extschema@.rule_webhook_endpoints b
            WHERE b.webhook_id = u.webhook_id AND b.failing_since IS NOT NULL AND b.breaker_state <> 'closed' OFFSET 0) b ON true
        ORDER BY u.n
    LOOP
        v_room := CASE WHEN v_event.limited OR v_event.resumed THEN v_rooms[array_position(v_limited, v_event.webhook_id)] END;
        IF v_event.resumed THEN
            v_due[v_event.n] := v_event.resumed_at;
        END IF;
        -- What has to wait for long waits in the queue: a stream has few places for what is taken and not settled.
        v_aside := CASE
            WHEN v_event.enabled IS FALSE THEN 'the webhook is disabled'
            WHEN v_event.held_reason IS NOT NULL THEN 'the webhook is held: ' || v_event.held_reason
            WHEN v_event.breaker_state = 'open' AND v_event.open_ms > 4000 AND v_event.open_until > v_now
            THEN 'its endpoint is away'
            WHEN v_event.losses >= 3 THEN 'three leases ran out on it'
            WHEN p_overflow[v_event.n] THEN 'its endpoint is behind'
            WHEN v_room = 0 THEN 'its endpoint is at its limit' END;
        IF v_event.status = 'success' OR v_event.state = 'done' THEN
            v_verdicts[v_event.n] := 'drop';
            v_reasons[v_event.n] := 'delivered already';
        ELSIF v_event.status = 'failed' THEN
            v_verdicts[v_event.n] := 'drop';
            v_reasons[v_event.n] := 'dead letter already';
        ELSIF NOT v_locked[v_event.n] THEN
            v_verdicts[v_event.n] := 'wait';
            -- Workers read this reason, here and below: test/golden/reasons.json.
            v_reasons[v_event.n] := 'another worker is taking it';
            v_waits[v_event.n] := 50;
        ELSIF greatest(v_event.q_lease_until, v_event.r_lease_until) > v_now THEN
            v_verdicts[v_event.n] := 'wait';
            v_reasons[v_event.n] := 'a worker is delivering it';
            -- Who published it again has only to say so; a delivery takes longer.
            v_waits[v_event.n] := CASE WHEN v_event.status = 'processing' AND v_event.route = 'publish' THEN 250
                ELSE @extschema@._rule_wait_ms(greatest(v_event.q_lease_until, v_event.r_lease_until)) END;
        -- Where the queue keeps an order, only the queue sends.
        ELSIF v_event.ordered OR (v_event.status = 'pending' AND v_event.route = 'post' AND v_event.next_retry_at > v_now) THEN
            v_verdicts[v_event.n] := 'queued';
            v_reasons[v_event.n] := 'moved to the queue';
        ELSIF v_alone THEN
            v_verdicts[v_event.n] := 'wait';
            v_reasons[v_event.n] := 'this worker runs an event alone';
            v_waits[v_event.n] := 1000;
        ELSIF v_event.webhook_id IS NULL THEN
            v_verdicts[v_event.n] := 'wait';
            v_reasons[v_event.n] := 'the webhook has just gone';
            v_waits[v_event.n] := 50;
        ELSIF v_aside IS NOT NULL AND v_event.queue_id IS NOT NULL THEN
            v_verdicts[v_event.n] := 'wait';
            v_reasons[v_event.n] := 'another worker is taking it';
            v_waits[v_event.n] := 1000;
            v_rows_aside := v_rows_aside || v_event.n;
        ELSIF v_aside IS NOT NULL AND p_payloads[v_event.n] IS NULL THEN
            v_verdicts[v_event.n] := 'payload';
            v_reasons[v_event.n] := v_aside;
        ELSIF v_aside IS NOT NULL AND v_event.state IS NULL THEN
            v_reasons[v_event.n] := v_aside;
            v_aside_all := v_aside_all || v_event.n;
        ELSIF v_aside IS NOT NULL THEN
            SELECT * INTO v_moved
            FROM @extschema@._rule_event_set_aside(v_event.webhook_id, p_message_ids[v_event.n], p_payloads[v_event.n],
                                                   v_due[v_event.n]);
            v_verdicts[v_event.n] := v_moved.verdict;
            v_reasons[v_event.n] := coalesce(v_moved.reason, v_aside);
            v_waits[v_event.n] := v_moved.wait_ms;
        ELSIF v_room < 0 THEN
            v_verdicts[v_event.n] := 'wait';
            v_reasons[v_event.n] := 'another worker takes up to its endpoint''s limit';
            v_waits[v_event.n] := 50;
        ELSIF v_event.breaker_state IS NOT NULL AND NOT @extschema@._rule_breaker_pass(v_event.webhook_id) THEN
            v_verdicts[v_event.n] := 'wait';
            v_reasons[v_event.n] := 'its endpoint is away';
            v_waits[v_event.n] := @extschema@._rule_wait_ms(v_event.open_until);
        ELSE
            -- What is not taken below changed hands in this moment.
            v_verdicts[v_event.n] := 'wait';
            v_reasons[v_event.n] := 'another worker is taking it';
            v_waits[v_event.n] := 50;
            IF v_room IS NOT NULL THEN
                v_rooms[array_position(v_limited, v_event.webhook_id)] := v_room - 1;
            END IF;
            IF v_event.queue_id IS NOT NULL THEN
                v_queue_rows := v_queue_rows || v_event.n;
            ELSIF v_event.state IS NOT NULL THEN
                v_receipts := v_receipts || v_event.n;
            ELSE
                v_new := v_new || v_event.n;
            END IF;
        END IF;
    END LOOP;

    IF v_aside_all <> '{}' THEN
        FOR v_moved IN
            SELECT * FROM @extschema@._rule_events_set_aside(p_webhook_ids, p_message_ids, p_payloads, v_due, v_aside_all)
        LOOP
            v_verdicts[v_moved.n] := v_moved.verdict;
            v_reasons[v_moved.n] := coalesce(v_moved.reason, v_reasons[v_moved.n]);
            v_waits[v_moved.n] := v_moved.wait_ms;
        END LOOP;
    END IF;

    -- Below, too, each row is looked up by itself, and written to where it was locked.
    IF v_rows_aside <> '{}' THEN
        FOR v_event IN
            WITH mine AS (
                SELECT i AS n, q.place FROM unnest(v_rows_aside) i CROSS JOIN LATERAL (
                    SELECT q.ctid AS place, q.status FROM @extschema@.rule_webhook_queue q
                    WHERE q.webhook_id = p_webhook_ids[i] AND q.message_id = p_message_ids[i] AND q.redelivery = 0
                    FOR UPDATE SKIP LOCKED) q
                WHERE q.status = 'pending')
            UPDATE @extschema@.rule_webhook_queue q
            SET route = 'post', next_retry_at = least(q.next_retry_at, coalesce(v_due[mine.n], v_now)), started_at = v_now
            FROM mine WHERE q.ctid = mine.place RETURNING mine.n
        LOOP
            v_verdicts[v_event.n] := 'queued';
            v_reasons[v_event.n] := 'moved to the queue';
        END LOOP;
    END IF;

    IF v_queue_rows <> '{}' THEN
        FOR v_event IN
            WITH mine AS (
                SELECT i AS n, q.place, @extschema@._rule_lease(w.timeout_ms) AS lease
                FROM unnest(v_queue_rows) i
                CROSS JOIN LATERAL (
                    SELECT w.timeout_ms FROM @extschema@.rule_webhooks w WHERE w.webhook_id = p_webhook_ids[i] OFFSET 0) w
                CROSS JOIN LATERAL (
                    SELECT q.ctid AS place FROM @extschema@.rule_webhook_queue q
                    WHERE q.webhook_id = p_webhook_ids[i] AND q.message_id = p_message_ids[i] AND q.redelivery = 0
                      AND (q.status = 'pending' OR (q.status = 'processing' AND q.lease_until <= v_now))
                    FOR UPDATE SKIP LOCKED) q),
            -- A receipt that a transaction has locked, one that deletes the webhook perhaps, stays: the row comes first anyway.
            old AS (
                SELECT mine.n, r.place FROM mine CROSS JOIN LATERAL (
                    SELECT r.ctid AS place FROM @extschema@.rule_webhook_receipts r
                    WHERE r.webhook_id = p_webhook_ids[mine.n] AND r.message_id = p_message_ids[mine.n] AND r.redelivery = 0
                    FOR UPDATE SKIP LOCKED) r),
            before AS (
                DELETE FROM @extschema@.rule_webhook_receipts r USING old WHERE r.ctid = old.place
                RETURNING old.n, r.retry_count, r.refusals, r.first_tried_at, r.lease_losses)
            UPDATE @extschema@.rule_webhook_queue q
            SET status = 'processing', leased_by = p_consumer, lease_until = v_now + mine.lease, started_at = v_now,
                lease_call = -p_sequences[mine.n],
                retry_count = greatest(q.retry_count, before.retry_count), refusals = greatest(q.refusals, before.refusals),
                first_tried_at = least(q.first_tried_at, before.first_tried_at),
                lease_losses = greatest(q.lease_losses + (q.status = 'processing')::integer, before.lease_losses),
                -- The stream has a copy, so it need not be published again.
                route = CASE q.route WHEN 'publish' THEN 'stream' ELSE q.route END
            FROM mine LEFT JOIN before ON before.n = mine.n
            WHERE q.ctid = mine.place
            RETURNING mine.n, q.retry_count
        LOOP
            v_verdicts[v_event.n] := 'deliver';
            v_tries[v_event.n] := v_event.retry_count + 1;
        END LOOP;
    END IF;

    IF v_receipts <> '{}' THEN
        FOR v_event IN
            WITH mine AS (
                SELECT i AS n, r.place, @extschema@._rule_lease(w.timeout_ms) AS lease
                FROM unnest(v_receipts) i
                CROSS JOIN LATERAL (
                    SELECT w.timeout_ms FROM @extschema@.rule_webhooks w WHERE w.webhook_id = p_webhook_ids[i] OFFSET 0) w
                CROSS JOIN LATERAL (
                    SELECT r.ctid AS place FROM @extschema@.rule_webhook_receipts r
                    WHERE r.webhook_id = p_webhook_ids[i] AND r.message_id = p_message_ids[i] AND r.redelivery = 0
                      AND (r.state = 'waiting' OR (r.state = 'leased' AND r.lease_until <= v_now))
                    FOR UPDATE SKIP LOCKED) r)
            UPDATE @extschema@.rule_webhook_receipts r
            SET state = 'leased', leased_by = p_consumer, lease_until = v_now + mine.lease,
                stream = p_streams[mine.n], sequence = p_sequences[mine.n], taken_at = v_now,
                lease_losses = r.lease_losses + (r.state = 'leased')::integer
            FROM mine WHERE r.ctid = mine.place
            RETURNING mine.n, r.retry_count
        LOOP
            v_verdicts[v_event.n] := 'deliver';
            v_tries[v_event.n] := v_event.retry_count + 1;
        END LOOP;
    END IF;

    FOR v_event IN
        WITH made AS (
            INSERT INTO @extschema@.rule_webhook_receipts
                (webhook_id, message_id, state, leased_by, lease_until, stream, sequence, taken_at)
            SELECT w.webhook_id, p_message_ids[i], 'leased', p_consumer, v_now + @extschema@._rule_lease(w.timeout_ms),
                   p_streams[i], p_sequences[i], v_now
            FROM unnest(v_new) i CROSS JOIN LATERAL (
                SELECT w.webhook_id, w.timeout_ms FROM @extschema@.rule_webhooks w
                WHERE w.webhook_id = p_webhook_ids[i] OFFSET 0) w
            ORDER BY w.webhook_id, p_message_ids[i] COLLATE "C"
            ON CONFLICT DO NOTHING
            RETURNING webhook_id, message_id)
        SELECT i AS n FROM made, unnest(v_new) i
        WHERE made.webhook_id = p_webhook_ids[i] AND made.message_id = p_message_ids[i]
    LOOP
        v_verdicts[v_event.n] := 'deliver';
        v_tries[v_event.n] := 1;
    END LOOP;

    IF v_limited <> '{}' THEN
        PERFORM @extschema@._rule_limits_use(v_limited, p_webhook_ids, p_message_ids, v_verdicts, v_due, v_now);
    END IF;

    RETURN QUERY
    SELECT k.n, v_verdicts[k.n], CASE WHEN v_verdicts[k.n] <> 'deliver' THEN v_reasons[k.n] END,
           CASE WHEN v_verdicts[k.n] = 'wait' THEN v_waits[k.n] END, v_tries[k.n]
    FROM generate_subscripts(v_verdicts, 1) AS k (n);
END
$$;
COMMENT ON FUNCTION @extschema@._rule_events_take(text, integer[], text[], text[], bigint[], text[], boolean[], bigint[]) IS
    'Internal: takes the receipts of stream messages whose transaction committed.';
