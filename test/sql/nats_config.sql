SET search_path = re;
\pset null -

-- Configurations.
SELECT rule_nats_configure('west', 'nats://a:4222, tls://b:4222', p_auth_type => 'token', p_stream_name => 'WEST', p_subject_prefix => 'west');
UPDATE rule_nats_config SET auth_token = 'top secret' WHERE config_name = 'west';
SELECT config_name, nats_url, auth_type, stream_name, subject_prefix, pristine FROM rule_nats_config ORDER BY config_id;
\a \t
SELECT c.call || E'\n    ' || t.error(c.call)
FROM (VALUES
    ($$SELECT rule_nats_configure(NULL)$$),
    ($$SELECT rule_nats_configure('west', p_nats_url => NULL)$$),
    ($$SELECT rule_nats_configure('west', p_nats_url => '')$$),
    ($$SELECT rule_nats_configure('west', p_nats_url => 'http://secret@host')$$),
    ($$SELECT rule_nats_configure('west', p_nats_url => 'nats://a:4222,')$$),
    ($$SELECT rule_nats_configure('west', p_nats_url => 'nats://user:secret@host:99999')$$),
    ($$SELECT rule_nats_configure('west', p_nats_url => 'nats://user:secret@host:4222')$$),
    ($$SELECT rule_nats_configure('west', p_nats_url => 'host')$$),
    ($$SELECT rule_nats_configure('west', p_nats_url => 'wss://[::1]:443')$$),
    ($$SELECT rule_nats_configure('west', p_auth_type => 'kerberos')$$),
    ($$SELECT rule_nats_configure('west', p_auth_type => NULL)$$),
    ($$SELECT rule_nats_configure('west', p_jetstream_enabled => NULL)$$),
    ($$SELECT rule_nats_configure('west', p_stream_name => 'a.b')$$),
    ($$SELECT rule_nats_configure('west', p_stream_name => 'a b')$$),
    ($$SELECT rule_nats_configure('west', p_stream_name => NULL)$$),
    ($$SELECT rule_nats_configure('west', p_subject_prefix => 'a.>')$$),
    ($$UPDATE rule_nats_config SET max_connections = 0 WHERE config_name = 'west'$$),
    ($$UPDATE rule_nats_config SET connection_timeout_ms = -1 WHERE config_name = 'west'$$),
    ($$UPDATE rule_nats_config SET publish_timeout_ms = NULL WHERE config_name = 'west'$$),
    ($$UPDATE rule_nats_config SET max_reconnect_attempts = -2 WHERE config_name = 'west'$$),
    ($$UPDATE rule_nats_config SET idle_timeout_seconds = 86401 WHERE config_name = 'west'$$),
    ($$UPDATE rule_nats_config SET idle_timeout_seconds = NULL WHERE config_name = 'west'$$),
    ($$UPDATE rule_nats_config SET nats_cluster_urls = '{nats://c:4222,secret@}' WHERE config_name = 'west'$$),
    ($$UPDATE rule_nats_config SET created_at = NULL WHERE config_name = 'west'$$),
    ($$UPDATE rule_nats_config SET config_name = 'east' WHERE config_name = 'default'$$),
    ($$DELETE FROM rule_nats_config WHERE config_name = 'default'$$)
) AS c (call);
\a \t

-- Webhooks and NATS.
SELECT rule_webhook_register('User Signed.Up', 'https://example.com') AS id \gset
SELECT rule_webhook_enable_nats(:id);
SELECT nats_enabled, nats_subject, publish_mode, rule_webhook_get('User Signed.Up') ->> 'nats_config' AS config
FROM rule_webhooks WHERE webhook_id = :id;
SELECT rule_webhook_enable_nats(:id, 'west.users', 'nats', 'west');
SELECT nats_enabled, nats_subject, publish_mode, rule_webhook_get('User Signed.Up') ->> 'nats_config' AS config
FROM rule_webhooks WHERE webhook_id = :id;
SELECT rule_webhook_disable_nats(:id);
SELECT nats_enabled, nats_subject, publish_mode FROM rule_webhooks WHERE webhook_id = :id;
\a \t
SELECT c.call || E'\n    ' || t.error(c.call)
FROM (VALUES
    ($$SELECT rule_webhook_enable_nats(0)$$),
    ($$SELECT rule_webhook_enable_nats(NULL)$$),
    ($$SELECT rule_webhook_enable_nats(t.id('User Signed.Up'), 'a.*')$$),
    ($$SELECT rule_webhook_enable_nats(t.id('User Signed.Up'), p_publish_mode => 'mail')$$),
    ($$SELECT rule_webhook_enable_nats(t.id('User Signed.Up'), p_config_name => 'east')$$),
    ($$SELECT rule_webhook_enable_nats(t.id('User Signed.Up'), p_config_name => NULL)$$),
    ($$SELECT rule_webhook_disable_nats(0)$$),
    ($$DELETE FROM rule_nats_config WHERE config_name = 'west'$$)
) AS c (call);
\a \t
SELECT rule_webhook_delete(:id);

