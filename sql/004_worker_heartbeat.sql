-- A worker lives: its totals, and the leases of what it still holds.

CREATE OR REPLACE FUNCTION @extschema@.rule_worker_heartbeat(p_consumer text, p_totals jsonb, p_holds jsonb)
RETURNS TABLE (verdict text, lost jsonb)
LANGUAGE plpgsql SECURITY DEFINER SET enable_seqscan = off SET jit = off SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    v_now timestamptz := clock_timestamp();
    v_ids bigint[];
    v_webhook_ids integer[];
    v_message_ids text[];
    v_redeliveries integer[];
    v_instance bigint := @extschema@._rule_json_count(p_holds -> 'instance');
    v_namesake boolean;
BEGIN
    PERFORM @extschema@._rule_worker_begin(p_consumer, false);
    IF jsonb_typeof(p_holds -> 'unanswered') = 'array' THEN
        PERFORM @extschema@._rule_claims_unanswered(p_consumer, ARRAY(
            SELECT @extschema@._rule_json_count(c) FROM jsonb_array_elements(p_holds -> 'unanswered') c));
    END IF;

    SELECT coalesce(array_agg(DISTINCT @extschema@._rule_json_count(h)), '{}') INTO v_ids
    FROM jsonb_array_elements(CASE jsonb_typeof(p_holds -> 'queue') WHEN 'array' THEN p_holds -> 'queue' ELSE '[]' END) h
    WHERE @extschema@._rule_json_count(h) IS NOT NULL;
    SELECT coalesce(array_agg(@extschema@._rule_json_count(h -> 0)::integer), '{}'),
           coalesce(array_agg(h ->> 1), '{}'), coalesce(array_agg(@extschema@._rule_json_count(h -> 2)::integer), '{}')
    INTO v_webhook_ids, v_message_ids, v_redeliveries
    FROM jsonb_array_elements(CASE jsonb_typeof(p_holds -> 'receipts') WHEN 'array' THEN p_holds -> 'receipts' ELSE '[]' END) h
    WHERE @extschema@._rule_json_count(h -> 0) <= 2147483647 AND @extschema@._rule_json_count(h -> 2) <= 2147483647
      AND h ->> 1 IS NOT NULL;

    -- A row that is locked is being reported or taken in this moment, and needs no renewal.
    WITH mine AS (
        SELECT q.queue_id, @extschema@._rule_lease(w.timeout_ms) AS lease
        FROM @extschema@.rule_webhook_queue q JOIN @extschema@.rule_webhooks w ON w.webhook_id = q.webhook_id
        WHERE q.status = 'processing' AND q.leased_by = p_consumer
          AND q.queue_id IN (
              SELECT unnest(v_ids) UNION
              SELECT k.queue_id FROM unnest(v_webhook_ids, v_message_ids, v_redeliveries) AS h (webhook_id, message_id, redelivery)
              JOIN @extschema@.rule_webhook_queue k USING (webhook_id, message_id, redelivery))
        ORDER BY q.webhook_id, q.message_id, q.redelivery FOR UPDATE OF q SKIP LOCKED)
    UPDATE @extschema@.rule_webhook_queue q SET lease_until = v_now + mine.lease FROM mine WHERE q.queue_id = mine.queue_id;
    WITH mine AS (
        SELECT r.webhook_id, r.message_id, r.redelivery, @extschema@._rule_lease(w.timeout_ms) AS lease
        FROM unnest(v_webhook_ids, v_message_ids, v_redeliveries) AS h (webhook_id, message_id, redelivery)
        JOIN @extschema@.rule_webhook_receipts r USING (webhook_id, message_id, redelivery)
        JOIN @extschema@.rule_webhooks w ON w.webhook_id = r.webhook_id
        WHERE r.state = 'leased' AND r.leased_by = p_consumer
        ORDER BY r.webhook_id, r.message_id, r.redelivery FOR UPDATE OF r SKIP LOCKED)
    UPDATE @extschema@.rule_webhook_receipts r SET lease_until = v_now + mine.lease FROM mine
    WHERE r.webhook_id = mine.webhook_id AND r.message_id = mine.message_id AND r.redelivery = mine.redelivery;

    v_namesake := @extschema@._rule_worker_has_namesake(p_consumer, v_instance, @extschema@._rule_json_count(p_holds -> 'heard_ms'));
    PERFORM @extschema@._rule_worker_totals(p_consumer, p_totals, v_instance);
    RETURN QUERY SELECT 'go on', jsonb_build_object(
        -- A worker stamps requests by its own clock, and receivers refuse them when that is wrong.
        'now_ms', floor(1000 * extract(epoch FROM clock_timestamp()))::bigint,
        'places', @extschema@._rule_worker_places(p_consumer),
        'namesake', v_namesake,
        'queue', (
            SELECT coalesce(jsonb_agg(u.id ORDER BY u.id), '[]') FROM unnest(v_ids) AS u (id)
            WHERE NOT EXISTS (SELECT FROM @extschema@.rule_webhook_queue q
                              WHERE q.queue_id = u.id AND q.status = 'processing' AND q.leased_by = p_consumer)),
        'receipts', (
            SELECT coalesce(jsonb_agg(jsonb_build_array(h.webhook_id, h.message_id, h.redelivery)
                                      ORDER BY h.webhook_id, h.message_id, h.redelivery), '[]')
            FROM unnest(v_webhook_ids, v_message_ids, v_redeliveries) AS h (webhook_id, message_id, redelivery)
            WHERE NOT EXISTS (SELECT FROM @extschema@.rule_webhook_queue q
                              WHERE q.webhook_id = h.webhook_id AND q.message_id = h.message_id
                                AND q.redelivery = h.redelivery AND q.status = 'processing' AND q.leased_by = p_consumer)
              AND NOT EXISTS (SELECT FROM @extschema@.rule_webhook_receipts r
                              WHERE r.webhook_id = h.webhook_id AND r.message_id = h.message_id
                                AND r.redelivery = h.redelivery AND r.state = 'leased' AND r.leased_by = p_consumer)));
