-- Limits of an endpoint, over all workers and both paths. An event is taken within them, counts against max_concurrent for as
-- long as it is leased, and waits for them untried. Who takes a webhook's events has its bucket locked; nobody waits for that.

-- The rate of a resume is another one, for what waited then: rows that were due, with their later tries, and messages that were
-- published, which become such rows where they move to the queue. Nothing new is like that. The rate of redeliveries is for rows
-- that are marked so, which have a lane of their own in the queue: no others stand behind them there.

CREATE OR REPLACE FUNCTION @extschema@._rule_row_waited(p_row @extschema@.rule_webhook_queue, p_resumed_at timestamptz)
RETURNS boolean LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$ SELECT p_row.next_retry_at <= p_resumed_at OR (p_row.retry_count > 0 AND p_row.created_at <= p_resumed_at) $$;
COMMENT ON FUNCTION @extschema@._rule_row_waited(@extschema@.rule_webhook_queue, timestamptz) IS
    'Internal: whether a row that is due is of what waited when its webhook was resumed.';

CREATE OR REPLACE FUNCTION @extschema@._rule_message_waited(p_age_ms bigint, p_resumed_at timestamptz, p_now timestamptz)
RETURNS boolean LANGUAGE sql STABLE PARALLEL SAFE
AS $$
    -- 31 years at most, so that there is such a time. A worker that asks late has an age that is some seconds too low.
    SELECT p_now - pg_catalog.make_interval(secs => least(p_age_ms, 999999999999) / 1000.0 + 5) <= p_resumed_at
$$;
COMMENT ON FUNCTION @extschema@._rule_message_waited(bigint, timestamptz, timestamptz) IS
    'Internal: whether a message of this age was there when its webhook was resumed.';

CREATE OR REPLACE FUNCTION @extschema@._rule_tokens(
    p_tokens double precision, p_refilled_at timestamptz, p_per_second integer, p_now timestamptz)
RETURNS double precision LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT CASE WHEN p_per_second IS NULL THEN NULL
                -- A clock that was set back takes nothing away, and does not keep all waiting until that time comes again.
                WHEN p_refilled_at IS NULL OR p_refilled_at > p_now + interval '10 seconds' THEN m.most
                ELSE least(m.most, p_tokens + p_per_second * greatest(0.0, extract(epoch FROM p_now - p_refilled_at)))
                END::double precision
    -- A quarter of a second's, since a worker that nobody wakes looks every 250 ms.
    FROM (SELECT greatest(1.0, p_per_second / 4.0) AS most) m
$$;
COMMENT ON FUNCTION @extschema@._rule_tokens(double precision, timestamptz, integer, timestamptz) IS
    'Internal: how many events a rate lets be taken now, NULL without one.';

CREATE OR REPLACE FUNCTION @extschema@._rule_refilled_at(p_refilled_at timestamptz, p_per_second integer, p_now timestamptz)
RETURNS timestamptz LANGUAGE sql VOLATILE
AS $$
    -- Another worker's call may have begun later and been quicker.
    SELECT CASE WHEN p_per_second IS NULL OR (p_refilled_at > p_now AND p_refilled_at <= pg_catalog.clock_timestamp())
                THEN p_refilled_at ELSE p_now END
$$;
COMMENT ON FUNCTION @extschema@._rule_refilled_at(timestamptz, integer, timestamptz) IS
    'Internal: when the tokens of a rate were counted, of which some are taken now; as it was without one.';

CREATE OR REPLACE FUNCTION @extschema@._rule_slots(p_webhook_id integer)
RETURNS TABLE (message_id text, redelivery integer, lease_until timestamptz) LANGUAGE sql STABLE
AS $$
    SELECT s.message_id, s.redelivery,
           greatest(CASE WHEN q.status = 'processing' AND q.route <> 'publish' THEN q.lease_until END,
                    CASE WHEN r.state = 'leased' THEN r.lease_until END)
    FROM @extschema@.rule_webhook_slots s
    -- By their keys, whatever the tables were like when this was planned.
    LEFT JOIN LATERAL (
        SELECT q.status, q.route, q.lease_until FROM @extschema@.rule_webhook_queue q
        WHERE q.webhook_id = s.webhook_id AND q.message_id = s.message_id AND q.redelivery = s.redelivery OFFSET 0) q ON true
    LEFT JOIN LATERAL (
        SELECT r.state, r.lease_until FROM @extschema@.rule_webhook_receipts r
        WHERE r.webhook_id = s.webhook_id AND r.message_id = s.message_id AND r.redelivery = s.redelivery OFFSET 0) r ON true
    WHERE s.webhook_id = p_webhook_id
