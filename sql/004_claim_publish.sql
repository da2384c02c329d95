-- What NATS could not take goes back to it in the order in which it was accepted: per configuration to one worker at a
-- time, and to no second one while the first still has rows. Where NATS refuses a webhook's events the others do not wait.

CREATE OR REPLACE FUNCTION @extschema@._rule_publishes_to(p_webhook @extschema@.rule_webhooks, p_config_id integer)
RETURNS boolean LANGUAGE sql STABLE
AS $$
    SELECT p_webhook.enabled AND p_webhook.nats_enabled AND p_webhook.nats_subject IS NOT NULL
       AND p_webhook.publish_mode <> 'queue' AND @extschema@._rule_config_of(p_webhook.nats_config_id) = p_config_id
$$;
COMMENT ON FUNCTION @extschema@._rule_publishes_to(@extschema@.rule_webhooks, integer) IS
    'Internal: whether a webhook''s events go to the NATS of a configuration.';

-- A worker knows a stream by its name alone, not whose server it reaches. What would be published to the wrong one, where
-- perhaps nobody takes it, goes to the endpoint.
CREATE OR REPLACE FUNCTION @extschema@._rule_mistakable(p_config @extschema@.rule_nats_config)
RETURNS boolean LANGUAGE sql STABLE
AS $$
    SELECT EXISTS (
        SELECT FROM @extschema@.rule_nats_config o
        WHERE o.stream_name = p_config.stream_name AND o.config_id <> p_config.config_id AND o.enabled AND o.jetstream_enabled
          AND (o.nats_url, o.auth_type, o.auth_token, o.auth_user, o.auth_credentials_file, o.auth_nkey_seed)
              IS DISTINCT FROM (p_config.nats_url, p_config.auth_type, p_config.auth_token, p_config.auth_user,
                                p_config.auth_credentials_file, p_config.auth_nkey_seed)
          -- One that nothing goes to cannot have been meant.
          AND EXISTS (SELECT FROM @extschema@.rule_webhooks w WHERE @extschema@._rule_publishes_to(w, o.config_id)))
$$;
COMMENT ON FUNCTION @extschema@._rule_mistakable(@extschema@.rule_nats_config) IS
    'Internal: whether another configuration in use names a stream of the same name elsewhere, on another server or with another login.';

CREATE OR REPLACE FUNCTION @extschema@._rule_subject_covers(p_pattern text, p_subject text)
RETURNS boolean LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT pg_catalog.bool_and(CASE WHEN t.want IN ('*', '>') THEN t.have IS NOT NULL
                                    WHEN t.want IS NULL THEN p_pattern LIKE '%>'
                                    ELSE t.want = t.have END IS TRUE)
    FROM unnest(pg_catalog.string_to_array(p_pattern, '.'), pg_catalog.string_to_array(p_subject, '.')) AS t (want, have)
$$;
COMMENT ON FUNCTION @extschema@._rule_subject_covers(text, text) IS
    'Internal: whether a subject is one of those that a subject with wildcards stands for.';

CREATE OR REPLACE FUNCTION @extschema@._rule_stream_of(p_config @extschema@.rule_nats_config, p_subject text)
RETURNS text LANGUAGE sql STABLE
AS $$
    SELECT coalesce((
        SELECT s.stream_name FROM @extschema@.rule_nats_streams s
        WHERE s.config_id = p_config.config_id AND s.enabled AND EXISTS (
            SELECT FROM pg_catalog.unnest(s.subjects) AS u (pattern) WHERE @extschema@._rule_subject_covers(u.pattern, p_subject))
        ORDER BY s.stream_name <> p_config.stream_name, s.stream_id LIMIT 1), p_config.stream_name)
$$;
COMMENT ON FUNCTION @extschema@._rule_stream_of(@extschema@.rule_nats_config, text) IS
    'Internal: the stream of a configuration that takes a subject.';

CREATE OR REPLACE FUNCTION @extschema@._rule_publishes_now(p_webhook_id integer, p_now timestamptz)
RETURNS boolean LANGUAGE sql STABLE
AS $$
    SELECT (SELECT q.next_retry_at FROM @extschema@.rule_webhook_queue q
            -- A range, which the webhook's own index alone has in this order.
            WHERE q.webhook_id BETWEEN p_webhook_id AND p_webhook_id AND q.route = 'publish' AND q.status = 'pending'
            ORDER BY q.webhook_id, q.queue_id LIMIT 1) <= p_now
