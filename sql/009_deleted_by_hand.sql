-- A person's DELETE or TRUNCATE, of the table as a whole: the extension's own are of one day and count for themselves. What
-- has lost its history this way and waits in a stream must not be taken for an event that rolled back.

CREATE OR REPLACE FUNCTION @extschema@._rule_ring_deleted()
RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_gone record;
    v_newest timestamptz;
BEGIN
    PERFORM @extschema@._rule_roll_up_lock(p_wait => true);
    IF TG_OP = 'TRUNCATE' THEN
        PERFORM @extschema@._rule_roll_up_forget(TG_TABLE_NAME, ARRAY(SELECT generate_series(0, 9)));
        -- Nothing is counted now, and rows with old ids may be restored.
        UPDATE @extschema@.rule_engine_upkeep u SET rolled_up_to = 0, noted_id = NULL, noted_xid = NULL
        WHERE u.table_name = TG_TABLE_NAME;
        v_newest := clock_timestamp();
    ELSE
        FOR v_gone IN EXECUTE format('SELECT g.slot, min(g.%1$I) AS oldest, max(g.%1$I) AS newest FROM gone g GROUP BY g.slot', TG_ARGV[0]) LOOP
            PERFORM @extschema@._rule_roll_up_again(TG_TABLE_NAME, v_gone.slot, v_gone.oldest, v_gone.newest);
            v_newest := greatest(v_newest, v_gone.newest);
        END LOOP;
    END IF;
    IF TG_TABLE_NAME = 'rule_nats_publish_history' THEN
        PERFORM @extschema@._rule_history_left(v_newest);
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION @extschema@._rule_ring_deleted() IS
    'Internal trigger: keeps the roll-ups of a ring, and the mark from which history decides, in step with rows that were deleted by hand.';

CREATE OR REPLACE TRIGGER rule_nats_publish_history_deleted
    AFTER DELETE ON @extschema@.rule_nats_publish_history REFERENCING OLD TABLE AS gone
    FOR EACH STATEMENT EXECUTE FUNCTION @extschema@._rule_ring_deleted('published_at');
ALTER TABLE @extschema@.rule_nats_publish_history ENABLE ALWAYS TRIGGER rule_nats_publish_history_deleted;
CREATE OR REPLACE TRIGGER rule_nats_publish_history_truncated
    AFTER TRUNCATE ON @extschema@.rule_nats_publish_history
    FOR EACH STATEMENT EXECUTE FUNCTION @extschema@._rule_ring_deleted();
ALTER TABLE @extschema@.rule_nats_publish_history ENABLE ALWAYS TRIGGER rule_nats_publish_history_truncated;
CREATE OR REPLACE TRIGGER rule_webhook_attempts_deleted
    AFTER DELETE ON @extschema@.rule_webhook_attempts REFERENCING OLD TABLE AS gone
    FOR EACH STATEMENT EXECUTE FUNCTION @extschema@._rule_ring_deleted('started_at');
ALTER TABLE @extschema@.rule_webhook_attempts ENABLE ALWAYS TRIGGER rule_webhook_attempts_deleted;
CREATE OR REPLACE TRIGGER rule_webhook_attempts_truncated
    AFTER TRUNCATE ON @extschema@.rule_webhook_attempts
    FOR EACH STATEMENT EXECUTE FUNCTION @extschema@._rule_ring_deleted();
ALTER TABLE @extschema@.rule_webhook_attempts ENABLE ALWAYS TRIGGER rule_webhook_attempts_truncated;
