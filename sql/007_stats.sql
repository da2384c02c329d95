-- What was published, and where to, as one answer.

CREATE OR REPLACE FUNCTION @extschema@.rule_nats_stats(p_webhook_id integer DEFAULT NULL, p_hours integer DEFAULT 24)
RETURNS json LANGUAGE plpgsql STABLE SECURITY DEFINER SET jit = off SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM @extschema@._rule_check_range(p_hours, 1, 87600, 'p_hours');
    IF p_webhook_id IS NOT NULL AND NOT EXISTS (SELECT FROM @extschema@.rule_webhooks w WHERE w.webhook_id = p_webhook_id) THEN
        PERFORM @extschema@._rule_no_such_webhook(p_webhook_id);
    END IF;
    RETURN (
        WITH recent AS (
            SELECT p.* FROM @extschema@._rule_publish_sums p
            JOIN @extschema@.rule_webhooks w ON w.webhook_id = p.webhook_id
            WHERE p.hour > now() - make_interval(hours => p_hours + 1) AND (p_webhook_id IS NULL OR p.webhook_id = p_webhook_id)
        ), counted AS (
            SELECT CASE b.bucket WHEN -32768 THEN 0 ELSE power(1.1::double precision, b.bucket) / 1.05 END AS ms,
                   sum(b.n) OVER (ORDER BY b.bucket) AS upto, sum(b.n) OVER () - 1 AS last
            FROM (SELECT u.bucket, sum(u.n) AS n
                  -- In FROM unnest() would store what it finds, which takes half as long again.
                  FROM (SELECT unnest(p.buckets) AS bucket, unnest(p.bucket_counts) AS n FROM recent p) u
                  WHERE u.bucket IS NOT NULL GROUP BY u.bucket) b
        ), percentiles AS (
            SELECT x.share, min(c.ms) FILTER (WHERE c.upto > floor(x.share * c.last)) AS lower,
                   min(c.ms) FILTER (WHERE c.upto > ceil(x.share * c.last)) AS upper, (x.share * min(c.last) % 1)::double precision AS part
            FROM counted c, (VALUES (0.50), (0.95), (0.99)) AS x (share) GROUP BY x.share
        ), sums AS (
            SELECT coalesce(sum(p.publishes), 0) AS publishes, coalesce(sum(p.publishes) FILTER (WHERE p.success), 0) AS successes,
                   coalesce(sum(p.duplicates), 0) AS duplicates, sum(p.latencies) AS latencies, sum(p.latency_sum_ms) AS latency_sum_ms,
                   min(p.latency_min_ms) AS least_ms, max(p.latency_max_ms) AS largest_ms,
                   min(p.first_published_at) AS first_published_at, max(p.last_published_at) AS last_published_at
            FROM recent p
        ), shares AS (
            SELECT least(greatest(max(v.lower + (v.upper - v.lower) * v.part) FILTER (WHERE v.share = 0.50), s.least_ms::double precision), s.largest_ms::double precision) AS p50,
                   least(greatest(max(v.lower + (v.upper - v.lower) * v.part) FILTER (WHERE v.share = 0.95), s.least_ms::double precision), s.largest_ms::double precision) AS p95,
                   least(greatest(max(v.lower + (v.upper - v.lower) * v.part) FILTER (WHERE v.share = 0.99), s.least_ms::double precision), s.largest_ms::double precision) AS p99
            FROM sums s LEFT JOIN percentiles v ON true GROUP BY s.least_ms, s.largest_ms
        )
        SELECT json_build_object(
            'webhook_id', p_webhook_id, 'hours', p_hours,
            'total_published', s.publishes, 'successful', s.successes,
            'failed', s.publishes - s.successes, 'duplicates', s.duplicates,
            'success_rate_pct', round(100.0 * s.successes / nullif(s.publishes, 0), 2),
            'avg_latency_ms', round(s.latency_sum_ms / nullif(s.latencies, 0), 2), 'min_latency_ms', s.least_ms, 'max_latency_ms', s.largest_ms,
            'p50_latency_ms', q.p50, 'p95_latency_ms', q.p95, 'p99_latency_ms', q.p99,
            'first_published_at', s.first_published_at, 'last_published_at', s.last_published_at)
        FROM sums s, shares q);
END
$$;
COMMENT ON FUNCTION @extschema@.rule_nats_stats(integer, integer) IS
    'Publishes to NATS of the last hours, of one webhook or of all: numbers, success rate, latencies in milliseconds. The hour that was under way so many hours ago counts as a whole; percentiles are estimated within 5 per cent.';

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
