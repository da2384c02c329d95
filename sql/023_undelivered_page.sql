-- What has not arrived, by the page. The queue comes first, each kind of its rows in the order of its own index, so that a page
-- costs what it shows, however long the queue is.

CREATE OR REPLACE FUNCTION @extschema@._rule_undelivered_place(p_after jsonb)
RETURNS TABLE (part integer, webhook_id integer, due_at timestamptz, queue_id bigint, message_id text, redelivery integer)
LANGUAGE plpgsql STABLE
AS $$
BEGIN
    IF p_after IS NOT NULL AND (jsonb_typeof(p_after) <> 'array' OR (p_after ->> 0)::integer NOT BETWEEN 1 AND 6) THEN
        RAISE data_exception;
    END IF;
    RETURN QUERY
    SELECT coalesce((p_after ->> 0)::integer, 1), coalesce((p_after ->> 1)::integer, -2147483648),
           coalesce((p_after ->> 2)::timestamptz, '-infinity'), coalesce((p_after ->> 3)::bigint, -9223372036854775808),
           coalesce(p_after ->> 4, ''), coalesce((p_after ->> 5)::integer, -2147483648);
EXCEPTION WHEN data_exception THEN
    PERFORM @extschema@._rule_refuse('p_after is no place',
        'Give what column place of the last row that you have says, or NULL to begin.');
END
$$;
COMMENT ON FUNCTION @extschema@._rule_undelivered_place(jsonb) IS
    'Internal: behind which event a page begins; part 1 are dead letters, 2 those of no webhook, 3 what is leased, 4 what waits, 5 receipts, 6 what was published.';

CREATE OR REPLACE FUNCTION @extschema@._rule_undelivered_pick(p_part integer, p_webhook_id integer, p_after jsonb, p_limit integer)
RETURNS TABLE (queue_id bigint, place jsonb) LANGUAGE plpgsql STABLE
-- For each part and each webhook its own index.
SET plan_cache_mode = force_custom_plan
AS $$
#variable_conflict use_column
DECLARE
    -- A range, so that one plan serves one webhook and all of them.
    v_first integer := coalesce(p_webhook_id, -2147483648);
    v_last integer := coalesce(p_webhook_id, 2147483647);
    v record;
BEGIN
    SELECT * INTO v FROM @extschema@._rule_undelivered_place(CASE WHEN (p_after ->> 0)::integer = p_part THEN p_after END);
    IF p_part = 1 THEN
        RETURN QUERY SELECT q.queue_id, jsonb_build_array(1, q.webhook_id, NULL, q.queue_id)
        FROM @extschema@.rule_webhook_queue q
        WHERE q.status = 'failed' AND q.redelivered_at IS NULL AND q.webhook_id BETWEEN v_first AND v_last
          AND (q.webhook_id, q.queue_id) > (v.webhook_id, v.queue_id)
        ORDER BY q.webhook_id, q.queue_id LIMIT p_limit;
    ELSIF p_part = 2 AND p_webhook_id IS NULL THEN
        RETURN QUERY SELECT q.queue_id, jsonb_build_array(2, NULL, NULL, q.queue_id, q.message_id)
        FROM @extschema@.rule_webhook_queue q
        WHERE q.webhook_id IS NULL AND q.status = 'failed' AND q.redelivered_at IS NULL
          AND (q.message_id, q.queue_id) > (v.message_id, v.queue_id)
        ORDER BY q.message_id, q.queue_id LIMIT p_limit;
    ELSIF p_part = 3 THEN
        RETURN QUERY SELECT q.queue_id, jsonb_build_array(3, NULL, NULL, q.queue_id)
        FROM @extschema@.rule_webhook_queue q
        WHERE q.status = 'processing' AND q.lease_until IS NOT NULL AND q.webhook_id BETWEEN v_first AND v_last AND q.queue_id > v.queue_id
        ORDER BY q.queue_id LIMIT p_limit;
    ELSIF p_part = 4 THEN
        RETURN QUERY SELECT q.queue_id, jsonb_build_array(4, q.webhook_id, q.next_retry_at, q.queue_id)
        FROM @extschema@.rule_webhook_queue q
        WHERE q.status = 'pending' AND q.webhook_id + 0 BETWEEN v_first AND v_last
          AND (q.webhook_id + 0, q.next_retry_at, q.queue_id) > (v.webhook_id, v.due_at, v.queue_id)
        ORDER BY q.webhook_id + 0, q.next_retry_at, q.queue_id LIMIT p_limit;
    END IF;
