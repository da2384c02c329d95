-- The rings of ten days. A day's slot is written to again ten days later, so it has to be empty by then. It is emptied
-- by TRUNCATE, which costs the same for ten rows and ten million, and the few rows that stay move into today's slot.

CREATE OR REPLACE FUNCTION @extschema@._rule_slot_lock(p_leaf regclass)
RETURNS boolean LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- A lock that waits would make every reader and writer queue behind it.
    FOR v_try IN 1 .. 50 LOOP
        BEGIN
            EXECUTE format('LOCK TABLE ONLY %s IN ACCESS EXCLUSIVE MODE NOWAIT', p_leaf);
            RETURN true;
        EXCEPTION WHEN lock_not_available THEN
            PERFORM pg_sleep(0.01);
        END;
    END LOOP;
    RETURN false;
END
$$;
COMMENT ON FUNCTION @extschema@._rule_slot_lock(regclass) IS
    'Internal: locks a slot of a ring without ever waiting in the queue for the lock.';

CREATE OR REPLACE FUNCTION @extschema@._rule_slot_empty(
    p_table text, p_slot integer, p_time text, p_stays text,
    OUT emptied boolean, OUT removed bigint, OUT kept bigint, OUT newest timestamptz)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_leaf regclass := ('@extschema@.' || quote_ident(p_table || '_' || p_slot))::regclass;
    v_columns text;
    v_today integer := (extract(epoch FROM clock_timestamp())::bigint / 86400 % 10)::integer;
BEGIN
    EXECUTE format('SELECT NOT EXISTS (SELECT FROM ONLY %s)', v_leaf) INTO emptied;
    removed := 0;
    kept := 0;
    IF emptied THEN
        PERFORM @extschema@._rule_roll_up_forget(p_table, ARRAY[p_slot]);
        emptied := false;
        RETURN;
    END IF;
    SELECT string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum) INTO v_columns
    FROM pg_attribute a
    WHERE a.attrelid = ('@extschema@.' || quote_ident(p_table))::regclass AND a.attnum > 0 AND NOT a.attisdropped AND a.attname <> 'slot';
    -- Readers go on while the rows that stay are copied; writers, if there are any left, are not to add some meanwhile.
    EXECUTE format('LOCK TABLE ONLY %s IN SHARE ROW EXCLUSIVE MODE NOWAIT', v_leaf);
    EXECUTE format('SELECT count(*) FILTER (WHERE NOT s.stays), count(*) FILTER (WHERE s.stays), max(s.at) FILTER (WHERE NOT s.stays)
                    FROM (SELECT coalesce(%s, false) AS stays, r.%I AS at FROM ONLY %s r) s', p_stays, p_time, v_leaf)
    INTO removed, kept, newest;
    EXECUTE format('INSERT INTO %6$s.%1$I (%2$s, slot) SELECT %2$s, %5$s FROM ONLY %3$s r WHERE %4$s',
                   p_table, v_columns, v_leaf, p_stays, v_today, '@extschema@');
    PERFORM @extschema@._rule_roll_up_forget(p_table, ARRAY[p_slot]);
    PERFORM @extschema@._rule_roll_up(p_table, format('r.slot = %s AND r.%I <= %s AND %s',
        p_slot, CASE p_table WHEN 'rule_nats_publish_history' THEN 'publish_id' ELSE 'attempt_id' END,
        @extschema@._rule_rolled_up_to(p_table), p_stays), v_today);
    IF NOT @extschema@._rule_slot_lock(v_leaf) THEN
        RAISE EXCEPTION USING ERRCODE = '55P03', MESSAGE = format('slot %s is in use', v_leaf),
            HINT = 'rule_engine_maintain() tries again when it is called again.';
    END IF;
    EXECUTE format('TRUNCATE ONLY %s', v_leaf);
    emptied := true;
EXCEPTION WHEN lock_not_available OR object_in_use THEN
    -- What was copied is undone with it.
    emptied := NULL;
    removed := 0;
    kept := 0;
    newest := NULL;
END
$$;
COMMENT ON FUNCTION @extschema@._rule_slot_empty(text, integer, text, text) IS
    'Internal: empties a slot of a ring but for the rows that stay, which move to today''s. emptied is false where it was empty, NULL where it is in use.';

CREATE OR REPLACE FUNCTION @extschema@._rule_ring_maintain(
    p_table text, p_time text, p_failed text, p_stays text, p_limit bigint, OUT report jsonb, OUT newest timestamptz)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_now timestamptz := clock_timestamp();
    v_today bigint := extract(epoch FROM v_now)::bigint / 86400;
    v_keep @extschema@.rule_engine_retention;
    v_stays text;
    v_due integer[];
    v_age integer;
    v_slot record;
    v_strays record;
    v_emptied integer := 0;
    v_in_use integer := 0;
    v_removed bigint := 0;
    v_kept bigint := 0;
BEGIN
    SELECT * INTO v_keep FROM @extschema@.rule_engine_retention r WHERE r.table_name = p_table;
    -- What a deleted webhook left behind goes with its slot.
    v_stays := format('(r.%1$I > %2$L::timestamptz OR (%3$s AND r.%1$I > %4$L::timestamptz) OR %5$s)
                       AND EXISTS (SELECT FROM %6$s.rule_webhooks w WHERE w.webhook_id = r.webhook_id)',
                      p_time, v_now - v_keep.keep, p_failed, coalesce(v_now - v_keep.keep_failed, '-infinity'), p_stays, '@extschema@');
    -- The oldest is tomorrow's; others go as soon as a whole day is older than what is kept.
    v_due := ARRAY(SELECT a FROM generate_series(2, 9) a WHERE a = 9 OR make_interval(days => a - 1) >= v_keep.keep ORDER BY a DESC);
    -- Rows that are old in a day that is not: kept longer before, restored, or left there while nobody maintained.
    SELECT * INTO v_strays FROM @extschema@._rule_rows_delete(p_table, format('r.%I', p_time),
        format('r.slot <> ALL (%L::integer[]) AND r.%I < %L::timestamptz AND NOT (%s)',
               ARRAY(SELECT (v_today - a) % 10 FROM unnest(v_due) a), p_time, v_now - v_keep.keep, v_stays), p_limit);
    newest := v_strays.newest;
    -- The locks of what follows last until the end.
    FOREACH v_age IN ARRAY v_due LOOP
        SELECT * INTO v_slot FROM @extschema@._rule_slot_empty(p_table, ((v_today - v_age) % 10)::integer, p_time, v_stays);
        v_emptied := v_emptied + coalesce(v_slot.emptied, false)::integer;
        v_in_use := v_in_use + (v_slot.emptied IS NULL)::integer;
        v_removed := v_removed + v_slot.removed;
        v_kept := v_kept + v_slot.kept;
        newest := greatest(newest, v_slot.newest);
    END LOOP;
    report := jsonb_build_object('slots_emptied', v_emptied, 'slots_in_use', v_in_use,
                                 'rows_removed', v_removed + v_strays.removed, 'rows_kept_longer', v_kept,
                                 'more', v_strays.removed >= p_limit);
END
$$;
COMMENT ON FUNCTION @extschema@._rule_ring_maintain(text, text, text, text, bigint) IS
    'Internal: empties the slots of a ring that are due and deletes what is old elsewhere.';
