-- Whatever ends an event of a key, a worker's report or a hand, lets the next one have its turn.

CREATE OR REPLACE FUNCTION @extschema@._rule_order_room()
RETURNS boolean LANGUAGE plpgsql
AS $$
DECLARE
    -- What a report set. Below zero: the room for so many is not asked for yet.
    v_left integer := coalesce(substring(current_setting('rule_engine_order.room', true) FROM '^-?\d{1,9}$'), '0');
BEGIN
    IF v_left < 0 THEN
        v_left := @extschema@._rule_event_locks_room(-v_left, false);
    END IF;
    IF v_left = 0 THEN
        RETURN false;
    END IF;
    PERFORM set_config('rule_engine_order.room', (v_left - 1)::text, true);
    RETURN true;
END
$$;
COMMENT ON FUNCTION @extschema@._rule_order_room() IS
    'Internal: whether the report may lock one more key whose event it ends, which is counted.';

CREATE OR REPLACE FUNCTION @extschema@._rule_order_ended()
RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- It is due itself, and who claims it looks at its key: a dead worker may have had a thousand.
    IF TG_OP = 'UPDATE' AND NEW.status = 'pending' AND NEW.next_retry_at <= clock_timestamp() THEN
        RETURN NULL;
    -- Of a dead letter a row tells all the same: whether it blocks may be changed by a transaction that is not seen yet.
    ELSIF TG_OP = 'UPDATE' AND OLD.status = 'processing' AND NEW.status <> 'failed'
       AND current_setting('transaction_isolation') IN ('read committed', 'read uncommitted')
       AND @extschema@._rule_order_room() AND @extschema@._rule_order_next(OLD.webhook_id, OLD.order_key) THEN
        RETURN NULL;
    ELSIF @extschema@._rule_replicated() THEN
        RETURN NULL;
    END IF;
    -- A webhook that is deleted takes its rows with it.
    INSERT INTO @extschema@.rule_webhook_turns (webhook_id, order_key)
    SELECT w.webhook_id, OLD.order_key FROM @extschema@.rule_webhooks w WHERE w.webhook_id = OLD.webhook_id;
    PERFORM @extschema@._rule_queue_wake();
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION @extschema@._rule_order_ended() IS
    'Internal trigger: makes the next event of a key due, or leaves that to the next claim.';

CREATE OR REPLACE TRIGGER rule_webhook_queue_order_ended
    AFTER UPDATE OF status, redelivered_at ON @extschema@.rule_webhook_queue
    FOR EACH ROW WHEN (OLD.order_key IS NOT NULL
        AND ((OLD.status <> NEW.status AND NEW.status <> 'processing') OR OLD.redelivered_at IS DISTINCT FROM NEW.redelivered_at))
    EXECUTE FUNCTION @extschema@._rule_order_ended();
ALTER TABLE @extschema@.rule_webhook_queue ENABLE ALWAYS TRIGGER rule_webhook_queue_order_ended;
CREATE OR REPLACE TRIGGER rule_webhook_queue_order_deleted
    AFTER DELETE ON @extschema@.rule_webhook_queue
    FOR EACH ROW WHEN (OLD.order_key IS NOT NULL AND OLD.status <> 'success')
    EXECUTE FUNCTION @extschema@._rule_order_ended();
ALTER TABLE @extschema@.rule_webhook_queue ENABLE ALWAYS TRIGGER rule_webhook_queue_order_deleted;

CREATE OR REPLACE FUNCTION @extschema@._rule_webhooks_order_unblocked()
RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF NOT @extschema@._rule_replicated() THEN
        INSERT INTO @extschema@.rule_webhook_turns (webhook_id) VALUES (NEW.webhook_id);
        PERFORM @extschema@._rule_queue_wake();
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION @extschema@._rule_webhooks_order_unblocked() IS
    'Internal trigger: dead letters that blocked their keys do so no longer.';

