-- A process that was started again has its predecessor's name, and so has one of two that were given the same by mistake. A
-- predecessor says nothing any more: another one is there that was heard after this one was.

CREATE OR REPLACE FUNCTION @extschema@._rule_worker_has_namesake(p_consumer text, p_instance bigint, p_heard_ms bigint)
RETURNS boolean LANGUAGE sql STABLE
AS $$
    SELECT EXISTS (
        -- Of any stream: a lease knows its worker by the name alone.
        SELECT FROM @extschema@.rule_nats_consumer_stats s
        WHERE s.consumer_name = p_consumer AND s.instance <> p_instance AND s.instance_at > to_timestamp(p_heard_ms / 1000.0))
$$;
COMMENT ON FUNCTION @extschema@._rule_worker_has_namesake(text, bigint, bigint) IS
    'Internal: whether another process of a worker''s name was heard after this one was, which was at that time.';
