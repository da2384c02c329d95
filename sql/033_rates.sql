-- The rates of a resume and of redeliveries end with the last event that they are for. Each is looked for by claims and admits
-- as long as it is there.

CREATE OR REPLACE FUNCTION @extschema@._rule_paced_left(p_webhook_id integer)
RETURNS boolean LANGUAGE sql STABLE
AS $$
    SELECT EXISTS (SELECT FROM @extschema@.rule_webhook_queue q
                   WHERE q.webhook_id = p_webhook_id AND q.paced AND q.status = 'pending' AND q.route <> 'publish')
           -- It may come back.
           OR EXISTS (SELECT FROM (SELECT q.webhook_id, q.paced FROM @extschema@.rule_webhook_queue q
                                   WHERE q.lease_until IS NOT NULL OFFSET 0) l
                      WHERE l.webhook_id = p_webhook_id AND l.paced)
$$;
COMMENT ON FUNCTION @extschema@._rule_paced_left(integer) IS
    'Internal: whether a redelivery of a webhook at a rate has not ended.';

CREATE OR REPLACE FUNCTION @extschema@._rule_resumed_left(p_webhook_id integer, p_resumed_at timestamptz)
RETURNS boolean LANGUAGE sql STABLE
AS $$
    -- What a stream still has is not known here, but how long it keeps a message, and how long receipts have to outlive that.
    SELECT p_resumed_at > clock_timestamp() - least(
               (SELECT k.keep FROM @extschema@.rule_engine_retention k WHERE k.table_name = 'rule_webhook_receipts'),
               (SELECT CASE WHEN min(s.max_age_seconds) > 0 THEN make_interval(secs => max(s.max_age_seconds)) END
                FROM @extschema@.rule_nats_streams s))
           OR EXISTS (SELECT FROM @extschema@.rule_webhook_queue q
                      WHERE q.webhook_id + 0 = p_webhook_id AND q.status = 'pending' AND q.next_retry_at <= p_resumed_at)
           OR EXISTS (SELECT FROM @extschema@.rule_webhook_queue q
                      WHERE q.webhook_id = p_webhook_id AND q.status = 'pending' AND q.retry_count > 0 AND q.created_at <= p_resumed_at)
           -- Its turn in its key makes it due since it came.
           OR EXISTS (SELECT FROM @extschema@.rule_webhook_queue q
                      WHERE q.webhook_id + 0 = p_webhook_id AND q.status = 'pending' AND q.next_retry_at = 'infinity'
                        AND q.created_at <= p_resumed_at)
           OR EXISTS (SELECT FROM (SELECT q.webhook_id, q.created_at FROM @extschema@.rule_webhook_queue q
                                   WHERE q.lease_until IS NOT NULL OFFSET 0) l
                      WHERE l.webhook_id = p_webhook_id AND l.created_at <= p_resumed_at)
           OR EXISTS (SELECT FROM @extschema@.rule_webhook_open_events o
                      WHERE o.webhook_id = p_webhook_id AND o.published_at <= p_resumed_at)
$$;
COMMENT ON FUNCTION @extschema@._rule_resumed_left(integer, timestamptz) IS
    'Internal: whether an event that waited at a resume may not have ended.';

CREATE OR REPLACE FUNCTION @extschema@._rule_rates_end()
RETURNS void LANGUAGE plpgsql
-- Whatever the queue was like when it was analyzed.
SET enable_seqscan = off SET jit = off
AS $$
DECLARE
    v_webhooks integer[];
BEGIN
    v_webhooks := ARRAY(
        SELECT w.webhook_id FROM @extschema@.rule_webhooks w
        WHERE (w.redeliver_per_second IS NOT NULL AND NOT @extschema@._rule_paced_left(w.webhook_id))
           OR (w.resumed_at IS NOT NULL AND NOT @extschema@._rule_resumed_left(w.webhook_id, w.resumed_at))
        FOR NO KEY UPDATE SKIP LOCKED);
    -- An UPDATE, if only of none, makes all sessions read the webhooks again.
    IF v_webhooks <> '{}' THEN
        -- Who redelivered until now had it locked, and what that made is seen only from here on.
        UPDATE @extschema@.rule_webhooks w
        SET redeliver_per_second = CASE WHEN @extschema@._rule_paced_left(w.webhook_id) THEN w.redeliver_per_second END,
            resume_per_second = CASE WHEN @extschema@._rule_resumed_left(w.webhook_id, w.resumed_at) THEN w.resume_per_second END
        WHERE w.webhook_id = ANY (v_webhooks);
    END IF;
    -- What was given back as its rate ended, or is to go again by hand, would wait for a rate for ever.
    WITH waiting AS (
        SELECT q.ctid AS place
        FROM @extschema@.rule_webhooks w CROSS JOIN LATERAL (
            SELECT q.ctid FROM @extschema@.rule_webhook_queue q
            WHERE q.webhook_id = w.webhook_id AND q.paced AND q.status = 'pending' AND q.route <> 'publish'
            FOR UPDATE SKIP LOCKED) q
        WHERE w.redeliver_per_second IS NULL)
    UPDATE @extschema@.rule_webhook_queue q SET paced = false FROM waiting WHERE q.ctid = waiting.place;
END
$$;
COMMENT ON FUNCTION @extschema@._rule_rates_end() IS
    'Internal: ends the rates of resumes and redeliveries of which nothing is left, and lets go what waits for a rate that there is not.';

CREATE OR REPLACE FUNCTION @extschema@._rule_webhooks_unpaced()
RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    UPDATE @extschema@.rule_webhook_queue q SET paced = false
    WHERE q.webhook_id = NEW.webhook_id AND q.paced AND q.status = 'pending' AND q.route <> 'publish';
    UPDATE @extschema@.rule_webhook_queue q SET paced = false
    WHERE q.queue_id IN (SELECT l.queue_id FROM (SELECT q.queue_id, q.webhook_id, q.paced FROM @extschema@.rule_webhook_queue q
                                                 WHERE q.lease_until IS NOT NULL OFFSET 0) l
                         WHERE l.webhook_id = NEW.webhook_id AND l.paced);
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION @extschema@._rule_webhooks_unpaced() IS
    'Internal trigger: without a rate the redeliveries of a webhook wait for none.';

CREATE OR REPLACE TRIGGER rule_webhooks_unpaced
    AFTER UPDATE ON @extschema@.rule_webhooks FOR EACH ROW
    WHEN (OLD.redeliver_per_second IS NOT NULL AND NEW.redeliver_per_second IS NULL)
    EXECUTE FUNCTION @extschema@._rule_webhooks_unpaced();
