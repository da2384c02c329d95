-- Events whose transaction stays open: out of the stream, and into the queue once it has committed. What is here was seen in
-- progress when it came, and its transaction had its id before: as long as the row is there no crash gives that id again.

CREATE OR REPLACE FUNCTION @extschema@._rule_transaction_top(p_transaction xid8)
RETURNS xid8 LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'rule_transaction_top';
COMMENT ON FUNCTION @extschema@._rule_transaction_top(xid8) IS
    'Internal: the transaction of which a subtransaction that is in progress is a part; any other id as it is.';

CREATE OR REPLACE FUNCTION @extschema@._rule_open_event_keep(
    p_webhook_id integer, p_message_id text, p_transaction xid8, p_stream text, p_sequence bigint, p_age_ms bigint,
    p_base64 text, p_traceparent text)
RETURNS text LANGUAGE plpgsql
AS $$
DECLARE
    v_bytes bytea;
BEGIN
    -- An ack that was lost brings the same message again.
    IF EXISTS (SELECT FROM @extschema@.rule_webhook_open_events o
               WHERE o.webhook_id = p_webhook_id AND o.message_id = p_message_id AND o.transaction = p_transaction) THEN
        RETURN 'queued';
    ELSIF p_base64 IS NULL THEN
        RETURN 'payload';
    END IF;
    v_bytes := @extschema@._rule_payload_bytes(p_base64);
    IF @extschema@._rule_payload_json(v_bytes) IS NULL THEN
        -- What the queue cannot send waits in the stream, for as long as it lasts.
        RETURN 'wait';
    END IF;
    INSERT INTO @extschema@.rule_webhook_open_events
        (webhook_id, message_id, transaction, top_transaction, stream, sequence, published_at, payload, traceparent)
    VALUES (p_webhook_id, p_message_id, p_transaction, @extschema@._rule_transaction_top(p_transaction), p_stream, p_sequence,
            clock_timestamp() - make_interval(secs => least(p_age_ms, 1000000000000) / 1000.0), v_bytes, p_traceparent)
    ON CONFLICT DO NOTHING;
    RETURN 'queued';
END
$$;
COMMENT ON FUNCTION @extschema@._rule_open_event_keep(integer, text, xid8, text, bigint, bigint, text, text) IS
    'Internal: keeps an event of a transaction in progress outside the stream, and says what is to become of its message.';

-- Never before their transaction has ended. Then a row of history is there or will never be: that of a dump knows no more of
-- what was open than this, whatever its number means in the database that it was restored into.
CREATE OR REPLACE FUNCTION @extschema@._rule_open_events_committed(
    p_webhook_ids integer[], p_message_ids text[], p_transactions xid8[], p_ages_ms bigint[])
RETURNS boolean[] LANGUAGE plpgsql
AS $$
DECLARE
    v_committed boolean[] := @extschema@._rule_events_recorded(p_webhook_ids, p_message_ids, p_transactions, p_ages_ms);
    -- What is older may have had a row.
    v_cleaned_ms double precision := (SELECT CASE WHEN isfinite(s.history_kept_since) AND s.adopted_at = '-infinity'
                                                  THEN 1000 * extract(epoch FROM clock_timestamp() - s.history_kept_since) END
                                      FROM @extschema@.rule_engine_source s);
BEGIN
    FOR i IN 1 .. cardinality(v_committed) LOOP
        IF v_committed[i] IS NULL THEN
            v_committed[i] := p_ages_ms[i] > v_cleaned_ms
                AND coalesce(@extschema@._rule_transaction_status(p_transactions[i]), 'committed') = 'committed';
        END IF;
    END LOOP;
    RETURN v_committed;
END
$$;
COMMENT ON FUNCTION @extschema@._rule_open_events_committed(integer[], text[], xid8[], bigint[]) IS
    'Internal: which events were committed by their transactions, which have ended.';

CREATE OR REPLACE FUNCTION @extschema@._rule_open_events_move(
    p_consumer text, p_top_transaction xid8, p_limit integer, OUT moved integer, OUT hindered boolean)
LANGUAGE plpgsql
AS $$
DECLARE
    v_now timestamptz := clock_timestamp();
    -- Parallel arrays, one member per event.
    v_places tid[]; v_webhook_ids integer[]; v_message_ids text[]; v_transactions xid8[]; v_streams text[]; v_sequences bigint[];
    v_ages bigint[]; v_payloads text[]; v_traceparents text[]; v_committed boolean[]; v_known boolean[];
    v_verdicts text[];
    v_reasons text[];
    v_candidates integer[] := '{}';
    v_taken record;
