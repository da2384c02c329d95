-- Queue rows: to NATS again where it can take them, else to the endpoint, round over the webhooks.

CREATE OR REPLACE FUNCTION @extschema@.rule_worker_claim(
    p_consumer text, p_limit integer, p_streams text[], p_room jsonb, p_call bigint DEFAULT NULL)
RETURNS TABLE (queue_id bigint, action text, webhook_id integer, message_id text, redelivery integer, try integer,
               payload text, stream text, subject text, headers jsonb)
LANGUAGE plpgsql SECURITY DEFINER SET enable_seqscan = off SET jit = off
SET plan_cache_mode = force_generic_plan SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    v_left integer := least(p_limit, 500);
    v_room integer;
    v_publish bigint[];
    v_unanswered bigint[];
    v_post bigint[];
    v_source_id uuid;
BEGIN
    PERFORM @extschema@._rule_worker_begin(p_consumer, true);
    PERFORM @extschema@._rule_check_range(p_limit, 1, 1000000, 'the number of rows to claim');
    v_source_id := (@extschema@._rule_source()).source_id;
    PERFORM @extschema@._rule_streams_reached(p_consumer, p_streams);
    PERFORM @extschema@._rule_leases_look();
    PERFORM @extschema@._rule_holds_expire(1000);
    -- Asked for once, and each that locks has some of it: the last one has what is left. So many are a call's own by default.
    v_room := @extschema@._rule_event_locks_room(
        -- An event that has an order is locked with its key.
        greatest(CASE WHEN @extschema@._rule_order_any() THEN 2 * v_left ELSE v_left END, 16), true);
    v_room := v_room - @extschema@._rule_order_turns(greatest(1, v_room / 4));
    v_room := v_room - @extschema@._rule_open_events_look(p_consumer, v_room / 2);
    -- Half is left for the endpoints: a backlog for NATS must not hold them up.
    SELECT p.ids, p.unanswered_ms INTO v_publish, v_unanswered
    FROM @extschema@._rule_claim_publish(p_consumer, (v_left + 1) / 2, p_streams, p_call) p;
    v_post := @extschema@._rule_claim_post(
        p_consumer, v_left - cardinality(v_publish), v_room, p_room, p_call);
    RETURN QUERY
    SELECT q.queue_id, CASE WHEN a.publish THEN 'publish' ELSE 'post' END, q.webhook_id, q.message_id, q.redelivery,
           q.retry_count + 1, a.payload,
           CASE WHEN a.publish THEN @extschema@._rule_stream_of(c, w.nats_subject) END, CASE WHEN a.publish THEN w.nats_subject END,
           CASE WHEN NOT a.publish AND q.traceparent IS NOT NULL THEN jsonb_build_object('traceparent', q.traceparent)
                WHEN a.publish THEN jsonb_strip_nulls(jsonb_build_object(
               -- For the worker itself: an earlier copy, not answered, may be in the stream.
               'Rule-Engine-Unanswered-Ms', v_unanswered[array_position(v_publish, q.queue_id)]::text,
               'Nats-Msg-Id', format('%s:%s:%s', v_source_id, q.webhook_id, q.message_id),
               'Rule-Engine-Source', v_source_id,
               'Rule-Engine-Webhook-Id', q.webhook_id::text,
               'Rule-Engine-Webhook-Name', w.webhook_name,
               'Rule-Engine-Message-Id', q.message_id,
               'traceparent', q.traceparent)) END
    FROM (SELECT p.id, p.payload, true AS publish FROM @extschema@._rule_claim_texts(v_publish) p
          UNION ALL SELECT p.id, p.payload, false FROM @extschema@._rule_claim_texts(v_post) p) a
    -- By their keys, whatever the tables were like when this was planned.
    CROSS JOIN LATERAL (SELECT r.* FROM @extschema@.rule_webhook_queue r WHERE r.queue_id = a.id OFFSET 0) q
    CROSS JOIN LATERAL (SELECT r.* FROM @extschema@.rule_webhooks r WHERE r.webhook_id = q.webhook_id OFFSET 0) w
    LEFT JOIN @extschema@.rule_nats_config c
        ON c.config_id = CASE WHEN a.publish THEN @extschema@._rule_config_of(w.nats_config_id) END
    ORDER BY a.publish DESC, q.queue_id;
