-- Workers that read a stream past a backlog share what they find, by their places in their group.

CREATE OR REPLACE FUNCTION @extschema@._rule_worker_places(p_consumer text)
RETURNS jsonb LANGUAGE sql STABLE
AS $$
    SELECT coalesce(jsonb_object_agg(p.stream_name, jsonb_build_array(p.place, p.of)), '{}')
    FROM (
        SELECT s.stream_name, s.consumer_name, count(*) OVER w AS of,
               row_number() OVER (w ORDER BY s.consumer_name COLLATE "C" ROWS UNBOUNDED PRECEDING) - 1 AS place
        FROM @extschema@.rule_nats_consumer_stats s
        JOIN @extschema@.rule_nats_consumer_stats me
          ON me.stream_name = s.stream_name AND me.queue_group = s.queue_group AND me.consumer_name = p_consumer AND me.active
        -- Three heartbeats. Who is dead leaves its part to another one for so long.
        WHERE s.active AND s.last_active_at > clock_timestamp() - interval '15 s'
          -- A process that takes from the queue alone counts itself under its name.
          AND NOT EXISTS (SELECT FROM @extschema@.rule_nats_consumer_stats q
                          WHERE q.consumer_name = s.consumer_name AND q.stream_name = 'rule_webhook_queue' AND q.active
                            AND q.last_active_at > clock_timestamp() - interval '15 s')
        WINDOW w AS (PARTITION BY s.stream_name)) p
    WHERE p.consumer_name = p_consumer
$$;
COMMENT ON FUNCTION @extschema@._rule_worker_places(text) IS
    'Internal: by stream, which of how many live processes of its group a worker is.';
