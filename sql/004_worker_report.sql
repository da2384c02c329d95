-- What became of each try. Nothing is recorded for a lease that has passed to another worker.

CREATE OR REPLACE FUNCTION @extschema@.rule_worker_report(p_consumer text, p_attempts jsonb)
RETURNS TABLE (ordinal integer, verdict text, wait_ms integer, reason text)
LANGUAGE plpgsql SECURITY DEFINER SET enable_seqscan = off SET jit = off SET plan_cache_mode = force_generic_plan
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    v record;
    v_refused boolean;
    v_refusals integer;
    v_first_tried_at timestamptz;
    v_again boolean;
    v_delay integer;
    v_left_ms double precision;
    -- What was delivered is most of it, and is recorded at once.
    v_receipts tid[] := '{}';
    -- Parallel arrays, one member per delivery.
    v_queue_ids bigint[] := '{}';
    v_well integer[] := '{}'; v_message_ids text[] := '{}'; v_redeliveries integer[] := '{}'; v_tries integer[] := '{}';
    v_paths text[] := '{}'; v_ms_ago double precision[] := '{}'; v_durations double precision[] := '{}';
    v_statuses integer[] := '{}';
    -- And for tries that failed: webhooks, how, and how long ago they began.
    v_ill integer[] := '{}';
    v_ill_statuses integer[] := '{}';
    v_ill_ms_ago double precision[] := '{}';
    v_plain record;