CREATE OR REPLACE TRIGGER rule_webhooks_order_unblocked
    AFTER UPDATE ON @extschema@.rule_webhooks
    FOR EACH ROW WHEN (OLD.on_dead = 'block' AND NEW.on_dead = 'skip')
    EXECUTE FUNCTION @extschema@._rule_webhooks_order_unblocked();
ALTER TABLE @extschema@.rule_webhooks ENABLE ALWAYS TRIGGER rule_webhooks_order_unblocked;

CREATE OR REPLACE FUNCTION @extschema@._rule_order_turns(p_limit integer)
RETURNS integer LANGUAGE plpgsql
AS $$
DECLARE
    v_turn record;
    v_done bigint[] := '{}';
    v_keys integer := 0;
BEGIN
    IF NOT EXISTS (SELECT FROM @extschema@.rule_webhook_turns) THEN
        RETURN 0;
    END IF;
    FOR v_turn IN
        SELECT t.webhook_id, t.order_key, array_agg(t.turn_id) AS ids
        FROM (SELECT t.* FROM @extschema@.rule_webhook_turns t ORDER BY t.turn_id LIMIT 250 FOR UPDATE SKIP LOCKED) t
        -- In an order drawn anew each time, so that none that is hindered holds up the others.
        GROUP BY t.webhook_id, t.order_key ORDER BY random() LIMIT p_limit
    LOOP
        v_keys := v_keys + 1;
        IF v_turn.order_key IS NULL THEN
            INSERT INTO @extschema@.rule_webhook_turns (webhook_id, order_key)
            SELECT DISTINCT q.webhook_id, q.order_key FROM @extschema@.rule_webhook_queue q
            WHERE q.webhook_id = v_turn.webhook_id AND q.status = 'failed' AND q.order_key IS NOT NULL AND q.redelivered_at IS NULL;
            PERFORM @extschema@._rule_queue_wake();
        ELSE
            CONTINUE WHEN NOT @extschema@._rule_order_next(v_turn.webhook_id, v_turn.order_key);
        END IF;
        v_done := v_done || v_turn.ids;
    END LOOP;
    DELETE FROM @extschema@.rule_webhook_turns t WHERE t.turn_id = ANY (v_done);
    RETURN v_keys;
END
$$;
COMMENT ON FUNCTION @extschema@._rule_order_turns(integer) IS
    'Internal: gives so many keys at most their next turn that were left to a claim, and says to how many.';

CREATE OR REPLACE FUNCTION @extschema@._rule_order_waits(
    p_webhook_id integer, p_order_key text, p_place bigint, p_queue_id bigint, p_on_dead text)
RETURNS text LANGUAGE sql STABLE
AS $$
    SELECT CASE
        WHEN p_on_dead = 'block' AND (
            SELECT coalesce(q.order_place, q.queue_id) FROM @extschema@.rule_webhook_queue q
            WHERE q.webhook_id + 0 = p_webhook_id AND q.order_key = p_order_key AND q.redelivered_at IS NULL AND q.status = 'failed'
            ORDER BY coalesce(q.order_place, q.queue_id), q.queue_id LIMIT 1) < p_place
        THEN 'blocked by a dead letter'
        WHEN (
            SELECT q.queue_id FROM @extschema@.rule_webhook_queue q
            WHERE q.webhook_id + 0 = p_webhook_id AND q.order_key = p_order_key AND q.redelivered_at IS NULL AND q.status = 'pending'
            ORDER BY coalesce(q.order_place, q.queue_id), q.queue_id LIMIT 1) <> p_queue_id
          OR (
            SELECT q.queue_id FROM @extschema@.rule_webhook_queue q
            WHERE q.webhook_id + 0 = p_webhook_id AND q.order_key = p_order_key AND q.redelivered_at IS NULL AND q.status = 'processing'
            ORDER BY coalesce(q.order_place, q.queue_id), q.queue_id LIMIT 1) IS NOT NULL
        THEN 'behind another event of its key' END
$$;
COMMENT ON FUNCTION @extschema@._rule_order_waits(integer, text, bigint, bigint, text) IS
    'Internal: what keeps a row that waits from having its turn, NULL where nothing does.';
