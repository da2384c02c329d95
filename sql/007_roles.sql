-- Four roles, made when the DBA asks for them: an extension that makes roles by itself would surprise a cluster.

CREATE OR REPLACE FUNCTION @extschema@._rule_role_grants()
RETURNS TABLE (role text, privilege text, kind text, object text)
LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
    -- For applications: they publish, and see what a webhook is. No URL, no header, no payload of others.
    SELECT 'rule_engine_publisher', 'EXECUTE', 'FUNCTION', f
    FROM unnest('{rule_webhook_publish_nats, rule_webhook_call_unified, rule_webhook_call, rule_webhook_enqueue, rule_nats_init,
                  rule_row_changed, rule_row_changes, rule_payload_pick, rule_payload_drop, rule_payload_mask,
                  rule_cloud_event, rule_event_id, rule_webhook_trigger}'::text[]) f
    UNION ALL
    SELECT 'rule_engine_publisher', 'SELECT (webhook_id, webhook_name, publish_mode, nats_subject, enabled)', 'TABLE', 'rule_webhooks'
    UNION ALL
    -- For workers: their functions and nothing else.
    SELECT 'rule_engine_worker', 'EXECUTE', 'FUNCTION', f
    FROM unnest('{rule_worker_hello, rule_worker_endpoints, rule_worker_claim, rule_worker_admit, rule_worker_report,
                  rule_worker_heartbeat, rule_worker_idle, rule_worker_maintain}'::text[]) f
    UNION ALL
    -- For administrators: webhooks, configurations, streams, the queue. A signing secret is shown once, to who sets it.
    SELECT 'rule_engine_admin', 'EXECUTE', 'FUNCTION', f
    FROM unnest('{rule_webhook_publish_nats, rule_webhook_call_unified, rule_webhook_enqueue, rule_nats_init,
                  rule_row_changed, rule_row_changes, rule_payload_pick, rule_payload_drop, rule_payload_mask,
                  rule_cloud_event, rule_event_id, rule_webhook_trigger, rule_nats_health_check, rule_webhook_register, rule_webhook_update, rule_webhook_delete, rule_webhook_get,
                  rule_webhook_list, rule_webhook_enable_nats, rule_webhook_disable_nats, rule_nats_configure,
                  rule_nats_stream_create, rule_webhook_call_status, rule_webhook_secret_set, rule_webhook_secret_delete,
                  rule_nats_event_status, rule_nats_consumer_update_stats, rule_engine_source_renew, rule_engine_maintain,
                  rule_nats_cleanup_old_history, rule_nats_cleanup_expired, rule_webhook_cleanup_old_calls, rule_webhook_call,
                  rule_webhook_retry, rule_webhook_redeliver, rule_webhook_undelivered, rule_webhook_id_header, rule_webhook_message_id, rule_webhook_hold, rule_webhook_resume, rule_nats_stats, rule_nats_config_info, rule_nats_test_connection, rule_nats_webhooks_list}'::text[]) f
    UNION ALL
    SELECT 'rule_engine_admin', 'SELECT, INSERT, UPDATE, DELETE', 'TABLE', t
    FROM unnest('{rule_webhooks, rule_nats_config, rule_nats_streams, rule_webhook_queue}'::text[]) t
    UNION ALL
    SELECT 'rule_engine_admin', 'SELECT, UPDATE', 'TABLE', t FROM unnest('{rule_engine_retention, rule_engine_settings}'::text[]) t
    UNION ALL
    SELECT 'rule_engine_admin', 'SELECT', 'TABLE', t
    FROM unnest('{rule_engine_migrations, rule_engine_source, rule_webhook_receipts, rule_webhook_attempts,
                  rule_webhook_drops, rule_webhook_endpoints, rule_nats_publish_history, rule_nats_consumer_stats,
                  nats_publish_summary,
                  nats_performance_stats, nats_recent_failures, webhook_status_summary, webhook_performance_stats,
                  webhook_recent_failures, rule_webhook_dead_letters, webhook_queue_fill, rule_engine_upkeep,
                  rule_nats_publish_hours, rule_webhook_attempt_days}'::text[]) t
    UNION ALL
    SELECT 'rule_engine_admin', 'SELECT (webhook_id, secret_name, created_at, expires_at), UPDATE (expires_at)', 'TABLE',
           'rule_webhook_secrets'
    UNION ALL
    SELECT 'rule_engine_admin', 'USAGE', 'SEQUENCE', s
    FROM unnest('{rule_webhooks_webhook_id_seq, rule_nats_config_config_id_seq, rule_nats_streams_stream_id_seq,
                  rule_webhook_queue_queue_id_seq}'::text[]) s
    UNION ALL
    -- For monitoring: numbers and states.
    SELECT 'rule_engine_monitor', 'EXECUTE', 'FUNCTION', f
    FROM unnest('{rule_nats_health_check, rule_webhook_call_status, rule_nats_event_status, rule_nats_stats,
                  rule_webhook_undelivered, rule_webhook_id_header, rule_webhook_message_id,
                  rule_nats_webhooks_list, rule_nats_test_connection}'::text[]) f
    UNION ALL
    SELECT 'rule_engine_monitor', 'SELECT', 'TABLE', t
    FROM unnest('{rule_engine_migrations, rule_engine_source, rule_webhook_drops, rule_webhook_endpoints, rule_nats_consumer_stats,
                  nats_publish_summary, nats_performance_stats, nats_recent_failures, webhook_status_summary,
                  webhook_performance_stats, webhook_recent_failures, webhook_queue_fill, rule_engine_retention,
                  rule_engine_settings, rule_engine_upkeep}'::text[]) t