BEGIN
    SELECT array_agg(k.place ORDER BY k.n), array_agg(k.webhook_id ORDER BY k.n), array_agg(k.message_id ORDER BY k.n),
           array_agg(k.transaction ORDER BY k.n), array_agg(k.stream ORDER BY k.n), array_agg(k.sequence ORDER BY k.n),
           array_agg(greatest(0, 1000 * extract(epoch FROM v_now - k.published_at))::bigint ORDER BY k.n),
           array_agg(encode(k.payload, 'base64') ORDER BY k.n), array_agg(k.traceparent ORDER BY k.n)
    INTO v_places, v_webhook_ids, v_message_ids, v_transactions, v_streams, v_sequences, v_ages, v_payloads, v_traceparents
    FROM (SELECT l.*, row_number() OVER w AS n, sum(octet_length(l.payload)) OVER w AS bytes
          FROM (SELECT o.ctid AS place, o.* FROM @extschema@.rule_webhook_open_events o
                -- None is put off for so long: the clock was set back.
                WHERE o.top_transaction = p_top_transaction AND (o.look_at <= v_now OR o.look_at > v_now + interval '1 minute')
                ORDER BY o.look_at LIMIT p_limit FOR UPDATE SKIP LOCKED) l
          WINDOW w AS (ORDER BY l.look_at ROWS UNBOUNDED PRECEDING)) k
    WHERE k.n = 1 OR k.bytes <= 8 * 1024 * 1024;
    moved := coalesce(cardinality(v_places), 0);
    hindered := false;
    IF moved = 0 THEN
        RETURN;
    END IF;
    v_committed := @extschema@._rule_open_events_committed(v_webhook_ids, v_message_ids, v_transactions, v_ages);
    SELECT array_agg((SELECT true FROM @extschema@.rule_webhooks w WHERE w.webhook_id = e.webhook_id LIMIT 1) ORDER BY e.n)
    INTO v_known FROM unnest(v_webhook_ids) WITH ORDINALITY AS e (webhook_id, n);
    v_verdicts := array_fill('drop'::text, ARRAY[moved]);
    v_reasons := array_fill('rolled back'::text, ARRAY[moved]);
    FOR i IN 1 .. moved LOOP
        IF v_committed[i] AND v_known[i] THEN
            v_candidates := v_candidates || i;
        ELSIF v_committed[i] THEN
            v_reasons[i] := 'no such webhook: ' || v_webhook_ids[i];
            PERFORM @extschema@._rule_stranger_keep(v_message_ids[i], v_streams[i], v_sequences[i], v_ages[i], v_payloads[i], v_reasons[i]);
            v_reasons[i] := 'dead letter: ' || v_reasons[i];
        END IF;
    END LOOP;
    -- As messages of which a worker has more than it takes.
    FOR v_taken IN
        SELECT t.* FROM (
            SELECT array_agg(v_webhook_ids[c.i] ORDER BY c.k) AS webhook_ids,
                   array_agg(v_message_ids[c.i] ORDER BY c.k) AS message_ids, array_agg(v_streams[c.i] ORDER BY c.k) AS streams,
                   array_agg(v_sequences[c.i] ORDER BY c.k) AS sequences, array_agg(v_payloads[c.i] ORDER BY c.k) AS payloads,
                   array_agg(true) AS overflow, array_agg(v_ages[c.i] ORDER BY c.k) AS ages
            FROM unnest(v_candidates) WITH ORDINALITY AS c (i, k) HAVING count(*) > 0) c
        CROSS JOIN LATERAL @extschema@._rule_events_take(p_consumer, c.webhook_ids, c.message_ids, c.streams, c.sequences,
                                                         c.payloads, c.overflow, c.ages) t
    LOOP
        v_verdicts[v_candidates[v_taken.n]] := v_taken.verdict;
        v_reasons[v_candidates[v_taken.n]] := v_taken.reason;
    END LOOP;
    PERFORM @extschema@._rule_event_trace(v_webhook_ids[i], v_message_ids[i], 0, v_traceparents[i])
    FROM generate_subscripts(v_verdicts, 1) i WHERE v_verdicts[i] = 'queued';
    PERFORM @extschema@._rule_drops_note(p_consumer, v_webhook_ids, v_message_ids, v_transactions, v_streams, v_sequences,
        (SELECT array_agg(CASE WHEN v_verdicts[i] = 'drop' THEN v_reasons[i] END ORDER BY i) FROM generate_subscripts(v_verdicts, 1) i));
    DELETE FROM @extschema@.rule_webhook_open_events o
    WHERE o.ctid = ANY (ARRAY(SELECT v_places[i] FROM generate_subscripts(v_verdicts, 1) i WHERE v_verdicts[i] IN ('drop', 'queued')));
    UPDATE @extschema@.rule_webhook_open_events o SET look_at = clock_timestamp() + interval '5 seconds'
    WHERE o.ctid = ANY (ARRAY(SELECT v_places[i] FROM generate_subscripts(v_verdicts, 1) i WHERE v_verdicts[i] NOT IN ('drop', 'queued')));
    hindered := FOUND;
