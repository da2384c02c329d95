-- From where claims read the queue. While a session holds a snapshot open, pg_dump for one, the index keeps what claims leave
-- behind, and each claim would go through all of it. So a claim that read that much is followed by claims that begin where
-- something was found, for ten times as long as it took. What is due before that, late by its commit or given back with its
-- old time, is found by the next that reads from the start: nothing waits for long, and nothing is left.

CREATE OR REPLACE FUNCTION @extschema@._rule_claim_marks()
RETURNS jsonb LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'rule_claim_marks';
COMMENT ON FUNCTION @extschema@._rule_claim_marks() IS
    'Internal: from where this session''s claims read, and until when they do.';

CREATE OR REPLACE FUNCTION @extschema@._rule_claim_marks_set(p_marks jsonb)
RETURNS void LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'rule_claim_marks_set';
COMMENT ON FUNCTION @extschema@._rule_claim_marks_set(jsonb) IS
    'Internal: keeps for this session''s next claims from where they are to read.';

CREATE OR REPLACE FUNCTION @extschema@._rule_claim_spares(p_what text, p_now timestamptz)
RETURNS boolean LANGUAGE sql VOLATILE
AS $$
    -- Not for long after the clock was set back.
    SELECT ((@extschema@._rule_claim_marks() ->> p_what)::timestamptz BETWEEN p_now AND p_now + interval '60 seconds') IS TRUE
$$;
COMMENT ON FUNCTION @extschema@._rule_claim_spares(text, timestamptz) IS
    'Internal: whether a long read a moment ago spares this session''s claims the next one.';

-- Entries of rows that nobody sees any more are counted with the others; without track_counts none is.
CREATE OR REPLACE FUNCTION @extschema@._rule_claim_spare(p_what text, p_began timestamptz, p_entries_read bigint)
RETURNS void LANGUAGE plpgsql
AS $$
BEGIN
    IF p_entries_read > 10000 THEN
        PERFORM @extschema@._rule_claim_marks_set(coalesce(@extschema@._rule_claim_marks(), '{}') || jsonb_build_object(
            p_what, p_began + least(interval '60 seconds', 11 * (clock_timestamp() - p_began))));
    END IF;
END
$$;
COMMENT ON FUNCTION @extschema@._rule_claim_spare(text, timestamptz, bigint) IS
    'Internal: after a long way through an index keeps this session''s claims from it for ten times as long as it took.';

CREATE OR REPLACE FUNCTION @extschema@._rule_due_entries_read()
RETURNS bigint LANGUAGE sql VOLATILE
AS $$
    SELECT pg_catalog.pg_stat_get_xact_tuples_returned('@extschema@.rule_webhook_queue_due_idx'::regclass)
           + pg_catalog.pg_stat_get_xact_tuples_returned('@extschema@.rule_webhook_queue_post_idx'::regclass)
$$;
COMMENT ON FUNCTION @extschema@._rule_due_entries_read() IS
    'Internal: how many entries of the indexes of what is due this session has read lately.';

CREATE OR REPLACE FUNCTION @extschema@._rule_pending_webhooks()
RETURNS integer[] LANGUAGE plpgsql
AS $$
BEGIN
    RETURN ARRAY(
        WITH RECURSIVE pending AS (
            -- Steps from webhook to webhook through the index: a backlog of one costs the others nothing.
            (SELECT q.webhook_id + 0 AS webhook_id FROM @extschema@.rule_webhook_queue q
             WHERE q.status = 'pending' ORDER BY q.webhook_id + 0 LIMIT 1)
            UNION ALL
            SELECT (SELECT q.webhook_id + 0 FROM @extschema@.rule_webhook_queue q
                    WHERE q.status = 'pending' AND q.webhook_id + 0 > p.webhook_id ORDER BY q.webhook_id + 0 LIMIT 1)
            FROM pending p WHERE p.webhook_id IS NOT NULL)
        SELECT p.webhook_id FROM pending p WHERE p.webhook_id IS NOT NULL);
END
$$;
COMMENT ON FUNCTION @extschema@._rule_pending_webhooks() IS
    'Internal: webhooks that have rows that wait.';

CREATE OR REPLACE FUNCTION @extschema@._rule_lane(p_webhook_id integer, p_paced boolean)
RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$ SELECT p_webhook_id::text || CASE WHEN p_paced THEN ' paced' ELSE '' END $$;
COMMENT ON FUNCTION @extschema@._rule_lane(integer, boolean) IS
    'Internal: the name of what waits of a webhook, or of its redeliveries at a rate, in the places that claims begin from.';