END
$$;
COMMENT ON FUNCTION @extschema@.rule_worker_claim(text, integer, text[], jsonb, bigint) IS
    'For workers: leases due queue rows, each with what to do: post to the endpoint, or publish to NATS with the headers given. p_room is how many to post at most of each webhook, {"7": 0, "": 16}, where "" are those not named; NULL is no such limit. p_call is a number that no other claim of the worker has, for heartbeat to name if the answer is lost.';

CREATE OR REPLACE FUNCTION @extschema@.rule_worker_claim(p_consumer text, p_limit integer, p_streams text[])
RETURNS TABLE (queue_id bigint, action text, webhook_id integer, message_id text, redelivery integer, try integer,
               payload text, stream text, subject text, headers jsonb)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN QUERY SELECT * FROM @extschema@.rule_worker_claim(p_consumer, p_limit, p_streams, NULL);
END
$$;
COMMENT ON FUNCTION @extschema@.rule_worker_claim(text, integer, text[]) IS
    'For workers that know of no room: leases due queue rows.';

CREATE OR REPLACE FUNCTION @extschema@._rule_config_of(p_config_id integer)
RETURNS integer LANGUAGE plpgsql STABLE
AS $$
BEGIN
    RETURN coalesce(p_config_id, (SELECT c.config_id FROM @extschema@.rule_nats_config c WHERE c.config_name = 'default'));
END
$$;
COMMENT ON FUNCTION @extschema@._rule_config_of(integer) IS
    'Internal: a webhook''s configuration, where NULL means default.';

CREATE OR REPLACE FUNCTION @extschema@._rule_streams_reached(p_consumer text, p_streams text[])
RETURNS void LANGUAGE plpgsql
AS $$
DECLARE
    -- Once in 5 s is enough to tell an outage of 60 s.
    v_due text[] := ARRAY(
        SELECT u.name FROM unnest(p_streams) AS u (name)
        WHERE u.name <> '' AND NOT EXISTS (
            SELECT FROM @extschema@.rule_nats_consumer_stats s
            WHERE s.stream_name = u.name AND s.consumer_name = p_consumer
              AND s.reached_at > clock_timestamp() - interval '5 seconds'));
    v_rows integer[];
BEGIN
    IF v_due <> '{}' THEN
        v_rows := @extschema@._rule_worker_rows(p_consumer, v_due);
        UPDATE @extschema@.rule_nats_consumer_stats s SET reached_at = clock_timestamp() WHERE s.consumer_id = ANY (v_rows);
    END IF;
END
$$;
COMMENT ON FUNCTION @extschema@._rule_streams_reached(text, text[]) IS
    'Internal: keeps when a worker last reached a stream.';

CREATE OR REPLACE FUNCTION @extschema@._rule_leases_end()
RETURNS void LANGUAGE plpgsql
AS $$
DECLARE
    v_now timestamptz := clock_timestamp();
    v_places tid[];
BEGIN
    SELECT array_agg(gone.place) INTO v_places
    FROM (SELECT q.ctid AS place FROM @extschema@.rule_webhook_queue q
          WHERE q.status = 'processing' AND q.lease_until <= v_now
          -- What goes to NATS first: left leased for longer, it would be overtaken.
          ORDER BY q.route <> 'publish', q.lease_until LIMIT 1000 FOR UPDATE SKIP LOCKED) gone;
    -- They are locked, so they are where they were found.
    UPDATE @extschema@.rule_webhook_queue q
    SET status = CASE WHEN q.lease_losses >= 3 THEN 'failed' ELSE 'pending' END, leased_by = NULL, lease_until = NULL,
        completed_at = CASE WHEN q.lease_losses >= 3 THEN v_now END,
        error_message = CASE WHEN q.lease_losses >= 3 THEN 'poison: its workers died four times' ELSE q.error_message END,
        -- NATS, where it goes again, kills nobody.
        lease_losses = q.lease_losses + (q.route <> 'publish')::integer,
        -- The stream still has it and comes first, unless it is to be run alone.
        route = CASE WHEN q.route = 'stream' AND q.lease_losses >= 2 THEN 'post' ELSE q.route END,
        next_retry_at = CASE WHEN q.route = 'stream' AND q.lease_losses < 2 THEN v_now + interval '30 seconds'
                             ELSE q.next_retry_at END
    WHERE q.ctid = ANY (v_places);
END
$$;
COMMENT ON FUNCTION @extschema@._rule_leases_end() IS
    'Internal: gives back what a dead worker held, and ends what was run alone.';
