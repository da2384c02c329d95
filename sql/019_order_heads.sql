-- Events of one key go one after the other. A row that is due and not in turn is parked by the claim that finds it, its
-- next_retry_at infinity, so that no claim reads it again; what ends the event before it makes it due. Both hold the key's
-- lock until they commit, so that neither misses the other; whoever ends an event and cannot have the lock leaves a row in
-- rule_webhook_turns, which the next claim sees with what it ended.

-- An entry of an index has 2,700 bytes at most.
CREATE OR REPLACE FUNCTION @extschema@._rule_order_value(p_value text)
RETURNS text LANGUAGE sql STABLE STRICT PARALLEL SAFE
AS $$
    SELECT CASE WHEN pg_catalog.octet_length(p_value) <= 200 THEN p_value
                ELSE 'sha256:' || pg_catalog.encode(pg_catalog.sha256(pg_catalog.convert_to(p_value, 'UTF8')), 'hex') END
$$;
COMMENT ON FUNCTION @extschema@._rule_order_value(text) IS
    'Internal: the value at order_key as the queue keeps it, a long one as its hash.';

-- As the lock of an event, which nobody waits for either; no event has this number.
CREATE OR REPLACE FUNCTION @extschema@._rule_order_lock(p_webhook_id integer, p_order_key text)
RETURNS boolean LANGUAGE sql VOLATILE
AS $$ SELECT @extschema@._rule_event_lock(p_webhook_id, p_order_key, -1) $$;
COMMENT ON FUNCTION @extschema@._rule_order_lock(integer, text) IS
    'Internal: makes the transaction the only one that decides whose turn it is in a key, or says that another is.';

CREATE OR REPLACE FUNCTION @extschema@._rule_order_first(
    p_webhook_id integer, p_order_key text, OUT queue_id bigint, OUT place bigint, OUT parked boolean, OUT in_turn boolean)
LANGUAGE plpgsql
AS $$
#variable_conflict use_column
BEGIN
    -- All of them ask and sort as rule_webhook_queue_order_idx does, so that no plan takes another.
    SELECT f.queue_id, f.place, f.next_retry_at = 'infinity',
           (SELECT q.queue_id FROM @extschema@.rule_webhook_queue q
            WHERE q.webhook_id + 0 = p_webhook_id AND q.order_key = p_order_key AND q.redelivered_at IS NULL
              AND q.status = 'processing'
            ORDER BY coalesce(q.order_place, q.queue_id), q.queue_id LIMIT 1) IS NULL
           AND ((SELECT coalesce(q.order_place, q.queue_id) FROM @extschema@.rule_webhook_queue q
                 WHERE q.webhook_id + 0 = p_webhook_id AND q.order_key = p_order_key AND q.redelivered_at IS NULL
                   AND q.status = 'failed'
                 ORDER BY coalesce(q.order_place, q.queue_id), q.queue_id LIMIT 1) < f.place
                AND (SELECT w.on_dead = 'block' FROM @extschema@.rule_webhooks w WHERE w.webhook_id = p_webhook_id)) IS NOT TRUE
    INTO queue_id, place, parked, in_turn
    FROM (SELECT q.queue_id, coalesce(q.order_place, q.queue_id) AS place, q.next_retry_at
          FROM @extschema@.rule_webhook_queue q
          WHERE q.webhook_id + 0 = p_webhook_id AND q.order_key = p_order_key AND q.redelivered_at IS NULL
            AND q.status = 'pending'
          ORDER BY coalesce(q.order_place, q.queue_id), q.queue_id LIMIT 1) f;
END
$$;
COMMENT ON FUNCTION @extschema@._rule_order_first(integer, text) IS
    'Internal: the first row of a key that waits, whether it is parked, and whether it may be sent: nothing of the key is being sent, and no dead letter before it blocks.';

CREATE OR REPLACE FUNCTION @extschema@._rule_order_next(p_webhook_id integer, p_order_key text)
RETURNS boolean LANGUAGE plpgsql
AS $$
DECLARE
    v_first record;
    v_row record;
BEGIN
    IF NOT @extschema@._rule_order_lock(p_webhook_id, p_order_key) THEN
        RETURN false;
    END IF;
    SELECT * INTO v_first FROM @extschema@._rule_order_first(p_webhook_id, p_order_key);
    IF v_first.in_turn AND v_first.parked THEN
        SELECT q.ctid, q.status INTO v_row FROM @extschema@.rule_webhook_queue q
        WHERE q.queue_id = v_first.queue_id FOR UPDATE SKIP LOCKED;
        IF v_row.status IS DISTINCT FROM 'pending' THEN
            RETURN false;
        END IF;
        -- It has been waiting since it came, for others and for a hold's end.
        UPDATE @extschema@.rule_webhook_queue q SET next_retry_at = q.created_at WHERE q.ctid = v_row.ctid;
        PERFORM @extschema@._rule_queue_wake();
    END IF;
    RETURN true;
END
$$;
COMMENT ON FUNCTION @extschema@._rule_order_next(integer, text) IS
    'Internal: makes the parked row due whose turn it is in a key, or says that it cannot be done now.';

CREATE OR REPLACE FUNCTION @extschema@._rule_order_any()
RETURNS boolean LANGUAGE plpgsql STABLE
AS $$
BEGIN
    RETURN EXISTS (SELECT FROM @extschema@.rule_webhook_queue q
                   WHERE q.order_key IS NOT NULL AND q.status <> 'success' AND q.redelivered_at IS NULL);
END
$$;
COMMENT ON FUNCTION @extschema@._rule_order_any() IS
    'Internal: whether anything in the queue has an order.';