$$;
COMMENT ON FUNCTION @extschema@._rule_role_grants() IS
    'Internal: what each role of rule_engine_create_roles() may do, beside using the schema.';

CREATE OR REPLACE FUNCTION @extschema@.rule_engine_create_roles()
RETURNS SETOF text LANGUAGE plpgsql SECURITY INVOKER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_schema oid := '@extschema@'::regnamespace;
    v_role text;
    v_grant record;
    v_command text;
    v_before aclitem[];
BEGIN
    FOREACH v_role IN ARRAY '{rule_engine_publisher, rule_engine_worker, rule_engine_admin, rule_engine_monitor}'::text[] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles r WHERE r.rolname = v_role) THEN
            -- Another database's call at the same moment makes the same role.
            BEGIN
                EXECUTE format('CREATE ROLE %I NOLOGIN', v_role);
                RETURN NEXT format('created role %s', v_role);
            EXCEPTION WHEN duplicate_object OR unique_violation THEN
                NULL;
            END;
        END IF;
        IF NOT has_schema_privilege(v_role, v_schema, 'USAGE') THEN
            EXECUTE format('GRANT USAGE ON SCHEMA %s TO %I', '@extschema@', v_role);
            RETURN NEXT format('granted USAGE on schema %s to %s', '@extschema@', v_role);
        END IF;
    END LOOP;
    FOR v_grant IN
        SELECT g.role, g.privilege, g.kind, o.oid, o.shown, o.address
        FROM @extschema@._rule_role_grants() g
        JOIN LATERAL (
            SELECT p.oid, p.oid::regprocedure::text AS address, p.proname::text AS shown FROM pg_proc p
            WHERE g.kind = 'FUNCTION' AND p.proname = g.object AND p.pronamespace = v_schema
            UNION ALL
            SELECT c.oid, c.oid::regclass::text, c.relname::text FROM pg_class c
            WHERE g.kind <> 'FUNCTION' AND c.relname = g.object AND c.relnamespace = v_schema) o ON true
        -- A function of the same name that a user made there is none of ours.
        JOIN pg_depend d ON d.objid = o.oid AND d.deptype = 'e'
                            AND d.classid = CASE g.kind WHEN 'FUNCTION' THEN 'pg_proc'::regclass ELSE 'pg_class'::regclass END
    LOOP
        v_before := @extschema@._rule_acl(v_grant.kind, v_grant.oid);
        EXECUTE format('GRANT %s ON %s %s TO %I', v_grant.privilege, v_grant.kind, v_grant.address, v_grant.role);
        IF v_before IS DISTINCT FROM @extschema@._rule_acl(v_grant.kind, v_grant.oid) THEN
            RETURN NEXT format('granted %s on %s %s to %s', v_grant.privilege, lower(v_grant.kind), v_grant.shown, v_grant.role);
        END IF;
    END LOOP;
END
$$;
COMMENT ON FUNCTION @extschema@.rule_engine_create_roles() IS
    'Makes rule_engine_publisher, _worker, _admin and _monitor where they are missing and grants them their part. Returns what it did; call it again after an update.';

CREATE OR REPLACE FUNCTION @extschema@._rule_acl(p_kind text, p_oid oid)
RETURNS aclitem[] LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE p_kind
        WHEN 'FUNCTION' THEN (SELECT p.proacl FROM pg_proc p WHERE p.oid = p_oid)
        ELSE (SELECT c.relacl FROM pg_class c WHERE c.oid = p_oid)
             || ARRAY(SELECT unnest(a.attacl) FROM pg_attribute a WHERE a.attrelid = p_oid AND a.attacl IS NOT NULL ORDER BY a.attnum)
        END
$$;
COMMENT ON FUNCTION @extschema@._rule_acl(text, oid) IS
    'Internal: the privileges on an object, its columns included.';
