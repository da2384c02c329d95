CREATE OR REPLACE FUNCTION @extschema@._rule_waits_for(
    p_enabled boolean, p_held_since timestamptz, p_breaker_state text, p_retry_count integer)
RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT CASE WHEN NOT p_enabled THEN 'disabled'
                WHEN p_held_since IS NOT NULL THEN 'held'
                WHEN p_breaker_state <> 'closed' THEN 'breaker open'
                WHEN p_retry_count > 0 THEN 'retrying'
                ELSE 'waiting' END
$$;
COMMENT ON FUNCTION @extschema@._rule_waits_for(boolean, timestamptz, text, integer) IS
    'Internal: why an event that can be taken is not delivered, in a word or two.';

CREATE OR REPLACE FUNCTION @extschema@.rule_webhook_undelivered(p_webhook_id integer DEFAULT NULL)
RETURNS TABLE (webhook_id integer, webhook_name text, message_id text, redelivery integer, queue_id bigint, reason text,
               error_message text, tries integer, accepted_at timestamptz, next_try_at timestamptz)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM @extschema@._rule_undelivered_webhook(p_webhook_id);
    RETURN QUERY
    SELECT u.* FROM @extschema@._rule_undelivered_queue u WHERE u.webhook_id = p_webhook_id OR p_webhook_id IS NULL
    UNION ALL
    SELECT u.* FROM @extschema@._rule_undelivered_receipts u WHERE u.webhook_id = p_webhook_id OR p_webhook_id IS NULL
    UNION ALL
    SELECT u.* FROM @extschema@._rule_undelivered_published u WHERE u.webhook_id = p_webhook_id OR p_webhook_id IS NULL
    ORDER BY 9, 3, 4;
END
$$;
COMMENT ON FUNCTION @extschema@.rule_webhook_undelivered(integer) IS
    'What has been accepted and has not arrived, oldest first, and why: waiting, retrying, leased, held, disabled, breaker open, at its limit, behind another event of its key, blocked by a dead letter, waiting for NATS, in the stream, not published, expired or dead letter, with the last error. Reads and sorts all of it: with p_limit it comes in pages.';

CREATE OR REPLACE FUNCTION @extschema@._rule_undelivered_webhook(p_webhook_id integer)
RETURNS void LANGUAGE plpgsql STABLE
AS $$
BEGIN
    IF p_webhook_id IS NOT NULL AND NOT EXISTS (SELECT FROM @extschema@.rule_webhooks w WHERE w.webhook_id = p_webhook_id) THEN
        PERFORM @extschema@._rule_no_such_webhook(p_webhook_id);
    END IF;
END
$$;
COMMENT ON FUNCTION @extschema@._rule_undelivered_webhook(integer) IS
    'Internal: refuses a webhook that does not exist; NULL is all of them.';