BEGIN
    PERFORM @extschema@._rule_worker_begin(p_consumer, true);
    IF jsonb_typeof(p_attempts) IS DISTINCT FROM 'array' THEN
        PERFORM @extschema@._rule_refuse('the attempts must be a JSON array', 'Give one object per attempt.');
    END IF;
    SELECT * INTO v_plain FROM @extschema@._rule_report_plain(p_consumer, p_attempts);
    IF cardinality(v_plain.ns) = jsonb_array_length(p_attempts) THEN
        RETURN QUERY SELECT p.n, 'done', NULL::integer, NULL::text FROM unnest(v_plain.ns) AS p (n) ORDER BY p.n;
        PERFORM @extschema@._rule_limit_wake(v_plain.webhook_ids);
        PERFORM @extschema@._rule_endpoints_note(v_plain.webhook_ids, v_ill, v_ill_statuses, v_ill_ms_ago);
        RETURN;
    END IF;
    -- For the keys of what has an order.
    PERFORM set_config('rule_engine_order.room', (cardinality(v_plain.ns) - jsonb_array_length(p_attempts))::text, true);
    FOR v IN SELECT * FROM @extschema@._rule_leased(p_consumer, p_attempts) LOOP
        ordinal := v.n;
        wait_ms := NULL;
        reason := NULL;
        IF v.n = ANY (v_plain.ns) THEN
            verdict := 'done';
        ELSIF v.held_in IS NULL THEN
            verdict := 'lost';
            wait_ms := 1000;
            reason := coalesce(v.problem, 'the lease is not this worker''s any more');
        ELSIF NOT v.locked THEN
            -- Asked again at longer and longer intervals, as the try becomes a thing of the past.
            verdict := 'busy';
            wait_ms := least(2000, greatest(100, (v.started_ms_ago - coalesce(v.duration_ms, 0)) / 4));
            reason := 'a transaction that has not ended holds it';
        ELSIF v.result = 'answered' AND v.status BETWEEN 200 AND 299 THEN
            verdict := 'done';
            v_well := v_well || v.webhook_id;
            v_message_ids := v_message_ids || v.message_id;
            v_redeliveries := v_redeliveries || v.redelivery;
            v_tries := v_tries || v.retry_count + 1;
            v_paths := v_paths || v.path;
            v_ms_ago := v_ms_ago || v.started_ms_ago;
            v_durations := array_append(v_durations, v.duration_ms);
            v_statuses := v_statuses || v.status;
            v_queue_ids := array_append(v_queue_ids, v.held_queue_id);
            IF v.held_in = 'receipt' THEN
                v_receipts := v_receipts || v.held_receipt;
            END IF;
        ELSIF v.result = 'published' THEN
            PERFORM @extschema@._rule_queue_row_published(v.held_queue_id);
            verdict := 'done';
        ELSIF v.result = 'released' THEN
            PERFORM @extschema@._rule_event_release(v.held_queue_id, v.path, v.webhook_id, v.message_id, v.redelivery, v.error);
            verdict := 'again';
            wait_ms := 0;
            -- Its worker had to end while the request was under way: a request, and no try of the event.
            IF v.duration_ms > 0 AND v.route IS DISTINCT FROM 'publish' THEN
                INSERT INTO @extschema@.rule_webhook_attempts
                    (webhook_id, message_id, redelivery, try, path, worker, started_at, duration_ms, outcome, error_message)
                VALUES (v.webhook_id, v.message_id, v.redelivery, v.retry_count + 1, v.path, p_consumer,
                        clock_timestamp() - make_interval(secs => v.started_ms_ago / 1000), v.duration_ms, 'again',
                        coalesce(v.error, 'cut off by the end of its worker'));
            END IF;
        ELSIF v.held_in = 'queue row' AND v.route = 'publish' THEN
            -- NATS can never take it, and its endpoint has not been tried.
            PERFORM @extschema@._rule_queue_row_post(v.held_queue_id, v.error);
            verdict := 'queued';
            reason := 'it goes to the endpoint without NATS';
        ELSE
            v_refused := @extschema@._rule_status_refuses(v.status);
            -- Gone is said of the endpoint, not of the event.
            v_refusals := v.refusals + (v_refused AND v.status <> 410)::integer;
            -- No later than this one, whatever a clock said that was set back.
            v_first_tried_at := least(v.first_tried_at, @extschema@._rule_webhook_time(
                clock_timestamp() - make_interval(secs => v.started_ms_ago / 1000), v.paused_since, v.paused_ms));
            v_left_ms := 1000 * extract(epoch FROM v_first_tried_at + v.give_up_after
                                                   - @extschema@._rule_webhook_time(clock_timestamp(), v.paused_since, v.paused_ms));
            v_delay := v.retry_after_ms;
            -- An endpoint that asks for more time than an event has gets a last try at its end.
            IF v_delay > v_left_ms AND NOT v_refused AND v.give_up_after > interval '0' THEN
                v_delay := greatest(0, floor(v_left_ms));
            END IF;
            v_delay := greatest(v_delay,
                @extschema@._rule_retry_delay_ms(v.retry_delay_ms, v.retry_backoff_multiplier, v.retry_count + 1));
            v_again := v.retry_enabled AND CASE
                WHEN v.status = 410 THEN true
                WHEN v.give_up_after = interval '0' THEN v.retry_count < v.max_retries
                WHEN v_refused THEN v.refusals < v.max_retries
                ELSE v_delay <= v_left_ms END;
            verdict := CASE WHEN NOT v_again THEN 'dead'
                            WHEN v.path = 'stream' AND (v_delay > 60000 OR v.status = 410) THEN 'queued'
                            ELSE 'again' END;
            IF v.held_in = 'receipt' AND verdict <> 'again' AND v.payload IS NULL THEN
                reason := CASE verdict WHEN 'dead' THEN 'it becomes a dead letter' ELSE 'it moves to the queue' END;
                verdict := 'payload';
            ELSE
                IF v.held_in = 'receipt' AND verdict <> 'again' THEN
                    SELECT m.verdict, m.wait_ms, m.reason INTO verdict, wait_ms, reason
                    FROM @extschema@._rule_event_move(v.webhook_id, v.message_id, v.redelivery, v.retry_count + 1, v_refusals,
                        v_first_tried_at, v.payload, verdict, v_delay, v.status, v.error, v.answer) m;
                    PERFORM @extschema@._rule_event_trace(v.webhook_id, v.message_id, v.redelivery, p_attempts -> (v.n - 1) ->> 'traceparent');
                ELSE
                    PERFORM @extschema@._rule_event_fail(v.held_queue_id, v.path, v.webhook_id, v.message_id, v.redelivery,
                        v.retry_count + 1, v_refusals, v_first_tried_at, verdict, v_delay, v.status, v.error, v.answer);
                    wait_ms := CASE verdict WHEN 'again' THEN v_delay END;
                END IF;
                v_ill := v_ill || v.webhook_id;
                v_ill_statuses := array_append(v_ill_statuses, v.status);
                v_ill_ms_ago := v_ill_ms_ago || v.started_ms_ago;
                INSERT INTO @extschema@.rule_webhook_attempts
                    (webhook_id, message_id, redelivery, try, path, worker, started_at, duration_ms, status, outcome,
                     error_message, answer)
                VALUES (v.webhook_id, v.message_id, v.redelivery, v.retry_count + 1, v.path, p_consumer,
                        clock_timestamp() - make_interval(secs => v.started_ms_ago / 1000), v.duration_ms, v.status,
                        CASE verdict WHEN 'dead' THEN 'dead' ELSE 'again' END, v.error, v.answer);
            END IF;
        END IF;
        RETURN NEXT;
    END LOOP;
    IF v_well <> '{}' THEN
        PERFORM @extschema@._rule_events_delivered(p_consumer, v_receipts, v_queue_ids, v_well, v_message_ids, v_redeliveries,
                                                   v_tries, v_paths, v_ms_ago, v_durations, v_statuses);
    END IF;
    PERFORM @extschema@._rule_limit_wake(v_plain.webhook_ids || v_well || v_ill);
    PERFORM @extschema@._rule_endpoints_note(v_plain.webhook_ids || v_well, v_ill, v_ill_statuses, v_ill_ms_ago);
END
$$;
COMMENT ON FUNCTION @extschema@.rule_worker_report(text, jsonb) IS
    'For workers: records what became of each try and says what follows. Verdicts: done, again, queued, dead, payload, lost, and busy: report it again after wait_ms, and hold on to the lease.';