-- Streams.
SELECT rule_nats_stream_create('WEST', '{west.>, west.*.x}', 'west', 'West') AS stream_id \gset
SELECT rule_nats_stream_create('WEST', '{west.>}', 'west', p_max_age_seconds => 60) = :stream_id AS same_row;
SELECT stream_name, subjects, description, retention_policy, max_age_seconds, pristine FROM rule_nats_streams ORDER BY stream_id;
\a \t
SELECT c.call || E'\n    ' || t.error(c.call)
FROM (VALUES
    ($$SELECT rule_nats_stream_create('W W', '{w}')$$),
    ($$SELECT rule_nats_stream_create(NULL, '{w}')$$),
    ($$SELECT rule_nats_stream_create('W', NULL)$$),
    ($$SELECT rule_nats_stream_create('W', '{}')$$),
    ($$SELECT rule_nats_stream_create('W', '{w,NULL}')$$),
    ($$SELECT rule_nats_stream_create('W', '{{w.a},{w.b}}')$$),
    ($$UPDATE rule_nats_streams SET subjects = '{{west.>}}' WHERE stream_name = 'WEST'$$),
    ($$SELECT rule_nats_stream_create('W', '{w.>.x}')$$),
    ($$SELECT rule_nats_stream_create('W', '{w.a*}')$$),
    ($$SELECT rule_nats_stream_create('W', '{$SYS.>}')$$),
    ($$SELECT rule_nats_stream_create('W', '{w}', 'east')$$),
    ($$SELECT rule_nats_stream_create('W', '{w}', p_retention_policy => 'some')$$),
    ($$SELECT rule_nats_stream_create('W', '{w}', p_max_age_seconds => -1)$$)
) AS c (call);
\a \t

-- A configuration takes its streams with it.
DELETE FROM rule_nats_config WHERE config_name = 'west';
SELECT count(*) AS streams_of_west FROM rule_nats_streams WHERE stream_name = 'WEST';

-- A row that comes in replaces the one that the extension made, as in a restore; what refers to it stays.
BEGIN;
SELECT rule_webhook_register('refers', 'https://example.com') AS id \gset
SELECT rule_webhook_enable_nats(:id);
INSERT INTO rule_nats_config (config_id, config_name, nats_url) VALUES (901, 'default', 'nats://restored:4222');
INSERT INTO rule_nats_streams (stream_id, config_id, stream_name, subjects) VALUES (901, 901, 'WEBHOOKS', '{webhooks.>}');
SET CONSTRAINTS ALL IMMEDIATE;
SELECT config_id, config_name, nats_url, pristine FROM rule_nats_config;
SELECT stream_id, config_id, stream_name, pristine FROM rule_nats_streams;
SELECT nats_config_id FROM rule_webhooks WHERE webhook_id = :id;
ROLLBACK;
-- An edited default is the user's.
BEGIN;
UPDATE rule_nats_config SET nats_url = 'nats://edited:4222';
UPDATE rule_nats_streams SET max_bytes = 5;
SELECT bool_or(c.pristine) AS config_pristine, bool_or(s.pristine) AS stream_pristine FROM rule_nats_config c, rule_nats_streams s;
ROLLBACK;

-- Statistics of consumers are totals.
SELECT rule_nats_consumer_update_stats('WEBHOOKS', 'mine', 10, 9, 1, 2.5);
SELECT rule_nats_consumer_update_stats('WEBHOOKS', 'mine', 12, 12, 0, p_queue_group => 'g', p_active => false);
SELECT stream_name, consumer_name, queue_group, messages_delivered, messages_acknowledged, messages_pending, messages_redelivered,
       avg_processing_time_ms, active, last_active_at IS NOT NULL AS dated
FROM rule_nats_consumer_stats;
\a \t
SELECT c.call || E'\n    ' || t.error(c.call)
FROM (VALUES
    ($$SELECT rule_nats_consumer_update_stats(NULL, 'c', 1, 1, 1)$$),
    ($$SELECT rule_nats_consumer_update_stats('S', NULL, 1, 1, 1)$$),
    ($$SELECT rule_nats_consumer_update_stats('S', 'c', -1, 1, 1)$$),
    ($$SELECT rule_nats_consumer_update_stats('S', 'c', 1, NULL, 1)$$),
    ($$SELECT rule_nats_consumer_update_stats('S', 'c', 1, 1, 1, -0.5)$$)
) AS c (call);
\a \t
DELETE FROM rule_nats_consumer_stats;

-- The source id: a new one, one that is adopted, and that of a database made from a template.
SELECT source_id AS before FROM rule_engine_source \gset
SELECT rule_engine_source_renew() <> :'before' AS renewed;
SELECT history_kept_since = '-infinity' AND adopted_at = '-infinity' AS history_complete FROM rule_engine_source;
SELECT rule_engine_source_renew('00000000-0000-4000-8000-000000000001');
SELECT adopted_at > now() - interval '1 minute' AS adopted_now FROM rule_engine_source;
UPDATE rule_engine_source SET database_oid = 1;
SELECT source_id <> '00000000-0000-4000-8000-000000000001' AS own_id FROM rule_worker_hello('w', 'g', '1', '{}', '{}');
SELECT count(DISTINCT source_id) AS ids FROM (
    SELECT source_id FROM rule_worker_hello('w', 'g', '1', '{}', '{}') UNION ALL SELECT source_id FROM rule_engine_source) s;
