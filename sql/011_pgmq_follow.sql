-- The message follows its row. Rows for NATS have none: they go back to it in the order of the table. Neither has what is
-- redelivered at a rate: it would be read before what is not to wait for that.

CREATE OR REPLACE FUNCTION @extschema@._rule_pgmq_follow()
RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_due timestamptz;
    v_before timestamptz;
BEGIN
    IF NEW.status IN ('pending', 'processing') AND NEW.route <> 'publish' AND NOT NEW.paced THEN
        v_due := coalesce(NEW.lease_until, NEW.next_retry_at);
    END IF;
    IF TG_OP = 'INSERT' THEN
        -- A restored row has its message in the same dump.
        IF NEW.pgmq_msg_id IS NULL AND v_due IS NOT NULL THEN
            NEW.pgmq_msg_id := @extschema@._rule_pgmq_send(NEW.webhook_id, NEW.queue_id, v_due);
        END IF;
        RETURN NEW;
    END IF;
    IF OLD.status IN ('pending', 'processing') AND OLD.route <> 'publish' AND NOT OLD.paced THEN
        v_before := coalesce(OLD.lease_until, OLD.next_retry_at);
    END IF;
    IF v_due IS NOT DISTINCT FROM v_before THEN
        RETURN NEW;
    END IF;
    -- A message that cannot be had now is given up for another, and deleted by whoever reads it.
    IF NEW.pgmq_msg_id IS NULL
       OR NOT @extschema@._rule_pgmq_move(NEW.webhook_id, NEW.pgmq_msg_id, NEW.queue_id, v_due)
       OR v_due IS NULL THEN
        NEW.pgmq_msg_id := CASE WHEN v_due IS NOT NULL
                                THEN @extschema@._rule_pgmq_send(NEW.webhook_id, NEW.queue_id, v_due) END;
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION @extschema@._rule_pgmq_follow() IS
    'Internal trigger: gives a row that waits its message in pgmq, visible when the row is due or its lease has run out.';

-- BEFORE, so that the row keeps the message's number without being written twice.
CREATE OR REPLACE TRIGGER rule_webhook_queue_pgmq
    BEFORE INSERT OR UPDATE OF status, route, next_retry_at, lease_until ON @extschema@.rule_webhook_queue
    FOR EACH ROW EXECUTE FUNCTION @extschema@._rule_pgmq_follow();

-- It costs the native queue nothing. To replace a trigger enables it.
DO $$
BEGIN
    IF (SELECT s.queue_backend OPERATOR(pg_catalog.<>) 'pgmq' FROM @extschema@.rule_engine_settings s) THEN
        ALTER TABLE @extschema@.rule_webhook_queue DISABLE TRIGGER rule_webhook_queue_pgmq;
    END IF;
END
$$;

CREATE OR REPLACE FUNCTION @extschema@._rule_pgmq_follows()
RETURNS boolean LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN (SELECT g.tgenabled <> 'D' FROM pg_trigger g
            WHERE g.tgrelid = '@extschema@.rule_webhook_queue'::regclass AND g.tgname = 'rule_webhook_queue_pgmq');
END
$$;
COMMENT ON FUNCTION @extschema@._rule_pgmq_follows() IS
    'Internal: whether messages follow their rows.';

CREATE OR REPLACE FUNCTION @extschema@._rule_pgmq_following(p_on boolean)
RETURNS boolean LANGUAGE plpgsql
-- Behind a lock that is waited for every publisher waits too.
SET lock_timeout = '1s' SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF p_on <> @extschema@._rule_pgmq_follows() THEN
        EXECUTE 'ALTER TABLE @extschema@.rule_webhook_queue ' || CASE WHEN p_on THEN 'ENABLE' ELSE 'DISABLE' END
                || ' TRIGGER rule_webhook_queue_pgmq';
    END IF;
    RETURN true;
EXCEPTION WHEN lock_not_available THEN
    RETURN false;
END
$$;
COMMENT ON FUNCTION @extschema@._rule_pgmq_following(boolean) IS
    'Internal: lets messages follow their rows, or no longer; false where the queue is in use just now.';
