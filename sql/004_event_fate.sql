-- A message can reach the stream before its transaction ends. The history row of that very (sub)transaction decides;
-- a transaction's id alone proves nothing, since a crash can give it to another one.

CREATE OR REPLACE FUNCTION @extschema@._rule_transaction_status(p_transaction xid8)
RETURNS text LANGUAGE plpgsql VOLATILE
AS $$
BEGIN
    -- Not compared with a snapshot's xmax: the newest running transactions lie beyond it.
    RETURN pg_xact_status(p_transaction);
EXCEPTION WHEN invalid_parameter_value THEN
    RETURN 'in the future';
END
$$;
COMMENT ON FUNCTION @extschema@._rule_transaction_status(xid8) IS
    'Internal: pg_xact_status() that answers for an id of the future, too.';

-- Since then all ids that there are were given by this server. What another one gave later is a copy's, or that of which this is one.
CREATE OR REPLACE FUNCTION @extschema@._rule_serves_since()
RETURNS timestamptz LANGUAGE plpgsql STABLE
AS $$
BEGIN
    -- The checkpointer begins anew after a crash as well; a promotion leaves a history file.
    RETURN greatest((SELECT max(a.backend_start) FROM pg_stat_get_activity(NULL) a WHERE a.backend_type = 'checkpointer'),
                    (SELECT max(f.modification) FROM pg_ls_waldir() f WHERE f.name LIKE '%.history'));
EXCEPTION WHEN insufficient_privilege THEN
    RETURN 'infinity';
END
$$;
COMMENT ON FUNCTION @extschema@._rule_serves_since() IS
    'Internal: when this server started, recovered from a crash or was promoted, whichever was last.';

CREATE OR REPLACE FUNCTION @extschema@._rule_event_recorded(p_webhook_id integer, p_message_id text, p_transaction xid8)
RETURNS boolean LANGUAGE sql VOLATILE
AS $$
    SELECT EXISTS (SELECT FROM @extschema@.rule_nats_publish_history h
                   WHERE h.webhook_id = p_webhook_id AND h.message_id = p_message_id AND h.transaction = p_transaction)
$$;
COMMENT ON FUNCTION @extschema@._rule_event_recorded(integer, text, xid8) IS
    'Internal: whether a committed (sub)transaction published this event, also one that saw its publish fail.';

CREATE OR REPLACE FUNCTION @extschema@._rule_slot(p_age_ms bigint)
RETURNS smallint LANGUAGE sql VOLATILE
AS $$
    SELECT (((extract(epoch FROM pg_catalog.clock_timestamp())::bigint - p_age_ms / 1000) / 86400) % 10)::smallint
$$;
COMMENT ON FUNCTION @extschema@._rule_slot(bigint) IS
    'Internal: the slot of rows that were written so long ago.';

CREATE OR REPLACE FUNCTION @extschema@._rule_events_recorded(
    p_webhook_ids integer[], p_message_ids text[], p_transactions xid8[], p_ages_ms bigint[])
RETURNS boolean[] LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
    v_recorded boolean[];
    v_first smallint;
    v_last smallint;
BEGIN
    -- A row lies with the day of its message, as a rule: a batch is of one day, or of two.
    SELECT @extschema@._rule_slot(max(a.age_ms) + 600000), @extschema@._rule_slot(min(a.age_ms) - 600000)
    INTO v_first, v_last FROM unnest(p_ages_ms) AS a (age_ms);
    SELECT array_agg(CASE WHEN e.transaction IS NULL THEN true ELSE (
                              SELECT true FROM @extschema@.rule_nats_publish_history h
                              WHERE h.slot IN (v_first, v_last) AND h.webhook_id = e.webhook_id
                                AND h.message_id = e.message_id AND h.transaction = e.transaction LIMIT 1) END ORDER BY e.n)
    INTO v_recorded
    FROM unnest(p_webhook_ids, p_message_ids, p_transactions) WITH ORDINALITY AS e (webhook_id, message_id, transaction, n);
    IF array_position(v_recorded, NULL) IS NULL THEN
        RETURN v_recorded;
    END IF;
    -- What is not there may lie anywhere: moved by maintenance, of another day than its batch, or a clock was wrong.
    SELECT array_agg(CASE WHEN e.recorded THEN true ELSE (
                              SELECT true FROM @extschema@.rule_nats_publish_history h
                              WHERE h.webhook_id = e.webhook_id AND h.message_id = e.message_id
                                AND h.transaction = e.transaction LIMIT 1) END ORDER BY e.n)
    INTO v_recorded
    FROM unnest(p_webhook_ids, p_message_ids, p_transactions, v_recorded) WITH ORDINALITY
         AS e (webhook_id, message_id, transaction, recorded, n);
    RETURN v_recorded;
