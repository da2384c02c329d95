-- A publish makes its stream. Where NATS was away at the first one, only rows of the queue are left to publish.

CREATE OR REPLACE FUNCTION @extschema@._rule_stream_definitions(p_streams text[], p_source_id uuid)
RETURNS jsonb LANGUAGE sql STABLE
AS $$
    SELECT coalesce(jsonb_object_agg(s.stream_name, jsonb_strip_nulls(jsonb_build_object(
        'name', s.stream_name, 'subjects', to_jsonb(s.subjects), 'description', s.description,
        'storage', s.storage_type, 'retention', s.retention_policy, 'discard', s.discard_policy,
        'max_msgs', coalesce(nullif(s.max_messages, 0), -1), 'max_bytes', coalesce(nullif(s.max_bytes, 0), -1),
        'max_age', s.max_age_seconds * 1000000000, 'duplicate_window', s.duplicate_window_seconds * 1000000000::bigint,
        'num_replicas', s.replicas,
        'metadata', jsonb_build_object('rule_engine_source', p_source_id)))), '{}')
    FROM @extschema@.rule_nats_config c
    JOIN @extschema@.rule_nats_streams s ON s.config_id = c.config_id AND s.stream_name = c.stream_name
    WHERE c.enabled AND c.jetstream_enabled AND s.enabled AND s.stream_name = ANY (p_streams)
      AND NOT @extschema@._rule_mistakable(c)
      AND EXISTS (SELECT FROM @extschema@.rule_webhook_queue q JOIN @extschema@.rule_webhooks w ON w.webhook_id = q.webhook_id
                  WHERE q.route = 'publish' AND q.status = 'pending'
                    AND @extschema@._rule_config_of(w.nats_config_id) = c.config_id)
$$;
COMMENT ON FUNCTION @extschema@._rule_stream_definitions(text[], uuid) IS
    'Internal: the streams, as NATS wants them, that rows of the queue are waiting for.';