$$;
COMMENT ON FUNCTION @extschema@._rule_slots(integer) IS
    'Internal: events that were taken within max_concurrent, with their lease where there still is one.';

CREATE OR REPLACE FUNCTION @extschema@._rule_limit_room(
    p_webhook_id integer, p_now timestamptz, p_leased_after timestamptz, p_resumed boolean, p_paced boolean)
RETURNS integer LANGUAGE plpgsql STABLE
AS $$
DECLARE
    v record;
    v_room integer;
BEGIN
    SELECT w.max_concurrent, w.max_per_second, CASE WHEN p_resumed THEN w.resume_per_second END AS resume_per_second,
           CASE WHEN p_paced THEN w.redeliver_per_second END AS redeliver_per_second,
           b.tokens, b.refilled_at, b.resume_tokens, b.resume_refilled_at, b.redeliver_tokens, b.redeliver_refilled_at INTO v
    FROM @extschema@.rule_webhooks w LEFT JOIN @extschema@.rule_webhook_buckets b ON b.webhook_id = w.webhook_id
    WHERE w.webhook_id = p_webhook_id;
    IF v.max_concurrent IS NOT NULL THEN
        SELECT greatest(0, v.max_concurrent - count(*)) INTO v_room
        FROM @extschema@._rule_slots(p_webhook_id) s WHERE s.lease_until > p_leased_after;
    END IF;
    v_room := least(v_room, floor(least(
        @extschema@._rule_tokens(v.tokens, v.refilled_at, v.max_per_second, p_now),
        @extschema@._rule_tokens(v.resume_tokens, v.resume_refilled_at, v.resume_per_second, p_now),
        @extschema@._rule_tokens(v.redeliver_tokens, v.redeliver_refilled_at, v.redeliver_per_second, p_now))));
    -- Fewer than none is left where a rate was lowered while its events were taken.
    RETURN CASE WHEN v_room < 0 THEN 0 ELSE v_room END;
END
$$;
COMMENT ON FUNCTION @extschema@._rule_limit_room(integer, timestamptz, timestamptz, boolean, boolean) IS
    'Internal: how many events of a webhook may be taken, NULL without a limit, by the leases that end after a time, with p_resumed by the rate of its resume and with p_paced by that of its redeliveries. Only a guess for who has not locked its bucket.';

CREATE OR REPLACE FUNCTION @extschema@._rule_limits_reached(p_now timestamptz, p_paced boolean)
RETURNS integer[] LANGUAGE sql STABLE
AS $$
    SELECT ARRAY(SELECT w.webhook_id FROM @extschema@.rule_webhooks w
                 CROSS JOIN LATERAL (
                     SELECT EXISTS (SELECT FROM @extschema@.rule_webhook_queue q
                                    WHERE q.webhook_id = w.webhook_id AND q.paced = p_paced AND q.status = 'pending'
                                      AND q.route <> 'publish' AND q.next_retry_at <= w.resumed_at) AS resumed OFFSET 0) r
                 WHERE (w.max_concurrent IS NOT NULL OR w.max_per_second IS NOT NULL OR w.resumed_at IS NOT NULL
                        OR (p_paced AND w.redeliver_per_second IS NOT NULL))
                   AND @extschema@._rule_limit_room(w.webhook_id, p_now, p_now, r.resumed, p_paced) = 0)
$$;
COMMENT ON FUNCTION @extschema@._rule_limits_reached(timestamptz, boolean) IS
    'Internal: webhooks whose limits let no event be taken now, or, with p_paced, no redelivery at a rate.';

CREATE OR REPLACE FUNCTION @extschema@._rule_limit_lock(
    p_webhook_id integer, p_now timestamptz, p_resumed boolean, p_paced boolean)
