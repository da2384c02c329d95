-- What each role may do, tried for every function, table, view and sequence of the extension.
\pset null -
SELECT count(*) > -1 AS made FROM re.rule_engine_create_roles();
-- Called again it finds nothing to do; what is missing it makes good, and says so.
SELECT * FROM re.rule_engine_create_roles();
REVOKE EXECUTE ON FUNCTION re.rule_worker_admit FROM rule_engine_worker;
REVOKE SELECT (webhook_name) ON re.rule_webhooks FROM rule_engine_publisher;
REVOKE USAGE ON SCHEMA re FROM rule_engine_monitor;
SELECT * FROM re.rule_engine_create_roles();
SELECT rolname, rolcanlogin, rolsuper, rolinherit FROM pg_roles
WHERE rolname IN ('rule_engine_publisher', 'rule_engine_worker', 'rule_engine_admin', 'rule_engine_monitor') ORDER BY rolname;

CREATE VIEW t.members AS
SELECT d.classid, d.objid FROM pg_depend d JOIN pg_extension e ON e.oid = d.refobjid
WHERE d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e' AND e.extname = 'rule_engine';

-- Nothing for PUBLIC, anywhere.
SELECT pg_describe_object(m.classid, m.objid, 0) AS open_to_public
FROM t.members m LEFT JOIN pg_proc p ON m.classid = 'pg_proc'::regclass AND p.oid = m.objid
LEFT JOIN pg_class c ON m.classid = 'pg_class'::regclass AND c.oid = m.objid
CROSS JOIN LATERAL aclexplode(coalesce(p.proacl, c.relacl, CASE WHEN p.oid IS NOT NULL THEN acldefault('f', p.proowner) END)) a
WHERE a.grantee = 0;

-- Everything else that the roles hold.
SELECT replace(r.rolname, 'rule_engine_', '') AS role, p.oid::regprocedure AS may_call
FROM t.members m JOIN pg_proc p ON m.classid = 'pg_proc'::regclass AND p.oid = m.objid
JOIN pg_roles r ON r.rolname IN ('rule_engine_publisher', 'rule_engine_worker', 'rule_engine_admin', 'rule_engine_monitor')
WHERE has_function_privilege(r.oid, p.oid, 'EXECUTE') ORDER BY 1, p.proname, p.pronargs;
SELECT replace(r.rolname, 'rule_engine_', '') AS role, c.oid::regclass AS relation,
       concat_ws(', ', CASE WHEN c.relkind <> 'S' AND has_table_privilege(r.oid, c.oid, 'SELECT') THEN 'SELECT' END,
                       CASE WHEN c.relkind <> 'S' AND has_table_privilege(r.oid, c.oid, 'INSERT') THEN 'INSERT' END,
                       CASE WHEN c.relkind <> 'S' AND has_table_privilege(r.oid, c.oid, 'UPDATE') THEN 'UPDATE' END,
                       CASE WHEN c.relkind <> 'S' AND has_table_privilege(r.oid, c.oid, 'DELETE') THEN 'DELETE' END,
                       CASE WHEN c.relkind <> 'S' AND has_table_privilege(r.oid, c.oid, 'TRUNCATE, TRIGGER, REFERENCES') THEN 'MORE' END,
                       CASE WHEN c.relkind = 'S' AND has_sequence_privilege(r.oid, c.oid, 'USAGE') THEN 'USAGE' END,
                       (SELECT 'SELECT of ' || string_agg(a.attname, ' ' ORDER BY a.attnum) FROM pg_attribute a
                        WHERE a.attrelid = c.oid AND a.attnum > 0 AND c.relkind <> 'S' AND has_column_privilege(r.oid, c.oid, a.attnum, 'SELECT')
                          AND NOT has_table_privilege(r.oid, c.oid, 'SELECT')),
                       (SELECT 'UPDATE of ' || string_agg(a.attname, ' ' ORDER BY a.attnum) FROM pg_attribute a
                        WHERE a.attrelid = c.oid AND a.attnum > 0 AND c.relkind <> 'S' AND has_column_privilege(r.oid, c.oid, a.attnum, 'UPDATE')
                          AND NOT has_table_privilege(r.oid, c.oid, 'UPDATE'))) AS may