END
$$;
COMMENT ON FUNCTION @extschema@.rule_worker_heartbeat(text, jsonb, jsonb) IS
    'For workers: writes totals, renews the leases of what is held, gives back what claims without an answer were leased, and says what of the held is not the worker''s any more, its place in its group, the time, and whether another process of its name has done so since the time that is given as heard_ms.';

CREATE OR REPLACE FUNCTION @extschema@._rule_worker_totals(p_consumer text, p_totals jsonb, p_instance bigint)
RETURNS void LANGUAGE plpgsql
AS $$
DECLARE
    v_totals jsonb := CASE jsonb_typeof(p_totals) WHEN 'array' THEN p_totals ELSE '[]' END;
    v_rows integer[] := @extschema@._rule_worker_rows(
        p_consumer, ARRAY(SELECT t ->> 'stream' FROM jsonb_array_elements(v_totals) t));
BEGIN
    UPDATE @extschema@.rule_nats_consumer_stats s
    SET queue_group = coalesce(t.queue_group, s.queue_group), messages_delivered = t.delivered,
        messages_acknowledged = t.acknowledged, messages_pending = t.pending, messages_redelivered = t.redelivered,
        avg_processing_time_ms = coalesce(t.avg_ms, s.avg_processing_time_ms),
        last_active_at = clock_timestamp(), active = t.active, updated_at = now(),
        instance = p_instance, instance_at = clock_timestamp()
    FROM (SELECT DISTINCT ON (t ->> 'stream') t ->> 'stream' AS stream_name, t ->> 'group' AS queue_group,
                 coalesce(@extschema@._rule_json_count(t -> 'delivered'), 0) AS delivered,
                 coalesce(@extschema@._rule_json_count(t -> 'acknowledged'), 0) AS acknowledged,
                 coalesce(@extschema@._rule_json_count(t -> 'pending'), 0) AS pending,
                 coalesce(@extschema@._rule_json_count(t -> 'redelivered'), 0) AS redelivered,
                 CASE WHEN t ->> 'avg_ms' ~ '^[0-9]{1,12}(\.[0-9]+)?$' THEN round((t ->> 'avg_ms')::numeric, 3) END AS avg_ms,
                 t -> 'active' IS DISTINCT FROM 'false'::jsonb AS active
          FROM jsonb_array_elements(v_totals) t) t
    WHERE s.consumer_id = ANY (v_rows) AND s.stream_name = t.stream_name;
END
$$;
COMMENT ON FUNCTION @extschema@._rule_worker_totals(text, jsonb, bigint) IS
    'Internal: writes what a worker counted, per stream.';