END
$$;
COMMENT ON FUNCTION @extschema@._rule_open_events_move(text, xid8, integer) IS
    'Internal: moves some events of a transaction that has ended into the queue, or drops them, as admit would; says of how many, and whether something was in the way of any.';

CREATE OR REPLACE FUNCTION @extschema@._rule_open_transactions_ended()
RETURNS SETOF xid8 LANGUAGE sql VOLATILE
AS $$
    WITH RECURSIVE open AS (
        (SELECT o.top_transaction FROM @extschema@.rule_webhook_open_events o ORDER BY o.top_transaction LIMIT 1)
        UNION ALL
        SELECT (SELECT o.top_transaction FROM @extschema@.rule_webhook_open_events o
                WHERE o.top_transaction > p.top_transaction ORDER BY o.top_transaction LIMIT 1)
        FROM open p WHERE p.top_transaction IS NOT NULL)
    SELECT p.top_transaction FROM open p
    WHERE p.top_transaction IS NOT NULL AND @extschema@._rule_transaction_status(p.top_transaction) IS DISTINCT FROM 'in progress'
$$;
COMMENT ON FUNCTION @extschema@._rule_open_transactions_ended() IS
    'Internal: transactions that have ended and whose events are still apart from the others.';

CREATE OR REPLACE FUNCTION @extschema@._rule_open_events_settle(p_consumer text, p_limit integer, OUT settled integer, OUT well boolean)
LANGUAGE plpgsql
AS $$
DECLARE
    -- Large ones take long.
    v_until timestamptz := clock_timestamp() + interval '500 milliseconds';
    v_found boolean;
    v_top xid8;
    v record;
BEGIN
    settled := 0;
    well := true;
    LOOP
        v_found := false;
        -- Some of each, in an order drawn anew each time, so that none holds up another, large or hindered.
        FOR v_top IN SELECT e.top FROM @extschema@._rule_open_transactions_ended() AS e (top) ORDER BY random() LOOP
            SELECT * INTO v FROM @extschema@._rule_open_events_move(p_consumer, v_top, least(25, p_limit - settled));
            settled := settled + v.moved;
            IF v.hindered THEN
                well := false;
                RETURN;
            END IF;
            v_found := v_found OR v.moved > 0;
            EXIT WHEN settled >= p_limit OR clock_timestamp() > v_until;
        END LOOP;
        EXIT WHEN NOT v_found OR settled >= p_limit OR clock_timestamp() > v_until;
    END LOOP;
END
$$;
COMMENT ON FUNCTION @extschema@._rule_open_events_settle(text, integer) IS
    'Internal: finds out what became of events whose transactions have ended, so many at most, and says of how many, and whether nothing was in the way.';

CREATE OR REPLACE FUNCTION @extschema@._rule_open_events_look(p_consumer text, p_limit integer)
RETURNS integer LANGUAGE plpgsql
AS $$
DECLARE
    c_index CONSTANT regclass := '@extschema@.rule_webhook_open_events_transaction_idx';
    v_now timestamptz := clock_timestamp();
    v_read bigint := pg_stat_get_xact_tuples_returned(c_index);
    v_settled integer := 0;
    v_well boolean := true;
BEGIN
    IF @extschema@._rule_claim_spares('open events', v_now) THEN
        RETURN 0;
    END IF;
    -- By that index, the other one leads nowhere.
    IF EXISTS (SELECT FROM @extschema@.rule_webhook_open_events o WHERE o.top_transaction >= '0') THEN
        SELECT s.settled, s.well INTO v_settled, v_well FROM @extschema@._rule_open_events_settle(p_consumer, p_limit) s;
    END IF;
    -- What was in the way was waited for, each time for a moment, and claims must not be slow for it.
    PERFORM @extschema@._rule_claim_spare('open events', v_now,
        CASE WHEN v_well THEN pg_stat_get_xact_tuples_returned(c_index) - v_read ELSE 1000000 END);
    RETURN v_settled;
END
$$;
COMMENT ON FUNCTION @extschema@._rule_open_events_look(text, integer) IS
    'Internal: settles so many events at most whose transactions have ended, and says how many, unless that took long a moment ago.';