CREATE OR REPLACE FUNCTION @extschema@._rule_claim_firsts(p_webhook_ids integer[], p_firsts jsonb, p_now timestamptz)
RETURNS jsonb LANGUAGE plpgsql
AS $$
DECLARE
    -- Transactions that end within it are never passed by.
    v_latest timestamptz := p_now - interval '2 seconds';
BEGIN
    RETURN (
        SELECT coalesce(jsonb_object_agg(l.name, CASE WHEN f.next_retry_at < v_latest
                                           THEN jsonb_build_object('at', f.next_retry_at, 'id', f.queue_id)
                                           ELSE jsonb_build_object('at', v_latest, 'id', 0) END), '{}')
        FROM (SELECT u.id, false AS paced, @extschema@._rule_lane(u.id, false) AS name FROM unnest(p_webhook_ids) AS u (id)
              UNION ALL
              SELECT w.webhook_id, true, @extschema@._rule_lane(w.webhook_id, true) FROM @extschema@.rule_webhooks w
              WHERE w.redeliver_per_second IS NOT NULL AND w.webhook_id = ANY (p_webhook_ids)) l
        LEFT JOIN LATERAL (
            SELECT q.next_retry_at, q.queue_id FROM @extschema@.rule_webhook_queue q
            WHERE q.webhook_id = l.id AND q.paced = l.paced AND q.status = 'pending' AND q.route <> 'publish'
              AND (q.next_retry_at, q.queue_id) >= (coalesce((p_firsts #>> ARRAY[l.name, 'at'])::timestamptz, '-infinity'),
                                                    coalesce((p_firsts #> ARRAY[l.name, 'id'])::bigint, 0))
            ORDER BY q.next_retry_at, q.queue_id LIMIT 1) f ON true);
END
$$;
COMMENT ON FUNCTION @extschema@._rule_claim_firsts(integer[], jsonb, timestamptz) IS
    'Internal: the first row of each webhook that waits, and of its redeliveries at a rate, looked for from those given on.';

CREATE OR REPLACE FUNCTION @extschema@._rule_claim_places(p_now timestamptz, OUT webhook_ids integer[], OUT firsts jsonb)
LANGUAGE plpgsql
AS $$
DECLARE
    v_read bigint;
BEGIN
    IF @extschema@._rule_claim_spares('places', p_now) THEN
        webhook_ids := ARRAY(SELECT w.webhook_id FROM @extschema@.rule_webhooks w WHERE w.enabled AND w.held_since IS NULL);
        -- The turn of an event in its key comes when others of its time have long gone.
        firsts := (@extschema@._rule_claim_marks() -> 'firsts')
                  - ARRAY(SELECT @extschema@._rule_lane(w.webhook_id, l.paced)
                          FROM @extschema@.rule_webhooks w CROSS JOIN (VALUES (false), (true)) AS l (paced) WHERE w.order_key IS NOT NULL);
        firsts := @extschema@._rule_claim_firsts(webhook_ids, firsts, p_now);
    ELSE
        v_read := @extschema@._rule_due_entries_read();
        webhook_ids := @extschema@._rule_pending_webhooks();
        firsts := @extschema@._rule_claim_firsts(webhook_ids, '{}', p_now);
        PERFORM @extschema@._rule_claim_spare('places', p_now, @extschema@._rule_due_entries_read() - v_read);
    END IF;
    IF @extschema@._rule_claim_spares('places', p_now) THEN
        PERFORM @extschema@._rule_claim_marks_set(@extschema@._rule_claim_marks() || jsonb_build_object('firsts', firsts));
    END IF;
END
$$;
COMMENT ON FUNCTION @extschema@._rule_claim_places(timestamptz) IS
    'Internal: the webhooks that a claim looks at, and from where in the queue.';

CREATE OR REPLACE FUNCTION @extschema@._rule_leases_look()
RETURNS void LANGUAGE plpgsql
AS $$
DECLARE
    c_index CONSTANT regclass := '@extschema@.rule_webhook_queue_lease_idx';
    v_now timestamptz := clock_timestamp();
    v_read bigint;
BEGIN
    IF NOT @extschema@._rule_claim_spares('leases', v_now) THEN
        v_read := pg_stat_get_xact_tuples_returned(c_index);
        PERFORM @extschema@._rule_leases_end();
        PERFORM @extschema@._rule_claim_spare('leases', v_now, pg_stat_get_xact_tuples_returned(c_index) - v_read);
    END IF;
END
$$;
COMMENT ON FUNCTION @extschema@._rule_leases_look() IS
    'Internal: ends what leases ran out, unless that took long a moment ago.';
