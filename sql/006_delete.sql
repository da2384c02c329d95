-- Deleting rows, so many at a time. The conditions below come from this schema's own code alone.

CREATE OR REPLACE FUNCTION @extschema@._rule_check_older_than(p_older_than interval)
RETURNS void LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF p_older_than IS NULL THEN
        PERFORM @extschema@._rule_refuse('p_older_than must not be NULL', 'Give an interval such as 30 days.', '22004');
    ELSIF p_older_than < interval '0' OR p_older_than > interval '1000 years' THEN
        PERFORM @extschema@._rule_refuse(format('p_older_than cannot be %s', p_older_than),
            'Give an interval from zero to 1000 years, such as 30 days.');
    END IF;
END
$$;
COMMENT ON FUNCTION @extschema@._rule_check_older_than(interval) IS
    'Internal: refuses an age that no row can have.';

CREATE OR REPLACE FUNCTION @extschema@._rule_queue_row_needed(p_webhook_id integer, p_ended_at timestamptz)
RETURNS boolean LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT EXISTS (SELECT FROM @extschema@.rule_webhooks w WHERE w.webhook_id = p_webhook_id AND w.nats_enabled)
       AND p_ended_at >= clock_timestamp() - (SELECT k.keep FROM @extschema@.rule_engine_retention k
                                              WHERE k.table_name = 'rule_webhook_receipts')
$$;
COMMENT ON FUNCTION @extschema@._rule_queue_row_needed(integer, timestamptz) IS
    'Internal: whether an ended event''s queue row is the receipt of a copy that a stream may still hold.';

CREATE OR REPLACE FUNCTION @extschema@._rule_rows_delete(
    p_table text, p_time text, p_condition text, p_limit bigint, OUT removed bigint, OUT newest timestamptz)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_leaf regclass;
    v_removed bigint;
    v_oldest timestamptz;
    v_newest timestamptz;
    v_slot integer;
BEGIN
    removed := 0;
    FOR v_leaf, v_slot IN
        SELECT l.relid, l.slot
        FROM (SELECT t.relid, right(t.relid::regclass::text, 1)::integer AS slot FROM pg_partition_tree(('@extschema@.' || quote_ident(p_table))::regclass) t WHERE t.isleaf
              UNION ALL
              SELECT c.oid, NULL FROM pg_class c WHERE c.oid = ('@extschema@.' || quote_ident(p_table))::regclass AND c.relkind = 'r') l
        ORDER BY l.relid
    LOOP
        EXIT WHEN removed >= p_limit;
        EXECUTE format('WITH gone AS (
                            DELETE FROM ONLY %1$s r WHERE r.ctid = ANY (ARRAY(
                                SELECT r.ctid FROM ONLY %1$s r WHERE %2$s LIMIT %3$s FOR UPDATE SKIP LOCKED))
                            RETURNING %4$s AS at)
                        SELECT count(*), min(g.at), max(g.at) FROM gone g', v_leaf, p_condition, p_limit - removed, p_time)
        INTO v_removed, v_oldest, v_newest;
        IF v_removed > 0 AND v_slot IS NOT NULL THEN
            PERFORM @extschema@._rule_roll_up_again(p_table, v_slot, v_oldest, v_newest);
        END IF;
        removed := removed + v_removed;
        newest := greatest(newest, v_newest);
    END LOOP;
END
$$;
COMMENT ON FUNCTION @extschema@._rule_rows_delete(text, text, text, bigint) IS
    'Internal: deletes rows that meet a condition, at most so many, and tells the time of the newest.';

CREATE OR REPLACE FUNCTION @extschema@._rule_history_left(p_newest timestamptz)
RETURNS void LANGUAGE sql SET search_path = pg_catalog, pg_temp
AS $$
    -- A message is as old as NATS' clock says, a row as ours does: a minute lies between them at most.
    UPDATE @extschema@.rule_engine_source s
    SET history_kept_since = least(p_newest + interval '1 minute', clock_timestamp())
    WHERE p_newest IS NOT NULL AND s.history_kept_since < least(p_newest + interval '1 minute', clock_timestamp())
$$;
COMMENT ON FUNCTION @extschema@._rule_history_left(timestamptz) IS
    'Internal: moves the mark before which history cannot decide, since rows up to this time have gone. NULL is none.';
