CREATE OR REPLACE FUNCTION @extschema@.rule_webhook_call(p_webhook_id integer, p_payload jsonb)
RETURNS json LANGUAGE sql VOLATILE SECURITY INVOKER SET search_path = pg_catalog, pg_temp
AS $$ SELECT @extschema@.rule_webhook_call_unified(p_webhook_id, p_payload)::json $$;
COMMENT ON FUNCTION @extschema@.rule_webhook_call(integer, jsonb) IS
    'Sends an event by the webhook''s publish_mode, as rule_webhook_call_unified() does; the caller needs the right to call both.';
