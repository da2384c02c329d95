-- A jsonb says little of how long its text is: a number of a few bytes can have 131,072 digits, and text beyond 1 GB raises.

-- What is taken into the queue, as NATS advises for its own messages; larger ones only come from a stream that carries them.
CREATE OR REPLACE FUNCTION @extschema@._rule_payload_accepted()
RETURNS integer LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$ SELECT 8 * 1024 * 1024 $$;
COMMENT ON FUNCTION @extschema@._rule_payload_accepted() IS
    'Internal: the most bytes of text that rule_webhook_enqueue() accepts.';

-- What is sent from the queue: no NATS server carries more, and a worker would not get it within one call.
CREATE OR REPLACE FUNCTION @extschema@._rule_payload_sent()
RETURNS integer LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$ SELECT 64 * 1024 * 1024 $$;
COMMENT ON FUNCTION @extschema@._rule_payload_sent() IS
    'Internal: the most bytes of text that a worker is given of one payload.';

CREATE OR REPLACE FUNCTION @extschema@._rule_payload_text(p_payload jsonb, p_most integer)
RETURNS text LANGUAGE plpgsql STABLE
AS $$
DECLARE
    v_text text;
BEGIN
    v_text := p_payload::text;
    RETURN CASE WHEN octet_length(v_text) <= p_most THEN v_text END;
EXCEPTION WHEN program_limit_exceeded OR out_of_memory THEN
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION @extschema@._rule_payload_text(jsonb, integer) IS
    'Internal: a payload as it is sent, NULL where that is longer than so many bytes.';