$$;
COMMENT ON FUNCTION @extschema@._rule_publishes_now(integer, timestamptz) IS
    'Internal: whether the first row of a webhook that is to be published again has not to wait: NATS refused it a moment ago.';

CREATE OR REPLACE FUNCTION @extschema@._rule_publish_oldest(p_config_id integer, p_limit integer)
RETURNS bigint[] LANGUAGE plpgsql
-- Statistics of an empty queue make any index look short enough to read all of it and sort.
SET enable_sort = off
AS $$
DECLARE
    v_now timestamptz := clock_timestamp();
    v_ids bigint[];
    v_seen integer;
BEGIN
    SELECT array_agg(h.queue_id ORDER BY h.queue_id) FILTER (WHERE w.webhook_id IS NOT NULL), count(*) INTO v_ids, v_seen
    FROM (SELECT q.queue_id, q.webhook_id FROM @extschema@.rule_webhook_queue q
          WHERE q.route = 'publish' AND q.status = 'pending'
          ORDER BY q.queue_id LIMIT 2 * p_limit) h
    LEFT JOIN LATERAL (SELECT w.webhook_id FROM @extschema@.rule_webhooks w
                       WHERE w.webhook_id = h.webhook_id AND @extschema@._rule_publishes_to(w, p_config_id)
                         AND @extschema@._rule_publishes_now(w.webhook_id, v_now) OFFSET 0) w ON true;
    -- Behind what others have there, which are webhooks that are disabled, what NATS refuses, or a configuration whose NATS is away.
    IF v_seen = 2 * p_limit AND coalesce(cardinality(v_ids), 0) < p_limit THEN
        SELECT array_agg(r.queue_id ORDER BY r.queue_id) INTO v_ids
        FROM (SELECT o.queue_id
              FROM @extschema@.rule_webhooks w
              -- A range, which the webhook's own index alone has in this order.
              CROSS JOIN LATERAL (SELECT q.queue_id FROM @extschema@.rule_webhook_queue q
                                  WHERE q.webhook_id BETWEEN w.webhook_id AND w.webhook_id AND q.route = 'publish' AND q.status = 'pending'
                                  ORDER BY q.webhook_id, q.queue_id LIMIT p_limit) o
              WHERE @extschema@._rule_publishes_to(w, p_config_id) AND @extschema@._rule_publishes_now(w.webhook_id, v_now)
              ORDER BY o.queue_id LIMIT p_limit) r;
    END IF;
    RETURN coalesce(v_ids[:p_limit], '{}');
END
$$;
COMMENT ON FUNCTION @extschema@._rule_publish_oldest(integer, integer) IS
    'Internal: the oldest rows that are to be published to the NATS of a configuration.';

CREATE OR REPLACE FUNCTION @extschema@._rule_claim_publish(
    p_consumer text, p_limit integer, p_streams text[], p_call bigint, OUT ids bigint[], OUT unanswered_ms bigint[])
LANGUAGE plpgsql
AS $$
DECLARE
    v_now timestamptz := clock_timestamp();
    v_config_id integer;
    v_half_window interval;
    v_oldest bigint[];
    v_due bigint[];
    v_unanswered bigint[];
    v_places tid[];