END
$$;
COMMENT ON FUNCTION @extschema@._rule_undelivered_pick(integer, integer, jsonb, integer) IS
    'Internal: the next rows of the queue of one part, and where each is.';

CREATE OR REPLACE FUNCTION @extschema@.rule_webhook_undelivered(p_webhook_id integer, p_limit integer, p_after jsonb DEFAULT NULL)
RETURNS TABLE (webhook_id integer, webhook_name text, message_id text, redelivery integer, queue_id bigint, reason text,
               error_message text, tries integer, accepted_at timestamptz, next_try_at timestamptz, place jsonb)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_custom_plan SET jit = off
AS $$
#variable_conflict use_column
DECLARE
    v_first integer := coalesce(p_webhook_id, -2147483648);
    v_last integer := coalesce(p_webhook_id, 2147483647);
    v record;
    v_from record;
    v_ids bigint[];
    v_places jsonb[];
    v_rows integer;
    v_found integer := 0;
BEGIN
    PERFORM @extschema@._rule_undelivered_webhook(p_webhook_id);
    PERFORM @extschema@._rule_check_range(p_limit, 1, 10000, 'p_limit');
    SELECT * INTO v FROM @extschema@._rule_undelivered_place(p_after);
    FOR v_part IN v.part .. 4 LOOP
        SELECT coalesce(array_agg(k.queue_id), '{}'), array_agg(k.place) INTO v_ids, v_places
        FROM @extschema@._rule_undelivered_pick(v_part, p_webhook_id, p_after, p_limit - v_found) k;
        -- By the array, which reaches the index through the view.
        RETURN QUERY
        SELECT u.*, k.place
        FROM unnest(v_ids, v_places) WITH ORDINALITY AS k (queue_id, place, n)
        JOIN (SELECT * FROM @extschema@._rule_undelivered_queue r WHERE r.queue_id = ANY (v_ids)) u ON u.queue_id = k.queue_id
        ORDER BY k.n;
        GET DIAGNOSTICS v_rows = ROW_COUNT;
        v_found := v_found + v_rows;
        EXIT WHEN v_found >= p_limit;
    END LOOP;
    -- To find what a stream has may take as long as the history is: a page that shows something does not wait for it.
    IF v_found = 0 AND v.part <= 5 THEN
        SELECT * INTO v_from FROM @extschema@._rule_undelivered_place(CASE WHEN v.part = 5 THEN p_after END);
        RETURN QUERY
        SELECT u.*, jsonb_build_array(5, u.webhook_id, NULL, NULL, u.message_id, u.redelivery)
        FROM @extschema@._rule_undelivered_receipts u
        WHERE u.webhook_id BETWEEN v_first AND v_last
          AND (u.webhook_id, u.message_id, u.redelivery) > (v_from.webhook_id, v_from.message_id, v_from.redelivery)
        ORDER BY u.webhook_id, u.message_id, u.redelivery LIMIT p_limit;
        GET DIAGNOSTICS v_found = ROW_COUNT;
    END IF;
    IF v_found = 0 THEN
        SELECT * INTO v_from FROM @extschema@._rule_undelivered_place(CASE WHEN v.part = 6 THEN p_after END);
        RETURN QUERY
        SELECT u.*, jsonb_build_array(6, u.webhook_id, NULL, NULL, u.message_id)
        FROM @extschema@._rule_undelivered_published u
        WHERE u.webhook_id BETWEEN v_first AND v_last AND (u.webhook_id, u.message_id) > (v_from.webhook_id, v_from.message_id)
        ORDER BY u.webhook_id, u.message_id LIMIT p_limit;
    END IF;
END
$$;
COMMENT ON FUNCTION @extschema@.rule_webhook_undelivered(integer, integer, jsonb) IS
    'The same by the page, of all webhooks where p_webhook_id is NULL: begin with p_after NULL, go on with the place of the last row that you have, until a page is empty; one can be shorter than p_limit. Dead letters come first, then what is leased, what waits, by webhook and when it is due, and what streams have. What changes meanwhile can come twice or be left out.';
