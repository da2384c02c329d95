-- What a worker says of a stream message, read so that no member can fail its batch.

-- White space by name: what a class of it holds is the locale's.
CREATE OR REPLACE FUNCTION @extschema@._rule_message_id_fits(p_message_id text)
RETURNS boolean LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT pg_catalog.octet_length(p_message_id) BETWEEN 1 AND 255
           AND p_message_id !~ ('[\u0001-\u001f\u007f-\u009f]'
                                || '|^[\u0020\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]'
                                || '|[\u0020\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]$')
$$;
COMMENT ON FUNCTION @extschema@._rule_message_id_fits(text) IS
    'Internal: whether an event may have this message id, as publishers (CheckMessageID of nats/wire) and workers judge it.';

CREATE OR REPLACE FUNCTION @extschema@._rule_worker_messages(p_messages jsonb)
RETURNS TABLE (n integer, webhook_id integer, message_id text, source_id text, transaction xid8,
               stream text, sequence bigint, age_ms bigint, payload text, problem text, overflow boolean)
LANGUAGE sql IMMUTABLE
AS $$
    SELECT e.n::integer, v.webhook_id, v.message_id, lower(m ->> 'source_id'), v.transaction,
           m ->> 'stream', v.sequence, coalesce(@extschema@._rule_json_count(m -> 'age_ms'), 0), m ->> 'payload',
           CASE WHEN m ->> 'webhook_id' IS NULL THEN 'no webhook id'
                WHEN v.webhook_id IS NULL THEN 'webhook id is malformed'
                WHEN m ->> 'source_id' IS NULL THEN 'no source id'
                WHEN lower(m ->> 'source_id') !~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' THEN 'source id is malformed'
                WHEN m ->> 'message_id' IS NULL THEN 'no message id'
                WHEN v.message_id IS NULL THEN 'message id is malformed'
                WHEN m ->> 'transaction' IS NOT NULL AND v.transaction IS NULL THEN 'transaction is malformed'
           END,
           m -> 'overflow' = 'true'
    FROM jsonb_array_elements(p_messages) WITH ORDINALITY AS e (m, n)
    CROSS JOIN LATERAL (SELECT
        CASE WHEN @extschema@._rule_json_count(m -> 'webhook_id') BETWEEN 1 AND 2147483647
             THEN @extschema@._rule_json_count(m -> 'webhook_id')::integer END AS webhook_id,
        CASE WHEN @extschema@._rule_message_id_fits(m ->> 'message_id') THEN m ->> 'message_id' END AS message_id,
        -- xid8 reads any text as some number.
        CASE WHEN m ->> 'transaction' ~ '^[0-9]{1,20}$' THEN
             CASE WHEN (m ->> 'transaction')::numeric <= 18446744073709551615 THEN (m ->> 'transaction')::xid8 END
             END AS transaction,
        @extschema@._rule_json_count(m -> 'sequence') AS sequence
        -- Kept from being written out wherever a member is used.
        OFFSET 0) v
$$;
COMMENT ON FUNCTION @extschema@._rule_worker_messages(jsonb) IS
    'Internal: the members of a batch of stream messages, each with what is wrong with it.';

CREATE OR REPLACE FUNCTION @extschema@._rule_payload_bytes(p_base64 text)
RETURNS bytea LANGUAGE plpgsql IMMUTABLE
AS $$
BEGIN
    RETURN decode(p_base64, 'base64');
EXCEPTION WHEN data_exception THEN
    -- Better kept as it came than lost.
    RETURN convert_to(p_base64, 'UTF8');
END
$$;
COMMENT ON FUNCTION @extschema@._rule_payload_bytes(text) IS
    'Internal: the bytes of a message.';

CREATE OR REPLACE FUNCTION @extschema@._rule_payload_json(p_bytes bytea)
RETURNS jsonb LANGUAGE plpgsql STABLE
AS $$
BEGIN
    RETURN convert_from(p_bytes, 'UTF8')::jsonb;
EXCEPTION WHEN data_exception OR program_limit_exceeded OR statement_too_complex THEN
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION @extschema@._rule_payload_json(bytea) IS
    'Internal: the same as jsonb, NULL where jsonb refuses it.';

CREATE OR REPLACE FUNCTION @extschema@._rule_stranger_keep(
    p_message_id text, p_stream text, p_sequence bigint, p_age_ms bigint, p_base64 text, p_problem text)
RETURNS void LANGUAGE plpgsql
AS $$
DECLARE
    v_bytes bytea := @extschema@._rule_payload_bytes(p_base64);
    v_json jsonb := @extschema@._rule_payload_json(v_bytes);
    v_message_id text := coalesce(p_message_id, format('%s:%s', coalesce(p_stream, 'unknown'), coalesce(p_sequence, 0)));
    -- Where it lies: messages of one id can be alike in all else.
    v_error text := p_problem || coalesce('; message ' || p_sequence || ' of stream ' || p_stream, '');
BEGIN
    -- An ack that was lost brings the same message again. What was stored after the row was made is another one, of a stream that
    -- was made anew; a minute is for the way here.
    IF NOT EXISTS (SELECT FROM @extschema@.rule_webhook_queue q
                   WHERE q.webhook_id IS NULL AND q.message_id = v_message_id AND q.error_message = v_error
                     AND (q.payload = v_json OR q.payload_bytes = CASE WHEN v_json IS NULL THEN v_bytes END)
                     AND (p_age_ms IS NULL
                          OR 1000 * extract(epoch FROM clock_timestamp() - q.created_at) < p_age_ms + 60000)) THEN
        INSERT INTO @extschema@.rule_webhook_queue (message_id, payload, payload_bytes, status, error_message, completed_at)
        VALUES (v_message_id, v_json, CASE WHEN v_json IS NULL THEN v_bytes END, 'failed', v_error, clock_timestamp());
    END IF;
END
$$;
COMMENT ON FUNCTION @extschema@._rule_stranger_keep(text, text, bigint, bigint, text, text) IS
    'Internal: keeps a message that belongs to no webhook as a dead letter.';