RETURNS integer LANGUAGE plpgsql
AS $$
BEGIN
    PERFORM FROM @extschema@.rule_webhook_buckets b WHERE b.webhook_id = p_webhook_id FOR UPDATE SKIP LOCKED;
    IF NOT FOUND THEN
        -- The webhook's lock keeps a second INSERT of the row, which would wait for the first, and a deletion away.
        INSERT INTO @extschema@.rule_webhook_buckets (webhook_id)
        SELECT w.webhook_id FROM @extschema@.rule_webhooks w WHERE w.webhook_id = p_webhook_id FOR NO KEY UPDATE SKIP LOCKED
        ON CONFLICT DO NOTHING;
        IF NOT FOUND THEN
            RETURN NULL;
        END IF;
    END IF;
    -- A lease that ran out ends before another event has its slot: its worker could still renew it.
    IF EXISTS (SELECT FROM @extschema@._rule_slots(p_webhook_id) s WHERE s.lease_until <= p_now) THEN
        PERFORM @extschema@._rule_leases_end();
        WITH gone AS (
            SELECT l.place
            FROM @extschema@._rule_slots(p_webhook_id) s CROSS JOIN LATERAL (
                SELECT r.ctid AS place, r.state, r.lease_until FROM @extschema@.rule_webhook_receipts r
                WHERE s.lease_until <= p_now
                  AND r.webhook_id = p_webhook_id AND r.message_id = s.message_id AND r.redelivery = s.redelivery
                FOR UPDATE SKIP LOCKED) l
            WHERE l.state = 'leased' AND l.lease_until <= p_now)
        UPDATE @extschema@.rule_webhook_receipts r
        SET state = 'waiting', leased_by = NULL, lease_until = NULL, lease_losses = r.lease_losses + 1
        FROM gone WHERE r.ctid = gone.place;
    END IF;
    -- What is still leased after its time is locked by a transaction that renews or ends it.
    RETURN @extschema@._rule_limit_room(p_webhook_id, p_now, '-infinity', p_resumed, p_paced);
END
$$;
COMMENT ON FUNCTION @extschema@._rule_limit_lock(integer, timestamptz, boolean, boolean) IS
    'Internal: locks the bucket of a webhook with limits and says how many events may be taken, NULL where another worker has it.';

CREATE OR REPLACE FUNCTION @extschema@._rule_limit_use(
    p_webhook_id integer, p_message_ids text[], p_redeliveries integer[], p_resumed bigint, p_paced bigint, p_now timestamptz)
RETURNS void LANGUAGE plpgsql
AS $$
BEGIN
    UPDATE @extschema@.rule_webhook_buckets b
    SET tokens = coalesce(@extschema@._rule_tokens(b.tokens, b.refilled_at, r.all_per_second, p_now) - cardinality(p_message_ids), b.tokens),
        refilled_at = @extschema@._rule_refilled_at(b.refilled_at, r.all_per_second, p_now),
        resume_tokens = coalesce(@extschema@._rule_tokens(b.resume_tokens, b.resume_refilled_at, r.resumed_per_second, p_now) - p_resumed,
                                 b.resume_tokens),
        resume_refilled_at = @extschema@._rule_refilled_at(b.resume_refilled_at, r.resumed_per_second, p_now),
        redeliver_tokens = coalesce(@extschema@._rule_tokens(b.redeliver_tokens, b.redeliver_refilled_at, r.paced_per_second, p_now) - p_paced,
                                    b.redeliver_tokens),
        redeliver_refilled_at = @extschema@._rule_refilled_at(b.redeliver_refilled_at, r.paced_per_second, p_now)
    FROM (SELECT w.max_per_second AS all_per_second, CASE WHEN p_resumed > 0 THEN w.resume_per_second END AS resumed_per_second,
                 CASE WHEN p_paced > 0 THEN w.redeliver_per_second END AS paced_per_second
          FROM @extschema@.rule_webhooks w WHERE w.webhook_id = p_webhook_id) r
    WHERE b.webhook_id = p_webhook_id AND num_nonnulls(r.all_per_second, r.resumed_per_second, r.paced_per_second) > 0;
    DELETE FROM @extschema@.rule_webhook_slots s USING @extschema@._rule_slots(p_webhook_id) old
    WHERE s.webhook_id = p_webhook_id AND s.message_id = old.message_id AND s.redelivery = old.redelivery
      AND old.lease_until IS NULL;
    INSERT INTO @extschema@.rule_webhook_slots (webhook_id, message_id, redelivery)
    SELECT p_webhook_id, t.message_id, t.redelivery FROM unnest(p_message_ids, p_redeliveries) AS t (message_id, redelivery)
    WHERE EXISTS (SELECT FROM @extschema@.rule_webhooks w WHERE w.webhook_id = p_webhook_id AND w.max_concurrent IS NOT NULL)
    ON CONFLICT DO NOTHING;
