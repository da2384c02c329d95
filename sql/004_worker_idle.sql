-- A worker with nothing to do is told when an event is queued, and only such a one: NOTIFY makes the commits of all
-- databases of the server wait for each other (c_shim/wake.c).

CREATE OR REPLACE FUNCTION @extschema@.rule_engine_queued()
RETURNS trigger LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'rule_engine_queued';
COMMENT ON FUNCTION @extschema@.rule_engine_queued() IS
    'Internal trigger: the commit of a row that is due wakes an idle worker.';

-- Not ALWAYS: what a restore or a replica writes, the poll finds.
CREATE OR REPLACE TRIGGER rule_webhook_queue_queued
    BEFORE INSERT ON @extschema@.rule_webhook_queue
    FOR EACH ROW EXECUTE FUNCTION @extschema@.rule_engine_queued();

CREATE OR REPLACE FUNCTION @extschema@._rule_queue_wake()
RETURNS void LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'rule_queue_wake';
COMMENT ON FUNCTION @extschema@._rule_queue_wake() IS
    'Internal: makes the commit wake an idle worker, for rows that an UPDATE made due.';

CREATE OR REPLACE FUNCTION @extschema@._rule_worker_idle(p_idle boolean)
RETURNS boolean LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'rule_worker_idle';
COMMENT ON FUNCTION @extschema@._rule_worker_idle(boolean) IS
    'Internal: takes the lock by which commits know that a worker of this session is idle, or gives it back. Says whether it has it.';

CREATE OR REPLACE FUNCTION @extschema@.rule_worker_idle(p_consumer text, p_idle boolean)
RETURNS text LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM @extschema@._rule_worker_begin(p_consumer, false);
    IF p_idle IS NULL THEN
        PERFORM @extschema@._rule_refuse('p_idle must not be NULL', 'Say true before waiting for a notification, false after.', '22004');
    END IF;
    IF @extschema@._rule_worker_idle(p_idle) = p_idle THEN
        RETURN 'rule_engine_queue';
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION @extschema@.rule_worker_idle(text, boolean) IS
    'For workers: while the session says true, a commit that queues an event notifies. Returns the channel to LISTEN on before; NULL when an event is being committed that would not notify: claim again soon. Claim once more after true, too.';
