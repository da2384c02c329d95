-- A worker's rows of rule_nats_consumer_stats. Nothing that workers call waits for one: a session that has it locked may keep
-- its transaction open, and events are not to wait for what is said of a worker. That is then said the next time.

CREATE OR REPLACE FUNCTION @extschema@._rule_worker_rows(p_consumer text, p_streams text[])
RETURNS integer[] LANGUAGE plpgsql
AS $$
BEGIN
    PERFORM @extschema@._rule_worker_row_make(p_consumer, t.name)
    FROM (SELECT DISTINCT u.name FROM unnest(p_streams) AS u (name) WHERE u.name <> '') t
    WHERE NOT EXISTS (SELECT FROM @extschema@.rule_nats_consumer_stats s
                      WHERE s.stream_name = t.name AND s.consumer_name = p_consumer);
    RETURN ARRAY(SELECT s.consumer_id FROM @extschema@.rule_nats_consumer_stats s
                 WHERE s.stream_name = ANY (p_streams) AND s.consumer_name = p_consumer FOR UPDATE SKIP LOCKED);
END
$$;
COMMENT ON FUNCTION @extschema@._rule_worker_rows(text, text[]) IS
    'Internal: locks a worker''s rows of these streams, made where there are none, and leaves out those that another session has locked.';

-- The time-out is for a row that another transaction has made and not committed: an insert waits for that, whatever it does on
-- a conflict.
CREATE OR REPLACE FUNCTION @extschema@._rule_worker_row_make(p_consumer text, p_stream text)
RETURNS void LANGUAGE plpgsql SET lock_timeout = '1ms'
AS $$
BEGIN
    INSERT INTO @extschema@.rule_nats_consumer_stats (stream_name, consumer_name, last_active_at)
    VALUES (p_stream, p_consumer, clock_timestamp())
    ON CONFLICT (stream_name, consumer_name) DO NOTHING;
EXCEPTION WHEN lock_not_available THEN
    NULL;
END
$$;
COMMENT ON FUNCTION @extschema@._rule_worker_row_make(text, text) IS
    'Internal: makes a worker''s row of a stream, unless another session is making it.';
