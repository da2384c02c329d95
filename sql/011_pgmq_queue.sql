-- pgmq as the queue's backend: one of its queues per webhook, in which each row that waits has a message {"queue_id": N},
-- visible when the row is due or its lease has run out. The row stays the truth and the message a hint: whoever reads one
-- whose row does not wait deletes it, and a row without a message is found in our own table. So no race, and no hand that
-- meddles there, can lose an event. pgmq's functions get exactly the types that they declare: no overload comes nearer.

CREATE OR REPLACE FUNCTION @extschema@._rule_pgmq_problem()
RETURNS text LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    -- What is called and written to there runs with the rights of this extension's owner.
    WITH trusted AS (SELECT r.oid FROM pg_roles r WHERE r.rolsuper OR r.rolname = current_user),
    schema AS (SELECT n.oid, n.nspowner FROM pg_namespace n WHERE n.nspname = 'pgmq')
    SELECT coalesce(
        (SELECT 'there is no schema pgmq' WHERE NOT EXISTS (SELECT FROM schema)),
        (SELECT 'schema pgmq has no ' || min(f) FROM unnest(ARRAY[
            'pgmq.create(text)', 'pgmq.drop_queue(text)', 'pgmq.send(text,jsonb,jsonb,timestamp with time zone)',
            'pgmq.read(text,integer,integer,jsonb)', 'pgmq.set_vt(text,bigint,timestamp with time zone)',
            'pgmq.delete(text,bigint)']) f WHERE to_regprocedure(f) IS NULL),
        (SELECT 'schema pgmq belongs to another role' FROM schema s WHERE s.nspowner NOT IN (SELECT t.oid FROM trusted t)),
        (SELECT 'schema pgmq has functions of another role: ' || min(p.oid::regprocedure::text)
         FROM schema s JOIN pg_proc p ON p.pronamespace = s.oid WHERE p.proowner NOT IN (SELECT t.oid FROM trusted t)),
        (SELECT format('pgmq.%I belongs to another role or has triggers', c.relname)
         FROM schema s JOIN pg_class c ON c.relnamespace = s.oid
         WHERE c.relname IN ('meta', 'notify_insert_throttle', 'topic_bindings')
           AND (c.relowner NOT IN (SELECT t.oid FROM trusted t)
                OR EXISTS (SELECT FROM pg_trigger g WHERE g.tgrelid = c.oid AND NOT g.tgisinternal))
         ORDER BY c.relname LIMIT 1))
$$;
COMMENT ON FUNCTION @extschema@._rule_pgmq_problem() IS
    'Internal: why pgmq cannot keep the queue here, NULL where it can.';

-- In plpgsql, which plans it once per session: it is asked for every row.
CREATE OR REPLACE FUNCTION @extschema@._rule_pgmq_queue(p_webhook_id integer)
RETURNS text LANGUAGE plpgsql STABLE
AS $$
BEGIN
    RETURN (
        SELECT 'rule_webhook_' || p_webhook_id
        FROM pg_catalog.pg_namespace n JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid
        WHERE n.nspname = 'pgmq' AND c.relname = 'q_rule_webhook_' || p_webhook_id
          -- Who else may create tables there must not get his triggers run with our rights.
          AND c.relowner = pg_catalog.quote_ident(current_user)::pg_catalog.regrole AND c.relkind = 'r' AND NOT c.relhastriggers AND NOT c.relhasrules);
END
$$;
COMMENT ON FUNCTION @extschema@._rule_pgmq_queue(integer) IS
    'Internal: the name of a webhook''s queue in pgmq, NULL where it has none that is ours alone.';

CREATE OR REPLACE FUNCTION @extschema@._rule_pgmq_queue_make(p_webhook_id integer)
RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- pgmq would wait for this lock, which every login may hold.
    IF to_regclass('pgmq.q_rule_webhook_' || p_webhook_id) IS NULL
       AND pg_try_advisory_xact_lock(hashtext('pgmq.queue_rule_webhook_' || p_webhook_id)) THEN
        PERFORM pgmq.create('rule_webhook_' || p_webhook_id);
    END IF;
END
$$;
COMMENT ON FUNCTION @extschema@._rule_pgmq_queue_make(integer) IS
    'Internal: makes a webhook''s queue in pgmq, unless a table of its name is there or being made.';

CREATE OR REPLACE FUNCTION @extschema@._rule_pgmq_send(p_webhook_id integer, p_queue_id bigint, p_due timestamptz)
RETURNS bigint LANGUAGE plpgsql
AS $$
DECLARE
    v_queue text := @extschema@._rule_pgmq_queue(p_webhook_id);
BEGIN
    IF v_queue IS NULL THEN
        RETURN NULL;
    END IF;
    RETURN (SELECT s FROM pgmq.send(v_queue, jsonb_build_object('queue_id', p_queue_id), NULL::jsonb, p_due) s);
END
$$;
COMMENT ON FUNCTION @extschema@._rule_pgmq_send(integer, bigint, timestamptz) IS
    'Internal: sends the message of a row. NULL where its webhook has no queue in pgmq.';

CREATE OR REPLACE FUNCTION @extschema@._rule_pgmq_move(
    p_webhook_id integer, p_msg_id bigint, p_queue_id bigint, p_due timestamptz)
RETURNS boolean LANGUAGE plpgsql
AS $$
DECLARE
    v_queue text := @extschema@._rule_pgmq_queue(p_webhook_id);
    v_locked boolean;
BEGIN
    -- An older snapshot's transaction may change no message that others change too.
    IF v_queue IS NULL OR current_setting('transaction_isolation') NOT IN ('read committed', 'read uncommitted') THEN
        RETURN false;
    END IF;
    -- A claim that has read it is not waited for.
    EXECUTE format('SELECT true FROM pgmq.%I m WHERE m.msg_id = $1 AND m.message = $2 FOR UPDATE SKIP LOCKED', 'q_' || v_queue)
    INTO v_locked USING p_msg_id, jsonb_build_object('queue_id', p_queue_id);
    IF v_locked IS NULL THEN
        RETURN false;
    ELSIF p_due IS NULL THEN
        PERFORM pgmq.delete(v_queue, p_msg_id);
    ELSE
        PERFORM pgmq.set_vt(v_queue, p_msg_id, p_due);
    END IF;
    RETURN true;
END
$$;
COMMENT ON FUNCTION @extschema@._rule_pgmq_move(integer, bigint, bigint, timestamptz) IS
    'Internal: says when a row''s message is visible, or deletes it; false where it is not there or cannot be had now.';