END
$$;
COMMENT ON FUNCTION @extschema@._rule_limit_use(integer, text[], integer[], bigint, bigint, timestamptz) IS
    'Internal: counts events that are taken of a webhook whose bucket is locked, how many of them waited at its resume, and how many are redeliveries at a rate. What was counted before has its lease by then.';

CREATE OR REPLACE FUNCTION @extschema@._rule_due_rows_within(p_places tid[], p_now timestamptz)
RETURNS tid[] LANGUAGE plpgsql
AS $$
DECLARE
    v_webhook record;
    v_room integer;
    v_taken integer;
    v_places tid[] := p_places;
BEGIN
    IF p_places = '{}' OR NOT EXISTS (SELECT FROM @extschema@.rule_webhooks w
                                      WHERE w.max_concurrent IS NOT NULL OR w.max_per_second IS NOT NULL
                                         OR w.resumed_at IS NOT NULL OR w.redeliver_per_second IS NOT NULL) THEN
        RETURN p_places;
    END IF;
    FOR v_webhook IN
        -- Redeliveries have what the others leave.
        SELECT q.webhook_id, array_agg(q.ctid ORDER BY q.paced, q.next_retry_at, q.queue_id) AS places,
               array_agg(q.message_id ORDER BY q.paced, q.next_retry_at, q.queue_id) AS message_ids,
               array_agg(q.redelivery ORDER BY q.paced, q.next_retry_at, q.queue_id) AS redeliveries,
               array_agg(@extschema@._rule_row_waited(q, w.resumed_at) ORDER BY q.paced, q.next_retry_at, q.queue_id) AS waited,
               (count(*) FILTER (WHERE NOT q.paced))::integer AS others
        FROM @extschema@.rule_webhook_queue q JOIN @extschema@.rule_webhooks w ON w.webhook_id = q.webhook_id
        WHERE q.ctid = ANY (p_places)
          AND (w.max_concurrent IS NOT NULL OR w.max_per_second IS NOT NULL OR @extschema@._rule_row_waited(q, w.resumed_at)
               OR (q.paced AND w.redeliver_per_second IS NOT NULL))
        GROUP BY q.webhook_id ORDER BY q.webhook_id
    LOOP
        v_room := coalesce(@extschema@._rule_limit_lock(
            v_webhook.webhook_id, p_now, true = ANY (v_webhook.waited), v_webhook.others = 0), 0);
        v_taken := least(cardinality(v_webhook.places), v_room);
        IF v_taken > v_webhook.others AND v_webhook.others > 0 THEN
            v_taken := least(v_taken, v_webhook.others + @extschema@._rule_limit_room(
                v_webhook.webhook_id, p_now, '-infinity', true = ANY (v_webhook.waited), true));
        END IF;
        IF v_taken > 0 THEN
            PERFORM @extschema@._rule_limit_use(
                v_webhook.webhook_id, v_webhook.message_ids[:v_taken], v_webhook.redeliveries[:v_taken],
                cardinality(array_positions(v_webhook.waited[:v_taken], true)), greatest(0, v_taken - v_webhook.others), p_now);
        END IF;
        v_places := ARRAY(SELECT p.place FROM unnest(v_places) p (place) WHERE p.place <> ALL (v_webhook.places[v_taken + 1:]));
    END LOOP;
    RETURN v_places;
END
$$;
COMMENT ON FUNCTION @extschema@._rule_due_rows_within(tid[], timestamptz) IS
    'Internal: those of some locked queue rows that the limits of their endpoints let be taken, counted.';

CREATE OR REPLACE FUNCTION @extschema@._rule_limits(
    p_webhook_ids integer[], p_ages_ms bigint[], p_now timestamptz, OUT webhook_ids integer[], OUT rooms integer[])
LANGUAGE plpgsql
AS $$
DECLARE
    v_webhook record;
    v_room integer;
