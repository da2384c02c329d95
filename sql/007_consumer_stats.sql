CREATE OR REPLACE FUNCTION @extschema@.rule_nats_consumer_update_stats(
    p_stream_name text, p_consumer_name text, p_messages_delivered bigint, p_messages_acknowledged bigint,
    p_messages_pending bigint, p_avg_processing_time_ms numeric DEFAULT NULL, p_queue_group text DEFAULT NULL,
    p_messages_redelivered bigint DEFAULT NULL, p_active boolean DEFAULT true)
RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM @extschema@._rule_check_stream_name(p_stream_name);
    PERFORM @extschema@._rule_check_name(p_consumer_name, 'consumer name');
    PERFORM @extschema@._rule_check_range(p_messages_delivered, 0, 9223372036854775807, 'messages_delivered');
    PERFORM @extschema@._rule_check_range(p_messages_acknowledged, 0, 9223372036854775807, 'messages_acknowledged');
    PERFORM @extschema@._rule_check_range(p_messages_pending, 0, 9223372036854775807, 'messages_pending');
    PERFORM @extschema@._rule_check_range(coalesce(p_messages_redelivered, 0), 0, 9223372036854775807, 'messages_redelivered');
    PERFORM @extschema@._rule_check_range(coalesce(p_avg_processing_time_ms, 0), 0, 9223372036854775807, 'avg_processing_time_ms');
    INSERT INTO @extschema@.rule_nats_consumer_stats AS s
        (stream_name, consumer_name, queue_group, messages_delivered, messages_acknowledged, messages_pending,
         messages_redelivered, avg_processing_time_ms, last_active_at, active)
    VALUES (p_stream_name, p_consumer_name, p_queue_group, p_messages_delivered, p_messages_acknowledged, p_messages_pending,
            coalesce(p_messages_redelivered, 0), p_avg_processing_time_ms, clock_timestamp(), coalesce(p_active, true))
    ON CONFLICT (stream_name, consumer_name) DO UPDATE
    SET queue_group = coalesce(excluded.queue_group, s.queue_group), messages_delivered = excluded.messages_delivered,
        messages_acknowledged = excluded.messages_acknowledged, messages_pending = excluded.messages_pending,
        messages_redelivered = coalesce(p_messages_redelivered, s.messages_redelivered),
        avg_processing_time_ms = coalesce(excluded.avg_processing_time_ms, s.avg_processing_time_ms),
        last_active_at = excluded.last_active_at, active = excluded.active, updated_at = now();
    RETURN true;
END
$$;
COMMENT ON FUNCTION @extschema@.rule_nats_consumer_update_stats(text, text, bigint, bigint, bigint, numeric, text, bigint, boolean) IS
    'Writes what a consumer of a stream has counted since it started: totals, not additions.';
