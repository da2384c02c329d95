-- From the native queue to pgmq and back, and what keeps the two in step.

CREATE OR REPLACE FUNCTION @extschema@._rule_pgmq_queues_make()
RETURNS void LANGUAGE plpgsql
AS $$
BEGIN
    -- Each takes a dozen locks, of which the server has few. Events of a webhook that has none wait in our table alone.
    PERFORM @extschema@._rule_pgmq_queue_make(w.webhook_id)
    FROM (SELECT w.webhook_id FROM @extschema@.rule_webhooks w
          WHERE to_regclass('pgmq.q_rule_webhook_' || w.webhook_id) IS NULL ORDER BY w.webhook_id LIMIT 100) w;
END
$$;
COMMENT ON FUNCTION @extschema@._rule_pgmq_queues_make() IS
    'Internal: makes queues in pgmq for webhooks that have none, at most 100 at once.';

CREATE OR REPLACE FUNCTION @extschema@._rule_pgmq_carries()
RETURNS boolean LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN EXISTS (SELECT FROM @extschema@.rule_engine_settings s WHERE s.queue_backend = 'pgmq')
       AND @extschema@._rule_pgmq_problem() IS NULL;
END
$$;
COMMENT ON FUNCTION @extschema@._rule_pgmq_carries() IS
    'Internal: whether the queue is pgmq''s by the setting, and pgmq can keep it.';

CREATE OR REPLACE FUNCTION @extschema@._rule_pgmq_switch()
RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_problem text := CASE NEW.queue_backend WHEN 'pgmq' THEN @extschema@._rule_pgmq_problem() END;
BEGIN
    IF v_problem IS NOT NULL THEN
        PERFORM @extschema@._rule_refuse('queue_backend cannot be pgmq: ' || v_problem,
            format('Install pgmq, the extension or its SQL, as a superuser or as %s, and let no other role own it.', current_user), '55000');
    ELSIF NEW.queue_backend = 'pgmq' THEN
        PERFORM @extschema@._rule_pgmq_queues_make();
    END IF;
    IF NOT @extschema@._rule_pgmq_following(NEW.queue_backend = 'pgmq') THEN
        PERFORM @extschema@._rule_refuse('the queue is in use by a transaction that has not ended',
            'Set queue_backend again when long transactions that write to rule_webhook_queue have ended.', '55P03');
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION @extschema@._rule_pgmq_switch() IS
    'Internal trigger: gives the queue to pgmq, or takes it back. What waits at that moment is delivered without pgmq.';

-- Not for a restored row: what it is about may not have arrived.
CREATE OR REPLACE TRIGGER rule_engine_settings_pgmq
    AFTER UPDATE ON @extschema@.rule_engine_settings
    FOR EACH ROW WHEN (OLD.queue_backend IS DISTINCT FROM NEW.queue_backend)
    EXECUTE FUNCTION @extschema@._rule_pgmq_switch();

CREATE OR REPLACE FUNCTION @extschema@._rule_pgmq_webhook()
RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF @extschema@._rule_pgmq_carries() THEN
        PERFORM @extschema@._rule_pgmq_queue_make(NEW.webhook_id);
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION @extschema@._rule_pgmq_webhook() IS
    'Internal trigger: makes the queue of a webhook in pgmq.';

CREATE OR REPLACE TRIGGER rule_webhooks_pgmq
    AFTER INSERT ON @extschema@.rule_webhooks
    FOR EACH ROW EXECUTE FUNCTION @extschema@._rule_pgmq_webhook();

CREATE OR REPLACE FUNCTION @extschema@._rule_pgmq_fill(p_webhook_id integer, p_max_rows bigint)
RETURNS bigint LANGUAGE plpgsql
AS $$
DECLARE
    v_rows bigint;
BEGIN
    EXECUTE format(
        'WITH lacking AS (
             SELECT q.queue_id FROM %2$s.rule_webhook_queue q
             WHERE q.webhook_id = $1 AND NOT q.paced AND q.status = ''pending'' AND q.route <> ''publish''
               AND (q.pgmq_msg_id IS NULL
                    OR (q.next_retry_at < clock_timestamp() - interval ''60 seconds''
                        AND NOT EXISTS (SELECT FROM pgmq.%1$I m WHERE m.msg_id = q.pgmq_msg_id AND m.vt <= clock_timestamp()
                                                                AND m.message = jsonb_build_object(''queue_id'', q.queue_id))))
             LIMIT $2 FOR UPDATE SKIP LOCKED)
         UPDATE %2$s.rule_webhook_queue q
         SET pgmq_msg_id = %2$s._rule_pgmq_send(q.webhook_id, q.queue_id, q.next_retry_at)
         FROM lacking WHERE q.queue_id = lacking.queue_id', 'q_' || @extschema@._rule_pgmq_queue(p_webhook_id), '@extschema@')
    USING p_webhook_id, p_max_rows;
    GET DIAGNOSTICS v_rows = ROW_COUNT;
    RETURN v_rows;
END
$$;
COMMENT ON FUNCTION @extschema@._rule_pgmq_fill(integer, bigint) IS
    'Internal: sends the messages of rows that have none, and of those that are long due while their message is away.';

