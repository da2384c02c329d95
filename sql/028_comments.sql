COMMENT ON COLUMN @extschema@.rule_webhook_endpoints.opened_xid IS 'The transaction that last opened the breaker; workers learn of it by this';