FROM t.members m JOIN pg_class c ON m.classid = 'pg_class'::regclass AND c.oid = m.objid AND c.relkind IN ('r', 'p', 'v', 'S')
JOIN pg_roles r ON r.rolname IN ('rule_engine_publisher', 'rule_engine_worker', 'rule_engine_admin', 'rule_engine_monitor')
WHERE (c.relkind <> 'S' AND (has_table_privilege(r.oid, c.oid, 'SELECT, INSERT, UPDATE, DELETE, TRUNCATE, TRIGGER, REFERENCES')
                             OR has_any_column_privilege(r.oid, c.oid, 'SELECT, INSERT, UPDATE, REFERENCES')))
   OR (c.relkind = 'S' AND has_sequence_privilege(r.oid, c.oid, 'USAGE, SELECT, UPDATE'))
ORDER BY 1, c.relname;

-- Each of the four tries everything: every function with NULLs, every table, view and sequence in each way. What it could
-- do, whatever came of it, is what the lists above say and nothing else. A sub-select, since nobody asks who may call a
-- strict function with a constant NULL.
CREATE FUNCTION t.allowed(p_role name, p_sql text) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    PERFORM set_config('role', p_role, true);
    EXECUTE p_sql;
    RAISE EXCEPTION 'undo';
EXCEPTION WHEN insufficient_privilege THEN
    RETURN false;
WHEN OTHERS THEN
    RETURN true;
END $$;
CREATE VIEW t.tries AS
SELECT p.oid::regprocedure::text AS object, 'EXECUTE' AS privilege,
       format('SELECT %s(%s)', p.oid::regproc, (SELECT string_agg('(SELECT NULL::' || format_type(a, NULL) || ')', ', ') FROM unnest(p.proargtypes) a)) AS try
FROM t.members m JOIN pg_proc p ON m.classid = 'pg_proc'::regclass AND p.oid = m.objid
UNION ALL
SELECT c.oid::regclass::text, k.privilege, format(k.try, c.oid::regclass, a.attname)
FROM t.members m JOIN pg_class c ON m.classid = 'pg_class'::regclass AND c.oid = m.objid
JOIN LATERAL (SELECT quote_ident(a.attname) AS attname FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 ORDER BY a.attnum LIMIT 1) a ON true
JOIN (VALUES ('{r,p,v}'::"char"[], 'SELECT', 'SELECT * FROM %s LIMIT 0'), ('{r,p}', 'INSERT', 'INSERT INTO %s SELECT'),
             ('{r,p}', 'UPDATE', 'UPDATE %1$s SET %2$s = NULL WHERE false'), ('{r,p}', 'DELETE', 'DELETE FROM %s WHERE false'),
             ('{r,p}', 'TRUNCATE', 'TRUNCATE %s'), ('{S}', 'USAGE', 'SELECT nextval(%L)')) AS k (kinds, privilege, try) ON c.relkind = ANY (k.kinds);
SELECT r.rolname, t.object, t.privilege, t.allowed(r.rolname, t.try) AS could
FROM t.tries t CROSS JOIN pg_roles r
WHERE r.rolname IN ('rule_engine_publisher', 'rule_engine_worker', 'rule_engine_admin', 'rule_engine_monitor')
  AND t.allowed(r.rolname, t.try) <> CASE
      WHEN t.object LIKE '%(%' THEN has_function_privilege(r.oid, t.object::regprocedure, 'EXECUTE')
      WHEN t.privilege = 'USAGE' THEN has_sequence_privilege(r.oid, t.object::regclass, 'USAGE')
      ELSE has_table_privilege(r.oid, t.object::regclass, t.privilege) END
ORDER BY 1, 2, 3;
SELECT count(*) > 1000 AS many, count(*) FILTER (WHERE t.allowed(r.rolname, t.try)) > 100 AS some FROM t.tries t CROSS JOIN pg_roles r
WHERE r.rolname IN ('rule_engine_publisher', 'rule_engine_worker', 'rule_engine_admin', 'rule_engine_monitor');

-- And with what they give to it. What a publisher does, also under a trigger.
SELECT re.rule_webhook_register('orders', 'https://example.com/secret', p_headers => '{"Authorization": "Bearer abc"}') AS id \gset
GRANT USAGE ON SCHEMA t TO rule_engine_publisher, rule_engine_worker, rule_engine_admin, rule_engine_monitor;
CREATE TABLE t.orders (n integer);
GRANT INSERT ON t.orders TO rule_engine_publisher;
CREATE FUNCTION t.order_made() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM re.rule_webhook_enqueue((SELECT webhook_id FROM re.rule_webhooks WHERE webhook_name = 'orders'), to_jsonb(NEW));
    RETURN NEW;