END
$$;
COMMENT ON FUNCTION @extschema@._rule_events_recorded(integer[], text[], xid8[], bigint[]) IS
    'Internal: which of these events a committed (sub)transaction published, NULL for the others. One without a transaction counts as published.';

CREATE OR REPLACE FUNCTION @extschema@._rule_event_fates(
    p_webhook_ids integer[], p_message_ids text[], p_transactions xid8[], p_ages_ms bigint[])
RETURNS text[] LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
    v_recorded boolean[] := @extschema@._rule_events_recorded(p_webhook_ids, p_message_ids, p_transactions, p_ages_ms);
    v_fates text[];
    v_kept_since timestamptz;
    v_adopted_at timestamptz;
    v_serves_since timestamptz;
    v_at timestamptz;
    v_status text;
BEGIN
    SELECT array_agg(CASE WHEN r.recorded THEN 'committed' END ORDER BY r.n) INTO v_fates
    FROM unnest(v_recorded) WITH ORDINALITY AS r (recorded, n);
    IF array_position(v_fates, NULL) IS NULL THEN
        RETURN v_fates;
    END IF;
    SELECT s.history_kept_since, s.adopted_at INTO v_kept_since, v_adopted_at FROM @extschema@.rule_engine_source s;
    FOR i IN 1 .. coalesce(cardinality(v_fates), 0) LOOP
        CONTINUE WHEN v_fates[i] IS NOT NULL OR p_webhook_ids[i] IS NULL;
        v_at := clock_timestamp() - make_interval(secs => least(coalesce(p_ages_ms[i], 0), 1000000000000) / 1000.0);
        -- Another database gave these ids. What its history was known to hold when it was dumped, and does not, did not commit.
        IF v_at < v_adopted_at THEN
            v_fates[i] := CASE WHEN v_at < v_kept_since THEN 'committed' ELSE 'rolled back' END;
            CONTINUE;
        END IF;
        v_status := @extschema@._rule_transaction_status(p_transactions[i]);
        IF v_status = 'in the future' THEN
            v_serves_since := coalesce(v_serves_since, @extschema@._rule_serves_since());
        END IF;
        v_fates[i] := CASE
            WHEN v_status = 'in progress' THEN 'in progress'
            -- What a crash or a failover lost was published before it.
            WHEN v_status = 'in the future' AND v_at > v_serves_since + interval '10 seconds' THEN 'of a copy'
            -- It may have committed since the first look.
            WHEN v_status = 'committed'
                 AND @extschema@._rule_event_recorded(p_webhook_ids[i], p_message_ids[i], p_transactions[i]) THEN 'committed'
            -- Its row may have been cleaned away; what did not commit never had one.
            WHEN v_at < v_kept_since AND coalesce(v_status, 'committed') = 'committed' THEN 'committed'
            ELSE 'rolled back' END;
    END LOOP;
    RETURN v_fates;
END
$$;
COMMENT ON FUNCTION @extschema@._rule_event_fates(integer[], text[], xid8[], bigint[]) IS
    'Internal: ''committed'', ''in progress'', ''rolled back'' or ''of a copy'' for each stream message. Needs READ COMMITTED.';

CREATE OR REPLACE FUNCTION @extschema@.rule_nats_event_status(p_webhook_id integer, p_message_id text, p_transaction xid8)
RETURNS text LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_status text;
BEGIN
    IF p_webhook_id IS NULL OR p_message_id IS NULL OR p_transaction IS NULL THEN
        RETURN 'unknown';
    ELSIF @extschema@._rule_event_recorded(p_webhook_id, p_message_id, p_transaction) THEN
        RETURN 'committed';
    END IF;
    v_status := @extschema@._rule_transaction_status(p_transaction);
    IF v_status = 'in progress' THEN
        RETURN 'in progress';
    ELSIF v_status = 'committed'
          AND @extschema@._rule_event_recorded(p_webhook_id, p_message_id, p_transaction) THEN
        RETURN 'committed';
    ELSIF (SELECT s.adopted_at = '-infinity' AND (v_status IN ('aborted', 'in the future') OR s.history_kept_since = '-infinity')
           FROM @extschema@.rule_engine_source s) THEN
        RETURN 'rolled back';
    END IF;
    -- Its history may have been cleaned.
    RETURN 'unknown';
END
$$;
COMMENT ON FUNCTION @extschema@.rule_nats_event_status(integer, text, xid8) IS
    'For consumers of a stream that are not our workers: whether the transaction in a message''s header committed. Call it in READ COMMITTED.';
