-- One endpoint's backlog must not fill a worker. What the worker has no room for waits here.

CREATE OR REPLACE FUNCTION @extschema@._rule_room(p_room jsonb, p_webhook_id integer)
RETURNS bigint LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$ SELECT coalesce(@extschema@._rule_json_count(p_room -> p_webhook_id::text), @extschema@._rule_json_count(p_room -> '')) $$;
COMMENT ON FUNCTION @extschema@._rule_room(jsonb, integer) IS
    'Internal: how many more events of a webhook a worker takes; NULL is no limit.';

CREATE OR REPLACE FUNCTION @extschema@._rule_room_left(p_room jsonb, p_taken bigint[])
RETURNS jsonb LANGUAGE plpgsql
AS $$
BEGIN
    IF p_room IS NULL OR p_taken = '{}' THEN
        RETURN p_room;
    END IF;
    RETURN p_room || (
        SELECT coalesce(jsonb_object_agg(t.webhook_id, greatest(0, t.room - t.taken)), '{}')
        FROM (SELECT q.webhook_id, @extschema@._rule_room(p_room, q.webhook_id) AS room, count(*) AS taken
              FROM @extschema@.rule_webhook_queue q WHERE q.queue_id = ANY (p_taken) GROUP BY q.webhook_id) t
        WHERE t.room IS NOT NULL);
END
$$;
COMMENT ON FUNCTION @extschema@._rule_room_left(jsonb, bigint[]) IS
    'Internal: a worker''s room once it has these queue rows.';

-- An open transaction that published one of the same ids is not waited for, as in _rule_event_store.
CREATE OR REPLACE FUNCTION @extschema@._rule_events_store(
    p_webhook_ids integer[], p_message_ids text[], p_payloads text[], p_due timestamptz[], p_which integer[])
RETURNS integer[] LANGUAGE plpgsql
SET lock_timeout = '20ms'
AS $$
DECLARE
    v_now timestamptz := clock_timestamp();
    v_published timestamptz[];
    v_stored integer[];
BEGIN
    SELECT @extschema@._rule_events_published_at(array_agg(p_webhook_ids[w.i] ORDER BY w.n), array_agg(p_message_ids[w.i] ORDER BY w.n))
    INTO v_published FROM unnest(p_which) WITH ORDINALITY AS w (i, n);
    WITH given AS MATERIALIZED (
        SELECT w.i AS n, p_webhook_ids[w.i] AS webhook_id, p_message_ids[w.i] AS message_id, w.published_at,
               @extschema@._rule_payload_json(@extschema@._rule_payload_bytes(p_payloads[w.i])) AS payload,
               coalesce(p_due[w.i], v_now) AS due_at
        FROM unnest(p_which, v_published) AS w (i, published_at)),
    stored AS (
        INSERT INTO @extschema@.rule_webhook_queue (webhook_id, message_id, payload, next_retry_at, started_at, created_at)
        SELECT g.webhook_id, g.message_id, g.payload, g.due_at, v_now, coalesce(g.published_at, g.due_at)
        FROM given g WHERE g.payload IS NOT NULL
        ORDER BY g.webhook_id, g.message_id COLLATE "C"
        ON CONFLICT DO NOTHING
        RETURNING webhook_id, message_id)
    SELECT coalesce(array_agg(g.n), '{}') INTO v_stored
    FROM given g JOIN stored s ON s.webhook_id = g.webhook_id AND s.message_id = g.message_id;
    RETURN v_stored;
EXCEPTION WHEN lock_not_available THEN
    RETURN '{}';
END
$$;
COMMENT ON FUNCTION @extschema@._rule_events_store(integer[], text[], text[], timestamptz[], integer[]) IS
    'Internal: makes queue rows of events that nothing is known of yet, due since the time given or from now on, and says of which.';

CREATE OR REPLACE FUNCTION @extschema@._rule_events_set_aside(
    p_webhook_ids integer[], p_message_ids text[], p_payloads text[], p_due timestamptz[], p_which integer[])
RETURNS TABLE (n integer, verdict text, wait_ms integer, reason text)
LANGUAGE plpgsql
AS $$
DECLARE
    v_stored integer[] := @extschema@._rule_events_store(p_webhook_ids, p_message_ids, p_payloads, p_due, p_which);
BEGIN
    RETURN QUERY SELECT i, 'queued', NULL::integer, NULL FROM unnest(v_stored) i;
    RETURN QUERY
    SELECT i, s.verdict, s.wait_ms, s.reason
    FROM unnest(p_which) i
    CROSS JOIN LATERAL @extschema@._rule_event_set_aside(p_webhook_ids[i], p_message_ids[i], p_payloads[i], p_due[i]) s
    WHERE i <> ALL (v_stored);
END
$$;
COMMENT ON FUNCTION @extschema@._rule_events_set_aside(integer[], text[], text[], timestamptz[], integer[]) IS
    'Internal: moves events of the stream into the queue, untried, all at once where nothing hinders it.';