END $$;
CREATE TRIGGER made AFTER INSERT ON t.orders FOR EACH ROW EXECUTE FUNCTION t.order_made();
SET ROLE rule_engine_publisher;
INSERT INTO t.orders VALUES (1);
\a \t
SELECT c.call || E'\n    ' || t.error(c.call)
FROM (VALUES
    ($$SELECT webhook_id, webhook_name, publish_mode, nats_subject, enabled FROM re.rule_webhooks$$),
    ($$SELECT webhook_url FROM re.rule_webhooks$$),
    ($$SELECT headers FROM re.rule_webhooks$$),
    ($$SELECT * FROM re.rule_webhooks$$),
    ($$UPDATE re.rule_webhooks SET enabled = false$$),
    ($$SELECT * FROM re.rule_webhook_queue$$),
    ($$SELECT * FROM re.rule_webhook_secrets$$),
    ($$SELECT * FROM re.rule_nats_config$$),
    ($$SELECT * FROM re.rule_nats_publish_history$$),
    ($$SELECT * FROM re.nats_recent_failures$$),
    ($$SELECT re.rule_webhook_get('orders')$$),
    ($$SELECT re.rule_webhook_secret_set(1, 's')$$),
    ($$SELECT * FROM re.rule_worker_endpoints()$$),
    ($$SELECT re._rule_source()$$),
    ($$SELECT re.rule_engine_create_roles()$$)
) AS c (call);
RESET ROLE;
-- A worker: its functions, no table.
SET ROLE rule_engine_worker;
SELECT c.call || E'\n    ' || t.error(c.call)
FROM (VALUES
    ($$SELECT * FROM re.rule_worker_hello('w', 'g', '1', '{}', '{WEBHOOKS}')$$),
    ($$SELECT * FROM re.rule_worker_endpoints()$$),
    ($$SELECT * FROM re.rule_worker_claim('w', 10, '{WEBHOOKS}')$$),
    ($$SELECT * FROM re.rule_worker_admit('w', '[{}]')$$),
    ($$SELECT * FROM re.rule_worker_report('w', '[{}]')$$),
    ($$SELECT * FROM re.rule_worker_heartbeat('w', '[]', '{}')$$),
    ($$SELECT webhook_id FROM re.rule_webhooks$$),
    ($$SELECT * FROM re.rule_webhook_queue$$),
    ($$SELECT * FROM re.webhook_status_summary$$),
    ($$SELECT re.rule_webhook_enqueue(1, '{}')$$),
    ($$SELECT re._rule_events_take('w', '{1}', '{m}', '{s}', '{1}', '{p}', '{f}', '{1}')$$)
) AS c (call);
RESET ROLE;
-- An administrator: everything but the signing secrets and the server's files.
SET ROLE rule_engine_admin;
SELECT c.call || E'\n    ' || t.error(c.call)
FROM (VALUES
    ($$SELECT re.rule_webhook_register('of an admin', 'https://example.com')$$),
    ($$SELECT re.rule_webhook_get('orders')$$),
    ($$SELECT * FROM re.rule_webhook_list()$$),
    ($$INSERT INTO re.rule_webhooks (webhook_name, webhook_url) VALUES ('by hand', 'https://example.com')$$),
    ($$UPDATE re.rule_webhooks SET timeout_ms = 100$$),
    ($$UPDATE re.rule_webhooks SET timeout_ms = -1$$),
    ($$SELECT re.rule_webhook_secret_set(webhook_id, 's') FROM re.rule_webhooks$$),
    ($$SELECT secret_name, expires_at FROM re.rule_webhook_secrets$$),
    ($$UPDATE re.rule_webhook_secrets SET expires_at = now() + interval '1 day'$$),
    ($$SELECT secret FROM re.rule_webhook_secrets$$),
    ($$UPDATE re.rule_webhook_secrets SET secret = 'x'$$),
    ($$SELECT re.rule_nats_configure('of an admin')$$),
    ($$UPDATE re.rule_nats_config SET auth_token = 't' WHERE config_name = 'of an admin'$$),
    ($$UPDATE re.rule_nats_config SET auth_credentials_file = '/etc/passwd' WHERE config_name = 'of an admin'$$),
    ($$INSERT INTO re.rule_nats_config (config_name, tls_ca_file) VALUES ('files', '/etc/passwd')$$),
    ($$SELECT re.rule_nats_stream_create('OF_AN_ADMIN', '{admin.>}')$$),
    ($$UPDATE re.rule_webhook_queue SET next_retry_at = now()$$),
    ($$SELECT * FROM re.rule_webhook_dead_letters$$),
    ($$SELECT re.rule_webhook_delete(webhook_id) FROM re.rule_webhooks WHERE webhook_name LIKE '%by hand%'$$),
    ($$DELETE FROM re.rule_nats_publish_history$$),
    ($$SELECT * FROM re.rule_worker_endpoints()$$),
    ($$SELECT re.rule_engine_create_roles()$$)
) AS c (call);
SELECT 'created by the session''s user: ' || (created_by = session_user) FROM re.rule_webhooks WHERE webhook_name = 'of an admin';
RESET ROLE;
-- Monitoring: numbers.
SET ROLE rule_engine_monitor;
SELECT c.call || E'\n    ' || t.error(c.call)
FROM (VALUES
    ($$SELECT * FROM re.webhook_status_summary$$),
    ($$SELECT * FROM re.nats_publish_summary$$),
    ($$SELECT * FROM re.nats_performance_stats$$),
    ($$SELECT * FROM re.nats_recent_failures$$),
    ($$SELECT * FROM re.rule_nats_consumer_stats$$),
    ($$SELECT re.rule_nats_event_status(1, 'm', '3')$$),
    ($$SELECT * FROM re.rule_webhooks$$),
    ($$SELECT * FROM re.rule_webhook_queue$$),
    ($$SELECT * FROM re.rule_webhook_dead_letters$$),
    ($$SELECT re.rule_webhook_enqueue(1, '{}')$$)
) AS c (call);
RESET ROLE;
\a \t
-- The publisher's event is in the queue, with the session's user.
SELECT payload, created_by = session_user AS by_the_session_user FROM re.rule_webhook_queue;