BEGIN
    webhook_ids := '{}';
    rooms := '{}';
    IF NOT EXISTS (SELECT FROM @extschema@.rule_webhooks w
                   WHERE w.max_concurrent IS NOT NULL OR w.max_per_second IS NOT NULL OR w.resumed_at IS NOT NULL) THEN
        RETURN;
    END IF;
    FOR v_webhook IN
        SELECT w.webhook_id, @extschema@._rule_message_waited(e.age_ms, w.resumed_at, p_now) IS TRUE AS resumed
        FROM (SELECT u.webhook_id, max(u.age_ms) AS age_ms FROM unnest(p_webhook_ids, p_ages_ms) AS u (webhook_id, age_ms)
              GROUP BY u.webhook_id) e
        JOIN @extschema@.rule_webhooks w ON w.webhook_id = e.webhook_id
        WHERE w.max_concurrent IS NOT NULL OR w.max_per_second IS NOT NULL OR @extschema@._rule_message_waited(e.age_ms, w.resumed_at, p_now)
        ORDER BY w.webhook_id
    LOOP
        -- What waits in the queue was first, and would wait for ever behind a stream that is full enough.
        IF EXISTS (SELECT FROM @extschema@.rule_webhook_queue q
                   WHERE q.webhook_id = v_webhook.webhook_id AND NOT q.paced AND q.status = 'pending' AND q.route <> 'publish'
                     AND q.next_retry_at <= p_now) THEN
            v_room := 0;
        ELSE
            v_room := @extschema@._rule_limit_lock(v_webhook.webhook_id, p_now, v_webhook.resumed, false);
            IF v_room IS NULL THEN
                v_room := CASE @extschema@._rule_limit_room(v_webhook.webhook_id, p_now, p_now, v_webhook.resumed, false) WHEN 0 THEN 0 ELSE -1 END;
            END IF;
        END IF;
        webhook_ids := webhook_ids || v_webhook.webhook_id;
        rooms := rooms || v_room;
    END LOOP;
END
$$;
COMMENT ON FUNCTION @extschema@._rule_limits(integer[], bigint[], timestamptz) IS
    'Internal: those webhooks of some messages that have limits, or were resumed since the message was there, and how many of their events may be taken from a stream; -1: not now, but soon.';

CREATE OR REPLACE FUNCTION @extschema@._rule_limits_use(
    p_limited integer[], p_webhook_ids integer[], p_message_ids text[], p_verdicts text[], p_due timestamptz[], p_now timestamptz)
RETURNS void LANGUAGE sql VOLATILE
AS $$
    SELECT @extschema@._rule_limit_use(e.webhook_id, array_agg(e.message_id), array_agg(0), count(e.due_at), 0, p_now)
    FROM unnest(p_webhook_ids, p_message_ids, p_verdicts, p_due) AS e (webhook_id, message_id, verdict, due_at)
    WHERE e.verdict = 'deliver' AND e.webhook_id = ANY (p_limited)
    GROUP BY e.webhook_id
$$;
COMMENT ON FUNCTION @extschema@._rule_limits_use(integer[], integer[], text[], text[], timestamptz[], timestamptz) IS
    'Internal: counts what was taken from a stream of webhooks with limits; what has a due time waited at a resume.';

CREATE OR REPLACE FUNCTION @extschema@._rule_limit_wake(p_webhook_ids integer[])
RETURNS void LANGUAGE plpgsql
AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM @extschema@.rule_webhooks w WHERE w.max_concurrent IS NOT NULL OR w.max_per_second IS NOT NULL) THEN
        RETURN;
    END IF;
    IF EXISTS (SELECT FROM @extschema@.rule_webhooks w
               WHERE w.max_concurrent IS NOT NULL AND w.webhook_id = ANY (p_webhook_ids) AND EXISTS (
                   SELECT FROM @extschema@.rule_webhook_queue q
                   WHERE q.webhook_id = w.webhook_id AND q.paced = ANY ('{f,t}') AND q.status = 'pending' AND q.route <> 'publish'
                     AND q.next_retry_at <= clock_timestamp())) THEN
        PERFORM @extschema@._rule_queue_wake();
    END IF;
END
$$;
COMMENT ON FUNCTION @extschema@._rule_limit_wake(integer[]) IS
    'Internal: a report gave slots back, which an idle worker can have for what waits in the queue.';

CREATE OR REPLACE FUNCTION @extschema@._rule_webhooks_limits_gone()
RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- The bucket first: who has it locked may be writing slots.
    DELETE FROM @extschema@.rule_webhook_buckets b WHERE b.webhook_id = OLD.webhook_id;
    DELETE FROM @extschema@.rule_webhook_slots s WHERE s.webhook_id = OLD.webhook_id;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION @extschema@._rule_webhooks_limits_gone() IS
    'Internal trigger: what is counted for limits ends with the webhook.';

CREATE OR REPLACE TRIGGER rule_webhooks_limits_gone
    AFTER DELETE ON @extschema@.rule_webhooks
    FOR EACH ROW EXECUTE FUNCTION @extschema@._rule_webhooks_limits_gone();
