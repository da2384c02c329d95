-- The four functions in Go. The caller stays the caller in them: they read and write our tables as the owner and
-- record who called.

CREATE OR REPLACE FUNCTION @extschema@.rule_nats_init(config_name text DEFAULT 'default')
RETURNS jsonb LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'rule_nats_init';
COMMENT ON FUNCTION @extschema@.rule_nats_init(text) IS
    'Connects to NATS now and compares the configuration''s streams with it. An administrator''s call creates and updates them, a publisher''s only reports.';

CREATE OR REPLACE FUNCTION @extschema@.rule_webhook_publish_nats(webhook_id integer, payload jsonb, message_id text DEFAULT NULL)
RETURNS jsonb LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'rule_webhook_publish_nats';
COMMENT ON FUNCTION @extschema@.rule_webhook_publish_nats(integer, jsonb, text) IS
    'Publishes an event to the webhook''s NATS subject and waits for the acknowledgement. Raises for a mistake of the caller''s; an outage answers success = false, and the event waits in the queue, if that is not full.';

CREATE OR REPLACE FUNCTION @extschema@.rule_webhook_call_unified(webhook_id integer, payload jsonb, message_id text DEFAULT NULL)
RETURNS jsonb LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'rule_webhook_call_unified';
COMMENT ON FUNCTION @extschema@.rule_webhook_call_unified(integer, jsonb, text) IS
    'Sends an event by the webhook''s publish_mode: into the queue, to NATS, or both.';

CREATE OR REPLACE FUNCTION @extschema@.rule_nats_health_check(config_name text DEFAULT 'default')
RETURNS jsonb LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'rule_nats_health_check';
COMMENT ON FUNCTION @extschema@.rule_nats_health_check(text) IS
    'Whether NATS is reached, tried within the connection time-out. Never raises for NATS being away.';
