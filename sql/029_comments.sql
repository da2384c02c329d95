COMMENT ON COLUMN @extschema@.rule_webhooks.paused_since IS 'Since when it is held or disabled, or both';
COMMENT ON COLUMN @extschema@.rule_webhooks.paused_ms IS 'How long it was held or disabled before that; what give_up_after counts by is so much behind the clock';
