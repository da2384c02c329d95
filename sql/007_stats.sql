-- What was published, and where to, as one answer.

CREATE OR REPLACE FUNCTION @extschema@.rule_nats_stats(p_webhook_id integer DEFAULT NULL, p_hours integer DEFAULT 24)
RETURNS json LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM @extschema@._rule_check_range(p_hours, 1, 87600, 'p_hours');
    IF p_webhook_id IS NOT NULL AND NOT EXISTS (SELECT FROM @extschema@.rule_webhooks w WHERE w.webhook_id = p_webhook_id) THEN
        PERFORM @extschema@._rule_no_such_webhook(p_webhook_id);
    END IF;
    RETURN (
        SELECT json_build_object(
            'webhook_id', p_webhook_id, 'hours', p_hours,
            'total_published', count(*), 'successful', count(*) FILTER (WHERE h.success),
            'failed', count(*) FILTER (WHERE NOT h.success), 'duplicates', count(*) FILTER (WHERE h.duplicate),
            'success_rate_pct', round(100.0 * count(*) FILTER (WHERE h.success) / nullif(count(*), 0), 2),
            'avg_latency_ms', round(avg(h.latency_ms), 2), 'min_latency_ms', min(h.latency_ms), 'max_latency_ms', max(h.latency_ms),
            'p50_latency_ms', percentile_cont(0.5) WITHIN GROUP (ORDER BY h.latency_ms),
            'p95_latency_ms', percentile_cont(0.95) WITHIN GROUP (ORDER BY h.latency_ms),
            'p99_latency_ms', percentile_cont(0.99) WITHIN GROUP (ORDER BY h.latency_ms),
            'first_published_at', min(h.published_at), 'last_published_at', max(h.published_at))
        FROM @extschema@.rule_nats_publish_history h
        JOIN @extschema@.rule_webhooks w ON w.webhook_id = h.webhook_id
        WHERE h.published_at > now() - make_interval(hours => p_hours)
          AND (p_webhook_id IS NULL OR h.webhook_id = p_webhook_id));
END
$$;
COMMENT ON FUNCTION @extschema@.rule_nats_stats(integer, integer) IS
    'Publishes to NATS of the last hours, of one webhook or of all: numbers, success rate, latencies in milliseconds.';

CREATE OR REPLACE FUNCTION @extschema@.rule_nats_webhooks_list()
RETURNS TABLE (webhook_id integer, webhook_name text, nats_subject text, publish_mode text, config_name text,
               total_published bigint, success_rate numeric)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    SELECT w.webhook_id, w.webhook_name, w.nats_subject, w.publish_mode, c.config_name, s.total_published, s.success_rate_pct
    FROM @extschema@.nats_publish_summary s
    JOIN @extschema@.rule_webhooks w ON w.webhook_id = s.webhook_id
    LEFT JOIN @extschema@.rule_nats_config c ON c.config_id = @extschema@._rule_config_of(w.nats_config_id)
    ORDER BY w.webhook_id
$$;
COMMENT ON FUNCTION @extschema@.rule_nats_webhooks_list() IS
    'The webhooks that may publish to NATS, where to, and how that went over the history that is kept, in per cent.';
