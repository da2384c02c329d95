-- The payloads of one claim, as many as a worker should get at once.

CREATE OR REPLACE FUNCTION @extschema@._rule_claim_texts(p_rows bigint[])
RETURNS TABLE (id bigint, payload text)
LANGUAGE plpgsql
AS $$
#variable_conflict use_variable
DECLARE
    -- claim asks twice, for NATS and for the endpoints; together 16 MB, or one row each.
    v_left integer := 8 * 1024 * 1024;
    v_row record;
    v_given bigint[] := '{}';
BEGIN
    FOR v_row IN
        -- A number of 131,072 digits takes 12 bytes at least, so that the text of a short one is sent in any case.
        SELECT q.queue_id, q.payload AS json,
               pg_column_compression(q.payload) IS NULL AND pg_column_size(q.payload) <= 4096 AS short
        FROM @extschema@.rule_webhook_queue q
        WHERE q.queue_id = ANY (p_rows) ORDER BY q.queue_id
    LOOP
        payload := CASE WHEN v_row.short THEN v_row.json::text
                        ELSE @extschema@._rule_payload_text(v_row.json, @extschema@._rule_payload_sent()) END;
        IF payload IS NULL AND v_row.json IS NOT NULL THEN
            UPDATE @extschema@.rule_webhook_queue q
            SET status = 'failed', leased_by = NULL, lease_until = NULL, completed_at = clock_timestamp(),
                error_message = format('the payload has more than %s bytes as text', @extschema@._rule_payload_sent())
            WHERE q.queue_id = v_row.queue_id;
            -- It took long to find out. The next one of its kind has a call of its own.
            v_given := v_given || v_row.queue_id;
            EXIT;
        END IF;
        v_left := v_left - coalesce(octet_length(payload), 0);
        EXIT WHEN v_left < 0 AND v_given <> '{}';
        v_given := v_given || v_row.queue_id;
        id := v_row.queue_id;
        RETURN NEXT;
    END LOOP;
    IF cardinality(v_given) < cardinality(p_rows) THEN
        UPDATE @extschema@.rule_webhook_queue q
        SET status = 'pending', leased_by = NULL, lease_until = NULL
        WHERE q.queue_id = ANY (p_rows) AND q.queue_id <> ALL (v_given);
    END IF;
END
$$;
COMMENT ON FUNCTION @extschema@._rule_claim_texts(bigint[]) IS
    'Internal: leased rows with their payload as text. Gives back those that are too much at once; what is too long to send becomes a dead letter.';