BEGIN
    ids := '{}';
    unanswered_ms := '{}';
    FOR v_config_id, v_half_window IN
        SELECT c.config_id,
               (SELECT make_interval(secs => coalesce(min(s.duplicate_window_seconds), 120) / 2.0)
                FROM @extschema@.rule_nats_streams s WHERE s.config_id = c.config_id)
        FROM @extschema@.rule_nats_config c
        WHERE c.enabled AND c.jetstream_enabled AND c.stream_name = ANY (p_streams) AND NOT @extschema@._rule_mistakable(c)
          AND EXISTS (SELECT FROM @extschema@.rule_webhook_queue q WHERE q.route = 'publish' AND q.status = 'pending')
        ORDER BY c.config_id
    LOOP
        EXIT WHEN cardinality(ids) >= p_limit;
        -- It makes the next worker see the leases that this one takes. Not the row's, which a transaction may keep for long, and
        -- of no event: no webhook is 0.
        CONTINUE WHEN NOT @extschema@._rule_event_lock(0, v_config_id::text, 0);
        -- Whoever has them, a worker of this name that was killed included. What is still leased after its time is locked by
        -- a transaction that changes it, which nobody else waits for.
        CONTINUE WHEN EXISTS (
            -- Among the leases, whatever the queue was like when this was planned, and not in the backlog.
            SELECT FROM (SELECT r.webhook_id, r.route FROM @extschema@.rule_webhook_queue r
                         WHERE r.status = 'processing' AND r.lease_until > v_now OFFSET 0) q
            JOIN @extschema@.rule_webhooks w ON w.webhook_id = q.webhook_id
            WHERE q.route = 'publish' AND @extschema@._rule_config_of(w.nats_config_id) = v_config_id);
        v_oldest := @extschema@._rule_publish_oldest(v_config_id, p_limit - cardinality(ids));
        WITH oldest AS (
            SELECT l.queue_id, l.webhook_id, l.next_retry_at
            FROM (SELECT q.queue_id, q.webhook_id, q.next_retry_at, q.route, q.status FROM @extschema@.rule_webhook_queue q
                  WHERE q.queue_id = ANY (v_oldest) ORDER BY q.queue_id OFFSET 0 FOR UPDATE SKIP LOCKED) l
            WHERE l.route = 'publish' AND l.status = 'pending'),
        prefix AS (
            -- A row that must wait holds up those of its webhook behind it.
            SELECT o.queue_id, bool_and(o.next_retry_at <= v_now) OVER (PARTITION BY o.webhook_id ORDER BY o.queue_id) AS due
            FROM oldest o)
        SELECT coalesce(array_agg(p.queue_id ORDER BY p.queue_id), '{}') INTO v_due FROM prefix p WHERE p.due;
        -- They are locked, so each is looked up by its key and written where it lies.
        -- An earlier publish of the event can have been delivered before this row was there.
        SELECT array_agg(l.ctid) INTO v_places
        FROM unnest(v_due) AS u (id)
        CROSS JOIN LATERAL (SELECT q.ctid, q.webhook_id, q.message_id, q.redelivery FROM @extschema@.rule_webhook_queue q
                            WHERE q.queue_id = u.id OFFSET 0) l
        CROSS JOIN LATERAL (SELECT r.state FROM @extschema@.rule_webhook_receipts r
                            WHERE r.webhook_id = l.webhook_id AND r.message_id = l.message_id AND r.redelivery = l.redelivery
                            OFFSET 0) r
        WHERE r.state = 'done';
        UPDATE @extschema@.rule_webhook_queue q
        SET status = 'success',
            completed_at = (SELECT r.done_at FROM @extschema@.rule_webhook_receipts r
                            WHERE r.webhook_id = q.webhook_id AND r.message_id = q.message_id AND r.redelivery = q.redelivery)
        WHERE q.ctid = ANY (v_places);
        SELECT array_agg(l.ctid), coalesce(array_agg(l.queue_id), '{}'),
               -- What was sent and not answered may be in the stream, which soon does not know its id any more.
               coalesce(array_agg(CASE WHEN l.created_at <= v_now - v_half_window
                                            AND (l.started_at IS NOT NULL OR EXISTS (
                                                SELECT FROM @extschema@.rule_nats_publish_history h
                                                WHERE h.webhook_id = l.webhook_id AND h.message_id = l.message_id AND h.unknown))
                                       THEN ceil(extract(epoch FROM v_now - l.created_at) * 1000)::bigint END), '{}')
        INTO v_places, v_due, v_unanswered
        FROM unnest(v_due) AS u (id)
        CROSS JOIN LATERAL (SELECT q.ctid, q.queue_id, q.webhook_id, q.message_id, q.status, q.created_at, q.started_at
                            FROM @extschema@.rule_webhook_queue q WHERE q.queue_id = u.id OFFSET 0) l
        WHERE l.status = 'pending';
        UPDATE @extschema@.rule_webhook_queue q
        SET status = 'processing', leased_by = p_consumer, lease_until = v_now + interval '60 seconds', started_at = v_now,
            lease_call = p_call
        WHERE q.ctid = ANY (v_places);
        ids := ids || v_due;
        unanswered_ms := unanswered_ms || v_unanswered;
    END LOOP;
END
$$;
COMMENT ON FUNCTION @extschema@._rule_claim_publish(text, integer, text[], bigint) IS
    'Internal: leases the oldest rows that are to be published to NATS again, and says since when one may be in the stream all the same.';
