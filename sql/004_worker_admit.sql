-- Stream messages: whose each is, what became of its transaction, and who may send it.

CREATE OR REPLACE FUNCTION @extschema@.rule_worker_admit(p_consumer text, p_messages jsonb)
RETURNS TABLE (ordinal integer, verdict text, reason text, wait_ms integer, try integer)
LANGUAGE plpgsql SECURITY DEFINER SET enable_seqscan = off SET jit = off SET plan_cache_mode = force_generic_plan
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    v_source_id text;
    v_fates text[];
    -- Parallel arrays, one member per message.
    v_webhook_ids integer[]; v_message_ids text[]; v_sources text[]; v_transactions xid8[]; v_streams text[];
    v_sequences bigint[]; v_ages bigint[]; v_payloads text[]; v_problems text[]; v_overflow boolean[];
    v_verdicts text[]; v_reasons text[]; v_waits integer[]; v_tries integer[];
    v_room integer;
    v_plain integer[];
    v_candidates integer[] := '{}';
    v_known boolean[];
    v_open integer;
    v_i integer;
    v_taken record;
BEGIN
    PERFORM @extschema@._rule_worker_begin(p_consumer, true);
    IF jsonb_typeof(p_messages) IS DISTINCT FROM 'array' THEN
        PERFORM @extschema@._rule_refuse('the messages must be a JSON array', 'Give one object per stream message.');
    END IF;
    v_room := @extschema@._rule_event_locks_room(least(500, jsonb_array_length(p_messages)), true);
    v_plain := @extschema@._rule_admit_plain(p_consumer, p_messages, v_room);
    IF cardinality(v_plain) = jsonb_array_length(p_messages) THEN
        RETURN QUERY SELECT p.n, 'deliver', NULL::text, NULL::integer, 1 FROM unnest(v_plain) AS p (n) ORDER BY p.n;
        RETURN;
    END IF;
    SELECT array_agg(m.webhook_id), array_agg(m.message_id), array_agg(m.source_id), array_agg(m.transaction),
           array_agg(m.stream), array_agg(m.sequence), array_agg(m.age_ms), array_agg(m.payload), array_agg(m.problem),
           array_agg(m.overflow)
    INTO v_webhook_ids, v_message_ids, v_sources, v_transactions, v_streams, v_sequences, v_ages, v_payloads, v_problems, v_overflow
    FROM (SELECT * FROM @extschema@._rule_worker_messages(p_messages) m ORDER BY m.n) m;
    v_verdicts := array_fill(NULL::text, ARRAY[cardinality(v_problems)]);
    v_reasons := v_verdicts;
    v_waits := array_fill(NULL::integer, ARRAY[cardinality(v_problems)]);
    v_tries := v_waits;
    FOREACH v_i IN ARRAY v_plain LOOP
        v_verdicts[v_i] := 'deliver';
        v_tries[v_i] := 1;
    END LOOP;
    v_source_id := (@extschema@._rule_source()).source_id::text;

    -- Another database's event is none of our business, whatever else is wrong with it.
    FOR i IN 1 .. cardinality(v_problems) LOOP
        IF v_sources[i] ~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' AND v_sources[i] <> v_source_id THEN
            v_verdicts[i] := 'not ours';
            v_reasons[i] := format('the message is from source %s, this database is %s', v_sources[i], v_source_id);
            v_waits[i] := 60000;
        END IF;
    END LOOP;

    IF p_messages @? '$[*] ? (@.repeated == true)' THEN
        FOR v_taken IN
            SELECT b.* FROM @extschema@._rule_admitted_before(p_consumer, p_messages, v_room) b WHERE v_verdicts[b.n] IS NULL
        LOOP
            v_verdicts[v_taken.n] := CASE WHEN v_taken.try IS NULL THEN 'wait' ELSE 'deliver' END;
            -- Workers read this reason: test/golden/reasons.json.
            v_reasons[v_taken.n] := CASE WHEN v_taken.try IS NULL THEN 'another worker is taking it' END;
            v_waits[v_taken.n] := CASE WHEN v_taken.try IS NULL THEN 50 END;
            v_tries[v_taken.n] := v_taken.try;
        END LOOP;
    END IF;

    -- The transaction comes before the webhook: it may be the one that registers it.
    SELECT @extschema@._rule_event_fates(
        array_agg(CASE WHEN v_verdicts[i] IS NULL AND v_problems[i] IS NULL THEN v_webhook_ids[i] END ORDER BY i),
        v_message_ids, v_transactions, v_ages)
    INTO v_fates FROM generate_subscripts(v_problems, 1) i;
    v_open := cardinality(array_positions(v_fates, 'in progress'));
    SELECT array_agg((SELECT true FROM @extschema@.rule_webhooks w WHERE w.webhook_id = e.webhook_id LIMIT 1) ORDER BY e.n)
    INTO v_known FROM unnest(v_webhook_ids) WITH ORDINALITY AS e (webhook_id, n);

    FOR i IN 1 .. cardinality(v_problems) LOOP
        CONTINUE WHEN v_verdicts[i] IS NOT NULL;
        IF v_problems[i] IS NULL AND v_fates[i] = 'rolled back' THEN
            v_verdicts[i] := 'drop';
            v_reasons[i] := 'rolled back';
        ELSIF v_problems[i] IS NULL AND v_fates[i] = 'of a copy' THEN
            v_verdicts[i] := 'not ours';
            v_reasons[i] := format('transaction %s is of another server with this source id; SELECT rule_engine_source_renew() in the one that is a copy',
                                   v_transactions[i]);
            v_waits[i] := 60000;
        ELSIF v_problems[i] IS NULL AND v_fates[i] = 'in progress' THEN
            v_verdicts[i] := 'wait';
            -- Workers read this reason, too.
            v_reasons[i] := 'its transaction is in progress';
            -- The many of a large transaction must not keep everybody busy with asking.
            v_waits[i] := least(CASE WHEN v_open < 100 THEN 5000 ELSE 30000 END, greatest(10 * v_open, v_ages[i] / 4));
            -- A stream has few places for what is taken and not settled. What was read ahead has none.
            IF (v_ages[i] >= 60000 OR p_messages -> (i - 1) -> 'crowded' = 'true')
               AND p_messages -> (i - 1) -> 'early' IS DISTINCT FROM 'true' THEN
                IF i > v_room THEN
                    v_reasons[i] := 'too many at once';
                    v_waits[i] := 250;
                -- Of two that keep it the second would wait for the first one's commit, and with it all of its batch.
                ELSIF NOT @extschema@._rule_event_lock(v_webhook_ids[i], v_message_ids[i], 0) THEN
                    v_reasons[i] := 'another worker is taking it';
                    v_waits[i] := 50;
                ELSE
                    v_verdicts[i] := @extschema@._rule_open_event_keep(v_webhook_ids[i], v_message_ids[i], v_transactions[i],
                        v_streams[i], v_sequences[i], v_ages[i], v_payloads[i], p_messages -> (i - 1) ->> 'traceparent');
                    v_waits[i] := CASE v_verdicts[i] WHEN 'wait' THEN v_waits[i] END;
                END IF;
            END IF;
        ELSIF v_problems[i] IS NOT NULL OR v_known[i] IS NULL THEN
            v_problems[i] := coalesce(v_problems[i], 'no such webhook: ' || v_webhook_ids[i]);
            IF v_payloads[i] IS NULL THEN
                v_verdicts[i] := 'payload';
                v_reasons[i] := v_problems[i];
            ELSE
                PERFORM @extschema@._rule_stranger_keep(
                    v_message_ids[i], v_streams[i], v_sequences[i],
                    -- Asked once more, it may have waited for Postgres, and has been of this age ever since.
                    CASE WHEN p_messages -> (i - 1) -> 'repeated' IS DISTINCT FROM 'true' THEN v_ages[i] END,
                    v_payloads[i], v_problems[i]);
                v_verdicts[i] := 'drop';
                v_reasons[i] := 'dead letter: ' || v_problems[i];
            END IF;
        ELSIF i > v_room THEN
            v_verdicts[i] := 'wait';
            -- Workers read this reason: test/golden/reasons.json.
            v_reasons[i] := 'too many at once';
            v_waits[i] := 250;
        ELSE
            v_candidates := v_candidates || i;
        END IF;
    END LOOP;

    IF v_candidates <> '{}' THEN
        FOR v_taken IN
            SELECT t.* FROM (
                SELECT array_agg(v_webhook_ids[c.i]) AS webhook_ids, array_agg(v_message_ids[c.i]) AS message_ids,
                       array_agg(v_streams[c.i]) AS streams, array_agg(v_sequences[c.i]) AS sequences,
                       array_agg(v_payloads[c.i]) AS payloads, array_agg(v_overflow[c.i]) AS overflow, array_agg(v_ages[c.i]) AS ages
                FROM (SELECT c.i FROM unnest(v_candidates) WITH ORDINALITY AS c (i, k) ORDER BY c.k) c) c
            CROSS JOIN LATERAL @extschema@._rule_events_take(p_consumer, c.webhook_ids, c.message_ids, c.streams,
                                                             c.sequences, c.payloads, c.overflow, c.ages) t
        LOOP
            v_verdicts[v_candidates[v_taken.n]] := v_taken.verdict;
            v_reasons[v_candidates[v_taken.n]] := v_taken.reason;
            v_waits[v_candidates[v_taken.n]] := v_taken.wait_ms;
            v_tries[v_candidates[v_taken.n]] := v_taken.try;
        END LOOP;
    END IF;

    PERFORM @extschema@._rule_event_trace(v_webhook_ids[i], v_message_ids[i], 0, p_messages -> (i - 1) ->> 'traceparent')
    FROM unnest(v_candidates) i WHERE v_verdicts[i] = 'queued';

    PERFORM @extschema@._rule_drops_note(p_consumer, v_webhook_ids, v_message_ids, v_transactions, v_streams, v_sequences, (
        -- A message that was read ahead comes again.
        SELECT array_agg(CASE WHEN v_verdicts[i] = 'drop' AND p_messages -> (i - 1) -> 'early' IS DISTINCT FROM 'true'
                              THEN v_reasons[i] END ORDER BY i)
        FROM generate_subscripts(v_verdicts, 1) i));

    RETURN QUERY SELECT * FROM unnest(array(SELECT generate_subscripts(v_verdicts, 1)), v_verdicts, v_reasons, v_waits, v_tries);