-- Definer-rights code sees nothing that a caller puts in its way.
CREATE SCHEMA hostile;
CREATE FUNCTION hostile.gen_random_uuid() RETURNS uuid LANGUAGE sql AS $$ SELECT '00000000-0000-0000-0000-000000000000'::uuid $$;
CREATE FUNCTION hostile.not_equal(text, text) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'hostile operator called'; END $$;
CREATE OPERATOR hostile.<> (LEFTARG = text, RIGHTARG = text, FUNCTION = hostile.not_equal);
CREATE TABLE hostile.rule_webhooks (webhook_id integer, enabled boolean);
CREATE TEMP TABLE rule_webhooks (webhook_id integer, enabled boolean);
SET search_path = hostile, re, pg_catalog, pg_temp;
SELECT re.rule_webhook_register('hostile', 'https://example.com') IS NOT NULL AS registered,
       re.rule_webhook_enqueue(:id, '{}') IS NOT NULL AS queued;
SELECT count(*) FROM re.rule_worker_claim('w', 10, '{}');
SELECT count(*) FROM re.rule_webhook_queue WHERE message_id LIKE '00000000-%';
RESET search_path;
DROP TABLE rule_webhooks;
DROP SCHEMA hostile CASCADE;

-- Functions with the owner's rights look for objects in no schema but the system's; so do all that run for them.
SELECT p.oid::regprocedure AS without_a_search_path FROM t.members m JOIN pg_proc p ON m.classid = 'pg_proc'::regclass AND p.oid = m.objid
WHERE p.prosecdef AND NOT coalesce('search_path=pg_catalog, pg_temp' = ANY (p.proconfig), false);
SELECT re.rule_webhook_delete(webhook_id) FROM re.rule_webhooks ORDER BY webhook_id;
DELETE FROM re.rule_nats_config WHERE config_name <> 'default';
DELETE FROM re.rule_nats_streams WHERE stream_name <> 'WEBHOOKS';
DELETE FROM re.rule_nats_consumer_stats;
REVOKE USAGE ON SCHEMA t FROM rule_engine_publisher, rule_engine_worker, rule_engine_admin, rule_engine_monitor;