CREATE OR REPLACE FUNCTION @extschema@._rule_pgmq_sweep(p_webhook_id integer)
RETURNS void LANGUAGE plpgsql
AS $$
DECLARE
    v_read record;
BEGIN
    -- Where rows wait a claim reads, and would miss what is read here until the end of the transaction.
    IF EXISTS (SELECT FROM @extschema@.rule_webhook_queue q
               WHERE q.webhook_id = p_webhook_id AND NOT q.paced AND q.status = 'pending' AND q.route <> 'publish') THEN
        RETURN;
    END IF;
    SELECT coalesce(array_agg(r.msg_id), '{}') AS msg_ids,
           coalesce(array_agg(@extschema@._rule_json_count(r.message -> 'queue_id')), '{}') AS queue_ids
    INTO v_read
    FROM pgmq.read(@extschema@._rule_pgmq_queue(p_webhook_id), 60, 1000, '{}'::jsonb) r;
    PERFORM @extschema@._rule_pgmq_give_back(array_fill(p_webhook_id, ARRAY[cardinality(v_read.msg_ids)]),
                                            v_read.msg_ids, v_read.queue_ids, '{}');
END
$$;
COMMENT ON FUNCTION @extschema@._rule_pgmq_sweep(integer) IS
    'Internal: deletes messages that were given up for others, of a webhook for which no claim reads any.';

CREATE OR REPLACE FUNCTION @extschema@._rule_pgmq_queues()
RETURNS TABLE (webhook_id integer) LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT k.webhook_id::integer
    FROM pg_class c
    CROSS JOIN LATERAL (SELECT substr(c.relname, 16)::bigint AS webhook_id WHERE c.relname ~ '^q_rule_webhook_[0-9]{1,10}$' OFFSET 0) k
    WHERE c.relnamespace = to_regnamespace('pgmq') AND c.relowner = quote_ident(current_user)::regrole AND c.relkind = 'r'
      AND k.webhook_id <= 2147483647
$$;
COMMENT ON FUNCTION @extschema@._rule_pgmq_queues() IS
    'Internal: the webhooks, gone ones included, whose queues are in pgmq.';

CREATE OR REPLACE FUNCTION @extschema@._rule_pgmq_queues_drop(p_all boolean)
RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_queue text;
BEGIN
    FOR v_queue IN
        SELECT 'rule_webhook_' || k.webhook_id FROM @extschema@._rule_pgmq_queues() k
        WHERE p_all OR NOT EXISTS (SELECT FROM @extschema@.rule_webhooks w WHERE w.webhook_id = k.webhook_id)
        ORDER BY k.webhook_id LIMIT 100
    LOOP
        IF pg_try_advisory_xact_lock(hashtext('pgmq.queue_' || v_queue))
           AND @extschema@._rule_slot_lock(format('pgmq.%I', 'q_' || v_queue)::regclass) THEN
            PERFORM pgmq.drop_queue(v_queue);
        END IF;
    END LOOP;
END
$$;
COMMENT ON FUNCTION @extschema@._rule_pgmq_queues_drop(boolean) IS
    'Internal: drops the queues in pgmq of webhooks that are gone, or all; those in use stay until the next time.';

CREATE OR REPLACE FUNCTION @extschema@._rule_pgmq_maintain(p_max_rows bigint)
RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_left bigint := p_max_rows;
    v_rows bigint;
    v_webhook_id integer;
BEGIN
    IF @extschema@._rule_pgmq_carries() THEN
        PERFORM @extschema@._rule_pgmq_queues_make();
        FOR v_webhook_id IN
            SELECT w.webhook_id FROM @extschema@.rule_webhooks w WHERE @extschema@._rule_pgmq_queue(w.webhook_id) IS NOT NULL
        LOOP
            EXIT WHEN v_left <= 0;
            v_left := v_left - @extschema@._rule_pgmq_fill(v_webhook_id, v_left);
            PERFORM @extschema@._rule_pgmq_sweep(v_webhook_id);
        END LOOP;
        PERFORM @extschema@._rule_pgmq_queues_drop(false);
    ELSIF @extschema@._rule_pgmq_problem() IS NULL AND EXISTS (SELECT FROM @extschema@._rule_pgmq_queues()) THEN
        -- A number must not be taken for that of a message in a later queue.
        UPDATE @extschema@.rule_webhook_queue q SET pgmq_msg_id = NULL
        FROM (SELECT q.queue_id FROM @extschema@.rule_webhook_queue q WHERE q.pgmq_msg_id IS NOT NULL
              LIMIT p_max_rows FOR UPDATE SKIP LOCKED) old
        WHERE q.queue_id = old.queue_id;
        GET DIAGNOSTICS v_rows = ROW_COUNT;
        IF v_rows < p_max_rows THEN
            PERFORM @extschema@._rule_pgmq_queues_drop(true);
        END IF;
    END IF;
END
$$;
COMMENT ON FUNCTION @extschema@._rule_pgmq_maintain(bigint) IS
    'Internal: brings pgmq in step with the setting: its queues, and messages that are missing or too many.';