END
$$;
COMMENT ON FUNCTION @extschema@.rule_worker_admit(text, jsonb) IS
    'For workers: one verdict per stream message, and the lease of those to deliver. Verdicts: deliver, wait, drop, payload, queued, not ours.';

CREATE OR REPLACE FUNCTION @extschema@._rule_drops_note(
    p_consumer text, p_webhook_ids integer[], p_message_ids text[], p_transactions xid8[], p_streams text[], p_sequences bigint[],
    p_reasons text[])
RETURNS void LANGUAGE plpgsql
AS $$
BEGIN
    INSERT INTO @extschema@.rule_webhook_drops (webhook_id, message_id, transaction, reason, worker)
    SELECT p_webhook_ids[i], p_message_ids[i], p_transactions[i], p_reasons[i], p_consumer
    FROM generate_subscripts(p_reasons, 1) i
    WHERE p_reasons[i] IS NOT NULL
      -- The very message that was delivered is no second copy: its ack was lost, or it was read ahead.
      AND NOT EXISTS (SELECT FROM @extschema@.rule_webhook_receipts r
                      WHERE r.webhook_id = p_webhook_ids[i] AND r.message_id = p_message_ids[i] AND r.redelivery = 0
                        AND r.state = 'done' AND r.stream = p_streams[i] AND r.sequence = p_sequences[i])
      AND NOT EXISTS (SELECT FROM @extschema@.rule_webhook_queue q
                      WHERE q.webhook_id = p_webhook_ids[i] AND q.message_id = p_message_ids[i] AND q.redelivery = 0
                        AND q.lease_call = -p_sequences[i])
    ORDER BY i;
END
$$;
COMMENT ON FUNCTION @extschema@._rule_drops_note(text, integer[], text[], xid8[], text[], bigint[], text[]) IS
    'Internal: records what is left out of a stream, where there is a reason.';
