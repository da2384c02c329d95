-- What a worker reports, read so that no member can fail its batch.

CREATE OR REPLACE FUNCTION @extschema@._rule_worker_attempts(p_attempts jsonb)
RETURNS TABLE (n integer, path text, queue_id bigint, webhook_id integer, message_id text, redelivery integer, try integer,
               result text, status integer, started_ms_ago double precision, duration_ms double precision,
               error text, answer text, stream text, sequence bigint, payload text, problem text,
               retry_after_ms integer)
LANGUAGE sql IMMUTABLE
AS $$
    SELECT e.n::integer, v.path, v.queue_id, v.webhook_id, m ->> 'message_id', v.redelivery, v.try,
           -- An endpoint may answer with any number, and one that is no status must not keep its event for ever.
           CASE WHEN v.result = 'answered' AND v.status IS NULL THEN 'failed' ELSE v.result END,
           v.status, v.started_ms_ago, v.duration_ms,
           CASE WHEN v.result = 'answered' AND v.status IS NULL THEN coalesce(left(m ->> 'error', 1000), 'an answer without a valid status')
                ELSE left(m ->> 'error', 1000) END,
           -- Bytes of an answer are bounded, whatever its letters weigh.
           CASE WHEN octet_length(m ->> 'answer') <= 1024 THEN m ->> 'answer' ELSE left(m ->> 'answer', 256) END,
           m ->> 'stream', @extschema@._rule_json_count(m -> 'sequence'), m ->> 'payload',
           CASE WHEN v.path IS NULL THEN 'path is neither stream nor queue'
                WHEN v.result IS NULL THEN 'result is none of answered, failed, published, released'
                WHEN v.path = 'queue' AND v.queue_id IS NULL THEN 'no queue id'
                WHEN v.path = 'stream' AND (v.webhook_id IS NULL OR m ->> 'message_id' IS NULL) THEN 'no webhook id or message id'
                WHEN v.path = 'stream' AND v.result = 'published' THEN 'a stream message cannot be published'
           END,
           -- A day at most, and nothing for what is no number.
           CASE WHEN v.retry_after_ms IS NOT NULL THEN least(v.retry_after_ms, 86400000)::integer END
    FROM jsonb_array_elements(p_attempts) WITH ORDINALITY AS e (m, n)
    CROSS JOIN LATERAL (SELECT
        CASE WHEN m ->> 'path' IN ('stream', 'queue') THEN m ->> 'path' END AS path,
        CASE WHEN m ->> 'result' IN ('answered', 'failed', 'published', 'released') THEN m ->> 'result' END AS result,
        @extschema@._rule_json_count(m -> 'queue_id') AS queue_id,
        @extschema@._rule_json_count(m -> 'retry_after_ms') AS retry_after_ms,
        CASE WHEN @extschema@._rule_json_count(m -> 'webhook_id') <= 2147483647
             THEN @extschema@._rule_json_count(m -> 'webhook_id')::integer END AS webhook_id,
        least(coalesce(@extschema@._rule_json_count(m -> 'redelivery'), 0), 2147483647)::integer AS redelivery,
        CASE WHEN @extschema@._rule_json_count(m -> 'try') <= 2147483647
             THEN @extschema@._rule_json_count(m -> 'try')::integer END AS try,
        CASE WHEN @extschema@._rule_json_count(m -> 'status') BETWEEN 100 AND 999
             THEN @extschema@._rule_json_count(m -> 'status')::integer END AS status,
        CASE WHEN m ->> 'started_ms_ago' ~ '^[0-9]{1,12}(\.[0-9]+)?$'
             THEN round((m ->> 'started_ms_ago')::numeric, 3)::double precision ELSE 0 END AS started_ms_ago,
        CASE WHEN m ->> 'duration_ms' ~ '^[0-9]{1,12}(\.[0-9]+)?$'
             THEN round((m ->> 'duration_ms')::numeric, 3)::double precision END AS duration_ms
        -- Kept from being written out wherever a member is used.
        OFFSET 0) v
$$;
COMMENT ON FUNCTION @extschema@._rule_worker_attempts(jsonb) IS
    'Internal: the members of a batch of attempts, each with what is wrong with it.';

CREATE OR REPLACE FUNCTION @extschema@._rule_retry_delay_ms(p_delay_ms integer, p_multiplier numeric, p_tries integer)
RETURNS integer LANGUAGE sql VOLATILE
AS $$
    -- The exponent is bounded before it is used: 100 to the power of 1000 is no number here.
    SELECT least(3600000, p_delay_ms * pg_catalog.exp(least(50, pg_catalog.ln(p_multiplier::double precision) * (p_tries - 1)))
                          * (0.8 + 0.4 * pg_catalog.random()))::integer
$$;
COMMENT ON FUNCTION @extschema@._rule_retry_delay_ms(integer, numeric, integer) IS
    'Internal: how long to wait after so many tries, with 20 per cent of jitter either way, at most an hour.';