CREATE OR REPLACE FUNCTION @extschema@._rule_order_heads(p_rows bigint[], p_locks integer, OUT rows bigint[], OUT keys integer)
LANGUAGE plpgsql
AS $$
DECLARE
    v_now timestamptz := clock_timestamp();
    v_key record;
    v_first record;
    -- Each key is a lock until the commit, and each row that is taken another one.
    v_left integer := p_locks - cardinality(p_rows);
    v_out bigint[] := '{}';
    v_behind bigint[] := '{}';
    -- Parallel arrays: keys that rows were parked of, and the place of their first row.
    v_webhook_ids integer[] := '{}';
    v_order_keys text[] := '{}';
    v_places bigint[] := '{}';
BEGIN
    rows := p_rows;
    keys := 0;
    IF NOT @extschema@._rule_order_any() THEN
        RETURN;
    END IF;
    FOR v_key IN
        SELECT q.webhook_id, q.order_key, array_agg(q.queue_id) AS of_it
        FROM unnest(p_rows) AS u (id)
        CROSS JOIN LATERAL (SELECT q.webhook_id, q.order_key, q.queue_id FROM @extschema@.rule_webhook_queue q
                            WHERE q.queue_id = u.id OFFSET 0) q
        WHERE q.order_key IS NOT NULL
        GROUP BY q.webhook_id, q.order_key ORDER BY q.webhook_id, q.order_key COLLATE "C"
    LOOP
        v_out := v_out || v_key.of_it;
        v_left := v_left + cardinality(v_key.of_it);
        CONTINUE WHEN v_left < 2 OR NOT @extschema@._rule_order_lock(v_key.webhook_id, v_key.order_key);
        keys := keys + 1;
        v_left := v_left - 1;
        SELECT * INTO v_first FROM @extschema@._rule_order_first(v_key.webhook_id, v_key.order_key);
        IF v_first.in_turn AND v_first.queue_id = ANY (v_key.of_it) THEN
            v_left := v_left - 1;
            v_out := array_remove(v_out, v_first.queue_id);
            v_key.of_it := array_remove(v_key.of_it, v_first.queue_id);
        -- One that came later, by its commit, than those that it goes before.
        ELSIF v_first.in_turn AND v_first.parked THEN
            CONTINUE WHEN NOT @extschema@._rule_order_next(v_key.webhook_id, v_key.order_key);
        END IF;
        IF v_key.of_it <> '{}' THEN
            v_behind := v_behind || v_key.of_it;
            v_webhook_ids := v_webhook_ids || v_key.webhook_id;
            v_order_keys := v_order_keys || v_key.order_key;
            v_places := v_places || v_first.place;
        END IF;
    END LOOP;
    IF v_behind <> '{}' THEN
        UPDATE @extschema@.rule_webhook_queue q SET next_retry_at = 'infinity' WHERE q.queue_id = ANY (v_behind);
        PERFORM @extschema@._rule_order_park(v_webhook_ids, v_order_keys, v_places, least(500, 20 * cardinality(v_behind)), v_now);
    END IF;
    rows := ARRAY(SELECT r.id FROM unnest(p_rows) WITH ORDINALITY AS r (id, n) WHERE r.id <> ALL (v_out) ORDER BY r.n);
END
$$;
COMMENT ON FUNCTION @extschema@._rule_order_heads(bigint[], integer) IS
    'Internal: those of some locked rows that are in turn in their key, or have none, as far as so many locks are enough for them and their keys, and how many keys it has locked. Parks what is not in turn.';

-- A key with a long backlog must not be gone through by the share of one claim after the other.
CREATE OR REPLACE FUNCTION @extschema@._rule_order_park(
    p_webhook_ids integer[], p_order_keys text[], p_places bigint[], p_ahead integer, p_now timestamptz)
RETURNS void LANGUAGE plpgsql
AS $$
DECLARE
    v_webhook_id integer;
    v_places tid[];
BEGIN
    FOR v_webhook_id IN SELECT DISTINCT u.id FROM unnest(p_webhook_ids) AS u (id) ORDER BY 1 LOOP
        -- Each by its key, and written to where it was locked: no plan may look for them in an index of what is due.
        SELECT coalesce(array_agg(l.ctid), '{}') INTO v_places
        FROM (SELECT q.queue_id, q.order_key, coalesce(q.order_place, q.queue_id) AS place
              FROM @extschema@.rule_webhook_queue q
              WHERE q.webhook_id = v_webhook_id AND NOT q.paced AND q.status = 'pending' AND q.route <> 'publish' AND q.next_retry_at <= p_now
              ORDER BY q.next_retry_at, q.queue_id LIMIT p_ahead) a
        JOIN unnest(p_webhook_ids, p_order_keys, p_places) AS k (webhook_id, order_key, place)
            ON k.webhook_id = v_webhook_id AND k.order_key = a.order_key AND a.place > k.place
        CROSS JOIN LATERAL (
            SELECT q.ctid, q.status, q.next_retry_at FROM @extschema@.rule_webhook_queue q
            WHERE q.queue_id = a.queue_id FOR UPDATE SKIP LOCKED) l
        WHERE l.status = 'pending' AND l.next_retry_at <= p_now;
        UPDATE @extschema@.rule_webhook_queue q SET next_retry_at = 'infinity' WHERE q.ctid = ANY (v_places);
        -- There may be more, and others behind it.
        IF cardinality(v_places) > 100 THEN
            PERFORM @extschema@._rule_queue_wake();
        END IF;
    END LOOP;
END
$$;
COMMENT ON FUNCTION @extschema@._rule_order_park(integer[], text[], bigint[], integer, timestamptz) IS
    'Internal: parks those of so many due rows that are of these keys, whose locks are ours, and after these places.';
