-- The rate of redeliveries ends with the last of them. Claims look for it as long as it is there.

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

CREATE OR REPLACE FUNCTION @extschema@._rule_rates_end()
RETURNS void LANGUAGE plpgsql
-- Whatever the queue was like when it was analyzed.
SET enable_seqscan = off
AS $$
DECLARE
    v_webhooks integer[];
BEGIN
    v_webhooks := ARRAY(
        SELECT w.webhook_id FROM @extschema@.rule_webhooks w
        WHERE w.redeliver_per_second IS NOT NULL AND NOT @extschema@._rule_paced_left(w.webhook_id)
        FOR NO KEY UPDATE SKIP LOCKED);
    -- Who redelivered until now had it locked, and what that made is seen only from here on.
    UPDATE @extschema@.rule_webhooks w SET redeliver_per_second = NULL
    WHERE w.webhook_id = ANY (v_webhooks) AND NOT @extschema@._rule_paced_left(w.webhook_id);
END
$$;
COMMENT ON FUNCTION @extschema@._rule_rates_end() IS
    'Internal: ends the rates of redeliveries of which nothing is left.';

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
