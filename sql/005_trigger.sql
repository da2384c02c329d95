CREATE OR REPLACE FUNCTION @extschema@.rule_webhook_trigger()
RETURNS trigger LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'rule_webhook_trigger';
COMMENT ON FUNCTION @extschema@.rule_webhook_trigger() IS
    'Trigger function that sends the rows of a table by the webhook''s publish_mode: AFTER INSERT OR UPDATE OR DELETE ... EXECUTE FUNCTION rule_webhook_trigger(''webhook name''), FOR EACH ROW, or FOR EACH STATEMENT with transition tables, which waits once for a batch. Further arguments name the columns to send; an UPDATE that changes none of them sends nothing.';
